"""`tipoff recompute`: every decision of a run, made again from what it saw then, beside what the ledger says."""

from __future__ import annotations

import argparse
from datetime import datetime

from rich.text import Text

from orchestration.cli import show
from orchestration.cli.batch import run_asked
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import settings_of, where
from orchestration.cli.status import known_plan
from shared import wiring
from shared.core.codec import to_data
from shared.core.model import END
from shared.core.story import Recomputed, recomputed


def run(arguments: argparse.Namespace) -> int:
    settings, key = settings_of(arguments), run_asked(arguments.run)
    with wiring.read_home(settings) as home:
        if home is None:
            raise UsageError(f"--home {settings.home}: nothing has run there yet")
        plan = known_plan(home.states, key)
        entries = home.states.ledger(key)
        record = home.states.load(key)  # after the ledger: it has all that the decisions saw
    again = [recomputed(plan, record.facts, record.latches, entry) for entry in entries]
    equal = sum(each.equal for each in again)
    code = OK if equal == len(again) else NOT_PUBLISHED
    if arguments.json:
        told = {"run": str(key), "commit": settings.commit, "config_hash": plan.config_hash}
        show.print_json({**told, "equal": equal, "of": len(again), "decisions": [_json(each) for each in again]})
        return code
    console = show.console(settings)
    heads = [Text(head, style="dim") for head in ("at (UTC)", "gate to", "decision", "", "why")]
    if again:
        show.print_rows(console, [heads, *map(_row, again)])
    counted = f"{equal} of {len(again)} decisions of {key} come out as they were, {where(settings)}."
    console.print(Text(counted, style="" if code == OK else show.ALARM), soft_wrap=True)
    if code != OK:
        console.print(
            Text(
                f"They were made again by the code of today, commit {settings.commit}, from the plan and the facts of "
                "then. The ledger does not say which code made them: a rule or a sentence that has changed since comes "
                "out otherwise too. What was decided stands."
            ),
            soft_wrap=not console.is_terminal,
        )
    return code


def _row(again: Recomputed) -> list[Text]:
    entry = again.entry
    attempt = f" ({entry.attempt})" if entry.attempt > 1 else ""
    return [
        Text(f"{entry.at:%Y-%m-%d %H:%M:%S}", style="dim"),
        Text(f"{'the end' if entry.gate == END else entry.gate}{attempt}"),
        Text(entry.decision.upper(), style=show.STYLE.get(entry.decision, "")),
        Text("equal", style="green") if again.equal else Text("DIFFERS", style=show.ALARM),
        Text(show.safe(entry.reason if again.equal else _difference(again))),
    ]


def _difference(again: Recomputed) -> str:
    """What it says now and said then."""
    told = [f"{name} is {_value(again.now, name)}, was {_value(again.entry, name)}" for name in again.differs]
    if again.lost:
        told.append(f"{len(again.lost)} of what it saw are gone: {show.shorten(again.lost)}")
    return "; ".join(told)


def _value(entry: object, name: str) -> str:
    value = getattr(entry, name)
    if name == "missing":
        return show.shorten(missing.processor for missing in value) or "nothing"
    return show.moment(value) if isinstance(value, datetime) else str(value)


def _json(again: Recomputed) -> dict[str, object]:
    entry = again.entry
    return {
        "at": entry.at.isoformat(),
        "gate": entry.gate,
        "attempt": entry.attempt,
        "decision": entry.decision,
        "reason": entry.reason,
        "equal": again.equal,
        "lost": list(again.lost),
        "now": {name: to_data(getattr(again.now, name)) for name in again.differs},
    }
