"""What every word of the command works with: the agent's door, the paper to print on, and the person's language."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO, cast

import msgspec
from rich.console import Console, RenderableType

from edge_agent import settings
from edge_agent.errors import AgentError, SettingsWrong
from edge_agent.local_socket import LocalClient, connect_local
from edge_agent.settings import Settings
from edge_agent.technician.speech import Speech

STANDARD_INPUT, STANDARD_OUTPUT, STANDARD_ERROR = range(3)

# Exit codes; 64 and above as in sysexits.h.
OK: Final = 0
FAILED: Final = 1  # the machine refused, or what was asked did not succeed
USAGE: Final = 2
UNREACHABLE: Final = 69  # no agent answers at the socket
SETTINGS: Final = 78  # the settings file cannot be used
INTERRUPTED: Final = 130  # Ctrl-C

SETTINGS_FILE: Final = Path("/etc/aisleflow/agent.toml")
# Names another settings file, e.g. that of a simulated machine.
SETTINGS_VARIABLE: Final = "AISLECTL_SETTINGS"

# A table that is piped into a file or a program is not folded at the width of a terminal that is not there.
PIPED_COLUMNS: Final = 200
# A serial console says nothing of its size, and has that of a VT100.
SERIAL_COLUMNS: Final = 80
SERIAL_LINES: Final = 24


class NotReachable(AgentError):
    """No agent answers at its socket, or this account may not ask: the message says which and what to do."""


class NotWritten(Exception):
    """What was told could not be printed: a full disk, or a reader who has seen enough. `__cause__` says which."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One call of the command. `paper` is standard output, `margin` standard error (progress, questions)."""

    say: Speech
    paper: Console
    margin: Console
    as_json: bool
    settings_file: Path
    socket: Path | None = None

    def socket_path(self) -> Path:
        """Where the agent listens: said on the command line, in the settings, or as shipped."""
        if self.socket is not None:
            return self.socket
        if not os.access(self.settings_file, os.R_OK):
            return settings.Socket().path
        return self.settings().socket.path

    def anyway(self) -> Desk:
        """The same desk when the settings cannot be used: then the agent is looked for at the shipped socket."""
        try:
            return replace(self, socket=self.socket_path())
        except SettingsWrong:
            return replace(self, socket=settings.Socket().path)

    def settings(self) -> Settings:
        """The agent's settings; `SettingsWrong` when they cannot be used."""
        return settings.load(self.settings_file)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[LocalClient]:
        """A connection to the agent; `NotReachable` when there is none, or when it ends."""
        path = self.socket_path()
        try:
            async with connect_local(path) as client:
                yield client
        except OSError as error:
            raise NotReachable(self._unreachable(path, error)) from error

    async def ask(self, do: str, **params: Any) -> Any:
        """One question on its own connection; raises `Refused` and `NotReachable`."""
        async with self.agent() as client:
            return await client.ask(do, **params)

    def tell(self, answer: Any, picture: Callable[[], RenderableType]) -> None:
        """Print an answer: the answer itself as JSON, or its picture."""
        if self.as_json:
            # One answer on one line: programs read lines.
            return self.write(msgspec.json.encode(answer).decode() + "\n")
        try:
            self.paper.print(picture())
        except OSError as error:  # not to be taken for one of the agent's socket
            raise NotWritten from error

    def write(self, text: str) -> None:
        """Put out what is read by programs."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            raise NotWritten from error

    def confirm(self, question: str) -> bool:
        """A person's yes; no when nobody can be asked."""
        if not sys.stdin.isatty():
            return False
        self.margin.print(f"{question} [y/N] ", end="", markup=False, highlight=False)
        return sys.stdin.readline().strip().lower() in ("y", "yes", "是", "好")

    def _unreachable(self, path: Path, error: OSError) -> str:
        match error:
            case FileNotFoundError():
                fix = self.say("the agent does not run: systemctl status aisleflow-agent")
            case PermissionError():
                fix = self.say("this account may not ask: join the group of the socket, or use sudo")
            case ConnectionRefusedError():
                fix = self.say(
                    "the agent has ended: systemctl restart aisleflow-agent, then journalctl -u aisleflow-agent"
                )
            case _:
                fix = self.say("the agent hung up: journalctl -u aisleflow-agent tells why")
        return f"{path}: {self.say.sentence(error.strerror or str(error))}: {fix}"


def settings_file() -> Path:
    """The settings file that is meant when none is named."""
    return Path(os.environ.get(SETTINGS_VARIABLE, SETTINGS_FILE))


class _Closed(io.TextIOBase):
    """Standard output that whoever called has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def stand_in_for_closed_streams() -> None:
    """A caller may have closed standard streams: no file of ours takes their numbers, and writing to them fails."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(number)
    # Python has None for each that was closed.
    missing = {name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None}
    if "stdin" in missing:
        sys.stdin = os.fdopen(STANDARD_INPUT)
    if "stdout" in missing:
        sys.stdout = cast(TextIO, _Closed())
    if "stderr" in missing:
        sys.stderr = os.fdopen(STANDARD_ERROR, "w")


def consoles() -> tuple[Console, Console]:
    """Standard output and standard error. No colour when piped, or when NO_COLOR is set (rich sees to both)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Chinese shows a question mark, not a traceback
            stream.reconfigure(errors="replace")
    margin = Console(stderr=True, highlight=False)
    if not sys.stdout.isatty():
        columns = os.environ.get("COLUMNS", "")
        return Console(width=int(columns) if columns.isdecimal() else PIPED_COLUMNS, highlight=False), margin
    if 0 in os.get_terminal_size(sys.stdout.fileno()):
        return Console(width=SERIAL_COLUMNS, height=SERIAL_LINES, highlight=False), margin
    return Console(highlight=False), margin


def exit_code(error: AgentError) -> int:
    """What a script learns of an error."""
    if isinstance(error, NotReachable):
        return UNREACHABLE
    return SETTINGS if isinstance(error, SettingsWrong) else FAILED
