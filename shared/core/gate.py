"""May the next phase start, and which starts are due? Pure: a view goes in, a verdict comes out.

`decide` runs twice at most: on facts alone, and, where it would open and the plan has readings for that gate, again
with what was read. `consequences` turns a verdict into the latches, the ledger entry and the next look. Longer than 400
lines because a verdict, its consequences and its recomputation are changed together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core.fold import View, found_by, look_back, with_outcome, with_starts
from shared.core.model import (
    END,
    Fact,
    Latch,
    LedgerEntry,
    Missing,
    Outcome,
    OutcomeKind,
    Reading,
    ReadingVerdict,
    Start,
)
from shared.core.plan import Plan, PlannedPhase
from shared.core.readings import overridden
from shared.core.standing import (
    Standing,
    deadline_of,
    ignored,
    is_once_more,
    lacking,
    may_refresh,
    next_attempt,
    order_start,
    share_of,
    silent_at,
    stand,
    under_way_until,
)

LOOK_AGAIN = timedelta(minutes=5)  # a block is looked at this often; its cause is someone else's to mend
READ_AGAIN = timedelta(seconds=60)  # a reading that said no is asked again

COMPLETE, DEGRADED, NOTHING_EXPECTED = "complete", "degraded", "nothing_expected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not yet; work is under way or may still come."""

    reason: str
    missing: tuple[Missing, ...]
    recheck_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """It would open; read these first, then decide again."""

    reason: str
    readings: tuple[str, ...]
    missing: tuple[Missing, ...]
    recheck_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    reason: str
    grade: str  # complete or degraded
    missing: tuple[Missing, ...]
    completeness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Refused. Looked at again at recheck_at; None: by nobody, this is the end."""

    reason: str
    missing: tuple[Missing, ...]
    recheck_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    reason: str
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The run is through: complete, degraded, or there was nothing to do."""

    reason: str
    grade: str
    missing: tuple[Missing, ...]
    completeness: float


Decision = Wait | Ask | Open | Block | Fail | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    gate: str  # the phase it would open, or END
    attempt: int
    decision: Decision
    stands: bool = False  # this outcome is latched already
    starts: tuple[Start, ...] = ()  # due inside open phases
    unanswered: tuple[str, ...] = ()  # attempts that somebody asked for, ordered as often as may be and never reported
    next_look_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What a verdict asks of the world."""

    latches: tuple[Latch, ...]
    entry: LedgerEntry
    due_at: datetime | None


def decide(view: View, readings: Mapping[str, Reading] | None = None, refused: str | None = None) -> Verdict:
    """The verdict on the run's current gate: the first that has not been passed with what is now on its left.

    `refused` is the gate attempt that an earlier look has refused, "" for none: a gate never fails at the first look
    after a long silence, when what would open it may still be on the bus. None: it has been looked at in time.
    """
    starts: list[Start] = []
    looks: list[datetime] = []
    unanswered: list[str] = []
    before: Outcome | None = None
    for gate in view.plan.gates:
        outcome = view.outcomes.get(gate)
        if outcome and outcome.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK):
            return _standing_verdict(outcome)
    end = view.outcomes.get(END)
    holiday = end if end and end.grade == NOTHING_EXPECTED else None
    if holiday and _nothing_expected(view):
        return _standing_verdict(holiday)
    for index, gate in enumerate(view.plan.gates):
        outcome = view.outcomes.get(gate)
        left = view.plan.phases[index - 1] if index else None
        standings: Mapping[str, Standing] = {}
        if left and before:
            standings = stand(view, left, before)
        passed = outcome is not None and outcome is not holiday and _passed(outcome, before)
        if passed and outcome and left and _late(outcome, standings):
            settled_at = _settled_at(view, left)
            passed = settled_at is not None or _stays_forced(view, outcome, standings)
            looks.extend([settled_at] if settled_at else [])
        for name, standing in standings.items():
            if standing.asked and standing.due is None and standing.next_at is None:
                unanswered.append(f"{name}: {standing.why}")
            if passed and not standing.asked and not _may_still_refresh(view, standing):
                continue
            if standing.due is not None and left and before:
                starts.append(order_start(view, left, before, standings, name))
            if standing.next_at is not None:
                looks.append(standing.next_at)
        if passed:
            before = outcome
            continue
        verdict = _verdict(view, gate, left, before, standings, outcome, holiday, readings or {})
        verdict = replace(verdict, unanswered=tuple(unanswered))
        if isinstance(verdict.decision, Fail) and refused is not None and refused != key_of(verdict):
            verdict = _block_first(view, verdict, verdict.decision)
        if isinstance(verdict.decision, Fail | Done) or (
            isinstance(verdict.decision, Block) and verdict.decision.recheck_at is None
        ):
            return verdict
        if view.control.held_at(view.now):
            return verdict
        return _with_starts(view, verdict, starts, [*looks, verdict.next_look_at])
    assert before is not None
    ended = replace(_standing_verdict(before), unanswered=tuple(unanswered))
    if view.control.cancel:
        return ended
    if hold := view.control.held_at(view.now):
        return replace(ended, next_look_at=hold.until or view.now + LOOK_AGAIN) if starts or looks else ended
    return _with_starts(
        view, ended, starts, looks
    )  # what was published without is still looked for, while it may refresh


def key_of(about: Verdict | LedgerEntry) -> str:
    """The gate attempt that it is about."""
    return f"{about.gate}/{about.attempt}"


def not_before(entry: LedgerEntry | None, verdict: Verdict, due_at: datetime | None, now: datetime) -> datetime | None:
    """Until when the last decision put a gate attempt off by a reading or a block, if the verdict is about the same.

    A look that says the same again is not written down, and puts the next one off all the same: `due_at` says until
    when. Whoever looks earlier finds what may have changed a moment ago.
    """
    if entry is None or key_of(entry) != key_of(verdict):
        return None
    held = entry.decision == "block" or any(each.verdict is not ReadingVerdict.PASS for each in entry.readings.values())
    return min(due_at or now, now) if held else None


def refused_before(entry: LedgerEntry | None, now: datetime) -> str:
    """The gate attempt that the last decision refused, once the time to look again has come.

    A hold refuses nothing of it: until it ends, nobody has looked at what is there.
    """
    if entry is None or entry.decision != "block" or entry.control.held_at(entry.at):
        return ""
    return key_of(entry) if entry.next_look_at and entry.next_look_at <= now else ""


def _block_first(view: View, verdict: Verdict, fail: Fail) -> Verdict:
    again_at = view.now + LOOK_AGAIN
    block = Block(reason=f"{fail.reason}; fails at the next look", missing=fail.missing, recheck_at=again_at)
    return replace(verdict, decision=block, next_look_at=again_at)


def _with_starts(view: View, verdict: Verdict, starts: list[Start], looks: Sequence[datetime | None]) -> Verdict:
    next_look_at = min((at for at in looks if at and at > view.now), default=None)
    return replace(verdict, starts=tuple(starts), next_look_at=next_look_at)


def consequences(
    view: View,
    verdict: Verdict,
    readings: Mapping[str, Reading] | None = None,
    refused: str | None = None,
    not_before: datetime | None = None,
) -> Consequences:
    """The latches to take, the outcome first; the ledger entry; when to look again.

    `not_before`: when the gate attempt, refused before for another reason than its facts, was to be looked at again.
    """
    latches: list[Latch] = []
    after, run = view, view.plan.run
    outcome = _outcome(view, verdict, not_before)
    if outcome:
        after = with_outcome(view, outcome)
        starts = _first_starts(after, outcome)
        key = f"{run}/gate/{verdict.gate}/{verdict.attempt}"
        latches.append(Latch(key=key, run=run, outcome=outcome, starts=starts))
    latches.extend(start_latch(start) for start in verdict.starts)
    due_at = verdict.next_look_at
    if latches:  # what was just ordered may stay silent: that, too, is to be looked at
        due_at = decide(with_starts(after, (start for latch in latches for start in latch.starts))).next_look_at
    decision = verdict.decision
    entry = LedgerEntry(
        run=run,
        gate=verdict.gate,
        attempt=verdict.attempt,
        at=view.now,
        decision=name_of(decision),
        reason=decision.reason,
        missing=decision.missing,
        completeness=decision.completeness if isinstance(decision, Open | Done) else 0.0,
        next_look_at=due_at,
        facts=view.fact_ids,
        latches=view.latch_keys,
        control=replace(view.control, said=()),  # what was said is kept once; no decision goes by it
        readings=readings or {},
        refused=refused,
    )
    return Consequences(latches=tuple(latches), entry=entry, due_at=due_at)


def start_latch(start: Start) -> Latch:
    """The claim on one start by itself: of any number who order the same attempt one creates it."""
    key = f"{start.run}/start/{start.phase}/{start.processor}/{start.attempt}"
    return Latch(key=key, run=start.run, starts=(start,))


def name_of(decision: Decision) -> str:
    return type(decision).__name__.lower()


def says_the_same(entry: LedgerEntry | None, other: LedgerEntry) -> bool:
    """Whether a decision has not changed.

    A wait stays the same wait however much of what it waits for has come: what is missing, and since when, is folded
    from the facts. That a phase is waited for once it has opened goes with the opening. Everything else has changed
    when its reason or what is missing has.
    """
    if entry is not None and (entry.decision, other.decision) == ("open", "wait"):
        return entry.gate != other.gate and not other.readings
    if entry is None or (entry.gate, entry.attempt, entry.decision) != (other.gate, other.attempt, other.decision):
        return False
    if entry.decision == "wait":
        return entry.readings == other.readings
    return (entry.reason, entry.missing) == (other.reason, other.missing)


def _standing_verdict(outcome: Outcome) -> Verdict:
    decision: Decision
    match outcome.kind:
        case OutcomeKind.FAIL:
            decision = Fail(reason=outcome.reason, missing=outcome.missing)
        case OutcomeKind.BLOCK:
            decision = Block(reason=outcome.reason, missing=outcome.missing, recheck_at=None)
        case _:
            decision = Done(
                reason=outcome.reason,
                grade=outcome.grade,
                missing=outcome.missing,
                completeness=outcome.completeness,
            )
    return Verdict(gate=outcome.gate, attempt=outcome.attempt, decision=decision, stands=True)


def _passed(outcome: Outcome, before: Outcome | None) -> bool:
    """Whether a gate that opened once still stands on the round to its left."""
    return before is None or outcome.left_round == before.attempt


def _settled_at(view: View, left: PlannedPhase) -> datetime | None:
    """When the looks again that are under way in a phase are over: until then what came late opens nothing.

    Else the gate would open once for each source that was corrected. One that has been silent once holds up nobody any
    more, though it is ordered once more.
    """
    last = [(p, view.starts[p.name][-1]) for p in left.processors if view.starts.get(p.name)]
    looking = [p for p, start in last if start.look and not is_once_more(view, start)]
    return max((until for p in looking if (until := under_way_until(view, p))), default=None)


def _late(outcome: Outcome, standings: Mapping[str, Standing]) -> list[str]:
    """The results that came, or came again with other content, after the gate had opened without them."""
    return [
        name
        for name, standing in standings.items()
        if standing.news and standing.mark != outcome.saw.get(name) and may_refresh(standing)
    ]


def _stays_forced(view: View, opened: Outcome, standings: Mapping[str, Standing]) -> bool:
    """Whether only a person's word has opened a gate: then one late result of several does not shut it again."""
    is_forced = f"{opened.gate}/{opened.attempt}" in view.control.forces
    return is_forced and any(each.processor.critical and not each.done for each in standings.values())


def _verdict(
    view: View,
    gate: str,
    left: PlannedPhase | None,
    before: Outcome | None,
    standings: Mapping[str, Standing],
    outcome: Outcome | None,
    holiday: Outcome | None,
    readings: Mapping[str, Reading],
) -> Verdict:
    attempt = outcome.attempt + 1 if outcome else 1
    if cancel := view.control.cancel:
        reason = f"cancelled by {cancel.actor}: {cancel.reason}"
        return Verdict(gate=gate, attempt=attempt, decision=Block(reason=reason, missing=(), recheck_at=None))
    if hold := view.control.held_at(view.now):
        block = Block(reason=f"held by {hold.actor}: {hold.reason}", missing=(), recheck_at=hold.until)
        if hold.until is None:
            block = replace(block, recheck_at=view.now + LOOK_AGAIN)
        return Verdict(gate=gate, attempt=attempt, decision=block, next_look_at=block.recheck_at)
    decision: Decision
    force = view.control.forces.get(f"{gate}/{attempt}") if gate != END else None
    forced = f"forced by {force.actor}: {force.reason}" if force else ""
    if left is None or before is None:
        first = view.plan.phase_by_name[gate]
        give_up_at = _give_up_at(first, _after_hold(view, first, first.deadline_at))
        decision = _first(view.plan)
    else:
        news_at = _news_at(standings, outcome or holiday)
        deadline_at, give_up_at = _deadlines(view, left, before, news_at)
        decision = _weigh(view, left, before, standings, news_at, deadline_at, give_up_at)
        if forced and isinstance(decision, Wait | Block | Fail):
            decision = _forced(forced, decision, min(before.completeness, share_of(tuple(standings.values()))))
            forced = decision.reason
    if isinstance(decision, Open) and gate != END:
        would = decision
        decision = _with_readings(view, view.plan.phase_by_name[gate], would, readings, give_up_at)
        if forced and isinstance(decision, Wait | Block | Fail):
            decision = _forced(forced, decision, would.completeness, readings)
    if isinstance(decision, Open) and gate == END:
        decision = Done(
            reason=decision.reason,
            grade=decision.grade,
            missing=decision.missing,
            completeness=decision.completeness,
        )
    if isinstance(decision, Done):
        gate = END
        attempt = view.outcomes[END].attempt + 1 if END in view.outcomes else 1
    next_look_at = decision.recheck_at if isinstance(decision, Wait | Block) else None
    return Verdict(gate=gate, attempt=attempt, decision=decision, next_look_at=next_look_at or view.now + READ_AGAIN)


def _forced(
    said: str, refused: Wait | Block | Fail, completeness: float, readings: Mapping[str, Reading] | None = None
) -> Open:
    """What a person's word makes of a refusal: it opens with what is there, and names what is not, readings too.

    What a reading found faulty stays out: the word is about what the gate waits for.
    """
    against: list[Missing] = []
    for name, reading in (readings or {}).items():
        if reading.verdict in (ReadingVerdict.HOLD, ReadingVerdict.BLOCK):
            against.append(Missing(processor=name, why=reading.note))
        if reading.verdict is ReadingVerdict.WARN:
            against.extend(reading.missing)
    return Open(
        reason=f"{said}; {refused.reason}",
        grade=DEGRADED,
        missing=(*refused.missing, *against),
        completeness=completeness,
    )


def _first(plan: Plan) -> Open:
    """The gate into the first phase opens by itself; that of a replay as it did in the run that is replayed."""
    if plan.given is None:
        return Open(reason="the run starts", grade=COMPLETE, missing=(), completeness=1.0)
    return Open(
        reason=f"replays {plan.given.run} from {plan.given.phase}: {plan.given.reason}",
        grade=DEGRADED if plan.given.missing else COMPLETE,
        missing=plan.given.missing,
        completeness=plan.given.completeness,
    )


def _weigh(
    view: View,
    left: PlannedPhase,
    before: Outcome,
    standings: Mapping[str, Standing],
    news_at: datetime | None,
    deadline_at: datetime,
    give_up_at: datetime,
) -> Decision:
    """Weigh what is done on the left of the gate. SYSTEMS, section 1, "Opening a gate"."""
    now = view.now
    if _nothing_expected(view):
        reason = f"no {view.plan.expects} are expected"
        return Done(reason=reason, grade=NOTHING_EXPECTED, missing=(), completeness=1.0)
    gone_without = ignored(view, left, standings, None)
    missing = before.missing + lacking(standings.values())
    missing += tuple(Missing(processor=name, why=why) for name, why in gone_without.items() if standings[name].whole)
    completeness = min(before.completeness, share_of(tuple(standings.values())))
    held = _of_the_hold(view, left, deadline_at)
    count = f"{sum(s.done for s in standings.values())} of {len(standings)} processors of {left.name} are done"
    if all(standing.whole for standing in standings.values()):
        reason = f"all of {left.name} is done"
        grade = COMPLETE if not missing else DEGRADED
        return Open(reason=reason, grade=grade, missing=missing, completeness=completeness)

    undone = [s for s in standings.values() if s.processor.critical and not s.done]
    if not undone:
        grace_ends = _grace_ends(view, before, standings, news_at)
        done_weight = sum(s.processor.weight for s in standings.values() if s.done)
        ratio = done_weight / sum(s.processor.weight for s in standings.values())
        waited_for = max(grace_ends, default=now)
        if waited_for <= now and ratio >= left.quorum:
            reason = f"{count}, every critical one among them; weight {ratio:.2f} reaches the quorum {left.quorum:.2f}"
            return Open(reason=reason, grade=DEGRADED, missing=missing, completeness=completeness)
        if now >= deadline_at:
            reason = f"{count}, every critical one among them, at the deadline {_clock(deadline_at)}{held}"
            return Open(reason=reason, grade=DEGRADED, missing=missing, completeness=completeness)
        look = waited_for if waited_for > now and ratio >= left.quorum else deadline_at
        return Wait(reason=f"{count}; every critical one is", missing=missing, recheck_at=min(look, deadline_at))

    names = ", ".join(standing.processor.name for standing in undone)
    if now >= give_up_at:
        return Fail(reason=f"{names} not done by {_clock(give_up_at)}, the time to give up{held}", missing=missing)
    if now >= deadline_at:
        reason = f"{names} not done at the deadline {_clock(deadline_at)}{held}"
        return Block(reason=reason, missing=missing, recheck_at=min(now + LOOK_AGAIN, give_up_at))
    ended = [standing for standing in undone if standing.ended]
    if ended:
        reason = "; ".join(f"{standing.processor.name} {standing.why}" for standing in ended)
        return Block(reason=reason, missing=missing, recheck_at=min(now + LOOK_AGAIN, deadline_at))
    return Wait(reason=f"{count}; waiting for {names}", missing=missing, recheck_at=deadline_at)


def _nothing_expected(view: View) -> bool:
    """The schedule has succeeded and says that there is nothing: not the same as knowing nothing.

    Where something was announced before, a run has that to do: a document that still says so would be wrong.
    """
    if view.expectations.get(view.plan.withdraws):
        return False
    return view.expectations.get(view.plan.expects) == ()


def _may_still_refresh(view: View, standing: Standing) -> bool:
    """Whether work for a gate that has opened without it is still of use."""
    until = standing.processor.refresh_until
    return until is not None and view.now <= until


def _news_at(standings: Mapping[str, Standing], outcome: Outcome | None) -> datetime | None:
    """When the newest result came that a gate did not see when it opened, or ended the run, the last time."""
    if outcome is None:
        return None
    return max((s.at for name, s in standings.items() if s.at and s.mark != outcome.saw.get(name, "")), default=None)


def _grace_ends(
    view: View, before: Outcome, standings: Mapping[str, Standing], news_at: datetime | None
) -> list[datetime]:
    """When the patience with each optional processor that is under way ends, counted from the last critical one, or
    from the end of a hold, during which it could not be tried again."""
    since = max((s.at for s in standings.values() if s.processor.critical and s.at), default=before.decided_at)
    since = max(since, news_at or since, view.control.held_until(view.now) or since)
    return [since + timedelta(seconds=s.processor.grace_s) for s in standings.values() if not s.done and not s.ended]


def _deadlines(view: View, left: PlannedPhase, before: Outcome, news_at: datetime | None) -> tuple[datetime, datetime]:
    """When the gate stops waiting, and when it gives up. A gate that opens again counts from what came late, one that
    was held from the end of the hold."""
    deadline_at = deadline_of(left, before, view.control.held_until(view.now))
    if news_at:
        deadline_at = max(deadline_at, news_at + timedelta(seconds=left.window_s))
    return deadline_at, _give_up_at(left, deadline_at)


def _give_up_at(phase: PlannedPhase, deadline_at: datetime) -> datetime:
    return deadline_at + (phase.give_up_at - phase.deadline_at)


def _after_hold(view: View, phase: PlannedPhase, deadline_at: datetime) -> datetime:
    held_until = view.control.held_until(view.now)
    return max(deadline_at, held_until + timedelta(seconds=phase.window_s)) if held_until else deadline_at


def _of_the_hold(view: View, left: PlannedPhase, deadline_at: datetime) -> str:
    """That a deadline is later than the plan has it because of a hold: whoever reads it compares the two."""
    held_until = view.control.held_until(view.now)
    if held_until is None or deadline_at != held_until + timedelta(seconds=left.window_s):
        return ""
    return f", counted from the end of the hold at {held_until:%H:%M}"


def _with_readings(
    view: View, phase: PlannedPhase, would: Open, readings: Mapping[str, Reading], give_up_at: datetime
) -> Decision:
    unread = tuple(name for name in phase.readings if name not in readings)
    if unread:
        return Ask(
            reason=f"would open: {would.reason}; asks {', '.join(unread)}", readings=unread, missing=would.missing
        )
    counted = [overridden(readings[name], view.control, view.now) for name in phase.readings]
    notes: dict[ReadingVerdict, list[str]] = {}
    for reading in counted:
        notes.setdefault(reading.verdict, []).append(f"{reading.name}: {reading.note}")
    again_at = min(view.now + READ_AGAIN, give_up_at)
    refused = notes.get(ReadingVerdict.BLOCK, []) + notes.get(ReadingVerdict.HOLD, [])
    if refused and view.now >= give_up_at:
        reason = f"{'; '.join(refused)}, still at {_clock(give_up_at)}, the time to give up"
        return Fail(reason=reason, missing=would.missing)
    if blocked := notes.get(ReadingVerdict.BLOCK):
        return Block(reason="; ".join(blocked), missing=would.missing, recheck_at=again_at)
    if held := notes.get(ReadingVerdict.HOLD):
        return Wait(reason="; ".join(held), missing=would.missing, recheck_at=again_at)
    if warned := notes.get(ReadingVerdict.WARN):
        lacks = tuple(
            missing for reading in counted if reading.verdict is ReadingVerdict.WARN for missing in reading.missing
        )
        missing = would.missing + lacks
        grade, share = DEGRADED if missing else would.grade, min([would.completeness, *_shares_left(view, lacks)])
        reason = f"{would.reason}; warned: {'; '.join(warned)}"
        return replace(would, grade=grade, missing=missing, reason=reason, completeness=share)
    return would


def _shares_left(view: View, lacks: Iterable[Missing]) -> list[float]:
    """Of each kind of unit, the share that goes on where readings have found some of them missing or faulty."""
    shares = []
    for name, gone in _lacking(view.plan, lacks).items():
        units = set(view.expectations.get(name, gone))
        shares.append(round(len(units - gone) / max(len(units), 1), 4))
    return shares


def _lacking(plan: Plan, missing: Iterable[Missing]) -> dict[str, set[str]]:
    """The units that are named as missing, by the expectation that they belong to."""
    lacking: dict[str, set[str]] = {}
    for each in missing:
        for phase in plan.phases:
            if each.units and each.processor in phase.by_name:
                lacking.setdefault(phase.by_name[each.processor].unit, set()).update(each.units)
    return lacking


def _outcome(view: View, verdict: Verdict, not_before: datetime | None) -> Outcome | None:
    """What is to be latched, if the verdict ends this gate attempt."""
    decision = verdict.decision
    if verdict.stands:
        return None
    match decision:
        case Open() | Done():
            kind = OutcomeKind.OPEN if isinstance(decision, Open) else OutcomeKind.DONE
            grade, completeness = decision.grade, decision.completeness
        case Fail() | Block(recheck_at=None):
            kind = OutcomeKind.FAIL if isinstance(decision, Fail) else OutcomeKind.BLOCK
            grade, completeness = "", 0.0
        case _:
            return None
    index = view.plan.gates.index(verdict.gate)
    before = view.outcomes.get(view.plan.gates[index - 1]) if index else None
    standings = stand(view, view.plan.phases[index - 1], before) if before else {}
    opens = view.plan.phase_by_name.get(verdict.gate) if kind is OutcomeKind.OPEN else None
    again = view.outcomes.get(verdict.gate) is not None
    return Outcome(
        gate=verdict.gate,
        attempt=verdict.attempt,
        kind=kind,
        grade=grade,
        reason=decision.reason,
        completeness=completeness,
        missing=decision.missing,
        decided_at=view.now,
        left_round=before.attempt if before else 0,
        saw={name: standing.mark for name, standing in standings.items() if standing.mark},
        base={p.name: next_attempt(view, p.name) for p in opens.processors} if opens and again else {},
        expectations=_seal(view, view.plan.phases[index - 1], before, decision.missing)
        if before
        else _given(view.plan),
        ready_at=_ready_at(view, view.plan.phases[index - 1], before, standings, not_before) if before else None,
    )


def _ready_at(
    view: View, left: PlannedPhase, before: Outcome, standings: Mapping[str, Standing], not_before: datetime | None
) -> datetime:
    """When the last thing happened that a verdict on what is left of a gate can rest on; between two, nothing changes.

    What a decision did not need, and came after all that it did, counts too: then it looks quicker than it was. What is
    recorded has happened, though by a clock that is ahead it is still to come: left out, the gate would look late.
    """
    news_at = _news_at(standings, view.outcomes.get(END))
    moments = [before.decided_at, *_deadlines(view, left, before, news_at)]
    moments += _grace_ends(view, before, standings, news_at)
    moments += [min(fact.received_at, view.now) for name in standings for fact in view.facts.get(name, ())]
    for standing in standings.values():
        moments += [*silent_at(view, standing.processor), *([standing.counts_at] if standing.counts_at else [])]
    moments += [at for at in (not_before, view.control.hold and view.control.hold.until) if at]
    moments += [min(word.act.at, view.now) for word in view.control.said]
    return max((at for at in moments if at <= view.now), default=view.now)


def _given(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """What the first phase has to do: nobody knows yet, unless it is a replay."""
    return plan.given.expectations if plan.given else {}


def _seal(view: View, left: PlannedPhase, before: Outcome, missing: Iterable[Missing]) -> dict[str, tuple[str, ...]]:
    """What the phase that opens has to do: all that was found before it, without the units that anything there lacks,
    by its own report or by what was read.

    What it finds itself, however early, stays open until the gate behind it.
    """
    known = {**before.expectations, **found_by(left, view.facts)}
    lacking = _lacking(view.plan, missing)
    return {name: tuple(unit for unit in units if unit not in lacking.get(name, ())) for name, units in known.items()}


def _first_starts(after: View, outcome: Outcome) -> tuple[Start, ...]:
    """The starts that are due the moment a gate opens; they travel in its latch."""
    if outcome.kind is not OutcomeKind.OPEN:
        return ()
    phase = after.plan.phase_by_name[outcome.gate]
    standings = stand(after, phase, outcome)
    return tuple(
        order_start(after, phase, outcome, standings, name)
        for name, standing in standings.items()
        if standing.due is not None
    )


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def recompute(plan: Plan, facts: Iterable[Fact], latches: Iterable[Latch], entry: LedgerEntry) -> Verdict:
    """The decision of a ledger entry, made again from what it saw among all that was ever recorded."""
    return decide(look_back(plan, facts, latches, entry), entry.readings, entry.refused)
