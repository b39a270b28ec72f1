"""What a deployed service of processors does with a start: the work, then one report. For its main.py.

A start that it has done is reported again and not done again: the warehouse knows its stamp.
"""

from __future__ import annotations

from collections.abc import Mapping

from data_processors.nba.runner import Work, run_processor
from shared import edge, wiring
from shared.config.functions import FunctionSpec
from shared.config.orchestration_config import pipeline
from shared.config.settings import Settings
from shared.core.messages import completion_message, read_start
from shared.core.model import PhaseSpec
from shared.deployed import endpoint
from shared.endpoint import Endpoint
from shared.ports import Ports
from shared.service import Refusal, publish


def processors(name: str) -> Endpoint:
    """The endpoint of the service of this name, for the processors of the phases whose starts it hears."""
    return endpoint(name, handlers, warehouse=True, feed=True)


def handlers(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Mapping[str, edge.Handler]:
    work = Work(
        warehouse=home.warehouse,
        feed=wiring.open_feed_at(settings.data),
        objects=home.exports,
        now=home.clock.now,
        commit=settings.commit,
    )
    phases = {phase.start_topic: phase for phase in pipeline(spec.pipeline).phases}
    return {topic: _handler(phases[topic], work, home.ports) for topic in spec.listens}


def _handler(phase: PhaseSpec, work: Work, ports: Ports) -> edge.Handler:
    specs = {processor.name: processor for processor in phase.processors}

    def on_start(body: bytes) -> Refusal | None:
        start = read_start(body)
        if start.phase != phase.name or start.processor not in specs:
            return Refusal(f"{start.phase}/{start.processor} is not a processor of {phase.name}")
        done = edge.perform_in_time(start, lambda start: run_processor(start, specs[start.processor], phase.name, work))
        message = completion_message(done, phase.completion_topic)
        publish(ports.bus, ports.trace, [message], ports.clock.now(), run=start.run)
        return None

    return on_start
