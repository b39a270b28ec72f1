"""The simulated processors of a world: what fate makes of an order, what they write, and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared import edge
from shared.config.nba import NBA
from shared.core.codec import Malformed
from shared.core.messages import completion_message, read_start
from shared.core.model import Completion, Start, Status
from shared.ports import Delivery, Stamp, Written
from shared.service import Refusal
from simulation import invariants
from simulation.asked import SERVICE_OF
from simulation.fate import is_critical, planned_in
from simulation.seam import SIMULATED
from simulation.spells import SpellKind
from simulation.story import Story
from simulation.work import Behaviour, Kind, expected_units, make_rows, partition_of, players_of, reads, stamp_of

if TYPE_CHECKING:
    from simulation.world import World

FINDS = {spec.name: spec.finds for phase in NBA.phases for spec in phase.processors}
QUOTA_LOOK_S = 20.0  # between two tries of a write that the warehouse refuses for its quota
SOURCES = ("schedule", "boxscores")  # what reads the league

LOST_WORK = (Kind.FAIL, Kind.HANG, Kind.MUTE, Kind.DIE)
STATUSES = {Kind.NOT_READY: Status.NOT_READY, Kind.FAIL: Status.FAILED, Kind.SKIP: Status.SKIPPED}


class Processors:
    def __init__(self, world: World) -> None:
        self._world = world

    # --- orders -------------------------------------------------------------------------------------------

    def order(self, delivery: Delivery) -> None:
        """As a service takes an order: what can never be one is kept, what cannot be taken now comes again."""
        world, function = self._world, function_of(delivery)
        try:
            start = read_start(delivery.data)
        except Malformed as error:
            edge.quarantine(delivery, Refusal(str(error)), world.ports)
            world.sqlite.bus.ack([delivery])
            return
        if world.weather.refuses(function):
            world.hand_back(delivery)
            return
        late_s = world.weather.late_s(function)
        if late_s:
            self._later(delivery, late_s, lambda: self._take(delivery, start))
        else:
            self._take(delivery, start)

    def _later(self, delivery: Delivery, seconds: float, act: Any) -> None:
        """Unless its instance is gone by then."""
        world, function = self._world, function_of(delivery)
        instance = world.instances[function]
        world.after(seconds, lambda: act() if world.instances[function] == instance else None)

    def _take(self, delivery: Delivery, start: Start) -> None:
        self.receive(start)
        behaviour, inputs = self.behave(start), self.read_inputs(start)
        if behaviour.kind is Kind.HANG:
            self._world.sqlite.bus.ack([delivery])
        elif behaviour.kind is not Kind.DIE:
            self._later(delivery, behaviour.after_s, lambda: self._finish(delivery, start, behaviour, inputs))

    def receive(self, start: Start) -> None:
        """Whoever is told to start something may be told so."""
        world = self._world
        story = world.stories[start.run]
        story.received[start.id] += 1
        world.meter.received(start, world.now)
        world.note(start.id, "starts", f"delivery {story.received[start.id]}")
        world.check(start.run, invariants.starts_only_what_its_mode_plans, story, start)
        world.check(start.run, invariants.starts_only_with_critical_inputs, story, start, world.now)

    def behave(self, start: Start) -> Behaviour:
        """What fate and the weather make of a start."""
        world = self._world
        story = world.stories[start.run]
        if not planned_in(story.declared, start):  # what a stranger to the mode would read does not exist
            return Behaviour(kind=Kind.NOT_READY)
        weathered = self._weathered(start)
        behaviour = weathered or world.fate.behave(story.plan, start)
        if behaviour.fault:
            world.fault(behaviour.fault, start.id)
        if behaviour.kind is not Kind.SUCCESS:
            world.trouble(start.run)
        if behaviour.kind in LOST_WORK:
            story.spoilt.add(start.id)
        if behaviour.kind in LOST_WORK and not behaviour.hard:
            out_until = world.weather.ends_at(service_of(story, start)) if weathered else world.now
            world.meter.strike_work(behaviour.fault or behaviour.kind.value, start, out_until)
        units = len(start.units or ())
        hopeless = behaviour.kind is not Kind.PARTIAL or len(behaviour.lacks) == units
        if behaviour.hard and hopeless and is_critical(story.declared, start.run, start.phase, start.processor):
            story.excused = story.excused or behaviour.fault
        return behaviour

    def _weathered(self, start: Start) -> Behaviour | None:
        """What a release that is no good, or a source that lags behind, makes of it."""
        weather = self._world.weather
        function = service_of(self._world.stories[start.run], start)
        if weather.has(SpellKind.BAD_SERVICE, function):
            return Behaviour(kind=Kind.FAIL, after_s=2.0, fault="failed by its release")
        if weather.has(SpellKind.HUNG_SERVICE, function):
            return Behaviour(kind=Kind.HANG, fault="hung by its release")
        if start.processor in SOURCES and weather.has(SpellKind.STALE):
            units = start.units or ()
            if len(units) < 2:
                return Behaviour(kind=Kind.NOT_READY, after_s=5.0, fault="stale")
            return Behaviour(kind=Kind.PARTIAL, after_s=5.0, lacks=units[: len(units) // 2], fault="stale")
        return None

    def read_inputs(self, start: Start) -> dict[str, str]:
        """The digests of what a start's processor finds, of what it reads."""
        world = self._world
        story = world.stories[start.run]
        inputs: dict[str, str] = {}
        for other in reads(story.plan, story.plan.phase_by_name[start.phase], world.processor_of(start)):
            stands = world.warehouse.read(partition_of(other), str(start.run))
            if stands:
                story.foreign |= stands[0].run != str(start.run)
                inputs[other.name] = stands[1].digest
        return inputs

    # --- work ---------------------------------------------------------------------------------------------

    def _finish(self, delivery: Delivery, start: Start, behaviour: Behaviour, inputs: Mapping[str, str]) -> None:
        """Write, report, and only then let go of the order."""
        world = self._world
        if world.weather.refuses(function_of(delivery)):
            world.hand_back(delivery)
            return
        if behaviour.kind in STATUSES:
            self.report(start, status=STATUSES[behaviour.kind], reason=behaviour.fault or behaviour.kind.value)
        elif not world.weather.has(SpellKind.QUOTA):
            written, units = self._write(start, behaviour, inputs)
            if behaviour.lies:
                count = len(units)
                told = {"rows": count, "units_expected": count, "units_actual": count, "digest": written.digest}
                self.report(start, status=Status.SUCCESS, **told)
            elif behaviour.kind is not Kind.MUTE:
                self._report_written(start, written, units, behaviour.more)
        elif world.now < out_of_time_at(start):  # whoever writes to a warehouse waits out its quotas
            self._later(delivery, QUOTA_LOOK_S, lambda: self._finish(delivery, start, behaviour, inputs))
            return
        else:
            world.stories[start.run].spoilt.add(start.id)
            self.report(start, status=Status.FAILED, reason=f"{SIMULATED} quota exceeded")
        world.sqlite.bus.ack([delivery])

    def _write(self, start: Start, behaviour: Behaviour, inputs: Mapping[str, str]) -> tuple[Written, tuple[str, ...]]:
        """What stands afterwards, and the units there should be. A start id that was done is not done again."""
        world = self._world
        story, processor = world.stories[start.run], world.processor_of(start)
        partition, stamp = partition_of(processor), stamp_of(start)
        units = start.units
        if units is None:
            units = expected_units(start.run, world.fate.games).get(processor.unit, ())
        written = world.warehouse.standing(partition, stamp)
        if written is None:
            there = world.warehouse.read(partition)
            made = tuple(unit for unit in units if unit not in behaviour.lacks)
            if behaviour.lies and not made:
                return there[1] if there else Written(rows=0, units=(), digest=""), units
            rows = make_rows(processor, made, inputs) + [{"unit": game, "made_of": "rumour"} for game in behaviour.more]
            written = world.warehouse.load(partition, rows, stamp, "unit" if processor.unit else "")
            world.note(start.id, "writes", f"{written.digest}{' superseded' if written.superseded else ''}")
            if not written.superseded:
                self.wrote(start, there[0] if there else None, written)
            elif there and there[0].run != str(start.run):
                story.foreign = True
        return written, units if processor.unit else ()

    def wrote(self, start: Start, stood: Stamp | None, written: Written) -> None:
        """That this stands now where that stood."""
        world = self._world
        rule = invariants.each_start_id_effective_once
        world.check(start.run, rule, world.stories, start, stood, written.digest)
        story = world.stories[start.run]
        story.wrote[start.processor] = story.content[start.id] = written.digest

    # --- reports ------------------------------------------------------------------------------------------

    def _report_written(
        self, start: Start, written: Written, units: tuple[str, ...], more: tuple[str, ...] = ()
    ) -> None:
        found = self._found(start, written.units, more)
        if written.superseded:
            self.report(start, status=Status.SKIPPED, reason="superseded", found=found)
            return
        missing = tuple(unit for unit in units if unit not in written.units)
        self.report(
            start,
            status=Status.PARTIAL if missing else Status.SUCCESS,
            units_expected=len(units) if units else None,
            units_actual=len(written.units) if units else None,
            missing=missing,
            rows=written.rows,
            digest=written.digest,
            found=found,
        )

    def _found(self, start: Start, units: tuple[str, ...], more: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        league = expected_units(start.run, self._world.fate.games)
        found = {name: league[name] for name in FINDS[start.processor]}
        if "players" in found:
            found["players"] = players_of(units)
        return {name: (*names, *more) if name in ("games", "next_games") else names for name, names in found.items()}

    def report(self, start: Start, **said: Any) -> None:
        world = self._world
        completion = Completion(
            run=start.run,
            phase=start.phase,
            processor=start.processor,
            attempt=start.attempt,
            report=1,
            **said,
        )
        world.note(start.id, "reports", completion.status)
        topic = world.stories[start.run].plan.phase_by_name[start.phase].completion_topic
        world.carry([completion_message(completion, topic)])


def function_of(delivery: Delivery) -> str:
    return delivery.subscription.partition(".")[0]


def out_of_time_at(start: Start) -> datetime:
    return start.issued_at + timedelta(seconds=start.timeout_s)


def service_of(story: Story, start: Start) -> str:
    """The service that hears this start."""
    return SERVICE_OF[story.plan.phase_by_name[start.phase].start_topic]
