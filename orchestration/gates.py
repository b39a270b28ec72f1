"""What a deployed gate does with what it hears: a processor's completion, or a schedule's word. For its main.py."""

from __future__ import annotations

from collections.abc import Mapping

from shared import edge, logs, wiring
from shared.config.functions import NUDGE_TOPIC, FunctionSpec
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings
from shared.core.messages import read_completion, read_nudge
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.gather import READINGS_S
from shared.ports import Ports
from shared.service import Refusal, Service
from shared.watch import Watch


def gate(name: str) -> Endpoint:
    """The endpoint of the gate of this name."""
    return endpoint(name, handlers, warehouse=True, asks_warehouse=False, retry_s=READINGS_S)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:
    return handlers_of(spec, settings, home.ports)


def handlers_of(
    spec: FunctionSpec, settings: Settings, ports: Ports, watch: Watch | None = None
) -> Mapping[str, edge.Handler]:
    """What a gate does with the messages of each of its topics."""
    service = Service(
        ports,
        PIPELINES,
        logs.decision_line,
        starts_missing_runs=settings.starts_missing_runs,
        guard=edge.apart,
        attempt=edge.attempt,
        watch=watch,
    )

    def nudged(body: bytes) -> Refusal | None:
        return service.on_nudge(read_nudge(body))

    return {topic: nudged if topic == NUDGE_TOPIC else heard_on(topic, service) for topic in spec.listens}


def heard_on(topic: str, service: Service) -> edge.Handler:
    """Completions of the phases that report on this topic: who may publish there may report nobody else."""
    phases = {
        (spec.name, phase.name)
        for spec in PIPELINES.values()
        for phase in spec.phases
        if phase.completion_topic == topic
    }

    def heard(body: bytes) -> Refusal | None:
        completion = read_completion(body)
        if (completion.run.pipeline, completion.phase) not in phases:
            return Refusal(f"{completion.run.pipeline}/{completion.phase} does not report on {topic}")
        return service.on_completion(completion)

    return heard
