"""What a dead agent saw of its pour: read back as it was written, never believed of another pour or another boot."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.pour.evenness import Habit, Moment, Point
from edge_agent.pour.witness import FILE_NAME, Seen, Witness
from shared.ids import BootId, OrderId

ORDER, BOOT = OrderId("w1"), BootId("boot-1")
KNOWN = Habit(48_600, 57, 310, None)


def watched(folder: Path) -> Path:
    """A pour that was opened, seen twice, armed again and not yet told to shut; its file."""
    witness = Witness(folder)
    witness.begin(ORDER, BOOT, KNOWN)
    witness.point(Point(0, 1_000))
    witness.moment("asked", Moment(1_000))
    witness.moment("heard", Moment(1_030))
    witness.moment("opened", Moment(1_030))
    witness.point(Point(1, 1_200, 20))
    witness.moment("asked", Moment(1_730))
    witness.moment("heard", Moment(1_765, 4))
    witness.point(Point(9, 1_900, 25))
    return folder / FILE_NAME


def recalled(folder: Path) -> Seen | None:
    return Witness(folder).recall(ORDER, BOOT)


def test_what_was_written_is_recalled(tmp_path: Path) -> None:
    assert watched(tmp_path).stat().st_mode & 0o077 == 0
    trace = [Point(0, 1_000), Point(1, 1_200, 20), Point(9, 1_900, 25)]
    assert recalled(tmp_path) == Seen(KNOWN, trace, asked_first_ms=1_000, opened=Moment(1_030), heard=Moment(1_765, 4))


@pytest.mark.parametrize("moment", ["asked", "shutting"])
def test_an_order_without_an_answer_is_remembered_as_such(tmp_path: Path, moment: str) -> None:
    with watched(tmp_path).open("ab") as file:
        file.write(f'["{moment}", 2430, 0]\n'.encode())
    seen = recalled(tmp_path)
    assert seen is not None
    assert seen.waits
    assert seen.heard == Moment(1_765, 4)


def test_a_pour_that_was_never_opened_has_a_witness_as_well(tmp_path: Path) -> None:
    Witness(tmp_path).begin(ORDER, BOOT, KNOWN)
    assert recalled(tmp_path) == Seen(KNOWN)


def test_another_pour_another_boot_and_no_file_are_no_witness(tmp_path: Path) -> None:
    assert recalled(tmp_path) is None
    watched(tmp_path)
    assert Witness(tmp_path).recall(OrderId("w2"), BOOT) is None
    assert Witness(tmp_path).recall(ORDER, BootId("boot-2")) is None
    Witness(tmp_path).begin(OrderId("w2"), BOOT, KNOWN)
    assert recalled(tmp_path) is None, "the next pour begins a new file"


def test_a_folder_that_takes_no_file_stops_no_pour(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "missing")
    witness.begin(ORDER, BOOT, KNOWN)
    witness.moment("asked", Moment(1))
    witness.end()
    assert witness.recall(ORDER, BOOT) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(0, 400), tail=st.binary(max_size=40))
def test_a_torn_file_tells_a_part_of_it_or_nothing(tmp_path: Path, size: int, tail: bytes) -> None:
    """After the tear there may be anything: what comes first is what was written first."""
    file = watched(tmp_path)
    whole, raw = recalled(tmp_path), file.read_bytes()
    file.write_bytes(raw[:size] + b"\0" + tail)
    seen = recalled(tmp_path)
    assert whole is not None
    if seen is not None:
        assert seen.habit == KNOWN
        assert seen.trace == whole.trace[: len(seen.trace)]
