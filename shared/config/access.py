"""Who may do what: a service account for each function, and the least that it needs. For bin/deploy/iam and doctor.

Derived from what a function does: what it hears, what is said by those who hear it, whose tables and documents it
reads or writes. Who may deploy is not said here: those are people, and they hold their roles before anything is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.config.deployment import Environment, account_of, secret_of, service_of
from shared.config.functions import (
    BEHIND_PROXY,
    FUNCTIONS,
    PREDICTION_REQUEST_TOPIC,
    PREDICTION_START_TOPIC,
    FunctionKind,
    FunctionSpec,
    pushed_topics,
    ready_topic,
    services_behind,
    services_watched,
)
from shared.config.nba_tables import table_of
from shared.config.orchestration_config import PIPELINES
from shared.core.drift import Resource, binding
from shared.core.model import PhaseSpec, PipelineSpec
from shared.core.readings import HEALTH
from shared.core.subscriptions import DEAD, subscription_of

PUSHER = "pubsub-pusher"
"""The account whose token Pub/Sub's pushes carry: it may invoke what hears topics, and nobody runs as it."""

SCHEDULER = "schedule-caller"
"""The same for Cloud Scheduler's jobs, and what schedules wake."""

STAGING = "tipoff_staging"
OPERATIONS = "tipoff_ops"
"""Of reports, which people make."""

SEES_ALL = ("self_heal", "nba_admin_dashboard")
"""What looks after lost work everywhere, by itself or at a person's word: dead letters of all, documents under any
stamp."""

WATCHES = ("self_heal",)
"""What asks every service each minute how it is."""

ENDS_BATCHES = ("nba_admin_dashboard",)
"""What does a coordinator's work at a person's word."""


def account(name: str, environment: Environment) -> str:
    """The member that an account of this project is."""
    return f"serviceAccount:{account_of(name, environment.project)}"


def agent(service: str, environment: Environment) -> str:
    """Google's own account, as which a service of Google's acts in this project."""
    return f"serviceAccount:service-{environment.project_number}@gcp-sa-{service}.iam.gserviceaccount.com"


def accounts() -> tuple[str, ...]:
    """The names of all: one for each function, and the two who call them."""
    return (*(service_of(spec.name) for spec in FUNCTIONS), PUSHER, SCHEDULER)


def datasets(environment: Environment) -> tuple[str, ...]:
    """Those of the pipelines' tables, with the prefix; the staging area and the reports'."""
    named = {dataset for spec in PIPELINES.values() for phase in spec.phases for dataset in _written(phase)}
    return tuple(sorted(environment.dataset_prefix + name for name in (*named, STAGING, OPERATIONS)))


def bindings(environment: Environment, functions: Sequence[FunctionSpec] = FUNCTIONS) -> tuple[Resource, ...]:
    """Every binding that there should be, once."""
    found = [*_callers(environment, functions), *_agents(environment, functions)]
    for spec in functions:
        found += _of_function(spec, environment)
    return tuple(sorted({each.name: each for each in found}.values(), key=lambda each: each.name))


def published(spec: FunctionSpec) -> tuple[str, ...]:
    """The topics on which a function speaks, but for its own dead letters."""
    pipeline = PIPELINES.get(spec.pipeline)
    phases = pipeline.phases if pipeline else ()
    starts = [phase.start_topic for phase in phases]
    if spec.name in SEES_ALL:  # it sends again what was never sent, and what died
        return tuple(sorted({topic for each in FUNCTIONS for topic in pushed_topics(each)}))
    if spec.kind is FunctionKind.REPORT:
        return ()
    if spec.kind is FunctionKind.GATE:
        return tuple(starts)  # whoever looks at a run orders all that is due in it
    if PREDICTION_START_TOPIC in spec.listens:  # people's words on a run come to it, too
        return (*starts, *_completions(phases, spec), PREDICTION_REQUEST_TOPIC)
    return tuple(_completions(phases, spec)) or (ready_topic(spec.pipeline),)


# --- one function ---------------------------------------------------------------------------------------


def _of_function(spec: FunctionSpec, environment: Environment) -> Iterator[Resource]:
    member = account(spec.name, environment)
    yield binding("project", "roles/datastore.user", member)
    for topic in published(spec):
        yield binding(f"topic/{topic}", "roles/pubsub.publisher", member)
    for topic in pushed_topics(spec):
        subscription = subscription_of(spec.name, topic)
        yield binding(f"subscription/{subscription}", "roles/pubsub.viewer", member)  # /ready asks whether it is there
        yield binding(f"topic/{subscription}{DEAD}", "roles/pubsub.publisher", member)  # buried with its own error
    for variable in spec.secrets:
        yield binding(f"secret/{secret_of(variable)}", "roles/secretmanager.secretAccessor", member)
    if spec.name in SEES_ALL:
        yield binding("project", "roles/pubsub.viewer", member)  # whose dead letters there are
        for other in FUNCTIONS:
            for topic in pushed_topics(other):
                dead = f"subscription/{subscription_of(other.name, topic)}{DEAD}"
                yield binding(dead, "roles/pubsub.subscriber", member)
    yield from _tables(spec, environment, member)
    yield from _objects(spec, environment, member)
    yield from _health(spec, environment, member)


def _tables(spec: FunctionSpec, environment: Environment, member: str) -> Iterator[Resource]:
    """All is read by who decides or computes; written, by who hears of a phase, what is its own."""
    pipeline = PIPELINES.get(spec.pipeline)
    if pipeline is None or spec.listens == (PREDICTION_REQUEST_TOPIC,):  # a worker has all in its order
        return
    does_predictions = spec.name in ENDS_BATCHES
    phases = [p for p in pipeline.phases if p in _heard([p], spec) or (does_predictions and _is_batched(p))]
    written = {dataset for phase in phases for dataset in _written(phase)}
    yield binding("project", "roles/bigquery.jobUser", member)
    for dataset in datasets(environment):
        name = dataset.removeprefix(environment.dataset_prefix)
        if name in written or (written and name == STAGING):
            yield binding(f"dataset/{dataset}", "roles/bigquery.dataEditor", member)
        elif name not in (STAGING, OPERATIONS):
            yield binding(f"dataset/{dataset}", "roles/bigquery.dataViewer", member)


def _objects(spec: FunctionSpec, environment: Environment, member: str) -> Iterator[Resource]:
    pipeline = PIPELINES.get(spec.pipeline)
    phases = _heard(pipeline.phases, spec) if pipeline else []
    exports, data = (_bucket(url) for url in (environment.exports, environment.data))
    if any(phase.name == "export" for phase in phases):
        yield binding(f"bucket/{exports}", "roles/storage.objectUser", member)
    elif phases or spec.name in SEES_ALL:  # /ready reads one, and self_heal looks for what was published
        yield binding(f"bucket/{exports}", "roles/storage.objectViewer", member)
    if phases and PREDICTION_START_TOPIC not in spec.listens:
        yield binding(f"bucket/{data}", "roles/storage.objectViewer", member)


def _health(spec: FunctionSpec, environment: Environment, member: str) -> Iterator[Resource]:
    """A gate asks the services behind it how they are; whoever looks at a run may be the one to open any of its. Who
    watches asks all."""
    if spec.name in WATCHES:
        for name in services_watched(proxied=bool(environment.iap_audience)):
            yield binding(f"run/{service_of(name)}", "roles/run.invoker", member)
        return
    pipeline = PIPELINES.get(spec.pipeline)
    decides = spec.kind is FunctionKind.GATE or spec.name in SEES_ALL or PREDICTION_START_TOPIC in spec.listens
    for phase in pipeline.phases if pipeline and decides else ():
        for name in services_behind(phase.start_topic) if HEALTH in phase.readings else ():
            yield binding(f"run/{service_of(name)}", "roles/run.invoker", member)


# --- who calls ------------------------------------------------------------------------------------------


def _callers(environment: Environment, functions: Sequence[FunctionSpec]) -> Iterator[Resource]:
    woken = {name for spec in PIPELINES.values() for schedule in spec.schedules for name in schedule.wakes}
    for spec in functions:
        on = f"run/{service_of(spec.name)}"
        if pushed_topics(spec):
            yield binding(on, "roles/run.invoker", account(PUSHER, environment))
        if spec.name in woken:
            yield binding(on, "roles/run.invoker", account(SCHEDULER, environment))
        if spec.name == "self_heal":  # asked from outside whether it lives; by whom, monitoring says
            yield binding(on, "roles/run.invoker", agent("monitoring-notification", environment))
        if spec.name in BEHIND_PROXY and environment.iap_audience:  # people go through it, and it alone comes
            yield binding(on, "roles/run.invoker", agent("iap", environment))
        elif spec.asked_by_people:
            for member in environment.operators:
                yield binding(on, "roles/run.invoker", member)


def _agents(environment: Environment, functions: Sequence[FunctionSpec]) -> Iterator[Resource]:
    """Pub/Sub itself moves dead letters, and makes the tokens of its pushes."""
    pubsub = agent("pubsub", environment)
    yield binding(f"account/{PUSHER}", "roles/iam.serviceAccountTokenCreator", pubsub)
    for spec in functions:
        for topic in pushed_topics(spec):
            subscription = subscription_of(spec.name, topic)
            yield binding(f"topic/{subscription}{DEAD}", "roles/pubsub.publisher", pubsub)
            yield binding(f"subscription/{subscription}", "roles/pubsub.subscriber", pubsub)


# --- what a pipeline says of it -------------------------------------------------------------------------


def _heard(phases: Sequence[PhaseSpec], spec: FunctionSpec) -> list[PhaseSpec]:
    return [phase for phase in phases if phase.start_topic in spec.listens]


def _is_batched(phase: PhaseSpec) -> bool:
    return phase.start_topic == PREDICTION_START_TOPIC


def _completions(phases: Sequence[PhaseSpec], spec: FunctionSpec) -> list[str]:
    return [phase.completion_topic for phase in _heard(phases, spec)]


def _written(phase: PhaseSpec) -> set[str]:
    """The datasets of a phase's own tables; documents are no table."""
    if phase.name == "export":
        return set()
    return {table_of(phase.name, spec.name).partition(".")[0] for spec in phase.processors}


def _bucket(url: str) -> str:
    return url.removeprefix("gs://").partition("/")[0]


def topics(pipelines: Sequence[PipelineSpec], functions: Sequence[FunctionSpec]) -> tuple[str, ...]:
    """Every topic on which anybody speaks or listens, but for dead letters."""
    spoken = {
        topic for spec in pipelines for phase in spec.phases for topic in (phase.start_topic, phase.completion_topic)
    }
    heard = {topic for spec in functions for topic in (*pushed_topics(spec), *published(spec))}
    return tuple(sorted(spoken | heard))
