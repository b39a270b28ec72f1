"""What the commands' common arguments mean, and which of them are refused before anything is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path
from signal import SIGUSR1, pthread_kill, signal
from threading import Event, Thread, main_thread

from rich.console import Console
from rich.markup import escape

from orchestration.cli import show
from orchestration.cli.main import UsageError
from orchestration.commands import goes_on_line as goes_on_line
from orchestration.commands import home_option as home_option
from orchestration.commands import login_name as login_name
from orchestration.commands import run_command as run_command
from orchestration.stack import Stack, StackFailed, Wanted, running_stack
from shared import wiring
from shared.config import orchestration_config
from shared.config.settings import HOSTS, Settings, Target, asked_home, asked_target, hosts_given, read_settings
from shared.core.model import WATCH, ModeSpec, PipelineSpec, RunKey
from shared.ports import Feed
from shared.wiring import CloudHome, Home

LOOK_S = 1.0  # between two looks whether the stack is still there


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What the environment says, and before it the command's own options. The emulators of a running `tipoff up` in
    the home are found without being named."""
    first = said(arguments)
    if asked_target(first) == Target.EMULATORS:
        there = running_stack(asked_home(first))
        if not there and not hosts_given():
            raise UsageError(
                f"--target emulators: no `tipoff up` runs in {asked_home(first)}, and the environment names no "
                f"emulators ({', '.join(HOSTS)}); start `tipoff up`, or `make emulators` and paste what it prints"
            )
        return read_settings(first={**there, **first})
    return read_settings(first=first)


def local_settings(arguments: argparse.Namespace) -> Settings:
    """What holds whatever the target is, and for commands that have none."""
    return read_settings(first={**said(arguments), "TIPOFF_TARGET": Target.LOCAL})


def said(arguments: argparse.Namespace) -> dict[str, str]:
    """The options that stand over the environment, by its names. UsageError for a home that cannot be one."""
    if arguments.home and arguments.home.is_file():
        raise UsageError(f"--home {arguments.home}: is not a folder; name a folder that you may write to")
    options = {"TIPOFF_HOME": arguments.home, "TIPOFF_TARGET": getattr(arguments, "target", None)}
    return {name: str(value) for name, value in options.items() if value is not None}


def screen(arguments: argparse.Namespace) -> Console:
    """Where a command speaks; beside its JSON, if that is asked for."""
    return show.console(local_settings(arguments), stderr=arguments.json)


def where(settings: Settings) -> str:
    """Where the state of runs is, in words."""
    cloud = settings.cloud
    return f"{settings.target}, project {cloud.project}" if cloud else f"home {settings.home}"


@contextmanager
def working_home(
    settings: Settings, console: Console, *, command: str, wait_s: float, durability: str = "process"
) -> Iterator[Home]:
    """Where a command's runs are: a folder that it alone writes to, or services that any number of others use too."""
    if settings.target is Target.LOCAL:
        with wiring.write_home(
            settings, command=command, wait_s=wait_s, waiting=waiting(console, settings), durability=durability
        ) as home:
            yield home
        return
    with ExitStack() as opened:
        if running_stack(settings.home):
            opened.enter_context(while_it_runs(settings.home))
        yield opened.enter_context(closing(wiring.open_cloud(settings)))


@contextmanager
def while_it_runs(home: Path) -> Iterator[None]:
    """Raises StackFailed as soon as the stack in this home is gone: its emulators' clients would try for minutes."""
    over = Event()

    def gone(*_: object) -> None:
        raise StackFailed(
            f"--home {home}: the `tipoff up` that ran there has ended, and the state of its runs with it; start it "
            "again, then this command"
        )

    def look_on() -> None:
        while not over.wait(LOOK_S):
            if not running_stack(home):
                over.set()
                pthread_kill(main_thread().ident or 0, SIGUSR1)  # whatever it waits for, a signal wakes it

    before = signal(SIGUSR1, gone)
    Thread(target=look_on, name="stack", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal(SIGUSR1, before)


@contextmanager
def stack_for(arguments: argparse.Namespace, console: Console) -> Iterator[Stack | None]:
    """On emulators, a stack of the command's own that ends with it, unless one of `tipoff up` runs in the home.

    Raises UsageError where the one that runs there reads other data.
    """
    first = said(arguments)
    if asked_target(first) != Target.EMULATORS:
        yield None
        return
    data = str(arguments.data.resolve())
    there = running_stack(asked_home(first))
    if there:
        if there["TIPOFF_DATA"] != data:
            raise UsageError(
                f"--data {data}: the functions that `tipoff up` runs here read {there['TIPOFF_DATA']}; name that, or "
                "stop it and start it with other data"
            )
        yield None
        return
    local = local_settings(arguments)
    wanted = Wanted(home=local.home, data=data, commit=local.commit, calendar=False, traces=local.traces)
    console.print("Starting emulators and functions for this command; `tipoff up` keeps them for many.")
    with ExitStack() as until_ready:
        spin = until_ready.enter_context(show.spinner(console))
        with Stack(wanted, spin.update if spin else lambda _: None) as stack:
            until_ready.close()
            yield stack


def spec_of(pipeline: str) -> PipelineSpec:
    try:
        return orchestration_config.pipeline(pipeline)
    except orchestration_config.UnknownPipeline as error:
        raise UsageError(str(error)) from None


def run_key_of(text: str) -> RunKey:
    try:
        run = RunKey.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    spec_of(run.pipeline)
    return run


def check_run(settings: Settings, run: RunKey) -> None:
    """UsageError for a run that is not there: asked before a home is opened, which would make it."""
    with wiring.read_home(settings) as home:
        if home is None or run.mode == WATCH or home.states.plan(run) is None:
            raise UsageError(
                f"run {run} is not there ({where(settings)}); `tipoff status {run.pipeline} --date "
                f"{run.date}{home_option(settings)}` lists those that are"
            )


def check_modes(spec: PipelineSpec, names: Sequence[str]) -> list[ModeSpec]:
    """The modes of these names; UsageError for one that nobody declared or that cannot run here."""
    from orchestration.runs import unable

    known = {mode.name: mode for mode in spec.modes}
    for name in names:
        if name not in known:
            raise UsageError(f"--mode {name!r} is unknown; known: {', '.join(known)}")
        if lacking := unable(spec, name):
            raise UsageError(f"--mode {name} plans {', '.join(lacking)}, which cannot run here; use --mode overnight")
    return [known[name] for name in dict.fromkeys(names)]


def check_dates(dates: Mapping[str, date], feed: Feed) -> None:
    """UsageError for a date that the data cannot answer for."""
    coverage = feed.coverage()
    for option, day in dates.items():
        if not coverage.first <= day <= coverage.last:
            raise UsageError(
                f"{option} {day} is outside the data in {coverage.source}, {coverage.first} to {coverage.last}; "
                "no games there would be ignorance, not a holiday"
            )


def check_source(home: Home, spec: PipelineSpec, feed: Feed, console: Console) -> None:
    """UsageError where synthetic and real data would meet in one home; another folder of the same kind is told.

    The newest run stands for all: each was asked this before it began.
    """
    runs = home.ports.states.runs(spec.name, date.min, date.max)
    plan = home.ports.states.plan(runs[-1]) if runs else None
    before = plan.labels.get("folder", "") if plan else ""
    coverage = feed.coverage()
    if isinstance(home, CloudHome) and home.data not in ("", coverage.folder):
        raise UsageError(
            f"--data {coverage.folder}: the functions of {home.cloud.project} read {home.data} (TIPOFF_DATA); a run "
            "would be labelled with one and made of the other"
        )
    if plan is None or not before or before == coverage.folder:
        return
    if (plan.labels.get("synthetic") == "yes") != coverage.synthetic:
        kinds = ("synthetic", "real") if coverage.synthetic else ("real", "synthetic")
        raise UsageError(
            f"--data {coverage.folder} is {kinds[0]}, and the runs in {home.path} were made from {kinds[1]} data in "
            f"{before}: no run could tell them apart; use another --home"
        )
    console.print(
        f"[yellow]The runs in {escape(str(home.path))} were made from {escape(before)}; this one reads "
        f"{escape(coverage.folder)}.[/] What is loaded stays; where the two differ, use another --home.",
        soft_wrap=True,
    )


def waiting(console: Console, settings: Settings) -> Callable[[str], None]:
    """Says whom a command waits for."""
    return lambda holder: console.print(f"Waiting for {holder}, which is writing to {settings.home}.", soft_wrap=True)
