"""One run of the nba pipeline in this process: the deployed functions' handlers and processors on embedded parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from data_processors.nba.runner import REGISTRY, Work, run_processor
from orchestration.local import Listening, LocalRuntime
from shared.config.functions import FUNCTIONS, NUDGE_TOPIC, FunctionKind
from shared.core.fold import look
from shared.core.model import Completion, LedgerEntry, PipelineSpec, RunKey, Start
from shared.core.plan import planned
from shared.core.status import RunStatus, summarise
from shared.ports import Feed
from shared.service import Service
from shared.wiring import LocalHome

WORKERS = 4  # DuckDB uses both cores by itself; more threads only wait for each other


@dataclass(frozen=True, slots=True)
class OneRun:
    """What one `tipoff run` drives."""

    home: LocalHome
    spec: PipelineSpec
    key: RunKey
    feed: Feed
    commit: str

    @property
    def work(self) -> Work:
        return Work(
            warehouse=self.home.warehouse,
            feed=self.feed,
            objects=self.home.exports,
            now=self.home.clock.now,
            commit=self.commit,
        )

    def go(
        self, *, patience_s: float, tell: Callable[[LedgerEntry], None], watch: Callable[[list[Start]], None]
    ) -> RunStatus:
        """Start or resume the run and drive it until it has ended or nothing is due within patience_s."""
        ports = self.home.ports
        completion_topics = {phase.name: phase.completion_topic for phase in self.spec.phases}
        service = Service(ports, {self.spec.name: self.spec}, tell, starts_missing_runs=False)
        runtime = LocalRuntime(
            ports,
            service,
            listening(),
            processor_work(self.spec, self.work),
            topic_of=lambda start: completion_topics[start.phase],
            interrupt=self.home.warehouse.interrupt,
            workers=WORKERS,
        )
        coverage = self.feed.coverage()
        service.start_run(self.key, {"data": coverage.source, "synthetic": "yes" if coverage.synthetic else "no"})

        def stands_still() -> bool:
            watch(runtime.running)
            status = self.status()
            if status.next_look_at is None:
                return True
            idle_until = runtime.idle_until()
            if idle_until is None:
                return False
            # what fell due since the last sweep is not in the status any more, but still on the timer's list
            due_at = ports.states.load(self.key).due_at or status.next_look_at
            return min(idle_until, status.next_look_at, due_at) > ports.clock.now() + timedelta(seconds=patience_s)

        try:
            runtime.run_until(stands_still)
        finally:
            runtime.close()
        return self.status()

    def status(self) -> RunStatus:
        states = self.home.ports.states
        plan, record = states.plan(self.key), states.load(self.key)
        assert plan is not None
        return summarise(look(plan, record.facts, record.latches, record.control, self.home.clock.now()))


def processor_work(spec: PipelineSpec, work: Work) -> Callable[[Start], Completion]:
    """What the processors of every phase do with a start."""
    specs = {processor.name: processor for phase in spec.phases for processor in phase.processors}
    return lambda start: run_processor(start, specs[start.processor], start.phase, work)


def unable(spec: PipelineSpec, mode: str) -> list[str]:
    """The processors that a mode plans and nothing here can run."""
    return [p.name for phase in spec.phases for p in planned(phase, mode) if p.name not in REGISTRY]


def listening() -> tuple[Listening, ...]:
    """Every deployed function's subscriptions, heard in this process."""
    kinds = {FunctionKind.GATE: "completions", FunctionKind.SERVICE: "starts"}
    return tuple(
        Listening(f"{function.name}--{topic}", topic, "nudges" if topic == NUDGE_TOPIC else kinds[function.kind])
        for function in FUNCTIONS
        for topic in function.listens
    )


def latest(home: LocalHome, spec: PipelineSpec, day: date, mode: str) -> int:
    """The newest generation of a run that this home knows; 1 if it knows none."""
    runs = home.ports.states.runs(spec.name, day, day)
    return max((run.generation for run in runs if run.mode == mode), default=1)
