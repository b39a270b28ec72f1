"""What the commands' common arguments mean, and which of them are refused before anything is written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from rich.console import Console

from orchestration.cli.main import UsageError
from shared.config import orchestration_config
from shared.config.settings import Settings, read_settings
from shared.core.model import ModeSpec, PipelineSpec, RunKey
from shared.ports import Feed


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


def waiting(console: Console, settings: Settings) -> Callable[[str], None]:
    """Says whom a command waits for."""
    return lambda holder: console.print(f"Waiting for {holder}, which is writing to {settings.home}.", soft_wrap=True)


def home_option(settings: Settings) -> str:
    return "" if settings.home == Path(".tipoff") else f" --home {settings.home}"
