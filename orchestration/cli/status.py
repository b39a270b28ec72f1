"""`tipoff status`: how far the runs of a date are. Reads only; works while another command writes."""

from __future__ import annotations

import argparse

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import settings_of, spec_of
from shared import wiring
from shared.core.fold import look
from shared.core.model import RunKey
from shared.core.status import RunStatus, summarise
from shared.ports import StateStore


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    spec = spec_of(arguments.pipeline)
    with wiring.read_home(settings) as states:
        runs = states.runs(spec.name, arguments.date, arguments.date) if states else ()
        statuses = [status_of(states, run) for run in runs if states]
    if arguments.json:
        show.print_json({"runs": [status.to_json() for status in statuses]})
    else:
        console = show.console(settings)
        if not statuses:
            console.print(f"No run of {spec.name} for {arguments.date} in {settings.home}.")
        for status in statuses:
            console.print(show.headline(status), soft_wrap=True)
            console.print(show.run_table(status))
            console.print(show.next_line(status, show.utc_now()))
    latest = {status.run.mode: status for status in sorted(statuses, key=lambda status: status.run.generation)}
    return OK if latest and all(status.state.well for status in latest.values()) else NOT_PUBLISHED


def status_of(states: StateStore, run: RunKey) -> RunStatus:
    """Raises UsageError for a run that this home does not know."""
    plan = states.plan(run)
    if plan is None:
        raise UsageError(f"run {run} is not in this home; `tipoff status {run.pipeline} --date {run.date}` lists those")
    record = states.load(run)
    return summarise(look(plan, record.facts, record.latches, record.control, show.utc_now()), record.last_entry)
