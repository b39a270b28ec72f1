"""What the gates of a simulated world ask: the shipped readers, over the world's own warehouse.

Its rows cannot be untrue: that reading passes. Its services answer as fate and the weather have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from shared.adapters.scheduler import last_due
from shared.config.functions import FunctionKind, functions_of, services_that_queue
from shared.config.nba import NBA
from shared.core.readings import ReadBack, Table
from shared.ports import Health, Ports, Reader, StateStore, Warehouse
from shared.preflight import Identity, Preflight, Services
from shared.readings import World, readers
from shared.watch import Watch
from simulation.fate import BATCHED
from simulation.spells import SpellKind

if TYPE_CHECKING:
    from simulation.world import World as SimulatedWorld

VERSION = "simulated"
SERVICE_OF = {
    topic: spec.name for spec in functions_of(NBA.name) if spec.kind is FunctionKind.SERVICE for topic in spec.listens
}

PUBLISHED = ("export",)  # phases that write documents, and no rows that a gate reads

READ_BACK = ReadBack(
    tables={
        processor.name: Table(
            name=f"simulated.{processor.name}",
            column="day",
            unit="unit" if processor.unit else "",
            of_run=processor.name == BATCHED,
        )
        for phase in NBA.phases
        if phase.name not in PUBLISHED
        for processor in phase.processors
    }
)


def readers_of(world: SimulatedWorld, states: StateStore) -> Mapping[str, Reader]:
    """Nothing stands in between: what they read is what is there."""
    asked = cast(Warehouse, world.warehouse)
    services = _services(world)
    return readers(states, World(warehouse=lambda: asked, read_back={NBA.name: READ_BACK}, services=services))


def watch_of(world: SimulatedWorld, ports: Ports) -> Watch:
    """What the timer watches beside its runs: the services of the pipeline, and the schedules that begin its runs."""
    preflight = Preflight(_services(world))
    names = [spec.name for spec in functions_of(NBA.name) if spec.kind is FunctionKind.SERVICE]
    begin = [schedule for schedule in NBA.schedules if schedule.mode]
    ask = partial(preflight.ailing, pipeline=NBA.name)
    return Watch(ports, NBA.name, begin, last_due, names, ask, _in_turn, services_that_queue())


def _in_turn(asks: Mapping[str, Callable[[], str]], _: float) -> dict[str, str]:
    return {name: ask() for name, ask in asks.items()}


def _services(world: SimulatedWorld) -> Services:
    return Services(
        behind=lambda topic: (SERVICE_OF[topic],),
        url_of=lambda name: name,
        probe=lambda: WorldProbe(world),
        identity=lambda pipeline: Identity(version=VERSION, config_hash=world.hashes[pipeline]),
        tick=lambda: (world.now - world.begins_at).total_seconds(),
    )


@dataclass(frozen=True, slots=True)
class WorldProbe:
    """How a service answers now. One that hangs its starts says that it is well."""

    world: SimulatedWorld

    def probe(self, url: str, *, within_s: float, deep: bool = True) -> Health:  # noqa: ARG002 - as the port asks
        found = self._found(url)
        return found if deep or not found.alive else replace(found, ready=True, why="")

    def _found(self, url: str) -> Health:
        weather = self.world.weather
        if weather.refuses(url):
            return Health(alive=False, why="does not answer")
        own = self.world.fate.health(url, self.world.now)
        if own is not None:
            return own
        if weather.has(SpellKind.BAD_SERVICE, url):
            return Health(alive=True, service=url, version=VERSION, why="is not ready: its release is no good")
        hash_now = self.world.hashes[NBA.name]
        return Health(alive=True, ready=True, service=url, version=VERSION, config_hash=hash_now)
