"""A batch through coordinator and workers on embedded parts: whatever is lost, doubled, late or dies, it ends well.

Past 400 lines because all of it stands on one world of store, warehouse, clock and workers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest

from orchestration.batches import BatchSweep
from orchestration.local import Listening, LocalRuntime, Sweep
from orchestration.pool import Task
from predictions.coordinator.coordinator import SEAL_LEASE_S, Coordinator, Inputs
from predictions.worker.worker import answer
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.sqlite import Sqlite
from shared.core.batch import (
    BATCH_S_MAX,
    CHUNK_TIMEOUT_S,
    CHUNK_UNITS,
    CONSOLIDATE_S,
    MUTE_MARGIN_S,
    SHARED_TEXT_MAX,
    TRIES_MAX,
    UNIT_ID_MAX,
    UNIT_TEXT_MAX,
    ChunkOrder,
    ChunkReport,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
)
from shared.core.messages import (
    TEXT_MAX,
    UNITS_MAX,
    Message,
    read_completion,
    read_order,
    read_report,
    report_message,
    start_message,
)
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import Clock, Partition, Ports, Stamp, Written
from shared.service import Service

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
    inputs: dict[str, str] = field(default_factory=dict)  # of single units, in place of the usual
    shared: str = '{"factor": 2}'
    away_until: datetime = NOW  # of the warehouse
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
            if self.now_at < self.away_until:
                raise OSError("the warehouse is away")
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
        return Inputs(shared=self.shared, units=units | self.inputs, skipped=self.skipped)

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

    def sweep(self) -> None:
        """The timer's walk."""
        coordinator = self.coordinator
        for batch in coordinator.due():
            coordinator.advance(batch)

    def rows(self) -> dict[str, float]:
        rows = self.warehouse.query("SELECT unit, value FROM points.predictions ORDER BY unit", {})
        assert len({row["unit"] for row in rows}) == len(rows)
        return {str(row["unit"]): float(str(row["value"])) for row in rows}


def double(unit: Unit) -> UnitResult:
    value = 2.0 * json.loads(unit.inputs)["points"]
    return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps({"unit": unit.id, "value": value}))


def failed(unit: Unit, again: bool = False) -> UnitResult:
    return UnitResult(unit=unit.id, state=UnitState.FAILED, reason="position unknown", again=again)


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
        world.sweep()
    completion = only(world.completions())
    assert (completion.status, completion.units_expected, completion.units_actual) == (Status.PARTIAL, 120, 60)
    assert completion.reason == "60 of 120 units are not there: 60 failed: ValueError: no such feature: 'minutes'"
    assert completion.missing == UNITS[1::2]
    assert world.rows() == {unit: value for unit, value in DOUBLED.items() if unit in UNITS[::2]}
    assert set(tried.values()) == {1, TRIES_MAX}, "what is done is not done again, what fails has a budget"


def test_what_a_worker_calls_permanent_is_not_tried_again() -> None:
    world = World(failed)
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
    world.predict = failed
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
        world.sweep()
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
        world.sweep()
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
    world.sweep()
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
            world.sweep()
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
        world.sweep()
        return consolidate(start, outputs)

    world.coordinator.on_start(START)
    for report in world.reports():
        replace(slow, consolidate=dawdle).on_report(report)
    assert world.rows() == DOUBLED
    completions = world.completions()
    assert len(completions) == 2
    assert {completion.id for completion in completions} == {"predictions/predictions/1/1"}
    assert {completion.digest for completion in completions} == {completions[0].digest}


# --- a start that comes again -------------------------------------------------------------------------


def test_a_start_that_comes_again_orders_only_what_is_still_open() -> None:
    """A silent first try that a second made up for, and the rest of a chunk whose second try was lost on the way."""
    tried: list[str] = []

    def odd(unit: Unit) -> UnitResult:
        tried.append(unit.id)
        return double(unit) if unit.id != "u000" or tried.count("u000") > 1 else failed(unit, again=True)

    world = World(odd, units=UNITS[:100])
    world.coordinator.on_start(START)
    first, _silent = world.orders()
    world.coordinator.on_report(answer(first, lambda _: odd))
    world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    world.sweep()
    _lost, second = sorted(world.orders(), key=lambda order: order.chunk)
    world.coordinator.on_report(answer(second, lambda _: odd))
    world.coordinator.on_start(START)
    again = [(order.chunk, order.number, [unit.id for unit in order.units]) for order in world.orders()]
    assert again == [(0, 2, ["u000"])]


def test_a_start_that_comes_again_while_the_batch_is_sealed_orders_nothing() -> None:
    world = World(double, away_until=NOW + timedelta(seconds=BATCH_S_MAX + 60))
    world.coordinator.on_start(START)
    *prompt, _late = world.reports()
    for report in prompt:
        world.coordinator.on_report(report)
    world.pass_by(BATCH_S_MAX)
    world.sweep()
    world.coordinator.on_start(START)
    assert (world.orders(), world.completions()) == ([], [])
    world.pass_by(SEAL_LEASE_S)
    world.sweep()
    assert only(world.completions()).units_actual == 100


# --- a warehouse that is out of order -----------------------------------------------------------------


def test_a_consolidation_that_fails_is_tried_again_when_its_lease_has_lapsed() -> None:
    world = World(double, away_until=NOW + timedelta(seconds=300))
    world.coordinator.on_start(START)
    world.work()
    while world.now_at < world.away_until:
        assert (world.completions(), world.rows()) == ([], {})
        world.pass_by(SEAL_LEASE_S)
        world.sweep()
    assert (only(world.completions()).rows, world.rows()) == (120, DOUBLED)


def test_a_consolidation_that_cannot_succeed_ends_the_batch_as_failed_and_is_let_go() -> None:
    """Two units that give one key: no try helps. The other batches of the sweep are not held up."""

    def same(unit: Unit) -> UnitResult:
        return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps({"unit": "all", "value": 1.0}))

    world = World(same)
    world.coordinator.on_start(START)
    world.work()
    world.predict = double
    other = replace(START, run=replace(START.run, mode="tomorrow"))
    world.coordinator.on_start(other)
    world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    world.sweep()
    world.work()
    assert [completion.run for completion in world.completions()] == [other.run]
    world.pass_by(CONSOLIDATE_S)
    world.sweep()
    completion = only(world.completions())
    assert (completion.run, completion.status) == (START.run, Status.FAILED)
    assert completion.reason.startswith("120 units are done, but what they gave could not be written: WarehouseError:")
    assert "unit all" in completion.reason
    assert world.store.batches.next_at() is None


def test_who_has_lost_the_seal_does_not_give_a_batch_up_that_another_has_written() -> None:
    """Given up and interrupted after all that time, while a second one has long taken the seal up and published."""
    world = World(double)
    slow = world.coordinator

    def hang(_start: Start, _outputs: Sequence[str]) -> Written:
        world.pass_by(CONSOLIDATE_S)
        world.sweep()
        raise InterruptedError("out of time")

    world.coordinator.on_start(START)
    for report in world.reports():
        replace(slow, consolidate=hang).on_report(report)
    assert only(world.completions()).status is Status.SUCCESS
    world.coordinator.on_start(START)
    assert only(world.completions()).status is Status.SUCCESS, "what stands in the store"


def test_who_looks_while_another_ends_the_batch_does_not_wake_it_again() -> None:
    """The look decided on before the seal is written after it; for ever due, the batch would keep every run waiting."""
    world = World(double)
    world.coordinator.on_start(START)
    reports = world.reports()
    slow = world.coordinator

    @dataclass
    class Late:
        """The batch store, as one sees it whose write comes late."""

        port: Any

        def __getattr__(self, verb: str) -> Any:
            if verb == "look_at":
                for report in reports:
                    world.coordinator.on_report(report)
            return getattr(self.port, verb)

    replace(slow, batches=Late(slow.batches)).advance(batch_id(START))  # type: ignore[arg-type]
    assert only(world.completions()).rows == 120
    assert world.store.batches.next_at() is None


# --- what does not fit --------------------------------------------------------------------------------


def test_a_unit_whose_inputs_fit_into_no_order_fails_alone() -> None:
    world = World(double, inputs={"u007": json.dumps({"points": 7, "text": "x" * UNIT_TEXT_MAX})})
    world.coordinator.on_start(START)
    orders = world.orders()
    assert sum(len(order.units) for order in orders) == 119
    for order in orders:
        world.coordinator.on_report(answer(order, lambda _: double))
    completion = only(world.completions())
    assert (completion.status, completion.units_actual, completion.missing) == (Status.PARTIAL, 119, ("u007",))
    assert f"characters, at most {UNIT_TEXT_MAX}" in completion.reason


def test_a_unit_whose_output_fits_into_no_report_fails_alone() -> None:
    def talk(unit: Unit) -> UnitResult:
        done = double(unit)
        return replace(done, output=" " * UNIT_TEXT_MAX + done.output) if unit.id == "u007" else done

    world = World(talk)
    world.coordinator.on_start(START)
    world.work()
    completion = only(world.completions())
    assert (completion.units_actual, completion.missing) == (119, ("u007",))
    assert f"characters, at most {UNIT_TEXT_MAX}" in completion.reason
    assert len(world.rows()) == 119


def test_orders_and_reports_as_large_as_they_may_be_pass_the_bus() -> None:
    full = json.dumps('"' * (UNIT_TEXT_MAX // 2 - 1))
    names = [f"{number:0{UNIT_ID_MAX}}" for number in range(CHUNK_UNITS)]

    def quote(unit: Unit) -> UnitResult:
        return UnitResult(unit=unit.id, state=UnitState.DONE, output=full, reason="x" * TEXT_MAX)

    world = World(quote, units=(), inputs=dict.fromkeys(names, full), shared=full * (SHARED_TEXT_MAX // len(full)))
    world.coordinator.on_start(START)
    (report,) = world.reports()
    assert {result.state for result in report.results} == {UnitState.DONE}
    assert read_report(report_message(report, "ready").data) == report


def test_a_workers_reason_is_cut_to_what_a_report_may_hold() -> None:
    world = World(lambda unit: replace(failed(unit), reason="x" * 5_000))
    world.coordinator.on_start(START)
    for report in world.reports():
        assert read_report(report_message(report, "ready").data) == report


@pytest.mark.parametrize(
    ("inputs", "shared", "said"),
    [
        pytest.param(
            {f"u{number}": "{}" for number in range(UNITS_MAX + 1)}, "", f"at most {UNITS_MAX}", id="too many units"
        ),
        pytest.param({"x" * (UNIT_ID_MAX + 1): "{}"}, "", "unit 'xxx", id="an id that is too long"),
        pytest.param({"": "{}"}, "", "unit ''", id="an empty id"),
        pytest.param({"u1": "{}"}, "x" * (SHARED_TEXT_MAX + 1), f"at most {SHARED_TEXT_MAX}", id="what units share"),
    ],
)
def test_a_batch_that_no_message_could_tell_of_does_not_begin(inputs: dict[str, str], shared: str, said: str) -> None:
    world = World(double, units=(), inputs=inputs, shared=shared)
    with pytest.raises(ValueError, match=said):
        world.coordinator.on_start(START)
    assert world.store.batches.batch(batch_id(START)) is None


def test_the_completion_of_the_largest_batch_passes_the_bus() -> None:
    names = tuple(f"{number:0{UNIT_ID_MAX}}" for number in range(UNITS_MAX))
    world = World(failed, units=names)
    world.coordinator.on_start(START)
    world.pass_by(BATCH_S_MAX)
    world.sweep()
    assert len(only(world.completions()).missing) == UNITS_MAX


# --- in the embedded runtime --------------------------------------------------------------------------


@dataclass
class HastyClock:
    """Time flies: at every look so many seconds."""

    step_s: float
    time: datetime = NOW

    def now(self) -> datetime:
        self.time += timedelta(seconds=self.step_s)
        return self.time


def runtime_on(
    world: World, clock: Clock, work: Callable[[Start], Completion], sweeps: Sequence[Sweep]
) -> LocalRuntime:
    """One that hears starts of processors on "start", and sweeps."""
    ports = Ports(states=world.store.states, bus=world.store.bus, clock=clock)
    listening = (Listening("start", "start", "starts"),)
    service = Service(ports, {}, starts_missing_runs=False)
    return LocalRuntime(ports, service, listening, work, topic_of=lambda _: "complete", sweeps=sweeps)


def done(start: Start) -> Completion:
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=Status.SUCCESS,
    )


def test_a_consolidation_that_hangs_in_the_sweep_does_not_stop_the_runtime() -> None:
    world, others_go_on, seen = World(double), threading.Event(), list[bool]()
    coordinator = world.coordinator
    coordinator.on_start(START)
    for report in world.reports()[:2]:
        coordinator.on_report(report)
    world.pass_by(BATCH_S_MAX)

    def hang(start: Start, outputs: Sequence[str]) -> Written:
        seen.append(others_go_on.wait(10))  # given up so that the test can fail
        return coordinator.consolidate(start, outputs)

    def work(start: Start) -> Completion:
        others_go_on.set()
        return done(start)

    sweep = BatchSweep(replace(coordinator, consolidate=hang))
    runtime = runtime_on(world, world, work, [sweep])
    world.store.bus.publish([start_message(START, "start")], world.now())
    runtime.run_until(lambda: bool(seen) and not runtime.running)
    assert seen == [True], "nobody else got on"
    statuses = [(each.status, each.rows) for each in world.completions()]
    assert sorted(statuses, key=str) == [(Status.PARTIAL, 100), (Status.SUCCESS, None)]
    assert sweep(9) == [], "it is due no more"


def test_a_batch_that_is_being_swept_is_not_handed_out_again_until_it_has_been_looked_at() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    sweep = BatchSweep(world.coordinator)
    assert sweep(0) == []
    (task,) = sweep(9)
    assert sweep(9) == []
    assert task.failed("timed out after 300 s", 300) is None
    (again,) = sweep(9)
    again.act()
    assert sweep(9) == []
    world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    assert len(sweep(9)) == 1


def test_a_sweep_that_fails_is_found_again_and_harms_nobody() -> None:
    world, tries = World(double), list[int]()

    def act() -> list[Message]:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("the store is away")
        return []

    def sweep(_limit: int) -> list[Task]:
        return [Task(delivery=None, start=START, timeout_s=9, act=act, failed=lambda _reason, _s: None)]

    runtime = runtime_on(world, HastyClock(1), done, [sweep])
    runtime.run_until(lambda: len(tries) > 1)
    runtime.close()


def test_the_timer_has_a_place_in_the_pool_however_much_work_waits() -> None:
    world, limits = World(double), list[int]()

    def sweep(limit: int) -> list[Task]:
        limits.append(limit)
        return []

    runtime = runtime_on(world, HastyClock(1), done, [sweep])
    starts = [replace(START, attempt=attempt) for attempt in range(1, 101)]
    world.store.bus.publish([start_message(start, "start") for start in starts], NOW)
    heard: list[Completion] = []

    def all_heard() -> bool:
        world.now_at = NOW + timedelta(days=1)
        heard.extend(world.completions())
        return len(heard) == len(starts)

    runtime.run_until(all_heard)
    assert len(limits) > 5
    assert min(limits) >= 1
