"""What payments need from outside: who moves the money, and what it is for.

The purposes are a table that the composition root fills, so a noun to the right of this one can have its payments
without being known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cloud.database import Work
from cloud.members.ledger import Ledger
from cloud.payments.model import Payment
from cloud.providers.directory import Providers


async def wanted(work: Work, payment: Payment, ledger: Ledger) -> str | None:
    """What happens at the capture of a purpose that has nothing else to do: the money is welcome."""
    return None


async def nothing(work: Work, payment: Payment, amount_fen: int) -> None:
    """What happens after a refund of a purpose that has nothing to do then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What payments of one kind are for.

    `captured` runs in the unit of work in which the money arrives. It may book more in the same `ledger`, which is
    written after it (so it takes its locks first), and answers None, or a sentence why the money is no longer wanted:
    then all of it goes back. `returned` runs in the unit of work in which money has gone back.
    """

    name: str
    captured: Callable[[Work, Payment, Ledger], Awaitable[str | None]] = wanted
    returned: Callable[[Work, Payment, int], Awaitable[None]] = nothing


# A member brings money for the own wallet: the account is the wallet, so there is nothing left to do.
TOP_UP = Purpose(name="top_up")


@dataclass(frozen=True, slots=True)
class Till:
    """The providers of every tenant, the purposes by name, and where providers reach us."""

    providers: Providers
    purposes: Mapping[str, Purpose] = field(default_factory=lambda: {TOP_UP.name: TOP_UP})
    public_url: str = "http://127.0.0.1:8080"

    def purpose(self, name: str) -> Purpose:
        """The purpose of that name; one that nobody registered is a mistake of ours."""
        return self.purposes[name]

    def notify_url(self, tenant: str, provider: str) -> str:
        """Where this provider reports this tenant's payments."""
        return f"{self.public_url.rstrip('/')}/callbacks/{provider}/{tenant}"
