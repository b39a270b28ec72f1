"""The Feed from a folder of files: games, player_box and team_box, each Parquet or CSV, here or in a bucket."""

from __future__ import annotations

import csv
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from shared.adapters.objects import local_folder, open_bucket, told
from shared.ports import Coverage, Feed, FeedError

SYNTHETIC_MARKER = "SYNTHETIC"
"""A file of this name says that the folder holds an invented season."""

GIST_MAX = 500  # of an error: line, column and value stand at its beginning
FILE_BYTES_MAX = 64 * 1024 * 1024  # of a fetched one; a season is half a megabyte, and a function's disk is its memory

T = TypeVar("T")

_SHOTS = {
    "fgm": "INTEGER",
    "fga": "INTEGER",
    "fg_pct": "DOUBLE",
    "fg3m": "INTEGER",
    "fg3a": "INTEGER",
    "fg3_pct": "DOUBLE",
    "ftm": "INTEGER",
    "fta": "INTEGER",
    "ft_pct": "DOUBLE",
    "oreb": "INTEGER",
    "dreb": "INTEGER",
}
_COUNTS = dict.fromkeys(("minutes", "pts", "reb", "ast", "stl", "blk", "tov", "pf"), "INTEGER")

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "games": {
        "season": "VARCHAR",
        "season_type": "VARCHAR",
        "game_id": "VARCHAR",
        "game_date": "DATE",
        "tipoff_et": "VARCHAR",
        "home_team_id": "BIGINT",
        "home_team": "VARCHAR",
        "home_name": "VARCHAR",
        "away_team_id": "BIGINT",
        "away_team": "VARCHAR",
        "away_name": "VARCHAR",
        "home_pts": "INTEGER",
        "away_pts": "INTEGER",
        "winner": "VARCHAR",
        "arena": "VARCHAR",
        "attendance": "INTEGER",
        "player_rows": "INTEGER",
    },
    "player_box": {
        "season": "VARCHAR",
        "game_id": "VARCHAR",
        "game_date": "DATE",
        "team_id": "BIGINT",
        "team": "VARCHAR",
        "opponent": "VARCHAR",
        "is_home": "BOOLEAN",
        "wl": "VARCHAR",
        "player_id": "BIGINT",
        "player_name": "VARCHAR",
        **_COUNTS,
        **_SHOTS,
        "plus_minus": "INTEGER",
    },
    "team_box": {
        "season": "VARCHAR",
        "game_id": "VARCHAR",
        "game_date": "DATE",
        "team_id": "BIGINT",
        "team": "VARCHAR",
        "team_name": "VARCHAR",
        "opponent": "VARCHAR",
        "is_home": "BOOLEAN",
        "wl": "VARCHAR",
        "players_used": "INTEGER",
        **_COUNTS,
        **_SHOTS,
    },
}
"""Every column each file must have, and its type; others are ignored."""

ORDER = {
    "games": "game_date, game_id",
    "player_box": "game_date, game_id, team_id, player_id",
    "team_box": "game_date, game_id, team_id",
}


def open_feed_url(url: str, *, endpoint: str = "") -> Feed:
    """The feed in gs://bucket/folder, file:///folder, a plain path, or, for tests, memory://folder (fsspec's own).

    Raises FeedError. An endpoint is that of a Cloud Storage emulator, which is asked without credentials.
    """
    if (folder := local_folder(url)) is not None:
        return FolderFeed(folder)
    if url.startswith("memory://"):
        from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

        return FetchedFeed(MemoryFileSystem(), url)
    try:
        filesystem, _ = open_bucket(url, endpoint=endpoint)
    except (OSError, ValueError) as error:
        raise FeedError(f"the feed's folder: {error}") from error
    return FetchedFeed(filesystem, url)


class FetchedFeed:
    """Keeps the promises of ports.Feed for a folder elsewhere; any number of threads, which take turns.

    The files are kept in a private folder while the process lives. Every call looks at the folder there first, in one
    request, and fetches what has changed since.
    """

    def __init__(self, filesystem: Any, url: str) -> None:
        self._filesystem = filesystem
        self._url = url.rstrip("/")
        self._folder = Path(tempfile.mkdtemp(prefix="tipoff-feed-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._marks: dict[str, object] = {}  # by name of a file that is here
        self._feed: FolderFeed | None = None  # while the files are those that it was opened for
        self._lock = threading.Lock()
        self._read(lambda _: None)

    def coverage(self) -> Coverage:
        covered = self._read(FolderFeed.coverage)
        source = covered.source if covered.synthetic else self._url.rpartition("/")[2]
        return replace(covered, source=source, folder=self._url)

    def games(self, first: date, last: date) -> list[dict[str, object]]:
        return self._read(lambda feed: feed.games(first, last))

    def player_lines(self, first: date, last: date) -> list[dict[str, object]]:
        return self._read(lambda feed: feed.player_lines(first, last))

    def team_lines(self, first: date, last: date) -> list[dict[str, object]]:
        return self._read(lambda feed: feed.team_lines(first, last))

    def _read(self, read: Callable[[FolderFeed], T]) -> T:
        with self._lock:
            try:
                self._fetch()
                self._feed = self._feed or FolderFeed(self._folder)
                return read(self._feed)
            except FeedError as error:
                raise FeedError(str(error).replace(str(self._folder), self._url)) from error

    def _fetch(self) -> None:
        """Make the private folder like the one there."""
        try:
            with told(self._url):
                listed = self._filesystem.ls(self._url, detail=True)
        except FileNotFoundError as error:
            raise FeedError(f"{self._url}: there is no such folder; put {_wanted()} there") from error
        except OSError as error:
            raise FeedError(str(error)) from error
        there = {str(entry["name"]).rpartition("/")[2]: entry for entry in listed if entry["type"] == "file"}
        for name in self._marks.keys() - there.keys():
            self._feed = None
            (self._folder / name).unlink()
            del self._marks[name]
        for name in sorted(_FILES & there.keys()):
            entry = there[name]
            # a bucket has generations; fsspec's memory the moment of creation, anew with each put
            mark = (entry.get("generation"), entry.get("created"), entry["size"])
            if self._marks.get(name) != mark:
                self._feed = None
                self._fetch_file(name, entry["size"])
                self._marks[name] = mark

    def _fetch_file(self, name: str, size: int) -> None:
        url = f"{self._url}/{name}"
        if size > FILE_BYTES_MAX:
            raise FeedError(f"{url}: {size} bytes, and at most {FILE_BYTES_MAX} are fetched; put one season there")
        try:
            with told(url):
                body = self._filesystem.cat_file(url)
            (self._folder / name).write_bytes(body)
        except FileNotFoundError as error:
            raise FeedError(f"{url}: went while it was fetched; put it there again") from error
        except OSError as error:
            raise FeedError(str(error) if url in str(error) else f"{url}: cannot be kept here: {error}") from error


class FolderFeed:
    """Keeps the promises of ports.Feed; any number of threads. The files are read anew on every call."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FeedError(f"{folder}: there is no such folder; point --data at one that holds {_wanted()}")
        if set("*?[") & set(str(folder)):
            raise FeedError(f"{folder}: DuckDB reads *, ? and [ in a path as a pattern; name a folder without them")
        self._folder = folder
        self._connection: Any = duckdb.connect(":memory:", config={"threads": 1})  # a file is one row group or two
        self._paths = {name: _find(folder, name) for name in COLUMNS}
        for name, path in self._paths.items():
            self._check_columns(name, path)

    def coverage(self) -> Coverage:
        first, last = self._fetch("games", f"SELECT min(game_date), max(game_date) FROM {self._source('games')}", {})[0]
        if first is None:
            raise FeedError(f"{self._paths['games']}: holds no game; fetch it again")
        synthetic = (self._folder / SYNTHETIC_MARKER).exists()
        folder = self._folder.resolve()
        source = "synthetic sample season" if synthetic else folder.name
        return Coverage(first=first, last=last, source=source, synthetic=synthetic, folder=str(folder))

    def games(self, first: date, last: date) -> list[dict[str, object]]:
        return self._lines("games", first, last)

    def player_lines(self, first: date, last: date) -> list[dict[str, object]]:
        return self._lines("player_box", first, last)

    def team_lines(self, first: date, last: date) -> list[dict[str, object]]:
        return self._lines("team_box", first, last)

    def _lines(self, name: str, first: date, last: date) -> list[dict[str, object]]:
        values = ", ".join(_value(column, kind) for column, kind in COLUMNS[name].items())
        sql = (
            f"SELECT {values} FROM {self._source(name)} WHERE game_date BETWEEN $first AND $last ORDER BY {ORDER[name]}"
        )
        rows = self._fetch(name, sql, {"first": first, "last": last})
        return [dict(zip(COLUMNS[name], row, strict=True)) for row in rows]

    def _check_columns(self, name: str, path: Path) -> None:
        if path.suffix == ".csv":
            present = set(_header(path))
        else:
            described = self._fetch(name, "SELECT name FROM parquet_schema($path)", {"path": str(path)})
            present = {str(row[0]) for row in described}
        if missing := [column for column in COLUMNS[name] if column not in present]:
            raise FeedError(f"{path}: column {', '.join(missing)} is missing; add it (empty where unknown)")

    def _source(self, name: str) -> str:
        path = self._paths[name]
        text = _quoted(str(path))
        if path.suffix == ".parquet":
            types = ", ".join(f"CAST({column} AS {kind}) AS {column}" for column, kind in COLUMNS[name].items())
            return f"(SELECT {types} FROM read_parquet({text}))"
        # in the header's own order: given columns are taken by position, not by name
        types = ", ".join(
            f"{_quoted(column)}: {_quoted(COLUMNS[name].get(column, 'VARCHAR'))}" for column in _header(path)
        )
        return (
            f"read_csv({text}, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
            f"nullstr = '', columns = {{{types}}})"
        )

    def _fetch(self, name: str, sql: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                rows: list[tuple[Any, ...]] = cursor.execute(sql, parameters).fetchall()
                return rows
        except duckdb.Error as error:
            remedy = "correct that value" if isinstance(error, duckdb.DataError) else "fetch or copy the file again"
            raise FeedError(f"{self._paths[name]}: cannot be read; {remedy}: {_gist(error)}") from error


_FILES = frozenset((*(f"{name}.{ending}" for name in COLUMNS for ending in ("parquet", "csv")), SYNTHETIC_MARKER))


def _gist(error: duckdb.Error) -> str:
    """What DuckDB says is wrong, and where, without its settings and the advice that is meant for its own users."""
    told = [line.strip() for line in str(error).partition("Possible fixes")[0].splitlines() if line.strip()]
    return " ".join(told)[:GIST_MAX]


def _wanted() -> str:
    return ", ".join(COLUMNS) + " (.parquet or .csv)"


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.parquet", folder / f"{name}.csv"):
        if path.is_file():
            return path
    raise FeedError(f"{folder / name}.parquet: there is no such file, nor {name}.csv; the folder must hold {_wanted()}")


def _header(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError) as error:
        raise FeedError(f"{path}: cannot be read; save it as UTF-8 CSV with a header line: {error}") from error


def _value(column: str, kind: str) -> str:
    match kind:
        case "DATE":
            return f"strftime({column}, '%Y-%m-%d')"
        case "DOUBLE":
            return f"round({column}, 6)"  # the files hold 32-bit floats: 0.4 reads as 0.4000000059604645
        case _:
            return column


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
