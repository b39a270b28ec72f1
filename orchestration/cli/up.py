"""`tipoff up`: the whole system on this machine, on emulators, and a live table of what runs, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from data_processors.nba.runner import Work, bootstrap, create_tables, history_before
from data_processors.nba.sample_season import write_sample_season
from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import home_option, local_settings, spec_of
from orchestration.records import status_of
from orchestration.stack import TIMER, Say, Stack, Wanted, running_stack
from shared import wiring
from shared.config.functions import function
from shared.config.settings import Settings, emulator_home
from shared.core.calendar import expected_runs, game_day
from shared.core.model import PipelineSpec
from shared.core.status import RunStatus
from shared.ports import Feed, Health
from shared.service import SWEEP_LOOK_BACK_DAYS

SEASON_DAYS, SEASON_BEFORE = 30, 24  # of the synthetic one: so many in all, so many before today
LOOK_S = 1.0
ASK_S = 5.0  # between two looks at every function's health
RUNS_MAX = 8
SILENT_LOOKS = 4  # unanswered ones, of up to six seconds each, after which a function hangs and is killed
WIDE = 130  # columns of a terminal on which the longest line of the table has room
DAY = timedelta(days=1)
COORDINATOR, DASHBOARD = "prediction_coordinator", "nba_admin_dashboard"


def run(arguments: argparse.Namespace) -> int:
    settings, spec = local_settings(arguments), spec_of(arguments.pipeline)
    console = show.console(settings, stderr=arguments.json)
    if there := running_stack(settings.home):
        raise UsageError(
            f"--home {settings.home}: `tipoff up` runs there already, with {there['TIPOFF_DATA']}; stop it, or use "
            "another --home"
        )
    folder = arguments.data or synthetic_season(settings, spec)
    feed = wiring.open_feed(folder)
    begins = by_itself(feed, spec)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))
    is_ready = False
    try:
        with ExitStack() as opened:
            with saying(console) as say:

                def prepare(stack: Stack) -> None:
                    with closing(wiring.open_cloud(stack.settings)) as home:
                        say("making the tables")
                        create_tables(home.warehouse)
                        if begins:
                            load_history(home, feed, spec, settings.commit, say)

                wanted = Wanted(
                    home=settings.home,
                    data=str(folder.resolve()),
                    commit=settings.commit,
                    calendar=begins,
                    traces=settings.traces,
                    secrets={"SLACK_WEBHOOK_URL": settings.slack_webhook} if settings.slack_webhook else {},
                    is_shared=True,
                    prepare=prepare,
                )
                stack = opened.enter_context(Stack(wanted, say))
                is_ready = True
            home = opened.enter_context(closing(wiring.open_cloud(stack.settings)))
            told(console, stack, feed, spec, begins=begins)
            if arguments.json:
                show.print_json(to_json(stack))
                sys.stdout.flush()
            look_on(console, stack, home, spec)
    except (KeyboardInterrupt, SystemExit):
        console.print(f"Stopped; exports and logs stay in {escape(str(emulator_home(settings.home)))}.", soft_wrap=True)
    return OK if is_ready else NOT_PUBLISHED


def synthetic_season(settings: Settings, spec: PipelineSpec) -> Path:
    """A season that today lies in, the same on every start of a day."""
    today = game_day(show.utc_now(), spec.zone)
    folder = emulator_home(settings.home) / f"sample_season_{today}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as beside:  # whole, or not there
            season = Path(beside) / folder.name
            season.mkdir()
            write_sample_season(season, seed=7, days=SEASON_DAYS, first=today - SEASON_BEFORE * DAY)
            season.rename(folder)
    return folder


def by_itself(feed: Feed, spec: PipelineSpec) -> bool:
    """Whether runs begin when the calendar says so: where the data cover today, and not in a season long over."""
    coverage, today = feed.coverage(), game_day(show.utc_now(), spec.zone)
    return coverage.first <= today - SWEEP_LOOK_BACK_DAYS * DAY and today <= coverage.last


def load_history(home: wiring.CloudHome, feed: Feed, spec: PipelineSpec, commit: str, say: Say) -> None:
    """What happened before the first run that the calendar will begin."""
    due = expected_runs(spec, home.clock.now(), SWEEP_LOOK_BACK_DAYS)
    before = min((history_before(run, spec) for run in due), default=game_day(home.clock.now(), spec.zone))
    work = Work(warehouse=home.warehouse, feed=feed, objects=home.exports, now=home.clock.now, commit=commit)
    bootstrap(work, before, say)


def told(console: Console, stack: Stack, feed: Feed, spec: PipelineSpec, *, begins: bool) -> None:
    coverage = feed.coverage()
    label = " [yellow](synthetic)[/]" if coverage.synthetic else ""
    console.print(f"[bold]{spec.name}[/] on {coverage.source}{label}, {coverage.first} to {coverage.last}.")
    if begins:
        console.print("Runs begin by themselves, as the schedules and the calendar say.")
    else:
        example = f"tipoff run {spec.name} --date {coverage.last} --mode overnight --data {quote(stack.wanted.data)}"
        example += home_option(stack.settings)
        console.print(f"The data do not cover today, so a run begins when you ask: `{escape(example)}`", soft_wrap=True)
    console.print(f"Logs: {escape(str(stack.folder / 'logs'))}.", soft_wrap=True)
    if coordinator := stack.processes.get(COORDINATOR):
        console.print(f"Coordinator: {coordinator.url} (docs/http.md).", soft_wrap=True)
    if dashboard := stack.processes.get(DASHBOARD):
        console.print(f"Dashboard: {dashboard.url} (docs/dashboard.md).", soft_wrap=True)
    console.print(f"Ctrl-C or kill {os.getpid()} stops everything.", soft_wrap=True)


def look_on(console: Console, stack: Stack, home: wiring.CloudHome, spec: PipelineSpec) -> None:
    """Start again what dies, and show how all of it is: a table on a terminal, a line for each change elsewhere."""
    probe, asked_at, health, before = wiring.health_probe(stack.settings), 0.0, dict[str, Health](), dict[str, str]()
    silent = dict[str, int]()
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    with ExitStack() as opened:
        if live:
            opened.enter_context(live)
        while True:
            for name, how in stack.keep_alive().items():
                console.print(f"{show.utc_now():%H:%M:%S} {name} {how} and was started again")
            if monotonic() - asked_at > ASK_S:
                health, asked_at = stack.health(probe), monotonic()
                silent = {name: silent.get(name, 0) + 1 for name, answer in health.items() if not answer.alive}
                for name in [name for name, looks in silent.items() if looks >= SILENT_LOOKS]:
                    console.print(
                        f"{show.utc_now():%H:%M:%S} {name} did not answer for {silent.pop(name)} looks; killed"
                    )
                    stack.kill(name)
            statuses = latest(home, spec)
            if live:
                parts = parts_table(stack, health, wide=console.width >= WIDE)
                live.update(Group(parts, runs_table(statuses)), refresh=True)
            else:
                for line in changes(health, statuses, before):
                    console.print(f"{show.utc_now():%H:%M:%S} {escape(line)}", soft_wrap=True)
            sleep(LOOK_S)


def latest(home: wiring.CloudHome, spec: PipelineSpec) -> list[RunStatus]:
    """The runs that began last, the newest first."""
    states, now = home.ports.states, home.clock.now()
    plans = [plan for run in states.runs(spec.name, date.min, date.max) if (plan := states.plan(run))]
    plans.sort(key=lambda plan: plan.started_at, reverse=True)
    return [status_of(states, plan.run, now) for plan in plans[:RUNS_MAX]]


def changes(health: Mapping[str, Health], statuses: list[RunStatus], before: dict[str, str]) -> Iterator[str]:
    """What is not as it was; `before` is brought up to date."""
    now = {name: "ready" if answer.ready else answer.why for name, answer in health.items()}
    now |= {str(status.run): f"{status.state}: {status.reason}" for status in statuses}
    for name, state in now.items():
        if before.get(name) != state:
            yield f"{name} {state}"
    before.update(now)


def parts_table(stack: Stack, health: Mapping[str, Health], *, wide: bool) -> Table:
    """What a part hears is told where there is room for it on its line."""
    table = Table(box=None, pad_edge=False)
    for column in ("part", "state", "starts", "address", *(["hears"] if wide else [])):
        table.add_column(column, overflow="fold", no_wrap=column in ("part", "starts", "address"))

    def row(*cells: str) -> None:
        table.add_row(*cells if wide else cells[:-1])

    for emulator in stack.emulators:
        row(f"{emulator.kind} emulator", "running", "1", emulator.host, "")
    for name, process in stack.processes.items():
        answer = health.get(name)
        state = "running" if answer is None else "ready" if answer.ready else f"[red]{escape(answer.why)}[/]"
        hears = "" if name == TIMER else ", ".join(function(name).listens)
        row(name, state if process.alive else "[red]ended[/]", str(process.starts), process.url, hears)
    return table


def runs_table(statuses: list[RunStatus]) -> Table:
    table = Table(box=None, pad_edge=False, title="runs" if statuses else None, title_justify="left")
    for column in ("run", "state", "whole", "why, and what next") if statuses else ():
        table.add_column(column)
    for status in statuses:
        table.add_row(str(status.run), str(status.state), f"{status.completeness:.0%}", escape(status.reason))
    return table


def to_json(stack: Stack) -> dict[str, object]:
    functions = [
        {"name": name, "url": process.url, "log": str(process.log)} for name, process in stack.processes.items()
    ]
    return {"environment": stack.environment, "data": stack.wanted.data, "parts": functions}


@contextmanager
def saying(console: Console) -> Iterator[Say]:
    """Shows what is being started, on a terminal as it goes, elsewhere a line each."""
    if not console.is_terminal:
        last = [""]

        def say(text: str) -> None:
            if text != last[0]:
                last[0] = text
                console.print(escape(text), soft_wrap=True)

        yield say
        return
    with console.status("starting") as status:
        yield status.update
