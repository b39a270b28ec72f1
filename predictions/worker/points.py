"""One expected player to his predicted points by every system, for the worker."""

from __future__ import annotations

import json

from predictions.worker.systems import Model, predict
from predictions.worker.worker import Predict
from shared.core.batch import NO_HISTORY, Unit, UnitResult, UnitState
from shared.core.codec import decode


def prepare(shared: str) -> Predict:
    """How the units of a batch are done with what it has learnt."""
    model = decode(Model, shared)

    def points(unit: Unit) -> UnitResult:
        features = json.loads(unit.inputs)
        predicted = predict(model, features)
        if not predicted:
            return UnitResult(unit=unit.id, state=UnitState.SKIPPED, reason=NO_HISTORY)
        rows = [
            {
                "game_id": features["game_id"],
                "player_id": unit.id,
                "system": each.system,
                "value": each.value,
                "low": each.low,
                "high": each.high,
                "completeness": each.completeness,
            }
            for each in predicted
        ]
        return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps(rows))

    return points
