"""Builds the agent out of its parts, and owns the task group in which they run. Nothing else happens here.

local socket, offers, commands  ->  operations  ->  vending  ->  boards  ->  bus  ->  port
                                         |              |
uplink  <-  outbox, inbox  <---------  ledger  <--------+          watch: boards, door, disk
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from edge_agent.commands import Commands
from edge_agent.devices.door_switch import DoorSwitch
from edge_agent.devices.ports import AisleMotors, Door
from edge_agent.errors import LedgerDamaged, SettingsWrong
from edge_agent.ledger import outbox
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.readings import ReadingsBuffer
from edge_agent.links.bus import Bus
from edge_agent.links.port import open_port
from edge_agent.local_socket import LocalSocket
from edge_agent.operations import Operations
from edge_agent.settings import Settings, read_keys
from edge_agent.supervise import Progress, Systemd, supervise
from edge_agent.supervise import watch as watch_progress
from edge_agent.uplink.ports import LedgerInbox, LedgerOutbox
from edge_agent.uplink.rejects import Rejects
from edge_agent.uplink.session import Account, Presence, Uplink
from edge_agent.vend.attempt import POLL_MS, VendLimits
from edge_agent.vend.claim import Claims
from edge_agent.vend.session import Vending
from edge_agent.vend.trial import Trials
from edge_agent.vocabulary.technician import TechnicianWords
from edge_agent.vocabulary.water import WaterWords
from edge_agent.vocabulary.words import LocalWords
from edge_agent.watch import OLD_COPY, MachineWatch
from edge_agent.waterworks import Surroundings, Waterworks, open_waterworks
from shared.backoff import Backoff
from shared.clock import Clock, within
from shared.messages import FaultChanged, Offer, Reading, ReadingsLost
from shared.seal import MachineKeys

log = logging.getLogger(__name__)

SOFTWARE = f"aisleflow {importlib.metadata.version('aisleflow')}"

# A turn takes three seconds, a jam with its retries about fifteen; systemd waits 30 before it kills.
LANE_FREE_WAIT_MS = 20_000
LANE_POLL_MS = 100

# Housekeeping when nobody buys: pruning and the log's checkpoint take milliseconds.
TIDY_EVERY_MS = 600_000
CHECK_EVERY_MS = 24 * 3_600_000

# Commands announce themselves; the poll only guards against a notice that was never given.
COMMANDS_POLL_MS = 60_000

# The ledger's thread and every bus show a sign of life within this time, or the watchdog is not fed.
BEAT_LIMIT_MS = 30_000


class Stopped(Exception):
    """The agent was asked to end; unwinds the task group."""


@dataclass(frozen=True, slots=True)
class Agent:
    """The built parts, for `run` and for tests."""

    settings: Settings
    clock: Clock
    progress: Progress
    ledger: LedgerDatabase
    readings: ReadingsBuffer
    buses: tuple[Bus, ...]
    watch: MachineWatch
    operations: Operations
    trials: Trials
    water: Waterworks | None
    claims: Claims
    commands: Commands
    uplink: Uplink
    local_socket: LocalSocket


@asynccontextmanager
async def build(settings: Settings, clock: Clock) -> AsyncIterator[Agent]:
    """Open the ledger and the ports and put everything together; closes them in reverse."""
    keys = read_keys(settings)
    progress = Progress(clock)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            await LedgerDatabase.open(
                settings.data_dir / "ledger.sqlite",
                machine=settings.machine_id,
                clock=clock,
                software=SOFTWARE,
                reserve_bytes=settings.limits.reserve_mb * 1024 * 1024,
            )
        )
        readings = await stack.enter_async_context(await ReadingsBuffer.open(settings.data_dir / "readings.sqlite"))
        lines, boards = await _open_buses(stack, settings, clock, progress)
        buses = tuple(lines.values())
        lane = asyncio.Lock()

        async def take_reading(reading: Reading) -> None:
            await readings.add(clock.boot_id, [reading])

        watch = MachineWatch(
            boards=boards, door=_door(settings), ledger=ledger, clock=clock, busy=lane.locked, take_reading=take_reading
        )
        uplink = _uplink(settings, keys, ledger=ledger, readings=readings, watch=watch, clock=clock)
        wait_ms = settings.limits.grant_wait_ms
        claims = Claims(ledger=ledger, clock=clock, mac_key=keys.mac_key, say=uplink.claim, wait_ms=wait_ms)
        outside = Surroundings(
            ledger=ledger, clock=clock, lane=lane, claims=claims, watch=watch, take_reading=take_reading
        )
        water = open_waterworks(settings, lines, outside)
        vending = Vending(
            boards=boards, boards_down=watch.boards_down, ledger=ledger, clock=clock, limits=_limits(settings)
        )
        operations = Operations(
            ledger=ledger,
            clock=clock,
            mac_key=keys.mac_key,
            vending=vending,
            claims=claims,
            watch=watch,
            lane=lane,
        )
        trials = Trials(
            vending=vending,
            ledger=ledger,
            clock=clock,
            lane=lane,
            config=lambda: watch.config,
            settling=lambda: watch.condition.recovering,
        )
        words = LocalWords(
            operations=operations,
            watch=watch,
            ledger=ledger,
            buses=buses,
            why_not_connected=lambda: uplink.why_not_connected,
        ).table()
        if water is not None:
            words = WaterWords(water, ledger).table(words)
        technician = TechnicianWords(trials=trials, ledger=ledger, clock=clock, mac_key=keys.mac_key)
        yield Agent(
            settings=settings,
            clock=clock,
            progress=progress,
            ledger=ledger,
            readings=readings,
            buses=buses,
            watch=watch,
            operations=operations,
            trials=trials,
            water=water,
            claims=claims,
            commands=Commands(ledger=ledger, clock=clock, mac_key=keys.mac_key, operations=operations),
            uplink=uplink,
            local_socket=LocalSocket(settings.socket.path, technician.table(words), group=settings.socket.group),
        )


async def run(settings: Settings, clock: Clock, stop: asyncio.Event) -> None:
    """Run the agent of one machine until `stop` is set; what has begun is finished first."""
    async with build(settings, clock) as agent:
        await run_built(agent, stop)


async def run_built(agent: Agent, stop: asyncio.Event) -> None:
    """Run all loops of a built agent until `stop` is set."""
    systemd = Systemd()
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, work in _loops(agent).items():
                tasks.create_task(work, name=name)
            tasks.create_task(watch_progress(agent.progress, systemd, agent.clock), name="watchdog")
            tasks.create_task(_end(agent, stop, systemd), name="end")
            systemd.ready()
            log.info("machine %s, epoch %s: running", agent.ledger.machine, agent.ledger.epoch)
    except* Stopped:
        log.info("stopped")


def _loops(agent: Agent) -> dict[str, Coroutine[None, None, None]]:
    """Every loop of the agent by its name."""
    clock = agent.clock
    loops: dict[str, Coroutine[None, None, None]] = {
        "sales": _sell(agent),
        "verdicts": _hear_verdicts(agent),
        "commands": _obey(agent),
        "uplink": supervise("uplink", agent.uplink.talk, clock=clock, backoff=Backoff(agent.ledger.machine)),
        "local-socket": agent.local_socket.run(),
        "notice": _pass_on_notice(agent),
        "watch-disk": agent.watch.watch_disk(),
        "tidy": _tidy(agent),
        "check": _check_daily(agent),
        "progress": _beat(agent),
    }
    for bus in agent.settings.bus:
        for board in bus.boards:
            loops[f"watch-board-{board}"] = agent.watch.watch_board(board, bus.poll_ms)
    if agent.water is not None:
        loops |= agent.water.loops()
    if agent.settings.door is not None:
        loops["watch-door"] = agent.watch.watch_door(agent.settings.door.poll_ms)
    return loops


# --- loops ---


async def _sell(agent: Agent) -> None:
    """Settle the past, then take one offer after the other."""
    await agent.operations.reload()
    await agent.trials.settle()
    if agent.water is not None:
        await agent.water.operations.recover()
    await agent.operations.recover()
    while True:
        offer = await agent.uplink.offers.get()
        if isinstance(offer, Offer):
            await agent.operations.take_offer(offer)
        elif agent.water is not None:
            await agent.water.operations.take_offer(offer)
        else:
            log.warning("order %s wants water, and the settings name no purifier", offer.order)


async def _hear_verdicts(agent: Agent) -> None:
    while True:
        agent.claims.hear(await agent.uplink.verdicts.get())


async def _obey(agent: Agent) -> None:
    while True:
        agent.uplink.commands.clear()
        await agent.commands.carry_out_waiting()
        await within(agent.clock, agent.uplink.commands.wait(), COMMANDS_POLL_MS)


async def _pass_on_notice(agent: Agent) -> None:
    """Every write may have put a fact into the outbox, or changed whether the machine sells."""
    said: tuple[int, bool] | None = None
    while True:
        await agent.ledger.written.wait()
        agent.ledger.written.clear()
        agent.uplink.facts_appended()
        presence = _presence(agent.watch)
        if said != (presence.config_version, presence.selling):
            said = (presence.config_version, presence.selling)
            agent.uplink.presence_changed()


async def _tidy(agent: Agent) -> None:
    """Housekeeping while nobody buys."""
    while True:
        await agent.clock.sleep_ms(TIDY_EVERY_MS)
        if agent.operations.busy():
            continue
        await agent.ledger.tidy()
        if (lost := await agent.readings.lost()) > 0:
            await agent.ledger.write(partial(outbox.append, fact=ReadingsLost(count=lost), clock=agent.clock))
            await agent.readings.told(lost)


async def _check_daily(agent: Agent) -> None:
    """Read the whole ledger once a day; findings end the process, and the next start sets the file aside (I16)."""
    while True:
        await agent.clock.sleep_ms(CHECK_EVERY_MS)
        findings = await agent.ledger.integrity_check()
        if findings:
            raise LedgerDamaged(str(agent.settings.data_dir), "; ".join(findings))


async def _beat(agent: Agent) -> None:
    """Signs of life of the event loop and the ledger's thread; every bus gives its own."""
    beat = agent.progress.essential("ledger", limit_ms=BEAT_LIMIT_MS)
    while True:
        await agent.ledger.read(outbox.position)
        beat()
        await agent.clock.sleep_ms(BEAT_LIMIT_MS // 3)


async def _end(agent: Agent, stop: asyncio.Event, systemd: Systemd) -> None:
    """Wait for the word to stop, let a running vend end and shut a running pour, then unwind everything."""
    await stop.wait()
    systemd.stopping()
    log.info("stopping: no new sale begins")
    await agent.watch.change(stopped_by="the agent is stopping")
    if agent.water is not None:
        agent.water.operations.stop()
    waited_ms = 0
    while agent.operations.busy() and waited_ms < LANE_FREE_WAIT_MS:
        await agent.clock.sleep_ms(LANE_POLL_MS)
        waited_ms += LANE_POLL_MS
    raise Stopped


# --- parts ---


async def _open_buses(
    stack: AsyncExitStack, settings: Settings, clock: Clock, progress: Progress
) -> tuple[dict[str, Bus], dict[int, AisleMotors]]:
    """Every line by its url, and the boards; a line of Modbus devices may be one of boards as well."""
    buses: dict[str, Bus] = {}
    boards: dict[int, AisleMotors] = {}
    for part in settings.bus:
        open_board = _driver(part.protocol)
        beat = progress.essential(f"bus {part.url}", limit_ms=BEAT_LIMIT_MS)
        bus = Bus(part.url, clock=clock, baud=part.baud, gap_ms=part.min_gap_ms, beat=beat)
        buses[part.url] = await stack.enter_async_context(bus)
        for address in part.boards:
            boards[address] = open_board(bus, address, clock, dialect=part.dialect, expect=part.expect)
    for line in settings.modbus:
        if line.url not in buses:
            beat = progress.essential(f"bus {line.url}", limit_ms=BEAT_LIMIT_MS)
            opener = partial(open_port, parity=line.parity)
            bus = Bus(line.url, clock=clock, baud=line.baud, gap_ms=line.min_gap_ms, opener=opener, beat=beat)
            buses[line.url] = await stack.enter_async_context(bus)
    return buses, boards


def _driver(protocol: str) -> Callable[..., AisleMotors]:
    """The board driver of a protocol; anybody's, by the entry point `aisleflow.boards`."""
    drivers = {found.name: found for found in importlib.metadata.entry_points(group="aisleflow.boards")}
    if protocol not in drivers:
        raise SettingsWrong(f"bus.protocol: {protocol!r} is not installed (installed: {', '.join(sorted(drivers))})")
    driver: Callable[..., AisleMotors] = drivers[protocol].load()
    return driver


def _door(settings: Settings) -> Door | None:
    part = settings.door
    return None if part is None else DoorSwitch(part.value_file, open_value=part.open_value)


def _limits(settings: Settings) -> VendLimits:
    fastest = min((bus.poll_ms for bus in settings.bus), default=POLL_MS)
    return VendLimits(poll_ms=min(fastest, POLL_MS), turning_ms=settings.limits.turn_timeout_ms)


def _uplink(
    settings: Settings,
    keys: MachineKeys,
    *,
    ledger: LedgerDatabase,
    readings: ReadingsBuffer,
    watch: MachineWatch,
    clock: Clock,
) -> Uplink:
    part = settings.uplink

    async def trouble(code: str, holds: bool, detail: str) -> None:
        await watch.tell(FaultChanged(code=code, scope="machine", active=holds, detail=detail[:500]))
        if code == OLD_COPY:
            await watch.configure(watch.config)

    return Uplink(
        Account(
            address=part.address,
            machine=ledger.machine,
            epoch=ledger.epoch,
            keys=keys,
            keepalive_s=part.keepalive_s,
            version=part.version,
            facts_per_s=part.facts_per_s,
        ),
        outbox=LedgerOutbox(ledger),
        inbox=LedgerInbox(ledger, clock),
        readings=readings,
        presence=lambda: _presence(watch),
        rejects=Rejects(settings.data_dir / "rejects.jsonl", clock),
        trouble=trouble,
        clock=clock,
    )


def _presence(watch: MachineWatch) -> Presence:
    version = watch.config.version if watch.config else 0
    return Presence(config_version=version, selling=watch.why_not_selling() is None, software=SOFTWARE)
