"""What each kind of fact does: one table from fact to use case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.events import Event
from cloud.machines.model import Origin
from cloud.machines.presence import Presence
from cloud.orders import restock, settle
from cloud.orders.books import Books
from cloud.tickets.model import Condition
from shared.messages import (
    AisleLockChanged,
    CommandAnswered,
    ConfigReported,
    DoorChanged,
    EpochBegan,
    Fact,
    FaultChanged,
    ReadingsLost,
    ReviewClosed,
    SellingChanged,
    StockCounted,
    StockLoaded,
    TemperatureBandChanged,
    VendDelivered,
    VendFailed,
    VendUnknown,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What facts may change, open in one unit of work."""

    books: Books
    presence: Presence
    answers: list[tuple[Origin, CommandAnswered]] = field(default_factory=list)


Use = Callable[[Scene, Origin, Any], None]


def apply(scene: Scene, origin: Origin, fact: Fact) -> None:
    """Let one fact take effect; raises FleetError, before anything has changed, when it cannot."""
    APPLY[type(fact)](scene, origin, fact)


def touches(fact: Fact) -> tuple[str | None, str | None]:
    """The order and the aisle whose rows the fact needs."""
    match fact:
        case VendDelivered() | VendFailed() | VendUnknown() | ReviewClosed():
            return fact.order, fact.aisle
        case StockLoaded() | StockCounted():
            return None, fact.aisle
        case _:
            return None, None


def _epoch_began(scene: Scene, origin: Origin, fact: EpochBegan) -> None:
    scene.presence.began(origin, fact)
    if fact.reason == "damaged":
        detail = f"the ledger {fact.previous} was damaged; it is kept on the machine: count the stock and confirm"
        scene.books.desk.open(Condition(origin.tenant, origin.machine, "ledger_damaged", "machine"), detail)
    _tell(scene, origin, "machine.epoch", {"epoch": origin.epoch, "reason": fact.reason})


def _vend_ended(scene: Scene, origin: Origin, fact: settle.VendEnd) -> None:
    settle.settle(scene.books, origin, fact)


def _review_closed(scene: Scene, origin: Origin, fact: ReviewClosed) -> None:
    settle.close_review(scene.books, origin, fact)


def _stock_loaded(scene: Scene, origin: Origin, fact: StockLoaded) -> None:
    restock.load(scene.books, origin, fact)
    _tell(scene, origin, "stock.loaded", {"aisle": fact.aisle, "goods": fact.goods, "quantity": fact.quantity})


def _stock_counted(scene: Scene, origin: Origin, fact: StockCounted) -> None:
    restock.count(scene.books, origin, fact)
    _tell(scene, origin, "stock.counted", {"aisle": fact.aisle, "goods": fact.goods, "counted": fact.counted})


def _command_answered(scene: Scene, origin: Origin, fact: CommandAnswered) -> None:
    scene.answers.append((origin, fact))
    data = {"machine": origin.machine, "done": fact.done, "detail": fact.detail}
    scene.books.announce(Event(origin.tenant, "command.answered", fact.command, data))


def _readings_lost(scene: Scene, origin: Origin, fact: ReadingsLost) -> None:
    _tell(scene, origin, "machine.readings_lost", {"count": fact.count})


def _fault_changed(scene: Scene, origin: Origin, fact: FaultChanged) -> None:
    scene.presence.fault(origin, fact)
    _follow(scene, Condition(origin.tenant, origin.machine, fact.code, fact.scope), fact.active, fact.detail)
    data = {"code": fact.code, "scope": fact.scope, "active": fact.active, "detail": fact.detail}
    _tell(scene, origin, "machine.fault", data)


def _aisle_lock_changed(scene: Scene, origin: Origin, fact: AisleLockChanged) -> None:
    scene.presence.lock(origin, fact)
    condition = Condition(origin.tenant, origin.machine, "aisle_locked", fact.aisle)
    _follow(scene, condition, fact.locked, f"aisle {fact.aisle}: {fact.reason}")
    _tell(scene, origin, "machine.aisle", {"aisle": fact.aisle, "locked": fact.locked, "reason": fact.reason})


def _door_changed(scene: Scene, origin: Origin, fact: DoorChanged) -> None:
    scene.presence.changed(origin, fact)
    _tell(scene, origin, "machine.door", {"open": fact.open})


def _temperature_changed(scene: Scene, origin: Origin, fact: TemperatureBandChanged) -> None:
    scene.presence.changed(origin, fact)
    condition = Condition(origin.tenant, origin.machine, "temperature", "machine")
    _follow(scene, condition, fact.band != "normal", f"the cabinet is {fact.band} ({fact.tenths_c} tenths of a degree)")
    _tell(scene, origin, "machine.temperature", {"band": fact.band, "tenths_c": fact.tenths_c})


def _selling_changed(scene: Scene, origin: Origin, fact: SellingChanged) -> None:
    scene.presence.changed(origin, fact)
    _tell(scene, origin, "machine.selling", {"selling": fact.selling, "reason": fact.reason})


def _config_reported(scene: Scene, origin: Origin, fact: ConfigReported) -> None:
    scene.presence.changed(origin, fact)
    condition = Condition(origin.tenant, origin.machine, "config_refused", "machine")
    _follow(scene, condition, fact.refused is not None, f"version {fact.refused}: {fact.reason}")
    _tell(scene, origin, "machine.config", {"version": fact.version, "refused": fact.refused})


def _follow(scene: Scene, condition: Condition, active: bool, detail: str) -> None:
    if active:
        scene.books.desk.open(condition, detail)
    else:
        scene.books.desk.clear(condition)


def _tell(scene: Scene, origin: Origin, kind: str, data: dict[str, Any]) -> None:
    scene.books.announce(Event(origin.tenant, kind, origin.machine, data))


APPLY: Mapping[type[Fact], Use] = {
    EpochBegan: _epoch_began,
    VendDelivered: _vend_ended,
    VendFailed: _vend_ended,
    VendUnknown: _vend_ended,
    StockLoaded: _stock_loaded,
    StockCounted: _stock_counted,
    ReviewClosed: _review_closed,
    CommandAnswered: _command_answered,
    ReadingsLost: _readings_lost,
    FaultChanged: _fault_changed,
    AisleLockChanged: _aisle_lock_changed,
    DoorChanged: _door_changed,
    TemperatureBandChanged: _temperature_changed,
    SellingChanged: _selling_changed,
    ConfigReported: _config_reported,
}
