"""`tipoff health`: the last day at a glance, as the morning's message tells it. Reads only; works beside any writer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import partial

from rich.console import Console
from rich.text import Text

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import settings_of, spec_of, where
from orchestration.summary import last_time, summarise_day
from shared import wiring
from shared.config.orchestration_config import PIPELINES
from shared.core import calendar
from shared.core.codec import to_data
from shared.core.model import PipelineSpec
from shared.core.morning import MORNING
from shared.core.summary import Fate, PipelineDay, RunDay, Signal, Summary
from shared.core.summary_card import facts, headline, incident, story, took

STYLE = {Signal.GREEN: "bold green", Signal.YELLOW: "bold yellow", Signal.RED: "bold red"}
DASH = "-"


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    specs = [spec_of(arguments.pipeline)] if arguments.pipeline else list(PIPELINES.values())
    now = show.utc_now()
    with wiring.read_home(settings) as home:
        if home is None:
            raise UsageError(f"nothing has run yet: {where(settings)}; `tipoff run` or `tipoff demo` first")
        until = _until(arguments.date, home, specs, now)
        tables = partial(wiring.read_warehouse, settings)
        found = summarise_day(home, settings, tables, specs, until=until, now=now)
    if arguments.json:
        show.print_json(to_data(found))
    else:
        _print(show.console(settings), found)
    return NOT_PUBLISHED if found.signal is Signal.RED else OK


def _until(day: date | None, home: wiring.ReadHome, specs: Sequence[PipelineSpec], now: datetime) -> datetime:
    """When the day ends that is asked for. UsageError for one that has not begun."""
    zone = specs[0].zone
    if day is None:
        return now if home.is_written else last_time(home, specs, now)
    today = calendar.game_day(now, zone)
    if day > today:
        raise UsageError(f"--date {day} is still to come; today is {today} in {zone}")
    return min(now, calendar.at(day, MORNING, zone))


# --- on a terminal ----------------------------------------------------------------------------------------


def _print(console: Console, found: Summary) -> None:
    if found.watchdog:
        console.print(Text(f"Nothing heals by itself: {found.watchdog}", style=show.ALARM), soft_wrap=True)
    for number, day in enumerate(found.pipelines):
        if number:
            console.print()
        _print_day(console, found, day)


def _print_day(console: Console, found: Summary, day: PipelineDay) -> None:
    """The state in words first; then a line for each run, what is wrong, and the figures."""
    console.print(Text(headline(day), style=STYLE[day.signal]), soft_wrap=True)
    since, until = calendar.clock(found.since, day.zone), calendar.clock(found.until, day.zone)
    if not day.runs:
        console.print(f"No run was due between {since} and {until}.", soft_wrap=True)
    else:
        heads = ("mode", "date", "state", "complete", "units", "healed", "slowest phase")
        show.print_rows(console, [[Text(head, style="dim") for head in heads], *map(_row, day.runs)])
    for run in day.runs:
        for line in _wrong(run):
            console.print(line, soft_wrap=True)  # by the terminal: a command that is copied stays one
    for each in day.incidents:
        told = f"INCIDENT ({each.severity}) since {calendar.clock(each.since, day.zone)}: {show.safe(incident(each))}"
        console.print(Text(told, style=show.ALARM), soft_wrap=not console.is_terminal)
    if day.runs:
        console.print(Text(f"\n{'; '.join(map(show.safe, facts(day)))}"), soft_wrap=True)
        console.print(Text(f"Due between {since} and {until}.", style="dim"), soft_wrap=True)


def _row(run: RunDay) -> list[Text]:
    state = str(run.fate).replace("_", " ")
    units = sum(batch.units for batch in run.batches)
    return [
        Text(run.run.mode),
        Text(str(run.run.date)),
        Text(state, style=STYLE[run.signal]),
        Text(DASH if run.completeness is None else f"{run.completeness:.1%}"),
        Text(f"{sum(batch.done for batch in run.batches):,} of {units:,}" if units else DASH),
        Text(DASH if run.fate is Fate.MISSING else str(sum(run.healed.values()))),
        Text(took(run) if run.slowest else DASH),
    ]


def _wrong(run: RunDay) -> Iterator[Text]:
    told = story(run)
    if told:
        yield Text(f"\n{run.run}: {show.safe(told)}")
    if run.next and (told or run.command):
        yield Text(f"  next: {show.safe(run.next)}")
    if run.command:
        yield Text(f"  helps: {show.safe(run.command)}")
