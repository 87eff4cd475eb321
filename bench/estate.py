"""A large business in PostgreSQL, made of SQL alone: machines, aisles, goods, members and years of orders.

A table is filled by one INSERT from a series of numbers. A column that is not named gets the empty value of its type,
so that the estate keeps up with columns that are added elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Integer, Table

from cloud.accounts.model import mint_token, token_hash
from cloud.migrations import whole_metadata
from cloud.purchases.model import Line, Receiver
from shared.messages import AisleConfig, MachineConfig, encode

TENANT = "estate"
CODE = "BNCH"
DAY_MS = 24 * 3_600_000
SHOPS = 50
AISLES = 10
PRICE_FEN = 350
# How far back the orders reach.
DAYS = 365


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of everything, and how many requests each client sends per list."""

    machines: int
    orders: int
    members: int
    requests: int


@dataclass(frozen=True, slots=True)
class Estate:
    """A token of each dialect for the owner, and things to ask for."""

    tokens: Mapping[str, str]
    machine: str
    shop: str


class Fill(Protocol):
    """Fills a table with `count` rows; columns are SQL expressions of the row's number `n`."""

    async def __call__(self, table: str, count: int, /, **columns: str) -> None: ...


async def build(connection: asyncpg.Connection, size: Size, now_ms: int) -> Estate:
    """Fill an empty, migrated database."""
    await connection.execute("SELECT set_config('aisleflow.tenant', '*', false)")
    tables = whole_metadata().tables
    tokens = {audience: mint_token(TENANT) for audience in ("native", "vending", "iot")}

    async def fill(table: str, count: int, /, **columns: str) -> None:
        await connection.execute(_insert(tables[table], count, columns))

    await _people(connection, tables["tokens"], tokens, fill, now_ms)
    await fill(
        "goods",
        500,
        goods="'VG' || n",
        name="'Goods ' || n",
        price_fen=str(PRICE_FEN),
        created_ms=str(now_ms),
        pictures="'[]'",
    )
    await fill(
        "members",
        size.members,
        member="'CU' || n",
        name="'Member ' || n",
        phone="'139' || lpad(n::text, 8, '0')",
        state="'active'",
    )
    await _machines(fill, size, now_ms)
    await _sales(fill, size, now_ms)
    # A database that has lived for a while was vacuumed: only then an index alone is enough to count by.
    await connection.execute("VACUUM ANALYZE")
    return Estate(tokens, "VI7", "SH7")


async def _people(
    connection: asyncpg.Connection, table: Table, tokens: Mapping[str, str], fill: Fill, now_ms: int
) -> None:
    await fill("tenants", 1, name="'Estate'", created_ms=str(now_ms))
    await fill("audit_heads", 1)
    await fill("brand_profiles", 1, options="'{}'")
    await fill("brand_codes", 1, code=f"'{CODE}'")
    # The native lists of the platform itself are for its own people; the brand's owner asks the dialects.
    role = "CASE n WHEN 0 THEN 'platform' ELSE 'owner' END"
    await fill("users", 2, user="'u' || n", login="'user' || n", role=role, name="'User ' || n")
    await fill("units", SHOPS, unit="'SH' || n", kind="'shop'", name="'Shop ' || n", path="'/SH' || n || '/'")
    for audience, token in tokens.items():
        columns = {
            "token_hash": f"'{token_hash(token)}'",
            "user": f"'u{int(audience != 'native')}'",
            "holder": "'user'",
        }
        expires = {"expires_ms": str(now_ms + DAY_MS), "audience": f"'{audience}'"}
        await connection.execute(_insert(table, 1, columns | expires))


async def _machines(fill: Fill, size: Size, now_ms: int) -> None:
    machine, shop = {"machine": "'VI' || n"}, f"'SH' || (n % {SHOPS})"
    claimed = {"registered_ms": str(now_ms), "claimed_ms": str(now_ms), "credential_version": "1"}
    await fill("machine_directory", size.machines, **machine)
    await fill("machines", size.machines, **machine, **claimed, name="'Machine ' || n", number="n::text", shop=shop)
    await fill("machine_states", size.machines, **machine, online="true", last_seen_ms=str(now_ms), selling="true")
    layout = tuple(
        AisleConfig(aisle=f"a{n}", board=1, motor=n, goods=f"VG{n}", price_fen=PRICE_FEN, capacity=10)
        for n in range(AISLES)
    )
    document = encode(MachineConfig(machine="MACHINE", version=1, aisles=layout)).decode().replace("'", "''")
    written = {"version": "1", "document": f"replace('{document}', 'MACHINE', 'VI' || n)"}
    await fill("machine_configs", size.machines, **machine, **written, made_ms=str(now_ms))
    of_aisle = {"machine": f"'VI' || (n / {AISLES})", "aisle": f"'a' || (n % {AISLES})"}
    goods = f"'VG' || (n % {AISLES})"
    listed = {
        "id": "'AI' || (n + 1)",
        "price_fen": str(PRICE_FEN),
        "capacity": "10",
        "for_sale": "true",
        "listed": "true",
    }
    balances = {"goods": goods, "on_hand": "(n * 7919) % 11", "for_sale": "true"}
    await fill("stock_balances", size.machines * AISLES, **of_aisle, **balances)
    await fill("aisles", size.machines * AISLES, **of_aisle, **listed, goods=goods, name=of_aisle["aisle"])
    await fill("warehouse_balances", SHOPS * AISLES, shop=f"'SH' || (n / {AISLES})", goods=goods, on_hand="100")


async def _sales(fill: Fill, size: Size, now_ms: int) -> None:
    # Spread evenly over the days and, with a step that shares no factor with them, over the machines.
    placed = f"{now_ms} - (n * {DAYS * DAY_MS} / {size.orders})"
    sold = {"price_fen": str(PRICE_FEN), "paid_fen": str(PRICE_FEN), "state": "'delivered'", "source": "'order'"}
    where = {"machine": f"'VI' || ((n * 7919) % {size.machines})", "aisle": f"'a' || (n % {AISLES})"}
    shop = {"shop": f"'SH' || (((n * 7919) % {size.machines}) % {SHOPS})"}
    what = {"goods": f"'VG' || (n % {AISLES})", "member": f"'CU' || (n % {size.members})", "means": "'escrow'"}
    when = {"placed_ms": placed, "ended_ms": placed, "delivered_aisle": where["aisle"]}
    await fill("orders", size.orders, order="'o' || lpad(n::text, 20, '0')", **sold, **where, **shop, **what, **when)
    # As long as what people write: what a table weighs decides whether it is read through or asked by an index.
    line = Line(product=f"{CODE}0123456789abcdef", name="Purifier with four stages", quantity=1, price_fen=PRICE_FEN)
    receiver = Receiver(name="Bench", phone="13900000000", area="Bench, Bench, Bench", address="No. 1, Bench Road")
    bought = {
        "kind": "'goods'",
        "state": "'done'",
        "goods_fen": str(PRICE_FEN),
        "lines": f"'{msgspec.json.encode([line]).decode()}'",
        "receiver": f"'{msgspec.json.encode(receiver).decode()}'",
    }
    number = f"'20261128{CODE}' || lpad(n::text, 12, '0')"
    what = {"member": what["member"], "delivery": "'{}'", "created_ms": placed}
    await fill("purchases", size.orders // 10, purchase=number, **bought, **what)
    job = {
        "ticket": "'FD' || (n + 1)",
        "code": "'low_stock'",
        "kind": "'maintenance'",
        "state": "'finished'",
        "priority": "2",
    }
    opened = {"opened_ms": placed, "closed_ms": placed, "machine": where["machine"], "scope": where["aisle"]}
    await fill("tickets", size.machines * 10, **job, **opened)


def _insert(table: Table, count: int, columns: Mapping[str, str]) -> str:
    given = {"tenant": f"'{TENANT}'", **columns}
    wanted = [column for column in table.c if column.name in given or not column.nullable]
    names = ", ".join(f'"{column.name}"' for column in wanted)
    values = ", ".join(given.get(column.name) or _empty(column) for column in wanted)
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM generate_series(0::bigint, {count - 1}) AS n"


def _empty(column: Column[object]) -> str:
    if isinstance(column.type, Boolean):
        return "false"
    return "0" if isinstance(column.type, BigInteger | Integer) else "''"
