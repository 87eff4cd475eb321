"""One exchange: deadlines before the bytes leave, gaps, fences, probes. All in simulated time."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest

from edge_agent.errors import BoardSilent, BreakerOpen, DeadlinePassed
from edge_agent.links.breaker import PROBE_FIRST_MS, PROBE_MAX_MS, SILENT_MAX, Breaker
from edge_agent.links.line import Later, Line
from shared.clock import ManualClock
from tests.links.virtual import Fate, TokenBoards, token_ask, token_peer

LATE_MS_MAX = 3_500
GAP_MS = 20


class Bench:
    """A line whose slaves' fates the test decides: late by 10 ms, unless it says otherwise."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fates: dict[int, Fate] = {}
        self.boards = TokenBoards(self.clock, lambda slave: self.fates.get(slave, 10))
        self.line = Line(self.clock, gap_ms=GAP_MS, late_ms_max=LATE_MS_MAX)
        self.line.opened(self.boards)
        self.peers = {slave: token_peer(slave) for slave in (1, 2)}

    def ask(self, slave: int, name: str, by: int | None = None) -> int:
        not_after = self.clock.mono_ms() + 60_000 if by is None else by
        return self.line.ask(self.peers[slave], token_ask(slave, name, 7), not_after_mono_ms=not_after).number

    def ask_in_turn(self, slave: int, name: str) -> int:
        """As the bus does it: a turn given away is taken again in time."""
        while True:
            try:
                return self.ask(slave, name)
            except Later as later:
                self.clock.advance(max(0, later.at_mono_ms - self.clock.mono_ms()))

    def commands(self) -> list[tuple[int, int]]:
        return [(slave, command) for _, slave, command in self.boards.sent]


def test_an_answer_comes_back_and_is_counted() -> None:
    bench = Bench()
    assert bench.ask(1, "POLL") == 7
    statistics = bench.line.statistics()[1]
    assert (statistics.asked, statistics.answered, statistics.silent) == (1, 1, 0)
    assert statistics.latency_ms_last == statistics.latency_ms_mean == 10
    assert statistics.breaker == "closed"


def test_the_deadline_is_the_last_moment_at_which_bytes_leave() -> None:
    bench = Bench()
    bench.ask(1, "RUN")  # the line now needs a gap before the next request
    started = bench.clock.mono_ms()
    assert bench.ask(1, "RUN", by=started + GAP_MS) == 7
    started = bench.clock.mono_ms()
    with pytest.raises(DeadlinePassed):
        bench.ask(1, "RUN", by=started + GAP_MS - 1)
    assert [when for when, _, _ in bench.boards.sent][-1] == started - 10


def test_nothing_leaves_after_the_deadline_when_a_fence_took_the_time() -> None:
    bench = Bench()
    bench.fates[1] = None
    with pytest.raises(BoardSilent):
        bench.ask(1, "RUN")
    with pytest.raises(Later):
        bench.ask(1, "RUN")  # the fence was silent too
    runs = bench.commands().count((1, 5))
    bench.fates[1] = 10
    with pytest.raises(DeadlinePassed):
        bench.ask(1, "RUN", by=bench.clock.mono_ms() - 1)
    assert bench.commands().count((1, 5)) == runs == 1


def test_there_is_a_gap_between_an_answer_and_the_next_request() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask(1, "POLL")
        bench.ask(2, "POLL")
    times = [when for when, _, _ in bench.boards.sent]
    assert all(later - earlier >= 10 + GAP_MS for earlier, later in pairwise(times))


def test_after_silence_the_same_kind_waits_for_a_fence_of_another_kind() -> None:
    bench = Bench()
    bench.fates[1] = 900  # answers, but too late
    with pytest.raises(BoardSilent):
        bench.ask(1, "POLL")
    bench.fates[1] = 10
    bench.ask_in_turn(1, "POLL")  # the answer to POLL is still out, so the first fence stays without one in time too
    assert bench.commands() == [(1, 3), (1, 1), (1, 2), (1, 3)]
    assert bench.line.statistics()[1].late == 2


def test_fences_alternate_and_then_the_line_waits_for_age() -> None:
    bench = Bench()
    bench.fates[1] = None
    with pytest.raises(BoardSilent):
        bench.ask(1, "POLL")
    asked_at = bench.boards.sent[0][0]
    for _ in range(2):
        with pytest.raises(Later) as at_once:
            bench.line.ask(bench.peers[2], token_ask(2, "POLL", 7), not_after_mono_ms=10**9)
        assert at_once.value.at_mono_ms == bench.clock.mono_ms()
    with pytest.raises(Later) as later:
        bench.ask(2, "POLL")
    assert bench.commands() == [(1, 3), (1, 1), (1, 2)]
    assert later.value.at_mono_ms == asked_at + LATE_MS_MAX + 1


def test_a_motor_next_to_a_dying_board_is_started_at_once() -> None:
    bench = Bench()
    bench.fates[1] = None
    with pytest.raises(BoardSilent):
        bench.ask(1, "POLL")
    now = bench.clock.mono_ms()
    assert bench.ask(2, "RUN") == 7
    assert bench.boards.sent[-1] == (now + GAP_MS, 2, 5)


def test_an_answer_to_run_is_a_fence_for_an_earlier_poll() -> None:
    bench = Bench()
    bench.fates[1] = None
    with pytest.raises(BoardSilent):
        bench.ask(1, "POLL")
    bench.fates[1] = 10
    bench.ask(1, "RUN")
    bench.ask(1, "POLL")
    assert bench.commands() == [(1, 3), (1, 5), (1, 3)]


def test_a_dead_board_is_left_alone_and_costs_its_neighbour_nothing_but_probes() -> None:
    """Counted in requests and in simulated time: what board 2 waits while board 1 is dead, over ten minutes."""
    bench = Bench()
    bench.fates[1] = None
    waits = []
    until = bench.clock.mono_ms() + 600_000
    while bench.clock.mono_ms() < until:
        with suppress(BoardSilent, BreakerOpen, Later):
            bench.ask(1, "POLL")
        began = bench.clock.mono_ms()
        bench.ask_in_turn(2, "POLL")
        waits.append(bench.clock.mono_ms() - began)
        bench.clock.advance(200)
    long = [wait for wait in waits if wait > 10 + GAP_MS]
    assert len(long) == 1  # once, when it died
    assert long[0] <= LATE_MS_MAX + 300
    to_the_dead = [command for _, slave, command in bench.boards.sent if slave == 1]
    assert to_the_dead.count(3) == 1  # probed with fences, never with POLL
    assert len(to_the_dead) <= 3 + 4 + 600_000 // PROBE_MAX_MS


def test_a_board_that_comes_back_is_found_by_a_probe_and_then_asked() -> None:
    bench = Bench()
    bench.fates[1] = None
    for _ in range(20):
        with pytest.raises((BoardSilent, BreakerOpen, Later)):
            bench.ask(1, "POLL")
        bench.clock.advance(1_000)
    assert bench.line.statistics()[1].breaker in ("open", "probing")
    bench.fates[1] = 10
    bench.clock.advance(PROBE_MAX_MS)
    before = len(bench.boards.sent)
    assert bench.ask(1, "RUN") == 7
    assert [command for _, _, command in bench.boards.sent[before:]] in ([1, 5], [2, 5])
    assert bench.line.statistics()[1].breaker == "closed"


def test_a_late_answer_is_counted_and_a_stray_too() -> None:
    bench = Bench()
    bench.fates[1] = 900
    with pytest.raises(BoardSilent):
        bench.ask(1, "POLL")
    bench.fates[1] = 10
    bench.clock.advance(1_000)
    bench.ask(1, "RUN")
    assert bench.line.statistics()[1].late == 1
    bench.fates[2] = LATE_MS_MAX + 1_000  # later than anyone believes
    with pytest.raises(BoardSilent):
        bench.ask(2, "POLL")
    bench.clock.advance(LATE_MS_MAX)
    bench.ask(1, "RUN")
    bench.clock.advance(1_000)
    bench.ask(1, "RUN")
    assert bench.line.strays == 1
    assert bench.line.statistics()[2].late == 0


def test_a_late_answer_closes_the_breaker_before_its_time() -> None:
    bench = Bench()
    bench.fates[1] = 1_500  # alive, but slow for a while: its answers queue up behind one another
    for _ in range(SILENT_MAX):
        with pytest.raises((BoardSilent, Later)):
            bench.ask(1, "POLL")
    with pytest.raises(BreakerOpen):
        bench.ask(1, "POLL")
    bench.fates[1] = 10
    opened_at = bench.clock.mono_ms()
    bench.clock.advance(PROBE_FIRST_MS - 100)
    assert bench.ask(1, "RUN") == 7
    asked_at, _, command = bench.boards.sent[-1]
    assert command == 5
    assert asked_at - opened_at < PROBE_FIRST_MS


def test_the_breaker_opens_probes_more_and_more_rarely_and_closes_on_an_answer() -> None:
    breaker, now = Breaker(), 0
    for _ in range(SILENT_MAX):
        assert breaker.state(now) == "closed"
        breaker.silent(now)
    intervals = []
    for _ in range(6):
        assert breaker.state(now) == "open"
        intervals.append(breaker.retry_in_ms(now))
        now += breaker.retry_in_ms(now)
        assert breaker.state(now) == "probing"
        breaker.silent(now)
    assert intervals == [PROBE_FIRST_MS, 2_000, 4_000, 8_000, PROBE_MAX_MS, PROBE_MAX_MS]
    breaker.answered()
    assert breaker.state(now) == "closed"
    assert breaker.retry_in_ms(now) == 0
