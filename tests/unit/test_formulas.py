"""Do the SQL files compute the published formulas? Every expected number was worked out by hand, beside it."""

from __future__ import annotations

from datetime import date

import pytest

from data_processors.nba.runner import create_tables, sql
from shared.adapters.duckdb import DuckDbWarehouse
from shared.config.nba import NBA
from shared.core.model import RunKey
from shared.core.plan import fence
from shared.ports import Partition, Stamp

DAY = date(2024, 1, 15)
AS_OF = date(2024, 1, 16)
STAMP = Stamp(run="nba.2024-01-15.overnight.1", attempt=1, fence=1)
DAYS = {
    "run": "nba.2024-01-15.same_day.1",
    "first": DAY,
    "last": DAY,
    "run_date": DAY,
    "as_of": AS_OF,
    "season_first": date(2023, 10, 1),
}
NOTHING = dict.fromkeys(
    (
        "minutes",
        "pts",
        "reb",
        "ast",
        "stl",
        "blk",
        "tov",
        "pf",
        "fgm",
        "fga",
        "fg3m",
        "fg3a",
        "ftm",
        "fta",
        "oreb",
        "dreb",
    ),
    0,
)
GAME = {"game_date": DAY, "game_id": "0099", "season": "2023-24"}
HOME = {"team": "HOM", "opponent": "AWA", "is_home": True}
AWAY = {"team": "AWA", "opponent": "HOM", "is_home": False}
# 110 = 2 x 30 + 3 x 10 + 20; 80 - 10 + 14 + 0.44 x 25 = 95 possessions
HOME_TEAM = {**NOTHING, "minutes": 240, "pts": 110, "fgm": 40, "fga": 80, "fg3m": 10, "fg3a": 30, "ftm": 20, "fta": 25}
HOME_TEAM |= {"oreb": 10, "dreb": 30, "reb": 40, "tov": 14}
# 100 = 2 x 26 + 3 x 12 + 12; 90 - 12 + 10 + 0.44 x 15 = 94.6 possessions
AWAY_TEAM = {**NOTHING, "minutes": 240, "pts": 100, "fgm": 38, "fga": 90, "fg3m": 12, "fg3a": 35, "ftm": 12, "fta": 15}
AWAY_TEAM |= {"oreb": 12, "dreb": 28, "reb": 40, "tov": 10}
# 25 = 2 x 6 + 3 x 3 + 4
PLAYER = {**NOTHING, "minutes": 36, "pts": 25, "fgm": 9, "fga": 18, "fg3m": 3, "fg3a": 8, "ftm": 4, "fta": 5, "tov": 3}

Row = dict[str, object]


@pytest.fixture
def warehouse() -> DuckDbWarehouse:
    warehouse = DuckDbWarehouse(":memory:")
    create_tables(warehouse)
    load(warehouse, "nba_raw.team_boxscores", [{**GAME, **HOME, **HOME_TEAM}, {**GAME, **AWAY, **AWAY_TEAM}])
    load(
        warehouse,
        "nba_raw.player_boxscores",
        [{**GAME, **HOME, **PLAYER, "player_id": "1"}, {**GAME, **HOME, **NOTHING, "player_id": "2"}],
    )
    return warehouse


def load(warehouse: DuckDbWarehouse, table: str, rows: list[Row], column: str = "game_date") -> None:
    for day in sorted({str(row[column]) for row in rows}):
        partition = Partition(table=table, column=column, first=date.fromisoformat(day), last=date.fromisoformat(day))
        warehouse.load(partition, [row for row in rows if str(row[column]) == day], STAMP)


def rows_of(warehouse: DuckDbWarehouse, processor: str) -> list[Row]:
    return warehouse.query(sql(f"{processor}.sql"), DAYS)


def row_of(warehouse: DuckDbWarehouse, processor: str, **key: object) -> Row:
    (row,) = [row for row in rows_of(warehouse, processor) if all(row[name] == value for name, value in key.items())]
    return row


def summarise(warehouse: DuckDbWarehouse) -> None:
    for table in ("team_offense_game_summary", "team_defense_game_summary", "player_game_summary"):
        partition = Partition(table=f"nba_analytics.{table}", column="game_date", first=DAY, last=DAY)
        warehouse.replace(partition, sql(f"{table}.sql"), DAYS, STAMP)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("possessions", 95.0),  # 80 - 10 + 14 + 11
        ("opponent_possessions", 94.6),  # 90 - 12 + 10 + 6.6
        ("offensive_rating", 115.789474),  # 100 x 110 / 95
        ("pace", 94.8),  # 48 x (95 + 94.6) / (2 x 240 / 5)
        ("ts_pct", 0.604396),  # 110 / (2 x (80 + 11))
        ("efg_pct", 0.5625),  # (40 + 5) / 80
        ("tov_pct", 0.133333),  # 14 / (80 + 11 + 14)
        ("orb_pct", 0.263158),  # 10 / (10 + 28)
        ("ft_rate", 0.25),  # 20 / 80
        ("won", 1),
    ],
)
def test_team_offense_by_hand(warehouse: DuckDbWarehouse, column: str, expected: float) -> None:
    assert row_of(warehouse, "team_offense_game_summary", team="HOM")[column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("allowed_pts", 100),
        ("allowed_pts_2pt", 52),
        ("allowed_pts_3pt", 36),
        ("allowed_pts_ft", 12),
        ("possessions_against", 94.6),
        ("defensive_rating", 105.708245),  # 100 x 100 / 94.6
        ("allowed_efg_pct", 0.488889),  # (38 + 6) / 90
        ("drb_pct", 0.714286),  # 30 / (30 + 12)
        ("forced_tov", 10),
    ],
)
def test_team_defense_by_hand(warehouse: DuckDbWarehouse, column: str, expected: float) -> None:
    assert row_of(warehouse, "team_defense_game_summary", team="HOM")[column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("usage_rate", 29.460317),  # 100 x (18 + 2.2 + 3) x 48 / (36 x (80 + 11 + 14))
        ("ts_pct", 0.618812),  # 25 / (2 x (18 + 2.2))
        ("efg_pct", 0.583333),  # (9 + 1.5) / 18
        ("pts_2pt", 12),
        ("pts_3pt", 9),
        ("pts_ft", 4),
    ],
)
def test_player_summary_by_hand(warehouse: DuckDbWarehouse, column: str, expected: float) -> None:
    summarise(warehouse)
    assert row_of(warehouse, "player_game_summary", player_id="1")[column] == pytest.approx(expected, abs=1e-6)


def test_a_player_without_a_minute_or_an_attempt_has_no_rates(warehouse: DuckDbWarehouse) -> None:
    summarise(warehouse)
    row = row_of(warehouse, "player_game_summary", player_id="2")
    assert (row["usage_rate"], row["ts_pct"], row["efg_pct"]) == (None, None, None)


def test_ts_may_exceed_one(warehouse: DuckDbWarehouse) -> None:
    three = {**NOTHING, "minutes": 1, "pts": 3, "fgm": 1, "fga": 1, "fg3m": 1, "fg3a": 1}
    summarise(warehouse)
    load(warehouse, "nba_raw.player_boxscores", [{**GAME, **HOME, **three, "player_id": "1"}])
    assert row_of(warehouse, "player_game_summary", player_id="1")["ts_pct"] == 1.5  # 3 / (2 x 1)


def test_relative_defence_by_zone_by_hand(warehouse: DuckDbWarehouse) -> None:
    summarise(warehouse)
    home = row_of(warehouse, "team_defense_zone_analysis", team="HOM")
    assert home["pts_2pt_per_100"] == pytest.approx(54.968288, abs=1e-6)  # 100 x 52 / 94.6
    # the league: 100 x (52 + 60) / (94.6 + 95) = 59.071730; 54.968288 / 59.071730
    assert home["relative_2pt"] == pytest.approx(0.930535, abs=1e-6)
    assert home["relative_ft"] == pytest.approx(0.751586, abs=1e-6)  # (12 / 94.6) / (32 / 189.6)


def test_shares_by_zone_by_hand(warehouse: DuckDbWarehouse) -> None:
    summarise(warehouse)
    row = row_of(warehouse, "player_shot_zone_analysis", player_id="1")
    assert (row["share_pts_2pt"], row["share_pts_3pt"], row["share_pts_ft"]) == (0.48, 0.36, 0.16)
    assert row["share_attempts_ft"] == pytest.approx(0.108911, abs=1e-6)  # 2.2 / (18 + 2.2)
    assert (row["pct_2pt"], row["pct_3pt"], row["pct_ft"]) == (0.6, 0.375, 0.8)
    assert row_of(warehouse, "player_shot_zone_analysis", player_id="2")["share_pts_2pt"] is None


def form_of(warehouse: DuckDbWarehouse, points: list[int]) -> None:
    """Player 1's games on the days before as_of, the last first; his team's with him."""
    players, teams = [], []
    for ago, pts in enumerate(points):
        game = {**GAME, "game_date": date.fromordinal(DAY.toordinal() - ago), "game_id": f"{99 - ago:04}", **HOME}
        players.append({**game, **PLAYER, "pts": pts, "minutes": 30, "player_id": "1", "usage_rate": 20.0})
        teams.append({**game, **HOME_TEAM, "possessions": 95.0, "opponent_possessions": 94.6})
    load(warehouse, "nba_analytics.player_game_summary", players)
    load(warehouse, "nba_analytics.team_offense_game_summary", teams)


def test_form_takes_the_last_five_ten_and_all_games(warehouse: DuckDbWarehouse) -> None:
    form_of(warehouse, [10, 20, 30, 20, 20, 0, 0, 0, 0, 0, 50])
    (row,) = rows_of(warehouse, "player_daily_cache")
    assert (row["games"], row["pts_last5"], row["pts_last10"]) == (11, 20.0, 10.0)
    assert row["pts_season"] == pytest.approx(13.636364, abs=1e-6)  # 150 / 11
    # 10 games, mean 10: (0 + 100 + 400 + 100 + 100 + 5 x 100) / 9, root
    assert row["pts_std_last10"] == pytest.approx(11.547005, abs=1e-6)
    assert row["usage_last10"] == 20.0


def test_one_game_has_no_deviation(warehouse: DuckDbWarehouse) -> None:
    form_of(warehouse, [10])
    (row,) = rows_of(warehouse, "player_daily_cache")
    assert (row["pts_last5"], row["pts_std_last10"]) == (10.0, None)


def test_a_player_who_missed_five_games_of_his_team_is_not_active(warehouse: DuckDbWarehouse) -> None:
    form_of(warehouse, [10, 10, 10, 10, 10, 10])
    for ago, there in ((3, 1), (4, 1), (5, 0)):  # his last game is the team's fourth, fifth, sixth last
        day = date.fromordinal(DAY.toordinal() - ago + 1)
        load(warehouse, "nba_analytics.player_game_summary", [{**GAME, "game_date": day, "player_id": "9"}])
        for n in range(ago):
            clear(warehouse, date.fromordinal(DAY.toordinal() - n))
        assert len([row for row in rows_of(warehouse, "player_daily_cache") if row["player_id"] == "1"]) == there


def clear(warehouse: DuckDbWarehouse, day: date) -> None:
    partition = Partition(table="nba_analytics.player_game_summary", column="game_date", first=day, last=day)
    warehouse.load(partition, [], STAMP)


def test_factors_by_hand(warehouse: DuckDbWarehouse) -> None:
    upcoming = {"as_of": AS_OF, "game_id": "0100", "player_id": "1", "rest_days": 0, **HOME}
    load(warehouse, "nba_analytics.upcoming_player_game_context", [upcoming], "as_of")
    shares = {"as_of": AS_OF, "player_id": "1", "share_pts_2pt": 0.5, "share_pts_3pt": 0.3, "share_pts_ft": 0.2}
    load(warehouse, "nba_precompute.player_shot_zone_analysis", [shares], "as_of")
    relative = {"as_of": AS_OF, "team": "AWA", "relative_2pt": 1.1, "relative_3pt": 0.9, "relative_ft": 1.0}
    load(warehouse, "nba_precompute.team_defense_zone_analysis", [relative], "as_of")
    games = []
    for ago, pts in ((0, 90), (1, 100), (4, 110)):  # the last with no free day, the one before with two
        day = date.fromordinal(DAY.toordinal() - ago)
        game = {**GAME, "game_date": day, "game_id": f"{99 - ago:04}", "minutes": 240, "possessions": 100.0}
        games.append({**game, **AWAY, "pts": pts, "opponent_possessions": 100.0})
        if not ago:
            games.append({**game, **HOME, "pts": 100, "opponent_possessions": 80.0})
    load(warehouse, "nba_analytics.team_offense_game_summary", games)
    (row,) = rows_of(warehouse, "player_composite_factors")
    assert row["matchup_factor"] == 1.02  # 0.55 + 0.27 + 0.20
    assert row["rest_factor"] == pytest.approx(0.947368, abs=1e-6)  # 0.90 after no free day / 0.95 after any
    # AWA 600 / 720, the league 780 / 960
    assert row["pace_factor"] == pytest.approx(1.025641, abs=1e-6)
    assert row["composite_factor"] == pytest.approx(0.991093, abs=1e-6)  # 1.02 x 0.947368 x 1.025641


def test_a_factor_without_its_input_is_null(warehouse: DuckDbWarehouse) -> None:
    upcoming = {"as_of": AS_OF, "game_id": "0100", "player_id": "1", "rest_days": 0, **HOME}
    load(warehouse, "nba_analytics.upcoming_player_game_context", [upcoming], "as_of")
    (row,) = rows_of(warehouse, "player_composite_factors")
    names = ("matchup_factor", "rest_factor", "pace_factor", "composite_factor")
    assert [row[name] for name in names] == [None] * 4


# --- predictions, their grades, and what is published -------------------------------------------------


def predict(warehouse: DuckDbWarehouse, run: str, *said: Row, attempt: int = 1) -> None:
    """Rows of one run, under the fence its mode gives it."""
    key = RunKey.parse(run)
    rank = next(mode for mode in NBA.modes if mode.name == key.mode).precedence["run"]
    partition = Partition(table="nba_predictions.predictions", column="game_date", first=DAY, last=DAY)
    stamp = Stamp(run=run, attempt=attempt, fence=fence(rank, key.generation, attempt))
    rows = [{"game_date": DAY, "game_id": "0099", "system": "ensemble", "completeness": 1.0, **row} for row in said]
    warehouse.merge(partition, rows, ("game_id", "player_id", "system"), stamp)


def says(player_id: str, value: float, system: str = "ensemble") -> Row:
    return {"player_id": player_id, "system": system, "value": value, "low": value - 5, "high": value + 5}


SAME_DAY, AGAIN, EARLY = "nba.2024-01-15.same_day.1", "nba.2024-01-15.same_day.2", "nba.2024-01-15.tomorrow.1"


@pytest.mark.parametrize(
    ("runs", "counts"),
    [
        ([(EARLY, 1)], (EARLY, 1)),
        ([(EARLY, 1), (SAME_DAY, 1)], (SAME_DAY, 1)),
        ([(SAME_DAY, 1), (EARLY, 1)], (SAME_DAY, 1)),
        ([("nba.2024-01-15.tomorrow.9", 9), (SAME_DAY, 1)], (SAME_DAY, 1)),
        ([(AGAIN, 1), (SAME_DAY, 2)], (AGAIN, 1)),
        ([(SAME_DAY, 1), (SAME_DAY, 2)], (SAME_DAY, 2)),
        ([(SAME_DAY, 10), (SAME_DAY, 9)], (SAME_DAY, 10)),
        ([("nba.2024-01-15.same_day.10", 1), ("nba.2024-01-15.same_day.9", 1)], ("nba.2024-01-15.same_day.10", 1)),
    ],
    ids=[
        "tomorrow where there is nothing else",
        "same_day before tomorrow",
        "same_day before tomorrow though that came later",
        "same_day before any generation of tomorrow",
        "the newest generation before a later attempt of an older one",
        "the newest attempt",
        "the newest attempt though an older one came later",
        "generations are numbers, not text",
    ],
)
def test_current_takes_the_run_that_counts(
    warehouse: DuckDbWarehouse, runs: list[tuple[str, int]], counts: tuple[str, int]
) -> None:
    for run, attempt in runs:
        predict(warehouse, run, says("1", 20.0), says("1", 21.0, "ridge"), attempt=attempt)
    current = warehouse.query("SELECT run, attempt, system FROM nba_predictions.current ORDER BY system", {})
    assert [(row["run"], row["attempt"]) for row in current] == [counts] * 2
    assert [row["system"] for row in current] == ["ensemble", "ridge"]


def test_all_systems_of_a_player_come_from_one_run(warehouse: DuckDbWarehouse) -> None:
    predict(warehouse, EARLY, says("1", 10.0), says("1", 11.0, "ridge"), says("2", 12.0))
    predict(warehouse, SAME_DAY, says("1", 20.0))  # without ridge, and without the other player
    current = warehouse.query("SELECT run, player_id, system FROM nba_predictions.current ORDER BY player_id", {})
    assert current == [
        {"run": SAME_DAY, "player_id": "1", "system": "ensemble"},
        {"run": EARLY, "player_id": "2", "system": "ensemble"},
    ]


def grade(warehouse: DuckDbWarehouse) -> None:
    summarise(warehouse)
    partition = Partition(table="nba_predictions.accuracy", column="game_date", first=DAY, last=DAY)
    warehouse.replace(partition, sql("prediction_accuracy.sql"), DAYS, STAMP)


def test_grades_by_hand(warehouse: DuckDbWarehouse) -> None:
    # player 1 scored 25, player 2 nothing; player 3 did not play
    predict(warehouse, SAME_DAY, says("1", 28.5), says("2", 5.0), says("3", 9.0), says("1", 30.5, "ridge"))
    grade(warehouse)
    names = ("player_id", "system", "value", "low", "high", "actual", "error", "inside")
    graded = warehouse.query(f"SELECT {', '.join(names)} FROM nba_predictions.accuracy ORDER BY value", {})
    assert [tuple(row[name] for name in names) for row in graded] == [
        ("2", "ensemble", 5.0, 0.0, 10.0, 0.0, 5.0, True),  # the end of the interval is in it
        ("1", "ensemble", 28.5, 23.5, 33.5, 25.0, 3.5, True),
        ("1", "ridge", 30.5, 25.5, 35.5, 25.0, 5.5, False),
    ]
    assert rows_of(warehouse, "results.grades") == [
        {
            "system": "ensemble",
            "graded_runs": SAME_DAY,
            "players": 2,
            "mean_absolute_error": 4.25,  # (5 + 3.5) / 2
            "inside_share": 1.0,
        },
        {
            "system": "ridge",
            "graded_runs": SAME_DAY,
            "players": 1,
            "mean_absolute_error": 5.5,
            "inside_share": 0.0,
        },
    ]


def test_a_mean_error_on_the_edge_of_a_digit_does_not_depend_on_the_order_of_rows(warehouse: DuckDbWarehouse) -> None:
    errors = [11.7832, 12.3797, 17.0812, 9.9514, 5.5039, 2.4605, 12.7889, 0.0004]  # 71.9492 / 8 = 8.99365
    partition = Partition(table="nba_predictions.accuracy", column="game_date", first=DAY, last=DAY)
    found = set()
    for order in (errors, errors[::-1], sorted(errors), sorted(errors)[::-1]):
        lines = [
            {"game_date": DAY, "player_id": str(n), "system": "ensemble", "error": error, "inside": True}
            for n, error in enumerate(order)
        ]
        warehouse.load(partition, lines, STAMP)
        found |= {row["mean_absolute_error"] for row in rows_of(warehouse, "results.grades")}
    assert found == {8.9937}


def test_tonight_puts_games_by_tip_off_and_players_by_what_the_ensemble_expects(warehouse: DuckDbWarehouse) -> None:
    schedule = [("0097", None), ("0098", "22:00"), ("0099", "19:30"), ("0096", "22:00")]
    games: list[Row] = [
        {"schedule_date": DAY, "game_date": DAY, "game_id": game_id, "tipoff_et": at, "home_team": "HOM"}
        for game_id, at in schedule
    ]
    load(warehouse, "nba_raw.raw_schedule", games, "schedule_date")
    expected: list[Row] = [{"as_of": AS_OF, "game_id": "0099", "player_id": player} for player in ("1", "2", "3")]
    load(warehouse, "nba_analytics.upcoming_player_game_context", expected, "as_of")
    lower = [says("1", 10.0), says("1", 30.0, "ridge"), says("2", 20.0), says("3", 15.0)]
    predict(warehouse, SAME_DAY, *lower, says("4", 40.0))  # nobody expects the fourth any more
    predict(warehouse, AGAIN, says("3", 50.0))
    found = [(row["game_id"], row["player_id"], row["system"], row["value"]) for row in rows_of(warehouse, "tonight")]
    assert found == [
        ("0099", "2", "ensemble", 20.0),
        ("0099", "3", "ensemble", 15.0),
        ("0099", "1", "ensemble", 10.0),
        ("0099", "1", "ridge", 30.0),
        ("0096", None, None, None),
        ("0098", None, None, None),
        ("0097", None, None, None),
    ]
