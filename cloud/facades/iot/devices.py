"""Devices: machines, put on the list, configured, bound to users, shared, cleared and taken out of service."""

from __future__ import annotations

import json
from typing import Any

from cloud.accounts.brand_profile import brand_named
from cloud.accounts.model import Permission
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.devices_shapes import (
    BasicChange,
    BasicTold,
    BindAsk,
    DeviceChangeAsk,
    DevicesAsk,
    DevicesTold,
    DeviceTold,
    RegisterAsk,
    RunStateTold,
    ServiceChangeAsk,
    ServiceTold,
    ShareQuery,
    StatisticsTold,
    StatTold,
)
from cloud.facades.iot.wire import BRANDS, CUSTOMERS, OFFICES, PLATFORM, allow, moment_ms, same_id
from cloud.leaving import device_is_cleared, device_retires
from cloud.machines.profile import (
    DeviceChange,
    ServiceChange,
    change_device,
    change_service,
    device_of,
    register_devices,
)
from cloud.members import devices as homes
from cloud.products.model import UNSPECIFIED, Product
from cloud.products.shelf import products_of, refit_machines
from cloud.rentals.begin import begin_at_home
from cloud.water.devices import CONDITIONS, DeviceSeen, device_seen
from cloud.water.devices import list_devices as list_devices_seen
from cloud.water.equip import equip

# What the owner of a device may say of it.
_HIS = {"name", "remark", "device_id"}


async def list_devices(call: Call[Nothing, DevicesAsk]) -> DevicesTold:
    """Devices: those of all brands for the platform, of one for a brand, of its shops for an agent or dealer."""
    found = await list_devices_seen(call.work, call.subject.reach, call.query.ask)
    return DevicesTold(total=found.total, devices=[DeviceTold.of(seen) for seen in found.items])


async def register_device(call: Call[RegisterAsk, Nothing]) -> None:
    """Put devices on a brand's list, all of them or none. Each is trusted once it has got its secret."""
    vendor, product = call.body.vendor_id, call.body.product_id
    await brand_named(call.work, vendor)
    if product:
        await _product(call, vendor, product)
    await register_devices(call.work, vendor, call.body.device_ids, call.body.profile())
    if product:
        await refit_machines(call.work, vendor, [product])


async def read_device(call: Call[Nothing, Nothing]) -> DeviceTold:
    """One device: what was decided for it, and what it reported. A user reads his own and those shared with him."""
    return DeviceTold.of(await _seen(call))


async def change_device_info(call: Call[DeviceChangeAsk, Nothing]) -> DeviceTold:
    """Configure a device. What it enforces itself (`type`, `service`) reaches it as its signed configuration.

    Its owner gives it a name and a remark and no more. The answer shows the version decided and the one it reported.
    """
    same_id("device_id", call.body.device_id, call.path["did"])
    seen = await _seen(call)
    body = _his(call, seen) if call.subject.level == "customer" else call.body
    change = _described(body, body.basic or BasicChange(), seen)
    if change.product and change.product != seen.profile.product:
        await _equip(call, seen, change.product)
    await change_device(call.work, seen.machine.tenant, seen.machine.machine, change)
    service = body.service or ServiceChangeAsk()
    await _serve(call, seen, service, body.type or service.type)
    return DeviceTold.of(await _seen(call))


async def read_device_basic(call: Call[Nothing, Nothing]) -> BasicTold:
    """What is known of a device's electronics and its way into the network."""
    return BasicTold.of(await _seen(call))


async def change_device_basic(call: Call[BasicChange, Nothing]) -> BasicTold:
    """Note what is known of a device's electronics and its way into the network."""
    seen = await _seen(call)
    change = _described(DeviceChangeAsk(), call.body, seen)
    await change_device(call.work, seen.machine.tenant, seen.machine.machine, change)
    return BasicTold.of(await _seen(call))


async def read_device_service(call: Call[Nothing, Nothing]) -> ServiceTold:
    """Whether a device is in service, and until when."""
    return ServiceTold.of(await _seen(call))


async def change_device_service(call: Call[ServiceChangeAsk, Nothing]) -> ServiceTold:
    """Stop a device or let it go on (`state` 1, 0), and set the end of its service (`expire`; 0: none).

    The end becomes a part of its signed configuration, the stop is a command: both hold without a network.
    """
    await _serve(call, await _seen(call), call.body, call.body.type)
    return ServiceTold.of(await _seen(call))


async def read_device_state(call: Call[Nothing, Nothing]) -> StatTold:
    """How a device is, and what it has done so far: both by its own word. One answer, because both have one path."""
    seen = await _seen(call)
    return StatTold(
        state=CONDITIONS.index(seen.condition),
        run_state=RunStateTold.of(seen),
        statistics=StatisticsTold.of(seen.figures),
    )


async def bind_device(call: Call[BindAsk, Nothing]) -> DeviceTold:
    """Bind a device to a user: to the caller, or for staff to `user_id`. An agreed rental of its product begins.

    Its owner who names somebody else shares it with him. A device of somebody else: 403.
    """
    named = call.body.user_id
    if call.subject.level == "customer":
        return await _bind_own(call, named)
    seen = await _seen(call)
    if not named:
        raise FleetError("invalid", "say whose it is to be", field="user_id")
    await _bind(call, seen.machine.tenant, named)
    return DeviceTold.of(await _seen(call))


async def clear_device(call: Call[Nothing, Nothing]) -> None:
    """As it left the factory: nobody's, without a name, shared with nobody, and with an empty configuration.

    Its registration, how it was made and everything that was booked stay. 400 while something is underway at it.
    """
    machine = (await _seen(call)).machine
    await device_is_cleared(call.work, call.parts.credentials, machine.tenant, machine.machine, call.subject.user)


async def unbind_device(call: Call[Nothing, Nothing]) -> None:
    """The device is nobody's any more, and shared with nobody."""
    seen = await _seen(call)
    if call.subject.level == "customer":
        _check_owner(call, seen)
    await homes.unbind(call.work, seen.machine.tenant, seen.machine.machine)


async def delete_device(call: Call[Nothing, Nothing]) -> None:
    """Out of service for good: trusted no more, its number never used again. 400 while something is underway at it."""
    machine = (await _seen(call)).machine
    await device_retires(call.work, machine.tenant, machine.machine)
    call.work.after_commit(call.parts.credentials_changed)


async def share_device(call: Call[BindAsk, Nothing]) -> DeviceTold:
    """Share a device with another user of the brand, by his number or his mobile.

    An addition: the documentation puts it on the path of binding, where it works as well.
    """
    return await _share(call, await _guest(call))


async def end_device_share(call: Call[Nothing, ShareQuery]) -> None:
    """End one share (`user_id`), or all of a device's; a guest ends his own."""
    seen = await _seen(call)
    guest: str | None = call.query.user_id or None
    if call.subject.level == "customer" and seen.owner != call.subject.user:
        if guest not in (None, call.subject.user):
            raise FleetError("forbidden", "a guest ends his own share, no other", field="user_id")
        guest = call.subject.user
    await homes.end_share(call.work, seen.machine.tenant, seen.machine.machine, guest)


async def _seen(call: Call[Any, Any]) -> DeviceSeen:
    return await device_seen(call.work, call.subject.reach, call.path["did"])


def _his(call: Call[DeviceChangeAsk, Nothing], seen: DeviceSeen) -> DeviceChangeAsk:
    """What an owner may change; he may send back the rest of the device as he read it."""
    _check_owner(call, seen)
    present = DeviceChangeAsk.model_validate(DeviceTold.of(seen).model_dump())
    for name in sorted(call.body.model_fields_set - _HIS):
        if getattr(call.body, name) not in (None, "", getattr(present, name)):
            raise FleetError("forbidden", "a user gives his device a name and a remark, no more", field=name)
    return DeviceChangeAsk(name=call.body.name, remark=call.body.remark)


def _check_owner(call: Call[Any, Any], seen: DeviceSeen) -> None:
    if seen.owner != call.subject.user:
        raise FleetError("forbidden", "only its owner may do this", field="device_id")


def _described(body: DeviceChangeAsk, basic: BasicChange, seen: DeviceSeen) -> DeviceChange:
    manufacture, notes = body.manufacture, dict(body.installation or {})
    installer, installed = notes.pop("installer_id", None), notes.pop("install_tms", None)
    kept = {**json.loads(seen.profile.installation), **notes}
    return DeviceChange(
        name=body.name or None,
        remark=body.remark,
        brand=body.brand,
        model=body.model,
        hw_version=body.hw_version,
        sw_version=body.sw_version,
        fw_version=body.fw_version,
        assembled_ms=body.asm_tms,
        manufactured_ms=body.manufacture_tms,
        product=manufacture.product_id if manufacture else None,
        inspector=manufacture.qc_id if manufacture else None,
        inspected_ms=manufacture.qc_tms if manufacture else None,
        installer=str(installer)[:48] if installer is not None else None,
        installed_ms=moment_ms("install_tms", installed),
        installation=json.dumps(kept, ensure_ascii=False) if notes else None,
        coordinates=body.lbs_coord if body.lbs_coord is not None else basic.lbs_coord,
        platform=basic.platform,
        project=basic.project,
        net_entry=basic.net_entry,
        net_type=basic.net_type,
        hardware_id=basic.dev_idcd,
        iccid=basic.sim_iccid,
    )


async def _serve(call: Call[Any, Any], seen: DeviceSeen, asked: ServiceChangeAsk, mode: str | None) -> None:
    change = ServiceChange(
        mode=mode or None,  # type: ignore[arg-type]
        ends_ms=(asked.expire or 0) if "expire" in asked.model_fields_set else None,
        stopped=None if asked.state is None else asked.state == 1,
    )
    machine = seen.machine
    credentials, made_by = call.parts.credentials, call.subject.user
    await change_service(call.work, credentials, machine.tenant, machine.machine, change, made_by)


async def _equip(call: Call[Any, Any], seen: DeviceSeen, number: str) -> None:
    """The device is one of this product: it becomes what the product's specification says, where there is one."""
    machine = seen.machine
    product = await _product(call, machine.tenant, number)
    if product.specification != UNSPECIFIED:
        credentials, made_by = call.parts.credentials, call.subject.user
        await equip(call.work, credentials, machine.tenant, machine.machine, product.specification, made_by)


async def _product(call: Call[Any, Any], tenant: str, number: str) -> Product:
    found = (await products_of(call.work, tenant, {number})).get(number)
    if found is None:
        raise FleetError("invalid", f"there is no product {number!r}", field="product_id")
    return found


async def _bind_own(call: Call[BindAsk, Nothing], named: str) -> DeviceTold:
    me, machine = call.subject.user, call.path["did"]
    owner = await homes.owner_of(call.work, call.tenant, machine)
    if owner == me and (call.body.mobile or named not in ("", me)):
        return await _share(call, await _guest(call))
    if named not in ("", me):
        raise FleetError("forbidden", "a user binds a device to himself", field="user_id")
    await _bind(call, call.tenant, me)
    return DeviceTold.of(await _seen(call))


async def _bind(call: Call[Any, Any], tenant: str, member: str) -> None:
    machine = call.path["did"]
    await device_of(call.work, tenant, machine)
    await homes.bind(call.work, tenant, machine, member)
    seen = await device_seen(call.work, call.subject.reach, machine)
    await begin_at_home(call.work, tenant, member, machine, seen.profile.product or None)


async def _guest(call: Call[BindAsk, Nothing]) -> str:
    if call.body.user_id:
        return call.body.user_id
    if not call.body.mobile:
        raise FleetError("invalid", "say with whom: user_id or mobile", field="user_id")
    return await homes.member_by_phone(call.work, call.tenant, call.body.mobile)


async def _share(call: Call[BindAsk, Nothing], guest: str) -> DeviceTold:
    await _seen(call)
    await homes.share(call.work, call.tenant, call.path["did"], call.subject.user, guest)
    return DeviceTold.of(await _seen(call))


_READ = allow(OFFICES, Permission.MACHINES_READ)
_READ_OWN = allow(OFFICES | CUSTOMERS, Permission.MACHINES_READ)
_OFFICE = allow(OFFICES | CUSTOMERS, Permission.MACHINES_PROVISION)
_BRAND = allow(BRANDS, Permission.MACHINES_PROVISION)
_BRAND_OR_OWNER = allow(BRANDS | CUSTOMERS, Permission.MACHINES_PROVISION)
_PLATFORM = allow(PLATFORM, Permission.MACHINES_PROVISION)
D = "/devices/{did}"

OPERATIONS = (
    Operation("GET", "/devices", _READ, list_devices),
    Operation("POST", "/devices", _PLATFORM, register_device, changes="device.register", success=201),
    Operation("GET", D, _READ_OWN, read_device),
    Operation("PUT", D, _OFFICE, change_device_info, changes="device.change", success=201),
    Operation("GET", f"{D}/prof", _READ_OWN, read_device_basic),
    Operation("PUT", f"{D}/prof", _BRAND, change_device_basic, changes="device.change_basic", success=201),
    Operation("GET", f"{D}/svc", _READ_OWN, read_device_service),
    Operation("PUT", f"{D}/svc", _BRAND, change_device_service, changes="device.change_service", success=201),
    Operation("GET", f"{D}/stat", _READ_OWN, read_device_state),
    Operation("POST", f"{D}/bind", _OFFICE, bind_device, changes="device.bind", success=201),
    Operation("DELETE", f"{D}/infos", _BRAND, clear_device, changes="device.clear", success=204),
    Operation("DELETE", f"{D}/bind", _BRAND_OR_OWNER, unbind_device, changes="device.unbind", success=204),
    Operation("DELETE", D, _PLATFORM, delete_device, changes="device.retire", success=204),
    Operation("POST", f"{D}/share", allow(CUSTOMERS), share_device, changes="device.share", success=201),
    Operation("DELETE", f"{D}/share", _OFFICE, end_device_share, changes="device.end_share", success=204),
)
