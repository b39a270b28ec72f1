"""`tipoff demo`: a synthetic sample night from empty home to exports, for a first look."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

from orchestration.cli import show
from orchestration.cli.main import UsageError
from orchestration.cli.options import settings_of, spec_of
from orchestration.cli.run import drive
from shared import wiring
from shared.ports import Feed

FIRST = date(2025, 10, 21)
DAYS = 45
SEASON = "sample_season"


def run(arguments: argparse.Namespace) -> int:
    from data_processors.nba.sample_season import MARKER as SYNTHETIC_MARKER
    from data_processors.nba.sample_season import write_sample_season

    settings = settings_of(arguments)
    settings = replace(settings, home=arguments.home or settings.home / "demo")
    console = show.console(settings, stderr=arguments.json)
    season = settings.home / SEASON
    with wiring.alone_in(settings.home, command="tipoff demo"):
        if (settings.home / wiring.STATE_FILE).exists():
            if not (season / SYNTHETIC_MARKER).exists():
                raise UsageError(f"--home {settings.home} is not the demo's own; without --home it is .tipoff/demo")
            console.print(f"Beginning anew in {settings.home}: the demo's own home, synthetic throughout.")
            forget(settings.home)
        write_sample_season(season, seed=arguments.seed, days=DAYS, first=FIRST)
    feed = wiring.open_feed(season)
    night = last_night(feed)
    console.print(
        f"A synthetic season of {DAYS} days from seed {arguments.seed}; no team, player or game in it is real."
    )
    code = drive(
        settings,
        spec_of("nba"),
        feed,
        day=night,
        mode="overnight",
        patience_s=30.0,
        wait_s=0.0,
        json=arguments.json,
    )
    if not arguments.json:
        console.print("\nAsk it why:", style="dim")
        console.print(f"  tipoff explain nba.{night}.overnight.1 --home {settings.home}", soft_wrap=True)
    return code


def last_night(feed: Feed) -> date:
    """The last date but one that has games: the day after it has games to prepare, too."""
    coverage = feed.coverage()
    dates = sorted({date.fromisoformat(str(game["game_date"])) for game in feed.games(coverage.first, coverage.last)})
    return dates[-2]


def forget(home: Path) -> None:
    """Remove what the demo made, and nothing else that may be in the folder."""
    for name in (wiring.STATE_FILE, wiring.WAREHOUSE_FILE):
        for path in home.glob(f"{name}*"):
            path.unlink()
    shutil.rmtree(home / wiring.EXPORTS, ignore_errors=True)
