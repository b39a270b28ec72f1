"""Published incidents of batches by name, each as a world with exactly that fault: part of SCENARIOS.

Past 400 lines because it is a list: one function for each incident, each to be read by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

from shared.config.functions import (
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    PREDICTION_REQUEST_TOPIC,
    PREDICTION_START_TOPIC,
)
from shared.core.batch import ChunkOrder, SealKind
from shared.core.gate import COMPLETE, DEGRADED
from shared.core.messages import Message
from shared.core.model import Act, OutcomeKind, RunKey, Start, Status
from shared.ports import Written
from shared.service import Refusal
from simulation.fate import TICK_S, Call, Fate
from simulation.scenario import (
    DAY,
    OVERNIGHT,
    SAME_DAY,
    TOMORROW,
    Scenario,
    calm,
    expect_end,
    expect_first_attempts,
    starts_of,
)
from simulation.story import BatchStory
from simulation.work import Behaviour, Ending, Labour, partition_of, players_of
from simulation.world import World

COORDINATOR = (PREDICTION_START_TOPIC, PREDICTION_READY_TOPIC, NUDGE_TOPIC)
BATCHES = (SAME_DAY, TOMORROW)

Work = Callable[[ChunkOrder], Labour]


def ten_games(day: date) -> tuple[str, ...]:
    """Twenty units: three chunks, of which the last waits for one of the others."""
    return tuple(f"{day:%m%d}-g{number:02}" for number in range(10))


def sixty_games(day: date) -> tuple[str, ...]:
    """Fifteen chunks, of which two are under way at once."""
    return tuple(f"{day:%m%d}-g{number:02}" for number in range(60))


UNITS = players_of(ten_games(DAY))


def batched(seed: int, labour: Work = lambda _: Labour()) -> Fate:
    """A calm world whose batches have several chunks."""
    return replace(calm(seed), games=ten_games, labour=labour)


def on_the_day(labour: Work) -> Work:
    """Only in the first batch of the day's run; all others are done as they should."""

    def work(order: ChunkOrder) -> Labour:
        first = order.start.run == SAME_DAY and order.start.attempt == 1
        return labour(order) if first else Labour()

    return work


def play(fate: Fate, plan: Callable[[World], None] = lambda _: None) -> World:
    """One day; `plan` says what else is to happen in it."""
    world = World(fate, DAY)
    world.forget_before()
    world.schedule(1)
    plan(world)
    world.go_on()
    return world


def batch_of(world: World, run: RunKey = SAME_DAY, attempt: int = 1) -> BatchStory | None:
    story = world.batches.stories.get(f"{run}/predictions/{attempt}")
    world.expect(story is not None and story.closed is not None, f"batch {attempt} is not there, or not closed", run)
    return story if story and story.closed else None


def expect_batch(
    world: World, status: Status, kind: SealKind = SealKind.ENDED, *, run: RunKey = SAME_DAY, attempt: int = 1
) -> BatchStory | None:
    story = batch_of(world, run, attempt)
    completion = story.closed.completion if story and story.closed else None
    if story is None or story.closed is None or completion is None:
        return None
    said = f"batch {attempt} ended {story.closed.kind} {completion.status}: {completion.reason}"
    world.expect((story.closed.kind, completion.status) == (kind, status), f"expected {kind} {status}, {said}", run)
    return story


def expect_missing(world: World, units: set[str], attempt: int = 1) -> None:
    story = batch_of(world, attempt=attempt)
    completion = story.closed.completion if story and story.closed else None
    named = set(completion.missing) if completion else set()
    world.expect(named == units, f"batch {attempt} names {sorted(named)} as missing, not {sorted(units)}", SAME_DAY)


def expect_once(world: World, run: RunKey) -> None:
    """Every unit was ordered once, and what they gave was merged once."""
    story = batch_of(world, run)
    if story:
        again = [order for order in story.orders if order.number > 1]
        world.expect(not again, f"{len(again)} orders were given again", run)
        world.expect(len(story.merged) == 1, f"merged {len(story.merged)} times", run)


def expect_all_complete(world: World) -> None:
    for run in (OVERNIGHT, *BATCHES):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)


def took(story: BatchStory) -> timedelta:
    """From its beginning until its end was told."""
    assert story.published, f"{story.batch.id} was told of"
    return story.published[0][0] - story.batch.created_at


def stands(world: World, run: RunKey = SAME_DAY) -> Written | None:
    """What a run's predictions are, where they are read."""
    processor = world.stories[run].plan.phase_by_name["predictions"].by_name["predictions"]
    there = world.warehouse.read(partition_of(processor), str(run))
    return there[1] if there else None


def rows_of(world: World) -> int:
    there = stands(world)
    return there.rows if there else 0


def operator(world: World, reason: str, until: datetime | None = None) -> Act:
    return Act(actor="operator", reason=reason, at=world.now, until=until)


# --- units and their workers ------------------------------------------------------------------------------


def mute_units(seed: int) -> World:
    """One unit is never mentioned, one fails for now each time, one cannot be done; one order is swallowed."""
    mute, failing, unknown = UNITS[0], UNITS[9], UNITS[17]

    def labour(order: ChunkOrder) -> Labour:
        endings = {mute: Ending.UNMENTIONED, failing: Ending.PASSING, unknown: Ending.SKIPPED}
        return Labour(endings=endings, silent=order.chunk == 2 and order.number == 1)

    world = play(batched(seed, on_the_day(labour)))
    expect_batch(world, Status.PARTIAL)
    expect_missing(world, {mute, failing})
    expect_batch(world, Status.SUCCESS, attempt=2)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    return world


def stuck_at_zero(seed: int) -> World:
    """Nobody works on a large batch, or on half of it: at its deadline it is ended, and somebody is told."""
    half = play(
        replace(batched(seed, on_the_day(lambda order: Labour(silent=order.chunk % 2 == 1))), games=sixty_games)
    )
    world = play(replace(batched(seed, on_the_day(lambda _: Labour(silent=True))), games=sixty_games))
    for each in (half, world):
        story = expect_batch(each, Status.FAILED, SealKind.EXPIRED)
        if story and story.closed:
            late = story.closed.at - story.batch.deadline_at
            each.expect(late <= timedelta(minutes=1), f"ended {late} after its deadline", SAME_DAY)
            each.expect(bool(story.closed.incident), "nobody is told", SAME_DAY)
        expect_batch(each, Status.SUCCESS, attempt=2)
        expect_end(each, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    world.violations.update(half.violations)
    return world


def late_units(seed: int) -> World:
    """One worker answers when its order has been given again, one when the batch has been sealed by a person."""

    def labour(order: ChunkOrder) -> Labour:
        return Labour(after_s={0: 200.0, 1: 700.0}.get(order.chunk, 10.0))

    sealed: list[object] = []

    def seal(world: World) -> None:
        begun = world.batches.stories.get(f"{SAME_DAY}/predictions/1")
        if begun is None or world.now < begun.batch.created_at + timedelta(seconds=300):
            world.after(30, lambda: seal(world))
            return
        act = operator(world, "the page cannot wait")
        sealed.append(world.batches.coordinator.end_by(begun.batch.id, SealKind.SEALED, act))

    world = play(batched(seed, on_the_day(labour)), seal)
    world.expect(not isinstance(sealed[0], Refusal), f"was refused: {sealed[0]}", SAME_DAY)
    story = expect_batch(world, Status.PARTIAL, SealKind.SEALED)
    expect_missing(world, set(UNITS[8:16]))
    world.expect(story is not None and story.late > 0, "nothing came after the seal", SAME_DAY)
    expect_batch(world, Status.SUCCESS, attempt=2)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    return world


def shrinking_batch(seed: int) -> World:
    """Two games are called off while the batch is at work on their players: a smaller batch is made, and stands."""
    off = ("0115-called", "0115-off")

    def behave(start: Start) -> Behaviour:
        rumour = start.run == SAME_DAY and start.processor == "schedule" and start.attempt == 1
        return Behaviour(after_s=5, more=off if rumour else ())

    def look_again(world: World) -> None:
        if f"{SAME_DAY}/predictions/1" not in world.batches.stories:
            world.after(10, lambda: look_again(world))
            return
        ordered = world.service.look_again(SAME_DAY)
        world.expect(not isinstance(ordered, Refusal), f"no look again: {ordered}", SAME_DAY)

    def labour(order: ChunkOrder) -> Labour:
        return Labour(after_s=110 if order.start.attempt == 1 else 140)  # the older one is the first to merge

    fate = replace(batched(seed, labour), behave=lambda _, start: behave(start))
    world = play(fate, look_again)
    first = batch_of(world)
    world.expect(first is not None and first.batch.total == 24, "did not begin with all that were announced", SAME_DAY)
    story = expect_batch(world, Status.SUCCESS, attempt=2)
    if first and first.closed and story:
        world.expect(len(first.merged) == 1, "the older one has merged nothing", SAME_DAY)
        world.expect(story.batch.created_at < first.closed.at, "began when the first had ended", SAME_DAY)
        world.expect(story.batch.total == 20, f"batch 2 has {story.batch.total} units, 20 are left", SAME_DAY)
    world.expect(rows_of(world) == 20, f"{rows_of(world)} units stand, 20 are left", SAME_DAY)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    return world


def poison_unit(seed: int) -> World:
    """One unit kills every worker that comes to it: its neighbours are done, it expires alone."""
    poison = UNITS[3]

    def labour(order: ChunkOrder) -> Labour:
        poisoned = order.start.run == SAME_DAY and poison in [unit.id for unit in order.units]
        return Labour(endings={poison: Ending.KILLS}, hard=True, fault="poison") if poisoned else Labour()

    world = play(batched(seed, labour))
    expect_batch(world, Status.PARTIAL, SealKind.EXPIRED)
    expect_missing(world, {poison})
    expect_end(world, SAME_DAY, OutcomeKind.DONE, DEGRADED)
    dead = [delivery.topic for delivery, _ in world.sqlite.bus.dead_letters(100)]
    world.expect(PREDICTION_REQUEST_TOPIC in dead, "its orders are not among the dead letters", SAME_DAY)
    return world


def every_worker_once(seed: int) -> World:
    """Every worker dies once with each of its orders, at a unit or at a call to a port: the order comes again."""
    dice = random.Random(seed)
    seen: set[str] = set()
    struck: set[tuple[str, str, int]] = set()

    def labour(order: ChunkOrder) -> Labour:
        name = f"{order.batch}/{order.chunk}/{order.number}"
        if name in seen:
            return Labour()
        seen.add(name)
        return Labour(endings={dice.choice(order.units).id: Ending.KILLS})

    def strike(call: Call) -> str:
        step = (call.run, call.verb, call.number)
        if call.topic != PREDICTION_REQUEST_TOPIC or call.attempt == 1 or step in struck:
            return ""
        struck.add(step)
        return "crash"

    world = play(replace(batched(seed, labour), strike=strike))
    world.expect(len(struck) >= 8, f"died at {len(struck)} calls only")
    expect_all_complete(world)
    for run in BATCHES:
        expect_once(world, run)
    return world


def half_permanent(seed: int) -> World:
    """Half of the units can never be done: each is tried once in a batch, and named to the end."""
    bad = set(UNITS[::2])

    def labour(order: ChunkOrder) -> Labour:
        mine = order.start.run == SAME_DAY
        return Labour(endings=dict.fromkeys(bad, Ending.FAILED) if mine else {})

    world = play(batched(seed, labour))
    story = expect_batch(world, Status.PARTIAL)
    expect_missing(world, bad)
    again = [order for order in story.orders if order.number > 1] if story else []
    world.expect(not again, f"{len(again)} orders were given again", SAME_DAY)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, DEGRADED)
    final = world.stories[SAME_DAY].final
    named = {unit for missing in final.missing for unit in missing.units} if final else set()
    world.expect(bad <= named, f"the run names {sorted(named)}", SAME_DAY)
    return world


# --- messages and coordinators ----------------------------------------------------------------------------


def messages_torn(seed: int) -> World:
    """Of the workers' words a tenth is lost, a fifth doubled, all in disorder; and once every one of them is lost."""
    dice = random.Random(seed)
    copies: list[int] = []  # of the next words: of any ten one is lost, two are doubled

    def torn(message: Message) -> tuple[float, ...]:
        if message.topic != PREDICTION_READY_TOPIC:
            return (dice.uniform(0.1, 10.0),) if message.topic == PREDICTION_REQUEST_TOPIC else (0.0,)
        if not copies:
            copies.extend(dice.sample((0, 2, 2, 1, 1, 1, 1, 1, 1, 1), 10))
        return tuple(dice.uniform(0.1, 40.0) for _ in range(copies.pop()))

    def deaf(message: Message) -> tuple[float, ...]:
        return () if message.topic == PREDICTION_READY_TOPIC else (0.0,)

    world = play(replace(batched(seed), games=sixty_games, carry=torn))
    silent = play(replace(batched(seed), carry=deaf))  # a look lets out two chunks: of sixty games it takes many
    for each in (world, silent):
        each.expect(each.faults["lost"] >= 2, f"{each.faults['lost']} words were lost")
        expect_all_complete(each)
        for run in BATCHES:
            expect_once(each, run)
            story = batch_of(each, run)
            within = story is not None and took(story) < timedelta(minutes=10)
            each.expect(within, f"took {took(story) if story else 'for ever'}", run)
    world.violations.update(silent.violations)
    return world


def coordinator_restart(seed: int) -> World:
    """The coordinator dies once before every single call that it makes, whatever wakes it.

    Others hear the timer too: what they publish is known by what they did just before, and is none of its own.
    """
    struck: set[tuple[str, str, int]] = set()
    made: dict[tuple[str, int], str] = {}

    def strike(call: Call) -> str:
        step = (call.topic, call.verb, call.number)
        made[call.topic, call.number] = call.verb
        before = made.get((call.topic, call.number - 1), "")
        mine = _is_coordinators(call.verb) or (call.verb in ("publish", "ack") and _is_coordinators(before))
        if call.topic not in COORDINATOR or not mine or step in struck:
            return ""
        struck.add(step)
        return "crash"

    world = play(replace(batched(seed), strike=strike))
    verbs = {verb for _, verb, _ in struck}
    needed = {"batch_load", "batch_create", "batch_order", "batch_seal", "batch_close", "merge", "gather", "publish"}
    world.expect(needed <= verbs, f"it never died at {sorted(needed - verbs)}")
    expect_all_complete(world)
    return world


def _is_coordinators(verb: str) -> bool:
    return verb.startswith("batch_") or verb in ("gather", "merge", "standing")


def two_coordinators(seed: int) -> World:
    """Two coordinators hear everything at the same moment: one batch, one seal, one effect."""
    dice = random.Random(seed)

    def pause_s(call: Call) -> float:
        """A MERGE takes long enough for the other to come to it."""
        return 0.9 if call.verb == "merge" else dice.random() * TICK_S

    world = play(replace(batched(seed), carry=lambda _: (0.0, 0.0), pause_s=pause_s))
    expect_all_complete(world)
    for run in BATCHES:
        story = batch_of(world, run)
        again = [order for order in story.orders if order.number > 1] if story else []
        world.expect(not again, f"{len(again)} orders were given again", run)
        world.expect(story is not None and len(story.merged) == 1, "both consolidated", run)
    return world


def concurrent_consolidation(seed: int) -> World:
    """Who consolidates stands still for longer than its lease; another does, and then the first one wakes."""
    dice, stood_still = random.Random(seed), set[str]()

    def pause_s(call: Call) -> float:
        if call.verb == "merge" and call.topic == PREDICTION_READY_TOPIC and call.run not in stood_still:
            stood_still.add(call.run)
            return 150.0
        return dice.random() * TICK_S

    world = play(replace(batched(seed), pause_s=pause_s))
    expect_all_complete(world)
    for run in BATCHES:
        story = expect_batch(world, Status.SUCCESS, run=run)
        merges = len(story.merged) if story else 0
        world.expect(merges == 2, f"consolidated {merges} times, not twice", run)
    return world


# --- what a batch needs, and what it writes -----------------------------------------------------------------


def zombie_batch(seed: int) -> World:
    """A batch without one unit stands still at its MERGE, whoever takes it up, until its successor has merged."""
    dice, world_of = random.Random(seed), list[World]()

    def pause_s(call: Call) -> float:
        """Until the start of the first has had its time, and the second, which no timer takes up, has been done."""
        first, second = (world_of[0].batches.stories.get(f"{SAME_DAY}/predictions/{n}") for n in (1, 2))
        own = second is not None and (second.merged or call.topic != NUDGE_TOPIC)
        if call.verb != "merge" or first is None or own:
            return dice.random() * TICK_S
        wakes_at = first.batch.created_at + timedelta(seconds=first.batch.start.timeout_s + 600)
        return max(0.0, (wakes_at - world_of[0].now).total_seconds())

    work = on_the_day(lambda _: Labour(endings={UNITS[0]: Ending.FAILED}))
    world = play(replace(batched(seed, work), pause_s=pause_s), world_of.append)
    story = batch_of(world)
    world.expect(story is not None and not story.merged, "the zombie has merged", SAME_DAY)
    expect_batch(world, Status.SUCCESS, attempt=2)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    return world


def empty_export(seed: int) -> World:
    """A published batch is ordered again twice: once all its units fail, once they give no rows. It stands.

    So does nothing of another run's first batch, all of whose units fail.
    """

    def labour(order: ChunkOrder) -> Labour:
        run, attempt = order.start.run, order.start.attempt
        endings = {(TOMORROW, 1): Ending.FAILED, (SAME_DAY, 2): Ending.FAILED, (SAME_DAY, 3): Ending.EMPTY}
        if (run, attempt) not in endings:
            return Labour()
        return Labour(endings=dict.fromkeys([unit.id for unit in order.units], endings[run, attempt]))

    def again(world: World) -> None:
        for hours in (1, 2):
            world.at(world.begins_at + timedelta(hours=12 + hours), lambda: order_again(world))

    def order_again(world: World) -> None:
        ordered = world.service.again(SAME_DAY, "predictions", "predictions", operator(world, "looks wrong"))
        world.expect(not isinstance(ordered, Refusal), f"refused: {ordered}", SAME_DAY)

    world = play(batched(seed, labour), again)
    first = expect_batch(world, Status.SUCCESS)
    for attempt, status in ((2, Status.NOT_READY), (3, Status.FAILED)):
        story = expect_batch(world, status, attempt=attempt)
        world.expect(story is not None and not story.merged, f"attempt {attempt} merged", SAME_DAY)
    there = stands(world)
    kept = there is not None and first is not None and [there.digest] == first.merged
    world.expect(kept, f"what was good has been replaced by {there}", SAME_DAY)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    story = expect_batch(world, Status.FAILED, run=TOMORROW)
    world.expect(story is not None and not story.merged, "nothing was merged", TOMORROW)
    expect_end(world, TOMORROW, OutcomeKind.DONE, COMPLETE)
    return world


def quality_gate_down(seed: int) -> World:
    """Nobody can tell how complete two units' inputs are: they wait for a person's word, which ends by itself."""
    unknown = set(UNITS[:2])

    def share(start: Start, unit: str, _: bool) -> float | None:
        return None if unit in unknown or (start.run == TOMORROW and unit.endswith("g00-p0")) else 1.0

    def allow(world: World, run: RunKey, until: timedelta) -> None:
        allowed = world.service.allow_poor(run, operator(world, "the probe is down", world.now + until))
        world.expect(not isinstance(allowed, Refusal), f"refused: {allowed}", run)

    def plan(world: World) -> None:
        world.at(world.begins_at + timedelta(hours=11), lambda: allow(world, SAME_DAY, timedelta(hours=1)))
        world.at(
            world.begins_at + timedelta(hours=17, minutes=1), lambda: allow(world, TOMORROW, timedelta(seconds=30))
        )

    world = play(replace(batched(seed), share=share), plan)
    story = expect_batch(world, Status.PARTIAL)
    expect_missing(world, unknown)
    ordered = {unit.id for chunk in story.chunks for unit in chunk.units} if story else set()
    world.expect(not ordered & unknown, "units were worked on that nobody knew enough of", SAME_DAY)
    last = max(start.attempt for start in starts_of(world, SAME_DAY, "predictions"))
    story = expect_batch(world, Status.SUCCESS, attempt=last)
    word = story.batch.override if story else None
    world.expect(word is not None and word.actor == "operator", "the batch does not say by whose word", SAME_DAY)
    expect_end(world, SAME_DAY, OutcomeKind.DONE, COMPLETE)
    expect_batch(world, Status.PARTIAL, run=TOMORROW)
    expect_end(world, TOMORROW, OutcomeKind.DONE, DEGRADED)
    return world


def quota_wall(seed: int) -> World:
    """The warehouse takes no MERGE for five minutes: the batch waits, and writes once."""
    refused: list[datetime] = []
    world_of: list[World] = []

    def strike(call: Call) -> str:
        if call.verb != "merge":
            return ""
        now = world_of[0].now
        if not refused or now < refused[0] + timedelta(minutes=5):
            refused.append(now)
            return "error"
        return ""

    world = play(replace(batched(seed), strike=strike), world_of.append)
    expect_all_complete(world)
    expect_once(world, SAME_DAY)
    story = batch_of(world)
    after = took(story) if story else timedelta()
    world.expect(timedelta(minutes=5) < after < timedelta(minutes=8), f"ended after {after}", SAME_DAY)
    world.expect(len(refused) <= 6, f"asked {len(refused)} times in five minutes", SAME_DAY)
    return world


def away_at_begin(seed: int) -> World:
    """The warehouse is away for five minutes as a batch wants to begin: its start comes again, then another attempt."""
    refused: list[datetime] = []
    world_of: list[World] = []

    def strike(call: Call) -> str:
        now = world_of[0].now
        if call.verb != "gather" or (refused and now >= refused[0] + timedelta(minutes=5)):
            return ""
        refused.append(now)
        return "error"

    world = play(replace(batched(seed), strike=strike), world_of.append)
    for run in (OVERNIGHT, *BATCHES):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
    final = world.stories[SAME_DAY].final
    after = final.decided_at - refused[0] if final else timedelta.max
    world.expect(after < timedelta(minutes=10), f"through after {after}", SAME_DAY)
    world.expect(2 <= len(refused) <= 30, f"asked {len(refused)} times in five minutes", SAME_DAY)
    tried = max(start.attempt for start in starts_of(world, SAME_DAY, "predictions"))
    world.expect(tried <= 2, f"took {tried} attempts: what may pass uses none up for three minutes", SAME_DAY)
    return world


def column_missing(seed: int) -> World:
    """The table lacks a column until the afternoon: no batch begins, nothing is ordered, and the reason is told."""
    world_of: list[World] = []

    def misfit() -> str:
        world = world_of[0]
        if world.now > world.begins_at + timedelta(hours=16):
            return ""
        world.stories[SAME_DAY].excused = "column missing"
        world.fault("misfit", str(SAME_DAY))
        return "predictions: column value is not there"

    world = play(replace(batched(seed), misfit=misfit), world_of.append)
    world.expect(f"{SAME_DAY}/predictions/1" not in world.batches.stories, "a batch began", SAME_DAY)
    reasons = {fact.completion.reason for fact in world.stories[SAME_DAY].facts_of["predictions"]}
    told = [reason for reason in reasons if "column value is not there" in reason]
    world.expect(bool(told) and len(told) == len(reasons), f"the reasons are {sorted(reasons)}", SAME_DAY)
    expect_end(world, SAME_DAY, OutcomeKind.FAIL)
    expect_end(world, TOMORROW, OutcomeKind.DONE, COMPLETE)
    return world


BATCH_SCENARIOS = (
    Scenario("mute-units", (19,), "every unit ends once, whatever its workers leave out", mute_units),
    Scenario("stuck-at-zero", (20,), "a deadline belongs to every batch, at 0 % too", stuck_at_zero),
    Scenario("late-units", (21,), "late units count until the seal; then the gate's next look brings them", late_units),
    Scenario(
        "shrinking-batch", (22,), "fewer units are expected: a smaller batch is made, and stands", shrinking_batch
    ),
    Scenario(
        "concurrent-consolidation", (23, 24), "two consolidate the same batch: one effect", concurrent_consolidation
    ),
    Scenario("coordinator-restart", (25,), "killed once at every step, it goes on from the store", coordinator_restart),
    Scenario("two-coordinators", (23, 25), "two hear everything: one batch, one seal", two_coordinators),
    Scenario("empty-export", (28,), "a batch that gives nothing replaces nothing", empty_export),
    Scenario("quality-gate-down", (15,), "what nobody can vouch for waits, or goes by a word", quality_gate_down),
    Scenario("quota-wall", (36,), "five minutes without a MERGE: the batch waits, and writes once", quota_wall),
    Scenario("away-at-begin", (35, 36), "no batch can begin for five minutes: it begins then", away_at_begin),
    Scenario("poison-unit", (19, 29), "a unit that kills its workers ends alone", poison_unit),
    Scenario(
        "every-worker-once", (30, 31), "every worker dies once, at every step: the order comes again", every_worker_once
    ),
    Scenario("messages-torn", (32,), "words lost, doubled, in disorder, or all lost: the store knows", messages_torn),
    Scenario("half-permanent", (18, 19), "what fails for good is tried once, and named", half_permanent),
    Scenario("column-missing", (45,), "what could not be written is not begun", column_missing),
)
