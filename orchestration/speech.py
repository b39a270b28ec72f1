"""A person's word on a run, spoken to the service and told back: for the commands and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from orchestration.wording import moment
from shared import edge
from shared.config.orchestration_config import pipeline
from shared.core.model import Control, LedgerEntry, RunKey, Start, Word
from shared.service import Refusal, Service
from shared.wiring import Home


def service_of(home: Home, run: RunKey, tell: Callable[[LedgerEntry], None] = lambda _: None) -> Service:
    """What a person speaks to about a run: it begins none by itself, and `tell` hears what it decides."""
    spec = pipeline(run.pipeline)
    return Service(home.ports, {spec.name: spec}, tell, starts_missing_runs=False, attempt=edge.attempt)


def speak(service: Service, run: RunKey, word: Word) -> Start | Control | Refusal:
    """Kept and acted upon; of a retry what it has ordered."""
    return service.retry(run, word.about, word.act) if word.verb == "retry" else service.say(run, word)


def told(run: RunKey, word: Word, start: Start | None, now: datetime, *, changed: bool) -> str:
    """What is now different."""
    act = word.act
    by, until = f"by {act.actor}: {act.reason}", f" until {moment(act.until, now)}" if act.until else ""
    match word.verb:
        case "release" if not changed:
            return f"{run} is not held; nothing has changed."
        case "hold":
            text = f"{run} is held{until} {by}"
        case "release":
            text = f"{run} is released {by}"
        case "cancel":
            text = f"{run} is cancelled {by}"
        case "skip":
            text = f"{run} goes on without {word.about}, skipped {by}"
        case "force":
            text = f"gate {word.about} of {run} is forced {by}"
        case "override":
            text = f"{word.about} only warns in {run}{until} {by}"
        case _ if start is None:
            text = f"{word.about} of {run} is not skipped any more, and starts by itself in its turn, at the word of"
            text += by.removeprefix("by")
        case _:
            text = f"{start.processor} of {run} is tried again, attempt {start.attempt}, at the word of {by[3:]}"
            text += "; its result stands, and this one counts only if it is whole too" * start.look
    return f"{text}." if changed else f"{text}; it was so already, and nothing has changed."
