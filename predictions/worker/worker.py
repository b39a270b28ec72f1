"""Phase 5's worker: one order, one report; each unit ends by itself, whatever its neighbours do.

The report is recorded first and told of then: whoever hears nothing still finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from shared import edge
from shared.core.batch import (
    UNIT_TEXT_MAX,
    ChunkOrder,
    ChunkReady,
    ChunkReport,
    Unit,
    UnitResult,
    UnitState,
    open_in,
    rest_after,
    strange,
)
from shared.core.messages import TEXT_MAX
from shared.ports import BatchStore
from shared.service import Refusal

Predict = Callable[[Unit], UnitResult]
"""From a unit to how it ended. What it raises of its inputs' kind (edge.LASTING) no other try would change."""

Prepare = Callable[[str], Predict]
"""From what the units of a batch share to how each is done."""


def work(order: ChunkOrder, prepare: Prepare, batches: BatchStore, now: Callable[[], datetime]) -> ChunkReady | Refusal:
    """Do an order and record it. One that has been recorded, or whose units others have ended, is only told of: it
    came twice, or waited so long that it was given again."""
    given = {each.number: each for each in batches.ordered(order.batch, order.chunk)}
    mine = given.get(order.number)
    still_open = {place for each in open_in(given.values()) for place in each.places}
    if mine and (mine.reported_at or still_open.isdisjoint(mine.places)):
        return ChunkReady(start=order.start, chunk=order.chunk, number=order.number)
    return record(batches, answer(order, prepare), now())


def record(batches: BatchStore, report: ChunkReport, now: datetime) -> ChunkReady | Refusal:
    """Keep a report, once; what is to be said of it. A refusal, and nothing kept, of one that can never count."""
    chunk = next(iter(batches.chunks(report.batch, [report.chunk])), None)
    orders = {each.number: each for each in batches.ordered(report.batch, report.chunk)}
    given = orders.get(report.number)
    if refused := strange(report, chunk, given):
        return Refusal(refused)
    assert chunk is not None
    assert given is not None
    rest = rest_after(report, chunk, given)
    orders[report.number] = replace(given, reported_at=now, rest=rest)
    still_open = open_in(orders.values())
    left = batches.record(report, rest=rest, ended=not still_open, at=now)
    look = bool(rest) or not left  # while others are at the rest of the chunk, theirs is the last word
    return ChunkReady(start=report.start, chunk=report.chunk, number=report.number, look=look)


def answer(order: ChunkOrder, prepare: Prepare) -> ChunkReport:
    """Do a chunk. Doing it again gives the same report."""
    predict = edge.judge(lambda: prepare(order.shared))
    if isinstance(predict, edge.Raised):
        return all_failed(order, predict.reason, again=predict.passing)
    results = tuple(_one(unit, predict) for unit in order.units)
    return ChunkReport(start=order.start, chunk=order.chunk, number=order.number, results=results)


def all_failed(order: ChunkOrder, reason: str, *, again: bool = True) -> ChunkReport:
    """The report of an order of which nothing could be done."""
    results = [
        UnitResult(unit=unit.id, state=UnitState.FAILED, reason=reason[:TEXT_MAX], again=again) for unit in order.units
    ]
    return ChunkReport(start=order.start, chunk=order.chunk, number=order.number, results=tuple(results))


def _one(unit: Unit, predict: Predict) -> UnitResult:
    done = edge.judge(lambda: predict(unit))
    if isinstance(done, edge.Raised):
        return UnitResult(unit=unit.id, state=UnitState.FAILED, reason=done.reason, again=done.passing)
    if len(done.output) > UNIT_TEXT_MAX:  # the report of its whole chunk would be too long to keep
        reason = f"its output has {len(done.output)} characters, at most {UNIT_TEXT_MAX}"
        return UnitResult(unit=unit.id, state=UnitState.FAILED, reason=reason)
    return done if len(done.reason) <= TEXT_MAX else replace(done, reason=done.reason[:TEXT_MAX])
