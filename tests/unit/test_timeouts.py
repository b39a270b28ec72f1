"""Phase deadlines are derived backward from the run's; a batch's from how long like ones took. Both within bounds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

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
    Window,
    batch_window,
    phase_deadlines,
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
