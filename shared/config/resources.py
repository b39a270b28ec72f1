"""What there should be on Google Cloud, of an environment: for bin/deploy, which makes it, and doctor, which compares.

Pure: from the declared pipelines, functions and schedules to values. What is made elsewhere is made the same way:
`tipoff up` subscribes its functions with the same names and limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from shared.config import access
from shared.config.deployment import (
    ACK_DEADLINE_S,
    ATTEMPTS_MAX,
    PAUSE_MAX_S,
    PAUSE_S,
    RUNTIME,
    SECRET_VERSION,
    Environment,
    account_of,
    labels_of,
    secret_of,
    service_of,
    url_at,
    variables_of,
)
from shared.config.functions import FUNCTIONS, FunctionSpec, pushed_topics
from shared.config.orchestration_config import PIPELINES
from shared.core.drift import HAS_VALUE, LABEL, NEVER, NEWEST, PINNED, VARIABLE, Kind, Resource, Value, flat
from shared.core.messages import spoken
from shared.core.model import ScheduleSpec
from shared.core.plan import config_hash
from shared.core.subscriptions import AT_THE_TOPIC, DEAD, DEAD_LABELS, subscription_of

KEPT_S = 7 * 86_400  # unacknowledged messages: what is a week late the sweep has long made good
DEAD_KEPT_S = 14 * 86_400  # dead letters: two weeks for a person to look at them

EVERY_MINUTE = "* * * * *"
RETRIES = 5  # of a job that comes once a day; the next minute's comes anyway
RETRY_S, RETRY_MAX_S, RETRY_DOUBLINGS = 120, 1_800, 5  # the last an hour later: a chat may be down for so long
SCHEDULER_S_MAX = 1_800  # Cloud Scheduler waits no longer for an answer


GOOGLES = {
    Kind.TOPIC: ("container-analysis-*", "cloud-builds", "gcr"),
    Kind.ACCOUNT: ("firebase-adminsdk-*",),
    Kind.FIELD: ("__default__.*",),
}
"""Names of what Google's services make in a project by themselves."""

ACTS_AS = "roles/iam.serviceAccountUser"

DECLARED_ALONE = (Kind.DATASET,)
"""Kinds of which a project may hold others that are none of ours."""


def declared(
    environment: Environment,
    *,
    commit: str,
    indexes: Mapping[str, Any],
    monitoring: Mapping[str, Sequence[Mapping[str, object]]],
) -> tuple[Resource, ...]:
    """All of it. `indexes` is what firestore.indexes.json says; `monitoring`, what is generated for the environment."""
    return (
        *_topics(),
        *_subscriptions(environment),
        *(Resource(kind=Kind.ACCOUNT, name=name, fields={"disabled": False}) for name in access.accounts()),
        *_datasets(environment),
        *_secrets(),
        *access.bindings(environment),
        *_indexes(indexes),
        *_schedules(environment),
        *(_function(spec, environment, commit) for spec in FUNCTIONS),
        *_monitoring(monitoring),
    )


def concerns(live: Resource, environment: Environment) -> bool:
    """Whether something that is not declared is ours to wonder about. People's rights on the project and on tables are
    not, nor who may act as an account, which whoever deploys must, nor what Google's services make and hold by
    themselves; the whole world's always is, and what our own accounts may do."""
    patterns = (*GOOGLES.get(live.kind, ()), *_others(live.kind, environment))
    if any(fnmatchcase(live.name, pattern) for pattern in patterns) or live.kind in DECLARED_ALONE:
        return False
    if live.kind is not Kind.BINDING:
        return True
    on, member = str(live.fields["on"]), str(live.fields["member"])
    if member in ("allUsers", "allAuthenticatedUsers"):
        return True
    if on.startswith("account/") and live.fields["role"] == ACTS_AS:
        return member in {access.account(name, environment) for name in access.accounts()}
    kind, _, whom = member.partition(":")
    if kind == "serviceAccount":
        name, _, domain = whom.partition("@")
        is_left = any(fnmatchcase(name, pattern) for pattern in _others(Kind.ACCOUNT, environment))
        return domain == f"{environment.project}.iam.gserviceaccount.com" and not is_left
    return kind in ("user", "group", "domain") and on.startswith(("run/", "secret/", "account/"))


def urls(environment: Environment) -> dict[str, str]:
    """Where each function answers, by the name that it has on Google Cloud."""
    return {service_of(spec.name): url_at(environment, spec.name) for spec in FUNCTIONS}


def asked_by_people() -> tuple[str, ...]:
    """The functions that nothing but a person may invoke, by the same names."""
    return tuple(service_of(spec.name) for spec in FUNCTIONS if spec.asked_by_people)


def _others(kind: Kind, environment: Environment) -> list[str]:
    return [each.partition("/")[2] for each in environment.others if each.partition("/")[0] == kind]


# --- topics and subscriptions ---------------------------------------------------------------------------


def _topics() -> Iterator[Resource]:
    dead = [f"{subscription_of(spec.name, topic)}{DEAD}" for spec in FUNCTIONS for topic in pushed_topics(spec)]
    for name in (*access.topics(tuple(PIPELINES.values()), FUNCTIONS), *dead):
        yield Resource(kind=Kind.TOPIC, name=name, fields={"retention_s": None})  # the sweep needs no message twice


def _subscriptions(environment: Environment) -> Iterator[Resource]:
    for spec in FUNCTIONS:
        for topic in pushed_topics(spec):
            name, url = subscription_of(spec.name, topic), url_at(environment, spec.name)
            fields: dict[str, Value] = {
                **_subscription(topic, KEPT_S),
                "push_endpoint": url,
                "push_account": account_of(access.PUSHER, environment.project),
                "push_audience": url,
                "ack_deadline_s": ACK_DEADLINE_S,
                "dead_letter_topic": name + DEAD,
                "attempts_max": ATTEMPTS_MAX,
                "pause_s": PAUSE_S,
                "pause_max_s": PAUSE_MAX_S,
            }
            yield Resource(kind=Kind.SUBSCRIPTION, name=name, fields=fields)
            kept = {**_subscription(name + DEAD, DEAD_KEPT_S), "ack_deadline_s": 10}  # Google's own; people pull them
            kept |= {f"{LABEL}{label}": value for label, value in DEAD_LABELS.items()}
            yield Resource(kind=Kind.SUBSCRIPTION, name=name + DEAD, fields=kept)


def _subscription(topic: str, kept_s: int) -> dict[str, Value]:
    """What all have. What is None must not be there."""
    return {
        "topic": topic,
        "retention_s": kept_s,
        "expires": NEVER,
        "filter": None,
        "ordering": False,
        "exactly_once": False,
        "detached": False,
    }


# --- schedules ------------------------------------------------------------------------------------------


def job_of(pipeline: str, schedule: str, function: str) -> str:
    """What the Cloud Scheduler job is called by which a schedule wakes a function."""
    return f"{pipeline}-{schedule}{AT_THE_TOPIC}{service_of(function)}"


def jobs() -> Iterator[tuple[str, str, ScheduleSpec, FunctionSpec]]:
    """Every job: its name, the pipeline, the schedule, and whom it wakes."""
    specs = {spec.name: spec for spec in FUNCTIONS}
    for pipeline in PIPELINES.values():
        for schedule in pipeline.schedules:
            for name in schedule.wakes:
                yield job_of(pipeline.name, schedule.name, name), pipeline.name, schedule, specs[name]


def _schedules(environment: Environment) -> Iterator[Resource]:
    for job, pipeline, schedule, spec in jobs():
        url, again = url_at(environment, spec.name), schedule.cron != EVERY_MINUTE
        fields: dict[str, Value] = {
            "cron": schedule.cron,
            "zone": schedule.zone,
            "url": url,
            "method": "POST",
            "body": spoken(schedule, pipeline).decode(),
            "content_type": "application/json",
            "account": account_of(access.SCHEDULER, environment.project),
            "audience": url,
            "deadline_s": min(spec.timeout_s, SCHEDULER_S_MAX),
            "retries": RETRIES if again else 0,
            "retry_s": RETRY_S,
            "retry_max_s": RETRY_MAX_S,
            "retry_doublings": RETRY_DOUBLINGS,
            "state": "ENABLED",
        }
        yield Resource(kind=Kind.SCHEDULE, name=job, fields=fields)


# --- the rest -------------------------------------------------------------------------------------------


def _datasets(environment: Environment) -> Iterator[Resource]:
    for name in access.datasets(environment):
        is_staging = name.endswith(access.STAGING)
        fields: dict[str, Value] = {"location": environment.location, "expires_s": 86_400 if is_staging else None}
        yield Resource(kind=Kind.DATASET, name=name, fields=fields)


def _secrets() -> Iterator[Resource]:
    for name in sorted({secret_of(variable) for spec in FUNCTIONS for variable in spec.secrets}):
        yield Resource(kind=Kind.SECRET, name=name, fields={HAS_VALUE: True})


def _indexes(indexes: Mapping[str, Any]) -> Iterator[Resource]:
    """From the file's own words, which are those of Firestore's command line."""
    for each in indexes["indexes"]:
        over = tuple(f"{field['fieldPath']} {field['order']}" for field in each["fields"])
        fields: dict[str, Value] = {"scope": each["queryScope"], "state": "READY"}
        yield Resource(kind=Kind.INDEX, name=f"{each['collectionGroup']}: {', '.join(over)}", fields=fields)
    for each in indexes["fieldOverrides"]:
        made = tuple(sorted(f"{index['order']} {index['queryScope']}" for index in each["indexes"]))
        fields = {"indexes": made, "time_to_live": True if each.get("ttl") else None}
        yield Resource(kind=Kind.FIELD, name=f"{each['collectionGroup']}.{each['fieldPath']}", fields=fields)


def _function(spec: FunctionSpec, environment: Environment, commit: str) -> Resource:
    declared_hash = config_hash(PIPELINES[spec.pipeline]) if spec.pipeline in PIPELINES else ""
    variables = {f"{VARIABLE}{name}": value for name, value in variables_of(environment, spec, commit).items()}
    fields: dict[str, Value] = {
        "state": "ACTIVE",
        "runtime": RUNTIME,
        "entry_point": spec.name,
        "account": account_of(spec.name, environment.project),
        "memory_mb": spec.memory_mb,
        "cpu": spec.cpu,
        "concurrency": spec.concurrency,
        "min_instances": spec.min_instances,
        "max_instances": spec.max_instances,
        "timeout_s": spec.timeout_s,
        "ingress": str(spec.ingress),
        "traffic": PINNED,
        "serves": NEWEST,
        **{f"secret.{variable}": f"{secret_of(variable)}:{SECRET_VERSION}" for variable in spec.secrets},
        **{f"{LABEL}{name}": value for name, value in labels_of(spec, commit, declared_hash).items()},
        **variables,
    }
    return Resource(kind=Kind.FUNCTION, name=service_of(spec.name), fields=fields)


MONITORED = {
    "metric_descriptors": Kind.METRIC,
    "services": Kind.SERVICE,
    "slos": Kind.OBJECTIVE,
    "uptime_checks": Kind.UPTIME,
    "alert_policies": Kind.POLICY,
    "dashboards": Kind.DASHBOARD,
}
"""What is generated, by the kind that it is of."""


def _monitoring(generated: Mapping[str, Sequence[Mapping[str, object]]]) -> Iterator[Resource]:
    """Each by its own id; a metric, by its type. What it is called is not compared: Google tells names of services and
    objectives with the project's number, whatever they were made with."""
    for key, bodies in generated.items():
        for body in bodies:
            kind = MONITORED[key]
            labels: Any = body.get("userLabels") or body.get("labels")
            name = str(body["type"]) if kind is Kind.METRIC else str(labels["id"])
            told = {key: value for key, value in body.items() if key != "name"}
            yield Resource(kind=kind, name=name, fields=flat(told), seen={"body": json.dumps(body)})
