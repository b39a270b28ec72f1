"""Every promise of the port BatchStore, over each adapter that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.adapters.sqlite import Sqlite
from shared.core.batch import (
    CHUNK_UNITS,
    Batch,
    Chunk,
    ChunkReport,
    Ordered,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    chunked,
    first_orders,
)
from shared.core.model import Act, Completion, RunKey, Status
from shared.ports import BEGUN_WITHIN_S, BatchStore
from tests.contract.firestore_calls import new_project, opened
from tests.unit.batches import START, T0

NOW = T0
LEASE_S = 60
CHUNKS = chunked([Unit(id=f"u{number}", inputs='{"points": 20.5}') for number in range(6)], 2)
BATCH = Batch(
    start=START,
    created_at=NOW,
    deadline_at=NOW + timedelta(seconds=1_800),
    chunks=len(CHUNKS),
    units=6,
    chunk_units=2,
    shared="{}",
)
ORDERS = first_orders(BATCH)
OTHER = replace(BATCH, start=replace(START, attempt=2))
COMPLETION = Completion(
    run=START.run, phase=START.phase, processor=START.processor, attempt=1, report=1, status=Status.SUCCESS, rows=6
)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def report(chunk: int, number: int = 1, *, value: str = "1", of: Batch = BATCH) -> ChunkReport:
    results = [UnitResult(unit=unit.id, state=UnitState.DONE, output=value) for unit in CHUNKS[chunk].units]
    return ChunkReport(start=of.start, chunk=chunk, number=number, results=tuple(results))


def begin(batches: BatchStore, batch: Batch = BATCH) -> bool:
    """With the chunks that all batches here have, all of them ordered at once."""
    return batches.create(batch, CHUNKS, ORDERS)


def again(chunk: int, *places: int, number: int = 2, tries: int = 2) -> Ordered:
    return Ordered(chunk=chunk, number=number, tries=tries, places=places, at=later(5))


def record(batches: BatchStore, said: ChunkReport, rest: tuple[int, ...] = ()) -> int | None:
    return batches.record(said, rest=rest, ended=not rest, at=later(9))


SEAL = Seal(batch=BATCH.id, kind=SealKind.ENDED, reason="every unit has ended", at=later(9))
ACT = Act(actor="anna", reason="the feed is dead", at=NOW)


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "firestore-emulator"])
def batches(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BatchStore]:
    if request.param == "firestore-emulator":
        with opened(request.getfixturevalue("firestore_emulator"), new_project()) as firestore:
            begin(firestore.batches)
            yield firestore.batches
        return
    store = Sqlite(tmp_path / "state.sqlite" if request.param == "sqlite-file" else ":memory:")
    begin(store.batches)
    yield store.batches
    store.close()


@pytest.fixture(params=["sqlite-file", "firestore-emulator"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], BatchStore]]:
    """Opens the same store once more, as another process would."""
    project = new_project()
    with ExitStack() as stores:

        def open_again() -> BatchStore:
            if request.param == "firestore-emulator":
                emulator = request.getfixturevalue("firestore_emulator")
                return stores.enter_context(opened(emulator, project)).batches
            store = Sqlite(tmp_path / "state.sqlite")
            stores.callback(store.close)
            return store.batches

        yield open_again


# --- create -------------------------------------------------------------------------------------------


def test_a_batch_is_created_once_and_the_first_stands(batches: BatchStore) -> None:
    assert not batches.create(replace(BATCH, shared='{"other": 1}'), CHUNKS[:1], ())
    assert batches.batch(BATCH.id) == BATCH
    assert batches.chunks(BATCH.id) == CHUNKS


def test_with_a_batch_its_first_orders_stand_and_no_others(batches: BatchStore) -> None:
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert (
        seen.ordered
        == ORDERS
        == tuple(Ordered(chunk=number, number=1, tries=1, places=(0, 1), at=NOW) for number in range(3))
    )
    assert (seen.batch, seen.seal) == (BATCH, None)
    assert batches.create(OTHER, CHUNKS, ORDERS[:1])
    assert not batches.create(OTHER, CHUNKS, ORDERS), "who is not the first orders nothing either"
    seen = batches.load(OTHER.id)
    assert seen is not None
    assert seen.ordered == ORDERS[:1]
    assert batches.chunks(OTHER.id) == CHUNKS


def test_a_new_batch_is_due_though_its_creator_died(batches: BatchStore) -> None:
    assert batches.due(later(BEGUN_WITHIN_S - 1), 10) == ()
    assert batches.due(later(BEGUN_WITHIN_S), 10) == (BATCH.id,)


def test_of_an_unknown_batch_nothing_is_known(batches: BatchStore) -> None:
    assert batches.batch(OTHER.id) is None
    assert batches.load(OTHER.id) is None
    assert batches.chunks(OTHER.id) == ()
    assert batches.reports(OTHER.id) == ()
    assert batches.ordered(OTHER.id, 0) == ()
    assert record(batches, report(0, of=OTHER)) is None


def test_some_chunks_come_in_order_and_unknown_ones_are_left_out(batches: BatchStore) -> None:
    assert batches.chunks(BATCH.id, [2, 0, 9]) == (CHUNKS[0], CHUNKS[2])
    assert batches.chunks(BATCH.id, []) == ()


def test_a_batch_may_have_no_chunk_at_all(batches: BatchStore) -> None:
    assert batches.create(replace(OTHER, chunks=0, units=0), (), ())
    seen = batches.load(OTHER.id)
    assert seen is not None
    assert seen.ordered == ()


# --- orders and reports -------------------------------------------------------------------------------


def test_an_order_is_recorded_once(batches: BatchStore) -> None:
    first, other = again(0, 1), again(1, 0, 1)
    assert batches.order(BATCH.id, [first]) == (first,)
    assert batches.order(BATCH.id, [replace(first, places=(0,)), other]) == (other,)
    assert batches.ordered(BATCH.id, 0) == (ORDERS[0], first)
    assert batches.order(BATCH.id, []) == ()


def test_the_orders_of_a_chunk_come_by_number_however_many(batches: BatchStore) -> None:
    parts = [again(0, number % 2, number=number, tries=3) for number in range(2, 13)]
    assert batches.order(BATCH.id, parts[::-1]) == tuple(parts[::-1])
    assert batches.ordered(BATCH.id, 0) == (ORDERS[0], *parts)
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.ordered == (ORDERS[0], *parts, *ORDERS[1:])


def test_a_report_counts_down_what_has_not_ended(batches: BatchStore) -> None:
    assert record(batches, report(0)) == 2
    assert record(batches, report(1), rest=(0,)) == 2
    assert record(batches, report(2)) == 1
    batches.order(BATCH.id, [again(1, 0)])
    assert record(batches, report(1, 2)) == 0
    assert batches.reports(BATCH.id) == (report(0), report(1), report(1, 2), report(2))


def test_chunks_that_were_never_ordered_have_not_ended(batches: BatchStore) -> None:
    assert batches.create(OTHER, CHUNKS, ORDERS[:1])
    assert record(batches, report(0, of=OTHER)) == 2
    batches.order(OTHER.id, ORDERS[1:2])
    assert record(batches, report(1, of=OTHER)) == 1
    batches.order(OTHER.id, ORDERS[2:])
    assert record(batches, report(2, of=OTHER)) == 0


def test_a_chunk_whose_units_were_ordered_in_parts_ends_once(batches: BatchStore) -> None:
    batches.order(BATCH.id, [again(0, 0), again(0, 1, number=3)])
    assert batches.record(report(0, 2), rest=(), ended=False, at=later(9)) == 3
    assert batches.record(report(0, 3), rest=(), ended=True, at=later(9)) == 2
    assert batches.record(report(0), rest=(), ended=True, at=later(9)) == 2, "the silent one, after all"


def test_a_report_that_is_there_stays_as_it_was(batches: BatchStore) -> None:
    record(batches, report(0))
    assert record(batches, report(0, value="2"), rest=(0,)) == 2
    assert batches.reports(BATCH.id) == (report(0),)
    assert batches.ordered(BATCH.id, 0) == (replace(ORDERS[0], reported_at=later(9)),)


def test_what_a_report_left_open_is_seen(batches: BatchStore) -> None:
    record(batches, report(0), rest=(1,))
    assert batches.ordered(BATCH.id, 0) == (replace(ORDERS[0], reported_at=later(9), rest=(1,)),)
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.ordered[0].rest == (1,)


def test_batches_do_not_count_each_others_reports(batches: BatchStore) -> None:
    begin(batches, OTHER)
    assert record(batches, report(0)) == 2
    assert record(batches, report(1, of=OTHER)) == 2


MANY = chunked([Unit(id=f"u{number}", inputs="{}") for number in range(21)], 1)
OF_MANY = replace(BATCH, chunks=21, units=21, chunk_units=1)


def told_at_once(connect: Callable[[], BatchStore], chunks: Sequence[Chunk]) -> list[int | None]:
    """What each of their workers is told."""

    def tell(chunk: Chunk) -> int | None:
        results = (UnitResult(unit=chunk.units[0].id, state=UnitState.DONE),)
        return record(connect(), ChunkReport(start=START, chunk=chunk.number, number=1, results=results))

    with ThreadPoolExecutor(len(chunks)) as pool:
        return list(pool.map(tell, chunks))


def test_of_concurrent_reports_exactly_one_is_the_last(connect: Callable[[], BatchStore]) -> None:
    connect().create(OF_MANY, MANY, first_orders(OF_MANY))
    left = told_at_once(connect, MANY)
    assert left.count(0) == 1
    assert all(each is not None and 0 <= each < 21 for each in left)


def test_of_concurrent_reports_none_is_the_last_while_chunks_are_not_ordered(connect: Callable[[], BatchStore]) -> None:
    store, orders = connect(), first_orders(OF_MANY)
    store.create(OF_MANY, MANY, orders[:10])
    left = told_at_once(connect, MANY[:10])
    assert all(each is not None and 11 <= each < 21 for each in left)
    assert store.order(BATCH.id, orders[10:]) == orders[10:]
    assert told_at_once(connect, MANY[10:]).count(0) == 1


def test_of_concurrent_callers_one_gets_each_order(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(5)]
    stores[0].create(BATCH, CHUNKS, ORDERS[:1])
    orders = [again(0, 0), again(0, 1, number=3), *ORDERS[1:]]
    with ThreadPoolExecutor(5) as pool:
        mine = list(pool.map(lambda index: stores[index].order(BATCH.id, orders[index % 3 :]), range(5)))
    assert sorted((each.chunk, each.number) for some in mine for each in some) == [(0, 2), (0, 3), (1, 1), (2, 1)]
    assert stores[0].ordered(BATCH.id, 0) == (ORDERS[0], *orders[:2])


def test_a_batch_of_a_great_day_is_kept_whole(connect: Callable[[], BatchStore]) -> None:
    inputs = '{"points": [' + ", ".join(["20.5"] * 300) + "]}"
    units = [Unit(id=f"u{number:04d}", inputs=inputs) for number in range(6_000)]  # 11 MB: more than a request holds
    model, whole = '{"weights": [' + ", ".join(["0.123456789"] * 8_000) + "]}", chunked(units)
    settled = tuple(UnitResult(unit=f"s{n}", state=UnitState.SKIPPED, reason="no_history") for n in range(500))
    great = replace(
        BATCH, chunks=len(whole), units=len(units), chunk_units=CHUNK_UNITS, shared=model, settled=settled, override=ACT
    )
    assert connect().create(great, whole, first_orders(great))
    assert not connect().create(great, whole, first_orders(great))
    seen = connect().load(BATCH.id)
    assert seen is not None
    assert seen.batch == great
    assert [(each.chunk, len(each.places)) for each in seen.ordered] == [(chunk, 50) for chunk in range(20)]
    assert connect().chunks(BATCH.id) == whole
    assert connect().chunks(BATCH.id, [119, 7]) == (whole[7], whole[119])


def test_of_two_who_create_a_great_batch_one_stands_whole(connect: Callable[[], BatchStore]) -> None:
    whole = [
        chunked([Unit(id=f"u{number:04d}", inputs=str(creator) * 8_000) for number in range(1_000)], 50)
        for creator in range(2)
    ]
    stores = [connect() for _ in range(2)]
    great = [replace(BATCH, chunks=20, units=1_000, chunk_units=50, shared=str(creator)) for creator in range(2)]
    with ThreadPoolExecutor(2) as pool:
        created = list(pool.map(lambda creator: stores[creator].create(great[creator], whole[creator], ()), range(2)))
    assert sorted(created) == [False, True]
    first = created.index(True)
    for store in stores:
        assert store.batch(BATCH.id) == great[first]
        assert store.chunks(BATCH.id) == whole[first]


# --- the seal -----------------------------------------------------------------------------------------


def test_the_first_seal_stands(batches: BatchStore) -> None:
    assert batches.seal(SEAL, later(9), LEASE_S) == SEAL
    assert batches.seal(replace(SEAL, reason="another"), later(10), LEASE_S) is None
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.seal == SEAL


def test_after_the_seal_no_report_counts(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    assert record(batches, report(0)) is None
    assert batches.reports(BATCH.id) == ()


def test_a_seal_whose_holder_died_is_taken_up_as_it_was(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    another = replace(SEAL, reason="another")
    assert batches.due(later(9 + LEASE_S), 10) == (BATCH.id,)
    assert batches.seal(another, later(9 + LEASE_S - 1), LEASE_S) is None
    assert batches.seal(another, later(9 + LEASE_S), LEASE_S) == SEAL
    assert batches.seal(another, later(9 + LEASE_S + 1), LEASE_S) is None


def test_a_closed_seal_is_nobodys_again_and_due_no_more(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    whole = replace(SEAL, completion=COMPLETION)
    batches.close(whole)
    batches.close(replace(SEAL, completion=replace(COMPLETION, status=Status.FAILED)))  # by one who lost his lease
    assert batches.seal(SEAL, later(10_000), LEASE_S) is None
    assert batches.due(later(10_000), 10) == ()
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.seal == whole


def test_a_holder_whose_lease_lapsed_may_still_close_what_another_took_up(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    assert batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) == SEAL
    batches.close(replace(SEAL, completion=COMPLETION))  # the first, late
    batches.close(replace(SEAL, completion=COMPLETION))
    assert batches.seal(SEAL, later(10_000), LEASE_S) is None
    assert batches.due(later(10_000), 10) == ()


def test_a_report_is_counted_before_the_seal_or_not_at_all(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(2)]
    for attempt in range(1, 11):
        batch = replace(BATCH, start=replace(START, attempt=attempt))
        seal = replace(SEAL, batch=batch.id)
        begin(stores[0], batch)

        def end(batch: Batch = batch, seal: Seal = seal) -> tuple[ChunkReport, ...]:
            assert stores[0].seal(seal, later(9), LEASE_S) == seal
            return stores[0].reports(batch.id)

        with ThreadPoolExecutor(2) as pool:
            ended = pool.submit(end)
            left = pool.submit(record, stores[1], report(0, of=batch)).result(60)
        kept = (report(0, of=batch),) if left is not None else ()
        assert ended.result(60) == stores[1].reports(batch.id) == kept


def test_exactly_one_of_many_takes_the_seal_and_exactly_one_takes_it_up(connect: Callable[[], BatchStore]) -> None:
    begin(connect())
    for at in (later(9), later(9 + LEASE_S)):
        with ThreadPoolExecutor(21) as pool:
            taken = list(pool.map(lambda _, at=at: connect().seal(SEAL, at, LEASE_S), range(21)))
        assert [each for each in taken if each] == [SEAL]


@pytest.mark.parametrize("kind", list(SealKind))
def test_a_seal_keeps_its_kind_the_act_and_the_incident(batches: BatchStore, kind: SealKind) -> None:
    seal = replace(SEAL, kind=kind, act=ACT)
    assert batches.seal(seal, later(9), LEASE_S) == seal
    assert batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) == seal
    whole = replace(seal, completion=COMPLETION, incident="look at it")
    batches.close(whole)
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.seal == whole


def test_what_is_concluded_first_stands_and_the_batch_stays_due_until_it_is_closed(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    first = replace(SEAL, completion=COMPLETION, incident="look at it")
    assert batches.conclude(first) == first
    assert batches.conclude(replace(SEAL, completion=replace(COMPLETION, rows=99))) == first
    assert batches.due(later(9 + LEASE_S), 9) == (BATCH.id,), "nobody may have been told"
    assert batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) == first, "who takes it up finds what to tell"
    batches.close(first)
    assert batches.due(later(9_999), 9) == ()
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.seal == first


def test_of_many_that_conclude_at_once_all_are_given_the_same(connect: Callable[[], BatchStore]) -> None:
    batches = connect()
    begin(batches, BATCH)
    batches.seal(SEAL, later(9), LEASE_S)
    said = [replace(SEAL, completion=replace(COMPLETION, rows=rows)) for rows in range(1, 6)]
    with ThreadPoolExecutor(len(said)) as pool:
        told = list(pool.map(lambda seal: connect().conclude(seal), said))
    assert len({seal.completion.rows for seal in told if seal.completion}) == 1
    assert told[0] in said


# --- looking back -------------------------------------------------------------------------------------


def ended(batches: BatchStore, batch: Batch, after_s: float, *, kind: SealKind = SealKind.ENDED) -> Seal:
    """Begun, sealed so long after its creation, and closed."""
    begin(batches, batch)
    at = batch.created_at + timedelta(seconds=after_s)
    seal = replace(SEAL, batch=batch.id, kind=kind, at=at)
    assert batches.seal(seal, at, LEASE_S) == seal
    batches.close(seal)
    return seal


def nth(attempt: int, *, mode: str = "same_day", phase: str = "predictions", pipeline: str = "nba") -> Batch:
    """One of many batches, each created a minute after the one before."""
    start = replace(START, run=RunKey(pipeline, START.run.date, mode), phase=phase, attempt=attempt)
    return replace(BATCH, start=start, created_at=later(60 * attempt))


def test_the_history_tells_how_long_like_batches_took_the_newest_first(batches: BatchStore) -> None:
    assert batches.history(BATCH.like, 10) == ()
    for attempt, after_s in ((3, 30.5), (2, 200.25), (4, 7.000001)):  # sealed in the order 3, 4, 2
        ended(batches, nth(attempt), after_s)
    assert batches.history(BATCH.like, 10) == (200.25, 7.000001, 30.5)
    assert batches.history(BATCH.like, 2) == (200.25, 7.000001)


def test_the_history_is_of_one_pipeline_mode_and_phase(batches: BatchStore) -> None:
    others = (nth(2, mode="overnight"), nth(2, phase="grading"), nth(2, pipeline="mlb"))
    for seconds, batch in enumerate((nth(2), *others), start=1):
        ended(batches, batch, seconds)
    assert batches.history(BATCH.like, 10) == (1.0,)
    assert [batches.history(each.like, 10) for each in others] == [(2.0,), (3.0,), (4.0,)]


def test_what_ended_otherwise_than_by_its_units_is_no_history(batches: BatchStore) -> None:
    for attempt, kind in enumerate(SealKind, start=2):
        ended(batches, nth(attempt), 60, kind=kind)
    assert batches.history(BATCH.like, 10) == (60.0,)


def test_a_batch_joins_the_history_when_it_is_closed_and_once(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    assert batches.history(BATCH.like, 10) == ()
    for _ in range(2):
        batches.close(SEAL)
    batches.close(replace(SEAL, at=later(500)))
    assert batches.history(BATCH.like, 10) == (9.0,)


def test_of_those_who_close_a_batch_at_once_one_makes_its_history(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(5)]
    begin(stores[0])
    stores[0].seal(SEAL, later(9), LEASE_S)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda index: stores[index].close(replace(SEAL, at=later(index))), range(5)))
    seen = stores[0].load(BATCH.id)
    assert seen is not None
    assert seen.seal is not None
    assert stores[0].history(BATCH.like, 10) == ((seen.seal.at - NOW).total_seconds(),)


def test_the_latest_batches_of_a_pipeline_come_whatever_became_of_them(batches: BatchStore) -> None:
    for attempt in (4, 2):
        begin(batches, nth(attempt))
    ended(batches, nth(3, mode="overnight"), 60, kind=SealKind.CANCELLED)
    begin(batches, nth(5, pipeline="mlb"))
    assert batches.latest("nba", 10) == (nth(4).id, nth(3, mode="overnight").id, nth(2).id, BATCH.id)
    assert batches.latest("nba", 2) == (nth(4).id, nth(3, mode="overnight").id)
    assert batches.latest("mlb", 10) == (nth(5, pipeline="mlb").id,)
    assert batches.latest("nfl", 10) == ()


# --- the timer ----------------------------------------------------------------------------------------


def test_a_look_is_brought_forward_and_set_anew_once_it_is_over(batches: BatchStore) -> None:
    begin(batches, OTHER)
    batches.look_at(BATCH.id, later(50), NOW)
    batches.look_at(BATCH.id, later(500), NOW)
    assert batches.next_at() == later(50), "of two who look at once, the earlier look stands"
    batches.look_at(BATCH.id, later(500), later(50))
    assert batches.due(later(499), 10) == (OTHER.id,)
    assert batches.due(later(500), 10) == (OTHER.id, BATCH.id), "the longest due first"
    assert batches.due(later(500), 1) == (OTHER.id,)
    assert batches.next_at() == later(BEGUN_WITHIN_S)


def test_after_the_seal_its_lease_alone_says_when_to_look(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    batches.look_at(BATCH.id, later(10), later(9))
    assert batches.next_at() == later(9 + LEASE_S)
    batches.close(SEAL)
    batches.look_at(BATCH.id, later(10), later(9))
    assert batches.next_at() is None


def test_a_batch_that_is_not_closed_is_due_some_time_whatever_was_done_to_it(batches: BatchStore) -> None:
    far = later(100_000)
    assert batches.due(far, 10) == (BATCH.id,)
    batches.look_at(BATCH.id, later(50), NOW)
    for chunk in range(3):
        record(batches, report(chunk))
    assert batches.due(far, 10) == (BATCH.id,), "all is reported, nobody has sealed it"
    batches.seal(SEAL, later(9), LEASE_S)
    assert batches.due(far, 10) == (BATCH.id,), "whoever sealed it may die"
    batches.seal(SEAL, later(9 + LEASE_S), LEASE_S)
    assert batches.due(far, 10) == (BATCH.id,)
    batches.close(SEAL)
    assert batches.due(far, 10) == ()


def test_of_concurrent_looks_the_earliest_stands(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(5)]
    begin(stores[0])
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda index: stores[index].look_at(BATCH.id, later(50 - index), NOW), range(5)))
    assert stores[0].next_at() == later(46)


def test_a_look_at_an_unknown_batch_and_a_close_before_the_seal_do_nothing(batches: BatchStore) -> None:
    batches.look_at(OTHER.id, later(1), NOW)
    batches.close(replace(SEAL, completion=COMPLETION))
    assert batches.next_at() == later(BEGUN_WITHIN_S)
    assert batches.seal(SEAL, later(9), LEASE_S) == SEAL
    batches.close(replace(SEAL, completion=COMPLETION))
    assert batches.next_at() is None


def test_a_lease_that_is_released_is_due_at_once(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "state.sqlite")
    begin(store.batches)
    store.batches.seal(SEAL, later(9), LEASE_S)
    store.release_leases(later(10))
    assert store.batches.due(later(10), 10) == (BATCH.id,)
    assert store.batches.seal(SEAL, later(10), LEASE_S) == SEAL
    store.close()


def test_what_one_process_wrote_another_sees(connect: Callable[[], BatchStore]) -> None:
    one, other = connect(), connect()
    begin(one)
    record(other, report(0))
    one.seal(SEAL, later(9), LEASE_S)
    seen = other.load(BATCH.id)
    assert seen is not None
    assert seen.seal == SEAL
    assert seen.ordered[0].reported_at == later(9)
