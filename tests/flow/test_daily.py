"""The morning's message, under the real functions-framework: posted once for each time, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import functions_framework
import jsonschema_rs
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from data_processors.nba.runner import create_tables
from orchestration.daily import LATE_MAX, LEASE_S, ROUTES, handlers, responders
from orchestration.stack import Wanted
from orchestration.staging import stage
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.functions import NUDGE_TOPIC, function, pushed_topics
from shared.config.resources import RETRIES, RETRY_DOUBLINGS, RETRY_MAX_S, RETRY_S
from shared.config.schedules import NBA_SCHEDULES
from shared.config.settings import read_settings
from shared.core.codec import encode
from shared.core.heartbeat import SELF_HEAL
from shared.core.messages import Nudge, spoken
from shared.core.model import RunKey, Status
from shared.core.openapi import document
from shared.deployed import once
from shared.endpoint import EVERYONES, Endpoint, Identity, Parts
from shared.ports import Errand
from shared.service import NUDGE_AHEAD, Refusal
from tests.flow.cli import documented, form
from tests.flow.days import Days, HandClock, succeed
from tests.flow.test_health import EVENING, NIGHT, begins
from tests.flow.test_staging import NOWHERE, serving
from tests.slack import Scripted, Slack, lines_of, slack

DUE = datetime(2024, 1, 16, 13, 0, tzinfo=timezone.utc)
AHEAD = RunKey("nba", date(2024, 1, 16), "tomorrow")
DOWN: Scripted = (503, {"Retry-After": "60"}, b"")
(SCHEDULE,) = (schedule for schedule in NBA_SCHEDULES if schedule.act == "summary")
SPEC = function("daily_health_check")
MAIN = """
import functions_framework
from tests.flow.test_daily import served

@functions_framework.http
def daily_health_check(request):
    return served[{key!r}](request)
"""

served: dict[str, Endpoint] = {}


@dataclass
class World:
    """The deployed function's handlers and routes on a home of this machine, at eight in the morning."""

    home: wiring.LocalHome
    clock: HandClock
    days: Days
    channel: Slack
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        secret = {"SLACK_WEBHOOK_URL": self.channel.url} if self.channel.url else {}
        self.settings = read_settings({**NOWHERE, **secret}, spares_secrets=True)

    def parts(self) -> Parts:
        given: Any = self.home
        return Parts(
            ports=self.home.ports,
            handlers=handlers(SPEC, self.settings, given),
            checks={},
            routes=responders(SPEC, self.settings, given),
        )

    def ship(self, *runs: RunKey) -> None:
        """Each does all its work at the time at which it is due."""
        for run in sorted(runs, key=begins):
            self.clock.time = begins(run)
            self.days.act = succeed
            self.days.service.start_run(run)
            self.days.finish(run)
        self.clock.time = DUE
        self.home.ports.states.beat(SELF_HEAL, DUE)

    def call(self, at: datetime = DUE) -> TestResponse:
        """What Cloud Scheduler posts for this time."""
        body = spoken(SCHEDULE, "nba")
        return self.client.post("/", data=body, headers=scheduled(at), content_type="application/json")

    @property
    def read(self) -> list[list[str]]:
        return [lines_of(message) for message in self.channel.shown]


def scheduled(at: datetime) -> dict[str, str]:
    return {
        "X-CloudScheduler": "true",
        "X-CloudScheduler-ScheduleTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "X-CloudScheduler-JobName": "nba-daily-health-check--daily-health-check",
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with slack() as channel, opened(tmp_path, channel) as world:
        yield world


@contextmanager
def opened(folder: Path, channel: Slack) -> Iterator[World]:
    clock = HandClock(DUE)
    with closing(wiring.LocalHome(folder, Sqlite(":memory:"), clock)) as home:
        create_tables(home.warehouse)
        world = World(home, clock, Days(home.store, clock=clock), channel)
        who = Identity(service="daily_health_check", version="0123abc", config_hash="c0ffee")
        served[str(folder)] = Endpoint(who, once(world.parts), routes=ROUTES, nudges=NUDGE_TOPIC)
        (folder / "main.py").write_text(MAIN.format(key=str(folder)), encoding="utf-8")
        app = functions_framework.create_app("daily_health_check", str(folder / "main.py"))
        world.client = app.test_client()
        yield world
        del served[str(folder)]


# --- what is posted -----------------------------------------------------------------------------------------


def test_a_green_morning_is_one_line(world: World) -> None:
    world.ship(EVENING, AHEAD, NIGHT)
    assert world.call().status_code == 204
    ((line,),) = world.read
    assert line.startswith(":large_green_circle: nba, Tue Jan 16: all 3 published · complete 100.0% · ")
    assert world.channel.shown[0].keys() == {"text", "unfurl_links", "unfurl_media"}


def test_a_morning_on_which_a_run_is_missing_says_so_first(world: World) -> None:
    world.ship(EVENING, NIGHT)
    assert world.call().status_code == 204
    ((head, missing, then, fine, figures),) = world.read
    assert head == ":red_circle: nba, Tue Jan 16: 1 missing, 2 published (of 3)"
    assert missing.startswith("*tomorrow 2024-01-16 missing*: nobody has begun it; it was due at Jan 15 17:00 EST")
    assert then == "→ the next sweep begins it"
    assert fine == ":white_check_mark: overnight published, same_day published"
    assert figures.startswith("complete 100.0% · ")


def test_a_morning_with_a_degraded_run_says_without_what(world: World) -> None:
    world.ship(EVENING, AHEAD)
    world.clock.time = begins(NIGHT)
    bad = "team_defense_game_summary"
    world.days.act = lambda start: (
        succeed(start, status=Status.FAILED, reason="<!channel> zones") if start.processor == bad else succeed(start)
    )
    world.days.service.start_run(NIGHT)
    for _ in range(20):
        world.days.finish(NIGHT)
        world.days.pass_by(minutes=5)
    world.clock.time = DUE
    world.home.ports.states.beat(SELF_HEAL, DUE)
    assert world.call().status_code == 204
    ((head, degraded, *_),) = world.read
    assert head == ":large_yellow_circle: nba, Tue Jan 16: 1 degraded, 2 published (of 3)"
    assert degraded.startswith(f"*overnight 2024-01-15 degraded*: without {bad} (failed: &lt;!channel&gt; zones")


def test_a_dead_watchdog_is_what_stands_first(world: World) -> None:
    world.ship(EVENING, AHEAD, NIGHT)
    world.home.ports.states.beat(SELF_HEAL, DUE - timedelta(minutes=20))
    world.call()
    (first, *_) = world.read[0]
    assert first.startswith(":rotating_light: *Nothing heals by itself:* self-heal left its last heartbeat")


def test_while_the_watchdog_is_dead_nobody_begins_what_is_missing(world: World) -> None:
    world.ship(EVENING, NIGHT)
    world.home.ports.states.beat(SELF_HEAL, DUE - timedelta(minutes=20))
    world.call()
    command = "tipoff run nba --date 2024-01-16 --mode tomorrow --data DIR --target emulators"
    assert f"→ nothing more happens by itself · `{command}`" in world.read[0]


def test_a_morning_after_no_games_is_one_line(world: World) -> None:
    quiet = {"schedule": {"games": (), "next_games": (), "announced": ()}}
    for run in (EVENING, AHEAD, NIGHT):
        world.clock.time = begins(run)
        world.days.act = lambda start: succeed(start, found=quiet.get(start.processor, {}))
        world.days.service.start_run(run)
        world.days.finish(run)
    world.clock.time = DUE
    world.home.ports.states.beat(SELF_HEAL, DUE)
    world.call()
    ((line,),) = world.read
    assert line.startswith(":large_green_circle: nba, Tue Jan 16: nothing was expected · about $")


# --- once for each time -------------------------------------------------------------------------------------


def test_doubled_and_late_it_posts_nothing_again(world: World) -> None:
    world.ship(EVENING, AHEAD, NIGHT)
    assert [world.call().status_code for _ in range(3)] == [204, 204, 204]
    world.clock.time = DUE + timedelta(hours=5)
    assert world.call().status_code == 204
    assert len(world.channel.posts) == 1


def test_a_late_word_tells_of_the_morning_that_it_names(world: World) -> None:
    """Five hours later the next same_day is due, and is no part of it."""
    world.ship(EVENING, AHEAD, NIGHT)
    world.clock.time = DUE + timedelta(hours=5)
    world.home.ports.states.beat(SELF_HEAL, world.clock.time)
    assert world.call().status_code == 204
    assert world.read[0][0].startswith(":large_green_circle: nba, Tue Jan 16: all 3 published · ")


def test_the_next_morning_is_another(world: World) -> None:
    world.ship(NIGHT)
    world.call()
    world.clock.time = DUE + timedelta(days=1)
    world.call(DUE + timedelta(days=1))
    assert [lines[0].partition(":")[0] for lines in world.read] == ["", ""]
    assert len(world.read) == 2


def test_a_chat_that_is_down_brings_the_word_again_until_it_is_up(world: World) -> None:
    world.ship(EVENING, AHEAD, NIGHT)
    world.channel.answers = [DOWN, DOWN]
    assert world.call().status_code == 500
    assert world.call().status_code == 500, "the lease of the first try is not over"
    assert len(world.channel.posts) == 1
    world.clock.time += timedelta(seconds=LEASE_S)
    assert world.call().status_code == 500
    world.clock.time += timedelta(seconds=LEASE_S)
    assert world.call().status_code == 204
    assert (len(world.channel.posts), len(world.read)) == (3, 1)
    assert world.call().status_code == 204
    assert len(world.channel.posts) == 3


def test_a_webhook_that_is_gone_is_told_to_a_person_and_not_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ship(NIGHT)
    world.channel.answers = [(404, {}, b"no_service")]
    assert world.call().status_code == 500
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.getMessage() == (
        "nobody reads the morning's message: Slack answered 404 (no_service); make a new incoming webhook, and set "
        "SLACK_WEBHOOK_URL to its address"
    )
    assert "s3cret" not in caplog.text


def test_whoever_dies_before_he_posts_leaves_it_to_the_next_try(world: World) -> None:
    world.ship(NIGHT)
    errand = "summary/2024-01-16T13:00:00.000000Z"
    assert world.home.ports.states.take_errand(errand, DUE, LEASE_S) is Errand.MINE
    assert world.call().status_code == 500
    world.clock.time += timedelta(seconds=LEASE_S)
    assert world.call().status_code == 204
    assert len(world.read) == 1


def test_what_cannot_be_read_posts_nothing_and_takes_nothing(world: World) -> None:
    """The state is away: the word comes again, and finds the errand free."""
    world.ship(NIGHT)
    world.home.store.close()
    assert world.call().status_code == 500
    assert world.channel.posts == []


def test_it_leaves_a_heartbeat_once_it_has_come_through(world: World) -> None:
    world.ship(NIGHT)
    world.channel.answers = [DOWN]
    world.call()
    assert "daily-health-check" not in world.home.ports.states.beats()
    world.clock.time += timedelta(seconds=LEASE_S)
    world.call()
    assert world.home.ports.states.beats()["daily-health-check"] == world.clock.time


def test_whoever_died_before_his_heartbeat_is_made_good_by_the_next_word(world: World) -> None:
    world.ship(NIGHT)
    world.home.ports.states.end_errand("summary/2024-01-16T13:00:00.000000Z")
    assert world.call().status_code == 204
    assert world.channel.posts == []
    assert world.home.ports.states.beats()["daily-health-check"] == DUE


def test_without_a_webhook_nobody_reads_and_the_log_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="tipoff.daily")
    with opened(tmp_path, Slack()) as world:
        world.ship(EVENING, AHEAD, NIGHT)
        assert world.call().status_code == 204
        assert "daily-health-check" in world.home.ports.states.beats()
    assert "SLACK_WEBHOOK_URL is not set, so nobody reads: :large_green_circle: nba, Tue Jan 16" in caplog.text


def test_a_webhook_that_is_none_is_told_to_a_person_and_the_word_comes_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, Slack(url="s3cret")) as world:
        world.ship(NIGHT)
        assert world.call().status_code == 500
        assert "daily-health-check" not in world.home.ports.states.beats()
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert told.getMessage().startswith("nobody reads the morning's message: SLACK_WEBHOOK_URL is not the address")
    assert "s3cret" not in caplog.text


# --- words that are not its own -----------------------------------------------------------------------------


def nudge(act: str, at: datetime = DUE) -> bytes:
    mode = "overnight" if act in ("start", "nudge") else ""
    date_ = "YESTERDAY" if mode else ""
    return encode(Nudge(pipeline="nba", mode=mode, date=date_, scheduled_at=at, act=act))


@pytest.mark.parametrize("act", ["start", "nudge", "sweep", "recover"])
def test_what_is_for_others_it_lets_be(world: World, act: str) -> None:
    assert world.parts().handlers[NUDGE_TOPIC](nudge(act)) is None
    assert world.channel.posts == []
    assert world.home.ports.states.beats() == {}


def test_what_is_for_it_others_let_be(world: World) -> None:
    said = Nudge(pipeline="nba", mode="", date="", scheduled_at=DUE, act="summary")
    assert world.days.service.on_nudge(said) is None
    assert world.home.ports.states.runs("nba", date.min, date.max) == ()


def test_a_time_that_is_still_to_come_is_refused(world: World) -> None:
    refused = world.parts().handlers[NUDGE_TOPIC](nudge("summary", DUE + NUDGE_AHEAD + timedelta(seconds=1)))
    assert isinstance(refused, Refusal)
    assert refused.reason.endswith("which is still to come: no day is over before its time")


def test_one_of_yesterday_is_not_posted_beside_todays(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.ship(NIGHT)
    assert world.call(DUE - LATE_MAX - timedelta(seconds=1)).status_code == 204
    assert world.channel.posts == []
    assert "a newer one says more" in caplog.text


def test_what_a_stack_is_to_be_tells_no_secret_when_it_is_printed() -> None:
    wanted = Wanted(
        home=Path("home"), data="/data", commit="0123abc", calendar=True, secrets={"SLACK_WEBHOOK_URL": "s3cret"}
    )
    assert "s3cret" not in repr(wanted)


def test_a_chat_that_is_down_for_most_of_an_hour_loses_no_morning(world: World) -> None:
    """By the pauses that its job is deployed with."""
    world.ship(NIGHT)
    world.channel.answers = [DOWN] * RETRIES
    for number in range(RETRIES):
        assert world.call().status_code == 500
        world.clock.time += timedelta(seconds=min(RETRY_S * 2 ** min(number, RETRY_DOUBLINGS), RETRY_MAX_S))
    assert world.clock.time - DUE == timedelta(hours=1)
    assert world.call().status_code == 204
    assert len(world.read) == 1


def test_its_schedule_calls_it_and_no_subscription_is_deployed() -> None:
    assert SCHEDULE.wakes == ("daily_health_check",)
    assert pushed_topics(SPEC) == ()
    assert SPEC.secrets == ("SLACK_WEBHOOK_URL",)


# --- over HTTP ----------------------------------------------------------------------------------------------


def test_the_summary_over_http_is_that_of_the_command(world: World) -> None:
    world.ship(EVENING, NIGHT)
    answer = world.client.get("/summary")
    assert answer.status_code == 200
    said: Any = answer.json
    assert form(said).keys() == form(documented("tipoff health")).keys()
    assert [mode["mode"] for mode in said["pipelines"][0]["modes"]] == ["overnight", "same_day", "tomorrow"]
    assert [mode["missing"] for mode in said["pipelines"][0]["modes"]] == [0, 0, 1]
    assert (said["signal"], said["until"]) == ("red", "2024-01-16T13:00:00.000000Z")
    assert world.channel.posts == []


def test_it_may_be_asked_for_another_morning(world: World) -> None:
    world.ship(EVENING, NIGHT)
    said: Any = world.client.get("/summary?date=2024-01-15").json
    assert (said["since"], said["until"]) == ("2024-01-14T13:00:00.000000Z", "2024-01-15T13:00:00.000000Z")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("date=2024-01-17", "date: 2024-01-17 is still to come; today is 2024-01-16 in America/New_York"),
        ("date=yesterday", "date: "),
        ("day=1", "key 'day' is not known; known are date"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(world: World, query: str, error: str) -> None:
    answer = world.client.get(f"/summary?{query}")
    said: Any = answer.json
    assert answer.status_code == 400
    assert said["error"].startswith(error)


def test_what_it_answers_is_what_its_document_declares(world: World) -> None:
    world.ship(EVENING, NIGHT)
    said = document("daily_health_check", "0123abc", (*ROUTES, *EVERYONES))
    paths: Any = said["paths"]
    for path in ("/summary", "/summary?date=2099-01-01", "/health", "/openapi.json"):
        answer = world.client.get(path)
        operation = paths[path.partition("?")[0]]["get"]["responses"][str(answer.status_code)]
        schema = {**operation["content"]["application/json"]["schema"], "components": said["components"]}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json)


def test_nothing_is_changed_by_asking(world: World) -> None:
    world.ship(NIGHT)
    before = world.home.ports.states.load(NIGHT)
    for _ in range(2):
        world.client.get("/summary")
    assert world.home.ports.states.load(NIGHT) == before
    assert world.client.post("/summary", json={}).status_code == 405


# --- as it is deployed --------------------------------------------------------------------------------------


def test_the_staged_function_posts_what_stands_in_firestore(firestore_emulator: str, tmp_path: Path) -> None:
    folder = stage("daily_health_check", tmp_path / "build").folder
    due = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    with slack() as channel:
        environment = {
            "FIRESTORE_EMULATOR_HOST": firestore_emulator,
            "GOOGLE_CLOUD_PROJECT": "tipoff-daily",
            "SLACK_WEBHOOK_URL": channel.url,
            "LOG_LEVEL": "ERROR",
        }
        with serving("daily_health_check", folder, **environment) as answer:
            assert answer("/health")["service"] == "daily_health_check"
            assert answer("/summary")["signal"] == "red"
            headers = {**scheduled(due), "Content-Type": "application/json"}
            for _ in range(2):
                assert answer("/", spoken(SCHEDULE, "nba"), headers) is None
    (lines,) = [lines_of(message) for message in channel.shown]
    assert lines[0].startswith(":rotating_light: *Nothing heals by itself:* self-heal has never left a heartbeat")
    assert lines[1].endswith(": all 3 missing")
