"""The embedded runtime: what Pub/Sub, Cloud Functions and Cloud Scheduler do in the cloud, in one process.

It delivers messages from the bus to the same functions that are deployed, runs processors on a pool, and sweeps when
something is due. One thread does all bookkeeping; processors run beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.pool import Pool, Work
from shared import edge
from shared.core.codec import Malformed
from shared.core.messages import completion_message, read_completion, read_nudge, read_start
from shared.core.model import Start
from shared.ports import Delivery, Ports
from shared.service import Refusal, Service

PULL_MAX = 64  # messages taken in one step; bounds what a crash leaves leased
HANDLER_LEASE_S = 60  # far above any handler; a process that died is waited for this long at most
START_LEASE_S = 24 * 3600  # a start is held until its own timeout; a home has one writer, which lets go at opening
SWEEP_EVERY = timedelta(seconds=1)
CLOSE_S = 5  # for a redelivered start whose run has ended meanwhile: its store must not be closed under it
IDLE_S = 0.5  # between looks at the clock when nothing is due


@dataclass(frozen=True, slots=True)
class Listening:
    """What hears a topic here: a gate function, the timer's function, or the processors of a phase."""

    subscription: str
    topic: str
    kind: str  # completions, nudges or starts


class LocalRuntime:
    """Drives service and processors from one thread; nothing outlives the process but what the bus holds."""

    def __init__(
        self,
        ports: Ports,
        service: Service,
        listening: tuple[Listening, ...],
        work: Work,
        *,
        topic_of: Callable[[Start], str],
        interrupt: Callable[[int], object] = lambda _: None,
        workers: int = 4,
    ) -> None:
        self._ports, self._service = ports, service
        self._topic_of = topic_of
        self._wakened = threading.Event()
        self._pool: Pool[Delivery] = Pool(workers, work, self._wakened.set, interrupt)
        self._handlers: Mapping[str, edge.Handler] = {
            "completions": lambda body: service.on_completion(read_completion(body)),
            "nudges": lambda body: service.on_nudge(read_nudge(body)),
        }
        self._kind_of = {listener.subscription: listener.kind for listener in listening}
        self._heard = [s for s, kind in self._kind_of.items() if kind != "starts"]
        self._worked = [s for s, kind in self._kind_of.items() if kind == "starts"]
        self._sweep_at = ports.clock.now()
        for listener in listening:
            ports.bus.subscribe(listener.subscription, listener.topic)

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Deliver, work and sweep until `stop` says so; it is asked whenever nothing is left to do at once."""
        while True:
            if self.step():
                continue
            if stop():
                return
            self._wakened.wait(self._pause_s())
            self._wakened.clear()

    def step(self) -> bool:
        """Do all that can be done at once. False if there was nothing."""
        reported = self._report()
        handled = self._hear()
        handed = self._hand_out()
        self._sweep()
        return reported or handled or handed

    def idle_until(self) -> datetime | None:
        """When something will be done next by itself; None while processors are at work."""
        if self._pool.running:
            return None
        return self._ports.bus.next_at() or datetime.max.replace(tzinfo=self._ports.clock.now().tzinfo)

    @property
    def running(self) -> list[Start]:
        return self._pool.running

    def close(self) -> None:
        self._pool.close(CLOSE_S)

    def _report(self) -> bool:
        """Publish what the processors reported, then acknowledge their starts: in this order nothing is lost."""
        finished = self._pool.finished()
        if not finished:
            return False
        now = self._ports.clock.now()
        messages = [completion_message(completion, self._topic_of(job.start)) for job, completion in finished]
        self._ports.bus.publish(messages, now)
        self._ports.bus.ack([job.tag for job, _ in finished])
        return True

    def _hear(self) -> bool:
        now = self._ports.clock.now()
        deliveries = self._ports.bus.pull(self._heard, limit=PULL_MAX, now=now, lease_s=HANDLER_LEASE_S)
        edge.receive(deliveries, lambda delivery: self._handlers[self._kind_of[delivery.subscription]], self._ports)
        return bool(deliveries)

    def _hand_out(self) -> bool:
        if not self._pool.free:
            return False
        now = self._ports.clock.now()
        deliveries = self._ports.bus.pull(self._worked, limit=self._pool.free, now=now, lease_s=START_LEASE_S)
        for delivery in deliveries:
            try:
                start = read_start(delivery.data)
            except Malformed as error:
                edge.quarantine(delivery, Refusal(f"malformed: {error}"), self._ports)
                self._ports.bus.ack([delivery])
                continue
            self._pool.submit(start, delivery)
        return bool(deliveries)

    def _sweep(self) -> None:
        now = self._ports.clock.now()
        if now < self._sweep_at <= now + SWEEP_EVERY:  # further off than that, the clock was put back
            return
        self._sweep_at = now + SWEEP_EVERY
        self._service.sweep()

    def _pause_s(self) -> float:
        pauses = [IDLE_S, (self._sweep_at - self._ports.clock.now()).total_seconds()]
        timeout_s = self._pool.next_timeout_s()
        if timeout_s is not None:
            pauses.append(timeout_s)
        next_at = self._ports.bus.next_at()
        if next_at is not None and not (self._pool.running and not self._pool.free):
            pauses.append((next_at - self._ports.clock.now()).total_seconds())
        return max(0.001, min(pauses))
