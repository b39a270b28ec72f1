"""bin/deploy/deploy as a person types it: what it does, what it says, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import monotonic, sleep

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from orchestration.deploying.command import FAILED, OK, USAGE, chosen, main
from orchestration.deploying.engine import AWAITS_MAX, deploy
from orchestration.deploying.selftest import self_tests
from orchestration.deploying.tools import InstalledGcloud, NotPossible, Ran, Tools, commit_of, real_look
from orchestration.deploying.wanted import wanted_of
from orchestration.healing import heartbeat
from orchestration.staging import REPOSITORY, stage
from shared.adapters.sqlite import Sqlite
from shared.config.deployment import environment, service_of
from shared.config.functions import FUNCTIONS, function
from shared.core.deployment import Verify
from shared.core.drift import Kind
from shared.endpoint import Endpoint, Identity, Parts
from shared.ports import Ports
from tests.cloud.fake import Fault, denied
from tests.cloud.functions import Mishap
from tests.cloud.google import TOKEN, Google, gcloud_environment, google, require_gcloud
from tests.cloud.memory import MemoryGcloud
from tests.cloud.whole import whole
from tests.flow.dashboards import answering

PATIENCE_S = 240.0


def git(repository: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(repository), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Something to have a commit of; what is staged is this clone's."""
    made = tmp_path / "clone"
    made.mkdir()
    (made / ".gitignore").write_text("build/\n.venv\n")
    git(made, "init", "-q")
    commit(made)
    return made


def commit(repository: Path) -> str:
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", "another")
    return commit_of(repository)


@dataclass(slots=True)
class Typed:
    """The command with gcloud in memory."""

    repository: Path
    gcloud: MemoryGcloud
    capsys: pytest.CaptureFixture[str]

    def __call__(self, line: str) -> tuple[int, str, str]:
        tools = Tools(gcloud=self.gcloud, look=self.gcloud.look, pause=lambda _: None)
        code = main(shlex.split(line), tools, self.repository)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def serving(self, name: str = "self-heal") -> list[str]:
        return [revision.identity["version"] for revision in self.gcloud.run.services[name].serving()]


@pytest.fixture
def typed(repository: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(repository, MemoryGcloud(), capsys)


# --- what it does ---------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_says_so(typed: Typed) -> None:
    code, out, err = typed("self_heal mlb_prediction_worker")
    assert code == OK
    assert out.count("deployed") == 2
    assert "2 deployed (" in err
    before = typed.gcloud.cloud.changing()
    code, out, err = typed("self_heal mlb_prediction_worker")
    assert (code, out.count("unchanged")) == (OK, 2)
    assert "2 unchanged; nothing was changed (" in err
    assert typed.gcloud.cloud.changing() == before


def test_a_revision_that_is_not_what_was_deployed_does_not_serve_and_the_old_one_does(typed: Typed) -> None:
    typed("self_heal")
    first = commit_of(typed.repository)
    second = commit(typed.repository)
    typed.gcloud.functions.mishaps["self-heal"] = [Mishap.WRONG_CODE]
    code, _, err = typed("self_heal")
    assert code == FAILED
    told = f"/health says version '{'0' * 40}', not '{second}'"
    assert f"self_heal failed: revision self-heal-00002-fak is not what it should be: {told}" in err
    assert "(self-heal-00001-fak goes on serving)" in err
    assert typed.serving() == [first]
    assert typed("self_heal")[0] == OK
    assert typed.serving() == [second]


def test_after_a_rollback_by_hand_a_failing_deployment_says_that_the_older_one_serves(typed: Typed) -> None:
    typed("self_heal")
    first = commit_of(typed.repository)
    commit(typed.repository)
    typed("self_heal")
    project = environment("dev").project
    back = typed.gcloud(  # as docs/deploy.md says
        (
            *("run", "services", "update-traffic", "self-heal", "--to-revisions=self-heal-00001-fak=100"),
            *(f"--project={project}", "--region=us-central1"),
        )
    )
    assert back.code == 0
    commit(typed.repository)
    typed.gcloud.functions.mishaps["self-heal"] = [Mishap.BUILD_ERROR]
    code, _, err = typed("self_heal")
    assert code == FAILED
    assert "(self-heal-00001-fak goes on serving, as somebody has said by hand)" in err
    assert typed.serving() == [first]


def test_a_first_revision_that_is_not_well_is_to_be_invoked_by_nobody(typed: Typed) -> None:
    typed.gcloud.functions.mishaps["self-heal"] = [Mishap.SICK]
    code, _, err = typed("self_heal")
    assert code == FAILED
    assert "nothing that was verified serves: let nothing invoke it before it is deployed" in err


def test_one_that_fails_stops_no_other(typed: Typed) -> None:
    typed.gcloud.functions.mishaps["self-heal"] = [Mishap.BUILD_ERROR]
    code, out, err = typed("self_heal phase1_to_phase2 raw_processor --json")
    told = json.loads(out)
    assert code == FAILED
    assert {each["function"]: each["result"] for each in told["functions"]} == {
        "phase1_to_phase2": "deployed",
        "self_heal": "failed",
        "raw_processor": "deployed",
    }
    assert told["counts"] == {"deployed": 2, "failed": 1}
    assert "Build failed: requirements.txt: no matching distribution; read the build's log: `gcloud builds list" in err


def test_what_may_not_be_done_is_explained(typed: Typed) -> None:
    permission, resource = "cloudfunctions.functions.list", "projects/tipoff-dev/locations/us-central1"
    typed.gcloud.cloud.faults = [Fault("GET cloudfunctions", denied(permission, resource))]
    code, _, err = typed("self_heal")
    assert code == FAILED
    assert f"you lack {permission} on {resource}: have an owner run `gcloud projects add-iam-policy-binding" in err
    assert "what serves was not touched" in err
    assert not typed.gcloud.cloud.changing()


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_run_that_was_cut_anywhere_is_taken_up_by_the_next(tmp_path: Path, is_done: bool) -> None:
    old, new = "a" * 40, "b" * 40
    for cut_at in range(20):
        memory = MemoryGcloud()
        tools = Tools(gcloud=memory, look=memory.look, pause=lambda _: None)
        spec, there = function("self_heal"), environment("dev")
        deploy(wanted_of(spec, there, old, tmp_path), None, tools, lambda _: None)
        wanted = wanted_of(spec, there, new, tmp_path)
        if not is_cut(wanted, memory, cut_at, is_done=is_done):
            assert cut_at == 6, "gather, deploy, tag and promote"
            return
        assert [each.identity["version"] for each in memory.run.services["self-heal"].serving()] in ([old], [new])
        assert deploy(wanted, None, tools, lambda _: None).result in ("deployed", "unchanged")
        assert [each.identity["version"] for each in memory.run.services["self-heal"].serving()] == [new]
    raise AssertionError("it never ended")


class Cut(Exception):
    """As if the process had been killed."""


def is_cut(wanted: object, memory: MemoryGcloud, cut_at: int, *, is_done: bool) -> bool:
    calls = iter(range(99))

    def gcloud(arguments: Sequence[str]) -> Ran:
        is_now = next(calls) == cut_at
        if is_now and not is_done:
            raise Cut
        ran = memory(arguments)
        if is_now:
            raise Cut
        return ran

    try:
        deploy(wanted, None, Tools(gcloud=gcloud, look=memory.look, pause=lambda _: None), lambda _: None)  # type: ignore[arg-type]
    except Cut:
        return True
    return False


def test_it_waits_for_anothers_deployment_and_not_for_ever(tmp_path: Path) -> None:
    memory, waits, said = MemoryGcloud(), list[float](), list[str]()
    tools = Tools(gcloud=memory, look=memory.look, pause=waits.append)
    wanted = wanted_of(function("self_heal"), environment("dev"), "a" * 40, tmp_path)
    deploy(wanted, None, tools, said.append)
    memory.functions.busy["self-heal"] = 4
    assert deploy(wanted, None, tools, said.append).result == "unchanged"
    assert (len(waits), said.count("another deployment is under way; waiting for it")) == (4, 1)
    memory.functions.busy["self-heal"] = AWAITS_MAX + 2
    outcome = deploy(wanted, None, tools, said.append)
    assert (outcome.result, outcome.why) == ("failed", "another deployment does not end; look in the console")


@pytest.mark.parametrize("name", ["self_heal", "mlb_prediction_worker", "raw_processor"])
def test_doctor_finds_a_deployed_function_as_it_was_declared(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with whole(monkeypatch) as made:
        memory = MemoryGcloud(made.google)
        tools = Tools(gcloud=memory, look=memory.look, pause=lambda _: None)
        outcome = deploy(wanted_of(function(name), made.place, "0123abc", tmp_path), None, tools, lambda _: None)
        assert outcome.result == "deployed", outcome.why
        of = (Kind.FUNCTION, service_of(name))
        found = [each for each in made.look().differences if (each.kind, each.name) == of]
    assert [each.live for each in found] == ["nobody"], "invokes it: there is neither topic nor schedule yet"


# --- dry run --------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_exact_commands_and_changes_nothing(typed: Typed) -> None:
    code, out, err = typed("self_heal --dry-run")
    assert code == OK
    commands = [shlex.split(line) for line in out.splitlines() if not line.startswith("#")]
    assert [command[:4] for command in commands] == [
        ["gcloud", "functions", "deploy", "self-heal"],
        ["gcloud", "run", "services", "update-traffic"],
    ]
    assert "dry run: 1 to deploy, 0 unchanged, 0 that would not serve; nothing was changed (" in err
    assert not typed.gcloud.cloud.changing()
    typed("self_heal")
    assert "\n# self-heal-00001-fak serves, verified\n" in typed("self_heal --dry-run")[1]
    steps = json.loads(typed("self_heal --dry-run --json")[1])["functions"][0]["steps"]
    assert steps == [{"step": "done", "revision": "self-heal-00001-fak", "command": []}]


def test_a_dry_run_does_without_gcloud_and_without_a_commit(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "git")
    monkeypatch.setenv("PATH", str(tmp_path))
    (repository / "changed").touch()
    assert main(["self_heal", "--dry-run"], repository=repository) == OK
    said = capsys.readouterr()
    assert "what is live is not known, so this is what a first deployment would do: gcloud is not installed" in said.err
    assert "gcloud functions deploy self-heal" in said.out


# --- what cannot be done --------------------------------------------------------------------------------


def test_without_gcloud_it_says_where_to_get_it(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "git")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["self_heal"], repository=repository) == USAGE
    assert "gcloud is not installed: https://cloud.google.com/sdk/docs/install" in capsys.readouterr().err


def test_what_is_not_committed_is_not_deployed(typed: Typed) -> None:
    (typed.repository / "main.py").touch()
    code, _, err = typed("self_heal")
    assert code == USAGE
    assert "not committed: main.py; what is deployed must be a commit" in err
    assert not typed.gcloud.cloud.made()


def test_outside_a_clone_nothing_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="is no clone of the repository"):
        commit_of(tmp_path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "name functions, or give --all"),
        ("--all self_heal", "--all means every function: name none"),
        ("selfheal", "'selfheal' (did you mean self_heal?); declared are phase1_to_phase2"),
        ("self_heal nope", "no function: 'nope'; declared"),
        ("self_heal --env test", "invalid choice: 'test'"),
    ],
)
def test_a_bad_name_is_refused_with_the_good_ones(line: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line))
    assert ended.value.code == USAGE
    assert why in capsys.readouterr().err


def test_a_name_may_be_that_of_the_service_and_counts_once() -> None:
    assert chosen(["self-heal", "self_heal"], False) == (function("self_heal"),)
    assert chosen([], True) == FUNCTIONS


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "bin/deploy/deploy --all --dry-run" in capsys.readouterr().out


# --- the self-test --------------------------------------------------------------------------------------

COMMIT = "a" * 40


def test_every_staged_function_would_serve(tmp_path: Path) -> None:
    staged = [stage(spec.name, tmp_path) for spec in FUNCTIONS]
    wanted = [wanted_of(function(each.name), environment("prod"), COMMIT, each.folder) for each in staged]
    assert dict(zip([each.name for each in staged], self_tests(wanted), strict=True)) == dict.fromkeys(
        [spec.name for spec in FUNCTIONS], ""
    )
    assert not list(tmp_path.rglob("__pycache__")), "what was tested is what is uploaded"


def test_a_test_says_nothing_of_its_neighbour(tmp_path: Path) -> None:
    wanted = [
        wanted_of(function(name), environment("dev"), COMMIT, stage(name, tmp_path).folder)
        for name in ("phase1_to_phase2", "phase2_to_phase3")
    ]
    (tmp_path / "phase1_to_phase2" / "main.py").write_text("print('{}')\nraise SystemExit(0)\n")
    broken, sound = self_tests(wanted)
    assert "it cannot be imported" in broken
    assert sound == ""


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("import nothing_of_the_kind\n", "No module named 'nothing_of_the_kind'"),
        ("import pytest\n", "it imports ['_pytest', "),
        ("import time\ntime.sleep(9)\n", "its import took more than 5 s"),
    ],
    ids=["a bad import", "a package that is not deployed", "a slow import"],
)
def test_a_staged_function_that_would_not_serve_is_found_before_it_is_built(
    broken: str, why: str, tmp_path: Path
) -> None:
    staged = stage("phase1_to_phase2", tmp_path)
    main_file = staged.folder / "main.py"
    main_file.write_text(broken + main_file.read_text())
    wanted = wanted_of(function("phase1_to_phase2"), environment("dev"), COMMIT, staged.folder)
    assert why in self_tests([wanted], within_s=5 if "took" in why else 60)[0]


def test_a_staged_function_that_is_another_is_found(tmp_path: Path) -> None:
    staged = stage("phase1_to_phase2", tmp_path)
    wanted = wanted_of(function("phase1_to_phase2"), environment("dev"), COMMIT, staged.folder)
    assert self_tests([replace(wanted, commit="b" * 40)])[0] == f"/health says version {COMMIT!r}, not {'b' * 40!r}"


# --- the tools ------------------------------------------------------------------------------------------


def test_a_command_that_does_not_end_is_ended_with_its_children() -> None:
    started_at = monotonic()
    ran = InstalledGcloud("bash", call_s=0.5)(["-c", "sleep 60 & sleep 60"])
    assert (ran.code, "no answer within 0.5 s" in ran.err) == (None, True)
    assert monotonic() - started_at < 10


def test_who_interrupts_does_not_wait_for_what_runs() -> None:
    gcloud, started_at = InstalledGcloud("sleep"), monotonic()
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(gcloud, ["60"])
        while not gcloud._running:
            sleep(0.01)
        gcloud.stop()
        assert running.result().code == -signal.SIGKILL
    assert gcloud(["60"]) == Ran(None, "", "ERROR: interrupted")
    assert monotonic() - started_at < 10


@pytest.mark.parametrize(
    ("account", "impersonated", "named"),
    [
        ("a.person@example.com", "", ()),
        ("deployer@p.iam.gserviceaccount.com", "", ("--audiences=https://self-heal.invalid",)),
        (
            "a.person@example.com",
            "deployer@p.iam.gserviceaccount.com",
            (
                "--audiences=https://self-heal.invalid",
                "--impersonate-service-account=deployer@p.iam.gserviceaccount.com",
                "--include-email",
            ),
        ),
    ],
    ids=["a person", "a service account", "a person who acts as a service account"],
)
def test_a_token_is_asked_as_whoever_deploys_and_for_the_service(
    account: str, impersonated: str, named: tuple[str, ...]
) -> None:
    """Unlike all other commands, this one takes no notice of the setting that says as whom one acts."""
    asked: list[tuple[str, ...]] = []

    def gcloud(arguments: Sequence[str]) -> Ran:
        asked.append(tuple(arguments))
        settings = {"account": account, "auth/impersonate_service_account": impersonated}
        return Ran(0, f"{settings[arguments[-1]]}\n", "") if "config" in arguments else Ran(1, "", "ERROR: no")

    look = real_look(gcloud, ready_s=0.0)
    step = Verify("r2", "https://candidate---self-heal.invalid", "https://self-heal.invalid")
    why = look(step, wanted_of(function("self_heal"), environment("dev"), COMMIT, Path()))
    assert "gcloud gives no identity token" in why
    assert asked[-1] == ("auth", "print-identity-token", *named)


@pytest.mark.parametrize(
    ("own", "why"),
    [("", ""), ("the state is away", "/ready: not ready: state: OSError: the state is away; heartbeat: NoHeartbeat: ")],
    ids=["is verified", "unless something of its own fails too"],
)
def test_a_candidate_of_an_installation_whose_timer_is_dead(own: str, why: str) -> None:
    """Or a dead self_heal could not be replaced: who does not serve yet leaves no heartbeat."""
    store, clock, wanted = (
        Sqlite(":memory:"),
        Ahead(),
        wanted_of(function("self_heal"), environment("dev"), COMMIT, Path()),
    )
    ports = Ports(states=store.states, bus=store.bus, clock=clock)
    store.states.beat("self-heal", clock.now() - timedelta(hours=2))

    def state() -> None:
        if own:
            raise OSError(own)

    parts = Parts(ports=ports, handlers={}, checks={"state": state}, installation={"heartbeat": heartbeat(ports)})
    identity = Identity(service="self_heal", version=COMMIT, config_hash=wanted.config_hash)
    with served(Endpoint(identity, lambda: parts)) as url:
        found = real_look(lambda _: Ran(0, "token\n", ""), ready_s=0.0)(Verify("r2", url, url), wanted)
    assert found.startswith(why) if why else not found


class Ahead:
    def now(self) -> datetime:
        return datetime(2031, 11, 1, 12, 0, tzinfo=timezone.utc)


@contextmanager
def served(endpoint: Endpoint) -> Iterator[str]:
    """Where it answers, on this machine."""

    def answer(request: Request) -> Response:
        body, status, headers = endpoint(request)  # type: ignore[arg-type]
        return Response(body, status, headers)

    with make_server("127.0.0.1", 0, Request.application(answer), threaded=True) as server, answering(server) as url:
        yield url


# --- the whole, with the installed gcloud ---------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path, repository: Path) -> Path:
    """This repository as it stands, committed."""
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-co", "--exclude-standard", "-z"], check=True, capture_output=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (REPOSITORY / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, repository / name)
    (repository / ".venv").symlink_to(Path(sys.prefix))
    commit(repository)
    return repository


@pytest.fixture
def there() -> Iterator[Google]:
    require_gcloud()
    with google() as made:
        yield made


def start(clone: Path, there: Google, *arguments: str) -> subprocess.Popen[str]:
    variables = gcloud_environment(there.cloud.port, clone.parent / "gcloud")
    return subprocess.Popen(
        [clone / "bin" / "deploy" / "deploy", *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=clone.parent,
    )


def run(clone: Path, there: Google, *arguments: str) -> tuple[int, str, str]:
    process = start(clone, there, *arguments)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert TOKEN not in out + err
    return process.returncode, out, err


UPLOAD = [
    "POST cloudfunctions/v2/projects/tipoff-dev/locations/us-central1/functions:generateUploadUrl",
    "PUT upload/source-{}.zip",
    "POST cloudresourcemanager/v1/projects/tipoff-dev:getIamPolicy",  # only read, to see whether builds may run
]
FUNCTION = "cloudfunctions/v2/projects/tipoff-dev/locations/us-central1/functions"
SERVICE = "run/apis/serving.knative.dev/v1/namespaces/tipoff-dev/services/self-heal"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_a_clone_to_a_revision_that_serves_with_the_installed_gcloud(clone: Path, there: Google) -> None:
    """The requests of a first deployment, of a second run, of the next commit, killed and taken up again."""
    code, out, err = run(clone, there, "self_heal")
    assert (code, "deployed" in out) == (OK, True), err
    assert there.cloud.changing() == [
        *(request.format(1) for request in UPLOAD),
        f"POST {FUNCTION}",
        f"PUT {SERVICE}",
    ]
    assert as_declared(there, commit_of(clone))
    assert {"main.py", "requirements.txt", "shared/endpoint.py"} <= there.functions.files("self-heal")
    there.cloud.requests.clear()

    assert run(clone, there, "self_heal")[0] == OK
    assert not there.cloud.changing()

    new = commit(clone)
    killed(start(clone, there, "self_heal"), there, f"PATCH {FUNCTION}/self-heal")
    assert {each.identity["version"] for each in there.run.services["self-heal"].serving()} != {new}
    there.cloud.requests.clear()
    code, out, err = run(clone, there, "self_heal", "--json")
    assert (code, json.loads(out)["functions"][0]["steps"]) == (OK, ["tag", "verify", "promote"]), err
    assert there.cloud.changing() == [f"PUT {SERVICE}", f"PUT {SERVICE}"]
    traffic = there.cloud.made(f"PUT {SERVICE}")[-1].json["spec"]["traffic"]
    assert {"latestRevision": True, "percent": 100} not in traffic
    assert [each.identity["version"] for each in there.run.services["self-heal"].serving()] == [new]


def as_declared(there: Google, head: str) -> bool:
    """What was sent, field by field."""
    (sent,) = there.cloud.made(f"POST {FUNCTION}$")
    spec, dev = function("self_heal"), environment("dev")
    assert sent.query["functionId"] == "self-heal"
    assert sent.json["labels"] == {
        "app": "tipoff",
        "pipeline": "nba",
        "commit": head,
        "config-hash": sent.json["labels"]["config-hash"],
        "deployment-tool": "cli-gcloud",
    }
    assert (sent.json["buildConfig"]["runtime"], sent.json["buildConfig"]["entryPoint"]) == ("python311", "self_heal")
    config = dict(sent.json["serviceConfig"])
    variables = config.pop("environmentVariables")
    secrets = config.pop("secretEnvironmentVariables", [])
    assert config == {
        "availableCpu": "1",
        "availableMemory": f"{spec.memory_mb}Mi",
        "ingressSettings": "ALLOW_ALL",
        "maxInstanceCount": spec.max_instances,
        "maxInstanceRequestConcurrency": spec.concurrency,
        "minInstanceCount": spec.min_instances,
        "serviceAccountEmail": "self-heal@tipoff-dev.iam.gserviceaccount.com",
        "timeoutSeconds": spec.timeout_s,
    }
    assert variables == {**wanted_of(spec, dev, head, Path()).variables}
    assert [each["key"] for each in secrets] == sorted(spec.secrets)
    return True


def killed(process: subprocess.Popen[str], there: Google, request: str) -> None:
    """Kill -9 once this request was made; gcloud itself goes on and ends by itself."""
    until = monotonic() + PATIENCE_S
    while not there.cloud.made(request):
        assert monotonic() < until
        assert process.poll() is None, process.communicate()
        sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
