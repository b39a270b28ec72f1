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
from shared.core.fold import incidents_of
from shared.core.model import Act, RunKey
from shared.service import Refusal


def run(arguments: argparse.Namespace) -> int:
    settings, console = settings_of(arguments), screen(arguments)
    key, cause = _asked(arguments.incident)
    _check(settings, key)
    with working_home(settings, console, command=f"tipoff ack {key}", wait_s=arguments.wait) as home:
        act = Act(actor=arguments.actor or login_name(), reason=arguments.reason, at=home.clock.now())
        answer = service_of(home, key).acknowledge(key, act, cause)
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


def _asked(text: str) -> tuple[RunKey, str]:
    """The run, and the cause; UsageError for what names neither an incident nor a run."""
    name, marked, rest = text.partition("/incident/")
    cause, _, number = rest.partition("/")
    if marked and not (cause and number.isdecimal()):
        raise UsageError(f"{show.safe(text)[:120]} is no incident; expected RUN/incident/CAUSE/NUMBER, or RUN")
    return run_key_of(name), cause


def _check(settings: Settings, key: RunKey) -> None:
    """UsageError where nothing is open: asked before a home is opened, which would make it."""
    with wiring.read_home(settings) as home:
        alerts = incidents_of(home.states.load(key).latches).values() if home else ()
        if all(alert.resolved for alert in alerts):
            raise UsageError(
                f"{key} has no open incident; `tipoff status {key.pipeline} --date D` tells of those that are"
            )
