"""The port Tracer by OpenTelemetry, sent to a collector over OTLP/HTTP: built only where an endpoint is configured.

A function's CPU stands still once it has answered, so nothing is left to a background thread: whenever the outermost
span ends, all that has ended is sent in one request, and the work goes on after LIMIT_S at the latest. A collector that
did not take it is left alone for QUIET_S, and what ends meanwhile is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace import Span as OpenTelemetrySpan

from shared.adapters.outlet import LIMIT_S, Outlet
from shared.core.traceparent import TRACEPARENT, read_traceparent, write_traceparent
from shared.ports import Span

log = logging.getLogger("tipoff.tracing")

SPANS_MAX = 2_000  # kept until the outermost one ends; a sweep of many runs loses what is beyond
VALUE_MAX = 256  # characters of an attribute
ATTRIBUTES_MAX = 90  # of a message, as the port Bus says
TOLD = ("run", "phase", "processor", "attempt", "chunk")  # of a received message: ids, never what a stranger adds

KINDS = {"ingest": SpanKind.CONSUMER, "publish": SpanKind.PRODUCER}


def open_tracer(
    endpoint: str, *, service: str, commit: str, limit_s: float = LIMIT_S, clock: Callable[[], float] = monotonic
) -> Spans:
    """`endpoint` is the collector's base, http://127.0.0.1:4318; nothing is asked of it before the first span ends.

    One for a process, safe in several threads. `limit_s` and `clock` (seconds, rising) are there for tests.
    """
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=limit_s)
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # hundreds of messages a day
        resource=Resource({"service.name": service, "service.version": commit}),
        shutdown_on_exit=False,  # nothing waits to be sent
    )
    provider.add_span_processor(Sender(exporter, Outlet(endpoint, log, limit_s, clock)))
    return Spans(provider)


class Spans:
    """The port Tracer."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tipoff")

    def span(self, name: str, /, **attributes: object) -> AbstractContextManager[Span]:
        return self._open(name, attributes)

    def receiving(self, attributes: Mapping[str, str]) -> AbstractContextManager[Span]:
        told = {key: attributes[key] for key in TOLD if key in attributes}
        return self._open("ingest", told, context=Context(), links=links(attributes))

    def carry(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        current = get_current_span().get_span_context()
        if not current.is_valid or len({*attributes, TRACEPARENT}) > ATTRIBUTES_MAX:
            return attributes
        name = write_traceparent(format_trace_id(current.trace_id), format_span_id(current.span_id))
        return {**attributes, TRACEPARENT: name}

    def close(self) -> None:
        """Let the connection go. What is spanned afterwards is dropped."""
        self._provider.shutdown()

    @contextmanager
    def _open(
        self, name: str, attributes: Mapping[str, object], context: Context | None = None, links: Sequence[Link] = ()
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            context,
            KINDS.get(name, SpanKind.INTERNAL),
            said(attributes),
            links,
            record_exception=False,  # its text, and the source in its traceback, may be a payload
            set_status_on_exception=False,
        ) as span:
            try:
                yield OpenSpan(span)
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise


class OpenSpan:
    """The port Span."""

    __slots__ = ("_span",)

    def __init__(self, span: OpenTelemetrySpan) -> None:
        self._span = span

    def note(self, **attributes: object) -> None:
        self._span.set_attributes(said(attributes))


class Sender(SpanProcessor):
    """Keeps what has ended, and sends it when the outermost span does."""

    def __init__(self, exporter: SpanExporter, outlet: Outlet) -> None:
        self._exporter = exporter
        self._outlet = outlet
        self._lock = Lock()
        self._ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            if len(self._ended) < SPANS_MAX:
                self._ended.append(span)
            if span.parent is not None:
                return
            ended, self._ended = self._ended, []
        self._outlet.send(lambda: self._exporter.export(ended) is SpanExportResult.SUCCESS, f"{len(ended)} spans lost")

    def shutdown(self) -> None:
        self._exporter.shutdown()


def links(attributes: Mapping[str, str]) -> list[Link]:
    """To the span that published a message; none if it names none that can be."""
    found = read_traceparent(attributes.get(TRACEPARENT, ""))
    if found is None:
        return []
    trace_id, span_id = (int(part, 16) for part in found)
    return [Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))]


def said(attributes: Mapping[str, object]) -> dict[str, str | int]:
    """Attributes as they are sent: numbers, and bounded Unicode text, under names that are ours."""
    return {
        f"tipoff.{key}": value if isinstance(value, int) else str(value)[:VALUE_MAX].encode(errors="replace").decode()
        for key, value in attributes.items()
    }
