"""`tipoff ack`: who is called says that he has it, so that nobody else is. The next sweep tells PagerDuty."""

from __future__ import annotations

import argparse

from rich.text import Text

from orchestration.cli import show
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import login_name, run_key_of, screen, settings_of, working_home
from orchestration.speech import service_of
from shared import wiring
from shared.config.settings import Settings
from shared.core.codec import to_data
from shared.core.incident import incident_named, why_not_open
from shared.core.model import Act, RunKey
from shared.service import Refusal


def run(arguments: argparse.Namespace) -> int:
    settings, console = settings_of(arguments), screen(arguments)
    key, which = _asked(arguments.incident)
    _check(settings, key, which)
    with working_home(settings, console, command=f"tipoff ack {key}", wait_s=arguments.wait) as home:
        act = Act(actor=arguments.actor or login_name(), reason=arguments.reason, at=home.clock.now())
        answer = service_of(home, key).acknowledge(key, act, which)
        if isinstance(answer, Refusal):
            raise UsageError(answer.reason)
    if arguments.json:
        show.print_json({"run": str(key), "acknowledged": [to_data(alert) for alert in answer]})
        return OK
    for alert in answer:
        said = f"{key}/incident/{alert.cause}/{alert.number} is acknowledged by {act.actor}: {act.reason}"
        console.print(Text(f"{said}. It is open still, and told to more people after two hours."), soft_wrap=True)
    if not answer:
        console.print("It was acknowledged already; nothing has changed.")
    return OK


def _asked(text: str) -> tuple[RunKey, tuple[str, int] | None]:
    """The run, and which of its incidents, if one is named; UsageError for what names neither."""
    name, marked, rest = text.partition("/incident/")
    which = incident_named(rest)
    if marked and which is None:
        raise UsageError(f"{show.safe(text)[:120]} is no incident; expected RUN/incident/CAUSE/NUMBER, or RUN")
    return run_key_of(name), which


def _check(settings: Settings, key: RunKey, which: tuple[str, int] | None) -> None:
    """UsageError where it is not open: asked before a home is opened, which would make it."""
    with wiring.read_home(settings) as home:
        why = why_not_open(key, home.states.load(key).latches if home else (), which)
    if why:
        more = f"; `tipoff status {key.pipeline} --date D` tells of those that are" if "`" not in why else ""
        raise UsageError(f"{why}{more}")
