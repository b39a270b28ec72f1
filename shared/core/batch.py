"""A batch: the units of one start, fanned out in chunks, each unit to exactly one terminal state. Pure.

What a unit's work reads and writes is text that only its worker understands; the batch counts states. `decide_batch`
says what is due: chunks to be ordered (again), or the seal, after which nothing is counted any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.core.model import Completion, Start, Status

CHUNK_UNITS = 50  # a message of some 50 kB, and seconds of work: little is lost with one
TRIES_MAX = 3  # orders of one chunk; what fails three times fails for a reason
CHUNK_TIMEOUT_S = 120  # far above what 50 units take
MUTE_MARGIN_S = 30  # what a report may need on the bus: one lease
RETRY_S = 5  # pause before the second order of a chunk; doubles
BATCH_S_MAX = 1_800  # a batch that has not ended by then is sealed with what it has
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
    shared: str  # JSON that the work on every unit needs: the model
    settled: tuple[UnitResult, ...] = ()  # units whose end was known before anything was ordered

    @property
    def id(self) -> str:
        return batch_id(self.start)


def batch_id(start: Start) -> str:
    return f"{start.run}/{start.phase}/{start.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOrder:
    """The order to a worker. Carries all it needs; doing it twice gives the same report."""

    start: Start  # of the batch, without its units
    chunk: int
    number: int  # of the try, from 1
    shared: str
    units: tuple[Unit, ...]

    @property
    def batch(self) -> str:
        return batch_id(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReport:
    """What a worker says of one order, one per try."""

    start: Start
    chunk: int
    number: int
    results: tuple[UnitResult, ...]

    @property
    def batch(self) -> str:
        return batch_id(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """That a try of a chunk was ordered, and what came of it."""

    chunk: int
    number: int
    at: datetime
    reported_at: datetime | None = None
    rest: tuple[str, ...] = ()  # units of the chunk that had not ended when it was reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The end of a batch; the first stands. Until it has been published, whoever finds its lease lapsed takes it up."""

    batch: str
    reason: str
    at: datetime
    completion: Completion | None = None  # once consolidated


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch as a decision sees it: counts and times, no inputs and no outputs."""

    batch: Batch
    ordered: tuple[Ordered, ...]
    seal: Seal | None


# --- what is due ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Chunks to be ordered now: number of the chunk, number of the try, the units that are open (empty: all)."""

    orders: tuple[tuple[int, int, tuple[str, ...]], ...]
    next_look_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The batch is to end now, or has ended."""

    reason: str


def decide_batch(record: BatchRecord, now: datetime) -> Due | Sealed:
    """What a batch needs now. Every unit reported, or the deadline: the end."""
    batch = record.batch
    if record.seal:
        return Sealed(reason=record.seal.reason)
    open_chunks = {each: rest for each, rest in _open_chunks(record) if not _silent_to_the_end(each, now)}
    if not open_chunks:
        return Sealed(reason="every chunk has ended")
    if now >= batch.deadline_at:
        return Sealed(reason=f"the deadline, with {len(open_chunks)} of {batch.chunks} chunks open")
    looks, orders = [batch.deadline_at], []
    for ordered, rest in open_chunks.items():
        again_at = _again_at(ordered)
        if now < again_at or ordered.number >= TRIES_MAX:
            looks.append(again_at)
            continue
        orders.append((ordered.chunk, ordered.number + 1, rest))
        looks.append(now + timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S))
    return Due(orders=tuple(orders), next_look_at=min(looks))


def under_way(record: BatchRecord) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    """The orders, as in Due, that somebody should be at: who sent them may have died before."""
    return tuple((each.chunk, each.number, rest) for each, rest in _open_chunks(record) if each.reported_at is None)


def _open_chunks(record: BatchRecord) -> list[tuple[Ordered, tuple[str, ...]]]:
    """The last try of each chunk that has not ended, and the units that no report has ended (empty: all)."""
    last: dict[int, Ordered] = {}
    rests: dict[int, tuple[str, ...]] = {}
    ended: set[int] = set()
    for each in sorted(record.ordered, key=lambda each: (each.chunk, each.number)):
        last[each.chunk] = each
        if each.reported_at:  # reports that were weighed at the same time do not know of each other
            both = tuple(unit for unit in each.rest if unit in rests.get(each.chunk, each.rest))
            rests[each.chunk] = both or each.rest
        if ends(each):
            ended.add(each.chunk)
    return [(each, rests.get(chunk, ())) for chunk, each in last.items() if chunk not in ended]


def _silent_to_the_end(latest: Ordered, now: datetime) -> bool:
    """Whether the last try of a chunk has had its time: nothing more will come."""
    return latest.number >= TRIES_MAX and now >= _again_at(latest)


def ends(ordered: Ordered) -> bool:
    """Whether this report ends its chunk."""
    return ordered.reported_at is not None and (not ordered.rest or ordered.number >= TRIES_MAX)


def rest_after(report: ChunkReport, chunk: Chunk, ordered: Iterable[Ordered]) -> tuple[str, ...]:
    """The units of a chunk that have not ended with this report and those before it, in the chunk's order.

    What a report does not mention has not ended: a worker may acknowledge an order and stay silent on a unit.
    """
    left = {unit.id for unit in chunk.units}
    for each in ordered:
        if each.chunk == chunk.number and each.reported_at:
            left &= set(each.rest)
    left -= {result.unit for result in report.results if not result.again}
    return tuple(unit.id for unit in chunk.units if unit.id in left)


def _again_at(ordered: Ordered) -> datetime:
    if ordered.reported_at:
        return ordered.reported_at + timedelta(seconds=RETRY_S * 2 ** (ordered.number - 1))
    return ordered.at + timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S)


def deadline_of(start: Start, now: datetime) -> datetime:
    """Early enough for the consolidation to end within what the start allows."""
    return now + timedelta(seconds=max(1, min(BATCH_S_MAX, start.timeout_s - SEAL_S)))


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


# --- how it ends ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Every unit of a batch in exactly one terminal state."""

    results: Mapping[str, UnitResult] = field(default_factory=dict)

    def of(self, *states: UnitState) -> list[UnitResult]:
        return [result for result in self.results.values() if result.state in states]


def so_far(batch: Batch, reports: Iterable[ChunkReport]) -> tuple[dict[str, UnitResult], dict[str, UnitResult]]:
    """The units that have ended, and the last word on those that are to be tried again.

    The first terminal result of each unit stands, by number of the try, whatever the order of arrival.
    """
    ended = {result.unit: result for result in batch.settled}
    again: dict[str, UnitResult] = {}
    for report in sorted(reports, key=lambda each: (each.chunk, each.number)):
        for result in report.results:
            if result.again:
                again[result.unit] = result
            else:
                ended.setdefault(result.unit, result)
    return ended, {unit: result for unit, result in again.items() if unit not in ended}


def tally(batch: Batch, chunks: Iterable[Chunk], reports: Iterable[ChunkReport]) -> Tally:
    """How each unit ended, now that the batch has: what was to be tried again failed, what nobody reported expired."""
    results, again = so_far(batch, reports)
    for chunk in chunks:
        for unit in chunk.units:
            last = again.get(unit.id)
            reason = last.reason if last else "nobody reported it in time"
            state = UnitState.FAILED if last else UnitState.EXPIRED
            results.setdefault(unit.id, UnitResult(unit=unit.id, state=state, reason=reason))
    return Tally(results=dict(sorted(results.items())))


def conclude(batch: Batch, ended: Tally, *, rows: int, digest: str, superseded: bool, duration_s: float) -> Completion:
    """What the batch reports of itself, once what its units gave is where it belongs.

    Nobody could have done a skipped unit: it is named, and counts as there.
    """
    done, skipped = ended.of(UnitState.DONE), ended.of(UnitState.SKIPPED)
    lost = ended.of(UnitState.FAILED, UnitState.EXPIRED)
    expected = len(ended.results)
    reason = _reason(lost, expected) or _skips(skipped)
    if superseded:
        status, reason = Status.SKIPPED, "superseded"
    elif lost:
        status = Status.PARTIAL if done else Status.FAILED
    elif done:
        status = Status.SUCCESS
    else:
        status, reason = Status.SKIPPED, skipped[0].reason if skipped else NO_HISTORY
    start = batch.start
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=status,
        reason=reason,
        units_expected=expected,
        units_actual=expected - len(lost),
        missing=tuple(result.unit for result in lost),
        rows=rows,
        duration_s=duration_s,
        digest=digest,
    )


REASONS_TOLD = 5
UNITS_NAMED = 5


def _reason(lost: Sequence[UnitResult], expected: int) -> str:
    """The reasons, the most frequent first, each with how many units it cost."""
    if not lost:
        return ""
    counts: dict[str, int] = {}
    for result in lost:
        text = f"{result.state}: {result.reason[:150]}"
        counts[text] = counts.get(text, 0) + 1
    told = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:REASONS_TOLD]
    return f"{len(lost)} of {expected} units are not there: " + "; ".join(f"{count} {text}" for text, count in told)


def _skips(skipped: Sequence[UnitResult]) -> str:
    named = ", ".join(f"{result.unit[:40]} ({result.reason[:40]})" for result in skipped[:UNITS_NAMED])
    more = f" and {len(skipped) - UNITS_NAMED} more" if skipped[UNITS_NAMED:] else ""
    return f"skipped: {named}{more}" if named else ""


def strange(report: ChunkReport, chunk: Chunk | None, ordered: Iterable[Ordered]) -> str:
    """Why a report can never count; empty where it may. Checked before anything of it is recorded."""
    if chunk is None:
        return f"{report.batch} has no chunk {report.chunk}"
    about = f"{report.batch} chunk {report.chunk}"
    if report.number not in [each.number for each in ordered]:
        return f"{about}: try {report.number} was never ordered"
    units = [result.unit for result in report.results]
    if foreign := sorted(set(units) - {unit.id for unit in chunk.units}):
        return f"{about}: unit {foreign[0][:40]!r} is not in it"
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
