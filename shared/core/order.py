"""In which order the runs of many dates are gone through, and which of them may go beside each other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.core.calendar import usual_start
from shared.core.model import ModeSpec, PipelineSpec, RunKey


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Turn:
    """A run in its place; turns sort as their runs start on the wall clock."""

    at: datetime  # its usual start
    run: RunKey
    writes_history: bool


def turns(spec: PipelineSpec, modes: Collection[ModeSpec], first: date, last: date) -> tuple[Turn, ...]:
    """One for each date and mode, in wall-clock order; their runs are first generations."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return tuple(
        sorted(
            Turn(
                at=usual_start(mode, day, spec.zone),
                run=RunKey(spec.name, day, mode.name),
                writes_history=mode.writes_history,
            )
            for day in days
            for mode in modes
        )
    )


def ready(pending: Iterable[Turn], running: Collection[Turn], at_most: int) -> tuple[Turn, ...]:
    """Those of `pending` that may start now, the earliest first, so that at most so many run.

    What writes history waits for all before it, and all behind it wait for it; of one date, each waits for those before
    it. The rest are independent. A run that is neither pending nor running has ended.
    """
    found: list[Turn] = []
    open_dates: set[date] = set()
    for turn in sorted({*pending, *running}):
        if len(running) + len(found) >= at_most:
            break
        waits = bool(open_dates) if turn.writes_history else turn.run.date in open_dates
        if turn not in running and not waits:
            found.append(turn)
        if turn.writes_history:
            break
        open_dates.add(turn.run.date)
    return tuple(found)
