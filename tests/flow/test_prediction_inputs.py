"""Do the predictions learn from the same features that they are given, from history alone, and from no later result?"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from data_processors.nba.runner import Work
from predictions.worker.systems import FEATURES, Prediction, fit, has_history, predict
from shared.adapters.feed import FolderFeed
from shared.config.nba_dates import season_first
from shared.core.model import RunKey
from shared.ports import Feed
from tests.flow.nights import EditedFeed, Night, Row, new_work

DAY = timedelta(days=1)
BEFORE_PREDICTING = (
    *("schedule", "raw_schedule", "upcoming_player_game_context", "team_defense_zone_analysis"),
    *("player_shot_zone_analysis", "player_daily_cache", "player_composite_factors", "ml_feature_store"),
)


def select(work: Work, name: str, as_of: date) -> list[Row]:
    text = (files("predictions.worker") / f"{name}.sql").read_text(encoding="utf-8")
    return work.warehouse.query(text, {"as_of": as_of, "season_first": season_first(as_of)})


def serve(work: Work, as_of: date) -> list[Row]:
    """What the feature store serves for a date, as the run of that date makes it."""
    run = Night(work=work, run=RunKey("nba", as_of, "same_day"))
    for processor in BEFORE_PREDICTING:
        run.one(processor)
    return select(work, "units", as_of)


def predicted(work: Work, as_of: date) -> dict[str, tuple[Prediction, ...]]:
    units = serve(work, as_of)
    model = fit(select(work, "training", as_of))
    return {str(unit["player_id"]): predict(model, unit) for unit in units}


@pytest.fixture(scope="module")
def sample(season: Path) -> FolderFeed:
    return FolderFeed(season)


# --- the same features ------------------------------------------------------------------------------


def assert_learns_what_was_served(feed: Feed, days: list[date]) -> int:
    """The features of those who played, as served on the morning and as learnt from afterwards; how many were held."""
    afterwards = select(new_work(feed, before=days[-1] + DAY), "training", days[-1] + DAY)
    before, held = new_work(feed, before=days[-1]), 0
    for day in days:
        learnt = {str(row["player_id"]): row for row in afterwards if row["game_date"] == day}
        for unit in serve(before, day):
            row = learnt.get(str(unit["player_id"]))
            if row is None:
                continue  # he was expected, and did not play
            for name in FEATURES:
                assert row[name] == pytest.approx(unit[name], abs=1e-6), f"{day} {unit['player_id']} {name}"
            held += 1
    return held


def test_the_sample_season_is_learnt_as_it_was_served(sample: FolderFeed) -> None:
    first = sample.coverage().first
    assert assert_learns_what_was_served(sample, [first + number * DAY for number in (1, 2, 5, 10)]) > 100


def test_the_real_season_is_learnt_as_it_was_served(real_data: Path) -> None:
    days = [date(2023, 10, 25), date(2023, 10, 29), date(2023, 12, 6), date(2023, 12, 8)]
    assert assert_learns_what_was_served(FolderFeed(real_data), days) > 500


def test_history_alone_is_enough_to_learn_from(sample: FolderFeed, night: date) -> None:
    work = new_work(sample, before=night)
    assert work.warehouse.query("SELECT COUNT(*) AS rows_there FROM nba_precompute.ml_feature_store", {}) == [
        {"rows_there": 0}
    ]
    assert fit(select(work, "training", night)).examples > 300


def test_the_runs_that_were_made_before_change_no_prediction(sample: FolderFeed, night: date) -> None:
    fresh, used = new_work(sample, before=night), new_work(sample, before=night)
    serve(used, night - DAY)
    assert predicted(used, night) == predicted(fresh, night)


# --- who is predicted -------------------------------------------------------------------------------


def test_every_expected_player_is_a_unit_once_and_all_who_played_can_be_predicted(
    sample: FolderFeed, night: date
) -> None:
    work = new_work(sample, before=night)
    units = serve(work, night)
    expected = work.warehouse.query(
        "SELECT player_id FROM nba_analytics.upcoming_player_game_context ORDER BY player_id", {}
    )
    assert [unit["player_id"] for unit in units] == [row["player_id"] for row in expected]
    assert len(units) > 20
    assert all(has_history(unit) and unit["features_total"] == 16 for unit in units)


def test_before_the_first_game_there_is_nobody_and_nothing_to_learn(sample: FolderFeed) -> None:
    work = new_work(sample)
    first = sample.coverage().first
    assert serve(work, first) == []
    assert fit(select(work, "training", first)).examples == 0


# --- no look-ahead ----------------------------------------------------------------------------------


def altered(feed: Feed, since: date) -> EditedFeed:
    """From a date on every player scores one free throw more; all sums hold, so every game stays whole."""
    coverage = feed.coverage()
    lines = Counter((line["game_id"], line["team"]) for line in feed.player_lines(coverage.first, coverage.last))

    def more(row: Row, extra: int, *names: str) -> Row:
        if str(row["game_date"]) < str(since):
            return row
        return {**row, **{name: int(str(row[name])) + extra for name in names}}

    def game(row: Row) -> Row:
        home = more(row, lines[row["game_id"], row["home_team"]], "home_pts")
        return more(home, lines[row["game_id"], row["away_team"]], "away_pts")

    return EditedFeed(
        feed=feed,
        game=game,
        player=lambda row: more(row, 1, "pts", "ftm", "fta"),
        team=lambda row: more(row, lines[row["game_id"], row["team"]], "pts", "ftm", "fta"),
    )


def assert_knows_no_later_result(feed: Feed, as_of: date, until: date) -> None:
    plain, other = new_work(feed, before=until), new_work(altered(feed, as_of), before=until)
    said = predicted(plain, as_of)
    assert len(said) > 20
    assert predicted(other, as_of) == said
    assert predicted(other, as_of + DAY) != predicted(plain, as_of + DAY), "the altered results reach the day after"


def test_no_later_result_changes_a_prediction(sample: FolderFeed, night: date) -> None:
    assert_knows_no_later_result(sample, night, sample.coverage().last + DAY)


def test_no_later_result_changes_a_prediction_of_the_real_season(real_data: Path) -> None:
    as_of = date(2023, 11, 14)
    assert_knows_no_later_result(FolderFeed(real_data), as_of, as_of + 7 * DAY)
