"""The port Notifier as PagerDuty, and as the channel where people read, for wiring.

A sink that does not take something is left alone for a while, and told again by whoever brings it again: nothing is
kept here that must not get lost. No line of the log holds a key or an address.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from shared.adapters.http import PASSING, Http, HttpError
from shared.core.blocks import Card, Context, Section, cut, escaped
from shared.core.codec import write_instant
from shared.core.incident import looked_at_by
from shared.core.model import Alert, RunKey, Severity
from shared.ports import Chat, NotNow, Refused, Taken

log = logging.getLogger("tipoff.incident")

TRY_S = 5.0
ANSWER_MAX = 65_536  # bytes; PagerDuty says three short words
DEDUP_KEY_MAX = 255  # characters, PagerDuty's own limit; so are the next two
SUMMARY_MAX = 1_024
SOURCE_MAX = 255
LATER_S = 30.0  # that a sink which did not answer is left alone: another incident need not wait for it as long again
LATER_MAX_S = 600.0  # and one that says how long
REFUSED_S = 600.0  # between two tries of what was refused: a person has to mend it, and need not read of it each minute
REFUSED_MAX = 500  # incidents that are remembered as refused: a sweep takes up no more

Now = Callable[[], datetime]


@dataclass(slots=True)
class Patience:
    """When a sink may be tried again. One for a sink of a process; forgotten with it, which costs a try."""

    now: Now
    _away_until: datetime | None = None
    _refused_until: dict[str, datetime] = field(default_factory=dict)  # by incident

    def tries(self, incident: str) -> bool:
        now = self.now()
        refused_until = self._refused_until.get(incident)
        return not any(until and now < until for until in (self._away_until, refused_until))

    def away(self, asks_s: float | None) -> None:
        """Nobody answers there, or asked for a pause: all wait."""
        self._away_until = self.now() + timedelta(seconds=min(asks_s or LATER_S, LATER_MAX_S))

    def refused(self, incident: str) -> None:
        """It does not take this one; the others may be well."""
        if len(self._refused_until) >= REFUSED_MAX:
            self._refused_until.clear()
        self._refused_until[incident] = self.now() + timedelta(seconds=REFUSED_S)


class PagerDuty:
    """Whoever is on call, by PagerDuty's Events API v2: trigger, acknowledge and resolve of what a person gets up for.

    Its dedup_key is the incident's name, so the same event again changes nothing there. An escalation is a trigger of
    the open key: it stands in the incident's log, and its `escalated_at` is for rules of theirs.
    """

    def __init__(
        self, http: Http, routing_key: str, *, url: str, now: Now, dashboard: str = "", broken: str = ""
    ) -> None:
        """`broken`: why the key is none. Then nothing is sent, and nothing counts as told."""
        self._http = http
        self._broken = broken
        self._key = routing_key
        self._url = url
        self._dashboard = dashboard
        self._patience = Patience(now)

    def notify(self, run: RunKey, incident: str, alert: Alert) -> bool:
        if alert.severity is not Severity.PAGE:
            return True
        if not self._patience.tries(incident):
            return False
        if self._broken:
            return self._refused(incident, alert, self._broken)
        body = json.dumps({"routing_key": self._key, **event(run, incident, alert, self._dashboard)}).encode()
        try:
            answer = self._http.ask("POST", self._url, body=body, within_s=TRY_S, bytes_max=ANSWER_MAX)
        except HttpError as error:
            self._patience.away(error.asks_s)
            log.warning("not told, and told again: %s: %s", incident, error)
            return False
        if 200 <= answer.status < 300:
            return True
        if answer.status in PASSING:
            self._patience.away(answer.asks_s)
            log.warning("not told, and told again: %s: PagerDuty answered %d", incident, answer.status)
            return False
        remedy = "look at PAGERDUTY_ROUTING_KEY, and at who answers at TIPOFF_PAGERDUTY_URL"
        return self._refused(incident, alert, f"PagerDuty answered {answer.status}; {remedy}")

    def _refused(self, incident: str, alert: Alert, why: str) -> bool:
        self._patience.refused(incident)
        log.error(
            "nobody is paged of %s: %s; tried again in %d minutes while it is open: %s",
            *(incident, why, REFUSED_S // 60, alert.summary),
        )
        return False


class SlackNotifier:
    """The channel where people read: warnings, their ends, and what has been open for too long, with a call to all.

    `pages`: whether it is told in short too what a person gets up for, where nobody else is there to tell. Slack knows
    no keys: what it has taken, and nobody could write down that it has, is read twice.
    """

    def __init__(self, chat: Chat, *, pages: bool, now: Now, dashboard: str = "") -> None:
        self._chat = chat
        self._pages = pages
        self._dashboard = dashboard
        self._patience = Patience(now)

    def notify(self, run: RunKey, incident: str, alert: Alert) -> bool:
        is_page = alert.severity is Severity.PAGE
        if alert.acknowledged or (is_page and not self._pages and not alert.escalated_at):
            return True
        if not self._patience.tries(incident):
            return False
        match self._chat.post(card(run, incident, alert, self._dashboard)):
            case Taken():
                return True
            case NotNow(why, after_s):
                self._patience.away(after_s)
                log.warning("not told, and told again: %s: %s", incident, why)
            case Refused(why):
                self._patience.refused(incident)
                log.error(
                    "nobody reads of it: %s: %s; tried again in %d minutes: %s",
                    *(incident, why, REFUSED_S // 60, alert.summary),
                )
        return False


# --- what they are told ---------------------------------------------------------------------------------


def event(run: RunKey, incident: str, alert: Alert, dashboard: str = "") -> Mapping[str, object]:
    """What PagerDuty is told, but for its key. Beside the summary ids and counts alone."""
    dedup_key = key_within(incident, DEDUP_KEY_MAX)
    if alert.resolved or alert.acknowledged:
        return {"event_action": "resolve" if alert.resolved else "acknowledge", "dedup_key": dedup_key}
    details = {"run": str(run), "incident": incident, "occurrence": alert.number, "look": looked_at_by(run)}
    if alert.escalated_at:
        details["escalated_at"] = write_instant(alert.escalated_at)
    payload = {
        "summary": cut(alert.summary, SUMMARY_MAX),
        "source": f"tipoff {run.pipeline}"[:SOURCE_MAX],
        "severity": "critical" if alert.severity is Severity.PAGE else "warning",
        "timestamp": write_instant(alert.at),
        "group": run.pipeline,
        "class": alert.cause,
        "custom_details": details,
    }
    links = {"links": [{"href": dashboard, "text": "dashboard"}]} if dashboard else {}
    return {"event_action": "trigger", "dedup_key": dedup_key, "client": "Tipoff", "payload": payload, **links}


def card(run: RunKey, incident: str, alert: Alert, dashboard: str = "") -> Card:
    """What the channel is told: one line, and below it where to look."""
    summary = escaped(alert.summary)
    if alert.resolved:
        line = f":white_check_mark: Over: {summary}"
    elif alert.escalated_at:
        line = f":rotating_light: <!channel> {summary}"
    elif alert.severity is Severity.PAGE:
        line = f":rotating_light: {summary}"
    else:
        line = f":warning: {summary}"
    where = f" · <{dashboard}|dashboard>" if dashboard else ""
    return Card(line, (Section(line), Context(f"`{looked_at_by(run)}` · {escaped(incident)}{where}")))


def key_within(incident: str, longest: int) -> str:
    """The name of an incident as a key of at most so many characters: equal names have equal keys, others others."""
    if len(incident) <= longest:
        return incident
    mark = sha256(incident.encode()).hexdigest()[:32]
    return f"{incident[: longest - 33]}~{mark}"
