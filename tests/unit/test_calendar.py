"""Which day it is and which runs should exist: over midnight, both DST changes and the ends of years."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from shared.config.nba import NBA
from shared.core.calendar import (
    at,
    clock,
    day_before,
    deadline,
    expected_runs,
    game_day,
    mode_for,
    resolve,
    usual_start,
)

EASTERN = "America/New_York"
MODES = {mode.name: mode for mode in NBA.modes}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        pytest.param("2024-01-16T03:30", "2024-01-15", id="a UTC morning is still yesterday evening in the East"),
        pytest.param("2024-01-16T04:59:59.999999", "2024-01-15", id="the last microsecond belongs to the day"),
        pytest.param("2024-01-16T05:00", "2024-01-16", id="midnight Eastern opens the day"),
        pytest.param("2024-01-01T02:00", "2023-12-31", id="New Year in UTC is New Year's Eve in the East"),
        pytest.param("2024-03-01T04:00", "2024-02-29", id="the leap day lasts until midnight Eastern"),
        pytest.param("2024-03-10T04:59", "2024-03-09", id="the day before the spring change ends at 05:00 UTC"),
        pytest.param("2024-03-11T03:59", "2024-03-10", id="the spring day is an hour shorter"),
        pytest.param("2024-03-11T04:00", "2024-03-11", id="after the spring change midnight is 04:00 UTC"),
        pytest.param("2024-11-04T04:59", "2024-11-03", id="the autumn day is an hour longer"),
        pytest.param("2024-11-04T05:00", "2024-11-04", id="after the autumn change midnight is 05:00 UTC"),
    ],
)
def test_a_game_belongs_to_its_local_day(instant: str, day: str) -> None:
    assert game_day(utc(instant), EASTERN) == date.fromisoformat(day)


def test_the_offset_in_which_an_instant_is_written_changes_nothing() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert game_day(utc("2024-01-16T03:30").astimezone(tokyo), EASTERN) == date(2024, 1, 15)


def test_a_naive_time_has_no_game_day() -> None:
    with pytest.raises(AssertionError, match="naive"):
        game_day(datetime(2024, 1, 15), EASTERN)  # noqa: DTZ001 - the fault under test


@pytest.mark.parametrize(
    ("day", "clock_time", "instant"),
    [
        pytest.param("2024-01-15", "06:00", "2024-01-15T11:00", id="winter is five hours behind"),
        pytest.param("2024-07-15", "06:00", "2024-07-15T10:00", id="summer is four hours behind"),
        pytest.param("2024-03-10", "01:59", "2024-03-10T06:59", id="the last minute before the gap"),
        pytest.param("2024-03-10", "02:00", "2024-03-10T07:00", id="the gap's first minute moves to 03:00 EDT"),
        pytest.param("2024-03-10", "02:30", "2024-03-10T07:30", id="a time in the gap moves to 03:30 EDT"),
        pytest.param("2024-03-10", "03:00", "2024-03-10T07:00", id="the first minute after the gap"),
        pytest.param("2024-03-10", "06:00", "2024-03-10T10:00", id="the morning after the spring change"),
        pytest.param("2024-11-03", "00:59", "2024-11-03T04:59", id="the last minute before the repeated hour"),
        pytest.param("2024-11-03", "01:30", "2024-11-03T05:30", id="a repeated time is the first of the two"),
        pytest.param("2024-11-03", "02:00", "2024-11-03T07:00", id="after the repeated hour it is winter"),
        pytest.param("2024-12-31", "23:59", "2025-01-01T04:59", id="the year's last minute is next year in UTC"),
    ],
)
def test_a_local_time_is_one_instant(day: str, clock_time: str, instant: str) -> None:
    found = at(date.fromisoformat(day), clock_time, EASTERN)
    assert (found, found.tzinfo) == (utc(instant), timezone.utc)


@pytest.mark.parametrize(
    ("day", "mode"),
    [
        pytest.param("2024-01-14", "overnight", id="a day before the run's day is overnight"),
        pytest.param("2024-01-15", "same_day", id="the run's own day is same_day though UTC is a day further"),
        pytest.param("2024-01-16", "tomorrow", id="a day after the run's day is tomorrow though UTC is there already"),
    ],
)
def test_the_mode_comes_from_the_local_day_on_which_the_run_starts(day: str, mode: str) -> None:
    assert mode_for(date.fromisoformat(day), utc("2024-01-16T03:30"), EASTERN) == mode


@pytest.mark.parametrize(
    ("word", "scheduled_at", "day"),
    [
        pytest.param("YESTERDAY", "2024-01-16T11:00", "2024-01-15", id="yesterday at 06:00"),
        pytest.param("TODAY", "2024-01-16T15:30", "2024-01-16", id="today at 10:30"),
        pytest.param("TOMORROW", "2024-01-16T22:00", "2024-01-17", id="tomorrow at 17:00"),
        pytest.param("TODAY", "2024-01-16T04:59", "2024-01-15", id="today before midnight Eastern"),
        pytest.param("YESTERDAY", "2024-01-01T11:00", "2023-12-31", id="yesterday on New Year's Day"),
        pytest.param("TOMORROW", "2024-02-28T22:00", "2024-02-29", id="tomorrow is the leap day"),
        pytest.param("YESTERDAY", "2024-03-11T10:00", "2024-03-10", id="yesterday was the day of the spring change"),
        pytest.param("YESTERDAY", "2024-11-04T11:00", "2024-11-03", id="yesterday was the day of the autumn change"),
    ],
)
def test_a_date_word_is_relative_to_the_scheduled_time(word: str, scheduled_at: str, day: str) -> None:
    assert resolve(word, utc(scheduled_at), EASTERN) == date.fromisoformat(day)


def test_an_unknown_date_word_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected one of YESTERDAY, TODAY, TOMORROW, got 'today'"):
        resolve("today", utc("2024-01-16T11:00"), EASTERN)


@pytest.mark.parametrize(
    ("mode", "day", "start_at", "deadline_at"),
    [
        pytest.param(
            "overnight", "2024-01-15", "2024-01-16T11:00", "2024-01-16T14:00", id="overnight is the morning after"
        ),
        pytest.param("same_day", "2024-01-15", "2024-01-15T15:30", "2024-01-15T23:30", id="same_day is before tip-off"),
        pytest.param(
            "tomorrow", "2024-01-15", "2024-01-14T22:00", "2024-01-15T01:00", id="tomorrow is the evening before"
        ),
        pytest.param(
            "overnight", "2024-03-09", "2024-03-10T10:00", "2024-03-10T13:00", id="overnight on the spring morning"
        ),
        pytest.param(
            "overnight", "2024-11-02", "2024-11-03T11:00", "2024-11-03T14:00", id="overnight on the autumn morning"
        ),
        pytest.param(
            "overnight", "2023-12-31", "2024-01-01T11:00", "2024-01-01T14:00", id="overnight of New Year's Eve"
        ),
        pytest.param(
            "tomorrow", "2024-01-01", "2023-12-31T22:00", "2024-01-01T01:00", id="tomorrow for New Year's Day"
        ),
    ],
)
def test_a_mode_has_a_usual_start_and_a_deadline(mode: str, day: str, start_at: str, deadline_at: str) -> None:
    found = MODES[mode], date.fromisoformat(day)
    assert usual_start(*found, EASTERN) == utc(start_at)
    assert deadline(*found, EASTERN) == utc(deadline_at)


DAY_OF_RUNS = ["nba.2024-01-14.overnight.1", "nba.2024-01-15.same_day.1", "nba.2024-01-16.tomorrow.1"]


@pytest.mark.parametrize(
    ("now", "look_back_days", "runs"),
    [
        pytest.param("2024-01-16T04:59", 1, DAY_OF_RUNS, id="at midnight the day has had its three runs in order"),
        pytest.param("2024-01-15T10:59", 0, [], id="a minute before its start a run is not expected"),
        pytest.param("2024-01-15T11:00", 0, DAY_OF_RUNS[:1], id="on its start it is"),
        pytest.param(
            "2024-01-15T15:29",
            1,
            ["nba.2024-01-14.same_day.1", "nba.2024-01-15.tomorrow.1", "nba.2024-01-14.overnight.1"],
            id="a day's look-back reaches a day less a minute into yesterday",
        ),
        pytest.param(
            "2024-01-01T11:00",
            1,
            [
                "nba.2023-12-30.overnight.1",
                "nba.2023-12-31.same_day.1",
                "nba.2024-01-01.tomorrow.1",
                "nba.2023-12-31.overnight.1",
            ],
            id="over the year's end",
        ),
        pytest.param(
            "2024-03-10T10:00",
            0,
            ["nba.2024-03-09.overnight.1"],
            id="on the spring morning 06:00 is 10:00 UTC",
        ),
        pytest.param("2024-11-03T10:59", 0, [], id="on the autumn morning 06:00 is not 10:00 UTC"),
        pytest.param("2024-11-03T11:00", 0, ["nba.2024-11-02.overnight.1"], id="on the autumn morning it is 11:00 UTC"),
    ],
)
def test_the_runs_that_should_exist(now: str, look_back_days: int, runs: list[str]) -> None:
    assert [str(run) for run in expected_runs(NBA, utc(now), look_back_days)] == runs


@pytest.mark.parametrize("month", [1, 3, 11])
def test_the_minutely_sweep_expects_every_run_exactly_when_it_starts(month: int) -> None:
    """Over fifteen days around each DST change no minute invents, loses or reorders a run."""
    seen: list[str] = []
    now = datetime(2024, month, 1, 5, tzinfo=timezone.utc)
    for _ in range(15 * 24 * 12):
        for run in expected_runs(NBA, now, look_back_days=0):
            mode = MODES[run.mode]
            assert usual_start(mode, run.date, EASTERN) == now
            seen.append(str(run))
        now += timedelta(minutes=5)
    assert len(seen) == len(set(seen)) == 15 * 3


def test_two_days_are_looked_back_by_default() -> None:
    assert len(expected_runs(NBA, utc("2024-01-16T04:59"))) == 6


def test_a_pipeline_without_modes_expects_nothing() -> None:
    assert expected_runs(replace(NBA, modes=()), utc("2024-01-16T04:59")) == ()


@pytest.mark.parametrize(
    ("instant", "zone", "text"),
    [
        ("2024-01-16T11:05:00+00:00", "America/New_York", "Jan 16 06:05 EST"),
        ("2024-07-04T03:05:59+00:00", "America/New_York", "Jul 3 23:05 EDT"),
        ("2024-07-04T03:05:00+00:00", "UTC", "Jul 4 03:05 UTC"),
    ],
)
def test_a_time_is_told_by_the_clock_on_the_wall(instant: str, zone: str, text: str) -> None:
    assert clock(datetime.fromisoformat(instant), zone) == text


@pytest.mark.parametrize(
    ("instant", "before"),
    [
        ("2024-03-10T12:00:00+00:00", "2024-03-09T13:00:00+00:00"),
        ("2024-11-03T13:00:00+00:00", "2024-11-02T12:00:00+00:00"),
        ("2024-01-16T13:00:00+00:00", "2024-01-15T13:00:00+00:00"),
    ],
)
def test_the_same_time_a_day_before_is_the_same_on_the_clock(instant: str, before: str) -> None:
    assert day_before(datetime.fromisoformat(instant), "America/New_York") == datetime.fromisoformat(before)
