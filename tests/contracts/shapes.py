"""What an answer must look like, written as data.

A shape is a word, a list of one shape, or a mapping of names to shapes:

    vendor_list:
      - {vendor_id: string, vendor_status: integer(1/3/4), goods_name: string|null}
    total: integer

A word is one of `WORDS`, alternatives are joined by `|`, and allowed values stand in parentheses.
Every name of a mapping has to be there; names it does not mention are nobody's business. `{}` is any object.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Shape = str | list[Any] | Mapping[str, Any]

# 1970 and what comes before is a zero that escaped; 2100 is milliseconds taken for seconds.
_SECONDS_MIN, _SECONDS_MAX = 1_000_000_000, 4_102_444_800
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ALTERNATIVE = re.compile(r"(\w+)(?:\(([^)]*)\))?")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _is_money(value: Any) -> bool:
    return bool(_is_number(value)) and round(value, 2) == value


def _is_day(value: Any) -> bool:
    return (
        _is_integer(value)
        and 20000101 <= value <= 21001231
        and 1 <= value // 100 % 100 <= 12
        and 1 <= value % 100 <= 31
    )


WORDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "text": lambda value: isinstance(value, str) and value != "",
    "integer": _is_integer,
    "count": lambda value: _is_integer(value) and value >= 0,
    "number": _is_number,
    # Yuan with at most two decimals.
    "money": _is_money,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    # Seconds since 1970.
    "unix": lambda value: _is_integer(value) and _SECONDS_MIN <= value <= _SECONDS_MAX,
    # YYYYMMDD as an integer.
    "day": _is_day,
    # The end of a segment of a day.
    "label": lambda value: isinstance(value, str) and re.fullmatch(r"\d\d:00:00", value) is not None,
    # A moment in UTC, or "" where there was none yet.
    "iso": lambda value: isinstance(value, str) and (value == "" or _ISO.fullmatch(value) is not None),
    # An order or ticket number as it travels: the day first, without a leading letter.
    "dated": lambda value: isinstance(value, str) and re.fullmatch(r"[0-9]{8}[A-Z0-9]{4}[0-9]{12}", value) is not None,
    # Four characters of the brand, sixteen hexadecimal digits.
    "serial": lambda value: isinstance(value, str) and re.fullmatch(r"[A-Z0-9]{4}[0-9A-F]{16}", value) is not None,
    # What must never be told: the key may be there, the value may not.
    "secret": lambda value: value in ("", None),
}


def mismatches(shape: Shape, value: Any, place: str = "") -> list[str]:
    """Everything in which `value` does not fit `shape`, each with its place; empty when it fits."""
    if isinstance(shape, str):
        return [] if fits(shape, value) else [f"{place or 'the answer'} is {value!r:.80}, not {shape}"]
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return [f"{place or 'the answer'} is {value!r:.80}, not an object"]
        missing = [f"{_join(place, name)} is missing" for name in shape if name not in value]
        inside = [mismatches(part, value[name], _join(place, name)) for name, part in shape.items() if name in value]
        return missing + [problem for problems in inside for problem in problems]
    if not isinstance(value, list):
        return [f"{place or 'the answer'} is {value!r:.80}, not an array"]
    return [problem for at, one in enumerate(value) for problem in mismatches(shape[0], one, f"{place}[{at}]")]


def fits(word: str, value: Any) -> bool:
    """Whether `value` is of one of the alternatives of `word`."""
    return any(_fits_one(alternative, value) for alternative in word.split("|"))


def _fits_one(alternative: str, value: Any) -> bool:
    match = _ALTERNATIVE.fullmatch(alternative)
    if match is None or match[1] not in WORDS:
        raise ValueError(f"{alternative!r} is no word of a shape")
    if not WORDS[match[1]](value):
        return False
    return match[2] is None or str(value) in match[2].split("/")


def contains(actual: Any, expected: Any) -> bool:
    """Whether `actual` has everything that `expected` names.

    Of objects the named keys count; of arrays every expected element has to be somewhere, and `[]` is the empty array;
    numbers are compared as numbers.
    """
    if isinstance(expected, Mapping):
        return isinstance(actual, dict) and all(
            name in actual and contains(actual[name], part) for name, part in expected.items()
        )
    if isinstance(expected, list):
        if not isinstance(actual, list) or (not expected and actual):
            return False
        left = list(actual)
        for wanted in expected:
            found = next((at for at, one in enumerate(left) if contains(one, wanted)), None)
            if found is None:
                return False
            left.pop(found)
        return True
    if isinstance(actual, bool) != isinstance(expected, bool):
        return False
    return bool(actual == expected)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else str(name)
