"""How well a pipeline kept its objectives: events by queries that anyone can read, judged by core. For commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta

from orchestration.report import Row, load_transitions, sql
from orchestration.wording import span
from shared import wiring
from shared.config.orchestration_config import PIPELINES
from shared.config.slos import slos_of
from shared.core.calendar import expected_runs
from shared.core.model import RunKey
from shared.core.slo import Attained, Event, Measured, Offence, attained
from shared.ports import StateStore

QUERIES = {measured: f"slo.{measured}.sql" for measured in Measured}
"""What the events of each objective are asked with, over tipoff_ops."""


SAID = {
    Measured.PUBLISHED: "{took} after its deadline",
    Measured.READY: "the gate {phase} was ready for {took}",
    Measured.DURATION: "{phase} took {took}, {times:.1f} times the usual",
}


def keeps(
    states: StateStore,
    pipeline: str,
    now: datetime,
    *,
    last: date | None = None,
    days: int | None = None,
    begins: bool = False,
) -> tuple[Attained, ...]:
    """Each objective of a pipeline, in its window of run dates, or in that of `days`, that ends with `last`: with the
    newest run's date, where none is given. Reads only. Without any run all are without data.

    `begins`: whether runs begin there by themselves. Then one that the calendar expects and that nobody has begun is an
    event too, from the first run on that there ever was; elsewhere nobody knows which were wanted.
    """
    specs = slos_of(pipeline)
    longest = days or max((spec.window_days for spec in specs), default=1)
    known = states.runs(pipeline, date.min, date.max)
    wanted = _missing(pipeline, known, now, longest) if begins and known else ()
    last = last or max((run.date for run in (*known, *wanted)), default=now.date())
    found = events(states, pipeline, now, last - timedelta(days=longest - 1), last, wanted)
    return tuple(attained(spec, found[spec.measured], last, days) for spec in specs)


def _missing(pipeline: str, known: Sequence[RunKey], now: datetime, days: int) -> tuple[RunKey, ...]:
    """Runs that should be there and are not; absence is a row."""
    there, began = {(run.date, run.mode) for run in known}, min(run.date for run in known)
    expected = expected_runs(PIPELINES[pipeline], now, days)
    return tuple(run for run in expected if run.date > began and (run.date, run.mode) not in there)


def events(
    states: StateStore, pipeline: str, now: datetime, first: date, last: date, missing: Sequence[RunKey] = ()
) -> Mapping[Measured, Sequence[Event]]:
    """What there is to be judged of the runs of these dates, by what is measured."""
    span = {"pipeline": pipeline, "first": first, "last": last}
    with closing(wiring.memory_warehouse()) as ops:
        load_transitions(ops, states, pipeline, first, last, now, [run for run in missing if first <= run.date <= last])
        found: dict[Measured, Sequence[Event]] = {}
        for measured, file in QUERIES.items():
            asked = {**span, "now": now} if measured is Measured.PUBLISHED else span
            found[measured] = [_event(row) for row in ops.query(sql(file), asked)]
    return found


def _event(row: Row) -> Event:
    day, at, took, usual = row["date"], row["happened_at"], row["measured_s"], row["usual_s"]
    assert isinstance(day, date), row
    assert isinstance(at, datetime), row
    assert isinstance(took, float | int), row
    assert usual is None or isinstance(usual, float | int), row
    return Event(
        run=str(row["run_id"]),
        date=day,
        at=at,
        measured_s=float(took),
        phase=str(row["phase"]),
        usual_s=usual,
        is_begun=bool(row.get("is_begun", True)),
    )


def said_of(measured: Measured, offence: Offence) -> str:
    """What was late of an event, and by how much."""
    event = offence.event
    if not event.is_begun:
        return f"nobody has begun it, {span(event.measured_s)} after its deadline"
    times = event.measured_s / event.usual_s if event.usual_s else 0.0
    return SAID[measured].format(took=span(event.measured_s), times=times, phase=event.phase)
