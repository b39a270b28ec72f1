"""Core values to JSON and back, by their own type hints: the one schema of every message and record.

Decoding is strict: an unknown key, a missing key or a value of another type is Malformed and names the key. Encoding
leaves out what equals its default, so a record written before a field existed still reads.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from enum import StrEnum
from functools import cache, lru_cache

from shared.core.model import RunKey

TYPE_CHECKING = False  # as in typing, whose import is a tenth of the core's: only the first decoding needs it
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")
    Convert = Callable[[Any], Any]

TO_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""Built once: json.dumps with these options builds an encoder at every call."""

RUNS_CACHED = 1_024  # run texts in circulation; the same few come back with every record


class Malformed(ValueError):
    """The bytes can never become this value: no retry helps."""


def encode(value: object) -> bytes:
    """Compact JSON with fields in declaration order: equal values give equal bytes."""
    return TO_JSON(to_data(value)).encode()


def decode(cls: type[T], body: bytes | str) -> T:
    """Raises Malformed; never another exception, whatever the bytes are."""
    try:
        text = body if isinstance(body, str) else body.decode()
        data = json.loads(text)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair can be read but never written
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{cls.__name__}: not JSON: {str(error)[:120]}") from None
    return from_data(cls, data)


def to_data(value: object) -> Any:
    kind: Any = type(value)
    return _encoder(kind)(value)


def from_data(cls: type[T], data: object) -> T:
    hint: Any = cls
    result: T = _decoder(hint)(data)
    return result


# --- encoding -----------------------------------------------------------------------------------------


@cache
def _encoder(cls: Any) -> Convert:
    if cls in (str, int, float, bool, type(None)):
        return _same
    if issubclass(cls, StrEnum):
        return str
    if cls is RunKey:
        return str
    if cls is datetime:
        return write_instant
    if cls is date:
        return date.isoformat
    if dataclasses.is_dataclass(cls):
        return _fields_encoder(cls)
    if issubclass(cls, Mapping):
        return lambda items: {str(key): to_data(item) for key, item in items.items()}
    if issubclass(cls, (tuple, list)):
        return lambda items: [item if item.__class__ is str else to_data(item) for item in items]
    raise TypeError(f"{cls.__name__} has no JSON form")


def _fields_encoder(cls: Any) -> Convert:
    fields = [(f.name, _default(f)) for f in dataclasses.fields(cls)]

    def encode_fields(value: object) -> dict[str, Any]:
        data = {}
        for name, default in fields:
            item = getattr(value, name)
            if default is REQUIRED or item != default:
                kind = item.__class__
                data[name] = item if kind is str or kind is int else _encoder(kind)(item)
        return data

    return encode_fields


REQUIRED = object()


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def _same(value: object) -> object:
    return value


def write_instant(instant: datetime) -> str:
    """UTC with microseconds and Z; a naive time is a bug."""
    assert instant.tzinfo is not None, "naive datetime"
    return instant.astimezone(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


# --- decoding -----------------------------------------------------------------------------------------


@cache
def _decoder(hint: Any) -> Convert:
    from typing import get_args, get_origin

    if hint in (str, int, bool):
        return _exactly(hint)
    if hint is float:
        return _read_float
    if hint is object:
        return _same
    if hint is datetime:
        return read_instant
    if hint is date:
        return _text(read_date, "a date YYYY-MM-DD")
    if hint is RunKey:
        return _text(lru_cache(RUNS_CACHED)(RunKey.parse), "a run")
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _text(hint, "one of " + ", ".join(hint))
    if dataclasses.is_dataclass(hint):
        return _fields_decoder(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        present = _decoder(next(argument for argument in arguments if argument is not type(None)))
        return lambda data: None if data is None else present(data)
    if origin is tuple:
        return _items_decoder(_decoder(arguments[0]))
    if origin is Mapping:
        return _mapping_decoder(_decoder(arguments[1]))
    raise TypeError(f"{hint} has no JSON form")


def _fields_decoder(cls: Any) -> Convert:
    from typing import get_type_hints

    hints = get_type_hints(cls)
    decoders = {f.name: _decoder(hints[f.name]) for f in dataclasses.fields(cls)}
    required = {f.name for f in dataclasses.fields(cls) if _default(f) is REQUIRED}

    def decode_fields(data: object) -> object:
        if not isinstance(data, dict):
            raise Malformed(f"{cls.__name__}: expected an object, got {_show(data)}")
        values = {}
        for key, item in data.items():
            decoder = decoders.get(key)
            if decoder is None:
                raise Malformed(f"{cls.__name__}: unknown key {_show(key)}")
            try:
                values[key] = decoder(item)
            except Malformed as error:
                raise Malformed(f"{key}: {error}") from None
        if not required <= values.keys():
            raise Malformed(f"{cls.__name__}: missing key {min(required - values.keys())!r}")
        return cls(**values)

    return decode_fields


def _items_decoder(decoder: Convert) -> Convert:
    def decode_items(data: object) -> tuple[Any, ...]:
        if not isinstance(data, list):
            raise Malformed(f"expected a list, got {_show(data)}")
        return tuple([decoder(item) for item in data])

    return decode_items


def _mapping_decoder(decoder: Convert) -> Convert:
    def decode_mapping(data: object) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise Malformed(f"expected an object, got {_show(data)}")
        return {key: decoder(item) for key, item in data.items()}

    return decode_mapping


def _exactly(cls: type) -> Convert:
    def read(data: object) -> object:
        if data.__class__ is not cls:
            raise Malformed(f"expected {cls.__name__}, got {_show(data)}")
        return data

    return read


def _read_float(data: object) -> float:
    if data.__class__ not in (float, int) or data != data or data in (float("inf"), float("-inf")):
        raise Malformed(f"expected a finite number, got {_show(data)}")
    try:
        return float(data)
    except OverflowError:
        raise Malformed(f"expected a number that fits a float, got {_show(data)}") from None


def _text(read: Callable[[str], Any], what: str) -> Convert:
    def decode_text(data: object) -> Any:
        if not isinstance(data, str):
            raise Malformed(f"expected {what}, got {_show(data)}")
        try:
            return read(data)
        except ValueError:
            raise Malformed(f"expected {what}, got {_show(data)}") from None

    return decode_text


def read_date(text: str) -> date:
    day = date.fromisoformat(text)  # reads 20240115 and 2024-W03-1 too
    if day.isoformat() != text:
        raise ValueError
    return day


def read_instant(data: object) -> datetime:
    """An ISO 8601 time with an offset, as UTC."""
    try:
        instant = datetime.fromisoformat(data)  # type: ignore[arg-type]
        if instant.tzinfo is not None:
            return instant.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Malformed(f"expected an ISO 8601 time with offset, got {_show(data)}")


def _show(data: object) -> str:
    """Short and safe: an error text must never carry a whole payload into a log."""
    if isinstance(data, (list, dict)):  # repr would go as deep as the sender nested it
        return "a list" if isinstance(data, list) else "an object"
    return repr(data if not isinstance(data, str) else data[:40])[:60]
