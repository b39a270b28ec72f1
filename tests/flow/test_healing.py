"""What a batch of points does about units of whom too little is known, and about a table that could not take them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from data_processors.nba.runner import Work
from predictions.coordinator.coordinator import Coordinator
from predictions.coordinator.points import COLUMNS, TABLE, Points
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.feed import FolderFeed
from shared.adapters.sqlite import Sqlite
from shared.core.batch import Batch, UnitState, batch_id
from shared.core.model import RunKey
from shared.ports import WarehouseError
from tests.flow.batches import NOW, START
from tests.flow.nights import Night, new_work
from tests.flow.test_prediction_inputs import BEFORE_PREDICTING, DAY, select, serve

LATE = ("player_shot_zone_analysis", "player_composite_factors")  # a quarter of the features
QUALITY = 0.8


@pytest.fixture(scope="module")
def sample(season: Path) -> FolderFeed:
    return FolderFeed(season)


def as_of(work: Work, day: date, *, without: tuple[str, ...] = ()) -> Night:
    run = Night(work=work, run=RunKey("nba", day, "same_day"))
    for processor in BEFORE_PREDICTING:
        if processor not in without:
            run.one(processor)
    return run


def begun(work: Work, day: date) -> tuple[Batch, int]:
    """The batch of a day, and how many of its units were ordered."""
    points, store = Points(work.warehouse), Sqlite(":memory:")
    for topic in ("request", "complete"):
        store.bus.subscribe(topic, topic)

    class Clock:
        def now(self) -> object:
            return NOW

    coordinator = Coordinator(
        pipeline="nba",
        batches=store.batches,
        bus=store.bus,
        clock=Clock(),  # type: ignore[arg-type]
        gather=points.gather,
        consolidate=points.consolidate,
        standing=points.standing,
        request_topic="request",
        completion_topic="complete",
        check=points.check,
        heal=points.heal,
        quality_min=QUALITY,
    )
    start = replace(START, run=RunKey("nba", day, "same_day"), partition=day)
    coordinator.on_start(start)
    batch = store.batches.batch(batch_id(start))
    assert batch is not None
    return batch, batch.units


@pytest.mark.parametrize("days_before", [0, 1, 4])
def test_healing_reads_what_the_feature_store_would_say_by_now(
    sample: FolderFeed, night: date, days_before: int
) -> None:
    day = night - days_before * DAY
    work = new_work(sample, before=day)
    served = serve(work, day)
    assert served
    assert select(work, "heal", day) == served


def test_what_came_after_the_feature_store_heals_its_units(sample: FolderFeed, night: date) -> None:
    work = new_work(sample, before=night)
    run = as_of(work, night, without=LATE)
    closed, none = begun(work, night)
    assert none == 0
    assert "quality: 75% of its inputs are there, 80% are needed" in {result.reason for result in closed.settled}
    assert {result.state for result in closed.settled} == {UnitState.FAILED}
    assert closed.healed == ()
    for processor in LATE:
        run.one(processor)
    healed, units = begun(work, night)
    assert units == len(closed.settled) > 20
    assert len(healed.healed) == units


def test_a_unit_that_the_feature_store_has_lost_is_healed_too(sample: FolderFeed, night: date) -> None:
    work = new_work(sample, before=night)
    serve(work, night)
    [first, *_] = select(work, "units", night)
    points = Points(work.warehouse)
    start = replace(START, run=RunKey("nba", night, "same_day"), units=(str(first["player_id"]), "nobody"))
    found = points.heal(start, start.units or ())
    assert {unit: json.loads(text) for unit, text in found.units.items()} == {first["player_id"]: first}
    assert found.skipped == {"nobody": "no_history"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"completeness": ""}, "column completeness is not there, predictions need FLOAT64"),
        ({"value": "STRING"}, "column value is STRING, predictions need FLOAT64"),
        ({}, ""),
    ],
    ids=["a column that is gone", "a column of another type", "as it should be"],
)
def test_a_table_that_could_not_take_what_units_give_is_said_before_the_batch(
    change: dict[str, str], said: str
) -> None:
    kinds = {**COLUMNS, **change, "run": "STRING", "attempt": "INT64", "fence": "INT64"}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items() if kind)
    warehouse = DuckDbWarehouse(":memory:")
    warehouse.create(f"CREATE SCHEMA IF NOT EXISTS nba_predictions; CREATE TABLE IF NOT EXISTS {TABLE} ({columns})")
    with pytest.raises(WarehouseError, match=said) if said else nullcontext():
        Points(warehouse).check()


def test_a_day_before_the_first_game_has_nobody_to_heal(sample: FolderFeed) -> None:
    day = sample.coverage().first
    work = new_work(sample)
    as_of(work, day)
    batch, units = begun(work, day)
    assert (units, batch.healed, batch.settled) == (0, (), ())
    assert timedelta(0) < batch.deadline_at - batch.created_at
