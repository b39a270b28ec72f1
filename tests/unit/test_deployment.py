"""What a deployment does next is decided from what is wanted and what is live, and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.core.deployment import (
    Await,
    Deploy,
    Did,
    Done,
    Failed,
    Pin,
    Promote,
    Step,
    Tag,
    Verify,
    decide,
    foreseen,
)
from shared.core.gcloud import AGAIN, command_of, explain, function_command, list_commands, service_command
from shared.core.revisions import (
    Function,
    Live,
    Service,
    Share,
    Wanted,
    differences,
    environment_of,
    read_function,
    read_service,
    read_traffic,
    settings_of,
)

COMMIT, BEFORE = "b" * 40, "a" * 40
URL, TAGGED = "https://self-heal-1.run.app", "https://candidate---self-heal-1.run.app"
WANTED = Wanted(
    function="self_heal",
    service="self-heal",
    project="tipoff-dev",
    region="us-central1",
    runtime="python311",
    account="self-heal@tipoff-dev.iam.gserviceaccount.com",
    memory_mb=512,
    cpu=1.0,
    concurrency=8,
    min_instances=0,
    max_instances=3,
    timeout_s=540,
    ingress="all",
    labels={"commit": COMMIT, "config-hash": "f00d"},
    variables={"TIPOFF_COMMIT": COMMIT, "TIPOFF_DATA": "gs://a/b,c"},
    secrets={"SLACK_WEBHOOK_URL": "slack-webhook-url:latest"},
    commit=COMMIT,
    config_hash="f00d",
    source="build/deploy/self_heal",
)
NEW = Function(
    state="ACTIVE",
    settings=settings_of(WANTED),
    labels={**WANTED.labels, "deployment-tool": "cli-gcloud"},
    variables={**WANTED.variables, "SOMEBODYS": "own"},
    secrets=WANTED.secrets,
)
OLD = replace(NEW, labels={"commit": BEFORE, "config-hash": "f00d"}, variables={"TIPOFF_COMMIT": BEFORE})
FAILED_ = replace(NEW, state="FAILED")


def to(revision: str, percent: int = 100, *, is_named: bool = True) -> Share:
    return Share(revision=revision, percent=percent, tag="", url="", is_named=is_named)


def tag(name: str, revision: str) -> Share:
    url = TAGGED if name == "candidate" else ""
    return Share(revision=revision, percent=0, tag=name, url=url, is_named=True)


def service(last: str, *traffic: Share, ready: str | None = None, commit: str = COMMIT, **more: Any) -> Service:
    made = ready if ready is not None else last
    told = {"settings": {}, "variables": WANTED.variables, "secrets": WANTED.secrets, **more}
    return Service(url=URL, created=last, ready=made, why="no such module", commit=commit, traffic=traffic, **told)


SERVED = (to("r1"), tag("verified", "r1"))
DEPLOYED = Did(deployed=True)
WELL = Did(deployed=True, found_well=frozenset({"r2"}))
BAD = Did(found_bad={"r2": "/health: 500"})

DECISIONS = [
    # the first one
    pytest.param(Live(), Did(), Deploy(("it is not there",), is_first=True), id="nothing there: deploy"),
    pytest.param(
        Live(function=FAILED_),
        Did(),
        Deploy(("its state is FAILED", "it has no service"), is_first=True),
        id="a first build that failed: deploy again",
    ),
    pytest.param(
        Live(function=NEW, service=service("r1", to("r1", is_named=False))),
        DEPLOYED,
        Verify("r1", URL, URL),
        id="the first revision has the requests from the start, and is asked at the service's own address",
    ),
    pytest.param(
        Live(function=NEW, service=service("r1", to("r1", is_named=False))),
        Did(found_well=frozenset({"r1"})),
        Promote("r1"),
        id="the first that is well is pinned, which says that it was verified",
    ),
    pytest.param(
        Live(function=NEW, service=service("r1", to("r1", is_named=False))),
        Did(deployed=True, found_bad={"r1": "/health: 500"}),
        Failed("revision r1 is not what it should be: /health: 500", ""),
        id="the first that is not well: nothing verified serves",
    ),
    pytest.param(
        Live(function=NEW, service=service("r1", ready="", commit=COMMIT)),
        DEPLOYED,
        Failed("revision r1 cannot serve: no such module", ""),
        id="the first that does not start",
    ),
    # the next one
    pytest.param(
        Live(function=OLD, service=service("r1", to("r1", is_named=False), commit=BEFORE)),
        Did(),
        Pin("r1"),
        id="one that somebody else deployed is pinned first, lest the new one gets its requests at once",
    ),
    pytest.param(
        Live(function=OLD, service=service("r2", *SERVED, ready="r2", commit=BEFORE)),
        Did(),
        Deploy(
            (
                f"label commit is {BEFORE}, not {COMMIT}",
                f"variable TIPOFF_COMMIT is {BEFORE}, not {COMMIT}",
                "variable TIPOFF_DATA is not set, not gs://a/b,c",
                f"the last revision is of commit {BEFORE}, not {COMMIT}",
            ),
            is_first=False,
        ),
        id="another commit: deploy, and say what differs",
    ),
    pytest.param(
        Live(function=replace(OLD, state="DEPLOYING"), service=service("r1", *SERVED)),
        Did(),
        Await(),
        id="one that is being deployed: wait",
    ),
    pytest.param(Live(function=NEW, service=service("r2", *SERVED)), DEPLOYED, Tag("r2"), id="a new revision: tag it"),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r1"))),
        DEPLOYED,
        Tag("r2"),
        id="a tag on an older revision is none",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r2"))),
        Did(),
        Verify("r2", TAGGED, URL),
        id="a tagged revision, whoever tagged it: ask it, with a token for the service",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r2"))),
        WELL,
        Promote("r2"),
        id="well: serve",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r2"))),
        replace(BAD, deployed=True),
        Failed("revision r2 is not what it should be: /health: 500", "r1"),
        id="not well: what served before goes on serving",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r2"))),
        BAD,
        Deploy(("revision r2 is not what it should be: /health: 500",), is_first=False),
        id="not well, and left by an earlier run: made anew once",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", to("r2"), tag("verified", "r2"))),
        Did(),
        Done("r2"),
        id="verified, pinned, and the wanted one: done",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", to("r2"), tag("verified", "r1"))),
        Did(),
        Verify("r2", URL, URL),
        id="pinned by hand, but never verified: ask it",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", to("r2", 50), to("r1", 50), tag("verified", "r2"))),
        WELL,
        Promote("r2"),
        id="half of the requests are not all",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, ready="r1")),
        Did(),
        Deploy(("revision r2 cannot serve: no such module",), is_first=False),
        id="a revision that does not start, left by an earlier run: deploy again",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, commit=BEFORE)),
        DEPLOYED,
        Failed(f"the last revision is of commit {BEFORE}, not {COMMIT}", "r1"),
        id="the function says that it is the new one, its service is not",
    ),
    # what failed
    pytest.param(
        Live(function=OLD, service=service("r1", *SERVED, commit=BEFORE)),
        Did(deployed=True, failed=Deploy, failure="Build failed"),
        Failed("Build failed", "r1"),
        id="a build that failed is not made again in the same run",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED)),
        Did(deployed=True, failed=Deploy, failure="no answer in time"),
        Tag("r2"),
        id="a deployment that was done though nobody said so goes on",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED)),
        Did(deployed=True, failed=Tag, failure="denied"),
        Failed("denied", "r1"),
        id="a tag that could not be given",
    ),
    pytest.param(
        Live(function=NEW, service=service("r2", *SERVED, tag("candidate", "r2"))),
        replace(WELL, failed=Promote, failure="denied"),
        Failed("denied", "r1"),
        id="traffic that could not be moved",
    ),
    pytest.param(
        Live(function=OLD, service=service("r3", to("r1"), tag("verified", "r2"), commit=BEFORE)),
        Did(deployed=True, failed=Deploy, failure="Build failed"),
        Failed("Build failed", "r1", by_hand=True),
        id="gone back to an older one by hand, which leaves the tag where it is: the older one goes on serving",
    ),
    pytest.param(
        Live(function=OLD, service=service("r3", tag("verified", "r2"), commit=BEFORE)),
        Did(deployed=True, failed=Deploy, failure="Build failed"),
        Failed("Build failed", ""),
        id="nothing has any requests",
    ),
    pytest.param(
        Live(function=OLD, service=service("r1", to("r1", is_named=False), commit=BEFORE)),
        Did(failed=Pin, failure="denied"),
        Failed("denied", ""),
        id="without a pin nothing is deployed",
    ),
]


@pytest.mark.parametrize(("live", "did", "step"), DECISIONS)
def test_the_next_step(live: Live, did: Did, step: Step) -> None:
    assert decide(WANTED, live, did) == step


def test_no_step_gives_requests_to_what_was_not_found_well() -> None:
    """Whatever is live: only Pin and Promote move them, to what has them and to what was verified in this run."""
    for param in DECISIONS:
        live, did, _ = param.values
        assert isinstance(live, Live)
        assert isinstance(did, Did)
        match decide(WANTED, live, did):
            case Promote(revision):
                assert revision in did.found_well
            case Pin(revision):
                assert live.service
                assert live.service.serving == revision


@pytest.mark.parametrize(
    ("live", "names"),
    [
        pytest.param(Live(), "deploy verify promote done", id="the first"),
        pytest.param(
            Live(function=OLD, service=service("r1", to("r1", is_named=False), tag("x", "r1"), commit=BEFORE)),
            "pin deploy tag verify promote done",
            id="the first after somebody else",
        ),
        pytest.param(
            Live(function=OLD, service=service("r1", *SERVED, commit=BEFORE)),
            "deploy tag verify promote done",
            id="the next",
        ),
        pytest.param(Live(function=NEW, service=service("r2", to("r2"), tag("verified", "r2"))), "done", id="none"),
        pytest.param(Live(function=replace(OLD, state="DEPLOYING")), "await", id="while another is under way"),
    ],
)
def test_what_would_be_done_is_told_to_the_end(live: Live, names: str) -> None:
    assert [type(step).__name__.lower() for step in foreseen(WANTED, live)] == names.split()


# --- wanted against live --------------------------------------------------------------------------------

RUNNING = Live(function=NEW, service=service("r2", to("r2")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory_mb": 1024}, "memory is 536870912, not 1073741824"),
        ({"cpu": 2.0}, "cpu is 1.0, not 2.0"),
        ({"concurrency": 1}, "concurrency is 8, not 1"),
        ({"min_instances": 1}, "min instances is 0, not 1"),
        ({"max_instances": 9}, "max instances is 3, not 9"),
        ({"timeout_s": 60}, "timeout is 540, not 60"),
        ({"ingress": "internal-only"}, "ingress is ALLOW_ALL, not ALLOW_INTERNAL_ONLY"),
        ({"runtime": "python312"}, "runtime is python311, not python312"),
        ({"account": "x"}, "account is self-heal@tipoff-dev.iam.gserviceaccount.com, not x"),
        ({"labels": {"app": ""}}, "label app is not set, not empty"),
        ({"variables": {"A": "1"}}, "variable A is not set, not 1"),
        ({"secrets": {}}, "secret SLACK_WEBHOOK_URL is not wanted"),
    ],
)
def test_every_setting_that_is_not_as_it_is_to_be_is_named(change: dict[str, Any], words: str) -> None:
    assert differences(WANTED, RUNNING) == ()
    assert words in differences(replace(WANTED, **change), RUNNING)


def test_a_last_revision_that_does_not_have_what_the_function_says_is_seen() -> None:
    told = service("r2", to("r2"), settings={"memory": 2**28, "cpu": 1.0})
    found = differences(WANTED, Live(function=NEW, service=told))
    assert found == ("memory of the last revision is 268435456, not 536870912",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"variables": {**WANTED.variables, "TIPOFF_DATA": "x"}},
            "variable TIPOFF_DATA of the last revision is x, not gs://a/b,c",
        ),
        ({"variables": {}}, "variable TIPOFF_DATA of the last revision is not set, not gs://a/b,c"),
        (
            {"secrets": {"SLACK_WEBHOOK_URL": "slack-webhook-url:1"}},
            "secret SLACK_WEBHOOK_URL of the last revision is slack-webhook-url:1, not slack-webhook-url:latest",
        ),
        (
            {"secrets": {**WANTED.secrets, "B": "b:latest"}},
            "secret B of the last revision is not wanted",
        ),
    ],
    ids=["another value", "none", "another version", "one too many"],
)
def test_a_last_revision_whose_environment_was_changed_past_the_function_is_seen(
    change: dict[str, Any], words: str
) -> None:
    """As `gcloud run services update --update-env-vars` does."""
    others = {**WANTED.variables, "LOG_EXECUTION_ID": "true"}
    assert differences(WANTED, Live(function=NEW, service=service("r2", to("r2"), variables=others))) == ()
    assert differences(WANTED, Live(function=NEW, service=service("r2", to("r2"), **change))) == (words,)


def test_a_secret_is_told_by_its_own_name_also_where_a_revision_has_another_for_it() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a-key", "key": "3"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "secret-1f", "key": "latest"}}},
        {"name": "C", "value": "c"},
        {"name": "D"},
    ]
    annotations = {"run.googleapis.com/secrets": "secret-1f:projects/1/secrets/b-key,secret-2f:projects/1/secrets/c"}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"env": env}]}}
    assert environment_of(template) == ({"C": "c", "D": ""}, {"A": "a-key:3", "B": "b-key:latest"})


def test_what_gcloud_prints_is_read() -> None:
    function = read_function(
        {
            "state": "ACTIVE",
            "buildConfig": {"runtime": "python311", "entryPoint": "self_heal"},
            "serviceConfig": {
                "availableMemory": "0.5Gi",
                "availableCpu": "1000m",
                "maxInstanceRequestConcurrency": 8,
                "maxInstanceCount": 3,
                "timeoutSeconds": 540,
                "ingressSettings": "ALLOW_ALL",
                "serviceAccountEmail": WANTED.account,
                "environmentVariables": dict(WANTED.variables),
                "secretEnvironmentVariables": [
                    {"key": "SLACK_WEBHOOK_URL", "secret": "slack-webhook-url", "version": "latest", "projectId": "1"}
                ],
            },
            "labels": dict(WANTED.labels),
        }
    )
    assert function.settings == settings_of(WANTED)
    assert (function.secrets, function.variables) == (WANTED.secrets, WANTED.variables)
    limits = {"limits": {"memory": "512Mi", "cpu": "1"}}
    secret = {"secretKeyRef": {"name": "slack-webhook-url", "key": "latest"}}
    variables = [
        *({"name": name, "value": value} for name, value in WANTED.variables.items()),
        {"name": "SLACK_WEBHOOK_URL", "valueFrom": secret},
    ]
    found = read_service(
        {
            "spec": {
                "template": {
                    "spec": {"containerConcurrency": 8, "containers": [{"env": variables, "resources": limits}]}
                },
                "traffic": [{"latestRevision": True, "percent": 100}, {"revisionName": "r1", "tag": "verified"}],
            },
            "status": {
                "url": URL,
                "latestReadyRevisionName": "r1",
                "latestCreatedRevisionName": "r2",
                "conditions": [{"type": "Ready", "status": "False", "message": "no such module"}],
                "traffic": [
                    {"revisionName": "r1", "percent": 100},
                    {"revisionName": "r1", "tag": "verified", "url": "u"},
                ],
            },
        }
    )
    assert (found.url, found.created, found.ready, found.why, found.commit) == (
        URL,
        "r2",
        "r1",
        "no such module",
        COMMIT,
    )
    assert found.settings == {"concurrency": 8, "memory": 2**29, "cpu": 1.0}
    assert (found.variables, found.secrets) == (WANTED.variables, WANTED.secrets)
    assert (found.serving, found.is_pinned) == ("r1", False)
    assert found.tagged("verified", "r1") == Share(revision="r1", percent=0, tag="verified", url="u", is_named=True)


def test_where_requests_go_is_read_from_what_moving_them_prints() -> None:
    tags = [{"tag": "candidate", "url": "u", "inSpec": True}, {"tag": "going", "inSpec": False}]
    told = [
        {"revisionName": "r1", "specPercent": "100", "tags": []},
        {"revisionName": "r2", "specPercent": "-", "latestRevision": True, "tags": tags},
    ]
    assert read_traffic(told) == (
        to("r1"),
        to("r2", 0, is_named=False),
        Share(revision="r2", percent=0, tag="candidate", url="u", is_named=False),
    )


def test_what_is_hardly_there_is_read_as_not_set() -> None:
    assert read_function({}).settings["memory"] == 0
    empty = read_service({"spec": {"template": {"spec": {}}}})
    assert (empty.serving, empty.is_pinned, empty.traffic, empty.settings) == ("", True, (), {})


# --- as commands ----------------------------------------------------------------------------------------


def test_a_deployment_leaves_nothing_to_what_google_does_by_itself() -> None:
    assert command_of(Deploy((), is_first=True), WANTED) == (
        *("functions", "deploy", "self-heal", "--gen2", "--trigger-http", "--no-allow-unauthenticated"),
        *("--project=tipoff-dev", "--region=us-central1", "--runtime=python311", "--entry-point=self_heal"),
        *("--source=build/deploy/self_heal", "--run-service-account=self-heal@tipoff-dev.iam.gserviceaccount.com"),
        *("--memory=512Mi", "--cpu=1", "--concurrency=8", "--min-instances=0", "--max-instances=3", "--timeout=540"),
        *("--ingress-settings=all", f"--update-labels=commit={COMMIT},config-hash=f00d"),
        f"--update-env-vars=^|^TIPOFF_COMMIT={COMMIT}|TIPOFF_DATA=gs://a/b,c",
        *("--set-secrets=SLACK_WEBHOOK_URL=slack-webhook-url:latest", "--format=json", "--quiet"),
    )
    assert "--clear-secrets" in command_of(Deploy((), is_first=True), replace(WANTED, secrets={}))


def test_requests_are_moved_to_a_revision_by_its_name_and_never_to_the_latest() -> None:
    moves = [command_of(step, WANTED) for step in (Pin("r1"), Tag("r2"), Promote("r2"))]
    start = ("run", "services", "update-traffic", "self-heal", "--project=tipoff-dev", "--region=us-central1")
    end = ("--format=json", "--quiet")
    assert moves == [
        (*start, "--to-revisions=r1=100", *end),
        (*start, "--update-tags=candidate=r2", *end),
        (*start, "--to-revisions=r2=100", "--update-tags=verified=r2", *end),
    ]


def test_what_is_no_command_has_none() -> None:
    assert [command_of(step, WANTED) for step in (Await(), Done("r"), Failed("", ""), Verify("r", "", ""))] == [()] * 4


def test_questions_name_project_and_region() -> None:
    asked = [function_command(WANTED), service_command(WANTED), *list_commands("tipoff-dev", "us-central1")]
    assert all("--project=tipoff-dev" in command and "--format=json" in command for command in asked)
    assert all(any(word.endswith("=us-central1") for word in command) for command in asked)


# --- what its errors mean -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why", "remedy"),
    [
        pytest.param(
            "ERROR: (gcloud.functions.deploy) ResponseError: status=[403], code=[Ok], message=[Permission "
            "'cloudfunctions.functions.create' denied on resource 'projects/p/locations/r' (or it may not exist).]",
            "cloudfunctions.functions.create",
            "you lack cloudfunctions.functions.create on projects/p/locations/r: have an owner run `gcloud projects "
            "add-iam-policy-binding tipoff-dev --member=user:YOU --role=roles/cloudfunctions.developer`",
            id="a function may not be made",
        ),
        pytest.param(
            "ERROR: (gcloud.run.services.update-traffic) PERMISSION_DENIED: Permission 'run.services.update' denied on "
            "resource 'namespaces/p/services/s' (or resource may not exist).",
            "run.services.update",
            "--role=roles/run.admin",
            id="traffic may not be moved",
        ),
        pytest.param(
            "ERROR: Permission 'run.routes.invoke' denied on resource 'x'",
            "run.routes.invoke",
            "roles/run.invoker",
            id="the longest beginning counts",
        ),
        pytest.param(
            "ERROR: Caller is missing permission 'iam.serviceaccounts.actAs' on service account "
            "projects/-/serviceAccounts/self-heal@p.iam.gserviceaccount.com. Grant the role",
            "iam.serviceaccounts.actAs",
            "you may not act as self-heal@p.iam.gserviceaccount.com: have an owner run `gcloud iam service-accounts "
            "add-iam-policy-binding self-heal@p.iam.gserviceaccount.com --project=tipoff-dev --member=user:YOU "
            "--role=roles/iam.serviceAccountUser`",
            id="its account may not be used",
        ),
        pytest.param(
            "ERROR: (gcloud.functions.list) You do not currently have an active account selected.\nPlease run: x",
            "active account",
            "run `gcloud auth login`",
            id="nobody is logged in",
        ),
        pytest.param(
            "ERROR: Cloud Functions API has not been used in project 1 before or it is disabled. "
            "Visit https://console/apis/run.googleapis.com",
            "has not been used",
            "run `gcloud services enable run.googleapis.com --project=tipoff-dev`",
            id="an API that is off",
        ),
        pytest.param(
            "ERROR: SERVICE_DISABLED", "SERVICE_DISABLED", "enable cloudfunctions.googleapis.com", id="which?"
        ),
        pytest.param("ERROR: Service account a@b was not found.", "a@b", "bin/deploy/iam", id="no such account"),
        pytest.param(
            "ERROR: Secret projects/p/secrets/s was not found", "secrets/s", "bin/deploy/secrets", id="secret"
        ),
        pytest.param(
            "ERROR: unable to queue the operation", "queue", "another deployment is under way", id="two at once"
        ),
        pytest.param(
            "ERROR: Build failed with status: FAILURE. Could not build the function due to a missing permission on the "
            "build service account. If you didn't revoke that permission explicitly, this could be caused by a change",
            "missing permission",
            "have an owner give it roles/cloudbuild.builds.builder: docs/deploy.md",
            id="a new project whose account may not build",
        ),
        pytest.param(
            "ERROR: Build failed: no such package", "no such", "gcloud builds list --project=tipoff-dev", id="build"
        ),
        pytest.param(
            "ERROR: Revision 'r2' is not ready: Container Healthcheck failed",
            "Healthcheck",
            "gcloud functions logs read self-heal --gen2 --project=tipoff-dev --region=us-central1",
            id="a revision that does not start",
        ),
        pytest.param(
            "ERROR: Revision 'r2' is not ready and cannot serve traffic. spec.template.spec.containers[0].env[9]: "
            "Permission denied on secret: projects/1/secrets/a/versions/latest for Revision service account a@b. The "
            "service account used must be granted the 'Secret Manager Secret Accessor' role",
            "projects/1/secrets/a",
            "run `bin/deploy/iam`, then this again",
            id="a secret that its account may not read",
        ),
        pytest.param("ERROR: Quota exceeded", "Quota", "wait a minute", id="quota"),
        pytest.param("one\ntwo\nthree\nfour\x1b[31m", "two three four [31m", AGAIN, id="what nobody knows"),
        pytest.param("", "gcloud said nothing", AGAIN, id="nothing"),
    ],
)
def test_an_error_is_explained(said: str, why: str, remedy: str) -> None:
    told = explain(said, WANTED)
    assert why in told
    assert remedy in told
    assert told.isprintable()


def test_an_explanation_is_short_and_without_secrets() -> None:
    secret = "ya29.a0AfB_by"  # noqa: S105 - looks like one
    told = explain(f"ERROR: Authorization: Bearer abc.def {secret} eyJhbGciOi.eyJz {'x' * 2_000}", WANTED)
    assert len(told) < 600
    assert not [word for word in ("abc.def", secret, "eyJ") if word in told]
