"""What befalls a whole function, the warehouse, the league's source or the clockwork for a while: the weather.

What is promised of each, to a run that has three hours before its deadline:
- redeploy, partition, flapping, bad gate: what was swallowed is done again; published by the deadline.
- no schedules: the sweep begins what the calendar says should exist. No sweep: what messages bring goes on; what needs
  the timer waits for it. Published by the deadline.
- bad or hung service: its attempts fail, and there are three. Where they are used up the run is blocked and a person is
  told; once the release is rolled back, his word brings another attempt. Excused, for it takes a person.
- quota: who writes waits within his time, then fails: as above, where it outlasts three of them.
- stale: the rest of the units is looked for every five minutes; published by the deadline, degraded where it stays so.
- slow: each start is taken late; one that is taken too late is given again.
- poison, config, sink down: nothing changes for a run that is open.
An outage that is longer than what a run has beside its usual time excuses it; that is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.config.functions import functions_of
from shared.config.nba import NBA
from shared.core.heartbeat import SELF_HEAL, dead_since
from shared.core.messages import BODY_BYTES_MAX, Message
from shared.core.model import PipelineSpec, ProcessorSpec

if TYPE_CHECKING:
    from simulation.world import World

TIMEOUT_S_MAX = 2_400  # a batch's, the longest declared
TELLS_WITHIN_S = 420.0  # five minutes without a heartbeat, asked each minute
FLAP_S = 90.0  # so long it is there, so long it is not


class SpellKind(StrEnum):
    REDEPLOY = "redeploy"
    PARTITION = "partition"  # it reaches neither the store nor the bus
    FLAPPING = "flapping"  # so for every other minute and a half
    BAD_GATE = "bad gate"  # a release that raises at every message
    BAD_SERVICE = "bad service"  # a release whose every start fails
    HUNG_SERVICE = "hung service"  # one whose starts are never heard of again
    QUOTA = "quota wall"  # the warehouse takes no writes
    STALE = "stale"  # the league's source lacks half of the games
    SLOW = "slow service"
    POISON = "garbage"
    NO_SCHEDULES = "no schedules"
    NO_SWEEP = "no sweep"
    CONFIG = "config"
    SINK_DOWN = "sink down"


OUTAGES = frozenset(SpellKind) - {SpellKind.POISON, SpellKind.CONFIG, SpellKind.SINK_DOWN, SpellKind.NO_SCHEDULES}
"""Those that take time from a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    kind: SpellKind
    begins_at: datetime
    length_s: float = 0.0
    function: str = ""  # that it befalls; empty: what it befalls is no function
    degree: float = 0.0  # how much of it, from 0 to 1

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + timedelta(seconds=self.length_s)


class Weather:
    """The spells of a world, and what they do to whom."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._now: list[Spell] = []
        self.past: list[Spell] = []  # and present, in the order they began
        self.detections: list[float] = []  # seconds until the dead-man's switch told of a timer that is out
        self.undetected = 0
        self.sweeps_from = world.now  # the timer is out until then
        self.troubled_until = world.now  # what needs gates or the timer may be late until then

    def comes(self, spell: Spell) -> None:
        self._world.at(spell.begins_at, lambda: self._begin(spell))

    def has(self, kind: SpellKind, function: str = "") -> bool:
        return any(spell.kind is kind and spell.function == function for spell in self._now)

    def refuses(self, function: str) -> bool:
        """Whether this function can do nothing now."""
        return any(spell.function == function and self._is_away(spell) for spell in self._now)

    def ends_at(self, function: str) -> datetime:
        """When what this function suffers now is over."""
        ends = [spell.ends_at for spell in self._now if spell.function in (function, "")]
        return max(ends, default=self._world.now)

    def late_s(self, function: str) -> float:
        """How late this function takes its starts now."""
        late = [spell for spell in self._now if spell.kind is SpellKind.SLOW and spell.function == function]
        return 30.0 + 210.0 * late[0].degree if late else 0.0

    def outage_s(self, begins_at: datetime, ends_at: datetime) -> float:
        """Of a run that lies between these, all that anything was out, added up."""
        overlaps = [
            (min(spell.ends_at, ends_at) - max(spell.begins_at, begins_at)).total_seconds()
            for spell in self.past
            if spell.kind in OUTAGES
        ]
        return sum(overlap for overlap in overlaps if overlap > 0)

    def _is_away(self, spell: Spell) -> bool:
        if spell.kind is SpellKind.FLAPPING:
            return (self._world.now - spell.begins_at).total_seconds() % (2 * FLAP_S) < FLAP_S
        return spell.kind in (SpellKind.PARTITION, SpellKind.BAD_GATE)

    def _begin(self, spell: Spell) -> None:
        world = self._world
        world.fault(spell.kind.value, spell.function)
        world.note(spell.function or "weather", "has", f"{spell.kind} for {spell.length_s:.0f} s")
        self.past.append(spell)
        if spell.kind in OUTAGES:
            self.troubled_until = max(self.troubled_until, spell.ends_at)
            world.disturb(None, spell.length_s)
        if spell.length_s:
            self._now.append(spell)
            world.at(spell.ends_at, lambda: self._end(spell))
        match spell.kind:
            case SpellKind.REDEPLOY:
                world.redeploy(spell.function, spell.length_s)
            case SpellKind.NO_SWEEP:
                self._watch_over(spell)
                self.sweeps_from = max(self.sweeps_from, spell.ends_at)
            case SpellKind.POISON:
                world.arrive(garbage(spell.function))
            case SpellKind.CONFIG:
                world.deploy(changed(NBA, spell.degree))

    def _watch_over(self, spell: Spell) -> None:
        """The dead-man's switch: somebody outside asks each minute whether the timer's job lives."""
        world = self._world
        states = world.sqlite.states
        world.sweep_now()  # it came through until now: worlds leave out the rounds that find nothing

        def ask() -> None:
            if dead_since(SELF_HEAL, states.beats().get(SELF_HEAL), world.now, world.begins_at):
                self.detections.append((world.now - spell.begins_at).total_seconds())
            elif world.now < spell.ends_at:
                world.after(60, ask)
            elif spell.length_s > TELLS_WITHIN_S:
                self.undetected += 1

        world.after(60, ask)

    def _end(self, spell: Spell) -> None:
        self._now.remove(spell)
        self._world.note(spell.function or "weather", "has no more", spell.kind)
        if spell.kind in (SpellKind.BAD_SERVICE, SpellKind.HUNG_SERVICE, SpellKind.QUOTA):
            self._world.after(OPERATOR_S, self._world.operator_retries)


OPERATOR_S = 900.0  # that whoever is paged waits: told that it is tried afresh each five minutes, he gives it three


def changed(spec: PipelineSpec, degree: float) -> PipelineSpec:
    """Another declaration: other quorums, times and patience, and without one optional processor."""
    dropped = ("team_defense_zone_analysis", "team_defense_game_summary", "")[int(degree * 3)]
    factor = 0.7 + 0.9 * degree
    return replace(
        spec,
        phases=tuple(
            replace(
                phase,
                quorum=0.5 + degree / 2,
                quorum_by_mode={},
                processors=tuple(
                    replace(
                        each, timeout_s=min(round(each.timeout_s * factor), 2_400), grace_s=round(each.grace_s * factor)
                    )
                    for each in phase.processors
                    if each.name != dropped
                ),
            )
            for phase in spec.phases
        ),
    )


def _paced(spec: ProcessorSpec, factor: float) -> ProcessorSpec:
    timeout_s = min(round(spec.timeout_s * factor), TIMEOUT_S_MAX)
    return replace(spec, timeout_s=timeout_s, grace_s=round(spec.grace_s * factor))


def bodies() -> tuple[bytes, ...]:
    """What no consumer of any topic can ever read."""
    return (
        b"\xff\xfe\x00",
        b"",
        b"{}",
        b"[1, 2]",
        b'{"run": "nba.2024-13-45.overnight.1"}',
        b" " * (BODY_BYTES_MAX + 1),
    )


def garbage(function: str = "") -> list[Message]:
    """Each of these to every topic that a function hears, or all do."""
    topics = sorted({topic for each in functions_of(NBA.name) if function in ("", each.name) for topic in each.listens})
    return [Message(topic=topic, data=body) for topic in topics for body in bodies()]
