"""The coordinator and its workers as services of the embedded runtime."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.local import Accept
from orchestration.pool import Task
from predictions.coordinator.coordinator import Coordinator
from predictions.worker.worker import Prepare, all_failed, record, work
from shared.core.batch import CHUNK_TIMEOUT_S, ChunkReady
from shared.core.messages import Message, read_order, read_ready, read_start, ready_message
from shared.ports import Delivery
from shared.service import Refusal

BEGIN_TIMEOUT_S = 300  # the inputs of a batch are read in bulk
READY_TIMEOUT_S = 300  # who hears of the last chunk also consolidates
SWEEP_TIMEOUT_S = 300  # as may the timer


def batch_services(coordinator: Coordinator, prepare: Prepare, ready_topic: str) -> Mapping[str, Accept]:
    """What hears starts of batches, orders of chunks, and that chunks are recorded."""
    return {
        "batches": lambda delivery: _begin(coordinator, delivery),
        "orders": lambda delivery: _work(coordinator, prepare, ready_topic, delivery),
        "reports": lambda delivery: _look(coordinator, delivery),
    }


class BatchSweep:
    """What the timer finds due, as work for the pool: a MERGE that hangs must not stop the thread that gives it up."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._at_work: set[str] = set()  # due until it has been looked at: not to be handed out twice

    def __call__(self, limit: int) -> list[Task]:
        due = [batch for batch in self._coordinator.due() if batch not in self._at_work]
        return [self._task(batch) for batch in due[:limit]]

    def _task(self, id: str) -> Task:
        batch = self._coordinator.batches.batch(id)
        assert batch is not None, f"{id} is due but not known"
        self._at_work.add(id)

        def act() -> list[Message]:
            self._coordinator.advance(id)
            self._at_work.discard(id)
            return []

        def failed(_reason: str, _duration_s: float) -> None:
            self._at_work.discard(id)

        return Task(delivery=None, start=batch.start, timeout_s=SWEEP_TIMEOUT_S, act=act, failed=failed)


def _begin(coordinator: Coordinator, delivery: Delivery) -> Task:
    start = read_start(delivery.data)

    def act() -> list[Message]:
        coordinator.on_start(start)
        return []

    def failed(reason: str, duration_s: float) -> list[Message] | None:
        message = coordinator.unbegun(start, reason, duration_s)
        return None if message is None else [message]

    return Task(delivery=delivery, start=start, timeout_s=BEGIN_TIMEOUT_S, act=act, failed=failed)


def _work(coordinator: Coordinator, prepare: Prepare, ready_topic: str, delivery: Delivery) -> Task:
    order, batches, now = read_order(delivery.data), coordinator.batches, coordinator.clock.now

    def said(ready: ChunkReady | Refusal) -> list[Message] | Refusal:
        return ready if isinstance(ready, Refusal) else [ready_message(ready, ready_topic)]

    def failed(reason: str, _duration_s: float) -> list[Message] | None:
        ready = record(batches, all_failed(order, reason), now())
        return None if isinstance(ready, Refusal) else [ready_message(ready, ready_topic)]

    return Task(
        delivery=delivery,
        start=order.start,
        timeout_s=CHUNK_TIMEOUT_S,
        act=lambda: said(work(order, prepare, batches, now)),
        failed=failed,
    )


def _look(coordinator: Coordinator, delivery: Delivery) -> Task:
    ready = read_ready(delivery.data)

    def act() -> list[Message] | Refusal:
        return coordinator.on_ready(ready) or []

    return Task(
        delivery=delivery,
        start=ready.start,
        timeout_s=READY_TIMEOUT_S,
        act=act,
        failed=lambda _reason, _duration_s: None,
    )
