"""What the commands' common arguments mean, and which of them are refused before anything is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape

from orchestration.cli.main import UsageError
from shared.config import orchestration_config
from shared.config.settings import Settings, read_settings
from shared.core.model import ModeSpec, PipelineSpec, RunKey
from shared.core.status import RunStatus
from shared.ports import Feed
from shared.wiring import LocalHome, ReadHome


def settings_of(arguments: argparse.Namespace) -> Settings:
    settings = read_settings()
    return replace(settings, home=arguments.home) if arguments.home else settings


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


def check_source(home: LocalHome, spec: PipelineSpec, feed: Feed, console: Console) -> None:
    """UsageError where synthetic and real data would meet in one home; another folder of the same kind is told.

    The newest run stands for all: each was asked this before it began.
    """
    runs = home.ports.states.runs(spec.name, date.min, date.max)
    plan = home.ports.states.plan(runs[-1]) if runs else None
    before = plan.labels.get("folder", "") if plan else ""
    coverage = feed.coverage()
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


def home_option(settings: Settings) -> str:
    return "" if settings.home == Path(".tipoff") else f" --home {quote(str(settings.home))}"


def goes_on_line(status: RunStatus, home: ReadHome, settings: Settings) -> str:
    """What a person has to type where nobody looks: a killed command leaves the same state as one at work."""
    if status.next_look_at is None or home.is_written:
        return ""
    run = status.run
    there = home.states.runs(run.pipeline, run.date, run.date)
    newer = any(other.mode == run.mode and other.generation > run.generation for other in there)
    generation = f" --generation {run.generation}" if newer else ""
    command = f"tipoff run {run.pipeline} --date {run.date} --mode {run.mode}{generation}"
    folder = status.labels.get("folder")
    command += f" --data {quote(folder) if folder else 'DIR'}{home_option(settings)}"
    return f"Nobody is at work in this home; `{command}` goes on with it."
