"""What is asked and told of machines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from cloud.facades.dialect import Wire
from cloud.facades.native.shapes import Id, Name, Note, PageFilter, Price, Told
from cloud.ingest.browse import StreamSeen
from cloud.machines.browse import MachineSeen, ReadingSeen
from cloud.machines.model import AisleLock, CommandState, Fault
from cloud.stock.model import Balance, MovementKind
from shared.messages import AisleConfig, MachineConfig

# --- asked ---

Version = Annotated[int, Field(ge=0, le=2**53)]


class MachineAsk(Wire):
    machine: Id | None = None
    name: Name
    place: Note = ""


class MachineChange(Wire):
    name: Name
    place: Note


class MachineFilter(PageFilter):
    search: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    online: bool | None = None
    selling: bool | None = None
    faulty: bool | None = None


class HistoryFilter(PageFilter):
    kind: Id | None = None


class MovementFilter(PageFilter):
    aisle: Id | None = None


class FaultFilter(PageFilter):
    machine: Id | None = None
    active: bool | None = None


class CommandFilter(PageFilter):
    machine: Id | None = None
    state: CommandState | None = None


class AisleWire(Wire):
    """One sellable position. `board` counts from 1 on its bus, `motor` from 0 on its board."""

    aisle: Id
    board: Annotated[int, Field(ge=1, le=4)]
    motor: Annotated[int, Field(ge=0, le=99)]
    goods: Id
    price_fen: Price
    capacity: Annotated[int, Field(ge=0, le=1_000)]
    name: Note = ""
    for_sale: bool = True

    def config(self) -> AisleConfig:
        return AisleConfig(**self.model_dump())

    @classmethod
    def of(cls, aisle: AisleConfig) -> Self:
        return cls(**{name: getattr(aisle, name) for name in cls.model_fields})


Celsius = Annotated[int, Field(ge=-400, le=1200)] | None


class PlanogramWire(Wire):
    """What lies where and what it costs. Temperatures in tenths of a degree Celsius."""

    version: Version
    aisles: Annotated[list[AisleWire], Field(max_length=400)]
    drop_sensor: bool = True
    temperature_low_tenths_c: Celsius = None
    temperature_high_tenths_c: Celsius = None

    @classmethod
    def of(cls, config: MachineConfig | None) -> Self:
        if config is None:
            return cls(version=0, aisles=[])
        return cls(
            version=config.version,
            aisles=[AisleWire.of(aisle) for aisle in config.aisles],
            drop_sensor=config.drop_sensor,
            temperature_low_tenths_c=config.temperature_low_tenths_c,
            temperature_high_tenths_c=config.temperature_high_tenths_c,
        )


class PricesWire(Wire):
    """Prices in fen, by aisle."""

    version: Version
    prices: Annotated[dict[Id, Price], Field(min_length=1, max_length=400)]

    @classmethod
    def of(cls, config: MachineConfig) -> Self:
        return cls(version=config.version, prices={aisle.aisle: aisle.price_fen for aisle in config.aisles})


class LoadAsk(Wire):
    quantity: Annotated[int, Field(ge=-1_000, le=1_000)]


class CountAsk(Wire):
    counted: Annotated[int, Field(ge=0, le=1_000)]


class LockAsk(Wire):
    locked: bool
    reason: Note = ""


class SellingAsk(Wire):
    selling: bool
    reason: Note = ""


# --- told ---


class MachineTold(Told):
    """A machine as a list shows it. `online` is what can be relied on now; the state's fields are the last known."""

    machine: str
    name: str
    place: str
    claimed_ms: int | None
    revoked_ms: int | None
    registered_ms: int
    online: bool
    last_seen_ms: int
    selling: bool | None
    selling_reason: str | None
    active_faults: int
    config_version: int | None

    @classmethod
    def of(cls, seen: MachineSeen) -> Self:
        return cls(**_summary(seen))


class FaultTold(Told):
    machine: str
    code: str
    scope: str
    active: bool
    detail: str
    since_ms: int


class StreamTold(Told):
    epoch: str
    applied: int
    opened_ms: int
    closed_ms: int | None


class ReadingTold(Told):
    """The newest value of one sensor, in thousandths of `unit`."""

    sensor: str
    unit: str
    value: int
    wall_ms: int
    received_ms: int


class MachineDetail(MachineTold):
    """One machine as far as it has told; null: it has not said."""

    epoch: str | None
    software: str | None
    door_open: bool | None
    temperature_band: str | None
    temperature_tenths_c: int | None
    config_refused: int | None
    config_reason: str | None
    next_seq: int | None
    faults: list[FaultTold]
    streams: list[StreamTold]
    readings: list[ReadingTold]

    @classmethod
    def of_parts(
        cls, seen: MachineSeen, faults: Iterable[Fault], streams: Iterable[StreamSeen], readings: Iterable[ReadingSeen]
    ) -> Self:
        state = seen.state
        return cls(
            **_summary(seen),
            epoch=state.epoch,
            software=state.software,
            door_open=state.door_open,
            temperature_band=state.temperature_band,
            temperature_tenths_c=state.temperature_tenths_c,
            config_refused=state.config_refused,
            config_reason=state.config_reason,
            next_seq=state.next_seq,
            faults=[FaultTold.model_validate(fault) for fault in faults],
            streams=[StreamTold.model_validate(stream) for stream in streams],
            readings=[ReadingTold.model_validate(reading) for reading in readings],
        )


class CredentialTold(Told):
    """A machine's secret, 64 hex digits, answered once. Login and client id at the broker are the machine's id."""

    machine: str
    secret: str
    credential_version: int


class FactTold(Told):
    """One fact. `happened_ms` is the cloud's reckoning of when; `wall_ms` is the machine's own label."""

    machine: str
    epoch: str
    seq: int
    kind: str
    order: str | None
    boot_id: str
    wall_ms: int
    clock_state: str
    received_ms: int
    happened_ms: int
    body: dict[str, Any]


class AisleTold(Told):
    """One aisle: `on_hand` items lie in it, `held` of them wait for a decision, `sellable` can be sold."""

    aisle: str
    name: str
    goods: str
    price_fen: int
    capacity: int
    for_sale: bool
    on_hand: int
    held: int
    sellable: int
    locked: bool
    lock_reason: str

    @classmethod
    def of(cls, aisle: AisleConfig, balance: Balance | None, lock: AisleLock | None) -> Self:
        return cls(
            aisle=aisle.aisle,
            name=aisle.name,
            goods=aisle.goods,
            price_fen=aisle.price_fen,
            capacity=aisle.capacity,
            for_sale=aisle.for_sale,
            on_hand=balance.on_hand if balance else 0,
            held=balance.held if balance else 0,
            sellable=balance.sellable if balance else 0,
            locked=lock.locked if lock else False,
            lock_reason=lock.reason if lock else "",
        )


class MovementTold(Told):
    source: str
    aisle: str
    goods: str
    kind: MovementKind
    on_hand_delta: int
    held_delta: int
    person: str
    at_ms: int


class CommandTold(Told):
    command: str
    machine: str
    kind: str
    state: CommandState
    detail: str
    asked_by: str
    asked_ms: int
    answered_ms: int | None


class CommandRef(Told):
    """The machine is being asked; GET /commands tells what became of it."""

    command: str
    state: Literal["waiting"] = "waiting"


def _summary(seen: MachineSeen) -> dict[str, Any]:
    machine, state = seen.machine, seen.state
    return {
        "machine": machine.machine,
        "name": machine.name,
        "place": machine.place,
        "claimed_ms": machine.claimed_ms,
        "revoked_ms": machine.revoked_ms,
        "registered_ms": machine.registered_ms,
        "online": seen.online,
        "last_seen_ms": state.last_seen_ms,
        "selling": state.selling,
        "selling_reason": state.selling_reason,
        "active_faults": seen.active_faults,
        "config_version": state.config_version,
    }
