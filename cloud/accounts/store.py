"""SQL of tenants and their units, users, tokens, sign-in counters and the audit log."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    Row,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    select,
)

from cloud.accounts.model import Brand, Signing, Tenant, Unit, User
from cloud.database import Work, metadata, one_of, record_of, row_of, tenant_column

tenants = Table(
    "tenants",
    metadata,
    tenant_column(),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    tenant_column(),
    Column("user", Text, primary_key=True),
    Column("login", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("password_is_temporary", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # The unit he works for; NULL: the whole tenant.
    Column("unit", Text),
    Column("phone", Text, nullable=False),
    # Of the password as older clients send it; NULL: he does not sign in there.
    Column("md5_hash", Text),
    # Where he works from: an area (province, city, district), and coordinates.
    Column("area", Text, nullable=False),
    Column("coordinates", Text, nullable=False),
    UniqueConstraint("tenant", "login"),
    Index("ix_users_unit", "tenant", "unit"),
)

# Who signs in by a phone number, over all tenants: a number is asked for before a tenant is known.
phones = Table(
    "phones",
    metadata,
    Column("phone", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("user", Text, nullable=False),
)

# `path` has every unit from the top down to this one, so a subtree is a prefix.
units = Table(
    "units",
    metadata,
    tenant_column(),
    Column("unit", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("parent", Text),
    Column("path", Text, nullable=False),
    Column("logo", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Index("ix_units_path", "tenant", "path"),
)

# The four letters that stand in the numbers of a brand's users, products, orders and tickets; unique over all tenants.
brand_codes = Table(
    "brand_codes",
    metadata,
    Column("code", Text, primary_key=True),
    Column("tenant", Text, nullable=False, unique=True),
)

# What is known of a tenant as a brand; a tenant without a row is one that nobody described yet.
brand_profiles = Table(
    "brand_profiles",
    metadata,
    tenant_column(),
    Column("owner", Text),
    Column("state", Text, nullable=False),
    Column("kind", BigInteger, nullable=False),
    Column("short_name", Text, nullable=False),
    Column("logo", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("wechat", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("remark", Text, nullable=False),
    Column("reserved", Text, nullable=False),
    Column("mp_gid", Text, nullable=False),
    Column("mp_appid", Text, nullable=False),
    Column("mch_gid", Text, nullable=False),
    Column("mch_appid", Text, nullable=False),
    Column("mp_secret_sealed", Text, nullable=False),
    Column("mch_secret_sealed", Text, nullable=False),
    Column("options", Text, nullable=False),
    # The row stays: its id and its letters are never given again.
    Column("closed_ms", BigInteger),
)

brand_signings = Table(
    "brand_signings",
    metadata,
    tenant_column(),
    Column("signing", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("signed_ms", BigInteger),
    Column("begins_ms", BigInteger),
    Column("ends_ms", BigInteger),
    Column("amount_fen", BigInteger, nullable=False),
    Column("remark", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("amount_fen >= 0", name="amount"),
)

# A row lives until its token expires or is revoked; the token itself is nowhere. It is valid in the dialect that gave
# it (`audience`), and belongs to a user or to a member (`holder`).
tokens = Table(
    "tokens",
    metadata,
    tenant_column(),
    Column("token_hash", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("audience", Text, nullable=False),
    Column("holder", Text, nullable=False),
)

# Addresses from which a user has signed in: strangers who guess elsewhere cannot keep him out from there.
known_addresses = Table(
    "known_addresses",
    metadata,
    tenant_column(),
    Column("user", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("seen_ms", BigInteger, nullable=False),
)

# Counts tries before anybody is recognised, for logins and tenants that may not exist: it belongs to no tenant.
sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_ms", BigInteger, nullable=False, index=True),
    Column("not_before_ms", BigInteger, nullable=False),
)

# Append-only by trigger. `hash` covers the row and the hash before it, so a row changed behind the back is found.
audit_log = Table(
    "audit_log",
    metadata,
    tenant_column(),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

# The end of each tenant's chain; its row lock puts the writers of one tenant in line.
audit_heads = Table(
    "audit_heads",
    metadata,
    tenant_column(),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)


# --- tenants ---


async def add_tenant(work: Work, tenant: Tenant) -> bool:
    """Write a tenant; False when the id is taken, also by somebody who is writing it just now."""
    row = {"tenant": tenant.tenant, "name": tenant.name, "created_ms": tenant.created_ms}
    if not await work.changed(work.upsert(tenants).values(row).on_conflict_do_nothing()):
        return False
    await work.insert(audit_heads, [{"tenant": tenant.tenant, "seq": 0, "hash": ""}])
    return True


async def lock_tenant(work: Work, tenant: str) -> None:
    """Let others that lock this tenant wait until the work ends."""
    await work.rows(select(tenants.c.tenant).where(tenants.c.tenant == tenant).with_for_update())


async def all_tenants(work: Work) -> list[Tenant]:
    """Every tenant, by id."""
    return [Tenant(row.tenant, row.name, row.created_ms) for row in await work.rows(select(tenants).order_by("tenant"))]


async def knows_tenant(work: Work, tenant: str) -> bool:
    """Whether there is a tenant of this id."""
    return await work.scalar(select(tenants.c.tenant).where(tenants.c.tenant == tenant)) is not None


async def find_tenant(work: Work, tenant: str) -> Tenant | None:
    """One tenant."""
    row = await work.row(select(tenants).where(tenants.c.tenant == tenant))
    return None if row is None else Tenant(row.tenant, row.name, row.created_ms)


async def rename_tenant(work: Work, tenant: str, name: str) -> None:
    """Change what a tenant is called."""
    await work.execute(tenants.update().where(tenants.c.tenant == tenant).values(name=name))


async def find_brand(work: Work, tenant: str, *, lock: bool = False) -> Brand:
    """What is known of a tenant as a brand. Locked, other Works that change it wait until this one ends."""
    if lock:
        # Made first, so that there is always a row to lock.
        await work.insert_new(brand_profiles, [row_of(Brand(tenant=tenant))])
    query = select(brand_profiles).where(brand_profiles.c.tenant == tenant)
    row = await work.row(query.with_for_update() if lock else query)
    return Brand(tenant=tenant) if row is None else record_of(Brand, row)


_OPTIONS = select(brand_profiles.c.tenant, brand_profiles.c.options).where(
    brand_profiles.c.tenant.in_(bindparam("tenants", expanding=True))
)


async def options_of(work: Work, tenants: Collection[str]) -> dict[str, str]:
    """What brands chose for themselves, as JSON, by tenant; those that nobody described are left out."""
    return {row.tenant: row.options for row in await work.rows(_OPTIONS, {"tenants": sorted(tenants)})}


async def put_brand(work: Work, brand: Brand) -> None:
    """Write what is known of a brand."""
    await work.put(brand_profiles, [row_of(brand)])


async def find_signing(work: Work, tenant: str, signing: str | None) -> Signing | None:
    """One signed contract; None: the one noted last."""
    query = select(brand_signings).where(brand_signings.c.tenant == tenant)
    if signing is not None:
        query = query.where(brand_signings.c.signing == signing)
    row = await work.row(query.order_by(brand_signings.c.created_ms.desc(), brand_signings.c.signing.desc()).limit(1))
    return None if row is None else record_of(Signing, row)


async def put_signing(work: Work, signing: Signing) -> None:
    """Write a signed contract."""
    await work.put(brand_signings, [row_of(signing)])


async def remove_signing(work: Work, tenant: str, signing: str) -> bool:
    """Forget a signed contract; False when there is none of this id."""
    here = and_(brand_signings.c.tenant == tenant, brand_signings.c.signing == signing)
    return await work.changed(delete(brand_signings).where(here)) == 1


async def put_brand_code(work: Work, tenant: str, code: str) -> bool:
    """Give a tenant its four letters; False when they are taken, or it has others."""
    await work.insert_new(brand_codes, [{"code": code, "tenant": tenant}])
    return await code_of(work, tenant) == code


async def code_of(work: Work, tenant: str) -> str | None:
    """The four letters of a tenant."""
    found: str | None = await work.scalar(select(brand_codes.c.code).where(brand_codes.c.tenant == tenant))
    return found


async def codes_of(work: Work, tenants: Collection[str]) -> dict[str, str]:
    """The four letters of those tenants that have some."""
    rows = await work.rows(select(brand_codes).where(brand_codes.c.tenant.in_(sorted(tenants))))
    return {row.tenant: row.code for row in rows}


async def tenant_of_code(work: Work, code: str) -> str | None:
    """The tenant with these four letters."""
    found: str | None = await work.scalar(select(brand_codes.c.tenant).where(brand_codes.c.code == code))
    return found


# --- units ---


_UNIT = select(units).where(units.c.tenant == bindparam("tenant"), units.c.unit == bindparam("unit"))


async def find_unit(work: Work, tenant: str, unit: str) -> Unit | None:
    """One unit of a tenant."""
    row = await work.row(_UNIT, {"tenant": tenant, "unit": unit})
    return None if row is None else record_of(Unit, row)


async def units_below(work: Work, tenant: str, path: str) -> list[Unit]:
    """The units of a tenant whose path begins with `path`, from the top down."""
    query = select(units).where(units.c.tenant == tenant, units.c.path.startswith(path, autoescape=True))
    return [record_of(Unit, row) for row in await work.rows(query.order_by(units.c.path))]


async def put_unit(work: Work, unit: Unit) -> None:
    """Write a unit."""
    await work.put(units, [row_of(unit)])


# --- users ---

_USER = [column for column in users.c if column.name not in ("password_hash", "md5_hash")]


async def add_user(work: Work, user: User, password_hash: str, md5_hash: str | None = None) -> bool:
    """Write a user; False when the login is taken in his tenant, or the phone number anywhere."""
    if await user_by_login(work, user.tenant, user.login) is not None:
        return False
    if user.phone and not await take_phone(work, user.phone, user.tenant, user.user):
        return False
    row = {column.name: getattr(user, column.name) for column in _USER}
    await work.insert(users, [{**row, "password_hash": password_hash, "md5_hash": md5_hash}])
    return True


async def take_phone(work: Work, phone: str, tenant: str, user: str) -> bool:
    """Let a user sign in by this number; False when it is somebody else's."""
    await work.insert_new(phones, [{"phone": phone, "tenant": tenant, "user": user}])
    row = await work.row(select(phones).where(phones.c.phone == phone))
    return row is not None and (row.tenant, row.user) == (tenant, user)


async def holders_of_phones(work: Work, wanted: Collection[str]) -> dict[str, tuple[str, str]]:
    """Tenant and user who sign in by these numbers, as far as anybody does."""
    found: dict[str, tuple[str, str]] = {}
    for some in one_of(work, phones.c.phone, sorted(wanted)):
        rows = await work.rows(select(phones).where(some))
        found |= {row.phone: (row.tenant, row.user) for row in rows}
    return found


async def leave_phones(work: Work, tenant: str, user: str | None = None, *, phone: str | None = None) -> None:
    """Nobody of a tenant signs in by number any more; or only this user does not, or only not by this number."""
    wanted = {"user": user, "phone": phone}
    here = [phones.c[name] == value for name, value in wanted.items() if value is not None]
    await work.execute(delete(phones).where(phones.c.tenant == tenant, *here))


async def remove_all_tokens(work: Work, tenant: str) -> None:
    """Sign everybody of a tenant out, its people and its members."""
    await work.execute(delete(tokens).where(tokens.c.tenant == tenant))


async def tenant_of_phone(work: Work, phone: str) -> str | None:
    """The tenant whose user signs in by this number."""
    found: str | None = await work.scalar(select(phones.c.tenant).where(phones.c.phone == phone))
    return found


async def user_by_phone(work: Work, tenant: str, phone: str) -> tuple[User, str, str | None] | None:
    """The user who signs in by this number, and the hashes of his password: plain, and as older clients send it."""
    query = select(users).join(phones, (phones.c.tenant == users.c.tenant) & (phones.c.user == users.c.user))
    row = await work.row(query.where(phones.c.phone == phone, users.c.tenant == tenant))
    return None if row is None else (_user(row), row.password_hash, row.md5_hash)


async def find_user(work: Work, tenant: str, user: str) -> User | None:
    """One user of one tenant."""
    row = await work.row(select(*_USER).where(users.c.tenant == tenant, users.c.user == user))
    return _user(row) if row is not None else None


async def user_by_login(work: Work, tenant: str, login: str) -> tuple[User, str] | None:
    """The user who signs in as `login`, and his password's hash."""
    row = await work.row(select(users).where(users.c.tenant == tenant, users.c.login == login))
    return (_user(row), row.password_hash) if row is not None else None


async def users_of(work: Work, tenant: str) -> list[User]:
    """The people of a tenant, by login."""
    found = await work.rows(select(*_USER).where(users.c.tenant == tenant).order_by(users.c.login))
    return [_user(row) for row in found]


async def any_of_platform(work: Work) -> bool:
    """Whether anybody of the platform's own people can sign in."""
    here = and_(users.c.role == "platform", ~users.c.disabled)
    return await work.scalar(select(users.c.user).where(here).limit(1)) is not None


async def change_user(work: Work, tenant: str, user: str, **columns: Any) -> None:
    """Change columns of one user."""
    await work.execute(users.update().where(users.c.tenant == tenant, users.c.user == user).values(**columns))


async def logins_of_users(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, str]:
    """The logins of users by id, as far as they exist."""
    found: dict[str, str] = {}
    for some in one_of(work, users.c.user, sorted(wanted)):
        query = select(users.c.user, users.c.login).where(users.c.tenant == tenant, some)
        found |= {row.user: row.login for row in await work.rows(query)}
    return found


def _user(row: Row[Any]) -> User:
    return User(**{column.name: getattr(row, column.name) for column in _USER})


async def leave_unit(work: Work, tenant: str, unit: str) -> None:
    """Shut out the people of one unit, for good: nobody signs in by their numbers, and their tokens are revoked."""
    theirs = select(users.c.user).where(users.c.tenant == tenant, users.c.unit == unit)
    for table in (phones, tokens):
        await work.execute(delete(table).where(table.c.tenant == tenant, table.c.user.in_(theirs)))
    here = users.c.tenant == tenant, users.c.unit == unit
    await work.execute(users.update().where(*here).values(disabled=True))


# --- tokens ---


async def add_token(
    work: Work,
    tenant: str,
    token_hash: str,
    user: str,
    expires_ms: int,
    *,
    audience: str = "native",
    holder: str = "user",
) -> None:
    """Remember a token by its hash, and forget those of this tenant that have expired."""
    await work.execute(delete(tokens).where(tokens.c.tenant == tenant, tokens.c.expires_ms <= work.now_ms))
    row = {"tenant": tenant, "token_hash": token_hash, "user": user}
    row |= {"audience": audience, "holder": holder}
    await work.insert(tokens, [{**row, "created_ms": work.now_ms, "expires_ms": expires_ms}])


def _holder() -> Select[Any]:
    same_user = (tokens.c.tenant == users.c.tenant) & (tokens.c.user == users.c.user) & (tokens.c.holder == "user")
    his_unit = (units.c.tenant == users.c.tenant) & (units.c.unit == users.c.unit)
    asked = [tokens.c[name] == bindparam(name) for name in ("tenant", "token_hash", "audience")]
    return (
        select(tokens.c.holder, tokens.c.user.label("held_by"), *_USER, *[c.label(f"unit_{c.name}") for c in units.c])
        .join_from(tokens, users, same_user, isouter=True)
        .join(units, his_unit, isouter=True)
        .where(*asked, tokens.c.expires_ms > bindparam("now_ms"))
    )


# Every request asks it first, so it is put together once.
_HOLDER = _holder()


async def holder_of_token(
    work: Work, tenant: str, token_hash: str, audience: str
) -> tuple[User, Unit | None] | str | None:
    """Who holds a token that has not expired: a user and his unit, or the id of a member."""
    asked = {"tenant": tenant, "token_hash": token_hash, "audience": audience, "now_ms": work.now_ms}
    row = await work.row(_HOLDER, asked)
    if row is None:
        return None
    if row.holder == "member":
        return str(row.held_by)
    if row.login is None:
        return None
    unit = Unit(**{c.name: row._mapping[f"unit_{c.name}"] for c in units.c}) if row.unit_unit is not None else None
    return _user(row), unit


async def remove_token(work: Work, tenant: str, token_hash: str) -> None:
    """Revoke one token."""
    await work.execute(delete(tokens).where(tokens.c.tenant == tenant, tokens.c.token_hash == token_hash))


async def remove_tokens_of(work: Work, tenant: str, user: str, *, holder: str = "user", but: str | None = None) -> None:
    """Revoke every token of one user, or of one member; the one with the hash `but` stays."""
    here = [tokens.c.tenant == tenant, tokens.c.user == user, tokens.c.holder == holder]
    if but is not None:
        here.append(tokens.c.token_hash != but)
    await work.execute(delete(tokens).where(*here))


async def sign_out(work: Work, tenant: str, wanted: Sequence[str], *, holder: str = "user") -> None:
    """Revoke every token of these users, or members."""
    for some in one_of(work, tokens.c.user, wanted):
        await work.execute(delete(tokens).where(tokens.c.tenant == tenant, tokens.c.holder == holder, some))


# --- sign-in counters ---


async def tries(work: Work, bucket: str) -> tuple[int, int]:
    """Failures and time of the next try of one bucket, locked until the work ends."""
    # Made first, so that there is always a row to lock.
    await work.insert_new(
        sign_in_tries, [{"bucket": bucket, "failures": 0, "last_ms": work.now_ms, "not_before_ms": 0}]
    )
    row = await work.row(select(sign_in_tries).where(sign_in_tries.c.bucket == bucket).with_for_update())
    assert row is not None, "the row was made above"
    return row.failures, row.not_before_ms


async def set_tries(work: Work, bucket: str, failures: int, not_before_ms: int) -> None:
    """Write the counter of one bucket."""
    values = {"failures": failures, "last_ms": work.now_ms, "not_before_ms": not_before_ms}
    statement = work.upsert(sign_in_tries).values(bucket=bucket, **values)
    await work.execute(statement.on_conflict_do_update(index_elements=["bucket"], set_=values))


async def remove_tries(work: Work, buckets: Sequence[str]) -> None:
    """Forget the counters of these buckets."""
    await work.execute(delete(sign_in_tries).where(sign_in_tries.c.bucket.in_(buckets)))


async def remove_tries_before(work: Work, last_ms: int) -> None:
    """Forget every counter that has been quiet since `last_ms`."""
    await work.execute(delete(sign_in_tries).where(sign_in_tries.c.last_ms < last_ms))


async def knows_address(work: Work, tenant: str, login: str, address: str) -> bool:
    """Whether the user of this login has signed in from `address` before."""
    query = (
        select(known_addresses.c.address)
        .join(users, (users.c.tenant == known_addresses.c.tenant) & (users.c.user == known_addresses.c.user))
        .where(users.c.tenant == tenant, users.c.login == login, known_addresses.c.address == address)
    )
    return await work.scalar(query) is not None


async def remember_address(work: Work, tenant: str, user: str, address: str) -> None:
    """Note that a user signed in from `address`."""
    statement = work.upsert(known_addresses).values(tenant=tenant, user=user, address=address, seen_ms=work.now_ms)
    await work.execute(
        statement.on_conflict_do_update(index_elements=["tenant", "user", "address"], set_={"seen_ms": work.now_ms})
    )


# --- audit log ---


async def audit_head(work: Work, tenant: str, *, lock: bool = False) -> tuple[int, str]:
    """Number and hash of a tenant's last audit row. Locked, the next writer of this tenant waits for this work."""
    query = select(audit_heads).where(audit_heads.c.tenant == tenant)
    row = await work.row(query.with_for_update() if lock else query)
    assert row is not None, "a tenant is born with its audit head"
    return row.seq, row.hash


async def append_audit(work: Work, row: dict[str, Any]) -> None:
    """Append one row and move the head to it."""
    await work.insert(audit_log, [{**row, "detail": json.dumps(row["detail"], ensure_ascii=False, sort_keys=True)}])
    head = audit_heads.update().where(audit_heads.c.tenant == row["tenant"])
    await work.execute(head.values(seq=row["seq"], hash=row["hash"]))


async def audit_rows(work: Work, tenant: str, *, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of a tenant's log in their order, from the one after `after`."""
    query = select(audit_log).where(audit_log.c.tenant == tenant, audit_log.c.seq > after).order_by(audit_log.c.seq)
    return [{**row._mapping, "detail": json.loads(row.detail)} for row in await work.rows(query.limit(limit))]


# --- codes sent to phones ---

# The last code for a phone and purpose; the next one replaces it. The code itself is nowhere: it follows from `message`
# and a key outside the database.
phone_codes = Table(
    "phone_codes",
    metadata,
    tenant_column(),
    Column("purpose", Text, primary_key=True),
    Column("phone", Text, primary_key=True),
    Column("message", Text, nullable=False),
    Column("sent_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    CheckConstraint("tries >= 0 AND tries <= 5", name="tries"),
    UniqueConstraint("tenant", "message"),
    Index("ix_phone_codes_expires", "tenant", "expires_ms"),
)

# How many codes went to a phone, to an address or out of a tenant within a period.
code_budgets = Table(
    "code_budgets",
    metadata,
    tenant_column(),
    Column("bucket", Text, primary_key=True),
    Column("period_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("sent", BigInteger, nullable=False),
)


async def find_code(work: Work, tenant: str, purpose: str, phone: str, *, lock: bool = False) -> Row[Any] | None:
    """The last code for a phone and purpose; locked until the work ends."""
    query = select(phone_codes).where(_code(tenant, purpose, phone))
    return await work.row(query.with_for_update() if lock else query)


async def code_by_message(work: Work, tenant: str, message: str) -> Row[Any] | None:
    """The code that a message carries, unless a newer one has replaced it."""
    return await work.row(select(phone_codes).where(phone_codes.c.tenant == tenant, phone_codes.c.message == message))


async def put_code(work: Work, row: dict[str, Any]) -> None:
    """Write the last code for a phone and purpose."""
    await work.put(phone_codes, [row])


async def count_code_try(work: Work, tenant: str, purpose: str, phone: str, tries_max: int) -> bool:
    """Count one try at a code that still can be used; False when there is none."""
    live = and_(
        phone_codes.c.used_ms.is_(None), phone_codes.c.expires_ms > work.now_ms, phone_codes.c.tries < tries_max
    )
    count = phone_codes.update().where(_code(tenant, purpose, phone), live)
    return await work.changed(count.values(tries=phone_codes.c.tries + 1)) == 1


async def set_code_used(work: Work, tenant: str, purpose: str, phone: str) -> None:
    """A code has done its work."""
    await work.execute(phone_codes.update().where(_code(tenant, purpose, phone)).values(used_ms=work.now_ms))


async def live_codes(work: Work, tenant: str, limit: int) -> list[Row[Any]]:
    """Codes that still can be used, the newest first."""
    query = select(phone_codes).where(
        phone_codes.c.tenant == tenant, phone_codes.c.expires_ms > work.now_ms, phone_codes.c.used_ms.is_(None)
    )
    return list(await work.rows(query.order_by(phone_codes.c.expires_ms.desc(), phone_codes.c.phone).limit(limit)))


async def count_code(work: Work, tenant: str, bucket: str, period_ms: int) -> int:
    """Count one more code in a bucket's period; answers how many that makes."""
    statement = work.upsert(code_budgets).values(tenant=tenant, bucket=bucket, period_ms=period_ms, sent=1)
    upsert = statement.on_conflict_do_update(
        index_elements=["tenant", "bucket", "period_ms"], set_={"sent": code_budgets.c.sent + 1}
    )
    return int(await work.scalar(upsert.returning(code_budgets.c.sent)))


async def remove_old_codes(work: Work, tenant: str, before_ms: int) -> None:
    """Forget the codes and the counts of old periods: numbers of people are not kept longer than they serve."""
    old_codes = delete(phone_codes).where(phone_codes.c.tenant == tenant, phone_codes.c.expires_ms < before_ms)
    old_counts = delete(code_budgets).where(code_budgets.c.tenant == tenant, code_budgets.c.period_ms < before_ms)
    await work.execute(old_codes)
    await work.execute(old_counts)


def _code(tenant: str, purpose: str, phone: str) -> ColumnElement[bool]:
    return and_(phone_codes.c.tenant == tenant, phone_codes.c.purpose == purpose, phone_codes.c.phone == phone)
