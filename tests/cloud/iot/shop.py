"""A brand's shop: who asks, what is sold, and the steps of a purchase as its clients take them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from sqlalchemy import select

from cloud.accounts import store as accounts
from cloud.accounts.brands import choose_brand_code
from cloud.accounts.model import Role, Subject, Tenant, Unit, User
from cloud.accounts.sign_in import customer, give_token
from cloud.accounts.units import open_unit
from cloud.audit import ledger_drift
from cloud.database import Database, Work
from cloud.facades.dialect import Parts
from cloud.members.browse import account_balance
from cloud.members.wallet import join
from cloud.outcalls import make_due
from cloud.payments.capture import apply_report, settle_recorded
from cloud.payments.store import find_payment, payments
from cloud.promotions.expire import disband_due
from cloud.providers.recording import RECORDING, settled
from cloud.purchases.expire import pass_due
from cloud.rentals.expire import dismantle_due, lapse_due, lapse_used_up
from cloud.wiring import deadlines_of, handlers

BRAND, RIVAL, PLATFORM = "clear", "rival", "platform"
RECEIVER = {"name": "安安", "phone": "13900003001", "area": "珠海", "address": "露水路 1 号", "zipcode": "519000"}
PURIFIER = {
    "prod_id": "P1",
    "name": "净水机",
    "price": 2980,
    "freight": 20.5,
    "install": True,
    "install_cost": 100,
    "rent": {
        "deposit": 500,
        "config": [{"name": "30天", "key": "30d", "value": 60}, {"name": "90天", "key": "90d", "value": 150.01}],
    },
    "commis": {"enabled": True, "config": [21, 9, 0.5]},
    "specification": {
        "mode": 1,
        "filters": [
            {"order": 1, "name": "PPC", "timer_mode": 0, "lifetime": 4320, "worklife": 540},
            {"order": 2, "name": "RO", "timer_mode": 2, "lifetime": 17280, "worklife": 2160},
        ],
        "flowmeter": {
            "measure_mode": 0,
            "config": [{"name": "常温", "key": "normal", "value": 30}, {"name": "热水", "key": "hot", "value": 12.5}],
        },
    },
}
CARTRIDGE = {"prod_id": "P2", "name": "滤芯", "price": 99.99}


@dataclass
class Shop:
    """Two brands, their staff and customers, and a client that asks in the name of any of them."""

    parts: Parts
    client: httpx2.AsyncClient
    tokens: dict[str, str]

    @property
    def database(self) -> Database:
        return self.parts.database

    async def ask(self, who: str, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
        """One request in the name of `who` ("" for nobody)."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return await self.client.request(method, f"/iot{path}", json=body, params=query, headers=headers)

    async def told(self, who: str, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The `data` of an answer that must be a success."""
        answer = await self.ask(who, method, path, body, **query)
        assert answer.status_code < 300, answer.text
        if answer.status_code == 204:
            return None
        assert answer.json()["status"] is True
        return answer.json()["data"]

    async def status(self, who: str, method: str, path: str, body: Any = None, **query: Any) -> int:
        """The status of an answer, whose envelope must fit it."""
        answer = await self.ask(who, method, path, body, **query)
        if answer.status_code >= 300:
            assert answer.json()["status"] is False, answer.text
            assert answer.json()["message"]
        return answer.status_code

    async def order(self, *content: dict[str, Any], who: str = "anna") -> str:
        """An order that waits for its money."""
        body = {"content": list(content) or [{"product_id": "P2", "quantity": 1}], "receiver": RECEIVER, "memo": "轻放"}
        number: str = (await self.told(who, "POST", "/orders", body))["order_id"]
        return number

    async def pay(self, order: str, who: str = "anna", way: str = "weixin") -> str:
        """Prepay and pay an order; answers the payment."""
        bill: str = (await self.told(who, "POST", f"/orders/{order}/prepay/{way}"))["bill_no"]
        await self.settle(bill)
        return bill

    async def settle(self, bill: str) -> None:
        """Somebody pays at the recording provider."""
        settle = partial(settle_recorded, till=self.parts.till, tenant=BRAND, payment=bill)
        await self.database.transact(settle, tenant=BRAND)

    async def deliver(self, order: str) -> None:
        """Send an order that is paid."""
        await self.told("owner", "POST", f"/orders/{order}/delivery", {"company": "快快", "tracking_num": "KK1"})

    async def state(self, order: str) -> str:
        """The state of an order in words."""
        status: str = (await self.told("owner", "GET", f"/orders/{order}"))["status"]
        return status

    async def pass_time(self, ms: int) -> None:
        """Let time pass, and do what it does to purchases and rentals; then make the calls out."""
        self.database.clock.advance(ms)  # type: ignore[attr-defined]
        async with self.database.work() as work:  # nobody signs in again for it
            await work.execute(accounts.tokens.update().values(expires_ms=work.now_ms + 3_600_000))
        await self.do_due()
        await self.make_calls()

    async def do_due(self) -> None:
        """What time has brought about by now."""
        deadlines = deadlines_of(self.parts.settings)
        await self.database.transact(partial(disband_due, deadlines=deadlines))
        await self.database.transact(partial(pass_due, deadlines=deadlines))
        await self.database.transact(lapse_due)
        await self.database.transact(lapse_used_up)
        await self.database.transact(partial(dismantle_due, grace_ms=self.parts.settings.rental_grace_ms))

    async def make_calls(self) -> None:
        """Make the calls out that are due."""
        await make_due(self.database, handlers(self.parts.till, self.parts.codes, self.parts.credentials))

    async def drift(self) -> int:
        """How far the ledger is off."""
        async with self.database.look(tenant=BRAND) as work:
            return await ledger_drift(work, BRAND)

    async def held(self, account: str) -> int:
        """What an account of the ledger holds, in fen."""
        async with self.database.look(tenant=BRAND) as work:
            return await account_balance(work, BRAND, account)

    async def settle_late(self, bill: str) -> None:
        """Somebody paid, and his provider says so when nobody waits any more."""

        async def use(work: Work) -> None:
            payment = await find_payment(work, BRAND, bill, lock=True)
            assert payment is not None, "it was begun"
            assert payment.state == "closed", payment.state
            await apply_report(work, self.parts.till, payment, settled(bill, payment.amount_fen), RECORDING)

        await self.database.transact(use, tenant=BRAND)

    async def payment_states(self, order: str) -> list[str]:
        """What became of the payments of an order, oldest first."""
        query = select(payments.c.state).where(payments.c.tenant == BRAND, payments.c.subject == order)
        async with self.database.look(tenant=BRAND) as work:
            rows = await work.rows(query.order_by(payments.c.created_ms, payments.c.reference))
        return [row.state for row in rows]


async def open_shop(parts: Parts, client: httpx2.AsyncClient) -> Shop:
    """Brand "clear" with agent AG1 and shop SH1 below it, its customers anna and ben, and another brand."""
    tokens: dict[str, str] = {}
    async with parts.database.work() as work:
        for tenant, code in ((BRAND, "CLEA"), (RIVAL, "RIVA"), (PLATFORM, "PLAT")):
            await accounts.add_tenant(work, Tenant(tenant, tenant.title(), work.now_ms))
            await choose_brand_code(work, tenant, code)
        agent = await open_unit(work, BRAND, "AG1", "agent", "Agent")
        await open_unit(work, BRAND, "SH1", "shop", "Shop", parent="AG1")
        for name, tenant, role, unit in (
            ("platform", PLATFORM, "platform", None),
            ("owner", BRAND, "owner", None),
            ("operator", BRAND, "operator", None),
            ("viewer", BRAND, "viewer", None),
            ("agent", BRAND, "operator", agent),
            ("rival", RIVAL, "owner", None),
        ):
            tokens[name] = await _staff(work, tenant, name, role, unit)  # type: ignore[arg-type]
        for name, tenant in (("anna", BRAND), ("ben", BRAND), ("carl", BRAND), ("dora", BRAND), ("rita", RIVAL)):
            await join(work, tenant, name, name.title())
            tokens[name] = (await give_token(work, customer(tenant, name), "iot"))[0]
    shop = Shop(parts, client, tokens)
    for product in (PURIFIER, CARTRIDGE):
        await shop.told("owner", "POST", "/products", product)
    await shop.told("rival", "POST", "/products", {"prod_id": "R1", "name": "别家", "price": 1})
    return shop


async def _staff(work: Work, tenant: str, name: str, role: Role, unit: Unit | None) -> str:
    user = User(tenant, f"u-{name}", name, name, role, False, False, work.now_ms, unit.unit if unit else None)
    assert await accounts.add_user(work, user, "no hash of any password")
    return (await give_token(work, Subject(tenant, user.user, name, role, unit=unit), "iot"))[0]
