"""`tipoff demo`: two synthetic sample days from empty home to graded predictions, for a first look."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from data_processors.nba.sample_season import MARKER as SYNTHETIC_MARKER
from data_processors.nba.sample_season import write_sample_season
from orchestration import report
from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import check_modes, home_option, local_settings, spec_of
from orchestration.cli.report import print_accuracy
from orchestration.cli.run import drive
from orchestration.runs import Runs
from shared import wiring
from shared.config.settings import Settings
from shared.core.model import RunKey
from shared.ports import Feed

FIRST = date(2025, 10, 21)
DAYS = 45
SEASON = "sample_season"
DAY = timedelta(days=1)
PATIENCE_S = 30.0


def run(arguments: argparse.Namespace) -> int:
    settings, spec = local_settings(arguments), spec_of("nba")
    settings = replace(settings, home=arguments.home or settings.home / "demo")
    console = show.console(settings, stderr=arguments.json)
    season = settings.home / SEASON
    with wiring.alone_in(settings.home, command="tipoff demo"):
        begin_anew(settings, season, console)
        write_sample_season(season, seed=arguments.seed, days=DAYS, first=FIRST)
    console.print(
        f"A synthetic season of {DAYS} days from seed {arguments.seed}; no team, player or game in it is real."
    )
    feed = wiring.open_feed(season)
    day = last_but_one(feed)
    keys = [RunKey(spec.name, day, "same_day"), RunKey(spec.name, day, "overnight")]
    keys.append(RunKey(spec.name, day + DAY, "same_day"))
    check_modes(spec, [key.mode for key in keys])
    statuses = []
    with wiring.write_home(settings, command="tipoff demo", wait_s=0.0, waiting=console.print) as home:
        runs = Runs(home, spec, feed, settings.commit)
        for key in keys:
            console.print()
            statuses.append(drive(runs, key, console, patience_s=PATIENCE_S, told=()))
            console.print(show.headline(statuses[-1]), soft_wrap=True)
            console.print(show.run_table(statuses[-1]))
        grades = report.accuracy(home.warehouse, day, day)
    if arguments.json:
        show.print_json({"runs": [status.to_json() for status in statuses]})
    else:
        console.print(f"\nWhat {keys[0]} predicted, as {keys[1]} graded it:", soft_wrap=True)
        print_accuracy(console, grades)
        say_what_next(console, settings, keys)
    return OK if all(status.state.well for status in statuses) else NOT_PUBLISHED


def begin_anew(settings: Settings, season: Path, console: Console) -> None:
    """Empty the demo's own home; UsageError for any other."""
    if not (settings.home / wiring.STATE_FILE).exists():
        return
    if not (season / SYNTHETIC_MARKER).exists():
        raise UsageError(f"--home {settings.home} is not the demo's own; without --home it is .tipoff/demo")
    console.print(f"Beginning anew in {settings.home}: the demo's own home, synthetic throughout.")
    forget(settings.home)


def last_but_one(feed: Feed) -> date:
    """The last date that has games on it and on the day after: there is something to grade, and to predict again."""
    coverage = feed.coverage()
    dates = {date.fromisoformat(str(game["game_date"])) for game in feed.games(coverage.first, coverage.last)}
    return max(day for day in dates if day + DAY in dates)


def say_what_next(console: Console, settings: Settings, keys: list[RunKey]) -> None:
    folder = settings.home / wiring.EXPORTS / keys[0].pipeline
    console.print()
    for path in sorted(path for day in (keys[0].date, keys[-1].date) for path in (folder / str(day)).glob("*.json")):
        console.print(f"{path} ({path.stat().st_size:,} bytes)", soft_wrap=True)
    console.print("\nAsk it why:", style="dim")
    console.print(f"  tipoff explain {keys[0]}{home_option(settings)}", soft_wrap=True)
    console.print(f"  tipoff dashboard{home_option(settings)}", soft_wrap=True)
    console.print("\nThe last day at a glance:", style="dim")
    console.print(f"  tipoff health{home_option(settings)}", soft_wrap=True)


def forget(home: Path) -> None:
    """Remove what the demo made, and nothing else that may be in the folder."""
    for name in (wiring.STATE_FILE, wiring.WAREHOUSE_FILE):
        for path in home.glob(f"{name}*"):
            path.unlink()
    shutil.rmtree(home / wiring.EXPORTS, ignore_errors=True)
