"""Counting a list stops where nobody reads on."""

from __future__ import annotations

import pytest
from sqlalchemy import event, select

from cloud import paging
from cloud.catalog.store import goods
from cloud.database import Database
from cloud.paging import Ask, Listing, page
from tests.cloud.domain.test_database import goods_row


async def test_a_long_list_is_counted_up_to_a_limit_and_turned_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNT_MAX", 5)
    async with database.work(tenant="t1") as work:
        await work.insert(goods, [goods_row("t1", f"g{n}") for n in range(8)])
        query = select(goods).where(goods.c.tenant == "t1")
        seen, totals, ask = [], [], Ask(page_size=3)
        while True:
            one = await page(work, query, ask, sorts={}, ties=(goods.c.goods,), make=lambda row: row.goods)
            seen += one.items
            totals.append(one.total)
            if one.next is None:
                break
            ask = Ask(page=one.next, page_size=3)
    assert seen == [f"g{n}" for n in range(8)]
    assert totals == [5, 5, 5]


async def test_a_list_that_only_grows_is_counted_until_it_is_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNT_MAX", 5)
    query = select(goods).where(goods.c.tenant == "t1")
    listing = Listing(query, {"name": goods.c.name}, (goods.c.goods,), grows=True)
    counted, asked = [], list[str]()
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for n in range(7):
        async with database.work(tenant="t1") as work:
            await work.insert(goods, [goods_row("t1", f"g{n}")])
            asked.clear()
            whole = await listing.page(work, Ask(page_size=2, sort="-name"), lambda row: row.goods)
            one = await listing.page(work, Ask(equals={"name": "g0"}), lambda row: row.goods)
            beyond = await listing.page(work, Ask(page=9), lambda row: row.goods)
        counted.append((whole.total, "count" in asked[0]))
        assert (whole.items[0], one.items, one.total, beyond.total) == (f"g{n}", ["g0"], 1, min(n + 1, 5))
    assert counted == [(1, True), (2, True), (3, True), (4, True), (5, True), (5, False), (5, False)]
