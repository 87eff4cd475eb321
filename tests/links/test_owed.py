"""Late answers: none is ever taken for the answer to another request."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import BoardSilent, BreakerOpen, DeadlinePassed
from edge_agent.links.line import Later, Line
from edge_agent.links.owed import Debt, Owed
from shared.clock import ManualClock
from tests.links.virtual import Fate, TokenBoards, seeded_fates, token_ask, token_peer

LATE_MS_MAX = 3_500


class Conversation:
    """Asks several slaves in turn and compares each answer's number with the question's."""

    def __init__(self, fate: Callable[[int], Fate]) -> None:
        self.clock = ManualClock()
        self.boards = TokenBoards(self.clock, fate)
        self.line = Line(self.clock, gap_ms=20, late_ms_max=LATE_MS_MAX)
        self.line.opened(self.boards)
        self.peers = {slave: token_peer(slave) for slave in (1, 2, 3)}
        self.number = 0
        self.right = 0
        self.wrong: list[str] = []

    def ask(self, slave: int, name: str, patience_ms: int = 6_000) -> None:
        self.number = (self.number + 1) % 250
        ask = token_ask(slave, name, self.number)
        by = self.clock.mono_ms() + patience_ms
        while self.clock.mono_ms() <= by:
            try:
                answer = self.line.ask(self.peers[slave], ask, not_after_mono_ms=by)
            except Later as later:
                self.clock.advance(max(0, min(later.at_mono_ms, by + 1) - self.clock.mono_ms()))
                continue
            except (BoardSilent, BreakerOpen, DeadlinePassed):
                return
            if answer.number == self.number:
                self.right += 1
            else:
                self.wrong.append(f"{name} {self.number} of slave {slave} was answered by {answer}")
            return


def talk(seed: int, *, lost: float, late: float, owed: type[Owed] = Owed) -> Conversation:
    rng = random.Random(seed)
    talk = Conversation(seeded_fates(rng, lost=lost, late=late, late_ms_max=2_500))
    talk.line._owed = owed(LATE_MS_MAX)
    for _ in range(80):
        talk.ask(rng.choice((1, 1, 2, 3)), rng.choice(("POLL", "POLL", "RUN", "ACK", "ID")))
        talk.clock.advance(rng.choice((0, 0, 200, 1_500)))
    return talk


@pytest.mark.parametrize(("lost", "late"), [(0.0, 0.2), (0.2, 0.2), (0.05, 0.9), (0.5, 0.5), (0.0, 1.0)])
def test_no_answer_is_taken_for_another_however_late(lost: float, late: float) -> None:
    right = 0
    for seed in range(150):
        conversation = talk(seed, lost=lost, late=late)
        assert conversation.wrong == [], f"seed {seed}"
        right += conversation.right
    assert right > 150  # and the line is still of use


class NothingOwed(Owed):
    """The mistake that this module exists against: flush, then ask again."""

    def blocking(self, kinds: object, now_ms: int) -> Debt | None:
        return None


def test_without_the_rules_the_same_talk_goes_wrong() -> None:
    """The self-test of the test above."""
    wrong = sum(len(talk(seed, lost=0.2, late=0.2, owed=NothingOwed).wrong) for seed in range(100))
    assert wrong >= 10


class Forgetful(Owed):
    """Strikes off every older debt, also those of other slaves: no order holds between two boards."""

    def heard(self, kind: int) -> Debt | None:
        paid = next((debt for debt in self._debts if kind in debt.kinds), None)
        if paid is not None:
            del self._debts[: self._debts.index(paid) + 1]
        return paid


def test_an_answer_of_one_slave_says_nothing_of_another() -> None:
    assert sum(len(talk(seed, lost=0.2, late=0.5, owed=Forgetful).wrong) for seed in range(150)) > 0


fates = st.one_of(st.none(), st.integers(5, 50), st.integers(0, 2_500))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((1, 2)), st.sampled_from(("POLL", "RUN", "ACK"))), max_size=12),
    st.lists(fates, min_size=60, max_size=60),
)
def test_no_schedule_of_late_and_lost_answers_confuses_the_line(asks: list[tuple[int, str]], plan: list[Fate]) -> None:
    remaining = iter(plan)
    conversation = Conversation(lambda slave: next(remaining, 10))
    for slave, name in asks:
        conversation.ask(slave, name)
    assert conversation.wrong == []


# --- the rules one by one --------------------------------------------------------------------------------------------


def test_a_kind_is_owed_by_one_slave_at_a_time() -> None:
    owed = Owed(LATE_MS_MAX)
    debt = owed.sent(1, {3, 6}, 0)
    assert owed.blocking({6}, 100) is debt
    assert owed.blocking({5}, 100) is None
    with pytest.raises(AssertionError):
        owed.sent(2, {3, 6}, 100)


def test_a_later_answer_of_the_same_slave_ends_its_older_debts_only() -> None:
    owed = Owed(LATE_MS_MAX)
    owed.sent(1, {3, 6}, 0)
    neighbours = owed.sent(2, {5}, 10)
    fence = owed.sent(1, {1}, 20)
    newest = owed.sent(1, {2}, 30)
    assert owed.heard(1) is fence
    assert owed.blocking({3, 6}, 40) is None
    assert owed.blocking({5}, 40) is neighbours
    assert owed.blocking({2}, 40) is newest


def test_a_debt_ends_by_age() -> None:
    owed = Owed(LATE_MS_MAX)
    debt = owed.sent(1, {3}, 0)
    assert owed.blocking({3}, LATE_MS_MAX) is debt
    assert owed.blocking({3}, LATE_MS_MAX + 1) is None


def test_a_reply_that_nobody_owes_is_a_stray() -> None:
    assert Owed(LATE_MS_MAX).heard(3) is None
