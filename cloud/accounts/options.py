"""What a brand chose for itself: one value per option, and a default for what it did not choose.

Options that something here goes by are declared with their values; others are kept as they came, for the programs that
set them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import select

from cloud.accounts.store import brand_options
from cloud.database import Work
from cloud.errors import FleetError

# A page of settings has some dozens; a table of options is no place for data.
OPTIONS_MAX = 200
NAME_CHARS_MAX = 60
VALUE_CHARS_MAX = 4_000


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
# technician of its shop, else of the dealer above, else of the agent, else of the brand.
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
    rows = await work.rows(select(brand_options).where(brand_options.c.tenant == tenant))
    defaults = {name: option.default for name, option in DECLARED.items()}
    return defaults | {row.name: json.loads(row.value) for row in rows}


async def option_of(work: Work, tenants: Collection[str], name: str) -> dict[str, Any]:
    """One declared option of several brands, by tenant."""
    query = select(brand_options).where(brand_options.c.tenant.in_(sorted(tenants)), brand_options.c.name == name)
    chosen = {row.tenant: json.loads(row.value) for row in await work.rows(query)}
    return {tenant: chosen.get(tenant, DECLARED[name].default) for tenant in tenants}


async def choose(work: Work, tenant: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set the options in `changes` (None: back to the default), keep the others, and answer all.

    FleetError invalid for a declared option whose value does not fit, and beyond the limits.
    """
    for name, value in changes.items():
        option = DECLARED.get(name)
        if option is not None and value is not None and not option.fits(value):
            raise FleetError("invalid", f"{str(value)[:60]!r} is not {option.expected}", field=name)
        if not name or len(name) > NAME_CHARS_MAX or len(json.dumps(value)) > VALUE_CHARS_MAX:
            raise FleetError(
                "invalid",
                f"an option has a name of at most {NAME_CHARS_MAX} and a value of at most {VALUE_CHARS_MAX} characters",
                field=name[:NAME_CHARS_MAX],
            )
    gone = sorted(name for name, value in changes.items() if value is None)
    here = brand_options.c.tenant == tenant
    await work.execute(brand_options.delete().where(here, brand_options.c.name.in_(gone)))
    kept = {name: json.dumps(value, ensure_ascii=False) for name, value in changes.items() if value is not None}
    await work.put(brand_options, [{"tenant": tenant, "name": name, "value": kept[name]} for name in sorted(kept)])
    options = await options_of(work, tenant)
    if len(options) > OPTIONS_MAX:
        raise FleetError("invalid", f"a brand has at most {OPTIONS_MAX} options, these would be {len(options)}")
    return options
