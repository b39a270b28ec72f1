"""What Tipoff costs on Google's emulators, for docs/benchmarks.md: staged functions, each a process, over HTTP push.

Every measure starts emulators of its own and ends them. Processes are looked at through /proc, so on Linux alone.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from data_processors.nba.runner import Work, bootstrap, create_tables
from data_processors.nba.sample_season import write_sample_season
from orchestration import emulators
from orchestration.bench_system import HOP, PATIENCE_S, RELAY, System, open_system
from orchestration.stack import StackFailed, last_lines, serve_command
from orchestration.staging import stage
from shared import wiring
from shared.config.functions import PREDICTION_START_TOPIC
from shared.config.nba import NBA
from shared.config.settings import LOCAL_PROJECT, process_environment
from shared.core.messages import Message, completion_message, read_completion, start_message
from shared.core.model import Completion, ModeSpec, RunKey, Start, Status
from shared.core.plan import fence
from shared.core.subscriptions import subscription_of
from shared.ports import Partition, Stamp

ROUNDS = 10  # cold processes
RUNS, WARM_RUNS = 90, 5  # transitions
VIEWS = 30  # of them ready at once; two runs each, and a function keeps the views of 64
UNITS = (450, 2_000)
TIMES = 3  # batches of each size, after one to warm up

GATE = "phase1_to_phase2"
SCRAPE, RAW = NBA.phases[0], NBA.phases[1]
[PREDICTIONS] = [phase for phase in NBA.phases if phase.start_topic == PREDICTION_START_TOPIC]
DAY = date(2024, 1, 15)
SEASON_FIRST, SEASON_DAYS = date(2025, 10, 21), 12
MIB = 1 << 20
CONTENTION = re.compile(r"Aborted|contention|lock timeout", re.IGNORECASE)


# --- figures --------------------------------------------------------------------------------------------


def start(rounds: int = ROUNDS) -> dict[str, object]:
    """A gate as a cold process, from exec until it has answered its first message: it opened a phase, and ordered.

    Processor seconds are those of the server and its children. Memory is what they hold then: PSS counts what the two
    share once, peak is the sum of their largest resident sets, which counts it twice.
    """
    with open_system("pubsub", "firestore") as system:
        folder = stage(GATE, system.folder).folder
        colds = []
        for number in range(rounds + 1):
            run = RunKey(NBA.name, _day(number), "overnight")
            system.service.start_run(run)
            assert system.service.on_completion(_scraped(run, "schedule")) is None
            colds.append(_cold(system, folder, run))
    first, *rest = colds
    return {
        "cpu_s_p50": round(statistics.median(each.cpu_s for each in rest), 2),
        "cpu_s_max": round(max(each.cpu_s for each in rest), 2),
        "cpu_s_to_serve_p50": round(statistics.median(each.serving_cpu_s for each in rest), 2),
        "cpu_s_uncompiled": round(first.cpu_s, 2),
        "wall_s_p50": round(statistics.median(each.wall_s for each in rest), 2),
        "pss_mib_max": round(max(each.pss_mib for each in rest), 1),
        "peak_mib_max": round(max(each.peak_mib for each in rest), 1),
        "rounds": rounds,
        "load_average": _load_average(),
    }


def transition(runs: int = RUNS) -> dict[str, object]:
    """From the publication of a phase's last completion until the next phase's first start has come by push, warm.

    Beside it what the same emulator takes for a message alone: one push, and two with a publication in the first. It
    looks for messages every 100 ms, so each publication comes at a moment of its own. And the gate by itself, without
    that: from the completion posted to it until it has published the starts, by the emulator's time of publication.
    """
    with open_system("pubsub", "firestore") as system:
        gate = system.serve(GATE)
        for topic in (SCRAPE.start_topic, RAW.start_topic, HOP, RELAY):
            system.listen(topic)
        spent: dict[str, list[float]] = {name: [] for name in ("transition", "one_hop", "two_hops", "gate")}
        _transitions(system, [_day(number) for number in range(WARM_RUNS)], gate, {name: [] for name in spent})
        for first in range(0, runs, VIEWS):
            numbers = range(WARM_RUNS + first, WARM_RUNS + min(first + VIEWS, runs))
            _transitions(system, [_day(number) for number in numbers], gate, spent)
    figures: dict[str, object] = {}
    for name, seconds in spent.items():
        figures |= {f"{name}_ms_{quantile}": value for quantile, value in _quantiles_ms(seconds).items()}
    return {**figures, "runs": runs, "load_average": _load_average()}


def _transitions(system: System, days: Sequence[date], gate: str, spent: Mapping[str, list[float]]) -> None:
    """Each day twice: one over the emulator, and, as another generation, one past it. All are made ready first."""
    keys = [RunKey(NBA.name, day, "overnight", generation) for day in days for generation in (1, 2)]
    for key in keys:
        system.service.start_run(key)
        system.publish(completion_message(_scraped(key, "schedule"), SCRAPE.completion_topic))
    for key in keys:
        system.receiver.first(SCRAPE.start_topic, f"{key}/boxscores")
    for key, past in zip(keys[::2], keys[1::2], strict=True):
        last = completion_message(_scraped(key, "boxscores"), SCRAPE.completion_topic)
        spent["transition"].append(system.timed(last, RAW.start_topic, str(key)))
        probe = Message(topic=HOP, data=b"{}", attributes={"run": str(key)})
        spent["one_hop"].append(system.timed(probe, HOP, str(key)))
        relayed = Message(topic=RELAY, data=b"{}", attributes={"run": str(past)})
        spent["two_hops"].append(system.timed(relayed, HOP, str(past)))
        posted_at = system.home.clock.now()
        status = _push(gate, completion_message(_scraped(past, "boxscores"), SCRAPE.completion_topic))
        assert status == 204
        _, first = system.receiver.first(RAW.start_topic, str(past))
        spent["gate"].append((first.published_at - posted_at) / timedelta(seconds=1))


def _day(number: int) -> date:
    return DAY + number * timedelta(days=1)


def batch(sizes: Sequence[int] = UNITS, times: int = TIMES) -> dict[str, object]:
    """From the publication of a batch's start until its completion has come by push, on a BigQuery emulator, warm.

    The emulator pushes at most two messages of a subscription at once, whatever the functions could do.
    """
    with open_system("pubsub", "firestore", "bigquery") as system:
        days = {size: SEASON_FIRST + (SEASON_DAYS + number) * timedelta(days=1) for number, size in enumerate(sizes)}
        _load(system, days)
        for name in ("prediction_coordinator", "prediction_worker"):
            system.serve(name)
        system.listen(PREDICTIONS.completion_topic)
        seconds, lost = dict[str, object](), 0
        for size, day in days.items():
            spent = []
            for number in range(times + 1):
                run = RunKey(NBA.name, day, "same_day", number + 1)
                took_s, done = _batch(system, run, size)
                lost += size - done
                if number:  # the first warms connections and caches
                    spent.append(took_s)
            seconds[str(size)] = {"p50": round(statistics.median(spent), 2), "max": round(max(spent), 2)}
        said = system.complaints()
    return {
        "seconds": seconds,
        "lost": lost,
        "complaints": len(said),
        "contention": sum(bool(CONTENTION.search(line)) for line in said),
        "times": times,
        "load_average": _load_average(),
    }


def _load_average() -> float:
    """Of the last five minutes: on a machine that others use a figure is worth what this says."""
    return round(os.getloadavg()[1], 1)


def _quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(seconds)}
    return {name: round(value * 1e3, 1) for name, value in found.items()}


# --- a cold process -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """What one process took until it had decided."""

    cpu_s: float
    serving_cpu_s: float  # until it answered at all
    wall_s: float
    pss_mib: float
    peak_mib: float


def _cold(system: System, folder: Path, run: RunKey) -> Cold:
    port, log = emulators.free_port(), system.folder / "cold.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - of our own making; without a leash, whose Python would count
            serve_command(GATE, folder, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**process_environment(), **system.environment},
            start_new_session=True,
        )
        try:
            if not emulators.wait_until_ready(process, port):
                raise StackFailed(f"{GATE}: does not answer\n{last_lines(log)}")
            serving_cpu_s = _cpu_s(process.pid)
            status = _push(
                f"http://127.0.0.1:{port}/", completion_message(_scraped(run, "boxscores"), SCRAPE.completion_topic)
            )
            wall_s, cpu_s = time.perf_counter() - began, _cpu_s(process.pid)
            pss_mib, peak_mib = _memory_mib(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
    opened = [entry.gate for entry in system.home.ports.states.ledger(run) if entry.decision == "open"]
    if status != 204 or RAW.name not in opened:
        raise StackFailed(f"{GATE}: answered {status} and opened {opened}\n{last_lines(log)}")
    return Cold(cpu_s=cpu_s, serving_cpu_s=serving_cpu_s, wall_s=wall_s, pss_mib=pss_mib, peak_mib=peak_mib)


def _push(url: str, message: Message) -> int:
    """As the service posts it."""
    body = {
        "subscription": f"projects/{LOCAL_PROJECT}/subscriptions/{subscription_of(GATE, SCRAPE.completion_topic)}",
        "message": {
            "data": base64.b64encode(message.data).decode(),
            "attributes": dict(message.attributes),
            "messageId": "1",
        },
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own http address
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        return int(answer.status)


def _of_session(session: int) -> Iterator[tuple[Path, list[str]]]:
    """The processes of a session, each with what follows its name in /proc/PID/stat."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        if int(fields[3]) == session:
            yield stat.parent, fields


def _cpu_s(session: int) -> float:
    """User and system time, that of children which have ended included."""
    ticks = sum(sum(map(int, fields[11:15])) for _, fields in _of_session(session))
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_mib(session: int) -> tuple[float, float]:
    """PSS now, and the sum of the largest resident sets so far."""
    pss = peak = 0
    for process, _ in _of_session(session):
        pss += _kib(process / "smaps_rollup", "Pss")
        peak += _kib(process / "status", "VmHWM")
    return pss * 1024 / MIB, peak * 1024 / MIB


def _kib(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name}:"))


# --- a batch --------------------------------------------------------------------------------------------


def _load(system: System, days: Mapping[int, date]) -> None:
    """Games to learn from, and a day's features for each size: so many invented players."""
    warehouse = system.home.warehouse
    create_tables(warehouse)
    season = system.folder / "season"
    write_sample_season(season, days=SEASON_DAYS, first=SEASON_FIRST)
    work = Work(
        warehouse=warehouse,
        feed=wiring.open_feed(season),
        objects=system.home.exports,
        now=system.home.clock.now,
        commit="unknown",
    )
    bootstrap(work, min(days.values()), lambda _: None)
    for size, day in days.items():
        partition = Partition(table="nba_precompute.ml_feature_store", column="as_of", first=day, last=day)
        written = warehouse.load(partition, _features(day, size), Stamp(run="bench", attempt=1, fence=0), "player_id")
        assert written.rows == size


def _features(day: date, size: int) -> list[dict[str, object]]:
    return [
        {
            "as_of": day,
            "game_id": f"9926{number // 30:06}",
            "player_id": player,
            **{f"pts_{form}": 8.0 + number % 17 for form in ("last5", "last10", "season")},
            **{f"minutes_{form}": 20.0 + number % 13 for form in ("last5", "last10")},
            "ts_last10": 0.55,
            "games": 10,
            "is_home": number % 2,
            **{f"{factor}_factor": 0.95 + number % 11 / 100 for factor in ("matchup", "rest", "pace")},
            "features_present": 18,
            "features_total": 18,
        }
        for number, player in enumerate(_players(size))
    ]


def _players(size: int) -> tuple[str, ...]:
    return tuple(f"bench{number:05}" for number in range(size))


def _batch(system: System, run: RunKey, size: int) -> tuple[float, int]:
    """Seconds, and the units that are done and stand in the warehouse."""
    system.service.start_run(run)
    mode: ModeSpec = next(mode for mode in NBA.modes if mode.name == run.mode)
    order = Start(
        run=run,
        phase=PREDICTIONS.name,
        processor=PREDICTIONS.processors[0].name,
        attempt=1,
        fence=fence(mode.precedence["run"], run.generation, 1),
        partition=run.date,
        timeout_s=PREDICTIONS.processors[0].timeout_s,
        issued_at=system.home.clock.now(),
        units=_players(size),
    )
    took_s = system.timed(start_message(order, PREDICTION_START_TOPIC), PREDICTIONS.completion_topic, str(run))
    _, delivery = system.receiver.first(PREDICTIONS.completion_topic, str(run))
    completion = read_completion(delivery.data)
    query = "SELECT COUNT(DISTINCT player_id) AS units FROM nba_predictions.predictions WHERE run = @run"
    [standing] = system.home.warehouse.query(query, {"run": str(run)})
    if completion.status is not Status.SUCCESS:
        raise StackFailed(f"{run}: {completion.status}: {completion.reason}; {system.complaints()[:3]}")
    return took_s, min(completion.units_actual or 0, int(str(standing["units"])))


# --- what processors say --------------------------------------------------------------------------------


def _scraped(run: RunKey, processor: str) -> Completion:
    """What a scraper reports of a day with two games."""
    games = (f"{run.date}-1", f"{run.date}-2")
    found = {"games": games, "next_games": ()} if processor == "schedule" else {}
    counted = None if processor == "schedule" else len(games)
    return Completion(
        run=run,
        phase=SCRAPE.name,
        processor=processor,
        attempt=1,
        report=1,
        status=Status.SUCCESS,
        units_expected=counted,
        units_actual=counted,
        rows=2,
        digest="bench",
        found=found,
    )
