"""The service door's switch: a GPIO value file of the kernel, holding `0` or `1`."""

from __future__ import annotations

from pathlib import Path


class DoorSwitch:
    """Reads the file at every question: a GPIO has no events that survive all kernels, and a read takes microseconds.

    `open_value` is what the file holds while the door stands open.
    """

    def __init__(self, value_file: Path, *, open_value: str = "1") -> None:
        self._value_file = value_file
        self._open_value = open_value
        self.problem: str | None = None  # why the last reading failed

    async def is_open(self) -> bool | None:
        """Whether the door stands open; None when the file cannot be read or holds something else, see `problem`."""
        try:
            value = self._value_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.problem = f"{self._value_file}: {error}"
            return None
        if value not in ("0", "1"):
            self.problem = f"{self._value_file}: {value[:20]!r} is no switch position (expected 0 or 1)"
            return None
        self.problem = None
        return value == self._open_value
