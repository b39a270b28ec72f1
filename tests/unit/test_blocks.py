"""What people are told fits Slack's limits, whatever it says, and nothing is cut without saying how much."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.blocks import (
    BLOCKS_MAX,
    HEADER_MAX,
    TEXT_MAX,
    Block,
    Card,
    Context,
    Divider,
    Header,
    Section,
    cut,
    escaped,
    payload,
)
from tests.slack import is_allowed, lines_of, size

MORE = re.compile(r" … \(([0-9,]+) more characters\)")


def told(*blocks: Block) -> dict[str, Any]:
    return dict(payload(Card("fallback", blocks)))


def test_each_block_has_the_form_that_slack_takes() -> None:
    assert told(Header("All well"), Section("*one*"), Divider(), Context("two")) == {
        "text": "fallback",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "All well", "emoji": True}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*one*", "verbatim": True}},
            {"type": "divider"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "two", "verbatim": True}]},
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_a_card_without_blocks_is_its_text() -> None:
    assert payload(Card("nba: all well")) == {"text": "nba: all well", "unfurl_links": False, "unfurl_media": False}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("a < b & c > d", "a &lt; b &amp; c &gt; d", id="what is markup is escaped"),
        pytest.param("<!channel> <@U1> <http://x|y>", "&lt;!channel&gt; &lt;@U1&gt; &lt;http://x|y&gt;", id="no calls"),
        pytest.param("one\n\n• two\tthree", "one • two three", id="it begins no line of its own"),
        pytest.param("a\x1b[31m\u202eb\ud800", "a?[31m?b?", id="what moves a cursor, or is half a character"),
    ],
)
def test_what_others_say_is_one_line_without_markup(said: str, shown: str) -> None:
    assert escaped(said) == shown


def test_what_is_too_long_says_how_much_more_there_was() -> None:
    assert cut("x" * 100, 100) == "x" * 100
    shown = cut("x" * 101, 100)
    assert size(shown) <= 100
    kept = shown.partition(" …")[0]
    assert shown == f"{kept} … ({101 - len(kept)} more characters)"


@pytest.mark.parametrize("longest", range(60, 70))
def test_no_escaped_character_is_cut_in_two(longest: int) -> None:
    shown = cut("&amp;" * 40, longest)
    assert re.fullmatch(r"(&amp;)+ … \([0-9]+ more characters\)", shown)


@pytest.mark.parametrize("longest", range(60, 64))
def test_no_character_of_two_units_is_cut_in_two(longest: int) -> None:
    shown = cut("🏀" * 100, longest)
    assert re.fullmatch(r"🏀+ … \([0-9]+ more characters\)", shown)
    assert size(shown) <= longest


@pytest.mark.parametrize("block", [Header(" "), Section(""), Context("\n")])
def test_a_block_without_text_which_slack_refuses_is_left_out(block: Block) -> None:
    assert told(block, Section("x"))["blocks"] == told(Section("x"))["blocks"]


def test_of_too_many_blocks_the_first_are_shown_and_how_many_follow() -> None:
    shown = told(*[Section(f"{number}") for number in range(BLOCKS_MAX + 1)])["blocks"]
    assert len(shown) == BLOCKS_MAX
    assert shown[-1]["elements"][0]["text"] == "… 2 more blocks of this message did not fit"


def test_of_too_long_a_message_the_first_blocks_are_shown_and_how_many_follow() -> None:
    shown = told(*[Section("x" * TEXT_MAX)] * 4)
    assert is_allowed(shown)
    assert shown["blocks"][-1]["elements"][0]["text"] == "… 1 more block of this message did not fit"


TEXTS = st.text(max_size=200).flatmap(lambda text: st.sampled_from([1, 20]).map(lambda times: text * times))
BLOCKS = st.one_of(
    TEXTS.map(Header), TEXTS.map(escaped).map(Section), TEXTS.map(Section), TEXTS.map(Context), st.just(Divider())
)


@given(text=TEXTS, blocks=st.lists(BLOCKS, max_size=60))
def test_slack_takes_whatever_is_said_and_all_that_is_missing_is_counted(text: str, blocks: list[Block]) -> None:
    message = json.loads(json.dumps(payload(Card(text, tuple(blocks)))))
    assert is_allowed(message)
    for block in message.get("blocks", []):
        for shown in (*block.get("elements", []), *filter(None, [block.get("text")])):
            limit = HEADER_MAX if block["type"] == "header" else TEXT_MAX
            assert size(shown["text"]) < limit - 60 or MORE.search(shown["text"]) or size(shown["text"]) <= limit
    there = [block for block in blocks if isinstance(block, Divider) or block.text.strip()]
    left_out = re.search(r"… (\d+) more block", "\n".join(lines_of(message)[-1:]))
    assert len(message.get("blocks", [])) - bool(left_out) + int(left_out[1] if left_out else 0) == len(there)
