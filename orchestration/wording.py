"""How times, durations, names and states are said to a person, on a terminal and on a page. Plain text, no markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.core.batch_status import BatchHead, BatchState, BatchStatus
from shared.core.plan import PlannedProcessor
from shared.core.quality import TOO_POOR
from shared.core.status import PhaseState, PhaseStatus, RunStatus

MISSING_SHOWN = 4
OVERDUE_S = 60  # the timer looks once a minute
BATCH_SAYS = {
    BatchState.ENDED: "has ended",
    BatchState.EXPIRED: "has expired",
    BatchState.SEALED: "was sealed",
    BatchState.CANCELLED: "was cancelled",
}


def safe(text: str) -> str:
    """Characters that are not printable as their escapes: no colour, no moved cursor, no turned direction, no line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(instant: datetime, now: datetime) -> str:
    seconds = max(0.0, (now - instant).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def moment(instant: datetime, now: datetime | None = None) -> str:
    text = f"{instant:%Y-%m-%d %H:%M:%S} UTC"
    if now is None:
        return text
    left_s = (instant - now).total_seconds()
    if left_s > 0:
        return f"{text} (in {span(left_s)})"
    return f"{text} (now)" if left_s > -OVERDUE_S else f"{text} (due {span(-left_s)} ago)"


def span(seconds: float) -> str:
    """So long, as roughly as a person who waits wants to know it."""
    if seconds <= 7_200:
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    unit, unit_s = ("h", 3_600) if seconds <= 172_800 else ("days", 86_400)
    return f"{round(seconds / unit_s, 1):g} {unit}"


def took(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    return spent((last - first).total_seconds())


def spent(seconds: float) -> str:
    """So long it was, for who compares."""
    return f"{seconds:.2f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def shorten(names: Iterable[str]) -> str:
    names = list(names)
    return named(names[:MISSING_SHOWN], len(names))


def named(first: Sequence[str], total: int) -> str:
    """The first of so many, by name."""
    more = total - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def missing_text(phase: PhaseStatus) -> str:
    """What is not there, or was not when the gate behind it opened; what came too late for it."""
    late = f"late and ignored: {shorten(phase.ignored)}" if phase.ignored else ""
    return "; ".join(filter(None, (shorten(phase.missing), late)))


def gate_text(phase: PhaseStatus) -> str:
    """The gate behind a phase; why, wherever it is more than that all is there."""
    if phase.state is PhaseState.COMPLETE or not phase.reason:
        return phase.decision
    return f"{phase.decision}: {phase.reason}" if phase.decision else phase.reason


def limit_text(processor: PlannedProcessor) -> str:
    """How long its first attempt may take, and what decided it; older plans do not say."""
    return ", ".join(part for part in (f"{processor.timeout_s} s", processor.timeout_from) if part)


def next_line(status: RunStatus, now: datetime) -> str:
    """What happens next and when."""
    standings = [item for phase in status.phases for item in phase.standings.items()]
    asked = [f"{name}: {safe(standing.why)}." for name, standing in standings if standing.asked and standing.whole]
    if status.next_look_at is None:
        return " ".join(asked) or ("Nothing more will happen by itself." if not status.state.well else "")
    return " ".join([*asked, f"Next look {moment(status.next_look_at, now)}."])


def batch_notes(batch: BatchStatus) -> list[str]:
    """What a person has said of a batch, what was asked of its units, and what somebody has to look into."""
    head, notes = batch.head, list[str]()
    if head.sealed_at:
        notes.append(f"Ended {moment(head.sealed_at)}: {safe(head.reason)}.")
    if batch.override or any(cause.reason.startswith(TOO_POOR) for cause in batch.causes):
        notes.append(f"Its units need {batch.quality_min:.0%} of their inputs.")
    if batch.override:
        act, until = batch.override, batch.override.until
        ends = f" until {moment(until)}" if until else ""
        notes.append(
            f"Those with less were ordered all the same, by the word of {safe(act.actor)}{ends}: {safe(act.reason)}."
        )
    if batch.healed:
        notes.append(f"The inputs of {len(batch.healed):,} units were read anew: {shorten(batch.healed)}.")
    if head.incident:
        notes.append(f"INCIDENT: {safe(head.incident)}")
    return notes


def batch_far(batch: BatchHead, now: datetime) -> str:
    """How far a batch is that has not reported, and when it may be through."""
    when = through(batch, now) if batch.state is BatchState.OPEN else str(batch.state)
    return f"{ended_text(batch)} units" + (f", {when}" if when else "")


def rate(batch: BatchHead) -> str:
    """How many of its units end in a second or, where that says nothing, in a minute; empty where none has."""
    if batch.per_s >= 1:
        return f"{batch.per_s:,.{0 if batch.per_s >= 10 else 1}f}/s"
    return f"{batch.per_s * 60:.1f} a minute" if batch.per_s else ""


def through(batch: BatchHead, now: datetime) -> str:
    """When an open batch will have ended, if it goes on so. Empty where nothing tells."""
    if batch.sealed_at or batch.ends_at is None:
        return ""
    if now >= batch.deadline_at:
        return "its deadline is over"
    if batch.ends_at > batch.deadline_at:
        return f"too slow for its deadline at {batch.deadline_at:%H:%M:%S} UTC"
    return f"through at about {batch.ends_at:%H:%M:%S} UTC"


def ended_text(batch: BatchHead) -> str:
    return f"{batch.ended:,} of {batch.units:,}"
