"""What claims say by themselves: starts, incidents and kept acts, in words of which there are few."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.config.metrics import METRICS, UnknownMetric, metric
from shared.core.measures import Measure, MetricKind, of_latches, of_step, of_sweep
from shared.core.model import Alert, Latch, Repair, RepairKind, Severity
from tests.unit.plans import RUN, critical, latch, minute, opened, phase, plan, start

ABOUT = {"pipeline": RUN.pipeline, "mode": RUN.mode}


def alert(*, resolved: bool) -> Alert:
    return Alert(cause="stalled", number=1, severity=Severity.PAGE, summary="s3cret", at=minute(0), resolved=resolved)


REPAIR = Repair(kind=RepairKind.REDRIVE, subject="a message", reason="s3cret", at=minute(0))


@pytest.mark.parametrize(
    ("claimed", "measures"),
    [
        pytest.param(
            Latch(key="o", run=RUN, starts=(start("a"), start("b"), start("c", phase="q"))),
            [
                Measure("tipoff.starts", 2, {**ABOUT, "phase": "raw"}),
                Measure("tipoff.starts", 1, {**ABOUT, "phase": "q"}),
            ],
            id="starts, by phase",
        ),
        pytest.param(
            Latch(key="i", run=RUN, alert=alert(resolved=False)),
            [Measure("tipoff.incidents", 1, {**ABOUT, "kind": "stalled", "result": "raised"})],
            id="an incident",
        ),
        pytest.param(
            Latch(key="i", run=RUN, alert=alert(resolved=True)),
            [Measure("tipoff.incidents", 1, {**ABOUT, "kind": "stalled", "result": "resolved"})],
            id="its end",
        ),
        pytest.param(
            Latch(key="r", run=RUN, repair=REPAIR),
            [Measure("tipoff.repairs", 1, {**ABOUT, "kind": "redrive"})],
            id="an act of the backup",
        ),
        pytest.param(
            Latch(key="r", run=RUN, repair=REPAIR, starts=(start("a"),)),
            [
                Measure("tipoff.repairs", 1, {**ABOUT, "kind": "redrive"}),
                Measure("tipoff.starts", 1, {**ABOUT, "phase": "raw"}),
            ],
            id="an act of the backup that sends a start",
        ),
        pytest.param(Latch(key="k", run=RUN), [], id="a note that something was told"),
    ],
)
def test_a_claim_says(claimed: Latch, measures: list[Measure]) -> None:
    assert list(of_latches([claimed])) == measures


def test_of_a_phase_whose_usual_time_nobody_knows_the_time_is_told_and_not_judged() -> None:
    unknown = plan(phase("raw", critical("a")))
    assert unknown.phases[0].usual_s is None
    before, passed = latch("raw/1", opened("raw", at=0)), latch("next/1", opened("next", at=90))
    told = list(of_step(unknown, (), (before,), (passed,), None))
    assert [(measure.metric, measure.value) for measure in told] == [("tipoff.transition.duration", 5400)]


def test_a_clock_that_was_put_back_makes_nothing_shorter_than_nothing() -> None:
    told = list(of_sweep(minute(5), minute(4), minute(6)))
    assert [measure.value for measure in told] == [0, 0]
    assert [measure.metric for measure in of_sweep(minute(5), minute(5) + timedelta(seconds=2), None)] == [
        "tipoff.sweep.duration"
    ]


def test_whole_numbers_are_what_is_counted_and_seconds_are_not() -> None:
    whole = {spec.name for spec in METRICS if spec.is_whole}
    assert {"tipoff.starts", "tipoff.dead_letters"} <= whole
    assert not whole & {"tipoff.slo.late", "tipoff.heartbeat.age", "tipoff.ready.duration"}
    assert not [spec.name for spec in METRICS if spec.kind is MetricKind.HISTOGRAM and spec.is_whole]


def test_a_metric_that_nobody_declared_is_refused_by_name() -> None:
    with pytest.raises(UnknownMetric, match=r"tipoff\.start.*shared/config/metrics.py declares tipoff\.decisions"):
        metric("tipoff.start")
