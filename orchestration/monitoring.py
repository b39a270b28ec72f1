"""What Cloud Monitoring is to hold, generated from the declared functions, schedules, SLOs and metrics. For bin/deploy.

Pure: resources as the JSON that Google's interfaces take, by kind, in the order in which they are made. What carries
`name` has a name of ours; the rest Google names, and it is found again by its labels `app` and `id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.config.deployment import Environment, service_of, url_at
from shared.config.functions import FUNCTIONS
from shared.config.metrics import METRICS, metric
from shared.config.orchestration_config import PIPELINES
from shared.config.slos import SLOS
from shared.core.heartbeat import BEAT_MAX, SELF_HEAL
from shared.core.measures import MetricKind, MetricSpec
from shared.core.slo import Of, SloSpec
from shared.core.subscriptions import DEAD

Resource = Mapping[str, object]

PREFIX = "workload.googleapis.com/"
"""What the OpenTelemetry collector's exporter for Google Cloud puts before a metric's name."""

RESOURCE = "generic_task"
"""What that exporter makes of a service's name and instance."""

ASKED_FROM = ("USA_IOWA", "EUROPE", "ASIA_PACIFIC")
"""One place each, and three is the fewest that Cloud Monitoring takes; from all of them it would cost twice as much."""

WATCHED = "self_heal"
"""The function that the world outside asks each minute whether it lives."""

COLUMNS, TILE = 48, 16
"""Of a dashboard, and the side of a tile: three stand beside each other."""

PERIOD_MAX_DAYS = 30
"""Cloud Monitoring keeps no SLO over a longer time; `tipoff slo` does."""

DAY_S = 86_400
LATE_A_DAY = 0.25
"""Of a window's late minutes, in one day: seven times what it may be, and the budget is gone in four."""

PAGE, WARN = "CRITICAL", "WARNING"


def generated(environment: Environment) -> Mapping[str, tuple[Resource, ...]]:
    """Each kind of resource with all that there should be of it; what a policy names is made before it."""
    return {
        "metric_descriptors": tuple(_descriptor(environment, spec) for spec in METRICS),
        "services": tuple(_service(environment, name) for name in PIPELINES),
        "slos": tuple(_slo(environment, spec) for spec in SLOS if spec.window_days <= PERIOD_MAX_DAYS),
        "uptime_checks": (_uptime_check(environment),),
        "alert_policies": tuple(_policies(environment)),
        "dashboards": (_dashboard(),),
    }


# --- metrics and objectives --------------------------------------------------------------------------------


def _descriptor(environment: Environment, spec: MetricSpec) -> Resource:
    kind = f"{PREFIX}{spec.name}"
    value = "DISTRIBUTION" if spec.kind is MetricKind.HISTOGRAM else "INT64" if spec.is_whole else "DOUBLE"
    return {
        "name": f"projects/{environment.project}/metricDescriptors/{kind}",
        "type": kind,
        "metricKind": "GAUGE" if spec.kind is MetricKind.GAUGE else "CUMULATIVE",
        "valueType": value,
        "unit": spec.unit,
        "description": spec.does,
        "displayName": spec.name,
        "labels": [{"key": label, "valueType": "STRING"} for label in spec.labels],
    }


def _service(environment: Environment, pipeline: str) -> Resource:
    name = f"projects/{environment.project}/services/tipoff-{pipeline}"
    return {"name": name, "displayName": f"Tipoff: {pipeline}", "custom": {}, "userLabels": _labels(pipeline)}


def _slo(environment: Environment, spec: SloSpec) -> Resource:
    about = {"pipeline": spec.pipeline, "kind": str(spec.measured), **({"phase": spec.phase} if spec.phase else {})}
    events = "tipoff.slo.events"
    return {
        "name": f"projects/{environment.project}/services/tipoff-{spec.pipeline}/serviceLevelObjectives/{spec.name}",
        "displayName": f"{spec.pipeline}: {spec.name}",
        "goal": spec.objective,
        "rollingPeriod": f"{spec.window_days * DAY_S}s",
        "serviceLevelIndicator": {
            "requestBased": {
                "goodTotalRatio": {
                    "goodServiceFilter": _ours(events, **about, result="good"),
                    "totalServiceFilter": _ours(events, **about),
                }
            }
        },
        "userLabels": _labels(f"{spec.pipeline}-{spec.name}"),
    }


def _uptime_check(environment: Environment) -> Resource:
    """Of a private function: Cloud Monitoring shows a token of its own account, whose audience is the address."""
    host = _host(environment)
    return {
        "displayName": f"Tipoff: {service_of(WATCHED)} is ready",
        "monitoredResource": {"type": "uptime_url", "labels": {"project_id": environment.project, "host": host}},
        "httpCheck": {
            "requestMethod": "GET",
            "useSsl": True,
            "validateSsl": True,
            "port": 443,
            "path": "/ready",
            "acceptedResponseStatusCodes": [{"statusClass": "STATUS_CLASS_2XX"}],
            "serviceAgentAuthentication": {"type": "OIDC_TOKEN"},
        },
        "contentMatchers": [{"content": f'"service": "{WATCHED}"', "matcher": "CONTAINS_STRING"}],
        "period": "60s",
        "timeout": "10s",
        "selectedRegions": list(ASKED_FROM),
        "userLabels": _labels(f"{service_of(WATCHED)}-ready"),
    }


# --- what people are told from outside -----------------------------------------------------------------------


def _policies(environment: Environment) -> Iterable[Resource]:
    yield _heartbeat(environment)
    yield _policy(
        environment,
        "dead-letters",
        "messages died",
        "What may have passed has been sent again twice. `tipoff dlq list` shows the rest, and why.",
        [_above("dead letters wait", _dead_letters(), _sums("ALIGN_MAX", "resource.label.subscription_id"), 0, "600s")],
    )
    yield _policy(
        environment,
        "function-errors",
        "a function fails",
        "Its messages come again and end in the dead letters; its logs say why. `tipoff doctor` says what has changed.",
        [_above("answers of 500", _errors(), _sums("ALIGN_DELTA", "resource.label.service_name", period_s=600), 10)],
    )
    yield _policy(
        environment,
        "ready-not-fired",
        "a gate could have opened, and did not",
        "Messages were lost and the timer was out; both are healed by then, so nobody gets up. `tipoff slo` names the "
        "runs, `tipoff explain RUN` what woke them.",
        [_above("late gates", _ours("tipoff.slo.events", kind="ready", result="bad"), _sums("ALIGN_DELTA"), 0)],
    )
    for name, pattern, why in (
        ("quarantined", "^quarantined ", "A message can never work. `tipoff dlq list` shows it, and why."),
        ("sweep-parts", "^one part of a sweep failed", "The next round tries it again; the line says what it raised."),
    ):
        yield _policy(environment, name, f"log line: {name}", why, [_line_matches(pattern)])
    yield _policy(
        environment,
        "schedules",
        "a schedule could not reach its function",
        "The sweep begins what was missed. `tipoff doctor` says whether the schedule and its rights are as declared.",
        [_schedule_fails()],
    )
    for spec in SLOS:
        if not spec.phase and spec.window_days <= PERIOD_MAX_DAYS:
            yield _burn(environment, spec)


def _heartbeat(environment: Environment) -> Resource:
    """The dead man's switch: who is paused says nothing, so somebody outside asks, and misses what should come."""
    every = next(s.cron for spec in PIPELINES.values() for s in spec.schedules if s.name == SELF_HEAL)
    asked = (
        'metric.type="monitoring.googleapis.com/uptime_check/check_passed" AND resource.type="uptime_url" '
        f'AND resource.labels.host="{_host(environment)}"'
    )
    fails = {
        "displayName": "/ready fails, or nobody answers",
        "conditionThreshold": {
            "filter": asked,
            "aggregations": [
                {
                    "alignmentPeriod": "120s",
                    "perSeriesAligner": "ALIGN_NEXT_OLDER",
                    "crossSeriesReducer": "REDUCE_COUNT_FALSE",
                    "groupByFields": ["resource.label.host"],
                }
            ],
            "comparison": "COMPARISON_GT",
            "thresholdValue": 1,  # of the places that it is asked from one may have a bad day
            "duration": "120s",
        },
    }
    silent = {
        "displayName": f"no round of {SELF_HEAL}, due by {every}",
        "conditionAbsent": {
            "filter": _ours("tipoff.sweep.duration"),
            "aggregations": [_sums("ALIGN_DELTA")],
            "duration": f"{BEAT_MAX.seconds}s",
        },
    }
    why = (
        "Mostly the timer does not go its rounds: nothing heals, and no incident is told. Is the schedule self-heal "
        "there, and not paused? `tipoff doctor` says so. Or self_heal cannot do all of its work, such as telling "
        "people by a secret that is none: its /ready names what fails."
    )
    conditions = [fails, *([silent] if environment.collector else [])]  # without one nobody hears of a round
    return _policy(environment, "heartbeat", "the timer is dead", why, conditions, severity=PAGE)


def _burn(environment: Environment, spec: SloSpec) -> Resource:
    """Late minutes and a minimum of bad events, both in one day: a ratio of five events would page for any one."""
    about = {"pipeline": spec.pipeline, "kind": str(spec.measured)}
    late_s, day = LATE_A_DAY * spec.late_minutes * 60, _sums("ALIGN_DELTA", period_s=DAY_S)
    what = "runs" if spec.of is Of.RUN else "transitions"
    conditions = [
        _above(f"late for {late_s / 60:g} minutes in a day", _ours("tipoff.slo.late", **about), day, late_s),
        _above(
            f"{spec.bad_min} bad {what} in a day",
            _ours("tipoff.slo.events", **about, result="bad"),
            day,
            spec.bad_min - 1,
        ),
    ]
    why = f"At this rate the late minutes of {spec.window_days} days are gone in four. `tipoff slo` names the worst."
    title = f"{spec.pipeline}: {spec.name} burns"
    return _policy(environment, f"burn-{spec.pipeline}-{spec.name}", title, why, conditions, combiner="AND")


def _policy(
    environment: Environment,
    id: str,
    title: str,
    why: str,
    conditions: Sequence[Resource],
    *,
    severity: str = WARN,
    combiner: str = "OR",
) -> Resource:
    channel = environment.page_channel if severity == PAGE else environment.warn_channel
    lines = any("conditionMatchedLog" in condition for condition in conditions)
    return {
        "displayName": f"Tipoff: {title}",
        "documentation": {"content": why, "mimeType": "text/markdown"},
        "severity": severity,
        "combiner": combiner,
        "conditions": list(conditions),
        "notificationChannels": [f"projects/{environment.project}/notificationChannels/{channel}"] if channel else [],
        "alertStrategy": {
            "autoClose": "86400s",
            **({"notificationRateLimit": {"period": "3600s"}} if lines else {}),  # wanted for lines, refused else
        },
        "userLabels": _labels(id),
    }


def _above(name: str, series: str, aggregation: Resource, threshold: float, duration: str = "0s") -> Resource:
    return {
        "displayName": name,
        "conditionThreshold": {
            "filter": series,
            "aggregations": [aggregation],
            "comparison": "COMPARISON_GT",
            "thresholdValue": threshold,
            "duration": duration,
        },
    }


def _line_matches(pattern: str) -> Resource:
    services = " OR ".join(f'"{service_of(spec.name)}"' for spec in FUNCTIONS)
    said = f'jsonPayload.logger="tipoff.edge" AND jsonPayload.message=~"{pattern}"'
    where = f'resource.type="cloud_run_revision" AND resource.labels.service_name=({services})'
    return {"displayName": pattern, "conditionMatchedLog": {"filter": f"{where} AND severity>=ERROR AND {said}"}}


def _schedule_fails() -> Resource:
    names = sorted({schedule.name for spec in PIPELINES.values() for schedule in spec.schedules})
    jobs = " OR ".join(f'"{name}"' for name in names)
    said = f'resource.type="cloud_scheduler_job" AND resource.labels.job_id:({jobs}) AND severity>=ERROR'
    return {"displayName": "its job ended in an error", "conditionMatchedLog": {"filter": said}}


# --- the dashboard -------------------------------------------------------------------------------------------


def _dashboard() -> Resource:
    tiles = [
        _chart("published in time, or not", _ours("tipoff.slo.events", kind="published"), _by("result"), bars=True),
        _chart("late seconds", _ours("tipoff.slo.late"), _by("kind"), bars=True),
        _chart("decisions", _ours("tipoff.decisions"), _by("kind"), bars=True),
        _chart("ready and not fired, p95 s", _ours("tipoff.ready.duration"), _p95("phase")),
        _chart("transition, p95 s", _ours("tipoff.transition.duration"), _p95("phase")),
        _chart("starts", _ours("tipoff.starts"), _by("phase"), bars=True),
        _chart("what the backup did", _ours("tipoff.repairs"), _by("kind"), bars=True),
        _chart("incidents", _ours("tipoff.incidents"), _by("kind", "result"), bars=True),
        _chart("units of batches", _ours("tipoff.batch.units"), _by("kind"), bars=True),
        _chart("dead letters waiting", _dead_letters(), _sums("ALIGN_MAX", "resource.label.subscription_id")),
        _chart("dead letters, seen by the timer", _ours("tipoff.dead_letters"), _sums("ALIGN_MAX")),
        _chart("answers of 500", _errors(), _sums("ALIGN_DELTA", "resource.label.service_name"), bars=True),
        _chart("rounds of the timer, p95 s", _ours("tipoff.sweep.duration"), _p95()),
        _chart("age of the heartbeat, s", _ours("tipoff.heartbeat.age"), _sums("ALIGN_MAX")),
    ]
    placed = [
        {"xPos": n * TILE % COLUMNS, "yPos": n * TILE // COLUMNS * TILE, "width": TILE, "height": TILE, "widget": tile}
        for n, tile in enumerate(tiles)
    ]
    return {
        "displayName": "Tipoff",
        "mosaicLayout": {"columns": COLUMNS, "tiles": placed},
        "labels": _labels("tipoff"),
    }


def _chart(title: str, series: str, aggregation: Resource, *, bars: bool = False) -> Resource:
    query = {"timeSeriesQuery": {"timeSeriesFilter": {"filter": series, "aggregation": aggregation}}}
    kind = "STACKED_BAR" if bars else "LINE"
    return {"title": title, "xyChart": {"dataSets": [{**query, "plotType": kind, "targetAxis": "Y1"}]}}


# --- filters and sums ----------------------------------------------------------------------------------------


def _ours(name: str, **labels: str) -> str:
    """Series of a declared metric; what is not declared would be a policy that never fires."""
    spec = metric(name)
    unknown = sorted(labels.keys() - set(spec.labels))
    assert not unknown, f"{name} has no label {unknown}"
    wanted = [f'metric.type="{PREFIX}{name}"', f'resource.type="{RESOURCE}"']
    return " AND ".join(wanted + [f'metric.labels.{label}="{value}"' for label, value in labels.items()])


def _dead_letters() -> str:
    kind = 'metric.type="pubsub.googleapis.com/subscription/num_undelivered_messages"'
    return f'{kind} AND resource.type="pubsub_subscription" AND resource.labels.subscription_id=ends_with("{DEAD}")'


def _errors() -> str:
    """Answers of 500 and above, of our functions alone; a /ready that says no is among them."""
    names = ", ".join(f'"{service_of(spec.name)}"' for spec in FUNCTIONS)
    return (
        'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision" '
        f'AND resource.labels.service_name=one_of({names}) AND metric.labels.response_code_class="5xx"'
    )


def _sums(aligner: str, *by: str, period_s: int = 300, reducer: str = "REDUCE_SUM") -> Resource:
    """Of all instances together: each is a series of its own, and one that ends is no news."""
    return {
        "alignmentPeriod": f"{period_s}s",
        "perSeriesAligner": aligner,
        "crossSeriesReducer": reducer,
        "groupByFields": list(by),
    }


def _by(*labels: str) -> Resource:
    return _sums("ALIGN_DELTA", *(f"metric.label.{label}" for label in labels), period_s=3_600)


def _p95(*labels: str) -> Resource:
    by = (f"metric.label.{label}" for label in labels)
    return _sums("ALIGN_DELTA", *by, period_s=3_600, reducer="REDUCE_PERCENTILE_95")


def _labels(id: str) -> dict[str, str]:
    return {"app": "tipoff", "id": id}


def _host(environment: Environment) -> str:
    return url_at(environment, WATCHED).removeprefix("https://")
