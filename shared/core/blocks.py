"""What people are told in a chat, in Slack's Block Kit, within all of its limits. Pure.

Nothing is cut without saying how much. What others have said (a reason, a name) goes through `escaped` first: then it
can neither call a channel, nor link, nor begin a line of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

HEADER_MAX = 150  # characters, as all here count them: UTF-16 units, of which no limit is smaller counted otherwise
TEXT_MAX = 3_000  # of one block, and of the line that a notification shows
BLOCKS_MAX = 50
MESSAGE_MAX = 10_000
"""Of all blocks, as JSON. Slack refuses some 12,000 characters with msg_blocks_too_long, and does not say how it
counts them (https://github.com/slackapi/bolt-js/issues/2867)."""

HALF_ENTITY = re.compile(r"&[a-z]{0,3}$")


@dataclass(frozen=True, slots=True)
class Header:
    """Plain text, large. Not to be escaped: it has no markup."""

    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """Lines in Slack's markup: *bold*, _italic_, `code`."""

    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """The same, small and grey."""

    text: str


@dataclass(frozen=True, slots=True)
class Divider:
    """A line between what stands above and below."""


Block = Header | Section | Context | Divider


@dataclass(frozen=True, slots=True)
class Card:
    """One message: what a notification shows, in markup, and what is shown where it is read; without blocks, both."""

    text: str
    blocks: tuple[Block, ...] = ()


def escaped(text: str) -> str:
    """What others say, as one line without markup of Slack's."""
    line = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and how much more there was. Half a character, escaped or not, is none."""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    size = _size(text)
    if size <= longest:
        return text
    room = longest - len(_more(size))
    kept = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore")
    kept = HALF_ENTITY.sub("", kept).rstrip()
    return f"{kept}{_more(size - _size(kept))}"


def payload(card: Card) -> Mapping[str, object]:
    """What Slack takes for it: each text cut to its limit, and of too many blocks the first, with how many follow."""
    blocks = [found for block in card.blocks if (found := _block(block))]
    shown = len(blocks)
    while shown and not _fits(_shown(blocks, shown)):
        shown -= 1
    # without a text there would be neither a notification nor, without blocks, a message
    told: dict[str, object] = {"text": cut(card.text.strip() or "(nothing is said)", TEXT_MAX)}
    if blocks:
        told["blocks"] = _shown(blocks, shown)
    return {**told, "unfurl_links": False, "unfurl_media": False}


def _shown(blocks: list[dict[str, object]], count: int) -> list[dict[str, object]]:
    left_out = len(blocks) - count
    if not left_out:
        return blocks
    plural = "" if left_out == 1 else "s"
    mark = _block(Context(f"… {left_out} more block{plural} of this message did not fit"))
    assert mark, "it has a text"
    return [*blocks[:count], mark]


def _fits(blocks: list[dict[str, object]]) -> bool:
    return len(blocks) <= BLOCKS_MAX and _size(json.dumps(blocks, ensure_ascii=False)) <= MESSAGE_MAX


def _block(block: Block) -> dict[str, object] | None:
    """None for one without text, which Slack refuses."""
    match block:
        case Divider():
            return {"type": "divider"}
        case Header(text) if text.strip():
            plain = {"type": "plain_text", "text": cut(text.strip(), HEADER_MAX), "emoji": True}
            return {"type": "header", "text": plain}
        case Section(text) if text.strip():
            return {"type": "section", "text": _markup(text)}
        case Context(text) if text.strip():
            return {"type": "context", "elements": [_markup(text)]}
        case _:
            return None


def _markup(text: str) -> dict[str, object]:
    """Verbatim: else Slack would make links and calls of what looks like them."""
    return {"type": "mrkdwn", "text": cut(text.strip(), TEXT_MAX), "verbatim": True}


def _more(characters: int) -> str:
    return f" … ({characters:,} more characters)"


def _size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
