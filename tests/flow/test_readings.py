"""What gates read before they open, on real nights: what became of tables and services meanwhile is seen."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from data_processors.nba.runner import Work, bootstrap, create_tables
from predictions.coordinator import points
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.feed import FolderFeed
from shared.adapters.health import HttpHealthProbe
from shared.adapters.http import Http
from shared.adapters.objects import FolderObjects
from shared.config.functions import services_behind
from shared.config.nba import NBA
from shared.config.orchestration_config import READ_BACKS
from shared.core.fold import View
from shared.core.gate import recompute
from shared.core.model import Act, Control, LedgerEntry, Reading, ReadingVerdict, RunKey
from shared.core.plan import config_hash
from shared.core.status import RunState
from shared.gather import AtOnce
from shared.ports import Ports
from shared.preflight import Identity, Services
from shared.readings import World, readers
from shared.service import Service
from tests.flow.days import NOON, Days, new_days

DAY = date(2023, 11, 3)  # ten games on the eleventh day of the season: a short history to load
RUN = RunKey("nba", DAY, "overnight")


@pytest.fixture(scope="module")
def loaded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the history before the night."""
    file = tmp_path_factory.mktemp("history") / "warehouse.duckdb"
    warehouse = DuckDbWarehouse(file)
    create_tables(warehouse)
    bootstrap(_work(warehouse, real_data, file.parent), DAY, lambda _: None)
    warehouse.close()
    return file


def _work(warehouse: DuckDbWarehouse, data: Path, folder: Path, now: Callable[[], datetime] = lambda: NOON) -> Work:
    objects = FolderObjects(folder / "exports")
    return Work(warehouse=warehouse, feed=FolderFeed(data), objects=objects, now=now, commit="abc1234")


@dataclass
class Night:
    days: Days
    warehouse: DuckDbWarehouse
    exports: FolderObjects

    @property
    def games(self) -> tuple[str, ...]:
        return self.days.view(RUN).expectations["games"]

    def up_to(self, gate: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Everything before a gate is done; just before its last report, something happens."""
        self.days.service.start_run(RUN)
        names = [phase.name for phase in NBA.phases if phase.name != "predictions"]
        left = names[names.index(gate) - 1]
        self.days.finish(RUN, up_to=left)
        while (mine := self.days.hear()) and mine[0].phase == left:
            start = mine[0]
            report = self.days.act(start)
            if len(self.days.hear()) == 1 and not _is_ahead(left, start.processor):
                meanwhile()
            self.days.do(start, report)

    def do(self, sql: str, **values: object) -> None:
        self.warehouse._connection.execute(sql, {"day": DAY, **values} if "$" in sql else None)

    def decisions(self, gate: str) -> list[str]:
        return self.days.decisions(RUN, gate)

    def entry(self, gate: str, decision: str = "open") -> LedgerEntry:
        return [e for e in self.days.told if (e.gate, e.decision) == (gate, decision)][-1]

    def document(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.exports.get(f"nba/{DAY}/{name}.json") or b"{}")
        return document

    def published(self) -> list[str]:
        return [game["game_id"] for game in self.document("results").get("games", [])]


def _is_ahead(phase: str, processor: str) -> bool:
    """More of the phase is ordered once this one is done."""
    return phase == "analytics" and processor == "team_offense_game_summary"


@contextmanager
def new_night(loaded: Path, data: Path, folder: Path) -> Iterator[Night]:
    folder.mkdir(exist_ok=True)
    shutil.copy(loaded, folder / "warehouse.duckdb")
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb")
    opened: list[Days] = []
    work = _work(warehouse, data, folder, lambda: opened[0].clock.now())
    with new_days(work, DAY) as days:
        opened.append(days)
        yield Night(days, warehouse, FolderObjects(folder / "exports"))
    warehouse.close()


@pytest.fixture
def night(loaded: Path, real_data: Path, tmp_path: Path) -> Iterator[Night]:
    with new_night(loaded, real_data, tmp_path) as night:
        yield night
    for entry in night.days.told:
        _recomputes(entry)


def _recomputes(entry: LedgerEntry) -> None:
    plan, record = SEEN[entry.run]
    again = recompute(plan, record.facts, record.latches, entry).decision
    assert (type(again).__name__.lower(), again.reason, again.missing) == (entry.decision, entry.reason, entry.missing)


SEEN: dict[RunKey, Any] = {}


@pytest.fixture(autouse=True)
def _remember(request: pytest.FixtureRequest) -> Iterator[None]:
    """The record of the night, for its decisions to be made again once the test is over."""
    if "night" not in request.fixturenames:
        yield
        return
    night = request.getfixturevalue("night")
    yield
    states = night.days.store.states
    SEEN[RUN] = (states.plan(RUN), states.load(RUN))


# --- nothing is wrong -------------------------------------------------------------------------------


def test_a_night_that_nobody_disturbed_is_published_whole_and_says_what_was_read(night: Night) -> None:
    night.up_to("analytics")
    night.days.finish(RUN)
    assert night.days.status(RUN).state is RunState.PUBLISHED
    read = {name: (reading.verdict, reading.note) for name, reading in night.entry("analytics").readings.items()}
    assert read == {
        "health": ("pass", "in this process"),
        "freshness": ("pass", "3 of 3 tables"),
        "completeness": ("pass", "3 of 3 tables"),
        "sanity": ("pass", "2 of 2 tables"),
    }
    values = night.entry("analytics").readings["completeness"].values
    assert values["nba_raw.player_boxscores"] == f"{len(night.games)} of {len(night.games)} games"
    assert night.entry("analytics").readings["freshness"].values["nba_raw.team_boxscores"] == (
        f"{2 * len(night.games)} rows of {RUN}, attempt 1"
    )
    assert set(night.entry("export").readings) == {"health", "completeness", "sanity"}


def test_a_run_before_its_games_is_asked_for_nothing_that_is_made_after_them(night: Night) -> None:
    today = RunKey("nba", DAY, "same_day")
    night.days.service.start_run(today)
    night.days.finish(today, up_to="precompute")
    (entry,) = [e for e in night.days.told if (e.run, e.gate) == (today, "analytics")]
    assert entry.decision == "open"
    assert set(entry.readings["freshness"].values) == {"nba_raw.raw_schedule"}
    assert entry.readings["sanity"].note == "nothing to check before this gate"
    night.days.told.clear()


# --- rows that are not this run's, or not there -----------------------------------------------------


def test_a_partition_that_a_backfill_wrote_meanwhile_does_not_look_fresh(night: Night) -> None:
    old = "UPDATE nba_raw.player_boxscores SET run = 'nba.2023-11-03.overnight.0', fence = 1 WHERE game_date = $day"
    night.up_to("analytics", lambda: night.do(old))
    assert night.decisions("analytics")[-1].startswith("wait: freshness: player_boxscores: ")
    assert "of nba.2023-11-03.overnight.0, attempt 1 stand, not those of" in night.decisions("analytics")[-1]
    night.days.pass_by(seconds=60)
    entry = night.entry("analytics")
    assert "still so after 60 s, goes on all the same" in entry.reason
    assert [(each.processor, each.units) for each in entry.missing] == [("player_boxscores", ())]
    night.days.finish(RUN)
    assert night.days.status(RUN).state is RunState.DEGRADED
    assert [each["processor"] for each in night.document("results")["missing"]] == ["player_boxscores"]


def test_rows_that_outrank_this_runs_are_fresh(night: Night) -> None:
    newer = "UPDATE nba_raw.player_boxscores SET run = 'nba.2023-11-03.overnight.2', fence = 999999999999"
    night.up_to("analytics", lambda: night.do(f"{newer} WHERE game_date = $day"))
    assert night.entry("analytics").readings["freshness"].verdict == "pass"
    seen = night.entry("analytics").readings["freshness"].values["nba_raw.player_boxscores"]
    assert seen.endswith("of nba.2023-11-03.overnight.2, attempt 1, which outrank this run's")


def test_a_partition_wiped_between_report_and_gate_publishes_nothing_empty_and_is_made_again(night: Night) -> None:
    night.up_to("analytics", lambda: night.do("DELETE FROM nba_raw.player_boxscores WHERE game_date = $day"))
    (waits,) = night.decisions("analytics")
    assert "freshness: player_boxscores: reported " in waits
    assert f"completeness: player_boxscores: none of its {len(night.games)} games has rows" in waits
    night.days.pass_by(seconds=60)
    (order,) = [s for s in night.days.hear() if s.processor == "team_offense_game_summary"]
    assert order.units == night.games  # nobody pretends that there is nothing to do
    night.days.finish(RUN)
    assert not night.document("results")
    assert night.days.status(RUN).state is not RunState.PUBLISHED
    again = night.days.service.again(RUN, "raw", "player_boxscores", Act(actor="ann", reason="wiped", at=NOON))
    assert getattr(again, "attempt", None) == 2, again
    night.days.finish(RUN)
    for _ in range(5):
        night.days.pass_by(minutes=5)
        night.days.finish(RUN)
    assert night.published() == list(night.games)


def test_a_game_whose_rows_are_gone_is_left_out_by_name_and_the_others_are_published(night: Night) -> None:
    def take() -> None:
        night.do("DELETE FROM nba_raw.player_boxscores WHERE game_date = $day AND game_id = $game", game=night.games[0])

    night.up_to("analytics", take)
    entry = night.entry("analytics")
    gone, *kept = night.games
    assert entry.readings["completeness"].note == f"player_boxscores: no rows of {gone}, which it reported"
    assert [(each.processor, each.units) for each in entry.missing] == [("player_boxscores", (gone,))]
    night.days.finish(RUN)
    status = night.days.status(RUN)
    assert (status.state, night.published()) == (RunState.DEGRADED, kept)
    share = round(len(kept) / len(night.games), 4)
    assert (status.completeness, night.document("results")["completeness"]) == (share, share)
    assert {(each["processor"], *each["units"]) for each in night.document("results")["missing"]} == {
        ("player_boxscores", gone)
    }
    starts = [s for latch in night.days.store.states.load(RUN).latches for s in latch.starts]
    assert all(gone not in (start.units or ()) for start in starts if start.phase == "analytics")


# --- rows that cannot be true -----------------------------------------------------------------------

ZERO = """
UPDATE {table} SET pts = 0, reb = 0, ast = 0, stl = 0, blk = 0, tov = 0, fga = 0, fta = 0, fgm = 0, fg3m = 0, ftm = 0,
  oreb = 0, dreb = 0{more} WHERE game_date = $day AND game_id = $game
"""
RAW, SUMMARY = "nba_raw.player_boxscores", "nba_analytics.player_game_summary"


def test_a_game_of_nothing_but_zeroes_is_not_published_and_the_others_are(night: Night) -> None:
    night.up_to("analytics", lambda: night.do(ZERO.format(table=RAW, more=""), game=night.games[0]))
    reading = night.entry("analytics").readings["sanity"]
    assert reading.verdict == "warn"
    assert "who played have nothing but zeroes" in reading.note
    assert [each.units for each in reading.missing] == [(night.games[0],)]
    night.days.finish(RUN)
    assert night.published() == list(night.games[1:])
    assert night.days.status(RUN).state is RunState.DEGRADED


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("pts = pts + 1", "pts identity broken"),
        ("reb = reb + 1", "reb identity broken"),
        ("minutes = NULL", "lack a key column"),
        ("pts = 2 * pts, pts_2pt = 2 * pts_2pt, pts_3pt = 2 * pts_3pt, pts_ft = 2 * pts_ft", "their teams to"),
    ],
)
def test_what_goes_wrong_after_analytics_is_left_out_of_what_is_published(
    night: Night, change: str, fault: str
) -> None:
    def spoil() -> None:
        night.do(f"UPDATE {SUMMARY} SET {change} WHERE game_date = $day AND game_id = $game", game=night.games[-1])

    night.up_to("export", spoil)
    assert fault in night.entry("export").readings["sanity"].note
    night.days.finish(RUN)
    assert night.published() == list(night.games[:-1])
    assert [each["units"] for each in night.document("results")["missing"]] == [[night.games[-1]]]


def test_where_no_game_can_be_true_nothing_is_published(night: Night) -> None:
    night.up_to("export", lambda: night.do(f"UPDATE {SUMMARY} SET pts = pts + 1 WHERE game_date = $day"))
    assert night.decisions("export")[-1].startswith("wait: sanity: player_game_summary: ")
    night.days.pass_by(seconds=60)
    assert night.decisions("export")[-1].startswith("block: sanity: ")
    night.days.pass_by(minutes=30)
    assert not night.document("results")


def test_a_check_that_cannot_be_made_keeps_export_shut_until_a_person_says_otherwise(night: Night) -> None:
    night.up_to("export", lambda: night.do(f"ALTER TABLE {SUMMARY} DROP COLUMN pts_2pt"))
    assert "wait: sanity: could not be read: " in night.decisions("export")[-1]
    night.days.pass_by(seconds=60)
    night.days.pass_by(minutes=20)
    assert night.decisions("export")[-1].startswith("block: sanity: could not be read: ")
    assert "nothing opens before it is well" in night.decisions("export")[-1]
    assert not night.document("results")
    now = night.days.clock.now()
    act = Act(actor="ann", reason="a column was renamed", at=now, until=now + timedelta(hours=1))
    assert night.days.store.states.set_control(RUN, Control(version=1, overrides={"sanity": act}))
    night.days.service.advance(RUN)
    entry = night.entry("export")
    assert "overridden by ann: a column was renamed, until" in entry.reason
    assert [each.processor for each in entry.missing] == ["sanity"]
    night.days.finish(RUN)
    assert (night.days.status(RUN).state, night.published()) == (RunState.DEGRADED, list(night.games))


def test_the_same_into_analytics_lets_the_night_go_on_and_names_what_nobody_checked(night: Night) -> None:
    columns = ("fgm", "fg3m")
    night.up_to("analytics", lambda: [night.do(f"ALTER TABLE nba_raw.team_boxscores DROP {name}") for name in columns])
    assert "wait: sanity: could not be read: " in night.decisions("analytics")[-1]
    night.days.pass_by(seconds=60)
    assert [each.processor for each in night.entry("analytics").missing] == ["sanity"]


# --- services ---------------------------------------------------------------------------------------


class Peer(ThreadingHTTPServer):
    """A service of ours, or what is in its place."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.said = {"service": "analytics_processor", "version": "0123abc", "config_hash": config_hash(NBA)}
        self.is_ready = True
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Peer

    def do_GET(self) -> None:
        self.server.asked += self.path == "/ready"
        ready = self.server.is_ready or self.path == "/health"
        status = ("alive" if self.path == "/health" else "ready") if ready else "not_ready"
        checks = [{"name": "warehouse", "ok": ready, "why": "" if ready else "no slot"}]
        body = json.dumps({"status": status, **self.server.said, "checks": checks}).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    thread = threading.Thread(target=lambda: peer.serve_forever(poll_interval=0.01))
    thread.start()
    yield peer
    peer.shutdown()
    thread.join()
    peer.server_close()


@pytest.fixture
def asking(peer: Peer) -> Iterator[Days]:
    """A night of invented work whose gates ask a service over HTTP; that into analytics, this one."""
    with new_days() as days:
        http = Http()
        services = Services(
            behind=services_behind,
            url_of=lambda name: peer.url if name == "analytics_processor" else "",
            probe=lambda: HttpHealthProbe(http),
            identity=lambda _: Identity(version="0123abc", config_hash=config_hash(NBA)),
            tick=lambda: days.clock.time.timestamp(),
        )
        world = World(warehouse=lambda: pytest.fail("no table is named"), read_back={}, services=services)
        calm, real = readers(days.store.states), readers(days.store.states, world)
        states = days.store.states
        ports = Ports(states=states, bus=days.store.bus, clock=days.clock, readers={**calm, "health": real["health"]})
        days.service = Service(ports, {"nba": NBA}, days.told.append, starts_missing_runs=False)
        yield days
        http.close()


def into_analytics(days: Days) -> list[str]:
    run = RunKey("nba", NOON.date() - timedelta(days=1), "overnight")
    days.service.start_run(run)
    days.finish(run, up_to="analytics")
    return days.decisions(run, "analytics")


def health_of(days: Days) -> Reading:
    return [e for e in days.told if e.gate == "analytics" and e.readings][-1].readings["health"]


def test_a_service_that_is_well_and_itself_lets_the_gate_open(asking: Days, peer: Peer) -> None:
    assert into_analytics(asking) == ["open: all of raw is done"]
    assert health_of(asking).values == {"analytics_processor": "ready, version 0123abc"}
    assert health_of(asking).note == "analytics_processor ready"


def test_a_service_that_is_down_twice_is_gone_on_without_and_told(asking: Days, peer: Peer) -> None:
    peer.is_ready = False
    assert into_analytics(asking) == ["wait: health: analytics_processor not ready: warehouse: no slot"]
    asking.pass_by(seconds=60)
    (entry,) = [e for e in asking.told if (e.gate, e.decision) == ("analytics", "open")]
    assert "warned: health: analytics_processor not ready: warehouse: no slot; still so after 60 s" in entry.reason
    assert (entry.missing, peer.asked) == ((), 2)


def test_a_service_that_flaps_holds_the_gate_a_minute_and_warns_nobody(asking: Days, peer: Peer) -> None:
    peer.is_ready = False
    into_analytics(asking)
    peer.is_ready = True
    asking.pass_by(seconds=60)
    (entry,) = [e for e in asking.told if (e.gate, e.decision) == ("analytics", "open")]
    assert (entry.reason, entry.readings["health"].since) == ("all of raw is done", None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"service": "precompute_processor"}, "analytics_processor answers as precompute_processor"),
        (
            {"config_hash": "000000000000"},
            "analytics_processor goes by configuration 000000000000; the run was planned",
        ),
    ],
)
def test_an_image_that_is_not_the_one_holds_the_gate(asking: Days, peer: Peer, said: dict[str, str], why: str) -> None:
    peer.said |= said
    (waits,) = into_analytics(asking)
    assert waits.startswith(f"wait: health: {why}")


def test_another_commit_is_told_and_no_fault(asking: Days, peer: Peer) -> None:
    peer.said["version"] = "fedcba9"
    assert into_analytics(asking) == ["open: all of raw is done"]
    assert health_of(asking).values == {"analytics_processor": "ready, version fedcba9; the gate is 0123abc"}


def test_an_answer_is_good_for_twenty_seconds(asking: Days, peer: Peer) -> None:
    into_analytics(asking)
    other = RunKey("nba", NOON.date() - timedelta(days=2), "overnight")
    asking.service.start_run(other)
    asking.finish(other, up_to="analytics")
    assert peer.asked == 1
    asking.pass_by(seconds=20)
    third = RunKey("nba", NOON.date() - timedelta(days=3), "overnight")
    asking.service.start_run(third)
    asking.finish(third, up_to="analytics")
    assert peer.asked == 2


def test_a_service_that_nobody_says_where_it_is_is_told(asking: Days) -> None:
    into_analytics(asking)
    run = RunKey("nba", NOON.date() - timedelta(days=1), "overnight")
    asking.finish(run, up_to="precompute")
    (opened,) = asking.decisions(run, "precompute")
    assert opened.endswith("; warned: health: nobody has said where precompute_processor answers; set TIPOFF_SERVICES")
    assert asking.view(run).outcomes["precompute"].grade == "complete"


# --- the budget -------------------------------------------------------------------------------------


@dataclass
class Slow:
    """A reader that answers when it is let."""

    let: threading.Event
    name: str = "sanity"

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        self.let.wait(30)
        return Reading(name=self.name, verdict=ReadingVerdict.PASS, note="at last")


class Broken:
    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        raise ZeroDivisionError("a bug")


@contextmanager
def with_reader(reader: Any) -> Iterator[Days]:
    with new_days() as days:
        calm = dict(readers(days.store.states))
        if reader is None:
            del calm["sanity"]
        else:
            calm["sanity"] = reader
        ports = Ports(states=days.store.states, bus=days.store.bus, clock=days.clock, readers=calm)
        days.service = Service(ports, {"nba": NBA}, days.told.append, starts_missing_runs=False, readings_s=0.05)
        yield days


def test_a_reading_that_is_late_is_bad_and_its_thread_holds_nobody_up() -> None:
    let = threading.Event()
    with with_reader(Slow(let)) as days:
        began = monotonic()
        assert into_analytics(days) == ["wait: sanity: could not be read: no answer within 0.05 s"]
        assert monotonic() - began < 20
        days.pass_by(seconds=60)
        (entry,) = [e for e in days.told if (e.gate, e.decision) == ("analytics", "open")]
        assert [each.processor for each in entry.missing] == ["sanity"]
        let.set()


def test_a_reading_that_nobody_takes_here_is_bad() -> None:
    with with_reader(None) as days:
        assert into_analytics(days) == ["wait: sanity: could not be read: nobody here reads it"]


def test_a_bug_in_a_reader_is_nobodys_finding() -> None:
    with with_reader(Broken()) as days, pytest.raises(ZeroDivisionError):
        into_analytics(days)


def test_all_are_asked_at_once() -> None:
    both = threading.Barrier(2)

    def ask() -> Reading:
        both.wait(10)
        return Reading(name="x", verdict=ReadingVerdict.PASS, note="")

    assert set(AtOnce()({"a": ask, "b": ask}, 20.0)) == {"a", "b"}


def test_every_pipeline_says_where_what_its_gates_read_back_stands() -> None:
    tables = READ_BACKS["nba"].tables
    asked = {name for names in READ_BACKS["nba"].reads.values() for name in names}
    asked |= {name for checks in READ_BACKS["nba"].checks.values() for check in checks for name in check.processors}
    assert asked <= set(tables)
    assert (tables["predictions"].name, tables["predictions"].of_run) == (points.TABLE, True)
