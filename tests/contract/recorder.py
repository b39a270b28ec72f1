"""A server of this machine that keeps what is posted to it, and answers what it is told to: PagerDuty's or Slack's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Recorder:
    """Whatever it answers, it keeps what was posted; `took` are those that it answered with 2xx."""

    url: str = ""
    status: int = 202
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"status":"success"}'
    posted: list[dict[str, Any]] = field(default_factory=list)
    took: list[dict[str, Any]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        said = json.loads(body)
        self.posted.append(said)
        if 200 <= self.status < 300:
            self.took.append(said)

    @property
    def events(self) -> list[str]:
        """Of PagerDuty's, what was taken, in order."""
        return [f"{event['event_action']} {event['dedup_key']}" for event in self.took]


@contextmanager
def recording() -> Iterator[Recorder]:
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the base class names it
            recorder.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(recorder.status)
            for name, value in {**recorder.headers, "Content-Length": str(len(recorder.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(recorder.body)

        def log_message(self, *_: object) -> None:
            """Nothing on the test's screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    recorder.url = f"http://127.0.0.1:{server.server_port}/v2/enqueue"
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
