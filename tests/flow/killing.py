"""A process that forks runs of one date and kills each just before another port call; for test_kill.

A process of its own, because a fork must find no thread: a test worker has some, and so has any open DuckDB. Says one
line of JSON: how many port calls there were, which verbs were met, and every fault.

    python -m tests.flow.killing SEASON DATE overnight|same_day|history CHUNK CHUNKS
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

import shared.adapters.feed
import shared.adapters.objects
import shared.adapters.sqlite  # noqa: F401  imported before the forks, so that none of them has to
from data_processors.nba.runner import bootstrap, create_tables, sql
from orchestration.runs import Runs
from shared import wiring
from shared.adapters.duckdb import transpile, transpile_ddl
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings
from shared.core.model import RunKey
from shared.core.status import RunState
from shared.ports import Ports
from shared.readings import readers
from tests.flow.snapshot import Snapshot, faults, snapshot

PATIENCE_S = 30.0
FAILED, KILLED = 70, 128 + signal.SIGKILL


@dataclass
class Fate:
    """Counts the port calls of a process, from any of its threads, and kills it just before one of them."""

    kill_at: int
    report: Path
    calls: int = 0
    met: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def meet(self, verb: str) -> None:
        with self.lock:
            self.calls += 1
            self.met.add(verb)
            if self.calls == self.kill_at:
                self.report.write_text(verb)
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()


class Doomed:
    """A real port; each call to it may be the last of this process."""

    def __init__(self, name: str, port: object, fate: Fate) -> None:
        self._name, self._port, self._fate = name, port, fate

    def __getattr__(self, verb: str) -> Any:
        act = getattr(self._port, verb)

        def call(*arguments: object, **named: object) -> object:
            self._fate.meet(f"{self._name}.{verb}")
            return act(*arguments, **named)

        return call


@dataclass(frozen=True, kw_only=True)
class DoomedHome(wiring.LocalHome):
    """An open home with its ports watched."""

    whole: wiring.LocalHome
    fate: Fate

    @property
    def ports(self) -> Ports:
        states, bus = Doomed("states", self.store.states, self.fate), Doomed("bus", self.store.bus, self.fate)
        return Ports(states=states, bus=bus, clock=self.clock, readers=readers(states, self.world))

    @property
    def batches(self) -> Any:
        return Doomed("batches", self.store.batches, self.fate)

    @cached_property
    def warehouse(self) -> Any:
        return Doomed("warehouse", self.whole.warehouse, self.fate)

    @cached_property
    def exports(self) -> Any:
        return Doomed("exports", self.whole.exports, self.fate)


@dataclass(frozen=True)
class Night:
    """What is run again and again."""

    season: Path
    day: date
    mode: str

    @property
    def key(self) -> RunKey:
        return RunKey("nba", self.day, self.mode)

    @contextmanager
    def opened(self, folder: Path, fate: Fate | None = None) -> Iterator[Runs]:
        """The run in a home with its history, as `tipoff run` prepares it."""
        settings = Settings(home=folder, log_level="WARNING", commit="unknown", no_color=True)
        feed = wiring.open_feed(self.season)
        with wiring.write_home(settings, command="test", wait_s=0, waiting=print) as home:
            if fate is not None:
                home = DoomedHome(home.path, home.store, home.clock, whole=home, fate=fate)
            runs = Runs(home, PIPELINES["nba"], feed, "unknown")
            create_tables(home.warehouse)
            bootstrap(runs.work, self.day, lambda _: None)
            yield runs

    def load(self, folder: Path) -> None:
        """The history alone."""
        with self.opened(folder):
            pass

    def run(self, folder: Path, fate: Fate | None = None) -> None:
        """Raises unless it is published."""
        with self.opened(folder, fate) as runs:
            status = runs.go(self.key, patience_s=PATIENCE_S, tell=lambda _: None, watch=lambda _: None)
        assert status.state is RunState.PUBLISHED, f"{status.state}: {status.reason}"


def in_a_child(act: Callable[[], None], log: Path) -> int:
    """The exit code of a forked child that does this; what it raises is in the log."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = FAILED
    try:
        act()
        code = 0
    except BaseException:  # noqa: BLE001  the child must not go on as its parent
        log.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def measure(night: Night, home: Path, folder: Path) -> tuple[int, list[str], Snapshot]:
    """How many port calls an undisturbed run makes, to which verbs, and what it leaves."""

    def act() -> None:
        fate = Fate(kill_at=0, report=folder / "verb")
        night.run(home, fate)
        (folder / "measured").write_text(json.dumps([fate.calls, sorted(fate.met), snapshot(home, night.key)]))

    code = in_a_child(act, folder / "log")
    assert code == 0, (folder / "log").read_text()
    calls, met, found = json.loads((folder / "measured").read_text())
    return calls, met, found


def try_one(night: Night, home: Path, folder: Path, kill_at: int, undisturbed: Snapshot) -> tuple[str, list[str]]:
    """Kill before this port call, run again, compare. The verb, empty where the run was through before, and faults."""

    def again() -> None:
        night.run(home)
        (folder / "found").write_text(json.dumps(list(faults(snapshot(home, night.key), undisturbed))))

    verb, log = folder / "verb", folder / "log"
    code = in_a_child(lambda: night.run(home, Fate(kill_at=kill_at, report=verb)), log)
    if code not in (0, -signal.SIGKILL):
        return "", [f"before the kill: {code} {log.read_text()}"]
    code = in_a_child(again, log)
    if code:
        return verb.read_text(), [f"after the kill: {code} {log.read_text()}"]
    return verb.read_text() if verb.exists() else "", json.loads((folder / "found").read_text())


def warm_up() -> None:
    """What every child would do in the same way; leaves this process with one thread."""
    transpile_ddl(sql("schema.sql"))
    for file in files("data_processors.nba").iterdir():
        if file.name.endswith(".sql") and file.name != "schema.sql":
            transpile(sql(file.name))
    duckdb.default_connection().close()  # import opens it, with threads
    assert len(os.listdir("/proc/self/task")) == 1


def main(season: Path, day: date, part: str, chunk: int, chunks: int) -> None:
    """Every port call whose number falls into this chunk: of a run, on a home with its history, or of the loading
    of that history into an empty home."""
    warm_up()
    night, verbs, wrong, tries = Night(season, day, "overnight" if part == "history" else part), set[str](), [], 0
    with tempfile.TemporaryDirectory(dir=season.parent) as name:
        folder = Path(name)
        loaded, home = folder / "loaded", folder / "home"
        if part != "history":
            assert in_a_child(lambda: night.load(loaded), folder / "log") == 0, (folder / "log").read_text()
        else:
            loaded.mkdir()

        def fresh() -> Path:
            shutil.rmtree(home, ignore_errors=True)
            (folder / "verb").unlink(missing_ok=True)
            return shutil.copytree(loaded, home)

        calls, met, undisturbed = measure(night, fresh(), folder)
        wrong += list(faults(undisturbed, undisturbed))
        for kill_at in range(1 + chunk, calls + 1, chunks):
            verb, found = try_one(night, fresh(), folder, kill_at, undisturbed)
            if part == "history" and not verb.startswith("warehouse."):
                break
            verbs.add(verb)
            tries += 1
            wrong += [f"killed before call {kill_at} ({verb}): {fault}" for fault in found]
    report = json.dumps({"calls": calls, "met": met, "tries": tries, "verbs": sorted(verbs - {""}), "faults": wrong})
    sys.stdout.write(f"{report}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
