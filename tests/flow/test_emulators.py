"""The emulators as processes: ready when started, gone when stopped, never left behind; where absent, the remedy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from orchestration.emulators import BIGQUERY_VENV, KINDS, VARIABLES, EmulatorAbsent, EmulatorFailed, Kind, start
from tests.emulators import absent_is_said
from tests.house.tree import ROOT

PATIENCE_S = 60.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_started_emulator_answers_and_a_stopped_one_is_gone(kind: Kind) -> None:
    with absent_is_said():
        running = start(kind)
    try:
        address = running.host.removeprefix("http://")
        assert running.host.startswith("http://") == (kind == "bigquery")
        assert running.export == f"export {VARIABLES[kind]}={running.host}"
        with urlopen(f"http://{address}/{'healthz' if kind == 'bigquery' else ''}", timeout=10) as answer:
            assert answer.status == 200
    finally:
        running.stop()
        running.stop()
    assert running.process.poll() is not None
    assert not is_open(address)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "kill", "kill -9"])
def test_make_emulators_leaves_nothing_behind(end: signal.Signals) -> None:
    with serving("pubsub") as (process, host):
        assert is_open(host)
        process.send_signal(end)
        code = process.wait(PATIENCE_S)
        assert goes(host)
    assert code == (-signal.SIGKILL if end is signal.SIGKILL else 0)


@pytest.mark.parametrize("kind", ["firestore", "bigquery"])
def test_each_emulator_dies_with_whoever_started_it(kind: Kind) -> None:
    with serving(kind) as (process, host):
        process.kill()
        process.wait(PATIENCE_S)
        assert goes(host)


def test_make_emulators_ends_when_an_emulator_has_ended() -> None:
    with serving("pubsub") as (process, host):
        os.kill(pid_of_the_child(process.pid), signal.SIGKILL)
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr is not None
        assert "pubsub emulator ended by itself (exit -9)" in process.stderr.read()
        assert goes(host)


def test_without_java_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmulatorAbsent, match=r"firestore emulator: no java .*apt install"):
        start("firestore", path=str(tmp_path))


def test_without_gcloud_the_remedy_is_said(tmp_path: Path) -> None:
    write_program(tmp_path / "java", "exit 0")
    with pytest.raises(EmulatorAbsent, match=r"pubsub emulator: no gcloud .*install the Google Cloud SDK"):
        start("pubsub", path=str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "component"), [("pubsub", "pubsub-emulator"), ("firestore", "cloud-firestore-emulator")]
)
def test_without_its_jar_the_component_to_install_is_said(tmp_path: Path, kind: Kind, component: str) -> None:
    write_program(tmp_path / "bin" / "java", "exit 0")
    write_program(tmp_path / "bin" / "gcloud", "exit 0")
    with pytest.raises(EmulatorAbsent, match=rf"{tmp_path}/platform/.*gcloud components install {component}"):
        start(kind, path=str(tmp_path / "bin"))


def test_without_its_environment_the_make_target_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmulatorAbsent, match=rf"{tmp_path}/bin/bqemulator is not installed; make bqemulator"):
        start("bigquery", bigquery_venv=tmp_path)
    assert "\nbqemulator:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert BIGQUERY_VENV.relative_to(ROOT).as_posix() == "build/bqemulator"


def test_an_emulator_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    write_program(tmp_path / "bin" / "java", "echo no memory left >&2; exit 3")
    write_program(tmp_path / "bin" / "gcloud", "exit 0")
    jar = tmp_path / "platform" / "cloud-firestore-emulator" / "cloud-firestore-emulator.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    with pytest.raises(EmulatorFailed, match=r"(?s)firestore emulator: .*exit 3.*run it by hand.*no memory left"):
        start("firestore", path=str(tmp_path / "bin"))


@pytest.mark.parametrize(
    ("required", "outcome"), [("", "1 skipped"), ("1", "1 error")], ids=["they are skipped", "where required they fail"]
)
def test_without_emulators_their_tests_say_what_is_missing(tmp_path: Path, required: str, outcome: str) -> None:
    wanting = "tests/contract/test_bus.py::test_publishing_nothing_is_nothing[pubsub]"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=-ra", wanting]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path), "REQUIRE_EMULATORS": required},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert outcome in done.stdout
    assert "no java on PATH; install" in done.stdout
    assert done.returncode == (1 if required else 0)


@contextmanager
def serving(kind: Kind) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`make emulators` without make, for one of them; with its host and port."""
    command = [sys.executable, "-m", "orchestration.emulators", kind]
    with (
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        ) as process,
        absent_is_said(),
    ):
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            said = process.stderr.readline()
            assert "emulator: not ready" not in said, said
            if "Ctrl-C" not in said:
                raise EmulatorAbsent(said.strip("# \n"))
            variable, _, host = process.stdout.readline().removeprefix("export ").strip().partition("=")
            assert variable == VARIABLES[kind]
            yield process, host.removeprefix("http://")
        finally:
            process.kill()


def pid_of_the_child(parent: int) -> int:
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def goes(host: str) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while (still := is_open(host)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not still


def is_open(host: str) -> bool:
    name, _, port = host.partition(":")
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((name, int(port))) == 0


def write_program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
