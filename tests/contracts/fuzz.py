"""Property fuzzing of every operation from the OpenAPI document: whatever is sent, the answer is one of the dialect's.

Schemathesis makes the requests (half of them as the document says, half of them against it). Ids are then mostly
replaced by real ones, because a made-up id ends at the first look-up, and other values now and then by hostile ones.
The application is asked in its own process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from tests.contracts.hostile import VALUES

# What one run of all tests has time for; `make fuzz` asks for ten times as much.
CASES = int(os.environ.get("FUZZ_CASES", "20000"))
# Another number makes other requests; the same one makes the same ones.
SEED = int(os.environ.get("FUZZ_SEED", "1"))

# A made-up id is replaced by a real one in this share of its occurrences.
_REAL_PERCENT = 70
# Any other value is replaced by a hostile one in this share.
_HOSTILE_PERCENT = 4


def operations_of(app: FastAPI, prefix: str) -> list[APIOperation]:
    """The operations under `prefix`, as the OpenAPI document tells them."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if operation.path.startswith(f"{prefix}/")]


def requests_of(
    operation: APIOperation,
    count: int,
    ids: Mapping[str, Sequence[str]],
    use: Callable[[dict[str, Any]], None],
    number: int,
) -> int:
    """Call `use` with up to `count` requests to `operation`; answers how many there were. `number` makes others."""
    made = 0

    def one(case: Any, real: st.DataObject) -> None:
        nonlocal made
        made += 1
        _season(case, ids, real)
        request: dict[str, Any] = {}
        with suppress(UnicodeEncodeError):  # half a character in a path or a query, which no client can write
            request = case.as_transport_kwargs(base_url="http://cloud.test")
        if request:
            use(request)

    for mode, share in ((GenerationMode.POSITIVE, count - count // 2), (GenerationMode.NEGATIVE, count // 2)):
        wanted = settings(
            max_examples=max(1, share),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                seed(SEED * 1_000 + number)(
                    wanted(given(operation.as_strategy(generation_mode=mode), st.data())(one))
                )()
            except Unsatisfiable:  # nothing can be wrong with a request that has no parameters
                continue
    return made


def _season(case: Any, ids: Mapping[str, Sequence[str]], real: st.DataObject) -> None:
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            _replace(place, ids, real)


def _replace(place: dict[str, Any], ids: Mapping[str, Sequence[str]], real: st.DataObject) -> None:
    for name, value in place.items():
        if isinstance(value, dict):
            _replace(value, ids, real)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    _replace(part, ids, real)
        else:
            chance = real.draw(st.integers(0, 99))
            if name in ids and chance < _REAL_PERCENT:
                place[name] = real.draw(st.sampled_from(list(ids[name])))
            elif chance >= 100 - _HOSTILE_PERCENT:
                place[name] = real.draw(st.sampled_from(VALUES))
