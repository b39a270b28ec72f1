"""Every deployed function and what wakes it, for deploy, for the local bus and for `config check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FunctionKind(StrEnum):
    GATE = "gate"  # looks at a run and decides
    SERVICE = "service"  # does the work that a start orders
    REPORT = "report"  # tells people; no phase waits for it


class Ingress(StrEnum):
    """Whose requests reach a function at all; who may invoke it is IAM's, and always asked."""

    ALL = "all"  # also of people with a token, and of functions: without a network of their own they come from outside
    INTERNAL_ONLY = "internal-only"  # Pub/Sub, Cloud Scheduler and the project's networks


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """The name is the folder's; what is deployed derives from it. What nothing is said of is as small gates need it."""

    name: str
    listens: tuple[str, ...]
    kind: FunctionKind
    pipeline: str = "nba"
    memory_mb: int = 512  # Google's clients take 81 MB, the server and its workers as much again
    cpu: float = 1.0  # less than one allows one request at a time
    concurrency: int = 8  # the server gets as many threads; a gate waits for Firestore most of its time
    min_instances: int = 0  # a cold start takes seconds, and a pipeline has hours
    max_instances: int = 5  # a phase's reports come within seconds; more gates would only lose the race for its latch
    timeout_s: int = 120  # readings take ten seconds at most, and what did not end the sweep takes up
    ingress: Ingress = Ingress.ALL  # gates ask each other's services how they are, and deploy asks a new revision
    secrets: tuple[str, ...] = ()  # variables whose values lie in Secret Manager
    asked_by_people: bool = False  # whether operators may invoke it: it shows them something, or does what they say


NUDGE_TOPIC = "nba-nudge"
"""Where the schedules speak on one machine. Deployed, Cloud Scheduler calls each function that a schedule wakes."""

PREDICTION_START_TOPIC = "nba-predictions-start"
"""Where the gate orders a batch."""

FAN_OUTS = frozenset({PREDICTION_START_TOPIC})
"""Topics of starts that are fanned out into batches."""

PREDICTION_REQUEST_TOPIC = "nba-prediction-request"
"""Where the coordinator orders chunks."""

PREDICTION_READY_TOPIC = "nba-prediction-ready"
"""Where the workers say that they have recorded them."""


BEHIND_PROXY = ("nba_admin_dashboard",)
"""Before what Identity-Aware Proxy stands, where the environment has one."""


def ready_topic(pipeline: str) -> str:
    """Where the workers of a pipeline say that they have recorded a chunk."""
    return PREDICTION_READY_TOPIC.replace("nba", pipeline, 1)


def _processor(name: str, start_topic: str) -> FunctionSpec:
    """One that does the work of a phase, mostly in the warehouse."""
    return FunctionSpec(
        name,
        (start_topic,),
        FunctionKind.SERVICE,
        memory_mb=1024,  # the rows of a day, those that are exported, and their JSON
        concurrency=4,  # a phase has five processors at most, and each may hold a day's rows
        timeout_s=600,  # WORK_S_MAX, and half a minute for the report
    )


def _worker(name: str, topic: str, pipeline: str = "nba") -> FunctionSpec:
    """One that predicts chunks: nothing but computing."""
    return FunctionSpec(
        name,
        (topic,),
        FunctionKind.SERVICE,
        pipeline=pipeline,
        concurrency=1,  # a second chunk on the same processor would only slow down the first
        max_instances=40,  # two for each chunk in the usual window; an emergency fills them
        timeout_s=180,  # CHUNK_TIMEOUT_S, after which the chunk is ordered again, and what the start takes
    )


FUNCTIONS = (
    FunctionSpec("phase1_to_phase2", ("nba-phase1-scrapers-complete",), FunctionKind.GATE),
    FunctionSpec("phase2_to_phase3", ("nba-phase2-raw-complete",), FunctionKind.GATE),
    FunctionSpec("phase3_to_phase4", ("nba-phase3-analytics-complete",), FunctionKind.GATE),
    FunctionSpec("phase4_to_phase5", ("nba-phase4-precompute-complete",), FunctionKind.GATE),
    FunctionSpec("phase5_to_phase6", ("nba-phase5-predictions-complete", "nba-grading-complete"), FunctionKind.GATE),
    # Behind the last phase stands the gate that ends the run; the sweep's function looks at it.
    FunctionSpec(
        "self_heal",
        (NUDGE_TOPIC, "nba-phase6-export-complete"),
        FunctionKind.GATE,
        max_instances=3,  # the minute's sweep, one that lasts longer, a message
        timeout_s=540,  # many runs at once after an outage; woken each minute it stays warm without a minimum
        secrets=("PAGERDUTY_ROUTING_KEY", "SLACK_WEBHOOK_URL"),  # it alone tells people of incidents
    ),
    _processor("scraper_processor", "nba-scrape-start"),
    _processor("raw_processor", "nba-raw-start"),
    _processor("analytics_processor", "nba-analytics-start"),
    _processor("precompute_processor", "nba-precompute-start"),
    FunctionSpec(  # the schedule that sweeps the runs sweeps the batches too
        "prediction_coordinator",
        (PREDICTION_START_TOPIC, PREDICTION_READY_TOPIC, NUDGE_TOPIC),
        FunctionKind.SERVICE,
        memory_mb=2048,  # a batch's inputs and results, all at once
        timeout_s=540,  # it makes the table again and again under a rate limit
        asked_by_people=True,  # its routes start, recover, seal and cancel batches
    ),
    _worker("prediction_worker", PREDICTION_REQUEST_TOPIC),
    # The same worker under a second pipeline's name; its coordinator stands elsewhere.
    _worker("mlb_prediction_worker", "mlb-prediction-request", pipeline="mlb"),
    _processor("grading_processor", "nba-grading-start"),
    _processor("export_processor", "nba-export-start"),
    FunctionSpec(
        "daily_health_check",
        (NUDGE_TOPIC,),
        FunctionKind.REPORT,
        max_instances=2,  # the morning's message, and who asks for it
        timeout_s=180,  # it reads a month of runs, and posts for a quarter of a minute at most
        secrets=("SLACK_WEBHOOK_URL",),
        asked_by_people=True,
    ),
    FunctionSpec(  # it hears nothing: people come to it
        "nba_admin_dashboard",
        (),
        FunctionKind.REPORT,
        memory_mb=1024,  # what ends a batch at a person's word holds its results
        max_instances=1,  # of two presses of one button the second must find what the first has done
        timeout_s=300,  # the end of a batch is one MERGE, made again under a rate limit
        asked_by_people=True,
    ),
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


def services_watched(*, proxied: bool) -> tuple[str, ...]:
    """Those that are asked each minute how they are, whether or not a gate needs them. What merely decides is missed by
    itself, so is what a schedule wakes, by its heartbeat; and the timer's own function is asked from outside.

    `proxied`: whether Identity-Aware Proxy stands before what people come to. It lets in nobody but people.
    """
    works = [spec for spec in FUNCTIONS if spec.kind is FunctionKind.SERVICE]
    tells = [spec for spec in FUNCTIONS if spec.kind is FunctionKind.REPORT and NUDGE_TOPIC not in spec.listens]
    asked = (spec.name for spec in (*works, *tells))
    return tuple(name for name in asked if not (proxied and name in BEHIND_PROXY))


def services_that_queue() -> tuple[str, ...]:
    """Those whose instances take one request each."""
    return tuple(spec.name for spec in FUNCTIONS if spec.concurrency == 1)


def services_behind(start_topic: str) -> tuple[str, ...]:
    """Those that work when a start is published there; where it is fanned out, those too who do the parts."""
    topics = {start_topic, *([PREDICTION_REQUEST_TOPIC] if start_topic == PREDICTION_START_TOPIC else [])}
    return tuple(
        spec.name for spec in FUNCTIONS if spec.kind is FunctionKind.SERVICE and topics.intersection(spec.listens)
    )
