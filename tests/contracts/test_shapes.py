"""A checker that lets everything through would make every contract green."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.shapes import contains, mismatches


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("string", ""),
        ("integer(1/3)", 3),
        ("string|null", None),
        ("integer|string", "7"),
        ("money", 0.02),
        ("unix", 1_795_147_200),
        ("iso", "2026-11-20T04:00:00Z"),
        ("iso", ""),
        ("secret", ""),
        ({"a": "integer"}, {"a": 1, "more": "is allowed"}),
        ([{"a": "integer"}], []),
        ({}, {"anything": 1}),
    ],
)
def test_what_fits(shape: Any, value: Any) -> None:
    assert mismatches(shape, value) == []


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("string", None),
        ("integer", True),
        ("integer", 1.0),
        ("integer(1/3)", 2),
        ("money", 0.019999),
        ("number", float("nan")),
        ("unix", 1_795_147_200_000),
        ("iso", "2026-11-20"),
        ("secret", "swordfish"),
        ("dated", "D20171221XXXX000123456789"),
        ({"a": "integer"}, {}),
        ({"a": {"b": "integer"}}, {"a": {"b": "1"}}),
        ([{"a": "integer"}], [{"a": 1}, {}]),
        ({}, []),
        ([{}], {}),
    ],
)
def test_what_does_not(shape: Any, value: Any) -> None:
    assert len(mismatches(shape, value)) == 1


def test_what_an_answer_contains() -> None:
    assert contains({"list": [{"a": 1, "b": 2}, {"a": 2}], "more": 0}, {"list": [{"a": 2}, {"b": 2}]})
    assert not contains({"list": [{"a": 1}]}, {"list": [{"a": 1}, {"a": 1}]})
    assert not contains({"list": [1]}, {"list": []})
    assert not contains({"state": True}, {"state": 1})
