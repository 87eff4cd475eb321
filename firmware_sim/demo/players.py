"""Who plays the stories: everybody who uses an old program, and what happens around them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final

from firmware_sim.demo.book import Person
from firmware_sim.demo.clients import Account, Platform, Program
from firmware_sim.demo.people import TROUBLE, Tally
from firmware_sim.demo.stage import Stage
from firmware_sim.demo.stories import IN_SHOP, SOME, STORIES, Ask, Happening, Story
from firmware_sim.demo.wire import Refused

# What a restocker carries at once.
AISLES_AT_ONCE: Final = 6
# A story that stumbled is begun anew after so long, and an answer that is not there yet is asked for as often.
BREATH_S: Final = 1.0
# A machine's fact or the end of an order is there long before; then the story begins anew.
DEADLINE_S: Final = 60.0

Values = dict[str, Any]
Programs = Mapping[str, Program]


class Players:
    """Everybody who uses an old program, with the dice of one seed. `work` runs until it is cancelled."""

    def __init__(self, stage: Stage, seed: int, tally: Tally) -> None:
        self._stage = stage
        self._tally = tally
        self._dice = random.Random(seed + 1)  # noqa: S311  # a story, not a secret
        self._takes = count(1)
        self._motors = {
            aisle["id"]: (machine.machine, aisle["board"], aisle["motor"])
            for machine in stage.cast.machines
            for aisle in machine.aisles()
        }
        self._recorded: set[str] = set()
        self._turn = asyncio.Lock()

    async def work(self) -> None:
        """Tell every story: once, or again and again."""
        async with AsyncExitStack() as stack:
            programs = {name: self._program(stack, person) for name, person in self._stage.people.items()}
            programs["stranger"] = self._program(stack, None)
            async with asyncio.TaskGroup() as group:
                for story in STORIES:
                    group.create_task(self._tell(story, programs), name=story.title)
                await asyncio.Event().wait()

    def _program(self, stack: AsyncExitStack, person: Person | None) -> Program:
        kind: type[Program] = Account if person is not None and person.role == "operator" else Platform
        program = kind(self._stage.api.url, person, self._tally.answers)
        stack.push_async_callback(program.close)
        return program

    async def _tell(self, story: Story, programs: Programs) -> None:
        """From its beginning, until it was heard to its end."""
        while True:
            pause_s = BREATH_S
            with contextlib.suppress(*TROUBLE):
                async with self._turn if story.by_turns else contextlib.nullcontext():
                    await self._play(story, programs)
                self._tally.hear(story)
                if story.again_s is None:
                    self._tally.tell(story.title)
                    return
                pause_s = self._dice.expovariate(1 / story.again_s)
            await asyncio.sleep(pause_s)

    async def _play(self, story: Story, programs: Programs) -> None:
        """One take, step by step, with values and people of its own."""
        take = f"{next(self._takes):04d}"
        newcomer, renewed = Person("", "小寒", f"1390010{take}"), Person("", "小寒", f"1390011{take}")
        values: Values = {
            "take": take,
            "device": f"YLBL0000{take}AAAA",
            "phone": newcomer.phone,
            "password": newcomer.sent,
            "new_phone": renewed.phone,
            "new_password": renewed.sent,
        }
        async with AsyncExitStack() as stack:
            programs = {**programs, "newcomer": self._program(stack, newcomer)}
            for step in story.steps:
                fields = filled(step.fields, values)
                if isinstance(step, Happening):
                    values |= await self._happens(step.what, fields, programs)
                else:
                    values |= await self._ask(programs[step.who], step, fields, filled(step.until, values))

    async def _ask(self, program: Program, step: Ask, fields: Values, until: Values) -> Values:
        """Ask, until what is waited for is in the answer; answers what is to be kept of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    told = await program.ask(step.operation, **fields)
                    kept = {name: dig(told, place) for name, place in step.keep.items()}
                    found = {place: dig(told, place) for place in until}
                    if None not in kept.values() and all(_is(found[place], until[place]) for place in until):
                        return kept
                    await asyncio.sleep(BREATH_S)
        raise Refused("late", f"{step.operation}: not within {DEADLINE_S:.0f} s: {step.keep} {until}")

    async def _happens(self, what: str, fields: Values, programs: Programs) -> Values:
        """Something that no old program does; answers what it brings along."""
        match what:
            case "filling":
                await self._fill(programs["restocker"])
            case "taking out":
                return await self._take_one_out(programs["restocker"], **fields)
            case "payment":
                await self._pay(**fields)
            case "code":
                return {"code": await self._code(**fields)}
            case "leak":
                await self._stage.sim.fault(fields["machine"], "leak", "on")
            case "new filter":
                await self._stage.panels[fields["machine"]].ask("change_filter", position=fields["position"])
            case "purchase":
                self._tally.purchases += 1
            case "board":
                self._tally.boards[fields["of"]] = fields["shows"]
            case _:
                raise AssertionError(f"nobody knows how {what!r} happens")
        return {}

    async def _fill(self, account: Program) -> None:
        """Look which machine lacks most, put goods into its emptiest aisles, say so, and stay until it has heard it."""
        machines = (await account.ask("1.0", sort=3, page_size=10))["vendor_list"]
        lacking = [machine for machine in machines if machine["out_num"] or machine["stock_num"]] or machines
        machine = lacking[0]["vendor_id"]
        rows = [row for row in (await account.ask("2.0", vendor_id=machine))["aisle_list"] if row["goods_stock"]]
        rows.sort(key=lambda row: row["goods_num"])
        carried = [
            {"aisle_id": row["aisle_id"], "vendor_goods_id": row["vendor_goods_id"], "goods_num": 1}
            for row in rows[:AISLES_AT_ONCE]
        ]
        if not carried:
            return
        told = await account.ask("2.3", vendor_id=machine, list=carried, use_name="")
        if told["record_id"] in self._recorded:
            return  # the same aisles again so soon count as asked twice: nothing was booked, so nothing is laid in
        self._recorded.add(told["record_id"])
        for one in carried:
            # The cloud has taken the record and the agent books it; the item itself is laid into the spiral.
            where, board, motor = self._motors[one["aisle_id"]]
            await self._stage.sim.load(where, board, motor, one["goods_num"])
        self._tally.restocks += 1
        self._tally.tell(f"official account: {len(carried)} items put into {machine}")
        await self._booked(account, told["record_id"])

    async def _booked(self, account: Program, record: str) -> None:
        """Wait until the machine has answered for every aisle of a restock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    records = (await account.ask("3.0", **IN_SHOP))["list"]
                    lines = next(one["aisle_list"] for one in records if one["record_id"] == record)
                    if all(line["state"] != "waiting" for line in lines):
                        return
                    await asyncio.sleep(BREATH_S)
        raise Refused("late", f"{record} is not booked within {DEADLINE_S:.0f} s")

    async def _take_one_out(self, account: Program, machine: str) -> Values:
        """Take an item out of the machine's fullest aisle; how many are left there is to be said."""
        rows = (await account.ask("2.0", vendor_id=machine, normal=1))["aisle_list"]
        fullest = max(rows, key=lambda row: row["goods_num"] or 0)
        await self._stage.sim.unload(*self._motors[fullest["aisle_id"]], 1)
        return {"aisle": fullest["aisle_id"], "left": fullest["goods_num"] - 1}

    async def _pay(self, order: str) -> None:
        """No money moves in the demo: its provider is a recording one, and is told here that the customer paid."""
        api = self._stage.api
        for payment in await api.every("/payments", state="pending"):
            if payment["subject"] == order:
                await api.post(f"/payments/{payment['payment']}/settlement")

    async def _code(self, phone: str) -> str:
        """No message is sent in the demo either: who runs it reads what would stand in it."""
        codes = [one for one in (await self._stage.api.get("/codes"))["items"] if one["phone"] == phone]
        if not codes:
            raise Refused("late", f"no code has come to {phone}")
        return str(max(codes, key=lambda one: int(one["expires_ms"]))["code"])


def filled(value: Any, values: Values) -> Any:
    """`value` with every `$name` replaced by what it stands for."""
    if isinstance(value, Mapping):
        return {name: filled(part, values) for name, part in value.items()}
    if isinstance(value, list):
        return [filled(part, values) for part in value]
    if not isinstance(value, str):
        return value
    if value.startswith("$") and value[1:] in values:
        return values[value[1:]]
    return re.sub(r"\$(\w+)", lambda name: str(values[name[1]]), value)


def dig(told: Any, place: str) -> Any:
    """The value at `list.0.name`; None when there is none."""
    for step in place.split("."):
        try:
            told = told[int(step)] if isinstance(told, list) else told[step]
        except (LookupError, TypeError):
            return None
    return told


def _is(found: Any, wanted: Any) -> bool:
    return bool(found) if wanted == SOME else bool(found == wanted)
