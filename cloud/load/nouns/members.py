"""Members, how they sign in, and what their wallets held when they came: one entry of the ledger, booked once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from cloud.load.columns import Id, Phone, Row, Small, Text
from cloud.load.noun import Draft, Key, Run, TableNoun, chosen, remove_rows
from cloud.load.nouns.accounts import SECRET, Hash, Md5, settle_md5
from cloud.members.model import MemberState
from cloud.members.opening import OPENING_MAX_FEN, book_openings, open_wallets, openings
from cloud.members.store import member_sign_ins, members, sign_ins


class MemberRow(Row, frozen=True, kw_only=True):
    """One member."""

    member: Annotated[Id, Meta(title="会员编号", description="The member's id, kept as it is, e.g. CU969.")]
    name: Annotated[Text, Meta(title="姓名", description="What the member is called.")] = ""
    phone: Annotated[Phone, Meta(title="手机号", description="The member's phone.")] = ""
    state: Annotated[MemberState, Meta(title="状态", description="Active, inactive, or disabled.")] = "active"
    kind: Annotated[Small, Meta(title="类别", description="The brand's own number for it.")] = 0
    email: Annotated[Text, Meta(title="邮箱", description="Where mail is sent.")] = ""
    area: Annotated[Text, Meta(title="地区", description="Province, city, district.")] = ""
    address: Annotated[Text, Meta(title="地址", description="Where the member lives.")] = ""
    remark: Annotated[Text, Meta(title="备注", description="What the brand notes.")] = ""
    avatar: Annotated[Text, Meta(title="头像", description="Address of the picture.")] = ""
    vip: Annotated[bool, Meta(title="贵宾", description="Whether it is a VIP.")] = False
    bonus: Annotated[Small, Meta(title="积分", description="Points.")] = 0
    unit: Annotated[Id | None, Meta(title="所属机构", description="The dealer who looks after the member.")] = None
    referrer: Annotated[Id | None, Meta(title="推荐人", description="The member who recommended this one.")] = None
    opening_fen: Annotated[
        int,
        Meta(
            ge=0,
            le=OPENING_MAX_FEN,
            title="期初余额（分）",
            description="What the wallet held when the member came, in fen. Booked once, and never changed after it.",
        ),
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


class _Members(TableNoun[MemberRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[MemberRow]:
        found = await super().present(run, brand, keys)
        wanted = None if keys is None else {key[0] for key in keys}
        booked = await openings(run.work, brand, wanted)
        known: dict[str, tuple[str, str | None]] = {}
        for here in chosen(run.work, member_sign_ins.c.member, wanted):
            known |= {row.member: (row.phone, row.md5_hash) for row in await sign_ins(run.work, brand, here)}
        rows = []
        for row in found:
            phone, hashed = known.get(row.member, ("", None))
            fen = booked.get(row.member, 0)
            rows.append(msgspec.structs.replace(row, opening_fen=fen, sign_in_phone=phone, md5_hash=hashed))
        return rows

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        for draft in drafts:
            booked = 0 if draft.before is None else draft.before.opening_fen
            if booked and draft.after.opening_fen != booked:
                draft.object("opening_fen", f"{booked} fen were booked: only a top-up or a refund moves money now")
        await _check_phones(run, brand, drafts)
        await asyncio.gather(*(settle_md5(run.passwords, draft) for draft in drafts if not draft.objections))

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        await super().write(run, brand, drafts)
        await open_wallets(run.work, brand, [draft.after.member for draft in drafts if draft.before is None])
        brought = {
            draft.after.member: draft.after.opening_fen
            for draft in drafts
            if draft.after.opening_fen and not (draft.before and draft.before.opening_fen)
        }
        await book_openings(run.work, brand, brought)
        await self._write_sign_ins(run, brand, drafts)

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
    beside={"opening_fen", "sign_in_phone", "password_md5", "md5_hash"},
    born={"joined_ms": lambda work: work.now_ms},
)
