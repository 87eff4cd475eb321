"""No list asks the database more often because there is more to list: every operation of every dialect that looks.

Each is asked twice of one world; in between, every row of the database is written twice more, under other keys. The
operations come from the dialects' tables and the rows from the database's, so that a new list takes part by
itself; it fails where the world has nothing for it to list, until `FILLED` says what.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter
from sqlalchemy import Table, UniqueConstraint, event, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.app import DIALECTS
from cloud.database import Database
from cloud.facades.dialect import Operation
from cloud.facades.iot.wire import Listed
from cloud.facades.native.shapes import All, PageOf
from cloud.migrations import whole_metadata
from tests.cloud.api.conftest import bearer
from tests.cloud.api.examples import examples
from tests.cloud.api.world import Business, open_business
from tests.contracts.test_reach import example_of
from tests.contracts.world import BRAND, World

TABLES = {dialect.name: dialect for dialect in DIALECTS}
TIMES = 3

# A row for lists of which the world holds nothing: operation -> (table, columns). What is left out is empty.
FILLED: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "native": {
        "list_audit": ("audit_log", {"seq": 1, "role": "owner", "detail": "{}"}),
        "machine_history": (
            "facts",
            {"machine": "{machine}", "epoch": "e", "seq": 1, "body": "{}", "clock_state": "set"},
        ),
        "list_movements": ("stock_movements", {"machine": "{machine}", "source": "s1", "kind": "load"}),
        "list_faults": ("faults", {"machine": "{machine}", "code": "jam", "scope": "a1", "active": True}),
        "list_warehouse": ("warehouse_balances", {"shop": "{shop}", "goods": "{goods}"}),
        "list_warehouse_movements": (
            "warehouse_movements",
            {"shop": "{shop}", "source": "s1", "goods": "{goods}", "kind": "receive"},
        ),
        "list_restocks": ("restocks", {"restock": "r1", "shop": "{shop}", "machine": "{machine}"}),
        "list_callbacks": ("payment_callbacks", {"callback": "c1", "verdict": "applied"}),
        "list_codes": ("phone_codes", {"phone": "13900000001", "purpose": "register", "expires_ms": 2**50}),
        "list_refunds": ("refunds", {"refund": "r1", "order": "{order}", "amount_fen": 1}),
        "list_pour_refunds": ("refunds", {"refund": "r2", "order": "{pour}", "amount_fen": 1}),
        "list_reviews": (
            "orders",
            {"order": "o1", "machine": "{machine}", "state": "review", "source": "button", "means": "coin"},
        ),
        "list_flows": ("water_flows", {"machine": "{purifier}", "source": "s1", "kind": "leak"}),
        "list_filter_changes": ("filter_changes", {"machine": "{purifier}", "source": "s1"}),
        "list_calibrations": ("calibrations", {"machine": "{purifier}", "source": "s1"}),
        "list_visits": ("visits", {"machine": "{machine}", "visit": "v1", "actions": "[]"}),
        "list_unclaimed": (
            "quarantine",
            {"tenant": "", "item": "i1", "machine": "stranger", "reason": "unclaimed"},
        ),
    },
    "iot": {
        "list_commission": (
            "commissions",
            {"purchase": "20261120CHLU000000000001", "level": 1, "amount_fen": 1, "state": "pending"},
        ),
        "agent_commission": (
            "commissions",
            {"purchase": "20261120CHLU000000000002", "level": 1, "amount_fen": 1, "state": "pending", "unit": "SH888"},
        ),
        "list_signings": ("brand_signings", {"signing": "1"}),
    },
}
# What is short by its nature, whatever a business holds.
SHORT = {
    "list_aisles": "the configuration of one machine, which is one document",
    "sales_by_hour": "the hours of a period",
    "water_by_plan": "the plans that there are",
    "list_rights": "the roles that there are",
    "get_goods_bycode": "one kind of goods",
    "get_order_info": "one order",
    "get_today_data": "the hours of a day, and the five best",
    "get_date_board": "the days of a period",
}

Asking = Callable[[], Awaitable[httpx2.Response]]


def looks(operation: Operation) -> bool:
    return operation.changes is None and not operation.streams and operation.tells is not None


def lists(operation: Operation) -> bool:
    """Whether what it tells is a list: of old clients' answers any part may be one."""
    tells = operation.tells
    if operation.flag is not None:
        return '"type": "array"' in json.dumps(TypeAdapter(tells).json_schema())
    return issubclass(tells, PageOf | All | Listed)


@pytest.mark.parametrize("dialect", TABLES)
async def test_three_times_the_rows_are_as_many_statements(dialect: str, world: World) -> None:
    wanted = [operation for operation in TABLES[dialect].operations if looks(operation)]
    if dialect == "native":
        own = await open_business(world.database, "counted")
        names, asking = asdict(own), _native(own, wanted, world)
    else:
        names, asking = {"tenant": BRAND}, await _old(dialect, wanted, world)
    async with _writing(world.database) as connection:
        for table, columns in FILLED.get(dialect, {}).values():
            await connection.execute(insert(whole_metadata().tables[table]).values(_whole(table, columns, names)))
    before = {name: await _asked(world.database, ask) for name, ask in asking.items()}
    async with _writing(world.database) as connection:
        await multiply(connection)
    wrong = []
    for operation in wanted:
        name = operation.name
        (few, statements), (many, now) = before[name], await _asked(world.database, asking[name])
        if now != statements:
            wrong.append(f"{name}: {statements} statements for {few} rows, and {now} for {many}")
        if lists(operation) and many <= few and name not in SHORT:
            wrong.append(f"{name}: lists {few} rows and then {many}: nothing is there for it to list")
    assert not wrong, "\n".join(wrong)


@asynccontextmanager
async def _writing(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that writes rows of every tenant."""
    async with database.engine.begin() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT set_config('aisleflow.tenant', '*', true)"))
        yield connection


def _native(own: Business, wanted: list[Operation], world: World) -> dict[str, Asking]:
    """How each operation is asked of the native API."""
    known, headers, prefix = examples(own), bearer(own.tokens["platform"]), TABLES["native"].prefix
    return {
        one.name: partial(
            world.client.get,
            prefix + one.path.format(**known[one.name].path),
            params=known[one.name].query,
            headers=headers,
        )
        for one in wanted
    }


async def _old(dialect: str, wanted: list[Operation], world: World) -> dict[str, Asking]:
    """How each operation is asked of an older dialect, after everything that comes before."""
    found: dict[str, Asking] = {}
    for operation in wanted:
        documented, _ = example_of(dialect, operation)
        # Who asks for least is told most.
        possible = [one for one in documented.cases if not (one.refused or one.form or one.caller)]
        case = min(possible, key=lambda one: len(one.send or ()) + len(one.query))
        talk = world.talk(dialect)
        for step in case.before:
            await talk.play(step)
        if operation.method == "GET":
            case = replace(case, query={"limit": 100, **case.query})
        found[operation.name] = partial(talk.response, documented, case, documented.caller)
    return found


def _whole(table: str, columns: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """A row of which only `columns` are told."""
    given = {
        name: value.format_map(names) if "{" in str(value) and value != "{}" else value
        for name, value in columns.items()
    }
    empty = {
        column.name: column.type.python_type() for column in whole_metadata().tables[table].c if not column.nullable
    }
    return {**empty, "tenant": names["tenant"], **given}


async def _asked(database: Database, ask: Asking) -> tuple[int, int]:
    """How many rows are told, and how many statements it takes; the first time may look up what is then known."""
    await ask()
    with counted(database) as statements:
        answer = await ask()
    assert answer.status_code == 200, answer.text
    assert answer.json().get("ret", 0) == 0, answer.text
    return _rows(answer.json()), len(statements)


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Everything that is said to the database inside this block."""
    statements: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", hear)
    try:
        yield statements
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", hear)


def _rows(value: Any) -> int:
    """How many elements all lists of an answer have."""
    if isinstance(value, dict):
        return sum(_rows(part) for part in value.values())
    if isinstance(value, list):
        return len(value) + sum(_rows(part) for part in value)
    return 0


async def multiply(connection: AsyncConnection) -> None:
    """Write every row of every table again, under other keys; what a table refuses is left out."""
    for table in whole_metadata().sorted_tables:
        written = [column for column in table.c if column.computed is None]
        rows = [dict(row) for row in (await connection.execute(select(*written))).mappings()]
        key = [column.name for column in table.primary_key.columns]
        for row, copy in product(rows, range(1, TIMES)):
            # Mostly the last column is the row's own; where it counts to three, the one before is.
            for name in key[:0:-1] or key:
                if await _accepted(connection, table, _copied(table, row, name, copy)):
                    break


async def _accepted(connection: AsyncConnection, table: Table, row: dict[str, Any]) -> bool:
    try:
        async with connection.begin_nested():
            await connection.execute(insert(table).values(row))
    except IntegrityError:
        return False
    return True


def _copied(table: Table, row: dict[str, Any], key: str, copy: int) -> dict[str, Any]:
    """The row with another value in the column `key`, and in all that must be its own."""
    unique = [[*one.columns] for one in table.constraints if isinstance(one, UniqueConstraint)]
    unique += [list(one.columns) for one in table.indexes if one.unique]
    # People are told apart by their numbers.
    own = {key, *(columns[-1].name for columns in unique)} | {"phone", "keeper_phone"} & row.keys()
    return row | {name: _other(row[name], copy) for name in own}


def _other(value: Any, copy: int) -> Any:
    """Another value of the same kind. What ends in digits goes on with them: numbers are read by their form."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value + copy * 1_000
    digits = re.search(r"\d+$", str(value))
    if digits is None:
        return f"{value}{copy}"
    return f"{value[: digits.start()]}{int(digits[0]) + copy * 1_000:0{len(digits[0])}}"
