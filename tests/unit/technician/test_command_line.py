"""The command line: its words, its manual page, its completion."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edge_agent.technician import completion, desk, manual
from edge_agent.technician.cli import WORDS, main, parser
from edge_agent.technician.speech import Speech
from edge_agent.technician.words import Number, Word

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


# Every argument that takes a number, and numbers that it does not take.
ODD = {
    "watch --every": ("nan", "inf", "-1", "0", "0.1", "61", "1e9"),
    "watch --count": ("-1", "0", "1.5", "99999999999999999999"),
    "sweep --board": ("0", "-1", "5"),
    "load A1": ("10001", "-10001", "1.5"),
    "count A1": ("-1", "10001"),
    "pour": ("0", "-1", "1000001"),
    "new-filter": ("0", "-1", "21"),
    "calibrate --ml": ("0", "-1", "1000001"),
    "calibrate --runs": ("0", "-1", "21"),
    "check-meter --ml": ("0", "-1", "1000001"),
    "profile try pulse4 --port p --slave": ("0", "-1", "248"),
    "profile try pulse4 --port p --baud": ("0", "-1", "4000001"),
    "profile move pulse4 --port p --slave": ("0", "248"),
    "profile move pulse4 --port p --baud": ("0",),
    "profile move pulse4 --port p --to": ("0", "-1", "248"),
    "profile move pulse4 --port p --to-baud": ("0", "-1"),
    "simulate temperature": ("-41", "121", "nan"),
    "simulate counter": ("-1", "4294967296"),
    "simulate membrane": ("-1", "151"),
    "simulate readdress salt --slave": ("0", "248"),
    "simulate readdress salt --baud": ("0",),
}


@pytest.mark.parametrize(("before", "number"), [(one, odd) for one, odds in ODD.items() for odd in (*odds, "many", "")])
def test_a_number_that_cannot_be_ends_with_2_and_names_the_range(
    before: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*before.split(), number])
    assert ended.value.code == desk.USAGE
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"{re.escape(number)}: expected a (whole )?number from \S+ to \d+$", said), said


def test_every_argument_that_takes_a_number_is_tried() -> None:
    def numbers(words: Sequence[Word], before: str = "") -> Iterator[tuple[str, str]]:
        for word in words:
            yield from numbers(word.words, f"{before}{word.name} ")
            for one in word.arguments:
                if isinstance(dict(one.options).get("type"), Number):
                    yield before + word.name, one.names[0] if one.names[0].startswith("--") else ""

    for path, option in numbers(WORDS):
        assert any(tried.startswith(path) and tried.endswith(option) for tried in ODD), (path, option)


@pytest.mark.parametrize("measured", ["s1", "=1", "s1=", "s1=0", "s1=x", "s1=-1", "s1=²", "s1=1000001", "s 1=5"])
@pytest.mark.parametrize("word", ["calibrate", "check-meter"])
def test_a_measured_pour_is_its_name_and_millilitres(
    word: str, measured: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, "--measured", measured])
    assert ended.value.code == desk.USAGE
    assert f"{measured}: expected POUR=MILLILITRES, 1 to 1000000" in capsys.readouterr().err


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
