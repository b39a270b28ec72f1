"""What every deployed function answers over HTTP: /health, /ready, messages pushed to it, schedules' words, its routes.

One blueprint for all, so that a gate may ask any of them in the same words. A message that is done with is answered
with 204; anything else makes Pub/Sub push it again, and in the end bury it. A function that declares routes says what
they are in /openapi.json, made of the same values that its requests are read by; what goes wrong is {"error": why}.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from shared import edge, logs
from shared.core.codec import Malformed, to_data
from shared.core.line import one_line
from shared.core.openapi import JSON, Route, document, read_body, read_query
from shared.core.openapi import Answer as Declared
from shared.ports import INSTALLATION, OWN, Delivery, Ports
from shared.push import REQUEST_BYTES_MAX, read_push
from shared.scheduled import is_scheduled, read_scheduled
from shared.service import Refusal

if TYPE_CHECKING:
    from flask import Request

log = logging.getLogger("tipoff.endpoint")

READY_S = 5.0  # who asks whether a service is ready waits no longer
WHY_MAX = 300
ROUTE_BYTES_MAX = 65_536  # a request is a few names; thousands of units fit
TOKEN_MAX = 8_192  # characters; a front end takes no longer header
NOBODY = "http"
"""Who asked, where no one says."""

Answer = tuple[str | Iterator[str], int, dict[str, str]]
"""Body, status, headers: as Flask takes them."""

Found = tuple[str, float]
"""Of a check: why it failed, empty if it did not, and the seconds that it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answers: a gate compares it with whom it wanted to ask."""

    service: str
    version: str  # the commit
    config_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a route answers: a status that it declares, and the value that it declares for it."""

    status: int
    value: object
    headers: Mapping[str, str] = field(default_factory=dict)


Responder = Callable[[Any, str], Reply]
"""From a request as its route declares it, and who asks, to the reply. May raise what the world raises."""


Pages = Callable[["Request"], Answer]
"""What a function shows to people at every path but /health and /ready; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a function works with, built at its first message."""

    ports: Ports
    handlers: Mapping[str, edge.Handler]  # by topic
    checks: Mapping[str, Callable[[], object]]  # its own dependencies: each raises if it cannot be used
    installation: Mapping[str, Callable[[], object]] = field(default_factory=dict)  # what no other revision would mend
    routes: Mapping[tuple[str, str], Responder] = field(
        default_factory=dict
    )  # by method and path, as they are declared
    pages: Pages | None = None  # of a function that shows some: it takes no messages and has no routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """That it answers, and who it is."""

    status: str
    service: str
    version: str
    config_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One dependency, or how its installation is, asked a moment ago."""

    name: str
    ok: bool
    of: str  # OWN or INSTALLATION, of shared.ports
    ms: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Whether it could work now, and its installation does."""

    status: str
    service: str
    version: str
    config_hash: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """This document."""

    openapi: str
    info: Mapping[str, str]
    paths: Mapping[str, object]


EVERYONES = (
    Route(method="GET", path="/health", does="Say who it is.", answers={200: Declared(why="It is alive.", of=Alive)}),
    Route(
        method="GET",
        path="/ready",
        does="Ask each of its dependencies, and how its installation is.",
        answers={200: Declared(why="All is well.", of=Ready), 503: Declared(why="Something is not.", of=Ready)},
    ),
    Route(
        method="GET",
        path="/openapi.json",
        does="Say what can be asked.",
        answers={200: Declared(why="What can be asked.", of=Document)},
    ),
)
"""What a function with routes of its own answers beside them."""


@dataclass(slots=True)
class Endpoint:
    """One for a process. Any number of threads."""

    identity: Identity
    parts: Callable[[], Parts]  # built once: later calls give the same at once
    ready_s: float = READY_S
    routes: Sequence[Route] = ()  # of its own; the parts do what they say
    shows_pages: bool = False  # the parts have them
    nudges: str = "nudges"  # the topic of its handler for what Cloud Scheduler posts: a timer speaks on it, too
    _asked: dict[str, Future[Found]] = field(default_factory=dict)  # the last time that each check was asked
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request) -> Answer:
        """Never raises: what goes wrong is an answer of 500, and a line in the log."""
        method = "GET" if request.method == "HEAD" else request.method  # the framework leaves its body out
        path = request.path.rstrip("/") or "/"
        if self.shows_pages and not (method == "GET" and path.endswith(("/health", "/ready"))):
            return self._page(request)
        methods = self._methods(path)
        route = methods.get(method)
        is_push = method == "POST" and (route.hears is not None if route else not methods)
        most = REQUEST_BYTES_MAX if is_push else ROUTE_BYTES_MAX
        request.max_content_length = most + (not is_push)  # also of what does not say how long it is: that is cut
        if (request.content_length or 0) > most:
            what = "message" if is_push else "request"
            return _unread(413, f"{request.content_length} bytes: a {what} has at most {most}")
        if method == "GET" and path.endswith("/health"):
            return _json(200, {"status": "alive", **self._who()})
        if method == "GET" and path.endswith("/ready"):
            return self._ready()
        if is_push:
            return self._receive(request, route)
        if route is None:
            return self._no_way(request.method, path, methods)
        if route in EVERYONES:
            return _json(200, document(self.identity.service, self.identity.version, self._declared()))
        return self._serve(request, route)

    def _page(self, request: Request) -> Answer:
        parts = edge.attempt(self.parts)
        if isinstance(parts, str):
            log.error("no page can be made: %s", parts)
            return "Not now: /ready says what is missing.\n", 503, {"Content-Type": "text/plain; charset=utf-8"}
        assert parts.pages is not None, f"{self.identity.service} shows pages"
        try:
            return parts.pages(request)
        finally:
            parts.ports.meter.send()

    def _declared(self) -> tuple[Route, ...]:
        return (*self.routes, *EVERYONES) if self.routes else ()

    def _methods(self, path: str) -> dict[str, Route]:
        """What may be done at a path; nothing, where it is none of a function's routes."""
        return {route.method: route for route in self._declared() if route.path == path}

    def _no_way(self, method: str, path: str, methods: Mapping[str, Route]) -> Answer:
        """What cannot be done, and what can. Without routes of its own, a function takes messages at any path."""
        if not self.routes:
            methods = dict.fromkeys(("GET", "POST"), EVERYONES[0])
        elif not methods:
            paths = ", ".join(sorted({route.path for route in self._declared()}))
            return _json(404, {"error": f"{path[:80]!r} is no path of {self.identity.service}; it has {paths}"})
        beside = [] if not self.routes else ["HEAD", "OPTIONS"] if "GET" in methods else ["OPTIONS"]
        allow = {"Allow": ", ".join([*methods, *beside])}
        if method == "OPTIONS":
            return "", 204, allow
        way = "messages come by POST; GET knows /health and /ready" if not self.routes else f"use {allow['Allow']}"
        body, status, headers = _json(405, {"error": f"{method[:20]}: {way}"})
        return body, status, {**headers, **allow}

    def _serve(self, request: Request, route: Route) -> Answer:
        """What a route answers, whatever is asked."""
        asked = self._read(request, route)
        if not isinstance(asked, Wanted):
            return asked
        headers, about = dict(request.headers), ("run", "batch")
        labels = {name: str(getattr(asked.value, name)) for name in about if getattr(asked.value, name, None)}
        with logs.about(trace=logs.trace_of(headers), **labels):
            reply = edge.attempt(lambda: _counted(route, self.parts(), asked.value, who_asks(headers)))
            if isinstance(reply, str):
                log.warning("%s %s: %s", route.method, route.path, reply)
                return _json(500, {"error": "not done; it may be asked again"})
            if route.method != "GET":
                log.info("%s %s: %d", route.method, route.path, reply.status)
        body, status, told = _json(reply.status, to_data(reply.value))
        return body, status, {**told, **reply.headers}

    def _read(self, request: Request, route: Route) -> Wanted | Answer:
        """What is asked; or the answer to what cannot be read."""
        body = edge.attempt(request.get_data) if route.method == "POST" else b""
        if isinstance(body, str):
            return _unread(400, "the body ends before it says; send it whole")
        if len(body) > ROUTE_BYTES_MAX:
            return _unread(413, f"a request has at most {ROUTE_BYTES_MAX} bytes")
        if body and request.mimetype != JSON:
            return _json(415, {"error": f"Content-Type: {request.mimetype[:40]!r} is not JSON; send {JSON}"})
        try:
            if route.method == "GET":
                return Wanted(read_query(route, request.args.items(multi=True)))
            return Wanted(read_body(route, body or (b"{}" if route.may_be_empty else b"")))
        except Malformed as error:
            return _json(400, {"error": f"{error}; /openapi.json says what can be asked"})

    def _receive(self, request: Request, route: Route | None) -> Answer:
        headers = dict(request.headers)
        body = edge.attempt(request.get_data)
        if isinstance(body, str):
            return _unread(400, f"the body ends before it says: {body}")
        scheduled = is_scheduled(headers)
        try:
            delivery = read_scheduled(headers, body, self.nudges) if scheduled else read_push(headers, body)
        except Malformed as error:
            if self.routes and route is None and not scheduled:
                return self._no_way("POST", request.path, {})
            # It comes again, and ends in the dead letters as it is; a schedule's word comes again and is let go.
            what = "no word of a schedule" if scheduled else "no Pub/Sub message"
            log.error("%s: %s", what, error)  # noqa: TRY400 - where it was raised says nothing
            return _json(400, {"error": str(error)})
        if route and not delivery.topic:
            delivery = replace(delivery, topic=route.hears or "")
        with logs.about(trace=logs.trace_of(headers), **_labels(delivery)):
            done = edge.attempt(lambda: self._settle(delivery))
            if done is True:
                return "", 204, {}
            if isinstance(done, str):
                log.warning("%s attempt %d on %s: %s", delivery.id, delivery.attempt, delivery.topic, done)
        return _json(500, {"error": "not done; it may come again"})

    def _settle(self, delivery: Delivery) -> bool:
        parts = self.parts()
        handlers = parts.handlers
        topic = delivery.topic if delivery.topic or len(handlers) > 1 else next(iter(handlers))

        def unheard(_body: bytes) -> Refusal:
            return Refusal(
                f"{self.identity.service} does not hear topic {topic[:80]!r}; it hears {', '.join(handlers)}"
            )

        return edge.handle(delivery, handlers.get(topic, unheard), parts.ports)

    def _ready(self) -> Answer:
        """All dependencies at once, within the same few seconds; what does not answer is left behind."""
        until = monotonic() + self.ready_s
        found = self._found({"parts": self.parts}, until)
        if all(check["ok"] for check in found):
            parts = self.parts()
            found = self._found({**parts.checks, **parts.installation}, until, parts.installation)
        ready = all(check["ok"] for check in found)
        status = "ready" if ready else "not_ready"
        return _json(200 if ready else 503, {"status": status, **self._who(), "checks": found})

    def _found(
        self, checks: Mapping[str, Callable[[], object]], until: float, common: Collection[str] = ()
    ) -> list[Mapping[str, object]]:
        asked = {name: self._ask(name, check) for name, check in checks.items()}
        wait(asked.values(), timeout=max(0.0, until - monotonic()))
        found: list[Mapping[str, object]] = []
        for name, answer in asked.items():
            why, took_s = answer.result() if answer.done() else (f"no answer in {self.ready_s:g} s", self.ready_s)
            of = INSTALLATION if name in common else OWN
            found.append({"name": name, "ok": not why, "of": of, "ms": round(1_000 * took_s, 1), "why": why[:WHY_MAX]})
        return found

    def _ask(self, name: str, check: Callable[[], object]) -> Future[Found]:
        """One thread for a check: while it hangs it is waited for again, not asked again. It holds up no exit."""

        def answer() -> None:
            began = monotonic()
            raised = edge.attempt(lambda: (check(), None)[1])
            asked.set_result((raised or "", monotonic() - began))

        with self._lock:
            before = self._asked.get(name)
            if before is not None and not before.done():
                return before
            asked: Future[Found] = Future()
            Thread(target=answer, name=f"ready: {name}", daemon=True).start()
            self._asked[name] = asked
            return asked

    def _who(self) -> dict[str, str]:
        who = self.identity
        return {"service": who.service, "version": who.version, "config_hash": who.config_hash}


def _labels(delivery: Delivery) -> dict[str, str]:
    """Of the message's own attributes those that say what it is about, bounded; for log lines alone."""
    names = ("run", "phase", "processor")
    return {name: delivery.attributes[name][:100] for name in names if delivery.attributes.get(name)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that could be read."""

    value: object


def _counted(route: Route, parts: Parts, value: object, who: str) -> Reply:
    """As _declared_by; what was counted is sent before it is answered."""
    try:
        return _declared_by(route, parts.routes, value, who)
    finally:
        parts.ports.meter.send()


def _declared_by(route: Route, acts: Mapping[tuple[str, str], Responder], value: object, who: str) -> Reply:
    """What is not declared would not be in the document: a bug, and no answer."""
    reply = acts[route.method, route.path](value, who)
    assert reply.status in route.every_answer, f"{route.path} declares no {reply.status}"
    of = route.every_answer[reply.status].of
    assert isinstance(reply.value, Mapping) or type(reply.value) is of, f"{route.path} declares another value"
    return reply


def who_asks(headers: Mapping[str, str]) -> str:
    """The email in the token that Cloud Run has verified before it let the request in; NOBODY where there is none.

    Where nobody verifies, as on emulators, it is what the caller says of himself. No part of a token is logged.
    """
    told = {name.lower(): value for name, value in headers.items()}
    kind, _, token = told.get("x-serverless-authorization", told.get("authorization", "")).partition(" ")
    if kind.lower() != "bearer" or token.count(".") != 2 or len(token) > TOKEN_MAX:
        return NOBODY
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        email = claims.get("email") if isinstance(claims, dict) else None
        return one_line(email) or NOBODY if isinstance(email, str) else NOBODY
    except (ValueError, binascii.Error, RecursionError):
        return NOBODY


def _json(status: int, body: object) -> tuple[str, int, dict[str, str]]:
    return json.dumps(body), status, {"Content-Type": JSON}


def _unread(status: int, error: str) -> Answer:
    """As a stream: of any other answer's request the framework reads the rest, as long as it is."""
    body, _, headers = _json(status, {"error": error})
    return iter((body,)), status, headers
