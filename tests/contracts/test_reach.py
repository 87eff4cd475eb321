"""Every operation, asked by everybody about everything: who may not is refused, and nobody learns what is not his.

The callers are every level and role; the things are one's own, another brand's, another unit's; the operations come
from the dialects' tables, so that a new row without a policy or without an example fails here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import pytest

from cloud.accounts.model import POLICY, ROLES, Allowed, Level, Permission, Role
from cloud.app import DIALECTS
from cloud.facades.dialect import Dialect, Operation
from tests.contracts.contract import Case, Documented, contract, extra
from tests.contracts.making import CUSTOMERS
from tests.contracts.talk import Refusal, Talk
from tests.contracts.world import BELONGINGS, World

TABLES: dict[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS if dialect.name != "native"}


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks: how the world calls him, and what the policy knows of him."""

    name: str
    level: Level
    role: Role | None


def _askers() -> list[Asker]:
    """One person of every role at every level of the brand, a customer, and the platform."""
    below: tuple[Level, ...] = ("brand", "agent", "dealer", "shop")
    staff = [Asker(f"{level}_{role}", level, role) for level in below for role in ROLES if role != "platform"]
    return [Asker("platform", "platform", "platform"), *staff, Asker("anna", "customer", None)]


ASKERS = _askers()


def admits(operation: Operation, asker: Asker) -> bool:
    """What the policy says, computed from the tables and not by the code that is tested."""
    match operation.caller:
        case Permission() as permission:
            return asker.level in ("platform", "brand") and asker.role is not None and permission in POLICY[asker.role]
        case Allowed(levels=levels, permission=permission):
            if asker.level not in levels:
                return False
            return asker.role is None or permission is None or permission in POLICY[asker.role]
        case _:
            return True


@cache
def documented_of(dialect: str) -> dict[tuple[str, str, str | None], list[Documented]]:
    """The documented and the additional operations of a dialect by what selects them, ids in paths left open."""
    found: dict[tuple[str, str, str | None], list[Documented]] = {}
    for operation in (*contract(dialect).values(), *extra(dialect).values()):
        found.setdefault((operation.method, _open(operation.path), operation.flag), []).append(operation)
    return found


def _open(path: str) -> str:
    return re.sub(r"<\w+>|{\w+}", "*", path).rstrip("/")


def example_of(dialect: str, operation: Operation) -> tuple[Documented, Case]:
    """An ask that its rightful caller is answered."""
    ways = [(operation.method, operation.path), *operation.aliases]
    found = [
        one for method, path in ways for one in documented_of(dialect).get((method, _open(path), operation.flag), [])
    ]
    assert found, f"{dialect} {operation.method} {operation.path} {operation.flag or ''}: no example in tests/contracts"
    return found[0], next(case for case in found[0].cases if not case.refused and not case.form)


ROWS = [(name, row.name) for name, dialect in TABLES.items() for row in dialect.operations]


def row_of(dialect: str, name: str) -> Operation:
    return next(row for row in TABLES[dialect].operations if row.name == name)


@pytest.mark.parametrize(("dialect", "name"), ROWS)
def test_every_operation_has_a_policy_and_an_example(dialect: str, name: str) -> None:
    row = row_of(dialect, name)
    assert row.caller in ("public", "signed_in") or isinstance(row.caller, Permission | Allowed)
    assert (row.changes is None) == (row.method == "GET") or dialect == "vending" or row.caller == "public", name
    example_of(dialect, row)


@pytest.mark.parametrize(("dialect", "name"), ROWS)
async def test_everybody_asks(dialect: str, name: str, world: World) -> None:
    row = row_of(dialect, name)
    documented, case = example_of(dialect, row)
    talk = await _begin(world, dialect, case)
    wrong: list[str] = []
    if row.caller != "public":
        for caller in ("nobody", "guessed", "elsewhere", "newcomer"):
            told = await _ask(talk, documented, case, caller)
            wanted = {403} if caller == "newcomer" and row.caller != "signed_in" else {401}
            if caller == "newcomer" and row.caller == "signed_in":
                continue
            if not _refused(told, dialect, wanted):
                wrong.append(f"{caller}: {told}")
        for asker in ASKERS:
            if not admits(row, asker):
                told = await _ask(talk, documented, case, asker.name)
                if not _refused(told, dialect, {403}):
                    wrong.append(f"{asker.name} may not, and is answered {told}")
        wrong += await _strangers(talk, documented, case)
    for asker in ASKERS if row.caller != "public" else ():
        if admits(row, asker):
            told = await _ask(talk, documented, case, asker.name)
            if _is_about_permission(told):  # somebody before him may have changed his password, say
                talk = await _begin(world, dialect, case)
                told = await _ask(talk, documented, case, asker.name)
            if _is_about_permission(told):
                wrong.append(f"{asker.name} may, and is refused: {told}")
    assert not wrong, "\n".join(wrong)


async def _begin(world: World, dialect: str, case: Case) -> Talk:
    """A client in the world as it was settled, after what comes before the case."""
    await world.rewind()
    talk = world.talk(dialect)
    for step in case.before:
        await talk.play(step)
    if "$sms_" in repr(case):
        talk.values |= await world.sms_codes()
    return talk


async def _strangers(talk: Talk, documented: Documented, case: Case) -> list[str]:
    """Somebody of another brand, another unit or another household asks about what is ours."""
    wrong = []
    asked = str((talk.filled(case.send), talk.filled(case.path), talk.filled(case.query)))
    for caller, (belongings, must_refuse) in BELONGINGS.items():
        if caller == "ben" and CUSTOMERS["ben"][1] in repr((case.before, asked)):
            continue  # whom it names takes part in it
        answer = await talk.response(documented, case, caller)
        told = talk.speech.read(None, answer)
        leaked = [thing for thing in belongings if thing in answer.text and thing not in asked]
        if leaked:
            wrong.append(f"{caller} learns {leaked}: {answer.text:.300}")
        named = [thing for thing in must_refuse if thing in asked]
        if named and not isinstance(told, Refusal):
            wrong.append(f"{caller} is answered about {named}: {answer.text:.200}")
    return wrong


async def _ask(talk: Talk, documented: Documented, case: Case, caller: str) -> object:
    return talk.speech.read(None, await talk.response(documented, case, caller))


def _refused(told: object, dialect: str, wanted: set[int]) -> bool:
    return isinstance(told, Refusal) and (dialect == "vending" or told.status in wanted)


def _is_about_permission(told: object) -> bool:
    return isinstance(told, Refusal) and (told.status == 401 or "this is not for the role" in told.message)
