"""Looking at members and at the money ledger."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select

from cloud.accounts.brands import tenant_of_number
from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen, within
from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.members.model import Member, WeChat
from cloud.members.store import (
    balance_of,
    ledger_accounts,
    ledger_entries,
    ledger_postings,
    member_machines,
    member_wechats,
    members,
)
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page, page


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
    query = select(members).where(members.c.tenant == tenant, members.c.left_ms.is_(None))
    if search is not None:
        columns = (members.c.member, members.c.name, members.c.phone)
        query = query.where(or_(*(func.lower(c).contains(search.lower(), autoescape=True) for c in columns)))
    return await page(
        work,
        query,
        ask,
        sorts={"name": members.c.name, "joined_ms": members.c.joined_ms},
        ties=(members.c.member,),
        make=lambda row: record_of(Member, row),
    )


async def referrers_of(work: Work, tenant: str, member: str, levels: int) -> list[str]:
    """Who recommended a member, who recommended that one, and so on, `levels` up; nobody stands there twice."""
    chain = [member]
    while len(chain) <= levels:
        here = (members.c.tenant == tenant) & (members.c.member == chain[-1])
        above = await work.scalar(select(members.c.referrer).where(here))
        if above is None or above in chain:
            break
        chain.append(above)
    return chain[1:]


async def account_balance(work: Work, tenant: str, account: str) -> int:
    """What an account holds, in fen; 0 when nothing was ever posted to it."""
    return await balance_of(work, tenant, account)


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """A member as a platform shows him: with his WeChat account, and how many machines are his own."""

    member: Member
    wechat: WeChat | None
    machines: int


_MACHINES = (
    select(func.count())
    .where(
        member_machines.c.tenant == members.c.tenant,
        member_machines.c.member == members.c.member,
        member_machines.c.standing == "owner",
    )
    .scalar_subquery()
)
_WECHAT = [column.label(f"wechat_{column.name}") for column in member_wechats.c]
# What a list of members is sorted and filtered by.
_COLUMNS: dict[str, ColumnElement[Any]] = {column.name: column for column in members.c} | {"machines": _MACHINES}


async def list_members_seen(work: Work, reach: Reach, ask: Ask) -> Page[MemberSeen]:
    """Members within reach, newest first; sorted and filtered by any column of theirs, and by `machines`."""
    return await _listing(reach).page(work, ask, _seen)


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(reach: Reach) -> Listing:
    newest = (members.c.joined_ms.desc(), members.c.tenant, members.c.member)
    return Listing(_members(reach).where(members.c.left_ms.is_(None)), _COLUMNS, newest)


async def member_seen(work: Work, reach: Reach, member: str) -> MemberSeen:
    """One member within reach; FleetError: not_found or forbidden, gone, invalid when several brands have the id."""
    known = await tenant_of_number(work, member) if reach.tenant is None else reach.tenant
    query = _members(reach).where(members.c.member == member)
    if known is not None:
        query = query.where(members.c.tenant == known)
    found = await work.rows(query.limit(2))
    if not found:
        raise unseen(reach, f"user {member[:48]!r}", "uid")
    if len(found) > 1:
        raise FleetError("invalid", f"several brands have a user {member!r}: sign in as one of them", field="uid")
    seen = _seen(found[0])
    if seen.member.left_ms is not None:
        raise FleetError("gone", f"the user {member!r} has left", field="uid")
    return seen


def _members(reach: Reach) -> Select[Any]:
    bound = (member_wechats.c.tenant == members.c.tenant) & (member_wechats.c.member == members.c.member)
    query = select(members, *_WECHAT, _MACHINES.label("machines")).join_from(
        members, member_wechats, bound, isouter=True
    )
    return query.where(within(reach, tenant=members.c.tenant, unit=members.c.unit, member=members.c.member))


def _seen(row: Row[Any]) -> MemberSeen:
    told = {column.name: row._mapping[column] for column in members.c}
    wechat = {column.name: row._mapping[f"wechat_{column.name}"] for column in member_wechats.c}
    bound = None if wechat["openid"] is None else WeChat(**wechat)
    return MemberSeen(Member(**told), bound, row.machines)


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
        make=lambda row: record_of(AccountSeen, row),
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
        make=lambda row: record_of(PostingSeen, row),
    )
