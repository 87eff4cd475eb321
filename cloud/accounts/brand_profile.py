"""Brands: opened by the platform, described, let in or shut out, and closed for good."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cloud.accounts import store
from cloud.accounts.brands import brand_code
from cloud.accounts.model import Brand, BrandState, Tenant, User, mint_password
from cloud.accounts.options import choose
from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Work
from cloud.errors import FleetError
from shared.ids import mint_brand_id, mint_user_id

SecretName = Literal["mp_secret", "mch_secret"]
# A user name that is no phone number, since both are asked for in one field.
_USER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._@-]{1,47}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandChange:
    """What is to be changed; None keeps what is there."""

    name: str | None = None
    user: str | None = None
    phone: str | None = None
    state: BrandState | None = None
    kind: int | None = None
    short_name: str | None = None
    logo: str | None = None
    domain: str | None = None
    contact: str | None = None
    wechat: str | None = None
    email: str | None = None
    area: str | None = None
    address: str | None = None
    remark: str | None = None
    reserved: str | None = None
    mp_gid: str | None = None
    mp_appid: str | None = None
    mch_gid: str | None = None
    mch_appid: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerHashes:
    """The hashes of an owner's password: of the one nobody knows, for the native API, and as other clients send it."""

    plain: str
    md5: str


async def hash_owner(passwords: Passwords, sent: str) -> OwnerHashes:
    """To be called outside a Work: it is slow."""
    return OwnerHashes(await passwords.hash(mint_password()), await passwords.hash_sent(sent))


async def open_brand(work: Work, *, name: str, user: str, hashes: OwnerHashes, change: BrandChange) -> Brand:
    """A new brand with its four letters and its owner, who signs in by `user` and by his phone number.

    FleetError invalid when the name or the number is taken, by whomever.
    """
    tenant = mint_brand_id()
    await store.add_tenant(work, Tenant(tenant, name, work.now_ms))
    await brand_code(work, tenant)
    owner = User(tenant, mint_user_id(), user, change.contact or name, "owner", False, False, work.now_ms)
    await _take_name(work, owner, user)
    assert await store.add_user(work, owner, hashes.plain, hashes.md5), "a new tenant has no users"
    await store.put_brand(work, Brand(tenant=tenant, owner=owner.user))
    return await change_brand(work, tenant, replace(change, name=None, user=None))


async def change_brand(work: Work, tenant: str, change: BrandChange) -> Brand:
    """Change what is given. A brand that is shut out signs everybody out, its people and its members.

    FleetError: not_found, gone, invalid when the new name or number is taken, conflict for a brand without an owner.
    """
    found = await brand_of(work, tenant, lock=True)
    kept = {"name", "user", "phone"}
    given = {name: getattr(change, name) for name in BrandChange.__dataclass_fields__ if name not in kept}
    changed = replace(found, **{name: value for name, value in given.items() if value is not None})
    if change.name is not None:
        await store.rename_tenant(work, tenant, change.name)
    if change.user is not None:
        await _rename_owner(work, await _owner(work, found), change.user)
    if change.phone is not None and change.phone != found.phone:
        if (owner := await _find_owner(work, found)) is not None:
            await _change_phone(work, owner, change.phone)
        changed = replace(changed, phone=change.phone)
    await store.put_brand(work, changed)
    if changed.state != "active":
        await store.remove_all_tokens(work, tenant)
    return changed


async def set_owner_password(work: Work, tenant: str, md5_hash: str) -> None:
    """A new password for the brand's owner, who is signed out everywhere. FleetError: not_found, gone, conflict."""
    owner = await _owner(work, await brand_of(work, tenant, lock=True))
    await store.change_user(work, tenant, owner.user, md5_hash=md5_hash)
    await store.remove_tokens_of(work, tenant, owner.user)


async def set_secrets(work: Work, vault: Vault, tenant: str, secrets: Mapping[SecretName, str]) -> Brand:
    """Keep secrets of a brand, sealed; an empty one leaves what is there. FleetError: not_found, gone."""
    found = await brand_of(work, tenant, lock=True)
    sealed = {f"{name}_sealed": vault.seal(tenant, name, secret) for name, secret in secrets.items() if secret}
    changed = replace(found, **sealed)  # type: ignore[arg-type]
    await store.put_brand(work, changed)
    return changed


async def merge_options(work: Work, tenant: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Set a brand's options by key; None takes one away. Answers all of them. FleetError: not_found, gone, invalid."""
    await brand_of(work, tenant, lock=True)
    return await choose(work, tenant, options)


async def close_brand(work: Work, tenant: str) -> None:
    """Close a brand for good: everybody is signed out, the names and numbers by which its people signed in are free.

    Its books stay. Whether machines or money are left is for the caller to ask (`cloud.leaving`).
    FleetError: not_found, gone.
    """
    found = await brand_of(work, tenant, lock=True)
    empty = {"mp_secret_sealed": "", "mch_secret_sealed": ""}
    await store.put_brand(work, replace(found, state="disabled", closed_ms=work.now_ms, **empty))  # type: ignore[arg-type]
    await store.leave_phones(work, tenant)
    await store.remove_all_tokens(work, tenant)


async def brand_of(work: Work, tenant: str, *, lock: bool = False) -> Brand:
    """What is known of a brand; FleetError: not_found, gone once it was closed."""
    if not await store.knows_tenant(work, tenant):
        raise FleetError("not_found", f"there is no brand {tenant[:48]!r}", field="vid")
    found = await store.find_brand(work, tenant, lock=lock)
    if found.closed_ms is not None:
        raise FleetError("gone", f"the brand {tenant!r} was closed", field="vid")
    return found


async def brand_named(work: Work, vid: str) -> Brand:
    """The brand that somebody names who is not signed in; FleetError invalid when it lets nobody in."""
    found = await store.find_brand(work, vid) if await store.knows_tenant(work, vid) else None
    if found is None or found.state != "active":
        raise FleetError("invalid", f"no brand {vid[:48]!r} takes in anybody", field="vid")
    return found


async def _find_owner(work: Work, brand: Brand) -> User | None:
    """The user in whose name the brand signs in; where none was named, the first of its owners."""
    if brand.owner is not None:
        return await store.find_user(work, brand.tenant, brand.owner)
    people = sorted(await store.users_of(work, brand.tenant), key=lambda user: user.created_ms)
    return next((user for user in people if user.role == "owner" and user.unit is None), None)


async def _owner(work: Work, brand: Brand) -> User:
    owner = await _find_owner(work, brand)
    if owner is None:
        raise FleetError("conflict", f"the brand {brand.tenant!r} has no owner's account", field="vid")
    return owner


async def _take_name(work: Work, owner: User, name: str) -> None:
    if _USER_NAME.fullmatch(name) is None:
        expected = "2 to 48 letters, digits and . _ @ -, at least one of them a letter"
        raise FleetError("invalid", f"{name[:60]!r} is not a user name: {expected}", field="user")
    if not await store.take_phone(work, name, owner.tenant, owner.user):
        raise FleetError("invalid", f"the user name {name!r} is taken", field="user")


async def _rename_owner(work: Work, owner: User, name: str) -> None:
    if name == owner.login:
        return
    await _take_name(work, owner, name)
    other = await store.user_by_login(work, owner.tenant, name)
    if other is not None and other[0].user != owner.user:
        raise FleetError("invalid", f"the user name {name!r} is taken", field="user")
    await store.leave_phones(work, owner.tenant, owner.user, phone=owner.login)
    await store.change_user(work, owner.tenant, owner.user, login=name)


async def _change_phone(work: Work, owner: User, phone: str) -> None:
    if owner.phone:
        await store.leave_phones(work, owner.tenant, owner.user, phone=owner.phone)
    if phone and not await store.take_phone(work, phone, owner.tenant, owner.user):
        raise FleetError("invalid", "this number is that by which somebody else signs in", field="mobile")
    await store.change_user(work, owner.tenant, owner.user, phone=phone)
