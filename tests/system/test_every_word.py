"""Every word of the command on the demo's machine: for people in two languages, for programs, without colour in a pipe.

`CASES` has each word once; a new word without its case fails here, one without help, manual or completion as well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from edge_agent.technician import chinese, completion, demo, desk, manual
from edge_agent.technician.cli import WORDS, parser
from edge_agent.technician.speech import Speech
from edge_agent.technician.words import Word

ROOT: Final = Path(__file__).resolve().parents[2]
DEADLINE_S: Final = 120
HAN: Final = re.compile(r"[\u4e00-\u9fff]")
DOCUMENTED: Final = {desk.OK, desk.FAILED, desk.USAGE, desk.UNREACHABLE, desk.SETTINGS, desk.INTERRUPTED}


@dataclass(frozen=True)
class Case:
    """How a word is asked, what goes before each time, and how it ends.

    `plain`: what it prints is no sentence, in whatever language. `json`: whether it answers in JSON.
    """

    arguments: str = ""
    code: int = desk.OK
    before: tuple[str, ...] = ()
    plain: bool = False
    json: bool = True


PORT: Final = "/nowhere/tty"

CASES: Final[dict[str, Case]] = {
    "status": Case(),
    "watch": Case("--every 0.2 --count 1"),
    "aisles": Case(),
    "test-aisle": Case("A1"),
    "sweep": Case("--aisle B1 --yes"),
    "load": Case("A2 1"),
    "count": Case("A3 5"),
    "lock": Case("A4 bent"),
    "unlock": Case("A4"),
    "pour": Case("900"),
    "stop": Case(),
    "sensors": Case(),
    "water": Case(),
    "pours": Case(),
    "new-filter": Case("1 --yes"),
    "calibrate": Case("--measured nobody=1000", desk.FAILED),
    "check-meter": Case("--measured nobody=1000", desk.FAILED),
    "bus": Case(),
    "faults": Case(),
    "clear": Case("drop_sensor", desk.FAILED),
    "reviews": Case(),
    "confirm-ledger": Case("--yes"),
    "outbox": Case(),
    "visit start": Case("--name Lin", before=("visit end",)),
    "visit show": Case(),
    "visit end": Case(before=("visit start",)),
    "profile list": Case(),
    "profile check": Case("pulse4"),
    "profile try": Case(f"pulse4 --port {PORT}", desk.FAILED),
    "profile move": Case(f"qdy30a --port {PORT} --to 9 --yes", desk.FAILED),
    "doctor": Case(code=desk.FAILED),  # no broker is there in the demo
    "bundle": Case("help.tar.gz", before=("!rm -f help.tar.gz",)),
    "demo": Case("nosuch", desk.FAILED),
    "simulate fault": Case("jam board/3"),
    "simulate mend": Case(),
    "simulate faults": Case("none"),
    "simulate door": Case("shut"),
    "simulate cable": Case("in"),
    "simulate power": Case(),
    "simulate temperature": Case("6"),
    # Far from where a test sets it before its wrap: what a meter gains between two looks is a leak, unless absurd.
    "simulate counter": Case("1000000000"),
    "simulate membrane": Case("10"),
    "simulate readdress": Case("salt --slave 12"),
    "simulate truth": Case(),
    # A script for a shell: neither a sentence nor an answer.
    "completion": Case("bash", plain=True, json=False),
}


def leaves(words: Sequence[Word] = WORDS, before: str = "") -> Iterator[tuple[str, Word]]:
    """Every word that does something, by all that is typed for it."""
    for word in words:
        path = f"{before} {word.name}".strip()
        if word.words:
            yield from leaves(word.words, path)
        else:
            yield path, word


EACH: Final = pytest.mark.parametrize("word", [path for path, _ in leaves()])


@dataclass(frozen=True)
class Stage:
    """A demo that goes on; `where` is what its shell would have in its environment."""

    where: dict[str, str]
    folder: Path

    def ask(self, what: str, language: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
        """The command at a pipe; `!` begins one of the shell."""
        command = f"{sys.executable} -m edge_agent.technician {what}" if what[:1] != "!" else what[1:]
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=environment(language) | self.where,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )


def environment(language: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "AISLE"))}
    return kept | {"LANG": language, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@contextmanager
def played(folder: Path) -> Iterator[Stage]:
    """The demo's shell is a cat that waits for the test to end."""
    names = (desk.SETTINGS_VARIABLE, demo.SIMULATOR_VARIABLE)
    shell = "echo " + " ".join(f"{name}=${name}" for name in names) + "; exec cat"
    playing = subprocess.Popen(
        [sys.executable, "-m", "edge_agent.technician", "demo", "--", "sh", "-c", shell],
        cwd=folder,
        env=environment("C.UTF-8"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert playing.stdout is not None
        told = dict(part.split("=", 1) for part in playing.stdout.readline().split())
        yield Stage(told, folder)
    finally:
        playing.communicate(timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with played(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


def test_every_word_has_its_case() -> None:
    assert CASES.keys() == {path for path, _ in leaves()}


@EACH
def test_a_word_speaks_two_languages_and_answers_programs(stage: Stage, word: str) -> None:
    case = CASES[word]
    for asked, language in ((word, "C.UTF-8"), (word, "zh_CN.UTF-8"), (f"--json {word}", "zh_CN.UTF-8")):
        for first in case.before:
            stage.ask(first)
        ended = stage.ask(f"{asked} {case.arguments}", language)
        assert ended.returncode == case.code, (asked, ended)
        assert case.code in DOCUMENTED
        assert "\x1b" not in ended.stdout + ended.stderr, "no colour in a pipe"
        if asked.startswith("--json"):
            if case.json:
                answered(ended, case)
        elif not case.plain:
            said = ended.stdout + ended.stderr
            assert said.strip()
            assert (HAN.search(said) is not None) == language.startswith("zh"), said


def answered(ended: subprocess.CompletedProcess[str], case: Case) -> None:
    """One line of JSON; of what is refused, why. A bad finding is an answer as well."""
    (line,) = ended.stdout.splitlines()
    answer: Any = json.loads(line)
    if case.code == desk.FAILED and isinstance(answer, dict):
        assert answer["error"].keys() == {"reason", "detail"}


@EACH
def test_a_word_has_help_a_manual_and_completion(word: str) -> None:
    found = dict(leaves())[word]
    assert chinese.SENTENCES[found.about]
    assert all(chinese.SENTENCES[one.about] for one in found.arguments)
    entry = word.replace("-", r"\-")
    assert f"\\fB{entry}\\fR" in manual.page()
    for shell in completion.SHELLS:
        script = completion.script(shell, parser(Speech("en")))
        assert all(part in script for part in word.split())
        for one in found.arguments:
            assert all(name in script for name in one.names if name.startswith("--")), (shell, one)


WATCHING: Final = "watch --every 0.2"


@pytest.mark.parametrize(
    "asked", ["status", "--json status", "--json clear nothing", WATCHING, f"--json {WATCHING}", "completion bash"]
)
def test_an_answer_that_a_full_disk_does_not_take_is_told_as_such(stage: Stage, asked: str) -> None:
    ended = stage.ask(f"{asked} > /dev/full", "zh_CN.UTF-8")
    assert (ended.returncode, ended.stderr) == (desk.FAILED, "aislectl: 输出无法写入: 磁盘已满\n")


@pytest.mark.parametrize("asked", [WATCHING, f"--json {WATCHING}"])
def test_whoever_reads_no_further_ends_it_in_silence(stage: Stage, asked: str) -> None:
    ended = stage.ask(f"{asked} | head -c 20")
    assert (len(ended.stdout), ended.stderr) == (20, "")


@pytest.mark.parametrize("asked", ["status", "--json status", "completion bash", "watch --count 1", "bundle help2.tgz"])
def test_a_closed_output_is_told_as_such(stage: Stage, asked: str) -> None:
    ended = stage.ask(f"{asked} >&-", "zh_CN.UTF-8")
    assert (ended.returncode, ended.stderr) == (desk.FAILED, "aislectl: 输出无法写入: 标准输出已关闭\n")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("fault dead nosuch", "device = 'nosuch', expected one of valves, meter"),
        ("fault flu", "fault kind = 'flu', expected one of noise"),
        ("fault jam board/x", "board/x: expected a device, or board/MOTOR or valves/RELAY"),
        ("fault jam board/99", "motor = 99, expected one of board 1: 0 to 11"),
        ("fault stuck_open valves/7", "outlet = 7, expected one of [1, 2]"),
        ("readdress meter", "nothing to change: give --slave, --baud or both"),
    ],
)
def test_what_cannot_go_wrong_here_is_named(stage: Stage, asked: str, told: str) -> None:
    ended = stage.ask(f"simulate {asked}")
    assert ended.returncode == desk.FAILED
    assert told in ended.stderr


def test_one_device_goes_wrong_and_is_mended_alone(stage: Stage) -> None:
    """The meter at another address is a silent meter, and the board beside it goes on."""

    def faults() -> set[str]:
        return {fault["code"] for fault in json.loads(stage.ask("--json faults").stdout)}

    def until(code: str, there: bool) -> None:
        until = time.monotonic() + DEADLINE_S
        while (code in faults()) is not there:
            assert time.monotonic() < until, (code, there, faults())

    stage.ask("simulate mend")
    stage.ask("simulate readdress meter --slave 21")
    until("meter_silent", there=True)
    stage.ask("simulate readdress meter --slave 11")
    until("meter_silent", there=False)
    stage.ask("simulate fault dead board")
    stage.ask("simulate fault dead salt")
    until("board_silent", there=True)
    assert json.loads(stage.ask("--json pour 200").stdout)["poured_ml"] > 100
    stage.ask("simulate mend dead board")
    until("board_silent", there=False)
    stage.ask("simulate mend")


def test_a_pour_that_ends_early_has_not_succeeded(stage: Stage) -> None:
    stage.ask("simulate fault no_pressure")
    ended = stage.ask("pour 200")
    stage.ask("simulate mend")
    assert (ended.returncode, "nothing flowed" in ended.stdout) == (desk.FAILED, True), ended


def test_the_truth_of_a_wrap_and_of_a_worn_membrane(stage: Stage) -> None:
    """What the simulator's own account says beside what the meter counts."""
    stage.ask("simulate counter 4294967280")
    before = json.loads(stage.ask("--json simulate truth").stdout)["water"]
    poured = json.loads(stage.ask("--json pour 300").stdout)["poured_ml"]
    stage.ask("simulate membrane 120")
    after = json.loads(stage.ask("--json simulate truth").stdout)["water"]
    assert poured == pytest.approx((after["poured_ul"] - before["poured_ul"]) / 1000, abs=5)
    assert after["tds_out_ppm"] > 5 * before["tds_out_ppm"]
    stage.ask("simulate membrane 10")


def test_without_any_stream_it_still_ends_as_it_should(stage: Stage) -> None:
    assert stage.ask("load A2 1 <&- 2>&-").returncode == desk.OK
    assert stage.ask("status <&- >&- 2>&-").returncode == desk.FAILED


def test_a_width_that_is_no_number_is_not_believed(stage: Stage) -> None:
    ended = stage.ask(f"!COLUMNS=wide {sys.executable} -m edge_agent.technician faults | cat")
    assert "no fault holds" in ended.stdout


def test_a_session_that_is_lost_during_a_sweep_loses_nothing_of_it(stage: Stage) -> None:
    """The motor that turns ends its turn; what fell is booked out, and stands in the visit, which goes on."""
    stage.ask("visit end")
    stage.ask("visit start --name Lin")
    before = stocked(stage)
    # Whoever runs the tests may ignore hangups (nohup does), and children would inherit it.
    heard = ["env", "--default-signal=HUP"]
    sweeping = subprocess.Popen(
        [*heard, sys.executable, "-m", "edge_agent.technician", "sweep", "--yes"],
        env=environment("C.UTF-8") | stage.where,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + DEADLINE_S
    while not json.loads(stage.ask("--json status").stdout)["busy"]:
        assert time.monotonic() < until
    sweeping.send_signal(signal.SIGHUP)
    assert sweeping.wait(DEADLINE_S) == -signal.SIGHUP
    while json.loads(stage.ask("--json status").stdout)["busy"]:
        assert time.monotonic() < until
    actions = json.loads(stage.ask("--json visit end").stdout)["actions"]
    turned = [action for action in actions if "test_aisle" in action]
    assert 1 <= len(turned) < 12
    assert stocked(stage) == before - sum("delivered" in action for action in turned)


def stocked(stage: Stage) -> int:
    return sum(row["on_hand"] for row in json.loads(stage.ask("--json aisles").stdout))
