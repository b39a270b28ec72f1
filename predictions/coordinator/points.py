"""What a batch of point predictions reads in bulk when it begins, and where what its units gave belongs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.systems import fit, has_history
from shared.config.functions import PREDICTION_REQUEST_TOPIC
from shared.config.nba_dates import as_of_date, season_first
from shared.core.batch import NO_HISTORY
from shared.core.codec import encode
from shared.core.model import PhaseSpec, Start
from shared.ports import Partition, Stamp, Warehouse, Written
from shared.wiring import Home

TABLE = "nba_predictions.predictions"
KEYS = ("game_id", "player_id", "system")
UNIT = "player_id"


@cache
def sql(name: str) -> str:
    """The text of a file beside the worker, read once."""
    return (files("predictions.worker") / name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Points:
    """Features and past games in, one MERGE out."""

    warehouse: Warehouse

    def gather(self, start: Start) -> Inputs:
        """The features of the players that the start wants, and what the season before has taught.

        A player of whom nothing is known is skipped: nobody could predict him.
        """
        parameters = _dates(start)
        rows = {str(row[UNIT]): row for row in self.warehouse.query(sql("units.sql"), parameters)}
        wanted = rows if start.units is None else start.units
        units = {unit: json.dumps(rows[unit]) for unit in wanted if unit in rows and has_history(rows[unit])}
        examples = self.warehouse.query(sql("training.sql"), parameters) if units else []
        return Inputs(
            shared=encode(fit(examples)).decode() if units else "",
            units=units,
            skipped=dict.fromkeys(set(wanted).difference(units), NO_HISTORY),
        )

    def consolidate(self, start: Start, outputs: Sequence[str]) -> Written:
        """The rows of every unit that is done, in one MERGE; the run's older rows without a successor go."""
        rows = [{"game_date": start.partition, **row} for output in outputs for row in json.loads(output)]
        return self.warehouse.merge(_target(start), rows, KEYS, _stamp(start), UNIT)

    def standing(self, start: Start) -> Written | None:
        return self.warehouse.standing(_target(start), _stamp(start), UNIT)


def points_coordinator(home: Home, phase: PhaseSpec) -> Coordinator:
    """The coordinator of a phase of point predictions, on embedded parts or those of a cloud."""
    points = Points(home.warehouse)
    return Coordinator(
        batches=home.batches,
        bus=home.ports.bus,
        clock=home.clock,
        gather=points.gather,
        consolidate=points.consolidate,
        standing=points.standing,
        request_topic=PREDICTION_REQUEST_TOPIC,
        completion_topic=phase.completion_topic,
        trace=home.ports.trace,
    )


def _dates(start: Start) -> dict[str, object]:
    """What the predictions of a run may look at: this season, before its date."""
    as_of = as_of_date(start.run)
    return {"as_of": as_of, "season_first": season_first(as_of)}


def _target(start: Start) -> Partition:
    return Partition(table=TABLE, column="game_date", first=start.partition, last=start.partition)


def _stamp(start: Start) -> Stamp:
    return Stamp(run=str(start.run), attempt=start.attempt, fence=start.fence)
