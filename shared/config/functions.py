"""Every deployed function and what wakes it, for deploy, for the local bus and for `config check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FunctionKind(StrEnum):
    GATE = "gate"  # looks at a run and decides
    SERVICE = "service"  # does the work that a start orders


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """The name is the folder's; what is deployed derives from it."""

    name: str
    listens: tuple[str, ...]
    kind: FunctionKind
    pipeline: str = "nba"


NUDGE_TOPIC = "nba-nudge"
"""Where the schedules speak on one machine. Deployed, Cloud Scheduler calls each function that a schedule wakes."""

PREDICTION_START_TOPIC = "nba-predictions-start"
"""Where the gate orders a batch."""

PREDICTION_REQUEST_TOPIC = "nba-prediction-request"
"""Where the coordinator orders chunks."""

PREDICTION_READY_TOPIC = "nba-prediction-ready"
"""Where the workers say that they have recorded them."""


def ready_topic(pipeline: str) -> str:
    """Where the workers of a pipeline say that they have recorded a chunk."""
    return PREDICTION_READY_TOPIC.replace("nba", pipeline, 1)


FUNCTIONS = (
    FunctionSpec("phase1_to_phase2", ("nba-phase1-scrapers-complete",), FunctionKind.GATE),
    FunctionSpec("phase2_to_phase3", ("nba-phase2-raw-complete",), FunctionKind.GATE),
    FunctionSpec("phase3_to_phase4", ("nba-phase3-analytics-complete",), FunctionKind.GATE),
    FunctionSpec("phase4_to_phase5", ("nba-phase4-precompute-complete",), FunctionKind.GATE),
    FunctionSpec("phase5_to_phase6", ("nba-phase5-predictions-complete", "nba-grading-complete"), FunctionKind.GATE),
    # Behind the last phase stands the gate that ends the run; the sweep's function looks at it.
    FunctionSpec("self_heal", (NUDGE_TOPIC, "nba-phase6-export-complete"), FunctionKind.GATE),
    FunctionSpec("scraper_processor", ("nba-scrape-start",), FunctionKind.SERVICE),
    FunctionSpec("raw_processor", ("nba-raw-start",), FunctionKind.SERVICE),
    FunctionSpec("analytics_processor", ("nba-analytics-start",), FunctionKind.SERVICE),
    FunctionSpec("precompute_processor", ("nba-precompute-start",), FunctionKind.SERVICE),
    FunctionSpec(  # the schedule that sweeps the runs sweeps the batches too
        "prediction_coordinator", (PREDICTION_START_TOPIC, PREDICTION_READY_TOPIC, NUDGE_TOPIC), FunctionKind.SERVICE
    ),
    FunctionSpec("prediction_worker", (PREDICTION_REQUEST_TOPIC,), FunctionKind.SERVICE),
    # The same worker under a second pipeline's name; its coordinator stands elsewhere.
    FunctionSpec("mlb_prediction_worker", ("mlb-prediction-request",), FunctionKind.SERVICE, pipeline="mlb"),
    FunctionSpec("grading_processor", ("nba-grading-start",), FunctionKind.SERVICE),
    FunctionSpec("export_processor", ("nba-export-start",), FunctionKind.SERVICE),
)


class UnknownFunction(LookupError):
    """No function of this name is declared; add it to FUNCTIONS in shared/config/functions.py."""


def function(name: str) -> FunctionSpec:
    for spec in FUNCTIONS:
        if spec.name == name:
            return spec
    raise UnknownFunction(f"function {name[:80]!r}: declared are {', '.join(spec.name for spec in FUNCTIONS)}")


def functions_of(pipeline: str) -> tuple[FunctionSpec, ...]:
    """Those that a pipeline needs."""
    return tuple(spec for spec in FUNCTIONS if spec.pipeline == pipeline)


def pushed_topics(spec: FunctionSpec) -> tuple[str, ...]:
    """Those that a deployed function has a subscription to: schedules call it, and need none."""
    return tuple(topic for topic in spec.listens if topic != NUDGE_TOPIC)


def services_behind(start_topic: str) -> tuple[str, ...]:
    """Those that work when a start is published there; where it is fanned out, those too who do the parts."""
    topics = {start_topic, *([PREDICTION_REQUEST_TOPIC] if start_topic == PREDICTION_START_TOPIC else [])}
    return tuple(
        spec.name for spec in FUNCTIONS if spec.kind is FunctionKind.SERVICE and topics.intersection(spec.listens)
    )
