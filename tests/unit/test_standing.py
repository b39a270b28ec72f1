"""How far is each processor of an open phase? A row: a sentence, its phase, what happened, when, how it stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.model import Missing
from shared.core.plan import DECLARED, PlannedPhase, PlannedProcessor
from shared.core.standing import (
    AFRESH_MAX,
    Standing,
    deadline_of,
    ignored,
    may_refresh,
    next_attempt,
    order_start,
    resend_at,
    stand,
)
from tests.unit.plans import Day, critical, minute, minutes, opened, optional, phase, plan, start

MUTE = {"timeout_s": 60}  # falls silent after a minute and a half
LEARNT = {**MUTE, "timeout_from": "history of 12", "timeout_max_s": 240}  # a later attempt has four minutes
A = critical("a", unit="games")
TEN = tuple(f"g{n}" for n in range(1, 11))


def row(sentence: str, a: PlannedProcessor, script: str, at: float, standing: str, why: str = "") -> object:
    return pytest.param(a, script, at, standing, why, id=sentence)


def tell(standing: Standing) -> str:
    """`done whole ended 1 due=2 next=+5`"""
    words = [word for word in ("done", "whole", "ended") if getattr(standing, word)]
    words.append(f"{standing.share:g}")
    if standing.due is not None:
        words.append(f"due={standing.due}")
    if standing.next_at is not None:
        words.append(f"next={minutes(standing.next_at)}")
    return " ".join(words)


def standing_of(of: PlannedPhase, script: str, at: float, name: str) -> Standing:
    """How it stands in the phase behind a schedule of ten games, which opened at +0."""
    day = Day(plan(phase("scrape", critical("s")), of)).play(
        f"+0 s done finds=games:{'|'.join(TEN)}; {script}", until=at
    )
    return stand(day.view(minute(at)), of, day.outcome(of.name))[name]


WHOLE = "done whole ended 1"

ALONE = [
    row("started and running", A, "", 5, "0 next=+8", "is running, attempt 1"),
    row("done", A, "+5 a done has=10", 5, WHOLE),
    row("done without counting its units", A, "+5 a done", 5, WHOLE),
    row("done with more units than expected", A, "+5 a done has=12", 5, WHOLE),
    row(
        "done with what it expects, not with what is expected",
        A,
        "+5 a done has=3 of=3",
        5,
        "0.3 next=+10",
        "has 30% of its games (1 of 3 looks)",
    ),
    row(
        "done with all and one of them missing contradicts itself",
        A,
        "+5 a done has=10 missing=g7",
        5,
        "0.9 next=+10",
        "has 90% of its games, without g7 (1 of 3 looks)",
    ),
    row("done without a unit that nobody expects", A, "+5 a done has=10 missing=g99", 5, WHOLE),
    row("done without units of its own", critical("a"), "+5 a done", 5, WHOLE),
    row(
        "measured by what it says where nobody else knows",
        critical("a", unit="shots"),
        "+5 a done has=1 of=4",
        5,
        "0.25 next=+10",
        "has 25% of its shots (1 of 3 looks)",
    ),
    row(
        "partial says how much and what is missing",
        A,
        "+5 a partial has=3 missing=g1|g2|g3|g4|g5|g6|g7 reason=late",
        5,
        "0.3 next=+10",
        "has 30% of its games, without g1, g2, g3, g4, g5 and 2 more: late (1 of 3 looks)",
    ),
    row("partial of it all counts after its grace", A, "+5 a partial has=10", 16, "done 1 next=+18"),
    row("its grace begins with it, not with a failure before", A, "+5 a failed; +7 a partial has=10", 16, "1 next=+17"),
    row("partial below enough counts at the deadline", A, "+5 a partial has=3", 60, "done 0.3 next=+70.5"),
    row("partial that does not say how much never counts", A, "+5 a partial", 61, "0 next=+70.5"),
    row(
        "partial of no units at all is not nothing",
        critical("a", unit="x"),
        "+5 a partial has=0 of=0",
        15,
        "done 1 next=+18",
    ),
    row("partial looks again after its pause", A, "+5 a partial has=3", 10, "0.3 due=2 next=+60"),
    row(
        "partial whose looks are used up ends when its time has come, not before",
        critical("a", unit="games", looks_max=1),
        "+5 a partial has=3",
        59,
        "0.3 next=+60",
        "has 30% of its games (1 of 1 looks)",
    ),
    row("and then", critical("a", unit="games", looks_max=1), "+5 a partial has=3", 60, "done ended 0.3"),
    row(
        "not ready looks again after its pause",
        A,
        "+5 a not_ready",
        9,
        "0 next=+10",
        "is not ready: no reason given (1 of 3 looks)",
    ),
    row("and is due then", A, "+5 a not_ready", 10, "0 due=2"),
    row(
        "not ready says when",
        A,
        "+5 a not_ready retry=+30 reason=tipoff",
        29,
        "0 next=+30",
        "is not ready: tipoff (1 of 3 looks)",
    ),
    row("not ready until before it was said is due", A, "+5 a not_ready retry=+1", 5, "0 due=2"),
    row(
        "not ready once too often has ended",
        critical("a", looks_max=2),
        "+5 a not_ready; +11 a not_ready",
        11,
        "ended 0",
    ),
    row("not ready uses up no attempts", critical("a", attempts_max=1), "+5 a not_ready", 10, "0 due=2"),
    row("failed waits for its pause", A, "+5 a failed reason=boom", 5, "0 next=+6", "failed: boom (1 of 3 attempts)"),
    row("failed is due after it", A, "+5 a failed", 6, "0 due=2", "failed: no reason given (1 of 3 attempts)"),
    row("the pause doubles", A, "+5 a failed; +7 a failed", 7, "0 next=+9"),
    row(
        "but not beyond five minutes",
        critical("a", attempts_max=9, retry_s=200),
        "+5 a failed; +9 a failed",
        9,
        "0 next=+14",
    ),
    row("an optional one that failed too often has ended", optional("a", attempts_max=1), "+5 a failed", 5, "ended 0"),
    row(
        "a critical one is not waited for, and is tried afresh meanwhile",
        critical("a", attempts_max=1),
        "+5 a failed",
        5,
        "ended 0 next=+10",
        "failed: no reason given (1 of 1 attempts, tried again every 5 min)",
    ),
    row("which is due five minutes later", critical("a", attempts_max=1), "+5 a failed", 10, "ended 0 due=2"),
    row(
        "and is not waited for while that is under way",
        critical("a", attempts_max=1),
        "+5 a failed; +10 look",
        11,
        "ended 0 next=+12",
        "failed: no reason given (1 of 1 attempts, tried again every 5 min)",
    ),
    row("until it succeeds", critical("a", attempts_max=1), "+5 a failed; +10 look; +12 a done", 12, WHOLE),
    row(
        "or says that it is not ready, which is waited for",
        critical("a", attempts_max=1, looks_max=9),
        "+5 a failed; +10 look; +12 a not_ready reason=early",
        12,
        "0 next=+17",
        "is not ready: early (1 of 9 looks)",
    ),
    row(
        "also while it is looked for again",
        critical("a", attempts_max=1, looks_max=9),
        "+5 a failed; +10 look; +12 a not_ready reason=early; +17 look",
        17.5,
        "0 next=+18",
        "is not ready: early",
    ),
    row(
        "silence of what is tried afresh is a failure of it",
        critical("a", attempts_max=1, **MUTE),
        "+1 a failed; +6 look",
        8,
        "ended 0 next=+12.5",
        "did not report in 60 s (1 of 1 attempts, tried again every 5 min)",
    ),
    row("a second report of the same attempt uses up no other", A, "+5 a failed; +5 a failed", 5, "0 next=+6"),
    row("a success after all", critical("a", attempts_max=1), "+5 a failed; +9 a done", 9, WHOLE),
    row("skipped with everything there", A, "+5 a skipped reason=superseded", 5, WHOLE),
    row("skipped for another reason", A, "+5 a skipped reason=no_source", 5, "ended 0", "skipped: no_source"),
    row(
        "silent and within its budget",
        critical("a", **MUTE),
        "",
        1.5,
        "0 due=2",
        "did not report in 60 s, 1 of 3 attempts",
    ),
    row("not yet silent", critical("a", **MUTE), "", 1.4, "0 next=+1.5"),
    row(
        "silent too often has ended",
        critical("a", **MUTE),
        "",
        4.5,
        "ended 0 next=+9.5",
        "did not report in 60 s (3 of 3 attempts, tried again every 5 min)",
    ),
    row(
        "silent for as long as it ever took",
        critical("a", **LEARNT),
        "",
        1.5,
        "0 due=2",
        "did not report in 60 s, 1 of 3 attempts",
    ),
    row(
        "then it has all the time that is declared",
        critical("a", **LEARNT),
        "",
        5.9,
        "0 next=+6",
        "is running, attempt 2",
    ),
    row("and not more", critical("a", **LEARNT), "", 6, "0 due=3", "did not report in 240 s, 2 of 3 attempts"),
    row(
        "slower than it ever was, it is cut off once and whole in the end",
        critical("a", **LEARNT),
        "+5 a done attempt=2",
        5,
        WHOLE,
    ),
    row(
        "silence and failures share one budget",
        critical("a", **MUTE),
        "+2 a failed; +3 look",
        5.5,
        "ended 0 next=+10.5",
        "did not report in 60 s (3 of 3 attempts, tried again every 5 min)",
    ),
    row(
        "a late success of an older attempt counts while a newer runs",
        critical("a", **MUTE),
        "+2 a done attempt=1",
        2,
        WHOLE,
    ),
    row(
        "a late partial of an older attempt is kept while a newer runs",
        critical("a", unit="games", **MUTE),
        "+2 a partial attempt=1 has=3",
        2,
        "0.3 next=+2.5",
        "has 30% of its games",
    ),
    row(
        "a partial whose newer attempts stay silent still counts when its time has come",
        critical("a", unit="games", attempts_max=1, **MUTE),
        "+1 a partial has=10; +6 look",
        8,
        "1 next=+11",
        "did not report in 60 s (1 of 1 attempts, tried again every 5 min)",
    ),
]


@pytest.mark.parametrize(("a", "script", "at", "standing", "why"), ALONE)
def test_a_processor_by_itself(a: PlannedProcessor, script: str, at: float, standing: str, why: str) -> None:
    stands = standing_of(phase("raw", a), script, at, "a")
    assert tell(stands) == standing
    assert stands.why == why or not why


NEEDS = phase("raw", A, critical("b", needs=("a",)), critical("c", needs=("b",)))
AFTER = phase("raw", optional("a", unit="games"), optional("b", grace_s=1200), critical("c", after=("a", "b")))


@pytest.mark.parametrize(
    ("of", "script", "at", "name", "standing", "why"),
    [
        pytest.param(NEEDS, "", 5, "b", "0 next=+8", "waits for a", id="waits for what it needs"),
        pytest.param(NEEDS, "+5 a done", 5, "b", "0 due=1", "is due to start", id="is due when that is done"),
        pytest.param(NEEDS, "+5 a done", 5, "c", "0", "waits for b", id="and not what needs it in turn"),
        pytest.param(NEEDS, "+5 a failed", 5, "b", "0 next=+6", "waits for a", id="waits while that is tried again"),
        pytest.param(
            NEEDS,
            "+5 a skipped reason=x",
            5,
            "c",
            "ended 0",
            "cannot start: needs b, which cannot start: needs a, which skipped: x",
            id="cannot start when that has ended",
        ),
        pytest.param(
            NEEDS,
            "+5 a skipped reason=x; +9 a done",
            9,
            "b",
            "0 due=1",
            "is due to start",
            id="unless it comes after all",
        ),
        pytest.param(
            NEEDS, "+5 a partial has=10", 14, "b", "0 next=+15", "waits for a", id="waits for the grace of a partial"
        ),
        pytest.param(
            NEEDS, "+5 a partial has=10", 15, "b", "0 due=1", "is due to start", id="is due when a partial counts"
        ),
        pytest.param(
            phase("raw", replace(A, looks_max=1), NEEDS.processors[1]),
            "+5 a partial has=3",
            10,
            "b",
            "0 next=+60",
            "waits for a",
            id="waits for the deadline where a partial will count only then",
        ),
        pytest.param(
            AFTER,
            "",
            5,
            "c",
            "0 next=+10",
            "waits for a until its grace is over",
            id="after: waits while the grace lasts",
        ),
        pytest.param(
            AFTER,
            "+5 a done",
            5,
            "c",
            "0 next=+20",
            "waits for b until its grace is over",
            id="after: each has its own",
        ),
        pytest.param(AFTER, "+5 a done; +6 b done", 6, "c", "0 due=1", "is due to start", id="after: all are done"),
        pytest.param(
            AFTER, "+5 a skipped reason=x; +6 b done", 6, "c", "0 due=1", "is due to start", id="after: one has ended"
        ),
        pytest.param(AFTER, "", 20, "c", "0 due=1", "is due to start", id="after: all grace is over"),
        pytest.param(
            phase("raw", A, optional("b"), critical("c", needs=("a",), after=("b",))),
            "+5 a done",
            14,
            "c",
            "0 next=+15",
            "waits for b until its grace is over",
            id="grace begins when what it needs is done",
        ),
        pytest.param(
            AFTER,
            "+20 look; +25 c done; +30 a done",
            30,
            "c",
            "0 due=2",
            "runs again: a is newer",
            id="runs again when an after comes late",
        ),
        pytest.param(
            AFTER,
            "+20 look; +25 c done; +30 a done; +31 look",
            31,
            "c",
            "0 next=+32",
            "runs again: a is newer",
            id="once",
        ),
        pytest.param(
            AFTER,
            "+5 a done digest=x; +6 b done; +7 c done; +8 a done digest=x",
            8,
            "c",
            WHOLE,
            "",
            id="not for the same",
        ),
        pytest.param(
            AFTER, "+5 a done; +6 b done; +7 c done; +8 a failed", 8, "c", WHOLE, "", id="nor for a failure of it"
        ),
        pytest.param(
            AFTER,
            "+5 a partial has=3; +20 look; +25 c done",
            60,
            "c",
            WHOLE,
            "",
            id="nor for a partial it has seen, which only begins to count",
        ),
        pytest.param(
            AFTER,
            "+20 look; +25 c done; +26 a partial has=3",
            60,
            "c",
            WHOLE,
            "",
            id="nor for one it has not seen, when the clock makes it count: the deadline is no time to start over",
        ),
        pytest.param(
            AFTER,
            "+20 look; +25 c done; +26 a partial has=10",
            26,
            "c",
            "0 due=2",
            "runs again: a is newer",
            id="but for a partial that is enough, at once",
        ),
        pytest.param(
            AFTER,
            "+5 a partial has=10; +6 b done; +12 c done",
            16,
            "c",
            WHOLE,
            "",
            id="nor for one it has seen while it was in its grace",
        ),
        pytest.param(
            phase("raw", optional("a"), optional("b", after=("a",)), critical("c", after=("b",))),
            "+21 c done; +30 a done; +31 b done attempt=1",
            31,
            "c",
            WHOLE,
            "",
            id="nor for one that is itself running again: it would only run a third time",
        ),
        pytest.param(
            phase("raw", optional("a", refresh_until=None), critical("c", after=("a",))),
            "+20 look; +25 c done; +30 a done",
            30,
            "c",
            WHOLE,
            "",
            id="nor where late is ignored",
        ),
        pytest.param(NEEDS, "+1 b done; +5 a done", 5, "b", WHOLE, "", id="nor where nobody knows what it had seen"),
        pytest.param(
            phase("raw", A, critical("b", needs=("a",), **MUTE)),
            "+5 a done digest=x; +7 a done digest=y; +7.5 b done attempt=1",
            7.5,
            "b",
            "0 next=+8",
            "runs again: a is newer",
            id="waits for the attempt that is already under way",
        ),
    ],
)
def test_a_processor_among_others(of: PlannedPhase, script: str, at: float, name: str, standing: str, why: str) -> None:
    stands = standing_of(of, script, at, name)
    assert (tell(stands), stands.why) == (standing, why)


def test_one_that_is_always_late_does_not_get_another_attempt_for_each_late_report() -> None:
    late = "+5 a not_ready attempt=1; +6 a not_ready attempt=2; +7 a not_ready attempt=3; +20 a not_ready attempt=4"
    day = Day(plan(phase("raw", critical("a", looks_max=2, **MUTE)))).play(late, until=50)
    assert day.orders() == ["a/1 at +0", "a/2 at +1.5", "a/3 at +3", "a/4 at +5"]


@pytest.mark.parametrize(
    ("attempt", "opened_at", "deadline"),
    [
        pytest.param(1, 59, 60, id="the first round has the deadline of its phase"),
        pytest.param(1, 60, 70, id="unless it opens after it: then the window"),
        pytest.param(2, 5, 60, id="a later round has it too"),
        pytest.param(2, 55, 65, id="or its window where that ends later"),
    ],
)
def test_the_deadline_of_a_round(attempt: int, opened_at: float, deadline: float) -> None:
    assert deadline_of(phase("raw", A), opened("raw", attempt, at=opened_at)) == minute(deadline)


@pytest.mark.parametrize(
    ("opened_at", "held_until", "deadline"),
    [
        pytest.param(0, 49, 60, id="a hold that leaves it a window changes nothing"),
        pytest.param(0, 55, 65, id="one that does not: the window, from its end"),
        pytest.param(0, 300, 310, id="and so where it outlasts the deadline"),
        pytest.param(56, 55, 60, id="one that was over before the phase opened is none of it"),
    ],
)
def test_the_deadline_of_a_round_that_was_held(opened_at: float, held_until: float, deadline: float) -> None:
    of = deadline_of(phase("raw", A), opened("raw", 1, at=opened_at), minute(held_until))
    assert of == minute(deadline)


@pytest.mark.parametrize(
    ("until", "at", "may"),
    [
        pytest.param(None, 5, False, id="never where late is ignored"),
        pytest.param(10, 10, True, id="until its time"),
        pytest.param(10, 11, False, id="not after it"),
        pytest.param(10, None, False, id="not what has not come"),
    ],
)
def test_what_may_refresh(until: float | None, at: float | None, may: bool) -> None:
    late = critical("a", refresh_until=None if until is None else minute(until))
    assert may_refresh(Standing(processor=late, at=None if at is None else minute(at))) is may


def test_a_later_round_counts_from_its_own_attempts() -> None:
    of = phase("raw", critical("a"))
    day = Day(plan(of)).play("+1 a failed; +3 a done", until=4)
    second = opened("raw", 2, at=5, base={"a": 3})
    assert tell(stand(day.view(minute(5)), of, second)["a"]) == "0 due=3"


@pytest.mark.parametrize(
    ("script", "attempt"),
    [
        pytest.param("", 2, id="above what was ordered"),
        pytest.param("+1 a failed; +3 look", 3, id="above all that was ordered"),
        pytest.param("+1 a failed attempt=7", 9, id="above what was reported and then ordered"),
        pytest.param("+1 q failed", 2, id="whatever others report"),
    ],
)
def test_the_next_attempt_is_one_that_never_was(script: str, attempt: int) -> None:
    day = Day(plan(phase("raw", A))).play(script, until=3)
    assert next_attempt(day.view(minute(3)), "a") == attempt


def test_the_next_attempt_of_one_that_never_was_started_is_the_first() -> None:
    assert next_attempt(Day(plan(phase("raw", A))).view(minute(0)), "a") == 1


def test_an_order_says_all_there_is_to_know() -> None:
    of = phase("raw", A, optional("b"), critical("c", needs=("a",), after=("b",), unit="games", fence_rank=3))
    day = Day(plan(phase("scrape", critical("s"), optional("t", grace_s=0), quorum=0.5), of))
    day.play("+0 s done finds=games:g1|g2; +5 a done has=2 digest=x; +6 b skipped reason=none", until=6)
    view, outcome = day.view(minute(6)), day.outcome("raw")
    order = order_start(view, of, outcome, stand(view, of, outcome), "c")
    assert order == start(
        "c",
        at=6,
        fence=300_010_001,
        units=("g1", "g2"),
        inputs={"a": "x"},
        completeness=0.75,
        missing=(Missing(processor="t", why="is running, attempt 1"), Missing(processor="b", why="skipped: none")),
        config_hash="0123456789ab",
    )


def test_two_hours_of_trying_afresh_are_enough() -> None:
    a = critical("a", attempts_max=1)
    script = "; ".join(f"+{5 + 6 * number} a failed" for number in range(AFRESH_MAX + 1))
    stands = standing_of(phase("raw", a, deadline=600), script, 500, "a")
    assert tell(stands) == "ended 0"
    assert stands.why == f"failed: no reason given ({AFRESH_MAX + 1} of {AFRESH_MAX + 1} attempts)"


@pytest.mark.parametrize(
    ("times", "attempt", "seconds"),
    [
        pytest.param({"timeout_s": 1_000}, 1, 100, id="a tenth of what is declared, where nothing is learnt"),
        pytest.param({"timeout_s": 90}, 1, 60, id="and no sooner than it is in doubt"),
        pytest.param({"timeout_s": 1_000, "timeout_from": "fallback"}, 1, 100, id="the same where too little is known"),
        pytest.param(
            {"timeout_s": 280, "timeout_from": "history of 12"}, 1, 140, id="not before it seldom takes longer"
        ),
        pytest.param({"timeout_s": 280, "timeout_from": "cap"}, 2, 140, id="nor a later attempt of it"),
        pytest.param({"timeout_s": 60, "timeout_from": "floor"}, 1, 60, id="a quick one when it is in doubt"),
        pytest.param({"timeout_s": 2_400, "timeout_from": DECLARED}, 1, 60, id="at once where it only begins a batch"),
    ],
)
def test_a_start_that_may_be_lost_is_sent_again_after(times: dict[str, object], attempt: int, seconds: float) -> None:
    sent = start("a", attempt)
    assert (resend_at(sent, critical("a", **times)) - sent.issued_at).total_seconds() == seconds
    assert (resend_at(sent, critical("a", **times), 2) - sent.issued_at).total_seconds() == 2 * seconds


CHAIN = phase(
    "raw",
    critical("a", unit="games"),
    optional("b", after=("a",)),
    critical("c", needs=("b",)),
    critical("d"),
)


@pytest.mark.parametrize(
    ("script", "name", "share", "without"),
    [
        pytest.param("", "d", 1.0, [], id="nothing, where it reads nobody"),
        pytest.param("+5 a done has=10", "b", 1.0, [], id="nothing, where all that it reads is whole"),
        pytest.param("+5 a partial has=9 missing=g7", "b", 0.9, ["a g7"], id="what one has not brought, named"),
        pytest.param(
            "+5 a partial has=10 missing=g99; +5 a skipped reason=x", "b", 0.0, ["a"], id="one that brings nothing"
        ),
        pytest.param(
            "+5 a partial has=9 missing=g7; +20 b done", "c", 0.925, ["a g7"], id="and what is lacking in what it reads"
        ),
        pytest.param(
            "+5 a partial has=9 missing=g7; +20 b done; +65 look",
            "c",
            0.925,
            ["a g7"],
            id="the same once its gate opens by it",
        ),
    ],
)
def test_an_order_names_what_those_before_it_in_its_phase_have_not_brought(
    script: str, name: str, share: float, without: list[str]
) -> None:
    until = 66 if "+65" in script else 30
    day = Day(plan(phase("scrape", critical("s")), CHAIN)).play(
        f"+0 s done finds=games:{'|'.join(TEN)}; {script}", until=until
    )
    view, outcome = day.view(minute(until)), day.outcome("raw")
    standings = stand(view, CHAIN, outcome)
    order = order_start(view, CHAIN, outcome, standings | {name: replace(standings[name], due=7)}, name)
    assert order.completeness == share
    assert [" ".join((missing.processor, *missing.units)) for missing in order.missing] == without


READER = (critical("c", after=("a",)), critical("d", needs=("c",)))
BEHIND = "+20 look; +25 c done; +26 d done;"  # the gate opens without a at +36


@pytest.mark.parametrize(
    ("until", "script", "told"),
    [
        pytest.param(None, "", {}, id="nothing came, nothing is ignored"),
        pytest.param(None, "+40 a failed", {}, id="a failure is no result"),
        pytest.param(600, "+40 a done", {}, id="what refreshes is not ignored"),
        pytest.param(
            None,
            "+40 a done",
            {"a": "came at 2024-01-16 11:40 UTC, after c and the gate behind raw; ignored: late is ignored here"},
            id="late is ignored here",
        ),
        pytest.param(
            None,
            "+40 a done digest=x; +41 a done digest=x; +42 a done digest=x; +43 a done digest=x",
            {"a": "came at 2024-01-16 11:43 UTC, after c and the gate behind raw; ignored: late is ignored here"},
            id="however often it comes",
        ),
        pytest.param(
            39,
            "+40 a done",
            {
                "a": "came at 2024-01-16 11:40 UTC, after c and the gate behind raw; "
                "ignored: its time to refresh was over at 2024-01-16 11:39 UTC"
            },
            id="its time to refresh is over",
        ),
    ],
)
def test_what_came_after_others_had_gone_on_and_moves_nobody_is_told(
    until: float | None, script: str, told: dict[str, str]
) -> None:
    late = optional("a", grace_s=600, refresh_until=None if until is None else minute(until))
    of = phase("raw", late, *READER)
    day = Day(plan(of, phase("out", critical("z"), deadline=120))).play(f"{BEHIND} {script}", until=50)
    view = day.view(minute(50))
    assert ignored(view, of, stand(view, of, day.outcome("raw")), view.outcomes.get("out")) == told


def test_what_came_after_its_reader_had_gone_on_is_told_before_the_gate_has_opened() -> None:
    of = phase("raw", optional("a", refresh_until=None), *READER)
    day = Day(plan(of)).play("+20 look; +25 c done; +26 a done", until=28)
    view = day.view(minute(28))
    told = ignored(view, of, stand(view, of, day.outcome("raw")), None)
    assert told == {"a": "came at 2024-01-16 11:26 UTC, after c; ignored: late is ignored here"}


def test_what_nobody_knows_what_it_was_made_of_has_gone_on_without_all() -> None:
    of = phase("raw", optional("a", refresh_until=None), *READER)
    day = Day(plan(of)).play("+1 c done attempt=3; +5 a done", until=6)
    view = day.view(minute(6))
    assert list(ignored(view, of, stand(view, of, day.outcome("raw")), None)) == ["a"]
