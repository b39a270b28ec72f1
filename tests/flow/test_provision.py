"""bin/deploy's scripts and `tipoff doctor` on a Google Cloud of the test's own: made, found as it is, mended."""

from __future__ import annotations

import copy
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestration.deploying.engine import deploy
from orchestration.deploying.tools import InstalledGcloud, Tools, real_look
from orchestration.deploying.wanted import wanted_of
from shared.config.access import PUSHER
from shared.config.deployment import account_of, secret_of
from shared.config.functions import function
from shared.config.secrets import SECRETS
from shared.core.drift import Difference, Kind
from tests.cloud.fake import Answer, Dropped, Fault, Refused, denied
from tests.cloud.google import gcloud_environment, require_gcloud
from tests.cloud.whole import COMMIT, SCRIPTS, Whole, whole

ROOT = Path(__file__).resolve().parents[2]
RAW = "raw_processor--nba-raw-start"
GATE = "serviceAccount:phase1-to-phase2@tipoff-dev.iam.gserviceaccount.com"


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with whole(monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """All of it, made once by bin/deploy's scripts."""
    with pytest.MonkeyPatch.context() as patch, whole(patch) as first:
        first.set_up()
        return first.kept()


@pytest.fixture
def ready(there: Whole, made: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> Whole:
    """All of it is there, as it should be."""
    there.restore(made)
    capsys.readouterr()
    return there


@pytest.fixture
def begun(there: Whole) -> Whole:
    """Of all that bin/deploy/iam makes first, the account that pushes carry is there."""
    there.accounts.add(account_of(PUSHER, there.place.project))
    return there


def written(there: Whole, since: int) -> list[str]:
    """The requests that asked for a change."""
    return [str(r) for r in there.cloud.requests[since:] if r.method != "GET" and "getIamPolicy" not in r.path]


# --- made -----------------------------------------------------------------------------------------------


def test_an_empty_project_becomes_what_is_declared(ready: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready.doctor() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Nothing differs: all ")
    assert line.endswith(" declared resources of dev (project tipoff-dev) are as they should be.")


def test_a_second_run_changes_nothing_and_says_so(ready: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SCRIPTS:
        before = len(ready.cloud.requests)
        assert ready.script(name) == 0
        assert capsys.readouterr().out == "nothing to change\n"
        assert written(ready, before) == []


def test_doctor_only_looks(there: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    assert there.doctor() == 1
    assert written(there, 0) == []
    out = capsys.readouterr().out
    for name in (*(name for name in SCRIPTS if name != "secrets"), "deploy self_heal"):
        assert f"\nbin/deploy/{name} --env dev\n" in f"\n{out}"


def test_a_dry_run_says_what_would_be_and_changes_nothing(there: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    assert there.script("topics", "--dry-run") == 0
    assert written(there, 0) == []
    assert "would create topic nba-raw-start\n" in capsys.readouterr().out


def test_a_script_is_run_from_anywhere(ready: Whole, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(ROOT / "bin" / "deploy" / "topics"), "--env", "dev", "--json"]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"changed": [], "left": []}


def test_a_secret_is_made_empty_and_its_value_asked_for(ready: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(iter(ready.secrets.secrets))
    del ready.secrets.secrets[name]
    assert ready.script("secrets") == 1, "its value is a person's to give"
    out = capsys.readouterr().out
    short = name.rpartition("/")[2]
    assert f"created secret {short}" in out
    assert f'printf %s "$value" | gcloud secrets versions add {short} --data-file=- --project tipoff-dev' in out
    assert next(spec.made for spec in SECRETS if secret_of(spec.variable) == short) in out


# --- found, and mended ----------------------------------------------------------------------------------

Spoil = Callable[[Whole], Any]


def job(there: Whole, name: str = "nba-same-day--self-heal") -> dict[str, Any]:
    return there.scheduler.job(name)


DRIFTS: list[Any] = [
    pytest.param(lambda t: job(t).update(state="PAUSED"), "schedule", "state", id="a paused schedule"),
    pytest.param(lambda t: job(t).update(schedule="0 5 * * *"), "schedule", "cron", id="a schedule at another time"),
    pytest.param(lambda t: job(t).update(timeZone="UTC"), "schedule", "zone", id="a schedule in another zone"),
    pytest.param(
        lambda t: job(t)["httpTarget"].update(uri="https://elsewhere"), "schedule", "url", id="a schedule elsewhere"
    ),
    pytest.param(lambda t: job(t)["httpTarget"].pop("oidcToken"), "schedule", "account", id="a schedule without token"),
    pytest.param(lambda t: job(t).update(retryConfig={}), "schedule", "retries", id="a schedule that is not retried"),
    pytest.param(lambda t: job(t).update(attemptDeadline="15s"), "schedule", "deadline_s", id="an impatient schedule"),
    pytest.param(
        lambda t: t.scheduler.jobs.clear(), "schedule", "", id="94 schedules deleted, or as many as there are"
    ),
    pytest.param(lambda t: t.pubsub.topics.pop(f"projects/tipoff-dev/topics/{RAW}-dead"), "topic", "", id="no topic"),
    pytest.param(
        lambda t: t.pubsub.topic("nba-raw-start").update(messageRetentionDuration="86400s"),
        "topic",
        "retention_s",
        id="a topic that keeps messages",
    ),
    pytest.param(
        lambda t: t.pubsub.subscriptions.pop(f"projects/tipoff-dev/subscriptions/{RAW}"),
        "subscription",
        "",
        id="a missing subscription",
    ),
    pytest.param(
        lambda t: t.pubsub.subscriptions.pop(f"projects/tipoff-dev/subscriptions/{RAW}-dead"),
        "subscription",
        "",
        id="dead letters that nobody keeps",
    ),
    *[
        pytest.param(
            lambda t, change=change: t.pubsub.subscription(RAW).update(change), "subscription", field, id=field
        )
        for field, change in (
            ("ack_deadline_s", {"ackDeadlineSeconds": 10}),
            ("dead_letter_topic", {"deadLetterPolicy": {}}),
            ("attempts_max", {"deadLetterPolicy": {"deadLetterTopic": "x/" + RAW + "-dead", "maxDeliveryAttempts": 5}}),
            ("expires", {"expirationPolicy": {"ttl": "2678400s"}}),
            ("pause_s", {"retryPolicy": {}}),
            ("push_endpoint", {"pushConfig": {"pushEndpoint": "https://elsewhere"}}),
            (
                "push_account",
                {"pushConfig": {"pushEndpoint": "https://raw-processor-100000000001.us-central1.run.app"}},
            ),
            ("retention_s", {"messageRetentionDuration": "600s"}),
            ("exactly_once", {"enableExactlyOnceDelivery": True}),
            ("filter", {"filter": 'attributes.x = "y"'}),
            ("topic", {"topic": "projects/tipoff-dev/topics/nba-scrape-start"}),
            ("detached", {"detached": True}),
            ("delivers", {"pushConfig": {}, "bigqueryConfig": {"table": "tipoff-dev.nba_raw.messages"}}),
        )
    ],
    pytest.param(
        lambda t: t.pubsub.subscription(f"{RAW}-dead").update(labels={"a": "b"}),
        "subscription",
        "label.holds",
        id="a label",
    ),
    pytest.param(
        lambda t: t.pubsub.subscriptions.update(
            {
                "projects/tipoff-dev/subscriptions/stray": {
                    "name": "projects/tipoff-dev/subscriptions/stray",
                    "topic": "projects/tipoff-dev/topics/nba-raw-start",
                }
            }
        ),
        "subscription",
        "",
        id="a subscription that nobody declares",
    ),
    pytest.param(
        lambda t: t.pubsub.topics.update({"projects/tipoff-dev/topics/stray": {"name": "projects/x/topics/stray"}}),
        "topic",
        "",
        id="a topic that nobody declares",
    ),
    pytest.param(
        lambda t: t.pubsub.policies.held["projects/tipoff-dev/topics/nba-raw-start"].update(bindings=[]),
        "binding",
        "",
        id="permissions that a redeploy has stripped",
    ),
    pytest.param(
        lambda t: t.pubsub.policies.grant(
            "projects/tipoff-dev/topics/nba-raw-start", "roles/pubsub.publisher", "allUsers"
        ),
        "binding",
        "",
        id="a topic on which the world may speak",
    ),
    pytest.param(
        lambda t: t.google.projects.policy["bindings"].append({"role": "roles/editor", "members": [GATE]}),
        "binding",
        "",
        id="a right on the project that nobody declares",
    ),
    pytest.param(
        lambda t: t.google.run.policies["self-heal"]["bindings"].append(
            {"role": "roles/run.invoker", "members": ["user:a@example.com"]}
        ),
        "binding",
        "",
        id="somebody who may invoke a function",
    ),
    pytest.param(
        lambda t: t.storage.datasets["nba_raw"].update(access=[]), "binding", "", id="tables that nobody may write"
    ),
    pytest.param(
        lambda t: t.storage.datasets["tipoff_staging"].pop("defaultTableExpirationMs"),
        "dataset",
        "expires_s",
        id="staging tables that stay",
    ),
    pytest.param(
        lambda t: t.accounts.accounts["self-heal@tipoff-dev.iam.gserviceaccount.com"].update(disabled=True),
        "account",
        "disabled",
        id="a disabled account",
    ),
    pytest.param(lambda t: t.accounts.add("stray@tipoff-dev.iam.gserviceaccount.com"), "account", "", id="an account"),
    pytest.param(
        lambda t: t.firestore.indexes.pop(next(iter(t.firestore.indexes))), "index", "", id="an index that is gone"
    ),
    pytest.param(
        lambda t: t.firestore.fields.pop(
            next(name for name in t.firestore.fields if name.endswith("runs/fields/body"))
        ),
        "field",
        "",
        id="a large field that is indexed",
    ),
    pytest.param(
        lambda t: t.firestore.fields[next(iter(t.firestore.fields))].update(ttlConfig={"state": "ACTIVE"}),
        "field",
        "time_to_live",
        id="a state that is deleted after a time",
    ),
    pytest.param(
        lambda t: t.monitoring.of("alertPolicies")[0]["conditions"][0].update(displayName="x"),
        "policy",
        "conditions.0.displayName",
        id="an alert policy that somebody has changed",
    ),
    pytest.param(
        lambda t: t.monitoring.things.pop(t.monitoring.of("dashboards")[0]["name"]), "dashboard", "", id="a dashboard"
    ),
    pytest.param(
        lambda t: t.monitoring.of("dashboards")[0].update(displayName="mine"),
        "dashboard",
        "displayName",
        id="a dashboard of another name",
    ),
    pytest.param(
        lambda t: t.monitoring.of("serviceLevelObjectives", "projects/tipoff-dev/services/tipoff-nba")[0].update(
            goal=0.5
        ),
        "objective",
        "goal",
        id="an objective that is easier to reach",
    ),
    pytest.param(
        lambda t: t.google.run.service("self-heal").traffic.__setitem__(0, {"latestRevision": True, "percent": 100}),
        "function",
        "traffic",
        id="traffic to the latest",
    ),
    pytest.param(
        lambda t: t.deploy(function("self_heal"), LOG_LEVEL="DEBUG"), "function", "variable.LOG_LEVEL", id="a variable"
    ),
    pytest.param(
        lambda t: t.deploy(function("self_heal"), TIPOFF_COMMIT="fedcba9"),
        "function",
        "variable.TIPOFF_COMMIT",
        id="other code",
    ),
    pytest.param(
        lambda t: t.google.functions.functions["self-heal"]["labels"].update({"config-hash": "000000000000"}),
        "function",
        "label.config-hash",
        id="another pipeline",
    ),
    pytest.param(
        lambda t: t.google.functions.functions["self-heal"]["serviceConfig"].update(availableMemory="256Mi"),
        "function",
        "memory_mb",
        id="less memory",
    ),
    pytest.param(
        lambda t: t.google.functions.functions["self-heal"]["serviceConfig"]["secretEnvironmentVariables"][0].update(
            version="1"
        ),
        "function",
        f"secret.{function('self_heal').secrets[0]}",
        id="a secret of a version that stays",
    ),
    pytest.param(lambda t: t.google.functions.functions.pop("self-heal"), "function", "", id="a missing function"),
    pytest.param(
        lambda t: t.google.functions.functions.update(
            {"old": {"name": "projects/tipoff-dev/locations/us-central1/functions/old", "state": "ACTIVE"}}
        ),
        "function",
        "",
        id="a function that nobody declares",
    ),
]


@pytest.mark.parametrize(("spoil", "kind", "field"), DRIFTS)
def test_what_has_drifted_is_found_and_mended_by_what_is_said(
    ready: Whole, spoil: Spoil, kind: str, field: str
) -> None:
    spoil(ready)
    found = ready.look()
    assert found.unread == ()
    assert (kind, field) in [(each.kind, each.field) for each in found.differences]
    for mend in dict.fromkeys(each.mend for each in found.differences):
        ready.mend(next(each for each in found.differences if each.mend == mend))
        ready.firestore.build()
    assert [(str(each.kind), each.name, each.field, each.live) for each in ready.look().differences] == []


@pytest.mark.slow
def test_what_the_real_gcloud_deploys_is_no_drift(ready: Whole, tmp_path: Path) -> None:
    """What bin/deploy/deploy says in gcloud's words, doctor reads in Google's; and what doctor says mends it."""
    source = tmp_path / "staged"
    source.mkdir()
    (source / "main.py").write_text("def self_heal(request):\n    return 'x'\n")
    (source / "requirements.txt").write_text("functions-framework==3.10.2\n")
    ready.google.functions.functions.pop("self-heal")
    ready.google.run.services.pop("self-heal")
    variables = {**os.environ, **gcloud_environment(ready.cloud.port, tmp_path / "gcloud")}
    gcloud = InstalledGcloud(require_gcloud(), variables, deploy_s=20.0)
    tools = Tools(gcloud=gcloud, look=real_look(gcloud, ready_s=0.0), pause=lambda _: None)

    def deployed(commit: str) -> tuple[str, str]:
        wanted = wanted_of(function("self_heal"), ready.place, commit, source)
        outcome = deploy(wanted, None, tools, lambda _: None)
        return outcome.result, outcome.why

    assert deployed(COMMIT) == ("deployed", "")
    assert ready.look().differences == ()
    ready.google.run.service("self-heal").traffic = [{"latestRevision": True, "percent": 100}]
    assert [each.field for each in ready.look().differences] == ["traffic"]
    deployed(COMMIT)
    assert ready.look().differences == ()
    ready.google.functions.functions["self-heal"]["serviceConfig"]["environmentVariables"]["DEBUG"] = "1"
    (container,) = ready.google.run.service("self-heal").revisions[-1].template["spec"]["containers"]
    container["env"].append({"name": "DEBUG", "value": "1"})
    (stray,) = ready.look().differences
    _, remove, _ = stray.mend.split(" && ")
    ran = gcloud(shlex.split(remove.replace("build/deploy/self_heal", str(source)))[1:])
    assert ran.code == 0, ran.err
    assert [each.field for each in ready.look().differences] == ["serves"], "nothing of it serves before it is verified"
    deployed(COMMIT)
    assert ready.look().differences == ()


def test_a_revision_that_is_not_the_newest_is_found(ready: Whole) -> None:
    pinned = ready.google.run.service("self-heal").traffic
    ready.deploy(function("self_heal"))
    ready.google.run.service("self-heal").traffic = pinned
    (found,) = ready.look().differences
    assert (found.field, found.live) == ("serves", "self-heal-00001-fak, not self-heal-00002-fak")


def test_a_label_that_nobody_declares_is_left_alone(ready: Whole) -> None:
    ready.google.functions.functions["self-heal"]["labels"].update({"cost-center": "12", "goog-managed-by": "x"})
    assert ready.look().differences == ()


def test_a_service_that_is_not_what_its_function_says_is_found(ready: Whole) -> None:
    ready.google.functions.functions["self-heal"]["serviceConfig"]["environmentVariables"]["TIPOFF_COMMIT"] = "fedcba9"
    told = {each.field: each.live for each in ready.look().differences}
    assert told == {"variable.TIPOFF_COMMIT": "fedcba9", "serves": f"code of {COMMIT}, not of fedcba9"}


@pytest.mark.parametrize(
    ("name", "changed", "live"),
    [
        ("LOG_LEVEL", {"value": "DEBUG"}, "another LOG_LEVEL than its function's"),
        (
            "SLACK_WEBHOOK_URL",
            {"valueFrom": {"secretKeyRef": {"name": "slack-webhook-url", "key": "1"}}},
            "another SLACK_WEBHOOK_URL than its function's",
        ),
    ],
    ids=["a variable", "a secret"],
)
def test_a_revision_that_was_changed_past_its_function_is_found_and_mended(
    ready: Whole, name: str, changed: dict[str, Any], live: str
) -> None:
    """As `gcloud run services update --update-env-vars` does: Cloud Functions' own record stays as it is."""
    run, before = ready.google.run, ready.google.run.service("self-heal").revisions[-1]
    template = copy.deepcopy(before.template)
    (container,) = template["spec"]["containers"]
    container["env"] = [{"name": name, **changed} if each["name"] == name else each for each in container["env"]]
    made = run.add_revision("self-heal", template, before.identity)
    run.service("self-heal").traffic = [{"revisionName": made.name, "percent": 100}]
    (found,) = ready.look().differences
    assert (found.field, found.live) == ("serves", live)
    ready.mend(found)
    assert ready.look().differences == ()


def test_an_image_that_was_not_built_for_the_function_is_found_and_mended(ready: Whole) -> None:
    """As `gcloud run services update --image` does: it may say that it is of the same code."""
    run, before = ready.google.run, ready.google.run.service("self-heal").revisions[-1]
    template = copy.deepcopy(before.template)
    (container,) = template["spec"]["containers"]
    container["image"] = "us-docker.pkg.dev/somebody/images/self-heal@sha256:12"
    made = run.add_revision("self-heal", template, before.identity)
    run.service("self-heal").traffic = [{"revisionName": made.name, "percent": 100}]
    (found,) = ready.look().differences
    assert found.field == "serves"
    assert found.live == f"the image {container['image']}, which Cloud Functions did not build"
    ready.mend(found)
    assert ready.look().differences == ()


def test_a_disabled_secret_is_found_whatever_older_versions_it_has(ready: Whole) -> None:
    name = next(iter(ready.secrets.secrets)).rpartition("/")[2]
    ready.secrets.add_version(name, "DISABLED")
    (found,) = ready.look().differences
    assert (found.kind, found.name, found.live) == (Kind.SECRET, name, False)
    ready.mend(found)
    assert ready.look().differences == ()


def test_a_function_in_another_region_is_an_orphan(ready: Whole) -> None:
    twin = copy.deepcopy(ready.google.functions.functions["self-heal"])
    twin["name"] = twin["name"].replace("us-central1", "europe-west1")
    ready.google.functions.functions["twin"] = twin
    (found,) = ready.look().differences
    assert (found.name, found.mend) == (
        "europe-west1/self-heal",
        "gcloud functions delete self-heal --gen2 --region europe-west1 --project tipoff-dev",
    )


def test_a_function_that_nothing_invokes_is_named(ready: Whole) -> None:
    ready.pubsub.subscriptions.pop(f"projects/tipoff-dev/subscriptions/{RAW}")
    nobody = [each for each in ready.look().differences if each.field == "invoked_by"]
    assert [each.name for each in nobody] == ["raw-processor"]


def test_a_schedule_that_fails_or_does_not_run_is_named(ready: Whole) -> None:
    failed, silent = job(ready), job(ready, "nba-self-heal--self-heal")
    failed.update(lastAttemptTime="2031-01-15T15:30:00Z", status={"code": 7, "message": "PERMISSION_DENIED"})
    long_ago = datetime.now(timezone.utc) - timedelta(hours=2)
    for each in ready.scheduler.jobs.values():
        each["userUpdateTime"] = datetime.now(timezone.utc).isoformat()
    silent.update(lastAttemptTime=long_ago.isoformat(), userUpdateTime=long_ago.isoformat(), status={})
    told = {each.name: str(each.live) for each in ready.look().differences}
    assert set(told) == {"nba-same-day--self-heal", "nba-self-heal--self-heal"}
    assert told["nba-same-day--self-heal"] == "failed at 2031-01-15T15:30:00.000000Z: 7 PERMISSION_DENIED"
    assert told["nba-self-heal--self-heal"].startswith(f"was at {long_ago:%Y-%m-%dT%H:%M:%S}")


# --- what cannot be changed, what is not removed ----------------------------------------------------------


def test_a_filter_cannot_be_changed_so_its_messages_are_not_thrown_away(
    ready: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.pubsub.subscription(RAW)["filter"] = 'attributes.x = "y"'
    before = len(ready.cloud.requests)
    assert ready.script("topics") == 1
    out = capsys.readouterr().out
    assert written(ready, before) == []
    assert f"bin/deploy/topics --env dev --remove subscription {RAW} && bin/deploy/topics --env dev" in out
    assert "what it holds unacknowledged is lost: let it run empty first" in out


def test_what_is_declared_and_as_it_should_be_is_not_removed(ready: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(ready.cloud.requests)
    assert ready.script("topics", "--remove", "subscription", RAW) == 2
    assert ready.script("topics", "--remove", "subscription", "nowhere") == 2
    assert ready.script("topics", "--remove", "secret", "a") == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "is declared, and as it should be; take it out of shared/config first" in first
    assert "'nowhere': is not there" in second
    assert third == "bin/deploy/topics: --remove secret: use one of topic, subscription"
    assert written(ready, before) == []


def test_an_orphan_is_told_of_and_left(ready: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    ready.accounts.add("stray@tipoff-dev.iam.gserviceaccount.com")
    assert ready.script("iam") == 0
    out = capsys.readouterr().out
    assert "nothing to change" in out
    assert "bin/deploy/iam --env dev --remove account stray" in out
    assert "stray@tipoff-dev.iam.gserviceaccount.com" in ready.accounts.accounts


def test_other_peoples_rights_stay_when_ours_are_given(there: Whole) -> None:
    theirs = {"role": "roles/owner", "members": ["user:a@example.com"]}
    held = {"role": "roles/viewer", "members": ["user:b@example.com"], "condition": {"title": "t", "expression": "e"}}
    there.google.projects.policy["bindings"] += [theirs, held]
    there.set_up()
    assert theirs in there.google.projects.policy["bindings"]
    assert held in there.google.projects.policy["bindings"]
    assert there.storage.datasets["nba_raw"]["access"][0] == {"role": "OWNER", "specialGroup": "projectOwners"}
    assert there.look().differences == ()


# --- what goes wrong ------------------------------------------------------------------------------------


def test_what_may_not_be_read_is_named_with_the_role_that_helps_and_the_rest_is_told(
    ready: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    job(ready)["state"] = "PAUSED"
    ready.cloud.faults = [
        Fault("GET secretmanager.*secrets$", denied("secretmanager.secrets.list", "projects/tipoff-dev"), times=99)
    ]
    assert ready.doctor() == 2
    out = capsys.readouterr().out
    assert "secret: not read" in out
    assert "permission denied: Permission 'secretmanager.secrets.list' denied" in out
    assert "roles/secretmanager.viewer helps" in out
    assert "state is PAUSED, should be ENABLED" in out
    assert ready.doctor("--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in told["unread"]] == ["secret"]
    assert {"kind": "schedule", "name": "nba-same-day--self-heal", "change": "different", "field": "state"}.items() <= (
        told["differences"][0].items()
    )


@pytest.mark.parametrize(
    ("script", "fault", "said"),
    [
        ("topics", "PUT pubsub", "roles/pubsub.admin and roles/iam.serviceAccountUser helps"),
        ("schedules", "GET cloudscheduler", "roles/cloudscheduler.viewer helps"),
        ("schedules", "POST cloudscheduler", "roles/cloudscheduler.admin and roles/iam.serviceAccountUser helps"),
        ("iam", "POST iam/.*serviceAccounts$", "roles/iam.serviceAccountAdmin helps"),
        ("iam", "setIamPolicy", "roles/"),
        ("indexes", "POST firestore", "roles/datastore.indexAdmin helps"),
        ("monitoring", "POST monitoring", "roles/monitoring.admin helps"),
    ],
)
def test_who_may_not_is_told_which_role_helps(
    begun: Whole, script: str, fault: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun.script("topics")
    begun.pubsub.topics.pop("projects/tipoff-dev/topics/nba-raw-start")
    capsys.readouterr()
    begun.cloud.faults = [Fault(fault, denied("some.permission", "projects/tipoff-dev"), times=99)]
    assert begun.script(script) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"bin/deploy/{script}: ")
    assert said in err


def test_a_push_needs_its_account_so_topics_come_after_it(there: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    assert there.script("topics") == 2
    said = "Service account pubsub-pusher@tipoff-dev.iam.gserviceaccount.com was not found.; run `bin/deploy/iam` first"
    assert capsys.readouterr().err.endswith(f"{said}\n")
    assert there.script("iam") == 1, "who may do what with topics can be said once they are there"
    assert there.script("topics") == 0
    assert not [each for each in there.look().differences if each.kind in (Kind.TOPIC, Kind.SUBSCRIPTION)]


def test_a_service_that_is_not_enabled_is_said_to_be(there: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    off = Refused(403, "Cloud Pub/Sub API has not been used in project 1 before or it is disabled.")
    there.cloud.faults = [Fault("pubsub", off, times=9)]
    assert there.script("topics") == 2
    assert "run `gcloud services enable pubsub.googleapis.com --project=tipoff-dev`" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_is_named_once_all_else_is_done(
    ready: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.storage.buckets.held.pop("tipoff-dev-data")
    ready.storage.there.discard("tipoff-dev-data")
    ready.pubsub.policies.held.clear()
    assert ready.script("iam") == 2
    made = "gcloud storage buckets create gs://tipoff-dev-data --location=us-central1 --uniform-bucket-level-access"
    said = f"bucket tipoff-dev-data: is not there; run `{made} --project=tipoff-dev`, then this again"
    assert capsys.readouterr().err == f"bin/deploy/iam: {said}\n"
    assert {each.name.partition(" ")[0] for each in ready.look().differences} == {"bucket/tipoff-dev-data"}
    ready.storage.there.add("tipoff-dev-data")
    assert ready.script("iam") == 0
    assert ready.look().differences == ()


def test_an_answer_that_is_none_is_tried_again(begun: Whole) -> None:
    garbled = Refused(503, "")
    garbled.answer = Answer(b"<html>Sorry", 200)
    begun.cloud.faults = [Fault("GET pubsub", garbled, times=2)]
    assert begun.script("topics") == 0


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "secrets"])
def test_what_was_cut_in_the_middle_is_finished_by_the_next_run(
    ready: Whole, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Emptied, and denied after some of the work; at whatever point, the same command goes on."""
    empty(ready, script)
    gone = len(ready.look().differences)
    assert gone
    changing = "^(PUT|POST|PATCH) (?!.*getIamPolicy)"
    ready.cloud.faults = [Fault(changing, denied("x", "y"), times=10_000, after=3)]
    assert ready.script(script) == 2
    ready.cloud.faults = []
    ready.script(script)
    ready.firestore.build()
    left = [each for each in ready.look().differences if each.mend.startswith("bin/deploy")]
    assert [(str(each.kind), each.name, each.field) for each in left if not _is_of_functions(each)] == []


def _is_of_functions(each: Difference) -> bool:
    return each.kind is Kind.FUNCTION


def empty(there: Whole, script: str) -> None:
    """Take away what a script makes."""
    match script:
        case "topics":
            there.pubsub.topics.clear()
            there.pubsub.subscriptions.clear()
        case "iam":
            there.pubsub.policies.held.clear()
            there.storage.datasets.clear()
        case "indexes":
            there.firestore.indexes.clear()
            there.firestore.fields.clear()
        case "schedules":
            there.scheduler.jobs.clear()
        case "monitoring":
            there.monitoring.things.clear()


def test_dead_letters_are_kept_before_anything_can_die(begun: Whole) -> None:
    begun.cloud.faults = [Fault("PUT pubsub.*subscriptions/[^/]*(?<!-dead)$", denied("x", "y"))]
    assert begun.script("topics") == 2
    kept = {name.rpartition("/")[2] for name in begun.pubsub.subscriptions}
    assert kept == {name.rpartition("/")[2] for name in begun.pubsub.topics if name.endswith("-dead")}


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_connection_that_breaks_before_or_after_the_deed_is_no_matter(begun: Whole, is_done: bool) -> None:
    begun.cloud.faults = [Fault("PUT pubsub", Dropped(), times=3, is_done=is_done)]
    assert begun.script("topics") == 0
    assert not [each for each in begun.look().differences if each.kind in (Kind.TOPIC, Kind.SUBSCRIPTION)]


def test_whoever_else_changes_a_policy_at_the_same_time_loses_nothing(begun: Whole) -> None:
    begun.script("topics")
    theirs = Refused(409, "There were concurrent policy changes.")
    begun.cloud.faults = [Fault("POST pubsub.*setIamPolicy", theirs, times=2)]
    begun.script("iam")
    assert not [each for each in begun.look().differences if each.name.startswith(("topic/", "subscription/"))]


def test_an_environment_that_nobody_declares_is_refused(there: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    assert there.script("topics", "--env", "staging") == 2
    assert there.doctor("--env", "staging") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "bin/deploy/topics: environment 'staging': shared/config/deployment.py declares dev, prod"
    assert second == "tipoff: --env environment 'staging': shared/config/deployment.py declares dev, prod"
    assert there.cloud.requests == []


def test_an_endpoint_elsewhere_is_refused(
    there: Whole, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIPOFF_CLOUD_ENDPOINT", "https://example.com")
    assert there.script("topics") == 2
    assert "TIPOFF_CLOUD_ENDPOINT: set an address of this machine" in capsys.readouterr().err
