"""A day's run goes after the night before it, and starts without it, and says so, when that is late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from shared.core.fold import look
from shared.core.gate import recompute
from shared.core.model import Control, RunKey, Start, Status
from shared.core.status import RunState
from shared.readings import readers
from tests.flow.days import ANN, NOON, Days, new_days, succeed

TODAY = RunKey("nba", NOON.date(), "same_day")
AHEAD = RunKey("nba", NOON.date() + timedelta(days=1), "tomorrow")
NIGHT = RunKey("nba", NOON.date() - timedelta(days=1), "overnight")
MORNING = datetime(2031, 11, 1, 14, 30, tzinfo=timezone.utc)  # 10:30 Eastern
LATE = f"overnight of {NIGHT.date}"
WAITING = "has not published: 1 of 2 processors of scrape are done; waiting for boxscores; goes on without it"


@pytest.fixture
def days() -> Iterator[Days]:
    with new_days() as days:
        days.clock.time = MORNING
        yield days


def begin_night_without_boxscores(days: Days) -> Start:
    days.service.start_run(NIGHT)
    (schedule,) = days.hear()
    days.do(schedule)
    (boxscores,) = days.hear()
    assert boxscores.processor == "boxscores"
    return boxscores


def begin(days: Days, run: RunKey = TODAY) -> None:
    """Up to the gate into analytics."""
    days.service.start_run(run)
    days.finish(run, up_to="analytics")


def test_a_run_whose_night_has_published_goes_on_at_once(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    begin(days)
    assert days.decisions(TODAY, "analytics") == ["open: all of raw is done"]
    (entry,) = [e for e in days.told if (e.run, e.gate) == (TODAY, "analytics")]
    assert entry.readings["runs_before"].note == f"{LATE} is published"
    days.finish(TODAY)
    assert days.status(TODAY).state is RunState.PUBLISHED


def test_a_degraded_night_is_night_enough(days: Days) -> None:
    days.act = lambda start: (
        succeed(start, status=Status.SKIPPED, reason="broken")
        if start.processor == "team_defense_game_summary"
        else succeed(start)
    )
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    assert days.status(NIGHT).state is RunState.DEGRADED
    begin(days)
    assert days.view(TODAY).outcomes["analytics"].grade == "complete"


def test_a_night_that_never_ran_here_is_history_as_it_was_loaded(days: Days) -> None:
    begin(days)
    assert days.decisions(TODAY, "analytics") == ["open: all of raw is done"]
    (entry,) = [e for e in days.told if (e.run, e.gate) == (TODAY, "analytics")]
    assert entry.readings["runs_before"].note == f"{LATE} has not run here; history as it was loaded"


def test_a_run_waits_for_its_night_and_goes_on_within_a_minute_of_it(days: Days) -> None:
    boxscores = begin_night_without_boxscores(days)
    begin(days)
    assert days.decisions(TODAY, "analytics") == [f"wait: runs_before: waits for {LATE} until 2031-11-01 15:00 UTC"]
    days.pass_by(minutes=10)
    days.do(boxscores)
    days.finish(NIGHT)
    assert not days.orders(TODAY, "analytics")
    days.pass_by(seconds=60)
    assert days.decisions(TODAY, "analytics")[1:] == ["open: all of raw is done"]
    days.finish(TODAY)
    assert days.status(TODAY).state is RunState.PUBLISHED


def test_a_night_that_is_late_is_gone_on_without_and_named_to_the_end(days: Days) -> None:
    begin_night_without_boxscores(days)
    begin(days)
    days.pass_by(minutes=29)
    assert len(days.decisions(TODAY, "analytics")) == 1  # it waits, and says so once
    days.pass_by(minutes=1)
    (_, opened) = days.decisions(TODAY, "analytics")
    remedy = f"once it has, `tipoff replay {TODAY} --from analytics --reason TEXT` takes it in"
    assert opened == f"open: all of raw is done; warned: runs_before: {LATE} {WAITING}; {remedy}"
    days.finish(TODAY)
    tonight = next(c for c in days.done if c.processor == "tonight")
    (order,) = [s for latch in days.store.states.load(TODAY).latches for s in latch.starts if s.processor == "tonight"]
    assert order.run == tonight.run
    assert [(m.processor, m.why) for m in order.missing] == [(LATE, WAITING)]
    status = days.status(TODAY)
    assert (status.state, status.missing, status.completeness) == (RunState.DEGRADED, (LATE,), 1.0)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("cancel", "has not published: cancelled by ann: bad zones; goes on without it"),
        ("fail", "has not published: boxscores not done"),
    ],
)
def test_a_night_that_will_never_publish_is_not_waited_for(days: Days, end: str, why: str) -> None:
    days.clock.time = MORNING - timedelta(hours=12)
    begin_night_without_boxscores(days)
    if end == "cancel":
        assert days.store.states.set_control(NIGHT, Control(version=1, cancel=ANN))
        days.service.advance(NIGHT)
    else:
        days.pass_by(hours=11)  # a first look after so long only blocks
        days.pass_by(minutes=10)
        assert days.status(NIGHT).state is RunState.FAILED
    days.clock.time = MORNING
    begin(days)
    (opened,) = days.decisions(TODAY, "analytics")
    assert opened.startswith("open: ")
    assert why in opened


def test_a_held_night_is_waited_for_like_any_that_is_open(days: Days) -> None:
    begin_night_without_boxscores(days)
    assert days.store.states.set_control(NIGHT, Control(version=1, hold=ANN))
    begin(days)
    assert days.decisions(TODAY, "analytics")[0].startswith("wait: runs_before: waits for")


def test_the_newest_generation_of_the_night_decides(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    again = days.service.replay(NIGHT, "precompute", ANN)
    assert isinstance(again, RunKey)
    begin(days)
    assert days.decisions(TODAY, "analytics")[0].startswith("wait: runs_before: waits for")
    days.finish(again)
    days.pass_by(seconds=60)
    assert days.decisions(TODAY, "analytics")[1:] == ["open: all of raw is done"]


def test_tomorrow_goes_after_the_same_night_as_today(days: Days) -> None:
    begin_night_without_boxscores(days)
    begin(days, AHEAD)
    assert days.decisions(AHEAD, "analytics")[0].startswith(f"wait: runs_before: waits for {LATE} until")


def test_a_night_goes_after_nobody(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    assert not [entry for entry in days.told if "runs_before" in entry.readings or entry.decision == "ask"]


def test_every_decision_can_be_made_again_from_the_ledger(days: Days) -> None:
    begin_night_without_boxscores(days)
    begin(days)
    days.pass_by(minutes=30)
    days.finish(TODAY)
    plan, record = days.store.states.plan(TODAY), days.store.states.load(TODAY)
    assert plan is not None
    entries = days.store.states.ledger(TODAY)
    assert {entry.decision for entry in entries} == {"open", "wait", "done"}
    for entry in entries:
        again = recompute(plan, record.facts, record.latches, entry).decision
        assert (type(again).__name__.lower(), again.reason, again.missing) == (
            entry.decision,
            entry.reason,
            entry.missing,
        )


def test_the_worst_of_several_runs_before_decides(days: Days) -> None:
    """No pipeline has two yet; the plan allows it, so the reading answers for all."""
    begin_night_without_boxscores(days)
    begin(days)
    plan = days.store.states.plan(TODAY)
    assert plan is not None
    gate = plan.phase_by_name["analytics"]
    never = replace(gate.runs_before[0], date=NIGHT.date - timedelta(days=9))
    two = replace(plan, phases=(replace(gate, runs_before=(never, *gate.runs_before)),))
    answer = readers(days.store.states)["runs_before"].read(
        look(two, (), (), Control(), days.clock.now()), "analytics", None
    )
    assert answer.verdict == "hold"
    assert answer.note.count("overnight of") == 2
