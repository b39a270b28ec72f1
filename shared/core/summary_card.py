"""The summary in words, for a chat and a terminal: a line where all is well, else what is wrong first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.core import calendar
from shared.core.blocks import Block, Card, Context, Divider, Header, Section, cut, escaped
from shared.core.model import Severity
from shared.core.summary import SLOW, THERE, Fate, Grading, IncidentDay, PipelineDay, RunDay, Signal, Summary

RUNS_SHOWN = 8  # that are not as they should be, each with its reason; the others are counted
INCIDENTS_SHOWN = 5
NAMES_SHOWN = 10
REASON_MAX = 350  # characters of one: it says in its beginning what it is about

LIGHTS = {
    Signal.GREEN: ":large_green_circle:",
    Signal.YELLOW: ":large_yellow_circle:",
    Signal.RED: ":red_circle:",
}


def card(summary: Summary) -> Card:
    """One message for all pipelines. A pipeline whose day is green is one line, the others are a few blocks."""
    if summary.signal is Signal.GREEN:
        return Card("\n".join(f"{LIGHTS[Signal.GREEN]} {escaped(one_line(day))}" for day in summary.pipelines))
    blocks: list[Block] = []
    if summary.watchdog:
        blocks.append(Section(f":rotating_light: *Nothing heals by itself:* {_short(summary.watchdog)}"))
    worst_first = sorted(summary.pipelines, key=lambda day: list(Signal).index(day.signal), reverse=True)
    for day in worst_first:
        if blocks:
            blocks.append(Divider())
        blocks += _blocks(day)
    told = [f"{LIGHTS[day.signal]} {escaped(headline(day))}" for day in worst_first]
    return Card("; ".join(told) or f"{LIGHTS[Signal.RED]} {_short(summary.watchdog)}", tuple(blocks))


def one_line(day: PipelineDay) -> str:
    """A day in a line."""
    return " · ".join([headline(day), *facts(day)])


def headline(day: PipelineDay) -> str:
    """What became of the day's runs, worst first."""
    when = f"{day.pipeline}, {day.date:%a %b} {day.date.day}" + (" (synthetic)" if day.synthetic else "")
    runs = day.runs
    if not runs or all(run.fate is Fate.NOTHING_EXPECTED for run in runs):
        return f"{when}: nothing was expected"
    counted = [(fate, day.count(fate)) for fate in reversed(Fate)]
    told = [f"{count} {fate.replace('_', ' ')}" for fate, count in counted if count]
    if len(told) == 1:
        return f"{when}: all {len(runs)} {runs[0].fate}" if len(runs) > 1 else f"{when}: {runs[0].fate}"
    return f"{when}: {', '.join(told)} (of {len(runs)})"


def facts(day: PipelineDay) -> list[str]:
    """The figures of a day, each a few words; what there is none of is not told, but for what should be known."""
    runs = [run for run in day.runs if run.fate is not Fate.NOTHING_EXPECTED]
    told = [
        f"{run.run.mode} due by {calendar.clock(run.deadline_at, day.zone)}" for run in runs if run.fate is Fate.RUNNING
    ]
    told += [*_completeness(runs), *_predicted(runs)]
    if day.grading and runs:
        told.append(graded(day.grading))
    if slowest := max((run for run in runs if run.slowest), key=_times, default=None):
        told.append(f"slowest {took(slowest)}")
    healed = sum(sum(run.healed.values()) for run in day.runs)
    told += [f"healed {healed}"] if runs else []
    told += [f"{len(day.incidents)} open incidents"] if len(day.incidents) > 1 else []
    told += ["1 open incident"] if len(day.incidents) == 1 else []
    return [*told, f"about ${day.cost_usd:.2f}"]


def _completeness(runs: Sequence[RunDay]) -> Iterator[str]:
    """Of what was published, the least whole."""
    shares = [run.completeness for run in runs if run.fate in THERE and run.completeness is not None]
    if shares:
        yield f"complete {min(shares):.1%}"


def _predicted(runs: Sequence[RunDay]) -> Iterator[str]:
    batches = [batch for run in runs for batch in run.batches]
    if batches:
        done, units = sum(batch.done for batch in batches), sum(batch.units for batch in batches)
        plural = "" if len(batches) == 1 else "es"
        yield f"{done:,} of {units:,} units in {len(batches)} batch{plural}"


def graded(grading: Grading) -> str:
    """How far off the predictions were, beside what is usual; or why nobody knows."""
    if grading.error is None:
        return f"error unknown ({grading.why})"
    usual = f"usually {grading.usual:.2f}" if grading.usual is not None else "the first graded day"
    return f"error {grading.error:.2f} points ({usual})"


def took(run: RunDay) -> str:
    """The slowest transition of a run against its usual time."""
    slowest = run.slowest
    assert slowest, "it has one"
    slow = f", {slowest.times:.1f} times as long" if slowest.times >= SLOW else ""
    return f"{slowest.phase} {length(slowest.took_s)} (usually {length(slowest.usual_s)}{slow})"


def length(seconds: float) -> str:
    """So long, as roughly as a person compares it."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.1f} h"


def _times(run: RunDay) -> float:
    return run.slowest.times if run.slowest else 0.0


def story(run: RunDay) -> str:
    """Why a run is not as it should be, and what happens next."""
    slow = f"{took(run)} took long" if run.slowest and run.slowest.times >= SLOW else ""
    last = f"the last that published: {run.last_published:%b} {run.last_published.day}" if run.last_published else ""
    return "; ".join(part for part in (run.why, slow, last) if part)


def incident(told: IncidentDay) -> str:
    """What is wrong, and whose it is."""
    return f"{told.summary} ({told.taken_by} looks into it)" if told.taken_by else told.summary


# --- in blocks ------------------------------------------------------------------------------------------


def _blocks(day: PipelineDay) -> Iterator[Block]:
    if day.signal is Signal.GREEN:
        yield Section(f"{LIGHTS[day.signal]} {_short(one_line(day))}")
        return
    yield Header(f"{LIGHTS[day.signal]} {headline(day)}")
    wrong = sorted((run for run in day.runs if run.signal is not Signal.GREEN), key=_worst_first)
    yield from (Section(_told(run)) for run in wrong[:RUNS_SHOWN])
    if left_out := wrong[RUNS_SHOWN:]:
        yield Section(f"and {len(left_out)} more: {_named([str(run.run) for run in left_out])}")
    if fine := [f"{run.run.mode} {run.fate.replace('_', ' ')}" for run in day.runs if run.signal is Signal.GREEN]:
        yield Section(f":white_check_mark: {_named(fine)}")
    shown = {run.run for run in wrong[:RUNS_SHOWN]}  # whose trouble is told already
    if others := [each for each in day.incidents if each.run not in shown]:
        yield Section("\n".join(_incidents(others, day.zone)))
    yield Context(" · ".join(_short(fact) for fact in facts(day)))


def _worst_first(run: RunDay) -> tuple[int, str]:
    return -list(Fate).index(run.fate), str(run.run)


def _told(run: RunDay) -> str:
    lines = [f"*{escaped(run.run.mode)} {run.run.date} {run.fate.replace('_', ' ')}*: {_short(story(run))}"]
    then = [*([_short(run.next)] if run.next else []), *([f"`{_code(run.command)}`"] if run.command else [])]
    return "\n".join([*lines, *([f"→ {' · '.join(then)}"] if then else [])])


def _incidents(incidents: Sequence[IncidentDay], zone: str) -> Iterator[str]:
    for each in incidents[:INCIDENTS_SHOWN]:
        mark = ":rotating_light:" if each.severity is Severity.PAGE else ":warning:"
        yield f"{mark} since {calendar.clock(each.since, zone)}: {_short(incident(each))}"
    if (more := len(incidents) - INCIDENTS_SHOWN) > 0:
        yield f"and {more} more open incidents"


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return escaped(", ".join(names[:NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return cut(escaped(text), REASON_MAX)


def _code(command: str) -> str:
    """A command between backticks: one in it would end it."""
    return _short(command.replace("`", "'"))
