"""Do the published documents say what this run knows, how good it was, and never less than what stood there?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from data_processors.nba.exports import publish
from shared.adapters.feed import FolderFeed
from shared.adapters.objects import MemoryObjects
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import Feed
from tests.flow.forecasts import SYSTEMS, predict
from tests.flow.nights import NOW, EditedFeed, Night, Row, new_work

DAY = timedelta(days=1)
BEFORE_EXPORT = ("tonight", "status")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def feed(season: Path) -> FolderFeed:
    return FolderFeed(season)


@pytest.fixture(scope="module")
def day(feed: FolderFeed) -> date:
    """A late date with games enough to lose one."""
    coverage = feed.coverage()
    games = Counter(str(game["game_date"]) for game in feed.games(coverage.first, coverage.last))
    days = [coverage.last - number * DAY for number in range(1, 9)]
    return next(day for day in days if games[str(day)] >= 3)


def ahead(feed: Feed, day: date, mode: str = "same_day", generation: int = 1) -> Night:
    """A run that has got as far as its features."""
    run = Night(work=new_work(feed, before=day), run=RunKey("nba", day, mode, generation))
    run.all(without=BEFORE_EXPORT)
    return run


def beside(other: Night, mode: str, generation: int = 1) -> Night:
    """Another run of the same date in the same home."""
    return Night(work=other.work, run=RunKey("nba", other.run.date, mode, generation))


def read(night: Night, name: str) -> Document:
    document: Document = json.loads(night.work.objects.get(f"nba/{night.run.date}/{name}.json") or b"{}")
    return document


def players(document: Document) -> list[Document]:
    return [player for game in document["games"] for player in game["players"]]


# --- tonight ----------------------------------------------------------------------------------------


def test_tonight_holds_every_game_with_its_players_by_what_the_ensemble_expects(feed: FolderFeed, day: date) -> None:
    run = ahead(feed, day)
    expected = predict(run).units
    completion = run.one("tonight")
    tonight, games = read(run, "tonight"), feed.games(day, day)
    assert (completion.status, completion.units_actual, completion.rows) == (
        Status.SUCCESS,
        len(games),
        len(expected),
    )
    assert {game["game_id"] for game in tonight["games"]} == {game["game_id"] for game in games}
    meetings = {game["game_id"]: (game["home_team"], game["away_team"], game["tipoff_et"]) for game in games}
    for game in tonight["games"]:
        assert (game["home"], game["away"], game["tipoff_et"]) == meetings[game["game_id"]]
        values = [player["predictions"]["ensemble"]["value"] for player in game["players"]]
        assert values == sorted(values, reverse=True)
        assert {player["team"] for player in game["players"]} == {game["home"], game["away"]}
    assert sorted(player["player_id"] for player in players(tonight)) == list(expected)
    first = players(tonight)[0]
    assert set(first) == {"player_id", "player_name", "team", "opponent", "completeness", "predictions"}
    assert first["predictions"].keys() == SYSTEMS.keys()
    assert all(said.keys() == {"value", "low", "high"} for said in first["predictions"].values())
    assert [game["tipoff_et"] for game in tonight["games"]] == sorted(game["tipoff_et"] for game in tonight["games"])
    assert (tonight["run"], tonight["synthetic"]) == (str(run.run), True)


def test_tonight_says_what_its_own_run_predicted_and_nobody_elses(feed: FolderFeed, day: date) -> None:
    run = ahead(feed, day)
    predict(beside(run, "tomorrow"), more=50)
    predict(beside(run, "same_day", generation=2), more=100)
    mine = predict(run)
    run.one("tonight")
    said = players(read(run, "tonight"))
    assert len(said) == len(mine.units)
    assert max(player["predictions"]["moving_average"]["value"] for player in said) < 50


def test_tonight_of_tomorrow_gives_way_to_that_of_the_same_day(feed: FolderFeed, day: date) -> None:
    early = ahead(feed, day, "tomorrow")
    predict(early)
    assert early.one("tonight").status is Status.SUCCESS
    late = beside(early, "same_day")
    late.all(without=BEFORE_EXPORT)
    predict(late, more=1)
    assert late.one("tonight").status is Status.SUCCESS
    stood = read(late, "tonight")
    assert stood["run"] == str(late.run)
    again = early.one("tonight", attempt=2)
    assert (again.status, again.reason) == (Status.SKIPPED, "superseded")
    assert read(late, "tonight") == stood


def test_a_game_without_history_stands_in_tonight_without_players(real_data: Path) -> None:
    day = date(2023, 10, 26)  # four teams, two of which have not played this season
    run = ahead(FolderFeed(real_data), day)
    predict(run)
    completion = run.one("tonight")
    assert (completion.status, completion.units_actual, completion.units_expected) == (Status.SUCCESS, 2, 2)
    assert sorted(len(game["players"]) for game in read(run, "tonight")["games"]) == [0, 22]


def test_the_first_date_of_a_season_publishes_its_games_without_players(real_data: Path) -> None:
    run = ahead(FolderFeed(real_data), date(2023, 10, 24))
    assert run.one("tonight").status is Status.SUCCESS
    assert [game["players"] for game in read(run, "tonight")["games"]] == [[], []]


def postponed(feed: Feed, game_id: str) -> EditedFeed:
    """The game has left the schedule, and was not played."""

    def keep(row: Row) -> Row | None:
        return None if row["game_id"] == game_id else row

    return EditedFeed(feed=feed, game=keep, player=keep, team=keep)


def test_a_game_postponed_after_its_predictions_vanishes_and_is_not_expected_at_night(
    feed: FolderFeed, day: date
) -> None:
    work = new_work(feed, before=day - DAY)
    Night(work=work, run=RunKey("nba", day - DAY, "overnight")).all()  # whose schedule still had the game
    run = Night(work=work, run=RunKey("nba", day, "same_day"))
    run.all(without=BEFORE_EXPORT)
    predict(run)
    run.one("tonight")
    assert len(read(run, "tonight")["games"]) == len(feed.games(day, day))
    gone = str(feed.games(day, day)[0]["game_id"])
    run.work = replace(run.work, feed=postponed(feed, gone))
    run.all(attempt=2, without=BEFORE_EXPORT)
    left = predict(run, attempt=2)
    assert run.one("tonight", attempt=2).status is Status.SUCCESS
    for table in ("nba_analytics.upcoming_player_game_context", "nba_precompute.ml_feature_store"):
        held = run.work.warehouse.query(f"SELECT DISTINCT game_id FROM {table} WHERE as_of = @day", {"day": day})
        assert held
        assert gone not in [row["game_id"] for row in held], table
    tonight = read(run, "tonight")
    assert gone not in [game["game_id"] for game in tonight["games"]]
    assert sorted(player["player_id"] for player in players(tonight)) == list(left.units)

    after = beside(run, "overnight")
    completions = after.all()
    assert gone not in after.units["games"]
    assert not [name for name, completion in completions.items() if completion.missing]
    assert completions["prediction_accuracy"].reason == f"grades {run.run}"
    graded = run.work.warehouse.query("SELECT DISTINCT game_id FROM nba_predictions.accuracy", {})
    assert {row["game_id"] for row in graded} == set(after.units["games"])


def test_predictions_of_a_game_that_left_the_schedule_are_not_published(feed: FolderFeed, day: date) -> None:
    run = ahead(feed, day)
    predict(run)
    gone = str(feed.games(day, day)[0]["game_id"])
    run.work = replace(run.work, feed=postponed(feed, gone))
    run.one("schedule", attempt=2)
    run.one("raw_schedule", attempt=2)
    run.one("tonight")
    assert gone not in [game["game_id"] for game in read(run, "tonight")["games"]]


# --- good is never replaced by empty ----------------------------------------------------------------


def test_tonight_with_players_is_not_replaced_by_tonight_without(feed: FolderFeed, day: date) -> None:
    early = ahead(feed, day, "tomorrow")
    held = len(predict(early).units)
    early.one("tonight")
    stood = read(early, "tonight")
    late = beside(early, "same_day")
    late.all(without=BEFORE_EXPORT)  # and nothing was predicted
    completion = late.one("tonight")
    assert completion.status is Status.FAILED
    name = f"nba/{day}/tonight.json"
    assert completion.reason == (
        f"no player to publish; {name} keeps its {held} players: remove it first if it is to be replaced all the same"
    )
    assert read(late, "tonight") == stood


def game(game_id: str, *players: str) -> Document:
    return {"game_id": game_id, "players": [{"player_id": player} for player in players]}


def tonight_of(fence: int) -> Start:
    return Start(
        run=RunKey("nba", date(2024, 1, 16), "same_day"),
        phase="export",
        processor="tonight",
        attempt=1,
        fence=fence,
        partition=date(2024, 1, 16),
        timeout_s=60,
        issued_at=NOW,
    )


@pytest.mark.parametrize(
    ("standing", "new", "refused"),
    [
        ([game("1", "a")], [], "no game to publish"),
        ([game("1")], [], "no game to publish"),
        ([game("1", "a"), game("2")], [game("1"), game("2")], "no player to publish"),
        ([game("1", "a"), game("2")], [game("2")], ""),
        ([game("1", "a"), game("2", "b")], [game("1", "a"), game("2")], ""),
        ([game("1")], [game("1")], ""),
        ([], [game("1")], ""),
    ],
    ids=[
        "games by none",
        "games without players by none",
        "players by none",
        "the only game with players is not played any more",
        "fewer players are labelled, not refused",
        "no players by no players",
        "nothing stood there",
    ],
)
def test_what_is_full_is_never_replaced_by_what_is_empty(
    standing: list[Document], new: list[Document], refused: str
) -> None:
    objects = MemoryObjects()
    start = tonight_of(1)
    publish(objects, "tonight.json", {"fence": 1, "games": standing}, start)
    published = publish(objects, "tonight.json", {"fence": 1, "games": new}, start)
    assert published.refused.partition(";")[0] == refused
    stands = json.loads(objects.get("tonight.json") or b"")["games"]
    assert stands == (standing if refused else new)


# --- two that publish at once -----------------------------------------------------------------------


class Overtaken(MemoryObjects):
    """Between each of its looks and puts, others publish."""

    def __init__(self, *others: bytes) -> None:
        super().__init__()
        self._others = list(others)

    def get(self, name: str) -> bytes | None:
        found = super().get(name)
        if self._others:
            self.put(name, self._others.pop(0))
        return found


def as_bytes(fence: int, *games: Document, **more: object) -> bytes:
    return json.dumps({"fence": fence, "games": games, **more}).encode()


def test_a_newer_document_that_came_in_between_stands() -> None:
    objects = Overtaken(as_bytes(2, game("1", "a")))
    published = publish(objects, "tonight.json", {"fence": 1, "games": [game("1", "b")]}, tonight_of(1))
    assert published.superseded
    assert objects.get("tonight.json") == as_bytes(2, game("1", "a"))


def test_what_came_in_between_is_withdrawn_too() -> None:
    objects = Overtaken(as_bytes(1, game("1", "a"), game("2", "b")))
    publish(objects, "tonight.json", {"fence": 2, "games": [game("1", "a")], "withdrawn": []}, tonight_of(2))
    assert json.loads(objects.get("tonight.json") or b"")["withdrawn"] == ["2"]


def test_who_is_overtaken_again_and_again_says_so() -> None:
    objects = Overtaken(*(as_bytes(1, game(str(number))) for number in range(99)))
    with pytest.raises(OSError, match=r"tonight.json: replaced by others 8 times"):
        publish(objects, "tonight.json", {"fence": 1, "games": [game("1", "a")]}, tonight_of(1))


# --- results and their grades -----------------------------------------------------------------------


def graded(feed: Feed, day: date, *, without: tuple[str, ...] = ()) -> tuple[Night, dict[str, Completion]]:
    run = ahead(feed, day)
    predict(run, without=without)
    after = beside(run, "overnight")
    return after, after.all()


def test_results_say_what_was_predicted_of_each_player_and_how_far_off_it_was(feed: FolderFeed, day: date) -> None:
    left_out = str(feed.player_lines(day, day)[0]["player_id"])
    run, completions = graded(feed, day, without=(left_out,))
    results = read(run, "results")
    same_day = f"nba.{day}.same_day.1"
    assert (completions["prediction_accuracy"].status, completions["prediction_accuracy"].reason) == (
        Status.SUCCESS,
        f"grades {same_day}",
    )
    assert results["grades"]["graded_runs"] == [same_day]
    known = [player for player in players(results) if "predicted" in player]
    assert left_out not in [player["player_id"] for player in known]
    assert all("error" not in player for player in players(results) if "predicted" not in player)
    for player in known:
        assert player["error"] == pytest.approx(player["predicted"]["value"] - player["pts"], abs=0.006)
    grade = results["grades"]["systems"]["ensemble"]
    assert grade["players"] == len(known)
    assert grade["mean_absolute_error"] == pytest.approx(mean(abs(player["error"]) for player in known), abs=0.006)
    inside = [p["predicted"]["low"] <= p["pts"] <= p["predicted"]["high"] for p in known]
    assert grade["inside_share"] == pytest.approx(mean(inside), abs=0.02)
    assert set(results["grades"]["systems"]) == set(SYSTEMS)


def test_results_that_nobody_predicted_have_no_grades(feed: FolderFeed, day: date) -> None:
    run = Night(work=new_work(feed, before=day), run=RunKey("nba", day, "overnight"))
    completions = run.all()
    assert completions["prediction_accuracy"].reason == "no_predictions"
    results = read(run, "results")
    assert results["grades"] == {"graded_runs": [], "systems": {}}
    assert not [player for player in players(results) if {"predicted", "error"} & set(player)]


def test_a_box_score_corrected_a_day_later_reaches_summary_results_and_grades(feed: FolderFeed, day: date) -> None:
    run, first = graded(feed, day)
    line = feed.player_lines(day, day)[0]
    stood = next(p for p in players(read(run, "results")) if p["player_id"] == str(line["player_id"]))

    def corrected(row: Row) -> Row:
        """One free throw more for him, his team and the final score."""
        mine = row["game_id"] == line["game_id"] and row["team"] == line["team"]
        if not mine or row.get("player_id", line["player_id"]) != line["player_id"]:
            return row
        return row | {name: int(str(row[name])) + 1 for name in ("pts", "ftm", "fta")}

    def score(row: Row) -> Row:
        if row["game_id"] != line["game_id"]:
            return row
        side = "home_pts" if row["home_team"] == line["team"] else "away_pts"
        return row | {side: int(str(row[side])) + 1}

    run.work = replace(run.work, feed=EditedFeed(feed=feed, game=score, player=corrected, team=corrected))
    second = run.all(attempt=2)
    for name in ("boxscores", "player_boxscores", "player_game_summary", "prediction_accuracy", "results"):
        assert (second[name].status, second[name].rows) == (Status.SUCCESS, first[name].rows), name
        assert second[name].digest != first[name].digest, name
    now = next(p for p in players(read(run, "results")) if p["player_id"] == str(line["player_id"]))
    assert now["pts"] == stood["pts"] + 1
    assert now["error"] == pytest.approx(stood["error"] - 1)
    stamps = run.work.warehouse.query("SELECT DISTINCT attempt FROM nba_predictions.accuracy", {})
    assert stamps == [{"attempt": 2}]


# --- status -----------------------------------------------------------------------------------------


def test_status_counts_the_predictions_of_its_own_date_in_every_mode(feed: FolderFeed, day: date) -> None:
    early = ahead(feed, day, "tomorrow")
    counted: dict[str, Document] = {}
    for mode in ("tomorrow", "same_day", "overnight"):
        run = early if mode == "tomorrow" else beside(early, mode)
        run.all(without=("status",))
        if mode != "overnight":
            predict(run)
        run.one("status")
        counted[mode] = {table["table_name"]: table for table in read(run, "status")["tables"]}
    rows = {
        mode: [counted[mode][f"nba_predictions.{table}"]["row_count"] for table in ("predictions", "accuracy")]
        for mode in counted
    }
    each = rows["tomorrow"][0]
    assert each
    assert rows["tomorrow"] == [each, 0]
    assert rows["same_day"] == [2 * each, 0]
    assert rows["overnight"][0] == 2 * each
    assert 0 < rows["overnight"][1] <= each
    for mode in counted:
        dates = {table["partition_date"] for name, table in counted[mode].items() if "predictions" in name}
        assert dates == {str(day)}
    assert counted["same_day"]["nba_precompute.ml_feature_store"]["partition_date"] == str(day)
    assert counted["overnight"]["nba_precompute.ml_feature_store"]["partition_date"] == str(day + DAY)
