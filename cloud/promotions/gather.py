"""A group comes together: each payment takes a seat, and the last one sends all orders on their way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cloud.database import Work
from cloud.events import Event, tell
from cloud.members.ledger import Ledger
from cloud.payments.model import Payment
from cloud.payments.till import Purpose
from cloud.promotions import store
from cloud.promotions.groups import now_of
from cloud.promotions.model import Group, GroupEvent, Seat, advance_group
from cloud.promotions.offer import promotion_of
from cloud.purchases.model import Deadlines
from cloud.purchases.prepay import PURCHASE, captured
from cloud.purchases.steps import purchase_event, step
from cloud.purchases.store import lock_gathering, wait_no_more


def purchase_purpose(deadlines: Deadlines) -> Purpose:
    """What payments of purchases are for, those that are bought together included."""
    return Purpose(name=PURCHASE, captured=partial(_captured, deadlines))


async def _captured(deadlines: Deadlines, work: Work, payment: Payment, ledger: Ledger) -> str | None:
    seat = await store.seat_of_purchase(work, payment.tenant, payment.subject)
    if seat is None:
        return await captured(deadlines, work, payment, ledger)
    # The group before its orders, as everywhere: of payments that come at once for the last seat one is the first.
    group = await store.find_group(work, seat.tenant, seat.group, lock=True)
    assert group is not None, "groups are not deleted"
    promotion = await promotion_of(work, group.tenant, group.promotion)
    if not group.takes(promotion, work.now_ms):
        await wait_no_more(work, group.tenant, [seat.purchase])
        return f"the group {group.group} is {now_of(group, work.now_ms).state} and has no seat left"
    unwanted = await captured(deadlines, work, payment, ledger, event="pay_in_group")
    if unwanted is None:
        await _take(work, ledger, deadlines, group, seat)
    return unwanted


async def _take(work: Work, ledger: Ledger, deadlines: Deadlines, group: Group, seat: Seat) -> None:
    event: GroupEvent = "fill" if group.joined + 1 == group.size else "join"
    after = replace(group, state=advance_group(group, event), joined=group.joined + 1)
    await store.put_seat(work, replace(seat, paid_ms=work.now_ms))
    await store.put_group(work, after)
    if after.state == "formed":
        orders = await store.orders_in(work, after)
        await wait_no_more(work, after.tenant, orders)
        gathered = await lock_gathering(work, after.tenant, orders)
        paid = [await step(work, ledger, one, "fill", deadlines, "system") for one in gathered]
        await tell(work, [group_event(after), *(purchase_event(one) for one in paid)])


def group_event(group: Group) -> Event:
    """What those who watch are told of a group that is over."""
    data = {"promotion": group.promotion, "size": group.size, "joined": group.joined}
    return Event(group.tenant, f"group.{group.state}", group.group, data)
