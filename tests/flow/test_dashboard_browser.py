"""The dashboard as people use it: in a headless Chromium, with and without a mouse, on a phone, in the dark.

Where there is no Chromium these are skipped and say how to get one; with REQUIRE_EMULATORS=1 they fail instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from data_processors.nba.runner import create_tables
from orchestration.dashboard import verbs
from orchestration.dashboard.verbs import BATCH_VERBS, LETTER_VERBS, RUN_VERBS
from shared.core.model import Act, RunKey, Word
from shared.wiring import STATE_FILE
from tests.flow.chromium import chromium_absent_is_said, open_chromium
from tests.flow.dashboards import (
    BATCH,
    BLOCKED,
    FAILED,
    NIGHT,
    SAME_DAY,
    HandDoors,
    deployed,
    interesting_day,
    kept_in,
    serving,
    site_of,
    tunnelling,
)

PAGES = {
    "the day": "/",
    "another day": "/?date=2024-01-01",
    "a night": f"/run/{NIGHT}",
    "a failed night": f"/run/{FAILED}",
    "a day under way": f"/run/{SAME_DAY}",
    "a blocked day": f"/run/{BLOCKED}",
    "a ledger": f"/ledger/{NIGHT}",
    "batches": "/batches",
    "a batch": f"/batch/{BATCH}",
    "incidents": "/incidents",
    "dead letters": "/letters",
    "schedules": "/schedules",
    "objectives": "/slos",
    "a summary": "/summary",
    "what is not there": "/nothing",
    "a hold": f"/run/{SAME_DAY}/hold",
    "a force": f"/run/{BLOCKED}/force",
    "the end of a batch": f"/batch/{BATCH}/seal",
}
SIZES = {"a desk": (1280, 800), "a phone": (360, 740)}


@dataclass
class View:
    """A page in a browser, what it complained of, and the home behind it."""

    page: Any
    url: str
    doors: HandDoors
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        return self.page.goto(self.url + path)

    def said(self, run: RunKey) -> list[str]:
        with self.doors.reading() as home:
            assert home
            keys = [key for key in home.states.runs(run.pipeline, run.date, run.date) if key.mode == run.mode]
            return [word.verb for key in keys for word in home.states.load(key).control.said]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_absent_is_said(), open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interesting_day(tmp_path_factory.mktemp("day")).path


Open = Callable[..., Any]


@pytest.fixture
def open_view(chromium: Any, day: Path, tmp_path: Path) -> Open:
    """Opens pages of a home of their own, as a browser with these options would."""
    home = tmp_path / "home"
    home.mkdir()
    (home / STATE_FILE).write_bytes((day / STATE_FILE).read_bytes())
    doors = HandDoors(home)

    @contextmanager
    def opened(*, poll_s: int = 60, **options: Any) -> Iterator[View]:
        with serving(site_of(doors, poll_s=poll_s)) as url:
            context = chromium.new_context(**options)
            context.set_default_timeout(10_000)
            view = View(context.new_page(), url, doors)
            view.page.on("console", lambda message: view.complaints.append(message.text))
            view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
            yield view
            context.close()

    return opened


# --- how pages are --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_every_page_is_whole_readable_and_says_nothing_to_the_console(
    open_view: Open, size: tuple[int, int], scheme: str
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    with open_view(viewport=viewport, color_scheme=scheme) as view:
        for name, path in PAGES.items():
            status = view.go(path).status
            assert status == (404 if path == "/nothing" else 200), name
            assert view.page.evaluate(WIDTH) <= size[0], f"{name} is wider than its window"
            assert view.page.evaluate(FAINT) == [], f"{name} has text that cannot be read"
            assert view.page.evaluate(NAMELESS) == [], f"{name} has something without a name"
            assert view.page.locator("h1").count() == 1, name
        assert [text for text in view.complaints if "404" not in text] == []


WIDTH = "document.documentElement.scrollWidth"
NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select')]
  .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"""
FAINT = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const found = parse(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length)
    .map(e => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
      return [Math.round((a + .05) / (b + .05) * 10) / 10, e.className, e.textContent.trim().slice(0, 40)];
    })
    .filter(([ratio]) => ratio < 4.5);
}"""
"""Text whose contrast with what is behind it is below what WCAG asks for (AA)."""


def test_what_a_stranger_wrote_runs_nowhere(open_view: Open) -> None:
    with open_view() as view:
        view.page.on("dialog", lambda dialog: view.complaints.append("a dialog"))
        for path in ("/letters", f"/batch/{BATCH}"):
            view.go(path)
            assert "<script>alert('x')</script>" in view.page.inner_text("main")
        view.page.goto(view.url + "/letters")
        view.page.locator("a.run").first.click()
        assert "alert('x')" in view.page.inner_text("pre")
        assert view.complaints == []


def test_no_link_changes_anything(open_view: Open) -> None:
    """Whoever follows every link there is has only looked."""
    with open_view() as view:
        before = kept_in(view.doors.path)
        seen, ahead = set[str](), ["/"]
        while ahead:
            path = ahead.pop()
            if path in seen or len(seen) > 150:
                continue
            seen.add(path)
            answer = view.page.request.get(view.url + path)
            assert answer.status == 200, path
            view.page.set_content(answer.text(), wait_until="commit")
            links = view.page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
            ahead += [link for link in links if link.startswith("/") and "date=" not in link]
        assert len(seen) > 40
        assert f"/run/{BLOCKED}/cancel" in seen
        assert kept_in(view.doors.path) == before


# --- words ----------------------------------------------------------------------------------------------

RUNS = {"retry": BLOCKED, "force": BLOCKED, "override": BLOCKED, "look_again": NIGHT, "replay": NIGHT}
ABOUT = {
    "retry": "schedule",
    "force": "raw",
    "override": "health",
    "replay": "precompute",
    "skip": "team_defense_zone_analysis",
}


@pytest.mark.parametrize("verb", [verb for verb in RUN_VERBS if verb not in ("release", "skip", "acknowledge")])
def test_every_word_on_a_run_is_said_by_its_button(open_view: Open, verb: str) -> None:
    run = RUNS.get(verb, SAME_DAY)
    with open_view() as view:
        view.go(f"/run/{run}")
        view.page.click(f'a[href="/run/{run}/{verb}"]')
        assert "What will happen." in view.page.inner_text("form")
        if verb in ABOUT:
            view.page.select_option("#about", ABOUT[verb])
        view.page.fill("#reason", "feed is wrong")
        view.page.click("button.do")
        assert urlsplit(view.page.url).path.startswith(f"/run/{run.pipeline}.{run.date}.{run.mode}.")
        assert "ann: feed is wrong" in view.page.inner_text("[role=status].good")
        assert view.said(run) == [verb]
        assert view.complaints == []
        if verb == "hold":
            view.page.click(f'a[href="/run/{run}/release"]')
            view.page.fill("#reason", "feed is mended")
            view.page.click("button.do")
            assert "is released by ann: feed is mended" in view.page.inner_text("[role=status].good")
            assert view.said(run) == ["hold", "release"]


def test_an_incident_is_taken_from_the_day(open_view: Open) -> None:
    with open_view() as view:
        view.go("/")
        view.page.click("text=acknowledge >> nth=0")
        view.page.fill("#reason", "on it")
        view.page.click("button.do")
        assert "stalled by ann: on it" in view.page.inner_text("[role=status].good")
        view.go("/")
        assert "ann has it" in view.page.inner_text(".banner.bad")


def test_what_is_not_planned_to_be_optional_any_more_is_skipped(open_view: Open) -> None:
    """The night of a new generation has optional processors ahead."""
    with open_view() as view:
        again = RunKey(NIGHT.pipeline, NIGHT.date, NIGHT.mode, 2)
        with view.doors.acting() as home:
            act = Act(actor="ben", reason="over", at=view.doors.clock.now())
            verbs.say(home, NIGHT, Word(verb="replay", about="precompute", act=act), act.at)
        view.go(f"/run/{again}/skip")
        view.page.select_option("#about", ABOUT["skip"])
        view.page.fill("#reason", "its table is being rebuilt")
        view.page.click("button.do")
        told = view.page.inner_text("[role=status].good")
        assert told == f"{again} goes on without {ABOUT['skip']}, skipped by ann: its table is being rebuilt."


@pytest.mark.parametrize("verb", list(BATCH_VERBS))
def test_every_word_on_a_batch_is_said_by_its_button(open_view: Open, verb: str) -> None:
    with open_view() as view:
        with view.doors.acting() as home:
            create_tables(home.warehouse)
        view.go(f"/batch/{BATCH}")
        view.page.click(f'a[href="/batch/{BATCH}/{verb}"]')
        view.page.fill("#reason", "feed is wrong")
        view.page.click("button.do")
        assert urlsplit(view.page.url).path == f"/batch/{BATCH}"
        told = view.page.inner_text("[role=status].good")
        assert ("sent again" if verb == "recover" else "by ann: feed is wrong") in told
        assert view.complaints == []


@pytest.mark.parametrize("verb", list(LETTER_VERBS))
def test_chosen_messages_are_dealt_with(open_view: Open, verb: str) -> None:
    with open_view() as view:
        view.go("/letters")
        for box in view.page.locator("input[type=checkbox]").all():
            box.check()
        view.page.click(f"button:has-text('{verb.capitalize()}')")
        view.page.fill("#reason", "feed is mended")
        view.page.click("button.do")
        assert view.page.inner_text("[role=status].good").startswith("2 messages were")
        assert view.page.locator("input[type=checkbox]").count() == 0
        assert view.said(NIGHT) == [verb]


def test_a_day_is_gone_to(open_view: Open) -> None:
    with open_view() as view:
        view.go("/")
        view.page.fill("input[type=date]", "2025-12-01")
        view.page.click("button:has-text('Go')")
        assert "Monday, 1 December 2025" in view.page.inner_text("h1")


def test_a_refusal_keeps_what_was_typed_and_says_what_to_do(open_view: Open) -> None:
    with open_view() as view:
        view.go(f"/run/{SAME_DAY}/hold")
        view.page.fill("#at", "soon")
        view.page.fill("#reason", 'the feed is "wrong" & <late>')
        view.page.click("button.do")
        assert "'soon' is not a time like 2024-01-15T18:00:00+00:00" in view.page.inner_text("[role=alert]")
        assert view.page.input_value("#reason") == 'the feed is "wrong" & <late>'
        view.page.fill("#at", "+2h")
        view.page.press("#at", "Enter")
        assert "is held until 2025-12-03 00:10:00 UTC" in view.page.inner_text("[role=status].good")


def test_pressed_twice_a_button_says_it_once(open_view: Open) -> None:
    with open_view() as view:
        view.go(f"/run/{NIGHT}/replay")
        view.page.fill("#reason", "feed was wrong")
        view.page.dblclick("button.do")
        view.page.wait_for_url("**/run/nba.2025-12-01.overnight.2*")
        assert view.said(NIGHT) == ["replay"]
        view.page.reload()
        assert view.said(NIGHT) == ["replay"]
        view.page.go_back()
        assert view.page.input_value("#reason") == "", "who goes back is asked anew"


def test_without_javascript_everything_works(open_view: Open) -> None:
    with open_view(java_script_enabled=False) as view:
        view.go("/")
        view.page.click(f'a[href="/run/{BLOCKED}"] >> nth=0')
        view.page.click("a.button:has-text('another attempt now')")
        view.page.fill("#reason", "feed is mended")
        view.page.click("button.do")
        assert "of nba.2025-12-03.tomorrow.1 is tried again" in view.page.inner_text("[role=status].good")
        assert view.page.locator("noscript").count() == 1, "and it loads again by itself"


# --- by keyboard ----------------------------------------------------------------------------------------


def test_by_keyboard_alone_a_run_is_found_and_held(open_view: Open) -> None:
    with open_view() as view:
        view.go("/")
        view.page.keyboard.press("Tab")
        assert view.page.evaluate("document.activeElement.className") == "skip", "first a way past the bar"
        view.page.keyboard.press("Enter")
        assert view.page.evaluate("document.activeElement.id") == "main"
        press_until(view.page, lambda: focused(view.page, "href") == f"/run/{SAME_DAY}")
        view.page.keyboard.press("Enter")
        view.page.wait_for_url(f"**/run/{SAME_DAY}")
        press_until(view.page, lambda: focused(view.page, "href") == f"/run/{SAME_DAY}/hold")
        view.page.keyboard.press("Enter")
        view.page.wait_for_url("**/hold")
        press_until(view.page, lambda: focused(view.page, "id") == "until")
        view.page.keyboard.press("ArrowDown")
        press_until(view.page, lambda: focused(view.page, "id") == "reason")
        view.page.keyboard.type("feed is wrong")
        view.page.keyboard.press("Enter")
        view.page.wait_for_url("**said=0")
        assert "is held until 2025-12-02 22:40:00 UTC" in view.page.inner_text("[role=status].good")


def focused(page: Any, attribute: str) -> Any:
    return page.evaluate(f"document.activeElement.getAttribute('{attribute}')")


def press_until(page: Any, there: Callable[[], bool]) -> None:
    """By Tab; on the way each stop can be seen."""
    for _ in range(80):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus is seen"
        if there():
            return
    raise AssertionError("no Tab leads there")


# --- following what happens -----------------------------------------------------------------------------


def hold(doors: HandDoors) -> None:
    with doors.acting() as home:
        act = Act(actor="ben", reason="feed is late", at=doors.clock.now())
        verbs.say(home, SAME_DAY, Word(verb="hold", about="", act=act), act.at)


def test_a_page_follows_what_happens_and_leaves_the_reader_where_he_is(open_view: Open) -> None:
    with open_view(poll_s=1) as view:
        view.go(f"/run/{SAME_DAY}")
        view.page.click("#phase-raw > summary")
        view.page.focus("#phase-analytics > summary")
        hold(view.doors)
        view.page.wait_for_selector("text=held by ben: feed is late")
        assert view.page.evaluate("document.querySelector('#phase-raw').open"), "what he opened stays open"
        assert view.page.evaluate("document.activeElement.parentElement.id") == "phase-analytics"
        assert view.complaints == []


def test_a_page_does_not_change_under_a_selection(open_view: Open) -> None:
    with open_view(poll_s=1) as view:
        view.go(f"/run/{SAME_DAY}")
        view.page.evaluate("getSelection().selectAllChildren(document.querySelector('.lead'))")
        hold(view.doors)
        view.page.wait_for_timeout(2_500)
        assert "held by ben" not in view.page.inner_text(".lead")
        view.page.evaluate("getSelection().removeAllRanges()")
        view.page.wait_for_selector("text=held by ben: feed is late")


def test_a_page_that_cannot_be_brought_up_to_date_says_so_until_it_can(open_view: Open) -> None:
    with open_view(poll_s=1) as view:
        view.go("/")
        assert view.page.locator("#stale").is_hidden()
        view.page.route("**/*", lambda route: route.abort())
        view.page.wait_for_selector("#stale:visible")
        view.page.unroute("**/*")
        view.page.wait_for_selector("#stale", state="hidden")


# --- deployed -------------------------------------------------------------------------------------------


@pytest.fixture
def through(open_view: Open) -> Iterator[View]:
    """The deployed dashboard, by a proxy as gcloud's: over http, and by another name than its own."""
    with (
        open_view() as view,
        serving(deployed(site_of(view.doors))) as service,
        tunnelling(service, "ann@example.com") as url,
    ):
        view.url = url
        yield view


def test_through_gclouds_proxy_a_word_is_said(through: View) -> None:
    through.go(f"/run/{SAME_DAY}/hold")
    [kept] = through.page.context.cookies()
    assert (kept["name"], kept["sameSite"], kept["httpOnly"]) == ("__Host-tipoff", "Strict", True)
    through.page.fill("#reason", "feed is wrong")
    through.page.click("button.do")
    through.page.wait_for_url(f"{through.url}/run/{SAME_DAY}?said=0")
    with through.doors.reading() as home:
        assert home
        assert [word.act.actor for word in home.states.load(SAME_DAY).control.said] == ["ann@example.com"]
    assert through.complaints == []


def test_through_gclouds_proxy_the_form_of_another_server_of_this_machine_does_nothing(through: View) -> None:
    """It is of the same site, so the key goes with it; the browser says that it is of another origin."""
    through.go(f"/run/{SAME_DAY}/cancel")
    beside = through.url.rpartition(":")[0] + ":9/"
    attack = ATTACK.format(url=through.url, run=SAME_DAY)
    through.page.route(beside, lambda route: route.fulfill(body=attack, content_type="text/html"))
    through.page.goto(beside)
    through.page.wait_for_url(f"**/run/{SAME_DAY}/cancel")
    assert "This did not come from here" in through.page.inner_text("h1")
    assert through.said(SAME_DAY) == []


# --- strangers ------------------------------------------------------------------------------------------

ATTACK = """<!doctype html><title>evil</title><form id="f" method="post" action="{url}/run/{run}/cancel">
<input name="reason" value="free tickets"><input name="asked_at" value="2025-12-02T22:10:00+00:00">
<input name="token" value="0"></form><script>document.getElementById('f').submit()</script>"""
EVIL = "http://evil.example/"


def test_another_sites_form_does_nothing(open_view: Open) -> None:
    with open_view() as view:
        view.go(f"/run/{SAME_DAY}/cancel")
        attack = ATTACK.format(url=view.url, run=SAME_DAY)
        view.page.route(EVIL, lambda route: route.fulfill(body=attack, content_type="text/html"))
        view.page.goto(EVIL)
        view.page.wait_for_url(f"**/run/{SAME_DAY}/cancel")
        assert "This did not come from here" in view.page.inner_text("h1")
        assert "free tickets" not in view.page.content()
        assert view.said(SAME_DAY) == []


def test_another_site_shows_no_page_of_ours_in_a_frame(open_view: Open) -> None:
    with open_view() as view:
        frame = f'<!doctype html><title>evil</title><iframe src="{view.url}/run/{SAME_DAY}/cancel"></iframe>'
        view.page.route(EVIL, lambda route: route.fulfill(body=frame, content_type="text/html"))
        view.page.goto(EVIL)
        assert view.page.frames[1].url == "chrome-error://chromewebdata/"


def test_another_site_cannot_read_a_page(open_view: Open) -> None:
    with open_view() as view:
        view.page.route(EVIL, lambda route: route.fulfill(body="<title>evil</title>", content_type="text/html"))
        view.page.goto(EVIL)
        with pytest.raises(Exception, match="Failed to fetch"):
            view.page.evaluate(f"fetch('{view.url}/').then(answer => answer.text())")
