"""Small days for the tests of the summary: runs of nba that were due in the day before the morning of January 16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from orchestration.summary import first_help
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.config.settings import read_settings
from shared.core.model import RunKey
from shared.core.morning import Gathered, Graded, Seen, summary_of
from shared.core.plan import Plan
from shared.core.summary import PipelineDay, RunDay, Summary
from tests.unit.plans import RUN, Day, minute

MORNING_AT = minute(120)  # 08:00 in New York, two hours after the night began
NIGHT = RUN
EVENING = RunKey("nba", date(2024, 1, 15), "same_day")
AHEAD = RunKey("nba", date(2024, 1, 16), "tomorrow")
SETTINGS = read_settings({"TIPOFF_TARGET": "gcp", "GOOGLE_CLOUD_PROJECT": "tipoff-dev", "TIPOFF_EXPORTS": "gs://x/nba"})
NOBODYS = Sqlite(":memory:")  # of no runs
EVERY = frozenset({"overnight", "same_day", "tomorrow"})
GRADED = Graded(graded=812, error=4.612, usual=4.7, days=10)


def seen(of: Plan, script: str = "", at: float = 120, **more: Any) -> Seen:
    """A run as it stands after a script of tests/unit/plans.py."""
    day = Day(of).play(script, until=at)
    parts = {
        "facts": tuple(day.facts),
        "latches": tuple(day.latches.values()),
        "control": day.control,
        "last_entry": day.ledger[-1] if day.ledger else None,
        "ledger": tuple(day.ledger),
    }
    return Seen(plan=of, **{**parts, **more})


def of_run(known: Seen, run: RunKey) -> Seen:
    """The same, of another run: what names its run in facts and latches is not looked at by a view."""
    return replace(known, plan=replace(known.plan, run=run))


def gathered(known: Mapping[RunKey, Seen], **more: Any) -> Gathered:
    found = Gathered(
        spec=NBA,
        modes=EVERY,
        seen=known,
        watched=(),
        graded={RUN.date: GRADED},
        cost_usd=0.4213,
        goes_on=lambda run, labels: (
            f"tipoff run {run.pipeline} --date {run.date} --mode {run.mode} --data {labels.get('folder', 'DIR')}"
        ),
        helps=partial(first_help, NOBODYS.states, SETTINGS),
        is_looked_at=True,
        begins="the next sweep begins it",
    )
    return replace(found, **more)


def summary(
    known: Mapping[RunKey, Seen],
    *,
    now: datetime = MORNING_AT,
    until: datetime = MORNING_AT,
    watchdog: str = "",
    **more: Any,
) -> Summary:
    return summary_of([gathered(known, **more)], until=until, now=now, watchdog=watchdog)


def the_day(known: Mapping[RunKey, Seen], **more: Any) -> PipelineDay:
    (day,) = summary(known, **more).pipelines
    return day


def night(of: Plan, script: str, at: float = 120, **more: Any) -> RunDay:
    """What is told of the night alone, at this minute after it began."""
    told = the_day({NIGHT: seen(of, script, at)}, now=minute(at), modes=frozenset({"overnight"}), **more)
    (run,) = told.runs
    return run


def days_later(days: int) -> datetime:
    return MORNING_AT + timedelta(days=days)
