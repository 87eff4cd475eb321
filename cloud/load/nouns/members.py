"""Members, how they sign in, and what their accounts held when they came: one entry of the ledger each, booked once.

What is dumped is what an account holds, because that is what a database that does not know it needs. Where anything was
ever posted to it, a line moves no money, whatever it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from cloud.accounts.store import sign_out
from cloud.load.columns import Dated, Figure, Id, Lasting, Link, Moment, Name, Phone, Sum, Text
from cloud.load.noun import Draft, Key, Run, TableNoun, chosen, remove_rows
from cloud.load.nouns.accounts import settle_md5
from cloud.load.secrets import SECRET, Hash, Md5
from cloud.members.model import MemberState, Standing, commission, wallet
from cloud.members.opening import balances, book_openings, open_wallets, untouched
from cloud.members.store import (
    find_owners,
    member_machines,
    member_sign_ins,
    member_wechats,
    members,
    openid_holders,
    sign_ins,
)


class MemberRow(Lasting, frozen=True, kw_only=True):
    """One member."""

    member: Annotated[Id, Meta(title="会员编号", description="The member's id, kept as it is, e.g. CU969.")]
    name: Annotated[Text, Meta(title="姓名", description="What the member is called.")] = ""
    phone: Annotated[Phone, Meta(title="手机号", description="The member's phone.")] = ""
    state: Annotated[MemberState, Meta(title="状态", description="Active, inactive, or disabled.")] = "active"
    kind: Annotated[Figure, Meta(title="类别", description="The brand's own number for it.")] = 0
    email: Annotated[Text, Meta(title="邮箱", description="Where mail is sent.")] = ""
    area: Annotated[Text, Meta(title="地区", description="Province, city, district.")] = ""
    address: Annotated[Text, Meta(title="地址", description="Where the member lives.")] = ""
    remark: Annotated[Text, Meta(title="备注", description="What the brand notes.")] = ""
    avatar: Annotated[Link, Meta(title="头像", description="Address of the picture.")] = ""
    vip: Annotated[bool, Meta(title="贵宾", description="Whether it is a VIP.")] = False
    bonus: Annotated[Figure, Meta(title="积分", description="Points.")] = 0
    unit: Annotated[Id | None, Meta(title="所属机构", description="The dealer who looks after the member.")] = None
    referrer: Annotated[Id | None, Meta(title="推荐人", description="The member who recommended this one.")] = None
    opening_fen: Annotated[
        Sum,
        Meta(title="期初余额（分）", description="What the wallet holds, in fen: booked while nothing else ever was."),
    ] = 0
    commission_fen: Annotated[
        Sum,
        Meta(title="期初佣金（分）", description="What was earned and not paid out, in fen; booked as the balance."),
    ] = 0
    sign_in_phone: Annotated[
        Phone, Meta(title="登录手机号", description="By which the member signs in; unique in the brand.")
    ] = ""
    password_md5: Annotated[
        Md5 | None,
        Meta(title="密码MD5", description="MD5 of the password that older clients send.", extra_json_schema=SECRET),
    ] = None
    md5_hash: Annotated[
        Hash | None,
        Meta(title="MD5密码哈希", description="The stored hash of `password_md5`.", extra_json_schema=SECRET),
    ] = None


# In which of the member's accounts each column's money lies.
_MONEY: Mapping[str, Callable[[str], str]] = {"opening_fen": wallet, "commission_fen": commission}


class _Members(TableNoun[MemberRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[MemberRow]:
        found = await super().present(run, brand, keys)
        wanted = None if keys is None else {key[0] for key in keys}
        held = {column: await balances(run.work, brand, account_of, wanted) for column, account_of in _MONEY.items()}
        known: dict[str, tuple[str, str | None]] = {}
        for here in chosen(run.work, member_sign_ins.c.member, wanted):
            known |= {row.member: (row.phone, row.md5_hash) for row in await sign_ins(run.work, brand, here)}
        rows = []
        for row in found:
            phone, hashed = known.get(row.member, ("", None))
            money = {column: of.get(row.member, 0) for column, of in held.items()}
            rows.append(msgspec.structs.replace(row, sign_in_phone=phone, md5_hash=hashed, **money))
        return rows

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        for column, account_of in _MONEY.items():
            await _settle_money(run, brand, drafts, column, account_of)
        await _check_phones(run, brand, drafts)
        sent = [draft for draft in drafts if draft.after.password_md5 is not None and not draft.objections]
        await asyncio.gather(*(settle_md5(run.passwords, draft) for draft in sent))

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        await super().write(run, brand, drafts)
        await open_wallets(run.work, brand, [draft.after.member for draft in drafts if draft.before is None])
        brought = {
            account_of(draft.after.member): getattr(draft.after, column)
            for column, account_of in _MONEY.items()
            for draft in drafts
            if getattr(draft.after, column) != (getattr(draft.before, column) if draft.before else 0)
        }
        await book_openings(run.work, brand, brought)
        await self._write_sign_ins(run, brand, drafts)
        # Whoever is shut out, or signs in otherwise now, signs in again.
        changed = [d.after.member for d in drafts if d.before is not None and _door(d.before) != _door(d.after)]
        await sign_out(run.work, brand, changed, holder="member")

    async def _write_sign_ins(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        moved = [d for d in drafts if d.before is None or _sign_in(d.before) != _sign_in(d.after)]
        left = [draft.after.member for draft in moved if draft.before and draft.before.sign_in_phone]
        await remove_rows(run.work, member_sign_ins, brand, "member", left)
        rows = [
            {
                "tenant": brand,
                "phone": draft.after.sign_in_phone,
                "member": draft.after.member,
                "md5_hash": draft.after.md5_hash,
                "created_ms": run.work.now_ms,
            }
            for draft in moved
            if draft.after.sign_in_phone
        ]
        await run.work.insert(member_sign_ins, rows)


async def _settle_money(
    run: Run, brand: str, drafts: Sequence[Draft[MemberRow]], column: str, account_of: Callable[[str], str]
) -> None:
    """An account that has moved holds what it holds, whatever a line says."""
    told = [d for d in drafts if d.before is not None and getattr(d.before, column) != getattr(d.after, column)]
    free = await untouched(run.work, brand, {account_of(draft.after.member): draft.after.member for draft in told})
    moved = [draft for draft in told if account_of(draft.after.member) not in free]
    for draft in moved:
        draft.becomes(**{column: getattr(draft.before, column)})
    if moved:
        run.notes.append(
            f"{column} of {len(moved)} members of {brand} is not what they hold, and moves nothing any more"
        )


def _door(row: MemberRow) -> tuple[str, str, str | None]:
    return row.state, *_sign_in(row)


def _sign_in(row: MemberRow) -> tuple[str, str | None]:
    return row.sign_in_phone, row.md5_hash


async def _check_phones(run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
    """A number finds one member of the brand; a password without a number opens nothing."""
    taken: dict[str, str] = {}
    wanted = {draft.after.sign_in_phone for draft in drafts if draft.after.sign_in_phone}
    for here in chosen(run.work, member_sign_ins.c.phone, wanted):
        taken |= {row.phone: row.member for row in await sign_ins(run.work, brand, here)}
    for draft in drafts:
        row = draft.after
        if not row.sign_in_phone and (row.password_md5 or row.md5_hash):
            draft.object("sign_in_phone", "is missing: a password needs a number to sign in by")
        elif row.sign_in_phone and taken.setdefault(row.sign_in_phone, row.member) != row.member:
            draft.object("sign_in_phone", f"is the number of {taken[row.sign_in_phone]!r}")


MEMBERS = _Members(
    "members",
    "会员",
    MemberRow,
    members,
    ("member",),
    references={"unit": "units", "referrer": "members"},
    since="joined_ms",
    until="left_ms",
    beside={*_MONEY, "sign_in_phone", "password_md5", "md5_hash"},
)


class WeChatRow(Dated, frozen=True, kw_only=True):
    """The WeChat account that a member has bound."""

    member: Annotated[Id, Meta(title="会员编号", description="The member.")]
    openid: Annotated[
        Name,
        Meta(title="微信OpenID", description="The account, as the brand's official account knows it."),
    ]
    unionid: Annotated[Text, Meta(title="微信UnionID", description="The account, over all of the firm's programs.")] = (
        ""
    )
    nick: Annotated[Text, Meta(title="昵称", description="What it calls itself.")] = ""
    avatar: Annotated[Link, Meta(title="头像", description="Address of its picture.")] = ""
    sex: Annotated[Figure, Meta(title="性别", description="WeChat's number for it.")] = 0
    subscribed: Annotated[Moment | None, Meta(title="关注时间", description="When it followed the brand.")] = None
    proved: Annotated[bool, Meta(title="已验证", description="Whether WeChat itself said whose it is.")] = False


class _WeChats(TableNoun[WeChatRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[WeChatRow]]) -> None:
        taken = await openid_holders(run.work, brand, {draft.after.openid for draft in drafts})
        for draft in drafts:
            if taken.setdefault(draft.after.openid, draft.after.member) != draft.after.member:
                draft.object("openid", f"is bound to {taken[draft.after.openid]!r}")


MEMBER_WECHATS = _WeChats(
    "member_wechats",
    "会员微信",
    WeChatRow,
    member_wechats,
    ("member",),
    references={"member": "members"},
    living={"member"},
    since="bound_ms",
)


class BindingRow(Dated, frozen=True, kw_only=True):
    """A member and a machine at his home."""

    machine: Annotated[Id, Meta(title="设备编号", description="The machine.")]
    member: Annotated[Id, Meta(title="会员编号", description="Whose it is, or who may use it.")]
    standing: Annotated[Standing, Meta(title="身份", description="Its owner, of whom there is one, or a guest.")] = (
        "owner"
    )


class _Bindings(TableNoun[BindingRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[BindingRow]]) -> None:
        owners = await find_owners(run.work, brand, {draft.after.machine for draft in drafts})
        resigned = {
            d.after.machine
            for d in drafts
            if d.after.standing == "guest" and owners.get(d.after.machine) == d.after.member
        }
        owners = {machine: member for machine, member in owners.items() if machine not in resigned}
        for draft in drafts:
            row = draft.after
            if row.standing == "owner" and owners.setdefault(row.machine, row.member) != row.member:
                draft.object("standing", f"its owner is {owners[row.machine]!r}, and there is one")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[BindingRow]]) -> None:
        # Who was the owner makes room first.
        for standing in ("guest", "owner"):
            await super().write(run, brand, [draft for draft in drafts if draft.after.standing == standing])


DEVICE_BINDINGS = _Bindings(
    "device_bindings",
    "设备绑定",
    BindingRow,
    member_machines,
    ("machine", "member"),
    references={"machine": "machines", "member": "members"},
    living={"machine", "member"},
    since="since_ms",
)
