"""What the deployed self_heal is beyond a gate: it looks for what was never reported, watches what is about no run, and
says whether it lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from orchestration import gates
from orchestration.evidence import PipelineEvidence
from shared import edge, wiring
from shared.config.functions import FunctionSpec, services_that_queue, services_watched
from shared.config.orchestration_config import pipeline
from shared.config.settings import Settings
from shared.core.heartbeat import SELF_HEAL, dead_since
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.gather import AtOnce
from shared.ports import Ports
from shared.watch import Watch

EVIDENCE_RETRY_S = 5.0  # of each call of the warehouse: what cannot be read now is looked for again at the next look

KNOWN_FOR = timedelta(minutes=2)
"""That a heartbeat is not read again: several places ask each minute, and it proves life for longer."""


class NoHeartbeat(Exception):
    """The watchdog does not go its rounds: since when, and what to look at."""


def healer(name: str) -> Endpoint:
    """The endpoint of the function that the timer wakes. It reads the warehouse, and is ready without it."""
    return endpoint(
        name, handlers, warehouse=True, asks_warehouse=False, installation=installation, retry_s=EVIDENCE_RETRY_S
    )


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:
    evidence = PipelineEvidence(home, pipeline(spec.pipeline))
    return gates.handlers_of(spec, settings, replace(home.ports, evidence=evidence), watch(spec, settings, home))


def watch(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Watch:
    """The jobs and services of its installation. Where no run begins by itself, the schedules that begin them rest."""
    schedules = pipeline(spec.pipeline).schedules
    return Watch(
        home.ports,
        spec.pipeline,
        [schedule for schedule in schedules if settings.starts_missing_runs or not schedule.mode],
        wiring.last_due,
        services_watched(proxied=bool(settings.iap_audience)),
        wiring.ailing(home),
        AtOnce(edge.attempt),
        services_that_queue(),
    )


def installation(home: wiring.CloudHome) -> Mapping[str, Callable[[], object]]:
    """Not of the revision: one that is to replace a dead one does not serve yet, and has left no heartbeat."""
    return {"heartbeat": heartbeat(home.ports)}


def heartbeat(ports: Ports) -> Callable[[], object]:
    """Raises once the last round is too long ago: whoever asks from outside, and hears so or nothing, tells a person.

    It could not say so itself: who is paused does nothing.
    """
    born_at, known = ports.clock.now(), list[datetime]()

    def beats() -> None:
        now = ports.clock.now()
        if not (known and known[0] <= now < known[0] + KNOWN_FOR):
            known[:] = [at] if (at := ports.states.beats().get(SELF_HEAL)) else []
        why = dead_since(SELF_HEAL, known[0] if known else None, now, born_at)
        if why:
            raise NoHeartbeat(why)

    return beats
