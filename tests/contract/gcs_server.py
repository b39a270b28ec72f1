"""A Cloud Storage of a few lines on loopback: it answers to exactly the calls that gcsfs makes for us.

The emulators that one can install overwrite where ifGenerationMatch forbids it; this one answers 412, as the service's
reference says. Anything that it does not know is a 501.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "tipoff-objects"

Answer = tuple[int, dict[str, str], bytes]


class Storage:
    """One bucket. `refusals` are answered first, one per request; `losses` puts are stored and answered with 503."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes, str]] = {}  # by name: generation, body, content type
        self.calls: list[str] = []  # method and path of each
        self.refusals: list[tuple[int, str]] = []
        self.losses = 0
        self.endpoint = ""
        self._generations = itertools.count(1_700_000_000_000_000)
        self._lock = threading.Lock()

    def put(self, name: str, body: bytes, kind: str = "application/octet-stream") -> None:
        self.objects[name] = (str(next(self._generations)), body, kind)

    def answer(self, method: str, target: str, kind: str, body: bytes) -> Answer:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self._lock:
            self.calls.append(f"{method} {url.path}")
            if self.refusals:
                return _error(*self.refusals.pop(0))
            found = re.fullmatch(r"(/upload|/download|)/storage/v1/b/([^/]+)/o(?:/([^/]+))?", url.path)
            if not found:
                return _error(501, f"{method} {target}")
            way, bucket, name = found[1], found[2], unquote(found[3] or "")
            if bucket != BUCKET:
                return _error(404, "The specified bucket does not exist.")
            match (method, way, bool(name)):
                case ("POST", "/upload", False) if query["uploadType"] == "media":
                    return self._upload(query, kind, body)
                case ("GET", "/download", True) if query == {"alt": "media"}:
                    return self._download(name)
                case ("GET", "", False):
                    return self._list(query)
                case ("GET", "", True):
                    return _error(404, f"No such object: {bucket}/{name}")  # asked of a folder that is empty
        return _error(501, f"{method} {target}")

    def _upload(self, query: dict[str, str], kind: str, body: bytes) -> Answer:
        standing = self.objects.get(query["name"], ("0", b"", ""))[0]
        if query.get("ifGenerationMatch", standing) != standing:
            return _error(412, "At least one of the pre-conditions you specified did not hold.")
        self.put(query["name"], body, kind)
        if self.losses:
            self.losses -= 1
            return _error(503, "We encountered an internal error. Please try again.")
        return _json(200, {"name": query["name"], "generation": self.objects[query["name"]][0]})

    def _download(self, name: str) -> Answer:
        if name not in self.objects:
            return _error(404, f"No such object: {BUCKET}/{name}")
        generation, body, kind = self.objects[name]
        return 200, {"Content-Type": kind, "X-Goog-Generation": generation}, body

    def _list(self, query: dict[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        names = sorted(name for name in self.objects if name.startswith(prefix))
        items = [
            {"name": name, "generation": self.objects[name][0], "size": str(len(self.objects[name][1]))}
            for name in names
            if "/" not in name[len(prefix) :]
        ]
        deeper = {prefix + name[len(prefix) :].split("/")[0] + "/" for name in names if "/" in name[len(prefix) :]}
        return _json(200, {"kind": "storage#objects", "items": items, "prefixes": sorted(deeper)})


def _json(status: int, said: dict[str, Any]) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()


def _error(status: int, message: str) -> Answer:
    return _json(status, {"error": {"code": status, "message": message}})


@contextmanager
def storage() -> Iterator[Storage]:
    service = Storage()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, said = service.answer(
                self.command, self.path, self.headers.get("Content-Type") or "", body
            )
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # of the five that it is otherwise, the sixth caller waits a second

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # a client's open connection holds nobody up
    service.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
