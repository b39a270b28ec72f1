"""When a scheduled job counts as dead, by the heartbeat that it leaves whenever it has come through. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from shared.core.messages import Nudge
from shared.core.model import ScheduleSpec

SELF_HEAL = "self-heal"
"""The job whose heartbeat everything hangs on: its schedule has the same name."""

BEAT_EVERY = timedelta(minutes=1)  # a job that goes round faster leaves no more: each is a write
BEAT_MAX = timedelta(minutes=5)
"""Five missed rounds are no hiccup. Whoever asks each minute, from outside, tells a person within ten."""

NEVER = datetime.min.replace(tzinfo=timezone.utc)
"""When whoever cannot say since when it has looked began to: for it a job that has never beaten is dead."""


def beats_again(last: datetime | None, now: datetime) -> bool:
    """Whether a job that has come through leaves another heartbeat; also where the clock was put back."""
    return last is None or not last <= now < last + BEAT_EVERY


def beat_of(nudge: Nudge, schedules: Iterable[ScheduleSpec], now: datetime) -> tuple[str, datetime] | None:
    """The heartbeat that a schedule's job leaves once what it asked for is done: its name, and when.

    None for a word of nobody who is declared: names are not taken from the outside. A clock that is behind must not
    make it look as if the firing before had been the last.
    """
    for schedule in schedules:
        if (schedule.name, schedule.act) == (nudge.schedule, nudge.act):
            return schedule.name, max(now, nudge.scheduled_at)
    return None


def dead_since(name: str, last: datetime | None, now: datetime, born_at: datetime) -> str:
    """Why a job counts as dead; empty while it lives.

    One that has never beaten gets BEAT_MAX from `born_at` on, when whoever asks began to look: it was just deployed.
    One that has, and stopped, is told by whoever asks first: instances that come and go must not put it off for ever.
    """
    if now - (last or born_at) <= BEAT_MAX:
        return ""
    if last is None:
        return f"{name} has never left a heartbeat; is its schedule there, and not paused?"
    age, when = _minutes(now - last), f"{last:%Y-%m-%d %H:%M} UTC"
    return f"{name} left its last heartbeat {age} ago, at {when}; is its schedule paused?"


def _minutes(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
