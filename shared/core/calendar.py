"""Which day it is for a pipeline, and which runs should exist by now. Local time is read here and nowhere else."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from shared.core.model import ModeSpec, PipelineSpec, RunKey

DATE_WORDS = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}


def game_day(instant: datetime, zone: str) -> date:
    """The local date: a game at 22:30 Eastern belongs to that evening, though UTC is a day further."""
    assert instant.tzinfo is not None, "naive datetime"
    return instant.astimezone(ZoneInfo(zone)).date()


def at(day: date, clock_time: str, zone: str) -> datetime:
    """The instant of "HH:MM" on a local date, in UTC.

    A time that the spring change skips moves forward by the gap; of one that the autumn change repeats, the first.
    """
    local = datetime.combine(day, time.fromisoformat(clock_time), ZoneInfo(zone))  # fold=0 means both of these
    return local.astimezone(timezone.utc)


def mode_for(day: date, started_at: datetime, zone: str) -> str:
    """The mode a message without one means. Asked once, when the run starts."""
    today = game_day(started_at, zone)
    if day < today:
        return "overnight"
    return "same_day" if day == today else "tomorrow"


def resolve(word: str, scheduled_at: datetime, zone: str) -> date:
    """The date a schedule's YESTERDAY, TODAY or TOMORROW means: relative to when it was due, however late it comes."""
    if word not in DATE_WORDS:
        raise ValueError(f"date: expected one of {', '.join(DATE_WORDS)}, got {word[:40]!r}")
    return game_day(scheduled_at, zone) + timedelta(days=DATE_WORDS[word])


def usual_start(mode: ModeSpec, day: date, zone: str) -> datetime:
    """When a run of this mode for this date usually starts."""
    return at(day + timedelta(days=mode.start_days), mode.starts_at, zone)


def deadline(mode: ModeSpec, day: date, zone: str) -> datetime:
    """When a run of this mode for this date must be through."""
    return at(day + timedelta(days=mode.deadline_days), mode.deadline, zone)


def expected_runs(spec: PipelineSpec, now: datetime, look_back_days: int = 2) -> tuple[RunKey, ...]:
    """The runs whose usual start lies within the look-back and has passed by now, in its order.

    Two days: a weekend's outage heals by itself; what is older, a person replays on purpose.
    """
    earliest = now - timedelta(days=look_back_days)
    first, last = game_day(earliest, spec.zone), game_day(now, spec.zone)
    starts: list[tuple[datetime, RunKey]] = []
    for days in range((last - first).days + 1):
        for mode in spec.modes:
            day = first + timedelta(days=days - mode.start_days)
            start_at = usual_start(mode, day, spec.zone)
            if earliest <= start_at <= now:
                starts.append((start_at, RunKey(spec.name, day, mode.name)))
    return tuple(run for _, run in sorted(starts))


def day_before(instant: datetime, zone: str) -> datetime:
    """The same time on the clock, one local day earlier: 23 or 25 hours where the clock was changed."""
    local = instant.astimezone(ZoneInfo(zone))
    return (local - timedelta(days=1)).astimezone(timezone.utc)  # on the wall: the zone is applied again


def clock(instant: datetime, zone: str) -> str:
    """The local date and time, for a person who lives by them."""
    local = instant.astimezone(ZoneInfo(zone))
    return f"{local:%b} {local.day} {local:%H:%M %Z}"
