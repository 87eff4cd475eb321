"""Who plays in the demo: the machines, what lies in them, and who buys. All names are invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Goods:
    """One kind of goods; `price_fen` in fen."""

    goods: str
    name: str
    price_fen: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: `boards` tells how many motors each board drives, by its address; `program` is its agent's."""

    machine: str
    name: str
    place: str
    boards: dict[int, int]
    celsius: int
    program: tuple[str, ...] = ("-m", "edge_agent")

    @property
    def number(self) -> int:
        """The digits of its id."""
        return int(self.machine.rpartition("-")[2])

    def aisles(self) -> list[dict[str, Any]]:
        """Its planogram. Two neighbouring aisles hold the same goods, so that one can stand in for the other."""
        slots = [(board, motor) for board, motors in self.boards.items() for motor in range(motors)]
        return [
            {
                "aisle": f"{board}-{motor:02d}",
                "id": f"AI{self.number * 1_000 + number + 1}",
                "board": board,
                "motor": motor,
                "goods": GOODS[number // 2 % len(GOODS)].goods,
                "price_fen": GOODS[number // 2 % len(GOODS)].price_fen,
                "capacity": CAPACITY,
                "name": GOODS[number // 2 % len(GOODS)].name,
            }
            for number, (board, motor) in enumerate(slots)
        ]


@dataclass(frozen=True, slots=True)
class Purifier:
    """One purifier, paid by the pour; the front panel and the app sell the same water."""

    machine: str
    name: str
    place: str
    celsius: int = 22
    program: tuple[str, ...] = ("-m", "edge_agent")

    def config(self) -> dict[str, Any]:
        """What the cloud is told of it."""
        return {
            "outlets": [
                {
                    "warmth": outlet.warmth,
                    "relay": outlet.relay,
                    "price_fen_per_litre": outlet.price_fen_per_litre,
                    "nominal_ml_per_s": outlet.ml_per_s,
                }
                for outlet in OUTLETS
            ],
            "plan": {"plan": f"shop-{self.machine}", "mode": "vending"},
            "filters": [
                {"position": 1, "name": "PP 棉 PP cotton", "lifetime_hours": 4_320, "worklife_hours": 540},
                {"position": 2, "name": "RO 膜 RO membrane", "lifetime_hours": 17_520, "worklife_hours": 4_000},
                # Worn out while somebody looks.
                {
                    "position": SCREEN,
                    "name": "滤网 Screen",
                    "lifetime_hours": 4_320,
                    "worklife_hours": 540,
                    "litres_max": 2,
                    "warn_percent": 50,
                },
            ],
            "limits": {"pour_ml_max": 3_000},
        }


@dataclass(frozen=True, slots=True)
class Outlet:
    """One choice of temperature; `relay` opens its valve."""

    warmth: str
    relay: int
    price_fen_per_litre: int
    ml_per_s: int


# Fast outlets: a glass is full while one looks.
OUTLETS: Final = (Outlet("normal", 1, 40, 90), Outlet("cold", 2, 60, 90), Outlet("hot", 3, 80, 60))
GLASSES_ML: Final = (200, 300, 500, 1_000)

SCREEN: Final = 3  # the position of the filter that does not last long

CAPACITY: Final = 12
OPENING: Final = 4  # what lies in every aisle before the restocker comes
LOADED: Final = 6  # what the restocker puts in

GOODS: Final = (
    Goods("water-550", "云岭矿泉水 Spring water", 200),
    Goods("tea-jasmine", "茉莉清茶 Jasmine tea", 350),
    Goods("cola-330", "青柠可乐 Lime cola", 300),
    Goods("juice-orange", "橙光果汁 Orange juice", 450),
    Goods("coffee-latte", "拿铁咖啡 Latte", 650),
    Goods("milk-oat", "燕麦奶 Oat milk", 550),
    Goods("soda-peach", "白桃气泡水 Peach soda", 400),
    Goods("chips-salt", "海盐薯片 Sea salt chips", 500),
    Goods("biscuit-sesame", "芝麻饼干 Sesame biscuit", 380),
    Goods("nuts-mixed", "每日坚果 Mixed nuts", 880),
    Goods("bar-cocoa", "可可棒 Cocoa bar", 420),
    Goods("noodles-cup", "杯面 Cup noodles", 590),
    Goods("gum-mint", "薄荷口香糖 Mint gum", 250),
    Goods("tissue", "纸巾 Tissues", 150),
    Goods("yoghurt", "酸奶 Yoghurt", 620),
)

MACHINES: Final = (
    Machine("vm-0001", "图书馆一层 Library, ground floor", "north campus", {1: 60}, 5),
    Machine("vm-0002", "体育馆 Sports hall", "north campus", {1: 60}, 6),
    Machine("vm-0003", "宿舍三号楼 Dormitory 3", "south campus", {1: 20}, 7),
)

PURIFIERS: Final = (Purifier("wp-0001", "食堂门口 Canteen entrance", "north campus"),)

MEMBERS: Final = tuple(f"member-{number:02d}" for number in range(1, 9))
TOP_UP_FEN: Final = 500_000


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays, and where they differ from what everybody else is: as few lines as possible.

    physics: fields of the simulator's physics. agent: settings of every agent, by table and key. cloud: more options of
    the cloud's command.
    """

    machines: tuple[Machine, ...] = MACHINES
    purifiers: tuple[Purifier, ...] = ()
    physics: Mapping[str, int] = field(default_factory=dict)
    agent: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    cloud: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[Machine | Purifier, ...]:
        """All that has an agent."""
        return (*self.machines, *self.purifiers)


# Who plays when nobody says otherwise.
WHOLE_CAST: Final = Cast(purifiers=PURIFIERS)
