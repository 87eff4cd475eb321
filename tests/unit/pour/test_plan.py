"""Plans: each mode's terms, a service clock that never runs backwards, the display in two languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.pour import display
from edge_agent.pour.plan import DAY_MS, ServiceTime, Standing, Usage, charged_fen, hold_fen, standing
from shared.clock import WALL_FLOOR_MS
from shared.water import ServiceMode, ServicePlan

BEGAN = WALL_FLOOR_MS


def plan(mode: ServiceMode, **changes: int | str | None) -> ServicePlan:
    return ServicePlan(**{"plan": "p1", "mode": mode, "began_wall_ms": BEGAN, **changes})  # type: ignore[arg-type]


def at(days: float) -> ServiceTime:
    return ServiceTime(BEGAN + int(days * DAY_MS))


@pytest.mark.parametrize("mode", ["sale", "vending", "test"])
def test_what_was_sold_or_is_paid_by_the_pour_never_ends(mode: ServiceMode) -> None:
    where = standing(plan(mode, ends_wall_ms=BEGAN), Usage("p1"), at(10_000))
    assert where.ended is None
    assert where.is_paid_by_pour == (mode == "vending")


def test_a_timed_rental_ends_on_the_millisecond() -> None:
    rental = plan("timed_rental", ends_wall_ms=BEGAN + 30 * DAY_MS)
    assert standing(rental, Usage("p1", today_ml=10**9), at(29.999)).ended is None
    assert standing(rental, Usage("p1"), at(30)).ended == "expired"


def test_a_metered_rental_ends_with_its_litres() -> None:
    rental = plan("metered_rental", prepaid_ml=10_000)
    assert standing(rental, Usage("p1", today_ml=9_999), at(0.5)).left_ml == 1
    assert standing(rental, Usage("p1", today_ml=10_000), at(0.5)).ended == "used_up"


def test_the_minimum_is_used_up_by_days_and_more_by_pouring() -> None:
    rental = plan("metered_rental", prepaid_ml=10_000, minimum_ml_per_day=1_000)
    usage = Usage("p1").at(rental, at(0.2)).poured(1_500)
    usage = usage.at(rental, at(1.5))
    assert (usage.settled_ml, usage.day, usage.today_ml) == (1_500, 1, 0)
    usage = usage.poured(200).at(rental, at(4.1))  # day 1: the minimum, days 2 and 3: nothing flowed
    assert usage.settled_ml == 1_500 + 3_000
    assert standing(rental, usage, at(10.9)).ended == "used_up"


def test_a_plan_with_another_id_starts_from_zero() -> None:
    assert Usage("old", 5_000, 9, 500).at(plan("metered_rental", prepaid_ml=1), at(0)) == Usage("p1")


@given(st.lists(st.tuples(st.integers(0, 3 * DAY_MS), st.integers(0, 5_000)), max_size=30), st.integers(0, 2_000))
def test_usage_only_grows_and_every_day_uses_its_minimum(steps: list[tuple[int, int]], minimum: int) -> None:
    rental = plan("metered_rental", prepaid_ml=10**9, minimum_ml_per_day=minimum)
    usage, now, poured = Usage("p1"), ServiceTime(BEGAN), 0
    for passed, ml in steps:
        now = ServiceTime(now.wall_ms + passed)
        before = usage.used_ml
        usage = usage.at(rental, now).poured(ml)
        poured += ml
        assert usage.used_ml >= before + ml
    assert usage.used_ml >= max(poured, usage.day * minimum)
    assert usage.used_ml <= poured + usage.day * minimum


CLOCKS = st.lists(
    st.tuples(
        st.integers(-5_000, DAY_MS),
        st.integers(0, 2 * BEGAN),
        st.sampled_from(["unset", "restored", "synced"]),
    ),
    max_size=40,
)


@given(CLOCKS)
def test_the_service_clock_never_runs_backwards_and_believes_a_time_server_alone(
    steps: list[tuple[int, int, str]],
) -> None:
    now = ServiceTime(0)
    for powered, wall, state in steps:
        after = now.go_on(powered, wall, state, BEGAN)  # type: ignore[arg-type]
        assert after.wall_ms >= max(now.wall_ms, BEGAN)
        if state != "synced":
            assert after.wall_ms == max(now.wall_ms + max(0, powered), BEGAN)
        else:
            assert after.wall_ms >= wall
        now = after


@given(st.integers(0, 100_000), st.integers(0, 10_000), st.integers(0, 10**6))
def test_a_charge_is_rounded_half_up_and_never_above_the_hold(poured: int, price: int, hold: int) -> None:
    charged = charged_fen(poured, price, hold)
    assert charged <= hold
    assert charged == hold or abs(charged * 1000 - poured * price) <= 500
    assert charged_fen(0, price, hold) == 0
    assert charged_fen(poured, price, hold_fen(poured, price)) * 1000 <= poured * price + 500


@pytest.mark.parametrize(("poured", "price", "charged"), [(1000, 50, 50), (499, 1, 0), (500, 1, 1), (333, 100, 33)])
def test_charges(poured: int, price: int, charged: int) -> None:
    assert charged_fen(poured, price, 10**6) == charged


def test_the_display_says_what_runs_out_in_both_languages() -> None:
    where = Standing(plan("metered_rental"), left_ml=12_340, left_ms=3 * DAY_MS - 1)
    assert display.ready(where, "en", near_end=("PPC",)) == (
        "Ready, 12.3 litres left, please top up soon, rental ends in 3 days, PPC near the end"
    )
    assert display.ready(where, "zh") == "请取水，剩余 12.3 升，请及时充值，租期还有 3 天"
    assert display.ready(Standing(plan("sale")), "en") == "Ready"
    assert display.ready(Standing(plan("test")), "zh") == "设备检测中"


@pytest.mark.parametrize("language", display.LANGUAGES)
def test_every_stop_has_its_sentence(language: display.Language) -> None:
    said = {display.stopped(stop, language) for stop in display.Stop.__args__}  # type: ignore[attr-defined]
    assert len(said) == len(display.Stop.__args__)  # type: ignore[attr-defined]
