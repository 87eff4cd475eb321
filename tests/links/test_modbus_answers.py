"""Modbus answers in bytes, and late ones on a line: none is ever taken for the answer to another question."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import BoardMisbehaved, BoardSilent, BreakerOpen, DeadlinePassed
from edge_agent.links.line import Later, Line
from edge_agent.links.modbus import ModbusSlave
from edge_agent.links.owed import Debt, Owed
from edge_agent.links.pace import GAP_MS_MAX, Pace
from edge_agent.wire.crc import sealed
from edge_agent.wire.modbus import Answer, AnswerReader, Read, kind, refusal
from shared.clock import ManualClock
from tests.links.modbus_virtual import LateSlaves
from tests.links.virtual import seeded_fates

LATE_MS_MAX = 3_500

ANSWERS = st.one_of(
    st.builds(
        lambda slave, function, data: sealed(bytes((slave, function, len(data))) + data),
        st.integers(1, 247),
        st.sampled_from((1, 2, 3, 4)),
        st.binary(min_size=1, max_size=250),
    ),
    st.builds(
        lambda slave, function, data: sealed(bytes((slave, function)) + data),
        st.integers(1, 247),
        st.sampled_from((5, 6, 15, 16)),
        st.binary(min_size=4, max_size=4),
    ),
    st.builds(
        lambda slave, function, code: sealed(bytes((slave, function | 0x80, code))),
        st.integers(1, 247),
        st.sampled_from((1, 2, 3, 4, 5, 6, 15, 16)),
        st.integers(1, 11),
    ),
)


@given(st.lists(ANSWERS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_answers_are_found_however_the_line_cuts_them(frames: list[bytes], rng: random.Random) -> None:
    stream, reader, found = b"".join(frames), AnswerReader(), []
    while stream:
        size = rng.randint(1, len(stream))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert [answer.raw for answer in found] == frames
    assert reader.noise_bytes == 0


@given(st.binary(max_size=40), ANSWERS)
def test_an_answer_behind_noise_is_found_once_the_line_is_quiet(noise: bytes, frame: bytes) -> None:
    reader = AnswerReader()
    found = reader.feed(noise + frame) + reader.quiet()
    assert frame in [answer.raw for answer in found]


def test_no_answer_with_one_or_two_bits_flipped_is_one() -> None:
    frame = sealed(bytes.fromhex("0b 03 04 00 01 86 a0"))
    bits = len(frame) * 8
    for one in range(bits):
        for other in range(one, bits):
            changed = bytearray(frame)
            changed[one // 8] ^= 1 << one % 8
            if other != one:
                changed[other // 8] ^= 1 << other % 8
            reader = AnswerReader()
            assert reader.feed(bytes(changed)) + reader.quiet() == []


def test_the_kind_of_an_answer_is_the_kind_of_its_request() -> None:
    read = Read(3, 40, 2)
    assert Answer(sealed(bytes((9, 3, 4, 1, 2, 3, 4)))).command == kind(read.to_bytes(9))
    assert kind(Read(3, 41, 2).to_bytes(9)) == kind(read.to_bytes(9))  # nothing tells them apart
    assert kind(Read(3, 40, 3).to_bytes(9)) != kind(read.to_bytes(9))
    assert kind(Read(4, 40, 2).to_bytes(9)) != kind(read.to_bytes(9))
    assert kind(read.to_bytes(8)) != kind(read.to_bytes(9))
    write = sealed(bytes.fromhex("09 05 02 00 00 14"))
    assert Answer(write).command == kind(write)
    assert Answer(sealed(bytes((9, 0x83, 2)))).command == refusal(9, 3)
    with pytest.raises(ValueError, match="function 43"):
        kind(sealed(bytes((9, 43, 0, 0, 0, 1))))


# --- late answers on a line ---


class Conversation:
    """Reads of equal length at several addresses of several slaves; each answer is compared with its question."""

    def __init__(self, seed: int, *, lost: float, late: float, owed: type[Owed] = Owed) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        fate = seeded_fates(self.rng, lost=lost, late=late, late_ms_max=2_500)
        self.slaves = LateSlaves(self.clock, fate)
        self.line = Line(self.clock, gap_ms=5, late_ms_max=LATE_MS_MAX)
        self.line._owed = owed(LATE_MS_MAX)
        self.line.opened(self.slaves)
        fences = (Read(3, 100, 1), Read(4, 100, 5))
        self.devices = {slave: ModbusSlave(slave, f"slave {slave}", fences, 300) for slave in (11, 12, 13)}
        self.right = self.wrong = self.refused = 0

    def talk(self, times: int) -> Conversation:
        for _ in range(times):
            slave = self.rng.choice((11, 11, 12, 13))
            read = Read(self.rng.choice((3, 3, 4)), self.rng.randrange(50), self.rng.choice((2, 2, 3)))
            self.within(6_000, lambda by, slave=slave, read=read: self.read(slave, read, by))  # type: ignore[misc]
            self.clock.advance(self.rng.choice((0, 0, 200, 1_500)))
        return self

    def within(self, patience_ms: int, work: Callable[[int], None]) -> None:
        by = self.clock.mono_ms() + patience_ms
        while self.clock.mono_ms() <= by:
            try:
                return work(by)
            except Later as later:
                self.clock.advance(max(1, min(later.at_mono_ms, by + 1) - self.clock.mono_ms()))
            except BoardMisbehaved:
                self.refused += 1
                return None
            except (BoardSilent, BreakerOpen, DeadlinePassed):
                return None
        return None

    def read(self, slave: int, read: Read, by: int) -> None:
        values = self.devices[slave].read(self.line, read, by)
        if set(values) == {self.slaves.numbers[slave] & 0xFFFF} and len(values) == read.count:
            self.right += 1
        else:
            self.wrong += 1


class Forgetful(Owed):
    """What a line without this order would do: an answer of the right slave, function and length is the answer."""

    def blocking(self, kinds: object, now_ms: int) -> Debt | None:
        return None

    def heard(self, kind: int) -> Debt | None:
        return next((debt for debt in reversed(self._debts) if kind in debt.kinds or kind in debt.refusals), None)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0, 0.4), st.floats(0, 0.5))
def test_a_late_answer_never_answers_the_next_question(seed: int, lost: float, late: float) -> None:
    assert Conversation(seed, lost=lost, late=late).talk(60).wrong == 0


def test_the_line_is_heard_again_and_without_its_order_it_lies() -> None:
    ordered = [Conversation(seed, lost=0.1, late=0.3).talk(100) for seed in range(10)]
    assert sum(each.right for each in ordered) > 300
    assert sum(each.refused for each in ordered) > 10
    assert sum(Conversation(seed, lost=0.1, late=0.3, owed=Forgetful).talk(100).wrong for seed in range(10)) > 3


# --- pace ---


@given(st.integers(0, 60), st.lists(st.booleans(), max_size=200))
def test_the_gap_stays_between_what_the_line_needs_and_what_a_slow_slave_needs(least: int, answers: list[bool]) -> None:
    pace = Pace(least)
    for answered in answers:
        before = pace.gap_ms
        if answered:
            pace.answered()
            assert pace.gap_ms <= before
        else:
            pace.silent()
            assert pace.gap_ms >= before
        assert least <= pace.gap_ms <= GAP_MS_MAX
    for _ in range(100):
        pace.answered()
    assert pace.gap_ms == least


def test_a_gap_that_a_setting_asks_for_is_never_shortened() -> None:
    pace = Pace(400)
    pace.silent()
    assert pace.gap_ms == 400
    pace.answered()
    assert pace.gap_ms == 400


def test_one_slave_that_needs_time_does_not_slow_its_neighbours() -> None:
    talk = Conversation(1, lost=0, late=0)
    talk.slaves = LateSlaves(talk.clock, lambda slave: None if slave == 11 else 10)
    talk.line.opened(talk.slaves)
    for slave in (11, 11, 12):
        talk.within(3_000, lambda by, slave=slave: talk.read(slave, Read(3, 0, 2), by))  # type: ignore[misc]
    gaps = {slave: notes.gap_ms for slave, notes in talk.line.statistics().items()}
    assert gaps[11] > gaps[12] == 5
