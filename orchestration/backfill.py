"""Many dates in the order of the wall clock, as many beside each other as may be, for `tipoff backfill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from data_processors.nba.runner import bootstrap, history_before
from orchestration.records import newest
from orchestration.runs import Runs
from shared.core.model import LedgerEntry, RunKey, Start
from shared.core.order import Turn, ready
from shared.core.status import RunState, RunStatus


class Told(Protocol):
    """Who shows what happens."""

    def found(self, there: int, all_runs: int) -> None:
        """So many of them had ended before."""

    def loading(self, text: str) -> None:
        """Of the history."""

    def at_work(self, running: list[Start]) -> None:
        """Asked for often; cheap."""

    def ended(self, end: End) -> None:
        """One has ended, or is left as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run stands when the backfill lets go of it."""

    run: RunKey
    state: RunState
    reason: str
    before: bool = False  # it had ended before this backfill began


class Backfill:
    """One pass over the dates. Killed at any moment, the next one goes on: what has ended well is not done again."""

    def __init__(self, runs: Runs, turns: Sequence[Turn], *, parallel: int, told: Told) -> None:
        self._runs, self._parallel, self._told = runs, parallel, told
        self._running: dict[RunKey, Turn] = {}
        self._loaded = date.min
        self.ends: list[End] = []
        self._pending = self._open(turns)
        self._first = min(turn.run.date for turn in turns)
        self._last = max(turns)
        self._writes_history = any(turn.writes_history for turn in turns)
        self._may_load_all = all(history_before(turn.run, runs.spec) == turn.run.date for turn in turns)

    def go(self, patience_s: float) -> None:
        """Drive every run that is open. One that can only wait longer is left as it stands, and the next go on."""
        self._told.found(len(self.ends), len(self.ends) + len(self._pending))
        for end in self.ends:
            self._told.ended(end)
        self._runs.drive(self._start, patience_s=patience_s, ended=self._ended, tell=_nobody, watch=self._told.at_work)

    def _open(self, turns: Sequence[Turn]) -> list[Turn]:
        """Those that have not ended, as their newest generation; a failed one stays as it is until a person says so."""
        spec, days = self._runs.spec, [turn.run.date for turn in turns]
        there = newest(self._runs.home.ports.states, spec.name, min(days), max(days))
        pending = []
        for turn in turns:
            run = there.get((turn.run.date, turn.run.mode))
            status = self._runs.status(run) if run else None
            if status and (status.state.well or status.state is RunState.FAILED):
                self.ends.append(End(run=status.run, state=status.state, reason=status.reason, before=True))
            else:
                pending.append(replace(turn, run=run or turn.run))
        return pending

    def _start(self) -> list[RunKey]:
        """The runs whose turn it is, with the history that they read. More history is loaded only while nothing runs:
        what runs must not see what was not known then."""
        found: list[RunKey] = []
        for turn in ready(self._pending, self._running.values(), self._parallel):
            needed = self._needs_history_before(turn)
            if needed > self._loaded:
                if self._running:
                    break
                bootstrap(self._runs.work, needed, self._told.loading)
                self._loaded = needed
            self._pending.remove(turn)
            self._running[turn.run] = turn
            found.append(turn.run)
        return found

    def _needs_history_before(self, turn: Turn) -> date:
        """Nights of this backfill write their own. Without them all can be loaded at once where no run could see more
        of it than it may: tables of a date read only what was before it."""
        if self._writes_history:
            return min(history_before(turn.run, self._runs.spec), self._first)
        return history_before((self._last if self._may_load_all else turn).run, self._runs.spec)

    def _ended(self, status: RunStatus) -> None:
        del self._running[status.run]
        end = End(run=status.run, state=status.state, reason=status.reason)
        self.ends.append(end)
        self._told.ended(end)


def _nobody(entry: LedgerEntry) -> None:
    """Hears a decision: of hundreds of runs, nobody reads them all."""
