"""What the agent sees of the running pour, where a process that is killed leaves it behind.

The ledger knows of a pour what money needs: that it began, and how it ended. What makes its count believable is what
was seen meanwhile: the meter's readings, and when the relay heard which order. That is ten lines a second, too many to
be synced, and worth nothing once the pour has ended. So they go to a file beside the ledger without a sync: they
outlive the process, because the kernel has them, and may be lost with the power.

Nothing but certainty depends on them. A file that is torn, lost, of another pour or of another boot is no witness, and
the pour goes to review.

    ["pour", ORDER, BOOT, PACE, LAG_MS, OVERRUN_MS, NOMINAL]    before the intent: what is known of the outlet
    ["asked", MONO_MS]       an order to open leaves
    ["heard", MONO_MS]       the relay has answered it
    ["point", COUNTS, MONO_MS, TOOK_MS]
    ["shutting", MONO_MS]    an order to shut leaves
    ["shut", MONO_MS]        the relay has shut the valve
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from edge_agent.pour.evenness import Habit, Point, keep
from shared.ids import BootId, OrderId

log = logging.getLogger(__name__)

FILE_NAME: Final = "pour.seen"
FILE_MODE: Final = 0o600

Moment = Literal["asked", "heard", "shutting", "shut"]


@dataclass
class Seen:
    """What a dead agent saw of its pour, times in ms of this boot.

    `asked_first_ms`: when the first order to open left; None when none ever did. `opened_ms`: when one was first
    answered. `asked_ms`, `heard_ms`: the last one that was answered, from which the relay's own timer ran. `shut_ms`:
    when the relay had shut. `waits`: the last order was not answered, and nobody knows whether it was heard.
    """

    habit: Habit
    trace: list[Point] = field(default_factory=list)
    asked_first_ms: int | None = None
    opened_ms: int | None = None
    asked_ms: int = 0
    heard_ms: int | None = None
    shut_ms: int | None = None
    waits: bool = False

    def take(self, moment: Moment, mono_ms: int) -> None:
        """One more moment, in the order in which they came."""
        self.waits = moment in ("asked", "shutting")
        match moment:
            case "asked":
                self.asked_ms = mono_ms
                self.asked_first_ms = self.asked_first_ms or mono_ms
            case "heard":
                self.heard_ms = mono_ms
                self.opened_ms = self.opened_ms or mono_ms
            case "shut":
                self.shut_ms = mono_ms


class Witness:
    """Writes the file of one pour after the other, and reads what the last one left."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file: int | None = None

    def begin(self, order: OrderId, boot_id: BootId, known: Habit) -> None:
        """A new pour; what was seen of the one before is forgotten. Call it before the intent is committed."""
        self.end()
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, FILE_MODE)
        except OSError as error:
            log.warning("a crash in this pour would have no witness: %s", error)
        self._write("pour", order, boot_id, known.pace, known.lag_ms, known.overrun_ms, known.nominal)

    def moment(self, moment: Moment, mono_ms: int) -> None:
        """An order to the relay, or its answer."""
        self._write(moment, mono_ms)

    def point(self, point: Point) -> None:
        """A reading of the meter."""
        self._write("point", point.counts, point.mono_ms, point.took_ms)

    def end(self) -> None:
        """The pour is over."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def recall(self, order: OrderId, boot_id: BootId) -> Seen | None:
        """What was seen of this pour since this boot; None when there is no witness."""
        lines = self._lines()
        match next(lines, None):
            case ["pour", found, boot, pace, lag_ms, overrun_ms, nominal] if (found, boot) == (order, boot_id):
                seen = Seen(Habit(pace, lag_ms, overrun_ms, nominal))
            case _:
                return None
        for line in lines:
            match line:
                case ["point", counts, mono_ms, took_ms]:
                    keep(seen.trace, Point(counts, mono_ms, took_ms))
                case [("asked" | "heard" | "shutting" | "shut") as moment, mono_ms]:
                    seen.take(moment, mono_ms)
        return seen

    def _write(self, *line: str | int | None) -> None:
        """Some bytes for the kernel; a disk that takes none leaves a pour that a crash sends to review."""
        if self._file is None:
            return
        try:
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError as error:
            log.warning("a crash in this pour would have no witness: %s", error)
            self.end()

    def _lines(self) -> Iterator[list[Any]]:
        """The lines until the first that is torn."""
        try:
            raw = self._path.read_bytes()
        except OSError:
            return
        for line in raw.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError:
                return
