"""How long a processor may take is learnt from the last runs of its mode, and cuts no work off for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared import history
from shared.core.model import Act, Control, RunKey, Start
from shared.core.plan import Plan
from shared.core.status import RunState
from shared.core.timeouts import HISTORY_DAYS, HISTORY_MIN, HISTORY_RUNS
from tests.flow.days import ANN, NOON, Days, new_days

WORK_S = 100.0  # that each processor takes here
LEARNT_S = 200  # of it: twice the second slowest
DECLARED_S = 300  # of raw_schedule


@pytest.fixture
def days() -> Iterator[Days]:
    with new_days() as days:
        yield days


def day(number: int, mode: str = "same_day", generation: int = 1) -> RunKey:
    return RunKey("nba", NOON.date() + timedelta(days=number), mode, generation)


def work(days: Days, run: RunKey, seconds: float = WORK_S, *, up_to: str = "") -> None:
    """A whole run, or up to a phase, whose processors take so long one after the other."""
    days.clock.time = max(days.clock.time, NOON + timedelta(days=(run.date - NOON.date()).days))
    days.service.start_run(run)
    while mine := [start for start in days.hear() if start.run == run and start.phase != up_to]:
        started = {start.issued_at for start in mine}
        days.clock.time = max(days.clock.time, min(started) + timedelta(seconds=seconds))
        for start in mine:
            days.do(start)


def weeks(days: Days, runs: int, *, first: int = 0) -> None:
    for number in range(first, first + runs):
        work(days, day(number))


def plan_of(days: Days, run: RunKey) -> Plan:
    days.clock.time = max(days.clock.time, NOON + timedelta(days=(run.date - NOON.date()).days))
    days.service.start_run(run)
    plan = days.store.states.plan(run)
    assert plan is not None
    return plan


def limit_of(days: Days, run: RunKey, processor: str = "raw_schedule") -> tuple[int, str]:
    found = {p.name: p for phase in plan_of(days, run).phases for p in phase.processors}[processor]
    return found.timeout_s, found.timeout_from


def test_the_first_runs_of_a_mode_have_what_is_declared(days: Days) -> None:
    weeks(days, HISTORY_MIN - 1)
    assert limit_of(days, day(HISTORY_MIN - 1)) == (DECLARED_S, "fallback")


def test_those_after_them_have_what_it_took(days: Days) -> None:
    weeks(days, HISTORY_MIN)
    plan = plan_of(days, day(HISTORY_MIN))
    assert limit_of(days, day(HISTORY_MIN)) == (LEARNT_S, f"history of {HISTORY_MIN}")
    assert limit_of(days, day(HISTORY_MIN), "predictions") == (2_400, "declared")
    assert {phase.usual_s for phase in plan.phases} == {300}, "at least; one of three waves takes just so long"
    assert {phase.usual_from for phase in plan.phases} == {"floor", f"history of {HISTORY_MIN}"}
    (start,) = days.hear()
    assert (start.processor, start.timeout_s) == ("schedule", 120), "declared lower than what it took and some more"


def test_a_slow_phase_is_known_to_be_slow(days: Days) -> None:
    for number in range(HISTORY_MIN):
        work(days, day(number), 290)
    phase = plan_of(days, day(HISTORY_MIN)).phase_by_name["precompute"]
    assert (phase.usual_s, phase.usual_from) == (3 * 290, f"history of {HISTORY_MIN}"), "three waves of processors"


def test_another_mode_teaches_nothing(days: Days) -> None:
    for number in range(HISTORY_MIN):
        work(days, day(number, "tomorrow"))
    assert limit_of(days, day(HISTORY_MIN)) == (DECLARED_S, "fallback")


def test_a_replay_has_what_any_run_of_its_date_would_have(days: Days) -> None:
    weeks(days, HISTORY_MIN)
    again = days.service.replay(day(HISTORY_MIN - 1), "raw", ANN)
    assert isinstance(again, RunKey)
    assert limit_of(days, again) == (LEARNT_S, f"history of {HISTORY_MIN}"), "the run that it replays is one of them"


def test_only_the_last_runs_within_a_month_are_looked_at(days: Days) -> None:
    weeks(days, HISTORY_RUNS + 2)
    found = history.before(days.store.states, day(HISTORY_RUNS + 2))
    assert {len(each) for each in found.processors.values()} == {HISTORY_RUNS}
    later = history.before(days.store.states, day(HISTORY_DAYS + 5))
    assert {len(each) for each in later.processors.values()} == {HISTORY_RUNS + 2 - 5}
    assert history.before(days.store.states, day(300)).processors == {}
    assert history.before(days.store.states, day(0)).processors == {}, "what came after it is none of its history"


def test_a_run_that_was_held_teaches_its_processors_nothing_else(days: Days) -> None:
    weeks(days, HISTORY_MIN - 1)
    held = day(HISTORY_MIN - 1)
    work(days, held, up_to="analytics")
    act = Act(actor="ann", reason="looks into it", at=days.clock.now(), until=days.clock.now() + timedelta(hours=2))
    assert days.store.states.set_control(held, Control(version=1, hold=act))
    waiting = list(days.hear())
    days.clock.time += timedelta(seconds=WORK_S)
    for start in waiting:
        days.do(start)  # they report while it is held
    days.pass_by(hours=2)
    work(days, held)
    found = history.before(days.store.states, day(HISTORY_MIN))
    assert {seconds for each in found.processors.values() for seconds in each} == {WORK_S}


def hear_one(days: Days, run: RunKey) -> Start:
    (start,) = [start for start in days.hear() if start.run == run]
    return start


def test_work_that_has_become_slower_is_cut_off_once_and_publishes(days: Days) -> None:
    weeks(days, HISTORY_MIN)
    run = day(HISTORY_MIN)
    work(days, run, up_to="raw")
    first = hear_one(days, run)
    assert (first.processor, first.attempt, first.timeout_s) == ("raw_schedule", 1, LEARNT_S)
    days.pass_by(seconds=LEARNT_S + 31)  # it is alive, and would take 290 s today
    second = next(start for start in days.hear() if start.attempt == 2)
    assert second.timeout_s == DECLARED_S
    assert second.fence > first.fence, "what the first still writes is refused"
    days.pass_by(seconds=290)
    days.ordered.remove(first)
    days.do(second)
    work(days, run)
    assert days.status(run).state is RunState.PUBLISHED
    took = history.before(days.store.states, day(HISTORY_MIN + 1)).processors["raw_schedule"]
    assert took == [*[WORK_S] * HISTORY_MIN, 290.0], "and the next runs know"


def test_a_late_report_of_what_was_cut_off_is_taken(days: Days) -> None:
    weeks(days, HISTORY_MIN)
    run = day(HISTORY_MIN)
    work(days, run, up_to="raw")
    first = hear_one(days, run)
    days.pass_by(seconds=LEARNT_S + 31)
    days.hear()
    days.do(first)
    work(days, run)
    assert days.status(run).state is RunState.PUBLISHED
    assert limit_of(days, day(HISTORY_MIN + 1))[0] == LEARNT_S, "one slow day moves nothing"


def test_a_doubled_word_for_a_run_changes_nothing(days: Days) -> None:
    weeks(days, HISTORY_MIN)
    run = day(HISTORY_MIN)
    plan = plan_of(days, run)
    assert not days.service.start_run(run, {"data": "another"})
    assert days.store.states.plan(run) == plan
