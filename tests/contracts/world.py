"""The world that the samples speak about: two brands with their units, people, machines and goods, on one platform.

It is made once per kind of database and copied for every test, so each case meets it as it was: `rewind`. What the
world holds is what the documented samples name, under invented names: shop SH888 with the devices VI107, VI64, VI119
and VI453, shop SH21 with VI210, another brand with SH901; customers anna and ben, and one of the other brand.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from cloud.accounts.codes import codes_to_read
from cloud.database import Database, Work
from cloud.facades.dialect import Parts
from cloud.machines.credentials import Credentials
from cloud.outcalls import make_due
from cloud.payments.browse import payments_for
from cloud.payments.capture import settle_recorded
from cloud.promotions.expire import disband_due
from cloud.purchases.expire import pass_due
from cloud.purchases.prepay import PURCHASE
from cloud.rentals.expire import dismantle_due, lapse_due
from cloud.settings import Settings
from cloud.wiring import deadlines_of, handlers
from shared.clock import ManualClock
from tests.cloud.api.world import SERVER_SECRET, parts_of
from tests.cloud.shared_app import app_of
from tests.contracts.machines import Machines
from tests.contracts.talk import SPEECHES, Talk

# Nobody answers there: nothing that is tested here may notice.
_NO_BROKER_PORT = 9

BRAND, RIVAL, PLATFORM = "13900000000", "13900000009", "platform"
PASSWORD = "morning-dew-2026"


def md5(text: str) -> str:
    """What older clients send in the place of a password."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


# What the contracts call by name, beside what the world's making adds.
NAMES: dict[str, Any] = {
    "password": PASSWORD,
    "password_md5": md5(PASSWORD),
    "other_password_md5": md5("evening-dew-2026"),
    "keeper_name": "立春",
    # NOON_MS is noon of this day in China.
    "today": 20261120,
    "yesterday": 20261119,
}


@dataclass(frozen=True, slots=True)
class Settled:
    """A world at rest: what a test needs to go on where its making ended."""

    names: Mapping[str, Any]
    # Headers by which somebody is known, per dialect and caller.
    callers: Mapping[str, Mapping[str, Mapping[str, str]]]
    # How many facts each machine has told.
    told: Mapping[str, int]
    wall_ms: int


@dataclass
class World:
    """A world in use."""

    parts: Parts
    app: FastAPI
    client: httpx2.AsyncClient
    settled: Settled
    # Puts the database back to how it was settled.
    restore: Callable[[], Awaitable[None]]
    machines: Machines = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    @property
    def database(self) -> Database:
        """Where everything is kept."""
        return self.parts.database

    def _begin(self) -> None:
        self.machines = Machines(self.database, Credentials(SERVER_SECRET), self.settled.told)

    @property
    def clock(self) -> ManualClock:
        """The clock of the whole world."""
        assert isinstance(self.database.clock, ManualClock)
        return self.database.clock

    async def rewind(self) -> None:
        """Everything as it was settled."""
        await self.database.close()
        await self.restore()
        self._begin()

    def talk(self, dialect: str) -> Talk:
        """A client of one dialect."""
        return Talk(SPEECHES[dialect], self.client, self.settled.callers[dialect], self.settled.names, self)

    async def sms_codes(self) -> dict[str, str]:
        """The codes that were sent to phones and can be used: `sms_` and the number -> code."""
        found: dict[str, str] = {}
        for tenant in (BRAND, RIVAL):
            async with self.database.look(tenant=tenant) as work:
                live = await codes_to_read(work, self.parts.codes, tenant)
            found |= {f"sms_{code.phone}": code.code for code in live}
        return found

    async def happens(self, event: str, path: Mapping[str, str], talk: Talk) -> None:
        """Something that the documentation presumes and has no operation for."""
        match event:
            case "paid":
                await self._pay(path["OID"])
            case "earned":
                await self._earn(talk)
            case _:
                raise AssertionError(f"nothing is known of {event!r}")

    async def _pay(self, order: str) -> None:
        """The customer pays what was begun last, and the provider says so."""

        async def capture(work: Work) -> None:
            *_, payment = await payments_for(work, BRAND, PURCHASE, order)
            await settle_recorded(work, self.parts.till, BRAND, payment.payment)

        await self.database.transact(capture, tenant=BRAND)

    async def _earn(self, talk: Talk) -> None:
        """Somebody whom ben recommended buys, and keeps what he bought until nobody can send it back."""
        anna, ben = "CHLU0000000000000001", "CHLU0000000000000002"
        await talk.do("AA-05", by="brand", path={"UID": anna}, send={"rid": ben})
        receiver = {"name": "安安", "phone": "13900003001", "area": "珠海", "address": "露水路 1 号"}
        content = [{"product_id": "0123456789", "quantity": 1}]
        order = (await talk.do("AD-02", by="anna", send={"content": content, "receiver": receiver}))["order_id"]
        await talk.do("AD-07", by="anna", path={"OID": order})
        await self._pay(order)
        await talk.do("AD-05", by="brand", path={"OID": order}, send={"company": "快快物流", "tracking_num": "KK1"})
        await talk.do("AD-11", by="anna", path={"OID": order})
        await self.pass_time(self.parts.settings.purchase_finish_ms + 1_000)
        # What is earned is paid out to the WeChat account that he has bound.
        phone = {"vid": BRAND, "mobile": "13900003002"}
        await talk.do("AA-02", send=phone)
        code = (await self.sms_codes())["sms_13900003002"]
        await talk.do("AA-08", send={**phone, "code": code, "weixin": {"nick": "小本", "OpenID": "o-ben"}})

    async def pass_time(self, ms: int) -> None:
        """Let time pass, do what it does to groups, purchases and rentals, and make the calls out that are due."""
        self.clock.advance(ms)
        settings = self.parts.settings
        await self.database.transact(partial(disband_due, deadlines=deadlines_of(settings)))
        await self.database.transact(partial(pass_due, deadlines=deadlines_of(settings)))
        await self.database.transact(lapse_due)
        await self.database.transact(partial(dismantle_due, grace_ms=settings.rental_grace_ms))
        await make_due(self.database, handlers(self.parts.till, self.parts.codes, self.parts.credentials))


@asynccontextmanager
async def open_world(
    database: Database, settled: Settled, data: Path, restore: Callable[[], Awaitable[None]]
) -> AsyncIterator[World]:
    """The application over a settled world."""
    parts = parts_of(database, Settings(data=data, broker_port=_NO_BROKER_PORT))
    app = app_of(parts)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        yield World(parts, app, client, settled, restore)
    await database.close()


# Ids by the names of the fields that carry them, for requests that are made up.
IDS: dict[str, Sequence[str]] = {
    **dict.fromkeys(("vendor_id", "machine"), ("VI107", "VI64", "VI119", "VI210", "VI901")),
    "shop_id": ["SH888", "SH21", "SH901"],
    **dict.fromkeys(("aisle_id", "aisle"), ("AI56", "AI59", "AI61", "AI67", "AI901")),
    **dict.fromkeys(("vendor_goods_id", "goods"), ("VG9", "VG13", "VG22", "VG901")),
    "category_id": ["VGC9", "VGC19"],
    "fault_id": ["FD1", "FD2"],
    "return_id": ["RI1", "RI2"],
    "vendor_order_id": ["VO1", "VO2"],
    **dict.fromkeys(
        ("uid", "user_id", "member", "rid"), ("CHLU0000000000000001", "CHLU0000000000000002", "RIVL0000000000000001")
    ),
    **dict.fromkeys(("did", "device_id"), ("CHLU01234567AAAA", "CHLU01234567BBBB", "RIVL01234567AAAA")),
    **dict.fromkeys(("pid", "product_id", "prod_id"), ("0123456789", "0123456788", "0123456009")),
    **dict.fromkeys(("vid", "vendor"), (BRAND, RIVAL)),
    "mobile": ["13900003001", "13900003099"],
    "unit": ["AG1", "DL1", "SH888", "SH901"],
    "tenant": [BRAND, RIVAL],
}

# What is another's: caller -> (what his answers never hold, what he is never answered about).
_OURS = ("VI107", "VI64", "VI119", "AI56", "AI59", "VG9", "晨露便利店", "大堂测试机", "13900002001", "13900003001")
_OUR_CUSTOMERS = ("CHLU0000000000000001", "CHLU01234567AAAA", "安安", "0123456789")
_NAMED = ("VI107", "VI64", "VI119", "AI56", "AI59", "SH888", "CHLU0000000000000001", "CHLU01234567AAAA")
BELONGINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rival": ((*_OURS, *_OUR_CUSTOMERS), (*_NAMED, "0123456789")),
    "rival_keeper": ((*_OURS, *_OUR_CUSTOMERS), (*_NAMED, "VG9", "0123456789")),
    "rival_customer": ((*_OURS, *_OUR_CUSTOMERS), (*_NAMED, "VG9", "0123456789")),
    "other_agent": (("VI107", "VI64", "VI119", "AI56", "AI59", "大堂测试机", "13900002001", "安安"), _NAMED),
    "second_keeper": (("VI107", "VI64", "VI119", "AI56", "AI59", "大堂测试机", "13900002001", "安安"), _NAMED),
    "ben": (("CHLU01234567AAAA", "安安", "13900003001"), ("CHLU0000000000000001", "CHLU01234567AAAA")),
}
