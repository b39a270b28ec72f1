"""A batch as it is told to a person: every unit counted once, and why those are not done that are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.batch import (
    CHUNK_TIMEOUT_S,
    MUTE_MARGIN_S,
    TRIES_MAX,
    Batch,
    BatchRecord,
    ChunkReport,
    Ordered,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    chunked,
)
from shared.core.batch_status import (
    BEING_TRIED_AGAIN,
    REASON_SHOWN,
    SILENT,
    TRIED_AGAIN,
    UNSAID,
    BatchState,
    BatchStatus,
    Cause,
    Try,
    batch_head,
    batch_status,
)
from shared.core.model import Act, Completion, Status
from tests.unit.batches import START, T0, after

CHUNKS = chunked([Unit(id=f"u{number}", inputs="{}") for number in range(12)], size=4)  # u0 to u3, u4 to u7, u8 to u11
ROOKIE = UnitResult(unit="rookie", state=UnitState.SKIPPED, reason="no_history")
ANN = Act(actor="ann", reason="the night is over", at=T0, until=T0 + timedelta(hours=2))


BATCH = Batch(
    start=START,
    created_at=T0,
    deadline_at=after(1_800),
    chunks=3,
    units=12,
    shared="{}",
    settled=(ROOKIE,),
    chunk_units=4,
    deadline_from="history",
)


def order(
    chunk: int, number: int = 1, *, tries: int = 1, places: tuple[int, ...] = (0, 1, 2, 3), at_s: float = 0
) -> Ordered:
    return Ordered(chunk=chunk, number=number, tries=tries, places=places, at=after(at_s))


def reported(ordered: Ordered, at_s: float, *rest: int) -> Ordered:
    return replace(ordered, reported_at=after(at_s), rest=rest)


def done(*units: str) -> tuple[UnitResult, ...]:
    return tuple(UnitResult(unit=unit, state=UnitState.DONE, output="[]") for unit in units)


def failed(unit: str, reason: str, *, again: bool = False) -> UnitResult:
    return UnitResult(unit=unit, state=UnitState.FAILED, reason=reason, again=again)


def report(chunk: int, *results: UnitResult, number: int = 1) -> ChunkReport:
    return ChunkReport(start=START, chunk=chunk, number=number, results=results)


def told(
    *ordered: Ordered, reports: tuple[ChunkReport, ...] = (), seal: Seal | None = None, now_s: float = 10
) -> BatchStatus:
    record = BatchRecord(batch=BATCH, ordered=ordered, seal=seal)
    status = batch_status(record, CHUNKS, reports, after(now_s))
    assert status.head.ended == sum(status.counts.values())
    assert status.head.ended + status.under_way + status.to_try_again + status.never_ordered == status.head.units == 13
    return status


def sealed(kind: SealKind, completion: Completion | None = None, **changes: object) -> Seal:
    seal = Seal(batch=BATCH.id, kind=kind, reason="so it was", at=after(60), completion=completion)
    return replace(seal, **changes)  # type: ignore[arg-type]


def completion(status: Status, reason: str = "") -> Completion:
    return Completion(
        phase="predictions",
        processor="predictions",
        run=START.run,
        attempt=1,
        report=1,
        status=status,
        reason=reason,
        rows=48,
    )


# --- where its units are ----------------------------------------------------------------------------------


def test_what_was_never_ordered_is_neither_under_way_nor_ended() -> None:
    status = told(order(0))
    assert (status.head.ended, status.under_way, status.to_try_again, status.never_ordered) == (1, 4, 0, 8)
    assert status.counts == {"done": 0, "skipped": 1, "failed": 0, "expired": 0}
    assert (status.chunks, status.chunks_ended) == (3, 0)
    assert status.causes == (Cause(state="skipped", reason="no_history", units=("rookie",)),)
    assert status.head.ends_at is None, "of ordered units none has ended: nothing tells how fast they do"


def test_a_chunk_has_ended_when_all_its_units_have() -> None:
    both = (report(0, *done("u0", "u1", "u2", "u3")), report(1, *done("u4", "u5", "u6"), failed("u7", "no minutes")))
    status = told(reported(order(0), 4), reported(order(1), 5), order(2), reports=both)
    assert (status.chunks_ended, status.head.ended, status.under_way) == (2, 9, 4)
    assert status.counts == {"done": 7, "skipped": 1, "failed": 1, "expired": 0}


AGAIN = reported(order(0), 4, 2, 3)
SAID = report(0, *done("u0", "u1"), failed("u2", "out of memory", again=True))


def test_units_to_be_tried_again_say_why_and_one_that_nothing_was_said_of_too() -> None:
    status = told(AGAIN, reports=(SAID,), now_s=5)
    assert (status.head.ended, status.under_way, status.to_try_again, status.never_ordered) == (3, 0, 2, 8)
    assert Cause(state=TRIED_AGAIN, reason="out of memory", units=("u2",)) in status.causes
    assert Cause(state=TRIED_AGAIN, reason=UNSAID, units=("u3",)) in status.causes


def test_units_that_are_being_tried_again_are_under_way_and_say_why() -> None:
    parts = (order(1, 2, tries=2, places=(0,), at_s=150), order(1, 3, tries=2, places=(1,), at_s=150))
    second = order(0, 2, tries=2, places=(2, 3), at_s=12)
    status = told(AGAIN, second, order(1), *parts, reports=(SAID,), now_s=151)
    assert (status.under_way, status.to_try_again) == (6, 0)
    assert Cause(state=BEING_TRIED_AGAIN, reason="out of memory", units=("u2",)) in status.causes
    assert Cause(state=BEING_TRIED_AGAIN, reason=SILENT, units=("u3", "u4", "u5")) in status.causes


def test_the_last_try_ends_a_unit_whatever_it_said() -> None:
    last = reported(order(0, 3, tries=TRIES_MAX, places=(2, 3)), 40, 2, 3)
    status = told(AGAIN, last, reports=(SAID, report(0, failed("u2", "still none", again=True), number=3)))
    assert (status.counts["failed"], status.counts["expired"], status.to_try_again) == (1, 1, 0)
    assert Cause(state="failed", reason="still none", units=("u2",)) in status.causes
    assert status.chunks_ended == 1


def test_a_report_that_came_after_the_record_was_read_counts() -> None:
    status = told(order(0), order(1), reports=(report(0, *done("u0", "u1", "u2", "u3")),))
    assert (status.head.ended, status.under_way, status.chunks_ended) == (5, 4, 1)


def test_a_reason_is_cut_and_the_most_frequent_comes_first() -> None:
    results = (*(failed(unit, "x" * 500) for unit in ("u1", "u2")), failed("u0", "rare"), *done("u3"))
    status = told(reported(order(0), 4), reports=(report(0, *results),))
    assert status.causes[0] == Cause(state="failed", reason="x" * REASON_SHOWN, units=("u1", "u2"))
    assert [len(cause.units) for cause in status.causes] == [2, 1, 1]


# --- how fast, and what holds it up -----------------------------------------------------------------------


def test_the_rate_and_the_end_are_guessed_from_what_has_ended() -> None:
    status = told(reported(order(0), 4), order(1), reports=(report(0, *done("u0", "u1", "u2", "u3")),), now_s=8)
    assert status.head.per_s == 0.5
    assert status.head.ends_at == after(8 + 16), "8 units are left"


def test_a_straggler_is_named_with_its_first_units_and_since_when() -> None:
    status = told(reported(order(0), 2), order(1, at_s=1), order(2, at_s=55), now_s=60)
    [straggler] = status.stragglers
    assert straggler.to_json() == {
        "chunk": 1,
        "number": 1,
        "try": 1,
        "units": 4,
        "since": after(1).isoformat(),
        "first_units": ["u4", "u5", "u6", "u7"],
    }


def test_of_a_straggler_five_units_are_named() -> None:
    [big] = chunked(CHUNKS[0].units + CHUNKS[1].units, size=8)
    whole = replace(BATCH, chunks=1, units=8, chunk_units=8, settled=())
    record = BatchRecord(batch=whole, ordered=(order(0, places=tuple(range(8))),), seal=None)
    [straggler] = batch_status(record, [big], (), after(600)).stragglers
    assert straggler.units == ("u0", "u1", "u2", "u3", "u4")
    assert straggler.to_json()["units"] == 8


def test_orders_are_counted_by_try() -> None:
    status = told(AGAIN, order(0, 2, tries=2, places=(2, 3)), order(1), reports=(SAID,))
    assert status.tries == (Try(number=1, orders=2, reported=1, units=8), Try(number=2, orders=1, reported=0, units=2))


def test_an_open_batch_says_when_it_is_looked_at_next_unless_that_look_ends_it() -> None:
    assert told(order(0), now_s=5).next_look_at == after(CHUNK_TIMEOUT_S + MUTE_MARGIN_S)
    assert told(order(0), now_s=60).next_look_at == after(CHUNK_TIMEOUT_S + MUTE_MARGIN_S), "it does not slide"
    assert told(order(0), now_s=1_900).next_look_at is None


# --- how it ended -----------------------------------------------------------------------------------------


def test_of_a_sealed_batch_every_unit_has_ended_and_nothing_is_due() -> None:
    status = told(AGAIN, order(1), reports=(SAID,), seal=sealed(SealKind.EXPIRED), now_s=100)
    assert status.counts == {"done": 2, "skipped": 1, "failed": 1, "expired": 9}
    assert (status.next_look_at, status.stragglers, status.head.ends_at) == (None, (), None)
    assert status.chunks_ended == 3
    assert (status.head.sealed_at, status.head.ended_s) == (after(60), 60.0)


@pytest.mark.parametrize("kind", list(SealKind), ids=str)
def test_a_batch_is_consolidating_from_its_seal_to_its_completion(kind: SealKind) -> None:
    assert told(seal=sealed(kind)).head.state is BatchState.CONSOLIDATING
    assert told(seal=sealed(kind, completion(Status.PARTIAL))).head.state.value == kind.value


def test_a_batch_that_is_not_sealed_is_open_whatever_its_age() -> None:
    assert told(now_s=10**6).head.state is BatchState.OPEN


# --- what is told -----------------------------------------------------------------------------------------


def test_all_of_it_is_told_as_json() -> None:
    stalled = completion(Status.FAILED, "stalled at 8% of its units")
    seal = sealed(SealKind.CANCELLED, stalled, act=ANN, incident="somebody has to look")
    batch = replace(BATCH, quality_min=0.7, override=replace(ANN, until=None), healed=("u1",))
    record = BatchRecord(batch=batch, ordered=(reported(order(0), 4),), seal=seal)
    told = batch_status(record, CHUNKS, (report(0, *done("u0", "u1", "u2", "u3")),), after(99)).to_json()
    expected = {
        "batch": "nba.2024-01-15.same_day.1/predictions/1",
        "state": "cancelled",
        "units": 13,
        "ended": 13,
        "done": 4,
        "skipped": 1,
        "failed": 0,
        "expired": 8,
        "under_way": 0,
        "to_try_again": 0,
        "never_ordered": 0,
        "chunks": 3,
        "chunks_ended": 3,
        "units_per_s": round(4 / 60, 3),
        "ends_at": None,
        "created_at": T0.isoformat(),
        "deadline_at": after(1_800).isoformat(),
        "deadline_from": "history",
        "sealed_at": after(60).isoformat(),
        "ended_s": 60.0,
        "next_look_at": None,
        "reason": "so it was",
        "act": {"actor": "ann", "reason": ANN.reason, "at": T0.isoformat(), "until": after(7_200).isoformat()},
        "completion": {"status": "failed", "reason": "stalled at 8% of its units", "rows": 48},
        "incident": "somebody has to look",
        "causes": [
            {
                "state": "expired",
                "reason": "nobody reported it in time",
                "units": [f"u{n}" for n in (10, 11, *range(4, 10))],
            },
            {"state": "skipped", "reason": "no_history", "units": ["rookie"]},
        ],
        "stragglers": [],
        "orders": [{"try": 1, "orders": 1, "reported": 1, "units": 4}],
        "quality_min": 0.7,
        "override": {"actor": "ann", "reason": ANN.reason, "at": T0.isoformat(), "until": None},
        "healed": ["u1"],
    }
    assert told == expected


def test_without_its_units_the_same_is_told_of_its_state() -> None:
    open_ = BatchRecord(batch=BATCH, ordered=(reported(order(0), 4), order(1)), seal=None)
    head = batch_head(open_, after(8))
    assert (head.state, head.ended, head.units, head.per_s) == (BatchState.OPEN, 5, 13, 0.5)
    whole = batch_status(open_, CHUNKS, (report(0, *done("u0", "u1", "u2", "u3")),), after(8)).to_json()
    assert head.to_json() == {key: whole[key] for key in head.to_json()}
    assert batch_head(replace(open_, seal=sealed(SealKind.ENDED)), after(99)).ended == 13
