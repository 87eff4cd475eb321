"""Placing a pour: presence, outlet, fitness, money and the offer, in one unit of work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cloud import downlink
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.planogram import current_config
from cloud.machines.presence import expect_selling
from cloud.members.wallet import member_of, wallet_balance
from cloud.orders.books import Books
from cloud.orders.place import DEADLINE_MS, KEY_CHARS_MAX
from cloud.water import store
from cloud.water.condition import condition_of
from cloud.water.model import Pour, advance, outlet_price
from cloud.water.pours import Pours
from shared.ids import mint_order_id
from shared.messages import PourOffer, encode
from shared.quantities import hold_fen
from shared.water import PurifierConfig, Warmth


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacePour:
    """A member wants water of one outlet now. The price is the server's business."""

    tenant: str
    member: str
    machine: str
    outlet: Warmth
    asked_ml: int
    idempotency_key: str

    @property
    def key(self) -> str:
        """One member's keys are nobody else's."""
        return f"{self.member}/{self.idempotency_key}"

    @property
    def digest(self) -> str:
        """The same for the same request."""
        what = f"{self.member}\n{self.machine}\n{self.outlet}\n{self.asked_ml}"
        return hashlib.sha256(what.encode()).hexdigest()


async def place_pour(work: Work, wanted: PlacePour, *, deadline_ms: int = DEADLINE_MS) -> Pour:
    """Hold the price of all that is asked for and offer the pour to its machine; the same key, the same pour.

    FleetError: not_found (machine, member, outlet), unavailable (the machine is away or gives no water, and why),
    conflict (not enough money, key used for another request), invalid (key, volume).
    """
    if not 0 < len(wanted.idempotency_key) <= KEY_CHARS_MAX:
        raise FleetError("invalid", f"1 to {KEY_CHARS_MAX} characters are expected", field="idempotency_key")
    await member_of(work, wanted.tenant, wanted.member, lock=True)  # one spending at a time, so the key is met once
    if before := await store.find_by_key(work, wanted.tenant, wanted.key):
        if before.request_hash != wanted.digest:
            raise FleetError("conflict", "the key was used for another pour", field="idempotency_key")
        return before
    price, plan = await _terms(work, wanted)
    hold = hold_fen(wanted.asked_ml, price)
    if await wallet_balance(work, wanted.tenant, wanted.member) < hold:
        raise FleetError("conflict", f"the wallet does not hold {hold} fen", field="member")
    pour = Pour(
        tenant=wanted.tenant,
        order=mint_order_id(),
        machine=wanted.machine,
        outlet=wanted.outlet,
        asked_ml=wanted.asked_ml,
        price_fen_per_litre=price,
        source="order",
        means="escrow",
        paid_fen=hold,
        state="held",
        placed_ms=work.now_ms,
        member=wanted.member,
        idempotency_key=wanted.key,
        request_hash=wanted.digest,
        deadline_ms=work.now_ms + deadline_ms,
        plan=plan,
    )
    pours = Pours(Books(work))
    pours.bear(pour)
    pours.pay(pour, ["hold"])
    await _offer(work, pour, work.now_ms + deadline_ms)
    pours.tell(pour, "pour.placed")
    await pours.write()
    await pours.books.write()
    return pour


async def cancel_pour(work: Work, tenant: str, order: str) -> Pour:
    """Take a pour back while no machine has claimed it; FleetError: not_found, or conflict when it is too late."""
    pours = await Pours.open(Books(work), [(tenant, order)])
    cancelled, effects = advance(pours.require(tenant, order), "cancel", work.now_ms)
    cancelled = replace(cancelled, reason="cancelled")
    pours.put(cancelled)
    pours.pay(cancelled, effects)
    pours.withdraw_offer(cancelled)
    pours.tell(cancelled, "pour.cancelled")
    await pours.write()
    await pours.books.write()
    return cancelled


async def _terms(work: Work, wanted: PlacePour) -> tuple[int, str]:
    """The price of a litre and the plan under which it flows, if water is given now."""
    await expect_selling(work, wanted.tenant, wanted.machine)
    config = await current_config(work, wanted.tenant, wanted.machine)
    purifier = None if config is None else config.purifier
    price = None if purifier is None else outlet_price(purifier, wanted.outlet)
    if purifier is None or price is None:
        raise FleetError("not_found", f"machine {wanted.machine!r} has no outlet {wanted.outlet!r}", field="outlet")
    _check_volume(purifier, wanted.asked_ml)
    condition = await condition_of(work, wanted.tenant, wanted.machine, purifier)
    if condition.no_sale:
        why = ", ".join(condition.no_sale)
        raise FleetError("unavailable", f"machine {wanted.machine!r} gives no water now: {why}", field="machine")
    return price, purifier.plan.plan


def _check_volume(purifier: PurifierConfig, asked_ml: int) -> None:
    most = purifier.limits.pour_ml_max
    if not 0 < asked_ml <= most:
        raise FleetError("invalid", f"{asked_ml} is not between 1 and {most} ml", field="asked_ml")


async def _offer(work: Work, pour: Pour, until_ms: int) -> None:
    offer = PourOffer(
        order=pour.order,
        outlet=pour.outlet,
        asked_ml=pour.asked_ml,
        price_fen_per_litre=pour.price_fen_per_litre,
        hold_fen=pour.paid_fen,
    )
    await downlink.enqueue(work, pour.tenant, pour.machine, "offer", pour.order, encode(offer), until_ms)
