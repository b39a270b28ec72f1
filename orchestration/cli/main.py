"""The `tipoff` command: reads the arguments, calls one command, turns what went wrong into one sentence and a code.

Commands import what they need when they run, so that `tipoff --help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from importlib import import_module
from pathlib import Path

from shared.config.settings import read_settings
from shared.core import line

OK, NOT_PUBLISHED, USAGE = 0, 1, 2

GENERATION_MAX = 9_999  # four digits of the fence
DAYS_MAX = 100_000  # some hours
PARALLEL_MAX = 16  # they share one warehouse: more only wait for each other
LETTERS_MAX = 2_000  # dead and quarantined; that `dlq list` shows: all that it looks at
SLO_DAYS_MAX = 366  # each run of them is folded
BATCHES_MAX = 1_000  # that `batch list` shows; each is read by itself

ALONE = ("chain", "chain_read", "chain_fsync", "core", "wide", "stalls", "alarms", "reliability", "night", "season")
ON_EMULATORS = ("start", "transition", "batch", "pooling")
"""What `bench` measures only when asked: not every machine has emulators."""

ON_TRACES = "timeouts"
"""The same: not every machine has the durations that it is measured on."""

EPILOG = """\
exit codes:
  0  published (or degraded and labelled so), or nothing was expected
  1  not published: running, blocked or failed; a simulation broke a rule
  2  wrong usage or unusable input: nothing has run

examples:
  tipoff run nba --date 2024-01-15 --mode overnight --data ../shared/data/nba
  tipoff backfill nba --from 2024-01-01 --to 2024-01-31 --data ../shared/data/nba
  tipoff status nba --date 2024-01-15
  tipoff health
  tipoff explain nba.2024-01-15.overnight.1 --phase analytics
"""

UNUSABLE = {
    *("UsageError", "FeedError", "SettingsError", "HomeError", "StateFileError", "WarehouseError"),
    *("EmulatorAbsent", "NotStaged"),
}
"""Errors by which what was asked for, or given, cannot be used; by name, so that none is imported for it."""

Command = Callable[[str, str, str, str], argparse.ArgumentParser]
"""Adds a command: its name, its module, what it is for, an example."""


class UsageError(Exception):
    """What was asked for cannot be done: says which argument, why, and the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character gets its number instead
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "module"):
        parser.print_help()
        return USAGE
    try:
        command = import_module(f"orchestration.cli.{arguments.module}")
        local = read_settings(first={"TIPOFF_TARGET": "local"})  # whatever the target, which the command reads
        logging.basicConfig(level=local.log_level, format="%(levelname)s %(name)s: %(message)s")
        return int(command.run(arguments))
    except KeyboardInterrupt:
        print("interrupted; nothing is lost, the same command goes on from here", file=sys.stderr)  # noqa: T201
        return NOT_PUBLISHED
    except BrokenPipeError:  # `tipoff ... | head`
        sys.stderr.close()
        return NOT_PUBLISHED
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        print(f"tipoff: {error}", file=sys.stderr)  # noqa: T201
        return code


def code_of(error: Exception) -> int | None:
    """The exit code of an error that a person can mend; None for one that is a bug of ours."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & UNUSABLE:
        return USAGE
    return NOT_PUBLISHED if isinstance(error, OSError) else None


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON for machines (docs/cli.md)")
    common.add_argument("--home", type=folder, metavar="DIR", help="where state, warehouse and exports are (.tipoff)")
    parser = argparse.ArgumentParser(
        prog="tipoff",
        description="Daily data pipelines whose gates start on data, open degraded rather than standing still, "
        "and say what is missing, why, and what happens next.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, module: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  {example}",
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(module=module)
        return sub

    run = command(
        "run",
        "run",
        "run one pipeline day, or go on with it; ends when it has published or can only wait",
        "tipoff run nba --date 2024-01-15 --mode overnight --data ../shared/data/nba",
    )
    _run_options(run)
    _target(run)
    backfill = command(
        "backfill",
        "backfill",
        "run many dates, or go on with them: in the order in which they would have come, history first",
        "tipoff backfill nba --from 2023-10-24 --to 2024-04-14 --mode overnight,same_day --data ../shared/data/nba",
    )
    _backfill_options(backfill)
    _target(backfill)
    replay = command(
        "replay",
        "replay",
        "do a run over from one phase on, as a new generation; the old one stays as it is",
        'tipoff replay nba.2024-01-15.overnight.1 --from precompute --reason "zones corrected"',
    )
    _replay_options(replay)
    _target(replay)
    _judging(command)
    _speaking(command)
    _trying(command)
    _working_off(commands, common)
    _batches(commands, common)
    _showing(command)
    _proving(command)
    return parser


def _judging(command: Command) -> None:
    """The commands that say how well the runs went."""
    report = command(
        "report",
        "report",
        "how the runs ended, how long they took, and how far off the predictions were",
        "tipoff report nba --from 2024-01-01 --to 2024-01-31",
    )
    _report_options(report)
    _target(report)
    slo = command(
        "slo",
        "slo",
        "what a pipeline promises, how well it keeps it, and what is left to be late",
        "tipoff slo nba --days 14",
    )
    _slo_options(slo)
    _target(slo)


def _speaking(command: Command) -> None:
    """A person's word on one run; each is kept, and `explain` shows it."""
    run, said = "nba.2024-01-15.overnight.1", '--reason "feed is wrong"'
    anyway, mended = '--reason "publish what there is"', '--reason "feed is mended"'
    skipped = "team_defense_game_summary"
    about = {
        "hold": ("", "keep a run from moving, until it is released or a time has come", f"{said} --until +2h"),
        "release": ("", "let a held run go on", mended),
        "cancel": ("", "end a run for good, as it is", said),
        "skip": ("PROCESSOR", "go on without an optional processor, named as missing", f"{skipped} {said}"),
        "force": (
            "GATE",
            "open the gate into a phase now, with what is there; the rest is named",
            f"analytics {anyway}",
        ),
        "override": ("READING", "let a reading only warn until a time", f"freshness {anyway} --until +2h"),
        "retry": ("PROCESSOR", "have a processor try again now", f"player_boxscores {mended}"),
    }
    for name, (what, text, example) in about.items():
        parser = command(name, "words", text, f"tipoff {name} {run} {example}")
        parser.set_defaults(word=name)
        parser.add_argument("run", metavar="RUN", help="as `tipoff status` names it")
        if what:
            parser.add_argument("about", metavar=what, help="as `tipoff explain` names it")
        if name in ("hold", "override"):
            _until(parser, required=name == "override")
        _reason(parser)
        _wait(parser)
        _target(parser)

    ack = command(
        "ack",
        "ack",
        "say that you have an open incident, so that PagerDuty calls nobody else",
        'tipoff ack nba.2024-01-15.overnight.1/incident/stalled/1 --reason "on it"',
    )
    ack.add_argument("incident", metavar="INCIDENT", help="as PagerDuty and Slack name it; or a RUN: all of it")
    _reason(ack)
    _wait(ack)
    _target(ack)


def _until(parser: argparse.ArgumentParser, *, required: bool) -> None:
    text = "2024-01-15T18:00:00+00:00, or +1d, +2h, +30m" + ("" if required else " (until it is released)")
    parser.add_argument("--until", type=time_ahead, required=required, metavar="TIME", help=text)


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", type=said_line, required=True, help="why, for those who read it later")
    _actor(parser)


def _actor(parser: argparse.ArgumentParser, of: str = "") -> None:
    parser.add_argument("--actor", type=said_line, metavar="NAME", help=f"{of}who says so (this machine's user)")


def _trying(command: Command) -> None:
    """The commands that bring all they need with them."""
    up = command(
        "up",
        "up",
        "run the whole system here on emulators, each part a process of its own, until Ctrl-C",
        "tipoff up --pipeline nba --data ../shared/data/nba",
    )
    up.add_argument("--pipeline", default="nba", help="whose functions, services and schedules (nba)")
    up.add_argument("--data", type=folder, metavar="DIR", help="as for `run` (a synthetic season around today)")
    dashboard = command(
        "dashboard",
        "dashboard",
        "the runs of a day in a browser on this machine, and a person's word on them, until Ctrl-C",
        "tipoff dashboard --home .tipoff/demo --port 8080",
    )
    dashboard.add_argument("--port", type=port, default=8080, metavar="N", help="on 127.0.0.1; 0 for any (8080)")
    _target(dashboard)
    demo = command("demo", "demo", "run two synthetic sample days in a home of its own", "tipoff demo")
    demo.add_argument("--seed", type=int, default=7, help="of the sample season (7)")


def _showing(command: Command) -> None:
    """The commands that read a home and change nothing."""
    status = command("status", "status", "how far the runs of a date are", "tipoff status nba --date 2024-01-15 --json")
    status.add_argument("pipeline")
    status.add_argument("--date", type=read_date, required=True, metavar="YYYY-MM-DD")

    health = command(
        "health",
        "health",
        "the last day at a glance: what was due, what became of it, why, and what happens next",
        "tipoff health\n  tipoff health nba --date 2024-01-16 --json",
    )
    health.add_argument("pipeline", nargs="?", help="the only one to show (every declared one)")
    health.add_argument(
        "--date",
        type=read_date,
        metavar="YYYY-MM-DD",
        help="the day that ended on the morning of this date (the day until now; of a home at rest, its last one)",
    )

    explain = command(
        "explain",
        "explain",
        "a run's whole story: what is missing, why, since when, what was decided and said, what happens next and when",
        "tipoff explain nba.2024-01-15.overnight.1 --phase analytics",
    )
    explain.add_argument("run", help="as `tipoff status` names it: pipeline.YYYY-MM-DD.mode.generation")
    explain.add_argument("--phase", help="this phase alone, with each of its processors")
    recompute = command(
        "recompute",
        "recompute",
        "make every decision of a run again from what it saw then, and compare",
        "tipoff recompute nba.2024-01-15.overnight.1",
    )
    recompute.add_argument("run", help="as `tipoff status` names it: pipeline.YYYY-MM-DD.mode.generation")
    for parser in (status, health, explain, recompute):
        _target(parser)


DLQ_EXAMPLE = """\
example:
  tipoff dlq list --topic nba-phase2-raw-complete
  tipoff dlq show 3f9a2c1b
  tipoff dlq redrive 3f9a2c1b --dry-run
  tipoff dlq redrive --all --run nba.2024-01-15.overnight.1
  tipoff dlq purge --all --topic nba-phase2-raw-complete --json > kept.json
"""


def _working_off(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """`tipoff dlq` with its verbs; the common options are theirs."""
    about = {
        "list": "all of them, the newest first",
        "show": "one of them with all that is known of it, and its body",
        "redrive": "publish some again, with all their attempts; every consumer drops what it has done",
        "purge": "give some up for good; --json prints their bodies once more",
    }
    text = "messages that nobody could work with: dead letters and quarantined ones"
    parsers = _verbs(commands, common, "dlq", text, DLQ_EXAMPLE, about)
    parsers["show"].add_argument("id", metavar="ID", help="as `tipoff dlq list` has it, or the id in the log")
    parsers["list"].add_argument("--limit", type=number_to(LETTERS_MAX), default=100, metavar="N", help="at most (100)")
    for name in ("redrive", "purge"):
        parsers[name].add_argument("ids", nargs="*", metavar="ID", help="one or more, as for `show`")
        parsers[name].add_argument("--all", action="store_true", help="every one, or those of --topic and --run")
        parsers[name].add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        _wait(parsers[name])
    for name in ("list", "redrive", "purge"):
        parsers[name].add_argument("--topic", help="those on this topic alone")
        parsers[name].add_argument("--run", help="those about this run alone")


BATCH_EXAMPLE = """\
example:
  tipoff batch list nba --date 2024-01-15
  tipoff batch show nba.2024-01-15.same_day.1/predictions/1
  tipoff batch recover
  tipoff batch seal nba.2024-01-15.same_day.1/predictions/1 --reason "publish what there is"
  tipoff batch override nba.2024-01-15.same_day.1 --reason "feed of minutes is late" --until +2h
"""


def _batches(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """`tipoff batch` with its verbs; the common options are theirs."""
    about = {
        "list": "the newest first",
        "show": "one of them: its units, why some are not done, what holds it up, what happens next",
        "recover": "send the orders of one again, or of every one that makes no progress",
        "seal": "end one now, with what there is",
        "cancel": "end one now, without anything of it",
        "override": "work on units of a run whose inputs are too poor, until a time",
    }
    text = "batches of predictions: how far they are, and a person's word on them"
    parsers = _verbs(commands, common, "batch", text, BATCH_EXAMPLE, about)
    parsers["list"].add_argument("pipeline", nargs="?", help="the only one to show (every declared one)")
    parsers["list"].add_argument("--date", type=read_date, metavar="YYYY-MM-DD", help="of this date's runs alone")
    parsers["list"].add_argument("--limit", type=number_to(BATCHES_MAX), default=20, metavar="N", help="at most (20)")
    for name in ("show", "recover", "seal", "cancel"):
        some = "?" if name == "recover" else None
        said = "as `tipoff batch list` has it" + ("; of a run the newest" if name == "show" else "")
        parsers[name].add_argument("batch", nargs=some, metavar="BATCH", help=said)
    parsers["override"].add_argument("run", metavar="RUN", help="as `tipoff status` names it")
    _until(parsers["override"], required=True)
    for name in ("seal", "cancel", "override"):
        _reason(parsers[name])
    for name in ("recover", "seal", "cancel", "override"):
        _wait(parsers[name])


def _verbs(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
    name: str,
    text: str,
    example: str,
    about: Mapping[str, str],
) -> dict[str, argparse.ArgumentParser]:
    """A command that is called with a verb, and the parser of each."""
    form = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(name, help=text, description=text, epilog=example, formatter_class=form)
    command.set_defaults(module=name)
    verbs = command.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    parsers = {}
    for verb, said in about.items():
        parsers[verb] = verbs.add_parser(
            verb, help=said, description=said, epilog=example, parents=[common], formatter_class=form
        )
        _target(parsers[verb])
    return parsers


def _proving(command: Command) -> None:
    """The commands that show what Tipoff is worth: they touch no home."""
    simulate = command(
        "simulate",
        "simulate",
        "simulated days under seeded faults, or one named failure",
        "tipoff simulate --scenario racing-join",
    )
    simulate.add_argument("--days", type=number_to(DAYS_MAX), help="how many (10)")
    simulate.add_argument("--seed", type=int, default=0, help="same seed, same trace (0)")
    simulate.add_argument(
        "--world-days",
        type=number_to(365),
        metavar="N",
        help="how many share a world (5); after ten, limits are learnt",
    )
    simulate.add_argument("--episode", type=int, metavar="N", help="of these days only the ones of this world")
    simulate.add_argument("--scenario", metavar="NAME", help="`list` names them all")
    simulate.add_argument("--trace", action="store_true", help="print every event")

    cost = command(
        "cost",
        "cost",
        "what a pipeline costs on Google Cloud in a day and a month, from dated list prices",
        "tipoff cost\n  tipoff cost nba --days 20 --no-free-tier\n  tipoff cost --json",
    )
    cost.add_argument("pipeline", nargs="?", help="the only one to show (every declared one)")
    cost.add_argument("--days", type=number_to(30), default=30, metavar="N", help="of a month, on which it runs (30)")
    cost.add_argument("--no-free-tier", action="store_true", help="where something else uses the free tiers up")

    doctor = command(
        "doctor",
        "doctor",
        "compare everything declared with everything live on Google Cloud; each difference with what mends it",
        "tipoff doctor --env prod",
    )
    doctor.add_argument(
        "--env", default="dev", metavar="NAME", help="dev or prod, of shared/config/deployment.py (dev)"
    )

    config = command("config", "config", "check the declared pipelines", "tipoff config check")
    config.add_argument("what", choices=["check"])

    bench = command(
        "bench", "bench", "measure Tipoff on this machine (docs/benchmarks.md)", "tipoff bench chain --json"
    )
    bench.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=["all", *ALONE, *ON_EMULATORS, ON_TRACES],
        help=f"all: without those that start emulators ({', '.join(ON_EMULATORS)}), and without {ON_TRACES}",
    )
    bench.add_argument(
        "--data", type=folder, metavar="DIR", help="for `night` and `season` (the synthetic one); for `timeouts`"
    )
    bench.add_argument("--days", type=number_to(DAYS_MAX), help="for `reliability`: how many (100)")
    bench.add_argument("--seed", type=int, default=0, help="for `reliability`: same seed, same figures (0)")


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("pipeline")
    run.add_argument("--date", type=read_date, required=True, metavar="YYYY-MM-DD", help="the run's date")
    run.add_argument("--mode", help="overnight, same_day or tomorrow (the one that the date has today)")
    _data(run)
    run.add_argument(
        "--generation", type=number_to(GENERATION_MAX), help="a deliberate re-run is a new generation (the latest)"
    )
    _standing_by(run)
    run.add_argument(
        "--look-again",
        action="store_true",
        help="have the sources of a run look again: what was corrected since is published, once",
    )
    _actor(run, "of --look-again: ")
    run.add_argument(
        "--fsync", action="store_true", help="write every step to disk: safe against a power cut too, slower"
    )


def _replay_options(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("run", help="as `tipoff status` names it: pipeline.YYYY-MM-DD.mode.generation")
    replay.add_argument(
        "--from", dest="from_phase", default="", metavar="PHASE", help="the first phase (the run's own)"
    )
    replay.add_argument("--reason", type=one_line, required=True, help="why, for those who read it later")
    _actor(replay)
    replay.add_argument("--data", type=folder, metavar="DIR", help="as for `run` (where the run had them)")
    _standing_by(replay)


def _backfill_options(backfill: argparse.ArgumentParser) -> None:
    backfill.add_argument("pipeline")
    _from_and_to(backfill, required=True)
    backfill.add_argument(
        "--mode", default="overnight,same_day", metavar="MODES", help="with commas between them (overnight,same_day)"
    )
    _data(backfill)
    backfill.add_argument(
        "--parallel", type=number_to(PARALLEL_MAX), default=2, metavar="N", help="runs beside each other at most (2)"
    )
    _standing_by(backfill)


def _report_options(report: argparse.ArgumentParser) -> None:
    report.add_argument("pipeline")
    _from_and_to(report, required=False)
    report.add_argument("--queries", action="store_true", help="print the queries behind the figures, and nothing else")
    _wait(report)


def _slo_options(slo: argparse.ArgumentParser) -> None:
    slo.add_argument("pipeline")
    slo.add_argument(
        "--to", dest="last", type=read_date, metavar="YYYY-MM-DD", help="the last run date (the newest run's)"
    )
    slo.add_argument(
        "--days", type=number_to(SLO_DAYS_MAX), metavar="N", help="of so many run dates (each objective's own window)"
    )
    slo.add_argument("--queries", action="store_true", help="print the queries behind the figures, and nothing else")


def _from_and_to(parser: argparse.ArgumentParser, *, required: bool) -> None:
    for option, name, text in (("--from", "first", "the first date"), ("--to", "last", "the last date")):
        parser.add_argument(option, dest=name, type=read_date, required=required, metavar="YYYY-MM-DD", help=text)


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        choices=["local", "emulators", "gcp"],
        help="where state, messages and tables are: this machine, emulators on it, Google Cloud (local)",
    )


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=folder, required=True, metavar="DIR", help="games, player_box, team_box: Parquet or CSV"
    )


def _standing_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patience",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to stand by when only time or new data can help (30); the run is kept and can be gone on with",
    )
    _wait(parser)


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=seconds, default=10.0, metavar="SECONDS", help="for another writer of the same home (10)"
    )


def read_date(text: str) -> date:
    """Reads YYYY-MM-DD, as run keys are written; the standard has other forms, such as 2024-W03-2."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or text != str(day):
        raise argparse.ArgumentTypeError(f"{text!r} is not a date YYYY-MM-DD")
    return day


def number_to(most: int) -> Callable[[str], int]:
    """Reads a whole number from 1 to `most`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
        return int(text)

    return read


def port(text: str) -> int:
    """Reads the number of a port; 0 is any free one."""
    return 0 if text == "0" else number_to(65_535)(text)


def folder(text: str) -> Path:
    """Reads the name of a folder. An empty one, of a variable that was never set, would mean the current folder."""
    try:
        text.encode()  # what the system hands over as bytes that are no text cannot be kept or shown
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8; rename the folder") from None
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} does not name a folder; `.` is the current one")
    return Path(text)


def one_line(text: str) -> str:
    """Reads what a person says."""
    try:
        return line.one_line(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def said_line(text: str) -> str:
    """As one_line, of one who has something to say."""
    said = one_line(text)
    if not said:
        raise argparse.ArgumentTypeError("'' says nothing; say why, or who")
    return said


def time_ahead(text: str) -> datetime | timedelta:
    """Reads until when."""
    try:
        return line.time_ahead(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return value


if __name__ == "__main__":
    sys.exit(main())
