"""Structured logs for every deployed function: JSON lines on stdout, as Cloud Logging and Error Reporting read them.

Nothing that is logged breaks a line or the work: every text is bounded, every line is ASCII and one object, and what
cannot be written as text leaves a line that names its place. No line holds a payload or a source value.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import PurePath
from traceback import walk_tb
from types import TracebackType
from typing import Protocol, TextIO

from shared.core.model import LedgerEntry, RunKey
from shared.core.traceparent import TRACEPARENT, read_traceparent

MESSAGE_MAX = 2_000  # characters
FIRST_LINE_MAX = 300  # of an exception's text, which may quote what it choked on
LABEL_MAX = 256
LABELS_MAX = 32  # half of what Cloud Logging takes
FRAMES_MAX = 20  # the innermost
PATH_PARTS = 4  # of a frame's file: enough to find it, without where it was unpacked

REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
"""With it Error Reporting takes a line for an error even where there is no traceback."""

QUIET = {
    "google": logging.WARNING,
    "grpc": logging.WARNING,
    "urllib3": logging.WARNING,
    "werkzeug": logging.WARNING,
    "gunicorn.access": logging.WARNING,
    "gunicorn.error": logging.WARNING,
    "opentelemetry": logging.CRITICAL,  # its adapter says once what the library says at every span
}
"""Libraries' loggers, and what they must reach to be heard; they write through our handler and no other."""

SEVERITIES = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"), (10, "DEBUG"))

CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=[0-9])?")

Trace = tuple[str, str]
"""Trace id and span id, 32 and 16 hex digits; the span may be empty."""


class Headers(Protocol):
    """A mapping, or what a web framework has for one."""

    def items(self) -> Iterable[tuple[str, str]]: ...


_labels: ContextVar[Mapping[str, str]] = ContextVar("labels", default={})  # noqa: B039 - never changed in place
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)

decisions = logging.getLogger("tipoff.decision")


class JsonLines(logging.Formatter):
    """One record as one JSON object, on one line, in ASCII.

    A record may bring labels of its own: extra={"labels": {...}}. Raises what the str of an argument raises; `Lines`
    survives that.
    """

    def __init__(self, *, function: str, commit: str, project: str) -> None:
        super().__init__()
        self._function = function
        self._commit = commit
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        line = self._line(record, record.getMessage(), known(getattr(record, "labels", {})))
        if record.exc_info and record.exc_info[1] is not None:
            said = describe(record.exc_info[1])
            line["exception"] = said
            line["stack_trace"] = stack(record.exc_info[2], said)
        return json.dumps(line)

    def unreadable(self, record: logging.LogRecord) -> str:
        """The line for a record whose message or exception cannot be written as text."""
        place = f"{short(record.pathname)}:{record.lineno}"
        return json.dumps(self._line(record, f"what {place} has to say cannot be written as text", {}))

    def _line(self, record: logging.LogRecord, message: str, own: Mapping[str, str]) -> dict[str, object]:
        line: dict[str, object] = {
            "severity": severity(record.levelno),
            "time": f"{datetime.fromtimestamp(record.created, timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}",
            "message": clean(message, MESSAGE_MAX),
            "logger": clean(record.name, LABEL_MAX),
        }
        trace = _trace.get()
        if trace and self._project:
            line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace[0]}"
            if trace[1]:
                line["logging.googleapis.com/spanId"] = trace[1]
        labels = {"function": self._function, **_labels.get(), **own}
        line["logging.googleapis.com/labels"] = {key: labels[key] for key in list(labels)[:LABELS_MAX]}
        if record.levelno >= logging.ERROR:
            line["@type"] = REPORTED
            line["serviceContext"] = {"service": self._function, "version": self._commit}
            location = {"filePath": short(record.pathname), "lineNumber": record.lineno}
            line["context"] = {"reportLocation": {**location, "functionName": clean(record.funcName or "", LABEL_MAX)}}
        return line


class Lines(logging.StreamHandler[TextIO]):
    """Writes each record as a line, and never raises: a log line is not worth the work that it tells of."""

    def __init__(self, stream: TextIO, lines: JsonLines) -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except RecursionError:  # the one thing that logging itself lets through
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Called by logging in place of any exception of a line."""
        try:
            self.stream.write(self._lines.unreadable(record) + self.terminator)
            self.flush()
        except (OSError, ValueError):
            pass  # the stream is gone: there is nobody left to tell


def configure(level: str, *, function: str, commit: str, project: str, stream: TextIO | None = None) -> None:
    """Every log line of this process, through one handler to `stream`: stdout, if none is named. Idempotent.

    `project` is where traces are looked up; without one no line names its trace.
    """
    root = logging.getLogger()
    root.handlers[:] = [Lines(stream or sys.stdout, JsonLines(function=function, commit=commit, project=project))]
    root.setLevel(level)
    for name, quiet in QUIET.items():
        logger = logging.getLogger(name)
        logger.setLevel(quiet)
        logger.handlers.clear()
        logger.propagate = True


@contextmanager
def about(*, trace: Trace | None = None, **labels: str | int | RunKey | None) -> Iterator[None]:
    """Every line of this thread inside carries these labels, and those of the `about` around it; None is left out."""
    label = _labels.set({**_labels.get(), **known(labels)})
    traced = _trace.set(trace or _trace.get())
    try:
        yield
    finally:
        _trace.reset(traced)
        _labels.reset(label)


def decision_line(entry: LedgerEntry) -> None:
    """One line for a decision that changed: its reason, in words. ERROR only where a person must act."""
    level = {"fail": logging.ERROR, "block": logging.WARNING}.get(entry.decision, logging.INFO)
    labels = {"run": entry.run, "phase": entry.gate, "attempt": entry.attempt, "decision": entry.decision}
    decisions.log(level, "%s", entry.reason, extra={"labels": labels})


def trace_of(headers: Headers) -> Trace | None:
    """The trace that a request belongs to, by `traceparent` or else `X-Cloud-Trace-Context`; malformed is none."""
    lower = {key.lower(): value for key, value in headers.items()}
    found = read_traceparent(lower.get(TRACEPARENT, ""))
    if found:
        return found
    cloud = CLOUD_TRACE.fullmatch(lower.get("x-cloud-trace-context", ""))
    if cloud is None or not int(cloud[1], 16) or (span := int(cloud[2] or "0")) >= 2**64:
        return None
    return cloud[1], f"{span:016x}" if span else ""


def known(labels: object) -> dict[str, str]:
    """Labels as Cloud Logging takes them: what is known, as bounded text. What is no mapping has none."""
    if not isinstance(labels, Mapping):
        return {}
    return {
        clean(str(key), LABEL_MAX): clean(str(value), LABEL_MAX) for key, value in labels.items() if value is not None
    }


def severity(level: int) -> str:
    """Cloud Logging's name of a level, also of one in between."""
    return next((name for floor, name in SEVERITIES if level >= floor), "DEFAULT")


def describe(error: BaseException) -> str:
    """Class and first line, bounded."""
    text = str(error).strip()[:MESSAGE_MAX].splitlines()
    return clean(f"{type(error).__name__}: {text[0] if text else 'no message'}", FIRST_LINE_MAX)


def stack(traceback: TracebackType | None, said: str) -> str:
    """As Python prints it and Error Reporting groups it, but the innermost frames only, and no line of source."""
    frames = [(frame.f_code, line) for frame, line in walk_tb(traceback)][-FRAMES_MAX:]
    told = [f'  File "{short(code.co_filename)}", line {line}, in {clean(code.co_name, 80)}' for code, line in frames]
    return "\n".join(["Traceback (most recent call last):", *told, said])


def short(path: str) -> str:
    return clean("/".join(PurePath(path).parts[-PATH_PARTS:]), LABEL_MAX)


def clean(text: str, longest: int) -> str:
    """Cut, and Unicode: half a character (a file name, say) is no JSON that anybody takes."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
