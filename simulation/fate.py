"""What befalls a simulated world: the league's days, messages, instances, processors. Calm unless said otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from shared.core.batch import ChunkOrder
from shared.core.messages import Message
from shared.core.model import PipelineSpec, RunKey, Start
from shared.core.plan import Plan
from shared.ports import Health
from simulation.spells import Spell
from simulation.work import Behaviour, Games, Labour


@dataclass(frozen=True, slots=True)
class Call:
    """One port call that a handler is about to make."""

    verb: str
    topic: str  # of the message in hand
    run: str  # that it is about; empty for a timer's
    attempt: int  # of the delivery
    number: int  # within this handler, from 1
    at: datetime
    processor: str = ""  # whose report or order the message is


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    games: Games
    behave: Callable[[Plan, Start], Behaviour] = lambda _plan, _start: Behaviour()
    carry: Callable[[Message], tuple[float, ...]] = lambda _: (0.0,)
    """Seconds until each copy arrives; none: it is lost."""
    strike: Callable[[Call], str] = lambda _: ""
    """crash: the instance dies before this call. error: the port raises. Empty: it goes through."""
    pause_s: Callable[[Call], float] = lambda _: 0.01
    """How long the call takes to reach its port; others go on meanwhile."""
    hold_s: Callable[[RunKey], tuple[float, float] | None] = lambda _: None
    """An operator holds the run this long after it began, for so long."""
    labour: Callable[[ChunkOrder], Labour] = lambda _: Labour()
    """What becomes of an order of a batch in a worker's hands, each time it is delivered."""
    share: Callable[[Start, str, bool], float | None] = lambda _start, _unit, _healed: 1.0
    """Of its inputs that a unit has, as they are read first, and as they are healed; None where nobody can tell."""
    spells: Callable[[date], tuple[Spell, ...]] = lambda _: ()
    """What befalls functions, warehouse, source and clockwork for a while, as begins on this local day."""
    skew_s: Callable[[str, datetime], float] = lambda _function, _now: 0.0
    """How far the clock of a function's instance is ahead."""
    health: Callable[[str, datetime], Health | None] = lambda _service, _now: None
    """What a service says of itself; None: as the weather has it."""
    misfit: Callable[[], str] = lambda: ""
    """Why what units give could not be written now; empty where it could."""


def four_games(day: date) -> tuple[str, ...]:
    return tuple(f"{day:%m%d}-g{number}" for number in range(4))


CALM = Fate(games=four_games)


ORDINARY_S = (5.0, 10.0, 20.0, 20.0, 30.0, 60.0)  # few values, so that completions meet
BATCHED = "predictions"  # the processor whose start is fanned out

TICK_S = 0.02  # a port call's usual time


def planned_in(declared: PipelineSpec, start: Start) -> bool:
    """Whether the mode's own declaration has this processor in this phase."""
    specs = [spec for phase in declared.phases if phase.name == start.phase for spec in phase.processors]
    return any(spec.name == start.processor and start.run.mode in (*spec.critical, *spec.optional) for spec in specs)


def is_critical(declared: PipelineSpec, run: RunKey, phase: str, processor: str) -> bool:
    """Whether the mode's own declaration calls it so."""
    specs = [spec for each in declared.phases if each.name == phase for spec in each.processors]
    return any(spec.name == processor and run.mode in spec.critical for spec in specs)
