"""`tipoff bench`: the figures of docs/benchmarks.md, measured here and now.

Those on emulators, and on data that not everybody has, are asked for by name: without a word only what needs nothing
but this machine is measured.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path

from orchestration.cli import show
from orchestration.cli.main import OK, ON_TRACES, UsageError
from orchestration.cli.options import local_settings
from orchestration.emulators import EmulatorAbsent
from shared import wiring

Measure = Callable[[], dict[str, object]]

STALLS = 200  # seeded
RELIABLE_DAYS = 100


def run(arguments: argparse.Namespace) -> int:
    from orchestration import bench, bench_emulators, bench_pooling, bench_timeouts
    from simulation.alarms import delays
    from simulation.reliability import DEFINITIONS, reliability
    from simulation.stalls import stalls

    settings = local_settings(arguments)
    if arguments.what == ON_TRACES:
        trace = (arguments.data or Path()) / bench_timeouts.TRACE
        if not trace.is_file():
            raise UsageError(f"bench {ON_TRACES}: {trace} is not there; point --data at the folder that holds it")
    elif arguments.data:
        wiring.open_feed(arguments.data)  # it refuses now what would end minutes of measuring
    console = show.console(settings, stderr=arguments.json)
    measures: dict[str, Measure] = {
        "core": bench.core,
        "chain": bench.chain,
        "chain_read": lambda: bench.chain(readings=bench.READINGS),
        "chain_fsync": lambda: bench.chain(durability="power"),
        "wide": bench.wide,
        "stalls": lambda: dict(stalls(STALLS)),
        "alarms": lambda: delays(arguments.seed),
        "reliability": lambda: reliability(arguments.days or RELIABLE_DAYS, arguments.seed),
        "night": lambda: bench.night(arguments.data),
        "season": lambda: bench.season(arguments.data),
    }
    on_emulators: dict[str, Measure] = {
        "start": bench_emulators.start,
        "transition": bench_emulators.transition,
        "batch": bench_emulators.batch,
        "pooling": bench_pooling.pooling,
    }
    on_traces: dict[str, Measure] = {ON_TRACES: lambda: bench_timeouts.timeouts(arguments.data)}
    wanted = list(measures) if arguments.what == "all" else [arguments.what]
    figures = {}
    for name in wanted:
        console.print(f"measuring {name}", style="dim")
        try:
            figures[name] = (measures | on_emulators | on_traces)[name]()
        except EmulatorAbsent as absent:
            raise UsageError(f"bench {name}: {absent}") from None
    if "reliability" in figures:
        figures["reliability"]["definitions"] = dict(DEFINITIONS)
    if arguments.json:
        show.print_json(figures[arguments.what] if arguments.what != "all" else figures)
        return OK
    console.print(f"Python {platform.python_version()}, {platform.machine()}")
    for name, values in figures.items():
        for key, value in values.items():
            console.print(f"  {name:<12} {key:<22} {value}")
    return OK
