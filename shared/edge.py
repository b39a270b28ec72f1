"""The rim of every function: the only place that catches broadly, and the only error policy.

What can never work is kept with its reason and acknowledged; anything else is handed back, comes again, and ends in the
dead letters. Work that raises is a report like any other: the gate acts on `failed`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TypeVar

from shared import logs
from shared.core.codec import Malformed
from shared.core.messages import TEXT_MAX, run_of
from shared.core.model import Completion, Start, Status
from shared.core.timeouts import WORK_S_MAX
from shared.ports import QUARANTINE_BODY_MAX, Delivery, FeedError, Ports, Quarantined, WarehouseError
from shared.service import Refusal

log = logging.getLogger("tipoff.edge")

Handler = Callable[[bytes], Refusal | None]
T = TypeVar("T")


def receive(deliveries: Sequence[Delivery], handler_of: Callable[[Delivery], Handler], ports: Ports) -> None:
    """Handle deliveries one by one, then acknowledge at once those that are done with.

    A death in between delivers some of them again, which every handler survives.
    """
    done = [delivery for delivery in deliveries if handle(delivery, handler_of(delivery), ports)]
    if done:
        ports.bus.ack(done)


def handle(delivery: Delivery, handler: Handler, ports: Ports) -> bool:
    """True if this delivery is done with: handled, kept as hopeless, or buried. Otherwise it has been handed back.

    What was counted of it is sent before it is answered, whatever became of it: afterwards a function stands still.
    """
    try:
        return _handle(delivery, handler, ports)
    finally:
        ports.meter.send()


def _handle(delivery: Delivery, handler: Handler, ports: Ports) -> bool:
    try:
        with ports.trace.receiving(delivery.attributes), logs.about(trace=logs.trace_of(ports.trace.carry({}))):
            refused = handler(delivery.data)
    except Malformed as error:
        refused = Refusal(f"malformed: {error}")
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, the message comes again
        log.warning("%s attempt %d on %s: %s", delivery.id, delivery.attempt, delivery.topic, logs.describe(error))
        return ports.bus.nack(delivery, ports.clock.now(), logs.describe(error))
    if refused:
        quarantine(delivery, refused, ports)
    return True


def quarantine(delivery: Delivery, refused: Refusal, ports: Ports) -> None:
    """Keep a hopeless message for a person, cut to a bound; its body goes into no log."""
    log.error("quarantined %s from %s: %s", delivery.id, delivery.topic, refused.reason[:TEXT_MAX])
    ports.states.quarantine(
        Quarantined(
            id=delivery.id,
            run=str(run_of(delivery.attributes) or ""),
            topic=delivery.topic,
            reason=refused.reason[:TEXT_MAX],
            at=ports.clock.now(),
            body=delivery.data[:QUARANTINE_BODY_MAX],
            size=len(delivery.data),
            attributes=delivery.attributes,
        )
    )


def perform(start: Start, work: Callable[[Start], Completion]) -> Completion:
    """Do the work of a start; whatever it raises becomes a report that it failed, with the reason."""
    began = monotonic()
    try:
        done = work(start)
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, it is a report
        log.warning("%s failed: %s", start.id, logs.describe(error))
        return failure(start, logs.describe(error), monotonic() - began)
    log.info("%s is %s: %s rows in %.1f s", start.id, done.status, done.rows, monotonic() - began)
    return done


def perform_in_time(start: Start, work: Callable[[Start], Completion]) -> Completion:
    """As perform, and out of its time, at most WORK_S_MAX, the start is reported as failed: a push answered too late
    would come again.

    Work that is given up may go on; what it still writes carries an older fence than the next attempt's.
    """
    given: SimpleQueue[Completion] = SimpleQueue()
    context = copy_context()  # its log lines and spans are about the same message
    Thread(target=lambda: given.put(context.run(perform, start, work)), name=start.id, daemon=True).start()
    within_s = min(start.timeout_s, WORK_S_MAX)
    try:
        return given.get(timeout=within_s)
    except Empty:
        log.warning("%s timed out after %d s", start.id, within_s)
        return failure(start, f"timed out after {within_s} s", within_s)


def attempt(work: Callable[[], T]) -> T | str:
    """What the work gives; or, whatever it raises, that in words: for work whose failure is a result like any other."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, it is a result
        return logs.describe(error)


@dataclass(frozen=True, slots=True)
class Raised:
    """What work raised, in words, and whether another try may help."""

    reason: str
    passing: bool


LASTING = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError),
    *(WarehouseError, FeedError),
)
"""What depends on the input alone: the same work raises it again. All else is the world's, and may pass."""


def judge(work: Callable[[], T]) -> T | Raised:
    """As attempt, for work that reads nothing but what it was given."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, it is a result
        return Raised(logs.describe(error), passing=not isinstance(error, LASTING))


def apart(act: Callable[[], object]) -> None:
    """Do one of many things; that it failed is logged, and keeps none of the others."""
    failed = attempt(lambda: (act(), None)[1])
    if failed is not None:
        log.error("one part of a sweep failed, and comes again with the next: %s", failed)


def failure(start: Start, reason: str, duration_s: float) -> Completion:
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=Status.FAILED,
        reason=reason[:TEXT_MAX],
        duration_s=round(duration_s, 6),
    )
