"""Many dates in one command: their order, what is done twice, what is left, and who waits for whom."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_processors.nba.runner import create_tables
from orchestration.backfill import Backfill, End
from orchestration.runs import Runs
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.model import RunKey, Start
from shared.core.order import Turn, turns
from shared.core.status import RunState
from tests.flow import seasons
from tests.flow.cli import documented, form, on_a_terminal, started, tipoff, tipoff_json, until
from tests.flow.snapshot import tables

FIRST, LAST = date(2025, 10, 28), date(2025, 10, 31)
DAYS = 4


def arguments(data: Path, home: Path, *more: object, mode: str = "overnight,same_day") -> tuple[object, ...]:
    return ("backfill", "nba", "--from", FIRST, "--to", LAST, "--mode", mode, "--data", data, "--home", home, *more)


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / wiring.WAREHOUSE_FILE), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def predicted(home: Path, mode: str) -> list[tuple[Any, ...]]:
    """What the runs of a mode said, whichever command ran them."""
    return rows(
        home,
        "SELECT game_date, game_id, player_id, system, round(value, 6), round(low, 6), round(high, 6)"
        f" FROM nba_predictions.predictions WHERE run LIKE '%.{mode}.%' ORDER BY ALL",
    )


@pytest.fixture(scope="module")
def filled(season: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with all three modes of four dates; for readers."""
    home = tmp_path_factory.mktemp("filled")
    ended = tipoff(*arguments(season, home, mode="overnight,same_day,tomorrow"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


# --- what it does -----------------------------------------------------------------------------------


def test_runs_come_in_the_order_of_the_wall_clock(filled: Path) -> None:
    store = Sqlite(filled / wiring.STATE_FILE, read_only=True)
    began = {}
    ended = {}
    for run in store.states.runs("nba", date.min, date.max):
        plan = store.states.plan(run)
        assert plan is not None
        began[run] = plan.started_at
        ended[run] = next(entry.at for entry in store.states.ledger(run) if entry.decision == "done")
    store.close()
    assert len(began) == 3 * DAYS
    for night in (run for run in began if run.mode == "overnight"):
        for run in began:
            before = run.date < night.date if run.mode == "overnight" else run.date <= night.date
            before = before or run == RunKey("nba", night.date + timedelta(days=1), "tomorrow")
            if before:
                assert ended[run] <= began[night], f"{run} before {night}"
            elif run != night:
                assert ended[night] <= began[run], f"{night} before {run}"


def test_what_same_day_predicted_is_graded_by_the_night_after(filled: Path) -> None:
    graded = rows(filled, "SELECT game_date, min(graded_run), max(graded_run) FROM nba_predictions.accuracy GROUP BY 1")
    assert sorted(graded) == [
        (day, f"nba.{day}.same_day.1", f"nba.{day}.same_day.1") for (day,) in rows(filled, PLAYED) if day <= LAST
    ]


PLAYED = "SELECT DISTINCT game_date FROM nba_analytics.player_game_summary WHERE game_date >= '2025-10-28' ORDER BY 1"


@pytest.mark.parametrize("mode", ["same_day", "tomorrow"])
def test_a_mode_alone_predicts_what_it_does_among_all(season: Path, filled: Path, tmp_path: Path, mode: str) -> None:
    ended = tipoff(*arguments(season, tmp_path, "--parallel", 4, mode=mode))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert predicted(tmp_path, mode)
    assert predicted(tmp_path, mode) == predicted(filled, mode)


def test_how_many_go_beside_each_other_changes_nothing(season: Path, filled: Path, tmp_path: Path) -> None:
    mode = "tomorrow, same_day, overnight"
    ended = tipoff(*arguments(season, tmp_path, "--parallel", 1, mode=mode))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert tables(tmp_path) == tables(filled)


def test_the_json_has_the_documented_form(season: Path, tmp_path: Path) -> None:
    told = tipoff_json(*arguments(season, tmp_path, mode="overnight"))
    example = documented("tipoff backfill")
    assert form(told) | {"left": form(example)["left"]} == form(example)
    assert told["states"].keys() == {str(state) for state in RunState}
    assert (told["runs"], told["there_before"], told["left"]) == (DAYS, 0, [])
    assert told["states"]["published"] + told["states"]["nothing_expected"] == DAYS
    assert (told["from"], told["to"], told["modes"]) == (str(FIRST), str(LAST), ["overnight"])


def test_a_pipe_gets_a_line_for_each_tenth_and_no_escape_codes(season: Path, tmp_path: Path) -> None:
    ended = tipoff(*arguments(season, tmp_path, mode="overnight"))
    assert "\x1b" not in ended.stdout + ended.stderr
    said = re.findall(r"^(\d+) of 4 runs, \d+ s(, about \d+ s left)?$", ended.stdout, re.MULTILINE)
    assert [(number, bool(left)) for number, left in said] == [("1", True), ("2", True), ("3", True), ("4", False)]


def test_a_terminal_gets_a_bar_that_reaches_its_end(season: Path, tmp_path: Path) -> None:
    said = on_a_terminal(*arguments(season, tmp_path, mode="overnight"))
    assert all(f"{number}/4" in said for number in range(5))
    assert "overnight" in said.split("1/4")[1], "it names what runs"
    assert re.search(r"\d:\d\d:\d\d\S* \S*left", said), "and how long it will go on"
    assert "of 4 runs, " not in said


# --- again ------------------------------------------------------------------------------------------


def test_again_it_finds_all_there_and_changes_nothing(season: Path, tmp_path: Path) -> None:
    assert tipoff(*arguments(season, tmp_path)).returncode == 0
    before, files = tables(tmp_path), {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    again = tipoff(*arguments(season, tmp_path))
    assert again.returncode == 0
    assert "8 of 8 runs are there already" in again.stdout
    assert tipoff_json(*arguments(season, tmp_path))["there_before"] == 8
    assert tables(tmp_path) == before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == files


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_the_same_command_goes_on_to_the_same_end(
    season: Path, filled: Path, tmp_path: Path, with_signal: signal.Signals
) -> None:
    command = arguments(season, tmp_path, "--parallel", 1, mode="overnight,same_day,tomorrow")
    process = started(*command)
    until(process, "of 12 runs")
    process.send_signal(with_signal)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (1 if with_signal == signal.SIGINT else -signal.SIGKILL)
    assert ("the same command goes on" in said) == (with_signal == signal.SIGINT)
    again = tipoff_json(*command)
    assert again["there_before"] > 0
    assert again["left"] == []
    assert tables(tmp_path) == tables(filled)


def test_a_second_backfill_waits_for_the_first_and_then_finds_all_there(season: Path, tmp_path: Path) -> None:
    first = started(*arguments(season, tmp_path))
    until(first, "loading")
    hasty = tipoff(*arguments(season, tmp_path, "--wait", 0))
    assert hasty.returncode == 2
    assert f"process {first.pid} (tipoff backfill nba --from {FIRST} --to {LAST}" in hasty.stderr
    assert "--wait SECONDS" in hasty.stderr
    second = tipoff(*arguments(season, tmp_path, "--wait", 100))
    assert first.wait(timeout=60) == 0, first.communicate()
    first.communicate()
    assert second.returncode == 0
    assert f"Waiting for process {first.pid}" in second.stdout
    assert "8 of 8 runs are there already" in second.stdout


# --- what is left -----------------------------------------------------------------------------------


@pytest.fixture
def lacking(season: Path, tmp_path: Path) -> tuple[Path, date]:
    """The season before the games of one date were over."""
    folder = seasons.copy(season, tmp_path / "lacking")
    day = next(FIRST + timedelta(days=n) for n in range(DAYS) if seasons.games_of(folder, FIRST + timedelta(days=n)))
    seasons.take_results(folder, seasons.games_of(folder, day))
    return folder, day


def test_a_run_that_can_only_wait_is_left_and_named_and_the_next_go_on(
    lacking: tuple[Path, date], tmp_path: Path
) -> None:
    data, day = lacking
    command = arguments(data, tmp_path / "home", "--patience", 0, mode="overnight")
    ended = tipoff(*command)
    assert ended.returncode == 1
    run = RunKey("nba", day, "overnight")
    assert f"{run} is running" in ended.stdout
    assert f"tipoff explain {run} --home {tmp_path / 'home'}" in ended.stdout
    assert "The same command goes on with those that are open." in ended.stdout
    again = tipoff_json(*command)
    assert [left["run"] for left in again["left"]] == [str(run)]
    assert (again["there_before"], again["states"]["running"]) == (DAYS - 1, 1)


@dataclass
class Kept:
    """What a backfill told."""

    ends: list[End] = field(default_factory=list)
    there: int = 0

    def found(self, there: int, all_runs: int) -> None:
        self.there = there

    def loading(self, text: str) -> None:
        pass

    def at_work(self, running: list[Start]) -> None:
        pass

    def ended(self, end: End) -> None:
        self.ends.append(end)


@dataclass
class HandClock:
    """Moved by hand, in steps so large that what the machine takes does not matter."""

    time: datetime = datetime(2026, 1, 5, 9, tzinfo=timezone.utc)

    def now(self) -> datetime:
        return self.time


@contextmanager
def opened(home: Path, data: Path, clock: HandClock) -> Iterator[Runs]:
    home.mkdir(exist_ok=True)
    local = wiring.LocalHome(home, Sqlite(home / wiring.STATE_FILE), clock)
    try:
        create_tables(local.warehouse)
        yield Runs(local, NBA, wiring.open_feed(data), "unknown")
    finally:
        local.close()


def one_pass(runs: Runs, wanted: tuple[Turn, ...]) -> Kept:
    kept = Kept()
    Backfill(runs, wanted, parallel=2, told=kept).go(patience_s=0)
    return kept


def test_a_failed_run_is_not_tried_again_and_named_again(lacking: tuple[Path, date], tmp_path: Path) -> None:
    data, day = lacking
    clock = HandClock()
    wanted = turns(NBA, [mode for mode in NBA.modes if mode.name == "overnight"], day, day)
    with opened(tmp_path / "home", data, clock) as runs:
        assert [end.state for end in one_pass(runs, wanted).ends] == [RunState.RUNNING]
        clock.time += timedelta(days=1)
        assert [end.state for end in one_pass(runs, wanted).ends] == [RunState.FAILED]
        again = one_pass(runs, wanted)
    assert [(end.state, end.before) for end in again.ends] == [(RunState.FAILED, True)]
    ended = tipoff(
        *("backfill", "nba", "--from", day, "--to", day, "--mode", "overnight"),
        *("--data", data, "--home", tmp_path / "home", "--json"),
    )
    assert ended.returncode == 1
    [left] = json.loads(ended.stdout)["left"]
    assert left["command"] == (
        f"tipoff run nba --date {day} --mode overnight --generation 2 --data {data} --home {tmp_path / 'home'}"
    )


def test_the_newest_generation_of_a_date_is_the_one_that_counts(lacking: tuple[Path, date], tmp_path: Path) -> None:
    data, day = lacking
    clock = HandClock()
    wanted = turns(NBA, [mode for mode in NBA.modes if mode.name == "overnight"], day, day)
    with opened(tmp_path / "home", data, clock) as runs:
        one_pass(runs, wanted)
        clock.time += timedelta(days=1)
        one_pass(runs, wanted)
        second = RunKey("nba", day, "overnight", 2)
        runs.go(second, patience_s=0, tell=lambda _: None, watch=lambda _: None)
        again = one_pass(runs, wanted)
    assert [(end.run, end.state) for end in again.ends] == [(second, RunState.RUNNING)]


# --- wrong usage ------------------------------------------------------------------------------------

WRONG = {
    "a first date outside the data": (("--from", "2025-10-01"), "--from 2025-10-01", "outside the data"),
    "a last date outside the data": (("--to", "2026-10-01"), "--to 2026-10-01", "outside the data"),
    "a first date after the last": (("--from", "2025-10-31", "--to", "2025-10-29"), "2025-10-31", "exchange"),
    "an unknown mode": (("--mode", "overnight,weekly"), "'weekly'", "overnight, same_day, tomorrow"),
    "none beside each other": (("--parallel", "0"), "'0'", "1 to 16"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_refused_before_anything_is_written(season: Path, tmp_path: Path, case: str) -> None:
    more, value, remedy = WRONG[case]
    ended = tipoff(*arguments(season, tmp_path / "home", *more))
    assert ended.returncode == 2
    assert value in ended.stderr
    assert remedy in ended.stderr
    assert not (tmp_path / "home").exists()
