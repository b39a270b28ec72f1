"""The deployed coordinator: starts of batches, reports of chunks, and the timer's sweep. For its main.py."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from predictions.coordinator.coordinator import Coordinator
from predictions.coordinator.points import points_coordinator
from shared import edge, wiring
from shared.config.functions import (
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    PREDICTION_START_TOPIC,
    FunctionSpec,
)
from shared.config.orchestration_config import pipeline
from shared.config.settings import Settings
from shared.core.messages import read_nudge, read_report, read_start
from shared.core.model import PhaseSpec
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.service import Refusal, publish

log = logging.getLogger("tipoff.coordinator")


class BatchUnfinished(Exception):
    """A batch that has begun could not go on now; its start comes again, and so does the sweep."""


def coordinator(name: str) -> Endpoint:
    """The endpoint of the coordinator of this name."""
    return endpoint(name, handlers, warehouse=True)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:  # noqa: ARG001 - as all functions are given
    [phase] = [phase for phase in pipeline(spec.pipeline).phases if phase.start_topic == PREDICTION_START_TOPIC]
    batches = points_coordinator(home, phase)
    return {
        PREDICTION_START_TOPIC: lambda body: begin(batches, phase, body),
        PREDICTION_READY_TOPIC: lambda body: batches.on_report(read_report(body)),
        NUDGE_TOPIC: lambda body: sweep(batches, body),
    }


def begin(batches: Coordinator, phase: PhaseSpec, body: bytes) -> Refusal | None:
    """A failure before there is a batch is reported; after, the start comes again."""
    start = read_start(body)
    if start.phase != phase.name or start.processor not in [processor.name for processor in phase.processors]:
        return Refusal(f"{start.phase}/{start.processor} is not a processor of {phase.name}")
    failed = edge.attempt(lambda: batches.on_start(start))
    if failed is None:
        return None
    message = batches.unbegun(start, failed, 0.0)
    if message is None:
        raise BatchUnfinished(failed)
    publish(batches.bus, batches.trace, [message], batches.clock.now(), run=start.run)
    return None


def sweep(batches: Coordinator, body: bytes) -> None:
    """Each batch that is due; one that fails stays due and keeps none of the others."""
    if read_nudge(body).act != "sweep":
        return
    for batch in batches.due():
        if failed := edge.attempt(partial(batches.advance, batch)):
            log.warning("%s could not go on: %s", batch, failed)
