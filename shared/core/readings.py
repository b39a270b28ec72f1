"""What a gate reads before it opens, weighed: what was found, since when, and what of it counts. Pure.

A reader finds; `settle` says what that means for the gate, by one rule for all readings. `claims` says what there is to
be read back: the results that this run counts, and nothing that its mode does not plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.core.fold import FINDS, View
from shared.core.model import Completion, Control, Fact, Missing, Reading, ReadingVerdict, Start, Status
from shared.core.plan import PlannedPhase, PlannedProcessor
from shared.core.standing import Standing, may_refresh, stand

HEALTH, FRESHNESS, COMPLETENESS, SANITY = "health", "freshness", "completeness", "sanity"
"""The readings that a phase may ask for in its declaration."""

BAD_FOR = timedelta(seconds=60)
"""What is bad is asked again after it: one answer may be a hiccup, two so far apart are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where the rows of a processor stand."""

    name: str  # dataset.table
    column: str  # of its partition
    unit: str = ""  # the column whose values are its units; empty: it has none
    of_run: bool = False  # runs share a partition, and each has its own rows in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A query of @day, perhaps @run, that answers what cannot be true of some processors: processor, unit, fault."""

    processors: tuple[str, ...]
    sql: str
    of_run: bool = False  # asks for @run: runs share a partition, and each has its own rows in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What the gates of a pipeline read back of what its processors have written, as plain values."""

    tables: Mapping[str, Table] = field(default_factory=dict)  # by processor
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By processor, whose rows it is made of; where a phase has none of these, it is made of the phase before it."""
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    """By gate; of these a run asks those that are about what its mode plans."""

    def read_by(self, phase: PlannedPhase) -> tuple[str, ...] | None:
        """Whose rows the processors of a phase are made of, as planned; None: of all of the phase before it."""
        return tuple(dict.fromkeys(name for each in phase.processors for name in self.reads.get(each.name, ()))) or None


class Answer(StrEnum):
    """How what was found is, worst last."""

    WELL = "well"
    WARNED = "warned"  # to be told, and nothing to wait for
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a reader found, before anybody says what it means for the gate."""

    answer: Answer
    note: str
    values: Mapping[str, str] = field(default_factory=dict)  # what was seen, by service or table
    missing: tuple[Missing, ...] = ()  # what the run goes on without, if it goes on


def settle(name: str, found: Finding, before: Reading | None, now: datetime, *, closed: bool) -> Reading:
    """The reading that this makes. `before` is what it last was for the same gate attempt.

    The first bad answer holds. One that is still bad BAD_FOR later lets the gate open without, or, where the reading
    fails closed, keeps it shut until it is well, or a person says otherwise.
    """
    if found.answer is not Answer.BAD:
        verdict = ReadingVerdict.PASS if found.answer is Answer.WELL else ReadingVerdict.WARN
        return Reading(name=name, verdict=verdict, note=found.note, missing=found.missing, values=found.values)
    since = min(before.since, now) if before and before.since else now  # the clock may have been put back
    note, verdict = found.note, ReadingVerdict.HOLD
    if now - since >= BAD_FOR:
        verdict = ReadingVerdict.BLOCK if closed else ReadingVerdict.WARN
        how = "nothing opens before it is well" if closed else "goes on all the same"
        note = f"{note}; still so after {BAD_FOR.seconds} s, {how}"
    return Reading(name=name, verdict=verdict, note=note, missing=found.missing, values=found.values, since=since)


def unread(name: str, why: str) -> Finding:
    """What nobody could read. Who goes on goes on without having looked, and says so to the end."""
    note = f"could not be read: {why}"
    return Finding(answer=Answer.BAD, note=note, missing=(Missing(processor=name, why=note),))


def together(found: Sequence[Finding], otherwise: str) -> Finding:
    """Several as one: the worst answers; the notes of what is not well, or, where all is, what to say otherwise."""
    order = list(Answer)
    worst = max((each.answer for each in found), key=order.index, default=Answer.WELL)
    notes = [each.note for each in found if each.answer is not Answer.WELL]
    return Finding(
        answer=worst,
        note="; ".join(notes) or otherwise,
        values={name: value for each in found for name, value in each.values.items()},
        missing=tuple(missing for each in found for missing in each.missing),
    )


def overridden(reading: Reading, control: Control, now: datetime) -> Reading:
    """The reading as it counts: what a person has overridden only warns, until the override ends."""
    act = control.overrides.get(reading.name)
    refuses = reading.verdict in (ReadingVerdict.HOLD, ReadingVerdict.BLOCK)
    if act is None or not refuses or (act.until is not None and now >= act.until):
        return reading
    until = f", until {act.until:%Y-%m-%d %H:%M} UTC" if act.until else ""
    note = f"{reading.note}; overridden by {act.actor}: {act.reason}{until}"
    return replace(reading, verdict=ReadingVerdict.WARN, note=note)


# --- what there is to be read back ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A result that counts at a gate, with what its report says of it: to be compared with what stands."""

    processor: PlannedProcessor
    phase: str
    completion: Completion
    start: Start | None  # that it answers; None where nobody knows any more
    expected: tuple[str, ...] | None  # units that the gate would send on; None: nobody knows
    late: tuple[str, ...] = ()  # inputs whose result is newer than its start

    @property
    def superseded(self) -> bool:
        """A newer run's rows stand there, and it has written none."""
        return self.completion.status is Status.SKIPPED

    @property
    def units(self) -> tuple[str, ...]:
        """Of the expected ones, those that it says are there."""
        absent = {*self.completion.missing, *self.completion.excused}
        return tuple(unit for unit in self.expected or () if unit not in absent)


def claims(view: View, gate: str, names: Iterable[str] | None = None) -> tuple[Claim, ...]:
    """What counts on the left of a gate: of its own left phase, or of these processors, wherever they are planned.

    Nothing at the first gate of a run: what stands there is not this run's.
    """
    index = view.plan.gates.index(gate)
    if not index:
        return ()
    left = view.plan.phases[index - 1]
    wanted = set(left.by_name) if names is None else set(names)
    found: list[Claim] = []
    for phase in view.plan.phases[:index]:
        if not wanted.intersection(phase.by_name):
            continue
        standings = stand(view, phase, view.outcomes[phase.name])
        found.extend(
            _claim(view, left, phase, standings, name)
            for name, standing in standings.items()
            if name in wanted and standing.done
        )
    return tuple(found)


def _claim(view: View, left: PlannedPhase, phase: PlannedPhase, standings: Mapping[str, Standing], name: str) -> Claim:
    standing, starts = standings[name], view.starts.get(name, ())
    processor, completion = standing.processor, _spoken(view.facts[name], standing.at)
    start = next((start for start in starts if start.attempt == completion.attempt), None)
    inputs = (*processor.needs, *processor.after) if start else ()
    sealed = view.outcomes[left.name].expectations
    return Claim(
        processor=processor,
        phase=phase.name,
        completion=completion,
        start=start,
        expected=sealed.get(processor.unit, view.expectations.get(processor.unit)),
        late=tuple(each for each in inputs if start and _is_newer(standings[each], start)),
    )


def _spoken(facts: Sequence[Fact], at: datetime | None) -> Completion:
    """The report that speaks for a processor that is done: nothing else counts as done."""
    said = [fact.completion for fact in facts if fact.received_at == at]
    return next(each for each in reversed(said) if each.status in (*FINDS, Status.SKIPPED))


def _is_newer(given: Standing, start: Start) -> bool:
    """Whether an input has come, with other content, since a start was told what to read."""
    newer = given.at is not None and given.at > start.issued_at
    return newer and given.mark != start.inputs.get(given.processor.name) and may_refresh(given)
