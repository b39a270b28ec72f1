"""The deployed coordinator: starts of batches, reports of chunks, the timer's sweep, its routes. For its main.py."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from predictions.coordinator.api import Api
from predictions.coordinator.coordinator import Coordinator
from predictions.coordinator.points import points_coordinator, predictions_phase
from predictions.coordinator.routes import ROUTES
from shared import edge, wiring
from shared.config.functions import (
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    PREDICTION_START_TOPIC,
    FunctionSpec,
)
from shared.config.orchestration_config import pipeline
from shared.config.settings import Settings
from shared.core.batch import batch_id
from shared.core.heartbeat import beat_of
from shared.core.messages import read_nudge, read_ready, read_start
from shared.core.model import PhaseSpec, PipelineSpec
from shared.deployed import endpoint
from shared.endpoint import Endpoint, Responder
from shared.ports import Ports
from shared.service import Refusal, Service, publish

log = logging.getLogger("tipoff.coordinator")


BEGIN_WITHIN = timedelta(minutes=3)  # a message comes ten times in four; three attempts of a gate are then nine minutes
CONSOLIDATION_RETRY_S = 30.0  # of each call of the warehouse: the batch itself comes again when its lease has lapsed


class BatchUnfinished(Exception):
    """A batch could not begin or go on now, for a reason that may pass: its start comes again."""


def coordinator(name: str) -> Endpoint:
    """The endpoint of the coordinator of this name."""
    return endpoint(name, handlers, warehouse=True, routes=ROUTES, responders=responders, retry_s=CONSOLIDATION_RETRY_S)


def responders(spec: FunctionSpec, settings: Settings, home: wiring.Home) -> Mapping[tuple[str, str], Responder]:  # noqa: ARG001 - as all functions are given
    """What it does at its routes."""
    ports, declared = home.ports, pipeline(spec.pipeline)
    api = Api(
        coordinator=points_coordinator(home, declared),
        service=Service(ports, {declared.name: declared}, starts_missing_runs=False, attempt=edge.attempt),
        states=ports.states,
        spec=declared,
        phase=predictions_phase(declared),
    )
    return api.responders()


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.Home) -> Mapping[str, edge.Handler]:  # noqa: ARG001 - as all functions are given
    declared = pipeline(spec.pipeline)
    batches, phase = points_coordinator(home, declared), predictions_phase(declared)
    return {
        PREDICTION_START_TOPIC: lambda body: begin(batches, phase, body),
        PREDICTION_READY_TOPIC: lambda body: batches.on_ready(read_ready(body)),
        NUDGE_TOPIC: lambda body: nudged(batches, home.ports, declared, body),
    }


def begin(batches: Coordinator, phase: PhaseSpec, body: bytes) -> Refusal | None:
    """A failure before there is a batch is reported: at once if it lasts, else once BEGIN_WITHIN is over. Until then,
    and always once there is a batch, the start comes again."""
    start = read_start(body)
    if not batches.is_mine(batch_id(start)):
        return Refusal(f"{start.run} is no run of {batches.pipeline}")
    if start.phase != phase.name or start.processor not in [processor.name for processor in phase.processors]:
        return Refusal(f"{start.phase}/{start.processor} is not a processor of {phase.name}")
    raised = edge.judge(lambda: batches.on_start(start))
    if raised is None:
        return None
    now = batches.clock.now()
    if raised.passing and now < start.issued_at + BEGIN_WITHIN:
        raise BatchUnfinished(raised.reason)
    message = batches.unbegun(start, raised.reason, 0.0)
    if message is None:
        raise BatchUnfinished(raised.reason)
    publish(batches.bus, batches.trace, [message], batches.clock.now(), run=start.run)
    return None


def nudged(batches: Coordinator, ports: Ports, declared: PipelineSpec, body: bytes) -> None:
    """A schedule's word. The recovery of batches is its own job, with its own heartbeat; the sweep's is self_heal's."""
    sweep(batches, body)
    nudge = read_nudge(body)
    if nudge.act == "recover" and (beat := beat_of(nudge, declared.schedules, batches.clock.now())):
        ports.states.beat(*beat)


def sweep(batches: Coordinator, body: bytes) -> None:
    """Each batch that is due, or stalled where that is asked; one that fails stays so and keeps none of the others."""
    act = read_nudge(body).act
    if act == "sweep":
        for batch in batches.due():
            edge.apart(partial(batches.advance, batch))
    if act == "recover":
        for batch in batches.stalled():
            log.warning("%s is stalled: its orders are sent again", batch)
            edge.apart(partial(batches.recover, batch))
