"""A batch through coordinator and workers on embedded parts: whatever is lost, doubled, late or dies, it ends well.

Past 400 lines because all of it stands on one world of store, warehouse, clock and workers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestration.batches import BatchSweep
from orchestration.local import Listening, LocalRuntime, Sweep
from orchestration.pool import Task
from predictions.coordinator.coordinator import SEAL_LEASE_S, Inputs
from predictions.worker.worker import work
from shared.adapters.sqlite import Sqlite
from shared.core.batch import (
    CHUNK_TIMEOUT_S,
    CHUNK_UNITS,
    CONSOLIDATE_S,
    MUTE_MARGIN_S,
    SHARED_TEXT_MAX,
    STALLED_S,
    UNIT_ID_MAX,
    UNIT_TEXT_MAX,
    ChunkReady,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
)
from shared.core.messages import TEXT_MAX, UNITS_MAX, Message, start_message
from shared.core.model import Act, Completion, Start, Status
from shared.core.timeouts import BATCH_FALLBACK
from shared.ports import Clock, Ports, Written
from shared.service import Refusal, Service
from tests.flow.batches import DOUBLED, NOW, START, UNITS, World, double, failed, only

BATCH_S = BATCH_FALLBACK.total_seconds()


def test_a_batch_ends_when_every_unit_has() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    orders = world.orders()
    assert [len(order.units) for order in orders] == [50, 50, 20]
    assert [order.start.units for order in orders] == [None, None, None]
    for number, order in enumerate(orders, 1):
        assert world.completions() == []
        world.coordinator.on_ready(world.do(order))
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
    first = world.orders()
    second = replace(START, attempt=2, fence=START.fence + 1)
    world.units = UNITS[:60]  # a game was postponed
    world.coordinator.on_start(second)
    world.work()
    assert only(world.completions()).rows == 60
    assert set(world.rows()) == set(UNITS[:60])
    for order in first:
        world.coordinator.on_ready(world.do(order))
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


# --- a start that comes again -------------------------------------------------------------------------


# --- what a worker says of an order -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"start": replace(START, attempt=7)}, "has no chunk 0", id="an unknown batch"),
        pytest.param({"chunk": 9}, "has no chunk 9", id="an unknown chunk"),
        pytest.param({"number": 2}, "order 2 was never given", id="an order that nobody gave"),
        pytest.param({"units": (Unit(id="x" * 99, inputs="{}"),)}, "is not in order 1", id="a foreign unit"),
    ],
)
def test_a_report_that_can_never_count_is_refused_and_nothing_of_it_kept(change: dict[str, Any], why: str) -> None:
    world = World(lambda unit: UnitResult(unit=unit.id, state=UnitState.DONE))
    world.coordinator.on_start(START)
    order, *_ = world.orders()
    refused = work(replace(order, **change), lambda _: world.predict, world.batches, world.now)
    assert isinstance(refused, Refusal)
    assert why in refused.reason
    assert world.batches.reports(batch_id(START)) == ()


@pytest.mark.parametrize("change", [{"start": replace(START, attempt=7)}, {"chunk": 3}], ids=["batch", "chunk"])
def test_word_of_a_batch_that_is_not_known_is_refused(change: dict[str, Any]) -> None:
    world = World(double)
    world.coordinator.on_start(START)
    refused = world.coordinator.on_ready(replace(ChunkReady(start=START, chunk=0, number=1), **change))
    assert isinstance(refused, Refusal)
    assert "is not known" in refused.reason


def test_an_order_that_comes_again_is_not_worked_on_again() -> None:
    worked: list[str] = []

    def once(unit: Unit) -> UnitResult:
        worked.append(unit.id)
        return double(unit)

    world = World(once)
    world.coordinator.on_start(START)
    orders = world.orders()
    for order in [*orders, *orders]:
        world.coordinator.on_ready(world.do(order))
    assert len(worked) == len(set(worked)) == 120
    assert only(world.completions()).rows == 120


# --- a window of orders -------------------------------------------------------------------------------


def test_no_more_units_are_in_flight_than_allowed_and_each_chunk_makes_room_for_another() -> None:
    world = World(double, chunk_units=10, in_flight=30)
    world.coordinator.on_start(START)
    flying, seen, most = world.orders(), list[int](), 0
    while flying:
        most = max(most, sum(len(order.units) for order in flying))
        order = flying.pop(0)
        seen.append(order.chunk)
        world.coordinator.on_ready(world.do(order))
        flying += world.orders()
    assert (most, seen) == (30, list(range(12)))
    assert only(world.completions()).rows == 120


def test_a_window_whose_words_get_lost_is_filled_by_the_sweep() -> None:
    world = World(double, chunk_units=10, in_flight=30)
    world.coordinator.on_start(START)
    for _ in range(4):
        orders = world.orders()
        assert len(orders) == 3
        for order in orders:
            world.do(order)  # and nobody hears
        world.pass_by(60)
        world.sweep()
    assert only(world.completions()).rows == 120


def test_an_emergency_raises_the_window_of_a_batch_that_is_under_way() -> None:
    world = World(double, chunk_units=10, in_flight=30)
    world.coordinator.on_start(START)
    assert len(world.orders()) == 3
    world.in_flight = 1_000
    world.pass_by(60)
    world.sweep()
    assert len(world.orders()) == 9


# --- quality ------------------------------------------------------------------------------------------


def test_units_with_too_little_inputs_fail_closed_each_with_the_reason() -> None:
    world = World(double, completeness={"u003": 0.49, "u004": None, "u005": 0.5})
    world.coordinator.on_start(START)
    assert sum(len(order.units) for order in world.orders()) == 118
    settled = {result.unit: result for result in world.batches.load(batch_id(START)).batch.settled}  # type: ignore[union-attr]
    assert {result.state for result in settled.values()} == {UnitState.FAILED}
    assert {unit: result.reason for unit, result in settled.items()} == {
        "u003": "quality: 49% of its inputs are there, 50% are needed",
        "u004": "quality: nobody knows how complete its inputs are; 50% are needed",
    }


def test_inputs_are_healed_once_and_then_weighed_again() -> None:
    poor = {"u003": 0.1, "u004": 0.2}
    world = World(double, completeness=dict(poor), healed={"u003": 0.9, "u004": 0.3}, skipped={"rookie": "no_history"})
    world.coordinator.on_start(START)
    world.coordinator.on_start(START)
    assert world.healings == [("rookie", "u003", "u004")]
    world.work()
    completion = only(world.completions())
    assert (completion.status, completion.missing) == (Status.PARTIAL, ("u004",))
    assert world.rows()["u003"] == 2_000.0


def test_a_healing_that_fails_leaves_the_gate_closed_and_harms_nobody_else() -> None:
    world = World(double, completeness={"u003": 0.1})

    def away(_start: Start, _units: Collection[str]) -> Inputs:
        raise OSError("the warehouse is away")

    replace(world.coordinator, heal=away).on_start(START)
    world.work()
    assert (only(world.completions()).missing, len(world.rows())) == (("u003",), 119)


def test_an_override_lets_poor_units_through_and_the_batch_keeps_whose_word_it_was() -> None:
    act = Act(actor="ana", reason="feature store is late", at=NOW, until=NOW + timedelta(hours=1))
    world = World(double, completeness={"u003": 0.1}, override=act)
    world.coordinator.on_start(START)
    world.work()
    assert only(world.completions()).status is Status.SUCCESS
    batch = world.batches.batch(batch_id(START))
    assert batch is not None
    assert batch.override == act


# --- the deadline -------------------------------------------------------------------------------------


def test_a_deadline_comes_from_how_long_like_batches_took() -> None:
    world = World(double)
    found = []
    for attempt in range(1, 8):
        start = replace(START, run=replace(START.run, generation=attempt), issued_at=world.now())
        world.coordinator.on_start(start)
        batch = world.batches.batch(batch_id(start))
        assert batch is not None
        found.append(((batch.deadline_at - batch.created_at).total_seconds(), batch.deadline_from))
        world.pass_by(250)  # how long each takes
        world.work()
    assert found == [(1_800, "fallback")] * 5 + [(750, "history")] * 2


def test_time_that_a_start_has_waited_is_taken_from_its_batch() -> None:
    world = World(double)
    world.pass_by(1_800)
    world.coordinator.on_start(START)
    batch = world.batches.batch(batch_id(START))
    assert batch is not None
    assert (batch.deadline_at - NOW, batch.deadline_from) == (timedelta(seconds=2_280), "start")


def test_a_batch_never_gets_longer_than_its_start_allows() -> None:
    world = World(double)
    world.coordinator.on_start(replace(START, timeout_s=600))
    batch = world.batches.batch(batch_id(START))
    assert batch is not None
    assert (batch.deadline_at - NOW, batch.deadline_from) == (timedelta(seconds=480), "start")


# --- at a person's word -------------------------------------------------------------------------------

ANA = Act(actor="ana", reason="the rest will not come", at=NOW)


def test_a_batch_sealed_by_a_person_is_merged_with_what_there_is() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    first, *_ = world.orders()
    world.do(first)
    seal = world.coordinator.end_by(batch_id(START), SealKind.SEALED, ANA)
    assert isinstance(seal, Seal)
    assert (seal.act, seal.reason) == (ANA, "sealed by ana: the rest will not come")
    completion = only(world.completions())
    assert (completion.status, completion.units_actual, len(world.rows())) == (Status.PARTIAL, 50, 50)


def test_a_batch_cancelled_by_a_person_writes_nothing_and_says_whose_word_it_was() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    for order in world.orders()[:2]:
        world.do(order)
    world.coordinator.end_by(batch_id(START), SealKind.CANCELLED, ANA)
    completion = only(world.completions())
    assert (completion.status, completion.reason) == (Status.SKIPPED, "cancelled by ana: the rest will not come")
    assert world.rows() == {}
    assert world.batches.next_at() is None


def test_who_comes_second_hears_how_the_batch_has_ended() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    world.coordinator.end_by(batch_id(START), SealKind.CANCELLED, ANA)
    refused = world.coordinator.end_by(batch_id(START), SealKind.SEALED, replace(ANA, actor="bob"))
    assert isinstance(refused, Refusal)
    assert refused.reason.endswith("has ended already: cancelled by ana: the rest will not come")
    unknown = world.coordinator.end_by("nba.2024-01-15.same_day.1/predictions/9", SealKind.SEALED, ANA)
    assert isinstance(unknown, Refusal)


def test_units_wanted_anew_are_worked_on_and_the_others_taken_over_from_the_batch_before() -> None:
    worked: list[str] = []

    def again(unit: Unit) -> UnitResult:
        worked.append(unit.id)
        return double(unit)

    world = World(double, chunk_units=10)
    world.coordinator.on_start(START)
    world.work()
    world.completions()
    world.predict, world.inputs = again, {"u050": json.dumps({"points": 500})}
    world.coordinator.on_start(replace(START, attempt=2, fence=START.fence + 1, only=("u050",)))
    world.work()
    completion = only(world.completions())
    assert (completion.attempt, completion.status, completion.rows) == (2, Status.SUCCESS, 120)
    assert "u050" in worked
    assert len(worked) == 10, "its chunk"
    assert world.rows() == {**DOUBLED, "u050": 1_000.0}


def test_what_a_cancelled_batch_has_recorded_is_taken_over_by_nobody() -> None:
    world = World(double, chunk_units=10)
    world.coordinator.on_start(START)
    world.work()
    wrong = replace(START, attempt=2, fence=START.fence + 1)
    world.predict = lambda unit: replace(double(unit), output=json.dumps({"unit": unit.id, "value": -1.0}))
    world.coordinator.on_start(wrong)
    for order in world.orders()[:6]:
        world.do(order)
    world.coordinator.end_by(batch_id(wrong), SealKind.CANCELLED, ANA)
    world.predict = double
    world.completions()
    world.coordinator.on_start(replace(START, attempt=3, fence=START.fence + 2, only=("u050",)))
    world.work()
    assert (only(world.completions()).status, world.rows()) == (Status.SUCCESS, DOUBLED)


def test_a_look_at_what_stands_that_brings_less_leaves_it() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    world.work()
    world.completions()
    world.predict = lambda unit: failed(unit) if unit.id < "u110" else double(unit)
    world.coordinator.on_start(replace(START, attempt=2, fence=START.fence + 1, look=True))
    world.work()
    completion = only(world.completions())
    assert (completion.status, completion.reason[:54]) == (
        Status.NOT_READY,
        "looked again and found less; what stands is kept: 110 ",
    )
    assert world.rows() == DOUBLED


def test_the_same_word_twice_is_one() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    first = world.coordinator.end_by(batch_id(START), SealKind.CANCELLED, ANA)
    world.pass_by(5)
    again = world.coordinator.end_by(batch_id(START), SealKind.CANCELLED, replace(ANA, at=world.now()))
    assert first == again


# --- batches of others --------------------------------------------------------------------------------


def test_a_coordinator_leaves_the_batches_of_other_pipelines_alone() -> None:
    world = World(double)
    other = replace(START, run=replace(START.run, pipeline="mlb"))
    replace(world.coordinator, pipeline="mlb").on_start(other)
    orders = world.orders()
    world.pass_by(STALLED_S)
    assert (world.coordinator.due(), world.coordinator.stalled()) == ((), ())
    refused = world.coordinator.on_ready(world.do(orders[0]))
    assert isinstance(refused, Refusal)
    assert (world.orders(), world.completions()) == ([], [])


# --- workers that are only busy -----------------------------------------------------------------------


def test_an_order_whose_units_others_have_ended_is_not_worked_on() -> None:
    worked: list[str] = []

    def once(unit: Unit) -> UnitResult:
        worked.append(unit.id)
        return double(unit)

    world = World(once, units=UNITS[:50])
    world.coordinator.on_start(START)
    slow = world.orders()
    world.pass_by(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    world.sweep()
    parts = world.orders()
    assert len(parts) == 8
    for order in [*slow, *parts]:  # as a queue brings them, once somebody gets to it
        world.coordinator.on_ready(world.do(order))
    assert len(worked) == 50
    assert only(world.completions()).rows == 50


def test_units_that_wait_for_busy_workers_do_not_expire_before_the_deadline() -> None:
    """Ten minutes of work, one order after the other, for one worker: all of it is done."""
    world = World(double, chunk_units=10)
    world.coordinator.on_start(START)
    queue, said = world.orders(), list[Completion]()
    while not said:
        world.pass_by(60)  # what one order takes
        if queue:
            world.coordinator.on_ready(world.do(queue.pop(0)))
        world.sweep()
        queue += world.orders()
        said = world.completions()
    assert (only(said).status, world.rows()) == (Status.SUCCESS, DOUBLED)


# --- stalled ------------------------------------------------------------------------------------------


def test_only_batches_without_progress_are_stalled_and_recovering_them_sends_their_orders_again() -> None:
    world = World(double)
    other = replace(START, run=replace(START.run, mode="tomorrow"))
    world.coordinator.on_start(START)
    world.pass_by(STALLED_S - 1)
    world.coordinator.on_start(other)
    assert world.coordinator.stalled() == ()
    world.pass_by(1)
    assert world.coordinator.stalled() == (batch_id(START),)
    world.orders()
    assert world.coordinator.recover(batch_id(START))
    assert {order.batch for order in world.orders()} == {batch_id(START)}
    assert not world.coordinator.recover("nba.2024-01-15.same_day.9/predictions/1")


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


def test_units_that_give_no_rows_are_a_failure_and_what_they_gave_is_kept() -> None:
    world = World(lambda unit: UnitResult(unit=unit.id, state=UnitState.DONE, output="{}"))
    empty = replace(world.coordinator, consolidate=lambda _start, _outputs: Written(rows=0, units=(), digest=""))
    empty.on_start(START)
    world.work()
    world.pass_by(CONSOLIDATE_S)
    for batch in empty.due():
        empty.advance(batch)
    completion = only(world.completions())
    assert completion.status is Status.FAILED
    assert "NothingWritten: 120 units gave no rows" in completion.reason
    assert len(world.batches.reports(batch_id(START))) == 3


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
    assert completion.reason.startswith("what its units gave could not be written: WarehouseError:")
    assert "unit all" in completion.reason
    assert world.batches.next_at() is None


@dataclass
class Broken:
    """A batch store of which some verbs fail."""

    port: Any
    verbs: tuple[str, ...]
    ids: tuple[str, ...] = ()  # for these alone, where there are some

    def __getattr__(self, verb: str) -> Any:
        def fail(*arguments: Any) -> Any:
            if self.ids and arguments[0] not in self.ids:
                return getattr(self.port, verb)(*arguments)
            raise OSError("the store is away")

        return fail if verb in self.verbs else getattr(self.port, verb)


def test_a_batch_whose_parts_cannot_be_read_ends_too() -> None:
    world = World(double)
    world.coordinator.on_start(START)
    broken = replace(world.coordinator, batches=Broken(world.batches, ("reports",)))  # type: ignore[arg-type]
    for order in world.orders():
        broken.on_ready(world.do(order))
    world.pass_by(CONSOLIDATE_S)
    for batch in broken.due():
        broken.advance(batch)
    completion = only(world.completions())
    assert completion.status is Status.FAILED
    assert completion.reason == "what its units gave could not be written: OSError: the store is away"


def test_a_batch_that_cannot_be_read_hides_no_stalled_one() -> None:
    world = World(double)
    other = replace(START, run=replace(START.run, mode="tomorrow"))
    for start in (START, other):
        world.coordinator.on_start(start)
    world.pass_by(STALLED_S)
    unreadable = Broken(world.batches, ("load",), (batch_id(START),))
    assert replace(world.coordinator, batches=unreadable).stalled() == (batch_id(other),)  # type: ignore[arg-type]


def test_a_merge_whose_answer_was_lost_is_found_before_the_batch_is_given_up() -> None:
    world = World(double)
    inner = world.coordinator

    def unheard(start: Start, outputs: Sequence[str]) -> Written:
        world.pass_by(CONSOLIDATE_S)
        inner.consolidate(start, outputs)
        raise OSError("the answer got lost")

    deaf = replace(inner, consolidate=unheard)
    deaf.on_start(START)
    for order in world.orders():
        deaf.on_ready(world.do(order))
    assert (only(world.completions()).status, world.rows()) == (Status.SUCCESS, DOUBLED)


def test_what_has_been_concluded_is_what_is_told_whoever_tells_it() -> None:
    """It was given up, and who gave it up died before anybody heard; by then the warehouse is back."""
    world = World(double, away_until=NOW + timedelta(seconds=CONSOLIDATE_S + 1))
    world.coordinator.on_start(START)
    world.work()
    world.pass_by(CONSOLIDATE_S)
    dying = replace(world.coordinator, bus=Broken(world.bus, ("publish",)))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="away"):
        dying.advance(batch_id(START))
    world.pass_by(SEAL_LEASE_S)
    world.sweep()
    assert only(world.completions()).status is Status.FAILED
    assert world.rows() == {}
    assert world.batches.next_at() is None


def test_who_has_lost_the_seal_does_not_give_a_batch_up_that_another_has_written() -> None:
    """Given up and interrupted after all that time, while a second one has long taken the seal up and published."""
    world = World(double)
    slow = world.coordinator

    def hang(_start: Start, _outputs: Sequence[str]) -> Written:
        world.pass_by(CONSOLIDATE_S)
        world.sweep()
        raise InterruptedError("out of time")

    world.coordinator.on_start(START)
    for order in world.orders():
        replace(slow, consolidate=hang).on_ready(world.do(order))
    assert only(world.completions()).status is Status.SUCCESS
    world.coordinator.on_start(START)
    assert only(world.completions()).status is Status.SUCCESS, "what stands in the store"


def test_a_consolidation_whose_every_try_outlasts_its_lease_is_given_up_too() -> None:
    world = World(double)

    def hang(_start: Start, _outputs: Sequence[str]) -> Written:
        world.pass_by(2 * SEAL_LEASE_S)
        raise OSError("the warehouse does not answer")

    hanging = replace(world.coordinator, consolidate=hang)
    hanging.on_start(START)
    for order in world.orders():
        hanging.on_ready(world.do(order))
    for _ in range(20):
        for batch in hanging.due():
            hanging.advance(batch)
        world.pass_by(60)
    assert only(world.completions()).status is Status.FAILED
    assert world.batches.next_at() is None


def test_who_looks_while_another_ends_the_batch_does_not_wake_it_again() -> None:
    """The look decided on before the seal is written after it; for ever due, the batch would keep every run waiting."""
    world = World(double)
    world.coordinator.on_start(START)
    orders = world.orders()
    slow = world.coordinator

    @dataclass
    class Late:
        """The batch store, as one sees it whose write comes late."""

        port: Any

        def __getattr__(self, verb: str) -> Any:
            if verb == "look_at":
                for order in orders:
                    world.coordinator.on_ready(world.do(order))
            return getattr(self.port, verb)

    replace(slow, batches=Late(slow.batches)).advance(batch_id(START))  # type: ignore[arg-type]
    assert only(world.completions()).rows == 120
    assert world.batches.next_at() is None


# --- what does not fit --------------------------------------------------------------------------------


def test_a_unit_whose_inputs_fit_into_no_order_fails_alone() -> None:
    world = World(double, inputs={"u007": json.dumps({"points": 7, "text": "x" * UNIT_TEXT_MAX})})
    world.coordinator.on_start(START)
    orders = world.orders()
    assert sum(len(order.units) for order in orders) == 119
    for order in orders:
        world.coordinator.on_ready(world.do(order))
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


def test_an_order_as_large_as_it_may_be_passes_the_bus_and_its_report_is_kept() -> None:
    full = json.dumps('"' * (UNIT_TEXT_MAX // 2 - 1))
    names = [f"{number:0{UNIT_ID_MAX}}" for number in range(CHUNK_UNITS)]

    def quote(unit: Unit) -> UnitResult:
        return UnitResult(unit=unit.id, state=UnitState.DONE, output=full, reason="x" * TEXT_MAX)

    world = World(quote, units=(), inputs=dict.fromkeys(names, full), shared=full * (SHARED_TEXT_MAX // len(full)))
    world.coordinator.on_start(START)
    (order,) = world.orders()
    world.do(order)
    (report,) = world.batches.reports(batch_id(START))
    assert [result.output for result in report.results] == [full] * CHUNK_UNITS


def test_a_workers_reason_is_cut_to_what_a_report_may_hold() -> None:
    world = World(lambda unit: replace(failed(unit), reason="x" * 5_000))
    world.coordinator.on_start(START)
    world.work()
    reports = world.batches.reports(batch_id(START))
    assert {len(result.reason) for report in reports for result in report.results} == {TEXT_MAX}


@pytest.mark.parametrize(
    ("inputs", "shared", "said"),
    [
        pytest.param(
            {f"u{number}": "{}" for number in range(UNITS_MAX + 1)}, "", f"at most {UNITS_MAX}", id="too many units"
        ),
        pytest.param({"x" * (UNIT_ID_MAX + 1): "{}"}, "", "unit 'xxx", id="an id that is too long"),
        pytest.param({"": "{}"}, "", "unit ''", id="an empty id"),
        pytest.param({"u1": "{}"}, "x" * (SHARED_TEXT_MAX + 1), f"at most {SHARED_TEXT_MAX}", id="what units share"),
        pytest.param({"é" * UNIT_ID_MAX: "{}"}, "", "bytes of UTF-8", id="an id of too many bytes"),
    ],
)
def test_a_batch_that_no_message_could_tell_of_does_not_begin(inputs: dict[str, str], shared: str, said: str) -> None:
    world = World(double, units=(), inputs=inputs, shared=shared)
    with pytest.raises(ValueError, match=said):
        world.coordinator.on_start(START)
    assert world.batches.batch(batch_id(START)) is None


def test_a_batch_whose_settled_units_fit_into_no_record_does_not_begin() -> None:
    names = tuple(f"{number:0{UNIT_ID_MAX}}" for number in range(UNITS_MAX))
    world = World(double, units=(), skipped=dict.fromkeys(names, "no_history"))
    with pytest.raises(ValueError, match="20000 units that are not to be worked on fill"):
        world.coordinator.on_start(START)


def test_the_completion_of_the_largest_batch_passes_the_bus() -> None:
    names = tuple(f"{number:0{UNIT_ID_MAX}}" for number in range(UNITS_MAX))
    world = World(failed, units=names)
    world.coordinator.on_start(START)
    world.pass_by(BATCH_S)
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
    ports = Ports(states=Sqlite(":memory:").states, bus=world.bus, clock=clock)
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
    world, others_go_on, seen = World(double, units=UNITS[:110]), threading.Event(), list[bool]()
    coordinator = world.coordinator
    coordinator.on_start(START)
    for order in world.orders()[:2]:
        coordinator.on_ready(world.do(order))
    world.pass_by(BATCH_S)

    def hang(start: Start, outputs: Sequence[str]) -> Written:
        seen.append(others_go_on.wait(10))  # given up so that the test can fail
        return coordinator.consolidate(start, outputs)

    def work(start: Start) -> Completion:
        others_go_on.set()
        return done(start)

    sweep = BatchSweep(replace(coordinator, consolidate=hang))
    runtime = runtime_on(world, world, work, [sweep])
    world.bus.publish([start_message(START, "start")], world.now())
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
    world.bus.publish([start_message(start, "start") for start in starts], NOW)
    heard: list[Completion] = []

    def all_heard() -> bool:
        world.now_at = NOW + timedelta(days=1)
        heard.extend(world.completions())
        return len(heard) == len(starts)

    runtime.run_until(all_heard)
    assert len(limits) > 5
    assert min(limits) >= 1
