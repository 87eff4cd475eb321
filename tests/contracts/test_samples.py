"""Every documented operation, asked as its clients ask it: status, envelope, fields, types, nulls, enums and rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.contract import Case, contract, extra
from tests.contracts.rules import RULES
from tests.contracts.talk import OldProgram
from tests.contracts.world import World

# How many operations each documentation has; a pair is method, path, and the flag where there is one.
DOCUMENTED = {"vending": (26, 26), "iot": (70, 68)}

OPERATIONS = [(dialect, operation) for dialect in DOCUMENTED for operation in contract(dialect) | extra(dialect)]


@pytest.mark.parametrize(("dialect", "operation"), OPERATIONS, ids=lambda one: str(one))
async def test_samples(dialect: str, operation: str, world: World) -> None:
    """All cases of one operation, each in the world as it was loaded."""
    wrong: list[str] = []
    for case in (contract(dialect) | extra(dialect))[operation].cases:
        await world.rewind()
        try:
            await world.talk(dialect).play(case)
        except AssertionError as error:
            wrong.append(f"{operation} ({case.name or 'as asked'}): {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize(("dialect", "operation"), OPERATIONS, ids=lambda one: str(one))
async def test_an_old_program_is_answered_alike(dialect: str, operation: str, world: World) -> None:
    """The first case that is answered, its bodies as forms with nothing but text, and with fields that nobody knows."""
    (case, *_) = [case for case in (contract(dialect) | extra(dialect))[operation].cases if not case.refused]
    await world.rewind()
    talk = world.talk(dialect)
    talk.speech = OldProgram(talk.speech)
    await talk.play(case)


@pytest.mark.parametrize("dialect", DOCUMENTED)
def test_all_of_the_documentation_is_here(dialect: str) -> None:
    operations = contract(dialect).values()
    assert (len(operations), len({operation.pair for operation in operations})) == DOCUMENTED[dialect]


@pytest.mark.parametrize("dialect", DOCUMENTED)
def test_every_operation_is_answered_and_refused(dialect: str) -> None:
    """Refusals alone would be kept by a server that is switched off, successes alone by one without locks."""
    for operation in contract(dialect).values():
        assert any(not case.refused for case in operation.cases), operation.id
        assert any(case.refused for case in operation.cases) or operation.id in ("AC-01", "AB-10"), operation.id


def test_every_rule_is_used_and_known() -> None:
    used: set[str] = set()
    for dialect in DOCUMENTED:
        for operation in contract(dialect).values():
            used |= {*operation.holds}
            for case in operation.cases:
                used |= _rules(case)
    assert used == set(RULES)


def _rules(case: Case) -> set[str]:
    return {*case.holds}.union(*(_rules(step) for step in (*case.before, *case.then)))


@pytest.mark.parametrize("dialect", DOCUMENTED)
def test_every_step_asks_something_that_is_documented(dialect: str) -> None:
    known: dict[str, Any] = contract(dialect) | extra(dialect)

    def check(case: Case) -> None:
        assert case.operation in known or case.operation.startswith("!"), case
        for step in (*case.before, *case.then):
            check(step)

    for operation in known.values():
        for case in operation.cases:
            check(case)
