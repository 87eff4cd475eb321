"""Modbus over a real port: thread, pseudo-terminal, simulated devices; dead ones, and a profile on trial."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent.devices.modbus_device import try_profile
from edge_agent.devices.ports import Purifier
from edge_agent.devices.profile_file import shipped_profiles
from edge_agent.devices.purifier import Part, open_purifier
from edge_agent.errors import BoardSilent, LinkDown, NeverSent, SettingsWrong
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Later, Line
from firmware_sim.scenario import scenario_from
from firmware_sim.testbench import Bench, bench
from shared.clock import SystemClock
from tests.links.modbus_virtual import CAST, RELAY

CLOCK = SystemClock()
DEADLINE_S = 30
BAUD = 9600


@asynccontextmanager
async def simulated(folder: Path, *, meter: str = "pulse4", **line: Any) -> AsyncIterator[Bench]:
    devices = [
        {"device": meter if role == "meter" else device, "name": role, "slave": slave}
        | ({"sees": sees} if sees else {})
        for role, device, _, slave, sees in CAST
    ]
    settings = {"name": "wp", "port": "pty:ports/wp", "baud": BAUD, "modbus": devices, **line}
    async with bench(scenario_from({"seed": 1, "machine": [settings]}, source="test", folder=folder)) as sim:
        yield sim


@asynccontextmanager
async def purifier(folder: Path) -> AsyncIterator[tuple[Bench, Bus, Purifier]]:
    async with simulated(folder) as sim, Bus(sim.urls["wp"], clock=CLOCK, baud=BAUD, gap_ms=5) as bus:
        parts = [Part(bus, role, profile, slave, role) for role, _, profile, slave, _ in CAST]
        yield sim, bus, open_purifier(parts, CLOCK)


async def test_a_pour_over_a_real_port(tmp_path: Path) -> None:
    async with purifier(tmp_path) as (_, bus, water):
        before = await water.meter.totaliser()
        await water.valve.open_for(RELAY, 5_000)
        async with asyncio.timeout(DEADLINE_S):
            while (await water.meter.totaliser()).count < before.count + 5:
                await CLOCK.sleep_ms(20)
        await water.valve.shut(RELAY)
        assert not await water.valve.is_open(RELAY)
        assert (await water.sensors.read()).tds_out_ppm is not None
        assert {notes.silent for notes in bus.statistics().slaves.values()} == {0}


async def test_an_unplugged_line_comes_back_by_itself(tmp_path: Path) -> None:
    async with purifier(tmp_path) as (sim, bus, water):
        await water.meter.totaliser()
        await sim.control.unplug("wp")
        async with asyncio.timeout(DEADLINE_S):
            while bus.statistics().down is None:
                with suppress(LinkDown, BoardSilent, NeverSent):
                    await water.meter.totaliser()
        with pytest.raises(NeverSent):
            await water.valve.open_for(RELAY, 1_000)
        await sim.control.plug("wp")
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(LinkDown, BoardSilent, NeverSent):
                    await water.meter.totaliser()
                    break
                await CLOCK.sleep_ms(20)
        assert bus.statistics().openings == 2


async def test_an_order_to_open_does_not_wait_for_a_slave_that_is_probably_dead(tmp_path: Path) -> None:
    """While the dead one is probed, an order to open comes: the probe ends at once, though its wait is 1.5 s."""
    slow = shipped_profiles()["xy-md02"].read_text(encoding="utf-8").replace("reply_ms = 150", "reply_ms = 1500")
    (tmp_path / "slow.toml").write_text(slow, encoding="utf-8")
    async with purifier(tmp_path) as (_, bus, _):
        nobody = Part(bus, "nobody", str(tmp_path / "slow.toml"), 99, "temperature")
        parts = [Part(bus, role, profile, slave, role) for role, _, profile, slave, _ in CAST if role != "temperature"]
        water = open_purifier([*parts, nobody], CLOCK)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(DEADLINE_S):
            asking = tasks.create_task(_forever(water))
            while not _is_probed(bus, 99):
                await CLOCK.sleep_ms(5)
            began = CLOCK.mono_ms()
            await water.valve.open_for(RELAY, 1_000)
            waited_ms = CLOCK.mono_ms() - began
            asking.cancel()
        assert waited_ms < 500


def _is_probed(bus: Bus, slave: int) -> bool:
    """Whether a slave that was silent too often is being asked now."""
    notes = bus.statistics().slaves.get(slave)
    return notes is not None and notes.breaker == "probing" and notes.asked > notes.answered + notes.silent


async def _forever(water: Purifier) -> None:
    while True:
        await water.sensors.read()


# --- a profile on trial ---


@pytest.mark.parametrize("role", [row[0] for row in CAST])
async def test_every_shipped_profile_fits_its_device(role: str, tmp_path: Path) -> None:
    _, _, profile, slave, _ = next(row for row in CAST if row[0] == role)
    async with simulated(tmp_path) as sim:
        rows = await try_profile(profile, sim.urls["wp"], slave, clock=CLOCK)
    assert [row.problem for row in rows] == [None] * len(rows)
    assert all(row.words and row.value for row in rows)


async def test_a_wrong_address_a_dead_slave_and_no_port_are_told(tmp_path: Path) -> None:
    good = shipped_profiles()["pulse4"].read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(good.replace('address = 4\ntype = "u16"', 'address = 400\ntype = "u32"'), encoding="utf-8")
    async with simulated(tmp_path) as sim:
        tried = await try_profile(str(wrong), sim.urls["wp"], 12, clock=CLOCK)
        rows = {row.name: row for row in tried}
        assert rows["counter_1"].problem is None
        assert "no exception 2 (illegal data address)" in str(rows["frequency_1"].problem)
        silent = await try_profile("pulse4", sim.urls["wp"], 77, clock=CLOCK)
        assert all("no answer" in str(row.problem) or "silent" in str(row.problem) for row in silent)
    with pytest.raises(LinkDown, match="no such port"):
        await try_profile("pulse4", str(tmp_path / "none"), clock=CLOCK)
    with pytest.raises(SettingsWrong, match="expected a file, or one of"):
        await try_profile("none", str(tmp_path / "none"), clock=CLOCK)


async def test_a_job_that_must_wait_lets_others_go_first(tmp_path: Path) -> None:
    """Later is the line's word between library and bus: minimalmodbus must let it through untouched."""
    async with purifier(tmp_path) as (_, bus, water):
        tried = []

        def put_off_once(line: Line) -> int:
            tried.append(line)
            if len(tried) == 1:
                raise Later(CLOCK.mono_ms() + 50)
            return len(tried)

        by = CLOCK.mono_ms() + 5_000
        late = bus.run(put_off_once, name="late", priority=Priority.READING, not_after_mono_ms=by)
        results = await asyncio.gather(late, water.meter.totaliser())
        assert results[0] == 2
