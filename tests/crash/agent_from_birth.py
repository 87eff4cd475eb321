"""The agent on a ledger that this very process began and stocked, so that a record of it holds every byte of the file.

python -m tests.crash.agent_from_birth --settings FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edge_agent.__main__ import main
from edge_agent.settings import load
from tests.crash.processes import MOTORS, STOCK
from tests.integration.agent.rig import planogram, stock_ledger

if __name__ == "__main__":
    asyncio.run(stock_ledger(load(Path(sys.argv[2])), planogram(motors=MOTORS), STOCK))
    sys.exit(main(sys.argv[1:]))
