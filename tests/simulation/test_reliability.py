"""Do the figures of reliability count what they say, and does a seed say which?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

from shared.core.model import RunKey
from shared.core.timeouts import HISTORY_MIN
from simulation.dice import drawn
from simulation.draws import Draws
from simulation.faults import Faults
from simulation.meter import Meter
from simulation.reliability import DEFINITIONS, WORLD_DAYS, measure, reliability
from simulation.simulate import Episode, episodes, live
from simulation.standard import STANDARD
from simulation.world import World

DAYS = Episode(seed="1/0", number=0, first=date(2024, 1, 15), days=2)


def test_a_storm_has_figures_and_each_has_a_definition() -> None:
    figures = reliability(10, seed=1)
    assert figures["days"] == figures["healthy_days"] == 10
    assert 20 <= int(str(figures["publishable"])) <= 30
    assert figures["violations"] == figures["false_incidents"] == 0
    assert DEFINITIONS.keys() <= figures.keys()
    assert figures == reliability(10, seed=1, processes=1)


def test_the_worlds_that_are_measured_go_on_by_limits_that_were_learnt() -> None:
    world = World(drawn(Draws(DAYS.seed), STANDARD), DAYS.first)
    live(world, replace(DAYS, days=HISTORY_MIN + 5))
    last = max(story.plan.run.date for story in world.stories.values())
    limits = [
        processor.timeout_from.split()[0]
        for run, story in world.stories.items()
        for phase in story.plan.phases
        for processor in phase.processors
        if run.date == last
    ]
    assert Counter(limits).most_common(1)[0][0] == "history"
    assert WORLD_DAYS > 2 * HISTORY_MIN


def test_what_becomes_needless_before_it_is_done_was_not_late() -> None:
    run, meter, began = RunKey("nba", DAYS.first, "overnight"), Meter(), datetime(2024, 1, 16, tzinfo=timezone.utc)
    meter.due(run, ["start"], began)
    meter.not_due(run, ["start"])
    meter.due(run, ["start"], began + timedelta(minutes=6))
    meter.done(run, ["start"], began + timedelta(minutes=7), began)
    assert meter.delays == meter.undisturbed == [60]


def test_what_is_hopeless_by_itself_is_not_publishable() -> None:
    measured = measure(DAYS, replace(STANDARD, dead_scraper=1.0), Draws(DAYS.seed))
    assert measured.publishable == 0


def test_a_release_that_fails_every_start_until_a_person_comes_is_counted_against_us() -> None:
    bad = Faults(bad_service=1.0, outages_s=(1_500.0,) * 7)
    only = {f"bad service: on 2024-01-{day}" for day in (15, 16)}
    measured = measure(DAYS, bad, Draws(DAYS.seed, only=only))
    assert measured.publishable >= 4
    assert measured.acts >= len(measured.missed)


def test_days_on_which_nothing_goes_wrong_are_published_to_the_last() -> None:
    measured = measure(replace(episodes(5, 1)[0], days=5), STANDARD, Draws("1/0", only=()))
    assert measured.publishable >= 12
    assert not measured.missed
    assert measured.incidents == measured.acts == measured.violations == 0
    assert max(measured.delays) <= 60
