"""What travels on the bus keeps its bounds: a value or Malformed, whatever anyone sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.batch import ChunkOrder, ChunkReady, Unit
from shared.core.codec import Malformed, encode
from shared.core.messages import (
    BODY_BYTES_MAX,
    FENCE_MAX,
    TEXT_MAX,
    UNITS_MAX,
    Nudge,
    completion_message,
    named,
    order_message,
    read_completion,
    read_nudge,
    read_order,
    read_ready,
    read_start,
    ready_message,
    run_of,
    start_message,
)
from shared.core.model import Completion, Missing, RunKey, Start, Status
from shared.core.plan import fence

NOON = datetime(2024, 1, 15, 12, tzinfo=timezone.utc)
RUN = RunKey("nba", date(2024, 1, 15), "overnight")

START = Start(
    run=RUN,
    phase="raw",
    processor="player_boxscores",
    attempt=2,
    fence=fence(3, 1, 2),
    partition=date(2024, 1, 15),
    timeout_s=300,
    issued_at=NOON,
    units=("0022300561", "0022300562"),
    inputs={"boxscores": "abc"},
    completeness=0.95,
    missing=(Missing(processor="team_boxscores", why="failed: network", units=("0022300562",)),),
    config_hash="0123456789ab",
)
COMPLETION = Completion(
    run=RUN,
    phase="raw",
    processor="player_boxscores",
    attempt=2,
    report=3,
    status=Status.PARTIAL,
    reason="one game is not final",
    units_expected=2,
    units_actual=1,
    missing=("0022300562",),
    rows=26,
    duration_s=1.5,
    digest="d1",
    found={"games": ("0022300561",)},
    retry_at=NOON,
)
ORDER = ChunkOrder(
    start=START, chunk=3, number=2, shared='{"intercept": 0.5}', units=(Unit(id="201939", inputs='{"games": 9}'),)
)
READY = ChunkReady(start=START, chunk=3, number=2, look=False)
NUDGE = Nudge(pipeline="nba", mode="overnight", date="YESTERDAY", scheduled_at=NOON, act="start")
SWEEP = Nudge(pipeline="nba", mode="", date="", scheduled_at=NOON, act="sweep")
RECOVER = Nudge(pipeline="nba", mode="", date="", scheduled_at=NOON, act="recover")

READERS: list[tuple[Callable[[bytes], object], object]] = [
    (read_start, START),
    (read_completion, COMPLETION),
    (read_nudge, NUDGE),
    (read_order, ORDER),
    (read_ready, READY),
]


@pytest.mark.parametrize(
    ("read", "value"),
    [
        pytest.param(read_start, START, id="a start with everything in it"),
        pytest.param(
            read_start,
            Start(
                run=RUN,
                phase="raw",
                processor="x",
                attempt=1,
                fence=0,
                partition=date(2024, 1, 15),
                timeout_s=1,
                issued_at=NOON,
            ),
            id="a start with the least in it",
        ),
        pytest.param(read_completion, COMPLETION, id="a completion with everything in it"),
        pytest.param(
            read_completion,
            Completion(run=RUN, phase="raw", processor="x", attempt=1, report=1, status=Status.SUCCESS),
            id="a completion with the least in it",
        ),
        pytest.param(read_order, ORDER, id="an order of a chunk"),
        pytest.param(read_ready, READY, id="a worker's word that a chunk is ready"),
        pytest.param(read_ready, ChunkReady(start=START, chunk=0, number=1), id="a word with the least in it"),
        pytest.param(read_nudge, NUDGE, id="a nudge"),
        pytest.param(read_nudge, SWEEP, id="a sweep names no mode and no date"),
        pytest.param(read_nudge, RECOVER, id="nor does a recovery of the batches that are stalled"),
    ],
)
def test_a_message_reads_as_it_was_written(read: Callable[[bytes], object], value: object) -> None:
    assert read(encode(value)) == value


def test_attributes_name_run_phase_and_attempt() -> None:
    start, completion = start_message(START, "go"), completion_message(COMPLETION, "done")
    names = {
        "run": "nba.2024-01-15.overnight.1",
        "phase": "raw",
        "processor": "player_boxscores",
        "attempt": "2",
    }
    assert (start.topic, start.attributes, read_start(start.data)) == ("go", names, START)
    assert (completion.topic, completion.attributes, read_completion(completion.data)) == ("done", names, COMPLETION)
    order, ready = order_message(ORDER, "work"), ready_message(READY, "ready")
    assert (order.topic, order.attributes, read_order(order.data)) == ("work", {**names, "chunk": "3"}, ORDER)
    assert (ready.topic, ready.attributes, read_ready(ready.data)) == ("ready", {**names, "chunk": "3"}, READY)


def test_ids_and_marks_follow_from_the_value() -> None:
    assert START.id == "nba.2024-01-15.overnight.1/raw/player_boxscores/2"
    assert COMPLETION.id == "raw/player_boxscores/2/3"
    assert COMPLETION.mark == "d1"


def altered(value: object, **changes: object) -> bytes:
    return json.dumps(json.loads(encode(value)) | changes).encode()


HUGE = 10**4_000

HOPELESS = [
    pytest.param(read_start, altered(START, phase="Raw"), "phase: expected a name", id="a phase in capitals"),
    pytest.param(read_start, altered(START, processor=""), "processor: expected a name", id="no processor"),
    pytest.param(read_start, altered(START, attempt=0), "attempt: expected 1 to 9999, got 0", id="attempt zero"),
    pytest.param(read_start, altered(START, attempt=HUGE), "attempt: expected 1 to 9999", id="an astronomic attempt"),
    pytest.param(read_start, altered(START, fence=-1), "fence: expected 0 to", id="a fence below all"),
    pytest.param(read_start, altered(START, fence=FENCE_MAX + 1), "fence: expected 0 to", id="a fence above all"),
    pytest.param(read_start, altered(START, timeout_s=86_401), "timeout_s: expected", id="more than a day to work"),
    pytest.param(read_start, encode(COMPLETION), "Start: unknown key", id="a completion on a start topic"),
    pytest.param(read_completion, encode(START), "Completion: unknown key", id="a start on a completion topic"),
    pytest.param(read_completion, altered(COMPLETION, report=0), "report: expected", id="report zero"),
    pytest.param(read_completion, altered(COMPLETION, report=10_000), "report: expected", id="report ten thousand"),
    pytest.param(read_completion, altered(COMPLETION, units_actual=-1), "units_actual: expected", id="minus one unit"),
    pytest.param(read_completion, altered(COMPLETION, units_expected=HUGE), "units_expected:", id="astronomic units"),
    pytest.param(read_completion, altered(COMPLETION, rows=-1), "rows: expected", id="minus one row"),
    pytest.param(read_completion, altered(COMPLETION, duration_s=-0.1), "duration_s: expected", id="done before begun"),
    pytest.param(read_completion, altered(COMPLETION, duration_s=HUGE), "duration_s: expected", id="an endless one"),
    pytest.param(
        read_completion,
        altered(COMPLETION, missing=["u"] * (UNITS_MAX + 1)),
        "missing: expected 0 to",
        id="units missing",
    ),
    pytest.param(
        read_completion,
        altered(COMPLETION, found={"a": ["u"] * UNITS_MAX, "b": ["u"]}),
        "found: expected 0 to",
        id="too many units found in all",
    ),
    pytest.param(
        read_completion, altered(COMPLETION, reason="x" * (TEXT_MAX + 1)), "reason: 1001 characters", id="a long reason"
    ),
    pytest.param(read_completion, altered(COMPLETION, digest="x" * 9_999), "digest: 9999 char", id="a long digest"),
    pytest.param(
        read_completion, altered(COMPLETION, missing=["a", "x" * 1_001]), "missing.1.: 1001 char", id="a long unit"
    ),
    pytest.param(
        read_completion,
        altered(COMPLETION, status="skipped", reason=""),
        "reason: a skipped processor must say why",
        id="skipped without a reason",
    ),
    pytest.param(read_completion, altered(COMPLETION, run="nba"), "run: expected a run", id="no run"),
    pytest.param(read_order, altered(ORDER, chunk=-1), "chunk: expected 0 to", id="a chunk below the first"),
    pytest.param(read_order, altered(ORDER, number=0), "number: expected 1 to", id="try zero"),
    pytest.param(read_order, altered(ORDER, units=[]), "units: expected 1 to", id="an order for nobody"),
    pytest.param(
        read_order, altered(ORDER, units=[{"id": "x" * 9_999, "inputs": ""}]), "units.0.: 9999 char", id="an endless id"
    ),
    pytest.param(
        read_order,
        altered(ORDER, start=json.loads(altered(START, attempt=0))),
        "attempt: expected 1 to",
        id="an order of no attempt",
    ),
    pytest.param(read_order, altered(ORDER, number=10_000), "number: expected 1 to", id="an order too many"),
    pytest.param(read_order, altered(ORDER, chunk=UNITS_MAX + 1), "chunk: expected 0 to", id="a chunk above the last"),
    pytest.param(read_ready, altered(READY, chunk=-1), "chunk: expected 0 to", id="a ready chunk below the first"),
    pytest.param(read_ready, altered(READY, chunk=UNITS_MAX + 1), "chunk: expected 0 to", id="one above the last"),
    pytest.param(read_ready, altered(READY, number=0), "number: expected 1 to", id="a ready order before the first"),
    pytest.param(read_ready, altered(READY, number=10_000), "number: expected 1 to", id="a ready order too many"),
    pytest.param(read_ready, altered(READY, look=1), "look: expected", id="a hint that is neither yes nor no"),
    pytest.param(
        read_ready,
        altered(READY, start=json.loads(altered(START, timeout_s=0))),
        "timeout_s: expected 1 to",
        id="a word about a start that can be none",
    ),
    pytest.param(read_ready, encode(ORDER), "ChunkReady: ", id="an order on a ready topic"),
    pytest.param(
        read_ready, altered(READY, results=[]), "ChunkReady: unknown key", id="results, which travel no more by message"
    ),
    pytest.param(read_nudge, altered(NUDGE, pipeline="n.b.a"), "pipeline: expected a name", id="dots in a name"),
    pytest.param(read_nudge, altered(NUDGE, mode=""), "mode: expected a name", id="a start without a mode"),
    pytest.param(read_nudge, altered(NUDGE, date="2024-01-15"), "date: expected one of YESTERDAY", id="a real date"),
    pytest.param(read_nudge, altered(NUDGE, schedule="a b"), "schedule: expected a name", id="no name of a schedule"),
    pytest.param(read_nudge, altered(NUDGE, schedule="x" * 64), "schedule: expected", id="a schedule's name too long"),
    pytest.param(read_nudge, altered(NUDGE, act="stop"), "act: expected one of start", id="an unknown act"),
    pytest.param(read_nudge, altered(SWEEP, act="nudge"), "mode: expected a name", id="a nudge without a mode"),
    pytest.param(read_nudge, altered(RECOVER, pipeline=""), "pipeline: expected a name", id="a recovery of nothing"),
    pytest.param(
        read_nudge,
        altered(NUDGE, scheduled_at="0001-01-01T00:00:00Z"),
        "scheduled_at: expected 2000 to 9000, got 1",
        id="a time that is no date further west",
    ),
    pytest.param(
        read_nudge,
        altered(NUDGE, scheduled_at="9999-12-31T23:59:59Z"),
        "scheduled_at: expected 2000 to 9000, got 9999",
        id="a time that has no tomorrow",
    ),
]


@pytest.mark.parametrize(("read", "body", "says"), HOPELESS)
def test_what_can_never_work_is_malformed_and_says_why(read: Callable[[bytes], object], body: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says) as raised:
        read(body)
    assert len(str(raised.value)) < 300, "an error text must not carry the payload"


def test_the_largest_bounds_are_allowed() -> None:
    body = altered(
        COMPLETION,
        attempt=9_999,
        report=9_999,
        reason="x" * TEXT_MAX,
        missing=["u" * 20] * UNITS_MAX,
        found={"players": ["u" * 20] * UNITS_MAX},
    )
    assert len(body) <= BODY_BYTES_MAX
    assert len(read_completion(body).missing) == UNITS_MAX


@pytest.mark.parametrize(("read", "value"), READERS)
def test_a_body_of_nine_megabytes_is_refused_unread(read: Callable[[bytes], object], value: object) -> None:
    body = encode(value) + b" " * 9_000_000
    with pytest.raises(Malformed, match="bytes, at most 1000000"):
        read(body)
    assert read(body[:BODY_BYTES_MAX]) == value


def values(of: object) -> st.SearchStrategy[dict[str, object]]:
    """Some of a good message's keys, replaced with anything JSON can say."""
    leaf = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([HUGE, -HUGE, "\ud800"])
    )
    anything = st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )
    return st.dictionaries(st.sampled_from(sorted(json.loads(encode(of)))), anything, max_size=3)


@pytest.mark.parametrize(("read", "value"), READERS)
@given(data=st.data())
def test_a_hostile_message_is_a_value_that_can_be_kept_or_malformed(
    read: Callable[[bytes], object], value: object, data: st.DataObject
) -> None:
    try:
        found = read(altered(value, **data.draw(values(value))))
    except Malformed as error:
        str(error).encode()
    else:
        assert read(encode(found)) == found


@pytest.mark.parametrize(("read", "_value"), READERS)
@given(body=st.binary(max_size=300))
def test_any_bytes_are_a_value_or_malformed(read: Callable[[bytes], object], _value: object, body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize(
    ("attributes", "run"),
    [
        pytest.param({"run": "nba.2024-01-15.overnight.1"}, RUN, id="a run"),
        pytest.param({}, None, id="no run"),
        pytest.param({"run": "nba"}, None, id="a text that is no run"),
    ],
)
def test_a_log_line_can_name_the_run_of_any_message(attributes: dict[str, str], run: RunKey | None) -> None:
    assert run_of(attributes) == run


# --- what is missing, in one line ---------------------------------------------------------------------


def lacks(processor: str, units: int = 0) -> Missing:
    return Missing(processor=processor, why="is late", units=tuple(f"g{number}" for number in range(1, units + 1)))


FIFTEEN = ", ".join(f"g{number}" for number in range(1, 16))


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        pytest.param((), "", id="nothing"),
        pytest.param((lacks("a", 1),), "a[g1]", id="a unit"),
        pytest.param((lacks("a", 2), lacks("night of x")), "a[g1, g2]; night of x", id="units and a whole one"),
        pytest.param((lacks("a", 15),), f"a[{FIFTEEN}]", id="all of a full night"),
        pytest.param((lacks("a", 17),), f"a[{FIFTEEN} and 2 more]", id="of more units so many, the others counted"),
        pytest.param(
            tuple(lacks(letter * 199) for letter in "abcdefg"),
            "; ".join(letter * 199 for letter in "abcd") + "; and 3 more",
            id="as many as fit, the others counted",
        ),
        pytest.param((lacks("a" * 2_000),), "and 1 more", id="one that does not fit by itself is counted"),
        pytest.param((lacks("a" * TEXT_MAX),), "a" * TEXT_MAX, id="one that just fits"),
    ],
)
def test_what_is_missing_is_named_in_a_bounded_line(missing: tuple[Missing, ...], line: str) -> None:
    assert named(missing) == line
    assert len(line) <= TEXT_MAX
