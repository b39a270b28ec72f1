"""The port Meter on OpenTelemetry, against a small collector: what it is sent, and that it costs the work nothing."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.trace import TracerProvider

from shared import edge
from shared.adapters.metering import SERIES_MAX, VALUE_MAX, Numbers, open_meter
from shared.adapters.outlet import QUIET_S
from shared.adapters.sqlite import Sqlite
from shared.config.metrics import METRICS, SECONDS
from shared.core.measures import Measure
from shared.core.messages import completion_message, read_completion, read_start
from shared.ports import NO_METER, Delivery, Meter, Ports
from shared.service import Refusal, Service
from tests.contract.collector import OtlpServer, collecting
from tests.flow.test_path_of_a_completion import RUN, HandClock, completion, line
from tests.house.tree import ROOT

PATIENT_S = 60.0  # where the collector answers: so that a busy machine loses nothing
STARTS = Measure("tipoff.starts", 2, {"pipeline": "nba", "mode": "overnight", "phase": "raw"})
READY = Measure("tipoff.ready.duration", 90.0, {"pipeline": "nba", "mode": "overnight", "phase": "raw"})


class Collector(OtlpServer):
    """Takes metrics over OTLP/HTTP, and keeps them. It may answer with an error, or never."""

    def __init__(self) -> None:
        super().__init__(0, Answers)
        self.requests: list[ExportMetricsServiceRequest] = []
        self.answers = True

    @property
    def last(self) -> dict[str, Metric]:
        """The metrics of the last request, by name."""
        [resource] = self.requests[-1].resource_metrics
        [scope] = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


class Answers(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/metrics"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportMetricsServiceRequest.FromString(body))
        if not self.server.answers:
            self.server.enough.wait()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting(Collector()) as collector:
        yield collector


@contextmanager
def metering(endpoint: str, limit_s: float = PATIENT_S, clock: Callable[[], float] = lambda: 0.0) -> Iterator[Numbers]:
    meter = open_meter(endpoint, METRICS, service="self_heal", commit="0123abc", limit_s=limit_s, clock=clock)
    try:
        yield meter
    finally:
        meter.close()


@pytest.fixture
def meter(collector: Collector) -> Iterator[Numbers]:
    with metering(collector.endpoint) as meter:
        yield meter


def told(point: Any) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in point.attributes}


# --- what is sent ----------------------------------------------------------------------------------------


def test_nothing_is_sent_before_it_is_asked_for_and_then_all_at_once(collector: Collector, meter: Numbers) -> None:
    meter.add([STARTS, READY])
    assert not collector.requests
    meter.send()
    assert len(collector.requests) == 1
    assert set(collector.last) == {"tipoff.starts", "tipoff.ready.duration"}


def test_a_counter_is_a_rising_sum_of_whole_numbers_with_its_labels(collector: Collector, meter: Numbers) -> None:
    for _ in range(2):
        meter.add([STARTS])
        meter.send()
    metric = collector.last["tipoff.starts"]
    assert (metric.unit, metric.description) == ("{start}", "Orders to processors that were claimed, to be sent.")
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    [point] = metric.sum.data_points
    assert (point.as_int, told(point)) == (4, STARTS.labels)
    assert point.start_time_unix_nano < point.time_unix_nano


def test_seconds_are_spread_over_the_declared_buckets(collector: Collector, meter: Numbers) -> None:
    meter.add([READY, replace(READY, value=121.5)])
    meter.send()
    metric = collector.last["tipoff.ready.duration"]
    [point] = metric.histogram.data_points
    assert metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert (point.count, point.sum) == (2, 211.5)
    assert list(point.explicit_bounds) == list(SECONDS)
    buckets = dict(zip([*SECONDS, None], point.bucket_counts, strict=True))
    assert {bound: count for bound, count in buckets.items() if count} == {90: 1, 180: 1}


def test_a_gauge_is_what_it_was_last(collector: Collector, meter: Numbers) -> None:
    meter.add([Measure("tipoff.dead_letters", 7), Measure("tipoff.dead_letters", 3)])
    meter.send()
    [point] = collector.last["tipoff.dead_letters"].gauge.data_points
    assert point.as_int == 3


def test_every_declared_metric_is_sent_as_it_is_declared(collector: Collector, meter: Numbers) -> None:
    meter.add(Measure(spec.name, 1.0, dict.fromkeys(spec.labels, "x")) for spec in METRICS)
    meter.send()
    assert {name: (metric.unit, metric.description) for name, metric in collector.last.items()} == {
        spec.name: (spec.unit, spec.does) for spec in METRICS
    }


def test_who_counts_is_named_and_each_process_is_a_series_of_its_own(collector: Collector) -> None:
    named = []
    for _ in range(2):
        with metering(collector.endpoint) as meter:
            meter.add([STARTS])
            meter.send()
        [resource] = collector.requests[-1].resource_metrics
        named.append({each.key: each.value.string_value for each in resource.resource.attributes})
    instances = [about.pop("service.instance.id") for about in named]
    assert len(set(instances)) == 2
    assert named == [{"service.name": "self_heal", "service.version": "0123abc"}] * 2


def test_no_trace_is_named_and_no_text_is_longer_than_a_word(collector: Collector, meter: Numbers) -> None:
    with TracerProvider(shutdown_on_exit=False).get_tracer("tests").start_as_current_span("ingest"):
        meter.add([Measure("tipoff.starts", 1, {"pipeline": "p" * 1_000, "mode": "m", "phase": "p", "run": "nba.x"})])
    meter.send()
    [point] = collector.last["tipoff.starts"].sum.data_points
    assert told(point) == {"pipeline": "p" * VALUE_MAX, "mode": "m", "phase": "p"}
    assert not point.exemplars


def test_of_too_many_series_the_rest_is_one(collector: Collector, meter: Numbers) -> None:
    labels = {"pipeline": "nba", "mode": "overnight"}
    meter.add(Measure("tipoff.starts", 1, {**labels, "phase": str(number)}) for number in range(SERIES_MAX + 100))
    meter.send()
    assert len(collector.last["tipoff.starts"].sum.data_points) == SERIES_MAX + 1


def test_what_has_been_sent_is_not_sent_again(collector: Collector, meter: Numbers) -> None:
    meter.send()
    meter.add([STARTS])
    for _ in range(3):
        meter.send()
    assert len(collector.requests) == 1


def test_threads_lose_nothing_of_what_they_count(collector: Collector, meter: Numbers) -> None:
    def count() -> None:
        for _ in range(50):
            meter.add([STARTS])
            meter.send()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [point] = collector.last["tipoff.starts"].sum.data_points
    assert point.as_int == 400
    sums = [request.resource_metrics[0].scope_metrics[0].metrics[0] for request in collector.requests]
    values = [metric.sum.data_points[0].as_int for metric in sums]
    assert values == sorted(values), "no older sum comes after a newer one"


# --- a collector that is out of order ----------------------------------------------------------------------


def test_without_a_collector_the_work_goes_on_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held, and not listened to
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with metering(endpoint, limit_s=0.5) as meter, on_a_line(meter) as line:
            line.whole()
    lines = [record.getMessage() for record in caplog.records if record.name == "tipoff.metering"]
    assert lines == [f"numbers not sent: {endpoint} did not take them within 0.5 s; none are sent for 60 s"]


def test_a_collector_that_does_not_answer_holds_nothing_up(collector: Collector) -> None:
    collector.answers = False
    with metering(collector.endpoint, limit_s=0.05) as meter, on_a_line(meter) as line:
        line.whole()  # comes to an end although no answer does
        assert not collector.enough.is_set()
        collector.enough.set()


def test_what_was_not_taken_is_in_what_is_sent_when_it_is_tried_again(collector: Collector) -> None:
    now = [1000.0]
    with metering(collector.endpoint, clock=lambda: now[0]) as meter:
        collector.status = 400
        meter.add([STARTS])
        meter.send()
        collector.status = 200
        meter.add([STARTS])
        now[0] += QUIET_S - 1
        meter.send()
        assert len(collector.requests) == 1, "left alone"
        now[0] += 1
        meter.send()  # though nothing is new
    [point] = collector.last["tipoff.starts"].sum.data_points
    assert point.as_int == 4


# --- of the shipped service --------------------------------------------------------------------------------


@dataclass
class Line:
    """The shipped service on embedded stores, its messages handled by the rim of every function."""

    meter: Meter
    store: Sqlite = field(default_factory=lambda: Sqlite(":memory:"))
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.spec = line(phases=2, processors=1)
        states, bus = self.store.states, self.store.bus
        self.ports = Ports(states=states, bus=bus, clock=self.clock, meter=self.meter)
        self.service = Service(self.ports, {"line": self.spec}, starts_missing_runs=False)
        for phase in self.spec.phases:
            bus.subscribe(phase.start_topic, phase.start_topic)
            bus.subscribe(phase.completion_topic, phase.completion_topic)

    def whole(self) -> None:
        self.service.start_run(RUN)
        for phase in self.spec.phases:
            for start in [read_start(delivery.data) for delivery in self.pull(phase.start_topic)]:
                self.ports.bus.publish(
                    [completion_message(completion(start), phase.completion_topic)], self.clock.now()
                )
            for delivery in self.pull(phase.completion_topic):
                assert edge.handle(delivery, self.hear, self.ports)

    def hear(self, body: bytes) -> Refusal | None:
        return self.service.on_completion(read_completion(body))

    def pull(self, topic: str) -> list[Delivery]:
        deliveries = self.ports.bus.pull([topic], limit=10, now=self.clock.now(), lease_s=60)
        self.ports.bus.ack(deliveries)
        return deliveries


@contextmanager
def on_a_line(meter: Meter) -> Iterator[Line]:
    made = Line(meter)
    try:
        yield made
    finally:
        made.store.close()


def test_what_was_counted_of_a_message_is_sent_when_it_is_done_with(collector: Collector, meter: Numbers) -> None:
    with on_a_line(meter) as line:
        line.whole()
    assert len(collector.requests) > 1
    kinds = {told(point)["kind"]: point.as_int for point in collector.last["tipoff.decisions"].sum.data_points}
    assert kinds["done"] == 1
    assert RUN.pipeline in str(collector.last)
    assert str(RUN) not in str(collector.requests), "no id of a run"


def test_what_was_counted_of_a_message_that_failed_is_sent_too(collector: Collector, meter: Numbers) -> None:
    def fails(_: bytes) -> Refusal | None:
        meter.add([STARTS])
        raise ValueError("the world")

    with on_a_line(meter) as line:
        line.service.start_run(RUN)
        topic = line.spec.phases[0].start_topic
        [delivery, *_] = line.ports.bus.pull([topic], limit=1, now=line.clock.now(), lease_s=60)
        assert not edge.handle(delivery, fails, line.ports)
    assert collector.requests


def test_without_a_meter_no_number_is_even_made(caplog: pytest.LogCaptureFixture) -> None:
    def never() -> Iterator[Measure]:
        raise AssertionError
        yield STARTS

    NO_METER.add(never())
    NO_METER.send()
    with caplog.at_level(logging.WARNING), on_a_line(NO_METER) as line:
        line.whole()
    assert not caplog.records


def test_without_a_meter_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, shared.service, shared.ports, shared.edge, shared.core.measures; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "shared.core.measures" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry")]
