"""`tipoff bench reliability`: how far one could rely on the pipeline under the standard fault mix, by definition.

Each figure stands beside what it counts (DEFINITIONS). The oracle knows the faults and nothing of the code: a run is
publishable if no critical processor of it is hopeless by itself, and if between its usual start and its deadline, less
all the time that anything was out, there is WORK_S: several times what an undisturbed run takes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from statistics import median

from shared.config.nba import MODES, NBA
from shared.core import calendar
from shared.core.gate import NOTHING_EXPECTED
from shared.core.model import OutcomeKind, RunKey
from simulation.dice import drawn
from simulation.draws import Draws
from simulation.faults import Faults
from simulation.simulate import FAULTS, PROCESSES_MAX, Episode, episodes, live
from simulation.standard import STANDARD
from simulation.world import World

WORK_S = 3_600.0

WORLD_DAYS = 30
"""Of a world that is measured: a limit is learnt after HISTORY_MIN runs, so in most of it limits are learnt ones."""

DEFINITIONS: Mapping[str, str] = {
    "days": "simulated days of nba, all three modes, under the standard fault mix",
    "publishable": "runs that the oracle calls publishable, days without games aside",
    "published": "of these, through by their deadline, complete or degraded, with no word of a person",
    "reliability": "published / publishable",
    "recovery_p50_s": "from a fault's striking an order, a report or a gate to that being achieved; of an outage, "
    "from its end",
    "recovery_p95_s": "the same",
    "unrecovered": "of what was struck in publishable runs, never achieved: the run went on without it",
    "ready_p95_s": "from when what is recorded allows an effect (a start, a gate) to its being latched",
    "ready_max_s": "the longest, while the timer and the gates were there and nothing had struck the run",
    "dead_man_max_s": "from when the timer's job went out to the minute at which the dead-man's switch told",
    "dead_man_missed": "times that it was out for more than 7 minutes, and the switch did not tell",
    "healthy_days": "simulated days on which nothing goes wrong, and all is watched: runs, services and jobs",
    "false_incidents": "incidents that people were told of on them",
    "acts_per_month": "words of people, in 30 days of the fault mix",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one world showed."""

    days: int
    publishable: int
    missed: tuple[str, ...]  # publishable, and not published in time or not without a person: run, and why
    recoveries: tuple[tuple[str, float], ...]
    unrecovered: Mapping[str, int]
    delays: tuple[float, ...]
    late: tuple[float, ...]  # the undisturbed ones of these
    detections: tuple[float, ...]
    undetected: int
    incidents: int
    acts: int
    violations: int


def reliability(
    days: int, seed: int = 0, healthy_days: int | None = None, *, processes: int | None = None
) -> dict[str, object]:
    """Equal arguments give equal figures, in any number of processes."""
    stormy = _merge(_map(_stormy, episodes(days, seed, WORLD_DAYS), processes))
    calm = _merge(_map(_calm, episodes(healthy_days or days, seed + 1, WORLD_DAYS), processes))
    recoveries = sorted(seconds for _, seconds in stormy.recoveries)
    published = stormy.publishable - len(stormy.missed)
    by_kind = {
        kind: [seconds for each, seconds in stormy.recoveries if each == kind]
        for kind in sorted({kind for kind, _ in stormy.recoveries})
    }
    return {
        "days": stormy.days,
        "publishable": stormy.publishable,
        "published": published,
        "reliability": round(published / stormy.publishable, 5) if stormy.publishable else None,
        "recovery_p50_s": round(median(recoveries or [0.0]), 1),
        "recovery_p95_s": round(_quantile(recoveries, 0.95), 1),
        "recovery_by_fault": {
            kind: {
                "faults": len(each),
                "p50_s": round(median(each), 1),
                "p95_s": round(_quantile(sorted(each), 0.95), 1),
            }
            for kind, each in by_kind.items()
        },
        "unrecovered": dict(sorted(stormy.unrecovered.items())),
        "ready_p95_s": round(_quantile(sorted(stormy.delays), 0.95), 1),
        "ready_max_s": round(max(stormy.late, default=0.0), 1),
        "dead_man_max_s": round(max(stormy.detections, default=0.0), 1),
        "dead_man_missed": stormy.undetected,
        "healthy_days": calm.days,
        "false_incidents": calm.incidents,
        "acts_per_month": round(30 * stormy.acts / stormy.days, 2),
        "missed": list(stormy.missed),
        "violations": stormy.violations + calm.violations,
    }


def _stormy(episode: Episode) -> Measured:
    return measure(episode, STANDARD, Draws(episode.seed))


def _calm(episode: Episode) -> Measured:
    return measure(episode, FAULTS, Draws(episode.seed, only=()), watched=True)


def measure(episode: Episode, faults: Faults, draws: Draws, *, watched: bool = False) -> Measured:
    world = World(drawn(draws, faults), episode.first, watched=watched)
    live(world, episode)
    runs = sorted(run for run in world.expected if is_publishable(world, run))
    missed = [f"{run}: {why}" for run in runs if (why := why_missed(world, run))]
    struck = [(what, kind) for what, kind in world.meter.unrecovered if any(str(run) in what for run in runs)]
    return Measured(
        days=episode.days,
        publishable=len(runs),
        missed=tuple(missed),
        recoveries=tuple(world.meter.recoveries),
        unrecovered=Counter(kind for _, kind in struck),
        delays=tuple(world.meter.delays),
        late=tuple(world.meter.undisturbed),
        detections=tuple(world.weather.detections),
        undetected=world.weather.undetected,
        incidents=len(world.sink.told),
        acts=world.acts,
        violations=len(world.violations),
    )


def is_publishable(world: World, run: RunKey) -> bool:
    """By what has befallen the world alone: whatever was made of it."""
    if not world.fate.games(run.date):
        return False
    mode = next(mode for mode in MODES if mode.name == run.mode)
    begins_at = calendar.usual_start(mode, run.date, NBA.zone)
    ends_at = calendar.deadline(mode, run.date, NBA.zone)
    story = world.stories.get(run)
    if story and story.excused:
        return False
    left_s = (ends_at - begins_at).total_seconds() - world.weather.outage_s(begins_at, ends_at)
    return left_s >= WORK_S


def why_missed(world: World, run: RunKey) -> str:
    """Empty for a run that was through by its deadline without a person."""
    story = world.stories.get(run)
    if story is None:
        return "never began"
    mode = next(mode for mode in MODES if mode.name == run.mode)
    deadline_at = calendar.deadline(mode, run.date, NBA.zone)
    done = [outcome for outcome in story.outcomes if outcome.kind is OutcomeKind.DONE]
    if not done:
        final = story.final
        return final.reason if final else "never ended"
    first = min(done, key=lambda outcome: outcome.decided_at)
    if first.grade == NOTHING_EXPECTED:
        return "took a day with games for one without"
    if first.decided_at > deadline_at:
        return f"late by {(first.decided_at - deadline_at).total_seconds():.0f} s"
    helped = [start.processor for latch in story.latches.values() for start in latch.starts if start.by]
    return f"a person ordered {', '.join(helped)}" if helped else ""


def _map(play: Callable[[Episode], Measured], chosen: Sequence[Episode], processes: int | None) -> Iterable[Measured]:
    wanted = min(processes or cpu_count() or 1, PROCESSES_MAX, len(chosen))
    if wanted == 1:
        return map(play, chosen)
    with ProcessPoolExecutor(max_workers=wanted) as pool:
        return list(pool.map(play, chosen))


def _merge(parts: Iterable[Measured]) -> Measured:
    every = list(parts)
    unrecovered: Counter[str] = Counter()
    for each in every:
        unrecovered.update(each.unrecovered)
    return Measured(
        days=sum(each.days for each in every),
        publishable=sum(each.publishable for each in every),
        missed=tuple(line for each in every for line in each.missed),
        recoveries=tuple(one for each in every for one in each.recoveries),
        unrecovered=unrecovered,
        delays=tuple(one for each in every for one in each.delays),
        late=tuple(one for each in every for one in each.late),
        detections=tuple(one for each in every for one in each.detections),
        undetected=sum(each.undetected for each in every),
        incidents=sum(each.incidents for each in every),
        acts=sum(each.acts for each in every),
        violations=sum(each.violations for each in every),
    )


def _quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values: the smallest that so large a share of them does not exceed."""
    return values[math.ceil(share * len(values)) - 1] if values else 0.0
