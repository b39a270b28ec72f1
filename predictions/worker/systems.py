"""How many points a player will score in a game, said by four systems, for the worker. Pure, and numpy to learn.

`fit` learns once per batch from the season's games before as_of (training.sql); `predict` applies what was learnt to
one expected player (units.sql), in plain Python. Why these: docs/08-projects/decisions/0005-prediction-systems.md
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SYSTEMS: tuple[str, ...] = ("moving_average", "matchup_adjusted", "ridge", "ensemble")

SHARES: Mapping[str, float] = {"moving_average": 0.1, "matchup_adjusted": 0.1, "ridge": 0.8}
"""What the ensemble is made of. Fixed: a tenth more or less hardly matters, and learnt ones would have to be told."""

FACTORS = ("matchup_factor", "rest_factor", "pace_factor")
"""1.0 changes nothing, and so does one that is not known."""

FEATURES = (
    *("pts_last5", "pts_last10", "pts_season", "minutes_last5", "minutes_last10", "ts_last10", "games", "is_home"),
    *FACTORS,
)
"""What is read of a row, of training.sql and of units.sql alike."""

COVERAGE = 0.8  # of the games end inside the interval low to high
POINTS_MAX = 150.0  # nobody scores more; what a broken feature says stays finite
PENALTY = 30.0  # of the ridge, in examples: with fewer, its corrections stay small
SPREADS_MAX = 5.0  # how far from the mean a term is believed: no player outside what was seen is extrapolated
FIRST_REFIT = 200  # examples; a night or two
LEVELS = 6  # of predicted points at which errors are counted: from the bench to the stars
ERRORS_MIN = 1_000  # examples; with fewer the errors at a level are noise
REACH_EARLY = 2.5  # points per root of (value + 1): counts scatter with their root, and the first week more than most
DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of the ridge: its weight is per spread from the mean."""

    mean: float
    spread: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """How a system erred before, by the level of its value; between two levels, in between."""

    levels: tuple[float, ...]  # of the value before it is moved
    shift: tuple[float, ...]  # the middle error: moves the value to where half of the games end above; else 0
    reach: tuple[float, ...]  # COVERAGE of the games ended within this many points


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What was learnt. Without examples the ridge is the moving average, and intervals are REACH_EARLY wide."""

    examples: int = 0
    intercept: float = 0.0
    terms: Mapping[str, Term] = field(default_factory=dict)
    errors: Mapping[str, Errors] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Points that one system expects; COVERAGE of the games shall end within low to high."""

    system: str
    value: float
    low: float
    high: float
    completeness: float  # of the features


# --- predicting -------------------------------------------------------------------------------------


def has_history(features: Mapping[str, object]) -> bool:
    """Whether anything can be said of this player: he has played this season."""
    return _number(features.get("games")) >= 1 and math.isfinite(_number(features.get("pts_last10")))


def predict(model: Model, features: Mapping[str, object]) -> tuple[Prediction, ...]:
    """One prediction per system, in the order of SYSTEMS; none for a player without history.

    Finite for any row: what is missing or no finite number is taken as the mean of the examples, a factor as 1.0.
    """
    if not has_history(features):
        return ()
    given = {name: _number(features.get(name)) for name in FEATURES}
    for name in FACTORS:
        given[name] = 1.0 if math.isnan(given[name]) else given[name]
    values = {
        "moving_average": _bounded(given["pts_last10"]),
        "matchup_adjusted": _bounded(_matchup_adjusted(given)),
        "ridge": _bounded(given["pts_last10"] + _correction(model, given)),
    }
    values["ensemble"] = sum(share * values[system] for system, share in SHARES.items())
    share = round(completeness(features) or 0.0, DIGITS)
    return tuple(_with_interval(system, values[system], model, share) for system in SYSTEMS)


def completeness(features: Mapping[str, object]) -> float | None:
    """Share of its features that a row has, 0 to 1; None where it does not say."""
    present, total = _number(features.get("features_present")), _number(features.get("features_total"))
    return min(1.0, max(0.0, present / total)) if total > 0 and present >= 0 else None


def _number(value: object) -> float:
    """nan for what is no finite number."""
    return float(value) if isinstance(value, (int, float)) and -1e9 < value < 1e9 else math.nan


def _bounded(value: float) -> float:
    return min(POINTS_MAX, max(0.0, value))


def _matchup_adjusted(given: Mapping[str, Any]) -> Any:
    return given["pts_last10"] * given["matchup_factor"] * given["rest_factor"] * given["pace_factor"]


def _terms(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the ridge weighs. Of numbers or of columns: learning and predicting share this definition.

    Opponent, pace and home are worth a share of a player's points, not a number; few games make a form worth less.
    """
    form = given["pts_last10"]
    return {
        **{name: given[name] for name in ("pts_last5", "pts_last10", "pts_season")},
        **{name: given[name] for name in ("minutes_last5", "minutes_last10", "ts_last10")},
        "form_x_matchup": form * (given["matchup_factor"] - 1.0),
        "form_x_pace": form * (given["pace_factor"] - 1.0),
        "form_x_home": form * given["is_home"],
        "per_game": 1.0 / given["games"],
        "form_per_game": form / given["games"],
    }


def _correction(model: Model, given: Mapping[str, float]) -> float:
    correction = model.intercept
    for name, value in _terms(given).items():
        term = model.terms.get(name)
        if term is not None and not math.isnan(value):
            spreads = (value - term.mean) / term.spread
            correction += term.weight * min(SPREADS_MAX, max(-SPREADS_MAX, spreads))
    return correction


def _with_interval(system: str, value: float, model: Model, completeness: float) -> Prediction:
    errors = model.errors.get(system)
    if errors is None:
        reach = REACH_EARLY * math.sqrt(value + 1.0)
    else:
        reach = _between(value, errors.levels, errors.reach)
        value = _bounded(value + _between(value, errors.levels, errors.shift))
    return Prediction(
        system=system,
        value=round(value, DIGITS),
        low=round(max(0.0, value - reach), DIGITS),
        high=round(value + reach, DIGITS),
        completeness=completeness,
    )


def _between(value: float, levels: Sequence[float], known: Sequence[float]) -> float:
    """On the line between the two neighbours; beyond the ends, what is known at the end."""
    above = bisect_right(levels, value)
    if above in (0, len(levels)):
        return known[0] if above == 0 else known[-1]
    share = (value - levels[above - 1]) / (levels[above] - levels[above - 1])
    return known[above - 1] + share * (known[above] - known[above - 1])


# --- learning ---------------------------------------------------------------------------------------


def fit(examples: Sequence[Mapping[str, object]]) -> Model:
    """What the rows of training.sql teach; the same rows in any order, the same model."""
    import numpy as np

    rows = sorted(examples, key=lambda row: (str(row["game_date"]), str(row["player_id"])))
    table = np.array(list(map(itemgetter("pts", *FEATURES), rows)), dtype=float).reshape(-1, 1 + len(FEATURES))
    table[~np.isfinite(table)] = np.nan
    known = np.isfinite(table[:, [0, 1 + FEATURES.index("pts_last10")]]).all(axis=1)
    known &= table[:, 1 + FEATURES.index("games")] >= 1
    pts = table[known, 0]
    given = dict(zip(FEATURES, table[known, 1:].T, strict=True))
    for name in FACTORS:
        given[name] = np.nan_to_num(given[name], nan=1.0)
    days = np.array([str(row["game_date"]) for row in rows])[known]

    design = _terms(given)
    terms = np.column_stack(list(design.values()))
    means, spreads, weights = _ridge(terms, pts - given["pts_last10"])
    return Model(
        examples=len(pts),
        intercept=_rounded(weights[0]),
        terms={
            name: Term(mean=_rounded(mean), spread=_rounded(spread), weight=_rounded(weight))
            for name, mean, spread, weight in zip(design, means, spreads, weights[1:], strict=True)
            if np.isfinite(spread)
        },
        errors=_errors_by_system(given, terms, pts, days) if len(pts) >= ERRORS_MIN else {},
    )


def _rounded(number: float) -> float:
    return round(float(number), 9)


def _ridge(terms: Array, target: Array) -> tuple[Array, Array, Array]:
    """Means and spreads of the terms, and the weights in closed form, the constant first.

    weights = (Z'Z + penalty I)^-1 Z'target (Hoerl and Kennard 1970, Technometrics 12(1)). The target is what the moving
    average misses and the constant is penalised too, so with few examples the ridge is the moving average.
    A term that is constant, or nowhere known, has an infinite spread and no weight.
    """
    import numpy as np

    present = np.isfinite(terms)
    counts = np.maximum(present.sum(axis=0), 1)
    means = np.where(present, terms, 0.0).sum(axis=0) / counts
    spreads = np.sqrt((np.where(present, terms - means, 0.0) ** 2).sum(axis=0) / counts)
    spreads = np.where(spreads > 1e-6, spreads, np.inf)
    scaled = _scaled(terms, means, spreads)
    gram = scaled.T @ scaled + PENALTY * np.eye(scaled.shape[1])
    return means, spreads, np.linalg.solve(gram, scaled.T @ target)


def _scaled(terms: Array, means: Array, spreads: Array) -> Array:
    """A column of ones, and each term in spreads from its mean; 0 where it is not known."""
    import numpy as np

    scaled = np.clip(np.nan_to_num((terms - means) / spreads), -SPREADS_MAX, SPREADS_MAX)
    return np.column_stack([np.ones(len(terms)), scaled])


def _errors_by_system(given: Mapping[str, Array], terms: Array, pts: Array, days: Any) -> dict[str, Errors]:
    import numpy as np

    form = given["pts_last10"]
    values = {
        "moving_average": form,
        "matchup_adjusted": _matchup_adjusted(given),
        "ridge": form + _corrections_then(terms, pts - form, days),
    }
    values = {system: np.clip(value, 0.0, POINTS_MAX) for system, value in values.items()}
    blend = np.sum([share * values[system] for system, share in SHARES.items()], axis=0)
    errors = {system: _errors(value, pts, moved=False) for system, value in values.items()}
    return {**errors, "ensemble": _errors(blend, pts, moved=True)}


def _corrections_then(terms: Array, target: Array, days: Any) -> Array:
    """What a ridge that had seen only earlier dates would have said; refitted whenever its examples had doubled.

    Errors of the games it learnt from would flatter it.
    """
    import numpy as np

    mornings = np.flatnonzero(days[1:] != days[:-1]) + 1
    bounds = [0]
    for morning in mornings:
        if morning >= max(FIRST_REFIT, 2 * bounds[-1]):
            bounds.append(int(morning))
    said = np.zeros(len(target))
    for first, last in pairwise([*bounds, len(target)]):
        means, spreads, weights = _ridge(terms[:first], target[:first])
        said[first:last] = _scaled(terms[first:last], means, spreads) @ weights
    return said


def _errors(value: Array, pts: Array, *, moved: bool) -> Errors:
    """The errors at each of LEVELS equally full levels; levels that are equal, all zeros say, become one."""
    import numpy as np

    groups = np.array_split(np.argsort(value, kind="stable"), LEVELS)
    levels, firsts = np.unique([_rounded(value[group].mean()) for group in groups], return_index=True)
    groups = [groups[first] for first in firsts]
    shift = [np.median((pts - value)[group]) if moved else 0.0 for group in groups]
    said = np.clip(value + np.interp(value, levels, shift), 0.0, POINTS_MAX)
    reach = [np.quantile(np.abs(pts - said)[group], COVERAGE) for group in groups]
    return Errors(
        levels=tuple(map(float, levels)),
        shift=tuple(map(_rounded, shift)),
        reach=tuple(map(_rounded, reach)),
    )
