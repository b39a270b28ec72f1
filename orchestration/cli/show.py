"""How a run looks on a terminal: decisions as they happen, tables at the end. Colour only where it is wanted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from shared.config.settings import Settings
from shared.core.batch_status import BatchHead, BatchState, BatchStatus
from shared.core.model import END, LedgerEntry
from shared.core.plan import PlannedProcessor
from shared.core.quality import TOO_POOR
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
BATCH_SAYS = {
    BatchState.ENDED: "has ended",
    BatchState.EXPIRED: "has expired",
    BatchState.SEALED: "was sealed",
    BatchState.CANCELLED: "was cancelled",
}
ALARM = "bold red"
MISSING_SHOWN = 4
ROOM_MIN = 20  # columns that a text needs to be wrapped beside others rather than by the terminal
PIPE_WIDTH = 160  # a pipe has no width of its own; long enough for a table, short enough to read


def console(settings: Settings, *, stderr: bool = False) -> Console:
    """Plain text into a pipe, colour on a terminal, none where NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, no_color=settings.no_color or None, highlight=False, width=width)


def spinner(console: Console) -> AbstractContextManager[Status | None]:
    """Shows what is going on, on a terminal only."""
    return console.status("starting") if console.is_terminal else nullcontext()


def safe(text: str) -> str:
    """Characters that are not printable as their escapes: no colour, no moved cursor, no turned direction, no line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(instant: datetime, now: datetime) -> str:
    seconds = max(0.0, (now - instant).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


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


def missing_text(phase: PhaseStatus) -> str:
    """What is not there, or was not when the gate behind it opened; what came too late for it."""
    late = f"late and ignored: {shorten(phase.ignored)}" if phase.ignored else ""
    return "; ".join(filter(None, (shorten(phase.missing), late)))


def gate_text(phase: PhaseStatus) -> str:
    """The gate behind a phase; why, wherever it is more than that all is there."""
    if phase.state is PhaseState.COMPLETE or not phase.reason:
        return phase.decision
    return f"{phase.decision}: {phase.reason}" if phase.decision else phase.reason


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


def limit_text(processor: PlannedProcessor) -> str:
    """How long its first attempt may take, and what decided it; older plans do not say."""
    return ", ".join(part for part in (f"{processor.timeout_s} s", processor.timeout_from) if part)


def batch_headline(batch: BatchStatus, now: datetime) -> str:
    """A batch as a person would say it."""
    head = batch.head
    said = BATCH_SAYS.get(head.state, f"is {head.state}")
    text = f"[bold]{head.batch}[/] [{BATCH_STYLE[head.state]}]{said}[/]"
    if head.state is BatchState.OPEN:
        late = len(batch.stragglers)
        pace = [rate(head), through(head, now)]
        text += f": {_ended(head)} units have ended" + "".join(f", {each}" for each in pace if each)
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


def batch_notes(batch: BatchStatus) -> list[str]:
    """What a person has said of a batch, what was asked of its units, and what somebody has to look into."""
    head, notes = batch.head, list[str]()
    if head.sealed_at:
        notes.append(f"Ended {moment(head.sealed_at)}: {safe(head.reason)}.")
    if batch.override or any(cause.reason.startswith(TOO_POOR) for cause in batch.causes):
        notes.append(f"Its units need {batch.quality_min:.0%} of their inputs.")
    if batch.override:
        act, until = batch.override, batch.override.until
        ends = f" until {moment(until)}" if until else ""
        notes.append(
            f"Those with less were ordered all the same, by the word of {safe(act.actor)}{ends}: {safe(act.reason)}."
        )
    if batch.healed:
        notes.append(f"The inputs of {len(batch.healed):,} units were read anew: {shorten(batch.healed)}.")
    if head.incident:
        notes.append(f"INCIDENT: {safe(head.incident)}")
    return notes


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


def batch_far(batch: BatchHead, now: datetime) -> str:
    """How far a batch is that has not reported, and when it may be through."""
    when = through(batch, now) if batch.state is BatchState.OPEN else str(batch.state)
    return f"{_ended(batch)} units" + (f", {when}" if when else "")


def _ended(batch: BatchHead) -> str:
    return f"{batch.ended:,} of {batch.units:,}"


def rate(batch: BatchHead) -> str:
    """How many of its units end in a second or, where that says nothing, in a minute; empty where none has."""
    if batch.per_s >= 1:
        return f"{batch.per_s:,.{0 if batch.per_s >= 10 else 1}f}/s"
    return f"{batch.per_s * 60:.1f} a minute" if batch.per_s else ""


def through(batch: BatchHead, now: datetime) -> str:
    """When an open batch will have ended, if it goes on so. Empty where nothing tells."""
    if batch.sealed_at or batch.ends_at is None:
        return ""
    if now >= batch.deadline_at:
        return "its deadline is over"
    if batch.ends_at > batch.deadline_at:
        return f"too slow for its deadline at {batch.deadline_at:%H:%M:%S} UTC"
    return f"through at about {batch.ends_at:%H:%M:%S} UTC"


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


OVERDUE_S = 60  # the timer looks once a minute


def moment(instant: datetime, now: datetime | None = None) -> str:
    text = f"{instant:%Y-%m-%d %H:%M:%S} UTC"
    if now is None:
        return text
    left_s = (instant - now).total_seconds()
    if left_s > 0:
        return f"{text} (in {span(left_s)})"
    return f"{text} (now)" if left_s > -OVERDUE_S else f"{text} (due {span(-left_s)} ago)"


def span(seconds: float) -> str:
    """So long, as roughly as a person who waits wants to know it."""
    if seconds <= 7_200:
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    unit, unit_s = ("h", 3_600) if seconds <= 172_800 else ("days", 86_400)
    return f"{round(seconds / unit_s, 1):g} {unit}"


def took(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    return spent((last - first).total_seconds())


def spent(seconds: float) -> str:
    """So long it was, for who compares."""
    return f"{seconds:.2f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def shorten(names: Iterable[str]) -> str:
    names = list(names)
    return named(names[:MISSING_SHOWN], len(names))


def named(first: Sequence[str], total: int) -> str:
    """The first of so many, by name."""
    more = total - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
