"""A device gets another address or speed over a real port, and is found where it went."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.devices.modbus_device import try_profile
from edge_agent.devices.modbus_move import Moved, Place, move_device
from edge_agent.devices.profile_file import load_profile, shipped_profiles
from edge_agent.errors import BoardSilent, LinkDown, Refused
from firmware_sim.testbench import Bench
from tests.links.test_modbus_real_line import BAUD, CLOCK, DEADLINE_S, simulated

FREE = 77
# Role, profile, slave: all whose own address is described (a test compares).
MOVABLE = [
    ("meter", "tuf-2000m", 12),
    ("valve", "waveshare-relay-8", 11),
    ("tds_in", "ws102-tds", 13),
    ("level", "qdy30a", 15),
    ("temperature", "xy-md02", 17),
]


@pytest.mark.parametrize(("role", "profile", "slave"), MOVABLE)
async def test_a_device_answers_at_its_new_address_only(role: str, profile: str, slave: int, tmp_path: Path) -> None:
    async with simulated(tmp_path, meter="tuf-2000m") as sim:
        moved = await move_device(profile, sim.urls["wp"], Place(slave, BAUD), Place(FREE, BAUD), clock=CLOCK)
        assert moved == Moved(Place(slave, BAUD), FREE, BAUD, answers=True)
        rows = await try_profile(profile, sim.urls["wp"], FREE, clock=CLOCK)
        assert [row.problem for row in rows] == [None] * len(rows)
        with pytest.raises(BoardSilent):
            await move_device(profile, sim.urls["wp"], Place(slave, BAUD), Place(78, BAUD), clock=CLOCK)
        again = await move_device(profile, sim.urls["wp"], Place(slave, BAUD), Place(FREE, BAUD), clock=CLOCK)
        assert again == Moved(Place(slave, BAUD), FREE, BAUD, answers=True, found=True)


def test_every_profile_that_can_be_moved_is_tried() -> None:
    assert {name for name in shipped_profiles() if load_profile(name).own} == {profile for _, profile, _ in MOVABLE}


# Each profile that says where its speed is, its slave, and the highest speed that it names.
SPEEDS = [
    (profile, slave, max(own.bauds))
    for _, profile, slave in MOVABLE
    if (own := load_profile(profile).own) is not None and own.bauds
]


@pytest.mark.parametrize(("profile", "slave", "baud"), SPEEDS)
async def test_a_device_gets_another_address_and_another_speed(
    profile: str, slave: int, baud: int, tmp_path: Path
) -> None:
    async with simulated(tmp_path, only_baud=True) as sim:
        there = Place(FREE, baud)
        moved = await move_device(profile, sim.urls["wp"], Place(slave, BAUD), there, clock=CLOCK)
        assert moved == Moved(Place(slave, BAUD), FREE, baud, answers=True)
        back = await move_device(profile, sim.urls["wp"], there, Place(FREE, BAUD), clock=CLOCK)
        assert back == Moved(there, FREE, BAUD, answers=True)
        with pytest.raises(BoardSilent):
            await move_device(profile, sim.urls["wp"], there, Place(slave, baud), clock=CLOCK)


@pytest.mark.parametrize(
    ("profile", "now", "to", "reason"),
    [
        ("qdy30a", Place(15, BAUD), Place(16, BAUD), "taken"),
        ("qdy30a", Place(15, BAUD), Place(0, BAUD), "out_of_range"),
        ("qdy30a", Place(15, BAUD), Place(248, BAUD), "out_of_range"),
        ("qdy30a", Place(15, BAUD), Place(15, 14_400), "out_of_range"),
        ("waveshare-relay-8", Place(11, BAUD), Place(11, 19_200), "out_of_range"),
        ("pulse4", Place(12, BAUD), Place(FREE, BAUD), "not_described"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_written(
    profile: str, now: Place, to: Place, reason: str, tmp_path: Path
) -> None:
    async with simulated(tmp_path) as sim:
        with pytest.raises(Refused) as refused:
            await move_device(profile, sim.urls["wp"], now, to, clock=CLOCK)
        assert refused.value.reason == reason
        rows = await try_profile(profile, sim.urls["wp"], now.slave, clock=CLOCK)
        assert [row.problem for row in rows] == [None] * len(rows)


def changed(folder: Path, old: str, new: str) -> str:
    """The level transmitter's profile with a mistake: what a device does with it is what some do by themselves."""
    text = shipped_profiles()["qdy30a"].read_text(encoding="utf-8")
    assert old in text
    path = folder / "changed.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


HERE = Place(15, BAUD)


async def test_a_device_that_does_not_take_it_is_told_where_it_is(tmp_path: Path) -> None:
    deaf = changed(tmp_path, "slave = 0x0000", "slave = 0x000C")  # its zero offset
    async with simulated(tmp_path) as sim:
        moved = await move_device(deaf, sim.urls["wp"], HERE, Place(FREE, BAUD), clock=CLOCK)
        assert moved == Moved(HERE, 15, BAUD, True, "it did not take what was written")
    with pytest.raises(LinkDown):
        await move_device("qdy30a", str(tmp_path / "none"), Place(1, BAUD), Place(2, BAUD), clock=CLOCK)


async def test_a_device_that_refuses_is_told_where_it_is_and_why(tmp_path: Path) -> None:
    strict = changed(tmp_path, "slave = 0x0000", "slave = 0x0005")  # may only be read
    async with simulated(tmp_path) as sim:
        moved = await move_device(strict, sim.urls["wp"], HERE, Place(FREE, BAUD), clock=CLOCK)
        assert (moved.slave, moved.baud, moved.answers) == (15, BAUD, True)
        assert "exception 2" in str(moved.problem)


async def test_half_way_it_is_told_where_it_is_and_the_other_half_can_be_done(tmp_path: Path) -> None:
    half = changed(tmp_path, "baud = 0x0001", "baud = 0x0005")
    async with simulated(tmp_path, only_baud=True) as sim:
        moved = await move_device(half, sim.urls["wp"], HERE, Place(FREE, 19_200), clock=CLOCK)
        assert (moved.slave, moved.baud, moved.answers) == (FREE, BAUD, True)
        assert "exception 2" in str(moved.problem)
        there = Place(FREE, 19_200)
        rest = await move_device("qdy30a", sim.urls["wp"], Place(moved.slave, moved.baud), there, clock=CLOCK)
        assert rest == Moved(Place(FREE, BAUD), FREE, 19_200, answers=True)


async def test_a_device_that_is_heard_nowhere_is_told_as_such_and_can_be_found(tmp_path: Path) -> None:
    astray = changed(tmp_path, "19200 = 4", "19200 = 5")  # it goes to 38400 instead
    async with simulated(tmp_path, only_baud=True) as sim:
        moved = await move_device(astray, sim.urls["wp"], HERE, Place(15, 19_200), clock=CLOCK)
        assert moved == Moved(HERE, 15, 19_200, False, "it may wait for its power")
        back = await move_device("qdy30a", sim.urls["wp"], Place(15, 38_400), HERE, clock=CLOCK)
        assert back == Moved(Place(15, 38_400), 15, BAUD, answers=True)


async def pulled_once_written(sim: Bench, setting: str, value: int) -> None:
    """Wait for the moment in which the level transmitter has taken a setting, and pull the adapter out."""
    async with asyncio.timeout(DEADLINE_S):
        while (await sim.control.truth())["machines"]["wp"]["water"]["devices"]["level"][setting] != value:
            pass
    await sim.control.unplug("wp")


@pytest.mark.parametrize(("setting", "value", "found"), [("slave", FREE, False), ("baud", 19_200, True)])
async def test_an_adapter_that_is_pulled_out_half_way_is_told_and_the_next_try_ends_it(
    setting: str, value: int, found: bool, tmp_path: Path
) -> None:
    there = Place(FREE, 19_200)
    async with simulated(tmp_path, only_baud=True) as sim:
        pulling = asyncio.create_task(pulled_once_written(sim, setting, value))
        moved = await move_device("qdy30a", sim.urls["wp"], HERE, there, clock=CLOCK)
        await pulling
        assert (moved.answers, moved.port_gone, moved.slave) == (False, True, FREE)
        with pytest.raises(LinkDown):
            await move_device("qdy30a", sim.urls["wp"], HERE, there, clock=CLOCK)
        await sim.control.plug("wp")
        assert await move_device("qdy30a", sim.urls["wp"], HERE, there, clock=CLOCK) == Moved(
            HERE, FREE, 19_200, answers=True, found=found
        )
        rows = await try_profile("qdy30a", sim.urls["wp"], FREE, 19_200, clock=CLOCK)
        assert [row.problem for row in rows] == [None] * len(rows)


async def test_another_kind_of_device_at_the_new_place_is_not_taken_for_the_one_that_is_missing(tmp_path: Path) -> None:
    async with simulated(tmp_path) as sim:
        with pytest.raises(BoardSilent):
            await move_device("qdy30a", sim.urls["wp"], Place(99, BAUD), Place(11, BAUD), clock=CLOCK)


def test_every_speed_that_a_profile_names_has_its_number() -> None:
    for name in shipped_profiles():
        own = load_profile(name).own
        assert own is None or (own.baud is None) == (not own.bauds)
