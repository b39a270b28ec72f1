"""The path of one completion through edge and service, on embedded parts in memory: doubled, reordered, raced, late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import edge
from shared.adapters.sqlite import Sqlite
from shared.core.codec import encode
from shared.core.fold import look
from shared.core.gate import recompute
from shared.core.messages import Message, Nudge, completion_message, read_completion, read_nudge, read_start
from shared.core.model import (
    END,
    Act,
    Completion,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    ModeSpec,
    PhaseSpec,
    PipelineSpec,
    ProcessorSpec,
    RunKey,
    ScheduleSpec,
    Start,
    Status,
)
from shared.core.status import RunState, RunStatus, summarise
from shared.ports import Ports, RunRecord, StateStore
from shared.service import LATCH_LEASE_S, Service

MODE = "overnight"
RUN = RunKey("line", date(2024, 1, 15), MODE)
START = datetime(2024, 1, 16, 6, 0, tzinfo=timezone.utc)


@dataclass
class HandClock:
    """A clock that is moved by hand."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **amount: float) -> None:
        self.time += timedelta(**amount)


def line(phases: int = 3, processors: int = 3) -> PipelineSpec:
    """A pipeline of critical processors; the first phase has an optional one beside them."""
    return PipelineSpec(
        name="line",
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
                completion_topic=f"line-p{phase}-complete",
                start_topic=f"line-p{phase}-start",
                usual_s=600,
                processors=(
                    *(ProcessorSpec(name=f"p{phase}_{n}", critical=(MODE,), timeout_s=60) for n in range(processors)),
                    *([ProcessorSpec(name="extra", optional=(MODE,), timeout_s=60)] if phase == 0 else []),
                ),
            )
            for phase in range(phases)
        ),
        schedules=(),
        expects="games",
    )


@dataclass
class World:
    """The shipped service on the shipped stores, and what has been published so far."""

    store: Sqlite
    clock: HandClock
    spec: PipelineSpec
    told: list[LedgerEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ports = Ports(states=self.store.states, bus=self.store.bus, clock=self.clock)
        self.service = Service(self.ports, {"line": self.spec}, self.told.append, starts_missing_runs=False)
        for phase in self.spec.phases:
            self.ports.bus.subscribe(phase.start_topic, phase.start_topic)
            self.ports.bus.subscribe(phase.completion_topic, phase.completion_topic)

    def starts(self) -> list[Start]:
        """The starts that were published since the last call."""
        topics = [phase.start_topic for phase in self.spec.phases]
        deliveries = self.ports.bus.pull(topics, limit=1000, now=self.clock.now(), lease_s=60)
        self.ports.bus.ack(deliveries)
        return [read_start(delivery.data) for delivery in deliveries]

    def report(self, start: Start, status: Status = Status.SUCCESS, **more: object) -> None:
        assert self.service.on_completion(completion(start, status, **more)) is None

    def finish(self, starts: list[Start] | None = None) -> None:
        """Every processor succeeds until nothing starts any more."""
        due = self.starts() if starts is None else starts
        while due:
            for start in due:
                self.report(start)
            due = self.starts()

    def latches(self) -> tuple[Latch, ...]:
        return self.store.states.load(RUN).latches

    def status(self) -> RunStatus:
        plan, record = self.store.states.plan(RUN), self.store.states.load(RUN)
        assert plan is not None
        return summarise(look(plan, record.facts, record.latches, record.control, self.clock.now()))

    def why(self, processor: str) -> str:
        """What `explain` shows of a processor."""
        return next(p.standings[processor].why for p in self.status().phases if processor in p.standings)


def completion(start: Start, status: Status = Status.SUCCESS, **more: object) -> Completion:
    return replace(
        Completion(
            run=start.run,
            phase=start.phase,
            processor=start.processor,
            attempt=start.attempt,
            report=1,
            status=status,
        ),
        **more,  # type: ignore[arg-type]
    )


@contextmanager
def memory_world(spec: PipelineSpec | None = None) -> Iterator[World]:
    store = Sqlite(":memory:")
    try:
        yield World(store, HandClock(), spec or line())
    finally:
        store.close()


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as world:
        yield world


# --- doubled, reordered, raced ------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), copies=st.lists(st.integers(1, 5), min_size=10, max_size=10))
def test_any_order_and_number_of_deliveries_in_8_threads_ends_the_same(seed: int, copies: list[int]) -> None:
    random = Random(seed)
    with memory_world() as world:
        world.service.start_run(RUN)
        seen: list[str] = []
        while due := world.starts():
            seen += [start.id for start in due]
            reports = [completion(start) for n, start in enumerate(due) for _ in range(copies[n])]
            random.shuffle(reports)
            deliver_in_threads(world, reports)
        outcomes = [latch.outcome for latch in world.latches() if latch.outcome]
        assert len(seen) == len(set(seen)) == 10
        assert [(o.gate, o.attempt) for o in outcomes] == [("p0", 1), ("p1", 1), ("p2", 1), (END, 1)]
        assert world.status().state is RunState.PUBLISHED


def deliver_in_threads(world: World, reports: list[Completion], threads: int = 8) -> None:
    errors: list[BaseException] = []

    def deliver(share: list[Completion]) -> None:
        try:
            for report in share:
                world.service.on_completion(report)
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            errors.append(error)

    workers = [threading.Thread(target=deliver, args=(reports[n::threads],)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors


def test_every_ledger_entry_can_be_recomputed_from_what_it_saw(world: World) -> None:
    world.service.start_run(RUN)
    first = world.starts()
    world.report(first[0], Status.FAILED, reason="network")
    world.clock.pass_by(seconds=6)
    world.service.sweep()
    world.finish([*first[1:], *world.starts()])
    record, plan = world.store.states.load(RUN), world.store.states.plan(RUN)
    assert plan is not None
    entries = world.store.states.ledger(RUN)
    assert [entry.decision for entry in entries][-1] == "done"
    for entry in entries:
        again = recompute(plan, record.facts, record.latches, entry).decision
        assert (type(again).__name__.lower(), again.reason, again.missing) == (
            entry.decision,
            entry.reason,
            entry.missing,
        )


def test_the_last_completion_redelivered_after_a_crash_opens_the_gate(world: World) -> None:
    world.service.start_run(RUN)
    *others, last = world.starts()
    for start in others:
        world.report(start)
    world.store.states.append(Fact(completion(last), world.clock.now()))  # and then the process died
    assert not world.starts()
    world.report(last)
    assert {start.phase for start in world.starts()} == {"p1"}


# --- operators and stale deciders -----------------------------------------------------------------------


@dataclass
class HoldBeforeClaim:
    """The real store; an operator holds the run in the moment before the first claim."""

    inner: object
    held: bool = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def claim(self, run: RunKey, **arguments: object) -> object:
        if not self.held:
            self.held = True
            act = Act(actor="ann", reason="bad data", at=START, until=START + timedelta(minutes=30))
            assert self.inner.set_control(run, Control(version=1, hold=act))  # type: ignore[attr-defined]
        return self.inner.claim(run, **arguments)  # type: ignore[attr-defined]


def test_a_hold_taken_between_decision_and_claim_wins(world: World) -> None:
    world.service.start_run(RUN)
    starts = world.starts()
    for start in starts[:-1]:
        world.report(start)
    held = replace(world.ports, states=HoldBeforeClaim(world.ports.states))  # type: ignore[arg-type]
    Service(held, {"line": world.spec}, starts_missing_runs=False).on_completion(completion(starts[-1]))
    assert not world.starts()
    assert world.status().state is RunState.BLOCKED
    assert "held by ann: bad data" in world.status().reason
    world.clock.pass_by(minutes=31)
    world.service.sweep()
    assert {start.phase for start in world.starts()} == {"p1"}


def test_a_cancelled_run_starts_nothing_more_and_says_who_and_why(world: World) -> None:
    world.service.start_run(RUN)
    starts = world.starts()
    world.store.states.set_control(RUN, Control(version=1, cancel=Act(actor="bob", reason="wrong day", at=START)))
    for start in starts:
        world.report(start)
    assert not world.starts()
    assert world.status().state is RunState.BLOCKED
    assert world.status().reason == "cancelled by bob: wrong day"
    world.clock.pass_by(days=3)
    world.service.sweep()
    assert world.status().reason == "cancelled by bob: wrong day"


# --- crashes between claim and close -------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Dying:
    """A real port whose named verb kills the process, before it acts or after."""

    inner: object
    verb: str
    after: bool
    dead: bool = False

    def __getattr__(self, name: str) -> object:
        real = getattr(self.inner, name)
        if name != self.verb or self.dead:
            return real

        def die(*args: object, **arguments: object) -> object:
            self.dead = True
            if self.after:
                real(*args, **arguments)
            raise Crash

        return die


@pytest.mark.parametrize(
    ("port", "verb", "after"),
    [
        pytest.param("states", "claim", True, id="after the latch is taken"),
        pytest.param("bus", "publish", False, id="before the starts are published"),
        pytest.param("bus", "publish", True, id="after the starts are published"),
        pytest.param("states", "close", False, id="before the latch is closed"),
    ],
)
def test_what_a_dead_process_claimed_the_sweep_sends_after_the_lease(
    world: World, port: str, verb: str, after: bool
) -> None:
    world.service.start_run(RUN)
    starts = world.starts()
    for start in starts[:-1]:
        world.report(start)
    dying = replace(world.ports, **{port: Dying(getattr(world.ports, port), verb, after)})
    with pytest.raises(Crash):
        Service(dying, {"line": world.spec}).on_completion(completion(starts[-1]))
    world.starts()  # whatever it had published
    world.clock.pass_by(seconds=LATCH_LEASE_S + 1)
    world.service.sweep()
    assert {start.id for start in world.starts()} == {f"{RUN}/p1/p1_{n}/1" for n in range(3)}
    world.service.sweep()
    assert not world.starts()


# --- processors that do not do what they should ---------------------------------------------------------


def test_a_processor_that_says_nothing_is_started_again_within_its_budget_then_blocks_its_gate(world: World) -> None:
    world.service.start_run(RUN)
    mute, *others = world.starts()
    for start in others:
        world.report(start)
    attempts = []
    for _ in range(5):
        world.clock.pass_by(seconds=91)
        world.service.sweep()
        attempts += [start.attempt for start in world.starts() if start.processor == mute.processor]
    assert attempts == [2, 3]
    assert world.status().state is RunState.BLOCKED
    assert "did not report in 60 s (3 of 3 attempts, tried again every 5 min)" in world.why(mute.processor)


def test_a_processor_that_fails_is_tried_again_and_its_last_reason_is_shown(world: World) -> None:
    world.service.start_run(RUN)
    bad, *others = world.starts()
    for start in others:
        world.report(start)
    start = bad
    for _ in range(3):
        world.report(start, Status.FAILED, reason="KeyError: 'pts'")
        world.clock.pass_by(minutes=1)
        world.service.sweep()
        again = [start for start in world.starts() if start.processor == bad.processor]
        start = again[0] if again else start
    assert world.status().state is RunState.BLOCKED
    assert world.why(bad.processor) == "failed: KeyError: 'pts' (3 of 3 attempts, tried again every 5 min)"
    world.report(start, Status.SUCCESS, report=2)
    assert world.status().state is RunState.RUNNING, "a late success saves it"


def test_an_unknown_name_is_quarantined_and_changes_nothing(world: World) -> None:
    world.service.start_run(RUN)
    start = world.starts()[0]
    before = world.store.states.load(RUN)
    for odd in (
        replace(completion(start), processor="stranger"),
        replace(completion(start), phase="p9"),
        replace(completion(start), run=replace(RUN, generation=7)),
        replace(completion(start), attempt=9),
    ):
        deliver(world, encode(odd))
    assert world.store.states.load(RUN) == before
    reasons = [item.reason for item in world.store.states.quarantined(10)]
    assert len(reasons) == 4
    assert "p0/stranger is not planned" in reasons[-1]
    assert {item.run for item in world.store.states.quarantined(10)} == {str(RUN)}


HOSTILE = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\xff\xfe", id="not text"),
    pytest.param(b"[" * 100_000, id="nested beyond reason"),
    pytest.param(b"x" * 2_000_000, id="two megabytes"),
    pytest.param(b'{"run": "nba.2024-01-15.overnight.1"}', id="half a completion"),
    pytest.param(b'{"run": "../../etc/passwd"}', id="a path for a run"),
    pytest.param(b"null", id="null"),
]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bytes_are_quarantined_once_and_block_nobody(world: World, body: bytes) -> None:
    world.service.start_run(RUN)
    deliver(world, body)
    world.finish()
    assert world.status().state is RunState.PUBLISHED
    (item,) = world.store.states.quarantined(10)
    assert item.reason.startswith("malformed: ")
    assert len(item.body) <= 4_096
    assert (item.size, item.is_whole, item.attributes) == (len(body), len(body) <= 4_096, {"run": str(RUN)})


def test_a_run_that_cannot_be_looked_at_keeps_no_other_from_the_sweep(world: World) -> None:
    """The one that has been due for longest comes first in every sweep."""
    broken, sound = RUN, replace(RUN, date=date(2024, 1, 14))
    for run in (broken, sound):
        world.service.start_run(run)
        world.clock.pass_by(minutes=1)
    world.clock.pass_by(minutes=10)
    states = Unreadable(world.ports.states, broken)
    ports = replace(world.ports, states=cast(StateStore, states))
    Service(ports, {"line": world.spec}, starts_missing_runs=False, guard=edge.apart).sweep()
    assert states.asked[0] == broken
    assert sound in states.asked


class Unreadable:
    """A store in which one run's record cannot be read."""

    def __init__(self, states: StateStore, run: RunKey) -> None:
        self._states, self._run = states, run
        self.asked: list[RunKey] = []

    def __getattr__(self, verb: str) -> object:
        return getattr(self._states, verb)

    def load(self, run: RunKey) -> RunRecord:
        self.asked.append(run)
        if run == self._run:
            raise OSError("this record cannot be read")
        return self._states.load(run)


def deliver(world: World, body: bytes) -> None:
    """Through the bus and the rim, as the runtime does."""
    topic = world.spec.phases[0].completion_topic
    message = Message(topic=topic, data=body, attributes={"run": str(RUN)})
    world.ports.bus.publish([message], world.clock.now())
    deliveries = world.ports.bus.pull([topic], limit=10, now=world.clock.now(), lease_s=60)
    edge.receive(deliveries, lambda _: lambda data: world.service.on_completion(read_completion(data)), world.ports)


def test_a_handler_that_raises_is_redelivered_and_ends_in_the_dead_letters(world: World) -> None:
    topic = world.spec.phases[0].completion_topic
    world.ports.bus.publish([completion_message(completion(any_start()), topic)], world.clock.now())
    tries = 0
    for _ in range(30):
        deliveries = world.ports.bus.pull([topic], limit=10, now=world.clock.now(), lease_s=60)
        tries += len(deliveries)
        edge.receive(deliveries, lambda _: broken, world.ports)
        world.clock.pass_by(minutes=2)
    assert tries == 10
    ((_, error),) = world.ports.bus.dead_letters(10)
    assert error == "RuntimeError: the warehouse is away"


def broken(data: bytes) -> None:
    raise RuntimeError("the warehouse is away")


def any_start() -> Start:
    return Start(
        run=RUN,
        phase="p0",
        processor="p0_0",
        attempt=1,
        fence=1,
        partition=RUN.date,
        timeout_s=60,
        issued_at=START,
    )


def test_a_run_that_nobody_looked_at_for_hours_hears_what_waits_before_it_gives_up(world: World) -> None:
    world.service.start_run(RUN)
    starts = world.starts()
    world.report(starts[0])
    world.clock.pass_by(hours=30)  # far beyond the time to give up; the other reports waited on the bus
    world.service.sweep()
    assert {entry.decision for entry in world.store.states.ledger(RUN)} == {"open", "block"}
    for start in starts[1:]:
        world.report(start)
    world.finish()
    assert world.status().state.well


def test_a_run_that_is_still_without_its_critical_work_at_the_next_look_fails(world: World) -> None:
    world.service.start_run(RUN)
    world.clock.pass_by(hours=30)
    world.service.sweep()
    world.clock.pass_by(minutes=6)
    world.service.sweep()
    assert world.status().state is RunState.FAILED
    assert world.store.states.ledger(RUN)[-1].decision == "fail"


def test_a_day_without_games_ends_at_once_and_says_that_the_rest_was_not_needed(world: World) -> None:
    world.service.start_run(RUN, {"synthetic": "yes"})
    for start in world.starts():
        world.report(start, found={"games": ()})
    status = world.status()
    assert status.state is RunState.NOTHING_EXPECTED
    assert status.synthetic
    told = status.to_json()
    assert told["run"] == str(RUN)
    assert [phase["state"] for phase in told["phases"]] == ["complete", "not_needed", "not_needed"]  # type: ignore[attr-defined]
    assert not world.starts()


# --- timers and schedules ------------------------------------------------------------------------------


def test_a_nudge_means_the_day_it_was_scheduled_for_and_twice_is_once(world: World) -> None:
    nudge = Nudge(pipeline="line", mode=MODE, date="YESTERDAY", scheduled_at=START, act="start")
    world.clock.pass_by(days=1)  # it comes a day late
    for _ in range(2):
        assert world.service.on_nudge(read_nudge(encode(nudge))) is None
    runs = world.store.states.runs("line", date(2024, 1, 1), date(2024, 2, 1))
    assert runs == (RUN,)
    assert len(world.starts()) == 4


def test_a_schedule_that_has_come_through_leaves_a_heartbeat(world: World) -> None:
    said = ScheduleSpec(name="nightly", cron="0 6 * * *", zone="UTC", act="start", mode=MODE, date="YESTERDAY")
    service = Service(world.ports, {"line": replace(world.spec, schedules=(said,))}, starts_missing_runs=False)
    nudge = Nudge(pipeline="line", mode=MODE, date="YESTERDAY", scheduled_at=START, act="start", schedule="nightly")
    assert service.on_nudge(read_nudge(encode(nudge))) is None
    assert world.store.states.beats() == {"nightly": world.clock.now()}
    assert service.on_nudge(replace(nudge, mode="weekly")) is not None
    assert service.on_nudge(replace(nudge, schedule="forged")) is None
    assert list(world.store.states.beats()) == ["nightly"]


def test_the_sweep_starts_a_run_that_nobody_announced() -> None:
    with memory_world() as world:
        service = Service(world.ports, {"line": world.spec})
        service.sweep()
        assert world.store.states.plan(RUN) is None, "at its very minute its schedule is the first"
        world.clock.pass_by(minutes=1)
        service.sweep()
        runs = world.store.states.runs("line", date(2024, 1, 1), date(2024, 2, 1))
        assert RUN in runs
        assert all(world.store.states.plan(run) for run in runs)


def test_an_ended_run_is_off_the_timers_list(world: World) -> None:
    world.service.start_run(RUN)
    world.finish()
    world.clock.pass_by(days=5)
    assert world.store.states.due_runs(world.clock.now(), 10) == ()


def test_a_nudge_for_a_time_to_come_begins_nothing(world: World) -> None:
    nudge = Nudge(pipeline="line", mode=MODE, date="TODAY", scheduled_at=START + timedelta(days=400), act="start")
    refusal = world.service.on_nudge(read_nudge(encode(nudge)))
    assert refusal is not None
    assert refusal.reason.startswith("scheduled at 2025-02-19 06:00:00+00:00, which is still to come")
    assert world.store.states.runs("line", date.min, date.max) == ()


def test_an_unknown_pipeline_or_mode_is_refused_with_its_name(world: World) -> None:
    with pytest.raises(ValueError, match="pipeline 'nfl' is unknown; known: line"):
        world.service.start_run(replace(RUN, pipeline="nfl"))
    with pytest.raises(ValueError, match="mode 'noon' is unknown; known: overnight"):
        world.service.start_run(replace(RUN, mode="noon"))
    refusal = world.service.on_nudge(Nudge(pipeline="nfl", mode=MODE, date="TODAY", scheduled_at=START))
    assert refusal is not None
    assert "nfl" in refusal.reason
