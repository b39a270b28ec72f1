"""What a person has to know of a run that does not go on by itself. Pure: from the same view that decides.

One cause has one open incident at a time, whatever shows it. Raising and resolving it are latches that carry what is to
be told: claimed with the decision, they are told once in effect, and none is lost while the sink is down. Known
silences raise nothing: an operator's hold or cancel, nothing expected, a run that is not due yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.core.fold import View
from shared.core.gate import Block, Done, Fail, Verdict
from shared.core.model import Alert, Latch, RunKey, Severity

STALLED = "stalled"
"""It stands still: blocked, or failed. One cause, for whoever gets up looks once."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a person is told, as it stands now."""

    name: str
    severity: Severity
    summary: str


def alerts_due(view: View, verdict: Verdict) -> tuple[Latch, ...]:
    """The latches that make what people are told agree with the verdict: at most one for each cause."""
    if view.control.held_at(view.now) and not view.control.cancel:
        return ()  # whoever holds it looks into it: nothing is raised, and what is open stays so
    there = _stands_still(view, verdict)
    known = view.incidents.get(STALLED)
    is_open = known is not None and not known.resolved
    if there and not is_open:
        return (raise_latch(view, there),)
    if there:
        return ()
    over = [STALLED] if is_open else []
    if isinstance(verdict.decision, Done) or view.control.cancel:  # whatever else was wrong with it is over as well
        over = [cause for cause, alert in view.incidents.items() if not alert.resolved]
    return tuple(resolve_latch(view, cause, f"{view.plan.run}: {verdict.decision.reason}") for cause in over)


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
    """A run that has published stands, whatever became of a refresh."""
    decision = verdict.decision
    if view.control.cancel or view.published or not isinstance(decision, Block | Fail):
        return None
    what = f"is blocked at the gate {verdict.gate}" if isinstance(decision, Block) else "has failed"
    again = f"; looked at again {_clock(verdict.next_look_at)}" if verdict.next_look_at else ""
    return Cause(STALLED, Severity.PAGE, f"{view.plan.run} {what}: {decision.reason}{again}")


def _clock(instant: datetime) -> str:
    return f"{instant:%H:%M} UTC"
