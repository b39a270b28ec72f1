"""The small season with something changed in its files, for the tests of what the world may send."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

Row = dict[str, str]

RESULTS = ("home_pts", "away_pts", "winner", "attendance", "player_rows")


def read(season: Path, name: str) -> list[Row]:
    with open(season / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(season: Path, name: str, rows: list[Row]) -> None:
    with open(season / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def copy(season: Path, folder: Path) -> Path:
    return shutil.copytree(season, folder, dirs_exist_ok=True)


def change(season: Path, name: str, act: Callable[[Row], Row | None]) -> None:
    """Every row through a function; None takes it out."""
    write(season, name, [changed for row in read(season, name) if (changed := act(row)) is not None])


def games_of(season: Path, day: object) -> list[str]:
    return sorted(game["game_id"] for game in read(season, "games") if game["game_date"] == str(day))


def take_lines(season: Path, games: Collection[str]) -> None:
    """These games are over, and their box scores are not there."""
    for name in ("player_box", "team_box"):
        change(season, name, lambda row: None if row["game_id"] in games else row)


def take_results(season: Path, games: Collection[str]) -> None:
    """These games are not over."""
    take_lines(season, games)
    change(season, "games", lambda row: row | dict.fromkeys(RESULTS, "") if row["game_id"] in games else row)
