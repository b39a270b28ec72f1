"""`tipoff dlq`: messages that nobody could work with, for a person: list them, show one, redrive or purge.

A dead letter used up its attempts; what is quarantined can never work as it is. Both wait until somebody says what
becomes of them. What is in them, strangers may have written: it is shown so that nothing moves a cursor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table
from rich.text import Text

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import home_option, run_command, screen, settings_of, where, working_home
from orchestration.letters import (
    BODY_SHOWN as BODY_SHOWN,
)
from orchestration.letters import (
    HELD,
    ID_DIGITS,
    LETTERS_MAX,
    Deal,
    Kind,
    Letter,
    body_lines,
    letters_of,
    purge,
    redrive,
)
from shared import wiring
from shared.config.settings import Settings, Target
from shared.core.messages import run_of
from shared.ports import StateStore

ID_SHOWN_MIN, ID_GIVEN_MIN = 8, 4
WHY_SHOWN = 120  # characters in a table; `show` has all of it
ATTRIBUTES_SHOWN, ATTRIBUTE_SHOWN = 20, 200  # how many, and characters of each


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    with wiring.read_home(settings) as home:
        if home is None and arguments.verb != "list":
            raise UsageError(f"--home {settings.home}: nothing has run there yet")
        letters = letters_of(home.states, home.bus) if home else []
    match arguments.verb:
        case "list":
            return _list(arguments, settings, letters)
        case "show":
            return _show(arguments, settings, letters)
        case verb:
            return _deal(arguments, settings, _chosen(arguments, settings, letters), VERBS[verb])


# --- which ------------------------------------------------------------------------------------------------


def _filtered(arguments: argparse.Namespace, letters: Sequence[Letter]) -> list[Letter]:
    return [
        letter for letter in letters if arguments.topic in (None, letter.topic) and arguments.run in (None, letter.run)
    ]


def _chosen(arguments: argparse.Namespace, settings: Settings, letters: Sequence[Letter]) -> list[Letter]:
    """UsageError, and nothing is done, for an id that names none or several."""
    filters = arguments.topic is not None or arguments.run is not None
    if bool(arguments.ids) == arguments.all:
        raise UsageError(f"tipoff dlq {arguments.verb}: name messages by their ids, or say --all; one of the two")
    if arguments.all:
        return _filtered(arguments, letters)
    if filters:
        raise UsageError("--topic and --run go with --all; an id names one message as it is")
    return list(dict.fromkeys(_named(text, settings, letters) for text in arguments.ids))


def _named(text: str, settings: Settings, letters: Sequence[Letter]) -> Letter:
    """By the beginning of its id, or by the message's own id as logs have it."""
    long_enough = len(text) >= ID_GIVEN_MIN
    found = [
        letter
        for letter in letters
        if text in (letter.message, letter.message.rpartition(":")[2])
        or (long_enough and letter.id.startswith(text.lower()))
    ]
    if len(found) == 1:
        return found[0]
    there = f"`tipoff dlq list{home_option(settings)}`"
    if not found:
        raise UsageError(f"{text[:80]!r} names no dead letter and no quarantined message; {there} shows their ids")
    several = ", ".join(letter.id for letter in found[:4])
    raise UsageError(f"{text[:80]!r} names {len(found)} messages: {several}; give one of these, {there} shows them")


# --- looking ----------------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace, settings: Settings, letters: Sequence[Letter]) -> int:
    found = _filtered(arguments, letters)
    shown, more = found[: arguments.limit], max(0, len(found) - arguments.limit)
    console = screen(arguments)
    if arguments.json:
        show.print_json({"letters": [letter.to_json() for letter in shown], "more": more})
    elif not shown:
        asked = " that you asked for" if len(found) < len(letters) else ""
        console.print(Text(f"No dead letter and nothing quarantined{asked}: {where(settings)}."), soft_wrap=True)
    else:
        console.print(_table(shown, _digits(letters), show.utc_now()))
        if more:
            console.print(f"{more:,} older ones are not shown; --limit {len(found)} shows more.")
        option = home_option(settings)
        console.print(Text(f"One of them whole: tipoff dlq show ID{option}"), soft_wrap=True)
    if any(sum(letter.kind is kind for letter in letters) >= LETTERS_MAX for kind in Kind):
        console.print(f"Only the newest {LETTERS_MAX:,} of a kind were looked at; there may be more behind them.")
    return OK


def _table(letters: Sequence[Letter], digits: int, now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "kind", "topic", "run", "attempt", "when", "why"):
        table.add_column(name, no_wrap=name in ("id", "kind", "attempt", "when"), overflow="fold")
    for letter in letters:
        why = show.safe(letter.why)
        cells = (
            letter.id[:digits],
            letter.kind,
            show.safe(letter.topic),
            show.safe(letter.run),
            "" if letter.attempt is None else str(letter.attempt),
            f"{letter.at:%Y-%m-%d %H:%M} ({show.age(letter.at, now)})",
            why if len(why) <= WHY_SHOWN else f"{why[: WHY_SHOWN - 3]}...",
        )
        table.add_row(*map(Text, cells))
    return table


def _digits(letters: Sequence[Letter]) -> int:
    """How much of an id names one of these alone."""
    ids = {letter.id for letter in letters}
    return next((n for n in range(ID_SHOWN_MIN, ID_DIGITS) if len({id[:n] for id in ids}) == len(ids)), ID_DIGITS)


def _show(arguments: argparse.Namespace, settings: Settings, letters: Sequence[Letter]) -> int:
    letter = _named(arguments.id, settings, letters)
    if arguments.json:
        show.print_json(letter.to_json(with_body=True))
        return OK
    size = "of unknown size" if letter.size is None else f"{letter.size:,} bytes"
    lines = {
        "message": letter.message,
        "topic": letter.topic,
        "subscription": letter.subscription,
        "run": letter.run,
        "attempt": "" if letter.attempt is None else str(letter.attempt),
        "when": f"{show.moment(letter.at)} ({show.age(letter.at, show.utc_now())})",
        "why": letter.why,
        "body": size if letter.is_whole else f"{size}, of which the first {len(letter.body):,} were kept",
    }
    show.print_text(f"{letter.kind} {letter.id}")
    for name, text in lines.items():
        if text:
            show.print_text(f"{name:<12}  {show.safe(text)}")
    for line in _attribute_lines(letter.attributes):
        show.print_text(f"{'attribute':<12}  {line}")
    show.print_text("")
    for line in body_lines(letter.body):
        show.print_text(line)
    option = home_option(settings)
    again = (
        f"Not to be redriven: {letter.obstacle}"
        if letter.obstacle
        else f"Again: tipoff dlq redrive {letter.id}{option}"
    )
    show.print_text(f"\n{again}\nGive it up: tipoff dlq purge {letter.id}{option}")
    return OK


def _attribute_lines(attributes: Mapping[str, str]) -> Iterator[str]:
    for key, value in list(attributes.items())[:ATTRIBUTES_SHOWN]:
        yield show.safe(f"{key} = {value}"[:ATTRIBUTE_SHOWN])
    if len(attributes) > ATTRIBUTES_SHOWN:
        yield f"and {len(attributes) - ATTRIBUTES_SHOWN:,} more; --json has all"


# --- dealing with them ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    done: str  # as it is told
    deal: Deal
    publishes: bool


VERBS = {
    "redrive": Verb(done="redriven", deal=redrive, publishes=True),
    "purge": Verb(done="purged", deal=purge, publishes=False),
}


def _deal(arguments: argparse.Namespace, settings: Settings, chosen: Sequence[Letter], verb: Verb) -> int:
    """Say of each message what becomes of it, as soon as it has; exit code 1 if something did not."""
    console = screen(arguments)

    def tell(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    left = {letter: letter.obstacle for letter in chosen if verb.publishes and letter.obstacle}
    able = [letter for letter in chosen if letter not in left]
    done, goes_on = [], ""
    if arguments.dry_run:
        done = able
        for letter in done:
            tell(f"would be {verb.done}: {_line(letter)}")
    elif able:
        command = f"tipoff dlq {arguments.verb}"
        with working_home(settings, console, command=command, wait_s=arguments.wait) as home:
            for letter in verb.deal(able, home.ports.states, home.ports.bus, home.clock.now()):
                done.append(letter)
                tell(f"{verb.done}: {_line(letter)}")
            if done and verb.publishes:
                goes_on = _delivers(done, home.ports.states, settings)
        left |= {letter: HELD for letter in able if letter not in done}
    for letter, reason in left.items():
        tell(f"not {verb.done}: {_line(letter)}: {reason}")
    if not chosen:
        tell(f"Nothing to be {verb.done}: {where(settings)}.")
    if goes_on:
        tell(goes_on)
    if arguments.json:
        whole = not verb.publishes  # what is purged is nowhere else any more
        show.print_json(
            {
                "dry_run": arguments.dry_run,
                "done": [letter.to_json(with_body=whole) for letter in done],
                "left": [{**letter.to_json(), "reason": reason} for letter, reason in left.items()],
                "goes_on": goes_on,
            }
        )
    return NOT_PUBLISHED if left else OK


def _line(letter: Letter) -> str:
    size = "unknown size" if letter.size is None else f"{letter.size:,} bytes"
    about = f", {letter.run}" if letter.run else ""
    return show.safe(f"{letter.id} {letter.kind} on {letter.topic or 'no topic'}, {size}{about}")


def _delivers(redriven: Sequence[Letter], states: StateStore, settings: Settings) -> str:
    """What a person has to type for the messages to arrive, where nobody is at work."""
    if settings.target is not Target.LOCAL:
        return "They are delivered by themselves."
    for letter in redriven:
        run = run_of({"run": letter.run})
        if run and (plan := states.plan(run)):
            return f"`{run_command(plan.run, plan.labels, states, settings)}` delivers what was redriven."
    return f"The next `tipoff run`{home_option(settings)} on this home delivers what was redriven, whatever its date."
