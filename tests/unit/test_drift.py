"""What is declared against what is live: which differences there are, and which command mends each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import pytest

from shared.core.drift import (
    BUILDING,
    HAS_VALUE,
    SCRIPT_OF,
    SCRIPTS,
    Change,
    Kind,
    Place,
    Resource,
    Value,
    binding,
    compare,
    flat,
    last_run,
    uninvoked,
)

PLACE = Place(environment="prod", project="tipoff-prod", region="us-central1")
DUE = datetime(2031, 1, 15, 11, 0, tzinfo=timezone.utc)


def thing(kind: Kind, name: str = "a", **fields: Value) -> Resource:
    return Resource(kind=kind, name=name, fields=fields)


def test_what_is_as_declared_is_no_difference() -> None:
    both = [thing(Kind.TOPIC, retention_s=None), thing(Kind.SUBSCRIPTION, topic="a", expires="never")]
    assert compare(both, reversed(both), PLACE) == ()


@pytest.mark.parametrize(
    ("declared", "live", "said", "mend"),
    [
        pytest.param(
            thing(Kind.TOPIC), None, ("missing", "", None, None), "bin/deploy/topics --env prod", id="a missing topic"
        ),
        pytest.param(
            None,
            thing(Kind.SUBSCRIPTION, "it's old"),
            ("orphan", "", None, None),
            """bin/deploy/topics --env prod --remove subscription 'it'"'"'s old'""",
            id="a subscription that nobody declares",
        ),
        pytest.param(
            thing(Kind.SUBSCRIPTION, ack_deadline_s=600),
            thing(Kind.SUBSCRIPTION, ack_deadline_s=10),
            ("different", "ack_deadline_s", 600, 10),
            "bin/deploy/topics --env prod",
            id="a deadline",
        ),
        pytest.param(
            thing(Kind.SUBSCRIPTION),
            thing(Kind.SUBSCRIPTION, delivers="bigqueryConfig"),
            ("different", "delivers", None, "bigqueryConfig"),
            "bin/deploy/topics --env prod --remove subscription a && bin/deploy/topics --env prod",
            id="a subscription that writes to a table, which no update takes from it",
        ),
        pytest.param(
            thing(Kind.SUBSCRIPTION, detached=False),
            thing(Kind.SUBSCRIPTION, detached=True),
            ("different", "detached", False, True),
            "bin/deploy/topics --env prod --remove subscription a && bin/deploy/topics --env prod",
            id="a detached subscription, which nobody can attach again",
        ),
        pytest.param(
            thing(Kind.SUBSCRIPTION),
            thing(Kind.SUBSCRIPTION, push_endpoint="https://a"),
            ("different", "push_endpoint", None, "https://a"),
            "bin/deploy/topics --env prod",
            id="a field that is only live",
        ),
        pytest.param(
            thing(Kind.SUBSCRIPTION, filter=None),
            thing(Kind.SUBSCRIPTION, filter="attributes:x"),
            ("different", "filter", None, "attributes:x"),
            "bin/deploy/topics --env prod --remove subscription a && bin/deploy/topics --env prod",
            id="a filter, which cannot be changed",
        ),
        pytest.param(
            thing(Kind.DATASET, location="EU"),
            thing(Kind.DATASET, location="US"),
            ("different", "location", "EU", "US"),
            "bq rm -r -d tipoff-prod:a && bin/deploy/iam --env prod",
            id="a dataset elsewhere",
        ),
        pytest.param(
            thing(Kind.SECRET, **{HAS_VALUE: True}),
            thing(Kind.SECRET, **{HAS_VALUE: False}),
            ("different", HAS_VALUE, True, False),
            'read -rs value && printf %s "$value" | gcloud secrets versions add a --data-file=- --project tipoff-prod',
            id="a secret without a value, which is given from standard input and without a line's end",
        ),
        pytest.param(
            thing(Kind.INDEX, state="READY"),
            thing(Kind.INDEX, state=BUILDING),
            ("different", "state", "READY", BUILDING),
            "gcloud firestore operations list --project tipoff-prod  # it is being built: wait",
            id="an index that is being built",
        ),
        pytest.param(
            thing(Kind.FUNCTION, "self-heal", timeout_s=540),
            thing(Kind.FUNCTION, "self-heal", timeout_s=60),
            ("different", "timeout_s", 540, 60),
            "bin/deploy/deploy self_heal --env prod",
            id="a function's timeout",
        ),
        pytest.param(
            thing(Kind.FUNCTION, "self-heal"),
            thing(Kind.FUNCTION, "self-heal", **{"variable.DEBUG": "1"}),
            ("different", "variable.DEBUG", None, "1"),
            "bin/deploy/deploy self_heal --env prod --dry-run"
            " && gcloud functions deploy self-heal --gen2 --region us-central1 --project tipoff-prod"
            " --source build/deploy/self_heal --remove-env-vars DEBUG"
            " && bin/deploy/deploy self_heal --env prod",
            id="a variable that nobody declares",
        ),
        pytest.param(
            thing(Kind.FUNCTION, "self-heal", **{"variable.LOG_LEVEL": "INFO"}),
            thing(Kind.FUNCTION, "self-heal", **{"variable.LOG_LEVEL": "DEBUG"}),
            ("different", "variable.LOG_LEVEL", "INFO", "DEBUG"),
            "bin/deploy/deploy self_heal --env prod",
            id="a variable of another value",
        ),
        pytest.param(
            None,
            thing(Kind.FUNCTION, "old-gate"),
            ("orphan", "", None, None),
            "gcloud functions delete old-gate --gen2 --region us-central1 --project tipoff-prod",
            id="a function that nobody declares",
        ),
        pytest.param(
            None,
            thing(Kind.FUNCTION, "europe-west1/self-heal"),
            ("orphan", "", None, None),
            "gcloud functions delete self-heal --gen2 --region europe-west1 --project tipoff-prod",
            id="a function in another region",
        ),
    ],
)
def test_a_difference_says_what_it_is_and_what_mends_it(
    declared: Resource | None, live: Resource | None, said: tuple[str, str, Value, Value], mend: str
) -> None:
    (found,) = compare([declared] if declared else [], [live] if live else [], PLACE)
    assert (found.change, found.field, found.declared, found.live) == said
    assert found.mend == mend


def test_what_mending_costs_is_said_where_it_costs_something() -> None:
    fixed = compare([thing(Kind.SUBSCRIPTION, topic="a")], [thing(Kind.SUBSCRIPTION, topic="b")], PLACE)
    orphan = compare([], [thing(Kind.SUBSCRIPTION)], PLACE)
    mere = compare([thing(Kind.SUBSCRIPTION, ack_deadline_s=1)], [thing(Kind.SUBSCRIPTION, ack_deadline_s=2)], PLACE)
    assert [each.loses for each in (*fixed, *orphan, *mere)] == [
        "what it holds unacknowledged is lost: let it run empty first",
        "what it holds unacknowledged is lost: let it run empty first",
        "",
    ]


def test_differences_come_in_the_order_in_which_things_are_made() -> None:
    declared = [thing(kind) for kind in reversed(Kind)]
    assert [each.kind for each in compare(declared, [], PLACE)] == list(Kind)


def test_a_binding_is_there_or_not() -> None:
    held = binding("topic/a", "roles/pubsub.publisher", "serviceAccount:a@b")
    (missing,) = compare([held], [], PLACE)
    (orphan,) = compare([], [held], PLACE)
    assert missing.mend == "bin/deploy/iam --env prod"
    name = "topic/a roles/pubsub.publisher serviceAccount:a@b"
    assert orphan.mend == f"bin/deploy/iam --env prod --remove binding '{name}'"


@pytest.mark.parametrize(
    ("kind", "differs"), [(Kind.FUNCTION, ["label.app"]), (Kind.SUBSCRIPTION, ["label.app", "label.team"])]
)
def test_labels_that_nobody_declares_are_left_where_no_command_takes_them_away(kind: Kind, differs: list[str]) -> None:
    declared = thing(kind, **{"label.app": "tipoff"})
    live = thing(kind, **{"label.app": "other", "label.team": "a"})
    assert [each.field for each in compare([declared], [live], PLACE)] == differs


@pytest.mark.parametrize(
    ("declared", "live", "differs"),
    [
        ({"a": 1}, {"a": 1, "etag": "x"}, []),
        ({"a": 0, "b": False, "c": ""}, {}, []),
        ({"a": 1}, {}, ["a"]),
        ({"a": 0}, {"a": 5}, ["a"]),
    ],
    ids=["what Google fills in", "what it leaves out", "what is gone", "what was changed"],
)
def test_of_what_is_declared_as_json_only_that_is_compared(
    declared: Mapping[str, Value], live: Mapping[str, Value], differs: list[str]
) -> None:
    found = compare([thing(Kind.DASHBOARD, **declared)], [thing(Kind.DASHBOARD, **live)], PLACE)
    assert [each.field for each in found] == differs


def test_json_is_its_leaves_by_their_paths() -> None:
    value = {"a": {"b": [1, {"c": "x"}]}, "d": None, "e": True, "f": [], "g": {}}
    assert flat(value) == {"a.b.0": 1, "a.b.1.c": "x", "d": None, "e": True}
    assert flat([2.5]) == {"0": 2.5}


def test_every_kind_but_functions_has_one_script() -> None:
    assert set(SCRIPT_OF) == set(Kind) - {Kind.FUNCTION}
    assert len(SCRIPT_OF) == sum(map(len, SCRIPTS.values()))


# --- who invokes ----------------------------------------------------------------------------------------

URL = "https://self-heal.run.app"


@pytest.mark.parametrize(
    ("live", "by_people", "invoked"),
    [
        ([thing(Kind.SUBSCRIPTION, push_endpoint=URL)], (), True),
        ([thing(Kind.SUBSCRIPTION, push_endpoint=f"{URL}/")], (), True),
        ([thing(Kind.SCHEDULE, url=URL, state="ENABLED")], (), True),
        ([thing(Kind.SCHEDULE, url=URL, state="PAUSED")], (), False),
        ([thing(Kind.SUBSCRIPTION), thing(Kind.TOPIC, url=URL)], (), False),
        ([], ("self-heal",), True),
        ([], ("another",), False),
    ],
    ids=["a push", "a push with a slash", "a schedule", "a paused schedule", "a pull", "people", "nobody"],
)
def test_a_function_is_invoked_by(live: list[Resource], by_people: tuple[str, ...], invoked: bool) -> None:
    found = uninvoked({"self-heal": URL}, by_people, live, PLACE)
    assert (found == ()) is invoked
    for each in found:
        assert (each.kind, each.name, each.field, each.live) == (Kind.FUNCTION, "self-heal", "invoked_by", "nobody")
        assert each.mend == "bin/deploy/topics --env prod && bin/deploy/schedules --env prod"


# --- whether schedules run ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "due_at", "live"),
    [
        ({"ran_at": "2031-01-15T11:00:02Z"}, DUE, ""),
        ({"ran_at": "2031-01-15T11:00:02Z", "status": 0}, DUE, ""),
        ({"ran_at": "2031-01-14T11:00:02Z"}, DUE, "was at 2031-01-14T11:00:02Z; due at 2031-01-15T11:00:00+00:00"),
        ({"status": -1}, DUE, "never was; due at 2031-01-15T11:00:00+00:00"),
        ({"changed_at": "2031-01-15T12:00:00Z"}, DUE, ""),
        ({"changed_at": "2031-01-14T12:00:00Z"}, DUE, "never was; due at 2031-01-15T11:00:00+00:00"),
        ({}, None, ""),
        (
            {"ran_at": "2031-01-15T11:00:02Z", "status": 7, "said": "PERMISSION_DENIED"},
            DUE,
            "failed at 2031-01-15T11:00:02Z: 7 PERMISSION_DENIED",
        ),
    ],
    ids=["in time", "said to be well", "too old", "never", "changed since", "changed before", "not due yet", "failed"],
)
def test_the_last_run_of_a_schedule(seen: Mapping[str, Value], due_at: datetime | None, live: str) -> None:
    found = last_run(Resource(kind=Kind.SCHEDULE, name="job", seen=seen), due_at, PLACE)
    assert [each.live for each in found] == ([live] if live else [])
    for each in found:
        assert (each.change, each.field) == (Change.DIFFERENT, "last_run")
        assert each.mend == "gcloud scheduler jobs run job --location us-central1 --project tipoff-prod"
