"""What a brand chose for itself: one value per option, and a default for what it did not choose.

Options that something here goes by are declared with their values; others are kept as they came, for the programs that
set them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import available_timezones

from cloud.accounts import store
from cloud.database import Work
from cloud.errors import FleetError

# All options of a brand as JSON: a page of settings, not a database.
OPTIONS_BYTES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option: its default, whether a value fits, and what fits in words."""

    default: Any
    fits: Callable[[Any], bool]
    expected: str


def _one_of(*values: str) -> Option:
    return Option(values[0], lambda value: value in values, "one of " + ", ".join(values))


def _number(default: int, least: int, most: int) -> Option:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Option(default, fits, f"a whole number from {least} to {most}")


# Who is sent when a ticket is opened. manual: whom a person says. keeper: whoever looks after the machine. nearest: a
# technician who is near; of several one of its shop, else of the dealer above, else of the agent, else of the brand.
TICKET_DISPATCH = "ticket_dispatch"
# An aisle with at most this many goods is short.
SHORTAGE_THRESHOLD = "shortage_threshold"
# The time zone in which days begin.
TIME_ZONE = "time_zone"

DECLARED: Mapping[str, Option] = {
    TICKET_DISPATCH: _one_of("manual", "keeper", "nearest"),
    SHORTAGE_THRESHOLD: _number(0, 0, 1_000),
    TIME_ZONE: Option("Asia/Shanghai", lambda value: value in available_timezones(), "a name like Asia/Shanghai"),
}


async def options_of(work: Work, tenant: str) -> dict[str, Any]:
    """Every option of a brand: what it chose, else the default."""
    return _with_defaults((await store.find_brand(work, tenant)).options)


async def option_of(work: Work, tenants: Collection[str], name: str) -> dict[str, Any]:
    """One declared option of several brands, by tenant."""
    chosen = await store.options_of(work, tenants)
    return {tenant: _with_defaults(chosen.get(tenant, "{}"))[name] for tenant in tenants}


async def choose(work: Work, tenant: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set the options in `changes` (None: back to the default), keep the others, and answer all.

    FleetError invalid for a declared option whose value does not fit, and beyond the limit.
    """
    _check(changes)
    found = await store.find_brand(work, tenant, lock=True)
    text = options_text({**json.loads(found.options), **changes})
    await store.put_brand(work, replace(found, options=text))
    return _with_defaults(text)


def options_text(chosen: Mapping[str, Any]) -> str:
    """All options of a brand as they are kept, without those that are None. FleetError as in `choose`."""
    _check(chosen)
    text = json.dumps({name: value for name, value in chosen.items() if value is not None}, ensure_ascii=False)
    if len(text.encode()) > OPTIONS_BYTES_MAX:
        raise FleetError("invalid", f"all options together have more than {OPTIONS_BYTES_MAX} bytes", field="cfg")
    return text


def _check(chosen: Mapping[str, Any]) -> None:
    for name, value in chosen.items():
        option = DECLARED.get(name)
        if option is not None and value is not None and not option.fits(value):
            raise FleetError("invalid", f"{str(value)[:60]!r} is not {option.expected}", field=name)


def _with_defaults(text: str) -> dict[str, Any]:
    chosen: dict[str, Any] = json.loads(text)
    return {name: option.default for name, option in DECLARED.items()} | chosen
