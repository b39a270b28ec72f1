"""Is each figure of reliability what its query's head says? Beside ones worked out by hand, over folded rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from orchestration import report
from orchestration.report import QUERIES, WRITER, sql
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.core.model import Act
from shared.ports import Partition
from tests.flow.test_incidents import RUN, again, new_world

FIRST = date(2024, 1, 1)
NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def ops() -> Iterator[DuckDbWarehouse]:
    warehouse = wiring.memory_warehouse()
    warehouse.create(sql("ops.sql"))
    yield warehouse
    warehouse.close()


def put(ops: DuckDbWarehouse, table: str, *rows: dict[str, object]) -> None:
    days = Partition(table=f"tipoff_ops.{table}", column="date", first=FIRST, last=FIRST + 60 * DAY)
    ops.load(days, rows, WRITER)


def run(number: int, *, published_h: float | None = 1, state: str = "published", **more: object) -> dict[str, object]:
    day, noon = FIRST + number * DAY, NOON + number * DAY
    return {
        "run_id": f"line.{day}.overnight.{more.get('generation', 1)}",
        "pipeline": "line",
        "date": day,
        "mode": "overnight",
        "generation": 1,
        "state": state,
        "started_at": noon,
        "deadline_at": noon + 3 * HOUR,
        "published_at": None if published_h is None else noon + published_h * HOUR,
        "cancelled": False,
        **more,
    }


def about(day_number: int, /, **more: object) -> dict[str, object]:
    day = FIRST + day_number * DAY
    return {"run_id": f"line.{day}.overnight.1", "date": day, **more}


def asked(ops: DuckDbWarehouse, now: datetime = NOON + 40 * DAY) -> dict[str, Any]:
    span = {"pipeline": "line", "first": date.min, "last": date.max, "now": now}
    (row,) = ops.query(sql(QUERIES["reliability"]), span)
    return dict(row)


def test_in_time_is_by_the_deadline_and_unaided_is_without_a_word(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0), run(1, published_h=4), run(2, published_h=None, state="failed"), run(3))
    put(ops, "words", about(3, verb="retry", about="boxscores", actor="ann", reason="late", said_at=NOON))
    found = asked(ops)
    assert (found["due"], found["in_time"], found["unaided"], found["reliability"]) == (4, 2, 1, 0.25)


def test_holidays_cancelled_runs_and_those_not_due_yet_count_nowhere(ops: DuckDbWarehouse) -> None:
    holiday = run(1, published_h=None, state="nothing_expected")
    put(ops, "runs", run(0), holiday, run(2, published_h=None, cancelled=True), run(39, published_h=None))
    assert asked(ops, now=NOON + 39 * DAY)["due"] == 1


def test_a_replay_that_publishes_in_time_counts_for_its_date_once(ops: DuckDbWarehouse) -> None:
    again = run(0, published_h=2, generation=2, deadline_at=NOON + 9 * HOUR)
    put(ops, "runs", run(0, published_h=None, state="failed"), again)
    found = asked(ops)
    assert (found["due"], found["in_time"]) == (1, 1)


def test_detection_is_from_ready_to_decided(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0))
    noticed = [about(0, gate=f"g{n}", gate_attempt=1, ready_at=NOON, decided_at=NOON + n * HOUR / 60) for n in (0, 1)]
    put(ops, "outcomes", *noticed, about(0, gate="old", gate_attempt=1, decided_at=NOON))
    found = asked(ops)
    assert (found["detection_max_s"], found["detection_p95_s"]) == (60.0, 57.0)


def test_repair_is_from_raised_to_resolved_and_open_ones_are_counted(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0), run(1))
    mended = about(0, cause="stalled", number=1, raised_at=NOON, resolved_at=NOON + HOUR / 30)
    put(ops, "incidents", mended, about(1, cause="stalled", number=1, raised_at=NOON + DAY))
    found = asked(ops)
    assert (found["incidents"], found["incidents_open"], found["repair_mean_s"]) == (2, 1, 120.0)


def test_acts_are_told_by_the_month(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0), run(9))
    word = {"verb": "hold", "about": "", "actor": "ann", "reason": "storm", "said_at": NOON}
    put(ops, "words", about(0, **word), about(9, **word))
    assert (asked(ops)["acts"], asked(ops)["acts_per_month"]) == (2, 6.0)


def test_what_is_folded_is_what_happened(ops: DuckDbWarehouse) -> None:
    world = new_world()
    world.stall()
    began = world.clock.now()
    world.after(60)
    world.service.acknowledge(RUN, Act(actor="ann", reason="on it", at=began))  # it stays one incident
    again(world)
    report.load_runs(ops, world.store.states, "line", date.min, date.max, world.clock.now())
    (incident,) = ops.query("SELECT * FROM tipoff_ops.incidents", {})
    assert incident["run_id"] == str(RUN)
    assert incident["raised_at"] <= began
    assert incident["resolved_at"] == world.clock.now()
    outcomes = ops.query("SELECT gate, decided_at, ready_at FROM tipoff_ops.outcomes ORDER BY decided_at", {})
    assert [row["gate"] for row in outcomes] == ["p0", "p1"]
    assert outcomes[1]["ready_at"] == outcomes[1]["decided_at"]


def test_an_incident_that_was_escalated_is_still_one(ops: DuckDbWarehouse) -> None:
    world = new_world()
    world.stall()
    for _ in range(3):
        world.after(3_000)
    told = [latch.alert for latch in world.store.states.load(RUN).latches if latch.alert]
    assert [alert.escalated_at is not None for alert in told] == [False, True]
    report.load_runs(ops, world.store.states, "line", date.min, date.max, world.clock.now())
    (incident,) = ops.query("SELECT * FROM tipoff_ops.incidents", {})
    assert (incident["raised_at"], incident["resolved_at"]) == (told[0].at, None)
