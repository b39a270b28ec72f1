"""The whole of a pipeline on this machine, on emulators: every function served from its staged folder, and the timer.

Each is a process of its own that the kernel ends with whoever started it. A function that dies is started again, as
Cloud Run would; its messages come again by themselves. The file `stack.json` in the home tells other commands of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

from orchestration import emulators
from orchestration.staging import stage
from shared import wiring
from shared.config.deployment import account_of
from shared.config.functions import functions_of
from shared.config.nba import NBA
from shared.config.settings import (
    LOCAL_PROJECT,
    Settings,
    emulator_home,
    hosts_given,
    process_environment,
    read_settings,
)
from shared.core.subscriptions import subscription_of
from shared.ports import Health, HealthProbe

STACK_FILE = "stack.json"
LOCK_FILE = "stack.lock"
TIMER = "scheduler"
STARTED = functions_of(NBA.name)
READY_S = 90.0  # sixteen functions start on two cores in twelve
LOOK_S = 0.2
PROBE_S = 6.0  # a little more than a function itself waits for what it depends on
STOP_S = 5.0
LOCK_S = 1.0  # who asks whether a stack runs holds its lock for a moment
RESTART_S = 1.0  # after a death; one that dies at once must not take the machine

SERVE = """\
import ctypes, os, sys
sys.path[:0] = sys.argv[1:3]
del sys.argv[1:3]
prctl = getattr(ctypes.CDLL(None), "prctl", lambda *_: None)
os.register_at_fork(after_in_child=lambda: prctl(1, 9))
from functions_framework._cli import _cli
_cli()
"""
"""Serves with the folder and the installed packages alone: -I and -S keep this repository, which is installed for those
who edit it, out of sight. A worker dies with its server (PR_SET_PDEATHSIG): a busy one would outlive a kill -9."""

Say = Callable[[str], None]


class StackFailed(OSError):
    """A part did not become ready: names it, why, and where its log is."""


@dataclass(slots=True)
class Process:
    """One part, started as often as it dies."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(repr=False)  # its own, beside what every process needs of its starter's
    log: Path
    url: str = ""  # where it answers; empty for one that nobody calls
    starts: int = 0
    started_at: float = 0.0  # by the monotonic clock
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(  # noqa: S603 - a list of our own making, no shell
                emulators.on_leash(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**process_environment(), **self.environment},
                start_new_session=True,  # a server's children are killed with it
            )
        self.starts, self.started_at = self.starts + 1, monotonic()

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    @property
    def how_it_ended(self) -> str:
        code = self.running.poll() if self.running else None
        return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with {code}"

    def end(self, how: signal.Signals) -> None:
        """Idempotent; returns when the process and its children are gone, at the latest after STOP_S by force."""
        if self.running is None:
            return
        for each in (how, signal.SIGKILL):
            try:
                os.killpg(self.running.pid, each)
                self.running.wait(STOP_S)
            except ProcessLookupError:
                self.running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a stack is to be."""

    home: Path
    data: str  # folder or URL of the league's data
    commit: str
    calendar: bool  # whether runs begin by themselves
    log_level: str = "INFO"
    traces: str = ""
    project: str = LOCAL_PROJECT
    prefix: str = ""  # of datasets
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Emulators that run already, by their variables, beside and before those that the environment names."""
    is_shared: bool = False  # whether other commands may use it
    prepare: Callable[[Stack], None] = field(default=lambda _: None)
    """Done once all functions are ready, and before anything may begin."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By their variables; each function is given its own, and no file or log holds any."""
    through: Callable[[str, str], str] = field(default=lambda _name, url: url)
    """From a function and its address to where messages for it are pushed: what stands in between may disturb them."""


class Stack:
    """Started by `with`, from a thread that lives as long as it."""

    def __init__(self, wanted: Wanted, say: Say = lambda _: None) -> None:
        self.wanted = wanted
        self.folder = emulator_home(wanted.home).resolve()
        self.environment: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        self.emulators: list[emulators.Running] = []
        self._say = say
        self._opened = ExitStack()

    def __enter__(self) -> Stack:
        with self._opened as unless_ready:
            try:
                (self.folder / "logs").mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StackFailed(
                    f"--home {self.wanted.home}: cannot be made ({error.strerror}); name a folder that you may write to"
                ) from None
            unless_ready.enter_context(alone_in(self.folder))
            self.start_emulators()
            self.start_functions()
            self.subscribe()
            self.wait_until_ready()
            self.wanted.prepare(self)
            self.start_timer()
            if self.wanted.is_shared:
                self._tell()
            self._opened = unless_ready.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def settings(self) -> Settings:
        """What a process of this stack reads from its environment."""
        return read_settings({**self.environment, "TIPOFF_HOME": str(self.wanted.home)})

    # --- parts ------------------------------------------------------------------------------------------

    def start_emulators(self) -> None:
        """Those that are not wanted elsewhere, nor named by the environment."""
        hosts = {**hosts_given(), **self.wanted.hosts}
        for variable, host in hosts.items():
            if not emulators.is_open(host):
                raise StackFailed(f"{variable}={host} does not answer; unset it, or start `make emulators` again")
        for kind in emulators.KINDS:
            if emulators.VARIABLES[kind] not in hosts:
                emulators.check_present(kind)  # before any of them is started
        for kind in emulators.KINDS:
            variable = emulators.VARIABLES[kind]
            if variable not in hosts:
                self._say(f"starting the {kind} emulator")
                running = emulators.start(kind)
                self._opened.callback(running.stop)
                self.emulators.append(running)
                hosts[variable] = running.host
        wanted = self.wanted
        self.environment = {
            **hosts,
            "TIPOFF_TARGET": "emulators",
            "GOOGLE_CLOUD_PROJECT": wanted.project,
            "TIPOFF_DATASET_PREFIX": wanted.prefix,
            "TIPOFF_EXPORTS": str(self.folder / "exports"),
            "TIPOFF_DATA": wanted.data,
            "TIPOFF_COMMIT": wanted.commit,
            "TIPOFF_CALENDAR": "on" if wanted.calendar else "off",
            "OTEL_EXPORTER_OTLP_ENDPOINT": wanted.traces,
            "LOG_LEVEL": wanted.log_level,
        }

    def start_functions(self) -> None:
        """All are told where the others answer, so their ports are chosen first."""
        folders = {}
        for number, spec in enumerate(STARTED, 1):
            self._say(f"staging {spec.name} ({number} of {len(STARTED)})")
            folders[spec.name] = stage(spec.name, self.folder / "stage").folder
        ports = dict(zip(folders, emulators.free_ports(len(folders)), strict=True))
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.environment["TIPOFF_SERVICES"] = ",".join(f"{name}={url}" for name, url in urls.items())
        secrets = {spec.name: set(spec.secrets) for spec in STARTED}
        for name, folder in folders.items():
            self._say(f"starting {name}")
            own = {variable: self.wanted.secrets[variable] for variable in secrets[name] & self.wanted.secrets.keys()}
            self._run(name, serve_command(name, folder, ports[name]), urls[name], own)

    def start_timer(self) -> None:
        """Last: from now on runs may begin."""
        self._run(TIMER, [sys.executable, "-P", "-m", "orchestration.timer"])

    def _run(self, name: str, command: list[str], url: str = "", secrets: Mapping[str, str] | None = None) -> None:
        log = self.folder / "logs" / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))  # of the last stack: who starts anew at night still wants to read it
        process = Process(
            name=name, command=command, environment={**self.environment, **(secrets or {})}, log=log, url=url
        )
        self._opened.callback(process.end, signal.SIGTERM)
        process.start()
        self.processes[name] = process

    def subscribe(self) -> None:
        """Topics, dead letters, and a push subscription of each function for each topic that it hears."""
        self._say("subscribing the functions")
        with closing(wiring.open_cloud(self.settings)) as home:
            for spec in STARTED:
                endpoint = self.wanted.through(spec.name, self.processes[spec.name].url)
                for topic in spec.listens:
                    account = account_of(spec.name, self.wanted.project)
                    home.bus.serve(subscription_of(spec.name, topic), topic, endpoint=endpoint, service_account=account)

    # --- how they are -----------------------------------------------------------------------------------

    def wait_until_ready(self) -> None:
        """Raises StackFailed for what has ended, or is not ready in time."""
        until, probe = monotonic() + READY_S, wiring.health_probe(self.settings)
        ahead = {name: process for name, process in self.processes.items() if process.url}
        while ahead:
            for name, process in list(ahead.items()):
                health = probe.probe(process.url, within_s=PROBE_S)
                if not process.alive or (not health.ready and monotonic() > until):
                    why = health.why if process.alive else "has ended"
                    raise StackFailed(f"{name}: {why}; its log: {process.log}\n{last_lines(process.log)}")
                if health.ready:
                    del ahead[name]
            self._say(f"{len(STARTED) - len(ahead)} of {len(STARTED)} functions are ready")
            sleep(LOOK_S)

    def health(self, probe: HealthProbe) -> dict[str, Health]:
        """What each part that answers says of itself; all are asked at once, and one that hangs holds up no other."""
        urls = {name: process.url for name, process in self.processes.items() if process.url}
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:
            answers = pool.map(lambda url: probe.probe(url, within_s=PROBE_S), urls.values())
            return dict(zip(urls, answers, strict=True))

    def keep_alive(self) -> dict[str, str]:
        """Start again what has died, and say what did and how.

        Raises StackFailed for an emulator: what it held is gone.
        """
        for emulator in self.emulators:
            if emulator.process.poll() is not None:
                raise StackFailed(f"the {emulator.kind} emulator has ended, and all that it held is gone; start anew")
        dead = [p for p in self.processes.values() if not p.alive and monotonic() - p.started_at > RESTART_S]
        how = {process.name: process.how_it_ended for process in dead}
        for process in dead:
            process.end(signal.SIGKILL)  # what is left of its children holds the port
            process.start()
        return how

    def kill(self, name: str) -> None:
        """As a machine's end would: at once, with all its children."""
        self.processes[name].end(signal.SIGKILL)

    def _tell(self) -> None:
        file = self.folder / STACK_FILE
        urls = {name: process.url for name, process in self.processes.items()}
        told = {"pid": os.getpid(), "data": self.wanted.data, "environment": self.environment, "urls": urls}
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps(told, indent=1), encoding="utf-8")
        aside.replace(file)
        self._opened.callback(file.unlink, missing_ok=True)


def serve_command(name: str, folder: Path, port: int) -> list[str]:
    """functions-framework on a staged function, as Google's builder starts it."""
    packages = sysconfig.get_path("purelib")
    return [
        *(sys.executable, "-I", "-S", "-c", SERVE, str(folder), packages),
        *(f"--source={folder / 'main.py'}", f"--target={name}", "--signature-type=http"),
        *("--host=127.0.0.1", f"--port={port}"),
    ]


def running_stack(home: Path) -> dict[str, str]:
    """The environment of the stack that runs in this home, as its processes have it; empty where none runs."""
    folder = emulator_home(home)
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # held by the process that runs it, and let go by the kernel, however that ends
        try:
            told = json.loads((folder / STACK_FILE).read_text(encoding="utf-8"))
            return {str(name): str(value) for name, value in told["environment"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):  # it is only starting
            return {}
    except OSError:
        return {}
    return {}


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The folder's stack is this process's. Raises StackFailed where another has it."""
    with (folder / LOCK_FILE).open("ab") as lock:
        if not wiring.lock_within(lock.fileno(), LOCK_S):
            raise StackFailed(f"{folder}: another command runs a stack here; stop it, or use another --home")
        (folder / STACK_FILE).unlink(missing_ok=True)  # of one that was killed
        yield


def last_lines(log: Path) -> str:
    with log.open("rb") as output:
        return emulators.last_lines(output)
