"""What is declared against what is live: both the same kind of value, and for each difference a command that mends it.

Pure: who reads what is live, and who changes it, gives and takes these values (port Cloud).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Value = str | int | float | bool | tuple[str, ...] | None
"""Of one field. None: it is not there."""


class Kind(StrEnum):
    """In the order in which they are made: each stands on those before it."""

    ACCOUNT = "account"  # a service account
    TOPIC = "topic"
    SUBSCRIPTION = "subscription"  # a push carries an account's token
    DATASET = "dataset"
    SECRET = "secret"  # noqa: S105 - the word, not one
    BINDING = "binding"  # one role of one member on one resource
    INDEX = "index"  # of Firestore, over several fields
    FIELD = "field"  # of Firestore, where it is indexed otherwise than all are, or has a time to live
    SCHEDULE = "schedule"
    FUNCTION = "function"
    METRIC = "metric"
    SERVICE = "service"  # what objectives are about
    OBJECTIVE = "objective"
    UPTIME = "uptime"
    POLICY = "policy"  # of alerts
    DASHBOARD = "dashboard"


SCRIPTS: Mapping[str, tuple[Kind, ...]] = {
    "iam": (Kind.ACCOUNT, Kind.DATASET, Kind.BINDING),
    "topics": (Kind.TOPIC, Kind.SUBSCRIPTION),
    "secrets": (Kind.SECRET,),
    "indexes": (Kind.INDEX, Kind.FIELD),
    "schedules": (Kind.SCHEDULE,),
    "monitoring": (
        *(Kind.METRIC, Kind.SERVICE, Kind.OBJECTIVE),
        *(Kind.UPTIME, Kind.POLICY, Kind.DASHBOARD),
    ),
}
"""Which of bin/deploy makes which kinds. Functions are deployed, by bin/deploy/deploy."""

SCRIPT_OF: Mapping[Kind, str] = {kind: script for script, kinds in SCRIPTS.items() for kind in kinds}

FIXED: Mapping[Kind, tuple[str, ...]] = {
    Kind.SUBSCRIPTION: ("topic", "filter", "ordering", "detached", "delivers"),
    Kind.DATASET: ("location",),
    Kind.INDEX: ("scope",),
}
"""Fields that nobody can change once the thing is there."""

PARTLY = SCRIPTS["monitoring"]
"""Kinds of which only what is declared is compared: Google fills in the rest."""

ASKED = ("on", "role", "member")
"""What a binding is, in its fields; its name says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing on Google Cloud, declared or live, by what matters of it."""

    kind: Kind
    name: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    seen: Mapping[str, Value] = field(default_factory=dict)  # of a live one: what is no setting of it


class Change(StrEnum):
    """In which way something is not as it should be."""

    MISSING = "missing"  # declared, and not there
    DIFFERENT = "different"
    ORPHAN = "orphan"  # there, and not declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One of them, of one field where it is there; with the command that mends it."""

    kind: Kind
    name: str
    change: Change
    field: str = ""
    declared: Value = None
    live: Value = None
    mend: str
    loses: str = ""  # what mending it costs, where it does


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it is: what commands have to be told."""

    environment: str
    project: str
    region: str


def binding(on: str, role: str, member: str) -> Resource:
    """That a member has a role on something: `topic/nba-raw-start`, `project`."""
    fields: dict[str, Value] = {"on": on, "role": role, "member": member}
    return Resource(kind=Kind.BINDING, name=f"{on} {role} {member}", fields=fields)


def compare(declared: Iterable[Resource], live: Iterable[Resource], place: Place) -> tuple[Difference, ...]:
    """Every difference between the two, by kind and name."""
    wanted = {(each.kind, each.name): each for each in declared}
    found = {(each.kind, each.name): each for each in live}
    differences: list[Difference] = []
    for key in sorted(wanted.keys() | found.keys(), key=lambda key: (list(Kind).index(key[0]), key[1])):
        kind, name = key
        if key not in found:
            mend = _script(kind, name, place)
            differences.append(Difference(kind=kind, name=name, change=Change.MISSING, mend=mend))
        elif key not in wanted:
            mend, loses = _removal(kind, name, place), LOSES.get(kind, "")
            differences.append(Difference(kind=kind, name=name, change=Change.ORPHAN, mend=mend, loses=loses))
        else:
            differences += _fields(wanted[key], found[key], place)
    return tuple(differences)


def _fields(declared: Resource, live: Resource, place: Place) -> list[Difference]:
    names = declared.fields.keys() | {name for name in live.fields if not _is_anybodys(declared.kind, name)}
    return [
        _different(declared.kind, declared.name, name, declared.fields.get(name), live.fields.get(name), place)
        for name in sorted(names)
        if not _same(declared.kind, declared.fields.get(name), live.fields.get(name))
    ]


def _is_anybodys(kind: Kind, field: str) -> bool:
    """Whether it may be there without being declared: no deployment takes a label away, and none changes what runs."""
    return kind in PARTLY or (kind is Kind.FUNCTION and field.startswith(LABEL))


def _same(kind: Kind, declared: Value, live: Value) -> bool:
    """Google leaves out of JSON what is 0, false or empty."""
    return declared == live or (kind in PARTLY and live is None and not declared)


def _different(kind: Kind, name: str, field: str, declared: Value, live: Value, place: Place) -> Difference:
    mend, loses = _script(kind, name, place), ""
    if field in FIXED.get(kind, ()):
        mend, loses = f"{_removal(kind, name, place)} && {mend}", LOSES.get(kind, "")
    elif kind is Kind.SECRET and field == HAS_VALUE:
        # typed unseen and from stdin: in no argv, in no history, and without the line's end
        add = f"gcloud secrets versions add {name} --data-file=- --project {place.project}"
        mend = f'read -rs value && printf %s "$value" | {add}'
    elif kind in (Kind.INDEX, Kind.FIELD) and live == BUILDING:
        mend = f"gcloud firestore operations list --project {place.project}  # it is being built: wait"
    elif kind is Kind.FUNCTION and field.startswith(VARIABLE) and declared is None:
        mend = f"{mend} --dry-run && {_without(name, field.removeprefix(VARIABLE), place)} && {mend}"
    return Difference(
        kind=kind,
        name=name,
        change=Change.DIFFERENT,
        field=field,
        declared=declared,
        live=live,
        mend=mend,
        loses=loses,
    )


PINNED = "one revision, by its name"
"""How the traffic of a function should go: never straight to the latest."""

NEWEST = "the newest revision"
"""What should serve: an older one does where a deployment was not finished."""

NEVER = "never"
"""When a subscription should expire."""

HAS_VALUE = "has_value"
"""The field of a secret that says whether a version of it can be read."""

BUILDING = "CREATING"
"""The state of an index that Google is making."""

LABEL = "label."
"""Begins the field that says what one of a thing's labels is."""

VARIABLE = "variable."
"""Begins the field of a function that says what one of its variables is."""

LOSES: Mapping[Kind, str] = {
    Kind.SUBSCRIPTION: "what it holds unacknowledged is lost: let it run empty first",
    Kind.TOPIC: "its subscriptions hear nothing any more",
    Kind.DATASET: "its tables go with it: copy them first",
    Kind.SECRET: "its values go with it",
    Kind.ACCOUNT: "whatever runs as it stops working",
}


def _without(function: str, variable: str, place: Place) -> str:
    """A new revision without a variable, of the source that was staged: without one, gcloud would take any folder. It
    serves nothing until it has been verified."""
    at = f"--gen2 --region {place.region} --project {place.project}"
    source = f"build/deploy/{function.replace('-', '_')}"
    return f"gcloud functions deploy {function} {at} --source {source} --remove-env-vars {shlex.quote(variable)}"


def _script(kind: Kind, name: str, place: Place) -> str:
    if kind is Kind.FUNCTION:
        return f"bin/deploy/deploy {name.replace('-', '_')} --env {place.environment}"
    return f"bin/deploy/{SCRIPT_OF[kind]} --env {place.environment}"


def _removal(kind: Kind, name: str, place: Place) -> str:
    if kind is Kind.FUNCTION:
        region, _, short = name.rpartition("/")
        return f"gcloud functions delete {short} --gen2 --region {region or place.region} --project {place.project}"
    if kind is Kind.DATASET:
        return f"bq rm -r -d {place.project}:{name}"  # whoever deletes tables does it himself
    return f"{_script(kind, name, place)} --remove {kind} {shlex.quote(name)}"


# --- who invokes what -----------------------------------------------------------------------------------


def uninvoked(
    urls: Mapping[str, str], by_people: Sequence[str], live: Iterable[Resource], place: Place
) -> tuple[Difference, ...]:
    """Functions, by where they answer, that no live subscription pushes to, no live schedule calls and no person asks:
    deployed, and nothing would ever happen."""
    called = {
        str(each.fields.get("push_endpoint") or each.fields.get("url") or "").rstrip("/")
        for each in live
        if each.kind in (Kind.SUBSCRIPTION, Kind.SCHEDULE) and each.fields.get("state", "ENABLED") == "ENABLED"
    }
    mend = f"bin/deploy/topics --env {place.environment} && bin/deploy/schedules --env {place.environment}"
    return tuple(
        Difference(
            kind=Kind.FUNCTION,
            name=name,
            change=Change.DIFFERENT,
            field="invoked_by",
            declared="a subscription, a schedule or people",
            live="nobody",
            mend=mend,
        )
        for name, url in sorted(urls.items())
        if url.rstrip("/") not in called and name not in by_people
    )


# --- whether schedules run ------------------------------------------------------------------------------

NOT_YET = -1  # the status of a job that has never run


def last_run(job: Resource, due_at: datetime | None, place: Place) -> tuple[Difference, ...]:
    """What is wrong with the last run of a live job that was due last at due_at: none, too old a one, or a failed one.
    What was changed since is given the time until it is due again."""
    ran_at, changed_at = (_instant(job.seen.get(name)) for name in ("ran_at", "changed_at"))
    status = job.seen.get("status") or 0
    if status and status != NOT_YET:
        live = f"failed at {job.seen.get('ran_at')}: {status} {job.seen.get('said')}".rstrip()
    elif due_at and (ran_at is None or ran_at < due_at) and (changed_at is None or changed_at < due_at):
        live = f"was at {job.seen['ran_at']}" if ran_at else "never was"
        live = f"{live}; due at {due_at.isoformat()}"
    else:
        return ()
    mend = f"gcloud scheduler jobs run {job.name} --location {place.region} --project {place.project}"
    return (
        Difference(
            kind=Kind.SCHEDULE,
            name=job.name,
            change=Change.DIFFERENT,
            field="last_run",
            declared="in time, and answered with 2xx",
            live=live,
            mend=mend,
        ),
    )


def _instant(value: Value) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


# --- JSON as fields -------------------------------------------------------------------------------------


def flat(value: object, path: str = "") -> dict[str, Value]:
    """The leaves of JSON by their paths, `conditions.0.name`: what is declared as JSON compares like the rest."""
    if isinstance(value, Mapping):
        inner = [(f"{path}.{key}" if path else str(key), each) for key, each in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        inner = [(f"{path}.{number}" if path else str(number), each) for number, each in enumerate(value)]
    else:
        return {path: value if isinstance(value, str | int | float | bool) else None}
    return {name: leaf for at, each in inner for name, leaf in flat(each, at).items()}
