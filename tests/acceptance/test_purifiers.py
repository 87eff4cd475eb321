"""What ends on a purifier and begins again: rentals that are renewed, filters that are exchanged.

The rentals come from a load file, as from an older system, and end while one looks. Their customer renews them in the
water platform's app; what a machine then does, it was told over MQTT. Filters are exchanged as the guide says.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
from asyncio import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from firmware_sim.demo.book import BRAND, CUSTOMER, PRODUCT
from firmware_sim.demo.cast import SCREEN, Cast, Purifier
from firmware_sim.demo.clients import Platform
from firmware_sim.demo.processes import python
from firmware_sim.demo.stage import set_stage
from firmware_sim.demo.wire import Refused
from shared.ids import MachineId, mint_command_id
from shared.messages import Command, encode
from shared.seal import seal_command
from shared.topics import down, up
from tests.acceptance.house import DEADLINE_S, House

pytestmark = pytest.mark.asyncio(loop_scope="module")

KITCHEN, OFFICE, LOBBY = "wp-0001", "wp-0002", "wp-0003"
PLACES = {KITCHEN: "at home", OFFICE: "at work", LOBBY: "by the coin"}
CAST = Cast(machines=(), purifiers=tuple(Purifier(machine, machine, place) for machine, place in PLACES.items()))
# Long enough for the plan to arrive and a glass to be poured before it ends.
LASTS_S = 30
DAYS, DAY_MS = 30, 86_400_000
ENDED = {"zh": "租期已到，请续费", "en": "The rental has ended. Please renew it"}


@dataclass
class Home:
    """The stage, and the two whose programs are used."""

    house: House
    customer: Platform
    office: Platform

    async def rent(self, rental: str, machine: str) -> None:
        """Bring a rental that ends soon, as an older system knows it."""
        stage, now = self.house.stage, datetime.now(UTC).replace(microsecond=0)
        row: dict[str, Any] = {
            "rental": rental,
            "product": PRODUCT,
            "member": CUSTOMER,
            "machine": machine,
            "state": "running",
        }
        row |= {"bought_days": DAYS, "began": (now - timedelta(days=DAYS)).isoformat()}
        row |= {"ends": (now + timedelta(seconds=LASTS_S)).isoformat()}
        book = stage.folder / f"{rental}.json"
        book.write_text(json.dumps({"rentals": [row]}))
        command = python("-m", "cloud", "load", str(book), "--data", str(stage.folder / "cloud"), "--brand", BRAND)
        loading = await subprocess.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told, _ = await loading.communicate()
        assert loading.returncode == 0, told.decode()

    async def renew(self, rental: str) -> None:
        """Order a further period and pay it; nobody waits for the machine."""
        order = (await self.customer.ask("POST /rentals/<RID>/renew", RID=rental, key=f"{DAYS}d"))["data"]["order_id"]
        await self.customer.ask("AD-07", OID=order)
        api = self.house.stage.api
        (payment,) = [one for one in await api.every("/payments", state="pending") if one["subject"] == order]
        await api.post(f"/payments/{payment['payment']}/settlement")

    async def rental(self, rental: str) -> dict[str, Any]:
        told: dict[str, Any] = (await self.customer.ask("GET /rentals/<RID>", RID=rental))["data"]
        return told

    async def water(self, machine: str) -> dict[str, Any]:
        """What the machine itself says."""
        told: dict[str, Any] = await self.house.stage.panels[machine].ask("water")
        return told

    async def pour(self, machine: str) -> None:
        """A glass at the machine; under a rental nobody pays by the glass."""
        told: dict[str, Any] = await self.house.stage.panels[machine].ask(
            "pour", press=mint_command_id(), outlet="normal", ml=200, means="free"
        )
        # On a busy computer the pace may be in doubt; that water was given is not.
        assert told["poured_ml"] > 100, told

    async def until_it_runs_under(self, rental: str, machine: str) -> None:
        async def runs() -> bool:
            told = await self.water(machine)
            return bool(told["plan"] and told["plan"]["plan"] == rental and told["giving"])

        await self.house.until(runs, f"{machine} gives water under {rental}")

    async def until_ended(self, machine: str) -> None:
        async def ended() -> bool:
            return bool((await self.water(machine))["display"] == ENDED)

        await self.house.until(ended, f"{machine} says that its rental has ended")
        with pytest.raises(Refused, match="rental has ended"):
            await self.pour(machine)

    async def is_overdue(self, rental: str) -> bool:
        return "overdue" in (await self.rental(rental))["status"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    folder = tmp_path_factory.mktemp("home") / "stage"
    async with set_stage(folder, seed=7, speed=20.0, broker="mosquitto", port=0, say=print, cast=CAST) as stage:
        house = House(stage)
        programs = [Platform(stage.api.url, stage.people[who], house.tally.answers) for who in ("customer", "office")]
        try:
            here = Home(house, *programs)
            rent = {"deposit": 0, "config": [{"name": "30天", "key": f"{DAYS}d", "value": 60}]}
            await here.office.ask("AC-06", PID=PRODUCT, rent=rent)
            yield here
        finally:
            for program in programs:
                await program.close()


@pytest.mark.timeout(240)
async def test_an_ended_rental_is_renewed_in_the_app_and_the_running_machine_gives_water_again(home: Home) -> None:
    house, agent = home.house, home.house.stage.agents[KITCHEN]
    running = agent.process.pid
    await home.rent("ZL-7", KITCHEN)
    await home.until_it_runs_under("ZL-7", KITCHEN)
    await home.pour(KITCHEN)
    await home.until_ended(KITCHEN)
    await house.until(lambda: home.is_overdue("ZL-7"), "the cloud sees it overdue")
    ended = told_last(house)

    await home.renew("ZL-7")
    await home.until_it_runs_under("ZL-7", KITCHEN)
    assert (await home.water(KITCHEN))["plan"]["left_ms"] > (DAYS - 1) * DAY_MS
    await home.pour(KITCHEN)
    assert (agent.process.pid, agent.process.returncode) == (running, None), "nobody started it again"
    renewed = await home.rental("ZL-7")
    assert (renewed["status"], renewed["days"]) == ("running", 2 * DAYS)

    await told_again(house, ended)
    assert (await home.water(KITCHEN))["plan"]["left_ms"] > (DAYS - 1) * DAY_MS
    await home.pour(KITCHEN)


def told_last(house: House) -> bytes:
    """The last configuration that the cloud has sent to the machine, with its seal."""
    query = "SELECT ask FROM commands WHERE machine = ? AND kind = 'apply_config' ORDER BY asked_ms DESC LIMIT 1"
    with closing(sqlite3.connect(house.stage.folder / "cloud" / "aisleflow.db")) as conn:
        (ask,) = conn.execute(query, (KITCHEN,)).fetchone()
    return str(ask).encode()


async def told_again(house: House, ask: bytes) -> None:
    """The machine is told something old once more, rightly sealed and under a new name; it says that it is too old."""
    name = mint_command_id()
    mac = seal_command(house.keys(KITCHEN).mac_key, MachineId(KITCHEN), ask)
    async with house.as_cloud() as link:
        await link.subscribe(up(MachineId(KITCHEN), "fact"))
        command = Command(command=name, ask=msgspec.Raw(ask), mac=mac)
        await link.publish(down(MachineId(KITCHEN), "command"), encode(command))
        async with asyncio.timeout(DEADLINE_S):
            async for message in link.messages():
                message.ack()
                if name.encode() in message.payload:
                    assert b"which is in use" in message.payload
                    return


@pytest.mark.timeout(240)
async def test_what_was_renewed_while_the_machine_was_away_holds_as_soon_as_it_is_back(home: Home) -> None:
    house = home.house
    agent = house.stage.agents[OFFICE]
    running = agent.process.pid
    await home.rent("ZL-8", OFFICE)
    await home.until_it_runs_under("ZL-8", OFFICE)
    await house.stage.broker.process.kill()
    await home.until_ended(OFFICE)
    await house.until(lambda: home.is_overdue("ZL-8"), "the cloud sees it overdue")
    await home.renew("ZL-8")
    assert (await home.rental("ZL-8"))["status"] == "running"
    assert (await home.water(OFFICE))["display"] == ENDED, "nobody can tell it"

    await house.stage.broker.process.start()
    await house.stage.broker.listening()
    await home.until_it_runs_under("ZL-8", OFFICE)
    await home.pour(OFFICE)
    assert (agent.process.pid, agent.process.returncode) == (running, None)
    assert await house.account_fen("escrow") == 0


async def aislectl(home: Home, what: str) -> str:
    """What the technician reads; the command must succeed."""
    settings = home.house.stage.folder / LOBBY / "agent.toml"
    command = python("-m", "edge_agent.technician", "--settings", str(settings), *what.split())
    process = await subprocess.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"LANGUAGE": "zh_CN"}
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def jobs(home: Home) -> list[tuple[str, int]]:
    """State and urgency of the tickets about the filter that does not last long."""
    tickets = await home.house.stage.api.every("/tickets", machine=LOBBY)
    return [(one["state"], one["priority"]) for one in tickets if one["scope"] == f"filter-{SCREEN}"]


@pytest.mark.timeout(240)
async def test_a_filter_is_worn_out_exchanged_as_the_guide_says_and_the_machine_sells_again(home: Home) -> None:
    page = (Path(__file__).parents[2] / "docs/technician/zh/filter.md").read_text(encoding="utf-8")
    look, flush, fresh = re.findall(r"`(aislectl [^`]*)`", page)
    (shown,) = re.findall(r"不出水：\*(.*?)\*", page)
    panel = home.house.stage.panels[LOBBY]

    async def sold() -> dict[str, Any]:
        told: dict[str, Any] = await panel.ask(
            "pour", press=mint_command_id(), outlet="normal", ml=200, means="coin", paid_fen=100
        )
        return told

    async def job_is(state: str, priority: int) -> None:
        async def it_is() -> bool:
            return await jobs(home) == [(state, priority)]

        await home.house.until(it_is, f"one ticket, {state}, priority {priority}")

    # Of its two litres less than half is left, then nothing.
    await aislectl(home, "pour 1200")
    assert "即将到期" in (await home.water(LOBBY))["display"]["zh"]
    await job_is("created", 2)
    assert (await sold())["poured_ml"] > 100, "near its end it serves on"
    await aislectl(home, "pour 1500")
    assert shown in await aislectl(home, look.removeprefix("aislectl "))
    with pytest.raises(Refused, match="filter is used up"):
        await sold()
    await job_is("created", 3)

    await aislectl(home, flush.removeprefix("aislectl "))
    asked = fresh.removeprefix("aislectl ").replace("级号", str(SCREEN))
    assert f"第 {SCREEN} 级" in await aislectl(home, f"{asked} --yes")
    assert "100 %" in await aislectl(home, look.removeprefix("aislectl "))
    assert (await sold())["poured_ml"] > 100
    await job_is("finished", 3)
