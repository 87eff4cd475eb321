"""Buyers and people at the machines who never give up: what they began, they ask again until they know its end.

An order is asked again under the same Idempotency-Key, a press under the same press id, so whatever dies in between,
every one of them must end exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from firmware_sim.demo.cast import MEMBERS, Machine
from firmware_sim.demo.people import TROUBLE
from firmware_sim.demo.wire import Refused
from tests.acceptance.house import LOOK_EVERY_S, House

# Faster than people, slower than a machine that turns its motors one after the other.
PAUSE_S = 0.15

# What a machine or the cloud answers that will be otherwise in a moment.
PASSING = {"busy", "not_selling", "known_order", "503", "409", "429"}


class Traffic:
    """Everybody on the street, with one seed's dice."""

    def __init__(self, house: House, seed: int) -> None:
        self.orders: dict[str, str] = {}
        self.presses: dict[str, str] = {}
        self._house = house
        self._dice = Random(seed)
        self._number = 0
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """People come inside this block; at its end those who have begun still get their answer."""
        machines = self._house.stage.cast.machines
        async with asyncio.TaskGroup() as group:
            for machine in machines:
                group.create_task(self._buy(machine))
                group.create_task(self._press(machine))
            try:
                yield
            finally:
                self._closing.set()

    async def sold(self) -> int:
        """How many items have fallen so far."""
        return int((await self._house.stage.sim.truth())["totals"]["fell"])

    async def until_sold(self, more: int) -> None:
        """Wait until so many more items have fallen."""
        goal = await self.sold() + more

        async def reached() -> bool:
            return await self.sold() >= goal

        await self._house.until(reached, f"{more} more items are sold")

    async def ends(self) -> dict[str, str]:
        """The cloud's word on everything that was begun, by order."""
        orders = await self._house.stage.api.every("/orders")
        states = {order["order"]: order["state"] for order in orders}
        assert len(orders) == len(states) == len(self.orders) + len(self.presses)
        return {order: states[order] for order in (*self.orders.values(), *(f"p{press}" for press in self.presses))}

    async def _buy(self, machine: Machine) -> None:
        while not self._closing.is_set():
            self._number += 1
            key = f"traffic-{self._number:05d}"
            about = {"member": self._dice.choice(MEMBERS), "machine": machine.machine, "aisle": self._aisle(machine)}
            order = await self._insist(self._place, key, about)
            if order is not None:
                self.orders[key] = order["order"]
            await asyncio.sleep(PAUSE_S)

    async def _press(self, machine: Machine) -> None:
        while not self._closing.is_set():
            self._number += 1
            press = f"coin-{self._number:05d}"
            end = await self._insist(self._house.press, self._aisle(machine), machine=machine.machine, press=press)
            if end is not None:
                self.presses[press] = end["state"]
            await asyncio.sleep(PAUSE_S)

    async def _place(self, key: str, about: dict[str, str]) -> Any:
        return await self._house.stage.api.post("/orders", key=key, **about)

    async def _insist(self, ask: Any, *what: Any, **more: Any) -> Any:
        """Ask until there is an answer; None for a plain no, which means that nothing was begun."""
        while True:
            try:
                return await ask(*what, **more)
            except Refused as refused:
                if refused.reason not in PASSING:
                    raise
                if self._closing.is_set() and refused.reason != "known_order":
                    return None
            except TROUBLE:
                pass  # nobody knows whether it was begun: ask again
            await asyncio.sleep(LOOK_EVERY_S)

    def _aisle(self, machine: Machine) -> str:
        aisle: str = self._dice.choice(machine.aisles())["aisle"]
        return aisle
