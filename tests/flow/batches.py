"""A world for batches: store, bus and warehouse, a coordinator on them, and what its workers do; time is the test's."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.worker import work
from shared.adapters.bigquery import BigQueryWarehouse, connect
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.firestore import Firestore
from shared.adapters.pubsub import PubSub
from shared.adapters.sqlite import Sqlite
from shared.core.batch import (
    CHUNK_UNITS,
    IN_FLIGHT_UNITS,
    ChunkOrder,
    ChunkReady,
    Unit,
    UnitResult,
    UnitState,
)
from shared.core.messages import read_completion, read_order
from shared.core.model import Act, Completion, Start
from shared.ports import (
    NO_METER,
    BatchStore,
    Bus,
    Meter,
    Partition,
    Stamp,
    Warehouse,
    WarehouseError,
    WarehouseUnavailable,
    Written,
)
from shared.service import Refusal
from tests.unit.batches import START, T0

NOW, DAY = T0, START.partition
UNITS = tuple(f"u{number:03}" for number in range(120))  # three chunks
DOUBLED = {unit: 2.0 * number for number, unit in enumerate(UNITS)}
TABLE = """
CREATE SCHEMA IF NOT EXISTS points;
CREATE TABLE IF NOT EXISTS points.predictions (
  day DATE NOT NULL, unit STRING, value FLOAT64, run STRING NOT NULL, attempt INT64 NOT NULL, fence INT64 NOT NULL,
  inputs_completeness FLOAT64, inputs_missing STRING
);
"""
WITHOUT_VALUE = TABLE.replace("value FLOAT64, ", "")
TARGET = Partition(table="points.predictions", column="day", first=DAY, last=DAY)


class Died(BaseException):
    """The process is no more; nothing in it may catch this."""


@dataclass
class Mortal:
    """A real port; its process dies just before one of the calls."""

    port: Any
    world: World

    def __getattr__(self, verb: str) -> Any:
        act = getattr(self.port, verb)

        def call(*arguments: Any, **named: Any) -> Any:
            self.world.calls += 1
            if self.world.calls == self.world.dies_at:
                raise Died
            return act(*arguments, **named)

        return call


@dataclass(frozen=True, slots=True)
class Parts:
    """Real ones, embedded or on emulators."""

    batches: BatchStore
    bus: Bus
    warehouse: Warehouse
    close: Callable[[], object]
    empty_pulls: int  # that are believed: a service may bring fewer than wait


def embedded_parts() -> Parts:
    store, warehouse = Sqlite(":memory:"), DuckDbWarehouse(":memory:")

    def close() -> None:
        store.close()
        warehouse.close()

    return Parts(store.batches, store.bus, warehouse, close, empty_pulls=1)


def emulated_parts(pubsub: str, firestore: str, bigquery: str) -> Parts:
    """In a project of their own, so that tests do not hear each other."""
    name = f"t{uuid4().hex[:12]}"
    store, bus = Firestore(f"{name}-p", emulator=firestore), PubSub(f"{name}-p", emulator=pubsub, backoff_s=None)
    warehouse = BigQueryWarehouse(
        connect("tipoff-local", location="US", endpoint=bigquery), dataset_prefix=f"{name}_", retry_s=1.0
    )

    def close() -> None:
        for part in (store, bus, warehouse):
            part.close()

    return Parts(store.batches, bus, warehouse, close, empty_pulls=3)


@dataclass
class World:
    """What a coordinator is given, and what comes of it."""

    predict: Callable[[Unit], UnitResult]
    skipped: dict[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = UNITS
    inputs: dict[str, str] = field(default_factory=dict)  # of single units, in place of the usual
    completeness: dict[str, float | None] = field(default_factory=dict)  # of single units; the others' is 1
    healed: dict[str, float] = field(default_factory=dict)  # units that healing helps
    override: Act | None = None
    shared: str = '{"factor": 2}'
    away_until: datetime = NOW  # of the warehouse
    now_at: datetime = NOW
    calls: int = 0
    dies_at: int = 0
    gathered: int = 0
    healings: list[tuple[str, ...]] = field(default_factory=list)
    in_flight: int = IN_FLIGHT_UNITS
    chunk_units: int = CHUNK_UNITS
    parts: Parts = field(default_factory=embedded_parts)
    table: str = TABLE
    meter: Meter = NO_METER

    def __post_init__(self) -> None:
        self.parts.warehouse.create(self.table)
        for topic in ("request", "complete"):
            self.bus.subscribe(f"{topic}-heard", topic)

    @property
    def batches(self) -> BatchStore:
        return self.parts.batches

    @property
    def bus(self) -> Bus:
        return self.parts.bus

    @property
    def warehouse(self) -> Warehouse:
        return self.parts.warehouse

    def now(self) -> datetime:
        return self.now_at

    def pass_by(self, seconds: float) -> None:
        self.now_at += timedelta(seconds=seconds)

    @property
    def coordinator(self) -> Coordinator:
        """A new one each time: what it knows is in the store."""
        warehouse = Mortal(self.warehouse, self)
        stamp = lambda start: Stamp(run=str(start.run), attempt=start.attempt, fence=start.fence)  # noqa: E731

        def consolidate(start: Start, outputs: Sequence[str]) -> Written:
            if self.now_at < self.away_until:
                raise WarehouseUnavailable("Exceeded rate limits: too many table update operations for this table")
            rows = [{"day": DAY, **json.loads(output)} for output in outputs]
            written: Written = warehouse.merge(TARGET, rows, ("unit",), stamp(start), "unit")
            return written

        return Coordinator(
            pipeline="nba",
            batches=Mortal(self.batches, self),  # type: ignore[arg-type]
            bus=Mortal(self.bus, self),  # type: ignore[arg-type]
            clock=self,
            gather=self.gather,
            consolidate=consolidate,
            standing=lambda start: warehouse.standing(TARGET, stamp(start), "unit"),
            request_topic="request",
            completion_topic="complete",
            check=self.check,
            heal=self.heal,
            override=lambda _: self.override,
            quality_min=0.5,
            in_flight=self.in_flight,
            chunk_units=self.chunk_units,
            meter=self.meter,
        )

    def check(self) -> None:
        if "value" not in self.warehouse.columns("points.predictions"):
            raise WarehouseError("points.predictions: column value is not there; alter the table")

    def gather(self, _start: Start) -> Inputs:
        self.gathered += 1
        units = {unit: json.dumps({"points": number}) for number, unit in enumerate(self.units)} | self.inputs
        shares: dict[str, float | None] = {**dict.fromkeys(units, 1.0), **self.completeness}
        return Inputs(shared=self.shared, units=units, skipped=self.skipped, completeness=shares)

    def heal(self, _start: Start, units: Collection[str]) -> Inputs:
        self.healings.append(tuple(sorted(units)))
        helped = {unit: json.dumps({"points": 1_000}) for unit in self.healed}
        return Inputs(shared=self.shared, units=helped, skipped={}, completeness=dict(self.healed))

    # --- what travels ---------------------------------------------------------------------------------

    def taken(self, topic: str) -> list[bytes]:
        """All that waits, taken."""
        found, empty = list[bytes](), 0
        while empty < self.parts.empty_pulls:
            pulled = self.bus.pull([f"{topic}-heard"], limit=1_000, now=self.now_at, lease_s=60)
            self.bus.ack(pulled)
            found += [delivery.data for delivery in pulled]
            empty = 0 if pulled else empty + 1
        return found

    def orders(self) -> list[ChunkOrder]:
        """In order of chunk and number: a service brings them in any."""
        return sorted(map(read_order, self.taken("request")), key=lambda order: (order.chunk, order.number))

    def do(self, order: ChunkOrder) -> ChunkReady:
        """What a worker does with an order: it records, and gives its word."""
        ready = work(order, lambda _shared: self.predict, self.batches, self.now)
        assert not isinstance(ready, Refusal), ready
        return ready

    def completions(self) -> list[Completion]:
        return [read_completion(body) for body in self.taken("complete")]

    def work(self) -> None:
        """Everything that was ordered, done and told."""
        while orders := self.orders():
            for order in orders:
                assert self.coordinator.on_ready(self.do(order)) is None

    def sweep(self) -> None:
        """The timer's walk."""
        coordinator = self.coordinator
        for batch in coordinator.due():
            coordinator.advance(batch)

    def rows(self) -> dict[str, float]:
        rows = self.warehouse.query("SELECT unit, value FROM points.predictions ORDER BY unit", {})
        assert len({row["unit"] for row in rows}) == len(rows)
        return {str(row["unit"]): float(str(row["value"])) for row in rows}


def double(unit: Unit) -> UnitResult:
    value = 2.0 * json.loads(unit.inputs)["points"]
    return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps({"unit": unit.id, "value": value}))


def failed(unit: Unit, again: bool = False) -> UnitResult:
    return UnitResult(unit=unit.id, state=UnitState.FAILED, reason="position unknown", again=again)


def only(completions: list[Completion]) -> Completion:
    """Published once or more often, it is one."""
    assert completions
    assert all(completion == completions[0] for completion in completions)
    return completions[0]
