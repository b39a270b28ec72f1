"""bin/deploy's scripts for everything but functions: make what is declared, and say what has changed.

python -m orchestration.provisioning topics --env dev
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import closing

from orchestration.cli import show
from orchestration.cli.doctor import difference_json, print_differences, said, value
from orchestration.provision import Applied, NotOrphaned, apply, outlook, remove, wanted
from shared.config.deployment import ENVIRONMENTS, Environment, UnknownEnvironment, environment, secret_of
from shared.config.secrets import SECRETS
from shared.config.settings import Settings, SettingsError, read_settings
from shared.core.drift import HAS_VALUE, SCRIPTS, Change, Difference, Kind
from shared.live import google_cloud
from shared.ports import CloudError

OK, LEFT, UNDONE = 0, 1, 2

MAKES = {
    "iam": "service accounts, datasets, and who may do what; what functions may be called by, once they are deployed",
    "topics": "topics, dead letters with subscriptions, push subscriptions",
    "secrets": "secrets, without their values: those a person adds, from standard input",
    "indexes": "Firestore's indexes, and fields that are indexed otherwise",
    "schedules": "Cloud Scheduler's jobs, one for each function that a schedule wakes",
    "monitoring": "metrics, objectives, uptime checks, alert policies and the dashboard of Cloud Monitoring",
}

EPILOG = """\
exit codes:
  0  everything is as it is declared; orphans are told of
  1  something is left: it needs a person, or something else that is not there yet
  2  wrong usage; or something could not be read or changed: the same command goes on from there

examples:
  bin/deploy/{script} --env dev --dry-run
  bin/deploy/{script} --env prod
  bin/deploy/{script} --env dev --remove {kind} NAME
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        settings = read_settings(first={"TIPOFF_TARGET": "local"})
        return _run(arguments, settings, environment(arguments.env))
    except (UnknownEnvironment, SettingsError, NotOrphaned, CloudError) as error:
        print(f"bin/deploy/{arguments.script}: {error.args[0]}", file=sys.stderr)  # noqa: T201
        return UNDONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/deploy", description=__doc__, add_help=False)
    scripts = parser.add_subparsers(dest="script", required=True, metavar="SCRIPT")
    for name, makes in MAKES.items():
        script = scripts.add_parser(
            name,
            prog=f"bin/deploy/{name}",
            description=f"Make what is declared: {makes}. A second run changes nothing.",
            epilog=EPILOG.format(script=name, kind=SCRIPTS[name][-1]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        known = ", ".join(each.name for each in ENVIRONMENTS)
        script.add_argument("--env", default="dev", help=f"{known} (dev), of shared/config/deployment.py")
        script.add_argument("--dry-run", action="store_true", help="say what would be changed, and change nothing")
        script.add_argument("--json", action="store_true", help="print JSON for machines")
        script.add_argument(
            "--remove",
            nargs=2,
            metavar=("KIND", "NAME"),
            help=f"remove one thing that nobody declares, and nothing else: {' or '.join(SCRIPTS[name])}",
        )
    return parser


def _run(arguments: argparse.Namespace, settings: Settings, place: Environment) -> int:
    with closing(google_cloud(settings, place)) as cloud:
        resources = wanted(place, settings.commit)
        if arguments.remove:
            kind, name = arguments.remove
            if kind not in SCRIPTS[arguments.script]:
                raise NotOrphaned(f"--remove {kind}: use one of {', '.join(SCRIPTS[arguments.script])}")
            remove(cloud, resources, place, Kind(kind), name)
            _tell(arguments, settings, [f"removed {kind} {name}"])
            return OK
        act = outlook if arguments.dry_run else apply
        done = act(cloud, resources, place, arguments.script)
    return _report(arguments, settings, done)


def _report(arguments: argparse.Namespace, settings: Settings, done: Applied) -> int:
    undone = [each for each in done.left if each.change is not Change.ORPHAN]
    if arguments.json:
        both = {"changed": done.changed, "left": done.left}
        show.print_json({key: [difference_json(each) for each in found] for key, found in both.items()})
    else:
        _tell(arguments, settings, [_line(each, dry=arguments.dry_run) for each in done.changed] or [NOTHING])
        print_differences(show.console(settings), done.left)
        _tell(arguments, settings, [_source(each) for each in done.left if each.field == HAS_VALUE])
    return LEFT if undone and not arguments.dry_run else OK


NOTHING = "nothing to change"


def _source(each: Difference) -> str:
    """Where a person gets the value of a secret that has none."""
    found = [f"{spec.holds}. {spec.made}" for spec in SECRETS if secret_of(spec.variable) == each.name]
    return f"{each.name}: {'; '.join(found)}"


def _tell(arguments: argparse.Namespace, settings: Settings, lines: Sequence[str]) -> None:
    console = show.console(settings, stderr=arguments.json)
    for line in lines:
        console.print(show.safe(line), markup=False, soft_wrap=True)


def _line(each: Difference, *, dry: bool) -> str:
    would: Callable[[str, str], str] = lambda done, todo: f"would {todo}" if dry else done  # noqa: E731 - two words
    if each.change is Change.MISSING:
        return f"{would('created', 'create')} {each.kind} {each.name}"
    what = said(each) if dry else f"{each.field} was {value(each.live)}, is {value(each.declared)}"
    return f"{would('changed', 'change')} {each.kind} {each.name}: {what}"


if __name__ == "__main__":
    sys.exit(main())
