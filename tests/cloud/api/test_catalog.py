"""Goods with all that is told of them, their categories, and the warehouse of a shop, over HTTP."""

from __future__ import annotations

import httpx2

from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import Business


async def test_goods_are_found_by_category_and_keep_what_is_not_given(
    client: httpx2.AsyncClient, acme: Business
) -> None:
    headers = bearer(acme.tokens["owner"])
    fizzy = {"name": "Fizzy", "category": "fizzy", "parent": acme.category}
    assert (await client.post("/api/v1/categories", json=fizzy, headers=headers)).status_code == 201
    tea = {"goods": "tea", "name": "Tea", "price_fen": 300, "spec": "500 ml", "pictures": ["a.jpg", "b.jpg"]}
    added = await client.post("/api/v1/goods", json={**tea, "categories": ["fizzy"]}, headers=headers)
    assert (added.status_code, added.json()["pictures"], added.json()["spec"]) == (201, ["a.jpg", "b.jpg"], "500 ml")
    changed = await client.patch("/api/v1/goods/tea", json={"spec": "", "pictures": []}, headers=headers)
    assert (changed.json()["spec"], changed.json()["pictures"], changed.json()["name"]) == (None, [], "Tea")
    for category, found in ((acme.category, ["tea"]), ("fizzy", ["tea"]), ("none", [])):
        listed = await client.get("/api/v1/goods", params={"category": category}, headers=headers)
        assert [one["goods"] for one in listed.json()["items"]] == found
    deeper = await client.post("/api/v1/categories", json={"name": "Third", "parent": "fizzy"}, headers=headers)
    assert (deeper.status_code, deeper.json()["field"]) == (422, "parent")
    unknown = await client.patch("/api/v1/goods/tea", json={"categories": ["none"]}, headers=headers)
    assert (unknown.status_code, unknown.json()["field"]) == (422, "categories")


async def test_a_delivery_is_booked_once_per_key(client: httpx2.AsyncClient, acme: Business) -> None:
    headers = {**bearer(acme.tokens["operator"]), "Idempotency-Key": "delivery-note-7"}
    path = f"/api/v1/shops/{acme.shop}/warehouse"
    for _ in range(2):
        told = await client.post(path, json={"goods": acme.goods, "quantity": 24}, headers=headers)
        assert (told.status_code, told.json()) == (201, {"goods": acme.goods, "on_hand": 24})
    (there,) = (await client.get(path, headers=headers)).json()["items"]
    (moved,) = (await client.get(f"{path}/movements", headers=headers)).json()["items"]
    assert (there["on_hand"], moved["quantity"], moved["kind"]) == (24, 24, "received")
    elsewhere = await client.post(
        "/api/v1/shops/nowhere/warehouse", json={"goods": acme.goods, "quantity": 1}, headers=headers
    )
    assert elsewhere.status_code == 404
