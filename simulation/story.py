"""Runs and batches as they were seen at the seam between what is shipped and its ports, for the invariants."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared import edge
from shared.core.batch import Batch, Chunk, ChunkReport, Ordered, Seal
from shared.core.fold import View, look
from shared.core.gate import Ask, Done, Fail, Open, Verdict, decide
from shared.core.model import Alert, Completion, Control, Fact, Latch, LedgerEntry, Outcome, OutcomeKind, PipelineSpec
from shared.core.plan import Plan
from shared.ports import Reader
from simulation.fate import is_critical

USUAL_S = 5_400.0
"""What a run takes with five soft faults in it, each for a timeout: beyond it is slack."""


@dataclass(slots=True, kw_only=True)
class Story:
    plan: Plan
    declared: PipelineSpec  # as it was when the run began
    due_at: datetime | None
    readers: Mapping[str, Reader]  # of this world, with nothing in between
    control: Control = field(default_factory=Control)
    facts: dict[str, Fact] = field(default_factory=dict)  # by Completion.id
    facts_of: defaultdict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))  # by processor
    latches: dict[str, Latch] = field(default_factory=dict)
    leases: dict[str, datetime] = field(default_factory=dict)  # of open latches
    claimed: Counter[str] = field(default_factory=Counter)  # start ids, as latches of theirs were taken or taken up
    sent: Counter[str] = field(default_factory=Counter)  # start ids, as they were given to the bus
    closed: Counter[str] = field(default_factory=Counter)  # start ids, as latches of theirs were closed
    received: Counter[str] = field(default_factory=Counter)  # start ids, as processors got them
    content: dict[str, str] = field(default_factory=dict)  # digest written under each start id
    wrote: dict[str, str] = field(default_factory=dict)  # digest last written by each processor
    foreign: bool = False  # read, or gave way to, what another run wrote
    spoilt: set[str] = field(default_factory=set)  # start ids whose work a fault has struck
    outage_s: float = 0.0  # that anything was out between its start and its deadline
    troubled: bool = False  # any fault has come near it
    excused: str = ""  # why it need not publish
    disturbed_until: datetime | None = None  # by a crash or a stall of who worked on it
    ready: frozenset[str] = frozenset()  # what decide would do at once, and nobody has done
    ledger: tuple[LedgerEntry, ...] = ()  # read when the world has ended

    def view(self, now: datetime) -> View:
        return look(self.plan, self.facts.values(), self.latches.values(), self.control, now)

    def would(self, now: datetime) -> frozenset[str]:
        """The effects that are due on what is recorded now."""
        view = self.view(now)
        verdict = decide(view)
        if isinstance(verdict.decision, Ask):
            gate, asked = verdict.gate, verdict.decision.readings
            read = edge.attempt(lambda: {name: self.readers[name].read(view, gate, None) for name in asked})
            if not isinstance(read, str):  # what cannot be read is the service's to answer for
                verdict = decide(view, read)
        due = {start.id for start in verdict.starts}
        if ends(verdict):
            due.add(f"{verdict.gate}/{verdict.attempt}")
        return frozenset(due)

    @property
    def open_incidents(self) -> list[Alert]:
        """Those that have been raised and not resolved."""
        alerts = [latch.alert for latch in self.latches.values() if latch.alert]
        over = {(alert.cause, alert.number) for alert in alerts if alert.resolved}
        return [alert for alert in alerts if alert.raises and (alert.cause, alert.number) not in over]

    @property
    def used_up(self) -> str:
        """The critical processor whose every attempt has been spoilt by a fault; empty where there is none."""
        starts = [start for latch in self.latches.values() for start in latch.starts]
        for phase in self.plan.phases:
            for processor in phase.processors:
                spoilt = [start for start in starts if start.processor == processor.name and start.id in self.spoilt]
                critical = is_critical(self.declared, self.plan.run, phase.name, processor.name)
                if critical and len(spoilt) >= processor.attempts_max:
                    return processor.name
        return ""

    @property
    def excuse(self) -> str:
        """Why it need not have been through by its deadline; empty where nothing excuses it."""
        if self.excused:
            return self.excused
        if self.used_up:
            return "attempts used up"
        slack_s = (self.plan.deadline_at - self.plan.started_at).total_seconds() - USUAL_S
        return "out for longer than its slack" if self.outage_s > slack_s else ""

    @property
    def outcomes(self) -> list[Outcome]:
        return [latch.outcome for latch in self.latches.values() if latch.outcome]

    @property
    def final(self) -> Outcome | None:
        """How the run ended, the last time it did."""
        ended = [outcome for outcome in self.outcomes if outcome.kind is not OutcomeKind.OPEN]
        return ended[-1] if ended else None


@dataclass(slots=True, kw_only=True)
class BatchStory:
    """One batch as it was seen at the seam between the coordinator, its workers and their ports."""

    batch: Batch
    chunks: tuple[Chunk, ...]
    orders: list[Ordered] = field(default_factory=list)  # as they were recorded
    reports: dict[tuple[int, int], ChunkReport] = field(default_factory=dict)  # by chunk and number, until the seal
    late: int = 0  # reports that came after it
    seal: Seal | None = None  # the first
    closed: Seal | None = None
    merged: list[str] = field(default_factory=list)  # digest of what stood after each MERGE
    published: list[tuple[datetime, Completion]] = field(default_factory=list)


def ends(verdict: Verdict) -> bool:
    """Whether it would latch an outcome."""
    return not verdict.stands and isinstance(verdict.decision, Open | Done | Fail)


def done_by(latch: Latch) -> frozenset[str]:
    """The effects, named as in Story.would, that this latch claims."""
    outcome = latch.outcome
    gate = {f"{outcome.gate}/{outcome.attempt}"} if outcome else set()
    return frozenset(gate | {start.id for start in latch.starts})
