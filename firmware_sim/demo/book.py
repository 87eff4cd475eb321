"""The cast as a load file: what an operator would hand in before the machines arrive."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from firmware_sim.demo.cast import GOODS, MEMBERS, TOP_UP_FEN, Cast, Goods, Machine, Purifier

# The tenant of the first administrator, who runs the demo.
BRAND: Final = "main"

# Below the brand: who is responsible where.
SHOP: Final = "SH1"
UNITS: Final[list[dict[str, Any]]] = [
    {"unit": "AG1", "kind": "agent", "name": "华南代理"},
    {"unit": "DL1", "kind": "dealer", "name": "珠江经销", "parent": "AG1"},
    {"unit": "SH1", "kind": "shop", "name": "校园一店", "parent": "DL1", "address": "大学路 1 号", "contact": "小满"},
]
COMMUNITY: Final = {"community": "00001", "name": "云岭花园", "address": "大学路 2 号", "manager": "云岭物业"}
# What the water platform sells.
PRODUCT: Final = "YLBL0000000000000A01"

# Who buys one with the app, and who recommended it.
CUSTOMER, FRIEND = MEMBERS[:2]

# The first of the goods are drinks.
DRINKS: Final = 7
PURIFIER: Final = {
    "product": PRODUCT,
    "name": "云岭厨下净水机",
    "price_fen": 198_000,
    "list_price_fen": 268_000,
    "commission": {"enabled": True, "levels": [1_000, 500, 200]},
}
# Rented out under an older system, and not renewed: the week of grace is over.
OVERDUE: Final = "ZL-0001"
RENTED_OUT: Final = "YLBL0000ZL00AAAA"
BEGAN_DAYS_AGO, ENDED_DAYS_AGO = 38, 8
SUPPLIER: Final = {"supplier": "SP1", "name": "清泉饮品", "contact": "立秋", "mobile": "13900003001"}


# What lies in the shop's warehouse of each kind of goods.
WAREHOUSE: Final = 500


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in with an old program; the password is drawn anew for every run. Without a role: a member."""

    login: str
    name: str
    phone: str
    role: str | None = None
    unit: str | None = None
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15), repr=False)

    @property
    def sent(self) -> str:
        """What old programs send of the password."""
        return hashlib.md5(self.password.encode(), usedforsecurity=False).hexdigest()


# Whom the first administrator makes one of the platform's own people.
PLATFORM: Final = "lichun"


def old_programs() -> dict[str, Person]:
    """Who uses the official account, the water platform's offices, and its app."""
    return {
        "restocker": Person("lixia", "立夏", "13900002001", "operator", SHOP),
        "platform": Person(PLATFORM, "立春", "13900002000", "owner"),
        "office": Person("guyu", "谷雨", "13900002002", "owner"),
        "agent": Person("xiaoshu", "小暑", "13900002005", "owner", "AG1"),
        "customer": Person(CUSTOMER, CUSTOMER.title(), "13900002003"),
        "friend": Person(FRIEND, FRIEND.title(), "13900002004"),
    }


def barcode(number: int) -> str:
    """What is printed on goods, by their place in the list of goods."""
    return f"69000000{number:05d}"


def write_book(path: Path, cast: Cast, people: dict[str, Person]) -> None:
    """Write everything that must be there before a machine says hello."""
    book = {
        "brands": [{"brand": BRAND, "name": "云岭便利", "code": "YLBL"}],
        "units": UNITS,
        "accounts": [_account(person) for person in people.values() if person.role is not None],
        "categories": [{"category": "VGC1", "name": "饮料"}, {"category": "VGC2", "name": "零食百货"}],
        "goods": [_goods(number, one) for number, one in enumerate(GOODS)],
        "warehouse": [{"shop": SHOP, "goods": one.goods, "on_hand": WAREHOUSE} for one in GOODS],
        "products": [PURIFIER],
        "machines": [*(_machine(machine) for machine in cast.everybody), _rented_out()],
        "aisles": [{"machine": one.machine, **aisle} for one in cast.machines for aisle in one.aisles()],
        "members": [_member(one, people) for one in MEMBERS],
        "rentals": [_rental()],
        "suppliers": [SUPPLIER],
        "supplied_goods": [{"supplier": "SP1", "goods": GOODS[0].goods, "spec": "24 x 550 ml", "price_fen": 90}],
        "communities": [COMMUNITY],
    }
    path.write_text(json.dumps(book, ensure_ascii=False, indent=1), encoding="utf-8")


def _rented_out() -> dict[str, Any]:
    at_home = Purifier(RENTED_OUT, "云岭厨下净水机", "at home")
    return {"machine": RENTED_OUT, "name": at_home.name, "place": at_home.place, "purifier": at_home.config()}


def _rental() -> dict[str, Any]:
    today = datetime.now(UTC).replace(microsecond=0)
    began, ends = (today - timedelta(days=days) for days in (BEGAN_DAYS_AGO, ENDED_DAYS_AGO))
    row = {"rental": OVERDUE, "product": PRODUCT, "member": FRIEND, "machine": RENTED_OUT, "state": "running"}
    return row | {
        "bought_days": 30,
        "began": began.isoformat(),
        "ends": ends.isoformat(),
    }


def _account(person: Person) -> dict[str, Any]:
    row = {"user": f"u-{person.login}", "login": person.login, "name": person.name, "phone": person.phone}
    return row | {"role": person.role, "unit": person.unit, "password_md5": person.sent}


def _goods(number: int, goods: Goods) -> dict[str, Any]:
    row = {"goods": goods.goods, "name": goods.name, "price_fen": goods.price_fen, "barcode": barcode(number)}
    return row | {"categories": ["VGC1" if number < DRINKS else "VGC2"]}


def _member(member: str, people: dict[str, Person]) -> dict[str, Any]:
    row: dict[str, Any] = {"member": member, "name": member.title(), "opening_fen": TOP_UP_FEN}
    signs_in = next((one for one in people.values() if one.login == member), None)
    if signs_in is not None:
        row |= {"sign_in_phone": signs_in.phone, "password_md5": signs_in.sent}
    return row


def _machine(machine: Any) -> dict[str, Any]:
    row = {"machine": machine.machine, "name": machine.name, "place": machine.place, "shop": SHOP}
    row |= {"number": machine.machine[-4:], "keeper": "小满", "keeper_phone": "13900002009"}
    if isinstance(machine, Machine):
        return row | {"temperature_low_tenths_c": 10, "temperature_high_tenths_c": 150}
    return row | {"purifier": machine.config()}
