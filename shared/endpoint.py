"""What every deployed function answers over HTTP: /health, /ready, and the messages that are pushed to it.

One blueprint for all, so that a gate may ask any of them in the same words. A message that is done with is answered
with 204; anything else makes Pub/Sub push it again, and in the end bury it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from shared import edge, logs
from shared.core.codec import Malformed
from shared.ports import Delivery, Ports
from shared.push import REQUEST_BYTES_MAX, read_push
from shared.service import Refusal

if TYPE_CHECKING:
    from flask import Request

log = logging.getLogger("tipoff.endpoint")

READY_S = 5.0  # who asks whether a service is ready waits no longer
WHY_MAX = 300

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
class Parts:
    """What a function works with, built at its first message."""

    ports: Ports
    handlers: Mapping[str, edge.Handler]  # by topic
    checks: Mapping[str, Callable[[], object]]  # its own dependencies: each raises if it cannot be used


@dataclass(slots=True)
class Endpoint:
    """One for a process. Any number of threads."""

    identity: Identity
    parts: Callable[[], Parts]  # built once: later calls give the same at once
    ready_s: float = READY_S
    _asked: dict[str, Future[Found]] = field(default_factory=dict)  # the last time that each check was asked
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request) -> Answer:
        """Never raises: what goes wrong is an answer of 500, and a line in the log."""
        request.max_content_length = REQUEST_BYTES_MAX  # also of what does not say how long it is: cut, it is no JSON
        if (request.content_length or 0) > REQUEST_BYTES_MAX:
            return _unread(413, f"{request.content_length} bytes: a message has at most {REQUEST_BYTES_MAX}")
        path = request.path.rstrip("/")
        if request.method == "GET" and path.endswith("/health"):
            return _json(200, {"status": "alive", **self._who()})
        if request.method == "GET" and path.endswith("/ready"):
            return self._ready()
        if request.method != "POST":
            body, status, headers = _json(
                405, {"error": f"{request.method[:20]}: messages come by POST; GET knows /health and /ready"}
            )
            return body, status, {**headers, "Allow": "GET, POST"}
        return self._receive(request)

    def _receive(self, request: Request) -> Answer:
        headers = dict(request.headers)
        body = edge.attempt(request.get_data)
        if isinstance(body, str):
            return _unread(400, f"the body ends before it says: {body}")
        try:
            delivery = read_push(headers, body)
        except Malformed as error:
            # It comes again, and ends in the dead letters as it is.
            log.error("no Pub/Sub message: %s", error)  # noqa: TRY400 - where it was raised says nothing
            return _json(400, {"error": str(error)})
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
            found = self._found(self.parts().checks, until)
        ready = all(check["ok"] for check in found)
        status = "ready" if ready else "not_ready"
        return _json(200 if ready else 503, {"status": status, **self._who(), "checks": found})

    def _found(self, checks: Mapping[str, Callable[[], object]], until: float) -> list[Mapping[str, object]]:
        asked = {name: self._ask(name, check) for name, check in checks.items()}
        wait(asked.values(), timeout=max(0.0, until - monotonic()))
        found: list[Mapping[str, object]] = []
        for name, answer in asked.items():
            why, took_s = answer.result() if answer.done() else (f"no answer in {self.ready_s:g} s", self.ready_s)
            found.append({"name": name, "ok": not why, "ms": round(1_000 * took_s, 1), "why": why[:WHY_MAX]})
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


def _json(status: int, body: Mapping[str, object]) -> tuple[str, int, dict[str, str]]:
    return json.dumps(body), status, {"Content-Type": "application/json"}


def _unread(status: int, error: str) -> Answer:
    """As a stream: of any other answer's request the framework reads the rest, as long as it is."""
    body, _, headers = _json(status, {"error": error})
    return iter((body,)), status, headers
