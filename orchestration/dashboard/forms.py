"""A form for one word: what it is about, what a person may choose, and what he has typed, which no refusal loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl

from orchestration import wording
from orchestration.dashboard.sights import Seen
from orchestration.dashboard.verbs import Until, Verb, as_kept
from orchestration.letters import Letter
from shared.core.codec import Malformed
from shared.core.fold import View
from shared.core.incident import open_incidents
from shared.core.line import time_ahead
from shared.core.model import END, Act, Alert, OutcomeKind, RunKey
from shared.core.status import RunStatus
from shared.core.words import QUALITY, UNTIL_MAX

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 16_384  # a reason of 500 characters, each written in twelve, and the ids of some letters
FIELDS_MAX = 120
LETTERS_MAX = 100  # chosen at once; more than that are dealt with by `tipoff dlq`
TEXT_MAX = 2_000  # characters of a field that is shown again
AHEAD = (
    ("30 minutes", timedelta(minutes=30)),
    ("an hour", timedelta(hours=1)),
    ("2 hours", timedelta(hours=2)),
    ("6 hours", timedelta(hours=6)),
    ("a day", timedelta(days=1)),
    ("3 days", timedelta(days=3)),
)
"""Ends of a word that are offered. Each is an instant, so that a form which is sent twice says the same twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What a word is about."""

    verb: Verb
    subject: str  # in words
    action: str  # where its form is asked for and sent to
    back: str  # where whoever thinks better of it goes
    run: RunKey | None = None
    batch: str = ""
    letters: tuple[Letter, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The page that asks for a word, as it was asked for or with what was typed."""

    matter: Matter
    asked_at: datetime
    token: str
    typed: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """What was asked for or typed stays what is said, though it cannot be chosen any more: never another."""
        about = self.typed.get("about", "")
        more = (about,) if about and about not in self.matter.choices else ()
        return (*more, *self.matter.choices)

    @property
    def ends(self) -> Iterator[tuple[str, str]]:
        """The times that may be chosen, as they are sent and as they are said."""
        for words, ahead in AHEAD:
            until = self.asked_at + ahead
            form = "%H:%M" if until.date() == self.asked_at.date() else "%Y-%m-%d %H:%M"
            yield until.isoformat(timespec="seconds"), f"for {words} ({until:{form}} UTC)"


def choices(verb: Verb, seen: Seen) -> tuple[str, ...]:
    """What a word may be about in this run, the likeliest first; the core has the last word on it."""
    plan, status = seen.plan, seen.status
    standings = {name: each for phase in status.phases for name, each in phase.standings.items()}
    match verb.name:
        case "skip":
            planned = [processor for phase in plan.phases for processor in phase.processors if not processor.critical]
            names = [each.name for each in planned if each.name not in seen.view.control.skips]
            open_ = [name for name in names if name in standings and not standings[name].whole]
            return (*open_, *(name for name in names if name not in standings))
        case "retry":
            return tuple(sorted(standings, key=lambda name: standings[name].whole))
        case "force":
            gates = [*plan.phase_by_name, END]
            at = [
                behind
                for phase, (_, behind) in zip(status.phases, pairwise(gates), strict=True)
                if phase.opened_at and not phase.passed_at and behind != END
            ]
            return tuple(dict.fromkeys([*at, *plan.phase_by_name]))
        case "override":
            return (*dict.fromkeys(name for phase in plan.phases for name in phase.readings), QUALITY)
        case "replay":
            return tuple(gate for gate in plan.phase_by_name if _opened(seen, gate))
        case "acknowledge":
            return incident_choices(seen.incidents)
    return ()


def incident_choices(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """Open incidents by cause and occurrence, those that nobody has yet first."""
    in_order = sorted(alerts, key=lambda alert: (alert.acknowledged is not None, alert.at))
    return tuple(f"{alert.cause}/{alert.number}" for alert in in_order)


def _opened(seen: Seen, gate: str) -> bool:
    outcome = seen.view.outcomes.get(gate)
    return outcome is not None and outcome.kind is OutcomeKind.OPEN


def offered(verbs: Mapping[str, Verb], view: View, status: RunStatus) -> tuple[Verb, ...]:
    """The words that can do something for a run as it is now."""
    control, now = view.control, view.now
    if control.cancel:
        names: Sequence[str] = ("replay", "acknowledge")
    elif status.next_look_at is None:
        names = ("retry", "look_again", "replay", "acknowledge")
    else:
        held = ("release",) if control.held_at(now) else ("hold",)
        names = (*held, *(name for name in verbs if name not in ("hold", "release")))
    if all(alert.acknowledged for alert in open_incidents(view)):
        names = [name for name in names if name != "acknowledge"]
    return tuple(verbs[name] for name in dict.fromkeys(names))


def read_form(body: bytes) -> dict[str, list[str]]:
    """The fields of a form. Raises Malformed for what no page of ours sends."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise Malformed(f"the form: {type(error).__name__}; it has at most {FIELDS_MAX} fields, in UTF-8") from None
    fields = dict[str, list[str]]()
    for name, text in pairs:
        fields.setdefault(name, []).append(text[:TEXT_MAX])
    return fields


def read_time(text: str) -> datetime:
    """When a form was asked for. Raises Malformed."""
    try:
        instant = time_ahead(text)
    except ValueError:
        instant = None
    if not isinstance(instant, datetime):
        raise Malformed(f"asked_at: {text[:40]!r} is no instant; open the form again")
    return instant


def read_act(verb: Verb, typed: Mapping[str, str], who: str, now: datetime, asked_at: datetime) -> Act:
    """Who says it, why, and until when. Raises ValueError that says what is to be typed otherwise."""
    return as_kept(Act(actor=who, reason=typed.get("reason", ""), at=now, until=_until(verb, typed, now, asked_at)))


def _until(verb: Verb, typed: Mapping[str, str], now: datetime, asked_at: datetime) -> datetime | None:
    if verb.until is Until.NEVER:
        return None
    text = typed.get("at", "").strip() or typed.get("until", "")
    if not text:
        if verb.until is Until.MUST:
            raise ValueError("Say until when.")
        return None
    ahead = time_ahead(text)
    until = asked_at + ahead if isinstance(ahead, timedelta) else ahead
    if not now < until <= now + UNTIL_MAX:
        raise ValueError(f"{wording.moment(until)} is not within the next {UNTIL_MAX.days} days.")
    return until
