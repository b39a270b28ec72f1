"""The dashboard under the real functions-framework: every page, every word, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import functions_framework
import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from data_processors.nba.runner import create_tables
from orchestration.cli.options import login_name
from orchestration.dashboard import guard, sights
from orchestration.dashboard.service import here, is_tunnelled, verified
from orchestration.dashboard.site import SAFE, Nobody, Site
from orchestration.dashboard.verbs import BATCH_VERBS, LETTER_VERBS, RUN_VERBS
from shared.adapters.sqlite import Sqlite
from shared.config.settings import read_settings
from shared.core.fold import incidents_of
from shared.core.incident import Cause, acknowledged, raised, resolved
from shared.core.model import Act, RunKey, Severity, Word
from shared.core.watch import record, record_of
from shared.deployed import once
from shared.endpoint import Endpoint, Identity, Parts
from shared.heal import claim
from shared.ports import Ports
from shared.wiring import STATE_FILE
from tests.flow.dashboards import (
    BATCH,
    BLOCKED,
    FAILED,
    HOSTILE,
    NIGHT,
    SAME_DAY,
    SERVICE_HOST,
    HandDoors,
    deployed,
    interesting_day,
    kept_in,
    serving,
    site_of,
    token_of,
    tunnelling,
)

MAIN = """
import functions_framework
from tests.flow.test_dashboard import served

@functions_framework.http
def nba_admin_dashboard(request):
    return served[{key!r}](request)
"""
HERE = "http://127.0.0.1"
PAGES = (
    "/",
    "/?date=2025-12-01",
    "/?date=2024-01-01",
    f"/run/{NIGHT}",
    f"/run/{FAILED}",
    f"/run/{SAME_DAY}",
    f"/run/{BLOCKED}",
    f"/ledger/{NIGHT}",
    f"/ledger/{BLOCKED}",
    "/batches",
    f"/batch/{BATCH}",
    "/incidents",
    "/letters",
    "/schedules",
    "/slos",
    "/summary",
    *(f"/run/{SAME_DAY}/{verb}" for verb in RUN_VERBS),
    *(f"/batch/{BATCH}/{verb}" for verb in BATCH_VERBS),
)

served: dict[str, Endpoint] = {}
"""What the framework's functions of this module call, by the folder that each was loaded from."""


@dataclass
class Browser:
    """What a browser does with the pages of one dashboard."""

    doors: HandDoors
    client: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=HERE, headers=headers)

    def fill(self, path: str, **typed: str) -> dict[str, Any]:
        """The fields of the form at this address, filled in."""
        fields = Fields(self.get(path).text).sent
        return {**fields, **typed}

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> TestResponse:
        told = {"Origin": HERE, "Sec-Fetch-Site": "same-origin", **headers}
        sent = {name: text for name, text in told.items() if text}
        return self.client.post(path.partition("?")[0], base_url=HERE, data=fields, headers=sent)

    def say(self, path: str, **typed: str) -> TestResponse:
        return self.post(path, self.fill(path, **{"reason": "feed is wrong", **typed}))

    def said(self, run: RunKey) -> list[Word]:
        with self.doors.reading() as home:
            assert home
            return list(home.states.load(run).control.said)

    def status(self, run: RunKey) -> sights.RunStatus:
        with self.doors.reading() as home:
            assert home
            seen = sights.see(home.states, run, self.doors.clock.now())
            assert seen
            return seen.status


class Fields(HTMLParser):
    """What a browser would send of the first form of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sent: dict[str, Any] = {}
        self.options: list[str] = []
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        name, value = told.get("name"), told.get("value") or ""
        if tag == "input" and name and told.get("type") != "checkbox":
            before = self.sent.get(name)
            self.sent[name] = value if before is None else [*([before] if isinstance(before, str) else before), value]
        if tag == "select" and name:
            self._select = name
        if tag == "option":
            self.options.append(value)
            if "selected" in told:
                self.sent[self._select] = value
            self.sent.setdefault(self._select, value)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test has a copy."""
    return interesting_day(tmp_path_factory.mktemp("day")).path


@pytest.fixture
def browser(day: Path, tmp_path: Path) -> Iterator[Browser]:
    yield from opened(day, tmp_path)


def opened(day: Path, tmp_path: Path, wrap: Callable[[Site], Site] = lambda site: site) -> Iterator[Browser]:
    home = tmp_path / "home"
    home.mkdir()
    (home / STATE_FILE).write_bytes((day / STATE_FILE).read_bytes())
    doors = HandDoors(home)
    yield from browsing(doors, wrap(site_of(doors)), tmp_path)


def browsing(doors: HandDoors, site: Site, tmp_path: Path) -> Iterator[Browser]:
    key, store = str(tmp_path), Sqlite(":memory:")
    ports = Ports(states=store.states, bus=store.bus, clock=doors.clock)
    identity = Identity(service="nba_admin_dashboard", version="0123abc", config_hash="c0ffee")
    parts = Parts(ports=ports, handlers={}, checks={}, pages=site)
    served[key] = Endpoint(identity, once(lambda: parts), shows_pages=True)
    (tmp_path / "main.py").write_text(MAIN.format(key=key))
    source = str(tmp_path / "main.py")
    app: Any = functions_framework.create_app("nba_admin_dashboard", source, "http")  # type: ignore[no-untyped-call]
    yield Browser(doors, app.test_client())
    del served[key]
    store.close()


# --- what is shown --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there_keeps_to_itself_and_changes_nothing(browser: Browser, path: str) -> None:
    before = kept_in(browser.doors.path)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in SAFE} == SAFE
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert HOSTILE not in answer.text
    assert "<script>" not in answer.text
    assert kept_in(browser.doors.path) == before, "a GET reads"


def test_the_day_says_how_each_mode_stands_and_what_a_person_has_to_look_into(browser: Browser) -> None:
    text = words_of(browser.get("/").text)
    assert "nba Tuesday, 2 December 2025" in text
    assert "2 open incidents" in text
    assert "overnight degraded" in text
    assert "without team_defense_zone_analysis" in text
    assert "same day running" in text
    assert "waiting for predictions complete so far" in text
    assert "tomorrow blocked" in text
    assert "next look 22:11:00 (in 60 s)" in text


def test_an_incident_is_told_once_with_who_has_it_whatever_was_said_of_it(browser: Browser) -> None:
    """It was raised, and escalated two hours later."""
    with browser.doors.acting() as home:
        states = home.ports.states
        seen = sights.see(states, BLOCKED, browser.doors.clock.now())
        assert seen
        [alert] = seen.incidents
        latch = acknowledged(BLOCKED, alert, Act(actor="ben", reason="mine", at=alert.at))
        claim(states, seen.view, [latch], due_at=alert.at)
    text = words_of(browser.get("/incidents").text)
    assert text.count("open page") == 2
    assert "ben has it" in text
    assert "unresolved for 2 hours" in text
    assert "ben has it" in words_of(browser.get("/").text)


def test_what_the_timer_watches_beside_the_runs_is_told_and_has_no_page(browser: Browser) -> None:
    with browser.doors.acting() as home:
        states, now = home.ports.states, browser.doors.clock.now()
        run = record_of("nba")
        states.create_run(record("nba", now))
        latch = raised(run, None, Cause("heartbeat-tomorrow", Severity.PAGE, "tomorrow has not come through"), now)
        states.claim(run, control_version=0, latches=[latch], entry=None, due_at=now, now=now, lease_s=30)
    for path in ("/", "/incidents", "/?date=2024-01-01"):
        page = browser.get(path).text
        assert "tomorrow has not come through" in page
        assert f'href="/run/{run}"' not in page
    assert "3 open incidents" in browser.get("/").text
    assert browser.get(f"/run/{run}").status_code == 404
    assert browser.get(f"/run/{run}/hold").status_code == 404
    assert f'href="/run/{run}/acknowledge?about=heartbeat-tomorrow/1"' in browser.get("/").text
    answer = browser.say(f"/run/{run}/acknowledge?about=heartbeat-tomorrow/1")
    assert answer.headers["Location"] == "/incidents?said=acknowledged"
    page = words_of(browser.get(answer.headers["Location"]).text)
    assert "Acknowledged, and open still." in page
    assert "ann has it" in page


def test_a_mode_that_nobody_has_begun_says_when_it_usually_begins(browser: Browser) -> None:
    text = words_of(browser.get("/?date=2025-12-03").text)
    assert "same day to come nba.2025-12-03.same_day.1 Usually begins 2025-12-03 15:30:00 (in 17.3 h) ." in text


def test_a_day_without_runs_leads_to_the_last_one_that_has_some(browser: Browser) -> None:
    assert 'is <a href="/?date=2025-12-02">' in browser.get("/?date=2025-12-20").text
    assert "last day before" not in browser.get("/?date=2024-01-01").text


def test_a_home_in_which_nothing_is_due_shows_its_own_last_day(browser: Browser) -> None:
    browser.doors.clock.time += timedelta(days=300)
    text = words_of(browser.get("/").text)
    assert "nba Tuesday, 2 December 2025" in text
    assert "overnight degraded" in text
    assert "same day to come" not in text


def test_a_run_tells_its_whole_story(browser: Browser) -> None:
    text = words_of(browser.get(f"/run/{NIGHT}").text)
    assert "failed: column zone is not there in nba_raw.team_boxscores (3 of 3 attempts)" in text
    assert "Gate behind it: open: 4 of 5 processors of precompute are done" in text
    assert "through; nothing is under way" in text
    assert '<a href="/?date=2025-12-02">its day</a>' in browser.get(f"/run/{NIGHT}").text, "on whose morning it began"
    blocked = browser.get(f"/run/{BLOCKED}").text
    assert "Incident" in blocked
    assert f'<a class="button" href="/run/{BLOCKED}/retry?about=schedule">another attempt now</a>' in blocked


def test_the_ledger_makes_every_decision_again(browser: Browser) -> None:
    text = words_of(browser.get(f"/ledger/{NIGHT}").text)
    assert "all 7 come out the same" in text


def test_what_is_promised_is_told_with_what_broke_it(browser: Browser) -> None:
    text = words_of(browser.get("/slos").text)
    assert "published exhausted" in text
    assert f"{FAILED} 32.2 h after its deadline" in text


def test_the_last_day_is_told_at_a_glance(browser: Browser) -> None:
    text = words_of(browser.get("/summary").text)
    assert "nba, Tue Dec 2" in text
    assert f"{NIGHT} degraded" in text


def test_what_a_stranger_wrote_into_a_message_is_text(browser: Browser) -> None:
    with browser.doors.reading() as home:
        assert home
        [poison] = [letter for letter in sights.letters(home) if letter.kind == "quarantined"]
    page = browser.get(f"/letter/{poison.id}")
    assert page.status_code == 200
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page.text
    assert "\\u202eevil" in page.text


def test_a_message_leads_to_the_run_that_it_is_about(browser: Browser) -> None:
    assert f'<a class="run" href="/run/{NIGHT}">' in browser.get("/letters").text


def test_a_head_is_answered_as_a_get_without_its_body(browser: Browser) -> None:
    answer = browser.client.head("/", base_url=HERE)
    assert (answer.status_code, answer.data) == (200, b"")


def test_on_an_empty_home_every_list_says_that_it_is_empty(tmp_path: Path) -> None:
    doors = HandDoors(tmp_path / "nowhere")
    for browser in browsing(doors, site_of(doors), tmp_path):
        assert {
            browser.get(path).status_code for path in ("/", "/batches", "/incidents", "/letters", "/schedules")
        } == {200}
        assert "No batch has begun here yet" in browser.get("/batches").text
        answer = browser.get(f"/run/{NIGHT}")
        assert (answer.status_code, "Nothing has run here yet." in answer.text) == (404, True)
        assert browser.get(f"/run/{NIGHT}/hold").status_code == 404
        assert not doors.path.exists(), "nobody's look makes a home"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/run/nba.2025-12-09.overnight.1", 404, "has not begun here"),
        ("/run/nba.2025-12-09.overnight.1/hold", 404, "has not begun here"),
        ("/run/mlb.2025-12-09.overnight.1", 404, "is not declared"),
        ("/run/nonsense", 400, "expected pipeline.YYYY-MM-DD.mode.generation"),
        ("/run/..%2f..%2fetc%2fpasswd", 404, "is the address of no page"),
        (f"/run/{SAME_DAY}/explode", 404, "is the address of no page"),
        (f"/batch/{SAME_DAY}/predictions/7", 404, "Its run has"),
        (f"/batch/{SAME_DAY}/Predictions/1", 400, "RUN/PHASE/ATTEMPT"),
        (f"/batch/{SAME_DAY}/predictions/%F0%9F%98%80", 400, "RUN/PHASE/ATTEMPT"),
        ("/letter/0000", 404, "somebody may have dealt with it"),
        ("/letters/purge", 400, "choose 1 to"),
        ("/letters/purge?id=0000", 404, "somebody has dealt with it"),
        ("/?date=yesterday", 400, "is not a date"),
        ("/?date=0001-01-01", 400, "is not a date"),
        ("/?date=2025-W01-1", 400, "is not a date"),
        ("/?date=" + "9" * 3000, 400, "characters behind the question mark"),
        ("/main.py", 404, "is the address of no page"),
        ("/%3Cscript%3E", 404, "&lt;script&gt;"),
    ],
)
def test_what_is_not_there_or_cannot_be_read_is_said_with_its_status(
    browser: Browser, path: str, status: int, told: str
) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert told in answer.text
    assert answer.headers["Content-Security-Policy"] == SAFE["Content-Security-Policy"]


def test_health_and_ready_are_every_functions(browser: Browser) -> None:
    assert browser.get("/health").json == {
        "status": "alive", "service": "nba_admin_dashboard", "version": "0123abc", "config_hash": "c0ffee"
    }  # fmt: skip
    assert browser.get("/ready").status_code == 200


def test_a_page_that_cannot_be_made_says_so_and_tells_nothing_of_why(browser: Browser) -> None:
    (browser.doors.path / STATE_FILE).write_bytes(b"no database")
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "Nothing has changed. Try again" in answer.text
    assert "database" not in answer.text


# --- words ----------------------------------------------------------------------------------------------


def test_a_word_is_kept_with_who_why_and_until_when_and_acted_upon(browser: Browser) -> None:
    answer = browser.say(f"/run/{SAME_DAY}/hold", at="+2h")
    [word] = browser.said(SAME_DAY)
    assert (word.verb, word.act.actor, word.act.reason) == ("hold", "ann", "feed is wrong")
    assert word.act.until == browser.doors.clock.now() + timedelta(hours=2)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/run/{SAME_DAY}?said=0")
    page = browser.get(answer.headers["Location"]).text
    assert "is held until 2025-12-03 00:10:00 UTC (in 120 min) by ann: feed is wrong." in page
    assert f'href="/run/{SAME_DAY}/release"' in page
    browser.say(f"/run/{SAME_DAY}/release")
    assert [each.verb for each in browser.said(SAME_DAY)] == ["hold", "release"]


WORDS = {
    "hold": (SAME_DAY, {}),
    "retry": (BLOCKED, {"about": "schedule"}),
    "skip": (SAME_DAY, {"about": "upcoming_team_game_context"}),
    "force": (BLOCKED, {"about": "raw"}),
    "override": (BLOCKED, {"about": "health"}),
    "look_again": (NIGHT, {}),
    "replay": (NIGHT, {"about": "precompute"}),
    "cancel": (BLOCKED, {}),
}


def test_every_word_on_a_run_has_its_case() -> None:
    assert {*WORDS, "release", "acknowledge"} == set(RUN_VERBS)


@pytest.mark.parametrize("verb", [verb for verb in WORDS if verb != "skip"])
def test_sent_twice_a_form_does_nothing_twice(browser: Browser, verb: str) -> None:
    run, typed = WORDS[verb]
    path = f"/run/{run}/{verb}"
    fields = browser.fill(path, reason="feed is wrong", **typed)
    first = browser.post(path, fields)
    assert first.status_code == 303, first.text
    kept = all_said(browser, run)
    assert [word.verb for word in kept] == [verb]
    browser.doors.clock.time += timedelta(minutes=1)
    again = browser.post(path, fields)
    assert again.status_code == 303
    assert again.headers["Location"].split("?")[0] == first.headers["Location"].split("?")[0]
    assert all_said(browser, run) == kept
    assert browser.get(first.headers["Location"]).status_code == 200
    assert "feed is wrong" in browser.get(first.headers["Location"]).text


def test_a_hold_that_was_released_does_not_come_back_by_the_form_of_before(browser: Browser) -> None:
    path = f"/run/{SAME_DAY}/hold"
    fields = browser.fill(path, reason="feed is wrong")
    browser.post(path, fields)
    browser.say(f"/run/{SAME_DAY}/release", reason="feed is mended")
    browser.post(path, fields)
    assert browser.status(SAME_DAY).reason.startswith("0 of 1 processors of predictions are done")


def test_who_has_an_incident_is_told_wherever_it_is_and_it_stays_the_first_ones(browser: Browser) -> None:
    path = f"/run/{BLOCKED}/acknowledge"
    fields = browser.fill(path, reason="on it")
    first = browser.post(path, fields)
    assert first.headers["Location"] == f"/run/{BLOCKED}?said=acknowledged"
    page = words_of(browser.get(first.headers["Location"]).text)
    assert "Acknowledged, and open still: stalled by ann: on it." in page
    assert path not in browser.get(f"/run/{BLOCKED}").text, "what somebody has is not asked for again"
    before = kept_in(browser.doors.path)
    assert browser.post(path, fields).status_code == 303
    assert kept_in(browser.doors.path) == before
    refused = browser.say(f"/run/{NIGHT}/acknowledge")
    assert (refused.status_code, "has no open incident" in refused.text) == (409, True)


@dataclass
class Beside:
    """What is watched beside the runs, as the timer finds it."""

    browser: Browser
    run: RunKey = field(default_factory=lambda: record_of("nba"))

    @property
    def now(self) -> datetime:
        return self.browser.doors.clock.now()

    def find(self, name: str, *, well: bool = False) -> None:
        with self.browser.doors.acting() as home:
            states = home.ports.states
            states.create_run(record("nba", self.now))
            known = incidents_of(states.load(self.run).latches).get(name)
            cause = Cause(name, Severity.PAGE, f"{name} is not well")
            latch = (
                resolved(self.run, known, "is well", self.now)
                if well and known
                else raised(self.run, known, cause, self.now)
            )
            states.claim(
                self.run, control_version=0, latches=[latch], entry=None, due_at=self.now, now=self.now, lease_s=9
            )

    def taken(self) -> dict[str, bool]:
        with self.browser.doors.acting() as home:
            known = incidents_of(home.ports.states.load(self.run).latches)
            return {f"{name}/{alert.number}": alert.acknowledged is not None for name, alert in known.items()}


@pytest.fixture
def beside(browser: Browser) -> Beside:
    return Beside(browser)


def test_a_form_takes_the_incident_that_it_names_and_none_that_came_meanwhile(browser: Browser, beside: Beside) -> None:
    beside.find("health-export_processor")
    path = f"/run/{beside.run}/acknowledge?about=health-export_processor/1"
    assert f'href="{path}" aria-label="Acknowledge health-export_processor of {beside.run}"' in browser.get("/").text
    fields = browser.fill(path, reason="on it")
    assert fields["about"] == "health-export_processor/1"
    beside.find("health-raw_processor")
    assert browser.post(path, fields).status_code == 303
    assert beside.taken() == {"health-export_processor/1": True, "health-raw_processor/1": False}


def test_a_form_whose_incident_is_over_takes_no_later_one_and_says_so(browser: Browser, beside: Beside) -> None:
    beside.find("health-export_processor")
    path = f"/run/{beside.run}/acknowledge?about=health-export_processor/1"
    fields = browser.fill(path, reason="on it")
    beside.find("health-export_processor", well=True)
    beside.find("health-export_processor")
    refused = browser.post(path, fields)
    assert refused.status_code == 409
    assert f"{beside.run}/incident/health-export_processor/1 is over since 2025-12-02 22:10 UTC" in refused.text
    assert f"{beside.run}/incident/health-export_processor/2" in refused.text
    assert 'value="on it"' in refused.text
    assert beside.taken() == {"health-export_processor/2": False}
    again = Fields(refused.text)
    assert again.options == ["health-export_processor/1", "health-export_processor/2"]
    assert again.sent["about"] == "health-export_processor/1"
    browser.post(path, {**again.sent, "about": "health-export_processor/2"})
    assert beside.taken() == {"health-export_processor/2": True}


@pytest.mark.parametrize("about", ["", "stalled", "stalled/x", "stalled/1/raise"])
def test_who_does_not_say_which_incident_takes_none(browser: Browser, beside: Beside, about: str) -> None:
    beside.find("stalled")
    path = f"/run/{beside.run}/acknowledge"
    refused = browser.post(path, {**browser.fill(path, reason="on it"), "about": about})
    assert (refused.status_code, "Choose an incident" in refused.text) == (409, True)
    assert beside.taken() == {"stalled/1": False}


def test_what_an_address_asks_for_is_never_taken_for_another_choice(browser: Browser) -> None:
    fields = browser.fill(f"/run/{SAME_DAY}/skip?about=no_such_processor")
    assert fields["about"] == "no_such_processor"


def test_a_replay_leads_to_the_new_generation(browser: Browser) -> None:
    answer = browser.say(f"/run/{NIGHT}/replay", about="precompute")
    assert answer.headers["Location"] == "/run/nba.2025-12-01.overnight.2?said=0"
    page = words_of(browser.get(answer.headers["Location"]).text)
    assert f"nba.2025-12-01.overnight.2 does {NIGHT} over from precompute, asked for by ann: feed is wrong." in page
    assert "nba.2025-12-01.overnight.2 stands over this run." in words_of(browser.get(f"/run/{NIGHT}").text)


REFUSALS = {
    "no reason": ("hold", {"reason": "  "}, 400, "Say why, for those who read it later."),
    "a reason that moves the cursor": ("hold", {"reason": "bell \x07"}, 400, "is not a line of at most 500"),
    "an end that is no time": ("hold", {"at": "soon"}, 400, "is not a time like"),
    "an end that is over": ("hold", {"at": "2025-12-02T00:00:00+00:00"}, 400, "is not within the next 7 days"),
    "an end too far off": ("hold", {"at": "+8d"}, 400, "is not within the next 7 days"),
    "an override without an end": ("override", {"about": "health", "until": "", "at": ""}, 400, "Say until when."),
    "a critical processor skipped": ("skip", {"about": "schedule"}, 409, "is critical in same_day"),
    "a processor that nobody planned": ("retry", {"about": "boxscores"}, 409, "is not planned in"),
    "a gate that is not reached": ("force", {"about": "export"}, 303, ""),
    "a gate that has opened": ("force", {"about": "raw"}, 409, "gate raw opened at"),
    "a reading that nobody asks for": ("override", {"about": "weather", "at": "+1h"}, 409, "is asked for by no gate"),
}


@pytest.mark.parametrize(("verb", "typed", "status", "told"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_word_comes_back_with_what_to_do_and_all_that_was_typed(
    browser: Browser, verb: str, typed: dict[str, str], status: int, told: str
) -> None:
    answer = browser.say(f"/run/{SAME_DAY}/{verb}", **{"reason": "the feed <b>is</b> wrong", **typed})
    assert answer.status_code == status
    if status == 303:
        return
    assert told in answer.text.replace("&#39;", "'")
    assert not browser.said(SAME_DAY)
    again = Fields(answer.text).sent
    for name, text in {"reason": "the feed <b>is</b> wrong", **typed}.items():
        if name in again and name not in ("about", "until") and text.isprintable():
            assert again[name] == text
    assert "<b>is</b>" not in answer.text


def test_who_else_writes_is_told_and_nothing_is_lost(browser: Browser) -> None:
    answer = next(opened_busy(browser))
    assert answer.status_code == 503
    assert "Nothing was done: somebody else writes" in answer.text
    assert Fields(answer.text).sent["reason"] == "feed is wrong"


def opened_busy(browser: Browser) -> Iterator[TestResponse]:
    path = f"/run/{SAME_DAY}/hold"
    fields = browser.fill(path, reason="feed is wrong")
    browser.doors.busy.append("somebody else writes")
    yield browser.post(path, fields)


@pytest.mark.parametrize("verb", list(BATCH_VERBS))
def test_a_word_on_a_batch_ends_it_or_sends_it_again_once(browser: Browser, verb: str) -> None:
    with browser.doors.acting() as home:
        create_tables(home.warehouse)
    path = f"/batch/{BATCH}/{verb}"
    fields = browser.fill(path, reason="feed is wrong")
    first, again = browser.post(path, fields), browser.post(path, fields)
    assert (first.status_code, again.status_code) == (303, 303), first.text
    page = browser.get(first.headers["Location"]).text
    with browser.doors.reading() as home:
        assert home
        record = home.batches.load(BATCH)
    assert record
    if verb == "recover":
        assert [word.verb for word in browser.said(SAME_DAY)] == ["recover"]
        assert "Its orders that are under way were sent again" in page
        return
    assert record.seal
    assert record.seal.act
    assert (record.seal.act.actor, record.seal.act.reason) == ("ann", "feed is wrong")
    assert "by ann: feed is wrong" in page
    assert f"/batch/{BATCH}/{verb}" not in page, "what has ended is not ended again"


@pytest.mark.parametrize("verb", list(LETTER_VERBS))
def test_dead_letters_are_dealt_with_once_and_kept_as_a_word_on_their_run(browser: Browser, verb: str) -> None:
    with browser.doors.reading() as home:
        assert home
        ids = [letter.id for letter in sights.letters(home)]
    path = f"/letters/{verb}?" + "&".join(f"id={id}" for id in ids)
    fields = browser.fill(path, reason="feed is mended")
    assert fields["id"] == ids
    answer = browser.post(path, fields)
    assert answer.headers["Location"] == f"/letters?said={verb}&done=2&left=0"
    assert "2 messages were" in browser.get(answer.headers["Location"]).text
    assert [(word.verb, word.act.reason) for word in browser.said(NIGHT)] == [(verb, "feed is mended")]
    again = browser.post(path, fields)
    assert (again.status_code, "somebody has dealt with it, or you have" in again.text) == (404, True)
    assert len(browser.said(NIGHT)) == 1


# --- whose forms ----------------------------------------------------------------------------------------


STRANGERS = {
    "another site's": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another site's, by an old browser": {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
    "another server's of this machine": {"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"},
    "a sandboxed frame's": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "typed into the address bar": {"Origin": "", "Sec-Fetch-Site": "none"},
    "no browser's": {"Origin": "", "Sec-Fetch-Site": ""},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_a_form_from_elsewhere_does_nothing_and_nothing_of_it_is_shown(
    browser: Browser, headers: dict[str, str]
) -> None:
    path = f"/run/{SAME_DAY}/cancel"
    fields = browser.fill(path, reason="typed by a stranger")
    answer = browser.post(path, fields, **headers)
    assert answer.status_code == 403
    assert "This did not come from here" in answer.text
    assert "typed by a stranger" not in answer.text
    assert not browser.said(SAME_DAY)


FORGED = {
    "no token": {"token": ""},
    "a made up one": {"token": "0" * 64},
    "one that is no text of ours": {"token": "\u20ac" * 10},
    "another time": {"asked_at": "2025-12-02T22:09:59+00:00"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_form_that_was_not_made_here_for_this_does_nothing(browser: Browser, forged: dict[str, str]) -> None:
    path = f"/run/{SAME_DAY}/cancel"
    answer = browser.post(path, {**browser.fill(path, reason="feed is wrong"), **forged})
    assert answer.status_code == 403
    assert Fields(answer.text).sent["reason"] == "feed is wrong"
    assert not browser.said(SAME_DAY)
    retried = browser.post(path, Fields(answer.text).sent)
    assert retried.status_code == 303, "looked at once more, it may be sent"


def test_the_token_of_one_form_is_none_of_anothers(browser: Browser) -> None:
    fields = browser.fill(f"/run/{SAME_DAY}/hold", reason="feed is wrong")
    assert browser.post(f"/run/{SAME_DAY}/cancel", fields).status_code == 403
    assert browser.post(f"/run/{BLOCKED}/hold", fields).status_code == 403


def test_without_the_browsers_own_key_it_is_none(browser: Browser) -> None:
    path = f"/run/{SAME_DAY}/hold"
    fields = browser.fill(path, reason="feed is wrong")
    browser.client.delete_cookie(guard.COOKIE, domain="127.0.0.1")
    assert browser.post(path, fields).status_code == 403
    assert not browser.said(SAME_DAY)


def test_a_form_that_was_left_open_for_a_day_asks_once_more(browser: Browser) -> None:
    path = f"/run/{SAME_DAY}/hold"
    fields = browser.fill(path, reason="feed is wrong")
    browser.doors.clock.time += timedelta(hours=13)
    answer = browser.post(path, fields)
    assert (answer.status_code, "has been open for long" in answer.text) == (403, True)


def test_the_key_goes_to_no_script_and_to_no_other_site(browser: Browser) -> None:
    cookie = browser.get(f"/run/{SAME_DAY}/hold").headers["Set-Cookie"]
    assert re.fullmatch(r"tipoff=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", cookie)
    assert "Set-Cookie" not in browser.get(f"/run/{SAME_DAY}/hold").headers, "it keeps the one that it has"
    assert guard.set_cookie("k", secure=True) == "__Host-tipoff=k; Path=/; HttpOnly; SameSite=Strict; Secure"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_what_is_only_looked_at_takes_nothing(browser: Browser, method: str) -> None:
    headers = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    answer = browser.client.open(f"/run/{SAME_DAY}", base_url=HERE, method=method, headers=headers, data={"a": "b"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"reason=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b'{"reason": "x"}', "application/json", 400),
        (b"reason=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 500, "application/x-www-form-urlencoded", 400),
        (b"asked_at=now", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded", 400),
    ],
    ids=["too large", "no form", "no text", "too many fields", "no time", "nothing"],
)
def test_a_form_that_cannot_be_read_says_so(browser: Browser, body: bytes, kind: str, status: int) -> None:
    headers = {"Origin": HERE, "Sec-Fetch-Site": "same-origin", "Content-Type": kind}
    answer = browser.client.post(f"/run/{SAME_DAY}/hold", base_url=HERE, data=body, headers=headers)
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert not browser.said(SAME_DAY)


# --- who asks -------------------------------------------------------------------------------------------


def test_another_name_for_this_machine_is_refused(browser: Browser) -> None:
    """A stranger's name may be made to lead to 127.0.0.1, and his page would then read ours."""
    answer = browser.client.get("/", base_url="http://evil.example")
    assert answer.status_code == 421
    assert str(browser.doors.path) not in answer.text


def test_deployed_it_answers_by_its_own_name_and_its_key_is_for_tls_alone(day: Path, tmp_path: Path) -> None:
    for browser in opened(day, tmp_path, lambda site: replace(site, is_local=False)):  # as behind IAP
        answer = browser.client.get(f"/run/{SAME_DAY}/hold", base_url="https://runs.example.com")
        assert answer.status_code == 200
        assert answer.headers["Set-Cookie"].startswith("__Host-tipoff=")
        assert answer.headers["Set-Cookie"].endswith("; Secure")
        fields = {**Fields(answer.text).sent, "reason": "feed is wrong"}
        headers = {"Origin": "https://runs.example.com", "Sec-Fetch-Site": "same-origin"}
        path = f"/run/{SAME_DAY}/hold"
        told = browser.client.post(path, base_url="https://runs.example.com", data=fields, headers=headers)
        assert told.status_code == 303
        assert [word.verb for word in browser.said(SAME_DAY)] == ["hold"]


THROUGH = {  # gcloud's proxy, which asks by the service's name and leaves where the browser says that a form comes from
    "as a browser sends it": ("http://127.0.0.1:8080", "same-origin", 303),
    "by the other name": ("http://localhost:8080", "same-origin", 303),
    "by the new one": ("http://[::1]:8080", "same-origin", 303),
    "another server's of this machine": ("http://127.0.0.1:9999", "same-site", 403),
    "another site's": ("https://evil.example", "cross-site", 403),
    "another site's name that leads here": ("http://evil.example:8080", "", 403),
    "one that begins like ours": ("http://127.0.0.1.evil.example:8080", "same-origin", 403),
    "a browser's that does not say how near": ("http://127.0.0.1:8080", "", 403),
    "no browser's": ("", "", 403),
    "no address": ("http://[", "same-origin", 403),
    "a sandboxed frame's": ("null", "cross-site", 403),
}


@pytest.mark.parametrize(("origin", "site", "status"), THROUGH.values(), ids=THROUGH)
def test_through_gclouds_proxy_a_form_is_taken_from_this_machine_and_from_the_same_page_alone(
    day: Path, tmp_path: Path, origin: str, site: str, status: int
) -> None:
    path, ann = f"/run/{SAME_DAY}/hold", {"Authorization": f"Bearer {token_of('ann@example.com')}"}
    told = {"Origin": origin, "Sec-Fetch-Site": site, **ann}
    for browser in opened(day, tmp_path, deployed):
        base_url = f"https://{SERVICE_HOST}"
        fields = Fields(browser.client.get(path, base_url=base_url, headers=ann).text).sent
        headers = {name: text for name, text in told.items() if text}
        sent = {**fields, "reason": "feed is wrong"}
        assert browser.client.post(path, base_url=base_url, data=sent, headers=headers).status_code == status
        assert [word.act.actor for word in browser.said(SAME_DAY)] == (["ann@example.com"] if status == 303 else [])


@pytest.mark.parametrize("forged", ["token", "cookie"])
def test_through_gclouds_proxy_a_form_needs_its_token_and_its_browsers_key(
    day: Path, tmp_path: Path, forged: str
) -> None:
    path, ann = f"/run/{SAME_DAY}/hold", {"Authorization": f"Bearer {token_of('ann@example.com')}"}
    for browser in opened(day, tmp_path, deployed):
        base_url = f"https://{SERVICE_HOST}"
        fields = Fields(browser.client.get(path, base_url=base_url, headers=ann).text).sent
        if forged == "token":
            fields["token"] = "0" * 64
        else:
            browser.client.delete_cookie(guard.COOKIE_SECURE, domain=SERVICE_HOST)
        told = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin", **ann}
        sent = {**fields, "reason": "feed is wrong"}
        assert browser.client.post(path, base_url=base_url, data=sent, headers=told).status_code == 403
        assert not browser.said(SAME_DAY)


@pytest.mark.parametrize("change", [{"is_tunnelled": False}, {"is_local": True, "is_tunnelled": False}], ids=str)
def test_where_gclouds_proxy_does_not_stand_before_it_a_form_comes_from_its_own_address(
    day: Path, tmp_path: Path, change: dict[str, bool]
) -> None:
    path, ann = f"/run/{SAME_DAY}/hold", {"Authorization": f"Bearer {token_of('ann@example.com')}"}
    for browser in opened(day, tmp_path, lambda site: replace(deployed(site), **change)):
        base_url = "http://127.0.0.1:8081" if change.get("is_local") else f"https://{SERVICE_HOST}"
        fields = Fields(browser.client.get(path, base_url=base_url, headers=ann).text).sent
        told = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin", **ann}
        sent = {**fields, "reason": "feed is wrong"}
        assert browser.client.post(path, base_url=base_url, data=sent, headers=told).status_code == 403
        assert not browser.said(SAME_DAY)


def test_deployed_a_word_is_said_through_gclouds_proxy(browser: Browser) -> None:
    path = f"/run/{SAME_DAY}/hold"
    with serving(deployed(site_of(browser.doors))) as service, tunnelling(service, "ann@example.com") as url:
        session = requests.Session()
        asked = session.get(url + path, timeout=30)
        key = asked.headers["Set-Cookie"].partition(";")[0]  # a browser keeps it here without TLS; this one would not
        told = {"Origin": url, "Sec-Fetch-Site": "same-origin", "Cookie": key}
        sent = {**Fields(asked.text).sent, "reason": "feed is wrong"}
        answer = session.post(url + path, sent, headers=told, timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/run/{SAME_DAY}?said=0")
    assert [(word.verb, word.act.actor) for word in browser.said(SAME_DAY)] == [("hold", "ann@example.com")]


def test_gclouds_proxy_stands_before_it_where_iam_lets_people_in(tmp_path: Path) -> None:
    cloud = {"TIPOFF_TARGET": "gcp", "GOOGLE_CLOUD_PROJECT": "tipoff-dev", "TIPOFF_EXPORTS": "gs://x/nba"}
    audience = "/projects/1/global/backendServices/2"
    assert is_tunnelled(read_settings(cloud))
    assert not is_tunnelled(read_settings({**cloud, "TIPOFF_IAP_AUDIENCE": audience}))
    assert not is_tunnelled(read_settings({"TIPOFF_TARGET": "local"}))


def test_deployed_somebody_must_have_been_verified(day: Path, tmp_path: Path) -> None:
    for browser in opened(day, tmp_path, lambda site: replace(site, who=verified)):
        assert browser.get("/").status_code == 403
        assert browser.get("/", Authorization="Bearer e30.eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5jb20ifQ.x").status_code == 200
        assert "ann@example.com" in browser.get(
            "/", Authorization="Bearer e30.eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5jb20ifQ.x"
        ).text  # fmt: skip
        assert browser.get("/style.css").status_code == 200


def test_nobody_is_nobody_deployed_and_who_sits_here_on_emulators() -> None:
    with pytest.raises(Nobody):
        verified({})
    assert here({}) == login_name()
    assert here({"Authorization": "Bearer e30.eyJlbWFpbCI6ICJhbm5AZXhhbXBsZS5jb20ifQ.x"}) == "ann@example.com"


def all_said(browser: Browser, run: RunKey) -> list[Word]:
    """Of every generation of a run."""
    with browser.doors.reading() as home:
        assert home
        keys = home.states.runs(run.pipeline, run.date, run.date)
        return [word for key in keys if key.mode == run.mode for word in home.states.load(key).control.said]


def words_of(html: str) -> str:
    """The text of a page, as it is read."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
