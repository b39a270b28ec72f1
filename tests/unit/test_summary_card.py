"""What a person reads in ten seconds: one line where all is well, else what is wrong first; and it always fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.blocks import payload
from shared.core.model import RunKey, Severity
from shared.core.morning import Graded
from shared.core.summary import (
    BatchDay,
    Fate,
    Grading,
    IncidentDay,
    ModeDay,
    PipelineDay,
    RunDay,
    Signal,
    Summary,
    Transition,
)
from shared.core.summary_card import RUNS_SHOWN, card, facts, headline, incident, length
from tests.slack import is_allowed, lines_of
from tests.unit.mornings import AHEAD, EVENING, GRADED, MORNING_AT, NIGHT, of_run, seen, summary, the_day
from tests.unit.plans import critical, left_of_out, minute, optional
from tests.unit.test_morning import NOTHING, SHIPPED, TWO, WITHOUT, usual

WELL = {run: of_run(seen(usual(TWO, 600, 300), SHIPPED), run) for run in (NIGHT, EVENING, AHEAD)}
DEGRADED = {**WELL, NIGHT: seen(TWO, WITHOUT)}


def read(told: Summary) -> list[str]:
    message = dict(payload(card(told)))
    assert is_allowed(message)
    return lines_of(message)


# --- what is read -----------------------------------------------------------------------------------------


def test_a_green_day_is_one_line() -> None:
    assert read(summary(WELL)) == [
        ":large_green_circle: nba, Tue Jan 16: all 3 published · complete 100.0% · error 4.61 points (usually 4.70)"
        " · slowest raw 6 min (usually 10 min) · healed 0 · about $0.42"
    ]
    assert "blocks" not in payload(card(summary(WELL)))


def test_a_degraded_day_says_what_it_is_without_and_where_to_look() -> None:
    assert read(summary(DEGRADED)) == [
        ":large_yellow_circle: nba, Tue Jan 16: 1 degraded, 2 published (of 3)",
        "*overnight 2024-01-15 degraded*: without c (failed: feed_is_down (1 of 1 attempts))",
        "→ `tipoff explain nba.2024-01-15.overnight.1 --target gcp`",
        ":white_check_mark: same_day published, tomorrow published",
        "complete 75.0% · error 4.61 points (usually 4.70) · slowest raw 6 min (usually 10 min) · healed 0"
        " · about $0.42",
    ]
    assert card(summary(DEGRADED)).text == ":large_yellow_circle: nba, Tue Jan 16: 1 degraded, 2 published (of 3)"


def test_a_day_with_a_missing_run_says_why_and_what_happens_next() -> None:
    known = {NIGHT: seen(TWO, SHIPPED), EVENING: of_run(seen(TWO, "+5 a failed reason=<!channel>", 30), EVENING)}
    assert read(summary(known, now=minute(30))) == [
        ":red_circle: nba, Tue Jan 16: 1 missing, 1 blocked, 1 published (of 3)",
        "*tomorrow 2024-01-16 missing*: nobody has begun it; it was due at Jan 15 17:00 EST",
        "→ the next sweep begins it",
        "*same_day 2024-01-15 blocked*: a failed: &lt;!channel&gt; (1 of 1 attempts, tried again every 5 min)",
        "→ next look Jan 16 06:32 EST · `tipoff retry nba.2024-01-15.same_day.1 a --reason TEXT --target gcp`",
        ":white_check_mark: overnight published",
        "complete 100.0% · error 4.61 points (usually 4.70) · healed 0 · 1 open incident · about $0.42",
    ]


def test_a_day_without_games_is_one_line() -> None:
    quiet = {run: of_run(seen(TWO, NOTHING), run) for run in (NIGHT, EVENING, AHEAD)}
    told = ":large_green_circle: nba, Tue Jan 16: nothing was expected · about $0.42"
    assert read(summary(quiet, graded={})) == [told]
    assert read(summary({}, modes=frozenset())) == [told]


def test_a_dead_watchdog_stands_first() -> None:
    first, second = read(summary(WELL, watchdog="self-heal left its last heartbeat 9 minutes ago"))
    assert first == ":rotating_light: *Nothing heals by itself:* self-heal left its last heartbeat 9 minutes ago"
    assert second.startswith(":large_green_circle: nba, Tue Jan 16: all 3 published · ")


def test_an_incident_of_another_day_is_told_and_one_of_a_run_that_is_told_is_only_counted() -> None:
    old = replace(NIGHT, date=date(2024, 1, 2))
    known = {**WELL, old: of_run(seen(TWO, "+3 a failed", 30), old), NIGHT: seen(TWO, "+5 a failed", 30)}
    told = read(summary(known, now=minute(30)))
    (incident,) = [line for line in told if "since" in line]
    assert incident.startswith(":rotating_light: since Jan 16 06:03 EST: nba.2024-01-15.overnight.1 is blocked")
    assert "2 open incidents" in told[-1]


def test_an_incident_that_somebody_looks_into_names_him() -> None:
    (told, *_) = disaster(0, "it is down", incidents=1).pipelines[0].incidents
    assert incident(told) == "it is down (ann looks into it)"
    assert incident(replace(told, taken_by="")) == "it is down"


def test_the_grading_error_that_nobody_knows_is_said() -> None:
    assert "error unknown (OSError: it is down)" in facts(
        the_day(WELL, graded={NIGHT.date: Graded(unread="OSError: it is down")})
    )
    first = replace(GRADED, usual=None, days=0)
    assert "error 4.61 points (the first graded day)" in facts(the_day(WELL, graded={NIGHT.date: first}))


def test_a_command_stays_between_its_marks_whatever_is_in_it() -> None:
    told = disaster(1, "tipoff run --data `x`")
    assert "→ tipoff run --data `x` · `tipoff run --data 'x'`" in read(told)


def test_a_slow_phase_says_how_slow() -> None:
    told = read(summary({**WELL, NIGHT: seen(usual(TWO, 100, 60), SHIPPED)}))
    assert told[1] == "*overnight 2024-01-15 published*: raw 6 min (usually 2 min, 3.6 times as long) took long"


def test_how_long_it_took_is_told_as_a_person_compares_it() -> None:
    assert [length(seconds) for seconds in (0.2, 1, 99, 360, 7_199, 7_200)] == [
        "under 1 s",
        "1 s",
        "99 s",
        "6 min",
        "120 min",
        "2.0 h",
    ]


def test_units_and_batches_are_counted() -> None:
    day = the_day(WELL)
    batches = tuple(
        BatchDay(batch=f"b{units}", state="ended", units=units, done=units - 2, incident="") for units in (812, 3)
    )
    (mode, *others) = day.modes
    (run,) = mode.runs
    day = replace(day, modes=(replace(mode, runs=(replace(run, batches=batches),)), *others))
    assert "811 of 815 units in 2 batches" in facts(day)
    day = replace(day, modes=(replace(mode, runs=(replace(run, batches=batches[:1]),)), *others))
    assert "810 of 812 units in 1 batch" in facts(day)


def test_one_run_alone_is_named_by_its_state() -> None:
    assert headline(the_day(WELL, modes=frozenset({"overnight"}))) == "nba, Tue Jan 16: published"


def test_synthetic_data_are_labelled() -> None:
    known = {NIGHT: seen(replace(TWO, labels={"synthetic": "yes"}), SHIPPED)}
    assert headline(the_day(known, modes=frozenset({"overnight"}))) == "nba, Tue Jan 16 (synthetic): published"


def test_of_several_pipelines_the_worst_stands_first_and_a_green_one_is_a_line() -> None:
    green, red = the_day(WELL), replace(the_day({}), pipeline="hoopstat")
    told = replace(summary(WELL), signal=Signal.RED, pipelines=(green, red))
    lines = read(told)
    assert lines[0] == ":red_circle: hoopstat, Tue Jan 16: all 3 missing"
    assert lines[-1].startswith(":large_green_circle: nba, Tue Jan 16: all 3 published · ")
    assert len(read(replace(summary(WELL), pipelines=(green, green)))) == 2


# --- it always fits ---------------------------------------------------------------------------------------


def disaster(count: int, reason: str, *, incidents: int = 0) -> Summary:
    """A day on which every run of a pipeline with many is wrong, and says so at length."""
    runs = tuple(
        RunDay(
            run=RunKey("nba", NIGHT.date - timedelta(days=number), "overnight"),
            fate=Fate.FAILED,
            completeness=None,
            why=reason,
            next=reason,
            command=reason,
            missing=(),
            deadline_at=MORNING_AT,
            published_at=None,
            last_published=None,
            batches=(),
            slowest=Transition(phase=reason, took_s=9e9, usual_s=1, usual_from="cap"),
            healed={"resend": 10**9},
        )
        for number in range(count)
    )
    told = tuple(
        IncidentDay(
            run=NIGHT, cause="stalled", severity=Severity.PAGE, since=MORNING_AT, taken_by="ann", summary=reason
        )
        for _ in range(incidents)
    )
    mode = ModeDay(
        mode="overnight",
        expected=count,
        published=0,
        degraded=0,
        nothing_expected=0,
        unfinished=count,
        missing=0,
        runs=runs,
    )
    day = PipelineDay(
        pipeline="nba",
        date=NIGHT.date,
        zone="America/New_York",
        synthetic=False,
        signal=Signal.RED,
        modes=(mode,),
        incidents=tuple(replace(each, run=AHEAD) for each in told),
        grading=Grading(date=NIGHT.date, graded=0, error=None, usual=None, days=0, why=reason, is_fault=True),
        cost_usd=10**6,
    )
    return Summary(
        since=MORNING_AT, until=MORNING_AT, made_at=MORNING_AT, signal=Signal.RED, watchdog=reason, pipelines=(day,)
    )


def test_of_many_runs_that_are_wrong_some_are_told_and_the_others_are_counted() -> None:
    lines = read(disaster(30, "the feed is down", incidents=7))
    assert sum(line.startswith("*overnight") for line in lines) == RUNS_SHOWN
    (rest,) = [line for line in lines if line.startswith("and 22 more: ")]
    assert rest.endswith(" and 12 more")
    assert "and 2 more open incidents" in lines
    assert lines[1] == ":red_circle: nba, Mon Jan 15: all 30 failed"


HOSTILE = [
    "x" * 100_000,
    "<!channel>" * 9_000,
    "&" * 5_000,
    "🏀" * 5_000,
    '"\\' * 5_000,
    "`;rm -rf /`" * 900,
    "\n* " * 4_000,
]


@pytest.mark.parametrize("reason", HOSTILE, ids=lambda reason: repr(reason[:4]))
def test_a_disaster_with_huge_and_hostile_reasons_fits_and_calls_nobody(reason: str) -> None:
    told = disaster(30, reason, incidents=40)
    several = replace(told, pipelines=told.pipelines * 4)
    for each in (told, several):
        lines = read(each)
        assert not [line for line in lines if "<!" in line]
        assert any("more characters)" in line for line in lines) or len(reason) < 400
        assert any("and 22 more" in line or "did not fit" in line for line in lines)


REASONS: st.SearchStrategy[Any] = st.text(max_size=60).flatmap(
    lambda text: st.integers(1, 30).map(lambda times: text * times)
)


@settings(max_examples=40)  # each is several messages of all that fits
@given(count=st.integers(0, 40), reason=REASONS, incidents=st.integers(0, 12), pipelines=st.integers(1, 6))
def test_slack_takes_every_summary(count: int, reason: str, incidents: int, pipelines: int) -> None:
    told = disaster(count, reason, incidents=incidents)
    assert read(replace(told, pipelines=told.pipelines * pipelines))


def test_a_day_of_a_patient_run_is_green_while_it_runs() -> None:
    slow = left_of_out(critical("a", grace_s=9000, timeout_s=36_000), optional("c"), deadline=600)
    told = summary({NIGHT: seen(slow, "+5 look", 60)}, modes=frozenset({"overnight"}), now=minute(60), graded={})
    assert told.signal is Signal.GREEN
    assert read(told) == [
        ":large_green_circle: nba, Tue Jan 16: running · overnight due by Jan 16 08:00 EST · error unknown "
        "(overnight is running, and has graded nothing) · healed 0 · about $0.42"
    ]
