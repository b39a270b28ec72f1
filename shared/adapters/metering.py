"""The port Meter by OpenTelemetry, sent to a collector over OTLP/HTTP: built only where an endpoint is configured.

A function's CPU stands still once it has answered, so nothing is left to a background thread: what was added is sent at
the end of the work on a message, in one request, and the work goes on after the outlet's limit at the latest.

Counters and histograms are cumulative, each process a series of its own (`service.instance.id`). Of what an instance
could not send nothing is lost: its next message brings the sums again. Deltas would be lost with their request, and
Cloud Monitoring takes none of a metric of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from time import monotonic
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Meter as OpenTelemetryMeter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource

from shared.adapters.outlet import LIMIT_S, Outlet
from shared.core.measures import Measure, MetricKind, MetricSpec

log = logging.getLogger("tipoff.metering")

VALUE_MAX = 64  # characters of a label: each is a word of ours
SERIES_MAX = 500
"""Of one metric and process: pipelines x modes x phases x kinds are some hundred. Beyond, OpenTelemetry sums up."""

SUMS: dict[type, AggregationTemporality] = dict.fromkeys((Counter, Histogram), AggregationTemporality.CUMULATIVE)


def open_meter(
    endpoint: str,
    metrics: Sequence[MetricSpec],
    *,
    service: str,
    commit: str,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = monotonic,
) -> Numbers:
    """`endpoint` is the collector's base, http://127.0.0.1:4318; nothing is asked of it before the first is sent.

    One for a process, safe in several threads. `limit_s` and `clock` (seconds, rising) are there for tests.
    """
    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=limit_s, preferred_temporality=SUMS)
    about = {"service.name": service, "service.version": commit}
    return Numbers(exporter, metrics, about, Outlet(endpoint, log, limit_s, clock), limit_s)


Record = Callable[[float, dict[str, str]], None]
"""Writes a value with its labels to one metric."""


class Numbers:
    """The port Meter."""

    def __init__(
        self,
        exporter: OTLPMetricExporter,
        metrics: Sequence[MetricSpec],
        about: dict[str, str],
        outlet: Outlet,
        limit_s: float,
    ) -> None:
        self._exporter = exporter
        self._metrics = {spec.name: spec for spec in metrics}
        self._about = about
        self._outlet = outlet
        self._limit_s = limit_s
        self._lock = Lock()  # of what follows
        self._sending = Lock()  # one after the other: an older sum must not come after a newer one
        self._reader: InMemoryMetricReader | None = None
        self._records: dict[str, Record] = {}
        self._added = self._sent = 0

    def add(self, measures: Iterable[Measure]) -> None:
        for measure in measures:
            spec = self._metrics[measure.metric]
            labels = {name: str(measure.labels.get(name, ""))[:VALUE_MAX] for name in spec.labels}
            with self._lock:
                record = self._record_of(spec)
                self._added += 1
            record(int(measure.value) if spec.is_whole else float(measure.value), labels)

    def send(self) -> None:
        with self._lock:
            wanted, reader = self._added, self._reader
        if reader is None or not self._sending.acquire(timeout=self._limit_s):
            return
        try:
            if self._sent >= wanted:
                return  # whoever sent meanwhile has sent ours too
            with self._lock:
                sending = self._added
            if self._outlet.send(lambda: self._export(reader), "numbers not sent"):
                self._sent = sending
        finally:
            self._sending.release()

    def close(self) -> None:
        """Let the connection go. What is added afterwards is not sent."""
        self._exporter.shutdown()

    def _export(self, reader: InMemoryMetricReader) -> bool:
        data = reader.get_metrics_data()
        return data is None or self._exporter.export(data) is MetricExportResult.SUCCESS

    def _record_of(self, spec: MetricSpec) -> Record:
        """Made at the first number, in the process that counts: a server forks before that."""
        if self._reader is None:
            self._reader, self._records = self._instruments()
        return self._records[spec.name]

    def _instruments(self) -> tuple[InMemoryMetricReader, dict[str, Record]]:
        reader = InMemoryMetricReader(SUMS, cardinality_limits=dict.fromkeys((Counter, Histogram), SERIES_MAX))
        provider = MeterProvider(
            metric_readers=[reader],
            resource=Resource({**self._about, "service.instance.id": uuid4().hex}),
            exemplar_filter=AlwaysOffExemplarFilter(),  # an exemplar names a trace, so a run
            shutdown_on_exit=False,  # nothing waits to be sent
        )
        meter = provider.get_meter("tipoff")
        return reader, {spec.name: _record(meter, spec) for spec in self._metrics.values()}


def _record(meter: OpenTelemetryMeter, spec: MetricSpec) -> Record:
    match spec.kind:
        case MetricKind.COUNTER:
            return meter.create_counter(spec.name, spec.unit, spec.does).add
        case MetricKind.HISTOGRAM:
            bounds = list(spec.bounds)
            return meter.create_histogram(
                spec.name, spec.unit, spec.does, explicit_bucket_boundaries_advisory=bounds
            ).record
        case MetricKind.GAUGE:
            return meter.create_gauge(spec.name, spec.unit, spec.does).set
