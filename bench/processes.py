"""What the kernel says about a running process (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

KIB = 1024
MB = 1_000_000


def memory_mb(pid: int) -> dict[str, float]:
    """`Rss` and `Pss` of a process in MB (10^6 bytes): all pages it holds, and its fair share of shared ones."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines[1:])
    return {name: int(fields[name].split()[0]) * KIB / MB for name in ("Rss", "Pss")}


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, its own and the kernel's for it (utime + stime)."""
    # The command's name stands in brackets and may hold anything; numbers follow the last bracket.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    utime, stime = int(fields[11]), int(fields[12])
    return (utime + stime) / os.sysconf("SC_CLK_TCK")
