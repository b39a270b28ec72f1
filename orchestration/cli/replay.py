"""`tipoff replay`: do a run over from one phase on, as a new generation, and drive it as `tipoff run` does."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import (
    check_dates,
    check_modes,
    check_source,
    home_option,
    login_name,
    run_key_of,
    settings_of,
    spec_of,
    where,
    working_home,
)
from orchestration.cli.run import drive, report
from orchestration.runs import Runs
from shared import wiring
from shared.config.settings import Settings
from shared.core.model import Act, RunKey
from shared.service import Refusal


def run(arguments: argparse.Namespace) -> int:
    settings, original = settings_of(arguments), run_key_of(arguments.run)
    spec = spec_of(original.pipeline)
    folder = arguments.data or _folder_of(settings, original)
    feed = wiring.open_feed(folder)
    check_modes(spec, [original.mode])
    check_dates({f"the date of {original},": original.date}, feed)
    console = show.console(settings, stderr=arguments.json)
    with working_home(settings, console, command=f"tipoff replay {original}", wait_s=arguments.wait) as home:
        check_source(home, spec, feed, console)
        runs = Runs(home, spec, feed, settings.commit)
        act = Act(actor=arguments.actor or login_name(), reason=arguments.reason, at=home.clock.now())
        key = runs.replay(original, arguments.from_phase, act)
        if isinstance(key, Refusal):
            raise UsageError(key.reason)
        console.print(f"[bold]{key}[/] replays {original}, {where(settings)}", soft_wrap=True)
        status = drive(runs, key, console, patience_s=arguments.patience)
    if arguments.json:
        show.print_json({"runs": [status.to_json()]})
    else:
        command = f"tipoff run {spec.name} --date {key.date} --mode {key.mode}"
        goes_on = f"`{command} --data {quote(str(folder))}{home_option(settings)}`"
        report(console, settings, status, goes_on=goes_on)
    return OK if status.state.well else NOT_PUBLISHED


def _folder_of(settings: Settings, run: RunKey) -> Path:
    """Where the run had its data; UsageError that names --data where that is gone."""
    with wiring.read_home(settings) as home:
        plan = home.states.plan(run) if home else None
    if plan is None:
        command = f"tipoff status {run.pipeline} --date {run.date}"
        raise UsageError(f"run {run} is not in {settings.home}; `{command}` lists those that are")
    folder = plan.labels.get("folder", "")
    if not folder or not Path(folder).is_dir():
        gone = f"{folder}, where {run} had its data, is gone" if folder else f"{run} does not say where its data are"
        raise UsageError(f"{gone}; name the folder with --data")
    return Path(folder)
