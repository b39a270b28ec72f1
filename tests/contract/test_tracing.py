"""The port Tracer on OpenTelemetry, against a small collector: what it is sent, and that it costs the work nothing."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SentStatus

from shared.adapters.outlet import QUIET_S
from shared.adapters.sqlite import Sqlite
from shared.adapters.tracing import ATTRIBUTES_MAX, SPANS_MAX, VALUE_MAX, Spans, open_tracer
from shared.core.fold import View
from shared.core.messages import Message, completion_message, read_completion, read_start
from shared.core.model import PipelineSpec, Reading, ReadingVerdict
from shared.core.traceparent import TRACEPARENT, read_traceparent, write_traceparent
from shared.logs import about, configure, trace_of
from shared.ports import NO_TRACE, Delivery, Ports, Tracer
from shared.service import Service, publish
from tests.contract.collector import OtlpServer, collecting
from tests.flow.test_path_of_a_completion import RUN, HandClock, completion, line
from tests.house.tree import ROOT

PATIENT_S = 60.0  # where the collector answers: so that a busy machine loses no span
NAME = write_traceparent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


class Collector(OtlpServer):
    """Takes spans over OTLP/HTTP, and keeps them. It may answer with an error, late, or drop by drop."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port, Answers)
        self.requests: list[ExportTraceServiceRequest] = []
        self.manner = "at once"
        self.came = threading.Semaphore(0)  # one for each request

    @property
    def spans(self) -> list[SentSpan]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[SentSpan]:
        return [span for span in self.spans if span.name == name]


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.server.came.release()
        if self.server.manner == "never":
            self.server.enough.wait()
        drops = self.server.manner == "drop by drop"
        self.send_response(self.server.status)
        self.send_header("Content-Length", "1000000" if drops else "0")
        self.end_headers()
        while drops and not self.server.enough.wait(0.01):  # sooner than any limit for a single read
            try:
                self.wfile.write(b".")
            except OSError:
                return
        self.close_connection = drops

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def tracing(endpoint: str, limit_s: float = PATIENT_S, clock: Callable[[], float] = lambda: 0.0) -> Iterator[Spans]:
    tracer = open_tracer(endpoint, service="phase2_to_phase3", commit="0123abc", limit_s=limit_s, clock=clock)
    try:
        yield tracer
    finally:
        tracer.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting(Collector()) as collector:
        yield collector


@pytest.fixture
def tracer(collector: Collector) -> Iterator[Spans]:
    with tracing(collector.endpoint) as tracer:
        yield tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """A reading that finds nothing wrong, and says so in a span and in a line."""

    name: str
    trace: Tracer

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        with self.trace.span("probe", name=self.name):
            logging.getLogger("tipoff.test").warning("%s is well", self.name)
        return Reading(name=self.name, verdict=ReadingVerdict.PASS, note="well")


def asking_line(*readings: str) -> PipelineSpec:
    """Two phases of one processor; the gate into the second asks for readings."""
    spec = line(phases=2, processors=1)
    first, second = spec.phases
    return replace(spec, phases=(replace(first, processors=first.processors[:1]), replace(second, readings=readings)))


@dataclass
class Line:
    """The shipped service on embedded stores, its processors, and every message that travels between them."""

    trace: Tracer
    readings: tuple[str, ...] = ("health",)
    store: Sqlite = field(default_factory=lambda: Sqlite(":memory:"))
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        spec = asking_line(*self.readings)
        readers = {name: Passes(name=name, trace=self.trace) for name in self.readings}
        ports = Ports(states=self.store.states, bus=self.store.bus, clock=self.clock, readers=readers)
        self.ports = replace(ports, trace=self.trace)
        self.service = Service(self.ports, {"line": spec}, starts_missing_runs=False)
        self.starting = [phase.start_topic for phase in spec.phases]
        self.completing = {phase.name: phase.completion_topic for phase in spec.phases}
        for topic in (*self.starting, *self.completing.values()):
            self.ports.bus.subscribe(topic, topic)

    def start(self) -> None:
        with self.trace.receiving({}):
            assert self.service.start_run(RUN)

    def work(self) -> Delivery:
        """The one processor that is due does its work and reports; the start that it got."""
        (delivery,) = self._pull(self.starting)
        with self.trace.receiving(delivery.attributes):
            done = completion(read_start(delivery.data))
            message = completion_message(done, self.completing[done.phase])
            publish(self.ports.bus, self.trace, [message], self.clock.now(), run=RUN)
        return delivery

    def hear(self) -> Delivery:
        """The gate hears the one completion that there is."""
        (delivery,) = self._pull([*self.completing.values()])
        with self.trace.receiving(delivery.attributes):
            assert self.service.on_completion(read_completion(delivery.data)) is None
        return delivery

    def whole(self) -> list[Delivery]:
        """The whole run: what travelled."""
        self.start()
        travelled = [self.work(), self.hear(), self.work(), self.hear()]
        assert [entry.decision for entry in self.store.states.ledger(RUN)][-1] == "done"
        return travelled

    def _pull(self, topics: list[str]) -> list[Delivery]:
        deliveries = self.ports.bus.pull(topics, limit=10, now=self.clock.now(), lease_s=60)
        self.ports.bus.ack(deliveries)
        return deliveries


@contextmanager
def on_a_line(trace: Tracer, readings: tuple[str, ...] = ("health",)) -> Iterator[Line]:
    line = Line(trace, readings)
    try:
        yield line
    finally:
        line.store.close()


def told(span: SentSpan) -> dict[str, str | int]:
    return {attribute.key: attribute.value.int_value or attribute.value.string_value for attribute in span.attributes}


def linked(span: SentSpan) -> list[tuple[bytes, bytes]]:
    return [(link.trace_id, link.span_id) for link in span.links]


# --- what is sent ----------------------------------------------------------------------------------------


def test_the_work_on_one_message_is_one_trace(collector: Collector, tracer: Spans) -> None:
    with on_a_line(tracer) as line:
        line.start()
        line.work()
        collector.requests.clear()
        line.hear()
    assert len(collector.requests) == 1, "all of a message in one request"
    ingest = collector.spans[-1]
    children = [span for span in collector.spans if span.parent_span_id == ingest.span_id]
    assert ingest.name == "ingest"
    assert not ingest.parent_span_id
    rest = [span for span in collector.spans if span.name != "probe"]
    assert [*children, ingest] == rest, "each inside the ingest, in the order of their ends"
    assert [(span.name, told(span).get("tipoff.phase"), told(span).get("tipoff.decision")) for span in children] == [
        ("decide", "p1", "ask"),
        ("gather", "p1", None),  # and the reading's own inside it
        ("decide", "p1", "open"),
        ("apply", "p1", "open"),
        ("publish", None, None),
        ("decide", "end", "wait"),  # whoever wrote looks once more
    ]
    assert {span.trace_id for span in collector.spans} == {ingest.trace_id}
    assert {told(span)["tipoff.run"] for span in rest} == {str(RUN)}
    assert told(ingest) == {
        "tipoff.run": str(RUN),
        "tipoff.phase": "p0",
        "tipoff.processor": "p0_0",
        "tipoff.attempt": "1",
    }
    assert (ingest.kind, children[4].kind) == (SentSpan.SPAN_KIND_CONSUMER, SentSpan.SPAN_KIND_PRODUCER)
    (resource,) = collector.requests[0].resource_spans
    assert {a.key: a.value.string_value for a in resource.resource.attributes} == {
        "service.name": "phase2_to_phase3",
        "service.version": "0123abc",
    }


def test_what_is_received_is_linked_to_what_was_published(collector: Collector, tracer: Spans) -> None:
    with on_a_line(tracer) as line:
        line.whole()
    published, received = collector.named("publish"), collector.named("ingest")
    assert (len(published), len(received)) == (4, 5)
    first, *others = received
    assert not linked(first), "nobody published what started the run"
    assert [linked(span) for span in others] == [[(span.trace_id, span.span_id)] for span in published]
    assert len({span.trace_id for span in received}) == 5, "each message has a trace of its own"


def test_readings_that_are_asked_at_once_belong_to_the_work_that_asked(
    collector: Collector, tracer: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    with on_a_line(tracer, ("health", "freshness")) as line:
        line.start()
        line.work()
        configure("WARNING", function="phase2_to_phase3", commit="0123abc", project="acme")
        try:
            with about(run=RUN):
                line.hear()
        finally:
            root.handlers[:] = before
    (gather,) = collector.named("gather")
    probes = collector.named("probe")
    assert {told(span)["tipoff.name"] for span in probes} == {"health", "freshness"}
    assert {span.parent_span_id for span in probes} == {gather.span_id}
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [text["logging.googleapis.com/labels"]["run"] for text in lines] == [str(RUN)] * 2


def test_a_message_received_within_the_work_on_another_has_a_trace_of_its_own(
    collector: Collector, tracer: Spans
) -> None:
    with tracer.receiving({"run": "outer"}), tracer.receiving({"run": "inner"}):
        pass
    inner, outer = collector.spans
    assert inner.trace_id != outer.trace_id
    assert not inner.parent_span_id


def test_work_that_fails_says_its_class_and_nothing_else(collector: Collector, tracer: Spans) -> None:
    with pytest.raises(ValueError, match="s3cret"), tracer.receiving({}), tracer.span("decide"):
        raise ValueError("s3cret")
    assert [(span.status.code, span.status.message) for span in collector.spans] == [
        (SentStatus.STATUS_CODE_ERROR, "ValueError")
    ] * 2
    assert b"s3cret" not in b"".join(request.SerializeToString() for request in collector.requests)


def test_no_body_and_no_strange_attribute_is_sent(collector: Collector, tracer: Spans) -> None:
    with tracer.receiving({"run": "r" * 10_000, "phase": "\ud800", "token": "s3cret", "": "s3cret"}):
        pass
    (span,) = collector.spans
    assert told(span) == {"tipoff.run": "r" * VALUE_MAX, "tipoff.phase": "?"}


STRANGE = ["", "nonsense", NAME.upper(), NAME + "-more", "x" * 1_000_000, "00-" + "0" * 32 + NAME[35:], "\ud800\n"]


@pytest.mark.parametrize("name", STRANGE, ids=range(len(STRANGE)))
def test_a_publisher_that_names_no_span_is_not_linked(collector: Collector, tracer: Spans, name: str) -> None:
    with tracer.receiving({TRACEPARENT: name}):
        pass
    assert [linked(span) for span in collector.spans] == [[]]


def test_each_thread_has_its_own_trace(collector: Collector, tracer: Spans) -> None:
    both = threading.Barrier(2)

    def receive(run: str) -> None:
        with tracer.receiving({"run": run}):
            both.wait()
            with tracer.span("decide", run=run):
                both.wait()

    threads = [threading.Thread(target=receive, args=(run,)) for run in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ingests = {told(span)["tipoff.run"]: span for span in collector.named("ingest")}
    inside = {told(span)["tipoff.run"]: span for span in collector.named("decide")}
    assert ingests["one"].trace_id != ingests["two"].trace_id
    assert {run: span.parent_span_id for run, span in inside.items()} == {
        run: span.span_id for run, span in ingests.items()
    }


def test_a_walk_of_very_many_spans_is_cut(collector: Collector, tracer: Spans) -> None:
    with tracer.receiving({}):
        for _ in range(SPANS_MAX + 10):
            with tracer.span("decide"):
                pass
    assert len(collector.spans) == SPANS_MAX


# --- what a message carries ------------------------------------------------------------------------------


def test_a_message_carries_the_span_it_is_published_in(collector: Collector, tracer: Spans) -> None:
    with tracer.span("publish"):
        carried = tracer.carry({"run": "nba.x", TRACEPARENT: NAME})
    (span,) = collector.spans
    assert carried == {
        "run": "nba.x",
        TRACEPARENT: write_traceparent(span.trace_id.hex(), span.span_id.hex()),
    }


def test_a_log_line_can_name_the_span_it_is_written_in(collector: Collector, tracer: Spans) -> None:
    with tracer.receiving({}):
        trace = trace_of(tracer.carry({}))
    (span,) = collector.spans
    assert trace == (span.trace_id.hex(), span.span_id.hex())


def attributes(count: int) -> dict[str, str]:
    return {f"k{number}": "v" for number in range(count)}


FULL = [
    pytest.param(attributes(ATTRIBUTES_MAX - 1), True, id="the last place is the span's"),
    pytest.param(attributes(ATTRIBUTES_MAX), False, id="no place is left"),
    pytest.param({**attributes(ATTRIBUTES_MAX - 1), TRACEPARENT: NAME}, True, id="it takes the place of another"),
]


@pytest.mark.parametrize(("attributes", "fits"), FULL)
def test_a_message_carries_no_more_than_a_bus_takes(tracer: Spans, attributes: Mapping[str, str], fits: bool) -> None:
    with tracer.span("publish"):
        carried = tracer.carry(attributes)
    assert len(carried) <= ATTRIBUTES_MAX
    assert (carried is attributes) is not fits


def test_outside_of_a_span_a_message_carries_what_it_has(tracer: Spans) -> None:
    attributes = {"run": "nba.x"}
    assert tracer.carry(attributes) is attributes


def test_publishing_twice_changes_no_message(tracer: Spans) -> None:
    with on_a_line(tracer) as line:
        message = Message(topic=line.starting[0], data=b"a", attributes={"run": "nba.x"})
        publish(line.ports.bus, tracer, [message], line.clock.now(), run=RUN)
        publish(line.ports.bus, tracer, [message], line.clock.now(), run=RUN)
        names = [delivery.attributes[TRACEPARENT] for delivery in line._pull(line.starting)]
    assert message.attributes == {"run": "nba.x"}
    assert len({read_traceparent(name) for name in names}) == 2


# --- a collector that is out of order ----------------------------------------------------------------------


def test_without_a_collector_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held, and not listened to
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with tracing(endpoint, limit_s=0.5) as tracer, on_a_line(tracer) as line:
            line.whole()
    lines = [record.getMessage() for record in caplog.records if record.name == "tipoff.tracing"]
    assert lines == [f"5 spans lost: {endpoint} did not take them within 0.5 s; none are sent for 60 s"], "said once"


@pytest.mark.parametrize("manner", ["never", "drop by drop"])
def test_a_collector_that_does_not_come_to_an_end_holds_nothing_up(collector: Collector, manner: str) -> None:
    collector.manner = manner
    with tracing(collector.endpoint, limit_s=0.05) as tracer, on_a_line(tracer) as line:
        line.whole()  # comes to an end although no answer does
        assert not collector.enough.is_set()
        collector.enough.set()


def test_an_endpoint_that_can_be_none_costs_no_work() -> None:
    with tracing("nonsense", limit_s=0.5) as tracer, on_a_line(tracer) as line:
        line.whole()


def test_a_collector_that_failed_is_left_alone_and_tried_again(collector: Collector) -> None:
    now = [1000.0]
    with tracing(collector.endpoint, clock=lambda: now[0]) as tracer:

        def receive(run: str) -> None:
            with tracer.receiving({"run": run}):
                pass

        collector.status = 400
        receive("refused")
        collector.status = 200
        now[0] += QUIET_S - 1
        receive("left alone")
        now[0] += 1
        receive("tried again")
        receive("and on")
    assert [told(span)["tipoff.run"] for span in collector.spans] == ["refused", "tried again", "and on"]


def test_one_tries_again_while_the_others_go_on(collector: Collector) -> None:
    now = [1000.0]
    with tracing(collector.endpoint, clock=lambda: now[0]) as tracer:

        def receive(run: str) -> None:
            with tracer.receiving({"run": run}):
                pass

        collector.status = 400
        receive("refused")
        collector.status, collector.manner = 200, "never"
        now[0] += QUIET_S
        trying = threading.Thread(target=receive, args=("tries",))
        trying.start()
        for _ in range(2):
            collector.came.acquire()
        receive("goes on")  # comes to an end although the one that tries waits
        assert trying.is_alive()
        collector.enough.set()
        trying.join()
    assert [told(span)["tipoff.run"] for span in collector.spans] == ["refused", "tries"]


# --- nobody watches ----------------------------------------------------------------------------------------


def test_without_a_tracer_messages_travel_as_they_are() -> None:
    with on_a_line(NO_TRACE) as line:
        travelled = line.whole()
    assert {key for delivery in travelled for key in delivery.attributes} == {"run", "phase", "processor", "attempt"}


def test_without_a_tracer_a_span_is_one_and_the_same() -> None:
    attributes = {"run": "nba.x"}
    assert NO_TRACE.span("decide", run=RUN) is NO_TRACE.receiving(attributes) is NO_TRACE
    assert NO_TRACE.carry(attributes) is attributes
    NO_TRACE.note(decision="open")
    with pytest.raises(KeyError), NO_TRACE.span("decide"):
        raise KeyError


def test_without_a_tracer_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, shared.service, shared.ports, shared.edge, shared.logs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "shared.service" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry")]
