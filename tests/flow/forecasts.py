"""Predictions of a run as phase 5 leaves them, without its coordinator: a player's form, and a tenth more."""

from __future__ import annotations

from collections.abc import Collection

from shared.config.nba import NBA
from shared.config.nba_dates import as_of_date
from shared.core.plan import fence
from shared.ports import Partition, Stamp, Written
from tests.flow.nights import Night, Row

TABLE = "nba_predictions.predictions"
KEYS = ("game_id", "player_id", "system")
SYSTEMS = {"moving_average": 1.0, "ensemble": 1.1}
MARGIN = 8.0


def predict(night: Night, *, attempt: int = 1, more: float = 0.0, without: Collection[str] = ()) -> Written:
    """Everyone in the run's features, but for the games or players left out, `more` points above his form."""
    day = as_of_date(night.run)
    features = night.work.warehouse.query(
        """SELECT game_id, player_id, pts_last10, features_present / features_total AS completeness
           FROM nba_precompute.ml_feature_store WHERE as_of = @day""",
        {"day": day},
    )
    expected = [row for row in features if not {row["game_id"], row["player_id"]} & set(without)]
    rows = [_row(row, system, more) | {"game_date": day} for row in expected for system in SYSTEMS]
    mode = next(mode for mode in NBA.modes if mode.name == night.run.mode)
    stamp = Stamp(
        run=str(night.run), attempt=attempt, fence=fence(mode.precedence["run"], night.run.generation, attempt)
    )
    partition = Partition(table=TABLE, column="game_date", first=day, last=day)
    return night.work.warehouse.merge(partition, rows, KEYS, stamp, "player_id")


def _row(features: Row, system: str, more: float) -> Row:
    value = float(str(features["pts_last10"])) * SYSTEMS[system] + more
    return {
        **{name: features[name] for name in ("game_id", "player_id", "completeness")},
        "system": system,
        "value": value,
        "low": max(0.0, value - MARGIN),
        "high": value + MARGIN,
    }
