"""How long the parts of one run took, as its gates have seen it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from shared.core.model import FOUND_REPORT, Fact, Latch, OutcomeKind, Status

PASSES = (OutcomeKind.OPEN, OutcomeKind.DONE)


def processor_durations(facts: Iterable[Fact], latches: Iterable[Latch]) -> Mapping[str, float]:
    """Seconds from the order to the receipt of the report, of each processor's first attempt that succeeded.

    Not what the report says of itself (duration_s): a gate waits for the message too, and for a place in which to work,
    and a limit that knew nothing of them would call a busy evening mute. What never reported, failed, skipped or found
    only a part of its work says nothing of how long that takes; an attempt after a failed one counts from its own
    order. A hold keeps orders back, and reports not: it is in none of these.
    """
    issued: dict[tuple[str, int], datetime] = {}
    for latch in latches:
        for start in latch.starts:
            key = (start.processor, start.attempt)
            issued[key] = min(start.issued_at, issued.get(key, start.issued_at))
    took: dict[str, tuple[int, int, float]] = {}
    for fact in facts:
        said = fact.completion
        since = issued.get((said.processor, said.attempt))
        was_told = said.report != FOUND_REPORT  # what was found says when somebody looked, not how long it took
        if said.status is Status.SUCCESS and was_told and since is not None:
            this = (said.attempt, said.report, max(0.0, (fact.received_at - since).total_seconds()))
            took[said.processor] = min(this, took.get(said.processor, this))
    return {name: seconds for name, (_, _, seconds) in took.items()}


def phase_durations(latches: Iterable[Latch]) -> Mapping[str, float]:
    """Seconds from the first opening of each phase until the gate behind it first let it pass."""
    return {phase: (passed - opened).total_seconds() for phase, (opened, passed) in phase_spans(latches).items()}


def phase_spans(latches: Iterable[Latch]) -> Mapping[str, tuple[datetime, datetime]]:
    """When each phase first opened, and when the gate behind it first let it pass."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    opened: tuple[str, datetime] | None = None
    for latch in latches:  # in the order in which they were taken, so that of the gates
        outcome = latch.outcome
        if outcome is None or outcome.attempt != 1 or outcome.kind not in PASSES:
            continue
        if opened:
            phase, since = opened
            spans[phase] = since, outcome.decided_at
        opened = (outcome.gate, outcome.decided_at)
    return spans
