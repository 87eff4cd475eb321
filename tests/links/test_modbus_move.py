"""A device gets another address or speed over a real port, and is found where it went."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.devices.modbus_device import try_profile
from edge_agent.devices.modbus_move import Moved, Place, move_device
from edge_agent.devices.profile_file import load_profile, shipped_profiles
from edge_agent.errors import BoardSilent, LinkDown, Refused
from tests.links.test_modbus_real_line import BAUD, CLOCK, simulated

FREE = 77
# Role, profile, slave: all whose own address is described.
MOVABLE = [
    ("valve", "waveshare-relay-8", 11),
    ("tds_in", "ws102-tds", 13),
    ("level", "qdy30a", 15),
    ("temperature", "xy-md02", 17),
]


@pytest.mark.parametrize(("role", "profile", "slave"), MOVABLE)
async def test_a_device_answers_at_its_new_address_only(role: str, profile: str, slave: int, tmp_path: Path) -> None:
    async with simulated(tmp_path) as sim:
        moved = await move_device(profile, sim.urls["wp"], Place(slave, BAUD), Place(FREE, BAUD), clock=CLOCK)
        assert moved == Moved(FREE, BAUD, answers=True)
        rows = await try_profile(profile, sim.urls["wp"], FREE, clock=CLOCK)
        assert [row.problem for row in rows] == [None] * len(rows)
        with pytest.raises(BoardSilent):
            await move_device(profile, sim.urls["wp"], Place(slave, BAUD), Place(78, BAUD), clock=CLOCK)


async def test_a_device_gets_another_address_and_another_speed(tmp_path: Path) -> None:
    async with simulated(tmp_path, only_baud=True) as sim:
        there = Place(FREE, 19_200)
        assert (await move_device("qdy30a", sim.urls["wp"], Place(15, BAUD), there, clock=CLOCK)).answers
        back = await move_device("qdy30a", sim.urls["wp"], there, Place(FREE, BAUD), clock=CLOCK)
        assert back == Moved(FREE, BAUD, answers=True)
        with pytest.raises(BoardSilent):
            await move_device("qdy30a", sim.urls["wp"], there, Place(15, 19_200), clock=CLOCK)


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


async def test_a_device_that_waits_for_its_power_is_told_as_not_answering(tmp_path: Path) -> None:
    stubborn = tmp_path / "stubborn.toml"
    text = shipped_profiles()["qdy30a"].read_text(encoding="utf-8")
    stubborn.write_text(text.replace("slave = 0x0000", "slave = 0x000C"), encoding="utf-8")  # its zero offset
    async with simulated(tmp_path) as sim:
        moved = await move_device(str(stubborn), sim.urls["wp"], Place(15, BAUD), Place(FREE, BAUD), clock=CLOCK)
        assert moved == Moved(FREE, BAUD, answers=False)
    with pytest.raises(LinkDown):
        await move_device("qdy30a", str(tmp_path / "none"), Place(1, BAUD), Place(2, BAUD), clock=CLOCK)


def test_every_speed_that_a_profile_names_has_its_number() -> None:
    for name in shipped_profiles():
        own = load_profile(name).own
        assert own is None or (own.baud is None) == (not own.bauds)
