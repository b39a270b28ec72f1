"""What a person has to know of a run that does not go on by itself. Pure: from the same view that decides.

One cause has one open incident at a time, whatever shows it. Raising and resolving it are latches that carry what is to
be told: claimed with the decision, they are told once in effect, and none is lost while the sink is down. Known
silences raise nothing: an operator's hold or cancel, nothing expected, a run that is not due yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core.fold import View
from shared.core.gate import NOTHING_EXPECTED, Block, Done, Fail, Verdict
from shared.core.model import Alert, Latch, Outcome, OutcomeKind, RunKey, Severity

STALLED = "stalled"
"""It stands still: blocked, or failed. One cause, for whoever gets up looks once."""


LATE_GATE = "late-gate"
"""A gate could have opened, and nobody looked: messages were lost and the timer was out."""

DEAD_LETTERS = "dead-letters"
"""Messages about it died, and sending them again does not help or has not: somebody has to look why."""

LATE = timedelta(minutes=2)
"""SYSTEMS, section 1: ready but not fired. A timer that looks every minute keeps below it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a person is told, as it stands now."""

    name: str
    severity: Severity
    summary: str


def alerts_due(
    view: View, verdict: Verdict, outcome: Outcome | None = None, *, replayed: bool = False
) -> tuple[Latch, ...]:
    """The latches that make what people are told agree with the verdict, and with the outcome that it latches.

    `replayed`: whether a newer generation stands over the run, so that nobody waits for this one any more.
    """
    if view.control.held_at(view.now) and not view.control.cancel:
        return ()  # whoever holds it looks into it: nothing is raised, and what is open stays so
    open_now = {cause for cause, alert in view.incidents.items() if not alert.resolved}
    found = (_stands_still(view, verdict), _was_late(view, outcome), _has_died(view))
    there = [cause for cause in found if cause and not replayed]
    over = {STALLED} if STALLED not in [cause.name for cause in there] else set()
    if isinstance(verdict.decision, Done) or view.control.cancel or replayed:  # whatever else was wrong is over as well
        over = open_now
    ended = f"{view.plan.run}: {'a newer generation does it over' if replayed else verdict.decision.reason}"
    return (
        *(raise_latch(view, cause) for cause in there if cause.name not in open_now),
        *(resolve_latch(view, cause, ended) for cause in sorted(over & open_now)),
    )


def open_incidents(view: View) -> tuple[Alert, ...]:
    """Those that are open, the oldest first."""
    return tuple(sorted((each for each in view.incidents.values() if not each.resolved), key=lambda each: each.at))


def raise_latch(view: View, cause: Cause) -> Latch:
    """The next occurrence of a cause that has none open."""
    known = view.incidents.get(cause.name)
    number = known.number + 1 if known else 1
    alert = Alert(cause=cause.name, number=number, severity=cause.severity, summary=cause.summary, at=view.now)
    return _latch(view.plan.run, alert, "raise")


def resolve_latch(view: View, cause: str, summary: str) -> Latch:
    """The end of the occurrence that is open."""
    known = view.incidents[cause]
    alert = Alert(
        cause=cause, number=known.number, severity=known.severity, summary=summary, at=view.now, resolved=True
    )
    return _latch(view.plan.run, alert, "resolve")


def _latch(run: RunKey, alert: Alert, act: str) -> Latch:
    return Latch(key=f"{run}/incident/{alert.cause}/{alert.number}/{act}", run=run, alert=alert)


def _stands_still(view: View, verdict: Verdict) -> Cause | None:
    """A run that has published stands, whatever became of a refresh; one that said in vain that nothing was to do does
    not."""
    decision = verdict.decision
    published = view.published and view.published.grade != NOTHING_EXPECTED
    if view.control.cancel or published or not isinstance(decision, Block | Fail):
        return None
    what = f"is blocked at the gate {verdict.gate}" if isinstance(decision, Block) else "has failed"
    again = f"; looked at again {_clock(verdict.next_look_at)}" if verdict.next_look_at else ""
    return Cause(STALLED, Severity.PAGE, f"{view.plan.run} {what}: {decision.reason}{again}")


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


def _has_died(view: View) -> Cause | None:
    """Of what has died since people were last told: that a run has got over it says nothing of the next message."""
    known = view.incidents.get(DEAD_LETTERS)
    new = [repair for repair in view.left if known is None or known.at < repair.at]
    if not new or view.control.cancel:
        return None
    summary = f"{view.plan.run}: {len(view.left)} dead letters wait for a person; the first, {view.left[0].reason}"
    return Cause(DEAD_LETTERS, Severity.WARN, f"{summary}; see `tipoff dlq list`")


def _clock(instant: datetime) -> str:
    return f"{instant:%H:%M} UTC"
