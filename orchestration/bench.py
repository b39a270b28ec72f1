"""What Tipoff costs on this machine, for docs/benchmarks.md: measured by the shipped parts, in one run.

Longer than 400 lines because the figures of one page are measured in one way, seen best side by side.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from orchestration.batches import BatchSweep, batch_services
from orchestration.local import Listening, LocalRuntime
from predictions.coordinator.coordinator import Coordinator, Inputs
from shared import wiring
from shared.config.settings import Settings
from shared.core.batch import Unit, UnitResult, UnitState
from shared.core.fold import look
from shared.core.gate import Open, decide
from shared.core.model import (
    Completion,
    LedgerEntry,
    Missing,
    ModeSpec,
    PhaseSpec,
    PipelineSpec,
    ProcessorSpec,
    Reading,
    ReadingVerdict,
    RunKey,
    Start,
    Status,
)
from shared.core.plan import Plan
from shared.core.readings import COMPLETENESS, FRESHNESS, HEALTH, SANITY
from shared.ports import Partition, RunRecord, Stamp, Written
from shared.service import Refusal, Service

PHASES, PROCESSORS = 5, 5
READINGS = (HEALTH, FRESHNESS, COMPLETENESS, SANITY)
WARM_RUNS, RUNS, AT_ONCE, AT_ONCE_RUNS = 20, 100, 50, 500
WIDE_UNITS = (450, 2_000, 10_000)
WIDE_TIMES, WIDE_WORKERS = 5, 2
WIDE_TABLE = """
CREATE SCHEMA IF NOT EXISTS wide;
CREATE TABLE IF NOT EXISTS wide.units (
  day DATE NOT NULL, unit STRING, run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
);
"""
DAY = date(2024, 1, 15)
SEASON_FIRST, SEASON_LAST = date(2023, 10, 24), date(2024, 4, 14)  # of 2023-24, whose box scores the data holds
MODE = "overnight"


def chain_pipeline(readings: tuple[str, ...] = ()) -> PipelineSpec:
    """Five phases of five processors that do next to nothing: what remains is the gates' own cost. `readings`: what
    each gate asks for; there is nothing here that they would find."""
    return PipelineSpec(
        name="chain",
        zone="UTC",
        modes=(
            ModeSpec(
                name=MODE,
                starts_at="06:00",
                start_days=1,
                deadline="09:00",
                deadline_days=1,
                as_of_days=0,
                precedence={"game_date": 1},
            ),
        ),
        phases=tuple(
            PhaseSpec(
                name=f"p{phase}",
                label=str(phase),
                completion_topic=f"chain-p{phase}-complete",
                start_topic=f"chain-p{phase}-start",
                usual_s=60,
                processors=tuple(
                    ProcessorSpec(name=f"p{phase}_{number}", critical=(MODE,)) for number in range(PROCESSORS)
                ),
                readings=readings,
            )
            for phase in range(PHASES)
        ),
        schedules=(),
        expects="nothing",
    )


def wide_pipeline() -> PipelineSpec:
    """One phase of one processor that is fanned out into units."""
    chained = chain_pipeline()
    phase = PhaseSpec(
        name="units",
        label="1",
        completion_topic="wide-complete",
        start_topic="wide-start",
        usual_s=60,
        processors=(ProcessorSpec(name="units", critical=(MODE,), timeout_s=2_400),),
    )
    return replace(chained, name="wide", phases=(phase,))


def chain(*, durability: str = "process", readings: tuple[str, ...] = ()) -> dict[str, object]:
    """A chain of 5 phases x 5 processors on an empty home, warm: one after the other, then 50 at once."""
    with tempfile.TemporaryDirectory() as folder, _home(folder, durability) as home:
        return _chain(home, Path(folder) / "trace", chain_pipeline(readings))


def _chain(home: wiring.LocalHome, trace: Path, spec: PipelineSpec) -> dict[str, object]:
    service = TimedService(home, spec)
    completion_topics = {phase.name: phase.completion_topic for phase in spec.phases}
    starts = tuple(Listening(f"work--{phase.name}", phase.start_topic, "starts") for phase in spec.phases)
    gates = tuple(Listening(f"gate--{phase.name}", phase.completion_topic, "completions") for phase in spec.phases)
    runtime = LocalRuntime(
        home.ports,
        service,
        (*starts, *gates),
        lambda start: _append_line(trace, start),
        topic_of=lambda start: completion_topics[start.phase],
        workers=2,
    )
    generation = iter(range(1, 10_000))

    def run(count: int) -> float:
        began, target = time.perf_counter(), service.ended + count
        for _ in range(count):
            service.start_run(RunKey(spec.name, DAY, MODE, next(generation)))
        runtime.run_until(lambda: service.ended >= target)
        return time.perf_counter() - began

    for _ in range(WARM_RUNS):
        run(1)
    service.transitions_ms.clear()
    run_s = [run(1) for _ in range(RUNS)]
    transitions_ms = list(service.transitions_ms)
    at_once_s = sum(run(AT_ONCE) for _ in range(AT_ONCE_RUNS // AT_ONCE))
    runtime.close()
    return {
        "run_ms_p50": round(statistics.median(run_s) * 1e3, 2),
        "run_ms_p95": round(statistics.quantiles(run_s, n=20)[-1] * 1e3, 2),
        "transition_ms_p50": round(statistics.median(transitions_ms), 2),
        "transition_ms_p95": round(statistics.quantiles(transitions_ms, n=20)[-1], 2),
        "runs_per_minute_50": round(AT_ONCE_RUNS / at_once_s * 60),
        "processes": 1,
        "runs": RUNS,
        "runs_at_once": AT_ONCE_RUNS,
    }


class TimedService(Service):
    """The shipped service; notes when a completion was received and when what followed had been published."""

    def __init__(self, home: wiring.LocalHome, spec: PipelineSpec) -> None:
        super().__init__(home.ports, {spec.name: spec}, self._told, starts_missing_runs=False)
        self._received = 0.0
        self.transitions_ms: list[float] = []
        self.ended = 0

    def on_completion(self, completion: Completion) -> Refusal | None:
        self._received = time.perf_counter()
        return super().on_completion(completion)

    def _told(self, entry: LedgerEntry) -> None:
        """Called once a decision stands and its starts are published."""
        if entry.decision == "open" and entry.facts:
            self.transitions_ms.append((time.perf_counter() - self._received) * 1e3)
        self.ended += entry.decision == "done"


def _append_line(trace: Path, start: Start) -> Completion:
    """What the processors of the other tools did in the same comparison: append one line to a file."""
    with trace.open("a") as lines:
        lines.write(f"{start.id}\n")
    return _success(start.run, start.phase, start.processor)


def _success(run: RunKey, phase: str, processor: str) -> Completion:
    return Completion(run=run, phase=phase, processor=processor, attempt=1, report=1, status=Status.SUCCESS)


def wide(sizes: Sequence[int] = WIDE_UNITS, times: int = WIDE_TIMES) -> dict[str, object]:
    """One phase of so many units: run started, chunks worked off, one MERGE, run ended; median of fresh homes, warm.

    Each size in a process of its own, so that its peak memory is its own. `work_s` is what the units' work itself took,
    `beyond_s` all the rest.
    """
    processes = get_context("spawn")
    figures: dict[str, object] = {}
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=processes) as pool:
            figures[str(size)] = pool.submit(_wide_times, size, times).result()
    return figures


def _wide_times(size: int, times: int) -> dict[str, float]:
    spent: list[tuple[float, float]] = []
    for _ in range(times + 1):
        with tempfile.TemporaryDirectory() as folder, _home(folder) as home:
            spent.append(_wide(home, Path(folder) / "trace", size))
    del spent[0]  # it warms imports and caches
    return {
        "seconds": round(statistics.median(took_s for took_s, _ in spent), 3),
        "work_s": round(statistics.median(work_s for _, work_s in spent), 3),
        "beyond_s": round(statistics.median(took_s - work_s for took_s, work_s in spent), 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 / 1e6),
    }


def _wide(home: wiring.LocalHome, trace: Path, size: int) -> tuple[float, float]:
    """Seconds for all of it, and those of them in which a unit was being worked on by somebody."""
    spec = wide_pipeline()
    (phase,) = spec.phases
    home.warehouse.create(WIDE_TABLE)
    target = Partition(table="wide.units", column="day", first=DAY, last=DAY)
    names = tuple(f"u{number:05}" for number in range(size))

    def consolidate(start: Start, outputs: Sequence[str]) -> Written:
        rows = [{"day": DAY, "unit": json.loads(output)["unit"]} for output in outputs]
        return home.warehouse.merge(target, rows, ("unit",), Stamp.of(start), "unit")

    work_s: list[float] = []

    def predict(unit: Unit) -> UnitResult:
        began = time.perf_counter()
        with trace.open("a") as lines:  # what the tasks of the other tools did in the same comparison
            lines.write(f"{unit.id}\n")
        work_s.append(time.perf_counter() - began)
        return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps({"unit": unit.id}))

    coordinator = Coordinator(
        pipeline=spec.name,
        batches=home.batches,
        bus=home.ports.bus,
        clock=home.clock,
        gather=lambda _: Inputs(shared="", units=dict.fromkeys(names, "{}"), skipped={}),
        consolidate=consolidate,
        standing=lambda start: home.warehouse.standing(target, Stamp.of(start), "unit"),
        request_topic="wide-request",
        completion_topic=phase.completion_topic,
    )
    service = TimedService(home, spec)
    listening = (
        Listening("coordinator--start", phase.start_topic, "batches"),
        Listening("worker--request", "wide-request", "orders"),
        Listening("coordinator--ready", "wide-ready", "reports"),
        Listening("gate--complete", phase.completion_topic, "completions"),
    )
    runtime = LocalRuntime(
        home.ports,
        service,
        listening,
        lambda start: _append_line(trace, start),
        topic_of=lambda _: phase.completion_topic,
        services=batch_services(coordinator, lambda _: predict, "wide-ready"),
        sweeps=(BatchSweep(coordinator),),
        workers=WIDE_WORKERS,
    )
    began = time.perf_counter()
    service.start_run(RunKey(spec.name, DAY, MODE))
    runtime.run_until(lambda: service.ended == 1)
    took_s = time.perf_counter() - began
    runtime.close()
    merged = home.warehouse.query("SELECT COUNT(*) AS units FROM wide.units", {})
    assert merged == [{"units": size}]
    assert sorted(trace.read_text().split()) == list(names)
    return took_s, sum(work_s) / WIDE_WORKERS


def core() -> dict[str, object]:
    """`decide` on a plan of 25 processors in its dearest view; what importing the core and asking for help cost."""
    record, plan = _last_look()
    view = look(plan, record.facts[:-1], record.latches[:-1], record.control, plan.started_at)
    assert len(view.facts) == PHASES * PROCESSORS - 1
    decide_us = [_timed(lambda: decide(view)) * 1e6 for _ in range(2_000)]
    before_last = look(plan, record.facts[:-PROCESSORS], record.latches[:-2], record.control, plan.started_at)
    readings = _warnings()
    assert isinstance(decide(before_last, readings).decision, Open)
    read_us = [_timed(lambda: decide(before_last, readings)) * 1e6 for _ in range(2_000)]
    bare_ms = _process_ms("-c", "pass")
    everything = "import shared.core.gate, shared.core.messages, shared.core.status"
    return {
        "decide_us_p50": round(statistics.median(decide_us), 1),
        "decide_us_p95": round(statistics.quantiles(decide_us, n=20)[-1], 1),
        "decide_read_us_p50": round(statistics.median(read_us), 1),
        "decide_read_us_p95": round(statistics.quantiles(read_us, n=20)[-1], 1),
        "import_core_ms": round(_process_ms("-c", everything) - bare_ms, 1),
        "help_ms": _process_ms("-m", "orchestration.cli.main", "--help"),
        "bare_python_ms": bare_ms,
    }


def _warnings() -> dict[str, Reading]:
    """What four readings say that each name a processor with a few units: the dearest to weigh."""
    lacks = tuple(Missing(processor=f"p3_{n}", why="no rows", units=("g1", "g2")) for n in range(PROCESSORS))
    return {
        name: Reading(name=name, verdict=ReadingVerdict.WARN, note="no rows of g1, g2", missing=lacks)
        for name in READINGS
    }


def _last_look() -> tuple[RunRecord, Plan]:
    """A chain's record once it has ended; without its last fact and outcome it is the view before the last gate."""
    spec = chain_pipeline(READINGS)
    with tempfile.TemporaryDirectory() as folder, _home(folder) as home:
        service = TimedService(home, spec)
        run = RunKey(spec.name, DAY, MODE)
        service.start_run(run)
        for phase in spec.phases:
            for processor in phase.processors:
                service.on_completion(_success(run, phase.name, processor.name))
        plan = home.ports.states.plan(run)
        assert plan is not None
        return home.ports.states.load(run), plan


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _process_ms(*arguments: str, times: int = 21) -> float:
    """A whole process, median wall time."""
    command = [sys.executable, *arguments]
    spent = [_timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(times)]  # noqa: S603
    return round(statistics.median(spent) * 1e3, 1)


def night(data: Path | None, times: int = 5) -> dict[str, object]:
    """`tipoff run` of one night as a whole process on an empty home, history included."""
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            from data_processors.nba.sample_season import write_sample_season

            data, day = Path(folder) / "season", date(2025, 11, 20)
            write_sample_season(data, first=date(2025, 10, 21))
        else:
            day = DAY
        homes = iter(Path(folder) / f"home{number}" for number in range(times))

        def run() -> object:
            options = ["--date", str(day), "--mode", MODE, "--data", str(data), "--home", str(next(homes))]
            command = [sys.executable, "-m", "orchestration.cli.main", "run", "nba", *options, "--json"]
            return subprocess.run(command, check=True, capture_output=True)  # noqa: S603

        spent = [_timed(run) for _ in range(times)]
    return {"night_s_p50": round(statistics.median(spent), 2), "night_s_max": round(max(spent), 2), "date": str(day)}


def season(data: Path | None) -> dict[str, object]:
    """`tipoff backfill` of the season's dates, overnight and same_day, on an empty home, then `tipoff report`; once.

    Peak memory is that of the largest process that this one has waited for.
    """
    with tempfile.TemporaryDirectory() as folder:
        first, last = SEASON_FIRST, SEASON_LAST
        if data is None:
            from data_processors.nba.sample_season import write_sample_season

            data, first, last = Path(folder) / "season", date(2025, 10, 21), date(2025, 12, 3)
            write_sample_season(data, first=first)
        home = ["--home", str(Path(folder) / "home"), "--json"]
        dates = ["--from", str(first), "--to", str(last), "--mode", "overnight,same_day"]
        began = time.perf_counter()
        filled = _tipoff("backfill", "nba", *dates, "--data", str(data), *home)
        took_s = time.perf_counter() - began
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_024
        told = _tipoff("report", "nba", *home)
    return {
        "first": str(first),
        "last": str(last),
        "seconds": round(took_s, 1),
        "peak_mb": round(peak_mb),
        **{state: count for state, count in filled["states"].items() if count},
        "graded": max(row["n"] for row in told["accuracy"]),
        **{f"mae_{row['system']}": row["mae"] for row in told["accuracy"]},
    }


def _tipoff(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "orchestration.cli.main", *arguments]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def _home(folder: str, durability: str = "process") -> AbstractContextManager[wiring.LocalHome]:
    settings = Settings(home=Path(folder), log_level="ERROR", commit="unknown", no_color=True)
    return wiring.write_home(settings, command="tipoff bench", wait_s=0, waiting=lambda _: None, durability=durability)
