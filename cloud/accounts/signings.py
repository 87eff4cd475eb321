"""What was signed with a brand: noted, corrected and struck out by the platform's people; the audit log keeps all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cloud.accounts import store
from cloud.accounts.brand_profile import brand_of
from cloud.accounts.model import Signing
from cloud.database import Work
from cloud.errors import FleetError
from cloud.serials import next_serial


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningChange:
    """What is to be changed; None keeps what is there."""

    title: str | None = None
    contract: str | None = None
    signed_ms: int | None = None
    begins_ms: int | None = None
    ends_ms: int | None = None
    amount_fen: int | None = None
    remark: str | None = None


async def add_signing(work: Work, tenant: str, change: SigningChange) -> Signing:
    """Note a signed contract; FleetError: not_found, gone, invalid when it ends before it begins."""
    await brand_of(work, tenant, lock=True)
    number = str(await next_serial(work, tenant, "signing"))
    return await _put(work, Signing(tenant=tenant, signing=number, created_ms=work.now_ms), change)


async def change_signing(work: Work, tenant: str, signing: str | None, change: SigningChange) -> Signing:
    """Change one, or (None) the one noted last; FleetError: not_found, gone, invalid."""
    await brand_of(work, tenant, lock=True)
    found = await store.find_signing(work, tenant, signing)
    if found is None:
        raise FleetError("not_found", f"there is no signing record {signing or ''!r}", field="id")
    return await _put(work, found, change)


async def remove_signing(work: Work, tenant: str, signing: str) -> None:
    """Strike one out; FleetError: not_found, gone."""
    await brand_of(work, tenant, lock=True)
    if not await store.remove_signing(work, tenant, signing):
        raise FleetError("not_found", f"there is no signing record {signing[:48]!r}", field="id")


async def _put(work: Work, signing: Signing, change: SigningChange) -> Signing:
    given = {name: getattr(change, name) for name in SigningChange.__dataclass_fields__}
    changed = replace(signing, **{name: value for name, value in given.items() if value is not None})
    if changed.begins_ms is not None and changed.ends_ms is not None and changed.ends_ms < changed.begins_ms:
        raise FleetError("invalid", "a contract does not end before it begins", field="end_tms")
    await store.put_signing(work, changed)
    return changed
