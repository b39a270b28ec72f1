"""What a person is told of a run: folded from the same view that decides, never from "the last line written". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.core.fold import View
from shared.core.gate import DEGRADED, NOTHING_EXPECTED, Ask, Block, Done, Verdict, decide, key_of, name_of
from shared.core.model import LedgerEntry, Outcome, OutcomeKind, RunKey
from shared.core.plan import PlannedPhase
from shared.core.standing import Standing, ignored, stand


class RunState(StrEnum):
    RUNNING = "running"
    PUBLISHED = "published"
    DEGRADED = "degraded"  # published, without every input, and labelled so
    BLOCKED = "blocked"
    FAILED = "failed"
    NOTHING_EXPECTED = "nothing_expected"

    @property
    def well(self) -> bool:
        """Nobody needs to get up."""
        return self in (RunState.PUBLISHED, RunState.DEGRADED, RunState.NOTHING_EXPECTED)


class PhaseState(StrEnum):
    WAITING = "waiting"  # its gate has not opened
    RUNNING = "running"
    BLOCKED = "blocked"  # the gate behind it refuses
    FAILED = "failed"
    COMPLETE = "complete"
    DEGRADED = "degraded"  # passed without everything it planned
    NOT_NEEDED = "not_needed"  # the run ended before it: there was nothing to do


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStatus:
    """A phase and the gate behind it, which weighs what the phase has done."""

    phase: str
    state: PhaseState
    expected: int  # processors planned
    done: int  # processors that count
    missing: tuple[str, ...]  # processors that are not there, or not whole
    ignored: tuple[str, ...]  # processors whose result came too late to make anything run again
    decision: str  # wait, ask, open, block, fail, done; empty before the phase opens
    reason: str
    next_look_at: datetime | None
    deadline_at: datetime
    deadline_from: str
    usual_s: int | None
    usual_from: str
    opened_at: datetime | None
    passed_at: datetime | None
    standings: Mapping[str, Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    run: RunKey
    state: RunState
    completeness: float
    reason: str
    next_look_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    missing: tuple[str, ...]  # processors that what was published is without
    labels: Mapping[str, str]  # of the plan: which data, whether it is synthetic
    phases: tuple[PhaseStatus, ...]

    @property
    def synthetic(self) -> bool:
        return self.labels.get("synthetic") == "yes"

    def to_json(self) -> dict[str, object]:
        """The documented form of `tipoff status --json`: stable, fields are only ever added."""
        return {
            "run": str(self.run),
            "state": str(self.state),
            "completeness": self.completeness,
            "labels": dict(self.labels),
            "phases": [
                {
                    "phase": phase.phase,
                    "state": str(phase.state),
                    "expected": phase.expected,
                    "done": phase.done,
                    "missing": list(phase.missing),
                    "ignored": list(phase.ignored),
                    "decision": phase.decision,
                    "reason": phase.reason,
                    "next_look_at": phase.next_look_at.isoformat() if phase.next_look_at else None,
                }
                for phase in self.phases
            ],
        }


def summarise(view: View, last: LedgerEntry | None = None) -> RunStatus:
    """The status at view.now, whether or not anyone has looked since.

    What a gate asks for is told as it was last answered, if the last decision is given; and when it is read again is
    told as it was set then: counted from now, it would move on with whoever asks. Once that time is over it has been
    read again, to the same answer, which is written nowhere.
    """
    verdict = decide(view)
    if isinstance(verdict.decision, Ask) and last and key_of(last) == key_of(verdict):
        verdict = decide(view, last.readings)
        if last.next_look_at and last.next_look_at > view.now and verdict.next_look_at:
            verdict = replace(verdict, next_look_at=min(last.next_look_at, verdict.next_look_at))
    end = view.published
    state = _run_state(verdict, end)
    passed = [outcome for outcome in view.outcomes.values() if outcome.kind in (OutcomeKind.OPEN, OutcomeKind.DONE)]
    return RunStatus(
        run=view.plan.run,
        state=state,
        completeness=min((outcome.completeness for outcome in passed), default=0.0),
        reason=verdict.decision.reason,
        next_look_at=verdict.next_look_at,
        started_at=view.plan.started_at,
        ended_at=end.decided_at if end and state.well else None,
        missing=tuple(missing.processor for missing in end.missing) if end and state.well else (),
        labels=view.plan.labels,
        phases=tuple(
            _phase_status(view, verdict, phase, gate, state)
            for phase, gate in zip(view.plan.phases, view.plan.gates[1:], strict=True)
        ),
    )


def _run_state(verdict: Verdict, end: Outcome | None) -> RunState:
    """A run that has published stays so when a later refresh is refused or fails; during one it is running.

    That there is nothing to do stays so only until there is.
    """
    if verdict.stands and isinstance(verdict.decision, Done) and verdict.decision.grade == NOTHING_EXPECTED:
        return RunState.NOTHING_EXPECTED
    if end and end.grade != NOTHING_EXPECTED and (verdict.stands or name_of(verdict.decision) in ("block", "fail")):
        return RunState.DEGRADED if end.grade == DEGRADED else RunState.PUBLISHED
    match name_of(verdict.decision):
        case "fail":
            return RunState.FAILED
        case "block":
            return RunState.BLOCKED
        case _:
            return RunState.RUNNING


def _phase_status(view: View, verdict: Verdict, phase: PlannedPhase, gate: str, run: RunState) -> PhaseStatus:
    opened, behind = view.outcomes.get(phase.name), view.outcomes.get(gate)
    is_open = opened is not None and opened.kind is OutcomeKind.OPEN
    standings = stand(view, phase, opened) if is_open and opened else {}
    current = verdict.gate == gate and not verdict.stands
    opened_behind = behind is not None and behind.kind in (OutcomeKind.OPEN, OutcomeKind.DONE)
    passed = opened_behind and not current
    missing = tuple(name for name, standing in standings.items() if not standing.whole)
    if passed and behind is not None:  # what was published without it, whatever a look again has brought since
        missing = tuple(missing.processor for missing in behind.missing if missing.processor in standings)
    late = ignored(view, phase, standings, behind if opened_behind else None)
    if run is RunState.NOTHING_EXPECTED and not is_open:
        state = PhaseState.NOT_NEEDED
    elif not is_open:
        state = PhaseState.WAITING
    elif passed or run is RunState.NOTHING_EXPECTED:
        state = PhaseState.DEGRADED if missing and run is not RunState.NOTHING_EXPECTED else PhaseState.COMPLETE
    elif behind is not None and behind.kind is OutcomeKind.FAIL:
        state = PhaseState.FAILED
    elif (behind is not None and behind.kind is OutcomeKind.BLOCK) or (current and isinstance(verdict.decision, Block)):
        state = PhaseState.BLOCKED
    else:
        state = PhaseState.RUNNING
    decision, reason = "", "" if is_open else "its gate has not opened"
    if current:
        decision, reason = name_of(verdict.decision), verdict.decision.reason
    elif behind is not None and is_open:
        decision, reason = behind.kind.value, behind.reason
    return PhaseStatus(
        phase=phase.name,
        state=state,
        expected=len(phase.processors),
        done=sum(standing.done for standing in standings.values()),
        missing=missing,
        ignored=tuple(late),
        decision=decision,
        reason=reason,
        next_look_at=verdict.next_look_at if current else None,
        deadline_at=phase.deadline_at,
        deadline_from=phase.deadline_from,
        usual_s=phase.usual_s,
        usual_from=phase.usual_from,
        opened_at=opened.decided_at if is_open and opened else None,
        passed_at=behind.decided_at if passed and behind else None,
        standings={name: _noted(standing, late.get(name, "")) for name, standing in standings.items()},
    )


def _noted(standing: Standing, note: str) -> Standing:
    return replace(standing, why=f"{note}; {standing.why}" if standing.why else note) if note else standing
