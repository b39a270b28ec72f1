"""A batch ends, and every unit of it in exactly one state: the decision, the count, and what a report may say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.batch import (
    BATCH_S_MAX,
    CHUNK_TIMEOUT_S,
    CHUNK_UNITS,
    CONSOLIDATE_S,
    MUTE_MARGIN_S,
    RETRY_S,
    TRIES_MAX,
    Batch,
    BatchRecord,
    Chunk,
    ChunkOrder,
    ChunkReport,
    Due,
    Ordered,
    Seal,
    Sealed,
    Unit,
    UnitResult,
    UnitState,
    chunked,
    conclude,
    deadline_of,
    decide_batch,
    ends,
    gives_up_at,
    rest_after,
    strange,
    tally,
    under_way,
)
from shared.core.codec import decode, encode
from shared.core.model import RunKey, Start, Status

T0 = datetime(2024, 1, 15, 15, 30, tzinfo=timezone.utc)
MUTE_S = CHUNK_TIMEOUT_S + MUTE_MARGIN_S
START = Start(
    run=RunKey("nba", date(2024, 1, 15), "same_day"),
    phase="predictions",
    processor="predictions",
    attempt=1,
    fence=200010001,
    partition=date(2024, 1, 15),
    timeout_s=2_400,
    issued_at=T0,
)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def batch(chunks: int = 2, settled: tuple[UnitResult, ...] = ()) -> Batch:
    return Batch(
        start=START, created_at=T0, deadline_at=after(BATCH_S_MAX), chunks=chunks, shared="{}", settled=settled
    )


def record(*ordered: Ordered, seal: Seal | None = None) -> BatchRecord:
    return BatchRecord(batch=batch(len({each.chunk for each in ordered})), ordered=ordered, seal=seal)


def sent(chunk: int, number: int = 1, at_s: float = 0) -> Ordered:
    return Ordered(chunk=chunk, number=number, at=after(at_s))


def reported(chunk: int, number: int = 1, at_s: float = 1, rest: tuple[str, ...] = ()) -> Ordered:
    return Ordered(chunk=chunk, number=number, at=T0, reported_at=after(at_s), rest=rest)


SEAL = Seal(batch=batch().id, reason="every chunk has ended", at=after(9))
FIRST_RETRY_S, SECOND_RETRY_S = RETRY_S, 2 * RETRY_S

WAITS = [
    pytest.param(record(sent(0), sent(1)), 5, (), MUTE_S, id="both are under way"),
    pytest.param(record(reported(0), sent(1)), 5, (), MUTE_S, id="one has ended, the other is under way"),
    pytest.param(
        record(reported(0, rest=("u1",))), 2, (), 1 + FIRST_RETRY_S, id="a rest is ordered again after a pause"
    ),
    pytest.param(
        record(sent(0), sent(0, 2, 100)), MUTE_S + 5, (), 100 + MUTE_S, id="the last order of a chunk is what counts"
    ),
    pytest.param(record(sent(0, 3, 1_600)), 1_700, (), 1_600 + MUTE_S, id="the last try is waited for as long as any"),
    pytest.param(record(sent(0, 1, 1_700)), 1_750, (), BATCH_S_MAX, id="no look is later than the deadline"),
]


@pytest.mark.parametrize(("seen", "now_s", "orders", "next_look_s"), WAITS)
def test_a_batch_waits(seen: BatchRecord, now_s: float, orders: tuple[object, ...], next_look_s: float) -> None:
    assert decide_batch(seen, after(now_s)) == Due(orders=(), next_look_at=after(next_look_s))


ORDERS = [
    pytest.param(
        record(reported(0, rest=("u1", "u2"))), 1 + FIRST_RETRY_S, (0, 2, ("u1", "u2")), id="what failed, after a pause"
    ),
    pytest.param(
        record(reported(0, rest=("u1", "u2")), reported(0, 2, 10, rest=("u2",))),
        10 + SECOND_RETRY_S,
        (0, 3, ("u2",)),
        id="what failed twice, after twice the pause",
    ),
    pytest.param(record(sent(0)), MUTE_S, (0, 2, ()), id="a mute chunk whole"),
    pytest.param(
        record(reported(0, rest=("u2",)), sent(0, 2, 10)),
        10 + MUTE_S,
        (0, 3, ("u2",)),
        id="after a mute second try, what the first had left",
    ),
    pytest.param(
        record(reported(0, 1, 12, rest=("u3", "u2")), reported(0, 2, 10, rest=("u1", "u2"))),
        10 + SECOND_RETRY_S,
        (0, 3, ("u2",)),
        id="what neither of two reports ended that did not know of each other",
    ),
    pytest.param(
        record(reported(0, rest=("u1",)), reported(0, 2, 10, rest=("u2",))),
        10 + SECOND_RETRY_S,
        (0, 3, ("u2",)),
        id="where two such reports ended all, what the later one left: only a report without a rest ends a chunk",
    ),
]


@pytest.mark.parametrize(("seen", "now_s", "order"), ORDERS)
def test_a_batch_orders_a_chunk_again(seen: BatchRecord, now_s: float, order: tuple[object, ...]) -> None:
    due = decide_batch(seen, after(now_s))
    assert isinstance(due, Due)
    assert due.orders == (order,)
    assert due.next_look_at == after(now_s + MUTE_S)
    assert decide_batch(seen, after(now_s - 0.001)) != due, "not a moment earlier"


SEALS = [
    pytest.param(record(), 0, "every chunk has ended", id="nothing was to be ordered"),
    pytest.param(record(reported(0), reported(1)), 5, "every chunk has ended", id="everything is reported"),
    pytest.param(
        record(sent(0), reported(0, 2)), 5, "every chunk has ended", id="a later try made up for a silent one"
    ),
    pytest.param(record(reported(0, 3, rest=("u1",))), 5, "every chunk has ended", id="a unit failed on the last try"),
    pytest.param(
        record(sent(0, 3)), MUTE_S, "every chunk has ended", id="the last try stayed silent: nothing more will come"
    ),
    pytest.param(
        record(sent(0, 2, 1_750), reported(1)),
        BATCH_S_MAX,
        "the deadline, with 1 of 2 chunks open",
        id="the deadline, at any percentage",
    ),
    pytest.param(
        record(sent(0), sent(1)), BATCH_S_MAX, "the deadline, with 2 of 2 chunks open", id="stuck at nothing at all"
    ),
    pytest.param(record(sent(0), seal=SEAL), 5, SEAL.reason, id="sealed is sealed"),
]


@pytest.mark.parametrize(("seen", "now_s", "reason"), SEALS)
def test_a_batch_is_sealed(seen: BatchRecord, now_s: float, reason: str) -> None:
    assert decide_batch(seen, after(now_s)) == Sealed(reason=reason)


UNDER_WAY = [
    pytest.param(record(sent(1), sent(0)), ((0, 1, ()), (1, 1, ())), id="what nobody has reported"),
    pytest.param(record(reported(0), reported(1, rest=("u1",))), (), id="not what has ended or pauses"),
    pytest.param(record(sent(0), sent(0, 2)), ((0, 2, ()),), id="the last try alone"),
    pytest.param(record(sent(0), reported(0, 2)), (), id="not a silent try that a later one made up for"),
    pytest.param(record(reported(0, rest=("u2",)), sent(0, 2)), ((0, 2, ("u2",)),), id="what the first try had left"),
]


@pytest.mark.parametrize(("seen", "orders"), UNDER_WAY)
def test_the_orders_that_somebody_should_be_at(seen: BatchRecord, orders: tuple[object, ...]) -> None:
    assert under_way(seen) == orders


def test_a_consolidation_is_given_up_with_the_starts_own_time_or_when_it_has_failed_for_long() -> None:
    assert gives_up_at(batch(), SEAL) == after(9 + CONSOLIDATE_S)
    assert gives_up_at(batch(), replace(SEAL, at=after(BATCH_S_MAX + 60))) == after(START.timeout_s)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(1, TRIES_MAX),
            st.booleans(),
            st.integers(0, 2_000),
            st.sets(st.sampled_from("ab")),
        ),
        max_size=12,
    ),
    st.integers(0, 3_000),
)
def test_a_batch_always_has_a_next_look_or_an_end(
    orders: list[tuple[int, int, bool, int, set[str]]], now_s: int
) -> None:
    seen = {
        (c, n): reported(c, n, at, tuple(sorted(rest))) if heard else sent(c, n, at) for c, n, heard, at, rest in orders
    }
    match decide_batch(record(*seen.values()), after(now_s)):
        case Due(orders=due, next_look_at=next_look_at):
            assert after(now_s) < next_look_at <= after(BATCH_S_MAX)
            assert all((chunk, number) not in seen and number <= TRIES_MAX for chunk, number, _ in due)
        case Sealed():
            pass


def test_the_deadline_leaves_time_to_consolidate_within_the_starts_own() -> None:
    assert deadline_of(START, T0) == after(BATCH_S_MAX)
    assert deadline_of(replace(START, timeout_s=600), T0) == after(480)
    assert deadline_of(replace(START, timeout_s=60), T0) == after(1)


def test_the_same_units_give_the_same_chunks() -> None:
    units = [Unit(id=f"u{number}", inputs="{}") for number in range(2 * CHUNK_UNITS + 1)]
    chunks = chunked(units)
    assert [len(chunk.units) for chunk in chunks] == [CHUNK_UNITS, CHUNK_UNITS, 1]
    assert [unit for chunk in chunks for unit in chunk.units] == units
    assert chunked([]) == ()


# --- what a report leaves open ------------------------------------------------------------------------

CHUNK = Chunk(number=0, units=tuple(Unit(id=name, inputs="{}") for name in ("u1", "u2", "u3")))


def result(unit: str, state: UnitState = UnitState.DONE, **fields: Any) -> UnitResult:
    return UnitResult(unit=unit, state=state, **fields)


def failed(unit: str, again: bool = True) -> UnitResult:
    return result(unit, UnitState.FAILED, reason="no model", again=again)


def report(*results: UnitResult, number: int = 1, chunk: int = 0) -> ChunkReport:
    return ChunkReport(start=START, chunk=chunk, number=number, results=results)


RESTS = [
    pytest.param(report(result("u1"), result("u2"), result("u3")), (), (), id="none where all have ended"),
    pytest.param(report(result("u1"), failed("u2"), result("u3")), (), ("u2",), id="what is to be tried again"),
    pytest.param(report(result("u1"), failed("u2", again=False)), (), ("u3",), id="what the worker is mute about"),
    pytest.param(
        report(result("u3"), number=2), (reported(0, rest=("u2", "u3")),), ("u2",), id="what no report has ended"
    ),
    pytest.param(report(result("u3"), number=2), (sent(0),), ("u1", "u2"), id="a silent try has ended nothing"),
    pytest.param(
        report(result("u1"), failed("u2"), result("u3")),
        (reported(0, 2, rest=("u1",)),),
        (),
        id="none where a late report ends what a later one left",
    ),
    pytest.param(report(result("u1")), (reported(7, rest=("u9",)),), ("u2", "u3"), id="other chunks say nothing here"),
]


@pytest.mark.parametrize(("said", "ordered", "rest"), RESTS)
def test_the_rest_of_a_chunk(said: ChunkReport, ordered: tuple[Ordered, ...], rest: tuple[str, ...]) -> None:
    assert rest_after(said, CHUNK, ordered) == rest


def test_a_chunk_ends_without_a_rest_or_with_its_last_try() -> None:
    assert ends(reported(0))
    assert not ends(reported(0, rest=("u1",)))
    assert ends(reported(0, TRIES_MAX, rest=("u1",)))
    assert not ends(sent(0, TRIES_MAX))


STRANGE = [
    pytest.param(report(result("u1")), None, "has no chunk 0", id="an unknown chunk"),
    pytest.param(report(result("u1"), number=2), CHUNK, "try 2 was never ordered", id="a try that nobody ordered"),
    pytest.param(report(result("u4")), CHUNK, "unit 'u4' is not in it", id="a unit of another chunk"),
    pytest.param(report(result("u1"), result("u1")), CHUNK, "a unit is there twice", id="one unit twice"),
    pytest.param(
        report(result("u1", UnitState.EXPIRED)), CHUNK, "is the coordinator's word", id="a worker that says expired"
    ),
    pytest.param(
        report(result("u1", UnitState.DONE, again=True)), CHUNK, "but has not failed", id="done, and to be tried again"
    ),
    pytest.param(
        report(result("u1", UnitState.SKIPPED)),
        CHUNK,
        "u1 is skipped and does not say why",
        id="skipped without a reason",
    ),
    pytest.param(report(result("u1"), failed("u2")), CHUNK, "", id="nothing"),
    pytest.param(report(), CHUNK, "", id="silence on every unit"),
]


@pytest.mark.parametrize(("said", "chunk", "why"), STRANGE)
def test_what_is_strange_about_a_report(said: ChunkReport, chunk: Chunk | None, why: str) -> None:
    refused = strange(said, chunk, (sent(0),))
    assert (why in refused) if why else refused == ""


# --- how it ends --------------------------------------------------------------------------------------


def states(*reports: ChunkReport, settled: tuple[UnitResult, ...] = ()) -> dict[str, str]:
    ended = tally(batch(1, settled), [CHUNK], reports)
    return {unit: str(each.state) for unit, each in ended.results.items()}


TALLIES = [
    pytest.param((report(result("u1"), result("u2"), result("u3")),), "done done done", id="all done"),
    pytest.param((), "expired expired expired", id="nobody reported anything"),
    pytest.param((report(result("u1"), failed("u2"), failed("u3", again=False)),), "done failed failed", id="failed"),
    pytest.param(
        (report(result("u1"), failed("u2"), result("u3")), report(result("u2"), number=2)),
        "done done done",
        id="failed, then done",
    ),
    pytest.param(
        (report(failed("u1", again=False), number=2), report(result("u1"), number=1)),
        "done expired expired",
        id="the first try's word stands, whatever the order of arrival",
    ),
    pytest.param(
        (report(result("u1", UnitState.SKIPPED, reason="no_history")),), "skipped expired expired", id="skipped"
    ),
]


@pytest.mark.parametrize(("reports", "expected"), TALLIES)
def test_every_unit_ends_in_exactly_one_state(reports: tuple[ChunkReport, ...], expected: str) -> None:
    assert states(*reports) == dict(zip(("u1", "u2", "u3"), expected.split(), strict=True))


def test_a_unit_that_was_settled_before_stays_so() -> None:
    settled = (result("u0", UnitState.SKIPPED, reason="no_history"),)
    assert states(report(result("u1")), settled=settled)["u0"] == "skipped"


def test_an_expired_unit_says_the_last_that_was_heard_of_it() -> None:
    ended = tally(batch(1), [CHUNK], [report(failed("u1"))])
    assert [ended.results[unit].reason for unit in ("u1", "u2")] == ["no model", "nobody reported it in time"]


SKIPPED = result("u9", UnitState.SKIPPED, reason="no_history")
CONCLUSIONS = [
    pytest.param((result("u1"), result("u2")), Status.SUCCESS, "", 2, 2, id="all done"),
    pytest.param(
        (result("u1"), SKIPPED), Status.SUCCESS, "skipped: u9 (no_history)", 2, 2, id="one without history is named"
    ),
    pytest.param(
        (result("z"), *(replace(SKIPPED, unit=f"u{number}") for number in range(6))),
        Status.SUCCESS,
        "skipped: u0 (no_history), u1 (no_history), u2 (no_history), u3 (no_history), u4 (no_history) and 1 more",
        7,
        7,
        id="many without history are counted",
    ),
    pytest.param((SKIPPED,), Status.SKIPPED, "no_history", 1, 1, id="nobody has a history"),
    pytest.param((), Status.SKIPPED, "no_history", 0, 0, id="nobody at all"),
    pytest.param(
        (result("u1"), failed("u2", again=False), failed("u3", again=False)),
        Status.PARTIAL,
        "2 of 3 units are not there: 2 failed: no model",
        3,
        1,
        id="most of them failed",
    ),
    pytest.param(
        (failed("u1", again=False), result("u2", UnitState.EXPIRED, reason="nobody reported it in time")),
        Status.FAILED,
        "2 of 2 units are not there: 1 expired: nobody reported it in time; 1 failed: no model",
        2,
        0,
        id="none is done",
    ),
]


@pytest.mark.parametrize(("results", "status", "reason", "expected", "actual"), CONCLUSIONS)
def test_what_a_batch_reports(
    results: tuple[UnitResult, ...], status: Status, reason: str, expected: int, actual: int
) -> None:
    ended = tally(batch(0, results), [], [])
    said = conclude(batch(), ended, rows=8, digest="d", superseded=False, duration_s=1.5)
    assert (said.status, said.reason, said.units_expected, said.units_actual) == (status, reason, expected, actual)
    lost = [each.unit for each in results if each.state in (UnitState.FAILED, UnitState.EXPIRED)]
    assert list(said.missing) == lost
    assert (said.id, said.rows, said.digest) == ("predictions/predictions/1/1", 8, "d")


def test_a_batch_whose_rows_a_newer_one_outranks_is_superseded() -> None:
    ended = tally(batch(0, (result("u1"),)), [], [])
    said = conclude(batch(), ended, rows=8, digest="d", superseded=True, duration_s=1.5)
    assert (said.status, said.reason) == (Status.SKIPPED, "superseded")


def test_records_survive_being_written_and_read() -> None:
    whole = report(result("u1", output='[{"value": 1.5}]'), failed("u2"))
    assert decode(ChunkReport, encode(whole)) == whole
    order = ChunkOrder(start=START, chunk=0, number=1, shared="{}", units=CHUNK.units)
    assert decode(ChunkOrder, encode(order)) == order
    assert order.batch == whole.batch == batch().id == "nba.2024-01-15.same_day.1/predictions/1"
    assert decode(Batch, encode(batch(settled=(SKIPPED,)))) == batch(settled=(SKIPPED,))
    assert decode(Seal, encode(SEAL)) == SEAL
    assert decode(Chunk, encode(CHUNK)) == CHUNK
