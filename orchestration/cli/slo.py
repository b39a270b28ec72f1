"""`tipoff slo`: what a pipeline promises, how well it keeps it, what is left to be late, and which runs to look at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration import report, slo
from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import home_option, settings_of, spec_of
from orchestration.cli.report import print_table
from shared import wiring
from shared.core.model import END
from shared.core.slo import LONG, SHORT, Attained, Event, Measured, Offence, Verdict, part_of

OFFENDERS_MAX = 10
LEGEND = (
    "bad events and late minutes, each of how many there may be; burn: how many times too fast for the late minutes to "
    "last, in the last quarter of the days and now"
)
COLORS = {Verdict.OK: "green", Verdict.BURNING: "yellow", Verdict.EXHAUSTED: "red", Verdict.NO_DATA: "dim"}


def run(arguments: argparse.Namespace) -> int:
    settings, spec = settings_of(arguments), spec_of(arguments.pipeline)
    if arguments.queries:
        return _print_queries(as_json=arguments.json)
    with wiring.read_home(settings) as home:
        if home is None:
            raise UsageError(
                f"--home {settings.home}: nothing has run there yet; `tipoff run` or `tipoff backfill` first"
            )
        begins = settings.cloud is not None and settings.starts_missing_runs
        now, last, days = show.utc_now(), arguments.last, arguments.days
        kept = slo.keeps(home.states, spec.name, now, last=last, days=days, begins=begins)
    well = all(each.verdict in (Verdict.OK, Verdict.NO_DATA) for each in kept)
    suffix = home_option(settings)
    if arguments.json:
        show.print_json({"pipeline": spec.name, "well": well, "slos": [to_json(each, suffix) for each in kept]})
        return OK if well else NOT_PUBLISHED
    console = show.console(settings)
    console.print(_head(spec.name, kept), soft_wrap=True)
    console.print(f"[dim]{LEGEND}[/]", soft_wrap=True)
    print_table(console, _table(kept))
    _print_offenders(console, kept, suffix)
    return OK if well else NOT_PUBLISHED


def _print_queries(*, as_json: bool) -> int:
    queries = {str(measured): report.sql(file) for measured, file in slo.QUERIES.items()}
    if as_json:
        show.print_json({"queries": queries})
    else:
        show.print_text("\n".join(f"{query.strip()};\n" for query in queries.values()).rstrip())
    return OK


def _head(pipeline: str, kept: Sequence[Attained]) -> str:
    last = kept[0].last
    worst = [each for each in kept if each.verdict in (Verdict.BURNING, Verdict.EXHAUSTED)]
    if all(each.verdict is Verdict.NO_DATA for each in kept):
        return f"{pipeline} up to {last}: no run to judge"
    said = ", ".join(f"{each.spec.name} {each.verdict}" for each in worst[:3])
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    return f"{pipeline} up to {last}: " + (f"[red]{said}{more}[/]" if worst else "[green]all objectives kept[/]")


def _table(kept: Sequence[Attained]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("objective", no_wrap=True)
    for name in ("days", "goal", "kept", "events", "bad", "of", "late", "of", "burn", "now"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for each in kept:
        days = (each.last - each.first).days + 1
        table.add_row(
            f"  {each.spec.phase}" if each.spec.phase else each.spec.name,
            str(days),
            f"{each.spec.objective:.1%}",
            "-" if each.share is None else f"{_share(each.share)}",
            str(each.events),
            str(each.bad),
            str(each.bad_allowed),
            f"{each.late_minutes:.0f}",
            f"{each.late_allowed:.0f}",
            f"{each.burn_long:.1f}",
            f"{each.burn_short:.1f}",
            f"[{COLORS[each.verdict]}]{each.verdict}[/]",
        )
    return table


def _share(share: float) -> str:
    """Never 100 % of what was not."""
    return f"{share:.2%}" if share == 1 else f"{min(share, 0.9999):.2%}"


def _print_offenders(console: Console, kept: Sequence[Attained], suffix: str) -> None:
    """Each event once: what is bad of a transition is bad of all of them too."""
    found: dict[tuple[Measured, str, str], Offence] = {}
    for each in kept:
        for offence in each.offenders:
            found.setdefault((each.spec.measured, offence.event.run, offence.event.phase), offence)
    worst = sorted(found.items(), key=lambda item: -item[1].late_s)[:OFFENDERS_MAX]
    if worst:
        console.print("\n[bold]What was late, the worst first[/]")
    for (measured, run, _), offence in worst:
        said, command = slo.said_of(measured, offence), helps(offence.event, suffix)
        console.print(f"{escape(run)}: {said}; [cyan]{escape(command)}[/]", soft_wrap=True)


def helps(event: Event, suffix: str) -> str:
    """The command that explains an event; of a run that nobody has begun, the one that begins it."""
    if not event.is_begun:
        pipeline, day, mode, _ = event.run.split(".")
        return f"tipoff backfill {pipeline} --from {day} --to {day} --mode {mode} --data DIR{suffix}"
    about = f" --phase {event.phase}" if event.phase not in ("", END) else ""
    return f"tipoff explain {event.run}{about}{suffix}"


def to_json(each: Attained, suffix: str) -> dict[str, object]:
    spec, days = each.spec, (each.last - each.first).days + 1
    return {
        "name": spec.name,
        "of": str(spec.of),
        "measured": str(spec.measured),
        "phase": spec.phase,
        "threshold": spec.threshold,
        "objective": spec.objective,
        "from": _day(each.first),
        "to": _day(each.last),
        "events": each.events,
        "bad": each.bad,
        "attained": each.share,
        "bad_allowed": each.bad_allowed,
        "bad_left": each.bad_left,
        "late_minutes": round(each.late_minutes, 2),
        "late_minutes_allowed": round(each.late_allowed, 2),
        "late_minutes_left": round(each.late_left, 2),
        "burn": [
            {"days": part_of(days, parts), "rate": round(rate, 3)}
            for parts, rate in ((LONG, each.burn_long), (SHORT, each.burn_short))
        ],
        "bad_min": spec.bad_min,
        "verdict": str(each.verdict),
        "offenders": [
            {
                "run": offence.event.run,
                "phase": offence.event.phase,
                "at": offence.event.at.isoformat(),
                "measured_s": round(offence.event.measured_s, 3),
                "allowed_s": round(offence.allowed_s, 3),
                "late_s": round(offence.late_s, 3),
                "command": helps(offence.event, suffix),
            }
            for offence in each.offenders
        ],
    }


def _day(day: date) -> str:
    return str(day)
