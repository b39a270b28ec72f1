"""Phase 5's coordinator: fans a start out into chunks, orders them as they end, and ends the batch.

Its state is the batch store; whatever dies, the next message or the sweep goes on from there. Every verb may be called
twice, at once, or late, and none works on after it has answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from shared import edge
from shared.core.batch import (
    CHUNK_UNITS,
    IN_FLIGHT_UNITS,
    SEAL_S,
    SHARED_TEXT_MAX,
    UNIT_ID_MAX,
    UNIT_TEXT_MAX,
    Batch,
    BatchRecord,
    Chunk,
    ChunkOrder,
    ChunkReady,
    ChunkReport,
    Due,
    Ordered,
    Seal,
    Sealed,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
    chunked,
    decide_batch,
    first_orders,
    follower,
    gives_up_at,
    likeness,
    stalled,
    under_way,
)
from shared.core.measures import of_units
from shared.core.messages import UNITS_MAX, Message, completion_message, order_message
from shared.core.model import Act, Completion, RunKey, Start, Status
from shared.core.quality import too_poor
from shared.core.tally import Wrote, conclude, incident_of, so_far, tally, writes
from shared.core.timeouts import BATCH_HISTORY, batch_window
from shared.ports import NO_METER, NO_TRACE, BatchStore, Bus, Clock, Meter, Tracer, Written
from shared.service import Refusal, publish

log = logging.getLogger("tipoff.coordinator")

SETTLED_MAX = 800_000  # bytes: of a batch's own record in the smallest of stores, a million, with the model beside them
SETTLED_EXTRA = 60  # of each, beside id and reason
SEAL_LEASE_S = 90  # above a consolidation with the tries of its calls; after it whoever sweeps takes the seal up
SWEEP_MAX = 100
ORDERS_PER_PUBLISH = 20  # about a megabyte
LEFT_MIN = timedelta(minutes=1)
OPEN_WITHIN = timedelta(days=1)  # every open batch is due far earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a batch reads, in bulk, when it begins."""

    shared: str  # JSON that the work on every unit needs
    units: Mapping[str, str]  # per unit that can be done: its own JSON
    skipped: Mapping[str, str]  # per unit that cannot be done by anyone: why
    completeness: Mapping[str, float | None] = field(default_factory=dict)  # per unit: share of its inputs, 0 to 1


class Gather(Protocol):
    """Reads the inputs of the units that a start wants. Raises what the world raises; then nothing has begun."""

    def __call__(self, start: Start) -> Inputs: ...


class Heal(Protocol):
    """Reads the inputs of some units from where they are made, as they are by now. Writes nothing."""

    def __call__(self, start: Start, units: Collection[str]) -> Inputs: ...


class Consolidate(Protocol):
    """Writes what the units gave to where it belongs, once in effect: twice, at once or late changes nothing.

    Raises where not all of it stands there afterwards.
    """

    def __call__(self, start: Start, outputs: Sequence[str]) -> Written: ...


class NothingWritten(Exception):
    """Units are done, and not a row of them stands: what they gave is no rows, and stays in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """Safe to call from several threads: it keeps nothing but its parts."""

    pipeline: str  # whose batches it coordinates: others may be in the same store
    batches: BatchStore
    bus: Bus
    clock: Clock
    gather: Gather
    consolidate: Consolidate
    standing: Callable[[Start], Written | None]  # what this very start has written already
    request_topic: str
    completion_topic: str
    trace: Tracer = NO_TRACE
    meter: Meter = NO_METER
    check: Callable[[], object] = lambda: None  # raises where what units give could not be written
    heal: Heal | None = None
    override: Callable[[RunKey], Act | None] = lambda _: None  # by whose word poor units are worked on, now
    quality_min: float = 0.0  # share of its inputs that a unit must have
    in_flight: int = IN_FLIGHT_UNITS
    chunk_units: int = CHUNK_UNITS

    # --- what wakes it ------------------------------------------------------------------------------

    def on_start(self, start: Start) -> None:
        """Begin the batch of a start and order its chunks; the same start again finds the first.

        Of a start that wants `only` some units, what the others gave in the batch before is taken over, where it is
        there.
        """
        record = self.batches.load(batch_id(start))
        if record is None:
            self._begin(start)
            record = self.batches.load(batch_id(start))
        assert record is not None, f"{batch_id(start)} was just created"
        if record.seal and record.seal.completion:  # who sent the start may not have heard
            self._publish(record.seal.completion)
            return
        self._go_on(record)

    def on_ready(self, ready: ChunkReady) -> Refusal | None:
        """A worker's hint that it has recorded a chunk: order the next one, or look at the whole."""
        batch = self.batches.batch(ready.batch) if self.is_mine(ready.batch) else None
        if batch is None or ready.chunk >= batch.chunks:
            return Refusal(f"chunk {ready.chunk} of batch {ready.batch} is not known")
        if ready.look:
            self.advance(batch.id)
        elif next_one := follower(batch, ready.chunk, self.clock.now(), self.in_flight):
            self._order(batch, self.batches.order(batch.id, [next_one]))
        return None

    def unbegun(self, start: Start, reason: str, duration_s: float) -> Message | None:
        """The report of a start whose batch could not begin. None once there is one: the same start goes on with it."""
        if self.batches.batch(batch_id(start)):
            return None
        return completion_message(edge.failure(start, reason, duration_s), self.completion_topic)

    def due(self) -> tuple[str, ...]:
        """For the timer: the batches to be advanced now, through the same door."""
        return tuple(filter(self.is_mine, self.batches.due(self.clock.now(), SWEEP_MAX)))

    def stalled(self) -> tuple[str, ...]:
        """The open batches without progress for too long; one that cannot be read hides none of the others."""
        now, found = self.clock.now(), list[str]()
        for id in filter(self.is_mine, self.batches.due(now + OPEN_WITHIN, SWEEP_MAX)):
            record = edge.attempt(partial(self.batches.load, id))
            if isinstance(record, str):
                log.warning("%s could not be read: %s", id, record)
            elif record and stalled(record, now):
                found.append(id)
        return tuple(found)

    def is_mine(self, batch: str) -> bool:
        """Whether a batch is of this coordinator's pipeline, as its id says."""
        return batch.startswith(f"{self.pipeline}.")

    def recover(self, batch: str) -> bool:
        """Send the orders under way again, then look. Workers drop what they have done. False: it is not known."""
        record = self.batches.load(batch)
        if record is None:
            return False
        self._go_on(record)
        return True

    def end_by(self, batch: str, kind: SealKind, act: Act) -> Seal | Refusal:
        """End an open batch at a person's word: SEALED with what there is, CANCELLED without anything."""
        record = self.batches.load(batch)
        if record is None:
            return Refusal(f"batch {batch} is not known")
        if record.seal is None:
            self._end(record.batch, kind, f"{kind} by {act.actor}: {act.reason}", act)
            record = self.batches.load(batch)
        assert record is not None, f"{batch} was just there"
        seal = record.seal
        assert seal is not None, f"{batch} was just sealed"
        if seal.act and (seal.kind, seal.act.actor, seal.act.reason) == (kind, act.actor, act.reason):
            return seal
        return Refusal(f"batch {batch} has ended already: {seal.reason}")

    # --- the path of one look -----------------------------------------------------------------------

    def _go_on(self, record: BatchRecord) -> None:
        """Send the orders under way again, as whoever sent them may have died before; then look."""
        if record.seal is None:
            self._order(record.batch, under_way(record))
        self.advance(record.batch.id)

    def advance(self, batch: str) -> None:
        """Order what is due, or end the batch."""
        record = self.batches.load(batch)
        assert record is not None, f"{batch} is not known"
        now = self.clock.now()
        match decide_batch(record, now, self.in_flight):
            case Due(orders=orders, next_look_at=next_look_at):
                self._order(record.batch, self.batches.order(batch, orders) if orders else ())
                self.batches.look_at(batch, next_look_at, now)
            case Sealed(kind=kind, reason=reason):
                self._end(record.batch, kind, reason)

    def _order(self, batch: Batch, orders: Sequence[Ordered]) -> None:
        """Publish orders, some at a time: a batch of thousands is never whole in memory."""
        start = bare(batch.start)
        for first in range(0, len(orders), ORDERS_PER_PUBLISH):
            some = orders[first : first + ORDERS_PER_PUBLISH]
            chunks = {chunk.number: chunk for chunk in self.batches.chunks(batch.id, [each.chunk for each in some])}
            messages = [
                order_message(
                    ChunkOrder(
                        start=start,
                        chunk=each.chunk,
                        number=each.number,
                        shared=batch.shared,
                        units=tuple(chunks[each.chunk].units[place] for place in each.places),
                    ),
                    self.request_topic,
                )
                for each in some
            ]
            publish(self.bus, self.trace, messages, self.clock.now(), run=batch.start.run)

    # --- how it begins ------------------------------------------------------------------------------

    def _begin(self, start: Start) -> None:
        """Read all inputs, weigh them, and write them down with the first orders: before that nothing has begun."""
        self.check()
        inputs, healed = self._healed(start, self.gather(start))
        now = self.clock.now()
        check_inputs(batch_id(start), inputs)
        poor = too_poor({unit: inputs.completeness.get(unit) for unit in inputs.units}, self.quality_min)
        override = self.override(start.run) if poor else None
        settled = [_failed(unit, why) for unit, why in poor.items()] if override is None else []
        settled += [UnitResult(unit=unit, state=UnitState.SKIPPED, reason=why) for unit, why in inputs.skipped.items()]
        settled += [_too_long(unit, text) for unit, text in inputs.units.items() if len(text) > UNIT_TEXT_MAX]
        ended = {result.unit: result for result in settled}
        units = [Unit(id=unit, inputs=text) for unit, text in inputs.units.items() if unit not in ended]
        units.sort(key=lambda unit: (start.only is not None and unit.id not in start.only, unit.id))
        window = batch_window(self.batches.history(likeness(start), BATCH_HISTORY))
        allowed = timedelta(seconds=max(1, start.timeout_s - SEAL_S))
        if (left := allowed - (now - start.issued_at)) > LEFT_MIN:  # one that came later its gate has given up already
            allowed = min(allowed, left)
        chunks = chunked(units, self.chunk_units)
        if (size := sum(len(result.unit) + len(result.reason) + SETTLED_EXTRA for result in settled)) > SETTLED_MAX:
            raise ValueError(
                f"{batch_id(start)}: {len(settled)} units that are not to be worked on fill {size} bytes, at "
                f"most {SETTLED_MAX}; check what gathers its inputs"
            )
        batch = Batch(
            start=start,
            created_at=now,
            deadline_at=now + min(window.allowed, allowed),
            deadline_from=window.source if window.allowed <= allowed else "start",
            chunks=len(chunks),
            units=len(units),
            chunk_units=self.chunk_units,
            shared=inputs.shared,
            settled=tuple(sorted(ended.values(), key=lambda result: result.unit)),
            quality_min=self.quality_min,
            override=override,
            healed=healed,
        )
        if self.batches.create(batch, chunks, first_orders(batch, self.in_flight)):
            log.info("%s begins: %d units in %d chunks, %d settled", batch.id, len(units), len(chunks), len(settled))
            if start.only is not None:
                self._carry_over(batch, chunks, start.only)

    def _healed(self, start: Start, inputs: Inputs) -> tuple[Inputs, tuple[str, ...]]:
        """The inputs, with those of poor and of skipped units read anew; and the units that this has helped.

        Once for a batch. Where it fails, the units stay what they are: their gate is closed.
        """
        heal = self.heal
        poor = too_poor({unit: inputs.completeness.get(unit) for unit in inputs.units}, self.quality_min)
        lacking = {*poor, *inputs.skipped}
        if heal is None or not lacking:
            return inputs, ()
        found = edge.attempt(lambda: heal(start, lacking))
        if isinstance(found, str):
            log.warning("%s: %d units could not be healed: %s", batch_id(start), len(lacking), found)
            return inputs, ()
        still = too_poor({unit: found.completeness.get(unit) for unit in found.units}, self.quality_min)
        helped = {unit: text for unit, text in found.units.items() if unit in lacking and unit not in still}
        if not helped:
            return inputs, ()
        log.info("%s: of %d units that lacked inputs %d have been healed", batch_id(start), len(lacking), len(helped))
        healed = Inputs(
            shared=inputs.shared,
            units={**inputs.units, **helped},
            skipped={unit: why for unit, why in inputs.skipped.items() if unit not in helped},
            completeness={**inputs.completeness, **{unit: found.completeness.get(unit) for unit in helped}},
        )
        return healed, tuple(sorted(helped))

    def _carry_over(self, batch: Batch, chunks: Sequence[Chunk], only: Collection[str]) -> None:
        """Record what the batch before had of the units that nobody wants anew; who dies here has them worked on."""
        before = self._before(batch.start)
        if before is None:
            return
        known, _ = so_far(before, self.batches.reports(before.id))
        done = {unit: result for unit, result in known.items() if result.state is UnitState.DONE}
        for chunk in chunks:
            if not all(unit.id in done and unit.id not in only for unit in chunk.units):
                continue
            now = self.clock.now()
            every = tuple(range(len(chunk.units)))
            self.batches.order(batch.id, [Ordered(chunk=chunk.number, number=1, tries=1, places=every, at=now)])
            report = ChunkReport(
                start=bare(batch.start),
                chunk=chunk.number,
                number=1,
                results=tuple(done[unit.id] for unit in chunk.units),
            )
            self.batches.record(report, rest=(), ended=True, at=now)

    def _before(self, start: Start) -> Batch | None:
        """The newest batch of this run whose units count: one that failed or was cancelled has said nothing."""
        for attempt in range(start.attempt - 1, 0, -1):
            record = self.batches.load(batch_id(replace(start, attempt=attempt)))
            said = record.seal.completion if record and record.seal else None
            if record and said and said.status in (Status.SUCCESS, Status.PARTIAL):
                return record.batch
        return None

    # --- how it ends --------------------------------------------------------------------------------

    def _end(self, batch: Batch, kind: SealKind, reason: str, act: Act | None = None) -> None:
        """Seal, consolidate, report. Whoever dies or fails on the way is followed by the sweep, once the lease is over.

        What fails for too long is reported as failed: no try may help, and the batch would be taken up for ever.
        """
        now = self.clock.now()
        wanted = Seal(batch=batch.id, kind=kind, reason=reason, at=now, act=act)
        seal = self.batches.seal(wanted, now, SEAL_LEASE_S)
        if seal is None:
            return
        if seal.completion is None:
            concluded = edge.attempt(partial(self._concluded, batch, seal))
            if isinstance(concluded, str):
                log.warning("%s could not be consolidated: %s", batch.id, concluded)
                until = self.clock.now()
                if until < gives_up_at(batch, seal):
                    return  # to be tried again
                if until >= now + timedelta(seconds=SEAL_LEASE_S) and not self.batches.seal(
                    wanted, until, SEAL_LEASE_S
                ):
                    return  # out of its lease: another's to say
                concluded = self._given_up(batch, seal, concluded)
            seal = self.batches.conclude(concluded)
        assert seal.completion is not None, f"{batch.id} has just been concluded"
        self._publish(seal.completion)
        if seal.incident:
            log.error("incident: %s", seal.incident)
        self.batches.close(seal)

    def _concluded(self, batch: Batch, seal: Seal) -> Seal:
        """The seal with what the batch reports, now that what its units gave is where it belongs. Raises where not."""
        ended = tally(batch, self.batches.chunks(batch.id), self.batches.reports(batch.id))
        wrote = Wrote()
        if writes(batch, seal, ended):
            written = self.standing(batch.start)
            if written is None:
                written = self.consolidate(batch.start, [result.output for result in ended.of(UnitState.DONE)])
            if not written.rows:
                raise NothingWritten(f"{len(ended.of(UnitState.DONE))} units gave no rows")
            wrote = Wrote(rows=written.rows, digest=written.digest, superseded=written.superseded)
        completion = conclude(batch, seal, ended, wrote)
        self.meter.add(of_units(batch.start.run, (result.state for result in ended.results.values())))
        return replace(seal, completion=completion, incident=incident_of(seal, completion))

    def _given_up(self, batch: Batch, seal: Seal, why: str) -> Seal:
        """The seal of a batch that could not be consolidated in all its time; its MERGE may stand all the same."""
        if seal.kind is not SealKind.CANCELLED and isinstance(
            edge.attempt(partial(self.standing, batch.start)), Written
        ):
            concluded = edge.attempt(partial(self._concluded, batch, seal))
            if isinstance(concluded, Seal):
                return concluded
        lost = f"what its units gave could not be written: {why}"
        completion = edge.failure(batch.start, lost, (seal.at - batch.created_at).total_seconds())
        return replace(seal, completion=completion, incident=f"batch {batch.id}: {lost}")

    def _publish(self, completion: Completion) -> None:
        log.info("%s/%s is %s: %s rows", completion.run, completion.id, completion.status, completion.rows)
        message = completion_message(completion, self.completion_topic)
        publish(self.bus, self.trace, [message], self.clock.now(), run=completion.run)


def bare(start: Start) -> Start:
    """The start as its orders carry it: without the units, which each order has of its own."""
    return replace(start, units=None, only=None)


def check_inputs(batch: str, inputs: Inputs) -> None:
    """Raises ValueError where no message could tell of such a batch."""
    remedy = "check what gathers its inputs"
    units = [*inputs.units, *inputs.skipped]
    if len(units) > UNITS_MAX:
        raise ValueError(f"{batch}: {len(units)} units, at most {UNITS_MAX}; {remedy}")
    if wrong := [unit for unit in units if not 1 <= len(unit.encode()) <= UNIT_ID_MAX]:
        raise ValueError(f"{batch}: unit {wrong[0][:60]!r}: an id has 1 to {UNIT_ID_MAX} bytes of UTF-8; {remedy}")
    if len(inputs.shared) > SHARED_TEXT_MAX:
        raise ValueError(
            f"{batch}: its units share {len(inputs.shared)} characters, at most {SHARED_TEXT_MAX}; {remedy}"
        )


def _failed(unit: str, reason: str) -> UnitResult:
    return UnitResult(unit=unit, state=UnitState.FAILED, reason=reason)


def _too_long(unit: str, text: str) -> UnitResult:
    return _failed(unit, f"its inputs have {len(text)} characters, at most {UNIT_TEXT_MAX}")
