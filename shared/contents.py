"""What gates read back from the warehouse: whose rows stand, whether they are all there, whether they can be true.

Readers for gates, told by plain values where everything stands. A report is a hint; what stands is what will be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.core.fold import View
from shared.core.model import Missing, Reading
from shared.core.readings import (
    COMPLETENESS,
    FRESHNESS,
    SANITY,
    Answer,
    Check,
    Claim,
    Finding,
    ReadBack,
    Table,
    claims,
    settle,
    together,
    unread,
)
from shared.ports import Partition, Stood, Warehouse, WarehouseError

ENOUGH = 0.95
"""Share of its units below which a result is told as incomplete, though its own report has named what it lacks."""

NAMED_MAX = 5  # units told in a note; all of them are in what is missing

Find = Callable[[View, str], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsRead:
    """One reading of what stands in the warehouse."""

    name: str
    warehouse: Callable[[], Warehouse]  # connects at the first use
    read_back: Mapping[str, ReadBack]  # by pipeline

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        closed = self.name in view.plan.phase_by_name[gate].fails_closed
        try:
            found = self._find(view, gate)
        except (OSError, WarehouseError) as error:
            found = unread(self.name, " ".join(str(error).split()))  # engines point at a place in lines of their own
        return settle(self.name, found, before, view.now, closed=closed)

    def _find(self, view: View, gate: str) -> Finding:
        told = self.read_back.get(view.plan.run.pipeline, ReadBack())
        if self.name == SANITY:
            return self._sane(view, gate, told)
        judge = {FRESHNESS: fresh, COMPLETENESS: complete}[self.name]
        asked = [
            (claim, told.tables[claim.processor.name])
            for claim in claims(view, gate, told.read_by(view.plan.phase_by_name[gate]))
            if claim.processor.name in told.tables
        ]
        stand = self.warehouse().contents([(_partition(claim, table), table.unit) for claim, table in asked])
        found = [
            judge(claim, table, _own(claim, table, each)) for (claim, table), each in zip(asked, stand, strict=True)
        ]
        return together(found, f"{len(found)} of {len(found)} tables" if found else "nothing to read before this gate")

    def _sane(self, view: View, gate: str, told: ReadBack) -> Finding:
        found: list[Finding] = []
        for check in told.checks.get(gate, ()):
            if asked := claims(view, gate, check.processors):
                found.extend(self._checked(check, asked))
        return together(found, f"{len(found)} of {len(found)} tables" if found else "nothing to check before this gate")

    def _checked(self, check: Check, asked: Sequence[Claim]) -> Iterator[Finding]:
        run = {"run": str(asked[0].completion.run)} if check.of_run else {}
        rows = self.warehouse().query(check.sql, {"day": asked[0].processor.partition, **run})
        for claim in asked:
            mine = (row for row in rows if row["processor"] == claim.processor.name)
            yield sane(claim, {str(row["unit"]): str(row["fault"]) for row in mine})


def _partition(claim: Claim, table: Table) -> Partition:
    day = claim.processor.partition
    return Partition(table=table.name, column=table.column, first=day, last=day)


def _own(claim: Claim, table: Table, stand: Sequence[Stood]) -> Sequence[Stood]:
    """Where runs share a partition, the rows of others are no matter."""
    return [each for each in stand if not table.of_run or each.stamp.run == str(claim.completion.run)]


def fresh(claim: Claim, table: Table, stand: Sequence[Stood]) -> Finding:
    """Whether what stands is what this run's report is about, made of what its inputs are now.

    Rows have no time of their own: an attempt's start was issued when its inputs counted, so whose rows stand, and of
    which attempt, says what they were made of. A newer fence than ours has outranked us, and is as fresh as can be.
    """
    run, attempt, rows = str(claim.completion.run), claim.completion.attempt, claim.completion.rows
    newest = stand[0] if stand else None
    seen = f"{newest.rows} rows of {newest.stamp.run}, attempt {newest.stamp.attempt}" if newest else "no rows"
    why = ""
    if claim.late:
        why = f"attempt {attempt} was started before its input {', '.join(claim.late)} came anew"
    elif claim.superseded or (newest and claim.start and newest.stamp.fence > claim.start.fence):
        seen += ", which outrank this run's"
    elif newest is None:
        why = f"reported {rows} rows, and none stands" if rows else ""
    elif (newest.stamp.run, newest.stamp.attempt) != (run, attempt):
        why = f"{seen} stand, not those of {run}, attempt {attempt}"
    return _finding(claim, table, seen, why, bad=True)


def complete(claim: Claim, table: Table, stand: Sequence[Stood]) -> Finding:
    """Whether each unit that was reported has rows; and whether those there are enough of the expected ones."""
    there = {unit for each in stand for unit in each.units}
    expected, units = claim.expected or (), claim.units
    gone = tuple(unit for unit in units if unit not in there)
    lacking = [unit for unit in expected if unit not in there and unit not in claim.completion.excused]
    seen = f"{len(expected) - len(lacking)} of {len(expected)} {claim.processor.unit}"
    if not table.unit or claim.superseded or claim.expected is None:
        return _finding(claim, table, f"{sum(each.rows for each in stand)} rows")
    if gone and gone == units and claim.processor.critical:
        return _finding(claim, table, seen, f"none of its {len(units)} {claim.processor.unit} has rows", bad=True)
    if gone:
        return _finding(claim, table, seen, f"no rows of {_listed(gone)}, which it reported", units=gone)
    if expected and 1 - len(lacking) / len(expected) < ENOUGH:
        note = f"{claim.processor.name} has {seen}, below {ENOUGH:.0%}"
        return Finding(answer=Answer.WARNED, note=note, values={table.name: seen})
    return _finding(claim, table, seen)


def sane(claim: Claim, faults: Mapping[str, str]) -> Finding:
    """Which units cannot be true: those are left out, each by its name. Where all are, it is bad as a whole."""
    name, units = claim.processor.name, claim.units
    faulty = tuple(unit for unit in units if unit in faults)
    values = {name: f"{len(units) - len(faulty)} of {len(units)} {claim.processor.unit} can be true"}
    why = "; ".join(f"{unit}: {faults[unit]}" for unit in faulty[:NAMED_MAX])
    if not faulty:
        return Finding(answer=Answer.WELL, note="", values=values)
    is_all = faulty == units
    return Finding(
        answer=Answer.BAD if is_all else Answer.WARNED,
        note=f"{name}: {why}{_more(faulty)}",
        values=values,
        missing=(Missing(processor=name, why=f"cannot be true: {why}", units=() if is_all else faulty),),
    )


def _finding(
    claim: Claim, table: Table, seen: str, why: str = "", *, bad: bool = False, units: tuple[str, ...] = ()
) -> Finding:
    """What is bad as a whole is named as a whole: its units stay in what there is to do, so that the phase that opens
    says itself that it has nothing to read."""
    name = claim.processor.name
    if not why:
        return Finding(answer=Answer.WELL, note="", values={table.name: seen})
    return Finding(
        answer=Answer.BAD if bad else Answer.WARNED,
        note=f"{name}: {why}",
        values={table.name: seen},
        missing=(Missing(processor=name, why=why, units=units),),
    )


def _listed(units: Sequence[str]) -> str:
    return ", ".join(units[:NAMED_MAX]) + _more(units)


def _more(units: Sequence[str]) -> str:
    return f" and {len(units) - NAMED_MAX} more" if units[NAMED_MAX:] else ""
