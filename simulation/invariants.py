"""What must hold whatever befalls a world. Each yields what is wrong; its name is the rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
from shared.core.gate import COMPLETE, NOTHING_EXPECTED, decide, name_of, recompute
from shared.core.messages import read_completion
from shared.core.model import Control, Latch, OutcomeKind, RunKey, Start, Status
from shared.core.plan import PlannedPhase, PlannedProcessor
from shared.core.tally import STALL_SHARE
from shared.ports import Delivery, RunRecord, Stamp
from simulation.fate import planned_in
from simulation.story import BatchStory, Story
from simulation.warehouse import digest
from simulation.work import Games, undisturbed

ENOUGH = 0.95  # SYSTEMS, section 1: a partial critical result of this share may count
READY = timedelta(minutes=2)  # SYSTEMS, section 1: ready but not fired for longer pages someone
ORDER_LOST = timedelta(seconds=CHUNK_TIMEOUT_S + MUTE_MARGIN_S)  # nobody waits for its report any longer
BATCH_CLOSING = timedelta(minutes=5)  # of a batch whose start's time is over, whatever has died
CLOSING = timedelta(minutes=10)  # two looks after the time to give up

Broken = Iterator[str]


@dataclass(frozen=True, slots=True)
class End:
    """A run when its world has ended: as it was seen, and as it is stored."""

    story: Story
    record: RunRecord
    games: Games


# --- while the world goes on --------------------------------------------------------------------------


def starts_only_with_critical_inputs(story: Story, start: Start, now: datetime) -> Broken:
    """Whoever is told to start finds everything it cannot do without."""
    phase = story.plan.phase_by_name[start.phase]
    index = story.plan.phases.index(phase)
    if index:
        before = story.plan.phases[index - 1]
        for processor in before.processors:
            if processor.critical and not _counts(story, before, processor, now):
                yield f"{start.id} starts without {before.name}/{processor.name}"
    for name in phase.by_name[start.processor].needs:
        if not _counts(story, phase, phase.by_name[name], now):
            yield f"{start.id} starts without {name}, which it needs"


def _counts(story: Story, phase: PlannedPhase, processor: PlannedProcessor, now: datetime) -> bool:
    """Whether anything it has ever reported may count by now."""
    for fact in story.facts_of[processor.name]:
        completion = fact.completion
        if completion.status is Status.SKIPPED and completion.reason in processor.whole_skips:
            return True
        if completion.status in (Status.SUCCESS, Status.PARTIAL):
            actual, expected = completion.units_actual, completion.units_expected
            share = 1.0 if not expected or actual is None else actual / expected
            if completion.status is Status.SUCCESS and share >= 1:
                return True
            if share >= ENOUGH or (share > 0 and now >= phase.deadline_at):
                return True
    return False


def starts_only_what_its_mode_plans(start: Start) -> Broken:
    if not planned_in(start):
        yield f"{start.id} is not declared for mode {start.run.mode}"


def each_start_id_effective_once(
    stories: Mapping[RunKey, Story], start: Start, stood: Stamp | None, now_stands: str
) -> Broken:
    """An older order never replaces what a newer one wrote, and what was written for one start id stays the same."""
    story = stories[start.run]
    if stood:
        run = RunKey.parse(stood.run)
        ranks = [_rank(stories[run], start), _rank(story, start)]
        older, newer = (ranks[0], run.generation, stood.attempt), (ranks[1], start.run.generation, start.attempt)
        if older > newer:
            yield f"{start.id} replaces what {run} attempt {stood.attempt} wrote"
    if story.content.get(start.id, now_stands) != now_stands:
        yield f"{start.id} was written twice with different content"


def _rank(story: Story, start: Start) -> int:
    return story.plan.phase_by_name[start.phase].by_name[start.processor].fence_rank


def no_completed_work_lost(story: Story | None, delivery: Delivery, quarantined: bool) -> Broken:
    """A completion whose delivery is acknowledged has become a fact, or is kept for a person."""
    completion = read_completion(delivery.data)
    if not quarantined and (story is None or completion.id not in story.facts):
        yield f"{completion.id} was acknowledged and is nowhere"


def a_hold_holds(control: Control, latches: tuple[Latch, ...], now: datetime) -> Broken:
    """Nothing is claimed against an operator's word."""
    for latch in latches:
        if control.cancel and latch.starts:
            yield f"{latch.key} starts work in a cancelled run"
        if control.held_at(now) and not control.cancel:
            yield f"{latch.key} was taken in a held run"


def what_is_closed_was_sent(story: Story, latch: Latch) -> Broken:
    """Whoever says that a latch is done with has published what it carries: other help would hide who has not."""
    for start in latch.starts:
        if story.sent[start.id] < story.closed[start.id]:
            yield f"{latch.key} is closed, and {start.id} was not published for it"


def ready_but_not_fired(story: Story, was: frozenset[str], now: datetime) -> Broken:
    """What was due two undisturbed minutes ago has been done."""
    for effect in sorted(was & story.would(now)):
        yield f"{effect} has been due since {now - READY:%H:%M:%S}"


# --- when it has ended ----------------------------------------------------------------------------------


def one_outcome_per_gate_attempt(end: End) -> Broken:
    latched = Counter((outcome.gate, outcome.attempt) for outcome in end.story.outcomes)
    told = Counter(
        (entry.gate, entry.attempt)
        for entry in end.story.ledger
        if entry.decision in ("open", "done", "fail") or (entry.decision == "block" and entry.next_look_at is None)
    )
    for (gate, attempt), count in told.items():
        if count != 1:
            yield f"the ledger tells {count} outcomes of {gate}/{attempt}"
    for (gate, attempt), count in latched.items():
        if count != 1 or (gate, attempt) not in told:
            yield f"{count} outcomes of {gate}/{attempt} are latched, {told[gate, attempt]} told"


def what_is_latched_is_sent(end: End) -> Broken:
    """Every start is published, and only by whoever claimed its latch or took it up."""
    for start_id in end.story.claimed:
        if not end.story.sent[start_id]:
            yield f"{start_id} was latched and never published"
    for key in end.story.leases:
        if end.story.latches[key].starts:
            yield f"{key} is still open"
    for start_id, times in end.story.sent.items():
        if times > end.story.claimed[start_id]:
            yield f"{start_id} was published {times} times for {end.story.claimed[start_id]} claims"


def every_fact_stays(end: End) -> Broken:
    if {fact.completion.id: fact for fact in end.record.facts} != end.story.facts:
        yield f"{len(end.story.facts)} facts were appended, {len(end.record.facts)} are there or others"


def every_run_ends(end: End) -> Broken:
    """By the time to give up it is through, and it never stands still on the way."""
    give_up_at = end.story.plan.phases[-1].give_up_at + CLOSING
    ended = [outcome.decided_at for outcome in end.story.outcomes if outcome.kind is not OutcomeKind.OPEN]
    if not ended:
        yield f"has no end; next look {end.record.due_at}"
    elif min(ended) > give_up_at and not end.story.excused:
        yield f"ended only at {min(ended)}, after {give_up_at}"
    if end.record.due_at is None and not decide(end.story.view(give_up_at)).stands:
        yield "stands open with nobody to look at it again"


def published_equals_the_oracle(end: End) -> Broken:
    final = end.story.final
    if final is None or final.kind is not OutcomeKind.DONE or final.grade != COMPLETE or end.story.foreign:
        return
    oracle = undisturbed(end.story.plan, end.games)
    for processor in end.story.plan.phases[-1].processors:
        if end.story.wrote.get(processor.name) != oracle[processor.name]:
            yield f"{processor.name} is not what an undisturbed run publishes"


def nothing_expected_only_on_days_without_games(end: End) -> Broken:
    day = end.story.plan.run.date
    final = end.story.final
    if final is None or final.kind is not OutcomeKind.DONE:
        return
    if (final.grade == NOTHING_EXPECTED) != (not end.games(day)):
        yield f"ended {final.grade} on a day with {len(end.games(day))} games"


def a_run_that_could_publish_does(end: End) -> Broken:
    if end.story.excused:
        return
    in_time = [
        o for o in end.story.outcomes if o.kind is OutcomeKind.DONE and o.decided_at <= end.story.plan.deadline_at
    ]
    if not in_time:
        final = end.story.final
        yield f"was not through by {end.story.plan.deadline_at:%H:%M}: " + (
            f"{final.kind} at {final.decided_at:%H:%M}, {final.reason}" if final else "it never ended"
        )


def bounded_control_plane(end: End) -> Broken:
    """Every entry has a cause: a fact, a start, an outcome, or a time that a plan names; every start has a budget."""
    processors = [processor for phase in end.story.plan.phases for processor in phase.processors]
    causes = len(end.story.facts) + len(end.story.latches) + 2 * len(processors) + 3 * len(end.story.plan.gates) + 8
    if len(end.story.ledger) > 2 * causes:
        yield f"{len(end.story.ledger)} ledger entries for {causes} causes"
    rounds = Counter(outcome.gate for outcome in end.story.outcomes)
    starts = Counter(start.processor for latch in end.story.latches.values() for start in latch.starts)
    for phase in end.story.plan.phases:
        for processor in phase.processors:
            inner = 1 + len(processor.needs) + len(processor.after)  # each may bring one newer input in a round
            most = max(rounds[phase.name], 1) * inner * (processor.attempts_max + processor.looks_max)
            if starts[processor.name] > most:
                yield f"{processor.name} was started {starts[processor.name]} times, at most {most}"
            failed = sum(fact.completion.status is Status.FAILED for fact in end.story.facts_of[processor.name])
            if failed > max(rounds[phase.name], 1) * inner * processor.attempts_max:
                yield f"{processor.name} was tried again after {failed} failures"


def every_ledger_entry_recomputes(end: End) -> Broken:
    for entry in end.story.ledger:
        verdict = recompute(end.story.plan, end.record.facts, end.record.latches, entry)
        again = (verdict.gate, verdict.attempt, name_of(verdict.decision), verdict.decision.reason)
        if again != (entry.gate, entry.attempt, entry.decision, entry.reason):
            yield f"{entry.gate}/{entry.attempt} {entry.decision} ({entry.reason}) becomes {again}"


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

AT_THE_END: tuple[Callable[[End], Broken], ...] = (
    one_outcome_per_gate_attempt,
    what_is_latched_is_sent,
    every_fact_stays,
    every_run_ends,
    published_equals_the_oracle,
    nothing_expected_only_on_days_without_games,
    a_run_that_could_publish_does,
    bounded_control_plane,
    every_ledger_entry_recomputes,
)
