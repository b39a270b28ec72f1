"""How well a pipeline keeps what it promises: objectives as values, and what became of them. Pure.

A pipeline has about five events a day, so rates of events mislead: of ninety runs in a month a late one is 1.1 %, more
than the whole budget of 99 %. What is spent is therefore told in late minutes beside events, how fast by late minutes
alone, and nothing burns before a minimum of bad events (docs/08-projects/decisions/0017-burn-of-few-events.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from shared.core.incident import LATE

READY_MAX_S = LATE.total_seconds()
"""Ready and not fired for longer is bad: above it, too, a late gate is an incident."""

SLOW_TIMES = 2.0
"""Times the usual that a transition may take: SYSTEMS, section 1."""

LATE_MAX_S = 86_400.0
"""What one event is late at most: after a day the next one is what readers wait for."""

LONG, SHORT = 4, 14
"""Into how many parts a window falls: of 28 days the long one has 7, the short one 2. A day has a handful of events, so
an hour has none, or one; two days hold at least one of each kind."""

BURNING = 2.0
"""Twice as fast as the budget lasts: half of it in the long window."""

OFFENDERS_MAX = 5


class Of(StrEnum):
    """What one event of an objective is."""

    RUN = "run"
    TRANSITION = "transition"


class Measured(StrEnum):
    """What is measured of an event, each by its query."""

    PUBLISHED = "published"  # seconds from the deadline until it had published
    READY = "ready"  # seconds from when a gate could have decided until it did
    DURATION = "duration"  # seconds from the opening of a phase until the gate behind it let it pass


class Verdict(StrEnum):
    OK = "ok"
    BURNING = "burning"  # it goes on like this, and the budget will not last
    EXHAUSTED = "exhausted"  # more has been late than the window allows
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSpec:
    """One objective, as declared."""

    name: str  # of its pipeline; with the pipeline's, its id on Google Cloud
    pipeline: str
    of: Of
    measured: Measured
    threshold: float  # seconds that it may take; of DURATION, times the usual
    objective: float  # share of good events
    window_days: int  # of run dates
    late_minutes: float  # that all events of a window together may be beyond the threshold
    bad_min: int  # bad events before it counts as burning, or its events as used up
    phase: str = ""  # the transition that it is of; empty: every one


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One run, or one transition of a run, with what was measured of it."""

    run: str
    date: date
    at: datetime  # when it was due, or done
    measured_s: float
    phase: str = ""
    usual_s: float | None = None  # of DURATION: what it usually takes; None: nobody knew, so nobody judges
    is_begun: bool = True  # no: it should be there, and is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """An event that was bad, and by how much."""

    event: Event
    allowed_s: float
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attained:
    """What became of an objective in its window."""

    spec: SloSpec
    first: date
    last: date
    events: int
    bad: int
    share: float | None  # of good events; None without events
    bad_allowed: int
    late_minutes: float
    late_allowed: float
    burn_long: float
    burn_short: float
    verdict: Verdict
    offenders: tuple[Offence, ...]  # the latest first

    @property
    def bad_left(self) -> int:
        return max(0, self.bad_allowed - self.bad)

    @property
    def late_left(self) -> float:
        return max(0.0, self.late_allowed - self.late_minutes)


def late_s(spec_measured: Measured, threshold: float, event: Event) -> float | None:
    """Seconds beyond what was allowed, at most LATE_MAX_S; 0 of a good event, None of one that nobody can judge."""
    allowed_s = _allowed_s(spec_measured, threshold, event)
    if allowed_s is None:
        return None
    return min(max(0.0, event.measured_s - allowed_s), LATE_MAX_S)


def attained(spec: SloSpec, events: Iterable[Event], last: date, days: int | None = None) -> Attained:
    """What became of an objective in the window of run dates that ends with `last`; in `days`, where they are given,
    with as much of its late minutes as they are of its own window."""
    window_days = days or spec.window_days
    first = last - timedelta(days=window_days - 1)
    judged = [
        Offence(event=event, allowed_s=_allowed_s(spec.measured, spec.threshold, event) or 0.0, late_s=seconds)
        for event in events
        if first <= event.date <= last and spec.phase in ("", event.phase)
        if (seconds := late_s(spec.measured, spec.threshold, event)) is not None
    ]
    bad = sorted((each for each in judged if each.late_s > 0), key=lambda each: (-each.late_s, each.event.run))
    late_allowed = spec.late_minutes * window_days / spec.window_days
    bad_allowed = max(int((1 - spec.objective) * len(judged) + 1e-9), spec.bad_min - 1)
    late_minutes = _minutes(bad)
    long, short = (_since(bad, last, part_of(window_days, parts)) for parts in (LONG, SHORT))
    burn_long = _minutes(long) / late_allowed * window_days / part_of(window_days, LONG)
    burn_short = _minutes(short) / late_allowed * window_days / part_of(window_days, SHORT)
    is_burning = len(long) >= spec.bad_min and min(burn_long, burn_short) >= BURNING
    if not judged:
        verdict = Verdict.NO_DATA
    elif len(bad) > bad_allowed or late_minutes > late_allowed:
        verdict = Verdict.EXHAUSTED
    else:
        verdict = Verdict.BURNING if is_burning else Verdict.OK
    return Attained(
        spec=spec,
        first=first,
        last=last,
        events=len(judged),
        bad=len(bad),
        share=1 - len(bad) / len(judged) if judged else None,
        bad_allowed=bad_allowed,
        late_minutes=late_minutes,
        late_allowed=late_allowed,
        burn_long=burn_long,
        burn_short=burn_short,
        verdict=verdict,
        offenders=tuple(bad[:OFFENDERS_MAX]),
    )


def _allowed_s(measured: Measured, threshold: float, event: Event) -> float | None:
    if measured is not Measured.DURATION:
        return threshold
    return None if event.usual_s is None else threshold * event.usual_s


def part_of(days: int, parts: int) -> int:
    """The days of one of so many parts of a window."""
    return max(1, days // parts)


def _since(bad: Sequence[Offence], last: date, days: int) -> list[Offence]:
    return [each for each in bad if each.event.date > last - timedelta(days=days)]


def _minutes(bad: Iterable[Offence]) -> float:
    return sum(each.late_s for each in bad) / 60
