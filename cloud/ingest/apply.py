"""What each kind of fact does: one table from fact to use case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.database import Work
from cloud.events import Event
from cloud.machines.commands import note_answers
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, Origin
from cloud.machines.presence import Presence
from cloud.orders import restock, settle
from cloud.orders.books import Books
from cloud.stock.warehouse import follow_answers
from cloud.tickets.model import Condition
from cloud.water import settle as water
from cloud.water.pours import Pours
from cloud.water.purifiers import Purifiers
from shared.messages import (
    AisleLockChanged,
    CommandAnswered,
    ConfigReported,
    DoorChanged,
    EpochBegan,
    Fact,
    FaultChanged,
    FilterChanged,
    FilterConditionChanged,
    MeterCalibrated,
    PourEnded,
    PourRefused,
    ReadingsLost,
    ReviewClosed,
    SellingChanged,
    StockCounted,
    StockLoaded,
    TemperatureBandChanged,
    VendDelivered,
    VendFailed,
    VendUnknown,
    VisitRecorded,
    WaterLeaked,
    WaterQualityChanged,
)


@dataclass(frozen=True, slots=True)
class Touched:
    """Whose rows a fact or a claim needs: what is None is not touched."""

    order: str | None = None
    aisle: str | None = None
    pour: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What facts may change, open in one unit of work."""

    books: Books
    pours: Pours
    presence: Presence
    purifiers: Purifiers
    machines: Mapping[str, Machine]
    credentials: Credentials
    answers: list[tuple[Origin, CommandAnswered]] = field(default_factory=list)

    @classmethod
    async def open(
        cls,
        work: Work,
        credentials: Credentials,
        machines: Mapping[str, Machine],
        touched: Iterable[tuple[Machine, Touched]],
    ) -> Scene:
        """Read and lock what is touched, and the states of those machines."""
        needs = list(touched)
        presence = Presence(work)
        await presence.load((machine.tenant, machine.machine) for machine, _ in needs)
        books = await Books.open(
            work,
            orders={(of.tenant, what.order) for of, what in needs if what.order is not None},
            aisles={(of.tenant, of.machine, what.aisle) for of, what in needs if what.aisle is not None},
        )
        pours = await Pours.open(books, {(of.tenant, what.pour) for of, what in needs if what.pour is not None})
        return cls(books, pours, presence, Purifiers(pours), machines, credentials)

    async def write(self) -> None:
        """Write everything, in the house's lock order."""
        await self.presence.write()
        await note_answers(self.books.work, self.answers)
        await follow_answers(self.books.work, self.answers)
        await self.pours.write()
        await self.purifiers.write()
        await self.books.write()


Use = Callable[[Scene, Origin, Any], None]


def apply(scene: Scene, origin: Origin, fact: Fact) -> None:
    """Let one fact take effect; raises FleetError, before anything has changed, when it cannot."""
    APPLY[type(fact)](scene, origin, fact)


def touches(fact: Fact) -> Touched:
    """What the fact needs."""
    match fact:
        case VendDelivered() | VendFailed() | VendUnknown() | ReviewClosed():
            return Touched(order=fact.order, aisle=fact.aisle)
        case StockLoaded() | StockCounted():
            return Touched(aisle=fact.aisle)
        case PourEnded() | PourRefused():
            return Touched(pour=fact.order)
        case _:
            return Touched()


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


def _pour_ended(scene: Scene, origin: Origin, fact: PourEnded) -> None:
    water.settle(scene.pours, origin, fact)


def _pour_refused(scene: Scene, origin: Origin, fact: PourRefused) -> None:
    water.refuse(scene.pours, origin, fact)


def _water_leaked(scene: Scene, origin: Origin, fact: WaterLeaked) -> None:
    scene.purifiers.leaked(origin, fact)
    _tell(scene, origin, "machine.leak", {"leaked_ml": fact.leaked_ml})


def _filter_changed(scene: Scene, origin: Origin, fact: FilterChanged) -> None:
    scene.purifiers.filter_changed(origin, fact)
    data = {"position": fact.position, "name": fact.name, "litres": fact.litres, "person": fact.person}
    _tell(scene, origin, "machine.filter_changed", data)


def _filter_condition_changed(scene: Scene, origin: Origin, fact: FilterConditionChanged) -> None:
    scene.purifiers.filter_condition(origin, fact)
    data = {"position": fact.position, "condition": fact.condition, "percent_left": fact.percent_left}
    _tell(scene, origin, "machine.filter", data)


def _water_quality_changed(scene: Scene, origin: Origin, fact: WaterQualityChanged) -> None:
    scene.purifiers.quality(origin, fact)
    data = {"fit": fact.fit, "tds_in_ppm": fact.tds_in_ppm, "tds_out_ppm": fact.tds_out_ppm, "reason": fact.reason}
    _tell(scene, origin, "machine.water", data)


def _meter_calibrated(scene: Scene, origin: Origin, fact: MeterCalibrated) -> None:
    scene.purifiers.calibrated(origin, fact)
    data = {"meter": fact.meter, "pulses_per_litre_milli": fact.pulses_per_litre_milli, "person": fact.person}
    _tell(scene, origin, "machine.calibrated", data)


def _visit_recorded(scene: Scene, origin: Origin, fact: VisitRecorded) -> None:
    scene.purifiers.visited(origin, fact, scene.machines[origin.machine], scene.credentials)


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
    PourEnded: _pour_ended,
    PourRefused: _pour_refused,
    WaterLeaked: _water_leaked,
    FilterChanged: _filter_changed,
    FilterConditionChanged: _filter_condition_changed,
    WaterQualityChanged: _water_quality_changed,
    MeterCalibrated: _meter_calibrated,
    VisitRecorded: _visit_recorded,
}
