"""kill -9 at every write-type call of a vend, and at every one of its recovery (C1).

The agent dies; board and buyer live on. After each death the agent is started again on what it left, and must tell the
truth that the simulator knows: at most one item fell for a press, the press has one end, and the end is true.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from tests.crash.judge import Judge
from tests.crash.processes import DEADLINE_S, LOOK_EVERY_S, SCENARIO, SPEED, CrashRig, crash_rig, injected, strace

# What a vend may change the world with: the file, its sync and size, names, the line, and answers.
CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink", "rename", "sendto")

# Slow enough to be killed while the motor turns.
SLOW_SCENARIO = SCENARIO.replace(f"speed = {SPEED}", "speed = 10")

# A start writes more than a vend does; the transaction of the outcome, where it matters, is looked at closest.
RECOVERY_STRIDE = {"pwrite64": 5, "fdatasync": 1, "write": 2, "sendto": 8}

RECOVERY_KILLS_AT_LEAST = 4

# A vend of one motor syncs two transactions of some pages each, writes five frames to the board, and sends an answer;
# fewer kills mean a lost thread. How many pages and wake-ups come on top depends on how busy the computer is.
KILLS_AT_LEAST = {"pwrite64": 10, "fdatasync": 2, "write": 5, "sendto": 1}


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
    await judge.check(press, aisle, before, None if answer is None else answer["state"])
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
    assert {call: kills[call] for call, least in KILLS_AT_LEAST.items() if kills[call] < least} == {}
    assert {"not begun", "failed", "delivered"} <= judge.ends.keys(), "the kills crossed every step of a vend"
    assert judge.ends["unknown"] == 0, "this board latches its result and remembers its last motor: no review is due"


async def leave_open(rig: CrashRig, judge: Judge) -> tuple[str, str, tuple[int, int]]:
    """A press whose agent was killed while the motor turned; the press, its aisle, and the counts before it."""
    press, aisle = judge.next_press()
    before = await rig.counts()
    pressing = asyncio.ensure_future(rig.agent.press(press, aisle))
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if (await rig.counts())[0] > before[0]:
                break
            await asyncio.sleep(LOOK_EVERY_S)
    await rig.agent.kill()
    await pressing
    return press, aisle, before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "write", "sendto"])
async def test_killed_at_the_writes_of_its_recovery_too(tmp_path: Path, call: str) -> None:
    """One open order after the other, and every start killed a little later than the one before, until one survives."""
    kills = 0
    async with crash_rig(tmp_path, scenario=SLOW_SCENARIO) as rig:
        judge = Judge(rig)
        await rig.agent.start_selling()
        press, aisle, before = await leave_open(rig, judge)
        for k in count(1, RECOVERY_STRIDE[call]):
            await rig.agent.start(*strace(call, f"signal=SIGKILL:when={k}"))
            if not await rig.agent.survives_its_start():
                kills += 1
                continue
            try:
                await judge.check(press, aisle, before, None)
            except ConnectionError:  # the answer was itself the write at which it died
                await rig.agent.wait()
                kills += 1
                continue
            await rig.agent.kill()
            break
        await rig.agent.start_selling()
        assert (await rig.agent.settled(press) or {})["state"] == "delivered"
        await judge.close_the_books()
    print(f"{call}: {kills} recoveries killed")
    assert kills >= RECOVERY_KILLS_AT_LEAST
