"""`tipoff explain`: what is missing in a run, why, since when, and what happens next and when."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.markup import escape

from orchestration.cli import show
from orchestration.cli.batch import batches_of, run_asked
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import goes_on_line, settings_of
from orchestration.cli.status import status_of
from shared import wiring
from shared.core.batch_status import BatchStatus
from shared.core.codec import to_data
from shared.core.model import END, LedgerEntry
from shared.core.repairs import repairs
from shared.core.status import PhaseStatus, RunStatus
from shared.ports import Quarantined

QUARANTINED_MAX = 1_000  # the newest; more than that is another command's work


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    key = run_asked(arguments.run)
    with wiring.read_home(settings) as home:
        if home is None:
            raise UsageError(f"--home {settings.home}: nothing has run there yet")
        status = status_of(home.states, key)
        entries = home.states.ledger(key)
        batches = batches_of(home, key, show.utc_now())
        goes_on = goes_on_line(status, home, settings)
        plan, record = home.states.plan(key), home.states.load(key)
        assert plan is not None, f"{key} has a status, and no plan"
        acts = repairs(plan, record.facts, record.latches, entries)
        refused = [item for item in home.states.quarantined(QUARANTINED_MAX) if item.run == arguments.run]
    phases = status.phases
    if arguments.phase is not None:
        phases = tuple(phase for phase in phases if phase.phase == arguments.phase)
        if not phases:
            known = ", ".join(phase.phase for phase in status.phases)
            raise UsageError(f"--phase {arguments.phase!r} is not planned in {key}; planned: {known}")
        entries = tuple(entry for entry in entries if entry.gate in _gates_around(status, arguments.phase))
    if arguments.json:
        show.print_json(
            {
                **to_json(status, phases, entries, batches),
                "quarantined": [_refused(item) for item in refused],
                "repairs": to_data(acts),
            }
        )
        return OK
    console = show.console(settings)
    console.print(show.headline(status), soft_wrap=True)
    for phase in phases:
        if phase.opened_at is None and not arguments.phase:
            continue
        console.print(f"\n[bold]{phase.phase}[/] {phase.state}: {escape(_gate_line(phase))}", soft_wrap=True)
        if phase.opened_at is not None:
            console.print(show.processor_table(phase))
        for batch in batches:
            if batch.head.phase == phase.phase:
                console.print("\n".join(show.batch_lines(batch, show.utc_now())), soft_wrap=True)
    console.print("\n[bold]Decisions[/]")
    for entry in entries:
        console.print(show.decision_line(entry), soft_wrap=True)
        for line in show.reading_lines(entry):
            console.print(line, soft_wrap=True)
    if refused:
        console.print("\n[bold]Quarantined messages[/] (they changed nothing)")
    for item in refused:
        console.print(f"{item.at:%Y-%m-%d %H:%M:%S}  {item.topic}: {escape(item.reason)}", soft_wrap=True)
    if line := show.next_line(status, show.utc_now()):
        console.print(f"\n{line}")
    if goes_on:
        console.print(escape(goes_on), soft_wrap=True)
    return OK


def to_json(
    status: RunStatus,
    phases: tuple[PhaseStatus, ...],
    entries: tuple[LedgerEntry, ...],
    batches: Sequence[BatchStatus],
) -> dict[str, object]:
    """The documented form of `tipoff explain --json`: that of status for one run, with what stands behind it."""
    kept = {phase.phase for phase in phases}
    data = status.to_json()
    described = {phase.phase: phase for phase in phases}
    data["reason"] = status.reason
    data["next_look_at"] = status.next_look_at.isoformat() if status.next_look_at else None
    rows = data["phases"]
    assert isinstance(rows, list)
    data["phases"] = [
        {
            **row,
            "processors": _processors(described[row["phase"]]),
            "batches": [batch.to_json() for batch in batches if batch.head.phase == row["phase"]],
        }
        for row in rows
        if row["phase"] in kept
    ]
    data["decisions"] = [
        {
            "at": entry.at.isoformat(),
            "gate": entry.gate,
            "attempt": entry.attempt,
            "decision": entry.decision,
            "reason": entry.reason,
            "missing": to_data(entry.missing),
            "completeness": entry.completeness,
            "next_look_at": entry.next_look_at.isoformat() if entry.next_look_at else None,
            "readings": to_data(entry.readings),
        }
        for entry in entries
    ]
    return data


def _refused(item: Quarantined) -> dict[str, object]:
    return {"id": item.id, "at": item.at.isoformat(), "topic": item.topic, "reason": item.reason}


def _processors(phase: PhaseStatus) -> list[dict[str, object]]:
    return [
        {
            "processor": name,
            "critical": standing.processor.critical,
            "done": standing.done,
            "whole": standing.whole,
            "ended": standing.ended,
            "share": standing.share,
            "why": standing.why,
            "missing_units": list(standing.units),
            "reported_at": standing.at.isoformat() if standing.at else None,
        }
        for name, standing in phase.standings.items()
    ]


def _gates_around(status: RunStatus, phase: str) -> tuple[str, str]:
    """The gate that opens a phase and the one behind it."""
    names = [*(p.phase for p in status.phases), END]
    return phase, names[names.index(phase) + 1]


def _gate_line(phase: PhaseStatus) -> str:
    if phase.opened_at is None:
        return phase.reason
    opened = f"opened {show.moment(phase.opened_at)}"
    deadline = f"deadline {show.moment(phase.deadline_at)} ({phase.deadline_from})"
    if not phase.decision:  # nothing was expected: the run ended here, and that gate was never asked
        return f"{opened}, {deadline}"
    return f"{opened}, {deadline}; the gate behind it: {phase.decision}, {phase.reason}"
