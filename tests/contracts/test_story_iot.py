"""The life of a purifier and of those around it, through HTTP, what machines report and what providers say."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.audit import ledger_drift
from cloud.machines.planogram import current_config
from shared.messages import FaultChanged, FilterConditionChanged
from tests.cloud.water.tap import tapped
from tests.contracts.rules import yuan
from tests.contracts.talk import Talk
from tests.contracts.world import BRAND, World

ANNA, BEN = "CHLU0000000000000001", "CHLU0000000000000002"
MINE, SPARE = "CHLU01234567AAAA", "CHLU01234567BBBB"
RECEIVER = {
    "name": "安安",
    "phone": "13900003001",
    "area": "广东省珠海市",
    "address": "露水路 1 号",
    "zipcode": "519000",
}
DAY_MS = 24 * 3_600_000
# Types of tickets, in the order of the documentation.
INSTALLATION, FAULT, MAINTENANCE, DISMANTLING = 1, 4, 5, 6


@pytest.fixture
def talk(world: World) -> Talk:
    """A client of the IoT dialect."""
    return world.talk("iot")


async def tickets(talk: Talk, kind: int, **more: str) -> list[dict[str, Any]]:
    """The brand's tickets of one type, newest first."""
    told = await talk.do("AE-01.tickets", by="brand", query={"type": kind, **more})
    found: list[dict[str, Any]] = told["tickets"]
    return found


async def order(talk: Talk, *content: dict[str, Any]) -> str:
    """An order of anna's that waits for its money."""
    number: str = (await talk.do("AD-02", by="anna", send={"content": list(content), "receiver": RECEIVER}))["order_id"]
    return number


async def pay(world: World, talk: Talk, number: str) -> None:
    """Prepay it, and have the provider say that it is paid."""
    await talk.do("AD-07", by="anna", path={"OID": number})
    await world.happens("paid", {"OID": number}, talk)


async def balanced(world: World) -> None:
    """Wallets and ledger agree, to the fen."""
    async with world.database.look(tenant=BRAND) as work:
        assert await ledger_drift(work, BRAND) == 0


async def test_from_registration_to_the_end_of_a_rental(world: World, talk: Talk) -> None:
    # A customer comes by himself.
    phone = {"vid": BRAND, "mobile": "13900003099"}
    await talk.do("AA-02", send=phone)
    code = (await world.sms_codes())["sms_13900003099"]
    uid = (await talk.do("AA-03", send={**phone, "code": code, "name": "小寒"}))["uid"]
    await talk.do(
        "AA-01", query={"mobile": "13900003099"}, expect={"users": [{"uid": uid, "name": "小寒"}], "total": 1}
    )

    # Anna rents: ordered, prepaid, paid by the provider's word, sent, installed, received.
    number = await order(talk, {"product_id": "0123456789", "quantity": 1, "period": "30d"})
    await pay(world, talk, number)
    await talk.do("AD-10", by="anna", path={"OID": number}, expect={"pay_ch": "weixin"})
    (job,) = await tickets(talk, INSTALLATION)
    assert job["order_id"] == number
    await talk.do("AD-05", path={"OID": number}, send={"company": "快快物流", "tracking_num": "KK1"})
    await talk.do("ticket dispatch", path={"TID": job["ticket_id"]}, send={"name": "阿禾", "mobile": "13900002001"})
    (rental,) = (await talk.do("rentals", by="anna"))["rentals"]
    assert (rental["state"], rental["expire_tms"]) == (0, "")
    await talk.do("rental begin", path={"RID": rental["rental_id"]}, send={"device_id": SPARE})
    await talk.do("ticket finish", path={"TID": job["ticket_id"]}, send={"remark": "装好了"})
    await talk.do("AD-11", by="anna", path={"OID": number})

    # The terms reach the machine, and its facts come up under them.
    await world.pass_time(1_000)
    assert await world.machines.obey() > 0
    async with world.database.look(tenant=BRAND) as work:
        config = await current_config(work, BRAND, SPARE)
    assert config is not None
    assert config.purifier is not None
    assert (config.purifier.plan.plan, config.purifier.plan.mode) == (rental["rental_id"], "timed_rental")
    began = await talk.do("rental", by="anna", path={"RID": rental["rental_id"]})
    assert (began["state"], began["device_id"]) == (1, SPARE)
    await world.machines.report(SPARE, tapped("p-1", 1_500, paid_fen=0, charged_fen=0, means="free"))
    await world.machines.report(SPARE, tapped("p-2", 500, paid_fen=0, charged_fen=0, means="free"))

    # A filter comes to its end: somebody is to maintain it.
    worn = FilterConditionChanged(position=1, name="PPC", condition="past_end", percent_left=0)
    await world.machines.report(SPARE, worn)
    (job,) = await tickets(talk, MAINTENANCE)
    assert job["device_id"] == SPARE

    # A further period is bought, the last one passes, nobody renews: somebody is to fetch the machine.
    renewal = (await talk.do("rental renew", by="anna", path={"RID": rental["rental_id"]}, send={"key": "30d"}))[
        "order_id"
    ]
    await pay(world, talk, renewal)
    await world.pass_time(31 * DAY_MS)
    await talk.do("rental", by="anna", path={"RID": rental["rental_id"]}, expect={"state": 1})
    await world.pass_time(30 * DAY_MS)
    await talk.do("rental", by="anna", path={"RID": rental["rental_id"]}, expect={"state": 2})
    await world.pass_time(world.parts.settings.rental_grace_ms + 1_000)
    (job,) = await tickets(talk, DISMANTLING)
    assert job["device_id"] == SPARE
    await talk.do("rental end", path={"RID": rental["rental_id"]}, send={})
    await talk.do("rental", by="anna", path={"RID": rental["rental_id"]}, expect={"state": 4})
    await balanced(world)


async def test_a_fault_from_the_machine_and_one_from_its_owner(world: World, talk: Talk) -> None:
    await world.machines.report(MINE, FaultChanged(code="leak", scope="machine", active=True))
    (seen,) = await tickets(talk, FAULT, device_id=MINE)
    assert seen["device_id"] == MINE
    send = {"type": FAULT, "detail": "制水故障", "device_id": MINE}
    asked = (await talk.do("AE-03.tickets", by="anna", send=send))["ticket_id"]
    path = {"TID": asked}
    await talk.do("ticket approve", path=path, send={"check_result": True}, expect={"status": 2})
    await talk.do("ticket dispatch", path=path, send={"name": "谷雨", "mobile": "13900002003"}, expect={"status": 3})
    await talk.do("ticket remind", by="anna", path=path)
    await talk.do("ticket note", path=path, send={"detail": "在路上"}, expect={"status": 4})
    await talk.do("ticket finish", path=path, send={"remark": "换了滤芯"}, expect={"status": 6})
    await talk.do("ticket rate", by="anna", path=path, send={"rate_value": 5, "rate_detail": "很快"})
    told = await talk.do("ticket", by="anna", path=path)
    assert (told["ratings"]["rate_value"], told["reminders"], told["remark"]) == (5, 1, "换了滤芯")
    await talk.do("AE-02.tickets", by="anna", expect={"by_status": {"6": 1}, "by_type": {"4": 1}})


async def test_commission_from_pending_to_paid_out(world: World, talk: Talk) -> None:
    await talk.do("AA-05", by="brand", path={"UID": ANNA}, send={"rid": BEN})
    number = await order(talk, {"product_id": "0123456789", "quantity": 1})
    await talk.do("AE-02.commission", by="ben", expect={"available": 0, "pending": 0})
    await pay(world, talk, number)
    pending = (await talk.do("AE-02.commission", by="ben"))["pending"]
    assert yuan(pending) == yuan(2980) * 21 / 100
    await talk.do("AD-05", path={"OID": number}, send={"company": "快快物流", "tracking_num": "KK1"})
    await talk.do("AD-11", by="anna", path={"OID": number})
    await world.pass_time(world.parts.settings.purchase_finish_ms + 1_000)
    await talk.do("AE-02.commission", by="ben", expect={"available": pending, "pending": 0})
    row = {"order_id": number, "user_id": BEN, "level": 1, "amount": pending}
    await talk.do("AE-01.commission", expect={"commission": [row]})
    await talk.do("AE-03.commission", send={"way": "weixin", "payee": "o-ben"})
    await talk.do("AE-03.commission", send={"way": "weixin", "payee": "o-ben"}, refused=(403,))
    await world.pass_time(1_000)
    await talk.do("AE-02.commission", by="ben", expect={"available": 0, "pending": 0})
    await balanced(world)


async def test_sent_back_and_repaid(world: World, talk: Talk) -> None:
    await talk.do("AA-05", by="brand", path={"UID": ANNA}, send={"rid": BEN})
    number = await order(talk, {"product_id": "0123456788", "quantity": 2})
    path = {"OID": number}
    for state, step in enumerate(("pay", "send", "AD-11", "AD-12", "AD-13", "AD-14"), start=1):
        match step:
            case "pay":
                await pay(world, talk, number)
            case "send":
                await talk.do("AD-05", path=path, send={"company": "快快物流", "tracking_num": "KK1"})
            case _:
                await talk.do(step, path=path)
        await talk.do("AD-03", path=path, expect={"state": state})
    await world.pass_time(1_000)
    await talk.do("AE-02.commission", by="ben", expect={"available": 0, "pending": 0})
    for step in ("AD-11", "AD-12", "AD-13", "AD-14"):
        await talk.do(step, path=path, refused=(400, 422))
    await balanced(world)


async def test_a_device_changes_hands(world: World, talk: Talk) -> None:
    await talk.do("AB-11", by="anna", path={"DID": SPARE}, send={})
    await talk.do("AB-15", by="anna", path={"DID": SPARE}, send={"user_id": BEN})
    await talk.do("AB-04", by="anna", path={"DID": SPARE}, send={"name": "厨房净水机"})
    await talk.do("AB-03", by="ben", path={"DID": SPARE}, expect={"name": "厨房净水机", "user_id": ANNA})
    await talk.do("AB-04", by="ben", path={"DID": SPARE}, send={"name": "我的"}, refused=(403, 404))
    await talk.do("AB-12", path={"DID": SPARE})
    for guest in ("anna", "ben"):
        await talk.do("AB-03", by=guest, path={"DID": SPARE}, refused=(403, 404))
    await talk.do("AB-03", by="brand", path={"DID": SPARE}, expect={"user_id": "", "user_share": []})
    await talk.do("AB-11", by="ben", path={"DID": SPARE}, send={})
    await talk.do("AB-03", by="ben", path={"DID": SPARE}, expect={"user_id": BEN})
    await balanced(world)
