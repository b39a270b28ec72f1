"""A collector of this machine for what is sent over OTLP/HTTP: what those of spans and of numbers share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar


class OtlpServer(ThreadingHTTPServer):
    """It answers with this status; a late answer ends once the test has had enough."""

    daemon_threads = True

    def __init__(self, port: int, answers: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), answers)
        self.status = 200
        self.enough = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


AnyServer = TypeVar("AnyServer", bound=OtlpServer)


@contextmanager
def collecting(collector: AnyServer) -> Iterator[AnyServer]:
    thread = threading.Thread(target=lambda: collector.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield collector
    finally:
        collector.enough.set()
        collector.shutdown()
        thread.join()
        collector.server_close()
