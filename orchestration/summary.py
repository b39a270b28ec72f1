"""The summary of a day, gathered from state, batches and warehouse: for the function and for the command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from orchestration.commands import home_option, run_command
from orchestration.helps import helps
from orchestration.records import heads_of, newest, watched
from orchestration.report import sql
from shared import edge
from shared.config.functions import FAN_OUTS, functions_of
from shared.config.prices import PRICES
from shared.config.settings import Settings
from shared.core.calendar import game_day, usual_start
from shared.core.cost import bill, day_with, levels_of, rest_of
from shared.core.fold import View
from shared.core.heartbeat import NEVER, SELF_HEAL, dead_since
from shared.core.model import LedgerEntry, PipelineSpec, RunKey
from shared.core.morning import LOOK_BACK_DAYS, Gathered, Graded, Seen, due_runs, summary_of
from shared.core.status import RunStatus
from shared.core.summary import Summary
from shared.ports import StateStore, Warehouse
from shared.wiring import ReadHome

GRADED_DAYS = 10  # that say what is usual: two weeks of a season, and form changes
GRADED_WITHIN = timedelta(days=60)  # and no further back: before a break it was another season
GRADING_QUERY = "summary.grading.sql"

SWEEP_BEGINS = "the next sweep begins it"
NO_TABLES = "nothing has been loaded yet"


Tables = Callable[[], AbstractContextManager[Warehouse | None]]
"""Where what was graded is asked for; None: there are no tables yet. May raise what the world raises."""


def summarise_day(
    home: ReadHome,
    settings: Settings,
    tables: Tables,
    specs: Sequence[PipelineSpec],
    *,
    until: datetime,
    now: datetime,
) -> Summary:
    """The summary of the day until then, as it stands now. What the warehouse cannot say is told as unknown."""
    dead = watchdog(home.states, settings, now)
    days = [gather(home, settings, tables, spec, until, now) for spec in specs]
    if dead:  # a missing run is begun by nobody
        days = [replace(day, begins="") for day in days]
    return summary_of(days, until=until, now=now, watchdog=dead)


def last_time(home: ReadHome, specs: Sequence[PipelineSpec], now: datetime) -> datetime:
    """Now; in a home where nothing has been due for a day, when its newest run was."""
    starts = [
        usual_start(mode, run.date, spec.zone)
        for spec in specs
        for run in home.states.runs(spec.name, date.min, date.max)[-LOOK_BACK_DAYS:]
        for mode in spec.modes
        if mode.name == run.mode
    ]
    last = max(starts, default=now)
    return last if last <= now - timedelta(days=1) else now


def watchdog(states: StateStore, settings: Settings, now: datetime) -> str:
    """Why nothing heals by itself where functions do the work; empty while their timer lives. A home has none: there
    the commands themselves sweep."""
    return "" if settings.cloud is None else dead_since(SELF_HEAL, states.beats().get(SELF_HEAL), now, NEVER)


def gather(
    home: ReadHome, settings: Settings, tables: Tables, spec: PipelineSpec, until: datetime, now: datetime
) -> Gathered:
    """Where nothing begins by itself, runs are expected of the modes that somebody has been running."""
    today, begins = game_day(until, spec.zone), settings.cloud is not None and settings.starts_missing_runs
    stands = newest(home.states, spec.name, today - timedelta(days=LOOK_BACK_DAYS), today + timedelta(days=1))
    declared = frozenset(mode.name for mode in spec.modes)
    modes = declared if begins else declared.intersection(run.mode for run in stands.values())
    due = [stands.get((run.date, run.mode), run) for run in due_runs(spec, modes, until)]
    seen = {run: found for run in stands.values() if (found := _seen(home, run, run in due, now))}
    return Gathered(
        spec=spec,
        modes=modes,
        seen=seen,
        watched=watched(home.states, spec.name),
        graded=graded(tables, {run.date for run in due if run in seen}),
        cost_usd=_cost_usd(spec, [seen[run] for run in due if run in seen]),
        goes_on=lambda run, labels: run_command(run, labels, home.states, settings),
        helps=partial(first_help, home.states, settings),
        is_looked_at=home.is_written,
        begins=SWEEP_BEGINS if begins else "",
    )


def _seen(home: ReadHome, run: RunKey, is_due: bool, now: datetime) -> Seen | None:
    """None for one that is only beginning: its plan is not written yet."""
    plan = home.states.plan(run)
    if plan is None:
        return None
    record = home.states.load(run)
    return Seen(
        plan=plan,
        facts=record.facts,
        latches=record.latches,
        control=record.control,
        last_entry=record.last_entry,
        ledger=home.states.ledger(run) if is_due else (),
        batches=tuple(heads_of(home, run, now)) if is_due else (),
    )


def first_help(states: StateStore, settings: Settings, view: View, status: RunStatus, last: LedgerEntry | None) -> str:
    """The first thing that helps; else what tells more."""
    options, goes_on = home_option(settings), run_command(status.run, status.labels, states, settings)
    found = helps(view, status, last, options=options, goes_on=goes_on)
    return found[0].command if found else f"tipoff explain {status.run}{options}"


def graded(tables: Tables, days: Collection[date]) -> dict[date, Graded]:
    """How far off the predictions of these dates were. Whatever keeps it from being read is told in its place."""

    def ask() -> dict[date, Graded]:
        with tables() as opened:
            return {day: _graded(opened, day) if opened else Graded(unread=NO_TABLES) for day in days}

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
