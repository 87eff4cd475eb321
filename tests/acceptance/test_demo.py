"""The demo balances with and without faults, and its account would say so if it did not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from firmware_sim.demo.account import UNTOLD_ML, Account, MachineAccount, WaterAccount
from firmware_sim.demo.documented import DOCUMENTED
from firmware_sim.demo.stories import CARTRIDGE, FETCHED, STORIES
from tests.contracts.contract import Documented, contract
from tests.contracts.shapes import mismatches
from tests.contracts.talk import SPEECHES, Refusal, Speech

KEYS = {
    "orders_placed",
    "button_sales",
    "delivered",
    "refunded",
    "review",
    "unsettled",
    "quarantined",
    "money_in_escrow_fen",
    "ledger_drift_fen",
    "stock_drift",
    "double_deliveries",
    "pours",
    "litres",
    "restocks",
    "purchases",
    "operations",
    "refused",
    "stories",
    "water_drift_ml",
    "balances",
}
# With every fault on, a silent board is waited for a minute before its order goes to review.
LIMIT_S = 300
# So long the people of the demo have for all their stories; a filter is worn out within a minute.
EVERYTHING_S = 180


def demo(folder: Path, *options: str) -> dict[str, str]:
    """Run it, and hold its account to what must be true of any; answers the account by name."""
    command = [sys.executable, "-m", "firmware_sim.demo", "--speed", "4", "--folder", str(folder), *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    last = [line for line in ran.stdout.splitlines() if "=" in line and " " not in line]
    account = dict(line.split("=", 1) for line in last)
    assert set(account) == KEYS
    assert account["balances"] == "true"
    assert int(account["delivered"]) > 0
    assert float(account["litres"]) > 0
    assert int(account["restocks"]) > 0
    assert int(account["purchases"]) > 0
    wrong = [account[key] for key in ("ledger_drift_fen", "stock_drift", "double_deliveries", "unsettled")]
    assert [*wrong, account["water_drift_ml"]] == ["0"] * 5
    return account


@pytest.mark.timeout(LIMIT_S)
def test_a_short_demo_ends_by_itself_and_balances_whatever_goes_wrong(tmp_path: Path) -> None:
    demo(tmp_path / "demo", "--seconds", "15", "--seed", "11", "--faults", "all")


@pytest.mark.timeout(LIMIT_S)
def test_every_documented_operation_is_asked_and_answered_as_documented(tmp_path: Path) -> None:
    """All 96, with what came from machines and people: the envelope, the shape, and nothing empty that is described."""
    folder = tmp_path / "demo"
    account = demo(folder, "--seconds", str(EVERYTHING_S), "--seed", "7", "--every-operation")
    assert account["operations"] == f"{len(DOCUMENTED)}/{len(DOCUMENTED)}"
    # Among them what opens by itself: a worn filter is changed, a rental that nobody renewed is fetched.
    assert account["stories"] == f"{len(STORIES)}/{len(STORIES)}"
    assert all(story in STORIES for story in (CARTRIDGE, FETCHED))
    answers = json.loads((folder / "answers.json").read_text("utf-8"))
    assert not [refusal for refusal in answers["refused"] if refusal.startswith("7.")], "a fault ended by itself"
    answered = answers["answered"]
    wrong: list[str] = []
    for dialect in ("vending", "iot"):
        for operation in contract(dialect).values():
            assert DOCUMENTED[operation.id] == way(operation), f"the demo's {operation.id} is another operation"
            try:
                hold(SPEECHES[dialect], operation, answered.pop(operation.id))
            except AssertionError as error:
                wrong.append(f"{operation.id}: {error}")
    assert not wrong, "\n".join(wrong)
    assert not answered, "answered, and in no documentation"


def way(operation: Documented) -> str:
    """How the demo writes down what an operation is called."""
    if operation.flag is None:
        return f"{operation.method} {operation.path}"
    return f"{operation.path.removeprefix('/').removesuffix('.php')} {operation.flag}"


def hold(speech: Speech, operation: Documented, answer: dict[str, Any]) -> None:
    """One answer against the documentation of its operation."""
    headers, content = {"Content-Type": answer["content_type"]}, answer["body"].encode()
    told = speech.read(operation, httpx2.Response(answer["status"], headers=headers, content=content))
    assert not isinstance(told, Refusal), told
    shape = speech.shape(operation)
    assert mismatches(shape, told) == []
    assert all(told[name] for name, part in shape.items() if isinstance(part, list)), f"nothing is listed: {told}"
    if (operation.method == "GET" and shape) or operation.path.endswith("_get.php"):
        assert told, "nothing is described"


SHELF = MachineAccount("vm-1", opening=40, loaded=60, sold=10, review=1, counted=90, fell=10)
TAP = WaterAccount("wp-1", flowed=10_000, sold=9_000, given=500, leaked=400, review=100, unproven=0)
# What the meter may be off in ten litres, and what is too little to be a leak.
MAY_BE_OFF = 100 + UNTOLD_ML
BOOKS = Account(
    orders_placed=8,
    button_sales=4,
    delivered=10,
    refunded=1,
    review=1,
    unsettled=0,
    quarantined=0,
    money_in_escrow_fen=300,
    ledger_drift_fen=0,
    machines=(SHELF,),
    purifiers=(TAP,),
)


def with_shelf(**changes: int) -> Account:
    return replace(BOOKS, machines=(replace(SHELF, **changes),))


def with_tap(**changes: int) -> Account:
    return replace(BOOKS, purifiers=(replace(TAP, **changes),))


def test_a_meter_may_be_off_and_a_doubt_explains_what_was_asked() -> None:
    assert with_tap(sold=9_000 - MAY_BE_OFF).balances
    assert with_tap(sold=9_000 + MAY_BE_OFF).balances
    assert with_tap(sold=8_000, unproven=1_000).balances
    assert not with_tap(sold=7_000, unproven=1_000).balances


def test_a_sound_account_balances_whatever_the_review_turns_out_to_be() -> None:
    assert BOOKS.balances
    assert with_shelf(counted=89, fell=11).balances
    assert {line.split("=")[0] for line in BOOKS.lines()} == {"machine", "purifier", *KEYS}


@pytest.mark.parametrize(
    ("account", "key", "value"),
    [
        pytest.param(with_shelf(counted=88), "stock_drift", 1, id="an item is missing"),
        pytest.param(with_shelf(counted=91), "stock_drift", 1, id="an item too many"),
        pytest.param(with_shelf(fell=12), "double_deliveries", 1, id="a double delivery"),
        pytest.param(with_shelf(sold=12, fell=12), "stock_drift", 2, id="a sale without an item"),
        pytest.param(replace(BOOKS, ledger_drift_fen=1), "ledger_drift_fen", 1, id="a fen of drift"),
        pytest.param(with_tap(leaked=399 - MAY_BE_OFF), "water_drift_ml", 1, id="water that nobody knows of"),
        pytest.param(with_tap(given=501 + MAY_BE_OFF), "water_drift_ml", 1, id="water that never flowed"),
        pytest.param(replace(BOOKS, unsettled=1), "unsettled", 1, id="an order without an end"),
        pytest.param(replace(BOOKS, quarantined=1), "quarantined", 1, id="a message in quarantine"),
        pytest.param(
            replace(BOOKS, machines=(replace(SHELF, counted=88), replace(SHELF, machine="vm-2", counted=91))),
            "stock_drift",
            2,
            id="two errors that cancel out",
        ),
    ],
)
def test_the_account_convicts(account: Account, key: str, value: int) -> None:
    assert getattr(account, key) == value
    assert not account.balances
    assert "balances=false" in account.lines()
