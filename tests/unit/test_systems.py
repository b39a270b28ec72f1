"""Do the four systems say something sound of every row, and learn what is there to be learnt, from the past alone?"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from statistics import mean

import pytest

from predictions.worker.systems import SYSTEMS, Errors, Model, Prediction, Term, fit, has_history, predict
from shared.core.codec import decode, encode

Row = dict[str, object]

PLAYER: Row = {
    "player_id": "7",
    "game_id": "70",
    "pts_last5": 12.0,
    "pts_last10": 10.0,
    "pts_season": 11.0,
    "minutes_last5": 30.0,
    "minutes_last10": 28.0,
    "ts_last10": 0.55,
    "games": 20,
    "is_home": 1,
    "matchup_factor": 1.1,
    "rest_factor": 0.9,
    "pace_factor": 1.2,
    "features_present": 12,
    "features_total": 16,
}


def examples(count: int, seed: int = 3) -> list[Row]:
    """A league where the season's mean says more than the last ten games, and the opponent matters."""
    random, first = Random(seed), date(2031, 10, 21)
    rows: list[Row] = []
    for number in range(count):
        skill, matchup = random.uniform(1, 25), random.uniform(0.8, 1.2)
        rows.append(
            {
                **PLAYER,
                "game_date": first + timedelta(days=number // 100),
                "player_id": str(number % 100),
                "pts": max(0, round(random.gauss(skill * matchup, 1 + skill / 4))),
                "pts_last5": max(0.0, random.gauss(skill, 3)),
                "pts_last10": max(0.0, random.gauss(skill, 3)),
                "pts_season": max(0.0, random.gauss(skill, 1)),
                "matchup_factor": matchup,
                "rest_factor": 1.0,
                "pace_factor": 1.0,
            }
        )
    return rows


def said(model: Model, row: Row) -> dict[str, Prediction]:
    return {prediction.system: prediction for prediction in predict(model, row)}


@pytest.fixture(scope="module")
def learnt() -> Model:
    return fit(examples(3_000))


# --- one player -------------------------------------------------------------------------------------


def test_every_system_speaks_in_its_order(learnt: Model) -> None:
    assert tuple(prediction.system for prediction in predict(learnt, PLAYER)) == SYSTEMS


def test_nothing_learnt_leaves_the_moving_average_its_adjustment_and_their_blend() -> None:
    values = {system: prediction.value for system, prediction in said(Model(), PLAYER).items()}
    adjusted = 10.0 * 1.1 * 0.9 * 1.2
    assert values == {
        "moving_average": 10.0,
        "matchup_adjusted": pytest.approx(adjusted),
        "ridge": 10.0,
        "ensemble": pytest.approx(0.1 * 10.0 + 0.1 * adjusted + 0.8 * 10.0),
    }


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_factor_that_is_not_known_counts_as_one(missing: object) -> None:
    row = {**PLAYER, "matchup_factor": missing, "pace_factor": missing}
    assert said(Model(), row)["matchup_adjusted"].value == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"games": 0}, False),
        ({"games": None}, False),
        ({"pts_last10": None}, False),
        ({"pts_last10": math.nan}, False),
        ({"pts_last10": "many"}, False),
        ({"games": 1, "ts_last10": None, "minutes_last5": None, "pts_season": None}, True),
    ],
    ids=str,
)
def test_a_player_has_history_once_he_has_played_this_season(changes: Row, expected: bool, learnt: Model) -> None:
    row = {**PLAYER, **changes}
    assert has_history(row) is expected
    assert len(predict(learnt, row)) == (len(SYSTEMS) if expected else 0)


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, "text", 1e308, -1e8, 1e8, 10**400, 0, True], ids=str
)
@pytest.mark.parametrize("name", [*PLAYER, "nothing"])
def test_no_feature_makes_a_prediction_that_is_no_number(name: str, value: object, learnt: Model) -> None:
    for model in (Model(), learnt):
        for prediction in predict(model, {**PLAYER, name: value}):
            numbers = (prediction.low, prediction.value, prediction.high)
            assert all(math.isfinite(number) for number in numbers)
            assert 0 <= prediction.low <= prediction.value <= prediction.high
            assert 0 <= prediction.completeness <= 1


def test_a_row_without_anything_says_nothing(learnt: Model) -> None:
    assert predict(learnt, {}) == ()


def test_what_is_not_known_weighs_as_the_mean_of_the_examples() -> None:
    model = Model(terms={"ts_last10": Term(mean=0.5, spread=0.1, weight=2.0)})
    assert said(model, {**PLAYER, "ts_last10": 0.6})["ridge"].value == pytest.approx(12.0)
    assert said(model, {**PLAYER, "ts_last10": None})["ridge"].value == pytest.approx(10.0)


def test_a_player_outside_all_that_was_seen_is_not_extrapolated() -> None:
    model = Model(terms={"ts_last10": Term(mean=0.5, spread=0.1, weight=2.0)})
    far, farther = ({**PLAYER, "ts_last10": share} for share in (1.0, 30.0))
    assert said(model, far)["ridge"] == said(model, farther)["ridge"]


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(2.0, 0.0, 6.0), (4.0, 0.0, 8.0), (10.0, 4.0, 16.0), (16.0, 8.0, 24.0), (40.0, 32.0, 48.0)],
    ids=["below the lowest level", "at it", "between two levels", "at the highest", "above it"],
)
def test_the_interval_reaches_as_far_as_errors_did_at_this_level(value: float, low: float, high: float) -> None:
    errors = Errors(levels=(4.0, 16.0), shift=(0.0, 0.0), reach=(4.0, 8.0))
    prediction = said(Model(errors={"moving_average": errors}), {**PLAYER, "pts_last10": value})["moving_average"]
    assert (prediction.low, prediction.value, prediction.high) == (low, value, high)


def test_completeness_is_the_share_of_features_that_are_there() -> None:
    assert {prediction.completeness for prediction in predict(Model(), PLAYER)} == {0.75}


# --- learning ---------------------------------------------------------------------------------------


def error(model: Model, rows: list[Row], system: str) -> float:
    return mean(abs(said(model, row)[system].value - float(str(row["pts"]))) for row in rows)


def test_the_ridge_finds_what_the_moving_average_misses(learnt: Model) -> None:
    fresh = examples(1_000, seed=4)
    assert error(learnt, fresh, "ridge") < 0.9 * error(learnt, fresh, "moving_average")
    assert error(learnt, fresh, "ensemble") < 0.9 * error(learnt, fresh, "moving_average")


def test_the_moving_average_and_its_adjustment_are_not_touched_by_learning(learnt: Model) -> None:
    for system in ("moving_average", "matchup_adjusted"):
        assert said(learnt, PLAYER)[system].value == said(Model(), PLAYER)[system].value


def test_a_value_is_moved_by_the_error_at_its_level_and_its_interval_with_it() -> None:
    errors = Errors(levels=(4.0, 16.0), shift=(-1.0, -3.0), reach=(4.0, 8.0))
    prediction = said(Model(errors={"moving_average": errors}), PLAYER)["moving_average"]
    assert (prediction.low, prediction.value, prediction.high) == (2.0, 8.0, 14.0)


@pytest.mark.parametrize("system", SYSTEMS)
def test_four_of_five_games_end_inside_the_interval(system: str, learnt: Model) -> None:
    fresh = [(said(learnt, row)[system], float(str(row["pts"]))) for row in examples(2_000, seed=5)]
    assert 0.77 < mean(prediction.low <= pts <= prediction.high for prediction, pts in fresh) < 0.84


def test_half_of_the_games_end_above_the_ensemble() -> None:
    skewed = [{**row, "pts": float(str(row["pts"])) ** 2 / 25} for row in examples(3_000)]
    model = fit(skewed)
    above = {
        system: mean(float(str(row["pts"])) > said(model, row)[system].value for row in skewed)
        for system in ("ridge", "ensemble")
    }
    assert abs(above["ensemble"] - 0.5) < 0.02 < abs(above["ridge"] - 0.5)


@pytest.mark.parametrize("count", [0, 1, 2, 99, 250, 1_000])
def test_few_examples_teach_little_and_break_nothing(count: int) -> None:
    model = fit(examples(count))
    assert model.examples == count
    assert bool(model.errors) == (count >= 1_000)
    assert abs(said(model, PLAYER)["ridge"].value - 10.0) < (1e-9 if count == 0 else 4)


def test_examples_that_are_all_alike_teach_without_a_spread() -> None:
    alike: list[Row] = [{**PLAYER, "game_date": date(2031, 11, 1), "pts": 10} for _ in range(1_200)]
    model = fit(alike)
    assert said(model, PLAYER)["ridge"].value == pytest.approx(10.0)
    assert said(model, PLAYER)["ensemble"].value == pytest.approx(10.0, abs=0.5)


def test_the_order_of_the_examples_changes_nothing(learnt: Model) -> None:
    shuffled = examples(3_000)
    Random(1).shuffle(shuffled)
    assert fit(shuffled) == learnt


def test_examples_without_a_result_or_a_form_are_left_out(learnt: Model) -> None:
    day = date(2031, 11, 30)
    broken: list[Row] = [
        {**PLAYER, "game_date": day, "player_id": name, "pts": 30, **changes}
        for name, changes in {
            "a": {"pts": None},
            "b": {"pts_last10": None},
            "c": {"games": None},
            "d": {"games": 0},
        }.items()
    ]
    assert fit([*examples(3_000), *broken]) == learnt


def test_a_feature_nobody_has_weighs_nothing() -> None:
    model = fit([{**row, "ts_last10": None} for row in examples(1_500)])
    assert "ts_last10" not in model.terms
    assert said(model, PLAYER) == said(model, {**PLAYER, "ts_last10": None})


def test_errors_are_those_of_a_ridge_that_had_not_seen_the_game() -> None:
    """Were it fitted on its own examples, a result no feature explains would still be half explained."""
    random = Random(8)
    rows = examples(1_500)
    for row in rows[:250]:
        row["pts_season"] = random.uniform(0, 1)  # says nothing in the first days, and then all
    for row in rows[250:]:
        row["pts"] = 3 * float(str(row["pts_season"]))
    model = fit(rows)
    assert mean(model.errors["ridge"].reach) > 2 * error(model, rows[250:], "ridge")


# --- the model as a message -------------------------------------------------------------------------


def test_the_model_travels_as_json_and_stays_small(learnt: Model) -> None:
    text = encode(learnt)
    assert decode(Model, text) == learnt
    assert len(text) < 20_000
    assert json.loads(text)["examples"] == 3_000


def test_predicting_needs_no_numpy() -> None:
    code = (
        "import sys; from predictions.worker.systems import Model, predict; "
        "assert predict(Model(), {'games': 3, 'pts_last10': 5.0}); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_model_without_errors_still_gives_an_interval(learnt: Model) -> None:
    for prediction in predict(replace(learnt, errors={}), PLAYER):
        assert prediction.low < prediction.value < prediction.high
