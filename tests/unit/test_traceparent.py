"""The name of a span in a message or a request: what is one, and what is none."""

from __future__ import annotations

import pytest

from shared.core.traceparent import LENGTH_MAX, read_traceparent, write_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

CASES = [
    pytest.param(GOOD, True, id="a sampled span"),
    pytest.param(f"00-{TRACE}-{SPAN}-00", True, id="a span that is not sampled has a name all the same"),
    pytest.param(f"01-{TRACE}-{SPAN}-01-more", True, id="a later version may append"),
    pytest.param(f"{GOOD}-more", False, id="version 00 appends nothing"),
    pytest.param(f"ff-{TRACE}-{SPAN}-01", False, id="ff is no version"),
    pytest.param(f"00-{'0' * 32}-{SPAN}-01", False, id="no trace has the id zero"),
    pytest.param(f"00-{TRACE}-{'0' * 16}-01", False, id="no span has the id zero"),
    pytest.param(GOOD.upper(), False, id="capitals are malformed"),
    pytest.param(f" {GOOD}", False, id="nothing stands before it"),
    pytest.param(f"{GOOD}\n", False, id="nor a newline behind it"),
    pytest.param(GOOD.replace("4", "\u0664"), False, id="digits are ASCII"),
    pytest.param(f"01-{TRACE}-{SPAN}-01-" + "x" * LENGTH_MAX, False, id="it is bounded"),
    pytest.param(f"00-{TRACE}-{SPAN}", False, id="the flags belong to it"),
    pytest.param("", False, id="nothing is none"),
]


@pytest.mark.parametrize(("text", "good"), CASES)
def test_a_traceparent_is_read_strictly(text: str, good: bool) -> None:
    assert read_traceparent(text) == ((TRACE, SPAN) if good else None)


def test_what_is_written_is_read() -> None:
    assert write_traceparent(TRACE, SPAN) == GOOD
    assert read_traceparent(write_traceparent(TRACE, SPAN)) == (TRACE, SPAN)
