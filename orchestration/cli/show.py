"""How a run looks on a terminal: decisions as they happen, tables at the end. Colour only where it is wanted."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from orchestration.wording import (
    BATCH_SAYS as BATCH_SAYS,
)
from orchestration.wording import (
    age as age,
)
from orchestration.wording import (
    batch_far as batch_far,
)
from orchestration.wording import (
    batch_notes as batch_notes,
)
from orchestration.wording import (
    ended_text as ended_text,
)
from orchestration.wording import (
    gate_text as gate_text,
)
from orchestration.wording import (
    limit_text as limit_text,
)
from orchestration.wording import (
    missing_text as missing_text,
)
from orchestration.wording import (
    moment as moment,
)
from orchestration.wording import (
    named as named,
)
from orchestration.wording import (
    next_line as next_line,
)
from orchestration.wording import (
    rate as rate,
)
from orchestration.wording import (
    safe as safe,
)
from orchestration.wording import (
    shorten as shorten,
)
from orchestration.wording import (
    span as span,
)
from orchestration.wording import (
    spent as spent,
)
from orchestration.wording import (
    through as through,
)
from orchestration.wording import (
    took as took,
)
from shared.config.settings import Settings
from shared.core.batch_status import BatchState, BatchStatus
from shared.core.model import END, Alert, LedgerEntry
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
BATCH_STYLE = {
    BatchState.OPEN: "cyan",
    BatchState.CONSOLIDATING: "cyan",
    BatchState.ENDED: "green",
    BatchState.EXPIRED: "bold yellow",
    BatchState.SEALED: "bold yellow",
    BatchState.CANCELLED: "bold yellow",
}
ALARM = "bold red"
ROOM_MIN = 20  # columns that a text needs to be wrapped beside others rather than by the terminal
PIPE_WIDTH = 160  # a pipe has no width of its own; long enough for a table, short enough to read


def incident_line(alert: Alert) -> Text:
    """One that is open, and who has it."""
    by = f", acknowledged by {safe(alert.acknowledged.actor)}" if alert.acknowledged else ""
    return Text(f"INCIDENT ({alert.severity}) since {moment(alert.at)}{by}: {safe(alert.summary)}", style=ALARM)


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


def run_table(status: RunStatus, far: Mapping[str, str] | None = None) -> Table:
    """Each phase in a line; by phase, how far the batch is that it waits for."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("phase", "state", "done", "missing", "took", "gate behind it"):
        table.add_column(name, no_wrap=name in ("phase", "state", "done", "took"))
    for phase in status.phases:
        table.add_row(
            phase.phase,
            f"[{STYLE.get(phase.state, '')}]{phase.state}[/]" if STYLE.get(phase.state) else phase.state,
            f"{phase.done} of {phase.expected}" + (f" ({far[phase.phase]})" if far and phase.phase in far else ""),
            escape(missing_text(phase)),
            took(phase.opened_at, phase.passed_at),
            escape(gate_text(phase)),
        )
    return table


def print_rows(console: Console, rows: Sequence[Sequence[Text]]) -> None:
    """Columns of which the last is wrapped under itself on a terminal, and is one line in a pipe, for grep."""
    widths = [max(cell_len(row[column].plain) for row in rows) for column in range(len(rows[0]) - 1)]
    indent = sum(widths) + 2 * len(widths)
    room = console.width - indent
    for *cells, last in rows:
        line = Text()
        for cell, width in zip(cells, widths, strict=True):
            line.append_text(cell).append(" " * (width + 2 - cell_len(cell.plain)))
        parts = last.wrap(console, room) if console.is_terminal and room >= ROOM_MIN else [last]
        for number, part in enumerate(parts):
            line = line.append_text(part) if number == 0 else Text(" " * indent).append_text(part)
            line.rstrip()
            console.print(line, soft_wrap=True)


def processor_table(phase: PhaseStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("processor", "class", "state", "reported", "limit", "why"):
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
        table.add_row(name, kind, state, reported, limit_text(standing.processor), escape(standing.why))
    return table


def batch_headline(batch: BatchStatus, now: datetime) -> str:
    """A batch as a person would say it."""
    head = batch.head
    said = BATCH_SAYS.get(head.state, f"is {head.state}")
    text = f"[bold]{head.batch}[/] [{BATCH_STYLE[head.state]}]{said}[/]"
    if head.state is BatchState.OPEN:
        late = len(batch.stragglers)
        pace = [rate(head), through(head, now)]
        text += f": {ended_text(head)} units have ended" + "".join(f", {each}" for each in pace if each)
        return text + (f"; {late} straggler{'s' if late > 1 else ''}" if late else "")
    there = f"{batch.counts['done'] + batch.counts['skipped']:,} of {head.units:,} units"
    if head.state is BatchState.CANCELLED:
        return f"{text} after {spent(head.ended_s or 0)}; {there} were there, and none of it counts"
    text += f" after {spent(head.ended_s or 0)}: {there} are there; "
    if head.completion is None:
        return text + escape(safe(head.reason))
    why = safe(head.completion.reason)
    told = f"{head.completion.status}: {why}" if why else head.completion.status
    return text + escape(f"reported {told}")


def batch_lines(batch: BatchStatus, now: datetime) -> list[str]:
    """How far a batch is, why units are not done, and what holds it up."""
    head = batch.head
    counts = ", ".join(f"{count:,} {state}" for state, count in batch.counts.items() if count) or "none has ended"
    lines = [f"batch {batch_headline(batch, now)}", f"  {counts}; {batch.chunks_ended} of {batch.chunks} chunks"]
    if head.sealed_at is None:
        lines[-1] += f", deadline {moment(head.deadline_at)} ({head.deadline_from})"
    if batch.next_look_at:
        lines[-1] += f", next look {moment(batch.next_look_at, now)}"
    told = [
        f"{len(each.units):,} {each.state}: {safe(each.reason)} ({safe(shorten(each.units))})" for each in batch.causes
    ]
    for each in batch.stragglers:
        order, which = each.order, named(each.units, len(each.order.places))
        told.append(f"straggler: order {order.number} of chunk {order.chunk}, since {moment(order.at)} ({which})")
    return lines + [escape(f"  {line}") for line in [*told, *batch_notes(batch)]]


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


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
