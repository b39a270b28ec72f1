"""How a run looks on a terminal: decisions as they happen, tables at the end. Colour only where it is wanted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from orchestration.cli.batch import BatchStatus
from shared.config.settings import Settings
from shared.core.model import END, LedgerEntry
from shared.core.status import PhaseState, PhaseStatus, RunState, RunStatus

STYLE = {
    "open": "green",
    "done": "bold green",
    "wait": "dim",
    "ask": "dim",
    "block": "bold yellow",
    "fail": "bold red",
    RunState.PUBLISHED: "bold green",
    RunState.NOTHING_EXPECTED: "green",
    RunState.DEGRADED: "bold yellow",
    RunState.RUNNING: "cyan",
    RunState.BLOCKED: "bold yellow",
    RunState.FAILED: "bold red",
    PhaseState.COMPLETE: "green",
    PhaseState.NOT_NEEDED: "dim",
    PhaseState.WAITING: "dim",
}
MISSING_SHOWN = 4
PIPE_WIDTH = 160  # a pipe has no width of its own; long enough for a table, short enough to read


def console(settings: Settings, *, stderr: bool = False) -> Console:
    """Plain text into a pipe, colour on a terminal, none where NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, no_color=settings.no_color or None, highlight=False, width=width)


def spinner(console: Console) -> AbstractContextManager[Status | None]:
    """Shows what is going on, on a terminal only."""
    return console.status("starting") if console.is_terminal else nullcontext()


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")  # ASCII: it reads the same whatever the locale


def print_text(text: str) -> None:
    """As it is: not wrapped, not coloured."""
    sys.stdout.write(f"{text}\n")


def decision_line(entry: LedgerEntry, since: datetime | None = None) -> str:
    """One decision: when (since that time, or on the clock), at which gate, what, why."""
    style = STYLE.get(entry.decision, "")
    gate = "the end" if entry.gate == END else entry.gate
    again = f" (attempt {entry.attempt})" if entry.attempt > 1 else ""
    when = f"{(entry.at - since).total_seconds():8.2f} s" if since else f"{entry.at:%Y-%m-%d %H:%M:%S}"
    return (
        f"[dim]{when}[/]  gate to [bold]{gate:<12}[/]{again} "
        f"[{style}]{entry.decision.upper():<5}[/]  {escape(entry.reason)}"
    )


def run_table(status: RunStatus, batches: Sequence[BatchStatus] = ()) -> Table:
    """Each phase in a line; how far the batch is that a phase waits for."""
    units = {batch.phase: f" ({batch.ended:,} of {batch.units:,} units)" for batch in batches if not batch.sealed_at}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("phase", "state", "done", "missing", "took", "gate behind it"):
        table.add_column(name, no_wrap=name in ("phase", "state", "done", "took"))
    for phase in status.phases:
        table.add_row(
            phase.phase,
            f"[{STYLE.get(phase.state, '')}]{phase.state}[/]" if STYLE.get(phase.state) else phase.state,
            f"{phase.done} of {phase.expected}{units.get(phase.phase, '')}",
            escape(shorten(phase.missing)),
            took(phase.opened_at, phase.passed_at),
            escape(gate_text(phase)),
        )
    return table


def gate_text(phase: PhaseStatus) -> str:
    """The gate behind a phase; why, wherever it is more than that all is there."""
    if phase.state is PhaseState.COMPLETE or not phase.reason:
        return phase.decision
    return f"{phase.decision}: {phase.reason}" if phase.decision else phase.reason


def processor_table(phase: PhaseStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("processor", "class", "state", "reported", "why"):
        table.add_column(name, no_wrap=name != "why")
    for name, standing in phase.standings.items():
        if standing.whole:
            state = "[green]done[/]"
        elif standing.done:
            state = "[yellow]counts, not whole[/]"
        else:
            state = "[yellow]ended[/]" if standing.ended else "[cyan]open[/]"
        kind = "critical" if standing.processor.critical else "optional"
        reported = f"{standing.at:%H:%M:%S}" if standing.at else ""
        table.add_row(name, kind, state, reported, escape(standing.why))
    return table


def batch_lines(batch: BatchStatus, now: datetime) -> list[str]:
    """How far a batch is, and why units are not done."""
    counts = ", ".join(f"{count:,} {state}" for state, count in batch.counts.items() if count)
    ended = f"{batch.ended:,} of {batch.units:,} units have ended" + (f": {counts}" if counts else "")
    if batch.sealed_at:
        when = f"sealed {moment(batch.sealed_at)}, {batch.reason}"
    else:
        when = f"{batch.chunks_ended} of {batch.chunks} chunks, deadline {moment(batch.deadline_at)}"
        if batch.next_look_at:
            when += f", next look {moment(batch.next_look_at, now)}"
    lines = [f"batch [bold]{batch.batch}[/]: {ended}; {escape(when)}"]
    for cause in batch.causes:
        told = f"  {len(cause.units):,} {cause.state}: {cause.reason} ({shorten(cause.units)})"
        lines.append(escape(told))
    return lines


def headline(status: RunStatus) -> str:
    style = STYLE[status.state]
    text = f"[bold]{status.run}[/] is [{style}]{status.state}[/]"
    if status.state is RunState.DEGRADED:
        text += f", completeness {status.completeness:.1%}, without {shorten(status.missing) or 'all it planned'}"
    if status.synthetic:
        text += " [yellow](synthetic)[/]"
    if status.ended_at:
        text += f" after {took(status.started_at, status.ended_at)}"
    if replays := status.labels.get("replays"):
        said = f"replays {replays} from {status.labels['from']}, {status.labels['actor']}: {status.labels['reason']}"
        text += f" [dim]({escape(said)})[/]"
    return f"{text}: {escape(status.reason)}"


def next_line(status: RunStatus, now: datetime) -> str:
    """What happens next and when."""
    if status.next_look_at is None:
        return "Nothing more will happen by itself." if not status.state.well else ""
    return f"Next look {moment(status.next_look_at, now)}."


def moment(instant: datetime, now: datetime | None = None) -> str:
    text = f"{instant:%Y-%m-%d %H:%M:%S} UTC"
    if now is None:
        return text
    left_s = (instant - now).total_seconds()
    return f"{text} (in {span(left_s)})" if left_s > 0 else f"{text} (now)"


def span(seconds: float) -> str:
    """So long, as roughly as a person who waits wants to know it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def took(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    seconds = (last - first).total_seconds()
    return f"{seconds:.2f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def shorten(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - MISSING_SHOWN
    return ", ".join(names[:MISSING_SHOWN]) + (f" and {more} more" if more > 0 else "")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
