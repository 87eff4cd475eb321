"""The local door: the front panel and the technician ask the agent through a Unix socket.

One request and one answer per line of JSON:

    {"id": 1, "do": "sell", "aisle": "A1", "press": "p-77"}
    {"id": 1, "ok": true, "result": {"order": "o..."}}
    {"id": 2, "ok": false, "error": {"reason": "aisle_closed", "detail": "aisle A9 is locked: jam"}}

A word that watches answers with many lines, each marked `"more": true`, and ends when the caller sends anything or
hangs up. What may be asked is a table that the composer hands in; who may ask is decided by the kernel's word on who
is calling (SO_PEERCRED, unix(7)), never by anything in a request.
"""

from __future__ import annotations

import asyncio
import difflib
import grp
import logging
import os
import pwd
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from edge_agent.errors import AgentError, LedgerUnsafe, Refused, SettingsWrong

log = logging.getLogger(__name__)

# The largest request loads one aisle; the largest answer lists some hundred of them.
REQUEST_BYTES_MAX = 16_384
ANSWER_BYTES_MAX = 1_048_576
# A panel, a technician or two and a screen; more is a program gone wrong.
CONNECTIONS_MAX = 16
# A caller who does not take its last answer in this time does not want it.
CLOSE_TIMEOUT_S = 1.0

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid

P = TypeVar("P", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the kernel's word; `name` is the account, or its number when it has none."""

    pid: int
    uid: int
    name: str


@dataclass(frozen=True, slots=True)
class Ask(Generic[P]):
    """A word with one answer. `params` forbids unknown fields; the handler may raise `Refused`."""

    params: type[P]
    handler: Callable[[P, Caller], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Watch(Generic[P]):
    """A word with many answers."""

    params: type[P]
    handler: Callable[[P, Caller], AsyncIterator[object]]


Vocabulary = Mapping[str, Ask[Any] | Watch[Any]]


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    reason: str
    detail: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: int | str | None
    ok: bool
    result: Any = None
    error: _Error | None = None
    more: bool = False


_requests = msgspec.json.Decoder(dict[str, Any])
_answers = msgspec.json.Decoder(_Answer)


class LocalSocket:
    """The server's side. `run` serves until it is cancelled and lets bugs in handlers through."""

    def __init__(self, path: Path, vocabulary: Vocabulary, *, group: str | None = None) -> None:
        self.listening = asyncio.Event()
        self._path = path
        self._vocabulary = vocabulary
        self._group_id = _group_id(group)
        self._connections = 0

    async def run(self) -> None:
        """Listen and serve; `SettingsWrong` when the path cannot be used."""
        listener = self._listen()
        try:
            async with asyncio.TaskGroup() as calls:

                def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    calls.create_task(self._serve(reader, writer), name="local-socket-call")

                server = await asyncio.start_unix_server(accept, sock=listener, limit=REQUEST_BYTES_MAX)
                self.listening.set()
                try:
                    # Not serve_forever: from Python 3.12 its end waits for callers, who may wait for ever.
                    await asyncio.Event().wait()
                finally:
                    server.close()
        finally:
            self.listening.clear()
            listener.close()
            self._path.unlink(missing_ok=True)

    # --- the door itself ---

    def _listen(self) -> socket.socket:
        if _answers_at(self._path):
            raise SettingsWrong(f"{self._path}: another agent listens here: stop it, or change socket.path")
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            # Nobody but us may connect between bind and chmod.
            mask = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(mask)
            if self._group_id is not None:
                os.chown(self._path, -1, self._group_id)
                self._path.chmod(0o660)
        except OSError as error:
            raise SettingsWrong(f"{self._path}: the local socket cannot be opened: {error.strerror}") from error
        listener.setblocking(False)
        listener.listen(CONNECTIONS_MAX)
        return listener

    def _may_call(self, caller: Caller) -> bool:
        if caller.uid in (0, os.getuid()):
            return True
        if self._group_id is None:
            return False
        try:
            account = pwd.getpwuid(caller.uid)
        except KeyError:
            return False
        return self._group_id in os.getgrouplist(account.pw_name, account.pw_gid)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from accept to close."""
        caller = _caller(writer)
        self._connections += 1
        try:
            if not self._may_call(caller):
                log.warning("local socket: %s (uid %d, pid %d) may not ask", caller.name, caller.uid, caller.pid)
                await _turn_away(reader, writer, "forbidden", f"account {caller.name} may not talk to the agent")
            elif self._connections > CONNECTIONS_MAX:
                await _turn_away(reader, writer, "too_many", f"{CONNECTIONS_MAX} connections are open already")
            else:
                await self._converse(reader, writer, caller)
        except ConnectionError:
            log.debug("local socket: %s hung up", caller.name)
        finally:
            self._connections -= 1
            await _hang_up(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _say(writer, _failure(None, "malformed", f"a request has at most {REQUEST_BYTES_MAX} bytes"))
                return
            await self._answer(line, reader, writer, caller)

    # --- one request ---

    async def _answer(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        number: int | str | None = None
        try:
            request = _read_request(line)
            number = request.pop("id")
            word, params = self._understand(request)
            if isinstance(word, Watch):
                await self._watch(number, word.handler(params, caller), reader, writer)
            else:
                await _say(writer, _Answer(id=number, ok=True, result=await word.handler(params, caller)))
        except Refused as refused:
            await _say(writer, _failure(number, refused.reason, refused.detail))
        except LedgerUnsafe:
            raise
        except AgentError as error:
            await _say(writer, _failure(number, _snake_case(type(error).__name__), str(error)))

    def _understand(self, request: dict[str, Any]) -> tuple[Ask[Any] | Watch[Any], Any]:
        """The word of a request and its checked parameters; `Refused` with what was expected."""
        name = request.pop("do")
        word = self._vocabulary.get(name)
        if word is None:
            near = difflib.get_close_matches(name, self._vocabulary, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(self._vocabulary))}"
            raise Refused("unknown_word", f"do: {name[:40]!r} is not known: {hint}")
        try:
            return word, msgspec.convert(request, word.params)
        except msgspec.ValidationError as error:
            raise Refused("malformed", f"{name}: {error}") from error

    async def _watch(
        self,
        number: int | str | None,
        results: AsyncIterator[object],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass results on until there are no more or the caller makes itself heard, which includes hanging up."""

        async def pass_on() -> None:
            async for result in results:
                await _say(writer, _Answer(id=number, ok=True, result=result, more=True))

        passing = asyncio.ensure_future(pass_on())
        stopping = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({passing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                passing.result()
            elif not stopping.result():
                raise ConnectionResetError("the caller hung up")
        finally:
            await _cancel(passing, stopping)
        await _say(writer, _Answer(id=number, ok=True))


def _read_request(line: bytes) -> dict[str, Any]:
    try:
        request = _requests.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("malformed", f"a request is one line with a JSON object: {error}") from error
    number, name = request.get("id"), request.get("do")
    if not isinstance(number, int | str) or isinstance(number, bool):
        raise Refused("malformed", f"id: {number!r}: expected a number or a text that the answer repeats")
    if not isinstance(name, str):
        raise Refused("malformed", f"do: {name!r}: expected a word")
    return request


def _failure(number: int | str | None, reason: str, detail: str) -> _Answer:
    return _Answer(id=number, ok=False, error=_Error(reason=reason, detail=detail))


async def _say(writer: asyncio.StreamWriter, answer: _Answer) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


async def _turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reason: str, detail: str) -> None:
    """Refuse after the first request: a socket closed on an unread one shows its caller an error, not the answer."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await reader.readuntil(b"\n")
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        log.debug("local socket: a caller without a request is turned away")
    await _say(writer, _failure(None, reason, detail))


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close once the last answer has left, or without it when nobody takes it."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await writer.wait_closed()
    except (TimeoutError, ConnectionError):
        writer.transport.abort()


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _group_id(group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SettingsWrong(f"socket.group = {group!r}: this computer has no such group: groupadd {group}") from None


def _answers_at(path: Path) -> bool:
    """Whether somebody listens; a file left behind by a crash refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _caller(writer: asyncio.StreamWriter) -> Caller:
    peer: socket.socket = writer.get_extra_info("socket")
    pid, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Caller(pid, uid, name)


class LocalClient:
    """The caller's side: one question at a time on one connection. Made by `connect_local`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    async def ask(self, do: str, **params: Any) -> Any:
        """The result of one word; raises `Refused` with the agent's reason, `ConnectionError` when the agent left."""
        await self._send(do, params)
        return (await self._read()).result

    async def watch(self, do: str, **params: Any) -> AsyncIterator[Any]:
        """The results of a watching word, until the agent ends it; closing the connection ends it from here."""
        await self._send(do, params)
        while (answer := await self._read()).more:
            yield answer.result

    async def _send(self, do: str, params: dict[str, Any]) -> None:
        self._number += 1
        self._writer.write(msgspec.json.encode({"id": self._number, "do": do, **params}) + b"\n")
        await self._writer.drain()

    async def _read(self) -> _Answer:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the agent closed the local socket")
        answer = _answers.decode(line)
        if answer.error is not None:
            raise Refused(answer.error.reason, answer.error.detail)
        return answer


@asynccontextmanager
async def connect_local(path: Path) -> AsyncIterator[LocalClient]:
    """Open the local door; `OSError` when no agent listens or this account may not connect."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=ANSWER_BYTES_MAX)
    try:
        yield LocalClient(reader, writer)
    finally:
        await _hang_up(writer)
