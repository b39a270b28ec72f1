"""A Slack of a few lines on loopback: it keeps what is posted, and refuses what Slack's Block Kit refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0/B0/s3cretS3CRET"  # noqa: S105 - the path of a webhook that is none

Scripted = tuple[int, Mapping[str, str], bytes]

OK: Scripted = (200, {}, b"ok")


@dataclass
class Slack:
    """`answers` are given first, one per post; what gets another answer than 200 is not shown."""

    url: str = ""
    answers: list[Scripted] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)  # every one that came
    shown: list[dict[str, Any]] = field(default_factory=list)

    def take(self, kind: str, body: bytes) -> Scripted:
        message = json.loads(body)
        self.posts.append(message)
        answer = self.answers.pop(0) if self.answers else OK
        if answer[0] == 200 and (kind != "application/json" or not is_allowed(message)):
            return 400, {}, b"invalid_blocks"
        if answer[0] == 200:
            self.shown.append(message)
        return answer


def is_allowed(message: dict[str, Any]) -> bool:
    """As https://docs.slack.dev/reference/block-kit says, and what Slack counts beside it."""
    blocks = message.get("blocks", [])
    texts = [
        (150 if block["type"] == "header" else 3_000, text["text"])
        for block in blocks
        for text in [*block.get("elements", []), *([block["text"]] if "text" in block else [])]
    ]
    return (
        0 < size(message["text"]) <= 3_000
        and len(blocks) <= 50
        and size(json.dumps(blocks, ensure_ascii=False)) <= 12_000
        and all(0 < size(text) <= most for most, text in texts)
        and {block["type"] for block in blocks} <= {"header", "section", "context", "divider"}
    )


def size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def lines_of(message: dict[str, Any]) -> list[str]:
    """All that a person reads of it, a line each."""
    texts = []
    for block in message.get("blocks", []):
        texts += [text["text"] for text in (*block.get("elements", []), *filter(None, [block.get("text")]))]
    return "\n".join(texts or [message["text"]]).split("\n")


@contextmanager
def slack() -> Iterator[Slack]:
    channel = Slack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, said = channel.take(self.headers["Content-Type"], body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Nothing: the address is a secret."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    channel.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
    try:
        yield channel
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
