"""The deployed worker: an order of a chunk in, one report out. For its main.py."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from predictions.worker.points import prepare
from predictions.worker.worker import answer
from shared import edge, wiring
from shared.config.functions import PREDICTION_READY_TOPIC, FunctionSpec
from shared.config.settings import Settings
from shared.core.messages import read_order, report_message
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.service import publish

log = logging.getLogger("tipoff.worker")


def worker(name: str) -> Endpoint:
    """The endpoint of the worker of this name."""
    return endpoint(name, handlers, warehouse=False)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:  # noqa: ARG001 - as all functions are given
    ports = home.ports

    def on_order(body: bytes) -> None:
        order = read_order(body)
        report = answer(order, prepare)
        log.info("%s chunk %d, order %d: %d units", report.batch, report.chunk, report.number, len(report.results))
        message = report_message(report, PREDICTION_READY_TOPIC)
        publish(ports.bus, ports.trace, [message], ports.clock.now(), run=order.start.run)

    return dict.fromkeys(spec.listens, on_order)
