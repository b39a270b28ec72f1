"""Messages that nobody could work with, and what a person does with them: for `tipoff dlq` and the dashboard."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from orchestration.wording import safe
from shared.config.functions import FUNCTIONS, NUDGE_TOPIC
from shared.core.messages import Message, run_of
from shared.ports import Bus, Delivery, Quarantined, StateStore

LETTERS_MAX = 1_000  # of each kind, the newest: more than a person goes through
ID_DIGITS = 12  # hexadecimal; two of 2,000 are the same once in a hundred million homes
BODY_SHOWN = 4_096  # bytes
HELD = "somebody else holds it just now, or has dealt with it; look again with `tipoff dlq list`"


HEARD = frozenset(topic for function in FUNCTIONS for topic in function.listens)
"""Where a message may be sent again: a quarantined one names its topic itself."""


GONE = "its topic or subscription is gone; deploy that again, or purge it"


class Kind(StrEnum):
    DEAD = "dead letter"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Letter:
    """A message that waits for a person; one object for each."""

    kind: Kind
    message: str  # its id where it lies
    topic: str
    subscription: str  # that it died in; empty where it is quarantined
    run: str
    attempt: int | None  # the last; None where it is quarantined
    at: datetime  # of a dead letter, when it was published; else when it was quarantined
    why: str
    body: bytes
    size: int | None  # of the whole body; None where nobody knows
    is_whole: bool
    attributes: Mapping[str, str]

    @property
    def id(self) -> str:
        """As a person types it, or the beginning of it: the bus's own ids are long and begin alike."""
        return sha256(f"{self.kind}:{self.message}".encode(errors="backslashreplace")).hexdigest()[:ID_DIGITS]

    @property
    def obstacle(self) -> str:
        """Why it cannot be redriven, and what to do instead; empty if it can."""
        if not self.is_whole:
            size = "" if self.size is None else f" of {self.size:,}"
            return (
                f"of its body no more than the first {len(self.body):,} bytes{size} were kept; have it sent again (a "
                "run orders again what nobody reported), then purge this one"
            )
        if not self.topic:
            return GONE
        if self.topic == NUDGE_TOPIC and self.kind is Kind.QUARANTINED and not self.subscription.endswith(NUDGE_TOPIC):
            return "Cloud Scheduler called with it, and its next word says the same; purge it"
        return "" if self.topic in HEARD else "no function hears its topic; purge it"

    def to_json(self, *, with_body: bool = False) -> dict[str, object]:
        told: dict[str, object] = {
            "id": self.id,
            "kind": self.kind,
            "message": self.message,
            "topic": self.topic,
            "subscription": self.subscription,
            "run": self.run,
            "attempt": self.attempt,
            "at": self.at.isoformat(),
            "why": self.why,
            "bytes": self.size,
            "whole": self.is_whole,
            "attributes": dict(self.attributes),
        }
        body = {
            "body": self.body.decode(errors="backslashreplace"),
            "body_base64": base64.b64encode(self.body).decode(),
        }
        return {**told, **body} if with_body else told


def letters_of(states: StateStore, bus: Bus) -> list[Letter]:
    """Up to LETTERS_MAX of each kind, the newest first. Reads only."""
    letters = [_dead(*found) for found in bus.dead_letters(LETTERS_MAX)]
    letters += [_quarantined(item) for item in states.quarantined(LETTERS_MAX)]
    return sorted(letters, key=lambda letter: (letter.at, letter.id), reverse=True)


def _dead(delivery: Delivery, error: str) -> Letter:
    return Letter(
        kind=Kind.DEAD,
        message=delivery.id,
        topic=delivery.topic,
        subscription=delivery.subscription,
        run=str(run_of(delivery.attributes) or ""),
        attempt=delivery.attempt,
        at=delivery.published_at,
        why=error,
        body=delivery.data,
        size=len(delivery.data),
        is_whole=True,
        attributes=delivery.attributes,
    )


def _quarantined(item: Quarantined) -> Letter:
    return Letter(
        kind=Kind.QUARANTINED,
        message=item.id,
        topic=item.topic,
        subscription=item.id.rpartition(":")[0],
        run=item.run,
        attempt=None,
        at=item.at,
        why=item.reason,
        body=item.body,
        size=len(item.body) if item.is_whole else item.size,
        is_whole=item.is_whole,
        attributes=item.attributes,
    )


def body_lines(body: bytes) -> Iterator[str]:
    """A body as lines for a terminal: JSON laid out, anything else as it is; cut, and every odd character escaped."""
    text = _laid_out(body)
    shown = text.encode(errors="backslashreplace")[:BODY_SHOWN].decode(errors="ignore")
    yield from map(safe, shown.split("\n"))
    if len(shown) < len(text):
        yield "... cut here; --json has all"


def _laid_out(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body.decode()), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested beyond reason
        return body.decode(errors="backslashreplace")


Deal = Callable[[Sequence[Letter], StateStore, Bus, datetime], Iterator[Letter]]
"""Does it to these and gives each that was done, once it was."""


def redrive(letters: Sequence[Letter], states: StateStore, bus: Bus, now: datetime) -> Iterator[Letter]:
    """Publish again, then take out: whoever is killed in between does it twice, and every consumer drops the second."""
    dead = {letter.message: letter for letter in letters if letter.kind is Kind.DEAD}
    if dead:
        yield from (dead[id] for id in bus.redrive(list(dead), now))
    for letter in letters:
        if letter.kind is Kind.QUARANTINED:
            bus.publish([Message(topic=letter.topic, data=letter.body, attributes=letter.attributes)], now)
            states.forget([letter.message])
            yield letter


def purge(letters: Sequence[Letter], states: StateStore, bus: Bus, now: datetime) -> Iterator[Letter]:  # noqa: ARG001 - as redrive
    for kind, take in ((Kind.DEAD, bus.purge), (Kind.QUARANTINED, states.forget)):
        there = {letter.message: letter for letter in letters if letter.kind is kind}
        if there:
            yield from (there[id] for id in take(list(there)))
