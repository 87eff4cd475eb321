"""What the cloud may ask of a machine besides selling. Effects and answer are one transaction, so a command that was
accepted is carried out exactly once however often the process dies in between."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial

from edge_agent.errors import Refused
from edge_agent.ledger import config as stored_config
from edge_agent.ledger import inbox, journal, locks, outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.inbox import StoredCommand
from edge_agent.operations import Operations
from edge_agent.vend import aisles
from edge_agent.watch import STOPPED
from shared.clock import Clock
from shared.ids import AisleId, CommandId, GoodsId, OrderId
from shared.messages import (
    ApplyConfig,
    Ask,
    CloseReview,
    CommandAnswered,
    ConfigReported,
    CountStock,
    LoadStock,
    MachineConfig,
    SetAisleLock,
    SetSelling,
    decode_ask,
)

log = logging.getLogger(__name__)


class Commands:
    """Carries out the commands that wait in the inbox."""

    def __init__(self, *, ledger: LedgerDatabase, clock: Clock, mac_key: bytes, operations: Operations) -> None:
        self._ledger = ledger
        self._clock = clock
        self._mac_key = mac_key
        self._operations = operations

    async def carry_out_waiting(self) -> None:
        """Carry out every accepted command that has no answer yet, oldest first; a refused one is answered so."""
        for command in await self._ledger.read(inbox.unanswered):
            ask = decode_ask(command.ask)
            try:
                await self._ledger.write(partial(self._obey, command=command, ask=ask))
            except Refused as refused:
                log.warning("command %s refused: %s", command.command, refused.detail)
                await self._ledger.write(partial(self._decline, command=command, ask=ask, refused=refused))
            if isinstance(ask, ApplyConfig | SetSelling):
                await self._operations.reload()

    def _obey(self, conn: sqlite3.Connection, command: StoredCommand, ask: Ask) -> None:
        config = self._operations.config
        match ask:
            case ApplyConfig():
                self._apply_config(conn, ask, config.version if config else 0)
            case LoadStock():
                goods = _goods(config, ask.aisle)
                stock.load(
                    conn,
                    AisleId(ask.aisle),
                    goods,
                    ask.quantity,
                    self._clock,
                    person=ask.person,
                    command=command.command,
                )
            case CountStock():
                goods = _goods(config, ask.aisle)
                stock.count(
                    conn,
                    AisleId(ask.aisle),
                    goods,
                    ask.counted,
                    self._clock,
                    person=ask.person,
                    command=command.command,
                )
            case SetAisleLock():
                _goods(config, ask.aisle)
                locks.set_lock(conn, ask.aisle, ask.locked, ask.reason, self._clock)
            case CloseReview():
                journal.close_review(conn, OrderId(ask.order), ask.delivered, self._clock, command=command.command)
            case SetSelling():
                self._set_selling(conn, ask)
        self._answer(conn, command.command, done=True)

    def _decline(self, conn: sqlite3.Connection, command: StoredCommand, ask: Ask, refused: Refused) -> None:
        if isinstance(ask, ApplyConfig):
            current = self._operations.config.version if self._operations.config else 0
            fact = ConfigReported(version=current, refused=ask.version, reason=refused.detail[:500])
            locks.set_state(conn, fact, self._clock)
        self._answer(conn, command.command, done=False, detail=refused.detail[:500])

    def _answer(self, conn: sqlite3.Connection, command: CommandId, *, done: bool, detail: str = "") -> None:
        inbox.answer(conn, CommandAnswered(command=command, done=done, detail=detail), self._clock)

    def _apply_config(self, conn: sqlite3.Connection, ask: ApplyConfig, current: int) -> None:
        document = ask.document.encode()
        stored_config.check_config(
            document, ask.mac, ask.version, self._ledger.machine, self._mac_key, current_version=current
        )
        stored_config.store(conn, ask.version, document, ask.mac)
        locks.set_state(conn, ConfigReported(version=ask.version), self._clock)

    def _set_selling(self, conn: sqlite3.Connection, ask: SetSelling) -> None:
        if not ask.selling:
            locks.raise_fault(conn, STOPPED, "machine", ask.reason or "by the operator", self._clock)
            return
        locks.clear_fault(conn, STOPPED, "machine", ask.reason, self._clock)
        # Whoever lets the machine sell again has seen that its former ledger was damaged.
        outbox.confirm_damage(conn)


def _goods(config: MachineConfig | None, aisle: str) -> GoodsId:
    found = aisles.find(config, aisle) if config is not None else None
    if found is None:
        raise Refused("aisle_closed", f"aisle: {aisle!r} is not in this machine's configuration")
    return GoodsId(found.goods)
