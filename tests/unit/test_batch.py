"""A batch ends, whatever stays silent: what is ordered when, what a report leaves, and how far it all is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.batch import (
    CHUNK_UNITS,
    CONSOLIDATE_S,
    IN_FLIGHT_UNITS,
    LOOK_S,
    NOBODY_S,
    PARTS,
    RETRY_S,
    STALLED_S,
    STRAGGLES,
    STRAGGLES_S,
    TRIES_MAX,
    Batch,
    BatchRecord,
    Chunk,
    ChunkOrder,
    ChunkReady,
    ChunkReport,
    Due,
    Ordered,
    Seal,
    Sealed,
    SealKind,
    UnitState,
    chunked,
    decide_batch,
    first_orders,
    follower,
    gives_up_at,
    open_in,
    open_orders,
    progress,
    rest_after,
    stalled,
    strange,
    under_way,
)
from shared.core.codec import decode, encode
from shared.core.model import Act
from tests.unit.batches import (
    DEADLINE_S,
    MUTE_S,
    START,
    T0,
    after,
    batch_of,
    chunks_of,
    failed,
    heard,
    passing,
    record,
    report,
    result,
    seal_of,
    sent,
    skipped,
    units_of,
)

A_MOMENT_S = 0.001
PAUSE_MAX_S = RETRY_S * 1.5
ANN = Act(actor="ann", reason="the night is over", at=after(8))


def orders(decided: Due | Sealed) -> list[tuple[int, int, int, tuple[int, ...]]]:
    """Chunk, number, try, places."""
    assert isinstance(decided, Due)
    return [(each.chunk, each.number, each.tries, each.places) for each in decided.orders]


# --- what is due: waiting ----------------------------------------------------------------------------------

WAITS = [
    pytest.param(record(6, sent(0), sent(1)), 5, 5 + LOOK_S, id="all are under way: a look a minute, whatever is lost"),
    pytest.param(record(6, sent(0), sent(1)), MUTE_S - 20, MUTE_S, id="an order has its time, and then somebody looks"),
    pytest.param(record(6, heard(sent(0)), sent(1)), 5, 5 + LOOK_S, id="one chunk has ended, the other is under way"),
    pytest.param(
        record(3, sent(0), sent(0, (0, 1, 2), MUTE_S, number=2, tries=2)),
        2 * MUTE_S - 10,
        2 * MUTE_S,
        id="the time of a unit is that of the last order that it is in",
    ),
    pytest.param(
        record(3, sent(0, (1,), 500, number=9, tries=TRIES_MAX)),
        500 + MUTE_S - A_MOMENT_S,
        500 + MUTE_S,
        id="the last try is waited for as long as any",
    ),
    pytest.param(
        record(3, sent(0, at_s=DEADLINE_S - 60)), DEADLINE_S - 30, DEADLINE_S, id="no look is later than the deadline"
    ),
    pytest.param(
        record(3, sent(0), sent(0, (0, 1), MUTE_S, number=2, tries=2), heard(sent(0, (2,), MUTE_S, number=3, tries=2))),
        2 * MUTE_S - 50,
        2 * MUTE_S,
        id="parts of a silent order are waited for one by one",
    ),
]


@pytest.mark.parametrize(("seen", "now_s", "next_look_s"), WAITS)
def test_a_batch_waits(seen: BatchRecord, now_s: float, next_look_s: float) -> None:
    assert decide_batch(seen, after(now_s)) == Due(orders=(), next_look_at=after(next_look_s))


# --- what is due: the window -------------------------------------------------------------------------------

WINDOWS = [
    pytest.param(record(9), 100, [0, 1, 2], id="what fits goes out at once, in order"),
    pytest.param(record(9), 6, [0, 1], id="no more than are allowed in flight"),
    pytest.param(record(9), 7, [0, 1, 2], id="a chunk goes whole: at most one of them over"),
    pytest.param(record(9), 1, [0], id="one always goes, or nothing ever would"),
    pytest.param(record(9, sent(0)), 6, [1], id="what is under way takes room"),
    pytest.param(record(9, sent(0), sent(1)), 6, [], id="a full window lets nothing out"),
    pytest.param(record(9, heard(sent(0)), sent(1)), 6, [2], id="a chunk that has ended makes room"),
    pytest.param(record(9, heard(sent(0), 4, rest=(1,)), sent(1)), 4, [2], id="what pauses takes no room"),
    pytest.param(record(9, sent(0), sent(2)), 7, [1], id="a gap is closed before the end is reached"),
    pytest.param(record(8), 100, [0, 1, 2], id="the last chunk may be smaller"),
    pytest.param(
        record(9, sent(0), heard(sent(0, (0, 1), 1, number=2, tries=2)), sent(1)),
        5,
        [2],
        id="of an order that another has in part made up for, the rest alone takes room",
    ),
]


@pytest.mark.parametrize(("seen", "in_flight", "chunks"), WINDOWS)
def test_only_so_many_units_are_in_flight(seen: BatchRecord, in_flight: int, chunks: list[int]) -> None:
    due = decide_batch(seen, after(5), in_flight)
    assert isinstance(due, Due)
    every = [tuple(range(seen.batch.size(chunk))) for chunk in chunks]
    assert orders(due) == [(chunk, 1, 1, places) for chunk, places in zip(chunks, every, strict=True)]
    assert all(order.at == after(5) and order.reported_at is None for order in due.orders)


def test_a_days_batch_goes_out_at_once() -> None:
    batch = batch_of(450, CHUNK_UNITS)
    due = decide_batch(BatchRecord(batch=batch, ordered=(), seal=None), T0)
    assert isinstance(due, Due)
    assert due.orders == first_orders(batch)
    assert [order.chunk for order in due.orders] == list(range(9))
    assert len(first_orders(batch_of(10_000, CHUNK_UNITS))) == IN_FLIGHT_UNITS // CHUNK_UNITS
    assert first_orders(batch_of(0)) == (), "nothing is to be ordered where all was settled before"


@pytest.mark.parametrize(
    ("units", "chunk_units", "in_flight"),
    [
        pytest.param(9, 3, 3, id="one chunk at a time"),
        pytest.param(9, 3, 6, id="two at a time"),
        pytest.param(20, 3, 7, id="a window that is no whole number of chunks"),
        pytest.param(20, 3, 1, id="a window smaller than a chunk"),
        pytest.param(20, 3, 1_000, id="a window larger than the batch"),
        pytest.param(3, 3, 3, id="a batch of one chunk"),
    ],
)
def test_the_first_orders_and_their_followers_fill_the_batch(units: int, chunk_units: int, in_flight: int) -> None:
    """Each chunk that ends brings the one behind the window: nobody need look at the whole."""
    batch, now = batch_of(units, chunk_units), after(7)
    first = first_orders(batch, in_flight)
    behind = [order for chunk in range(batch.chunks) if (order := follower(batch, chunk, now, in_flight))]
    window = max(1, in_flight // chunk_units)
    assert [order.chunk for order in behind] == list(range(window, batch.chunks))
    assert len(first) in (min(window, batch.chunks), min(window + 1, batch.chunks))
    assert {order.chunk for order in (*first, *behind)} == set(range(batch.chunks))
    for order in behind:
        assert order == sent(order.chunk, range(batch.size(order.chunk)), 7), "as a look would have ordered it"


# --- what is due: again -----------------------------------------------------------------------------------

EIGHTEEN = tuple(range(18))
SIX_PARTS = tuple(
    sent(0, EIGHTEEN[first : first + 3], MUTE_S, number=number, tries=2)
    for number, first in enumerate(range(0, 18, 3), start=2)
)
AGAIN = [
    pytest.param(
        record(3, heard(sent(0), 1, rest=(1, 2))), 1 + PAUSE_MAX_S, [(0, 2, 2, (1, 2))], id="what failed goes together"
    ),
    pytest.param(
        record(
            18,
            heard(sent(0, EIGHTEEN), 1, rest=EIGHTEEN),
            heard(sent(0, EIGHTEEN, 9, number=2, tries=2), 10, EIGHTEEN),
            chunk_units=18,
        ),
        10 + 2 * PAUSE_MAX_S,
        [(0, 3, TRIES_MAX, EIGHTEEN)],
        id="and together at the last try too",
    ),
    pytest.param(
        record(18, sent(0, EIGHTEEN), chunk_units=18),
        MUTE_S,
        [(0, number, 2, EIGHTEEN[first : first + 3]) for number, first in enumerate(range(0, 18, 3), start=2)],
        id="a silent order goes in parts, at most eight",
    ),
    pytest.param(
        record(3, sent(0)), MUTE_S, [(0, 2, 2, (0,)), (0, 3, 2, (1,)), (0, 4, 2, (2,))], id="a small one unit by unit"
    ),
    pytest.param(
        record(18, sent(0, EIGHTEEN), *map(heard, SIX_PARTS[:5]), SIX_PARTS[5], chunk_units=18),
        2 * MUTE_S,
        [(0, 8, 3, (15,)), (0, 9, 3, (16,)), (0, 10, 3, (17,))],
        id="a silent part, at the last try, unit by unit",
    ),
    pytest.param(
        record(
            18,
            heard(sent(0, EIGHTEEN), 1, rest=EIGHTEEN[1:]),
            sent(0, EIGHTEEN[1:], 10, number=2, tries=2),
            chunk_units=18,
        ),
        10 + MUTE_S,
        [(0, place + 2, 3, (place,)) for place in EIGHTEEN[1:]],
        id="silent after it had failed: unit by unit",
    ),
    pytest.param(
        record(3, sent(0), heard(sent(0, number=2, tries=2), 200, rest=(1,))),
        200 + 2 * PAUSE_MAX_S,
        [(0, 3, 3, (1,))],
        id="failed after it had been silent: together",
    ),
    pytest.param(
        record(3, heard(sent(0), 205, rest=(2,)), sent(0, (0, 1, 2), 150, number=2, tries=2)),
        150 + MUTE_S,
        [(0, 3, 3, (2,))],
        id="what a late report has ended is ordered no more",
    ),
    pytest.param(
        record(3, heard(sent(0), 12, rest=(1, 2)), heard(sent(0, (0, 1, 2), 1, number=2, tries=2), 12, rest=(0, 2))),
        12 + 2 * PAUSE_MAX_S,
        [(0, 3, 3, (2,))],
        id="of two reports that did not know of each other, what neither ended",
    ),
    pytest.param(
        record(6, heard(sent(0), 1, rest=(0,)), heard(sent(1), 1, rest=(2,))),
        1 + PAUSE_MAX_S,
        [(0, 2, 2, (0,)), (1, 2, 2, (2,))],
        id="chunk by chunk, each with its own numbers",
    ),
]


@pytest.mark.parametrize(("seen", "now_s", "wanted"), AGAIN)
def test_units_are_ordered_again(
    seen: BatchRecord, now_s: float, wanted: list[tuple[int, int, int, tuple[int, ...]]]
) -> None:
    assert orders(decide_batch(seen, after(now_s))) == wanted


def test_a_chunk_of_usual_size_goes_in_parts_of_seven_when_it_was_silent() -> None:
    seen = record(CHUNK_UNITS, sent(0, range(CHUNK_UNITS)), chunk_units=CHUNK_UNITS)
    parts = [places for _, _, tries, places in orders(decide_batch(seen, after(MUTE_S))) if tries == 2]
    assert [len(places) for places in parts] == [7] * 7 + [1]
    assert len(parts) == PARTS
    assert [place for places in parts for place in places] == list(range(CHUNK_UNITS))


def test_a_unit_that_kills_its_worker_ends_alone() -> None:
    """Whatever holds it stays silent: at the last try it is by itself, and all its neighbours are done."""
    batch, poison, now = batch_of(18, 18), 13, T0
    ordered = first_orders(batch)
    for _ in range(TRIES_MAX - 1):
        now += timedelta(seconds=MUTE_S)
        at_s = (now - T0).total_seconds() - 1
        ordered = tuple(each if each.reported_at or poison in each.places else heard(each, at_s) for each in ordered)
        due = decide_batch(BatchRecord(batch=batch, ordered=ordered, seal=None), now)
        assert isinstance(due, Due)
        ordered += due.orders
    assert [each.places for each in ordered if each.tries == TRIES_MAX] == [(12,), (13,), (14,)]
    ordered = tuple(each if poison in each.places else heard(each, 400) for each in ordered)
    seen = BatchRecord(batch=batch, ordered=ordered, seal=None)
    busy = decide_batch(seen, after(400 + MUTE_S - 1))
    assert isinstance(busy, Due), "workers that have just reported may still come to it"
    assert not busy.orders
    end = decide_batch(seen, after(400 + MUTE_S))
    assert end == Sealed(kind=SealKind.EXPIRED, reason="1 of 18 units stayed silent at every try")


def test_an_order_is_silent_when_it_has_had_its_time_and_not_a_moment_earlier() -> None:
    seen = record(3, sent(0))
    assert orders(decide_batch(seen, after(MUTE_S - A_MOMENT_S))) == []
    assert len(orders(decide_batch(seen, after(MUTE_S)))) == 3


def test_what_is_to_go_again_and_finds_no_room_is_looked_at_soon() -> None:
    """The chunks that end let others out and bring no look: a minute each would be the price of one failure."""
    due = decide_batch(record(6, heard(sent(0), 1, rest=(1,)), sent(1)), after(20), in_flight=3)
    assert (orders(due), due.next_look_at) == ([], after(20 + RETRY_S))  # type: ignore[union-attr]


def test_what_failed_or_stayed_silent_goes_before_what_was_never_ordered() -> None:
    seen = record(12, heard(sent(0), MUTE_S - 20, rest=(1,)), sent(1), heard(sent(2)))
    assert orders(decide_batch(seen, after(MUTE_S), in_flight=4)) == [
        (0, 2, 2, (1,)),
        (1, 2, 2, (0,)),
        (1, 3, 2, (1,)),
        (1, 4, 2, (2,)),
    ], "and it fills the window first"
    assert orders(decide_batch(seen, after(MUTE_S), in_flight=5))[-1] == (3, 1, 1, (0, 1, 2))
    assert orders(decide_batch(seen, after(MUTE_S), in_flight=2)) == [(0, 2, 2, (1,)), (1, 2, 2, (0,))]


def waits_for_s(chunk: int, tries: int, attempt: int = 1) -> float:
    """How long after its report an order that failed goes again; decided to the microsecond."""
    batch = batch_of(3 * (chunk + 1), start=replace(START, attempt=attempt))
    order = heard(sent(chunk, number=tries, tries=tries), 10, rest=(0, 1, 2))
    others = [heard(sent(other)) for other in range(chunk)]
    due = decide_batch(BatchRecord(batch=batch, ordered=(*others, order), seal=None), after(10))
    assert isinstance(due, Due)
    seen = BatchRecord(batch=batch, ordered=(*others, order), seal=None)
    assert not orders(decide_batch(seen, due.next_look_at - timedelta(microseconds=1)))
    assert orders(decide_batch(seen, due.next_look_at)) == [(chunk, tries + 1, tries + 1, (0, 1, 2))]
    return (due.next_look_at - after(10)).total_seconds()


@pytest.mark.parametrize("tries", range(1, TRIES_MAX))
def test_the_pause_doubles_and_differs_from_chunk_to_chunk(tries: int) -> None:
    """Half to one and a half times the pause, spread over it: what failed together does not come back together."""
    usual_s = RETRY_S * 2 ** (tries - 1)
    pauses = [waits_for_s(chunk, tries) / usual_s for chunk in range(40)]
    assert all(0.5 <= pause <= 1.5 for pause in pauses)
    assert min(pauses) < 0.65
    assert max(pauses) > 1.35
    assert len(set(pauses)) == len(pauses)
    assert pauses == [waits_for_s(chunk, tries) / usual_s for chunk in range(40)], "the same at every look"
    assert pauses != [waits_for_s(chunk, tries, attempt=2) / usual_s for chunk in range(40)], "another for each batch"


# --- what is due: the end ----------------------------------------------------------------------------------

ENDED = Sealed(kind=SealKind.ENDED, reason="every unit has ended")
ENDS = [
    pytest.param(record(0), 0, ENDED, id="nothing was to be ordered"),
    pytest.param(record(6, heard(sent(0)), heard(sent(1))), 5, ENDED, id="everything is reported"),
    pytest.param(
        record(6, heard(sent(0)), heard(sent(1))),
        DEADLINE_S + 60,
        ENDED,
        id="everything was, and nobody looked in time",
    ),
    pytest.param(
        record(3, sent(0), heard(sent(0, number=2, tries=2), 200)),
        201,
        ENDED,
        id="a later try made up for a silent one",
    ),
    pytest.param(
        record(3, heard(sent(0), 200), sent(0, at_s=150, number=2, tries=2)),
        201,
        ENDED,
        id="an earlier order was reported late, and nobody need wait for the later one",
    ),
    pytest.param(
        record(
            3,
            sent(0),
            *(heard(sent(0, (place,), 150, number=2 + place, tries=2), 151) for place in range(3)),
        ),
        152,
        ENDED,
        id="part by part",
    ),
    pytest.param(
        record(3, heard(sent(0), 12, rest=(1,)), heard(sent(0, number=2, tries=2), 12, rest=(0, 2))),
        12,
        ENDED,
        id="two reports weighed at the same time, and each had what the other lacked",
    ),
    pytest.param(
        record(3, heard(sent(0, number=3, tries=TRIES_MAX), 1, rest=(1,))),
        1,
        ENDED,
        id="a unit failed for a passing reason at the last try",
    ),
    pytest.param(
        record(3, sent(0, number=3, tries=TRIES_MAX)),
        MUTE_S,
        Sealed(kind=SealKind.EXPIRED, reason="3 of 3 units stayed silent at every try"),
        id="none was ever heard of, which is no good end",
    ),
    pytest.param(
        record(6, heard(sent(0)), *(sent(1, (place,), number=4 + place, tries=TRIES_MAX) for place in (0, 2))),
        MUTE_S + 1,
        Sealed(kind=SealKind.EXPIRED, reason="2 of 6 units stayed silent at every try"),
        id="some were never heard of",
    ),
    pytest.param(
        record(6, sent(0), sent(1)),
        DEADLINE_S,
        Sealed(kind=SealKind.EXPIRED, reason="the deadline, with 6 of 6 units open"),
        id="the deadline, stuck at nothing at all",
    ),
    pytest.param(
        record(6, heard(sent(0)), heard(sent(1), rest=(2,)), settled=(skipped("x"), failed("y"))),
        DEADLINE_S,
        Sealed(kind=SealKind.EXPIRED, reason="the deadline, with 1 of 8 units open"),
        id="the deadline, with nearly all",
    ),
    pytest.param(
        record(8, heard(sent(0))),
        DEADLINE_S,
        Sealed(kind=SealKind.EXPIRED, reason="the deadline, with 5 of 8 units open"),
        id="the deadline, before everything was ordered",
    ),
    pytest.param(
        record(6, sent(0, (1,), number=4, tries=TRIES_MAX), sent(1, at_s=DEADLINE_S - 5)),
        DEADLINE_S,
        Sealed(kind=SealKind.EXPIRED, reason="the deadline, with 3 of 6 units open"),
        id="the deadline counts those that somebody may still be at",
    ),
    *(
        pytest.param(
            record(3, sent(0), seal=seal_of(batch_of(3), kind)),
            5,
            Sealed(kind=kind, reason=f"{kind}, as it is told"),
            id=f"what is {kind} stays so",
        )
        for kind in SealKind
    ),
]


@pytest.mark.parametrize(("seen", "now_s", "end"), ENDS)
def test_a_batch_ends(seen: BatchRecord, now_s: float, end: Sealed) -> None:
    assert decide_batch(seen, after(now_s)) == end


@pytest.mark.parametrize(
    ("seen", "now_s"),
    [
        pytest.param(record(6, sent(0), sent(1)), DEADLINE_S, id="the deadline"),
        pytest.param(record(3, sent(0, number=3, tries=TRIES_MAX)), MUTE_S, id="the last try"),
    ],
)
def test_a_batch_does_not_expire_a_moment_too_early(seen: BatchRecord, now_s: float) -> None:
    assert isinstance(decide_batch(seen, after(now_s - A_MOMENT_S)), Due)


def test_only_the_last_try_is_waited_for_when_all_else_is_over() -> None:
    """Silent to the end and still under way: the batch goes on until nothing more can come."""
    seen = record(6, sent(0, number=3, tries=TRIES_MAX), sent(1, at_s=100, number=3, tries=TRIES_MAX))
    assert decide_batch(seen, after(MUTE_S + 90)) == Due(orders=(), next_look_at=after(100 + MUTE_S))
    assert decide_batch(seen, after(100 + MUTE_S)) == Sealed(
        kind=SealKind.EXPIRED, reason="6 of 6 units stayed silent at every try"
    )


def test_a_consolidation_is_given_up_with_the_starts_own_time_or_when_it_has_failed_for_long() -> None:
    batch = batch_of(3)
    assert gives_up_at(batch, seal_of(batch, SealKind.ENDED)) == after(9 + CONSOLIDATE_S)
    assert gives_up_at(batch, seal_of(batch, SealKind.ENDED, at_s=DEADLINE_S + 60)) == after(START.timeout_s)


def test_how_long_a_batch_took_is_usual_where_every_unit_has_ended() -> None:
    assert [kind for kind in SealKind if seal_of(batch_of(3), kind).is_usual] == [SealKind.ENDED]


# --- what is open ------------------------------------------------------------------------------------------

OPENS = [
    pytest.param([], [], id="nothing where nothing was ordered"),
    pytest.param([sent(0)], [(1, (0, 1, 2))], id="all of a first order"),
    pytest.param([heard(sent(0))], [], id="nothing of what is reported whole"),
    pytest.param([heard(sent(0), rest=(2,))], [(1, (2,))], id="what a report has not ended"),
    pytest.param(
        [sent(0, (1,), number=3, tries=2), sent(0), sent(0, (0,), number=2, tries=2)],
        [(1, (2,)), (2, (0,)), (3, (1,))],
        id="each place by the last order that it is in, however they come",
    ),
    pytest.param(
        [heard(sent(0), 9, rest=(1, 2)), sent(0, (1, 2), number=2, tries=2)], [(2, (1, 2))], id="what is tried again"
    ),
    pytest.param(
        [heard(sent(0), 200, rest=(1,)), sent(0, number=2, tries=2)], [(2, (1,))], id="less, after a late report"
    ),
    pytest.param(
        [heard(sent(0), 200, rest=(1,)), sent(0, (0, 1), number=2, tries=2), sent(0, (2,), number=3, tries=2)],
        [(2, (1,))],
        id="nothing of an order that a late report has made needless",
    ),
    pytest.param(
        [heard(sent(0, number=3, tries=TRIES_MAX), rest=(0, 1, 2))], [], id="nothing after a reported last try"
    ),
    pytest.param(
        [heard(sent(0, number=2, tries=TRIES_MAX - 1), rest=(0,))], [(2, (0,))], id="what the last but one left"
    ),
    pytest.param([sent(0, (2,), number=3, tries=TRIES_MAX)], [(3, (2,))], id="a silent last try, for ever"),
]


@pytest.mark.parametrize(("ordered", "expected"), OPENS)
def test_what_of_a_chunk_has_not_ended(ordered: list[Ordered], expected: list[tuple[int, tuple[int, ...]]]) -> None:
    found = open_in(ordered)
    assert [(each.order.number, each.places) for each in found] == expected
    assert all(each.order in ordered for each in found)
    assert open_in(reversed(ordered)) == found


def test_what_is_open_stands_in_order_of_chunk_and_number() -> None:
    seen = record(9, sent(2), sent(0, (1,), number=2, tries=2), sent(0), heard(sent(1), rest=(0,)))
    assert [(each.order.chunk, each.order.number, each.is_under_way) for each in open_orders(seen)] == [
        (0, 1, True),
        (0, 2, True),
        (1, 1, False),
        (2, 1, True),
    ]


UNDER_WAY = [
    pytest.param(record(6, sent(1), sent(0)), (sent(0), sent(1)), id="what nobody has reported"),
    pytest.param(record(6, heard(sent(0)), heard(sent(1), rest=(1,))), (), id="not what has ended or pauses"),
    pytest.param(
        record(3, sent(0), sent(0, number=2, tries=2)),
        (sent(0, number=2, tries=2),),
        id="not what was ordered anew since",
    ),
    pytest.param(record(3, sent(0), heard(sent(0, number=2, tries=2))), (), id="not a silent try that was made up for"),
    pytest.param(
        record(3, sent(0, (1,), number=5, tries=TRIES_MAX)),
        (sent(0, (1,), number=5, tries=TRIES_MAX),),
        id="the last try too, however long it is silent",
    ),
]


@pytest.mark.parametrize(("seen", "expected"), UNDER_WAY)
def test_the_orders_that_somebody_should_be_at(seen: BatchRecord, expected: tuple[Ordered, ...]) -> None:
    assert under_way(seen) == expected


# --- how far it is -----------------------------------------------------------------------------------------

STALLS = [
    pytest.param(record(6, sent(0), sent(1)), STALLED_S, id="nothing was ever reported"),
    pytest.param(record(6), STALLED_S, id="nothing was ever ordered"),
    pytest.param(record(6, heard(sent(0), 70), heard(sent(1), 20)), 70 + STALLED_S, id="since the last report"),
    pytest.param(
        record(3, heard(sent(0), 70, (0, 1, 2)), sent(0, at_s=300, number=2, tries=2)),
        70 + STALLED_S,
        id="a report that ended nothing is a sign of life; an order is none",
    ),
]


@pytest.mark.parametrize(("seen", "from_s"), STALLS)
def test_a_batch_is_stalled_that_has_made_no_progress_for_long(seen: BatchRecord, from_s: float) -> None:
    assert stalled(seen, after(from_s))
    assert not stalled(seen, after(from_s - A_MOMENT_S))
    assert not stalled(replace(seen, seal=seal_of(seen.batch, SealKind.ENDED)), after(from_s + 3_600)), "it has ended"


Figures = tuple[
    int, int, int, int, float, float | None
]  # ended, under way, to try again, never ordered, per s, through

PROGRESS = [
    pytest.param(record(9), 10, (0, 0, 0, 9, 0.0, None), id="before anything is ordered nobody can say"),
    pytest.param(record(9, sent(0), sent(1)), 10, (0, 6, 0, 3, 0.0, None), id="nothing has ended yet"),
    pytest.param(
        record(9, heard(sent(0)), sent(1)), 10, (3, 3, 0, 3, 0.3, 10 + 6 / 0.3), id="a third has ended: twice as long"
    ),
    pytest.param(
        record(9, heard(sent(0), rest=(1,)), heard(sent(1)), sent(2)),
        5,
        (5, 3, 1, 0, 1.0, 9),
        id="what failed waits to be tried again",
    ),
    pytest.param(
        record(3, heard(sent(0), rest=(1, 2)), sent(0, (2, 1), number=2, tries=2)),
        4,
        (1, 2, 0, 0, 0.25, 12),
        id="and then is under way",
    ),
    pytest.param(record(6, heard(sent(0)), heard(sent(1))), 12, (6, 0, 0, 0, 0.5, 12), id="all have ended: now"),
    pytest.param(
        record(3, heard(sent(0)), settled=(skipped("x"), failed("y"))),
        6,
        (5, 0, 0, 0, 0.5, 6),
        id="what was settled before has ended, and says nothing of the rate",
    ),
    pytest.param(record(0, settled=(skipped("x"),)), 5, (1, 0, 0, 0, 0.0, None), id="nothing but settled units"),
    pytest.param(
        record(9, heard(sent(0)), sent(1), seal=seal_of(batch_of(9), SealKind.EXPIRED, at_s=30)),
        500,
        (3, 3, 0, 3, 0.1, None),
        id="a sealed one: as it was at its end, and it goes on no more",
    ),
    pytest.param(
        record(3, heard(sent(0), 0)), 0, (3, 0, 0, 0, 3_000.0, 0), id="at its very beginning the rate stays a number"
    ),
]


@pytest.mark.parametrize(("seen", "now_s", "figures"), PROGRESS)
def test_how_far_a_batch_is(seen: BatchRecord, now_s: float, figures: Figures) -> None:
    found = progress(seen, after(now_s))
    through_s = (found.ends_at - T0).total_seconds() if found.ends_at else None
    counts = (found.ended, found.under_way, found.to_try_again, found.never_ordered)
    assert (*counts, pytest.approx(found.per_s), through_s and pytest.approx(through_s)) == figures
    assert sum(counts) == seen.batch.total


SLOW = sent(2, at_s=50)
STRAGGLERS = [
    pytest.param(record(9, sent(0)), NOBODY_S, (sent(0),), id="half a minute, where nobody has reported"),
    pytest.param(
        record(9, heard(sent(0), 1), heard(sent(1), 2), SLOW),
        50 + STRAGGLES_S,
        (SLOW,),
        id="some seconds, where the others were quick: a message may wait that long",
    ),
    pytest.param(
        record(12, heard(sent(0), 10), heard(sent(1), 20), heard(sent(3), 99), SLOW),
        50 + STRAGGLES * 20,
        (SLOW,),
        id="three times the median of the others, whatever the slowest of them took",
    ),
    pytest.param(
        record(9, heard(sent(0), 10), heard(sent(1), 30), SLOW),
        50 + STRAGGLES * 30,
        (SLOW,),
        id="of two, the slower one",
    ),
    pytest.param(
        record(9, heard(sent(0), 1), SLOW, seal=seal_of(batch_of(9), SealKind.SEALED, at_s=50 + STRAGGLES_S)),
        50 + STRAGGLES_S,
        (SLOW,),
        id="what a seal cut off",
    ),
]


@pytest.mark.parametrize(("seen", "from_s", "stragglers"), STRAGGLERS)
def test_orders_that_take_far_longer_than_the_others(
    seen: BatchRecord, from_s: float, stragglers: tuple[Ordered, ...]
) -> None:
    assert progress(seen, after(from_s)).stragglers == stragglers
    if seen.seal is None:
        assert progress(seen, after(from_s - A_MOMENT_S)).stragglers == ()
    else:
        assert progress(replace(seen, seal=replace(seen.seal, at=after(55))), after(from_s)).stragglers == ()


def test_what_failed_is_no_straggler() -> None:
    assert progress(record(3, heard(sent(0), rest=(0,))), after(500)).stragglers == ()


# --- chunks, and what a report may say and leaves open ----------------------------------------------------------


def test_the_same_units_give_the_same_chunks() -> None:
    units = units_of(2 * CHUNK_UNITS + 1)
    chunks = chunked(units)
    assert [len(chunk.units) for chunk in chunks] == [CHUNK_UNITS, CHUNK_UNITS, 1]
    assert [unit for chunk in chunks for unit in chunk.units] == list(units)
    assert chunked([]) == ()


def test_a_batch_knows_the_size_of_its_chunks_and_what_it_is_like() -> None:
    batch = batch_of(8, settled=(skipped("x"),))
    assert [batch.size(chunk.number) for chunk in chunks_of(batch)] == [len(c.units) for c in chunks_of(batch)]
    assert batch.total == 9
    assert batch.id == "nba.2024-01-15.same_day.1/predictions/1"
    assert batch.like == "nba.same_day.predictions"


CHUNK = chunks_of(batch_of(3))[0]

RESTS = [
    pytest.param(report(result("u0"), result("u1"), result("u2")), sent(0), (), id="none where all have ended"),
    pytest.param(report(skipped("u0"), failed("u1"), result("u2")), sent(0), (), id="skipped and failed is ended too"),
    pytest.param(report(result("u0"), passing("u1"), result("u2")), sent(0), (1,), id="what is to be tried again"),
    pytest.param(report(result("u0"), failed("u1")), sent(0), (2,), id="what the worker is mute about"),
    pytest.param(report(), sent(0), (0, 1, 2), id="all, where it is mute about all"),
    pytest.param(report(result("u2")), sent(0, (2, 1)), (1,), id="of its own order alone, whatever others have ended"),
]


@pytest.mark.parametrize(("said", "order", "rest"), RESTS)
def test_what_a_report_leaves_open(said: ChunkReport, order: Ordered, rest: tuple[int, ...]) -> None:
    assert rest_after(said, CHUNK, order) == rest


STRANGE = [
    pytest.param(report(result("u0"), chunk=4), None, sent(0), "has no chunk 4", id="an unknown chunk"),
    pytest.param(report(result("u0"), number=2), CHUNK, None, "order 2 was never given", id="what nobody ordered"),
    pytest.param(report(result("u4")), CHUNK, sent(0), "unit 'u4' is not in order 1", id="a unit of another chunk"),
    pytest.param(report(result("u0")), CHUNK, sent(0, (1, 2)), "'u0' is not in order 1", id="a unit of another order"),
    pytest.param(report(result("u0"), result("u0")), CHUNK, sent(0), "a unit is there twice", id="one unit twice"),
    pytest.param(
        report(result("u0", UnitState.EXPIRED)), CHUNK, sent(0), "coordinator's word", id="a worker that says expired"
    ),
    pytest.param(
        report(result("u0", again=True)), CHUNK, sent(0), "but has not failed", id="done, and to be tried again"
    ),
    pytest.param(
        report(skipped("u0", "")), CHUNK, sent(0), "u0 is skipped and does not say why", id="skipped without a reason"
    ),
    pytest.param(
        report(result("u0"), passing("u1"), skipped("u2")), CHUNK, sent(0), "", id="nothing about a report of all"
    ),
    pytest.param(report(), CHUNK, sent(0), "", id="nothing about silence on every unit"),
    pytest.param(report(result("u2")), CHUNK, sent(0, (2,), number=7), "", id="nothing about a part of a chunk"),
]


@pytest.mark.parametrize(("said", "chunk", "order", "why"), STRANGE)
def test_what_is_strange_about_a_report(
    said: ChunkReport, chunk: Chunk | None, order: Ordered | None, why: str
) -> None:
    refused = strange(said, chunk, order)
    assert (why in refused) if why else refused == ""


def test_an_endless_unit_of_another_chunk_is_told_short() -> None:
    assert len(strange(report(result("x" * 9_000)), CHUNK, sent(0))) < 300


def test_records_survive_being_written_and_read() -> None:
    whole = report(result("u0", output='[{"value": 1.5}]'), passing("u1"))
    assert decode(ChunkReport, encode(whole)) == whole
    order = ChunkOrder(start=START, chunk=0, number=1, shared="{}", units=CHUNK.units)
    assert decode(ChunkOrder, encode(order)) == order
    ready = ChunkReady(start=START, chunk=0, number=1)
    assert decode(ChunkReady, encode(ready)) == ready
    assert order.batch == whole.batch == ready.batch == batch_of(3).id
    batch = batch_of(3, settled=(skipped("x"),), deadline_from="history", quality_min=0.5, override=ANN, healed=("u1",))
    assert decode(Batch, encode(batch)) == batch
    seal = seal_of(batch, SealKind.CANCELLED, act=ANN, incident="look")
    assert decode(Seal, encode(seal)) == seal
    assert decode(Chunk, encode(CHUNK)) == CHUNK
    assert decode(Ordered, encode(heard(sent(0), rest=(1,)))) == heard(sent(0), rest=(1,))


# --- whatever was recorded -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(1, 6),
            st.integers(1, TRIES_MAX),
            st.sets(st.integers(0, 2), min_size=1),
            st.none() | st.integers(0, 2_000),
            st.sets(st.integers(0, 2)),
        ),
        max_size=12,
        unique_by=lambda each: each[:2],
    ),
    st.integers(0, 3_000),
    st.integers(1, 20),
)
def test_any_record_has_a_next_look_or_an_end(
    rows: list[tuple[int, int, int, set[int], int | None, set[int]]], now_s: int, in_flight: int
) -> None:
    """Also one that this code would never have written."""
    given = [sent(chunk, sorted(places), number=n, tries=tries) for chunk, n, tries, places, _, _ in rows]
    ordered = [
        order if at_s is None else heard(order, at_s, sorted(rest & places))
        for order, (_, _, _, places, at_s, rest) in zip(given, rows, strict=True)
    ]
    found = decide_batch(record(12, *ordered), after(now_s), in_flight)
    assert decide_batch(record(12, *reversed(ordered)), after(now_s), in_flight) == found
    if isinstance(found, Due):
        assert after(now_s) < found.next_look_at <= after(min(DEADLINE_S, now_s + LOOK_S))
        numbers = [(order.chunk, order.number) for order in found.orders]
        assert len({*numbers, *((order.chunk, order.number) for order in ordered)}) == len(numbers) + len(ordered)
        assert all(1 <= order.tries <= TRIES_MAX and order.places for order in found.orders)
    else:
        assert now_s >= DEADLINE_S or found.kind in (SealKind.ENDED, SealKind.EXPIRED)
