"""Published incidents of what gates read before they open, by name: part of SCENARIOS."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shared.core.gate import COMPLETE
from shared.core.incident import STALLED
from shared.core.model import Outcome, OutcomeKind, Start
from shared.ports import Health, Stamp
from simulation.asked import VERSION
from simulation.fate import Fate, four_games
from simulation.scenario import DAY, OVERNIGHT, Scenario, begins_at, calm, expect_end, live
from simulation.work import Behaviour, make_rows, partition_of
from simulation.world import World

FIRST_ANSWER = timedelta(seconds=60)  # a bad one is asked again after it


def opened(world: World, gate: str) -> Outcome | None:
    found = [outcome for outcome in world.stories[OVERNIGHT].outcomes if outcome.gate == gate]
    world.expect(bool(found), f"{gate} never opened", OVERNIGHT)
    return found[0] if found else None


def last_report_at(world: World, phase: str) -> datetime:
    """When the last result of a phase was there."""
    facts = world.stories[OVERNIGHT].facts.values()
    return max(fact.received_at for fact in facts if fact.completion.phase == phase)


def liar(seed: int, processor: str, lacks: int) -> Fate:
    """One processor of the night reports all of its games and has written all but so many of them."""

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == processor:
            return Behaviour(lies=True, lacks=four_games(OVERNIGHT.date)[:lacks], hard=True, fault="lies")
        return Behaviour()

    return calm(seed, behave)


def expect_not_whole(world: World, names: str) -> None:
    """Nobody is told that the night is complete: it is published with what is missing, or a person is asked."""
    story = world.stories[OVERNIGHT]
    whole = [outcome for outcome in story.outcomes if outcome.kind is OutcomeKind.DONE and outcome.grade == COMPLETE]
    world.expect(not whole, "is published as complete", OVERNIGHT)
    said = " ".join(
        [each.reason for each in story.outcomes]
        + [f"{missing.processor}: {missing.why}" for each in story.outcomes for missing in each.missing]
    )
    world.expect(names in said, f"nothing names {names}", OVERNIGHT)
    final = story.final
    if final is None or final.kind is not OutcomeKind.DONE:
        told = [each for each in world.sink.told.values() if each.run == OVERNIGHT and each.alert.cause == STALLED]
        world.expect(len(told) == 1, f"{len(told)} incidents are told", OVERNIGHT)


def backfill_looks_fresh(seed: int) -> World:
    """All is written, a report says; what stands there is an older run's, and the night before has just been redone."""
    world = World(liar(seed, "player_boxscores", lacks=4), DAY)
    world.forget_before()
    world.schedule(1)

    def backfill() -> None:
        """Of the day before, and once into this very day: long ago, by a run that this one follows."""
        plan = world.stories[OVERNIGHT].plan
        processor = plan.phase_by_name["raw"].by_name["player_boxscores"]
        here = partition_of(processor)
        before = replace(here, first=here.first - timedelta(days=1), last=here.last - timedelta(days=1))
        rows = make_rows(processor, four_games(OVERNIGHT.date), {})
        old = Stamp(run=f"nba.{OVERNIGHT.date - timedelta(days=1)}.overnight.1", attempt=1, fence=1)
        world.warehouse.load(here, rows, old, "unit")
        world.warehouse.load(before, rows, old, "unit")

    world.at(begins_at(OVERNIGHT) + timedelta(seconds=40), backfill)
    world.go_on()
    expect_not_whole(world, "player_boxscores")
    return world


def green_on_incomplete(seed: int) -> World:
    """A success with one of four games: what is read back counts, not what is reported."""
    world = live(liar(seed, "player_boxscores", lacks=3))
    expect_not_whole(world, "player_boxscores")
    return world


def wrong_image(seed: int) -> World:
    """Behind a gate a service answers 200 and is another one: the gate asks again, and goes on with a warning."""

    def health(service: str, _: datetime) -> Health | None:
        if service != "analytics_processor":
            return None
        return Health(alive=True, ready=True, service="raw_processor", version=VERSION, config_hash="")

    world = live(replace(calm(seed), health=health))
    outcome = opened(world, "analytics")
    if outcome:
        waited = outcome.decided_at - last_report_at(world, "raw")
        world.expect(FIRST_ANSWER <= waited <= 3 * FIRST_ANSWER, f"waited {waited}", OVERNIGHT)
        world.expect("answers as raw_processor" in outcome.reason, f"opened: {outcome.reason}", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


def flapping_health(seed: int) -> World:
    """Services are not ready for half a minute in every two: no gate stays shut for it, and nobody is woken."""
    asked: dict[str, datetime] = {}

    def health(service: str, now: datetime) -> Health | None:
        since = asked.setdefault(service, now)
        if (now - since) % timedelta(minutes=2) >= timedelta(seconds=30):
            return None
        return Health(alive=True, service=service, version=VERSION, why="is not ready: warming up")

    world = live(replace(calm(seed), health=health))
    world.expect(len(asked) >= 4, f"asked were {sorted(asked)}")
    outcome = opened(world, "analytics")
    if outcome:
        waited = outcome.decided_at - last_report_at(world, "raw")
        world.expect(FIRST_ANSWER <= waited <= 3 * FIRST_ANSWER, f"waited {waited}", OVERNIGHT)
        world.expect("warned" not in outcome.reason, f"opened: {outcome.reason}", OVERNIGHT)
    world.expect(not world.sink.told, f"people were told {len(world.sink.told)} times")
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world


READING_SCENARIOS = (
    Scenario("backfill-looks-fresh", (10,), "another run's rows satisfy nobody", backfill_looks_fresh),
    Scenario("green-on-incomplete", (11,), "what is read back counts, not what is reported", green_on_incomplete),
    Scenario("wrong-image", (40,), "a 200 from another service is no answer", wrong_image),
    Scenario("flapping-health", (40, 42), "one bad answer is a hiccup, and no alarm", flapping_health),
)
