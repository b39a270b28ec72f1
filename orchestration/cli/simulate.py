"""`tipoff simulate`: days of the pipeline under a virtual clock and seeded faults, or one named failure."""

from __future__ import annotations

import argparse

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import settings_of

DAYS = 10


def run(arguments: argparse.Namespace) -> int:
    from simulation.scenarios import SCENARIOS, run_scenario
    from simulation.simulate import simulate

    settings = settings_of(arguments)
    console = show.console(settings)
    if arguments.scenario == "list":
        for name, scenario in SCENARIOS.items():
            console.print(f"{name:<28} {scenario.lesson}")
        return OK
    if arguments.scenario and arguments.scenario not in SCENARIOS:
        raise UsageError(f"--scenario {arguments.scenario!r} is unknown; known: {', '.join(SCENARIOS)}")
    if arguments.scenario and arguments.days:
        raise UsageError("--days goes without --scenario: a scenario lasts as long as its failure")
    if arguments.scenario:
        report = run_scenario(arguments.scenario, seed=arguments.seed)
    else:
        report = simulate(days=arguments.days or DAYS, seed=arguments.seed)
    if arguments.json:
        show.print_json(report.to_json())
        return NOT_PUBLISHED if report.violations else OK
    if arguments.trace:
        for line in report.trace:
            console.print(line, markup=False, soft_wrap=True)
    console.print(report.summary(), markup=False)
    for violation in report.violations:
        console.print(f"VIOLATION {violation}", style="bold red", markup=False, soft_wrap=True)
    return NOT_PUBLISHED if report.violations else OK
