"""Is mlb-prediction-worker the same worker under a second pipeline's name? Served from its staged folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestration.bench_system import System, open_system
from orchestration.staging import closure
from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.systems import SYSTEMS, fit
from shared.config.functions import function, functions_of, ready_topic
from shared.core.batch import UnitState, batch_id
from shared.core.codec import encode
from shared.core.messages import read_completion, read_ready
from shared.core.model import RunKey, Start, Status
from shared.ports import Written
from tests.emulators import absent_is_said
from tests.flow.batches import DAY, START
from tests.house.tree import ROOT

pytestmark = pytest.mark.slow

MLB = "mlb_prediction_worker"
REQUEST = function(MLB).listens[0]
OF_MLB: Start = replace(START, run=RunKey("mlb", DAY, "same_day"))
FEATURES = {"game_id": "g1", "games": 12, "pts_last10": 11.5, "features_present": 16, "features_total": 16}
PLAYERS = ("p1", "p2", "p3")


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with absent_is_said():
        context = open_system("pubsub", "firestore")
        with context as system:
            for name in (MLB, "prediction_worker"):
                system.serve(name)
            for topic in (ready_topic("mlb"), "mlb-predictions-complete"):
                system.listen(topic)
            yield system


def coordinator_of(system: System) -> Coordinator:
    """Where that of mlb would stand; what its units give is counted, and goes nowhere."""
    units = {player: json.dumps({**FEATURES, "player_id": player}) for player in PLAYERS}
    return Coordinator(
        pipeline="mlb",
        batches=system.home.batches,
        bus=system.home.bus,
        clock=system.home.clock,
        gather=lambda _: Inputs(shared=encode(fit([])).decode(), units=units, skipped={}),
        consolidate=lambda _, outputs: Written(
            rows=sum(len(json.loads(each)) for each in outputs), units=(), digest="d"
        ),
        standing=lambda _: None,
        request_topic=REQUEST,
        completion_topic="mlb-predictions-complete",
    )


def test_it_does_the_orders_of_its_own_pipeline(system: System) -> None:
    coordinator = coordinator_of(system)
    coordinator.on_start(OF_MLB)
    _, delivery = system.receiver.first(ready_topic("mlb"), str(OF_MLB.run))
    assert coordinator.on_ready(read_ready(delivery.data)) is None
    _, delivery = system.receiver.first("mlb-predictions-complete", str(OF_MLB.run))
    completion = read_completion(delivery.data)
    assert (completion.status, completion.units_actual, completion.rows) == (Status.SUCCESS, 3, 3 * len(SYSTEMS))
    [report] = system.home.batches.reports(batch_id(OF_MLB))
    assert {result.state for result in report.results} == {UnitState.DONE}


def test_an_order_of_another_pipeline_is_kept_for_a_person_and_not_done(system: System) -> None:
    of_nba = replace(OF_MLB, run=RunKey("nba", DAY, "tomorrow"))
    coordinator_of(system).on_start(of_nba)  # on mlb's topic
    after = replace(OF_MLB, attempt=2)
    coordinator_of(system).on_start(after)
    while len(system.home.batches.reports(batch_id(after))) < 1:
        system.receiver.first(ready_topic("mlb"), str(after.run))
    kept = [item for item in system.home.ports.states.quarantined(9) if item.run == str(of_nba.run)]
    assert [item.reason for item in kept] == [f"{of_nba.run} is no run of mlb, whose orders {MLB} does"]
    assert system.home.batches.reports(batch_id(of_nba)) == ()


def test_both_are_made_of_the_same_modules() -> None:
    functions = ROOT / "orchestration" / "cloud_functions"
    assert closure(functions / MLB / "main.py") == closure(functions / "prediction_worker" / "main.py")
    assert functions_of("mlb") == (function(MLB),)
