"""How a batch ends: each unit in one state, what of it is written, what its gate hears, when a person must look."""

from __future__ import annotations

from itertools import permutations

import pytest

from shared.core.batch import NO_HISTORY, ChunkReport, SealKind, UnitResult, UnitState
from shared.core.model import Completion, Status
from shared.core.tally import (
    REASONS_TOLD,
    STALL_SHARE,
    UNITS_NAMED,
    Tally,
    Wrote,
    conclude,
    incident_of,
    merges,
    so_far,
    tally,
)
from tests.unit.batches import START, batch_of, chunks_of, failed, passing, report, result, seal_of, skipped

BATCH = batch_of(3)


def expired(unit: str) -> UnitResult:
    return result(unit, UnitState.EXPIRED, reason="nobody reported it in time")


# --- the count ---------------------------------------------------------------------------------------------


TALLIES = [
    pytest.param([report(result("u0"), result("u1"), result("u2"))], "done done done", id="all done"),
    pytest.param([], "expired expired expired", id="nobody reported anything"),
    pytest.param([report(result("u0"), passing("u1"), failed("u2"))], "done failed failed", id="failed, either way"),
    pytest.param([report(result("u0"))], "done expired expired", id="a worker that was mute on two"),
    pytest.param([report(skipped("u0"))], "skipped expired expired", id="skipped"),
    pytest.param(
        [report(result("u0"), passing("u1"), result("u2")), report(result("u1"), number=2)],
        "done done done",
        id="failed for a passing reason, then done",
    ),
    pytest.param(
        [report(failed("u0"), number=1), report(result("u0"), number=2)],
        "failed expired expired",
        id="the first terminal word stands",
    ),
    pytest.param(
        [report(result("u0"), number=1), report(passing("u0"), number=2)],
        "done expired expired",
        id="done stays done, whatever a later try says",
    ),
    pytest.param(
        [report(result("u1"), number=2), report(skipped("u0"), number=3), report(passing("u2"), number=4)],
        "skipped done failed",
        id="part by part",
    ),
]


@pytest.mark.parametrize(("reports", "expected"), TALLIES)
def test_every_unit_ends_in_exactly_one_state(reports: list[ChunkReport], expected: str) -> None:
    """In whatever order the reports are read."""
    for order in permutations(reports):
        ended = tally(BATCH, chunks_of(BATCH), order)
        states = {unit: str(each.state) for unit, each in ended.results.items()}
        assert states == dict(zip(("u0", "u1", "u2"), expected.split(), strict=True))
        assert all(unit == each.unit for unit, each in ended.results.items())


def test_a_unit_that_was_settled_before_stays_so() -> None:
    batch = batch_of(1, settled=(skipped("x"), failed("y", "quality")))
    ended = tally(batch, chunks_of(batch), [report(result("u0"), result("y"))])
    assert list(ended.results.values()) == [result("u0"), skipped("x"), failed("y", "quality")]


def test_a_unit_that_has_not_ended_says_the_last_that_was_heard_of_it() -> None:
    heard = [report(passing("u0", "network"), number=1), report(passing("u0", "disk"), number=2)]
    ended = tally(BATCH, chunks_of(BATCH), heard)
    assert [ended.results[unit].reason for unit in ("u0", "u1")] == ["disk", "nobody reported it in time"]


def test_so_far_only_what_is_terminal_has_ended() -> None:
    batch = batch_of(6, settled=(skipped("x"),))
    heard = [
        report(result("u3"), chunk=1),
        report(passing("u0", "disk"), result("u1"), number=2),
        report(passing("u0"), passing("u1"), failed("u2")),
    ]
    ended, again = so_far(batch, heard)
    assert ended == {"x": skipped("x"), "u1": result("u1"), "u2": failed("u2"), "u3": result("u3")}
    assert again == {"u0": passing("u0", "disk")}, "and not what a later try has ended"


def test_the_share_counts_a_skipped_unit_as_there() -> None:
    ended = tally_of(result("a"), skipped("b"), failed("c"), expired("d"))
    assert ended.share == 0.5
    assert ended.of(UnitState.FAILED, UnitState.EXPIRED) == [failed("c"), expired("d")]
    assert Tally().share == 1.0, "nothing lacks of nothing"


# --- what is written, and what is said -----------------------------------------------------------------------


def tally_of(*results: UnitResult) -> Tally:
    return Tally(results={each.unit: each for each in results})


def of(done: int = 0, skips: int = 0, fails: int = 0, silent: int = 0) -> Tally:
    return tally_of(
        *(result(f"d{number}") for number in range(done)),
        *(skipped(f"s{number}") for number in range(skips)),
        *(failed(f"f{number}") for number in range(fails)),
        *(expired(f"x{number}") for number in range(silent)),
    )


ENDED, EXPIRED, SEALED, CANCELLED = SealKind.ENDED, SealKind.EXPIRED, SealKind.SEALED, SealKind.CANCELLED

MERGES = [
    # of what follows: ended, expired, sealed, cancelled
    pytest.param(of(done=3), (True, True, True, False), id="all done"),
    pytest.param(of(done=9, silent=1), (True, True, True, False), id="exactly nine of ten"),
    pytest.param(of(done=9_000, silent=1_000), (True, True, True, False), id="exactly nine thousand of ten thousand"),
    pytest.param(of(done=8_999, silent=1_001), (True, False, True, False), id="one less"),
    pytest.param(of(done=1, skips=8, fails=1), (True, True, True, False), id="nine of ten, most of them skipped"),
    pytest.param(of(done=1, silent=99), (True, False, True, False), id="one of a hundred"),
    pytest.param(of(skips=3), (False, False, False, False), id="nobody could be done"),
    pytest.param(of(skips=9, silent=1), (False, False, False, False), id="nobody is done"),
    pytest.param(of(silent=3), (False, False, False, False), id="nobody was heard of"),
    pytest.param(of(), (False, False, False, False), id="no units"),
]


@pytest.mark.parametrize(("ended", "expected"), MERGES)
def test_what_is_written(ended: Tally, expected: tuple[bool, ...]) -> None:
    assert STALL_SHARE == 0.90
    assert tuple(merges(kind, ended) for kind in (ENDED, EXPIRED, SEALED, CANCELLED)) == expected


def concluded(kind: SealKind, ended: Tally, wrote: Wrote | None = None) -> Completion:
    """What a batch says that wrote what it had to."""
    if wrote is None:
        wrote = Wrote(rows=8, digest="d") if merges(kind, ended) else Wrote()
    return conclude(BATCH, seal_of(BATCH, kind), ended, wrote)


FAILED_ONE = "1 of 10 units are not there: 1 failed: no model"
SILENT_ONE = "1 of 10 units are not there: 1 expired: nobody reported it in time"
SILENT_TWO = "2 of 10 units are not there: 2 expired: nobody reported it in time"
STALLED = "stalled at {} of its units, 90% are enough: "

CONCLUSIONS = [
    pytest.param(ENDED, of(done=2), Status.SUCCESS, "", id="all done"),
    pytest.param(ENDED, of(done=9, fails=1), Status.PARTIAL, FAILED_ONE, id="one failed"),
    pytest.param(
        ENDED,
        of(done=1, silent=1, fails=2),
        Status.PARTIAL,
        "3 of 4 units are not there: 2 failed: no model; 1 expired: nobody reported it in time",
        id="most are not there",
    ),
    pytest.param(
        ENDED,
        of(fails=1, silent=1),
        Status.FAILED,
        "2 of 2 units are not there: 1 expired: nobody reported it in time; 1 failed: no model",
        id="none is done",
    ),
    pytest.param(ENDED, of(skips=9, fails=1), Status.FAILED, FAILED_ONE, id="those failed that could have been done"),
    pytest.param(ENDED, of(done=1, skips=1), Status.SUCCESS, "skipped: s0 (no_history)", id="skipped ones are named"),
    pytest.param(
        ENDED,
        of(done=1, skips=UNITS_NAMED + 1),
        Status.SUCCESS,
        "skipped: s0 (no_history), s1 (no_history), s2 (no_history), s3 (no_history), s4 (no_history) and 1 more",
        id="many skipped ones are counted",
    ),
    pytest.param(ENDED, of(skips=1), Status.SKIPPED, "no_history", id="nobody has a history"),
    pytest.param(ENDED, tally_of(skipped("a", "hurt"), skipped("b")), Status.SKIPPED, "hurt", id="the first one's why"),
    pytest.param(ENDED, of(), Status.SKIPPED, NO_HISTORY, id="nobody at all"),
    pytest.param(EXPIRED, of(done=9, silent=1), Status.PARTIAL, SILENT_ONE, id="stalled at enough, the rest named"),
    pytest.param(
        EXPIRED, of(done=8, skips=1, silent=1), Status.PARTIAL, SILENT_ONE, id="a skipped one counts as there"
    ),
    pytest.param(
        EXPIRED, of(done=8, silent=2), Status.FAILED, STALLED.format("80%") + SILENT_TWO, id="stalled below enough"
    ),
    pytest.param(
        EXPIRED,
        of(silent=2),
        Status.FAILED,
        STALLED.format("0%") + "2 of 2 units are not there: 2 expired: nobody reported it in time",
        id="stalled at nothing",
    ),
    pytest.param(
        EXPIRED,
        of(done=899, silent=101),
        Status.FAILED,
        STALLED.format("89%") + "101 of 1000 units are not there: 101 expired: nobody reported it in time",
        id="stalled just below enough",
    ),
    pytest.param(EXPIRED, of(done=2), Status.SUCCESS, "", id="the last one came in while the time ran out"),
    pytest.param(EXPIRED, of(skips=2), Status.SKIPPED, "no_history", id="and it was one without a history"),
    pytest.param(SEALED, of(done=8, silent=2), Status.PARTIAL, SILENT_TWO, id="sealed below what a deadline asks"),
    pytest.param(SEALED, of(done=3), Status.SUCCESS, "", id="sealed when all was done"),
    pytest.param(SEALED, of(skips=8, silent=2), Status.FAILED, SILENT_TWO, id="sealed with nothing"),
    pytest.param(CANCELLED, of(done=3), Status.SKIPPED, "cancelled, as it is told", id="cancelled, all done or not"),
    pytest.param(CANCELLED, of(silent=3), Status.SKIPPED, "cancelled, as it is told", id="cancelled at nothing"),
]


@pytest.mark.parametrize(("kind", "ended", "status", "reason"), CONCLUSIONS)
def test_what_a_batch_reports(kind: SealKind, ended: Tally, status: Status, reason: str) -> None:
    said = concluded(kind, ended)
    assert (said.status, said.reason) == (status, reason)
    lost = [each.unit for each in ended.results.values() if each.state in (UnitState.FAILED, UnitState.EXPIRED)]
    assert list(said.missing) == lost
    assert (said.units_expected, said.units_actual) == (len(ended.results), len(ended.results) - len(lost))
    assert (said.rows, said.digest) == ((8, "d") if merges(kind, ended) else (0, ""))
    assert (said.run, said.id, said.duration_s) == (START.run, "predictions/predictions/1/1", 9.0)


@pytest.mark.parametrize("kind", [ENDED, EXPIRED, SEALED])
@pytest.mark.parametrize("ended", [of(done=3), of(done=9, silent=1)], ids=["all done", "most done"])
def test_a_batch_whose_rows_a_newer_one_outranks_is_superseded(kind: SealKind, ended: Tally) -> None:
    said = concluded(kind, ended, Wrote(rows=8, digest="d", superseded=True))
    assert (said.status, said.reason, said.rows) == (Status.SKIPPED, "superseded", 8)


def test_the_most_frequent_reasons_are_told_first_and_not_all_of_them() -> None:
    lost = [failed(f"{why}{number}", f"why {why}") for why in range(1, 8) for number in range(why)]
    said = concluded(ENDED, tally_of(*lost)).reason
    assert said == "28 of 28 units are not there: " + "; ".join(f"{why} failed: why {why}" for why in (7, 6, 5, 4, 3))
    assert said.count("why") == REASONS_TOLD
    same = concluded(ENDED, tally_of(failed("a", "y"), failed("b", "x"))).reason
    assert same.endswith("1 failed: x; 1 failed: y"), "by name where they are as frequent"


def test_reasons_are_told_short() -> None:
    lost = tally_of(*(failed(f"u{why}", str(why) + "x" * 999) for why in range(9)))
    assert len(concluded(ENDED, lost).reason) < 1_000
    many = tally_of(result("d"), *(skipped(f"{number}" + "y" * 99, "z" * 999) for number in range(9)))
    assert len(concluded(ENDED, many).reason) < 1_000


INCIDENTS = [
    pytest.param(EXPIRED, of(done=8, silent=2), True, id="stalled below enough"),
    pytest.param(EXPIRED, of(silent=2), True, id="nobody was heard of"),
    pytest.param(EXPIRED, of(skips=9, silent=1), True, id="nobody is done of those who could be"),
    pytest.param(EXPIRED, of(done=9, silent=1), False, id="stalled at enough: the gate goes on"),
    pytest.param(EXPIRED, of(done=2), False, id="all there at the last moment"),
    pytest.param(ENDED, of(fails=3), False, id="every unit failed: the gate tries again"),
    pytest.param(SEALED, of(silent=3), False, id="sealed with nothing, by somebody who has looked"),
    pytest.param(CANCELLED, of(silent=3), False, id="cancelled, by somebody who has looked"),
]


@pytest.mark.parametrize(("kind", "ended", "raised"), INCIDENTS)
def test_when_a_person_has_to_look(kind: SealKind, ended: Tally, raised: bool) -> None:
    said = concluded(kind, ended)
    assert incident_of(seal_of(BATCH, kind), said) == (f"batch {BATCH.id} {said.reason}" if raised else "")
