"""Rights and settings: who may do what, and what a brand chose for itself.

The documentation names both chapters without operations; all of these are additions, in its envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr

from cloud.accounts.model import LEVELS, PASSWORD_CHARS_MAX, POLICY, ROLES, Permission, Role, User
from cloud.accounts.options import choose, options_of
from cloud.accounts.people import tenant_named
from cloud.accounts.staff import change_staff, hire, list_staff
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.wire import BRANDS, OFFICES, PLATFORM, Asked, Listed, Single, Told, Window, allow, iso
from cloud.limits import NAME_CHARS_MAX

Id = Annotated[str, Field(max_length=48)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
Area = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
# Degrees of longitude and latitude, e.g. 113.55,22.22.
Coordinates = Annotated[str, Field(max_length=60)]
Mobile = Annotated[str, Field(pattern=r"^\+?[0-9]{6,20}$")]


class RoleTold(Told):
    role: Role
    permissions: list[Permission]


class RightsTold(Single):
    """What every role may do, and what the caller is."""

    roles: list[RoleTold]
    levels: list[str]
    role: str
    level: str


class StaffTold(Single):
    """Somebody who works here; `agent_id` is "" for the whole brand. `state` 0 is shut out, 2 active."""

    top: ClassVar[tuple[str, ...]] = ("uid",)
    uid: str
    name: str
    mobile: str
    role: Role
    agent_id: str
    area: str
    lbs_coord: str
    state: int
    create_tms: str
    vid: str

    @classmethod
    def of(cls, user: User) -> StaffTold:
        """A user in the words of this dialect."""
        return cls(
            uid=user.user,
            name=user.name,
            mobile=user.phone,
            role=user.role,
            agent_id=user.unit or "",
            area=user.area,
            lbs_coord=user.coordinates,
            state=0 if user.disabled else 2,
            create_tms=iso(user.created_ms),
            vid=user.tenant,
        )


class StaffListTold(Listed):
    staff: list[StaffTold]


class StaffAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "uid": "user",
        "name": "name",
        "mobile": "phone",
        "role": "role",
        "agent_id": "unit",
        "create_tms": "created_ms",
        "vid": "tenant",
    }
    uid: Id | None = None
    name: Annotated[str, Field(max_length=100)] | None = None
    mobile: Annotated[str, Field(max_length=32)] | None = None
    role: Role | None = None
    agent_id: Id | None = None
    vid: Id | None = None


class HireAsk(Asked):
    """`mobile` and `pwd` (plain or as MD5) are what he signs in by; `agent_id` "" is where the caller works himself.

    `area` (province, city, district) and `lbs_coord` say where he works from, for tickets that go to the nearest.
    """

    name: Name
    role: Role
    mobile: Mobile
    pwd: Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
    agent_id: Id = ""
    area: Area = ""
    lbs_coord: Coordinates = ""


class StaffChange(Asked):
    """What is left out stays. `state` 0 shuts him out, 2 lets him in again."""

    name: Name | None = None
    role: Role | None = None
    area: Area | None = None
    lbs_coord: Coordinates | None = None
    state: Annotated[int, Field(ge=0, le=2)] | None = None


class SettingsAsk(Asked):
    """Any options by name; null takes one back to its default. `vid` names the brand for callers of the platform."""

    model_config = ConfigDict(extra="allow", frozen=True)
    vid: Id = ""


class OfBrand(Asked):
    """`vid` names the brand for callers of the platform."""

    vid: Id = ""


class SettingsTold(Single):
    top: ClassVar[tuple[str, ...]] = ("settings",)
    vid: str
    settings: dict[str, Any]


async def list_rights(call: Call[Nothing, Nothing]) -> RightsTold:
    """What every role may do, and what the caller is. An addition to the documented operations."""
    roles = [RoleTold(role=role, permissions=sorted(POLICY[role])) for role in ROLES]
    return RightsTold(roles=roles, levels=list(LEVELS), role=call.subject.role, level=call.subject.level)


async def list_people(call: Call[Nothing, StaffAsk]) -> StaffListTold:
    """The people who work within reach. An addition to the documented operations."""
    found = await list_staff(call.work, call.subject.reach, call.query.ask)
    return StaffListTold(total=found.total, staff=[StaffTold.of(user) for user in found.items])


async def add_person(call: Call[HireAsk, Nothing]) -> StaffTold:
    """An account for somebody within reach, with a role that may do no more than the caller's.

    An addition to the documented operations.
    """
    body = call.body
    hired = await hire(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        name=body.name,
        role=body.role,
        phone=body.mobile,
        sent=body.pwd.get_secret_value(),
        unit=body.agent_id or None,
        area=body.area,
        coordinates=body.lbs_coord,
        request_id=call.request_id,
    )
    return StaffTold.of(hired)


async def change_person(call: Call[StaffChange, Nothing]) -> StaffTold:
    """Change the role of somebody within reach, or where he works from; shut him out or let him in. An addition."""
    body = call.body
    disabled = None if body.state is None else body.state != 2
    changed = await change_staff(
        call.work,
        call.subject,
        call.path["uid"],
        name=body.name,
        role=body.role,
        disabled=disabled,
        area=body.area,
        coordinates=body.lbs_coord,
    )
    return StaffTold.of(changed)


async def read_settings(call: Call[Nothing, OfBrand]) -> SettingsTold:
    """What the brand chose for itself: who is sent to tickets, when an aisle is short, the time zone, and its own.

    An addition to the documented operations.
    """
    tenant = await _brand(call, call.query.vid)
    return SettingsTold(vid=tenant, settings=await options_of(call.work, tenant))


async def change_settings(call: Call[SettingsAsk, Nothing]) -> SettingsTold:
    """Choose: options that are known are held to what they may be, others are kept as they come.

    An addition to the documented operations.
    """
    tenant = await _brand(call, call.body.vid)
    return SettingsTold(vid=tenant, settings=await choose(call.work, tenant, call.body.model_extra or {}))


async def _brand(call: Call[Any, Any], vid: str) -> str:
    """The brand that is meant: one's own, or for the platform the one it names."""
    if call.subject.level != "platform" or not vid:
        return call.tenant
    return (await tenant_named(call.work, vid)).tenant


_READ, _MANAGE = Permission.USERS_READ, Permission.USERS_MANAGE
# Whom the platform hires are its own people; those of a brand are hired there.
_BELOW = OFFICES - PLATFORM
OPERATIONS = (
    Operation("GET", "/rights", allow(OFFICES), list_rights),
    Operation("GET", "/staff", allow(OFFICES, _READ), list_people),
    Operation("POST", "/staff", allow(_BELOW, _MANAGE), add_person, changes="staff.add", success=201, transacted=False),
    Operation("PUT", "/staff/{uid}", allow(_BELOW, _MANAGE), change_person, changes="staff.change", success=201),
    Operation("GET", "/settings", allow(OFFICES, Permission.CATALOG_READ), read_settings),
    Operation("PUT", "/settings", allow(BRANDS, _MANAGE), change_settings, changes="settings.change", success=201),
)
