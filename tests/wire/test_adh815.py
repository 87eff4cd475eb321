"""The ADH815 codec: golden frames, reading undoes writing, and nothing that was damaged is believed."""

from __future__ import annotations

import random
import tomllib
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.wire import adh815
from edge_agent.wire.adh815 import (
    ADH814E,
    ADH815,
    DIALECTS,
    Acknowledge,
    Acknowledged,
    Command,
    Dialect,
    Identify,
    Identity,
    Illegal,
    MalformedFrame,
    Mode,
    ModeSet,
    Poll,
    ReadMode,
    Reply,
    ReplyReader,
    Report,
    Request,
    Run,
    RunAnswer,
    RunStatus,
    SetMode,
    State,
    parse_reply,
    parse_request,
    with_detection,
)
from edge_agent.wire.crc import crc16, is_sealed, sealed
from tests.wire.malformed import flipped, malformed

GOLDEN: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "golden" / "adh815.toml").read_text(encoding="utf-8")
)["frame"]

# The commands that boards have and the agent does not use: the codec must leave them alone.
UNUSED = {
    "scan door",
    "set temperature",
    "run motors",
    "run2",
    "read current",
    "write current",
    "814e swap",
    "814e run2",
}
UNUSED |= {"814e set temperature", "814e run motors"}


def ours(frame: dict[str, Any]) -> bool:
    return not any(frame["name"].startswith(name) for name in UNUSED)


def golden(direction: str) -> list[Any]:
    return [pytest.param(f, id=f["name"]) for f in GOLDEN if f["direction"] == direction and ours(f)]


def raw(frame: dict[str, Any]) -> bytes:
    return bytes.fromhex(frame["hex"])


# --- golden frames ---------------------------------------------------------------------------------------------------


def test_the_golden_file_holds_what_this_test_believes() -> None:
    """A renamed or emptied golden file must not let the tests below pass by testing nothing."""
    assert sum(ours(frame) for frame in GOLDEN) >= 45


@pytest.mark.parametrize("frame", golden("to_board"))
def test_golden_requests_are_read_and_written(frame: dict[str, Any]) -> None:
    dialect = DIALECTS[frame["dialect"]]
    request = parse_request(raw(frame), dialect)
    assert request.board == raw(frame)[0]
    assert request.to_bytes(dialect) == raw(frame)


@pytest.mark.parametrize("frame", golden("to_host"))
def test_golden_replies_are_read_and_written(frame: dict[str, Any]) -> None:
    dialect = DIALECTS[frame["dialect"]]
    reply = parse_reply(raw(frame), dialect)
    assert not isinstance(reply, Illegal)
    assert reply.to_bytes(dialect) == raw(frame)
    if "poll" in frame:
        assert isinstance(reply, Report)
        poll = frame["poll"]
        assert (reply.state, reply.motor, reply.result) == (poll["state"], poll["motor"], poll["result"])
        assert (reply.max_current_ma, reply.avg_current_ma) == (poll["max_ma"], poll["avg_ma"])
        assert (reply.run_time_100ms, reply.celsius) == (poll["run_100ms"], poll["celsius"])
        assert reply.humidity == poll.get("humidity")


@pytest.mark.parametrize("frame", golden("to_host"))
def test_golden_replies_answer_the_requests_that_the_file_names(frame: dict[str, Any]) -> None:
    dialect = DIALECTS[frame["dialect"]]
    reply = parse_reply(raw(frame), dialect)
    requests = [parse_request(raw(f), dialect) for f in GOLDEN if f["name"] in frame["answers"]]
    assert requests
    assert all(reply.command in request.answered_by for request in requests)


@pytest.mark.parametrize("frame", [pytest.param(f, id=f["name"]) for f in GOLDEN if not ours(f)])
def test_commands_that_the_agent_does_not_use_are_not_read(frame: dict[str, Any]) -> None:
    parse = parse_request if frame["direction"] == "to_board" else parse_reply
    with pytest.raises(MalformedFrame, match="command"):
        parse(raw(frame), DIALECTS[frame["dialect"]])


def test_what_the_result_byte_means() -> None:
    faults = {0: None, 1: "over_current", 2: "open", 3: "no_stop_signal"}
    for result in range(8):
        report = Report(State.FINISHED, 10, result, 324, 145, 28, 25)
        assert report.fault == faults[result & 3]
        assert report.nothing_seen == (result >= 4)


@pytest.mark.parametrize(("celsius", "expected"), [(-40, None), (120, None), (25, 25), (-12, -12)])
def test_a_missing_or_shorted_sensor_gives_no_temperature(celsius: int, expected: int | None) -> None:
    assert Report(State.IDLE, 0, 0, 0, 0, 0, celsius).temperature_c == expected


def test_switching_detection_leaves_the_wiring_alone() -> None:
    assert with_detection(0x10, on=True) == 0x90
    assert with_detection(0x98, on=False) == 0x18
    assert Mode(0, 0x90).detects_drops
    assert not Mode(0, 0x10).detects_drops


# --- reading undoes writing ------------------------------------------------------------------------------------------

boards = st.integers(1, 4)
octets = st.integers(0, 255)
words = st.integers(0, 0xFFFF)
requests = st.one_of(
    st.builds(Identify, boards),
    st.builds(Poll, boards),
    st.builds(Run, boards, octets),
    st.builds(Acknowledge, boards),
    st.builds(ReadMode, boards),
    st.builds(SetMode, boards, octets),
)
names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16).map(str.rstrip)
reports = st.builds(
    Report, st.sampled_from(State), octets, octets, words, words, octets, st.integers(-128, 127), st.none() | octets
)
senders = st.integers(0, 4)
replies = st.one_of(
    st.builds(Identity, names),
    reports,
    st.builds(RunAnswer, st.sampled_from(RunStatus)),
    st.just(Acknowledged()),
    st.builds(Mode, senders, octets),
    st.builds(ModeSet, senders, octets),
)


def speaks(dialect: Dialect, message: Request | Reply) -> bool:
    return dialect.reads_mode or message.command is not Command.READ_MODE


@given(requests, st.sampled_from([ADH815, ADH814E]))
def test_reading_a_request_undoes_writing_it(request: Request, dialect: Dialect) -> None:
    if speaks(dialect, request):
        assert parse_request(request.to_bytes(dialect), dialect) == request


@given(replies, st.sampled_from([ADH815, ADH814E]))
def test_reading_a_reply_undoes_writing_it(reply: Reply, dialect: Dialect) -> None:
    if speaks(dialect, reply):
        assert parse_reply(reply.to_bytes(dialect), dialect) == reply


@given(st.binary(max_size=40))
def test_parsing_refuses_or_reads_any_bytes_and_never_fails_otherwise(data: bytes) -> None:
    for parse in (parse_request, parse_reply):
        for candidate in (data, sealed(data)):
            with suppress(MalformedFrame):
                assert parse(candidate).command in Command


def test_content_that_the_protocol_does_not_allow_is_named() -> None:
    strange = parse_reply(sealed(bytes.fromhex("00 05 04")))
    assert strange == Illegal(Command.RUN, sealed(bytes.fromhex("00 05 04")), "status 0 to 3")
    assert isinstance(parse_reply(sealed(bytes.fromhex("00 03 03 00 00 00 00 00 00 00 19"))), Illegal)
    assert isinstance(parse_reply(sealed(b"\x00\x01" + b"\xff" * 16)), Illegal)


# --- nothing damaged is believed -------------------------------------------------------------------------------------


def all_flips(frame: bytes) -> list[bytes]:
    bits = range(8 * len(frame))
    return [flipped(frame, bit) for bit in bits] + [flipped(frame, *pair) for pair in combinations(bits, 2)]


@pytest.mark.parametrize("frame", golden("to_board"))
def test_every_flip_of_one_or_two_bits_of_a_request_is_refused(frame: dict[str, Any]) -> None:
    for damaged in all_flips(raw(frame)):
        with pytest.raises(MalformedFrame):
            parse_request(damaged, DIALECTS[frame["dialect"]])


@pytest.mark.parametrize("frame", golden("to_host"))
def test_every_flip_of_one_or_two_bits_of_a_reply_is_refused(frame: dict[str, Any]) -> None:
    """By the parser, and by a reader that has learned the board's POLL length, also after a pause on the line."""
    dialect = DIALECTS[frame["dialect"]]
    reader = ReplyReader(dialect)
    reader.poll_length = len(raw(frame)) if len(raw(frame)) in (13, 14) else 13
    for damaged in all_flips(raw(frame)):
        with pytest.raises(MalformedFrame):
            parse_reply(damaged, dialect)
        assert reader.feed(damaged) + reader.quiet() == []
        reader.clear()


# --- the reader ------------------------------------------------------------------------------------------------------


@given(st.lists(replies, min_size=1, max_size=6), st.data())
def test_replies_are_found_in_any_pieces(sent: list[Reply], data: st.DataObject) -> None:
    """All POLL replies of one board have one length, which is known here; the next test is about learning it."""
    length = data.draw(st.sampled_from([13, 14]))
    sent = [r for r in sent if not isinstance(r, Report) or len(r.to_bytes()) == length] or [Acknowledged()]
    stream = b"".join(reply.to_bytes() for reply in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = ReplyReader()
    reader.poll_length = length
    found: list[Reply | Illegal] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == sent
    assert reader.noise_bytes == 0


@pytest.mark.parametrize("humidity", [None, 0, 55])
def test_the_length_of_poll_is_learned_from_the_first_answer(humidity: int | None) -> None:
    report = Report(State.FINISHED, 10, 0, 324, 145, 28, 25, humidity)
    for cut in range(len(report.to_bytes()) + 1):
        reader = ReplyReader()
        first, rest = report.to_bytes()[:cut], report.to_bytes()[cut:]
        assert reader.feed(first) + reader.feed(rest) + reader.quiet() == [report]
        assert reader.poll_length == len(report.to_bytes())
        assert reader.feed(report.to_bytes()) == [report]  # and then no pause is needed


def test_an_answer_of_either_length_is_read_alike_and_teaches_nothing() -> None:
    """14 bytes whose humidity makes the first 13 a whole frame: the two readings differ in the humidity alone."""
    (ambiguous,) = (raw(f) for f in GOLDEN if "valid 13-byte reply inside" in f["name"])
    reader = ReplyReader()
    assert reader.feed(ambiguous) == [Report(State.IDLE, 0, 0, 0, 0, 0, 25)]
    assert reader.poll_length is None
    reader.poll_length = 14
    assert reader.feed(ambiguous) == [Report(State.IDLE, 0, 0, 0, 0, 0, 25, 55)]


def test_a_reply_behind_an_incomplete_beginning_is_found_when_the_line_is_quiet() -> None:
    reader = ReplyReader()
    answer = RunAnswer(RunStatus.ACCEPTED)
    assert reader.feed(b"\x00\x03" + answer.to_bytes()) == []  # might be the beginning of a POLL reply
    assert reader.quiet() == [answer]
    assert reader.noise_bytes == 2


def test_a_pause_inside_a_reply_loses_nothing() -> None:
    report = Report(State.FINISHED, 10, 5, 1480, 920, 47, 25)
    reader = ReplyReader()
    reader.poll_length = 13
    for byte in report.to_bytes()[:-1]:
        assert reader.feed(bytes([byte])) == []
        assert reader.quiet() == []
    assert reader.feed(report.to_bytes()[-1:]) == [report]


def test_only_answers_about_the_mode_may_come_from_a_boards_address() -> None:
    reader = ReplyReader()
    assert reader.feed(Poll(1).to_bytes() + Run(1, 10).to_bytes()) + reader.quiet() == []  # the host's own echo
    assert reader.feed(ModeSet(1, 0x80).to_bytes()) == [ModeSet(1, 0x80)]


def test_100_000_malformed_frames_have_no_effect_and_the_next_good_one_is_read() -> None:
    """No crash and no growth. A reply that noise spells by chance, checksum and all, is the residue of a 16-bit CRC."""
    rng = random.Random(815)
    reader = ReplyReader()
    reader.poll_length = 13
    good = Report(State.FINISHED, 10, 0, 324, 145, 28, 25)
    by_chance = 0
    for _ in range(1_000):
        for _ in range(100):
            by_chance += len(reader.feed(malformed(rng)))
        by_chance += len(reader.quiet())
        assert (reader.feed(good.to_bytes()) + reader.quiet())[-1:] == [good]
    assert by_chance <= 10  # 2.5 million byte positions, a few hundred of which look like a beginning by header
    assert len(reader._buffer) < 20


def test_a_valid_answer_cannot_hide_in_a_reply_that_boards_really_send() -> None:
    """`quiet` looks inside incomplete frames: no cut of a golden frame may contain another one."""
    for frame in (f for f in GOLDEN if f["direction"] == "to_host" and ours(f)):
        for cut in range(1, len(raw(frame)) - 1):
            reader = ReplyReader(DIALECTS[frame["dialect"]])
            reader.poll_length = len(raw(frame))
            assert reader.feed(raw(frame)[:cut]) + reader.quiet() == []


def test_the_checksum_is_the_published_one() -> None:
    assert crc16(b"123456789") == 0x4B37  # the check value of CRC-16/MODBUS
    assert sealed(bytes.fromhex("00 05 00")) == bytes.fromhex("00 05 00 72 90")
    assert not is_sealed(b"\xff\xff")  # a checksum of nothing is no frame


def test_every_command_is_known_in_both_directions() -> None:
    assert {kind.command for kind in adh815._REQUESTS.values()} == set(Command)
