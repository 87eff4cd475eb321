"""A technician at the machine: test runs that are no sales, and visits that are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import trials
from edge_agent.settings import read_keys
from shared.messages import StockLoaded, VisitRecorded, unsealed
from shared.seal import seal_visit
from tests.integration.agent.rig import STOCK, Rig, rig


async def test_a_test_run_is_no_sale_and_its_item_is_booked_out(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        told = await machine.panel.ask("test_aisle", aisle="1-02")
        assert told["outcome"] == "delivered"
        assert told["drop_seen"]
        assert told["booked"]
        assert told["run_time_ms"] > 0
        assert told["max_current_ma"] > 0
        loaded = [fact for fact in await machine.facts() if isinstance(fact, StockLoaded)]
        assert (loaded[-1].aisle, loaded[-1].quantity, loaded[-1].person) == ("1-02", -1, "test")
        assert not [fact for fact in await machine.facts() if "Vend" in type(fact).__name__]
        aisles = {aisle["aisle"]: aisle["on_hand"] for aisle in await machine.panel.ask("aisles")}
        assert aisles["1-02"] == STOCK - 1
        await machine.account_balances()


async def test_a_locked_aisle_of_a_machine_with_an_open_door_can_be_tested(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.panel.ask("lock", aisle="1-01", locked=True, reason="jam")
        (tmp_path / "door").write_text("1")

        async def shut() -> bool:
            return not (await machine.status())["selling"]

        await machine.until(shut, "the open door stops the sale")
        assert (await machine.panel.ask("test_aisle", aisle="1-01"))["outcome"] == "delivered"


async def test_a_jam_books_nothing_and_locks_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, rates={"jam": 1.0}) as machine, machine.running():
        await machine.until_selling()
        told = await machine.panel.ask("test_aisle", aisle="1-00")
        assert told["outcome"] != "delivered"
        assert told["result"] == "over_current"
        assert not told["booked"]
        assert await machine.locked() == {}


async def test_what_falls_where_the_ledger_has_none_is_told_and_not_booked(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.panel.ask("count", aisle="1-00", counted=0)
        told = await machine.panel.ask("test_aisle", aisle="1-00")
        assert (told["outcome"], told["booked"]) == ("delivered", False)


async def test_an_aisle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        with pytest.raises(Refused, match="no aisle 9-99"):
            await machine.panel.ask("test_aisle", aisle="9-99")
        assert await machine.runs() == 0


async def test_a_visit_is_one_sealed_fact_with_what_was_done(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        began = await machine.panel.ask("visit_start", name="Lin")
        with pytest.raises(Refused, match="goes on"):
            await machine.panel.ask("visit_start")
        await machine.panel.ask("load", aisle="1-00", quantity=2)
        await machine.panel.ask("test_aisle", aisle="1-00")
        await machine.panel.ask("status")
        with pytest.raises(Refused):
            await machine.panel.ask("load", aisle="1-00", quantity=-9999)
        assert (await machine.panel.ask("visit"))["visit"] == began["visit"]
        await machine.panel.ask("visit_end")
        with pytest.raises(Refused, match="no visit"):
            await machine.panel.ask("visit_end")
        assert await machine.panel.ask("visit") is None
        (fact,) = [fact for fact in await machine.facts() if isinstance(fact, VisitRecorded)]
        assert fact.visit == began["visit"]
        assert fact.person.startswith("Lin (")
        assert fact.actions == ("load aisle=1-00 quantity=2", "test_aisle aisle=1-00 outcome=delivered")
        key = read_keys(machine.settings).mac_key
        assert fact.mac == seal_visit(key, machine.settings.machine_id, unsealed(fact))


class Crash(Exception):
    """The process died here."""


def crash(*_: object) -> None:
    raise Crash


async def turn_and_crash(machine: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine.running():
        await machine.until_selling()
        monkeypatch.setattr(trials, "end", crash)
        await machine.panel.ask("test_aisle", aisle="1-03")


async def test_a_crash_in_a_test_run_is_settled_before_anything_is_sold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as machine:
        with pytest.raises(ExceptionGroup) as ended:
            await turn_and_crash(machine, monkeypatch)
        assert ended.group_contains(Crash)
        monkeypatch.undo()
        async with machine.running():
            await machine.until_selling()
            loaded = [fact for fact in await machine.facts() if isinstance(fact, StockLoaded)]
            assert (loaded[-1].aisle, loaded[-1].quantity, loaded[-1].person) == ("1-03", -1, "test")
            assert await machine.runs() == 1
            await machine.account_balances()


async def test_what_waits_for_the_cloud_is_counted_and_listed(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        told = await machine.panel.ask("outbox")
        assert 0 < told["waiting"] == sum(told["kinds"].values()) < told["next_seq"]
        assert told["kinds"]["stock_loaded"] == 6
        assert told["facts"][0]["type"] == "epoch_began"
        assert await machine.panel.ask("check_ledger") == {"findings": []}


async def test_a_picture_comes_again_and_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        pictures = machine.panel.watch("watch", every_ms=200)
        first = await anext(pictures)
        second = await anext(pictures)
        assert first.keys() >= {"status", "aisles", "faults", "bus"}
        assert second["status"]["machine"] == "vm-1"
