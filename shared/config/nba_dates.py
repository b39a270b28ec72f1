"""Which dates a run of the nba pipeline looks at."""

from __future__ import annotations

from datetime import date, timedelta

from shared.core.model import RunKey

DAY = timedelta(days=1)


def as_of_date(run: RunKey) -> date:
    """The date the as_of tables look at: overnight prepares the day after its games, the others their own."""
    return run.date + DAY if run.mode == "overnight" else run.date


def season_first(day: date) -> date:
    """A season runs from October; nothing of the one before counts as form."""
    return date(day.year if day.month >= 10 else day.year - 1, 10, 1)
