"""How an agent that cannot work says so: exit codes that a service manager understands, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.__main__ import EXIT_CONFIG, EXIT_UNAVAILABLE
from edge_agent.errors import Refused
from tests.crash.processes import DEADLINE_S, LOOK_EVERY_S, AgentProcess, CrashRig, crash_rig
from tests.integration.agent.rig import MACHINE

Spoil = Callable[[str], str]

WRONG_SETTINGS: dict[str, tuple[Spoil, list[str]]] = {
    "not TOML": (lambda text: text + "\n[[[", ["not TOML"]),
    "unknown key": (
        lambda text: text.replace("poll_ms = 50", "pol_ms = 50", 1),
        ["unknown key bus.pol_ms", "poll_ms?"],
    ),
    "wrong value": (lambda text: text.replace("boards = [1]", "boards = [9]"), ["bus[0].boards", "<= 4"]),
    "no such secret": (lambda text: text.replace('"secret"', '"nowhere"'), ["nowhere", "secret cannot be read"]),
    "no such protocol": (lambda text: text.replace("poll_ms", 'protocol = "x9"\npoll_ms', 1), ["'x9'", "adh815"]),
    "no TLS to a far broker": (
        lambda text: text.replace("127.0.0.1", "broker.example"),
        ["uplink.tls", "expected true"],
    ),
}


async def refused(agent: AgentProcess, *, code: int, words: list[str]) -> None:
    """The agent ends by itself with `code`, and says `words` on one line without a traceback."""
    await agent.start()
    assert await agent.wait() == code, agent.log.read_text()
    said = agent.log.read_text()
    last = said.strip().splitlines()[-1]
    assert last.startswith("aisleflow-agent: ")
    for word in words:
        assert word in last, f"{word!r} is not in {last!r}"
    assert "Traceback" not in said


@pytest.mark.parametrize("wrong", WRONG_SETTINGS)
async def test_wrong_settings_end_with_78_and_name_the_key(tmp_path: Path, wrong: str) -> None:
    spoil, words = WRONG_SETTINGS[wrong]
    async with crash_rig(tmp_path) as rig:
        path = rig.agent.settings_file
        good = path.read_text()
        path.write_text(spoil(good))
        assert path.read_text() != good
        await refused(rig.agent, code=EXIT_CONFIG, words=words)
        path.write_text(good)
        await rig.agent.start_selling()


async def test_missing_settings_end_with_78_and_name_the_file(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        rig.agent.settings_file.rename(tmp_path / "elsewhere.toml")
        await refused(rig.agent, code=EXIT_CONFIG, words=[str(rig.agent.settings_file), "No such file"])


async def test_a_second_agent_on_the_same_ledger_ends_with_69_and_leaves_the_first_selling(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        await rig.agent.start_selling()
        second = AgentProcess(tmp_path / "second" / "agent.toml", rig.agent.settings)
        second.settings_file.parent.mkdir()
        text = rig.agent.settings_file.read_text()
        for name in ("data", "secret", "door"):
            text = text.replace(f'"{name}"', f'"../{name}"')
        second.settings_file.write_text(text)
        try:
            await refused(second, code=EXIT_UNAVAILABLE, words=["another agent uses this ledger", "stop the other"])
        finally:
            await second.kill()
        assert (await rig.agent.press("still", "1-01") or {})["state"] == "delivered"


async def test_a_ledger_of_another_machine_ends_with_69(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        path = rig.agent.settings_file
        path.write_text(path.read_text().replace(f'machine = "{MACHINE}"', 'machine = "vm-2"'))
        await refused(rig.agent, code=EXIT_UNAVAILABLE, words=["'vm-1'", "'vm-2'", "data folder of its own"])


@pytest.mark.parametrize("ending", ["killed", "ended"])
async def test_a_ledger_that_was_emptied_under_a_running_agent_is_damaged(tmp_path: Path, ending: str) -> None:
    """A new file would be sold from as if nothing had been before: an empty one is loud, with its log and without."""
    async with crash_rig(tmp_path) as rig:
        await rig.agent.start_selling()
        assert (await rig.agent.press("before", "1-01") or {})["state"] == "delivered"
        ledger = rig.agent.settings.data_dir / "ledger.sqlite"
        os.truncate(ledger, 0)
        if ending == "killed":
            await rig.agent.kill()
            assert ledger.stat().st_size == 0
        else:
            await rig.agent.stop()
        await rig.agent.start()
        while (status := await rig.agent.status()) is None:
            assert not rig.agent.dead, rig.agent.log.read_text()
            await asyncio.sleep(LOOK_EVERY_S)
        assert not status["selling"]
        assert "the ledger was damaged" in status["reason"]
        assert [path.name for path in ledger.parent.glob("ledger-*.damaged")], "kept aside"


async def until_reason(rig: CrashRig, word: str) -> str:
    """Wait until the port's line says why it is down or its board is refused, in words with `word`."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await rig.agent.status() is not None:
                said = f"{await rig.agent.ask('bus')} {await rig.agent.ask('faults')}"
                if word in said:
                    return said
            await asyncio.sleep(LOOK_EVERY_S)


async def test_a_missing_port_is_named_and_sells_when_it_appears(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        await rig.sim.unplug(MACHINE)
        await rig.agent.start()
        said = await until_reason(rig, "tty")
        assert "there is no" in said or "no such" in said.lower(), said
        with pytest.raises(Refused) as why:
            await rig.agent.press("early", "1-01")
        assert why.value.reason == "not_selling"
        assert not rig.agent.dead
        await rig.sim.plug(MACHINE)
        await rig.agent.until_selling()
        assert (await rig.agent.press("early", "1-01") or {})["state"] == "delivered"
        assert await rig.counts() == (1, 1)


async def test_a_board_of_another_kind_is_refused_before_any_motor_turns(tmp_path: Path) -> None:
    async with crash_rig(tmp_path) as rig:
        path = rig.agent.settings_file
        path.write_text(path.read_text().replace("poll_ms = 50", 'expect = "ADH999"\npoll_ms = 50', 1))
        await rig.agent.start()
        said = await until_reason(rig, "board_wrong")
        assert "ADH999" in said
        assert "check url and expect of the bus" in said
        with pytest.raises(Refused):
            await rig.agent.press("any", "1-01")
        assert await rig.counts() == (0, 0)
