"""Every word of the command on the demo's machine: for people in two languages, for programs, without colour in a pipe.

`CASES` has each word once; a new word without its case fails here, one without help, manual or completion as well.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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
    "simulate": Case("temperature 6"),
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
