"""Facts, latches and control folded into the view that a decision sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.core.model import (
    Alert,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    Outcome,
    OutcomeKind,
    Repair,
    RepairKind,
    Start,
    Status,
)
from shared.core.plan import Plan, PlannedPhase

FINDS = (Status.SUCCESS, Status.PARTIAL)
"""Only work that was done says how much there is: a dead scraper's silence is not a holiday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything known of one run at one time."""

    plan: Plan
    now: datetime
    control: Control
    facts: Mapping[str, tuple[Fact, ...]]  # per processor, by attempt, then report
    starts: Mapping[str, tuple[Start, ...]]  # per processor, by attempt
    outcomes: Mapping[str, Outcome]  # per gate, of its latest attempt
    published: Outcome | None  # how the run last ended well: a refresh that fails later takes nothing back
    expectations: Mapping[str, tuple[str, ...]]
    fact_ids: tuple[str, ...]
    latch_keys: tuple[str, ...]
    incidents: Mapping[str, Alert]  # per cause: what was last to be told of it
    left: tuple[Repair, ...]  # dead letters about it that the timer does nothing about any more


def look(plan: Plan, facts: Iterable[Fact], latches: Iterable[Latch], control: Control, now: datetime) -> View:
    """The order in which facts and latches come makes no difference."""
    facts_of: dict[str, list[Fact]] = {}
    fact_ids = []
    for fact in facts:
        facts_of.setdefault(fact.completion.processor, []).append(fact)
        fact_ids.append(fact.completion.id)
    starts_of: dict[str, list[Start]] = {}
    outcomes: dict[str, Outcome] = {}
    published: Outcome | None = None
    incidents: dict[str, Alert] = {}
    left: list[Repair] = []
    latch_keys = []
    for latch in latches:
        latch_keys.append(latch.key)
        if latch.repair and latch.repair.kind is RepairKind.LEFT:
            left.append(latch.repair)
        for start in latch.starts:
            starts_of.setdefault(start.processor, []).append(start)
        outcome = latch.outcome
        if outcome and (outcome.gate not in outcomes or outcomes[outcome.gate].attempt < outcome.attempt):
            outcomes[outcome.gate] = outcome
        if outcome and outcome.kind is OutcomeKind.DONE:
            published = outcome if published is None or published.attempt < outcome.attempt else published
        alert = latch.alert
        if alert:
            incidents[alert.cause] = _last_told(incidents.get(alert.cause), alert)
    in_order = {name: tuple(sorted(group, key=_fact_order)) for name, group in facts_of.items()}
    return View(
        plan=plan,
        now=now,
        control=control,
        facts=in_order,
        starts={name: _one_per_attempt(group) for name, group in starts_of.items()},
        outcomes=outcomes,
        published=published,
        expectations=_expectations(plan, in_order),
        fact_ids=tuple(fact_ids),
        latch_keys=tuple(latch_keys),
        incidents=incidents,
        left=tuple(sorted(left, key=lambda repair: (repair.at, repair.subject))),
    )


def look_back(plan: Plan, facts: Iterable[Fact], latches: Iterable[Latch], entry: LedgerEntry) -> View:
    """What a decision saw, among all that was ever recorded."""
    return look(
        plan,
        (fact for fact in facts if fact.completion.id in entry.facts),
        (latch for latch in latches if latch.key in entry.latches),
        entry.control,
        entry.at,
    )


def is_open(view: View) -> bool:
    """Whether a run has not ended in any way."""
    return view.control.cancel is None and all(o.kind is OutcomeKind.OPEN for o in view.outcomes.values())


def with_outcome(view: View, outcome: Outcome) -> View:
    """The view as it will be once this outcome stands."""
    published = outcome if outcome.kind is OutcomeKind.DONE else view.published
    return replace(view, outcomes={**view.outcomes, outcome.gate: outcome}, published=published)


def with_starts(view: View, starts: Iterable[Start]) -> View:
    """The view as it will be once these are ordered."""
    known = dict(view.starts)
    for start in starts:
        known[start.processor] = _one_per_attempt((*known.get(start.processor, ()), start))
    return replace(view, starts=known)


def found_by(phase: PlannedPhase, facts: Mapping[str, tuple[Fact, ...]]) -> dict[str, tuple[str, ...]]:
    """What the processors of a phase found, the latest report of each; that there is nothing takes a whole one."""
    found: dict[str, tuple[str, ...]] = {}
    for processor in phase.processors:
        for fact in facts.get(processor.name, ()):
            completion = fact.completion
            # Superseded by another run's newer rows, it has looked all the same.
            whole_skip = completion.status is Status.SKIPPED and completion.reason in processor.whole_skips
            if completion.found and (completion.status in FINDS or whole_skip):
                succeeded = completion.status is not Status.PARTIAL
                found.update({name: units for name, units in completion.found.items() if units or succeeded})
    return found


def _fact_order(fact: Fact) -> tuple[int, int]:
    return fact.completion.attempt, fact.completion.report


def incidents_of(latches: Iterable[Latch]) -> dict[str, Alert]:
    """Per cause, what was last to be told of it."""
    incidents: dict[str, Alert] = {}
    for latch in latches:
        if latch.alert:
            incidents[latch.alert.cause] = _last_told(incidents.get(latch.alert.cause), latch.alert)
    return incidents


def _last_told(known: Alert | None, alert: Alert) -> Alert:
    """Of two words on a cause the last one, with what the other says of the same occurrence; whichever came first."""
    if known is None or known.number != alert.number:
        return alert if known is None or known.number < alert.number else known
    first, last = sorted((known, alert), key=lambda each: (each.resolved, each.escalated_at is not None))
    return replace(
        last,
        escalated_at=last.escalated_at or first.escalated_at,
        acknowledged=last.acknowledged or first.acknowledged,
    )


def _start_order(start: Start) -> tuple[int, datetime]:
    return start.attempt, start.issued_at


def _one_per_attempt(starts: Iterable[Start]) -> tuple[Start, ...]:
    """An opening and a retry may order the same attempt at the same time; whoever does the work drops one of them."""
    starts = tuple(starts)
    if len(starts) == 1:
        return starts
    return tuple({start.attempt: start for start in sorted(starts, key=_start_order)}.values())


def _expectations(plan: Plan, facts: Mapping[str, tuple[Fact, ...]]) -> dict[str, tuple[str, ...]]:
    """All that was found, later phases over earlier ones."""
    found: dict[str, tuple[str, ...]] = {}
    for phase in plan.phases:
        found.update(found_by(phase, facts))
    return found
