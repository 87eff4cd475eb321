"""The four letters of a brand: they stand in the numbers of its users, products, orders and tickets."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from cloud.accounts import store
from cloud.database import Work
from cloud.errors import FleetError
from cloud.serials import next_serial

NO_LETTERS = "XXXX"
_CODE = re.compile(r"[A-Z]{4}")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O: read as 1 and 0
# With 24^4 codes a free one is found at once; a platform with a third of a million brands has other worries.
_TRIES = 20
# Numbers bear the day of those who read them.
_CHINA = timedelta(hours=8)


async def brand_code(work: Work, tenant: str) -> str:
    """The tenant's four letters, drawn when it has none yet."""
    known = await store.code_of(work, tenant)
    if known is not None:
        return known
    for _ in range(_TRIES):
        drawn = "".join(secrets.choice(_LETTERS) for _ in range(4))
        if await store.put_brand_code(work, tenant, drawn):
            return drawn
    raise FleetError("unavailable", "no free brand code was found")


async def brand_letters(work: Work, tenants: Collection[str]) -> dict[str, str]:
    """The four letters of brands as numbers show them; one that has none yet shows as `NO_LETTERS`."""
    known = await store.codes_of(work, tenants)
    return {tenant: known.get(tenant, NO_LETTERS) for tenant in tenants}


async def choose_brand_code(work: Work, tenant: str, code: str) -> None:
    """Give a tenant the four letters it wishes; FleetError: invalid, conflict when it has others or they are taken."""
    if _CODE.fullmatch(code) is None or code == NO_LETTERS:
        raise FleetError("invalid", f"{code[:20]!r} is not four capital letters", field="code")
    if not await store.put_brand_code(work, tenant, code):
        raise FleetError("conflict", f"the code {code!r} is taken, or the brand has another one", field="code")


async def tenant_of_number(work: Work, number: str) -> str | None:
    """The tenant whose code stands in a number ("ABCD0123..." or "20261128ABCD0123..."); None when there is none."""
    for start in (0, 8):
        code = number[start : start + 4]
        if _CODE.fullmatch(code) and (found := await store.tenant_of_code(work, code)) is not None:
            return found
    return None


async def brand_number(work: Work, tenant: str, kind: str) -> str:
    """A new number without a day: the brand's letters and 16 hexadecimal digits that count up, for users, products."""
    return f"{await brand_code(work, tenant)}{await next_serial(work, tenant, kind):016X}"


async def dated_number(work: Work, tenant: str, kind: str) -> str:
    """A new number with its day: YYYYMMDD, the brand's letters and 12 digits that count up."""
    return f"{day_of_number(work.now_ms)}{await brand_code(work, tenant)}{await next_serial(work, tenant, kind):012d}"


def day_of_number(ms: int) -> str:
    """The day that stands in a number which was given at this moment: YYYYMMDD, in China."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC) + _CHINA:%Y%m%d}"
