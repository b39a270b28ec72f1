"""Google's emulators as processes of this machine, for `make emulators` and the tests: start, ready, stop.

Each is started directly from its jar or its own virtual environment, on a loopback port that is free, with nothing
kept on disk. It runs on a leash: the kernel kills it when whoever started it dies, however that dies (Linux; elsewhere
only an orderly end stops it). gcloud's own launcher leaves its java behind, so it is not used.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Literal, TextIO

Kind = Literal["pubsub", "firestore", "bigquery"]
KINDS: tuple[Kind, ...] = ("pubsub", "firestore", "bigquery")
VARIABLES: dict[Kind, str] = {
    "pubsub": "PUBSUB_EMULATOR_HOST",
    "firestore": "FIRESTORE_EMULATOR_HOST",
    "bigquery": "BIGQUERY_EMULATOR_HOST",
}
"""What the client libraries read to find each; orchestration says it, the libraries read it."""

REPOSITORY = Path(__file__).resolve().parents[1]
BIGQUERY_VENV = REPOSITORY / "build" / "bqemulator"
READY_S = 60.0  # it takes 1 to 3 s; a busy machine with a cold disk took 20
STOP_S = 5.0  # all end within half a second of SIGTERM
LOOK_S = 0.05
WATCH_S = 1.0
TRIES = 3  # another process may take the free port first
LAST_LINES = 5
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class EmulatorAbsent(Exception):
    """Something that an emulator is started from is not on this machine: says what, where, and how to get it."""


class EmulatorFailed(OSError):
    """An emulator did not become ready: says which, and its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A ready emulator. `host` is what its variable wants: BigQuery's with http:// before it."""

    kind: Kind
    host: str
    process: subprocess.Popen[bytes]

    @property
    def export(self) -> str:
        return f"export {VARIABLES[self.kind]}={self.host}"

    def stop(self) -> None:
        """Idempotent; returns when the process is gone."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)


def start(kind: Kind, *, bigquery_venv: Path = BIGQUERY_VENV, path: str | None = None) -> Running:
    """Start an emulator and wait until it answers. `path` is where to look for gcloud and java, by default PATH.

    Raises EmulatorAbsent or EmulatorFailed; then nothing of it runs. Call it from a thread that lives as long as the
    emulator should: the leash is that thread's.
    """
    for left in reversed(range(TRIES)):
        port = free_port()
        command = command_of(kind, port, bigquery_venv=bigquery_venv, path=path)
        with ExitStack() as unless_ready, tempfile.TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S603 - a list of our own making, no shell
                on_leash(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            host = f"http://127.0.0.1:{port}" if kind == "bigquery" else f"127.0.0.1:{port}"
            running = Running(kind=kind, host=host, process=process)
            unless_ready.callback(running.stop)
            if wait_until_ready(process, port):
                unless_ready.pop_all()
                return running
            if not left or process.poll() is None:
                raise EmulatorFailed(
                    f"{kind} emulator: not ready after {READY_S:g} s or ended (exit {process.poll()});"
                    f" run it by hand to see more: {' '.join(command)}\n{last_lines(output)}"
                )
    raise AssertionError("the last try returns or raises")


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """False if it ends, or is not ready in time."""
    deadline = monotonic() + READY_S
    while monotonic() < deadline and process.poll() is None:
        if answers(port):
            return True
        sleep(LOOK_S)
    return False


def is_open(host: str) -> bool:
    """Whether something listens at host:port, with or without http:// before it."""
    name, _, port = host.rpartition("/")[2].rpartition(":")
    try:
        with socket.create_connection((name, int(port)), timeout=2):
            return True
    except (OSError, ValueError):
        return False


def check_present(kind: Kind) -> None:
    """Raises EmulatorAbsent where this machine lacks what the emulator is started from."""
    command_of(kind, 0, bigquery_venv=BIGQUERY_VENV, path=None)


def answers(port: int) -> bool:
    """All three answer a plain GET of / or /healthz on their port once they serve."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# --- what to run ------------------------------------------------------------------------------------------


def command_of(kind: Kind, port: int, *, bigquery_venv: Path, path: str | None) -> list[str]:
    """The emulator's own command line. Raises EmulatorAbsent."""
    address = ("--host=127.0.0.1", f"--port={port}")
    if kind == "bigquery":
        return bigquery_command(port, bigquery_venv)
    java = shutil.which("java", path=path)
    if java is None:
        raise EmulatorAbsent(f"{kind} emulator: no java on PATH; install Java 17 or newer (apt install default-jre)")
    if kind == "pubsub":
        return [java, "-jar", str(jar_of(kind, "pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar", path)), *address]
    jar = jar_of(kind, "cloud-firestore-emulator/cloud-firestore-emulator.jar", path)
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"  # the jar's manifest names none
    return [java, "-Duser.language=en", "-cp", str(jar), main, *address]


def jar_of(kind: Kind, pattern: str, path: str | None) -> Path:
    """The newest jar of that name in the Google Cloud SDK whose gcloud is on PATH."""
    gcloud = shutil.which("gcloud", path=path)
    if gcloud is None:
        raise EmulatorAbsent(
            f"{kind} emulator: no gcloud on PATH; install the Google Cloud SDK, its emulators lie in it"
        )
    platform = Path(gcloud).resolve().parents[1] / "platform"
    jars = sorted(platform.glob(pattern))
    if not jars:
        component = pattern.split("/")[0]
        raise EmulatorAbsent(
            f"{kind} emulator: {platform / pattern} is not there; gcloud components install {component}"
            f" (or apt install google-cloud-cli-{component.removeprefix('cloud-')})"
        )
    return jars[-1]


def bigquery_command(port: int, venv: Path) -> list[str]:
    """DuckDB looks for its extensions below HOME, so it gets one of its own in which `make bqemulator` laid them."""
    program = venv / "bin" / "bqemulator"
    if not (venv / "ready").exists():
        raise EmulatorAbsent(f"bigquery emulator: {program} is not installed; make bqemulator")
    ports = ("--rest-port", str(port), "--grpc-port", str(free_port()))
    repaired = [str(venv / "bin" / "python"), "-P", str(REPOSITORY / "orchestration" / "bigquery_emulator.py")]
    return ["env", f"HOME={venv / 'home'}", *repaired, "start", *ports, "--ephemeral"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def last_lines(output: IO[bytes]) -> str:
    output.seek(0)
    return "\n".join(output.read().decode(errors="replace").splitlines()[-LAST_LINES:])


# --- the leash --------------------------------------------------------------------------------------------


def on_leash(command: Sequence[str]) -> list[str]:
    """The command, run by a process that first asks the kernel for the leash; a fork with threads could not."""
    return [sys.executable, "-P", "-m", "orchestration.emulators", "leash", str(os.getpid()), *command]


def become(parent: int, command: Sequence[str]) -> None:
    """Turn this process into the command, to be killed when its parent dies. Never returns."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:  # it may have died before the leash held
        os.execvp(command[0], list(command))  # noqa: S606 - a list, no shell
    sys.exit(1)


# --- make emulators ---------------------------------------------------------------------------------------


def serve(kinds: Sequence[Kind]) -> int:
    """Start them, say how to reach them, wait for Ctrl-C. What is absent is said, and the rest runs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stops:
        try:
            started: list[Running] = []
            for kind in kinds:
                try:
                    running = start(kind)
                except EmulatorAbsent as absent:
                    say(sys.stderr, f"# {absent}")
                    continue
                stops.callback(running.stop)
                started.append(running)
                say(sys.stdout, running.export)
            say(sys.stderr, "# paste the lines above into another shell; Ctrl-C here stops the emulators")
            return watch(started)
        except KeyboardInterrupt:
            return 0
        except EmulatorFailed as failed:
            say(sys.stderr, f"# {failed}")
            return 1


def watch(started: Sequence[Running]) -> int:
    """Returns when one of them has ended by itself, or if there is none."""
    while started:
        for running in started:
            if running.process.poll() is not None:
                say(sys.stderr, f"# {running.kind} emulator ended by itself (exit {running.process.returncode})")
                return 1
        sleep(WATCH_S)
    return 1


def say(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["leash"]:
        become(int(sys.argv[2]), sys.argv[3:])
    sys.exit(serve([kind for kind in KINDS if kind in sys.argv[1:]] or KINDS))
