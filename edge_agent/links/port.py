"""One open function for every kind of port: a serial device, a TCP serial server, a pseudo-terminal.

Name a serial device by its stable path under /dev/serial/by-id: /dev/ttyUSB0 and ttyUSB1 change places when they are
unplugged. A TCP serial server is `socket://host:port`.
"""

from __future__ import annotations

import errno
import select
from pathlib import Path
from typing import Literal, Protocol

import serial

from edge_agent.errors import LinkDown

# What one read takes at most: more than any burst of a board, little enough to bound a flood of noise.
READ_BYTES_MAX = 4096

# A request has 20 bytes at most, so a line that does not take it within this time is not moving at all.
WRITE_WAIT_MS_MAX = 500

_BY_ID = Path("/dev/serial/by-id")
_DEVICES = Path("/dev")
_DEVICE_PATTERNS = ("ttyUSB*", "ttyACM*", "ttyAMA*")
_LISTED_MAX = 12  # of the ports named in a message


class LinkPort(Protocol):
    """An open port, used by one thread. Every call raises LinkDown once the port is gone."""

    def write(self, data: bytes) -> None:
        """Hand `data` to the line."""

    def read(self, wait_ms: int) -> bytes:
        """Return what has come, as soon as anything has; b"" when nothing comes for `wait_ms`."""

    def close(self) -> None:
        """Give the port back."""


def open_port(url: str, baud: int, *, parity: Literal["N", "E", "O"] = "N") -> LinkPort:
    """Open `url` for this process alone at `baud`, 8 bits; raises LinkDown with a reason that says what to do.

    One stop bit; `parity`: none, even or odd.
    """
    try:
        port = serial.serial_for_url(url, do_not_open=True)
        port.baudrate = baud
        port.parity = parity
        port.timeout = 0  # waiting is done with select, which needs no reconfiguration of the port
        port.write_timeout = WRITE_WAIT_MS_MAX / 1000
        if not _is_network(url):
            port.exclusive = True
        port.open()
    except (OSError, ValueError) as error:  # serial.SerialException is an OSError
        raise LinkDown(url, _what_to_do(url, error)) from error
    return _SerialPort(url, port)


class _SerialPort:
    """pyserial with its exceptions unwrapped."""

    def __init__(self, url: str, port: serial.SerialBase) -> None:
        self._url = url
        self._port = port

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise LinkDown(self._url, f"writing failed: {error}") from error

    def read(self, wait_ms: int) -> bytes:
        try:
            ready, _, _ = select.select([self._port], [], [], wait_ms / 1000)
            return bytes(self._port.read(READ_BYTES_MAX)) if ready else b""
        except (OSError, TypeError) as error:  # TypeError: pyserial reads a port that another thread has closed
            raise LinkDown(self._url, f"reading failed: {error}") from error

    def close(self) -> None:
        self._port.close()


def _is_network(url: str) -> bool:
    return "://" in url


def _what_to_do(url: str, error: OSError | ValueError) -> str:
    match _errno_of(error):
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            return f"no such port; {_ports_that_exist()}"
        case errno.EACCES | errno.EPERM:
            return "no permission: add the agent's user to the group that owns it (usually dialout) and log in again"
        case errno.EAGAIN | errno.EBUSY:
            return "in use by another program: a second agent, a terminal program or ModemManager"
        case errno.ENOTTY | errno.EINVAL | errno.EISDIR:
            return f"not a serial port; {_ports_that_exist()}"
    if _is_network(url):
        return f"expected socket://host:port of a serial server that is switched on; {error}"
    return str(error)


def _errno_of(error: OSError | ValueError) -> int | None:
    """The system's error number; pyserial leaves it in the error behind its own when a port cannot be configured."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    first = error.__context__.args[:1] if error.__context__ is not None else ()
    return first[0] if first and isinstance(first[0], int) else None


def _ports_that_exist() -> str:
    stable = sorted(map(str, _BY_ID.iterdir())) if _BY_ID.is_dir() else []
    found = stable or sorted(str(path) for pattern in _DEVICE_PATTERNS for path in _DEVICES.glob(pattern))
    if not found:
        return "no serial port exists here: is the adapter plugged in?"
    more = f" and {len(found) - _LISTED_MAX} more" if len(found) > _LISTED_MAX else ""
    return f"these exist: {', '.join(found[:_LISTED_MAX])}{more}"
