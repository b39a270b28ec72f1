"""What the pages show, gathered: each a value, read from the same stores and told by the same core as the commands'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from orchestration import wording
from orchestration.letters import Letter, letters_of
from orchestration.records import newest, records_of, status_of_batch, watched
from orchestration.slo import said_of
from orchestration.stories import Story, read_story, reasons
from shared import wiring
from shared.config.settings import Settings
from shared.core import fold
from shared.core.batch_status import BatchHead, BatchStatus, batch_head
from shared.core.calendar import deadline, game_day, usual_start
from shared.core.fold import View, look
from shared.core.incident import open_incidents
from shared.core.model import (
    END,
    WATCH,
    Alert,
    Latch,
    LedgerEntry,
    PipelineSpec,
    RepairKind,
    RunKey,
    ScheduleSpec,
    Word,
)
from shared.core.plan import Plan
from shared.core.slo import Attained, Offence
from shared.core.status import RunStatus, summarise
from shared.core.story import Recomputed, recomputed
from shared.core.watch import record_of
from shared.ports import StateStore
from shared.wiring import ReadHome

DAY = timedelta(days=1)
NEAR_DAYS = 2
"""Runs of so many days before are looked at for what is still open: as far as the sweep looks back."""

INCIDENT_DAYS = 7
"""How far back incidents are listed: a week tells whether one comes again. Each of its runs is read whole."""

OFFENDERS_MAX = 10
BATCHES_MAX = 50  # the newest: two weeks of them
FIRINGS_AHEAD = timedelta(days=8)  # a weekly schedule fires in it


class NotThere(LookupError):
    """What was asked for is not there: names it, and what is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run as it is now."""

    plan: Plan
    view: View
    status: RunStatus
    incidents: tuple[Alert, ...]  # open ones

    @property
    def run(self) -> RunKey:
        return self.plan.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A mode of a day: its run, or when that usually begins."""

    mode: str
    run: RunKey  # the newest generation; the first, where there is none
    usual_at: datetime
    deadline_at: datetime
    seen: Seen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An incident of a run, or of what is watched beside the runs."""

    run: RunKey
    alert: Alert
    ended_at: datetime | None

    @property
    def has_page(self) -> bool:
        """Whether it is a run's, which has one."""
        return self.run.mode != WATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """A day of a pipeline: what should run on it, what else is about, and what a person has to look into."""

    pipeline: str
    zone: str
    day: date
    today: date
    rows: tuple[Row, ...]
    others: tuple[Seen, ...]
    incidents: tuple[Opened, ...]
    latest: date | None  # the last day before this one that has runs, where this one has none

    @property
    def is_today(self) -> bool:
        return self.day == self.today


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A line of a run's story: a decision, a person's word, or what the timer made good."""

    at: datetime
    kind: str  # decision, word, repair
    about: str
    what: str
    saw: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSight:
    """All that the page of a run tells."""

    story: Story
    plan: Plan
    told: tuple[Told, ...]
    generations: tuple[RunKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A schedule, when it speaks next, and when its job came through the last time."""

    schedule: ScheduleSpec
    pipeline: str
    next_at: datetime | None
    beat_at: datetime | None


def see(states: StateStore, run: RunKey, now: datetime) -> Seen | None:
    """A run that is there, folded from what is there of it."""
    plan = states.plan(run)
    if plan is None:
        return None
    record = states.load(run)
    view = look(plan, record.facts, record.latches, record.control, now)
    return Seen(plan=plan, view=view, status=summarise(view, record.last_entry), incidents=open_incidents(view))


def today(home: ReadHome | None, spec: PipelineSpec, day: date | None, now: datetime) -> Today:
    """The runs of a local day."""
    this = game_day(now, spec.zone)
    day = day or this
    there = newest(home.states, spec.name, day - NEAR_DAYS * DAY, day + DAY) if home else {}
    rows, seen = [], dict[RunKey, Seen]()
    for mode in sorted(spec.modes, key=lambda mode: mode.starts_at):
        about = day - mode.start_days * DAY
        run = there.get((about, mode.name), RunKey(spec.name, about, mode.name))
        found = see(home.states, run, now) if home else None
        rows.append(
            Row(
                mode=mode.name,
                run=run,
                usual_at=usual_start(mode, about, spec.zone),
                deadline_at=found.plan.deadline_at if found else deadline(mode, about, spec.zone),
                seen=found,
            )
        )
        if found:
            seen[run] = found
    rest = [run for run in there.values() if run not in seen]
    others = [found for run in rest if home and (found := see(home.states, run, now))]
    others.sort(key=lambda found: found.plan.started_at, reverse=True)
    alerts = [(found.run, alert) for found in (*seen.values(), *others) for alert in found.incidents]
    alerts += [(record_of(spec.name), alert) for alert in (watched(home.states, spec.name) if home else ())]
    before = home.states.runs(spec.name, date.min, day) if home and not there else ()
    return Today(
        pipeline=spec.name,
        zone=spec.zone,
        day=day,
        today=this,
        rows=tuple(rows),
        others=tuple(others),
        incidents=tuple(
            Opened(run=run, alert=alert, ended_at=None)
            for run, alert in sorted(alerts, key=lambda each: each[1].at, reverse=True)
        ),
        latest=max((begins_on(spec, run) for run in before if run.mode != WATCH), default=None),
    )


def begins_on(spec: PipelineSpec, run: RunKey) -> date:
    """The local day on which a run of this mode and date usually begins, and whose page shows it."""
    return run.date + DAY * next((mode.start_days for mode in spec.modes if mode.name == run.mode), 0)


def known_plan(states: StateStore, run: RunKey) -> Plan:
    """Raises NotThere for a run that nobody has begun."""
    plan = states.plan(run) if run.mode != WATCH else None
    if plan is None:
        raise NotThere(f"Run {run} has not begun here.")
    return plan


def run_sight(home: ReadHome, settings: Settings, run: RunKey, now: datetime) -> RunSight:
    """One run with its story."""
    plan = known_plan(home.states, run)
    story = read_story(home, settings, plan, now)
    there = home.states.runs(run.pipeline, run.date, run.date)
    return RunSight(
        story=story,
        plan=plan,
        told=tuple(sorted(_told(story), key=lambda line: (line.at, line.kind == "decision"))),
        generations=tuple(sorted(key for key in there if key.mode == run.mode)),
    )


def _told(story: Story) -> Iterator[Told]:
    """As `tipoff explain` tells them; what is missing is named once."""
    for word in story.words:
        yield _word(word)
    for act in story.repairs:
        if act.kind is not RepairKind.GATE:
            why = f"{act.subject}: {act.reason}"
            yield Told(at=act.at, kind="repair", about="self_heal", what=str(act.kind), saw="", why=why)
    named = set[str]()
    for entry, saw in story.decisions:
        why = "; ".join(reasons(entry, saw, named))
        yield Told(
            at=entry.at,
            kind="decision",
            about=gate_name(entry),
            what=entry.decision,
            saw=f"{saw.done} of {saw.planned}" if saw.planned else "",
            why=why,
        )
        if entry.decision not in ("wait", "ask"):
            named |= {missing.processor for missing in entry.missing}


def _word(word: Word) -> Told:
    act = word.act
    until = f" (until {wording.moment(act.until)})" if act.until else ""
    about = f"{word.about}, " if word.about else ""
    what = word.verb.replace("_", " ")
    return Told(
        at=act.at, kind="word", about="a person", what=what, saw="", why=f"{about}{act.actor}: {act.reason}{until}"
    )


def gate_name(entry: LedgerEntry) -> str:
    """The gate of a decision, and which of its attempts, where it is not the first."""
    again = f" ({entry.attempt})" if entry.attempt > 1 else ""
    return f"{'the end' if entry.gate == END else entry.gate}{again}"


def ledger(states: StateStore, run: RunKey) -> tuple[Recomputed, ...]:
    """Every decision of a run, beside the same one made now from what it saw."""
    plan, record = known_plan(states, run), states.load(run)
    return tuple(recomputed(plan, record.facts, record.latches, entry) for entry in states.ledger(run))


def incidents(states: StateStore, spec: PipelineSpec, now: datetime) -> tuple[Opened, ...]:
    """Of the runs of the last days, and of what the timer watches beside them: the open ones first, then the newest."""
    last = game_day(now, spec.zone)
    runs = states.runs(spec.name, last - INCIDENT_DAYS * DAY, last + DAY)
    found = [each for run in (*runs, record_of(spec.name)) for each in incidents_of(states, run)]
    found.sort(key=lambda each: each.alert.at, reverse=True)
    return tuple(sorted(found, key=lambda each: each.ended_at is not None))


def incidents_of(states: StateStore, run: RunKey) -> Iterator[Opened]:
    """Every occurrence in one run, each with all that has been told of it."""
    occurrences = dict[tuple[str, int], list[Latch]]()
    for latch in states.load(run).latches if states.plan(run) else ():
        if latch.alert:
            occurrences.setdefault((latch.alert.cause, latch.alert.number), []).append(latch)
    for latches in occurrences.values():
        [told] = fold.incidents_of(latches).values()
        raised = [latch.alert for latch in latches if latch.alert and latch.alert.raises]
        since = raised[0].at if raised else told.at
        summary = raised[0].summary if raised and told.resolved else told.summary
        yield Opened(
            run=run, alert=replace(told, at=since, summary=summary), ended_at=told.at if told.resolved else None
        )


def batches(home: ReadHome, pipelines: Mapping[str, PipelineSpec], now: datetime) -> tuple[BatchHead, ...]:
    """The newest of every pipeline."""
    ids = [id for name in pipelines for id in home.batches.latest(name, BATCHES_MAX)]
    heads = [batch_head(record, now) for id in ids if (record := home.batches.load(id))]
    return tuple(sorted(heads, key=lambda head: (head.created_at, head.batch), reverse=True))


def batch(home: ReadHome, id: str, now: datetime) -> BatchStatus:
    """Raises NotThere for one that nobody has begun."""
    record = home.batches.load(id)
    if record is None:
        run = RunKey.parse(id.partition("/")[0])
        others = [each.batch.id for each in records_of(home, run)] if home.states.plan(run) else []
        known = f" Its run has {', '.join(others)}." if others else ""
        raise NotThere(f"Batch {id} is not there.{known}")
    return status_of_batch(home.batches, record, now)


def letters(home: ReadHome) -> Sequence[Letter]:
    """Dead letters and what is quarantined, the newest first."""
    return letters_of(home.states, home.bus)


def letter(home: ReadHome, id: str) -> Letter:
    """Raises NotThere for one that somebody has dealt with, or that never was."""
    for each in letters(home):
        if each.id == id:
            return each
    raise NotThere(f"No message that waits here has the id {id[:40]!r}; somebody may have dealt with it.")


def schedules(home: ReadHome | None, pipelines: Mapping[str, PipelineSpec], now: datetime) -> tuple[Firing, ...]:
    """Every declared one."""
    beats = home.states.beats() if home else {}
    return tuple(
        Firing(
            schedule=schedule,
            pipeline=spec.name,
            next_at=next(wiring.firings(schedule, now, now + FIRINGS_AHEAD), None),
            beat_at=beats.get(schedule.name),
        )
        for spec in pipelines.values()
        for schedule in spec.schedules
    )


def late(kept: Sequence[Attained]) -> tuple[tuple[str, Offence], ...]:
    """What broke an objective, in words, the worst first: each event once, though it is one of several objectives."""
    found = {said_of(each.spec.measured, one) + one.event.run: (each, one) for each in kept for one in each.offenders}
    worst = sorted(found.values(), key=lambda pair: -pair[1].late_s)[:OFFENDERS_MAX]
    return tuple((said_of(each.spec.measured, one), one) for each, one in worst)
