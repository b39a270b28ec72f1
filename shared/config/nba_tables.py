"""Where the rows of each processor of nba stand, and what its gates read back of them: for the work and for the gates.

The checks are SQL beside this file and not beside the work: every process that decides asks them, also one that has
none of the work in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from shared.config.nba import NBA
from shared.core.readings import Check, ReadBack, Table

UNIT_COLUMNS: Mapping[str, str] = {"": "", "games": "game_id", "next_games": "game_id", "players": "player_id"}
"""The column whose values are the units of an expectation."""

WITHOUT_ROWS = ("export",)
"""Phases that publish documents."""


def table_of(phase: str, processor: str) -> str:
    return "nba_predictions.accuracy" if processor == "prediction_accuracy" else f"nba_{phase}.{processor}"


def _check(name: str, *processors: str, of_run: bool = False) -> Check:
    sql = (files("shared.config") / name).read_text(encoding="utf-8")
    return Check(processors=processors, sql=sql, of_run=of_run)


TABLES: Mapping[str, Table] = {
    spec.name: Table(
        name=table_of(phase.name, spec.name),
        column="game_date" if spec.partition == "run" else spec.partition,
        unit=UNIT_COLUMNS[spec.unit],
        of_run=spec.partition == "run",
    )
    for phase in NBA.phases
    if phase.name not in WITHOUT_ROWS
    for spec in phase.processors
}

MADE_OF: Mapping[str, tuple[str, ...]] = {
    "results": ("player_game_summary", "team_offense_game_summary"),
    "tonight": ("raw_schedule", "upcoming_player_game_context", "predictions"),
}
"""What the documents do not come out whole without; the tables of other phases are made of the phase before."""

READ_BACK = ReadBack(
    tables=TABLES,
    reads=MADE_OF,
    checks={
        "analytics": (_check("nba.raw.sanity.sql", "player_boxscores", "team_boxscores"),),
        "export": (
            _check("nba.analytics.sanity.sql", "player_game_summary", "team_offense_game_summary"),
            _check("nba.predictions.sanity.sql", "predictions", of_run=True),
        ),
    },
)
