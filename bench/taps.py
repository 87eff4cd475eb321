"""Where a measurement listens: on the agent's serial line and on its connection to the broker.

Both run in the bench's own event loop, so what they note shares one clock (`time.perf_counter`), and what they cost is
counted against the agent.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

READ_BYTES = 65_536

Direction = Literal["up", "down"]
Passing = Callable[[Direction, bytes], None]
"""Called with every piece just before it goes on: up is from the agent, down is to it."""


class SerialTap:
    """A pseudo terminal `link` for the agent, whose bytes go on to the terminal `board`; with None they end here."""

    def __init__(self, link: Path, board: Path | None, passing: Passing) -> None:
        self._link = link
        self._board = board
        self._passing = passing
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._ours, self._hosts = os.openpty()
        tty.setraw(self._hosts)
        self._link.symlink_to(os.ttyname(self._hosts))
        self._loop.add_reader(self._ours, self._up)
        if self._board is not None:
            self._boards = os.open(self._board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._boards)
            self._loop.add_reader(self._boards, self._down)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self._ours, self._hosts, *([self._boards] if self._board is not None else [])):
            self._loop.remove_reader(end)
            os.close(end)
        self._link.unlink()

    def _up(self) -> None:
        data = os.read(self._ours, READ_BYTES)
        self._passing("up", data)
        if self._board is not None:
            os.write(self._boards, data)

    def _down(self) -> None:
        data = os.read(self._boards, READ_BYTES)
        self._passing("down", data)
        os.write(self._ours, data)


class BrokerTap:
    """A TCP port in front of a broker's: what passes is shown, and the connection can be cut."""

    def __init__(self, broker_port: int, passing: Passing) -> None:
        self._broker_port = broker_port
        self._passing = passing
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where the agent connects."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """End every connection, as a lost network would."""
        for writer in self._open:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._open |= {writer, to_broker}
        with closing(writer), closing(to_broker):
            pumps = {
                asyncio.ensure_future(self._pump("up", reader, to_broker)),
                asyncio.ensure_future(self._pump("down", from_broker, writer)),
            }
            # One end gone is the end of both.
            _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in rest:
                pump.cancel()
            await asyncio.wait(pumps)
        self._open -= {writer, to_broker}

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(READ_BYTES):
                self._passing(direction, data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # cut, by us or by one of the two
