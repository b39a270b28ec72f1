"""Published incidents by name (LESSONS), each as a world with exactly that fault: `tipoff simulate --scenario NAME`.

Past 400 lines because it is a list: one function for each incident, each to be read by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

from greenlet import getcurrent

from shared.config.functions import NUDGE_TOPIC
from shared.config.nba import MODES, NBA
from shared.core import calendar
from shared.core.gate import COMPLETE, DEGRADED, NOTHING_EXPECTED
from shared.core.incident import UNANSWERED
from shared.core.messages import Message, completion_message
from shared.core.model import Act, Completion, OutcomeKind, RunKey, Start, Status
from shared.core.standing import AFRESH_MAX
from shared.service import Refusal
from simulation import invariants
from simulation.alarms import ALARM_SCENARIOS
from simulation.batch_scenarios import BATCH_SCENARIOS, zombie_batch
from simulation.delivery_scenarios import DELIVERY_SCENARIOS
from simulation.fate import ORDINARY_S, Call, four_games
from simulation.interleavings import Choose, Meeting, Orders
from simulation.reading_scenarios import READING_SCENARIOS
from simulation.scenario import (
    DAY,
    OVERNIGHT,
    SAME_DAY,
    TOMORROW,
    Behave,
    Scenario,
    begins_at,
    calm,
    expect_end,
    expect_first_attempts,
    live,
    starts_of,
)
from simulation.seam import Crash
from simulation.watch_scenarios import WATCH_SCENARIOS
from simulation.work import Behaviour, Kind, make_rows, partition_of, stamp_of
from simulation.world import World

# --- gates --------------------------------------------------------------------------------------------


def same_day_one_of_five(seed: int) -> World:
    def behave(start: Start) -> Behaviour:
        mute = start.run == SAME_DAY and start.processor == "upcoming_team_game_context"
        return Behaviour(kind=Kind.HANG) if mute else Behaviour()

    world = live(calm(seed, behave))
    expect_end(world, SAME_DAY, OutcomeKind.DONE, DEGRADED)
    return world


def unknown_names(seed: int) -> World:
    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "team_offense_game_summary":
            if world.stories[OVERNIGHT].received[start.id] == 1:
                world.after(60, lambda: _strangers(world, start))
            return Behaviour(after_s=250)  # all optional ones are done long before
        return Behaviour()

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    kept = set(world.quarantined.values())  # who takes so long is told to start once more, and they come again
    world.expect(len(kept) == 5, f"{len(kept)} of 5 strangers were kept for a person")
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


def _strangers(world: World, start: Start) -> None:
    topic = world.stories[start.run].plan.phase_by_name[start.phase].completion_topic
    for number in range(5):
        stranger = Completion(
            run=start.run,
            phase=start.phase,
            processor=f"stranger_{number}",
            attempt=1,
            report=1,
            status=Status.SUCCESS,
        )
        world.carry([completion_message(stranger, topic)])


def not_yet(seed: int) -> World:
    began: list[datetime] = []

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "boxscores":
            began.append(start.issued_at)
            if start.issued_at < began[0] + timedelta(hours=1):
                return Behaviour(kind=Kind.NOT_READY, after_s=5)
        return Behaviour()

    world = live(calm(seed, behave))
    looks = len(starts_of(world, OVERNIGHT, "boxscores"))
    world.expect(10 <= looks <= 13, f"{looks} looks in an hour, one every five minutes is the budget", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


def _crash_once_at(verb: str, seed: int) -> World:
    struck: set[tuple[str, str]] = set()

    def strike(call: Call) -> str:
        if call.verb != verb or (call.run, call.topic) in struck:
            return ""
        struck.add((call.run, call.topic))
        return "crash"

    world = live(replace(calm(seed), strike=strike))
    world.expect(len(struck) > 15, f"crashed only at {len(struck)} gates")
    for run in (OVERNIGHT, SAME_DAY, TOMORROW):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


def crash_after_commit(seed: int) -> World:
    return _crash_once_at("publish", seed)


def crash_before_close(seed: int) -> World:
    world = _crash_once_at("close", seed)
    received = [count for story in world.stories.values() for count in story.received.values()]
    world.expect(max(received, default=0) == 2, f"a start came {max(received, default=0)} times, expected 2 at most")
    return world


def last_completion_redelivered(seed: int) -> World:
    def strike(call: Call) -> str:
        recorded = call.verb == "load" and call.topic != NUDGE_TOPIC and call.number == 2
        return "crash" if recorded and call.attempt == 1 else ""

    def carry(message: Message) -> tuple[float, ...]:
        return () if b'"sweep"' in message.data else (0.0,)  # no timer helps: redelivery alone must do it

    world = live(replace(calm(seed), strike=strike, carry=carry))
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    expect_first_attempts(world)
    return world


def twin_writers(seed: int) -> World:
    """Every message comes twice, all of a phase at the same moment, and two timers sweep."""
    world = live(replace(calm(seed), carry=lambda _: (0.0, 0.0)))
    for run in (OVERNIGHT, SAME_DAY, TOMORROW):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


# --- the last ones meet -------------------------------------------------------------------------------


def racing_join(seed: int) -> World:
    """All orders in which the last two completions of a phase can meet."""
    world = World(calm(seed), DAY)
    orders = Orders()
    while orders.left:
        run = _before_the_last(world, orders.taken, ("schedule", "boxscores", "raw_schedule"))
        last = [starts_of(world, run, name)[0] for name in ("player_boxscores", "team_boxscores")]
        if _meet(world, [_completing(world, start) for start in last], orders):
            _expect_opened_once(world, run, "analytics")
            _expect_sent(world, run)
        orders.turn()
    return world


TWIN_ROUNDS = 60  # random orders: five handlers have too many to try all


def twin_pending(seed: int) -> World:
    """The last four completions and a sweep on five instances, one of which dies on the way."""
    dice = random.Random(seed)
    done = ("schedule", "boxscores", "raw_schedule", "player_boxscores", "team_boxscores", "team_offense_game_summary")
    last = (
        "player_game_summary",
        "team_defense_game_summary",
        "upcoming_player_game_context",
        "upcoming_team_game_context",
    )
    world = World(calm(seed), DAY)
    for number in range(TWIN_ROUNDS):
        run = _before_the_last(world, number, done)
        handlers = [_completing(world, starts_of(world, run, name)[0]) for name in last]
        doomed = dice.randrange(len(handlers))
        dying = _dying(world, handlers[doomed], dice.randint(1, 6))
        alive = [handler for handler in handlers if handler is not handlers[doomed]]
        sweep = partial(world.service.advance, run)
        _meet(world, [dying, *alive, sweep], lambda options: dice.choice(sorted(options)))
        handlers[doomed]()  # its message comes again
        _expect_opened_once(world, run, "precompute")
    world.clock.at += timedelta(minutes=1)
    world.service.sweep()  # sends what the dead ones did not
    for run in world.stories:
        _expect_sent(world, run)
    return world


def _before_the_last(world: World, number: int, done: Iterable[str]) -> RunKey:
    """A run of its own, in which these have been done one by one."""
    run = RunKey("nba", DAY + timedelta(days=number), "overnight")
    world.service.start_run(run)
    for name in done:
        _completing(world, starts_of(world, run, name)[0])()
        world.service.advance(run)  # the timer looks, too
    return run


def _completing(world: World, start: Start) -> Callable[[], None]:
    units, processor = start.units or (), world.processor_of(start)
    rows = make_rows(processor, units, {})
    written = world.warehouse.load(partition_of(processor), rows, stamp_of(start), "unit" if processor.unit else "")
    found = {"schedule": {"games": four_games(start.run.date), "next_games": four_games(start.run.date)}}
    completion = Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=Status.SUCCESS,
        units_actual=len(units) if units else None,
        rows=written.rows,
        digest=written.digest,
        found=found.get(start.processor, {}),
    )

    def complete() -> None:
        refused = world.service.on_completion(completion)
        world.expect(refused is None, f"{completion.id} was refused", start.run)

    return complete


def _dying(world: World, handler: Callable[[], None], last_call: int) -> Callable[[], None]:
    def die() -> None:
        calls = 0
        goes_on = world.before_call

        def count(verb: str) -> None:
            nonlocal calls
            goes_on(verb)
            calls += getcurrent() is me
            if calls > last_call and getcurrent() is me:
                raise Crash

        me = getcurrent()
        world.before_call = count
        try:
            handler()
        except Crash:
            world.faults["crash"] += 1

    return die


def _meet(world: World, handlers: list[Callable[[], None]], choose: Choose) -> bool:
    meeting = Meeting(handlers, choose)
    world.before_call = meeting.before_call
    try:
        return meeting.hold()
    finally:
        world.before_call = lambda _: None


def _expect_opened_once(world: World, run: RunKey, gate: str) -> None:
    story = world.stories[run]
    record, story.ledger = world.sqlite.states.load(run), world.sqlite.states.ledger(run)
    opened = [outcome for outcome in story.outcomes if outcome.gate == gate]
    world.expect(len(opened) == 1, f"{gate} opened {len(opened)} times", run)
    for rule in (invariants.one_outcome_per_gate_attempt, invariants.every_fact_stays):
        world.check(run, rule, invariants.End(story, record, world.fate.games))


def _expect_sent(world: World, run: RunKey) -> None:
    record = world.sqlite.states.load(run)
    end = invariants.End(world.stories[run], record, world.fate.games)
    world.check(run, invariants.what_is_latched_is_sent, end)


# --- late, failed, stuck --------------------------------------------------------------------------------


def killed_counts(seed: int) -> World:
    """A critical one is killed twice, an optional one always: neither counts as done."""

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "player_boxscores" and start.attempt < 3:
            return Behaviour(kind=Kind.FAIL)
        if start.run == OVERNIGHT and start.processor == "team_defense_game_summary":
            return Behaviour(kind=Kind.FAIL)
        return Behaviour()

    world = live(calm(seed, behave))
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, DEGRADED)
    final = world.stories[OVERNIGHT].final
    named = [missing.processor for missing in final.missing] if final else []
    world.expect(named == ["team_defense_game_summary"], f"missing: {named}", OVERNIGHT)
    return world


def late_after_quorum(seed: int) -> World:
    """An optional one reports after its gate opened without it: everything behind it is made again."""

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "team_defense_game_summary":
            return Behaviour(after_s=900) if start.attempt == 1 else Behaviour(kind=Kind.HANG)
        return Behaviour()

    world = live(calm(seed, behave))
    story = world.stories[OVERNIGHT]
    first = [outcome.grade for outcome in story.outcomes if outcome.gate == "precompute"][:1]
    world.expect(first == [DEGRADED], f"precompute first opened {first}", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


def one_game_stuck(seed: int) -> World:
    """One game of four never becomes final: the other three are published, the fourth is named."""
    stuck = four_games(OVERNIGHT.date)[-1]

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "boxscores":
            return Behaviour(kind=Kind.PARTIAL, lacks=(stuck,), after_s=10)
        return Behaviour()

    world = live(calm(seed, behave))
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, DEGRADED)
    final = world.stories[OVERNIGHT].final
    units = [missing.units for missing in final.missing] if final else []
    world.expect((stuck,) in units, f"the stuck game is not named: {units}", OVERNIGHT)
    asked = [
        start.id for start in starts_of(world, OVERNIGHT) if start.phase == "export" and stuck in (start.units or ())
    ]
    world.expect(not asked, f"{asked} were asked for the stuck game", OVERNIGHT)
    return world


def three_silent_days(seed: int) -> World:
    """One day every gate dies once it has recorded, one day no schedule speaks, one day both: the sweep does it all."""

    def carry(message: Message) -> tuple[float, ...]:
        spoken = message.topic == NUDGE_TOPIC and b'"sweep"' not in message.data
        return () if spoken and world.now.day != DAY.day else (0.0,)

    def strike(call: Call) -> str:
        heard = call.topic != NUDGE_TOPIC
        return "crash" if heard and call.verb == "load" and world.now.day != DAY.day + 1 else ""

    world = World(replace(calm(seed), carry=carry, strike=strike), DAY)
    world.forget_before()
    world.schedule(3)
    world.go_on()
    world.expect(len(world.stories) - len(world.forgotten) == 9, "not every run of three days began")
    return world


# --- work -----------------------------------------------------------------------------------------------


def phase_order(seed: int) -> World:
    """However long each takes, nobody reads what is not there yet."""
    dice = random.Random(seed)

    def behave(start: Start) -> Behaviour:
        slow = start.processor in ("team_offense_game_summary", "player_daily_cache", "player_shot_zone_analysis")
        return Behaviour(after_s=200 if slow else dice.choice(ORDINARY_S))

    world = live(calm(seed, behave))
    for run in (OVERNIGHT, SAME_DAY, TOMORROW):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


def asked_too_early(seed: int) -> World:
    """An operator wants what waits tried again: nobody's word has it read what is not there yet."""

    def behave(start: Start) -> Behaviour:
        return Behaviour(after_s=300 if start.processor == "team_offense_game_summary" else 30)

    def retry() -> None:
        act = Act(actor="operator", reason="is in a hurry", at=world.now)
        said = world.service.retry(OVERNIGHT, "player_game_summary", act)
        names = isinstance(said, Refusal) and "needs team_offense_game_summary" in said.reason
        world.expect(names, f"what it waits for is not named: {said}", OVERNIGHT)

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)
    world.at(begins_at(OVERNIGHT) + timedelta(minutes=4), retry)
    world.go_on()
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    expect_first_attempts(world)
    return world


def zombie_writes(seed: int) -> World:
    """One that was given up wakes when its successor has written, and writes less; so does a whole batch."""

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "player_game_summary" and start.attempt == 1:
            return Behaviour(kind=Kind.PARTIAL, lacks=(start.units or ("",))[:1], after_s=900)
        return Behaviour()

    world = live(calm(seed, behave))
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    world.violations.update(zombie_batch(seed).violations)
    return world


def endless_retry(seed: int) -> World:
    def behave(start: Start) -> Behaviour:
        doomed = start.run == OVERNIGHT and start.processor == "player_boxscores"
        return Behaviour(kind=Kind.FAIL, hard=True, fault="doomed") if doomed else Behaviour()

    world = live(calm(seed, behave))
    tried = [start.issued_at for start in starts_of(world, OVERNIGHT, "player_boxscores")]
    world.expect(len(tried) == 3 + AFRESH_MAX, f"tried {len(tried)} times, the budget is 3 + {AFRESH_MAX}", OVERNIGHT)
    afresh = [later - earlier for earlier, later in pairwise(tried[2:])]
    world.expect(min(afresh) >= timedelta(minutes=5), f"tried afresh after {min(afresh)}", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.FAIL)
    return world


# --- between runs ---------------------------------------------------------------------------------------


def late_night(seed: int) -> World:
    """Last night is held until after the day's run has begun: once within its patience, once for far longer."""
    soon = _held_night(seed, hours=4.75)
    expect_end(soon, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    opened = [o.decided_at for o in soon.stories[SAME_DAY].outcomes if o.gate == "analytics"]
    night = soon.stories[OVERNIGHT].final
    soon.expect(night is not None and opened[:1] > [night.decided_at], "did not wait for its night", SAME_DAY)
    late = _held_night(seed, hours=8)
    expect_end(late, SAME_DAY, OutcomeKind.DONE, DEGRADED)
    final = late.stories[SAME_DAY].final
    named = [missing.processor for missing in final.missing] if final else []
    late.expect(named == [f"overnight of {OVERNIGHT.date}"], f"missing: {named}", SAME_DAY)
    late.violations.update(soon.violations)
    return late


def _held_night(
    seed: int, hours: float, behave: Behave = lambda _: Behaviour(), release_hours: float | None = None
) -> World:
    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)
    held_at = begins_at(OVERNIGHT) + timedelta(seconds=45)
    world.at(held_at, lambda: world.hold(OVERNIGHT, hours * 3600))
    if release_hours:
        world.at(held_at + timedelta(hours=release_hours), lambda: world.release(OVERNIGHT))
    world.go_on()
    return world


def hold_past_giving_up(seed: int) -> World:
    """A scrape fails, and its night is held past its time to give up: the tries it has left are made after that,
    whether a person releases it or the hold ends by itself. They take longer than an endless block is looked at."""

    def behave(start: Start) -> Behaviour:
        if start.run != OVERNIGHT or start.processor != "boxscores" or start.attempt == 3:
            return Behaviour()
        return Behaviour(kind=Kind.FAIL, fault="feed is wrong", after_s=15 if start.attempt == 1 else 310)

    released = _held_night(seed, hours=14, behave=behave, release_hours=7)
    by_itself = _held_night(seed, hours=7, behave=behave)
    for world in (released, by_itself):
        tried = sorted({start.attempt for start in starts_of(world, OVERNIGHT, "boxscores")})
        world.expect(tried == [1, 2, 3], f"attempts made: {tried}", OVERNIGHT)
        told = [latch.told.summary for latch in world.stories[OVERNIGHT].latches.values() if latch.alert]
        world.expect(not told, f"its hold is an alarm: {'; '.join(told)}", OVERNIGHT)
        expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    released.violations.update(by_itself.violations)
    return released


def replay_in_flight(seed: int) -> World:
    """A night is replayed from precompute while it is at precompute itself: it gives way, and both end well."""

    def behave(start: Start) -> Behaviour:
        slow = start.run == OVERNIGHT and start.phase in ("precompute", "grading", "export")
        return Behaviour(after_s=250 if slow else 30)

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)

    def replay() -> None:
        act = Act(actor="operator", reason="bad zones", at=world.now)
        again = world.service.replay(OVERNIGHT, "precompute", act)
        world.expect(again == replace(OVERNIGHT, generation=2), f"the replay is {again}", OVERNIGHT)

    begins_at = calendar.usual_start(MODES[0], OVERNIGHT.date, NBA.zone)
    world.at(begins_at + timedelta(minutes=5), replay)
    world.go_on()
    for generation in (1, 2):
        expect_end(world, replace(OVERNIGHT, generation=generation), OutcomeKind.DONE, COMPLETE)
    stands = world.warehouse.read(
        partition_of(world.stories[OVERNIGHT].plan.phase_by_name["export"].by_name["results"])
    )
    world.expect(stands is not None and stands[0].run.endswith(".2"), "the older generation's results stand", OVERNIGHT)
    return world


def corrected_later(seed: int) -> World:
    """A day later the sources of a published night look again: one fails, one finds the same. Nothing changes."""

    def behave(start: Start) -> Behaviour:
        fails = start.run == OVERNIGHT and start.processor == "boxscores" and start.look
        return Behaviour(kind=Kind.FAIL, hard=True, fault="doomed") if fails else Behaviour()

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)

    def look_again() -> None:
        ordered = world.service.look_again(OVERNIGHT)
        world.expect(isinstance(ordered, tuple) and len(ordered) == 2, f"ordered {ordered}", OVERNIGHT)

    world.at(calendar.deadline(MODES[0], OVERNIGHT.date, NBA.zone) + timedelta(days=1), look_again)
    world.go_on()
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    again = sorted(start.processor for start in starts_of(world, OVERNIGHT) if start.attempt > 1)
    world.expect(again == ["boxscores", "schedule"], f"ran again: {again}", OVERNIGHT)
    return world


def asked_and_lost(seed: int) -> World:
    """Two more attempts are asked for of a published night: the order of one is lost once, the other always hangs.

    The first is made good; of the second people are told once. What was published stands.
    """
    lost: list[Message] = []

    def behave(start: Start) -> Behaviour:
        hangs = start.run == OVERNIGHT and start.processor == "results" and start.by
        return Behaviour(kind=Kind.HANG, hard=True, fault="doomed") if hangs else Behaviour()

    def carry(message: Message) -> tuple[float, ...]:
        about = message.attributes
        look = (about.get("run"), about.get("processor"), about.get("attempt")) == (str(OVERNIGHT), "boxscores", "2")
        if not look or lost or not message.topic.endswith("-start"):
            return (0.0,)
        lost.append(message)
        return ()

    def ask() -> None:
        act = Act(actor="operator", reason="it was corrected", at=world.now)
        world.expect(not isinstance(world.service.look_again(OVERNIGHT, ["boxscores"], act), Refusal), "refused")
        world.expect(isinstance(world.service.retry(OVERNIGHT, "results", act), Start), "refused")

    world = World(replace(calm(seed, behave), carry=carry), DAY)
    world.forget_before()
    world.schedule(1)
    world.at(begins_at(OVERNIGHT) + timedelta(hours=3), ask)
    world.go_on()
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    story = world.stories[OVERNIGHT]
    heard = [fact.completion.attempt for fact in story.facts_of["boxscores"]]
    world.expect(heard == [1, 2], f"of boxscores attempts {heard} were heard, expected 1 and 2", OVERNIGHT)
    tries = len({start.attempt for start in starts_of(world, OVERNIGHT, "results")})
    world.expect(tries == 4, f"results was tried {tries} times, once and three times as asked for", OVERNIGHT)
    told = [alert.cause for alert in story.open_incidents]
    world.expect(told == [UNANSWERED], f"open are {told}", OVERNIGHT)
    due_at = world.sqlite.states.load(OVERNIGHT).due_at
    world.expect(due_at is None, f"is looked at again at {due_at}", OVERNIGHT)
    return world


# --- time and calendar ----------------------------------------------------------------------------------


def from_the_future(seed: int) -> World:
    """Schedules are heard twenty hours late and twice: each means the day it was meant for."""

    def carry(message: Message) -> tuple[float, ...]:
        late = message.topic == NUDGE_TOPIC and b'"sweep"' not in message.data
        return (20 * 3600.0, 0.0, 21 * 3600.0) if late else (0.0,)

    world = live(replace(calm(seed), carry=carry))
    runs = {run for run in world.stories if run not in world.forgotten}
    world.expect(runs == {OVERNIGHT, SAME_DAY, TOMORROW}, f"runs: {', '.join(sorted(map(str, runs)))}")
    return world


def skewed_dst(seed: int) -> World:
    """Over both changes of the clocks every local day has its three runs, at their local times."""
    autumn = _dst(seed, date(2024, 11, 2))
    autumn.violations.update(_dst(seed, date(2024, 3, 9)).violations)
    return autumn


def _dst(seed: int, first: date) -> World:
    world = live(calm(seed), days=3, first=first)
    stories = [story for run, story in world.stories.items() if run not in world.forgotten]
    world.expect(len(stories) == 9, f"{len(stories)} runs in three days from {first}")
    modes = {mode.name: mode for mode in MODES}
    for story in stories:
        plan, mode = story.plan, modes[story.plan.run.mode]
        for what, instant, declared in (
            ("starts", plan.started_at, mode.starts_at),
            ("is due", plan.deadline_at, mode.deadline),
        ):
            local = f"{instant.astimezone(ZoneInfo(NBA.zone)):%H:%M}"
            world.expect(local == declared, f"{what} at {local}, declared is {declared}", plan.run)
        usual = calendar.usual_start(mode, plan.run.date, NBA.zone)
        world.expect(usual == plan.started_at.replace(second=0, microsecond=0), f"usually starts at {usual}", plan.run)
    return world


def nothing_today(seed: int) -> World:
    """A day without games is a holiday; a day of which the dead schedule says nothing is not."""

    def behave(start: Start) -> Behaviour:
        dead = start.run == TOMORROW and start.processor == "schedule"
        return Behaviour(kind=Kind.FAIL, hard=True, fault="dead_scraper") if dead else Behaviour()

    world = live(replace(calm(seed, behave), games=lambda day: () if day == DAY else four_games(day)))
    expect_end(world, SAME_DAY, OutcomeKind.DONE, NOTHING_EXPECTED)
    expect_end(world, TOMORROW, OutcomeKind.FAIL)
    began = [start.id for start in starts_of(world, SAME_DAY) if start.processor != "schedule"]
    world.expect(not began, f"{began} were started for nothing", SAME_DAY)
    return world


# --- operators --------------------------------------------------------------------------------------------


def hold_in_flight(seed: int) -> World:
    """An operator's hold comes between a handler's look and its claim: the claim must see it."""
    held: list[str] = []

    def strike(call: Call) -> str:
        if call.verb == "claim" and call.run == str(OVERNIGHT) and call.topic.endswith("phase2-raw-complete"):
            about_to_open = len(world.stories[OVERNIGHT].facts) == 5
            if about_to_open and not held:
                held.append(call.run)
                world.hold(OVERNIGHT, 600)
        return ""

    world = World(replace(calm(seed), strike=strike), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    world.expect(bool(held), "nobody was about to claim", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("same-day-one-of-five", (1, 3), "a mode waits only for what it plans", same_day_one_of_five),
        Scenario("unknown-names", (2,), "strangers and optional ones alone open nothing", unknown_names),
        Scenario("not-yet", (3, 17), "data that cannot be there yet is looked for within a budget", not_yet),
        Scenario("crash-after-commit", (4,), "dead between latch and publish: sent by the sweep", crash_after_commit),
        Scenario(
            "crash-before-close", (4,), "dead between publish and close: sent twice, done once", crash_before_close
        ),
        Scenario("last-completion-redelivered", (5,), "a redelivered fact is weighed", last_completion_redelivered),
        Scenario("twin-writers", (6, 31), "all at once and twice: nothing lost, nothing doubled", twin_writers),
        Scenario("racing-join", (7,), "all orders of the last two: fired once, never zero times", racing_join),
        Scenario("twin-pending", (7,), "five meet, one dies: fired once", twin_pending),
        Scenario("killed-counts", (8,), "failed is a fact, not done", killed_counts),
        Scenario("late-after-quorum", (9,), "late input is made use of, once", late_after_quorum),
        Scenario("one-game-stuck", (13,), "the rest is published, the missing named", one_game_stuck),
        Scenario("three-silent-days", (14, 32), "the sweep alone brings every run through", three_silent_days),
        Scenario("phase-order", (27,), "nobody reads what is not there yet", phase_order),
        Scenario("asked-too-early", (27,), "nobody's word has it read what is not there yet", asked_too_early),
        Scenario("zombie-writes", (24,), "an older order never replaces a newer one's work", zombie_writes),
        Scenario("endless-retry", (18,), "three failures are the budget", endless_retry),
        Scenario("late-night", (27,), "the day waits for its night, not for ever, and says so", late_night),
        Scenario("replay-in-flight", (18, 24), "a replay is a new generation; the old one gives way", replay_in_flight),
        Scenario("corrected-later", (9,), "a look again that brings nothing changes nothing", corrected_later),
        Scenario(
            "asked-and-lost", (9, 32), "an attempt that was asked for is healed, or people are told", asked_and_lost
        ),
        Scenario("from-the-future", (33,), "a schedule means the day it was meant for", from_the_future),
        Scenario("skewed-dst", (34,), "local times over both changes of the clocks", skewed_dst),
        Scenario("nothing-today", (12,), "a holiday is not an alarm, a dead scraper is not a holiday", nothing_today),
        Scenario("hold-in-flight", (46,), "an operator's word counts from the moment it is given", hold_in_flight),
        Scenario("hold-past-giving-up", (46,), "what a hold held has its time after it", hold_past_giving_up),
        *DELIVERY_SCENARIOS,
        *READING_SCENARIOS,
        *WATCH_SCENARIOS,
        *ALARM_SCENARIOS,
        *BATCH_SCENARIOS,
    )
}
