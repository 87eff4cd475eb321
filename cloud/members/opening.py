"""What members bring with them from elsewhere: wallets, commission and deposits that are not empty when they come.

An opening is one entry of the ledger, from the funding account. An account has one at most, and none once anything was
posted to it: whatever happened then is the truth, and what it held when it came is a part of that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from cloud.database import Work
from cloud.members import store
from cloud.members.ledger import Ledger
from cloud.members.model import FUNDING, Posting, kind_of, wallet

OPENING = "opening"


async def balances(
    work: Work, tenant: str, account_of: Callable[[str], str], members: Collection[str] | None
) -> dict[str, int]:
    """What these members (None: all) have in their account of one kind, in fen by member; who has none is left out."""
    if members is None:
        return await store.balances_of_kind(work, tenant, kind_of(account_of("")))
    return await store.balances_of(work, tenant, {account_of(member): member for member in members})


async def untouched(work: Work, tenant: str, accounts: Mapping[str, str]) -> set[str]:
    """Those of the accounts (each with its member) to which nothing was ever posted, and nothing is until this ends."""
    await store.lock_members(work, tenant, set(accounts.values()))
    return set(accounts) - await store.posted_accounts(work, tenant, accounts.keys())


async def book_openings(work: Work, tenant: str, brought: Mapping[str, int]) -> None:
    """Book what accounts hold (fen, above 0) when they come, each once: a second time raises `IntegrityError`."""
    ledger = Ledger(work)
    for account, fen in sorted(brought.items()):
        ledger.book(tenant, OPENING, account, [Posting(FUNDING, account, fen)])
    await ledger.write()


async def open_wallets(work: Work, tenant: str, members: Collection[str]) -> None:
    """Give new members their empty wallets."""
    await store.open_accounts(work, [(tenant, wallet(member)) for member in members])
