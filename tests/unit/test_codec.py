"""One schema, both directions: what is written reads back, and nothing that is sent raises anything but Malformed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.codec import Malformed, decode, encode, from_data, to_data
from shared.core.model import Act, Completion, Control, RunKey, Status

NOON = datetime(2024, 1, 15, 12, tzinfo=timezone.utc)
RUN = RunKey("nba", date(2024, 1, 15), "overnight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """One field of each kind the codec knows."""

    text: str
    count: int = 0
    share: float = 1.0
    claim: bool = False
    status: Status = Status.SUCCESS
    run: RunKey = RUN
    day: date = date(2024, 1, 15)
    at: datetime = NOON
    until: datetime | None = None
    names: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    readings: Mapping[str, object] = field(default_factory=dict)


def names() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=20)


def instants() -> st.SearchStrategy[datetime]:
    return st.datetimes(timezones=st.just(timezone.utc))


def everythings() -> st.SearchStrategy[Everything]:
    return st.builds(
        Everything,
        text=names(),
        count=st.integers(),
        share=st.floats(allow_nan=False, allow_infinity=False),
        claim=st.booleans(),
        status=st.sampled_from(Status),
        run=st.builds(RunKey, st.sampled_from(["nba", "a_1"]), st.dates(), st.just("overnight"), st.integers(1, 9_999)),
        day=st.dates(),
        at=instants(),
        until=st.none() | instants(),
        names=st.lists(names(), max_size=4).map(tuple),
        acts=st.lists(st.builds(Act, actor=names(), reason=names(), at=instants()), max_size=2).map(tuple),
        found=st.dictionaries(names(), st.lists(names(), max_size=3).map(tuple), max_size=3),
        readings=st.dictionaries(names(), st.none() | st.booleans() | st.integers() | names(), max_size=3),
    )


@given(everythings())
def test_every_value_reads_as_it_was_written(value: Everything) -> None:
    assert decode(Everything, encode(value)) == value
    assert encode(decode(Everything, encode(value))) == encode(value)


@given(everythings())
def test_text_and_bytes_read_alike(value: Everything) -> None:
    assert decode(Everything, encode(value).decode()) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(Everything(text="x"), '{"text":"x"}', id="what equals its default is left out"),
        pytest.param(Everything(text="é\n"), '{"text":"é\\n"}', id="text stays text"),
        pytest.param(
            Everything(text="x", at=NOON.astimezone(timezone(timedelta(hours=9))) + timedelta(microseconds=5)),
            '{"text":"x","at":"2024-01-15T12:00:00.000005Z"}',
            id="a time is UTC with microseconds and Z",
        ),
        pytest.param(
            Everything(text="x", acts=(Act(actor="a", reason="b", at=NOON),)),
            '{"text":"x","acts":[{"actor":"a","reason":"b","at":"2024-01-15T12:00:00.000000Z"}]}',
            id="a value inside a value",
        ),
        pytest.param(Control(), "{}", id="a value of defaults is an empty object"),
        pytest.param({"a": [1, None, True], "b": ("x", 1.5)}, '{"a":[1,null,true],"b":["x",1.5]}', id="plain data"),
    ],
)
def test_the_written_form(value: object, text: str) -> None:
    assert encode(value).decode() == text


def test_a_record_written_before_a_field_existed_still_reads() -> None:
    assert decode(Everything, b'{"text":"old"}') == Everything(text="old")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param({1, 2}, TypeError, id="a set has no JSON form"),
        pytest.param(float("nan"), ValueError, id="NaN is a bug of the writer"),
        pytest.param(NOON.replace(tzinfo=None), AssertionError, id="a naive time is a bug of the writer"),
    ],
)
def test_what_has_no_written_form_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode(value)


def test_a_field_of_a_type_without_a_form_is_refused_before_any_data() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        from_data(set, [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"{", "not JSON", id="half a body"),
        pytest.param(b"\xff\xfe", "not JSON", id="bytes that are no text"),
        pytest.param('{"text":"x"}'.encode("utf-16"), "not JSON", id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"text":"x"}', "not JSON", id="a byte order mark"),
        pytest.param(b'{"text":"\\ud800"}', "not JSON", id="half a surrogate pair, escaped"),
        pytest.param(b'{"text":"\xed\xa0\x80"}', "not JSON", id="half a surrogate pair, in bytes"),
        pytest.param(b'{"found":{"\\udfff":[]},"text":"x"}', "not JSON", id="half a surrogate pair in a key"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested a hundred thousand deep"),
        pytest.param(b'{"text":"x","count":' + b"9" * 5_000 + b"}", "not JSON", id="a number of 5000 digits"),
        pytest.param(b"null", "Everything: expected an object, got None", id="null"),
        pytest.param(b'["text"]', "Everything: expected an object, got a list", id="a list"),
        pytest.param(b'"text"', "Everything: expected an object, got 'text'", id="a text"),
        pytest.param(b"{}", "Everything: missing key 'text'", id="a missing key"),
        pytest.param(b'{"text":"x","txet":1}', "Everything: unknown key 'txet'", id="an unknown key"),
        pytest.param(b'{"text":null}', "text: expected str, got None", id="null for a text"),
        pytest.param(b'{"text":{"a":1}}', "text: expected str, got an object", id="an object for a text"),
        pytest.param(b'{"text":"x","count":1.0}', "count: expected int, got 1.0", id="a float for a count"),
        pytest.param(b'{"text":"x","count":true}', "count: expected int, got True", id="a claim for a count"),
        pytest.param(b'{"text":"x","count":"1"}', "count: expected int, got '1'", id="a text for a count"),
        pytest.param(b'{"text":"x","claim":1}', "claim: expected bool, got 1", id="a count for a claim"),
        pytest.param(b'{"text":"x","share":NaN}', "share: expected a finite number, got nan", id="NaN"),
        pytest.param(b'{"text":"x","share":-Infinity}', "share: expected a finite number, got -inf", id="infinity"),
        pytest.param(b'{"text":"x","share":1e999}', "share: expected a finite number, got inf", id="1e999"),
        pytest.param(b'{"text":"x","share":true}', "share: expected a finite number, got True", id="a claim as share"),
        pytest.param(
            b'{"text":"x","share":1' + b"0" * 400 + b"}", "share: expected a number that fits", id="a huge share"
        ),
        pytest.param(b'{"text":"x","status":"done"}', "status: expected one of success, partial", id="a status"),
        pytest.param(b'{"text":"x","status":[]}', "status: expected one of success, partial", id="a list as status"),
        pytest.param(b'{"text":"x","run":"nba.2024-01-15"}', "run: expected a run, got", id="half a run"),
        pytest.param(b'{"text":"x","day":"2024-02-30"}', "day: expected a date", id="a day that does not exist"),
        pytest.param(b'{"text":"x","day":"20240115"}', "day: expected a date", id="a date without dashes"),
        pytest.param(b'{"text":"x","day":"2024-W03-1"}', "day: expected a date", id="a week date"),
        pytest.param(b'{"text":"x","at":"2024-01-15T12:00:00"}', "at: expected an ISO 8601 time", id="a naive time"),
        pytest.param(b'{"text":"x","at":1705320000}', "at: expected an ISO 8601 time", id="a number as time"),
        pytest.param(
            b'{"text":"x","at":"0001-01-01T00:00:00+10:00"}', "at: expected an ISO 8601 time", id="before all time"
        ),
        pytest.param(b'{"text":"x","names":"ab"}', "names: expected a list, got 'ab'", id="a text as list"),
        pytest.param(b'{"text":"x","names":[1]}', "names: expected str, got 1", id="a number in a list of texts"),
        pytest.param(b'{"text":"x","found":[]}', "found: expected an object, got a list", id="a list as mapping"),
        pytest.param(b'{"text":"x","acts":[{"actor":"a"}]}', "acts: Act: missing key 'at'", id="an incomplete act"),
    ],
)
def test_what_can_never_work_is_malformed_and_names_the_key(body: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says.replace("(", r"\(")) as raised:
        decode(Everything, body)
    assert len(str(raised.value)) < 300, "an error text must not carry the payload"


def test_no_depth_of_nesting_raises_anything_else() -> None:
    """Somewhere between shallow and hopeless lies the depth that JSON still reads and repr no longer writes."""
    for depth in range(1, 1_500):
        with pytest.raises(Malformed):
            decode(Everything, b'{"names":' + b"[" * depth + b"]" * depth + b"}")


def test_whole_surrogate_pairs_and_other_escapes_are_text() -> None:
    assert decode(Everything, b'{"text":"\\ud83c\\udfc0 \\u00e9"}').text == "🏀 é"


def test_of_a_key_sent_twice_the_last_counts() -> None:
    assert decode(Everything, b'{"text":"a","text":"b"}').text == "b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
KEYS = [*Everything.__dataclass_fields__, *Completion.__dataclass_fields__]


def value_or_malformed(body: bytes) -> None:
    for cls in (Everything, Completion, Control, RunKey):
        try:
            value = decode(cls, body)
        except Malformed as error:
            str(error).encode()
        else:
            assert decode(cls, encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_malformed(body: bytes) -> None:
    value_or_malformed(body)


@given(JSON)
def test_any_json_is_a_value_or_malformed(data: object) -> None:
    value_or_malformed(json.dumps(data).encode())


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_under_known_keys_is_a_value_or_malformed(data: dict[str, object]) -> None:
    value_or_malformed(json.dumps({"text": "x"} | {key: data[key] for key in data if key != "readings"}).encode())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("nba.2024-01-15.overnight", "expected pipeline.YYYY-MM-DD.mode.generation", id="three parts"),
        pytest.param("nba.2024-01-15.overnight.1.1", "expected pipeline.YYYY-MM-DD.mode.generation", id="five parts"),
        pytest.param("NBA.2024-01-15.overnight.1", "pipeline 'NBA' is not a name", id="capitals"),
        pytest.param("nba.2024-01-15..1", "mode '' is not a name", id="no mode"),
        pytest.param("nba.20240115.overnight.1", "is not YYYY-MM-DD", id="a date without dashes"),
        pytest.param("nba.2024-02-30.overnight.1", "day is out of range", id="a day that does not exist"),
        pytest.param("nba.2024-01-15.overnight.0", "generation '0' is not 1 to 9999", id="generation zero"),
        pytest.param("nba.2024-01-15.overnight.10000", "is not 1 to 9999", id="generation ten thousand"),
    ],
)
def test_a_text_that_is_no_run_says_what_is_wrong_with_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RunKey.parse(text)


def test_a_run_and_its_text_are_the_same_thing() -> None:
    run = RunKey("nba", date(2024, 1, 15), "same_day", 12)
    assert str(run) == to_data(run) == "nba.2024-01-15.same_day.12"
    assert RunKey.parse(str(run)) == run
