"""What a batch of point predictions reads in bulk when it begins, and where what its units gave belongs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.systems import completeness, fit, has_history
from shared.config.functions import PREDICTION_REQUEST_TOPIC, PREDICTION_START_TOPIC
from shared.config.nba_dates import as_of_date, season_first
from shared.core.batch import NO_HISTORY
from shared.core.codec import encode
from shared.core.model import Act, PhaseSpec, PipelineSpec, RunKey, Start
from shared.ports import Partition, Stamp, Warehouse, WarehouseError, Written
from shared.wiring import Home

TABLE = "nba_predictions.predictions"
KEYS = ("game_id", "player_id", "system")
UNIT = "player_id"

COLUMNS: Mapping[str, str] = {
    "game_date": "DATE",
    **dict.fromkeys(KEYS, "STRING"),
    **dict.fromkeys(("value", "low", "high", "completeness"), "FLOAT64"),
}
"""What the units give, with its types."""


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
        rows = self._rows("units.sql", start)
        wanted = rows if start.units is None else start.units
        examples = self.warehouse.query(sql("training.sql"), _dates(start)) if wanted else []
        return _inputs(rows, wanted, shared=encode(fit(examples)).decode() if wanted else "")

    def heal(self, start: Start, units: Collection[str]) -> Inputs:
        """The features of these players, made anew of what they are made of; what they share has been learnt."""
        return _inputs(self._rows("heal.sql", start), units, shared="")

    def _rows(self, query: str, start: Start) -> dict[str, dict[str, object]]:
        return {str(row[UNIT]): row for row in self.warehouse.query(sql(query), _dates(start))}

    def check(self) -> None:
        """Raises WarehouseError where the table could not take what the units give."""
        there = self.warehouse.columns(TABLE)
        for column, kind in COLUMNS.items():
            if there.get(column) != kind:
                found = f"is {there[column]}" if column in there else "is not there"
                raise WarehouseError(f"{TABLE}: column {column} {found}, predictions need {kind}; alter the table")

    def consolidate(self, start: Start, outputs: Sequence[str]) -> Written:
        """The rows of every unit that is done, in one MERGE; the run's older rows without a successor go."""
        rows = [{"game_date": start.partition, **row} for output in outputs for row in json.loads(output)]
        written = self.warehouse.merge(_target(start), rows, KEYS, Stamp.of(start), UNIT)
        if not written.superseded and written.rows != len(rows):
            raise WarehouseError(f"{TABLE}: {len(rows)} rows of {start.run} were merged, and {written.rows} stand")
        return written

    def standing(self, start: Start) -> Written | None:
        return self.warehouse.standing(_target(start), Stamp.of(start), UNIT)


def _inputs(rows: Mapping[str, Mapping[str, object]], wanted: Collection[str], *, shared: str) -> Inputs:
    known = {unit: rows[unit] for unit in wanted if unit in rows and has_history(rows[unit])}
    return Inputs(
        shared=shared,
        units={unit: json.dumps(row) for unit, row in known.items()},
        skipped=dict.fromkeys(set(wanted).difference(known), NO_HISTORY),
        completeness={unit: completeness(row) for unit, row in known.items()},
    )


def predictions_phase(spec: PipelineSpec) -> PhaseSpec:
    """The phase of a pipeline that is fanned out."""
    [phase] = [phase for phase in spec.phases if phase.start_topic == PREDICTION_START_TOPIC]
    return phase


def points_coordinator(home: Home, spec: PipelineSpec) -> Coordinator:
    """The coordinator of a pipeline's point predictions, on embedded parts or those of a cloud."""
    points, ports, phase = Points(home.warehouse), home.ports, predictions_phase(spec)
    [processor] = phase.processors

    def override(run: RunKey) -> Act | None:
        return ports.states.load(run).control.allows_poor_at(ports.clock.now())

    return Coordinator(
        pipeline=spec.name,
        batches=home.batches,
        bus=ports.bus,
        clock=ports.clock,
        gather=points.gather,
        consolidate=points.consolidate,
        standing=points.standing,
        request_topic=PREDICTION_REQUEST_TOPIC,
        completion_topic=phase.completion_topic,
        trace=ports.trace,
        meter=ports.meter,
        check=points.check,
        heal=points.heal,
        override=override,
        quality_min=processor.quality_min,
        in_flight=home.in_flight,
    )


def _dates(start: Start) -> dict[str, object]:
    """What the predictions of a run may look at: this season, before its date."""
    as_of = as_of_date(start.run)
    return {"as_of": as_of, "season_first": season_first(as_of)}


def _target(start: Start) -> Partition:
    return Partition(table=TABLE, column="game_date", first=start.partition, last=start.partition)
