"""What a machine costs on a metered line: bytes of TCP payload in both directions between agent and broker, no TLS.

A proxy counts and cuts the bytes into MQTT packets. A sale is simply counted, many times. An idle day is not waited
for: each exchange that an idle machine repeats is measured once as it really passes, and multiplied by the product's
own interval for it. TCP/IP headers (40 bytes or more per segment) and TLS (about 22 bytes per record and 1 to 4 kB per
connect) come on top.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import MACHINE, agent, equipped, mosquitto, simulator
from bench.row import Line, Row
from bench.taps import BrokerTap, Direction
from edge_agent.settings import Uplink
from edge_agent.uplink.session import HELLO_EVERY_MS, READINGS_EVERY_MS
from firmware_sim.demo.processes import until
from shared.messages import VendDelivered

DAY_MS = 24 * 3_600_000
# The shortest keepalive that settings allow: a ping has its 2 bytes whatever the interval.
KEEPALIVE_S = 10
# A connect, a ping and what belongs to them; several keepalives.
SEEN_WITHIN_S = 60.0

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP = 12, 13
# An exchange over loopback takes milliseconds: after so long without a packet it is over.
QUIET_S = 0.5
# The least that keeps an MQTT connection alive: a ping and its answer once per keepalive.
PING_BYTES = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How many sales are counted."""

    sales: int


@dataclass(slots=True)
class Packets:
    """Cuts one direction of one connection into MQTT packets: `(type, last topic level, bytes)`."""

    _rest: bytearray = field(default_factory=bytearray)

    def cut(self, data: bytes) -> Iterator[tuple[int, str, int]]:
        """The packets that are complete with `data`."""
        self._rest += data
        while (size := _packet_bytes(self._rest)) is not None and size <= len(self._rest):
            packet = bytes(self._rest[:size])
            del self._rest[:size]
            yield packet[0] >> 4, _channel(packet), size


def _packet_bytes(data: bytearray) -> int | None:
    """Length of the packet that begins here: type, remaining length in 7-bit digits, rest. None: not known yet."""
    length = 0
    for index, digit in enumerate(data[1:5]):
        length |= (digit & 0x7F) << 7 * index
        if digit < 0x80:
            return 2 + index + length
    return None


def _channel(packet: bytes) -> str:
    """The last level of a PUBLISH's topic, otherwise ''."""
    if packet[0] >> 4 != PUBLISH:
        return ""
    start = next(index for index in range(1, 5) if packet[index] < 0x80) + 1
    length = int.from_bytes(packet[start : start + 2], "big")
    return packet[start + 2 : start + 2 + length].decode().rpartition("/")[2]


class Meter:
    """Counts what passes: bytes in all, and packets and bytes by type and channel."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew, with a new connection."""
        self.total = 0
        self.seen: Counter[tuple[int, str]] = Counter()
        self.bytes: Counter[tuple[int, str]] = Counter()
        self._cutters: dict[Direction, Packets] = {"up": Packets(), "down": Packets()}

    def count(self, direction: Direction, data: bytes) -> None:
        self.total += len(data)
        for kind, channel, size in self._cutters[direction].cut(data):
            self.seen[kind, channel] += 1
            self.bytes[kind, channel] += size

    def each(self, kind: int, channel: str = "") -> float:
        """Bytes of one packet of this kind, on average."""
        return self.bytes[kind, channel] / self.seen[kind, channel]


async def measure(size: Size) -> list[Line]:
    """Count the sales, then cut the connection once: what an idle machine says follows within seconds."""
    meter = Meter()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-")))
        broker_port = await stack.enter_async_context(mosquitto(folder))
        ports = await stack.enter_async_context(simulator(folder, speed=20))
        tap = await stack.enter_async_context(BrokerTap(broker_port, meter.count))
        _, keys = await stack.enter_async_context(
            agent(folder, url=ports[MACHINE], broker_port=tap.port, keepalive_s=KEEPALIVE_S)
        )
        cloud = await stack.enter_async_context(equipped(broker_port, keys))
        await _quiet(meter)
        meter.clear()
        delivered = [isinstance(await cloud.sell(number), VendDelivered) for number in range(size.sales)]
        await _quiet(meter)
        sales = _Sales(len(delivered), sum(delivered), meter.total - _pings(meter), meter.bytes[PUBLISH, "fact"])
        idle = await _idle_day(meter, tap)
    return [sales.line(), idle]


@dataclass(frozen=True, slots=True)
class _Sales:
    count: int
    delivered: int
    wire_bytes: float
    fact_bytes: float

    def line(self) -> Line:
        return Line(
            f"{self.count} sales, both directions",
            self.wire_bytes / 1000,
            "kB",
            self.fact_bytes / 1000,
            "the facts' own packets",
            note=f"offer, claim, grant, fact, watermark and their acknowledgements; {self.delivered} delivered",
        )


async def _quiet(meter: Meter) -> None:
    """Return when what was said before has been acknowledged: nothing but pings for a while."""
    before = -1
    while before != (before := _told(meter)):  # noqa: ASYNC110  # silence makes no event
        await asyncio.sleep(QUIET_S)


def _told(meter: Meter) -> int:
    """Packets so far that are no pings."""
    return meter.seen.total() - meter.seen[PINGREQ, ""] - meter.seen[PINGRESP, ""]


def _pings(meter: Meter) -> int:
    return meter.bytes[PINGREQ, ""] + meter.bytes[PINGRESP, ""]


async def _idle_day(meter: Meter, tap: BrokerTap) -> Line:
    """The exchanges of an idle machine, each measured, times their own intervals.

    A connection that comes back says Hello and hands over the readings that have gathered; a ping follows by itself.
    """
    meter.clear()
    tap.cut()
    wanted = [(CONNECT, ""), (SUBACK, ""), (PUBLISH, "hello"), (PUBLISH, "watermark"), (PINGRESP, "")]
    await until(lambda: all(meter.seen[kind] for kind in wanted), "a connect, a Hello and a ping", SEEN_WITHIN_S)
    connect = sum(meter.bytes[kind, ""] for kind in (CONNECT, CONNACK, SUBSCRIBE, SUBACK))
    acknowledged = meter.each(PUBACK)
    hello = meter.each(PUBLISH, "hello") + meter.each(PUBLISH, "watermark") + 2 * acknowledged
    reading = await _reading(meter) + acknowledged
    keepalive_s = Uplink(host="broker", secret_file=Path("secret")).keepalive_s
    pings = DAY_MS / 1000 / keepalive_s * PING_BYTES
    day = connect + DAY_MS / HELLO_EVERY_MS * hello + DAY_MS / READINGS_EVERY_MS * reading + pings
    each = f"one connect ({connect} B), Hello with its watermark every {HELLO_EVERY_MS // 1000} s ({hello:.0f} B)"
    more = f"one reading every {READINGS_EVERY_MS // 1000} s ({reading:.0f} B), a ping every {keepalive_s} s at most"
    return Line(
        "idle machine-day, both directions",
        day / 1000,
        "kB",
        pings / 1000,
        "MQTT pings alone",
        note=f"computed from exchanges measured once: {each}, {more}; one board, one probe, no TLS, no TCP headers",
    )


async def _reading(meter: Meter) -> float:
    """Bytes of the PUBLISH with one reading, which comes once a minute."""
    await until(lambda: meter.seen[PUBLISH, "reading"] > 0, "a reading", 2 * READINGS_EVERY_MS / 1000)
    return meter.each(PUBLISH, "reading")


ROW = Row("bytes", measure, full=Size(sales=200), tiny=Size(sales=2), minutes=1)
