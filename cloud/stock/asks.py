"""Asking machines to book goods into their aisles and out of them, and what an aisle will hold once they have."""

from __future__ import annotations

from collections.abc import Mapping

from cloud.database import Work
from cloud.machines.aisles import aisles_of
from cloud.machines.commands import ask_all, waiting_commands
from cloud.machines.credentials import Credentials
from cloud.machines.model import Aisle, Machine
from cloud.stock import store
from cloud.stock.browse import balances_of
from cloud.stock.model import AisleAsk
from shared.messages import LoadStock


async def expected(work: Work, tenant: str, machine: str) -> dict[str, int]:
    """By aisle, how many items can be sold there once the machine has done what it was asked."""
    asked = await store.find_asks(work, {(tenant, one) for one in await waiting_commands(work, tenant, machine)})
    there = {aisle.aisle: 0 for aisle in await aisles_of(work, tenant, machine)}
    there |= {balance.aisle: balance.sellable for balance in await balances_of(work, tenant, machine)}
    for one in asked.values():
        there[one.aisle] = there.get(one.aisle, 0) + one.quantity
    return there


async def book(
    work: Work,
    credentials: Credentials,
    machine: Machine,
    quantities: Mapping[Aisle, int],
    *,
    person: str,
    asked_by: str,
    restock: str | None = None,
) -> None:
    """Ask the machine to book these quantities in, or (negative) out; FleetError as `ask_all` raises it."""
    wanted = [LoadStock(aisle=aisle.aisle, quantity=n, person=person) for aisle, n in quantities.items()]
    commands = await ask_all(work, credentials, machine.tenant, machine.machine, wanted, asked_by)
    asked = zip(commands, quantities.items(), strict=True)
    await store.add_asks(
        work,
        [
            AisleAsk(
                machine.tenant,
                command,
                machine.machine,
                aisle.aisle,
                aisle.goods,
                quantity,
                machine.shop,
                restock,
            )
            for command, (aisle, quantity) in asked
        ],
    )
