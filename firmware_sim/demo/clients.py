"""Old programs in the demo: the official account of whoever fills the machines, and the app of the water platform.

They were written against two documented APIs and know nothing of ours: a form with a flag and a session on one side,
bearer tokens and an envelope on the other. What they do reaches the same machines and the same ledgers as everything
else, so the account that is drawn up at the end counts it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from typing import Any, Final

import httpx2

from firmware_sim.demo.book import PRODUCT, SHOP, Person
from firmware_sim.demo.people import TROUBLE, Tally
from firmware_sim.demo.stage import Stage
from firmware_sim.demo.wire import Refused

# Seconds between two rounds, on average: the restocker's way from machine to machine, and a customer's whim.
ROUND_EVERY_S: Final = 8.0
PURCHASE_EVERY_S: Final = 12.0
# What a restocker carries at once.
AISLES_AT_ONCE: Final = 6
PAUSE_S: Final = 30.0


class Account:
    """The official account: one path per file, a flag per operation, forms in and JSON out."""

    def __init__(self, url: str, person: Person) -> None:
        self._http = httpx2.AsyncClient(base_url=f"{url}/vending", timeout=PAUSE_S)
        self._person = person

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self) -> dict[str, Any]:
        """Sign in; the session is a cookie, as a browser keeps it."""
        return await self.ask(
            "login_save", "login_mp", phone=self._person.phone, password_md5=md5(self._person.password)
        )

    async def ask(self, file: str, flag: str, **fields: Any) -> dict[str, Any]:
        """One operation; `Refused` when `ret` is not 0."""
        answer = (await self._http.post(f"/{file}.php", json={flag: 1, **fields})).json()
        if answer["ret"] != 0:
            raise Refused(str(answer["ret"]), f"{flag}: {answer['msg']}")
        data: dict[str, Any] = answer["data"]
        return data


class Platform:
    """The water platform's app, or its back office: methods and paths, a token, and `status` to be verified."""

    def __init__(self, url: str, person: Person) -> None:
        self._http = httpx2.AsyncClient(base_url=f"{url}/iot", timeout=PAUSE_S)
        self._person = person

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self) -> None:
        """Sign in; later calls carry the token."""
        kind = "user" if self._person.role is None else "staff"
        told = await self.ask("POST", "/login", account=self._person.phone, pwd=md5(self._person.password), kind=kind)
        self._http.headers["Authorization"] = f"Bearer {told['token']}"

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """One operation; `Refused` when `status` is false."""
        answer = await self._http.request(method, path, json=body or None)
        told: dict[str, Any] = answer.json()
        if told["status"] is not True:
            raise Refused(told["code"], f"{method} {path}: {told['message']}")
        return told


class Clients:
    """Everybody who uses an old program, with the dice of one seed. `work` runs until it is cancelled."""

    def __init__(self, stage: Stage, seed: int, tally: Tally) -> None:
        self._stage = stage
        self._tally = tally
        self._dice = random.Random(seed + 1)  # noqa: S311  # a story, not a secret
        self._motors = {
            aisle["id"]: (machine.machine, aisle["board"], aisle["motor"])
            for machine in stage.cast.machines
            for aisle in machine.aisles()
        }
        self._recorded: set[str] = set()

    async def work(self) -> None:
        """Fill the machines and sell purifiers, for ever."""
        url, people = self._stage.api.url, self._stage.people
        account, app, office = (
            Account(url, people["restocker"]),
            Platform(url, people["customer"]),
            Platform(url, people["office"]),
        )
        try:
            await asyncio.gather(account.sign_in(), app.sign_in(), office.sign_in())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(self._fill, ROUND_EVERY_S, account), name="restocker")
                group.create_task(self._keep(self._mend, ROUND_EVERY_S, account), name="dispatcher")
                group.create_task(self._keep(self._purchase, PURCHASE_EVERY_S, app, office), name="customer")
        finally:
            await asyncio.gather(account.close(), app.close(), office.close())

    async def _keep(self, act: Any, every_s: float, *who: Any) -> None:
        while True:
            with contextlib.suppress(*TROUBLE):
                await act(*who)
            await asyncio.sleep(self._dice.expovariate(1 / every_s))

    async def _fill(self, account: Account) -> None:
        """Look which machine lacks most, put goods into its emptiest aisles, and say so."""
        machines = (await account.ask("vendor_get", "get_vendor_list", sort=3, page_size=10))["vendor_list"]
        lacking = [machine for machine in machines if machine["out_num"] or machine["stock_num"]] or machines
        machine = lacking[0]["vendor_id"]
        rows = (await account.ask("aisle_get", "get_aisle_list", vendor_id=machine))["aisle_list"]
        rows = [row for row in rows if row["goods_stock"]]
        rows.sort(key=lambda row: row["goods_num"])
        carried = [
            {"aisle_id": row["aisle_id"], "vendor_goods_id": row["vendor_goods_id"], "goods_num": 1}
            for row in rows[:AISLES_AT_ONCE]
        ]
        if carried:
            told = await account.ask("aisle_save", "aisle_record", vendor_id=machine, list=carried, use_name="")
            if told["record_id"] in self._recorded:
                return  # the same aisles again so soon count as asked twice: nothing was booked, so nothing is laid in
            self._recorded.add(told["record_id"])
            for one in carried:
                # The cloud has taken the record and the agent books it; the item itself is laid into the spiral.
                where, board, motor = self._motors[one["aisle_id"]]
                await self._stage.sim.load(where, board, motor, one["goods_num"])
            self._tally.restocks += 1
            self._tally.tell(f"official account: {len(carried)} items put into {machine}")
        board = await account.ask("vendor_board", "get_today_data", shop_id=SHOP, time_cut=2)
        self._tally.boards["official account"] = f"{board['data']['num']} orders, {board['data']['money']} yuan today"

    async def _mend(self, account: Account) -> None:
        """Give new faults to somebody, and say what became of those that were given."""
        new = await account.ask("fault_get", "get_fault_list", shop_id=SHOP, is_send=0, deal_status=1)
        for fault in new["fault_list"][:1]:
            people = (await account.ask("vendor_get", "get_vendor_person", shop_id=SHOP))["person_list"]
            given = {"fault_id": fault["fault_id"], "deal_name": people[0]["vendor_person"]}
            await account.ask("fault_save", "is_send_fault", **given, name=people[0]["person_phone"])
            self._tally.tell(f"official account: fault {fault['fault_id']} given to {given['deal_name']}")

    async def _purchase(self, app: Platform, office: Platform) -> None:
        """A customer buys a purifier for the kitchen; it is paid, sent and received."""
        receiver = {"name": "霜降", "phone": "13900004001", "area": "云岭市", "address": "大学路 3 号"}
        content = [{"product_id": PRODUCT, "quantity": 1}]
        order = (await app.ask("POST", "/orders", content=content, receiver=receiver))["order_id"]
        await app.ask("POST", f"/orders/{order}/prepay/weixin")
        await self._pay(order)
        sent = {"company": "云岭快递", "tracking_num": order[-12:], "delivery_clerk": "谷雨"}
        await office.ask("POST", f"/orders/{order}/delivery", **sent)
        await app.ask("POST", f"/orders/{order}/status/confirm")
        self._tally.purchases += 1
        self._tally.tell(f"water platform: order {order[-6:]} paid, sent and received")
        listed = await office.ask("GET", "/orders")
        self._tally.boards["water platform"] = f"{listed['total']} orders"

    async def _pay(self, order: str) -> None:
        """No money moves in the demo: its provider is a recording one, and is told here that the customer paid."""
        api = self._stage.api
        for payment in await api.every("/payments", state="pending"):
            if payment["subject"] == order:
                await api.post(f"/payments/{payment['payment']}/settlement")


def md5(password: str) -> str:
    """What these programs send of a password."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
