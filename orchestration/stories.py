"""A run's whole story, read: for `tipoff explain` and for its page on the dashboard."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestration.commands import goes_on_line, home_option, run_command
from orchestration.helps import Help, helps
from orchestration.records import batches_of, newest
from orchestration.wording import shorten
from shared.config.settings import Settings
from shared.core.batch_status import BatchStatus
from shared.core.fold import View, look
from shared.core.incident import open_incidents
from shared.core.model import END, Alert, LedgerEntry, Repair, RunKey, Woke, Word
from shared.core.plan import Plan
from shared.core.repairs import repairs
from shared.core.status import PhaseStatus, RunStatus, summarise
from shared.core.story import Lack, Saw, lacks, saw
from shared.ports import Quarantined
from shared.wiring import ReadHome

QUARANTINED_MAX = 1_000  # the newest; more than that is another command's work


class NotPlanned(LookupError):
    """A phase that the run has not: names both, and those that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is told of one run, or of one of its phases."""

    view: View
    status: RunStatus
    phases: tuple[PhaseStatus, ...]
    lacks: tuple[Lack, ...]
    decisions: tuple[tuple[LedgerEntry, Saw], ...]
    words: tuple[Word, ...]
    repairs: tuple[Repair, ...]
    incidents: tuple[Alert, ...]
    batches: list[BatchStatus]
    refused: list[Quarantined]
    newest: RunKey
    goes_on: str
    helps: tuple[Help, ...]


def read_story(home: ReadHome, settings: Settings, plan: Plan, now: datetime, only: str | None = None) -> Story:
    """All that is told of a run that is there, or of one of its phases. Raises NotPlanned for a phase that is none."""
    key = plan.run
    record = home.states.load(key)
    entries = home.states.ledger(key)
    if entries and entries[-1].at > (record.last_entry or entries[-1]).at:  # somebody is at work: what it saw is newer
        record = home.states.load(key)
    view = look(plan, record.facts, record.latches, record.control, now)
    status = summarise(view, record.last_entry)
    acts = repairs(plan, record.facts, record.latches, entries)
    phases = status.phases
    if only is not None:
        phases = tuple(phase for phase in phases if phase.phase == only)
        if not phases:
            raise NotPlanned(f"--phase {only!r} is not planned in {key}; planned: {', '.join(plan.phase_by_name)}")
        entries = tuple(entry for entry in entries if entry.gate in _gates_around(status, only))
    names = {phase.phase for phase in phases}
    return Story(
        view=view,
        status=status,
        phases=phases,
        lacks=tuple(lack for lack in lacks(view) if lack.phase in names),
        decisions=tuple((entry, saw(plan, record.facts, record.latches, entry)) for entry in entries),
        words=record.control.said,
        repairs=acts,
        incidents=open_incidents(view),
        batches=[batch for batch in batches_of(home, key, now) if batch.head.phase in names],
        refused=[item for item in home.states.quarantined(QUARANTINED_MAX) if item.run == str(key)],
        newest=newest(home.states, key.pipeline, key.date, key.date)[key.date, key.mode],
        goes_on=goes_on_line(status, home, settings),
        helps=helps(
            view,
            status,
            record.last_entry,
            options=home_option(settings),
            goes_on=run_command(key, plan.labels, home.states, settings),
        ),
    )


def reasons(entry: LedgerEntry, seen: Saw, named: Collection[str]) -> Iterator[str]:
    """The reason, and what it does not name itself."""
    yield entry.reason
    for reading in seen.against:
        if reading.note not in entry.reason:
            yield f"{reading.name} {reading.verdict}: {reading.note}"
    lacking = [each.processor for each in entry.missing if each.processor not in named]
    if lacking and entry.decision not in ("wait", "ask") and not all(name in entry.reason for name in lacking):
        yield f"without {shorten(lacking)}"
    if entry.woke in (Woke.SWEEP, Woke.NUDGE) and entry.decision in ("open", "done", "fail"):
        yield f"woken by the {entry.woke}"


def _gates_around(status: RunStatus, phase: str) -> tuple[str, str]:
    """The gate that opens a phase and the one behind it."""
    names = [*(p.phase for p in status.phases), END]
    return phase, names[names.index(phase) + 1]
