"""How fast lists are answered: every list operation of every dialect, over a large estate in PostgreSQL.

`python -m cloud api` is a process of its own; eight clients ask it the same list over and over, each by a connection
that stays open. The limit is a bare FastAPI handler that answers one page of orders with one query through the same
pool, asked in the same way: it recognises nobody, counts nothing, and translates nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_origin

from bench.estate import Estate, Size, build
from bench.postgres import postgres
from bench.row import Aim, Line, Row, percentile
from cloud.accounts.model import Allowed
from cloud.facades.dialect import Operation
from cloud.facades.iot.table import IOT
from cloud.facades.iot.wire import Listed
from cloud.facades.native.shapes import PageOf
from cloud.facades.native.table import NATIVE
from cloud.facades.vending.table import VENDING
from cloud.migrations import migrate
from cloud.settings import server_secret
from firmware_sim.demo.broker import free_port
from firmware_sim.demo.processes import Failed, child, python
from shared.clock import SystemClock

CLIENTS = 8
# Plans and pools are made by the first requests of each list.
WARM_UP = 2

# What a vending client asks besides the flag, for the operations that list something.
VENDING_LISTS: dict[str, dict[str, object]] = {
    "get_vendor_list": {"sort": 2, "page_size": 10, "page_no": 1},
    "get_aisle_list": {"vendor_id": "MACHINE", "normal": 1},
    "get_aisle_goods": {"vendor_id": "MACHINE"},
    "get_oa_goods": {"shop_id": "SHOP"},
    "get_record_list": {"shop_id": "SHOP"},
    "get_today_data": {"shop_id": "SHOP", "time_cut": 2},
    "get_date_board": {"shop_id": "SHOP", "time_type": 2},
    "get_home_data": {"shop_id": "SHOP"},
    "get_repl_data": {"shop_id": "SHOP"},
    "get_return_list": {"shop_id": "SHOP", "return_status": 1},
    "get_order_list": {"shop_id": "SHOP", "page_size": 10, "page_no": 1},
    "get_vendor_person": {"shop_id": "SHOP"},
    "get_fault_list": {"shop_id": "SHOP", "is_send": 0, "deal_status": 1},
}


@dataclass(frozen=True, slots=True)
class Request:
    """One list as bytes on a connection."""

    name: str
    content: bytes


async def measure(size: Size) -> list[Line]:
    """One line per list: the p99 of eight clients; and one for the rate of all lists together, as a share of bare."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-")))
        await migrate(server.url)
        connection = await server.connect()
        estate = await build(connection, size, SystemClock().wall_ms())
        await connection.close()
        server_secret(folder)
        port = free_port()
        command = python("-m", "cloud", "api", "--port", str(port), "--data", str(folder), "--database-url", server.url)
        api = await stack.enter_async_context(child("api", command, folder))
        await api.line("AisleFlow cloud: http")
        bare_port = free_port()
        bare_app = await stack.enter_async_context(
            child("bare", python("-m", "bench.bare_list", server.url, str(bare_port)), folder)
        )
        await bare_app.line("bare: ready")
        bare = await _ask(bare_port, Request("bare", _get("/orders", None)), size)
        lines, spent_s, asked = [], 0.0, 0
        for request in _requests(estate):
            print(f"  {request.name}", file=sys.stderr, flush=True)
            times = await _ask(port, request, size)
            spent_s += times.elapsed_s
            asked += len(times.ms)
            p99, limit = percentile(times.ms, 0.99), percentile(bare.ms, 0.99)
            lines.append(Line(f"{request.name}, p99", p99, "ms", limit, "bare handler", Aim("measured", "<=", 100)))
        note = f"{size.machines:,} machines, {size.orders:,} orders, {CLIENTS} clients, row-level security on"
        rate = Line(
            "all lists, PostgreSQL", asked / spent_s, "1/s", len(bare.ms) / bare.elapsed_s, "bare handler", None, note
        )
        return [rate, *lines]


def _requests(estate: Estate) -> Iterator[Request]:
    bearer = {audience: f"Bearer {token}" for audience, token in estate.tokens.items()}
    for operation in NATIVE.operations:
        if operation.method == "GET" and _is_page(operation) and not operation.streams:
            path = NATIVE.prefix + operation.path.format(
                machine=estate.machine, shop=estate.shop, member="CU7", order="o" + "0" * 20
            )
            yield Request(f"native {operation.name}", _get(path, bearer["native"]))
    for operation in IOT.operations:
        tells = operation.tells
        # The lists of the platform's own people are short, and a customer's are cut to himself by an index.
        ours = not isinstance(operation.caller, Allowed) or "brand" in operation.caller.levels
        if ours and isinstance(tells, type) and issubclass(tells, Listed) and "{" not in operation.path:
            yield Request(f"iot {operation.name}", _get(IOT.prefix + operation.path, bearer["iot"]))
    for operation in VENDING.operations:
        if operation.flag in VENDING_LISTS:
            asked = {operation.flag: 1, "token": estate.tokens["vending"], **VENDING_LISTS[operation.flag]}
            body = json.dumps(asked).replace("MACHINE", estate.machine).replace("SHOP", estate.shop)
            yield Request(f"vending {operation.flag}", _post(VENDING.prefix + operation.path, body.encode()))


def _is_page(operation: Operation) -> bool:
    tells = operation.tells
    return isinstance(tells, type) and issubclass(tells, PageOf) and get_origin(tells) is None


def _get(path: str, authorization: str | None) -> bytes:
    told = f"Authorization: {authorization}\r\n" if authorization else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{told}\r\n".encode()


def _post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Times:
    """How long each answer took, and all of them together."""

    ms: list[float]
    elapsed_s: float


async def _ask(port: int, request: Request, size: Size) -> Times:
    """The same request by all clients at once."""
    await asyncio.gather(*(_client(port, request, WARM_UP) for _ in range(CLIENTS)))
    began_s = time.perf_counter()
    answers = await asyncio.gather(*(_client(port, request, size.requests) for _ in range(CLIENTS)))
    return Times([ms for one in answers for ms in one], time.perf_counter() - began_s)


async def _client(port: int, request: Request, count: int) -> list[float]:
    """A client without any library: what it costs is not what is measured."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    try:
        for _ in range(count):
            began_s = time.perf_counter()
            writer.write(request.content)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            times.append((time.perf_counter() - began_s) * 1000)
            if not head.startswith(b"HTTP/1.1 200") or b'"ret":4' in body[:12] or b'"ret":5' in body[:12]:
                raise Failed(f"{request.name}: {head.splitlines()[0]!r} {body[:300]!r}")
    finally:
        writer.close()
    return times


ROW = Row(
    "lists",
    measure,
    full=Size(machines=5_000, orders=1_000_000, members=20_000, requests=40),
    tiny=Size(machines=20, orders=200, members=20, requests=1),
    minutes=3,
)
