"""Vendors: the brands. Opened, described, equipped with their WeChat accounts, and closed by the platform's people."""

from __future__ import annotations

from typing import Any

from cloud.accounts.audit import record
from cloud.accounts.brand_profile import (
    BrandChange,
    SecretName,
    change_brand,
    hash_owner,
    merge_options,
    open_brand,
    set_owner_password,
    set_secrets,
)
from cloud.accounts.browse import brand_seen, list_brands
from cloud.accounts.browse import list_signings as list_signings_of
from cloud.accounts.model import Permission
from cloud.accounts.signings import add_signing, remove_signing
from cloud.accounts.signings import change_signing as change_signing_of
from cloud.database import Work
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.vendors_shapes import (
    AccountsAsk,
    AccountsChange,
    MobileAsk,
    OptionsAsk,
    PasswordAsk,
    SigningAsk,
    SigningIdTold,
    SigningMeant,
    SigningsAsk,
    SigningsTold,
    SigningTold,
    VendorAsk,
    VendorChange,
    VendorsAsk,
    VendorsTold,
    VendorTold,
    VidTold,
)
from cloud.facades.iot.wire import PLATFORM, allow, same_id
from cloud.leaving import brand_closes


async def list_vendors(call: Call[Nothing, VendorsAsk]) -> VendorsTold:
    """Brands, newest first."""
    found = await list_brands(call.work, call.query.ask)
    return VendorsTold(total=found.total, vendors=[VendorTold.of(seen) for seen in found.items])


async def register_vendor(call: Call[VendorAsk, Nothing]) -> VidTold:
    """Open a brand with its owner, who signs in by `user` or by his mobile. Answers the brand's id."""
    body, parts = call.body, call.parts
    hashes = await hash_owner(parts.passwords, body.pwd.get_secret_value())

    async def open_(work: Work) -> str:
        change = body.change(**body.accounts())
        brand = await open_brand(work, name=body.name, user=body.user, hashes=hashes, change=change)
        await set_secrets(work, parts.vault, brand.tenant, _secrets(body))
        await record(work, call.subject, "brand.open", {"vid": brand.tenant, "name": body.name}, call.request_id)
        return brand.tenant

    return VidTold(vid=await parts.database.transact(open_))


async def read_vendor(call: Call[Nothing, Nothing]) -> VendorTold:
    """One brand; password and secrets are never told."""
    return VendorTold.of(await brand_seen(call.work, call.path["vid"]))


async def change_vendor(call: Call[VendorChange, Nothing]) -> VidTold:
    """Change what is sent. `state` 0 shuts a brand out: its people and its users are signed out at once."""
    vid = _vid(call)
    if vid == call.tenant and call.body.state not in (None, "active"):
        raise FleetError("conflict", "nobody shuts out the brand that he works for", field="state")
    change = call.body.change(name=call.body.name or None, user=call.body.user or None)
    await change_brand(call.work, vid, change)
    return VidTold(vid=vid)


async def change_vendor_password(call: Call[PasswordAsk, Nothing]) -> VidTold:
    """A new password for a brand's owner, who is signed out everywhere."""
    vid, parts = _vid(call), call.parts
    hashed = await parts.passwords.hash_sent(call.body.pwd.get_secret_value())

    async def change(work: Work) -> None:
        await set_owner_password(work, vid, hashed)
        await record(work, call.subject, "brand.change_password", {"vid": vid}, call.request_id)

    await parts.database.transact(change)
    return VidTold(vid=vid)


async def change_vendor_mobile(call: Call[MobileAsk, Nothing]) -> VidTold:
    """Another mobile of a brand: its owner signs in by it, and by the old one no more."""
    vid = _vid(call)
    await change_brand(call.work, vid, BrandChange(phone=call.body.mobile))
    return VidTold(vid=vid)


async def change_vendor_accounts(call: Call[AccountsChange, Nothing]) -> VidTold:
    """A brand's WeChat official account and merchant account. An empty secret leaves the stored one."""
    vid = _vid(call)
    await change_brand(call.work, vid, BrandChange(**call.body.accounts()))
    await set_secrets(call.work, call.parts.vault, vid, _secrets(call.body))
    return VidTold(vid=vid)


async def change_vendor_options(call: Call[OptionsAsk, Nothing]) -> VidTold:
    """A brand's own settings: any JSON object, merged by key; null takes a key away."""
    vid = _vid(call)
    await merge_options(call.work, vid, call.body.model_extra or {})
    return VidTold(vid=vid)


async def list_signings(call: Call[Nothing, SigningsAsk]) -> SigningsTold:
    """What was signed with a brand, newest first."""
    found = await list_signings_of(call.work, call.path["vid"], call.query.ask)
    return SigningsTold(total=found.total, signings=[SigningTold.of(signing) for signing in found.items])


async def register_signing(call: Call[SigningAsk, Nothing]) -> SigningIdTold:
    """Note what was signed with a brand; answers the number of the record."""
    return SigningIdTold(id=(await add_signing(call.work, _vid(call), call.body.change())).signing)


async def change_signing(call: Call[SigningAsk, Nothing]) -> SigningIdTold:
    """Change the record `id`, or without one the newest."""
    changed = await change_signing_of(call.work, _vid(call), call.body.id or None, call.body.change())
    return SigningIdTold(id=changed.signing)


async def delete_signing(call: Call[SigningMeant, SigningMeant]) -> None:
    """Strike the record `id` out; the audit log keeps that it was there."""
    meant = call.query.id or call.body.id
    if not meant:
        raise FleetError("invalid", "say which record: id", field="id")
    await remove_signing(call.work, call.path["vid"], meant)


async def delete_vendor(call: Call[Nothing, Nothing]) -> None:
    """Close a brand for good: everybody is signed out, its machines are retired, its books stay.

    400 while orders, payments or rentals are open or money of its users is held.
    """
    vid = call.path["vid"]
    if vid == call.tenant:
        raise FleetError("conflict", "nobody closes the brand that he works for", field="vid")
    await brand_closes(call.work, vid)
    call.work.after_commit(call.parts.credentials_changed)


def _vid(call: Call[Any, Any]) -> str:
    """The brand of the path, which the body may repeat."""
    same_id("vid", call.body.vid, call.path["vid"])
    return call.path["vid"]


def _secrets(body: AccountsAsk) -> dict[SecretName, str]:
    return {"mp_secret": body.mp_secret.get_secret_value(), "mch_secret": body.mch_secret.get_secret_value()}


_PLATFORM = allow(PLATFORM, Permission.TENANTS_MANAGE)
V = "/vendors/{vid}"

OPERATIONS = (
    Operation("GET", "/vendors", _PLATFORM, list_vendors),
    Operation("POST", "/vendors", _PLATFORM, register_vendor, changes="brand.open", success=201, transacted=False),
    Operation("GET", V, _PLATFORM, read_vendor),
    Operation("PUT", V, _PLATFORM, change_vendor, changes="brand.change", success=201),
    Operation(
        "PUT",
        f"{V}/pwd",
        _PLATFORM,
        change_vendor_password,
        changes="brand.change_password",
        success=201,
        transacted=False,
    ),
    Operation("PUT", f"{V}/mob", _PLATFORM, change_vendor_mobile, changes="brand.change_mobile", success=201),
    Operation("PUT", f"{V}/mxx", _PLATFORM, change_vendor_accounts, changes="brand.change_accounts", success=201),
    Operation("PUT", f"{V}/cfg", _PLATFORM, change_vendor_options, changes="brand.change_options", success=201),
    Operation("GET", f"{V}/signing", _PLATFORM, list_signings),
    Operation("POST", f"{V}/signing", _PLATFORM, register_signing, changes="signing.add", success=201),
    Operation("PUT", f"{V}/signing", _PLATFORM, change_signing, changes="signing.change", success=201),
    Operation("DELETE", f"{V}/signing", _PLATFORM, delete_signing, changes="signing.remove", success=204),
    Operation("DELETE", V, _PLATFORM, delete_vendor, changes="brand.close", success=204),
)
