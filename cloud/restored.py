"""After the database was put back from a backup: nothing that happened since then is lost, and nothing is named twice.

Machines keep what the cloud has confirmed for a month and send it again to a database that they have not heard of. What
only the cloud knew is gone: orders, payments and decisions since the backup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from cloud import serials
from cloud.accounts import store as accounts
from cloud.database import Work, renew_incarnation
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import current_configs, put_configs
from shared.ids import mint_epoch

# Numbers that may have been given since the backup and stand on a machine or in somebody's hand. A busy fleet gives a
# thousand of one kind a day, and nobody should need a backup older than a week.
SKIPPED: Final = 10_000


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What was told anew: to how many machines, of how many tenants."""

    tenants: int
    machines: int


async def take_up(work: Work, credentials: Credentials) -> TakenUp:
    """Begin a new life of a restored database, in a Work of the platform itself.

    Machines resend what it has forgotten. Its configurations are decided anew above every version that a machine may
    have got since, serials skip what may have been given, and everybody signs in again, because a token that was
    revoked since the backup would be valid.
    """
    await renew_incarnation(work, mint_epoch())
    await serials.skip_all(work, SKIPPED)
    machines = 0
    tenants = await accounts.all_tenants(work)
    for tenant in (tenant.tenant for tenant in tenants):
        await accounts.remove_all_tokens(work, tenant)
        configs = (await current_configs(work, tenant, None)).values()
        above = [msgspec.structs.replace(config, version=config.version + SKIPPED) for config in configs]
        await put_configs(work, credentials, tenant, above, "restored")
        machines += len(above)
    return TakenUp(len(tenants), machines)
