"""How the stores of state, SQLite's and Firestore's, write times and foreign text, and what they keep in memory."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Generic, TypeVar

from shared.core.messages import TEXT_MAX
from shared.ports import QUARANTINE_ATTRIBUTES_MAX, QUARANTINE_BODY_MAX, Quarantined

SECOND = 1_000_000  # times are whole microseconds since 1970, UTC
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

V = TypeVar("V")


def to_micros(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + micros * MICROSECOND


def storable(text: str) -> str:
    """An error's text, cut; what is not Unicode in it (a file name, say) must not raise here."""
    return text[:TEXT_MAX].encode(errors="backslashreplace").decode()


def size_of(item: Quarantined) -> int | None:
    """Of the whole body, for the record: as it was told, or seen where the body comes too long to be kept."""
    seen = len(item.body) if len(item.body) > QUARANTINE_BODY_MAX else None
    return item.size if item.size is not None else seen


def storable_attributes(attributes: Mapping[str, str]) -> str:
    """JSON of those that fit, in their order; ASCII, whatever is in them."""
    kept: dict[str, str] = {}
    for key, value in attributes.items():
        if len(json.dumps({**kept, key: value})) <= QUARANTINE_ATTRIBUTES_MAX:
            kept[key] = value
    return json.dumps(kept)


class Recent(Generic[V]):
    """The values used last, at most `size` of them. Any number of threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)
