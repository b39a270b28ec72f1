"""How soon a hang is noticed, and how often healthy work is taken for one: limits tried on real durations, in time."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from shared import wiring
from shared.core.timeouts import HISTORY_MIN, HISTORY_RUNS, LIMIT_TIMES, slow_s

TRACE = "ci_job_durations_julia.parquet"
TRACE_SQL = "SELECT job, started, duration_s FROM READ_PARQUET(@file) ORDER BY started, job"
FALSE_ALARMS = 0.01  # of healthy runs: the rate at which the rules are compared
FIRST_PART = 0.5  # of the runs, in time: what the scales are calibrated on
HUNG_SHARE, SEED = 0.1, 7  # of the runs behind it, chosen by chance, each of which never ends

SHIPPED = {"mean": 2.0, "median_mad": 3.0, "second_slowest": float(LIMIT_TIMES)}
MAD_TO_SIGMA = 1.4826  # of a normal distribution: Rousseeuw and Croux, JASA 88 (1993)
SPREAD_MIN = 0.1  # of a logarithm: work that never varied will


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit by a history and one scale, and its inverse: the scale at which a duration just keeps its limit."""

    limit_s: Callable[[Sequence[float], float], float]
    scale: Callable[[Sequence[float], float], float]


def times(base: Callable[[Sequence[float]], float]) -> Rule:
    return Rule(
        limit_s=lambda history_s, scale: scale * base(history_s),
        scale=lambda history_s, duration_s: duration_s / base(history_s),
    )


def middle_and_spread(history_s: Sequence[float]) -> tuple[float, float]:
    """Median of the logarithms, and sqrt((MAD_TO_SIGMA x their MAD)^2 + SPREAD_MIN^2)."""
    logs = [math.log(each) for each in history_s]
    middle = statistics.median(logs)
    mad = statistics.median(abs(each - middle) for each in logs)
    return middle, math.hypot(MAD_TO_SIGMA * mad, SPREAD_MIN)


def limit_by_spread(history_s: Sequence[float], scale: float) -> float:
    middle, spread = middle_and_spread(history_s)
    return math.exp(middle + scale * spread)


def scale_by_spread(history_s: Sequence[float], duration_s: float) -> float:
    middle, spread = middle_and_spread(history_s)
    return (math.log(duration_s) - middle) / spread


RULES: dict[str, Rule] = {
    "fixed": times(lambda _: 1.0),
    "mean": times(statistics.fmean),
    "median_mad": Rule(limit_by_spread, scale_by_spread),
    "second_slowest": times(slow_s),
}


@dataclass(frozen=True, slots=True)
class Run:
    job: str
    started: datetime
    duration_s: float

    @property
    def ended(self) -> datetime:
        return self.started + timedelta(seconds=self.duration_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """A run, and how long those of its job had taken that had ended when it started."""

    run: Run
    history_s: tuple[float, ...]


def timeouts(folder: Path) -> dict[str, object]:
    """Each rule's delay until a hang is noticed, in seconds: its limit at the runs that hang.

    Each rule has one scale. It is set on the first part of the runs so that FALSE_ALARMS of them pass their limit, and
    false alarms are then counted on the rest; `equal`: set so that on the rest itself just as many do. `as_it_is`: with
    the scale that the rule is known by. `of_usual` is the delay beside the median of the same history.
    """
    runs = read_trace(folder)
    seen = walk(runs)
    until = runs[round(FIRST_PART * len(runs))].started
    first = [each for each in seen if each.run.started < until]
    dice = random.Random(SEED)
    hung, rest = list[Seen](), list[Seen]()
    for each in seen[len(first) :]:
        (hung if dice.random() < HUNG_SHARE else rest).append(each)
    return {
        "runs": len(runs),
        "jobs": len({run.job for run in runs}),
        "calibrated_on": len(first),
        "evaluated_on": len(rest),
        "hung": len(hung),
        **{name: tried(name, rule, first, rest, hung) for name, rule in RULES.items()},
    }


def read_trace(folder: Path) -> list[Run]:
    with closing(wiring.memory_warehouse()) as warehouse:
        rows = warehouse.query(TRACE_SQL, {"file": str(folder / TRACE)})
    return [Run(**row) for row in rows]  # type: ignore[arg-type]


def walk(runs: Sequence[Run]) -> list[Seen]:
    """Every run of whose job enough others had ended when it started, in order of time. Nothing looks ahead."""
    before: dict[str, list[Run]] = defaultdict(list)
    seen: list[Seen] = []
    for run in runs:
        history_s = [each.duration_s for each in before[run.job] if each.ended <= run.started][-HISTORY_RUNS:]
        if len(history_s) >= HISTORY_MIN:
            seen.append(Seen(run, tuple(history_s)))
        before[run.job].append(run)
    return seen


def tried(
    name: str, rule: Rule, first: Sequence[Seen], rest: Sequence[Seen], hung: Sequence[Seen]
) -> dict[str, dict[str, float]]:
    scales = {"calibrated": scale_for(rule, first), "equal": scale_for(rule, rest)}
    if name in SHIPPED:
        scales["as_it_is"] = SHIPPED[name]
    return {how: measured(rule, scale, rest, hung) for how, scale in scales.items()}


def scale_for(rule: Rule, seen: Sequence[Seen]) -> float:
    """The least scale at which no more than FALSE_ALARMS of these pass their limit."""
    needed = sorted(rule.scale(each.history_s, each.run.duration_s) for each in seen)
    return needed[len(needed) - 1 - int(FALSE_ALARMS * len(needed))]


def measured(rule: Rule, scale: float, rest: Sequence[Seen], hung: Sequence[Seen]) -> dict[str, float]:
    passed = sum(each.run.duration_s > rule.limit_s(each.history_s, scale) for each in rest)
    delays_s = [rule.limit_s(each.history_s, scale) for each in hung]
    of_usual = [delay_s / statistics.median(each.history_s) for delay_s, each in zip(delays_s, hung, strict=True)]
    return {
        "scale": round(scale, 3),
        "false_alarms_pct": round(100 * passed / len(rest), 3),
        "delay_s_p50": round(statistics.median(delays_s)),
        "delay_s_p95": round(statistics.quantiles(delays_s, n=20)[-1]),
        "of_usual_p50": round(statistics.median(of_usual), 2),
        "of_usual_p95": round(statistics.quantiles(of_usual, n=20)[-1], 2),
    }
