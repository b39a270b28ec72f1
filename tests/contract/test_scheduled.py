"""What becomes of Cloud Scheduler's requests to a function, under the real functions-framework, on embedded parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from orchestration.gates import handlers_of
from orchestration.letters import letters_of
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.functions import FUNCTIONS, NUDGE_TOPIC, function, pushed_topics
from shared.config.schedules import NBA_SCHEDULES
from shared.config.settings import read_settings
from shared.core.messages import spoken
from shared.core.model import RunKey, ScheduleSpec
from shared.core.openapi import Answer, Route
from shared.deployed import once
from shared.endpoint import Endpoint, Identity, Parts
from shared.ports import Ports

JOB = "nba-same-day--self-heal"
DUE = "2024-01-15T15:30:00Z"
TODAY = RunKey("nba", date(2024, 1, 15), "same_day")
NEXT_DAY = datetime(2024, 1, 16, 12, 0, tzinfo=timezone.utc)
SAME_DAY = next(schedule for schedule in NBA_SCHEDULES if schedule.name == "same-day")
MAIN = """
import functions_framework
from tests.contract.test_scheduled import served

@functions_framework.http
def self_heal(request):
    return served[{key!r}](request)
"""

served: dict[str, Endpoint] = {}


@dataclass
class World:
    """The real handlers of self_heal, with a store in memory, on the day after the one that was scheduled for."""

    store: Sqlite
    client: FlaskClient = field(init=False)
    endpoint: Endpoint = field(init=False)
    name: str = "self_heal"
    away: bool = False

    def now(self) -> datetime:
        return NEXT_DAY

    def parts(self) -> Parts:
        ports = Ports(states=self.store.states, bus=self.store.bus, clock=self)
        settings = read_settings({"TIPOFF_CALENDAR": "off"})
        handlers = handlers_of(function(self.name), settings, ports)

        def unless_away(handler: Any) -> Any:
            def handle(body: bytes) -> Any:
                if self.away:
                    raise OSError("the store is away")
                return handler(body)

            return handle

        return Parts(ports=ports, handlers={t: unless_away(h) for t, h in handlers.items()}, checks={})

    def fire(self, body: bytes | None = None, **headers: str | None) -> TestResponse:
        """As Cloud Scheduler does; a header of None is left out."""
        told = {"X-CloudScheduler": "true", "X-CloudScheduler-JobName": JOB, "X-CloudScheduler-ScheduleTime": DUE}
        told |= {"User-Agent": "Google-Cloud-Scheduler", "Content-Type": "application/json"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
        sent = {name: value for name, value in told.items() if value is not None}
        return self.client.post("/", data=spoken(SAME_DAY, "nba") if body is None else body, headers=sent)

    @property
    def planned(self) -> bool:
        return self.store.states.plan(TODAY) is not None

    @property
    def quarantine(self) -> list[tuple[str, str, str]]:
        return [(each.id, each.topic, each.reason) for each in self.store.states.quarantined(100)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Sqlite(":memory:")
    world, key = World(store), str(tmp_path)
    identity = Identity(service="self_heal", version="1", config_hash="")
    served[key] = world.endpoint = Endpoint(identity, once(world.parts), nudges=NUDGE_TOPIC)
    (tmp_path / "main.py").write_text(MAIN.format(key=key))
    app: Any = functions_framework.create_app("self_heal", str(tmp_path / "main.py"), "http")  # type: ignore[no-untyped-call]
    world.client = app.test_client()
    yield world
    del served[key]
    store.close()


def test_a_late_word_starts_the_run_of_the_day_that_it_was_scheduled_for(world: World) -> None:
    assert world.fire().status_code == 204
    assert world.planned
    assert world.store.states.plan(RunKey("nba", date(2024, 1, 16), "same_day")) is None
    assert world.quarantine == []


def test_a_doubled_word_starts_it_once(world: World) -> None:
    assert [world.fire().status_code for _ in range(3)] == [204, 204, 204]
    assert world.store.states.runs("nba", date(2024, 1, 1), date(2024, 1, 31)) == (TODAY,)


def test_the_headers_time_stands_over_what_a_body_says(world: World) -> None:
    body = {**json.loads(spoken(SAME_DAY, "nba")), "scheduled_at": "2024-01-01T15:30:00Z"}
    assert world.fire(json.dumps(body).encode()).status_code == 204
    assert world.planned


def test_a_word_that_cannot_be_acted_upon_now_is_asked_to_come_again(world: World) -> None:
    world.away = True
    answer = world.fire()
    assert (answer.status_code, answer.json) == (500, {"error": "not done; it may come again"})
    world.away = False
    assert world.fire().status_code == 204
    assert world.planned


@pytest.mark.parametrize(
    ("header", "value", "error"),
    [
        ("X_CloudScheduler_ScheduleTime", None, "X-CloudScheduler-ScheduleTime: is missing; it says for which day"),
        ("X_CloudScheduler_ScheduleTime", "soon", "X-CloudScheduler-ScheduleTime: expected an ISO 8601 time with"),
        ("X_CloudScheduler_ScheduleTime", "2024-01-15T15:30:00", "X-CloudScheduler-ScheduleTime: expected an ISO"),
        ("X_CloudScheduler_ScheduleTime", "0001-01-01T00:00:00+14:00", "X-CloudScheduler-ScheduleTime: expected an"),
        ("X_CloudScheduler_JobName", None, "X-CloudScheduler-JobName: expected the name of a job"),
        ("X_CloudScheduler_JobName", "j" * 501, "X-CloudScheduler-JobName: expected the name of a job"),
        ("X_CloudScheduler", "maybe", "X-CloudScheduler: expected 'true', got 'maybe'"),
    ],
    ids=["no time", "no such time", "no offset", "no such year", "no job", "a long job", "not quite"],
)
def test_headers_that_do_not_say_which_firing_it_is_are_told_so(
    world: World, header: str, value: str | None, error: str
) -> None:
    answer = world.fire(**{header: value})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"].startswith(error)
    assert not world.planned
    assert world.quarantine == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            b'{"pipeline":"nba","mode":"same_day","date":"TODAY","act":"explode"}',
            "malformed: act: expected one of start",
        ),
        (
            b'{"pipeline":"nfl","mode":"same_day","date":"TODAY","act":"start"}',
            "no pipeline 'nfl' with a mode 'same_day'",
        ),
        (
            b'{"pipeline":"nba","mode":"same_day","date":"NOW","act":"start"}',
            "malformed: date: expected one of YESTERDAY",
        ),
        (b'{"pipeline":"nba"}', "malformed: Nudge: "),
        (b"[1]", "malformed: "),
        (b"\xff", "malformed: Nudge: not JSON"),
        (b"", "malformed: Nudge: not JSON"),
        (b"[" * 200_000, "malformed: Nudge: not JSON"),
        (b'{"x":"' + b"x" * 1_000_001 + b'"}', "malformed: body: 1000009 bytes, at most 1000000"),
    ],
    ids=["act", "pipeline", "date", "half", "a list", "no text", "nothing", "too deep", "too long"],
)
def test_a_body_that_can_never_work_is_kept_once_with_its_reason(world: World, body: bytes, reason: str) -> None:
    assert [world.fire(body).status_code for _ in range(2)] == [204, 204]
    [(id, topic, why)] = world.quarantine
    assert (id, topic) == (f"{JOB}:20240115T153000Z", NUDGE_TOPIC)
    assert why.startswith(reason)


def test_what_is_kept_of_a_schedule_is_not_sent_to_a_topic_that_nobody_deploys(world: World) -> None:
    world.fire(b"[1]")
    (letter,) = letters_of(world.store.states, world.store.bus)
    assert (letter.topic, letter.subscription) == (NUDGE_TOPIC, JOB)
    assert letter.obstacle == "Cloud Scheduler called with it, and its next word says the same; purge it"
    told = replace(letter, subscription=f"self_heal--{NUDGE_TOPIC}")
    assert told.obstacle == "", "on one machine the timer speaks on the topic"


def test_a_function_that_hears_no_schedule_keeps_its_word_for_a_person(world: World) -> None:
    world.name = "phase1_to_phase2"
    assert world.fire().status_code == 204
    [(_, _, reason)] = world.quarantine
    assert reason == "self_heal does not hear topic 'nba-nudge'; it hears nba-phase1-scrapers-complete"


def test_a_function_with_routes_of_its_own_is_woken_at_its_root(world: World) -> None:
    world.endpoint.routes = (
        Route(method="POST", path="/done", does="Hear.", hears="done", answers={204: Answer(why="Heard.")}),
    )
    assert world.fire().status_code == 204
    assert world.planned
    assert world.fire(X_CloudScheduler_ScheduleTime=None).status_code == 400


@pytest.mark.parametrize("schedule", NBA_SCHEDULES, ids=lambda schedule: schedule.name)
def test_every_declared_schedule_is_understood_by_whom_it_wakes(world: World, schedule: ScheduleSpec) -> None:
    assert world.fire(spoken(schedule, "nba")).status_code == 204
    assert world.quarantine == []
    assert all(NUDGE_TOPIC in function(name).listens for name in schedule.wakes)


def test_nobody_who_is_woken_over_http_needs_a_subscription_for_it() -> None:
    assert not [spec.name for spec in FUNCTIONS if NUDGE_TOPIC in pushed_topics(spec)]
    assert pushed_topics(function("self_heal")) == ("nba-phase6-export-complete",)


@pytest.mark.parametrize(
    ("emulator", "asked"),
    [
        ("127.0.0.1:1", ["self_heal--nba-nudge", "self_heal--nba-phase6-export-complete"]),
        (None, ["self_heal--nba-phase6-export-complete"]),
    ],
    ids=["on one machine", "deployed"],
)
def test_a_function_is_ready_with_the_subscriptions_that_its_target_has(emulator: str | None, asked: list[str]) -> None:
    @dataclass
    class Home:
        """As much of one as is asked."""

        pubsub_host: str | None = emulator
        heard: list[str] = field(default_factory=list)

        @property
        def cloud(self) -> Home:
            return self

        bus = cloud

        def hears(self, subscription: str, topic: str) -> bool:
            self.heard.append(subscription)
            return subscription.endswith(topic)

    home: Any = Home()
    wiring.checks(home, function("self_heal"), {}, warehouse=False)["bus"]()
    assert home.heard == asked
