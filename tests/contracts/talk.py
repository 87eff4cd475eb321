"""One runner for all dialects: asks what the contracts say, and checks what comes back.

What differs between dialects is how a request is written, and how its answer is read: a `Speech`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import httpx2

from tests.contracts.contract import Case, Documented, contract, extra
from tests.contracts.rules import RULES, Told
from tests.contracts.shapes import contains, mismatches


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no, in the dialect's own words."""

    status: int
    code: int | str
    message: str


class Speech(Protocol):
    """How one dialect is spoken."""

    name: str
    prefix: str

    def write(self, operation: Documented, case: Case) -> dict[str, Any]:
        """The keywords of the request, without its path and who asks."""

    def read(self, operation: Documented | None, answer: httpx2.Response) -> Any:
        """The payload or a `Refusal`; asserts that the envelope is the dialect's own."""

    def shape(self, operation: Documented) -> Any:
        """The shape of the payload that `read` answers."""


class Talk:
    """One client, signed in as everybody, and what was said so far."""

    def __init__(
        self,
        speech: Speech,
        client: httpx2.AsyncClient,
        callers: Mapping[str, Mapping[str, str]],
        values: Mapping[str, Any],
        world: Any = None,
    ) -> None:
        self.speech = speech
        self.client = client
        self.callers = callers
        self.values = dict(values)
        self.world = world
        self.operations = contract(speech.name) | extra(speech.name)

    async def play(self, case: Case) -> Any:
        """Ask `case` with all that comes before and after it; answers its payload or refusal."""
        for step in case.before:
            await self.play(step)
        if case.operation.startswith("!"):
            return await self.world.happens(case.operation[1:], self.filled(case.path), self)
        if "$sms_" in repr(case):
            self.values |= await self.world.sms_codes()
        operation = self.operations[case.operation]
        caller = case.caller or operation.caller
        told = await self.ask(operation, case, caller)
        self._judge(operation, case, caller, told)
        if not isinstance(told, Refusal):
            await self._check(operation, case, caller, told)
        for name, path in case.keep.items():
            self.values[name] = dig(told, path)
        for step in case.then:
            await self.play(step)
        return told

    async def do(self, operation: str, *, by: str | None = None, expect: Any = None, **words: Any) -> Any:
        """One ask of a story: `send`, `query`, `path` and `refused` as in a case; answers the payload."""
        return await self.play(Case(operation, name="in a story", caller=by, expect=expect, **words))

    async def ask(self, operation: Documented, case: Case, caller: str) -> Any:
        """The payload of the answer, or a refusal."""
        return self.speech.read(operation, await self.response(operation, case, caller))

    async def response(self, operation: Documented, case: Case, caller: str) -> httpx2.Response:
        """The plain answer."""
        self.client.cookies.clear()
        request = self.speech.write(operation, _with_values(case, self))
        headers = {**request.pop("headers", {}), **self.callers[caller]}
        path = operation.path
        for name, value in self.filled(case.path).items():
            path = path.replace(f"<{name}>", value)
        return await self.client.request(operation.method, self.speech.prefix + path, headers=headers, **request)

    async def _check(self, operation: Documented, case: Case, caller: str, told: Any) -> None:
        place = f"{operation.id} ({case.name or 'as asked'})"
        problems = mismatches(self.speech.shape(operation), told)
        assert not problems, f"{place}: {problems[:10]}"
        expected, refuted = self.filled(case.expect), self.filled(case.refute)
        assert expected is None or contains(told, expected), f"{place}: expected {expected}\nin {told}"
        assert refuted is None or not contains(told, refuted), f"{place}: not expected {refuted}\nin {told}"

        async def more(wanted: str, sent: Mapping[str, Any]) -> Any:
            other = self.operations[wanted or operation.id]
            names = set(re.findall(r"<(\w+)>", other.path))
            asked = Case(
                other.id,
                send=None if other.method == "GET" else dict(sent),
                query=dict(sent) if other.method == "GET" and not names else {},
                path={name: sent[name] for name in names},
            )
            answered = await self.ask(other, asked, caller)
            assert not isinstance(answered, Refusal), f"{place}: {other.id} answers {answered}"
            return answered

        sent = self.filled(case.send)
        facts = Told(told, sent if isinstance(sent, Mapping) else {}, self.filled(case.query), more)
        for name in (*operation.holds, *case.holds):
            try:
                await RULES[name](facts)
            except AssertionError as error:
                raise AssertionError(f"{place}: not true that {name}: {error}\nin {told}") from error

    def _judge(self, operation: Documented, case: Case, caller: str, told: Any) -> None:
        place = f"{operation.id} ({case.name or 'as asked'}) as {caller}"
        if not case.refused:
            assert not isinstance(told, Refusal), f"{place}: {told}"
            return
        assert isinstance(told, Refusal), f"{place}: answered, though it should be refused: {told}"
        assert case.refused == (0,) or told.status in case.refused, f"{place}: {told} instead of {case.refused}"

    def filled(self, value: Any) -> Any:
        """`value` with every `$name` replaced by what it stands for."""
        if isinstance(value, Mapping):
            return {name: self.filled(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.filled(part) for part in value]
        if not isinstance(value, str) or "$" not in value:
            return value
        if re.fullmatch(r"\$\w+", value):
            return self.values[value[1:]]
        return re.sub(r"\$(\w+)", lambda match: str(self.values[match[1]]), value)


def _with_values(case: Case, talk: Talk) -> Case:
    return Case(
        case.operation,
        send=talk.filled(case.send),
        query=talk.filled(case.query),
        headers=case.headers,
        form=case.form,
    )


def dig(value: Any, path: str) -> Any:
    """The value at `list.0.name`."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


class VendingSpeech:
    """Always POST, always HTTP 200: a flag in the body selects, `ret` says how it went, `data` holds the rest."""

    name = "vending"
    prefix = "/vending"

    def write(self, operation: Documented, case: Case) -> dict[str, Any]:
        assert operation.flag is not None
        body = {operation.flag: 1, **(case.send or {})}
        return {"data": body} if case.form else {"json": body}

    def read(self, operation: Documented | None, answer: httpx2.Response) -> Any:
        assert answer.status_code == 200, f"HTTP {answer.status_code}: {answer.text}"
        body = _json(answer)
        assert mismatches({"ret": "integer", "data": "object"}, body) == [], body
        if body["ret"] == 0:
            return body["data"]
        assert mismatches({"msg": "text"}, body) == [], body
        assert body["data"] == {}, body
        return Refusal(200, body["ret"], body["msg"])

    def shape(self, operation: Documented) -> Any:
        return operation.told


class IotSpeech:
    """Method and path select, the HTTP status is meant, and an envelope says it once more.

    The payload is read as clients do: a list under its own name on top of the envelope (and in `data` as well), new ids
    on top, a single object in `data`.
    """

    name = "iot"
    prefix = "/iot"

    _SUCCESS: ClassVar = {"GET": (200,), "POST": (201,), "PUT": (201,), "DELETE": (204,)}

    def write(self, operation: Documented, case: Case) -> dict[str, Any]:
        request: dict[str, Any] = {"headers": dict(case.headers)}
        if case.query:
            request["params"] = case.query
        if isinstance(case.send, str):
            request["content"] = case.send.encode()
            request["headers"]["Content-Type"] = "application/json"
        elif case.send is not None:
            request["json"] = case.send
        return request

    def read(self, operation: Documented | None, answer: httpx2.Response) -> Any:
        if answer.status_code == 204:
            assert answer.content == b"", answer.text
            assert operation is None or operation.method == "DELETE", f"{operation.id}: 204"
            return {}
        body = _json(answer)
        envelope = {
            "total": "count",
            "data": "array|object",
            "status": "boolean",
            "code": "string",
            "message": "string",
        }
        assert mismatches(envelope, body) == [], body
        if answer.status_code >= 400:
            assert body["status"] is False, body
            assert body["code"], body
            assert body["message"], body
            assert body["data"] == [], body
            return Refusal(answer.status_code, body["code"], body["message"])
        assert body["status"] is True, body
        if operation is None:
            return body
        wanted = (operation.status, 201) if operation.status else self._SUCCESS[operation.method]
        assert answer.status_code in wanted, f"{operation.id}: HTTP {answer.status_code} instead of {wanted}"
        if operation.rows is not None:
            assert body["data"] == body[operation.rows], body
            assert body["total"] >= len(body["data"]), body
            return {operation.rows: body["data"], "total": body["total"]}
        return {
            **(body["data"] if isinstance(body["data"], dict) else {}),
            **{name: body[name] for name in operation.adds},
        }

    def shape(self, operation: Documented) -> Any:
        if operation.rows is not None:
            return {operation.rows: [operation.told], "total": "count"}
        return {**(operation.told or {}), **operation.adds}  # type: ignore[dict-item]


class OldProgram:
    """A speech as an old program speaks it: bodies are forms, every value is text, and more is sent than is asked."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self.name, self.prefix = speech.name, speech.prefix

    def write(self, operation: Documented, case: Case) -> dict[str, Any]:
        request = self._speech.write(operation, case)
        if isinstance(request.get("json"), Mapping):
            request["data"] = dict(_texts("", {**request.pop("json"), "client": {"version": 2}, "remember": True}))
        return request

    def read(self, operation: Documented | None, answer: httpx2.Response) -> Any:
        return self._speech.read(operation, answer)

    def shape(self, operation: Documented) -> Any:
        return self._speech.shape(operation)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The fields of a form: a value inside of another is `name[inner]`."""
    if isinstance(value, Mapping | list):
        for inner, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(f"{name}[{inner}]" if name else str(inner), part)
    elif value is not None:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)


def _json(answer: httpx2.Response) -> Any:
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json", answer.headers["Content-Type"]
    return json.loads(answer.text, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


SPEECHES: dict[str, Speech] = {"vending": VendingSpeech(), "iot": IotSpeech()}
