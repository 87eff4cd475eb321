"""What a start-up owes to the orders that the last run left behind.

Every claim without an intent gets its tombstone at once: its nonce died with the process. An order with an intent is
settled by what its board can prove; that may wait for a board which is still silent, and nothing is sold meanwhile.
"""

from __future__ import annotations

import logging

from edge_agent.ledger import journal
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.vend.claim import bury
from edge_agent.vend.session import VendEnd, Vending
from shared.clock import Clock
from shared.messages import MachineConfig

log = logging.getLogger(__name__)


async def recover(
    ledger: LedgerDatabase, vending: Vending, config: MachineConfig | None, clock: Clock
) -> list[VendEnd]:
    """Settle everything that is open, in the order of transaction numbers; returns the committed ends."""
    for claimed in await ledger.read(journal.claimed_orders):
        log.info("order %s was claimed and never granted before the restart", claimed.sale.order)
        await bury(ledger, claimed.sale, "late_grant", clock)
    ends = []
    for order in await ledger.read(journal.open_orders):
        log.warning("order %s was left open: asking board %d", order.sale.order, order.plan.board)
        end = await vending.resume(order, config)
        log.warning("order %s ended as %s", order.sale.order, type(end).__name__)
        ends.append(end)
    return ends
