"""Is a person told when, and only when, a run does not go on by itself? Each row: a script, and what is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from shared.core.fold import incidents_of
from shared.core.gate import consequences, decide, not_before
from shared.core.incident import (
    STALLED,
    Cause,
    acknowledged,
    alerts_due,
    escalations,
    incident_named,
    not_fired,
    open_incidents,
    raise_latch,
    raised,
    resolve_latch,
    resolved,
    why_not_open,
)
from shared.core.model import Act, Latch, Repair, RepairKind, Severity
from shared.core.plan import Plan
from shared.core.repairs import repair_latch
from shared.core.status import RunState, summarise
from tests.unit.plans import RUN, Day, critical, left_of_out, minute, optional, phase, plan

A, C = critical("a", attempts_max=1), optional("c", attempts_max=1)
ONE = left_of_out(A)
TWO = left_of_out(A, C)
THREE = left_of_out(A, critical("b"), C)
READ = plan(phase("raw", A), phase("out", critical("z"), deadline=120, readings=("health",)))
PART = left_of_out(critical("a", unit="games", look_again_s=9000))
MUTE = left_of_out(A, optional("c", attempts_max=1, timeout_s=1200, grace_s=7200, weight=0.1))
USUAL = left_of_out(A, usual_s=600)
TWO_OF_USUAL = left_of_out(A, critical("b"), usual_s=600)
AFTER = plan(phase("raw", A, usual_s=600), phase("out", critical("z"), deadline=120, readings=("runs_before",)))
SLEEPY = critical("a", attempts_max=1, timeout_s=60_000)
PATIENT = left_of_out(SLEEPY, deadline=600)
LONG = left_of_out(SLEEPY, deadline=600, usual_s=5_400)
LATER = plan(phase("raw", A, deadline=500), phase("out", critical("z"), deadline=600))
POOR = left_of_out(A, C, quorum=0.5)


def row(sentence: str, of: Plan, script: str, at: float, *told: str) -> object:
    return pytest.param(of, script, at, list(told), id=sentence)


ROWS = [
    row("a run that goes on tells nobody anything", ONE, "+5 a done", 30),
    row("one that waits tells nobody", ONE, "+5 look", 59),
    row("one that opens without an optional one tells nobody", TWO, "+5 a done; +6 c failed", 30),
    row("a critical one that has failed for good is told at once", ONE, "+5 a failed", 6, "raise stalled/1 at +5"),
    row("and once, however often it is looked at", ONE, "+5 a failed", 50, "raise stalled/1 at +5"),
    row("a deadline without a critical one is told", ONE, "+5 look", 61, "raise stalled/1 at +60"),
    row(
        "blocked, then failed, is the same incident, told to more people after two hours",
        ONE,
        "+5 look",
        500,
        "raise stalled/1 at +60",
        "escalate stalled/1 at +180",
    ),
    row(
        "what goes on within two hours is not escalated",
        LATER,
        "+5 a failed; +124 a done",
        140,
        "raise stalled/1 at +5",
        "resolve stalled/1 at +124",
    ),
    row(
        "one that was escalated ends as it would have",
        LATER,
        "+5 a failed; +126 a done",
        140,
        "raise stalled/1 at +5",
        "escalate stalled/1 at +125",
        "resolve stalled/1 at +126",
    ),
    row("a hold keeps it from being escalated", ONE, "+5 a failed; +10 hold", 500, "raise stalled/1 at +5"),
    row(
        "so it is when the hold ends",
        ONE,
        "+5 a failed; +10 hold until=+150",
        151,
        "raise stalled/1 at +5",
        "escalate stalled/1 at +150",
    ),
    row("a phase that takes twice its usual time is told", USUAL, "+5 look", 25, "raise slow/1 at +20"),
    row("one that takes less is not", USUAL, "+19 a done", 30),
    row(
        "it is over when the phase is",
        USUAL,
        "+5 look; +25 a done",
        26,
        "raise slow/1 at +20",
        "resolve slow/1 at +25",
    ),
    row("a phase of which nobody knows what is usual is never slow", ONE, "+5 look", 59),
    row(
        "who is told that it stands still is not told that it is slow",
        USUAL,
        "+5 a failed",
        50,
        "raise stalled/1 at +5",
    ),
    row(
        "nor when it goes on, in the same phase, and takes long",
        TWO_OF_USUAL,
        "+5 a failed; +30 a done",
        40,
        "raise stalled/1 at +5",
        "resolve stalled/1 at +30",
    ),
    row("what its source says is not there yet is not slow", USUAL, "+5 a not_ready retry=+50", 45),
    row(
        "one that waits for another one is slow all the same",
        TWO_OF_USUAL,
        "+5 a not_ready retry=+50",
        21,
        "raise slow/1 at +20",
    ),
    row("waiting for the run before it is that run's", AFTER, "+1 read runs_before=hold; +5 a done", 55),
    row("a slow hold is known", USUAL, "+5 hold", 59),
    row("and makes no phase slow once it is over", USUAL, "+5 hold; +30 release", 50),
    row("which has its usual time from then on", USUAL, "+5 hold; +30 release", 51, "raise slow/1 at +50"),
    row(
        "what waits in one phase for two hours stands still",
        PATIENT,
        "+5 look",
        130,
        "raise stalled/1 at +120",
    ),
    row("unless it usually takes longer", LONG, "+5 look", 175),
    row("then after twice its usual time", LONG, "+5 look", 181, "raise stalled/1 at +180"),
    row(
        "going on with too little is told once",
        POOR,
        "+5 a done; +6 c failed; +7 z done",
        7,
        "raise incomplete/1 at +6",
    ),
    row(
        "and over when the run is",
        POOR,
        "+5 a done; +6 c failed; +7 z done",
        9,
        "raise incomplete/1 at +6",
        "resolve incomplete/1 at +7",
    ),
    row("what a person has skipped he knows", POOR, "+4 skip c; +5 a done; +7 z done", 9),
    row(
        "so he does what he has forced",
        POOR,
        "+4 a failed; +5 force out",
        6,
        "raise stalled/1 at +4",
        "resolve stalled/1 at +5",
    ),
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


def test_a_run_that_has_failed_for_good_has_one_incident_and_no_other_stays_open_beside_it() -> None:
    day = Day(ONE).play("+5 look", until=6)
    stuck = raise_latch(day.view(minute(6)), Cause("dead-letters", Severity.WARN, "two letters"))
    day.latches[stuck.key] = stuck
    day.play("+7 look", until=61)
    assert day.told[1:] == ["raise stalled/1 at +60"], "it is blocked, and may go on"
    day.play("+62 look", until=190)
    assert summarise(day.view(minute(190))).state is RunState.FAILED
    assert day.told[2:] == ["resolve dead-letters/1 at +120", "escalate stalled/1 at +180"]
    assert [alert.cause for alert in open_incidents(day.view(minute(190)))] == ["stalled"]


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
    began = raise_latch(view, Cause(STALLED, Severity.PAGE, "stands"))
    again = replace(view, incidents={STALLED: began.told})
    ended = resolve_latch(again, STALLED, "goes on")
    assert began.incident == ended.incident == "nba.2024-01-15.overnight.1/incident/stalled/1"
    assert began.key != ended.key


def test_what_is_told_of_one_occurrence_comes_together_in_any_order() -> None:
    day = Day(ONE).play("+5 a failed", until=200)
    view = day.view(minute(200))
    act = Act(actor="ann", reason="on it", at=minute(130))
    acked = acknowledged(RUN, view.incidents[STALLED], act)
    alerts = [*(latch for latch in day.latches.values() if latch.alert), acked]
    assert [latch.key.rpartition("/")[2] for latch in alerts] == ["raise", "escalate", "acknowledge"]
    for order in permutations(alerts):
        alert = incidents_of(order)[STALLED]
        assert (alert.at, alert.escalated_at, alert.acknowledged) == (minute(5), minute(125), act)


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("stalled/1", ("stalled", 1)),
        ("health-export_processor/12", ("health-export_processor", 12)),
        ("stalled", None),
        ("stalled/", None),
        ("/1", None),
        ("", None),
        ("stalled/x", None),
        ("stalled/1/raise", None),
        ("stalled/1/2", None),
        ("stalled/\u0661", None),
        ("stalled/1234567", None),
    ],
)
def test_an_incident_is_named_by_its_cause_and_occurrence(text: str, which: tuple[str, int] | None) -> None:
    assert incident_named(text) == which


def test_of_what_is_not_open_it_is_told_since_when_and_what_is() -> None:
    first = raised(RUN, None, Cause(STALLED, Severity.PAGE, "stands"), minute(5))
    over = resolved(RUN, first.told, "goes on", minute(9))
    second = raised(RUN, over.told, Cause(STALLED, Severity.PAGE, "stands"), minute(20))
    slow = raised(RUN, None, Cause("slow", Severity.WARN, "takes long"), minute(20))
    one, two = (STALLED, 1), (STALLED, 2)
    assert why_not_open(RUN, [], None) == f"{RUN} has no open incident"
    assert why_not_open(RUN, [first, over], None) == f"{RUN} has no open incident"
    assert not why_not_open(RUN, [first], None)
    assert not why_not_open(RUN, [first], one)
    assert why_not_open(RUN, [], one) == f"{RUN} has no open incident stalled/1; nothing of it is open"
    since = f"{RUN}/incident/stalled/1 is over since {minute(9):%Y-%m-%d %H:%M} UTC"
    assert why_not_open(RUN, [first, over], one) == f"{since}; nothing of it is open"
    assert why_not_open(RUN, [first, over, slow], one) == f"{since}; open: slow/1"
    now = f"open now is {RUN}/incident/stalled/2: `tipoff ack {RUN}/incident/stalled/2 --reason TEXT`"
    assert why_not_open(RUN, [first, over, second, slow], one) == f"{since}; {now}"
    assert not why_not_open(RUN, [first, over, second], two)


def test_an_escalation_says_since_when_and_who_has_it() -> None:
    view = Day(ONE).play("+5 a failed", until=6).view(minute(6))
    act = Act(actor="ann", reason="on it", at=minute(7))
    known = acknowledged(RUN, view.incidents[STALLED], act).told
    assert not escalations(RUN, [known], minute(124.9))
    (latch,) = escalations(RUN, [known], minute(125))
    assert latch.told.summary.startswith(
        "unresolved for 2 hours, acknowledged by ann: nba.2024-01-15.overnight.1 is blocked"
    )
    assert latch.incident == "nba.2024-01-15.overnight.1/incident/stalled/1"
    assert not escalations(RUN, [latch.told], minute(300)), "once"


def test_what_can_wait_until_morning_is_not_escalated() -> None:
    view = Day(USUAL).play("+5 look", until=25).view(minute(25))
    assert view.incidents["slow"].severity is Severity.WARN
    assert not escalations(RUN, view.incidents.values(), minute(6000))


def test_what_is_told_of_it_says_how_little_there_is_and_of_what() -> None:
    slow = Day(USUAL).play("+5 look", until=25).view(minute(25)).incidents["slow"]
    assert "raw has taken 20 minutes, usually 10 at most" in slow.summary
    poor = Day(POOR).play("+5 a done; +6 c failed", until=7).view(minute(7)).incidents["incomplete"]
    assert "goes on with 75% of what it needs, below 95%; not whole: c" in poor.summary


@pytest.mark.parametrize(("at", "told"), [(7.0, False), (7.1, True)])
def test_what_was_claimed_and_cannot_be_sent_is_told_after_two_minutes(at: float, told: bool) -> None:
    cause = not_fired(RUN, "out", minute(5), minute(at))
    assert (cause is not None) == told
    assert cause is None or (cause.name, cause.severity) == ("not-fired", Severity.PAGE)


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


@pytest.mark.parametrize("now", [-1, 2.8])
def test_a_gate_decided_by_a_clock_that_is_behind_is_ready_at_once(now: float) -> None:
    """Behind the run's beginning, or behind the report alone, which another clock has dated."""
    day = Day(ONE).play("", until=2)
    day.report(minute(3), "a", "success")
    view = replace(day.view(minute(3)), now=minute(now))
    (latch,) = consequences(view, decide(view)).latches[:1]
    assert latch.outcome is not None
    assert latch.outcome.ready_at == minute(now)


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
