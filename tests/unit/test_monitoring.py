"""What is generated for Cloud Monitoring: parsed by Google's own types, and checked where those look away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from cronsim import CronSim
from google.api.metric_pb2 import MetricDescriptor
from google.cloud.monitoring_dashboard_v1 import Dashboard
from google.cloud.monitoring_v3 import AlertPolicy, Service, ServiceLevelObjective, UptimeCheckConfig
from google.protobuf.json_format import ParseDict, ParseError

from orchestration.monitoring import COLUMNS, PREFIX, generated
from shared.config.deployment import ENVIRONMENTS, Environment
from shared.config.functions import FUNCTIONS
from shared.config.metrics import METRICS
from shared.config.orchestration_config import PIPELINES
from shared.config.slos import SLOS
from shared.core.cost import UPTIME_PLACES
from tests.house.tree import ROOT

TYPES = {
    "metric_descriptors": MetricDescriptor,
    "services": Service.pb(),
    "slos": ServiceLevelObjective.pb(),
    "uptime_checks": UptimeCheckConfig.pb(),
    "alert_policies": AlertPolicy.pb(),
    "dashboards": Dashboard.pb(),
}
WATCHED = replace(ENVIRONMENTS[0], collector="http://127.0.0.1:4318", page_channel="123", warn_channel="456")
GOOGLES = {
    "monitoring.googleapis.com/uptime_check/check_passed",
    "pubsub.googleapis.com/subscription/num_undelivered_messages",
    "run.googleapis.com/request_count",
}
"""Metrics that Google writes; all others must be ours."""


def parsed(kind: str, resource: Mapping[str, object]) -> Any:
    return ParseDict(resource, TYPES[kind](), ignore_unknown_fields=False)


def resources(environment: Environment = WATCHED) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, all_of_them in generated(environment).items():
        for resource in all_of_them:
            yield kind, resource


def texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a resource, with the key that it stands under."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from texts(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def filters(kind: str | None = None) -> list[str]:
    return [
        text
        for name, resource in resources()
        if kind in (None, name)
        for key, text in texts(resource)
        if key in ("filter", "goodServiceFilter", "totalServiceFilter")
    ]


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, WATCHED], ids=["dev", "prod", "with all references"])
def test_google_takes_every_resource(environment: Environment) -> None:
    for kind, resource in resources(environment):
        parsed(kind, resource)


@pytest.mark.parametrize("kind", TYPES)
def test_what_google_does_not_know_is_refused(kind: str) -> None:
    with pytest.raises(ParseError, match="no field named"):
        parsed(kind, {**generated(WATCHED)[kind][0], "displayNam": "x"})


def test_it_is_the_same_every_time() -> None:
    assert json.dumps(generated(WATCHED)) == json.dumps(generated(WATCHED))


def test_each_resource_is_found_again_by_its_name_or_its_labels() -> None:
    found = []
    for kind, resource in resources():
        labels = resource.get("userLabels", resource.get("labels"))
        name = resource.get("name")
        assert name or (isinstance(labels, Mapping) and labels["app"] == "tipoff"), resource
        found.append((kind, name or labels["id"]))
        assert kind == "metric_descriptors" or re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", labels["id"]), labels
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("text", sorted(set(filters())))
def test_a_filter_names_a_metric_that_is_emitted_by_its_labels_or_lines_of_a_log(text: str) -> None:
    names = re.findall(r'metric\.type="([^"]+)"', text)
    if not names:
        assert 'resource.type="cloud_' in text, "a log filter says whose lines"
        return
    [name] = names
    assert len(re.findall(r'resource\.type="', text)) == 1
    if name in GOOGLES:
        return
    spec = {f"{PREFIX}{metric.name}": metric for metric in METRICS}[name]
    assert set(re.findall(r"metric\.labels\.(\w+)=", text)) <= set(spec.labels)


def test_what_is_grouped_by_is_a_label_of_the_metric() -> None:
    charts = [
        tile["widget"]["xyChart"]["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]
        for tile in generated(WATCHED)["dashboards"][0]["mosaicLayout"]["tiles"]  # type: ignore[index]
    ]
    specs = {f"{PREFIX}{metric.name}": metric for metric in METRICS}
    for chart in charts:
        [name] = re.findall(r'metric\.type="([^"]+)"', chart["filter"])
        grouped = [field for field in chart["aggregation"]["groupByFields"] if field.startswith("metric.")]
        assert {field.removeprefix("metric.label.") for field in grouped} <= set(specs[name].labels if grouped else ())


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_on_the_dashboard(metric: Any) -> None:
    assert any(f'"{PREFIX}{metric.name}"' in text for text in filters("dashboards"))


def test_tiles_stand_in_the_grid_and_beside_each_other() -> None:
    [dashboard] = generated(WATCHED)["dashboards"]
    taken: set[tuple[int, int]] = set()
    for tile in dashboard["mosaicLayout"]["tiles"]:  # type: ignore[index]
        assert 0 < tile["width"] <= COLUMNS - tile["xPos"]
        squares = {
            (x, y)
            for x in range(tile["xPos"], tile["xPos"] + tile["width"])
            for y in range(tile["yPos"], tile["yPos"] + tile["height"])
        }
        assert not taken & squares
        taken |= squares


def test_every_duration_is_in_whole_seconds_and_no_longer_than_google_looks_back() -> None:
    found = 0
    for kind, resource in resources():
        for key, text in texts(resource):
            if key in ("alignmentPeriod", "duration", "period", "timeout", "autoClose", "rollingPeriod"):
                assert re.fullmatch(r"\d+s", text), text
                longest = 30 * 86_400 if kind == "slos" else 86_400
                assert int(text[:-1]) <= longest
                found += 1
    assert found > 20


@pytest.mark.parametrize("slo", generated(WATCHED)["slos"], ids=lambda slo: slo["displayName"])
def test_an_objective_can_be_missed_and_met_within_whole_days(slo: Any) -> None:
    assert 0 < slo["goal"] < 1
    assert int(slo["rollingPeriod"][:-1]) % 86_400 == 0
    service, _, id = slo["name"].rpartition("/serviceLevelObjectives/")
    assert service in [service["name"] for service in generated(WATCHED)["services"]]
    assert re.fullmatch(r"[a-z0-9-]{1,63}", id)


def test_a_service_has_an_objective_of_every_declared_one_that_google_can_keep() -> None:
    ids = [slo["name"].rsplit("/", 1)[1] for slo in generated(WATCHED)["slos"]]  # type: ignore[attr-defined]
    assert ids == [slo.name for slo in SLOS if slo.window_days <= 30]


def test_every_function_and_every_schedule_is_watched() -> None:
    told = " ".join(filters("alert_policies"))
    assert not [spec.name for spec in FUNCTIONS if f'"{spec.name.replace("_", "-")}"' not in told]
    schedules = [schedule for spec in PIPELINES.values() for schedule in spec.schedules]
    assert not [schedule.name for schedule in schedules if f'"{schedule.name}"' not in told]
    for schedule in schedules:
        CronSim(schedule.cron, datetime(2026, 1, 1, tzinfo=timezone.utc))


def test_the_timer_is_asked_from_outside_as_one_that_may_ask() -> None:
    [check] = generated(WATCHED)["uptime_checks"]
    message = parsed("uptime_checks", check)
    assert message.http_check.path == "/ready"
    assert message.monitored_resource.labels["host"] == "self-heal-100000000001.us-central1.run.app"
    assert message.http_check.service_agent_authentication.type_ == 1, "OIDC_TOKEN"
    assert len({*message.selected_regions}) == UPTIME_PLACES >= 3, "three is the fewest that are taken"


def test_the_answer_that_is_looked_for_is_the_one_that_it_gives() -> None:
    [check] = generated(WATCHED)["uptime_checks"]
    said = json.dumps({"status": "ready", "service": "self_heal", "version": "0123abc"})
    assert check["contentMatchers"][0]["content"] in said  # type: ignore[index]


def policy(id: str, environment: Environment = WATCHED) -> Any:
    [found] = [each for each in generated(environment)["alert_policies"] if each["userLabels"]["id"] == id]  # type: ignore[index]
    return found


def test_a_dead_timer_and_a_late_gate_get_a_person_up_and_the_rest_can_wait() -> None:
    policies: Any = generated(WATCHED)["alert_policies"]
    paged = {each["userLabels"]["id"] for each in policies if each["notificationChannels"][0].endswith("/123")}
    assert paged == {"heartbeat", "ready-not-fired"}
    assert {each["severity"] for each in policies if each["userLabels"]["id"] not in paged} == {"WARNING"}


def test_without_channels_nobody_is_named_and_without_a_collector_no_round_is_missed() -> None:
    bare = replace(WATCHED, collector="", page_channel="", warn_channel="")
    assert policy("heartbeat", bare)["notificationChannels"] == []
    assert [list(each)[1] for each in policy("heartbeat", bare)["conditions"]] == ["conditionThreshold"]
    assert [list(each)[1] for each in policy("heartbeat")["conditions"]] == ["conditionThreshold", "conditionAbsent"]


def test_a_budget_burns_by_late_minutes_and_a_minimum_of_bad_events() -> None:
    burns = policy("burn-nba-published")
    late, bad = (each["conditionThreshold"] for each in burns["conditions"])
    assert burns["combiner"] == "AND"
    assert late["thresholdValue"] == 0.25 * 120 * 60
    assert bad["thresholdValue"] == 1, "more than one"
    assert {each["aggregations"][0]["alignmentPeriod"] for each in (late, bad)} == {"86400s"}


def test_a_policy_on_lines_says_how_often_it_tells_and_no_other_does() -> None:
    for each in generated(WATCHED)["alert_policies"]:
        lines = "conditionMatchedLog" in json.dumps(each["conditions"])
        assert ("notificationRateLimit" in each["alertStrategy"]) == lines  # type: ignore[operator]


def test_every_policy_is_told_in_the_docs() -> None:
    folder = ROOT / "docs" / "08-projects" / "current" / "daily-orchestration-improvements"
    doc = (folder / "PHASE-5-OBSERVABILITY.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1] for line in doc.splitlines() if line.startswith("| ") and line.count("|") == 4]
    told = {id.strip() for cell in lines for id in cell.split(",")}
    ids = {each["userLabels"]["id"] for each in generated(WATCHED)["alert_policies"]}  # type: ignore[index]
    named = {re.sub(r"^burn-.*", "burn-PIPELINE-OBJECTIVE", id) for id in ids}
    assert named <= told
