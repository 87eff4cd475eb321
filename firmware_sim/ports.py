"""Where the host plugs in: a pseudo terminal behind a stable symlink, or a TCP listener like a serial device server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

# One read takes what a host can have written in one go; frames have at most 20 bytes.
READ_BYTES = 4096
TCGETATTR_OSPEED = 5
BAUDS = {getattr(termios, f"B{baud}"): baud for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)}

PORT_SPEC = re.compile(r"pty:.+|tcp:.+:\d{1,5}")

Heard = Callable[[bytes], None]


class Port(Protocol):
    """One serial port. `heard` gets every byte that the host writes."""

    @property
    def url(self) -> str:
        """What a host opens: a device path, or socket://host:port. The same after an unplugging."""

    @property
    def baud(self) -> int | None:
        """The speed that the host has set; None where it sets none."""

    def plug(self) -> None:
        """Bring the port up."""

    def unplug(self) -> None:
        """Take the port away, under the host's hands if it has it open."""

    def write(self, data: bytes) -> None:
        """Send to the host. Nobody there, or a full buffer: the bytes are gone, as on a wire."""


class PtyPort:
    """A pseudo terminal. The symlink keeps its name; the terminal behind it is a new one after every plugging."""

    def __init__(self, link: Path, heard: Heard) -> None:
        self._link = link
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._ends: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        return str(self._link)

    @property
    def baud(self) -> int | None:
        if self._ends is None:
            return None
        return BAUDS.get(termios.tcgetattr(self._ends[1])[TCGETATTR_OSPEED])

    def plug(self) -> None:
        if self._ends is not None:
            return
        # Our own hold on the host's end keeps the terminal alive, and raw, between two openings by hosts.
        ours, hosts = os.openpty()
        tty.setraw(hosts)
        os.set_blocking(ours, False)
        self._ends = (ours, hosts)
        self._loop.add_reader(ours, self._read)
        self._link.parent.mkdir(parents=True, exist_ok=True)
        new = self._link.with_name(self._link.name + ".new")
        new.unlink(missing_ok=True)
        new.symlink_to(os.ttyname(hosts))
        new.rename(self._link)

    def unplug(self) -> None:
        if self._ends is None:
            return
        ours, hosts = self._ends
        self._ends = None
        self._loop.remove_reader(ours)
        self._link.unlink(missing_ok=True)
        os.close(hosts)
        os.close(ours)

    def write(self, data: bytes) -> None:
        if self._ends is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._ends[0], data)

    def _read(self) -> None:
        assert self._ends is not None, "the reader is removed with the terminal"
        self._heard(os.read(self._ends[0], READ_BYTES))


class TcpPort:
    """A listener for one host at a time. Port 0 is chosen once by the system, and kept over an unplugging."""

    def __init__(self, host: str, port: int, heard: Heard) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._address = (host, port)

    @property
    def url(self) -> str:
        return f"socket://{self._address[0]}:{self._address[1]}"

    @property
    def baud(self) -> int | None:
        return None

    def plug(self) -> None:
        if self._listener is not None:
            return
        self._listener = socket.create_server(self._address, reuse_port=False)
        self._address = self._listener.getsockname()[:2]
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    def unplug(self) -> None:
        self._drop_client()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def write(self, data: bytes) -> None:
        if self._client is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._client.send(data)

    def _accept(self) -> None:
        assert self._listener is not None, "the reader is removed with the listener"
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # it went away before we looked
            return
        if self._client is not None:
            client.close()  # a line has one host
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._loop.add_reader(client, self._read)

    def _read(self) -> None:
        assert self._client is not None, "the reader is removed with the client"
        try:
            data = self._client.recv(READ_BYTES)
        except ConnectionError:
            data = b""
        if data:
            self._heard(data)
        else:
            self._drop_client()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._loop.remove_reader(self._client)
            self._client.close()
            self._client = None


def open_port(spec: str, folder: Path, heard: Heard) -> Port:
    """A port from a scenario's `port`: pty:PATH (relative to `folder`) or tcp:HOST:PORT. Not plugged yet."""
    assert PORT_SPEC.fullmatch(spec), f"the scenario has checked {spec!r}"
    kind, _, rest = spec.partition(":")
    if kind == "pty":
        return PtyPort(folder.absolute() / rest, heard)
    host, _, port = rest.rpartition(":")
    return TcpPort(host, int(port), heard)
