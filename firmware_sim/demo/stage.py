"""Sets the stage: broker, cloud, simulator and agents, each in its own process and folder, ready to trade."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.control import Control
from firmware_sim.demo.book import PLATFORM, Person, old_programs, write_book
from firmware_sim.demo.broker import Broker, free_port, run_broker
from firmware_sim.demo.cast import CAPACITY, LOADED, OPENING, WHOLE_CAST, Cast, Machine, Purifier
from firmware_sim.demo.plumbing import scenario_tables, settings_tables
from firmware_sim.demo.processes import START_WAIT_S, Child, Failed, child, python, until
from firmware_sim.demo.wire import Api, Panel, Refused

Say = Callable[[str], None]

# In the demo's folder, to be read by a shell: see docs/dialects.
NAMES = "names.sh"

# What is bought can be sent back for so long: who recommended it shall earn while somebody still looks.
SHORT_TIMES = {"AISLEFLOW_PURCHASE_FINISH_MS": "10000"}

# So many restocking questions at once to one agent; its socket takes 16 connections.
LOADS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, and how to reach it."""

    cast: Cast
    api: Api
    broker: Broker
    sim: Control
    cloud: Child
    simulator: Child
    agents: dict[str, Child]
    panels: dict[str, Panel]
    folder: Path
    sign_in: dict[str, str]
    people: dict[str, Person]

    @property
    def children(self) -> tuple[Child, ...]:
        """Every process that must live while the demo trades."""
        return (*self.ground, *self.agents.values())

    @property
    def ground(self) -> tuple[Child, ...]:
        """What machines stand on: without it nothing can be tried."""
        return (self.cloud, self.simulator)


@asynccontextmanager
async def set_stage(
    folder: Path, *, seed: int, speed: float, broker: str, port: int, say: Say, cast: Cast | None = None
) -> AsyncIterator[Stage]:
    """Start everything in `folder`, which is emptied first; all of it ends when the block is left."""
    cast = cast or WHOLE_CAST
    _empty(folder)
    async with AsyncExitStack() as stack:
        say("starting the broker")
        running = await stack.enter_async_context(run_broker(folder, broker))
        say(f"starting the cloud (broker: {running.name}): goods, planograms, wallets come from book.json")
        people = old_programs()
        write_book(folder / "book.json", cast, people)
        options = ("--load", str(folder / "book.json"), *running.cloud_options, *cast.cloud)
        cloud, api, sign_in = await _cloud(stack, folder, options, port)
        say("starting the simulated machines")
        simulator = await stack.enter_async_context(child("simulator", _simulator(folder, cast, seed, speed), folder))
        await until((folder / "ready.json").exists, "the simulator is ready")
        sim = await stack.enter_async_context(Control(folder / "control"))
        stage = Stage(
            cast=cast,
            api=api,
            broker=running,
            sim=sim,
            cloud=cloud,
            simulator=simulator,
            agents={},
            panels={},
            folder=folder,
            sign_in=sign_in,
            people=people,
        )
        for machine in cast.everybody:
            say(f"claiming {machine.machine} and starting its agent")
            stage.agents[machine.machine] = await _agent(stack, stage, machine)
            stage.panels[machine.machine] = Panel(folder / machine.machine / "agent.sock")
        _write_names(stage)
        say("restocking every aisle")
        await asyncio.gather(*(_restock(stage, machine) for machine in cast.machines))
        await _until_selling(stage)
        await _until(lambda: _all_told(stage), "the cloud knows what lies in every machine")
        yield stage


def _empty(folder: Path) -> None:
    marker = folder / ".aisleflow-demo"
    if folder.exists():
        if not marker.exists() and any(folder.iterdir()):
            raise Failed(f"{folder} holds something else: name an empty folder")
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    marker.touch()


async def _cloud(
    stack: AsyncExitStack, folder: Path, options: tuple[str, ...], port: int
) -> tuple[Child, Api, dict[str, str]]:
    """The cloud (on SQLite unless the options say otherwise), its first administrator signed in with a new password."""
    where = ("--data", str(folder / "cloud"), "--port", str(port or free_port()))
    command = python("-m", "cloud", "all", *where, *options)
    cloud = await stack.enter_async_context(child("cloud", command, folder, SHORT_TIMES))
    address = await cloud.line("AisleFlow cloud: http")
    first = await cloud.line("First administrator:")
    url = address.split()[2].rstrip("/")
    told = dict(re.findall(r"(tenant|login|password)=(\S+)", first))
    api = Api(url)
    stack.push_async_callback(api.close)
    await api.sign_in(**told)
    password = secrets.token_urlsafe(15)
    await api.post("/me/password", present_password=told["password"], new_password=password)
    sign_in = told | {"password": password}
    await api.sign_in(**sign_in)
    await api.patch(f"/users/u-{PLATFORM}", role="platform")
    return cloud, api, sign_in


def _write_names(stage: Stage) -> None:
    """Write down for a shell where the cloud and the programs are, and how everybody signs in in this run."""
    names = {"URL": stage.api.url, "TENANT": stage.sign_in["tenant"], "PASSWORD": stage.sign_in["password"]}
    names |= {name.upper(): person.sent for name, person in stage.people.items()}
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in names.items()]
    # The programs of this very Python: aislectl and the agent.
    lines.append(f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n")
    (stage.folder / NAMES).write_text("".join(lines), encoding="utf-8")


def _simulator(folder: Path, cast: Cast, seed: int, speed: float) -> list[str]:
    parts = [f"seed = {seed}", f"speed = {speed}", *_table("physics", cast.physics)]
    for machine in cast.machines:
        parts += [
            "[[machine]]",
            f'name = "{machine.machine}"',
            f'port = "pty:{machine.machine}/tty"',
            f'door = "{machine.machine}/door"',
            f"celsius = {machine.celsius}",
        ]
        for address, motors in machine.boards.items():
            parts += ["[[machine.board]]", f"address = {address}", f"motors = {motors}"]
            parts += [f"stock = {OPENING}", f"capacity = {CAPACITY}"]
    for purifier in cast.purifiers:
        for name, values in scenario_tables(purifier):
            parts += _table(name, values)
    for home in cast.everybody:
        (folder / home.machine).mkdir(mode=0o700)
    scenario = folder / "scenario.toml"
    scenario.write_text("\n".join(parts) + "\n", encoding="utf-8")
    options = ("--control", str(folder / "control"), "--ready", str(folder / "ready.json"))
    return python("-m", "firmware_sim", str(scenario), *options)


async def _agent(stack: AsyncExitStack, stage: Stage, machine: Machine | Purifier) -> Child:
    """Claim the machine, give its agent the credential, and start it: at its first hello it gets its configuration."""
    home = stage.folder / machine.machine
    credential = await stage.api.post(f"/machines/{machine.machine}/claim")
    secret = home / "secret"
    with os.fdopen(os.open(secret, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(credential["secret"])
    settings = home / "agent.toml"
    settings.write_text("\n".join(_settings(stage, machine)) + "\n", encoding="utf-8")
    command = python(*machine.program, "--settings", str(settings))
    return await stack.enter_async_context(child(f"agent-{machine.machine}", command, stage.folder))


def _settings(stage: Stage, machine: Machine | Purifier) -> list[str]:
    """The agent's settings file, with what the cast wants otherwise."""
    tables: dict[str, dict[str, Any]] = {
        "uplink": {
            "host": "127.0.0.1",
            "port": stage.broker.machines_port,
            "tls": False,
            "secret_file": "secret",
            # amqtt speaks nothing newer; asking it for MQTT 5 first costs four seconds.
            "mqtt": "3.1.1" if stage.broker.name == "amqtt" else "auto",
        },
        "socket": {"path": "agent.sock"},
    }
    if isinstance(machine, Machine):
        tables["[bus]"] = {"url": str(stage.folder / machine.machine / "tty"), "boards": list(machine.boards)}
        tables["door"] = {"value_file": "door"}
    for name, changed in stage.cast.agent.items():
        tables.setdefault(name, {}).update(changed)
    lines = [f'machine = "{machine.machine}"', 'data_dir = "data"']
    lines += [line for name, values in tables.items() for line in _table(name, values)]
    if isinstance(machine, Purifier):
        lines += [line for name, values in settings_tables(machine, stage.folder) for line in _table(name, values)]
    return lines


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    """A TOML table of strings, numbers, booleans and lists, which are written as in JSON."""
    return [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]


async def _restock(stage: Stage, machine: Machine) -> None:
    """Count what lies there, put more in, and tell the agent both, aisle by aisle."""
    panel = stage.panels[machine.machine]
    await _until(lambda: _has_config(panel), f"{machine.machine} has its planogram")
    lanes = asyncio.Semaphore(LOADS_AT_ONCE)

    async def fill(aisle: dict[str, Any]) -> None:
        async with lanes:
            await panel.ask("count", aisle=aisle["aisle"], counted=OPENING)
            await stage.sim.load(machine.machine, aisle["board"], aisle["motor"], LOADED)
            await panel.ask("load", aisle=aisle["aisle"], quantity=LOADED)

    await asyncio.gather(*(fill(aisle) for aisle in machine.aisles()))


async def _until_selling(stage: Stage) -> None:
    async def all_sell() -> bool:
        machines = {one["machine"]: one for one in await stage.api.every("/machines")}
        return all(machines[name]["online"] and machines[name]["selling"] for name in stage.panels)

    await _until(all_sell, "all machines are online and selling")


async def _all_told(stage: Stage) -> bool:
    waiting = [(await panel.ask("status"))["facts_waiting"] for panel in stage.panels.values()]
    return not any(waiting)


async def _has_config(panel: Panel) -> bool:
    try:
        status = await panel.ask("status")
    except (OSError, Refused):
        return False
    return bool(status["config_version"])


async def _until(holds: Callable[[], Any], what: str) -> None:
    try:
        async with asyncio.timeout(START_WAIT_S):
            while not await holds():  # noqa: ASYNC110  # the other side has no event to wait for
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise Failed(f"not within {START_WAIT_S:.0f} s: {what}") from None
