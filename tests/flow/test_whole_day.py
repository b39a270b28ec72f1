"""What goes wrong on a real day, through the whole engine: postponed, unfinished, corrected, late, twice, at once.

Every run here goes through service, bus, gates, coordinator, workers and exports on embedded parts; time is moved by
hand. Longer than 400 lines because the list of what goes wrong is kept in one place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.backfill import Backfill, End
from shared.config.nba import NBA
from shared.core.model import RunKey, Start
from shared.core.order import turns
from shared.core.status import RunState
from tests.flow import seasons
from tests.flow.days import WholeDays, whole_days
from tests.flow.snapshot import KEYS

DAY = timedelta(days=1)
BUSY = date(2025, 10, 30)  # eight games, and a game the day after
BUSIEST = date(2025, 10, 21)  # ten games, the first of the season
EMPTY = date(2025, 10, 25)
LAST = date(2025, 11, 1)
LABELS = ("run", "attempt", "fence", "generated_at", "commit")
MODES = ("overnight", "same_day", "tomorrow")


@pytest.fixture
def data(season: Path, tmp_path: Path) -> Path:
    """A season of one's own, to be edited."""
    return seasons.copy(season, tmp_path / "season")


@pytest.fixture
def days(data: Path, tmp_path: Path) -> Iterator[WholeDays]:
    with whole_days(tmp_path / "home", data) as days:
        yield days


def run(mode: str, day: date = BUSY) -> RunKey:
    return RunKey("nba", day, mode)


def postpone(data: Path, games: list[str], to: date) -> None:
    """Not played on their date: the schedule has them on another one."""
    seasons.take_results(data, games)
    seasons.change(data, "games", lambda row: row | {"game_date": str(to)} if row["game_id"] in games else row)


def bring(season: Path, data: Path, name: str, games: list[str]) -> None:
    """What the whole season says of these games takes the place of what is here."""
    kept = [row for row in seasons.read(data, name) if row["game_id"] not in games]
    seasons.write(data, name, kept + [row for row in seasons.read(season, name) if row["game_id"] in games])


def finish(season: Path, data: Path, games: list[str]) -> None:
    for name in ("games", "player_box", "team_box"):
        bring(season, data, name, games)


def games_in(document: dict[str, Any]) -> list[str]:
    return sorted(game["game_id"] for game in document["games"])


def players_in(document: dict[str, Any]) -> list[str]:
    return sorted(player["player_id"] for game in document["games"] for player in game["players"])


def content(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in LABELS}


def missing_in(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {missing["processor"]: tuple(missing.get("units", ())) for missing in document["missing"]}


# --- a game is postponed ------------------------------------------------------------------------------


def test_a_game_postponed_after_its_predictions_is_predicted_announced_and_graded_no_more(
    days: WholeDays, data: Path
) -> None:
    assert days.one(run("same_day")).state is RunState.PUBLISHED
    games = seasons.games_of(data, BUSY)
    gone, left = games[0], games[1:]
    assert games_in(days.document(BUSY, "tonight")) == games
    postpone(data, [gone], BUSY + 2 * DAY)
    days.clock.time += timedelta(hours=2)
    assert days.look_again(run("same_day")).state is RunState.PUBLISHED
    assert set(days.attempts(run("same_day")).values()) == {2}
    for table in ("nba_analytics.upcoming_player_game_context", "nba_precompute.ml_feature_store"):
        held = days.rows(f"SELECT DISTINCT game_id FROM {table} WHERE as_of = @day ORDER BY 1", day=BUSY)
        assert held == [(game,) for game in left], table
    predicted = days.rows("SELECT DISTINCT game_id, attempt FROM nba_predictions.predictions ORDER BY 1")
    assert predicted == [(game, 2) for game in left]
    tonight = days.document(BUSY, "tonight")
    assert (games_in(tonight), tonight["withdrawn"], tonight["missing"]) == (left, [gone], [])
    night = days.one(run("overnight"))
    assert (night.state, night.missing) == (RunState.PUBLISHED, ())
    results = days.document(BUSY, "results")
    assert (games_in(results), results["missing"]) == (left, [])
    assert results["grades"]["graded_runs"] == [str(run("same_day"))]


def test_a_postponed_game_that_was_announced_to_the_end_is_neither_expected_at_night_nor_graded(
    days: WholeDays, data: Path
) -> None:
    days.one(run("same_day"))
    games = seasons.games_of(data, BUSY)
    postpone(data, games[:1], BUSY + 2 * DAY)
    night = days.one(run("overnight"))
    assert (night.state, night.missing, night.completeness) == (RunState.PUBLISHED, (), 1.0)
    graded = days.rows("SELECT DISTINCT game_id FROM nba_predictions.accuracy ORDER BY 1")
    assert graded == [(game,) for game in games[1:]]
    assert games_in(days.document(BUSY, "results")) == games[1:]


def test_when_every_game_of_a_date_is_called_off_tonight_says_so(days: WholeDays, data: Path) -> None:
    days.one(run("same_day"))
    games = seasons.games_of(data, BUSY)
    postpone(data, games, BUSY + 2 * DAY)
    days.clock.time += timedelta(hours=2)
    status = days.look_again(run("same_day"))
    assert (status.state, status.missing) == (RunState.PUBLISHED, ())
    tonight = days.document(BUSY, "tonight")
    assert (tonight["games"], tonight["withdrawn"], tonight["attempt"]) == ([], games, 2)
    before = days.attempts(run("same_day"))
    days.clock.time += timedelta(hours=1)
    assert days.look_again(run("same_day")).state is RunState.PUBLISHED
    assert days.attempts(run("same_day")) == before | {"schedule": 3}
    assert days.one(run("overnight")).state is RunState.NOTHING_EXPECTED
    assert days.document(BUSY, "tonight") == tonight


def test_a_game_that_is_called_off_and_on_again_is_announced_again(days: WholeDays, season: Path, data: Path) -> None:
    days.one(run("same_day"))
    first, games = content(days.document(BUSY, "tonight")), seasons.games_of(data, BUSY)
    postpone(data, games, BUSY + 2 * DAY)
    days.look_again(run("same_day"))
    finish(season, data, games)
    assert days.look_again(run("same_day")).state is RunState.PUBLISHED
    assert content(days.document(BUSY, "tonight")) == first


def test_what_the_evening_before_announced_is_taken_back_by_a_day_without_games(days: WholeDays, data: Path) -> None:
    assert days.one(run("tomorrow")).state is RunState.PUBLISHED
    games = seasons.games_of(data, BUSY)
    postpone(data, games, BUSY + 2 * DAY)
    assert days.one(run("same_day")).state is RunState.PUBLISHED
    tonight = days.document(BUSY, "tonight")
    assert (tonight["run"], tonight["games"], tonight["withdrawn"]) == (str(run("same_day")), [], games)


# --- a game is not over -------------------------------------------------------------------------------


def test_one_unfinished_game_of_the_busiest_night_is_waited_for_then_named_then_published(
    days: WholeDays, season: Path, data: Path
) -> None:
    games = seasons.games_of(data, BUSIEST)
    late = games[3]
    others = [game for game in games if game != late]
    seasons.take_results(data, [late])
    night = run("overnight", BUSIEST)
    days.begin(night)
    status = days.go(night)[0]
    assert (status.state, status.reason) == (
        RunState.RUNNING,
        "1 of 2 processors of scrape are done; waiting for boxscores",
    )
    assert status.phases[0].standings["boxscores"].why.startswith(f"has 90% of its games: {late}")
    deadline_at = status.phases[0].deadline_at
    status = days.go_until(night, deadline_at + timedelta(hours=1))
    assert days.clock.time == deadline_at
    assert (status.state, "boxscores" in status.missing) == (RunState.DEGRADED, True)
    results = days.document(BUSIEST, "results")
    assert (games_in(results), missing_in(results)["boxscores"]) == (others, (late,))
    assert 0 < results["completeness"] < 1
    finish(season, data, [late])
    days.clock.time += timedelta(minutes=5)
    status = days.go(night)[0]
    assert (status.state, status.completeness, status.missing) == (RunState.PUBLISHED, 1.0, ())
    results = days.document(BUSIEST, "results")
    assert (games_in(results), results["missing"], results["completeness"]) == (games, [], 1.0)


# --- box scores are corrected -------------------------------------------------------------------------


def one_free_throw_more(data: Path, game: str) -> None:
    """His line, his team's line and the final score, as the league corrects them."""
    line = next(row for row in seasons.read(data, "player_box") if row["game_id"] == game)

    def more(row: seasons.Row) -> seasons.Row:
        mine = (row["game_id"], row["team"]) == (game, line["team"])
        if not mine or row.get("player_id", line["player_id"]) != line["player_id"]:
            return row
        return row | {name: str(int(row[name]) + 1) for name in ("pts", "ftm", "fta")}

    def score(row: seasons.Row) -> seasons.Row:
        side = "home_pts" if row["home_team"] == line["team"] else "away_pts"
        return row | {side: str(int(row[side]) + 1)} if row["game_id"] == game else row

    for name in ("player_box", "team_box"):
        seasons.change(data, name, more)
    seasons.change(data, "games", score)


def test_box_scores_corrected_a_day_later_reach_results_and_grades_exactly_once(days: WholeDays, data: Path) -> None:
    for mode in ("same_day", "overnight"):
        assert days.one(run(mode)).state is RunState.PUBLISHED
    after = days.one(run("same_day", BUSY + DAY))
    assert after.state is RunState.PUBLISHED
    before = {name: days.document(day, name) for day, name in ((BUSY, "tonight"), (BUSY + DAY, "tonight"))}
    first, graded = days.document(BUSY, "results"), accuracy(days)
    days.clock.time += timedelta(hours=20)
    one_free_throw_more(data, seasons.games_of(data, BUSY)[0])
    assert days.look_again(run("overnight")).state is RunState.PUBLISHED
    # looked at beside the schedule, which has the corrected score: the box scores are read once more after it
    twice = dict.fromkeys(days.attempts(run("overnight")), 2) | {"boxscores": 3}
    assert days.attempts(run("overnight")) == twice
    second = days.document(BUSY, "results")
    assert sum(p["pts"] for p in all_players(second)) == sum(p["pts"] for p in all_players(first)) + 1
    assert (
        len(set(accuracy(days)) - set(graded)) == len(set(graded) - set(accuracy(days))) == 4
    )  # one player, by system
    assert second["grades"] != first["grades"]
    days.look_again(run("overnight"))
    assert days.attempts(run("overnight")) == twice | {"schedule": 3, "boxscores": 4}
    assert days.document(BUSY, "results") == second
    for key in (run("same_day"), run("same_day", BUSY + DAY)):
        assert set(days.attempts(key).values()) == {1}
    assert before == {name: days.document(day, name) for day, name in ((BUSY, "tonight"), (BUSY + DAY, "tonight"))}


def accuracy(days: WholeDays) -> list[tuple[object, ...]]:
    return days.rows("SELECT game_id, player_id, system, actual, error FROM nba_predictions.accuracy ORDER BY 1, 2, 3")


def all_players(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [player for game in document["games"] for player in game["players"]]


# --- the night is late --------------------------------------------------------------------------------


def test_a_day_goes_on_without_a_late_night_says_so_and_a_replay_takes_it_in(
    days: WholeDays, season: Path, data: Path
) -> None:
    night, today = run("overnight", BUSY - DAY), run("same_day")
    games = seasons.games_of(data, BUSY - DAY)
    seasons.take_results(data, games)
    days.begin(night)
    days.begin(today)
    began = days.clock.time
    late, waits = days.go(night, today)
    assert (late.state, waits.state) == (RunState.RUNNING, RunState.RUNNING)
    assert (
        waits.reason
        == f"runs_before: waits for overnight of {BUSY - DAY} until {began + timedelta(minutes=30):%Y-%m-%d %H:%M} UTC"
    )
    status = days.go_until(today, began + timedelta(minutes=30))
    assert timedelta(minutes=30) <= days.clock.time - began < timedelta(minutes=31)
    name = f"overnight of {BUSY - DAY}"
    assert (status.state, status.missing) == (RunState.DEGRADED, (name,))
    tonight = days.document(BUSY, "tonight")
    assert name in missing_in(tonight)
    assert "has not published" in tonight["missing"][0]["why"]
    assert games_in(tonight) == seasons.games_of(data, BUSY)

    finish(season, data, games)
    days.clock.time += timedelta(minutes=30)
    assert days.go(night)[0].state is RunState.PUBLISHED
    days.clock.time += timedelta(minutes=30)
    status = days.go(today)[0]
    assert (status.state, status.missing) == (RunState.DEGRADED, (name,))
    assert set(days.attempts(today).values()) == {1}
    remedy = f"`tipoff replay {today} --from analytics --reason TEXT` takes it in"
    assert [decision for decision in days.decisions(today) if remedy in decision]
    again = days.replay(today, "analytics")
    status = days.go(again)[0]
    assert (status.state, status.missing) == (RunState.PUBLISHED, ())
    fresh = days.document(BUSY, "tonight")
    assert (fresh["run"], fresh["missing"]) == (str(again), [])
    assert fresh["games"] != tonight["games"]


# --- at once ------------------------------------------------------------------------------------------


def test_tomorrow_and_same_day_of_one_date_at_once_end_as_one_after_the_other(
    days: WholeDays, season: Path, tmp_path: Path
) -> None:
    both = (run("tomorrow"), run("same_day"))
    with whole_days(tmp_path / "calm", season) as calm:
        calm.begin(run("same_day"))
        for key in both:
            calm.go(key)
        expected, tonight = tables(calm, "WHERE run LIKE '%same_day%'"), calm.document(BUSY, "tonight")
    days.begin(run("same_day"))
    assert [status.state for status in days.go(*both)] == [RunState.PUBLISHED] * 2
    assert tables(days, "WHERE run LIKE '%same_day%'") == expected
    assert content(days.document(BUSY, "tonight")) == content(tonight)
    assert days.rows("SELECT DISTINCT run FROM nba_predictions.current") == [(str(run("same_day")),)]
    once = "SELECT count(*) - count(DISTINCT (run, game_id, player_id, system)) FROM nba_predictions.predictions"
    assert days.rows(once) == [(0,)]


def tables(days: WholeDays, where: str = "") -> dict[str, list[tuple[object, ...]]]:
    """The rows of every table but who wrote them, and, but for a condition, whose."""
    return {
        table: sorted(
            days.rows(
                f"SELECT * EXCEPT (run, attempt, fence, inputs_completeness, inputs_missing) FROM {table} {where}"
            ),
            key=repr,
        )
        for table in KEYS
    }


def test_a_replay_while_the_night_grades_is_graded_with_the_newest_generation(
    days: WholeDays, season: Path, data: Path
) -> None:
    today, night = run("same_day"), run("overnight")
    days.one(today)
    games = seasons.games_of(data, BUSY)
    seasons.take_results(data, games)
    days.begin(night)
    assert days.go(night)[0].state is RunState.RUNNING
    finish(season, data, games)
    again = days.replay(today, "predictions")
    days.clock.time += timedelta(minutes=5)
    assert [status.state for status in days.go(night, again)] == [RunState.PUBLISHED] * 2
    assert days.document(BUSY, "tonight")["run"] == str(again)
    mixed = "SELECT player_id FROM nba_predictions.accuracy GROUP BY 1 HAVING count(DISTINCT graded_run) > 1"
    assert days.rows(mixed) == []
    # whichever of the two was first there: graded anew, it is the newest generation that counts, and nobody is lost
    known = days.rows("SELECT DISTINCT player_id, system FROM nba_predictions.accuracy ORDER BY 1, 2")
    graded = days.replay(night, "grading")
    assert days.go(graded)[0].state is RunState.PUBLISHED
    assert days.document(BUSY, "results")["grades"]["graded_runs"] == [str(again)]
    assert days.rows("SELECT DISTINCT player_id, system FROM nba_predictions.accuracy ORDER BY 1, 2") == known


# --- half of the units fail ---------------------------------------------------------------------------


@dataclass
class BrokenFeatures:
    """A warehouse that loses which game it is of every second player's features: his prediction raises."""

    warehouse: Any
    mended: bool = False
    read: int = 0

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.warehouse, verb)

    def query(self, sql: str, parameters: dict[str, object]) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.warehouse.query(sql, parameters)
        if self.mended or not rows or not {"player_id", "features_present"} <= rows[0].keys():
            return rows
        self.read += 1
        return [
            {name: value for name, value in row.items() if name != "game_id" or number % 2}
            for number, row in enumerate(rows)
        ]


@contextmanager
def broken(days: WholeDays) -> Iterator[BrokenFeatures]:
    features = BrokenFeatures(days.local.warehouse)
    vars(days.local)["warehouse"] = features  # where the home keeps the one it has opened
    try:
        yield features
    finally:
        vars(days.local)["warehouse"] = features.warehouse


def begin_late(days: WholeDays, today: RunKey) -> None:
    """Half an hour before the deadline, so that the phases have minutes and not hours."""
    days.begin(today)
    days.clock.time = datetime.fromisoformat(f"{BUSY}T22:00:00+00:00")


def test_when_half_of_the_units_fail_the_rest_is_published_at_the_deadline_with_the_players_named(
    days: WholeDays,
) -> None:
    today = run("same_day")
    begin_late(days, today)
    with broken(days) as features:
        status = days.go(today)[0]
        assert status.state is RunState.RUNNING
        status = days.go_until(today, days.clock.time + timedelta(hours=3))
    (phase,) = [phase for phase in status.phases if phase.phase == "predictions"]
    assert (status.state, status.missing) == (RunState.DEGRADED, ("predictions",))
    assert phase.passed_at == phase.deadline_at
    expected = [player for (player,) in days.rows("SELECT player_id FROM nba_precompute.ml_feature_store ORDER BY 1")]
    lost = tuple(expected[::2])
    ordered = days.attempts(today)
    assert 1 < features.read == ordered.pop("predictions") <= phase.standings["predictions"].processor.looks_max
    assert set(ordered.values()) == {1}
    tonight = days.document(BUSY, "tonight")
    assert missing_in(tonight) == {"predictions": lost}
    assert tonight["missing"][0]["why"].startswith("has 50% of its players")
    assert players_in(tonight) == expected[1::2]
    assert tonight["completeness"] == round(1 - len(lost) / len(expected), 4)


def test_units_that_fail_and_then_do_not_are_whole_before_the_deadline(days: WholeDays) -> None:
    today = run("same_day")
    begin_late(days, today)
    with broken(days) as features:
        days.go(today)
        days.clock.time += timedelta(minutes=2)
        days.go(today)
        features.mended = True
        status = days.go_until(today, days.clock.time + timedelta(hours=3))
    assert (status.state, status.missing, status.completeness) == (RunState.PUBLISHED, (), 1.0)
    assert days.document(BUSY, "tonight")["missing"] == []


# --- over the same dates ------------------------------------------------------------------------------


@dataclass
class Quiet:
    """Who is told by a backfill, and does not care."""

    def found(self, there: int, all_runs: int) -> None:
        pass

    def loading(self, text: str) -> None:
        pass

    def at_work(self, running: list[Start]) -> None:
        pass

    def ended(self, end: End) -> None:
        pass


def backfill(days: WholeDays, first: date, last: date, *modes: str, parallel: int = 1) -> list[End]:
    days.clock.time = max(days.clock.time, datetime.fromisoformat("2026-01-05T09:00:00+00:00"))
    wanted = turns(NBA, [mode for mode in NBA.modes if mode.name in modes], first, last)
    pass_over = Backfill(days.runs, wanted, parallel=parallel, told=Quiet())
    pass_over.go(patience_s=0)
    return pass_over.ends


def test_of_two_backfills_over_the_same_dates_the_second_does_only_what_is_not_there(
    days: WholeDays, season: Path, tmp_path: Path
) -> None:
    first = backfill(days, BUSY - DAY, BUSY, "overnight", "same_day")
    assert [(end.state, end.before) for end in first] == [(RunState.PUBLISHED, False)] * 4
    attempts = {end.run: days.attempts(end.run) for end in first}
    held, documents = tables(days), published(days)
    for parallel in (1, 2):
        again = backfill(days, BUSY - DAY, BUSY, "overnight", "same_day", parallel=parallel)
        assert [(end.state, end.before) for end in again] == [(RunState.PUBLISHED, True)] * 4
        assert (tables(days), published(days)) == (held, documents)
    more = backfill(days, BUSY - DAY, BUSY, *MODES, parallel=2)
    assert Counter((end.run.mode, end.before) for end in more) == {
        ("overnight", True): 2,
        ("same_day", True): 2,
        ("tomorrow", False): 2,
    }
    assert {end.state for end in more} == {RunState.PUBLISHED}
    assert {key: days.attempts(key) for key in attempts} == attempts
    tonight = {name: text for name, text in published(days).items() if name.endswith("tonight.json")}
    assert tonight == {name: text for name, text in documents.items() if name.endswith("tonight.json")}
    accurate = "nba_predictions.accuracy"
    assert tables(days)[accurate] == held[accurate]


def published(days: WholeDays) -> dict[str, bytes]:
    folder = days.local.path / "exports"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


def test_a_backfill_of_both_modes_ahead_beside_each_other_ends_as_one_by_one(
    days: WholeDays, season: Path, tmp_path: Path
) -> None:
    with whole_days(tmp_path / "calm", season) as calm:
        backfill(calm, BUSY - DAY, BUSY + DAY, "tomorrow", "same_day")
        expected, documents = tables(calm), contents(calm)
    ends = backfill(days, BUSY - DAY, BUSY + DAY, "tomorrow", "same_day", parallel=2)
    assert [end.state for end in ends] == [RunState.PUBLISHED] * 6
    assert tables(days) == expected
    assert contents(days) == documents


def contents(days: WholeDays, *names: str) -> dict[str, dict[str, Any]]:
    """Every document without who made it, and when."""
    return {
        name: content(json.loads(text)) for name, text in published(days).items() if not names or name.endswith(names)
    }


# --- other roads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_date_alone_on_an_empty_home_gives_what_it_gives_inside_a_backfill(
    days: WholeDays, season: Path, tmp_path: Path, mode: str
) -> None:
    with whole_days(tmp_path / "alone", season) as alone:
        assert alone.one(run(mode)).state is RunState.PUBLISHED
        mine = f"WHERE run = '{run(mode)}'"
        expected, documents = tables(alone, mine), contents(alone, f"{BUSY}/tonight.json", f"{BUSY}/results.json")
    backfill(days, BUSY - 2 * DAY, BUSY, mode, parallel=2)
    assert {table: rows for table, rows in tables(days, mine).items() if rows != expected[table]} == {}
    assert contents(days, *documents) == documents
    written = {table for table, rows in expected.items() if rows}
    assert {"nba_analytics.upcoming_player_game_context", "nba_precompute.ml_feature_store"} <= written


# --- the edges of a season ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_date_without_games_ends_with_nothing_expected_and_publishes_nothing(days: WholeDays, mode: str) -> None:
    status = days.one(run(mode, EMPTY))
    assert (status.state, status.reason) == (RunState.NOTHING_EXPECTED, "no games are expected")
    assert days.attempts(run(mode, EMPTY)).keys() <= {"schedule", "boxscores"}
    assert published(days) == {}


@pytest.mark.parametrize("mode", MODES)
def test_the_first_date_of_a_season_is_published_in_every_mode(days: WholeDays, data: Path, mode: str) -> None:
    status = days.one(run(mode, BUSIEST))
    assert (status.state, status.missing, status.completeness) == (RunState.PUBLISHED, (), 1.0)
    document = days.document(BUSIEST, "results" if mode == "overnight" else "tonight")
    assert games_in(document) == seasons.games_of(data, BUSIEST)
    assert bool(players_in(document)) == (mode == "overnight")


@pytest.mark.parametrize("mode", MODES)
def test_the_last_date_of_the_data_is_published_in_every_mode(days: WholeDays, data: Path, mode: str) -> None:
    status = days.one(run(mode, LAST))
    assert (status.state, status.missing, status.completeness) == (RunState.PUBLISHED, (), 1.0)
    document = days.document(LAST, "results" if mode == "overnight" else "tonight")
    assert games_in(document) == seasons.games_of(data, LAST)
    why = {s.why for phase in status.phases for name, s in phase.standings.items() if name.startswith("upcoming")}
    assert why == ({"not_covered"} if mode == "overnight" else {""})


def test_the_last_night_of_the_real_season_is_published(real_data: Path, tmp_path: Path) -> None:
    night = run("overnight", date(2024, 4, 14))
    with whole_days(tmp_path, real_data) as days:
        status = days.one(night)
        assert (status.state, status.missing, status.completeness) == (RunState.PUBLISHED, (), 1.0)
        assert len(games_in(days.document(night.date, "results"))) == 15
