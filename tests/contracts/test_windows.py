"""Every list of the IoT dialect by each of its keys: sorted both ways, and equal to whatever somebody may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloud.facades.dialect import Operation
from cloud.facades.iot.table import IOT
from cloud.facades.iot.wire import Window
from tests.contracts.world import World

LISTS = [one for one in IOT.operations if issubclass(one.query, Window) and "{" not in one.path]

# Of each kind that a key may have one that fits, and numbers that no column of a database holds.
VALUES = ("true", "1", "0.5", "one", "9" * 10, "9" * 24, "-" + "9" * 24)


@pytest.mark.parametrize("operation", LISTS, ids=lambda one: one.name)
async def test_every_key_of_a_list_sorts_and_narrows_it(operation: Operation, world: World) -> None:
    told: dict[str, dict[str, int]] = {}
    for caller in ("platform", "brand", "anna"):
        if await _asked(world, operation, caller, "") == 200:
            told[caller] = {query: await _asked(world, operation, caller, query) for query in _queries(operation.query)}
    assert told, "nobody may see it"
    statuses = {f"{query} as {caller}": status for caller in told for query, status in told[caller].items()}
    assert {asked: status for asked, status in statuses.items() if status >= 500} == {}
    assert {asked: status for asked, status in statuses.items() if asked.startswith("sort") and status != 200} == {}


def _queries(window: type[Window]) -> Iterator[str]:
    for key in window.columns:
        yield f"sort={key}"
        yield f"sort={key}&order=desc"
    for name in window.model_fields.keys() - {"sort"}:
        for value in VALUES:
            yield f"{name}={value}"


async def _asked(world: World, operation: Operation, caller: str, query: str) -> int:
    headers = dict(world.settled.callers["iot"][caller])
    answer = await world.client.get(f"http://cloud.test{IOT.prefix}{operation.path}?{query}", headers=headers)
    return answer.status_code
