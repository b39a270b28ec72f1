"""What one incident is, and what those that play one share: calm worlds, their days, and what is expected of a run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared.config.nba import MODES, NBA
from shared.core import calendar
from shared.core.model import OutcomeKind, RunKey, Start
from simulation.fate import CALM, TICK_S, Fate
from simulation.work import Behaviour
from simulation.world import World

DAY = date(2024, 1, 15)
OVERNIGHT = RunKey("nba", DAY - timedelta(days=1), "overnight")
SAME_DAY = RunKey("nba", DAY, "same_day")
TOMORROW = RunKey("nba", DAY + timedelta(days=1), "tomorrow")

Behave = Callable[[Start], Behaviour]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    lessons: tuple[int, ...]  # rows of LESSONS
    says: str
    play: Callable[[int], World]


def calm(seed: int, behave: Behave = lambda _: Behaviour()) -> Fate:
    """Nothing goes wrong, but who goes first is the seed's to say."""
    dice = random.Random(seed)
    return replace(CALM, behave=lambda _, start: behave(start), pause_s=lambda _: dice.random() * TICK_S)


def live(fate: Fate, days: int = 1, first: date = DAY) -> World:
    world = World(fate, first)
    world.forget_before()
    world.schedule(days)
    world.go_on()
    return world


def expect_end(world: World, run: RunKey, kind: OutcomeKind, grade: str = "") -> None:
    story = world.stories.get(run)
    final = story.final if story else None
    said = f"{final.kind} {final.grade}" if final else "no end"
    world.expect(
        final is not None and (final.kind, final.grade) == (kind, grade), f"expected {kind} {grade}, {said}", run
    )


def starts_of(world: World, run: RunKey, processor: str = "") -> list[Start]:
    latches = world.stories[run].latches.values() if run in world.stories else ()
    return [start for latch in latches for start in latch.starts if processor in ("", start.processor)]


def expect_first_attempts(world: World, run: RunKey = OVERNIGHT) -> None:
    again = [start.id for start in starts_of(world, run) if start.attempt > 1]
    world.expect(not again, f"healed by timeouts only: {', '.join(again[:3])}", run)


def begins_at(run: RunKey) -> datetime:
    """When it usually does."""
    mode = next(mode for mode in MODES if mode.name == run.mode)
    return calendar.usual_start(mode, run.date, NBA.zone)
