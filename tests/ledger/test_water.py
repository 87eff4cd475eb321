"""The journal of water and what only grows: pours, filters, plans, the service clock, calibrations."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from edge_agent.errors import Refused
from edge_agent.ledger import outbox, pours, water
from edge_agent.ledger.pours import Learned
from edge_agent.ledger.water import ClockMark
from edge_agent.pour import upkeep
from shared.clock import ManualClock
from shared.ids import BootId, Nonce, OrderId
from shared.messages import FilterChanged, MeterCalibrated, PourRefused, decode_fact
from shared.water import FilterSpec, Outlet, PurifierConfig, ServicePlan, TimerMode
from tests.ledger.pouring import POUR_INTENT as INTENT
from tests.ledger.pouring import pour_terms as terms
from tests.ledger.pouring import poured as ended
from tests.ledger.vending import open_plain

LEARNED = Learned(open_ms=33_000, overrun_ms=310, pace=48_600)


@pytest.fixture
def conn(tmp_path: Path, clock: ManualClock) -> sqlite3.Connection:
    return open_plain(tmp_path, clock)


def facts(conn: sqlite3.Connection) -> list[object]:
    return [decode_fact(row.fact) for row in outbox.pending(conn, 1, 100)]


def test_a_pour_from_intent_to_end(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = pours.begin(conn, terms(), INTENT, clock)
    found = pours.open_pour(conn)
    assert found is not None
    assert (found.terms, found.intent, found.state, found.poured_ml) == (terms(), INTENT, "open", None)
    seq = pours.end(conn, ended(txn), clock, LEARNED)
    assert pours.open_pour(conn) is None
    row = pours.pour(conn, OrderId("w1"))
    assert row is not None
    assert (row.state, row.poured_ml, row.charged_fen, row.counts, row.open_ms) == ("ended", 998, 50, 449, 33_000)
    assert facts(conn) == [ended(txn)]
    assert seq == outbox.position(conn).next_seq - 1
    flowed_ms = 449 * 3_600_000 // 48_600
    assert pours.lessons(conn, "cold", 5) == [(48_600, 33_000 + 310 - flowed_ms, 310)]
    assert pours.lessons(conn, "hot", 5) == []


def test_a_doubtful_pour_keeps_its_reason_beside_the_machine(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = pours.begin(conn, terms(), INTENT, clock)
    pours.end(conn, ended(txn, certain=False, doubt="the pace jumped"), clock)
    row = pours.pour(conn, OrderId("w1"))
    assert row is not None
    assert (row.state, row.doubt) == ("doubtful", "the pace jumped")
    assert pours.recent(conn, 1) == [row]


def test_paces_are_an_outlets_history_with_one_factor(conn: sqlite3.Connection, clock: ManualClock) -> None:
    for number in range(7):
        factor = 450_000 if number else 460_000
        txn = pours.begin(conn, terms(f"w{number}"), replace(INTENT, pulses_per_litre_milli=factor), clock)
        pours.end(conn, ended(txn, f"w{number}"), clock, replace(LEARNED, pace=48_000 + number))
    assert pours.paces(conn, "flow", 450_000, 3) == [([48_001, 48_002, 48_003], [48_006, 48_005, 48_004])]
    assert pours.paces(conn, "flow", 450_000, 4) == []
    assert pours.paces(conn, "flow", 460_000, 1) == []
    assert pours.paces(conn, "another", 450_000, 1) == []


def test_counts_hold_over_a_wrap(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = pours.begin(conn, terms(), replace(INTENT, totaliser_before=2**32 - 100), clock)
    pours.end(conn, ended(txn, totaliser_before=2**32 - 100, totaliser_after=349), clock, LEARNED)
    assert pours.lessons(conn, "cold", 5)[0][1] == 33_310 - 449 * 3_600_000 // 48_600
    row = pours.pour(conn, OrderId("w1"))
    assert row is not None
    assert row.counts == 449


def test_an_order_is_begun_once_and_ended_once(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = pours.begin(conn, terms(), INTENT, clock)
    with pytest.raises(Refused, match="another pour is open"):
        pours.begin(conn, terms("w2"), INTENT, clock)
    with pytest.raises(Refused, match="is open"):
        pours.refuse(conn, terms(), PourRefused(order="w1", reason="void"), clock)
    pours.end(conn, ended(txn), clock)
    with pytest.raises(Refused, match="only an open pour ends"):
        pours.end(conn, ended(txn), clock)
    with pytest.raises(Refused, match="cannot be begun"):
        pours.begin(conn, terms(), INTENT, clock)
    assert pours.refuse(conn, terms(), PourRefused(order="w1", reason="void"), clock) is None


def test_a_claim_is_begun_on_its_own_terms_or_refused(conn: sqlite3.Connection, clock: ManualClock) -> None:
    claimed = terms("o1", nonce="n1")
    pours.claim(conn, claimed, clock)
    with pytest.raises(Refused, match="before"):
        pours.claim(conn, claimed, clock)
    assert [row.terms for row in pours.claimed_pours(conn)] == [claimed]
    with pytest.raises(Refused, match="cannot be begun"):
        pours.begin(conn, replace(claimed, nonce=Nonce("n2")), INTENT, clock)
    refusal = PourRefused(order="o1", reason="late_grant")
    assert pours.refuse(conn, claimed, refusal, clock) is not None
    assert pours.claimed_pours(conn) == []
    assert facts(conn) == [refusal]
    with pytest.raises(Refused):
        pours.begin(conn, claimed, INTENT, clock)


def test_a_refusal_without_a_claim_is_for_ever_as_well(conn: sqlite3.Connection, clock: ManualClock) -> None:
    pours.refuse(conn, terms("o9"), PourRefused(order="o9", reason="plan_ended"), clock)
    with pytest.raises(Refused):
        pours.begin(conn, terms("o9"), INTENT, clock)


@pytest.mark.parametrize(
    "lie", [{"asked_ml": 5}, {"price_fen_per_litre": 1}, {"outlet": "hot"}, {"totaliser_before": 99}, {"txn": 77}]
)
def test_an_end_repeats_the_terms_or_is_wrong(conn: sqlite3.Connection, clock: ManualClock, lie: Any) -> None:
    txn = pours.begin(conn, terms(), INTENT, clock)
    with pytest.raises(ValueError, match="its end tells"):
        pours.end(conn, changed(ended(txn), **lie), clock)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE pours SET state = 'open'", "cannot make this step"),
        ("UPDATE pours SET asked_ml = 5", "terms of a pour"),
        ("UPDATE pours SET totaliser_before = 0", "intent of a pour"),
        ("DELETE FROM pours", "never forgotten"),
        ("UPDATE pours SET charged_fen = hold_fen + 1", "CHECK"),
        ("UPDATE filters SET powered_ms = powered_ms - 1", "younger"),
        ("DELETE FROM filters", "never forgotten"),
        ("UPDATE service_clock SET wall_ms = wall_ms - 1", "backwards"),
        ("UPDATE plan_usage SET today_ml = today_ml - 1", "never given back"),
        ("UPDATE calibrations SET spread_ppm = 0", "never changed"),
    ],
)
def test_the_schema_itself_refuses(conn: sqlite3.Connection, clock: ManualClock, statement: str, words: str) -> None:
    txn = pours.begin(conn, terms(), INTENT, clock)
    pours.end(conn, ended(txn), clock)
    water.install(conn, 1, "PPC", clock)
    water.wear(conn, powered_ms=5)
    water.set_clock(conn, ClockMark(9, BootId("b"), 1))
    water.set_usage(conn, "shop", 0, 0, 5)
    water.calibrate(conn, MeterCalibrated(meter="flow", pulses_per_litre_milli=1, spread_ppm=2, runs=1), clock)
    with pytest.raises(sqlite3.IntegrityError, match=words):
        conn.execute(statement)


def test_a_new_cartridge_begins_at_zero_and_the_old_one_is_told(conn: sqlite3.Connection, clock: ManualClock) -> None:
    water.install(conn, 1, "PPC", clock)
    water.install(conn, 2, "RO", clock)
    water.wear(conn, powered_ms=7_200_000, worked_ms=3_600_000, poured_ml=4_500)
    water.change_filter(conn, water.cartridges(conn)[1], "PPC", "li", clock)
    water.wear(conn, poured_ml=100)
    serving = water.cartridges(conn)
    assert (serving[1].number, serving[1].poured_ml, serving[1].powered_ms) == (2, 100, 0)
    assert (serving[2].number, serving[2].poured_ml) == (1, 4_600)
    told = FilterChanged(position=1, name="PPC", powered_hours=2, worked_hours=1, litres=4, person="li")
    assert facts(conn) == [told]


def test_the_last_calibration_holds(conn: sqlite3.Connection, clock: ManualClock) -> None:
    assert water.calibrated(conn, "flow") is None
    for milli in (451_000, 449_000):
        fact = MeterCalibrated(meter="flow", pulses_per_litre_milli=milli, spread_ppm=3, runs=2, person="li")
        water.calibrate(conn, fact, clock)
        assert water.calibrated(conn, "flow") == fact
    assert water.calibrated(conn, "other") is None


AMOUNTS = st.tuples(st.integers(0, 10**9), st.integers(0, 10**7), st.integers(0, 50_000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(AMOUNTS | st.none(), max_size=20))
def test_wear_is_the_sum_of_what_was_served_since_the_change(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int] | None]
) -> None:
    clock = ManualClock()
    conn = open_plain(tmp_path_factory.mktemp("wear"), clock)
    water.install(conn, 1, "PPC", clock)
    expected = (0, 0, 0)
    for step in steps:
        if step is None:
            water.change_filter(conn, water.cartridges(conn)[1], "PPC", "li", clock)
            expected = (0, 0, 0)
        else:
            water.wear(conn, powered_ms=step[0], worked_ms=step[1], poured_ml=step[2])
            expected = tuple(a + b for a, b in zip(expected, step, strict=True))  # type: ignore[assignment]
        serving = water.cartridges(conn)[1]
        assert (serving.powered_ms, serving.worked_ms, serving.poured_ml) == expected
    conn.close()


def test_a_new_specification_judges_a_cartridge_anew_and_leaves_its_age(
    conn: sqlite3.Connection, clock: ManualClock
) -> None:
    def specified(name: str, worklife_hours: int) -> PurifierConfig:
        spec = FilterSpec(position=1, name=name, lifetime_hours=10_000, worklife_hours=worklife_hours)
        return PurifierConfig(
            outlets=(Outlet(warmth="normal", relay=1),), plan=ServicePlan(plan="sale", mode="sale"), filters=(spec,)
        )

    upkeep.tick(conn, specified("PPC", 100), clock)
    upkeep.served(conn, None, 5_000, 50 * 3_600_000)
    (before,) = upkeep.tick(conn, specified("PPC", 100), clock).filters
    (after,) = upkeep.tick(conn, specified("PPC II", 200), clock).filters
    assert (before.percent_left, after.percent_left) == (50, 75)
    assert after.wear == before.wear
    assert not [fact for fact in facts(conn) if isinstance(fact, FilterChanged)]


LIFE = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 40 * 3_600_000)),
        st.tuples(st.just("wall"), st.integers(-(10**11), 10**11)),
        st.tuples(st.just("restart"), st.integers(0, 600_000)),
        st.tuples(st.just("reboot"), st.integers(0, 600_000)),
        st.tuples(st.just("pour"), st.integers(0, 20_000)),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(life=LIFE, mode=st.sampled_from(["both", "powered", "working"]))
def test_a_filter_in_the_ledger_never_gets_younger(
    tmp_path_factory: pytest.TempPathFactory, life: list[tuple[str, int]], mode: TimerMode
) -> None:
    """Whatever becomes of agent, machine and wall clock; and the clock alone, either way, ages nothing."""
    folder = tmp_path_factory.mktemp("life")
    spec = FilterSpec(position=1, name="PPC", timer_mode=mode, lifetime_hours=400, worklife_hours=20, litres_max=90)
    config = PurifierConfig(
        outlets=(Outlet(warmth="normal", relay=1),), plan=ServicePlan(plan="sale", mode="sale"), filters=(spec,)
    )
    clock = ManualClock()
    conn = open_plain(folder, clock)
    (before,) = upkeep.tick(conn, config, clock).filters
    boots = 0
    for what, amount in life:
        match what:
            case "run":
                clock.advance(amount)
            case "wall":
                clock.step_wall(amount)
            case "restart":
                conn.close()
                clock.advance(amount)
                conn = open_plain(folder, clock)
            case "reboot":
                conn.close()
                boots += 1
                clock.reboot(f"boot-{boots + 1}", mono_ms=amount)
                conn = open_plain(folder, clock)
            case _:
                upkeep.served(conn, None, amount, amount * 30)
        (after,) = upkeep.tick(conn, config, clock).filters
        assert after.wear.powered_ms - before.wear.powered_ms == (amount if what in ("run", "restart", "reboot") else 0)
        assert after.wear.worked_ms - before.wear.worked_ms == (amount * 30 if what == "pour" else 0)
        assert after.wear.poured_ml - before.wear.poured_ml == (amount if what == "pour" else 0)
        assert after.percent_left <= before.percent_left
        before = after
    conn.close()
