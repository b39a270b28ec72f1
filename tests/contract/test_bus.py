"""Every promise of the port Bus, over each adapter that keeps it.

The embedded bus goes by the `now` that it is given, so time passes at a word and moments are exact. Pub/Sub goes by its
own clock: there the tests wait, with short leases, and look again until what must come has come. What only one of them
can promise stands at the end, and what the port promises of both before it; hence the length.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage, ReceivedMessage, Subscription

from shared.adapters.pubsub import (
    LEASE_S_MAX,
    REQUEST_BYTES_MAX,
    SOURCE,
    PubSub,
    PubSubError,
    connect,
    read_dead_letter,
)
from shared.adapters.sqlite import Sqlite
from shared.core.messages import TEXT_MAX, Message
from shared.ports import Bus, Delivery

T = TypeVar("T")
NOW = datetime(2024, 1, 16, 6, 0, 0, 123456, tzinfo=timezone.utc)
LEASE_S = 60
LAPSING_S = 1  # a lease that a test waits out
SHORT_S = 3  # one that it only waits out to see that nothing comes
BACKOFF_MAX_S = 1  # of Pub/Sub, where the tests wait it out
ATTEMPTS_MAX = 5  # the fewest that Pub/Sub allows
PATIENCE_S = 40.0  # for what must come: within four seconds, and after 60 it would come by itself
TOPIC = "nba-phase3-analytics-complete"
SUB = "phase3-to-phase4"


@dataclass
class Rig:
    """A bus with the time it goes by: given to it, or the world's."""

    bus: Bus
    real: bool
    now: datetime = NOW

    def publish(self, *names: str) -> None:
        self.bus.publish([Message(topic=TOPIC, data=name.encode()) for name in names], self.now)

    def pull(self, subscription: str = SUB, *, limit: int = 100, lease_s: int = LEASE_S) -> list[Delivery]:
        return self.bus.pull([subscription], limit=limit, now=self.now, lease_s=lease_s)

    def come(self, subscription: str = SUB, *, after_s: float = 0, lease_s: int = LEASE_S) -> list[Delivery]:
        """What comes when so much time has passed; at least one must."""
        self.pass_time(after_s)
        deadline = time.monotonic() + PATIENCE_S
        while not (pulled := self.pull(subscription, lease_s=lease_s)) and self.real and time.monotonic() < deadline:
            time.sleep(0.02)
        assert pulled
        return pulled

    def never_come(self, subscription: str = SUB) -> bool:
        """After all leases up to SHORT_S and all backoffs; the embedded bus, after a day."""
        self.pass_time(SHORT_S + BACKOFF_MAX_S + 0.5 if self.real else 86_400)
        return self.pull(subscription) == []

    def pass_time(self, seconds: float) -> None:
        if self.real:
            time.sleep(seconds)
        else:
            self.now += timedelta(seconds=seconds)

    def fail(self, *, attempts: int) -> None:
        """Fail the only message that often."""
        for attempt in range(1, attempts + 1):
            (delivery,) = self.come()
            self.bus.nack(delivery, self.now, f"boom {attempt}")
            self.pass_time(0 if self.real else 600)

    def die(self, *names: str) -> list[Delivery]:
        """Publish these, and let each use up its attempts; of a service, which counts them itself, without the wait."""
        for name in names:
            self.publish(name)
            self.use_up_attempts()
        return [dead for dead, _ in self.dead_letters(len(names))][::-1]

    def use_up_attempts(self) -> None:
        """Of the only message."""
        if self.real:
            (delivery,) = self.come()
            assert self.bus.nack(replace(delivery, attempt=ATTEMPTS_MAX), self.now, "boom")
        else:
            self.fail(attempts=ATTEMPTS_MAX)

    def dead_letters(self, count: int = 1) -> list[tuple[Delivery, str]]:
        """All of them, once there are so many: a service buries in its own time, its emulator when it is pulled."""
        deadline = time.monotonic() + PATIENCE_S
        while len(found := self.bus.dead_letters(100)) < count and self.real and time.monotonic() < deadline:
            assert self.pull() == []
            time.sleep(0.02)
        return found


EMBEDDED = ("sqlite-file", "sqlite-memory")


@pytest.fixture(params=[*EMBEDDED, "pubsub"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as opened:
        if request.param == "pubsub":
            bus = pubsub(request.getfixturevalue("pubsub_emulator"), f"project-{uuid4().hex[:12]}")
            opened.callback(bus.close)
            yield Rig(bus=bus, real=True, now=datetime.now(timezone.utc))
        else:
            yield Rig(bus=opened.enter_context(embedded(request.param, tmp_path)), real=False)


@pytest.fixture(params=EMBEDDED)
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    """One that goes by the time that it is given, to the microsecond."""
    with embedded(request.param, tmp_path) as bus:
        yield bus


@pytest.fixture(params=["sqlite-file", "pubsub"])
def connect_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Bus]]:
    """Opens the same bus once more, as another process would. In memory there is no other process."""
    project = f"project-{uuid4().hex[:12]}"
    with ExitStack() as opened:

        def open_again() -> Bus:
            if request.param == "pubsub":
                bus = pubsub(request.getfixturevalue("pubsub_emulator"), project)
                opened.callback(bus.close)
                return bus
            return opened.enter_context(embedded("sqlite-file", tmp_path))

        yield open_again


@contextmanager
def embedded(name: str, folder: Path) -> Iterator[Bus]:
    store = Sqlite(folder / "state.sqlite" if name == "sqlite-file" else ":memory:", attempts_max=ATTEMPTS_MAX)
    try:
        yield store.bus
    finally:
        store.close()


def pubsub(host: str, project: str) -> PubSub:
    return PubSub(project, emulator=host, attempts_max=ATTEMPTS_MAX, backoff_s=1, backoff_max_s=BACKOFF_MAX_S)


def test_a_message_comes_as_it_was_published(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    message = Message(topic=TOPIC, data=b'{"a":"\xc3\xa9"}\x00\xff', attributes={"run": "nba.x", "odd": "é\n\0𝄞"})
    rig.bus.publish([message], rig.now)
    (delivery,) = rig.come()
    assert (delivery.topic, delivery.subscription, delivery.attempt) == (TOPIC, SUB, 1)
    assert (delivery.data, dict(delivery.attributes)) == (message.data, message.attributes)
    assert abs(delivery.published_at - rig.now) < (timedelta(hours=1) if rig.real else timedelta.resolution)
    assert delivery.published_at.tzinfo is timezone.utc


def test_a_subscription_gets_nothing_that_was_published_before_it(rig: Rig) -> None:
    rig.bus.subscribe("earlier", TOPIC)
    rig.publish("lost")
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("kept")
    assert bodies(rig.come()) == ["kept"]
    assert rig.pull() == []


def test_each_subscription_of_a_topic_gets_every_message(rig: Rig) -> None:
    rig.bus.subscribe("one", TOPIC)
    rig.bus.subscribe("two", TOPIC)
    rig.publish("a", "b")
    rig.bus.ack(rig.come("one", lease_s=LAPSING_S))
    assert sorted(bodies(rig.come("two"))) == ["a", "b"]
    assert rig.never_come("one")


def test_a_subscription_gets_only_its_topic(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("elsewhere", "another-topic")
    rig.publish("a")
    assert bodies(rig.come()) == ["a"]
    assert rig.pull("elsewhere") == []


def test_it_says_which_subscription_hears_what(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("elsewhere", "another-topic")
    assert rig.bus.hears(SUB, TOPIC)
    assert not rig.bus.hears(SUB, "another-topic")
    assert not rig.bus.hears("elsewhere", TOPIC)
    assert not rig.bus.hears("nobody", TOPIC)


def test_subscribing_twice_delivers_once(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    assert bodies(rig.come()) == ["a"]
    assert rig.pull() == []


def test_one_pull_serves_many_subscriptions_within_its_limit(rig: Rig) -> None:
    for name in ("one", "two", "three"):
        rig.bus.subscribe(name, TOPIC)
    rig.publish("a", "b")
    first = rig.bus.pull(["one", "two", "one"], limit=3, now=rig.now, lease_s=LEASE_S)
    second = rig.bus.pull(["one", "two"], limit=3, now=rig.now, lease_s=LEASE_S)
    assert (len(first), len(second)) == (3, 1)
    assert len({(each.subscription, each.data) for each in first + second}) == 4
    assert len(rig.pull("three")) == 2


def test_no_subscription_is_starved_by_the_others_messages(rig: Rig) -> None:
    rig.bus.subscribe("one", TOPIC)
    rig.bus.subscribe("two", TOPIC)
    rig.publish(*map(str, range(9)))
    pulled = [rig.bus.pull(["one", "two"], limit=1, now=rig.now, lease_s=LEASE_S) for _ in range(6)]
    assert {delivery.subscription for deliveries in pulled for delivery in deliveries} == {"one", "two"}


@pytest.mark.parametrize(("names", "limit"), [([], 5), ([SUB], 0)], ids=["of no subscription", "of none at most"])
def test_a_pull_gives_nothing(rig: Rig, names: list[str], limit: int) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    assert rig.bus.pull(names, limit=limit, now=rig.now, lease_s=LEASE_S) == []
    assert rig.come()[0].attempt == 1


def test_publishing_nothing_is_nothing(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.publish([], rig.now)
    assert rig.pull() == []


def test_acknowledging_nothing_is_nothing(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.bus.ack([])
    assert bodies(rig.come()) == ["a"]


def test_what_can_be_no_message_is_refused_with_all_its_company_and_the_rest_may_be_repeated(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("elsewhere", "another-topic")
    good = Message(topic=TOPIC, data=b"good")
    impossible = Message(topic="another-topic", data={"not": "bytes"})  # type: ignore[arg-type]  # what a bug would send
    with pytest.raises(Exception, match=r"."):
        rig.bus.publish([good, impossible], rig.now)
    assert rig.pull() == []
    rig.bus.publish([good], rig.now)
    assert bodies(rig.come()) == ["good"]


def test_a_held_message_is_not_given_to_another(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.come()
    rig.pass_time(0 if rig.real else LEASE_S - 1)
    assert rig.pull() == []


def test_an_unacknowledged_message_comes_again_after_its_lease_as_another_attempt(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (first,) = rig.come(lease_s=LAPSING_S)
    (second,) = rig.come(after_s=LAPSING_S)
    assert (second.id, second.data, second.attempt) == (first.id, first.data, 2)


def test_an_acknowledged_message_does_not_come_again(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a", "b")
    deliveries = rig.come(lease_s=LAPSING_S)
    rig.bus.ack(deliveries[:1])
    rig.bus.ack(deliveries[:1])
    assert bodies(rig.come(after_s=LAPSING_S)) == bodies(deliveries[1:])


def test_a_late_acknowledgement_is_allowed_and_takes_no_other_message_with_it(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (late,) = rig.come(lease_s=LAPSING_S)
    (again,) = rig.come(after_s=LAPSING_S, lease_s=LAPSING_S)
    rig.bus.ack([late])
    rig.publish("b")
    rig.bus.ack([late, again])
    others = rig.come(lease_s=LAPSING_S)
    assert bodies(others) == ["b"]
    rig.bus.ack(others)
    assert rig.never_come()


def test_a_failed_message_comes_with_the_next_attempt(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (delivery,) = rig.come()
    rig.bus.nack(delivery, rig.now, "boom")
    (again,) = rig.come(after_s=0 if rig.real else 600)
    assert (again.id, again.attempt) == (delivery.id, 2)


def test_a_message_that_failed_twice_waits_before_it_comes_again(rig: Rig) -> None:
    """Twice, because Pub/Sub's emulator, not the service, forgets the first pause."""
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.fail(attempts=1)
    (delivery,) = rig.come()
    rig.bus.nack(delivery, rig.now, "boom")
    assert rig.pull() == []
    assert rig.come(after_s=0 if rig.real else 600)[0].attempt == 3


def test_one_failing_message_does_not_hold_up_the_others(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a", "b")
    (failing,) = rig.pull(limit=1)
    rig.bus.nack(failing, rig.now, "boom")
    assert failing.data.decode() not in bodies(others := rig.come()) or len(others) == 2
    assert {"a", "b"} - {failing.data.decode()} <= set(bodies(others))


def test_a_message_that_fails_on_its_last_attempt_goes_to_the_dead_letters(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.publish([Message(topic=TOPIC, data=b"a", attributes={"run": "nba.x"})], rig.now)
    rig.fail(attempts=ATTEMPTS_MAX - 1)
    (last,) = rig.come(lease_s=SHORT_S)
    rig.bus.nack(last, rig.now, f"boom {ATTEMPTS_MAX}")
    ((dead, error),) = rig.dead_letters()
    assert (dead.data, dict(dead.attributes)) == (b"a", {"run": "nba.x"})
    assert (dead.topic, dead.subscription, dead.attempt) == (TOPIC, SUB, ATTEMPTS_MAX)
    assert error == f"boom {ATTEMPTS_MAX}"
    assert rig.never_come()
    assert rig.never_come()  # at the first of the two, the emulator would have buried it once more
    assert len(rig.dead_letters()) == 1


def test_a_dead_letter_says_when_it_was_published_first(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (first,) = rig.come(lease_s=LAPSING_S)
    rig.bus.nack(first, rig.now, "boom")
    rig.pass_time(0 if rig.real else 600)
    rig.fail(attempts=ATTEMPTS_MAX - 1)
    ((dead, _),) = rig.dead_letters()
    assert dead.published_at == first.published_at


def test_looking_at_the_dead_letters_leaves_them_there(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.fail(attempts=ATTEMPTS_MAX)
    found = rig.dead_letters()
    assert [dead.data for dead, _ in found] == [b"a"]
    assert rig.bus.dead_letters(10) == found
    assert rig.bus.dead_letters(10) == found


def test_a_message_is_no_dead_letter_before_its_last_attempt(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.fail(attempts=ATTEMPTS_MAX - 1)
    assert rig.bus.dead_letters(10) == []
    (last,) = rig.come(lease_s=LAPSING_S)
    assert last.attempt == ATTEMPTS_MAX
    rig.bus.ack([last])
    assert rig.never_come()
    assert rig.bus.dead_letters(10) == []


def test_a_message_nobody_ever_acknowledges_goes_to_the_dead_letters_too(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("mute")
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert [each.attempt for each in rig.come(lease_s=LAPSING_S)] == [attempt]
        rig.pass_time(LAPSING_S)
    rig.publish("healthy")
    assert bodies(rig.come()) == ["healthy"]
    ((dead, error),) = rig.dead_letters()
    assert (dead.data, dead.attempt, dead.subscription) == (b"mute", ATTEMPTS_MAX, SUB)
    assert "lease" in error


def test_dead_letters_come_newest_first_within_the_limit(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    for name in ("a", "b"):
        rig.publish(name)
        rig.fail(attempts=ATTEMPTS_MAX)
    assert [dead.data for dead, _ in rig.dead_letters(2)] == [b"b", b"a"]
    assert [dead.data for dead, _ in rig.bus.dead_letters(1)] == [b"b"]


def test_a_dead_letter_is_one_subscriptions_matter(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("two", TOPIC)
    rig.publish("a")
    rig.fail(attempts=ATTEMPTS_MAX)
    assert bodies(rig.come("two")) == ["a"]
    assert [dead.subscription for dead, _ in rig.dead_letters()] == [SUB]


def test_whoever_fails_a_message_hears_whether_it_is_dead_now(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    heard = []
    for _ in range(ATTEMPTS_MAX):
        (delivery,) = rig.come()
        heard.append(rig.bus.nack(delivery, rig.now, "boom"))
        rig.pass_time(0 if rig.real else 600)
    assert heard == [False] * (ATTEMPTS_MAX - 1) + [True]


def test_every_dead_letter_has_an_id_of_its_own_that_stays(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("two", "another-topic")
    ids = [dead.id for dead in rig.die("a", "b")]
    assert len(set(ids)) == 2
    assert [dead.id for dead, _ in rig.dead_letters(2)] == ids[::-1]
    assert rig.bus.purge(ids[:1]) == (ids[0],)
    assert ids[0] not in [dead.id for dead in rig.die("c")]


def test_a_redriven_dead_letter_comes_again_as_it_was_with_all_its_attempts(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    message = Message(topic=TOPIC, data=b'{"a":"\xc3\xa9"}\x00\xff', attributes={"run": "nba.x", "odd": "é\n\0𝄞"})
    rig.bus.publish([message], rig.now)
    rig.use_up_attempts()
    ((dead, _),) = rig.dead_letters()
    rig.now += timedelta(hours=1)
    assert rig.bus.redrive([dead.id], rig.now) == (dead.id,)
    (again,) = rig.come(lease_s=SHORT_S)
    assert (again.data, dict(again.attributes)) == (message.data, message.attributes)
    assert (again.topic, again.subscription, again.attempt) == (TOPIC, SUB, 1)
    assert again.published_at > dead.published_at
    assert rig.bus.dead_letters(10) == []
    assert rig.bus.redrive([dead.id], rig.now) == ()
    rig.bus.ack([again])
    assert rig.never_come()


def test_a_redriven_message_that_fails_again_dies_again_under_another_id(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    (first,) = rig.die("a")
    rig.bus.redrive([first.id], rig.now)
    rig.fail(attempts=ATTEMPTS_MAX)
    ((second, error),) = rig.dead_letters()
    assert (second.data, second.attempt, error) == (b"a", ATTEMPTS_MAX, f"boom {ATTEMPTS_MAX}")
    assert second.id != first.id


def test_only_the_named_dead_letters_are_redriven_or_purged(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    again, gone, stays = (dead.id for dead in rig.die("again", "gone", "stays"))
    assert rig.bus.redrive([again, again], rig.now) == (again,)
    assert rig.bus.purge([gone]) == (gone,)
    assert [dead.id for dead, _ in rig.dead_letters()] == [stays]
    assert bodies(rig.come()) == ["again"]


def test_redriven_ids_come_back_in_the_order_given(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    one, two, three = (dead.id for dead in rig.die("1", "2", "3"))
    assert rig.bus.redrive([three, one], rig.now) == (three, one)
    assert rig.bus.purge([two, one]) == (two,)


def test_a_purged_dead_letter_is_gone_for_good(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    (dead,) = rig.die("a")
    assert rig.bus.purge([dead.id]) == (dead.id,)
    assert rig.bus.purge([dead.id]) == ()
    assert rig.never_come()
    assert rig.bus.dead_letters(10) == []


STRANGERS = [
    "",
    "0",
    "01",
    "-1",
    "1e3",
    "9" * 40,
    "9" * 5_000,
    "é",
    ":",
    "nobody-dead:1",
    f"{SUB}:1",
    f"{SUB}-dead:1",
    "%' OR 1=1--",
]


def test_ids_that_name_no_dead_letter_are_left_out_and_touch_none(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    (dead,) = rig.die("a")
    odd = [*STRANGERS, dead.id + "0", "0" + dead.id]
    assert rig.bus.redrive([*odd, *STRANGERS], rig.now) == ()
    assert rig.bus.purge(odd) == ()
    assert rig.bus.redrive([], rig.now) == ()
    assert rig.bus.purge([]) == ()
    assert [each.id for each, _ in rig.dead_letters()] == [dead.id]
    assert rig.bus.purge(["9" * 40, dead.id]) == (dead.id,)


def test_of_many_who_redrive_at_once_each_dead_letter_comes_again(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    ids = [dead.id for dead in rig.die(*"abcdef")]
    done = race(4, lambda _: rig.bus.redrive(ids, rig.now))
    again: list[str] = []
    while len(set(again)) < len(ids):
        again += bodies(rig.come())
    assert set(again) == set("abcdef")
    if not rig.real:
        assert sorted(id for each in done for id in each) == sorted(ids)
        assert sorted(again) == list("abcdef")


def test_whoever_fails_after_his_lease_lapsed_does_not_disturb_the_next_holder(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (late,) = rig.come(lease_s=LAPSING_S)
    rig.come(after_s=LAPSING_S, lease_s=LEASE_S)
    assert not rig.bus.nack(late, rig.now, "too late")
    rig.pass_time(BACKOFF_MAX_S + 1.5 if rig.real else LEASE_S - 1)
    assert rig.pull() == []


def test_failing_an_acknowledged_message_does_nothing(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    (delivery,) = rig.come(lease_s=LAPSING_S)
    rig.bus.ack([delivery])
    assert not rig.bus.nack(delivery, rig.now, "boom")
    assert rig.never_come()


def test_any_error_text_is_kept_cut(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    rig.fail(attempts=ATTEMPTS_MAX - 1)
    rig.bus.nack(rig.come()[0], rig.now, "\x00\udcff" + "é" * 100_000)
    ((_, error),) = rig.dead_letters()
    assert "ééé" in error
    assert len(error) < TEXT_MAX + 10


def test_next_at_is_never_too_late(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish("a")
    at = rig.bus.next_at()
    assert at is not None
    assert at <= rig.now
    rig.come(lease_s=LEASE_S)
    at = rig.bus.next_at()
    assert at is not None
    assert at <= rig.now + timedelta(seconds=LEASE_S)


def test_threads_that_pull_never_get_the_same_message_within_its_lease(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish(*map(str, range(200)))

    def pull_all(_: int) -> list[str]:
        got: list[str] = []
        while deliveries := rig.pull(limit=3):
            got += bodies(deliveries)
        return got

    got = [body for bodies_of_one in race(4, pull_all) for body in bodies_of_one]
    assert sorted(got, key=int) == list(map(str, range(200)))


def test_connections_that_pull_never_get_the_same_message_within_its_lease(connect_again: Callable[[], Bus]) -> None:
    opened = [connect_again() for _ in range(4)]
    opened[0].subscribe(SUB, TOPIC)
    opened[1].publish([Message(topic=TOPIC, data=str(number).encode()) for number in range(200)], NOW)

    def pull_all(index: int) -> list[str]:
        got: list[str] = []
        while deliveries := opened[index].pull([SUB], limit=3, now=NOW, lease_s=LEASE_S):
            got += bodies(deliveries)
        return got

    got = [body for bodies_of_one in race(4, pull_all) for body in bodies_of_one]
    assert sorted(got, key=int) == list(map(str, range(200)))


def test_of_21_publishers_no_message_is_lost(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    race(21, lambda index: rig.publish(f"{index}a", f"{index}b"))
    assert len(set(bodies(rig.come()))) == 42


def test_of_21_who_subscribe_at_once_each_gets_one_subscription(connect_again: Callable[[], Bus]) -> None:
    opened = [connect_again() for _ in range(3)]
    race(21, lambda index: opened[index % 3].subscribe(SUB, TOPIC))
    opened[0].publish([Message(topic=TOPIC, data=b"a")], NOW)
    pulled = [delivery for bus in opened for delivery in bus.pull([SUB], limit=9, now=NOW, lease_s=LEASE_S)]
    assert bodies(pulled) == ["a"]


def test_of_many_who_acknowledge_and_fail_at_once_what_was_acknowledged_stays_away(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.publish(*map(str, range(40)))
    deliveries = rig.come()
    done, failed = deliveries[::2], deliveries[1::2]

    def settle(index: int) -> None:
        rig.bus.ack(done[index::4])
        for delivery in failed[index::4]:
            rig.bus.nack(delivery, rig.now, "boom")

    race(4, settle)
    rig.pass_time(0 if rig.real else 600)
    again: list[str] = []
    while len(again) < len(failed):
        again += bodies(rig.come())
    assert sorted(again, key=int) == sorted(bodies(failed), key=int)


def test_subscriptions_and_messages_outlive_the_process(connect_again: Callable[[], Bus]) -> None:
    connect_again().subscribe(SUB, TOPIC)
    connect_again().publish([Message(topic=TOPIC, data=b"a")], NOW)
    assert bodies(connect_again().pull([SUB], limit=9, now=NOW, lease_s=LEASE_S)) == ["a"]


def test_of_50000_waiting_messages_each_pull_brings_the_next_one_alone(rig: Rig) -> None:
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("two", "another-topic")
    rig.bus.publish([Message(topic=TOPIC, data=b"x" * 500)] * 50_000, rig.now)
    pulled = [rig.bus.pull([SUB, "two"], limit=1, now=rig.now, lease_s=LEASE_S) for _ in range(51)]
    assert len({delivery.id for deliveries in pulled for delivery in deliveries}) == 51


# --- the embedded bus: exact moments --------------------------------------------------------------------


def test_an_unknown_subscription_gives_nothing(bus: Bus) -> None:
    assert pull(bus) == []


def test_a_message_without_any_subscription_is_dropped(bus: Bus) -> None:
    publish(bus, "lost")
    bus.subscribe(SUB, TOPIC)
    assert pull(bus) == []


def test_a_publish_that_raises_has_published_nothing(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    good = Message(topic=TOPIC, data=b"good")
    impossible = Message(topic=TOPIC, data={"not": "bytes"})  # type: ignore[arg-type]  # what a bug would send
    with pytest.raises(Exception, match=r"."):
        bus.publish([good, impossible], NOW)
    assert pull(bus) == []


def test_attributes_may_hold_what_is_not_unicode(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.publish([Message(topic=TOPIC, data=b"", attributes={"odd": "\ud800"})], NOW)
    assert pull(bus)[0].attributes == {"odd": "\ud800"}


def test_the_backoff_doubles_with_each_failure(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    now, pauses = NOW, []
    for _ in range(ATTEMPTS_MAX - 1):
        (delivery,) = pull(bus, now=now)
        bus.nack(delivery, now, "the warehouse is away")
        due = bus.next_at()
        assert due is not None
        assert pull(bus, now=due - timedelta(microseconds=1)) == []
        pauses.append((due - now).total_seconds())
        now = due
    assert pauses == [1, 2, 4, 8]


def test_a_failed_message_is_not_there_at_once(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a", "b")
    bus.nack(pull(bus, limit=1)[0], NOW, "boom")
    assert len(pull(bus)) == 1
    assert pull(bus) == []


def test_a_lease_ends_to_the_second(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    pull(bus)
    assert pull(bus, now=NOW + timedelta(seconds=LEASE_S, microseconds=-1)) == []
    assert bodies(pull(bus, now=NOW + timedelta(seconds=LEASE_S))) == ["a"]


def test_a_dead_message_does_not_use_up_the_limit(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "mute")
    now = NOW
    for _ in range(ATTEMPTS_MAX):
        pull(bus, now=now)
        now += timedelta(seconds=LEASE_S)
    bus.publish([Message(topic=TOPIC, data=b"healthy")], now)
    assert bodies(pull(bus, now=now, limit=1)) == ["healthy"]


def test_who_fails_the_last_attempt_after_another_took_it_over_buries_nothing(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    now = NOW
    for _ in range(ATTEMPTS_MAX):
        (late,) = pull(bus, now=now)
        now += timedelta(seconds=LEASE_S)
    assert pull(bus, now=now) == []  # buried by this pull
    assert not bus.nack(late, now, "too late")
    assert len(bus.dead_letters(10)) == 1


def test_a_redriven_dead_letter_comes_at_once_and_to_its_own_subscription_alone(bus: Bus) -> None:
    for name in (SUB, "two"):
        bus.subscribe(name, TOPIC)
    publish(bus, "a")
    bus.ack(pull(bus, "two"))
    now = NOW
    for _ in range(ATTEMPTS_MAX):
        bus.nack(pull(bus, now=now)[0], now, "boom")
        now += timedelta(minutes=10)
    ((dead, _),) = bus.dead_letters(10)
    bus.redrive([dead.id], now)
    assert bus.next_at() == now
    assert pull(bus, "two", now=now) == []
    (again,) = pull(bus, now=now)
    assert (again.published_at, again.attempt) == (now, 1)


def test_next_at_is_none_where_nothing_waits(bus: Bus) -> None:
    assert bus.next_at() is None
    bus.subscribe(SUB, TOPIC)
    assert bus.next_at() is None
    publish(bus, "a")
    bus.ack(pull(bus))
    assert bus.next_at() is None
    publish(bus, "b")
    now = NOW
    for _ in range(ATTEMPTS_MAX):
        (delivery,) = pull(bus, now=now)
        bus.nack(delivery, now, "boom")
        now += timedelta(minutes=10)
    assert bus.next_at() is None


def test_next_at_is_the_publication_then_the_end_of_the_lease_or_of_the_backoff(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    assert bus.next_at() == NOW
    (delivery,) = pull(bus)
    assert bus.next_at() == NOW + timedelta(seconds=LEASE_S)
    bus.nack(delivery, NOW, "boom")
    due = bus.next_at()
    assert due is not None
    assert NOW < due < NOW + timedelta(seconds=LEASE_S)
    assert len(pull(bus, now=due)) == 1


def test_next_at_is_the_earliest_of_all_subscriptions(bus: Bus) -> None:
    bus.subscribe("one", TOPIC)
    bus.subscribe("two", "another-topic")
    bus.publish([Message(topic=TOPIC, data=b"a")], NOW + timedelta(seconds=5))
    bus.publish([Message(topic="another-topic", data=b"b")], NOW)
    assert bus.next_at() == NOW


def test_next_at_is_now_while_50000_wait(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.publish([Message(topic=TOPIC, data=b"x" * 500)] * 50_000, NOW)
    pull(bus, limit=51)
    assert bus.next_at() == NOW


# --- Pub/Sub: its subscriptions, its limits, its errors -------------------------------------------------


@dataclass(frozen=True)
class Project:
    """One of the emulator's projects, as the adapter sees it and as its own client does."""

    host: str
    name: str
    bus: PubSub

    def subscription(self, name: str) -> Subscription:
        with SubscriberClient(transport=SubscriberGrpcTransport(channel=connect(self.host))) as client:
            return client.get_subscription(subscription=f"projects/{self.name}/subscriptions/{name}")

    def delete(self, what: str, name: str) -> None:
        path = f"projects/{self.name}/{what}s/{name}"
        with (
            SubscriberClient(transport=SubscriberGrpcTransport(channel=connect(self.host))) as subscriber,
            PublisherClient(transport=PublisherGrpcTransport(channel=connect(self.host))) as publisher,
        ):
            if what == "subscription":
                subscriber.delete_subscription(subscription=path)
            else:
                publisher.delete_topic(topic=path)

    def end_leases(self, subscription: str) -> None:
        """Whatever is not acknowledged comes again at once."""
        path = f"projects/{self.name}/subscriptions/{subscription}"
        with SubscriberClient(transport=SubscriberGrpcTransport(channel=connect(self.host))) as client:
            client.seek(request={"subscription": path, "time": datetime.now(timezone.utc) - timedelta(hours=1)})

    def topics(self) -> set[str]:
        with PublisherClient(transport=PublisherGrpcTransport(channel=connect(self.host))) as client:
            return {topic.name.rpartition("/")[2] for topic in client.list_topics(project=f"projects/{self.name}")}


@pytest.fixture
def project(pubsub_emulator: str) -> Iterator[Project]:
    name = f"project-{uuid4().hex[:12]}"
    bus = pubsub(pubsub_emulator, name)
    yield Project(host=pubsub_emulator, name=name, bus=bus)
    bus.close()


ENDPOINT = "http://127.0.0.1:9/projects/p/topics/t"  # the discard port: nothing listens
ACCOUNT = "pusher@p.iam.gserviceaccount.com"


def test_a_subscription_never_expires_and_its_dead_letters_are_kept(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    made = project.subscription(SUB)
    assert made.topic.endswith(f"/topics/{TOPIC}")
    assert not made.push_config.push_endpoint
    assert made.ack_deadline_seconds == 60
    assert "expiration_policy" in made
    assert not made.expiration_policy.ttl
    assert made.retry_policy.minimum_backoff.total_seconds() == 1
    assert made.retry_policy.maximum_backoff.total_seconds() == BACKOFF_MAX_S
    assert made.dead_letter_policy.dead_letter_topic.endswith(f"/topics/{SUB}-dead")
    assert made.dead_letter_policy.max_delivery_attempts == ATTEMPTS_MAX
    kept = project.subscription(f"{SUB}-dead")
    assert kept.topic == made.dead_letter_policy.dead_letter_topic
    assert not kept.expiration_policy.ttl
    assert "expiration_policy" in kept
    assert not kept.dead_letter_policy.dead_letter_topic
    assert project.topics() == {TOPIC, f"{SUB}-dead"}


def test_by_default_there_are_ten_attempts_and_a_backoff_of_1_to_60_seconds(project: Project) -> None:
    bus = PubSub(project.name, emulator=project.host)
    bus.subscribe(SUB, TOPIC)
    bus.close()
    made = project.subscription(SUB)
    assert made.dead_letter_policy.max_delivery_attempts == 10
    assert made.retry_policy.minimum_backoff.total_seconds() == 1
    assert made.retry_policy.maximum_backoff.total_seconds() == 60


def test_a_served_subscription_pushes_to_its_endpoint_with_a_token_for_it(project: Project) -> None:
    for _ in range(2):
        project.bus.serve(SUB, TOPIC, endpoint=ENDPOINT, service_account=ACCOUNT)
    made = project.subscription(SUB)
    assert made.push_config.push_endpoint == ENDPOINT
    assert made.push_config.oidc_token.service_account_email == ACCOUNT
    assert made.push_config.oidc_token.audience == ENDPOINT
    assert made.ack_deadline_seconds == LEASE_S_MAX
    assert not made.expiration_policy.ttl
    assert made.dead_letter_policy.dead_letter_topic.endswith(f"/topics/{SUB}-dead")
    assert project.subscription(f"{SUB}-dead").topic == made.dead_letter_policy.dead_letter_topic


def test_serving_again_elsewhere_moves_the_pushes_there_and_loses_nothing(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    project.bus.publish([Message(topic=TOPIC, data=b"waits")], NOW)
    project.bus.serve(SUB, TOPIC, endpoint=ENDPOINT, service_account=ACCOUNT)
    project.bus.serve(SUB, TOPIC, endpoint=f"{ENDPOINT}2", service_account=ACCOUNT)
    assert project.subscription(SUB).push_config.push_endpoint == f"{ENDPOINT}2"
    assert project.subscription(SUB).push_config.oidc_token.audience == f"{ENDPOINT}2"


def test_a_subscription_that_hears_another_topic_is_refused(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    with pytest.raises(PubSubError, match=r"hears topic 'nba-phase3.*not 'another-topic'.*delete it"):
        project.bus.subscribe(SUB, "another-topic")


def test_a_topic_that_nobody_subscribed_to_is_refused_by_name(project: Project) -> None:
    with pytest.raises(PubSubError, match=rf"publish to .*{TOPIC}.*subscribe or deploy first"):
        project.bus.publish([Message(topic=TOPIC, data=b"a")], NOW)


def test_an_unknown_subscription_is_refused_by_name(project: Project) -> None:
    with pytest.raises(PubSubError, match=rf"pull from {SUB}.*subscribe or deploy first"):
        project.bus.pull([SUB], limit=1, now=NOW, lease_s=LEASE_S)


@pytest.mark.parametrize("lease_s", [0, LEASE_S_MAX + 1])
def test_a_lease_that_pubsub_cannot_hold_is_refused_and_nothing_is_pulled(project: Project, lease_s: int) -> None:
    project.bus.subscribe(SUB, TOPIC)
    project.bus.publish([Message(topic=TOPIC, data=b"a")], NOW)
    with pytest.raises(ValueError, match=rf"lease_s={lease_s}.*1 to 600"):
        project.bus.pull([SUB], limit=1, now=NOW, lease_s=lease_s)
    assert project.bus.pull([SUB], limit=1, now=NOW, lease_s=LEASE_S_MAX)[0].attempt == 1


@pytest.mark.parametrize(("name", "value"), [("attempts_max", 4), ("attempts_max", 101), ("ack_deadline_s", 9)])
def test_settings_that_pubsub_does_not_take_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        PubSub("project", emulator="127.0.0.1:9", **{name: value})  # type: ignore[arg-type]  # one of two ints


def test_a_message_that_pubsub_never_takes_is_refused_with_its_size(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    small, large = Message(topic=TOPIC, data=b"a"), Message(topic=TOPIC, data=b"x" * (REQUEST_BYTES_MAX + 1))
    with pytest.raises(PubSubError, match=r"publish to .* bytes, at most"):
        project.bus.publish([small, large], NOW)
    assert project.bus.pull([SUB], limit=9, now=NOW, lease_s=LEASE_S) == []


def test_messages_that_fill_several_requests_all_arrive(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    sent = [bytes([number]) * 3_000_000 for number in range(7)]
    project.bus.publish([Message(topic=TOPIC, data=data) for data in sent], NOW)
    got: list[bytes] = []
    while deliveries := project.bus.pull([SUB], limit=9, now=NOW, lease_s=LEASE_S):
        got += [delivery.data for delivery in deliveries]
    assert sorted(got) == sent


def test_a_pushed_delivery_is_handed_back_by_the_answer_and_buried_here_at_its_last_attempt(project: Project) -> None:
    project.bus.subscribe(SUB, TOPIC)
    project.bus.publish([Message(topic=TOPIC, data=b"a", attributes={"run": "nba.x"})], NOW)
    (pulled,) = project.bus.pull([SUB], limit=1, now=NOW, lease_s=LEASE_S)
    pushed = replace(pulled, receipt="")
    for attempt in range(1, ATTEMPTS_MAX):
        assert not project.bus.nack(replace(pushed, attempt=attempt), NOW, "boom")
    assert project.bus.dead_letters(10) == []
    assert project.bus.pull([SUB], limit=1, now=NOW, lease_s=LEASE_S) == []  # held as before
    assert project.bus.nack(replace(pushed, attempt=ATTEMPTS_MAX), NOW, "the warehouse is away")
    ((dead, error),) = project.bus.dead_letters(10)
    assert (dead.data, dict(dead.attributes), dead.attempt) == (b"a", {"run": "nba.x"}, ATTEMPTS_MAX)
    assert (dead.subscription, error) == (SUB, "the warehouse is away")


def test_a_redriven_dead_letter_comes_to_every_subscription_of_its_topic(project: Project) -> None:
    rig = Rig(bus=project.bus, real=True, now=datetime.now(timezone.utc))
    for name in (SUB, "two"):
        rig.bus.subscribe(name, TOPIC)
    (dead,) = rig.die("a")
    rig.bus.ack(rig.come("two"))
    rig.bus.redrive([dead.id], rig.now)
    assert bodies(rig.come("two")) == bodies(rig.come()) == ["a"]


@pytest.mark.parametrize("what", ["subscription", "topic"])
def test_a_dead_letter_that_nobody_would_hear_any_more_stays_until_it_is_purged(project: Project, what: str) -> None:
    rig = Rig(bus=project.bus, real=True, now=datetime.now(timezone.utc))
    rig.bus.subscribe(SUB, TOPIC)
    (dead,) = rig.die("a")
    assert dead.topic == TOPIC
    project.delete(what, {"subscription": SUB, "topic": TOPIC}[what])
    assert rig.bus.redrive([dead.id], rig.now) == ()
    ((stays, _),) = rig.dead_letters()
    assert (stays.id, stays.topic, stays.subscription) == (dead.id, "", SUB)
    assert rig.bus.purge([dead.id]) == (dead.id,)


def test_a_dead_letter_is_where_it_lies_whatever_it_says_of_itself(project: Project) -> None:
    rig = Rig(bus=project.bus, real=True, now=datetime.now(timezone.utc))
    rig.bus.subscribe(SUB, TOPIC)
    rig.bus.subscribe("elsewhere", "another-topic")
    forged = {"CloudPubSubDeadLetterSourceSubscription": "elsewhere"}
    rig.bus.publish([Message(topic=f"{SUB}-dead", data=b"a", attributes=forged)], rig.now)
    ((dead, _),) = rig.dead_letters()
    assert (dead.topic, dead.subscription) == (TOPIC, SUB)
    assert rig.bus.redrive([dead.id], rig.now) == (dead.id,)
    assert bodies(rig.come()) == ["a"]


@pytest.mark.parametrize("verb", ["redrive", "purge"])
def test_a_dead_letter_that_was_dealt_with_is_not_only_held(project: Project, verb: str) -> None:
    rig = Rig(bus=project.bus, real=True, now=datetime.now(timezone.utc))
    rig.bus.subscribe(SUB, TOPIC)
    stays, done = (dead.id for dead in rig.die("stays", "done"))
    assert (rig.bus.redrive([done], rig.now) if verb == "redrive" else rig.bus.purge([done])) == (done,)
    project.end_leases(f"{SUB}-dead")
    assert [dead.id for dead, _ in rig.dead_letters()] == [stays]


def test_dead_letters_that_are_not_redriven_are_there_for_others_at_once(project: Project) -> None:
    rig = Rig(bus=project.bus, real=True, now=datetime.now(timezone.utc))
    rig.bus.subscribe(SUB, TOPIC)
    stays, again = (dead.id for dead in rig.die("stays", "again"))
    rig.bus.redrive([again], rig.now)
    with closing(pubsub(project.host, project.name)) as another:
        assert another.purge([stays]) == (stays,)


@pytest.mark.parametrize("verb", ["publish", "pull", "subscribe", "redrive"])
def test_an_unreachable_pubsub_is_said_with_the_remedy(verb: str) -> None:
    with closing(PubSub("project", emulator="127.0.0.1:9", call_s=0.3)) as bus:
        acts: dict[str, Callable[[], object]] = {
            "publish": lambda: bus.publish([Message(topic=TOPIC, data=b"secret")], NOW),
            "pull": lambda: bus.pull([SUB], limit=1, now=NOW, lease_s=LEASE_S),
            "subscribe": lambda: bus.subscribe(SUB, TOPIC),
            "redrive": lambda: bus.redrive([f"{SUB}-dead:1"], NOW),
        }
        with pytest.raises(PubSubError, match=r"in project project: .*look whether Pub/Sub .* is reachable") as caught:
            acts[verb]()
    assert "secret" not in str(caught.value)


def test_the_same_message_has_another_id_in_each_subscription(project: Project) -> None:
    project.bus.subscribe("one", TOPIC)
    project.bus.subscribe("two", TOPIC)
    project.bus.publish([Message(topic=TOPIC, data=b"a")], NOW)
    one, two = project.bus.pull(["one", "two"], limit=9, now=NOW, lease_s=LEASE_S)
    assert one.id != two.id


# --- the calls of these tests ---------------------------------------------------------------------------


def publish(bus: Bus, *names: str) -> None:
    bus.publish([Message(topic=TOPIC, data=name.encode()) for name in names], NOW)


def pull(bus: Bus, subscription: str = SUB, *, now: datetime = NOW, limit: int = 100) -> list[Delivery]:
    return bus.pull([subscription], limit=limit, now=now, lease_s=LEASE_S)


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.data.decode() for delivery in deliveries]


def race(racers: int, act: Callable[[int], T]) -> list[T]:
    """All at the same moment, each in its own thread; their results in the order of their numbers."""
    barrier = threading.Barrier(racers)

    def run(index: int) -> T:
        barrier.wait(10)
        return act(index)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


ODD = [
    pytest.param({"DeliveryCount": "x"}, id="a count that is no number"),
    pytest.param({"DeliveryCount": "-3"}, id="a count below nothing"),
    pytest.param({"DeliveryCount": "9" * 5_000}, id="a count that no number holds"),
    pytest.param({"TopicPublishTime": "yesterday"}, id="a time that is none"),
    pytest.param({"TopicPublishTime": "2024-01-16T06:00:00"}, id="a time without its zone"),
    pytest.param({"TopicPublishTime": "0001-01-01T00:00:00+23:00"}, id="a time before all times"),
]


@pytest.mark.parametrize("said", ODD)
def test_a_dead_letter_that_somebody_made_up_is_read_like_any_other(said: dict[str, str]) -> None:
    """Whoever may publish to a topic of dead letters must not blind those who read them."""
    message = PubsubMessage(data=b"{}", attributes={f"{SOURCE}{name}": value for name, value in said.items()})
    message.publish_time = NOW
    received = ReceivedMessage(ack_id="1", message=message)
    letter, _ = read_dead_letter(received, subscription="a-dead", topic="t")
    assert (letter.attempt, letter.published_at) == (1, NOW)
