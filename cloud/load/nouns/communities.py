"""Communities, their houses, and who lives there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from cloud.community.model import HouseNature, HouseStatus, HouseUse, Module, ResidentRole
from cloud.community.store import communities, houses, residents
from cloud.load.columns import WRITABLE, Dated, Id, Name, Phone, Row, Text
from cloud.load.noun import Draft, Run, TableNoun, chosen

Number = Annotated[str, Meta(min_length=1, max_length=20, pattern=WRITABLE)]


class CommunityRow(Dated, frozen=True, kw_only=True):
    """An estate."""

    community: Annotated[Id, Meta(title="小区编号", description="Its id, kept as it is, e.g. 00001.")]
    name: Annotated[Name, Meta(title="小区名称", description="What people call it.")]
    address: Annotated[Text, Meta(title="地址", description="Where it is.")] = ""
    manager: Annotated[Text, Meta(title="物业", description="Who manages it.")] = ""
    phone: Annotated[Phone, Meta(title="物业电话", description="The manager's phone.")] = ""
    closed_modules: Annotated[
        tuple[Module, ...],
        Meta(title="关闭模块", description="What residents do not find in their app; the rest is open."),
    ] = ()


class HouseRow(Row, frozen=True, kw_only=True):
    """One flat."""

    house: Annotated[Id, Meta(title="房屋编号", description="The house's id, kept as it is.")]
    community: Annotated[Id, Meta(title="小区编号", description="The community it stands in.")]
    building: Annotated[Number, Meta(title="楼号", description="The building.")]
    unit: Annotated[Number, Meta(title="单元", description="The entrance.")]
    floor: Annotated[Number, Meta(title="楼层", description="The floor.")]
    room: Annotated[Number, Meta(title="房间", description="The room's number.")]
    use: Annotated[HouseUse, Meta(title="房屋用途", description="What it is used for.")] = "住宅"
    nature: Annotated[HouseNature, Meta(title="房屋性质", description="Private or public.")] = "私有"
    status: Annotated[HouseStatus, Meta(title="房屋状态", description="Who uses it now.")] = "自用"


class _Houses(TableNoun[HouseRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[HouseRow]]) -> None:
        """No two houses at one place."""
        taken: dict[tuple[str, ...], str] = {}
        mine = {draft.after.house for draft in drafts}
        for here in chosen(run.work, houses.c.community, {draft.after.community for draft in drafts}):
            for row in await run.work.rows(select(houses).where(houses.c.tenant == brand, here)):
                if row.house not in mine:
                    taken[_place(row)] = row.house
        for draft in drafts:
            owner = taken.setdefault(_place(draft.after), draft.after.house)
            if owner != draft.after.house:
                draft.object("room", f"is where house {owner!r} is")


def _place(row: Any) -> tuple[str, ...]:
    return (row.community, row.building, row.unit, row.floor, row.room)


class ResidentRow(Row, frozen=True, kw_only=True):
    """Somebody who lives in a house."""

    resident: Annotated[Id, Meta(title="居民编号", description="The resident's id, kept as it is.")]
    house: Annotated[Id, Meta(title="房屋编号", description="The house.")]
    name: Annotated[Name, Meta(title="姓名", description="What the person is called.")]
    phone: Annotated[Phone, Meta(title="手机号", description="The person's phone.")] = ""
    id_card: Annotated[Text, Meta(title="身份证号", description="The number in the register.")] = ""
    role: Annotated[ResidentRole, Meta(title="居民角色", description="Owner, tenant, or a relative.")] = "业主"
    may_pay: Annotated[bool, Meta(title="可缴费", description="Whether bills of the house come here too.")] = True
    member: Annotated[Id | None, Meta(title="会员编号", description="The member that the person signs in as.")] = None


_NOW = {"changed_ms": lambda work: work.now_ms}
COMMUNITIES = TableNoun(
    "communities",
    "小区",
    CommunityRow,
    communities,
    ("community",),
    since="created_ms",
    touched=_NOW,
)
HOUSES = _Houses("houses", "房屋", HouseRow, houses, ("house",), references={"community": "communities"})
RESIDENTS = TableNoun(
    "residents", "居民", ResidentRow, residents, ("resident",), references={"house": "houses", "member": "members"}
)
