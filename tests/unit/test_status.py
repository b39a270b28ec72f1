"""What a person is told of a run: its state, its phases, and what comes next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.plan import Plan
from shared.core.status import PhaseState, RunState, RunStatus, summarise
from tests.unit.plans import Day, critical, minute, optional, phase, plan

TWO = plan(
    phase("raw", critical("a"), optional("c")),
    phase("out", critical("z"), deadline=120, readings=("health",)),
)


def told(of: Plan, script: str, at: float) -> RunStatus:
    return summarise(Day(of).play(script, until=at).view(minute(at)))


def row(sentence: str, script: str, at: float, state: str, phases: str) -> object:
    return pytest.param(script, at, state, phases, id=sentence)


@pytest.mark.parametrize(
    ("script", "at", "state", "phases"),
    [
        row("before its first gate", "+0 hold", 1, "blocked", "waiting waiting"),
        row("on its way", "+5 a done", 6, "running", "running waiting"),
        row("asked for a reading", "+5 a done; +5 c done", 5, "running", "running waiting"),
        row("refused", "+5 a skipped reason=x", 6, "blocked", "blocked waiting"),
        row("cancelled on its way", "+5 cancel", 6, "blocked", "blocked waiting"),
        row("failed", "", 130, "failed", "failed waiting"),
        row("published", "+5 a done; +5 c done; +6 z done", 7, "published", "complete complete"),
        row("without an optional one", "+5 a done; +61 z done", 62, "degraded", "degraded complete"),
        row("nothing to do", "+5 a done finds=games:", 6, "nothing_expected", "complete not_needed"),
        row(
            "during a refresh",
            "+5 a done; +5 c done; +6 z done; +50 a done digest=new",
            51,
            "running",
            "complete running",
        ),
        row(
            "held during a refresh",
            "+5 a done; +5 c done; +6 z done; +50 hold; +51 a done digest=new",
            52,
            "published",
            "blocked complete",
        ),
        row(
            "cancelled during a refresh",
            "+5 a done; +5 c done; +6 z done; +50 a done digest=new; +51 cancel",
            52,
            "published",
            "complete blocked",
        ),
        row(
            "failed in a refresh",
            "+5 a done; +5 c done; +6 z done; +50 a done digest=new",
            300,
            "published",
            "complete failed",
        ),
    ],
)
def test_the_state_of_a_run_and_its_phases(script: str, at: float, state: str, phases: str) -> None:
    status = told(TWO, script, at)
    assert (status.state, " ".join(p.state for p in status.phases)) == (state, phases)
    assert status.state.well == (state in ("published", "degraded", "nothing_expected"))


def test_what_a_phase_went_on_without_stays_told_when_it_comes_too_late_to_be_used() -> None:
    of = plan(phase("raw", critical("a"), optional("c", refresh_until=minute(20))), phase("out", critical("z")))
    status = told(of, "+5 a done; +60 look; +61 c done; +62 z done", 63)
    assert (status.state, status.missing) == (RunState.DEGRADED, ("c",))
    assert (status.phases[0].state, status.phases[0].missing) == (PhaseState.DEGRADED, ("c",))
    assert status.phases[0].standings["c"].whole
    assert status.phases[0].ignored == ("c",)
    assert status.phases[0].standings["c"].why == (
        "came at 2024-01-16 12:01 UTC, after the gate behind raw; ignored: "
        "its time to refresh was over at 2024-01-16 11:20 UTC"
    )


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("until", "state", "ignored"),
    [
        pytest.param(None, "degraded", ["c"], id="ignore: nothing moves, and it is told"),
        pytest.param(60, "degraded", ["c"], id="refresh, and its time is over: the same"),
        pytest.param(600, "running", [], id="refresh: the run goes on"),
    ],
)
def test_a_late_result_is_told_by_its_policy(until: float | None, state: str, ignored: list[str], times: int) -> None:
    late = optional("c", refresh_until=None if until is None else minute(until))
    of = plan(phase("raw", critical("a"), late), phase("out", critical("z"), deadline=120))
    came = "; ".join(f"+{70 + n} c done reason=all_of_it digest=x" for n in range(times))
    status = told(of, f"+5 a done; +60 look; +62 z done; {came}", 75)
    data = status.to_json()["phases"]
    assert isinstance(data, list)
    assert (status.state, data[0]["ignored"]) == (state, ignored)
    why = status.phases[0].standings["c"].why
    assert why.endswith("all_of_it")
    assert ("ignored: " in why) == bool(ignored)


def test_what_a_gate_asks_is_told_as_it_was_last_answered() -> None:
    day = Day(TWO).play("+1 read health=hold; +5 a done; +5 c done", until=6)
    assert summarise(day.view(minute(6))).reason == "would open: all of raw is done; asks health"
    answered = summarise(day.view(minute(6)), day.ledger[-1])
    assert (answered.state, answered.reason) == (RunState.RUNNING, "health: says hold")
    assert answered.phases[0].decision == "wait"
    earlier = summarise(day.view(minute(6)), day.ledger[0])
    assert earlier.reason.startswith("would open: ")


def test_when_a_gate_reads_again_does_not_move_on_with_whoever_asks() -> None:
    day = Day(TWO).play("+1 read health=hold; +5 a done; +5 c done", until=6)
    for at in (5.2, 5.5, 5.9):
        status = summarise(day.view(minute(at)), day.ledger[-1])
        assert (status.next_look_at, status.phases[0].next_look_at) == (minute(6), minute(6)), at
    again = summarise(day.view(minute(7)), day.ledger[-1])
    assert again.next_look_at == minute(8), "it was read at 6 to the same answer, which is written nowhere"
    assert summarise(day.view(minute(6)), replace(day.ledger[-1], next_look_at=None)).next_look_at == minute(7)
    assert summarise(day.view(minute(6)), replace(day.ledger[-1], next_look_at=minute(8))).next_look_at == minute(7)


def test_the_json_of_a_status_says_what_is_missing_and_when_it_is_looked_at_again() -> None:
    data = told(TWO, "+5 a skipped reason=x", 6).to_json()
    assert {name: value for name, value in data.items() if name != "phases"} == {
        "run": "nba.2024-01-15.overnight.1",
        "state": "blocked",
        "completeness": 1.0,
        "labels": {},
    }
    phases = data["phases"]
    assert isinstance(phases, list)
    assert phases[0] == {
        "phase": "raw",
        "state": "blocked",
        "expected": 2,
        "done": 0,
        "missing": ["a", "c"],
        "ignored": [],
        "decision": "block",
        "reason": "a skipped: x",
        "next_look_at": minute(8).isoformat(),
    }
    assert phases[1]["next_look_at"] is None


@pytest.mark.parametrize(
    ("labels", "synthetic"), [({}, False), ({"synthetic": "no"}, False), ({"synthetic": "yes"}, True)]
)
def test_what_is_synthetic_is_known_by_its_label(labels: dict[str, str], synthetic: bool) -> None:

    assert told(replace(TWO, labels=labels), "", 1).synthetic is synthetic
