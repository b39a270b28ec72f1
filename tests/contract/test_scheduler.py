"""When schedules are due, over midnight and both changes of the clocks, and what they say."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from shared.adapters.scheduler import firings, nudge_message
from shared.config.schedules import NBA_SCHEDULES
from shared.core.messages import read_nudge
from shared.core.model import ScheduleSpec


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def daily(cron: str) -> ScheduleSpec:
    return ScheduleSpec(name="s", cron=cron, zone="America/New_York", act="start", mode="overnight", date="YESTERDAY")


@pytest.mark.parametrize(
    ("cron", "first", "until", "due"),
    [
        pytest.param(
            "0 6 * * *",
            "2024-01-15T00:00",
            "2024-01-17T00:00",
            ["2024-01-15T11:00", "2024-01-16T11:00"],
            id="six o'clock in winter is eleven in UTC",
        ),
        pytest.param(
            "0 6 * * *",
            "2024-03-09T12:00",
            "2024-03-11T12:00",
            ["2024-03-10T10:00", "2024-03-11T10:00"],
            id="six o'clock stays six o'clock over the change in spring",
        ),
        pytest.param(
            "30 2 * * *",
            "2024-03-10T00:00",
            "2024-03-11T00:00",
            ["2024-03-10T07:00"],
            id="a time that spring skips is due after the gap",
        ),
        pytest.param(
            "30 1 * * *",
            "2024-11-03T00:00",
            "2024-11-04T00:00",
            ["2024-11-03T05:30"],
            id="a time that autumn repeats is due once",
        ),
        pytest.param(
            "0 6 * * *",
            "2024-01-15T11:00",
            "2024-01-16T11:00",
            ["2024-01-15T11:00"],
            id="the first instant counts, the last does not",
        ),
    ],
)
def test_a_schedule_is_due(cron: str, first: str, until: str, due: list[str]) -> None:
    assert list(firings(daily(cron), utc(first), utc(until))) == [utc(text) for text in due]


@pytest.mark.parametrize("schedule", NBA_SCHEDULES, ids=lambda schedule: schedule.name)
def test_what_a_schedule_says_can_be_read_at_the_rim(schedule: ScheduleSpec) -> None:
    message = nudge_message(schedule, "nba", utc("2024-01-16T11:00"), "nba-nudge")
    nudge = read_nudge(message.data)
    assert (nudge.mode, nudge.date, nudge.act) == (schedule.mode, schedule.date, schedule.act)
    assert nudge.scheduled_at == utc("2024-01-16T11:00")
