"""`tipoff report`: how the runs ended, how long they took, how far off the predictions were; each by its query."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date

from rich.console import Console
from rich.table import Table

from data_processors.nba.runner import create_tables
from orchestration import report
from orchestration.cli import show
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import settings_of, spec_of, where, working_home
from shared import wiring

NARROWEST = 80  # below it rich would cut figures, and the terminal only breaks lines
DASH = "-"  # where there is nothing to say a figure of


def run(arguments: argparse.Namespace) -> int:
    settings, spec = settings_of(arguments), spec_of(arguments.pipeline)
    console = show.console(settings, stderr=arguments.json)
    if arguments.queries:
        queries = {name: report.sql(file) for name, file in report.QUERIES.items()}
        if arguments.json:
            show.print_json({"queries": queries})
        else:
            show.print_text("\n".join(f"{query.strip()};\n" for query in queries.values()).rstrip())
        return OK
    first, last = arguments.first or date.min, arguments.last or date.max
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}; exchange them")
    if settings.cloud is None and not (settings.home / wiring.STATE_FILE).exists():
        raise UsageError(f"--home {settings.home}: nothing has run there yet; `tipoff run` or `tipoff backfill` first")
    command = f"tipoff report {spec.name}"
    with working_home(settings, console, command=command, wait_s=arguments.wait) as home:
        create_tables(home.warehouse)
        found = report.report(home, spec.name, first, last)
    if arguments.json:
        ends = {"from": _day(arguments.first), "to": _day(arguments.last)}
        show.print_json({"pipeline": spec.name, **ends, **{name: getattr(found, name) for name in report.QUERIES}})
        return OK
    if not found.runs:
        console.print(f"No run of {spec.name} of these dates: {where(settings)}.", soft_wrap=True)
        return OK
    print_table(console, runs_table(found.runs))
    print_reliability(console, found.reliability)
    console.print(f"\n{backup_line(found)}", soft_wrap=True)
    print_accuracy(console, found.accuracy)
    return OK


ACTS = {
    "gate": "{times} of {among} gates opened by the timer",
    "run": "{times} of {among} runs begun by the timer",
    "latch": "{times} latches sent again",
    "found": "{times} results found that were never reported",
    "resend": "{times} starts sent once more",
    "attempt": "{times} attempts ordered after silent ones",
    "redrive": "{times} dead letters sent again",
}


def backup_line(found: report.Report) -> str:
    """How often the timer did what a message should have done."""
    if not found.repairs:
        return "What the backup did: nothing."
    acts = ", ".join(ACTS[str(row["kind"])].format(**row) for row in found.repairs)
    return f"What the backup did: {acts}."


def _day(day: date | None) -> str | None:
    return str(day) if day else None


def runs_table(rows: report.Rows) -> Table:
    """By mode; a state that no run is in has no column."""
    states = ("published", "degraded", "nothing_expected", "failed", "blocked", "running")
    counted = [name for name in (*states, "replays") if any(row[name] for row in rows)]
    table: dict[str, list[str]] = {"runs": [str(row["runs"]) for row in rows]}
    for name in counted:
        table[name.replace("_", " ")] = [str(row[name]) for row in rows]
    for name in ("p50", "p95", "max"):
        table[f"{name} s"] = [_figure(row[f"duration_{name}_s"], ".2f") for row in rows]
    table["complete"] = [_figure(row["completeness_mean"], ".1%") for row in rows]
    table["lowest"] = [_figure(row["completeness_min"], ".1%") for row in rows]
    return figures_table("mode", [str(row["mode"]) for row in rows], table)


def print_reliability(console: Console, rows: report.Rows) -> None:
    """What an operator is asked in the end: in time, without a person, noticed and mended how soon."""
    if not rows:
        return
    columns = {
        "due": [str(row["due"]) for row in rows],
        "in time": [str(row["in_time"]) for row in rows],
        "unaided": [_figure(row["reliability"], ".2%") for row in rows],
        "noticed p95 s": [_figure(row["detection_p95_s"], ".1f") for row in rows],
        "max s": [_figure(row["detection_max_s"], ".1f") for row in rows],
        "incidents": [str(row["incidents"]) for row in rows],
        "open": [str(row["incidents_open"]) for row in rows],
        "mended p95 s": [_figure(row["repair_p95_s"], ".0f") for row in rows],
        "acts/month": [_figure(row["acts_per_month"], ".1f") for row in rows],
    }
    console.print()
    print_table(console, figures_table("reliability", [str(row["mode"]) for row in rows], columns))


def figures_table(of: str, names: list[str], columns: Mapping[str, list[str]]) -> Table:
    """Names, and figures beside them; headings break, figures do not."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(of, no_wrap=True)
    for name, figures in columns.items():
        table.add_column(name, justify="right", no_wrap=len(name) <= max(map(len, figures)))
    for number, name in enumerate(names):
        table.add_row(name, *(figures[number] for figures in columns.values()))
    return table


def print_accuracy(console: Console, rows: report.Rows) -> None:
    """The graded predictions by system, beside the baselines; narrow enough for a terminal of 80."""
    if not rows:
        console.print("\nNo prediction has been graded yet: a night grades what was predicted before it.")
        return
    beside = [
        "" if row["system"] == "ensemble" else _figure(row["ensemble_difference_pct"], "+.1f", "%") for row in rows
    ]
    columns = {
        "graded": [f"{row['n']:,}" for row in rows],
        "MAE": [_figure(row["mae"], ".3f") for row in rows],
        "bias": [_figure(row["bias"], "+.3f") for row in rows],
        "inside 80 %": [_figure(row["inside_share"], ".1%") for row in rows],
        "ensemble's MAE to it": beside,
    }
    console.print()
    names = [str(row["system"]).replace("_", " ") for row in rows]
    print_table(console, figures_table("points of a player", names, columns))


def print_table(console: Console, table: Table) -> None:
    console.width = max(console.width, NARROWEST)
    console.print(table)


def _figure(value: object, form: str, unit: str = "") -> str:
    return DASH if value is None else f"{value:{form}}{unit}"
