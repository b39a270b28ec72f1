"""What a pipeline uses and pays: the formulas against a run that is counted, free tiers, dates, how money is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.cost import amount, bills_of, cents, dollars, warnings_of
from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.worker import work
from shared.adapters.sqlite import Sqlite
from shared.config.functions import FUNCTIONS, PREDICTION_START_TOPIC, services_watched
from shared.config.nba import NBA
from shared.config.prices import PRICES
from shared.core.batch import Batch, Chunk, ChunkReport, Ordered, Unit, UnitResult, UnitState, batch_id
from shared.core.cost import (
    BEAT_READS,
    CHARGED_BYTES_MIN,
    GIB,
    MIB,
    MONTH_DAYS,
    QUERY_TABLES,
    READY_EVERY_MIN,
    UPTIME_PLACES,
    WATCHED,
    Free,
    Line,
    Meter,
    Price,
    batch_operations,
    bill,
    day_of,
    firings,
    history_reads,
    levels_of,
    operations_of,
    outdated,
    rest_of,
    shape_of,
    state_operations,
)
from shared.core.messages import read_order
from shared.core.model import Completion, Latch, RunKey, ScheduleSpec, Start, Status
from shared.core.plan import Plan
from shared.core.timeouts import HISTORY_RUNS
from shared.ports import BatchStore, Ports, RunRecord, StateStore, Written
from shared.readings import readers
from shared.service import Refusal, Service
from shared.watch import DEEP_EVERY_MIN
from tests.flow.test_path_of_a_completion import HandClock
from tests.house.tree import ROOT

AT_REST_MAX, RUNNING_MAX = 2.0, 5.0  # dollars a month, with free tiers
FAN_OUTS = {PREDICTION_START_TOPIC}
UNITS = 450
MODES = [mode.name for mode in NBA.modes]
DAY = date(2024, 1, 15)


# --- a run that is counted ------------------------------------------------------------------------------


@dataclass
class Counted:
    """A state store whose calls are paid for as decision 0008 says of Firestore."""

    states: StateStore
    read: int = 0
    written: int = 0
    seen: dict[RunKey, int] = field(default_factory=dict)  # records of a run that this process has read

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.states, verb)

    def plan(self, run: RunKey) -> Plan | None:
        plan = self.states.plan(run)
        self.read += plan is None  # one that is there is read once, by whoever looks first
        return plan

    def runs(self, pipeline: str, first: date, last: date) -> tuple[RunKey, ...]:
        found = self.states.runs(pipeline, first, last)
        self.read += max(1, len(found))
        return found

    def create_run(self, plan: Plan) -> bool:
        self.written += 2
        return self.states.create_run(plan)

    def append(self, fact: Any) -> bool:
        self.written += 2
        return self.states.append(fact)

    def load(self, run: RunKey) -> RunRecord:
        record = self.states.load(run)
        there = len(record.facts) + len(record.latches)
        self.read += there - self.seen.get(run, 0) + (2 if run in self.seen else 1)
        self.seen[run] = there
        return record

    def claim(self, run: RunKey, *, latches: Sequence[Latch], entry: Any, **more: Any) -> tuple[Latch, ...] | None:
        claimed = self.states.claim(run, latches=latches, entry=entry, **more)
        self.read += 1
        self.written += len(claimed or ()) + (2 if entry else 1)
        return claimed

    def close(self, run: RunKey, keys: Sequence[str]) -> None:
        self.written += len(keys)
        self.states.close(run, keys)


def run_all(embedded: Sqlite, run: RunKey) -> Counted:
    """A run of which every processor succeeds at once, in a process of its own; what it has cost."""
    states: Any = Counted(embedded.states)
    clock = HandClock(datetime(2024, 1, 15, 12, 0, tzinfo=timezone.utc))
    ports = Ports(states=states, bus=embedded.bus, clock=clock, readers=readers(embedded.states))
    service = Service(ports, {"nba": NBA}, starts_missing_runs=False)
    service.start_run(run)
    plan = embedded.states.plan(run)
    assert plan is not None
    for phase in plan.phases:
        for processor in phase.processors:
            clock.pass_by(seconds=5)
            said = Completion(
                run=run,
                phase=phase.name,
                processor=processor.name,
                attempt=1,
                report=1,
                status=Status.SUCCESS,
                found={"games": ("g1",), "players": ("p1",)} if processor.name == "schedule" else {},
            )
            assert service.on_completion(said) is None
    counted: Counted = states
    return counted


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("before", [0, 1, HISTORY_RUNS])
def test_the_formula_of_a_run_is_what_a_run_does_to_its_state(mode: str, before: int) -> None:
    embedded, shape = Sqlite(":memory:"), shape_of(NBA, mode, UNITS, FAN_OUTS)
    for days in range(before, 0, -1):
        run_all(embedded, RunKey("nba", DAY - timedelta(days=days), mode))
    counted = run_all(embedded, RunKey("nba", DAY, mode))
    reads, writes = state_operations(shape)
    assert counted.read == reads + history_reads(shape, known=before, read=before)
    assert counted.written == writes


def test_a_night_of_nba_is_what_the_emulator_has_counted() -> None:
    assert state_operations(shape_of(NBA, "overnight", UNITS, FAN_OUTS)) == (99, 78)


def test_what_a_run_uses_contains_what_one_process_would() -> None:
    used = operations_of(NBA, "overnight", UNITS, FAN_OUTS)
    before = history_reads(shape_of(NBA, "overnight", UNITS, FAN_OUTS), known=93, read=HISTORY_RUNS)
    assert 99 < used[Meter.READS] - before < 3 * 99
    assert 78 < used[Meter.WRITES] < 2 * 78


@dataclass
class CountedBatches:
    """A batch store whose calls are paid for as decision 0008 says of Firestore."""

    batches: BatchStore
    read: int = 0
    written: int = 0

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.batches, verb)

    def create(self, batch: Batch, chunks: Sequence[Chunk], orders: Sequence[Ordered]) -> Any:
        self.written += 1 + len(chunks) + len(orders)
        return self.batches.create(batch, chunks, orders)

    def history(self, like: str, limit: int) -> Any:
        return self._paid(self.batches.history(like, limit))

    def load(self, batch: str) -> Any:
        record = self.batches.load(batch)
        self.read += 1 + (record.batch.chunks if record else 0)
        return record

    def chunks(self, batch: str, *numbers: Any) -> Any:
        return self._paid(self.batches.chunks(batch, *numbers))

    def reports(self, batch: str) -> Any:
        return self._paid(self.batches.reports(batch))

    def ordered(self, batch: str, chunk: int) -> Any:
        return self._paid(self.batches.ordered(batch, chunk))

    def record(self, said: ChunkReport, **more: Any) -> Any:
        left = self.batches.record(said, **more)
        self.read += 2 + (len(self.batches.chunks(said.batch)) if left == 0 else 0)
        self.written += 3
        return left

    def look_at(self, *told: Any) -> Any:
        self.read, self.written = self.read + 1, self.written + 1
        return self.batches.look_at(*told)

    def seal(self, *told: Any) -> Any:
        self.written += 2
        return self.batches.seal(*told)

    def close(self, seal: Any) -> Any:
        self.written += 3
        return self.batches.close(seal)

    def _paid(self, found: Iterable[Any]) -> list[Any]:
        found = list(found)
        self.read += len(found)
        return found


def done(unit: Unit) -> UnitResult:
    return UnitResult(unit=unit.id, state=UnitState.DONE, output="[]")


@pytest.mark.parametrize("chunks", [1, 2, 9])
def test_the_formula_of_a_batch_is_what_a_coordinator_does_to_its_state(chunks: int) -> None:
    embedded, clock = Sqlite(":memory:"), HandClock()
    embedded.bus.subscribe("request", "request")
    batches: Any = CountedBatches(embedded.batches)
    coordinator = Coordinator(
        pipeline="nba",
        batches=batches,
        bus=embedded.bus,
        clock=clock,
        gather=lambda start: Inputs(shared="{}", units={f"p{i:03}": "{}" for i in range(50 * chunks)}, skipped={}),
        consolidate=lambda start, outputs: Written(rows=len(outputs), units=(), digest="d"),
        standing=lambda start: None,
        request_topic="request",
        completion_topic="complete",
    )
    start = Start(
        run=RunKey("nba", DAY, "same_day"),
        phase="predictions",
        processor="predictions",
        attempt=1,
        fence=1,
        partition=DAY,
        timeout_s=2_400,
        issued_at=clock.now(),
    )
    coordinator.on_start(start)
    for delivery in embedded.bus.pull(["request"], limit=chunks, now=clock.now(), lease_s=60):
        ready = work(read_order(delivery.data), lambda _: done, batches, clock.now)
        assert not isinstance(ready, Refusal)
        assert coordinator.on_ready(ready) is None
    record = embedded.batches.load(batch_id(start))
    assert record is not None
    assert record.seal is not None, "it has ended"
    assert (batches.read, batches.written) == batch_operations(chunks)


def test_only_the_modes_that_predict_have_a_batch() -> None:
    assert shape_of(NBA, "overnight", UNITS, FAN_OUTS).chunks == ()
    assert shape_of(NBA, "same_day", UNITS, FAN_OUTS).chunks == (9,)
    assert shape_of(NBA, "same_day", 451, FAN_OUTS).chunks == (10,)
    assert shape_of(NBA, "same_day", UNITS, ()).chunks == ()


def test_a_processor_more_costs_more_of_everything_that_it_uses() -> None:
    raw = NBA.phases[1]
    twin = replace(raw.processors[0], name="raw_twin")
    larger = replace(NBA, phases=(NBA.phases[0], replace(raw, processors=(*raw.processors, twin)), *NBA.phases[2:]))
    before, after = (operations_of(spec, "overnight", UNITS, FAN_OUTS) for spec in (NBA, larger))
    more = {meter for meter in before if after[meter] > before[meter]}
    assert more == set(before) - {Meter.OBJECT_READS, Meter.OBJECT_WRITES}


def test_more_units_make_more_messages_and_documents() -> None:
    few, many = (operations_of(NBA, "same_day", units, FAN_OUTS) for units in (450, 2_000))
    assert many[Meter.MESSAGES] > 2 * few[Meter.MESSAGES]
    assert many[Meter.WRITES] > few[Meter.WRITES]


def test_an_unknown_mode_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"mode 'noon' of nba is unknown; known: overnight, same_day, tomorrow"):
        operations_of(NBA, "noon", UNITS, FAN_OUTS)


def test_a_query_of_nba_names_fewer_tables_than_are_charged() -> None:
    folders = (ROOT / "data_processors" / "nba", ROOT / "predictions" / "worker")
    files = [path for folder in folders for path in sorted(folder.glob("*.sql")) if path.name != "schema.sql"]
    named = [len(tables_of(path)) for path in files]
    assert 2.0 < sum(named) / len(named) <= QUERY_TABLES
    assert sum(many > QUERY_TABLES for many in named) == 1, "status.sql asks every table; the others make up for it"


def tables_of(path: Path) -> set[str]:
    return set(re.findall(r"\b(?:FROM|JOIN)\s+((?:nba|tipoff)_\w+\.\w+)", path.read_text(encoding="utf-8")))


# --- a day ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "times"),
    [("* * * * *", 1_440), ("*/5 * * * *", 288), ("0 6 * * *", 1), ("0,30 6,7,8 * * *", 6), ("*/7 3 * * 1", 9)],
)
def test_a_schedule_speaks_as_often_as_its_line_says(cron: str, times: int) -> None:
    assert firings(schedule(cron)) == times


@pytest.mark.parametrize("cron", ["0-5 * * * *", "*/x * * * *", "0 */ * * *", "*/0 * * * *"])
def test_a_line_that_is_not_understood_is_named(cron: str) -> None:
    with pytest.raises(ValueError, match=r"schedule tick: .* is not understood"):
        firings(schedule(cron))


def schedule(cron: str) -> ScheduleSpec:
    return ScheduleSpec(name="tick", cron=cron, zone="UTC", act="sweep")


def test_at_rest_only_the_schedules_are_heard() -> None:
    rest = rest_of(NBA)
    asked = 1_440 * (WATCHED * (1 + 1 / READY_EVERY_MIN) + UPTIME_PLACES)
    assert (len(services_watched(proxied=False)), DEEP_EVERY_MIN) == (WATCHED, READY_EVERY_MIN)
    assert rest[Meter.REQUESTS] == 2 * 1_440 + 48 + 4 + 1 + asked, "each function that they wake is called"
    summary = 30 * 3 * 60
    ready = 1_440 * WATCHED / READY_EVERY_MIN
    from_outside = 1_440 * UPTIME_PLACES + 1_440 / 2 * BEAT_READS
    assert 1_488 * 3 <= rest[Meter.READS] - summary - ready - from_outside < 1_488 * 4
    assert rest[Meter.WRITES] == 1_440 + 3, "a heartbeat each minute, of 20,000 that are free in a day"
    assert rest[Meter.SCANNED] == CHARGED_BYTES_MIN, "the summary asks once"
    assert Meter.MESSAGES not in rest


def test_a_day_is_its_rest_and_one_run_of_each_mode() -> None:
    day, rest = day_of(NBA, UNITS, FAN_OUTS), rest_of(NBA)
    runs = [operations_of(NBA, mode, UNITS, FAN_OUTS) for mode in MODES]
    for meter, used in day.items():
        assert used == pytest.approx(rest.get(meter, 0) + sum(run.get(meter, 0) for run in runs))
    assert day[Meter.SCANNED] % CHARGED_BYTES_MIN == 0


def test_every_schedule_and_every_function_stands_there() -> None:
    levels = levels_of(NBA, UNITS, FAN_OUTS, len(FUNCTIONS))
    assert levels[Meter.JOBS] == 8, "one for each function that a schedule wakes"
    assert levels[Meter.IMAGES] == 2 * levels_of(NBA, UNITS, FAN_OUTS, len(FUNCTIONS) / 2)[Meter.IMAGES]  # type: ignore[arg-type]
    assert levels[Meter.DOCUMENTS] > 365 * 2 * UNITS * 1_000


# --- a bill ---------------------------------------------------------------------------------------------


def price(meter: Meter, *, free: float = 0.0, each: Free = Free.MONTHLY, usd: float = 2.0) -> Price:
    return Price(
        meter=meter, service="s", usd=usd, per=10.0, unit="ten", free=free, each=each, source="page", as_of=DAY
    )


def test_a_free_tier_of_a_day_does_not_carry_over_to_the_next() -> None:
    paid = bill(
        [price(Meter.READS, free=100, each=Free.DAILY)],
        rest={Meter.READS: 0},
        running={Meter.READS: 150},
        levels={},
        days=10,
    )
    assert paid.month == pytest.approx(150 * 10 * 0.2)
    assert paid.month_free == pytest.approx(50 * 10 * 0.2)


def test_a_free_tier_of_a_month_is_used_up_by_all_its_days() -> None:
    paid = bill([price(Meter.CPU, free=1_000)], rest={Meter.CPU: 20}, running={Meter.CPU: 100}, levels={}, days=10)
    assert paid.day == pytest.approx(100 * 0.2)
    assert paid.month == pytest.approx((100 * 10 + 20 * 20) * 0.2)
    assert paid.month_free == pytest.approx(400 * 0.2)


def test_what_is_free_is_never_given_back_as_money() -> None:
    paid = bill([price(Meter.CPU, free=10**9)], rest={Meter.CPU: 1}, running={}, levels={}, days=0)
    assert paid.month_free == 0.0


def test_what_stands_is_paid_for_the_month_however_many_days_run() -> None:
    prices = [price(Meter.JOBS, free=3)]
    few, many = (bill(prices, rest={}, running={}, levels={Meter.JOBS: 5}, days=days) for days in (0, MONTH_DAYS))
    assert few == many
    assert (few.month, few.month_free) == (pytest.approx(1.0), pytest.approx(0.4))
    assert few.day == pytest.approx(1.0 / MONTH_DAYS)


def test_what_is_used_and_has_no_price_is_an_error_and_not_free() -> None:
    with pytest.raises(KeyError, match="LOGS"):
        bill([price(Meter.CPU)], rest={Meter.LOGS: 1}, running={}, levels={}, days=0)


def test_at_rest_the_parts_of_a_run_are_not_in_the_bill() -> None:
    bills = bills_of(NBA, MONTH_DAYS)
    at_rest = {line.price.meter for line in bills.at_rest.lines}
    assert not at_rest & {Meter.MESSAGES, Meter.OBJECT_WRITES, Meter.OBJECT_READS}
    assert {line.price.meter for line in bills.running.lines} == set(Meter)


def test_the_targets_of_a_month_are_kept() -> None:
    bills = bills_of(NBA, MONTH_DAYS)
    assert 0 < bills.at_rest.month_free <= AT_REST_MAX
    assert bills.at_rest.month_free <= bills.running.month_free <= RUNNING_MAX
    assert bills.at_rest.month < bills.running.month


def test_fewer_days_cost_less_and_none_what_rest_costs() -> None:
    assert bills_of(NBA, 0).running == bills_of(NBA, 0).at_rest
    assert bills_of(NBA, 10).running.month < bills_of(NBA, 20).running.month


# --- prices and their dates -----------------------------------------------------------------------------


def test_every_meter_has_one_price_with_its_page_and_date() -> None:
    assert sorted(each.meter for each in PRICES) == sorted(Meter)
    for each in PRICES:
        assert each.source
        assert each.usd > 0
        assert each.per > 0
        assert each.as_of <= date(2026, 11, 21)


def test_a_price_is_old_when_a_year_has_passed() -> None:
    prices = [price(Meter.CPU)]
    assert outdated(prices, DAY + timedelta(days=365)) == ()
    assert outdated(prices, DAY + timedelta(days=366)) == tuple(prices)


def test_the_warning_names_the_services_and_the_day() -> None:
    newest = max(each.as_of for each in PRICES)
    assert warnings_of(min(each.as_of for each in PRICES)) == []
    told = warnings_of(newest + timedelta(days=366))
    assert len(told) == len({each.as_of for each in PRICES})
    assert any("Cloud Scheduler" in line and str(newest) in line for line in told)


# --- how it is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (0.0, "$0.00"),
        (0.0003, "$0.00030"),
        (0.000024, "$0.000024"),
        (0.0000025, "$0.0000025"),
        (0.0117, "$0.012"),
        (0.4, "$0.40"),
        (6.25, "$6.25"),
        (1234.5, "$1,234.50"),
    ],
)
def test_small_dollars_have_two_digits_that_count(usd: float, said: str) -> None:
    assert dollars(usd) == said


@pytest.mark.parametrize(("usd", "said"), [(0.0, "$0.00"), (0.0003, "<$0.01"), (0.01, "$0.01"), (3.527, "$3.53")])
def test_sums_are_in_cents_and_never_nothing_when_there_is_something(usd: float, said: str) -> None:
    assert cents(usd) == said


@pytest.mark.parametrize(
    ("meter", "value", "said"),
    [
        (Meter.READS, 5_494.2, "5,494"),
        (Meter.TABLES, 2.14 * GIB, "2.1 GiB"),
        (Meter.LOGS, 3 * MIB, "3.0 MiB"),
        (Meter.LOGS, 512.0, "512 B"),
    ],
)
def test_amounts_are_in_units_that_a_person_reads(meter: Meter, value: float, said: str) -> None:
    assert amount(Line(price=price(meter), amount=value, day=0.0, month=0.0, month_free=0.0)) == said
