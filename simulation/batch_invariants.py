"""What must hold of batches, whatever befalls a world. Each yields what is wrong; its name is the rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core.batch import (
    CHUNK_TIMEOUT_S,
    MUTE_MARGIN_S,
    TRIES_MAX,
    BatchRecord,
    ChunkOrder,
    ChunkReport,
    SealKind,
    UnitState,
)
from shared.core.model import Status
from shared.core.tally import STALL_SHARE
from simulation.story import BatchStory
from simulation.warehouse import digest

ORDER_LOST = timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S)  # nobody waits for its report any longer
BATCH_CLOSING = timedelta(minutes=5)  # of a batch whose start's time is over, whatever has died

Broken = Iterator[str]

# --- of batches, while the world goes on ------------------------------------------------------------------


def every_unit_is_in_its_batch_once(story: BatchStory) -> Broken:
    batch = story.batch
    units = [result.unit for result in batch.settled] + [unit.id for chunk in story.chunks for unit in chunk.units]
    if len(units) != batch.total or len(set(units)) != len(units):
        yield f"{batch.id} has {len(set(units))} units in {len(units)} places, and says {batch.total}"
    if batch.start.units is not None and set(units) != set(batch.start.units):
        yield f"{batch.id} has not the units that its start wants"


def orders_are_bounded(story: BatchStory, in_flight: int, now: datetime) -> Broken:
    """No unit is ordered more than TRIES_MAX times, and not too many wait for a report at once."""
    tries = Counter((order.chunk, place) for order in story.orders for place in order.places)
    for (chunk, place), count in tries.items():
        if count > TRIES_MAX:
            yield f"unit {place} of chunk {chunk} of {story.batch.id} was ordered {count} times"
    last = {(order.chunk, place): order for order in story.orders for place in order.places}
    waits = sum((o.chunk, o.number) not in story.reports and now < o.at + ORDER_LOST for o in last.values())
    if waits > 2 * in_flight:  # each chunk that ends lets one out, and so may a look that comes between
        yield f"{waits} units of {story.batch.id} are under way, {in_flight} at a time are wanted"


def what_is_sent_is_ordered(story: BatchStory, order: ChunkOrder) -> Broken:
    """An order that the store does not know would never be counted."""
    units = tuple(unit.id for unit in order.units)
    known = [
        tuple(story.chunks[each.chunk].units[place].id for place in each.places)
        for each in story.orders
        if (each.chunk, each.number) == (order.chunk, order.number)
    ]
    if known != [units]:
        yield f"{order.batch}/{order.chunk} order {order.number} is sent for {units}, recorded are {known}"


def nothing_counts_after_the_seal(story: BatchStory, report: ChunkReport) -> Broken:
    if story.seal and (report.chunk, report.number) not in story.reports:
        yield f"{report.batch}/{report.chunk} order {report.number} counts after the seal"


def nothing_is_merged_before_the_seal(story: BatchStory) -> Broken:
    if story.seal is None:
        yield f"{story.batch.id} merges and is not sealed"


def one_merge(story: BatchStory) -> Broken:
    if len(set(story.merged)) > 1:
        yield f"{story.batch.id} merged {len(set(story.merged))} different things"


def no_batch_outlasts_its_start(story: BatchStory) -> Broken:
    if story.closed is None:
        yield f"{story.batch.id} is open, {story.batch.start.timeout_s} s and more after it began"


# --- of batches, when the world has ended ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A batch when its world has ended: as it was seen, and as it is stored."""

    story: BatchStory
    record: BatchRecord | None
    reports: tuple[ChunkReport, ...]


def a_batch_that_is_sealed_is_closed(end: BatchEnd) -> Broken:
    seal = end.record.seal if end.record else None
    if seal is None:
        yield f"{end.story.batch.id} was never sealed"
    elif seal.completion is None or end.story.closed is None:
        yield f"{seal.batch} is sealed and not closed"
    elif not end.story.published:
        yield f"{seal.batch} is closed, and nobody was told"


def every_unit_ends_in_one_state(end: BatchEnd) -> Broken:
    """The batch's own count is that of its store, unit by unit."""
    completion = end.record.seal.completion if end.record and end.record.seal else None
    if completion is None or completion.units_expected is None:  # it could not be written, and says so
        return
    states = states_of(end)
    lost = {unit for unit, state in states.items() if state in (UnitState.FAILED, UnitState.EXPIRED)}
    told = (completion.units_expected, completion.units_actual, set(completion.missing))
    if told != (len(states), len(states) - len(lost), lost):
        yield f"{end.story.batch.id} has {len(states)} units without {sorted(lost)}, and says {told}"
    if completion.status is Status.SUCCESS and lost:
        yield f"{end.story.batch.id} is a success without {sorted(lost)}"


def what_is_done_is_merged(end: BatchEnd) -> Broken:
    """All of it and nothing else; of a batch that stalled below its share, or was cancelled, nothing."""
    seal = end.record.seal if end.record else None
    if seal is None or seal.completion is None:
        return
    states = states_of(end)
    done = [unit for unit, state in states.items() if state is UnitState.DONE]
    lost = [unit for unit, state in states.items() if state in (UnitState.FAILED, UnitState.EXPIRED)]
    stalled = seal.kind is SealKind.EXPIRED and (len(states) - len(lost)) / len(states) < STALL_SHARE
    if end.story.merged and (stalled or not done or seal.kind is SealKind.CANCELLED):
        yield f"{seal.batch} ended {seal.kind} with {len(done)} of {len(states)} units done, and merged"
    outputs = {r.unit: r.output for report in reversed(end.reports) for r in report.results if r.output}
    content = digest([row for unit in done for row in json.loads(outputs[unit])])
    if end.story.merged and end.story.merged[-1] != content:
        yield f"{seal.batch} merged something else than what its {len(done)} units gave"
    if seal.completion.status in (Status.SUCCESS, Status.PARTIAL) and seal.completion.digest != content:
        yield f"{seal.batch} reports something else than what its {len(done)} units gave"


def states_of(end: BatchEnd) -> dict[str, UnitState]:
    """How each unit ended, counted anew: the first that ended it stands, by number of the order."""
    states = {result.unit: result.state for result in end.story.batch.settled}
    again = {result.unit for report in end.reports for result in report.results if result.again}
    for report in end.reports:
        for result in report.results:
            if not result.again:
                states.setdefault(result.unit, result.state)
    for chunk in end.story.chunks:
        for unit in chunk.units:
            states.setdefault(unit.id, UnitState.FAILED if unit.id in again else UnitState.EXPIRED)
    return states


def who_gives_up_says_so(end: BatchEnd) -> Broken:
    """A batch that stalled and brings nothing is somebody's to look into; one that brought all is nobody's."""
    seal = end.record.seal if end.record else None
    if seal is None or seal.completion is None:
        return
    gave_up = seal.kind is SealKind.EXPIRED and seal.completion.status is Status.FAILED
    if gave_up and not seal.incident:
        yield f"{seal.batch} gave up, and nobody is told"
    if seal.incident and seal.completion.status is not Status.FAILED:
        yield f"{seal.batch} is {seal.completion.status}, and an incident: {seal.incident}"


BATCH_AT_THE_END: tuple[Callable[[BatchEnd], Broken], ...] = (
    a_batch_that_is_sealed_is_closed,
    every_unit_ends_in_one_state,
    what_is_done_is_merged,
    who_gives_up_says_so,
)
