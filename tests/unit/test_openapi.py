"""How a request is read by its route's dataclass, and that the document says the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import jsonschema_rs
import pytest

from shared.core.codec import Malformed
from shared.core.line import LINE_MAX, one_line
from shared.core.model import RunKey
from shared.core.openapi import Answer, Bound, Route, bound, document, read_body, read_query


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """What to paint, and how."""

    run: RunKey | None = None
    door: str | None = field(
        default=None, metadata=bound(Bound(pattern="[a-z]+[0-9]?", most=5, about="a door like front"))
    )
    colour: Colour
    reason: str = field(metadata=bound(Bound(is_line=True, least=1, about="why")))
    parts: tuple[str, ...] | None = field(default=None, metadata=bound(Bound(most=3, items=2)))
    coats: int = 1
    share: float = 1.0
    at: datetime | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Painted:
    """What came of it."""

    on: date
    inside: Painted | None = None


PAINT = Route(
    method="POST",
    path="/paint",
    does="Paint.",
    asks=Paint,
    either=(("run",), ("door",)),
    answers={200: Answer(why="Done.", of=Painted, headers={"Retry-After": "Seconds."})},
)
LOOK = Route(method="GET", path="/look-at", does="Look.", asks=Paint, answers={200: Answer(why="So.", of=Painted)})
PUSH = Route(method="POST", path="/push", does="Hear.", hears="t", answers={204: Answer(why="Heard.")})
RING = Route(method="POST", path="/ring", does="Ring.", answers={204: Answer(why="Rung.")})
SAID: Any = document("house", "1", (PAINT, LOOK, PUSH, RING))


def schema(route: Route) -> Any:
    told = SAID["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return {**told, "components": SAID["components"]}


def test_a_request_is_read_to_its_value() -> None:
    read = read_body(PAINT, b'{"door": "front", "colour": "red", "reason": "faded", "parts": ["a", "b"]}')
    assert read == Paint(door="front", colour=Colour.RED, reason="faded", parts=("a", "b"))
    assert read_query(LOOK, [("colour", "red"), ("reason", "faded")]) == Paint(colour=Colour.RED, reason="faded")


WRONG = {
    '{"colour": "red", "reason": "faded"}': "it has colour, reason; send run, or door, and no other of them",
    '{"door": "a", "run": "nba.2024-01-15.same_day.1", "colour": "red", "reason": "x"}': "send run, or door",
    '{"door": null, "colour": "red", "reason": "x"}': "send run, or door",
    '{"door": "a"}': "missing key 'colour'",
    '{"door": "Front", "colour": "red", "reason": "x"}': "door: 'Front' is not a door like front",
    '{"door": "a\\n", "colour": "red", "reason": "x"}': "is not a door like front",
    '{"door": "aaaaaa", "colour": "red", "reason": "x"}': "door: 'aaaaaa' has 6 characters, 0 to 5 are right",
    '{"door": "a", "colour": "green", "reason": "x"}': "colour: expected one of red, blue, got 'green'",
    '{"door": "a", "colour": "red", "reason": ""}': "reason: '' has 0 characters",
    '{"door": "a", "colour": "red", "reason": " "}': "reason: ' ' says nothing; send why",
    '{"door": "a", "colour": "red", "reason": "\\u001b[2J"}': "reason: '\\x1b[2J' is not a line",
    '{"door": "a", "colour": "red", "reason": "x", "parts": ["a", "b", "c"]}': "parts: 3 of them, at most 2",
    '{"door": "a", "colour": "red", "reason": "x", "parts": ["aaaa"]}': "parts: 'aaaa' has 4 characters",
    '{"door": "a", "colour": "red", "reason": "x", "coats": "2"}': "coats: expected int",
    '{"door": "a", "colour": "red", "reason": "x", "share": NaN}': "NaN is no number that JSON knows",
    '{"door": "a", "door": "a"}': "key 'door' stands there twice",
    '{"doors": "a"}': "key 'doors' is not known; known are run, door",
    "[]": "expected an object, got a list",
    '"\\ud800"': "body: not JSON: UnicodeEncodeError",
    '{"door": "\\u00e9"}': "missing key",
    "{": "body: not JSON: JSONDecodeError",
}


@pytest.mark.parametrize(("body", "why"), WRONG.items())
def test_what_cannot_be_read_says_which_key_and_why(body: str, why: str) -> None:
    with pytest.raises(Malformed) as raised:
        read_body(PAINT, body.encode())
    assert why in str(raised.value)


def test_bytes_that_are_no_text_and_depths_without_end_are_malformed() -> None:
    for body in (b"\xff", b"[" * 100_000):
        with pytest.raises(Malformed, match="body: not JSON"):
            read_body(PAINT, body)


def test_where_nothing_is_asked_nothing_may_be_sent() -> None:
    assert RING.may_be_empty
    assert not PAINT.may_be_empty
    read_body(RING, b"{}")
    with pytest.raises(Malformed, match="known are none"):
        read_body(RING, b'{"loud": true}')


def test_a_query_that_says_a_thing_twice_is_malformed() -> None:
    with pytest.raises(Malformed, match="stands there twice"):
        read_query(LOOK, [("colour", "red"), ("colour", "blue")])


RIGHT = (
    '{"door": "front", "colour": "red", "reason": "faded"}',
    '{"door": "front", "run": null, "colour": "red", "reason": "faded", "parts": null, "at": "2024-01-15T00:00:00Z"}',
    '{"door": "back2", "colour": "red", "reason": "faded"}',
    '{"run": "nba.2024-01-15.same_day.1", "colour": "blue", "reason": "x", "parts": [], "coats": 2, "share": 0.5}',
)
UNSAID = ("says nothing", "is not a line", "stands there twice", "not JSON", "no number", "a\\n")
"""What a schema cannot say."""


@pytest.mark.parametrize("body", [*RIGHT, *WRONG])
def test_the_document_says_what_is_read(body: str) -> None:
    try:
        read_body(PAINT, body.encode())
    except Malformed as error:
        if any(words in f"{error} {body}" for words in UNSAID):
            return
        assert not jsonschema_rs.validator_for(schema(PAINT)).is_valid(json.loads(body))
    else:
        assert jsonschema_rs.validator_for(schema(PAINT)).is_valid(json.loads(body))


def test_every_answer_is_declared_with_what_it_holds() -> None:
    answers = SAID["paths"]["/paint"]["post"]["responses"]
    assert sorted(answers) == ["200", "400", "413", "415", "500"]
    assert answers["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Painted"}
    assert answers["200"]["headers"]["Retry-After"]["description"] == "Seconds."
    assert sorted(SAID["paths"]["/push"]["post"]["responses"]) == ["204", "400", "413", "500"]
    assert sorted(SAID["paths"]["/ring"]["post"]["responses"]) == ["204", "400", "413", "415", "500"]
    assert "content" not in SAID["paths"]["/ring"]["post"]["responses"]["204"]
    painted = SAID["components"]["schemas"]["Painted"]
    assert painted["required"] == ["on"]
    assert painted["properties"]["inside"] == {"anyOf": [{"$ref": "#/components/schemas/Painted"}, {"type": "null"}]}


def test_a_query_is_declared_by_its_keys() -> None:
    told = {each["name"]: each["required"] for each in SAID["paths"]["/look-at"]["get"]["parameters"]}
    assert told["colour"]
    assert not told["door"]
    assert SAID["paths"]["/look-at"]["get"]["operationId"] == "get_look_at"


def test_what_has_no_schema_is_a_bug() -> None:
    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="has no schema"):
        document("house", "1", [Route(method="GET", path="/", does="", answers={200: Answer(why="", of=Odd)})])


@pytest.mark.parametrize("text", ["x" * (LINE_MAX + 1), "a\x1b[2J", "a\u202eb", "a\x00"])
def test_what_could_move_a_cursor_or_is_too_long_is_no_line(text: str) -> None:
    with pytest.raises(ValueError, match=f"is not a line of at most {LINE_MAX} printable characters"):
        one_line(text)


def test_a_line_has_single_spaces() -> None:
    assert one_line(" the feed\n was  mended ") == "the feed was mended"
