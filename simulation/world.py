"""A world under a virtual clock: the shipped service and adapters, simulated processors, and whatever fate brings.

Every handler run is a greenlet that yields before each port call, so the seeded fate decides who goes on, and who dies
there. A crash after a call is a crash before the next one: nothing can be seen between the two. Time, messages,
handlers, processors and what is seen of them stand here together, because each event touches most of them; hence the
length.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from greenlet import getcurrent, greenlet

from shared import edge
from shared.adapters.scheduler import firings, nudge_message
from shared.adapters.sqlite import Sqlite
from shared.config.functions import NUDGE_TOPIC, PREDICTION_REQUEST_TOPIC, FunctionKind, functions_of
from shared.config.nba import NBA
from shared.config.orchestration_config import PIPELINES
from shared.core import calendar
from shared.core.codec import encode
from shared.core.messages import (
    Message,
    Nudge,
    completion_message,
    read_completion,
    read_nudge,
    read_start,
    run_of,
)
from shared.core.model import Act, Completion, Control, Fact, Latch, LedgerEntry, RunKey, ScheduleSpec, Start, Status
from shared.core.plan import Plan, PlannedProcessor
from shared.gather import one_by_one
from shared.ports import LOOK_WITHIN_S, Bus, Delivery, Evidence, Ports, Stamp, StateStore, Written
from shared.service import Service
from simulation import invariants
from simulation.asked import readers_of
from simulation.batches import Batches
from simulation.evidence import WorldEvidence
from simulation.fate import Call, Fate, planned_in
from simulation.seam import SIMULATED, Crash, Network, Seam, Unavailable
from simulation.story import Story, done_by
from simulation.warehouse import MemoryWarehouse
from simulation.work import Behaviour, Kind, expected_units, make_rows, partition_of, players_of, reads, stamp_of

HANDLER_LEASE_S = 60  # of a gate function's message
START_LEASE_S = 600  # of an order to a processor: the longest that Pub/Sub allows
PULL_MAX = 64
OUTLAST = timedelta(days=3)  # the longest a world goes on after its last schedule: late policies end after two
TRACE_LINES = 400  # kept to be read; all of them go into the digest

BATCH_TIMER = f"prediction_coordinator.{NUDGE_TOPIC}"

MINUTE = timedelta(minutes=1)
FINDS = {spec.name: spec.finds for phase in NBA.phases for spec in phase.processors}


@dataclass(frozen=True, slots=True)
class Violation:
    run: str
    rule: str
    detail: str
    at: datetime


@dataclass(slots=True)
class VirtualClock:
    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass(slots=True, eq=False)
class Handler:
    """One delivery on one instance."""

    name: str
    delivery: Delivery
    run: RunKey | None
    thread: Any = None
    calls: int = 0


class World:
    def __init__(self, fate: Fate, first: date) -> None:
        self.fate = fate
        self.begins_at = calendar.at(first, "00:00", NBA.zone)
        self.first = first
        self.clock = VirtualClock(self.begins_at)
        self.sqlite = Sqlite(":memory:")
        self.stories: dict[RunKey, Story] = {}
        self._open: dict[RunKey, Story] = {}  # those that anything is due in, or soon will be
        self.forgotten: set[RunKey] = set()
        self.quarantined: dict[str, str] = {}  # delivery id to reason
        self.violations: dict[tuple[str, str], Violation] = {}
        self.faults: Counter[str] = Counter()
        self.decisions = 0
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.warehouse = MemoryWarehouse()
        self._digest = sha256()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._pushed = 0
        self.before_call: Callable[[str], None] = lambda _: None  # of who is no handler of this world
        self._current: Handler | None = None
        self._hub = getcurrent()
        self._pull_at: datetime | None = None
        self._sweep_at: datetime | None = None
        self._awaited: set[RunKey] = set()  # scheduled, and not begun
        self._ends_at = self.begins_at + OUTLAST
        states = cast(StateStore, Seam(self.sqlite.states, self.call))
        bus = cast(Bus, Seam(Network(self.sqlite.bus, self.carry), self.call))
        evidence = cast(Evidence, Seam(WorldEvidence(self, FINDS), self.call))
        ports = Ports(
            states=states, bus=bus, clock=self.clock, readers=readers_of(states, self.warehouse), evidence=evidence
        )
        self.service = Service(ports, PIPELINES, tell=self._tell, gather=one_by_one)
        self._ports = ports
        self.batches = Batches(self)
        self._handlers: dict[str, edge.Handler] = {}
        self._gates: list[str] = []  # subscriptions of what answers at once
        self._workers: list[str] = []  # of what works
        self._subscribe()

    def _subscribe(self) -> None:
        for function in functions_of(NBA.name):
            for topic in function.listens:
                subscription = f"{function.name}.{topic}"
                self.sqlite.bus.subscribe(subscription, topic)
                works = function.kind is FunctionKind.SERVICE
                if works and topic in self.batches.handlers:
                    self._handlers[subscription] = self.batches.handlers[topic]
                    works = topic == PREDICTION_REQUEST_TOPIC
                elif not works and topic == NUDGE_TOPIC:
                    self._handlers[subscription] = lambda body: self.service.on_nudge(read_nudge(body))
                elif not works:
                    self._handlers[subscription] = lambda body: self.service.on_completion(read_completion(body))
                (self._workers if works else self._gates).append(subscription)

    # --- time -----------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.clock.at

    def at(self, instant: datetime, act: Callable[[], None]) -> None:
        self._pushed += 1
        heapq.heappush(self._events, (instant, self._pushed, act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + timedelta(seconds=seconds), act)

    def go_on(self) -> None:
        """Until nothing is left to happen, or the world has outlasted its last schedule."""
        self._hub = getcurrent()
        with quiet():
            while self._events and self._events[0][0] <= self._ends_at:
                instant, _, act = heapq.heappop(self._events)
                self.clock.at = max(self.clock.at, instant)
                act()
            self._judge()

    # --- schedules --------------------------------------------------------------------------------------

    def forget_before(self) -> None:
        """The runs of the days before are none of this world's: an operator has cancelled them."""
        with quiet():
            for run in calendar.expected_runs(NBA, self.now):
                self.forgotten.add(run)
                cancel = Act(actor="simulation", reason="before the first day", at=self.now)
                self.sqlite.states.set_control(run, Control(version=1, cancel=cancel))
                self.service.start_run(run)

    def schedule(self, days: int, modes: Iterable[str] = ("overnight", "same_day", "tomorrow")) -> None:
        """What Cloud Scheduler says on these local days."""
        until = calendar.at(self.first + timedelta(days=days), "00:00", NBA.zone)
        self._ends_at = until + OUTLAST
        for spec in NBA.schedules:
            if spec.act == "sweep" or spec.mode not in modes:
                continue
            for instant in firings(spec, self.begins_at, until):
                self.at(instant, lambda spec=spec: self._fire(spec))  # type: ignore[misc]

    def _fire(self, spec: ScheduleSpec) -> None:
        run = RunKey(NBA.name, calendar.resolve(spec.date, self.now, spec.zone), spec.mode)
        if spec.act == "start" and run not in self.stories:
            self._awaited.add(run)
            self.plan_sweep()
        self.carry([nudge_message(spec, NBA.name, self.now, NUDGE_TOPIC)])

    def nudge(self, nudge: Nudge) -> None:
        self.carry([Message(topic=NUDGE_TOPIC, data=encode(nudge))])

    def plan_sweep(self) -> None:
        """The next full minute at which the timer would find something; those before it would find nothing."""
        looks = [self.now] if self._awaited else []
        for run in [run for run, story in self._open.items() if story.due_at is None and not story.leases]:
            del self._open[run]
        for story in self._open.values():
            if story.due_at is not None:
                looks.append(story.due_at)
            looks.extend(story.leases.values())
        batch_at = self.batches.due_at
        if batch_at is not None:
            looks.append(batch_at)
        if not looks:
            return
        whole = max(min(looks), self.now).replace(second=0, microsecond=0) + MINUTE
        if self._sweep_at is None or whole < self._sweep_at:
            self._sweep_at = whole
            self.at(whole, lambda: self._sweep(whole))

    def _sweep(self, planned_at: datetime) -> None:
        if planned_at != self._sweep_at:
            return
        self._sweep_at = None
        due = [story for story in self._open.values() if story.due_at is not None and story.due_at <= self.now]
        lapsed = any(at <= self.now for story in self._open.values() for at in story.leases.values())
        batch_at = self.batches.due_at
        if due or self._awaited or lapsed or (batch_at is not None and batch_at <= self.now):
            for story in due:
                self._look_whether_ready(story)
            self.nudge(Nudge(pipeline=NBA.name, mode="", date="", scheduled_at=self.now, act="sweep"))
        self.plan_sweep()

    # --- messages -------------------------------------------------------------------------------------

    def carry(self, messages: Sequence[Message]) -> None:
        """Bring messages to the bus, each as fate has it."""
        arrived: list[Message] = []
        for message in messages:
            self._sent(message)
            copies = self.fate.carry(message)
            if message.topic == NUDGE_TOPIC and 0.0 not in copies:  # the timer itself is out of order for a while
                self.disturb(None, min(copies, default=60.0))
            if not copies:
                self.fault("lost", message.attributes.get("run", ""))
            if len(copies) > 1:
                self.fault("doubled", message.attributes.get("run", ""))
            for copy_s in copies:
                if copy_s:
                    self.fault("late", message.attributes.get("run", ""))
                    self.after(copy_s, lambda message=message: self.arrive([message]))  # type: ignore[misc]
                else:
                    arrived.append(message)
        if arrived:
            self.arrive(arrived)

    def arrive(self, messages: Sequence[Message]) -> None:
        self.sqlite.bus.publish(messages, self.now)
        self._want_pull(self.now)

    def _sent(self, message: Message) -> None:
        run = run_of(message.attributes)
        if run in self.stories and message.topic.endswith("-start"):
            a = message.attributes
            self.stories[run].sent[f"{run}/{a['phase']}/{a['processor']}/{a['attempt']}"] += 1

    def _want_pull(self, instant: datetime) -> None:
        if self._pull_at is None or instant < self._pull_at:
            self._pull_at = instant
            self.at(instant, lambda: self._pull(instant))

    def _pull(self, planned_at: datetime) -> None:
        if planned_at != self._pull_at:
            return
        self._pull_at = None
        bus = self.sqlite.bus
        for delivery in bus.pull(self._gates, limit=PULL_MAX, now=self.now, lease_s=HANDLER_LEASE_S):
            self._hear(delivery)
        for delivery in bus.pull(self._workers, limit=PULL_MAX, now=self.now, lease_s=START_LEASE_S):
            if delivery.subscription in self._handlers:
                self._hear(delivery)
            else:
                self._order(delivery)
        next_at = bus.next_at()
        if next_at is not None:
            self._want_pull(max(next_at, self.now))

    # --- handlers -------------------------------------------------------------------------------------

    def _hear(self, delivery: Delivery) -> None:
        if delivery.subscription == BATCH_TIMER and not self.batches.are_open:  # it would find nothing
            self.sqlite.bus.ack([delivery])
            return
        run = run_of(delivery.attributes)
        name = f"{delivery.subscription.partition('.')[0]}#{delivery.id}.{delivery.attempt}"
        handler = Handler(name, delivery, run)
        self.note(name, "hears", delivery.topic)

        def live() -> None:
            try:
                edge.receive([delivery], lambda each: self._handlers[each.subscription], self._ports)
            except (Crash, Unavailable) as end:
                self.note(name, "is gone", type(end).__name__)
                if delivery.subscription in self._workers:  # whoever pushed the order sees that the line is dead
                    self.sqlite.bus.nack(delivery, self.now, type(end).__name__)
                    self._want_pull(self.sqlite.bus.next_at() or self.now)

        handler.thread = greenlet(live, parent=self._hub)
        self._resume(handler)

    def _resume(self, handler: Handler) -> None:
        self._current = handler
        handler.thread.switch()
        self._current = None

    def call(self, verb: str, method: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A handler's way to a port: others go on, then it strikes or goes through, and the world takes note."""
        handler = self._current
        if handler is None:
            self.before_call(verb)
            result = method(*arguments, **named)
        elif verb in ("plan", "beat"):  # a plan never changes, and a heartbeat changes nothing
            result = method(*arguments, **named)
        else:
            handler.calls += 1
            call = Call(verb, handler.delivery.topic, str(handler.run or ""), handler.delivery.attempt, handler.calls)
            pause_s = self.fate.pause_s(call)
            if pause_s > 1:
                self.fault("stall", call.run)
                self.disturb(handler.run, pause_s)
            self.after(pause_s, lambda: self._resume(handler))
            self._hub.switch()
            struck = self.fate.strike(call)
            if struck:
                self.fault(struck, call.run)
                self.disturb(handler.run, HANDLER_LEASE_S)
                raise Crash if struck == "crash" else Unavailable(f"{SIMULATED} {verb} is unavailable")
            result = method(*arguments, **named)
            self.note(handler.name, verb, _brief(result))
        seen = getattr(self, f"_saw_{verb}", None) or getattr(self.batches, f"saw_{verb}", None)
        if seen:
            seen(result, *arguments, **named)
        return result

    def pass_by(self, seconds: float) -> None:
        """For a handler, so much time; for the others of the world, their own."""
        handler = self._current
        assert handler is not None, "only a handler's time can pass by itself"
        self.after(seconds, lambda: self._resume(handler))
        self._hub.switch()

    def disturb(self, run: RunKey | None, seconds: float) -> None:
        until = self.now + timedelta(seconds=seconds)
        for story in [self.stories[run]] if run in self.stories else self._open.values():
            story.disturbed_until = max(story.disturbed_until or until, until)

    # --- what is seen at the seam -------------------------------------------------------------------------

    def _saw_create_run(self, created: bool, plan: Plan) -> None:
        self._awaited.discard(plan.run)
        if not created:
            return
        self.stories[plan.run] = self._open[plan.run] = story = Story(
            plan=plan, due_at=plan.started_at, readers=readers_of(self.sqlite.states, self.warehouse)
        )
        if plan.run in self.forgotten:
            return
        held = self.fate.hold_s(plan.run)
        if held:
            begin_s, length_s = held
            self.after(begin_s, lambda: self.hold(plan.run, length_s))
        self._look_whether_ready(story)
        self.plan_sweep()

    def _saw_append(self, written: bool, fact: Fact) -> None:
        if written:
            story = self.stories[fact.completion.run]
            story.facts[fact.completion.id] = fact
            story.facts_of[fact.completion.processor].append(fact)
            soon = fact.received_at + timedelta(seconds=LOOK_WITHIN_S)
            story.due_at = min(story.due_at or soon, soon)
            self._open[fact.completion.run] = story
            self._look_whether_ready(story)
            self.plan_sweep()

    def _saw_claim(
        self,
        created: tuple[Latch, ...] | None,
        run: RunKey,
        *,
        due_at: datetime | None,
        now: datetime,
        lease_s: int,
        **_: object,
    ) -> None:
        if created is None:
            return
        story = self.stories[run]
        self.check(run, invariants.a_hold_holds, story.control, created, now)
        story.due_at = due_at
        self._open[run] = story
        for latch in created:
            story.latches[latch.key] = latch
            story.leases[latch.key] = now + timedelta(seconds=lease_s)
            story.ready -= done_by(latch)
            story.claimed.update(start.id for start in latch.starts)
        self.plan_sweep()

    def _saw_close(self, _: None, run: RunKey, keys: Sequence[str]) -> None:
        story = self.stories[run]
        for key in keys:
            if story.leases.pop(key, None):
                latch = story.latches[key]
                story.closed.update(start.id for start in latch.starts)
                self.check(run, invariants.what_is_closed_was_sent, story, latch)

    def _saw_take_lapsed(self, taken: tuple[Latch, ...], now: datetime, lease_s: int, _: int) -> None:
        for latch in taken:
            self.stories[latch.run].claimed.update(start.id for start in latch.starts)
            self.stories[latch.run].leases[latch.key] = now + timedelta(seconds=lease_s)
        self.plan_sweep()

    def _saw_quarantine(self, _: None, item: Any) -> None:
        self.quarantined[item.id] = item.reason

    def _saw_nack(self, _: None, delivery: Delivery, _now: datetime, error: str) -> None:
        if SIMULATED not in error:
            self.violate(delivery.attributes.get("run", ""), "no handler raises", error)
        self._want_pull(self.sqlite.bus.next_at() or self.now)

    def _saw_ack(self, _: None, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.topic.endswith("-complete"):
                run = run_of(delivery.attributes)
                story = self.stories.get(run) if run else None
                kept = delivery.id in self.quarantined
                self.check(run, invariants.no_completed_work_lost, story, delivery, kept)

    def _tell(self, entry: LedgerEntry) -> None:
        self.decisions += 1
        self.note(str(entry.run), f"{entry.decision} {entry.gate}/{entry.attempt}", entry.reason)

    # --- operators ----------------------------------------------------------------------------------------

    def hold(self, run: RunKey, seconds: float) -> None:
        story = self.stories[run]
        hold = Act(actor="operator", reason="looks into it", at=self.now, until=self.now + timedelta(seconds=seconds))
        control = Control(version=story.control.version + 1, hold=hold)
        assert self.sqlite.states.set_control(run, control)
        story.control, story.excused = control, story.excused or "held"
        story.ready = frozenset()
        self.fault("held", str(run))

    # --- processors -----------------------------------------------------------------------------------

    def _order(self, delivery: Delivery) -> None:
        start = read_start(delivery.data)
        self.receive(start)
        behaviour, inputs = self.behave(start), self.read_inputs(start)
        if behaviour.kind is Kind.HANG:
            self.sqlite.bus.ack([delivery])
        elif behaviour.kind is not Kind.DIE:
            self.after(behaviour.after_s, lambda: self._finish(delivery, start, behaviour, inputs))

    def receive(self, start: Start) -> None:
        """Whoever is told to start something may be told so."""
        story = self.stories[start.run]
        story.received[start.id] += 1
        self.note(start.id, "starts", f"delivery {story.received[start.id]}")
        self.check(start.run, invariants.starts_only_what_its_mode_plans, start)
        self.check(start.run, invariants.starts_only_with_critical_inputs, story, start, self.now)

    def behave(self, start: Start) -> Behaviour:
        """What fate makes of a start."""
        if not planned_in(start):  # what a stranger to the mode would read does not exist
            return Behaviour(kind=Kind.NOT_READY)
        story = self.stories[start.run]
        behaviour = self.fate.behave(story.plan, start)
        if behaviour.fault:
            self.fault(behaviour.fault, start.id)
        if behaviour.hard:
            story.excused = story.excused or behaviour.fault
        return behaviour

    def processor_of(self, start: Start) -> PlannedProcessor:
        return self.stories[start.run].plan.phase_by_name[start.phase].by_name[start.processor]

    def read_inputs(self, start: Start) -> dict[str, str]:
        """The digests of what a start's processor finds, of what it reads."""
        story = self.stories[start.run]
        inputs: dict[str, str] = {}
        for other in reads(story.plan, story.plan.phase_by_name[start.phase], self.processor_of(start)):
            stands = self.warehouse.read(partition_of(other), str(start.run))
            if stands:
                story.foreign |= stands[0].run != str(start.run)
                inputs[other.name] = stands[1].digest
        return inputs

    def _finish(self, delivery: Delivery, start: Start, behaviour: Behaviour, inputs: Mapping[str, str]) -> None:
        """Write, report, and only then let go of the order."""
        match behaviour.kind:
            case Kind.NOT_READY | Kind.FAIL | Kind.SKIP:
                statuses = {Kind.NOT_READY: Status.NOT_READY, Kind.FAIL: Status.FAILED, Kind.SKIP: Status.SKIPPED}
                self.report(start, status=statuses[behaviour.kind], reason=behaviour.fault or behaviour.kind.value)
            case _:
                written, units = self._write(start, behaviour, inputs)
                if behaviour.kind is not Kind.MUTE:
                    self._report_written(start, written, units, behaviour.more)
        self.sqlite.bus.ack([delivery])

    def _write(self, start: Start, behaviour: Behaviour, inputs: Mapping[str, str]) -> tuple[Written, tuple[str, ...]]:
        """What stands afterwards, and the units there should be. A start id that was done is not done again."""
        story, processor = self.stories[start.run], self.processor_of(start)
        partition, stamp = partition_of(processor), stamp_of(start)
        units = start.units
        if units is None:
            units = expected_units(start.run, self.fate.games).get(processor.unit, ())
        written = self.warehouse.standing(partition, stamp)
        if written is None:
            there = self.warehouse.read(partition)
            made = tuple(unit for unit in units if unit not in behaviour.lacks)
            rows = make_rows(processor, made, inputs) + [{"unit": game, "made_of": "rumour"} for game in behaviour.more]
            written = self.warehouse.load(partition, rows, stamp, "unit" if processor.unit else "")
            self.note(start.id, "writes", f"{written.digest}{' superseded' if written.superseded else ''}")
            if not written.superseded:
                self.wrote(start, there[0] if there else None, written)
            elif there and there[0].run != str(start.run):
                story.foreign = True
        return written, units if processor.unit else ()

    def wrote(self, start: Start, stood: Stamp | None, written: Written) -> None:
        """That this stands now where that stood."""
        story = self.stories[start.run]
        rule = invariants.each_start_id_effective_once
        self.check(start.run, rule, self.stories, start, stood, written.digest)
        story.wrote[start.processor] = story.content[start.id] = written.digest

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
        league = expected_units(start.run, self.fate.games)
        found = {name: league[name] for name in FINDS[start.processor]}
        if "players" in found:
            found["players"] = players_of(units)
        return {name: (*names, *more) if name in ("games", "next_games") else names for name, names in found.items()}

    def report(self, start: Start, **said: Any) -> None:
        completion = Completion(
            run=start.run,
            phase=start.phase,
            processor=start.processor,
            attempt=start.attempt,
            report=1,
            **said,
        )
        self.note(start.id, "reports", completion.status)
        topic = self.stories[start.run].plan.phase_by_name[start.phase].completion_topic
        self.carry([completion_message(completion, topic)])

    # --- judgement --------------------------------------------------------------------------------------

    def _look_whether_ready(self, story: Story) -> None:
        """What is due on what is recorded must have been done two minutes from now."""
        due = story.would(self.now)
        news = due - story.ready
        story.ready = due
        if news:
            self.at(self.now + invariants.READY, lambda: self._still_ready(story, news))

    def _still_ready(self, story: Story, news: frozenset[str]) -> None:
        left = news & story.ready
        if not left:
            return
        if story.disturbed_until and story.disturbed_until + invariants.READY > self.now:
            self.at(story.disturbed_until + invariants.READY, lambda: self._still_ready(story, left))
            return
        self.check(story.plan.run, invariants.ready_but_not_fired, story, left, self.now)

    def check(self, run: RunKey | None, rule: Callable[..., Iterator[str]], *arguments: object) -> None:
        for detail in rule(*arguments):
            self.violate(str(run or ""), rule.__name__.replace("_", " "), detail)

    def expect(self, claim: bool, detail: str, run: RunKey | None = None) -> None:
        """What a scenario expects beyond the invariants."""
        if not claim:
            self.violate(str(run or ""), "scenario", detail)

    def violate(self, run: str, rule: str, detail: str) -> None:
        if (run, rule) not in self.violations:  # the first of a kind says most
            self.violations[run, rule] = Violation(run, rule, detail, self.now)
            self.note(run, "VIOLATES", f"{rule}: {detail}")

    def _judge(self) -> None:
        states = self.sqlite.states
        for run, story in self.stories.items():
            if run in self.forgotten:
                continue
            record = states.load(run)
            story.ledger = states.ledger(run)
            for rule in invariants.AT_THE_END:
                self.check(run, rule, invariants.End(story, record, self.fate.games))
        self.batches.judge()

    def fault(self, kind: str, where: str) -> None:
        self.faults[kind] += 1
        self.note(where, "fault", kind)

    def note(self, who: str, does: str, what: str) -> None:
        line = f"{self.now:%Y-%m-%d %H:%M:%S.%f} {who} {does} {what}"
        self.trace.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def _brief(result: object) -> str:
    return str(len(result)) if isinstance(result, tuple) else str(result) if isinstance(result, bool) else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Injected faults are no news for a person: the shipped code's log lines are left out."""
    log = logging.getLogger("tipoff")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
