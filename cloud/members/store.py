"""SQL of members and of the money ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Row,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from cloud.database import MANY_ROWS, Work, as_arrays, metadata, one_of, record_of, row_of, tenant_column
from cloud.members.model import SERIAL_DIGITS, Binding, Member, Posting, WeChat, floor_of, kind_of, owner_of

members = Table(
    "members",
    metadata,
    tenant_column(),
    Column("member", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", BigInteger, nullable=False),
    Column("avatar", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("remark", Text, nullable=False),
    Column("vip", Boolean, nullable=False),
    Column("bonus", BigInteger, nullable=False),
    Column("referrer", Text),
    Column("unit", Text),
    # His number is never given to anybody else, so the row stays when he leaves.
    Column("left_ms", BigInteger),
    Index("ix_members_member", "member"),
    Index("ix_members_phone", "tenant", "phone"),
    Index("ix_members_unit", "tenant", "unit"),
    Index("ix_members_referrer", "tenant", "referrer"),
)

_HERE: dict[str, Any] = {name: members.c.left_ms.is_(None) for name in ("sqlite_where", "postgresql_where")}
_NEWEST = members.c.joined_ms.desc()
# Lists show the newest first, of a brand or of all brands, and count those who have not left.
Index("ix_members_newest", members.c.tenant, _NEWEST, members.c.member, **_HERE)
Index("ix_members_newest_all", _NEWEST, members.c.tenant, members.c.member, **_HERE)

member_wechats = Table(
    "member_wechats",
    metadata,
    tenant_column(),
    Column("member", Text, primary_key=True),
    Column("openid", Text, nullable=False),
    Column("unionid", Text, nullable=False),
    Column("nick", Text, nullable=False),
    Column("avatar", Text, nullable=False),
    Column("sex", BigInteger, nullable=False),
    Column("subscribed_ms", BigInteger),
    Column("proved", Boolean, nullable=False),
    Column("bound_ms", BigInteger, nullable=False),
    UniqueConstraint("tenant", "openid"),
)

# Which machines stand at a member's home. A machine has one owner at most; he may share it with guests.
member_machines = Table(
    "member_machines",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("standing", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Index("ix_member_machines_member", "tenant", "member"),
)
Index(
    "uq_member_machines_owner",
    member_machines.c.tenant,
    member_machines.c.machine,
    unique=True,
    sqlite_where=member_machines.c.standing == "owner",
    postgresql_where=member_machines.c.standing == "owner",
)

# By which number a member signs in. The password is NULL until one is set: a code sent to the number serves as well.
member_sign_ins = Table(
    "member_sign_ins",
    metadata,
    tenant_column(),
    Column("phone", Text, primary_key=True),
    Column("member", Text, nullable=False),
    Column("md5_hash", Text),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("tenant", "member"),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    tenant_column(),
    Column("account", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("balance_fen", BigInteger, nullable=False),
    # The balance never goes below it; NULL for accounts that may hold any amount.
    Column("floor_fen", BigInteger),
    CheckConstraint("floor_fen IS NULL OR balance_fen >= floor_fen", name="floor"),
    Index("ix_ledger_accounts_owner", "tenant", "owner"),
)

# Append-only, like the postings. The key says what the entry is for ("hold/<order>"), so nothing is booked twice.
ledger_entries = Table(
    "ledger_entries",
    metadata,
    tenant_column(),
    Column("entry", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("booked_ms", BigInteger, nullable=False),
    Index("ix_ledger_entries_subject", "tenant", "subject"),
)

# A posting moves an amount from one account to another: it cannot be out of balance.
ledger_postings = Table(
    "ledger_postings",
    metadata,
    tenant_column(),
    Column("entry", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("from_account", Text, nullable=False),
    Column("to_account", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("from_account <> to_account", name="two_accounts"),
    ForeignKeyConstraint(["tenant", "entry"], ["ledger_entries.tenant", "ledger_entries.entry"]),
    Index("ix_ledger_postings_from", "tenant", "from_account"),
    Index("ix_ledger_postings_to", "tenant", "to_account"),
)


async def find_member(work: Work, tenant: str, member: str, *, lock: bool = False) -> Member | None:
    """One member; locked, other Works that lock it wait until this one ends."""
    query = select(members).where(and_(members.c.tenant == tenant, members.c.member == member))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else record_of(Member, row)


async def lock_members(work: Work, tenant: str, wanted: Collection[str]) -> None:
    """Lock members, in one order: other Works that lock one of them wait until this one ends."""
    for here in one_of(work, members.c.member, sorted(wanted)):
        query = select(members.c.member).where(members.c.tenant == tenant, here).order_by(members.c.member)
        await work.rows(query.with_for_update())


async def add_member(work: Work, member: Member) -> None:
    """Insert a member."""
    await work.insert(members, [row_of(member)])


async def put_member(work: Work, member: Member) -> None:
    """Write a member that this Work has locked."""
    here = and_(members.c.tenant == member.tenant, members.c.member == member.member)
    await work.execute(members.update().where(here).values(**row_of(member)))


async def highest_serial(work: Work, tenant: str, code: str) -> int:
    """The highest number that members of a tenant bear behind its letters; 0 when none does."""
    written = members.c.member
    form = and_(written.startswith(code, autoescape=True), func.length(written) == len(code) + SERIAL_DIGITS)
    highest = await work.scalar(select(func.max(written)).where(members.c.tenant == tenant, form))
    try:
        return int(str(highest or "0")[-SERIAL_DIGITS:], 16)
    except ValueError:
        return 0


async def members_with_phone(work: Work, tenant: str, phone: str) -> list[str]:
    """Who has this number on file, whether or not he signs in by it."""
    here = and_(members.c.tenant == tenant, members.c.phone == phone, members.c.left_ms.is_(None))
    return [row.member for row in await work.rows(select(members.c.member).where(here).order_by(members.c.member))]


async def find_wechat(work: Work, tenant: str, openid: str) -> WeChat | None:
    """The binding of a WeChat account."""
    here = and_(member_wechats.c.tenant == tenant, member_wechats.c.openid == openid)
    row = await work.row(select(member_wechats).where(here))
    return None if row is None else record_of(WeChat, row)


async def wechat_of_member(work: Work, tenant: str, member: str) -> WeChat | None:
    """The WeChat account that a member has bound."""
    here = and_(member_wechats.c.tenant == tenant, member_wechats.c.member == member)
    row = await work.row(select(member_wechats).where(here))
    return None if row is None else record_of(WeChat, row)


async def openid_holders(work: Work, tenant: str, openids: Collection[str]) -> dict[str, str]:
    """Who has bound these WeChat accounts, by account, as far as anybody has."""
    found: dict[str, str] = {}
    query = select(member_wechats.c.openid, member_wechats.c.member).where(member_wechats.c.tenant == tenant)
    for here in one_of(work, member_wechats.c.openid, sorted(openids)):
        found |= {row.openid: row.member for row in await work.rows(query.where(here))}
    return found


async def put_wechat(work: Work, wechat: WeChat) -> None:
    """Write the WeChat account of a member."""
    await work.put(member_wechats, [row_of(wechat)])


async def remove_wechat(work: Work, tenant: str, member: str) -> None:
    """Forget the WeChat account of a member."""
    here = and_(member_wechats.c.tenant == tenant, member_wechats.c.member == member)
    await work.execute(member_wechats.delete().where(here))


async def bindings_of(work: Work, tenant: str, machine: str) -> list[Binding]:
    """Who has a machine at home: the owner first, then guests by id."""
    here = and_(member_machines.c.tenant == tenant, member_machines.c.machine == machine)
    order = member_machines.c.standing.desc(), member_machines.c.member
    return [record_of(Binding, row) for row in await work.rows(select(member_machines).where(here).order_by(*order))]


async def find_owners(work: Work, tenant: str, machines: Collection[str]) -> dict[str, str]:
    """Whose these machines are, by machine, as far as they are somebody's."""
    found: dict[str, str] = {}
    owned = and_(member_machines.c.tenant == tenant, member_machines.c.standing == "owner")
    query = select(member_machines.c.machine, member_machines.c.member).where(owned)
    for here in one_of(work, member_machines.c.machine, sorted(machines)):
        found |= {row.machine: row.member for row in await work.rows(query.where(here))}
    return found


async def add_binding(work: Work, binding: Binding) -> None:
    """Write a binding; one that is there already stays."""
    await work.insert_new(member_machines, [row_of(binding)])


async def remove_bindings(
    work: Work, tenant: str, *, machine: str | None = None, member: str | None = None, standing: str | None = None
) -> None:
    """End bindings: of one machine, of one member, of one standing, or where several are named of all of them."""
    here = [member_machines.c.tenant == tenant]
    wanted = {"machine": machine, "member": member, "standing": standing}
    here += [member_machines.c[name] == value for name, value in wanted.items() if value is not None]
    assert len(here) > 1, "a tenant's bindings are never all ended at once"
    await work.execute(member_machines.delete().where(*here))


async def sign_in_of(work: Work, tenant: str, phone: str) -> tuple[str, str | None] | None:
    """Member and password hash behind a number."""
    here = and_(member_sign_ins.c.tenant == tenant, member_sign_ins.c.phone == phone)
    row = await work.row(select(member_sign_ins).where(here))
    return None if row is None else (row.member, row.md5_hash)


async def sign_ins(work: Work, tenant: str, here: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """How members of a tenant sign in: those rows that fulfil `here`."""
    return await work.rows(select(member_sign_ins).where(and_(member_sign_ins.c.tenant == tenant, here)))


async def tenants_of_phone(work: Work, phone: str) -> list[str]:
    """The tenants in which a member signs in by this number: in work of the platform, of all of them."""
    query = select(member_sign_ins.c.tenant).where(member_sign_ins.c.phone == phone).order_by(member_sign_ins.c.tenant)
    return [row.tenant for row in await work.rows(query)]


async def password_of(work: Work, tenant: str, member: str) -> tuple[str, str | None] | None:
    """Number and password hash by which a member signs in."""
    here = and_(member_sign_ins.c.tenant == tenant, member_sign_ins.c.member == member)
    row = await work.row(select(member_sign_ins).where(here))
    return None if row is None else (row.phone, row.md5_hash)


async def put_sign_in(work: Work, tenant: str, phone: str, member: str, md5_hash: str | None) -> bool:
    """Let a member sign in by this number, and by no other; False when it is somebody else's."""
    row = {"tenant": tenant, "phone": phone, "member": member, "md5_hash": md5_hash, "created_ms": work.now_ms}
    await remove_sign_in(work, tenant, member)
    await work.insert_new(member_sign_ins, [row])
    found = await sign_in_of(work, tenant, phone)
    return found is not None and found[0] == member


async def remove_sign_in(work: Work, tenant: str, member: str) -> None:
    """Let a member sign in no more."""
    here = and_(member_sign_ins.c.tenant == tenant, member_sign_ins.c.member == member)
    await work.execute(member_sign_ins.delete().where(here))


async def find_postings(work: Work, tenant: str, entry: str) -> Sequence[Posting]:
    """The postings of one entry, in order; empty when it was never booked."""
    query = select(ledger_postings).where(and_(ledger_postings.c.tenant == tenant, ledger_postings.c.entry == entry))
    rows = await work.rows(query.order_by(ledger_postings.c.line))
    return [Posting(row.from_account, row.to_account, row.amount_fen) for row in rows]


async def posted_accounts(work: Work, tenant: str, accounts: Collection[str]) -> set[str]:
    """Those of the accounts to which, or from which, anything was ever posted."""
    found: set[str] = set()
    for column in (ledger_postings.c.from_account, ledger_postings.c.to_account):
        for here in one_of(work, column, sorted(accounts)):
            rows = await work.rows(
                select(column.label("account")).where(ledger_postings.c.tenant == tenant, here).distinct()
            )
            found |= {row.account for row in rows}
    return found


async def balance_of(work: Work, tenant: str, account: str) -> int:
    """The balance in fen; 0 for an account that nothing was ever posted to."""
    here = and_(ledger_accounts.c.tenant == tenant, ledger_accounts.c.account == account)
    return int(await work.scalar(select(ledger_accounts.c.balance_fen).where(here)) or 0)


async def balances_of(work: Work, tenant: str, owners: Mapping[str, str]) -> dict[str, int]:
    """The balance in fen of those accounts that exist, by owner; `owners` says whose each is."""
    found: dict[str, int] = {}
    query = select(ledger_accounts.c.account, ledger_accounts.c.balance_fen).where(ledger_accounts.c.tenant == tenant)
    for here in one_of(work, ledger_accounts.c.account, sorted(owners)):
        found |= {owners[row.account]: row.balance_fen for row in await work.rows(query.where(here))}
    return found


async def money_of(work: Work, tenant: str, member: str) -> list[tuple[str, int]]:
    """What is held for a member, in fen by account: his wallet, and whatever else bears his number."""
    # The accounts of members have a floor; a machine's cash has none, and a machine may be called like a member.
    here = and_(ledger_accounts.c.owner == member, ledger_accounts.c.floor_fen.is_not(None))
    query = select(ledger_accounts).where(ledger_accounts.c.tenant == tenant, here, ledger_accounts.c.balance_fen != 0)
    query = query.order_by(ledger_accounts.c.account)
    return [(row.account, row.balance_fen) for row in await work.rows(query)]


async def held_fen(work: Work, tenant: str) -> int:
    """The sum of all accounts with a floor, in fen."""
    here = and_(ledger_accounts.c.tenant == tenant, ledger_accounts.c.floor_fen.is_not(None))
    return int(await work.scalar(select(func.coalesce(func.sum(ledger_accounts.c.balance_fen), 0)).where(here)))


async def balances_of_kind(work: Work, tenant: str, kind: str) -> dict[str, int]:
    """The balance in fen of every account of a kind, by its owner."""
    here = and_(ledger_accounts.c.tenant == tenant, ledger_accounts.c.kind == kind)
    rows = await work.rows(select(ledger_accounts.c.owner, ledger_accounts.c.balance_fen).where(here))
    return {row.owner: row.balance_fen for row in rows}


async def open_accounts(work: Work, wanted: Collection[tuple[str, str]]) -> None:
    """Make those of the (tenant, account) pairs that do not exist yet, with nothing in them."""
    asked = sorted(set(wanted))
    known: set[tuple[str, str]] = set()
    for tenant in sorted({tenant for tenant, _ in asked}):
        ours = ledger_accounts.c.tenant == tenant
        for here in one_of(work, ledger_accounts.c.account, [account for of, account in asked if of == tenant]):
            rows = await work.rows(select(ledger_accounts.c.account).where(ours, here))
            known |= {(tenant, row.account) for row in rows}
    await work.insert_new(
        ledger_accounts,
        [
            {
                "tenant": tenant,
                "account": account,
                "kind": kind_of(account),
                "owner": owner_of(account),
                "balance_fen": 0,
                "floor_fen": floor_of(account),
            }
            for tenant, account in asked
            if (tenant, account) not in known
        ],
    )


async def add_to_balance(work: Work, tenant: str, account: str, delta_fen: int) -> bool:
    """Change one balance, unless it would fall below its floor: then nothing changes and the answer is False."""
    after = ledger_accounts.c.balance_fen + delta_fen
    allowed = or_(ledger_accounts.c.floor_fen.is_(None), after >= ledger_accounts.c.floor_fen)
    here = and_(ledger_accounts.c.tenant == tenant, ledger_accounts.c.account == account)
    return await work.changed(ledger_accounts.update().where(and_(here, allowed)).values(balance_fen=after)) == 1


async def add_to_balances(work: Work, deltas: Mapping[tuple[str, str], int]) -> None:
    """Change balances that cannot fall below their floor, in the order given."""
    if len(deltas) >= MANY_ROWS and work.dialect == "postgresql":
        await _add_at_once(work, deltas)
    elif deltas:
        here = and_(ledger_accounts.c.tenant == bindparam("of"), ledger_accounts.c.account == bindparam("on"))
        change = ledger_accounts.update().where(here)
        await work.execute(
            change.values(balance_fen=ledger_accounts.c.balance_fen + bindparam("delta")),
            [{"of": tenant, "on": account, "delta": delta} for (tenant, account), delta in deltas.items()],
        )


async def _add_at_once(work: Work, deltas: Mapping[tuple[str, str], int]) -> None:
    """All in one statement, which takes them in an order of its own; so they are locked in the given one before."""
    rows = [{"tenant": of, "account": on, "balance_fen": delta} for (of, on), delta in deltas.items()]
    given, arrays = as_arrays(ledger_accounts, rows)
    same = and_(ledger_accounts.c.tenant == given.c.tenant, ledger_accounts.c.account == given.c.account)
    in_order = select(ledger_accounts.c.account).where(same).order_by(given.c.ordinal)
    await work.execute(in_order.with_for_update(of=ledger_accounts), arrays)
    changed = ledger_accounts.update().where(same)
    await work.execute(changed.values(balance_fen=ledger_accounts.c.balance_fen + given.c.balance_fen), arrays)


async def balance_drift(work: Work, tenant: str) -> int:
    """The sum of |balance - fold of postings| over all accounts of a tenant, in fen."""
    arrived = select(
        ledger_postings.c.to_account.label("account"), func.sum(ledger_postings.c.amount_fen).label("fen")
    ).where(ledger_postings.c.tenant == tenant)
    left = select(ledger_postings.c.from_account, -func.sum(ledger_postings.c.amount_fen)).where(
        ledger_postings.c.tenant == tenant
    )
    held = select(ledger_accounts.c.account, -ledger_accounts.c.balance_fen).where(ledger_accounts.c.tenant == tenant)
    moves = (
        arrived.group_by(ledger_postings.c.to_account)
        .union_all(left.group_by(ledger_postings.c.from_account), held)
        .subquery()
    )
    per_account = select(func.sum(moves.c.fen).label("off")).group_by(moves.c.account).subquery()
    return int(await work.scalar(select(func.coalesce(func.sum(func.abs(per_account.c.off)), 0))))


async def entries_without_postings(work: Work, tenant: str) -> int:
    """How many entries move nothing: each is half a booking."""
    posted = select(ledger_postings.c.entry).where(
        and_(ledger_postings.c.tenant == tenant, ledger_postings.c.entry == ledger_entries.c.entry)
    )
    query = select(func.count()).where(and_(ledger_entries.c.tenant == tenant, ~posted.exists()))
    return int(await work.scalar(query))
