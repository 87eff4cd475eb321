"""Chapter AC: what is sent comes back, and each sees the shelf of the own brand."""

from __future__ import annotations

from dataclasses import replace

import httpx2

from cloud.app import build_app
from tests.cloud.iot.shop import CARTRIDGE, PURIFIER, Shop

DOCUMENTED = {
    "state": 0,
    "type": 1,
    "prod_id": "",
    "name": "智能净水机",
    "desc": "免安装移动水吧",
    "tags": "智能, 净水机, 水吧",
    "sequence": 1,
    "bonus": True,
    "price": 2980,
    "freight": 0,
    "install": False,
    "maintain": False,
    "install_cost": 0,
    "maintain_cost": 0,
    "orig_price": 4999,
    "resource": {"prev_res": "", "intro_res": [], "detail_res": ""},
    "notify_url": "",
    "rent": {
        "deposit": 0,
        "config": [{"name": f"{days}天", "key": f"{days}d", "value": days * 2} for days in (30, 60, 90, 180, 360)],
    },
    "commis": {"enabled": True, "config": [21, 9, 0]},
    "specification": {
        "mode": 0,
        "filters": [
            {"order": 1, "name": "PPC复合滤芯", "timer_mode": 0, "lifetime": 4320, "worklife": 540},
            {"order": 2, "name": "RO反渗透滤芯", "timer_mode": 0, "lifetime": 17280, "worklife": 2160},
        ],
        "flowmeter": {
            "measure_mode": 0,
            "config": [{"name": "常温", "key": "normal", "value": 30}, {"name": "热水", "key": "hot", "value": 30.5}],
        },
    },
}


def within(expected: object, told: object) -> bool:
    """Whether everything expected was told; more may have been."""
    if isinstance(expected, dict):
        return isinstance(told, dict) and all(within(value, told.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(told, list) and len(expected) == len(told) and all(map(within, expected, told))
    return expected == told and type(expected) is type(told)


async def test_what_is_sent_comes_back(shop: Shop) -> None:
    added = await shop.told("owner", "POST", "/products", DOCUMENTED)
    number = added["prod_id"]
    assert number.startswith("CLEA")
    assert len(number) == 20
    told = await shop.told("anna", "GET", f"/products/{number}")
    assert within({**DOCUMENTED, "prod_id": number}, told)
    prof = await shop.told("agent", "GET", f"/products/{number}/prof")
    assert within({key: DOCUMENTED[key] for key in ("rent", "commis", "specification")}, prof)


async def test_what_nobody_knows_of_a_specification_is_kept(shop: Shop) -> None:
    made_of = {"mode": 8, "pump": {"bar": [1, 2.5]}, "filters": [], "flowmeter": {"measure_mode": 1, "config": []}}
    await shop.told("owner", "PUT", "/products/P1/prof", {"specification": made_of})
    assert (await shop.told("anna", "GET", "/products/P1/prof"))["specification"] == made_of
    huge = {"specification": {"mode": 0, "novel": "x" * 9_000}}
    assert await shop.status("owner", "PUT", "/products/P1/prof", huge) == 422


async def test_only_the_keys_sent_are_changed(shop: Shop) -> None:
    await shop.told("operator", "PUT", "/products/P1", {"price": 2880.5, "prod_id": "P1"})
    told = await shop.told("anna", "GET", "/products/P1")
    assert (told["price"], told["name"], told["freight"]) == (2880.5, "净水机", 20.5)
    assert await shop.status("owner", "PUT", "/products/P1", {"prod_id": "P2", "price": 1}) == 400
    await shop.told("owner", "PUT", "/products/P1/prof", {"commis": {"enabled": False, "config": []}})
    prof = await shop.told("anna", "GET", "/products/P1/prof")
    assert prof["commis"] == {"enabled": False, "mode": "ratio", "config": []}
    assert prof["rent"]["deposit"] == 500


WRONG: list[dict[str, object]] = [
    {"price": -1},
    {"price": 0.005},
    {"price": "much"},
    {"price": True},
    {"price": 1e30},
    {"type": 3},
    {"name": ""},
    {"rent": {"config": [{"key": "month", "value": 1}]}},
    {"rent": {"config": [{"key": "30d", "value": 1}, {"key": "30d", "value": 2}]}},
    {"rent": {"config": [{"key": "0d", "value": 1}]}},
    {"commis": {"enabled": True, "config": [60, 30, 11]}},
    {"commis": {"enabled": True, "config": [1, 1, 1, 1]}},
    {"commis": {"enabled": True, "config": [-1]}},
    {"commis": {"enabled": True, "config": [0.001]}},
    {"specification": {"mode": 3}},
    {"specification": {"filters": [{"order": 1, "timer_mode": 3}]}},
    {"specification": {"filters": [{"order": 1}, {"order": 1}]}},
    {"specification": {"flowmeter": {"config": [{"key": "lukewarm", "value": 1}]}}},
    {"specification": {"flowmeter": {"config": [{"key": "hot", "value": 1}, {"key": "hot", "value": 1}]}}},
]


async def test_what_cannot_be_is_refused(shop: Shop) -> None:
    before = await shop.told("anna", "GET", "/products/P1")
    for wrong in WRONG:
        assert await shop.status("owner", "PUT", "/products/P1", wrong) in (400, 422), wrong
        assert await shop.status("owner", "POST", "/products", {"name": "新", "price": 1, **wrong}) in (400, 422), wrong
    assert await shop.told("anna", "GET", "/products/P1") == before


async def test_names_and_prices_are_needed_and_ids_are_given_once(shop: Shop) -> None:
    assert await shop.status("owner", "POST", "/products", {"price": 1}) == 422
    assert await shop.status("owner", "POST", "/products", {"name": "x"}) == 422
    assert await shop.status("owner", "POST", "/products", CARTRIDGE) == 422
    await shop.told("owner", "DELETE", "/products/P2")
    assert await shop.status("owner", "POST", "/products", CARTRIDGE) == 422


async def test_a_form_serves_as_well(shop: Shop) -> None:
    form = {
        "name": "桶",
        "price": "9.90",
        "type": "2",
        "install": "1",
        "commis[enabled]": "true",
        "commis[config][]": ["21", "9"],
        "specification[filters][0][order]": "1",
        "specification[filters][0][timer_mode]": "2",
    }
    headers = {"Authorization": f"Bearer {shop.tokens['owner']}"}
    answer = await shop.client.post("/iot/products", data=form, headers=headers)
    assert answer.status_code == 201, answer.text
    told = await shop.told("anna", "GET", f"/products/{answer.json()['prod_id']}")
    assert (told["price"], told["type"], told["install"], told["commis"]["config"]) == (9.9, 2, True, [21, 9])
    assert told["specification"]["filters"][0]["timer_mode"] == 2


async def test_deleted_products_are_gone_for_good(shop: Shop) -> None:
    assert await shop.status("anna", "DELETE", "/products/P2") == 403
    await shop.told("owner", "DELETE", "/products/P2")
    for who, method in (("anna", "GET"), ("owner", "PUT"), ("owner", "DELETE"), ("", "GET")):
        assert await shop.status(who, method, "/products/P2", {} if method == "PUT" else None) == 410
    assert [one["prod_id"] for one in await shop.told("anna", "GET", "/products")] == ["P1"]


async def test_each_sees_the_own_brand(shop: Shop) -> None:
    for who, seen in (
        ("anna", ["P1", "P2"]),
        ("agent", ["P1", "P2"]),
        ("owner", ["P1", "P2"]),
        ("rival", ["R1"]),
        ("rita", ["R1"]),
        ("platform", ["P1", "P2", "R1"]),
        ("", ["P1", "P2", "R1"]),
    ):
        assert [one["prod_id"] for one in await shop.told(who, "GET", "/products")] == seen, who
    assert [one["prod_id"] for one in await shop.told("", "GET", "/products", vid="rival")] == ["R1"]
    assert [one["prod_id"] for one in await shop.told("anna", "GET", "/products", vid="rival")] == ["P1", "P2"]
    for who, method, body in (("owner", "GET", None), ("rival", "PUT", {"price": 1}), ("rival", "DELETE", None)):
        assert await shop.status(who, method, f"/products/{'R1' if who == 'owner' else 'P1'}", body) == 404
    for who in ("anna", "agent", "viewer"):
        assert await shop.status(who, "POST", "/products", CARTRIDGE) == 403
    assert await shop.status("", "POST", "/products", CARTRIDGE) == 401
    assert await shop.status("", "GET", "/products/P1/prof") == 401


async def test_the_platform_names_the_brand(shop: Shop) -> None:
    same = {"prod_id": "P1", "name": "同号", "price": 5, "vid": "rival"}
    await shop.told("platform", "POST", "/products", same)
    assert await shop.status("platform", "GET", "/products/P1") == 422
    assert (await shop.told("platform", "GET", "/products/P1", vid="rival"))["name"] == "同号"
    assert (await shop.told("anna", "GET", "/products/P1"))["name"] == PURIFIER["name"]
    assert await shop.status("platform", "POST", "/products", {**same, "vid": "nobody"}) == 422
    assert await shop.status("owner", "POST", "/products", {**same, "prod_id": "P9"}) == 422


async def test_lists_are_windows(shop: Shop) -> None:
    answer = await shop.ask("anna", "GET", "/products", sort="price", order="desc", limit=1)
    assert answer.json()["total"] == 2
    assert [one["prod_id"] for one in answer.json()["products"]] == ["P1"]
    rest = await shop.told("anna", "GET", "/products", sort="price", order="desc", limit=1, offset=1)
    assert [one["prod_id"] for one in rest] == ["P2"]
    assert [one["prod_id"] for one in await shop.told("anna", "GET", "/products", price="99.99")] == ["P2"]
    assert await shop.told("anna", "GET", "/products", type=2) == []
    assert await shop.status("anna", "GET", "/products", sort="colour") == 400
    assert len(await shop.told("anna", "GET", "/products", limit=1_000)) == 2


async def test_a_shop_can_be_closed_to_visitors(shop: Shop) -> None:
    closed = replace(shop.parts, settings=replace(shop.parts.settings, shop_open=False))
    transport = httpx2.ASGITransport(build_app(closed))
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        assert (await client.get("/iot/products")).status_code == 401
        assert (await client.get("/iot/products/P1")).status_code == 401
        headers = {"Authorization": f"Bearer {shop.tokens['anna']}"}
        assert (await client.get("/iot/products", headers=headers)).status_code == 200
        headers = {"Authorization": f"Bearer {shop.tokens['anna']}x"}
        assert (await client.get("/iot/products", headers=headers)).status_code == 401
