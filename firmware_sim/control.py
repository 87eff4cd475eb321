"""The simulator's control socket: what tests and the demo ask of it, and how they ask.

JSON lines over a Unix socket. A request names what to `do` and carries an `id`; the answer carries the same `id`, `ok`,
and the result or an `error`. Requests of one connection are answered in order.

    {"id": 1, "do": "truth"}                                              -> machines, totals
    {"id": 2, "do": "runs", "machine": M}                                 -> runs
    {"id": 3, "do": "load", "machine": M, "board": B, "motor": N, "quantity": Q}     and "unload"
    {"id": 4, "do": "fault", "machine": M, "kind": K, "on": true}         or "on": false, or "once": true;
                                                                             "board" and "motor" narrow it
    {"id": 5, "do": "faults", "preset": "all"}                            or "none", which also mends
    {"id": 6, "do": "door", "machine": M, "open": true}
    {"id": 7, "do": "temperature", "machine": M, "celsius": 8}            -40 and 120 break the sensor
    {"id": 8, "do": "power_cycle", "machine": M}
    {"id": 9, "do": "unplug", "machine": M}                               and "plug"
    {"id": 10, "do": "stop"}

A Modbus device is a "board" by the slave number it started with, or a "device" by name; an "outlet" is the relay of a
valve. Faults of water and of devices take them, and:

    {"id": 11, "do": "openings", "machine": M}                            -> openings, the log of every valve
    {"id": 12, "do": "readdress", "machine": M, "device": D, "slave": 7}  and "baud", as if a person had set them
    {"id": 13, "do": "counter", "machine": M, "device": D, "count": N}    a meter's counter stands there from now on
    {"id": 14, "do": "membrane", "machine": M, "percent": 90}             so much of its life is over from now on
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware_sim.machine import Switch
from firmware_sim.modbus.instruments import COUNTER_MODULUS
from firmware_sim.purifier import Purifier
from firmware_sim.scenario import ScenarioWrong
from firmware_sim.truth import runs, total, truth
from firmware_sim.world import Running, World

Request = Mapping[str, Any]
Result = dict[str, Any]

# The run log of a busy machine-year fits into one answer.
ANSWER_MAX_BYTES = 64 * 1024 * 1024
REQUEST_MAX_BYTES = 64 * 1024
# Half as long again as a membrane should serve: by then it holds back little.
MEMBRANE_WORN_MAX = 150
# A Unix socket's path, by the kernel's struct; longer ones fail with a message that helps nobody.
SOCKET_PATH_MAX = 107


class ControlServer:
    """Answers on the socket `path` from `async with` to its end. Sets `stopping` when somebody asks for the end."""

    def __init__(self, world: World, path: Path, stopping: asyncio.Event) -> None:
        if len(str(path.absolute())) > SOCKET_PATH_MAX:
            raise ScenarioWrong(f"control = {str(path)!r}, expected a path of at most {SOCKET_PATH_MAX} characters")
        self._stopping = stopping
        self._world = world
        self._path = path
        self._server: asyncio.Server | None = None
        self._conversations: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._converse, self._path, limit=REQUEST_MAX_BYTES)
        self._path.chmod(0o600)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "left without entering"
        self._server.close()
        self._path.unlink(missing_ok=True)
        conversations = dict(self._conversations)
        for writer in conversations:
            writer.close()  # its reader sees the end, and its task ends by itself
        await asyncio.gather(*conversations.values())

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs every conversation as a task"
        self._conversations[writer] = task
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # the client went away, or its line is over the limit
            return
        finally:
            writer.close()
            del self._conversations[writer]

    def _answer(self, line: bytes) -> Result:
        number = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError(f"expected an object, got {line[:40]!r}")
            number = request.get("id")
            return {"id": number, "ok": True, **self._do(request)}
        except (ValueError, RecursionError) as error:
            return {"id": number, "ok": False, "error": str(error)}

    def _do(self, request: Request) -> Result:
        act = request.get("do")
        if act == "truth":
            return _truth(self._world)
        if act == "faults":
            self._world.set_preset(request.get("preset"))
            return {}
        if act == "stop":
            self._stopping.set()
            return {}
        if not isinstance(act, str) or act not in ON_MACHINE:
            raise ValueError(f"do = {act!r}, expected one of truth, faults, stop, {', '.join(ON_MACHINE)}")
        running = self._world.machine(request.get("machine"))
        result = ON_MACHINE[act](running.catch_up(), request)
        running.catch_up()
        return result


def _truth(world: World) -> Result:
    machines = {name: truth(running.catch_up().machine) for name, running in world.machines.items()}
    return {"machines": machines, "totals": total(machine["totals"] for machine in machines.values())}


def _runs(running: Running, _request: Request) -> Result:
    return {"runs": runs(running.machine)}


def _load(running: Running, request: Request) -> Result:
    spiral = running.machine.spiral(_integer(request, "board"), _integer(request, "motor"))
    spiral.load(_integer(request, "quantity"))
    return {"remaining": spiral.remaining}


def _unload(running: Running, request: Request) -> Result:
    spiral = running.machine.spiral(_integer(request, "board"), _integer(request, "motor"))
    spiral.unload(_integer(request, "quantity"))
    return {"remaining": spiral.remaining}


def _fault(running: Running, request: Request) -> Result:
    switch: Switch = "once"
    if not request.get("once"):
        switch = "on" if _boolean(request, "on") else "off"
    board = _integer(request, "board") if request.get("board") is not None else None
    motor = _integer(request, "motor") if request.get("motor") is not None else None
    if request.get("device") is not None:
        board = _purifier(running).device(request["device"]).number
    if request.get("outlet") is not None:
        board, motor = _purifier(running).relay_board, _integer(request, "outlet")
    running.machine.fault(str(request.get("kind")), switch, board, motor)
    return {}


def _openings(running: Running, _request: Request) -> Result:
    return {"openings": _purifier(running).openings()}


def _readdress(running: Running, request: Request) -> Result:
    slave = _purifier(running).device(request.get("device"))
    for setting in ("slave", "baud"):
        if request.get(setting) is not None:
            slave.settings[setting] = _integer(request, setting)
    return {}


def _counter(running: Running, request: Request) -> Result:
    count = _integer(request, "count")
    if not 0 <= count < COUNTER_MODULUS:
        raise ValueError(f"count = {count}, expected 0 to {COUNTER_MODULUS - 1}")
    _purifier(running).device(request.get("device")).set_counter(count)
    return {}


def _membrane(running: Running, request: Request) -> Result:
    percent = _integer(request, "percent")
    if not 0 <= percent <= MEMBRANE_WORN_MAX:
        raise ValueError(f"percent = {percent}, expected 0 to {MEMBRANE_WORN_MAX}")
    _purifier(running).water.change_membrane(percent / 100)
    return {}


def _purifier(running: Running) -> Purifier:
    purifier = running.machine.purifier
    if purifier is None:
        raise ValueError(f"machine = {running.machine.name!r}, expected one with Modbus devices")
    return purifier


def _door(running: Running, request: Request) -> Result:
    running.machine.set_door(_boolean(request, "open"))
    return {}


def _temperature(running: Running, request: Request) -> Result:
    celsius = request.get("celsius")
    if not isinstance(celsius, int | float) or isinstance(celsius, bool) or not -40 <= celsius <= 120:
        raise ValueError(f"celsius = {celsius!r}, expected a number from -40 to 120")
    running.machine.set_temperature(celsius)
    return {}


def _power_cycle(running: Running, _request: Request) -> Result:
    running.machine.power_cycle()
    return {}


def _unplug(running: Running, _request: Request) -> Result:
    running.machine.fault("unplugged", "on")
    return {}


def _plug(running: Running, _request: Request) -> Result:
    running.machine.fault("unplugged", "off")
    return {}


ON_MACHINE: Mapping[str, Callable[[Running, Request], Result]] = {
    "runs": _runs,
    "load": _load,
    "unload": _unload,
    "fault": _fault,
    "door": _door,
    "temperature": _temperature,
    "power_cycle": _power_cycle,
    "unplug": _unplug,
    "plug": _plug,
    "openings": _openings,
    "readdress": _readdress,
    "counter": _counter,
    "membrane": _membrane,
}


def _integer(request: Request, key: str) -> int:
    value = request.get(key)
    if type(value) is not int:
        raise ValueError(f"{key} = {value!r}, expected a whole number")
    return value


def _boolean(request: Request, key: str) -> bool:
    value = request.get(key)
    if type(value) is not bool:
        raise ValueError(f"{key} = {value!r}, expected true or false")
    return value


class ControlRefused(Exception):
    """The simulator answered that it will not or cannot; the message is its own."""


class Control:
    """A client of the control socket, from `async with` to its end. Calls raise `ControlRefused`, or `ConnectionError`
    when the simulator is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        self._streams = await asyncio.open_unix_connection(self._path, limit=ANSWER_MAX_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._streams is not None, "left without entering"
        writer = self._streams[1]
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def ask(self, do: str, **fields: object) -> Result:
        """One request by its name and fields, as listed on top of this file; the result's fields."""
        assert self._streams is not None, "use it with `async with`"
        reader, writer = self._streams
        number = next(self._numbers)
        async with self._turn:
            writer.write(json.dumps({"id": number, "do": do, **fields}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        if not line:
            raise ConnectionResetError(f"{self._path}: the simulator closed the connection")
        answer: Result = json.loads(line)
        assert answer["id"] == number, f"answer {answer['id']} to request {number}"
        if not answer["ok"]:
            raise ControlRefused(answer["error"])
        return answer

    async def truth(self) -> Result:
        """Counts of every machine under `machines`, and their sum under `totals`."""
        return await self.ask("truth")

    async def runs(self, machine: str) -> list[Result]:
        """The run log of one machine, oldest first."""
        listed: list[Result] = (await self.ask("runs", machine=machine))["runs"]
        return listed

    async def load(self, machine: str, board: int, motor: int, quantity: int) -> None:
        """Put products into an aisle."""
        await self.ask("load", machine=machine, board=board, motor=motor, quantity=quantity)

    async def unload(self, machine: str, board: int, motor: int, quantity: int) -> None:
        """Take products out of an aisle."""
        await self.ask("unload", machine=machine, board=board, motor=motor, quantity=quantity)

    async def fault(
        self,
        machine: str,
        kind: str,
        switch: Switch,
        *,
        board: int | None = None,
        motor: int | None = None,
        device: str | None = None,
        outlet: int | None = None,
    ) -> None:
        """Switch a fault on or off, or let it strike once."""
        how: dict[str, bool] = {"once": True} if switch == "once" else {"on": switch == "on"}
        where = {"board": board, "motor": motor, "device": device, "outlet": outlet}
        await self.ask("fault", machine=machine, kind=kind, **where, **how)

    async def openings(self, machine: str) -> list[Result]:
        """Every opening of a valve, oldest first; see `valve.Opening`."""
        answer = await self.ask("openings", machine=machine)
        return list(answer["openings"])

    async def readdress(self, machine: str, device: str, *, slave: int | None = None, baud: int | None = None) -> None:
        """Set a device's slave number or speed, as if a person had done it."""
        await self.ask("readdress", machine=machine, device=device, slave=slave, baud=baud)

    async def counter(self, machine: str, device: str, count: int) -> None:
        """Let a meter's counter stand at `count`."""
        await self.ask("counter", machine=machine, device=device, count=count)

    async def membrane(self, machine: str, percent: int) -> None:
        """Put in a membrane of whose life so much is over; 0 is a new one."""
        await self.ask("membrane", machine=machine, percent=percent)

    async def faults(self, preset: str) -> None:
        """`all` or `none`, on every machine."""
        await self.ask("faults", preset=preset)

    async def door(self, machine: str, *, is_open: bool) -> None:
        """Open or shut the door."""
        await self.ask("door", machine=machine, open=is_open)

    async def temperature(self, machine: str, celsius: float) -> None:
        """Set the cabinet's temperature."""
        await self.ask("temperature", machine=machine, celsius=celsius)

    async def power_cycle(self, machine: str) -> None:
        """Restart every board of a machine."""
        await self.ask("power_cycle", machine=machine)

    async def unplug(self, machine: str) -> None:
        """Take the port away."""
        await self.ask("unplug", machine=machine)

    async def plug(self, machine: str) -> None:
        """Bring the port back."""
        await self.ask("plug", machine=machine)

    async def stop(self) -> None:
        """End the simulator."""
        await self.ask("stop")
