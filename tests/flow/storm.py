"""A day of a pipeline on the emulators while everything breaks, drawn from a seed; and what it must leave all the same.

    python -m tests.flow.storm --days 20 --seed 1 [--data FOLDER]

Functions and the timer are killed with -9 and started again, connections to emulators are cut, messages come twice,
late and out of order, answers are lost, and one function answers 500 for a minute. What is expected is not told by the
same machinery: the undisturbed run is the embedded runtime's, which publishes the same documents.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from time import monotonic, sleep
from uuid import uuid4

from data_processors.nba.runner import bootstrap, create_tables
from data_processors.nba.sample_season import write_sample_season
from orchestration import emulators
from orchestration.runs import Runs
from orchestration.stack import Process, Stack, Wanted
from shared import wiring
from shared.config.functions import FUNCTIONS, PREDICTION_READY_TOPIC, PREDICTION_REQUEST_TOPIC
from shared.config.nba import NBA
from shared.config.settings import read_settings
from shared.core.model import RunKey
from shared.core.plan import planned
from shared.core.status import RunState, RunStatus
from shared.ports import Warehouse
from tests.flow.between import Diary, Postman, Wires, serving, wired
from tests.flow.killing import Night
from tests.flow.snapshot import CHANGES, KEYS, documents, is_whole

KILL_S = (1.0, 4.0)  # before the next kill, once the last one killed serves again: a slow machine gets on, too
CUT_S = (3.0, 8.0)  # between two cuts of connections
REFUSE_S = (0.0, 2.0)  # after a cut
AT_WORK = 0.6  # share of kills that look for a function at work
KILLS_EACH, CUTS_MAX = 4, 24
"""Of one function, and of connections in all: a storm is finite, so that a day on a busy machine gets through, too."""
LOOK_S = 0.25
PATIENCE_S = 400.0  # for a run, and again for what is under way behind it; an idle machine needs a quarter

TRIED = (*CHANGES, "attempt", "fence")
"""What two equal runs may say differently in a document: a fence is made of the attempt that wrote it."""

Rows = Mapping[str, list[tuple[tuple[str, object], ...]]]


@dataclass(frozen=True, kw_only=True)
class Day:
    """What is run, undisturbed and in a storm."""

    data: Path
    date: date
    mode: str

    @property
    def run(self) -> RunKey:
        return RunKey("nba", self.date, self.mode)

    @property
    def option(self) -> str:
        """What names its data, where that stays."""
        return f" --data {self.data}" if (self.data / "games.parquet").exists() else ""

    @property
    def functions(self) -> list[str]:
        """Those that the day cannot do without."""
        phases = [phase for phase in NBA.phases if planned(phase, self.mode)]
        topics = {topic for phase in phases for topic in (phase.start_topic, phase.completion_topic)}
        if any(phase.name == "predictions" for phase in phases):
            topics |= {PREDICTION_REQUEST_TOPIC, PREDICTION_READY_TOPIC}
        return [function.name for function in FUNCTIONS if topics.intersection(function.listens)]


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a run has left: its documents, and of each table its rows without attempts."""

    documents: Mapping[str, object]
    rows: Rows
    counts: Mapping[str, int]  # of all rows, those of the history among them


def undisturbed(day: Day, folder: Path) -> Left:
    """On embedded parts, in a home of its own."""
    night = Night(day.data, day.date, day.mode)
    night.run(folder)
    with night.opened(folder) as runs:
        return left_in(folder, runs.home.warehouse, day.run)


def left_in(folder: Path, warehouse: Warehouse, run: RunKey) -> Left:
    """`folder` holds the exports."""
    rows, counts = {}, {}
    for table in KEYS:
        found = warehouse.query(f"SELECT * FROM {table} WHERE run = @run", {"run": str(run)})
        rows[table] = sorted((plainly(row) for row in found), key=repr)
        [total] = warehouse.query(f"SELECT COUNT(*) AS total FROM {table}", {})
        counts[table] = int(str(total["total"]))
    return Left(documents=without_attempts(documents(folder)), rows=rows, counts=counts)


def without_attempts(found: Mapping[str, object]) -> dict[str, object]:
    return {
        name: {key: value for key, value in document.items() if key not in TRIED}
        for name, document in found.items()
        if isinstance(document, dict)
    }


def plainly(row: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    """Ten digits of a float, as in a digest: sums differ in the last bits with the order in which they are added."""
    return tuple(
        (name, float(f"{value:.10g}") if isinstance(value, float) else value)
        for name, value in row.items()
        if name not in TRIED
    )


# --- the storm ------------------------------------------------------------------------------------------


class DayUnfinished(AssertionError):
    """A run has not ended, or messages behind it have not, in a time that is far too long."""


@dataclass
class Storm:
    """Strikes whenever it is asked whether it is time to, until it is over. From one thread."""

    stack: Stack
    wires: Wires
    postman: Postman
    diary: Diary
    dice: Random
    over_at: float = field(default_factory=lambda: monotonic() + PATIENCE_S)
    cut_at: float = field(default_factory=monotonic)
    kill_at: float | None = field(default_factory=monotonic)  # none while the last one killed does not serve
    killed: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    cuts: int = 0

    def strike(self) -> None:
        now = monotonic()
        if now > self.over_at:
            raise DayUnfinished(f"the run has not ended in {PATIENCE_S:g} s")
        if self.kill_at is not None and now >= self.kill_at:
            self._kill()
        elif self.kill_at is None and serves(self.stack.processes[self.killed]):
            self.kill_at = now + self.dice.uniform(*KILL_S)
        if now >= self.cut_at and self.cuts < CUTS_MAX:
            self.cut_at = now + self.dice.uniform(*CUT_S)
            variable, refuse_s = self.dice.choice(sorted(self.wires.hosts)), self.dice.uniform(*REFUSE_S)
            connections = self.wires.cut(variable, refuse_s)
            self.cuts += 1
            self.diary.note(
                "cut" if connections else "cut in vain", f"{variable}, {connections}, refused for {refuse_s:.1f} s"
            )
        self._revive()

    def pass_by(self) -> None:
        """No more of it; returns when all functions run and every message has come to a good end."""
        self.postman.is_calm = True
        until = monotonic() + PATIENCE_S
        while (waits := self.postman.unanswered) or not all(each.alive for each in self.stack.processes.values()):
            if monotonic() > until:
                raise DayUnfinished(f"behind the run: {waits}")
            self._revive()
            sleep(LOOK_S)

    def _kill(self) -> None:
        left = sorted(n for n, each in self.stack.processes.items() if each.alive and self.kills[n] < KILLS_EACH)
        if not left:
            return
        busy = [name for name in self.postman.busy() if name in left]
        name = self.dice.choice(busy if busy and self.dice.random() < AT_WORK else left)
        self.stack.kill(name)
        self.killed, self.kill_at = name, None
        self.kills[name] += 1
        self.diary.note("killed", f"{name}{' at work' if name in busy else ''}")

    def _revive(self) -> None:
        for name in self.stack.keep_alive():
            self.diary.note("started again", name)


def serves(process: Process) -> bool:
    """Whether it answers; of one that nobody calls, whether it runs."""
    if not process.url or not process.alive:
        return process.alive
    connection = HTTPConnection(process.url.removeprefix("http://"), timeout=LOOK_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@dataclass(kw_only=True)
class Weathered:
    """A day that went through a storm, and what it left."""

    day: Day
    seed: int
    diary: Diary
    status: RunStatus
    left: Left
    starts: Counter[str] = field(
        default_factory=Counter
    )  # every start that was claimed; sent again by the backup, it stays the same one
    not_whole: list[str] = field(default_factory=list)  # processors whose last word is not success
    done_decisions: int = 0
    stamps: dict[str, set[tuple[object, ...]]] = field(default_factory=dict)  # of the run, by table
    buried: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # quarantined
    seconds: float = 0.0

    @cached_property
    def faults(self) -> list[str]:
        return list(self._faults())

    def _faults(self) -> Iterator[str]:
        if self.status.state is not RunState.PUBLISHED or self.status.completeness != 1:
            yield f"{self.status.state}, completeness {self.status.completeness}: {self.status.reason}"
        if self.done_decisions != 1:
            yield f"{self.done_decisions} done decisions"
        if twice := [start for start, count in self.starts.items() if count > 1]:
            yield f"more than one latch: {twice}"
        if self.not_whole:
            yield f"no success: {self.not_whole}"
        for table, stamps in self.stamps.items():
            if len(stamps) > 1:
                yield f"{table}: more than one stamp: {sorted(map(str, stamps))}"
        if self.buried:
            yield f"dead letters: {self.buried}"
        if self.kept:
            yield f"quarantined: {self.kept}"
        for act in ("killed", "cut", "doubled", "broken"):
            if not self.diary.counts[act]:
                yield f"the storm has not {act} anything"

    def told(self, faults: list[str]) -> str:
        """For a person: the seed, what is wrong, everything that was done."""
        like = f"--days 1 --seed {self.seed} --mode {self.day.mode}{self.day.option}"
        return "\n".join(
            [
                f"seed {self.seed}, {self.day.run}:",
                *faults,
                f"a day like it: python -m tests.flow.storm {like}",
                self.diary.file.read_text(encoding="utf-8"),
            ]
        )


def differences(found: Left, expected: Left) -> Iterator[str]:
    """Documents, rows of the run, and the number of all rows."""
    for name in sorted({*found.documents, *expected.documents}):
        if found.documents.get(name) != expected.documents.get(name):
            yield f"{name}: {first_difference(found.documents.get(name), expected.documents.get(name))}"
    for table in KEYS:
        if found.rows[table] != expected.rows[table]:
            strange = [row for row in found.rows[table] if row not in expected.rows[table]][:1]
            yield f"{table}: {len(found.rows[table])} rows, not {len(expected.rows[table])}; one of them {strange}"
        if found.counts[table] != expected.counts[table]:
            yield f"{table}: {found.counts[table]} rows in all, not {expected.counts[table]}"


def first_difference(found: object, expected: object) -> str:
    here, there = json.dumps(found, sort_keys=True), json.dumps(expected, sort_keys=True)
    at = next((n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there)))
    return f"...{here[max(0, at - 60) : at + 60]} instead of ...{there[max(0, at - 60) : at + 60]}"


def weather(day: Day, seed: int, hosts: Mapping[str, str], folder: Path) -> Weathered:
    """Run a day in a world of its own on these emulators, in a storm. Raises DayUnfinished with all that was done."""
    began = monotonic()
    diary, dice = Diary(folder / "storm.log"), Random(seed)
    world = uuid4().hex[:12]
    project = f"storm-{world}"
    with ExitStack() as parts:
        broken = dice.choice(day.functions)
        diary.note("has a bad minute", broken)
        postman = Postman(project=project, broken=broken, dice=Random(dice.random()), diary=diary)
        parts.enter_context(serving(postman))
        wires = parts.enter_context(wired(hosts))
        wanted = Wanted(
            home=folder / "home",
            data=str(day.data),
            commit="unknown",
            calendar=False,
            project=project,
            prefix=f"s{world}_",
            hosts=wires.hosts,
            through=postman.through,
        )
        stack = parts.enter_context(Stack(wanted))
        settings = read_settings({**stack.environment, **hosts, "TIPOFF_HOME": str(wanted.home)})
        home = wiring.open_cloud(settings)  # who looks on does so past the wires
        parts.callback(home.close)
        storm = Storm(stack, wires, postman, diary, dice)
        try:
            status = through_the_day(home, day, storm)
        except DayUnfinished as unfinished:
            said = [
                str(unfinished),
                told_of(home, day.run),
                *postman.unanswered,
                diary.file.read_text(encoding="utf-8"),
            ]
            raise DayUnfinished(f"seed {seed}, {day.run}: " + "\n".join(said)) from None
        weathered = look_back(home, day, seed, stack.folder, status, diary)
        weathered.seconds = monotonic() - began
        return weathered


def through_the_day(home: wiring.CloudHome, day: Day, storm: Storm) -> RunStatus:
    runs = Runs(home, NBA, wiring.open_feed(day.data), "unknown", storm.strike)
    create_tables(home.warehouse)
    bootstrap(runs.work, day.date, lambda _: None)
    storm.over_at = monotonic() + PATIENCE_S
    storm.postman.is_calm = False
    runs.go(day.run, patience_s=PATIENCE_S, tell=lambda _: None, watch=lambda _: None)
    storm.diary.note("the run has ended", str(day.run))
    storm.pass_by()
    return runs.status(day.run)


def look_back(home: wiring.CloudHome, day: Day, seed: int, folder: Path, status: RunStatus, diary: Diary) -> Weathered:
    states, run = home.ports.states, day.run
    plan, record = states.plan(run), states.load(run)
    assert plan is not None, f"{run} was started"
    last = {
        fact.completion.processor: fact.completion for fact in sorted(record.facts, key=lambda f: f.completion.attempt)
    }
    stamps = {
        table: {
            tuple(row.values())
            for row in home.warehouse.query(
                f"SELECT DISTINCT run, attempt, fence FROM {table} WHERE run = @run", {"run": str(run)}
            )
        }
        for table in KEYS
    }
    return Weathered(
        day=day,
        seed=seed,
        diary=diary,
        status=status,
        left=left_in(folder, home.warehouse, run),
        starts=Counter(start.id for latch in record.latches if not latch.repair for start in latch.starts),
        not_whole=[
            each.name
            for phase in plan.phases
            for each in phase.processors
            if each.name not in last or not is_whole(last[each.name], each)
        ],
        done_decisions=sum(entry.decision == "done" for entry in states.ledger(run)),
        stamps=stamps,
        buried=[f"{letter.subscription} {letter.id}: {why}" for letter, why in home.ports.bus.dead_letters(100)],
        kept=[f"{item.topic}: {item.reason}" for item in states.quarantined(100)],
    )


def told_of(home: wiring.CloudHome, run: RunKey) -> str:
    """How far a run came."""
    record = home.ports.states.load(run)
    facts = [
        f"{f.received_at:%H:%M:%S} {f.completion.id} {f.completion.status}: {f.completion.reason}" for f in record.facts
    ]
    decided = [f"{e.at:%H:%M:%S} {e.gate} {e.decision}: {e.reason}" for e in home.ports.states.ledger(run)]
    return "\n".join([*facts, *decided])


# --- many of them ---------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.flow.storm")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("overnight", "same_day"), help="every day; otherwise in turn")
    parser.add_argument("--data", type=Path, help="of the league, for 2024-01-15; otherwise a synthetic season")
    asked = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # of connections that were cut
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        hosts = {}
        for kind in emulators.KINDS:
            running = emulators.start(kind)
            parts.callback(running.stop)
            hosts[emulators.VARIABLES[kind]] = running.host
        data, day = asked.data, date(2024, 1, 15)
        if data is None:
            data, day = folder / "season", date(2025, 10, 31)
            data.mkdir()
            write_sample_season(data, seed=7, days=12, first=date(2025, 10, 21))
        failed = 0
        expected: dict[str, Left] = {}
        for number in range(asked.days):
            mode = asked.mode or ("overnight", "same_day")[number % 2]
            one = Day(data=data.resolve(), date=day, mode=mode)
            if mode not in expected:
                expected[mode] = undisturbed(one, folder / mode)
            failed += not try_one(one, asked.seed + number, hosts, folder / str(number), expected[mode])
    sys.stdout.write(f"{asked.days - failed} of {asked.days} days as if undisturbed\n")
    return 1 if failed else 0


def try_one(
    day: Day,
    seed: int,
    hosts: Mapping[str, str],
    folder: Path,
    expected: Left,
    say: Callable[[str], object] = sys.stdout.write,
) -> bool:
    folder.mkdir()
    try:
        weathered = weather(day, seed, hosts, folder)
    except DayUnfinished as unfinished:
        say(f"{unfinished}\n")
        return False
    faults = [*weathered.faults, *differences(weathered.left, expected)]
    acts = ", ".join(f"{count} {act}" for act, count in sorted(weathered.diary.counts.items()))
    again = sum(not start.endswith("/1") for start in weathered.starts)
    say(f"seed {seed} {day.run}: {weathered.seconds:.0f} s, {acts}; {again} further attempts\n")
    if faults:
        say(f"{weathered.told(faults)}\n")
    return not faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
