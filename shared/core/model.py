"""The nouns of one run, for every room: keys, specs, facts, latches, control. Values only.

Longer than 400 lines because every room speaks of the same nouns, and each has its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A pipeline, mode, phase or processor: fits a Firestore id, a Pub/Sub attribute and a BigQuery table."""

END = "end"
"""The gate behind the last phase: passing it ends the run."""


class Status(StrEnum):
    """What a processor says of its own work."""

    SUCCESS = "success"
    PARTIAL = "partial"
    NOT_READY = "not_ready"
    FAILED = "failed"
    SKIPPED = "skipped"


WATCH = "watch"
"""The mode of the record that holds what is about no run; no pipeline may declare one of this name."""


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """One pipeline, one date, one mode, one generation; its text is document id, log field and dedup key."""

    pipeline: str
    date: date
    mode: str
    generation: int = 1

    def __str__(self) -> str:
        return f"{self.pipeline}.{self.date}.{self.mode}.{self.generation}"

    @classmethod
    def parse(cls, text: str) -> RunKey:
        """Read `nba.2024-01-15.overnight.1`; raises ValueError that says what is wrong with the text."""
        parts = text.split(".")
        if len(parts) != 4:
            raise ValueError(f"run {text[:80]!r}: expected pipeline.YYYY-MM-DD.mode.generation")
        pipeline, day, mode, generation = parts
        for key, name in (("pipeline", pipeline), ("mode", mode)):
            if not NAME.fullmatch(name):
                raise ValueError(f"run {text[:80]!r}: {key} {name[:40]!r} is not a name like 'nba'")
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
            raise ValueError(f"run {text[:80]!r}: date {day[:40]!r} is not YYYY-MM-DD")
        if not re.fullmatch(r"[1-9][0-9]{0,3}", generation):
            raise ValueError(f"run {text[:80]!r}: generation {generation[:40]!r} is not 1 to 9999")
        try:
            return cls(pipeline, date.fromisoformat(day), mode, int(generation))
        except ValueError as error:
            raise ValueError(f"run {text[:80]!r}: date {day}: {error}") from None


# --- what a pipeline file in shared/config declares -------------------------------------------------


class LatePolicy(StrEnum):
    """What a result that comes after its gate has opened does: run downstream again, or nothing."""

    REFRESH = "refresh"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorSpec:
    """A unit of work that writes one output and reports. Adding one is this line and one SQL file."""

    name: str
    critical: tuple[str, ...] = ()  # modes whose gate never opens without it
    optional: tuple[str, ...] = ()  # modes that plan it and may go on without it
    needs: tuple[str, ...] = ()  # same phase: must be done
    after: tuple[str, ...] = ()  # same phase: must be ended, or its grace over
    weight: float = 1.0
    unit: str = ""  # the expectation that measures it ("games"); empty: it has no units
    finds: tuple[str, ...] = ()  # the expectations its report carries
    partition: str = "game_date"  # column of its output's partition; "as_of" is the mode's as_of date
    timeout_s: int = 300  # cap and fallback of what its history says
    learns_timeout: bool = True  # no: it always has timeout_s
    grace_s: int = 300
    attempts_max: int = 3  # failures in one round before it counts as ended
    looks_max: int = 36  # partial or not_ready reports in one round before it counts as ended
    retry_s: int = 5  # pause after the first failure; doubles
    look_again_s: int = 300  # pause after partial or not_ready
    late: LatePolicy = LatePolicy.REFRESH
    late_days: int = 0  # refresh until the run's deadline plus this
    quality_min: float = 0.0  # share of its inputs that each unit must have, where its work is fanned out
    whole_skips: tuple[str, ...] = ("superseded",)  # reasons for which skipped(reason) is complete, not degraded


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpec:
    """A set of processors between two gates."""

    name: str
    label: str  # the number people say: "3", "5b"
    completion_topic: str
    start_topic: str
    processors: tuple[ProcessorSpec, ...]
    usual_s: int | None = None  # how long it usually takes; deadlines are derived backward from it
    quorum: float = 0.80
    quorum_by_mode: Mapping[str, float] = field(default_factory=dict)
    readings: tuple[str, ...] = ()  # asked before the gate INTO this phase opens
    fails_closed: tuple[str, ...] = ()  # of these, the ones without which it stays shut; the others fail open


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAfter:
    """A run that goes softly after another one: it waits for it at one of its gates, and not for ever."""

    mode: str  # of the run before
    days: int  # its date, counted from the date of the run that waits
    phase: str  # the gate into this phase waits
    grace_s: int  # from the start of the run that waits; over, it goes on and names the other as missing


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSpec:
    """Which plan a run follows. Times of day are in the pipeline's zone."""

    name: str
    starts_at: str  # usual start "HH:MM", on the run's date plus start_days
    start_days: int
    deadline: str  # "HH:MM" on the run's date plus deadline_days
    deadline_days: int
    as_of_days: int  # an as_of table is written for the run's date plus this
    precedence: Mapping[str, int]  # per partition column: who may replace whose partition; higher wins
    after: tuple[RunAfter, ...] = ()
    writes_history: bool = False  # later runs of any date read what it wrote, and it judges what earlier ones said


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """A cron line and what its body says. Schedules nudge; data that is there starts work earlier."""

    name: str
    cron: str
    zone: str
    act: str  # start, nudge, sweep, recover, summary
    mode: str = ""
    date: str = ""  # YESTERDAY, TODAY or TOMORROW, resolved against scheduled_at
    wakes: tuple[str, ...] = ("self_heal",)  # functions; deployed, each has a Cloud Scheduler job of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A named chain of phases with a time zone and a calendar."""

    name: str
    zone: str
    modes: tuple[ModeSpec, ...]
    phases: tuple[PhaseSpec, ...]
    schedules: tuple[ScheduleSpec, ...]
    expects: str  # the expectation whose emptiness means NOTHING_EXPECTED
    withdraws: str = ""  # the expectation of what was announced and is not expected any more: it is taken back first


# --- what a run appends -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A planned processor, or a run before this one, whose work, or part of it, is not there, and why."""

    processor: str
    why: str
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The order to a processor, identified run/phase/processor/attempt."""

    run: RunKey
    phase: str
    processor: str
    attempt: int
    fence: int  # rises with precedence, generation and attempt; the warehouse refuses an older one
    partition: date  # the partition of its output
    timeout_s: int
    issued_at: datetime
    units: tuple[str, ...] | None = None  # what there is to do; None where nobody knows
    inputs: Mapping[str, str] = field(default_factory=dict)  # marks of the needs and afters it saw
    completeness: float = 1.0  # of everything upstream
    missing: tuple[Missing, ...] = ()  # upstream, and so not in it
    config_hash: str = ""  # of the plan it belongs to
    look: bool = False  # again, at what stands: it counts, and writes, only what is whole
    by: Act | None = None  # at whose word, where it was a person's
    only: tuple[str, ...] | None = None  # units to be worked on; the others are taken over from the attempt before

    @property
    def id(self) -> str:
        return f"{self.run}/{self.phase}/{self.processor}/{self.attempt}"

    @property
    def asked(self) -> bool:
        """Whether somebody wants it, whatever stands already."""
        return self.look or self.by is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The message a processor sends when it ends, one per attempt and report."""

    run: RunKey
    phase: str
    processor: str
    attempt: int
    report: int
    status: Status
    reason: str = ""
    units_expected: int | None = None
    units_actual: int | None = None
    missing: tuple[str, ...] = ()  # units that are not in the output
    excused: tuple[str, ...] = ()  # units that count as there though nobody could have done them
    rows: int | None = None
    duration_s: float = 0.0
    digest: str = ""  # of the output's content; equal content, equal digest
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # expectations
    retry_at: datetime | None = None  # not_ready: when to look again

    @property
    def id(self) -> str:
        return f"{self.phase}/{self.processor}/{self.attempt}/{self.report}"

    @property
    def mark(self) -> str:
        """Changes exactly when those who read the output should read it again."""
        return self.digest or f"{self.status}/{self.rows}/{self.units_actual}/{self.report}"


FOUND_REPORT = 0
"""The number of a report that was made from evidence: processors count their own from 1, so a later real one wins."""

FOUND_REASON = "found where it belongs, never reported"


@dataclass(frozen=True, slots=True)
class Fact:
    """A completion as it was received. Appended once, never edited."""

    completion: Completion
    received_at: datetime


class OutcomeKind(StrEnum):
    OPEN = "open"
    FAIL = "fail"
    BLOCK = "block"  # the final one: nothing looks at it again
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one gate attempt ended. The first to be latched stands; all others lose."""

    gate: str  # the phase it opens, or END
    attempt: int
    kind: OutcomeKind
    grade: str  # complete, degraded, nothing_expected; empty for fail and block
    reason: str
    completeness: float
    missing: tuple[Missing, ...]
    decided_at: datetime
    left_round: int  # attempt of the gate before this one that it built on; 0 for the first
    saw: Mapping[str, str] = field(default_factory=dict)  # marks of the processors on its left
    base: Mapping[str, int] = field(default_factory=dict)  # first attempt of each processor it opens
    expectations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # sealed with it
    ready_at: datetime | None = None  # when the last came of what it was decided on; None: nobody noted it


class Severity(StrEnum):
    PAGE = "page"  # a person gets up
    WARN = "warn"  # a person reads it in the morning


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What people are told of an incident: that it is there, that it still is, that somebody has it, its end."""

    cause: str
    number: int  # of its occurrences in the run, from 1
    severity: Severity
    summary: str
    at: datetime  # it was raised; resolved: it was over
    resolved: bool = False
    escalated_at: datetime | None = None  # it has been open for so long that more people are told
    acknowledged: Act | None = None  # somebody has it

    @property
    def raises(self) -> bool:
        """Whether it tells that the incident is there: what follows it tells that no more."""
        return not (self.resolved or self.escalated_at or self.acknowledged)

    @property
    def said_at(self) -> datetime:
        """When what it tells last came to be so."""
        if self.acknowledged:
            return self.acknowledged.at
        return self.at if self.resolved else self.escalated_at or self.at


class RepairKind(StrEnum):
    """What the backup did because the primary path had not."""

    LATCH = "latch"  # sent what had been claimed and not sent
    FOUND = "found"  # a report that never came, made from what stands in the warehouse
    RESEND = "resend"  # a start that nobody reported and that left nothing, sent once more under the same id
    ATTEMPT = "attempt"  # ordered the attempt after a silent one
    RUN = "run"  # began a run that should have been there
    GATE = "gate"  # opened a gate that a report should have opened
    REDRIVE = "redrive"  # took a message out of the dead letters and sent it again
    LEFT = "left"  # no repair: a dead letter that only a person can deal with


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One act of self_heal, or that it has come to the end of its means, and why."""

    kind: RepairKind
    subject: str  # what it was done to: a latch, a start, a gate, a message
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """A create-once claim on an effect, with what it will send; open until closed."""

    key: str
    run: RunKey
    outcome: Outcome | None = None
    starts: tuple[Start, ...] = ()
    alert: Alert | None = None
    repair: Repair | None = None

    @property
    def incident(self) -> str:
        """Equal for the trigger of an incident and its end, and for no other: the sink's dedup key."""
        return f"{self.run}/incident/{self.told.cause}/{self.told.number}"

    @property
    def told(self) -> Alert:
        """What it tells people."""
        assert self.alert is not None, f"{self.key} tells nothing"
        return self.alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What an operator did, and why. `until` ends it by itself."""

    actor: str
    reason: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One thing that an operator said of a run: kept, whatever is said later."""

    verb: str  # hold, release, cancel, skip, force, override, retry, replay, look_again, recover, redrive, purge
    about: str  # a processor, gate, reading, first phase of a replay, batch, dead letter; empty for the run
    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The operator's word on one run, read again in the step that takes a latch."""

    version: int = 0
    hold: Act | None = None  # the last one; released, it ended then
    cancel: Act | None = None
    quality: Act | None = None  # units whose inputs are too poor are worked on all the same, until it ends
    skips: Mapping[str, Act] = field(default_factory=dict)  # by processor: goes without it
    forces: Mapping[str, Act] = field(default_factory=dict)  # by gate attempt, out/1: opens with what is there
    overrides: Mapping[str, Act] = field(default_factory=dict)  # by reading: only warns, until it ends
    said: tuple[Word, ...] = ()  # the audit: every word, oldest first

    def held_at(self, now: datetime) -> Act | None:
        hold = self.hold
        return hold if hold and (hold.until is None or now < hold.until) else None

    def held_until(self, now: datetime) -> datetime | None:
        """When the last hold ends, or ended: from then on what waits has its time anew. None: it was never held."""
        return (self.hold.until or now) if self.hold else None

    def allows_poor_at(self, now: datetime) -> Act | None:
        act = self.quality
        return act if act and act.until is not None and now < act.until else None


class ReadingVerdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    HOLD = "hold"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was found when `decide` asked: health, freshness, completeness."""

    name: str
    verdict: ReadingVerdict
    note: str
    missing: tuple[Missing, ...] = ()  # what the run goes on without, where it only warns
    values: Mapping[str, str] = field(default_factory=dict)  # what was seen, by service or table
    since: datetime | None = None  # bad without a break; None: it is well. Of a watched service also: well again


class Woke(StrEnum):
    """What made someone look at a run."""

    COMPLETION = "completion"
    NUDGE = "nudge"
    SWEEP = "sweep"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A decision that changed, with the identity of everything it saw, so that it can be recomputed."""

    run: RunKey
    gate: str
    attempt: int
    at: datetime
    decision: str  # wait, ask, open, block, fail, done
    reason: str
    missing: tuple[Missing, ...]
    completeness: float
    next_look_at: datetime | None
    facts: tuple[str, ...]  # Completion.id of each it saw
    latches: tuple[str, ...]  # Latch.key of each it saw
    control: Control
    readings: Mapping[str, Reading] = field(default_factory=dict)
    refused: str | None = None  # the gate attempt that a look before had refused
    woke: str = ""  # what made someone look: completion, nudge, sweep, operator
