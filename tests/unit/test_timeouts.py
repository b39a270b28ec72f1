"""Phase deadlines are derived backward from the run's, within bounds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.core.timeouts import CAP, FLOOR, phase_deadlines

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
