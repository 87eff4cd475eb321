"""The live screen on terminals of all sizes: the state and the faults are never lost, water comes before aisles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_agent.technician import live
from edge_agent.technician.desk import Desk
from edge_agent.technician.speech import Language, Speech

SIZES = ((40, 20), (60, 20), (80, 24), (120, 40))
LANGUAGES: tuple[Language, ...] = ("zh", "en")

STATUS: dict[str, Any] = {
    "machine": "p-1",
    "selling": False,
    "reason": "the door is open",
    "busy": False,
    "boards_down": {},
    "door_open": True,
    "temperature": "normal",
    "connected": False,
    "not_connected_because": "the broker refused the connection: Not authorized",
    "facts_waiting": 12,
    "config_version": 3,
    "disk_free_bytes": 2**31,
    "epoch": "e" * 21,
}
WATER: dict[str, Any] = {
    "giving": False,
    "pouring_ml": None,
    "pulses_per_litre_milli": 450_000,
    "plan": {"plan": "R1", "mode": "timed_rental", "left_ml": None, "left_ms": 0},
    "filters": [
        {"position": place, "name": f"RO {place}", "condition": "good", "percent_left": 50} for place in range(1, 6)
    ],
    "display": {"zh": "租期已到，请续费", "en": "The rental has ended. Please renew it"},
}
LINE: dict[str, Any] = {
    "url": "/dev/serial/by-id/usb-left",
    "down": None,
    "slaves": {
        str(slave): {"asked": 100, "silent": 3, "late": 1, "latency_ms_mean": 12.3, "breaker": "open"}
        for slave in range(1, 9)
    },
}


def faults(count: int) -> list[dict[str, str]]:
    return [
        {"code": "board_silent", "scope": f"board-{number}", "detail": "no answer for ten seconds, ten times in a row"}
        for number in range(1, count + 1)
    ]


def aisles(count: int, locked: int = 0) -> list[dict[str, Any]]:
    return [
        {"aisle": f"A{number}", "on_hand": 5, "locked": "jam" if number <= locked else None}
        for number in range(1, count + 1)
    ]


def picture(*, water: bool, shelf: int, broken: int) -> dict[str, Any]:
    seen: dict[str, Any] = {"status": STATUS, "faults": faults(broken), "aisles": aisles(shelf, 2), "bus": [LINE]}
    return seen | ({"water": WATER, "sensors": {"tds_out_ppm": 13}} if water else {})


def screen(picture: dict[str, Any], size: tuple[int, int], language: Language = "en") -> list[str]:
    paper = Console(file=io.StringIO(), width=size[0], height=size[1])
    desk = Desk(Speech(language), paper, paper, False, Path("/nowhere"))
    return [line.plain for line in live.render(picture, None, 1_000, desk, 0)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("broken", [0, 1, 9])
def test_state_faults_and_water_are_seen_on_every_screen(
    size: tuple[int, int], language: Language, broken: int
) -> None:
    lines = screen(picture(water=True, shelf=60, broken=broken), size, language)
    text = "\n".join(lines)
    assert len(lines) <= size[1]
    assert "p-1" in lines[0]
    wanted = ["门开着", "消息服务器拒绝登录", "租期已到"]
    english = ["the door is open", "the broker refused", "The rental has ended"]
    assert all(part in text for part in (wanted if language == "zh" else english)), text
    assert all(f"board-{number}" in text for number in range(1, min(broken, 3) + 1)), text


def test_a_large_window_shows_everything() -> None:
    text = "\n".join(screen(picture(water=True, shelf=60, broken=9), (120, 50)))
    assert " more" not in text
    assert all(word in text for word in ("board-9", "RO 5", "A60 5", "8: 12 ms Silent 3 Late 1", "Ledger eee"))


def test_what_is_missing_on_a_small_one_is_counted() -> None:
    text = "\n".join(screen(picture(water=False, shelf=60, broken=9), (40, 20)))
    assert "Faults 9" in text
    assert "Aisles 60, 2 closed" in text
    assert text.count(" more ") >= 2


def test_water_comes_before_aisles_and_neither_is_shown_where_there_is_none() -> None:
    def headings(**made: Any) -> list[str]:
        lines = screen(picture(broken=0, **made), (80, 40))[1:]
        return [line.split()[1] for line in lines if line.startswith("──")]

    assert headings(water=True, shelf=4) == ["Faults", "Water", "Aisles", "Line", "Machine"]
    assert headings(water=True, shelf=0) == ["Faults", "Water", "Line", "Machine"]
    assert headings(water=False, shelf=4) == ["Faults", "Aisles", "Line", "Machine"]
    assert headings(water=False, shelf=0) == ["Faults", "Aisles", "Line", "Machine"]


def test_a_pour_is_seen_while_it_runs_and_a_line_that_is_down_says_why() -> None:
    seen = picture(water=True, shelf=0, broken=0)
    seen["water"] = WATER | {"giving": True, "pouring_ml": 340}
    seen["bus"] = [LINE | {"down": "/dev/x: in use by another program: a second agent"}]
    text = "\n".join(screen(seen, (80, 24)))
    assert "pouring 340 ml" in text
    assert "down: /dev/x: in use" in text
