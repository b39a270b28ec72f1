"""Is the invented season a season: the same every time, whole, and worth predicting?"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_processors.nba.sample_season import write_sample_season
from shared.adapters.feed import FolderFeed
from shared.ports import Coverage

FILES = ("games.csv", "player_box.csv", "team_box.csv", "SYNTHETIC")
FIRST, LAST = date(2031, 10, 21), date(2031, 12, 4)
NBA_CODES = (
    "ATL BOS BKN CHA CHI CLE DAL DEN DET GSW HOU IND LAC LAL MEM "
    "MIA MIL MIN NOP NYK OKC ORL PHI PHX POR SAC SAS TOR UTA WAS"
)
Row = dict[str, object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample_season(folder)
    return folder


@pytest.fixture(scope="module")
def feed(folder: Path) -> FolderFeed:
    return FolderFeed(folder)


@pytest.fixture(scope="module")
def games(feed: FolderFeed) -> list[Row]:
    return feed.games(FIRST, LAST)


@pytest.fixture(scope="module")
def players(feed: FolderFeed) -> list[Row]:
    return feed.player_lines(FIRST, LAST)


def number(row: Row, name: str) -> int:
    return int(str(row[name]))


def test_equal_arguments_give_equal_bytes_and_another_seed_another_season(folder: Path, tmp_path: Path) -> None:
    write_sample_season(tmp_path / "again")
    write_sample_season(tmp_path / "other", seed=8)
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert (folder / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_it_says_that_it_is_invented(feed: FolderFeed, games: list[Row]) -> None:
    assert replace(feed.coverage(), folder="") == Coverage(
        first=FIRST, last=LAST, source="synthetic sample season", synthetic=True
    )
    codes = {str(game[side]) for game in games for side in ("home_team", "away_team")}
    assert len(codes) == 30
    assert not codes & set(NBA_CODES.split())
    assert all(len(str(game["game_id"])) == 10 and str(game["game_id"]).startswith("99") for game in games)
    assert len({game["game_id"] for game in games}) == len(games)


def test_a_date_has_up_to_ten_games_some_have_none_and_no_team_plays_twice(games: list[Row]) -> None:
    by_date = Counter(str(game["game_date"]) for game in games)
    assert max(by_date.values()) <= 10
    assert 2 <= (LAST - FIRST).days + 1 - len(by_date) <= 10
    sides = Counter((str(game["game_date"]), game[side]) for game in games for side in ("home_team", "away_team"))
    assert max(sides.values()) == 1


def test_every_line_obeys_the_identities(feed: FolderFeed, players: list[Row]) -> None:
    for row in [*players, *feed.team_lines(FIRST, LAST)]:
        of = {
            name: number(row, name)
            for name in ("pts", "reb", "oreb", "dreb", "fgm", "fga", "fg3m", "fg3a", "ftm", "fta")
        }
        assert of["pts"] == 2 * (of["fgm"] - of["fg3m"]) + 3 * of["fg3m"] + of["ftm"]
        assert of["reb"] == of["oreb"] + of["dreb"]
        assert of["fg3m"] <= of["fgm"] <= of["fga"]
        assert of["fg3m"] <= of["fg3a"] <= of["fga"]
        assert of["ftm"] <= of["fta"]


def test_lines_sum_to_the_game(feed: FolderFeed, games: list[Row], players: list[Row]) -> None:
    points: Counter[tuple[object, object]] = Counter()
    minutes: Counter[tuple[object, object]] = Counter()
    for row in players:
        points[row["game_id"], row["team"]] += number(row, "pts")
        minutes[row["game_id"], row["team"]] += number(row, "minutes")
    assert set(minutes.values()) == {240}
    lines = Counter(row["game_id"] for row in players)
    for game in games:
        home, away = points[game["game_id"], game["home_team"]], points[game["game_id"], game["away_team"]]
        assert (home, away) == (game["home_pts"], game["away_pts"])
        assert home != away
        assert game["winner"] == (game["home_team"] if home > away else game["away_team"])
        assert lines[game["game_id"]] == game["player_rows"] == 20
    for row in feed.team_lines(FIRST, LAST):
        assert row["pts"] == points[row["game_id"], row["team"]]


def test_the_past_says_something_about_the_next_game(players: list[Row]) -> None:
    history: defaultdict[object, list[int]] = defaultdict(list)
    everything: list[int] = []
    by_form, by_league = [], []
    for row in players:
        past, actual = history[row["player_id"]], number(row, "pts")
        if len(past) >= 5:
            by_form.append(abs(statistics.mean(past[-10:]) - actual))
            by_league.append(abs(statistics.mean(everything) - actual))
        past.append(actual)
        everything.append(actual)
    assert statistics.mean(by_form) < 0.85 * statistics.mean(by_league)
