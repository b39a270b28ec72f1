"""What goes wrong with batches, on embedded parts and on Google's emulators: whatever dies or is lost, they end well
or end explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from predictions.coordinator.coordinator import SEAL_LEASE_S
from predictions.coordinator.service import begin
from shared.config.nba import NBA
from shared.core.batch import (
    CHUNK_TIMEOUT_S,
    MUTE_MARGIN_S,
    TRIES_MAX,
    ChunkOrder,
    ChunkReady,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    batch_id,
)
from shared.core.codec import encode
from shared.core.model import Act, Completion, Start, Status
from shared.core.timeouts import BATCH_FALLBACK
from shared.ports import WarehouseUnavailable, Written
from tests.flow.batches import (
    DOUBLED,
    NOW,
    START,
    TABLE,
    UNITS,
    WITHOUT_VALUE,
    Died,
    Parts,
    World,
    double,
    embedded_parts,
    emulated_parts,
    failed,
    only,
)

BATCH_S = BATCH_FALLBACK.total_seconds()
SILENCE_S = CHUNK_TIMEOUT_S + MUTE_MARGIN_S
STEP_S = 30
STEPS_MAX = 100  # of a batch's life: fifty minutes, more than any may take
[PHASE] = [phase for phase in NBA.phases if phase.name == "predictions"]

NewWorld = Callable[..., World]


@pytest.fixture(params=["embedded", pytest.param("emulators", marks=pytest.mark.slow)])
def new_world(request: pytest.FixtureRequest) -> Iterator[NewWorld]:
    """Makes worlds on embedded parts, and on emulators."""
    opened: list[Parts] = []

    def make(*arguments: Any, **named: Any) -> World:
        if request.param == "embedded":
            parts = embedded_parts()
        else:
            hosts = [request.getfixturevalue(f"{kind}_emulator") for kind in ("pubsub", "firestore", "bigquery")]
            parts = emulated_parts(*hosts)
        opened.append(parts)
        return World(*arguments, **named, parts=parts)

    yield make
    for parts in opened:
        parts.close()


def as_it_is(things: list[Any]) -> list[Any]:
    return things


@dataclass
class Life:
    """A batch that is started, worked on and swept until its end; who dies is followed by another.

    An order or a word whose receiver has died comes again, as the bus would bring it.
    """

    world: World
    orders_as: Callable[[list[ChunkOrder]], list[ChunkOrder]] = as_it_is  # how the network brings them
    words_as: Callable[[list[ChunkReady]], list[ChunkReady]] = as_it_is
    dies: Callable[[ChunkOrder], bool] = lambda _: False  # whether who works on it does
    start: Start = START
    waiting: list[Callable[[], object]] = field(default_factory=list)  # for whoever coordinates
    ordered: list[ChunkOrder] = field(default_factory=list)  # for whoever works
    ends_after_s: float = 0.0

    def live(self) -> Completion:
        """Until the batch has said how it ended, and nobody waits for it any more."""
        world, said = self.world, list[Completion]()
        self.waiting.append(lambda: world.coordinator.on_start(self.start))
        for _ in range(STEPS_MAX):
            self.step()
            said += world.completions()
            if said and not self.waiting and not self.ordered and world.batches.next_at() is None:
                self.ends_after_s = (world.now_at - NOW).total_seconds()
                return only(said)
            world.pass_by(STEP_S)
        raise AssertionError(f"no end after {STEPS_MAX * STEP_S} s: {world.batches.load(batch_id(self.start))}")

    def step(self) -> None:
        """All that waits, then the timer."""
        while True:
            self._try_each()
            self.ordered += self.orders_as(self.world.orders())
            doomed = [order for order in self.ordered if self.dies(order)]
            words = [self.world.do(order) for order in self.ordered if order not in doomed]
            self.ordered = doomed
            self.waiting += [self._hearing(ready) for ready in self.words_as(words)]
            if not words:
                break
        self._try_each()
        with suppress(Died):
            self.world.sweep()

    def _hearing(self, ready: ChunkReady) -> Callable[[], object]:
        return lambda: self.world.coordinator.on_ready(ready)

    def _try_each(self) -> None:
        again = []
        for act in self.waiting:
            try:
                act()
            except Died:
                again.append(act)
        self.waiting = again


def test_a_coordinator_killed_at_every_step_ends_the_batch_the_same(new_world: NewWorld) -> None:
    """Every port call of the coordinator is the last of its process, once."""
    undisturbed = new_world(double)
    assert Life(undisturbed).live().status is Status.SUCCESS
    steps = undisturbed.calls
    assert steps > 15
    for step in range(1, steps + 1):
        world = new_world(double, dies_at=step)
        completion = Life(world).live()
        assert (completion.status, completion.units_actual) == (Status.SUCCESS, 120), f"killed before call {step}"
        assert world.rows() == DOUBLED, f"killed before call {step}"


def test_every_worker_killed_once_costs_nothing(new_world: NewWorld) -> None:
    killed: set[tuple[int, int]] = set()

    def dies(order: ChunkOrder) -> bool:
        place = (order.chunk, order.number)
        if place in killed:
            return False
        killed.add(place)
        return True

    world = new_world(double)
    assert Life(world, dies=dies).live().status is Status.SUCCESS
    assert world.rows() == DOUBLED
    assert len(killed) == 3


@pytest.mark.parametrize("seed", range(5))
def test_messages_lost_doubled_and_reordered_cost_nothing_but_time(new_world: NewWorld, seed: int) -> None:
    random = Random(seed)

    def torn(things: list[Any]) -> list[Any]:
        copies = [thing for thing in things for _ in range(random.choices((0, 1, 2), (0.1, 0.7, 0.2))[0])]
        random.shuffle(copies)
        return copies

    world = new_world(double, chunk_units=5, in_flight=40)
    completion = Life(world, orders_as=torn, words_as=torn).live()
    assert (completion.status, world.rows()) == (Status.SUCCESS, DOUBLED)


def test_where_every_word_is_lost_the_sweep_reads_what_is_recorded(new_world: NewWorld) -> None:
    world = new_world(double, chunk_units=10, in_flight=60)
    life = Life(world, words_as=lambda _words: [])
    assert life.live().status is Status.SUCCESS
    assert world.rows() == DOUBLED
    assert life.ends_after_s <= 3 * 60


def test_what_a_worker_says_after_the_seal_changes_nothing(new_world: NewWorld) -> None:
    world = new_world(double, units=UNITS[:110])
    world.coordinator.on_start(START)
    *prompt, late = world.orders()
    for order in prompt:
        world.coordinator.on_ready(world.do(order))
    world.pass_by(BATCH_S)
    world.sweep()
    completion = only(world.completions())
    assert (completion.status, completion.missing) == (Status.PARTIAL, UNITS[100:110])
    before = world.rows()
    world.coordinator.on_ready(world.do(late))
    assert (world.rows(), world.completions()) == (before, [])
    assert len(before) == 100


def test_two_coordinators_that_hear_everything_at_once_are_as_good_as_one(new_world: NewWorld) -> None:
    world = new_world(double, chunk_units=10)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.coordinator.on_start(START), range(2)))
        while orders := world.orders():
            words = list(pool.map(world.do, orders))
            list(pool.map(lambda ready: world.coordinator.on_ready(ready), [*words, *words]))
    completions = world.completions()
    assert {(each.id, each.status, each.rows) for each in completions} == {
        ("predictions/predictions/1/1", Status.SUCCESS, 120)
    }
    assert world.rows() == DOUBLED


def test_two_consolidations_at_once_change_nothing(new_world: NewWorld) -> None:
    """The first is so slow that its lease lapses and the sweep of a second takes the seal up."""
    world = new_world(double)
    slow = world.coordinator
    consolidate = slow.consolidate

    def dawdle(start: Start, outputs: Sequence[str]) -> Written:
        world.pass_by(SEAL_LEASE_S)
        world.sweep()
        return consolidate(start, outputs)

    world.coordinator.on_start(START)
    for order in world.orders():
        replace(slow, consolidate=dawdle).on_ready(world.do(order))
    assert world.rows() == DOUBLED
    completions = world.completions()
    assert len(completions) == 2
    assert len({(completion.id, completion.digest) for completion in completions}) == 1


def test_a_batch_stuck_at_zero_fails_at_its_last_try_and_raises_an_incident(
    new_world: NewWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = new_world(double)
    life = Life(world, orders_as=lambda _orders: [])
    completion = life.live()
    assert completion.status is Status.FAILED
    assert completion.reason == (
        "stalled at 0% of its units, 90% are enough: "
        "120 of 120 units are not there: 120 expired: nobody reported it in time"
    )
    assert world.rows() == {}
    assert "incident: batch nba.2024-01-15.same_day.1/predictions/1 stalled at 0%" in caplog.text
    assert life.ends_after_s <= TRIES_MAX * SILENCE_S + 60


@pytest.mark.parametrize(
    ("chunks_done", "status", "incident"),
    [(11, Status.PARTIAL, False), (10, Status.FAILED, True)],
    ids=["91 % at the deadline are merged, the rest named", "83 % are not: it fails, and somebody is told"],
)
def test_at_the_deadline_the_share_that_is_there_decides(
    new_world: NewWorld, caplog: pytest.LogCaptureFixture, chunks_done: int, status: Status, incident: bool
) -> None:
    world = new_world(double, chunk_units=10)
    world.coordinator.on_start(replace(START, timeout_s=200))  # less than three silent orders take
    for order in world.orders()[:chunks_done]:
        world.do(order)
    world.pass_by(80)
    world.sweep()
    completion = only(world.completions())
    assert (completion.status, completion.missing) == (status, UNITS[10 * chunks_done :])
    assert len(world.rows()) == (10 * chunks_done if status is Status.PARTIAL else 0)
    record = world.batches.load(batch_id(START))
    assert record is not None
    assert record.seal is not None
    assert (record.seal.kind, bool(record.seal.incident)) == (SealKind.EXPIRED, incident)
    assert ("incident: batch" in caplog.text) == incident


def test_half_the_units_failing_for_good_are_tried_once_and_harm_nobody_else(new_world: NewWorld) -> None:
    tried: dict[str, int] = {}

    def odd(unit: Unit) -> UnitResult:
        tried[unit.id] = tried.get(unit.id, 0) + 1
        if int(unit.id[1:]) % 2:
            raise ValueError("no such feature: 'minutes'")
        return double(unit)

    world = new_world(odd)
    completion = Life(world).live()
    assert (completion.status, completion.units_expected, completion.units_actual) == (Status.PARTIAL, 120, 60)
    assert completion.reason == "60 of 120 units are not there: 60 failed: ValueError: no such feature: 'minutes'"
    assert completion.missing == UNITS[1::2]
    assert world.rows() == {unit: value for unit, value in DOUBLED.items() if unit in UNITS[::2]}
    assert set(tried.values()) == {1}


def test_what_may_pass_is_tried_again_within_a_budget(new_world: NewWorld) -> None:
    tried: dict[str, int] = {}

    def away(unit: Unit) -> UnitResult:
        tried[unit.id] = tried.get(unit.id, 0) + 1
        if unit.id == "u007" or (unit.id == "u008" and tried[unit.id] == 1):
            raise OSError("the model store is away")
        return double(unit)

    world = new_world(away)
    completion = Life(world).live()
    assert (completion.status, completion.missing) == (Status.PARTIAL, ("u007",))
    assert (tried["u007"], tried["u008"], tried["u009"]) == (TRIES_MAX, 2, 1)


def test_a_unit_that_kills_its_worker_every_time_ends_alone(new_world: NewWorld) -> None:
    world = new_world(double)
    orders: list[ChunkOrder] = []

    def dies(order: ChunkOrder) -> bool:
        return any(unit.id == "u042" for unit in order.units)

    def buried(given: list[ChunkOrder]) -> list[ChunkOrder]:  # after its worker's last death the bus gives it up
        orders.extend(given)
        return [order for order in given if not dies(order)]

    life = Life(world, orders_as=buried)
    completion = life.live()
    assert (completion.status, completion.missing) == (Status.PARTIAL, ("u042",))
    assert completion.reason == "1 of 120 units are not there: 1 expired: nobody reported it in time"
    assert world.rows() == {unit: value for unit, value in DOUBLED.items() if unit != "u042"}
    assert [len(order.units) for order in orders if dies(order)] == [50, 7, 1]
    assert life.ends_after_s <= TRIES_MAX * SILENCE_S + 60


def test_a_column_missing_in_the_table_is_said_before_anything_is_dispatched(new_world: NewWorld) -> None:
    world = new_world(double, table=WITHOUT_VALUE)
    assert begin(world.coordinator, PHASE, encode(START)) is None
    completion = only(world.completions())
    assert completion.status is Status.FAILED
    assert completion.reason.startswith("WarehouseError: points.predictions: column value is not there")
    assert (world.orders(), world.batches.batch(batch_id(START))) == ([], None)


@pytest.mark.parametrize(
    "said",
    [
        "429 Exceeded rate limits: too many table update operations for this table",
        "Too many DML statements outstanding against table points.predictions, limit is 20",
    ],
    ids=["429", "the queue of changes is full"],
)
def test_a_warehouse_that_refuses_for_five_minutes_delays_the_end_and_no_more(new_world: NewWorld, said: str) -> None:
    world = new_world(double)
    inner = world.coordinator.consolidate
    refused: list[int] = []

    def refuse(start: Start, outputs: Sequence[str]) -> Written:
        if world.now_at < NOW + timedelta(minutes=5):
            refused.append(1)
            raise WarehouseUnavailable(said)
        return inner(start, outputs)

    walled = replace(world.coordinator, consolidate=refuse)
    walled.on_start(START)
    for order in world.orders():
        walled.on_ready(world.do(order))
    while not (said_completions := world.completions()):
        world.pass_by(STEP_S)
        for batch in walled.due():
            walled.advance(batch)
    assert only(said_completions).status is Status.SUCCESS
    assert world.rows() == DOUBLED
    assert timedelta(minutes=5) <= world.now_at - NOW <= timedelta(minutes=6)
    assert 4 <= len(refused) <= 7, "once a minute, not in a storm"


def test_a_new_attempt_with_fewer_units_takes_the_others_rows_out(new_world: NewWorld) -> None:
    world = new_world(double)
    Life(world).live()
    world.units = UNITS[:60]  # a game was postponed
    again = Life(world, start=replace(START, attempt=2, fence=START.fence + 1)).live()
    assert (again.attempt, again.rows, set(world.rows())) == (2, 60, set(UNITS[:60]))


def test_a_batch_that_gives_nothing_replaces_nothing(new_world: NewWorld) -> None:
    world = new_world(double)
    Life(world).live()
    world.predict = failed
    again = Life(world, start=replace(START, attempt=2, fence=START.fence + 1)).live()
    assert (again.status, world.rows()) == (Status.FAILED, DOUBLED)


def test_a_batch_cancelled_at_work_stays_cancelled(new_world: NewWorld) -> None:
    world = new_world(double)
    world.coordinator.on_start(START)
    orders = world.orders()
    act = Act(actor="ana", reason="wrong model", at=NOW)
    assert isinstance(world.coordinator.end_by(batch_id(START), SealKind.CANCELLED, act), Seal)
    for order in orders:
        world.coordinator.on_ready(world.do(order))
    assert (only(world.completions()).status, world.rows()) == (Status.SKIPPED, {})


def test_the_table_that_a_world_makes_has_what_units_give() -> None:
    """Else the missing column above would be missing everywhere."""
    assert "value" in TABLE
    assert json.loads(double(Unit(id="u1", inputs='{"points": 1}')).output).keys() == {"unit", "value"}
