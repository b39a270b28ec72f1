"""A local pool that works off tasks on daemon threads, each under its own time limit.

A thread cannot be killed. One that outlives its limit is given up, interrupted where its work allows it, and replaced;
what it still writes carries an older fence than the next attempt's, and what it still gives is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic, sleep

from shared import edge
from shared.core.messages import Message
from shared.core.model import Start
from shared.ports import Delivery
from shared.service import Refusal

CLOSE_POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work that a delivery asks for: what it gives is published before the delivery is acknowledged."""

    delivery: Delivery | None  # none where the timer asks
    start: Start  # that it belongs to
    timeout_s: int
    act: Callable[[], Sequence[Message] | Refusal]
    failed: Callable[[str, float], Sequence[Message] | None]  # why, after how long; None: let it come again


@dataclass(frozen=True, slots=True)
class Ended:
    """A task and what it gave; None where it is to come again, for the reason beside it."""

    task: Task
    messages: Sequence[Message] | Refusal | None
    reason: str = ""


@dataclass(eq=False, slots=True)
class Job:
    """One task on its thread."""

    task: Task
    thread: int = 0  # at work on it; 0 while it waits
    began: float = 0.0
    given_up: bool = False


BACKLOG = 8
"""Tasks taken beyond those at work, so that a thread that ends one has the next at hand."""


class Pool:
    """Runs up to `size` tasks at once, in the order of their coming. Submitted and collected from one thread."""

    def __init__(self, size: int, wake: Callable[[], None], interrupt: Callable[[int], object]) -> None:
        self._size = size
        self._wake = wake  # called from a worker when a result is there
        self._interrupt = interrupt  # called with the ident of a thread that is out of time
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Job, Ended]] = SimpleQueue()
        self._running: set[Job] = set()
        self._threads = 0
        self._turn = threading.Lock()

    @property
    def free(self) -> int:
        """How many more tasks it takes."""
        return self._size + BACKLOG - len(self._running)

    @property
    def running(self) -> list[Start]:
        return [job.task.start for job in self._running]

    def submit(self, task: Task) -> None:
        assert self.free > 0
        job = Job(task)
        self._running.add(job)
        self._waiting.put(job)
        self._staff()

    def finished(self) -> list[Ended]:
        """The results since the last call, and a failure for every task whose time is over."""
        done = []
        while not self._results.empty():
            job, ended = self._results.get()
            if not job.given_up:
                self._running.discard(job)
                done.append(ended)
        now = monotonic()
        for job in list(self._running):
            with self._turn:  # a thread that ends a job in this moment must not be interrupted in its next one
                if not job.thread or now - job.began <= job.task.timeout_s:
                    continue
                job.given_up = True
                self._interrupt(job.thread)
            self._running.discard(job)
            self._threads -= 1
            done.append(_failed(job, f"timed out after {job.task.timeout_s} s"))
        self._staff()
        return done

    def next_timeout_s(self) -> float | None:
        """Seconds until the next task is out of time."""
        now = monotonic()
        return min((job.began + job.task.timeout_s - now for job in self._running if job.thread), default=None)

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
            gave = edge.attempt(job.task.act)
            ended = _failed(job, gave) if isinstance(gave, str) else Ended(job.task, gave)
            with self._turn:
                job.thread = 0
            self._results.put((job, ended))
            self._wake()
            if job.given_up:
                return  # another thread has its place


def _failed(job: Job, reason: str) -> Ended:
    return Ended(job.task, job.task.failed(reason, monotonic() - job.began), reason)
