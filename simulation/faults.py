"""How often each fault strikes, and how long each spell lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.config.functions import (
    FunctionKind,
    functions_of,
)
from shared.config.nba import NBA
from simulation.spells import SpellKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often each thing goes wrong. Far oftener than in life: a run should meet several at once, and heal."""

    # the league
    day_without_games: float = 0.12  # about one in eight, off-season aside
    games_max: int = 15  # every team plays
    # per message
    lost: float = 0.006  # a redeployed subscription's gap: rare, but nothing may depend on it
    doubled: float = 0.03  # at-least-once delivery
    late: float = 0.05  # by seconds to minutes; also what puts messages out of order
    late_s_max: float = 120.0
    doubled_schedule: float = 0.05  # two schedulers deployed side by side
    # per port call; a handler makes about ten
    crash: float = 0.004  # an instance is recycled or out of memory
    error: float = 0.002  # the store says no
    stall: float = 0.003  # garbage collection, a throttled CPU
    stall_s_max: float = 45.0  # beyond the latch's lease of 30 s
    # per start
    fail: float = 0.03
    hang: float = 0.006
    mute: float = 0.006
    die: float = 0.006
    stretched: float = 0.0  # ordinary work takes from twice to twenty times as long
    slow: float = 0.006  # beyond its timeout: a zombie that writes when another has been ordered
    partial: float = 0.02
    not_ready: float = 0.02
    # per order of a batch, in a worker's hands
    silent: float = 0.04  # acknowledged, and never heard of again
    killed: float = 0.03  # its worker dies at one of the units; the order comes again
    passing: float = 0.05  # one unit fails for a reason that passes
    unmentioned: float = 0.04  # its report says nothing of one unit
    tardy: float = 0.04  # answers when it has been ordered anew, or when its batch is sealed
    # per batch
    poor: float = 0.1  # a unit's inputs are there only after healing
    # per run: what no retry heals
    dead_scraper: float = 0.02  # the schedule never answers: not a holiday
    doomed: float = 0.03  # one processor fails whatever is done
    stuck: float = 0.03  # one unit never comes
    poison: float = 0.004  # one unit kills its worker every time
    held: float = 0.03  # an operator holds it for minutes
    # per day: what befalls a whole function, the warehouse, the source or the clockwork, near one of the day's runs
    outages_s: tuple[float, ...] = ()  # how long functions are out, at OUTAGE_QUANTILES; empty: as LENGTHS_S says
    redeploy: float = 0.10  # instances die, and a subscription is made anew
    partition: float = 0.03
    flapping: float = 0.03
    bad_gate: float = 0.02
    bad_service: float = 0.02
    hung_service: float = 0.02
    quota: float = 0.03
    stale: float = 0.04
    slow_service: float = 0.04
    garbage: float = 0.05
    no_schedules: float = 0.02
    no_sweep: float = 0.03
    config: float = 0.05
    sink_down: float = 0.05
    skew_s: float = 20.0  # how far an instance's clock is off at most, to either side


LENGTHS_S: Mapping[SpellKind, tuple[float, float]] = {
    SpellKind.REDEPLOY: (0.0, 60.0),  # of the gap without a subscription
    SpellKind.PARTITION: (60.0, 1_200.0),
    SpellKind.FLAPPING: (300.0, 1_800.0),
    SpellKind.BAD_GATE: (60.0, 1_200.0),
    SpellKind.BAD_SERVICE: (60.0, 1_800.0),
    SpellKind.HUNG_SERVICE: (60.0, 1_800.0),
    SpellKind.QUOTA: (60.0, 1_200.0),
    SpellKind.STALE: (600.0, 3_600.0),
    SpellKind.SLOW: (300.0, 2_400.0),
    SpellKind.POISON: (0.0, 0.0),
    SpellKind.NO_SCHEDULES: (86_400.0, 172_800.0),
    SpellKind.NO_SWEEP: (300.0, 3_600.0),
    SpellKind.CONFIG: (0.0, 0.0),
    SpellKind.SINK_DOWN: (600.0, 7_200.0),
}
"""The shortest and the longest, each octave between them as likely."""

OUTAGE_QUANTILES = (0.0, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
OF_FUNCTIONS = frozenset(
    {
        SpellKind.PARTITION,
        SpellKind.FLAPPING,
        SpellKind.BAD_GATE,
        SpellKind.BAD_SERVICE,
        SpellKind.HUNG_SERVICE,
    }
)

GATES = tuple(spec.name for spec in functions_of(NBA.name) if spec.kind is FunctionKind.GATE)
SERVICES = tuple(spec.name for spec in functions_of(NBA.name) if spec.kind is FunctionKind.SERVICE)
BEFALLS: Mapping[SpellKind, tuple[str, ...]] = {
    SpellKind.REDEPLOY: (*GATES, *SERVICES),
    SpellKind.PARTITION: (*GATES, *SERVICES),
    SpellKind.FLAPPING: (*GATES, *SERVICES),
    SpellKind.POISON: (*GATES, *SERVICES),
    SpellKind.BAD_GATE: GATES,
    SpellKind.BAD_SERVICE: SERVICES,
    SpellKind.HUNG_SERVICE: SERVICES,
    SpellKind.SLOW: SERVICES,
}
