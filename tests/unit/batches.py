"""Small batches for the tests of the core: units u0, u1, ... in chunks, times in seconds after its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from shared.core.batch import (
    CHUNK_TIMEOUT_S,
    MUTE_MARGIN_S,
    Batch,
    BatchRecord,
    Chunk,
    ChunkReport,
    Ordered,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    chunked,
)
from shared.core.model import RunKey, Start

T0 = datetime(2024, 1, 15, 15, 30, tzinfo=timezone.utc)
MUTE_S = CHUNK_TIMEOUT_S + MUTE_MARGIN_S
DEADLINE_S = 1_800
START = Start(
    run=RunKey("nba", date(2024, 1, 15), "same_day"),
    phase="predictions",
    processor="predictions",
    attempt=1,
    fence=200010001,
    partition=date(2024, 1, 15),
    timeout_s=2_400,
    issued_at=T0,
)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def units_of(count: int) -> tuple[Unit, ...]:
    return tuple(Unit(id=f"u{number}", inputs="{}") for number in range(count))


def batch_of(units: int, chunk_units: int = 3, **fields: Any) -> Batch:
    """With half an hour, if nothing else is said."""
    batch = Batch(
        start=START,
        created_at=T0,
        deadline_at=after(DEADLINE_S),
        chunks=len(chunked(units_of(units), chunk_units)),
        units=units,
        chunk_units=chunk_units,
        shared="{}",
    )
    return replace(batch, **fields)


def chunks_of(batch: Batch) -> tuple[Chunk, ...]:
    return chunked(units_of(batch.units), batch.chunk_units)


def sent(chunk: int, places: Iterable[int] = (0, 1, 2), at_s: float = 0, *, number: int = 1, tries: int = 1) -> Ordered:
    """An order that nobody has reported."""
    return Ordered(chunk=chunk, number=number, tries=tries, places=tuple(places), at=after(at_s))


def heard(order: Ordered, at_s: float = 1, rest: Iterable[int] = ()) -> Ordered:
    """The same order, reported."""
    return replace(order, reported_at=after(at_s), rest=tuple(rest))


def record(units: int, *ordered: Ordered, seal: Seal | None = None, **fields: Any) -> BatchRecord:
    return BatchRecord(batch=batch_of(units, **fields), ordered=ordered, seal=seal)


def result(unit: str, state: UnitState = UnitState.DONE, **fields: Any) -> UnitResult:
    return UnitResult(unit=unit, state=state, **fields)


def skipped(unit: str, reason: str = "no_history") -> UnitResult:
    return result(unit, UnitState.SKIPPED, reason=reason)


def failed(unit: str, reason: str = "no model") -> UnitResult:
    return result(unit, UnitState.FAILED, reason=reason)


def passing(unit: str, reason: str = "network") -> UnitResult:
    return result(unit, UnitState.FAILED, reason=reason, again=True)


def report(*results: UnitResult, chunk: int = 0, number: int = 1) -> ChunkReport:
    return ChunkReport(start=START, chunk=chunk, number=number, results=results)


def seal_of(batch: Batch, kind: SealKind, at_s: float = 9, **fields: Any) -> Seal:
    return Seal(batch=batch.id, kind=kind, reason=f"{kind}, as it is told", at=after(at_s), **fields)
