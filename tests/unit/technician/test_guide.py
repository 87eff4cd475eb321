"""The guide has a page for everything that goes wrong, in both languages, and names only words that there are."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from edge_agent.ledger import inbox, outbox
from edge_agent.technician import chinese
from edge_agent.technician.cli import WORDS
from edge_agent.technician.wiring import Pattern
from edge_agent.vend import aisles
from shared import messages
from tests.architecture.tree import modules

GUIDE = Path(__file__).resolve().parents[3] / "docs/technician"
LANGUAGES = ("en", "zh")

# Where a fault begins, by the name of what is called: which argument holds its code.
RAISERS = {"raise_fault": 1, "FaultChanged": "code", "Answering": 0, "_lose": 1, "_raise": 0}


def raised_faults() -> set[str]:
    """Every fault that the agent can raise, as its sources say."""
    codes: set[str] = set()
    for module in modules("edge_agent"):
        names = vars(importlib.import_module(module.name))
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            place = RAISERS.get(ast.unparse(node.func).rpartition(".")[2])
            named = [keyword.value for keyword in node.keywords if keyword.arg == place]
            for code in [node.args[place]] if isinstance(place, int) else named:
                # A constant or its name. A variable carries what another call of these was given, or a refusal (below).
                if isinstance(code, ast.Constant):
                    codes.add(str(code.value))
                elif isinstance(code, ast.Name) and code.id.isupper():
                    codes.add(names[code.id])
    refusals = inspect.getsource(inbox.accept_command) + inspect.getsource(outbox.acknowledge)
    return codes | set(re.findall(r'raise Refused\(\s*"(\w+)"', refusals))


FAULTS = raised_faults()
LOCKS = {"jam", "open_motor", "refused", "nothing_seen", "motor_fault"}
POURS = set(get_args(messages.PourReason)) - {"target", "stopped", "max_volume", "power_lost"}


def pages(language: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((GUIDE / language).glob("*.md"))}


def test_the_faults_were_found_in_the_sources() -> None:
    assert {"board_silent", "board_wrong", "water_leak", "uplink_denied", "watermark_ahead", "stopped"} <= FAULTS


def test_every_fault_has_a_name_and_a_fix_in_both_languages() -> None:
    assert FAULTS - chinese.WORDS.keys() == set()
    assert chinese.FIXES.keys() == FAULTS | set(get_args(Pattern))


def test_both_languages_have_the_same_pages() -> None:
    assert pages("en").keys() == pages("zh").keys()
    assert len(pages("en")) > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_lock_pattern_and_pour_end_has_its_page(language: str) -> None:
    told = {word for name, text in pages(language).items() if name != "README.md" for word in code(text)}
    assert (FAULTS | LOCKS | POURS | set(get_args(Pattern)) - {"port_down"}) - told == set()


def code(text: str) -> set[str]:
    """The words in backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def test_the_locks_of_the_guide_are_those_of_the_vend() -> None:
    reasons = {aisles.closing_reason(reason, None) for reason in get_args(messages.FailReason)}
    riddles = {aisles.closing_reason(None, reason) for reason in get_args(messages.UnknownReason)}
    assert (reasons | riddles) - {None} == LOCKS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_says_what_it_means_what_to_look_at_and_what_to_do(language: str) -> None:
    heads = ["What it means", "What to look at", "What to do"] if language == "en" else ["含义", "检查什么", "怎么办"]
    for name, text in pages(language).items():
        if name != "README.md":
            assert re.findall(r"^## (.*)$", text, re.MULTILINE) == heads, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_command_that_is_named_exists(language: str) -> None:
    known = {word.name for word in WORDS} | {f"{word.name} {below.name}" for word in WORDS for below in word.words}
    named = {
        (name, match)
        for name, text in pages(language).items()
        for match in re.findall(r"`aislectl ([a-z][a-z-]*(?: (?:start|end|show|list|check|try)\b)?)", text)
    }
    assert len(named) > 20
    assert [pair for pair in sorted(named) if pair[1] not in known] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_index_says_how_a_fault_shows_as_its_page_does(language: str) -> None:
    rows = re.findall(r"^\| \[(.*)\]\(([a-z-]+\.md)\) \| (.*) \|$", pages(language)["README.md"], re.MULTILINE)
    index = {name: (title, shows) for title, name, shows in reversed(rows)}
    told = {name: text.split("\n")[:3:2] for name, text in pages(language).items() if name != "README.md"}
    assert {name: (f"# {title}", shows) for name, (title, shows) in index.items()} == {
        name: tuple(lines) for name, lines in told.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_leads_to_a_page(language: str) -> None:
    links = {
        (name, target) for name, text in pages(language).items() for target in re.findall(r"\]\(([^)]+\.md)\)", text)
    }
    assert [link for link in sorted(links) if not (GUIDE / language / link[1]).is_file()] == []
    index = pages(language)["README.md"]
    assert [name for name in pages(language) if name != "README.md" and f"({name})" not in index] == []
