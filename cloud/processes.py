"""Which parts run in one process, and how it begins and ends.

Everything lives in one TaskGroup. SIGTERM or SIGINT sets an event; streams are sent home, the server finishes the
requests it has, and the rest is cancelled: what ingest or downlink had not finished is still in the broker or in the
database, and the next process takes it up. A part that loses the broker or the database tries again; a bug ends the
process, loudly, and systemd starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import InterfaceError, OperationalError

from cloud import downlink, events, metrics, outcalls
from cloud.accounts.codes import Codes
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.people import all_tenants, first_administrator
from cloud.accounts.vault import Vault
from cloud.app import build_app
from cloud.audit import ledger_drift
from cloud.database import Database
from cloud.errors import FleetError
from cloud.facades.dialect import Parts
from cloud.ingest import subscriber
from cloud.machines.credentials import Credentials
from cloud.migrations import is_current
from cloud.orders import expire
from cloud.promotions import expire as group_expire
from cloud.providers.broker_file import BrokerFile
from cloud.purchases import expire as purchase_expire
from cloud.rentals import expire as rental_expire
from cloud.settings import Settings, server_secret
from cloud.watch import Watch
from cloud.water import expire as water_expire
from cloud.wiring import deadlines_of, handlers, open_till
from shared import mqtt
from shared.clock import Clock, SystemClock

log = logging.getLogger("cloud")

# After this, requests that are still open are cut; event streams have been sent home before.
SHUTDOWN_S = 10
# Open connections of one API process, event streams included; above it the answer is 503.
CONNECTIONS_MAX = 2_000
# An idle connection is kept this long: longer than a board's poll, shorter than a proxy's own limit.
KEEP_ALIVE_S = 30

# Events are kept for days: an hour more or less is nothing.
TIDY_EVERY_MS = 3_600_000
# The sums read every account and every open order; a ledger that is off is found before the day's report is drawn.
AUDIT_EVERY_MS = 3_600_000

# What comes and goes without anybody being at fault here.
EXPECTED = (mqtt.Disconnected, mqtt.SubscribeRefused, mqtt.PublishRefused, OSError, OperationalError, InterfaceError)
RETRY_FIRST_MS = 500
# A broker that comes back is noticed within this.
RETRY_MAX_MS = 15_000


Part = Callable[[], Awaitable[None]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Roles:
    """What this process does."""

    api: bool = False
    ingest: bool = False
    downlink: bool = False


class Process:
    """One process of the cloud: its database, its secrets and the parts that its roles need."""

    def __init__(self, settings: Settings, roles: Roles) -> None:
        self._settings = settings
        self._roles = roles
        self._clock: Clock = SystemClock()
        self._database = Database.open(settings.url, clock=self._clock)
        secret = server_secret(settings.data)
        self._credentials = Credentials(secret)
        self._codes = Codes(secret)
        self._vault = Vault(secret)
        self._till = open_till(settings, self._clock)
        self._watch = Watch(self._database)
        machines_file = settings.broker_machines_file
        self._broker_file = (
            BrokerFile(self._database, self._credentials, machines_file, settings.broker_pid_file)
            if machines_file
            else None
        )

    async def run(self, *, host: str, port: int, say: Say) -> None:
        """Run until SIGTERM or SIGINT. `say` shows a line on the console; nothing said there is ever logged.

        Raises FleetError unavailable when the database is not at this release's revision.
        """
        try:
            if not await is_current(self._database):
                raise FleetError("unavailable", "the database is not at this release's revision: run `migrate` first")
            # Bound before anything runs, so that a port that is taken is a plain error.
            listening = listen(host, port) if self._roles.api else None
            stop = asyncio.Event()
            with _stop_on_signals(stop):
                await self._run(stop, listening, say)
        finally:
            await self._till.providers.close()
            await self._database.close()

    async def _run(self, stop: asyncio.Event, listening: socket.socket | None, say: Say) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(keep(name, part, self._clock), name=name) for name, part in self._parts()]
            if listening is not None:
                await self._serve(group, stop, listening, say)
            else:
                say("AisleFlow cloud: running")
                await stop.wait()
            for task in tasks:
                task.cancel()
        say("AisleFlow cloud: stopped")

    def _parts(self) -> Iterator[tuple[str, Part]]:
        """The loops of this process beside the server, by name."""
        if self._roles.api:
            yield "watch", self._watch.run
            if self._broker_file is not None:
                yield "broker file", self._broker_file.keep
        if self._roles.ingest:
            yield "ingest", self._ingest
        if self._roles.downlink:
            yield "downlink", self._downlink
            yield "calls out", self._outcalls
            yield "deadlines", self._deadlines
            yield "pour deadlines", self._pour_deadlines
            yield "purchase deadlines", self._purchase_deadlines
            yield "rental ends", self._rental_ends
            yield "group deadlines", self._group_deadlines
            yield "tidying", self._tidy
            yield "audit", self._audit

    async def _ingest(self) -> None:
        address, username, password = _broker(self._settings)
        await subscriber.run(self._database, self._credentials, address, username=username, password=password)

    async def _downlink(self) -> None:
        address, username, password = _broker(self._settings)
        name = subscriber.worker_name("downlink")
        async with mqtt.connect(address, client_id=name, username=username, password=password) as link:
            log.info("downlink: speaking at %s", address)
            await downlink.run(self._database, link)

    async def _outcalls(self) -> None:
        await outcalls.run(self._database, handlers(self._till, self._codes, self._credentials))

    async def _deadlines(self) -> None:
        await expire.run(self._database, self._write_off_policy())

    async def _pour_deadlines(self) -> None:
        await water_expire.run(self._database, self._write_off_policy())

    async def _purchase_deadlines(self) -> None:
        await purchase_expire.run(self._database, deadlines_of(self._settings))

    async def _group_deadlines(self) -> None:
        await group_expire.run(self._database, deadlines_of(self._settings))

    async def _rental_ends(self) -> None:
        await rental_expire.run(self._database, self._settings.rental_grace_ms)

    def _write_off_policy(self) -> expire.WriteOffPolicy | None:
        after_ms, cap_fen = self._settings.write_off_after_ms, self._settings.write_off_cap_fen
        return expire.WriteOffPolicy(after_ms, cap_fen) if after_ms else None

    async def _tidy(self) -> None:
        while True:
            gone = await self._database.transact(events.forget_old)
            log.info("tidying: %d old events dropped", gone)
            await self._clock.sleep_ms(TIDY_EVERY_MS)

    async def _audit(self) -> None:
        """Every hour: do the books of every tenant still balance (I3)? If not, somebody must know at once."""
        while True:
            metrics.LEDGER_DRIFT.set(await drift_of_all(self._database))
            await self._clock.sleep_ms(AUDIT_EVERY_MS)

    async def _serve(self, group: asyncio.TaskGroup, stop: asyncio.Event, listening: socket.socket, say: Say) -> None:
        passwords = Passwords(pepper_of(server_secret(self._settings.data)))
        parts = Parts(
            settings=self._settings,
            database=self._database,
            clock=self._clock,
            passwords=passwords,
            credentials=self._credentials,
            watch=self._watch,
            till=self._till,
            codes=self._codes,
            vault=self._vault,
            credentials_changed=self._broker_file.changed if self._broker_file else lambda: None,
        )
        server = _Server(_server_config(build_app(parts)))
        administrator = await first_administrator(self._database, passwords)
        # What was imported and built stays for the life of the process: a collection need not walk through it while all
        # requests wait (150 to 200 ms at a time before this).
        gc.collect()
        gc.freeze()
        serving = group.create_task(server.serve(sockets=[listening]), name="http")
        address, port = listening.getsockname()[:2]
        say(f"AisleFlow cloud: http://{address}:{port}/ (API under /api/v1, described in /openapi.json)")
        if administrator is not None:
            user = administrator.user
            say(f"First administrator: tenant={user.tenant} login={user.login} password={administrator.password}")
            say("This password is shown this once and kept nowhere. `python -m cloud admin-reset` makes a new one.")
        await stop.wait()
        await self._watch.close()
        server.should_exit = True
        await serving


async def drift_of_all(database: Database) -> int:
    """How far the ledgers of all tenants are off together, in fen; each that is off is logged by name."""
    total = 0
    for tenant in await all_tenants(database):
        async with database.look(tenant=tenant.tenant) as work:
            drift = await ledger_drift(work, tenant.tenant)
        if drift:
            log.error(
                "the ledger of tenant %s is off by %d fen: stop paying out until it is explained", tenant.tenant, drift
            )
        total += drift
    return total


def _broker(settings: Settings) -> tuple[mqtt.MqttAddress, str | None, str | None]:
    """Where the broker is and how the cloud logs in there; the password is read again at every connection."""
    tls = mqtt.TlsFiles(ca_file=settings.broker_ca_file) if settings.broker_tls else None
    file = settings.broker_password_file
    password = file.read_text(encoding="utf-8").strip() if file else None
    return mqtt.MqttAddress(settings.broker_host, settings.broker_port, tls), settings.broker_user, password


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections send at once.

    An answer is written as head and body. Where the second waits until the first is acknowledged (RFC 896), and the
    other end takes 40 ms before it acknowledges, every answer takes 44 ms. asyncio turns that off only for sockets that
    it made itself.
    """
    listening = socket.create_server((host, port), backlog=CONNECTIONS_MAX)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class _Server(uvicorn.Server):
    """Leaves the signals to the process, which has more to end than a server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server_config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        # X-Forwarded-For is believed only from a proxy on this computer.
        forwarded_allow_ips="127.0.0.1",
        ws="none",
    )


async def keep(name: str, part: Part, clock: Clock) -> None:
    """Run `part`, again after an expected failure with a growing, jittered pause; anything else is a bug and rises."""
    pause_ms = RETRY_FIRST_MS
    while True:
        began_ms = clock.mono_ms()
        try:
            await part()
        except EXPECTED as error:
            if clock.mono_ms() - began_ms > RETRY_MAX_MS:
                pause_ms = RETRY_FIRST_MS
            log.warning("%s: %s; again in about %d ms", name, error, pause_ms)
        # Several processes must not come back in step. This is no secret, so any random number will do.
        await clock.sleep_ms(random.randint(pause_ms // 2, pause_ms))  # noqa: S311
        pause_ms = min(pause_ms * 2, RETRY_MAX_MS)


@contextlib.contextmanager
def _stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
