"""When a phase must be through, derived backward from the run's deadline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """One deadline per phase, the last one the run's own.

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
        window = CAP if usual is None else min(max(2 * timedelta(seconds=usual), FLOOR), CAP)
        deadlines.append(Deadline(at, source, round(window.total_seconds())))
        earliest = at
    return deadlines


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
