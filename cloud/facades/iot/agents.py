"""Agents: brand -> agent -> dealer (-> shop), each opened by the one above it, with an account of its own.

The documentation lists what there is to do and gives no paths; all of these are additions, in its envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from cloud.accounts.agents import list_units, open_agent
from cloud.accounts.model import PASSWORD_CHARS_MAX, Permission, Unit, UnitKind
from cloud.accounts.units import change_unit, unit_seen
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.wire import OFFICES, PLATFORM, Asked, Listed, Single, Window, allow, iso
from cloud.limits import LINK_CHARS_MAX, NAME_CHARS_MAX, PHONE
from cloud.machines.offices import unit_leaves

Id = Annotated[str, Field(max_length=48)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
Line = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
Mobile = Annotated[str, Field(pattern=r"^\+?[0-9]{6,20}$")]


class AgentTold(Single):
    """An agent, a dealer or a shop; `parent_id` is "" directly below the brand. `state` 0 is shut out, 2 active."""

    top: ClassVar[tuple[str, ...]] = ("agent_id",)
    agent_id: str
    type: UnitKind
    name: str
    parent_id: str
    contact: str
    mobile: str
    address: str
    logo: str
    state: int
    create_tms: str
    vid: str

    @classmethod
    def of(cls, unit: Unit) -> AgentTold:
        """A unit in the words of this dialect."""
        return cls(
            agent_id=unit.unit,
            type=unit.kind,
            name=unit.name,
            parent_id=unit.parent or "",
            contact=unit.contact,
            mobile=unit.phone,
            address=unit.address,
            logo=unit.logo,
            state=0 if unit.disabled else 2,
            create_tms=iso(unit.created_ms),
            vid=unit.tenant,
        )


class AgentsTold(Listed):
    agents: list[AgentTold]


class AgentAdded(Single):
    top: ClassVar[tuple[str, ...]] = ("agent_id", "uid")
    agent_id: str
    uid: str


class AgentsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "agent_id": "unit",
        "type": "kind",
        "name": "name",
        "parent_id": "parent",
        "mobile": "phone",
        "create_tms": "created_ms",
        "vid": "tenant",
    }
    agent_id: Id | None = None
    type: UnitKind | None = None
    name: Line | None = None
    parent_id: Id | None = None
    mobile: Line | None = None
    vid: Id | None = None


class AgentAsk(Asked):
    """`mobile` and `pwd` (plain or as MD5) are what its owner signs in by; `parent_id` "" is the caller himself."""

    type: UnitKind
    name: Name
    mobile: Mobile
    pwd: Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
    parent_id: Id = ""
    contact: Line = ""
    address: Line = ""
    logo: Annotated[str, Field(max_length=LINK_CHARS_MAX)] = ""


class AgentChange(Asked):
    """What is left out stays. `state` 0 shuts out its people and those below it, 2 lets them in again."""

    name: Name | None = None
    contact: Line | None = None
    mobile: Annotated[str, Field(pattern=PHONE)] | None = None
    address: Line | None = None
    logo: Annotated[str, Field(max_length=LINK_CHARS_MAX)] | None = None
    state: Annotated[int, Field(ge=0, le=2)] | None = None


async def list_agents(call: Call[Nothing, AgentsAsk]) -> AgentsTold:
    """The agents, dealers and shops within reach, from the top down. An addition to the documented operations."""
    found = await list_units(call.work, call.subject.reach, call.query.ask)
    return AgentsTold(total=found.total, agents=[AgentTold.of(unit) for unit in found.items])


async def read_agent(call: Call[Nothing, Nothing]) -> AgentTold:
    """One agent, dealer or shop. An addition to the documented operations."""
    return AgentTold.of(await unit_seen(call.work, call.subject.reach, call.tenant, call.path["id"]))


async def add_agent(call: Call[AgentAsk, Nothing]) -> AgentAdded:
    """Open an agent, a dealer or a shop below oneself, with its owner's account.

    An addition to the documented operations.
    """
    body = call.body
    unit, owner = await open_agent(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        kind=body.type,
        name=body.name,
        parent=body.parent_id or None,
        phone=body.mobile,
        sent=body.pwd.get_secret_value(),
        contact=body.contact,
        address=body.address,
        logo=body.logo,
        request_id=call.request_id,
    )
    return AgentAdded(agent_id=unit.unit, uid=owner.user)


async def change_agent(call: Call[AgentChange, Nothing]) -> AgentTold:
    """Describe an agent below oneself anew, shut it out or let it in. An addition to the documented operations."""
    body = call.body
    unit = await _below(call)
    changed = await change_unit(
        call.work,
        call.tenant,
        unit.unit,
        name=body.name,
        logo=body.logo,
        address=body.address,
        contact=body.contact,
        phone=body.mobile,
        disabled=None if body.state is None else body.state != 2,
    )
    return AgentTold.of(changed)


async def remove_agent(call: Call[Nothing, Nothing]) -> None:
    """Take an agent below oneself away, once nothing stands in it. An addition to the documented operations."""
    await unit_leaves(call.work, call.tenant, (await _below(call)).unit)


async def _below(call: Call[AgentChange, Nothing] | Call[Nothing, Nothing]) -> Unit:
    """A unit that stands below the caller: nobody changes or removes his own."""
    found = await unit_seen(call.work, call.subject.reach, call.tenant, call.path["id"])
    if found.closed_ms is not None:
        raise FleetError("gone", f"the agent {found.unit!r} was taken away", field="agent_id")
    own = call.subject.unit
    if own is not None and found.unit == own.unit:
        raise FleetError("forbidden", "an agent is changed by the one above it", field="agent_id")
    return found


# The platform opens brands; what stands below one is the brand's own business. It sees all of it.
_BELOW = OFFICES - PLATFORM
_READ, _MANAGE = Permission.USERS_READ, Permission.USERS_MANAGE
OPERATIONS = (
    Operation("GET", "/agents", allow(OFFICES, _READ), list_agents),
    Operation("POST", "/agents", allow(_BELOW, _MANAGE), add_agent, changes="agent.add", success=201, transacted=False),
    Operation("GET", "/agents/{id}", allow(_BELOW, _READ), read_agent),
    Operation("PUT", "/agents/{id}", allow(_BELOW, _MANAGE), change_agent, changes="agent.change", success=201),
    Operation("DELETE", "/agents/{id}", allow(_BELOW, _MANAGE), remove_agent, changes="agent.remove", success=204),
)
