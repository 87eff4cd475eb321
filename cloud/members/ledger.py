"""The money of one unit of work: booked in memory, written with one statement per table and one change per account.

Accounts are changed in one order everywhere (those of one member or thing, those that all share, the rest, each by
name), so that two Works never wait for each other in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.model import ESCROW, LEAVING, Posting, floor_of

_Account = tuple[str, str]


class Ledger:
    """Collects entries; nothing is booked before `write`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._entries: list[dict[str, object]] = []
        self._postings: list[dict[str, object]] = []
        self._deltas: defaultdict[_Account, int] = defaultdict(int)

    def book(self, tenant: str, kind: str, subject: str, postings: Sequence[Posting], *, note: str = "") -> None:
        """Book one entry, named "kind/subject" and therefore unique; postings of 0 fen are left out."""
        moving = [posting for posting in postings if posting.amount_fen]
        if not moving:
            return
        entry = f"{kind}/{subject}"
        self._entries.append(
            {
                "tenant": tenant,
                "entry": entry,
                "kind": kind,
                "subject": subject,
                "note": note,
                "booked_ms": self._work.now_ms,
            }
        )
        for line, posting in enumerate(moving, 1):
            self._postings.append(
                {
                    "tenant": tenant,
                    "entry": entry,
                    "line": line,
                    "from_account": posting.from_account,
                    "to_account": posting.to_account,
                    "amount_fen": posting.amount_fen,
                }
            )
            self._deltas[tenant, posting.from_account] -= posting.amount_fen
            self._deltas[tenant, posting.to_account] += posting.amount_fen

    async def write(self) -> None:
        """Write all entries; raises FleetError(conflict) when an account would fall below its floor."""
        if not self._entries:
            return
        await store.open_accounts(self._work, self._deltas.keys())
        await self._work.insert(store.ledger_entries, self._entries)
        await self._work.insert(store.ledger_postings, self._postings)
        floored = [account for account in self._deltas if floor_of(account[1]) is not None]
        others = sorted(set(self._deltas) - set(floored))
        if all(self._deltas[account] >= 0 for account in floored):
            # Nothing can fall below its floor, so one statement for all of them will do.
            risen = [*sorted(floored, key=_shared_last), *others]
            await store.add_to_balances(self._work, {account: self._deltas[account] for account in risen})
            return
        for tenant, account in sorted(floored, key=_shared_last):
            if not await store.add_to_balance(self._work, tenant, account, self._deltas[tenant, account]):
                raise FleetError("conflict", f"{account} does not hold enough money", field="balance_fen")
        await store.add_to_balances(self._work, {account: self._deltas[account] for account in others})


def _shared_last(account: _Account) -> tuple[bool, _Account]:
    return account[1] in (ESCROW, LEAVING), account
