"""When a scheduled job counts as dead, by the heartbeat that it leaves whenever it has come through. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

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


def dead_since(name: str, last: datetime | None, now: datetime, born_at: datetime) -> str:
    """Why a job counts as dead; empty while it lives.

    Nobody who has looked only since `born_at` says so before BEAT_MAX: what was just deployed, or begun anew after a
    night, gets the time for a round.
    """
    if now - max(last or born_at, born_at) <= BEAT_MAX:
        return ""
    if last is None:
        return f"{name} has never left a heartbeat; is its schedule there, and not paused?"
    age, when = _minutes(now - last), f"{last:%Y-%m-%d %H:%M} UTC"
    return f"{name} left its last heartbeat {age} ago, at {when}; is its schedule paused?"


def _minutes(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
