"""All that may be asked of a purifier, by the cloud, the front panel or a technician.

One pour at a time, in the machine's one lane: whoever holds it moves motors or water. What has begun is finished
whether or not the one who asked still waits, and what flowed is charged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from edge_agent.devices.ports import Purifier
from edge_agent.errors import DiskShort, Refused
from edge_agent.ledger import locks, pours, water
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.pours import PourRow, PourTerms
from edge_agent.pour import display, flow, upkeep
from edge_agent.pour.flow import Calibration, CalibrationRefused, Factor, MeasuredPour
from edge_agent.pour.plan import hold_fen
from edge_agent.pour.recovery import recover
from edge_agent.pour.session import MACHINE, Pouring
from edge_agent.pour.watch import DRIFT, WaterWatch
from shared.clock import Clock
from shared.ids import Nonce, OrderId, check_id, mint_nonce
from shared.messages import MachineConfig, Means, MeterCalibrated, PourEnded, PourOffer, PourRefused
from shared.water import Outlet, PurifierConfig, Warmth

log = logging.getLogger(__name__)

# A panel's press id becomes the order id, so that asking again never pours twice; another letter than a vend's.
PRESS_PREFIX = "w"
# A person who pressed still stands there.
PRESS_VALID_MS = 10_000

RefusedReason = Literal["void", "late_grant", "not_selling", "plan_ended", "unfit"]


class Claiming(Protocol):
    """The dialogue that makes an offered order ours; see `vend.claim`."""

    def not_after(self, claimed_ms: int) -> int:
        """When what was claimed at `claimed_ms` must have begun."""

    async def granted(
        self, order: OrderId, place: str, nonce: Nonce, claimed_ms: int
    ) -> Literal["void", "late_grant"] | None:
        """None for a genuine grant in time, otherwise why the order ends here."""


@dataclass(frozen=True, slots=True)
class SettledPour:
    """What became of a pour: ended, doubtful or refused. `change_fen` is what the panel gives back.

    `doubt`: why nobody can say how much has flowed.
    """

    order: OrderId
    state: str
    reason: str | None
    poured_ml: int
    charged_fen: int
    change_fen: int
    doubt: str | None


class PourOperations:
    """The purifier's use cases. `machine_stop` says why the whole machine may not sell, or None."""

    def __init__(
        self,
        *,
        purifier: Purifier,
        pouring: Pouring,
        watch: WaterWatch,
        claims: Claiming,
        ledger: LedgerDatabase,
        clock: Clock,
        lane: asyncio.Lock,
        config: Callable[[], MachineConfig | None],
        machine_stop: Callable[[], str | None],
    ) -> None:
        self._meter = purifier.meter
        self._pouring = pouring
        self._watch = watch
        self._claims = claims
        self._ledger = ledger
        self._clock = clock
        self._lane = lane
        self._config = config
        self._machine_stop = machine_stop

    async def recover(self) -> None:
        """Settle what the last run left open; nothing is poured before this has returned.

        The valve of an open pour is shut first, because its hour counts; every other has shut by its own timer.
        """
        async with self._lane:
            end = await recover(self._ledger, self._pouring, self._clock)
            await self._pouring.shut_everything()
            self._watch.settled.set()
            if end is not None:
                await self._watch.after_pour(end)
            await self._watch.tick()

    def why_not(self) -> str | None:
        """A sentence, or None when water may be given."""
        stop = self._watch.stop()
        return self._machine_stop() or (None if stop is None else display.stopped(stop, "en"))

    # --- orders of the cloud ---

    async def take_offer(self, offer: PourOffer) -> PourEnded | None:
        """Claim an offered order and pour it. None when the machine may not, or was not granted it.

        An order that can never be poured here is answered with its refusal, so that the buyer has the money back at
        once; one for which the machine is only not ready is left to the next offer.
        """
        async with self._lane:
            config = self._config()
            known = await self._ledger.read(lambda conn: pours.pour(conn, OrderId(offer.order)))
            if known is not None or config is None or config.purifier is None or not self._watch.settled.is_set():
                return None
            await self._watch.tick()  # a plan may have ended since the last one
            terms = self._terms_of(offer, config.purifier, config.version)
            outlet = _outlet(config.purifier, offer.outlet)
            never = self._never(offer, outlet)
            if never is not None or outlet is None:
                await self._refuse(terms, never or "not_selling")
                return None
            if self.why_not() is not None:
                return None
            return await self._claim_and_pour(terms, config.purifier, outlet)

    def _never(self, offer: PourOffer, outlet: Outlet | None) -> RefusedReason | None:
        """Why an offered order cannot be poured here, now or later; None when it may."""
        config = self._config()
        if outlet is None or config is None or config.purifier is None:
            return "not_selling"
        if offer.asked_ml == 0 or offer.asked_ml > config.purifier.limits.pour_ml_max:
            return "not_selling"
        if (stop := self._watch.stop()) in ("unfit", "filter", "leak"):
            return "not_selling" if stop == "leak" else "unfit"
        kept = self._watch.upkeep
        left_ml = kept.standing.left_ml if kept else None
        if stop in ("expired", "used_up") or (left_ml is not None and left_ml < offer.asked_ml):
            return "plan_ended"
        return None

    async def _claim_and_pour(self, terms: PourTerms, config: PurifierConfig, outlet: Outlet) -> PourEnded | None:
        claimed = False
        assert terms.nonce is not None
        try:
            ready = await self._pouring.make_ready(config, outlet)
            claimed_ms = self._clock.mono_ms()
            await self._ledger.write(lambda conn: pours.claim(conn, terms, self._clock))
            claimed = True
            denied = await self._claims.granted(terms.order, terms.outlet, terms.nonce, claimed_ms)
            if denied is not None:
                await self._refuse(terms, denied)
                return None
            end = await self._pouring.pour(terms, ready, not_after_mono_ms=self._claims.not_after(claimed_ms))
        except (Refused, DiskShort) as refused:
            log.warning("pour %s is not carried out: %s", terms.order, refused)
            if claimed:
                await self._refuse(terms, "not_selling")
            return None
        await self._watch.after_pour(end)
        return end

    async def _refuse(self, terms: PourTerms, reason: RefusedReason) -> None:
        fact = PourRefused(order=terms.order, reason=reason)
        await self._ledger.write(lambda conn: pours.refuse(conn, terms, fact, self._clock), outcome=True)

    def _terms_of(self, offer: PourOffer, config: PurifierConfig, version: int) -> PourTerms:
        return PourTerms(
            order=OrderId(offer.order),
            outlet=offer.outlet,
            source="order",
            means="escrow",
            asked_ml=max(1, offer.asked_ml),
            price_fen_per_litre=offer.price_fen_per_litre,
            hold_fen=offer.hold_fen,
            paid_fen=offer.hold_fen,
            config_version=version,
            plan=config.plan.plan,
            nonce=mint_nonce(),
        )

    # --- at the machine ---

    async def pour(
        self, press: str, outlet: Warmth, asked_ml: int, means: Means, paid_fen: int, *, service: bool = False
    ) -> SettledPour:
        """A pour started on the machine. The same press asked again is answered with what became of it.

        Under a plan that is not paid by the pour it is free, and no more flows than the plan has left. `service`: a
        person's pour for a test or a calibration; it counts in no plan and may be poured while the sale is stopped.
        Raises `Refused`: "not_selling", "busy", "no_such_outlet", "underpaid", "known_order" (still running).
        """
        order = OrderId(check_id("press", PRESS_PREFIX + press))
        if (known := await self.settled(order)) is not None:
            return known
        config = self._config()
        if config is None or config.purifier is None:
            raise Refused("not_selling", "no configuration of a purifier yet")
        await self._watch.note_leak_fault()  # who has just cleared it pours at once
        await self._watch.tick()  # a plan may have ended since the last one
        found = _outlet(config.purifier, outlet)
        if found is None:
            raise Refused("no_such_outlet", f"outlet: {outlet!r} is not one of this machine's")
        reason = self._service_stop() if service else self.why_not()
        if reason is not None:
            raise Refused("not_selling", reason)
        if self._lane.locked():
            raise Refused("busy", "somebody is being served")
        async with self._lane:
            terms = self._press_terms(order, found, asked_ml, means, paid_fen, config, service)
            ready = await self._pouring.make_ready(config.purifier, found)
            end = await self._pouring.pour(terms, ready, not_after_mono_ms=self._clock.mono_ms() + PRESS_VALID_MS)
            await self._watch.after_pour(end)
        settled = await self.settled(order)
        assert settled is not None
        return settled

    def stop(self) -> bool:
        """End the running pour; False when none runs."""
        return self._pouring.stop()

    async def settled(self, order: OrderId) -> SettledPour | None:
        """What became of a pour; None when it was never begun here. `Refused("known_order")` while it runs."""
        row = await self._ledger.read(lambda conn: pours.pour(conn, order))
        if row is None:
            return None
        if row.state in ("open", "claimed"):
            raise Refused("known_order", f"pour {order} is running")
        charged = row.charged_fen or 0
        change = max(0, row.terms.paid_fen - charged) if row.terms.source == "button" else 0
        return SettledPour(order, row.state, row.reason, row.poured_ml or 0, charged, change, row.doubt)

    def _service_stop(self) -> str | None:
        """A leak stops everybody; nothing else stops a person at service."""
        return display.stopped("leak", "en") if self._watch.stop() == "leak" else None

    def _press_terms(
        self,
        order: OrderId,
        outlet: Outlet,
        asked_ml: int,
        means: Means,
        paid_fen: int,
        config: MachineConfig,
        service: bool,
    ) -> PourTerms:
        assert config.purifier is not None
        kept = self._watch.upkeep
        left_ml = kept.standing.left_ml if kept and not service else None
        limit_ml = config.purifier.limits.pour_ml_max
        most_ml = min(ml for ml in (asked_ml, limit_ml, left_ml) if ml is not None)
        # A buyer gets what there is; who measures gets what he asked for, or hears why not.
        if most_ml <= 0 or (service and asked_ml > limit_ml):
            raise Refused("malformed", f"ml: {asked_ml}: expected 1 to {limit_ml}")
        is_free = service or means == "free" or kept is None or not kept.standing.is_paid_by_pour
        price = 0 if is_free else outlet.price_fen_per_litre
        hold = hold_fen(most_ml, price)
        if paid_fen < hold:
            raise Refused("underpaid", f"{most_ml} ml cost up to {hold} fen, {paid_fen} were paid")
        return PourTerms(
            order=order,
            outlet=outlet.warmth,
            source="button",
            means="free" if price == 0 and paid_fen == 0 else means,
            asked_ml=most_ml,
            price_fen_per_litre=price,
            hold_fen=hold,
            paid_fen=paid_fen,
            config_version=config.version,
            plan=None if service else config.purifier.plan.plan,
        )

    # --- by a person at service ---

    async def calibrate(self, measured: Sequence[tuple[str, int]], person: str) -> Calibration:
        """Set the meter's factor from pours that a person measured: (order of the pour, measured ml).

        Raises `Refused`: "no_such_pour", "not_measurable" (not ended for certain), "calibration" with what to do.
        """
        runs = [await self._measured(OrderId(order), ml) for order, ml in measured]
        try:
            found = flow.calibrate(runs, Factor(self._meter.pulses_per_litre_milli))
        except CalibrationRefused as refused:
            raise Refused("calibration", str(refused)) from refused
        fact = MeterCalibrated(
            meter=self._meter.meter,
            pulses_per_litre_milli=found.factor.pulses_per_litre_milli,
            spread_ppm=found.spread_ppm,
            runs=found.runs,
            person=person,
        )
        await self._ledger.write(
            lambda conn: (
                water.calibrate(conn, fact, self._clock),
                locks.clear_fault(conn, DRIFT, MACHINE, f"calibrated by {person}", self._clock),
            )
        )
        return found

    async def check_meter(self, order: str, measured_ml: int) -> int:
        """Hold the meter against one pour of known volume; how far it is off, in ppm. Too far raises a fault."""
        run = await self._measured(OrderId(order), measured_ml)
        if measured_ml < flow.MEASURED_ML_MIN:
            raise Refused("calibration", f"measured_ml: {measured_ml} is little, expected {flow.MEASURED_ML_MIN}")
        ppm = flow.drift_ppm(run, await self._pouring.factor())
        if abs(ppm) > flow.DRIFT_PPM_MAX:
            detail = f"the meter shows {ppm / 10_000:+.1f} % of a measured pour: calibrate it"
            await self._ledger.write(lambda conn: locks.raise_fault(conn, DRIFT, MACHINE, detail, self._clock))
        return ppm

    async def _measured(self, order: OrderId, measured_ml: int) -> MeasuredPour:
        row: PourRow | None = await self._ledger.read(lambda conn: pours.pour(conn, order))
        if row is None:
            raise Refused("no_such_pour", f"order: {order!r} is no pour of this machine")
        if row.state != "ended" or row.counts is None or row.intent is None:
            raise Refused("not_measurable", f"pour {order} is {row.state}: measure one that ended")
        if row.intent.meter != self._meter.meter:
            raise Refused("not_measurable", f"pour {order} was counted by meter {row.intent.meter}")
        return MeasuredPour(row.counts, measured_ml)

    async def change_filter(self, position: int, person: str) -> None:
        """A person put a new cartridge in; `Refused("no_such_filter")`."""
        config = self._config()
        purifier = config.purifier if config else None
        if purifier is None:
            raise Refused("no_such_filter", "no configuration of a purifier yet")
        await self._ledger.write(lambda conn: upkeep.change_filter(conn, purifier, position, person, self._clock))
        await self._watch.tick()


def _outlet(config: PurifierConfig, warmth: Warmth) -> Outlet | None:
    return next((outlet for outlet in config.outlets if outlet.warmth == warmth), None)
