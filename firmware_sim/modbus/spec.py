"""What a Modbus device looks like from the line: its registers and coils, read from `devices/*.toml`.

A register shows a `point` (a quantity of the model behind the device, see instruments.py) or keeps a `setting` (a value
that a host may write). A coil row names what writing it does to the relays, see relays.py. Addresses are the device's
own numbers; `first` is the number of what the wire calls 0. A row belongs to those function codes that reach it.
"""

from __future__ import annotations

import struct
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from firmware_sim.form import ScenarioWrong, expect, fill

WordOrder = Literal["high", "low"]
NumberType = Literal["uint16", "int16", "uint32", "int32", "float32"]
CoilAct = Literal["relay", "all", "toggle_all", "flash_on", "flash_off"]
# What a device can be plumbed or placed to see.
Sees = Literal["nothing", "flow", "tds_in", "tds_out", "level", "pressure", "air", "water_temperature"]

READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
WORDS = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2}
_LIMITS = {"uint16": (0, 0xFFFF), "int16": (-0x8000, 0x7FFF), "uint32": (0, 2**32 - 1), "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True, slots=True)
class Register:
    """One row of holding or input registers: value on the wire x `scale` = quantity of the point.

    `codes`: the wire carries the place in this list, not the value (baud 2 = 9600). `written_as` differs from `type`
    where a device reads and writes the same setting in two types. `least` and `most` bound what may be written.
    """

    name: str
    address: int
    functions: tuple[int, ...] = (READ_HOLDING,)
    type: NumberType = "uint16"
    point: str | None = None
    setting: str | None = None
    opening: int = 0
    scale: float = 1.0
    codes: tuple[int, ...] = ()
    written_as: NumberType | None = None
    least: int = 0
    most: int = 0xFFFF

    def __post_init__(self) -> None:
        expect((self.point is None) != (self.setting is None), self.name, self.point, "a point, or a setting")

    def words(self, value: float, order: WordOrder) -> list[int]:
        """The quantity `value` as 16-bit words in wire order. Whole numbers wrap or clip as a register does."""
        if self.codes:
            value = self.codes.index(int(value)) if int(value) in self.codes else 0
        wire = value / self.scale
        if self.type == "float32":
            whole = int.from_bytes(struct.pack(">f", wire), "big")
        elif self.type == "uint32":
            whole = round(wire) % 2**32  # a counter wraps
        else:
            low, high = _LIMITS[self.type]
            whole = min(max(round(wire), low), high) & (0xFFFF if WORDS[self.type] == 1 else 0xFFFF_FFFF)
        if WORDS[self.type] == 1:
            return [whole]
        pair = [whole >> 16, whole & 0xFFFF]
        return pair if order == "high" else pair[::-1]

    def setting_from(self, word: int) -> int | None:
        """What a host means that writes `word`; None when the device will not have it."""
        value = word - 0x1_0000 if (self.written_as or self.type) == "int16" and word > 0x7FFF else word
        if not self.least <= value <= self.most:
            return None
        if self.codes:
            return self.codes[value] if value < len(self.codes) else None
        return value


@dataclass(frozen=True, slots=True)
class Coil:
    """`count` coils from `address` on, one per relay. A coil row that only acts cannot be read."""

    name: str
    address: int
    functions: tuple[int, ...]
    act: CoilAct
    count: int = 1


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One kind of device. Times in ms. `source` says where the map comes from and how certain it is.

    `filler`: unlisted registers up to the last listed one read as 0, as on devices that show their whole memory.
    `answers_broadcast`: settings may be asked and written at slave 0, and are answered.
    """

    title: str
    source: str
    slave: int
    baud: int
    latency_ms: tuple[int, ...]
    sees: tuple[Sees, ...]
    word_order: WordOrder = "high"
    first: int = 0
    filler: bool = False
    answers_broadcast: bool = False
    relays: int = 0
    register: tuple[Register, ...] = ()
    coil: tuple[Coil, ...] = ()

    def __post_init__(self) -> None:
        expect(len(self.latency_ms) == 2, "latency_ms", self.latency_ms, "least and most")
        expect(bool(self.sees), "sees", self.sees, "at least one place, the usual one first")


def device_names() -> list[str]:
    """The kinds there are, by the names of their files."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


@cache
def load_device(name: str) -> DeviceSpec:
    """The kind called `name`; `ScenarioWrong` for another name or a broken file."""
    if name not in device_names():
        raise ScenarioWrong(f"device = {name!r}, expected one of {', '.join(device_names())}")
    text = _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return fill(DeviceSpec, tomllib.loads(text), f"devices/{name}.toml", "")


def _folder() -> Traversable:
    return files("firmware_sim.modbus").joinpath("devices")
