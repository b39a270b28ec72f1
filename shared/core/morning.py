"""From all that is known of the last day to the summary that a person is told of it. Pure.

Absence is a row: a run that the calendar expects and that nobody has begun is told as missing, not left out. A state
is what it is when it is asked for; the day says only which runs are meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.core import calendar
from shared.core.batch_status import BatchHead
from shared.core.durations import phase_durations
from shared.core.fold import View, look
from shared.core.gate import DEGRADED, NOTHING_EXPECTED
from shared.core.incident import open_incidents
from shared.core.model import (
    Alert,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    Missing,
    ModeSpec,
    OutcomeKind,
    PipelineSpec,
    RunKey,
    Severity,
)
from shared.core.plan import Plan
from shared.core.repairs import repairs
from shared.core.status import RunState, RunStatus, summarise
from shared.core.summary import (
    THERE,
    BatchDay,
    Fate,
    Grading,
    IncidentDay,
    ModeDay,
    PipelineDay,
    RunDay,
    Signal,
    Summary,
    Transition,
)
from shared.core.watch import record_of

LOOK_BACK_DAYS = 30  # how far back an open incident, and the last run that published, are looked for
MORNING = "08:00"
"""When the day ends that the summary of a date is of, on the pipeline's clock; a schedule says so too."""

GRADING = "grading"
"""The phase that says how far off yesterday's predictions were."""

LACKS_NAMED = 3  # of what a run was published without, each with its reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that is known of one run."""

    plan: Plan
    facts: tuple[Fact, ...]
    latches: tuple[Latch, ...]
    control: Control
    last_entry: LedgerEntry | None
    ledger: tuple[LedgerEntry, ...] = ()  # of a run that is due; nobody asks for the others'
    batches: tuple[BatchHead, ...] = ()  # the same, in the order in which they were ordered

    def view(self, now: datetime) -> View:
        return look(self.plan, self.facts, self.latches, self.control, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What the warehouse says of a date; or why it cannot be asked."""

    graded: int = 0
    error: float | None = None
    usual: float | None = None
    days: int = 0
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that the day of a pipeline is made of."""

    spec: PipelineSpec
    modes: frozenset[str]  # whose runs the calendar expects, whether or not somebody begins them
    seen: Mapping[RunKey, Seen]  # the newest generation of each date and mode of the last LOOK_BACK_DAYS
    watched: tuple[Alert, ...]  # open incidents that are about no run
    graded: Mapping[date, Graded]
    cost_usd: float
    goes_on: Callable[[RunKey, Mapping[str, str]], str]  # the command that runs one with these labels
    helps: Callable[[View, RunStatus, LedgerEntry | None], str]  # what a person may type about one that is there
    is_looked_at: bool  # whether somebody looks at a run when it is due; no, in a home where no command works
    begins: str  # what begins a run that is missing; empty: nobody


def span_until(until: datetime, zone: str) -> datetime:
    """The beginning of the day that ends then, by the clock on the wall: a day of a clock change has 23 or 25 hours."""
    return calendar.day_before(until, zone)


def due_runs(spec: PipelineSpec, modes: Collection[str], until: datetime) -> tuple[RunKey, ...]:
    """The runs that should have begun in that day, by the calendar, in its order."""
    since = span_until(until, spec.zone)
    declared = {mode.name: mode for mode in spec.modes}
    return tuple(
        run
        for run in calendar.expected_runs(spec, until)
        if run.mode in modes and calendar.usual_start(declared[run.mode], run.date, spec.zone) > since
    )


def summary_of(gathered: Sequence[Gathered], *, until: datetime, now: datetime, watchdog: str) -> Summary:
    """The summary of all pipelines; the span is told by the first one's clock."""
    days = tuple(_pipeline_day(each, until, now) for each in gathered)
    signals = [day.signal for day in days] + ([Signal.RED] if watchdog else [])
    zone = gathered[0].spec.zone if gathered else "UTC"
    return Summary(
        since=span_until(until, zone),
        until=until,
        made_at=now,
        signal=_worst(signals),
        watchdog=watchdog,
        pipelines=days,
    )


def _worst(signals: Collection[Signal]) -> Signal:
    return next((each for each in (Signal.RED, Signal.YELLOW) if each in signals), Signal.GREEN)


def _pipeline_day(gathered: Gathered, until: datetime, now: datetime) -> PipelineDay:
    spec = gathered.spec
    last = {(run.date, run.mode): run for run in gathered.seen}
    runs = [
        _run_day(gathered, last.get((run.date, run.mode), run), now) for run in due_runs(spec, gathered.modes, until)
    ]
    incidents = tuple(sorted(_incidents(gathered, now), key=lambda each: (each.since, str(each.run), each.cause)))
    grading = _grading(gathered, runs)
    signals = [run.signal for run in runs]
    signals += [Signal.RED if each.severity is Severity.PAGE else Signal.YELLOW for each in incidents]
    signals += [Signal.YELLOW] if grading and grading.is_fault else []
    return PipelineDay(
        pipeline=spec.name,
        date=calendar.game_day(until, spec.zone),
        zone=spec.zone,
        synthetic=any(
            gathered.seen[run.run].plan.labels.get("synthetic") == "yes" for run in runs if run.run in gathered.seen
        ),
        signal=_worst(signals),
        modes=tuple(_mode_day(mode, runs) for mode in spec.modes if any(run.run.mode == mode.name for run in runs)),
        incidents=incidents,
        grading=grading,
        cost_usd=gathered.cost_usd,
    )


def _mode_day(mode: ModeSpec, runs: Iterable[RunDay]) -> ModeDay:
    own = tuple(run for run in runs if run.run.mode == mode.name)
    counts = Counter(run.fate for run in own)
    there = sum(counts[fate] for fate in THERE)
    return ModeDay(
        mode=mode.name,
        expected=len(own),
        published=counts[Fate.PUBLISHED],
        degraded=counts[Fate.DEGRADED],
        nothing_expected=counts[Fate.NOTHING_EXPECTED],
        unfinished=len(own) - there - counts[Fate.MISSING],
        missing=counts[Fate.MISSING],
        runs=own,
    )


# --- one run ----------------------------------------------------------------------------------------------


def _run_day(gathered: Gathered, run: RunKey, now: datetime) -> RunDay:
    seen = gathered.seen.get(run)
    if seen is None:
        return _missing_day(gathered, run, now)
    view = seen.view(now)
    status = summarise(view, seen.last_entry)
    fate, published_at = _fate(view, status), _published_at(seen.latches)
    acts = repairs(seen.plan, seen.facts, seen.latches, seen.ledger)
    batches = {head.phase: head for head in seen.batches}  # the last attempt stands
    return RunDay(
        run=run,
        fate=fate,
        completeness=view.published.completeness if fate in THERE and view.published else None,
        why=_why(gathered, view, status, fate, published_at, batches.values()),
        next=_next(gathered, view, status, fate),
        command=_command(gathered, seen, view, status, fate),
        missing=tuple(missing.processor for missing in view.published.missing) if view.published else (),
        deadline_at=seen.plan.deadline_at,
        published_at=published_at,
        last_published=None if fate in THERE else _last_published(gathered, run, now),
        batches=tuple(_batch_day(head) for head in batches.values()),
        slowest=_slowest(seen),
        healed=dict(sorted(Counter(str(act.kind) for act in acts).items())),
    )


def _missing_day(gathered: Gathered, run: RunKey, now: datetime) -> RunDay:
    spec = gathered.spec
    (mode,) = (mode for mode in spec.modes if mode.name == run.mode)
    due_at = calendar.usual_start(mode, run.date, spec.zone)
    return RunDay(
        run=run,
        fate=Fate.MISSING,
        completeness=None,
        why=f"nobody has begun it; it was due at {calendar.clock(due_at, spec.zone)}",
        next=gathered.begins or "nothing more happens by itself",
        command="" if gathered.begins else gathered.goes_on(run, _labels(gathered)),
        missing=(),
        deadline_at=calendar.deadline(mode, run.date, spec.zone),
        published_at=None,
        last_published=_last_published(gathered, run, now),
        batches=(),
        slowest=None,
        healed={},
    )


def _labels(gathered: Gathered) -> Mapping[str, str]:
    """Those of the run that began last: what is missing would be made of the same data."""
    last = max(gathered.seen.values(), key=lambda seen: seen.plan.started_at, default=None)
    return last.plan.labels if last else {}


def _fate(view: View, status: RunStatus) -> Fate:
    """What was published stands, whatever becomes of a refresh."""
    if view.published and view.published.grade != NOTHING_EXPECTED:
        return Fate.DEGRADED if view.published.grade == DEGRADED else Fate.PUBLISHED
    if view.control.cancel:
        return Fate.CANCELLED
    match status.state:
        case RunState.NOTHING_EXPECTED | RunState.FAILED:
            return Fate(status.state)
        case _ if view.control.held_at(view.now):
            return Fate.HELD
        case RunState.BLOCKED:
            return Fate.BLOCKED
        case _:
            return Fate.LATE if view.now > view.plan.deadline_at else Fate.RUNNING


def _published_at(latches: Iterable[Latch]) -> datetime | None:
    ends = (latch.outcome for latch in latches if latch.outcome and latch.outcome.kind is OutcomeKind.DONE)
    return min((end.decided_at for end in ends if end.grade != NOTHING_EXPECTED), default=None)


def _last_published(gathered: Gathered, run: RunKey, now: datetime) -> date | None:
    """The newest date before it on which a run of its mode was there."""
    before = sorted((key for key in gathered.seen if key.mode == run.mode and key.date < run.date), reverse=True)
    for key in before:
        view = gathered.seen[key].view(now)
        if view.published:
            return key.date
    return None


def _slowest(seen: Seen) -> Transition | None:
    """Of the phases whose usual time somebody knew; the one that took the most times as long."""
    took = phase_durations(seen.latches)
    found = [
        Transition(phase=phase.name, took_s=took[phase.name], usual_s=phase.usual_s, usual_from=phase.usual_from)
        for phase in seen.plan.phases
        if phase.name in took and phase.usual_s
    ]
    return max(found, key=lambda each: each.times, default=None)


def _batch_day(head: BatchHead) -> BatchDay:
    told = head.completion.units_actual if head.completion else None
    done = head.ended if told is None else told
    return BatchDay(batch=head.batch, state=str(head.state), units=head.units, done=done, incident=head.incident)


# --- why, and what next -----------------------------------------------------------------------------------


def _why(
    gathered: Gathered,
    view: View,
    status: RunStatus,
    fate: Fate,
    published_at: datetime | None,
    batches: Iterable[BatchHead],
) -> str:
    zone = gathered.spec.zone
    told = [head.incident for head in batches if head.incident]
    match fate:
        case Fate.PUBLISHED | Fate.DEGRADED:
            lacks = view.published.missing if view.published and fate is Fate.DEGRADED else ()
            told = [*([_without(lacks)] if lacks else []), *told]
            if published_at and published_at > view.plan.deadline_at:
                told.insert(0, f"published at {calendar.clock(published_at, zone)}, after its deadline")
            if fate is Fate.DEGRADED and not told:
                told = [status.reason]
        case Fate.HELD | Fate.CANCELLED:
            act = view.control.cancel or view.control.held_at(view.now)
            assert act, "somebody said so"
            told = [f"by {act.actor}: {act.reason}", *told]
        case Fate.LATE:
            told = [f"its deadline was {calendar.clock(view.plan.deadline_at, zone)}; {status.reason}", *told]
        case Fate.BLOCKED | Fate.FAILED:
            told = [status.reason, *told]
        case _:
            pass
    return "; ".join(told)


def _without(lacks: Sequence[Missing]) -> str:
    named = ", ".join(f"{each.processor} ({each.why})" for each in lacks[:LACKS_NAMED])
    more = len(lacks) - LACKS_NAMED
    return f"without {named}" + (f" and {more} more" if more > 0 else "")


def _next(gathered: Gathered, view: View, status: RunStatus, fate: Fate) -> str:
    zone, hold = gathered.spec.zone, view.control.held_at(view.now)
    if fate is Fate.HELD and hold:
        return f"it goes on at {calendar.clock(hold.until, zone)}" if hold.until else "it goes on when it is released"
    if fate in (Fate.PUBLISHED, Fate.NOTHING_EXPECTED):
        return ""
    if status.next_look_at is None:
        return "" if fate is Fate.DEGRADED else "nothing more happens by itself"
    if not gathered.is_looked_at:
        return "nobody is at work in this home"
    look = f"next look {calendar.clock(max(status.next_look_at, view.now), zone)}"
    if fate is Fate.DEGRADED:
        return f"what comes late is still taken in; {look}"
    due = f"; due by {calendar.clock(view.plan.deadline_at, zone)}" if fate is Fate.RUNNING else ""
    return f"{look}{due}"


def _command(gathered: Gathered, seen: Seen, view: View, status: RunStatus, fate: Fate) -> str:
    if fate in (Fate.PUBLISHED, Fate.NOTHING_EXPECTED) or (fate is Fate.RUNNING and gathered.is_looked_at):
        return ""
    if status.next_look_at and not gathered.is_looked_at:
        return gathered.goes_on(view.plan.run, view.plan.labels)
    return gathered.helps(view, status, seen.last_entry)


# --- beside the runs --------------------------------------------------------------------------------------


def _incidents(gathered: Gathered, now: datetime) -> Iterator[IncidentDay]:
    for run, seen in gathered.seen.items():
        yield from (_incident(run, alert) for alert in open_incidents(seen.view(now)))
    yield from (_incident(record_of(gathered.spec.name), alert) for alert in gathered.watched)


def _incident(run: RunKey, alert: Alert) -> IncidentDay:
    return IncidentDay(
        run=run,
        cause=alert.cause,
        severity=alert.severity,
        since=alert.at,
        taken_by=alert.acknowledged.actor if alert.acknowledged else "",
        summary=alert.summary,
    )


def _grading(gathered: Gathered, runs: Iterable[RunDay]) -> Grading | None:
    """Of the newest run whose plan grades; None where none was due."""
    modes = {
        mode
        for phase in gathered.spec.phases
        if phase.name == GRADING
        for processor in phase.processors
        for mode in (*processor.critical, *processor.optional)
    }
    own = [run for run in runs if run.run.mode in modes]
    if not own:
        return None
    last = max(own, key=lambda run: run.run.date)
    found = gathered.graded.get(last.run.date, Graded())
    is_ungraded = found.error is None and not found.unread
    return Grading(
        date=last.run.date,
        graded=found.graded,
        error=found.error,
        usual=found.usual,
        days=found.days,
        why=_ungraded(gathered.seen.get(last.run), last) if is_ungraded else found.unread,
        is_fault=bool(found.unread),
    )


def _ungraded(seen: Seen | None, day: RunDay) -> str:
    """Why nothing is graded, in the words of who should have done it."""
    if day.fate is Fate.NOTHING_EXPECTED:
        return "there was nothing to grade"
    said = [fact.completion for fact in seen.facts if fact.completion.phase == GRADING] if seen else []
    if not said:
        return f"{day.run.mode} is {day.fate.replace('_', ' ')}, and has graded nothing"
    return f"{said[-1].processor}: {said[-1].reason or said[-1].status}"
