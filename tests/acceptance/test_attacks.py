"""What must not move a motor or stop the shop: rubbish on every topic, forgeries, replays, repeats, strangers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId
from shared.messages import Claim, EpochBegan, Grant, Offer, Refusal, decode_grant, encode
from shared.mqtt import Connection, PublishRefused
from shared.seal import seal_grant
from shared.topics import UpChannel, all_down, down, parse_up, up
from tests.acceptance.house import House, frozen, house, vending
from tests.acceptance.rubbish import Stream, down_rubbish, up_rubbish

pytestmark = pytest.mark.asyncio(loop_scope="module")

VM = MachineId("vm-1")
MALFORMED = 10_000
# Rubbish is handed to the broker in handfuls, so that the sender's own memory stays small.
HANDFUL = 500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A machine with an agent, at a mosquitto that holds every machine to its own topics."""
    async with house(tmp_path_factory.mktemp("attacks") / "stage", vending("vm-1")) as here:
        yield here


async def quarantined(street: House) -> int:
    """How many messages went to quarantine, repeats counted, of known machines and of nobody's."""
    items = await street.stage.api.every("/quarantine") + await street.stage.api.every("/quarantine/unclaimed")
    return sum(item["times"] for item in items)


async def publish_all(link: Connection, messages: list[tuple[str, bytes]]) -> None:
    for start in range(0, len(messages), HANDFUL):
        await asyncio.gather(*(link.publish_soon(*message) for message in messages[start : start + HANDFUL]))


class Ear:
    """What one machine says on its own topics, as the cloud hears it."""

    def __init__(self, link: Connection) -> None:
        self._link = link

    async def claim(self, order: str) -> Claim:
        """The next claim for an order."""
        async with asyncio.timeout(30):
            async for message in self._link.messages():
                message.ack()
                if parse_up(message.topic) == (VM, "claim"):
                    claim = msgspec.json.decode(message.payload, type=Claim)
                    if claim.order == order:
                        return claim
        raise AssertionError("the connection ended")


async def listen(link: Connection) -> Ear:
    await link.subscribe(up(VM, "claim"))
    return Ear(link)


def sealed(street: House, claim: Claim, aisle: str, *, boot_id: str | None = None, nonce: str | None = None) -> Grant:
    """A grant as only the cloud can make it; the tests know the machine's secret."""
    boot, said = BootId(boot_id or claim.boot_id), Nonce(nonce or claim.nonce)
    mac = seal_grant(street.keys(VM).mac_key, VM, OrderId(claim.order), AisleId(aisle), said, boot)
    return Grant(order=claim.order, nonce=said, boot_id=boot, mac=mac)


async def test_ten_thousand_malformed_payloads_are_kept_and_hold_up_nobody(street: House) -> None:
    keys = await street.stranger("vm-rubbish")
    before = await quarantined(street)
    stream = Stream("vm-rubbish")
    rubbish = up_rubbish(stream, MALFORMED, seed=5)
    assert len(rubbish) == MALFORMED
    async with street.as_machine("vm-rubbish", keys) as link:
        await publish_all(link, [(up(MachineId("vm-rubbish"), "fact"), stream.next(EpochBegan(reason="new")))])
        flood = asyncio.create_task(publish_all(link, rubbish))
        story = await street.buy("1-00")
        assert (await street.press("1-01"))["state"] == "delivered"
        assert (await street.buy("1-02"))["order"]["state"] == "delivered"
        await flood
        # What comes last has a number, so that everything before it has been read once it is applied.
        await publish_all(link, [(up(MachineId("vm-rubbish"), "fact"), stream.next(EpochBegan(reason="damaged")))])
    assert story["order"]["ended_ms"] - story["order"]["placed_ms"] < 60_000

    async def all_read() -> bool:
        streams = (await street.stage.api.get("/machines/vm-rubbish"))["streams"]
        return [one["applied"] for one in streams] == [stream.seq]

    await street.until(all_read, "numbered rubbish counts as applied, to the last")
    assert await quarantined(street) - before == MALFORMED
    assert all(item["reason"] for item in await street.stage.api.every("/quarantine"))
    await street.buy("1-03")


async def test_rubbish_from_above_moves_nothing_and_the_next_order_is_served(street: House) -> None:
    runs = await street.runs()
    async with street.as_cloud() as cloud:
        await publish_all(cloud, down_rubbish(VM, 2_000, seed=6))
    await street.buy("1-04")
    assert await street.runs() == runs + 1
    rejects = street.stage.folder / VM / "data" / "rejects.jsonl"
    assert 0 < rejects.stat().st_size <= 262_144
    assert (await street.stage.panels[VM].ask("status"))["selling"]


async def test_only_the_clouds_own_grant_for_this_claim_starts_a_motor(street: House) -> None:
    """The cloud stands still, so that only the forger answers; then it says that there is no such order."""
    runs = await street.runs()
    async with street.as_cloud() as cloud:
        ear = await listen(cloud)
        order = await street.order("1-05")
        old = sealed(street, await ear.claim(order), "1-05")
        await street.ended(order)
        with frozen(street.stage.cloud):
            offer = Offer(order="o-forged", aisle="1-06", goods="juice-orange", price_fen=1)
            await cloud.publish(down(VM, "offer"), encode(offer))
            claim = await ear.claim("o-forged")
            good = sealed(street, claim, "1-06")
            await cloud.publish(down(VM, "grant"), encode(old))
            forgeries = [
                msgspec.structs.replace(old, order="o-forged"),
                msgspec.structs.replace(old, order="o-forged", nonce=claim.nonce),
                msgspec.structs.replace(good, mac="0" * 64),
                msgspec.structs.replace(good, mac=good.mac[:-1]),
                sealed(street, claim, "1-07"),
                sealed(street, claim, "1-06", boot_id="0123456789abcdef0123456789abcdef"),
                sealed(street, claim, "1-06", nonce="another-nonce"),
            ]
            for forgery in forgeries:
                await cloud.publish(down(VM, "grant"), encode(forgery))
            # The machine says its claim again when its clock says so: it has heard them all and believes none.
            assert await ear.claim("o-forged") == claim
        assert await street.runs() == runs + 1

        async def buried() -> bool:
            row = await street.stage.panels[VM].ask("order", order="o-forged")
            return bool(row and row["state"] == "tombstoned")

        await street.until(buried, "the order that nobody placed has a tombstone")
        await cloud.publish(down(VM, "grant"), encode(good))
        await street.buy("1-06")
    assert await street.runs() == runs + 2


async def test_repeated_offers_and_grants_turn_one_motor_once(street: House) -> None:
    runs = await street.runs()
    async with street.as_cloud() as cloud:
        ear = await listen(cloud)
        order = await street.order("1-07")
        placed = (await street.stage.api.get(f"/orders/{order}"))["order"]
        offer = Offer(order=order, aisle="1-07", goods=placed["goods"], price_fen=placed["price_fen"])
        grant = sealed(street, await ear.claim(order), "1-07")
        repeats = [(down(VM, "offer"), encode(offer)), (down(VM, "grant"), encode(grant))] * 20
        await publish_all(cloud, repeats)
        assert (await street.ended(order))["order"]["state"] == "delivered"
        await publish_all(cloud, repeats)
        await street.buy("1-08")
    assert await street.runs() == runs + 2


async def test_a_stranger_cannot_claim_what_was_ordered_elsewhere(street: House) -> None:
    keys, stranger = await street.stranger("vm-thief"), MachineId("vm-thief")
    async with street.as_machine(stranger, keys) as thief:
        await thief.subscribe(all_down(stranger))
        with frozen(street.stage.agents[VM]):
            order = await street.order("1-09")
            claim = encode(Claim(order=order, nonce="n-thief", boot_id="b-thief", epoch="e-thief"))
            await thief.publish(up(stranger, "claim"), claim)
            async with asyncio.timeout(30):
                answer = await anext(aiter(thief.messages()))
            assert decode_grant(answer.payload) == Refusal(order=order, nonce="n-thief", verdict="no")
            channels: tuple[UpChannel, ...] = ("claim", "fact")
            for channel in channels:
                with pytest.raises(PublishRefused):
                    await thief.publish(up(VM, channel), claim)
            assert (await street.stage.api.get(f"/orders/{order}"))["order"]["state"] == "held"
    assert (await street.ended(order))["order"]["state"] == "delivered"


async def test_after_all_that_money_and_stock_reconcile(street: House) -> None:
    account = await street.account()
    assert account.quarantined > 0
    assert (account.ledger_drift_fen, account.stock_drift, account.double_deliveries, account.unsettled) == (0, 0, 0, 0)
    assert (account.review, account.delivered) == (0, sum(machine.fell for machine in account.machines))
