"""Run the tests tier by tier, cheapest first, inside one time budget, and end with one line in pytest's own form.

Tiers that compute have a worker per core, tiers that mostly wait for lines, processes and deadlines have more.
Exit code 0 only if every tier ran, found tests, and passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]

# The whole run takes less than half an hour on two idle cores: enough for every kill point, and short enough that
# people run it before they push. The limit leaves room for a machine that does something else as well.
BUDGET_S = 45 * 60


@dataclass(frozen=True)
class Tier:
    """One folder of tests, and how many run at once."""

    folder: str
    workers: int
    # How tests are shared out: whole files, or one by one where a few long tests would keep one worker busy alone.
    dist: str = "loadfile"


TIERS = (
    Tier("tests/architecture", 2),
    Tier("tests/unit", 2),
    Tier("tests/wire", 2),
    Tier("tests/ledger", 2),
    Tier("tests/links", 4, "load"),
    Tier("tests/cloud", 2),
    Tier("tests/contracts", 2, "load"),
    Tier("tests/system", 4, "load"),
    Tier("tests/integration", 3, "load"),
    Tier("tests/crash", 2, "load"),
    Tier("tests/acceptance", 4),
)


@dataclass
class Counts:
    """Tests by outcome; `error` also counts a tier that did not run to its end."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    error: int = 0

    def add(self, other: Counts) -> None:
        """Add another tier's counts."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.error += other.error

    def good(self) -> bool:
        """True when everything ran and passed: a skipped test is a test that did not run."""
        return self.passed > 0 and not (self.failed or self.skipped or self.error)

    def line(self, seconds: float) -> str:
        """The summary as pytest writes it, e.g. '3 failed, 120 passed in 61.20s'."""
        words = [f"{count} {name}" for name, count in vars(self).items() if count and name != "passed"]
        return ", ".join([*words, f"{self.passed} passed"]) + f" in {seconds:.2f}s"


def main(names: list[str]) -> int:
    """Run the tiers whose folder contains one of `names`, or all."""
    started = time.monotonic()
    total, broken = Counts(), []
    for tier in TIERS:
        if names and not any(name in tier.folder for name in names):
            continue
        left_s = BUDGET_S - (time.monotonic() - started)
        heading(f"{tier.folder} ({left_s / 60:.0f} min of the budget left)")
        counts = run(tier, left_s)
        total.add(counts)
        if not counts.good():
            broken.append(tier.folder)
    if broken:
        heading("not good: " + ", ".join(broken))
    print(f"===== {total.line(time.monotonic() - started)} =====", flush=True)
    return 0 if total.good() and not broken else 1


def heading(text: str) -> None:
    """A line that is easy to find in a long log."""
    print(f"\n== {text}", flush=True)


def run(tier: Tier, left_s: float) -> Counts:
    """Run one tier; what pytest cannot report itself (time over, crash, nothing collected) counts as one error."""
    if left_s <= 0:
        print(f"the budget of {BUDGET_S // 60} minutes is used up")
        return Counts(error=1)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", tier.folder, f"--junitxml={report}"]
        if tier.workers > 1:
            command += ["-n", str(tier.workers), "--dist", tier.dist]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            code = process.wait(timeout=left_s)
        except subprocess.TimeoutExpired:
            print(f"stopped: the budget of {BUDGET_S // 60} minutes is used up", flush=True)
            process.kill()
            process.wait()
            return Counts(error=1)
        counts = read_counts(report)
    if (code != 0 or counts.passed == 0) and not (counts.failed or counts.skipped or counts.error):
        counts.error += 1
    return counts


def read_counts(report: Path) -> Counts:
    """Counts of a JUnit report; zeros when pytest ended before it wrote one."""
    counts = Counts()
    if not report.exists():
        return counts
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314  (our own pytest wrote it)
        number = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
        counts.failed += number["failures"]
        counts.error += number["errors"]
        counts.skipped += number["skipped"]
        counts.passed += number["tests"] - number["failures"] - number["errors"] - number["skipped"]
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
