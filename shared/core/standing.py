"""How far each processor of an open phase is: done, ended, or due to start. Pure.

A round of a phase begins when its gate opens (again); attempts below the round's base belong to earlier rounds. Within
a round the highest attempt's highest report speaks for a processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from shared.core.fold import FINDS, View
from shared.core.model import Completion, Fact, Missing, Outcome, OutcomeKind, Start, Status
from shared.core.plan import DECLARED, PlannedPhase, PlannedProcessor, fence
from shared.core.timeouts import FALLBACK, LIMIT_TIMES

PARTIAL_ENOUGH = 0.95
"""Share of its units from which a partial result may count as done: SYSTEMS, one game of twenty."""

MUTE_MARGIN = timedelta(seconds=30)
"""What a report may need on the bus after the processor's own timeout: one lease."""

RETRY_S_MAX = 300

AFRESH = timedelta(minutes=5)
AFRESH_MAX = 24
"""Tries of a critical processor after its quick ones: two hours. Nine of ten outages that traces show are shorter than
one; they end without a person, who has been told all the same."""

DOUBT_S = 60
"""A start without a report is in doubt from then on: its output may stand, and the report be lost. It is looked for
again whenever the start has been under way twice as long, so that a lost report costs about the time of the work."""

RESEND_SHARE = 10
"""After this part of its declared timeout, where nothing is learnt yet, a start that has left nothing may itself be
lost. That timeout is many times what the work usually takes, so few that are still at work get it twice; those drop
what they have done. Where a limit is learnt its history says when work seldom takes longer."""

DOUBT_KEPT = timedelta(hours=1)
"""What has been silent for longer is not looked for any more: by then another attempt has done the work over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    processor: PlannedProcessor
    done: bool = False  # its gate may open
    whole: bool = False  # and nothing of it is missing
    ended: bool = False  # nothing more is to be waited for; a critical one may be tried afresh meanwhile
    share: float = 0.0  # of its units, 0 to 1: what is there of them and counts, though its gate may not open by it
    news: bool = False  # enough, when it came, for others to run again; the clock alone makes nobody do so
    why: str = ""  # it is not whole, or what it remarks
    units: tuple[str, ...] = ()  # that are missing
    mark: str = ""  # of the result, once there is one
    at: datetime | None = None  # when it was received
    due: int | None = None  # the attempt to start now
    next_at: datetime | None = None  # when time alone changes this
    counts_at: datetime | None = None  # of a part, when it began to be done
    asked: Start | None = None  # that somebody wants and nobody has reported: under way, due once more, or given up


def stand(view: View, phase: PlannedPhase, opened: Outcome) -> dict[str, Standing]:
    """The standing of every processor of a phase whose gate has opened."""
    standings: dict[str, Standing] = {}
    for processor in phase.processors:  # in dependency order
        standings[processor.name] = _stand(view, phase, opened, processor, standings)
    return standings


def deadline_of(phase: PlannedPhase, opened: Outcome, held_until: datetime | None = None) -> datetime:
    """The phase's own deadline; a round that opens after it, or again, has the phase's window from its opening.

    A round that was held has it from the end of the hold: nothing could be ordered until then.
    """
    window, deadline_at = timedelta(seconds=phase.window_s), phase.deadline_at
    if opened.attempt > 1 or opened.decided_at >= deadline_at:
        deadline_at = max(deadline_at, opened.decided_at + window)
    if held_until and held_until > opened.decided_at:
        deadline_at = max(deadline_at, held_until + window)
    return deadline_at


def order_start(
    view: View, phase: PlannedPhase, opened: Outcome, standings: Mapping[str, Standing], name: str
) -> Start:
    """The start that is due for a processor, with what it is to see, and what it goes without.

    It lacks what its phase was opened without, and what those before it in the phase have not brought.
    """
    processor = phase.by_name[name]
    before = [standings[each] for each in _upstream(phase, processor)]
    attempt, asked = standings[name].due, standings[name].asked
    assert attempt is not None, f"{name} is not due"
    return Start(
        run=view.plan.run,
        phase=phase.name,
        processor=name,
        attempt=attempt,
        fence=fence(processor.fence_rank, view.plan.run.generation, attempt),
        partition=processor.partition,
        timeout_s=processor.timeout_of(attempt),
        issued_at=view.now,
        units=_expected(view, opened, processor.unit),
        inputs={name: standings[name].mark for name in (*processor.needs, *processor.after) if standings[name].mark},
        completeness=min(opened.completeness, share_of(before)),
        missing=opened.missing + lacking(before),
        config_hash=view.plan.config_hash,
        look=asked is not None and standings[name].whole,
        by=asked.by if asked else None,
        only=asked.only if asked else None,
    )


def _upstream(phase: PlannedPhase, processor: PlannedProcessor) -> list[str]:
    """All in its phase whose output it reads, or they do whose output it reads, in the order of the plan."""
    read = {*processor.needs, *processor.after}
    for other in reversed(phase.processors) if read else ():  # each stands behind all that it reads
        if other.name in read:
            read |= {*other.needs, *other.after}
    return [other.name for other in phase.processors if other.name in read]


def lacking(standings: Iterable[Standing]) -> tuple[Missing, ...]:
    """What is not there, or not whole, of these."""
    return tuple(
        Missing(processor=standing.processor.name, why=standing.why, units=standing.units)
        for standing in standings
        if not standing.whole
    )


def share_of(standings: Sequence[Standing]) -> float:
    """Weighted share of the units that are there, over all of these; 1 of none.

    A part that no gate opens by counts as well: where one opens all the same, who comes next reads what there is of it.
    """
    total = sum(standing.processor.weight for standing in standings)
    there = sum(standing.processor.weight * standing.share for standing in standings)
    return round(there / total, 4) if total else 1.0


def mute_at(start: Start, processor: PlannedProcessor) -> datetime:
    """When a start that has not been reported by then counts as failed."""
    return start.issued_at + timedelta(seconds=processor.timeout_of(start.attempt)) + MUTE_MARGIN


def doubt_at(start: Start, processor: PlannedProcessor) -> datetime:
    """From when a start that nobody has reported is looked for: well before it counts as failed."""
    return start.issued_at + timedelta(seconds=min(DOUBT_S, processor.timeout_of(start.attempt)))


def look_for_at(start: Start, processor: PlannedProcessor, now: datetime) -> datetime:
    """When a start under way is to be looked for next; at last, when it counts as failed."""
    under_way = doubt_at(start, processor) - start.issued_at
    while start.issued_at + under_way <= now:
        under_way *= 2
    return min(start.issued_at + under_way, mute_at(start, processor))


def resend_at(start: Start, processor: PlannedProcessor, number: int = 1) -> datetime:
    """From when a start that has left nothing is sent once more, for the first or a later time: each has to wait twice
    as long. One that only begins a batch costs nothing, for who has begun it knows."""
    patience_s = processor.timeout_s / LIMIT_TIMES  # learnt: not before work seldom takes longer
    if processor.timeout_from in ("", FALLBACK):
        patience_s = processor.timeout_s / RESEND_SHARE
    elif processor.timeout_from == DECLARED:
        patience_s = 0.0
    patience = max(doubt_at(start, processor) - start.issued_at, timedelta(seconds=patience_s))
    return start.issued_at + patience * (1 << (number - 1))


def in_doubt(view: View) -> tuple[Start, ...]:
    """The starts that were ordered a while ago, never reported, and would still be of use; the oldest first."""
    if any(outcome.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK) for outcome in view.outcomes.values()):
        return ()
    found: list[Start] = []
    for phase, gate in zip(view.plan.phases, view.plan.gates[1:], strict=True):
        passed = gate in view.outcomes
        for processor in phase.processors:
            start = None if processor.name in view.control.skips else _unreported(view, processor)
            if start is None or not doubt_at(start, processor) <= view.now < mute_at(start, processor) + DOUBT_KEPT:
                continue
            if not passed or start.asked or (processor.refresh_until and view.now <= processor.refresh_until):
                found.append(start)
    return tuple(sorted(found, key=lambda start: start.issued_at))


def silent_at(view: View, processor: PlannedProcessor) -> list[datetime]:
    """When each start that had not been reported by then counted as failed."""
    reported = {fact.completion.attempt: fact.received_at for fact in reversed(view.facts.get(processor.name, ()))}
    mute = {start.attempt: mute_at(start, processor) for start in view.starts.get(processor.name, ())}
    return [at for attempt, at in mute.items() if reported.get(attempt, at) >= at]


def under_way_until(view: View, processor: PlannedProcessor) -> datetime | None:
    """When the last start, not reported yet, counts as failed; None where nothing is under way."""
    start = _unreported(view, processor)
    if start is None:
        return None
    mute = mute_at(start, processor)
    return mute if view.now < mute else None


def _unreported(view: View, processor: PlannedProcessor) -> Start | None:
    """The last start of a processor, if nothing was reported of it."""
    starts, facts = view.starts.get(processor.name), view.facts.get(processor.name)
    if not starts or (facts and facts[-1].completion.attempt >= starts[-1].attempt):
        return None
    return starts[-1]


def next_attempt(view: View, processor: str) -> int:
    """One above every attempt that was ever ordered or reported."""
    starts, facts = view.starts.get(processor), view.facts.get(processor)
    return 1 + max(starts[-1].attempt if starts else 0, facts[-1].completion.attempt if facts else 0)


def _stand(
    view: View,
    phase: PlannedPhase,
    opened: Outcome,
    processor: PlannedProcessor,
    standings: Mapping[str, Standing],
) -> Standing:
    if act := view.control.skips.get(processor.name):
        return Standing(processor=processor, ended=True, why=f"was skipped by {act.actor}: {act.reason}")
    base = opened.base.get(processor.name, 1)
    facts: Sequence[Fact] = view.facts.get(processor.name, ())
    starts: Sequence[Start] = view.starts.get(processor.name, ())
    heard = facts
    if len(starts) > 1 and any(start.look for start in starts):
        heard = facts = _that_count(view, opened, processor, facts, starts)
    if base > 1:
        facts = [fact for fact in facts if fact.completion.attempt >= base]
        starts = [start for start in starts if start.attempt >= base]
    if not facts and not starts:
        return _not_started(view, opened, processor, standings, base)
    latest = facts[-1] if facts else None
    if latest:
        result = _result(view, phase, opened, processor, facts, mark_of(heard))
        if result.whole:
            stale = _newer_input(processor, latest.completion, starts, standings)
            last = view.facts[processor.name][-1].completion
            if not stale:
                result = result if last is latest.completion else replace(result, why=_why_looked(last))
                return _asked_for(view, processor, result, starts, last.attempt)
            if starts[-1].attempt == last.attempt:
                return _again(result, f"runs again: {stale} is newer", due=starts[-1].attempt + 1)
            result = _again(result, f"runs again: {stale} is newer")
    else:
        result = Standing(processor=processor)
    if starts and (latest is None or latest.completion.attempt < starts[-1].attempt):
        flying = _in_flight(view, processor, result, facts, starts)
        is_tried_afresh = flying.ended and view.now >= mute_at(starts[-1], processor) and (flying.due or flying.next_at)
        return replace(flying, asked=starts[-1]) if starts[-1].asked and not is_tried_afresh else flying
    assert latest is not None
    return result if result.whole else _try_again(view, processor, result, latest, facts, starts)


def _that_count(
    view: View, opened: Outcome, processor: PlannedProcessor, facts: Sequence[Fact], starts: Sequence[Start]
) -> Sequence[Fact]:
    """All facts but those of looks at a result that stood which brought nothing whole: they have changed nothing."""
    looks = {start.attempt for start in starts if start.look}
    expected = _expected(view, opened, processor.unit)
    return [
        fact
        for fact in facts
        if fact.completion.attempt not in looks or _is_whole(fact.completion, processor, expected)
    ]


def _is_whole(completion: Completion, processor: PlannedProcessor, expected: tuple[str, ...] | None) -> bool:
    if completion.status is Status.SKIPPED:
        return completion.reason in processor.whole_skips
    return completion.status is Status.SUCCESS and _share(completion, expected) >= 1


def _why_looked(look: Completion) -> str:
    return f"looked at again, attempt {look.attempt} {look.status}: {look.reason or 'not whole'}; what stood stands"


def _again(result: Standing, why: str, due: int | None = None) -> Standing:
    """A result that stood and no longer counts; what was made of it is known by its mark."""
    return replace(result, done=False, whole=False, ended=False, share=0.0, news=False, why=why, due=due)


def _not_started(
    view: View, opened: Outcome, processor: PlannedProcessor, standings: Mapping[str, Standing], base: int
) -> Standing:
    ready_at = max(opened.decided_at, view.control.held_until(view.now) or opened.decided_at)
    for name in processor.needs:
        need = standings[name]
        if not need.done:
            if need.ended:
                return Standing(processor=processor, ended=True, why=f"cannot start: needs {name}, which {need.why}")
            return Standing(processor=processor, why=f"waits for {name}", next_at=need.next_at)
        assert need.at is not None
        ready_at = max(ready_at, need.at)
    for name in processor.after:
        other = standings[name]
        grace_ends = ready_at + timedelta(seconds=other.processor.grace_s)
        if not other.done and not other.ended and view.now < grace_ends:
            return Standing(processor=processor, why=f"waits for {name} until its grace is over", next_at=grace_ends)
    return Standing(processor=processor, why="is due to start", due=base)


def _result(
    view: View, phase: PlannedPhase, opened: Outcome, processor: PlannedProcessor, facts: Sequence[Fact], mark: str
) -> Standing:
    """What the latest report is worth, attempts and retries aside."""
    completion, at = facts[-1].completion, facts[-1].received_at
    match completion.status:
        case Status.SUCCESS | Status.PARTIAL:
            expected = _expected(view, opened, processor.unit)
            share = _share(completion, expected)
            if share >= 1 and completion.status is Status.SUCCESS:
                return _whole(processor, mark, at, completion.reason)
            held_until = view.control.held_until(view.now)
            counts_at = deadline_of(phase, opened, held_until)
            news = share >= PARTIAL_ENOUGH or (share > 0 and at >= deadline_of(phase, opened))
            if share >= PARTIAL_ENOUGH:
                # The grace runs from the first report that was enough: looking again must not renew it.
                enough_at = next(f.received_at for f in facts if _share(f.completion, expected) >= PARTIAL_ENOUGH)
                enough_at = max(enough_at, held_until or enough_at)
                counts_at = min(counts_at, enough_at + timedelta(seconds=processor.grace_s))
            counts = share > 0 and view.now >= counts_at
            return Standing(
                processor=processor,
                done=counts,
                share=share,
                news=news,
                why=_why_partial(completion, processor.unit, share),
                units=completion.missing,
                mark=mark,
                at=at,
                next_at=None if counts or share <= 0 else counts_at,
                counts_at=counts_at if counts else None,
            )
        case Status.SKIPPED:
            if completion.reason in processor.whole_skips:
                return _whole(processor, mark, at, completion.reason)
            return Standing(processor=processor, ended=True, why=f"skipped: {completion.reason}", at=at)
        case _:
            word = "failed" if completion.status is Status.FAILED else "is not ready"
            return Standing(processor=processor, why=f"{word}: {completion.reason or 'no reason given'}", at=at)


def mark_of(facts: Sequence[Fact]) -> str:
    """The mark of the latest result, and how often the output has changed on the way to it.

    Without the count, an output that was whole, then partial for a while, then whole again would look as if nobody
    could have read it in between.
    """
    if len(facts) == 1:
        return facts[0].completion.mark
    marks = [fact.completion.mark for fact in facts if fact.completion.status in FINDS]
    changes = sum(earlier != later for earlier, later in pairwise(marks))
    return f"{facts[-1].completion.mark}#{changes}" if changes else facts[-1].completion.mark


def _whole(processor: PlannedProcessor, mark: str, at: datetime, remark: str) -> Standing:
    """Nothing is missing; what it remarks (which run it graded, who has no history) is told all the same."""
    return Standing(
        processor=processor, done=True, whole=True, ended=True, share=1.0, news=True, why=remark, mark=mark, at=at
    )


def _expected(view: View, opened: Outcome, unit: str) -> tuple[str, ...] | None:
    """How much there is: as sealed when the phase opened, or as found since."""
    if not unit:
        return None
    sealed = opened.expectations.get(unit)
    return sealed if sealed is not None else view.expectations.get(unit)


def _share(completion: Completion, expected: tuple[str, ...] | None) -> float:
    """Actual over expected units; the plan's own expectation outranks what a processor says it expected."""
    if completion.status not in FINDS:
        return 0.0
    total = len(expected) if expected is not None else completion.units_expected
    if total == 0:
        return 1.0
    if total is None or completion.units_actual is None:
        return 1.0 if completion.status is Status.SUCCESS else 0.0
    named = len(set(expected or ()).intersection(completion.missing)) if completion.missing else 0
    return min(completion.units_actual, total - named) / total


def _why_partial(completion: Completion, unit: str, share: float) -> str:
    text = f"has {share:.0%} of its {unit or 'units'}"
    if completion.missing and completion.missing[0] not in completion.reason:  # or its reason names them, and says why
        named = ", ".join(completion.missing[:5])
        text += f", without {named}" + (f" and {len(completion.missing) - 5} more" if completion.missing[5:] else "")
    return text + (f": {completion.reason}" if completion.reason else "")


def _newer_input(
    processor: PlannedProcessor, done: Completion, starts: Sequence[Start], standings: Mapping[str, Standing]
) -> str:
    """The first need or after whose result is newer than what this result was made from, if it may refresh it."""
    names = (*processor.needs, *processor.after)
    start = next((start for start in starts if start.attempt == done.attempt), None) if names else None
    if start is None:
        return ""
    for name in names:
        other = standings[name]
        if other.news and other.mark != start.inputs.get(name) and may_refresh(other):
            return name
    return ""


def may_refresh(late: Standing) -> bool:
    """Whether a result that came after others had used its absence makes them run again."""
    until = late.processor.refresh_until
    return until is not None and late.at is not None and late.at <= until


def ignored(
    view: View, phase: PlannedPhase, standings: Mapping[str, Standing], behind: Outcome | None
) -> dict[str, str]:
    """The results that came after others had gone on without them and make nobody run again: by name, in words."""
    told: dict[str, str] = {}
    for name, late in standings.items():
        if not late.news or late.at is None or may_refresh(late):
            continue
        gone_on = [
            reader.processor.name
            for reader in standings.values()
            if reader.done and name in (*reader.processor.needs, *reader.processor.after)
            if _made_of(view, reader.processor.name).get(name) != late.mark
        ]
        if behind is not None and behind.saw.get(name) != late.mark:
            gone_on.append(f"the gate behind {phase.name}")
        if gone_on:
            until = late.processor.refresh_until
            policy = f"its time to refresh was over at {until:%Y-%m-%d %H:%M} UTC" if until else "late is ignored here"
            told[name] = f"came at {late.at:%Y-%m-%d %H:%M} UTC, after {' and '.join(gone_on)}; ignored: {policy}"
    return told


def _made_of(view: View, processor: str) -> Mapping[str, str]:
    """The marks of what the latest result of a processor was made from."""
    attempt = view.facts[processor][-1].completion.attempt
    return next((start.inputs for start in view.starts.get(processor, ()) if start.attempt == attempt), {})


def _in_flight(
    view: View, processor: PlannedProcessor, result: Standing, facts: Sequence[Fact], starts: Sequence[Start]
) -> Standing:
    start = starts[-1]
    mute = mute_at(start, processor)
    if view.now < mute:
        why = result.why or f"is running, attempt {start.attempt}"
        look_at = look_for_at(start, processor, view.now)
        if _failures(facts, starts) < processor.attempts_max or not _spoilt(facts, starts):
            return _but(result, why, next_at=look_at)
        # As if it were not tried, until it succeeds: else its gate would wait and block again with each try.
        afresh = _but(result, f"{why} ({_used_up(processor)})", ended=True)
        return replace(afresh, next_at=min(look_at, afresh.next_at or look_at))
    failures = _failures(facts, starts, mute=True)
    why = f"did not report in {processor.timeout_of(start.attempt)} s"
    if failures >= processor.attempts_max:
        return _afresh(view, result, why, failures=failures, attempt=start.attempt + 1, since=mute)
    why = f"{why}, {failures} of {processor.attempts_max} attempts"
    if _looks(facts) < processor.looks_max:
        return _but(result, why, due=start.attempt + 1)
    return _but(result, why, ended=True)


def _asked_for(
    view: View, processor: PlannedProcessor, result: Standing, starts: Sequence[Start], heard: int
) -> Standing:
    """A whole result, which counts all the same while another attempt that somebody asked for is under way.

    Is none of it heard in its time, the attempt is ordered once more, as often as any that stays silent.
    """
    start = starts[-1] if starts else None
    if start is None or start.attempt <= heard or not start.asked:
        return result
    mute, remark = mute_at(start, processor), f"{result.why}; " if result.why else ""
    if view.now < mute:
        why = f"{remark}attempt {start.attempt} is under way until {mute:%Y-%m-%d %H:%M} UTC; what stood stands"
        return replace(result, why=why, asked=start, next_at=look_for_at(start, processor, view.now))
    silent = sum(each.attempt > heard and each.asked and each.by == start.by for each in starts)
    why = f"attempt {start.attempt} did not report in {processor.timeout_of(start.attempt)} s"
    why = f"{remark}{why}, {silent} of {processor.attempts_max} attempts; what stood stands"
    due = start.attempt + 1 if silent < processor.attempts_max else None
    return replace(result, why=why, asked=start, due=due)


def is_once_more(view: View, start: Start) -> bool:
    """Whether it was ordered because nobody reported the attempt before, which the same word had ordered."""
    before = [each for each in view.starts.get(start.processor, ()) if each.attempt < start.attempt]
    if not before or not start.asked or not before[-1].asked or before[-1].by != start.by:
        return False
    return all(fact.completion.attempt != before[-1].attempt for fact in view.facts.get(start.processor, ()))


def _try_again(
    view: View,
    processor: PlannedProcessor,
    result: Standing,
    latest: Fact,
    facts: Sequence[Fact],
    starts: Sequence[Start],
) -> Standing:
    """What follows a report that leaves something to be done: another attempt when its pause is over, or the end."""
    completion = latest.completion
    if result.ended:
        return result
    if completion.status is Status.FAILED:
        tries, most = _failures(facts, starts), processor.attempts_max
        if tries >= most:
            since = latest.received_at
            return _afresh(view, result, result.why, failures=tries, attempt=completion.attempt + 1, since=since)
        pause = timedelta(seconds=min(processor.retry_s * 2 ** min(tries - 1, 16), RETRY_S_MAX))
        again_at = latest.received_at + pause
    else:
        tries, most = _looks(facts), processor.looks_max
        again_at = latest.received_at + timedelta(seconds=processor.look_again_s)
        if completion.retry_at:
            again_at = max(latest.received_at, completion.retry_at)
    why = f"{result.why} ({tries} of {most} {'attempts' if completion.status is Status.FAILED else 'looks'})"
    if tries >= most:
        return _but(result, why, ended=True)
    if view.now >= again_at:
        return _but(result, why, due=completion.attempt + 1)
    return _but(result, why, next_at=again_at)


def _afresh(view: View, result: Standing, why: str, *, failures: int, attempt: int, since: datetime) -> Standing:
    """What follows the last of the quick attempts: the end, or, of a critical one, a try each AFRESH meanwhile.

    Its gate is blocked, and people are told, whether or not one of these is under way; if one succeeds, it goes on.
    """
    processor = result.processor
    if not processor.critical or failures >= processor.attempts_max + AFRESH_MAX:
        return _but(result, f"{why} ({failures} of {failures} attempts)", ended=True)
    at = since + AFRESH
    result = _but(result, f"{why} ({_used_up(processor)})", ended=True)
    return replace(result, due=attempt) if view.now >= at else replace(result, next_at=min(at, result.next_at or at))


def _spoilt(facts: Sequence[Fact], starts: Sequence[Start]) -> bool:
    """Whether the attempt before the one under way failed, or stayed silent: what reports that it is not ready, or
    brings a part, is waited for, whatever came before."""
    last = facts[-1].completion if facts else None
    silent = len(starts) > 1 and (last is None or last.attempt < starts[-2].attempt)
    return silent or (last is not None and last.status is Status.FAILED)


def _used_up(processor: PlannedProcessor) -> str:
    minutes = int(AFRESH.total_seconds() // 60)
    return f"{processor.attempts_max} of {processor.attempts_max} attempts, tried again every {minutes} min"


def _failures(facts: Sequence[Fact], starts: Sequence[Start], *, mute: bool = False) -> int:
    """Attempts of this round that failed or never reported; the last start counts as mute only where said."""
    reported = {fact.completion.attempt: fact.completion.status for fact in facts}
    failed = sum(status is Status.FAILED for status in reported.values())
    silent = sum(start.attempt not in reported for start in starts[:-1])
    return failed + silent + mute


def _looks(facts: Sequence[Fact]) -> int:
    """Attempts of this round that reported something else than failure, however late."""
    return len({fact.completion.attempt for fact in facts if fact.completion.status is not Status.FAILED})


def _but(
    result: Standing, why: str, *, ended: bool = False, due: int | None = None, next_at: datetime | None = None
) -> Standing:
    """What comes of a result by itself. One that will count by time alone has not ended."""
    looks = [at for at in (result.next_at, next_at) if at]
    return replace(result, why=why, ended=ended and not looks, due=due, next_at=min(looks, default=None))
