"""Every promise of the port BatchStore, over each adapter that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from shared.adapters.sqlite import Sqlite
from shared.core.batch import Batch, Chunk, ChunkReport, Ordered, Seal, Unit, UnitResult, UnitState, chunked
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import LOOK_WITHIN_S, BatchStore
from tests.contract.firestore_calls import new_project, opened

NOW = datetime(2024, 1, 15, 15, 30, tzinfo=timezone.utc)
LEASE_S = 60
START = Start(
    run=RunKey("nba", date(2024, 1, 15), "same_day"),
    phase="predictions",
    processor="predictions",
    attempt=1,
    fence=200010001,
    partition=date(2024, 1, 15),
    timeout_s=2_400,
    issued_at=NOW,
)
CHUNKS = chunked([Unit(id=f"u{number}", inputs='{"points": 20.5}') for number in range(6)], 2)
BATCH = Batch(start=START, created_at=NOW, deadline_at=NOW + timedelta(seconds=1_800), chunks=len(CHUNKS), shared="{}")
OTHER = replace(BATCH, start=replace(START, attempt=2))
COMPLETION = Completion(
    run=START.run, phase=START.phase, processor=START.processor, attempt=1, report=1, status=Status.SUCCESS, rows=6
)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def report(chunk: int, number: int = 1, *, value: str = "1", of: Batch = BATCH) -> ChunkReport:
    results = [UnitResult(unit=unit.id, state=UnitState.DONE, output=value) for unit in CHUNKS[chunk].units]
    return ChunkReport(start=of.start, chunk=chunk, number=number, results=tuple(results))


def record(batches: BatchStore, said: ChunkReport, rest: tuple[str, ...] = ()) -> int | None:
    return batches.record(said, rest=rest, ended=not rest, at=later(9))


SEAL = Seal(batch=BATCH.id, reason="every chunk has ended", at=later(9))


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "firestore-emulator"])
def batches(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BatchStore]:
    if request.param == "firestore-emulator":
        with opened(request.getfixturevalue("firestore_emulator"), new_project()) as firestore:
            firestore.batches.create(BATCH, CHUNKS)
            yield firestore.batches
        return
    store = Sqlite(tmp_path / "state.sqlite" if request.param == "sqlite-file" else ":memory:")
    store.batches.create(BATCH, CHUNKS)
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
    assert not batches.create(replace(BATCH, shared='{"other": 1}'), CHUNKS[:1])
    assert batches.batch(BATCH.id) == BATCH
    assert batches.chunks(BATCH.id) == CHUNKS


def test_with_a_batch_the_first_order_of_each_chunk_stands(batches: BatchStore) -> None:
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.ordered == tuple(Ordered(chunk=chunk.number, number=1, at=NOW) for chunk in CHUNKS)
    assert (seen.batch, seen.seal) == (BATCH, None)


def test_a_new_batch_is_due_though_its_creator_died(batches: BatchStore) -> None:
    assert batches.due(later(LOOK_WITHIN_S - 1), 10) == ()
    assert batches.due(later(LOOK_WITHIN_S), 10) == (BATCH.id,)


def test_of_an_unknown_batch_nothing_is_known(batches: BatchStore) -> None:
    assert batches.batch(OTHER.id) is None
    assert batches.load(OTHER.id) is None
    assert batches.chunks(OTHER.id) == ()
    assert batches.reports(OTHER.id) == ()
    assert record(batches, report(0, of=OTHER)) is None


def test_some_chunks_come_in_order_and_unknown_ones_are_left_out(batches: BatchStore) -> None:
    assert batches.chunks(BATCH.id, [2, 0, 9]) == (CHUNKS[0], CHUNKS[2])
    assert batches.chunks(BATCH.id, []) == ()


def test_a_batch_may_have_no_chunk_at_all(batches: BatchStore) -> None:
    assert batches.create(replace(OTHER, chunks=0), ())
    seen = batches.load(OTHER.id)
    assert seen is not None
    assert seen.ordered == ()


# --- orders and reports -------------------------------------------------------------------------------


def test_an_order_is_recorded_once(batches: BatchStore) -> None:
    second = [Ordered(chunk=chunk, number=2, at=later(5)) for chunk in (0, 1)]
    assert batches.order(BATCH.id, second[:1]) == tuple(second[:1])
    assert batches.order(BATCH.id, second) == (second[1],)
    assert batches.ordered(BATCH.id, 0) == (Ordered(chunk=0, number=1, at=NOW), second[0])


def test_a_report_counts_down_what_has_not_ended(batches: BatchStore) -> None:
    assert record(batches, report(0)) == 2
    assert record(batches, report(1), rest=("u2",)) == 2
    assert record(batches, report(2)) == 1
    batches.order(BATCH.id, [Ordered(chunk=1, number=2, at=later(9))])
    assert record(batches, report(1, 2)) == 0
    assert batches.reports(BATCH.id) == (report(0), report(1), report(1, 2), report(2))


def test_a_report_that_is_there_stays_as_it_was(batches: BatchStore) -> None:
    record(batches, report(0))
    assert record(batches, report(0, value="2"), rest=("u0",)) == 2
    assert batches.reports(BATCH.id) == (report(0),)
    assert batches.ordered(BATCH.id, 0) == (Ordered(chunk=0, number=1, at=NOW, reported_at=later(9)),)


def test_what_a_report_left_open_is_seen(batches: BatchStore) -> None:
    record(batches, report(0), rest=("u1",))
    assert batches.ordered(BATCH.id, 0)[0].rest == ("u1",)
    seen = batches.load(BATCH.id)
    assert seen is not None
    assert seen.ordered[0].rest == ("u1",)


def test_batches_do_not_count_each_others_reports(batches: BatchStore) -> None:
    batches.create(OTHER, CHUNKS)
    assert record(batches, report(0)) == 2
    assert record(batches, report(1, of=OTHER)) == 2


def test_of_concurrent_reports_exactly_one_is_the_last(connect: Callable[[], BatchStore]) -> None:
    many = chunked([Unit(id=f"u{number}", inputs="{}") for number in range(21)], 1)
    connect().create(replace(BATCH, chunks=21), many)

    def tell(chunk: Chunk) -> int | None:
        results = (UnitResult(unit=chunk.units[0].id, state=UnitState.DONE),)
        said = ChunkReport(start=START, chunk=chunk.number, number=1, results=results)
        return record(connect(), said)

    with ThreadPoolExecutor(21) as pool:
        left = list(pool.map(tell, many))
    assert left.count(0) == 1
    assert all(each is not None and 0 <= each < 21 for each in left)


def test_of_concurrent_callers_one_gets_each_order(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(5)]
    stores[0].create(BATCH, CHUNKS)
    orders = [Ordered(chunk=chunk.number, number=2, at=later(5)) for chunk in CHUNKS]
    with ThreadPoolExecutor(5) as pool:
        mine = list(pool.map(lambda index: stores[index].order(BATCH.id, orders[index % 2 :]), range(5)))
    assert sorted(each.chunk for some in mine for each in some) == [0, 1, 2]


def test_a_batch_of_a_great_day_is_kept_whole(connect: Callable[[], BatchStore]) -> None:
    inputs = '{"points": [' + ", ".join(["20.5"] * 300) + "]}"
    units = [Unit(id=f"u{number:04d}", inputs=inputs) for number in range(500)]
    model, whole = '{"weights": [' + ", ".join(["0.123456789"] * 8_000) + "]}", chunked(units)
    settled = tuple(UnitResult(unit=f"s{n}", state=UnitState.SKIPPED, reason="no_history") for n in range(500))
    great = replace(BATCH, chunks=len(whole), shared=model, settled=settled)
    assert connect().create(great, whole)
    assert connect().batch(BATCH.id) == great
    assert connect().chunks(BATCH.id) == whole


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
        stores[0].create(batch, CHUNKS)

        def end(batch: Batch = batch, seal: Seal = seal) -> tuple[ChunkReport, ...]:
            assert stores[0].seal(seal, later(9), LEASE_S) == seal
            return stores[0].reports(batch.id)

        with ThreadPoolExecutor(2) as pool:
            ended = pool.submit(end)
            left = pool.submit(record, stores[1], report(0, of=batch)).result(60)
        kept = (report(0, of=batch),) if left is not None else ()
        assert ended.result(60) == stores[1].reports(batch.id) == kept


def test_exactly_one_of_many_takes_the_seal_and_exactly_one_takes_it_up(connect: Callable[[], BatchStore]) -> None:
    connect().create(BATCH, CHUNKS)
    for at in (later(9), later(9 + LEASE_S)):
        with ThreadPoolExecutor(21) as pool:
            taken = list(pool.map(lambda _, at=at: connect().seal(SEAL, at, LEASE_S), range(21)))
        assert [each for each in taken if each] == [SEAL]


# --- the timer ----------------------------------------------------------------------------------------


def test_a_look_is_brought_forward_and_set_anew_once_it_is_over(batches: BatchStore) -> None:
    batches.create(OTHER, CHUNKS)
    batches.look_at(BATCH.id, later(50), NOW)
    batches.look_at(BATCH.id, later(500), NOW)
    assert batches.next_at() == later(50), "of two who look at once, the earlier look stands"
    batches.look_at(BATCH.id, later(500), later(50))
    assert batches.due(later(499), 10) == (OTHER.id,)
    assert batches.due(later(500), 10) == (OTHER.id, BATCH.id), "the longest due first"
    assert batches.due(later(500), 1) == (OTHER.id,)
    assert batches.next_at() == later(LOOK_WITHIN_S)


def test_after_the_seal_its_lease_alone_says_when_to_look(batches: BatchStore) -> None:
    batches.seal(SEAL, later(9), LEASE_S)
    batches.look_at(BATCH.id, later(10), later(9))
    assert batches.next_at() == later(9 + LEASE_S)
    batches.close(SEAL)
    batches.look_at(BATCH.id, later(10), later(9))
    assert batches.next_at() is None


def test_of_concurrent_looks_the_earliest_stands(connect: Callable[[], BatchStore]) -> None:
    stores = [connect() for _ in range(5)]
    stores[0].create(BATCH, CHUNKS)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda index: stores[index].look_at(BATCH.id, later(50 - index), NOW), range(5)))
    assert stores[0].next_at() == later(46)


def test_a_look_at_an_unknown_batch_and_a_close_before_the_seal_do_nothing(batches: BatchStore) -> None:
    batches.look_at(OTHER.id, later(1), NOW)
    batches.close(replace(SEAL, completion=COMPLETION))
    assert batches.next_at() == later(LOOK_WITHIN_S)
    assert batches.seal(SEAL, later(9), LEASE_S) == SEAL
    batches.close(replace(SEAL, completion=COMPLETION))
    assert batches.next_at() is None


def test_a_lease_that_is_released_is_due_at_once(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "state.sqlite")
    store.batches.create(BATCH, CHUNKS)
    store.batches.seal(SEAL, later(9), LEASE_S)
    store.release_leases(later(10))
    assert store.batches.due(later(10), 10) == (BATCH.id,)
    assert store.batches.seal(SEAL, later(10), LEASE_S) == SEAL
    store.close()


def test_what_one_process_wrote_another_sees(connect: Callable[[], BatchStore]) -> None:
    one, other = connect(), connect()
    one.create(BATCH, CHUNKS)
    record(other, report(0))
    one.seal(SEAL, later(9), LEASE_S)
    seen = other.load(BATCH.id)
    assert seen is not None
    assert seen.seal == SEAL
    assert seen.ordered[0].reported_at == later(9)
