"""`tipoff run`: one pipeline day on embedded parts, driven until it has published or can only wait."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.status import Status

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import settings_of, spec_of
from shared import wiring
from shared.config.settings import Settings
from shared.core.calendar import mode_for
from shared.core.model import LedgerEntry, PipelineSpec, RunKey, Start
from shared.core.status import RunState, RunStatus
from shared.ports import Feed

TOLD = ("open", "block", "fail", "done")  # a wait is what the spinner is for


def run(arguments: argparse.Namespace) -> int:
    settings, spec = settings_of(arguments), spec_of(arguments.pipeline)
    feed = wiring.open_feed(arguments.data)
    mode = arguments.mode or mode_for(arguments.date, show.utc_now(), spec.zone)
    check(spec, mode, arguments.date, feed)
    return drive(
        settings,
        spec,
        feed,
        day=arguments.date,
        mode=mode,
        generation=arguments.generation,
        patience_s=arguments.patience,
        wait_s=arguments.wait,
        durability="power" if arguments.fsync else "process",
        json=arguments.json,
    )


def check(spec: PipelineSpec, mode: str, day: date, feed: Feed) -> None:
    """Refuse before anything is written what could never publish."""
    from orchestration.one_run import unable

    if mode not in [known.name for known in spec.modes]:
        raise UsageError(f"--mode {mode!r} is unknown; known: {', '.join(m.name for m in spec.modes)}")
    if names := unable(spec, mode):
        raise UsageError(f"--mode {mode} plans {', '.join(names)}, which cannot run here; use --mode overnight")
    coverage = feed.coverage()
    if not coverage.first <= day <= coverage.last:
        raise UsageError(
            f"--date {day} is outside the data in {coverage.source}, {coverage.first} to {coverage.last}; "
            "no games there would be ignorance, not a holiday"
        )


def drive(
    settings: Settings,
    spec: PipelineSpec,
    feed: Feed,
    *,
    day: date,
    mode: str,
    generation: int | None = None,
    patience_s: float,
    wait_s: float,
    durability: str = "process",
    json: bool = False,
) -> int:
    from data_processors.nba.runner import bootstrap, create_tables
    from orchestration.one_run import OneRun, latest

    console = show.console(settings, stderr=json)

    def waiting(holder: str) -> None:
        console.print(f"Waiting for {holder}, which is writing to {settings.home}.")

    command = f"tipoff run {spec.name} --date {day} --mode {mode}"
    with wiring.write_home(settings, command=command, wait_s=wait_s, waiting=waiting, durability=durability) as home:
        key = RunKey(spec.name, day, mode, generation or latest(home, spec, day, mode))
        one = OneRun(home, spec, key, feed, settings.commit)
        coverage = feed.coverage()
        label = " [yellow](synthetic)[/]" if coverage.synthetic else ""
        console.print(f"[bold]{key}[/] on {coverage.source}{label}, home {settings.home}")
        with spinner(console, json) as spin:
            create_tables(home.warehouse)
            loaded = bootstrap(one.work, day, lambda text: spin.update(text) if spin else None)
            if loaded:
                console.print(f"Loaded the history before {day}: {loaded:,} dates with games, labelled bootstrap.")
            began = show.utc_now()

            def tell(entry: LedgerEntry) -> None:
                if entry.run == key and entry.decision in TOLD:
                    console.print(show.decision_line(entry, began), soft_wrap=True)

            def watch(running: list[Start]) -> None:
                if spin:
                    spin.update("running " + (", ".join(start.processor for start in running) or "nothing"))

            status = one.go(patience_s=patience_s, tell=tell, watch=watch)
    if json:
        show.print_json({"runs": [status.to_json()]})
    else:
        report(console, settings, status)
    return OK if status.state.well else NOT_PUBLISHED


def spinner(console: Console, json: bool) -> AbstractContextManager[Status | None]:
    """Shows what is running, on a terminal only."""
    return console.status("starting") if console.is_terminal and not json else nullcontext()


def report(console: Console, settings: Settings, status: RunStatus) -> None:
    console.print()
    console.print(show.headline(status), soft_wrap=True)
    console.print(show.run_table(status))
    if status.state in (RunState.PUBLISHED, RunState.DEGRADED):
        folder = settings.home / wiring.EXPORTS / status.run.pipeline / str(status.run.date)
        for path in sorted(folder.glob("*.json")):
            console.print(f"{path} ({path.stat().st_size:,} bytes)", soft_wrap=True)
    if line := show.next_line(status, show.utc_now()):
        console.print(line)
    if not status.state.well:
        console.print(f"Why: tipoff explain {status.run}{_home_option(settings)}", soft_wrap=True)
        console.print("The run is kept; the same command goes on with it.")
    if status.state in (RunState.BLOCKED, RunState.FAILED):
        console.print(f"To run the date anew, add --generation {status.run.generation + 1}.")


def _home_option(settings: Settings) -> str:
    return "" if settings.home == Path(".tipoff") else f" --home {settings.home}"
