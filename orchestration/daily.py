"""The deployed daily_health_check, for its main.py: one message each morning, and the same at GET /summary.

For each time that a schedule names, people are told once: doubled or late its word posts nothing again. A chat knows no
keys, so whoever dies between its answer and the note of it leaves the one message to be posted a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from orchestration.summary import summarise_day
from shared import edge, wiring
from shared.config.functions import NUDGE_TOPIC, FunctionSpec
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings
from shared.core import calendar
from shared.core.codec import write_instant
from shared.core.heartbeat import beat_of
from shared.core.messages import Nudge, read_nudge
from shared.core.model import PipelineSpec
from shared.core.morning import MORNING
from shared.core.openapi import Answer, Refused, Route
from shared.core.summary import Day, Summary
from shared.core.summary_card import card
from shared.deployed import endpoint
from shared.endpoint import Endpoint, Reply, Responder
from shared.ports import Chat, Clock, Errand, NotNow, Taken, Warehouse
from shared.ports import Refused as Unwanted
from shared.service import NUDGE_AHEAD, Refusal

log = logging.getLogger("tipoff.daily")

READ_RETRY_S = 20.0  # of a call of the warehouse: what it does not say by then is told as unknown
LEASE_S = 30  # to post: a chat is tried for a quarter of a minute; over before the word comes again
LATE_MAX = timedelta(hours=20)  # the next morning's message says more than yesterday's, posted then


class NotPosted(OSError):
    """The message could not be posted now, or another is posting it: the schedule's word comes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRequest:
    """The summary of the day that ended on the morning of this date; none: of the day until now."""

    date: Day | None = None


SUMMARY = Route(
    method="GET",
    path="/summary",
    does="Say what was due in a day, what became of it, and what happens next.",
    asks=SummaryRequest,
    answers={200: Answer(why="How the day was.", of=Summary)},
)
ROUTES = (SUMMARY,)


def health_check(name: str) -> Endpoint:
    """The endpoint of the function of this name. It is ready without the warehouse, which only knows the error."""
    return endpoint(
        name,
        handlers,
        warehouse=True,
        asks_warehouse=False,
        routes=ROUTES,
        responders=responders,
        retry_s=READ_RETRY_S,
    )


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:  # noqa: ARG001 - as all functions are given
    daily = Daily(settings=settings, home=home, chat=wiring.slack(settings))
    return {NUDGE_TOPIC: lambda body: daily.on_nudge(read_nudge(body))}


def responders(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[tuple[str, str], Responder]:  # noqa: ARG001 - as all functions are given
    daily = Daily(settings=settings, home=home, chat=None)
    return {(SUMMARY.method, SUMMARY.path): lambda asked, _who: daily.answer(asked)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """What it does with a schedule's word, and with a question."""

    settings: Settings
    home: wiring.Home
    chat: Chat | None  # None: nobody reads

    @property
    def clock(self) -> Clock:
        return self.home.clock

    def on_nudge(self, nudge: Nudge) -> Refusal | None:
        """Post the summary of the day until the time that the nudge names, once for each such time.

        Raises NotPosted where it is not posted: then the word comes again.
        """
        if nudge.act != "summary":  # about runs or batches: others hear that
            return None
        now, due_at = self.clock.now(), nudge.scheduled_at
        if due_at > now + NUDGE_AHEAD:
            return Refusal(f"scheduled at {due_at}, which is still to come: no day is over before its time")
        if now - due_at > LATE_MAX:
            log.warning(
                "the summary of %s is not posted: it comes %s late, and a newer one says more", due_at, now - due_at
            )
            return None
        summary = self.summary(due_at, now)
        errand, states = f"summary/{write_instant(due_at)}", self.home.ports.states
        match states.take_errand(errand, self.clock.now(), LEASE_S):
            case Errand.OTHERS:
                raise NotPosted(f"{errand}: another is posting it, or has died; asked again in {LEASE_S} s at most")
            case Errand.MINE:
                self._post(summary)
                states.end_errand(errand)
            case Errand.DONE:  # its heartbeat may have got lost
                pass
        schedules = [schedule for spec in PIPELINES.values() for schedule in spec.schedules]
        if beat := beat_of(nudge, schedules, self.clock.now()):
            states.beat(*beat)
        return None

    def _post(self, summary: Summary) -> None:
        message = card(summary)
        if self.chat is None:
            log.info("SLACK_WEBHOOK_URL is not set, so nobody reads: %s", message.text)
            return
        match self.chat.post(message):
            case Taken():
                log.info("posted: %s", message.text)
            case NotNow(why):
                raise NotPosted(why)
            case Unwanted(why):
                log.error("nobody reads the morning's message: %s", why)
                raise NotPosted(why)

    def summary(self, until: datetime, now: datetime) -> Summary:
        home, specs = self.home, list(PIPELINES.values())
        read = wiring.ReadHome(states=home.ports.states, batches=home.batches, bus=home.ports.bus, is_written=True)
        return summarise_day(read, self.settings, self._tables, specs, until=until, now=now)

    @contextmanager
    def _tables(self) -> Iterator[Warehouse]:
        yield self.home.warehouse

    def answer(self, asked: SummaryRequest) -> Reply:
        now, spec = self.clock.now(), next(iter(PIPELINES.values()))
        if asked.date and asked.date > calendar.game_day(now, spec.zone):
            error = f"date: {asked.date} is still to come; today is {calendar.game_day(now, spec.zone)} in {spec.zone}"
            return Reply(status=400, value=Refused(error=error))
        return Reply(status=200, value=self.summary(_morning(asked.date, spec, now), now))


def _morning(day: date | None, spec: PipelineSpec, now: datetime) -> datetime:
    return min(now, calendar.at(day, MORNING, spec.zone)) if day else now
