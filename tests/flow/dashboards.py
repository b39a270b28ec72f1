"""A home with an interesting day, made by the shipped service, and the dashboard on it: for its tests and its picture.

The night was published without one processor; the day's predictions are under way; the day after is blocked, and people
know; the night before failed; two messages wait for a person. Names and content are invented.

    python -m tests.flow.dashboards FILE      draws the page of the day into FILE, a PNG
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from orchestration.dashboard.serve import HOST, server
from orchestration.dashboard.service import verified
from orchestration.dashboard.site import Site
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.config.settings import Settings
from shared.core.batch import Batch, Chunk, ChunkReport, Ordered, Unit, UnitResult, UnitState, chunked
from shared.core.messages import Message
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import Quarantined
from shared.wiring import STATE_FILE, LocalHome, ReadHome
from tests.flow.chromium import open_chromium
from tests.flow.days import Days, HandClock, succeed

DAY = date(2025, 12, 2)
TEN_PAST_FIVE = datetime(2025, 12, 2, 22, 10, tzinfo=timezone.utc)  # in New York
NIGHT = RunKey("nba", DAY - timedelta(days=1), "overnight")
FAILED = RunKey("nba", DAY - timedelta(days=2), "overnight")
BLOCKED = RunKey("nba", DAY + timedelta(days=1), "tomorrow")
SAME_DAY = RunKey("nba", DAY, "same_day")
BATCH = f"{SAME_DAY}/predictions/1"
DEAD_TOPIC = "nba-phase3-analytics-complete"
SUBSCRIPTION = f"phase3_to_phase4--{DEAD_TOPIC}"
HOSTILE = "<script>alert('x')</script>\"'&\u202eevil"
"""What a stranger might write into a message."""


@dataclass(frozen=True)
class HandDoors:
    """The doors of a home whose time is moved by hand."""

    path: Path
    clock: HandClock = field(default_factory=lambda: HandClock(TEN_PAST_FIVE))
    busy: list[str] = field(default_factory=list)  # who else writes just now
    shown: Path | None = None  # by which name pages call it, where that is another

    @property
    def settings(self) -> Settings:
        return Settings(home=self.shown or self.path, log_level="WARNING", commit="abc1234", no_color=True)

    @contextmanager
    def reading(self) -> Iterator[ReadHome | None]:
        if not (self.path / STATE_FILE).exists():
            yield None
            return
        store = Sqlite(self.path / STATE_FILE, read_only=True)
        try:
            yield ReadHome(states=store.states, batches=store.batches, bus=store.bus, is_written=False)
        finally:
            store.close()

    @contextmanager
    def tables(self) -> Iterator[None]:
        yield None

    @contextmanager
    def acting(self) -> Iterator[LocalHome]:
        if self.busy:
            raise OSError(self.busy.pop())
        home = LocalHome(self.path, Sqlite(self.path / STATE_FILE), self.clock)
        try:
            yield home
        finally:
            home.close()


def site_of(doors: HandDoors, who: str = "ann", poll_s: int = 1) -> Site:
    return Site(doors=doors, pipelines={NBA.name: NBA}, who=lambda _: who, poll_s=poll_s, is_local=True)


def interesting_day(path: Path) -> HandDoors:
    """The home, at ten past five."""
    path.mkdir(parents=True, exist_ok=True)
    clock = HandClock()
    store = Sqlite(path / STATE_FILE)
    try:
        days = Days(store, clock=clock)
        _failed_night(days)
        _degraded_night(days)
        _day_under_way(days)
        _blocked_morrow(days)
        clock.time = TEN_PAST_FIVE
        _letters(store, clock.time - timedelta(hours=6))
        days.service.sweep()
    finally:
        store.close()
    return HandDoors(path)


def _at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=timezone.utc)


def _work(
    days: Days, run: RunKey, minutes: float, answers: dict[str, Any] | None = None, until: datetime | None = None
) -> None:
    """Do what is ordered in a run, some minutes for each, until nothing is; what `answers` names reports that."""
    while mine := [start for start in days.hear() if start.run == run]:
        days.clock.time += timedelta(minutes=minutes)
        for start in mine:
            answer = (answers or {}).get(start.processor)
            days.do(start, answer(start) if answer else None)


def failed(reason: str) -> Any:
    def report(start: Start) -> Completion:
        return succeed(start, status=Status.FAILED, reason=reason, digest="", found={})

    return report


def _failed_night(days: Days) -> None:
    """Its box scores could not be read until it gave up, and people were told."""
    days.clock.time = _at(FAILED.date + timedelta(days=1), 11)
    days.service.start_run(FAILED, {"synthetic": "yes", "data": "invented"})
    answers = {"boxscores": failed("box score server answered 503 for 0022500301")}
    for _ in range(12):
        _work(days, FAILED, 0.3, answers)
        days.pass_by(minutes=4)


def _degraded_night(days: Days) -> None:
    """Published without the zone defence, which failed three times."""
    days.clock.time = _at(DAY, 11)
    days.service.start_run(NIGHT, {"synthetic": "yes", "data": "invented"})
    answers = {"team_defense_zone_analysis": failed("column zone is not there in nba_raw.team_boxscores")}
    for _ in range(14):
        _work(days, NIGHT, 0.4, answers)
        if days.status(NIGHT).state.well:
            break
        days.pass_by(minutes=1)


def _day_under_way(days: Days) -> None:
    """Up to its predictions, of which a third has come."""
    days.clock.time = _at(DAY, 21, 40)
    days.service.start_run(SAME_DAY, {"synthetic": "yes", "data": "invented"})
    for _ in range(20):
        mine = [start for start in days.hear() if start.run == SAME_DAY]
        if any(start.phase == "predictions" for start in mine):
            break
        days.clock.time += timedelta(minutes=1)
        for start in mine:
            days.do(start)
        days.service.sweep()
    [start] = mine
    units = tuple(Unit(id=f"p{number:03}", inputs="{}") for number in range(120))
    chunks = chunked(units, 40)
    batch = Batch(
        start=replace(start, units=None),
        created_at=days.clock.time,
        deadline_at=days.clock.time + timedelta(minutes=40),
        chunks=len(chunks),
        units=len(units),
        chunk_units=40,
        shared="{}",
        settled=(UnitResult(unit="p900", state=UnitState.SKIPPED, reason="no_history"),),
    )
    days.store.batches.create(batch, chunks, [_order(chunk, days.clock.time) for chunk in chunks])
    _report(days, batch, chunks[0])


def _blocked_morrow(days: Days) -> None:
    """Its schedule cannot be read."""
    days.clock.time = _at(DAY, 22)
    days.service.start_run(BLOCKED, {"synthetic": "yes", "data": "invented"})
    for _ in range(3):
        _work(days, BLOCKED, 0.3, {"schedule": failed("schedule server answered 503")})
        days.pass_by(seconds=45)


def _order(chunk: Chunk, at: datetime) -> Ordered:
    return Ordered(chunk=chunk.number, number=1, tries=1, places=tuple(range(len(chunk.units))), at=at)


def _report(days: Days, batch: Batch, chunk: Chunk) -> None:
    results = [UnitResult(unit=unit.id, state=UnitState.DONE, output=_prediction(unit.id)) for unit in chunk.units]
    results[7] = UnitResult(unit=chunk.units[7].id, state=UnitState.FAILED, reason=f"position {HOSTILE} is unknown")
    report = ChunkReport(start=batch.start, chunk=chunk.number, number=1, results=tuple(results))
    days.clock.time += timedelta(minutes=3)
    days.store.batches.record(report, rest=(), ended=True, at=days.clock.time)


def _prediction(player: str) -> str:
    row = {"game_id": "g1", "player_id": player, "system": "ensemble", "value": 12.5, "low": 4.0, "high": 21.0}
    return json.dumps([{**row, "completeness": 1.0}])


def _letters(store: Sqlite, now: datetime) -> None:
    """One that used up its attempts, and one that can never work."""
    store.bus.subscribe(SUBSCRIPTION, DEAD_TOPIC)
    body = b'{"run": "nba.2025-12-01.overnight.1", "processor": "player_game_summary"}'
    store.bus.publish([Message(topic=DEAD_TOPIC, data=body, attributes={"run": str(NIGHT)})], now)
    for attempt in range(1, 30):
        [delivery] = store.bus.pull([SUBSCRIPTION], limit=1, now=now, lease_s=60)
        if store.bus.nack(replace(delivery, attempt=attempt), now, "KeyError: 'game_id'"):
            break
        now += timedelta(minutes=10)
    store.states.quarantine(
        Quarantined(
            id="sub:7", topic=DEAD_TOPIC, reason=f"malformed: {HOSTILE}", at=now, body=HOSTILE.encode(), size=None
        )
    )


def kept_in(home: Path) -> list[str]:
    """All that the state of a home says."""
    if not (home / STATE_FILE).exists():
        return []
    with closing(sqlite3.connect(f"file:{home / STATE_FILE}?mode=ro", uri=True)) as state:
        return list(state.iterdump())


@contextmanager
def answering(listening: BaseServer) -> Iterator[str]:
    """Its address, without the last slash, while a thread answers."""
    thread = Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        thread.join()


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """Its address, without the last slash, while a thread answers."""
    with server(site, 0) as listening, answering(listening) as url:
        yield url


SERVICE_HOST = "nba-admin-dashboard-100000000001.us-central1.run.app"
"""By which name Cloud Run is asked for the deployed dashboard."""

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


@contextmanager
def tunnelling(url: str, email: str) -> Iterator[str]:
    """The address of a proxy as `gcloud run services proxy` is one: it asks by the service's name, with who has started
    it, in place of the browser's; it passes on all else, and leads back to itself."""

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: text for name, text in self.headers.items() if name.lower() not in HOP_BY_HOP}
            headers |= {"Host": SERVICE_HOST, "Authorization": f"Bearer {token_of(email)}"}
            connection = HTTPConnection(urlsplit(url).netloc)
            with closing(connection):
                connection.request(self.command, self.path, sent, headers)
                answer = connection.getresponse()
                body = answer.read()
            self.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, text.replace(f"https://{SERVICE_HOST}/", "/"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as the library calls it

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with ThreadingHTTPServer((HOST, 0), Passing) as listening, answering(listening) as through:
        yield through


def token_of(email: str) -> str:
    """As Cloud Run hands it on: its signature has been verified, and is cut off."""
    claims = base64.urlsafe_b64encode(json.dumps({"email": email}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


def deployed(site: Site) -> Site:
    """As it stands on Cloud Run, where IAM lets people in."""
    return replace(site, who=verified, is_local=False, is_tunnelled=True)


def draw(file: Path) -> None:
    """The page of the day, as a desk shows it."""
    with TemporaryDirectory() as home, open_chromium() as browser:
        doors = replace(interesting_day(Path(home)), shown=Path(".tipoff"))
        with serving(site_of(doors)) as url:
            page = browser.new_page(viewport={"width": 960, "height": 730}, color_scheme="light")
            page.goto(url)
            page.screenshot(path=file)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
