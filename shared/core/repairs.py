"""What self_heal did in a run because the primary path had not: kept as latches, or folded from what is there. Pure.

How often the backup does the primary path's job is how near the next outage is: a backup that works hides one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.core.fold import View
from shared.core.gate import key_of
from shared.core.model import (
    FOUND_REASON,
    FOUND_REPORT,
    Completion,
    Fact,
    Latch,
    LedgerEntry,
    Repair,
    RepairKind,
    RunKey,
    Start,
    Status,
    Woke,
)
from shared.core.plan import Plan
from shared.core.standing import mute_at, resend_at

BEGUN_BY: Mapping[str, str] = {"begun_by": "self-heal"}
"""The label of a run that its schedule did not begin."""

QUICKER = timedelta(seconds=10)
"""A gate that the timer opened sooner after its last report was on its way to be opened by that report."""

OPENED = ("open", "done")


RESENDS_MAX = 2
"""Of one start: the first may meet work as slow as it was itself; of three at once one is quick."""


def repair_latch(run: RunKey, repair: Repair, latches: Iterable[Latch] = (), *, number: int = 0) -> Latch:
    """The create-once record of an act: numbered by those before it, so of two who do it at once one does."""
    before = sum((each.kind, each.subject) == (repair.kind, repair.subject) for each in repairs_kept(latches))
    return Latch(key=f"{run}/repair/{repair.kind}/{repair.subject}/{number or before + 1}", run=run, repair=repair)


def repairs_kept(latches: Iterable[Latch]) -> tuple[Repair, ...]:
    """Those that have a record of their own, in the order they were taken."""
    return tuple(latch.repair for latch in latches if latch.repair)


def resend_of(view: View, start: Start) -> Latch | None:
    """The claim to send a start in doubt once more, under its own id: whoever has done it says so, and works no more.

    None where it is too soon, too late, against an operator's word, or has been done RESENDS_MAX times.
    """
    processor = view.plan.phase_by_name[start.phase].by_name[start.processor]
    if view.control.cancel or view.control.held_at(view.now):
        return None
    silent_s = (view.now - start.issued_at).total_seconds()
    reason = f"not reported for {silent_s:.0f} s, and nothing tells what it has left"
    repair = Repair(kind=RepairKind.RESEND, subject=_of(start), reason=reason, at=view.now)
    for number in range(1, RESENDS_MAX + 1):
        latch = replace(repair_latch(view.plan.run, repair, number=number), starts=(start,))
        if latch.key not in view.latch_keys:
            in_time = resend_at(start, processor, number) <= view.now < mute_at(start, processor)
            return latch if in_time else None
    return None


def repairs(
    plan: Plan, facts: Sequence[Fact], latches: Sequence[Latch], ledger: Sequence[LedgerEntry]
) -> tuple[Repair, ...]:
    """All that the backup did in a run, oldest first; dead letters that were left to a person are none of it."""
    kept = [repair for repair in repairs_kept(latches) if repair.kind is not RepairKind.LEFT]
    folded = [*_begun(plan), *_found(facts), *_attempts(plan, facts, latches), *_gates(plan, facts, latches, ledger)]
    return tuple(sorted([*kept, *folded], key=lambda repair: (repair.at, repair.kind, repair.subject)))


def report_found(
    start: Start, *, units: Sequence[str] | None, rows: int, digest: str, reason: str = FOUND_REASON
) -> Completion:
    """The report that a start's whole output is worth, which nobody sent: below every report of the processor's own."""
    count = None if units is None else len(set(units))
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=FOUND_REPORT,
        status=Status.SUCCESS,
        reason=reason,
        units_expected=count,
        units_actual=count,
        rows=rows,
        digest=digest,
    )


def _begun(plan: Plan) -> Iterator[Repair]:
    if BEGUN_BY.items() <= plan.labels.items():
        reason = "its schedule had not begun it"
        yield Repair(kind=RepairKind.RUN, subject=str(plan.run), reason=reason, at=plan.started_at)


def _found(facts: Iterable[Fact]) -> Iterator[Repair]:
    for fact in facts:
        if fact.completion.report == FOUND_REPORT:
            subject = f"{fact.completion.phase}/{fact.completion.processor}/{fact.completion.attempt}"
            yield Repair(kind=RepairKind.FOUND, subject=subject, reason=FOUND_REASON, at=fact.received_at)


def _attempts(plan: Plan, facts: Iterable[Fact], latches: Iterable[Latch]) -> Iterator[Repair]:
    """Those that were ordered because nothing was heard of the one before."""
    starts = {(s.processor, s.attempt): s for latch in latches if not latch.repair for s in latch.starts}
    heard: dict[tuple[str, int], datetime] = {}
    for fact in facts:
        about = (fact.completion.processor, fact.completion.attempt)
        heard[about] = min(heard.get(about, fact.received_at), fact.received_at)
    for (name, attempt), start in starts.items():
        before = starts.get((name, attempt - 1))
        if before is None or (start.asked and not (before.asked and before.by == start.by)):
            continue
        processor = plan.phase_by_name[start.phase].by_name[name]
        at = heard.get((name, before.attempt))
        if start.issued_at >= mute_at(before, processor) and (at is None or at > start.issued_at):
            reason = f"attempt {before.attempt} did not report in {processor.timeout_of(before.attempt)} s"
            yield Repair(kind=RepairKind.ATTEMPT, subject=_of(start), reason=reason, at=start.issued_at)


def _gates(
    plan: Plan, facts: Iterable[Fact], latches: Iterable[Latch], ledger: Iterable[LedgerEntry]
) -> Iterator[Repair]:
    """Those that the timer opened though a report, the last thing they waited for, should have done so.

    Where time had to pass (a grace, a deadline, a hold, a reading asked again), opening is the timer's own job.
    """
    told = {fact.received_at for fact in facts if fact.completion.report != FOUND_REPORT}
    begun = BEGUN_BY.items() <= plan.labels.items()
    opened = {(o.gate, o.attempt): o for latch in latches if (o := latch.outcome)}
    for entry in ledger:
        if entry.decision not in OPENED or entry.woke != Woke.SWEEP:
            continue
        outcome = opened[entry.gate, entry.attempt]
        ready_at = outcome.ready_at
        if ready_at is None and not outcome.left_round and not begun:  # the gate that opens by itself
            ready_at = plan.started_at
        elif ready_at not in told:
            continue
        if ready_at and entry.at >= ready_at + QUICKER:
            waited_s = (entry.at - ready_at).total_seconds()
            reason = f"it could have opened {waited_s:.0f} s before, when the last report came"
            yield Repair(kind=RepairKind.GATE, subject=key_of(entry), reason=reason, at=entry.at)


def _of(start: Start) -> str:
    return f"{start.phase}/{start.processor}/{start.attempt}"
