"""`tipoff run`: one pipeline day on embedded parts, driven until it has published or can only wait."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from data_processors.nba.runner import bootstrap, create_tables, history_before
from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import (
    check_dates,
    check_modes,
    check_source,
    home_option,
    login_name,
    screen,
    settings_of,
    spec_of,
    stack_for,
    where,
    working_home,
)
from orchestration.records import newest
from orchestration.runs import Runs
from orchestration.stack import Stack
from shared import wiring
from shared.config.settings import Settings
from shared.core.calendar import mode_for
from shared.core.model import Act, LedgerEntry, RunKey, Start
from shared.core.status import RunState, RunStatus
from shared.ports import Feed

TOLD = ("open", "block", "fail", "done")  # a wait is what the spinner is for


def run(arguments: argparse.Namespace) -> int:
    spec, feed = spec_of(arguments.pipeline), wiring.open_feed(arguments.data)
    if arguments.actor and not arguments.look_again:
        raise UsageError("--actor says who has the sources look again; add --look-again")
    mode = mode_for(arguments.date, show.utc_now(), spec.zone) if arguments.mode is None else arguments.mode
    check_modes(spec, [mode])
    check_dates({"--date": arguments.date}, feed)
    console = screen(arguments)
    with stack_for(arguments, console) as stack:
        return _run(arguments, RunKey(spec.name, arguments.date, mode), feed, console, stack)


def _run(arguments: argparse.Namespace, key: RunKey, feed: Feed, console: Console, stack: Stack | None) -> int:
    settings, spec = stack.settings if stack else settings_of(arguments), spec_of(arguments.pipeline)
    command = f"tipoff run {spec.name} --date {arguments.date} --mode {key.mode}"
    durability = "power" if arguments.fsync else "process"
    with working_home(settings, console, command=command, wait_s=arguments.wait, durability=durability) as home:
        check_source(home, spec, feed, console)
        runs = Runs(home, spec, feed, settings.commit, tick=stack.keep_alive if stack else lambda: None)
        key = replace(key, generation=arguments.generation or _newest_generation(runs, key))
        if arguments.look_again:
            reason = f"asked by `{command} --look-again`"
            act = Act(actor=arguments.actor or login_name(), reason=reason, at=home.clock.now())
            if refused := runs.look_again(key, act):
                raise UsageError(f"--look-again: {refused.reason}")
        coverage = feed.coverage()
        label = " [yellow](synthetic)[/]" if coverage.synthetic else ""
        console.print(f"[bold]{key}[/] on {coverage.source}{label}, {where(settings)}", soft_wrap=True)
        before = runs.status(key) if arguments.look_again else None
        status = drive(runs, key, console, patience_s=arguments.patience)
    if before and before.ended_at and before.ended_at == status.ended_at:
        console.print("The sources have looked again: nothing to publish anew.")
    if arguments.json:
        show.print_json({"runs": [status.to_json()]})
    else:
        report(console, settings, status, goes_on="" if stack else "the same command")
    if stack:
        console.print(
            f"The emulators end with this command, and the state of the run; exports and logs stay in {stack.folder}. "
            "While `tipoff up` runs in the home, `run` and `explain` work on its emulators instead.",
            soft_wrap=True,
        )
    return OK if status.state.well else NOT_PUBLISHED


def _newest_generation(runs: Runs, key: RunKey) -> int:
    known = newest(runs.home.ports.states, key.pipeline, key.date, key.date)
    return known.get((key.date, key.mode), key).generation


def drive(runs: Runs, key: RunKey, console: Console, *, patience_s: float, told: Collection[str] = TOLD) -> RunStatus:
    """One run with its history, telling each of these decisions as it falls."""
    with show.spinner(console) as spin:
        create_tables(runs.home.warehouse)
        before = history_before(key, runs.spec)
        loaded = bootstrap(runs.work, before, lambda text: spin.update(text) if spin else None)
        if loaded:
            console.print(f"Loaded the history before {before}: {loaded:,} dates with games, labelled bootstrap.")
        began = show.utc_now()

        def tell(entry: LedgerEntry) -> None:
            if entry.run == key and entry.decision in told:
                console.print(show.decision_line(entry, began), soft_wrap=True)

        def watch(running: list[Start]) -> None:
            if spin:
                spin.update(
                    "running "
                    + (", ".join(start.processor for start in running) or "nothing: a gate decides, or waits")
                )

        return runs.go(key, patience_s=patience_s, tell=tell, watch=watch)


def report(console: Console, settings: Settings, status: RunStatus, *, goes_on: str = "the same command") -> None:
    console.print()
    console.print(show.headline(status), soft_wrap=True)
    console.print(show.run_table(status))
    if status.state in (RunState.PUBLISHED, RunState.DEGRADED):
        exports = settings.cloud.exports if settings.cloud else str(settings.home / wiring.EXPORTS)
        folder = f"{exports}/{status.run.pipeline}/{status.run.date}"
        if "://" in folder:
            console.print(f"Documents: {folder}/", soft_wrap=True)
        for path in sorted(Path(folder).glob("*.json")):
            writer = json.loads(path.read_text(encoding="utf-8"))["run"]
            by = "" if writer == str(status.run) else f", by {writer}"
            console.print(f"{path} ({path.stat().st_size:,} bytes{by})", soft_wrap=True)
    if line := show.next_line(status, show.utc_now()):
        console.print(line)
    if not status.state.well and goes_on:
        console.print(f"Why: tipoff explain {status.run}{home_option(settings)}", soft_wrap=True)
        console.print(f"The run is kept; {goes_on} goes on with it.", soft_wrap=True)
    if status.state in (RunState.BLOCKED, RunState.FAILED):
        console.print(f"To run the date anew, add --generation {status.run.generation + 1}.")
