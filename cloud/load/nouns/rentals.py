"""Rentals: what members have bought for the machines at their homes.

A book brings a rental once. From then on it lives here: what was paid for it and how far it is no book changes.
The deposit of one that has not ended is booked with it, as an opening: the payment that brought it is unknown here, so
it goes back into the wallet or by other means, and through no provider.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, get_args

from msgspec import Meta

from cloud import outcalls
from cloud.load.columns import FIRST, Fen, Id, Lasting, Moment, Sum, Text
from cloud.load.noun import Counted, Draft, Run, TableNoun, values_of
from cloud.machines.store import machines
from cloud.members.model import deposits
from cloud.members.opening import book_openings
from cloud.members.store import members
from cloud.products.store import products
from cloud.rentals.model import HELD, RentalState
from cloud.rentals.plan import PLAN
from cloud.rentals.store import find_holders, rentals

# These have a machine, and run since some moment.
_BEGUN: frozenset[RentalState] = frozenset({"running", "overdue", "dismantling"})


class RentalRow(Lasting, frozen=True, kw_only=True):
    """One rented machine."""

    rental: Annotated[Id, Meta(title="租赁编号", description="The rental's id, kept as it is.")]
    product: Annotated[Id, Meta(title="产品编号", description="What is rented.", extra_json_schema=FIRST)]
    member: Annotated[Id, Meta(title="会员编号", description="Who rents it.", extra_json_schema=FIRST)]
    name: Annotated[
        Text, Meta(title="名称", description="What is written on the order; a new one's is the product's.")
    ] = ""
    unit: Annotated[Id | None, Meta(title="所属机构", description="The dealer through whom it was rented.")] = None
    machine: Annotated[
        Id | None,
        Meta(
            title="设备编号",
            description="The machine at the member's home; empty: none is there yet.",
            extra_json_schema=FIRST,
        ),
    ] = None
    state: Annotated[
        RentalState,
        Meta(
            title="状态",
            description=f"One of {', '.join(get_args(RentalState))}; agreed: not begun.",
            extra_json_schema=FIRST,
        ),
    ] = "agreed"
    bought_days: Annotated[
        Sum, Meta(title="已购天数", description="Days paid for in all.", extra_json_schema=FIRST)
    ] = 0
    prepaid_ml: Annotated[
        Sum,
        Meta(
            title="已购水量（毫升）",
            description="Water paid for in all; above 0 it ends with the water.",
            extra_json_schema=FIRST,
        ),
    ] = 0
    minimum_ml_per_day: Annotated[
        Sum,
        Meta(title="每日最低水量（毫升）", description="What a day uses up in any case."),
    ] = 0
    deposit_fen: Annotated[
        Fen,
        Meta(
            title="押金（分）", description="The deposit that was paid; booked unless ended.", extra_json_schema=FIRST
        ),
    ] = 0
    withheld_fen: Annotated[
        Fen, Meta(title="扣留押金（分）", description="What of it was withheld at the end.", extra_json_schema=FIRST)
    ] = 0
    purchase: Annotated[
        Text, Meta(title="订单编号", description="The order with which it began, elsewhere.", extra_json_schema=FIRST)
    ] = ""
    began: Annotated[
        Moment | None, Meta(title="开始时间", description="Since when it runs.", extra_json_schema=FIRST)
    ] = None
    ends: Annotated[
        Moment | None, Meta(title="到期时间", description="Until when it is paid for.", extra_json_schema=FIRST)
    ] = None
    quit: Annotated[
        Moment | None, Meta(title="退租时间", description="When somebody quit it.", extra_json_schema=FIRST)
    ] = None
    quit_by: Annotated[Text, Meta(title="退租人", description="Who quit it.", extra_json_schema=FIRST)] = ""


class _Rentals(TableNoun[RentalRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[RentalRow]]) -> None:
        named = {draft.after.machine for draft in drafts if draft.after.machine}
        names = await values_of(run.work, products, brand, "product", {d.after.product for d in drafts}, "name")
        left = await values_of(run.work, members, brand, "member", {d.after.member for d in drafts}, "left_ms")
        retired = await values_of(run.work, machines, brand, "machine", named, "retired_ms")
        held = await find_holders(run.work, brand, named)
        for draft in drafts:
            row = draft.after
            if draft.before is None and "name" not in draft.given:
                draft.becomes(name=names[row.product])
            if problem := _problem(row):
                draft.object(*problem)
            elif row.state in HELD and left[row.member] is not None:
                draft.object("member", f"has left, and a rental that is {row.state} is somebody's")
            elif _holds(row) and retired[str(row.machine)] is not None:
                draft.object("machine", f"is out of service for good, and a rental that is {row.state} needs it")
            elif _holds(row) and held.setdefault(str(row.machine), row.rental) != row.rental:
                draft.object("machine", f"is held by the rental {held[str(row.machine)]!r}")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[RentalRow]]) -> None:
        await super().write(run, brand, drafts)
        new = [draft.after for draft in drafts if draft.before is None and draft.after.state in HELD]
        await book_openings(run.work, brand, {deposits(row.rental): row.deposit_fen for row in new})
        told = [draft.after.rental for draft in drafts if _holds(draft.after)]
        await outcalls.enqueue_all(run.work, brand, PLAN, told)

    def stored(self, brand: str, row: RentalRow) -> dict[str, Any]:
        """With the machine that it holds."""
        return super().stored(brand, row) | {"held_machine": row.machine if _holds(row) else None}

    def changed(self, brand: str, row: RentalRow) -> dict[str, Any]:
        """Without it, like the state that it follows from."""
        return {column: value for column, value in super().changed(brand, row).items() if column != "held_machine"}


def _holds(row: RentalRow) -> bool:
    return row.machine is not None and row.state in HELD


def _problem(row: RentalRow) -> tuple[str, str] | None:
    """The column at fault and what is wrong with it; None when the line is a rental."""
    if (row.until is not None) != (row.state == "ended"):
        return "until", "is said of a rental that has ended, and of no other"
    if row.state in _BEGUN and row.machine is None:
        return "machine", f"is missing: a rental that is {row.state} has one"
    if row.state in _BEGUN and row.began is None:
        return "began", f"is missing: a rental that is {row.state} has begun"
    if row.state == "agreed" and (row.machine is not None or row.began is not None):
        return "state", "a rental that is agreed has not begun, and has no machine"
    if row.withheld_fen > row.deposit_fen:
        return "withheld_fen", f"is more than the deposit of {row.deposit_fen} fen"
    return None


RENTALS = _Rentals(
    "rentals",
    "租赁",
    RentalRow,
    rentals,
    ("rental",),
    references={"product": "products", "member": "members", "unit": "units", "machine": "machines"},
    since="created_ms",
    until="ended_ms",
    born={"payment": lambda work: None},
    # They are counted with the orders, as `dated_number` mints them.
    counted=Counted("purchase", re.compile(r"[0-9]{8}[A-Z]{4}([0-9]{12})")),
)
