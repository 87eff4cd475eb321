"""Prices alone, when what lies where stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import aisle_of, current_config, revise
from shared.messages import MachineConfig


async def config_of(work: Work, tenant: str, machine: str) -> MachineConfig:
    """The newest configuration; FleetError not_found before the first one."""
    config = await current_config(work, tenant, machine)
    if config is None:
        raise FleetError("not_found", f"machine {machine!r} has no planogram yet", field="machine")
    return config


async def put_prices(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    prices: Mapping[str, int],
    made_by: str,
    *,
    expected_version: int,
) -> MachineConfig:
    """Decide new prices (fen, by aisle) for the aisles named; answers the whole configuration with its new version.

    FleetError: not_found, invalid for an aisle that is not in the planogram, conflict when somebody else was faster.
    """
    before = await config_of(work, tenant, machine)
    for aisle in prices:
        if aisle_of(before, aisle) is None:
            raise FleetError("invalid", f"aisle {aisle!r} is not in the planogram", field=f"prices.{aisle}")

    def price(config: MachineConfig) -> MachineConfig:
        aisles = (
            msgspec.structs.replace(aisle, price_fen=prices.get(aisle.aisle, aisle.price_fen))
            for aisle in config.aisles
        )
        return msgspec.structs.replace(config, aisles=tuple(aisles))

    return await revise(
        work, credentials, tenant, machine, price, made_by, field="prices", expected_version=expected_version
    )
