"""Cloud Scheduler in this process: when a schedule is due, and what it then says. The clock is the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim

from shared.core.codec import encode
from shared.core.messages import Message, Nudge
from shared.core.model import ScheduleSpec

LOOK_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=8), timedelta(days=366))
"""How far back the last firing is looked for: a short way first, for most schedules fire each day."""


def firings(schedule: ScheduleSpec, first: datetime, until: datetime) -> Iterator[datetime]:
    """The instants in first..until (until not among them) at which a schedule is due, in UTC.

    A local time that the spring change skips is due right after the gap; one that the autumn change repeats, once.
    """
    just_before = first.astimezone(ZoneInfo(schedule.zone)) - timedelta(seconds=1)
    for local in CronSim(schedule.cron, just_before):
        instant = local.astimezone(timezone.utc)
        if instant >= until:
            return
        yield instant


def last_due(schedule: ScheduleSpec, before: datetime) -> datetime | None:
    """The last instant before this one at which a schedule was due, in UTC; None if it was not for a year."""
    for reach in LOOK_BACK:
        due = None
        for due in firings(schedule, before - reach, before):  # noqa: B007 - the last of them
            pass
        if due is not None:
            return due
    return None


def nudge_message(schedule: ScheduleSpec, pipeline: str, scheduled_at: datetime, topic: str) -> Message:
    """What the schedule's body says. It names the time it was scheduled for: late or doubled, it means the same run."""
    nudge = Nudge(
        pipeline=pipeline,
        mode=schedule.mode,
        date=schedule.date,
        scheduled_at=scheduled_at,
        act=schedule.act,
        schedule=schedule.name,
    )
    return Message(topic=topic, data=encode(nudge))
