"""Commands as a person types them, and who types: for what commands and the dashboard tell him to do next."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from shared.config.settings import Settings, Target
from shared.core.model import RunKey
from shared.core.status import RunStatus
from shared.ports import StateStore
from shared.wiring import ReadHome


def home_option(settings: Settings) -> str:
    """The options that lead another command to the same runs."""
    home = "" if settings.home == Path(".tipoff") else f" --home {quote(str(settings.home))}"
    return home if settings.target is Target.LOCAL else f"{home} --target {settings.target}"


def goes_on_line(status: RunStatus, home: ReadHome, settings: Settings) -> str:
    """What a person has to type where nobody looks: a killed command leaves the same state as one at work."""
    if status.next_look_at is None or home.is_written:
        return ""
    command = run_command(status.run, status.labels, home.states, settings)
    return f"Nobody is at work in this home; `{command}` goes on with it."


def run_command(run: RunKey, labels: Mapping[str, str], states: StateStore, settings: Settings) -> str:
    """What goes on with a run that is there, and delivers what waits in its home."""
    there = states.runs(run.pipeline, run.date, run.date)
    newer = any(other.mode == run.mode and other.generation > run.generation for other in there)
    generation = f" --generation {run.generation}" if newer else ""
    command = f"tipoff run {run.pipeline} --date {run.date} --mode {run.mode}{generation}"
    folder = labels.get("folder")
    return f"{command} --data {quote(folder) if folder else 'DIR'}{home_option(settings)}"


def login_name() -> str:
    """Who is at the keyboard, as the system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, under a number that has no name
        return f"user {os.getuid()}"
