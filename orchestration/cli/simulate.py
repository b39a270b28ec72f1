"""`tipoff simulate`: days of the pipeline under a virtual clock and seeded faults, or one named failure."""

from __future__ import annotations

import argparse
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import local_settings

if TYPE_CHECKING:
    from simulation.shrink import Shrunk
    from simulation.simulate import Report

DAYS = 10


def run(arguments: argparse.Namespace) -> int:
    from simulation.scenarios import SCENARIOS
    from simulation.simulate import EPISODE_DAYS, episodes, run_scenario

    console = show.console(local_settings(arguments), stderr=arguments.json)
    if arguments.scenario == "list":
        return _list(console, {name: scenario.says for name, scenario in SCENARIOS.items()}, json=arguments.json)
    if arguments.scenario and arguments.scenario not in SCENARIOS:
        raise UsageError(f"--scenario {arguments.scenario!r} is unknown; known: {', '.join(SCENARIOS)}")
    if arguments.scenario and (arguments.days or arguments.world_days or arguments.episode is not None):
        raise UsageError(
            "--days, --world-days and --episode go without --scenario: a scenario lasts as long as its failure"
        )
    days, length = arguments.days or DAYS, arguments.world_days or EPISODE_DAYS
    last = len(episodes(days, arguments.seed, length)) - 1
    if arguments.episode is not None and not 0 <= arguments.episode <= last:
        raise UsageError(f"--episode {arguments.episode}: {days} days have episodes 0 to {last}")
    began = monotonic()
    if arguments.scenario:
        report = run_scenario(arguments.scenario, seed=arguments.seed)
    else:
        report = _simulate(console, days, arguments.seed, arguments.episode, length)
    took_s = monotonic() - began
    if not arguments.json:
        if arguments.scenario:
            console.print(f"[bold]{arguments.scenario}[/]: {SCENARIOS[arguments.scenario].says}", soft_wrap=True)
        _print(console, report, took_s, trace=arguments.trace)
    shrunk = (
        _shrink(console, arguments.seed, days, report.broken[0], length)
        if report.broken and not arguments.scenario
        else None
    )
    if arguments.json:
        show.print_json({**report.to_json(), "shrunk": shrunk.to_json() if shrunk else None})
    elif shrunk:
        _print_shrunk(console, shrunk)
    return NOT_PUBLISHED if report.violations else OK


def _simulate(console: Console, days: int, seed: int, episode: int | None, length: int) -> Report:
    """With a bar and an estimate, on a terminal."""
    from simulation.simulate import simulate

    columns = (TextColumn("simulated days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("days", total=days)
        return simulate(
            days=days, seed=seed, episode=episode, length=length, progress=lambda done: bar.advance(task, done)
        )


def _shrink(console: Console, seed: int, days: int, number: int, length: int) -> Shrunk | None:
    from simulation.shrink import shrink
    from simulation.simulate import EPISODE_DAYS, episodes

    worlds = f" --world-days {length}" if length != EPISODE_DAYS else ""
    replay = f"tipoff simulate --days {days} --seed {seed}{worlds} --episode {number}"
    console.print(f"replay   {replay}", soft_wrap=True, markup=False)
    return shrink(
        episodes(days, seed, length)[number],
        tell=lambda left: console.print(f"shrinks  {left}", soft_wrap=True, markup=False),
    )


def _print_shrunk(console: Console, shrunk: Shrunk) -> None:
    """What is left of the failure, then all that its run went through."""
    for line in shrunk.events:
        console.print(line, markup=False, soft_wrap=True)
    violation, left = shrunk.violation, "" if shrunk.done else "; out of time, less may do"
    text = f"{violation.at:%Y-%m-%d %H:%M:%S} {violation.run}: {violation.rule}: {violation.detail}"
    console.print(f"VIOLATION {text}", style="bold red", markup=False, soft_wrap=True)
    console.print(
        f"{shrunk.episode.days} days from {shrunk.episode.first}, {len(shrunk.needs)} of {shrunk.had} faults, "
        f"found in {shrunk.worlds} worlds{left}",
        markup=False,
        soft_wrap=True,
    )
    for name in shrunk.needs or ("no fault at all",):
        console.print(f"needs    {name}", markup=False, soft_wrap=True)


def _print(console: Console, report: Report, took_s: float, *, trace: bool) -> None:
    if trace:
        for line in report.trace:
            console.print(line, markup=False, soft_wrap=True)
    ends = {end: getattr(report, end) for end in ("published", "degraded", "nothing_expected", "blocked", "failed")}
    if report.days > 1:
        console.print(f"{report.days} days, seed {report.seed}: {report.runs} runs in {took_s:.1f} s")
    else:
        console.print(f"  runs     {report.runs}, {report.decisions} decisions, in {took_s:.1f} s")
    console.print(
        "  ended    " + (", ".join(f"{n} {end}" for end, n in ends.items() if n) or "none: cut short by design")
    )
    console.print("  faults   " + (", ".join(f"{n} {kind}" for kind, n in report.faults.items()) or "none"))
    if report.excused:
        console.print("  excused  " + ", ".join(f"{n} {why}" for why, n in report.excused.items()))
    if report.incidents:
        console.print(f"  told     {report.incidents} incidents; {report.acts} words of people")
    console.print(f"  trace    {report.digest[:16]}")
    for violation in report.violations:
        text = f"{violation.at:%Y-%m-%d %H:%M:%S} {violation.run}: {violation.rule}: {violation.detail}"
        console.print(f"VIOLATION {text}", style="bold red", markup=False, soft_wrap=True)
    console.print(f"{len(report.violations)} violations", style="bold red" if report.violations else "bold green")


def _list(console: Console, lessons: dict[str, str], *, json: bool) -> int:
    if json:
        show.print_json({"scenarios": lessons})
        return OK
    for name, lesson in lessons.items():
        console.print(f"{name:<28} {lesson}", markup=False)
    return OK
