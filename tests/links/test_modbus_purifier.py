"""The purifier's drivers against simulated devices in simulated time, on one line with a driver board."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.devices.ports import BoardIdle, Totaliser
from edge_agent.devices.purifier import CATCHING_UP_MS, Part, RegisterMeter, RegisterProbes, Role, open_purifier
from edge_agent.errors import BoardMisbehaved, BoardSilent, NeverSent, SettingsWrong, Withheld
from edge_agent.links.breaker import SILENT_MAX
from tests.links.modbus_virtual import RELAY, WaterRig

BOARD_POLL = 0x03


async def silence(call: Awaitable[object]) -> None:
    with pytest.raises((BoardSilent, NeverSent)):
        await call


# --- valve ---


async def test_the_relay_shuts_the_valve_when_nobody_does() -> None:
    rig = WaterRig()
    await rig.purifier.valve.open_for(RELAY, 1_500)
    assert await rig.purifier.valve.is_open(RELAY)
    assert not await rig.purifier.valve.is_open(RELAY + 1)
    rig.pass_ms(1_600)
    assert not await rig.purifier.valve.is_open(RELAY)


async def test_asked_again_while_open_the_timer_starts_anew() -> None:
    rig = WaterRig()
    for _ in range(5):
        await rig.purifier.valve.open_for(RELAY, 1_000)
        rig.pass_ms(700)
        assert await rig.purifier.valve.is_open(RELAY)
    rig.pass_ms(1_000)
    assert not await rig.purifier.valve.is_open(RELAY)


@pytest.mark.parametrize("one", [True, False])
async def test_a_valve_is_shut_before_its_time(one: bool) -> None:
    rig = WaterRig()
    await rig.purifier.valve.open_for(RELAY, 60_000)
    await (rig.purifier.valve.shut(RELAY) if one else rig.purifier.valve.shut_all())
    assert not await rig.purifier.valve.is_open(RELAY)


@pytest.mark.parametrize("limit_ms", [0, 99, 3_276_800])
async def test_a_limit_that_the_relay_cannot_hold_is_refused(limit_ms: int) -> None:
    rig = WaterRig()
    with pytest.raises(ValueError, match="expected 100 to 3276700"):
        await rig.purifier.valve.open_for(RELAY, limit_ms)
    with pytest.raises(ValueError, match="expected 1 to 8"):
        await rig.purifier.valve.open_for(9, 1_000)
    assert rig.port.written == []


async def test_an_order_to_open_is_sent_once_and_an_order_to_shut_until_it_is_heard() -> None:
    rig = WaterRig()
    rig.faults.switch_on("dead", rig.slave("valve"))
    await silence(rig.purifier.valve.open_for(RELAY, 1_000))
    opened = [data for _, data in rig.port.written if data[1] == 5]
    assert len(opened) == 1
    rig.faults.switch_off("dead", rig.slave("valve"))
    await rig.purifier.valve.shut(RELAY)


async def test_when_an_order_was_heard_is_known_from_its_bytes() -> None:
    rig = WaterRig()
    heard = await rig.purifier.valve.open_for(RELAY, 1_000)
    at_ms, _ = next((at_ms, data) for at_ms, data in rig.port.written if data[1] == 5)
    assert heard.asked_ms == at_ms
    assert at_ms < heard.answered_ms <= rig.clock.mono_ms()
    reading = await rig.purifier.meter.totaliser()
    asked_ms, _ = next((at_ms, data) for at_ms, data in reversed(rig.port.written) if data[0] == rig.slave("meter"))
    assert reading.mono_ms - reading.took_ms <= asked_ms < reading.mono_ms


async def test_a_shut_that_was_asked_more_than_once_was_perhaps_heard_at_first() -> None:
    rig = WaterRig()
    rig.faults.switch_on("dead", rig.slave("valve"))
    rig.machine.timeline.after(400, lambda: rig.faults.switch_off("dead", rig.slave("valve")))
    heard = await rig.purifier.valve.shut(RELAY)
    asked = [at_ms for at_ms, data in rig.port.written if data[1] == 5]
    assert len(asked) > 1
    assert heard.asked_ms == asked[0]
    assert heard.answered_ms > asked[-1]


async def test_an_order_to_open_that_waits_behind_a_shut_does_not_open() -> None:
    """The job is held back by the line, the shut overtakes it: the valve must stay shut."""
    rig = WaterRig()
    waiting: list[Any] = []
    run = rig.bus.run

    async def hold_back(work: Any, **how: Any) -> Any:
        waiting.append((work, how))

    rig.bus.run = hold_back  # type: ignore[method-assign]
    await rig.purifier.valve.open_for(RELAY, 1_000)
    rig.bus.run = run  # type: ignore[method-assign]
    await rig.purifier.valve.shut(RELAY)
    work, how = waiting[0]
    with pytest.raises(Withheld, match="an order to shut came after it"):
        await run(work, **how)
    assert not await rig.purifier.valve.is_open(RELAY)


# --- meter ---


@pytest.mark.parametrize("meter", ["pulse4", "vmu-mc", "tuf-2000m"])
async def test_each_meter_counts_what_has_flowed(meter: str) -> None:
    rig = WaterRig(meter=meter)
    before = await rig.purifier.meter.totaliser()
    await rig.purifier.valve.open_for(RELAY, 20_000)
    rig.pass_ms(25_000)
    after = await rig.purifier.meter.totaliser()
    counted_ml = (after.count - before.count) * 1_000_000 // rig.purifier.meter.pulses_per_litre_milli
    assert rig.machine.purifier is not None
    poured_ml = rig.machine.purifier.truth()["poured_ul"] // 1_000
    assert poured_ml > 300
    assert counted_ml == pytest.approx(poured_ml, rel=0.03)
    assert after.mono_ms - before.mono_ms >= 25_000


async def test_a_meter_set_to_another_unit_is_refused() -> None:
    rig = WaterRig(meter="tuf-2000m")
    rig.machine.purifier.device("meter").settings["totaliser_unit"] = 1  # type: ignore[union-attr]
    with pytest.raises(BoardMisbehaved, match="expected the setting 0 m3"):
        await rig.purifier.meter.totaliser()


class Counts:
    """A meter whose counts the test writes down; the bus's part is played by this test."""

    def __init__(self, *counts: int, step_ms: int = 100) -> None:
        self.rig = WaterRig()
        self.meter = RegisterMeter(self.rig.device("pulse4", 12))
        self.counts = list(counts)
        self.meter._count = self.next_count  # type: ignore[method-assign]
        self.step_ms = step_ms

    def next_count(self, line: object, not_after: int) -> Totaliser:
        self.rig.clock.advance(self.step_ms)
        return Totaliser(self.counts.pop(0), 2**32, self.rig.clock.mono_ms())


async def test_a_count_that_cannot_have_grown_so_is_read_again() -> None:
    counts = Counts(1_000, 1_000, 1_010, 900_000, 1_020)
    assert (await counts.meter.totaliser()).count == 1_000
    assert (await counts.meter.totaliser()).count == 1_010
    assert (await counts.meter.totaliser()).count == 1_020
    assert counts.counts == []


async def test_a_meter_that_was_cleared_is_believed_when_two_readings_agree() -> None:
    counts = Counts(1_000, 1_000, 3, 4)
    await counts.meter.totaliser()
    assert (await counts.meter.totaliser()).count == 4


async def test_a_counter_that_begins_again_at_nothing_grows_on() -> None:
    counts = Counts(2**32 - 5, 2**32 - 5, 10)
    await counts.meter.totaliser()
    assert (await counts.meter.totaliser()).count == 10
    assert counts.counts == []


async def test_counts_that_contradict_each_other_are_none() -> None:
    counts = Counts(1_000, 1_000, 900_000, 70_000)
    await counts.meter.totaliser()
    with pytest.raises(BoardMisbehaved, match="at most 30 L/min"):
        await counts.meter.totaliser()


async def test_the_most_that_may_be_counted_is_what_the_meter_can_pass() -> None:
    """30 L/min of 450 counts are 225 a second; the reading may have been up to a second behind."""
    most = 225 * (1_000 + CATCHING_UP_MS) // 1_000
    counts = Counts(0, 0, most, step_ms=1_000)
    await counts.meter.totaliser()
    assert (await counts.meter.totaliser()).count == most
    more = Counts(0, 0, most + 1, 5, step_ms=1_000)
    await more.meter.totaliser()
    assert (await more.meter.totaliser()).count == 5


@pytest.mark.parametrize("kind", ["late", "split", "exception"])
async def test_counts_only_grow_over_a_bad_line(kind: str) -> None:
    """Readings while water flows: some fail, none is older than the one before, and the last is right."""
    rig = WaterRig(seed=3, rates={kind: 0.3})
    await rig.purifier.valve.open_for(RELAY, 60_000) if kind != "exception" else None
    last, heard = 0, 0
    for _ in range(150):
        rig.pass_ms(200)
        try:
            count = (await rig.purifier.meter.totaliser()).count
        except (BoardSilent, BoardMisbehaved, NeverSent):
            continue
        assert count >= last
        last, heard = count, heard + 1
    assert heard > 20


# --- probes ---


async def test_every_probe_answers_its_question() -> None:
    rig = WaterRig()
    reading = await rig.purifier.sensors.read()
    assert reading.tds_in_ppm is not None
    assert reading.tds_out_ppm is not None
    assert reading.tds_in_ppm > reading.tds_out_ppm > 0
    assert reading.pressure_kpa is not None
    assert reading.pressure_kpa > 0
    assert reading.level_mm is not None
    assert 0 < reading.level_mm < 3_000
    assert reading.temperature_tenths_c == pytest.approx(250, abs=20)
    assert isinstance(rig.purifier.sensors, RegisterProbes)
    assert rig.purifier.sensors.problems == {}


@pytest.mark.parametrize(("unit", "kpa"), [(10, 200), (9, 200), (12, 200), (15, 200), (16, 200)])
async def test_a_transmitter_may_be_set_to_any_unit(unit: int, kpa: int) -> None:
    """The agent reads the unit with the value, so that nothing depends on what somebody set at the device."""
    rig = WaterRig()
    settings = rig.machine.purifier.device("pressure").settings  # type: ignore[union-attr]
    expected = (await rig.purifier.sensors.read()).pressure_kpa
    settings.update(unit=unit, decimals={9: 3, 12: 2, 15: 1, 16: 2}.get(unit, 1))
    reading = await rig.purifier.sensors.read()
    assert expected is not None
    assert reading.pressure_kpa == pytest.approx(expected, abs=2)


async def test_a_silent_probe_is_none_and_the_others_stay() -> None:
    rig = WaterRig()
    sensors = rig.purifier.sensors
    assert isinstance(sensors, RegisterProbes)
    rig.faults.switch_on("dead", rig.slave("tds_out"))
    for _ in range(SILENT_MAX + 1):
        reading = await sensors.read()
        assert reading.tds_out_ppm is None
        assert reading.tds_in_ppm is not None
        assert reading.temperature_tenths_c is not None
    assert set(sensors.problems) == {"tds_out"}
    rig.faults.switch_off("dead", rig.slave("tds_out"))
    rig.pass_ms(20_000)
    assert (await sensors.read()).tds_out_ppm is not None
    assert sensors.problems == {}


async def test_an_open_cable_is_no_value() -> None:
    rig = WaterRig()
    rig.machine.fault("open_cable", "on", board=rig.slave("level"))
    reading = await rig.purifier.sensors.read()
    assert reading.level_mm is None
    assert reading.pressure_kpa is not None


# --- settings, one line with boards ---


async def test_boards_and_modbus_devices_share_the_line_without_noise() -> None:
    rig = WaterRig()
    board = rig.board(1)
    await board.prepare(drop_sensor=True)
    for _ in range(20):
        assert isinstance(await board.status(), BoardIdle)
        await rig.purifier.meter.totaliser()
        await rig.purifier.sensors.read()
    statistics = rig.bus.line.statistics()
    assert {slave: notes.silent for slave, notes in statistics.items()} == dict.fromkeys((1, *range(12, 18)), 0)
    assert (rig.bus.line.noise_bytes, rig.bus.line.strays) == (0, 0)


async def test_a_late_modbus_answer_is_not_lost_on_a_board_and_the_other_way_round() -> None:
    """Whoever listens, nobody takes what is another's; the board still tells the truth afterwards."""
    rig = WaterRig(seed=5, rates={"late": 0.3})
    board = rig.board(1)
    idle = counted = 0
    for _ in range(60):
        for call in (board.status, rig.purifier.meter.totaliser):
            try:
                answer = await call()
            except (BoardSilent, NeverSent):
                continue
            idle += isinstance(answer, BoardIdle)
            counted += isinstance(answer, Totaliser)
        rig.pass_ms(300)
    assert idle > 10
    assert counted > 10


async def test_a_setting_is_written_within_its_limits_and_read_back() -> None:
    rig = WaterRig()
    device = rig.device("xy-md02", 17)
    await device.write("temperature_correction", Fraction(-15, 10))
    correction = await device.read([device.profile.named("temperature_correction")])
    assert correction["temperature_correction"].value == Fraction(-3, 2)
    with pytest.raises(ValueError, match="expected -5 to 5 degC"):
        await device.write("temperature_correction", 6)
    with pytest.raises(ValueError, match="no safe limits"):
        await device.write("humidity", 1)


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        ({"meter": "pulse4"}, "no device has role = 'valve'"),
        ({"valve": "waveshare-relay-8"}, "no device has role = 'meter'"),
        ({"valve": "pulse4", "meter": "pulse4"}, "lacks a table"),
        ({"valve": "waveshare-relay-8", "meter": "ws102-tds"}, "lacks a table"),
        ({"valve": "waveshare-relay-8", "meter": "pulse4", "level": "xy-md02"}, "lacks probes.level"),
    ],
)
async def test_a_device_that_cannot_play_its_role_is_refused(roles: dict[Role, str], complaint: str) -> None:
    rig = WaterRig()
    parts = [Part(rig.shared, role, profile, at, role) for at, (role, profile) in enumerate(roles.items(), 20)]
    with pytest.raises(SettingsWrong, match=complaint):
        open_purifier(parts, rig.clock)


async def test_probes_are_asked_at_the_same_time() -> None:
    """A probe that waits for its turn keeps no other waiting: all questions are in the queue at once."""
    rig = WaterRig()
    asked: list[str] = []
    run = rig.bus.run
    all_asked = asyncio.Event()

    async def note(work: Any, *, name: str, **how: Any) -> Any:
        asked.append(name)
        if len(asked) == 5:
            all_asked.set()
        async with asyncio.timeout(5):
            await all_asked.wait()
        return await run(work, name=name, **how)

    rig.bus.run = note  # type: ignore[method-assign]
    assert (await rig.purifier.sensors.read()).tds_out_ppm is not None
