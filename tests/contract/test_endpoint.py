"""What an endpoint answers under the real functions-framework, and what becomes of each message, on embedded parts."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared import edge
from shared.adapters.sqlite import Sqlite
from shared.core.measures import Measure
from shared.core.messages import Message, read_completion
from shared.core.model import Completion, RunKey, Start, Status
from shared.core.openapi import Answer, Refused, Route
from shared.core.subscriptions import subscription_of
from shared.deployed import once
from shared.endpoint import Endpoint, Identity, Parts, Reply, Responder
from shared.ports import QUARANTINE_BODY_MAX, Delivery, Ports
from shared.push import REQUEST_BYTES_MAX
from shared.service import Refusal

ATTEMPTS_MAX = 5
NOON = datetime(2031, 11, 1, 12, 0, tzinfo=timezone.utc)
SUBSCRIPTION = subscription_of("gate", "done")
WHO = {"service": "gate", "version": "0123abc", "config_hash": "c0ffee"}
MAIN = """
import functions_framework
from tests.contract.test_endpoint import served

@functions_framework.http
def gate(request):
    return served[{key!r}](request)
"""

served: dict[str, Endpoint] = {}
"""What the framework's functions of this module call, by the folder that each was loaded from."""


class Pushed:
    """A bus as one that pushes promises it: what is handed back before its last attempt, the answer hands back."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._bus, verb)

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:
        if delivery.attempt < ATTEMPTS_MAX:
            return False
        buried: bool = self._bus.nack(replace(delivery, id=delivery.id.rpartition(":")[2]), now, error)
        return buried


@dataclass
class World:
    """An endpoint, what it was built from, and a service that pushes to it."""

    store: Sqlite
    client: FlaskClient = field(init=False)
    endpoint: Endpoint = field(init=False)
    time: datetime = NOON
    handle: Callable[[bytes], Refusal | None] = lambda _: None
    checks: dict[str, Callable[[], object]] = field(default_factory=dict)
    installation: dict[str, Callable[[], object]] = field(default_factory=dict)
    build: Callable[[], None] = lambda: None
    routes: dict[tuple[str, str], Responder] = field(default_factory=dict)
    heard: list[bytes] = field(default_factory=list)
    built: int = 0
    sent: int = 0  # how often what was counted has been sent

    def add(self, measures: Iterable[Measure]) -> None: ...

    def send(self) -> None:
        self.sent += 1

    def now(self) -> datetime:
        return self.time

    def parts(self) -> Parts:
        self.built += 1
        self.build()
        bus: Any = Pushed(self.store.bus)
        return Parts(
            ports=Ports(states=self.store.states, bus=bus, clock=self, meter=self),
            handlers={"done": self.hear},
            checks=self.checks,
            installation=self.installation,
            routes=self.routes,
        )

    def hear(self, body: bytes) -> Refusal | None:
        self.heard.append(body)
        return self.handle(body)

    def publish(self, data: bytes, **attributes: str) -> None:
        self.store.bus.publish([Message(topic="done", data=data, attributes=attributes)], self.now())

    def push(self) -> list[TestResponse]:
        """Each message that waits, once; what is not done with comes again after its pause."""
        answers = []
        for delivery in self.store.bus.pull([SUBSCRIPTION], limit=100, now=self.now(), lease_s=60):
            answers.append(self.client.post("/", json=pushed(delivery.data, delivery.id, delivery.attempt)))
            if answers[-1].status_code == 204:
                self.store.bus.ack([delivery])
            else:
                self.store.bus.nack(delivery, self.now(), "")
        self.time += timedelta(minutes=2)
        return answers

    @property
    def quarantine(self) -> list[tuple[str, str]]:
        return [(each.id, each.reason) for each in self.store.states.quarantined(100)]


def pushed(data: bytes, id: str = "7", attempt: int = 1, subscription: str = SUBSCRIPTION) -> dict[str, Any]:
    message = {"data": base64.b64encode(data).decode(), "messageId": id, "attributes": {}}
    return {"subscription": f"projects/p/subscriptions/{subscription}", "message": message, "deliveryAttempt": attempt}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Sqlite(":memory:", attempts_max=ATTEMPTS_MAX)
    store.bus.subscribe(SUBSCRIPTION, "done")
    world, key = World(store), str(tmp_path)
    served[key] = world.endpoint = Endpoint(Identity(**WHO), once(world.parts))
    (tmp_path / "main.py").write_text(MAIN.format(key=key))
    app: Any = functions_framework.create_app("gate", str(tmp_path / "main.py"), "http")  # type: ignore[no-untyped-call]
    world.client = app.test_client()
    yield world
    del served[key]
    store.close()


def refuse(_: bytes) -> Refusal:
    return Refusal("run nba.2031-10-31.overnight.1 is not known")


def read(body: bytes) -> None:
    read_completion(body)


def fail(_: bytes) -> None:
    raise OSError("the store is away")


# --- messages -------------------------------------------------------------------------------------------


def test_a_message_is_handled_and_acknowledged(world: World) -> None:
    world.publish(b"one")
    world.publish(b"two")
    assert [(answer.status_code, answer.data) for answer in world.push()] == [(204, b"")] * 2
    assert world.heard == [b"one", b"two"]
    assert world.push() == []
    assert world.quarantine == []


def test_a_hopeless_message_is_kept_with_its_reason_once_however_often_it_comes(world: World) -> None:
    world.handle = refuse
    body = pushed(b"lost", "12")
    assert [world.client.post("/", json=body).status_code for _ in range(3)] == [204, 204, 204]
    assert world.quarantine == [(f"{SUBSCRIPTION}:12", "run nba.2031-10-31.overnight.1 is not known")]


def test_a_malformed_body_is_kept_with_what_is_wrong_with_it(world: World) -> None:
    world.handle = read
    world.publish(b"\x1b[31mnot JSON")
    assert [answer.status_code for answer in world.push()] == [204]
    [(_, reason)] = world.quarantine
    assert reason.startswith("malformed: Completion: not JSON")


def test_a_handler_that_raises_has_its_message_again(world: World) -> None:
    world.handle = fail
    world.publish(b"one")
    [answer] = world.push()
    assert (answer.status_code, answer.json) == (500, {"error": "not done; it may come again"})
    world.handle = lambda _: None
    assert [answer.status_code for answer in world.push()] == [204]
    assert world.heard == [b"one", b"one"]
    assert world.push() == []


def test_after_the_last_attempt_it_is_buried_with_its_error(world: World) -> None:
    world.handle = fail
    world.publish(b"one", run="r")
    answers = [answer.status_code for _ in range(ATTEMPTS_MAX) for answer in world.push()]
    assert answers == [500] * (ATTEMPTS_MAX - 1) + [204]
    [(letter, error)] = world.store.bus.dead_letters(10)
    assert (letter.data, letter.attempt, error) == (b"one", ATTEMPTS_MAX, "OSError: the store is away")
    assert world.quarantine == []


def test_a_topic_that_it_does_not_hear_is_quarantined(world: World) -> None:
    body = pushed(b"x", subscription=subscription_of("gate", "other\x1b[2J"))
    assert world.client.post("/", json=body).status_code == 204
    [(_, reason)] = world.quarantine
    assert reason == "gate does not hear topic 'other\\x1b[2J'; it hears done"
    assert world.heard == []


def test_what_names_no_topic_is_heard_where_there_is_only_one(world: World) -> None:
    assert world.client.post("/", json=pushed(b"x", subscription="mine")).status_code == 204
    assert world.heard == [b"x"]


def test_what_is_no_message_is_told_so_and_comes_again(world: World) -> None:
    answer = world.client.post("/", data=b"hello", content_type="application/json")
    assert answer.status_code == 400
    assert answer.json == {"error": "body: expected a Pub/Sub message in JSON: JSONDecodeError"}
    assert world.built == 0
    assert world.quarantine == []


def test_the_largest_message_that_the_service_brings_is_kept_cut(world: World) -> None:
    world.handle = read
    data = b"x" * 9_000_000
    assert world.client.post("/", json=pushed(data)).status_code == 204
    [kept] = world.store.states.quarantined(10)
    assert kept.reason == "malformed: body: 9000000 bytes, at most 1000000"
    assert kept.body == data[:QUARANTINE_BODY_MAX]
    assert not kept.is_whole


class Counted(io.RawIOBase):
    """A body as long as memory may well be, that says how much of it was read."""

    count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), 10 * REQUEST_BYTES_MAX - self.count)
        self.count += size
        buffer[:size] = b" " * size
        return size


def test_what_says_that_it_is_larger_than_any_message_is_not_read(world: World) -> None:
    body = Counted()
    sent = {"wsgi.input": body, "CONTENT_LENGTH": str(REQUEST_BYTES_MAX + 1)}
    answer = world.client.post("/", environ_overrides=sent)
    assert answer.status_code == 413
    assert answer.json == {"error": "16000001 bytes: a message has at most 16000000"}
    assert body.count == 0


def test_what_does_not_say_how_large_it_is_is_read_no_further_than_any_message(world: World) -> None:
    body = Counted()
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": body, "wsgi.input_terminated": True}
    answer = world.client.post("/", environ_overrides=chunked)
    assert answer.status_code == 400
    assert body.count == REQUEST_BYTES_MAX


def test_what_ends_before_it_says_is_no_message(world: World) -> None:
    whole = json.dumps(pushed(b"x")).encode()
    sent = {"wsgi.input": io.BytesIO(whole), "CONTENT_LENGTH": str(len(whole) + 1)}
    answer = world.client.post("/", environ_overrides=sent)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"].startswith("the body ends before it says")
    assert world.heard == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/"), ("DELETE", "/"), ("PATCH", "/health"), ("GET", "/"), ("GET", "/healthy"), ("POST\n", "/")],
    ids=["replace", "delete", "change its health", "look", "look beside", "a method with a line break"],
)
def test_any_other_request_is_told_what_is_possible(world: World, method: str, path: str) -> None:
    answer = world.client.open(path, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert answer.json == {"error": f"{method}: messages come by POST; GET knows /health and /ready"}
    assert world.built == 0


def test_whatever_can_be_got_has_a_head_and_says_what_is_possible(world: World) -> None:
    answer = world.client.head("/health")
    assert (answer.status_code, answer.data) == (200, b"")
    for path in ("/", "/health"):
        answer = world.client.options(path)
        assert (answer.status_code, answer.headers["Allow"], answer.data) == (204, "GET, POST", b"")
    assert world.client.get("/openapi.json").status_code == 405, "it has no routes to tell of"
    assert world.built == 0


# --- routes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """How often."""

    times: int
    who: str = ""


ROUTES = (
    Route(method="POST", path="/ring", does="Ring.", asks=Ring, answers={200: Answer(why="Rung.", of=Ring)}),
    Route(method="GET", path="/bell", does="Look.", answers={200: Answer(why="It hangs.", of=Ring)}),
    Route(method="POST", path="/done", does="Hear.", hears="done", answers={204: Answer(why="Heard.")}),
)


@pytest.fixture
def bell(world: World) -> World:
    """The same, with routes of its own."""

    def ring(asked: Ring, who: str) -> Reply:
        return Reply(status=200, value=replace(asked, who=who), headers={"Retry-After": "7"})

    world.endpoint.routes = ROUTES
    world.routes |= {("POST", "/ring"): ring, ("GET", "/bell"): lambda _, who: Reply(status=200, value=Ring(times=0))}
    return world


def test_a_route_does_what_it_declares(bell: World) -> None:
    answer = bell.client.post("/ring", json={"times": 3})
    assert (answer.status_code, answer.json, answer.headers["Retry-After"]) == (200, {"times": 3, "who": "http"}, "7")
    assert answer.headers["Content-Type"] == "application/json"
    assert bell.client.get("/bell/").json == {"times": 0}


def test_what_was_counted_is_sent_before_it_is_answered(bell: World) -> None:
    bell.client.post("/ring", json={"times": 3})
    assert bell.sent == 1
    bell.routes["POST", "/ring"] = broken
    bell.client.post("/ring", json={"times": 3})
    assert bell.sent == 2, "also of what failed"
    bell.client.post("/", json=pushed(b"one", "1"))
    assert bell.sent == 3
    bell.client.get("/health")
    assert bell.sent == 3


def test_what_no_route_can_read_builds_nothing(bell: World) -> None:
    wrong = [
        (bell.client.post("/ring", json={"times": "3"}), 400),
        (bell.client.post("/ring", data=b"{}", content_type="text/plain"), 415),
        (bell.client.post("/ring", data=b" " * 65_537, content_type="application/json"), 413),
        (bell.client.get("/bell?loud=yes"), 400),
        (bell.client.get("/ring"), 405),
        (bell.client.get("/"), 404),
        (bell.client.get("/rings"), 404),
        (bell.client.post("/rings", json={"times": 3}), 404),
    ]
    assert [(answer.status_code, set(answer.json or {})) for answer, _ in wrong] == [(s, {"error"}) for _, s in wrong]
    assert bell.client.get("/openapi.json").status_code == 200
    assert bell.built == 0


def test_a_body_that_ends_before_it_says_is_not_read(bell: World) -> None:
    sent = {"wsgi.input": io.BytesIO(b'{"times": 3}'), "CONTENT_LENGTH": "13"}
    answer = bell.client.post("/ring", environ_overrides=sent, content_type="application/json")
    assert (answer.status_code, answer.json) == (400, {"error": "the body ends before it says; send it whole"})


def broken(_: object, who: str) -> Reply:
    raise OSError("password=secret")


@pytest.mark.parametrize(
    "respond",
    [
        broken,
        lambda _, who: Reply(status=201, value=Ring(times=1)),
        lambda _, who: Reply(status=200, value=Refused("no")),
    ],
    ids=["it raises", "a status that is not declared", "a value that is not declared"],
)
def test_what_breaks_behind_a_route_is_told_without_its_cause(bell: World, respond: Responder) -> None:
    bell.routes["POST", "/ring"] = respond
    answer = bell.client.post("/ring", json={"times": 3})
    assert (answer.status_code, answer.json) == (500, {"error": "not done; it may be asked again"})


def test_messages_come_as_before_to_a_function_with_routes(bell: World) -> None:
    assert bell.client.post("/", json=pushed(b"one", "1")).status_code == 204
    assert bell.client.post("/projects/p/topics/t", json=pushed(b"two", "2")).status_code == 204
    assert bell.client.post("/done", json=pushed(b"3" * 100_000, "3", subscription="mine")).status_code == 204
    assert bell.heard == [b"one", b"two", b"3" * 100_000]


def test_a_message_may_be_larger_than_a_request_but_has_its_bound(bell: World) -> None:
    sent = {"wsgi.input": Counted(), "CONTENT_LENGTH": str(REQUEST_BYTES_MAX + 1)}
    assert bell.client.post("/done", environ_overrides=sent).status_code == 413


# --- parts ----------------------------------------------------------------------------------------------


def test_requests_that_come_first_together_build_the_parts_once(world: World) -> None:
    world.build = lambda: time.sleep(0.05)  # long enough for a second one to begin, where it could
    together, answers = threading.Barrier(8), list[int]()

    def ask(number: int) -> None:
        together.wait()
        client = world.client.application.test_client()
        answers.append(client.post("/", json=pushed(b"x", str(number))).status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 8
    assert world.built == 1


def test_parts_that_cannot_be_built_are_built_at_the_next_request(world: World) -> None:
    world.publish(b"one")

    def away() -> None:
        raise OSError("no route to the store")

    world.build = away
    assert [answer.status_code for answer in world.push()] == [500]
    answer = world.client.get("/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    assert [(each["name"], each["why"]) for each in answer.json["checks"]] == [
        ("parts", "OSError: no route to the store")
    ]
    world.build = lambda: None
    assert [answer.status_code for answer in world.push()] == [204]
    assert world.heard == [b"one"]


# --- how it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/health/", "/projects/p/health"])
def test_health_says_who_it_is_and_touches_nothing(world: World, path: str) -> None:
    answer = world.client.get(path)
    assert (answer.status_code, answer.json) == (200, {"status": "alive", **WHO})
    assert world.built == 0


def test_ready_names_each_check_and_why_it_failed(world: World) -> None:
    def away() -> None:
        raise OSError("refused\nsecond line")

    world.checks = {"state": lambda: None, "warehouse": away}
    answer = world.client.get("/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    told = {key: answer.json[key] for key in ("status", *WHO)}
    assert told == {"status": "not_ready", **WHO}
    found = [(each["name"], each["ok"], each["why"]) for each in answer.json["checks"]]
    assert found == [("state", True, ""), ("warehouse", False, "OSError: refused")]
    assert all(each["ms"] >= 0 for each in answer.json["checks"])

    world.checks["warehouse"] = lambda: None
    answer = world.client.get("/ready")
    assert answer.json is not None
    assert (answer.status_code, answer.json["status"]) == (200, "ready")


def test_ready_says_of_what_a_check_is_and_needs_those_of_the_installation_too(world: World) -> None:
    def stands_still() -> None:
        raise OSError("no heartbeat")

    world.checks, world.installation = {"state": lambda: None}, {"heartbeat": stands_still}
    answer = world.client.get("/ready")
    assert answer.status_code == 503, "who asks from outside must hear of it"
    assert answer.json is not None
    found = [(each["name"], each["of"], each["ok"]) for each in answer.json["checks"]]
    assert found == [("state", "revision", True), ("heartbeat", "installation", False)]


def test_a_check_that_hangs_is_left_behind_and_keeps_no_other_from_answering(world: World) -> None:
    release = threading.Event()
    world.checks = {"hangs": release.wait, "state": lambda: None}
    world.endpoint.ready_s = 1.0
    try:
        answer = world.client.get("/ready")
    finally:
        release.set()
    assert answer.status_code == 503
    assert answer.json is not None
    assert [(each["name"], each["ok"], each["why"]) for each in answer.json["checks"]] == [
        ("hangs", False, "no answer in 1 s"),
        ("state", True, ""),
    ]


def test_a_check_that_hangs_for_ever_has_one_thread_however_often_it_is_asked(world: World) -> None:
    release, asked = threading.Event(), list[str]()

    def hang() -> None:
        asked.append("hangs")
        release.wait()

    world.checks = {"hangs": hang}
    world.endpoint.ready_s = 0.01
    try:
        answers = {world.client.get("/ready").status_code for _ in range(100)}
        threads = [each for each in threading.enumerate() if each.name == "ready: hangs"]
        assert (answers, asked, len(threads)) == ({503}, ["hangs"], 1)
        assert all(each.daemon for each in threads), "a process could not end"
    finally:
        release.set()
    for each in threads:
        each.join()
    world.endpoint.ready_s = 30.0
    assert world.client.get("/ready").status_code == 200
    assert asked == ["hangs", "hangs"]


# --- work in its time -----------------------------------------------------------------------------------

START = Start(
    run=RunKey("nba", date(2031, 10, 31), "overnight"),
    phase="raw",
    processor="games",
    attempt=2,
    timeout_s=60,
    partition=date(2031, 10, 31),
    fence=1,
    issued_at=NOON,
)


def done(start: Start) -> Completion:
    return replace(edge.failure(start, "", 0.0), status=Status.SUCCESS)


def test_work_that_ends_in_time_is_reported_as_it_ended() -> None:
    assert edge.perform_in_time(START, done).status is Status.SUCCESS


def test_work_that_raises_is_reported_as_failed() -> None:
    def away(_: Start) -> Completion:
        raise OSError("the warehouse is away")

    report = edge.perform_in_time(START, away)
    assert (report.status, report.attempt, report.reason) == (Status.FAILED, 2, "OSError: the warehouse is away")


def test_work_that_is_out_of_its_time_is_reported_as_failed_while_it_goes_on() -> None:
    release, ended = threading.Event(), threading.Event()

    def slow(start: Start) -> Completion:
        release.wait()
        ended.set()
        return done(start)

    report = edge.perform_in_time(replace(START, timeout_s=0), slow)
    assert (report.id, report.status) == (done(START).id, Status.FAILED)
    assert report.reason == "timed out after 0 s"
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)
