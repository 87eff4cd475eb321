"""`python -m edge_agent.technician`: the same as `aislectl`."""

from __future__ import annotations

import sys

from edge_agent.technician.cli import main

if __name__ == "__main__":
    sys.exit(main())
