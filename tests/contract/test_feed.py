"""Does every Feed keep the promises of shared/ports.py, and does a broken folder say what is wrong?"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest

from shared.adapters.feed import COLUMNS, FolderFeed
from shared.ports import Feed, FeedError

DATA = Path(os.environ.get("TIPOFF_DATA") or Path(__file__).resolve().parents[2].parent / "shared/data/nba")
FIRST, SECOND = date(2024, 1, 15), date(2024, 1, 16)

GAMES = """
SELECT '2023-24' AS season, 'Regular Season' AS season_type, lpad(CAST(22300555 + i AS VARCHAR), 10, '0') AS game_id,
  DATE '2024-01-15' + CAST(i // 2 AS INTEGER) AS game_date, if(i = 1, NULL, '19:30') AS tipoff_et,
  1610612737 + 2 * i AS home_team_id, 'HOM' AS home_team, 'O''Home, "the" Team' AS home_name,
  1610612738 + 2 * i AS away_team_id, 'AWA' AS away_team, 'Away' AS away_name,
  CAST(if(i = 3, NULL, 100 + i) AS SMALLINT) AS home_pts, CAST(if(i = 3, NULL, 90) AS SMALLINT) AS away_pts,
  if(i = 3, NULL, 'HOM') AS winner, 'Arena' AS arena, CAST(NULL AS INTEGER) AS attendance,
  CAST(4 AS SMALLINT) AS player_rows
FROM range(4) AS t(i) ORDER BY i DESC
"""
SHOTS = """
  CAST(30 AS SMALLINT) AS minutes, CAST(8 AS SMALLINT) AS pts, 3 AS reb, 1 AS ast, 1 AS stl, 0 AS blk, 2 AS tov,
  0 AS pf,
  2 AS fgm, 5 AS fga, CAST(0.4 AS FLOAT) AS fg_pct, 2 AS fg3m, 3 AS fg3a, CAST(0.667 AS FLOAT) AS fg3_pct,
  0 AS ftm, 0 AS fta, CAST(NULL AS FLOAT) AS ft_pct, 0 AS oreb, 3 AS dreb
"""
PLAYERS = f"""
SELECT season, game_id, game_date, home_team_id + p // 2 AS team_id, 'HOM' AS team, 'AWA' AS opponent,
  p < 2 AS is_home, 'W' AS wl, 200000 - p AS player_id, 'Nikola Jokić' AS player_name, {SHOTS}, 11 AS plus_minus
FROM ({GAMES}), range(4) AS t(p) ORDER BY p, game_id DESC
"""
TEAMS = f"""
SELECT season, game_id, game_date, home_team_id + p AS team_id, 'HOM' AS team, 'Home' AS team_name, 'AWA' AS opponent,
  p = 0 AS is_home, 'W' AS wl, 2 AS players_used, {SHOTS}
FROM ({GAMES}), range(2) AS t(p)
"""
QUERIES = {"games": GAMES, "player_box": PLAYERS, "team_box": TEAMS}


def write_folder(folder: Path, ending: str, **changed: str) -> Path:
    """A season of four games on two days, rows out of order; `changed` replaces a file's query."""
    folder.mkdir(exist_ok=True)
    kind = "FORMAT parquet" if ending == "parquet" else "FORMAT csv, HEADER"
    with duckdb.connect() as connection:
        for name, query in (QUERIES | changed).items():
            connection.execute(f"COPY ({query}) TO '{folder / name}.{ending}' ({kind})")
    return folder


@pytest.fixture(params=["parquet", "csv"])
def ending(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(ending: str, tmp_path: Path) -> Path:
    return write_folder(tmp_path / "season", ending)


@pytest.fixture
def feed(folder: Path) -> Feed:
    return FolderFeed(folder)


def test_coverage_is_the_first_and_last_date_with_a_game(feed: Feed) -> None:
    covered = feed.coverage()
    assert (covered.first, covered.last, covered.source, covered.synthetic) == (FIRST, SECOND, "season", False)


def test_a_marked_folder_says_that_it_is_invented(folder: Path) -> None:
    (folder / "SYNTHETIC").touch()
    covered = FolderFeed(folder).coverage()
    assert (covered.synthetic, covered.source) == (True, "synthetic sample season")


def test_games_of_the_asked_dates_come_in_order_of_date_and_id(feed: Feed) -> None:
    assert [game["game_id"] for game in feed.games(FIRST, SECOND)] == [
        "0022300555",
        "0022300556",
        "0022300557",
        "0022300558",
    ]
    assert [game["game_id"] for game in feed.games(SECOND, SECOND)] == ["0022300557", "0022300558"]
    assert feed.games(date(2024, 2, 1), date(2024, 2, 2)) == []


def test_lines_come_in_order_of_game_team_and_player(feed: Feed) -> None:
    players = [(row["game_id"], row["team_id"], row["player_id"]) for row in feed.player_lines(FIRST, SECOND)]
    teams = [(row["game_id"], row["team_id"]) for row in feed.team_lines(FIRST, SECOND)]
    assert players == sorted(players)
    assert teams == sorted(teams)
    assert (len(players), len(teams)) == (16, 8)


def test_every_row_has_the_columns_of_the_league_and_survives_json(feed: Feed) -> None:
    for name, rows in (
        ("games", feed.games(FIRST, FIRST)),
        ("player_box", feed.player_lines(FIRST, FIRST)),
        ("team_box", feed.team_lines(FIRST, FIRST)),
    ):
        assert json.loads(json.dumps(rows)) == rows
        assert all(list(row) == list(COLUMNS[name]) for row in rows)


def test_values_are_as_a_reader_would_write_them(feed: Feed) -> None:
    game, player = feed.games(FIRST, FIRST)[0], feed.player_lines(FIRST, FIRST)[0]
    assert (game["game_id"], game["game_date"]) == ("0022300555", "2024-01-15")
    assert (game["home_name"], game["attendance"]) == ('O\'Home, "the" Team', None)
    assert (player["fg_pct"], player["fg3_pct"], player["ft_pct"]) == (0.4, 0.667, None)
    assert (player["is_home"], player["pts"], player["player_name"]) == (True, 8, "Nikola Jokić")


def test_an_unfinished_game_has_no_score(feed: Feed) -> None:
    unfinished = feed.games(SECOND, SECOND)[1]
    assert (unfinished["home_pts"], unfinished["away_pts"], unfinished["winner"]) == (None, None, None)


def test_parquet_and_csv_give_the_same_rows(tmp_path: Path) -> None:
    feeds = [FolderFeed(write_folder(tmp_path / ending, ending)) for ending in ("parquet", "csv")]
    for read in (FolderFeed.games, FolderFeed.player_lines, FolderFeed.team_lines):
        assert read(feeds[0], FIRST, SECOND) == read(feeds[1], FIRST, SECOND)


def test_parquet_is_preferred_where_both_are(tmp_path: Path) -> None:
    write_folder(tmp_path / "season", "parquet")
    write_folder(tmp_path / "season", "csv", games=GAMES.replace("100 + i", "50 + i"))
    assert FolderFeed(tmp_path / "season").games(FIRST, FIRST)[0]["home_pts"] == 100


def test_columns_may_stand_in_any_order_with_others_between(ending: str, tmp_path: Path) -> None:
    names = ", ".join(reversed(list(COLUMNS["games"])))
    folder = write_folder(tmp_path / "season", ending, games=f"SELECT {names}, 'x' AS more FROM ({GAMES})")
    plain = FolderFeed(write_folder(tmp_path / "plain", ending))
    assert FolderFeed(folder).games(FIRST, SECOND) == plain.games(FIRST, SECOND)


def test_a_file_replaced_after_opening_is_read_anew(folder: Path, ending: str) -> None:
    feed = FolderFeed(folder)
    assert feed.games(SECOND, SECOND)[1]["home_pts"] is None
    write_folder(folder, ending, games=GAMES.replace("if(i = 3, NULL, 100 + i)", "100 + i"))
    assert feed.games(SECOND, SECOND)[1]["home_pts"] == 103


def test_threads_read_at_the_same_time(feed: Feed) -> None:
    wanted, got = feed.player_lines(FIRST, SECOND), []
    threads = [threading.Thread(target=lambda: got.append(feed.player_lines(FIRST, SECOND))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 8


# --- what a broken folder says ----------------------------------------------------------------------


def refuse(folder: Path, *words: str) -> None:
    with pytest.raises(FeedError) as caught:
        FolderFeed(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "nowhere", "no such folder", "player_box")


def test_a_missing_file_is_named(folder: Path, ending: str) -> None:
    (folder / f"player_box.{ending}").unlink()
    refuse(folder, "player_box.parquet", "player_box.csv", "no such file")


def test_a_missing_column_is_named_with_its_file(ending: str, tmp_path: Path) -> None:
    query = f"SELECT * EXCLUDE (plus_minus, dreb) FROM ({PLAYERS})"
    refuse(write_folder(tmp_path / "season", ending, player_box=query), f"player_box.{ending}", "dreb, plus_minus")


@pytest.mark.parametrize("kept", [0, 3, 700])
def test_a_truncated_parquet_file_is_named(tmp_path: Path, kept: int) -> None:
    folder = write_folder(tmp_path / "season", "parquet")
    path = folder / "team_box.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    refuse(folder, "team_box.parquet", "copy the file again")


def test_an_empty_csv_lacks_its_columns(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "season", "csv")
    (folder / "games.csv").write_bytes(b"")
    refuse(folder, "games.csv", "game_id")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "season", "csv")
    (folder / "games.csv").write_bytes(b"\xff\xfe\x00" * 100)
    refuse(folder, "games.csv", "UTF-8")


def test_a_csv_value_that_is_none_is_found_with_its_line_and_column(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "season", "csv")
    path = folder / "games.csv"
    path.write_text(path.read_text().replace(",102,90,", ",many,90,"))
    with pytest.raises(FeedError) as caught:
        FolderFeed(folder).games(FIRST, SECOND)
    assert all(word in str(caught.value) for word in ("games.csv", "Line: 3", "home_pts", "many"))


def test_a_season_without_games_has_no_coverage(ending: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "season", ending, games=f"SELECT * FROM ({GAMES}) WHERE false")
    with pytest.raises(FeedError, match="no game"):
        FolderFeed(folder).coverage()


# --- the real season --------------------------------------------------------------------------------


@pytest.fixture
def season() -> Callable[[], FolderFeed]:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing: set TIPOFF_DATA")
    return lambda: FolderFeed(DATA)


def test_the_season_is_all_there(season: Callable[[], FolderFeed]) -> None:
    feed = season()
    covered = feed.coverage()
    assert (covered.first, covered.last, covered.synthetic) == (date(2023, 10, 24), date(2024, 4, 14), False)
    assert len(feed.games(covered.first, covered.last)) == 1_230
    assert len(feed.player_lines(covered.first, covered.last)) == 26_401
    assert len(feed.team_lines(covered.first, covered.last)) == 2_460
