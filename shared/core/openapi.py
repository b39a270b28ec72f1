"""The routes of a function as values: how a request is read, and the OpenAPI document that says so. Pure.

Both are made from the same dataclasses, so that the document cannot say one thing and the reading do another. Reading
is strict: what is unknown, missing, doubled or of another type is Malformed and names the key.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, get_args, get_origin, get_type_hints

from shared.core.codec import Malformed, from_data
from shared.core.line import LINE_MAX, one_line
from shared.core.model import NAME, RunKey

OPENAPI = "3.1.0"
RUN = rf"{NAME.pattern}\.[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}\.{NAME.pattern}\.[1-9][0-9]{{0,3}}"
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a text, or each text of a list, must be beside being one; `most` also bounds the list."""

    pattern: str = ""  # of all of it
    least: int = 0  # characters
    most: int = LINE_MAX
    is_line: bool = False  # printable, without a break
    items: int = 0  # at most, of a list
    about: str = ""  # what it is, for who gets it wrong


def bound(bounds: Bound) -> dict[str, Bound]:
    """As a field's metadata."""
    return {"bound": bounds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What may come back."""

    why: str
    of: type | None = None  # of its body; None: it has none
    headers: Mapping[str, str] = field(default_factory=dict)  # what each says


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is done at a path. Its request is the body of a POST, the query of a GET."""

    method: str
    path: str
    does: str
    asks: type | None = None
    either: tuple[tuple[str, ...], ...] = ()  # of these groups of keys one must be there, and no key of another
    answers: Mapping[int, Answer]
    hears: str | None = None  # the topic whose pushes come here where they name none; then a push is asked for

    @property
    def every_answer(self) -> dict[int, Answer]:
        """Those that any request may get, too."""
        answers = dict(self.answers)
        if self.asks or self.method == "POST":
            answers = {**ALWAYS, **answers}
        if self.method == "POST":
            answers |= {413: TOO_LONG} if self.hears is not None else {413: TOO_LONG, 415: NO_JSON}
        return answers

    @property
    def may_be_empty(self) -> bool:
        """Whether a request that says nothing is one."""
        return not self.either and all(is_optional(each) for each in dataclasses.fields(self.asks or Nothing))


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is asked for where nothing can be."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it was not done."""

    error: str


ALWAYS = {
    400: Answer(why="It cannot be read; the error names the key, the value and the remedy.", of=Refused),
    500: Answer(why="It is not done, and may be asked again.", of=Refused),
}
TOO_LONG = Answer(why="It is longer than any request.", of=Refused)
NO_JSON = Answer(why="It does not say that it is JSON.", of=Refused)


# --- reading ----------------------------------------------------------------------------------------


def read_body(route: Route, body: bytes) -> Any:
    """The request in a body. Raises Malformed; never another exception, whatever the bytes are."""
    try:
        text = body.decode()
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair can be read but never written
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed(f"body: not JSON: {type(error).__name__}") from None
    return _read(route, data)


def read_query(route: Route, pairs: Iterable[tuple[str, str]]) -> Any:
    """The request in a query. Raises Malformed."""
    return _read(route, _once(list(pairs)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Malformed(f"key {key[:40]!r} stands there twice; send it once")
        found[key] = value
    return found


def _no_number(text: str) -> object:
    raise Malformed(f"body: {text} is no number that JSON knows")


def _read(route: Route, data: object) -> Any:
    asks = route.asks or Nothing
    if isinstance(data, dict):
        known = [each.name for each in dataclasses.fields(asks)]
        if unknown := [key for key in data if key not in known]:
            raise Malformed(f"key {str(unknown[0])[:40]!r} is not known; known are {', '.join(known) or 'none'}")
    asked: Any = from_data(asks, data)
    for each in dataclasses.fields(asked):
        _check(each, getattr(asked, each.name))
    if route.either and isinstance(data, dict):
        _check_either(route.either, {key for key, value in data.items() if value is not None})
    return asked


def _check(each: dataclasses.Field[Any], value: object) -> None:
    bounds: Bound | None = each.metadata.get("bound")
    if bounds is None or value is None or value == each.default:
        return
    texts = value if isinstance(value, tuple) else (value,)
    if bounds.items and len(texts) > bounds.items:
        raise Malformed(f"{each.name}: {len(texts)} of them, at most {bounds.items}")
    for text in texts:
        _check_text(each.name, text, bounds)


def _check_text(key: str, text: str, bounds: Bound) -> None:
    shown = f"{key}: {text[:40]!r}"
    if not bounds.least <= len(text) <= bounds.most:
        raise Malformed(f"{shown} has {len(text)} characters, {bounds.least} to {bounds.most} are right")
    if bounds.pattern and not re.fullmatch(bounds.pattern, text):
        raise Malformed(f"{shown} is not {bounds.about}")
    if bounds.is_line:
        try:
            line = one_line(text)
        except ValueError as error:
            raise Malformed(f"{key}: {error}") from None
        if len(line) < bounds.least:
            raise Malformed(f"{shown} says nothing; send {bounds.about}")


def _check_either(groups: tuple[tuple[str, ...], ...], there: set[str]) -> None:
    whole = [group for group in groups if there.issuperset(group)]
    begun = [group for group in groups if there.intersection(group)]
    if len(whole) != 1 or len(begun) != 1:
        ways = ", or ".join(" and ".join(group) for group in groups)
        raise Malformed(f"it has {', '.join(sorted(there)) or 'nothing'}; send {ways}, and no other of them")


# --- saying so --------------------------------------------------------------------------------------


def document(title: str, version: str, routes: Iterable[Route]) -> dict[str, object]:
    """The OpenAPI document of these routes, every answer's status and schema declared."""
    schemas: dict[str, object] = {}
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route, schemas: dict[str, object]) -> dict[str, object]:
    answers = route.every_answer
    operation: dict[str, object] = {
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path)}".rstrip("_"),
        "summary": route.does,
    }
    if route.method == "POST":
        schema = PUSH if route.hears is not None else _request(route, schemas)
        needed = route.hears is not None or not route.may_be_empty
        operation["requestBody"] = {"required": needed, "content": {JSON: {"schema": schema}}}
    elif route.asks:
        operation["parameters"] = [
            {
                "name": each.name,
                "in": "query",
                "required": not is_optional(each),
                "schema": _field(each, get_type_hints(route.asks)[each.name], schemas),
            }
            for each in dataclasses.fields(route.asks)
        ]
    operation["responses"] = {str(status): _response(answers[status], schemas) for status in sorted(answers)}
    return operation


def _request(route: Route, schemas: dict[str, object]) -> dict[str, object]:
    """Its schema, and by its side which keys go together."""
    found = _schema(route.asks or Nothing, schemas, closed=True)
    if not route.either:
        return found
    others = [{key for other in route.either if other != group for key in other} for group in route.either]
    groups = [
        {
            "required": list(group),
            "properties": {
                **{key: {"not": {"type": "null"}} for key in group},
                **{key: {"type": "null"} for key in sorted(without)},
            },
        }
        for group, without in zip(route.either, others, strict=True)
    ]
    return {"allOf": [found], "oneOf": groups}


def _response(answer: Answer, schemas: dict[str, object]) -> dict[str, object]:
    response: dict[str, object] = {"description": answer.why}
    if answer.of:
        response["content"] = {JSON: {"schema": _schema(answer.of, schemas)}}
    if answer.headers:
        told = answer.headers.items()
        response["headers"] = {name: {"description": why, "schema": {"type": "string"}} for name, why in told}
    return response


def is_optional(each: dataclasses.Field[Any]) -> bool:
    return each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING


PLAIN: dict[object, dict[str, object]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    object: {},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    RunKey: {"type": "string", "pattern": f"^{RUN}$", "examples": ["nba.2024-01-15.same_day.1"]},
    type(None): {"type": "null"},
}


def _schema(hint: Any, schemas: dict[str, object], *, closed: bool = False) -> dict[str, object]:
    """The JSON schema of a type, with those of dataclasses among `schemas`; `closed`: it has no other keys."""
    if hint in PLAIN:
        return dict(PLAIN[hint])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"type": "string", "enum": [str(each) for each in hint]}
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        if hint.__name__ not in schemas:
            schemas[hint.__name__] = {}  # one that holds itself finds its name
            schemas[hint.__name__] = _object(hint, schemas, closed=closed)
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return {"anyOf": [_schema(each, schemas) for each in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    raise TypeError(f"{hint} has no schema")


def _object(cls: type, schemas: dict[str, object], *, closed: bool) -> dict[str, object]:
    hints, fields = get_type_hints(cls), dataclasses.fields(cls)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").strip(),
        "properties": {each.name: _field(each, hints[each.name], schemas) for each in fields},
        "required": [each.name for each in fields if not is_optional(each)],
        **({"additionalProperties": False} if closed else {}),
    }


def _field(each: dataclasses.Field[Any], hint: Any, schemas: dict[str, object]) -> dict[str, object]:
    schema = _schema(hint, schemas)
    bounds: Bound | None = each.metadata.get("bound")
    return _bounded(schema, bounds) if bounds else schema


def _bounded(schema: dict[str, object], bounds: Bound) -> dict[str, object]:
    """With the bounds where the text stands in it."""
    if isinstance(options := schema.get("anyOf"), list):
        return {**schema, "anyOf": [_bounded(each, bounds) for each in options]}
    if isinstance(items := schema.get("items"), dict):
        at_most = {"maxItems": bounds.items} if bounds.items else {}
        return {**schema, **at_most, "items": _bounded(items, bounds)}
    if schema.get("type") != "string":
        return schema
    said = {"maxLength": bounds.most, "minLength": bounds.least, "description": bounds.about}
    if bounds.pattern:
        said["pattern"] = f"^{bounds.pattern}$"
    return {**schema, **{key: value for key, value in said.items() if value}}


PUSH: dict[str, object] = {
    "type": "object",
    "description": "A Pub/Sub message in the envelope of its push.",
    "required": ["message"],
    "properties": {
        "subscription": {"type": "string", "maxLength": 300},
        "message": {
            "type": "object",
            "required": ["messageId"],
            "properties": {
                "messageId": {"type": "string", "minLength": 1, "maxLength": 300},
                "data": {"type": "string", "pattern": "^([A-Za-z0-9+/]{4})*$", "contentEncoding": "base64"},
            },
        },
    },
}
