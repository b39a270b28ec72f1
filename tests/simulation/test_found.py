"""Defects that random faults have found, each the shortest way to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from shared.core.messages import Nudge
from shared.core.model import RunKey, Start
from simulation.fate import Call, four_games
from simulation.scenarios import DAY, OVERNIGHT, calm, live
from simulation.work import Behaviour, Kind
from simulation.world import World


def broken(world: World) -> str:
    return "\n".join(f"{v.run} {v.rule}: {v.detail}" for v in world.violations.values())


def test_a_run_whose_schedule_is_superseded_still_knows_a_day_without_games() -> None:
    holiday = DAY - timedelta(days=2)

    def behave(start: Start) -> Behaviour:
        same_day = start.run == RunKey("nba", holiday, "same_day")
        return Behaviour(after_s=60 if same_day else 30)  # overnight, of higher precedence, writes first

    def games(day: date) -> tuple[str, ...]:
        return () if day == holiday else four_games(day)

    world = World(replace(calm(0, behave), games=games), DAY)
    world.schedule(1)
    sweep = Nudge(pipeline="nba", mode="", date="", scheduled_at=world.now, act="sweep")
    world.at(world.now, lambda: world.nudge(sweep))  # a fresh home: it begins the runs of two days at once
    world.go_on()
    assert not broken(world)


def test_what_was_made_of_a_partial_output_is_made_again_when_the_whole_one_is_back() -> None:
    def behave(start: Start) -> Behaviour:
        if start.run == OVERNIGHT and start.processor == "player_boxscores":
            if start.attempt == 1:
                return Behaviour(after_s=400)  # whole, though given up at 330 s; the gate opens on it
            if start.attempt == 2:
                return Behaviour(kind=Kind.PARTIAL, lacks=(start.units or ())[:2], after_s=60)  # replaces it
        return Behaviour(after_s=60)

    assert not broken(live(calm(0, behave)))


def test_a_fact_whose_handlers_all_die_is_weighed_within_two_minutes_of_the_last() -> None:
    def strike(call: Call) -> str:
        return "crash" if call.verb == "load" and "phase5" in call.topic else ""

    assert not broken(live(replace(calm(0), strike=strike)))
