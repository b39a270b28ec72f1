"""`tipoff backfill`: the runs of many dates in one process, in the order in which they would have come."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from shlex import quote
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from data_processors.nba.runner import create_tables
from orchestration.backfill import Backfill, End
from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import (
    check_dates,
    check_modes,
    check_source,
    home_option,
    settings_of,
    spec_of,
    working_home,
)
from orchestration.runs import Runs
from shared import wiring
from shared.config.settings import Settings
from shared.core.model import Start
from shared.core.order import turns
from shared.core.status import RunState

SAID_EVERY = 10  # per cent of the runs, into a pipe


def run(arguments: argparse.Namespace) -> int:
    settings, spec = settings_of(arguments), spec_of(arguments.pipeline)
    feed = wiring.open_feed(arguments.data)
    modes = check_modes(spec, [name.strip() for name in arguments.mode.split(",")])
    check_dates({"--from": arguments.first, "--to": arguments.last}, feed)
    if arguments.first > arguments.last:
        raise UsageError(f"--from {arguments.first} is after --to {arguments.last}; exchange them")
    console = show.console(settings, stderr=arguments.json)
    wanted = turns(spec, modes, arguments.first, arguments.last)
    command = f"tipoff backfill {spec.name} --from {arguments.first} --to {arguments.last} --mode {arguments.mode}"
    began = monotonic()
    with working_home(settings, console, command=command, wait_s=arguments.wait) as home:
        check_source(home, spec, feed, console)
        create_tables(home.warehouse)
        with Shown(console, settings, arguments.data) as shown:
            backfill = Backfill(
                Runs(home, spec, feed, settings.commit), wanted, parallel=arguments.parallel, told=shown
            )
            backfill.go(arguments.patience)
    took_s = monotonic() - began
    if arguments.json:
        show.print_json(to_json(arguments, [mode.name for mode in modes], backfill.ends, took_s, shown))
    else:
        console.print(shown.summary(backfill.ends, took_s), soft_wrap=True)
    return OK if all(end.state.well for end in backfill.ends) else NOT_PUBLISHED


def to_json(
    arguments: argparse.Namespace, modes: list[str], ends: list[End], took_s: float, shown: Shown
) -> dict[str, object]:
    """The documented form of `tipoff backfill --json`: stable, fields are only ever added."""
    return {
        "pipeline": arguments.pipeline,
        "from": str(arguments.first),
        "to": str(arguments.last),
        "modes": modes,
        "runs": len(ends),
        "there_before": sum(end.before for end in ends),
        "states": {str(state): sum(end.state is state for end in ends) for state in RunState},
        "seconds": round(took_s, 1),
        "left": [
            {"run": str(end.run), "state": str(end.state), "reason": end.reason, "command": shown.remedy(end)}
            for end in ends
            if not end.state.well
        ],
    }


class Shown:
    """What a person sees of a backfill: a bar on a terminal, a line for each tenth into a pipe, every problem."""

    def __init__(self, console: Console, settings: Settings, data: Path) -> None:
        self._console, self._settings, self._data = console, settings, data
        self._bar = Progress(
            *(MofNCompleteColumn(), TextColumn("runs"), BarColumn(), TimeRemainingColumn()),
            *(TextColumn("left "), TextColumn("{task.description}")),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = TaskID(0)
        self._all = self._there = self._ended = self._said = 0
        self._began = monotonic()

    def __enter__(self) -> Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def found(self, there: int, all_runs: int) -> None:
        self._all, self._there = all_runs, there
        self._task = self._bar.add_task("", total=all_runs, completed=there)
        if there:
            self._console.print(f"{there} of {all_runs} runs are there already.")

    def loading(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def at_work(self, running: list[Start]) -> None:
        runs = sorted({f"{start.run.date} {start.run.mode}" for start in running})
        self._bar.update(self._task, description=", ".join(runs))

    def ended(self, end: End) -> None:
        self._ended += 1
        self._bar.update(self._task, completed=self._ended)
        if not end.state.well:
            style = show.STYLE[end.state]
            self._console.print(
                f"[bold]{end.run}[/] is [{style}]{end.state}[/]: {escape(end.reason)}\n  {escape(self.remedy(end))}",
                soft_wrap=True,
            )
        tenth = self._ended * 100 // self._all // SAID_EVERY
        if not end.before and not self._console.is_terminal and tenth > self._said:
            self._console.print(f"{self._ended} of {self._all} runs, {self._pace()}")
        self._said = tenth

    def _pace(self) -> str:
        """How long it has taken, and how long the rest will take if it goes on like this."""
        took_s, left = monotonic() - self._began, self._all - self._ended
        rest = f", about {show.span(took_s / (self._ended - self._there) * left)} left" if left else ""
        return f"{show.span(took_s)}{rest}"

    def remedy(self, end: End) -> str:
        """The command that helps with a run that has not ended well."""
        home = home_option(self._settings)
        if end.state is RunState.FAILED:
            run = end.run
            return (
                f"tipoff run {run.pipeline} --date {run.date} --mode {run.mode} --generation {run.generation + 1}"
                f" --data {quote(str(self._data))}{home}"
            )
        return f"tipoff explain {end.run}{home}"

    def summary(self, ends: list[End], took_s: float) -> str:
        states = Counter(end.state for end in ends)
        told = ", ".join(f"[{show.STYLE[state]}]{states[state]} {state}[/]" for state in RunState if states[state])
        before = sum(end.before for end in ends)
        text = f"{len(ends)} runs: {told}; {len(ends) - before} of them now, in {took_s:.1f} s."
        if any(not end.state.well and end.state is not RunState.FAILED for end in ends):
            text += "\nThe same command goes on with those that are open."
        return text
