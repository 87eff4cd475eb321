"""What makes a machine a purifier: outlets, prices, plan, filters and limits, in its one configuration (I14)."""

from __future__ import annotations

import msgspec

from cloud.database import Work
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import revise
from shared.messages import MachineConfig
from shared.water import PurifierConfig


async def put_purifier(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    purifier: PurifierConfig,
    made_by: str,
    *,
    expected_version: int | None = None,
) -> MachineConfig:
    """Decide what a machine is as a purifier and send it; its planogram stays. Answers the whole with its version.

    FleetError: not_found, invalid (naming the problem), conflict when somebody else was faster or the machine is not
    claimed.
    """
    return await revise(
        work,
        credentials,
        tenant,
        machine,
        lambda before: msgspec.structs.replace(before, purifier=purifier),
        made_by,
        field="purifier",
        expected_version=expected_version,
    )
