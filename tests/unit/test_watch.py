"""What is watched and is about no run: which job is late, which service is not well, and what people are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import cast

import pytest

from shared.adapters.scheduler import last_due
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.fold import incidents_of
from shared.core.incident import looked_at_by
from shared.core.model import Latch, RunKey, ScheduleSpec
from shared.core.watch import ailing, late, record, record_of, sights, unwell, watch_latches
from shared.ports import Ports, RunRecord, StateStore
from shared.watch import Watch

NOON = datetime(2024, 1, 16, 12, 0, tzinfo=timezone.utc)
RUN = record_of("nba")
DAILY = ScheduleSpec(name="same-day", cron="30 10 * * *", zone="UTC", act="start", mode="same_day", date="TODAY")
HALF_HOURLY = ScheduleSpec(name="recovery", cron="*/30 * * * *", zone="UTC", act="recover")
SELF = ScheduleSpec(name="self-heal", cron="* * * * *", zone="UTC", act="sweep")


def minute(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


@dataclass
class HandClock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@dataclass
class Rounds:
    """A watch that goes its rounds each minute, and what it has claimed to tell."""

    schedules: Sequence[ScheduleSpec] = ()
    services: Sequence[str] = ("export_processor", "raw_processor")
    why: dict[str, str] = field(default_factory=dict)  # by service that is not well
    clock: HandClock = field(default_factory=HandClock)
    store: Sqlite = field(default_factory=lambda: Sqlite(":memory:"))
    told: list[str] = field(default_factory=list)
    unready: dict[str, str] = field(default_factory=dict)  # by service that lives, and could not work
    asked: list[bool] = field(default_factory=list)  # each time, whether deep
    queue: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.watch = self.new()

    def new(self) -> Watch:
        """As another instance has it: nothing is remembered."""
        ports = Ports(states=self.store.states, bus=self.store.bus, clock=self.clock)
        return Watch(ports, "nba", self.schedules, last_due, self.services, self.ask, queue=self.queue)

    def ask(self, name: str, deep: bool) -> str:
        self.asked.append(deep)
        return self.why.get(name, "") or (self.unready.get(name, "") if deep else "")

    def go(self, minutes: float, *, every_s: float = 60) -> Rounds:
        until = self.clock.at + timedelta(minutes=minutes)
        while self.clock.at < until:
            self.look()
            self.clock.at += timedelta(seconds=every_s)
        return self

    def look(self) -> tuple[Latch, ...]:
        is_open = self.watch.run in self.store.states.due_runs(self.clock.at, 10)
        claimed = self.watch.look(self.clock.at, is_open=is_open)
        at = (self.clock.at - NOON).total_seconds() / 60
        self.told += [f"{latch.key.removeprefix(f'{RUN}/incident/')} at +{at:g}" for latch in claimed]
        return claimed


# --- services ---------------------------------------------------------------------------------------------


def test_a_service_that_fails_twice_a_minute_apart_is_told_once() -> None:
    rounds = Rounds().go(3)
    rounds.why["export_processor"] = "does not answer"
    rounds.go(60)
    assert rounds.told == ["health-export_processor/1/raise at +4"]


def test_one_bad_answer_is_a_hiccup() -> None:
    rounds = Rounds()
    for _ in range(10):
        rounds.why = {"export_processor": "503"}
        rounds.go(1)
        rounds.why = {}
        rounds.go(1)
    assert rounds.told == []
    assert RUN not in rounds.store.states.due_runs(minute(600), 10)


def test_rounds_that_come_some_seconds_early_count_as_a_minute_apart() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(2, every_s=57)
    assert rounds.told == ["health-export_processor/1/raise at +0.95"]


def test_it_is_over_once_the_service_has_been_well_for_five_minutes() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(10)
    rounds.why = {}
    rounds.go(20)
    assert rounds.told == ["health-export_processor/1/raise at +1", "health-export_processor/1/resolve at +15"]
    assert RUN not in rounds.store.states.due_runs(minute(600), 10), "nothing is looked at while nothing is open"


def test_one_that_flaps_all_day_has_one_incident() -> None:
    rounds = Rounds()
    for _ in range(100):
        rounds.why = {"export_processor": "503"}
        rounds.go(3)
        rounds.why = {}
        rounds.go(3)
    assert [told for told in rounds.told if "raise" in told or "resolve" in told] == [
        "health-export_processor/1/raise at +1"
    ]


def test_one_that_lives_and_could_not_work_is_found_when_it_is_asked_for_more_and_in_the_next_minute() -> None:
    rounds = Rounds(services=("export_processor",)).go(1)
    rounds.unready["export_processor"] = "not ready: state"
    rounds.go(24)
    assert rounds.told == ["health-export_processor/1/raise at +21"]
    assert rounds.asked == [True, *[False] * 19, *[True] * 5]


@pytest.mark.parametrize(("busy_min", "told"), [(10, []), (12, ["health-prediction_worker/1/raise at +10"])])
def test_one_whose_instances_take_one_request_each_may_be_busy_for_ten_minutes(busy_min: int, told: list[str]) -> None:
    rounds = Rounds(services=("prediction_worker",), queue=("prediction_worker",))
    rounds.why["prediction_worker"] = "no answer within 7 s"
    rounds.go(busy_min)
    rounds.why = {}
    rounds.go(4)
    assert rounds.told == told


def test_each_service_has_an_incident_of_its_own() -> None:
    rounds = Rounds(why={"export_processor": "503", "raw_processor": "is not ready"}).go(5)
    assert rounds.told == ["health-export_processor/1/raise at +1", "health-raw_processor/1/raise at +1"]


SERVICES = ("analytics_processor", "export_processor", "precompute_processor", "raw_processor")


def test_many_that_are_not_well_at_once_are_one_incident_that_names_them() -> None:
    rounds = Rounds(services=SERVICES, why=dict.fromkeys(SERVICES[:3], "not ready: state: no answer in 1 s")).go(2)
    assert rounds.told == ["health-services/1/raise at +1"]
    (alert,) = incidents_of(rounds.store.states.load(RUN).latches).values()
    assert alert.summary == (
        "3 services are not well: analytics_processor, export_processor, precompute_processor; "
        "analytics_processor is not well since 2024-01-16 12:00 UTC: not ready: state: no answer in 1 s"
    )
    rounds.why["raw_processor"] = "503"
    rounds.go(5)
    assert rounds.told == ["health-services/1/raise at +1"], "who falls ill meanwhile is of it"
    rounds.why = {}
    rounds.go(20)
    assert rounds.told[1:] == ["health-services/1/resolve at +12"]
    assert RUN not in rounds.store.states.due_runs(minute(600), 10)


def test_what_is_left_of_many_is_still_their_incident() -> None:
    rounds = Rounds(services=SERVICES, why=dict.fromkeys(SERVICES, "503")).go(5)
    rounds.why = {"raw_processor": "503"}
    rounds.watch = rounds.new()
    rounds.go(30)
    rounds.why = {}
    rounds.watch = rounds.new()
    rounds.go(10)
    assert rounds.told == ["health-services/1/raise at +1", "health-services/1/resolve at +40"]


def test_who_has_an_incident_of_its_own_keeps_it() -> None:
    rounds = Rounds(services=SERVICES, why={"raw_processor": "503"}).go(5)
    rounds.why = dict.fromkeys(SERVICES, "503")
    rounds.go(5)
    assert rounds.told == ["health-raw_processor/1/raise at +1", "health-services/1/raise at +6"]
    rounds.why = {}
    rounds.go(6)
    ends = ["health-raw_processor/1/resolve at +15", "health-services/1/resolve at +15"]
    assert rounds.told[2:] == ends


def test_one_that_stays_so_is_told_to_more_people() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(150)
    assert rounds.told == ["health-export_processor/1/raise at +1", "health-export_processor/1/escalate at +121"]


def test_another_instance_raises_nothing_twice_and_ends_what_the_first_one_raised() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(5)
    rounds.watch = rounds.new()
    rounds.go(5)
    assert len(rounds.told) == 1
    rounds.why = {}
    rounds.watch = rounds.new()
    rounds.go(10)
    assert rounds.told[1:] == ["health-export_processor/1/resolve at +15"]


def test_two_that_look_at_once_raise_one() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(1)
    other = rounds.new()
    other.look(minute(0), is_open=False)
    claimed = [*rounds.look(), *other.look(minute(1), is_open=False)]
    assert [latch.key.rpartition("/")[2] for latch in claimed] == ["raise"]


def test_one_that_was_not_asked_for_a_while_ends_nothing_by_what_it_saw_before() -> None:
    rounds = Rounds().go(10)
    first, rounds.watch = rounds.watch, rounds.new()
    rounds.why["export_processor"] = "503"
    rounds.go(10)
    rounds.why, rounds.watch = {}, first
    rounds.go(10)
    assert rounds.told == ["health-export_processor/1/raise at +11", "health-export_processor/1/resolve at +25"]


def test_one_that_was_not_asked_for_a_while_raises_nothing_by_what_it_saw_before() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(1)
    first, rounds.watch = rounds.watch, rounds.new()
    rounds.why = {}
    rounds.go(10)
    rounds.why, rounds.watch = {"export_processor": "503"}, first
    rounds.go(1)
    rounds.why = {}
    rounds.go(10)
    assert rounds.told == []


def test_two_that_go_the_rounds_by_turns_miss_nothing() -> None:
    rounds = Rounds(why={"export_processor": "503"})
    other = rounds.new()
    for _ in range(4):
        rounds.go(1)
        rounds.watch, other = other, rounds.watch
    assert rounds.told == ["health-export_processor/1/raise at +1"]


def by_turns(rounds: Rounds, instances: int, minutes: int) -> Rounds:
    """Each look is another's, as Cloud Run may have it."""
    watches = [rounds.watch, *(rounds.new() for _ in range(instances - 1))]
    for count in range(minutes):
        rounds.watch = watches[count % instances]
        rounds.go(1)
    return rounds


@pytest.mark.parametrize("instances", [1, 2, 3, 5])
def test_however_many_take_turns_one_that_is_dead_is_told_once_and_over_once(instances: int) -> None:
    rounds = Rounds(services=("export_processor",), why={"export_processor": "503"})
    by_turns(rounds, instances, 60)
    rounds.why = {}
    by_turns(rounds, instances, 60)
    assert rounds.told == ["health-export_processor/1/raise at +1", "health-export_processor/1/resolve at +65"]


@pytest.mark.parametrize("instances", [1, 2, 3, 5])
def test_however_many_take_turns_one_that_cannot_work_is_told_once_and_over_once(instances: int) -> None:
    rounds = Rounds(services=("export_processor",)).go(1)
    rounds.unready["export_processor"] = "not ready: state"
    by_turns(rounds, instances, 120)
    rounds.unready = {}
    by_turns(rounds, instances, 60)
    assert [told for told in rounds.told if "escalate" not in told] == [
        "health-export_processor/1/raise at +21",
        "health-export_processor/1/resolve at +126",
    ]


def test_one_that_cannot_work_is_not_well_because_another_instance_finds_it_alive() -> None:
    rounds = Rounds(services=("export_processor",)).go(1)
    rounds.unready["export_processor"] = "not ready: state"
    rounds.go(24)
    rounds.watch = rounds.new()
    rounds.go(25)
    assert rounds.told == ["health-export_processor/1/raise at +21"]
    assert rounds.asked[21:] == [True] * 29


def test_what_is_open_is_asked_whether_it_could_work_whoever_raised_it() -> None:
    rounds = Rounds(services=("export_processor",))
    cause = ailing("export_processor", "503", NOON)
    rounds.store.states.create_run(record("nba", NOON))
    raised = watch_latches(RUN, (), [cause], (), NOON)
    rounds.store.states.claim(
        RUN, control_version=0, latches=raised, entry=None, due_at=NOON, now=NOON, lease_s=0
    )  # as one of before had it: nothing is noted of it
    rounds.clock.at = minute(1)
    rounds.unready["export_processor"] = "not ready: state"
    rounds.go(5)
    assert rounds.asked == [True] * 5
    rounds.unready = {}
    rounds.go(10)
    assert rounds.told == ["health-export_processor/1/resolve at +11"]


def test_nobody_looking_for_minutes_proves_nothing_either_way() -> None:
    rounds = Rounds(services=("export_processor",)).go(1)
    rounds.unready["export_processor"] = "not ready: state"
    rounds.go(24)
    rounds.clock.at += timedelta(minutes=3)
    rounds.go(2)
    rounds.unready = {}
    rounds.go(1)
    rounds.clock.at += timedelta(minutes=10)
    rounds.go(5)
    assert rounds.told == ["health-export_processor/1/raise at +21"]
    rounds.go(1)
    assert rounds.told[1:] == ["health-export_processor/1/resolve at +46"]


def test_a_hiccup_seen_by_one_and_another_seen_by_the_next_are_not_two_in_a_row() -> None:
    rounds = Rounds(services=("export_processor",))
    first, other = rounds.watch, rounds.new()
    for count in range(40):
        rounds.watch = first if count % 4 < 2 else other
        rounds.why = {"export_processor": "503"} if count % 2 else {}
        rounds.go(1)
    assert rounds.told == []


def test_who_asked_only_whether_it_lives_says_nothing_of_what_another_saw_meanwhile() -> None:
    rounds = Rounds(services=("export_processor", "raw_processor")).go(1)
    other = rounds.new()
    rounds.unready["export_processor"] = "not ready: state"
    rounds.clock.at = minute(20)
    rounds.go(1)
    rounds.why["raw_processor"] = "503"
    other.look(minute(21), is_open=False)  # as it was when its sweep began
    assert rounds.asked[-2:] == [False, False]
    rounds.why = {}
    rounds.go(1)
    assert rounds.told == ["health-export_processor/1/raise at +21"]
    rounds.unready = {}
    rounds.go(4)
    rounds.why["raw_processor"] = "503"
    other.look(minute(25.95), is_open=False)
    rounds.why = {}
    rounds.go(10)
    assert rounds.told[1:] == ["health-export_processor/1/resolve at +27"]


def test_an_open_incident_of_which_nothing_is_noted_is_not_over_by_an_answer_that_it_lives() -> None:
    asked = {"raw_processor": ""}
    seen = sights(asked, asked, {}, asked, NOON)
    assert [each.note for each in seen.values()] == ["was not asked whether it could work"]
    assert not unwell(seen, asked, {"raw_processor": timedelta(0)}, NOON)


class Counted:
    """What a state store is asked for."""

    def __init__(self, states: StateStore) -> None:
        self.states, self.asked = states, list[str]()

    def __getattr__(self, verb: str) -> object:
        self.asked.append(verb)
        return getattr(self.states, verb)


def test_while_all_is_well_nothing_is_read_or_written() -> None:
    rounds = Rounds()
    counted = Counted(rounds.store.states)
    ports = Ports(states=cast("StateStore", counted), bus=rounds.store.bus, clock=rounds.clock)
    rounds.watch = Watch(ports, "nba", (), last_due, rounds.services, rounds.ask)
    rounds.look()
    assert counted.asked == ["beats"], "the heartbeats, by who has just started"
    rounds.go(60)
    assert counted.asked == ["beats"]
    rounds.why = {"export_processor": "503"}
    rounds.go(1)
    rounds.why = {}
    rounds.go(1)
    after = len(counted.asked)
    rounds.go(60)
    assert len(counted.asked) == after, "nor once a hiccup is over"


def test_what_another_raises_while_one_ends_the_last_is_looked_at_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(5)
    rounds.why = {}
    rounds.go(5)  # the next look ends it
    other, load = rounds.new(), rounds.store.states.load
    rounds.why = {"raw_processor": "503"}
    other.look(minute(9), is_open=True)

    def load_before_another_looks(run: RunKey) -> RunRecord:
        kept = load(run)
        monkeypatch.undo()
        rounds.why = {"raw_processor": "503"}
        assert [latch.key.rpartition("/")[2] for latch in other.look(minute(10), is_open=True)][:1] == ["raise"]
        rounds.why = {}
        return kept

    rounds.why = {}
    monkeypatch.setattr(rounds.store.states, "load", load_before_another_looks)
    rounds.go(10)
    assert rounds.told[-1] == "health-raw_processor/1/resolve at +16"


def test_who_has_not_read_the_heartbeats_ends_no_incident_of_a_job() -> None:
    rounds = Rounds(schedules=(HALF_HOURLY,), services=("export_processor",))
    rounds.store.states.beat("recovery", minute(0))
    rounds.go(15)
    other = rounds.new()
    rounds.go(27)
    assert rounds.told == ["heartbeat-recovery/1/raise at +41"]
    rounds.why = {"export_processor": "503"}
    other.look(minute(41.5), is_open=True)
    claimed = other.look(minute(42.5), is_open=False)  # as it was when the sweep began
    assert [latch.key.removeprefix(f"{RUN}/incident/") for latch in claimed] == ["health-export_processor/1/raise"]


def test_the_next_time_is_a_new_occurrence() -> None:
    rounds = Rounds(why={"export_processor": "503"}).go(5)
    rounds.why = {}
    rounds.go(10)
    rounds.why = {"export_processor": "503"}
    rounds.go(5)
    assert rounds.told[-1] == "health-export_processor/2/raise at +16"


def test_what_is_told_of_a_service_names_it_since_when_and_why() -> None:
    cause = ailing("export_processor", "does not answer", NOON)
    assert cause.summary == "export_processor is not well since 2024-01-16 12:00 UTC: does not answer"
    assert looked_at_by(RUN) == "tipoff status nba"


# --- heartbeats ---------------------------------------------------------------------------------------------


LATE = [
    pytest.param(-1.0, True, id="the firing was missed"),
    pytest.param(0.0, False, id="it came through that very moment"),
    pytest.param(5.0, False, id="it came through a little later"),
]


@pytest.mark.parametrize(("beat", "is_late"), LATE)
def test_a_job_is_late_whose_last_firing_has_not_come_through(beat: float, is_late: bool) -> None:
    assert (late("same-day", minute(beat), NOON) is not None) == is_late
    assert late("same-day", minute(beat), None) is None


def test_a_job_that_comes_through_is_never_told() -> None:
    rounds = Rounds(schedules=(HALF_HOURLY, DAILY, SELF), services=())
    for _ in range(48):
        rounds.store.states.beat("recovery", rounds.clock.at + timedelta(seconds=3))
        if rounds.clock.at.hour == 10:
            rounds.store.states.beat("same-day", rounds.clock.at + timedelta(minutes=31))
        rounds.go(30)
    assert rounds.told == []


def test_one_that_stopped_is_told_after_its_grace_and_over_when_it_comes_again() -> None:
    rounds = Rounds(schedules=(HALF_HOURLY,), services=())
    rounds.store.states.beat("recovery", minute(0))
    rounds.go(60)
    assert rounds.told == ["heartbeat-recovery/1/raise at +41"]
    rounds.store.states.beat("recovery", minute(60.1))
    rounds.go(5)
    assert rounds.told[1:] == ["heartbeat-recovery/1/resolve at +60"]


def test_a_job_that_was_just_deployed_has_until_its_next_firing() -> None:
    rounds = Rounds(schedules=(DAILY,), services=()).go(60)
    assert rounds.told == []
    assert rounds.store.states.beats() == {"same-day": NOON}
    rounds.clock.at = NOON + timedelta(days=1)  # 10:30 has gone by
    rounds.go(2)
    assert rounds.told == [f"heartbeat-same-day/1/raise at +{24 * 60}"]


def test_heartbeats_are_read_only_when_a_grace_has_ended_or_one_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(schedules=(HALF_HOURLY,), services=())
    rounds.store.states.beat("recovery", minute(1))
    read, beats = list[datetime](), rounds.store.states.beats
    monkeypatch.setattr(rounds.store.states, "beats", lambda: (read.append(rounds.clock.at), beats())[1])
    rounds.go(40)
    assert read == [minute(0), minute(11)]
    rounds.go(5)
    assert read[2:] == [minute(41), minute(42), minute(43), minute(44)]


def test_the_timer_does_not_watch_itself() -> None:
    rounds = Rounds(schedules=(SELF,), services=()).go(60)
    assert rounds.told == []
    assert rounds.store.states.beats() == {}


def test_a_job_that_is_declared_no_more_is_over() -> None:
    rounds = Rounds(schedules=(HALF_HOURLY,), services=())
    rounds.store.states.beat("recovery", minute(0))
    rounds.go(50)
    rounds.schedules = ()
    rounds.watch = rounds.new()
    rounds.go(2)
    assert [told.split(" ")[0] for told in rounds.told] == [
        "heartbeat-recovery/1/raise",
        "heartbeat-recovery/1/resolve",
    ]


@pytest.mark.parametrize("schedule", NBA.schedules, ids=lambda schedule: schedule.name)
def test_every_declared_schedule_has_a_last_firing_that_is_found(schedule: ScheduleSpec) -> None:
    due_at = last_due(schedule, NOON)
    assert due_at is not None
    assert due_at < NOON
    assert last_due(schedule, due_at) != due_at


def test_the_record_is_a_run_of_no_date_that_reads_back() -> None:
    assert RunKey.parse(str(RUN)) == RUN
    latches = watch_latches(RUN, (), [ailing("raw_processor", "503", NOON)], (), NOON)
    assert list(incidents_of(latches)) == ["health-raw_processor"]
    assert not watch_latches(RUN, latches, [], ["health-raw_processor"], minute(1)), "not over yet"
