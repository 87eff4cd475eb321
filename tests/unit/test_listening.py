"""The API's socket: what an answer's second packet waits for."""

from __future__ import annotations

import asyncio
import socket

from cloud.processes import listen


async def test_connections_of_the_api_send_at_once() -> None:
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = listen("127.0.0.1", 0)
    async with await asyncio.start_server(connected, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        async with asyncio.timeout(5):
            sends_at_once = await told
        writer.close()
        await writer.wait_closed()
    assert sends_at_once
