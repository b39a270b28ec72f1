"""What a gate reads of the predictions before they are published: a forecast that cannot be true leaves by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from predictions.coordinator.points import TABLE
from shared.core.model import LedgerEntry, RunKey, Start, Status
from shared.core.status import RunState
from shared.ports import Partition, Stamp
from tests.flow.days import succeed
from tests.flow.test_readings import DAY, Night, loaded, new_night  # noqa: F401 - loaded is a fixture

TODAY = RunKey("nba", DAY, "same_day")
SYSTEMS = ("ensemble", "moving_average")


@pytest.fixture
def day(loaded: Path, real_data: Path, tmp_path: Path) -> Iterator[Night]:  # noqa: F811 - the fixture above
    with new_night(loaded, real_data, tmp_path) as night:
        night.days.service.start_run(TODAY)
        night.days.finish(TODAY, up_to="predictions")
        yield night


def predict(day: Night, spoil: Callable[[list[dict[str, object]]], object]) -> tuple[str, ...]:
    """What a batch does, in short: rows of every player, then the report. The players."""
    (start,) = [start for start in day.days.hear() if start.processor == "predictions"]
    rows = invented(day, start)
    spoil(rows)
    partition = Partition(table=TABLE, column="game_date", first=DAY, last=DAY)
    written = day.warehouse.merge(
        partition, rows, ("game_id", "player_id", "system"), Stamp.of(start), unit="player_id"
    )
    units = start.units or ()
    done = succeed(start, rows=written.rows, digest=written.digest, units_expected=len(units), units_actual=len(units))
    day.days.do(start, replace(done, status=Status.SUCCESS))
    return units


def invented(day: Night, start: Start) -> list[dict[str, object]]:
    games = day.warehouse.query(
        "SELECT player_id, game_id FROM nba_analytics.upcoming_player_game_context WHERE as_of = @day", {"day": DAY}
    )
    game_of = {str(row["player_id"]): str(row["game_id"]) for row in games}
    return [
        {
            "game_date": DAY,
            "game_id": game_of[player],
            "player_id": player,
            "system": system,
            "value": 12.5,
            "low": 4.0,
            "high": 21.0,
            "completeness": 1.0,
        }
        for player in start.units or ()
        for system in SYSTEMS
    ]


def entry(day: Night) -> LedgerEntry:
    return [each for each in day.days.told if (each.run, each.gate) == (TODAY, "export")][-1]


def published(day: Night) -> set[str]:
    games = day.document("tonight").get("games", [])
    return {player["player_id"] for game in games for player in game["players"]}


def test_predictions_that_can_be_true_are_all_published(day: Night) -> None:
    players = predict(day, lambda _: None)
    assert entry(day).readings["sanity"].values == {
        "predictions": f"{len(players)} of {len(players)} players can be true"
    }
    day.days.finish(TODAY)
    assert published(day) == set(players)
    assert day.days.status(TODAY).state is RunState.PUBLISHED


@pytest.mark.parametrize(
    ("spoilt", "fault"),
    [
        ({"value": None}, "1 of 2 predictions lack a value"),
        ({"high": None}, "1 of 2 predictions lack a value"),
        ({"value": 112.0, "high": 120.0}, "1 of 2 predictions are below 0 or above 100"),
        ({"value": -3.0, "low": -9.0}, "1 of 2 predictions are below 0 or above 100"),
        ({"value": 22.0}, "1 of 2 intervals do not hold their value"),
    ],
)
def test_a_player_of_whom_something_impossible_is_predicted_is_left_out_by_name(
    day: Night, spoilt: dict[str, object], fault: str
) -> None:
    players = predict(day, lambda rows: rows[0].update(spoilt))
    reading = entry(day).readings["sanity"]
    assert reading.note == f"predictions: {players[0]}: {fault}"
    assert [(each.processor, each.units) for each in entry(day).missing] == [("predictions", (players[0],))]
    day.days.finish(TODAY)
    assert published(day) == set(players[1:])
    assert len(day.document("tonight")["games"]) == len(day.days.view(TODAY).expectations["games"])
    assert day.days.status(TODAY).state is RunState.DEGRADED


def test_a_day_of_nothing_but_zeroes_is_not_published(day: Night) -> None:
    predict(day, lambda rows: [row.update(value=0.0, low=0.0, high=0.0) for row in rows])
    assert "nothing but zeroes is predicted of anybody" in entry(day).reason
    assert entry(day).decision == "wait"
    day.days.pass_by(seconds=60)
    assert entry(day).decision == "block"
    assert not day.document("tonight")


def test_one_player_of_whom_nothing_is_expected_is_no_fault(day: Night) -> None:
    players = predict(day, lambda rows: [row.update(value=0.0, low=0.0, high=0.0) for row in rows[:2]])
    day.days.finish(TODAY)
    assert published(day) == set(players)
