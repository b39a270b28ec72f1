"""How long a phase, a batch and a processor may take: by the run's deadline, and by how long they took before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

FLOOR = timedelta(minutes=5)  # no retry helps, nobody can react, in less
WORK_S_MAX = 570
"""The longest that a processor may work: a push is answered within Pub/Sub's ten minutes, and half of one is for the
report. Answered later, the start comes again and is done over."""

CAP = timedelta(hours=4)  # the longest that one phase may hold up the rest; also the fallback


BATCH_FLOOR = timedelta(minutes=10)  # the three tries of a unit fit in
BATCH_CAP = timedelta(hours=1)
BATCH_FALLBACK = timedelta(minutes=30)
BATCH_HISTORY = 20  # batches looked back at: those of three weeks
BATCH_HISTORY_MIN = 5  # with fewer, chance decides
BATCH_MARGIN = 3  # times what nearly all of them took


@dataclass(frozen=True, slots=True)
class Deadline:
    at: datetime
    source: str  # derived; floor or cap where a bound decided; fallback where no duration is known
    window_s: int  # how long a later round of the phase may take


def phase_deadlines(usual_s: Sequence[int | None], *, started_at: datetime, deadline_at: datetime) -> list[Deadline]:
    """One deadline per phase, the last one that by which the run is to have ended.

    A phase may wait until the phases behind it only just fit in before the run's deadline: deadline minus their usual
    durations. It gets at least FLOOR and at most CAP after the phase before it; a phase of unknown duration gets CAP.
    """
    deadlines: list[Deadline] = []
    earliest = started_at
    for index, usual in enumerate(usual_s):
        behind = timedelta(seconds=sum(later or 0 for later in usual_s[index + 1 :]))
        at, source = deadline_at - behind, "derived"
        if usual is None:
            at, source = earliest + CAP, "fallback"
        elif at < earliest + FLOOR:
            at, source = earliest + FLOOR, "floor"
        elif at > earliest + CAP:
            at, source = earliest + CAP, "cap"
        deadlines.append(Deadline(at, source, round_window_s(usual)))
        earliest = at
    return deadlines


def round_window_s(usual_s: int | None) -> int:
    """How long a later round of a phase may take that usually takes so long."""
    window = CAP if usual_s is None else min(max(2 * timedelta(seconds=usual_s), FLOOR), CAP)
    return round(window.total_seconds())


@dataclass(frozen=True, slots=True)
class Window:
    """How long a batch may take, and what decided it: history; floor or cap where a bound did; or fallback."""

    allowed: timedelta
    source: str


def batch_window(history_s: Sequence[float]) -> Window:
    """How long a batch may take, by how long like ones took until every unit had ended.

    BATCH_MARGIN times their 95th percentile (nearest rank), between BATCH_FLOOR and BATCH_CAP; BATCH_FALLBACK where
    fewer than BATCH_HISTORY_MIN are known.
    """
    if len(history_s) < BATCH_HISTORY_MIN:
        return Window(BATCH_FALLBACK, "fallback")
    ranked = sorted(history_s)
    allowed = BATCH_MARGIN * timedelta(seconds=ranked[-(-95 * len(ranked) // 100) - 1])
    if allowed < BATCH_FLOOR:
        return Window(BATCH_FLOOR, "floor")
    return Window(BATCH_CAP, "cap") if allowed > BATCH_CAP else Window(allowed, "history")


# --- what a run may expect of itself, by those before it ----------------------------------------------------

HISTORY_RUNS = 20  # looked back at: three weeks of a daily run
HISTORY_DAYS = 30  # and no further: what ran before is another pipeline by now
HISTORY_MIN = 8  # with fewer the second slowest is hardly a bound: the next one passes it as often as one in five
LIMIT_FLOOR_S = 60  # less is noise: a cold start, a message that comes again
FALLBACK = "fallback"  # where a limit or a usual time comes from while too little is known
LIMIT_TIMES = 2  # the second slowest; `tipoff bench timeouts` says how seldom healthy work passes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long parts of the runs before took, in seconds, in the order of these runs."""

    processors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    phases: Mapping[str, Sequence[float]] = field(default_factory=dict)


NO_DURATIONS = Durations()


@dataclass(frozen=True, slots=True)
class Limit:
    """How long work may take, and what decided it: "history of N"; floor, cap, or fallback."""

    seconds: int
    source: str


@dataclass(frozen=True, slots=True)
class Usual:
    """How long something will take, and who says so: "history of N"; floor, cap; or fallback, where seconds may be
    None: nobody knows."""

    seconds: int | None
    source: str


def slow_s(history_s: Sequence[float]) -> float:
    """What healthy work seldom takes longer than: the second slowest of those before it.

    The next one like these N passes it with probability 2 / (N + 1), however they are distributed (order statistics:
    Wilks, Annals of Mathematical Statistics 12, 1941); a median and a spread say so of a normal distribution only. One
    outlier, however far out, moves it no further than to the slowest of the others. Tried on a year of real durations
    against the mean, the median and spreads around it (docs/benchmarks.md).
    """
    return sorted(history_s)[-2]


def time_limit(history_s: Sequence[float], *, cap_s: int, floor_s: int = LIMIT_FLOOR_S) -> Limit:
    """How long a processor may take, by how long it took before: LIMIT_TIMES slow_s, between the two bounds.

    cap_s is also the fallback where fewer than HISTORY_MIN are known; no hang in the history raises a limit beyond it.
    The cap stands above the floor. The source is "history of N", floor, cap or fallback.
    """
    if len(history_s) < HISTORY_MIN:
        return Limit(cap_s, FALLBACK)
    limit_s = math.ceil(LIMIT_TIMES * slow_s(history_s))
    if max(limit_s, floor_s) >= cap_s:
        return Limit(cap_s, "cap")
    return Limit(floor_s, "floor") if limit_s < floor_s else Limit(limit_s, f"history of {len(history_s)}")


def usual_time(history_s: Sequence[float], *, fallback_s: int | None) -> Usual:
    """How long a phase usually takes: what three quarters of those before it took at most (nearest rank).

    Between FLOOR and CAP; fallback_s, as declared, where fewer than HISTORY_MIN are known. More than the median, for
    the phases before it wait until just so much is left; less than the slowest, which an operator may have held.
    """
    if len(history_s) < HISTORY_MIN:
        return Usual(fallback_s, FALLBACK)
    usual = timedelta(seconds=math.ceil(sorted(history_s)[-(-75 * len(history_s) // 100) - 1]))
    if not FLOOR <= usual <= CAP:
        bound, source = (FLOOR, "floor") if usual < FLOOR else (CAP, "cap")
        return Usual(round(bound.total_seconds()), source)
    return Usual(round(usual.total_seconds()), f"history of {len(history_s)}")
