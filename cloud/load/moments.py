"""Moments as files have them. Pure.

Written as ISO 8601 with the offset of China, where the machines stand; read in every form that a spreadsheet or a
person gives a day or a moment, and what bears no offset is of China.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

_CHINA = timezone(timedelta(hours=8))
_DAY = r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?"
_MOMENT = re.compile(rf"{_DAY}(?:[T ]+{_TIME} *(Z|[+-]\d{{2}}:?\d{{2}})?)?")


def moment_ms(value: Any) -> Any:
    """What stands in a file as ms since 1970; what is no moment comes back as it is, for its type to refuse."""
    if isinstance(value, datetime):
        return _ms(value)
    if isinstance(value, date):
        return _ms(datetime.combine(value, time()))
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        zone = datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo if offset else _CHINA
        day_of = datetime(int(year), int(month), int(day), tzinfo=zone)
        moment = day_of.replace(hour=int(hour or 0), minute=int(minute or 0), second=int(second or 0))
    except ValueError:
        return value
    return _ms(moment) + int((fraction or "").ljust(3, "0"))


def moment_text(value: int | None) -> str | int | None:
    """A moment in ms since 1970 as it is written; one that is past the years of four digits in China as its number."""
    if value is None:
        return None
    seconds, ms = divmod(value, 1_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC).astimezone(_CHINA)
    except (OverflowError, ValueError):
        return value
    return (moment + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds" if ms else "seconds")


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=_CHINA)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
