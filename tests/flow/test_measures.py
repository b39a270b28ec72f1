"""What the shipped service counts of runs that go well, late, slowly or wrong: each number, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration import slo
from predictions.coordinator.points import points_coordinator
from shared.adapters.metering import Numbers
from shared.adapters.sqlite import Sqlite
from shared.config.metrics import METRICS
from shared.config.nba import NBA
from shared.config.settings import read_settings
from shared.core.measures import Measure
from shared.core.model import Act, Fact, RunKey, Status
from shared.core.repairs import BEGUN_BY, repairs
from shared.core.slo import LATE_MAX_S, Measured
from shared.ports import NoMeter
from shared.wiring import open_cloud
from tests.flow.batches import START, UNITS, World, double, failed
from tests.flow.days import Days, succeed

NIGHT = RunKey("nba", date(2024, 1, 15), "overnight")
MORNING = datetime(2024, 1, 16, 11, tzinfo=timezone.utc)  # 06:00 in New York
BAD = UNITS[:2]
DECLARED = {spec.name: spec for spec in METRICS}


@dataclass
class Kept:
    """A meter that keeps all, and takes nothing that is not declared."""

    measures: list[Measure] = field(default_factory=list)

    def add(self, measures: Iterable[Measure]) -> None:
        for measure in measures:
            assert set(measure.labels) == set(DECLARED[measure.metric].labels), measure
            assert str(NIGHT.date) not in str(measure.labels), "no id of a run"
            assert measure.value >= 0
            self.measures.append(measure)

    def send(self) -> None: ...

    def of(self, metric: str, *labels: str) -> Counter[tuple[str, ...]]:
        """How much there is of a metric, by these labels."""
        found: Counter[tuple[str, ...]] = Counter()
        for each in self.measures:
            if each.metric == metric:
                found[tuple(each.labels[label] for label in labels)] += each.value  # type: ignore[assignment]
        return found


@pytest.fixture
def days() -> Iterator[Days]:
    store = Sqlite(":memory:")
    made = Days(store, meter=Kept())
    made.clock.time = MORNING
    yield made
    store.close()


def kept(days: Days) -> Kept:
    assert isinstance(days.meter, Kept)
    return days.meter


def test_a_night_that_goes_well_counts_each_decision_start_and_transition_once(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    counted = kept(days)
    assert counted.of("tipoff.decisions", "kind")["done",] == 1
    assert counted.of("tipoff.decisions", "kind")["open",] == 6
    starts = Counter((start.phase,) for latch in days.store.states.load(NIGHT).latches for start in latch.starts)
    assert counted.of("tipoff.starts", "phase") == starts
    phases = {phase.name for phase in NBA.phases} - {"predictions"}
    assert {phase for (phase,) in counted.of("tipoff.transition.duration", "phase")} == phases
    assert counted.of("tipoff.slo.events", "kind", "result") == {
        ("ready", "good"): 6,
        ("duration", "good"): 6,
        ("published", "good"): 1,
    }
    assert not counted.of("tipoff.slo.late")
    assert not counted.of("tipoff.repairs", "kind")


def test_looking_again_counts_nothing_again(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    before = len(kept(days).measures)
    for _ in range(3):
        days.service.advance(NIGHT)
    assert len(kept(days).measures) == before


def test_a_slow_transition_is_late_by_what_is_beyond_twice_the_usual(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT, up_to="analytics")
    days.pass_by(hours=1)
    days.finish(NIGHT)
    assert kept(days).of("tipoff.slo.late", "phase", "kind") == {("analytics", "duration"): 3600 - 1200}


def test_a_night_that_publishes_late_is_late_and_one_that_fails_is_late_for_a_day(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT, up_to="export")
    days.clock.time = MORNING + timedelta(hours=4)
    for start in days.hear():
        assert start.phase == "export"
    days.finish(NIGHT)
    late = kept(days).of("tipoff.slo.late", "kind")
    assert late["published",] == 3600, "three hours from its start, now four"
    assert kept(days).of("tipoff.slo.events", "kind", "result")["published", "bad"] == 1

    other = replace(NIGHT, mode="same_day", date=NIGHT.date + timedelta(days=30))
    days.clock.time = MORNING + timedelta(days=30)
    days.service.start_run(other)
    days.pass_by(hours=9)
    days.pass_by(hours=9)
    assert days.status(other).state == "failed"
    assert kept(days).of("tipoff.slo.late", "mode", "kind")["same_day", "published"] == LATE_MAX_S


def test_the_meter_and_tipoff_slo_tell_the_same(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT, up_to="analytics")
    days.pass_by(hours=1)
    days.finish(NIGHT, up_to="export")
    days.clock.time = MORNING + timedelta(hours=4)
    days.finish(NIGHT)
    judged = slo.keeps(days.store.states, "nba", days.clock.now())
    all_of_them = {each.spec.measured: each for each in judged if not each.spec.phase and each.spec.window_days == 28}
    events, late = kept(days).of("tipoff.slo.events", "kind", "result"), kept(days).of("tipoff.slo.late", "kind")
    for measured in Measured:
        each = all_of_them[measured]
        good, bad = events[measured, "good"], events[measured, "bad"]
        assert (good + bad, bad, late[measured,] / 60) == (each.events, each.bad, each.late_minutes), measured


def test_of_a_run_that_fails_and_is_replayed_the_meter_keeps_a_day_and_tipoff_slo_tells_the_rest(days: Days) -> None:
    """A counter takes nothing back; docs/metrics.md says so."""
    days.service.start_run(NIGHT)
    days.hear()  # and nobody reports
    days.pass_by(hours=9)
    days.pass_by(hours=9)
    assert days.status(NIGHT).state == "failed"
    days.hear()
    again = days.service.replay(NIGHT, "", Act(actor="ann", reason="mended", at=days.clock.now()))
    assert isinstance(again, RunKey)
    days.finish(again)
    assert kept(days).of("tipoff.slo.late", "kind")["published",] == LATE_MAX_S
    judged = slo.keeps(days.store.states, "nba", days.clock.now())
    [month] = [each for each in judged if each.spec.name == "published"]
    assert (month.events, month.bad, month.late_minutes) == (1, 1, 15 * 60)


def test_a_refresh_is_no_second_run_to_be_published(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    [look] = [s for s in days.service.look_again(NIGHT, ["boxscores"]) if s.processor == "boxscores"]  # type: ignore[union-attr]
    days.hear()
    days.do(look, succeed(look, digest="corrected"))
    days.finish(NIGHT)
    ends = [entry for entry in days.store.states.ledger(NIGHT) if entry.decision == "done"]
    assert len(ends) == 2
    assert kept(days).of("tipoff.slo.events", "kind")["published",] == 1
    assert kept(days).of("tipoff.slo.events", "kind")["duration",] == 6


def test_a_replay_is_no_second_run_to_be_published(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    again = days.service.replay(NIGHT, "analytics", Act(actor="ann", reason="zones", at=days.clock.now()))
    assert isinstance(again, RunKey)
    days.finish(again)
    assert kept(days).of("tipoff.slo.events", "kind")["published",] == 1


def test_a_day_with_nothing_to_do_is_no_event(days: Days) -> None:
    days.act = lambda start: succeed(
        start, found={"games": (), "next_games": ()} if start.processor == "schedule" else {}
    )
    days.service.start_run(NIGHT)
    days.finish(NIGHT)
    assert days.status(NIGHT).state == "nothing_expected"
    assert ("published",) not in kept(days).of("tipoff.slo.events", "kind")


def test_what_the_backup_does_is_counted_by_its_kind(days: Days) -> None:
    days.service.start_run(NIGHT)
    for _ in range(60):  # no start is heard of: silent attempts are followed by others
        days.pass_by(minutes=1)
    states, plan = days.store.states, days.view(NIGHT).plan
    record = states.load(NIGHT)
    folded = Counter((str(act.kind),) for act in repairs(plan, record.facts, record.latches, states.ledger(NIGHT)))
    assert folded["attempt",] > 1
    assert kept(days).of("tipoff.repairs", "kind") == folded


def test_a_run_that_the_timer_begins_is_a_repair(days: Days) -> None:
    days.service.start_run(NIGHT, BEGUN_BY)
    days.service.start_run(NIGHT, BEGUN_BY)
    assert kept(days).of("tipoff.repairs", "kind", "mode") == {("run", "overnight"): 1}


def test_incidents_are_counted_when_they_are_raised_and_resolved(days: Days) -> None:
    days.act = lambda start: succeed(start, status=Status.FAILED) if start.processor == "boxscores" else succeed(start)
    days.service.start_run(NIGHT)
    for _ in range(5):
        days.finish(NIGHT)
        days.pass_by(minutes=1)
    days.act = succeed
    for _ in range(10):
        days.pass_by(minutes=5)
        days.finish(NIGHT)
    counted = kept(days).of("tipoff.incidents", "kind", "result")
    assert (counted["stalled", "raised"], counted["stalled", "resolved"]) == (1, 1)


def test_each_round_of_the_timer_is_timed_and_how_old_its_heartbeat_was(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.pass_by(minutes=1)
    days.pass_by(minutes=3)
    rounds = [each for each in kept(days).measures if each.metric == "tipoff.sweep.duration"]
    ages = [each.value for each in kept(days).measures if each.metric == "tipoff.heartbeat.age"]
    assert (len(rounds), ages) == (2, [180.0])


def test_units_of_a_batch_are_counted_once_by_how_they_ended() -> None:
    counted = Kept()
    world = World(lambda unit: failed(unit) if unit.id in BAD else double(unit), meter=counted)
    world.coordinator.on_start(START)
    world.work()
    for _ in range(2):
        world.sweep()
        world.coordinator.on_start(START)
    assert counted.of("tipoff.batch.units", "kind") == {("done",): 118, ("failed",): 2}


def test_a_gate_that_a_report_should_have_opened_is_a_repair(days: Days) -> None:
    days.service.start_run(NIGHT)
    days.finish(NIGHT, up_to="raw")
    for start in days.hear():  # what they report is kept, and nobody hears of it
        days.store.states.append(Fact(succeed(start), days.clock.now()))
    days.pass_by(minutes=1)
    assert kept(days).of("tipoff.repairs", "kind") == {("gate",): 1}
    assert kept(days).of("tipoff.ready.duration", "phase")["analytics",] == 60


def test_dead_letters_are_what_the_timer_saw_last(days: Days) -> None:
    days.service.start_run(NIGHT)
    for _ in range(6):
        days.pass_by(minutes=1)
    seen = [each.value for each in kept(days).measures if each.metric == "tipoff.dead_letters"]
    assert seen
    assert set(seen) == {0}


def test_the_coordinator_counts_where_its_function_does(days: Days) -> None:
    home = SimpleNamespace(ports=days.service._ports, warehouse=None, batches=None, in_flight=1)
    assert points_coordinator(home, NBA).meter is days.meter  # type: ignore[arg-type]


@pytest.mark.parametrize(("endpoint", "made"), [("", NoMeter), ("http://127.0.0.1:1", Numbers)])
def test_functions_count_where_a_collector_is_named(tmp_path: Path, endpoint: str, made: type) -> None:
    hosts = dict.fromkeys(("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST"), "127.0.0.1:1")
    named = {"TIPOFF_TARGET": "emulators", **hosts, "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"}
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {}
    with closing(open_cloud(read_settings({**named, **told, "TIPOFF_HOME": str(tmp_path)}))) as home:
        assert type(home.ports.meter) is made
