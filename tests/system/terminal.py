"""A terminal emulator that a test types into and reads from: tmux, with a server of its own.

Screens are kept as text under build/aislectl-screens, for people to look at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "build" / "aislectl-screens"

COLUMNS, LINES = 120, 50
DEADLINE_S = 90.0
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Terminal:
    """One window. `name` begins the files of its screens."""

    socket: Path
    name: str

    def type(self, text: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press one key, e.g. C-c."""
        self._tmux("send-keys", key)

    def screen(self, *, colours: bool = False) -> str:
        """What stands there now; with `colours` also the escapes."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def until(self, *texts: str) -> str:
        """Wait until all texts are on the screen; returns it."""
        return self._wait(lambda screen: all(text in screen for text in texts), f"all of {texts}")

    def until_any(self, *texts: str) -> str:
        """Wait until one of the texts is on the screen; returns it."""
        return self._wait(lambda screen: any(text in screen for text in texts), f"any of {texts}")

    def until_counted(self, text: str, times: int) -> str:
        """Wait until a text is on the screen so many times; returns it."""
        return self._wait(lambda screen: screen.count(text) >= times, f"{times} times {text!r}")

    def until_gone(self, text: str) -> str:
        """Wait until a text is no longer on the screen; returns it."""
        return self._wait(lambda screen: text not in screen, f"no {text!r}")

    def until_true(self, holds: Callable[[str], bool]) -> str:
        """Wait until it holds of the screen; returns it."""
        return self._wait(holds, "what the test asks of the screen")

    def _wait(self, holds: Callable[[str], bool], what: str) -> str:
        until = time.monotonic() + DEADLINE_S
        while not holds(screen := self.screen()):
            assert time.monotonic() < until, f"not within {DEADLINE_S} s: {what}\n{screen}"
            time.sleep(LOOK_EVERY_S)
        return screen

    def resize(self, columns: int, lines: int) -> None:
        """Another size, as when a window is dragged or a telephone is turned."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def close(self) -> None:
        """Close the window, as somebody does who is in a hurry."""
        self._tmux("kill-window")

    def keep(self, what: str) -> None:
        """Keep the screen as a file."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        (SCREENS / f"{self.name}-{what}.txt").write_text(self.screen(), encoding="utf-8")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def terminal(folder: Path, name: str, *, language: str) -> Iterator[Terminal]:
    """A shell in a terminal of its own; its server ends with the block."""
    assert shutil.which("tmux"), "the tests need tmux: apt-get install tmux"
    window = Terminal(folder / "tmux", name)
    # COLUMNS and LINES of whoever runs the tests would be believed before the window's own size.
    others = ("LC_", "LANG", "TMUX", "NO_COLOR", "COLUMNS", "LINES")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environment = kept | {
        "LANG": language,
        "SHELL": "/bin/sh",
        "PS1": "$ ",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    command = ["tmux", "-u", "-S", str(window.socket), "-f", "/dev/null", "new-session", "-d", *size, "/bin/sh"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    try:
        yield window
    finally:
        # Its server has ended by itself where the only window was closed.
        subprocess.run(["tmux", "-S", str(window.socket), "kill-server"], capture_output=True, check=False)
