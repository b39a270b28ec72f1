"""The port Chat as an incoming webhook of Slack, for wiring.

Its address is a secret, for whoever has it may post: no answer, error or log line here holds any of it.
"""

from __future__ import annotations

import json
import re

from shared.adapters.http import PASSING, Answer, Http, HttpError
from shared.adapters.retry import FullJitter
from shared.core.blocks import Card, payload
from shared.ports import NotNow, Posted, Refused, Taken

TRY_S = 5.0
ALL_S = 15.0  # all tries: a function has 60 s for its message, and has to gather what it posts
ANSWER_MAX = 4_096  # bytes; Slack says "ok", or one word
WORD = re.compile(rb"[a-z]{1,20}(_[a-z]{1,20}){1,5}")
"""What Slack says of an error: no_service, channel_is_archived. Of anything else that comes back nothing is told."""


class SlackWebhook:
    """Keeps the promise of ports.Chat. Any number of threads."""

    def __init__(self, http: Http, url: str, again: FullJitter | None = None) -> None:
        self._http = http
        self._url = url
        self._again = again or AGAIN

    def post(self, card: Card) -> Posted:
        body = json.dumps(payload(card)).encode()
        try:
            answer = self._again(self._try)(body)
        except HttpError as error:
            why = _without_address(error)
            return NotNow(why, error.asks_s) if error.passes else Refused(why)
        return Taken() if 200 <= answer.status < 300 else Refused(_refusal(answer))

    def _try(self, body: bytes) -> Answer:
        answer = self._http.ask("POST", self._url, body=body, within_s=TRY_S, bytes_max=ANSWER_MAX)
        if answer.status in PASSING:
            text = f"Slack answered {_said(answer)}; it may take it later"
            raise HttpError(text, status=answer.status, passes=True, asks_s=answer.asks_s)
        return answer


class NoWebhook:
    """The same where the address is none: nothing is posted, and whoever posts hears why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def post(self, card: Card) -> Posted:  # noqa: ARG002 - as the port has it
        return Refused(self._why)


def _without_address(error: HttpError) -> str:
    """Of an error of Http, whose text begins with method, host and path, the rest; what Slack answered is our own."""
    return str(error) if error.status is not None else f"Slack: {str(error).partition(': ')[2]}"


def _refusal(answer: Answer) -> str:
    match answer.status:
        case 400 | 413:
            remedy = "the message is not as it must be: report this as a bug"
        case 401 | 403 | 404 | 410:
            remedy = "make a new incoming webhook, and set SLACK_WEBHOOK_URL to its address"
        case _:
            remedy = "look at SLACK_WEBHOOK_URL, and at who answers there"
    return f"Slack answered {_said(answer)}; {remedy}"


def _said(answer: Answer) -> str:
    word = answer.body.strip()
    return f"{answer.status} ({word.decode()})" if WORD.fullmatch(word) else str(answer.status)


def _passes(error: Exception) -> bool:
    """What Slack itself has put off. Where no answer came it may have been shown: whoever posts decides on that."""
    return isinstance(error, HttpError) and error.passes and error.status is not None


def _asked_s(error: Exception) -> float | None:
    return error.asks_s if isinstance(error, HttpError) else None


AGAIN = FullJitter(passes=_passes, first_s=0.5, most_s=4.0, total_s=ALL_S - TRY_S, hint_s=_asked_s)
