"""Phase 5's coordinator: fans a start out into chunks, counts what the workers report, and ends the batch.

Its state is the batch store; whatever dies, the next message or the sweep goes on from there. Every verb may be called
twice, at once, or late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from shared import edge
from shared.core.batch import (
    SHARED_TEXT_MAX,
    UNIT_ID_MAX,
    UNIT_TEXT_MAX,
    Batch,
    Chunk,
    ChunkOrder,
    ChunkReport,
    Due,
    Ordered,
    Seal,
    Sealed,
    Tally,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
    chunked,
    conclude,
    deadline_of,
    decide_batch,
    ends,
    gives_up_at,
    rest_after,
    strange,
    tally,
    under_way,
)
from shared.core.messages import UNITS_MAX, Message, completion_message, order_message
from shared.core.model import Completion, Start
from shared.ports import NO_TRACE, BatchStore, Bus, Clock, Tracer, Written
from shared.service import Refusal, publish

log = logging.getLogger("tipoff.coordinator")

SEAL_LEASE_S = 60  # above any consolidation; after it whoever sweeps takes the seal up
SWEEP_MAX = 100
ORDERS_PER_PUBLISH = 20  # about a megabyte


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a batch reads, in bulk, when it begins."""

    shared: str  # JSON that the work on every unit needs
    units: Mapping[str, str]  # per unit that can be done: its own JSON
    skipped: Mapping[str, str]  # per unit that cannot be done by anyone: why


class Gather(Protocol):
    """Reads the inputs of the units that a start wants. Raises what the world raises; then nothing has begun."""

    def __call__(self, start: Start) -> Inputs: ...


class Consolidate(Protocol):
    """Writes what the units gave to where it belongs, once in effect: twice, at once or late changes nothing."""

    def __call__(self, start: Start, outputs: Sequence[str]) -> Written: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """Safe to call from several threads: it keeps nothing but its parts."""

    batches: BatchStore
    bus: Bus
    clock: Clock
    gather: Gather
    consolidate: Consolidate
    standing: Callable[[Start], Written | None]  # what this very start has written already
    request_topic: str
    completion_topic: str
    trace: Tracer = NO_TRACE

    # --- what wakes it ------------------------------------------------------------------------------

    def on_start(self, start: Start) -> None:
        """Begin the batch of a start and order its chunks; the same start again finds the first."""
        record = self.batches.load(batch_id(start))
        if record is None:
            self._begin(start)
            record = self.batches.load(batch_id(start))
        assert record is not None, f"{batch_id(start)} was just created"
        if record.seal and record.seal.completion:  # who sent the start may not have heard
            self._publish(record.seal.completion)
            return
        if record.seal is None:
            self._order(record.batch, under_way(record))
        self.advance(record.batch.id)

    def on_report(self, report: ChunkReport) -> Refusal | None:
        """Record what a worker says of a chunk; who records the last one ends the batch."""
        chunk = next(iter(self.batches.chunks(report.batch, [report.chunk])), None)
        if chunk is None and self.batches.batch(report.batch) is None:
            return Refusal(f"batch {report.batch} is not known")
        ordered = self.batches.ordered(report.batch, report.chunk)
        if refused := strange(report, chunk, ordered):
            return Refusal(refused)
        assert chunk is not None
        rest, now = rest_after(report, chunk, ordered), self.clock.now()
        said = Ordered(chunk=report.chunk, number=report.number, at=now, reported_at=now, rest=rest)
        left = self.batches.record(report, rest=rest, ended=ends(said), at=now)
        if left is None:
            log.info("%s chunk %d came after the seal", report.batch, report.chunk)
        if left == 0 or rest or left is None:  # sealed, but perhaps by one who died
            self.advance(report.batch)
        return None

    def unbegun(self, start: Start, reason: str, duration_s: float) -> Message | None:
        """The report of a start whose batch could not begin. None once there is one: the same start goes on with it."""
        if self.batches.batch(batch_id(start)):
            return None
        return completion_message(edge.failure(start, reason, duration_s), self.completion_topic)

    def due(self) -> tuple[str, ...]:
        """For the timer: the batches to be advanced now, through the same door."""
        return self.batches.due(self.clock.now(), SWEEP_MAX)

    # --- the path of one look -----------------------------------------------------------------------

    def advance(self, batch: str) -> None:
        """Order what is due, or end the batch."""
        record = self.batches.load(batch)
        assert record is not None, f"{batch} is not known"
        now = self.clock.now()
        match decide_batch(record, now):
            case Due(orders=orders, next_look_at=next_look_at):
                mine = self.batches.order(batch, [Ordered(chunk=c, number=n, at=now, rest=r) for c, n, r in orders])
                self._order(record.batch, [(each.chunk, each.number, each.rest) for each in mine])
                self.batches.look_at(batch, next_look_at, now)
            case Sealed(reason=reason):
                self._end(record.batch, reason)

    def _begin(self, start: Start) -> None:
        inputs, now = self.gather(start), self.clock.now()
        _check(batch_id(start), inputs)
        units = [Unit(id=unit, inputs=text) for unit, text in sorted(inputs.units.items())]
        settled = [UnitResult(unit=unit, state=UnitState.SKIPPED, reason=why) for unit, why in inputs.skipped.items()]
        settled += [_too_long(unit) for unit in units if len(unit.inputs) > UNIT_TEXT_MAX]
        chunks = chunked([unit for unit in units if len(unit.inputs) <= UNIT_TEXT_MAX])
        batch = Batch(
            start=start,
            created_at=now,
            deadline_at=deadline_of(start, now),
            chunks=len(chunks),
            shared=inputs.shared,
            settled=tuple(sorted(settled, key=lambda result: result.unit)),
        )
        if self.batches.create(batch, chunks):
            log.info("%s begins: %d units in %d chunks, %d settled", batch.id, len(units), len(chunks), len(settled))

    def _order(self, batch: Batch, orders: Sequence[tuple[int, int, Sequence[str]]]) -> None:
        """Publish orders, some at a time: a batch of thousands is never whole in memory."""
        start = replace(batch.start, units=None)
        for first in range(0, len(orders), ORDERS_PER_PUBLISH):
            some = orders[first : first + ORDERS_PER_PUBLISH]
            chunks = {chunk.number: chunk for chunk in self.batches.chunks(batch.id, [number for number, _, _ in some])}
            messages = [
                order_message(
                    ChunkOrder(
                        start=start, chunk=chunk, number=number, shared=batch.shared, units=_open(chunks[chunk], rest)
                    ),
                    self.request_topic,
                )
                for chunk, number, rest in some
            ]
            publish(self.bus, self.trace, messages, self.clock.now(), run=batch.start.run)

    def _end(self, batch: Batch, reason: str) -> None:
        """Seal, consolidate, report. Whoever dies or fails on the way is followed by the sweep, once the lease is over.

        What fails for too long is reported as failed: no try may help, and the batch would be taken up for ever.
        """
        now = self.clock.now()
        seal = self.batches.seal(Seal(batch=batch.id, reason=reason, at=now), now, SEAL_LEASE_S)
        if seal is None:
            return
        ended = tally(batch, self.batches.chunks(batch.id), self.batches.reports(batch.id))
        written = edge.attempt(lambda: self._written(batch.start, ended))
        duration_s = round((seal.at - batch.created_at) / timedelta(seconds=1), 3)
        if isinstance(written, str):
            log.warning("%s could not be consolidated: %s", batch.id, written)
            if not gives_up_at(batch, seal) <= self.clock.now() < now + timedelta(seconds=SEAL_LEASE_S):
                return  # to be tried again; or, out of its lease, another's to say
            lost = f"{len(ended.of(UnitState.DONE))} units are done, but what they gave could not be written: {written}"
            completion = edge.failure(batch.start, lost, duration_s)
        else:
            completion = conclude(
                batch,
                ended,
                rows=written.rows,
                digest=written.digest,
                superseded=written.superseded,
                duration_s=duration_s,
            )
        self._publish(completion)
        self.batches.close(replace(seal, completion=completion))

    def _written(self, start: Start, ended: Tally) -> Written:
        standing = self.standing(start)
        if standing is not None:
            return standing
        outputs = [result.output for result in ended.of(UnitState.DONE)]
        return self.consolidate(start, outputs) if outputs else Written(rows=0, units=(), digest="")

    def _publish(self, completion: Completion) -> None:
        log.info("%s/%s is %s: %s rows", completion.run, completion.id, completion.status, completion.rows)
        message = completion_message(completion, self.completion_topic)
        publish(self.bus, self.trace, [message], self.clock.now(), run=completion.run)


def _check(batch: str, inputs: Inputs) -> None:
    """Raises ValueError where no message could tell of such a batch."""
    remedy = "check what gathers its inputs"
    units = [*inputs.units, *inputs.skipped]
    if len(units) > UNITS_MAX:
        raise ValueError(f"{batch}: {len(units)} units, at most {UNITS_MAX}; {remedy}")
    if wrong := [unit for unit in units if not 1 <= len(unit) <= UNIT_ID_MAX]:
        raise ValueError(f"{batch}: unit {wrong[0][:60]!r}: an id has 1 to {UNIT_ID_MAX} characters; {remedy}")
    if len(inputs.shared) > SHARED_TEXT_MAX:
        raise ValueError(
            f"{batch}: its units share {len(inputs.shared)} characters, at most {SHARED_TEXT_MAX}; {remedy}"
        )


def _too_long(unit: Unit) -> UnitResult:
    reason = f"its inputs have {len(unit.inputs)} characters, at most {UNIT_TEXT_MAX}"
    return UnitResult(unit=unit.id, state=UnitState.FAILED, reason=reason)


def _open(chunk: Chunk, rest: Sequence[str]) -> tuple[Unit, ...]:
    """The units of a chunk that an order is about; no rest means all."""
    return tuple(unit for unit in chunk.units if unit.id in rest) if rest else chunk.units
