"""`tipoff bench`: the figures of docs/benchmarks.md, measured here and now."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable

from orchestration.cli import show
from orchestration.cli.main import OK
from orchestration.cli.options import settings_of
from shared import wiring


def run(arguments: argparse.Namespace) -> int:
    from orchestration import bench

    settings = settings_of(arguments)
    if arguments.data:
        wiring.open_feed(arguments.data)  # it refuses now what would end minutes of measuring
    console = show.console(settings, stderr=arguments.json)
    measures: dict[str, Callable[[], dict[str, object]]] = {
        "core": bench.core,
        "chain": bench.chain,
        "chain_fsync": lambda: bench.chain(durability="power"),
        "wide": bench.wide,
        "night": lambda: bench.night(arguments.data),
        "season": lambda: bench.season(arguments.data),
    }
    wanted = list(measures) if arguments.what == "all" else [arguments.what]
    figures = {}
    for name in wanted:
        console.print(f"measuring {name}", style="dim")
        figures[name] = measures[name]()
    if arguments.json:
        show.print_json(figures[arguments.what] if arguments.what != "all" else figures)
        return OK
    console.print(f"Python {platform.python_version()}, {platform.machine()}")
    for name, values in figures.items():
        for key, value in values.items():
            console.print(f"  {name:<12} {key:<22} {value}")
    return OK
