"""A Google Cloud of its own on a loopback port, for tests of what deploys: it keeps state and records what it is asked.

Each service is a part that answers requests of its name. Two ways lead to it: as a proxy, to which gcloud sends
http://SERVICE.googleapis.fake/..., with a region before the name or without; and directly, at url_of(SERVICE).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

HOST = re.compile(r"(?:(?P<region>[a-z]+-[a-z]+\d+)-)?(?P<service>[a-z]+)\.googleapis\.fake")
DIRECT = re.compile(r"/-/(?P<service>[a-z]+)(?P<path>/.*)")
REGION = re.compile(r"[a-z]+-[a-z]+\d+")

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it was made."""

    service: str  # run, cloudfunctions, pubsub ...: the first word of its host
    method: str
    path: str  # decoded, without host and query
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    def __str__(self) -> str:
        return f"{self.method} {self.service}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    body: object = field(default_factory=dict)  # bytes as they are, anything else as JSON
    status: int = 200


class Refused(Exception):
    """Answered as Google's services do."""

    def __init__(self, status: int, message: str, details: Sequence[dict[str, object]] = ()) -> None:
        super().__init__(message)
        error = {"code": status, "message": message, "status": STATUS[status]}
        self.answer = Answer({"error": {**error, "details": list(details)} if details else error}, status)


def denied(permission: str, resource: str) -> Refused:
    """403 as most services word it."""
    return Refused(403, f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).")


class Dropped(Exception):
    """The connection ends without an answer."""


class Part(Protocol):
    """One service, or several that belong together; called under one lock."""

    names: tuple[str, ...]  # of the services

    def answer(self, request: Request) -> Answer | None:
        """None: it does not know such a request. May raise Refused or Dropped."""


@dataclass(slots=True)
class Fault:
    """What becomes of the next requests that match, instead of an answer, or after what they asked was done."""

    request: str  # a pattern that is found in the request's text: "PATCH cloudfunctions/v2/.*self-heal"
    raises: Exception
    times: int = 1
    is_done: bool = False  # whether the request is carried out nevertheless
    after: int = 0  # requests that match and are let through before


class Cloud:
    """What its parts know and what they were asked, without a network: `respond` carries a request out."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = RLock()

    def made(self, pattern: str = "") -> list[Request]:
        """The requests so far in whose text the pattern is found."""
        with self.lock:
            return [request for request in self.requests if re.search(pattern, str(request))]

    def changing(self) -> list[str]:
        """The requests so far that were no mere questions."""
        return [str(request) for request in self.made() if request.method != "GET"]

    def respond(self, request: Request) -> Answer:
        """May raise Refused or Dropped."""
        with self.lock:
            self.requests.append(request)
            fault = self._fault(request)
            if fault and not fault.is_done:
                raise fault.raises
            answer = self._answer(request)
            if fault:
                raise fault.raises
            return answer

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.request, str(request)):
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request) -> Answer:
        for part in self.parts:
            if request.service in part.names:
                answer = part.answer(request)
                if answer is not None:
                    return answer
        raise Refused(404, f"the fake does not know {request}")


class FakeCloud(Cloud):
    """The same on a loopback port, within `with`. What its parts know stays readable afterwards."""

    def __init__(self, *parts: Part) -> None:
        super().__init__(*parts)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.respond))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> FakeCloud:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url_of(self, service: str) -> str:
        """Where a service answers to who needs no proxy; without a slash at its end."""
        return f"http://127.0.0.1:{self.port}/-/{service}"


Respond = Callable[[Request], Answer]


def read_request(method: str, target: str, host: str, headers: dict[str, str], body: bytes) -> Request:
    """The service that a request is for: by the host of its target where a proxy is asked, else by its path."""
    parts = urlsplit(target)
    path, service = unquote(parts.path), ""
    if found := HOST.fullmatch(parts.hostname or host.partition(":")[0]):
        service = found["service"]
    elif direct := DIRECT.fullmatch(path):
        service, path = direct["service"], direct["path"]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(service=service, method=method, path=path, query=query, headers=headers, body=body)


def _handler(respond: Respond) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an answer

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = read_request(self.command, self.path, headers.get("host", ""), headers, body)
            try:
                answer = respond(request)
            except Refused as refused:
                answer = refused.answer
            except Dropped:
                self.close_connection = True
                self.connection.close()
                return
            sent = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - as the base class calls them

        def log_message(self, format: str, *args: object) -> None:
            """Tests speak for themselves."""

    return Handler


@dataclass(slots=True)
class Routes:
    """A table of what a part answers: method, pattern of the whole path, and what does it."""

    table: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = field(default_factory=list)

    def on(self, method: str, pattern: str, answer: Callable[..., Answer]) -> None:
        """`answer` is given the request, and the pattern's named groups as keywords."""
        self.table.append((method, re.compile(pattern), answer))

    def answer(self, request: Request) -> Answer | None:
        for method, pattern, answer in self.table:
            if method == request.method and (found := pattern.fullmatch(request.path)):
                return answer(request, **found.groupdict())
        return None


def strictly(body: object, allowed: dict[str, object], where: str = "body") -> None:
    """Refuses what the documented message does not have: a field by its name, a value by its type.

    `allowed` maps a field to a type, to the words that it may be, to a dict for a message, or to [dict] for a list.
    """
    if not isinstance(body, dict):
        raise Refused(400, f"Invalid value at '{where}': not a message")
    for name, value in body.items():
        if name not in allowed:
            raise Refused(
                400, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            )
        _fits(value, allowed[name], f"{where}.{name}")


def _fits(value: object, kind: object, where: str) -> None:
    match kind:
        case dict():
            strictly(value, kind, where)
        case [inner]:
            if not isinstance(value, list):
                raise Refused(400, f"Invalid value at '{where}': not a list")
            for each in value:
                _fits(each, inner, where)
        case set():
            if value not in kind:
                raise Refused(400, f"Invalid value at '{where}': {value!r}")
        case type():
            if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
                raise Refused(400, f"Invalid value at '{where}' ({kind.__name__}): {value!r}")
