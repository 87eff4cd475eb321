"""The technician's command as a process of its own against a real agent on simulated boards."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent.devices.profile_file import shipped_profiles
from edge_agent.settings import read_keys
from firmware_sim.testbench import Bench, bench
from tests.integration.agent.rig import MACHINE, MOTORS, SECRET, STOCK, Rig, rig
from tests.unit.firmware_sim.purifier_bench import AIR, LEVEL, PULSES, RELAYS, TDS, TUF, scenario

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Ended:
    """What a call of the command has left."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Its JSON answer."""
        return json.loads(self.out)


async def aislectl(folder: Path, *arguments: str, language: str = "C.UTF-8") -> Ended:
    """Run the command for the machine in `folder`; its output is no terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent.technician", "--settings", str(folder / "agent.toml"), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
        | {"LANG": language, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def test_status_for_people_and_for_programs(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        shown = await aislectl(tmp_path, "status")
        assert (shown.code, shown.err) == (0, "")
        assert MACHINE in shown.out
        assert "selling" in shown.out
        assert "\x1b" not in shown.out, "no colour when piped"
        answer = (await aislectl(tmp_path, "--json", "status")).answer
        assert answer.keys() == (await machine.status()).keys()
        assert answer["machine"] == MACHINE
        chinese = await aislectl(tmp_path, "status", language="zh_CN.UTF-8")
        assert "营业中" in chinese.out


async def test_stock_locks_and_faults(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        assert (await aislectl(tmp_path, "load", "1-00", "3", "--json")).answer == {"on_hand": STOCK + 3}
        assert (await aislectl(tmp_path, "count", "1-00", "5", "--json")).answer == {"difference": -4}
        assert (await aislectl(tmp_path, "lock", "1-01", "bent spiral")).code == 0
        assert await machine.locked() == {"1-01": "bent spiral"}
        assert "bent spiral" in (await aislectl(tmp_path, "aisles")).out
        assert (await aislectl(tmp_path, "unlock", "1-01")).code == 0
        assert await machine.locked() == {}
        await machine.sim.unplug(MACHINE)

        async def silent() -> bool:
            return "board_silent" in await machine.faults()

        await machine.until(silent, "the board falls silent")
        assert "board silent" in (await aislectl(tmp_path, "faults")).out
        assert (await findings(tmp_path))["fault"] == "bad"
        refused = await aislectl(tmp_path, "clear", "no_such")
        assert (refused.code, refused.out) == (1, "")
        assert "no such fault" in refused.err
        assert (await aislectl(tmp_path, "clear", "board_silent", "--json")).answer == {"cleared": ["board-1"]}


async def test_refusals_say_why_and_end_with_1(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        refused = await aislectl(tmp_path, "load", "9-99", "1")
        assert refused.code == 1
        assert "there is no aisle 9-99" in refused.err
        told = await aislectl(tmp_path, "--json", "load", "9-99", "1", language="zh_CN.UTF-8")
        assert told.answer["error"]["reason"] == "aisle_closed"
        assert "没有货道 9-99" in (await aislectl(tmp_path, "test-aisle", "9-99", language="zh_CN.UTF-8")).err


async def test_a_sweep_turns_every_motor_once_and_books_out_what_fell(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        unsure = await aislectl(tmp_path, "sweep")
        assert unsure.code == 1
        assert await machine.runs() == 0, "nobody said yes"
        await machine.panel.ask("count", aisle="1-03", counted=0)
        await machine.sim.unload(MACHINE, 1, 3, STOCK)
        swept = await aislectl(tmp_path, "--json", "sweep", "--yes")
        report = {run["aisle"]: run for run in swept.answer}
        assert len(report) == MOTORS == await machine.runs()
        assert all(run["avg_current_ma"] > 0 and run["run_time_ms"] > 0 for run in swept.answer)
        assert report["1-03"]["outcome"] == "unknown"
        assert swept.code == 0, "an empty aisle with a sound motor is fine"
        assert await machine.fell() == MOTORS - 1
        await machine.account_balances()


async def test_a_bad_motor_makes_the_sweep_fail(tmp_path: Path) -> None:
    async with rig(tmp_path, rates={"jam": 1.0}) as machine, machine.running():
        await machine.until_selling()
        swept = await aislectl(tmp_path, "sweep", "--yes", "--aisle", "1-00", "--aisle", "1-02")
        assert swept.code == 1
        assert "0 of 2 motors are fine" in swept.out
        assert "over-current" in swept.out


async def test_a_visit_from_start_to_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        assert (await aislectl(tmp_path, "visit", "start", "--name", "Lin")).code == 0
        assert (await aislectl(tmp_path, "load", "1-00", "2")).code == 0
        assert "load aisle=1-00 quantity=2" in (await aislectl(tmp_path, "visit", "show")).out
        ended = await aislectl(tmp_path, "visit", "end", "--json")
        assert ended.answer["actions"] == ["load aisle=1-00 quantity=2"]
        assert "visit_recorded" in (await aislectl(tmp_path, "outbox")).out


async def test_watch_gives_a_line_per_picture_when_piped(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        watched = await aislectl(tmp_path, "--json", "watch", "--every", "0.2", "--count", "3")
        assert [json.loads(line)["status"]["machine"] for line in watched.out.splitlines()] == [MACHINE] * 3


async def test_bus_tells_the_rate_of_every_slave(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        shown = await aislectl(tmp_path, "bus")
        assert "noise bytes 0" in shown.out
        (line,) = (await aislectl(tmp_path, "bus", "--json")).answer
        assert line["slaves"]["1"]["answered"] > 0


@pytest.mark.parametrize("word", ["status", "aisles", "faults", "bus", "outbox", "watch", "visit end"])
async def test_without_an_agent_the_command_ends_with_69(tmp_path: Path, word: str) -> None:
    async with rig(tmp_path):
        ended = await aislectl(tmp_path, *word.split())
        assert (ended.code, ended.out) == (69, "")
        assert "the agent does not run" in ended.err


async def test_settings_that_cannot_be_read_end_with_78(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("machine = 7\n")
    ended = await aislectl(tmp_path, "status")
    assert ended.code == 78
    assert "machine = 7" in ended.err


async def test_the_doctor_finds_a_healthy_machine_but_for_its_broker(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        seen = await aislectl(tmp_path, "--json", "doctor")
        states = {finding["check"]: finding["state"] for finding in seen.answer}
        assert {check for check, state in states.items() if state == "bad"} == {"broker"}
        assert "water" not in states, "it gives none"
        assert states.keys() >= {"settings", "secret", "agent", "port", "wiring", "clock", "disk", "broker", "ledger"}
        assert seen.code == 1
        assert all(finding["fix"] for finding in seen.answer if finding["state"] in ("bad", "warn"))


async def test_the_doctor_works_with_the_agent_down(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine:
        await write_something(machine)
        (tmp_path / "secret").chmod(0o644)
        states = await findings(tmp_path)
        assert states["agent"] == states["secret"] == "bad"
        assert states["ledger"] == states["port"] == states["disk"] == "ok"
        damage(tmp_path / "data/ledger.sqlite")
        assert (await findings(tmp_path))["ledger"] == "bad"


async def findings(folder: Path) -> dict[str, str]:
    seen = await aislectl(folder, "--json", "doctor")
    return {finding["check"]: finding["state"] for finding in seen.answer}


async def write_something(machine: Rig) -> None:
    async with machine.running():
        await machine.until_selling()


def damage(path: Path) -> None:
    """Overwrite the middle of the file, as a dying SD card would."""
    with sqlite3.connect(path) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    raw = bytearray(path.read_bytes())
    for at in range(8192, len(raw) // 2):
        raw[at] ^= 0x5A
    path.write_bytes(raw)


async def test_a_bundle_is_made_when_the_settings_are_wrong_too(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('machin = "x"\n')
    made = await aislectl(tmp_path, "--json", "bundle", "help.tar.gz")
    assert (made.code, made.err) == (0, "")


async def test_the_doctor_explains_settings_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('machin = "x"\n')
    seen = await aislectl(tmp_path, "--json", "doctor")  # a table would break the sentence anywhere
    assert seen.code == 78
    assert "did you mean machine?" in seen.out


async def test_a_bundle_holds_what_helps_and_no_secret(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        assert (await aislectl(tmp_path, "bundle", "help.tar.gz")).code == 0
        again = await aislectl(tmp_path, "bundle", "help.tar.gz")
        assert again.code == 1, "nothing is overwritten"
        keys = read_keys(machine.settings)
    with tarfile.open(tmp_path / "help.tar.gz") as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]
    assert {"aisleflow/status.json", "aisleflow/doctor.json", "aisleflow/bus.json", "aisleflow/settings.txt"} <= set(
        texts
    )
    assert json.loads(texts["aisleflow/status.json"])["machine"] == MACHINE
    for secret in (SECRET, keys.mqtt_password, keys.mac_key.hex()):
        assert [name for name, text in texts.items() if secret in text] == []


async def test_a_bundle_is_made_with_the_agent_down_too(tmp_path: Path) -> None:
    async with rig(tmp_path):
        made = await aislectl(tmp_path, "--json", "bundle", "help.tar.gz")
        assert made.code == 0
        assert "agent.txt" in made.answer["members"]


async def test_a_profile_is_listed_checked_and_tried_on_a_port(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"only_baud": True})) as sim:
        port = sim.urls["wp-1"]
        listed = await aislectl(tmp_path, "--json", "profile", "list")
        assert {"pulse4", "ws102-tds", "waveshare-relay-8"} <= {row["name"] for row in listed.answer}
        tried = await aislectl(tmp_path, "--json", "profile", "try", "ws102-tds", "--port", port, "--slave", str(TDS))
        assert tried.code == 0, tried.out
        assert {row["unit"] for row in tried.answer} >= {"ppm"}
        other = ("--port", port, "--slave", str(TDS), "--baud", "19200")
        assert (await aislectl(tmp_path, "profile", "try", "ws102-tds", *other)).code == 1, "it speaks 9600"
        silent = await aislectl(tmp_path, "profile", "try", "ws102-tds", "--port", port, "--slave", "99")
        assert silent.code == 1
        assert "no answer" in silent.out


async def test_a_device_is_moved_to_another_address_once_somebody_agrees(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        move = ("profile", "move", "ws102-tds", "--port", sim.urls["wp-1"], "--slave", str(TDS))
        assert (await aislectl(tmp_path, *move)).code == 1, "nothing to change"
        unasked = await aislectl(tmp_path, *move, "--to", "99")
        assert (unasked.code, "--yes" in unasked.err) == (1, True), unasked.err
        moved = await aislectl(tmp_path, "--json", *move, "--to", "99", "--yes")
        assert moved.code == 0, moved.err
        was = {"slave": TDS, "baud": 9600}
        assert moved.answer == {
            "was": was, "slave": 99, "baud": 9600, "answers": True, "problem": None, "settings": None,
            "port_gone": False, "found": False,
        }  # fmt: skip
        again = await aislectl(tmp_path, *move, "--to", "98", "--yes")
        assert again.code == 1
        assert "no answer" in again.err


MOVED_BY_BUS = [
    ("waveshare-relay-8", RELAYS),
    ("tuf-2000m", TUF),
    ("ws102-tds", TDS),
    ("qdy30a", LEVEL),
    ("xy-md02", AIR),
]


@pytest.mark.parametrize(("profile", "slave"), MOVED_BY_BUS)
async def test_the_settings_follow_a_device_to_its_new_address(tmp_path: Path, profile: str, slave: int) -> None:
    async with bench(scenario(tmp_path)) as sim:
        port = sim.urls["wp-1"]
        settings = tmp_path / "agent.toml"
        before = (
            f'machine = "wp-1"  # the lobby\n[[modbus]]\nurl = "{port}"\nbaud = 9600\n'
            f'  [[modbus.device]]\n  name = "it"\n  profile = "{profile}"\n  slave = {slave}  # as delivered\n'
            f'  [[modbus.device]]\n  name = "other"\n  profile = "pulse4"\n  slave = {PULSES}\n'
        )
        settings.write_text(before)
        settings.chmod(0o640)
        move = ("profile", "move", profile, "--port", port, "--slave", str(slave), "--yes", "--to", "99")
        moved = await aislectl(tmp_path, *move)
        assert moved.code == 0, moved.err
        assert "names the new address now" in moved.out
        assert settings.read_text() == before.replace(f"slave = {slave}  #", "slave = 99  #")
        assert settings.stat().st_mode & 0o777 == 0o640
        tried = await aislectl(tmp_path, "--json", "profile", "try", profile, "--port", port, "--slave", "99")
        assert [row["problem"] for row in tried.answer] == [None] * len(tried.answer)
        again = await aislectl(tmp_path, *move)
        assert (again.code, "it is there already" in again.out) == (0, True), "asked twice, moved once"
        assert settings.read_text() == before.replace(f"slave = {slave}  #", "slave = 99  #")


async def test_an_adapter_pulled_out_during_a_move_leaves_the_settings_and_the_same_command_ends_it(
    tmp_path: Path,
) -> None:
    async with bench(scenario(tmp_path)) as sim:
        port, settings = sim.urls["wp-1"], tmp_path / "agent.toml"
        before = f'[[modbus]]\nurl = "{port}"\n[[modbus.device]]\nprofile = "ws102-tds"\nslave = {TDS}\n'
        settings.write_text(before)
        move = ("profile", "move", "ws102-tds", "--port", port, "--slave", str(TDS), "--to", "99", "--yes")
        moving = asyncio.create_task(aislectl(tmp_path, *move, language="zh_CN.UTF-8"))
        async with asyncio.timeout(DEADLINE_S):
            while 99 not in {one["slave"] for one in (await devices(sim)).values()}:
                pass
        await sim.control.unplug("wp-1")
        pulled = await moving
        assert pulled.code == 1
        assert "再执行一次同样的命令" in pulled.out.replace("\n", "")
        assert settings.read_text() == before
        gone = await aislectl(tmp_path, *move)
        assert (gone.code, "no such port" in gone.err) == (1, True), gone.err

        await sim.control.plug("wp-1")
        ended = await aislectl(tmp_path, *move)
        assert ended.code == 0, ended.err
        assert "it is there already" in ended.out
        assert settings.read_text() == before.replace(str(TDS), "99")


async def devices(sim: Bench) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = (await sim.control.truth())["machines"]["wp-1"]["water"]["devices"]
    return found


async def test_a_device_that_stays_where_it_was_is_told_and_the_settings_stay(tmp_path: Path) -> None:
    deaf = shipped_profiles()["qdy30a"].read_text().replace("slave = 0x0000", "slave = 0x000C")
    (tmp_path / "deaf.toml").write_text(deaf)
    async with bench(scenario(tmp_path)) as sim:
        port = sim.urls["wp-1"]
        before = f'[[modbus]]\nurl = "{port}"\n[[modbus.device]]\nprofile = "deaf.toml"\nslave = {LEVEL}\n'
        (tmp_path / "agent.toml").write_text(before)
        move = ("profile", "move", "deaf.toml", "--port", port, "--slave", str(LEVEL), "--to", "99", "--yes")
        moved = await aislectl(tmp_path, *move, language="zh_CN.UTF-8")
        assert moved.code == 1
        assert "设备现在在此：" in moved.out.replace(": ", "：")
        assert "写入后没有生效" in moved.out
        assert (tmp_path / "agent.toml").read_text() == before


async def test_what_is_wrong_with_a_profile_is_told_line_by_line(tmp_path: Path) -> None:
    assert (await aislectl(tmp_path, "profile", "check", "pulse4")).code == 0
    (tmp_path / "mine.toml").write_text('name = "mine"\ndescription = 7\n')
    checked = await aislectl(tmp_path, "profile", "check", "mine.toml")
    assert checked.code == 1
    assert "mine.toml:2: description: 7" in checked.out
    missing = await aislectl(tmp_path, "profile", "check", "nowhere.toml")
    assert missing.code == 1
    assert "expected a file, or one of" in missing.err


async def test_the_demo_runs_a_command_and_says_when_there_is_none_of_that_name(tmp_path: Path) -> None:
    done = await aislectl(tmp_path, "demo", "--", "sh", "-c", "exit 7")
    assert done.code == 7
    missing = await aislectl(tmp_path, "demo", "nosuch")
    assert missing.code == 1
    assert missing.err.splitlines()[-1] == "aislectl: nosuch: No such file or directory"
