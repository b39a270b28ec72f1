"""How a batch stands, told to a person: counted from its orders and from what its units' work has reported. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.core.batch import (
    BatchRecord,
    Chunk,
    ChunkReport,
    Due,
    Open,
    Ordered,
    UnitResult,
    UnitState,
    acts_at,
    decide_batch,
    open_orders,
    progress,
)
from shared.core.model import Act, Completion
from shared.core.tally import UNITS_NAMED, so_far, tally

TRIED_AGAIN = "to be tried again"  # no end, and so no state of a unit
BEING_TRIED_AGAIN = "being tried again"
UNSAID = "its worker said nothing of it"
SILENT = "nobody reported the order before"
REASON_SHOWN = 150  # characters; an error text says in its beginning what it is about


class BatchState(StrEnum):
    OPEN = "open"
    CONSOLIDATING = "consolidating"  # sealed, and what its units gave is not yet where it belongs
    ENDED = "ended"
    EXPIRED = "expired"
    SEALED = "sealed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHead:
    """A batch in a line: all that is known of it without its units."""

    batch: str
    phase: str
    state: BatchState
    units: int
    ended: int
    per_s: float  # units that ended in a second, since it began
    ends_at: datetime | None  # an estimate; None where nothing has ended yet, and once it is sealed
    created_at: datetime
    deadline_at: datetime
    deadline_from: str
    sealed_at: datetime | None
    ended_s: float | None  # from its beginning to its seal
    reason: str  # of the seal
    act: Act | None  # of the person who sealed or cancelled it
    completion: Completion | None
    incident: str

    def to_json(self) -> dict[str, object]:
        """The documented form: stable, fields are only ever added."""
        return {
            "batch": self.batch,
            "state": self.state,
            "units": self.units,
            "ended": self.ended,
            "units_per_s": round(self.per_s, 3),
            "ends_at": _text(self.ends_at),
            "created_at": self.created_at.isoformat(),
            "deadline_at": self.deadline_at.isoformat(),
            "deadline_from": self.deadline_from,
            "sealed_at": _text(self.sealed_at),
            "ended_s": self.ended_s,
            "reason": self.reason,
            "act": _act(self.act),
            "completion": _completion(self.completion),
            "incident": self.incident,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why some units are not done."""

    state: str  # skipped, failed, expired, TRIED_AGAIN or BEING_TRIED_AGAIN
    reason: str
    units: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"state": self.state, "reason": self.reason, "units": list(self.units)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """An order that takes far longer than the others did."""

    order: Ordered
    units: tuple[str, ...]  # the first of them, by name

    def to_json(self) -> dict[str, object]:
        return {
            "chunk": self.order.chunk,
            "number": self.order.number,
            "try": self.order.tries,
            "units": len(self.order.places),
            "since": self.order.at.isoformat(),
            "first_units": list(self.units),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """The orders that were the first, second or third of their units."""

    number: int
    orders: int
    reported: int
    units: int

    def to_json(self) -> dict[str, object]:
        return {"try": self.number, "orders": self.orders, "reported": self.reported, "units": self.units}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch as a person sees it, with its units."""

    head: BatchHead
    counts: Mapping[str, int]  # by terminal state; their sum has ended
    under_way: int
    to_try_again: int
    never_ordered: int
    chunks: int
    chunks_ended: int
    next_look_at: datetime | None  # when it acts if nobody reports; None where the next look ends it, or it is sealed
    causes: tuple[Cause, ...]
    stragglers: tuple[Straggler, ...]  # of an open batch
    tries: tuple[Try, ...]
    quality_min: float
    override: Act | None
    healed: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The documented form: stable, fields are only ever added."""
        return {
            **self.head.to_json(),
            **self.counts,
            "under_way": self.under_way,
            "to_try_again": self.to_try_again,
            "never_ordered": self.never_ordered,
            "chunks": self.chunks,
            "chunks_ended": self.chunks_ended,
            "next_look_at": _text(self.next_look_at),
            "causes": [cause.to_json() for cause in self.causes],
            "stragglers": [straggler.to_json() for straggler in self.stragglers],
            "orders": [each.to_json() for each in self.tries],
            "quality_min": self.quality_min,
            "override": _act(self.override),
            "healed": list(self.healed),
        }


def batch_head(record: BatchRecord, now: datetime) -> BatchHead:
    """What can be said of a batch without reading its units."""
    batch, seal, far = record.batch, record.seal, progress(record, now)
    return BatchHead(
        batch=batch.id,
        phase=batch.start.phase,
        state=_state(record),
        units=batch.total,
        ended=batch.total if seal else far.ended,
        per_s=far.per_s,
        ends_at=far.ends_at,
        created_at=batch.created_at,
        deadline_at=batch.deadline_at,
        deadline_from=batch.deadline_from,
        sealed_at=seal.at if seal else None,
        ended_s=round((seal.at - batch.created_at) / timedelta(seconds=1), 3) if seal else None,
        reason=seal.reason if seal else "",
        act=seal.act if seal else None,
        completion=seal.completion if seal else None,
        incident=seal.incident if seal else "",
    )


def batch_status(
    record: BatchRecord, chunks: Iterable[Chunk], reports: Iterable[ChunkReport], now: datetime
) -> BatchStatus:
    """How a batch stands. `reports` may know more than the record, which is to be read before them.

    Before the seal, what nobody has reported has not expired: only what had its last try has ended.
    """
    batch, chunks, reports = record.batch, tuple(chunks), tuple(reports)
    open_ = {} if record.seal else _open_units(record, chunks)
    ordered = {each.chunk for each in record.ordered}
    over = [
        replace(chunk, units=tuple(unit for unit in chunk.units if unit.id not in open_))
        for chunk in chunks
        if record.seal or chunk.number in ordered
    ]
    results = tally(batch, over, reports).results
    still = {unit: each for unit, each in open_.items() if unit not in results}
    under_way = sum(each.is_under_way for each in still.values())
    due = None if record.seal else decide_batch(record, now)
    _, again = so_far(batch, reports)
    return BatchStatus(
        head=replace(batch_head(record, now), ended=len(results)),
        counts={str(state): sum(result.state is state for result in results.values()) for state in UnitState},
        under_way=under_way,
        to_try_again=len(still) - under_way,
        never_ordered=batch.total - len(results) - len(still),
        chunks=batch.chunks,
        chunks_ended=batch.chunks if record.seal else len(ordered) - len({each.order.chunk for each in still.values()}),
        next_look_at=acts_at(record, now) if isinstance(due, Due) else None,
        causes=_causes([*_lost(results), *_not_yet(still, again)]),
        stragglers=() if record.seal else _stragglers(record, chunks, now),
        tries=_tries(record.ordered),
        quality_min=batch.quality_min,
        override=batch.override,
        healed=batch.healed,
    )


def _state(record: BatchRecord) -> BatchState:
    if record.seal is None:
        return BatchState.OPEN
    return BatchState(record.seal.kind) if record.seal.completion else BatchState.CONSOLIDATING


def _open_units(record: BatchRecord, chunks: Iterable[Chunk]) -> dict[str, Open]:
    units = {chunk.number: chunk.units for chunk in chunks}
    return {units[each.order.chunk][place].id: each for each in open_orders(record) for place in each.places}


def _stragglers(record: BatchRecord, chunks: Iterable[Chunk], now: datetime) -> tuple[Straggler, ...]:
    units = {chunk.number: chunk.units for chunk in chunks}
    return tuple(
        Straggler(order=order, units=tuple(units[order.chunk][place].id for place in order.places[:UNITS_NAMED]))
        for order in progress(record, now).stragglers
    )


def _tries(ordered: Iterable[Ordered]) -> tuple[Try, ...]:
    by_try: dict[int, list[Ordered]] = {}
    for each in ordered:
        by_try.setdefault(each.tries, []).append(each)
    return tuple(
        Try(
            number=number,
            orders=len(some),
            reported=sum(each.reported_at is not None for each in some),
            units=sum(len(each.places) for each in some),
        )
        for number, some in sorted(by_try.items())
    )


def _lost(results: Mapping[str, UnitResult]) -> Iterator[tuple[str, str, str]]:
    for unit, result in results.items():
        if result.state is not UnitState.DONE:
            yield str(result.state), result.reason, unit


def _not_yet(still: Mapping[str, Open], again: Mapping[str, UnitResult]) -> Iterator[tuple[str, str, str]]:
    """Units that have been tried and have not ended."""
    for unit, each in still.items():
        said = again[unit].reason if unit in again else ""
        if not each.is_under_way:
            yield TRIED_AGAIN, said or UNSAID, unit
        elif each.order.tries > 1:
            yield BEING_TRIED_AGAIN, said or SILENT, unit


def _causes(found: Iterable[tuple[str, str, str]]) -> tuple[Cause, ...]:
    """The most frequent first."""
    units: dict[tuple[str, str], list[str]] = {}
    for state, reason, unit in found:
        units.setdefault((state, reason[:REASON_SHOWN]), []).append(unit)
    return tuple(
        Cause(state=state, reason=reason, units=tuple(names))
        for (state, reason), names in sorted(units.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def _act(act: Act | None) -> dict[str, object] | None:
    if act is None:
        return None
    return {"actor": act.actor, "reason": act.reason, "at": act.at.isoformat(), "until": _text(act.until)}


def _completion(completion: Completion | None) -> dict[str, object] | None:
    if completion is None:
        return None
    return {"status": str(completion.status), "reason": completion.reason, "rows": completion.rows}
