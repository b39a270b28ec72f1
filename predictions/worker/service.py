"""The deployed worker: an order of a chunk in, its report recorded, a word said of it. For its main.py."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from predictions.worker.points import prepare
from predictions.worker.worker import work
from shared import edge, wiring
from shared.config.functions import FunctionSpec, ready_topic
from shared.config.settings import Settings
from shared.core.messages import read_order, ready_message
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.service import Refusal, publish

log = logging.getLogger("tipoff.worker")


def worker(name: str) -> Endpoint:
    """The endpoint of the worker of this name."""
    return endpoint(name, handlers, warehouse=False)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:  # noqa: ARG001 - as all functions are given
    ports, topic = home.ports, ready_topic(spec.pipeline)

    def on_order(body: bytes) -> Refusal | None:
        order = read_order(body)
        if order.start.run.pipeline != spec.pipeline:
            return Refusal(f"{order.start.run} is no run of {spec.pipeline}, whose orders {spec.name} does")
        ready = work(order, prepare, home.batches, ports.clock.now)
        if isinstance(ready, Refusal):
            return ready
        log.info("%s chunk %d, order %d: %d units", order.batch, order.chunk, order.number, len(order.units))
        publish(ports.bus, ports.trace, [ready_message(ready, topic)], ports.clock.now(), run=order.start.run)
        return None

    return dict.fromkeys(spec.listens, on_order)
