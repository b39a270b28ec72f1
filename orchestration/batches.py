"""The coordinator and its workers as services of the embedded runtime."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.local import Accept
from orchestration.pool import Task
from predictions.coordinator.coordinator import Coordinator
from predictions.worker.worker import Prepare, answer
from shared.core.batch import CHUNK_TIMEOUT_S, ChunkOrder, ChunkReport, UnitResult, UnitState
from shared.core.messages import Message, read_order, read_report, read_start, report_message
from shared.ports import Delivery
from shared.service import Refusal

BEGIN_TIMEOUT_S = 300  # the inputs of a batch are read in bulk
REPORT_TIMEOUT_S = 300  # who records the last report also consolidates
SWEEP_TIMEOUT_S = 300  # as may the timer


def batch_services(coordinator: Coordinator, prepare: Prepare, ready_topic: str) -> Mapping[str, Accept]:
    """What hears starts of batches, orders of chunks and reports of chunks."""
    return {
        "batches": lambda delivery: _begin(coordinator, delivery),
        "orders": lambda delivery: _work(prepare, ready_topic, delivery),
        "reports": lambda delivery: _count(coordinator, delivery),
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


def _work(prepare: Prepare, ready_topic: str, delivery: Delivery) -> Task:
    order = read_order(delivery.data)
    return Task(
        delivery=delivery,
        start=order.start,
        timeout_s=CHUNK_TIMEOUT_S,
        act=lambda: [report_message(answer(order, prepare), ready_topic)],
        failed=lambda reason, _: [report_message(_all_failed(order, reason), ready_topic)],
    )


def _all_failed(order: ChunkOrder, reason: str) -> ChunkReport:
    results = [UnitResult(unit=unit.id, state=UnitState.FAILED, reason=reason, again=True) for unit in order.units]
    return ChunkReport(start=order.start, chunk=order.chunk, number=order.number, results=tuple(results))


def _count(coordinator: Coordinator, delivery: Delivery) -> Task:
    report = read_report(delivery.data)

    def act() -> list[Message] | Refusal:
        return coordinator.on_report(report) or []

    return Task(
        delivery=delivery,
        start=report.start,
        timeout_s=REPORT_TIMEOUT_S,
        act=act,
        failed=lambda _reason, _duration_s: None,
    )
