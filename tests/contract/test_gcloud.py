"""gcloud as a deployment uses it: the installed one against a fake Google Cloud, and the one in memory, alike."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestration.deploying.engine import deploy, gather, gather_all
from orchestration.deploying.tools import InstalledGcloud, Tools, real_look
from orchestration.deploying.wanted import wanted_of
from shared.config.deployment import environment
from shared.config.functions import function
from shared.core.deployment import Deploy, Pin, Promote, Tag
from shared.core.gcloud import command_of
from shared.core.revisions import Live, Wanted, differences, read_traffic
from tests.cloud.fake import Cloud, Fault, denied
from tests.cloud.functions import Functions, Mishap
from tests.cloud.google import gcloud_environment, google, require_gcloud
from tests.cloud.memory import MemoryGcloud
from tests.cloud.run import CloudRun

A, B = "a" * 40, "b" * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    tools: Tools
    cloud: Cloud
    run: CloudRun
    functions: Functions
    source: Path

    def wanted(self, commit: str = A, name: str = "self_heal", **changes: object) -> Wanted:
        return replace(wanted_of(function(name), environment("dev"), commit, self.source), **changes)  # type: ignore[arg-type]

    def deploy(self, wanted: Wanted) -> tuple[str, str]:
        outcome = deploy(wanted, None, self.tools, lambda _: None)
        return outcome.result, outcome.why


@pytest.fixture(params=["memory", "gcloud"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    source = tmp_path / "staged"
    source.mkdir()
    (source / "main.py").write_text("def self_heal(request):\n    return 'x'\n")
    (source / "requirements.txt").write_text("functions-framework==3.10.2\n")
    if request.param == "memory":
        memory = MemoryGcloud()
        tools = Tools(gcloud=memory, look=memory.look, pause=lambda _: None)
        yield World(tools=tools, cloud=memory.cloud, run=memory.run, functions=memory.functions, source=source)
        return
    program = require_gcloud()
    with google() as made:
        variables = {**os.environ, **gcloud_environment(made.cloud.port, tmp_path / "gcloud")}
        gcloud = InstalledGcloud(program, variables, deploy_s=8.0)
        tools = Tools(gcloud=gcloud, look=real_look(gcloud, ready_s=0.0), pause=lambda _: None)
        yield World(tools=tools, cloud=made.cloud, run=made.run, functions=made.functions, source=source)
        shutil.rmtree(tmp_path / "gcloud", ignore_errors=True)


UNUSUAL = {
    "runtime": "python312",
    "memory_mb": 2048,
    "cpu": 2.0,
    "concurrency": 3,
    "min_instances": 1,
    "max_instances": 7,
    "timeout_s": 77,
    "ingress": "internal-only",
    "account": "another@tipoff-dev.iam.gserviceaccount.com",
    "variables": {"TIPOFF_COMMIT": A, "A": "b,c=d e", "EMPTY": ""},
    "secrets": {"A_KEY": "a-key:latest", "B_KEY": "b-key:3"},
}
"""Each unlike its default, and unlike what is declared: so each flag is seen to arrive."""


def test_what_is_deployed_is_what_was_wanted(world: World) -> None:
    wanted = world.wanted(**UNUSUAL)
    assert gather(wanted, world.tools) == Live()
    ran = world.tools.gcloud(command_of(Deploy((), is_first=True), wanted))
    assert (ran.code, ran.err if ran.code else "") == (0, "")
    (sent,) = world.cloud.made("POST cloudfunctions.*/functions$")
    config = sent.json["serviceConfig"]
    secrets = {each["key"]: (each["secret"], each["version"]) for each in config.pop("secretEnvironmentVariables")}
    assert secrets == {"A_KEY": ("a-key", "latest"), "B_KEY": ("b-key", "3")}
    assert config == {
        "availableCpu": "2",
        "availableMemory": "2048Mi",
        "environmentVariables": UNUSUAL["variables"],
        "ingressSettings": "ALLOW_INTERNAL_ONLY",
        "maxInstanceCount": 7,
        "maxInstanceRequestConcurrency": 3,
        "minInstanceCount": 1,
        "serviceAccountEmail": "another@tipoff-dev.iam.gserviceaccount.com",
        "timeoutSeconds": 77,
    }
    assert sent.json["buildConfig"]["runtime"] == "python312"
    assert sent.json["labels"].items() >= wanted.labels.items()
    live = gather(wanted, world.tools)
    assert differences(wanted, live) == ()
    assert gather_all([wanted, world.wanted(name="raw_processor")], world.tools) == {
        "self_heal": live,
        "raw_processor": Live(),
    }
    assert live.service
    assert (live.service.serving, live.service.is_pinned) == ("self-heal-00001-fak", False)


def test_variables_of_others_stay_and_secrets_that_are_not_wanted_go(world: World) -> None:
    first = world.wanted(variables={"SOMEBODYS": "own", "TIPOFF_COMMIT": A}, secrets={"A_KEY": "a-key:latest"})
    world.tools.gcloud(command_of(Deploy((), is_first=True), first))
    ran = world.tools.gcloud(command_of(Deploy((), is_first=False), world.wanted(B, secrets={})))
    assert (ran.code, ran.err if ran.code else "") == (0, "")
    config = world.functions.functions["self-heal"]["serviceConfig"]
    assert config["environmentVariables"]["SOMEBODYS"] == "own"
    assert config["environmentVariables"]["TIPOFF_COMMIT"] == B
    assert not config.get("secretEnvironmentVariables")


def test_a_pinned_revision_keeps_its_requests_while_another_is_made_and_tagged(world: World) -> None:
    wanted, gcloud = world.wanted(), world.tools.gcloud
    old, new = "self-heal-00001-fak", "self-heal-00002-fak"
    for step in (Deploy((), is_first=True), Pin(old), Deploy((), is_first=False), Tag(new)):
        ran = gcloud(command_of(step, wanted))
        assert (ran.code, ran.err if ran.code else "") == (0, "")
    live = gather(wanted, world.tools).service
    assert live
    assert set(read_traffic(json.loads(ran.out))) >= set(live.traffic)
    assert (live.serving, live.ready, live.has_all(old)) == (old, new, True)
    tagged = live.tagged("candidate", new)
    assert tagged
    assert tagged.url == world.run.url("self-heal", "candidate")
    assert gcloud(command_of(Promote(new), wanted)).code == 0
    live = gather(wanted, world.tools).service
    assert live
    assert live.has_all(new)
    assert live.tagged("verified", new)


MISHAPS = {
    Mishap.BUILD_ERROR: "Build failed",
    Mishap.BAD_IMPORT: "is not ready: The user-provided container failed to start",
    Mishap.MISSING_SECRET: "versions/latest was not found",
    Mishap.PARTIAL: "An internal error has occurred",
    Mishap.SICK: "",
    Mishap.WRONG_CODE: "",
    Mishap.TIMEOUT: "what was asked may still be done",
}
"""What gcloud says of each; of a revision that starts it says nothing."""


def test_what_a_mishap_looks_like(world: World) -> None:
    world.tools.gcloud(command_of(Deploy((), is_first=True), world.wanted()))
    for mishap, words in MISHAPS.items():
        world.functions.mishaps["self-heal"] = [mishap]
        ran = world.tools.gcloud(command_of(Deploy((), is_first=False), world.wanted()))
        assert words in ran.err, mishap
        assert (ran.code == 0) == (not words), mishap
    assert [each.is_ready for each in world.run.services["self-heal"].revisions] == [
        True,
        False,
        False,
        True,
        True,
        True,
    ]


def test_a_permission_that_is_lacking_is_named_with_what_grants_it(world: World) -> None:
    permission, resource = "cloudfunctions.functions.create", "projects/tipoff-dev/locations/us-central1"
    world.cloud.faults = [Fault("POST .*/functions$", denied(permission, resource), times=9)]
    result, why = world.deploy(world.wanted())
    assert result == "failed"
    assert f"you lack {permission} on {resource}: have an owner run `gcloud projects add-iam-policy-binding" in why
