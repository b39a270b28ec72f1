"""What `tipoff report` says: each figure beside one worked out by hand, and its forms."""

from __future__ import annotations

import fcntl
import json
import re
import statistics
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_processors.nba.runner import create_tables
from orchestration import report
from orchestration.cli.report import backup_line
from orchestration.report import QUERIES, WRITER, accuracy, sql
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.core.model import Fact, RunKey, Woke
from shared.core.repairs import BEGUN_BY
from shared.ports import Partition
from tests.flow.cli import documented, form, on_a_terminal, run_arguments, tipoff, tipoff_json
from tests.flow.days import new_days, succeed

DAY = timedelta(days=1)
FIRST = date(2024, 1, 1)


@pytest.fixture
def warehouse() -> Iterator[DuckDbWarehouse]:
    whole = wiring.memory_warehouse()
    create_tables(whole)
    yield whole
    whole.close()


def load(warehouse: DuckDbWarehouse, table: str, column: str, rows: list[dict[str, object]]) -> None:
    days = [date.fromisoformat(str(row[column])) for row in rows]
    warehouse.load(Partition(table=table, column=column, first=min(days), last=max(days)), rows, WRITER)


# --- accuracy ---------------------------------------------------------------------------------------


def played(warehouse: DuckDbWarehouse, points: dict[str, list[int]], *, last_season: list[int] | None = None) -> None:
    """Each player scores so much in a game a day from FIRST on; what he scored in the season before is as near."""
    rows: list[dict[str, object]] = []
    for player, scored in points.items():
        for number, pts in enumerate(scored):
            day = FIRST + number * DAY
            rows.append({"game_date": day, "game_id": f"g{day}", "season": "B", "player_id": player, "pts": pts})
        for number, pts in enumerate(last_season or ()):
            day = FIRST - (number + 1) * DAY
            rows.append({"game_date": day, "game_id": f"g{day}", "season": "A", "player_id": player, "pts": pts})
    load(warehouse, "nba_analytics.player_game_summary", "game_date", rows)


def graded(warehouse: DuckDbWarehouse, said: list[tuple[int, str, str, float, float, bool]]) -> None:
    """Day number, player, system, value, actual points, inside."""
    load(
        warehouse,
        "nba_predictions.accuracy",
        "game_date",
        [
            {
                "game_date": FIRST + number * DAY,
                "game_id": f"g{FIRST + number * DAY}",
                "player_id": player,
                "system": system,
                "value": value,
                "actual": actual,
                "error": value - actual,
                "inside": inside,
            }
            for number, player, system, value, actual, inside in said
        ],
    )


def by_system(warehouse: DuckDbWarehouse, first: date = date.min, last: date = date.max) -> dict[str, dict[str, Any]]:
    return {str(row["system"]): dict(row) for row in accuracy(warehouse, first, last)}


def test_error_bias_and_interval_are_those_of_each_system(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 20, 30]})
    graded(
        warehouse,
        [
            *[(1, "a", "ensemble", 24, 20, True), (2, "a", "ensemble", 29, 30, False)],
            (2, "a", "ridge", 20, 30, False),
        ],
    )
    found = by_system(warehouse)
    assert (found["ensemble"]["n"], found["ensemble"]["mae"], found["ensemble"]["bias"]) == (2, 2.5, 1.5)
    assert found["ensemble"]["inside_share"] == 0.5
    assert (found["ridge"]["n"], found["ridge"]["mae"], found["ridge"]["bias"]) == (1, 10.0, -10.0)
    assert found["ridge"]["ensemble_difference_pct"] == -90, "over the game that both have a word on"


def test_a_baseline_is_the_mean_of_the_last_games_strictly_before(warehouse: DuckDbWarehouse) -> None:
    scored = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    played(warehouse, {"a": scored})
    graded(warehouse, [(11, "a", "ensemble", 2000, 2048, True)])
    found = by_system(warehouse)
    assert found["last_5_games"]["bias"] == round(statistics.mean(scored[6:11]) - 2048, 3)
    assert found["last_10_games"]["bias"] == round(statistics.mean(scored[1:11]) - 2048, 3)


def test_what_a_player_did_last_season_is_not_his_form(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 20]}, last_season=[50, 50])
    graded(warehouse, [(1, "a", "ensemble", 20, 20, True)])
    assert by_system(warehouse)["last_10_games"]["bias"] == -10


def test_a_baseline_is_asked_about_the_graded_games_alone(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 20, 99], "b": [5, 5, 5]})
    graded(warehouse, [(1, "a", "ensemble", 20, 20, True)])
    assert by_system(warehouse)["last_5_games"]["n"] == 1


def test_a_first_game_has_no_baseline_and_the_ensemble_is_compared_without_it(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 20]})
    graded(warehouse, [(0, "a", "ensemble", 40, 10, False), (1, "a", "ensemble", 25, 20, True)])
    found = by_system(warehouse)
    assert (found["ensemble"]["n"], found["last_5_games"]["n"]) == (2, 1)
    assert found["last_5_games"]["mae"] == 10
    assert found["last_5_games"]["ensemble_difference_pct"] == -50, "5 points off beside 10"


def test_only_the_dates_asked_for_are_graded_but_form_comes_from_before(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 20, 30]})
    graded(warehouse, [(1, "a", "ensemble", 21, 20, True), (2, "a", "ensemble", 33, 30, True)])
    found = by_system(warehouse, FIRST + 2 * DAY, FIRST + 2 * DAY)
    assert (found["ensemble"]["n"], found["ensemble"]["mae"]) == (1, 3.0)
    assert found["last_5_games"]["mae"] == 15


def test_without_an_ensemble_or_a_base_error_the_difference_is_unknown(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 10]})
    graded(warehouse, [(1, "a", "ridge", 12, 10, True)])
    assert by_system(warehouse)["ridge"]["ensemble_difference_pct"] is None


def test_systems_come_first_the_closest_first(warehouse: DuckDbWarehouse) -> None:
    played(warehouse, {"a": [10, 10]})
    graded(warehouse, [(1, "a", "ridge", 12, 10, True), (1, "a", "ensemble", 11, 10, True)])
    kinds = [(row["kind"], row["system"]) for row in accuracy(warehouse, date.min, date.max)]
    assert kinds == [
        *[("system", "ensemble"), ("system", "ridge")],
        *[("baseline", "last_10_games"), ("baseline", "last_5_games")],
    ]


# --- runs -------------------------------------------------------------------------------------------

BEGAN = datetime(2024, 1, 2, 11, tzinfo=timezone.utc)


def of_runs(rows: list[tuple[int, str, int, str, float | None, float]]) -> dict[str, dict[str, Any]]:
    """Day number, mode, generation, state, seconds, completeness; to the row of each mode."""
    ops = wiring.memory_warehouse()
    try:
        ops.create(sql("ops.sql"))
        load(
            ops,
            "tipoff_ops.runs",
            "date",
            [
                {
                    "run_id": f"nba.{number}.{mode}.{generation}",
                    "pipeline": "nba",
                    "date": FIRST + number * DAY,
                    "mode": mode,
                    "generation": generation,
                    "state": state,
                    "started_at": BEGAN,
                    "duration_s": seconds,
                    "completeness": complete,
                }
                for number, mode, generation, state, seconds, complete in rows
            ],
        )
        found = ops.query(sql(QUERIES["runs"]), {"pipeline": "nba", "first": date.min, "last": date.max})
    finally:
        ops.close()
    return {str(row["mode"]): row for row in found}


def test_runs_are_counted_by_state_and_mode() -> None:
    states = ["published", "published", "degraded", "nothing_expected", "failed", "blocked", "running"]
    found = of_runs(
        [(number, "overnight", 1, state, 1.0, 1.0) for number, state in enumerate(states)]
        + [(0, "same_day", 1, "published", 1.0, 1.0)]
    )
    assert {state: found["overnight"][state] for state in states} == {state: states.count(state) for state in states}
    assert (found["overnight"]["runs"], found["same_day"]["runs"]) == (7, 1)


def test_the_newest_generation_counts_and_older_ones_are_replays() -> None:
    found = of_runs(
        [
            (0, "overnight", 1, "failed", None, 0.0),
            (0, "overnight", 2, "blocked", None, 0.0),
            (0, "overnight", 10, "published", 3.0, 1.0),
            (1, "overnight", 1, "published", 1.0, 1.0),
        ]
    )["overnight"]
    assert (found["runs"], found["replays"]) == (2, 2)
    assert (found["failed"], found["blocked"], found["published"]) == (0, 0, 2)


def test_times_and_completeness_are_of_the_runs_that_published() -> None:
    rows: list[tuple[int, str, int, str, float | None, float]] = [
        (number, "overnight", 1, "published", float(number), 1.0) for number in range(1, 100)
    ]
    rows += [(100, "overnight", 1, "degraded", 100.0, 0.5), (101, "overnight", 1, "nothing_expected", 1000.0, 0.0)]
    rows += [(102, "overnight", 1, "failed", None, 0.0)]
    found = of_runs(rows)["overnight"]
    assert found["duration_p50_s"] == 50.5
    assert found["duration_p95_s"] == 95.05
    assert found["duration_max_s"] == 100
    assert (found["completeness_mean"], found["completeness_min"]) == (0.995, 0.5)


def test_a_mode_that_never_published_has_no_times() -> None:
    found = of_runs([(0, "overnight", 1, "failed", None, 0.0)])["overnight"]
    assert {found[name] for name in ("duration_p50_s", "duration_max_s", "completeness_mean")} == {None}


# --- what the backup did --------------------------------------------------------------------------------


def test_what_the_timer_did_is_counted_beside_what_it_could_have_been() -> None:
    run = RunKey("nba", date(2031, 10, 31), "overnight")
    with new_days() as days, closing(wiring.memory_warehouse()) as ops:
        days.service.start_run(run, BEGUN_BY, Woke.SWEEP)
        for _ in ("schedule", "boxscores"):
            [start] = days.hear()
            days.ordered.remove(start)
            days.store.states.append(Fact(succeed(start), days.clock.now()))  # who had it died before it looked
            days.pass_by(seconds=60)
        days.finish(run)
        gates = len(days.view(run).plan.gates)
        report.load_runs(ops, days.store.states, "nba", date.min, date.max, days.clock.now())
        found = ops.query(sql(QUERIES["repairs"]), {"pipeline": "nba", "first": date.min, "last": date.max})
    assert [(row["kind"], row["times"], row["runs"], row["among"]) for row in found] == [
        *(("gate", 1, 1, gates), ("run", 1, 1, 1))
    ]
    told = report.Report(runs=[], reliability=[], repairs=found, accuracy=[])
    expected = f"What the backup did: 1 of {gates} gates opened by the timer, 1 of 1 runs begun by the timer."
    assert backup_line(told) == expected
    assert backup_line(replace(told, repairs=[])) == "What the backup did: nothing."


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A date that was predicted and graded, its night twice; for readers."""
    home = tmp_path_factory.mktemp("predicted")
    for mode, generation in (("same_day", 1), ("overnight", 1), ("overnight", 2)):
        ended = tipoff(*run_arguments(season, night, home, mode=mode), "--generation", generation)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


def test_the_json_has_the_documented_form(predicted: Path, night: date) -> None:
    told = tipoff_json("report", "nba", "--from", night, "--home", predicted)
    assert form(told) == form(documented("tipoff report"))
    modes = {row["mode"]: row for row in told["runs"]}
    assert (modes["same_day"]["published"], modes["overnight"]["published"]) == (1, 1)
    assert (modes["same_day"]["replays"], modes["overnight"]["replays"]) == (0, 1)


def test_the_command_says_what_the_graded_rows_say(predicted: Path) -> None:
    with duckdb.connect(str(predicted / wiring.WAREHOUSE_FILE), read_only=True) as connection:
        errors = connection.execute(
            "SELECT value - actual, low <= actual AND actual <= high FROM nba_predictions.accuracy"
            " WHERE system = 'ensemble'"
        ).fetchall()
    told = tipoff_json("report", "nba", "--home", predicted)
    ensemble = next(row for row in told["accuracy"] if row["system"] == "ensemble")
    assert ensemble["n"] == len(errors) > 0
    assert ensemble["mae"] == pytest.approx(statistics.mean(abs(error) for error, _ in errors), abs=0.001)
    assert ensemble["bias"] == pytest.approx(statistics.mean(error for error, _ in errors), abs=0.001)
    assert ensemble["inside_share"] == pytest.approx(statistics.mean(inside for _, inside in errors), abs=0.001)


def test_a_person_is_told_the_same(predicted: Path) -> None:
    told = tipoff_json("report", "nba", "--home", predicted)
    said = tipoff("report", "nba", "--home", predicted)
    assert said.returncode == 0
    for row in told["accuracy"]:
        line = next(line for line in said.stdout.splitlines() if line.startswith(str(row["system"]).replace("_", " ")))
        assert f"{row['mae']:.3f}" in line


@pytest.mark.parametrize("columns", [40, 80])
def test_no_figure_is_cut_however_narrow_the_terminal(predicted: Path, columns: int) -> None:
    told = tipoff_json("report", "nba", "--home", predicted)
    said = on_a_terminal("report", "nba", "--home", predicted, COLUMNS=str(columns), NO_COLOR="1")
    # the first table with a mode in it is that of the runs
    lines = {line.split()[0]: line.split() for line in reversed(said.splitlines()) if line.split()}
    for row in told["runs"]:
        assert f"{row['duration_max_s']:.2f}" in lines[row["mode"]]
        assert f"{row['completeness_mean']:.1%}" in lines[row["mode"]]
    for row in told["accuracy"]:
        assert f"{row['mae']:.3f}" in said


def test_a_state_that_no_run_is_in_has_no_column(predicted: Path) -> None:
    said = tipoff("report", "nba", "--home", predicted).stdout
    assert said.splitlines()[0].split() == [*("mode", "runs", "published", "replays"), *TIMES, "complete", "lowest"]


TIMES = ("p50", "s", "p95", "s", "max", "s")


def test_dates_without_runs_are_said_to_have_none(predicted: Path) -> None:
    ended = tipoff("report", "nba", "--to", "2025-10-01", "--home", predicted)
    assert ended.returncode == 0
    assert "No run of nba of these dates" in ended.stdout
    told = tipoff_json("report", "nba", "--to", "2025-10-01", "--home", predicted)
    assert (told["runs"], told["accuracy"]) == ([], [])


def test_a_home_without_predictions_says_so(season: Path, night: date, tmp_path: Path) -> None:
    assert tipoff(*run_arguments(season, night, tmp_path)).returncode == 0
    ended = tipoff("report", "nba", "--home", tmp_path)
    assert ended.returncode == 0
    assert "No prediction has been graded yet" in ended.stdout


def test_a_home_where_nothing_has_run_is_refused_and_not_made(tmp_path: Path) -> None:
    ended = tipoff("report", "nba", "--home", tmp_path / "home")
    assert ended.returncode == 2
    assert "nothing has run there yet" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_first_date_after_the_last_is_refused(predicted: Path) -> None:
    ended = tipoff("report", "nba", "--from", "2025-11-02", "--to", "2025-11-01", "--home", predicted)
    assert ended.returncode == 2
    assert "exchange them" in ended.stderr


def test_a_home_that_another_command_writes_is_waited_for_and_then_named(predicted: Path) -> None:
    with open(predicted / "lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = tipoff("report", "nba", "--home", predicted, "--wait", 0)
    assert ended.returncode == 2
    assert f"--home {predicted} is being written by process" in ended.stderr


def test_the_queries_are_those_behind_the_figures(tmp_path: Path) -> None:
    said = tipoff("report", "nba", "--queries", "--home", tmp_path / "home")
    assert said.returncode == 0
    told = json.loads(tipoff("report", "nba", "--queries", "--json", "--home", tmp_path / "home").stdout)["queries"]
    assert told == {name: sql(file) for name, file in QUERIES.items()}
    for query in told.values():
        assert f"{query.strip()};" in said.stdout, "one after the other, as a client takes them"


@pytest.mark.parametrize("file", [*report.QUERIES.values(), "ops.sql"])
def test_a_query_says_what_it_is_for_and_takes_values_as_parameters(file: str) -> None:
    assert sql(file).startswith("-- ")
    assert "{" not in sql(file)
    head = " ".join(line for line in sql(file).splitlines() if line.startswith("--"))
    for name in set(re.findall(r"@\w+", sql(file))):
        assert name.removeprefix("@") in head.split("Input:")[0].split("Parameters:")[1]
