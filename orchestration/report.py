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
from shared.core.repairs import gates_opened, repairs
from shared.ports import Partition, Stamp, StateStore, Warehouse

QUERIES = {"runs": "report.runs.sql", "repairs": "report.repairs.sql", "accuracy": "report.accuracy.sql"}
"""What each figure is asked with; runs and repairs over tipoff_ops, the accuracy over the pipeline's own tables."""

WRITER = Stamp(run="report", attempt=1, fence=1)

Row = Mapping[str, object]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rows of each query, and how many gates the runs have passed."""

    runs: Rows
    repairs: Rows
    gates: int
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
        repairs = ops.query(sql(QUERIES["repairs"]), span)
        gates = sum(int(str(row["gates"])) for row in ops.query("SELECT gates FROM tipoff_ops.runs", {}))
    return Report(runs=runs, repairs=repairs, gates=gates, accuracy=accuracy(home.warehouse, first, last))


def accuracy(warehouse: Warehouse, first: date, last: date) -> Rows:
    """How far off the predictions of these dates were, the best system first, the baselines last."""
    return warehouse.query(sql(QUERIES["accuracy"]), {"first": first, "last": last})


def load_runs(warehouse: Warehouse, states: StateStore, pipeline: str, first: date, last: date, now: datetime) -> None:
    """Fold every run of these dates into tipoff_ops.runs, and what the backup did in each into tipoff_ops.repairs."""
    warehouse.create(sql("ops.sql"))
    acts: list[Row] = []
    rows = list(_rows(states, states.runs(pipeline, first, last), now, acts))
    for table, found in (("runs", rows), ("repairs", acts)):
        days = Partition(table=f"tipoff_ops.{table}", column="date", first=first, last=last)
        warehouse.load(days, found, WRITER)


def _rows(states: StateStore, runs: Sequence[RunKey], now: datetime, acts: list[Row]) -> Iterator[Row]:
    for run in runs:
        status, plan = status_of(states, run, now), states.plan(run)
        assert plan is not None
        record, ledger = states.load(run), states.ledger(run)
        about = {"run_id": str(run), "pipeline": run.pipeline, "date": run.date, "mode": run.mode}
        acts.extend(
            {**about, "kind": str(act.kind), "subject": act.subject, "reason": act.reason, "at": act.at}
            for act in repairs(plan, record.facts, record.latches, ledger)
        )
        yield {
            "gates": gates_opened(ledger),
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
