"""The figures of `tipoff report`: each by a query that anyone can read and run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files

from shared import wiring
from shared.config.orchestration_config import PIPELINES
from shared.core import calendar
from shared.core.durations import phase_spans
from shared.core.fold import look
from shared.core.gate import NOTHING_EXPECTED
from shared.core.model import OutcomeKind, RunKey
from shared.core.plan import Plan
from shared.core.repairs import repairs
from shared.core.status import summarise
from shared.ports import Partition, RunRecord, Stamp, StateStore, Warehouse

QUERIES = {
    "runs": "report.runs.sql",
    "reliability": "report.reliability.sql",
    "repairs": "report.repairs.sql",
    "accuracy": "report.accuracy.sql",
}
"""What each figure is asked with; accuracy over the pipeline's own tables, the others over tipoff_ops."""

WRITER = Stamp(run="report", attempt=1, fence=1)

Row = Mapping[str, object]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The rows of each query."""

    runs: Rows
    reliability: Rows
    repairs: Rows
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
        reliability = ops.query(sql(QUERIES["reliability"]), {**span, "now": now})
        acts = ops.query(sql(QUERIES["repairs"]), span)
    accurate = accuracy(home.warehouse, first, last)
    return Report(runs=runs, reliability=reliability, repairs=acts, accuracy=accurate)


def accuracy(warehouse: Warehouse, first: date, last: date) -> Rows:
    """How far off the predictions of these dates were, the best system first, the baselines last."""
    return warehouse.query(sql(QUERIES["accuracy"]), {"first": first, "last": last})


def load_runs(warehouse: Warehouse, states: StateStore, pipeline: str, first: date, last: date, now: datetime) -> None:
    """Fold every run of these dates into the tables of tipoff_ops."""
    runs = load_transitions(warehouse, states, pipeline, first, last, now)
    rows: dict[str, list[Row]] = {"incidents": [], "words": [], "repairs": []}
    for run, (plan, record) in runs.items():
        rows["incidents"] += _incidents(run, record)
        rows["words"] += _words(run, record)
        rows["repairs"] += _repairs(states, plan, record)
    _load(warehouse, rows, first, last)


def load_transitions(
    warehouse: Warehouse,
    states: StateStore,
    pipeline: str,
    first: date,
    last: date,
    now: datetime,
    missing: Iterable[RunKey] = (),
) -> Mapping[RunKey, tuple[Plan, RunRecord]]:
    """As load_runs, of runs, outcomes and transitions alone: all that is asked of how long anything took. The runs.

    `missing` should be there and are not: each becomes a row of state missing.
    """
    warehouse.create(sql("ops.sql"))
    found: dict[RunKey, tuple[Plan, RunRecord]] = {}
    rows: dict[str, list[Row]] = {"runs": [], "outcomes": [], "transitions": []}
    for run in states.runs(pipeline, first, last):
        plan, record = states.plan(run), states.load(run)
        assert plan is not None, f"{run} has no plan"
        found[run] = plan, record
        rows["runs"].append(_run(plan, record, now))
        rows["outcomes"] += _outcomes(run, record)
        rows["transitions"] += _transitions(plan, record)
    rows["runs"] += map(_missing_run, missing)
    _load(warehouse, rows, first, last)
    return found


def _load(warehouse: Warehouse, rows: Mapping[str, Rows], first: date, last: date) -> None:
    for name, folded in rows.items():
        days = Partition(table=f"tipoff_ops.{name}", column="date", first=first, last=last)
        warehouse.load(days, folded, WRITER)


def _run(plan: Plan, record: RunRecord, now: datetime) -> Row:
    run = plan.run
    status = summarise(look(plan, record.facts, record.latches, record.control, now), record.last_entry)
    published = [
        latch.outcome.decided_at
        for latch in record.latches
        if latch.outcome and latch.outcome.kind is OutcomeKind.DONE and latch.outcome.grade != NOTHING_EXPECTED
    ]
    return {
        **_named(run),
        "state": str(status.state),
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "duration_s": (status.ended_at - status.started_at).total_seconds() if status.ended_at else None,
        "completeness": status.completeness,
        "deadline_at": plan.deadline_at,
        "published_at": min(published, default=None),
        "cancelled": record.control.cancel is not None,
        "config_hash": plan.config_hash,
        "synthetic": status.synthetic,
    }


def _named(run: RunKey) -> Row:
    """What a row of a run begins with, whether or not there is one."""
    return {
        "run_id": str(run),
        "pipeline": run.pipeline,
        "date": run.date,
        "mode": run.mode,
        "generation": run.generation,
    }


def _missing_run(run: RunKey) -> Row:
    spec = PIPELINES[run.pipeline]
    mode = next(mode for mode in spec.modes if mode.name == run.mode)
    return {
        **_named(run),
        "state": "missing",
        "deadline_at": calendar.deadline(mode, run.date, spec.zone),
        "cancelled": False,
    }


def _outcomes(run: RunKey, record: RunRecord) -> Iterator[Row]:
    for outcome in (latch.outcome for latch in record.latches if latch.outcome):
        yield {
            "run_id": str(run),
            "date": run.date,
            "gate": outcome.gate,
            "gate_attempt": outcome.attempt,
            "kind": str(outcome.kind),
            "grade": outcome.grade,
            "ready_at": outcome.ready_at,
            "decided_at": outcome.decided_at,
        }


def _incidents(run: RunKey, record: RunRecord) -> Iterator[Row]:
    alerts = [latch.alert for latch in record.latches if latch.alert]
    ends = {(alert.cause, alert.number): alert.at for alert in alerts if alert.resolved}
    for alert in alerts:
        if alert.raises:
            yield {
                "run_id": str(run),
                "date": run.date,
                "cause": alert.cause,
                "number": alert.number,
                "severity": str(alert.severity),
                "summary": alert.summary,
                "raised_at": alert.at,
                "resolved_at": ends.get((alert.cause, alert.number)),
            }


def _words(run: RunKey, record: RunRecord) -> Iterator[Row]:
    for word in record.control.said:
        yield {
            "run_id": str(run),
            "date": run.date,
            "verb": word.verb,
            "about": word.about,
            "actor": word.act.actor,
            "reason": word.act.reason,
            "said_at": word.act.at,
        }


def _transitions(plan: Plan, record: RunRecord) -> Iterator[Row]:
    usual_s = {phase.name: phase.usual_s for phase in plan.phases}
    for phase, (opened_at, passed_at) in phase_spans(record.latches).items():
        yield {
            "run_id": str(plan.run),
            "date": plan.run.date,
            "phase": phase,
            "opened_at": opened_at,
            "passed_at": passed_at,
            "took_s": (passed_at - opened_at).total_seconds(),
            "usual_s": usual_s[phase],
        }


def _repairs(states: StateStore, plan: Plan, record: RunRecord) -> Iterator[Row]:
    for act in repairs(plan, record.facts, record.latches, states.ledger(plan.run)):
        yield {
            "run_id": str(plan.run),
            "date": plan.run.date,
            "kind": str(act.kind),
            "subject": act.subject,
            "reason": act.reason,
            "at": act.at,
        }
