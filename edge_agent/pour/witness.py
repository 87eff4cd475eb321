"""What the agent sees of the running pour, where a process that is killed leaves it behind.

The ledger knows of a pour what money needs: that it began, and how it ended. What makes its count believable is what
was seen meanwhile: the meter's readings, and when the relay heard which order. That is ten lines a second, too many to
be synced, and worth nothing once the pour has ended. So they go to a file beside the ledger without a sync: they
outlive the process, because the kernel has them, and may be lost with the power.

Nothing but certainty depends on them. A file that is torn, lost, of another pour or of another boot is no witness, and
the pour goes to review.

    ["pour", ORDER, BOOT, PACE, LAG_MS, OVERRUN_MS, NOMINAL]    before the intent: what is known of the outlet
    ["asked", MONO_MS, 0]             an order to open leaves
    ["heard", MONO_MS, SPREAD_MS]     the relay heard it then, and has answered
    ["opened", MONO_MS, SPREAD_MS]    the relay heard the first of them then
    ["point", COUNTS, MONO_MS, TOOK_MS]
    ["shutting", MONO_MS, 0]          an order to shut leaves
    ["shut", MONO_MS, SPREAD_MS]      the relay shut the valve then
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from edge_agent.pour.evenness import Habit, Moment, Point, keep
from shared.ids import BootId, OrderId

log = logging.getLogger(__name__)

FILE_NAME: Final = "pour.seen"
FILE_MODE: Final = 0o600

Word = Literal["asked", "heard", "opened", "shutting", "shut"]


@dataclass
class Seen:
    """What a dead agent saw of its pour, times in ms of this boot.

    `asked_first_ms`: when the first order to open left; None when none ever did. `opened`: when the relay heard one
    first. `heard`: when it heard the last that it answered, from which its own timer ran. `shut`: when it shut the
    valve. `waits`: the last order was not answered, and nobody knows whether it was heard.
    """

    habit: Habit
    trace: list[Point] = field(default_factory=list)
    asked_first_ms: int | None = None
    opened: Moment | None = None
    heard: Moment | None = None
    shut: Moment | None = None
    waits: bool = False

    def take(self, word: Word, moment: Moment) -> None:
        """One more moment, in the order in which they were written."""
        match word:
            case "asked":
                self.asked_first_ms = self.asked_first_ms or moment.at_ms
            case "opened":
                self.opened = moment
            case "heard":
                self.heard = moment
            case "shut":
                self.shut = moment
        self.waits = word in ("asked", "shutting")


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

    def moment(self, word: Word, moment: Moment) -> None:
        """An order to the relay, or its answer."""
        self._write(word, moment.at_ms, moment.spread_ms)

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
                case [("asked" | "heard" | "opened" | "shutting" | "shut") as word, mono_ms, spread_ms]:
                    seen.take(word, Moment(mono_ms, spread_ms))
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
