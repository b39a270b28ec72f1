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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import cycle
from typing import Any, cast

from greenlet import getcurrent, greenlet

from shared import edge
from shared.adapters.scheduler import firings, nudge_message
from shared.adapters.sqlite import Sqlite
from shared.config.functions import NUDGE_TOPIC, PREDICTION_REQUEST_TOPIC, FunctionKind, functions_of
from shared.config.nba import NBA
from shared.config.orchestration_config import PIPELINES
from shared.core import calendar
from shared.core.batch import Batch, ChunkReport
from shared.core.codec import encode
from shared.core.gate import Block, decide
from shared.core.messages import (
    Message,
    Nudge,
    read_completion,
    read_nudge,
    run_of,
)
from shared.core.model import (
    WATCH,
    Act,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    PipelineSpec,
    RunKey,
    ScheduleSpec,
    Start,
    Word,
)
from shared.core.plan import Plan, PlannedProcessor, config_hash
from shared.gather import one_by_one
from shared.ports import LOOK_WITHIN_S, Bus, Delivery, Evidence, Notifier, Ports, StateStore
from shared.service import SWEEP_LOOK_BACK_DAYS, Refusal, Service
from shared.watch import Watch
from simulation import invariants
from simulation.asked import readers_of, watch_of
from simulation.batches import Batches
from simulation.evidence import WorldEvidence
from simulation.fate import Call, Fate
from simulation.meter import Meter
from simulation.processors import FINDS, Processors
from simulation.seam import SIMULATED, Crash, Network, Seam, Unavailable
from simulation.sink import Sink
from simulation.spells import SpellKind, Weather
from simulation.story import Story, done_by
from simulation.warehouse import MemoryWarehouse

HANDLER_LEASE_S = 60  # of a gate function's message
START_LEASE_S = 600  # of an order to a processor: the longest that Pub/Sub allows
PULL_MAX = 64
OUTLAST = timedelta(days=3)  # the longest a world goes on after its last schedule: late policies end after two
TRACE_LINES = 400  # kept to be read (None: all); all of them go into the digest

HASHES = {name: config_hash(spec) for name, spec in PIPELINES.items()}
BATCH_TIMER = f"prediction_coordinator.{NUDGE_TOPIC}"

MADE_UP = timedelta(days=SWEEP_LOOK_BACK_DAYS, minutes=5)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Violation:
    run: str
    rule: str
    detail: str
    at: datetime


@dataclass(slots=True)
class VirtualClock:
    """As whoever asks sees it: the clock of an instance may be off."""

    at: datetime
    skew_s: float = 0.0

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.skew_s) if self.skew_s else self.at


@dataclass(slots=True, eq=False)
class Handler:
    """One delivery on one instance."""

    name: str
    delivery: Delivery
    run: RunKey | None
    thread: Any = None
    calls: int = 0

    @property
    def function(self) -> str:
        return self.delivery.subscription.partition(".")[0]


class World:
    def __init__(self, fate: Fate, first: date, *, trace_lines: int | None = TRACE_LINES, watched: int = 0) -> None:
        """`watched`: how many instances, by turns, also watch jobs and services, for which the timer goes each of its
        rounds."""
        self.fate = fate
        self.begins_at = calendar.at(first, "00:00", NBA.zone)
        self.first = first
        self.clock = VirtualClock(self.begins_at)
        self.sqlite = Sqlite(":memory:")
        self.stories: dict[RunKey, Story] = {}
        self._open: dict[RunKey, Story] = {}  # those that anything is due in, or soon will be
        self.forgotten: set[RunKey] = set()
        self.quarantined: dict[str, str] = {}  # delivery id to reason
        self.buried: set[str] = set()  # deliveries that are dead letters now
        self.violations: dict[tuple[str, str], Violation] = {}
        self.faults: Counter[str] = Counter()
        self._troubled: set[str] = set()  # runs that a fault has struck
        self.decisions = 0
        self.trace: deque[str] = deque(maxlen=trace_lines)
        self.warehouse = MemoryWarehouse()
        self._digest = sha256()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._pushed = 0
        self.before_call: Callable[[str], None] = lambda _: None  # of who is no handler of this world
        self._current: Handler | None = None
        self._alive: dict[Handler, None] = {}  # in the order of their beginning
        self._hub = getcurrent()
        self._pull_at: datetime | None = None
        self._sweep_at: datetime | None = None
        self._awaited: dict[RunKey, datetime] = {}  # scheduled, when, and not begun
        self._ends_at = self.begins_at + OUTLAST
        states = cast(StateStore, Seam(self.sqlite.states, self.call))
        bus = cast(Bus, Seam(Network(self.sqlite.bus, self.carry), self.call))
        self.sink = Sink(self)
        self.notifiers: dict[str, Notifier] = {"sink": cast(Notifier, Seam(self.sink, self.call))}
        evidence = cast(Evidence, Seam(WorldEvidence(self, FINDS), self.call))
        self.pipelines = dict(PIPELINES)  # as deployed now
        self.hashes = dict(HASHES)  # of these
        self.readers = readers_of(self, self.sqlite.states)
        ports = Ports(
            states=states,
            bus=bus,
            clock=self.clock,
            readers=readers_of(self, states),
            notifiers=self.notifiers,
            evidence=evidence,
        )
        guard = edge.apart if watched else _done  # whoever is called each minute meets what the next call mends
        watches: list[Watch | None] = [watch_of(self, ports) for _ in range(watched)]
        self._turns = cycle(
            [
                Service(ports, self.pipelines, tell=self._tell, gather=one_by_one, guard=guard, watch=watch)
                for watch in watches or [None]
            ]
        )
        self.service = next(self._turns)
        self.ports = ports
        self.weather = Weather(self)
        self.processors = Processors(self)
        self.meter = Meter()
        self.expected: set[RunKey] = set()  # that the schedules of its days call for
        self.acts = 0  # of people, to bring a run on
        self.instances: Counter[str] = Counter()  # by function: how often it has been deployed anew
        self._gaps: dict[str, datetime] = {}  # functions that have no subscription until then
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
        for number in range(days):
            for spell in self.fate.spells(self.first + timedelta(days=number)):
                self.weather.comes(spell)
        for spec in NBA.schedules:
            if spec.act == "sweep" or spec.mode not in modes:
                continue
            for instant in firings(spec, self.begins_at, until):
                self.at(instant, lambda spec=spec: self._fire(spec))  # type: ignore[misc]

    def _fire(self, spec: ScheduleSpec) -> None:
        run = RunKey(NBA.name, calendar.resolve(spec.date, self.now, spec.zone), spec.mode)
        if spec.act == "start":
            self.expected.add(run)
        if spec.act == "start" and run not in self.stories:
            self._awaited[run] = self.now
            self.plan_sweep()
        if self.weather.has(SpellKind.NO_SCHEDULES):
            return
        self.carry([nudge_message(spec, NBA.name, self.now, NUDGE_TOPIC)])

    def nudge(self, nudge: Nudge) -> None:
        self.carry([Message(topic=NUDGE_TOPIC, data=encode(nudge))])

    def plan_sweep(self) -> None:
        """The next full minute at which the timer would find something; those before it would find nothing."""
        for run in [run for run, at in self._awaited.items() if at + MADE_UP < self.now]:
            del self._awaited[run]  # nobody makes it up any more
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
        whole = max(min(looks), self.now, self.weather.sweeps_from).replace(second=0, microsecond=0) + MINUTE
        if self._sweep_at is None or whole < self._sweep_at:
            self._sweep_at = whole
            self.at(whole, lambda: self._sweep(whole))

    def _sweep(self, planned_at: datetime) -> None:
        if planned_at != self._sweep_at:
            return
        self._sweep_at = None
        if self.now < self.weather.sweeps_from:
            self.plan_sweep()
            return
        due = [story for story in self._open.values() if story.due_at is not None and story.due_at <= self.now]
        lapsed = any(at <= self.now for story in self._open.values() for at in story.leases.values())
        batch_at = self.batches.due_at
        if due or self._awaited or lapsed or (batch_at is not None and batch_at <= self.now):
            for story in due:
                self._look_whether_ready(story)
            self.sweep_now()
        self.plan_sweep()

    def sweep_now(self) -> None:
        self.service = next(self._turns)
        self.nudge(Nudge(pipeline=NBA.name, mode="", date="", scheduled_at=self.now, act="sweep"))

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
                self.meter.strike_message("lost", message, self.now)
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
            start_id = f"{run}/{a['phase']}/{a['processor']}/{a['attempt']}"
            self.stories[run].sent[start_id] += 1
            self.note(start_id, "is sent", message.topic)

    def _want_pull(self, instant: datetime) -> None:
        if self._pull_at is None or instant < self._pull_at:
            self._pull_at = instant
            self.at(instant, lambda: self._pull(instant))

    def _pull(self, planned_at: datetime) -> None:
        if planned_at != self._pull_at:
            return
        self._pull_at = None
        for function in [function for function, until in self._gaps.items() if self.now < until]:
            self._drop(function, self.now)
        bus = self.sqlite.bus
        for delivery in bus.pull(self._gates, limit=PULL_MAX, now=self.now, lease_s=HANDLER_LEASE_S):
            self._hear(delivery)
        for delivery in bus.pull(self._workers, limit=PULL_MAX, now=self.now, lease_s=START_LEASE_S):
            if delivery.subscription in self._handlers:
                self._hear(delivery)
            else:
                self.processors.order(delivery)
        next_at = bus.next_at()
        if next_at is not None:
            self._want_pull(max(next_at, self.now))

    # --- deploys ----------------------------------------------------------------------------------------

    def deploy(self, spec: PipelineSpec) -> None:
        """From now on this is what is declared."""
        self.fault("config", "")
        self.pipelines[spec.name], self.hashes[spec.name] = spec, config_hash(spec)

    def redeploy(self, function: str, gap_s: float = 0.0) -> None:
        """Its instances die, and its subscriptions are made anew: what waits, or comes in the gap, is gone."""
        self.fault("redeploy", function)
        self.instances[function] += 1
        self._gaps[function] = self.now + timedelta(seconds=gap_s)
        self._drop(function, self.now + timedelta(days=1))  # also what an instance held
        for handler in [handler for handler in self._alive if handler.function == function]:
            self._kill(handler)

    def _drop(self, function: str, until: datetime) -> None:
        names = [name for name in (*self._gates, *self._workers) if name.partition(".")[0] == function]
        while gone := self.sqlite.bus.pull(names, limit=PULL_MAX, now=until, lease_s=HANDLER_LEASE_S):
            self.sqlite.bus.ack(gone)
            for delivery in gone:
                self.note(delivery.id, "is gone from", delivery.topic, run_of(delivery.attributes))
                lost = Message(topic=delivery.topic, data=delivery.data, attributes=delivery.attributes)
                self.meter.strike_message("redeploy", lost, self.now)
                self.disturb(run_of(delivery.attributes), 0.0)

    def _kill(self, handler: Handler) -> None:
        self._alive.pop(handler, None)
        self.disturb(handler.run, HANDLER_LEASE_S)
        handler.thread.throw(Crash)

    # --- handlers -------------------------------------------------------------------------------------

    def _hear(self, delivery: Delivery) -> None:
        if delivery.subscription == BATCH_TIMER and not self.batches.are_open:  # it would find nothing
            self.sqlite.bus.ack([delivery])
            return
        run = run_of(delivery.attributes)
        name = f"{delivery.subscription.partition('.')[0]}#{delivery.id}.{delivery.attempt}"
        handler = Handler(name, delivery, run)
        self.note(name, "hears", delivery.topic, run)

        def live() -> None:
            try:
                edge.receive([delivery], lambda each: self._handlers[each.subscription], self.ports)
            except (Crash, Unavailable) as end:
                self.note(name, "is gone", type(end).__name__, run)
                if delivery.subscription in self._workers:  # whoever pushed the order sees that the line is dead
                    self.sqlite.bus.nack(delivery, self.now, type(end).__name__)
                    self._want_pull(self.sqlite.bus.next_at() or self.now)

        handler.thread = greenlet(live, parent=self._hub)
        self._alive[handler] = None
        self._resume(handler)

    def _resume(self, handler: Handler) -> None:
        if handler not in self._alive:  # killed meanwhile
            return
        self._current, self.clock.skew_s = handler, self.fate.skew_s(handler.function, self.now)
        handler.thread.switch()
        self._current, self.clock.skew_s = None, 0.0
        if handler.thread.dead:
            self._alive.pop(handler, None)

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
            delivery = handler.delivery
            call = Call(
                verb,
                delivery.topic,
                str(handler.run or ""),
                delivery.attempt,
                handler.calls,
                self.now,
                delivery.attributes.get("processor", ""),
            )
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
                self._meter_strike(struck, handler, self.now)
            elif self.weather.refuses(handler.function) or (verb == "merge" and self.weather.has(SpellKind.QUOTA)):
                struck = "error"
                self._meter_strike("outage", handler, self.weather.ends_at(handler.function))
            if struck == "error" and verb == "notify":
                return False  # a sink that is down says so
            if struck:
                raise Crash if struck == "crash" else Unavailable(f"{SIMULATED} {verb} is unavailable")
            result = method(*arguments, **named)
            self.note(handler.name, verb, _brief(result), handler.run or _about(arguments))
        seen = getattr(self, f"_saw_{verb}", None) or getattr(self.batches, f"saw_{verb}", None)
        if seen:
            seen(result, *arguments, **named)
        return result

    def _meter_strike(self, kind: str, handler: Handler, at: datetime) -> None:
        """What this handler would have done: record its report, send what is claimed, latch what is due."""
        story = self.stories.get(handler.run) if handler.run else None
        delivery = handler.delivery
        if story is None or not delivery.topic.endswith("-complete"):
            return
        said = delivery.attributes
        attempts = {fact.completion.attempt for fact in story.facts_of[said["processor"]]}
        if int(said["attempt"]) not in attempts:
            self.meter.strike_message(kind, Message(topic=delivery.topic, data=delivery.data, attributes=said), at)
            return
        self.meter.strike_effects(kind, story.plan.run, sorted(story.ready), at)
        for key in story.leases:
            for start in story.latches[key].starts:
                if not story.sent[start.id]:
                    self.meter.strike_order(kind, start.id, at)

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
        self._awaited.pop(plan.run, None)
        if not created or plan.run.mode == WATCH:
            return
        self.stories[plan.run] = self._open[plan.run] = story = Story(
            plan=plan,
            declared=self.pipelines[plan.run.pipeline],
            due_at=plan.started_at,
            readers=self.readers,
        )
        if plan.run in self.forgotten:
            return
        held = self.fate.hold_s(plan.run)
        if held:
            begin_s, length_s = held
            self.after(begin_s, lambda: self.hold(plan.run, length_s))
        self._look_whether_ready(story)
        self.at(plan.deadline_at + invariants.IN_TIME, lambda: self._in_time(story))
        self.plan_sweep()

    def _in_time(self, story: Story) -> None:
        settled_at = self.settled_at(story)
        if settled_at + invariants.READY > self.now:
            self.at(settled_at + invariants.READY, lambda: self._in_time(story))
            return
        self.check(story.plan.run, invariants.ends_in_time_or_one_is_told, story, self.now)

    def _saw_append(self, written: bool, fact: Fact) -> None:
        if written:
            story = self.stories[fact.completion.run]
            self.meter.recorded(fact.completion, self.now)
            self.check(fact.completion.run, invariants.a_fact_is_written_once, story, fact)
            story.facts[fact.completion.id] = fact
            story.facts_of[fact.completion.processor].append(fact)
            soon = fact.received_at + timedelta(seconds=LOOK_WITHIN_S)
            story.due_at = min(story.due_at or soon, soon)
            self._open[fact.completion.run] = story
            self._look_whether_ready(story)
            self.plan_sweep()

    def _saw_set_control(self, kept: bool, run: RunKey, control: Control) -> None:
        if kept:
            self.stories[run].control = control

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
        if run.mode == WATCH:
            for latch in created:
                self.check(run, invariants.no_alarm_when_nothing_is_wrong, latch, bool(self.faults))
            return
        story = self.stories[run]
        self.check(run, invariants.a_hold_holds, story.control, created, now)
        story.due_at = due_at
        self._open[run] = story
        for latch in created:
            self.check(run, invariants.no_alarm_when_nothing_is_wrong, latch, self._is_troubled(story))
            story.latches[latch.key] = latch
            story.leases[latch.key] = now + timedelta(seconds=lease_s)
            story.ready -= done_by(latch)
            self.meter.done(run, sorted(done_by(latch)), self.now, self.settled_at(story))
            story.claimed.update(start.id for start in latch.starts)
        self.plan_sweep()

    def _is_troubled(self, story: Story) -> bool:
        """Whether any fault has come near it, or near the clockwork that it goes by."""
        return str(story.plan.run) in self._troubled or self.weather.troubled_until >= story.plan.started_at

    def _saw_close(self, _: None, run: RunKey, keys: Sequence[str]) -> None:
        if run.mode == WATCH:
            return
        story = self.stories[run]
        for key in keys:
            if story.leases.pop(key, None):
                latch = story.latches[key]
                story.closed.update(start.id for start in latch.starts)
                self.check(run, invariants.what_is_closed_was_sent, story, latch)

    def _saw_take_lapsed(self, taken: tuple[Latch, ...], now: datetime, lease_s: int, _: int) -> None:
        for latch in (latch for latch in taken if latch.run.mode != WATCH):
            self.stories[latch.run].claimed.update(start.id for start in latch.starts)
            self.stories[latch.run].leases[latch.key] = now + timedelta(seconds=lease_s)
        self.plan_sweep()

    def _saw_quarantine(self, _: None, item: Any) -> None:
        self.quarantined[item.id] = item.reason

    def _saw_nack(self, buried: bool, delivery: Delivery, _now: datetime, error: str) -> None:
        if buried:
            self.buried.add(delivery.id)
        if SIMULATED not in error:
            self.violate(delivery.attributes.get("run", ""), "no handler raises", error)
        self._want_pull(self.sqlite.bus.next_at() or self.now)

    def _saw_ack(self, _: None, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.topic.endswith("-complete"):
                run = run_of(delivery.attributes)
                story = self.stories.get(run) if run else None
                kept = delivery.id in self.quarantined or delivery.id in self.buried
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

    def release(self, run: RunKey) -> None:
        """As whoever held it says, through the same door as everybody."""
        act = Act(actor="operator", reason="has looked into it", at=self.now)
        self.service.say(run, Word(verb="release", about="", act=act))

    def hand_back(self, delivery: Delivery) -> None:
        """Nobody has taken it, or whoever did is gone: it comes again."""
        self.sqlite.bus.nack(delivery, self.now, SIMULATED)
        self._want_pull(self.sqlite.bus.next_at() or self.now)

    def operator_retries(self) -> None:
        """A person looks at each run that is blocked for want of attempts, and orders another."""
        for run, story in list(self.stories.items()):
            verdict = decide(story.view(self.now))
            if run in self.forgotten or not isinstance(verdict.decision, Block) or verdict.decision.recheck_at is None:
                continue
            index = story.plan.gates.index(verdict.gate)
            left = story.plan.phases[index - 1] if index else None
            tried = {start.processor for latch in story.latches.values() for start in latch.starts}
            for missing in verdict.decision.missing:
                if left and missing.processor in tried & {each.name for each in left.processors if each.critical}:
                    act = Act(actor="operator", reason="it is mended", at=self.now)
                    self.acts += not isinstance(self.service.again(run, left.name, missing.processor, act), Refusal)
                    self.fault("retried", str(run))

    def settled_at(self, story: Story) -> datetime:
        """When whatever has disturbed a run is over."""
        return max(story.disturbed_until or self.begins_at, self.weather.troubled_until)

    def processor_of(self, start: Start) -> PlannedProcessor:
        return self.stories[start.run].plan.phase_by_name[start.phase].by_name[start.processor]

    # --- judgement --------------------------------------------------------------------------------------

    def _look_whether_ready(self, story: Story) -> None:
        """What is due on what is recorded must have been done two minutes from now."""
        due = story.would(self.now)
        news = due - story.ready
        self.meter.not_due(story.plan.run, story.ready - due)
        story.ready = due
        timed = story.due_at and story.due_at < self.now and not story.leases
        self.meter.due(story.plan.run, sorted(news), story.due_at if timed and story.due_at else self.now)
        if news:
            self.at(self.now + invariants.READY, lambda: self._still_ready(story, news))

    def _still_ready(self, story: Story, news: frozenset[str]) -> None:
        left = news & story.ready
        if not left:
            return
        settled_at = self.settled_at(story)
        if settled_at + invariants.READY > self.now:
            self.at(settled_at + invariants.READY, lambda: self._still_ready(story, left))
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
            story.outage_s = self.weather.outage_s(story.plan.started_at, story.plan.deadline_at)
            story.ledger = states.ledger(run)
            newest = max(other.generation for other in self.stories if replace(other, generation=run.generation) == run)
            end = invariants.End(story, record, self.fate.games, self.sink.told, self.now, newest > run.generation)
            for rule in invariants.AT_THE_END:
                self.check(run, rule, end)
        self.batches.judge()

    def trouble(self, run: RunKey) -> None:
        """Something has come near a run that may well be told, whether or not it counts as a fault."""
        self._troubled.add(str(run))

    def fault(self, kind: str, where: str) -> None:
        self.faults[kind] += 1
        self.note(where, "fault", kind)
        run = where.partition("/")[0]
        self._troubled.update([run] if run else map(str, self._open))

    def note(self, who: str, does: str, what: str, about: RunKey | None = None) -> None:
        line = f"{self.now:%Y-%m-%d %H:%M:%S.%f} {who} {does} {what}{f' of {about}' if about else ''}"
        self.trace.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def _about(arguments: tuple[Any, ...]) -> RunKey | None:
    """The run that a call to a port is about, where its first argument says so."""
    match arguments:
        case (RunKey() as run, *_):
            return run
        case ((Plan() | Start()) as own, *_):
            return own.run
        case (Fact() as fact, *_):
            return fact.completion.run
        case (Batch(start=start) | ChunkReport(start=start), *_):
            return start.run
        case _:
            return None


def _brief(result: object) -> str:
    return str(len(result)) if isinstance(result, tuple) else str(result) if isinstance(result, bool) else ""


def _done(act: Callable[[], object]) -> None:
    act()


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
