"""What may be asked through the local socket: the parameters of every word, for those who ask and those who answer."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from shared.messages import Id, Means, Text
from shared.water import Warmth

# An order id is made of it by one more letter in front.
Press = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,46}$")]


# A person reads no faster, a slower picture shows no movement.
EVERY_MS_MIN: Final = 200
EVERY_MS_MAX: Final = 60_000
# More than any aisle, cistern or cartridge holder has.
QUANTITY_MAX: Final = 10_000
ML_MAX: Final = 1_000_000
POSITION_MAX: Final = 20
# More measured pours cost water and tell no more.
RUNS_MAX: Final = 20


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parameters: a misspelt one is refused, not ignored."""


class Nothing(Params, frozen=True, kw_only=True):
    """No parameters."""


class Sell(Params, frozen=True, kw_only=True):
    """`press` names one press of one button: asked again, it is answered with what became of it."""

    press: Press
    aisle: Id
    means: Means = "coin"
    paid_fen: Annotated[int, msgspec.Meta(ge=0, le=10**8)] = 0


class OrderQuestion(Params, frozen=True, kw_only=True):
    """Which order."""

    order: Id


class Load(Params, frozen=True, kw_only=True):
    """Items put in, or (negative) taken out."""

    aisle: Id
    quantity: Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]


class Count(Params, frozen=True, kw_only=True):
    """Items that a person counted."""

    aisle: Id
    counted: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]


class Lock(Params, frozen=True, kw_only=True):
    """Close an aisle for sale (locked), or open it."""

    aisle: Id
    locked: bool
    reason: Text = ""


class Clear(Params, frozen=True, kw_only=True):
    """A fault that a person has looked at."""

    code: Id
    scope: Id


class AisleTrial(Params, frozen=True, kw_only=True):
    """Turn the motor of one aisle once, outside any sale; what falls belongs to nobody and is booked out."""

    aisle: Id


class Follow(Params, frozen=True, kw_only=True):
    """A picture of the machine, again and again."""

    every_ms: Annotated[int, msgspec.Meta(ge=EVERY_MS_MIN, le=EVERY_MS_MAX)] = 1_000


class VisitStart(Params, frozen=True, kw_only=True):
    """A person begins to work at the machine; `name` when several share the account that asks."""

    name: Annotated[str, msgspec.Meta(max_length=60)] = ""


# --- water ---


class Pour(Params, frozen=True, kw_only=True):
    """Give water. `press` names one press of one button: asked again, it is answered with what became of it.

    `service`: a person's pour for a test or a calibration, which counts in no plan and costs nothing.
    """

    press: Press
    outlet: Warmth = "normal"
    ml: Annotated[int, msgspec.Meta(ge=1, le=ML_MAX)]
    means: Means = "free"
    paid_fen: Annotated[int, msgspec.Meta(ge=0, le=10**8)] = 0
    service: bool = False


class Measured(Params, frozen=True, kw_only=True):
    """What a person measured of one pour: weigh it, a gram is a millilitre."""

    order: Id
    ml: Annotated[int, msgspec.Meta(ge=1, le=ML_MAX)]


class Calibrate(Params, frozen=True, kw_only=True):
    """Set the meter's factor by measured pours; `check` only says how far the meter is off."""

    runs: Annotated[tuple[Measured, ...], msgspec.Meta(min_length=1, max_length=RUNS_MAX)]
    check: bool = False


class FilterChange(Params, frozen=True, kw_only=True):
    """A new cartridge was put into a position."""

    position: Annotated[int, msgspec.Meta(ge=1, le=POSITION_MAX)]
