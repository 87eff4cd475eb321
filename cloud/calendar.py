"""The business's days: which day a moment belongs to, and when a day begins. Pure.

A day is a `datetime.date`, a moment is milliseconds since 1970. Where the clock is put forward or back, a day has 23 or
25 hours; nothing here assumes that it has 24.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from cloud.errors import FleetError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# Nothing was sold before, and no board looks further ahead.
FIRST_DAY = date(2000, 1, 1)
LAST_DAY = date(2199, 12, 31)


@dataclass(frozen=True)
class Calendar:
    """The days of one time zone, named as in the time zone database."""

    zone: str

    @cached_property
    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.zone)
        except (ValueError, OSError, LookupError) as error:
            raise FleetError("invalid", f"{self.zone!r} is not a time zone", field="AISLEFLOW_ZONE") from error

    def begins_ms(self, day: date) -> int:
        """The first moment of a day."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * 1000

    def day_of(self, ms: int) -> date:
        """The day that a moment belongs to."""
        return self._at(ms).date()

    def hour_of(self, ms: int) -> int:
        """What the clock on the wall says: 0 to 23."""
        return self._at(ms).hour

    def shifts(self, first: date, last: date) -> list[tuple[int, int]]:
        """How far the zone is ahead of UTC on these days: (from this moment on, by so many ms), in order of time."""
        return _shifts(self, first, last)

    def shift_ms(self, ms: int) -> int:
        """How far the zone is ahead of UTC at a moment."""
        offset = self._at(ms).utcoffset()
        assert offset is not None, "a time in a zone has an offset"
        return int(offset.total_seconds() * 1000)

    def _at(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self._zone)


@lru_cache(maxsize=64)
def _shifts(calendar: Calendar, first: date, last: date) -> list[tuple[int, int]]:
    """Days are looked at one by one, and the hours of those on which the clock is changed."""
    found = [(calendar.begins_ms(first), calendar.shift_ms(calendar.begins_ms(first)))]
    day = first
    while day <= last:
        begin, end = calendar.begins_ms(day), calendar.begins_ms(day + timedelta(days=1))
        if calendar.shift_ms(end) != found[-1][1]:
            moments = range(begin, end + 1, HOUR_MS // 4)
            change = next(ms for ms in moments if calendar.shift_ms(ms) != found[-1][1])
            found.append((change, calendar.shift_ms(change)))
        day += timedelta(days=1)
    return found


def numbered(day: date) -> int:
    """A day as a number: 20261120."""
    return day.year * 10_000 + day.month * 100 + day.day


def day_numbered(number: int) -> date:
    """The day behind a number; FleetError invalid for one that there is not."""
    try:
        day = date(number // 10_000, number // 100 % 100, number % 100)
    except (ValueError, OverflowError):
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise FleetError("invalid", f"{number} is not a day YYYYMMDD from {FIRST_DAY.year} on", field="day")
    return day
