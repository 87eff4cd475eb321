"""The dialogue that makes an offered order ours: claim, then grant, refusal or silence.

An offer binds nobody. The machine answers it with a claim that carries a fresh nonce, and remembers when it made it.
Only a grant for that nonce, of this boot, sealed for this machine and aisle, and no older than `WAIT_MS` by the boot
clock, may start a motor (I6). Everything else ends in a tombstone: the order can never start here, and the cloud
refunds it on that word (I7). The claim is on disk before it leaves, so a crash in between still owes the tombstone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_agent.errors import Refused
from edge_agent.ledger import journal
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import Sale
from shared.clock import Clock, within
from shared.ids import AisleId, GoodsId, MachineId, Nonce, OrderId, mint_nonce
from shared.messages import AisleConfig, Claim, FailReason, Grant, Offer, Refusal, VendFailed
from shared.seal import seal_grant, seals_match

log = logging.getLogger(__name__)

# The vend protocol's T: a customer who paid is still standing there.
WAIT_MS = 10_000
# QoS 1 delivers a claim on a living connection; repeating covers a connection that died with it.
REPEAT_MS = 2_000

Say = Callable[[Claim], object]
# Why a claimed order is not to be carried out.
Denied = Literal["void", "late_grant"]


@dataclass(frozen=True, slots=True)
class Won:
    """The order is ours: start it, but not after `not_after_mono_ms`."""

    sale: Sale
    not_after_mono_ms: int


class Claims:
    """Claims one order at a time. `say` sends a claim towards the cloud and never waits."""

    def __init__(
        self,
        *,
        ledger: LedgerDatabase,
        clock: Clock,
        mac_key: bytes,
        say: Say,
        wait_ms: int = WAIT_MS,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._mac_key = mac_key
        self._say = say
        self._wait_ms = wait_ms
        self._waiting: tuple[OrderId, asyncio.Queue[Grant | Refusal]] | None = None

    def hear(self, answer: Grant | Refusal) -> None:
        """Take an answer from the cloud. One for no order that waits is a repeat or too late, and means nothing."""
        if self._waiting is None or self._waiting[0] != answer.order:
            log.info("answer to order %s, which is not waiting for one", answer.order)
            return
        self._waiting[1].put_nowait(answer)

    async def win(self, offer: Offer, aisle: AisleConfig, config_version: int) -> Won | None:
        """Claim the order for `aisle`; None when it was not granted, and then its tombstone is committed.

        Raises `Refused("known_order")` for an order that was claimed or ended before.
        """
        nonce = mint_nonce()
        claimed_ms = self._clock.mono_ms()
        sale = Sale(
            order=OrderId(offer.order),
            aisle=AisleId(aisle.aisle),
            goods=GoodsId(offer.goods),
            price_fen=offer.price_fen,
            source="order",
            means="escrow",
            paid_fen=offer.price_fen,
            config_version=config_version,
            nonce=nonce,
        )
        await self._ledger.write(lambda conn: journal.claim(conn, sale, self._clock))
        reason = await self.granted(sale.order, offer.aisle, nonce, claimed_ms)
        if reason is None:
            return Won(sale=sale, not_after_mono_ms=self.not_after(claimed_ms))
        await bury(self._ledger, sale, reason, self._clock)
        return None

    def not_after(self, claimed_ms: int) -> int:
        """When what was claimed at `claimed_ms` must have begun."""
        return claimed_ms + self._wait_ms

    async def granted(self, order: OrderId, place: str, nonce: Nonce, claimed_ms: int) -> Denied | None:
        """Say a claim that is on disk until it is answered; None for a genuine grant, otherwise why the order ends.

        `place` is what the grant is sealed for: the offered aisle, or the outlet of a pour.
        """
        answers: asyncio.Queue[Grant | Refusal] = asyncio.Queue()
        self._waiting = (order, answers)
        claim = Claim(order=order, nonce=nonce, boot_id=self._clock.boot_id, epoch=self._ledger.epoch)
        say_at_ms = self._clock.mono_ms()
        try:
            while (now_ms := self._clock.mono_ms()) < self.not_after(claimed_ms):
                if now_ms >= say_at_ms:  # by the clock alone: an answer that does not fit must not make us repeat
                    self._say(claim)
                    say_at_ms = now_ms + REPEAT_MS
                answer = await within(self._clock, answers.get(), min(say_at_ms, self.not_after(claimed_ms)) - now_ms)
                if answer is None or answer.nonce != nonce:
                    continue
                if isinstance(answer, Refusal):
                    return "void"
                if self._is_genuine(answer, order, place, nonce):
                    return None
                log.warning("order %s: a grant with a wrong seal or of another boot was ignored", order)
            return "late_grant"
        finally:
            self._waiting = None

    def _is_genuine(self, grant: Grant, order: OrderId, place: str, nonce: Nonce) -> bool:
        machine: MachineId = self._ledger.machine
        expected = seal_grant(self._mac_key, machine, order, AisleId(place), nonce, self._clock.boot_id)
        return grant.boot_id == self._clock.boot_id and seals_match(expected, grant.mac)


async def bury(ledger: LedgerDatabase, sale: Sale, reason: FailReason, clock: Clock) -> None:
    """Commit the tombstone of an order that was never begun."""
    fact = VendFailed(
        order=sale.order,
        aisle=sale.aisle,
        goods=sale.goods,
        price_fen=sale.price_fen,
        source=sale.source,
        means=sale.means,
        paid_fen=sale.paid_fen,
        config_version=sale.config_version,
        reason=reason,
    )
    try:
        await ledger.write(lambda conn: journal.tombstone(conn, fact, clock), outcome=True)
    except Refused as refused:
        log.warning("order %s has no tombstone: %s", sale.order, refused)
