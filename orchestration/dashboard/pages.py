"""From values to HTML: pure, and nothing that a value holds can be more than text in it.

Every text is escaped for HTML, and a character that could turn a line or hide in it is shown as its number. A name that
a template misspells raises.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestration import wording
from orchestration.dashboard.sights import gate_name
from shared.core import summary_card
from shared.core.batch_status import BatchState
from shared.core.messages import run_of
from shared.core.status import PhaseState, PhaseStatus, RunState, RunStatus

HERE = Path(__file__).parent
FILES = {
    "style.css": "text/css; charset=utf-8",
    "poll.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What lies beside the pages and is sent as it is."""

TONES: Mapping[str, str] = {
    **dict.fromkeys((RunState.PUBLISHED, RunState.NOTHING_EXPECTED, PhaseState.COMPLETE, BatchState.ENDED), "good"),
    **dict.fromkeys((RunState.DEGRADED, RunState.BLOCKED, PhaseState.DEGRADED, PhaseState.BLOCKED), "poor"),
    **dict.fromkeys((BatchState.EXPIRED, BatchState.SEALED, BatchState.CANCELLED), "poor"),
    **dict.fromkeys((RunState.RUNNING, PhaseState.RUNNING, BatchState.CONSOLIDATING), "busy"),
    **dict.fromkeys((RunState.FAILED, PhaseState.FAILED), "bad"),
    "open": "good",
    "done": "good",
    "pass": "good",
    "block": "poor",
    "fail": "bad",  # of gates and readings
    "page": "bad",
    "warn": "poor",
    "hold": "poor",
}
"""What kind of colour a state has; the word itself always stands there too."""

LINKED = ("release", "skip", "force", "override", "retry", "replay")
"""Words that a command names which helps; the page of a run leads to their pages."""

BAR = 1_000  # units of a bar's width


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every page has around what it shows."""

    now: datetime
    who: str  # looks at it, and would be named as who said a word
    where: str  # whose runs these are, in words
    poll_s: int  # between two looks of a page that follows what happens
    zone: str  # of the pipeline, for who hovers over a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A phase as a piece of its run's time, in thousandths of it."""

    start: int
    width: int
    deadline: int | None


def render(template: str, frame: Frame, **values: object) -> str:
    """The page of this template."""
    page = _environment().get_template(template).render(frame=frame, now=frame.now, **values)
    return str(page)


@cache
def asset(name: str) -> str:
    """A file of FILES."""
    return (HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters.update(
        tone=tone, said=said, share=share, path=path, moment=moment, stamp=stamp, attribute=attribute, ticks=ticks
    )
    made.globals.update(
        bars=bars,
        gate_name=gate_name,
        gate_text=wording.gate_text,
        limit_text=wording.limit_text,
        missing_text=wording.missing_text,
        shorten=wording.shorten,
        spent=wording.spent,
        took=wording.took,
        rate=wording.rate,
        run_of=run_of,
        through=wording.through,
        age=wording.age,
        batch_notes=wording.batch_notes,
        word_link=word_link,
        verdicts={"ok": "good", "burning": "poor", "exhausted": "bad", "no data": "calm"},
        signals={"green": "good", "yellow": "poor", "red": "bad"},
        day_headline=summary_card.headline,
        day_facts=summary_card.facts,
        day_took=summary_card.took,
        day_story=summary_card.story,
        day_incident=summary_card.incident,
    )
    return made


def _shown(value: object) -> object:
    """What is not markup of our own, as text of printable characters; nothing for None."""
    if value is None:
        return ""
    return wording.safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


# --- filters --------------------------------------------------------------------------------------------


def tone(state: object) -> str:
    return TONES.get(str(state), "calm")


def said(state: object) -> str:
    """A state as a word."""
    return str(state).replace("_", " ")


def share(completeness: float) -> str:
    """A share, never rounded up to all of it."""
    return f"{int(completeness * 1_000) / 10:g} %"


def path(text: str) -> str:
    """A text as a part of an address."""
    return quote(text, safe="")


def ticks(text: str) -> Markup:
    """A sentence with `commands` in it, each as code."""
    parts = wording.safe(text).split("`")
    if len(parts) % 2 == 0:  # one that nobody closed is a tick
        return escape("`".join(parts))
    forms = (Markup("{}"), Markup("<code>{}</code>"))
    return Markup("").join(forms[number % 2].format(part) for number, part in enumerate(parts))


def attribute(instant: datetime) -> str:
    """A time for machines."""
    return instant.astimezone(timezone.utc).isoformat(timespec="seconds")


def moment(instant: datetime | None, frame: Frame) -> Markup:
    """A time of day, with its date where that is not today's; the pipeline's own time for who points at it."""
    if instant is None:
        return Markup("")
    form = "%H:%M:%S" if instant.date() == frame.now.date() else "%Y-%m-%d %H:%M:%S"
    return _time(instant, f"{instant:{form}}", frame)


def stamp(instant: datetime | None, frame: Frame) -> Markup:
    """As moment, with how far off that is."""
    if instant is None:
        return Markup("")
    left_s = (instant - frame.now).total_seconds()
    off = f"in {wording.span(left_s)}" if left_s > 0 else wording.age(instant, frame.now)
    return Markup('{} <span class="off">({})</span>').format(moment(instant, frame), off)


def _time(instant: datetime, text: str, frame: Frame) -> Markup:
    local = f"{instant.astimezone(ZoneInfo(frame.zone)):%Y-%m-%d %H:%M:%S %Z}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(attribute(instant), local, text)


def bars(status: RunStatus, now: datetime) -> Mapping[str, Bar]:
    """Each phase that has opened, on one line of time from the run's start to its end, or to the last deadline."""
    ends = [phase.passed_at or phase.deadline_at for phase in status.phases]
    end = status.ended_at or max([now, *ends])
    whole_s = max(0.001, (end - status.started_at).total_seconds())

    def place(instant: datetime) -> int:
        return round(BAR * min(1.0, max(0.0, (instant - status.started_at).total_seconds() / whole_s)))

    return {
        phase.phase: Bar(
            start=place(phase.opened_at),
            width=max(4, place(_until(phase, status, now)) - place(phase.opened_at)),
            deadline=None if phase.passed_at or status.ended_at else place(phase.deadline_at),
        )
        for phase in status.phases
        if phase.opened_at
    }


def _until(phase: PhaseStatus, status: RunStatus, now: datetime) -> datetime:
    return phase.passed_at or status.ended_at or now


def word_link(command: str) -> str:
    """The page that says the word of a command like `tipoff retry RUN boxscores --reason TEXT`; empty for others."""
    words = shlex.split(command)
    if words[1] not in LINKED:
        return ""
    about = words[3] if words[3:] and not words[3].startswith("--") else ""
    if "--from" in words:
        about = words[words.index("--from") + 1]
    return f"/run/{path(words[2])}/{words[1]}" + (f"?about={path(about)}" if about else "")
