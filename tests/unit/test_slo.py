"""What an objective comes to: a table of months, each of what happened in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from shared.config.orchestration_config import PIPELINES
from shared.config.slos import SLOS, slos_of
from shared.core.model import END
from shared.core.slo import LATE_MAX_S, Attained, Event, Measured, Of, SloSpec, Verdict, attained, late_s

LAST = date(2024, 1, 28)
SPEC = SloSpec(
    name="published",
    pipeline="nba",
    of=Of.RUN,
    measured=Measured.PUBLISHED,
    threshold=0.0,
    objective=0.99,
    window_days=28,
    late_minutes=120,
    bad_min=2,
)


def event(days_ago: int, late_minutes: float = -60.0, *, phase: str = "", usual_s: float | None = None) -> Event:
    day = LAST - timedelta(days=days_ago)
    at = datetime(day.year, day.month, day.day, 14, tzinfo=timezone.utc)
    run = f"nba.{day}.overnight.1"
    return Event(run=run, date=day, at=at, measured_s=late_minutes * 60, phase=phase, usual_s=usual_s)


def month(*late: tuple[int, float]) -> list[Event]:
    """Three runs a day for four weeks, in time but for some: so many days ago, by so many minutes."""
    bad = [event(*each) for each in late]
    days = [days_ago for days_ago, _ in late]
    return [event(day) for day in range(28) for _ in range(3 - days.count(day))] + bad


MONTHS: dict[str, tuple[Sequence[Event], Verdict]] = {
    "nothing happened, nothing is known": ([], Verdict.NO_DATA),
    "what happened before the window is not asked": ([event(28, 60), event(99, 60)], Verdict.NO_DATA),
    "what is to come is not asked either": ([event(-1, 60)], Verdict.NO_DATA),
    "all in time": (month(), Verdict.OK),
    "one late by a minute would be 1.2 % of all, and is nothing": (month((0, 1)), Verdict.OK),
    "one late by two hours has spent it, and no more": (month((0, 120)), Verdict.OK),
    "one late by three hours has spent more than there was": (month((0, 180)), Verdict.EXHAUSTED),
    "two late by little are more than one": (month((20, 1), (10, 1)), Verdict.EXHAUSTED),
    "one late by half of it, today, is one": (month((0, 60)), Verdict.OK),
}


@pytest.mark.parametrize(("events", "verdict"), MONTHS.values(), ids=MONTHS.keys())
def test_verdict(events: Sequence[Event], verdict: Verdict) -> None:
    assert attained(SPEC, events, LAST).verdict is verdict


MANY = replace(SPEC, objective=0.9, bad_min=3)  # of 84 events 8 may be bad
BURNS: dict[str, tuple[Sequence[tuple[int, float]], Verdict]] = {
    "three in a week, half of it spent, and still at it": ([(4, 20), (2, 20), (0, 20)], Verdict.BURNING),
    "two are too few, whatever they cost": ([(1, 40), (0, 40)], Verdict.OK),
    "three of which none was of late are over": ([(6, 20), (5, 20), (4, 40)], Verdict.OK),
    "three that cost little": ([(4, 5), (2, 5), (0, 5)], Verdict.OK),
    "three in a month are not in a week": ([(20, 20), (10, 20), (0, 20)], Verdict.OK),
    "nine are more than there may be": ([(n, 1.0) for n in range(9)], Verdict.EXHAUSTED),
    "eight are not": ([(n, 1.0) for n in range(8)], Verdict.OK),
}


@pytest.mark.parametrize(("late", "verdict"), BURNS.values(), ids=BURNS.keys())
def test_it_burns_by_late_minutes_and_a_minimum_of_bad_events(
    late: Sequence[tuple[int, float]], verdict: Verdict
) -> None:
    assert attained(MANY, month(*late), LAST).verdict is verdict


def test_what_is_told_of_a_month() -> None:
    found = attained(MANY, month((20, 10), (3, 15), (0, 6)), LAST)
    assert (found.first, found.last, found.events, found.bad, found.bad_allowed, found.bad_left) == (
        *(date(2024, 1, 1), LAST),
        *(84, 3, 8, 5),
    )
    assert found.share == pytest.approx(81 / 84)
    assert (found.late_minutes, found.late_allowed, found.late_left) == (31, 120, 89)
    assert found.burn_long == pytest.approx(21 / 120 * 4), "of 7 days"
    assert found.burn_short == pytest.approx(6 / 120 * 14), "of 2 days"
    assert [offence.late_s for offence in found.offenders] == [900, 600, 360]


def test_a_budget_that_is_overspent_has_nothing_left() -> None:
    found = attained(SPEC, month((1, 100), (0, 100)), LAST)
    assert (found.bad_left, found.late_left) == (0, 0.0)


def test_of_other_days_it_has_as_many_late_minutes_as_they_are() -> None:
    found = attained(SPEC, month((10, 50), (0, 50)), LAST, days=7)
    assert (found.events, found.bad, found.late_minutes, found.late_allowed) == (21, 1, 50, 30)
    assert found.verdict is Verdict.EXHAUSTED


def test_a_window_of_one_day_burns_in_that_day() -> None:
    found = attained(SPEC, [event(0, 1)], LAST, days=1)
    assert found.burn_long == found.burn_short == pytest.approx(1 / (120 / 28))


def test_one_phase_is_asked_of_itself_and_all_of_all() -> None:
    events = [event(0, 10, phase="raw"), event(0, -1, phase="export"), event(0, 20, phase="export")]
    counted = [attained(replace(SPEC, phase=phase), events, LAST) for phase in ("", "raw", "export", "scrape")]
    assert [(found.events, found.bad) for found in counted] == [(3, 2), (1, 1), (2, 1), (0, 0)]


def test_nothing_is_late_for_longer_than_a_day() -> None:
    assert late_s(Measured.PUBLISHED, 0, event(0, 60 * 24 * 365)) == LATE_MAX_S


@pytest.mark.parametrize(
    ("measured", "threshold", "took_s", "usual_s", "late"),
    [
        pytest.param(Measured.READY, 120, 120, None, 0, id="just in time"),
        pytest.param(Measured.READY, 120, 121, None, 1, id="a second over"),
        pytest.param(Measured.DURATION, 2, 600, 300, 0, id="twice the usual"),
        pytest.param(Measured.DURATION, 2, 660, 300, 60, id="a minute more than twice"),
        pytest.param(Measured.DURATION, 2, 660, None, None, id="nobody knows what is usual"),
        pytest.param(Measured.PUBLISHED, 0, -5, None, 0, id="before its deadline"),
    ],
)
def test_late_is_what_is_beyond_the_threshold(
    measured: Measured, threshold: float, took_s: float, usual_s: float | None, late: float | None
) -> None:
    assert late_s(measured, threshold, event(0, took_s / 60, usual_s=usual_s)) == late


def test_what_nobody_can_judge_is_no_event() -> None:
    spec = replace(SPEC, measured=Measured.DURATION, threshold=2.0)
    found: Attained = attained(spec, [event(0, 99), event(0, 5, usual_s=300)], LAST)
    assert (found.events, found.bad) == (1, 0)


# --- what is declared ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: f"{slo.pipeline} {slo.name}")
def test_a_declared_objective_can_be_kept_and_missed(slo: SloSpec) -> None:
    assert 0 < slo.objective < 1
    assert slo.late_minutes > 0
    assert slo.bad_min >= 2, "one event is chance"
    assert slo.window_days >= 28
    assert (slo.of is Of.RUN) == (slo.measured is Measured.PUBLISHED)
    phases = [phase.name for phase in PIPELINES[slo.pipeline].phases]
    assert slo.phase in ("", END, *phases)


def test_every_pipeline_and_every_transition_has_each_objective() -> None:
    for spec in PIPELINES.values():
        phases = [phase.name for phase in spec.phases]
        found = {(slo.measured, slo.phase) for slo in slos_of(spec.name)}
        assert {(Measured.READY, phase) for phase in ("", *phases[1:], END)} <= found
        assert {(Measured.DURATION, phase) for phase in ("", *phases)} <= found
        assert (Measured.PUBLISHED, "") in found
        names = [slo.name for slo in slos_of(spec.name)]
        assert len(set(names)) == len(names)
