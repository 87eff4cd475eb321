"""The guide has a page for everything that goes wrong, in both languages, and names only words that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge_agent import watch as machine_watch
from edge_agent.pour import session as pour_session
from edge_agent.pour import watch as pour_watch
from edge_agent.technician.cli import WORDS
from edge_agent.technician.wiring import Pattern
from edge_agent.vend import aisles
from edge_agent.vend import session as vend_session
from shared import messages

GUIDE = Path(__file__).resolve().parents[3] / "docs/technician"
LANGUAGES = ("en", "zh")

FAULTS = {
    machine_watch.SILENT,
    machine_watch.WRONG_BOARD,
    machine_watch.SENSOR_BLOCKED,
    machine_watch.STOPPED,
    machine_watch.OLD_COPY,
    vend_session.BLIND_SENSOR,
    pour_session.LEAK,
    pour_watch.METER_SILENT,
    pour_watch.DRIFT,
    "uplink_denied",
    "uplink_stalled",
}
LOCKS = {"jam", "open_motor", "refused", "nothing_seen", "motor_fault"}
POURS = set(get_args(messages.PourReason)) - {"target", "stopped", "max_volume", "power_lost"}


def pages(language: str) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((GUIDE / language).glob("*.md"))}


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
def test_every_link_leads_to_a_page(language: str) -> None:
    links = {
        (name, target) for name, text in pages(language).items() for target in re.findall(r"\]\(([^)]+\.md)\)", text)
    }
    assert [link for link in sorted(links) if not (GUIDE / language / link[1]).is_file()] == []
    index = pages(language)["README.md"]
    assert [name for name in pages(language) if name != "README.md" and f"({name})" not in index] == []
