"""A run's story: what each decision saw, what is not whole and since when, and whether all would be decided so again.

Pure: for `tipoff explain` and `tipoff recompute`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.core.fold import View, look_back
from shared.core.gate import consequences, decide
from shared.core.model import Fact, Latch, LedgerEntry, OutcomeKind, Reading, ReadingVerdict
from shared.core.plan import Plan
from shared.core.standing import Standing, stand

COMPARED = ("gate", "attempt", "decision", "reason", "missing", "completeness", "next_look_at")
"""What a decision says, apart from what it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saw:
    """What a decision had before it: how much of the phase on the left of its gate, and the readings against it."""

    done: int
    planned: int  # 0 for the first gate, which has none
    against: tuple[Reading, ...]  # that did not pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A processor of an open phase that is not whole."""

    phase: str
    standing: Standing
    since: datetime  # it has been as it is: skipped, reported, or ordered and not heard of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """A decision beside the same one, made now from what it saw then."""

    entry: LedgerEntry
    now: LedgerEntry
    lost: tuple[str, ...]  # facts and latches that it saw and nobody has any more

    @property
    def differs(self) -> tuple[str, ...]:
        """What it says otherwise now."""
        return tuple(name for name in COMPARED if getattr(self.entry, name) != getattr(self.now, name))

    @property
    def equal(self) -> bool:
        return not self.lost and not self.differs


def saw(plan: Plan, facts: Sequence[Fact], latches: Sequence[Latch], entry: LedgerEntry) -> Saw:
    """What stood on the left of the gate when it was decided."""
    view = look_back(plan, facts, latches, entry)
    index = plan.gates.index(entry.gate)
    opened = view.outcomes.get(plan.gates[index - 1]) if index else None
    left = plan.phases[index - 1] if index else None
    standings = stand(view, left, opened) if left and opened else {}
    return Saw(
        done=sum(standing.done for standing in standings.values()),
        planned=len(left.processors) if left else 0,
        against=tuple(r for r in entry.readings.values() if r.verdict is not ReadingVerdict.PASS),
    )


def lacks(view: View) -> tuple[Lack, ...]:
    """Every processor of an open phase that is not whole, in the order of the plan."""
    found = []
    for phase in view.plan.phases:
        opened = view.outcomes.get(phase.name)
        if opened is None or opened.kind is not OutcomeKind.OPEN:
            continue
        for name, standing in stand(view, phase, opened).items():
            if not standing.whole:
                found.append(
                    Lack(phase=phase.name, standing=standing, since=_since(view, name, standing) or opened.decided_at)
                )
    return tuple(found)


def _since(view: View, name: str, standing: Standing) -> datetime | None:
    """None: since its phase opened."""
    if act := view.control.skips.get(name):
        return act.at
    if standing.at:
        return standing.at
    starts = view.starts.get(name)
    return starts[-1].issued_at if starts else None


def recomputed(plan: Plan, facts: Sequence[Fact], latches: Sequence[Latch], entry: LedgerEntry) -> Recomputed:
    """An entry of the ledger, decided again by the code of today from what it saw then."""
    view = look_back(plan, facts, latches, entry)
    verdict = decide(view, entry.readings, entry.refused)
    there = {*view.fact_ids, *view.latch_keys}
    return Recomputed(
        entry=entry,
        now=consequences(view, verdict, entry.readings, entry.refused).entry,
        lost=tuple(id for id in (*entry.facts, *entry.latches) if id not in there),
    )
