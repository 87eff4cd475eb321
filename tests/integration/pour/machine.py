"""A purifier of Modbus devices on one simulated line, its settings and its configuration, for the real agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent import agent as composition
from edge_agent.agent import Agent
from edge_agent.ledger import outbox
from edge_agent.local_socket import LocalClient, connect_local
from edge_agent.settings import Settings, load
from firmware_sim.control import Control
from firmware_sim.scenario import scenario_from
from firmware_sim.testbench import bench
from shared.clock import Clock, SystemClock
from shared.messages import Fact, MachineConfig, decode_fact
from shared.water import FilterSpec, Outlet, PurifierConfig, ServicePlan, WaterLimits
from tests.integration.agent.rig import MACHINE, SECRET, listening, stock_ledger

DEADLINE_S = 60.0
LOOK_EVERY_S = 0.02
BAUD = 19_200
RELAYS, METER, TDS, LEVEL = 10, 11, 12, 13
# A fast outlet makes short tests: a glass of 200 ml in little more than a second.
FLOW_ML_PER_S = 180
PRICE_FEN_PER_LITRE = 500

SCENARIO: dict[str, Any] = {
    "name": MACHINE,
    "port": "pty:tty",
    "baud": BAUD,
    "modbus": [
        {"device": "waveshare-relay-8ch", "slave": RELAYS},
        {"device": "pulse4", "slave": METER, "count": 4_294_967_000},
        {"device": "ws102-tds", "slave": TDS, "sees": "tds_out"},
        {"device": "qdy30a-level", "slave": LEVEL, "sees": "pressure", "settings": {"unit": 10}},
    ],
    "water": {
        "tank_opening_ml": 20_000,
        "permeate_ml_per_s": 200.0,
        "outlets": [{"relay": 1, "flow_ml_per_s": FLOW_ML_PER_S, "close_ms": 150}],
    },
}

SETTINGS = """
machine = "{machine}"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = 1
tls = false
secret_file = "secret"
[[modbus]]
url = "{url}"
baud = {baud}
[[modbus.device]]
name = "valves"
profile = "waveshare-relay-8"
slave = {relays}
role = "valve"
[[modbus.device]]
name = "flow"
profile = "pulse4"
slave = {meter}
role = "meter"
[[modbus.device]]
name = "tds"
profile = "ws102-tds"
slave = {tds}
role = "tds_out"
[[modbus.device]]
name = "pressure"
profile = "qdy30a"
slave = {level}
role = "pressure"
[socket]
path = "agent.sock"
[limits]
reserve_mb = 1
[log]
level = "info"
"""


def config(**changes: Any) -> MachineConfig:
    """One outlet, paid by the pour."""
    purifier: dict[str, Any] = {
        "outlets": (
            Outlet(warmth="normal", relay=1, price_fen_per_litre=PRICE_FEN_PER_LITRE, nominal_ml_per_s=FLOW_ML_PER_S),
        ),
        "plan": ServicePlan(plan="shop", mode="vending"),
        "filters": (FilterSpec(position=1, name="PPC", lifetime_hours=4320, worklife_hours=540),),
        "limits": WaterLimits(),
        **changes,
    }
    return MachineConfig(machine=MACHINE, version=1, aisles=(), purifier=PurifierConfig(**purifier))


def write_settings(folder: Path, url: str) -> Path:
    """The machine's settings file and its secret."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    path = folder / "agent.toml"
    path.write_text(
        SETTINGS.format(machine=MACHINE, url=url, baud=BAUD, relays=RELAYS, meter=METER, tds=TDS, level=LEVEL)
    )
    return path


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask until `holds()`; a failure names `what` did not come."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if await holds():
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what}") from None


@dataclass
class WaterRig:
    """A simulated purifier and the agent on it."""

    settings: Settings
    sim: Control
    agent: Agent = field(init=False)
    panel: LocalClient = field(init=False)
    _presses: int = 0

    async def pour(self, ml: int, **params: Any) -> dict[str, Any]:
        """Pay and press; what became of it."""
        self._presses += 1
        asked = {"press": f"press-{self._presses}", "ml": ml, "means": "coin", "paid_fen": 10_000, **params}
        answer: dict[str, Any] = await self.panel.ask("pour", **asked)
        return answer

    async def water(self) -> dict[str, Any]:
        """Where the simulator's water is."""
        told: dict[str, Any] = (await self.sim.truth())["machines"][MACHINE]["water"]
        return told

    async def until_giving(self) -> None:
        """Wait until water would be given."""

        async def gives() -> bool:
            return bool((await self.panel.ask("status"))["selling"])

        await until(gives, "water is given")

    async def until_fault(self, code: str) -> None:
        """Wait until a fault holds."""

        async def holds() -> bool:
            return code in {fault["code"] for fault in await self.panel.ask("faults")}

        await until(holds, f"fault {code} holds")

    async def until_reason(self, words: str) -> None:
        """Wait until the machine says that it does not give water, and these words of why."""

        async def says() -> bool:
            return words in str((await self.panel.ask("water"))["reason"])

        await until(says, f"{words!r} is the reason")

    async def facts(self) -> list[Fact]:
        rows = await self.agent.ledger.read(lambda conn: outbox.pending(conn, 0, 10_000))
        return [decode_fact(row.fact) for row in rows]

    @asynccontextmanager
    async def running(self, clock: Clock | None = None) -> AsyncIterator[None]:
        """The agent runs inside this block."""
        stop = asyncio.Event()
        async with (
            composition.build(self.settings, clock or SystemClock()) as self.agent,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(composition.run_built(self.agent, stop))
            async with asyncio.timeout(DEADLINE_S):
                await listening(self.settings.socket.path)
            async with connect_local(self.settings.socket.path) as self.panel:
                try:
                    yield
                finally:
                    stop.set()


@asynccontextmanager
async def water_rig(
    folder: Path, wanted: MachineConfig | None = None, outlets: Sequence[dict[str, Any]] | None = None
) -> AsyncIterator[WaterRig]:
    """The simulator in this loop, the agent's ledger with its configuration; the agent not started yet.

    `outlets` are the simulator's, if not the usual one.
    """
    machine = SCENARIO if outlets is None else {**SCENARIO, "water": {**SCENARIO["water"], "outlets": list(outlets)}}
    scenario = scenario_from({"machine": [machine], "seed": 7}, source="test", folder=folder)
    async with bench(scenario) as sim:
        settings = load(write_settings(folder, sim.urls[MACHINE]))
        await stock_ledger(settings, wanted or config(), 0)
        yield WaterRig(settings, sim.control)
