"""`tipoff config check`: what is wrong with the declared pipelines, all of it at once."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.table import Table

from orchestration.cli import show
from orchestration.cli.main import OK, USAGE
from orchestration.cli.options import local_settings
from shared.config.check import check
from shared.config.functions import FUNCTIONS
from shared.config.orchestration_config import PIPELINES
from shared.core.plan import config_hash


def run(arguments: argparse.Namespace) -> int:
    settings = local_settings(arguments)
    problems = [
        problem for name, spec in PIPELINES.items() for problem in check(spec, FUNCTIONS, f"shared/config/{name}.py")
    ]
    if arguments.json:
        hashes = {name: config_hash(spec) for name, spec in PIPELINES.items()}
        show.print_json({"config_hashes": hashes, "problems": [asdict(problem) for problem in problems]})
        return USAGE if problems else OK
    console = show.console(settings)
    for name, spec in PIPELINES.items():
        processors = sum(len(phase.processors) for phase in spec.phases)
        modes = ", ".join(mode.name for mode in spec.modes)
        console.print(
            f"[bold]{name}[/] {config_hash(spec)}: {len(spec.phases)} phases, {processors} processors; modes {modes}"
        )
    if not problems:
        console.print("[green]no problem found[/]")
        return OK
    table = Table("file", "key", "value", "problem", "remedy", box=None, pad_edge=False, header_style="dim")
    for problem in problems:
        table.add_row(problem.file, problem.key, str(problem.value), problem.problem, problem.remedy)
    console.print(table)
    return USAGE
