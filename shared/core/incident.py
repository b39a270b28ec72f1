"""What a person has to know of a run that does not go on as it should. Pure: from the same view that decides.

One cause has one open incident at a time, whatever shows it. Raising, escalating, acknowledging and resolving it are
latches that carry what is to be told: claimed with the decision, they are told once in effect, and none is lost while a
sink is down. Known silences raise nothing: an operator's hold, cancel, skip or force, nothing expected, a run that is
not due yet or waits for the one before it, a generation that a newer one does over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core.fold import View, incidents_of
from shared.core.gate import DEGRADED, NOTHING_EXPECTED, Block, Done, Fail, Verdict, Wait
from shared.core.model import (
    WATCH,
    Act,
    Alert,
    Latch,
    Outcome,
    OutcomeKind,
    Reading,
    ReadingVerdict,
    RunKey,
    Severity,
    Status,
)
from shared.core.plan import RUNS_BEFORE, PlannedPhase
from shared.core.standing import PARTIAL_ENOUGH

STALLED = "stalled"
"""It stands still: blocked, failed, or in one phase for hours. One cause, for whoever gets up looks once."""

NOT_FIRED = "not-fired"
"""What was claimed cannot be sent: the gate is open in the books, and nothing has started."""

LATE_GATE = "late-gate"
"""A gate could have opened, and nobody looked: messages were lost and the timer was out. Told when it has opened."""

SLOW = "slow"
"""A phase takes far longer than it usually does."""

INCOMPLETE = "incomplete"
"""The run goes on, or has published, with too little."""

UNANSWERED = "unanswered"
"""What somebody asked for once more was ordered as often as may be, and nobody has reported; what stood stands."""

DEAD_LETTERS = "dead-letters"
"""Messages about it died, and sending them again does not help or has not: somebody has to look why."""

LATE = timedelta(minutes=2)
"""SYSTEMS, section 1: ready but not fired. A timer that looks every minute keeps below it."""

SLOW_FACTOR = 2
"""SYSTEMS, section 1: of the usual time, which is five minutes at least."""

STALLED_AFTER = timedelta(hours=2)
"""SYSTEMS, section 1. A gate that is blocked is told at once: two hours later its morning would be over."""

ESCALATED_AFTER = timedelta(hours=2)
"""SYSTEMS, section 1: of what a person should have got up for, and that is still so."""


NUMBER_MAX = 6
"""Digits of an occurrence: one a minute for two years."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a person is told, as it stands now."""

    name: str
    severity: Severity
    summary: str


def alerts_due(
    view: View,
    verdict: Verdict,
    outcome: Outcome | None = None,
    readings: Mapping[str, Reading] | None = None,
    *,
    replayed: bool = False,
) -> tuple[Latch, ...]:
    """The latches that make what people are told agree with the verdict, and with the outcome that it latches.

    `replayed`: whether a newer generation stands over the run, so that nobody waits for this one any more.
    """
    if view.control.held_at(view.now) and not view.control.cancel and not replayed:
        return ()  # whoever holds it looks into it: nothing is raised, and what is open stays so
    open_now = {cause: alert for cause, alert in view.incidents.items() if not alert.resolved}
    stands, slow = _stands_still(view, verdict, readings or {}), _is_slow(view, verdict, readings or {})
    unanswered = _is_unanswered(view, verdict)
    found = (stands, slow, _was_late(view, outcome), _has_too_little(view, outcome), _has_died(view), unanswered)
    there = [cause for cause in found if cause and not replayed]
    over = {STALLED, SLOW, UNANSWERED} - {cause.name for cause in there}
    if stands:  # whoever is told that it stands still need not be told that this takes long
        there = [cause for cause in there if cause is not slow]
    if isinstance(verdict.decision, Done) or view.control.cancel or replayed:  # whatever else was wrong is over as well
        over = set(open_now) - {cause.name for cause in there if cause is unanswered}
    elif isinstance(verdict.decision, Fail):  # that it has failed says it all, until somebody replays it
        over = set(open_now) - {STALLED}
    ended = f"{view.plan.run}: {'a newer generation does it over' if replayed else verdict.decision.reason}"
    return (
        *(raise_latch(view, cause) for cause in there if cause.name not in open_now),
        *(resolve_latch(view, cause, ended) for cause in sorted(over & open_now.keys())),
        *escalations(view.plan.run, (open_now[cause] for cause in sorted(open_now.keys() - over)), view.now),
    )


def next_alert_at(view: View, verdict: Verdict, outcome: Outcome | None) -> datetime | None:
    """When, if nothing happens until then, there is something to tell: the timer has to look."""
    if view.control.held_at(view.now) or view.control.cancel:
        return None
    moments = [escalates_at(alert) for alert in view.incidents.values() if escalates_at(alert)]
    if outcome and outcome.kind is OutcomeKind.OPEN:
        moments += _limits(view.plan.phase_by_name[outcome.gate], outcome.decided_at)
    elif isinstance(verdict.decision, Wait) and (under_way := _under_way(view, verdict)):
        moments += _limits(*under_way)
    return min((at for at in moments if at and at > view.now), default=None)


def open_incidents(view: View) -> tuple[Alert, ...]:
    """Those that are open, the oldest first."""
    return tuple(sorted((each for each in view.incidents.values() if not each.resolved), key=lambda each: each.at))


def incident_named(text: str) -> tuple[str, int] | None:
    """The cause and the occurrence, written CAUSE/NUMBER; None for what names none."""
    cause, _, number = text.rpartition("/")
    is_number = number.isascii() and number.isdecimal() and len(number) <= NUMBER_MAX
    return (cause, int(number)) if is_number and cause and "/" not in cause else None


def why_not_open(run: RunKey, latches: Iterable[Latch], which: tuple[str, int] | None) -> str:
    """Why an occurrence of an incident cannot be acknowledged, or, of None, why none can; empty where one can."""
    latches = tuple(latches)
    open_now = {each.cause: each for each in incidents_of(latches).values() if not each.resolved}
    names = ", ".join(sorted(f"{each.cause}/{each.number}" for each in open_now.values()))
    if which is None:
        return "" if open_now else f"{run} has no open incident"
    cause, number = which
    now, told = open_now.get(cause), (latch.alert for latch in latches if latch.alert)
    if now and now.number == number:
        return ""
    over = next((each.at for each in told if each.resolved and (each.cause, each.number) == which), None)
    why = f"{run} has no open incident {cause}/{number}"
    if over:
        why = f"{run}/incident/{cause}/{number} is over since {over:%Y-%m-%d %H:%M} UTC"
    if now:
        name = f"{run}/incident/{cause}/{now.number}"
        return f"{why}; open now is {name}: `tipoff ack {name} --reason TEXT`"
    return f"{why}; open: {names}" if names else f"{why}; nothing of it is open"


def looked_at_by(run: RunKey) -> str:
    """The command that tells more of it."""
    return f"tipoff status {run.pipeline}" if run.mode == WATCH else f"tipoff explain {run}"


# --- what carries it ------------------------------------------------------------------------------------


def raise_latch(view: View, cause: Cause) -> Latch:
    """The next occurrence of a cause that has none open."""
    return raised(view.plan.run, view.incidents.get(cause.name), cause, view.now)


def resolve_latch(view: View, cause: str, summary: str) -> Latch:
    """The end of the occurrence that is open."""
    return resolved(view.plan.run, view.incidents[cause], summary, view.now)


def raised(run: RunKey, known: Alert | None, cause: Cause, now: datetime) -> Latch:
    """As raise_latch, of whatever record holds it."""
    number = known.number + 1 if known else 1
    alert = Alert(cause=cause.name, number=number, severity=cause.severity, summary=cause.summary, at=now)
    return _latch(run, alert, "raise")


def resolved(run: RunKey, known: Alert, summary: str, now: datetime) -> Latch:
    return _latch(run, replace(known, summary=summary, at=now, resolved=True, acknowledged=None), "resolve")


def acknowledged(run: RunKey, known: Alert, act: Act) -> Latch:
    """That somebody has an open one. It is escalated all the same: who has it may have fallen asleep over it."""
    return _latch(run, replace(known, escalated_at=None, acknowledged=act), "acknowledge")


def escalations(run: RunKey, open_ones: Iterable[Alert], now: datetime) -> tuple[Latch, ...]:
    """Of these, what has been open for too long. It is the same incident, told to more people."""
    return tuple(
        _latch(run, replace(each, summary=_unresolved(each), escalated_at=now, acknowledged=None), "escalate")
        for each in open_ones
        if (at := escalates_at(each)) and at <= now
    )


def escalates_at(alert: Alert) -> datetime | None:
    """None for what is over, has been escalated, or can wait until morning."""
    waits = alert.resolved or alert.escalated_at or alert.severity is not Severity.PAGE
    return None if waits else alert.at + ESCALATED_AFTER


def _unresolved(alert: Alert) -> str:
    by = f", acknowledged by {alert.acknowledged.actor}" if alert.acknowledged else ""
    return f"unresolved for {ESCALATED_AFTER.total_seconds() / 3600:g} hours{by}: {alert.summary}"


def _latch(run: RunKey, alert: Alert, act: str) -> Latch:
    return Latch(key=f"{run}/incident/{alert.cause}/{alert.number}/{act}", run=run, alert=alert)


# --- causes ---------------------------------------------------------------------------------------------


def _stands_still(view: View, verdict: Verdict, readings: Mapping[str, Reading]) -> Cause | None:
    """A run that has published stands, whatever became of a refresh; one that said in vain that nothing was to do does
    not."""
    decision, run = verdict.decision, view.plan.run
    published = view.published and view.published.grade != NOTHING_EXPECTED
    if view.control.cancel or published:
        return None
    again = f"; looked at again {_clock(verdict.next_look_at)}" if verdict.next_look_at else ""
    if isinstance(decision, Block | Fail):
        what = f"is blocked at the gate {verdict.gate}" if isinstance(decision, Block) else "has failed"
        return Cause(STALLED, Severity.PAGE, f"{run} {what}: {decision.reason}{again}")
    under_way = _under_way(view, verdict)
    if under_way and view.now >= _stalled_at(*under_way) and not _is_excused(view, verdict, readings):
        phase, since = under_way
        what = f"has been in {phase.name} since {_clock(since)}"
        return Cause(STALLED, Severity.PAGE, f"{run} {what}: {decision.reason}{again}")
    return None


def _is_slow(view: View, verdict: Verdict, readings: Mapping[str, Reading]) -> Cause | None:
    """A phase that people were told of since it began, because it stood still, is no news."""
    under_way = _under_way(view, verdict)
    if under_way is None or view.control.cancel or view.published:
        return None
    (phase, since), known = under_way, view.incidents.get(STALLED)
    slow_at = _slow_at(phase, since)
    if slow_at is None or view.now < slow_at or (known and known.at >= since) or _is_excused(view, verdict, readings):
        return None
    took, usual = (view.now - since).total_seconds() / 60, (phase.usual_s or 0) / 60
    summary = f"{view.plan.run}: {phase.name} has taken {took:.0f} minutes, usually {usual:.0f} at most"
    return Cause(SLOW, Severity.WARN, f"{summary}; {verdict.decision.reason}")


def _was_late(view: View, outcome: Outcome | None) -> Cause | None:
    """Of a gate that opens now. One that ends the run late is for the report alone: there is nothing left to do."""
    if outcome is None or outcome.kind is not OutcomeKind.OPEN or outcome.ready_at is None:
        return None
    if view.now - outcome.ready_at <= LATE:
        return None
    late_s = (view.now - outcome.ready_at).total_seconds()
    summary = (
        f"{view.plan.run}: the gate {outcome.gate} could have opened at {_clock(outcome.ready_at)}, {late_s:.0f} s ago"
    )
    return Cause(LATE_GATE, Severity.WARN, summary)


def not_fired(run: RunKey, gate: str, since: datetime, now: datetime) -> Cause | None:
    """Of starts that were claimed then, and cannot be sent."""
    if now - since <= LATE:
        return None
    why = f"what {gate} shall start was claimed at {_clock(since)}, and cannot be sent"
    return Cause(NOT_FIRED, Severity.PAGE, f"{run}: {why}; look at the bus, and at the log of self_heal")


def _has_too_little(view: View, outcome: Outcome | None) -> Cause | None:
    """Told once of a run: it does not get more whole from gate to gate. What a person left out he knows."""
    if outcome is None or outcome.kind not in (OutcomeKind.OPEN, OutcomeKind.DONE) or outcome.grade != DEGRADED:
        return None
    forced = f"{outcome.gate}/{outcome.attempt}" in view.control.forces
    known = forced or all(each.processor in view.control.skips for each in outcome.missing)
    if outcome.completeness >= PARTIAL_ENOUGH or known or INCOMPLETE in view.incidents:
        return None
    names = ", ".join(dict.fromkeys(each.processor for each in outcome.missing))
    what = f"{view.plan.run} goes on" if outcome.kind is OutcomeKind.OPEN else f"{view.plan.run} has published"
    share = f"with {outcome.completeness:.0%} of what it needs, below {PARTIAL_ENOUGH:.0%}"
    return Cause(INCOMPLETE, Severity.WARN, f"{what} {share}; not whole: {names}")


def _is_unanswered(view: View, verdict: Verdict) -> Cause | None:
    if not verdict.unanswered or view.control.cancel:
        return None
    return Cause(UNANSWERED, Severity.WARN, f"{view.plan.run}: {'; '.join(verdict.unanswered)}")


def _has_died(view: View) -> Cause | None:
    """Of what has died since people were last told: that a run has got over it says nothing of the next message."""
    known = view.incidents.get(DEAD_LETTERS)
    new = [repair for repair in view.left if known is None or known.at < repair.at]
    if not new or view.control.cancel:
        return None
    summary = f"{view.plan.run}: {len(view.left)} dead letters wait for a person; the first, {view.left[0].reason}"
    return Cause(DEAD_LETTERS, Severity.WARN, f"{summary}; see `tipoff dlq list`")


# --- the phase that is under way -------------------------------------------------------------------------


def _under_way(view: View, verdict: Verdict) -> tuple[PlannedPhase, datetime] | None:
    """The phase on the left of the gate that stays shut, and since when it is open, or is not held any more."""
    index = view.plan.gates.index(verdict.gate)
    left = view.plan.phases[index - 1] if index else None
    opened = view.outcomes.get(left.name) if left else None
    if left is None or opened is None or not isinstance(verdict.decision, Wait | Block):
        return None
    return left, max(opened.decided_at, view.control.held_until(view.now) or opened.decided_at)


def _slow_at(phase: PlannedPhase, since: datetime) -> datetime | None:
    return since + SLOW_FACTOR * timedelta(seconds=phase.usual_s) if phase.usual_s else None


def _stalled_at(phase: PlannedPhase, since: datetime) -> datetime:
    """What usually takes hours may take twice as long."""
    return max(since + STALLED_AFTER, _slow_at(phase, since) or since)


def _limits(phase: PlannedPhase, since: datetime) -> list[datetime | None]:
    return [_slow_at(phase, since), _stalled_at(phase, since)]


def _is_excused(view: View, verdict: Verdict, readings: Mapping[str, Reading]) -> bool:
    """It waits for the run before it, which has incidents of its own, or for what its sources say is not there yet."""
    before = readings.get(RUNS_BEFORE)
    if before and before.verdict is ReadingVerdict.HOLD:
        return True
    missing = [view.facts.get(each.processor, ()) for each in verdict.decision.missing]
    return bool(missing) and all(facts and facts[-1].completion.status is Status.NOT_READY for facts in missing)


def _clock(instant: datetime) -> str:
    return f"{instant:%H:%M} UTC"
