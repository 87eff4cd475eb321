"""Looks at this computer: ports, disk, wear, and a ledger whose agent is down. Changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

from edge_agent.technician.screens import size
from edge_agent.technician.speech import Speech

State = Literal["ok", "warn", "bad", "unknown"]

MB: Final = 2**20

# An eMMC tells its wear in tenths of its life (JEDEC JESD84-B51, EXT_CSD 268 and 269): from 8 on it wants replacing.
WEAR_TENTHS_WARN: Final = 8
# And whether its spare blocks run out (EXT_CSD 267): 1 is normal, 2 is 80 % used, 3 is urgent.
SPARE_NORMAL: Final = 1
# Below a few times the reserve somebody should look what fills the disk.
ROOM_WARN_RESERVES: Final = 4


def port(url: str, say: Speech) -> Iterator[tuple[State, str, str]]:
    """Is the port there, may this account use it, and is its path one that stays?"""
    if "://" in url:
        yield "ok", f"{url}: {say('not a port of this computer')}", ""
        return
    path = Path(url)
    if not path.exists():
        plugged = sorted(str(found) for found in Path("/dev/serial/by-id").glob("*"))
        there = ", ".join(plugged) or say("none")
        detail = f"{url}: {say('there is no such port; serial adapters that are plugged in')}: {there}"
        yield "bad", detail, say("plug the adapter in, look at dmesg, then correct url in the settings")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield "bad", f"{url}: {say('this account may not use it')}", say("add the agent's user to the group dialout")
    elif path.parent == Path("/dev") and path.name.startswith(("ttyUSB", "ttyACM")):
        fix = say("name the port by /dev/serial/by-id/... : numbers change places when two adapters restart")
        yield "warn", f"{url}: {say('a number, not a stable name')}", fix
    else:
        yield "ok", url, ""


def disk(folder: Path, reserve_mb: int, say: Speech) -> Iterator[tuple[str, State, str, str]]:
    """Space, whether it can be written, and how worn the medium is."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield (
            "disk",
            "bad",
            f"{folder}: {error.strerror}",
            say("create the folder, owned by the agent's user, mode 0700"),
        )
        return
    detail = f"{folder}: {size(free)} {say('free')}"
    if (refusal := _not_written(folder)) is not None:
        fix = say("the kernel stopped writing after an error: read dmesg, copy the data folder, replace the medium")
        yield "disk", "bad", f"{folder}: {say('cannot be written')}: {say.sentence(refusal.strerror)}", fix
    elif free < reserve_mb * MB:
        yield "disk", "bad", detail, say("free some space: journalctl --vacuum-size=100M, apt-get clean")
    elif free < ROOM_WARN_RESERVES * reserve_mb * MB:
        yield "disk", "warn", detail, say("free some space: journalctl --vacuum-size=100M, apt-get clean")
    else:
        yield "disk", "ok", detail, ""
    yield from wear(Path("/sys/block"), say)


def _not_written(folder: Path) -> OSError | None:
    """What the kernel answers to a file that gets no name. The flags of the mount do not tell: an emergency sets none.

    None when it can be written, when only space is missing, and when this account may not try.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return None if error.errno in (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT) else error


def wear(blocks: Path, say: Speech) -> Iterator[tuple[str, State, str, str]]:
    """What every eMMC of this computer tells of itself; SD cards and SSDs tell nothing here."""
    for life in sorted(blocks.glob("mmcblk*/device/life_time")):
        tenths = max(int(value, 16) for value in life.read_text().split())
        spare = int((life.parent / "pre_eol_info").read_text(), 16)
        name = life.parent.parent.name
        detail = f"{name}: {say('about {percent} % of its life is used', percent=10 * tenths)}"
        if tenths >= WEAR_TENTHS_WARN or spare > SPARE_NORMAL:
            yield (
                "wear",
                "warn",
                detail,
                say("plan to replace the medium; the data folder can be copied while the agent is down"),
            )
        else:
            yield "wear", "ok", detail, ""


def ledger_findings(path: Path) -> list[str]:
    """What SQLite finds in a copy of the ledger: the file itself belongs to the agent, who may start at any moment.

    Raises OSError when it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="aislectl-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + "-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(log.name))
        try:
            with closing(sqlite3.connect(copy)) as conn:
                rows = conn.execute("PRAGMA integrity_check(10)").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
    return [line for (line,) in rows if line != "ok"]
