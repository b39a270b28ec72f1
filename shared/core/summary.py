"""What a person is told each morning: what was due in the day before, what became of it, what happens next. Pure.

The values alone; morning.py makes them, summary_card.py says them. Fields have no defaults, so that their JSON always
has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from shared.core.model import RunKey, Severity

Day = date  # a field is called date, too
SLOW = 2.0  # times its usual time: SYSTEMS, section 1


class Signal(StrEnum):
    """How a day is, in a word."""

    GREEN = "green"  # all there, or nothing wrong so far
    YELLOW = "yellow"  # something to read, and nobody needs to act now
    RED = "red"  # something that should be there is not


class Fate(StrEnum):
    """What became of a run that was due."""

    PUBLISHED = "published"
    DEGRADED = "degraded"  # published, without every input, and labelled so
    NOTHING_EXPECTED = "nothing_expected"
    RUNNING = "running"  # and its deadline is still to come
    HELD = "held"
    CANCELLED = "cancelled"
    LATE = "late"  # its deadline is over, and it still runs
    BLOCKED = "blocked"
    FAILED = "failed"
    MISSING = "missing"  # nobody has begun it


THERE = frozenset({Fate.PUBLISHED, Fate.DEGRADED, Fate.NOTHING_EXPECTED})
WRONG = frozenset({Fate.LATE, Fate.BLOCKED, Fate.FAILED, Fate.MISSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How long a phase took, from its opening until the gate behind it let it pass, and how long it usually takes."""

    phase: str
    took_s: float
    usual_s: int
    usual_from: str  # what decided that: history of N, floor, cap or fallback

    @property
    def times(self) -> float:
        return self.took_s / max(self.usual_s, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDay:
    """The newest batch of a phase."""

    batch: str
    state: str
    units: int
    done: int
    incident: str  # what a person has to look into; empty: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDay:
    """A run that was due, or that should have been there."""

    run: RunKey
    fate: Fate
    completeness: float | None  # None: it has not published
    why: str  # empty where all is well
    next: str  # what happens next, and when; empty: nothing
    command: str  # what a person may type; empty where nobody has to
    missing: tuple[str, ...]  # processors that it was published without
    deadline_at: datetime
    published_at: datetime | None  # for the first time
    last_published: Day | None  # of its mode before it, where it is not there itself; None also: not for long
    batches: tuple[BatchDay, ...]
    slowest: Transition | None  # against what is usual
    healed: Mapping[str, int]  # by kind: what the backup did because the messages had not

    @property
    def signal(self) -> Signal:
        if self.fate in WRONG:
            return Signal.RED
        slow = self.slowest is not None and self.slowest.times >= SLOW
        return Signal.YELLOW if self.why or slow else Signal.GREEN


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeDay:
    """The runs of one mode; missing are those that nobody has begun, unfinished those that have not published."""

    mode: str
    expected: int
    published: int
    degraded: int
    nothing_expected: int
    unfinished: int
    missing: int
    runs: tuple[RunDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """How far off the ensemble's predictions of a date were: mean |predicted - actual| points of a player."""

    date: Day
    graded: int  # predictions; 0: none, and why says so
    error: float | None
    usual: float | None  # the mean of `days` graded days before it
    days: int
    why: str
    is_fault: bool  # it should be known, and is not


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDay:
    """An incident that is open; of a record of its own where it is about no run."""

    run: RunKey
    cause: str
    severity: Severity
    since: datetime
    taken_by: str  # who has said that he looks into it; empty: nobody
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDay:
    """One pipeline. `date` is the day that the summary is of, in its zone."""

    pipeline: str
    date: Day
    zone: str
    synthetic: bool  # whether a run of it was made from data that are not real
    signal: Signal
    modes: tuple[ModeDay, ...]
    incidents: tuple[IncidentDay, ...]  # of all runs looked back at and of what is about none, the oldest first
    grading: Grading | None  # None: nothing was to be graded
    cost_usd: float  # of the day at list prices, estimated from what ran

    @property
    def runs(self) -> tuple[RunDay, ...]:
        return tuple(run for mode in self.modes for run in mode.runs)

    def count(self, *fates: Fate) -> int:
        return sum(run.fate in fates for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was due after `since` and until `until`, as it stands at `made_at`."""

    since: datetime
    until: datetime
    made_at: datetime
    signal: Signal
    watchdog: str  # why nothing heals by itself; empty while it does
    pipelines: tuple[PipelineDay, ...]
