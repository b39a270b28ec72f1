"""What must hold whatever befalls a world. Each yields what is wrong; its name is the rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.core.codec import Malformed
from shared.core.gate import COMPLETE, NOTHING_EXPECTED, decide, name_of, recompute
from shared.core.incident import STALLED, UNANSWERED
from shared.core.messages import read_completion
from shared.core.model import Control, Fact, Latch, OutcomeKind, RunKey, Start, Status
from shared.core.plan import PlannedPhase, PlannedProcessor
from shared.core.standing import AFRESH_MAX
from shared.ports import Delivery, RunRecord, Stamp
from simulation.fate import planned_in
from simulation.sink import Told
from simulation.story import Story
from simulation.work import Games, undisturbed

ENOUGH = 0.95  # SYSTEMS, section 1: a partial critical result of this share may count
CLOCKS_APART = timedelta(seconds=40)  # two instances', each 20 s off: for so long they may not agree what is due
CLOCK_OFF = CLOCKS_APART / 2  # one instance's: for so long it may take a time for come that has not
READY = timedelta(minutes=2) + CLOCKS_APART  # SYSTEMS, section 1: ready but not fired for longer pages someone
ALERTS_MAX = 6  # occurrences of one cause in a run
RESENDS_MAX = 2  # of a start that nobody reports, while it may still be reported
IN_TIME = timedelta(minutes=5)  # after its deadline
HEARD_WITHIN = timedelta(minutes=10)  # after the time of an attempt: two looks, and a timer that is late
CLOSING = timedelta(minutes=10)  # two looks after the time to give up

Broken = Iterator[str]


@dataclass(frozen=True, slots=True)
class End:
    """A run when its world has ended: as it was seen, and as it is stored."""

    story: Story
    record: RunRecord
    games: Games
    told: Mapping[str, Told] = field(default_factory=dict)  # by incident
    now: datetime | None = None  # None: in the middle of it
    given_way: bool = False  # a newer generation stands over it


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
            if share >= ENOUGH or (share > 0 and now + CLOCK_OFF >= phase.deadline_at):
                return True
    return False


def starts_only_what_its_mode_plans(story: Story, start: Start) -> Broken:
    if not planned_in(story.declared, start):
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
    if quarantined:
        return
    try:
        completion = read_completion(delivery.data)
    except Malformed as error:
        yield f"message {delivery.id} was acknowledged and kept nowhere, though {error}"
        return
    if story is None or completion.id not in story.facts:
        yield f"{completion.id} was acknowledged and is nowhere"


def a_fact_is_written_once(story: Story, fact: Fact) -> Broken:
    if fact.completion.id in story.facts:
        yield f"{fact.completion.id} is written over"


def a_hold_holds(control: Control, latches: tuple[Latch, ...], now: datetime) -> Broken:
    """Nothing is claimed against an operator's word."""
    for latch in latches:
        if control.cancel and latch.starts:
            yield f"{latch.key} starts work in a cancelled run"
        keeps = latch.repair is not None and not latch.starts  # that what was claimed before has been sent again
        if control.held_at(now) and not control.cancel and not keeps:
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


def ends_in_time_or_one_is_told(story: Story, now: datetime) -> Broken:
    """Five minutes after its deadline a run has ended, or stands still and exactly one incident says so."""
    final, stalled = story.final, [alert for alert in story.open_incidents if alert.cause == STALLED]
    if final and final.kind is OutcomeKind.DONE:
        if stalled:
            yield f"is through, and {len(stalled)} incidents are open"
    elif not story.control.held_at(now) and len(stalled) != 1:
        yield f"is not through at {now:%H:%M}, and {len(stalled)} incidents are open"


def no_alarm_when_nothing_is_wrong(latch: Latch, troubled: bool) -> Broken:
    if latch.alert and not latch.alert.resolved and not troubled:
        yield f"{latch.incident} is raised in fair weather: {latch.alert.summary}"


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
    elif min(ended) > give_up_at and not end.story.excuse:
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
    if end.story.excuse:
        return
    in_time = [
        outcome
        for outcome in end.story.outcomes
        if outcome.kind is OutcomeKind.DONE and outcome.decided_at <= end.story.plan.deadline_at + IN_TIME
    ]
    if not in_time:
        final = end.story.final
        yield f"was not through by {end.story.plan.deadline_at:%H:%M}: " + (
            f"{final.kind} at {final.decided_at:%H:%M}, {final.reason}" if final else "it never ended"
        )


def each_incident_is_told_once_and_ends(end: End) -> Broken:
    """Whatever the sink did: all that was raised is told, and is over once its run is through; a failed run has one."""
    for latch in end.story.latches.values():
        if latch.alert is None:
            continue
        told = end.told.get(latch.incident)
        if told is None:
            yield f"{latch.incident} was raised, and nobody told"
        elif latch.alert.resolved and told.resolved_at is None:
            yield f"{latch.incident} is over, and nobody told"
    left, final = end.story.open_incidents, end.story.final
    left = [alert for alert in left if alert.cause != UNANSWERED or (final and final.kind is OutcomeKind.FAIL)]
    if final and final.kind is OutcomeKind.DONE and left:
        yield f"is through, and open are {', '.join(alert.cause for alert in left)}"
    if final and final.kind is OutcomeKind.FAIL and [alert.cause for alert in left].count(STALLED) != 1:
        yield f"has failed, and open are {', '.join(alert.cause for alert in left) or 'no incidents'}"
    causes = Counter(latch.alert.cause for latch in end.story.latches.values() if latch.alert)
    for cause, times in causes.items():
        if times > 2 * ALERTS_MAX:
            yield f"{cause} was told {times} times"


def what_somebody_asked_for_ends(end: End) -> Broken:
    """Another attempt that somebody asked for is reported, or people are told that it never was."""
    control, final = end.story.control, end.story.final
    is_over = final is not None and final.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK)
    if end.now is None or end.given_way or is_over or control.cancel or control.held_at(end.now):
        return
    told = any(alert.cause == UNANSWERED for alert in end.story.open_incidents)
    for phase in end.story.plan.phases:
        for processor in phase.processors:
            starts = [s for latch in end.story.latches.values() for s in latch.starts if s.processor == processor.name]
            last = max(starts, key=lambda start: start.attempt, default=None)
            heard = [fact.completion.attempt for fact in end.story.facts_of[processor.name]]
            if last is None or not last.asked or max(heard, default=0) >= last.attempt:
                continue
            over_at = last.issued_at + timedelta(seconds=processor.timeout_of(last.attempt)) + HEARD_WITHIN
            is_awaited = end.record.due_at is not None and end.now <= over_at
            if not is_awaited and not told and processor.name not in control.skips:
                yield f"{last.id} was asked for at {last.issued_at:%H:%M}; nobody has reported it, and nobody is told"


def bounded_control_plane(end: End) -> Broken:
    """Every entry has a cause: a fact, a start, an outcome, or a time that a plan names; every start has a budget."""
    processors = [processor for phase in end.story.plan.phases for processor in phase.processors]
    causes = len(end.story.facts) + len(end.story.latches) + 2 * len(processors) + 3 * len(end.story.plan.gates) + 8
    if len(end.story.ledger) > 2 * causes:
        yield f"{len(end.story.ledger)} ledger entries for {causes} causes"
    rounds = Counter(outcome.gate for outcome in end.story.outcomes)
    latches = end.story.latches.values()
    all_starts = [start for latch in latches if not latch.repair for start in latch.starts]
    sent_again = Counter(start.id for latch in latches if latch.repair for start in latch.starts)
    for start_id, times in sent_again.items():
        if times > RESENDS_MAX:
            yield f"{start_id} was sent again {times} times"
    starts = Counter(start.processor for start in all_starts)
    for phase in end.story.plan.phases:
        for processor in phase.processors:
            inner = 1 + len(processor.needs) + len(processor.after)  # each may bring one newer input in a round
            tries = processor.attempts_max + (AFRESH_MAX if processor.critical else 0)
            most = max(rounds[phase.name], 1) * inner * (tries + processor.looks_max)
            if starts[processor.name] > most:
                yield f"{processor.name} was started {starts[processor.name]} times, at most {most}"
            ordered = sum(start.by is not None and start.processor == processor.name for start in all_starts)
            failed = sum(fact.completion.status is Status.FAILED for fact in end.story.facts_of[processor.name])
            if failed > max(rounds[phase.name], 1) * inner * tries + ordered:
                yield f"{processor.name} was tried again after {failed} failures"


def every_ledger_entry_recomputes(end: End) -> Broken:
    for entry in end.story.ledger:
        verdict = recompute(end.story.plan, end.record.facts, end.record.latches, entry)
        again = (verdict.gate, verdict.attempt, name_of(verdict.decision), verdict.decision.reason)
        if again != (entry.gate, entry.attempt, entry.decision, entry.reason):
            yield f"{entry.gate}/{entry.attempt} {entry.decision} ({entry.reason}) becomes {again}"


AT_THE_END: tuple[Callable[[End], Broken], ...] = (
    one_outcome_per_gate_attempt,
    what_is_latched_is_sent,
    every_fact_stays,
    every_run_ends,
    published_equals_the_oracle,
    nothing_expected_only_on_days_without_games,
    a_run_that_could_publish_does,
    each_incident_is_told_once_and_ends,
    what_somebody_asked_for_ends,
    bounded_control_plane,
    every_ledger_entry_recomputes,
)
