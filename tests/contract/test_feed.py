"""Does every Feed keep the promises of shared/ports.py, and does a broken folder say what is wrong?"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shared.adapters.feed import COLUMNS, FILE_BYTES_MAX, FolderFeed, open_feed_url
from shared.ports import Feed, FeedError
from tests.contract.gcs_server import BUCKET, Storage, storage

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


class Elsewhere:
    """A folder in memory or in a bucket, and what is there."""

    def __init__(self, bucket: Storage | None) -> None:
        self._bucket = bucket
        self._prefix = f"{secrets.token_hex(4)}/season"  # fsspec's memory is one for the whole process
        self.url = f"gs://{BUCKET}/{self._prefix}" if bucket else f"memory://{self._prefix}"

    def put(self, name: str, body: bytes) -> None:
        if self._bucket:
            self._bucket.put(f"{self._prefix}/{name}", body)
        else:
            MemoryFileSystem().pipe_file(f"{self.url}/{name}", body)

    def remove(self, name: str) -> None:
        if self._bucket:
            del self._bucket.objects[f"{self._prefix}/{name}"]
        else:
            MemoryFileSystem().rm(f"{self.url}/{name}")

    def mirror(self, folder: Path) -> None:
        for path in folder.iterdir():
            self.put(path.name, path.read_bytes())

    def open(self) -> Feed:
        return open_feed_url(self.url, endpoint=self._bucket.endpoint if self._bucket else "")


@pytest.fixture(scope="module")
def served() -> Iterator[Storage]:
    with storage() as service:
        yield service


@pytest.fixture
def bucket(served: Storage) -> Iterator[Storage]:
    served.objects.clear()
    served.calls.clear()
    yield served
    assert not served.refusals


@pytest.fixture(params=["memory", "bucket"])
def elsewhere(request: pytest.FixtureRequest) -> Elsewhere:
    return Elsewhere(request.getfixturevalue("bucket") if request.param == "bucket" else None)


@pytest.fixture(params=["folder", "memory", "bucket"])
def feed(request: pytest.FixtureRequest, folder: Path) -> Feed:
    if request.param == "folder":
        return open_feed_url(str(folder))
    there = Elsewhere(request.getfixturevalue("bucket") if request.param == "bucket" else None)
    there.mirror(folder)
    return there.open()


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


# --- a folder elsewhere -----------------------------------------------------------------------------


def test_a_folder_elsewhere_tells_its_url_and_its_mark(folder: Path, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(folder)
    feed = elsewhere.open()
    assert (feed.coverage().folder, feed.coverage().source) == (elsewhere.url, "season")
    elsewhere.put("SYNTHETIC", b"")
    assert (feed.coverage().synthetic, feed.coverage().source) == (True, "synthetic sample season")
    elsewhere.remove("SYNTHETIC")
    assert not feed.coverage().synthetic


def test_a_file_replaced_elsewhere_is_read_anew(folder: Path, ending: str, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(folder)
    feed = elsewhere.open()
    assert feed.games(SECOND, SECOND)[1]["home_pts"] is None
    write_folder(folder, ending, games=GAMES.replace("if(i = 3, NULL, 100 + i)", "100 + i"))
    elsewhere.put(f"games.{ending}", (folder / f"games.{ending}").read_bytes())
    assert feed.games(SECOND, SECOND)[1]["home_pts"] == 103


def test_a_file_that_takes_the_place_of_another_kind_is_read(tmp_path: Path, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(write_folder(tmp_path / "csv", "csv"))
    feed = elsewhere.open()
    elsewhere.mirror(write_folder(tmp_path / "parquet", "parquet", games=GAMES.replace("100 + i", "50 + i")))
    assert feed.games(FIRST, FIRST)[0]["home_pts"] == 50
    elsewhere.remove("games.parquet")
    assert feed.games(FIRST, FIRST)[0]["home_pts"] == 100


def test_what_has_not_changed_is_not_fetched_again(folder: Path, ending: str, bucket: Storage) -> None:
    there = Elsewhere(bucket)
    there.mirror(folder)
    there.put("notes.txt", b"not ours")
    feed = there.open()
    assert sorted(call.split("%2F")[-1] for call in bucket.calls if "/download/" in call) == [
        f"{name}.{ending}" for name in ("games", "player_box", "team_box")
    ]
    bucket.calls.clear()
    feed.games(FIRST, SECOND)
    there.put(f"team_box.{ending}", (folder / f"team_box.{ending}").read_bytes())
    feed.team_lines(FIRST, SECOND)
    assert [call.split("%2F")[-1] for call in bucket.calls if "/download/" in call] == [f"team_box.{ending}"]
    assert len(bucket.calls) == 3


def test_a_file_that_came_broken_is_named_by_its_url_until_it_is_whole(folder: Path, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(write_folder(folder, "parquet"))
    feed = elsewhere.open()
    whole = (folder / "team_box.parquet").read_bytes()
    elsewhere.put("team_box.parquet", whole[:700])
    for _ in range(2):
        with pytest.raises(FeedError, match="copy the file again") as caught:
            feed.games(FIRST, FIRST)
        assert f"{elsewhere.url}/team_box.parquet" in str(caught.value)
        assert "/tipoff-feed-" not in str(caught.value)
    elsewhere.put("team_box.parquet", whole)
    assert len(feed.games(FIRST, FIRST)) == 2


def test_a_missing_file_elsewhere_is_named(folder: Path, ending: str, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(folder)
    elsewhere.remove(f"player_box.{ending}")
    with pytest.raises(FeedError, match=r"no such file, nor player_box\.csv") as caught:
        elsewhere.open()
    assert f"{elsewhere.url}/player_box.parquet" in str(caught.value)


def test_a_missing_folder_elsewhere_is_named_also_when_it_goes_later(folder: Path, elsewhere: Elsewhere) -> None:
    with pytest.raises(FeedError, match=f"{elsewhere.url}: there is no such folder; put games"):
        elsewhere.open()
    elsewhere.mirror(folder)
    feed = elsewhere.open()
    for path in folder.iterdir():
        elsewhere.remove(path.name)
    with pytest.raises(FeedError, match="there is no such"):
        feed.coverage()


def test_a_file_too_large_is_not_fetched(folder: Path, ending: str, elsewhere: Elsewhere) -> None:
    elsewhere.mirror(folder)
    elsewhere.put(f"team_box.{ending}", bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(FeedError, match=f"team_box.{ending}: {FILE_BYTES_MAX + 1} bytes.*put one season there"):
        elsewhere.open()


def test_a_bucket_that_refuses_is_a_feed_error_and_the_next_call_goes_on(folder: Path, bucket: Storage) -> None:
    there = Elsewhere(bucket)
    there.mirror(folder)
    feed = there.open()
    bucket.refusals = [(403, "functions@p.iam does not have storage.objects.list access")]
    with pytest.raises(FeedError, match="grant this account") as caught:
        feed.games(FIRST, SECOND)
    assert there.url in str(caught.value)
    assert len(feed.games(FIRST, SECOND)) == 4


@pytest.mark.parametrize("url", ["s3://bucket/season", "gs://", "", "gs://bucket/../season"])
def test_a_url_that_names_no_folder_is_refused(url: str) -> None:
    with pytest.raises(FeedError, match="expected"):
        open_feed_url(url)


PRIVATE = """
import sys, tempfile
from pathlib import Path
from shared.adapters.feed import open_feed_url
tempfile.tempdir = sys.argv[1]
feed = open_feed_url(sys.argv[2], endpoint=sys.argv[3])
print(*(oct(path.stat().st_mode)[-3:] for path in Path(sys.argv[1]).iterdir()))
"""


def test_the_private_folder_is_private_and_goes_with_its_process(folder: Path, bucket: Storage, tmp_path: Path) -> None:
    there = Elsewhere(bucket)
    there.mirror(folder)
    private = tmp_path / "private"
    private.mkdir()
    told = subprocess.check_output([sys.executable, "-c", PRIVATE, str(private), there.url, bucket.endpoint], text=True)
    assert told.split() == ["700"]
    assert list(private.iterdir()) == []


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
