"""A product was changed: the machines of its kind become what it says by now, some at a time.

A brand may have thousands of them and its editor must not wait, so this is a call of its own, made after the commit. It
walks through the machines in order; one that is so already gets nothing, so beginning anew costs only reading. What a
machine then lacks is sent to it as every configuration is, also weeks later. Filters keep their age: a machine counts
by cartridge, and only somebody who changes a cartridge begins a new count.
"""

from __future__ import annotations

from functools import partial

from cloud.database import Database, Work
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import current_configs, put_configs
from cloud.machines.profile import lock_fitted
from cloud.outcalls import Handler, Outcall
from cloud.products import shelf
from cloud.products.model import UNSPECIFIED
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition
from cloud.water.equip import fitted

# Machines of one unit of work: they are locked for as long as it takes.
BATCH_MAX = 100
# With pauses that double this is an evening of a database that is away.
TRIES_MAX = 20
_MADE_BY = "product"


def refit_handler(credentials: Credentials) -> Handler:
    """How the machines of a product that was changed are brought to it."""

    async def call(database: Database, line: Outcall) -> int | None:
        after: str | None = ""
        while after is not None:
            some = partial(_refit_some, credentials=credentials, product=line.subject, after=after, tenant=line.tenant)
            after = await database.transact(some, tenant=line.tenant)
        return None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        await database.transact(partial(_complain, line=line, detail=detail), tenant=line.tenant)

    return Handler(call, give_up, TRIES_MAX)


async def _refit_some(work: Work, credentials: Credentials, tenant: str, product: str, after: str) -> str | None:
    """Refit the machines that follow `after`; answers where to go on, None at the end."""
    specification = (await shelf.kept_product(work, tenant, product)).specification
    if specification == UNSPECIFIED:
        return None  # it says nothing: machines stay as they are
    machines, last = await lock_fitted(work, tenant, product, after, BATCH_MAX)
    configs = await current_configs(work, tenant, machines)
    decided = [fitted(specification, machine, configs.get(machine)) for machine in machines]
    await put_configs(work, credentials, tenant, [config for config in decided if config is not None], _MADE_BY)
    return last


async def _complain(work: Work, line: Outcall, detail: str) -> None:
    desk = TicketDesk(work)
    desk.open(Condition(line.tenant, "", "product_not_told", line.subject), detail)
    await desk.write()
