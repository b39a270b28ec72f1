"""Runs of a pipeline, for the commands: begun, driven and watched, on embedded parts or on those of a cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from data_processors.nba.runner import REGISTRY, Work, run_processor
from orchestration.batches import BatchSweep, batch_services
from orchestration.local import Listening, LocalRuntime
from orchestration.records import status_of
from orchestration.watch import Watcher
from predictions.coordinator.points import points_coordinator
from predictions.worker.points import prepare
from shared import edge
from shared.config.functions import (
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    PREDICTION_REQUEST_TOPIC,
    PREDICTION_START_TOPIC,
    FunctionKind,
    functions_of,
)
from shared.core.model import Act, Completion, LedgerEntry, PipelineSpec, RunKey, Start
from shared.core.plan import planned
from shared.core.status import RunState, RunStatus
from shared.core.subscriptions import subscription_of
from shared.ports import Feed
from shared.service import Refusal, Service
from shared.wiring import Home, LocalHome

WORKERS = 4  # a statement has one core of two, and a commit waits for the disk; more threads only wait for each other

PREDICTIONS = "predictions"  # the phase, and its one processor, that the coordinator fans out

SPECIAL = {
    NUDGE_TOPIC: "nudges",
    PREDICTION_START_TOPIC: "batches",
    PREDICTION_REQUEST_TOPIC: "orders",
    PREDICTION_READY_TOPIC: "reports",
}
"""Topics that carry something else than completions and starts of processors."""

Tell = Callable[[LedgerEntry], None]
Watch = Callable[[list[Start]], None]


class Runtime(Protocol):
    """What does the work of runs while a command looks on."""

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Go on until `stop` says so; it is asked whenever something may have changed, and now and then."""

    @property
    def running(self) -> list[Start]:
        """Starts that are being worked on."""

    def next_at(self) -> datetime | None:
        """When something that is under way beside the runs' own looks comes next; None if nothing does."""

    def close(self) -> None: ...


class Runs:
    """The runs that one process drives, on one home and one feed; from one thread."""

    def __init__(
        self, home: Home, spec: PipelineSpec, feed: Feed, commit: str, tick: Callable[[], object] = lambda: None
    ) -> None:
        """`tick` is called now and then while the work is done elsewhere."""
        self.home, self.spec, self.feed = home, spec, feed
        self._tick = tick
        self._since = home.clock.now()  # a replay begins before it is watched
        self.work = Work(warehouse=home.warehouse, feed=feed, objects=home.exports, now=home.clock.now, commit=commit)
        self._tell: Tell = lambda _: None
        told = self._told if isinstance(home, LocalHome) else lambda _: None  # elsewhere the ledger tells of all
        self._service = Service(home.ports, {spec.name: spec}, told, starts_missing_runs=False, attempt=edge.attempt)
        self._told_of: set[RunKey] = set()
        coverage = feed.coverage()
        self._labels = {
            "data": coverage.source,
            "synthetic": "yes" if coverage.synthetic else "no",
            "folder": coverage.folder,
        }

    def replay(self, key: RunKey, from_phase: str, act: Act) -> RunKey | Refusal:
        """The generation that does the run over from this phase on, begun; `go` drives it like any other."""
        return self._service.replay(key, from_phase, act, self._labels)

    def look_again(self, key: RunKey, act: Act | None = None) -> Refusal | None:
        """Order the run's sources to look again; `go` does what that brings."""
        starts = self._service.look_again(key, act=act)
        return starts if isinstance(starts, Refusal) else None

    def go(self, key: RunKey, *, patience_s: float, tell: Tell, watch: Watch) -> RunStatus:
        """Start or resume one run and drive it until it has ended or nothing is due within patience_s."""
        waiting = [key]

        def ready() -> list[RunKey]:
            return [waiting.pop()] if waiting else []

        self.drive(ready, patience_s=patience_s, ended=lambda _: None, tell=tell, watch=watch)
        return self.status(key)

    def drive(
        self,
        ready: Callable[[], Iterable[RunKey]],
        *,
        patience_s: float,
        ended: Callable[[RunStatus], None],
        tell: Tell,
        watch: Watch,
    ) -> None:
        """Start or resume what is ready, and ask again whenever one ends, until nothing is ready and nothing runs.

        A run for which nothing is due within patience_s ends here too: it is kept, and its status says how it stands.
        """
        running: list[RunKey] = []
        runtime = self._runtime = self._make_runtime(running)

        def start_more() -> None:
            for key in ready():
                self._service.start_run(key, self._labels)
                running.append(key)

        def all_have_ended() -> bool:
            at_work = runtime.running
            watch(at_work)
            busy = {start.run for start in at_work}
            while still := [status for key in running if (status := self._stands_still(key, busy, patience_s))]:
                for status in still:
                    running.remove(status.run)
                    ended(status)
                start_more()
            return not running

        self._tell = tell
        try:
            start_more()
            runtime.run_until(all_have_ended)
        finally:
            runtime.close()

    def _make_runtime(self, running: Sequence[RunKey]) -> Runtime:
        if isinstance(self.home, LocalHome):
            return local_runtime(self.home, self.spec, self._service, self.work)
        return Watcher(self.home.ports, running, self._told, self._tick, self._since)

    def status(self, key: RunKey) -> RunStatus:
        return status_of(self.home.ports.states, key, self.home.clock.now())

    def _stands_still(self, key: RunKey, busy: set[RunKey], patience_s: float) -> RunStatus | None:
        """Its status, if it has ended or can only wait. A run at work is folded only after a decision: that is dear."""
        if key in busy and key not in self._told_of:
            return None
        self._told_of.discard(key)
        status = self.status(key)
        if status.next_look_at is None:
            return None if self._may_get_better(status) else status
        if key in busy:
            return None
        ports = self.home.ports
        # what fell due since the last sweep is not in the status any more, but still on the timer's list
        due_at = ports.states.load(key).due_at or status.next_look_at
        others = (self._runtime.next_at(), self.home.batches.next_at())
        soonest = min(status.next_look_at, due_at, *(at for at in others if at))
        return status if soonest > ports.clock.now() + timedelta(seconds=patience_s) else None

    def _may_get_better(self, status: RunStatus) -> bool:
        """Whether a degraded end has a look to come in the next sweep. Other homes are swept without this process."""
        if status.state is not RunState.DEGRADED or not isinstance(self.home, LocalHome):
            return False
        due_at = self.home.ports.states.load(status.run).due_at
        return due_at is not None and due_at <= self.home.ports.clock.now()

    def _told(self, entry: LedgerEntry) -> None:
        self._told_of.add(entry.run)
        self._tell(entry)


def local_runtime(home: LocalHome, spec: PipelineSpec, service: Service, work: Work) -> LocalRuntime:
    """Every deployed function and processor of a pipeline, in this process."""
    completion_topics = {phase.name: phase.completion_topic for phase in spec.phases}
    coordinator = points_coordinator(home, spec)
    return LocalRuntime(
        home.ports,
        service,
        listening(spec.name),
        processor_work(spec, work),
        topic_of=lambda start: completion_topics[start.phase],
        services=batch_services(coordinator, prepare, PREDICTION_READY_TOPIC),
        sweeps=(BatchSweep(coordinator),),
        interrupt=home.warehouse.interrupt,
        workers=WORKERS,
    )


def processor_work(spec: PipelineSpec, work: Work) -> Callable[[Start], Completion]:
    """What the processors of every phase do with a start."""
    specs = {processor.name: processor for phase in spec.phases for processor in phase.processors}
    return lambda start: run_processor(start, specs[start.processor], start.phase, work)


def unable(spec: PipelineSpec, mode: str) -> list[str]:
    """The processors that a mode plans and nothing here can run."""
    able = {*REGISTRY, PREDICTIONS}
    return [p.name for phase in spec.phases for p in planned(phase, mode) if p.name not in able]


def listening(pipeline: str) -> tuple[Listening, ...]:
    """The subscriptions of every function that a pipeline deploys, heard in this process."""
    kinds = {FunctionKind.GATE: "completions", FunctionKind.SERVICE: "starts"}
    return tuple(
        Listening(subscription_of(function.name, topic), topic, SPECIAL.get(topic, kinds[function.kind]))
        for function in functions_of(pipeline)
        for topic in function.listens
        if function.kind is FunctionKind.GATE or topic != NUDGE_TOPIC  # batches are swept beside the runs
    )
