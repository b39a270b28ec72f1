"""A batch through coordinator and workers on embedded parts: whatever is lost, doubled, late or dies, it ends well."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest

from predictions.coordinator.coordinator import SEAL_LEASE_S, Coordinator, Inputs
from predictions.worker.worker import answer
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.sqlite import Sqlite
from shared.core.batch import (
    BATCH_S_MAX,
    CHUNK_TIMEOUT_S,
    MUTE_MARGIN_S,
    TRIES_MAX,
    ChunkOrder,
    ChunkReport,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
)
from shared.core.messages import read_completion, read_order
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import Partition, Stamp, Written

NOW = datetime(2024, 1, 15, 15, 30, tzinfo=timezone.utc)
DAY = date(2024, 1, 15)
START = Start(
    run=RunKey("nba", DAY, "same_day"),
    phase="predictions",
    processor="predictions",
    attempt=1,
    fence=200010001,
    partition=DAY,
    timeout_s=2_400,
    issued_at=NOW,
)
UNITS = tuple(f"u{number:03}" for number in range(120))  # three chunks
TABLE = """
CREATE SCHEMA IF NOT EXISTS points;
CREATE TABLE IF NOT EXISTS points.predictions (
  day DATE NOT NULL, unit STRING, value FLOAT64, run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL
);
"""
TARGET = Partition(table="points.predictions", column="day", first=DAY, last=DAY)


class Died(BaseException):
    """The process is no more; nothing in it may catch this."""


@dataclass
class Mortal:
    """A real port; its process dies just before one of the calls."""

    port: Any
    world: World

    def __getattr__(self, verb: str) -> Any:
        act = getattr(self.port, verb)

        def call(*arguments: Any, **named: Any) -> Any:
            self.world.calls += 1
            if self.world.calls == self.world.dies_at:
                raise Died
            return act(*arguments, **named)

        return call


@dataclass
class World:
    """Store, warehouse and clock, a coordinator on them, and what its workers do."""

    predict: Callable[[Unit], UnitResult]
    skipped: dict[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = UNITS
    now_at: datetime = NOW
    calls: int = 0
    dies_at: int = 0
    gathered: int = 0

    def __post_init__(self) -> None:
        self.store, self.warehouse = Sqlite(":memory:"), DuckDbWarehouse(":memory:")
        self.warehouse.create(TABLE)
        for topic in ("request", "complete"):
            self.store.bus.subscribe(topic, topic)

    def now(self) -> datetime:
        return self.now_at

    def pass_by(self, seconds: float) -> None:
        self.now_at += timedelta(seconds=seconds)

    @property
    def coordinator(self) -> Coordinator:
        """A new one each time: what it knows is in the store."""
        warehouse = Mortal(self.warehouse, self)
        stamp = lambda start: Stamp(run=str(start.run), attempt=start.attempt, fence=start.fence)  # noqa: E731

        def consolidate(start: Start, outputs: Sequence[str]) -> Written:
            rows = [{"day": DAY, **json.loads(output)} for output in outputs]
            written: Written = warehouse.merge(TARGET, rows, ("unit",), stamp(start), "unit")
            return written

        return Coordinator(
            batches=Mortal(self.store.batches, self),  # type: ignore[arg-type]
            bus=Mortal(self.store.bus, self),  # type: ignore[arg-type]
            clock=self,
            gather=self.gather,
            consolidate=consolidate,
            standing=lambda start: warehouse.standing(TARGET, stamp(start), "unit"),
            request_topic="request",
            completion_topic="complete",
        )

    def gather(self, _start: Start) -> Inputs:
        self.gathered += 1
        units = {unit: json.dumps({"points": number}) for number, unit in enumerate(self.units)}
        return Inputs(shared='{"factor": 2}', units=units, skipped=self.skipped)

    def orders(self) -> list[ChunkOrder]:
        pulled = self.store.bus.pull(["request"], limit=1_000, now=self.now_at, lease_s=9)
        self.store.bus.ack(pulled)
        return [read_order(delivery.data) for delivery in pulled]

    def reports(self) -> list[ChunkReport]:
        return [answer(order, lambda _shared: self.predict) for order in self.orders()]

    def completions(self) -> list[Completion]:
        pulled = self.store.bus.pull(["complete"], limit=1_000, now=self.now_at, lease_s=9)
        self.store.bus.ack(pulled)
        return [read_completion(delivery.data) for delivery in pulled]

    def work(self) -> None:
        """Everything that was ordered, done and reported."""
        while reports := self.reports():
            for report in reports:
                assert self.coordinator.on_report(report) is None

    def rows(self) -> dict[str, float]:
        rows = self.warehouse.query("SELECT unit, value FROM points.predictions ORDER BY unit", {})
        assert len({row["unit"] for row in rows}) == len(rows)
        return {str(row["unit"]): float(str(row["value"])) for row in rows}


def double(unit: Unit) -> UnitResult:
    value = 2.0 * json.loads(unit.inputs)["points"]
    return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps({"unit": unit.id, "value": value}))


DOUBLED = {unit: 2.0 * number for number, unit in enumerate(UNITS)}


def only(completions: list[Completion]) -> Completion:
    """Published once or more often, it is one."""
    assert completions
    assert all(completion == completions[0] for completion in completions)
    return completions[0]


def test_a_batch_ends_when_every_unit_has() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    orders = world.orders()
    assert [len(order.units) for order in orders] == [50, 50, 20]
    assert [order.start.units for order in orders] == [None, None, None]
    for number, order in enumerate(orders, 1):
        assert world.completions() == []
        world.coordinator.on_report(answer(order, lambda _: double))
        assert (world.rows() == DOUBLED) == (number == 3), "nothing is merged before the last report"
    completion = only(world.completions())
    assert (completion.status, completion.units_actual, completion.rows) == (Status.SUCCESS, 120, 120)
    assert (completion.run, completion.id) == (START.run, "predictions/predictions/1/1")


def test_workers_get_what_the_batch_shares() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    assert {order.shared for order in world.orders()} == {'{"factor": 2}'}


def test_the_same_start_finds_the_first_batch_and_reads_its_inputs_once() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    world.coordinator.on_start(START)
    assert world.gathered == 1
    world.work()
    assert world.rows() == DOUBLED
    world.completions()
    world.coordinator.on_start(START)
    assert only(world.completions()).rows == 120, "whoever sent the start may not have heard the first"
    assert world.orders() == []


def test_a_new_attempt_is_a_batch_of_its_own_and_outranks_the_first() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    first = world.reports()
    second = replace(START, attempt=2, fence=START.fence + 1)
    world.units = UNITS[:60]  # a game was postponed
    world.coordinator.on_start(second)
    world.work()
    assert only(world.completions()).rows == 60
    assert set(world.rows()) == set(UNITS[:60])
    for report in first:
        world.coordinator.on_report(report)
    late = only(world.completions())
    assert (late.attempt, late.status, late.reason) == (1, Status.SKIPPED, "superseded")
    assert set(world.rows()) == set(UNITS[:60])


def test_a_unit_without_history_is_named_and_costs_nothing() -> None:
    world = World(double, skipped={"rookie": "no_history"})
    world.coordinator.on_start(START)
    world.work()
    completion = only(world.completions())
    assert (completion.status, completion.units_expected, completion.units_actual) == (Status.SUCCESS, 121, 121)
    assert (completion.rows, completion.missing, completion.reason) == (120, (), "skipped: rookie (no_history)")


@pytest.mark.parametrize("skipped", [{}, {"rookie": "no_history"}], ids=["nobody", "one without history"])
def test_a_batch_of_nobody_is_skipped_and_whole(skipped: dict[str, str]) -> None:
    world = World(double, skipped=skipped, units=())
    world.coordinator.on_start(START)
    completion = only(world.completions())
    assert (completion.status, completion.reason) == (Status.SKIPPED, "no_history")


def test_half_the_units_failing_harm_only_themselves() -> None:
    tried: dict[str, int] = {}

    def odd(unit: Unit) -> UnitResult:
        tried[unit.id] = tried.get(unit.id, 0) + 1
        if int(unit.id[1:]) % 2:
            raise ValueError("no such feature: 'minutes'")
        return double(unit)

    world = World(odd)
    world.coordinator.on_start(START)
    for _ in range(TRIES_MAX):
        world.work()
        world.pass_by(60)
        world.coordinator.sweep()
    completion = only(world.completions())
    assert (completion.status, completion.units_expected, completion.units_actual) == (Status.PARTIAL, 120, 60)
    assert completion.reason == "60 of 120 units are not there: 60 failed: ValueError: no such feature: 'minutes'"
    assert completion.missing == UNITS[1::2]
    assert world.rows() == {unit: value for unit, value in DOUBLED.items() if unit in UNITS[::2]}
    assert set(tried.values()) == {1, TRIES_MAX}, "what is done is not done again, what fails has a budget"


def test_what_a_worker_calls_permanent_is_not_tried_again() -> None:
    def refuse(unit: Unit) -> UnitResult:
        return UnitResult(unit=unit.id, state=UnitState.FAILED, reason="position unknown")

    world = World(refuse)
    world.coordinator.on_start(START)
    world.work()
    completion = only(world.completions())
    assert (completion.status, completion.rows) == (Status.FAILED, 0)
    assert completion.reason == "120 of 120 units are not there: 120 failed: position unknown"


def test_all_units_failing_write_nothing_over_what_stands() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    world.work()
    world.completions()
    world.predict = lambda unit: UnitResult(unit=unit.id, state=UnitState.FAILED, reason="position unknown")
    world.coordinator.on_start(replace(START, attempt=2, fence=START.fence + 1))
    world.work()
    assert only(world.completions()).status is Status.FAILED
    assert world.rows() == DOUBLED


@pytest.mark.parametrize("seed", range(20))
def test_reports_lost_doubled_and_reordered_cost_nothing_but_time(seed: int) -> None:
    world, random = World(double), Random(seed)
    world.coordinator.on_start(START)
    for _ in range(40):
        reports = [report for report in world.reports() for _ in range(random.choice((0, 1, 1, 2)))]
        random.shuffle(reports)
        for report in reports:
            assert world.coordinator.on_report(report) is None
        world.pass_by(60)
        world.coordinator.sweep()
    completion = only(world.completions())
    there = len(world.rows())
    assert (completion.units_actual, completion.rows) == (there, there)
    assert there + len(completion.missing) == 120
    assert world.rows() == {unit: value for unit, value in DOUBLED.items() if unit not in completion.missing}


def test_a_batch_that_nobody_works_on_ends_at_the_last_try() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    for tries in range(1, TRIES_MAX + 1):
        assert [order.number for order in world.orders()] == [tries] * 3
        assert world.completions() == []
        world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
        world.coordinator.sweep()
    completion = only(world.completions())
    assert completion.status is Status.FAILED
    assert completion.reason == "120 of 120 units are not there: 120 expired: nobody reported it in time"


def test_at_the_deadline_what_is_there_is_merged_and_later_reports_change_nothing() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    *prompt, late = world.reports()
    for report in prompt:
        world.coordinator.on_report(report)
    world.pass_by(BATCH_S_MAX)
    world.coordinator.sweep()
    completion = only(world.completions())
    assert (completion.status, completion.missing) == (Status.PARTIAL, UNITS[100:])
    before = world.rows()
    assert world.coordinator.on_report(late) is None
    assert (world.rows(), world.completions()) == (before, [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"start": replace(START, attempt=7)}, "is not known", id="an unknown batch"),
        pytest.param({"chunk": 9}, "has no chunk 9", id="an unknown chunk"),
        pytest.param({"number": 2}, "try 2 was never ordered", id="a try that nobody ordered"),
        pytest.param(
            {"results": (UnitResult(unit="x" * 99, state=UnitState.DONE),)}, "is not in it", id="a foreign unit"
        ),
    ],
)
def test_a_report_that_can_never_count_is_refused_and_changes_nothing(change: dict[str, Any], why: str) -> None:
    world = World(double)
    world.coordinator.on_start(START)
    report, *_ = world.reports()
    refused = world.coordinator.on_report(replace(report, **change))
    assert refused is not None
    assert why in refused.reason
    assert world.store.batches.reports(batch_id(START)) == ()


def live(world: World) -> None:
    """Start, work and sweep. A process that dies is followed by another; what it did not acknowledge comes again."""
    waiting: list[Callable[[], object]] = [lambda: world.coordinator.on_start(START)]
    for _ in range(30):
        waiting += [(lambda report=report: world.coordinator.on_report(report)) for report in world.reports()]
        again = []
        for act in waiting:
            try:
                act()
            except Died:
                again.append(act)
        waiting = again
        world.pass_by(SEAL_LEASE_S)
        try:
            world.coordinator.sweep()
        except Died:
            continue


def test_a_batch_killed_at_every_step_ends_the_same() -> None:
    """Every port call of the coordinator is the last of its process, once."""
    undisturbed = World(double)
    live(undisturbed)
    steps = undisturbed.calls
    assert steps > 30
    for step in range(1, steps + 1):
        world = World(double, dies_at=step)
        live(world)
        assert world.rows() == DOUBLED, f"killed before call {step}"
        completion = only(world.completions())
        assert (completion.status, completion.units_actual) == (Status.SUCCESS, 120), f"killed before call {step}"


def test_two_coordinators_that_consolidate_at_once_change_nothing() -> None:
    """The first is so slow that its lease lapses and the sweep of a second takes the seal up."""
    world = World(double)
    slow = world.coordinator
    consolidate = slow.consolidate

    def dawdle(start: Start, outputs: Sequence[str]) -> Written:
        world.pass_by(SEAL_LEASE_S)
        world.coordinator.sweep()
        return consolidate(start, outputs)

    world.coordinator.on_start(START)
    for report in world.reports():
        replace(slow, consolidate=dawdle).on_report(report)
    assert world.rows() == DOUBLED
    completions = world.completions()
    assert len(completions) == 2
    assert {completion.id for completion in completions} == {"predictions/predictions/1/1"}
    assert {completion.digest for completion in completions} == {completions[0].digest}
