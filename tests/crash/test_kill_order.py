"""kill -9 while an order of the cloud is claimed, granted, carried out and reported (C1, with a real broker)."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from shared.messages import Offer, VendDelivered, VendFailed
from tests.brokers import mosquitto
from tests.crash.processes import DEADLINE_S, MOTORS, CrashRig, crash_rig, injected
from tests.crash.small_cloud import SmallCloud, VendEnd, small_cloud
from tests.integration.agent.rig import planogram

# Every sync, and of the rest every so-manieth: claim, intent and outcome are a transaction of some twenty writes each.
# Threads in the order of their start: 0 the event loop with the broker's connection, 1 the ledger, 3 the port.
MAIN, LEDGER, PORT = 0, 1, 3
POINTS = (("fdatasync", LEDGER, 1), ("pwrite64", LEDGER, 3), ("sendto", MAIN, 1), ("write", PORT, 2))

KILLS_AT_LEAST = 20


async def order_and_die(rig: CrashRig, cloud: SmallCloud, offer: Offer, thread: int, call: str, k: int) -> bool:
    """Sell one order while the agent is killed at a thread's k-th `call`; False when there was none."""
    selling = asyncio.ensure_future(cloud.sell(offer, DEADLINE_S))
    async with injected(rig.agent.threads()[thread], call, f"signal=SIGKILL:when={k}"):
        dying = asyncio.ensure_future(rig.agent.wait())
        await asyncio.wait({selling, dying}, return_when=asyncio.FIRST_COMPLETED)
    died = dying.done() or await rig.agent.status() is None
    if died:
        assert await dying == -9
        await rig.agent.start_selling()
    dying.cancel()
    await selling
    return died


def is_true(end: VendEnd, fell: int) -> bool:
    """Whether the end of an order tells what the simulator saw."""
    match end:
        case VendDelivered():
            return fell == 1
        case VendFailed():
            return fell == 0
    return fell in (0, 1)


@pytest.mark.timeout(240)
async def test_killed_with_an_order_of_the_cloud_it_ends_once_and_truly(tmp_path: Path) -> None:
    aisles = planogram(motors=MOTORS).aisles
    kills: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    numbers = count(1)
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            crash_rig(tmp_path, broker_port=broker.port) as rig,
            small_cloud(broker.address) as cloud,
        ):
            await rig.agent.start_selling()
            for call, thread, stride in POINTS:
                for k in count(1, stride):
                    number = next(numbers)
                    aisle = aisles[1 + number % (MOTORS - 1)]
                    order = f"order-{number}"
                    offer = Offer(order=order, aisle=aisle.aisle, goods=aisle.goods, price_fen=aisle.price_fen)
                    before = (await rig.counts())[1]
                    died = await order_and_die(rig, cloud, offer, thread, call, k)
                    (end,) = cloud.ends[order]
                    assert is_true(end, (await rig.counts())[1] - before), end
                    ends[type(end).__name__] += 1
                    if not died:
                        break
                    kills[call] += 1
            assert await rig.agent.stop() == 0
            assert all(len(ended) == 1 for ended in cloud.ends.values())
    print(f"{kills.total()} kill points {dict(kills)}, ends {dict(ends)}, {cloud.repeats} facts came again")
    assert kills.total() >= KILLS_AT_LEAST
    assert kills.keys() == {call for call, _, _ in POINTS}, "every thread was killed"
    assert {"VendDelivered", "VendFailed"} <= ends.keys(), "the kills crossed the claim and the vend"
