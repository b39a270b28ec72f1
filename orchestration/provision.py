"""What is declared, compared with what is on Google Cloud, and made so: for bin/deploy's scripts and `tipoff doctor`.

One way for all of it: read what is live, in the shape in which it is declared; compare; apply the differences; read
again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from orchestration.monitoring import generated
from orchestration.staging import REPOSITORY
from shared import wiring
from shared.config.deployment import Environment
from shared.config.resources import asked_by_people, concerns, declared, jobs, urls
from shared.core.drift import (
    BUILDING,
    FIXED,
    SCRIPTS,
    Change,
    Difference,
    Kind,
    Place,
    Resource,
    compare,
    last_run,
    uninvoked,
)
from shared.core.model import ScheduleSpec
from shared.ports import Cloud, CloudError

READERS = 6  # kinds that are read beside each other
LOOK_BACK = timedelta(hours=26)  # each schedule is due at least once a day, which may have 25
GRACE = timedelta(minutes=10)  # from when a job is due until it must have run

UNMENDED = (Kind.SECRET, Kind.INDEX)
"""Kinds that nobody changes once they are there: a value is a person's to give, an index is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A kind of which nobody knows how it is, and what helps."""

    kind: Kind
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found at one look."""

    differences: tuple[Difference, ...]
    unread: tuple[Unread, ...] = ()
    live: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one call has changed, and what is left."""

    changed: tuple[Difference, ...]
    left: tuple[Difference, ...]


class NotOrphaned(ValueError):
    """What is to be removed is declared, or is not there: names it, and the remedy."""


def place_of(environment: Environment) -> Place:
    return Place(environment=environment.name, project=environment.project, region=environment.region)


def wanted(environment: Environment, commit: str) -> tuple[Resource, ...]:
    """Everything that there should be."""
    indexes = json.loads((REPOSITORY / "firestore.indexes.json").read_text(encoding="utf-8"))
    return declared(environment, commit=commit, indexes=indexes, monitoring=generated(environment))


# --- looking --------------------------------------------------------------------------------------------


def survey(cloud: Cloud, resources: Sequence[Resource], environment: Environment, kinds: Iterable[Kind]) -> Survey:
    """Kinds that cannot be read are named, and keep nobody from knowing the rest."""

    def look(kind: Kind) -> tuple[Resource, ...] | Unread:
        try:
            return cloud.read(kind, resources)
        except CloudError as error:
            return Unread(kind=kind, why=str(error))

    kinds = tuple(kinds)
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        looks = dict(zip(kinds, pool.map(look, kinds), strict=True))
    live = [each for found in looks.values() if not isinstance(found, Unread) for each in found]
    read = {kind for kind, found in looks.items() if not isinstance(found, Unread)}
    should = [each for each in resources if each.kind in read]
    names = {(each.kind, each.name) for each in should}
    ours = [each for each in live if (each.kind, each.name) in names or concerns(each, environment)]
    return Survey(
        differences=compare(should, ours, place_of(environment)),
        unread=tuple(found for found in looks.values() if isinstance(found, Unread)),
        live=tuple(live),
    )


def examine(cloud: Cloud, resources: Sequence[Resource], environment: Environment, now: datetime) -> Survey:
    """All kinds; and what no setting says: whether schedules run, and whether anything invokes each function."""
    found = survey(cloud, resources, environment, Kind)
    unread = {each.kind for each in found.unread}
    place = place_of(environment)
    beyond: list[Difference] = []
    if not unread & {Kind.SUBSCRIPTION, Kind.SCHEDULE, Kind.FUNCTION}:
        there = {each.name for each in found.live if each.kind is Kind.FUNCTION}
        answers = {name: url for name, url in urls(environment).items() if name in there}
        beyond += uninvoked(answers, asked_by_people(), found.live, place)
    due = {job: _due(schedule, now) for job, _, schedule, _ in jobs()}
    for each in found.live:
        if each.kind is Kind.SCHEDULE and each.name in due and each.fields["state"] == "ENABLED":
            beyond += last_run(each, due[each.name], place)
    return Survey(differences=(*found.differences, *beyond), unread=found.unread, live=found.live)


def _due(schedule: ScheduleSpec, now: datetime) -> datetime | None:
    """When it was due last, and should have run by now."""
    firings = list(wiring.firings(schedule, now - LOOK_BACK, now - GRACE))
    return firings[-1] if firings else None


# --- changing -------------------------------------------------------------------------------------------


def apply(cloud: Cloud, resources: Sequence[Resource], environment: Environment, script: str) -> Applied:
    """Make what is missing, change what can be changed, and read again. Orphans are left for a person to remove.

    May be made again, and after a cut it goes on. Raises CloudError for what cannot be read or changed.
    """
    before: list[Difference] = []
    for kind in SCRIPTS[script]:
        found = _read(cloud, resources, environment, [kind])
        before += found.differences
        mended = [each for each in found.differences if is_mendable(each)]
        by_name = {each.name: each for each in resources if each.kind is kind}
        cloud.create([by_name[each.name] for each in mended if each.change is Change.MISSING])
        for name, group in groupby((each for each in mended if each.field), key=lambda each: each.name):
            cloud.change(by_name[name], [each.field for each in group])
    if not any(map(is_mendable, before)):
        return Applied(changed=(), left=tuple(before))
    left = _read(cloud, resources, environment, SCRIPTS[script]).differences
    names = {(each.kind, each.name, each.change, each.field) for each in left}
    changed = tuple(each for each in before if (each.kind, each.name, each.change, each.field) not in names)
    return Applied(changed=changed, left=left)


def outlook(cloud: Cloud, resources: Sequence[Resource], environment: Environment, script: str) -> Applied:
    """What apply would do; nothing is changed."""
    found = _read(cloud, resources, environment, SCRIPTS[script]).differences
    return Applied(
        changed=tuple(each for each in found if is_mendable(each)),
        left=tuple(each for each in found if not is_mendable(each)),
    )


def remove(cloud: Cloud, resources: Sequence[Resource], environment: Environment, kind: Kind, name: str) -> None:
    """One thing that is there and should not be, or not as it is and cannot be changed. Raises NotOrphaned."""
    found = _read(cloud, resources, environment, [kind])
    about = [each for each in found.differences if each.name == name]
    fixed = any(each.field in FIXED.get(kind, ()) for each in about)
    if not fixed and not any(each.change is Change.ORPHAN for each in about):
        there = any((each.kind, each.name) == (kind, name) for each in found.live)
        why = "is declared, and as it should be; take it out of shared/config first" if there else "is not there"
        raise NotOrphaned(f"{kind} {name!r}: {why}; `tipoff doctor --env {environment.name}` says what can be removed")
    cloud.remove(next(each for each in found.live if (each.kind, each.name) == (kind, name)))


def is_mendable(difference: Difference) -> bool:
    """Whether a script can do it without losing anything."""
    if difference.change is not Change.DIFFERENT:
        return difference.change is Change.MISSING
    fixed = difference.field in FIXED.get(difference.kind, ())
    return not fixed and difference.kind not in UNMENDED and difference.live != BUILDING


def _read(cloud: Cloud, resources: Sequence[Resource], environment: Environment, kinds: Sequence[Kind]) -> Survey:
    found = survey(cloud, resources, environment, kinds)
    for unread in found.unread:
        raise CloudError(unread.why)
    return found
