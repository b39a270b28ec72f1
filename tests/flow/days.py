"""Runs of the nba pipeline on the shipped service and stores, time moved by hand: for the tests of several runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from data_processors.nba.runner import Work, bootstrap, create_tables, history_before, run_processor
from orchestration.runs import Runs
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.calendar import usual_start
from shared.core.fold import View, look
from shared.core.messages import read_start
from shared.core.model import Act, Completion, LedgerEntry, PipelineSpec, RunKey, Start, Status
from shared.core.status import RunStatus, summarise
from shared.ports import NO_METER, Feed, Meter, Ports
from shared.readings import World, readers
from shared.service import Service
from shared.wiring import STATE_FILE, LocalHome, local_world, open_feed

NOON = datetime(2031, 11, 1, 12, 0, tzinfo=timezone.utc)
GAMES = ("g1", "g2")
SPECS = {spec.name: (phase.name, spec) for phase in NBA.phases for spec in phase.processors}
FOUND = {"schedule": {"games": GAMES, "next_games": GAMES}, "upcoming_player_game_context": {"players": ("p1", "p2")}}
ANN = Act(actor="ann", reason="bad zones", at=NOON)


@dataclass
class HandClock:
    """A clock that is moved by hand."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time


def succeed(start: Start, **more: object) -> Completion:
    """What a processor reports whose work is invented: all of its units, the same content every time."""
    completion = Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=Status.SUCCESS,
        digest=start.processor,
        found=FOUND.get(start.processor, {}),
    )
    return replace(completion, **more)  # type: ignore[arg-type]


@dataclass
class Days:
    """The service, what it has ordered and nobody has done, and what it has decided."""

    store: Sqlite
    spec: PipelineSpec = NBA
    clock: HandClock = field(default_factory=HandClock)
    act: Callable[[Start], Completion] = succeed
    ordered: list[Start] = field(default_factory=list)
    done: list[Completion] = field(default_factory=list)
    told: list[LedgerEntry] = field(default_factory=list)
    world: World | None = None  # that gates ask; without one, they find everything well
    meter: Meter = NO_METER

    def __post_init__(self) -> None:
        states = self.store.states
        asked = readers(states, self.world)
        ports = Ports(states=states, bus=self.store.bus, clock=self.clock, readers=asked, meter=self.meter)
        self.service = Service(ports, {"nba": self.spec}, self.told.append, starts_missing_runs=False)
        for phase in NBA.phases:
            self.store.bus.subscribe(phase.start_topic, phase.start_topic)

    def hear(self) -> list[Start]:
        """The starts that nobody has done, in their order."""
        topics = [phase.start_topic for phase in NBA.phases]
        deliveries = self.store.bus.pull(topics, limit=1000, now=self.clock.now(), lease_s=60)
        self.store.bus.ack(deliveries)
        self.ordered += sorted((read_start(delivery.data) for delivery in deliveries), key=lambda start: start.id)
        return self.ordered

    def do(self, start: Start, completion: Completion | None = None) -> None:
        self.ordered.remove(start)
        self.done.append(completion or self.act(start))
        assert self.service.on_completion(self.done[-1]) is None

    def finish(self, run: RunKey, *, up_to: str = "") -> None:
        """Do what is ordered in a run until nothing is, or a phase has been ordered."""
        while mine := [start for start in self.hear() if start.run == run and start.phase != up_to]:
            self.do(mine[0])

    def pass_by(self, **amount: float) -> None:
        """Time goes by, and the timer looks."""
        self.clock.time += timedelta(**amount)
        self.service.sweep()

    def view(self, run: RunKey) -> View:
        plan, record = self.store.states.plan(run), self.store.states.load(run)
        assert plan is not None
        return look(plan, record.facts, record.latches, record.control, self.clock.now())

    def status(self, run: RunKey) -> RunStatus:
        return summarise(self.view(run))

    def decisions(self, run: RunKey, gate: str) -> list[str]:
        """Every decision on a gate, as it was told."""
        return [f"{e.decision}: {e.reason}" for e in self.told if (e.run, e.gate) == (run, gate)]

    def orders(self, run: RunKey, phase: str = "") -> list[str]:
        """`processor/attempt` of every start that was ever latched, in the order of the latches."""
        latches = self.store.states.load(run).latches
        return [f"{s.processor}/{s.attempt}" for latch in latches for s in latch.starts if phase in ("", s.phase)]


@contextmanager
def new_days(work: Work | None = None, day: date | None = None, spec: PipelineSpec = NBA) -> Iterator[Days]:
    """Invented work; or, with a warehouse and a feed, the real work on the morning after that day."""
    store = Sqlite(":memory:")
    try:
        days = Days(store, spec, world=local_world(lambda: work.warehouse) if work else None)
        if work and day:
            days.clock.time = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc) + timedelta(days=1)
            days.act = lambda start: run_processor(start, SPECS[start.processor][1], SPECS[start.processor][0], work)
        yield days
    finally:
        store.close()


@dataclass
class WholeDays:
    """The whole engine on a home of its own: every handler, processor, coordinator and worker; time moved by hand."""

    local: LocalHome
    runs: Runs
    clock: HandClock
    data: Path

    def begin(self, run: RunKey) -> None:
        """The morning on which such a run usually starts, with the history before it."""
        mode = next(mode for mode in NBA.modes if mode.name == run.mode)
        self.clock.time = max(self.clock.time, usual_start(mode, run.date, NBA.zone))
        bootstrap(self.runs.work, history_before(run, NBA), lambda _: None)

    def go(self, *keys: RunKey) -> list[RunStatus]:
        """Drive these beside each other as far as they come at this moment, as a command of its own does."""
        self.local.store.release_leases(self.clock.now())
        waiting = list(keys)

        def ready() -> list[RunKey]:
            taken, waiting[:] = list(waiting), []
            return taken

        self.runs.drive(ready, patience_s=0, ended=lambda _: None, tell=lambda _: None, watch=lambda _: None)
        return [self.runs.status(key) for key in keys]

    def one(self, run: RunKey) -> RunStatus:
        """One run on its usual morning."""
        self.begin(run)
        return self.go(run)[0]

    def go_until(self, run: RunKey, end: datetime) -> RunStatus:
        """From one look to the next until it has ended, or this time has come."""
        while (status := self.go(run)[0]).next_look_at and not status.state.well and self.clock.time < end:
            looks = (status.next_look_at, self.local.ports.bus.next_at(), self.local.batches.next_at())
            self.clock.time = max(self.clock.time + timedelta(seconds=1), min(at for at in looks if at))
        return status

    def look_again(self, run: RunKey) -> RunStatus:
        assert self.runs.look_again(run) is None
        return self.go(run)[0]

    def replay(self, run: RunKey, phase: str) -> RunKey:
        again = self.runs.replay(run, phase, ANN)
        assert isinstance(again, RunKey), again
        return again

    def attempts(self, run: RunKey) -> dict[str, int]:
        """How often each processor of a run was ordered."""
        latches = self.local.ports.states.load(run).latches
        return dict(Counter(start.processor for latch in latches for start in latch.starts))

    def decisions(self, run: RunKey) -> list[str]:
        return [f"{e.gate} {e.decision}: {e.reason}" for e in self.local.ports.states.ledger(run)]

    def document(self, day: date, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.local.exports.get(f"nba/{day}/{name}.json") or b"{}")
        return document

    def rows(self, sql: str, **parameters: object) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in self.local.warehouse.query(sql, parameters)]


@contextmanager
def whole_days(home: Path, data: Path, feed: Feed | None = None) -> Iterator[WholeDays]:
    home.mkdir(parents=True, exist_ok=True)
    clock = HandClock(datetime(2020, 1, 1, tzinfo=timezone.utc))
    local = LocalHome(home, Sqlite(home / STATE_FILE), clock)
    try:
        create_tables(local.warehouse)
        yield WholeDays(local, Runs(local, NBA, feed or open_feed(data), "abc1234"), clock, data)
    finally:
        local.close()
