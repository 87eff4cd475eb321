"""The door's value file, and everything else that may be in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.devices.door_switch import DoorSwitch
from edge_agent.devices.ports import Door


@pytest.mark.parametrize(("text", "is_open"), [("1\n", True), ("0\n", False), ("1", True), ("0", False)])
async def test_the_value_says_whether_the_door_is_open(tmp_path: Path, text: str, is_open: bool) -> None:
    file = tmp_path / "value"
    file.write_text(text)
    assert await DoorSwitch(file).is_open() is is_open
    assert await DoorSwitch(file, open_value="0").is_open() is not is_open


@pytest.mark.parametrize("content", [b"", b"2", b"open", b"\xff\xfe"])
async def test_anything_else_is_unknown_and_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "value"
    file.write_bytes(content)
    door = DoorSwitch(file)
    assert await door.is_open() is None
    assert str(file) in (door.problem or "")
    file.write_text("1")
    assert await door.is_open()
    assert door.problem is None


async def test_a_missing_file_is_unknown_and_named(tmp_path: Path) -> None:
    door: Door = DoorSwitch(tmp_path / "gone")
    assert await door.is_open() is None
