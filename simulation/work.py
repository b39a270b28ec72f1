"""What simulated processors make of what they read: pure, so that the oracle can make it again undisturbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from shared.config.orchestration_config import PIPELINES
from shared.core.model import RunKey, Start
from shared.core.plan import Plan, PlannedPhase, PlannedProcessor
from shared.ports import Partition, Stamp
from simulation.warehouse import Row, digest

Games = Callable[[date], tuple[str, ...]]

PLAYERS_PER_GAME = 2  # enough that a game lacking shows in the players too


class Kind(StrEnum):
    """What becomes of one start."""

    SUCCESS = "success"
    PARTIAL = "partial"  # writes and reports all but some of its units
    NOT_READY = "not_ready"
    FAIL = "fail"
    SKIP = "skip"
    HANG = "hang"  # nothing is ever heard of it again
    MUTE = "mute"  # writes, and does not report
    DIE = "die"  # before it writes; the order comes again when its lease is over


class Ending(StrEnum):
    """What becomes of one unit of a batch in a worker's hands, if it is not simply done."""

    SKIPPED = "skipped"
    FAILED = "failed"  # for a reason that no other try changes
    PASSING = "passing"
    UNMENTIONED = "unmentioned"  # its worker reports, and says nothing of it
    EMPTY = "empty"  # done, and gives no rows
    KILLS = "kills"  # its worker dies of it; the order comes again


@dataclass(frozen=True, slots=True, kw_only=True)
class Labour:
    """What becomes of one order of a batch in a worker's hands."""

    endings: Mapping[str, Ending] = field(default_factory=dict)  # by unit; the others are done
    after_s: float | None = None  # that it takes; None: as long as its start says
    silent: bool = False  # acknowledged, and nothing is ever heard of it again
    hard: bool = False  # not to be healed by trying again: its run need not publish
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    kind: Kind = Kind.SUCCESS
    after_s: float = 30.0
    lacks: tuple[str, ...] = ()  # units that a partial result is without
    more: tuple[str, ...] = ()  # games that it finds beside those of the league: they will be called off
    lies: bool = False  # what it lacks is not written, and reported as if it was
    hard: bool = False  # not to be healed by trying again: its run need not publish
    fault: str = ""  # what it counts as; empty for ordinary work


def reads(plan: Plan, phase: PlannedPhase, processor: PlannedProcessor) -> tuple[PlannedProcessor, ...]:
    """All of the phase before, and what it runs after in its own."""
    index = plan.phases.index(phase)
    before = plan.phases[index - 1].processors if index else ()
    return (*before, *(phase.by_name[name] for name in (*processor.needs, *processor.after)))


def partition_of(processor: PlannedProcessor) -> Partition:
    day = processor.partition
    return Partition(table=f"simulated.{processor.name}", column="day", first=day, last=day)


def stamp_of(start: Start) -> Stamp:
    return Stamp.of(start)


def expected_units(run: RunKey, games: Games) -> dict[str, tuple[str, ...]]:
    """All there is to do on this run's day, as the league knows it."""
    mode = next(mode for mode in PIPELINES[run.pipeline].modes if mode.name == run.mode)
    ahead = games(run.date + timedelta(days=mode.as_of_days))
    return {"games": games(run.date), "next_games": ahead, "players": players_of(ahead), "announced": ()}


def players_of(games: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{game}-p{number}" for game in games for number in range(PLAYERS_PER_GAME))


def make_rows(processor: PlannedProcessor, units: tuple[str, ...], inputs: Mapping[str, str]) -> list[Row]:
    """One row for each unit; what was read is in every one of them."""
    made_of = f"{processor.name}@{processor.partition}({sorted(inputs.items())})"
    return [{"unit": unit, "made_of": made_of} for unit in (units if processor.unit else ("all",))]


def undisturbed(plan: Plan, games: Games) -> dict[str, str]:
    """Digest of every processor's output when each reads what it should, in the right order."""
    units = expected_units(plan.run, games)
    made: dict[str, str] = {}
    for phase in plan.phases:
        for processor in phase.processors:  # in dependency order
            inputs = {other.name: made[other.name] for other in reads(plan, phase, processor)}
            made[processor.name] = digest(make_rows(processor, units.get(processor.unit, ()), inputs))
    return made
