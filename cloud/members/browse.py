"""Looking at members and at the money ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, or_, select

from cloud.database import Work
from cloud.members.model import Member
from cloud.members.store import balance_of, ledger_accounts, ledger_entries, ledger_postings, members
from cloud.paging import Ask, Page, page


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """One account and its balance."""

    account: str
    kind: str
    owner: str
    balance_fen: int
    floor_fen: int | None


@dataclass(frozen=True, slots=True)
class PostingSeen:
    """One move of money, with the entry that it belongs to."""

    entry: str
    line: int
    kind: str
    subject: str
    note: str
    booked_ms: int
    from_account: str
    to_account: str
    amount_fen: int


async def list_members(work: Work, tenant: str, ask: Ask, *, search: str | None = None) -> Page[Member]:
    """Members of a tenant; sorted by name or joined_ms. `search` is found in id, name and phone."""
    query = select(members).where(members.c.tenant == tenant)
    if search is not None:
        columns = (members.c.member, members.c.name, members.c.phone)
        query = query.where(or_(*(func.lower(c).contains(search.lower(), autoescape=True) for c in columns)))
    return await page(
        work,
        query,
        ask,
        sorts={"name": members.c.name, "joined_ms": members.c.joined_ms},
        ties=(members.c.member,),
        make=lambda row: Member(**row._mapping),
    )


async def referrers_of(work: Work, tenant: str, member: str, levels: int) -> list[str]:
    """Who recommended a member, who recommended that one, and so on, `levels` up; nobody stands there twice."""
    if "referrer" not in members.c:
        return []
    chain = [member]
    while len(chain) <= levels:
        here = (members.c.tenant == tenant) & (members.c.member == chain[-1])
        above = await work.scalar(select(members.c["referrer"]).where(here))
        if above is None or above in chain:
            break
        chain.append(above)
    return chain[1:]


async def account_balance(work: Work, tenant: str, account: str) -> int:
    """What an account holds, in fen; 0 when nothing was ever posted to it."""
    return await balance_of(work, tenant, account)


async def list_accounts(work: Work, tenant: str, ask: Ask, *, kind: str | None = None) -> Page[AccountSeen]:
    """Accounts of a tenant's ledger; sorted by balance_fen on wish."""
    shown = [ledger_accounts.c[name] for name in AccountSeen.__dataclass_fields__]
    query = select(*shown).where(ledger_accounts.c.tenant == tenant)
    if kind is not None:
        query = query.where(ledger_accounts.c.kind == kind)
    return await page(
        work,
        query,
        ask,
        sorts={"balance_fen": ledger_accounts.c.balance_fen},
        ties=(ledger_accounts.c.account,),
        make=lambda row: AccountSeen(**row._mapping),
    )


async def list_postings(
    work: Work, tenant: str, ask: Ask, *, account: str | None = None, subject: str | None = None
) -> Page[PostingSeen]:
    """Moves of money, newest first; of one account, or about one subject (an order, a member)."""
    entry = (ledger_entries.c.tenant == ledger_postings.c.tenant) & (ledger_entries.c.entry == ledger_postings.c.entry)
    tables = {**ledger_postings.c, **ledger_entries.c, "entry": ledger_postings.c.entry}
    shown = [tables[name] for name in PostingSeen.__dataclass_fields__]
    query = select(*shown).join(ledger_entries, entry).where(ledger_postings.c.tenant == tenant)
    if account is not None:
        ends = (ledger_postings.c.from_account, ledger_postings.c.to_account)
        query = query.where(or_(*(end == account for end in ends)))
    if subject is not None:
        # Several entries of one kind about one subject are told apart by what follows it ("<order>/<refund>").
        about = ledger_entries.c.subject
        query = query.where(or_(about == subject, about.startswith(f"{subject}/", autoescape=True)))
    return await page(
        work,
        query,
        ask,
        sorts={"booked_ms": ledger_entries.c.booked_ms, "amount_fen": func.abs(ledger_postings.c.amount_fen)},
        ties=(ledger_entries.c.booked_ms.desc(), ledger_postings.c.entry, ledger_postings.c.line),
        make=lambda row: PostingSeen(**row._mapping),
    )
