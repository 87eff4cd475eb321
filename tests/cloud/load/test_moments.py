"""Moments as people and spreadsheets write them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.limits import MOMENT_END_MS
from cloud.load.moments import moment_ms, moment_text

# 2026-11-29 10:44:00 in China.
AT_MS = 1_795_920_240_000


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("2026-11-29T10:44:00+08:00", AT_MS),
        ("2026-11-29T02:44:00Z", AT_MS),
        ("2026-11-29 10:44", AT_MS),
        ("2026/11/29 10:44:00.5", AT_MS + 500),
        ("2026.11.29 10:44:00", AT_MS),
        ("2026年11月29日 10:44", AT_MS),
        (" 2026-11-29T10:44:00+0800 ", AT_MS),
        ("2026-11-29", AT_MS - (10 * 60 + 44) * 60_000),
        (datetime(2026, 11, 29, 10, 44), AT_MS),  # noqa: DTZ001 - a spreadsheet's own date bears no zone
        (date(2026, 11, 29), AT_MS - (10 * 60 + 44) * 60_000),
    ],
)
def test_what_bears_no_offset_is_of_china(written: Any, ms: int) -> None:
    assert moment_ms(written) == ms


@pytest.mark.parametrize(
    "written", ["yesterday", "2026-13-01", "2026-11-29 25:00", "29.11.2026", "2026-11-29T10:44+99:00", 7, ""]
)
def test_what_is_no_moment_comes_back_for_its_type_to_refuse(written: Any) -> None:
    assert moment_ms(written) == written


@given(st.integers(0, MOMENT_END_MS - 1))
def test_a_moment_reads_back_as_it_was(ms: int) -> None:
    assert moment_ms(moment_text(ms)) == ms
