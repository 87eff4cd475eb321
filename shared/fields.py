"""The fields that messages are made of, with their limits: what is outside them is refused where it is read."""

from __future__ import annotations

from typing import Annotated

import msgspec

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=10**11)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
# One cubic metre: far above any single pour, and above what a relay's own timer would let through.
Volume = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
