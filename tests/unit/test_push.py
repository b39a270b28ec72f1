"""An HTTP request to a delivery: every form that a Pub/Sub message is pushed in, and whatever else a port may hear."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.codec import Malformed
from shared.core.subscriptions import subscription_of
from shared.ports import Delivery
from shared.push import ATTEMPT_MAX, LONG_AGO, MESSAGE_TYPE, read_push

TOPIC = "nba-phase2-raw-complete"
SUBSCRIPTION = subscription_of("phase2_to_phase3", TOPIC)
PATH = f"projects/acme/subscriptions/{SUBSCRIPTION}"
SOURCE = f"//pubsub.googleapis.com/projects/acme/topics/{TOPIC}"
AT = datetime(2024, 1, 16, 6, 0, 0, 123456, tzinfo=timezone.utc)
BODY = b'{"processor":"schedule"}'
ATTRIBUTES = {"run": "nba.2024-01-15.overnight.1"}
JSON = {"Content-Type": "application/json"}
BINARY = {**JSON, "ce-specversion": "1.0", "ce-type": MESSAGE_TYPE, "ce-source": SOURCE, "ce-id": "7"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def message(**changed: object) -> dict[str, object]:
    """As the service sends it; None leaves a key out."""
    whole: dict[str, object] = {
        "data": base64.b64encode(BODY).decode(),
        "attributes": ATTRIBUTES,
        "messageId": "7",
        "message_id": "7",
        "publishTime": "2024-01-16T06:00:00.123456Z",
        "publish_time": "2024-01-16T06:00:00.123456Z",
        **changed,
    }
    return {key: value for key, value in whole.items() if value is not None}


def push(envelope: dict[str, object] | None = None, **changed: object) -> bytes:
    return json.dumps({"message": message(**changed), "subscription": PATH, **(envelope or {})}).encode()


def event(data: object, **changed: object) -> bytes:
    whole = {"specversion": "1.0", "type": MESSAGE_TYPE, "source": SOURCE, "id": "7", "data": data, **changed}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def delivery(**changed: object) -> Delivery:
    whole: dict[str, object] = {
        "id": f"{SUBSCRIPTION}:7",
        "topic": TOPIC,
        "subscription": SUBSCRIPTION,
        "data": BODY,
        "attributes": ATTRIBUTES,
        "attempt": 1,
        "published_at": AT,
        **changed,
    }
    return Delivery(**whole)  # type: ignore[arg-type]


EMULATED = (
    f'{{"subscription":"projects\\/acme\\/subscriptions\\/{SUBSCRIPTION}","message":{{"data":"aGk\\u003d",'
    '"messageId":"7","message_id":"7","publishTime":"2024-01-16T06:00:00.123456Z",'
    '"publish_time":"2024-01-16T06:00:00.123456Z","attributes":{"run":"nba.2024-01-15.overnight.1"}}}'
).encode()

READ = {
    "as the service pushes it, with its attempt": (JSON, push({"deliveryAttempt": 5}), delivery(attempt=5)),
    "as the service pushes it where no attempts are counted": (JSON, push(), delivery()),
    "as the emulator pushes it, slashes and padding escaped": (JSON, EMULATED, delivery(data=b"hi")),
    "only the old spelling of id and time": (JSON, push(messageId=None, publishTime=None), delivery()),
    "only the new spelling of id and time": (JSON, push(message_id=None, publish_time=None), delivery()),
    "attributes alone, without data": (JSON, push(data=None), delivery(data=b"")),
    "empty data": (JSON, push(data=""), delivery(data=b"")),
    "no attributes": (JSON, push(attributes=None), delivery(attributes={})),
    "a subscription that names no topic": (
        JSON,
        push({"subscription": "projects/acme/subscriptions/mine"}),
        delivery(id="mine:7", topic="", subscription="mine"),
    ),
    "no subscription": (JSON, push({"subscription": ""}), delivery(id=":7", topic="", subscription="")),
    "no headers at all": ({}, push(), delivery()),
    "a binary event, its topic in the source": (
        BINARY,
        push({"subscription": ""}),
        delivery(id=f"{TOPIC}:7", subscription=""),
    ),
    "a binary event, its headers in capitals": (
        {name.upper(): value for name, value in BINARY.items()},
        push({"subscription": ""}),
        delivery(id=f"{TOPIC}:7", subscription=""),
    ),
    "a binary event that names its subscription": (BINARY, push({"deliveryAttempt": 3}), delivery(attempt=3)),
    "a source that is no topic": (
        {**BINARY, "ce-source": "//storage.googleapis.com/buckets/b"},
        push({"subscription": ""}),
        delivery(id=":7", topic="", subscription=""),
    ),
    "a structured event": (STRUCTURED, event({"message": message(), "subscription": PATH}), delivery()),
    "a structured event without subscription": (
        {"CONTENT-TYPE": STRUCTURED["Content-Type"]},
        event({"message": message()}),
        delivery(id=f"{TOPIC}:7", subscription=""),
    ),
    "an attempt of zero is the first": (JSON, push({"deliveryAttempt": 0}), delivery()),
    "a negative attempt is the first": (JSON, push({"deliveryAttempt": -3}), delivery()),
    "a boolean is no attempt": (JSON, push({"deliveryAttempt": True}), delivery()),
    "a text is no attempt": (JSON, push({"deliveryAttempt": "9"}), delivery()),
    "an attempt beyond all bounds is cut": (JSON, push({"deliveryAttempt": 10**40}), delivery(attempt=ATTEMPT_MAX)),
    "a time that is not a number": (JSON, push(publishTime=float("nan")), delivery(published_at=LONG_AGO)),
    "a time that is no time": (JSON, push(publishTime="NaN"), delivery(published_at=LONG_AGO)),
    "a time before all times": (
        JSON,
        push(publishTime="0001-01-01T00:00:00+23:00"),
        delivery(published_at=LONG_AGO),
    ),
    "a time with nanoseconds": (JSON, push(publishTime="2024-01-16T06:00:00.123456789Z"), delivery()),
    "a time with an offset": (JSON, push(publishTime="2024-01-16T07:00:00.123456+01:00"), delivery()),
    "a time without offset is UTC": (JSON, push(publishTime="2024-01-16T06:00:00.123456"), delivery()),
    "no time": (JSON, push(publishTime=None, publish_time=None), delivery(published_at=LONG_AGO)),
    "unknown keys beside the known": (JSON, push({"new": [1]}, orderingKey="k"), delivery()),
}

REFUSED = {
    "nothing": (JSON, b"", "body: expected a Pub/Sub message in JSON"),
    "not JSON": (JSON, b"hello", "body: expected a Pub/Sub message in JSON"),
    "not UTF-8": (JSON, b'{"message":"\xff"}', "body: expected a Pub/Sub message in JSON: UnicodeDecodeError"),
    "nested deeper than can be read": (JSON, b"[" * 100_000, "body: expected a Pub/Sub message in JSON"),
    "a number of more digits than are read": (JSON, b"1" * 5_000, "body: expected a Pub/Sub message in JSON"),
    "no object": (JSON, b"[]", "body: expected an object, got list"),
    "no message": (JSON, b"{}", "message: expected an object, got NoneType"),
    "a message that is a text": (JSON, b'{"message":"hi"}', "message: expected an object, got str"),
    "no id": (JSON, push(messageId=None, message_id=None), "message.messageId: is missing"),
    "an id that is a number": (JSON, push(messageId=7), "messageId: expected a text"),
    "an id of endless length": (JSON, push(messageId="7" * 301), "messageId: expected a text of at most 300"),
    "a subscription of endless length": (
        JSON,
        push({"subscription": "s" * 1_000_000}),
        "subscription: expected a text of at most 300",
    ),
    "a subscription that is a list": (JSON, push({"subscription": ["s"]}), "subscription: expected a text"),
    "data that is not base64": (JSON, push(data="!!!"), "message.data: expected base64"),
    "data that is base64 of the other alphabet": (JSON, push(data="-_-_"), "message.data: expected base64"),
    "data that is cut": (JSON, push(data="aGk"), "message.data: expected base64"),
    "data that is no text": (JSON, push(data={"a": 1}), "message.data: expected base64"),
    "data beyond ASCII": (JSON, push(data="é"), "message.data: expected base64"),
    "attributes that are a list": (JSON, push(attributes=["a"]), "message.attributes: expected an object, got list"),
    "an attribute that is a number": (JSON, push(attributes={"a": 1}), "message.attributes: expected at most 100"),
    "an attribute that is nothing": (JSON, push(attributes={"a": None}), "message.attributes: expected at most 100"),
    "more attributes than Pub/Sub takes": (
        JSON,
        push(attributes={str(i): "x" for i in range(101)}),
        "message.attributes: expected at most 100",
    ),
    "half a character in an attribute": (JSON, push(attributes={"a": "\ud800"}), "body: expected a Pub/Sub message"),
    "half a character in the id": (JSON, push(messageId="\udfff"), "body: expected a Pub/Sub message"),
    "half a character, not even escaped": (
        JSON,
        push(messageId="é").replace(b"\\u00e9", b"\xed\xa0\x80"),
        "body: expected a Pub/Sub message",
    ),
    "a binary event of another type": (
        {**BINARY, "ce-type": "google.cloud.storage.object.v1.finalized"},
        push(),
        "type: expected the event google.cloud.pubsub.topic.v1.messagePublished",
    ),
    "a structured event of another type": (
        STRUCTURED,
        event({"message": message()}, type="com.example"),
        "type: expected the event",
    ),
    "a structured event without a type": (STRUCTURED, event({"message": message()}, type=None), "type: expected"),
    "a structured event without data": (STRUCTURED, event(None), "data: expected an object, got NoneType"),
    "a structured event with data in base64": (
        STRUCTURED,
        event(None, data_base64="aGk="),
        "data: expected an object, got NoneType",
    ),
    "a structured event whose source is a number": (STRUCTURED, event({"message": message()}, source=1), "source: "),
}


@pytest.mark.parametrize(("headers", "body", "expected"), READ.values(), ids=READ)
def test_a_pushed_message_is_read(headers: dict[str, str], body: bytes, expected: Delivery) -> None:
    assert read_push(headers, body) == expected


@pytest.mark.parametrize(("headers", "body", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_refused_in_few_words(headers: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=re.escape(why)) as refused:
        read_push(headers, body)
    assert len(str(refused.value)) < 200


BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda data: json.dumps(data).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            key: st.none() | st.text(max_size=9) | st.integers() | st.dictionaries(st.text(), st.text(), max_size=3)
            for key in ("data", "messageId", "message_id", "publishTime", "publish_time", "attributes")
        },
    ).map(lambda found: push({"message": found})),
)


@given(st.sampled_from([JSON, BINARY, STRUCTURED]), BODIES)
def test_any_bytes_are_a_delivery_or_malformed(headers: dict[str, str], body: bytes) -> None:
    try:
        found = read_push(headers, body)
    except Malformed:
        return
    json.dumps([found.id, found.topic, found.subscription, dict(found.attributes)], ensure_ascii=False).encode()
    assert found.published_at.tzinfo is timezone.utc


@given(
    st.binary(max_size=2_000),
    st.dictionaries(st.text(min_size=1, max_size=256), st.text(max_size=1_024), max_size=100),
    st.integers(0, 10**19).map(str),
    st.integers(1, 100),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.booleans(),
)
def test_what_pubsub_takes_comes_through_as_it_was(
    data: bytes, attributes: dict[str, str], id: str, attempt: int, at: datetime, structured: bool
) -> None:
    sent = message(
        data=base64.b64encode(data).decode(), attributes=attributes, messageId=id, publishTime=at.isoformat()
    )
    envelope = {"message": sent, "subscription": PATH, "deliveryAttempt": attempt}
    found = read_push(STRUCTURED, event(envelope)) if structured else read_push(JSON, json.dumps(envelope).encode())
    assert found == delivery(
        id=f"{SUBSCRIPTION}:{id}", data=data, attributes=attributes, attempt=attempt, published_at=at
    )
