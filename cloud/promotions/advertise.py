"""Advertisements: shown by clients and machines where and while the brand says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.register import machine_of
from cloud.promotions import store
from cloud.promotions.model import Advertisement
from cloud.serials import next_serial

PREFIX = "AD"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertisementChange:
    """What is to be shown; None keeps what is there, or the default of a new one."""

    title: str | None = None
    placement: str | None = None
    image: str | None = None
    link: str | None = None
    machine: str | None = None
    sequence: int | None = None
    begins_ms: int | None = None
    ends_ms: int | None = None
    stopped: bool | None = None


async def add_advertisement(work: Work, tenant: str, wanted: AdvertisementChange) -> Advertisement:
    """A new advertisement, from now on where it says no time; FleetError: invalid, not_found machine."""
    blank = Advertisement(
        tenant=tenant,
        advertisement=f"{PREFIX}{await next_serial(work, tenant, PREFIX)}",
        title="",
        placement="",
        image="",
        link="",
        machine=None,
        sequence=0,
        begins_ms=work.now_ms,
        ends_ms=None,
        stopped=False,
        created_ms=work.now_ms,
    )
    return await _write(work, blank, wanted)


async def change_advertisement(
    work: Work, tenant: str, advertisement: str, wanted: AdvertisementChange
) -> Advertisement:
    """Change what is given; FleetError: not_found, invalid."""
    return await _write(work, await _advertisement(work, tenant, advertisement), wanted)


async def remove_advertisement(work: Work, tenant: str, advertisement: str) -> None:
    """Take an advertisement away; FleetError not_found."""
    await _advertisement(work, tenant, advertisement)
    await store.remove_advertisement(work, tenant, advertisement)


async def _advertisement(work: Work, tenant: str, advertisement: str) -> Advertisement:
    found = await store.find_advertisement(work, tenant, advertisement)
    if found is None:
        raise FleetError("not_found", f"there is no advertisement {advertisement!r}", field="ad_id")
    return found


async def _write(work: Work, before: Advertisement, wanted: AdvertisementChange) -> Advertisement:
    given: dict[str, Any] = {name: getattr(wanted, name) for name in AdvertisementChange.__dataclass_fields__}
    after = replace(before, **{name: value for name, value in given.items() if value is not None})
    after = replace(after, machine=after.machine or None)
    if after.machine is not None and after.machine != before.machine:
        await machine_of(work, before.tenant, after.machine)
    if not after.title or not after.placement:
        raise FleetError("invalid", "an advertisement has a title and a placement", field="title")
    if after.ends_ms is not None and after.ends_ms <= after.begins_ms:
        raise FleetError("invalid", "an advertisement ends after it has begun", field="end_tms")
    await store.put_advertisement(work, after)
    return after
