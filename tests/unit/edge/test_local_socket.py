"""The local door over a real Unix socket: words, limits, and who may call."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent import local_socket
from edge_agent.errors import BoardSilent, Refused, SettingsWrong
from edge_agent.local_socket import Ask, Caller, LocalSocket, Watch, connect_local
from tests.unit.edge.waiting import until

ANSWER_S = 10.0


class Sell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    aisle: str
    press: str = "p1"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Machine:
    """What the words do in these tests."""

    def __init__(self) -> None:
        self.sold: list[str] = []
        self.callers: list[Caller] = []
        self.go = asyncio.Event()
        self.watchers = 0

    async def sell(self, params: Sell, caller: Caller) -> dict[str, str]:
        self.callers.append(caller)
        if params.aisle == "A9":
            raise Refused("aisle_closed", "aisle A9 is locked: jam")
        if params.aisle == "slow":
            await self.go.wait()
        self.sold.append(params.aisle)
        return {"order": "o1"}

    async def silent(self, params: Nothing, caller: Caller) -> None:
        raise BoardSilent("board-1", "POLL", 500)

    async def bug(self, params: Nothing, caller: Caller) -> None:
        raise KeyError("a bug")

    async def count(self, params: Nothing, caller: Caller) -> AsyncIterator[int]:
        for n in range(3):
            yield n

    async def sales(self, params: Nothing, caller: Caller) -> AsyncIterator[str]:
        self.watchers += 1
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            self.watchers -= 1

    @property
    def vocabulary(self) -> local_socket.Vocabulary:
        return {
            "sell": Ask(Sell, self.sell),
            "silent": Ask(Nothing, self.silent),
            "bug": Ask(Nothing, self.bug),
            "count": Watch(Nothing, self.count),
            "sales": Watch(Nothing, self.sales),
        }


class Stage:
    def __init__(self, path: Path, group: str | None = None) -> None:
        self.path = path
        self.machine = Machine()
        self.server = LocalSocket(path, self.machine.vocabulary, group=group)
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.running = asyncio.create_task(self.server.run())
        await asyncio.wait_for(self.server.listening.wait(), ANSWER_S)

    async def stop(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def lines(self, *requests: bytes) -> list[bytes]:
        """Send raw bytes and read until the server closes or has answered each."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        answers = []
        async with asyncio.timeout(ANSWER_S):
            for request in requests:
                writer.write(request)
                answers.append(await reader.readline())
        writer.close()
        return answers


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "agent.sock")
    await stage.start()
    yield stage
    await stage.stop()


async def test_a_word_is_answered_and_the_caller_is_known_by_the_kernel(stage: Stage) -> None:
    async with connect_local(stage.path) as agent:
        assert await agent.ask("sell", aisle="A1") == {"order": "o1"}
        assert await agent.ask("sell", aisle="A2", press="p2") == {"order": "o1"}
    assert stage.machine.sold == ["A1", "A2"]
    caller = stage.machine.callers[0]
    assert (caller.pid, caller.uid) == (os.getpid(), os.getuid())


async def test_refusals_carry_their_reason_and_other_troubles_their_name(stage: Stage) -> None:
    async with connect_local(stage.path) as agent:
        with pytest.raises(Refused) as refused:
            await agent.ask("sell", aisle="A9")
        assert (refused.value.reason, refused.value.detail) == ("aisle_closed", "aisle A9 is locked: jam")
        with pytest.raises(Refused) as silent:
            await agent.ask("silent")
        assert silent.value.reason == "board_silent"
        assert await agent.ask("sell", aisle="A1") == {"order": "o1"}


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"not json\n", b'"reason":"malformed"'),
        (b"[1]\n", b'"reason":"malformed"'),
        (b"\xff\xfe\n", b'"reason":"malformed"'),
        (b"[" * 10_000 + b"\n", b'"reason":"malformed"'),
        (b'{"do":"sell"}\n', b"id: None: expected a number or a text"),
        (b'{"id":true,"do":"sell"}\n', b"id: True: expected a number or a text"),
        (b'{"id":1}\n', b"do: None: expected a word"),
        (b'{"id":1,"do":"sel"}\n', b"did you mean 'sell'?"),
        (b'{"id":1,"do":"xyz"}\n', b"known are bug, count, sales, sell, silent"),
        (b'{"id":1,"do":"sell"}\n', b"sell: Object missing required field `aisle`"),
        (b'{"id":1,"do":"sell","aisle":1}\n', b"Expected `str`, got `int` - at `$.aisle`"),
        (b'{"id":1,"do":"sell","aisle":"A1","price":0}\n', b"unknown field `price`"),
        (b"x" * 20_000 + b"\n", b"a request has at most 16384 bytes"),
    ],
)
async def test_a_wrong_request_is_answered_with_what_was_expected(
    stage: Stage, request_line: bytes, answer: bytes
) -> None:
    (line,) = await stage.lines(request_line)
    assert answer in line
    assert stage.machine.sold == []


async def test_the_connection_survives_a_wrong_request(stage: Stage) -> None:
    _, good = await stage.lines(b"not json\n", b'{"id":"x","do":"sell","aisle":"A1"}\n')
    assert msgspec.json.decode(good) == {"id": "x", "ok": True, "result": {"order": "o1"}}


async def test_a_watch_ends_by_itself(stage: Stage) -> None:
    async with connect_local(stage.path) as agent:
        assert [n async for n in agent.watch("count")] == [0, 1, 2]
        assert await agent.ask("sell", aisle="A1") == {"order": "o1"}


async def test_a_watch_ends_when_the_caller_hangs_up(stage: Stage) -> None:
    async with connect_local(stage.path) as agent:
        async for first in agent.watch("sales"):
            assert (first, stage.machine.watchers) == ("first", 1)
            break
    await until(lambda: stage.machine.watchers == 0)


async def test_a_watch_ends_when_the_caller_speaks(stage: Stage) -> None:
    first, end = await stage.lines(b'{"id":1,"do":"sales"}\n', b"\n")
    assert b'"more":true' in first
    assert b'"more":true' not in end
    assert stage.machine.watchers == 0


async def test_what_was_begun_is_finished_though_the_caller_hangs_up(stage: Stage) -> None:
    _, writer = await asyncio.open_unix_connection(str(stage.path))
    writer.write(b'{"id":1,"do":"sell","aisle":"slow"}\n')
    await until(lambda: len(stage.machine.callers) == 1)
    writer.close()
    stage.machine.go.set()
    await until(lambda: stage.machine.sold == ["slow"])


async def test_a_slow_word_does_not_hold_up_another_caller(stage: Stage) -> None:
    async with connect_local(stage.path) as first, connect_local(stage.path) as second:
        waiting = asyncio.ensure_future(first.ask("sell", aisle="slow"))
        await until(lambda: len(stage.machine.callers) == 1)
        assert await second.ask("sell", aisle="A1") == {"order": "o1"}
        stage.machine.go.set()
        await waiting


async def test_too_many_connections_are_refused_and_room_comes_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_socket, "CONNECTIONS_MAX", 2)
    async with connect_local(stage.path) as first, connect_local(stage.path) as second:
        await first.ask("sell", aisle="A1")
        await second.ask("sell", aisle="A2")
        reader, writer = await asyncio.open_unix_connection(str(stage.path))
        writer.write(b'{"id":1,"do":"sell","aisle":"A3"}\n')
        assert b'"reason":"too_many"' in await asyncio.wait_for(reader.readline(), ANSWER_S)
        writer.close()
    await until(lambda: stage.server._connections == 0)
    async with connect_local(stage.path) as again:
        await again.ask("sell", aisle="A3")


async def test_a_bug_in_a_word_ends_the_server_loudly(stage: Stage) -> None:
    _, writer = await asyncio.open_unix_connection(str(stage.path))
    writer.write(b'{"id":1,"do":"bug"}\n')
    assert stage.running is not None
    with pytest.raises(ExceptionGroup) as bug:
        await asyncio.wait_for(stage.running, ANSWER_S)
    assert bug.group_contains(KeyError, match="a bug")
    writer.close()


async def test_the_socket_is_private_and_goes_with_the_server(stage: Stage) -> None:
    assert stat.S_IMODE(stage.path.stat().st_mode) == 0o600
    await stage.stop()
    assert not stage.path.exists()


async def test_the_socket_of_a_killed_agent_is_replaced_and_that_of_a_living_one_is_not(stage: Stage) -> None:
    with pytest.raises(SettingsWrong, match="another agent listens here"):
        await Stage(stage.path).server.run()
    await stage.stop()
    subprocess.run(
        [sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(stage.path)!r})"], check=True
    )
    assert stage.path.exists()
    await stage.start()
    async with connect_local(stage.path) as agent:
        assert await agent.ask("sell", aisle="A1") == {"order": "o1"}


async def test_a_path_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsWrong, match="cannot be opened"):
        await Stage(tmp_path / "file" / "agent.sock").server.run()


def test_an_unknown_group_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsWrong, match="groupadd no-such-group"):
        LocalSocket(tmp_path / "s", {}, group="no-such-group")


def test_root_the_agent_itself_and_the_group_may_call_and_nobody_else(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    group_of_nobody = grp.getgrgid(nobody.pw_gid).gr_name

    def may_call(uid: int, group: str | None) -> bool:
        return LocalSocket(tmp_path / "s", {}, group=group)._may_call(Caller(1, uid, "x"))

    assert may_call(0, None)
    assert may_call(os.getuid(), None)
    assert not may_call(nobody.pw_uid, None)
    assert may_call(nobody.pw_uid, group_of_nobody)
    assert not may_call(nobody.pw_uid, "daemon")
    assert not may_call(4_000_000, group_of_nobody), "an account that does not exist is in no group"


CALL = """
import os, socket, sys
if os.getuid() == 0:
    os.setgroups([]); os.setgid({gid}); os.setuid({uid})
s = socket.socket(socket.AF_UNIX); s.connect({path!r})
s.sendall(b'{{"id":1,"do":"sell","aisle":"A1"}}\\n')
print(s.makefile().readline())
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other accounts can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("group", [None, "nobody's"])
async def test_a_real_caller_is_judged_by_the_account_that_the_kernel_names(
    public_folder: Path, group: str | None
) -> None:
    # Root plays nobody; whoever else runs this test can only play himself, who is the agent's own account.
    nobody = pwd.getpwnam("nobody")
    allowed = group is not None or os.getuid() != 0
    in_root = os.getuid() == 0
    stage = Stage(public_folder / "agent.sock", grp.getgrgid(nobody.pw_gid).gr_name if group and in_root else None)
    await stage.start()
    if group is None:
        # Were the file's mode wrong one day, the kernel's word must still keep strangers out.
        stage.path.chmod(0o666)
    script = CALL.format(uid=nobody.pw_uid, gid=nobody.pw_gid, path=str(stage.path))
    caller = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", script, stdout=subprocess.PIPE)
    output, _ = await asyncio.wait_for(caller.communicate(), ANSWER_S)
    assert (b'"ok":true' in output) is allowed
    assert (b'"reason":"forbidden"' in output) is not allowed
    assert stage.machine.sold == (["A1"] if allowed else [])
    await stage.stop()
