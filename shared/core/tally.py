"""How a batch ends: every unit in one terminal state, and what the batch reports of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import floor

from shared.core.batch import NO_HISTORY, Batch, Chunk, ChunkReport, Seal, SealKind, UnitResult, UnitState
from shared.core.model import Completion, Status

STALL_SHARE = 0.90  # of its units: from there on a batch at its deadline is better published with the rest named


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Every unit of a batch in exactly one terminal state."""

    results: Mapping[str, UnitResult] = field(default_factory=dict)

    def of(self, *states: UnitState) -> list[UnitResult]:
        return [result for result in self.results.values() if result.state in states]

    @property
    def share(self) -> float:
        """Of its units that are there; nobody could have done a skipped one, so it counts as there."""
        there = len(self.of(UnitState.DONE, UnitState.SKIPPED))
        return there / len(self.results) if self.results else 1.0


def so_far(batch: Batch, reports: Iterable[ChunkReport]) -> tuple[dict[str, UnitResult], dict[str, UnitResult]]:
    """The units that have ended, and the last word on those that are to be tried again.

    The first terminal result of each unit stands, by number of the try, whatever the order of arrival.
    """
    ended = {result.unit: result for result in batch.settled}
    again: dict[str, UnitResult] = {}
    for report in sorted(reports, key=lambda each: (each.chunk, each.number)):
        for result in report.results:
            if result.again:
                again[result.unit] = result
            else:
                ended.setdefault(result.unit, result)
    return ended, {unit: result for unit, result in again.items() if unit not in ended}


def tally(batch: Batch, chunks: Iterable[Chunk], reports: Iterable[ChunkReport]) -> Tally:
    """How each unit ended, now that the batch has: what was to be tried again failed, what nobody reported expired."""
    results, again = so_far(batch, reports)
    for chunk in chunks:
        for unit in chunk.units:
            last = again.get(unit.id)
            reason = last.reason if last else "nobody reported it in time"
            state = UnitState.FAILED if last else UnitState.EXPIRED
            results.setdefault(unit.id, UnitResult(unit=unit.id, state=state, reason=reason))
    return Tally(results=dict(sorted(results.items())))


def merges(kind: SealKind, ended: Tally) -> bool:
    """Whether what the units gave is to be written: at the deadline only from STALL_SHARE of them on."""
    if kind is SealKind.CANCELLED or not ended.of(UnitState.DONE):
        return False
    return kind is not SealKind.EXPIRED or ended.share >= STALL_SHARE


def writes(batch: Batch, seal: Seal, ended: Tally) -> bool:
    """As merges; of a look at what stands, only what is whole: less would take the place of more."""
    return merges(seal.kind, ended) and (ended.share >= 1 or not batch.start.look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """What stands where the batch's units belong, as far as a completion tells of it."""

    rows: int = 0
    digest: str = ""
    superseded: bool = False


def conclude(batch: Batch, seal: Seal, ended: Tally, wrote: Wrote) -> Completion:
    """What the batch reports of itself, once what its units gave is where it belongs, or is not to be written.

    Nobody could have done a skipped unit: it is named, and counts as there.
    """
    done, skipped = ended.of(UnitState.DONE), ended.of(UnitState.SKIPPED)
    lost = ended.of(UnitState.FAILED, UnitState.EXPIRED)
    expected = len(ended.results)
    reason = _reason(lost, expected) or _skips(skipped)
    if seal.kind is SealKind.CANCELLED:
        status, reason = Status.SKIPPED, seal.reason
    elif wrote.superseded:
        status, reason = Status.SKIPPED, "superseded"
    elif seal.kind is SealKind.EXPIRED and ended.share < STALL_SHARE:
        status = Status.FAILED
        reason = f"stalled at {floor(100 * ended.share)}% of its units, {STALL_SHARE:.0%} are enough: {reason}"
    elif lost and batch.start.look:
        status, reason = Status.NOT_READY, f"looked again and found less; what stands is kept: {reason}"
    elif lost:
        status = Status.PARTIAL if done else Status.FAILED
    elif done:
        status = Status.SUCCESS
    else:
        status, reason = Status.SKIPPED, skipped[0].reason if skipped else NO_HISTORY
    start = batch.start
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=status,
        reason=reason,
        units_expected=expected,
        units_actual=expected - len(lost),
        missing=tuple(result.unit for result in lost),
        excused=tuple(result.unit for result in skipped),
        rows=wrote.rows,
        duration_s=round((seal.at - batch.created_at) / timedelta(seconds=1), 3),
        digest=wrote.digest,
    )


def incident_of(seal: Seal, completion: Completion) -> str:
    """What a person has to look into, in a line; empty where nobody has: a gate may go on, or tries again by itself."""
    if seal.kind is SealKind.EXPIRED and completion.status is Status.FAILED:
        return f"batch {seal.batch} {completion.reason}"
    return ""


REASONS_TOLD = 5
UNITS_NAMED = 5


def _reason(lost: Sequence[UnitResult], expected: int) -> str:
    """The reasons, the most frequent first, each with how many units it cost."""
    if not lost:
        return ""
    counts: dict[str, int] = {}
    for result in lost:
        text = f"{result.state}: {result.reason[:150]}"
        counts[text] = counts.get(text, 0) + 1
    told = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:REASONS_TOLD]
    return f"{len(lost)} of {expected} units are not there: " + "; ".join(f"{count} {text}" for text, count in told)


def _skips(skipped: Sequence[UnitResult]) -> str:
    named = ", ".join(f"{result.unit[:40]} ({result.reason[:40]})" for result in skipped[:UNITS_NAMED])
    more = f" and {len(skipped) - UNITS_NAMED} more" if skipped[UNITS_NAMED:] else ""
    return f"skipped: {named}{more}" if named else ""
