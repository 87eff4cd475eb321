"""What members bring with them from elsewhere: wallets that are not empty when they are first seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cloud.database import Work
from cloud.members import store
from cloud.members.ledger import Ledger
from cloud.members.model import FUNDING, Posting, wallet

# What local rules allow on a named card (5,000 yuan).
OPENING_MAX_FEN = 500_000

_KIND = "opening"


async def openings(work: Work, tenant: str, members: Collection[str] | None) -> dict[str, int]:
    """The opening balances that were booked, in fen, of these members or of all."""
    entries = None if members is None else [f"{_KIND}/{member}" for member in members]
    return {
        entry.removeprefix(f"{_KIND}/"): fen
        for entry, fen in (await store.amounts_of_kind(work, tenant, _KIND, entries)).items()
    }


async def book_openings(work: Work, tenant: str, brought: Mapping[str, int]) -> None:
    """Book what members brought (fen, above 0), each once for ever: a second time raises `IntegrityError`."""
    ledger = Ledger(work)
    for member, fen in sorted(brought.items()):
        ledger.book(tenant, _KIND, member, [Posting(FUNDING, wallet(member), fen)])
    await ledger.write()


async def open_wallets(work: Work, tenant: str, members: Collection[str]) -> None:
    """Give new members their empty wallets."""
    await store.open_accounts(work, [(tenant, wallet(member)) for member in members])
