"""From values to HTML: whatever a value says, it is text on the page, and every state has its word."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from orchestration.dashboard import pages
from orchestration.dashboard.pages import Frame
from orchestration.dashboard.sights import Opened
from shared.core.batch_status import BatchState
from shared.core.model import Alert, RunKey, Severity
from shared.core.status import PhaseState, RunState

NOW = datetime(2025, 12, 2, 22, 10, tzinfo=timezone.utc)
FRAME = Frame(now=NOW, who="ann", where="home .tipoff", poll_s=5, zone="America/New_York")
HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202eevil\x07\nnext"


class Page(HTMLParser):
    """The elements and the text of a page, as a browser would read them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def incident(summary: str) -> Opened:
    alert = Alert(cause="stalled", number=1, severity=Severity.PAGE, summary=summary, at=NOW)
    return Opened(run=RunKey("nba", date(2025, 12, 1), "overnight"), alert=alert, ended_at=None)


def test_what_a_stranger_wrote_is_text_and_its_odd_characters_are_their_numbers() -> None:
    page = Page(pages.render("incidents.html", FRAME, incidents=[incident(HOSTILE)], days=7, notice=""))
    assert "img" not in page.tags
    assert "onerror" not in dict(page.attributes)
    assert "<img src=x onerror=alert(1)>\"'&\\u202eevil\\x07\\nnext" in page.text


def test_it_is_text_in_an_attribute_too() -> None:
    frame = Frame(now=NOW, who=HOSTILE, where=HOSTILE, poll_s=5, zone="UTC")
    page = Page(pages.render("sorry.html", frame, title=HOSTILE, why=HOSTILE, remedy=HOSTILE))
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_no_page_has_script_or_style_of_its_own() -> None:
    """The policy on every answer would stop them, and the page would not work."""
    for template in pages.HERE.glob("*.html"):
        page = Page(template.read_text(encoding="utf-8"))
        assert "style" not in page.tags, template.name
        assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"], template.name
        text = template.read_text(encoding="utf-8")
        assert text.count("<script") == text.count('<script src="/poll.js"'), template.name
        assert "|safe" not in text, f"{template.name}: nothing is put on a page unescaped"


def test_a_name_that_a_template_misspells_raises() -> None:
    with pytest.raises(UndefinedError):
        pages.render("incidents.html", FRAME, incidents=[])


@pytest.mark.parametrize(
    "state", [*RunState, *PhaseState, *(each for each in BatchState if each is not BatchState.OPEN)]
)
def test_every_state_has_its_tone(state: RunState | PhaseState | BatchState) -> None:
    calm = (PhaseState.WAITING, PhaseState.NOT_NEEDED)
    assert (pages.tone(state) == "calm") == (state in calm)


@pytest.mark.parametrize(
    ("completeness", "text"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.888, "88.8 %"), (0.0, "0 %"), (0.5, "50 %")]
)
def test_a_share_is_never_rounded_up_to_all(completeness: float, text: str) -> None:
    assert pages.share(completeness) == text


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NOW - timedelta(minutes=5), "22:05:00"),
        (NOW - timedelta(days=1), "2025-12-01 22:10:00"),
        (NOW + timedelta(hours=2), "2025-12-03 00:10:00"),
    ],
    ids=["today the time alone", "another day with its date", "also one that is ahead"],
)
def test_a_time_is_told_with_its_day_where_that_is_not_todays(instant: datetime, text: str) -> None:
    shown = str(pages.moment(instant, FRAME))
    assert f">{text}</time>" in shown
    assert 'title="2025-12-0' in shown
    assert "EST" in shown, "whoever points at it sees the pipeline's own time"


def test_a_time_says_how_far_off_it_is() -> None:
    assert "(in 60 min)" in str(pages.stamp(NOW + timedelta(hours=1), FRAME))
    assert "(5 min ago)" in str(pages.stamp(NOW - timedelta(minutes=5), FRAME))
    assert str(pages.stamp(None, FRAME)) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`tipoff run <x>` goes on", "<code>tipoff run &lt;x&gt;</code> goes on"),
        ("no command & none", "no command &amp; none"),
        ("one ` alone", "one ` alone"),
        ("`a`\u202e`b`", "<code>a</code>\\u202e<code>b</code>"),
    ],
)
def test_a_command_in_a_sentence_is_code(text: str, shown: str) -> None:
    assert str(pages.ticks(text)) == shown


RUN = "nba.2025-12-01.overnight.1"


@pytest.mark.parametrize(
    ("command", "address"),
    [
        (f"tipoff retry {RUN} boxscores --reason TEXT", f"/run/{RUN}/retry?about=boxscores"),
        (f"tipoff force {RUN} analytics --reason TEXT --home 'my home'", f"/run/{RUN}/force?about=analytics"),
        (f"tipoff override {RUN} freshness --until +1h", f"/run/{RUN}/override?about=freshness"),
        (f"tipoff release {RUN} --reason TEXT", f"/run/{RUN}/release"),
        (f"tipoff replay {RUN} --from raw --reason TEXT", f"/run/{RUN}/replay?about=raw"),
        (f"tipoff replay {RUN} --reason TEXT", f"/run/{RUN}/replay"),
        ("tipoff run nba --date 2025-12-01 --mode overnight --data DIR --look-again", ""),
    ],
)
def test_what_helps_leads_to_the_page_that_says_it(command: str, address: str) -> None:
    assert pages.word_link(command) == address
