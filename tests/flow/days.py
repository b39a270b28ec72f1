"""Runs of the nba pipeline on the shipped service and stores, time moved by hand: for the tests of several runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone

from data_processors.nba.runner import Work, run_processor
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.fold import View, look
from shared.core.messages import read_start
from shared.core.model import Act, Completion, LedgerEntry, RunKey, Start, Status
from shared.core.status import RunStatus, summarise
from shared.ports import Ports
from shared.readings import readers
from shared.service import Service

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
    clock: HandClock = field(default_factory=HandClock)
    act: Callable[[Start], Completion] = succeed
    ordered: list[Start] = field(default_factory=list)
    done: list[Completion] = field(default_factory=list)
    told: list[LedgerEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        states = self.store.states
        ports = Ports(states=states, bus=self.store.bus, clock=self.clock, readers=readers(states))
        self.service = Service(ports, {"nba": NBA}, self.told.append, starts_missing_runs=False)
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
def new_days(work: Work | None = None, day: date | None = None) -> Iterator[Days]:
    """Invented work; or, with a warehouse and a feed, the real work on the morning after that day."""
    store = Sqlite(":memory:")
    try:
        days = Days(store)
        if work and day:
            days.clock.time = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc) + timedelta(days=1)
            days.act = lambda start: run_processor(start, SPECS[start.processor][1], SPECS[start.processor][0], work)
        yield days
    finally:
        store.close()
