"""A product that is changed reaches the machines of its kind: some at a time, once each, also those that are away."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from cloud.database import Work
from cloud.load.noun import Draft, Run
from cloud.load.nouns.products import PRODUCTS
from cloud.machines.planogram import current_configs, put_configs
from cloud.machines.profile import DeviceChange, change_device
from cloud.machines.register import claim, register
from cloud.machines.store import commands, machine_configs
from cloud.outcalls import outcalls
from cloud.products import shelf
from cloud.products.model import Cartridge, Specification
from cloud.water import refit
from cloud.water.equip import equip
from shared.messages import MachineConfig
from tests.cloud.iot.shop import BRAND, PURIFIER, Shop

MACHINES = [f"CLEA0000000000{number:02}" for number in range(5)]


@pytest.fixture
async def machines(shop: Shop) -> list[str]:
    """Five machines of P1, the last one not claimed, and one of no product."""

    async def use(work: Work) -> None:
        product = await shelf.product_of(work, BRAND, "P1")
        for one in MACHINES:
            await register(work, BRAND, one, machine=one)
            if one != MACHINES[-1]:
                await claim(work, shop.parts.credentials, BRAND, one)
            await change_device(work, BRAND, one, DeviceChange(product="P1"))
            await equip(work, shop.parts.credentials, BRAND, one, product.specification, "test")
        await register(work, BRAND, "other", machine="CLEA00000000000X")

    await shop.database.transact(use, tenant=BRAND)
    return MACHINES


async def configs(shop: Shop) -> dict[str, MachineConfig]:
    async with shop.database.look(tenant=BRAND) as work:
        return await current_configs(work, BRAND, None)


async def count(shop: Shop, column: Any, *where: Any) -> int:
    async with shop.database.look(tenant=BRAND) as work:
        return int(await work.scalar(select(func.count(column)).where(*where)))


async def edit(shop: Shop, **changes: Any) -> None:
    """Change P1's specification, and make the calls that follow."""
    specification = {**PURIFIER["specification"], **changes}  # type: ignore[dict-item]
    await shop.told("owner", "PUT", "/products/P1/prof", {"specification": specification})
    await shop.make_calls()


LONGER = [{"order": 1, "name": "PPC", "timer_mode": 0, "lifetime": 8000, "worklife": 999}]


async def test_a_new_specification_reaches_every_machine_of_the_product(
    shop: Shop, machines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refit, "BATCH_MAX", 2)
    before = await configs(shop)
    await edit(shop, filters=LONGER)
    after = await configs(shop)
    assert set(after) == set(machines)
    for one in machines:
        purifier, was = after[one].purifier, before[one].purifier
        assert purifier is not None
        assert was is not None
        assert after[one].version == before[one].version + 1
        assert [(part.position, part.worklife_hours) for part in purifier.filters] == [(1, 999)]
        assert (purifier.outlets, purifier.plan, purifier.limits) == (was.outlets, was.plan, was.limits)
    waiting = commands.c.kind == "apply_config", commands.c.state == "waiting"
    assert await count(shop, commands.c.command, *waiting) == 4, "one each, and none for the one without a key"
    assert await count(shop, outcalls.c.subject, outcalls.c.kind == shelf.REFIT) == 0


async def test_what_is_so_already_gets_nothing(shop: Shop, machines: list[str]) -> None:
    await edit(shop, filters=LONGER)
    versions = await count(shop, machine_configs.c.version)
    await shop.database.transact(partial(shelf.refit_machines, tenant=BRAND, changed=["P1"]), tenant=BRAND)
    await shop.make_calls()
    await shop.told("owner", "PUT", "/products/P1", {"price": 1, "rent": PURIFIER["rent"]})
    await shop.make_calls()
    assert await count(shop, machine_configs.c.version) == versions


async def test_a_rented_machine_keeps_its_terms(shop: Shop, machines: list[str]) -> None:
    order = await shop.order({"product_id": "P1", "quantity": 1, "period": "30d"})
    await shop.pay(order)
    (rental,) = await shop.told("anna", "GET", "/rentals", order_id=order)
    await shop.told("owner", "POST", f"/rentals/{rental['rental_id']}/begin", {"device_id": machines[0]})
    await shop.make_calls()
    await edit(shop, mode=2, filters=LONGER)
    after = await configs(shop)
    plans = {one: after[one].purifier.plan for one in machines}  # type: ignore[union-attr]
    assert plans[machines[0]].plan == rental["rental_id"]
    assert {(plans[one].mode, plans[one].ends_wall_ms) for one in machines[1:]} == {("timed_rental", 0)}


async def test_a_machine_that_is_wired_otherwise_keeps_its_relays(shop: Shop, machines: list[str]) -> None:
    async def crowd(work: Work) -> None:
        config = (await current_configs(work, BRAND, machines[:1]))[machines[0]]
        assert config.purifier is not None
        outlets = (msgspec.structs.replace(config.purifier.outlets[0], warmth="cold", relay=1),)
        purifier = msgspec.structs.replace(config.purifier, outlets=outlets)
        crowded = msgspec.structs.replace(config, version=config.version + 1, purifier=purifier)
        await put_configs(work, shop.parts.credentials, BRAND, [crowded], "test")

    await shop.database.transact(crowd, tenant=BRAND)
    flows = [{"name": name, "key": key, "value": 20} for name, key in (("常温", "normal"), ("冷水", "cold"))]
    await edit(shop, flowmeter={"measure_mode": 0, "config": flows})
    after = await configs(shop)
    for one in machines:
        purifier = after[one].purifier
        assert purifier is not None
        relays = {outlet.warmth: outlet.relay for outlet in purifier.outlets}
        assert relays == ({"normal": 2, "cold": 1} if one == machines[0] else {"normal": 1, "cold": 2})


async def test_a_load_file_that_changes_a_product_reaches_its_machines_too(shop: Shop, machines: list[str]) -> None:
    async def use(work: Work) -> None:
        run = Run(work, shop.parts.credentials, shop.parts.passwords, shop.parts.vault)
        (row,) = [row for row in await PRODUCTS.present(run, BRAND, [("P1",)]) if row.product == "P1"]
        after = msgspec.structs.replace(
            row, specification=Specification(cartridges=(Cartridge(3, "T33", "both", 9, 9),))
        )
        await PRODUCTS.write(run, BRAND, [Draft(line=2, before=row, after=after, given={})])

    await shop.database.transact(use, tenant=BRAND)
    await shop.make_calls()
    for config in (await configs(shop)).values():
        assert config.purifier is not None
        assert [part.position for part in config.purifier.filters] == [3]
