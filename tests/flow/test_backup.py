"""What self_heal makes good, on embedded parts: reports and starts that got lost, dead letters, its own heartbeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from flask import Request

from orchestration.evidence import PipelineEvidence
from orchestration.healing import NoHeartbeat, heartbeat
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.letters import LETTERS_EVERY_MIN, letter_name
from shared.core.messages import Message
from shared.core.model import FOUND_REASON, FOUND_REPORT, Completion, RunKey, Start, Woke
from shared.core.repairs import repairs
from shared.endpoint import Endpoint, Identity, Parts
from shared.ports import Delivery, Ports
from shared.service import LATCH_LEASE_S, Service
from tests.flow.days import ANN, NOON, Days, WholeDays, new_days, succeed, whole_days

RUN = RunKey("nba", date(2031, 10, 31), "overnight")
SWEEP_S = 60


# --- evidence, over the real work --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def days(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WholeDays, RunKey]]:
    """A night and the day after it, done on a home of its own."""
    with whole_days(tmp_path_factory.mktemp("home"), season) as whole:
        for mode in ("overnight", "same_day"):
            whole.one(RunKey("nba", night, mode))
        yield whole, RunKey("nba", night, "same_day")


def ordered(whole: WholeDays, run: RunKey) -> dict[str, tuple[Start, Completion]]:
    """Each processor's only start, and what it reported."""
    record = whole.local.ports.states.load(run)
    facts = {fact.completion.processor: fact.completion for fact in record.facts}
    return {s.processor: (s, facts[s.processor]) for latch in record.latches for s in latch.starts}


def test_what_is_found_is_worth_what_was_reported(days: tuple[WholeDays, RunKey]) -> None:
    whole, run = days
    evidence, told = PipelineEvidence(whole.local, NBA), dict[str, Completion]()
    for start, completion in ordered(whole, run).values():
        found = evidence.find(start)
        if found is None:
            continue
        told[start.processor] = found
        assert found.report == FOUND_REPORT
        assert (found.status, found.mark) == (completion.status, completion.mark), start.id
        assert (found.units_actual, found.rows) == (completion.units_actual, completion.rows), start.id
    finds = {spec.name for phase in NBA.phases for spec in phase.processors if spec.finds}
    assert told.keys() & finds == set(), "what they found, their tables do not tell"
    assert {"predictions", "tonight", "ml_feature_store", "player_daily_cache"} <= told.keys()
    assert told["tonight"].reason == FOUND_REASON


@pytest.mark.parametrize("change", [{"attempt": 2}, {"fence": 1}])
def test_what_another_attempt_left_is_not_taken_for_a_starts_own(
    days: tuple[WholeDays, RunKey], change: dict[str, int]
) -> None:
    whole, run = days
    evidence = PipelineEvidence(whole.local, NBA)
    for start, _ in ordered(whole, run).values():
        if start.processor != "predictions" or "attempt" in change:  # a batch belongs to its attempt alone
            assert evidence.find(replace(start, **change)) is None, start.id  # type: ignore[arg-type]


def test_what_lacks_a_unit_is_not_concluded(days: tuple[WholeDays, RunKey]) -> None:
    whole, run = days
    start, _ = ordered(whole, run)["ml_feature_store"]
    evidence = PipelineEvidence(whole.local, NBA)
    assert start.units
    assert evidence.find(start)
    assert evidence.find(replace(start, units=(*start.units, "nobody"))) is None


def test_what_nobody_can_read_is_not_found(days: tuple[WholeDays, RunKey], tmp_path: Path) -> None:
    whole, run = days
    start, _ = ordered(whole, run)["ml_feature_store"]
    with whole_days(tmp_path / "home", whole.data) as empty:
        empty.local.warehouse.close()
        assert PipelineEvidence(empty.local, NBA).find(start) is None


# --- the timer ----------------------------------------------------------------------------------------------


@dataclass
class Shelf:
    """Where invented work puts what it made: the port Evidence of it."""

    there: dict[str, Completion] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def find(self, start: Start) -> Completion | None:
        self.asked.append(start.id)
        found = self.there.get(start.id)
        return replace(found, report=FOUND_REPORT) if found else None


@dataclass
class Backup:
    days: Days
    shelf: Shelf

    def begin(self) -> list[Start]:
        self.days.service.start_run(RUN)
        return self.days.hear()

    def lose(self, start: Start) -> None:
        """It is done, and its report gets lost."""
        self.shelf.there[start.id] = succeed(start)
        self.days.ordered.remove(start)

    def acts(self) -> list[str]:
        states = self.days.store.states
        plan, record = states.plan(RUN), states.load(RUN)
        assert plan is not None
        return [
            f"{each.kind} {each.subject}" for each in repairs(plan, record.facts, record.latches, states.ledger(RUN))
        ]

    def sweep_for(self, seconds: float) -> None:
        until = self.days.clock.time + timedelta(seconds=seconds)
        while self.days.clock.time < until:
            self.days.pass_by(seconds=SWEEP_S)


@pytest.fixture
def backup() -> Iterator[Backup]:
    with new_days() as days:
        shelf = Shelf()
        states = days.store.states
        ports = Ports(states=states, bus=days.store.bus, clock=days.clock, evidence=shelf)
        days.service = Service(ports, {"nba": NBA}, days.told.append, starts_missing_runs=False)
        yield Backup(days, shelf)


def test_a_report_lost_after_the_write_is_made_good_within_two_minutes_without_a_second_attempt(
    backup: Backup,
) -> None:
    [schedule] = backup.begin()
    backup.days.do(schedule)
    [boxscores] = backup.days.hear()
    backup.lose(boxscores)
    backup.sweep_for(120)
    assert [act for act in backup.acts() if "scrape" in act] == [f"found scrape/boxscores/{boxscores.attempt}"]
    assert {start.phase for start in backup.days.hear()} == {"raw"}, "and the run goes on"
    assert backup.days.orders(RUN, "scrape") == ["schedule/1", "boxscores/1"]


def test_its_report_that_comes_late_changes_nothing(backup: Backup) -> None:
    [schedule] = backup.begin()
    backup.days.do(schedule)
    [boxscores] = backup.days.hear()
    backup.lose(boxscores)
    backup.sweep_for(120)
    before = backup.days.orders(RUN)
    assert backup.days.service.on_completion(succeed(boxscores)) is None
    backup.sweep_for(300)
    facts = [fact.completion for fact in backup.days.store.states.load(RUN).facts]
    assert [(f.report, f.mark) for f in facts if f.processor == "boxscores"] == [(0, "boxscores"), (1, "boxscores")]
    assert [o for o in before if o.startswith("boxscores")] == ["boxscores/1"]
    assert "boxscores/2" not in backup.days.orders(RUN)


def test_a_start_that_got_lost_is_sent_once_more_under_its_own_id(backup: Backup) -> None:
    [schedule] = backup.begin()
    backup.days.ordered.remove(schedule)
    backup.sweep_for(60)
    assert backup.acts() == ["resend scrape/schedule/1"]
    [again] = backup.days.hear()
    assert again == schedule
    backup.days.do(again)
    assert [start.id for start in backup.days.hear()] == [f"{RUN}/scrape/boxscores/1"]
    assert backup.acts() == ["resend scrape/schedule/1"]


def test_one_that_is_lost_each_time_is_ordered_anew_when_its_time_is_over(backup: Backup) -> None:
    [schedule] = backup.begin()
    backup.days.ordered.clear()
    backup.sweep_for(120)
    backup.days.hear()
    backup.days.ordered.clear()
    backup.sweep_for(schedule.timeout_s - 60)
    assert backup.acts() == ["resend scrape/schedule/1"] * 2 + ["attempt scrape/schedule/2"]
    assert [start.attempt for start in backup.days.hear()] == [2]


def test_nothing_is_looked_for_by_whom_a_message_woke(backup: Backup) -> None:
    backup.begin()
    backup.days.clock.time += timedelta(seconds=120)
    backup.days.service.advance(RUN, Woke.COMPLETION)
    assert backup.shelf.asked == []
    backup.days.service.advance(RUN, Woke.SWEEP)
    assert backup.shelf.asked == [f"{RUN}/scrape/schedule/1"]


def test_the_ledger_says_what_woke_whoever_looked(backup: Backup) -> None:
    [schedule] = backup.begin()
    backup.days.do(schedule)
    [boxscores] = backup.days.hear()
    backup.lose(boxscores)
    backup.sweep_for(120)
    woke = [(entry.gate, entry.woke) for entry in backup.days.store.states.ledger(RUN) if entry.decision == "open"]
    assert woke == [("scrape", "operator"), ("raw", "sweep")]


def test_a_claim_that_nobody_sent_is_sent_again_and_kept(backup: Backup) -> None:
    service = backup.days.service
    states = backup.days.store.states
    plan = service._plan(RUN, None)
    states.create_run(plan)

    class Died(Exception):
        pass

    class Deaf:
        def publish(self, *_: object) -> None:
            raise Died

    ports = Ports(states=states, bus=Deaf(), clock=backup.days.clock)  # type: ignore[arg-type]
    with pytest.raises(Died):
        Service(ports, {"nba": NBA}, starts_missing_runs=False).advance(RUN)
    backup.days.pass_by(seconds=LATCH_LEASE_S)
    assert [start.processor for start in backup.days.hear()] == ["schedule"]
    assert backup.acts() == ["latch gate/scrape/1"]
    backup.days.pass_by(seconds=LATCH_LEASE_S - 1)
    assert backup.acts() == ["latch gate/scrape/1"], "once"


def test_a_run_that_should_be_there_is_begun_a_minute_after_its_schedule(backup: Backup) -> None:
    ports = Ports(states=backup.days.store.states, bus=backup.days.store.bus, clock=backup.days.clock)
    service = Service(ports, {"nba": NBA}, lambda _: None)
    backup.days.clock.time = datetime(2031, 11, 1, 10, 0, tzinfo=timezone.utc)  # 06:00 in New York
    service.sweep()
    assert ports.states.plan(RUN) is None
    backup.days.clock.time += timedelta(seconds=SWEEP_S)
    service.sweep()
    plan = ports.states.plan(RUN)
    assert plan is not None
    assert plan.labels == {"begun_by": "self-heal"}
    assert backup.acts() == [f"run {RUN}"]
    again = service.replay(RUN, "", ANN)
    assert isinstance(again, RunKey)
    replayed = ports.states.plan(again)
    assert replayed is not None
    assert "begun_by" not in replayed.labels


# --- dead letters -------------------------------------------------------------------------------------------


TRANSIENT, POISON = "FirestoreUnavailable: 503", "KeyError: 'x'"
GRAVE = "gate.complete"


def bury(backup: Backup, body: bytes, error: str, run: RunKey = RUN) -> None:
    """A message that fails as often as it may."""
    bus, now = backup.days.store.bus, backup.days.clock.now
    bus.subscribe(GRAVE, "complete")
    bus.publish([Message(topic="complete", data=body, attributes={"run": str(run)})], now())
    die(backup, error)


def die(backup: Backup, error: str) -> int:
    """Whatever waits fails until it is dead; how many messages did."""
    bus, dead, at = backup.days.store.bus, 0, backup.days.clock.time
    for _ in range(100):
        at += timedelta(seconds=90)
        for delivery in bus.pull([GRAVE], limit=10, now=at, lease_s=10):
            dead += bus.nack(delivery, at, error)
    return dead


def letters(backup: Backup) -> list[tuple[Delivery, str]]:
    return backup.days.store.bus.dead_letters(10)


def look_at_letters(backup: Backup) -> None:
    clock = backup.days.clock
    clock.time += timedelta(minutes=LETTERS_EVERY_MIN - clock.time.minute % LETTERS_EVERY_MIN)
    backup.days.service.sweep()


def test_a_dead_letter_of_a_cause_that_passes_is_sent_again_twice_and_then_left_to_a_person(backup: Backup) -> None:
    backup.begin()
    bury(backup, b"1", TRANSIENT)
    for _ in range(2):
        look_at_letters(backup)
        assert letters(backup) == []
        assert die(backup, TRANSIENT) == 1
    for _ in range(4):
        look_at_letters(backup)
        assert len(letters(backup)) == 1, "it stays where a person finds it"
    assert [act for act in backup.acts() if act.startswith("redrive")] == [f"redrive {name(backup)}"] * 2
    [left] = backup.days.view(RUN).left
    assert left.reason == f"sent again 2 times, and dead again: {TRANSIENT}"


def name(backup: Backup) -> str:
    [(delivery, _)] = letters(backup)
    return letter_name(delivery.subscription, delivery.data)


def test_poison_is_never_sent_again(backup: Backup) -> None:
    backup.begin()
    bury(backup, b"1", POISON)
    for _ in range(3):
        look_at_letters(backup)
    assert len(letters(backup)) == 1
    assert not [act for act in backup.acts() if act.startswith("redrive")]
    assert len(backup.days.view(RUN).left) == 1


def test_letters_of_a_run_that_is_over_or_unknown_are_a_persons(backup: Backup) -> None:
    backup.begin()
    assert backup.days.store.states.set_control(RUN, replace(backup.days.view(RUN).control, version=1, cancel=ANN))
    bury(backup, b"1", TRANSIENT)
    bury(backup, b"2", TRANSIENT, replace(RUN, generation=7))
    look_at_letters(backup)
    assert len(letters(backup)) == 2


def test_two_copies_of_a_letter_are_one_message(backup: Backup) -> None:
    backup.begin()
    bury(backup, b"1", TRANSIENT)
    bury(backup, b"1", TRANSIENT)
    look_at_letters(backup)
    assert len(letters(backup)) == 1


def test_the_letters_are_looked_at_every_fifth_minute(backup: Backup) -> None:
    backup.begin()
    bury(backup, b"1", TRANSIENT)
    backup.days.clock.time = NOON + timedelta(minutes=1)
    backup.days.service.sweep()
    assert len(letters(backup)) == 1


# --- heartbeat ------------------------------------------------------------------------------------------------


def test_a_watchdog_that_stands_still_is_not_ready(backup: Backup) -> None:
    clock = backup.days.clock
    ports = Ports(states=backup.days.store.states, bus=backup.days.store.bus, clock=clock)
    alive = heartbeat(ports)
    alive()
    backup.days.service.sweep()
    assert ports.states.beats() == {"self-heal": NOON}
    clock.time += timedelta(minutes=5)
    alive()
    clock.time += timedelta(seconds=1)
    with pytest.raises(NoHeartbeat, match="self-heal left its last heartbeat 5 minutes ago"):
        alive()
    backup.days.service.sweep()
    alive()


def test_a_heartbeat_that_is_known_is_not_read_each_time(backup: Backup) -> None:
    clock, states = backup.days.clock, backup.days.store.states
    alive = heartbeat(Ports(states=states, bus=backup.days.store.bus, clock=clock))
    backup.days.service.sweep()
    alive()
    states.beat("self-heal", NOON - timedelta(hours=1))  # told it would be dead; for two minutes nobody asks
    clock.time += timedelta(minutes=2, seconds=-1)
    alive()
    clock.time += timedelta(seconds=1)
    with pytest.raises(NoHeartbeat):
        alive()


def test_a_watchdog_that_stands_still_answers_503_with_the_reason(backup: Backup) -> None:
    clock = backup.days.clock
    ports = Ports(states=backup.days.store.states, bus=backup.days.store.bus, clock=clock)
    parts = Parts(ports=ports, handlers={}, checks={}, installation={"heartbeat": heartbeat(ports)})
    endpoint = Endpoint(Identity(service="self_heal", version="1", config_hash=""), lambda: parts)
    asked = Request.from_values(path="/ready", method="GET")
    backup.days.service.sweep()
    assert endpoint(asked)[1] == 200
    clock.time += timedelta(minutes=6)
    body, status, _ = endpoint(asked)
    told = json.loads(str(body))
    [why] = [check["why"] for check in told["checks"] if check["name"] == "heartbeat"]
    assert (status, told["status"]) == (503, "not_ready")
    assert why.startswith("NoHeartbeat: self-heal left its last heartbeat 6 minutes ago")


def test_a_round_more_often_than_each_minute_leaves_no_more_heartbeats(backup: Backup) -> None:
    states = backup.days.store.states
    for _ in range(59):
        backup.days.service.sweep()
        backup.days.clock.time += timedelta(seconds=1)
    assert states.beats() == {"self-heal": NOON}
    backup.days.pass_by(seconds=1)
    assert states.beats() == {"self-heal": NOON + timedelta(seconds=60)}


def test_a_round_that_does_not_come_through_leaves_none(backup: Backup) -> None:
    store: Sqlite = backup.days.store

    class Stuck:
        def __getattr__(self, verb: str) -> object:
            if verb == "due_runs":
                raise OSError("unavailable")
            return getattr(store.states, verb)

    ports = Ports(states=Stuck(), bus=store.bus, clock=backup.days.clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="unavailable"):
        Service(ports, {"nba": NBA}).sweep()
    assert store.states.beats() == {}
