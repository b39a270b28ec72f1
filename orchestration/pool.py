"""A local pool that runs processors on daemon threads, each under its own time limit.

A thread cannot be killed. One that outlives its limit is reported as failed, interrupted where its work allows it, and
replaced; what it still writes carries an older fence than the next attempt's, and what it still reports is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Generic, TypeVar

from shared import edge
from shared.core.model import Completion, Start

Work = Callable[[Start], Completion]
Tag = TypeVar("Tag")
CLOSE_POLL_S = 0.01


@dataclass(eq=False, slots=True)
class Job(Generic[Tag]):
    """One start on its thread."""

    start: Start
    tag: Tag  # the caller's own
    thread: int = 0  # at work on it; 0 while it waits
    began: float = 0.0
    given_up: bool = False


BACKLOG = 8
"""Starts taken beyond those at work, so that a thread that ends one has the next at hand."""


class Pool(Generic[Tag]):
    """Runs up to `size` starts at once, in the order of their coming. Submitted and collected from one thread."""

    def __init__(self, size: int, work: Work, wake: Callable[[], None], interrupt: Callable[[int], object]) -> None:
        self._size = size
        self._work = work
        self._wake = wake  # called from a worker when a result is there
        self._interrupt = interrupt  # called with the ident of a thread that is out of time
        self._waiting: SimpleQueue[Job[Tag] | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Job[Tag], Completion]] = SimpleQueue()
        self._running: set[Job[Tag]] = set()
        self._threads = 0
        self._turn = threading.Lock()

    @property
    def free(self) -> int:
        """How many more starts it takes."""
        return self._size + BACKLOG - len(self._running)

    @property
    def running(self) -> list[Start]:
        return [job.start for job in self._running]

    def submit(self, start: Start, tag: Tag) -> None:
        assert self.free > 0
        job = Job(start, tag)
        self._running.add(job)
        self._waiting.put(job)
        self._staff()

    def finished(self) -> list[tuple[Job[Tag], Completion]]:
        """The results since the last call, and a failure for every job whose time is over."""
        done = []
        while not self._results.empty():
            job, completion = self._results.get()
            if not job.given_up:
                self._running.discard(job)
                done.append((job, completion))
        now = monotonic()
        for job in list(self._running):
            with self._turn:  # a thread that ends a job in this moment must not be interrupted in its next one
                if not job.thread or now - job.began <= job.start.timeout_s:
                    continue
                job.given_up = True
                self._interrupt(job.thread)
            self._running.discard(job)
            self._threads -= 1
            reason = f"timed out after {job.start.timeout_s} s"
            done.append((job, edge.failure(job.start, reason, now - job.began)))
        self._staff()
        return done

    def next_timeout_s(self) -> float | None:
        """Seconds until the next job is out of time."""
        now = monotonic()
        return min((job.began + job.start.timeout_s - now for job in self._running if job.thread), default=None)

    def close(self, wait_s: float = 0.0) -> None:
        """Let the threads go, after what they are at; who takes longer than wait_s ends with the process."""
        until = monotonic() + wait_s
        while self._running and monotonic() < until:
            self.finished()
            sleep(CLOSE_POLL_S)
        for _ in range(self._threads):
            self._waiting.put(None)

    def _staff(self) -> None:
        """As many threads as there is work for, those given up not counted."""
        while self._threads < min(self._size, len(self._running)):
            self._threads += 1
            threading.Thread(target=self._serve, name="processor", daemon=True).start()

    def _serve(self) -> None:
        while (job := self._waiting.get()) is not None:
            job.began, job.thread = monotonic(), threading.get_ident()
            completion = edge.perform(job.start, self._work)
            with self._turn:
                job.thread = 0
            self._results.put((job, completion))
            self._wake()
            if job.given_up:
                return  # another thread has its place
