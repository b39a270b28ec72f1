"""Every promise of the port Bus, over each adapter that keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

import pytest

from shared.adapters.sqlite import Sqlite
from shared.core.messages import TEXT_MAX, Message
from shared.ports import Bus, Delivery

T = TypeVar("T")
NOW = datetime(2024, 1, 16, 6, 0, 0, 123456, tzinfo=timezone.utc)
LEASE_S = 60
ATTEMPTS_MAX = 5  # the fewest that Pub/Sub allows
TOPIC = "nba-phase3-analytics-complete"
SUB = "phase3-to-phase4"


@pytest.fixture(params=["sqlite-file", "sqlite-memory"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    path = tmp_path / "state.sqlite" if request.param == "sqlite-file" else ":memory:"
    store = Sqlite(path, attempts_max=ATTEMPTS_MAX)
    yield store.bus
    store.close()


@pytest.fixture(params=["sqlite-file"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Bus]]:
    """Opens the same bus once more, as another process would. In memory there is no other process."""
    with ExitStack() as opened:

        def open_again() -> Bus:
            store = Sqlite(tmp_path / "state.sqlite", attempts_max=ATTEMPTS_MAX)
            opened.callback(store.close)
            return store.bus

        yield open_again


def test_a_message_comes_as_it_was_published(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    message = Message(topic=TOPIC, data=b'{"a":"\xc3\xa9"}\x00\xff', attributes={"run": "nba.x", "odd": "é\n\ud800"})
    bus.publish([message], NOW)
    (delivery,) = pull(bus)
    assert (delivery.topic, delivery.subscription) == (TOPIC, SUB)
    assert (delivery.data, dict(delivery.attributes)) == (message.data, message.attributes)
    assert (delivery.attempt, delivery.published_at) == (1, NOW)


def test_a_message_without_subscription_is_dropped(bus: Bus) -> None:
    publish(bus, "lost")
    bus.subscribe(SUB, TOPIC)
    publish(bus, "kept")
    assert bodies(pull(bus)) == ["kept"]


def test_each_subscription_of_a_topic_gets_every_message(bus: Bus) -> None:
    bus.subscribe("one", TOPIC)
    bus.subscribe("two", TOPIC)
    publish(bus, "a", "b")
    bus.ack(pull(bus, "one"))
    assert sorted(bodies(pull(bus, "two"))) == ["a", "b"]
    assert pull(bus, "one", now=NOW + timedelta(days=1)) == []


def test_a_subscription_gets_only_its_topic(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.subscribe("elsewhere", "another-topic")
    publish(bus, "a")
    assert pull(bus, "elsewhere") == []
    assert pull(bus, "unknown") == []
    assert bodies(pull(bus)) == ["a"]


def test_subscribing_twice_delivers_once(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    assert bodies(pull(bus)) == ["a"]


def test_one_pull_serves_many_subscriptions_within_its_limit(bus: Bus) -> None:
    for name in ("one", "two", "three"):
        bus.subscribe(name, TOPIC)
    publish(bus, "a", "b")
    first = bus.pull(["one", "two", "one"], limit=3, now=NOW, lease_s=LEASE_S)
    second = bus.pull(["one", "two"], limit=3, now=NOW, lease_s=LEASE_S)
    assert (len(first), len(second)) == (3, 1)
    assert len({(each.subscription, each.data) for each in first + second}) == 4
    assert len(pull(bus, "three")) == 2


@pytest.mark.parametrize(("names", "limit"), [([], 5), ([SUB], 0)], ids=["of no subscription", "of none at most"])
def test_a_pull_gives_nothing(bus: Bus, names: list[str], limit: int) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    assert bus.pull(names, limit=limit, now=NOW, lease_s=LEASE_S) == []
    assert pull(bus)[0].attempt == 1


def test_publishing_nothing_is_nothing(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.publish([], NOW)
    assert pull(bus) == []


def test_a_publish_that_raises_has_published_nothing_and_may_be_repeated(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    good = Message(topic=TOPIC, data=b"good")
    impossible = Message(topic=TOPIC, data={"not": "bytes"})  # type: ignore[arg-type]  # what a bug would send
    with pytest.raises(Exception, match=r"."):
        bus.publish([good, impossible], NOW)
    assert pull(bus) == []
    bus.publish([good], NOW)
    assert bodies(pull(bus)) == ["good"]


def test_a_held_message_is_not_given_to_another(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    pull(bus)
    assert pull(bus, now=NOW + timedelta(seconds=LEASE_S - 1)) == []


def test_an_unacknowledged_message_comes_again_after_its_lease_as_another_attempt(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    (first,) = pull(bus)
    (second,) = pull(bus, now=NOW + timedelta(seconds=LEASE_S))
    assert (second.id, second.data, second.attempt) == (first.id, first.data, 2)


def test_an_acknowledged_message_does_not_come_again(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a", "b")
    deliveries = pull(bus)
    bus.ack(deliveries[:1])
    bus.ack(deliveries[:1])
    assert bodies(pull(bus, now=NOW + timedelta(days=1))) == bodies(deliveries[1:])


def test_a_late_acknowledgement_counts_and_takes_no_other_message_with_it(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    (late,) = pull(bus)
    (again,) = pull(bus, now=NOW + timedelta(seconds=LEASE_S))
    bus.ack([late])
    publish(bus, "b")
    bus.ack([late, again])
    assert bodies(pull(bus, now=NOW + timedelta(days=1))) == ["b"]


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


def test_a_failed_message_waits_and_then_comes_with_the_next_attempt(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    (delivery,) = pull(bus)
    bus.nack(delivery, NOW, "boom")
    assert pull(bus) == []
    (again,) = pull(bus, now=NOW + timedelta(minutes=10))
    assert (again.id, again.attempt) == (delivery.id, 2)


def test_one_failing_message_does_not_hold_up_the_others(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a", "b")
    bus.nack(pull(bus, limit=1)[0], NOW, "boom")
    assert len(pull(bus)) == 1


def test_a_message_that_fails_on_its_last_attempt_goes_to_the_dead_letters(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    fail(bus, NOW, attempts=ATTEMPTS_MAX)
    ((dead, error),) = bus.dead_letters(10)
    assert (dead.data, dead.attempt, dead.subscription, dead.published_at) == (b"a", ATTEMPTS_MAX, SUB, NOW)
    assert error == f"boom {ATTEMPTS_MAX}"
    assert pull(bus, now=NOW + timedelta(days=9)) == []
    assert bus.next_at() is None


def test_a_message_is_no_dead_letter_before_its_last_attempt(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    later = fail(bus, NOW, attempts=ATTEMPTS_MAX - 1)
    assert bus.dead_letters(10) == []
    (last,) = pull(bus, now=later)
    assert last.attempt == ATTEMPTS_MAX
    bus.ack([last])
    assert pull(bus, now=later + timedelta(days=1)) == []
    assert bus.dead_letters(10) == []


def test_a_message_nobody_ever_acknowledges_goes_to_the_dead_letters_too(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "mute")
    now = NOW
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert [each.attempt for each in pull(bus, now=now)] == [attempt]
        now += timedelta(seconds=LEASE_S)
    bus.publish([Message(topic=TOPIC, data=b"healthy")], now)
    assert bodies(pull(bus, now=now, limit=1)) == ["healthy"]  # the dead one does not use up the limit
    ((dead, error),) = bus.dead_letters(10)
    assert (dead.data, dead.attempt) == (b"mute", ATTEMPTS_MAX)
    assert "lease" in error


def test_dead_letters_come_newest_first_within_the_limit(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    now = NOW
    for name in ("a", "b", "c"):
        publish(bus, name)
        now = fail(bus, now, attempts=ATTEMPTS_MAX)
    assert [dead.data for dead, _ in bus.dead_letters(2)] == [b"c", b"b"]


def test_a_dead_letter_is_one_subscriptions_matter(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.subscribe("two", TOPIC)
    publish(bus, "a")
    later = fail(bus, NOW, attempts=ATTEMPTS_MAX)
    assert bodies(pull(bus, "two", now=later)) == ["a"]


def test_whoever_fails_after_his_lease_lapsed_does_not_disturb_the_next_holder(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    (late,) = pull(bus)
    now = NOW + timedelta(seconds=LEASE_S)
    pull(bus, now=now)
    bus.nack(late, now, "too late")
    assert pull(bus, now=now + timedelta(seconds=LEASE_S - 1)) == []


def test_failing_an_acknowledged_message_does_nothing(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    (delivery,) = pull(bus)
    bus.ack([delivery])
    bus.nack(delivery, NOW, "boom")
    assert pull(bus, now=NOW + timedelta(days=1)) == []


def test_any_error_text_is_kept_cut(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, "a")
    now = fail(bus, NOW, attempts=ATTEMPTS_MAX - 1)
    bus.nack(pull(bus, now=now)[0], now, "\x00\udcff" + "x" * 100_000)
    ((_, error),) = bus.dead_letters(1)
    assert "xxx" in error
    assert len(error) < TEXT_MAX + 10


def test_next_at_is_none_where_nothing_waits(bus: Bus) -> None:
    assert bus.next_at() is None
    bus.subscribe(SUB, TOPIC)
    assert bus.next_at() is None
    publish(bus, "a")
    bus.ack(pull(bus))
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


def test_threads_that_pull_never_get_the_same_message_within_its_lease(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    publish(bus, *map(str, range(200)))

    def pull_all(_: int) -> list[str]:
        got: list[str] = []
        while deliveries := pull(bus, limit=3):
            got += bodies(deliveries)
        return got

    got = [body for bodies_of_one in race(4, pull_all) for body in bodies_of_one]
    assert sorted(got, key=int) == list(map(str, range(200)))


def test_connections_that_pull_never_get_the_same_message_within_its_lease(connect: Callable[[], Bus]) -> None:
    opened = [connect() for _ in range(4)]
    opened[0].subscribe(SUB, TOPIC)
    publish(opened[1], *map(str, range(200)))

    def pull_all(index: int) -> list[str]:
        got: list[str] = []
        while deliveries := pull(opened[index], limit=3):
            got += bodies(deliveries)
        return got

    got = [body for bodies_of_one in race(4, pull_all) for body in bodies_of_one]
    assert sorted(got, key=int) == list(map(str, range(200)))


def test_of_21_publishers_no_message_is_lost(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    race(21, lambda index: publish(bus, f"{index}a", f"{index}b"))
    assert len(set(bodies(pull(bus)))) == 42


def test_subscriptions_and_messages_outlive_the_process(connect: Callable[[], Bus]) -> None:
    connect().subscribe(SUB, TOPIC)
    publish(connect(), "a")
    assert bodies(pull(connect())) == ["a"]


def test_of_50000_waiting_messages_each_pull_brings_the_next_one_alone(bus: Bus) -> None:
    bus.subscribe(SUB, TOPIC)
    bus.subscribe("two", "another-topic")
    bus.publish([Message(topic=TOPIC, data=b"x" * 500)] * 50_000, NOW)
    pulled = [bus.pull([SUB, "two"], limit=1, now=NOW, lease_s=LEASE_S) for _ in range(51)]
    assert len({delivery.id for deliveries in pulled for delivery in deliveries}) == 51
    assert bus.next_at() == NOW


# --- the calls of these tests ---------------------------------------------------------------------------


def publish(bus: Bus, *names: str) -> None:
    bus.publish([Message(topic=TOPIC, data=name.encode()) for name in names], NOW)


def pull(bus: Bus, subscription: str = SUB, *, now: datetime = NOW, limit: int = 100) -> list[Delivery]:
    return bus.pull([subscription], limit=limit, now=now, lease_s=LEASE_S)


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.data.decode() for delivery in deliveries]


def fail(bus: Bus, now: datetime, *, attempts: int) -> datetime:
    """Fail the only message that often; when it would come again."""
    for attempt in range(1, attempts + 1):
        (delivery,) = pull(bus, now=now)
        bus.nack(delivery, now, f"boom {attempt}")
        now += timedelta(minutes=10)
    return now


def race(racers: int, act: Callable[[int], T]) -> list[T]:
    """All at the same moment, each in its own thread; their results in the order of their numbers."""
    barrier = threading.Barrier(racers)

    def run(index: int) -> T:
        barrier.wait(10)
        return act(index)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))
