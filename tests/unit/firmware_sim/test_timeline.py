"""Simulated time: order, cancelling, never backwards."""

from __future__ import annotations

from firmware_sim.timeline import Timeline


def test_events_happen_in_order_each_at_its_own_time() -> None:
    timeline, seen = Timeline(), []
    for name, when in (("c", 30), ("a", 10), ("b1", 20), ("b2", 20)):
        timeline.at(when, lambda name=name: seen.append((name, timeline.now_ms)))  # type: ignore[misc]
    timeline.run_until(20)
    assert seen == [("a", 10), ("b1", 20), ("b2", 20)]
    assert timeline.next_ms() == 30


def test_an_event_may_plan_another_one_that_is_due_at_once() -> None:
    timeline, seen = Timeline(), []
    timeline.at(10, lambda: timeline.after(5, lambda: seen.append(timeline.now_ms)))
    timeline.run_until(15)
    assert seen == [15]


def test_a_cancelled_event_does_not_happen_and_is_not_waited_for() -> None:
    timeline, seen = Timeline(), []
    timeline.at(10, lambda: seen.append(1)).cancel()
    assert timeline.next_ms() is None
    timeline.run_until(20)
    assert seen == []


def test_time_never_runs_backwards() -> None:
    timeline, seen = Timeline(), []
    timeline.run_until(100)
    timeline.run_until(50)
    timeline.at(10, lambda: seen.append(timeline.now_ms))
    timeline.run_until(100)
    assert seen == [100]
