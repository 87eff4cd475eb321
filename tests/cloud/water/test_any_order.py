"""Anything may happen to a purifier's pours in any order: the money fits, and so do the litres."""

from __future__ import annotations

import random
from functools import partial

import pytest

from cloud.database import Database
from cloud.errors import FleetError
from cloud.orders.expire import WriteOffPolicy
from cloud.water.expire import expire_due, write_off_due
from cloud.water.model import UNDECIDED, Pour
from cloud.water.place import cancel_pour
from cloud.water.review import decide
from shared.clock import ManualClock
from shared.messages import PourRefused, WaterLeaked
from tests.cloud.fleet import TENANT, Device, drift, say
from tests.cloud.water.tap import BALANCE_FEN, balances, ended, litres, open_tap, order_pour, pour_row, tapped

STEPS = 60


class Story:
    """One purifier, its buyers, and the dice; remembers what it has told of water."""

    def __init__(self, database: Database, device: Device, clock: ManualClock, seed: int) -> None:
        self.database = database
        self.device = device
        self.clock = clock
        self.dice = random.Random(seed)
        self.orders: list[str] = []
        self.metered_ml = 0

    async def step(self, number: int) -> None:
        """One thing, likely or not; what the rules refuse must change nothing."""
        acts = (self.ask, self.claim, self.end, self.end, self.refuse, self.cancel, self.wait, self.decide, self.tap)
        act = self.dice.choice(acts)
        try:
            await act(number)
        except FleetError as refused:
            if refused.kind not in ("conflict", "unavailable"):
                raise

    def any_order(self) -> str:
        return self.dice.choice(self.orders) if self.orders else "nothing-yet"

    async def ask(self, number: int) -> None:
        self.orders.append(await order_pour(self.database, f"k{number}"))

    async def claim(self, number: int) -> None:
        await say(self.database, self.device.claim(self.any_order(), nonce=f"n{number}"))

    async def end(self, number: int) -> None:
        order, poured = self.any_order(), self.dice.choice([0, 1, 700, 1_500, 1_530])
        told_before = await self.told(order)
        certain, charged = self.dice.random() < 0.7, {} if self.dice.random() < 0.8 else {"charged_fen": 1}
        fact = self.device.fact(ended(order, poured, certain=certain, **charged))
        await say(self.database, fact)
        if self.dice.random() < 0.3:
            await say(self.database, fact)
        self.metered_ml += poured if order in self.orders and not told_before else 0

    async def told(self, order: str) -> bool:
        return order in self.orders and (await pour_row(self.database, order)).poured_ml is not None

    async def refuse(self, number: int) -> None:
        if self.dice.random() < 0.3:
            await say(self.database, self.device.fact(PourRefused(order=self.any_order(), reason="void")))

    async def cancel(self, number: int) -> None:
        order = self.any_order()
        if order in self.orders and self.dice.random() < 0.4:
            await self.database.transact(lambda work: cancel_pour(work, TENANT, order), tenant=TENANT)

    async def wait(self, number: int) -> None:
        self.clock.advance(self.dice.choice([1_000, 61_000, 200_000]))
        await self.database.transact(expire_due)
        await self.database.transact(partial(write_off_due, policy=WriteOffPolicy(after_ms=400_000, cap_fen=200)))
        await say(self.database, self.device.hello())

    async def decide(self, number: int) -> None:
        order, volume = self.any_order(), self.dice.choice([0, 300, 1_500])
        if order in self.orders:
            by_hand = partial(decide, tenant=TENANT, order=order, poured_ml=volume, decided_by="li")
            await self.database.transact(by_hand, tenant=TENANT)

    async def tap(self, number: int) -> None:
        if self.dice.random() < 0.3:
            await say(self.database, self.device.fact(WaterLeaked(leaked_ml=60)))
            self.metered_ml += 60
            return
        order, poured = f"b{number}", self.dice.choice([0, 400, 1_500])
        await say(self.database, self.device.fact(tapped(order, poured, certain=self.dice.random() < 0.8)))
        self.orders.append(order)
        self.metered_ml += poured

    async def holds(self) -> None:
        """Every identity, whatever has happened."""
        assert await drift(self.database) == 0
        water = await litres(self.database)
        assert water.metered_ml == self.metered_ml
        assert min(water.sold_ml, water.leaked_ml) >= 0
        pours = [await pour_row(self.database, order) for order in self.orders]
        apps = [pour for pour in pours if pour.source == "order"]
        held = await balances(self.database)
        assert held.get("escrow", 0) == sum(pour.paid_fen for pour in pours if pour.state in UNDECIDED)
        assert held["wallet:anna"] == BALANCE_FEN - sum(_spent(pour) for pour in apps)
        lost = sum(pour.charged_fen for pour in pours if pour.state == "refunded")
        assert held.get("revenue", 0) == lost + sum(pour.charged_fen for pour in pours if pour.state == "poured")
        assert -held.get("shrinkage", 0) == lost
        assert water.doubtful_ml == sum(pour.poured_ml or 0 for pour in pours if pour.is_doubtful)


def _spent(pour: Pour) -> int:
    """What has left the buyer's wallet for this pour."""
    if pour.state in UNDECIDED:
        return pour.paid_fen
    return pour.charged_fen if pour.state == "poured" else 0


@pytest.mark.parametrize("seed", range(6))
async def test_money_and_litres_fit_whatever_happens(database: Database, clock: ManualClock, seed: int) -> None:
    story = Story(database, await open_tap(database), clock, seed)
    for number in range(STEPS):
        await story.step(number)
        if number % 10 == 9:
            await story.holds()
    assert len(story.orders) > 5, "the story told of too little"
