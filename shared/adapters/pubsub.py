"""The port Bus on Google's Pub/Sub, for wiring: the service itself, or its emulator on this machine.

Calls are unary, made and answered while the caller waits: a function's processor stands still once it has answered, so
nothing may be left to a thread in the background. What the service does by its own clock it does whatever `now` says.
Port, what deploy asks, and the forms of a message share the service's limits and names; hence the length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from itertools import count
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions, gapic_v1
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from shared.adapters.retry import FullJitter, is_one_of
from shared.core.letters import UNTOLD
from shared.core.messages import Message
from shared.core.subscriptions import DEAD, DEAD_LABELS
from shared.ports import Delivery

T = TypeVar("T")

# Pub/Sub's own limits.
LEASE_S_MAX = 600
ACK_DEADLINE_S_MIN = 10
ATTEMPTS_MIN, ATTEMPTS_MAX = 5, 100
REQUEST_MESSAGES_MAX = 1_000
REQUEST_BYTES_MAX = 10_000_000 - 10_000  # room for the topic's name
ATTRIBUTE_BYTES_MAX = 1_024
RECEIPTS_MAX = 1_000  # in one request; each has some 200 bytes, a request half a million

TRY_S = 10.0  # one try of a call; they take milliseconds
CALL_S = 30.0  # all tries of a call: a function has 60 s for its message
PASSES = is_one_of(exceptions.InternalServerError, exceptions.TooManyRequests, exceptions.ServiceUnavailable)
CHANNEL = (
    ("grpc.max_receive_message_length", -1),  # a full pull is larger than gRPC's 4 MB
    ("grpc.keepalive_time_ms", 30_000),  # an idle instance's connection is cut without a word
)

EMPTY_S = 2.0  # for so long an empty answer about dead letters is not believed; the emulator's is
PEEKERS = 16  # subscriptions that are looked at beside each other
PEEK_MAX = 1_000  # dead letters of one subscription that are looked at
LOOKS_MAX = 20  # for one that must be there; each that brings nothing takes some milliseconds
TAKEN_S = 60  # dead letters that are being published again are held so long; their subscription's own 10 s are few
DELETED_TOPIC = "_deleted-topic_"  # what a subscription names whose topic is gone
SOURCE = "CloudPubSubDeadLetterSource"  # the service's attributes of what it buries; what we bury carries them too

UNKNOWN_NEXT = datetime.min.replace(tzinfo=timezone.utc)


class PubSubError(OSError):
    """Pub/Sub did not do it: names the verb, what it was about, and the remedy. The same call may be made again."""


class NothingCame(Exception):
    """A pull for dead letters was answered at once, and empty: the service may say so although some wait."""


class PubSub:
    """The port Bus, and `serve` for subscriptions that call a function. One for a process: it is one connection.

    `emulator` is its host:port; without it, the service, with the credentials of the environment.
    """

    def __init__(
        self,
        project: str,
        *,
        emulator: str | None = None,
        attempts_max: int = 10,
        ack_deadline_s: int = 60,
        backoff_s: int | None = 1,
        backoff_max_s: int = 60,
        call_s: float = CALL_S,
    ) -> None:
        _between("attempts_max", attempts_max, ATTEMPTS_MIN, ATTEMPTS_MAX)
        _between("ack_deadline_s", ack_deadline_s, ACK_DEADLINE_S_MIN, LEASE_S_MAX)
        self._project = project
        self._attempts_max = attempts_max
        self._ack_deadline_s = ack_deadline_s
        pauses = {"minimum_backoff": {"seconds": backoff_s}, "maximum_backoff": {"seconds": backoff_max_s}}
        self._again = {} if backoff_s is None else {"retry_policy": pauses}  # without one: at once
        self._retry = FullJitter(passes=PASSES, first_s=0.1, most_s=2.0, total_s=call_s)
        empty_s = EMPTY_S if emulator is None else 0.0
        self._believe = FullJitter(passes=is_one_of(NothingCame), first_s=0.2, most_s=0.5, total_s=empty_s)
        self._channel = connect(emulator)
        pulling = SubscriberGrpcTransport(channel=self._channel)
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(transport=pulling)
        self._pull_call = gapic_v1.method.wrap_method(pulling.pull)
        self._turns = count()
        self._topics: dict[str, str] = {}  # of the subscriptions that were pulled; a subscription's never changes

    def close(self) -> None:
        """Idempotent."""
        self._channel.close()

    # --- the port ---------------------------------------------------------------------------------------

    def subscribe(self, subscription: str, topic: str) -> None:
        self._ensure(subscription, topic, ack_deadline_s=self._ack_deadline_s, push={})

    def hears(self, subscription: str, topic: str) -> bool:
        try:
            return self._topic_of(subscription) == topic
        except PubSubError as error:
            if isinstance(error.__cause__, exceptions.NotFound):
                return False
            raise

    def publish(self, messages: Sequence[Message], now: datetime) -> None:  # noqa: ARG002 - the service has its own clock
        for request in list(publications(messages, self._topic)):  # all encoded before the first is sent
            self._call(f"publish to {request.topic}", self._publisher.publish, request)

    def pull(
        self,
        subscriptions: Sequence[str],
        *,
        limit: int,
        now: datetime,  # noqa: ARG002 - the service has its own clock
        lease_s: int,
    ) -> list[Delivery]:
        _between("lease_s", lease_s, 1, LEASE_S_MAX)
        names = list(dict.fromkeys(subscriptions))
        first = next(self._turns) % len(names) if names else 0  # else the limit would starve the last ones
        pulled: list[Delivery] = []
        for name in names[first:] + names[:first]:
            if len(pulled) >= limit:
                break
            received = self._receive(name, limit - len(pulled))
            self._hold(name, [each.ack_id for each in received], lease_s)
            if received and name not in self._topics:
                self._topics[name] = self._topic_of(name)
            pulled += [to_delivery(each, subscription=name, topic=self._topics[name]) for each in received]
        return pulled

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        for name in dict.fromkeys(each.subscription for each in deliveries):
            receipts = [each.receipt for each in deliveries if each.subscription == name and each.receipt]
            for some in portions(receipts, RECEIPTS_MAX):
                request = {"subscription": self._subscription(name), "ack_ids": some}
                self._call(f"acknowledge in {name}", self._subscriber.acknowledge, request)

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:  # noqa: ARG002 - the service has its own clock
        """The last attempt is buried here, because the service cannot keep the error; others wait for its backoff."""
        buried = delivery.attempt >= self._attempts_max
        if buried:
            self._call(
                f"publish to {delivery.subscription}{DEAD}",
                self._publisher.publish,
                {
                    "topic": self._topic(delivery.subscription + DEAD),
                    "messages": [dead_letter(delivery, error, self._project)],
                },
            )
            self.ack([delivery])
        elif delivery.receipt:
            self._hold(delivery.subscription, [delivery.receipt], 0)
        return buried

    def next_at(self) -> datetime | None:
        """Always the past: the service does not say what waits."""
        return UNKNOWN_NEXT

    def dead_letters(self, limit: int) -> list[tuple[Delivery, str]]:
        """Taken and handed back, up to PEEK_MAX of each subscription; who looks at the same time may see fewer."""
        topic_of = self._graves()
        with ThreadPoolExecutor(max_workers=PEEKERS) as pool:
            looked = zip(topic_of, pool.map(self._peek, topic_of), strict=True)
            found = [(letter, name) for name, dead in looked for letter in dead]
        found.sort(key=lambda letter: letter[0].message.publish_time, reverse=True)
        return [read_dead_letter(each, subscription=name, topic=topic_of[name]) for each, name in found[:limit]]

    def redrive(self, ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """One whose topic or subscription is gone stays."""
        return self._take_out(ids, lambda letters: self.publish(letters, now))

    def purge(self, ids: Sequence[str]) -> tuple[str, ...]:
        return self._take_out(ids, None)

    # --- what deploy asks -------------------------------------------------------------------------------

    def serve(
        self, subscription: str, topic: str, *, endpoint: str, service_account: str, ack_deadline_s: int = LEASE_S_MAX
    ) -> None:
        """As subscribe, but each message is pushed to the endpoint, with a token of the account for that endpoint.

        Idempotent; an existing subscription gets this endpoint and account. The deadline is what a push may take.
        """
        _between("ack_deadline_s", ack_deadline_s, ACK_DEADLINE_S_MIN, LEASE_S_MAX)
        token = {"service_account_email": service_account, "audience": endpoint}
        push = {"push_endpoint": endpoint, "oidc_token": token}
        self._ensure(subscription, topic, ack_deadline_s=ack_deadline_s, push=push)
        request = {"subscription": self._subscription(subscription), "push_config": push}
        self._call(f"push {subscription} to {endpoint}", self._subscriber.modify_push_config, request)

    # --- steps ------------------------------------------------------------------------------------------

    def _ensure(self, subscription: str, topic: str, *, ack_deadline_s: int, push: Mapping[str, object]) -> None:
        """The topic, where its dead letters go, who keeps those, and the subscription: in this order none is lost."""
        dead = subscription + DEAD
        for name in (topic, dead):
            self._create(f"create topic {name}", self._publisher.create_topic, {"name": self._topic(name)})
        kept = {"name": self._subscription(dead), "topic": self._topic(dead), "labels": DEAD_LABELS}
        self._create(
            f"create subscription {dead}", self._subscriber.create_subscription, {**kept, "expiration_policy": {}}
        )
        wanted = {
            "name": self._subscription(subscription),
            "topic": self._topic(topic),
            "push_config": push,
            "ack_deadline_seconds": ack_deadline_s,
            "expiration_policy": {},  # empty: never; without it, a quiet summer deletes the subscription
            **self._again,
            "dead_letter_policy": {
                "dead_letter_topic": self._topic(dead),
                "max_delivery_attempts": self._attempts_max,
            },
        }
        self._create(f"create subscription {subscription}", self._subscriber.create_subscription, wanted)
        stands = self._topic_of(subscription)
        if stands != topic:
            raise PubSubError(
                f"subscription {subscription} hears topic {stands!r}, not {topic!r}, and that cannot be changed;"
                " delete it once it is empty, or name another"
            )

    def _receive(self, subscription: str, limit: int) -> list[types.ReceivedMessage]:
        """What is there now. A long poll that its client gives up may leave messages held by nobody: each a lost
        attempt. So the service is asked not to wait, past the client, whose only objection is a warning."""
        path = self._subscription(subscription)
        request = types.PullRequest(
            subscription=path, max_messages=min(limit, REQUEST_MESSAGES_MAX), return_immediately=True
        )
        route = gapic_v1.routing_header.to_grpc_metadata((("subscription", path),))
        pull = partial(self._pull_call, metadata=(route,))
        response = self._call(f"pull from {subscription}", lambda request, **call: pull(request, **call), request)
        return list(response.received_messages)

    def _receive_dead(self, subscription: str, limit: int) -> list[types.ReceivedMessage]:
        """As _receive, for those that nobody else may be asked for: an empty answer is asked again for a while."""

        def look() -> list[types.ReceivedMessage]:
            received = self._receive(subscription, limit)
            if not received:
                raise NothingCame
            return received

        try:
            return self._believe(look)()
        except NothingCame:
            return []

    def _hold(self, subscription: str, receipts: Sequence[str], lease_s: int) -> None:
        """From now on; 0 hands them back, to come again after the subscription's backoff."""
        for some in portions(receipts, RECEIPTS_MAX):
            request = {
                "subscription": self._subscription(subscription),
                "ack_ids": some,
                "ack_deadline_seconds": lease_s,
            }
            self._call(f"hold messages of {subscription}", self._subscriber.modify_ack_deadline, request)

    def _peek(self, subscription: str) -> list[types.ReceivedMessage]:
        seen: list[types.ReceivedMessage] = []
        try:
            while len(seen) < PEEK_MAX and (more := self._receive_dead(subscription, PEEK_MAX - len(seen))):
                seen += more
        finally:
            self._hold(subscription, [each.ack_id for each in seen], 0)
        return seen

    def _graves(self) -> dict[str, str]:
        """Every subscription that keeps dead letters, and the topic that these were on; "" where that is gone."""
        listed = self._call(
            f"list subscriptions of {self._project}",
            lambda **call: list(self._subscriber.list_subscriptions(**call)),
            {"project": f"projects/{self._project}"},
        )
        topics = {short(each.name): short(each.topic) for each in listed}
        dead = [short(each.name) for each in listed if DEAD_LABELS.items() <= dict(each.labels).items()]
        alive = {name: topics.get(name.removesuffix(DEAD), "") for name in dead}
        return {name: "" if topic == DELETED_TOPIC else topic for name, topic in alive.items()}

    def _take_out(self, ids: Sequence[str], publish: Callable[[Sequence[Message]], None] | None) -> tuple[str, ...]:
        """Each subscription by itself; what was taken and is not done is handed back, whatever happens."""
        done: set[str] = set()
        for name, topic in self._graves().items():
            wanted = {id for id in ids if id.rpartition(":")[0] == name}
            if not wanted or (publish and not topic):
                continue
            seen: list[types.ReceivedMessage] = []
            try:
                self._exhume(name, wanted, seen)
                letters = {each.ack_id: read_dead_letter(each, subscription=name, topic=topic)[0] for each in seen}
                chosen = {receipt: letter for receipt, letter in letters.items() if letter.id in wanted}
                if publish:
                    publish([Message(topic=topic, data=e.data, attributes=e.attributes) for e in chosen.values()])
                self.ack([replace(each, subscription=name, receipt=receipt) for receipt, each in chosen.items()])
                seen = [each for each in seen if each.ack_id not in chosen]
            finally:
                self._hold(name, [each.ack_id for each in seen], 0)
            done |= {letter.id for letter in chosen.values()}
        return tuple(id for id in dict.fromkeys(ids) if id in done)

    def _exhume(self, name: str, wanted: Set[str], seen: list[types.ReceivedMessage]) -> None:
        """Take from a subscription of dead letters until all that are wanted are among them, and hold them.

        What somebody has just looked at comes back in the service's own time, so a look that brings nothing is not
        the last.
        """
        missing = set(wanted)
        for _ in range(LOOKS_MAX):
            while missing and (more := self._receive_dead(name, PEEK_MAX)):
                seen += more
                self._hold(name, [each.ack_id for each in more], TAKEN_S)
                missing -= {id_of(each, name) for each in more}
                if len(seen) >= PEEK_MAX + len(wanted):
                    return
            if not missing:
                return

    def _topic_of(self, subscription: str) -> str:
        request = {"subscription": self._subscription(subscription)}
        found = self._call(f"read subscription {subscription}", self._subscriber.get_subscription, request)
        return short(found.topic)

    def _create(self, what: str, method: Callable[..., object], request: Mapping[str, object]) -> None:
        """Idempotent."""
        try:
            self._call(what, method, request)
        except PubSubError as error:
            if not isinstance(error.__cause__, exceptions.AlreadyExists):
                raise

    def _call(self, what: str, method: Callable[..., T], request: object) -> T:
        try:
            return method(request=request, retry=self._retry, timeout=TRY_S)
        except exceptions.GoogleAPIError as error:
            raise PubSubError(f"{what} in project {self._project}: {error}; {remedy(error)}") from error

    def _topic(self, name: str) -> str:
        return f"projects/{self._project}/topics/{name}"

    def _subscription(self, name: str) -> str:
        return f"projects/{self._project}/subscriptions/{name}"


def connect(emulator: str | None) -> grpc.Channel:
    """Connects at the first call, not here."""
    channel: grpc.Channel
    if emulator is not None:
        channel = grpc.insecure_channel(emulator, options=CHANNEL)
    else:
        channel = PublisherGrpcTransport.create_channel(options=CHANNEL)
    return channel


# --- messages -------------------------------------------------------------------------------------------


def publications(messages: Sequence[Message], path_of: Callable[[str], str]) -> Iterator[types.PublishRequest]:
    """Each topic's messages, in requests that the service takes. Raises for a message that it never would."""
    for topic in dict.fromkeys(message.topic for message in messages):
        encoded = [
            types.PubsubMessage(data=message.data, attributes=dict(message.attributes))
            for message in messages
            if message.topic == topic
        ]
        some: list[types.PubsubMessage] = []
        room = REQUEST_BYTES_MAX
        for message in encoded:
            size = types.PubsubMessage.pb(message).ByteSize() + 10  # its place in the request
            if size > REQUEST_BYTES_MAX:
                raise PubSubError(f"publish to {topic}: a message of {size} bytes, at most {REQUEST_BYTES_MAX}; cut it")
            if size > room or len(some) == REQUEST_MESSAGES_MAX:
                yield types.PublishRequest(topic=path_of(topic), messages=some)
                some, room = [], REQUEST_BYTES_MAX
            some.append(message)
            room -= size
        yield types.PublishRequest(topic=path_of(topic), messages=some)


def to_delivery(received: types.ReceivedMessage, *, subscription: str, topic: str) -> Delivery:
    """Message ids are a topic's own, so the subscription stands before it."""
    message = received.message
    return Delivery(
        id=id_of(received, subscription),
        topic=topic,
        subscription=subscription,
        data=message.data,
        attributes=dict(message.attributes),
        attempt=received.delivery_attempt or 1,
        published_at=at(message.publish_time),
        receipt=received.ack_id,
    )


def id_of(received: types.ReceivedMessage, subscription: str) -> str:
    return f"{subscription}:{received.message.message_id}"


def dead_letter(delivery: Delivery, error: str, project: str) -> dict[str, object]:
    """As the service would bury it, and with the error."""
    source = {
        f"{SOURCE}Subscription": delivery.subscription,
        f"{SOURCE}SubscriptionProject": project,
        f"{SOURCE}DeliveryCount": str(delivery.attempt),
        f"{SOURCE}TopicPublishTime": delivery.published_at.isoformat(),
        f"{SOURCE}Error": attribute(error),
    }
    return {"data": delivery.data, "attributes": {**delivery.attributes, **source}}


def read_dead_letter(received: types.ReceivedMessage, *, subscription: str, topic: str) -> tuple[Delivery, str]:
    """The message as it was published, with the attempt and the error that it ended with.

    `subscription` is the one that keeps it: what the message itself says, whoever published it can have written.
    """
    message = received.message
    source = {key.removeprefix(SOURCE): value for key, value in message.attributes.items() if key.startswith(SOURCE)}
    tried = source.get("DeliveryCount", "")
    delivery = Delivery(
        id=id_of(received, subscription),
        topic=topic,
        subscription=subscription.removesuffix(DEAD),
        data=message.data,
        attributes={key: value for key, value in message.attributes.items() if not key.startswith(SOURCE)},
        attempt=int(tried) if tried.isascii() and tried.isdecimal() and len(tried) < 6 else 1,
        published_at=instant(source.get("TopicPublishTime", "")) or at(message.publish_time),
    )
    return delivery, source.get("Error", UNTOLD)


def attribute(text: str) -> str:
    """Cut to what an attribute holds; what is not Unicode in it (a file name, say) must not raise here."""
    return text.encode(errors="backslashreplace")[:ATTRIBUTE_BYTES_MAX].decode(errors="ignore")


def instant(text: str) -> datetime | None:
    """Aware UTC; None for what is no time, or has no zone."""
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(timezone.utc) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None


def at(moment: Any) -> datetime:
    """The client's own kind of datetime, as ours; aware UTC."""
    return datetime.fromtimestamp(moment.timestamp(), tz=timezone.utc)


def short(path: str) -> str:
    return path.rpartition("/")[2]


def portions(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def remedy(error: exceptions.GoogleAPIError) -> str:
    match error:
        case exceptions.NotFound():
            return "subscribe or deploy first, or name one that is there"
        case exceptions.PermissionDenied() | exceptions.Unauthenticated():
            return "grant this identity roles/pubsub.editor in the project, or use another"
        case exceptions.InvalidArgument():
            return "this can never work: correct the name or the value"
        case _:
            return "look whether Pub/Sub (or its emulator) is reachable, and do it again"


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: Pub/Sub allows {low} to {high}; choose a value in between")
