"""Suppliers, and the goods that they bring."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.catalog.goods import PRICE_MAX_FEN
from cloud.load.columns import Dated, Id, Name, Phone, Row, Text
from cloud.load.noun import Draft, Run, TableNoun
from cloud.load.secrets import SECRET, Hash
from cloud.supply.store import supplied_goods, suppliers


class SupplierRow(Dated, frozen=True, kw_only=True):
    """A firm that brings goods."""

    supplier: Annotated[Id, Meta(title="供应商编号", description="The supplier's id, kept as it is.")]
    name: Annotated[Name, Meta(title="供应商名称", description="What the firm is called.")]
    contact: Annotated[Text, Meta(title="联系人", description="Whom to ask for.")] = ""
    mobile: Annotated[Phone, Meta(title="手机号", description="By which the supplier signs in.")] = ""
    certified: Annotated[bool, Meta(title="已认证", description="Whether it may sign in at all.")] = True
    disabled: Annotated[bool, Meta(title="停用", description="Whether signing in is refused.")] = False
    password: Annotated[
        Name | None, Meta(title="密码", description="The password to sign in with.", extra_json_schema=SECRET)
    ] = None
    password_hash: Annotated[
        Hash | None,
        Meta(title="密码哈希", description="The stored hash, as `dump --hashes` tells it.", extra_json_schema=SECRET),
    ] = None


class _Suppliers(TableNoun[SupplierRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[SupplierRow]]) -> None:
        await asyncio.gather(*(self._settle_password(run, draft) for draft in drafts if draft.after.password))

    async def _settle_password(self, run: Run, draft: Draft[SupplierRow]) -> None:
        password = draft.after.password or ""
        draft.becomes(password=None)
        if not await run.passwords.matches(draft.after.password_hash, password):
            draft.becomes(password_hash=await run.passwords.hash(password))


class SuppliedRow(Row, frozen=True, kw_only=True):
    """Goods that a supplier brings."""

    supplier: Annotated[Id, Meta(title="供应商编号", description="Who brings them.")]
    goods: Annotated[Id, Meta(title="商品编号", description="What is brought.")]
    spec: Annotated[Text, Meta(title="规格", description="How it is packed, e.g. 24 x 320 ml.")] = ""
    price_fen: Annotated[int, Meta(ge=0, le=PRICE_MAX_FEN, title="进价（分）", description="The price, in fen.")]


SUPPLIERS = _Suppliers(
    "suppliers",
    "供应商",
    SupplierRow,
    suppliers,
    ("supplier",),
    beside={"password"},
    since="created_ms",
    touched={"changed_ms": lambda work: work.now_ms},
)
SUPPLIED_GOODS = TableNoun(
    "supplied_goods",
    "供应商品",
    SuppliedRow,
    supplied_goods,
    ("supplier", "goods"),
    references={"supplier": "suppliers", "goods": "goods"},
)
