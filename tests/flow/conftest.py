"""Inputs of the flow tests: a small synthetic season, and the real one where it is there."""

from __future__ import annotations

import csv
import os
from datetime import date
from pathlib import Path

import pytest

from data_processors.nba.sample_season import write_sample_season
from tests.house.tree import ROOT

FIRST = date(2025, 10, 21)


@pytest.fixture(scope="session")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days: enough history for form, small enough to run often."""
    folder = tmp_path_factory.mktemp("season")
    write_sample_season(folder, seed=7, days=12, first=FIRST)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("TIPOFF_DATA", ROOT.parent / "shared" / "data" / "nba"))
    if not (folder / "games.parquet").exists():
        pytest.skip("the real season is not here; set TIPOFF_DATA to a folder with games.parquet")
    return folder


@pytest.fixture(scope="session")
def night(season: Path) -> date:
    """The last date but one with games: the day after it has games to prepare, too."""
    with open(season / "games.csv", encoding="utf-8", newline="") as file:
        return date.fromisoformat(sorted({game["game_date"] for game in csv.DictReader(file)})[-2])
