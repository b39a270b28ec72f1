"""`tipoff cost`: what a pipeline costs on Google Cloud in a day and a month, at rest and running. Asks nobody."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.cli import show
from orchestration.cli.main import OK
from orchestration.cli.options import settings_of, spec_of
from shared.config.functions import FAN_OUTS, functions_of
from shared.config.orchestration_config import PIPELINES
from shared.config.prices import PRICES
from shared.core.cost import (
    ASSUMPTIONS,
    BYTES,
    GIB,
    KIB,
    LEVELS,
    MIB,
    MONTH_DAYS,
    Bill,
    Line,
    bill,
    day_of,
    levels_of,
    outdated,
    rest_of,
)
from shared.core.model import PipelineSpec

UNITS = 450  # players of a full evening, as the figures of docs/benchmarks.md


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills:
    """Of one pipeline: a month in which nothing runs, and one in which every mode runs on so many days."""

    spec: PipelineSpec
    days: int
    at_rest: Bill
    running: Bill


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    specs = [spec_of(arguments.pipeline)] if arguments.pipeline else list(PIPELINES.values())
    found = [bills_of(spec, arguments.days) for spec in specs]
    warnings, free = warnings_of(show.utc_now().date()), not arguments.no_free_tier
    if arguments.json:
        show.print_json(
            {
                "pipelines": [_bills_json(each, free=free) for each in found],
                "prices_as_of": {price.source: str(price.as_of) for price in PRICES},
                "assumptions": list(ASSUMPTIONS),
                "unsure": _unsure(),
                "warnings": warnings,
            }
        )
        return OK
    console = show.console(settings)
    for each in found:
        _print(console, each, free=free)
    for title, lines in (("assumed", list(ASSUMPTIONS)), ("unsure", _unsure())):
        console.print(f"[bold]{title}[/]")
        for line in lines:
            console.print(f"- {escape(line)}", soft_wrap=True)
    console.print(_dates(), soft_wrap=True)
    for line in warnings:
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    return OK


def bills_of(spec: PipelineSpec, days: int) -> Bills:
    """At list prices and with free tiers; `days` of the month are those with runs."""
    rest, running = rest_of(spec), day_of(spec, UNITS, FAN_OUTS)
    levels = levels_of(spec, UNITS, FAN_OUTS, len(functions_of(spec.name)))
    at_rest, busy = (bill(PRICES, rest=rest, running=running, levels=levels, days=some) for some in (0, days))
    return Bills(spec=spec, days=days, at_rest=at_rest, running=busy)


def warnings_of(today: date) -> list[str]:
    """What a reader of that day should know of the prices."""
    old: dict[date, set[str]] = {}
    for price in outdated(PRICES, today):
        old.setdefault(price.as_of, set()).add(price.service)
    return [
        f"Prices of {', '.join(sorted(services))} are of {as_of}, more than a year old: compare them with the pages "
        "named in shared/config/prices.py"
        for as_of, services in sorted(old.items())
    ]


def _unsure() -> list[str]:
    return [f"{price.service}, {price.meter}: {price.unsure}" for price in PRICES if price.unsure]


def _dates() -> str:
    dates = sorted({price.as_of for price in PRICES})
    return f"List prices in us-central1 and the US, without tax, known from {dates[0]} to {dates[-1]}."


# --- on a terminal --------------------------------------------------------------------------------------


def _print(console: Console, bills: Bills, *, free: bool) -> None:
    modes = ", ".join(mode.name for mode in bills.spec.modes)
    told = (
        (f"{bills.spec.name} at rest: no run, only schedules, sweeps and what is kept", bills.at_rest),
        (
            f"{bills.spec.name} running: {modes} on {bills.days} of {MONTH_DAYS} days, {UNITS} units predicted",
            bills.running,
        ),
    )
    for title, one in told:
        console.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
        console.print(_table(one, free=free))
        console.print()


def _table(one: Bill, *, free: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("part", no_wrap=True)
    for name in ("amount a day", "price", "a day", "a month", *(["with free tiers"] if free else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for line in one.lines:
        price = f"{dollars(line.price.usd)} per {line.price.unit}"
        sums = [cents(line.month), *([cents(line.month_free)] if free else [])]
        table.add_row(_part(line), amount(line), price, dollars(line.day), *sums)
    sums = [cents(one.month), *([cents(one.month_free)] if free else [])]
    table.add_row("total", "", "", cents(one.day), *sums, style="bold")
    return table


def _part(line: Line) -> str:
    return f"{line.price.service}: {line.price.meter}"


def amount(line: Line) -> str:
    """In a unit that a person can read."""
    value = line.amount
    if line.price.meter not in BYTES:
        return f"{value:,.0f}"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:,.0f} B"


def dollars(usd: float) -> str:
    """Two significant digits of what is less than a dollar."""
    if usd == 0 or usd >= 1:
        return f"${usd:,.2f}"
    digits = 1 - int(f"{usd:e}".rpartition("e")[2])
    return f"${usd:.{max(2, digits)}f}"


def cents(usd: float) -> str:
    return "<$0.01" if 0 < usd < 0.01 else f"${usd:,.2f}"


# --- for machines ---------------------------------------------------------------------------------------


def _bills_json(bills: Bills, *, free: bool) -> dict[str, object]:
    return {
        "pipeline": bills.spec.name,
        "modes": [mode.name for mode in bills.spec.modes],
        "days": bills.days,
        "units": UNITS,
        "at_rest": _bill_json(bills.at_rest, free=free),
        "running": _bill_json(bills.running, free=free),
    }


def _bill_json(one: Bill, *, free: bool) -> dict[str, object]:
    return {
        "usd_a_day": round(one.day, 6),
        "usd_a_month": round(one.month, 6),
        "usd_a_month_with_free_tiers": round(one.month_free, 6) if free else None,
        "lines": [
            {
                "service": line.price.service,
                "part": str(line.price.meter),
                "amount": round(line.amount, 3),
                "kept": line.price.meter in LEVELS,
                "price_usd": line.price.usd,
                "price_per": line.price.per,
                "usd_a_day": round(line.day, 6),
                "usd_a_month": round(line.month, 6),
                "usd_a_month_with_free_tiers": round(line.month_free, 6) if free else None,
            }
            for line in one.lines
        ],
    }
