"""One real agent on the ports of one simulated machine, in one event loop; no cloud, no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edge_agent import agent as composition
from edge_agent.agent import Agent
from edge_agent.ledger import config as stored_config
from edge_agent.ledger import outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.local_socket import LocalClient, connect_local
from edge_agent.settings import Settings, load, read_keys
from firmware_sim.control import Control
from firmware_sim.physics import Physics
from firmware_sim.scenario import BoardSettings, MachineSettings, Scenario
from firmware_sim.testbench import bench
from shared.clock import Clock, SystemClock
from shared.ids import AisleId, GoodsId
from shared.messages import AisleConfig, Fact, MachineConfig, decode_fact, encode
from shared.seal import seal_config

MACHINE = "vm-1"
SECRET = "5e" * 32
STOCK = 6
MOTORS = 6

# Waiting for a machine that has nothing else to do; generous, because the test machine may be busy.
DEADLINE_S = 30.0


def planogram(*, boards: int = 1, motors: int = MOTORS, version: int = 1, **changes: Any) -> MachineConfig:
    """Aisles 1-00, 1-01 ... per board; neighbours in pairs hold the same goods, so every aisle has a twin."""
    return MachineConfig(
        machine=MACHINE,
        version=version,
        aisles=tuple(
            AisleConfig(
                aisle=f"{board}-{motor:02d}",
                board=board,
                motor=motor,
                goods=f"goods-{board}{motor // 2}",
                price_fen=300 + motor,
                capacity=10,
            )
            for board in range(1, boards + 1)
            for motor in range(motors)
        ),
        **changes,
    )


def write_settings(
    folder: Path, url: str, *, boards: int = 1, broker_port: int = 1, bus: str = "", extra: str = ""
) -> Path:
    """The settings file of the machine, and its secret. `bus` and `extra`: more lines for the bus and for the end."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    path = folder / "agent.toml"
    path.write_text(
        f"""
machine = "{MACHINE}"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false
secret_file = "secret"
[[bus]]
url = "{url}"
boards = {list(range(1, boards + 1))}
poll_ms = 50
{bus}
[door]
value_file = "door"
poll_ms = 50
[socket]
path = "agent.sock"
[limits]
reserve_mb = 1
{extra}
"""
    )
    return path


async def stock_ledger(settings: Settings, config: MachineConfig, quantity: int = STOCK) -> None:
    """Give a new ledger its configuration and its stock, as the cloud and a restocker would."""
    clock = SystemClock()
    document = encode(config)
    mac = seal_config(read_keys(settings).mac_key, settings.machine_id, config.version, document)
    async with await LedgerDatabase.open(
        settings.data_dir / "ledger.sqlite",
        machine=settings.machine_id,
        clock=clock,
        software="test",
        reserve_bytes=1024 * 1024,
    ) as ledger:
        await ledger.write(lambda conn: stored_config.store(conn, config.version, document, mac))
        for aisle in config.aisles if quantity else ():
            await ledger.write(
                partial(
                    stock.load, aisle=AisleId(aisle.aisle), goods=GoodsId(aisle.goods), quantity=quantity, clock=clock
                )
            )


async def listening(path: Path) -> None:
    """Return once somebody listens at a Unix socket."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(str(path))
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


@dataclass
class Rig:
    """A simulated machine and the agent on it; `restart` may be used instead of a power cut of the host."""

    folder: Path
    settings: Settings
    sim: Control
    agent: Agent = field(init=False)
    panel: LocalClient = field(init=False)
    _stop: asyncio.Event = field(init=False)
    _presses: int = 0

    async def press(self, aisle: str, *, press: str | None = None) -> dict[str, Any]:
        """Pay and press the button of an aisle; what became of it."""
        self._presses += 1
        answer: dict[str, Any] = await self.panel.ask(
            "sell", press=press or f"press-{self._presses}", aisle=aisle, means="coin", paid_fen=500
        )
        return answer

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for the agent to see something, with a deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not await holds():
                    self.agent.ledger.written.clear()
                    await asyncio.wait({asyncio.ensure_future(self.agent.ledger.written.wait())}, timeout=0.05)
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}; {await self.status()}") from None

    async def until_selling(self) -> None:
        """Wait until the machine would sell."""

        async def sells() -> bool:
            return bool((await self.status())["selling"])

        await self.until(sells, "the machine sells")

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = await self.panel.ask("status")
        return status

    async def facts(self) -> list[Fact]:
        rows = await self.agent.ledger.read(lambda conn: outbox.pending(conn, 0, 10_000))
        return [decode_fact(row.fact) for row in rows]

    async def fell(self) -> int:
        """How many items really fell."""
        return int((await self.sim.truth())["totals"]["fell"])

    async def account_balances(self, *, in_review: int = 0) -> None:
        """What the ledger believes to lie in every aisle lies there, but for the items held for open reviews."""
        aisles = await self.panel.ask("aisles")
        (machine,) = (await self.sim.truth())["machines"].values()
        remaining = {
            (int(board), int(motor)): counts["remaining"]
            for board, aisles_of in machine["boards"].items()
            for motor, counts in aisles_of["motors"].items()
        }
        assert sum(aisle["held"] for aisle in aisles) == in_review
        for aisle in aisles:
            lies_there = remaining[aisle["board"], aisle["motor"]]
            assert aisle["on_hand"] - aisle["held"] <= lies_there <= aisle["on_hand"], aisle

    async def runs(self) -> int:
        """How often a board accepted a start."""
        return int((await self.sim.truth())["totals"]["runs_accepted"])

    async def turning(self) -> None:
        """Wait until a motor turns."""

        async def turns() -> bool:
            return any(run["end_ms"] is None for run in await self.sim.runs(MACHINE))

        await self.until(turns, "a motor turns")

    async def attempts(self, answer: dict[str, Any]) -> list[tuple[str, str]]:
        """Aisle and outcome of every attempt of a press that was answered."""
        order = await self.panel.ask("order", order=answer["order"])
        return [(attempt["aisle"], attempt["outcome"]) for attempt in order["attempts"]]

    async def locked(self) -> dict[str, str]:
        """The closed aisles and why."""
        return {row["aisle"]: row["locked"] for row in await self.panel.ask("aisles") if row["locked"] is not None}

    async def faults(self) -> set[str]:
        """The codes of all faults that hold."""
        return {fault["code"] for fault in await self.panel.ask("faults")}

    @asynccontextmanager
    async def running(self, clock: Clock | None = None) -> AsyncIterator[None]:
        """The agent runs inside this block."""
        self._stop = asyncio.Event()
        async with composition.build(self.settings, clock or SystemClock()) as self.agent, asyncio.TaskGroup() as tasks:
            tasks.create_task(composition.run_built(self.agent, self._stop))
            async with asyncio.timeout(DEADLINE_S):
                await listening(self.settings.socket.path)
            async with connect_local(self.settings.socket.path) as self.panel:
                try:
                    yield
                finally:
                    self._stop.set()


@asynccontextmanager
async def rig(
    folder: Path,
    *,
    boards: int = 1,
    motors: int = MOTORS,
    stock: int = STOCK,
    seed: int = 7,
    speed: float = 20.0,
    faults: Any = "none",
    rates: dict[str, float] | None = None,
    physics: Physics | None = None,
    config: MachineConfig | None = None,
    board: dict[str, Any] | None = None,
    machine: dict[str, Any] | None = None,
    bus: str = "",
) -> AsyncIterator[Rig]:
    """A machine whose ledger and shelves hold `stock` items in every aisle.

    `board` and `machine` set fields of the scenario's board and machine, `bus` adds lines to the settings' bus.
    """
    scenario = Scenario(
        machine=(
            MachineSettings(
                name=MACHINE,
                port="pty:tty",
                door="door",
                celsius=6.0,
                board=tuple(
                    BoardSettings(address=address, motors=motors, stock=stock, capacity=max(stock, 10), **(board or {}))
                    for address in range(1, boards + 1)
                ),
                **(machine or {}),
            ),
        ),
        seed=seed,
        speed=speed,
        faults=faults,
        rates=rates or {},
        physics=physics or Physics(),
        folder=folder,
    )
    async with bench(scenario) as sim:
        settings = load(write_settings(folder, sim.urls[MACHINE], boards=boards, bus=bus))
        await stock_ledger(settings, config or planogram(boards=boards, motors=motors), stock)
        yield Rig(folder=folder, settings=settings, sim=sim.control)
