"""The project's two commands: what they call is there, and the test runner cannot call red green."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """scripts/run_tiers.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("run_tiers", ROOT / "scripts/run_tiers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_make_alone_lists_the_words() -> None:
    listed = make().stdout
    for word in ("demo", "serve", "test", "check", "bench", "clean", "help"):
        assert re.search(rf"^  make {word} +\S", listed, re.MULTILINE), word


def test_the_demo_gets_its_variables() -> None:
    command = make("-n", "demo", "SECONDS=60", "SEED=7", "FAULTS=all", "QUIET=1").stdout.splitlines()[-1]
    assert command.endswith("-m firmware_sim.demo --seconds 60 --seed 7 --faults all --quiet")
    assert make("-n", "demo").stdout.splitlines()[-1].strip().endswith("-m firmware_sim.demo")


def test_serve_gets_its_port_and_folder() -> None:
    command = make("-n", "serve", "PORT=9000", "DATA=/srv/data").stdout.splitlines()[-1]
    assert command.strip().endswith("-m cloud all --port 9000 --data /srv/data")
    command = make("-n", "serve", "LOAD=shops.xlsx").stdout.splitlines()[-1]
    assert command.endswith("--data ./var --load 'shops.xlsx'")


def test_continuous_integration_runs_what_people_run() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


def test_every_folder_of_tests_is_in_a_tier(runner: ModuleType) -> None:
    tiers = {tier.folder for tier in runner.TIERS}
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if "__pycache__" not in path.parts]
    assert {"tests/" + path.relative_to(ROOT / "tests").parts[0] for path in tests} <= tiers


@pytest.mark.parametrize(
    ("body", "summary", "good"),
    [
        ("def test_a(): pass", "1 passed", True),
        ("def test_a(): pass\ndef test_b(): assert False", "1 failed, 1 passed", False),
        ("import pytest\n@pytest.fixture\ndef x(): 1 / 0\ndef test_a(x): pass", "1 error, 0 passed", False),
        ("import pytest\ndef test_a(): pytest.s" + "kip('no tool')", "1 skipped, 0 passed", False),
        ("import nowhere", "1 error, 0 passed", False),
        ("x = 1", "1 error, 0 passed", False),
        ("import os\ndef test_a(): os._exit(0)", "1 error, 0 passed", False),
    ],
    ids=["green", "failed", "error", "skipped", "import error", "no tests", "crash with exit code 0"],
)
def test_the_runner_counts_what_happened(
    runner: ModuleType, tmp_path: Path, body: str, summary: str, good: bool
) -> None:
    (tmp_path / "test_sample.py").write_text(body, encoding="utf-8")
    counts = runner.run(runner.Tier(str(tmp_path), 1), 60.0)
    assert counts.line(1.0) == f"{summary} in 1.00s"
    assert counts.good() is good


def test_a_tier_that_outlasts_the_budget_is_an_error(runner: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text("import threading\ndef test_a(): threading.Event().wait()")
    assert runner.run(runner.Tier(str(tmp_path), 1), 3.0).good() is False
    assert runner.run(runner.Tier(str(tmp_path), 1), 0.0).good() is False


def test_udev_rules_are_well_formed() -> None:
    """udevadm of Debian 12 cannot verify rules: every line must be a list of KEY operator "value"."""
    part = r'[A-Z_]+(\{[A-Za-z_]+\})?(==|!=|\+=|:=|=)"[^"]*"'
    lines = (ROOT / "systemd/99-aisleflow.rules").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert [rule for rule in rules if not re.fullmatch(rf"{part}(, {part})*", rule)] == []
    assert set(re.findall(r'GOTO="(\w+)"', "\n".join(rules))) == set(re.findall(r'LABEL="(\w+)"', "\n".join(rules)))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout, as a person would: no variables of an outer make."""
    clean = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    clean = {name: value for name, value in clean.items() if name not in {"SECONDS", "SEED", "FAULTS", "PORT", "DATA"}}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
