"""The summary of a day, gathered from state, batches and warehouse: for the function and for the command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from orchestration.report import sql
from shared import edge
from shared.config.functions import FAN_OUTS, functions_of
from shared.config.orchestration_config import PIPELINES
from shared.config.prices import PRICES
from shared.core.batch import BatchRecord, batch_id
from shared.core.batch_status import BatchHead, batch_head
from shared.core.calendar import game_day
from shared.core.cost import bill, day_with, levels_of, rest_of
from shared.core.model import PipelineSpec, RunKey
from shared.core.morning import LOOK_BACK_DAYS, Gathered, Graded, Seen, due_runs, summary_of
from shared.core.order import newest
from shared.core.summary import Summary
from shared.ports import BatchStore, RunRecord, StateStore, Warehouse

GRADED_DAYS = 10  # that say what is usual: two weeks of a season, and form changes
GRADED_WITHIN = timedelta(days=60)  # and no further back: before a break it was another season
GRADING_QUERY = "summary.grading.sql"

SWEEP_BEGINS = "the next sweep begins it"
NO_TABLES = "nothing has been loaded yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where it is gathered, and what is true there."""

    states: StateStore
    batches: BatchStore
    warehouse: Callable[[], AbstractContextManager[Warehouse | None]]  # may raise what the world raises
    options: str  # that lead a command to these runs
    goes_on: Callable[[RunKey, Mapping[str, str]], str]  # the command that runs one with these labels
    is_looked_at: bool = True  # whether somebody looks at a run when it is due
    begins: str = ""  # what begins a run that is missing; empty: nobody
    expects: Collection[str] | None = None  # modes whose runs should be there; None: those that ran here of late


def every_mode() -> frozenset[str]:
    """Of every pipeline: where runs begin by the calendar, all that it names should be there."""
    return frozenset(mode.name for spec in PIPELINES.values() for mode in spec.modes)


def summarise_day(
    sources: Sources, specs: Sequence[PipelineSpec], *, until: datetime, now: datetime, watchdog: str = ""
) -> Summary:
    """The summary of the day until then, as it stands now. What the warehouse cannot say is told as unknown."""
    return summary_of([gather(sources, spec, until, now) for spec in specs], until=until, now=now, watchdog=watchdog)


def gather(sources: Sources, spec: PipelineSpec, until: datetime, now: datetime) -> Gathered:
    today = game_day(until, spec.zone)
    known = sources.states.runs(spec.name, today - timedelta(days=LOOK_BACK_DAYS), today + timedelta(days=1))
    stands = newest(known)
    modes = frozenset(run.mode for run in known) if sources.expects is None else frozenset(sources.expects)
    due = [stands.get((run.date, run.mode), run) for run in due_runs(spec, modes, until)]
    seen = {run: found for run in stands.values() if (found := _seen(sources, run, run in due, now))}
    return Gathered(
        spec=spec,
        modes=modes,
        seen=seen,
        graded=graded(sources.warehouse, {run.date for run in due if run in seen}),
        cost_usd=_cost_usd(spec, [seen[run] for run in due if run in seen]),
        options=sources.options,
        goes_on=sources.goes_on,
        is_looked_at=sources.is_looked_at,
        begins=sources.begins,
    )


def _seen(sources: Sources, run: RunKey, is_due: bool, now: datetime) -> Seen | None:
    """None for one that is only beginning: its plan is not written yet."""
    plan = sources.states.plan(run)
    if plan is None:
        return None
    record = sources.states.load(run)
    return Seen(
        plan=plan,
        facts=record.facts,
        latches=record.latches,
        control=record.control,
        last_entry=record.last_entry,
        ledger=sources.states.ledger(run) if is_due else (),
        batches=batch_heads(sources.batches, record, now) if is_due else (),
    )


def batch_heads(batches: BatchStore, record: RunRecord, now: datetime) -> tuple[BatchHead, ...]:
    """Every batch of a run without its units, in the order in which their starts were ordered."""
    return tuple(batch_head(found, now) for found in batch_records(batches, record))


def batch_records(batches: BatchStore, record: RunRecord) -> Iterator[BatchRecord]:
    """The same, as it is kept."""
    for latch in record.latches:
        yield from (found for start in latch.starts if (found := batches.load(batch_id(start))))


def graded(
    warehouse: Callable[[], AbstractContextManager[Warehouse | None]], days: Collection[date]
) -> dict[date, Graded]:
    """How far off the predictions of these dates were. Whatever keeps it from being read is told in its place."""

    def ask() -> dict[date, Graded]:
        with warehouse() as tables:
            return {day: _graded(tables, day) if tables else Graded(unread=NO_TABLES) for day in days}

    found = edge.attempt(ask) if days else {}
    return {day: Graded(unread=found) for day in days} if isinstance(found, str) else found


def _graded(tables: Warehouse, day: date) -> Graded:
    parameters = {"first": day - GRADED_WITHIN, "day": day, "days": GRADED_DAYS}
    (row,) = tables.query(sql(GRADING_QUERY), parameters)
    return Graded(
        graded=int(str(row["graded"])),
        error=_number(row["error"]),
        usual=_number(row["usual"]),
        days=int(str(row["days"])),
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _cost_usd(spec: PipelineSpec, ran: Sequence[Seen]) -> float:
    """Of a day with these runs, at list prices and without free tiers; of what is kept, a thirtieth of its month."""
    units = [sum(head.units for head in {head.phase: head for head in seen.batches}.values()) for seen in ran]
    running = day_with(spec, [(seen.plan.run.mode, count) for seen, count in zip(ran, units, strict=True)], FAN_OUTS)
    levels = levels_of(spec, max(units, default=0), FAN_OUTS, len(functions_of(spec.name)))
    return round(bill(PRICES, rest=rest_of(spec), running=running, levels=levels, days=1).day, 4)
