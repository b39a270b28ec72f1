"""Published incidents of delivery, deploys and contracts by name: part of SCENARIOS.

Past 400 lines because it is a list: one function for each incident, each to be read by itself.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from shared.config.functions import NUDGE_TOPIC, functions_of
from shared.config.nba import ANALYTICS, NBA, RAW
from shared.core.codec import encode
from shared.core.gate import COMPLETE, DEGRADED
from shared.core.messages import Message, completion_message
from shared.core.model import Completion, OutcomeKind, PipelineSpec, RunKey, Start, Status
from simulation.fate import TICK_S, Call
from simulation.scenario import (
    DAY,
    OVERNIGHT,
    SAME_DAY,
    TOMORROW,
    Scenario,
    begins_at,
    calm,
    expect_end,
    expect_first_attempts,
    starts_of,
)
from simulation.spells import bodies, garbage
from simulation.work import Behaviour, Kind
from simulation.world import World

RUNS = (OVERNIGHT, SAME_DAY, TOMORROW)
SWEEP = b'"sweep"'

# --- deploys ------------------------------------------------------------------------------------------------


def mid_day_threshold_change(seed: int) -> World:
    """While the day's run is open a deploy asks for more: it goes on as it began, the next goes by the new word."""

    def behave(start: Start) -> Behaviour:
        mute = start.run in (SAME_DAY, TOMORROW) and start.processor == "upcoming_team_game_context"
        return Behaviour(kind=Kind.HANG) if mute else Behaviour()

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)
    world.at(begins_at(SAME_DAY) + timedelta(seconds=30), lambda: world.deploy(stricter(NBA)))
    world.go_on()
    for run in (SAME_DAY, TOMORROW):
        expect_end(world, run, OutcomeKind.DONE, DEGRADED)
    before, after = (world.stories[run].plan.phase_by_name["analytics"] for run in (SAME_DAY, TOMORROW))
    world.expect((before.quorum, after.quorum) == (0.5, 1.0), f"quorums are {before.quorum} and {after.quorum}")
    waited = {run: opened_at(world, run, "precompute") - opened_at(world, run, "analytics") for run in RUNS[1:]}
    world.expect(waited[SAME_DAY] < timedelta(minutes=15), f"waited {waited[SAME_DAY]}", SAME_DAY)
    world.expect(waited[TOMORROW] > timedelta(minutes=20), f"waited {waited[TOMORROW]} only", TOMORROW)
    return world


def stricter(spec: PipelineSpec) -> PipelineSpec:
    """Every optional one of analytics is wanted before its gate opens."""
    phases = tuple(
        replace(phase, quorum=1.0, quorum_by_mode={}) if phase.name == ANALYTICS.name else phase
        for phase in spec.phases
    )
    return replace(spec, phases=phases)


def opened_at(world: World, run: RunKey, gate: str) -> datetime:
    """When a gate first opened; the end of the world where it never did."""
    return next((o.decided_at for o in world.stories[run].outcomes if o.gate == gate), world.now)


def redeploy_gap(seed: int) -> World:
    """Each function is deployed anew as the first message of a day comes to it, and has no subscription for a while."""
    told: set[str] = set()
    function_of = {topic: function.name for function in functions_of(NBA.name) for topic in function.listens}

    def carry(message: Message) -> tuple[float, ...]:
        if message.topic not in told and SWEEP not in message.data:
            told.add(message.topic)
            world.after(0.001, lambda: world.redeploy(function_of[message.topic], gap_s=20))
        return (0.0,)

    world = World(replace(calm(seed), carry=carry), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    world.expect(world.faults["redeploy"] >= 14, f"{world.faults['redeploy']} functions were deployed anew")
    for run in RUNS:
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
    return world


# --- messages ------------------------------------------------------------------------------------------------


def poison_event(seed: int) -> World:
    """On every topic what can never be read, and one report that the store never takes: kept once, and visible."""

    def strike(call: Call) -> str:
        mine = call.verb == "append" and (call.run, call.processor) == (str(OVERNIGHT), "team_boxscores")
        return "error" if mine and world.now < until else ""

    world = World(replace(calm(seed), strike=strike), DAY)
    until = begins_at(OVERNIGHT) + timedelta(minutes=12)
    world.forget_before()
    world.schedule(1)
    heard = {(function.name, topic) for function in functions_of(NBA.name) for topic in function.listens}
    heard.remove(("prediction_coordinator", NUDGE_TOPIC))  # it asks nobody as long as no batch is open
    world.at(begins_at(OVERNIGHT) + timedelta(seconds=70), lambda: world.arrive(garbage()))
    world.go_on()
    kept = len(world.quarantined)
    wanted = len(heard) * len(bodies())
    world.expect(kept == wanted, f"{kept} of {wanted} hopeless messages are kept")
    dead = [delivery for delivery, _ in world.sqlite.bus.dead_letters(100)]
    names = [delivery.attributes.get("processor") for delivery in dead]
    world.expect(names[-1:] == ["team_boxscores"], f"dead letters: {names}")
    told = [error for _, error in world.sqlite.bus.dead_letters(100)]
    world.expect(all("append is unavailable" in error for error in told), f"their errors: {told}")
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    for run in (SAME_DAY, TOMORROW):
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    again = world.sqlite.bus.redrive([delivery.id for delivery in dead], world.now)
    world.expect(len(again) == len(dead) > 0, f"{len(again)} of {len(dead)} dead letters could be sent again")
    return world


def swallowed_error(seed: int) -> World:
    """The store and the bus say no once to every call that a report makes a gate do: each comes again."""
    struck: set[tuple[str, str, int]] = set()

    def strike(call: Call) -> str:
        step = (call.topic, call.verb, call.number)
        gave_up = call.verb == "ack" and call.number < 3  # an error has ended it: it must not come again for another
        if not call.topic.endswith("-complete") or step in struck or gave_up:
            return ""
        struck.add(step)
        return "error"

    world = World(replace(calm(seed), strike=strike), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    world.expect(len(struck) > 40, f"said no {len(struck)} times only")
    for run in RUNS:
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


def crash_after_mark(seed: int) -> World:
    """Gates die once before every single call that a report makes them do, whatever is written by then."""
    struck: set[tuple[str, str, int]] = set()

    def strike(call: Call) -> str:
        step = (call.topic, call.verb, call.number)
        if not call.topic.endswith("-complete") or step in struck:
            return ""
        struck.add(step)
        return "crash"

    world = World(replace(calm(seed), strike=strike), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    verbs = {verb for _, verb, _ in struck}
    needed = {"append", "load", "claim", "publish", "close", "ack"}
    world.expect(needed <= verbs, f"never died at {sorted(needed - verbs)}")
    for run in RUNS:
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


def slow_ack(seed: int) -> World:
    """Every handler stands still, somewhere, for longer than its message is held for it: there are two at once."""
    dice = random.Random(seed)
    slow: dict[tuple[str, str], int] = {}

    def pause_s(call: Call) -> float:
        if call.topic.endswith("-complete") and call.attempt == 1:
            at = slow.setdefault((call.topic, call.run), dice.randint(1, 5))
            if call.number == at:
                return dice.uniform(61, 75)
        return dice.random() * TICK_S

    world = World(replace(calm(seed), pause_s=pause_s), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    world.expect(world.faults["stall"] > 30, f"stood still {world.faults['stall']} times only")
    for run in RUNS:
        expect_end(world, run, OutcomeKind.DONE, COMPLETE)
        expect_first_attempts(world, run)
    return world


COPIES = 100  # of each of a phase's three reports


def hot_document(seed: int) -> World:
    """Three hundred completions of one run within ten seconds: they write what is new, and nothing again and again."""
    dice, calls = random.Random(seed), Counter[str]()

    def carry(message: Message) -> tuple[float, ...]:
        if message.topic == RAW.completion_topic and message.attributes["run"] == str(OVERNIGHT):
            return tuple(dice.uniform(0, 10) for _ in range(COPIES))
        return (0.0,)

    def strike(call: Call) -> str:
        if call.topic == RAW.completion_topic and call.run == str(OVERNIGHT):
            calls[call.verb] += 1
        return ""

    world = World(replace(calm(seed), carry=carry, strike=strike), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    heard = 3 * COPIES
    world.expect(calls["append"] == heard, f"{calls['append']} of {heard} were heard", OVERNIGHT)
    writes = calls["claim"] + calls["publish"] + calls["close"]
    world.expect(writes <= 30, f"{writes} writes for three facts", OVERNIGHT)
    world.expect(calls["load"] <= 2 * heard, f"looked {calls['load']} times", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    expect_first_attempts(world)
    return world


def contract_break(seed: int) -> World:
    """A release reports in words that nobody here knows: each is kept with what is wrong, and what it wrote counts."""

    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "player_boxscores":
            world.after(31, lambda: world.arrive([in_other_words(start)]))
            return Behaviour(kind=Kind.MUTE)
        return Behaviour()

    world = World(calm(seed, behave), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    reasons = list(world.quarantined.values())
    named = [reason for reason in reasons if "schema_version" in reason]
    world.expect(len(named) == len(reasons) == 1, f"kept for a person: {reasons}", OVERNIGHT)
    dead = world.sqlite.bus.dead_letters(100)
    world.expect(not dead, f"{len(dead)} came again and again", OVERNIGHT)
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    attempts = [start.attempt for start in starts_of(world, OVERNIGHT, "player_boxscores")]
    world.expect(attempts == [1], f"attempts {attempts}", OVERNIGHT)
    return world


def in_other_words(start: Start) -> Message:
    """A report of the contract to come."""
    completion = Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=Status.SUCCESS,
    )
    message = completion_message(completion, RAW.completion_topic)
    return replace(message, data=encode(completion).replace(b"{", b'{"schema_version":2,', 1))


DELIVERY_SCENARIOS = (
    Scenario("mid-day-threshold-change", (16,), "a run goes by the plan it began with", mid_day_threshold_change),
    Scenario("redeploy-gap", (32,), "what a new subscription never got is done again", redeploy_gap),
    Scenario("poison-event", (29,), "what can never work is kept once, visible, and harms nobody", poison_event),
    Scenario("swallowed-error", (29,), "an error hands the message back", swallowed_error),
    Scenario("crash-after-mark", (30,), "the fact itself is the mark", crash_after_mark),
    Scenario("slow-ack", (31,), "two copies at once are harmless", slow_ack),
    Scenario("hot-document", (37,), "hundreds of reports write only what is new", hot_document),
    Scenario("contract-break", (38,), "a report in other words is kept, with what is wrong", contract_break),
)
