"""`tipoff doctor`: everything declared against everything live on Google Cloud, with the command that mends each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, USAGE, UsageError
from orchestration.cli.options import local_settings
from orchestration.provision import Survey, examine, wanted
from shared import wiring
from shared.config.deployment import UnknownEnvironment, environment
from shared.core.drift import Change, Difference
from shared.live import google_cloud
from shared.ports import CloudError


def run(arguments: argparse.Namespace) -> int:
    settings = local_settings(arguments)
    console = show.console(settings, stderr=arguments.json)
    try:
        place = environment(arguments.env)
        with closing(google_cloud(settings, place)) as cloud:
            resources = wanted(place, settings.commit)
            with show.spinner(console):
                found = examine(cloud, resources, place, wiring.system_clock().now())
    except UnknownEnvironment as error:
        raise UsageError(f"--env {error.args[0]}") from None
    except CloudError as error:
        raise UsageError(str(error)) from None
    if arguments.json:
        show.print_json(as_json(found, place.name, place.project))
    else:
        print_survey(console, found, place.name, place.project, len(resources))
    if found.unread:
        return USAGE
    return NOT_PUBLISHED if found.differences else OK


def as_json(found: Survey, environment: str, project: str) -> Mapping[str, object]:
    return {
        "environment": environment,
        "project": project,
        "differences": [difference_json(each) for each in found.differences],
        "unread": [{"kind": each.kind, "why": each.why} for each in found.unread],
    }


def difference_json(each: Difference) -> Mapping[str, object]:
    about = {"kind": each.kind, "name": each.name, "change": each.change}
    values = {"field": each.field, "declared": each.declared, "live": each.live} if each.field else {}
    return {**about, **values, "mend": each.mend, **({"loses": each.loses} if each.loses else {})}


def print_survey(console: Console, found: Survey, environment: str, project: str, count: int) -> None:
    print_differences(console, found.differences)
    for unread in found.unread:
        console.print(f"[bold red]{unread.kind}: not read[/]: {escape(show.safe(unread.why))}", soft_wrap=True)
    if found.unread:
        return
    where = f"{environment} (project {project})"
    if found.differences:
        number = len(found.differences)
        console.print(f"{number} difference{'s' if number > 1 else ''} between what is declared and {where}.")
    else:
        console.print(
            f"Nothing differs: all {count} declared resources of {where} are as they should be.", soft_wrap=True
        )


def print_differences(console: Console, differences: Sequence[Difference]) -> None:
    """By the command that mends them, in the order in which the first of each came."""
    order = {mend: number for number, mend in reversed([*enumerate(each.mend for each in differences)])}
    for mend, group in groupby(sorted(differences, key=lambda each: order[each.mend]), key=lambda each: each.mend):
        of_one = list(group)
        console.print(f"[bold]{escape(show.safe(mend))}[/]", soft_wrap=True)
        table = Table(box=None, show_header=False, pad_edge=False)
        for each in of_one:
            table.add_row(str(each.kind), escape(show.safe(each.name)), escape(show.safe(said(each))))
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
        for loses in dict.fromkeys(each.loses for each in of_one if each.loses):
            console.print(f"  [bold yellow]{escape(loses)}[/]", soft_wrap=True)
        console.print()


def said(each: Difference) -> str:
    """One difference in words."""
    if each.change is Change.MISSING:
        return "is missing"
    if each.change is Change.ORPHAN:
        return "is there, and nobody declares it"
    return f"{each.field} is {value(each.live)}, should be {value(each.declared)}"


def value(of: object) -> str:
    """As short as it can be told."""
    if of is None:
        return "not set"
    return ", ".join(map(str, of)) or "nothing" if isinstance(of, tuple) else str(of) or "empty"
