"""A person's word on a run, typed: held, released, cancelled, skipped, forced, overridden, tried again; and kept."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest

from data_processors.nba.runner import create_tables
from orchestration.cli.main import main
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.pubsub import PubSub
from shared.adapters.sqlite import Sqlite
from shared.adapters.warehouse import STAMPS
from shared.config.nba_tables import TABLES
from shared.core.fold import View
from shared.core.model import (
    Act,
    Completion,
    Control,
    Reading,
    ReadingVerdict,
    RunKey,
    Start,
    Status,
    Word,
)
from shared.core.plan import RUNS_BEFORE
from shared.core.status import RunState
from shared.ports import Partition, Ports, Stamp
from shared.readings import readers
from shared.service import Refusal, Service
from tests.contract.firestore_calls import opened
from tests.flow.cli import Said, Type, documented, form, tipoff
from tests.flow.days import ANN, NBA, Days, HandClock, new_days, succeed
from tests.flow.nights import new_work

RUN = RunKey("nba", date(2024, 1, 15), "overnight")
SAME_DAY = RunKey("nba", date(2024, 1, 16), "same_day")
WHY = ("--reason", "feed is [wrong]", "--actor", "ann")
PLAIN: Mapping[str, object] = {"STRING": "x", "INT64": 1, "FLOAT64": 1.0}
ADDS_UP: Mapping[str, object] = {"pts": 3, "fg3m": 0, "reb": 2}  # with ones for the rest of a line


@dataclass
class Home:
    """A home with a run that began ten minutes ago: its sources have come, all of raw is ordered. Commands go by the
    machine's clock, and their gates read what stands in the home: the rows that were reported."""

    path: Path
    store: Sqlite
    warehouse: DuckDbWarehouse

    def __post_init__(self) -> None:
        self.now = datetime.now(timezone.utc) - timedelta(minutes=10)
        self.world = wiring.local_world(lambda: self.warehouse)
        self.days = Days(self.store, clock=HandClock(self.now), act=self.write, world=self.world)
        create_tables(self.warehouse)
        self.days.service.start_run(RUN)
        self.days.finish(RUN, up_to="raw")

    @property
    def control(self) -> Control:
        return self.store.states.load(RUN).control

    def catch_up(self) -> None:
        """What a command has published is there now."""
        self.days.clock.time = datetime.now(timezone.utc)

    def write(self, start: Start) -> Completion:
        """A row of each unit that there is to do, one that can be true, and the report of them."""
        table = TABLES.get(start.processor)
        if table is None or not table.unit or not start.units:
            return succeed(start, rows=0)
        columns = {name: kind for name, kind in self.warehouse.columns(table.name).items() if name not in STAMPS}
        row = {name: PLAIN.get(kind) for name, kind in columns.items()} | {
            n: v for n, v in ADDS_UP.items() if n in columns
        }
        rows = [{**row, table.column: start.partition, table.unit: unit} for unit in start.units]
        there = Partition(table=table.name, column=table.column, first=start.partition, last=start.partition)
        written = self.warehouse.load(there, rows, Stamp.of(start), table.unit)
        return succeed(start, rows=written.rows)

    def do(self, *names: str) -> None:
        """These report success."""
        for start in [start for start in self.days.hear() if start.processor in names]:
            self.days.do(start)

    def fail(self, name: str) -> None:
        """Every attempt of this one, until it has none left."""
        for _ in range(3):
            [start] = [start for start in self.days.hear() if start.processor == name]
            self.days.do(start, succeed(start, status=Status.FAILED, reason="boom", digest=""))
            self.days.pass_by(minutes=1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    warehouse = DuckDbWarehouse(folder / wiring.WAREHOUSE_FILE)
    with closing(Sqlite(folder / wiring.STATE_FILE)) as store, closing(warehouse):
        yield Home(folder, store, warehouse)


@pytest.fixture
def type_(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """`tipoff` as a person types it, on the home, in this process."""

    def typed(*arguments: object, where: Path = tmp_path / "home") -> Said:
        capsys.readouterr()
        try:
            code = main([*map(str, arguments), "--home", str(where)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


# --- hold, release, cancel --------------------------------------------------------------------------------


def test_a_held_run_does_not_move_until_its_end_comes_and_then_goes_on_by_the_sweep_alone(
    home: Home, type_: Type
) -> None:
    said = type_("hold", RUN, *WHY, "--until", "+2h")
    assert said.code == 0, said.err
    assert f"{RUN} is held until " in said.out
    assert "(in 120 min) by ann: feed is [wrong]." in said.out
    assert "Now it is blocked: held by ann: feed is [wrong]. Next look " in said.out
    assert "goes on with it" not in said.out, "nobody can"
    home.catch_up()
    raw = home.days.orders(RUN, "raw")
    for start in home.days.hear()[:]:
        home.days.do(start)
    home.days.pass_by(hours=1, minutes=59)
    assert (home.days.orders(RUN, "raw"), home.days.orders(RUN, "analytics")) == (raw, [])
    assert home.days.status(RUN).state is RunState.BLOCKED
    home.days.pass_by(minutes=2)
    assert home.days.orders(RUN, "analytics")
    home.days.finish(RUN)
    assert home.days.status(RUN).state is RunState.PUBLISHED


def test_a_released_run_goes_on_at_once(home: Home, type_: Type) -> None:
    type_("hold", RUN, *WHY)
    for start in home.days.hear()[:]:
        home.days.do(start)
    assert not home.days.orders(RUN, "analytics")
    said = type_("release", RUN, "--reason", "mended", "--actor", "bob")
    assert said.code == 0
    assert f"{RUN} is released by bob: mended." in said.out
    assert "OPEN   all of raw is done" in said.out
    assert "`tipoff run nba --date 2024-01-15 --mode overnight" in said.out
    assert home.days.orders(RUN, "analytics")


def test_what_is_reported_and_stands_nowhere_keeps_a_released_run_and_what_to_do_is_said_in_a_line(
    home: Home, type_: Type
) -> None:
    type_("hold", RUN, *WHY)
    for start in home.days.hear()[:]:
        home.days.do(start)
    home.warehouse._connection.execute("DROP SCHEMA nba_raw CASCADE")
    said = type_("release", RUN, *WHY)
    now = said.out.splitlines()[1]
    assert "freshness: could not be read: nba_raw.raw_schedule: " in now
    assert "run create with the DDL of that dataset and table first" in now
    assert "sanity: could not be read: " in now
    assert re.search(r"Next look .* \(in \d+ s\)\.$", now), "in the same line, though the warehouse says it in several"
    assert "OPEN" not in said.out
    assert not home.days.orders(RUN, "analytics")


def test_what_is_not_held_is_not_released_and_that_is_no_error(home: Home, type_: Type) -> None:
    said = type_("release", RUN, *WHY)
    assert (said.code, said.out.splitlines()[0]) == (0, f"{RUN} is not held; nothing has changed.")
    assert home.control == Control()


def test_a_cancelled_run_is_over(home: Home, type_: Type) -> None:
    said = type_("cancel", RUN, *WHY)
    assert said.code == 0
    assert f"{RUN} is cancelled by ann: feed is [wrong]." in said.out
    assert "Nothing more will happen by itself." in said.out
    after = type_("hold", RUN, *WHY)
    assert after.code == 2
    assert f"has ended: cancelled by ann: feed is [wrong]; `tipoff replay {RUN} --reason TEXT`" in after.err


# --- skip -------------------------------------------------------------------------------------------------


def test_without_an_optional_one_that_is_skipped_it_goes_on_at_once_and_names_it(home: Home, type_: Type) -> None:
    while others := [start for start in home.days.hear() if start.processor != "team_defense_game_summary"]:
        home.days.do(others[0])
    [slow] = [start.processor for start in home.days.hear()]
    assert not home.days.orders(RUN, "precompute")
    said = type_("skip", RUN, slow, *WHY)
    assert said.code == 0, said.err
    assert f"{RUN} goes on without {slow}, skipped by ann: feed is [wrong]." in said.out
    assert home.days.orders(RUN, "precompute")
    home.catch_up()
    home.days.ordered.clear()
    home.days.finish(RUN)
    missing = home.days.view(RUN).outcomes["end"].missing
    assert {each.processor: each.why for each in missing}[slow] == "was skipped by ann: feed is [wrong]"
    assert home.days.status(RUN).state is RunState.DEGRADED


def test_a_critical_one_is_not_skipped_and_what_helps_is_said(home: Home, type_: Type) -> None:
    said = type_("skip", RUN, "player_boxscores", *WHY)
    assert said.code == 2
    assert "player_boxscores is critical in overnight" in said.err
    assert f"`tipoff force {RUN} analytics --reason TEXT`" in said.err
    assert home.control == Control()


# --- force ------------------------------------------------------------------------------------------------


def test_a_forced_gate_opens_without_its_dead_critical_one_and_names_it_to_the_end(home: Home, type_: Type) -> None:
    home.do("raw_schedule", "team_boxscores")
    home.fail("player_boxscores")
    home.catch_up()
    assert home.days.status(RUN).state is RunState.BLOCKED
    said = type_("force", RUN, "analytics", *WHY)
    assert said.code == 0, said.err
    assert f"gate analytics of {RUN} is forced by ann: feed is [wrong]." in said.out
    assert "OPEN   forced by ann: feed is [wrong]; player_boxscores failed: boom (3 of 3 attempts" in said.out
    assert "Nobody is at work in this home; `tipoff run nba" in said.out
    home.catch_up()
    afresh = [start for start in home.days.hear() if start.processor == "player_boxscores"]
    home.days.ordered = [start for start in home.days.ordered if start not in afresh]  # nobody hears of that either
    home.days.finish(RUN)
    end = home.days.view(RUN).outcomes["end"]
    assert (end.grade, [each.processor for each in end.missing]) == ("degraded", ["player_boxscores"])
    [export] = [start for start in home.days.done if start.processor == "results"]
    ordered = [s for latch in home.store.states.load(RUN).latches for s in latch.starts if s.processor == "results"]
    assert [missing.processor for missing in ordered[0].missing] == ["player_boxscores"]
    assert export.attempt == 1


def test_the_document_of_a_forced_run_says_what_it_lacks(season: Path, night: date) -> None:
    work = new_work(wiring.open_feed(season), night)
    run = RunKey("nba", night, "overnight")
    with new_days(work, night) as days:
        real = days.act

        def without_cache(start: Start) -> Completion:
            if start.processor != "player_daily_cache":
                return real(start)
            return succeed(start, status=Status.SKIPPED, reason="broken", digest="")

        days.act = without_cache
        days.service.start_run(run)
        days.finish(run)
        assert days.status(run).state is RunState.BLOCKED
        forced = Word(verb="force", about="grading", act=replace(ANN, at=days.clock.now()))
        assert isinstance(days.service.say(run, forced), Control)
        for _ in range(40):  # what is made of less is looked at again until its phase's deadline
            days.finish(run)
            days.pass_by(minutes=5)
        assert days.status(run).state is RunState.DEGRADED
    document = json.loads(work.objects.get(f"nba/{night}/results.json") or b"")
    assert [each["processor"] for each in document["missing"]] == ["player_daily_cache", "ml_feature_store"]


def test_a_gate_that_is_not_the_current_one_is_not_forced(home: Home, type_: Type) -> None:
    for gate, told in (
        ("scrape", f"gate scrape opened at .* the gate that {RUN} waits at: analytics"),
        ("export", "gate export is not reached yet; .*: analytics"),
        ("zones", "its gates: scrape, raw, analytics, precompute, grading, export"),
        ("end", "is not forced"),
    ):
        said = type_("force", RUN, gate, *WHY)
        assert said.code == 2
        assert re.search(told, said.err), said.err
    assert home.control == Control()


# --- override ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refuses:
    """A reading that says no, for ever."""

    def read(self, _view: View, _gate: str, _before: Reading | None) -> Reading:
        return Reading(name=RUNS_BEFORE, verdict=ReadingVerdict.HOLD, note="the night before is not there")


def test_a_reading_that_is_overridden_only_warns_and_who_said_so_is_named(home: Home, type_: Type) -> None:
    states = home.store.states
    asked = {**readers(states, home.world), RUNS_BEFORE: Refuses()}
    ports = Ports(states=states, bus=home.store.bus, clock=home.days.clock, readers=asked)
    home.days.service = Service(ports, {"nba": NBA}, home.days.told.append, starts_missing_runs=False)
    home.days.service.start_run(SAME_DAY)
    home.days.finish(SAME_DAY)
    assert "wait: runs_before: the night before is not there" in home.days.decisions(SAME_DAY, "analytics")
    said = type_("override", SAME_DAY, RUNS_BEFORE, *WHY, "--until", "+30m")
    assert said.code == 0, said.err
    assert f"runs_before only warns in {SAME_DAY} until " in said.out
    assert "(in 30 min) by ann: feed is [wrong]." in said.out
    act = home.store.states.load(SAME_DAY).control.overrides[RUNS_BEFORE]
    assert act.until == act.at + timedelta(minutes=30)
    assert "OPEN   all of raw is done; warned: runs_before: waits for overnight of 2024-01-15 until " in said.out
    assert f"; overridden by ann: feed is [wrong], until {act.until:%Y-%m-%d %H:%M} UTC" in said.out
    assert home.days.orders(SAME_DAY, "analytics")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("override", RUN, "mood", *WHY, "--until", "+1h"), "reading 'mood' is asked for by no gate"),
        (("override", RUN, "quality", *WHY, "--until", "+169h"), "is not within the next 7 days"),
        (("override", RUN, "quality", *WHY), "--until"),
        (("hold", RUN, *WHY, "--until", "+0m"), "is not within the next 7 days"),
        (("hold", RUN, *WHY, "--until", "tomorrow"), "'tomorrow' is not a time like"),
        (("hold", RUN, *WHY, "--until", "2024-01-15T18:00:00"), "with its offset"),
        (("hold", RUN, "--reason", "x" * 4_000_000), "is not a line of at most 500 printable characters"),
        (("hold", RUN, "--reason", "a\x1b[2Jb"), r"'a\x1b[2Jb' is not a line"),
        (("hold", RUN, "--reason", " \n "), "says nothing"),
        (("hold", RUN, "--reason", "x", "--actor", ""), "says nothing"),
        (("hold", RUN), "--reason"),
        (("hold", "nba.2024-01-15.overnight.7", *WHY), "`tipoff status nba --date 2024-01-15 --home"),
        (("hold", "nba.2024-01-15", *WHY), "expected pipeline.YYYY-MM-DD.mode.generation"),
        (("hold", f"{RUN}/predictions/1", *WHY), f"its run is {RUN}"),
        (("skip", RUN, "\x1b[2J" * 40, *WHY), r"processor '\x1b[2J"),
        (("force", RUN, "x" * 100_000, *WHY), "is not one of"),
        (("retry", RUN, "team_boxscore", *WHY), "is not planned in"),
        (("retry", RUN, "results", *WHY), "has not opened export"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else f"{value[0]} {str(value[2:])[:30]}",
)
def test_what_cannot_be_said_is_refused_in_a_line_and_nothing_is_kept(
    home: Home, type_: Type, arguments: tuple[object, ...], told: str
) -> None:
    said = type_(*arguments)
    assert said.code == 2
    assert told in said.err
    assert len(said.err) < 1_500
    assert "\x1b" not in said.err
    assert home.control == Control()


def test_nothing_is_made_where_nothing_has_run(type_: Type, tmp_path: Path) -> None:
    said = type_("hold", RUN, *WHY, where=tmp_path / "never")
    assert said.code == 2
    assert not (tmp_path / "never").exists()


def test_a_reason_of_several_lines_is_kept_as_one(home: Home, type_: Type) -> None:
    assert type_("hold", RUN, "--reason", "feed\nis  wrong").code == 0
    [word] = home.control.said
    assert (word.verb, word.about, word.act.reason) == ("hold", "", "feed is wrong")


# --- retry ------------------------------------------------------------------------------------------------


def test_a_retry_is_another_attempt_that_says_whose_it_is(home: Home, type_: Type) -> None:
    home.do("raw_schedule", "team_boxscores")
    home.fail("player_boxscores")
    home.catch_up()
    said = type_("retry", RUN, "player_boxscores", *WHY)
    assert said.code == 0, said.err
    assert f"player_boxscores of {RUN} is tried again, attempt 4, at the word of ann: feed is [wrong]." in said.out
    home.catch_up()
    [start] = home.days.hear()
    assert (start.attempt, start.look, start.by and start.by.reason) == (4, False, "feed is [wrong]")
    again = type_("retry", RUN, "player_boxscores", *WHY)
    assert again.code == 0
    assert "attempt 4, at the word of ann: feed is [wrong]; it was so already, and nothing has changed." in again.out
    assert len(home.control.said) == 1
    home.days.finish(RUN)
    assert home.days.status(RUN).state is RunState.PUBLISHED


def test_a_retry_of_what_is_whole_says_that_its_result_stands(home: Home, type_: Type) -> None:
    said = type_("retry", RUN, "schedule", *WHY)
    assert "its result stands, and this one counts only if it is whole too" in said.out


def test_a_retry_takes_a_skip_back(home: Home, type_: Type) -> None:
    for start in home.days.hear()[:]:
        home.days.do(start)
    type_("skip", RUN, "upcoming_team_game_context", *WHY)
    assert type_("retry", RUN, "upcoming_team_game_context", *WHY).code == 0
    home.catch_up()
    home.days.finish(RUN)
    assert home.days.status(RUN).state is RunState.PUBLISHED
    assert [word.verb for word in home.control.said] == ["skip", "retry"]


def test_a_retry_of_what_waits_for_what_it_needs_is_refused_and_says_what_helps(home: Home, type_: Type) -> None:
    home.do("raw_schedule", "team_boxscores", "player_boxscores")  # all of analytics is ordered that can be
    home.catch_up()
    said = type_("retry", RUN, "player_game_summary", *WHY)
    assert said.code == 2
    assert "player_game_summary needs team_offense_game_summary, which did not report in 300 s" in said.err
    assert "it starts by itself as soon as that is done" in said.err
    assert f"`tipoff force {RUN} precompute" in said.err
    assert home.control == Control()
    assert "player_game_summary" not in [start.processor for start in home.days.hear()]
    home.days.finish(RUN)
    assert home.days.status(RUN).state is RunState.PUBLISHED


def test_a_skip_that_is_taken_back_before_its_turn_starts_nothing_yet(home: Home, type_: Type) -> None:
    home.days.finish(RUN, up_to="precompute")
    home.catch_up()
    assert type_("skip", RUN, "player_composite_factors", *WHY).code == 0
    said = type_("retry", RUN, "player_composite_factors", *WHY)
    assert said.code == 0, said.err
    assert f"player_composite_factors of {RUN} is not skipped any more, and starts by itself in its turn" in said.out
    assert "player_composite_factors" not in [start.processor for start in home.days.hear()]
    home.days.finish(RUN)
    assert home.days.status(RUN).state is RunState.PUBLISHED


# --- kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", RUN, *WHY),
        ("cancel", RUN, *WHY),
        ("skip", RUN, "team_defense_game_summary", *WHY),
        ("force", RUN, "analytics", *WHY),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_same_word_twice_is_one_word(home: Home, type_: Type, arguments: tuple[object, ...]) -> None:
    first = type_(*arguments, "--json").json
    ledger = home.store.states.ledger(RUN)
    second = type_(*arguments, "--json").json
    assert (first["changed"], second["changed"]) == (True, False)
    assert (first["state"], first["reason"]) == (second["state"], second["reason"])
    assert len(home.control.said) == 1
    assert home.store.states.ledger(RUN) == ledger


def test_the_json_is_as_documented(home: Home, type_: Type) -> None:
    told = type_("hold", RUN, *WHY, "--until", "+2h", "--json").json
    assert form(told) == form(documented("tipoff hold"))
    assert told["word"]["actor"] == "ann"


def test_words_at_the_same_time_are_all_kept(home: Home) -> None:
    names = [f"operator {number}" for number in range(4)]

    def say(name: str) -> None:
        word = Word(verb="hold", about="", act=Act(actor=name, reason="x", at=home.now))
        assert isinstance(home.days.service.say(RUN, word), Control)

    threads = [threading.Thread(target=say, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(word.act.actor for word in home.control.said) == names
    assert home.control.hold == home.control.said[-1].act


def test_a_replay_and_a_look_again_are_kept_too(home: Home) -> None:
    home.days.finish(RUN)
    act = Act(actor="ann", reason="corrected", at=home.now)
    assert not isinstance(home.days.service.look_again(RUN, act=act), Refusal)
    assert [(word.verb, word.act.actor) for word in home.control.said] == [("look_again", "ann")]
    assert {start.by for start in home.days.hear()} == {act}
    home.days.finish(RUN)
    again = home.days.service.replay(RUN, "analytics", act)
    assert isinstance(again, RunKey)
    [word] = home.store.states.load(again).control.said
    assert (word.verb, word.about, word.act.reason) == ("replay", "analytics", "corrected")


def test_on_services_a_word_is_kept_and_acted_upon_too(
    pubsub_emulator: str, firestore_emulator: str, tmp_path: Path
) -> None:
    project = f"t{uuid4().hex[:12]}"
    services = {
        "GOOGLE_CLOUD_PROJECT": project,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
        "FIRESTORE_EMULATOR_HOST": firestore_emulator,
        "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9",  # no word writes a table
    }
    with closing(PubSub(project, emulator=pubsub_emulator)) as bus, opened(firestore_emulator, project) as firestore:
        for phase in NBA.phases:
            bus.subscribe(phase.start_topic, phase.start_topic)
        ports = Ports(states=firestore.states, bus=bus, clock=HandClock(datetime.now(timezone.utc)), readers={})
        Service(ports, {"nba": NBA}, starts_missing_runs=False).start_run(RUN)
        where = ("--home", tmp_path, "--target", "emulators")
        forced = tipoff("force", RUN, "raw", *WHY, *where, **services)
        assert forced.returncode == 0, forced.stderr
        assert "goes on with it" not in forced.stdout
        assert [word.verb for word in firestore.states.load(RUN).control.said] == ["force"]
        again = tipoff("recompute", RUN, *where, **services)
        assert (again.returncode, "2 of 2 decisions" in again.stdout) == (0, True), again.stdout
        assert "operator" in tipoff("explain", RUN, *where, **services).stdout
