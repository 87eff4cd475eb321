"""Rentals: agreed when paid, running from installation on, known to the machine, renewed, quit, fetched."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from cloud.database import Work
from cloud.load.formats import read_book
from cloud.load.load import load
from cloud.machines.register import claim, register
from cloud.machines.store import machine_configs
from shared.messages import MachineConfig
from shared.water import PurifierConfig
from tests.cloud.fleet import CREDENTIALS, VAULT
from tests.cloud.iot.shop import BRAND, RECEIVER, Shop

DAY_MS = 24 * 3_600_000
DEVICE = "CLEA01234567AAAA"


@pytest.fixture
async def device(shop: Shop) -> str:
    """A machine that is claimed and not configured."""

    async def use(work: Work) -> None:
        await register(work, BRAND, "厨房", machine=DEVICE)
        await claim(work, shop.parts.credentials, BRAND, DEVICE)

    await shop.database.transact(use, tenant=BRAND)
    return DEVICE


async def rented(shop: Shop, *, quantity: int = 1, period: str = "30d") -> str:
    order = await shop.order({"product_id": "P1", "quantity": quantity, "period": period})
    await shop.pay(order)
    return order


async def rental_of(shop: Shop, order: str) -> str:
    (found,) = await shop.told("anna", "GET", "/rentals", order_id=order)
    number: str = found["rental_id"]
    return number


async def purifier(shop: Shop) -> PurifierConfig:
    """What the machine was told last."""
    query = select(machine_configs.c.document).where(
        machine_configs.c.tenant == BRAND, machine_configs.c.machine == DEVICE
    )
    async with shop.database.look(tenant=BRAND) as work:
        document = await work.scalar(query.order_by(machine_configs.c.version.desc()).limit(1))
    found = msgspec.json.decode(document, type=MachineConfig).purifier
    assert found is not None
    return found


async def test_a_rental_is_agreed_on_when_its_order_is_paid(shop: Shop) -> None:
    order = await shop.order({"product_id": "P1", "quantity": 2, "period": "90d"})
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert (told["type"], told["deposit"], told["amount"]) == ("租赁", 1000, 1520.52)
    assert told["content"][0]["period"] == "90d"
    assert await shop.told("anna", "GET", "/rentals") == []
    await shop.pay(order)
    rentals = await shop.told("anna", "GET", "/rentals")
    assert [(one["status"], one["deposit"], one["days"], one["expire_tms"]) for one in rentals] == [
        ("agreed", 500, 90, "")
    ] * 2
    assert await shop.told("ben", "GET", "/rentals") == []
    assert await shop.told("rival", "GET", "/rentals") == []
    assert len(await shop.told("owner", "GET", "/rentals")) == 2
    assert await shop.status("ben", "GET", f"/rentals/{rentals[0]['rental_id']}") in (403, 404)
    assert await shop.drift() == 0


async def test_the_machine_learns_the_terms_and_its_product(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, await rented(shop))
    assert await shop.status("anna", "POST", f"/rentals/{rental}/begin", {"device_id": device}) == 403
    assert await shop.status("owner", "POST", f"/rentals/{rental}/begin", {"device_id": "nowhere"}) == 404
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.make_calls()
    config = await purifier(shop)
    now_ms = shop.database.clock.wall_ms()
    assert (config.plan.plan, config.plan.mode) == (rental, "timed_rental")
    assert (config.plan.began_wall_ms, config.plan.ends_wall_ms) == (now_ms, now_ms + 30 * DAY_MS)
    assert [(one.warmth, one.relay, one.nominal_ml_per_s) for one in config.outlets] == [
        ("normal", 1, 30),
        ("hot", 4, 12),
    ]
    assert [(one.position, one.timer_mode, one.worklife_hours) for one in config.filters] == [
        (1, "both", 540),
        (2, "working", 2160),
    ]
    told = await shop.told("anna", "GET", f"/rentals/{rental}")
    assert (told["status"], told["device_id"], told["expire_tms"]) == ("running", device, "2026-12-20T04:00:00Z")
    other = await rental_of(shop, await rented(shop))
    assert await shop.status("owner", "POST", f"/rentals/{other}/begin", {"device_id": device}) == 400


async def test_a_device_becomes_what_its_product_says_and_a_rental_begins_with_it_at_home(
    shop: Shop, device: str
) -> None:
    await shop.told("owner", "PUT", f"/devices/{device}", {"manufacture": {"product_id": "P1"}})
    config = await purifier(shop)
    assert [one.worklife_hours for one in config.filters] == [540, 2160]
    assert config.plan.mode == "sale"
    unknown = {"manufacture": {"product_id": "of no shelf"}}
    assert await shop.status("owner", "PUT", f"/devices/{device}", unknown) == 422
    assert await purifier(shop) == config
    rental = await rental_of(shop, await rented(shop))
    await shop.told("anna", "POST", f"/devices/{device}/bind", {})
    await shop.make_calls()
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "running"
    assert (await purifier(shop)).plan.plan == rental


async def test_a_further_period_is_an_order_that_extends_it_when_paid(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, await rented(shop))
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.make_calls()
    assert await shop.status("anna", "POST", f"/rentals/{rental}/renew", {"key": "31d"}) == 422
    renewal = await shop.told("anna", "POST", f"/rentals/{rental}/renew", {"key": "90d"})
    assert renewal["amount"] == 150.01
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["days"] == 30
    await shop.pay(renewal["order_id"])
    await shop.make_calls()
    order = await shop.told("anna", "GET", f"/orders/{renewal['order_id']}")
    assert (order["status"], order["type"], order["rental_id"], order["freight"]) == ("done", "续租", rental, 0)
    told = await shop.told("anna", "GET", f"/rentals/{rental}")
    assert (told["days"], told["expire_tms"]) == (120, "2027-03-20T04:00:00Z")
    assert (await purifier(shop)).plan.ends_wall_ms == shop.database.clock.wall_ms() + 120 * DAY_MS
    assert await shop.drift() == 0


async def test_who_does_not_renew_is_visited(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, await rented(shop))
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.pass_time(30 * DAY_MS)
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "overdue"
    assert [ticket["type"] for ticket in await shop.told("owner", "GET", "/tickets")] == [1]
    await shop.pass_time(7 * DAY_MS)
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "dismantling"
    (ticket,) = await shop.told("owner", "GET", "/tickets", type=6)
    assert (ticket["device_id"], ticket["user_id"], ticket["status"]) == (device, "anna", 1)
    assert (ticket["order_id"], ticket["rental_id"]) == ("", rental)
    assert (ticket["receiver"]["phone"], ticket["receiver"]["address"]) == (RECEIVER["phone"], RECEIVER["address"])
    assert await shop.told("owner", "GET", "/tickets", rental_id=rental) == [ticket]
    renewal = await shop.told("anna", "POST", f"/rentals/{rental}/renew", {"key": "30d"})
    await shop.pay(renewal["order_id"])
    told = await shop.told("anna", "GET", f"/rentals/{rental}")
    assert (told["status"], told["expire_tms"]) == ("running", "2027-01-26T04:00:00Z")
    assert [one["status"] for one in await shop.told("owner", "GET", "/tickets", type=6)] == [6]


async def test_a_rental_is_quit_fetched_and_its_deposit_given_back(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, order := await rented(shop))
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.make_calls()
    assert await shop.status("owner", "POST", f"/rentals/{rental}/end", {}) == 400
    await shop.told("anna", "POST", f"/rentals/{rental}/quit")
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "dismantling"
    assert await shop.status("anna", "POST", f"/rentals/{rental}/end", {}) == 403
    assert await shop.status("owner", "POST", f"/rentals/{rental}/end", {"withheld": 500.01}) == 422
    await shop.told("owner", "POST", f"/rentals/{rental}/end", {"withheld": 120})
    await shop.make_calls()
    told = await shop.told("anna", "GET", f"/rentals/{rental}")
    assert (told["status"], told["withheld"]) == ("ended", 120)
    assert (await purifier(shop)).plan.ends_wall_ms == shop.database.clock.wall_ms()
    assert await shop.payment_states(order) == ["partly_refunded"]
    assert await shop.held(f"deposits:{rental}") == 0
    assert await shop.drift() == 0
    again = await rental_of(shop, await rented(shop))
    await shop.told("owner", "POST", f"/rentals/{again}/begin", {"device_id": device})
    await shop.make_calls()
    assert (await purifier(shop)).plan.plan == again


async def test_an_order_given_back_ends_its_rentals_and_returns_both_deposits(shop: Shop, device: str) -> None:
    order = await rented(shop, quantity=2)
    rentals = [one["rental_id"] for one in await shop.told("anna", "GET", "/rentals")]
    await shop.told("owner", "POST", f"/rentals/{rentals[0]}/begin", {"device_id": device})
    await shop.deliver(order)
    await shop.told("anna", "POST", f"/orders/{order}/status/return")
    await shop.told("owner", "POST", f"/orders/{order}/status/consent")
    await shop.told("owner", "PUT", f"/orders/{order}/status/refund")
    await shop.make_calls()
    assert [one["status"] for one in await shop.told("anna", "GET", "/rentals")] == ["ended", "ended"]
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert told["refunded"] == told["amount"]
    assert await shop.payment_states(order) == ["refunded"]
    assert await shop.drift() == 0


async def test_litres_end_a_metered_rental(shop: Shop, device: str) -> None:
    rent = {"deposit": 0, "config": [{"name": "500升", "key": "500l", "value": 80}], "minimum": 2.5}
    await shop.told("owner", "PUT", "/products/P1/prof", {"rent": rent, "specification": {"mode": 4}})
    order = await shop.order({"product_id": "P1", "quantity": 1})
    assert (await shop.told("anna", "GET", f"/orders/{order}"))["content"][0]["period"] == "500l"
    await shop.pay(order)
    rental = await rental_of(shop, order)
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.make_calls()
    plan = (await purifier(shop)).plan
    assert (plan.mode, plan.prepaid_ml, plan.minimum_ml_per_day, plan.ends_wall_ms) == (
        "metered_rental",
        500_000,
        2_500,
        None,
    )
    told = await shop.told("anna", "GET", f"/rentals/{rental}")
    assert (told["type"], told["litres"], told["litres_left"], told["expire_tms"]) == (3, 500, 500, "")
    await shop.pass_time(2 * DAY_MS)
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["litres_left"] == 495
    await shop.pass_time(198 * DAY_MS)
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "overdue"


async def test_the_machine_of_a_rental_is_the_customers_while_it_lasts(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, await rented(shop))
    assert await shop.status("anna", "GET", f"/devices/{device}") == 403
    await shop.told("owner", "POST", f"/devices/{device}/bind", {"user_id": "ben"})
    assert await shop.status("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device}) == 400
    assert (await shop.told("anna", "GET", f"/rentals/{rental}"))["status"] == "agreed"
    await shop.told("owner", "DELETE", f"/devices/{device}/bind")
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    told = await shop.told("anna", "GET", f"/devices/{device}")
    assert (told["user_id"], told["manufacture"]["product_id"]) == ("anna", "P1")
    await shop.told("anna", "POST", f"/devices/{device}/share", {"user_id": "ben"})
    await shop.told("anna", "POST", f"/rentals/{rental}/quit")
    assert (await shop.told("owner", "GET", f"/devices/{device}"))["user_id"] == "anna"
    await shop.told("owner", "POST", f"/rentals/{rental}/end", {})
    assert (await shop.told("owner", "GET", f"/devices/{device}"))["user_id"] == ""
    for who in ("anna", "ben"):
        assert await shop.status(who, "GET", f"/devices/{device}") == 403


async def test_a_machine_that_was_handed_on_stays_with_whom_it_went_to(shop: Shop, device: str) -> None:
    rental = await rental_of(shop, await rented(shop))
    await shop.told("owner", "POST", f"/rentals/{rental}/begin", {"device_id": device})
    await shop.told("anna", "DELETE", f"/devices/{device}/bind")
    await shop.told("owner", "POST", f"/devices/{device}/bind", {"user_id": "ben"})
    await shop.told("anna", "POST", f"/rentals/{rental}/quit")
    await shop.told("owner", "POST", f"/rentals/{rental}/end", {})
    assert (await shop.told("owner", "GET", f"/devices/{device}"))["user_id"] == "ben"


async def test_a_deposit_from_an_older_system_goes_into_the_wallet_or_was_paid_out_elsewhere(
    shop: Shop, device: str, tmp_path: Path
) -> None:
    (tmp_path / "book.yaml").write_text(OLD_RENTALS, encoding="utf-8")
    book = read_book(tmp_path / "book.yaml")
    outcome = await load(shop.database, CREDENTIALS, shop.parts.passwords, VAULT, book, brand=BRAND)
    assert outcome.problems == []
    assert [await shop.held(f"deposits:{rental}") for rental in ("OLD1", "OLD2", "OLD3")] == [50_000, 30_000, 0]
    assert await shop.drift() == 0
    again = await load(shop.database, CREDENTIALS, shop.parts.passwords, VAULT, book, brand=BRAND)
    assert again.differences == []

    await shop.told("anna", "POST", "/rentals/OLD1/quit")
    await shop.told("owner", "POST", "/rentals/OLD1/end", {"withheld": 120})
    await shop.told("owner", "POST", "/rentals/OLD2/begin", {"device_id": device})
    await shop.told("owner", "POST", "/rentals/OLD2/quit")
    await shop.told("owner", "POST", "/rentals/OLD2/end", {"elsewhere": True})
    await shop.make_calls()
    assert [await shop.held(f"deposits:{rental}") for rental in ("OLD1", "OLD2", "OLD3")] == [0, 0, 0]
    assert [await shop.held(f"wallet:{member}") for member in ("anna", "ben")] == [38_000, 0]
    assert await shop.held("channel:recording") == 0, "no provider gave back what it never had"
    # What was brought, less what left by other means, lies in the wallet and in what was earned.
    assert (await shop.held("funding"), await shop.held("revenue")) == (-50_000, 12_000)
    assert await shop.drift() == 0


OLD_RENTALS = """
machines:
- {machine: OLDMACHINE0001, name: 旧机}
rentals:
- {rental: OLD1, product: P1, member: anna, state: running, machine: OLDMACHINE0001, began: 2026-10-01,
   ends: 2027-10-01, bought_days: 365, deposit_fen: 50000}
- {rental: OLD2, product: P1, member: ben, bought_days: 30, deposit_fen: 30000}
- {rental: OLD3, product: P1, member: ben, state: ended, until: 2026-01-01, deposit_fen: 30000, withheld_fen: 100}
"""
