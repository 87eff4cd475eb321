"""What the documents of the devices say, and what they show in a world that stands still: written by hand, so that
neither the simulator's tables nor the agent's profiles answer for themselves.

Addresses are those on the wire. `low` and `high` name the word of a pair that comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.unit.firmware_sim.purifier_bench import AIR, LEVEL, PULSES, RELAYS, TDS, TUF, VMU

Kind = Literal["coil", "u16", "u32 high", "u32 low", "f32 high", "f32 low"]

COILS, HOLDING, INPUT = 1, 3, 4
WRITE_COIL, WRITE_ONE, WRITE_COILS, WRITE_MANY = 5, 6, 15, 16


@dataclass(frozen=True, slots=True)
class Shown:
    """One register as documented. `value` None: it counts seconds, and anything small is right."""

    function: int
    address: int
    kind: Kind
    value: float | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Registers that a host may write, by which function. A register that is read as another kind shows the same."""

    function: int
    address: int
    words: tuple[int, ...]
    kind: Kind = "u16"


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the bench: its number, the simulator's and the agent's names of it, and its registers."""

    slave: int
    simulated: str
    profile: str
    shows: tuple[Shown, ...]
    takes: tuple[Taken, ...] = ()
    # Registers that only act when they are written, or may not be read: (function, address).
    acts: tuple[tuple[int, int], ...] = ()


# The address that a device is moved to; nothing else here is this number.
NEW: Final = 42
COUNT: Final = 123_456_789
CUBIC_METRES: Final = 1_234

DEVICES: Final = (
    Device(
        RELAYS,
        "waveshare-relay-8ch",
        "waveshare-relay-8",
        (
            *(Shown(COILS, relay, "coil", 0) for relay in range(8)),
            Shown(HOLDING, 0x4000, "u16", RELAYS),
            Shown(HOLDING, 0x8000, "u16", 200),
        ),
        (Taken(WRITE_ONE, 0x4000, (NEW,)),),
        (
            *((WRITE_COIL, base + relay) for base in (0, 0x0200, 0x0400) for relay in range(8)),
            *((WRITE_COILS, relay) for relay in range(8)),
            (WRITE_COIL, 0x00FF),
            (WRITE_COIL, 0x01FF),
            (WRITE_ONE, 0x2000),
        ),
    ),
    Device(
        PULSES,
        "pulse4",
        "pulse4",
        (
            Shown(HOLDING, 0, "u32 high", COUNT),
            Shown(HOLDING, 2, "u32 high", 0),
            Shown(HOLDING, 4, "u16", 0),
        ),
        acts=((WRITE_ONE, 16),),
    ),
    Device(
        TUF,
        "tuf-2000m",
        "tuf-2000m",
        (
            Shown(HOLDING, 0, "f32 low", 0),
            Shown(HOLDING, 2, "f32 low", 0),
            Shown(HOLDING, 4, "f32 low", 0),
            Shown(HOLDING, 6, "f32 low", 1479.2),  # 20 degrees
            Shown(HOLDING, 8, "u32 low", CUBIC_METRES),
            Shown(HOLDING, 10, "f32 low", 0),
            Shown(HOLDING, 12, "u32 low", 0),
            Shown(HOLDING, 14, "f32 low", 0),
            Shown(HOLDING, 24, "u32 low", CUBIC_METRES),
            Shown(HOLDING, 32, "f32 low", 20),
            Shown(HOLDING, 34, "f32 low", 20),
            Shown(HOLDING, 71, "u16", 0),
            Shown(HOLDING, 88, "f32 low", 0),
            Shown(HOLDING, 91, "u16", 87),
            Shown(HOLDING, 92, "u16", 1320),
            Shown(HOLDING, 93, "u16", 1320),
            Shown(HOLDING, 96, "f32 low", 100.1),
            Shown(HOLDING, 98, "f32 low", 0),
            Shown(HOLDING, 102, "u32 low", None),
            Shown(HOLDING, 157, "u16", 0),
            Shown(HOLDING, 220, "f32 low", 15),
            Shown(HOLDING, 226, "f32 low", 24.5),
            Shown(HOLDING, 1436, "u16", 0),
            Shown(HOLDING, 1437, "u16", 0),
            Shown(HOLDING, 1441, "u16", TUF),
        ),
        (
            Taken(WRITE_ONE, 157, (3,)),
            Taken(WRITE_ONE, 1436, (8,)),
            Taken(WRITE_ONE, 1437, (1,)),
            Taken(WRITE_ONE, 1441, (NEW,)),
        ),
    ),
    Device(
        TDS,
        "ws102-tds",
        "ws102-tds",
        (
            Shown(HOLDING, 0x04, "f32 high", 20),
            Shown(HOLDING, 0x06, "f32 high", 12.5),
            Shown(HOLDING, 0x12, "f32 high", 9600),
            Shown(HOLDING, 0x14, "f32 high", TDS),
            Shown(HOLDING, 0x20, "f32 high", 4.2),
        ),
        # Its speed is written as it is: another one would end the talk (test_pymodbus has that).
        (Taken(WRITE_ONE, 0x12, (9600,), "f32 high"), Taken(WRITE_ONE, 0x14, (NEW,), "f32 high")),
        acts=((WRITE_ONE, 0x64),),
    ),
    Device(
        LEVEL,
        "qdy30a-level",
        "qdy30a",
        (
            Shown(HOLDING, 0, "u16", LEVEL),
            Shown(HOLDING, 1, "u16", 3),
            Shown(HOLDING, 2, "u16", 17),
            Shown(HOLDING, 3, "u16", 0),
            Shown(HOLDING, 4, "u16", 400),
            Shown(HOLDING, 5, "u16", 0),
            Shown(HOLDING, 6, "u16", 10_000),
            Shown(HOLDING, 12, "u16", 0),
        ),
        (
            Taken(WRITE_ONE, 1, (3,)),
            Taken(WRITE_ONE, 2, (10,)),
            Taken(WRITE_ONE, 3, (2,)),
            Taken(WRITE_ONE, 12, (5,)),
            Taken(WRITE_ONE, 0, (NEW,)),
        ),
    ),
    Device(
        AIR,
        "xy-md02",
        "xy-md02",
        (
            Shown(INPUT, 1, "u16", 250),
            Shown(INPUT, 2, "u16", 550),
            Shown(HOLDING, 0x0101, "u16", AIR),
            Shown(HOLDING, 0x0102, "u16", 9600),
            Shown(HOLDING, 0x0103, "u16", 0),
            Shown(HOLDING, 0x0104, "u16", 0),
        ),
        (
            Taken(WRITE_ONE, 0x0102, (9600,)),
            Taken(WRITE_ONE, 0x0103, (15,)),
            Taken(WRITE_ONE, 0x0104, (30,)),
            Taken(WRITE_MANY, 0x0103, (20, 40)),
            Taken(WRITE_MANY, 0x0101, (AIR, 9600)),
            Taken(WRITE_ONE, 0x0101, (NEW,)),
        ),
    ),
    Device(
        VMU,
        "vmu-mc",
        "vmu-mc",
        tuple(Shown(function, at, "u32 low", COUNT * (at == 0)) for function in (HOLDING, INPUT) for at in (0, 2)),
    ),
)

# Counters that have counted before.
COUNTS: Final[dict[str, int]] = {"pulse4": COUNT, "vmu-mc": COUNT, "tuf-2000m": CUBIC_METRES}

# Thirty ml a second, as the flow meter (m3/h, m/s in a pipe of 15 mm, Reynolds) and the pulse counter (Hz) show it.
FLOWING: Final = (
    (TUF, Shown(HOLDING, 0, "f32 low", 0.108)),
    (TUF, Shown(HOLDING, 4, "f32 low", 0.170)),
    (TUF, Shown(HOLDING, 98, "f32 low", 2546)),
    (PULSES, Shown(HOLDING, 4, "u16", 13.5)),
)


def bench_devices() -> list[dict[str, Any]]:
    """The devices as a scenario names them."""
    return [
        {"device": device.simulated, "slave": device.slave, "count": COUNTS.get(device.simulated, 0)}
        for device in DEVICES
    ]
