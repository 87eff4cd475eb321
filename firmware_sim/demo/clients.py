"""The old programs of the demo: an official account, and the app and the offices of a water platform.

They were written against two documented APIs and know nothing of ours: a flag and a session on one side, bearer tokens
and an envelope on the other. What they do reaches the same machines and the same ledgers as everything else, so the
account that is drawn up at the end counts it too.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

import httpx2

from firmware_sim.demo.book import BRAND, Person
from firmware_sim.demo.documented import DOCUMENTED, Answer, Answers
from firmware_sim.demo.wire import Refused

PAUSE_S: Final = 30.0


class Program(ABC):
    """One program of one person, who signs in when it is used for the first time; of nobody, who never does."""

    at: ClassVar[str]

    def __init__(self, url: str, person: Person | None, answers: Answers) -> None:
        self._http = httpx2.AsyncClient(base_url=url + self.at, timeout=PAUSE_S)
        self._person = person
        self._signing_in = asyncio.Lock()
        self._answers = answers

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        """One operation, by its number or as it is called; `Refused` when the answer says no."""
        async with self._signing_in:
            if self._person is not None:
                await self._sign_in(self._person)
                self._person = None
        return await self._ask(operation, **fields)

    @abstractmethod
    async def _sign_in(self, person: Person) -> None:
        """Prove who one is; later asks carry the proof."""

    @abstractmethod
    async def _ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        """One operation in the words of the program."""

    def _hear(self, operation: str, answer: httpx2.Response, refusal: tuple[str, str] | None) -> None:
        """Take note of the answer; `Refused` when it says no, with its code and sentence."""
        kept = Answer(answer.status_code, answer.headers.get("Content-Type", ""), answer.text)
        self._answers.hear(operation, kept, " ".join(refusal) if refusal else None)
        if refusal:
            raise Refused(refusal[0], f"{operation}: {refusal[1]}")


class Account(Program):
    """The official account: one path per file, a flag per operation, JSON out."""

    at = "/vending"

    async def _sign_in(self, person: Person) -> None:
        """The session is a cookie, as a browser keeps it."""
        await self._ask("8.0", phone=person.phone, password_md5=person.sent)

    async def _ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        file, flag = DOCUMENTED[operation].split()
        answer = await self._http.post(f"/{file}.php", json={flag: 1, **fields})
        told = answer.json()
        self._hear(operation, answer, (str(told["ret"]), told["msg"]) if told["ret"] != 0 else None)
        data: dict[str, Any] = told["data"]
        return data


class Platform(Program):
    """The water platform: methods and paths, a token, and `status` to be verified."""

    at = "/iot"

    async def _sign_in(self, person: Person) -> None:
        kind = "user" if person.role is None else "staff"
        told = await self._ask("POST /login", account=person.phone, pwd=person.sent, kind=kind, vid=BRAND)
        self._http.headers["Authorization"] = f"Bearer {told['token']}"

    async def _ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Names of the path are written in capitals; everything else goes into the body, or the query of a question."""
        method, path = DOCUMENTED.get(operation, operation).split()
        path = re.sub(r"<(\w+)>", lambda name: str(fields.pop(name[1])), path)
        asks = method in ("GET", "DELETE")
        answer = await self._http.request(
            method, path, params=fields if asks else None, json=None if asks else fields or None
        )
        told: dict[str, Any] = answer.json() if answer.content else {"status": True}
        self._hear(operation, answer, None if told["status"] is True else (told["code"], told["message"]))
        return told
