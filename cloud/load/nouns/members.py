"""Members, and what their wallets held when they came: one entry of the ledger, booked once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from cloud.load.columns import Id, Phone, Row, Text
from cloud.load.noun import Draft, Key, Run, TableNoun
from cloud.members.opening import OPENING_MAX_FEN, book_openings, open_wallets, openings
from cloud.members.store import members


class MemberRow(Row, frozen=True, kw_only=True):
    """One member."""

    member: Annotated[Id, Meta(title="会员编号", description="The member's id, kept as it is, e.g. CU969.")]
    name: Annotated[Text, Meta(title="姓名", description="What the member is called.")] = ""
    phone: Annotated[Phone, Meta(title="手机号", description="The member's phone.")] = ""
    opening_fen: Annotated[
        int,
        Meta(
            ge=0,
            le=OPENING_MAX_FEN,
            title="期初余额（分）",
            description="What the wallet held when the member came, in fen. Booked once, and never changed after it.",
        ),
    ] = 0


class _Members(TableNoun[MemberRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[MemberRow]:
        found = await super().present(run, brand, keys)
        booked = await openings(run.work, brand, None if keys is None else [key[0] for key in keys])
        return [msgspec.structs.replace(row, opening_fen=booked.get(row.member, 0)) for row in found]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        for draft in drafts:
            booked = 0 if draft.before is None else draft.before.opening_fen
            if booked and draft.after.opening_fen != booked:
                draft.object("opening_fen", f"{booked} fen were booked: only a top-up or a refund moves money now")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[MemberRow]]) -> None:
        await super().write(run, brand, drafts)
        await open_wallets(run.work, brand, [draft.after.member for draft in drafts if draft.before is None])
        brought = {
            draft.after.member: draft.after.opening_fen
            for draft in drafts
            if draft.after.opening_fen and not (draft.before and draft.before.opening_fen)
        }
        await book_openings(run.work, brand, brought)


MEMBERS = _Members(
    "members",
    "会员",
    MemberRow,
    members,
    ("member",),
    beside={"opening_fen"},
    born={"joined_ms": lambda work: work.now_ms},
)
