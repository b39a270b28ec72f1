"""The embedded runtime: what Pub/Sub, Cloud Functions and Cloud Scheduler do in the cloud, in one process.

It delivers messages from the bus to the same functions that are deployed, runs processors on a pool, and sweeps when
something is due. One thread does all bookkeeping; processors run beside it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic

from orchestration.pool import Pool, Task
from shared import edge
from shared.core.codec import Malformed
from shared.core.messages import Message, completion_message, read_completion, read_nudge, read_start
from shared.core.model import Completion, Start
from shared.ports import Delivery, Ports
from shared.service import Refusal, Service

log = logging.getLogger("tipoff.local")

PULL_MAX = 64  # messages taken in one step; bounds what a crash leaves leased
HANDLER_LEASE_S = 60  # far above any handler; a process that died is waited for this long at most
WORK_LEASE_S = 24 * 3600  # work is held until its own timeout; a home has one writer, which lets go at opening
SWEEP_EVERY = timedelta(seconds=1)
CLOSE_POLL_S = 0.05
CLOSE_S = 5  # for what is under way at the end: its store must not be closed under it
TIMER_PLACES = 1  # of the pool, kept from the bus: a batch must end also where more work waits than ever gets done
IDLE_S = 0.5  # between looks at the clock when nothing is due

Work = Callable[[Start], Completion]

Accept = Callable[[Delivery], Task | Refusal]
"""From a delivery to the work it asks for; raises Malformed for what can never be read."""

Sweep = Callable[[int], Sequence[Task]]
"""What the timer finds due, at most so many, as work; what fails is still due, and found again."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What hears a topic here: a gate function, the timer's function, or a service that works."""

    subscription: str
    topic: str
    kind: str  # completions, nudges, starts; further kinds are those of the services given


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
        services: Mapping[str, Accept] | None = None,
        sweeps: Sequence[Sweep] = (),
        interrupt: Callable[[int], object] = lambda _: None,
        workers: int = 4,
    ) -> None:
        self._ports, self._service = ports, service
        self._wakened = threading.Event()
        self._pool = Pool(workers, self._wakened.set, interrupt)
        self._handlers: Mapping[str, edge.Handler] = {
            "completions": lambda body: service.on_completion(read_completion(body)),
            "nudges": lambda body: service.on_nudge(read_nudge(body)),
        }
        self._services: Mapping[str, Accept] = {
            "starts": partial(processor_task, work, topic_of),
            **(services or {}),
        }
        self._sweeps = sweeps
        self._kind_of = {listener.subscription: listener.kind for listener in listening}
        self._heard = [s for s, kind in self._kind_of.items() if kind in self._handlers]
        self._worked = [s for s, kind in self._kind_of.items() if kind in self._services]
        self._sweep_at = ports.clock.now()
        for listener in listening:
            ports.bus.subscribe(listener.subscription, listener.topic)

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Deliver, work and sweep until `stop` says so; it is asked whenever nothing is left to do at once."""
        while True:
            if self.step():
                continue
            if stop():
                self._drain()
                return
            self._wakened.wait(self._pause_s())
            self._wakened.clear()

    def step(self) -> bool:
        """Do all that can be done at once. False if there was nothing."""
        reported = self._report()
        handled = self._hear()
        self._sweep()
        handed = self._hand_out()
        return reported or handled or handed

    @property
    def running(self) -> list[Start]:
        return self._pool.running

    def next_at(self) -> datetime | None:
        """When the next message comes."""
        return self._ports.bus.next_at()

    def close(self) -> None:
        self._pool.close(CLOSE_S)

    def _drain(self) -> None:
        """Report what is still under way, for other runs of the home perhaps: undone, it would be done again."""
        until = monotonic() + CLOSE_S
        while self._pool.running and monotonic() < until:
            if not self._report():
                self._wakened.wait(CLOSE_POLL_S)
                self._wakened.clear()

    def _report(self) -> bool:
        """Publish what the work gave, then acknowledge what asked for it: in this order nothing is lost."""
        finished = self._pool.finished()
        if not finished:
            return False
        now = self._ports.clock.now()
        messages: list[Message] = []
        done: list[Delivery] = []
        for ended in finished:
            delivery = ended.task.delivery
            if delivery is None:
                if ended.messages is None:
                    log.warning("%s, swept: %s", ended.task.start.id, ended.reason)
                continue
            if ended.messages is None:
                self._ports.bus.nack(delivery, now, ended.reason)
                continue
            if isinstance(ended.messages, Refusal):
                edge.quarantine(delivery, ended.messages, self._ports)
            else:
                messages.extend(ended.messages)
            done.append(delivery)
        if messages:
            self._ports.bus.publish(messages, now)
        if done:
            self._ports.bus.ack(done)
        return True

    def _hear(self) -> bool:
        now = self._ports.clock.now()
        deliveries = self._ports.bus.pull(self._heard, limit=PULL_MAX, now=now, lease_s=HANDLER_LEASE_S)
        edge.receive(deliveries, lambda delivery: self._handlers[self._kind_of[delivery.subscription]], self._ports)
        return bool(deliveries)

    @property
    def _room(self) -> int:
        """How much work from the bus the pool takes."""
        return max(0, self._pool.free - TIMER_PLACES)

    def _hand_out(self) -> bool:
        room = self._room
        if not room:
            return False
        now = self._ports.clock.now()
        deliveries = self._ports.bus.pull(self._worked, limit=room, now=now, lease_s=WORK_LEASE_S)
        for delivery in deliveries:
            try:
                asked = self._services[self._kind_of[delivery.subscription]](delivery)
            except Malformed as error:
                asked = Refusal(f"malformed: {error}")
            if isinstance(asked, Refusal):
                edge.quarantine(delivery, asked, self._ports)
                self._ports.bus.ack([delivery])
            else:
                self._pool.submit(asked)
        return bool(deliveries)

    def _sweep(self) -> None:
        now = self._ports.clock.now()
        if now < self._sweep_at <= now + SWEEP_EVERY:  # further off than that, the clock was put back
            return
        self._sweep_at = now + SWEEP_EVERY
        self._service.sweep()
        for sweep in self._sweeps:
            for task in sweep(self._pool.free):
                self._pool.submit(task)

    def _pause_s(self) -> float:
        pauses = [IDLE_S, (self._sweep_at - self._ports.clock.now()).total_seconds()]
        timeout_s = self._pool.next_timeout_s()
        if timeout_s is not None:
            pauses.append(timeout_s)
        next_at = self._ports.bus.next_at()
        if next_at is not None and self._room:
            pauses.append((next_at - self._ports.clock.now()).total_seconds())
        return max(0.001, min(pauses))


def processor_task(work: Work, topic_of: Callable[[Start], str], delivery: Delivery) -> Task:
    """A processor's start: whatever becomes of it is a report."""
    start = read_start(delivery.data)

    def told(completion: Completion) -> list[Message]:
        return [completion_message(completion, topic_of(start))]

    return Task(
        delivery=delivery,
        start=start,
        timeout_s=start.timeout_s,
        act=lambda: told(edge.perform(start, work)),
        failed=lambda reason, duration_s: told(edge.failure(start, reason, duration_s)),
    )
