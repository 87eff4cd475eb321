"""The people of the demo: buyers with an app, people at the machines, and a technician who looks after both."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from firmware_sim.demo.cast import GLASSES_ML, GOODS, MEMBERS, OUTLETS, Machine, Purifier
from firmware_sim.demo.documented import Answers
from firmware_sim.demo.processes import Failed
from firmware_sim.demo.stage import Stage
from firmware_sim.demo.stories import STORIES, Story
from firmware_sim.demo.wire import Refused

# Seconds between two of the same kind, on average. A human pace for three machines; a vend takes about four.
ORDER_EVERY_S: Final = 2.5
PRESS_EVERY_S: Final = 4.0
POUR_EVERY_S: Final = 6.0
TAP_EVERY_S: Final = 8.0
ROUND_EVERY_S: Final = 15.0

PRICES: Final = {goods.goods: goods.price_fen for goods in GOODS}

# What comes and goes while faults are on: somebody else tries again.
TROUBLE = (Refused, OSError, httpx2.HTTPError, Failed)


@dataclass
class Tally:
    """What the people remember, for the account and the screen."""

    orders_placed: int = 0
    orders_turned_away: int = 0
    presses_sold: int = 0
    presses_turned_away: int = 0
    presses_unanswered: int = 0
    pours_placed: int = 0
    reviews_decided: int = 0
    restocks: int = 0
    purchases: int = 0
    news: list[str] = field(default_factory=list)
    # What the first page of each old program shows, by its name.
    boards: dict[str, str] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)

    # Stories of old programs that were heard to their end, and set once all of them were.
    heard: set[str] = field(default_factory=set)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, story: Story) -> None:
        """A story was heard to its end."""
        self.heard.add(story.title)
        if len(self.heard) == len(STORIES):
            self.complete.set()

    @property
    def stories(self) -> str:
        """How many of how many were heard."""
        return f"{len(self.heard)}/{len(STORIES)}"

    def tell(self, line: str) -> None:
        """Keep a line for the screen."""
        self.news.append(line)
        del self.news[:-50]


class People:
    """Everybody, with the dice of one seed. `trade` runs until it is cancelled."""

    def __init__(self, stage: Stage, seed: int, tally: Tally) -> None:
        self._stage = stage
        self._tally = tally
        self._dice = random.Random(seed)  # noqa: S311  # a story, not a secret
        self._number = 0

    async def trade(self) -> None:
        """Buy, press and look after the machines, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(self._order, ORDER_EVERY_S), name="buyers")
            machines = self._stage.cast.machines
            for machine in machines:
                group.create_task(self._keep(self._press, PRESS_EVERY_S * len(machines), machine), name="pressers")
                group.create_task(self._keep(self._look_after, ROUND_EVERY_S, machine), name="technician")
            for purifier in self._stage.cast.purifiers:
                group.create_task(self._keep(self._pour, POUR_EVERY_S, purifier), name="drinkers")
                group.create_task(self._keep(self._tap, TAP_EVERY_S, purifier), name="tappers")
                group.create_task(self._keep(self._look_after_water, ROUND_EVERY_S, purifier), name="plumber")

    async def _keep(self, act: Any, every_s: float, *who: Any) -> None:
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / every_s))
            with contextlib.suppress(*TROUBLE):
                await act(*who)

    async def _order(self) -> None:
        """A member orders in the app."""
        self._number += 1
        machine = self._dice.choice(self._stage.cast.machines)
        aisle = self._dice.choice(machine.aisles())
        member = self._dice.choice(MEMBERS)
        key = f"demo-order-{self._number}"
        try:
            order = await self._stage.api.post(
                "/orders", key=key, member=member, machine=machine.machine, aisle=aisle["aisle"]
            )
        except Refused as refused:
            self._tally.orders_turned_away += 1
            self._tally.tell(f"{member} turned away: {refused.detail}")
            raise
        self._tally.orders_placed += 1
        self._tally.tell(f"{member} ordered {order['goods']} at {machine.machine} {aisle['aisle']}")

    async def _press(self, machine: Machine) -> None:
        """Somebody pays with coins and presses a button. The coins of a refused press come back."""
        self._number += 1
        press = f"demo-press-{self._number}"
        aisle = self._dice.choice(machine.aisles())
        try:
            end = await self._stage.panels[machine.machine].ask(
                "sell", press=press, aisle=aisle["aisle"], means="coin", paid_fen=aisle["price_fen"]
            )
        except Refused as refused:
            self._tally.presses_turned_away += 1
            self._tally.tell(f"coins returned at {machine.machine} {aisle['aisle']}: {refused.detail}")
            raise
        except (OSError, Failed):
            self._tally.presses_unanswered += 1
            raise
        self._tally.presses_sold += end["state"] == "delivered"
        self._tally.tell(f"button {machine.machine} {aisle['aisle']}: {end['state']}")

    async def _pour(self, purifier: Purifier) -> None:
        """A member orders water in the app."""
        self._number += 1
        outlet, asked_ml = self._dice.choice(OUTLETS), self._dice.choice(GLASSES_ML)
        member = self._dice.choice(MEMBERS)
        asked = {"member": member, "machine": purifier.machine, "outlet": outlet.warmth, "asked_ml": asked_ml}
        await self._stage.api.post("/pours", key=f"demo-pour-{self._number}", **asked)
        self._tally.pours_placed += 1
        self._tally.tell(f"{member} ordered {asked_ml} ml, {outlet.warmth}, at {purifier.machine}")

    async def _tap(self, purifier: Purifier) -> None:
        """Somebody pays with coins and holds a cup under the outlet; the panel gives change for what did not flow."""
        self._number += 1
        outlet, asked_ml = self._dice.choice(OUTLETS), self._dice.choice(GLASSES_ML)
        end = await self._stage.panels[purifier.machine].ask(
            "pour",
            press=f"demo-tap-{self._number}",
            outlet=outlet.warmth,
            ml=asked_ml,
            means="coin",
            paid_fen=-(-asked_ml * outlet.price_fen_per_litre // 1000),
        )
        self._tally.tell(f"{end['poured_ml']} ml, {outlet.warmth}, at {purifier.machine}: {end['reason']}")

    async def _look_after_water(self, purifier: Purifier) -> None:
        """The plumber comes by: mends a leak, clears it, and believes the meter where nobody can prove a volume."""
        panel, api = self._stage.panels[purifier.machine], self._stage.api
        for fault in await panel.ask("faults"):
            if fault["code"] == "water_leak":
                await self._stage.sim.fault(purifier.machine, "leak", "off")
                await panel.ask("clear", code=fault["code"], scope=fault["scope"])
                self._tally.tell(f"{purifier.machine}: the leak is mended")
        for pour in await api.every("/pours", machine=purifier.machine, state="review"):
            volume = min(pour["poured_ml"], pour["asked_ml"])
            await api.post(f"/pours/{pour['order']}/decision", poured_ml=volume, reason="by the meter")
            self._tally.reviews_decided += 1
            self._tally.tell(f"pour {pour['order'][:8]} decided: {volume} ml")

    async def _look_after(self, machine: Machine) -> None:
        """The technician comes by: counts locked aisles, decides their reviews by what lies there, opens them again."""
        panel = self._stage.panels[machine.machine]
        for fault in await panel.ask("faults"):
            if fault["code"] == "drop_sensor":
                await panel.ask("clear", code=fault["code"], scope=fault["scope"])
        reviews = await self._stage.api.every("/reviews", machine=machine.machine)
        aisles = {row["aisle"]: row for row in await panel.ask("aisles")}
        for name, row in aisles.items():
            mine = [review for review in reviews if (review["delivered_aisle"] or review["aisle"]) == name]
            if row["locked"] or (mine and row["held"]):
                await self._visit(machine, row, mine)

    async def _visit(self, machine: Machine, row: dict[str, Any], reviews: list[dict[str, Any]]) -> None:
        """Look into one aisle. How many items lie there tells how many of the doubtful vends delivered."""
        panel = self._stage.panels[machine.machine]
        machines = (await self._stage.sim.truth())["machines"]
        lies_there = machines[machine.machine]["boards"][str(row["board"])]["motors"][str(row["motor"])]["remaining"]
        gone = row["on_hand"] - lies_there
        if row["held"] != len(reviews) or gone not in (0, len(reviews)):
            return  # a vend is running, the cloud has not heard of one yet, or the count does not tell which
        # The item follows the decision, which reaches the machine as a command; then the count agrees.
        for review in reviews:
            await self._stage.api.post(f"/reviews/{review['order']}/decision", delivered=gone > 0, reason="counted")
            self._tally.reviews_decided += 1
            self._tally.tell(f"review of {review['order'][:8]} decided: {'delivered' if gone else 'not delivered'}")
        if row["locked"]:
            await panel.ask("lock", aisle=row["aisle"], locked=False, reason="looked after")
            self._tally.tell(f"{machine.machine} {row['aisle']} opened again (was {row['locked']})")
