"""Brands: the tenants, and what is known of them. Only the line of a brand itself may name one that is not there yet.

Its two secrets are sealed before they are written. They are never dumped; the seals are, when hashes are asked for, and
open under the same server secret only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.accounts.brand_profile import SecretName
from cloud.accounts.brands import NO_LETTERS
from cloud.accounts.model import Brand, BrandState, Tenant
from cloud.accounts.options import options_text
from cloud.accounts.store import (
    add_tenant,
    all_tenants,
    brand_signings,
    code_of,
    find_brand,
    find_user,
    put_brand,
    put_brand_code,
    remove_all_tokens,
    rename_tenant,
    take_phone,
    tenant_of_code,
    tenants,
)
from cloud.database import Work
from cloud.errors import FleetError
from cloud.load.columns import Dated, Figure, Id, Lasting, Link, Moment, Name, Phone, Text
from cloud.load.noun import Counted, Draft, Key, Run, TableNoun
from cloud.load.secrets import SECRET, Sealed, Secret

Code = Annotated[str, Meta(pattern=r"^[A-Z]{4}$(?!\n)")]
# What a contract may be about, as in the dialect that notes it: ten million yuan.
AMOUNT_MAX_FEN = 1_000_000_000


class BrandRow(Lasting, frozen=True, kw_only=True):
    """One business."""

    name: Annotated[Name, Meta(title="品牌名称", description="What people call it.")]
    code: Annotated[
        Code | None,
        Meta(title="品牌代码", description="Four capital letters that begin its numbers; given once, unique over all."),
    ] = None
    owner: Annotated[
        Id | None, Meta(title="所有者", description="The account, by its id, in whose name it signs in; given once.")
    ] = None
    state: Annotated[BrandState, Meta(title="状态", description="Active, inactive, or disabled.")] = "active"
    kind: Annotated[Figure, Meta(title="类别", description="The platform's own number for it.")] = 0
    short_name: Annotated[Text, Meta(title="简称", description="What people call it for short.")] = ""
    logo: Annotated[Link, Meta(title="标志", description="Address of its picture.")] = ""
    domain: Annotated[Text, Meta(title="域名", description="Where its pages are.")] = ""
    contact: Annotated[Text, Meta(title="联系人", description="Whom to ask for.")] = ""
    phone: Annotated[Phone, Meta(title="电话", description="The contact's phone.")] = ""
    wechat: Annotated[Text, Meta(title="微信", description="The contact's WeChat.")] = ""
    email: Annotated[Text, Meta(title="邮箱", description="Where mail is sent.")] = ""
    area: Annotated[Text, Meta(title="地区", description="Province, city, district.")] = ""
    address: Annotated[Text, Meta(title="地址", description="Where it is.")] = ""
    remark: Annotated[Text, Meta(title="备注", description="What the platform notes.")] = ""
    reserved: Annotated[Text, Meta(title="保留", description="What its own programs note.")] = ""
    mp_gid: Annotated[Text, Meta(title="公众号原始ID", description="The official account's first id.")] = ""
    mp_appid: Annotated[Text, Meta(title="公众号AppID", description="The official account's app id.")] = ""
    mch_gid: Annotated[Text, Meta(title="商户号", description="The merchant's number.")] = ""
    mch_appid: Annotated[Text, Meta(title="商户AppID", description="The merchant's app id.")] = ""
    mp_secret: Annotated[
        Secret | None,
        Meta(title="公众号密钥", description="The official account's secret; sealed.", extra_json_schema=SECRET),
    ] = None
    mch_secret: Annotated[
        Secret | None, Meta(title="商户密钥", description="The merchant's secret; sealed.", extra_json_schema=SECRET)
    ] = None
    mp_secret_sealed: Annotated[
        Sealed | None,
        Meta(title="公众号密钥密文", description="The seal, as `dump --hashes` tells it.", extra_json_schema=SECRET),
    ] = None
    mch_secret_sealed: Annotated[
        Sealed | None,
        Meta(title="商户密钥密文", description="The seal, as `dump --hashes` tells it.", extra_json_schema=SECRET),
    ] = None
    options: Annotated[
        dict[str, Any], Meta(title="选项", description="What it chose for itself; JSON in a table's cell.")
    ] = msgspec.field(default_factory=dict)


_SECRETS: tuple[SecretName, ...] = ("mp_secret", "mch_secret")
_SEALED = tuple(f"{name}_sealed" for name in _SECRETS)
# Of the profile's columns those that are written as they stand.
_PLAIN = tuple(
    name
    for name in Brand.__dataclass_fields__
    if name in BrandRow.__struct_fields__ and name not in ("options", *_SEALED)
)


class _Brands(TableNoun[BrandRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[BrandRow]:
        code, found = await code_of(run.work, brand), await find_brand(run.work, brand)
        known = {name: getattr(found, name) for name in _PLAIN} | {
            name: getattr(found, name) or None for name in _SEALED
        }
        known |= {"code": code, "options": json.loads(found.options), "until": found.closed_ms}
        return [msgspec.structs.replace(row, **known) for row in await super().present(run, brand, keys)]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[BrandRow]]) -> None:
        for draft in drafts:
            await _settle_code(run.work, brand, draft)
            if draft.before and draft.before.owner and draft.after.owner != draft.before.owner:
                draft.object("owner", f"the brand's owner is {draft.before.owner} and stays so")
            try:
                options_text(draft.after.options)
            except FleetError as error:
                draft.object("options", f"{error.field}: {error.detail}")
            for name in _SECRETS:
                _seal(run, brand, draft, name)

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[BrandRow]]) -> None:
        for draft in drafts:
            row = self.began(run.work, draft.after)
            if draft.before is None:
                await add_tenant(run.work, Tenant(brand, row.name, row.since or run.work.now_ms))
            elif row.name != draft.before.name:
                await rename_tenant(run.work, brand, row.name)
            if row.code:
                await put_brand_code(run.work, brand, row.code)
            await put_brand(run.work, _profile(brand, row))
            if row.state != "active":
                await remove_all_tokens(run.work, brand)
            # Whose account is there already; that of a later sheet finds its door by itself.
            owner = await find_user(run.work, brand, row.owner) if row.owner and row.until is None else None
            if owner is not None:
                await take_phone(run.work, owner.login, brand, owner.user)


async def _settle_code(work: Work, brand: str, draft: Draft[BrandRow]) -> None:
    had = draft.before.code if draft.before else None
    code = draft.after.code
    if had and code is None:
        draft.becomes(code=had)
    elif had and code != had:
        draft.object("code", f"the brand's code is {had} and stays so: it is in numbers that were given")
    elif code == NO_LETTERS:
        draft.object("code", "stands for brands that have none")
    elif code and await tenant_of_code(work, code) not in (None, brand):
        draft.object("code", "is the code of another brand")


def _seal(run: Run, brand: str, draft: Draft[BrandRow], name: SecretName) -> None:
    """Turn a secret into its seal, unless it is the one that is sealed there."""
    secret = getattr(draft.after, name)
    if secret is None:
        return
    sealed = getattr(draft.after, f"{name}_sealed")
    draft.becomes(**{name: None})
    try:
        same = run.vault.open(brand, name, sealed or "") == secret
    except FleetError:  # another server sealed it
        same = False
    if not same:
        draft.becomes(**{f"{name}_sealed": run.vault.seal(brand, name, secret)})


def _profile(brand: str, row: BrandRow) -> Brand:
    fields = {name: getattr(row, name) for name in _PLAIN} | {name: getattr(row, name) or "" for name in _SEALED}
    return Brand(tenant=brand, options=options_text(row.options), closed_ms=row.until, **fields)


BRANDS = _Brands(
    "brands",
    "品牌",
    BrandRow,
    tenants,
    (),
    since="created_ms",
    beside=set(BrandRow.__struct_fields__) - {"name", "since"},
)


class SigningRow(Dated, frozen=True, kw_only=True):
    """One contract that was signed with a brand."""

    signing: Annotated[Id, Meta(title="签约编号", description="Its number, kept as it is.")]
    title: Annotated[Text, Meta(title="签约名称", description="What it is called.")] = ""
    contract: Annotated[Text, Meta(title="合同", description="The contract's number or address.")] = ""
    signed: Annotated[Moment | None, Meta(title="签约时间", description="When it was signed.")] = None
    begins: Annotated[Moment | None, Meta(title="生效时间", description="From when on it holds.")] = None
    ends: Annotated[Moment | None, Meta(title="到期时间", description="Until when it holds.")] = None
    amount_fen: Annotated[
        Annotated[int, Meta(ge=0, le=AMOUNT_MAX_FEN)], Meta(title="金额（分）", description="What it is about, in fen.")
    ] = 0
    remark: Annotated[Text, Meta(title="备注", description="What the platform notes.")] = ""


class _Signings(TableNoun[SigningRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[SigningRow]]) -> None:
        for draft in drafts:
            row = draft.after
            if row.begins is not None and row.ends is not None and row.ends < row.begins:
                draft.object("ends", "a contract does not end before it begins")


SIGNINGS = _Signings(
    "signings",
    "签约记录",
    SigningRow,
    brand_signings,
    ("signing",),
    since="created_ms",
    counted=Counted("signing", re.compile(r"([0-9]+)")),
)


async def all_brands(work: Work) -> list[str]:
    """The ids of all brands, in order."""
    return [tenant.tenant for tenant in await all_tenants(work)]
