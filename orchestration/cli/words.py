"""`tipoff hold|release|cancel|skip|force|override|retry`: a person's word on a run: kept, and at once acted upon.

In a home this command is its only writer meanwhile, and what it orders the next `tipoff run` delivers; on services it
is delivered by itself.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta

from rich.text import Text

from orchestration.cli import show
from orchestration.cli.batch import run_asked
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import (
    check_run,
    home_option,
    login_name,
    run_command,
    screen,
    settings_of,
    working_home,
)
from orchestration.records import status_of
from orchestration.speech import service_of, speak, told
from shared.config.settings import Settings, Target
from shared.core.model import Act, LedgerEntry, RunKey, Start, Word
from shared.core.status import RunStatus
from shared.service import Refusal
from shared.wiring import Home

TELLS = ("open", "done", "fail")  # decisions that a word may bring about; a block is in the state


def run(arguments: argparse.Namespace) -> int:
    settings, key, console = settings_of(arguments), run_asked(arguments.run), screen(arguments)
    check_run(settings, key)
    decided = list[LedgerEntry]()
    with working_home(settings, console, command=f"tipoff {arguments.word} {key}", wait_s=arguments.wait) as home:
        states, now = home.ports.states, home.clock.now()
        word = Word(verb=arguments.word, about=getattr(arguments, "about", ""), act=_act(arguments, now))
        before = states.load(key).control.version
        try:
            start = _say(home, key, word, decided)
        except UsageError as refused:
            if arguments.word == "retry" and states.load(key).control.held_at(now):
                raise UsageError(f"{refused}; {_release(key, settings)} lets it go on first") from None
            raise
        status = status_of(states, key, home.clock.now())
        control = states.load(key).control
        held = control.held_at(now)
        goes_on = "" if held or not (start or status.next_look_at) else _goes_on(status, home, settings)
    changed = control.version > before
    if arguments.json:
        show.print_json(
            {
                "run": str(key),
                "word": word_json(word),
                "changed": changed,
                "state": str(status.state),
                "reason": status.reason,
                "next_look_at": status.next_look_at.isoformat() if status.next_look_at else None,
                "goes_on": goes_on,
            }
        )
        return OK
    console.print(Text(told(key, word, start, now, changed=changed)), soft_wrap=True)
    for entry in decided:
        if entry.decision in TELLS:
            console.print(show.decision_line(entry), soft_wrap=True)
    what_next = show.next_line(status, now) or ("" if start else "Nothing more will happen by itself.")
    then = f"Now it is {status.state}: {status.reason}. {what_next}".rstrip()
    until = f"{_release(key, settings)} lets it go on." if held else ""
    for line in filter(None, (then, until, goes_on)):
        console.print(Text(line), soft_wrap=True)
    return OK


def word_json(word: Word) -> dict[str, object]:
    """The documented form of a word."""
    act = word.act
    return {
        "verb": word.verb,
        "about": word.about,
        "actor": act.actor,
        "reason": act.reason,
        "at": act.at.isoformat(),
        "until": act.until.isoformat() if act.until else None,
    }


def _act(arguments: argparse.Namespace, now: datetime) -> Act:
    until = getattr(arguments, "until", None)
    if isinstance(until, timedelta):
        until = now + until
    return Act(actor=arguments.actor or login_name(), reason=arguments.reason, at=now, until=until)


def _say(home: Home, key: RunKey, word: Word, decided: list[LedgerEntry]) -> Start | None:
    """What a retry has ordered. UsageError for a word that is refused."""
    answer = speak(service_of(home, key, decided.append), key, word)
    if isinstance(answer, Refusal):
        raise UsageError(answer.reason)
    return answer if isinstance(answer, Start) else None


def _release(run: RunKey, settings: Settings) -> str:
    return f"`tipoff release {run} --reason TEXT{home_option(settings)}`"


def _goes_on(status: RunStatus, home: Home, settings: Settings) -> str:
    """What a person has to type where nobody else is at work."""
    if settings.target is not Target.LOCAL:
        return ""
    command = run_command(status.run, status.labels, home.ports.states, settings)
    return f"Nobody is at work in this home; `{command}` goes on with it."
