"""A disk that fails under a running agent: the agent ends loudly or refuses, and never claims success."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import Refused
from tests.crash.judge import Judge
from tests.crash.processes import CrashRig, crash_rig, injected

# The ledger's is the first thread that an agent starts. A wrong guess fails here: nothing would be injected.
LEDGER_THREAD = 1

# The first sync of a vend makes its intent durable, the second its outcome.
INTENT, OUTCOME = 1, 2

# The log's writes: the intent's come first, the outcome's are over at about fifty.
WRITE_OF_INTENT, WRITE_OF_OUTCOME = 3, 35


async def ready(rig: CrashRig) -> Judge:
    """The machine sells, and its board remembers a motor."""
    await rig.agent.start_selling()
    judge = Judge(rig)
    press, aisle = judge.next_press()
    assert (await rig.agent.press(press, aisle) or {})["state"] == "delivered"
    return judge


@pytest.mark.parametrize(
    ("call", "k", "turns"),
    [
        ("fdatasync", INTENT, 0),
        ("fdatasync", OUTCOME, 1),
        ("pwrite64", WRITE_OF_INTENT, 0),
        ("pwrite64", WRITE_OF_OUTCOME, 1),
    ],
)
async def test_a_write_that_is_not_durable_ends_the_agent(tmp_path: Path, call: str, k: int, turns: int) -> None:
    async with crash_rig(tmp_path) as rig:
        judge = await ready(rig)
        press, aisle = judge.next_press()
        before = await rig.counts()
        async with injected(rig.agent.threads()[LEDGER_THREAD], call, f"error=EIO:when={k}"):
            assert await rig.agent.press(press, aisle) is None, "a failed write was answered"
            assert await rig.agent.wait() == 1
        last_words = rig.agent.log.read_text()
        assert "aisleflow-agent:" in last_words
        assert "check the disk" in last_words
        assert "Traceback" not in last_words
        assert (await rig.counts())[0] - before[0] == turns, "no start before its intent"
        await rig.agent.start_selling()
        await judge.check(press, aisle, before, None)
        await judge.close_the_books()


async def test_a_full_disk_is_refused_before_anything_moves(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        judge = await ready(rig)
        press, aisle = judge.next_press()
        before = await rig.counts()
        async with injected(rig.agent.threads()[LEDGER_THREAD], "pwrite64", "error=ENOSPC:when=1"):
            with pytest.raises(Refused) as refused:
                await rig.agent.press(press, aisle)
        assert refused.value.reason == "not_selling"
        assert await rig.counts() == before
        assert (await rig.agent.press(press, aisle) or {})["state"] == "delivered"
        await judge.close_the_books()


async def test_a_disk_that_fills_up_during_a_vend_takes_the_outcome_from_its_reserve(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        judge = await ready(rig)
        press, aisle = judge.next_press()
        before = await rig.counts()
        reserve = rig.agent.settings.data_dir / "ledger.sqlite.reserve"
        assert reserve.exists()
        async with injected(rig.agent.threads()[LEDGER_THREAD], "pwrite64", f"error=ENOSPC:when={WRITE_OF_OUTCOME}"):
            assert (await rig.agent.press(press, aisle) or {})["state"] == "delivered"
        assert not reserve.exists()
        await judge.check(press, aisle, before, "delivered")
        await judge.close_the_books()


async def test_an_outcome_that_fits_nowhere_ends_the_agent_and_keeps_the_evidence(tmp_path: Path) -> None:
    """Were it to go on, the next sale would take the result away from the board, and with it the proof."""
    async with crash_rig(tmp_path) as rig:
        judge = await ready(rig)
        press, aisle = judge.next_press()
        before = await rig.counts()
        async with injected(rig.agent.threads()[LEDGER_THREAD], "pwrite64", f"error=ENOSPC:when={WRITE_OF_OUTCOME}+"):
            assert await rig.agent.press(press, aisle) is None
            assert await rig.agent.wait() == 1
        assert "free some space" in rig.agent.log.read_text()
        await rig.agent.start_selling()
        assert (await rig.agent.settled(press) or {})["state"] == "delivered"
        await judge.check(press, aisle, before, None)
        await judge.close_the_books()
