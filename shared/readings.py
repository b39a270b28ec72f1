"""All readings by the names that gates ask for, and those that are answered from the state of other runs.

Wiring puts them into the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.contents import RowsRead
from shared.core.fold import View, look
from shared.core.model import Missing, Reading, ReadingVerdict, RunKey
from shared.core.plan import RUNS_BEFORE, PlannedRunBefore
from shared.core.readings import COMPLETENESS, FRESHNESS, HEALTH, SANITY, ReadBack
from shared.core.status import RunState, RunStatus, summarise
from shared.ports import Reader, StateStore, Warehouse
from shared.preflight import Preflight, Services

SEVERITY = (ReadingVerdict.PASS, ReadingVerdict.WARN, ReadingVerdict.HOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What gates ask beside the state of runs."""

    warehouse: Callable[[], Warehouse]
    read_back: Mapping[str, ReadBack]  # by pipeline
    services: Services


def readers(states: StateStore, world: World | None = None) -> Mapping[str, Reader]:
    """All of them, by the names that gates ask for. Without a world, where the work is invented, nothing can be
    asked of it, and its readings pass."""
    of_runs: dict[str, Reader] = {RUNS_BEFORE: RunsBefore(states)}
    if world is None:
        return of_runs | {name: Calm(name) for name in (HEALTH, FRESHNESS, COMPLETENESS, SANITY)}
    rows: dict[str, Reader] = {
        name: RowsRead(name=name, warehouse=world.warehouse, read_back=world.read_back)
        for name in (FRESHNESS, COMPLETENESS, SANITY)
    }
    return of_runs | rows | {HEALTH: Preflight(world.services)}


@dataclass(frozen=True, slots=True)
class Calm:
    """A reading where there is nothing to read."""

    name: str

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:  # noqa: ARG002 - as every reader is asked
        return Reading(name=self.name, verdict=ReadingVerdict.PASS, note="there is nothing here to ask")


@dataclass(frozen=True, slots=True)
class RunsBefore:
    """Whether the runs that a phase goes softly after have published: held for within their grace, then named."""

    states: StateStore

    def read(self, view: View, gate: str, _: Reading | None) -> Reading:
        before = view.plan.phase_by_name[gate].runs_before
        answers = [self._one(view.plan.run, gate, each, view.now) for each in before]
        return Reading(
            name=RUNS_BEFORE,
            verdict=max((answer.verdict for answer in answers), key=SEVERITY.index),
            note="; ".join(answer.note for answer in answers),
            missing=tuple(missing for answer in answers for missing in answer.missing),
        )

    def _one(self, run: RunKey, phase: str, before: PlannedRunBefore, now: datetime) -> Reading:
        status = self._newest(run, before, now)
        if status is None:
            return _reading(ReadingVerdict.PASS, f"{before} has not run here; history as it was loaded")
        if status.state.well:
            return _reading(ReadingVerdict.PASS, f"{before} is {status.state}")
        ended = status.state is RunState.FAILED or status.next_look_at is None
        if not ended and now < before.wait_until:
            note = f"waits for {before} until {before.wait_until:%Y-%m-%d %H:%M} UTC"
            return _reading(ReadingVerdict.HOLD, note, Missing(processor=str(before), why="was not waited for"))
        why = f"has not published: {status.reason}; goes on without it"
        remedy = f"once it has, `tipoff replay {run} --from {phase} --reason TEXT` takes it in"
        return _reading(ReadingVerdict.WARN, f"{before} {why}; {remedy}", Missing(processor=str(before), why=why))

    def _newest(self, run: RunKey, before: PlannedRunBefore, now: datetime) -> RunStatus | None:
        """The status of its newest generation; None if it is unknown here."""
        runs = [key for key in self.states.runs(run.pipeline, before.date, before.date) if key.mode == before.mode]
        if not runs:
            return None
        newest = max(runs, key=lambda key: key.generation)
        plan, record = self.states.plan(newest), self.states.load(newest)
        assert plan is not None, f"{newest} has no plan"
        return summarise(look(plan, record.facts, record.latches, record.control, now), record.last_entry)


def _reading(verdict: ReadingVerdict, note: str, *missing: Missing) -> Reading:
    return Reading(name=RUNS_BEFORE, verdict=verdict, note=note, missing=missing)
