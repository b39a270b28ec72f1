"""Looks on at runs whose work deployed functions do, and tells every decision once. For the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import sleep

from shared.core.fold import View, look
from shared.core.model import LedgerEntry, RunKey, Start
from shared.core.standing import under_way_until
from shared.ports import Ports

LOOK_S = 0.25
SETTLE = timedelta(seconds=10)
"""What a message may take from one function to the next: nothing having changed for so long, none is under way."""


class Watcher:
    """From one thread. Costs two small queries a look and run, and the ledger where a decision has changed."""

    def __init__(
        self,
        ports: Ports,
        runs: Sequence[RunKey],
        tell: Callable[[LedgerEntry], None],
        tick: Callable[[], object],
        since: datetime | None = None,
    ) -> None:
        """Decisions from before `since` (now) are not told."""
        self._ports = ports
        self._runs = runs  # the caller's own list: it adds to it and takes away
        self._tell = tell
        self._tick = tick
        self._changed_at = ports.clock.now()
        self._since = since or self._changed_at
        self._views: dict[RunKey, View] = {}
        self._last: dict[RunKey, LedgerEntry] = {}
        self._told: set[tuple[object, ...]] = set()

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Nothing is done here but looking; what dies meanwhile, `tick` may see to."""
        self.look()
        while not stop():
            sleep(LOOK_S)
            self._tick()
            self.look()

    @property
    def running(self) -> list[Start]:
        """Starts that are ordered, and neither reported nor given up."""
        return [start for run in self._runs if run in self._views for start in under_way(self._views[run])]

    def next_at(self) -> datetime | None:
        """Now, while something has changed of late: a message may be on its way. None says nobody knows of one."""
        now = self._ports.clock.now()
        return now if now < self._changed_at + SETTLE else None

    def close(self) -> None:
        """There is nothing to close: the work goes on without it."""

    def look(self) -> None:
        """At every run, once."""
        now = self._ports.clock.now()
        for run in list(self._runs):
            plan = self._ports.states.plan(run)
            if plan is None:
                continue
            record = self._ports.states.load(run)
            before = self._views.get(run)
            view = look(plan, record.facts, record.latches, record.control, now)
            self._views[run] = view
            if before is None or (before.fact_ids, before.latch_keys) != (view.fact_ids, view.latch_keys):
                self._changed_at = now
            if record.last_entry and record.last_entry != self._last.get(run):
                self._last[run] = record.last_entry
                self._changed_at = now
                self._tell_new(run)

    def _tell_new(self, run: RunKey) -> None:
        for entry in self._ports.states.ledger(run):
            key = (run, entry.gate, entry.attempt, entry.at, entry.decision)
            if entry.at >= self._since and key not in self._told:
                self._told.add(key)
                self._tell(entry)


def under_way(view: View) -> list[Start]:
    """The last start of each processor, where it is neither reported nor out of its time."""
    processors = {processor.name: processor for phase in view.plan.phases for processor in phase.processors}
    return [starts[-1] for name, starts in view.starts.items() if under_way_until(view, processors[name])]
