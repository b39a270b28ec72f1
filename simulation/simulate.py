"""`tipoff simulate`: pipeline-days under a virtual clock with seeded faults, and what they showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from os import cpu_count
from typing import Any

from shared.core.gate import COMPLETE, DEGRADED, NOTHING_EXPECTED
from shared.core.model import OutcomeKind
from simulation.dice import drawn
from simulation.draws import Draws
from simulation.faults import Faults
from simulation.scenarios import SCENARIOS
from simulation.world import Violation, World, quiet

FIRST = date(2024, 1, 15)
EPISODE_DAYS = 5  # a world of its own: long enough for late policies to reach over days, too short to learn limits
CLOCK_CHANGES = {3: (3, 8), 7: (11, 1)}
"""Of ten episodes, the two that begin just before the clocks change: the second Sunday of March, the first of November.
"""
PROCESSES_MAX = 2
FAULTS = Faults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Equal seeds give equal reports, on any machine, in any number of processes."""

    days: int
    seed: int
    runs: int
    published: int  # complete
    degraded: int  # published with the missing named
    failed: int
    blocked: int
    nothing_expected: int
    violations: tuple[Violation, ...]
    faults: Mapping[str, int]
    excused: Mapping[str, int]  # runs that need not have been through by their deadline, by reason
    incidents: int  # that people were told of
    acts: int  # of people, to bring a run on
    decisions: int
    digest: str  # of every line of the trace
    trace: tuple[str, ...]  # its last lines, or the last ones of the first world that broke a rule
    broken: tuple[int, ...]  # the episodes that broke one

    def to_json(self) -> dict[str, Any]:
        return {
            "days": self.days,
            "seed": self.seed,
            "runs": self.runs,
            "published": self.published,
            "degraded": self.degraded,
            "failed": self.failed,
            "blocked": self.blocked,
            "nothing_expected": self.nothing_expected,
            "violations": [
                {"run": v.run, "rule": v.rule, "detail": v.detail, "at": v.at.isoformat()} for v in self.violations
            ],
            "faults": dict(sorted(self.faults.items())),
            "excused": dict(sorted(self.excused.items())),
            "incidents": self.incidents,
            "acts": self.acts,
            "broken_episodes": list(self.broken),
            "decisions": self.decisions,
            "trace_digest": self.digest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Some days in a world of their own: whatever else is simulated, these go the same way."""

    seed: str
    number: int
    first: date
    days: int


def episodes(days: int, seed: int, length: int = EPISODE_DAYS) -> list[Episode]:
    """So many days, in worlds of some days each; every tenth of them begins just before each change of the clocks."""
    return [
        Episode(seed=f"{seed}/{number}", number=number, first=_first(number, begin), days=min(length, days - begin))
        for number, begin in enumerate(range(0, days, length))
    ]


def _first(number: int, begin: int) -> date:
    if change := CLOCK_CHANGES.get(number % 10):
        sunday = date(FIRST.year + number // 10 % 100, *change)
        return sunday + timedelta(days=(6 - sunday.weekday()) % 7 - 2)
    return FIRST + timedelta(days=begin)


def simulate(
    days: int,
    seed: int,
    *,
    episode: int | None = None,
    length: int = EPISODE_DAYS,
    processes: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Simulate so many days, in worlds of `length` days, or of these one episode. The result does not depend on the
    number of processes.

    `progress` hears how many more days are done.
    """
    assert days > 0, f"days: at least 1, got {days}"
    every = episodes(days, seed, length)
    chosen = [each for each in every if episode in (None, each.number)]
    assert chosen, f"episode: 0 to {len(every) - 1} in {days} days, got {episode}"
    wanted = min(processes or cpu_count() or 1, PROCESSES_MAX, len(chosen))
    if wanted == 1:
        return _merge(seed, _collect(map(_episode, chosen), progress))
    with ProcessPoolExecutor(max_workers=wanted) as pool:
        return _merge(seed, _collect(pool.map(_episode, chosen), progress))


def _collect(reports: Iterable[Report], progress: Callable[[int], None]) -> list[Report]:
    collected = []
    for each in reports:
        collected.append(each)
        progress(each.days)
    return collected


def run_scenario(name: str, seed: int = 0) -> Report:
    """One published incident; KeyError for a name that SCENARIOS does not have."""
    scenario = SCENARIOS[name]
    with quiet():
        return report(scenario.play(seed), 1, seed)


def _episode(episode: Episode) -> Report:
    world = World(drawn(Draws(episode.seed), FAULTS), episode.first)
    live(world, episode)
    return report(world, episode.days, 0, episode.number)


def live(world: World, episode: Episode) -> None:
    world.forget_before()
    world.schedule(episode.days)
    world.go_on()


def report(world: World, days: int, seed: int, episode: int = 0) -> Report:
    """What a world that has ended showed."""
    ends: Counter[str] = Counter()
    stories = [story for run, story in world.stories.items() if run not in world.forgotten]
    for story in stories:
        final = story.final
        if final:
            ends[final.grade if final.kind is OutcomeKind.DONE else final.kind.value] += 1
    return Report(
        days=days,
        seed=seed,
        runs=len(stories),
        published=ends[COMPLETE],
        degraded=ends[DEGRADED],
        failed=ends[OutcomeKind.FAIL.value],
        blocked=ends[OutcomeKind.BLOCK.value],
        nothing_expected=ends[NOTHING_EXPECTED],
        violations=tuple(world.violations.values()),
        faults=dict(world.faults),
        excused=Counter(story.excuse for story in stories if story.excuse),
        incidents=len(world.sink.told),
        acts=world.acts,
        decisions=world.decisions,
        digest=world.digest,
        trace=tuple(world.trace),
        broken=(episode,) if world.violations else (),
    )


def _merge(seed: int, reports: Sequence[Report]) -> Report:
    faults: Counter[str] = Counter()
    excused: Counter[str] = Counter()
    for each in reports:
        faults.update(each.faults)
        excused.update(each.excused)
    telling = next((each for each in reports if each.violations), reports[-1])
    return Report(
        days=sum(each.days for each in reports),
        seed=seed,
        runs=sum(each.runs for each in reports),
        published=sum(each.published for each in reports),
        degraded=sum(each.degraded for each in reports),
        failed=sum(each.failed for each in reports),
        blocked=sum(each.blocked for each in reports),
        nothing_expected=sum(each.nothing_expected for each in reports),
        violations=tuple(violation for each in reports for violation in each.violations),
        faults=dict(sorted(faults.items())),
        excused=dict(sorted(excused.items())),
        incidents=sum(each.incidents for each in reports),
        acts=sum(each.acts for each in reports),
        decisions=sum(each.decisions for each in reports),
        digest=sha256("".join(each.digest for each in reports).encode()).hexdigest(),
        trace=telling.trace,
        broken=tuple(number for each in reports for number in each.broken),
    )
