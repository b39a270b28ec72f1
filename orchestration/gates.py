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
from shared.service import Service


def gate(name: str) -> Endpoint:
    """The endpoint of the gate of this name."""
    return endpoint(name, handlers, warehouse=False)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:
    service = Service(
        home.ports, PIPELINES, logs.decision_line, starts_missing_runs=settings.starts_missing_runs, guard=edge.apart
    )
    heard: edge.Handler = lambda body: service.on_completion(read_completion(body))  # noqa: E731 - one of two alike
    nudged: edge.Handler = lambda body: service.on_nudge(read_nudge(body))  # noqa: E731
    return {topic: nudged if topic == NUDGE_TOPIC else heard for topic in spec.listens}
