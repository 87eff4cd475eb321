"""What a start-up owes to the pours that the last run left behind.

Every claim without an intent gets its refusal at once: its nonce died with the process. A pour with an intent is
settled by the difference of the meter's counts. That waits for the valve's own timer and for a meter that stands still,
and nothing is poured meanwhile.
"""

from __future__ import annotations

import logging

from edge_agent.ledger import pours
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.pour.session import Pouring
from shared.clock import Clock
from shared.messages import PourEnded, PourRefused

log = logging.getLogger(__name__)


async def recover(ledger: LedgerDatabase, pouring: Pouring, clock: Clock) -> PourEnded | None:
    """Settle everything that is open; returns the committed end of a pour that was."""
    for claimed in await ledger.read(pours.claimed_pours):
        log.info("pour %s was claimed and never granted before the restart", claimed.terms.order)
        fact = PourRefused(order=claimed.terms.order, reason="late_grant")
        await ledger.write(
            lambda conn, terms=claimed.terms, fact=fact: pours.refuse(conn, terms, fact, clock),  # type: ignore[misc]
            outcome=True,
        )
    row = await ledger.read(pours.open_pour)
    if row is None:
        return None
    log.warning("pour %s was left open: asking meter %s", row.terms.order, row.intent.meter if row.intent else "?")
    end = await pouring.resume(row)
    log.warning("pour %s ended: %d ml, %s", end.order, end.poured_ml, "certain" if end.certain else "to be reviewed")
    return end
