"""What a deployment works with: gcloud, git, and a look at a revision. Each can be another in a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from shared import wiring
from shared.config.settings import COMMIT
from shared.core.deployment import Verify
from shared.core.revisions import Wanted
from shared.ports import Health, HealthProbe

DEPLOY_S = 1_500.0  # a build takes two to five minutes; Google gives it up after some twenty
CALL_S = 120.0  # any other command
PROBE_S = 20.0  # of one question: the first instance has to start
READY_S = 90.0  # of all: what an account may do takes a minute to be known everywhere
PAUSE_S = 3.0
KILL_S = 5.0
GIT_S = 30.0
CHANGED_MAX = 5  # files that are named


class NotPossible(Exception):
    """Nothing can be deployed from here at all: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended. `code` is None for one that had to be ended."""

    code: int | None
    out: str
    err: str


Gcloud = Callable[[Sequence[str]], Ran]
"""Runs gcloud with these arguments. Never raises for what gcloud says."""

Look = Callable[[Verify, Wanted], str]
"""Asks a revision until it says what it should: why it does not, in the end; empty if it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    gcloud: Gcloud
    look: Look
    pause: Callable[[float], None]  # between two looks at what another does
    stop: Callable[[], None] = field(default=lambda: None)  # ends the commands that run


def find_gcloud() -> str:
    """Raises NotPossible."""
    if found := shutil.which("gcloud"):
        return found
    raise NotPossible(
        "gcloud is not installed: https://cloud.google.com/sdk/docs/install, then `gcloud auth login`; "
        "without it --dry-run still shows what a first deployment would do"
    )


class InstalledGcloud:
    """The real one, with the settings of whoever runs this where no environment is given. Any number of threads."""

    def __init__(
        self,
        program: str,
        environment: Mapping[str, str] | None = None,
        *,
        deploy_s: float = DEPLOY_S,
        call_s: float = CALL_S,
    ) -> None:
        self._program = program
        self._environment = environment
        self._deploy_s, self._call_s = deploy_s, call_s
        self._running = set[subprocess.Popen[str]]()
        self._is_stopped = False
        self._lock = Lock()

    def __call__(self, arguments: Sequence[str]) -> Ran:
        within_s = self._deploy_s if "deploy" in arguments[:2] else self._call_s
        with self._lock:
            if self._is_stopped:
                return Ran(None, "", "ERROR: interrupted")
            process = subprocess.Popen(  # noqa: S603 - a list of our own making, no shell
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self._environment,
                start_new_session=True,  # its children are ended with it
            )
            self._running.add(process)
        try:
            out, err = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return Ran(None, "", f"ERROR: no answer within {within_s:g} s; what was asked may still be done")
        finally:
            with self._lock:
                self._running.discard(process)
        return Ran(process.returncode, out, err)

    def stop(self) -> None:
        """Ends what runs, and runs nothing more. What was asked of Google may still be done there."""
        with self._lock:
            self._is_stopped = True
            for process in self._running:
                _kill(process)


def _end(process: subprocess.Popen[str]) -> None:
    _kill(process)
    process.communicate(timeout=KILL_S)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


# --- who a revision is ----------------------------------------------------------------------------------


def real_look(gcloud: Gcloud, *, ready_s: float = READY_S, pause_s: float = PAUSE_S) -> Look:
    """Over HTTP, as who runs this, with a token of gcloud's that is kept nowhere else."""
    tokens = _Tokens(gcloud)

    def look(step: Verify, wanted: Wanted) -> str:
        probe = wiring.health_probe_as(lambda _origin: tokens(step.audience))
        until = monotonic() + ready_s
        while True:
            why, is_final = _found(probe, step, wanted)
            if not why or is_final or monotonic() > until:
                return why
            sleep(pause_s)

    return look


def _found(probe: HealthProbe, step: Verify, wanted: Wanted) -> tuple[str, bool]:
    """Why it is not what it should be, and whether asking again is of no use."""
    try:
        health = probe.probe(step.url, within_s=PROBE_S)
    except NotPossible as error:
        return str(error), True
    return judge(health, wanted)


def judge(health: Health, wanted: Wanted) -> tuple[str, bool]:
    """Why what it says is not what it should say, and whether that cannot change.

    How its installation is is not asked: a revision that mends it could never be let.
    """
    if not health.alive:
        return f"/health: {health.why}", False
    should = {"service": wanted.function, "version": wanted.commit, "config_hash": wanted.config_hash}
    said = {"service": health.service, "version": health.version, "config_hash": health.config_hash}
    if other := [f"{name} {said[name]!r}, not {value!r}" for name, value in should.items() if said[name] != value]:
        return f"/health says {'; '.join(other)}", True
    return ("", True) if health.ready or health.blameless else (f"/ready: {health.why}", False)


class _Tokens:
    """Identity tokens of gcloud's account, by audience. Any number of threads."""

    def __init__(self, gcloud: Gcloud) -> None:
        self._gcloud = gcloud
        self._lock = Lock()
        self._kept: dict[str, str] = {}

    def __call__(self, audience: str) -> str:
        with self._lock:
            if audience not in self._kept:
                self._kept[audience] = self._fetch(audience)
            return self._kept[audience]

    def _fetch(self, audience: str) -> str:
        """A service account says for whom its token is; a person's is good for all. As whom a person acts is said
        here once more: all other commands go by the setting, but not the one that prints a token."""
        named: list[str] = []
        if acting := self._setting("auth/impersonate_service_account"):
            named = [f"--audiences={audience}", f"--impersonate-service-account={acting}", "--include-email"]
        elif self._setting("account").endswith(".gserviceaccount.com"):
            named = [f"--audiences={audience}"]
        ran = self._gcloud(("auth", "print-identity-token", *named))
        if ran.code != 0 or not ran.out.strip():
            raise NotPossible(
                "gcloud gives no identity token, so the revision cannot be asked who it is; run `gcloud auth login`, "
                "or `gcloud config set auth/impersonate_service_account` with one that may invoke it"
            )
        return ran.out.strip()

    def _setting(self, name: str) -> str:
        return self._gcloud(("config", "get-value", name)).out.strip()


# --- which commit ---------------------------------------------------------------------------------------


def commit_of(repository: Path, *, may_differ: bool = False) -> str:
    """What is checked out. Raises NotPossible where that is not a commit as it stands, unless it may differ."""
    try:
        head = _git(repository, "rev-parse", "HEAD").strip()
        changed = _git(repository, "status", "--porcelain").splitlines()
    except (OSError, subprocess.SubprocessError):
        raise NotPossible(f"{repository} is no clone of the repository, so no commit can be named; clone it") from None
    if not COMMIT.fullmatch(head):
        raise NotPossible(f"{repository} has no commit yet; make one")
    if changed and not may_differ:
        named = ", ".join(line[3:] for line in changed[:CHANGED_MAX]) + ("..." if len(changed) > CHANGED_MAX else "")
        raise NotPossible(f"not committed: {named}; what is deployed must be a commit: commit it, or put it away")
    return head


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=True).stdout  # noqa: S603
