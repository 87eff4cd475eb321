"""kill -9 at every write-type call of a vend, and at every one of its recovery (C1).

The agent dies; board and buyer live on. After each death the agent is started again on what it left, and must tell the
truth that the simulator knows: at most one item fell for a press, the press has one end, and the end is true.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from edge_agent.ledger import opening, outbox
from shared.messages import VendDelivered, VendFailed, VendUnknown, decode_fact
from tests.crash.processes import MOTORS, STOCK, CrashRig, crash_rig, injected

# What a vend may change the world with: the file, its sync and size, names, the line, and answers.
CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink", "rename", "sendto")

# A vend of one motor writes two transactions, five frames to the board and an answer; fewer kills mean a lost thread.
KILLS_AT_LEAST = 80


@dataclass
class Judge:
    """Holds every press against what the simulator saw."""

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
        assert again is not None
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


async def press_and_die(rig: CrashRig, judge: Judge, thread: int, call: str, k: int) -> bool:
    """One press, with the agent killed at the thread's k-th `call`; False when the vend ended before there was one."""
    press, aisle = judge.next_press()
    before = await rig.counts()
    async with injected(rig.agent.threads()[thread], call, f"signal=SIGKILL:when={k}"):
        answer = await rig.agent.press(press, aisle)
    died = answer is None or await rig.agent.status() is None
    if died:
        assert await rig.agent.wait() == -9
        await rig.agent.start_selling()
    await judge.check(press, aisle, before, answer and answer["state"])
    return died


@pytest.mark.timeout(300)
async def test_killed_at_every_write_a_vend_ends_once_and_truly(tmp_path: Path) -> None:
    kills: Counter[str] = Counter()
    async with crash_rig(tmp_path) as rig:
        await rig.agent.start_selling()
        judge = Judge(rig)
        press, aisle = judge.next_press()  # the board must remember a motor before it can prove anything
        assert (await rig.agent.press(press, aisle) or {})["state"] == "delivered"
        for call in CALLS:
            for thread in range(len(rig.agent.threads())):
                for k in count(1):
                    if not await press_and_die(rig, judge, thread, call, k):
                        break
                    kills[call] += 1
        await judge.close_the_books()
    print(f"{kills.total()} kill points {dict(kills)}, ends {dict(judge.ends)}")
    assert kills.total() >= KILLS_AT_LEAST
    assert {"not begun", "failed", "delivered"} <= judge.ends.keys(), "the kills crossed every step of a vend"
    assert judge.ends["unknown"] == 0, "this board latches its result and remembers its last motor: no review is due"
