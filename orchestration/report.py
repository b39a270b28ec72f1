"""The figures of `tipoff report`: each by a query that anyone can read and run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files

from orchestration.runs import status_of
from shared import wiring
from shared.core.model import RunKey
from shared.ports import Partition, Stamp, StateStore, Warehouse

QUERIES = {"runs": "report.runs.sql", "accuracy": "report.accuracy.sql"}
"""What each figure is asked with; the runs over tipoff_ops, the accuracy over the pipeline's own tables."""

WRITER = Stamp(run="report", attempt=1, fence=1)

Row = Mapping[str, object]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rows of both queries."""

    runs: Rows
    accuracy: Rows


@cache
def sql(name: str) -> str:
    """The text of a file of this folder."""
    return (files("orchestration") / name).read_text(encoding="utf-8")


def report(home: wiring.Home, pipeline: str, first: date, last: date) -> Report:
    """Of the runs and games of these dates. Reads only; the tables of the pipeline must be there."""
    now, span = home.clock.now(), {"pipeline": pipeline, "first": first, "last": last}
    with closing(wiring.memory_warehouse()) as ops:
        load_runs(ops, home.ports.states, pipeline, first, last, now)
        runs = ops.query(sql(QUERIES["runs"]), span)
    return Report(runs=runs, accuracy=accuracy(home.warehouse, first, last))


def accuracy(warehouse: Warehouse, first: date, last: date) -> Rows:
    """How far off the predictions of these dates were, the best system first, the baselines last."""
    return warehouse.query(sql(QUERIES["accuracy"]), {"first": first, "last": last})


def load_runs(warehouse: Warehouse, states: StateStore, pipeline: str, first: date, last: date, now: datetime) -> None:
    """Fold every run of these dates into tipoff_ops.runs."""
    warehouse.create(sql("ops.sql"))
    days = Partition(table="tipoff_ops.runs", column="date", first=first, last=last)
    warehouse.load(days, list(_rows(states, states.runs(pipeline, first, last), now)), WRITER)


def _rows(states: StateStore, runs: Sequence[RunKey], now: datetime) -> Iterator[Row]:
    for run in runs:
        status, plan = status_of(states, run, now), states.plan(run)
        assert plan is not None
        yield {
            "run_id": str(run),
            "pipeline": run.pipeline,
            "date": run.date,
            "mode": run.mode,
            "generation": run.generation,
            "state": str(status.state),
            "started_at": status.started_at,
            "ended_at": status.ended_at,
            "duration_s": (status.ended_at - status.started_at).total_seconds() if status.ended_at else None,
            "completeness": status.completeness,
            "config_hash": plan.config_hash,
            "synthetic": status.synthetic,
        }
