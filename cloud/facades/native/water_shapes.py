"""What is asked and told of water: pours, litres, purifiers. Volumes in ml, times in ms unless the name says hours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

import msgspec
from pydantic import Field

from cloud.facades.dialect import Wire
from cloud.facades.native.machine_shapes import Version
from cloud.facades.native.members import PostingTold
from cloud.facades.native.order_shapes import Happening, RefundTold, happening_of, returned
from cloud.facades.native.shapes import Id, Moment, Name, Note, PageFilter, Price, Told
from cloud.facades.native.tickets import TicketTold
from cloud.ingest.browse import FactSeen
from cloud.orders.browse import RefundSeen
from cloud.tickets.model import Ticket
from cloud.water.browse import PourFilter as Wanted
from cloud.water.condition import PurifierCondition
from cloud.water.model import FilterCondition, FlowKind, NoSale, Pour, PourState
from shared.messages import MachineConfig, Means, Source
from shared.water import PurifierConfig, ServiceMode, TimerMode, Warmth

# One cubic metre, as on the wire to the machine.
Volume = Annotated[int, Field(ge=0, le=1_000_000)]

# --- asked ---


class OutletWire(Wire):
    """One temperature choice: the relay that opens its valve, and what a litre costs in fen."""

    warmth: Warmth
    relay: Annotated[int, Field(ge=1, le=32)]
    price_fen_per_litre: Price = 0
    nominal_ml_per_s: Annotated[int, Field(ge=1, le=2_000)] = 30


class FilterWire(Wire):
    """One cartridge and how long it serves; `litres_max` null: litres do not end it."""

    position: Annotated[int, Field(ge=1, le=20)]
    name: Name
    timer_mode: TimerMode = "both"
    lifetime_hours: Annotated[int, Field(ge=0, le=200_000)]
    worklife_hours: Annotated[int, Field(ge=0, le=200_000)]
    litres_max: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    warn_percent: Annotated[int, Field(ge=0, le=50)] = 10


class PlanWire(Wire):
    """Under which terms water is given. A plan with another id starts counting from zero."""

    plan: Id
    mode: ServiceMode
    began_wall_ms: Moment = 0
    ends_wall_ms: Moment | None = None
    prepaid_ml: Annotated[int, Field(ge=0, le=2**53)] = 0
    minimum_ml_per_day: Volume = 0


class LimitsWire(Wire):
    """What ends a pour or forbids the next one; `stop_when_unfit`: filters past their end or TDS stop the sale."""

    pour_ml_max: Volume = 20_000
    pour_ms_max: Annotated[int, Field(ge=1_000, le=1_800_000)] = 300_000
    stall_ms: Annotated[int, Field(ge=500, le=60_000)] = 3_000
    leak_ml: Volume = 50
    tds_ppm_max: Annotated[int, Field(ge=1, le=5_000)] = 100
    stop_when_unfit: bool = True


class PurifierWire(Wire):
    """What makes a machine a purifier; `version` is the configuration's."""

    version: Version
    outlets: Annotated[list[OutletWire], Field(min_length=1, max_length=8)]
    plan: PlanWire
    filters: Annotated[list[FilterWire], Field(max_length=20, default_factory=list)]
    limits: LimitsWire = LimitsWire()

    def config(self) -> PurifierConfig:
        return msgspec.convert(self.model_dump(exclude={"version"}), PurifierConfig)

    @classmethod
    def of(cls, config: MachineConfig) -> Self:
        purifier = msgspec.to_builtins(config.purifier)
        return cls.model_validate({"version": config.version, **purifier}, strict=False)


class PourAsk(Wire):
    member: Id
    machine: Id
    outlet: Warmth
    asked_ml: Annotated[int, Field(ge=1, le=1_000_000)]


class PourFilter(PageFilter):
    """Which pours. Times in ms: from `placed_from_ms` on, before `placed_before_ms`."""

    state: PourState | None = None
    machine: Id | None = None
    member: Id | None = None
    source: Source | None = None
    plan: Id | None = None
    placed_from_ms: Moment | None = None
    placed_before_ms: Moment | None = None

    def wanted(self) -> Wanted:
        return Wanted(**{name: getattr(self, name) for name in Wanted.__dataclass_fields__})


class VolumeAsk(Wire):
    """The volume that is charged, decided by a person."""

    poured_ml: Volume
    reason: Note


class VisitFilter(PageFilter):
    machine: Id | None = None
    genuine: bool | None = None


# --- told ---


class PourTold(Told):
    """One pour. `poured_ml` is null until the machine has said, and what its meter made of it while in review."""

    order: str
    machine: str
    outlet: Warmth
    asked_ml: int
    poured_ml: int | None
    price_fen_per_litre: int
    paid_fen: int
    charged_fen: int
    refunded_fen: int
    member: str | None
    source: Source
    means: Means
    plan: str | None
    state: PourState
    placed_ms: int
    deadline_ms: int | None
    claimed_ms: int | None
    ended_ms: int | None
    reason: str | None
    written_off: bool
    decided_by: str | None


class FlowTold(Told):
    """One line of a machine's litres: its four volumes add up to what the meter counted with it."""

    source: str
    kind: FlowKind
    order: str | None
    plan: str | None
    sold_ml: int
    given_ml: int
    leaked_ml: int
    doubtful_ml: int
    at_ms: int


class PourStory(Told):
    pour: PourTold
    timeline: list[Happening]
    flows: list[FlowTold]
    postings: list[PostingTold]
    refunds: list[RefundTold]
    tickets: list[TicketTold]


class FilterTold(Told):
    position: int
    name: str
    condition: FilterCondition
    percent_left: int
    since_ms: int


class QualityTold(Told):
    """Whether the water is fit to be given; readings in ppm, null: the sensor is silent."""

    fit: bool
    tds_in_ppm: int | None
    tds_out_ppm: int | None
    reason: str
    since_ms: int


class ConditionTold(Told):
    """A purifier as it is now. `no_sale`: why it gives no water; empty: it does. `left_ml`: of a metered plan."""

    plan: str
    mode: ServiceMode
    ends_wall_ms: int | None
    used_ml: int
    left_ml: int | None
    filters: list[FilterTold]
    quality: QualityTold | None
    no_sale: list[NoSale]

    @classmethod
    def of(cls, found: PurifierCondition) -> Self:
        return cls(
            plan=found.plan.plan,
            mode=found.plan.mode,
            ends_wall_ms=found.plan.ends_wall_ms,
            used_ml=found.used_ml,
            left_ml=found.left_ml,
            filters=[FilterTold.model_validate(state) for state in found.filters],
            quality=None if found.water is None else QualityTold.model_validate(found.water),
            no_sale=list(found.no_sale),
        )


class FilterChangeTold(Told):
    """A cartridge was changed; the old one had served this long."""

    position: int
    name: str
    powered_hours: int
    worked_hours: int
    litres: int
    person: str
    at_ms: int


class CalibrationTold(Told):
    """A meter's factor, in thousandths of a pulse per litre; `spread_ppm`: how far the runs lay apart."""

    meter: str
    pulses_per_litre_milli: int
    spread_ppm: int
    runs: int
    person: str
    at_ms: int


class VisitTold(Told):
    """A person was at a machine. `genuine`: the record bears the machine's seal; `began_wall_ms` is its own label."""

    machine: str
    visit: str
    person: str
    began_wall_ms: int
    duration_ms: int
    actions: list[str]
    genuine: bool
    at_ms: int


def timeline_of(
    pour: Pour, facts: Iterable[FactSeen], refunds: Iterable[RefundSeen], tickets: Iterable[Ticket]
) -> list[Happening]:
    """What happened to a pour, oldest first, from what is kept for ever."""
    moments = [Happening(at_ms=pour.placed_ms, what="placed", detail={"source": pour.source, "means": pour.means})]
    if pour.claimed_ms is not None:
        moments.append(Happening(at_ms=pour.claimed_ms, what="claimed", detail={"machine": pour.machine}))
    if pour.ended_ms is not None:
        detail: dict[str, Any] = {"reason": pour.reason, "decided_by": pour.decided_by}
        moments.append(Happening(at_ms=pour.ended_ms, what=pour.state, detail=detail))
    moments += [happening_of(fact) for fact in facts]
    moments += [returned(given) for given in refunds]
    moments += [Happening(at_ms=t.opened_ms, what="ticket_opened", detail={"ticket": t.ticket}) for t in tickets]
    return sorted(moments, key=lambda moment: moment.at_ms)
