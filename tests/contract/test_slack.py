"""The promise of ports.Chat, kept over a webhook: what became of a post is a value, and nobody learns its address."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters.http import Http
from shared.adapters.slack import AGAIN, SlackWebhook
from shared.core.blocks import Card, Header, Section, payload
from shared.ports import NotNow, Posted, Refused, Taken
from tests.slack import OK, SECRET, Scripted, Slack, slack

CARD = Card("All well", (Header("All well"), Section("*nba* published")))


@pytest.fixture
def channel() -> Iterator[Slack]:
    with slack() as opened:
        yield opened


def post(url: str, card: Card = CARD) -> Posted:
    http = Http()
    try:
        return SlackWebhook(http, url, again=replace(AGAIN, sleep=lambda _: None)).post(card)
    finally:
        http.close()


def answered(channel: Slack, *answers: Scripted) -> Posted:
    channel.answers = list(answers)
    return post(channel.url)


def test_what_is_posted_is_shown(channel: Slack) -> None:
    assert post(channel.url) == Taken()
    assert channel.shown == [payload(CARD)]


def test_what_would_be_too_much_for_slack_is_cut_before_it_is_posted(channel: Slack) -> None:
    huge = Card("x" * 9_000, (Header("h" * 999), *[Section("<&>" * 5_000)] * 70))
    assert post(channel.url, huge) == Taken()
    assert len(channel.shown) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_slack_puts_off_for_a_moment_is_tried_again_and_shown_once(channel: Slack, status: int) -> None:
    assert answered(channel, (status, {"Retry-After": "1"}, b""), (status, {}, b""), OK) == Taken()
    assert len(channel.posts) == 3
    assert len(channel.shown) == 1


def test_what_slack_puts_off_for_long_is_not_waited_for(channel: Slack) -> None:
    limited = (429, {"Retry-After": "120"}, b"rate_limited")
    assert answered(channel, limited) == NotNow("Slack answered 429 (rate_limited); it may take it later", 120.0)
    assert len(channel.posts) == 1


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (400, b"invalid_blocks", "Slack answered 400 (invalid_blocks); the message is not as it must be"),
        (403, b"invalid_token", "Slack answered 403 (invalid_token); make a new incoming webhook, and set"),
        (404, b"no_service", "Slack answered 404 (no_service); make a new incoming webhook"),
        (410, b"channel_is_archived", "Slack answered 410 (channel_is_archived); make a new incoming webhook"),
        (302, b"", "Slack answered 302; look at SLACK_WEBHOOK_URL"),
        (404, SECRET.encode(), "Slack answered 404; make"),
    ],
)
def test_a_refusal_says_what_is_to_be_mended(channel: Slack, status: int, said: bytes, why: str) -> None:
    refused = answered(channel, (status, {}, said))
    assert isinstance(refused, Refused)
    assert refused.why.startswith(why)
    assert len(channel.posts) == 1


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/services/{SECRET}"


def test_a_slack_that_is_down_may_be_up_later() -> None:
    down = post(unused_url())
    assert isinstance(down, NotNow)
    assert down.why.startswith("Slack: Connection refused; look whether it is up")


def test_an_answer_that_breaks_off_is_not_tried_again(channel: Slack) -> None:
    """It may have been shown."""
    channel.answers = [(200, {"Content-Length": "9"}, b"ok")]
    assert isinstance(post(channel.url), NotNow)
    assert len(channel.posts) == 1


@pytest.mark.parametrize(
    "url",
    ["https://hooks.slack.com:99999/services/" + SECRET, "ftp://x/" + SECRET, "http://me:x@127.0.0.1/" + SECRET],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Settings let none through."""
    assert isinstance(post(url), Refused)


def test_nobody_learns_the_address(channel: Slack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tipoff")
    answers: list[Scripted] = [(404, {}, b"no"), (429, {"Retry-After": "99"}, b""), (200, {"Content-Length": "9"}, b"")]
    told = [answered(channel, answer) for answer in answers] + [post(unused_url()), post("http://:x/" + SECRET)]
    http = Http()
    shown = f"{told} {SlackWebhook(http, channel.url)!r} {caplog.text}"
    http.close()
    assert not [part for part in ("s3cret", "S3CRET", "T0/") if part in shown]
