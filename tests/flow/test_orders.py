"""Does a night come to the same tables and documents in whatever order its messages and its work come?"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event
from time import sleep
from typing import Any

import pytest

from data_processors.nba.runner import Work, bootstrap, create_tables, run_processor
from orchestration.local import Listening, LocalRuntime
from shared.adapters.clock import SystemClock
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.feed import FolderFeed
from shared.adapters.objects import FolderObjects, MemoryObjects
from shared.adapters.sqlite import Sqlite
from shared.config.functions import FUNCTIONS, FunctionKind
from shared.config.nba import NBA
from shared.core.fold import look
from shared.core.messages import Message
from shared.core.model import Completion, PhaseSpec, PipelineSpec, RunKey, Start
from shared.core.status import RunState, RunStatus, summarise
from shared.ports import Bus, Delivery, Ports
from shared.readings import readers
from shared.service import Service
from shared.wiring import EXPORTS, WAREHOUSE_FILE, local_world
from tests.flow.forecasts import predict
from tests.flow.nights import NOW, Night
from tests.flow.snapshot import documents, tables

SEEDS = range(6)
HELD_BACK = 0.5  # of the messages that are there, each time somebody asks
WORK_S_MAX = 0.02  # beyond what a processor takes by itself
PATIENCE = timedelta(seconds=5)  # what is due later than this is not waited for
BEHIND_SERVICES = ("prediction_coordinator", "prediction_worker")  # of which an overnight run has none


@dataclass
class ShuffledBus:
    """A bus that gives out its messages in any order, and some of them later."""

    bus: Bus
    random: Random
    clock: SystemClock

    def __post_init__(self) -> None:
        self._held: list[Delivery] = []

    def pull(self, subscriptions: Sequence[str], *, limit: int, now: datetime, lease_s: int) -> list[Delivery]:
        self._held += self.bus.pull(subscriptions, limit=limit, now=now, lease_s=lease_s)
        asked = [delivery for delivery in self._held if delivery.subscription in subscriptions]
        self.random.shuffle(asked)
        given = [delivery for delivery in asked[:limit] if self.random.random() > HELD_BACK]
        self._held = [delivery for delivery in self._held if delivery not in given]
        return given

    def next_at(self) -> datetime | None:
        return self.clock.now() if self._held else self.bus.next_at()

    def subscribe(self, subscription: str, topic: str) -> None:
        self.bus.subscribe(subscription, topic)

    def hears(self, subscription: str, topic: str) -> bool:
        return self.bus.hears(subscription, topic)

    def publish(self, messages: Sequence[Message], now: datetime) -> None:
        self.bus.publish(messages, now)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.bus.ack(deliveries)

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:
        return self.bus.nack(delivery, now, error)

    def dead_letters(self, limit: int) -> list[tuple[Delivery, str]]:
        return self.bus.dead_letters(limit)

    def redrive(self, ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        return self.bus.redrive(ids, now)

    def purge(self, ids: Sequence[str]) -> tuple[str, ...]:
        return self.bus.purge(ids)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a run came to."""

    status: RunStatus
    reported: tuple[str, ...]  # processors in the order their reports were received
    tables: dict[str, list[int]]
    documents: dict[str, object]


Pace = Callable[[Start, Callable[[], Completion]], Completion]
"""Does the work of a start, when it thinks fit."""


@contextmanager
def opened(home: Path, data: Path) -> Iterator[Work]:
    warehouse = DuckDbWarehouse(home / WAREHOUSE_FILE)
    try:
        objects = FolderObjects(home / EXPORTS)
        yield Work(warehouse=warehouse, feed=FolderFeed(data), objects=objects, now=SystemClock().now, commit="abc1234")
    finally:
        warehouse.close()


def drive(home: Path, data: Path, run: RunKey, seed: int, spec: PipelineSpec, pace: Pace) -> Ended:
    """The shipped service, store, runtime and processors, until the run has ended or nothing is due soon."""
    store, clock = Sqlite(":memory:"), SystemClock()
    specs = {processor.name: processor for phase in spec.phases for processor in phase.processors}
    topics = {phase.name: phase.completion_topic for phase in spec.phases}
    with opened(home, data) as work:
        asked = readers(store.states, local_world(lambda: work.warehouse))
        bus = ShuffledBus(store.bus, Random(seed), clock)
        ports = Ports(states=store.states, bus=bus, clock=clock, readers=asked)
        service = Service(ports, {spec.name: spec}, starts_missing_runs=False)
        runtime = LocalRuntime(
            ports,
            service,
            listening(),
            lambda start: pace(start, lambda: run_processor(start, specs[start.processor], start.phase, work)),
            topic_of=lambda start: topics[start.phase],
            interrupt=work.warehouse.interrupt,  # type: ignore[attr-defined]
        )

        def status() -> RunStatus:
            plan, record = ports.states.plan(run), ports.states.load(run)
            assert plan is not None
            return summarise(look(plan, record.facts, record.latches, record.control, clock.now()))

        def stands_still() -> bool:
            next_look_at = status().next_look_at
            if next_look_at is None or runtime.running:
                return next_look_at is None
            return min(ports.bus.next_at() or next_look_at, next_look_at) > clock.now() + PATIENCE

        service.start_run(run)
        runtime.run_until(stands_still)
        runtime.close()
        ended = status()
    reported = tuple(fact.completion.processor for fact in ports.states.load(run).facts)
    store.close()
    return Ended(status=ended, reported=reported, tables=tables(home), documents=documents(home))


def listening() -> tuple[Listening, ...]:
    kinds = {FunctionKind.GATE: "completions", FunctionKind.SERVICE: "starts"}
    heard = [function for function in FUNCTIONS if function.name not in BEHIND_SERVICES]
    return tuple(
        Listening(f"{function.name}--{topic}", topic, kinds[function.kind])
        for function in heard
        for topic in function.listens
        if topic.endswith(("-complete", "-start"))
    )


def at_random(seed: int) -> Pace:
    """Every processor takes another time with every seed."""

    def pace(start: Start, act: Callable[[], Completion]) -> Completion:
        random = Random(f"{seed}/{start.id}")
        sleep(random.uniform(0, WORK_S_MAX))
        completion = act()
        sleep(random.uniform(0, WORK_S_MAX))
        return completion

    return pace


def one_before(first: str, second: str) -> Pace:
    """The second does not begin before the first has ended."""
    ended = Event()

    def pace(start: Start, act: Callable[[], Completion]) -> Completion:
        if start.processor == second:
            assert ended.wait(60)
        completion = act()
        if start.processor == first:
            ended.set()
        return completion

    return pace


@pytest.fixture(scope="module")
def predicted(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the history before the night, and with predictions that the night will grade."""
    home = tmp_path_factory.mktemp("predicted")
    with opened(home, season) as work:
        create_tables(work.warehouse)
        bootstrap(work, night, lambda _: None)
        run = Night(work=replace(work, now=lambda: NOW, objects=MemoryObjects()), run=RunKey("nba", night, "same_day"))
        run.all(without=("tonight", "status"))
        predict(run)
    return home


def overnight(predicted: Path, data: Path, night: date, home: Path, seed: int, spec: PipelineSpec, pace: Pace) -> Ended:
    shutil.copytree(predicted, home)
    return drive(home, data, RunKey("nba", night, "overnight"), seed, spec, pace)


@pytest.fixture(scope="module")
def undisturbed(predicted: Path, season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    return overnight(predicted, season, night, home, 0, NBA, at_random(0))


def test_every_order_of_messages_and_work_gives_the_same_tables_and_documents(
    predicted: Path, season: Path, night: date, undisturbed: Ended, tmp_path: Path
) -> None:
    orders = {undisturbed.reported}
    for seed in SEEDS:
        ended = overnight(predicted, season, night, tmp_path / str(seed), seed + 1, NBA, at_random(seed + 1))
        assert ended.status.state is RunState.PUBLISHED, ended.status.reason
        assert sorted(ended.reported) == sorted(set(ended.reported)), "a processor ran twice"
        assert ended.tables == undisturbed.tables
        assert ended.documents == undisturbed.documents
        orders.add(ended.reported)
    assert len(orders) > 1
    results: Any = undisturbed.documents[f"nba/{night}/results.json"]
    assert results["grades"]["graded_runs"] == [f"nba.{night}.same_day.1"]


def without_dependency(processor: str, other: str) -> PipelineSpec:
    def cut(phase: PhaseSpec) -> PhaseSpec:
        return replace(
            phase,
            processors=tuple(
                replace(
                    spec,
                    needs=tuple(name for name in spec.needs if name != other),
                    after=tuple(name for name in spec.after if name != other),
                )
                if spec.name == processor
                else spec
                for spec in phase.processors
            ),
        )

    return replace(NBA, phases=tuple(cut(phase) for phase in NBA.phases))


@pytest.mark.parametrize(
    ("processor", "other", "differs"),
    [
        ("player_game_summary", "team_offense_game_summary", "nba_analytics.player_game_summary"),
        ("ml_feature_store", "player_composite_factors", "nba_precompute.ml_feature_store"),
    ],
    ids=["a need that is not kept", "an after that is not kept"],
)
def test_a_dependency_taken_away_gives_another_result(
    predicted: Path,
    season: Path,
    night: date,
    undisturbed: Ended,
    tmp_path: Path,
    processor: str,
    other: str,
    differs: str,
) -> None:
    spec = without_dependency(processor, other)
    ended = overnight(predicted, season, night, tmp_path / "home", 1, spec, one_before(processor, other))
    assert ended.tables[differs] != undisturbed.tables[differs]


# --- the season's edges -----------------------------------------------------------------------------


@pytest.mark.parametrize("day", [date(2023, 10, 24), date(2023, 10, 25)], ids=["the first night", "the second night"])
def test_games_without_history_do_not_degrade_a_night(real_data: Path, tmp_path: Path, day: date) -> None:
    with opened(tmp_path, real_data) as work:
        create_tables(work.warehouse)
        bootstrap(work, day, lambda _: None)
    ended = drive(tmp_path, real_data, RunKey("nba", day, "overnight"), 1, NBA, at_random(1))
    assert (ended.status.state, ended.status.missing) == (RunState.PUBLISHED, ()), ended.status.reason


# --- nothing to do ----------------------------------------------------------------------------------


def test_a_night_without_games_ends_at_once_and_leaves_what_was_published_alone(
    real_data: Path, tmp_path: Path
) -> None:
    day = date(2024, 2, 17)  # the All-Star break
    with opened(tmp_path, real_data) as work:
        create_tables(work.warehouse)
        for name in ("results", "status"):
            work.objects.put(f"nba/{day}/{name}.json", b'{"games": [{"game_id": "1"}]}')
    before = documents(tmp_path)
    ended = drive(tmp_path, real_data, RunKey("nba", day, "overnight"), 1, NBA, at_random(1))
    assert ended.status.state is RunState.NOTHING_EXPECTED
    assert set(ended.reported) <= {"schedule", "boxscores"}
    assert ended.documents == before
