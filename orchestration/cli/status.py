"""`tipoff status`: how far the runs of a date are. Reads only; works while another command writes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.markup import escape

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import goes_on_line, settings_of, spec_of, where
from orchestration.records import heads_of, watched
from orchestration.stack import running_stack
from orchestration.summary import watchdog
from shared import wiring
from shared.config.settings import Settings
from shared.core.codec import to_data
from shared.core.fold import look
from shared.core.model import WATCH, RunKey
from shared.core.plan import Plan
from shared.core.status import RunStatus, summarise
from shared.core.watch import record_of
from shared.ports import StateStore


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    spec = spec_of(arguments.pipeline)
    with wiring.read_home(settings) as home:
        runs = home.states.runs(spec.name, arguments.date, arguments.date) if home else ()
        statuses = [status_of(home.states, run) for run in runs if home]
        dead = watchdog(home.states, settings, show.utc_now()) if home else ""
        incidents = watched(home.states, spec.name) if home else ()
        if arguments.json:
            told = {"incidents": [to_data(alert) for alert in incidents]} if incidents else {}
            show.print_json({"runs": [status.to_json() for status in statuses], **told})
        elif home and statuses:
            _print(home, settings, statuses)
        else:
            console = show.console(settings)
            console.print(f"No run of {spec.name} for {arguments.date}: {where(settings)}.", soft_wrap=True)
            if settings.cloud is None and running_stack(settings.home):
                console.print("`tipoff up` runs in this home: --target emulators looks there.", soft_wrap=True)
        for alert in () if arguments.json else incidents:
            show.console(settings).print(show.incident_line(alert), soft_wrap=True)
            named = f"{record_of(spec.name)}/incident/{alert.cause}/{alert.number}"
            show.console(settings).print(f"  `tipoff ack {named} --reason TEXT` says that you have it", soft_wrap=True)
        if dead:
            show.console(settings, stderr=arguments.json).print(f"[red]{escape(dead)}[/]", soft_wrap=True)
    latest = {status.run.mode: status for status in sorted(statuses, key=lambda status: status.run.generation)}
    return OK if latest and all(status.state.well for status in latest.values()) else NOT_PUBLISHED


def _print(home: wiring.ReadHome, settings: Settings, statuses: Sequence[RunStatus]) -> None:
    console, now = show.console(settings), show.utc_now()
    for status in statuses:
        batches = [] if status.state.well else heads_of(home, status.run, now)
        far = {batch.phase: show.batch_far(batch, now) for batch in batches if not batch.completion}
        console.print(show.headline(status), soft_wrap=True)
        console.print(show.run_table(status, far))
        console.print(show.next_line(status, now))
        if line := goes_on_line(status, home, settings):
            console.print(escape(f"{line}\n"), soft_wrap=True)


def status_of(states: StateStore, run: RunKey) -> RunStatus:
    """Raises UsageError for a run that this home does not know."""
    plan, record = known_plan(states, run), states.load(run)
    view = look(plan, record.facts, record.latches, record.control, show.utc_now())
    return summarise(view, record.last_entry)


def known_plan(states: StateStore, run: RunKey) -> Plan:
    """Raises UsageError for a run that this home does not know."""
    plan = None if run.mode == WATCH else states.plan(run)
    if plan is None:
        raise UsageError(f"run {run} is not in this home; `tipoff status {run.pipeline} --date {run.date}` lists those")
    return plan
