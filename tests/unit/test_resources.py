"""What there should be on Google Cloud: derived from what is declared, complete, and no right too many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.monitoring import generated
from shared.config import access
from shared.config.deployment import account_of, environment, url_at
from shared.config.functions import FUNCTIONS, function, pushed_topics, services_watched
from shared.config.orchestration_config import PIPELINES
from shared.config.resources import asked_by_people, concerns, declared, job_of, jobs
from shared.core.drift import HAS_VALUE, Kind, Resource, binding
from shared.core.messages import read_nudge

DEV = environment("dev")
INDEXES = json.loads((Path(__file__).parents[2] / "firestore.indexes.json").read_text(encoding="utf-8"))
ALL = declared(DEV, commit="0123abc", indexes=INDEXES, monitoring=generated(DEV))
STRAY = f"serviceAccount:{account_of('stray', DEV.project)}"
PUBSUB_AGENT = "serviceAccount:service-100000000001@gcp-sa-pubsub.iam.gserviceaccount.com"


def of(kind: Kind) -> dict[str, Resource]:
    return {each.name: each for each in ALL if each.kind is kind}


def held_by(name: str) -> set[tuple[str, str]]:
    """What a function may do: role, on what."""
    member = access.account(name, DEV)
    return {
        (str(b.fields["role"]), str(b.fields["on"])) for b in of(Kind.BINDING).values() if b.fields["member"] == member
    }


def test_everything_is_declared_once() -> None:
    assert [key for key, count in Counter((each.kind, each.name) for each in ALL).items() if count > 1] == []


@pytest.mark.parametrize("spec", FUNCTIONS, ids=lambda spec: spec.name)
def test_whatever_a_function_hears_is_pushed_to_it_and_its_dead_letters_are_kept(spec: object) -> None:
    assert isinstance(spec, type(FUNCTIONS[0]))
    subscriptions, topics = of(Kind.SUBSCRIPTION), of(Kind.TOPIC)
    for topic in pushed_topics(spec):
        fields = subscriptions[f"{spec.name}--{topic}"].fields
        assert fields["push_endpoint"] == fields["push_audience"] == url_at(DEV, spec.name)
        assert fields["push_account"] == "pubsub-pusher@tipoff-dev.iam.gserviceaccount.com"
        dead = str(fields["dead_letter_topic"])
        assert {topic, dead} <= set(topics)
        assert subscriptions[dead].fields["topic"] == dead, "dead letters without a subscription are lost"
        assert {fields["expires"], subscriptions[dead].fields["expires"]} == {"never"}


def test_every_topic_on_which_anybody_speaks_is_there() -> None:
    spoken = {topic for spec in FUNCTIONS for topic in access.published(spec)}
    assert spoken <= set(of(Kind.TOPIC))
    assert "nba-nudge" not in of(Kind.TOPIC), "schedules call functions"


def test_a_schedule_is_a_job_for_each_function_that_it_wakes() -> None:
    found = of(Kind.SCHEDULE)
    assert set(found) == {name for name, *_ in jobs()}
    heal = found[job_of("nba", "self-heal", "prediction_coordinator")]
    assert heal.name == "nba-self-heal--prediction-coordinator"
    assert heal.fields["url"] == heal.fields["audience"] == url_at(DEV, "prediction_coordinator")
    assert (heal.fields["cron"], heal.fields["zone"], heal.fields["retries"]) == ("* * * * *", "America/New_York", 0)
    morning = found["nba-yesterday-analytics--self-heal"]
    assert (morning.fields["cron"], morning.fields["retries"]) == ("0 6 * * *", 5)
    for each in found.values():
        said = {**json.loads(str(each.fields["body"])), "scheduled_at": "2031-01-15T11:00:00Z"}
        assert read_nudge(json.dumps(said).encode()).pipeline in PIPELINES


def test_a_gate_may_order_starts_and_read_and_ask_how_services_are_and_nothing_else() -> None:
    starts = {phase.start_topic for phase in PIPELINES["nba"].phases}
    held = held_by("phase2_to_phase3")
    asked = {role: {on for r, on in held if r == role} for role, _ in held}
    assert asked.pop("roles/pubsub.publisher") == {f"topic/{topic}" for topic in starts} | {
        "topic/phase2_to_phase3--nba-phase2-raw-complete-dead"
    }
    assert asked.pop("roles/bigquery.dataViewer") >= {"dataset/nba_raw", "dataset/nba_analytics"}
    assert "run/analytics-processor" in asked.pop("roles/run.invoker")
    assert asked == {
        "roles/datastore.user": {"project"},
        "roles/bigquery.jobUser": {"project"},
        "roles/pubsub.viewer": {"subscription/phase2_to_phase3--nba-phase2-raw-complete"},
    }


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("raw_processor", {"nba_raw", "tipoff_staging"}),
        ("grading_processor", {"nba_predictions", "tipoff_staging"}),
        ("prediction_coordinator", {"nba_predictions", "tipoff_staging"}),
        ("export_processor", set()),
        ("self_heal", set()),
        ("prediction_worker", set()),
        ("mlb_prediction_worker", set()),
    ],
)
def test_a_function_writes_the_tables_of_its_own_phase(name: str, writes: set[str]) -> None:
    held = {on.removeprefix("dataset/") for role, on in held_by(name) if role == "roles/bigquery.dataEditor"}
    assert held == writes


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("raw_processor", {"nba-phase2-raw-complete"}),
        ("grading_processor", {"nba-grading-complete"}),
        ("prediction_worker", {"nba-prediction-ready"}),
        ("mlb_prediction_worker", {"mlb-prediction-ready"}),
    ],
)
def test_who_works_speaks_on_the_topic_of_its_reports_alone(name: str, speaks: set[str]) -> None:
    assert set(access.published(function(name))) == speaks


def test_who_only_tells_people_may_order_nothing_and_invoke_nobody() -> None:
    held = {role for role, _ in held_by("daily_health_check")}
    assert held == {
        *("roles/datastore.user", "roles/bigquery.jobUser", "roles/bigquery.dataViewer"),
        "roles/secretmanager.secretAccessor",
    }


def test_the_dashboard_may_do_what_people_say_there() -> None:
    held = held_by("nba_admin_dashboard")
    assert ("roles/bigquery.dataEditor", "dataset/nba_predictions") in held
    assert ("roles/pubsub.publisher", "topic/nba-raw-start") in held
    assert ("roles/pubsub.subscriber", "subscription/raw_processor--nba-raw-start-dead") in held
    assert ("roles/bigquery.dataEditor", "dataset/nba_raw") not in held


def test_documents_are_written_by_who_exports_alone() -> None:
    writers = {b.fields["member"] for b in of(Kind.BINDING).values() if b.fields["role"] == "roles/storage.objectUser"}
    assert writers == {access.account("export_processor", DEV)}


def test_pubsub_may_bury_what_it_takes_and_make_the_tokens_of_its_pushes() -> None:
    held = {(b.fields["role"], b.fields["on"]) for b in of(Kind.BINDING).values() if b.fields["member"] == PUBSUB_AGENT}
    assert ("roles/iam.serviceAccountTokenCreator", "account/pubsub-pusher") in held
    assert ("roles/pubsub.publisher", "topic/raw_processor--nba-raw-start-dead") in held
    assert ("roles/pubsub.subscriber", "subscription/raw_processor--nba-raw-start") in held


def test_each_function_is_invoked_by_those_alone_who_have_a_reason() -> None:
    invokers = [b for b in of(Kind.BINDING).values() if b.fields["role"] == "roles/run.invoker"]
    worker = {b.fields["member"] for b in invokers if b.fields["on"] == "run/mlb-prediction-worker"}
    assert worker == {access.account(access.PUSHER, DEV), access.account("self-heal", DEV)}, "the timer asks how it is"
    heal = {b.fields["member"] for b in invokers if b.fields["on"] == "run/self-heal"}
    assert heal >= {access.account(access.PUSHER, DEV), access.account(access.SCHEDULER, DEV)}
    assert not [b.name for b in invokers if "allUsers" in b.name]


def test_where_the_proxy_stands_before_the_dashboard_it_alone_may_come() -> None:
    audience = "/projects/100000000001/locations/us-central1/services/nba-admin-dashboard"
    told = replace(DEV, operators=("group:oncall@example.com",), iap_audience=audience)
    found = {b.fields["member"] for b in access.bindings(told) if b.fields["on"] == "run/nba-admin-dashboard"}
    assert "group:oncall@example.com" not in found
    assert found == {"serviceAccount:service-100000000001@gcp-sa-iap.iam.gserviceaccount.com"}
    assert "nba_admin_dashboard" in services_watched(proxied=False), "where it does not stand, the timer asks"
    assert "nba_admin_dashboard" not in services_watched(proxied=True), "the proxy would refuse the timer each minute"


def test_operators_may_invoke_what_people_are_meant_to_ask() -> None:
    told = replace(DEV, operators=("group:oncall@example.com",))
    found = {b.fields["on"] for b in access.bindings(told) if b.fields["member"] == "group:oncall@example.com"}
    assert found == {f"run/{name}" for name in asked_by_people()}
    assert "run/prediction-coordinator" in found


def test_a_secret_is_declared_for_whoever_gets_its_value() -> None:
    needed = {variable for spec in FUNCTIONS for variable in spec.secrets}
    assert {each.fields[HAS_VALUE] for each in of(Kind.SECRET).values()} <= {True}
    assert len(of(Kind.SECRET)) == len(needed)
    spec = replace(function("self_heal"), secrets=("SLACK_WEBHOOK_URL",))
    found = {b.name for b in access.bindings(DEV, [spec]) if "secretAccessor" in b.name}
    member = access.account("self_heal", DEV)
    assert found == {f"secret/slack-webhook-url roles/secretmanager.secretAccessor {member}"}


def test_a_prefix_separates_datasets() -> None:
    told = replace(DEV, dataset_prefix="b_")
    assert "b_nba_raw" in access.datasets(told)
    named = {str(b.fields["on"]) for b in access.bindings(told) if str(b.fields["on"]).startswith("dataset/")}
    assert {on.removeprefix("dataset/") for on in named} <= set(access.datasets(told))


def test_an_account_has_a_name_that_google_takes() -> None:
    assert [name for name in access.accounts() if not 6 <= len(name) <= 30] == []


@pytest.mark.parametrize(
    ("live", "ours"),
    [
        (Resource(kind=Kind.TOPIC, name="stray"), True),
        (Resource(kind=Kind.TOPIC, name="container-analysis-occurrences-v1"), False),
        (Resource(kind=Kind.DATASET, name="somebodys"), False),
        (Resource(kind=Kind.ACCOUNT, name="stray"), True),
        (Resource(kind=Kind.ACCOUNT, name="ci-deployer"), False),
        (binding("project", "roles/owner", "user:a@example.com"), False),
        (binding("project", "roles/editor", f"serviceAccount:{account_of('self_heal', DEV.project)}"), True),
        (binding("project", "roles/editor", f"serviceAccount:{account_of('ci-deployer', DEV.project)}"), False),
        (binding("project", "roles/editor", "serviceAccount:1-compute@developer.gserviceaccount.com"), False),
        (binding("topic/a", "roles/pubsub.publisher", "allUsers"), True),
        (binding("account/self-heal", "roles/iam.serviceAccountUser", "user:deployer@example.com"), False),
        (binding("account/self-heal", "roles/iam.serviceAccountUser", STRAY), False),
        (binding("account/self-heal", "roles/iam.serviceAccountUser", "allUsers"), True),
        (binding("account/self-heal", "roles/iam.serviceAccountUser", access.account("raw_processor", DEV)), True),
        (binding("account/self-heal", "roles/iam.serviceAccountTokenCreator", "user:deployer@example.com"), True),
        (binding("run/self-heal", "roles/run.invoker", "user:a@example.com"), True),
        (binding("run/self-heal", "roles/run.invoker", PUBSUB_AGENT), False),
        (binding("bucket/b", "roles/storage.legacyBucketOwner", "projectOwner:p"), False),
        (binding("dataset/d", "roles/bigquery.dataOwner", "user:a@example.com"), False),
    ],
    ids=lambda each: each.name if isinstance(each, Resource) else "",
)
def test_what_is_not_declared_is_ours_to_wonder_about(live: Resource, ours: bool) -> None:
    told = replace(DEV, others=("account/ci-*",))
    assert concerns(live, told) is ours
