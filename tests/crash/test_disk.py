"""A disk that is full refuses what is new and keeps what has begun (C3); one that cannot sync ends the process (C1)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from edge_agent.ledger import journal, opening
from shared.clock import ManualClock
from tests.ledger.vending import open_plain, sale

PAGE = 4096
# Room for a ledger, its log, its reserve and the reserve's margin, and a little more.
DISK_BYTES = 1_400_000
DEADLINE_S = 100


def test_a_full_disk_stops_a_vend_before_the_motor_or_not_at_all(tmp_path: Path) -> None:
    sizes = [str(pages * PAGE) for pages in range(60)]
    mounted = f'mount -t tmpfs -o size={DISK_BYTES} none "$1" && shift && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", mounted, "sh", str(tmp_path)]
    done = subprocess.run(
        [*argv, sys.executable, "-m", "tests.crash.disk_full", str(tmp_path), *sizes],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"needs root and util-linux (apt-get install util-linux mount): {done.stderr}"
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == len(sizes)
    for size, run in zip(sizes, runs, strict=True):
        assert run["findings"] == [], size
        if run["became"] == "outcome written":
            assert (run["state"], run["shelf"]) == ("delivered", [9, 0]), size
            assert not run["may_sell_after"], "the reserve is gone, or the disk is full"
        else:
            assert (run["state"], run["shelf"]) == (None, [10, 0]), size
        assert not run["may_sell"] or run["became"] == "outcome written", "room was promised"
        assert run["may_sell_when_freed"], "the reserve is made again"
    became = Counter((run["may_sell"], run["became"]) for run in runs)
    assert set(became) == {(False, "refused before motion"), (False, "outcome written"), (True, "outcome written")}


def test_a_sync_that_fails_is_never_trusted_again(tmp_path: Path) -> None:
    """Each sync of the run fails once, alone: what follows would succeed, and must not be believed."""
    endings = Counter[str]()
    nth = 0
    while True:
        nth += 1
        folder = tmp_path / str(nth)
        done = subprocess.run(
            [
                *("strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", str(tmp_path / "log")),
                *("-e", f"inject=fdatasync,fsync:error=EIO:when={nth}"),
                *(sys.executable, "-m", "tests.crash.disk_failing", str(folder)),
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        if "INJECTED" not in (tmp_path / "log").read_text():
            assert done.stdout == "written\n", done.stderr
            break
        said = [line.split(":")[0] for line in done.stdout.splitlines()]
        if done.returncode == 0 and said == ["written"]:
            ending = "failed after the outcome was written"
        elif said == ["unsafe", "unsafe"]:
            ending = "outcome refused, twice"
        else:
            assert said == []
            assert "LedgerUnsafe" in done.stderr, done.stderr
            ending = "refused before"
        endings[ending] += 1

        conn = open_plain(folder, ManualClock(boot_id="boot-2"))
        known = journal.order(conn, sale().order)
        findings = opening.content_problems(conn, thorough=True)
        conn.close()
        assert findings == []
        if ending == "failed after the outcome was written":
            assert known is not None
            assert known.state == "delivered"
    assert endings["outcome refused, twice"] >= 1
    assert endings["refused before"] >= 5
