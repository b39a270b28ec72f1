"""`tipoff explain`: a run's whole story on one screen: what is missing, why, since when, what happens next and when."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from orchestration.cli import show
from orchestration.cli.batch import run_asked
from orchestration.cli.main import OK, UsageError
from orchestration.cli.options import home_option, settings_of
from orchestration.cli.status import known_plan
from orchestration.cli.words import word_json
from orchestration.stories import NotPlanned, Story, read_story, reasons
from shared import wiring
from shared.config.settings import Settings
from shared.core.codec import to_data
from shared.core.model import END, LedgerEntry, Repair, RepairKind, RunKey, Word
from shared.core.status import PhaseStatus
from shared.core.story import Lack, Saw
from shared.ports import Quarantined
from shared.wiring import ReadHome

LINES_MAX = 24  # decisions and words: with the phases and what is missing they fill a screen


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    key = run_asked(arguments.run)
    with wiring.read_home(settings) as home:
        if home is None:
            raise UsageError(f"--home {settings.home}: nothing has run there yet")
        story = _read(home, settings, key, arguments.phase)
    if arguments.json:
        show.print_json(to_json(story))
        return OK
    console = show.console(settings)
    _print_head(console, story, settings)
    if arguments.phase:
        _print_phase(console, story.phases[0])
    else:
        _print_phases(console, story)
    for batch in story.batches:
        console.print("\n".join(show.batch_lines(batch, show.utc_now())), soft_wrap=not console.is_terminal)
    _print_decisions(console, story, whole=arguments.phase is not None)
    if story.refused:
        console.print("\n[bold]Quarantined messages[/] (they changed nothing)")
    for item in story.refused:
        console.print(
            f"{item.at:%Y-%m-%d %H:%M:%S}  {item.topic}: {escape(item.reason)}", soft_wrap=not console.is_terminal
        )
    return OK


# --- for a person -----------------------------------------------------------------------------------------


def _read(home: ReadHome, settings: Settings, key: RunKey, only: str | None) -> Story:
    try:
        return read_story(home, settings, known_plan(home.states, key), show.utc_now(), only)
    except NotPlanned as error:
        raise UsageError(str(error)) from None


def _print_head(console: Console, story: Story, settings: Settings) -> None:
    """How it is, and what happens next and when: what a person wants to know first."""
    status, now = story.status, show.utc_now()
    console.print(show.headline(status), soft_wrap=not console.is_terminal)
    for alert in story.incidents:
        console.print(show.incident_line(alert), soft_wrap=not console.is_terminal)
    console.print(show.next_line(status, now) or "It is through; nothing is under way.")
    if story.newest != status.run:
        told = f"{story.newest} stands over it: tipoff explain {story.newest}{home_option(settings)}"
        console.print(Text(told), soft_wrap=True)
    if story.goes_on:
        console.print(Text(story.goes_on), soft_wrap=True)
    if story.helps:
        console.print("What helps:")
    for each in story.helps:
        console.print(Text(f"  {each.what}: {each.command}"), soft_wrap=True)


def _print_phases(console: Console, story: Story) -> None:
    """A line for each phase; below them whatever is not whole."""
    heads = ("phase", "state", "done", "opened", "took", "deadline", "gate behind it")
    rows = [
        [
            Text(phase.phase),
            Text(str(phase.state), style=show.STYLE.get(phase.state, "")),
            Text(f"{phase.done} of {phase.expected}"),
            Text(_clock(story, phase.opened_at)),
            Text(show.took(phase.opened_at, phase.passed_at)),
            Text(_clock(story, phase.deadline_at)),
            Text(phase.decision if phase.passed_at else show.gate_text(phase)),
        ]
        for phase in story.phases
    ]
    console.print()
    show.print_rows(console, [[Text(head, style="dim") for head in heads], *rows])
    if story.lacks:
        console.print("\n[bold]Not whole[/]")
        show.print_rows(console, [_lack(story, lack) for lack in story.lacks])


def _lack(story: Story, lack: Lack) -> list[Text]:
    standing = lack.standing
    return [
        Text(lack.phase),
        Text(standing.processor.name),
        Text("critical" if standing.processor.critical else "optional"),
        Text(f"since {_clock(story, lack.since)}", style="dim"),
        Text(show.safe(standing.why), style="yellow" if standing.ended or standing.done else ""),
    ]


def _print_phase(console: Console, phase: PhaseStatus) -> None:
    """One of them, with each of its processors."""
    console.print(
        f"\n[bold]{phase.phase}[/] {phase.state}: {escape(_gate_line(phase))}", soft_wrap=not console.is_terminal
    )
    if phase.opened_at is not None:
        console.print(show.processor_table(phase))


def _print_decisions(console: Console, story: Story, *, whole: bool) -> None:
    """Decisions and what people said, in the order of time; of a long story the newest, unless all is asked for."""
    named = set[str]()  # what is missing is named once: it is carried on to the end
    told = [(word.act.at, 0, _word(story, word)) for word in story.words]
    told += [(act.at, 0, _repair(story, act)) for act in story.repairs if act.kind is not RepairKind.GATE]
    for entry, seen in story.decisions:
        told.append((entry.at, 1, _decision(story, entry, seen, named)))
        if entry.decision not in ("wait", "ask"):  # what a wait is for is told as it is now
            named |= {missing.processor for missing in entry.missing}
    told.sort(key=lambda line: line[:2])
    left_out = 0 if whole else max(0, len(told) - LINES_MAX)
    console.print("\n[bold]Decisions[/], and what people said" if story.words else "\n[bold]Decisions[/]")
    if left_out:
        console.print(f"{left_out} earlier ones are not shown; --phase and --json show them.", soft_wrap=True)
    if told:
        heads = [Text(head, style="dim") for head in ("at (UTC)", "gate to", "decision", "saw", "why")]
        show.print_rows(console, [heads, *(line for _, _, line in told[left_out:])])


def _word(story: Story, word: Word) -> list[Text]:
    act = word.act
    about = f"{word.about}, " if word.about else ""
    until = f" (until {show.moment(act.until)})" if act.until else ""
    return [
        Text(_clock(story, act.at), style="dim"),
        Text("operator", style="magenta"),
        Text(word.verb.replace("_", " "), style="magenta"),
        Text(""),
        Text(show.safe(f"{about}{act.actor}: {act.reason}{until}")),
    ]


def _repair(story: Story, act: Repair) -> list[Text]:
    """One of a gate is told with its opening: it says that the timer woke it."""
    cells = (_clock(story, act.at), "self_heal", str(act.kind), "", show.safe(f"{act.subject}: {act.reason}"))
    return [Text(cell, style=style) for cell, style in zip(cells, ("dim", "cyan", "cyan", "", ""), strict=True)]


def _decision(story: Story, entry: LedgerEntry, seen: Saw, named: Collection[str]) -> list[Text]:
    again = f" ({entry.attempt})" if entry.attempt > 1 else ""
    return [
        Text(_clock(story, entry.at), style="dim"),
        Text(f"{'the end' if entry.gate == END else entry.gate}{again}"),
        Text(entry.decision.upper(), style=show.STYLE.get(entry.decision, "")),
        Text(f"{seen.done} of {seen.planned}" if seen.planned else ""),
        Text(show.safe("; ".join(reasons(entry, seen, named)))),
    ]


def _clock(story: Story, instant: datetime | None) -> str:
    """The time; with its day, where the run has seen more than one."""
    if instant is None:
        return ""
    days = {entry.at.date() for entry, _ in story.decisions} | {word.act.at.date() for word in story.words}
    days.add(story.status.started_at.date())
    return f"{instant:%H:%M:%S}" if days == {instant.date()} else f"{instant:%m-%d %H:%M:%S}"


def _gate_line(phase: PhaseStatus) -> str:
    if phase.opened_at is None:
        return phase.reason
    opened = f"opened {show.moment(phase.opened_at)}"
    usual = f"; usually {phase.usual_s} s, {phase.usual_from}" if phase.usual_s and phase.usual_from else ""
    deadline = f"deadline {show.moment(phase.deadline_at)} ({phase.deadline_from}{usual})"
    if not phase.decision:  # nothing was expected: the run ended here, and that gate was never asked
        return f"{opened}, {deadline}"
    return f"{opened}, {deadline}; the gate behind it: {phase.decision}, {phase.reason}"


# --- for a machine ----------------------------------------------------------------------------------------


def to_json(story: Story) -> dict[str, object]:
    """The documented form of `tipoff explain --json`: that of status for one run, with what stands behind it."""
    status = story.status
    described = {phase.phase: phase for phase in story.phases}
    since = {lack.standing.processor.name: lack.since.isoformat() for lack in story.lacks}
    data = status.to_json()
    rows = data["phases"]
    assert isinstance(rows, list)
    return {
        **data,
        "reason": status.reason,
        "next_look_at": _iso(status.next_look_at),
        "phases": [
            {
                **row,
                "usual_s": described[row["phase"]].usual_s,
                "usual_from": described[row["phase"]].usual_from,
                "processors": _processors(described[row["phase"]], since),
                "batches": [batch.to_json() for batch in story.batches if batch.head.phase == row["phase"]],
            }
            for row in rows
            if row["phase"] in described
        ],
        "decisions": [_decision_json(entry, seen) for entry, seen in story.decisions],
        "words": [word_json(word) for word in story.words],
        "incidents": [to_data(alert) for alert in story.incidents],
        "newest": str(story.newest),
        "quarantined": [_refused(item) for item in story.refused],
        "repairs": to_data(story.repairs),
        "helps": to_data(story.helps),
    }


def _decision_json(entry: LedgerEntry, seen: Saw) -> dict[str, object]:
    return {
        "at": entry.at.isoformat(),
        "gate": entry.gate,
        "attempt": entry.attempt,
        "decision": entry.decision,
        "reason": entry.reason,
        "missing": to_data(entry.missing),
        "completeness": entry.completeness,
        "next_look_at": _iso(entry.next_look_at),
        "done": seen.done,
        "planned": seen.planned,
        "readings": [
            {
                "name": name,
                "verdict": str(reading.verdict),
                "note": reading.note,
                "values": dict(reading.values),
                "missing": to_data(reading.missing),
                "since": _iso(reading.since),
            }
            for name, reading in entry.readings.items()
        ],
        "woke": entry.woke,
    }


def _processors(phase: PhaseStatus, since: dict[str, str]) -> list[dict[str, object]]:
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
            "reported_at": _iso(standing.at),
            "timeout_s": standing.processor.timeout_s,
            "timeout_from": standing.processor.timeout_from,
            "since": since.get(name),
        }
        for name, standing in phase.standings.items()
    ]


def _refused(item: Quarantined) -> dict[str, object]:
    return {"id": item.id, "at": item.at.isoformat(), "topic": item.topic, "reason": item.reason}


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
