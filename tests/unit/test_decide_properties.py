"""What holds on every day, however it goes: random plans, random answers, an operator now and then."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.fold import View, look
from shared.core.gate import (
    DEGRADED,
    NOTHING_EXPECTED,
    Ask,
    Block,
    Done,
    Fail,
    Open,
    Verdict,
    Wait,
    consequences,
    decide,
    recompute,
)
from shared.core.model import Act, Control, Reading, ReadingVerdict, Start, Status, Word
from shared.core.plan import Plan, PlannedPhase, PlannedProcessor
from shared.core.standing import AFRESH_MAX, FINDS
from shared.core.words import speak
from tests.unit.plans import T0, Day, critical, minute, optional, phase, plan, reading, say

GAMES = ("g1", "g2", "g3", "g4")
WINDOW = timedelta(minutes=10)  # of a later round, in every plan here
PATIENCE = timedelta(minutes=60)  # from a deadline to giving up, in every plan here
WAKES_MAX = 600  # ten hours of a look a minute; a day here ends after five at most

EVERY_DAY = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@st.composite
def processors(draw: st.DrawFn, prefix: str) -> tuple[PlannedProcessor, ...]:
    made: list[PlannedProcessor] = []
    for index in range(draw(st.integers(1, 3))):
        make = draw(st.sampled_from((critical, critical, optional)))
        others = [other.name for other in made if other.critical or make is optional]
        needs = tuple(draw(st.lists(st.sampled_from(others), unique=True, max_size=1))) if others else ()
        made.append(
            make(
                f"{prefix}{index}",
                needs=needs,
                after=tuple(o.name for o in made if o.name not in needs and draw(st.booleans())),
                unit=draw(st.sampled_from(("", "games"))),
                timeout_s=draw(st.sampled_from((60, 600))),
                grace_s=draw(st.sampled_from((0, 300, 900))),
                attempts_max=draw(st.integers(1, 3)),
                looks_max=draw(st.integers(1, 3)),
                refresh_until=draw(st.sampled_from((None, minute(40), minute(300)))),
            )
        )
    return tuple(made)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    readings = st.sampled_from(((), ("health",)))
    phases = [phase("scrape", critical("s", attempts_max=2), deadline=20)]
    for index in range(draw(st.integers(1, 3))):
        name = f"p{index}"
        members, quorum = draw(processors(name)), draw(st.sampled_from((0.5, 0.8)))
        phases.append(phase(name, *members, deadline=40 + 20 * index, quorum=quorum, readings=draw(readings)))
    return plan(*phases)


@dataclass(frozen=True)
class Seen:
    """One look at a day."""

    view: View
    readings: dict[str, Reading]
    verdict: Verdict


class World:
    """Answers every start as it likes: at once, late, twice, wrongly, or never."""

    def __init__(self, of: Plan, seed: int) -> None:
        self.day, self.random = Day(of), random.Random(seed)
        self.answers: list[tuple[datetime, Start, dict[str, str]]] = []
        self.answered: set[str] = set()
        self.luck = self.random.choice((0.5, 0.8, 1.0))
        self.ended_at: datetime | None = None
        self.act_at = minute(self.random.randrange(5, 60)) if self.random.random() < 0.4 else None

    def live(self) -> World:
        """Until nobody has anything to say and nobody wants to look."""
        for _ in range(WAKES_MAX):
            wakes = [at for at in (self.day.due_at, self.act_at, *(at for at, _, _ in self.answers)) if at]
            if not wakes:
                return self
            now = min(wakes)
            self.happen(now)
            verdict = self.day.advance(now)
            if is_final(verdict) and not verdict.stands:
                self.ended_at = now
            self.hear(now)
        raise AssertionError(f"never ends: {say(verdict)} {self.day.story}")

    def happen(self, now: datetime) -> None:
        for answer in [answer for answer in self.answers if answer[0] <= now]:
            self.answers.remove(answer)
            _, start, said = answer
            self.day.report(now, start.processor, attempt=str(start.attempt), **said)
        if self.act_at and self.act_at <= now:
            self.act_at = None
            until = now + timedelta(minutes=self.random.randrange(1, 90))
            act = Act(actor="ann", reason="storm", at=now, until=until)
            gate = self.day.decide(now).gate
            optional_ones = [p.name for of in self.day.plan.phases for p in of.processors if not p.critical]
            about = {"skip": self.random.choice([*optional_ones, "nobody"]), "force": gate}
            verb = self.random.choice(("hold", "hold", "cancel", "skip", "force"))
            control = speak(self.day.view(now), Word(verb=verb, about=about.get(verb, ""), act=act))
            self.day.control = control if isinstance(control, Control) else self.day.control  # or it was refused
        if self.random.random() < 0.2:
            self.day.refusals["health"] = reading("health", self.random.choice(list(ReadingVerdict)))

    def hear(self, now: datetime) -> None:
        for latch in self.day.latches.values():
            for start in latch.starts:
                if start.id not in self.answered:
                    self.answered.add(start.id)
                    for _ in range(self.random.choices((0, 1, 2), (1, 8, 1))[0]):
                        after = timedelta(seconds=self.random.choice((1, 20, 100, 700, 3000)))
                        self.answers.append((now + after, start, self.answer(start)))

    def answer(self, start: Start) -> dict[str, str]:
        lucky = self.random.random() < self.luck
        status = "success" if lucky else self.random.choice(("partial", "not_ready", "failed", "skipped", "success"))
        said = {"status": status, "digest": self.random.choice(("x", "y"))}
        if status == "skipped":
            said["reason"] = self.random.choice(("superseded", "no_source"))
        if start.units is not None:
            said["has"] = str(len(start.units) if lucky else self.random.randrange(0, len(start.units) + 1))
        if start.processor == "s":
            games = GAMES[: self.random.choice((0, 3, 4, 4, 4, 4, 4))]
            said["finds"] = f"games:{'|'.join(games)}"
        return said

    def looks(self) -> list[Seen]:
        return [Seen(view, readings, verdict) for view, readings, verdict in self.day.verdicts]


worlds = st.builds(World, plans(), st.integers(0, 2**32)).map(World.live)


def is_final(verdict: Verdict) -> bool:
    decision = verdict.decision
    return isinstance(decision, Done | Fail) or (isinstance(decision, Block) and decision.recheck_at is None)


@EVERY_DAY
@given(worlds)
def test_every_day_ends_and_soon_after_the_last_thing_that_happened(world: World) -> None:
    """At the time to give up, or one round and its patience after the last result, opening or end of a hold."""
    assert is_final(world.day.decide(minute(10_000)))
    assert world.day.decide(minute(10_000)).stands
    if world.ended_at:
        happened = [fact.received_at for fact in world.day.facts if fact.received_at <= world.ended_at]
        happened += [latch.outcome.decided_at for latch in world.day.latches.values() if latch.outcome and latch.starts]
        held = world.day.control.hold
        until = held.until if held and held.until else T0
        last = max(*(p.give_up_at for p in world.day.plan.phases), max([*happened, until]) + WINDOW + PATIENCE)
        assert world.ended_at <= last


@EVERY_DAY
@given(worlds)
def test_there_is_always_a_next_look_unless_all_is_over(world: World) -> None:
    for seen in world.looks():
        asked = consequences(seen.view, seen.verdict, seen.readings)
        if is_final(seen.verdict):  # what it has published without is still looked for, where a gate was forced too
            late = [p.refresh_until for of in seen.view.plan.phases for p in of.processors if p.refresh_until]
            assert asked.due_at is None or (isinstance(seen.verdict.decision, Done) and seen.view.now <= max(late))
            assert asked.due_at is None or asked.due_at > seen.view.now
        else:
            assert seen.verdict.next_look_at is not None
            assert seen.verdict.next_look_at > seen.view.now
            assert asked.due_at is not None
            assert asked.due_at > seen.view.now


@EVERY_DAY
@given(worlds, st.randoms(use_true_random=False))
def test_order_and_repetition_make_no_difference(world: World, shuffle: random.Random) -> None:
    for seen in world.looks():
        facts = [fact for fact in world.day.facts if fact.completion.id in seen.view.fact_ids]
        latches = [latch for latch in world.day.latches.values() if latch.key in seen.view.latch_keys]
        facts, latches = facts + facts[::2], latches + latches[::2]
        shuffle.shuffle(facts)
        shuffle.shuffle(latches)
        again = look(seen.view.plan, facts, latches, seen.view.control, seen.view.now)
        assert decide(again, seen.readings) == seen.verdict


@EVERY_DAY
@given(worlds)
def test_every_decision_can_be_made_again_from_the_ledger(world: World) -> None:
    for seen in world.looks():
        entry = consequences(seen.view, seen.verdict, seen.readings).entry
        assert recompute(world.day.plan, world.day.facts, world.day.latches.values(), entry) == seen.verdict


@EVERY_DAY
@given(worlds)
def test_nothing_opens_without_its_critical_processors(world: World) -> None:
    for seen in world.looks():
        decision = seen.verdict.decision
        if not isinstance(decision, Open | Done) or decision.grade == NOTHING_EXPECTED or seen.verdict.stands:
            continue
        if decision.reason.startswith("forced by ann: storm"):
            assert isinstance(decision, Open)
            assert decision.grade == DEGRADED
            assert decision.missing
            continue
        index = seen.view.plan.gates.index(seen.verdict.gate)
        for processor in seen.view.plan.phases[index - 1].processors if index else ():
            assert not processor.critical or any(
                fact.completion.status in FINDS
                or (fact.completion.status is Status.SKIPPED and fact.completion.reason in processor.whole_skips)
                for fact in seen.view.facts.get(processor.name, ())
            )


@EVERY_DAY
@given(worlds, st.integers(1, 400))
def test_what_would_open_now_does_not_wait_later(world: World, later: int) -> None:
    for seen in world.looks():
        if isinstance(seen.verdict.decision, Open):
            said = replace(seen.view.control, hold=None, cancel=None)
            then = replace(seen.view, now=seen.view.now + timedelta(minutes=later), control=said)
            verdict = decide(then, seen.readings)
            assert not isinstance(verdict.decision, Wait | Block | Ask | Fail)
            assert verdict.gate == seen.verdict.gate


@EVERY_DAY
@given(worlds)
def test_starts_are_ordered_once_for_planned_processors_of_open_phases_within_their_budget(world: World) -> None:
    latched: dict[str, str] = {}
    for latch in world.day.latches.values():
        for start in latch.starts:
            assert latched.setdefault(start.id, latch.key) == latch.key
            of: PlannedPhase = world.day.plan.phase_by_name[start.phase]
            processor = of.by_name[start.processor]
            opened = [t.outcome for t in world.day.latches.values() if t.outcome and t.outcome.gate == start.phase]
            opened = [outcome for outcome in opened if outcome.decided_at <= start.issued_at]
            assert opened, f"{start.id} before its phase opened"
            inputs = sum(len(world.day.view(T0).facts.get(name, ())) for name in (*processor.needs, *processor.after))
            afresh = AFRESH_MAX if processor.critical else 0
            budget = 2 * processor.attempts_max + processor.looks_max + inputs + afresh  # the silent may only be late
            assert start.attempt <= len(opened) * budget
    ids = [start.id for latch in world.day.latches.values() for start in latch.starts]
    assert len(ids) == len(set(ids))


@EVERY_DAY
@given(worlds)
def test_nothing_is_ordered_after_a_failure_a_cancel_or_while_held(world: World) -> None:
    over = False
    for seen in world.looks():
        assert not (over and seen.verdict.starts)
        assert not (seen.view.control.held_at(seen.view.now) and seen.verdict.starts)
        over = over or (is_final(seen.verdict) and not isinstance(seen.verdict.decision, Done))
        assert not over or is_final(seen.verdict)


@EVERY_DAY
@given(worlds)
def test_a_gate_waits_for_nothing_once_it_is_forced(world: World) -> None:
    for seen in world.looks():
        if f"{seen.verdict.gate}/{seen.verdict.attempt}" in seen.view.control.forces and not seen.verdict.stands:
            assert isinstance(seen.verdict.decision, Open)


@EVERY_DAY
@given(worlds)
def test_what_is_skipped_is_not_ordered_from_then_on(world: World) -> None:
    for seen in world.looks():
        ordered = consequences(seen.view, seen.verdict, seen.readings).latches
        assert not [s for latch in ordered for s in latch.starts if s.processor in seen.view.control.skips]
