"""What the gates of a simulated world ask: the shipped readers, over the world's own warehouse.

Its services are never asked how they are, and its rows cannot be untrue: those readings pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from shared.config.nba import NBA
from shared.core.readings import ReadBack, Table
from shared.ports import HealthProbe, Reader, StateStore, Warehouse
from shared.preflight import Identity, Services
from shared.readings import World, readers
from simulation.fate import BATCHED

if TYPE_CHECKING:
    from simulation.warehouse import MemoryWarehouse

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


def readers_of(states: StateStore, warehouse: MemoryWarehouse) -> Mapping[str, Reader]:
    """Nothing stands in between: what they read is what is there."""
    asked = cast(Warehouse, warehouse)
    services = Services(behind=lambda _: (), url_of=None, probe=_nobody, identity=_nobody_knows)
    return readers(states, World(warehouse=lambda: asked, read_back={NBA.name: READ_BACK}, services=services))


def _nobody() -> HealthProbe:
    raise AssertionError("no service of a world is asked")


def _nobody_knows(_: str) -> Identity:
    raise AssertionError("no service of a world is asked")
