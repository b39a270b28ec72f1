"""How far the batches of a run are, for `status` and `explain`: counted from what its units' work has reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.core.batch import (
    Due,
    UnitResult,
    UnitState,
    batch_id,
    decide_batch,
    ends,
    so_far,
    tally,
)
from shared.core.model import RunKey
from shared.wiring import ReadHome

TRIED_AGAIN = "to be tried again"  # no end, and so no state of a unit
REASON_SHOWN = 150  # characters; an error text says in its beginning what it is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why some units are not done."""

    state: str  # skipped, failed, expired, or TRIED_AGAIN
    reason: str
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch as a person sees it."""

    batch: str
    phase: str
    units: int
    ended: int
    counts: dict[str, int]  # by terminal state
    chunks: int
    chunks_ended: int
    deadline_at: datetime
    sealed_at: datetime | None
    next_look_at: datetime | None
    reason: str  # of the seal
    causes: tuple[Cause, ...]

    def to_json(self) -> dict[str, object]:
        """The documented form: stable, fields are only ever added."""
        return {
            "batch": self.batch,
            "units": self.units,
            "ended": self.ended,
            **self.counts,
            "chunks": self.chunks,
            "chunks_ended": self.chunks_ended,
            "deadline_at": self.deadline_at.isoformat(),
            "sealed_at": self.sealed_at.isoformat() if self.sealed_at else None,
            "next_look_at": self.next_look_at.isoformat() if self.next_look_at else None,
            "causes": [
                {"state": cause.state, "reason": cause.reason, "units": list(cause.units)} for cause in self.causes
            ],
        }


def batches_of(home: ReadHome, run: RunKey, now: datetime) -> list[BatchStatus]:
    """Every batch of a run, in the order in which its starts were ordered."""
    starts = [start for latch in home.states.load(run).latches for start in latch.starts]
    found = [batch_status(home, batch_id(start), now) for start in starts]
    return [status for status in found if status]


def batch_status(home: ReadHome, id: str, now: datetime) -> BatchStatus | None:
    """None where no batch has been begun."""
    record = home.batches.load(id)
    if record is None:
        return None
    chunks, reports = home.batches.chunks(id), home.batches.reports(id)
    ended, again = so_far(record.batch, reports)
    if record.seal:  # before it, what nobody has reported has not expired
        ended, again = dict(tally(record.batch, chunks, reports).results), {}
    results = list(ended.values())
    counts = {str(state): sum(result.state is state for result in results) for state in UnitState}
    due = None if record.seal else decide_batch(record, now)
    return BatchStatus(
        batch=id,
        phase=record.batch.start.phase,
        units=len(record.batch.settled) + sum(len(chunk.units) for chunk in chunks),
        ended=len(results),
        counts=counts,
        chunks=record.batch.chunks,
        chunks_ended=len({ordered.chunk for ordered in record.ordered if ends(ordered)}),
        deadline_at=record.batch.deadline_at,
        sealed_at=record.seal.at if record.seal else None,
        next_look_at=due.next_look_at if isinstance(due, Due) else None,
        reason=record.seal.reason if record.seal else "",
        causes=_causes(results, [again[unit.id] for chunk in chunks for unit in chunk.units if unit.id in again]),
    )


def _causes(ended: Sequence[UnitResult], again: Sequence[UnitResult]) -> tuple[Cause, ...]:
    """The most frequent first."""
    units: dict[tuple[str, str], list[str]] = {}
    lost = [(str(result.state), result) for result in ended if result.state is not UnitState.DONE]
    for state, result in [*lost, *((TRIED_AGAIN, result) for result in again)]:
        units.setdefault((state, result.reason[:REASON_SHOWN]), []).append(result.unit)
    return tuple(
        Cause(state=state, reason=reason, units=tuple(names))
        for (state, reason), names in sorted(units.items(), key=lambda item: (-len(item[1]), item[0]))
    )
