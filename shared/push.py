"""From an HTTP request that carries a Pub/Sub message to a Delivery, in the three forms that it comes in. Pure.

A push subscription posts the message in an envelope; Eventarc posts CloudEvents, binary (the event's attributes are
headers) or structured (they stand in the body). All three hold the same `message`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timezone

from shared.core.codec import Malformed
from shared.core.subscriptions import AT_THE_TOPIC
from shared.ports import Delivery

REQUEST_BYTES_MAX = 16_000_000
"""Pub/Sub's largest message, 10 MB, in base64, with its envelope; what is larger cannot come from there."""

MESSAGE_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"
STRUCTURED = "application/cloudevents+json"
ATTRIBUTES_MAX = 100  # Pub/Sub: also what the service adds to a dead letter
NAME_MAX = 300
LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
ATTEMPT_MAX = 9_999  # far above what any subscription allows


def read_push(headers: Mapping[str, str], body: bytes) -> Delivery:
    """The delivery in a request. Raises Malformed where there is none: nobody can say then which message it was.

    `topic` is empty where neither subscription nor event names it. Header names may be in any case.
    """
    told = {name.lower(): value for name, value in headers.items()}
    envelope = _object("body", _json(body))
    source = told.get("ce-source", "")
    if "ce-type" in told:
        _check_type(told["ce-type"])
    elif told.get("content-type", "").startswith(STRUCTURED):
        _check_type(_text("type", envelope.get("type")))
        source = _text("source", envelope.get("source", ""))
        envelope = _object("data", envelope.get("data"))
    message = _object("message", envelope.get("message"))
    subscription = _last(_text("subscription", envelope.get("subscription", "")))
    topic = subscription.partition(AT_THE_TOPIC)[2] or (_last(source) if "/topics/" in source else "")
    id = _text("messageId", message.get("messageId", message.get("message_id", "")))
    if not id:
        raise Malformed("message.messageId: is missing")
    return Delivery(
        id=f"{subscription or topic}:{id}",
        topic=topic,
        subscription=subscription,
        data=_data(message.get("data", "")),
        attributes=_attributes(message.get("attributes") or {}),
        attempt=_attempt(envelope.get("deliveryAttempt")),
        published_at=_time(message.get("publishTime", message.get("publish_time"))),
    )


def _check_type(kind: str) -> None:
    if kind != MESSAGE_TYPE:
        raise Malformed(f"type: expected the event {MESSAGE_TYPE}, got {kind[:80]!r}")


def _json(body: bytes) -> object:
    try:
        text = body.decode()
        data: object = json.loads(text)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair can be read but never kept
    except (ValueError, RecursionError) as error:
        raise Malformed(f"body: expected a Pub/Sub message in JSON: {type(error).__name__}") from None
    return data


def _object(key: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed(f"{key}: expected an object, got {type(value).__name__}")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > NAME_MAX:
        raise Malformed(f"{key}: expected a text of at most {NAME_MAX} characters")
    return value


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _data(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("message.data: expected base64") from None


def _attributes(value: object) -> dict[str, str]:
    attributes = _object("message.attributes", value)
    if len(attributes) > ATTRIBUTES_MAX or not all(isinstance(each, str) for each in attributes.values()):
        raise Malformed(f"message.attributes: expected at most {ATTRIBUTES_MAX}, each a text")
    return {name: str(each) for name, each in attributes.items()}


def _attempt(value: object) -> int:
    """Only a subscription with dead letters counts, and its emulator does not tell: then each try is the first."""
    return min(value, ATTEMPT_MAX) if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else 1


def _time(value: object) -> datetime:
    """When it was published, aware UTC; of one that does not say, long ago."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else LONG_AGO
        return at.astimezone(timezone.utc) if at.tzinfo else at.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return LONG_AGO
