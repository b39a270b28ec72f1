"""What there is to be counted and timed of what was just applied, for whoever watches. Pure; never an id of a run.

Recorded where a claim stands, so that of any number who look at once one counts it. Whoever dies in between counts
nothing: what must not be lost is folded from the state, by `tipoff slo` and `tipoff report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.core.durations import phase_spans
from shared.core.gate import NOTHING_EXPECTED
from shared.core.model import Alert, Fact, Latch, LedgerEntry, Outcome, OutcomeKind, RepairKind, RunKey
from shared.core.plan import Plan
from shared.core.repairs import repairs
from shared.core.slo import READY_MAX_S, SLOW_TIMES, Event, Measured, late_s

PASSES = (OutcomeKind.OPEN, OutcomeKind.DONE)


class MetricKind(StrEnum):
    COUNTER = "counter"  # only rises
    HISTOGRAM = "histogram"  # how values are spread
    GAUGE = "gauge"  # how it is now


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric; its name is what is sent, and, behind a prefix, what Cloud Monitoring calls it."""

    name: str
    kind: MetricKind
    unit: str  # as UCUM has it: s, 1, {run}
    does: str  # what it says, in a sentence
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram: upper ends of its buckets

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers: of one metric, Cloud Monitoring takes one type of value."""
        return self.kind is not MetricKind.HISTOGRAM and self.unit != "s"


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a declared metric, with a value for each of its labels."""

    metric: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def of_step(
    plan: Plan, facts: Sequence[Fact], before: Sequence[Latch], claimed: Sequence[Latch], entry: LedgerEntry | None
) -> Iterator[Measure]:
    """Of one look at a run: the decision that changed, and what was claimed with it. `before`: the latches it saw."""
    if entry:
        about = {**_run(plan.run), "phase": entry.gate, "kind": entry.decision}
        yield Measure("tipoff.decisions", 1, about)
    yield from of_latches(claimed)
    for outcome in (latch.outcome for latch in claimed if latch.outcome):
        yield from _of_outcome(plan, outcome)
    yield from _of_transitions(plan, before, claimed)
    yield from _of_repairs(plan, facts, before, claimed, entry)


def of_latches(claimed: Iterable[Latch]) -> Iterator[Measure]:
    """What claims say by themselves: starts, incidents, and acts of the backup that are kept."""
    for latch in claimed:
        if latch.repair:
            yield of_repair(latch.run, latch.repair.kind)
        elif latch.alert:
            told = {**_run(latch.run), "kind": latch.alert.cause, "result": _told(latch.alert)}
            yield Measure("tipoff.incidents", 1, told)
        for phase, number in Counter(start.phase for start in latch.starts).items():
            yield Measure("tipoff.starts", number, {**_run(latch.run), "phase": phase})


def _told(alert: Alert) -> str:
    if alert.resolved:
        return "resolved"
    return "raised" if alert.raises else "escalated" if alert.escalated_at else "acknowledged"


def of_repair(run: RunKey, kind: str) -> Measure:
    """One act of the backup."""
    return Measure("tipoff.repairs", 1, {**_run(run), "kind": str(kind)})


def of_units(run: RunKey, states: Iterable[str]) -> Iterator[Measure]:
    """The units of a batch that has ended, by the state in which each did."""
    for state, number in Counter(states).items():
        yield Measure("tipoff.batch.units", number, {**_run(run), "kind": str(state)})


def of_sweep(began: datetime, ended: datetime, beaten_at: datetime | None) -> Iterator[Measure]:
    """A round of the timer that has come through; `beaten_at`: when the one before did, as far as is known here."""
    yield Measure("tipoff.sweep.duration", max(0.0, (ended - began).total_seconds()))
    if beaten_at:
        yield Measure("tipoff.heartbeat.age", max(0.0, (began - beaten_at).total_seconds()))


def of_letters(number: int) -> Measure:
    """Dead letters that were seen."""
    return Measure("tipoff.dead_letters", number)


def _of_outcome(plan: Plan, outcome: Outcome) -> Iterator[Measure]:
    """A first generation that fails is a day late, though its replay publish an hour later; one that never ends, or
    never began, is counted nowhere."""
    about = {**_run(plan.run), "phase": outcome.gate}
    if outcome.kind in PASSES and outcome.ready_at:
        seconds = max(0.0, (outcome.decided_at - outcome.ready_at).total_seconds())
        yield Measure("tipoff.ready.duration", seconds, about)
        yield from _judged(plan, Measured.READY, READY_MAX_S, seconds, outcome.decided_at, outcome.gate)
    ended = outcome.kind in (OutcomeKind.DONE, OutcomeKind.FAIL) and outcome.attempt == 1
    if ended and plan.run.generation == 1 and outcome.grade != NOTHING_EXPECTED:
        seconds = (outcome.decided_at - plan.deadline_at).total_seconds()
        if outcome.kind is OutcomeKind.FAIL:  # as far as anybody knows by now: late for as long as anything can be
            seconds = float("inf")
        yield from _judged(plan, Measured.PUBLISHED, 0.0, seconds, outcome.decided_at)


def _of_transitions(plan: Plan, before: Sequence[Latch], claimed: Sequence[Latch]) -> Iterator[Measure]:
    if any(latch.outcome and latch.outcome.grade == NOTHING_EXPECTED for latch in claimed):
        return  # it has waited for nothing
    known, usual_s = phase_spans(before), {phase.name: phase.usual_s for phase in plan.phases}
    for phase, (opened, passed) in phase_spans((*before, *claimed)).items():
        if phase not in known:
            seconds = max(0.0, (passed - opened).total_seconds())
            yield Measure("tipoff.transition.duration", seconds, {**_run(plan.run), "phase": phase})
            yield from _judged(plan, Measured.DURATION, SLOW_TIMES, seconds, passed, phase, usual_s[phase])


def _of_repairs(
    plan: Plan, facts: Sequence[Fact], before: Sequence[Latch], claimed: Sequence[Latch], entry: LedgerEntry | None
) -> Iterator[Measure]:
    """Acts that are folded: an attempt after a silent one, a gate that a report should have opened. Those that are kept
    say so themselves, and a run that the timer began, or a report that it found, is counted where it does so."""
    if not claimed:
        return
    known = repairs(plan, facts, before, ())
    ledger = (entry,) if entry and any(latch.outcome for latch in claimed) else ()
    for repair in repairs(plan, facts, (*before, *claimed), ledger):
        if repair not in known and repair.kind in (RepairKind.ATTEMPT, RepairKind.GATE):
            yield of_repair(plan.run, repair.kind)


def _judged(
    plan: Plan,
    measured: Measured,
    threshold: float,
    seconds: float,
    at: datetime,
    phase: str = "",
    usual_s: float | None = None,
) -> Iterator[Measure]:
    """As the objectives judge an event by what is known when it happens: that is counted, and never taken back.

    Of ready and duration `tipoff slo` tells the same; of published it tells what has become of the run since.
    """
    event = Event(run=str(plan.run), date=plan.run.date, at=at, measured_s=seconds, phase=phase, usual_s=usual_s)
    late = late_s(measured, threshold, event)
    if late is None:
        return
    about = {**_run(plan.run), "phase": phase, "kind": str(measured)}
    yield Measure("tipoff.slo.events", 1, {**about, "result": "bad" if late else "good"})
    if late:
        yield Measure("tipoff.slo.late", late, about)


def _run(run: RunKey) -> dict[str, str]:
    return {"pipeline": run.pipeline, "mode": run.mode}
