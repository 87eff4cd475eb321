"""Members, their wallets, and the money ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cloud import audit
from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import Amount, Id, Name, Note, PageFilter, PageOf, Told, page_of
from cloud.members import browse, wallet
from cloud.members.model import Member
from cloud.members.model import wallet as wallet_account

Account = Annotated[str, Field(pattern=r"^[a-z_]{1,20}(:[A-Za-z0-9][A-Za-z0-9_-]{0,47})?$")]


class MemberAsk(Wire):
    member: Id
    name: Name
    phone: Annotated[str, Field(pattern=r"^\+?[0-9 -]{0,24}$")] = ""


class MemberFilter(PageFilter):
    search: Annotated[str, Field(min_length=1, max_length=60)] | None = None


class TopUpAsk(Wire):
    amount_fen: Amount
    note: Note = ""


class AccountFilter(PageFilter):
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,20}$")] | None = None


class PostingFilter(PageFilter):
    account: Account | None = None
    subject: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class MemberTold(Told):
    """A member. The phone number is masked: whoever needs it whole asks for the member's detail."""

    member: str
    name: str
    phone: str
    joined_ms: int


class MemberDetail(MemberTold):
    balance_fen: int


class WalletTold(Told):
    member: str
    balance_fen: int


class DriftTold(Told):
    drift_fen: int


class AccountTold(Told):
    """One account. `floor_fen` is the amount below which it never falls; null: it may hold any."""

    account: str
    kind: str
    owner: str
    balance_fen: int
    floor_fen: int | None


class PostingTold(Told):
    """`amount_fen` moved from one account to another, as one line of an entry."""

    entry: str
    line: int
    kind: str
    subject: str
    note: str
    booked_ms: int
    from_account: str
    to_account: str
    amount_fen: int


async def add_member(call: Call[MemberAsk, Nothing]) -> MemberTold:
    """Take in a member with an empty wallet."""
    body = call.body
    return MemberTold.model_validate(await wallet.join(call.work, call.tenant, body.member, body.name, body.phone))


async def list_members(call: Call[Nothing, MemberFilter]) -> PageOf[MemberTold]:
    """Members, by id, or sorted by name or joined_ms. Phone numbers are masked here."""
    found = await browse.list_members(call.work, call.tenant, call.query.ask, search=call.query.search)
    return page_of(_masked, found)


async def member_detail(call: Call[Nothing, Nothing]) -> MemberDetail:
    """One member and what lies in the wallet."""
    member = await wallet.member_of(call.work, call.tenant, call.path["member"])
    balance_fen = await wallet.wallet_balance(call.work, call.tenant, member.member)
    return MemberDetail(
        member=member.member,
        name=member.name,
        phone=member.phone,
        joined_ms=member.joined_ms,
        balance_fen=balance_fen,
    )


async def get_wallet(call: Call[Nothing, Nothing]) -> WalletTold:
    """What a member can spend."""
    member = await wallet.member_of(call.work, call.tenant, call.path["member"])
    balance_fen = await wallet.wallet_balance(call.work, call.tenant, member.member)
    return WalletTold(member=member.member, balance_fen=balance_fen)


async def top_up(call: Call[TopUpAsk, Nothing]) -> WalletTold:
    """Add money that a member brought. The same Idempotency-Key is booked once, for ever."""
    assert call.idempotency_key is not None, "the operation is keyed"
    member = call.path["member"]
    balance_fen = await wallet.top_up(
        call.work, call.tenant, member, call.body.amount_fen, call.idempotency_key, note=call.body.note
    )
    return WalletTold(member=member, balance_fen=balance_fen)


async def member_ledger(call: Call[Nothing, PageFilter]) -> PageOf[PostingTold]:
    """Every move of a member's money, newest first."""
    member = await wallet.member_of(call.work, call.tenant, call.path["member"])
    found = await browse.list_postings(call.work, call.tenant, call.query.ask, account=wallet_account(member.member))
    return page_of(PostingTold.model_validate, found)


async def list_accounts(call: Call[Nothing, AccountFilter]) -> PageOf[AccountTold]:
    """The accounts of the ledger and their balances, by name, or sorted by balance_fen."""
    found = await browse.list_accounts(call.work, call.tenant, call.query.ask, kind=call.query.kind)
    return page_of(AccountTold.model_validate, found)


async def list_postings(call: Call[Nothing, PostingFilter]) -> PageOf[PostingTold]:
    """Moves of money, newest first; of one account, or about one subject. Sorted by booked_ms or amount_fen on wish."""
    query = call.query
    found = await browse.list_postings(call.work, call.tenant, query.ask, account=query.account, subject=query.subject)
    return page_of(PostingTold.model_validate, found)


async def ledger_drift(call: Call[Nothing, Nothing]) -> DriftTold:
    """How far the ledger is off: 0, always. Anything else is an alarm."""
    return DriftTold(drift_fen=await audit.ledger_drift(call.work, call.tenant))


def _masked(member: Member) -> MemberTold:
    shown = member.phone[:3] + "*" * max(0, len(member.phone) - 7) + member.phone[-4:] if member.phone else ""
    return MemberTold(member=member.member, name=member.name, phone=shown, joined_ms=member.joined_ms)


P = Permission
OPERATIONS = (
    Operation("POST", "/members", P.MEMBERS_WRITE, add_member, changes="member.add", success=201),
    Operation("GET", "/members", P.MEMBERS_READ, list_members),
    Operation("GET", "/members/{member}", P.MEMBERS_READ, member_detail),
    Operation("GET", "/members/{member}/wallet", P.MEMBERS_READ, get_wallet),
    Operation("GET", "/members/{member}/ledger", P.MEMBERS_READ, member_ledger),
    Operation("POST", "/members/{member}/top-ups", P.WALLETS_TOP_UP, top_up, changes="wallet.top_up", keyed=True),
    Operation("GET", "/ledger/accounts", P.LEDGER_READ, list_accounts),
    Operation("GET", "/ledger/postings", P.LEDGER_READ, list_postings),
    Operation("GET", "/ledger/drift", P.LEDGER_READ, ledger_drift),
)
