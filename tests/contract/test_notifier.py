"""Every sink that people hear of incidents from: taken or not, never lost silently, never a secret told.

PagerDuty and Slack are servers of this machine that keep what they are sent; the clock is the test's.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone

import pytest

from shared.adapters.http import Http
from shared.adapters.notify import LogNotifier
from shared.adapters.sinks import DEDUP_KEY_MAX, LATER_S, REFUSED_S, SUMMARY_MAX, PagerDuty, SlackNotifier, key_within
from shared.adapters.slack import AGAIN, SlackWebhook
from shared.config.settings import read_settings
from shared.core.incident import Cause, acknowledged, escalations, raised, resolved
from shared.core.model import Act, Alert, RunKey, Severity
from shared.logs import QUIET
from shared.ports import Notifier
from shared.wiring import open_cloud
from tests.contract.recorder import Recorder, recording

KEY = "R0UT1NGKEYR0UT1NGKEYR0UT1NGKEY32"
HOOK_PATH = "/services/T0/B0/s3cr3tS3CR3T"
RUN = RunKey("nba", date(2024, 1, 15), "overnight")
NOON = datetime(2024, 1, 16, 12, 0, tzinfo=timezone.utc)
PAGE = raised(RUN, None, Cause("stalled", Severity.PAGE, "it stands still"), NOON)
WARN = raised(RUN, None, Cause("slow", Severity.WARN, "it takes long"), NOON)
INCIDENT = "nba.2024-01-15.overnight.1/incident/stalled/1"


@dataclass
class HandClock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Sinks:
    """Both, each before a server of its own."""

    clock: HandClock = field(default_factory=HandClock)
    pager: Recorder = field(default_factory=Recorder)
    channel: Recorder = field(default_factory=Recorder)
    http: Http = field(default_factory=Http)

    @property
    def hook(self) -> str:
        return self.channel.url.replace("/v2/enqueue", HOOK_PATH)

    def pagerduty(self, dashboard: str = "") -> PagerDuty:
        return PagerDuty(self.http, KEY, url=self.pager.url, now=self.clock.now, dashboard=dashboard)

    def slack(self, *, pages: bool = True, dashboard: str = "") -> SlackNotifier:
        chat = SlackWebhook(self.http, self.hook, again=replace(AGAIN, total_s=0.0))
        return SlackNotifier(chat, pages=pages, now=self.clock.now, dashboard=dashboard)

    def named(self, name: str) -> tuple[Notifier, Recorder]:
        return (self.pagerduty(), self.pager) if name == "pagerduty" else (self.slack(), self.channel)


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    with recording() as pager, recording() as channel:
        opened = Sinks(pager=pager, channel=channel)
        yield opened
        opened.http.close()


BOTH = pytest.mark.parametrize("name", ["pagerduty", "slack"])


# --- what both promise ----------------------------------------------------------------------------------


@BOTH
def test_what_is_taken_is_told_once(sinks: Sinks, name: str) -> None:
    sink, server = sinks.named(name)
    assert sink.notify(RUN, INCIDENT, PAGE.told)
    assert len(server.took) == 1


@BOTH
def test_a_sink_that_is_not_there_says_so_and_raises_nothing(sinks: Sinks, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v2/enqueue"
    sinks.pager.url = sinks.channel.url = url
    sink, _ = sinks.named(name)
    assert not sink.notify(RUN, INCIDENT, PAGE.told)


@BOTH
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_told_again_after_a_pause(sinks: Sinks, name: str, status: int) -> None:
    sink, server = sinks.named(name)
    server.status = status
    assert not sink.notify(RUN, INCIDENT, PAGE.told)
    server.status = 202
    assert not sink.notify(RUN, INCIDENT, PAGE.told), "it is left alone for a while"
    sinks.clock.pass_by(LATER_S)
    assert sink.notify(RUN, INCIDENT, PAGE.told)
    assert len(server.took) == 1


@BOTH
def test_a_pause_that_is_asked_for_is_kept(sinks: Sinks, name: str) -> None:
    sink, server = sinks.named(name)
    server.status, server.headers = 429, {"Retry-After": "120"}
    assert not sink.notify(RUN, INCIDENT, PAGE.told)
    tried, server.status = len(server.posted), 202
    sinks.clock.pass_by(119)
    assert not sink.notify(RUN, INCIDENT, PAGE.told)
    assert len(server.posted) == tried
    sinks.clock.pass_by(1)
    assert sink.notify(RUN, INCIDENT, PAGE.told)


@BOTH
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413, 418])
def test_what_is_refused_is_an_error_in_the_log_and_is_tried_again_with_patience(
    sinks: Sinks, name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink, server = sinks.named(name)
    server.status, server.body = status, b"invalid_token"
    for _ in range(20):  # ten minutes of a sweep that looks each half minute
        assert not sink.notify(RUN, INCIDENT, PAGE.told)
        sinks.clock.pass_by(30)
    assert len(server.posted) == 1
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    variable = "PAGERDUTY_ROUTING_KEY" if name == "pagerduty" else "SLACK_WEBHOOK_URL"
    assert f"answered {status}" in line.getMessage()
    assert INCIDENT in line.getMessage()
    assert "it stands still" in line.getMessage()
    assert variable in line.getMessage() or status in (400, 413)
    server.status = 202
    assert sink.notify(RUN, INCIDENT, PAGE.told), f"after {REFUSED_S} s"


@BOTH
def test_what_is_refused_keeps_no_other_incident(sinks: Sinks, name: str) -> None:
    sink, server = sinks.named(name)
    server.status = 400
    assert not sink.notify(RUN, INCIDENT, PAGE.told)
    server.status = 202
    assert sink.notify(RUN, INCIDENT.replace("/1", "/2"), replace(PAGE.told, number=2))


@BOTH
@pytest.mark.parametrize("status", [202, 400, 403, 429, 503])
def test_no_line_of_the_log_holds_a_secret(
    sinks: Sinks, name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for library, level in QUIET.items():  # as every function has it
        caplog.set_level(level, logger=library)
    sink, server = sinks.named(name)
    server.status, server.body = status, f"bad {KEY} {HOOK_PATH}".encode()
    sink.notify(RUN, INCIDENT, PAGE.told)
    said = "\n".join([*(record.getMessage() for record in caplog.records), repr(sink)])
    assert KEY not in said
    assert "s3cr3t" not in said.lower()


# --- PagerDuty --------------------------------------------------------------------------------------------


def test_pagerduty_is_told_by_events_of_its_api_v2(sinks: Sinks) -> None:
    assert sinks.pagerduty("https://tipoff.example").notify(RUN, INCIDENT, PAGE.told)
    assert sinks.pager.took == [
        {
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": INCIDENT,
            "client": "Tipoff",
            "payload": {
                "summary": "it stands still",
                "source": "tipoff nba",
                "severity": "critical",
                "timestamp": "2024-01-16T12:00:00.000000Z",
                "group": "nba",
                "class": "stalled",
                "custom_details": {
                    "run": "nba.2024-01-15.overnight.1",
                    "incident": INCIDENT,
                    "occurrence": 1,
                    "look": "tipoff explain nba.2024-01-15.overnight.1",
                },
            },
            "links": [{"href": "https://tipoff.example", "text": "dashboard"}],
        }
    ]


def test_what_follows_a_trigger_has_its_key(sinks: Sinks) -> None:
    sink, act = sinks.pagerduty(), Act(actor="ann", reason="on it", at=NOON)
    (escalated,) = escalations(RUN, [PAGE.told], NOON + timedelta(hours=2))
    over = resolved(RUN, PAGE.told, "goes on", NOON + timedelta(hours=3))
    for latch in (PAGE, acknowledged(RUN, PAGE.told, act), escalated, over):
        assert sink.notify(RUN, latch.incident, latch.told)
    assert sinks.pager.events == [f"{action} {INCIDENT}" for action in ("trigger", "acknowledge", "trigger", "resolve")]
    again = sinks.pager.took[2]["payload"]
    assert again["custom_details"]["escalated_at"] == "2024-01-16T14:00:00.000000Z"
    assert again["summary"] == "unresolved for 2 hours: it stands still"
    assert sinks.pager.took[3] == {"routing_key": KEY, "event_action": "resolve", "dedup_key": INCIDENT}


def test_what_can_wait_until_morning_pages_nobody(sinks: Sinks) -> None:
    for told in (WARN.told, resolved(RUN, WARN.told, "over", NOON).told):
        assert sinks.pagerduty().notify(RUN, WARN.incident, told)
    assert not sinks.pager.posted


def test_texts_that_are_too_long_are_cut(sinks: Sinks) -> None:
    incident = f"{'x' * 300}/incident/stalled/1"
    assert sinks.pagerduty().notify(RUN, incident, replace(PAGE.told, summary="\U0001f3c0 w" * 2_000))
    (event,) = sinks.pager.took
    assert len(event["payload"]["summary"].encode("utf-16-le")) // 2 <= SUMMARY_MAX
    assert len(event["dedup_key"]) == DEDUP_KEY_MAX
    assert "more characters" in event["payload"]["summary"]


def test_keys_that_are_cut_stay_equal_and_apart() -> None:
    one, other = "x" * 300 + "/1", "x" * 300 + "/2"
    assert key_within(one, 255) == key_within(one, 255) != key_within(other, 255)
    assert key_within("a/1", 255) == "a/1"


# --- Slack ------------------------------------------------------------------------------------------------


def test_slack_is_told_of_warnings_and_of_their_end(sinks: Sinks) -> None:
    sink = sinks.slack(pages=False)
    assert sink.notify(RUN, WARN.incident, WARN.told)
    assert sink.notify(RUN, WARN.incident, resolved(RUN, WARN.told, "it is through", NOON).told)
    first, last = sinks.channel.took
    assert first["text"] == ":warning: it takes long"
    assert "tipoff explain nba.2024-01-15.overnight.1" in json.dumps(first["blocks"])
    assert last["text"] == ":white_check_mark: Over: it is through"


@pytest.mark.parametrize(
    ("pages", "count"),
    [
        pytest.param(False, 0, id="where PagerDuty pages, the channel is spared"),
        pytest.param(True, 2, id="where nobody does, it is told in short"),
    ],
)
def test_what_a_person_gets_up_for(sinks: Sinks, pages: bool, count: int) -> None:
    sink = sinks.slack(pages=pages)
    for told in (PAGE.told, resolved(RUN, PAGE.told, "goes on", NOON).told):
        assert sink.notify(RUN, INCIDENT, told)
    assert len(sinks.channel.took) == count


def test_what_stays_unresolved_calls_the_channel_and_its_end_is_told_there(sinks: Sinks) -> None:
    sink = sinks.slack(pages=False)
    (escalated,) = escalations(RUN, [PAGE.told], NOON + timedelta(hours=2))
    over = resolved(RUN, escalated.told, "goes on", NOON + timedelta(hours=3))
    for latch in (PAGE, escalated, over):
        assert sink.notify(RUN, INCIDENT, latch.told)
    assert [post["text"] for post in sinks.channel.took] == [
        ":rotating_light: <!channel> unresolved for 2 hours: it stands still",
        ":white_check_mark: Over: goes on",
    ]


def test_an_acknowledgement_is_no_message(sinks: Sinks) -> None:
    told = acknowledged(RUN, PAGE.told, Act(actor="ann", reason="on it", at=NOON)).told
    assert sinks.slack().notify(RUN, INCIDENT, told)
    assert not sinks.channel.posted


def test_hostile_text_calls_nobody_and_links_nowhere(sinks: Sinks) -> None:
    summary = "<!channel> <https://evil.example|look> & \n*bold* @here"
    assert sinks.slack().notify(RUN, INCIDENT, replace(PAGE.told, summary=summary))
    (post,) = sinks.channel.took
    assert "<!channel>" not in json.dumps(post)
    assert "<https" not in json.dumps(post)
    assert post["text"].count("\n") == 0
    assert "&lt;!channel&gt;" in post["text"]


def test_a_text_that_is_too_long_for_slack_is_cut(sinks: Sinks) -> None:
    assert sinks.slack().notify(RUN, INCIDENT, replace(PAGE.told, summary="<&>" * 3_000))
    (post,) = sinks.channel.took
    assert all(len(block.get("text", {}).get("text", "")) <= 3_000 for block in post["blocks"])


# --- who is told --------------------------------------------------------------------------------------------

ENVIRON = {"TIPOFF_TARGET": "gcp", "TIPOFF_EXPORTS": "gs://bucket/nba", "GOOGLE_CLOUD_PROJECT": "some-project"}


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        pytest.param({}, ["log"], id="the log alone"),
        pytest.param({"PAGERDUTY_ROUTING_KEY": KEY}, ["log", "pagerduty"], id="who is on call"),
        pytest.param({"PAGERDUTY_ROUTING_KEY": "none", "SLACK_WEBHOOK_URL": "none"}, ["log"], id="secrets without one"),
        pytest.param(
            {"PAGERDUTY_ROUTING_KEY": KEY, "SLACK_WEBHOOK_URL": f"https://hooks.slack.com{HOOK_PATH}"},
            ["log", "pagerduty", "slack"],
            id="both",
        ),
    ],
)
def test_the_settings_say_who_is_told(environ: dict[str, str], names: list[str]) -> None:
    settings = read_settings({**ENVIRON, **environ})
    assert list(open_cloud(settings).notifiers) == names
    assert KEY not in repr(settings)
    assert "s3cr3t" not in repr(settings)


BROKEN = {
    "pagerduty": {"PAGERDUTY_ROUTING_KEY": f"{KEY} {KEY}", "SLACK_WEBHOOK_URL": f"https://hooks.slack.com{HOOK_PATH}"},
    "slack": {"PAGERDUTY_ROUTING_KEY": KEY, "SLACK_WEBHOOK_URL": f"https://evil.example{HOOK_PATH}"},
}


@BOTH
def test_a_secret_that_is_none_loses_nothing_of_what_its_sink_should_be_told(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Told again until the sink has taken it, as after any refusal; nothing is sent."""
    notifiers = open_cloud(read_settings({**ENVIRON, **BROKEN[name]}, spares_secrets=True)).notifiers
    assert list(notifiers) == ["log", "pagerduty", "slack"]
    alert = PAGE.told if name == "pagerduty" else WARN.told
    assert [notifiers[name].notify(RUN, INCIDENT, alert) for _ in range(3)] == [False] * 3
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    variable = "PAGERDUTY_ROUTING_KEY" if name == "pagerduty" else "SLACK_WEBHOOK_URL"
    assert f"{variable} is not " in line
    assert INCIDENT in line
    assert alert.summary in line
    assert not {part for part in (KEY, "s3cr3t", "evil") if part in line}


def test_who_cannot_be_paged_is_made_up_for_where_people_read(sinks: Sinks) -> None:
    settings = read_settings(
        {**ENVIRON, "PAGERDUTY_ROUTING_KEY": "x", "SLACK_WEBHOOK_URL": sinks.hook}, spares_secrets=True
    )
    assert open_cloud(settings).notifiers["slack"].notify(RUN, INCIDENT, PAGE.told)
    assert len(sinks.channel.took) == 1
    assert open_cloud(settings).notifiers["pagerduty"].notify(RUN, INCIDENT, WARN.told), "it need not hear of it"


def test_the_log_tells_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    alerts: list[Alert] = [
        PAGE.told,
        WARN.told,
        acknowledged(RUN, PAGE.told, Act(actor="ann", reason="on it", at=NOON)).told,
        resolved(RUN, PAGE.told, "goes on", NOON).told,
    ]
    assert all(LogNotifier().notify(RUN, INCIDENT, alert) for alert in alerts)
    assert [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records] == [
        ("ERROR", "incident"),
        ("WARNING", "incident"),
        ("INFO", "incident acknowledged"),
        ("INFO", "incident over"),
    ]
