"""Holds every press against what the simulator saw."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from edge_agent.ledger import opening, outbox
from shared.messages import VendDelivered, VendFailed, VendUnknown, decode_fact
from tests.crash.processes import MOTORS, STOCK, CrashRig


@dataclass
class Judge:
    """The presses of one machine, and how they ended."""

    rig: CrashRig
    ends: Counter[str] = field(default_factory=Counter)
    presses: int = 0

    def next_press(self) -> tuple[str, str]:
        """A new press on another motor than the one before, so that the board's memory can prove what never began."""
        self.presses += 1
        return f"press-{self.presses}", f"1-{1 + self.presses % (MOTORS - 1):02d}"

    async def check(self, press: str, aisle: str, before: tuple[int, int], answered: str | None) -> None:
        """The press ended truly, and asking again changes nothing; one that left no trace sells when asked again."""
        agent = self.rig.agent
        row = await agent.settled(press)
        runs, fell = await self._since(before)
        if row is None:
            assert (runs, fell, answered) == (0, 0, None), "a motor turned without an intent"
            self.ends["not begun"] += 1
        else:
            self.ends[row["state"]] += 1
            assert answered in (None, row["state"]), f"{press} was answered {answered}, the ledger says {row}"
            assert runs <= len(row["attempts"]), f"{runs} runs for {row}"
            expected = {"delivered": (1,), "failed": (0,), "unknown": (0, 1)}[row["state"]]
            assert fell in expected, f"{fell} items fell for {row}"
        again = await agent.press(press, aisle)
        if again is None:
            raise ConnectionError("the agent died before it answered")
        assert again["state"] == ("delivered" if row is None else row["state"])
        runs_then, fell_then = await self._since(before)
        assert (runs_then, fell_then) == ((1, 1) if row is None else (runs, fell)), "the same press turned again"

    async def _since(self, before: tuple[int, int]) -> tuple[int, int]:
        runs, fell = await self.rig.counts()
        return runs - before[0], fell - before[1]

    async def close_the_books(self) -> None:
        """End the agent; every press has exactly one fact, and the stock is what lies in the machine."""
        agent = self.rig.agent
        balances = {row["aisle"]: (row["on_hand"], row["held"]) for row in await agent.ask("aisles")}
        assert await agent.stop() == 0
        machine = (await self.rig.sim.truth())["machines"].popitem()[1]
        remaining = {f"1-{int(motor):02d}": of["remaining"] for motor, of in machine["boards"]["1"]["motors"].items()}
        in_review = self.ends["unknown"]
        assert sum(held for _, held in balances.values()) == in_review
        for aisle, (on_hand, held) in balances.items():
            assert on_hand - held <= remaining[aisle] <= on_hand
        if not in_review:
            assert sum(remaining.values()) == STOCK * MOTORS - (await self.rig.counts())[1]
        with sqlite3.connect(agent.settings.data_dir / "ledger.sqlite") as conn:
            assert opening.content_problems(conn, thorough=True) == []
            facts = [decode_fact(row.fact) for row in outbox.pending(conn, 0, 100_000)]
        ended = Counter(fact.order for fact in facts if isinstance(fact, VendDelivered | VendFailed | VendUnknown))
        assert ended == Counter(f"ppress-{number + 1}" for number in range(self.presses))
