"""How far apart two places are, by what is known of them: coordinates, else the names of regions. Pure.

Where both have coordinates it is the distance over the ground. Else a person's area (广东省珠海市香洲区) is looked for
in the other's address, region by region: the more of its names stand there, the nearer. Nobody's address is looked up
in a map; what names no common region is as far away as anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

_EARTH_RADIUS_KM = 6_371
# What it usually is to somebody in another part of the same province, city and district.
_SHARED_REGIONS_KM = (FAR_KM := 20_000, 300, 50, 10)
_NUMBER = re.compile(r"-?\d{1,3}(?:\.\d+)?")
# A region is called by its name and what it is; addresses often leave the second out.
_REGION = re.compile(r"(.{2,}?)(?:特别行政区|(?:\w族)*自治[区州县]|省|市|地区|盟|区|县|旗)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: an address or area as people write it, coordinates in degrees as text; "" for unknown."""

    address: str = ""
    coordinates: str = ""


NOWHERE = Place()


def apart_km(worker: Place, job: Place) -> int:
    """About how many km somebody has to go to a job; `FAR_KM` when nothing is known."""
    here, there = _degrees(worker.coordinates), _degrees(job.coordinates)
    if here is not None and there is not None:
        return _over_ground_km(here, there)
    shared = sum(name in job.address for name in _REGION.findall(worker.address))
    return _SHARED_REGIONS_KM[min(shared, len(_SHARED_REGIONS_KM) - 1)]


def _degrees(text: str) -> tuple[float, float] | None:
    """Longitude and latitude. In China the first is the larger number, so either order is understood."""
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if len(numbers) != 2 or max(numbers) > 180 or not -90 <= min(numbers) <= 90:
        return None
    return max(numbers), min(numbers)


def _over_ground_km(one: tuple[float, float], other: tuple[float, float]) -> int:
    """The great circle's part between two points, by the haversine formula."""
    (east, north), (east_of, north_of) = [tuple(map(radians, point)) for point in (one, other)]
    half = sin((north_of - north) / 2) ** 2 + cos(north) * cos(north_of) * sin((east_of - east) / 2) ** 2
    return round(2 * _EARTH_RADIUS_KM * asin(sqrt(half)))
