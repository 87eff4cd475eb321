"""The bench is code that nobody runs every day: this keeps it from rotting, and measures nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.row import Aim, Line, percentile
from bench.wire_bytes import PINGREQ, PUBLISH, Packets

LINE = Line("vends", 30.0, "1/s", 60.0, "bare", Aim("ratio", ">=", 0.6), "on a note")


def test_there_is_a_row_for_every_promise() -> None:
    assert {"memory", "cpu", "grant", "ledger", "dead-slaves", "settle", "bytes", "lists"} <= set(bench.ROWS)
    assert all(row.name == name for name, row in bench.ROWS.items())


def test_the_cheapest_row_runs_and_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["ledger", "--tiny", "--json", str(tmp_path / "bench.json")]) == 0

    (line,) = json.loads((tmp_path / "bench.json").read_text())["lines"]
    assert line["row"] == "ledger"
    assert line["measured"] > 0
    assert line["limit"] > 0
    assert line["ratio"] == pytest.approx(line["measured"] / line["limit"])
    assert "ledger transactions" in capsys.readouterr().out


def test_a_row_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["speed"])
    assert f"'speed': expected some of {', '.join(bench.ROWS)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (None, None),
        (Aim("ratio", ">=", 0.5), True),
        (Aim("ratio", ">=", 0.51), False),
        (Aim("measured", "<=", 30), True),
        (Aim("measured", "<=", 29), False),
    ],
)
def test_an_aim_is_met_by_the_value_or_by_its_ratio(aim: Aim | None, met: bool | None) -> None:
    assert Line("vends", 30.0, "1/s", 60.0, "bare", aim).met is met


def test_the_table_shows_the_limit_the_ratio_and_what_was_missed() -> None:
    shown = bench.table([LINE])
    assert shown.splitlines()[2].split() == ["vends", "30", "1/s", "60", "(bare)", "0.50", "ratio", ">=", "0.6", "NO"]
    assert shown.endswith("vends: on a note")


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(300, 0, -1)]
    assert percentile(values, 0.5) == 151
    assert percentile(values, 0.99) == 298
    assert percentile([7.0], 0.99) == 7


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_packets_are_cut_wherever_the_bytes_were_split(step: int) -> None:
    topic = b"up/bench-1/hello"
    body = len(topic).to_bytes(2, "big") + topic + bytes(200)
    publish = bytes([PUBLISH << 4 | 2, len(body) & 0x7F | 0x80, len(body) >> 7]) + body
    stream = bytes([PINGREQ << 4, 0]) + publish + bytes([PINGREQ << 4, 0])
    packets = Packets()

    cut = [packet for start in range(0, len(stream), step) for packet in packets.cut(stream[start : start + step])]
    assert cut == [(PINGREQ, "", 2), (PUBLISH, "hello", len(publish)), (PINGREQ, "", 2)]
