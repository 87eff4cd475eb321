"""Every message between a machine and the cloud, as frozen types.

*Facts* go up with a number and are settled once. *Offers*, *grants* and *commands* go down. What travels is JSON; a
message is told from its neighbours by its `type`. Unknown fields are ignored (an older reader must survive a newer
writer), unknown types are refused (they go to quarantine, where a newer reader can replay them).

Money is fen, time is milliseconds, current is mA, temperature is tenths of a degree Celsius.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from shared.fields import Amount as Amount
from shared.fields import Count as Count
from shared.fields import Id as Id
from shared.fields import Number as Number
from shared.fields import Text as Text
from shared.fields import Volume as Volume
from shared.water import PurifierConfig, Warmth, purifier_problems

# What may be dropped. ledger: nothing, ever. state: older values of a key. reading: the oldest, counted.
DropClass = Literal["ledger", "state", "reading"]

# order: bought in an app, paid from escrow. button: started on the machine and paid there; card and scan were read by a
# reader at the machine, which has the money before it presses.
Source = Literal["order", "button"]
Means = Literal["escrow", "coin", "note", "card", "scan", "free"]

# Why a vend delivered nothing, or why nobody can say. Reasons before motion carry no transaction number.
FailReason = Literal[
    "void",  # the cloud withdrew the order before it was granted
    "late_grant",  # no grant in time, or one that was too old, of another boot or not genuine
    "aisle_closed",  # the aisle is locked, unknown, or empty
    "not_selling",  # the machine may not sell now: door open, temperature, disk, no configuration
    "refused",  # the board does not have such a motor
    "never_began",  # the board proves that the motor never turned
    "jam",  # over-current before the spiral can have let anything go
    "open_motor",  # no current: motor absent or wire broken
]
UnknownReason = Literal[
    "nothing_seen",  # the motor may have turned far enough, the drop sensor saw nothing: it may be blind
    "board_reset",  # the board lost its memory between start and result
    "board_silent",  # the board did not answer until the deadline
    "no_proof",  # idle after a start whose answer was lost, and the board cannot prove that it never began
    "motor_fault",  # a motor fault without a drop sensor to say whether something fell
]
BoardResult = Literal["ok", "over_current", "open", "no_stop_signal"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One start of one motor and what the board said of it."""

    txn: Number
    aisle: Id
    outcome: Literal["delivered", "failed", "unknown"]
    result: BoardResult | None = None
    drop_seen: bool | None = None
    max_current_ma: Count = 0
    avg_current_ma: Count = 0
    run_time_ms: Count = 0


class _Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all facts."""


class EpochBegan(_Fact, frozen=True, kw_only=True, tag="epoch_began"):
    """The first fact of a ledger file: why there is a new one."""

    reason: Literal["new", "damaged"]
    previous: Id | None = None
    software: Text = ""


class _VendEnd(_Fact, frozen=True, kw_only=True):
    order: Id
    aisle: Id
    goods: Id
    price_fen: Amount
    source: Source
    means: Means
    paid_fen: Amount = 0
    txn: Number | None = None
    config_version: Number = 0
    attempts: tuple[Attempt, ...] = ()


class VendDelivered(_VendEnd, frozen=True, kw_only=True, tag="vend_delivered"):
    """Exactly one item of `aisle` was delivered for `order`; its stock is consumed by this fact."""


class VendFailed(_VendEnd, frozen=True, kw_only=True, tag="vend_failed"):
    """Nothing was delivered, and nothing will ever be: the order can never start here again."""

    reason: FailReason


class VendUnknown(_VendEnd, frozen=True, kw_only=True, tag="vend_unknown"):
    """Nobody can prove whether something was delivered: money and item stay held until a person decides."""

    reason: UnknownReason


# Why a pour ended where it ended.
PourReason = Literal[
    "target",  # what was asked for has flowed
    "stopped",  # a person ended it
    "stalled",  # the valve was open and nothing flowed any more
    "max_time",  # the limit of time
    "max_volume",  # the limit of volume
    "valve_stuck",  # the relay did what it was told and the water did not follow
    "power_lost",  # the agent died; the relay's own timer shut the valve, the totaliser tells how much flowed
    "meter_lost",  # the flow meter did not answer; the relay was shut at once
    "valve_lost",  # the valve's relay did not answer; its own timer shut it, or nothing ever opened it
]


class PourEnded(_Fact, frozen=True, kw_only=True, tag="pour_ended"):
    """A pour is over: `poured_ml` flowed, and that is what is charged. `poured_ml` 0: nothing flowed, nothing is owed.

    `totaliser_before` and `totaliser_after` are the meter's own count in its own unit (pulses or millilitres as the
    device profile says); `certain` is false when the count between them cannot be trusted: then a person decides, and
    `doubt` tells him why, in a sentence of the machine (None of older software).
    """

    order: Id
    outlet: Warmth
    source: Source
    means: Means
    asked_ml: Volume
    poured_ml: Volume
    price_fen_per_litre: Amount
    charged_fen: Amount
    paid_fen: Amount = 0
    reason: PourReason
    certain: bool = True
    doubt: Text | None = None
    txn: Number
    plan: Id | None = None
    totaliser_before: Number = 0
    totaliser_after: Number = 0
    overrun_ml: int = 0
    config_version: Number = 0


class PourRefused(_Fact, frozen=True, kw_only=True, tag="pour_refused"):
    """An order for water that was claimed and can never be poured here: nothing flowed."""

    order: Id
    reason: Literal["void", "late_grant", "not_selling", "plan_ended", "unfit"]


class WaterLeaked(_Fact, frozen=True, kw_only=True, tag="water_leaked"):
    """`leaked_ml` flowed while every valve was told to be shut."""

    leaked_ml: Volume


class FilterChanged(_Fact, frozen=True, kw_only=True, tag="filter_changed"):
    """A person put a new cartridge in; the old one had served this long."""

    position: Count
    name: Text
    powered_hours: Number
    worked_hours: Number
    litres: Number
    person: Text = ""


class FilterConditionChanged(_Fact, frozen=True, kw_only=True, tag="filter_condition_changed"):
    """How much life a cartridge has left. near_end: order one. past_end: no sale, if so set."""

    position: Count
    name: Text
    condition: Literal["good", "near_end", "past_end"]
    percent_left: Annotated[int, msgspec.Meta(ge=0, le=100)]


class WaterQualityChanged(_Fact, frozen=True, kw_only=True, tag="water_quality_changed"):
    """Whether the water is fit to be given, with the readings that decided it (ppm; None: the sensor is silent)."""

    fit: bool
    tds_in_ppm: Count | None = None
    tds_out_ppm: Count | None = None
    reason: Text = ""


class MeterCalibrated(_Fact, frozen=True, kw_only=True, tag="meter_calibrated"):
    """A person measured a pour and set the meter's factor; `spread_ppm` is how far the runs lay apart."""

    meter: Id
    pulses_per_litre_milli: Number
    spread_ppm: Number
    runs: Count
    person: Text = ""


class VisitRecorded(_Fact, frozen=True, kw_only=True, tag="visit_recorded"):
    """A person was at the machine: when (by the boot clock), and what was done, sealed by the machine."""

    visit: Id
    person: Text
    began_wall_ms: int
    duration_ms: Number
    actions: tuple[Text, ...] = ()
    mac: Annotated[str, msgspec.Meta(max_length=64)]


class StockLoaded(_Fact, frozen=True, kw_only=True, tag="stock_loaded"):
    """`quantity` items were put into an aisle; negative when taken out. `on_hand` is the balance after it."""

    aisle: Id
    goods: Id
    quantity: Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)]
    on_hand: Count
    person: Text = ""
    command: Id | None = None


class StockCounted(_Fact, frozen=True, kw_only=True, tag="stock_counted"):
    """A person counted `counted` items where the ledger expected `expected`; the ledger now says `counted`."""

    aisle: Id
    goods: Id
    counted: Count
    expected: Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)]
    person: Text = ""
    command: Id | None = None


class ReviewClosed(_Fact, frozen=True, kw_only=True, tag="review_closed"):
    """A person decided what became of an unknown vend, and the machine's stock followed.

    counted_before: a count since the vend has settled the stock of its aisle already, so no stock moves with this.
    """

    order: Id
    aisle: Id
    goods: Id
    delivered: bool
    counted_before: bool = False
    command: Id | None = None


class CommandAnswered(_Fact, frozen=True, kw_only=True, tag="command_answered"):
    """What became of a command; written in the transaction of its effects."""

    command: Id
    done: bool
    detail: Text = ""


class ReadingsLost(_Fact, frozen=True, kw_only=True, tag="readings_lost"):
    """`count` measurements were dropped because the buffer was full."""

    count: Number


class FaultChanged(_Fact, frozen=True, kw_only=True, tag="fault_changed"):
    """A condition that stops or limits service began or ended. `scope` is an aisle, `board-1`, or `machine`."""

    code: Id
    scope: Id
    active: bool
    detail: Text = ""


class AisleLockChanged(_Fact, frozen=True, kw_only=True, tag="aisle_lock_changed"):
    """An aisle was closed for sale, or opened again."""

    aisle: Id
    locked: bool
    reason: Text = ""


class DoorChanged(_Fact, frozen=True, kw_only=True, tag="door_changed"):
    """The cabinet door was opened or shut."""

    open: bool


class TemperatureBandChanged(_Fact, frozen=True, kw_only=True, tag="temperature_band_changed"):
    """The cabinet entered a temperature band; `tenths_c` is the reading that decided it, absent for a sensor fault."""

    band: Literal["cold", "normal", "warm", "sensor_fault"]
    tenths_c: Annotated[int, msgspec.Meta(ge=-1000, le=2000)] | None = None


class SellingChanged(_Fact, frozen=True, kw_only=True, tag="selling_changed"):
    """Whether the machine may sell, and if not, why."""

    selling: bool
    reason: Text = ""


class ConfigReported(_Fact, frozen=True, kw_only=True, tag="config_reported"):
    """Which configuration the machine acts on; `refused` names one that it would not take, with the reason."""

    version: Number
    refused: Number | None = None
    reason: Text = ""


LedgerFact = (
    EpochBegan
    | VendDelivered
    | VendFailed
    | VendUnknown
    | StockLoaded
    | StockCounted
    | ReviewClosed
    | CommandAnswered
    | ReadingsLost
    | PourEnded
    | PourRefused
    | WaterLeaked
    | FilterChanged
    | MeterCalibrated
    | VisitRecorded
)
StateFact = (
    FaultChanged
    | AisleLockChanged
    | DoorChanged
    | TemperatureBandChanged
    | SellingChanged
    | ConfigReported
    | FilterConditionChanged
    | WaterQualityChanged
)
Fact = LedgerFact | StateFact


def drop_class(fact: Fact) -> DropClass:
    """Which facts may be compacted: state facts, and no others."""
    return "state" if isinstance(fact, StateFact) else "ledger"


def state_key(fact: StateFact) -> str:
    """Two state facts with one key describe one thing; only the later one matters."""
    match fact:
        case FaultChanged():
            return f"fault/{fact.code}/{fact.scope}"
        case AisleLockChanged():
            return f"aisle/{fact.aisle}"
        case DoorChanged():
            return "door"
        case TemperatureBandChanged():
            return "temperature"
        case SellingChanged():
            return "selling"
        case ConfigReported():
            return "config"
        case FilterConditionChanged():
            return f"filter/{fact.position}"
        case WaterQualityChanged():
            return "water"


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement; `value` in thousandths of `unit`."""

    sensor: Id
    unit: Text
    value: Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]
    wall_ms: int


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of measurements: sent once, lost if lost."""

    boot_id: Id
    readings: Annotated[tuple[Reading, ...], msgspec.Meta(max_length=500)]


# --- the live dialogue of one vend: never stored in the outbox, repeated until answered or too late ---


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Said after every connect and every few minutes: who is here and what it still holds."""

    machine: Id
    epoch: Id
    boot_id: Id
    next_seq: Number
    oldest_seq: Number
    config_version: Number
    software: Text
    selling: bool = True
    wall_ms: int = 0


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The last will: the broker says it when the machine's connection dies. It carries no money meaning."""

    machine: Id


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """An order looks for its machine. Not binding; repeated until claimed or refunded."""

    order: Id
    aisle: Id
    goods: Id
    price_fen: Amount


class PourOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An order for water looks for its machine: like an offer, with a volume instead of an aisle.

    `hold_fen` is what the buyer's escrow holds; what is charged in the end is what flowed, and never more.
    """

    order: Id
    outlet: Warmth
    asked_ml: Volume
    price_fen_per_litre: Amount
    hold_fen: Amount


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The machine is idle and would carry out `order` now."""

    order: Id
    nonce: Id
    boot_id: Id
    epoch: Id


class Grant(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="grant"):
    """The order is the machine's, if the grant arrives in time: `mac` is `seal.seal_grant`."""

    order: Id
    nonce: Id
    boot_id: Id
    mac: Annotated[str, msgspec.Meta(max_length=64)]


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """The order is not to be carried out. void: too late, refunded once the machine says so. no: nothing to grant."""

    order: Id
    nonce: Id
    verdict: Literal["void", "no"]


class Watermark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything of `epoch` up to `applied` is committed in the cloud. `resend`: a number came without its forerunner.

    `incarnation` names the cloud's database; after a restore from a backup it changes and `applied` may be lower.
    """

    epoch: Id
    applied: Number
    incarnation: Id
    resend: bool = False


# --- commands ---


class _Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all that a command may ask."""


class ApplyConfig(_Order, frozen=True, kw_only=True, tag="apply_config"):
    """Take a new configuration: `document` is the JSON text of a `MachineConfig`, `mac` its `seal.seal_config`."""

    version: Number
    document: Annotated[str, msgspec.Meta(max_length=200_000)]
    mac: Annotated[str, msgspec.Meta(max_length=64)]


class LoadStock(_Order, frozen=True, kw_only=True, tag="load_stock"):
    """Book `quantity` items into (or, negative, out of) an aisle."""

    aisle: Id
    quantity: Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)]
    person: Text = ""


class CountStock(_Order, frozen=True, kw_only=True, tag="count_stock"):
    """Book the counted number of items of an aisle."""

    aisle: Id
    counted: Count
    person: Text = ""


class SetAisleLock(_Order, frozen=True, kw_only=True, tag="set_aisle_lock"):
    """Close an aisle for sale, or open it."""

    aisle: Id
    locked: bool
    reason: Text = ""


class CloseReview(_Order, frozen=True, kw_only=True, tag="close_review"):
    """A person decided an unknown vend: `delivered` consumes the held item, otherwise it returns to stock."""

    order: Id
    delivered: bool


class SetSelling(_Order, frozen=True, kw_only=True, tag="set_selling"):
    """Stop the machine from selling, or let it sell again."""

    selling: bool
    reason: Text = ""


Ask = ApplyConfig | LoadStock | CountStock | SetAisleLock | CloseReview | SetSelling


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One thing asked of one machine, done at most once. `mac` is `seal.seal_command` over the bytes of `ask`."""

    command: Id
    ask: msgspec.Raw
    mac: Annotated[str, msgspec.Meta(max_length=64)]


# --- configuration ---


class AisleConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One sellable position: where its motor is, what lies in it and for how much.

    Aisles with the same goods are twins: when one jams, another may deliver.
    """

    aisle: Id
    board: Annotated[int, msgspec.Meta(ge=1, le=4)]
    motor: Annotated[int, msgspec.Meta(ge=0, le=99)]
    goods: Id
    price_fen: Amount
    capacity: Count
    name: Text = ""
    for_sale: bool = True


class MachineConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the cloud decides for a machine: planogram, prices and limits. Versions only grow.

    `decided_wall_ms`: when, by the cloud's clock. So late it is for certain on a machine that cannot know the time.
    """

    machine: Id
    version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    decided_wall_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    aisles: Annotated[tuple[AisleConfig, ...], msgspec.Meta(max_length=400)]
    drop_sensor: bool = True
    temperature_low_tenths_c: Annotated[int, msgspec.Meta(ge=-400, le=1200)] | None = None
    temperature_high_tenths_c: Annotated[int, msgspec.Meta(ge=-400, le=1200)] | None = None
    purifier: PurifierConfig | None = None


def config_problems(config: MachineConfig) -> list[str]:
    """What is wrong with a configuration beyond its shape, one sentence each; empty when it can be acted on."""
    problems = []
    seen_aisles: set[str] = set()
    seen_motors: set[tuple[int, int]] = set()
    for aisle in config.aisles:
        if aisle.aisle in seen_aisles:
            problems.append(f"aisles: {aisle.aisle!r} appears twice")
        if (aisle.board, aisle.motor) in seen_motors:
            problems.append(
                f"aisles: board {aisle.board} motor {aisle.motor} belongs to two aisles, one is {aisle.aisle!r}"
            )
        seen_aisles.add(aisle.aisle)
        seen_motors.add((aisle.board, aisle.motor))
    if config.purifier is not None:
        problems += [f"purifier.{problem}" for problem in purifier_problems(config.purifier)]
    low, high = config.temperature_low_tenths_c, config.temperature_high_tenths_c
    if low is not None and high is not None and low >= high:
        problems.append(f"temperature_low_tenths_c: {low} is not below temperature_high_tenths_c {high}")
    return problems


def json_schemas() -> dict[str, Any]:
    """JSON Schema (2020-12) of every message, for integrators and for the fuzzers."""
    _, components = msgspec.json.schema_components(
        [Fact, Hello, Gone, Offer, PourOffer, Claim, Grant | Refusal, Watermark, Command, Ask, MachineConfig, Readings],
        ref_template="#/$defs/{name}",
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": components}


_fact_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)
_grant_decoder: msgspec.json.Decoder[Grant | Refusal] = msgspec.json.Decoder(Grant | Refusal)
_ask_decoder: msgspec.json.Decoder[Ask] = msgspec.json.Decoder(Ask)
encode = msgspec.json.encode


def unsealed(visit: VisitRecorded) -> bytes:
    """The bytes over which a visit's `mac` is made: the record with an empty one."""
    return encode(msgspec.structs.replace(visit, mac=""))


def decode_fact(raw: bytes | msgspec.Raw) -> Fact:
    """Read a fact; `msgspec.ValidationError` or `msgspec.DecodeError` names the field that is wrong."""
    return _fact_decoder.decode(raw)


def decode_grant(raw: bytes) -> Grant | Refusal:
    """Read what the cloud answered to a claim."""
    return _grant_decoder.decode(raw)


def decode_ask(raw: bytes | msgspec.Raw) -> Ask:
    """Read what a command asks."""
    return _ask_decoder.decode(raw)
