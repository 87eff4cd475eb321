"""A Modbus device as data: what its registers are called, where they are, what they mean, and what may be written.

A profile is a TOML file; a new meter needs a new file and no code. The shapes below are the format, `profile_schema`
gives it as JSON Schema, and `profile_file` judges what no single value shows.

Numbers are exact. A register is an integer or an IEEE-754 number, and both are ratios of integers; scales are decimal
text ("0.1") or a ratio ("1/450"). A float never appears, because volume is money.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec

from edge_agent.wire.modbus import READ_BITS, Read

# What one request may ask for, by the Modbus specification.
REGISTERS_MAX = 125

Kind = Literal["u16", "i16", "u32", "i32", "f32", "bits", "ascii"]
Order = Literal["high_first", "low_first"]
Poll = Literal["fast", "slow", "once"]
Value = Fraction | int | str

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
# A whole number, or text: "0.1", "1/450".
Exact = int | Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12}|/[1-9][0-9]{0,11})?$")]
Address = Annotated[int, msgspec.Meta(ge=0, le=65_536)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2_000)]

WORDS: dict[Kind, int] = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
_SIGNED = ("i16", "i32")

# More decimals than any device shows are a bad reading.
_DECIMALS_MAX = 9

# Above every finite IEEE-754 number of 32 bits.
_F32_END = 2**128


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of a profile."""


class Serial(_Table, frozen=True, kw_only=True):
    """How the device leaves its factory, and how long it takes to answer."""

    slave: Annotated[int, msgspec.Meta(ge=1, le=247)] = 1
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 9600
    parity: Literal["N", "E", "O"] = "N"
    # How long to wait for its answer. Not longer than it needs: while it is silent, its neighbours wait as well.
    reply_ms: Annotated[int, msgspec.Meta(ge=20, le=3_000)] = 200


class Fence(_Table, frozen=True, kw_only=True):
    """A harmless read whose answer no other read of the device can be mistaken for: another function, or length."""

    function: Literal[1, 2, 3, 4] = 3
    address: Address
    count: Count


class Write(_Table, frozen=True, kw_only=True):
    """May be written, with this function, within these limits, which do no harm. In the unit of the register."""

    function: Literal[6, 16] = 6
    least: Exact
    most: Exact


class Register(_Table, frozen=True, kw_only=True):
    """One value of the device."""

    name: Name
    # 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers.
    function: Literal[1, 2, 3, 4] = 3
    # As the maker numbers it; `address_base` of the file is taken off.
    address: Address
    type: Kind
    # Registers of an ascii text; bits of functions 1 and 2. Other types have their own length.
    count: Count | None = None
    # Which word of two, and which byte of a word, comes first on the wire.
    word_order: Order = "high_first"
    byte_order: Order = "high_first"
    # The value is the number in the register times this ...
    scale: Exact = 1
    # ... and divided by ten to the number in that register.
    decimals_from: Name | None = None
    unit: str = ""
    # The unit is the label of the number in that register.
    unit_from: Name | None = None
    labels: dict[int, Text] = {}
    # Least and most that can be true, in the unit; anything else is told as a fault and not as a value.
    valid: tuple[Exact, Exact] | None = None
    # Numbers in the register (before the scale) that mean "no probe" or "broken cable".
    absent: tuple[int, ...] = ()
    # The setting on which this profile counts; the device is not used while it differs.
    must_be: int | None = None
    # fast: with every reading; slow: when somebody looks; once: after each opening of the port.
    poll: Poll = "slow"
    write: Write | None = None

    @property
    def length(self) -> int:
        """Registers, or bits of functions 1 and 2."""
        return WORDS.get(self.type) or self.count or 1

    def decode(self, words: Sequence[int]) -> Value | None:
        """The number (unscaled), the bits as one integer (first bit lowest), or the text; None for "no probe".

        `words`: as they came, 0 to 65535 each, or bits 0 or 1 each.
        """
        if self.function in READ_BITS:
            return sum(bit << place for place, bit in enumerate(words))
        raw = b"".join(self._ordered(words))
        if self.type == "ascii":
            return raw.decode("ascii", errors="replace").rstrip("\0 ")
        number = int.from_bytes(raw, "big", signed=self.type in _SIGNED)
        if number in self.absent:
            return None
        if self.type == "f32":
            (decimal,) = struct.unpack(">f", raw)
            # NaN and the infinities equal none of the numbers between.
            return Fraction(decimal) if -_F32_END < decimal < _F32_END else None
        return number if self.type == "bits" else Fraction(number)

    def encode(self, value: Value) -> list[int]:
        """The words whose `decode` gives `value`; `ValueError` when the type cannot hold it."""
        if self.function in READ_BITS:
            return [int(value) >> place & 1 for place in range(self.length)]
        if isinstance(value, str):
            raw = value.encode("ascii").ljust(2 * self.length, b"\0")
        elif self.type == "f32":
            raw = struct.pack(">f", value)
        elif Fraction(value).denominator != 1:
            raise ValueError(f"{self.name}: {value} does not fall on a step of its scale {self.scale}")
        else:
            raw = self._packed(int(value))
        words = [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
        return [int.from_bytes(word, "big") for word in self._ordered(words)]

    def _packed(self, number: int) -> bytes:
        try:
            return number.to_bytes(2 * self.length, "big", signed=self.type in _SIGNED)
        except OverflowError as error:
            raise ValueError(f"{self.name}: {number} does not fit into {self.type}") from error

    def _ordered(self, words: Sequence[int]) -> Iterable[bytes]:
        """Both orders turned into high first, or back: turning twice changes nothing."""
        order: Literal["big", "little"] = "big" if self.byte_order == "high_first" else "little"
        turned = words if self.word_order == "high_first" or self.type == "ascii" else words[::-1]
        return [word.to_bytes(2, order) for word in turned]


@dataclass(frozen=True, slots=True)
class Measured:
    """One register's value in its unit. `value` is None when it cannot be believed; then `problem` says why."""

    value: Value | None
    unit: str
    problem: str | None = None


class Meter(_Table, frozen=True, kw_only=True):
    """What makes the device a flow meter. Its count is `(whole + fraction) * counts_per_unit`, rounded down."""

    whole: Name
    fraction: Name | None = None
    counts_per_unit: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 1
    # Counts per litre, times 1000, as the maker says.
    counts_per_litre_milli: Annotated[int, msgspec.Meta(ge=1, le=10**12)]
    # The count after which it begins again at 0; left out when it never does.
    modulus: Annotated[int, msgspec.Meta(ge=2, le=2**62)] | None = None
    # The most that a meter of this size passes. Faster growth is a bad reading.
    litres_per_minute_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Relays(_Table, frozen=True, kw_only=True):
    """What makes the device a relay board whose relays fall back by themselves. Addresses as they go over the wire."""

    count: Annotated[int, msgspec.Meta(ge=1, le=32)]
    # Address of relay 1: read with function 1, written with function 5; the others follow.
    coils: Address
    # Address of the timer of relay 1: function 5, value times `step_ms`.
    flash_on: Address
    step_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    steps_max: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    # Address that switches all of them.
    all: Address


class Own(_Table, frozen=True, kw_only=True):
    """Where the device keeps its own address and speed, as the maker numbers registers; written with function 6."""

    slave: Address
    slave_most: Annotated[int, msgspec.Meta(ge=1, le=255)] = 247
    baud: Address | None = None
    # What is written for each speed.
    bauds: dict[Annotated[int, msgspec.Meta(ge=1_200, le=115_200)], Annotated[int, msgspec.Meta(ge=0, le=65_535)]] = {}


class Probes(_Table, frozen=True, kw_only=True):
    """Which register answers which question."""

    tds: Name | None = None
    level: Name | None = None
    pressure: Name | None = None
    temperature: Name | None = None


class Profile(_Table, frozen=True, kw_only=True):
    """A whole file."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    description: Text
    # Where the register table comes from, and how far it was proved.
    source: Text
    # What the person who installs it must know or set.
    notes: tuple[Text, ...] = ()
    serial: Serial = Serial()
    # The number that the maker gives to the first register: 0 or 1.
    address_base: Literal[0, 1] = 0
    fence: Annotated[tuple[Fence, ...], msgspec.Meta(min_length=1, max_length=4)]
    register: Annotated[tuple[Register, ...], msgspec.Meta(max_length=200)] = ()
    meter: Meter | None = None
    relays: Relays | None = None
    probes: Probes = Probes()
    own: Own | None = None

    def named(self, name: str) -> Register:
        """The register of that name; `KeyError` when there is none."""
        for register in self.register:
            if register.name == name:
                return register
        raise KeyError(name)

    def fences(self) -> list[Read]:
        """The fences as they go over the wire."""
        return [Read(fence.function, fence.address - self.address_base, fence.count) for fence in self.fence]

    def reads(self, registers: Iterable[Register]) -> list[tuple[Read, list[Register]]]:
        """The fewest requests that bring `registers`: neighbours travel together, nothing unnamed is read."""
        found: list[tuple[Read, list[Register]]] = []
        for register in sorted(registers, key=lambda each: (each.function, each.address)):
            address = register.address - self.address_base
            if found and register.function not in READ_BITS:
                read, together = found[-1]
                follows = (read.function, read.address + read.count) == (register.function, address)
                if follows and read.count + register.length <= REGISTERS_MAX:
                    found[-1] = (Read(read.function, read.address, read.count + register.length), [*together, register])
                    continue
            found.append((Read(register.function, address, register.length), [register]))
        return found

    def with_referred(self, registers: Iterable[Register]) -> list[Register]:
        """`registers`, and those that give them their unit and decimals; each once."""
        wanted = list(registers)
        names = [name for each in wanted for name in (each.decimals_from, each.unit_from) if name is not None]
        return list({each.name: each for each in (*wanted, *map(self.named, names))}.values())

    def measured(self, register: Register, raw: Mapping[str, Value | None]) -> Measured:
        """Scale, unit and belief. `raw`: what `decode` gave for the register and for those that it refers to."""
        unit = register.unit
        if register.unit_from is not None:
            code = raw[register.unit_from]
            label = self.named(register.unit_from).labels.get(int(code)) if isinstance(code, Fraction) else None
            if label is None:
                return Measured(None, "", f"{register.unit_from} is {code}, which has no label")
            unit = label
        number = raw[register.name]
        if number is None:
            return Measured(None, unit, "no probe")
        if not isinstance(number, Fraction):
            return Measured(number, unit)
        value = number * Fraction(register.scale)
        if register.decimals_from is not None:
            decimals = raw[register.decimals_from]
            if not isinstance(decimals, Fraction) or decimals > _DECIMALS_MAX:
                return Measured(None, unit, f"{register.decimals_from} is {decimals}, expected 0 to {_DECIMALS_MAX}")
            value /= 10 ** int(decimals)
        if register.valid is not None and not Fraction(register.valid[0]) <= value <= Fraction(register.valid[1]):
            return Measured(None, unit, f"{exact_text(value)} is outside {register.valid[0]} to {register.valid[1]}")
        return Measured(value, unit)


def exact_text(value: Value | None) -> str:
    """A value for people: whole numbers as they are, others with at most six decimals."""
    if not isinstance(value, Fraction):
        return "" if value is None else str(value)
    millionths = round(value * 1_000_000)
    sign, whole, rest = "-" if millionths < 0 else "", *divmod(abs(millionths), 1_000_000)
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def profile_schema() -> dict[str, Any]:
    """The format as JSON Schema (2020-12)."""
    schema = msgspec.json.schema(Profile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
