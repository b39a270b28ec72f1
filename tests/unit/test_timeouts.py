"""Phase deadlines are derived backward from the run's; other limits from how long it took before. All within bounds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.batch import CHUNK_TIMEOUT_S, MUTE_MARGIN_S, TRIES_MAX
from shared.core.timeouts import (
    BATCH_CAP,
    BATCH_FALLBACK,
    BATCH_FLOOR,
    BATCH_HISTORY,
    BATCH_HISTORY_MIN,
    BATCH_MARGIN,
    CAP,
    FLOOR,
    HISTORY_MIN,
    HISTORY_RUNS,
    LIMIT_FLOOR_S,
    LIMIT_TIMES,
    Limit,
    Usual,
    Window,
    batch_window,
    phase_deadlines,
    slow_s,
    time_limit,
    usual_time,
)

START = datetime(2024, 1, 16, 11, tzinfo=timezone.utc)
HOUR_S = 3_600


@pytest.mark.parametrize(
    ("usual_s", "minutes_to_deadline", "expected"),
    [
        pytest.param([], 180, [], id="a plan without phases has no deadlines"),
        pytest.param([600], 180, [(180, "derived")], id="the only phase has until the run's deadline"),
        pytest.param(
            [600, 300, 900],
            180,
            [(160, "derived"), (165, "derived"), (180, "derived")],
            id="each phase leaves those behind it their usual time",
        ),
        pytest.param(
            [600, 60, 900], 180, [(164, "derived"), (169, "floor"), (180, "derived")], id="no phase gets less than five"
        ),
        pytest.param(
            [600, 600],
            3,
            [(5, "floor"), (10, "floor")],
            id="a late start gives every phase the floor, past the deadline",
        ),
        pytest.param(
            [600, 600],
            10 * 60,
            [(240, "cap"), (480, "cap")],
            id="no phase holds up the rest longer than four hours",
        ),
        pytest.param([600], 240, [(240, "derived")], id="exactly the cap is not capped"),
        pytest.param([600, 300], 10, [(5, "derived"), (10, "derived")], id="exactly the floor is not floored"),
        pytest.param(
            [None, 600],
            180,
            [(240, "fallback"), (245, "floor")],
            id="a phase of unknown duration gets the cap, visibly",
        ),
        pytest.param(
            [600, None],
            180,
            [(180, "derived"), (420, "fallback")],
            id="an unknown duration takes nothing from the others",
        ),
    ],
)
def test_a_deadline_says_when_and_why(
    usual_s: list[int | None], minutes_to_deadline: int, expected: list[tuple[int, str]]
) -> None:
    deadline_at = START + timedelta(minutes=minutes_to_deadline)
    deadlines = phase_deadlines(usual_s, started_at=START, deadline_at=deadline_at)
    assert [((found.at - START) / timedelta(minutes=1), found.source) for found in deadlines] == expected


@pytest.mark.parametrize(
    ("usual_s", "window_s"),
    [
        pytest.param(600, 1_200, id="a later round gets twice the usual time"),
        pytest.param(60, FLOOR.total_seconds(), id="at least the floor"),
        pytest.param(3 * HOUR_S, CAP.total_seconds(), id="at most the cap"),
        pytest.param(None, CAP.total_seconds(), id="the cap where nobody knows"),
    ],
)
def test_a_later_round_has_a_window(usual_s: int | None, window_s: int) -> None:
    (found,) = phase_deadlines([usual_s], started_at=START, deadline_at=START + timedelta(hours=3))
    assert found.window_s == window_s


# --- batches ---------------------------------------------------------------------------------------------

FALLBACK = Window(BATCH_FALLBACK, "fallback")
FLOOR_S, CAP_S = BATCH_FLOOR.total_seconds() / BATCH_MARGIN, BATCH_CAP.total_seconds() / BATCH_MARGIN  # of one batch
A_MOMENT_S = 0.001


def by_history(usual_s: float) -> Window:
    return Window(timedelta(seconds=BATCH_MARGIN * usual_s), "history")


WINDOWS = [
    pytest.param([], FALLBACK, id="none is known"),
    pytest.param([300.0] * (BATCH_HISTORY_MIN - 1), FALLBACK, id="too few are known"),
    pytest.param([300.0] * BATCH_HISTORY_MIN, by_history(300), id="just enough are known"),
    pytest.param(
        [300, 310, 320, 330, 900], by_history(900), id="of five the slowest, for a twentieth is less than one"
    ),
    pytest.param([*[300.0] * 18, 400.0, 1_100.0], by_history(400), id="of twenty the slowest is left out"),
    pytest.param([*[300.0] * 19, 1_100.0], by_history(300), id="and no other"),
    pytest.param([*[300.0] * 18, 400.0], by_history(400), id="of nineteen none is left out"),
    pytest.param([1_100.0, 400.0, *[300.0] * 18], by_history(400), id="in whatever order they come"),
    pytest.param([FLOOR_S] * 9, by_history(FLOOR_S), id="exactly the floor is not floored"),
    pytest.param([FLOOR_S - A_MOMENT_S] * 9, Window(BATCH_FLOOR, "floor"), id="less than the floor is"),
    pytest.param([0.0] * 9, Window(BATCH_FLOOR, "floor"), id="batches that took no time"),
    pytest.param([CAP_S] * 9, by_history(CAP_S), id="exactly the cap is not capped"),
    pytest.param([CAP_S + A_MOMENT_S] * 9, Window(BATCH_CAP, "cap"), id="more than the cap is"),
    pytest.param([86_400.0] * 9, Window(BATCH_CAP, "cap"), id="batches that took a day"),
]


@pytest.mark.parametrize(("history_s", "window"), WINDOWS)
def test_a_batch_may_take_three_times_what_nearly_all_like_it_took(history_s: list[float], window: Window) -> None:
    assert batch_window(history_s) == window


def test_the_shortest_time_of_a_batch_holds_every_try_of_a_silent_unit() -> None:
    assert timedelta(seconds=TRIES_MAX * (CHUNK_TIMEOUT_S + MUTE_MARGIN_S)) < BATCH_FLOOR < BATCH_FALLBACK < BATCH_CAP
    assert BATCH_HISTORY >= 20, "with fewer the nearest rank is always the slowest, and one bad night would last"


# --- processors ------------------------------------------------------------------------------------------

TIMEOUT_S = 570
LIMITS = [
    pytest.param([], Limit(TIMEOUT_S, "fallback"), id="nothing has run yet"),
    pytest.param([100.0] * (HISTORY_MIN - 1), Limit(TIMEOUT_S, "fallback"), id="too few have run"),
    pytest.param([100.0] * HISTORY_MIN, Limit(200, f"history of {HISTORY_MIN}"), id="just enough have run"),
    pytest.param([*[100.0] * 11, 500.0], Limit(200, "history of 12"), id="one that took five times as long is odd"),
    pytest.param([*[100.0] * 10, 200.0, 500.0], Limit(400, "history of 12"), id="of two the quicker one is not"),
    pytest.param([80, 90, 100, 110, 90, 100, 110, 120.5], Limit(220, "history of 8"), id="the second slowest counts"),
    pytest.param([120.5, 110, 90, 80, 100, 110, 90, 100], Limit(220, "history of 8"), id="in whatever order they came"),
    pytest.param([50, 60.2, 50, 50, 50, 50, 50, 70], Limit(121, "history of 8"), id="seconds are whole"),
    pytest.param([0.0] * 9, Limit(LIMIT_FLOOR_S, "floor"), id="work that takes no time"),
    pytest.param([29.4] * 9, Limit(LIMIT_FLOOR_S, "floor"), id="a minute is little enough"),
    pytest.param([30.0] * 9, Limit(60, "history of 9"), id="exactly the floor is not floored"),
    pytest.param([284.0] * 9, Limit(568, "history of 9"), id="it may come near to what is declared"),
    pytest.param([285.0] * 9, Limit(TIMEOUT_S, "cap"), id="and never goes beyond"),
    pytest.param([86_400.0] * 9, Limit(TIMEOUT_S, "cap"), id="however long they took"),
]


@pytest.mark.parametrize(("history_s", "limit"), LIMITS)
def test_a_processor_may_take_what_it_hardly_ever_took(history_s: list[float], limit: Limit) -> None:
    assert time_limit(history_s, cap_s=TIMEOUT_S) == limit


@pytest.mark.parametrize("cap_s", [1, 30, 60])
def test_a_declared_limit_below_the_floor_stands(cap_s: int) -> None:
    assert time_limit([0.1] * 9, cap_s=cap_s) == Limit(cap_s, "cap")


EVERY_HISTORY = settings(max_examples=300, deadline=None, database=None, derandomize=True)
SECONDS = st.floats(min_value=0.01, max_value=20_000)
HISTORIES = st.lists(SECONDS, min_size=HISTORY_MIN, max_size=HISTORY_RUNS)
STEADY = st.lists(st.floats(min_value=95, max_value=105), min_size=HISTORY_MIN, max_size=HISTORY_RUNS)


@EVERY_HISTORY
@given(st.lists(SECONDS, max_size=HISTORY_RUNS), st.integers(1, 600))
def test_a_limit_never_leaves_its_bounds(history_s: list[float], cap_s: int) -> None:
    assert min(LIMIT_FLOOR_S, cap_s) <= time_limit(history_s, cap_s=cap_s).seconds <= cap_s


@EVERY_HISTORY
@given(HISTORIES, st.floats(min_value=1, max_value=50))
def test_work_that_always_takes_longer_by_a_factor_gets_that_much_longer(history_s: list[float], by: float) -> None:
    slower = [by * each for each in history_s]
    assert slow_s(slower) == pytest.approx(by * slow_s(history_s))
    assert time_limit(slower, cap_s=86_400).seconds >= time_limit(history_s, cap_s=86_400).seconds


@EVERY_HISTORY
@given(STEADY, st.floats(min_value=0, max_value=10**9))
def test_one_that_is_odd_hardly_moves_a_limit(history_s: list[float], odd: float) -> None:
    assert slow_s([*history_s, odd]) <= max(history_s)
    assert slow_s([*history_s, odd]) == pytest.approx(slow_s(history_s), rel=0.11)


@EVERY_HISTORY
@given(STEADY, st.integers(1, HISTORY_RUNS), st.floats(min_value=TIMEOUT_S, max_value=10**12))
def test_hangs_raise_a_limit_to_what_is_declared_at_most(history_s: list[float], hangs: int, hung_s: float) -> None:
    limit = time_limit([*history_s, *[hung_s] * hangs], cap_s=TIMEOUT_S)
    assert limit == time_limit([*history_s, *[float(TIMEOUT_S)] * hangs], cap_s=TIMEOUT_S), "however long they hung"
    assert limit.seconds <= (TIMEOUT_S if hangs > 1 else LIMIT_TIMES * 105)


# --- phases ----------------------------------------------------------------------------------------------

HALF_HOUR_S = 1_800
USUAL = [
    pytest.param([], HALF_HOUR_S, Usual(HALF_HOUR_S, "fallback"), id="nothing has run yet"),
    pytest.param([900.0] * (HISTORY_MIN - 1), HALF_HOUR_S, Usual(HALF_HOUR_S, "fallback"), id="too few have run"),
    pytest.param([900.0] * (HISTORY_MIN - 1), None, Usual(None, "fallback"), id="and nobody has declared any"),
    pytest.param([900.0] * HISTORY_MIN, HALF_HOUR_S, Usual(900, "history of 8"), id="just enough have run"),
    pytest.param([900.0] * HISTORY_MIN, None, Usual(900, "history of 8"), id="also where nobody has declared any"),
    pytest.param(
        [400, 500, 600, 700, 800, 900, 7_000, 9_000], HALF_HOUR_S, Usual(900, "history of 8"), id="a quarter was slower"
    ),
    pytest.param(
        [9_000, 900, 400, 700, 600, 500, 800, 7_000], HALF_HOUR_S, Usual(900, "history of 8"), id="in whatever order"
    ),
    pytest.param([300.0] * 9, HALF_HOUR_S, Usual(300, "history of 9"), id="exactly the floor is not floored"),
    pytest.param([2.0] * 9, HALF_HOUR_S, Usual(300, "floor"), id="no phase is taken to be through in less"),
    pytest.param([14_400.0] * 9, HALF_HOUR_S, Usual(14_400, "history of 9"), id="exactly the cap is not capped"),
    pytest.param([14_401.0] * 9, HALF_HOUR_S, Usual(14_400, "cap"), id="no phase is waited for longer"),
]


@pytest.mark.parametrize(("history_s", "declared_s", "usual"), USUAL)
def test_a_phase_usually_takes_what_three_quarters_of_them_took(
    history_s: list[float], declared_s: int | None, usual: Usual
) -> None:
    assert usual_time(history_s, fallback_s=declared_s) == usual
