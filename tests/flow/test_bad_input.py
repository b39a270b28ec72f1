"""What the world may send: no games, half a night, broken files and rows. None of it is published as if whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_processors.nba.runner import bootstrap, create_tables
from orchestration.runs import Runs, Tell, Watch
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.orchestration_config import PIPELINES
from shared.core.model import LedgerEntry, RunKey, Start
from shared.core.status import RunState, RunStatus
from tests.flow import seasons
from tests.flow.cli import run_arguments, tipoff, tipoff_json

FULL_NIGHT = date(2025, 10, 28)
"""Nine games in the small season."""

MORNING = datetime(2025, 10, 29, 10, 0, tzinfo=timezone.utc)
"""Six in New York, when the run of FULL_NIGHT usually starts."""


@pytest.fixture
def own_season(season: Path, tmp_path: Path) -> Path:
    """A copy of the small season that the test may change."""
    return seasons.copy(season, tmp_path / "season")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def explained(home: Path, day: date) -> Any:
    return tipoff_json("explain", f"nba.{day}.overnight.1", "--home", home)


def processors(told: Any) -> dict[str, Any]:
    return {each["processor"]: each for phase in told["phases"] for each in phase["processors"]}


# --- dates ------------------------------------------------------------------------------------------


def test_a_date_without_games_ends_well_with_nothing_expected(season: Path, home: Path) -> None:
    played = {row["game_date"] for row in seasons.read(season, "games")}
    empty = next(day for day in map(str, _days("2025-10-22", 9)) if day not in played)
    ended = tipoff(*run_arguments(season, date.fromisoformat(empty), home), "--json")
    assert ended.returncode == 0, ended.stderr
    [run] = json.loads(ended.stdout)["runs"]
    assert run["state"] == "nothing_expected"
    assert {phase["state"] for phase in run["phases"][1:]} == {"not_needed"}
    assert not list(home.rglob("results.json")), "nothing is published as if it were a night"


def _days(first: str, count: int) -> list[date]:
    return [date.fromisoformat(first) + timedelta(days=number) for number in range(count)]


@pytest.mark.parametrize("day", [date(2025, 10, 20), date(2025, 11, 2)], ids=["before", "after"])
def test_a_date_outside_the_data_is_refused_and_no_holiday(season: Path, home: Path, day: date) -> None:
    ended = tipoff(*run_arguments(season, day, home))
    assert ended.returncode == 2
    assert f"--date {day} is outside the data" in ended.stderr
    assert "2025-10-21 to 2025-11-01" in ended.stderr
    assert not home.exists()


# --- files ------------------------------------------------------------------------------------------


def refused(data: Path, home: Path, *said: str) -> None:
    """The run is refused before anything is written, in these words."""
    ended = tipoff(*run_arguments(data, FULL_NIGHT, home))
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    for words in said:
        assert words in ended.stderr
    assert not home.exists()


def test_a_missing_folder_is_named_with_what_it_should_hold(tmp_path: Path, home: Path) -> None:
    refused(tmp_path / "nowhere", home, str(tmp_path / "nowhere"), "no such folder", "games, player_box, team_box")


def test_a_missing_file_is_named(own_season: Path, home: Path) -> None:
    (own_season / "team_box.csv").unlink()
    refused(own_season, home, f"{own_season / 'team_box'}.parquet", "nor team_box.csv", "the folder must hold")


def test_a_missing_column_is_named_with_its_file(own_season: Path, home: Path) -> None:
    seasons.change(own_season, "player_box", lambda row: {name: row[name] for name in row if name != "minutes"})
    refused(own_season, home, str(own_season / "player_box.csv"), "column minutes is missing", "add it")


def test_an_empty_file_is_named(own_season: Path, home: Path) -> None:
    (own_season / "games.csv").write_text("")
    refused(own_season, home, str(own_season / "games.csv"), "is missing")


def as_parquet(season: Path, name: str) -> Path:
    path = season / f"{name}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM read_csv('{season / name}.csv')) TO '{path}' (FORMAT parquet)")
    (season / f"{name}.csv").unlink()
    return path


def test_parquet_is_read_like_csv(own_season: Path, home: Path) -> None:
    for name in ("games", "player_box", "team_box"):
        as_parquet(own_season, name)
    ended = tipoff(*run_arguments(own_season, FULL_NIGHT, home))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["games", "player_box"])
def test_a_truncated_parquet_is_named(own_season: Path, home: Path, name: str) -> None:
    path = as_parquet(own_season, name)
    path.write_bytes(path.read_bytes()[:-500])
    refused(own_season, home, str(path), "fetch or copy the file again")


def test_a_csv_value_that_does_not_parse_is_named_with_its_file(own_season: Path, home: Path) -> None:
    seasons.change(own_season, "games", lambda row: row | {"game_date": "yesterday"})
    refused(own_season, home, str(own_season / "games.csv"), "yesterday", "correct that value")


def test_a_csv_value_of_the_night_that_does_not_parse_is_named_with_its_file(own_season: Path, home: Path) -> None:
    game = seasons.games_of(own_season, FULL_NIGHT)[0]
    seasons.change(own_season, "player_box", lambda row: row | {"minutes": "a lot"} if row["game_id"] == game else row)
    ended = tipoff(*run_arguments(own_season, FULL_NIGHT, home), "--patience", 0)
    said = ended.stderr + ended.stdout
    assert ended.returncode in (1, 2)
    assert "Traceback" not in said
    assert "player_box.csv" in said
    assert "a lot" in said
    assert "correct that value" in said


# --- rows -------------------------------------------------------------------------------------------


def one_more_point(row: seasons.Row) -> seasons.Row:
    return row | {"pts": str(int(row["pts"]) + 1)}


BROKEN = {
    "a row that breaks an identity": (one_more_point, "pts identity broken for player"),
    "a negative number": (lambda row: row | {"stl": "-3"}, "negative number for player"),
    "a number that is not there": (lambda row: row | {"minutes": ""}, "unreadable number for player"),
    "a line that is not there": (lambda row: None, "player lines, the schedule says 20"),
    "a team that does not play": (lambda row: row | {"team": "NOB"}, "is not on a side of this game"),
    "a player without an id": (lambda row: row | {"player_id": ""}, "key missing in a line of player"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_broken_row_keeps_out_its_game_alone_and_says_why(own_season: Path, home: Path, case: str) -> None:
    breaks, why = BROKEN[case]
    game, *others = seasons.games_of(own_season, FULL_NIGHT)
    broken = next(row for row in seasons.read(own_season, "player_box") if row["game_id"] == game)
    seasons.change(own_season, "player_box", lambda row: breaks(row) if row == broken else row)

    ended = tipoff(*run_arguments(own_season, FULL_NIGHT, home), "--patience", 0)
    assert ended.returncode == 1, "raw waits for its deadline: the row may be corrected"
    told = explained(home, FULL_NIGHT)
    assert told["state"] in ("running", "blocked")
    assert told["next_look_at"]
    for name in ("player_boxscores", "team_boxscores"):
        assert processors(told)[name]["missing_units"] == [game]
        assert why in processors(told)[name]["why"]
        assert processors(told)[name]["share"] == pytest.approx(len(others) / (len(others) + 1), abs=1e-4)


def test_a_night_of_which_some_games_are_not_over_waits_and_names_them(own_season: Path, home: Path) -> None:
    late = seasons.games_of(own_season, FULL_NIGHT)[:2]
    seasons.take_results(own_season, late)
    ended = tipoff(*run_arguments(own_season, FULL_NIGHT, home), "--patience", 0)
    assert ended.returncode == 1
    told = explained(home, FULL_NIGHT)
    assert told["state"] == "running"
    assert processors(told)["boxscores"]["missing_units"] == late
    assert "no final box score yet" in processors(told)["boxscores"]["why"]
    assert not list(home.rglob("results.json"))


def test_a_night_that_was_not_over_is_not_asked_again_before_its_next_look(
    season: Path, own_season: Path, home: Path
) -> None:
    seasons.take_results(own_season, seasons.games_of(own_season, FULL_NIGHT)[:2])
    arguments = run_arguments(own_season, FULL_NIGHT, home)
    assert tipoff(*arguments, "--patience", 0).returncode == 1
    seasons.copy(season, own_season)
    again = tipoff(*arguments, "--patience", 0, "--json")
    assert json.loads(again.stdout)["runs"][0]["state"] == "running", "the next look is in five minutes"


# --- a night that stays incomplete, and the hours it takes --------------------------------------------


@dataclass
class HandClock:
    """A clock that is moved by hand, in steps so large that what the machine takes does not matter."""

    time: datetime = MORNING

    def now(self) -> datetime:
        return self.time


@contextmanager
def opened(home: Path, data: Path, clock: HandClock) -> Iterator[Runs]:
    """The home as `tipoff run` opens it, under that clock."""
    home.mkdir(exist_ok=True)
    local = wiring.LocalHome(home, Sqlite(home / wiring.STATE_FILE), clock)
    try:
        runs = Runs(local, PIPELINES["nba"], wiring.open_feed(data), "unknown")
        create_tables(local.warehouse)
        bootstrap(runs.work, FULL_NIGHT, lambda _: None)
        yield runs
    finally:
        local.close()


def go(runs: Runs, tell: Tell = lambda _: None, watch: Watch = lambda _: None) -> RunStatus:
    return runs.go(RunKey("nba", FULL_NIGHT, "overnight"), patience_s=0, tell=tell, watch=watch)


def document(home: Path, name: str) -> Any:
    [path] = home.rglob(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def lacking(own_season: Path) -> list[str]:
    """Three games of the night that are over and have no box score."""
    games = seasons.games_of(own_season, FULL_NIGHT)[:3]
    seasons.take_lines(own_season, games)
    return games


def degraded_night(runs: Runs, clock: HandClock) -> RunStatus:
    """From the usual start past the deadline of the first phase."""
    status = go(runs)
    assert status.state is RunState.RUNNING
    clock.time = status.phases[0].deadline_at + timedelta(seconds=1)
    return go(runs)


def test_a_night_that_stays_incomplete_is_published_degraded_and_names_what_is_missing(
    own_season: Path, home: Path, lacking: list[str]
) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        status = degraded_night(runs, clock)
    assert status.state is RunState.DEGRADED
    assert 0 < status.completeness < 1
    results = document(home, "results")
    assert {game["game_id"] for game in results["games"]} == set(seasons.games_of(own_season, FULL_NIGHT)) - set(
        lacking
    )
    for name in ("results", "status"):
        assert document(home, name)["completeness"] < 1
        assert [missing["processor"] for missing in document(home, name)["missing"]] == ["boxscores"]
        assert sorted(document(home, name)["missing"][0]["units"]) == sorted(lacking)


@pytest.mark.parametrize("name", ["results", "status"])
def test_a_degraded_document_names_the_games_that_are_missing(
    own_season: Path, home: Path, lacking: list[str], name: str
) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        degraded_night(runs, clock)
    assert [game for game in lacking if game not in json.dumps(document(home, name))] == []


def test_a_degraded_night_is_an_end_with_exit_code_0(own_season: Path, home: Path, lacking: list[str]) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        degraded_night(runs, clock)
    ended = tipoff(*run_arguments(own_season, FULL_NIGHT, home), "--json", "--patience", 0)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["runs"][0]["state"] == "degraded"
    for game in lacking:
        assert game in processors(explained(home, FULL_NIGHT))["boxscores"]["missing_units"]


def test_a_box_score_that_comes_while_the_run_waits_makes_it_complete(
    season: Path, own_season: Path, home: Path, lacking: list[str]
) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        assert go(runs).state is RunState.RUNNING
        seasons.copy(season, own_season)
        clock.time += timedelta(minutes=6)
        status = go(runs)
    assert status.state is RunState.PUBLISHED
    assert status.completeness == 1
    assert {game["game_id"] for game in document(home, "results")["games"]} >= set(lacking)


def test_a_box_score_that_comes_after_its_gate_has_opened_without_it_makes_the_outputs_complete(
    season: Path, own_season: Path, home: Path, lacking: list[str]
) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        clock.time = go(runs).phases[0].deadline_at + timedelta(seconds=1)
        opened_gates: list[str] = []
        came = False

        def note(entry: LedgerEntry) -> None:
            if entry.decision == "open":
                opened_gates.append(entry.gate)

        def they_come(running: list[Start]) -> None:
            nonlocal came
            looking = any(start.processor == "boxscores" for start in running)  # it would report the old season late
            if not came and "analytics" in opened_gates and not looking:
                came = True
                seasons.copy(season, own_season)
                clock.time += timedelta(minutes=6)

        status = go(runs, tell=note, watch=they_come)
    assert opened_gates.count("analytics") == 2, "once degraded, once complete"
    assert status.state is RunState.PUBLISHED
    assert status.completeness == 1
    assert {game["game_id"] for game in document(home, "results")["games"]} >= set(lacking)
    assert document(home, "results")["completeness"] == 1
    assert document(home, "results")["missing"] == []


def test_a_box_score_that_comes_after_the_degraded_end_makes_the_outputs_complete(
    season: Path, own_season: Path, home: Path, lacking: list[str]
) -> None:
    clock = HandClock()
    with opened(home, own_season, clock) as runs:
        degraded_night(runs, clock)
        seasons.copy(season, own_season)
        clock.time += timedelta(minutes=30)
        status = go(runs)
    assert status.state is RunState.PUBLISHED
    assert {game["game_id"] for game in document(home, "results")["games"]} >= set(lacking)
    assert document(home, "results")["completeness"] == 1


def test_a_look_that_falls_due_between_two_sweeps_is_not_walked_away_from_though_the_run_has_ended_degraded(
    season: Path, own_season: Path, home: Path, lacking: list[str]
) -> None:
    clock, key = HandClock(), RunKey("nba", FULL_NIGHT, "overnight")
    with opened(home, own_season, clock) as runs:
        clock.time = go(runs).phases[0].deadline_at + timedelta(seconds=1)
        ends = []

        def they_come(running: list[Start]) -> None:
            if not running and not ends and runs.status(key).state is RunState.DEGRADED:
                ends.append(clock.time)
                seasons.copy(season, own_season)
                clock.time += timedelta(minutes=6)

        status = go(runs, watch=they_come)
    assert ends, "it never ended degraded"
    assert status.state is RunState.PUBLISHED


def test_a_retry_that_falls_due_between_two_sweeps_is_not_walked_away_from(own_season: Path, home: Path) -> None:
    clock, exports = HandClock(), home / wiring.EXPORTS
    with opened(home, own_season, clock) as runs:
        exports.write_text("")  # no folder can be made below it
        assert go(runs).state is RunState.RUNNING

        def time_passes(running: list[Start]) -> None:
            if exports.is_file() and not running:
                exports.unlink()
                clock.time += timedelta(seconds=10)

        status = go(runs, watch=time_passes)
    assert status.state is RunState.PUBLISHED
