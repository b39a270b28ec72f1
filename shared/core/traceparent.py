"""The name of a span as it travels with a message or a request: W3C trace context, for tracer and log lines."""

from __future__ import annotations

import re

TRACEPARENT = "traceparent"
"""Header and message attribute alike."""

LENGTH_MAX = 256  # version 00 has 55; a later one may append what we do not read
FORMAT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def write_traceparent(trace_id: str, span_id: str) -> str:
    """Of a span that is kept; ids are 32 and 16 lower hex digits."""
    return f"00-{trace_id}-{span_id}-01"


def read_traceparent(text: str) -> tuple[str, str] | None:
    """Trace id and span id; None for what is no traceparent, whoever sent it."""
    found = FORMAT.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if found is None:
        return None
    version, trace_id, span_id, rest = found.groups()
    if (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return trace_id, span_id
