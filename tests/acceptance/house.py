"""One evening at the theatre: a stage of real processes, and the words with which a test acts on it.

Broker, cloud, simulator and agents are the demo's own stage; what a test knows of them it asks from outside, as a
buyer, an operator or a technician would.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from firmware_sim.demo.account import Account, draw_up, settled
from firmware_sim.demo.cast import LOADED, MEMBERS, OPENING, Cast, Machine
from firmware_sim.demo.people import TROUBLE, Tally
from firmware_sim.demo.processes import Child
from firmware_sim.demo.stage import Stage, set_stage
from shared import mqtt
from shared.mqtt import Connection, MqttAddress
from shared.seal import MachineKeys, derive_keys

ANNA = MEMBERS[0]
STOCK = OPENING + LOADED

# A simulated turn of three seconds takes 150 ms; faster only heats the simulator.
SPEED = 20.0
# What a vend, a command or a watermark needs on a busy computer; a good one needs a tenth of it.
DEADLINE_S = 60.0
LOOK_EVERY_S = 0.02

# What the cloud logs when its subscription stands; nothing outside shows it.
INGEST_HEARS = "ingest: listening"

# The product falls right after the start, so a jam comes before that and proves that nothing fell.
EARLY_JAM = {"drop_angle": 20, "stop_timeout_ms": 8_000}
# An idle board is asked often, because its seconds are short.
BRISK = {"[bus]": {"poll_ms": 50}}


def vending(name: str, *, motors: int = 12, **more: Any) -> Machine:
    """A machine with one board."""
    return Machine(name, name, "the street", {1: motors}, 5, **more)


@dataclass
class House:
    """A set stage. `say` counts nothing: every word goes to the processes themselves."""

    stage: Stage
    tally: Tally = field(default_factory=Tally)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    # --- buyers ---

    async def order(self, aisle: str, *, machine: str = "vm-1", member: str = ANNA, key: str | None = None) -> str:
        """Order in the app; the order's id."""
        placed = await self.stage.api.post(
            "/orders", key=key or f"app-order-{next(self._numbers)}", member=member, machine=machine, aisle=aisle
        )
        self.tally.orders_placed += 1
        return str(placed["order"])

    async def ended(self, order: str) -> dict[str, Any]:
        """The whole story of an order, once it is delivered, refunded or in review."""

        async def story() -> dict[str, Any] | None:
            told: dict[str, Any] = await self.stage.api.get(f"/orders/{order}")
            return told if told["order"]["state"] not in ("held", "claimed") else None

        return await self.until(story, f"order {order} has an end")

    async def buy(self, aisle: str, state: str = "delivered", *, machine: str = "vm-1") -> dict[str, Any]:
        """Order, and hold the end to `state`; its whole story."""
        story = await self.ended(await self.order(aisle, machine=machine))
        assert story["order"]["state"] == state, story
        return story

    async def press(
        self, aisle: str, paid_fen: int = 1_000, *, machine: str = "vm-1", press: str | None = None
    ) -> dict[str, Any]:
        """Pay with coins and press; what became of it."""
        answer: dict[str, Any] = await self.stage.panels[machine].ask(
            "sell", press=press or f"press-{next(self._numbers)}", aisle=aisle, means="coin", paid_fen=paid_fen
        )
        return answer

    async def wallet_fen(self, member: str = ANNA) -> int:
        return int((await self.stage.api.get(f"/members/{member}/wallet"))["balance_fen"])

    async def account_fen(self, kind: str) -> int:
        """The sum of all accounts of a kind: escrow, revenue, cash ..."""
        accounts = await self.stage.api.every("/ledger/accounts", kind=kind)
        return sum(account["balance_fen"] for account in accounts)

    # --- operators ---

    async def command(self, path: str, *, machine: str = "vm-1", **body: Any) -> dict[str, Any]:
        """Ask a machine for something and wait for its answer, which must be yes."""
        asked = (await self.stage.api.post(f"/machines/{machine}{path}", **body))["command"]

        async def answer() -> dict[str, Any] | None:
            commands = await self.stage.api.every("/commands", machine=machine)
            (command,) = [command for command in commands if command["command"] == asked]
            return command if command["state"] != "waiting" else None

        answered = await self.until(answer, f"{machine} answers {path}")
        assert answered["state"] == "done", answered
        return answered

    async def aisle(self, name: str, *, machine: str = "vm-1") -> dict[str, Any]:
        """An aisle as the cloud knows it."""
        aisles = (await self.stage.api.get(f"/machines/{machine}/aisles"))["items"]
        (aisle,) = [aisle for aisle in aisles if aisle["aisle"] == name]
        return dict(aisle)

    # --- at the machine ---

    @asynccontextmanager
    async def trouble(self, kind: str, *motors: int, machine: str = "vm-1") -> AsyncIterator[None]:
        """A fault of the simulator that holds inside this block, on these motors or on the whole board."""
        for motor in motors or (None,):
            await self.stage.sim.fault(machine, kind, "on", board=1, motor=motor)
        try:
            yield
        finally:
            await self.stage.sim.fault(machine, kind, "off")

    async def runs(self, machine: str = "vm-1") -> int:
        """How often the machine's board accepted a start."""
        return int((await self.stage.sim.truth())["machines"][machine]["totals"]["runs_accepted"])

    async def panel(self, name: str, *, machine: str = "vm-1") -> dict[str, Any]:
        """An aisle as the machine itself knows it."""
        (aisle,) = [row for row in await self.stage.panels[machine].ask("aisles") if row["aisle"] == name]
        return dict(aisle)

    async def until_selling(self, machine: str = "vm-1") -> None:
        """Wait until a machine that was started again would sell, and the cloud knows it."""

        async def sells() -> bool:
            with contextlib.suppress(*TROUBLE):
                status = await self.stage.panels[machine].ask("status")
                told = await self.stage.api.get(f"/machines/{machine}")
                return bool(status["selling"] and told["online"] and told["selling"])
            return False

        await self.until(sells, f"{machine} sells")

    async def until_told(self, machine: str = "vm-1", *, but: int = 0) -> None:
        """Wait until the cloud has confirmed every fact of a machine, `but` so many."""

        async def told() -> bool:
            waiting: int = (await self.stage.panels[machine].ask("status"))["facts_waiting"]
            return waiting <= but

        await self.until(told, f"the cloud has the facts of {machine}")

    # --- the account ---

    async def account(self) -> Account:
        """Let everything settle, then hold the cloud's books to what really fell."""
        await settled(self.stage)
        return await draw_up(self.stage, self.tally)

    async def balances(self) -> Account:
        """The account, every identity of which holds."""
        account = await self.account()
        assert account.balances, "\n".join(account.lines())
        return account

    # --- what dies ---

    async def kill_broker(self) -> None:
        """kill -9 and a new start on the same port; what it had in memory is gone."""
        broker = self.stage.broker
        await broker.process.kill()
        await broker.process.start()
        await broker.listening()

    async def kill_cloud(self) -> None:
        """kill -9 of API, ingest and downlink at once, and a new start."""
        await self.stage.cloud.kill()
        await self.start_cloud()

    async def start_cloud(self) -> None:
        """Start a dead cloud; returns once it hears machines again."""
        log = self.stage.cloud.log
        before = log.read_text().count(INGEST_HEARS)
        await self.stage.cloud.start()
        await self.stage.cloud.line("AisleFlow cloud: http")

        async def hears() -> bool:
            return log.read_text().count(INGEST_HEARS) > before

        await self.until(hears, "the cloud hears machines")

    # --- the broker ---

    @asynccontextmanager
    async def as_cloud(self) -> AsyncIterator[Connection]:
        """A connection with the cloud's rights: it hears machines and speaks to them."""
        broker = self.stage.broker
        options = dict(zip(broker.cloud_options[::2], broker.cloud_options[1::2], strict=True))
        file = options.get("--broker-password-file")
        async with mqtt.connect(
            MqttAddress("127.0.0.1", broker.cloud_port),
            client_id=f"second-cloud-{next(self._numbers)}",
            username=options.get("--broker-user"),
            password=Path(file).read_text() if file else None,
        ) as link:
            yield link

    @asynccontextmanager
    async def as_machine(self, machine: str, keys: MachineKeys) -> AsyncIterator[Connection]:
        """A connection with one machine's rights, and no agent behind it."""
        async with mqtt.connect(
            MqttAddress("127.0.0.1", self.stage.broker.machines_port),
            client_id=machine,
            username=machine,
            password=keys.mqtt_password,
        ) as link:
            yield link

    def keys(self, machine: str) -> MachineKeys:
        """The keys of a machine on the stage."""
        return derive_keys(bytes.fromhex((self.stage.folder / machine / "secret").read_text()))

    async def stranger(self, machine: str) -> MachineKeys:
        """Register and claim a machine that has no agent; its keys."""
        await self.stage.api.post("/machines", machine=machine, name=machine, place="nowhere")
        credential = await self.stage.api.post(f"/machines/{machine}/claim")
        keys = derive_keys(bytes.fromhex(credential["secret"]))

        async def is_known() -> bool:
            try:
                async with self.as_machine(machine, keys):
                    return True
            except mqtt.Disconnected:
                return False

        await self.until(is_known, f"the broker knows {machine}")
        return keys

    # --- time ---

    async def until(self, look: Callable[[], Awaitable[Any]], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """Look until there is something to see, and answer it; a failure names `what` did not come."""
        try:
            async with asyncio.timeout(deadline_s):
                while not (seen := await look()):  # noqa: ASYNC110  # processes have no event for us
                    await asyncio.sleep(LOOK_EVERY_S)
                return seen
        except TimeoutError:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}") from None


@contextmanager
def frozen(child: Child) -> Iterator[None]:
    """The process stands still inside this block, its connections open: as one that hangs."""
    child.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def house(
    folder: Path, *machines: Machine, broker: str = "mosquitto", cloud: tuple[str, ...] = (), **agent: Any
) -> AsyncIterator[House]:
    """Broker, cloud and machines, stocked and selling. `agent`: more tables of every agent's settings."""
    cast = Cast(machines=machines, physics=EARLY_JAM, agent={**BRISK, **agent}, cloud=cloud)
    async with set_stage(folder, seed=7, speed=SPEED, broker=broker, port=0, say=print, cast=cast) as stage:
        yield House(stage)
