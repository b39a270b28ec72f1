"""The other runs of a mode, read from the state as it is: how long they took, and which generation stands."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

from shared.core.durations import phase_durations, processor_durations
from shared.core.model import RunKey
from shared.core.timeouts import HISTORY_DAYS, HISTORY_RUNS, Durations
from shared.ports import StateStore


def before(states: StateStore, run: RunKey) -> Durations:
    """Durations of the last HISTORY_RUNS runs of this pipeline and mode, of HISTORY_DAYS up to its date.

    Every generation counts. Only reads; where nothing has run yet there are none.
    """
    known = states.runs(run.pipeline, run.date - timedelta(days=HISTORY_DAYS), run.date)
    last = [key for key in known if key.mode == run.mode and key != run][-HISTORY_RUNS:]
    processors: dict[str, list[float]] = defaultdict(list)
    phases: dict[str, list[float]] = defaultdict(list)
    for key in last:
        record = states.load(key)
        for name, seconds in processor_durations(record.facts, record.latches).items():
            processors[name].append(seconds)
        for name, seconds in phase_durations(record.latches).items():
            phases[name].append(seconds)
    return Durations(processors=processors, phases=phases)


def newest(states: StateStore, run: RunKey) -> RunKey:
    """The newest generation of a run that is known."""
    runs = states.runs(run.pipeline, run.date, run.date)
    return max((key for key in runs if key.mode == run.mode), key=lambda key: key.generation)
