"""What one run will do: written once when it starts, never changed, whatever a deploy does meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from graphlib import TopologicalSorter

from shared.core.codec import encode
from shared.core.model import (
    END,
    LatePolicy,
    Missing,
    ModeSpec,
    PhaseSpec,
    PipelineSpec,
    ProcessorSpec,
    RunKey,
)
from shared.core.timeouts import (
    NO_DURATIONS,
    Deadline,
    Durations,
    Limit,
    Usual,
    phase_deadlines,
    round_window_s,
    time_limit,
    usual_time,
)

GIVE_UP = timedelta(hours=4)
"""A blocked gate is looked at this long after its deadline, then the run fails: a person has been paged by then."""


PUBLISHED_WITHIN = timedelta(minutes=2)
"""A gate that waits until its deadline is opened by the next sweep: the last one's is so much before the run's."""

RUNS_BEFORE = "runs_before"
"""The reading that a gate asks for where its phase goes softly after other runs."""


@dataclass(frozen=True, kw_only=True)
class PlannedRunBefore:
    """A run that this one goes softly after. Any generation of it counts, the newest decides."""

    mode: str
    date: date
    wait_until: datetime

    def __str__(self) -> str:
        return f"{self.mode} of {self.date}"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a replay stands on: the gate into its first phase as it opened in the run that it replays."""

    run: RunKey
    phase: str
    reason: str  # why a person replays it
    completeness: float
    missing: tuple[Missing, ...] = ()
    expectations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlannedProcessor:
    name: str
    critical: bool
    weight: float
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    unit: str = ""
    timeout_s: int  # of the first attempt
    timeout_from: str = ""  # what decided it: history of N, floor, cap, fallback, declared; empty in older plans
    timeout_max_s: int = 0  # of every later attempt: what was cut off once gets all the time there is; 0: timeout_s
    grace_s: int
    attempts_max: int
    looks_max: int
    retry_s: int
    look_again_s: int
    refresh_until: datetime | None = None  # None: a late result is ignored
    whole_skips: tuple[str, ...] = ()
    fence_rank: int = 0
    partition: date

    def timeout_of(self, attempt: int) -> int:
        """How long this attempt may take, in seconds. What history says binds the first one alone: work that has become
        slower than it ever was is cut off once, and never fails of it."""
        return self.timeout_s if attempt == 1 else self.timeout_max_s or self.timeout_s


@dataclass(frozen=True, kw_only=True)
class PlannedPhase:
    name: str
    start_topic: str
    completion_topic: str
    processors: tuple[PlannedProcessor, ...]  # in dependency order
    quorum: float
    deadline_at: datetime
    deadline_from: str  # derived, floor, or cap: how the deadline came about
    window_s: int  # how long a later round of this phase may take
    give_up_at: datetime
    readings: tuple[str, ...] = ()
    runs_before: tuple[PlannedRunBefore, ...] = ()
    fails_closed: tuple[str, ...] = ()
    usual_s: int | None = None  # how long the phase was taken to take; None: nobody knew
    usual_from: str = ""  # what decided that: history of N, floor, cap, fallback; empty in older plans

    @cached_property
    def by_name(self) -> Mapping[str, PlannedProcessor]:
        return {processor.name: processor for processor in self.processors}


@dataclass(frozen=True, kw_only=True)
class Plan:
    run: RunKey
    started_at: datetime
    deadline_at: datetime
    config_hash: str
    expects: str
    phases: tuple[PlannedPhase, ...]
    labels: Mapping[str, str] = field(default_factory=dict)  # what a person should know: data source, synthetic
    given: Given | None = None  # of a replay; its plan begins where it does
    withdraws: str = ""

    @cached_property
    def gates(self) -> tuple[str, ...]:
        return (*(phase.name for phase in self.phases), END)

    @cached_property
    def phase_by_name(self) -> Mapping[str, PlannedPhase]:
        return {phase.name: phase for phase in self.phases}


def build_plan(
    spec: PipelineSpec,
    run: RunKey,
    *,
    started_at: datetime,
    usual_start_at: datetime,
    deadline_at: datetime,
    labels: Mapping[str, str] | None = None,
    given: Given | None = None,
    before: Durations = NO_DURATIONS,
) -> Plan:
    """The plan of this run. A run that starts after its deadline (a backfill) gets as long as a punctual one had.

    A replay plans the phases from the one it is given on. `before`: how long the same mode's last runs took.
    """
    mode = next(mode for mode in spec.modes if mode.name == run.mode)
    if started_at >= deadline_at:
        deadline_at = started_at + (deadline_at - usual_start_at)
    phases = [(phase, processors) for phase in spec.phases if (processors := planned(phase, mode.name))]
    if given:
        names = [phase.name for phase, _ in phases]
        if given.phase not in names:
            raise ValueError(
                f"phase {given.phase!r} is not planned in {run.mode} any more; planned: {', '.join(names)}"
            )
        phases = phases[names.index(given.phase) :]
    usual = [usual_time(before.phases.get(phase.name, ()), fallback_s=phase.usual_s) for phase, _ in phases]
    in_time_at = max(deadline_at - PUBLISHED_WITHIN, started_at)
    deadlines = phase_deadlines([each.seconds for each in usual], started_at=started_at, deadline_at=in_time_at)
    return Plan(
        run=run,
        started_at=started_at,
        deadline_at=deadline_at,
        config_hash=config_hash(spec),
        expects=spec.expects,
        phases=tuple(
            _plan_phase(phase, processors, mode, run, times, before, started_at=started_at, run_deadline_at=deadline_at)
            for (phase, processors), times in zip(phases, zip(deadlines, usual, strict=True), strict=True)
        ),
        labels=labels or {},
        given=given,
        withdraws=spec.withdraws,
    )


def _limit(spec: ProcessorSpec, before: Durations) -> Limit:
    if not spec.learns_timeout:
        return Limit(spec.timeout_s, "declared")
    return time_limit(before.processors.get(spec.name, ()), cap_s=spec.timeout_s)


def planned(phase: PhaseSpec, mode: str) -> list[ProcessorSpec]:
    """The processors of a phase that a mode plans, each after what it depends on."""
    members = {spec.name: spec for spec in phase.processors if mode in spec.critical or mode in spec.optional}
    order = TopologicalSorter({name: _within(spec, members) for name, spec in members.items()})
    return [members[name] for name in order.static_order()]


def _within(spec: ProcessorSpec, members: Iterable[str]) -> list[str]:
    return [name for name in (*spec.needs, *spec.after) if name in members]


def _plan_phase(
    phase: PhaseSpec,
    processors: list[ProcessorSpec],
    mode: ModeSpec,
    run: RunKey,
    times: tuple[Deadline, Usual],
    before: Durations,
    *,
    started_at: datetime,
    run_deadline_at: datetime,
) -> PlannedPhase:
    deadline, usual = times
    limits = {spec.name: _limit(spec, before) for spec in processors}
    members = {spec.name for spec in processors}
    runs_before = tuple(
        PlannedRunBefore(
            mode=after.mode,
            date=run.date + timedelta(days=after.days),
            wait_until=started_at + timedelta(seconds=after.grace_s),
        )
        for after in mode.after
        if after.phase == phase.name
    )
    return PlannedPhase(
        name=phase.name,
        start_topic=phase.start_topic,
        completion_topic=phase.completion_topic,
        processors=tuple(
            PlannedProcessor(
                name=spec.name,
                critical=mode.name in spec.critical,
                weight=spec.weight,
                needs=tuple(name for name in spec.needs if name in members),
                after=tuple(name for name in spec.after if name in members),
                unit=spec.unit,
                timeout_s=limits[spec.name].seconds,
                timeout_from=limits[spec.name].source,
                timeout_max_s=spec.timeout_s,
                grace_s=spec.grace_s,
                attempts_max=spec.attempts_max,
                looks_max=spec.looks_max,
                retry_s=spec.retry_s,
                look_again_s=spec.look_again_s,
                refresh_until=(
                    run_deadline_at + timedelta(days=spec.late_days) if spec.late is LatePolicy.REFRESH else None
                ),
                whole_skips=spec.whole_skips,
                fence_rank=mode.precedence[spec.partition],
                partition=run.date + timedelta(days=mode.as_of_days if spec.partition == "as_of" else 0),
            )
            for spec in processors
        ),
        quorum=phase.quorum_by_mode.get(mode.name, phase.quorum),
        deadline_at=deadline.at,
        deadline_from=deadline.source,
        # The attempts of a later round have the declared limits, so it has the declared window at least.
        window_s=max(deadline.window_s, round_window_s(phase.usual_s)),
        give_up_at=deadline.at + GIVE_UP,
        readings=(*phase.readings, *([RUNS_BEFORE] if runs_before else ())),
        runs_before=runs_before,
        fails_closed=phase.fails_closed,
        usual_s=usual.seconds,
        usual_from=usual.source,
    )


def config_hash(spec: PipelineSpec) -> str:
    """Twelve hex digits that change exactly when the pipeline's declaration does."""
    import hashlib  # a tenth of what importing the core costs, and only those who plan need it

    return hashlib.sha256(encode(spec)).hexdigest()[:12]


def fence(rank: int, generation: int, attempt: int) -> int:
    """Orders the writers of one partition: precedence of the mode, then generation, then attempt."""
    assert 0 <= rank < 100
    assert 0 < generation < 10_000
    assert 0 < attempt < 10_000
    return (rank * 10_000 + generation) * 10_000 + attempt
