"""What is watched and is about no run: the heartbeats of scheduled jobs, and the services. Pure.

Their incidents are kept as those of a run are, in a record of the pipeline that looks like a run without phases: of no
date, and of a mode that no pipeline may declare. So they are claimed, told, escalated and resolved by the same latches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from shared.core.fold import incidents_of
from shared.core.incident import Cause, escalations, raised, resolved
from shared.core.model import WATCH, Alert, Latch, RunKey, Severity
from shared.core.plan import Plan

HEARTBEAT, HEALTH = "heartbeat", "health"
"""What the names of the causes begin with: heartbeat-same-day, health-export_processor."""

BEAT_GRACE = timedelta(minutes=10)
"""That a job may come later than its schedule says: Cloud Scheduler tries again, and an instance has to start."""

BAD_FOR = timedelta(seconds=55)
"""SYSTEMS, section 1: twice, 60 s apart. Rounds that are a minute apart arrive some seconds less apart."""

FULL_FOR = timedelta(minutes=10)
"""The same of a service whose instances take one request each: while all are at work, who asks waits, and may not be
answered in time. A batch is through in less; one that is not is healed, and told, by its coordinator."""

WELL_FOR = timedelta(minutes=5)
"""That a service has to be well before its incident is over: one that flaps has one, and not one for each time."""


def record_of(pipeline: str) -> RunKey:
    """Where the incidents of a pipeline are that are about none of its runs."""
    return RunKey(pipeline, date.min, WATCH)


def record(pipeline: str, now: datetime) -> Plan:
    """What is written once, so that the timer can be told when to look at it."""
    key = record_of(pipeline)
    return Plan(run=key, started_at=now, deadline_at=now, config_hash="", expects="", phases=())


def late(schedule: str, beat: datetime, due_at: datetime | None) -> Cause | None:
    """Of a job whose last firing that should have come through by now was due then. The sweep begins what it did not
    begin, so nobody gets up."""
    if due_at is None or beat >= due_at:
        return None
    why = f"the schedule {schedule} was due at {_clock(due_at)}, and its job last came through at {_clock(beat)}"
    remedy = "is it paused, or refused? `tipoff doctor` compares it with what is declared"
    return Cause(f"{HEARTBEAT}-{schedule}", Severity.WARN, f"{why}; {remedy}")


def ailing(service: str, why: str, since: datetime) -> Cause:
    return Cause(f"{HEALTH}-{service}", Severity.PAGE, f"{service} is not well since {_clock(since)}: {why}")


def watch_latches(
    run: RunKey, latches: Iterable[Latch], found: Sequence[Cause], unsure: Collection[str], now: datetime
) -> tuple[Latch, ...]:
    """What makes what people are told agree with what is found. `unsure`: names of causes that are neither there nor
    over yet."""
    known: Mapping[str, Alert] = incidents_of(latches)
    open_now = {name: alert for name, alert in known.items() if not alert.resolved}
    there = {cause.name for cause in found}
    over = sorted(open_now.keys() - there - set(unsure))
    return (
        *(raised(run, known.get(cause.name), cause, now) for cause in found if cause.name not in open_now),
        *(resolved(run, open_now[name], _ended(name), now) for name in over),
        *escalations(run, (open_now[name] for name in sorted(open_now.keys() - set(over))), now),
    )


def _ended(name: str) -> str:
    kind, _, about = name.partition("-")
    return f"{about} is well" if kind == HEALTH else f"the schedule {about} has come through, or is watched no more"


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
