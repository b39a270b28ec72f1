"""The port Cloud on Pub/Sub's own emulator: what it makes it reads again, and so is what `tipoff up` makes.

All other services have no emulator: tests/cloud stands in for them, and tests/flow/test_provision.py asks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest

from orchestration.provision import place_of, wanted
from shared.adapters.cloud import GoogleCloud
from shared.adapters.pubsub import PubSub
from shared.adapters.retry import FullJitter, is_one_of
from shared.config.access import PUSHER
from shared.config.deployment import ACK_DEADLINE_S, ATTEMPTS_MAX, Environment, account_of, environment, url_at
from shared.config.functions import FUNCTIONS, pushed_topics
from shared.core.drift import Difference, Kind, Resource, compare
from shared.core.subscriptions import subscription_of
from shared.ports import CloudError

KINDS = (Kind.TOPIC, Kind.SUBSCRIPTION)
RAW = "raw_processor--nba-raw-start"


@pytest.fixture
def place() -> Environment:
    """A project of the test's own."""
    return replace(environment("dev"), project=f"project-{uuid4().hex[:12]}")


@pytest.fixture
def cloud(pubsub_emulator: str, place: Environment) -> Iterator[GoogleCloud]:
    with closing(GoogleCloud(place.project, place.region, endpoint=f"http://{pubsub_emulator}")) as opened:
        yield opened


def differences(cloud: GoogleCloud, place: Environment) -> tuple[Difference, ...]:
    should = declared(place)
    live = [each for kind in KINDS for each in cloud.read(kind, should)]
    return compare(should, live, place_of(place))


def declared(place: Environment) -> list[Resource]:
    """But that dead letters are kept no longer than the emulator allows; the service keeps a message for 31 days."""
    return [_kept_a_week(each) for each in wanted(place, "0123abc") if each.kind in KINDS]


def _kept_a_week(declared: Resource) -> Resource:
    if declared.kind is Kind.TOPIC:
        return declared
    return replace(declared, fields={**declared.fields, "retention_s": 7 * 86_400})


def test_what_is_made_is_read_again_as_it_was_declared(cloud: GoogleCloud, place: Environment) -> None:
    for _ in range(2):  # what is there already stays
        cloud.create(declared(place))
        assert differences(cloud, place) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ack_deadline_s", 60),
        ("attempts_max", 7),
        ("pause_s", 5),
        ("retention_s", 86_400),
        ("push_endpoint", "https://a.b"),
    ],
)
def test_a_field_that_was_changed_is_changed_back(
    cloud: GoogleCloud, place: Environment, field: str, value: int | str
) -> None:
    cloud.create(declared(place))
    raw = next(each for each in declared(place) if each.kind is Kind.SUBSCRIPTION and each.name == RAW)
    cloud.change(replace(raw, fields={**raw.fields, field: value}), [field])
    assert [(each.name, each.field, each.live) for each in differences(cloud, place)] == [(RAW, field, value)]
    cloud.change(raw, [field])
    assert differences(cloud, place) == ()


def test_what_is_removed_is_gone_and_may_be_removed_again(cloud: GoogleCloud, place: Environment) -> None:
    cloud.create(declared(place))
    raw = next(each for each in declared(place) if each.kind is Kind.SUBSCRIPTION and each.name == RAW)
    for _ in range(2):
        cloud.remove(raw)
        (gone,) = differences(cloud, place)
        assert (gone.name, gone.mend) == (RAW, "bin/deploy/topics --env dev")


@pytest.mark.parametrize("kind", Kind)
def test_what_does_not_answer_is_named_within_the_time_given(kind: Kind, place: Environment) -> None:
    once = FullJitter(passes=is_one_of(OSError), first_s=0.01, most_s=0.01, total_s=0.05)
    nowhere = "http://127.0.0.1:1/-/{service}"
    said = pytest.raises(CloudError, match=r"^[a-z]+: no answer \(\w+\); see whether this machine reaches Google$")
    with closing(GoogleCloud(place.project, place.region, endpoint=nowhere, again=once)) as cloud, said:
        cloud.read(kind, wanted(place, "0123abc"))


def test_the_bus_subscribes_as_is_declared(cloud: GoogleCloud, place: Environment, pubsub_emulator: str) -> None:
    with closing(PubSub(place.project, emulator=pubsub_emulator, attempts_max=ATTEMPTS_MAX)) as bus:
        for spec in FUNCTIONS:
            for topic in pushed_topics(spec):
                account, url = account_of(PUSHER, place.project), url_at(place, spec.name)
                name = subscription_of(spec.name, topic)
                bus.serve(name, topic, endpoint=url, service_account=account, ack_deadline_s=ACK_DEADLINE_S)
    assert [each for each in differences(cloud, place) if each.kind is Kind.SUBSCRIPTION] == []
