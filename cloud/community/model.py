"""Communities, houses and residents. Pure.

The words of houses and residents are those of the registers that property managers keep, in Chinese; a register that
says something else is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HouseUse = Literal["住宅", "生产", "经营", "仓储", "教育", "文化", "办公", "商业", "其他"]
HouseNature = Literal["私有", "公有", "其他"]
HouseStatus = Literal["自用", "闲置", "借用", "空挂", "租用", "拆迁", "其他"]
ResidentRole = Literal[
    "业主",
    "租客",
    "家属",
    "丈夫",
    "妻子",
    "父亲",
    "母亲",
    "爷爷",
    "奶奶",
    "姥爷",
    "姥姥",
    "儿子",
    "女儿",
    "其他",
]
# What residents may find in their app, each opened or closed by community.
Module = Literal[
    "绑定房屋",
    "绑定家属",
    "生活缴费",
    "物业报修",
    "云停车场",
    "投诉建议",
    "公告通知",
    "应急电话",
    "访客通行",
]


@dataclass(frozen=True, slots=True)
class Community:
    """An estate. Its id is that of the register ("00001"): zeros at its front count."""

    tenant: str
    community: str
    name: str
    address: str
    manager: str
    phone: str
    closed_modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class House:
    """One flat, found by building, unit, floor and room."""

    tenant: str
    house: str
    community: str
    building: str
    unit: str
    floor: str
    room: str
    use: HouseUse
    nature: HouseNature
    status: HouseStatus


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody who lives in a house. `member`: the account by which he or she pays; None before registering."""

    tenant: str
    resident: str
    house: str
    name: str
    phone: str
    id_card: str
    role: ResidentRole
    may_pay: bool
    member: str | None
