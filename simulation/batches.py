"""The shipped coordinator and worker in a world: what is sent to them, what fate makes of it, and what was seen.

Their store, bus and warehouse are behind the world's seam, so any call may be struck while others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from predictions.coordinator import service
from predictions.coordinator.coordinator import Coordinator, Inputs
from predictions.worker.worker import Predict, answer, record, work
from shared import edge
from shared.config.functions import (
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    PREDICTION_REQUEST_TOPIC,
    PREDICTION_START_TOPIC,
)
from shared.config.nba import NBA, PREDICTIONS
from shared.core.batch import (
    NO_HISTORY,
    Batch,
    Chunk,
    ChunkOrder,
    ChunkReport,
    Ordered,
    Seal,
    Unit,
    UnitResult,
    UnitState,
    batch_id,
)
from shared.core.messages import Message, Nudge, read_completion, read_order, read_ready, read_start, ready_message
from shared.core.model import Act, RunKey, Start
from shared.ports import BatchStore, Bus, StateStore, WarehouseError, Written
from shared.service import Refusal
from simulation import batch_invariants
from simulation.seam import SIMULATED, Crash, Network, Seam, Unavailable
from simulation.story import BatchStory
from simulation.work import Behaviour, Ending, Kind, Labour, expected_units, make_rows, partition_of, stamp_of

if TYPE_CHECKING:
    from simulation.world import World

CHUNK_UNITS = 8  # a night of few players is still more than one chunk
IN_FLIGHT_UNITS = 16  # so that its last chunks wait for the first
QUALITY_MIN = 0.5
LABOUR_S_MAX = 900  # no instance works on for longer; beyond its lease, so that another has begun the same
RECOVER_S = 1_800  # between two looks of the job that looks for stalled batches: shared/config/schedules.py


class Batches:
    """Every batch of a world."""

    def __init__(self, world: World) -> None:
        self.stories: dict[str, BatchStory] = {}
        self._world = world
        self._open: set[str] = set()
        self._behaviours: dict[str, Behaviour] = {}  # by start id: of its batch, or of why it has none
        self._died: set[str] = set()  # orders whose first worker did
        self._recovers = False  # whether the job is planned
        self._store = cast(BatchStore, Seam(world.sqlite.batches, self._call))
        self._bus = cast(Bus, Seam(Network(world.sqlite.bus, self._carry), world.call))
        self._states = cast(StateStore, Seam(world.sqlite.states, world.call))
        self.coordinator = Coordinator(
            pipeline="nba",
            batches=self._store,
            bus=self._bus,
            clock=world.clock,
            gather=lambda start: cast(Inputs, world.call("gather", self._gather, (start,), {})),
            consolidate=lambda start, outputs: cast(Written, world.call("merge", self._merge, (start, outputs), {})),
            standing=self._standing,
            request_topic=PREDICTION_REQUEST_TOPIC,
            completion_topic=PREDICTIONS.completion_topic,
            check=lambda: world.call("check", self._check, (), {}),
            heal=lambda start, units: cast(Inputs, world.call("heal", self._heal, (start, units), {})),
            override=self._override,
            quality_min=QUALITY_MIN,
            in_flight=IN_FLIGHT_UNITS,
            chunk_units=CHUNK_UNITS,
        )
        self.handlers: Mapping[str, edge.Handler] = {
            PREDICTION_START_TOPIC: self._on_start,
            PREDICTION_READY_TOPIC: lambda body: self.coordinator.on_ready(read_ready(body)),
            NUDGE_TOPIC: lambda body: service.sweep(self.coordinator, body),
            PREDICTION_REQUEST_TOPIC: self._on_order,
        }

    def _call(self, verb: str, method: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Under a name of its own: the store of states has verbs of the same names."""
        if verb == "chunks":  # they never change: whoever reads them early reads the same
            return method(*arguments, **named)
        return self._world.call(f"batch_{verb}", method, arguments, named)

    @property
    def are_open(self) -> bool:
        """Whether any of them is."""
        return bool(self._open)

    @property
    def due_at(self) -> datetime | None:
        """When the timer would find something."""
        return self._world.sqlite.batches.next_at() if self._open else None

    # --- the coordinator's parts ------------------------------------------------------------------------

    def _on_start(self, body: bytes) -> Refusal | None:
        self._world.processors.receive(read_start(body))
        return service.begin(self.coordinator, PREDICTIONS, body)

    def _gather(self, start: Start) -> Inputs:
        world = self._world
        behaviour = self._behaviour(start)
        if behaviour.kind in (Kind.FAIL, Kind.NOT_READY):
            raise Unavailable(f"{SIMULATED} {behaviour.fault or behaviour.kind}")
        processor, units = world.processor_of(start), start.units
        if units is None:
            units = expected_units(start.run, world.fate.games).get(processor.unit, ())
        made_of = make_rows(processor, ("",), world.processors.read_inputs(start))[0]["made_of"]
        if behaviour.kind is Kind.SKIP:
            return Inputs(shared="", units={}, skipped=dict.fromkeys(units, NO_HISTORY))
        return Inputs(
            shared=json.dumps(made_of),
            units={unit: unit for unit in units},
            skipped={},
            completeness={unit: world.fate.share(start, unit, False) for unit in units},
        )

    def _behaviour(self, start: Start) -> Behaviour:
        """The same for every delivery of a start; but one that an instance dropped, another may begin."""
        known = self._behaviours.get(start.id)
        if known is None or known.kind is Kind.HANG:
            self._behaviours[start.id] = self._world.processors.behave(start)
        return self._behaviours[start.id]

    def _heal(self, start: Start, units: Collection[str]) -> Inputs:
        share = self._world.fate.share
        if self._behaviour(start).kind is Kind.SKIP:
            return Inputs(shared="", units={}, skipped=dict.fromkeys(units, NO_HISTORY))
        self._world.fault("poor", start.id)
        return Inputs(
            shared="",
            units={unit: unit for unit in units},
            skipped={},
            completeness={unit: share(start, unit, True) for unit in units},
        )

    def _check(self) -> None:
        if misfit := self._world.fate.misfit():
            raise WarehouseError(misfit)

    def _override(self, run: RunKey) -> Act | None:
        return self._states.load(run).control.allows_poor_at(self._world.now)

    def _standing(self, start: Start) -> Written | None:
        partition = partition_of(self._world.processor_of(start))
        asked = (partition, stamp_of(start), "unit")
        return cast("Written | None", self._world.call("standing", self._world.warehouse.standing, asked, {}))

    def _merge(self, start: Start, outputs: Sequence[str]) -> Written:
        world, story = self._world, self.stories[batch_id(start)]
        partition = partition_of(world.processor_of(start))
        stood = world.warehouse.read(partition, str(start.run))
        rows = [row for output in outputs for row in json.loads(output)]
        written = world.warehouse.merge(partition, rows, ("unit",), stamp_of(start), "unit")
        world.note(batch_id(start), "merges", f"{written.digest}{' superseded' if written.superseded else ''}")
        world.check(start.run, batch_invariants.nothing_is_merged_before_the_seal, story)
        if not written.superseded:
            story.merged.append(written.digest)
            world.processors.wrote(start, stood[0] if stood else None, written)
            world.check(start.run, batch_invariants.one_merge, story)
        return written

    # --- the worker ---------------------------------------------------------------------------------------

    def _on_order(self, body: bytes) -> Refusal | None:
        """As predictions/worker/service.py, with what fate makes of it."""
        world, order = self._world, read_order(body)
        labour = self._labour(order)
        if labour.fault:
            world.fault(labour.fault, order.batch)
        if labour.silent or labour.endings:
            world.trouble(order.start.run)
        if labour.hard:
            story = world.stories[order.start.run]
            story.excused = story.excused or labour.fault
        if labour.silent:
            return None
        store = self._store
        if Ending.UNMENTIONED in labour.endings.values():
            report = answer(order, lambda shared: self._predict(order, labour, shared))
            told = [each for each in report.results if labour.endings.get(each.unit) is not Ending.UNMENTIONED]
            ready = record(store, replace(report, results=tuple(told)), world.now)
        else:
            ready = work(order, lambda shared: self._predict(order, labour, shared), store, world.clock.now)
        if isinstance(ready, Refusal):
            return ready
        self._bus.publish([ready_message(ready, PREDICTION_READY_TOPIC)], world.now)
        return None

    def _labour(self, order: ChunkOrder) -> Labour:
        """What fate makes of an order, and of a start that goes wrong as a whole."""
        behaviour = self._behaviours[order.start.id]
        own = self._world.fate.labour(order)
        after_s = min(behaviour.after_s if own.after_s is None else own.after_s, LABOUR_S_MAX)
        lacks = {unit.id for unit in order.units}.intersection(behaviour.lacks)
        endings = {**own.endings, **dict.fromkeys(lacks, Ending.FAILED)}
        name = f"{order.batch}/{order.chunk}/{order.number}"
        if behaviour.kind is Kind.DIE and name not in self._died:
            self._died.add(name)
            endings[order.units[0].id] = Ending.KILLS
        return replace(own, after_s=after_s, silent=own.silent or behaviour.kind is Kind.HANG, endings=endings)

    def _predict(self, order: ChunkOrder, labour: Labour, shared: str) -> Predict:
        made_of, unit_s = json.loads(shared), (labour.after_s or 0.0) / len(order.units)

        def predict(unit: Unit) -> UnitResult:
            self._world.pass_by(unit_s)
            match labour.endings.get(unit.id):
                case Ending.KILLS:
                    raise Crash
                case Ending.PASSING:
                    raise Unavailable(f"{SIMULATED} {unit.id} fails for now")
                case Ending.FAILED:
                    raise ValueError(f"{SIMULATED} {unit.id} can never be done")
                case Ending.SKIPPED:
                    return UnitResult(unit=unit.id, state=UnitState.SKIPPED, reason=NO_HISTORY)
                case Ending.EMPTY:
                    return UnitResult(unit=unit.id, state=UnitState.DONE, output="[]")
            output = json.dumps([{"unit": unit.id, "made_of": made_of}])
            return UnitResult(unit=unit.id, state=UnitState.DONE, output=output)

        return predict

    # --- what is seen at the seam -------------------------------------------------------------------------

    def _carry(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.topic == PREDICTION_REQUEST_TOPIC:
                order = read_order(message.data)
                story = self.stories[order.batch]
                self._world.check(order.start.run, batch_invariants.what_is_sent_is_ordered, story, order)
            if message.topic == PREDICTIONS.completion_topic:
                completion = read_completion(message.data)
                story_id = f"{completion.run}/{completion.phase}/{completion.attempt}"
                if story_id in self.stories:
                    self.stories[story_id].published.append((self._world.now, completion))
        self._world.carry([message for message in messages if not self._is_mute(message)])

    def _is_mute(self, message: Message) -> bool:
        """Whether a completion is that of a start of which nobody is to hear."""
        if message.topic != PREDICTIONS.completion_topic:
            return False
        completion = read_completion(message.data)
        start = f"{completion.run}/{completion.phase}/{completion.processor}/{completion.attempt}"
        return start in self._behaviours and self._behaviours[start].kind is Kind.MUTE

    def saw_batch_create(self, created: bool, batch: Batch, chunks: Sequence[Chunk], orders: Sequence[Ordered]) -> None:
        if not created:
            return
        world = self._world
        story = self.stories[batch.id] = BatchStory(batch=batch, chunks=tuple(chunks))
        self._open.add(batch.id)
        world.check(batch.start.run, batch_invariants.every_unit_is_in_its_batch_once, story)
        self.saw_batch_order(tuple(orders), batch.id, orders)
        ends_at = batch.created_at + timedelta(seconds=batch.start.timeout_s) + batch_invariants.BATCH_CLOSING
        world.at(ends_at, lambda: self._still_open(story))
        self._plan_recovery()

    def saw_batch_order(self, mine: tuple[Ordered, ...], id: str, _: Sequence[Ordered]) -> None:
        story = self.stories[id]
        story.orders.extend(mine)
        world = self._world
        world.check(story.batch.start.run, batch_invariants.orders_are_bounded, story, IN_FLIGHT_UNITS, world.now)
        world.plan_sweep()

    def saw_batch_record(self, left: int | None, report: ChunkReport, **_: object) -> None:
        story = self.stories[report.batch]
        if left is None:
            story.late += 1
            return
        self._world.check(report.start.run, batch_invariants.nothing_counts_after_the_seal, story, report)
        story.reports.setdefault((report.chunk, report.number), report)

    def saw_batch_seal(self, held: Seal | None, seal: Seal, *_: object) -> None:
        if held:
            story = self.stories[seal.batch]
            story.seal = story.seal or held
        self._world.plan_sweep()

    def saw_batch_close(self, _: None, seal: Seal) -> None:
        story = self.stories[seal.batch]
        story.closed = story.closed or seal
        self._open.discard(seal.batch)
        self._world.plan_sweep()

    def saw_batch_look_at(self, _: None, *_arguments: object) -> None:
        self._world.plan_sweep()

    def _still_open(self, story: BatchStory) -> None:
        world = self._world
        until = world.settled_at(world.stories[story.batch.start.run])
        if until + batch_invariants.BATCH_CLOSING > world.now:
            world.at(until + batch_invariants.BATCH_CLOSING, lambda: self._still_open(story))
            return
        world.check(story.batch.start.run, batch_invariants.no_batch_outlasts_its_start, story)

    def _plan_recovery(self) -> None:
        """The job that looks for stalled batches, as long as one is open."""
        if self._open and not self._recovers:
            self._recovers = True
            self._world.after(RECOVER_S - self._world.now.timestamp() % RECOVER_S, self._recover)

    def _recover(self) -> None:
        self._recovers = False
        if self._open:
            now = self._world.now
            self._world.nudge(Nudge(pipeline=NBA.name, mode="", date="", scheduled_at=now, act="recover"))
        self._plan_recovery()

    def judge(self) -> None:
        """When the world has ended."""
        world = self._world
        for id, story in self.stories.items():
            store = world.sqlite.batches
            end = batch_invariants.BatchEnd(story, store.load(id), store.reports(id))
            for rule in batch_invariants.BATCH_AT_THE_END:
                world.check(story.batch.start.run, rule, end)
