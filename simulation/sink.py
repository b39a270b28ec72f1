"""Where a world's people are told of incidents: a sink that drops what it has heard, and may be down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.core.model import Alert, RunKey
from simulation.spells import SpellKind

if TYPE_CHECKING:
    from simulation.world import World


@dataclass(slots=True)
class Told:
    """One incident, as whoever is on call knows it."""

    run: RunKey
    alert: Alert  # that raised it
    raised_at: datetime
    resolved_at: datetime | None = None
    escalated_at: datetime | None = None


class Sink:
    """The port Notifier."""

    def __init__(self, world: World) -> None:
        self.told: dict[str, Told] = {}  # by incident
        self._world = world

    def notify(self, run: RunKey, incident: str, alert: Alert) -> bool:
        world = self._world
        if world.weather.has(SpellKind.SINK_DOWN):
            return False
        told = self.told.get(incident)
        if alert.raises:
            self.told.setdefault(incident, Told(run, alert, world.now))
        elif told and alert.resolved:
            told.resolved_at = told.resolved_at or world.now
        elif told and alert.escalated_at:
            told.escalated_at = told.escalated_at or world.now
        what = "is over" if alert.resolved else "is raised" if alert.raises else "is told on"
        world.note(incident, what, alert.summary)
        return True
