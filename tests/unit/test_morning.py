"""What is told of a day: which runs were due, what became of each, why, and what happens next."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from shared.config.nba import NBA
from shared.config.schedules import NBA_SCHEDULES
from shared.core.batch import SealKind
from shared.core.batch_status import batch_head
from shared.core.codec import to_data
from shared.core.model import Act, Alert, Latch, Repair, RepairKind, RunKey, Severity
from shared.core.morning import MORNING, Graded, due_runs, span_until, summary_of
from shared.core.plan import Plan
from shared.core.repairs import repair_latch
from shared.core.summary import Fate, Signal, Transition
from tests.unit.batches import after, batch_of, seal_of
from tests.unit.batches import record as batch_record
from tests.unit.mornings import (
    AHEAD,
    EVENING,
    EVERY,
    MORNING_AT,
    NIGHT,
    days_later,
    gathered,
    night,
    of_run,
    seen,
    summary,
    the_day,
)
from tests.unit.plans import Day, critical, left_of_out, minute, optional, phase, plan, start

A, C = critical("a", attempts_max=1), optional("c", attempts_max=1)
TWO = left_of_out(A, C)
ANN = Act(actor="ann", reason="I look", at=minute(9))
SHIPPED = "+5 a done; +6 c done; +7 z done"
WITHOUT = "+5 a done; +6 c failed reason=feed_is_down; +61 z done"
NOTHING = "+5 a done finds=games:"


# --- which runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        pytest.param(MORNING_AT, [EVENING, AHEAD, NIGHT], id="in the morning each mode has been due once"),
        pytest.param(
            minute(270),
            [AHEAD, NIGHT, RunKey("nba", date(2024, 1, 16), "same_day")],
            id="a run is due at the minute of its start, and the one of the day before it is not any more",
        ),
        pytest.param(minute(269), [EVENING, AHEAD, NIGHT], id="and a minute before it is not"),
    ],
)
def test_a_day_has_every_run_that_should_have_begun_in_it(until: datetime, expected: list[RunKey]) -> None:
    assert list(due_runs(NBA, EVERY, until)) == expected


@pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2024-01-16", 24)])
def test_a_day_ends_at_the_time_on_the_clock_at_which_it_began(day: str, hours: int) -> None:
    until = datetime.fromisoformat(f"{day}T12:00:00+00:00") + timedelta(
        hours=1 if hours == 24 else 0 if hours == 23 else 1
    )
    assert until - span_until(until, NBA.zone) == timedelta(hours=hours)
    assert len(due_runs(NBA, EVERY, until)) == 3


def test_a_mode_that_nobody_expects_is_not_told() -> None:
    assert [mode.mode for mode in the_day({}, modes=frozenset({"overnight"})).modes] == ["overnight"]
    assert the_day({}, modes=frozenset()).runs == ()


def test_the_morning_is_when_the_schedule_says_so() -> None:
    hours = [schedule.cron for schedule in NBA_SCHEDULES if schedule.act == "summary"]
    assert hours in ([], [f"{int(MORNING[3:])} {int(MORNING[:2])} * * *"])


# --- what became of a run ---------------------------------------------------------------------------------


def row(sentence: str, script: str, at: float, fate: str, why: str, next: str, command: str) -> object:
    return pytest.param(script, at, Fate(fate), why, next, command, id=sentence)


RETRY = "tipoff retry nba.2024-01-15.overnight.1 a --reason TEXT --target gcp"
REPLAY = "tipoff replay nba.2024-01-15.overnight.1 --from raw --reason TEXT --target gcp"
EXPLAIN = "tipoff explain nba.2024-01-15.overnight.1 --target gcp"


@pytest.mark.parametrize(
    ("script", "at", "fate", "why", "next", "command"),
    [
        row("published whole", SHIPPED, 20, "published", "", "", ""),
        row(
            "published without an optional one",
            WITHOUT,
            80,
            "degraded",
            "without c (failed: feed_is_down (1 of 1 attempts))",
            "",
            EXPLAIN,
        ),
        row("nothing to do", NOTHING, 20, "nothing_expected", "", "", ""),
        row(
            "on its way",
            "+5 a done",
            6,
            "running",
            "",
            "next look Jan 16 06:08 EST; due by Jan 16 08:00 EST",
            "",
        ),
        row(
            "blocked",
            "+5 a failed reason=feed_is_down",
            30,
            "blocked",
            "a failed: feed_is_down (1 of 1 attempts, tried again every 5 min)",
            "next look Jan 16 06:32 EST",
            RETRY,
        ),
        row(
            "failed",
            "+5 look",
            130,
            "failed",
            "",
            "nothing more happens by itself",
            REPLAY,
        ),
        row("held", "+5 hold", 20, "held", "by ann: storm", "it goes on when it is released", "tipoff release"),
        row(
            "held until a time",
            "+5 hold until=+60",
            20,
            "held",
            "by ann: storm",
            "it goes on at Jan 16 07:00 EST",
            "tipoff release",
        ),
        row("cancelled", "+5 cancel", 20, "cancelled", "by ann: wrong day", "nothing more happens by itself", REPLAY),
        row(
            "published stands, though a refresh of it is running",
            f"{SHIPPED}; +50 a done digest=new",
            51,
            "published",
            "",
            "",
            "",
        ),
        row("and though one has failed", f"{SHIPPED}; +50 a failed attempt=2", 300, "published", "", "", ""),
        row(
            "degraded stands, though a refresh of it is running",
            f"{WITHOUT}; +70 a done digest=new",
            71,
            "degraded",
            "without c (failed: feed_is_down (1 of 1 attempts))",
            "what comes late is still taken in; next look Jan 16 07:20 EST",
            RETRY.replace(" a ", " c "),
        ),
    ],
)
def test_what_is_told_of_a_run(script: str, at: float, fate: Fate, why: str, next: str, command: str) -> None:
    told = night(TWO, script, at)
    assert told.fate is fate
    assert told.why.startswith(why)
    assert bool(told.why) == bool(why) or fate is Fate.FAILED
    assert told.next.startswith(next)
    assert bool(told.next) == bool(next)
    assert told.command.startswith(command)
    assert bool(told.command) == bool(command)


PATIENT = left_of_out(critical("a", grace_s=36_000, timeout_s=36_000), deadline=600)


def test_a_run_whose_deadline_is_over_is_late() -> None:
    of = replace(PATIENT, deadline_at=minute(60))
    told = night(of, "+5 look", 61)
    assert (told.fate, told.signal) == (Fate.LATE, Signal.RED)
    assert told.why.startswith("its deadline was Jan 16 07:00 EST; ")
    assert night(of, "+5 look", 60).fate is Fate.RUNNING


def test_one_that_was_published_after_its_deadline_says_so() -> None:
    of = replace(TWO, deadline_at=minute(6))
    told = night(of, SHIPPED, 20)
    assert (told.fate, told.why, told.signal) == (
        Fate.PUBLISHED,
        "published at Jan 16 06:07 EST, after its deadline",
        Signal.YELLOW,
    )
    assert told.published_at == minute(7)
    assert night(replace(of, deadline_at=minute(7)), SHIPPED, 20).signal is Signal.GREEN


def test_what_a_run_was_published_without_is_named_and_the_rest_counted() -> None:
    of = left_of_out(A, *(optional(f"c{number}", attempts_max=1) for number in range(5)), quorum=0.1)
    told = night(of, "+5 a done; +61 look; +62 z done", 80)
    assert told.missing == ("c0", "c1", "c2", "c3", "c4")
    assert told.why.count("(") == 3
    assert told.why.endswith("and 2 more")


def test_a_degraded_run_that_names_nothing_missing_is_still_to_be_read() -> None:
    known = seen(TWO, WITHOUT, 80)
    bare = [replace(each, outcome=each.outcome and replace(each.outcome, missing=())) for each in known.latches]
    (told,) = the_day({NIGHT: replace(known, latches=tuple(bare))}, modes=frozenset({"overnight"})).runs
    assert (told.fate, told.missing, told.signal) == (Fate.DEGRADED, (), Signal.YELLOW)
    assert told.why


def test_a_run_that_nobody_has_begun_is_missing() -> None:
    (told,) = the_day({}, modes=frozenset({"overnight"})).runs
    assert (told.run, told.fate, told.signal) == (NIGHT, Fate.MISSING, Signal.RED)
    assert told.why == "nobody has begun it; it was due at Jan 16 06:00 EST"
    assert (told.next, told.command) == ("the next sweep begins it", "")
    assert (told.completeness, told.last_published) == (None, None)
    (told,) = the_day({}, modes=frozenset({"overnight"}), begins="").runs
    assert told.next == "nothing more happens by itself"
    assert told.command == "tipoff run nba --date 2024-01-15 --mode overnight --data DIR"


def test_what_is_missing_is_made_of_the_data_of_the_run_that_began_last() -> None:
    old = replace(TWO, started_at=minute(-900), labels={"folder": "/old"})
    known = {
        EVENING: of_run(seen(replace(TWO, labels={"folder": "/new"}), SHIPPED), EVENING),
        AHEAD: of_run(seen(old), AHEAD),
    }
    (told,) = the_day(known, modes=frozenset({"overnight"}), begins="").runs
    assert told.command == "tipoff run nba --date 2024-01-15 --mode overnight --data /new"


def test_one_that_is_not_there_says_when_the_last_one_was() -> None:
    """A gap of many days must not become normal."""
    before = [replace(NIGHT, date=date(2024, 1, day)) for day in (3, 9, 11)]
    shipped, failed = seen(TWO, SHIPPED, 20), seen(TWO, "+5 a failed", 400)
    known = {
        before[0]: of_run(shipped, before[0]),
        before[1]: of_run(shipped, before[1]),
        before[2]: of_run(failed, before[2]),
    }
    only = frozenset({"overnight"})
    assert the_day(known, modes=only).runs[0].last_published == date(2024, 1, 9)
    assert the_day({**known, NIGHT: shipped}, modes=only).runs[0].last_published is None
    assert the_day({before[2]: known[before[2]]}, modes=only).runs[0].last_published is None


def test_the_newest_generation_stands_for_a_run() -> None:
    again = replace(NIGHT, generation=2)
    told = the_day({again: of_run(seen(TWO, SHIPPED, 20), again)}, modes=frozenset({"overnight"}))
    assert [(run.run, run.fate) for run in told.runs] == [(again, Fate.PUBLISHED)]


def test_in_a_home_where_nobody_is_at_work_the_command_that_goes_on_is_told() -> None:
    told = night(TWO, "+5 a done", 6, is_looked_at=False)
    assert told.fate is Fate.RUNNING
    assert told.next == "nobody is at work in this home"
    assert told.command == "tipoff run nba --date 2024-01-15 --mode overnight --data DIR"


def test_runs_are_counted_by_mode() -> None:
    day = the_day({NIGHT: seen(TWO, WITHOUT), EVENING: of_run(seen(TWO, SHIPPED), EVENING)})
    counts = [
        (mode.mode, mode.expected, mode.published, mode.degraded, mode.nothing_expected, mode.unfinished, mode.missing)
        for mode in day.modes
    ]
    assert counts == [("overnight", 1, 0, 1, 0, 0, 0), ("same_day", 1, 1, 0, 0, 0, 0), ("tomorrow", 1, 0, 0, 0, 0, 1)]
    day = the_day({NIGHT: seen(TWO, "+5 a failed", 30), EVENING: of_run(seen(TWO, NOTHING), EVENING)}, now=minute(30))
    assert [(mode.unfinished, mode.nothing_expected) for mode in day.modes] == [(1, 0), (0, 1), (0, 0)]


# --- durations, batches, healing ----------------------------------------------------------------------------


def usual(of: Plan, *seconds: int | None) -> Plan:
    phases = [
        replace(each, usual_s=some, usual_from="history of 20") for each, some in zip(of.phases, seconds, strict=True)
    ]
    return replace(of, phases=tuple(phases))


def test_the_slowest_phase_is_the_one_that_took_the_most_times_its_usual_time() -> None:
    slowest = night(usual(TWO, 600, 50), SHIPPED, 20).slowest
    assert slowest == Transition(phase="out", took_s=60.0, usual_s=50, usual_from="history of 20")
    assert slowest.times == pytest.approx(1.2)
    assert night(usual(TWO, 100, None), SHIPPED, 20).slowest == Transition(
        phase="raw", took_s=360.0, usual_s=100, usual_from="history of 20"
    )
    assert night(usual(TWO, None, None), SHIPPED, 20).slowest is None


@pytest.mark.parametrize(("usual_s", "signal"), [(180, Signal.YELLOW), (181, Signal.GREEN)])
def test_a_phase_of_twice_its_usual_time_is_to_be_read(usual_s: int, signal: Signal) -> None:
    assert night(usual(TWO, usual_s, 60), SHIPPED, 20).signal is signal


def test_what_the_backup_did_is_counted_by_kind() -> None:
    known = seen(TWO, SHIPPED)
    acts = [
        Repair(kind=kind, subject=f"raw/{name}/1", reason="x", at=minute(9))
        for kind, name in (
            (RepairKind.RESEND, "a"),
            (RepairKind.RESEND, "c"),
            (RepairKind.LEFT, "m"),
            (RepairKind.REDRIVE, "m"),
        )
    ]
    latches = (*known.latches, *(repair_latch(NIGHT, act) for act in acts))
    told = the_day({NIGHT: replace(known, latches=latches)}, modes=frozenset({"overnight"})).runs[0]
    assert told.healed == {"redrive": 1, "resend": 2}


def test_the_last_batch_of_a_phase_stands_and_its_incident_is_told() -> None:
    first, second = batch_of(9), batch_of(6, start=replace(start("a"), attempt=2))
    heads = (
        batch_head(batch_record(9, seal=seal_of(first, SealKind.CANCELLED)), after(20)),
        replace(batch_head(batch_record(6), after(20)), batch=second.id, incident="3 of 6 units expired"),
    )
    told = the_day({NIGHT: replace(seen(TWO, SHIPPED), batches=heads)}, modes=frozenset({"overnight"})).runs[0]
    (batch,) = told.batches
    assert (batch.batch, batch.state, batch.units, batch.done, batch.incident) == (
        second.id,
        "open",
        6,
        0,
        "3 of 6 units expired",
    )
    assert (told.fate, told.why, told.signal) == (Fate.PUBLISHED, "3 of 6 units expired", Signal.YELLOW)


def test_a_batch_that_has_reported_counts_what_its_report_says() -> None:
    said = Day(TWO)
    said.report(minute(1), "a", "success", has="5", of="6")
    seal = replace(seal_of(batch_of(6), SealKind.ENDED), completion=said.facts[0].completion)
    head = batch_head(batch_record(6, seal=seal), after(20))
    told = the_day({NIGHT: replace(seen(TWO, SHIPPED), batches=(head,))}, modes=frozenset({"overnight"})).runs[0]
    assert [(batch.state, batch.units, batch.done) for batch in told.batches] == [("ended", 6, 5)]


# --- incidents, grading, and how a day is -------------------------------------------------------------------


def test_open_incidents_of_every_run_that_is_looked_back_at_are_told_the_oldest_first() -> None:
    old = replace(NIGHT, date=date(2024, 1, 2))
    stalled, earlier = seen(TWO, "+5 a failed", 30), seen(TWO, "+3 a failed", 30)
    over = seen(left_of_out(critical("a")), "+61 look; +70 a done; +71 z done", 119)
    day = the_day({NIGHT: stalled, old: of_run(earlier, old), EVENING: of_run(over, EVENING)}, now=minute(30))
    assert [(each.run, each.cause, each.severity, each.since) for each in day.incidents] == [
        (old, "stalled", Severity.PAGE, minute(3)),
        (NIGHT, "stalled", Severity.PAGE, minute(5)),
    ]
    assert [each.taken_by for each in day.incidents] == ["", ""]


def test_an_incident_that_somebody_looks_into_says_who() -> None:
    known = seen(TWO, "+5 a failed", 30)
    taken = [replace(each, alert=each.alert and replace(each.alert, acknowledged=ANN)) for each in known.latches]
    (incident,) = the_day({NIGHT: replace(known, latches=tuple(taken))}, now=minute(30)).incidents
    assert incident.taken_by == "ann"


def test_an_incident_that_is_about_no_run_is_told_too() -> None:
    late = Alert(cause="heartbeat-same-day", number=1, severity=Severity.WARN, summary="it is late", at=minute(1))
    known = {run: of_run(seen(TWO, SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
    day = the_day(known, watched=(late,))
    assert [(str(each.run), each.cause, each.summary) for each in day.incidents] == [
        ("nba.0001-01-01.watch.1", "heartbeat-same-day", "it is late")
    ]
    assert day.signal is Signal.YELLOW


def test_an_old_incident_keeps_a_day_from_being_green() -> None:
    old = replace(NIGHT, date=date(2024, 1, 2))
    known = {run: of_run(seen(TWO, SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
    assert the_day(known).signal is Signal.GREEN
    assert the_day({**known, old: of_run(seen(TWO, "+5 a failed", 30), old)}).signal is Signal.RED


def test_a_day_is_as_its_worst_run_is() -> None:
    shipped = {run: of_run(seen(TWO, SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
    assert the_day(shipped).signal is Signal.GREEN
    assert the_day({**shipped, NIGHT: seen(TWO, WITHOUT)}).signal is Signal.YELLOW
    del shipped[EVENING]
    assert the_day({**shipped, NIGHT: seen(TWO, WITHOUT)}).signal is Signal.RED


def test_a_watchdog_that_is_out_makes_the_whole_summary_red() -> None:
    shipped = {run: of_run(seen(TWO, SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
    told = summary(shipped, watchdog="self-heal left its last heartbeat 9 minutes ago")
    assert (told.signal, told.pipelines[0].signal) == (Signal.RED, Signal.GREEN)


def test_no_pipeline_is_a_quiet_day() -> None:
    told = summary_of([], until=MORNING_AT, now=MORNING_AT, watchdog="")
    assert (told.signal, told.pipelines) == (Signal.GREEN, ())


def test_the_grading_error_is_of_the_date_that_the_night_graded() -> None:
    grading = the_day({NIGHT: seen(TWO, SHIPPED)}).grading
    assert grading
    assert (grading.date, grading.graded, grading.error, grading.usual, grading.days) == (
        NIGHT.date,
        812,
        4.612,
        4.7,
        10,
    )
    assert (grading.why, grading.is_fault) == ("", False)
    assert the_day({}, modes=frozenset({"same_day"})).grading is None


GRADED = plan(
    phase("raw", A), phase("grading", critical("prediction_accuracy", attempts_max=1)), phase("out", critical("z"))
)


@pytest.mark.parametrize(
    ("of", "script", "why"),
    [
        pytest.param(TWO, NOTHING, "there was nothing to grade", id="no games"),
        pytest.param(
            GRADED,
            "+5 a done; +6 prediction_accuracy skipped reason=no_predictions",
            "prediction_accuracy: no_predictions",
            id="nothing had been predicted",
        ),
        pytest.param(
            GRADED, "+5 a done; +6 prediction_accuracy done", "prediction_accuracy: success", id="of no player"
        ),
        pytest.param(
            TWO, "+5 a failed", "overnight is blocked, and has graded nothing", id="the run did not come so far"
        ),
    ],
)
def test_why_nothing_is_graded_is_said(of: Plan, script: str, why: str) -> None:
    grading = the_day({NIGHT: seen(of, script, 20)}, graded={}, now=minute(20)).grading
    assert grading
    assert (grading.graded, grading.error, grading.why, grading.is_fault) == (0, None, why, False)


def test_a_night_that_is_missing_has_graded_nothing() -> None:
    grading = the_day({}, graded={}).grading
    assert grading
    assert grading.why == "overnight is missing, and has graded nothing"


def test_a_warehouse_that_cannot_be_asked_is_told_and_is_a_fault() -> None:
    known = {run: of_run(seen(TWO, SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
    day = the_day(known, graded={NIGHT.date: Graded(unread="OSError: it is down")})
    assert day.grading
    assert (day.grading.why, day.grading.is_fault, day.signal) == ("OSError: it is down", True, Signal.YELLOW)


def test_a_summary_made_of_synthetic_data_says_so() -> None:
    known = seen(replace(TWO, labels={"synthetic": "yes"}), SHIPPED)
    assert the_day({NIGHT: known}).synthetic
    assert not the_day({NIGHT: seen(TWO, SHIPPED)}).synthetic


def test_every_field_of_the_json_is_always_there() -> None:
    whole = to_data(summary({NIGHT: seen(usual(TWO, 60, 60), SHIPPED)}))
    empty = to_data(summary({}, graded={}))
    assert whole.keys() == empty.keys()
    (whole_day,), (empty_day,) = whole["pipelines"], empty["pipelines"]
    assert whole_day.keys() == empty_day.keys()
    assert whole_day["modes"][0]["runs"][0].keys() == empty_day["modes"][0]["runs"][0].keys()
    assert empty_day["modes"][0]["runs"][0]["run"] == str(NIGHT)


def test_what_has_been_and_what_will_be_is_told_of_that_day_alone() -> None:
    shipped = seen(TWO, SHIPPED)
    assert [run.fate for run in the_day({NIGHT: shipped}, until=days_later(1), now=days_later(1)).runs] == [
        Fate.MISSING
    ] * 3


def test_latches_of_no_outcome_have_no_end() -> None:
    known = replace(seen(TWO, "", 0), latches=(Latch(key="k", run=NIGHT),))
    (told,) = the_day(
        {NIGHT: known}, modes=frozenset({"overnight"}), now=datetime(2024, 1, 16, 11, 0, tzinfo=timezone.utc)
    ).runs
    assert (told.completeness, told.published_at) == (None, None)
    assert gathered({}).modes == EVERY
