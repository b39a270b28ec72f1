"""The dashboard over HTTP: from a request to its page, with the headers that keep every page to itself.

GET reads and changes nothing. What goes wrong is a page that says what and what to do; nothing is raised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from werkzeug.wrappers import Request

from orchestration import slo
from orchestration.dashboard import notices, pages, sights
from orchestration.dashboard.asked import batch_asked, day_asked, run_asked
from orchestration.dashboard.desk import Desk, Stranger, TooLarge
from orchestration.dashboard.doors import Doors, where
from orchestration.dashboard.forms import offered
from orchestration.dashboard.pages import Frame
from orchestration.dashboard.verbs import BATCH_VERBS, RUN_VERBS
from orchestration.letters import body_lines
from orchestration.summary import last_time, summarise_day, watchdog
from shared import edge
from shared.core.codec import Malformed
from shared.core.model import PipelineSpec
from shared.core.slo import Attained
from shared.endpoint import Answer
from shared.wiring import ReadHome

log = logging.getLogger("tipoff.dashboard")

QUERY_MAX = 2_000  # characters; a few chosen ids fit
ATTRIBUTES_SHOWN, ATTRIBUTE_SHOWN = 20, 200  # how many, and characters of each
DAY = timedelta(days=1)
SLO_DAYS = 28  # of an objective whose window is a year, where reading a run costs: a year is 60,000 documents
HOSTS_HERE = ("127.0.0.1", "localhost", "[::1]")
"""By which a page of this machine is asked for. Another name means that a stranger's page has led here."""

SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer the browser would not say where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""On every answer: nothing but our own files is loaded, nobody frames a page, nothing of it is kept anywhere."""

HTML = "text/html; charset=utf-8"


class NotPage(LookupError):
    """No page has this address; the bar at the top leads to those that there are."""


class Elsewhere(Exception):
    """The request was meant for another name than this machine's."""


class Nobody(Exception):
    """Nobody has said who asks, where somebody must: how the dashboard is to be reached."""


Who = Callable[[Mapping[str, str]], str]
"""From a request's headers to who sent it, as whoever let it in has verified. Raises Nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One for a process. Any number of threads: it keeps nothing but its doors."""

    doors: Doors
    pipelines: Mapping[str, PipelineSpec]
    who: Who
    poll_s: int
    is_local: bool  # whether it serves this machine alone, without a certificate
    is_tunnelled: bool = False  # whether people may come by gcloud's proxy, which asks by another name than they do

    def __call__(self, request: Request) -> Answer:
        """The page that is asked for, or one that says why it is not to be had."""
        answer = edge.attempt(lambda: self._answer(request))
        if isinstance(answer, str):
            log.error("%s %s: %s", request.method, request.path[:200], answer)
            remedy = "Nothing has changed. Try again; the log of the dashboard has the cause."
            answer = self._sorry(500, "This page could not be made", "Something that it needs did not answer.", remedy)
        body, status, headers = answer
        return body, status, {**SAFE, "Content-Type": HTML, **headers}

    def _answer(self, request: Request) -> Answer:
        try:
            self._check(request)
            return self._asked(request)
        except (NotPage, sights.NotThere) as error:
            return self._sorry(404, "There is no such page", _text(error), "")
        except Malformed as error:
            return self._sorry(400, "That cannot be read", _text(error), "")
        except Elsewhere as error:
            return self._sorry(421, "Wrong address", _text(error), "Ask for 127.0.0.1.")
        except Stranger as error:
            return self._sorry(403, "This did not come from here", _text(error), "Open the page and say it there.")
        except TooLarge as error:
            page, status, headers = self._sorry(413, "That is too much", _text(error), "")
            return iter((str(page),)), status, headers  # of any other answer's request the framework reads the rest
        except Nobody as error:
            return self._sorry(403, "Nobody has said who you are", _text(error), "")

    def _check(self, request: Request) -> None:
        """What holds for every request."""
        if self.is_local and request.host.rsplit(":", 1)[0] not in HOSTS_HERE:
            raise Elsewhere(f"This page is for whoever sits at this machine, and not for {request.host[:80]!r}.")
        if len(request.query_string) > QUERY_MAX:
            raise Malformed(f"{len(request.query_string)} characters behind the question mark; at most {QUERY_MAX}")

    def _asked(self, request: Request) -> Answer:
        segments = request.path.strip("/").split("/")
        if len(segments) == 1 and segments[0] in pages.FILES:
            return pages.asset(segments[0]), 200, {"Content-Type": pages.FILES[segments[0]]}
        frame = self._frame(request)
        desk = Desk(
            doors=self.doors,
            pipelines=self.pipelines,
            is_secure=not self.is_local,
            is_tunnelled=self.is_tunnelled,
        )
        if request.method == "POST" and (taken := desk.take(request, segments, frame)):
            return taken
        if request.method not in ("GET", "HEAD"):
            page, status, _ = self._sorry(405, "Nothing is done here", "This address is only looked at.", "")
            return page, status, {"Allow": "GET, HEAD"}
        with self.doors.reading() as home:
            matter = desk.matter(segments, request.args.getlist("id"), home) if home else None
            if matter:
                return desk.ask(request, matter, frame, {"about": request.args.get("about", "")[:80]})
            return self._page(request, segments, home, frame), 200, {}

    def _frame(self, request: Request) -> Frame:
        return Frame(
            now=self.doors.clock.now(),
            who=self.who(dict(request.headers)),
            where=where(self.doors.settings),
            poll_s=self.poll_s,
            zone=next(iter(self.pipelines.values())).zone,
        )

    def _page(self, request: Request, segments: list[str], home: ReadHome | None, frame: Frame) -> str:
        match segments:
            case [""]:
                return self._today(request, home, frame)
            case ["schedules"]:
                firings = sights.schedules(home, self.pipelines, frame.now)
                return pages.render("schedules.html", frame, firings=firings)
            case ["batches"]:
                heads = sights.batches(home, self.pipelines, frame.now) if home else ()
                return pages.render("batches.html", frame, heads=heads)
            case ["incidents"]:
                specs = self.pipelines.values()
                found = [each for spec in specs if home for each in sights.incidents(home.states, spec, frame.now)]
                notice = notices.of_incidents(request.args.get("said", ""))
                return pages.render("incidents.html", frame, incidents=found, days=sights.INCIDENT_DAYS, notice=notice)
            case ["slos"]:
                kept = self._kept(home, frame) if home else ()
                return pages.render("slos.html", frame, kept=kept, late=sights.late(kept))
            case ["summary"]:
                return self._summary(_there(home), frame)
            case ["letters"]:
                letters = sights.letters(home) if home else ()
                return pages.render("letters.html", frame, letters=letters, notice=notices.of_letters(request.args))
            case ["letter", id]:
                return self._letter(_there(home), id, frame)
            case ["run", run]:
                key = run_asked(run, self.pipelines)
                sight = sights.run_sight(_there(home), self.doors.settings, key, frame.now)
                notice = notices.of_run(sight.story.view, request.args.get("said", ""))
                acts = offered(RUN_VERBS, sight.story.view, sight.story.status)
                day = sights.begins_on(self.pipelines[key.pipeline], key)
                return pages.render("run.html", frame, sight=sight, notice=notice, acts=acts, day=day)
            case ["ledger", run]:
                key = run_asked(run, self.pipelines)
                return pages.render("ledger.html", frame, run=key, entries=sights.ledger(_there(home).states, key))
            case ["batch", run, phase, attempt]:
                batch = sights.batch(_there(home), batch_asked(run, phase, attempt, self.pipelines), frame.now)
                notice = notices.of_batch(batch, request.args.get("said", ""))
                acts = () if batch.head.sealed_at else tuple(BATCH_VERBS.values())
                key = run_asked(run, self.pipelines)
                return pages.render("batch.html", frame, batch=batch, run=key, notice=notice, acts=acts)
        raise NotPage(f"{request.path[:80]!r} is the address of no page.")

    # --- pages ----------------------------------------------------------------------------------------

    def _today(self, request: Request, home: ReadHome | None, frame: Frame) -> str:
        asked = day_asked(request.args["date"]) if "date" in request.args else None
        dead = watchdog(home.states, self.doors.settings, frame.now) if home else ""
        days = [sights.today(home, spec, asked, frame.now) for spec in self.pipelines.values()]
        if asked is None and self.doors.settings.cloud is None:  # in a home nothing begins by itself: its own last day
            specs = zip(self.pipelines.values(), days, strict=True)
            days = [sights.today(home, spec, each.latest, frame.now) for spec, each in specs]
        day = days[0].day
        return pages.render("today.html", frame, days=days, day=asked, watchdog=dead, before=day - DAY, after=day + DAY)

    def _kept(self, home: ReadHome, frame: Frame) -> Sequence[Attained]:
        settings = self.doors.settings
        is_cloud = settings.cloud is not None
        kept = partial(slo.keeps, home.states, now=frame.now, begins=is_cloud and settings.starts_missing_runs)
        return [each for name in self.pipelines for each in kept(name, days=SLO_DAYS if is_cloud else None)]

    def _summary(self, home: ReadHome, frame: Frame) -> str:
        specs, doors = list(self.pipelines.values()), self.doors
        until = frame.now if home.is_written else last_time(home, specs, frame.now)
        found = summarise_day(home, doors.settings, doors.tables, specs, until=until, now=frame.now)
        return pages.render("summary.html", frame, summary=found)

    def _letter(self, home: ReadHome, id: str, frame: Frame) -> str:
        letter = sights.letter(home, id)
        told = islice(letter.attributes.items(), ATTRIBUTES_SHOWN)
        attributes = [f"{name} = {text}"[:ATTRIBUTE_SHOWN] for name, text in told]
        if (more := len(letter.attributes) - ATTRIBUTES_SHOWN) > 0:
            attributes.append(f"and {more} more")
        body = list(body_lines(letter.body))
        return pages.render("letter.html", frame, letter=letter, attributes=attributes, body=body)

    def _sorry(self, status: int, title: str, why: str, remedy: str) -> Answer:
        zone = next(iter(self.pipelines.values())).zone
        frame = Frame(now=self.doors.clock.now(), who="", where="", poll_s=0, zone=zone)  # it may be a stranger's
        return pages.render("sorry.html", frame, title=title, why=why, remedy=remedy), status, {}


def _there(home: ReadHome | None) -> ReadHome:
    if home is None:
        raise sights.NotThere("Nothing has run here yet.")
    return home


def _text(error: Exception) -> str:
    """What an error says; its own words, not Python's way of quoting a key."""
    return str(error.args[0]) if error.args else str(error)
