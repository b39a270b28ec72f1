"""What an address names: a run, a batch, a day; or why it names none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from orchestration.dashboard.sights import NotThere
from shared.core.codec import Malformed
from shared.core.model import NAME, PipelineSpec, RunKey

YEARS = (2000, 2100)  # of a day that is asked for: its neighbours are dates too


def run_asked(text: str, pipelines: Mapping[str, PipelineSpec]) -> RunKey:
    """Raises Malformed or NotThere."""
    try:
        run = RunKey.parse(text)
    except ValueError as error:
        raise Malformed(str(error)) from None
    if run.pipeline not in pipelines:
        raise NotThere(f"Pipeline {run.pipeline!r} is not declared; there is {', '.join(pipelines)}.")
    return run


def batch_asked(run: str, phase: str, attempt: str, pipelines: Mapping[str, PipelineSpec]) -> str:
    """The id of a batch. Raises Malformed or NotThere."""
    if not NAME.fullmatch(phase) or not (attempt.isascii() and attempt.isdecimal() and len(attempt) <= 4):
        raise Malformed(f"batch {phase[:40]!r}/{attempt[:10]!r}: a batch is written RUN/PHASE/ATTEMPT")
    return f"{run_asked(run, pipelines)}/{phase}/{attempt}"


def day_asked(text: str) -> date:
    """Raises Malformed."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or text != str(day) or not YEARS[0] <= day.year < YEARS[1]:
        raise Malformed(f"date: {text[:40]!r} is not a date YYYY-MM-DD from {YEARS[0]} on")
    return day
