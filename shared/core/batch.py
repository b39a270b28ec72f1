"""A batch: the units of one start, fanned out in chunks, each unit to exactly one terminal state. Pure.

What a unit's work reads and writes is text that only its worker understands; the batch counts states. `decide_batch`
says what is due: orders to be sent (again), or the seal, after which nothing is counted any more. How a batch then ends
is shared/core/tally.py. Past 400 lines because the values of a batch and what is due in it are read together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.core.model import Act, Completion, Start

CHUNK_UNITS = 50  # a message of some 50 kB, and seconds of work: little is lost with one
IN_FLIGHT_UNITS = 1_000  # ordered and not reported: what a few workers hold; a day's batch goes out at once
TRIES_MAX = 3  # orders of one unit; what fails three times fails for a reason
PARTS = 8  # into which the units of a silent order go: one of them may have killed its worker
CHUNK_TIMEOUT_S = 120  # far above what 50 units take
MUTE_MARGIN_S = 30  # what a report may need to be seen: one lease
RETRY_S = 5  # pause before the second order of what failed; doubles, with jitter
LOOK_S = 55  # an open batch is looked at by each minute's sweep, whatever messages get lost
STALLED_S = 300  # without a report: both a silent order and the one after it have had their time
SEAL_S = 120  # left of the start's own time limit for the consolidation
CONSOLIDATE_S = (
    600  # tries to consolidate: longer than a warehouse is usually away; then the next attempt is better off
)

UNIT_TEXT_MAX = 8_000  # characters of a unit's inputs, and of its output: 50 of them, escaped, fit into one message
SHARED_TEXT_MAX = 90_000  # what an order holds beside them
UNIT_ID_MAX = 40  # the completion of a batch names 20,000 that are missing

NO_HISTORY = "no_history"
"""Why a unit cannot be done by anyone: then it was not to be expected."""


class UnitState(StrEnum):
    """All terminal."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    EXPIRED = "expired"  # nobody reported it in time


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult:
    """How the work on one unit ended."""

    unit: str
    state: UnitState
    reason: str = ""
    output: str = ""  # JSON of the rows it gives; its worker's alone to understand
    again: bool = False  # failed for a passing reason: not terminal while tries are left


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    id: str
    inputs: str  # JSON, read in bulk when the batch began


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one order does; stands with its inputs from the beginning of the batch."""

    number: int
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The fan-out of one start. Written once; the first to be written stands."""

    start: Start
    created_at: datetime
    deadline_at: datetime
    chunks: int
    units: int  # in chunks; the last chunk may be smaller than the others
    shared: str  # JSON that the work on every unit needs: the model
    settled: tuple[UnitResult, ...] = ()  # units whose end was known before anything was ordered
    chunk_units: int = CHUNK_UNITS
    deadline_from: str = "fallback"  # or history, floor, cap: what decided it
    quality_min: float = 0.0  # share of its inputs that a unit had to have
    override: Act | None = None  # by whose word units below that were ordered all the same
    healed: tuple[str, ...] = ()  # units whose inputs had to be read anew, and then were enough

    @property
    def id(self) -> str:
        return batch_id(self.start)

    @property
    def like(self) -> str:
        return likeness(self.start)

    @property
    def total(self) -> int:
        """All its units, those settled before anything was ordered too."""
        return self.units + len(self.settled)

    def size(self, chunk: int) -> int:
        """How many units a chunk has."""
        return min(self.chunk_units, self.units - chunk * self.chunk_units)


def batch_id(start: Start) -> str:
    return f"{start.run}/{start.phase}/{start.attempt}"


def likeness(start: Start) -> str:
    """What batches are compared by: how long one takes says how long the next one may."""
    return f"{start.run.pipeline}.{start.run.mode}.{start.phase}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOrder:
    """The order to a worker. Carries all it needs; doing it twice gives the same report."""

    start: Start  # of the batch, without its units
    chunk: int
    number: int  # of the order within its chunk, from 1
    shared: str
    units: tuple[Unit, ...]

    @property
    def batch(self) -> str:
        return batch_id(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReport:
    """What a worker records of one order, once."""

    start: Start
    chunk: int
    number: int
    results: tuple[UnitResult, ...]

    @property
    def batch(self) -> str:
        return batch_id(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReady:
    """What a worker says once it has recorded a report: a hint to look, which may be lost, doubled or late."""

    start: Start
    chunk: int
    number: int
    look: bool = True  # whether the batch is to be looked at; else the chunk has ended, and another may go out

    @property
    def batch(self) -> str:
        return batch_id(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """That units of a chunk, by their places in it, were ordered, and what came of it."""

    chunk: int
    number: int  # within the chunk, from 1
    tries: int  # which try of its units this is, from 1
    places: tuple[int, ...]
    at: datetime
    reported_at: datetime | None = None
    rest: tuple[int, ...] = ()  # places that its report has not ended


class SealKind(StrEnum):
    """Why a batch ends."""

    ENDED = "ended"  # every unit has
    EXPIRED = "expired"  # nobody reported all of them: the deadline, or the last try of the silent ones
    SEALED = "sealed"  # a person's word: with what there is
    CANCELLED = "cancelled"  # a person's word: without anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The end of a batch; the first stands. Until it has been published, whoever finds its lease lapsed takes it up."""

    batch: str
    kind: SealKind
    reason: str
    at: datetime
    act: Act | None = None  # the person's, where it was one
    completion: Completion | None = None  # once consolidated
    incident: str = ""  # what somebody has to look into; empty where nobody has

    @property
    def is_usual(self) -> bool:
        """Whether how long it took says something of the batches to come."""
        return self.kind is SealKind.ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch as a decision sees it: counts and times, no inputs and no outputs."""

    batch: Batch
    ordered: tuple[Ordered, ...]
    seal: Seal | None


# --- what is due ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be ordered now."""

    orders: tuple[Ordered, ...]
    next_look_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The batch is to end now, or has ended."""

    kind: SealKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Units of a chunk that have not ended, by the last order that they were in."""

    order: Ordered
    places: tuple[int, ...]

    @property
    def is_under_way(self) -> bool:
        return self.order.reported_at is None


def decide_batch(record: BatchRecord, now: datetime, in_flight: int = IN_FLIGHT_UNITS) -> Due | Sealed:
    """What a batch needs now. Every unit ended, or the deadline: the end.

    About `in_flight` units are ordered and not reported, never twice as many: what failed or stayed silent goes first,
    then chunks that were never ordered, in their order.
    """
    if record.seal:
        return Sealed(kind=record.seal.kind, reason=record.seal.reason)
    batch = record.batch
    open_ = open_orders(record)
    busy = now < _quiet_at(record)
    still = [each for each in open_ if busy or not _silent_to_the_end(each, batch, now)]
    waiting = sorted(set(range(batch.chunks)) - {each.chunk for each in record.ordered})
    if not still and not waiting:
        if silent := sum(len(each.places) for each in open_):
            return Sealed(kind=SealKind.EXPIRED, reason=f"{silent} of {batch.total} units stayed silent at every try")
        return Sealed(kind=SealKind.ENDED, reason="every unit has ended")
    if now >= batch.deadline_at:
        left = sum(len(each.places) for each in still) + sum(map(batch.size, waiting))
        return Sealed(kind=SealKind.EXPIRED, reason=f"the deadline, with {left} of {batch.total} units open")
    ahead = [each for each in still if now < _again_at(each, batch)]
    due = [each for each in still if now >= _again_at(each, batch) and each.order.tries < TRIES_MAX]
    room = in_flight - sum(len(each.places) for each in ahead if each.is_under_way)
    looks = [batch.deadline_at, now + timedelta(seconds=LOOK_S), *(_again_at(each, batch) for each in ahead)]
    orders: list[Ordered] = []
    for order in _wanted(record, due, waiting, now):
        if room <= 0:
            if order.tries > 1:  # followers keep the window full, and bring no look
                looks.append(now + timedelta(seconds=RETRY_S))
            break
        orders.append(order)
        room -= len(order.places)
    return Due(orders=tuple(orders), next_look_at=min(looks))


def acts_at(record: BatchRecord, now: datetime) -> datetime:
    """When an open batch next does something if nobody reports anything: orders again, or ends. Looks that only look
    come every minute."""
    batch = record.batch
    return min([batch.deadline_at, *(max(now, _again_at(each, batch)) for each in open_orders(record))])


def first_orders(batch: Batch, in_flight: int = IN_FLIGHT_UNITS) -> tuple[Ordered, ...]:
    """What is ordered with the batch itself."""
    due = decide_batch(BatchRecord(batch=batch, ordered=(), seal=None), batch.created_at, in_flight)
    return due.orders if isinstance(due, Due) else ()


def follower(batch: Batch, chunk: int, now: datetime, in_flight: int = IN_FLIGHT_UNITS) -> Ordered | None:
    """The first order of the chunk whose turn comes when this one has ended: nobody need look at the whole batch.

    Each chunk makes room for the one that stands a window behind it. What this leaves out, a look orders.
    """
    next_one = chunk + max(1, in_flight // batch.chunk_units)
    return _first_order(batch, next_one, now) if next_one < batch.chunks else None


def under_way(record: BatchRecord) -> tuple[Ordered, ...]:
    """The orders that somebody should be at: who sent them may have died before."""
    return tuple(each.order for each in open_orders(record) if each.is_under_way)


def stalled(record: BatchRecord, now: datetime) -> bool:
    """Whether an open batch has made no progress for too long."""
    last = max((each.reported_at for each in record.ordered if each.reported_at), default=record.batch.created_at)
    return record.seal is None and now >= last + timedelta(seconds=STALLED_S)


def open_orders(record: BatchRecord) -> tuple[Open, ...]:
    """What has been ordered and has not ended, in order of chunk and number."""
    by_chunk: dict[int, list[Ordered]] = {}
    for each in record.ordered:
        by_chunk.setdefault(each.chunk, []).append(each)
    return tuple(each for chunk in sorted(by_chunk) for each in open_in(by_chunk[chunk]))


def open_in(orders: Iterable[Ordered]) -> tuple[Open, ...]:
    """Of one chunk. A report ends what it names; that of the last try ends all that it was asked."""
    last: dict[int, Ordered] = {}
    ended: set[int] = set()
    for each in sorted(orders, key=lambda each: each.number):
        last.update(dict.fromkeys(each.places, each))
        if each.reported_at:
            ended.update(each.places if each.tries >= TRIES_MAX else set(each.places) - set(each.rest))
    places: dict[int, list[int]] = {}
    for place, order in sorted(last.items()):
        if place not in ended:
            places.setdefault(order.number, []).append(place)
    orders_by_number = {order.number: order for order in last.values()}
    return tuple(Open(order=orders_by_number[n], places=tuple(places[n])) for n in sorted(places))


def _wanted(record: BatchRecord, due: Sequence[Open], waiting: Sequence[int], now: datetime) -> Iterable[Ordered]:
    """What may be ordered now, the most urgent first."""
    numbers: dict[int, int] = {}
    for each in record.ordered:
        numbers[each.chunk] = max(numbers.get(each.chunk, 0), each.number)
    for still in due:
        chunk = still.order.chunk
        for places in _parted(still):
            numbers[chunk] += 1
            yield Ordered(chunk=chunk, number=numbers[chunk], tries=still.order.tries + 1, places=places, at=now)
    for chunk in waiting:
        yield _first_order(record.batch, chunk, now)


def _first_order(batch: Batch, chunk: int, now: datetime) -> Ordered:
    return Ordered(chunk=chunk, number=1, tries=1, places=tuple(range(batch.size(chunk))), at=now)


def _parted(each: Open) -> list[tuple[int, ...]]:
    """What failed goes together again; what stayed silent goes in parts, at the last try each unit by itself.

    One unit may kill whoever works on it, and silence its neighbours: alone it harms nobody.
    """
    if not each.is_under_way:
        return [each.places]
    alone = each.order.tries + 1 >= TRIES_MAX
    size = 1 if alone else -(-len(each.places) // PARTS)
    return [each.places[first : first + size] for first in range(0, len(each.places), size)]


def _silent_to_the_end(each: Open, batch: Batch, now: datetime) -> bool:
    """Whether the last try has had its time: nothing more will come."""
    return each.order.tries >= TRIES_MAX and now >= _again_at(each, batch)


def _quiet_at(record: BatchRecord) -> datetime:
    """Until then an order may only be waiting for a worker: those that report are busy."""
    last = max((each.reported_at for each in record.ordered if each.reported_at), default=record.batch.created_at)
    return last + timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S)


def _again_at(each: Open, batch: Batch) -> datetime:
    order = each.order
    if order.reported_at is None:
        return order.at + timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    pause_s = RETRY_S * 2 ** (order.tries - 1) * (0.5 + _chance(f"{batch.id}/{order.chunk}/{order.number}"))
    return order.reported_at + timedelta(seconds=pause_s)


def _chance(text: str) -> float:
    """0 to 1, evenly, and the same at every look: a decision can be made again from what it saw."""
    spread = zlib.crc32(text.encode()) * 0x9E3779B1  # the sums of like texts lie close together: Fibonacci hashing
    return spread % 2**32 / 2**32


def rest_after(report: ChunkReport, chunk: Chunk, order: Ordered) -> tuple[int, ...]:
    """The places of an order whose units have not ended with its report.

    What a report does not mention has not ended: a worker may stay silent on a unit.
    """
    ended = {result.unit for result in report.results if not result.again}
    return tuple(place for place in order.places if chunk.units[place].id not in ended)


def strange(report: ChunkReport, chunk: Chunk | None, order: Ordered | None) -> str:
    """Why a report can never count; empty where it may. Checked before anything of it is recorded."""
    if chunk is None:
        return f"{report.batch} has no chunk {report.chunk}"
    about = f"{report.batch} chunk {report.chunk}"
    if order is None:
        return f"{about}: order {report.number} was never given"
    asked = {chunk.units[place].id for place in order.places}
    units = [result.unit for result in report.results]
    if foreign := sorted(set(units) - asked):
        return f"{about}: unit {foreign[0][:40]!r} is not in order {report.number}"
    if len(set(units)) < len(units):
        return f"{about}: a unit is there twice"
    for result in report.results:
        if result.state is UnitState.EXPIRED:
            return f"{about}: that {result.unit} has expired is the coordinator's word, not a worker's"
        if result.state is UnitState.SKIPPED and not result.reason:
            return f"{about}: {result.unit} is skipped and does not say why"
        if result.again and result.state is not UnitState.FAILED:
            return f"{about}: {result.unit} is to be tried again but has not failed"
    return ""


def gives_up_at(batch: Batch, seal: Seal) -> datetime:
    """From when on a consolidation that fails is not tried again: the gate would not wait for it."""
    within = batch.created_at + timedelta(seconds=batch.start.timeout_s)
    return min(within, seal.at + timedelta(seconds=CONSOLIDATE_S))


def chunked(units: Sequence[Unit], size: int = CHUNK_UNITS) -> tuple[Chunk, ...]:
    """In order, so that the same units give the same chunks."""
    return tuple(
        Chunk(number=number, units=tuple(units[first : first + size]))
        for number, first in enumerate(range(0, len(units), size))
    )


# --- how far it is ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an open batch is, and how long it may take; guesses from what it has done so far."""

    ended: int
    under_way: int
    to_try_again: int
    never_ordered: int
    per_s: float  # units that ended in a second, since it began
    ends_at: datetime | None  # if it goes on so; None where nobody can say, or it has ended
    stragglers: tuple[Ordered, ...]  # orders that take far longer than the others did


STRAGGLES = 3  # times the median of the reports so far
STRAGGLES_S = 10  # and at least: a message may wait that long
NOBODY_S = 30  # where nobody has reported anything yet: workers start in a few seconds
GUESS_S_MAX = 86_400  # further ahead than any deadline, nobody is helped by a guess


def progress(record: BatchRecord, now: datetime) -> Progress:
    """How far a batch is. Of its deadline it says nothing."""
    batch, open_ = record.batch, open_orders(record)
    never = batch.units - sum(batch.size(chunk) for chunk in {each.chunk for each in record.ordered})
    flying = sum(len(each.places) for each in open_ if each.is_under_way)
    again = sum(len(each.places) for each in open_) - flying
    ended = batch.units - never - flying - again
    took = sorted((each.reported_at - each.at).total_seconds() for each in record.ordered if each.reported_at)
    took = [seconds for seconds in took if seconds]  # what was taken over from the batch before took none
    until = record.seal.at if record.seal else now
    per_s = ended / max(1e-3, (until - batch.created_at).total_seconds())
    left_s = (batch.units - ended) / per_s if per_s and not record.seal else None
    slow_s = max(STRAGGLES_S, STRAGGLES * took[len(took) // 2]) if took else NOBODY_S
    late = (each.order for each in open_ if each.is_under_way)
    return Progress(
        ended=ended + len(batch.settled),
        under_way=flying,
        to_try_again=again,
        never_ordered=never,
        per_s=per_s,
        ends_at=now + timedelta(seconds=left_s) if left_s is not None and left_s < GUESS_S_MAX else None,
        stragglers=tuple(order for order in late if (until - order.at).total_seconds() >= slow_s),
    )
