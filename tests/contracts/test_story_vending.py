"""A day at the vending machines, from the first sale to the finished repair, through HTTP and what machines report."""

from __future__ import annotations

from cloud.audit import ledger_drift
from firmware_sim.demo.players import dig, filled
from firmware_sim.demo.stories import REPAIR, Ask
from shared.messages import FaultChanged
from tests.contracts.rules import yuan
from tests.contracts.world import BRAND, World

SHOP = {"shop_id": "SH888"}


async def test_a_day(world: World) -> None:
    keeper = world.talk("vending")
    machines = world.machines

    # The machine sells: the board, the order list and the aisle follow.
    before = await keeper.do("4.0", send=SHOP)
    await machines.sell("VI107", "AI56", "VG9", 300)
    board = await keeper.do("4.0", send=SHOP)
    assert yuan(board["data"]["money"]) - yuan(before["data"]["money"]) == 3
    assert board["data"]["num"] == before["data"]["num"] + 1
    assert board["sort"]["goods_list"][0] == {
        "goods_name": "橙味汽水",
        "vendor_goods_id": "VG9",
        "all_money": 6,
        "all_num": 2,
    }
    orders = (await keeper.do("6.1", send=SHOP))["order_list"]
    assert len(orders) == board["data"]["num"] + 1  # and one of yesterday
    info = (await keeper.do("6.2", send={"vendor_order_id": orders[0]["vendor_order_id"]}))["info"]
    assert (info["vendor_id"], info["order_fee"], info["paid_price"], info["order_status"]) == ("VI107", 3, 3, 2)
    await keeper.do(
        "2.0", send={"vendor_id": "VI107", "normal": 1}, expect={"aisle_list": [{"aisle_id": "AI56", "goods_num": 2}]}
    )

    # Restocked: commands to the machine, its facts, the record, the aisle.
    rows = [
        {"aisle_id": "AI56", "vendor_goods_id": "VG9", "goods_num": 3},
        {"aisle_id": "AI61", "vendor_goods_id": "VG13", "goods_num": 5},
    ]
    await keeper.do("2.3", send={"vendor_id": "VI107", "list": rows, "use_name": "小满"})
    assert await machines.obey() == 2
    full = {"aisle_list": [{"aisle_id": "AI56", "goods_num": 5}, {"aisle_id": "AI61", "goods_num": 5}]}
    await keeper.do("2.0", send={"vendor_id": "VI107", "normal": 1}, expect=full)
    record = {"vendor_id": "VI107", "use_name": "小满", "aisle_list": [dict(row) for row in rows]}
    await keeper.do("3.0", send=SHOP, expect={"list": [record]})
    await keeper.do("1.0", send={"vendor_name": "大堂"}, expect={"vendor_list": [{"vendor_id": "VI107", "out_num": 1}]})
    await machines.sell("VI107", "AI61", "VG13", 300)
    await keeper.do("2.0", send={"vendor_id": "VI107"}, expect={"aisle_list": [{"aisle_id": "AI61", "goods_num": 4}]})

    # Out of stock: noticed, dispatched, urged, followed and finished.
    await keeper.do("1.1", send={"vendor_id": "VI119"})
    (fault,) = (await keeper.do("7.2", send={**SHOP, "is_send": 0, "deal_status": 1}))["fault_list"]
    person = (await keeper.do("7.1", send=SHOP))["person_list"][0]
    named = {"fault_id": fault["fault_id"]}
    world.clock.advance(60_000)
    await keeper.do("7.3", send={**named, "deal_name": person["vendor_person"], "name": person["person_phone"]})
    await keeper.do("7.3 reminder", send=named)
    progress = (await keeper.do("7.5", send=named))["fault_info"]
    assert progress["name_phone"] == person["person_phone"]
    assert (progress["deal_status"], progress["send_time"] - progress["fault_time"]) == (2, 60)
    world.clock.advance(60_000)
    await keeper.do("7.6", send={**named, "deal_remark": "补满了", "deal_status": 3})
    await keeper.do("7.5", send=named, expect={"fault_info": {"deal_status": 3}})
    await keeper.do(
        "4.3", send=SHOP, expect={"stock_deal": 0, "scene_num": 0, "order_num": len(orders) + 1, "record_num": 1}
    )

    # A condition that the machine itself reports is a fault as well.
    await machines.report("VI64", FaultChanged(code="board_silent", scope="board-1", active=True))
    await keeper.do("7.2", send={**SHOP, "deal_status": 1}, expect={"fault_list": [{"vendor_name": "0008"}]})

    # Goods that come back: scanned, listed, done.
    found = await keeper.do("5.2.1", send={**SHOP, "goods_bar_code": "690000000013"})
    stored = await keeper.do("5.2", send={**SHOP, "vendor_goods_id": found["vendor_goods_id"]})
    await keeper.do("5.3", send={**SHOP, "return_status": 1}, expect={"list": [{"return_id": stored["return_id"]}]})
    await keeper.do("5.1", send={"return_id": stored["return_id"], "use_name": "小满"})
    done = {"return_id": stored["return_id"], "return_status": 2, "use_name": "小满"}
    await keeper.do("5.3", send={**SHOP, "return_status": 2}, expect={"list": [done]})
    await keeper.do("4.4", send=SHOP, expect={"return_num": 1, "record_all_num": 2})

    async with world.database.look(tenant=BRAND) as work:
        assert await ledger_drift(work, BRAND) == 0


async def test_what_is_configured_reaches_the_machine(world: World) -> None:
    """Replaced goods, goods off sale and a reduction are commands; the machine's answer is what the list shows."""
    keeper = world.talk("vending")
    await keeper.do("2.2", send={"aisle_id": "AI67", "vendor_goods_id": "VG14"})
    await keeper.do("2.2", send={"aisle_id": "AI56", "goods_num": 1})
    assert await world.machines.obey() > 0
    expected = {
        "aisle_list": [
            {"aisle_id": "AI67", "is_set": 1, "goods_name": "海盐薯条"},
            {"aisle_id": "AI56", "goods_num": 1},
        ]
    }
    await keeper.do("2.0", send={"vendor_id": "VI107", "normal": 1}, expect=expected)
    await keeper.do("2.2", send={"aisle_id": "AI56", "is_sale": 1})
    await world.machines.obey()
    await keeper.do(
        "2.0", send={"vendor_id": "VI107", "normal": 1}, expect={"aisle_list": [{"aisle_id": "AI56", "is_set": 0}]}
    )


async def test_what_is_done_elsewhere_is_told(world: World) -> None:
    """Goods put away and money given back over the native API."""
    keeper = world.talk("vending")
    brand = world.settled.callers["native"]["brand"]
    (await world.client.patch("/api/v1/goods/VG9", headers=brand, json={"archived": True})).raise_for_status()
    # They lie in VI107, and can be put nowhere else.
    await keeper.do("2.1", send={"vendor_id": "VI107"}, expect={"goods_list": [{"vendor_goods_id": "VG9"}]})
    await keeper.do("2.1", send={"vendor_id": "VI119"}, refute={"goods_list": [{"vendor_goods_id": "VG9"}]})

    order = (await keeper.do("6.1", send=SHOP))["order_list"][0]
    named = {"vendor_order_id": order["vendor_order_id"]}
    refunds = f"/api/v1/orders/{order['vendor_order_id'].removeprefix('VO')}/refunds"
    for fen, back, status in ((100, 1, 2), (200, 3, 3)):
        world.clock.advance(60_000)
        keyed = {**brand, "Idempotency-Key": f"refund-of-{fen}"}
        answer = await world.client.post(refunds, headers=keyed, json={"amount_fen": fen, "reason": "stale"})
        answer.raise_for_status()
        now = {"refund_price": back, "order_status": status, "lastmodtime": world.clock.wall_ms() // 1000}
        await keeper.do("6.2", send=named, expect={"info": {**now, "pay_time": order["pay_time"]}})
    await keeper.do("4.0", send=SHOP, expect={"data": {"money": 3, "num": 1}})


async def test_the_repair_of_the_demo_is_told_whatever_comes_and_goes(world: World) -> None:
    """A fault that a machine reports in the middle of it, and that is over at once, is not the one he is sent to."""
    keeper = world.talk("vending")
    values: dict[str, object] = {}
    for step in REPAIR.steps:
        assert isinstance(step, Ask)
        world.clock.advance(1_000)
        await world.machines.report("VI64", FaultChanged(code="board_silent", scope="board-1", active=True))
        told = await keeper.do(step.operation, send=filled(step.fields, values) | SHOP)
        assert all(dig(told, place) == wanted for place, wanted in step.until.items())
        values |= {name: dig(told, place) for name, place in step.keep.items()}
        await world.machines.report("VI64", FaultChanged(code="board_silent", scope="board-1", active=False))
    await keeper.do("7.5", send={"fault_id": values["fault"]}, expect={"fault_info": {"deal_status": 3}})
