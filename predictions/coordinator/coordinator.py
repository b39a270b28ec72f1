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

from shared.core.batch import (
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
    rest_after,
    strange,
    tally,
)
from shared.core.messages import completion_message, order_message
from shared.core.model import Completion, Start
from shared.ports import BatchStore, Bus, Clock, Written
from shared.service import Refusal

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

    # --- what wakes it ------------------------------------------------------------------------------

    def on_start(self, start: Start) -> None:
        """Begin the batch of a start and order its chunks; the same start again finds the first."""
        if self.batches.batch(batch_id(start)) is None:
            self._begin(start)
        record = self.batches.load(batch_id(start))
        assert record is not None, f"{batch_id(start)} was just created"
        if record.seal and record.seal.completion:  # who sent the start may not have heard
            self._publish(record.seal.completion)
            return
        waiting = [(each.chunk, each.number, each.rest) for each in record.ordered if each.reported_at is None]
        self._order(record.batch, waiting)
        self.advance(record.batch.id)

    def on_report(self, report: ChunkReport) -> Refusal | None:
        """Record what a worker says of a chunk; who records the last one ends the batch."""
        if self.batches.batch(report.batch) is None:
            return Refusal(f"batch {report.batch} is not known")
        chunk = next(iter(self.batches.chunks(report.batch, [report.chunk])), None)
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

    def sweep(self) -> None:
        """The timer's walk through the same door."""
        for batch in self.batches.due(self.clock.now(), SWEEP_MAX):
            self.advance(batch)

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
                self.batches.look_at(batch, next_look_at)
            case Sealed(reason=reason):
                self._end(record.batch, reason)

    def _begin(self, start: Start) -> None:
        inputs, now = self.gather(start), self.clock.now()
        units = [Unit(id=unit, inputs=text) for unit, text in sorted(inputs.units.items())]
        chunks = chunked(units)
        batch = Batch(
            start=start,
            created_at=now,
            deadline_at=deadline_of(start, now),
            chunks=len(chunks),
            shared=inputs.shared,
            settled=tuple(
                UnitResult(unit=unit, state=UnitState.SKIPPED, reason=why)
                for unit, why in sorted(inputs.skipped.items())
            ),
        )
        self.batches.create(batch, chunks)

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
            self.bus.publish(messages, self.clock.now())

    def _end(self, batch: Batch, reason: str) -> None:
        """Seal, consolidate, report. Whoever dies on the way is followed by the sweep, when the lease has lapsed."""
        now = self.clock.now()
        seal = self.batches.seal(Seal(batch=batch.id, reason=reason, at=now), now, SEAL_LEASE_S)
        if seal is None:
            return
        ended = tally(batch, self.batches.chunks(batch.id), self.batches.reports(batch.id))
        written = self._written(batch.start, ended)
        completion = conclude(
            batch,
            ended,
            rows=written.rows,
            digest=written.digest,
            superseded=written.superseded,
            duration_s=round((seal.at - batch.created_at) / timedelta(seconds=1), 3),
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
        self.bus.publish([completion_message(completion, self.completion_topic)], self.clock.now())


def _open(chunk: Chunk, rest: Sequence[str]) -> tuple[Unit, ...]:
    """The units of a chunk that an order is about; no rest means all."""
    return tuple(unit for unit in chunk.units if unit.id in rest) if rest else chunk.units
