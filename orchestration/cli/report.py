"""`tipoff report`: how the runs ended, how long they took, how far off the predictions were; each by its query."""

from __future__ import annotations

import argparse
from datetime import date

from rich.console import Console
from rich.table import Table

from data_processors.nba.runner import create_tables
from orchestration import report
from orchestration.cli import show
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import settings_of, spec_of, waiting
from shared import wiring

DASH = "-"  # where there is nothing to say a figure of


def run(arguments: argparse.Namespace) -> int:
    settings, spec = settings_of(arguments), spec_of(arguments.pipeline)
    console = show.console(settings, stderr=arguments.json)
    if arguments.queries:
        queries = {name: report.sql(file) for name, file in report.QUERIES.items()}
        if arguments.json:
            show.print_json({"queries": queries})
        else:
            show.print_text("\n".join(queries.values()))
        return OK
    first, last = arguments.first or date.min, arguments.last or date.max
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}; exchange them")
    if not (settings.home / wiring.STATE_FILE).exists():
        raise UsageError(f"--home {settings.home}: nothing has run there yet; `tipoff run` or `tipoff backfill` first")
    command = f"tipoff report {spec.name}"
    with wiring.write_home(
        settings, command=command, wait_s=arguments.wait, waiting=waiting(console, settings)
    ) as home:
        create_tables(home.warehouse)
        found = report.report(home, spec.name, first, last)
    if arguments.json:
        ends = {"from": _day(arguments.first), "to": _day(arguments.last)}
        show.print_json({"pipeline": spec.name, **ends, "runs": found.runs, "accuracy": found.accuracy})
        return OK
    if not found.runs:
        console.print(f"No run of {spec.name} of these dates in {settings.home}.", soft_wrap=True)
        return OK
    console.print(runs_table(found.runs))
    print_accuracy(console, found.accuracy)
    return OK


def _day(day: date | None) -> str | None:
    return str(day) if day else None


def runs_table(rows: report.Rows) -> Table:
    states = ("published", "degraded", "nothing_expected", "failed", "blocked", "running")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("mode", no_wrap=True)
    for name in ("runs", *states, "replays", "p50", "p95", "max", "completeness, lowest"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        times = [_figure(row[f"duration_{name}_s"], ".2f", " s") for name in ("p50", "p95", "max")]
        complete = f"{_figure(row['completeness_mean'], '.1%')}, {_figure(row['completeness_min'], '.1%')}"
        counts = [str(row[name]) for name in ("runs", *states, "replays")]
        table.add_row(str(row["mode"]), *counts, *times, complete)
    return table


def print_accuracy(console: Console, rows: report.Rows) -> None:
    """The graded predictions by system, beside the baselines."""
    if not rows:
        console.print("\nNo prediction has been graded yet: a night grades what was predicted before it.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("points of a player", no_wrap=True)
    for name in ("graded", "MAE", "bias", "inside the 80 % interval", "the ensemble's MAE beside it"):
        table.add_column(name, justify="right")
    for row in rows:
        same = row["system"] == "ensemble"
        table.add_row(
            str(row["system"]).replace("_", " "),
            f"{row['n']:,}",
            _figure(row["mae"], ".3f"),
            _figure(row["bias"], "+.3f"),
            _figure(row["inside_share"], ".1%"),
            "" if same else _figure(row["ensemble_difference_pct"], "+.1f", " %"),
        )
    console.print()
    console.print(table)


def _figure(value: object, form: str, unit: str = "") -> str:
    return DASH if value is None else f"{value:{form}}{unit}"
