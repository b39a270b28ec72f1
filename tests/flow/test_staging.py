"""What is deployed of a function, laid out and served as Google's builder would: by itself, or not at all."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from orchestration.emulators import free_port
from orchestration.stack import serve_command
from orchestration.staging import FUNCTIONS as FUNCTIONS_FOLDER
from orchestration.staging import REQUIREMENTS, NotStaged, stage
from shared.config.functions import FUNCTIONS, function
from shared.config.orchestration_config import pipeline
from shared.config.settings import process_environment
from shared.core.plan import config_hash

NAMES = [spec.name for spec in FUNCTIONS]
PAGES = (".html", ".css", ".js", ".svg")
GATE, SERVICE = "phase2_to_phase3", "raw_processor"
PATIENCE_S = 60.0
NOWHERE = {
    "TIPOFF_TARGET": "emulators",
    "TIPOFF_COMMIT": "0123abc",
    "TIPOFF_DATA": "/nowhere",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
}
"""Emulators that nobody has started: a function starts without them."""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return tmp_path / "build"


# --- what is laid out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_staged_function_is_the_same_bytes_every_time(name: str, build: Path, tmp_path: Path) -> None:
    first, again = stage(name, build), stage(name, tmp_path / "other")
    assert digests(first.folder) == digests(again.folder)
    (first.folder / "left_over.py").touch()
    assert digests(stage(name, build).folder) == digests(again.folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_staged_function_is_real_files_of_what_it_needs(name: str, build: Path) -> None:
    staged = stage(name, build)
    assert staged.folder == build / name
    assert not [path for path in staged.folder.rglob("*") if path.is_symlink()]
    files = {path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file()}
    assert {"main.py", "requirements.txt", "shared/endpoint.py"} <= files
    strange = ("tests/", "simulation/", "orchestration/cli", "orchestration/stack", "orchestration/cloud_functions")
    strange += ("shared/live", "shared/adapters/cloud")  # what may change the whole project
    assert not [file for file in files if file.startswith(strange)]
    assert {Path(file).suffix for file in files} <= {".py", ".sql", ".txt", *PAGES}
    assert set(staged.modules) <= {file.removesuffix(".py").replace("/", ".") for file in files}


def test_the_processors_have_their_statements_beside_them(build: Path) -> None:
    folder = stage(SERVICE, build).folder / "data_processors" / "nba"
    source = {path.name for path in (REQUIREMENTS.parents[1] / "data_processors" / "nba").glob("*.sql")}
    assert {path.name for path in folder.glob("*.sql")} == source


def test_the_dashboard_has_its_pages_beside_it_and_no_other_function_has(build: Path) -> None:
    folder = stage("nba_admin_dashboard", build).folder / "orchestration" / "dashboard"
    source = {path.name for path in (FUNCTIONS_FOLDER.parent / "dashboard").iterdir() if path.suffix in PAGES}
    assert {path.name for path in folder.iterdir() if path.suffix in PAGES} == source
    assert not [path for path in stage(GATE, build).folder.rglob("*") if path.suffix in PAGES]


def test_requirements_are_the_pinned_list_with_its_hashes(build: Path) -> None:
    text = (stage(GATE, build).folder / "requirements.txt").read_text(encoding="utf-8")
    assert text == REQUIREMENTS.read_text(encoding="utf-8")
    pinned = re.findall(r"^([A-Za-z0-9._\[\]-]+)(==\S+)? \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    named = re.findall(r"^[A-Za-z0-9].*", text, re.MULTILINE)
    assert len(pinned) == len(named) > 10
    assert all(version for _, version in pinned)
    names = {name.partition("[")[0] for name, _ in pinned}
    assert {"functions-framework", "google-cloud-pubsub", "google-cloud-firestore"} <= names
    assert "google-cloud-functions" not in names, "it triples what functions-framework takes to import"


def test_a_function_without_its_folder_is_named_with_the_remedy(build: Path) -> None:
    with pytest.raises(NotStaged, match=r"function nobody: .*main\.py is not there; add it, or take nobody out of"):
        stage("nobody", build)


# --- how it is served -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [GATE, SERVICE, "prediction_coordinator", "prediction_worker", "nba_admin_dashboard"])
def test_a_served_function_answers_as_itself(name: str, build: Path) -> None:
    with serving(name, stage(name, build).folder) as answer:
        assert answer("/health") == {
            "status": "alive",
            "service": name,
            "version": "0123abc",
            "config_hash": config_hash(pipeline("nba")),
        }


def test_a_served_function_sees_its_folder_and_the_packages_and_nothing_else(build: Path, tmp_path: Path) -> None:
    folder = stage(GATE, build).folder
    (folder / "main.py").write_text(LOOK_AROUND)
    with serving(GATE, folder, cwd=REQUIREMENTS.parents[1], PYTHONPATH=str(REQUIREMENTS.parents[1])) as answer:
        seen = answer("/")
    assert Path(seen.pop("shared")).is_relative_to(folder)
    assert seen == {"tests": None, "simulation": None, "orchestration.cli": None, "shared.config.nba": True}


LOOK_AROUND = """
import functions_framework
from importlib.util import find_spec
import orchestration, shared

@functions_framework.http
def phase2_to_phase3(request):
    names = ("tests", "simulation", "orchestration.cli", "shared.config.nba")
    return {"shared": shared.__file__, **{name: bool(find_spec(name)) or None for name in names}}
"""


# --- what does not serve --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module"),
    [(GATE, "firestore"), (GATE, "pubsub"), (SERVICE, "bigquery"), (SERVICE, "objects"), (SERVICE, "feed")],
    ids=["a gate's state", "a gate's bus", "a service's warehouse", "a service's exports", "a service's data"],
)
def test_without_a_module_that_it_will_need_it_does_not_serve(name: str, module: str, build: Path) -> None:
    folder = stage(name, build).folder
    (folder / "shared" / "adapters" / f"{module}.py").unlink()
    said = refused(name, folder, NOWHERE)
    assert re.search(rf"(ModuleNotFoundError|ImportError): .*shared\.adapters.*{module}", said.splitlines()[-1])


BAD = {"SLACK_WEBHOOK_URL": "https://evil.example/s3cret", "PAGERDUTY_ROUTING_KEY": "s3cret"}


@pytest.mark.parametrize("name", ["self_heal", "daily_health_check"])
def test_with_a_secret_that_is_none_it_serves_and_says_so(name: str, build: Path) -> None:
    """A new version of a secret takes effect at the next start, and must not stop what heals."""
    bad = {variable: BAD[variable] for variable in function(name).secrets}
    with serving(name, stage(name, build).folder, speaks=True, **bad) as answer:
        assert answer("/health")["service"] == name
        told = answer("/ready")
    [check] = [each for each in told["checks"] if each["name"] == "secrets"]
    assert (told["status"], check["ok"], check["of"]) == ("not_ready", False, "revision")
    lines = [json.loads(line) for line in (build / "log").read_text().splitlines()]
    errors = [line["message"] for line in lines if line["severity"] == "ERROR"]
    for variable in bad:
        assert f"{variable} is not " in check["why"]
        assert [line for line in errors if line.startswith(f"{variable} is not ")]
    assert "s3cret" not in json.dumps([told, lines])


@pytest.mark.parametrize(
    ("name", "package"),
    [(GATE, "grpc"), (GATE, "opentelemetry"), (SERVICE, "gcsfs"), (SERVICE, "requests")],
    ids=["a gate's calls", "a gate's traces", "a service's bucket", "a service's web"],
)
def test_with_a_broken_package_it_does_not_serve(name: str, package: str, build: Path) -> None:
    folder = stage(name, build).folder
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(f"raise ImportError('{package}: undefined symbol')\n")
    environment = {
        **NOWHERE,
        "TIPOFF_EXPORTS": "gs://exports",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    assert refused(name, folder, environment).splitlines()[-1] == f"ImportError: {package}: undefined symbol"


SETTINGS = {
    "no target": (GATE, {}, ("TIPOFF_TARGET=local", "gcp or emulators")),
    "emulators without hosts": (
        GATE,
        {"TIPOFF_TARGET": "emulators"},
        ("PUBSUB_EMULATOR_HOST is not set", "FIRESTORE_EMULATOR_HOST is not set", "BIGQUERY_EMULATOR_HOST is not set"),
    ),
    "Google Cloud without anything": (
        GATE,
        {"TIPOFF_TARGET": "gcp"},
        ("GOOGLE_CLOUD_PROJECT=''", "TIPOFF_EXPORTS='' is not in a bucket"),
    ),
    "a service of processors without data": (
        SERVICE,
        {"TIPOFF_TARGET": "gcp"},
        ("GOOGLE_CLOUD_PROJECT=''", "TIPOFF_EXPORTS='' is not in a bucket", "TIPOFF_DATA is not set"),
    ),
}


@pytest.mark.parametrize(("name", "environment", "told"), SETTINGS.values(), ids=SETTINGS)
def test_without_its_settings_it_does_not_serve_and_names_all(
    name: str, environment: dict[str, str], told: tuple[str, ...], build: Path
) -> None:
    said = refused(name, stage(name, build).folder, environment)
    last = said.rpartition("Error: ")[2] or said
    assert all(text in last or text in said.splitlines()[-1] for text in told), said


# --- steps ----------------------------------------------------------------------------------------------


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def serving(
    name: str, folder: Path, cwd: Path | None = None, *, speaks: bool = False, **environment: str
) -> Iterator[Callable[..., Any]]:
    """What its GET gives, or its POST of a body with these headers, as soon as it answers; None: it says nothing.
    `speaks`: whether its log, which lies beside its folder, has something to say."""
    port = free_port()
    log = folder.parent / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            serve_command(name, folder, port),
            env={**process_environment(), **NOWHERE, **environment},
            cwd=cwd or folder.parent,
            stdout=output,
            stderr=output,
        )

    def answer(path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        end = monotonic() + PATIENCE_S
        while process.poll() is None and monotonic() < end:
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}{path}", body, headers or {}), timeout=30) as found:
                    said = found.read()
                    return json.loads(said) if said else None
            except HTTPError as error:
                if (error.code, path) == (503, "/ready"):
                    return json.loads(error.read())
                sleep(0.1)
            except (URLError, ConnectionError):
                sleep(0.1)
        raise AssertionError(f"it does not answer: {log.read_text()}")

    try:
        yield answer
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    assert speaks or log.read_text() == "", "a function that is well says nothing, not even at its end"


def refused(name: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Its last words, having ended by itself."""
    done = subprocess.run(
        serve_command(name, folder, free_port()),
        env={**process_environment(), **environment},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr.strip()
