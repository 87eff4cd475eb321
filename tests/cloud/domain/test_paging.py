"""Counting a list stops where nobody reads on."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from cloud import paging
from cloud.catalog.store import goods
from cloud.database import Database
from cloud.paging import Ask, page
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
