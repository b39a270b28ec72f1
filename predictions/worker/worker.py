"""Phase 5's worker: one order, one report; each unit ends by itself, whatever its neighbours do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared import edge
from shared.core.batch import UNIT_TEXT_MAX, ChunkOrder, ChunkReport, Unit, UnitResult, UnitState
from shared.core.messages import TEXT_MAX

Predict = Callable[[Unit], UnitResult]
"""From a unit to how it ended; raises for what may pass by itself."""

Prepare = Callable[[str], Predict]
"""From what the units of a batch share to how each is done."""


def answer(order: ChunkOrder, prepare: Prepare) -> ChunkReport:
    """Do a chunk. Doing it again gives the same report; what a unit raises is tried again within the batch's budget."""
    predict = prepare(order.shared)
    results = [_one(unit, predict) for unit in order.units]
    return ChunkReport(start=order.start, chunk=order.chunk, number=order.number, results=tuple(results))


def _one(unit: Unit, predict: Predict) -> UnitResult:
    done = edge.attempt(lambda: predict(unit))
    if isinstance(done, str):
        return UnitResult(unit=unit.id, state=UnitState.FAILED, reason=done, again=True)
    if len(done.output) > UNIT_TEXT_MAX:  # the report of its whole chunk would be refused
        reason = f"its output has {len(done.output)} characters, at most {UNIT_TEXT_MAX}"
        return UnitResult(unit=unit.id, state=UnitState.FAILED, reason=reason)
    return done if len(done.reason) <= TEXT_MAX else replace(done, reason=done.reason[:TEXT_MAX])
