"""What each pipeline promises, as data: for `tipoff slo`, and for what is generated of it for Cloud Monitoring."""

from __future__ import annotations

from shared.config.orchestration_config import PIPELINES
from shared.core.model import END, PipelineSpec
from shared.core.slo import READY_MAX_S, SLOW_TIMES, Measured, Of, SloSpec

MONTH_DAYS = 28  # four weeks: each has the same days of the week
YEAR_DAYS = 364


def _of(spec: PipelineSpec) -> tuple[SloSpec, ...]:
    phases = [phase.name for phase in spec.phases]
    return (
        SloSpec(
            name="published",
            pipeline=spec.name,
            of=Of.RUN,
            measured=Measured.PUBLISHED,
            threshold=0.0,
            objective=0.99,  # of some 84 runs not one: bad_min says that one may be
            window_days=MONTH_DAYS,
            late_minutes=120,
            bad_min=2,
        ),
        SloSpec(
            name="published-year",  # three runs a day tell 99.9 % from 100 % in no shorter time
            pipeline=spec.name,
            of=Of.RUN,
            measured=Measured.PUBLISHED,
            threshold=0.0,
            objective=0.999,
            window_days=YEAR_DAYS,
            late_minutes=720,
            bad_min=2,
        ),
        *(_ready(spec.name, phase) for phase in ("", *phases[1:], END)),
        *(_duration(spec.name, phase) for phase in ("", *phases)),
    )


def _ready(pipeline: str, phase: str) -> SloSpec:
    """Of all gates together, or of one: it has one event a run, so fewer late minutes, and as many bad events."""
    return SloSpec(
        name=f"ready-not-fired-{phase}".rstrip("-"),
        pipeline=pipeline,
        of=Of.TRANSITION,
        measured=Measured.READY,
        threshold=READY_MAX_S,
        objective=0.99,
        window_days=MONTH_DAYS,
        late_minutes=10 if phase else 30,
        bad_min=2 if phase else 3,
        phase=phase,
    )


def _duration(pipeline: str, phase: str) -> SloSpec:
    return SloSpec(
        name=f"transition-time-{phase}".rstrip("-"),
        pipeline=pipeline,
        of=Of.TRANSITION,
        measured=Measured.DURATION,
        threshold=SLOW_TIMES,
        objective=0.95,  # slow is not late: a run has hours
        window_days=MONTH_DAYS,
        late_minutes=60 if phase else 240,
        bad_min=3,
        phase=phase,
    )


SLOS: tuple[SloSpec, ...] = tuple(slo for spec in PIPELINES.values() for slo in _of(spec))


def slos_of(pipeline: str) -> tuple[SloSpec, ...]:
    """Those of one pipeline, the widest first."""
    return tuple(slo for slo in SLOS if slo.pipeline == pipeline)
