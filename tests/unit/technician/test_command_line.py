"""The command line: its words, its manual page, its completion."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.technician import completion, desk, manual
from edge_agent.technician.cli import WORDS, main, parser
from edge_agent.technician.speech import Speech

ROOT = Path(__file__).resolve().parents[3]

ASKED_FOR = (
    "status watch aisles test-aisle sweep load count pour calibrate sensors bus faults clear outbox visit profile"
    " doctor bundle demo"
)


def test_every_word_that_a_technician_needs_is_there() -> None:
    assert set(ASKED_FOR.split()) <= {word.name for word in WORDS}


def test_the_manual_page_is_that_of_this_command_line() -> None:
    assert (ROOT / "docs/aislectl.1").read_text(encoding="utf-8") == manual.page(), (
        "python -m edge_agent.technician.manual > docs/aislectl.1"
    )


def test_the_manual_page_is_good_roff() -> None:
    checked = subprocess.run(
        ["man", "--warnings", "-l", "docs/aislectl.1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "test-aisle AISLE" in checked.stdout


@pytest.mark.parametrize("language", ["zh", "en"])
def test_help_is_there_in_both_languages(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser(Speech(language)).parse_args(["--help"])  # type: ignore[arg-type]
    assert ended.value.code == desk.OK
    assert ("转动" in capsys.readouterr().out) is (language == "zh")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["load", "A1"], ["load", "A1", "many"], ["visit"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == desk.USAGE
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--json", "status"], ["status", "--json"]])
def test_json_is_understood_before_and_after_the_word(arguments: list[str]) -> None:
    assert parser(Speech("en")).parse_args(arguments).json is True


def complete(*typed: str) -> set[str]:
    """What bash offers after these words; the last one is being typed."""
    script = completion.script("bash", parser(Speech("en")))
    words = " ".join(f"'{word}'" for word in ("aislectl", *typed))
    ask = f'COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _aislectl; echo "${{COMPREPLY[@]}}"'
    told = subprocess.run(["bash", "-euc", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


def test_bash_completes_words_and_options() -> None:
    assert complete("st") == {"status", "stop"}
    assert complete("visit", "") >= {"start", "end", "show"}
    assert complete("--json", "profile", "t") == {"try"}
    assert "--yes" in complete("sweep", "--")
    assert complete("completion", "z") == {"zsh"}


def in_zsh(*typed: str) -> set[str]:
    """What the function adds in zsh; choosing by what was typed, and the rest of its system, need a terminal."""
    script = completion.script("zsh", parser(Speech("en")))
    words = " ".join(f"'{word}'" for word in ("aislectl", *typed))
    there = "compdef() { }; compadd() { shift; print -l -- $@ }"
    ask = f"words=({words}); CURRENT={len(typed) + 1}; _aislectl; print PATH=$PATH"
    told = subprocess.run(["zsh", "-fc", f"{there}\n{script}\n{ask}"], capture_output=True, text=True, check=True)
    *added, path = told.stdout.splitlines()
    assert path == f"PATH={os.environ['PATH']}", "path is a word of zsh itself"
    return {word for word in added if word.startswith(typed[-1])}


def in_fish(*typed: str) -> set[str]:
    """What fish offers, by its own word for asking."""
    script = completion.script("fish", parser(Speech("en")))
    ask = f"complete -C '{' '.join(('aislectl', *typed))}'"
    told = subprocess.run(["fish", "--no-config", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


@pytest.mark.parametrize("shell", [in_zsh, in_fish])
def test_zsh_and_fish_offer_the_same(shell: Callable[..., set[str]]) -> None:
    assert shell("st") == {"status", "stop"}
    assert shell("visit", "") >= {"start", "end", "show"}
    assert shell("--json", "profile", "t") == {"try"}
    assert "--yes" in shell("sweep", "--")
    assert shell("completion", "z") == {"zsh"}
