"""Brands and their callers, asked in the IoT dialect without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2

from cloud.accounts import store
from cloud.accounts.model import Role, Tenant, UnitKind, User, mint_token, token_hash
from cloud.accounts.sign_in import customer, give_token
from cloud.accounts.units import open_unit
from cloud.database import Database
from cloud.facades.dialect import Parts
from cloud.members.wallet import join
from cloud.providers.sms import Template
from tests.cloud.api.world import HOUR_MS

MD5 = "5f4dcc3b5aa765d61d8327deb882cf99"
OTHER_MD5 = "900150983cd24fb0d6963f7d28e17f72"


@dataclass
class Iot:
    """The dialect as its callers see it: `ask` as one of them, whose token is looked up by name."""

    client: httpx2.AsyncClient
    database: Database
    parts: Parts
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    async def ask(
        self, who: str, method: str, path: str, body: dict[str, Any] | None = None, **query: Any
    ) -> httpx2.Response:
        """Ask as `who` ("" for nobody)."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return await self.client.request(method, f"/iot{path}", json=body, params=query, headers=headers)

    async def told(self, who: str, method: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> Any:
        """The whole answer of a request that must succeed."""
        answer = await self.ask(who, method, path, body, **query)
        expected = {"GET": 200, "DELETE": 204}.get(method, 201)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        if expected == 204:
            assert answer.content == b""
            return None
        told = answer.json()
        assert (told["status"], told["code"], told["message"]) == (True, "", "")
        return told

    async def refused(
        self, status: int, who: str, method: str, path: str, body: dict[str, Any] | None = None, **query: Any
    ) -> str:
        """Why a request is refused with `status`."""
        answer = await self.ask(who, method, path, body, **query)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        told = answer.json()
        assert (told["status"], told["data"], told["code"]) == (False, [], str(status))
        assert told["message"]
        return str(told["message"])

    async def staff(self, who: str, tenant: str, role: Role, unit: str | None = None) -> None:
        """Somebody who works there, signed in."""
        async with self.database.work() as work:
            user = User(tenant, f"u-{who}", who, who.title(), role, False, False, work.now_ms, unit)
            assert await store.add_user(work, user, "no hash of any password")
            self.tokens[who] = mint_token(tenant)
            expires_ms = work.now_ms + HOUR_MS
            await store.add_token(work, tenant, token_hash(self.tokens[who]), user.user, expires_ms, audience="iot")

    async def member(self, who: str, tenant: str, phone: str = "") -> str:
        """A member with this id, signed in."""
        async with self.database.work(tenant=tenant) as work:
            await join(work, tenant, who, who.title(), phone)
            self.tokens[who], _ = await give_token(work, customer(tenant, who), "iot")
        return who

    async def brand(self, tenant: str) -> None:
        """A brand with an agent, a dealer and a shop below it, and its owner."""
        async with self.database.work() as work:
            await store.add_tenant(work, Tenant(tenant, tenant.title(), work.now_ms))
        async with self.database.work(tenant=tenant) as work:
            above: str | None = None
            kinds: tuple[UnitKind, ...] = ("agent", "dealer", "shop")
            for kind in kinds:
                above = (await open_unit(work, tenant, f"{kind}-{tenant}", kind, kind.title(), parent=above)).unit
        await self.staff(f"owner-{tenant}", tenant, "owner")
        await self.staff(f"agent-{tenant}-boss", tenant, "owner", f"agent-{tenant}")

    async def code(self, tenant: str, purpose: Template, phone: str) -> str:
        """The code that was sent to a number last."""
        async with self.database.look(tenant=tenant) as work:
            row = await store.find_code(work, tenant, purpose, phone)
        assert row is not None, f"no code was sent to {phone}"
        return self.parts.codes.code(tenant, row.message)
