"""The cast as a load file: what an operator would hand in before the machines arrive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from firmware_sim.demo.cast import GOODS, MEMBERS, TOP_UP_FEN, Cast, Machine

# The tenant of the first administrator, who runs the demo.
BRAND: Final = "main"

# Below the brand: who is responsible where. Nobody of them signs in: the people of the demo use the app and the panels.
UNITS: Final[list[dict[str, Any]]] = [
    {"unit": "AG1", "kind": "agent", "name": "华南代理"},
    {"unit": "DL1", "kind": "dealer", "name": "珠江经销", "parent": "AG1"},
    {"unit": "SH1", "kind": "shop", "name": "校园一店", "parent": "DL1", "address": "大学路 1 号", "contact": "小满"},
]
COMMUNITY: Final = {"community": "00001", "name": "云岭花园", "address": "大学路 2 号", "manager": "云岭物业"}
SUPPLIER: Final = {"supplier": "SP1", "name": "清泉饮品", "contact": "立秋", "mobile": "13900003001"}


def write_book(path: Path, cast: Cast) -> None:
    """Write everything that must be there before a machine says hello."""
    book = {
        "brands": [{"brand": BRAND, "name": "云岭便利", "code": "YLBL"}],
        "units": UNITS,
        "goods": [{"goods": one.goods, "name": one.name, "price_fen": one.price_fen} for one in GOODS],
        "machines": [_machine(machine) for machine in cast.everybody],
        "aisles": [{"machine": one.machine, **aisle} for one in cast.machines for aisle in one.aisles()],
        "members": [{"member": one, "name": one.title(), "opening_fen": TOP_UP_FEN} for one in MEMBERS],
        "suppliers": [SUPPLIER],
        "supplied_goods": [{"supplier": "SP1", "goods": GOODS[0].goods, "spec": "24 x 550 ml", "price_fen": 90}],
        "communities": [COMMUNITY],
    }
    path.write_text(json.dumps(book, ensure_ascii=False, indent=1), encoding="utf-8")


def _machine(machine: Any) -> dict[str, Any]:
    row = {"machine": machine.machine, "name": machine.name, "place": machine.place, "shop": "SH1"}
    if isinstance(machine, Machine):
        return row | {"temperature_low_tenths_c": 10, "temperature_high_tenths_c": 150}
    return row | {"purifier": machine.config()}
