"""The contracts as data: which operations a dialect has, what they are asked and what they must answer.

One YAML file holds one module of a dialect:

    - ask: POST /vendor_get.php get_vendor_list   # method, path as documented, and the flag where there is one
      id: "1.0"                                   # the number in the documentation
      as: keeper                                  # who asks unless a case says otherwise: a caller of the world
      told: {...}                                 # the shape of what comes inside the envelope (shapes.py)
      holds: [never faulty, ...]                  # rules that every answer keeps (rules.py), by name
      cases:
        - name: as documented
          send: {...}                             # the body
          query: {...}  path: {UID: $anna}        # the query and the names in the path
          form: true                              # the body as a form instead of JSON
          refused: true | 403 | [400, 422]        # not answered, and with which status where the dialect has one
          expect: {...}                           # what the answer contains
          refute: {...}                           # and what it does not
          keep: {fault: fault_list.0.fault_id}    # values for `$fault` later on
          before: [...]  then: [...]              # other asks, each a case with `ask: ID`, checked like this one

`$name` in a case is a value of the world or one that was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.contracts.shapes import Shape

HERE = Path(__file__).parent

_CASE_WORDS = {
    *("name", "ask", "as", "send", "query", "path", "headers", "form", "refused", "expect", "refute", "keep"),
    *("before", "then", "hold"),
}
_OPERATION_WORDS = {"ask", "id", "as", "told", "rows", "adds", "holds", "cases", "status", "optional"}


@dataclass(frozen=True, slots=True)
class Case:
    """One request and what is known of its answer."""

    operation: str
    name: str = ""
    caller: str | None = None
    send: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: bool = False
    # () answered; statuses with which it is refused, or (0,) for any.
    refused: tuple[int, ...] = ()
    expect: Any = None
    refute: Any = None
    keep: Mapping[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    before: tuple[Case, ...] = ()
    then: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Documented:
    """One operation of the documentation."""

    id: str
    method: str
    path: str
    flag: str | None
    caller: str
    # What the envelope holds: `told` an object, `rows` a list under this name, `adds` extra names on top.
    told: Shape | None
    rows: str | None
    adds: Mapping[str, Shape]
    holds: tuple[str, ...]
    status: int | None
    cases: tuple[Case, ...]

    @property
    def pair(self) -> tuple[str, str, str | None]:
        """What a client selects it by."""
        return self.method, self.path, self.flag


# The file of a dialect with what it serves beyond its documentation.
EXTRA = "extra.yaml"


@cache
def contract(dialect: str) -> dict[str, Documented]:
    """All documented operations of a dialect, by id."""
    return _read(file for file in sorted((HERE / dialect).glob("*.yaml")) if file.name != EXTRA)


@cache
def extra(dialect: str) -> dict[str, Documented]:
    """What the dialect serves beyond its documentation, by id."""
    return _read([HERE / dialect / EXTRA])


def _read(files: Iterable[Path]) -> dict[str, Documented]:
    found: dict[str, Documented] = {}
    for file in files:
        for raw in yaml.safe_load(file.read_text("utf-8")):
            operation = _operation(raw, file.name)
            assert operation.id not in found, f"{file.name}: {operation.id} is described twice"
            found[operation.id] = operation
    return found


def _operation(raw: dict[str, Any], file: str) -> Documented:
    unknown = raw.keys() - _OPERATION_WORDS
    assert not unknown, f"{file}: {raw.get('id')}: unknown {sorted(unknown)}"
    method, path, *flag = raw["ask"].split()
    return Documented(
        id=str(raw["id"]),
        method=method,
        path=path,
        flag=flag[0] if flag else None,
        caller=raw["as"],
        told=raw.get("told"),
        rows=raw.get("rows"),
        adds=raw.get("adds", {}),
        holds=tuple(raw.get("holds", ())),
        status=raw.get("status"),
        cases=tuple(_case(case, str(raw["id"]), file) for case in raw["cases"]),
    )


def _case(raw: dict[str, Any], operation: str, file: str) -> Case:
    unknown = raw.keys() - _CASE_WORDS
    assert not unknown, f"{file}: {operation}: unknown {sorted(unknown)}"
    asked = str(raw.get("ask", operation))
    refused = raw.get("refused", ())
    return Case(
        operation=asked,
        name=raw.get("name", ""),
        caller=raw.get("as"),
        send=raw.get("send"),
        query=raw.get("query", {}),
        path=raw.get("path", {}),
        headers=raw.get("headers", {}),
        form=raw.get("form", False),
        refused=(0,) if refused is True else (refused,) if isinstance(refused, int) else tuple(refused),
        expect=raw.get("expect"),
        refute=raw.get("refute"),
        keep=raw.get("keep", {}),
        holds=tuple(raw.get("hold", ())),
        before=tuple(_case(step, asked, file) for step in raw.get("before", ())),
        then=tuple(_case(step, asked, file) for step in raw.get("then", ())),
    )
