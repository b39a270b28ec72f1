"""What did the backup do? Days are played by hand; what the timer did in them is marked so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.model import FOUND_REPORT, Act, Control, Fact, Latch, Repair, RepairKind, Start, Woke
from shared.core.plan import Plan
from shared.core.repairs import (
    BEGUN_BY,
    repair_latch,
    repairs,
    repairs_kept,
    resend_of,
)
from shared.core.standing import DOUBT_KEPT, doubt_at, in_doubt, look_for_at, mute_at, resend_at
from tests.unit.plans import RUN, Day, critical, left_of_out, minute, minutes, optional, phase, plan, start

HASTY = critical("a", timeout_s=300)
ONE = left_of_out(HASTY)


# --- when a start is in doubt ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout_s", "now", "looks"),
    [
        pytest.param(300, 0, "+1", id="first after a minute"),
        pytest.param(300, 1, "+2", id="then when it has been under way twice as long"),
        pytest.param(300, 3.9, "+4", id="and so on"),
        pytest.param(300, 4, "+5.5", id="at last when it counts as failed"),
        pytest.param(300, 9, "+5.5", id="and never after"),
        pytest.param(30, 0, "+0.5", id="sooner, if it has less than a minute"),
    ],
)
def test_a_start_without_a_report_is_looked_for(timeout_s: int, now: float, looks: str) -> None:
    a = critical("a", timeout_s=timeout_s)
    assert minutes(look_for_at(start("a"), a, minute(now))) == looks


@pytest.mark.parametrize("timeout_s", [1, 30, 60, 120, 300, 570, 2400])
def test_doubt_comes_first_then_the_second_sending_then_the_end_of_patience(timeout_s: int) -> None:
    a, ordered = critical("a", timeout_s=timeout_s), start("a")
    assert ordered.issued_at < doubt_at(ordered, a) <= resend_at(ordered, a) < mute_at(ordered, a)


@pytest.mark.parametrize(
    ("of", "script", "at", "found"),
    [
        pytest.param(ONE, "", 0.9, [], id="not before its minute is over"),
        pytest.param(ONE, "", 1, ["a/1"], id="from then on"),
        pytest.param(ONE, "+0.5 a done", 1, [], id="unless it has reported"),
        pytest.param(ONE, "", 7, ["a/2"], id="of several attempts the last"),
        pytest.param(ONE, "+1 a failed; +5 a done attempt=1", 3.5, ["a/2"], id="whatever older ones have said"),
        pytest.param(ONE, "+1 cancel", 3, [], id="nothing in a run that is over"),
        pytest.param(
            left_of_out(HASTY, critical("b", timeout_s=600)), "+0.5 look", 2, ["a/1", "b/1"], id="each that is silent"
        ),
        pytest.param(
            left_of_out(HASTY, optional("b", weight=0.5, timeout_s=600, grace_s=0)),
            *("+1 a done", 3, ["b/1", "z/1"]),
            id="one that the gate went without, while it may still be taken in",
        ),
        pytest.param(
            left_of_out(HASTY, optional("b", weight=0.5, timeout_s=600, grace_s=0, refresh_until=None)),
            *("+1 a done", 3, ["z/1"]),
            id="not where late is ignored",
        ),
        pytest.param(
            left_of_out(HASTY, optional("b", timeout_s=600)), "+1 skip b", 2, ["a/1"], id="none that is skipped"
        ),
    ],
)
def test_in_doubt_is(of: Plan, script: str, at: float, found: list[str]) -> None:
    view = Day(of).play(script, until=at).view(minute(at))
    assert [f"{each.processor}/{each.attempt}" for each in in_doubt(view)] == found


def test_what_has_been_silent_for_too_long_is_not_looked_for() -> None:
    day = Day(left_of_out(replace(HASTY, attempts_max=1))).play("", until=7)
    gone = mute_at(day.starts("a")[0], HASTY) + DOUBT_KEPT
    assert in_doubt(day.view(minute(7)))
    assert not in_doubt(day.view(gone))


@pytest.mark.parametrize(
    ("at", "control", "why"),
    [
        pytest.param(0.9, Control(), "", id="not while it may well be at work"),
        pytest.param(2, Control(), "not reported for 120 s, and nothing tells what it has left", id="once it is late"),
        pytest.param(5.5, Control(), "", id="not when another attempt is due"),
        pytest.param(2, Control(hold=Act(actor="ann", reason="storm", at=minute(0))), "", id="not in a held run"),
        pytest.param(2, Control(cancel=Act(actor="ann", reason="storm", at=minute(0))), "", id="nor a cancelled one"),
    ],
)
def test_a_start_that_left_nothing_is_sent_once_more(at: float, control: Control, why: str) -> None:
    day = Day(ONE).play("", until=0.5)
    view = replace(day.view(minute(at)), control=control)
    [ordered] = day.starts("a")
    latch = resend_of(view, ordered)
    if not why:
        assert latch is None
        return
    assert latch is not None
    assert (latch.key, latch.starts) == (f"{RUN}/repair/resend/raw/a/1/1", (ordered,))
    assert latch.repair == Repair(kind=RepairKind.RESEND, subject="raw/a/1", reason=why, at=minute(at))
    day.latches[latch.key] = latch
    assert resend_of(day.view(minute(at)), ordered) is None or at >= 2, "not twice at once"
    again = resend_of(day.view(minute(at + 2.4)), ordered)
    assert again is not None
    assert again.key.endswith("/resend/raw/a/1/2"), "and once more when it has been silent for twice as long"
    day.latches[again.key] = again
    assert resend_of(day.view(minute(at + 2.4)), ordered) is None, "but not for ever"
    assert day.view(minute(at)).starts["a"] == (ordered,), "it is the same start"


# --- what it did -------------------------------------------------------------------------------------------


def told(day: Day, *, of: Plan | None = None, woke: Woke = Woke.SWEEP, latches: tuple[Latch, ...] = ()) -> list[str]:
    entries = [replace(entry, woke=woke) for entry in day.ledger]
    done = repairs(of or day.plan, day.facts, (*day.latches.values(), *latches), entries)
    return [f"{minutes(each.at)} {each.kind} {each.subject.removeprefix(str(RUN))}: {each.reason}" for each in done]


def late(day: Day, processor: str, at: float) -> None:
    """A report that nobody weighs before the timer does, a minute later."""
    day.report(minute(at), processor, "success")
    day.advance(minute(at + 1))


def test_a_gate_that_a_report_should_have_opened() -> None:
    day = Day(ONE).play("", until=0.5)
    late(day, "a", 2)
    assert told(day) == ["+3 gate out/1: it could have opened 60 s before, when the last report came"]
    assert told(day, woke=Woke.COMPLETION) == []


def test_a_gate_that_opens_by_time_is_the_timers_own() -> None:
    of = left_of_out(HASTY, optional("b", weight=0.5, grace_s=600))
    day = Day(of).play("+2 a done", until=30)
    assert day.story[1] == "open out/1 at +12"
    assert told(day) == []


@pytest.mark.parametrize("stands", ["+1 read health=hold", "+1 hold until=+9"])
def test_a_gate_that_was_refused_before_is_the_timers_own(stands: str) -> None:
    of = plan(phase("raw", critical("a")), phase("out", critical("z"), deadline=120, readings=("health",)))
    day = Day(of).play(f"{stands.replace('=+', '=')}; +2 a done; +9 read health=pass", until=20)
    assert any(line.startswith("open out/1") for line in day.story)
    assert told(day) == []


def test_a_gate_that_the_timer_and_a_report_were_about_to_open_at_once() -> None:
    day = Day(ONE).play("+2 a done", until=3)
    assert told(day) == []


def test_the_first_gate_of_a_run_that_somebody_had_begun_and_left() -> None:
    day = Day(ONE)
    day.advance(minute(1))
    assert told(day) == ["+1 gate raw/1: it could have opened 60 s before, when the last report came"]


def test_a_run_that_the_timer_begins_is_one_act() -> None:
    day = Day(ONE)
    day.advance(minute(1))
    begun = replace(ONE, labels={**BEGUN_BY, "data": "x"})
    assert told(day, of=begun) == ["+0 run : its schedule had not begun it"]


def test_a_report_that_was_found_and_the_gate_that_it_opened_are_one_act() -> None:
    day = Day(ONE).play("", until=0.5)
    day.report(minute(2), "a", "success")
    completion = replace(day.facts[0].completion, report=FOUND_REPORT)
    day.facts[0] = Fact(completion, minute(2))
    day.advance(minute(3))
    assert told(day) == ["+2 found raw/a/1: found where it belongs, never reported"]


@pytest.mark.parametrize(
    ("script", "acts"),
    [
        pytest.param("", ["+5.5 attempt raw/a/2: attempt 1 did not report in 300 s"], id="the one before was silent"),
        pytest.param(
            *("+7 a done attempt=1", ["+5.5 attempt raw/a/2: attempt 1 did not report in 300 s"]), id="or as good as"
        ),
        pytest.param("+2 a failed", [], id="the one before had failed"),
    ],
)
def test_an_attempt_is_an_act_of_the_timer_where(script: str, acts: list[str]) -> None:
    day = Day(ONE).play(script, until=8)
    assert [act for act in told(day) if " gate " not in act] == acts


def test_an_attempt_at_a_persons_word_is_none() -> None:
    day = Day(ONE).play("", until=1)
    by = Act(actor="ann", reason="storm", at=minute(6))
    asked: Start = start("a", 2, at=6, by=by)
    assert told(day, latches=(Latch(key="x", run=RUN, starts=(asked,)),)) == []


def test_what_has_a_record_of_its_own_is_told_and_what_a_person_was_left_is_not() -> None:
    day, kept = Day(ONE), list[Latch]()
    day.advance(minute(0))
    for at, kind in enumerate(("redrive", "redrive", "left", "latch"), 1):
        repair = Repair(kind=RepairKind(kind), subject="m", reason="why", at=minute(at))
        kept.append(repair_latch(RUN, repair, kept))
    assert [latch.key.removeprefix(f"{RUN}/repair/") for latch in kept] == [
        *("redrive/m/1", "redrive/m/2", "left/m/1", "latch/m/1")
    ]
    assert told(day, latches=tuple(kept)) == ["+1 redrive m: why", "+2 redrive m: why", "+4 latch m: why"]
    day.latches |= {latch.key: latch for latch in kept}
    assert [repair.at for repair in day.view(minute(5)).left] == [minute(3)]
    assert len(repairs_kept(kept)) == 4
