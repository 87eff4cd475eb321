"""The settings follow a device that got another address: one number in the file changes, and nothing else."""

from __future__ import annotations

import copy
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from edge_agent.settings import Modbus

_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w.\-]+)\s*\]?\]")
_SLAVE: Final = re.compile(r"^(\s*slave\s*=\s*)(\d+)\b")

# What the settings mean when they name no speed.
_BAUD: Final = next(field.default for field in msgspec.structs.fields(Modbus) if field.name == "baud")

Followed = Literal["followed", "by_hand"]


def line_baud(path: Path, port: str) -> int | None:
    """The speed that the settings at `path` give the line on this port; None where they name none."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    lines = [line for line in tree.get("modbus", ()) if _same(str(line.get("url")), port)]
    return lines[0].get("baud", _BAUD) if lines else None


def follow(path: Path, port: str, profile: str, was: int, slave: int, baud: int) -> Followed | None:
    """Write the new address where the settings at `path` name a device with this profile at `was` on this port.

    None: they name none there, or cannot be read. "by_hand": they name one, and it is for a person to change them: the
    line speaks another speed, something else is to stand at the new address, the file is not written as usual, or this
    account may not write it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except (OSError, ValueError):
        return None
    places = list(_places(tree, port, profile, was))
    if not places:
        return None
    if any(tree["modbus"][line].get("baud", _BAUD) != baud for line, _ in places):
        return "by_hand"
    if slave == was:
        return None
    if any(
        place["slave"] == slave for line, _ in places for place in tree["modbus"][line]["device"] if "slave" in place
    ):
        return "by_hand"
    rewritten = readdressed(text, tree, places, slave)
    if rewritten is None:
        return "by_hand"
    try:
        _replace(path, rewritten)
    except OSError:
        return "by_hand"
    return "followed"


def _places(tree: dict[str, Any], port: str, profile: str, slave: int) -> list[tuple[int, int]]:
    """Which device of which line: both counted from 0. One device may stand there twice, under two names."""
    return [
        (at, place)
        for at, line in enumerate(tree.get("modbus", ()))
        if _same(str(line.get("url")), port)
        for place, device in enumerate(line.get("device", ()))
        if (device.get("slave"), device.get("profile")) == (slave, profile)
    ]


def _same(url: str, port: str) -> bool:
    """Two names of one port: by-id names are links."""
    return url == port or (url.startswith("/") and os.path.realpath(url) == os.path.realpath(port))


def readdressed(text: str, tree: dict[str, Any], places: list[tuple[int, int]], slave: int) -> str | None:
    """The file with another address at these places; None where that cannot be done without touching anything else."""
    lines, at, place = text.splitlines(keepends=True), -1, -1
    inside = ""
    for number, line in enumerate(lines):
        if (header := _HEADER.match(line)) is not None:
            inside = header[1]
            if inside == "modbus":
                at, place = at + 1, -1
            place += inside == "modbus.device"
        elif inside == "modbus.device" and (at, place) in places:
            lines[number] = _SLAVE.sub(rf"\g<1>{slave}", line, count=1)
    wanted = copy.deepcopy(tree)
    for line_at, device_at in places:
        wanted["modbus"][line_at]["device"][device_at]["slave"] = slave
    rewritten = "".join(lines)
    try:
        return rewritten if tomllib.loads(rewritten) == wanted else None
    except tomllib.TOMLDecodeError:
        return None


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, with the owner and the mode that the file had."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    shutil.copymode(path, new)
    owner = path.stat()
    os.chown(new, owner.st_uid, owner.st_gid)
    new.replace(path)
