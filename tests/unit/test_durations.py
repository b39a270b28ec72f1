"""How long the parts of a run took: from the order to the report, from one gate to the next; and what says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.durations import phase_durations, processor_durations
from shared.core.model import Completion, Fact, Latch, Outcome, OutcomeKind, Start, Status
from tests.unit.plans import RUN, minute


def ordered(attempt: int, at: float, processor: str = "a") -> Latch:
    start = Start(
        run=RUN,
        phase="p",
        processor=processor,
        attempt=attempt,
        fence=attempt,
        partition=RUN.date,
        timeout_s=60,
        issued_at=minute(at),
    )
    return Latch(key=f"{start.id}@{at}", run=RUN, starts=(start,))


def heard(attempt: int, at: float, status: Status = Status.SUCCESS, *, report: int = 1) -> Fact:
    said = Completion(run=RUN, phase="p", processor="a", attempt=attempt, report=report, status=status, duration_s=9.9)
    return Fact(said, minute(at))


NOTHING: list[Fact] = []
TOOK = [
    pytest.param([ordered(1, 0)], [heard(1, 2)], 2, id="from its order to its report"),
    pytest.param([ordered(1, 0)], NOTHING, None, id="not reported yet"),
    pytest.param([], [heard(1, 2)], None, id="reported, and nobody knows when it was ordered"),
    pytest.param([ordered(1, 0)], [heard(1, 2, Status.FAILED)], None, id="failed"),
    pytest.param([ordered(1, 0)], [heard(1, 2, Status.PARTIAL)], None, id="has done a part"),
    pytest.param([ordered(1, 0)], [heard(1, 2, Status.SKIPPED)], None, id="had nothing to do"),
    pytest.param(
        [ordered(1, 0), ordered(2, 5)],
        [heard(1, 2, Status.FAILED), heard(2, 8)],
        3,
        id="failed, and tried again: from the order that succeeded",
    ),
    pytest.param([ordered(1, 0), ordered(2, 5)], [heard(2, 8)], 3, id="hung, and tried again: the hang is not in it"),
    pytest.param(
        [ordered(1, 0), ordered(2, 5)],
        [heard(2, 6), heard(1, 9)],
        9,
        id="given up too early: what it took in the end is what it takes",
    ),
    pytest.param([ordered(1, 0), ordered(2, 30)], [heard(1, 2), heard(2, 31)], 2, id="looked at again: the first"),
    pytest.param([ordered(1, 0)], [heard(1, 2), heard(1, 20, report=2)], 2, id="reported twice: the first"),
    pytest.param([ordered(1, 0)], [heard(1, 2, report=0)], None, id="its output was found, and it never reported"),
    pytest.param([ordered(1, 0)], [heard(1, 2, report=0), heard(1, 3)], 3, id="found, and then it reported after all"),
    pytest.param([ordered(1, 0), ordered(1, 1)], [heard(1, 2)], 2, id="ordered twice at once: the first"),
    pytest.param([ordered(1, 1)], [heard(1, 0)], 0, id="clocks that differ"),
]


@pytest.mark.parametrize(("latches", "facts", "minutes"), TOOK)
def test_a_processor_took(latches: list[Latch], facts: list[Fact], minutes: float | None) -> None:
    for order in (facts, facts[::-1]):
        assert processor_durations(order, latches) == ({} if minutes is None else {"a": 60.0 * minutes})


def passed(gate: str, at: float, kind: OutcomeKind = OutcomeKind.OPEN, attempt: int = 1) -> Latch:
    outcome = Outcome(
        gate=gate,
        attempt=attempt,
        kind=kind,
        grade="complete",
        reason="",
        completeness=1.0,
        missing=(),
        decided_at=minute(at),
        left_round=1,
    )
    return Latch(key=f"{RUN}/{gate}/{attempt}", run=RUN, outcome=outcome)


PHASES = [
    pytest.param([], {}, id="nothing has opened"),
    pytest.param([passed("a", 0)], {}, id="the first phase is under way"),
    pytest.param([passed("a", 0), ordered(2, 1), passed("b", 3)], {"a": 3}, id="it has passed"),
    pytest.param([passed("a", 0), passed("b", 3), passed("end", 7, OutcomeKind.DONE)], {"a": 3, "b": 4}, id="all have"),
    pytest.param([passed("a", 0), passed("end", 7, OutcomeKind.DONE)], {"a": 7}, id="nothing was expected"),
    pytest.param([passed("a", 0), passed("b", 3, OutcomeKind.FAIL)], {}, id="it has failed"),
    pytest.param([passed("a", 0), passed("b", 3, OutcomeKind.BLOCK)], {}, id="it is blocked for good"),
    pytest.param(
        [passed("a", 0), passed("b", 3), passed("b", 9, attempt=2), passed("end", 10, OutcomeKind.DONE)],
        {"a": 3, "b": 7},
        id="opened again: the first opening counts",
    ),
]


@pytest.mark.parametrize(("latches", "minutes"), PHASES)
def test_a_phase_took(latches: list[Latch], minutes: dict[str, float]) -> None:
    assert phase_durations(latches) == {name: 60.0 * amount for name, amount in minutes.items()}


def test_what_a_report_says_of_its_own_duration_is_not_asked() -> None:
    fact = heard(1, 2)
    boast = replace(fact, completion=replace(fact.completion, duration_s=0.0))
    assert processor_durations([boast], [ordered(1, 0)]) == {"a": 120.0}
