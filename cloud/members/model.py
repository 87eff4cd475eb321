"""Money as a double-entry ledger.

An entry is a set of postings, and a posting moves an amount from one account to another: there is no way to write one
that does not balance. The balance of an account is what was posted to it less what was posted from it:

    wallet:<member>     what the company owes the member; never below 0
    escrow              paid for orders that are not decided yet; never below 0, and equal to the sum of those orders
    revenue             earned
    cash:<machine>      negative: coins, notes, cards and codes taken at the machine
    funding             negative: money that members brought in, less what they were paid by other means
    shrinkage           negative: losses that the company bears
    channel:<provider>  negative: what a payment provider holds for the company: captured less what went back or out
    advances:<subject>  paid through a provider for a thing that is not delivered yet; never below 0
    deposits:<subject>  left with the company as a security, given back at the end; never below 0
    commission:<member> earned by recommending and not paid out yet; never below 0
    leaving             on its way back to a payer or out to a payee; never below 0, and equal to the sum of the
                        refunds and payouts that are underway
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ESCROW = "escrow"
REVENUE = "revenue"
SHRINKAGE = "shrinkage"
FUNDING = "funding"
LEAVING = "leaving"

# The accounts that must cover what leaves them, and their floor in fen.
_FLOORS = {"wallet": 0, "escrow": 0, "advances": 0, "deposits": 0, "commission": 0, "leaving": 0}


# disabled: shut out by the brand. inactive: never proved a number yet, and signs in once he has.
MemberState = Literal["disabled", "inactive", "active"]
Standing = Literal["owner", "guest"]


# How many hexadecimal digits follow the brand's letters in a member's number.
SERIAL_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a wallet.

    `referrer` is the member who recommended him, `unit` the dealer who looks after him. One who has left is a number
    and nothing else: his name and everything personal are gone, what was booked stays.
    """

    tenant: str
    member: str
    name: str
    phone: str
    joined_ms: int
    state: MemberState = "active"
    kind: int = 0
    avatar: str = ""
    email: str = ""
    area: str = ""
    address: str = ""
    remark: str = ""
    vip: bool = False
    bonus: int = 0
    referrer: str | None = None
    unit: str | None = None
    left_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WeChat:
    """The WeChat account that a member has bound. `proved`: WeChat itself said whose it is."""

    tenant: str
    member: str
    openid: str
    unionid: str = ""
    nick: str = ""
    avatar: str = ""
    sex: int = 0
    subscribed_ms: int | None = None
    proved: bool = False
    bound_ms: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """A member and a machine at his home: his own, or one that its owner shares with him."""

    tenant: str
    machine: str
    member: str
    standing: Standing
    since_ms: int


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount_fen` (above 0) moves from one account to another."""

    from_account: str
    to_account: str
    amount_fen: int


def wallet(member: str) -> str:
    """The account of a member's money."""
    return f"wallet:{member}"


def cash(machine: str) -> str:
    """The account of the money taken at a machine."""
    return f"cash:{machine}"


def channel(provider: str) -> str:
    """The account of the money that a payment provider holds for the company."""
    return f"channel:{provider}"


def advances(subject: str) -> str:
    """The account of what was paid for one thing that is not delivered yet."""
    return f"advances:{subject}"


def deposits(subject: str) -> str:
    """The account of the security left for one thing."""
    return f"deposits:{subject}"


def commission(member: str) -> str:
    """The account of what a member has earned by recommending."""
    return f"commission:{member}"


def kind_of(account: str) -> str:
    """What kind of account this is."""
    return account.partition(":")[0]


def owner_of(account: str) -> str:
    """The member or machine that an account belongs to; '' for the company's own."""
    return account.partition(":")[2]


def floor_of(account: str) -> int | None:
    """The amount below which the account never falls; None when it may hold any."""
    return _FLOORS.get(kind_of(account))
