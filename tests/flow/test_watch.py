"""A command that looks on at runs done elsewhere: each decision told once, what is under way, and when all is quiet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestration.watch import SETTLE, Watcher
from shared.adapters.sqlite import Sqlite
from shared.core.model import LedgerEntry, RunKey
from tests.flow.test_path_of_a_completion import RUN, HandClock, World, line


@pytest.fixture
def world() -> Iterator[World]:
    """What works on the runs is this world's own service; who looks on has its ports alone."""
    store = Sqlite(":memory:")
    yield World(store, HandClock(), line())
    store.close()


def watcher(world: World, told: list[LedgerEntry], runs: list[RunKey]) -> Watcher:
    return Watcher(world.ports, runs, told.append, lambda: None)


def test_every_decision_is_told_once_and_in_order(world: World) -> None:
    told: list[LedgerEntry] = []
    looks_on = watcher(world, told, [RUN])
    world.service.start_run(RUN)
    looks_on.look()
    while due := world.starts():
        for start in due:
            world.clock.pass_by(seconds=1)
            world.report(start)
            looks_on.look()
            looks_on.look()
    assert told == list(world.store.states.ledger(RUN))
    assert told[-1].decision == "done"


def test_decisions_from_before_it_looked_are_not_told(world: World) -> None:
    world.service.start_run(RUN)
    world.clock.pass_by(minutes=1)
    told: list[LedgerEntry] = []
    looks_on = watcher(world, told, [RUN])
    looks_on.look()
    assert told == []
    world.finish()
    looks_on.look()
    assert [entry.decision for entry in told][-1] == "done"


def test_what_is_ordered_and_not_reported_is_under_way_until_its_time_is_over(world: World) -> None:
    looks_on = watcher(world, [], [RUN])
    world.service.start_run(RUN)
    looks_on.look()
    ordered = world.starts()
    assert sorted(start.id for start in looks_on.running) == sorted(start.id for start in ordered)
    world.report(ordered[0])
    looks_on.look()
    assert sorted(start.id for start in looks_on.running) == sorted(start.id for start in ordered[1:])
    world.clock.pass_by(minutes=10)  # past the limit of each, and what a report may need on the bus
    looks_on.look()
    assert looks_on.running == []


def test_it_knows_of_nothing_more_once_nothing_has_changed_for_a_while(world: World) -> None:
    looks_on = watcher(world, [], [RUN])
    world.service.start_run(RUN)
    looks_on.look()
    assert looks_on.next_at() == world.clock.now()
    world.clock.pass_by(seconds=SETTLE.total_seconds() + 1)
    looks_on.look()
    assert looks_on.next_at() is None
    world.report(world.starts()[0])
    looks_on.look()
    assert looks_on.next_at() == world.clock.now()


def test_a_run_that_nobody_has_begun_yet_is_nothing(world: World) -> None:
    looks_on = watcher(world, [], [RUN])
    looks_on.look()
    assert looks_on.running == []


def test_it_goes_on_until_it_is_told_to_stop_and_ticks_meanwhile(world: World) -> None:
    ticks: list[int] = []
    looks_on = Watcher(world.ports, [RUN], lambda _: None, lambda: ticks.append(1))
    looks_on.run_until(lambda: len(ticks) == 2)
    assert len(ticks) == 2
