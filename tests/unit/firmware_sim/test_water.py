"""The water: where every drop of it goes, how valves and relays behave, and every fault of the water's table."""

from __future__ import annotations

import random

import pytest

from firmware_sim.faults import FAULTS, PRESETS, WATER_FAULTS
from tests.unit.firmware_sim.purifier_bench import (
    LEVEL,
    PULSES,
    RELAYS,
    STEADY,
    TDS,
    TUF,
    VMU,
    Master,
    conserved,
    master,
    real,
)

FLASH_ON, FLASH_OFF, ON, OFF = 0x0200, 0x0400, 0xFF00, 0x0000
# Ten times what the preset does, so that every fault strikes in every story.
WILD = {kind: min(0.3, (fault.rate or 0.001) * 10) for kind, fault in FAULTS.items()}
HOUR_MS = 3_600_000
STEADY_OPEN_MS = 50


def pour(one: Master, tenths: int, relay: int = 1) -> int:
    """Open by the relay's own timer, wait until all is over; microlitres that came out."""
    before = one.poured_ul()
    one.coil(FLASH_ON + relay - 1, tenths)
    one.wait(tenths * 100 + 1_000)
    return one.poured_ul() - before


# --- valves and relays -------------------------------------------------------------------------------------------


def test_a_flash_ends_by_itself_and_the_valve_follows_late() -> None:
    one = master()
    poured = pour(one, 50)
    opening = one.purifier.openings()[0]
    assert opening["coil_off_ms"] - opening["began_ms"] == 5_000 - STEADY_OPEN_MS
    assert opening["shut_ms"] - opening["coil_off_ms"] == 300
    assert opening["through_ul"] == poured == opening["indicated_ul"]
    assert opening["unasked_ul"] == 0, "what runs on while it shuts belongs to the pour"
    assert poured == pytest.approx(30_000 * (5_000 - STEADY_OPEN_MS + 300) / 1000, rel=0.035)


def test_a_switched_relay_stays_until_it_is_switched_back() -> None:
    one = master()
    one.coil(2, ON)
    one.wait(60_000)
    assert one.closed() == [3]
    one.coil(2, OFF)
    assert one.closed() == []


def test_a_later_order_replaces_the_timer() -> None:
    one = master()
    one.coil(FLASH_ON, 10)
    one.wait(300)
    one.coil(FLASH_ON, 30)
    one.wait(1_500)
    assert one.closed() == [1], "the first timer is forgotten"
    one.wait(1_500)
    assert one.closed() == []
    one.coil(FLASH_ON, 10)
    one.coil(0, ON)
    one.wait(5_000)
    assert one.closed() == [1], "switched for good"


def test_all_relays_toggle_flash_off_and_write_many() -> None:
    one = master()
    one.coil(0xFF, ON)
    assert one.closed() == list(range(1, 9))
    one.coil(FLASH_OFF + 3, 10)
    assert 4 not in one.closed()
    one.wait(1_000)
    assert 4 in one.closed()
    one.request(RELAYS, 15, 0, 8, tail=bytes([1, 0b1000_0001]))
    assert one.closed() == [1, 8]
    one.coil(0x1FF, ON)
    assert one.closed() == [2, 3, 4, 5, 6, 7]
    one.coil(1, 0x5500)
    assert one.closed() == [3, 4, 5, 6, 7]


def test_a_dead_host_leaves_no_valve_open_and_the_truth_says_how_long() -> None:
    one = master()
    one.coil(FLASH_ON, 15)
    one.wait(10_000)
    outlet = one.purifier.truth()["outlets"]["1"]
    assert outlet["motion"] == "shut"
    assert 1_500 <= outlet["open_without_host_ms"] <= 1_900
    one.coil(0, ON)
    one.wait(10_000)
    assert one.purifier.truth()["outlets"]["1"]["open_without_host_ms"] > 9_000, "still open, and nobody says a word"


def test_closing_times_differ_by_the_jitter() -> None:
    one = master(water={"outlets": [{**STEADY, "jitter_percent": 10}]})
    for _ in range(40):
        pour(one, 5)
    took = [opening["shut_ms"] - opening["coil_off_ms"] for opening in one.purifier.openings()]
    assert len(set(took)) > 10
    assert 270 <= min(took) < 290
    assert 310 < max(took) <= 330


def test_a_coil_too_short_for_the_plunger_gives_nothing() -> None:
    one = master(water={"outlets": [{**STEADY, "open_ms": 400}]})
    assert pour(one, 2) == 0


def test_two_outlets_share_the_pressure() -> None:
    one = master(water={"outlets": [STEADY, {**STEADY, "relay": 2, "flow_ml_per_s": 60}]})
    lone = pour(one, 100)
    one.coil(FLASH_ON, 100)
    one.coil(FLASH_ON + 1, 100)
    one.wait(5_000)
    assert one.purifier.truth()["pressure_kpa"] < 276 - 0.5 * 80
    one.wait(7_000)
    first, second = (one.purifier.truth()["outlets"][relay]["poured_ul"] for relay in ("1", "2"))
    assert 0.85 * lone < first - lone < lone
    assert second == pytest.approx(2 * (first - lone), rel=0.1)


# --- tank, membrane, sensors -------------------------------------------------------------------------------------


def test_the_tank_runs_dry_stalls_and_fills_again() -> None:
    water = {"tank_ml": 4_000, "tank_low_ml": 500, "tank_refill_ml": 3_500, "tank_opening_ml": 1_000}
    one = master(water=water)
    one.machine.fault("no_feed", "on")
    one.coil(0, ON)
    one.wait(60_000)
    truth = one.purifier.truth()
    assert truth["poured_ul"] == pytest.approx(500_000, abs=4_000), "down to the low float"
    assert truth["pressure_kpa"] == 0
    assert int.from_bytes(one.read(LEVEL, 4, 1), "big") == pytest.approx(50, abs=1)  # mm of 400
    one.machine.fault("no_feed", "off")
    one.coil(0, OFF)
    one.wait(600_000)
    full = one.purifier.truth()
    assert full["tank_ul"] >= 4_000_000
    assert full["drained_ul"] == pytest.approx(full["feed_ul"] / 2, abs=2)
    assert conserved(full)


def test_pilot_valves_wait_for_pressure_and_direct_ones_do_not() -> None:
    for kind, motion in (("pilot", "shut"), ("direct", "open")):
        one = master(water={"outlets": [{**STEADY, "valve": kind}]})
        one.machine.fault("no_pressure", "on")
        one.coil(0, ON)
        one.wait(1_000)
        assert one.purifier.truth()["outlets"]["1"]["motion"] == motion
        one.machine.fault("no_pressure", "off")
        one.wait(1_000)
        assert one.purifier.truth()["outlets"]["1"]["motion"] == "open"
        assert one.poured_ul() > 0


def test_creep_reads_high_after_a_pause_and_goes_with_the_first_litres() -> None:
    one = master(water={"tank_opening_ml": 18_500})
    rested = real(one.read(TDS, 6, 2))
    one.wait(10 * HOUR_MS)
    one.coil(0, ON)
    one.wait(40_000)
    first = real(one.read(TDS, 6, 2))
    one.wait(300_000)
    later = real(one.read(TDS, 6, 2))
    assert first > rested + 20
    assert later < rested + 2


def test_rejection_wears_off_and_faster_at_the_end() -> None:
    def tds(worn: float) -> float:
        return real(master(water={"membrane_worn": worn}).read(TDS, 6, 2))

    young, middle, late, end = tds(0), tds(0.5), tds(0.75), tds(1)
    assert young == pytest.approx(250 * 0.04, rel=0.01)
    assert young < middle < late < end
    assert end - late > middle - young


def test_the_gauge_follows_its_unit_and_decimals() -> None:
    one = master(water={"tank_opening_ml": 10_000})
    assert int.from_bytes(one.read(LEVEL, 4, 1), "big") == 200  # mm
    one.write(LEVEL, 2, 16)
    one.write(LEVEL, 3, 3)
    assert int.from_bytes(one.read(LEVEL, 4, 1), "big") == 200  # thousandths of a metre
    one.write(LEVEL, 12, 5)
    assert int.from_bytes(one.read(LEVEL, 4, 1), "big") == 205
    pressure = {"device": "qdy30a-level", "slave": LEVEL, "sees": "pressure", "settings": {"unit": 10, "decimals": 1}}
    assert int.from_bytes(master(modbus=[pressure]).read(LEVEL, 4, 1), "big") == 2_760


def test_word_order_is_the_scenario_s() -> None:
    turned = {"device": "ws102-tds", "slave": TDS, "word_order": "low"}
    assert real(master(modbus=[turned]).read(TDS, 4, 2), "low") == 20.0


# --- meters ------------------------------------------------------------------------------------------------------


def test_three_meters_agree() -> None:
    one = master(water={"meter_error_percent": 4.0})
    poured = pour(one, 400)
    indicated = one.purifier.truth()["metered_ul"]
    assert indicated == pytest.approx(poured * 1.04, rel=1e-4)
    assert one.pulses() == indicated * 450 // 10**6
    vmu = one.read(VMU, 0, 2, function=4)
    assert int.from_bytes(vmu[2:] + vmu[:2], "big") == one.pulses()
    total = one.read(TUF, 8, 4)
    whole = int.from_bytes(total[2:4] + total[0:2], "big")
    assert whole == 0
    assert real(total[4:], "low") == pytest.approx(indicated / 1e9, rel=1e-6), "cubic metres"
    one.write(TUF, 1437, 1)
    litres = one.read(TUF, 8, 4)
    assert int.from_bytes(litres[2:4] + litres[0:2], "big") == 1
    assert 1 + real(litres[4:], "low") == pytest.approx(indicated / 1e6, rel=1e-6)


def test_flow_rate_and_frequency_while_it_flows() -> None:
    one = master()
    one.coil(0, ON)
    one.wait(2_000)
    assert real(one.read(TUF, 0, 2), "low") == pytest.approx(0.108, rel=0.04)  # 30 ml/s
    assert int.from_bytes(one.read(PULSES, 4, 1), "big") == pytest.approx(13.5, rel=0.1)


def test_a_counter_wraps_and_is_cleared() -> None:
    one = master(modbus=[{"device": "pulse4", "slave": PULSES, "count": 2**32 - 20}, *_relays()])
    before = one.pulses()
    pour(one, 50)
    assert before == 2**32 - 20
    assert 0 < one.pulses() < 60
    one.write(PULSES, 16, 1)
    assert one.pulses() == 0
    pour(one, 50)
    assert 60 < one.pulses() < 80


def test_a_counter_may_be_set_to_stand_before_its_end() -> None:
    one = master()
    one.purifier.device("pulse4").set_counter(2**32 - 20)
    assert one.pulses() == 2**32 - 20
    poured = pour(one, 50)
    assert one.pulses() == pytest.approx(poured * 450 / 1e6 - 20, abs=2), "it has begun again at nothing"


def test_another_membrane_holds_back_what_its_age_allows() -> None:
    one = master()
    one.purifier.water.change_membrane(1.0)
    assert one.purifier.truth()["membrane_worn_percent"] == 100
    old = real(one.read(TDS, 6, 2))
    one.purifier.water.change_membrane(0.0)
    new = real(one.read(TDS, 6, 2))
    assert (old, new) == (pytest.approx(250 * 0.29, rel=0.02), pytest.approx(250 * 0.04, rel=0.02))


def test_a_trickle_below_the_meter_s_range_reads_low() -> None:
    one = master(water={"outlets": [{**STEADY, "flow_ml_per_s": 2}]})
    poured = pour(one, 600)
    assert one.purifier.truth()["metered_ul"] < poured / 2


def _relays() -> list[dict[str, object]]:
    return [{"device": "waveshare-relay-8ch", "slave": RELAYS}]


# --- faults ------------------------------------------------------------------------------------------------------


def test_stuck_shut_gives_nothing_until_it_comes_free() -> None:
    one = master()
    one.machine.fault("stuck_shut", "on", RELAYS, 1)
    assert pour(one, 20) == 0
    one.coil(0, ON)
    one.machine.fault("stuck_shut", "off", RELAYS, 1)
    one.wait(1_000)
    assert one.poured_ul() > 0


def test_stuck_open_runs_on_and_is_called_unasked() -> None:
    one = master()
    one.machine.fault("stuck_open", "on", RELAYS, 1)
    one.coil(FLASH_ON, 10)
    one.wait(11_000)
    outlet = one.purifier.truth()["outlets"]["1"]
    assert (outlet["coil_on"], outlet["motion"]) == (False, "open")
    assert outlet["unasked_ul"] == pytest.approx(300_000, rel=0.06)
    one.machine.fault("stuck_open", "off", RELAYS, 1)
    one.wait(1_000)
    assert one.purifier.truth()["outlets"]["1"]["motion"] == "shut"
    assert conserved(one.purifier.truth())


def test_a_leak_is_metered_and_a_seep_is_not() -> None:
    for kind, metered in (("leak", True), ("seep", False)):
        one = master()
        one.machine.fault(kind, "on")
        one.wait(10_000)
        one.machine.fault(kind, "off")
        one.wait(10_000)
        truth = one.purifier.truth()
        assert truth["leaked_ul"] == pytest.approx(150_000 if metered else 30_000, rel=0.01), "and only for ten seconds"
        assert (truth["metered_ul"] > 0) is metered
        assert truth["poured_ul"] == 0
        assert conserved(truth)


def test_air_counts_without_water() -> None:
    one = master()
    one.machine.fault("air", "once")
    poured = pour(one, 50)
    extra = one.purifier.truth()["metered_ul"] - poured
    assert 5_000 <= extra <= 25_000
    more = pour(one, 50)
    assert one.purifier.truth()["metered_ul"] - poured - extra == more


def test_a_stuck_meter_sees_nothing() -> None:
    one = master()
    one.machine.fault("meter_stuck", "on")
    assert pour(one, 20) > 0
    assert one.pulses() == 0


def test_a_worn_meter_shows_too_little() -> None:
    one = master()
    sound = pour(one, 50)
    shown = one.purifier.truth()["metered_ul"]
    one.machine.fault("meter_worn", "on")
    assert pour(one, 50) > 0.9 * sound, "the water knows nothing of it"
    truth = one.purifier.truth()
    assert truth["metered_ul"] - shown == pytest.approx(0.94 * (truth["poured_ul"] - sound), rel=0.001)


def test_a_counter_reset_begins_again() -> None:
    one = master()
    pour(one, 50)
    one.machine.fault("counter_reset", "once", PULSES)
    assert one.pulses() == 0
    assert one.read(VMU, 0, 2) != bytes(4), "its neighbour keeps its count"
    assert one.machine.faults.struck["counter_reset"] == 1


def test_slow_dead_late_and_busy_devices_leave_their_neighbours_alone() -> None:
    one = master()
    one.machine.fault("slow", "on", TUF)
    assert one.request(TUF, 3, 0, 2) == b""
    assert len(one.wait(1_000)) == 9
    one.machine.fault("dead", "on", TDS)
    assert one.request(TDS, 3, 4, 2, wait_ms=5_000) == b""
    one.machine.fault("exception", "on", VMU)
    assert one.request(VMU, 3, 0, 2)[:3] == bytes([VMU, 0x83, 6])
    one.machine.fault("late", "once", LEVEL)
    assert one.request(LEVEL, 3, 4, 1) == b""
    assert len(one.wait(3_000)) == 7
    assert len(one.read(PULSES, 0, 2)) == 4


def test_a_busy_relay_device_switches_nothing() -> None:
    one = master()
    one.machine.fault("exception", "once", RELAYS)
    assert one.request(RELAYS, 5, 0, ON)[:3] == bytes([RELAYS, 0x85, 6])
    assert one.closed() == []


def test_an_open_cable_reads_absurd() -> None:
    one = master()
    one.machine.fault("open_cable", "on", LEVEL)
    one.machine.fault("open_cable", "on", TDS)
    assert one.read(LEVEL, 4, 1) == bytes.fromhex("7F FF")
    assert real(one.read(TDS, 6, 2)) == 2_000


def test_bad_water_and_no_feed() -> None:
    one = master()
    one.machine.fault("bad_water", "on")
    assert real(one.read(TDS, 6, 2)) == 180
    one.machine.fault("no_feed", "on")
    pour(one, 1_000)
    assert one.purifier.truth()["feed_ul"] == 0


def test_a_brown_out_shuts_the_valves() -> None:
    one = master()
    one.coil(0, ON)
    one.wait(500)
    one.machine.fault("brown_out", "once")
    one.wait(1_000)
    assert one.purifier.truth()["outlets"]["1"]["motion"] == "shut"
    assert one.closed() == []


def test_wrong_places_are_named() -> None:
    one = master()
    with pytest.raises(ValueError, match=r"outlet = 2, expected one of \[1\]"):
        one.machine.fault("stuck_open", "on", RELAYS, 2)
    with pytest.raises(ValueError, match=r"outlet = 1, expected one of \[\]"):
        one.machine.fault("stuck_open", "on", PULSES, 1)
    with pytest.raises(ValueError, match="board = 99"):
        one.machine.fault("dead", "on", 99)


# --- everything at once ------------------------------------------------------------------------------------------


def hectic(seed: int) -> Master:
    """A master that opens, shuts and reads without manners while everything fails, and mends at the end."""
    water = {"outlets": [{"relay": 1}, {"relay": 2, "valve": "direct", "close_ms": 40}], "tank_opening_ml": 6_000}
    one = master(seed=seed, water={**water, "meter_error_percent": 3})
    one.machine.set_rates(WILD)
    rng = random.Random(seed)
    for _ in range(80):
        one.request(RELAYS, 5, rng.choice((0, 1, FLASH_ON, FLASH_ON + 1)), rng.choice((ON, OFF, 5, 40)))
        one.wait(rng.choice((50, 400, 5_000)))
        one.request(rng.choice((PULSES, TUF, TDS, LEVEL, VMU)), 3, 0, 2)
    one.machine.mend()
    one.wait(5_000)
    return one


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_water_is_conserved_under_every_fault(first: int) -> None:
    struck = dict.fromkeys(WATER_FAULTS, 0)
    for seed in range(first, first + 10):
        one = hectic(seed)
        truth = one.purifier.truth()
        assert conserved(truth), f"seed {seed}: {truth}"
        assert 0 < truth["tank_ul"] <= 20_100_000, f"seed {seed}"
        openings = one.purifier.openings()
        assert truth["poured_ul"] == sum(opening["through_ul"] for opening in openings), f"seed {seed}"
        assert all(0 <= opening["unasked_ul"] <= opening["through_ul"] for opening in openings), f"seed {seed}"
        for kind in struck:
            struck[kind] += one.machine.faults.struck[kind]
    assert all(struck.values()), f"not every fault was tried: {struck}"


def test_a_healthy_purifier_meters_what_it_gives() -> None:
    one = master()
    for seed in range(60):
        pour(one, random.Random(seed).randint(5, 60))
        one.wait(60_000)
    truth = one.purifier.truth()
    assert truth["metered_ul"] == pytest.approx(truth["poured_ul"], abs=1)
    assert truth["pulses"] == truth["metered_ul"] * 450 // 10**6


def test_the_same_seed_is_the_same_water() -> None:
    assert hectic(3).purifier.truth() == hectic(3).purifier.truth()
    assert hectic(3).purifier.truth() != hectic(4).purifier.truth()


def test_looking_changes_nothing() -> None:
    """However often somebody looks, the same water has flowed, but for the last drop of each rounding."""
    volumes = []
    for looks in (1, 50):
        one = master(water={"tank_opening_ml": 17_000})
        one.coil(FLASH_ON, 200)
        for _ in range(looks):
            one.wait(30_000 // looks)
            one.purifier.truth()
        volumes.append(one.purifier.truth()["poured_ul"])
    assert volumes[0] == pytest.approx(volumes[1], abs=2)


def test_the_preset_strikes_purifiers_too() -> None:
    one = master()
    one.machine.set_rates(PRESETS["all"])
    for _ in range(1_500):
        one.request(RELAYS, 5, FLASH_ON, 10, wait_ms=2_000)
    assert sum(one.machine.faults.struck[kind] for kind in WATER_FAULTS) > 10


def test_an_idle_night_costs_nothing() -> None:
    """A day passes without an event or a step: what a night costs must not grow with its length."""
    one = master()
    one.machine.timeline.run_until(24 * HOUR_MS)
    assert one.machine.timeline.next_ms() is None
    assert conserved(one.purifier.truth())
