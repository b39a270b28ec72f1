"""A log line: what Cloud Logging reads in it, and that nothing that is logged breaks it."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Any

import pytest

from shared.core.model import Control, LedgerEntry, RunKey
from shared.logs import (
    FIRST_LINE_MAX,
    FRAMES_MAX,
    LABEL_MAX,
    LABELS_MAX,
    MESSAGE_MAX,
    QUIET,
    REPORTED,
    about,
    configure,
    decision_line,
    trace_of,
)

RUN = RunKey("nba", date(2024, 1, 15), "overnight")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LABELS = "logging.googleapis.com/labels"

log = logging.getLogger("tipoff.test")


class Out(io.StringIO):
    """A stream, and its lines as whoever reads them would parse them."""

    def lines(self) -> list[dict[str, Any]]:
        text = self.getvalue()
        assert text.isascii()
        assert text.endswith("\n") or not text
        return [json.loads(line) for line in text.splitlines()]

    def line(self) -> dict[str, Any]:
        (line,) = self.lines()
        return line


@pytest.fixture
def out() -> Iterator[Out]:
    """What is logged, on a root logger that is put back as it was."""
    names = ["", *QUIET]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in map(logging.getLogger, names)]
    stream = Out()
    try:
        configure("DEBUG", function="phase2_to_phase3", commit="0123abc", project="acme", stream=stream)
        yield stream
    finally:
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:], logger.propagate = handlers, propagate


def entry(decision: str, reason: str = "all 4 of 4 are done") -> LedgerEntry:
    return LedgerEntry(
        run=RUN,
        gate="analytics",
        attempt=2,
        at=datetime(2024, 1, 16, 11, tzinfo=timezone.utc),
        decision=decision,
        reason=reason,
        missing=(),
        completeness=1.0,
        next_look_at=None,
        facts=(),
        latches=(),
        control=Control(),
    )


class Unprintable:
    """Raises what it was given when somebody wants to read it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


# --- what a line holds ------------------------------------------------------------------------------------


def test_a_line_holds_what_cloud_logging_reads(out: Out) -> None:
    before = datetime.now(timezone.utc)
    with about(run=RUN, phase="raw", trace=(TRACE, SPAN)):
        log.info("%d of %d are done", 3, 4)
    line = out.line()
    time = line.pop("time")
    assert time.endswith("Z")
    assert before <= datetime.fromisoformat(time) <= datetime.now(timezone.utc)
    assert line == {
        "severity": "INFO",
        "message": "3 of 4 are done",
        "logger": "tipoff.test",
        "logging.googleapis.com/trace": f"projects/acme/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
        LABELS: {"function": "phase2_to_phase3", "run": "nba.2024-01-15.overnight.1", "phase": "raw"},
    }


def test_what_is_not_known_is_not_in_the_line(out: Out) -> None:
    with about(run=None, phase=None):
        log.info("a word")
    line = out.line()
    assert line[LABELS] == {"function": "phase2_to_phase3"}
    assert line.keys() == {"severity", "time", "message", "logger", LABELS}


def test_a_trace_without_its_span_is_still_a_trace(out: Out) -> None:
    with about(trace=(TRACE, "")):
        log.info("a word")
    assert out.line()["logging.googleapis.com/trace"].endswith(TRACE)
    assert "logging.googleapis.com/spanId" not in out.line()


def test_without_a_project_no_line_names_a_trace(out: Out) -> None:
    configure("INFO", function="f", commit="unknown", project="", stream=out)
    with about(trace=(TRACE, SPAN)):
        log.info("a word")
    assert not [key for key in out.line() if "trace" in key or "span" in key]


SEVERITIES = [
    pytest.param(logging.DEBUG, "DEBUG", id="debug"),
    pytest.param(logging.INFO, "INFO", id="info"),
    pytest.param(25, "INFO", id="a level in between is the one below it"),
    pytest.param(logging.WARNING, "WARNING", id="warning"),
    pytest.param(logging.ERROR, "ERROR", id="error"),
    pytest.param(99, "CRITICAL", id="nothing is above critical"),
    pytest.param(5, "DEFAULT", id="below debug there is no name"),
]


@pytest.mark.parametrize(("level", "severity"), SEVERITIES)
def test_a_level_has_cloud_loggings_name(out: Out, level: int, severity: str) -> None:
    log.setLevel(1)
    try:
        log.log(level, "a word")
    finally:
        log.setLevel(logging.NOTSET)
    assert out.line()["severity"] == severity


def test_an_error_is_one_that_error_reporting_groups(out: Out) -> None:
    log.error("nobody came")
    line = out.line()
    assert line["@type"] == REPORTED
    assert line["serviceContext"] == {"service": "phase2_to_phase3", "version": "0123abc"}
    place = line["context"]["reportLocation"]
    assert place["filePath"].endswith("tests/unit/test_logs.py")
    assert place["functionName"] == "test_an_error_is_one_that_error_reporting_groups"
    assert place["lineNumber"] > 0


def test_a_warning_is_no_error_for_error_reporting(out: Out) -> None:
    log.warning("somebody is late")
    assert not {"@type", "serviceContext", "context"} & out.line().keys()


def deep(levels: int, secret: str) -> None:
    if levels:
        deep(levels - 1, secret)
    raise ValueError(f"cannot read it\nthe payload was {secret}")


def test_an_exception_is_its_class_its_first_line_and_its_frames(out: Out) -> None:
    try:
        deep(50, "s3cret")
    except ValueError:
        log.exception("it failed")
    line = out.line()
    assert line["message"] == "it failed"
    assert line["exception"] == "ValueError: cannot read it"
    first, *frames, last = line["stack_trace"].splitlines()
    assert (first, last) == ("Traceback (most recent call last):", line["exception"])
    assert len(frames) == FRAMES_MAX
    assert all(frame.endswith(", in deep") and "tests/unit/test_logs.py" in frame for frame in frames)
    assert "s3cret" not in out.getvalue()
    assert "raise" not in out.getvalue(), "no line of source"


def test_an_exceptions_text_is_bounded(out: Out) -> None:
    log.error("it failed", exc_info=ValueError("x" * 1_000_000))
    assert len(out.line()["exception"]) == FIRST_LINE_MAX
    log.error("it failed", exc_info=ValueError())
    assert out.lines()[1]["exception"] == "ValueError: no message"


# --- labels -----------------------------------------------------------------------------------------------


def test_labels_are_those_of_all_around_the_line_and_end_with_them(out: Out) -> None:
    with about(run=RUN, trace=(TRACE, SPAN)):
        with about(phase="raw", run="another"):
            log.info("inner")
        log.info("outer")
    log.info("behind")
    inner, outer, behind = out.lines()
    assert inner[LABELS] == {"function": "phase2_to_phase3", "run": "another", "phase": "raw"}
    assert inner["logging.googleapis.com/trace"], "the trace of the one around it"
    assert outer[LABELS] == {"function": "phase2_to_phase3", "run": str(RUN)}
    assert behind[LABELS] == {"function": "phase2_to_phase3"}
    assert "logging.googleapis.com/trace" not in behind


def test_labels_end_also_where_the_work_fails(out: Out) -> None:
    with pytest.raises(KeyError), about(run=RUN):
        raise KeyError
    log.info("behind")
    assert "run" not in out.line()[LABELS]


def test_labels_are_those_of_their_own_thread(out: Out) -> None:
    with about(run=RUN):
        other = threading.Thread(target=log.info, args=("elsewhere",))
        other.start()
        other.join()
    assert "run" not in out.line()[LABELS]


def test_labels_are_few_and_short(out: Out) -> None:
    log.info("a word", extra={"labels": {f"k{n}" + "x" * 1000: "y" * 1000 for n in range(100)}})
    labels = out.line()[LABELS]
    assert len(labels) == LABELS_MAX
    assert max(map(len, [*labels, *labels.values()])) == LABEL_MAX


# --- decisions ----------------------------------------------------------------------------------------------

DECISIONS = [
    pytest.param("open", "INFO", id="an opening is news"),
    pytest.param("wait", "INFO", id="so is waiting"),
    pytest.param("ask", "INFO", id="and asking"),
    pytest.param("done", "INFO", id="and the end"),
    pytest.param("block", "WARNING", id="a block may pass by itself"),
    pytest.param("fail", "ERROR", id="a failure wants a person"),
]


@pytest.mark.parametrize(("decision", "severity"), DECISIONS)
def test_a_decision_is_one_line(out: Out, decision: str, severity: str) -> None:
    decision_line(entry(decision))
    line = out.line()
    assert (line["severity"], line["logger"], line["message"]) == (severity, "tipoff.decision", "all 4 of 4 are done")
    assert line[LABELS] == {
        "function": "phase2_to_phase3",
        "run": str(RUN),
        "phase": "analytics",
        "attempt": "2",
        "decision": decision,
    }


def test_a_reason_is_words_and_no_format(out: Out) -> None:
    decision_line(entry("open", "100%s of %(x)d, " + "x" * 1_000_000))
    message = out.line()["message"]
    assert message.startswith("100%s of %(x)d, x")
    assert len(message) == MESSAGE_MAX


# --- what would break a line ----------------------------------------------------------------------------------

HOSTILE = [
    pytest.param(
        "one\ntwo\r\nthree\u2028four\x85five", "one\ntwo\r\nthree\u2028four\x85five", id="newlines of all kinds"
    ),
    pytest.param("\0\x1b[31mred\x07\x7f", "\0\x1b[31mred\x07\x7f", id="control characters"),
    pytest.param('"}, {"severity": "ERROR"', '"}, {"severity": "ERROR"', id="JSON inside"),
    pytest.param("caf\u00e9 \U0001f3c0", "caf\u00e9 \U0001f3c0", id="what is not ASCII"),
    pytest.param("file \udcff\ud800", "file \ufffd\ufffd", id="half a character is replaced"),
    pytest.param("\ud83c\udfc0", "\U0001f3c0", id="two halves are one"),
    pytest.param("\ufeffa mark", "\ufeffa mark", id="a byte order mark is a character"),
    pytest.param("x" * 1_000_000, "x" * (MESSAGE_MAX - 3) + "...", id="a megabyte is cut"),
    pytest.param("\U0001f3c0" * 1_000_000, "\U0001f3c0" * (MESSAGE_MAX - 3) + "...", id="cut between characters"),
    pytest.param("x" * MESSAGE_MAX, "x" * MESSAGE_MAX, id="what fits is not cut"),
    pytest.param("", "", id="nothing is a message too"),
]


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_hostile_text_is_one_line(out: Out, text: str, message: str) -> None:
    configure("INFO", function="f", commit="unknown", project="", stream=out)  # xdist cannot send half characters
    log.info("%s", text)
    log.info("next", extra={"labels": {"run": text}})
    first, second = out.lines()
    assert first["message"] == message
    assert second["message"] == "next"
    assert len(out.getvalue().splitlines()) == 2


UNREADABLE = [
    pytest.param(("%s", Unprintable(ValueError("s3cret"))), {}, id="an argument whose str raises"),
    pytest.param((Unprintable(OSError("s3cret")),), {}, id="a message whose str raises"),
    pytest.param(("%s", Unprintable(RecursionError("s3cret"))), {}, id="one that never ends"),
    pytest.param(("%d of %d", 1), {}, id="too few arguments"),
    pytest.param(("%d", "s3cret"), {}, id="an argument of another kind"),
    pytest.param(
        ("words",), {"extra": {"labels": {"run": Unprintable(ValueError("s3cret"))}}}, id="a label that raises"
    ),
    pytest.param(
        ("words",), {"exc_info": ValueError(Unprintable(ValueError("s3cret")))}, id="an exception that cannot say what"
    ),
]


@pytest.mark.parametrize(("words", "more"), UNREADABLE)
def test_what_cannot_be_written_leaves_a_line_that_names_its_place(
    out: Out, words: tuple[Any, ...], more: dict[str, Any]
) -> None:
    configure("INFO", function="f", commit="unknown", project="", stream=out)  # alone: pytest's own handlers raise
    with about(run=RUN):
        log.error(*words, **more)
    line = out.line()
    assert "tests/unit/test_logs.py:" in line["message"]
    assert (line["severity"], line["logger"], line[LABELS]["run"]) == ("ERROR", "tipoff.test", str(RUN))
    assert "s3cret" not in out.getvalue()


def test_labels_that_are_no_mapping_are_none(out: Out) -> None:
    log.info("a word", extra={"labels": ["run"]})
    assert out.line()[LABELS] == {"function": "phase2_to_phase3"}


def test_a_stream_that_is_gone_costs_no_work(out: Out) -> None:
    out.close()
    log.error("nobody hears this")


# --- configure ------------------------------------------------------------------------------------------------


def test_configuring_twice_writes_once(out: Out) -> None:
    configure("INFO", function="export_processor", commit="0123abc", project="acme", stream=out)
    configure("INFO", function="export_processor", commit="0123abc", project="acme", stream=out)
    log.info("a word")
    assert out.line()[LABELS] == {"function": "export_processor"}


def test_lines_go_to_stdout(out: Out, capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", function="f", commit="unknown", project="")
    log.info("a word")
    assert json.loads(capsys.readouterr().out)["message"] == "a word"
    assert not out.lines()
    assert isinstance(logging.getLogger().handlers[0], logging.StreamHandler)
    assert logging.getLogger().handlers[0].stream is sys.stdout


def test_the_level_is_the_roots(out: Out) -> None:
    configure("WARNING", function="f", commit="unknown", project="", stream=out)
    log.info("not this")
    log.warning("this")
    assert out.line()["message"] == "this"


@pytest.mark.parametrize("name", [*QUIET, "google.api_core.retry", "urllib3.connectionpool"])
def test_a_library_is_heard_once_and_only_when_it_matters(out: Out, name: str) -> None:
    logger = logging.getLogger(name)
    own = io.StringIO()
    parent = logging.getLogger(name.split(".")[0] if name.split(".")[0] in QUIET else name)
    parent.addHandler(logging.StreamHandler(own))
    parent.propagate = False  # as Google's library and gunicorn set theirs up, before anybody configures
    configure("DEBUG", function="f", commit="unknown", project="", stream=out)
    logger.info("chatter")
    logger.critical("the house burns")
    assert out.line()["message"] == "the house burns"
    assert not own.getvalue()


def test_the_exporters_own_errors_are_left_to_its_adapter(out: Out) -> None:
    logging.getLogger("opentelemetry.exporter.otlp").error("Failed to export")
    assert not out.lines()


# --- the trace of a request -------------------------------------------------------------------------------------

HEADERS = [
    pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-01"}, (TRACE, SPAN), id="W3C"),
    pytest.param({"Traceparent": f"00-{TRACE}-{SPAN}-01"}, (TRACE, SPAN), id="header names have no case"),
    pytest.param(
        {"X-Cloud-Trace-Context": f"{TRACE}/255;o=1"}, (TRACE, f"{255:016x}"), id="Google's, its span in decimal"
    ),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/{2**64 - 1}"}, (TRACE, "f" * 16), id="the largest span"),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/{2**64}"}, None, id="a span beyond that"),
    pytest.param({"X-Cloud-Trace-Context": TRACE}, (TRACE, ""), id="a trace without a span"),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/0;o=0"}, (TRACE, ""), id="span zero is none"),
    pytest.param({"X-Cloud-Trace-Context": "0" * 32 + "/1"}, None, id="trace zero is none"),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/1;o=1;x=2"}, None, id="more than belongs there"),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/" + "1" * 1_000_000}, None, id="a megabyte"),
    pytest.param({"X-Cloud-Trace-Context": f"{TRACE}\n"}, None, id="a newline behind it"),
    pytest.param(
        {"traceparent": "nonsense", "X-Cloud-Trace-Context": f"{TRACE}/255"},
        (TRACE, f"{255:016x}"),
        id="where one is malformed the other speaks",
    ),
    pytest.param(
        {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Cloud-Trace-Context": "f" * 32 + "/255"},
        (TRACE, SPAN),
        id="W3C goes before Google's",
    ),
    pytest.param({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, None, id="malformed gives none"),
    pytest.param({}, None, id="no header, no trace"),
]


@pytest.mark.parametrize(("headers", "trace"), HEADERS)
def test_a_request_belongs_to_a_trace(headers: dict[str, str], trace: tuple[str, str] | None) -> None:
    assert trace_of(headers) == trace
