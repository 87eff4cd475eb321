"""What the errors on a line say about its wiring."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.technician.wiring import findings


def slave(asked: int = 1000, *, silent: int = 0, late: int = 0, breaker: str = "closed") -> dict[str, Any]:
    return {"asked": asked, "answered": asked - silent, "silent": silent, "late": late, "breaker": breaker}


def line(slaves: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"url": "/dev/bus", "down": None, "openings": 1, "noise_bytes": 0, "strays": 0, "slaves": slaves, **more}


def test_a_sound_line_has_no_findings() -> None:
    assert findings(line({"1": slave(silent=3), "2": slave()}, noise_bytes=5)) == []


def test_a_line_that_was_hardly_used_convicts_nobody() -> None:
    assert findings(line({"1": slave(5, silent=1)}, noise_bytes=9)) == []


@pytest.mark.parametrize(
    ("seen", "patterns"),
    [
        (line({"1": slave(silent=1000)}), ["all_silent"]),
        (line({"1": slave(silent=1000)}, noise_bytes=400), ["garbage"]),
        (line({"1": slave(silent=1000), "2": slave()}), ["one_silent"]),
        (line({"1": slave(silent=9, breaker="open"), "2": slave()}), ["one_silent"]),
        (line({"1": slave(silent=9, breaker="open"), "2": slave(breaker="probing")}), ["all_silent"]),
        (line({"1": slave(silent=9, breaker="open"), "2": slave(0)}), ["all_silent"]),
        (line({"1": slave(silent=30)}), ["lossy"]),
        (line({"1": slave(late=30)}), ["late"]),
        (line({"1": slave(4, silent=4, late=4), "2": slave()}), ["late"]),
        (line({"1": slave(silent=1000, late=3), "2": slave()}), ["one_silent"]),
        (line({"1": slave()}, noise_bytes=51), ["noisy"]),
        (line({"1": slave()}, strays=1), ["strays"]),
        (line({"1": slave()}, openings=4), ["adapter_lost"]),
        (line({}, down="no such device", openings=9), ["port_down"]),
        (line({}), []),
    ],
)
def test_a_pattern_is_found(seen: dict[str, Any], patterns: list[str]) -> None:
    assert [finding.pattern for finding in findings(seen)] == patterns


def test_the_slave_that_is_meant_is_named() -> None:
    (finding,) = findings(line({"1": slave(), "7": slave(silent=1000)}))
    assert finding.slave == "7"
