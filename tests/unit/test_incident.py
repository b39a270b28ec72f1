"""Is a person told when, and only when, a run does not go on by itself? Each row: a script, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.gate import consequences, decide, not_before
from shared.core.incident import STALLED, Cause, alerts_due, open_incidents, raise_latch, resolve_latch
from shared.core.model import Act, Latch, Repair, RepairKind, Severity
from shared.core.plan import Plan
from shared.core.repairs import repair_latch
from shared.core.status import RunState, summarise
from tests.unit.plans import Day, critical, left_of_out, minute, optional, phase, plan

A, C = critical("a", attempts_max=1), optional("c", attempts_max=1)
ONE = left_of_out(A)
TWO = left_of_out(A, C)
THREE = left_of_out(A, critical("b"), C)
READ = plan(phase("raw", A), phase("out", critical("z"), deadline=120, readings=("health",)))
PART = left_of_out(critical("a", unit="games", look_again_s=9000))
MUTE = left_of_out(A, optional("c", attempts_max=1, timeout_s=1200, grace_s=7200, weight=0.1))


def row(sentence: str, of: Plan, script: str, at: float, *told: str) -> object:
    return pytest.param(of, script, at, list(told), id=sentence)


ROWS = [
    row("a run that goes on tells nobody anything", ONE, "+5 a done", 30),
    row("one that waits tells nobody", ONE, "+5 look", 59),
    row("one that opens without an optional one tells nobody", TWO, "+5 a done; +6 c failed", 30),
    row("a critical one that has failed for good is told at once", ONE, "+5 a failed", 6, "raise stalled/1 at +5"),
    row("and once, however often it is looked at", ONE, "+5 a failed", 50, "raise stalled/1 at +5"),
    row("a deadline without a critical one is told", ONE, "+5 look", 61, "raise stalled/1 at +60"),
    row("blocked, then failed, is the same incident", ONE, "+5 look", 500, "raise stalled/1 at +60"),
    row(
        "what brings it on after all resolves it",
        ONE,
        "+5 look; +70 a done",
        80,
        "raise stalled/1 at +60",
        "resolve stalled/1 at +70",
    ),
    row(
        "standing still again is a new occurrence",
        plan(phase("raw", A), phase("mid", critical("m", attempts_max=1), deadline=90), phase("out", critical("z"))),
        "+5 look; +70 a done; +75 m failed",
        76,
        "raise stalled/1 at +60",
        "resolve stalled/1 at +70",
        "raise stalled/2 at +75",
    ),
    row("a hold is known, and silent", ONE, "+5 hold; +10 a failed", 200),
    row("and what was open when it began stays open", ONE, "+5 a failed; +10 hold", 50, "raise stalled/1 at +5"),
    row("when it ends, what is wrong is told", ONE, "+5 hold until=+20; +10 a failed", 21, "raise stalled/1 at +20"),
    row("a cancelled run is nobody's", ONE, "+5 cancel", 200),
    row(
        "cancelling one that stood still resolves it",
        ONE,
        "+5 a failed; +10 cancel",
        20,
        "raise stalled/1 at +5",
        "resolve stalled/1 at +10",
    ),
    row(
        "nothing expected is no alarm", plan(phase("raw", A), phase("out", critical("z"))), "+5 a done finds=games:", 9
    ),
    row("a reading that blocks is told", READ, "+1 read health=block; +5 a done", 6, "raise stalled/1 at +5"),
    row(
        "and resolved by one that passes",
        READ,
        "+1 read health=block; +5 a done; +6 read health=pass",
        9,
        "raise stalled/1 at +5",
        "resolve stalled/1 at +6",
    ),
    row("a run that has published stands, whatever a refresh does", ONE, "+5 a done; +6 z done; +7 a failed", 90),
]


@pytest.mark.parametrize(("of", "script", "at", "told"), ROWS)
def test_a_person_is_told_when_a_run_does_not_go_on_by_itself(
    of: Plan, script: str, at: float, told: list[str]
) -> None:
    assert Day(of).play(script, until=at).told == told


def test_a_person_is_told_once_of_the_dead_letters_that_the_timer_leaves() -> None:
    day = Day(ONE).play("+5 look", until=6)
    for at in (6, 8):
        repair = Repair(kind=RepairKind.LEFT, subject=f"m{at}", reason="KeyError: 'x'", at=minute(at))
        latch = repair_latch(day.plan.run, repair, ())
        day.latches[latch.key] = latch
        day.advance(minute(at))
        day.advance(minute(at + 1))
    assert day.told == ["raise dead-letters/1 at +6"]
    (alert,) = open_incidents(day.view(minute(9)))
    assert (alert.severity, alert.summary.endswith("see `tipoff dlq list`")) == (Severity.WARN, True)
    day.play("+10 a done; +11 z done; +12 look", until=20)
    assert day.told == ["raise dead-letters/1 at +6", "resolve dead-letters/1 at +11"]


def test_a_redriven_letter_is_no_incident() -> None:
    day = Day(ONE).play("+5 look", until=6)
    repair = Repair(kind=RepairKind.REDRIVE, subject="m", reason="503", at=minute(6))
    latch = repair_latch(day.plan.run, repair, ())
    day.latches[latch.key] = latch
    day.advance(minute(6))
    assert day.told == []


def test_the_summary_says_which_run_why_and_when_it_is_looked_at_again() -> None:
    day = Day(ONE).play("+5 a failed reason=disk_full", until=6)
    (alert,) = open_incidents(day.view(minute(6)))
    assert alert.severity is Severity.PAGE
    assert "nba.2024-01-15.overnight.1 is blocked at the gate out" in alert.summary
    assert "disk_full" in alert.summary
    assert "looked at again 11:10 UTC" in alert.summary


def test_other_causes_end_with_the_run() -> None:
    day = Day(ONE).play("+5 look", until=6)
    stuck = raise_latch(day.view(minute(6)), Cause("dead-letters", Severity.WARN, "two letters"))
    day.latches[stuck.key] = stuck
    day.play("+7 a done", until=8)
    assert [alert.cause for alert in open_incidents(day.view(minute(8)))] == ["dead-letters"]
    day.play("+9 z done", until=10)
    assert not open_incidents(day.view(minute(10)))
    assert day.told[-1] == "resolve dead-letters/1 at +9"


def test_of_a_run_that_is_replayed_nobody_is_told_and_what_was_told_is_over() -> None:
    day = Day(ONE).play("+5 a failed", until=6)
    view = day.view(minute(7))
    (latch,) = alerts_due(view, decide(view), replayed=True)
    assert latch.alert is not None
    assert latch.alert.resolved
    assert not alerts_due(replace(view, incidents={}), decide(view), replayed=True)


def test_a_holiday_that_was_none_stands_for_nothing() -> None:
    of = left_of_out(critical("a"), critical("b", attempts_max=1))
    day = Day(of).play("+5 a done finds=games: digest=x; +15 again a; +16 a done finds=games:g1 digest=q", until=17)
    assert day.told == []
    day.play("+17 b failed", until=18)
    assert day.told == ["raise stalled/1 at +17"]
    assert summarise(day.view(minute(18))).state is RunState.BLOCKED


def test_raising_and_resolving_one_occurrence_have_one_name() -> None:
    view = Day(ONE).view(minute(1))
    raised = raise_latch(view, Cause(STALLED, Severity.PAGE, "stands"))
    again = replace(view, incidents={STALLED: raised.alert})  # type: ignore[dict-item]
    ended = resolve_latch(again, STALLED, "goes on")
    assert raised.incident == ended.incident == "nba.2024-01-15.overnight.1/incident/stalled/1"
    assert raised.key != ended.key


def test_the_order_in_which_alerts_are_read_makes_no_difference() -> None:
    day = Day(ONE).play("+5 look; +70 a done", until=80)
    alerts = [latch for latch in day.latches.values() if latch.alert]
    day.latches = {latch.key: latch for latch in [*reversed(alerts), *day.latches.values()]}
    assert not open_incidents(day.view(minute(80)))


def test_a_held_run_that_is_cancelled_resolves_what_is_open() -> None:
    day = Day(ONE).play("+5 a failed; +6 hold", until=7)
    day.control = replace(day.control, cancel=Act(actor="ann", reason="no use", at=minute(8)))
    view = day.view(minute(8))
    latches: tuple[Latch, ...] = alerts_due(view, decide(view))
    assert [latch.alert.resolved for latch in latches if latch.alert] == [True]


# --- since when a gate was ready ----------------------------------------------------------------------------


READY = [
    pytest.param(ONE, "+5 a done", 6, 5, id="the last critical report"),
    pytest.param(TWO, "+5 a done; +7 c done", 8, 7, id="the last report of all"),
    pytest.param(THREE, "+5 a done; +5 b done", 20, 15, id="the end of the grace with an optional one"),
    pytest.param(ONE, "+2 hold until=+9; +5 a done", 10, 9, id="the end of a hold"),
    pytest.param(READ, "+1 read health=block; +5 a done; +6 read health=pass", 9, 6, id="the look after a refusal"),
    pytest.param(READ, "+1 read health=hold; +5 a done; +20 read health=pass", 22, 20, id="after many holds"),
    pytest.param(READ, "+1 read health=block; +5 a done; +20 read health=pass", 22, 20, id="after many refusals"),
    pytest.param(PART, "+5 a partial has=99 of=100", 30, 15, id="the grace after which a part counts"),
    pytest.param(MUTE, "+5 a done", 30, 20.5, id="the silence of an optional one for which there is patience left"),
    pytest.param(MUTE, "+5 a done; +6 c failed; +7 c done attempt=1", 30, 7, id="no silence of what has reported"),
]

NEVER_LATE = [
    pytest.param(READ, "+1 read health=hold; +5 a done; +20.5 read health=pass", id="a reading that held for long"),
    pytest.param(PART, "+5 a partial has=99 of=100", id="a part that counts after its grace"),
    pytest.param(MUTE, "+5 a done", id="an optional one that stayed silent"),
    pytest.param(
        left_of_out(replace(A, refresh_until=minute(6000)), critical("b", timeout_s=1200, refresh_until=minute(6000))),
        "+5 a done digest=x; +5 b done digest=y; +10 z done; +15 again; +16 a done digest=q",
        id="a look again that stayed silent, which what others found waited for",
    ),
]


@pytest.mark.parametrize(("of", "script"), NEVER_LATE)
def test_what_opens_as_soon_as_it_can_is_never_late(of: Plan, script: str) -> None:
    day = Day(of).play(script, until=59)
    assert len([outcome for outcome in day.story if " out/" in outcome]) == (2 if "again" in script else 1)
    assert day.told == []


@pytest.mark.parametrize(("of", "script", "at", "ready"), READY)
def test_an_opening_says_since_when_it_could_have_opened(of: Plan, script: str, at: float, ready: float) -> None:
    assert Day(of).play(script, until=at).outcome("out").ready_at == minute(ready)


def test_a_gate_decided_by_a_clock_that_is_behind_is_ready_at_once() -> None:
    day = Day(ONE).play("", until=2)
    day.report(minute(3), "a", "success")
    view = replace(day.view(minute(3)), now=minute(-1))
    (latch,) = consequences(view, decide(view)).latches[:1]
    assert latch.outcome is not None
    assert latch.outcome.ready_at == minute(-1)


def test_an_opening_that_nobody_made_in_time_says_so() -> None:
    day = Day(ONE).play("+0 look; +5 look", until=6)
    day.report(minute(7), "a", "success")  # and nobody looks
    view = day.view(minute(12))
    verdict = decide(view)
    (latch,) = consequences(view, verdict).latches[:1]
    assert latch.outcome is not None
    assert latch.outcome.ready_at == minute(7)


LATE_ONES = [
    pytest.param(9.0, [], id="two minutes are not late"),
    pytest.param(9.1, ["raise late-gate/1 at +9.1"], id="more are told, for the morning"),
]


@pytest.mark.parametrize(("at", "told"), LATE_ONES)
def test_a_gate_that_could_have_opened_long_ago_is_told(at: float, told: list[str]) -> None:
    day = Day(ONE).play("+5 look", until=6)
    day.report(minute(7), "a", "success")
    day.advance(minute(at))
    assert day.told == told
    assert all(latch.alert.severity is Severity.WARN for latch in day.latches.values() if latch.alert)
    day.play("+12 z done", until=13)
    assert not open_incidents(day.view(minute(13))), "over when the run is"


def test_a_late_end_is_told_to_nobody() -> None:
    day = Day(ONE).play("+5 a done", until=6)
    day.report(minute(7), "z", "success")
    day.advance(minute(30))
    assert day.told == []


def test_only_a_refusal_of_the_same_gate_attempt_puts_it_off() -> None:
    day = Day(READ).play("+1 read health=block; +5 a done", until=6)
    entry = day.ledger[-1]
    now, soon = minute(6), minute(7)
    assert not_before(entry, day.decide(6), entry.next_look_at, now) == entry.next_look_at
    assert not_before(entry, day.decide(6), soon, now) == now, "whoever looks before his time"
    assert not_before(entry, day.decide(6), None, now) == now
    assert not_before(replace(entry, attempt=9), day.decide(6), soon, now) is None
    assert not_before(None, day.decide(6), soon, now) is None
    assert not_before(replace(entry, decision="wait", readings={}), day.decide(6), soon, now) is None
