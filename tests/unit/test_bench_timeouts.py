"""Limits are tried on durations as they came: nothing looks ahead, and the rates that are compared are equal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestration.bench_timeouts import FALSE_ALARMS, RULES, TRACE, Run, Seen, measured, scale_for, timeouts, walk
from shared.core.timeouts import HISTORY_MIN, HISTORY_RUNS
from tests.house.tree import ROOT

NOON = datetime(2025, 1, 1, 12)  # noqa: DTZ001 - a trace's own times have no zone
TRACES = ROOT.parent / "shared" / "data" / "traces"


def daily(count: int, duration_s: float = 100.0, job: str = "build") -> list[Run]:
    return [Run(job, NOON + timedelta(days=number), duration_s + number) for number in range(count)]


def test_a_run_is_judged_by_those_of_its_job_before_it_and_by_no_other() -> None:
    runs = daily(30)
    seen = walk(sorted([*runs, *daily(30, 9_000.0, "coverage")], key=lambda run: run.started))
    mine = [each for each in seen if each.run.job == "build"]
    assert [each.run for each in mine] == runs[HISTORY_MIN:]
    assert mine[-1].history_s == tuple(run.duration_s for run in runs[-HISTORY_RUNS - 1 : -1])


def test_what_had_not_ended_when_a_run_started_is_none_of_its_history() -> None:
    runs = daily(12)
    runs[-2] = replace(runs[-2], duration_s=2 * 86_400.0)
    assert walk(runs)[-1].history_s == tuple(run.duration_s for run in runs[:-2])


@pytest.mark.parametrize("rule", RULES)
def test_a_scale_lets_just_as_many_pass_as_it_should(rule: str) -> None:
    seen = walk(daily(1_000 + HISTORY_MIN))
    assert len(seen) == 1_000
    found = measured(RULES[rule], scale_for(RULES[rule], seen), seen, seen)
    assert found["false_alarms_pct"] == pytest.approx(100 * FALSE_ALARMS, abs=0.11), "rounding may take one across"


def test_a_hang_is_noticed_when_its_limit_is_over() -> None:
    seen = [Seen(run, tuple([50.0] * HISTORY_MIN)) for run in daily(40)]
    found = measured(RULES["second_slowest"], 3.0, seen, seen)
    assert (found["delay_s_p50"], found["delay_s_p95"], found["of_usual_p50"]) == (150, 150, 3.0)


@pytest.mark.skipif(
    not (TRACES / TRACE).exists(), reason=f"{TRACES} is not there: real durations, see docs/benchmarks.md"
)
def test_at_an_equal_rate_of_false_alarms_ours_notices_a_hang_first() -> None:
    found = timeouts(TRACES)
    for how in ("calibrated", "equal"):
        ours, mean, fixed = (found[rule][how] for rule in ("second_slowest", "mean", "fixed"))  # type: ignore[index]
        for delay in ("delay_s_p50", "delay_s_p95"):
            assert ours[delay] < mean[delay]
            assert ours[delay] < fixed[delay]
    assert {found[rule]["equal"]["false_alarms_pct"] for rule in RULES} == {0.99}  # type: ignore[index]
