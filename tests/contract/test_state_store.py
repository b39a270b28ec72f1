"""Every promise of the port StateStore, over each adapter that keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

import pytest

from shared.adapters.sqlite import Sqlite
from shared.core.incident import raised
from shared.core.model import (
    Act,
    Completion,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    Missing,
    Outcome,
    OutcomeKind,
    Repair,
    RepairKind,
    RunKey,
    Start,
    Status,
)
from shared.core.plan import Plan, PlannedPhase, PlannedProcessor
from shared.core.watch import ailing, record, record_of
from shared.ports import (
    LOOK_WITHIN_S,
    QUARANTINE_ATTRIBUTES_MAX,
    QUARANTINE_BODY_MAX,
    Errand,
    Quarantined,
    StateStore,
)
from tests.contract.firestore_calls import new_project, opened

T = TypeVar("T")
NOW = datetime(2024, 1, 16, 6, 0, tzinfo=timezone.utc)
RUN = RunKey("nba", date(2024, 1, 15), "overnight")
OTHER = replace(RUN, generation=2)
LEASE_S = 30


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "firestore-emulator"])
def states(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if request.param == "firestore-emulator":
        with opened(request.getfixturevalue("firestore_emulator"), new_project()) as firestore:
            yield firestore.states
        return
    store = Sqlite(tmp_path / "state.sqlite" if request.param == "sqlite-file" else ":memory:")
    yield store.states
    store.close()


@pytest.fixture(params=["sqlite-file", "firestore-emulator"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], StateStore]]:
    """Opens the same store once more, as another process would. In memory there is no other process."""
    project = new_project()
    with ExitStack() as stores:

        def open_again() -> StateStore:
            if request.param == "firestore-emulator":
                emulator = request.getfixturevalue("firestore_emulator")
                return stores.enter_context(opened(emulator, project)).states
            store = Sqlite(tmp_path / "state.sqlite")
            stores.callback(store.close)
            return store.states

        yield open_again


def test_a_run_is_created_once_and_its_first_plan_stands(states: StateStore) -> None:
    assert states.create_run(plan())
    assert not states.create_run(replace(plan(), config_hash="another"))
    assert states.plan(RUN) == plan()


def test_a_plan_reads_back_as_it_was_written(states: StateStore) -> None:
    states.create_run(plan())
    assert states.plan(RUN) == plan()
    assert states.plan(RUN) == plan()  # once more, from wherever it is kept by now


def test_an_unknown_run_has_no_plan_until_it_is_created(states: StateStore) -> None:
    assert states.plan(RUN) is None
    states.create_run(plan())
    assert states.plan(RUN) == plan()


def test_an_unknown_run_has_an_empty_record(states: StateStore) -> None:
    record = states.load(RUN)
    assert (record.facts, record.latches, record.control) == ((), (), Control())
    assert (record.last_entry, record.due_at) == (None, None)


def test_a_fact_is_appended_once_and_the_first_stands(states: StateStore) -> None:
    assert states.append(fact(1))
    states.load(RUN)
    assert not states.append(replace(fact(1), received_at=NOW + timedelta(hours=1)))
    assert states.load(RUN).facts == (fact(1),)


def test_a_fact_reads_back_equal_with_all_its_fields(states: StateStore) -> None:
    full = fact(
        1,
        status=Status.PARTIAL,
        reason="two games are late: «später»",
        units_expected=9,
        units_actual=7,
        missing=("0022300561", "0022300562"),
        rows=210,
        duration_s=12.25,
        digest="d1",
        found={"games": ("0022300561",), "players": ()},
        retry_at=NOW + timedelta(microseconds=1),
    )
    states.append(full)
    assert states.load(RUN).facts == (full,)


def test_facts_come_in_the_order_of_their_receipt_however_often_they_are_loaded(states: StateStore) -> None:
    for report in (3, 1, 2):
        states.append(fact(report))
        states.load(RUN)
    assert [each.completion.report for each in states.load(RUN).facts] == [3, 1, 2]


def test_runs_do_not_see_each_others_facts_latches_or_control(states: StateStore) -> None:
    states.append(fact(1))
    assert claim(states, [latch("a")]) is not None
    assert states.set_control(RUN, Control(version=1, cancel=ACT))
    states.append(fact(7, run=OTHER))
    record = states.load(OTHER)
    assert record.facts == (fact(7, run=OTHER),)
    assert (record.latches, record.control, record.last_entry) == ((), Control(), None)


def test_a_record_loaded_earlier_does_not_change(states: StateStore) -> None:
    states.append(fact(1))
    earlier = states.load(RUN)
    states.append(fact(2))
    assert len(states.load(RUN).facts) == 2
    assert earlier.facts == (fact(1),)


def test_more_runs_than_a_cache_holds_are_all_loaded_whole(states: StateStore) -> None:
    runs = [replace(RUN, generation=generation) for generation in range(1, 301)]
    for report in (1, 2):
        for run in runs:
            states.append(fact(report, run=run))
            assert len(states.load(run).facts) == report


def test_of_21_threads_that_append_none_is_lost(states: StateStore) -> None:
    def append_and_load(report: int) -> bool:
        assert states.append(fact(report))
        return fact(report) in states.load(RUN).facts  # the last writer writes first and reads after

    assert all(race(21, append_and_load))
    assert {each.completion.report for each in states.load(RUN).facts} == set(range(21))
    assert len(states.load(RUN).facts) == 21


def test_facts_of_21_connections_are_all_seen_by_the_one_that_reads_last(connect: Callable[[], StateStore]) -> None:
    opened = [connect() for _ in range(21)]

    def append_and_load(index: int) -> int:
        for report in range(5):
            assert opened[index].append(fact(index * 100 + report))
            opened[index].load(RUN)
        return len(opened[index].load(RUN).facts)

    assert max(race(21, append_and_load)) == 105
    for states in opened:
        assert len(states.load(RUN).facts) == 105
        assert states.load(RUN).facts == opened[0].load(RUN).facts


def test_what_another_connection_writes_shows_in_the_next_load(connect: Callable[[], StateStore]) -> None:
    mine, theirs = connect(), connect()
    mine.create_run(plan())
    mine.append(fact(1))
    assert theirs.load(RUN) == mine.load(RUN)
    theirs.append(fact(2))
    assert claim(theirs, [latch("a")], entry=entry("open"), due_at=NOW) is not None
    theirs.set_control(RUN, Control(version=1, hold=ACT))
    record = mine.load(RUN)
    assert record.facts == (fact(1), fact(2))
    assert record.latches == (latch("a"),)
    assert (record.last_entry, record.control) == (entry("open"), Control(version=1, hold=ACT))
    assert record.due_at == NOW


def test_what_was_written_is_there_after_closing_and_opening(connect: Callable[[], StateStore]) -> None:
    first = connect()
    first.create_run(plan())
    first.append(fact(1))
    claim(first, [latch("a")], entry=entry("open"), due_at=NOW)
    assert connect().load(RUN) == first.load(RUN)
    assert connect().plan(RUN) == plan()


def test_a_claim_returns_the_latches_it_created_with_what_they_carry(states: StateStore) -> None:
    latches = [latch("outcome", outcome=outcome()), latch("start", starts=(start(),))]
    assert claim(states, latches) == tuple(latches)
    assert states.load(RUN).latches == tuple(latches)


def test_a_claim_leaves_taken_latches_as_they_are_and_creates_the_others(states: StateStore) -> None:
    claim(states, [latch("a")])
    assert claim(states, [latch("a", starts=(start(),)), latch("b")]) == (latch("b"),)
    assert states.load(RUN).latches == (latch("a"), latch("b"))


def test_a_claim_on_a_taken_outcome_writes_nothing(states: StateStore) -> None:
    states.create_run(plan())
    first = latch("outcome", outcome=outcome())
    claim(states, [first], entry=entry("open"), due_at=NOW + timedelta(hours=1))
    before = states.load(RUN)
    late = latch("outcome", outcome=outcome(kind=OutcomeKind.FAIL))
    assert claim(states, [late, latch("b")], entry=entry("fail"), due_at=None) is None
    assert states.load(RUN) == before
    assert states.ledger(RUN) == (entry("open"),)
    assert states.due_runs(NOW + timedelta(hours=1), 10) == (RUN,)


def test_a_claim_on_control_that_has_moved_writes_nothing(states: StateStore) -> None:
    states.create_run(plan())
    before = states.load(RUN)
    assert states.set_control(RUN, Control(version=1, hold=ACT))
    assert claim(states, [latch("a")], version=0, entry=entry("open"), due_at=None) is None
    assert states.load(RUN) == replace(before, control=Control(version=1, hold=ACT))
    assert states.ledger(RUN) == ()
    assert claim(states, [latch("a")], version=1) == (latch("a"),)


def test_a_claim_without_latches_writes_its_entry_and_its_next_look(states: StateStore) -> None:
    states.create_run(plan())
    assert claim(states, [], entry=entry("wait"), due_at=NOW + timedelta(minutes=5)) == ()
    assert states.load(RUN).last_entry == entry("wait")
    assert states.load(RUN).due_at == NOW + timedelta(minutes=5)


def test_a_claim_without_entry_leaves_the_ledger_alone(states: StateStore) -> None:
    claim(states, [], entry=entry("wait"))
    claim(states, [latch("a")])
    assert states.ledger(RUN) == (entry("wait"),)


def test_exactly_one_of_21_claimers_gets_a_latch(states: StateStore) -> None:
    wins = race(21, lambda index: claim(states, [latch("a", starts=(start(attempt=index + 1),))]))
    created = [won[0] for won in wins if won]
    assert len(created) == 1
    assert states.load(RUN).latches == tuple(created)


def test_exactly_one_of_21_outcomes_stands_and_only_its_ledger_entry(states: StateStore) -> None:
    def decide(index: int) -> tuple[Latch, ...] | None:
        kind = OutcomeKind.OPEN if index % 2 else OutcomeKind.FAIL
        latches = [latch("outcome", outcome=outcome(kind=kind)), latch(f"start-{index}")]
        return claim(states, latches, entry=entry(f"by {index}"))

    wins = race(21, decide)
    winners = [index for index, won in enumerate(wins) if won is not None]
    assert len(winners) == 1
    assert states.load(RUN).latches == wins[winners[0]]
    assert states.ledger(RUN) == (entry(f"by {winners[0]}"),)


def test_21_claimers_of_overlapping_latches_create_each_once(states: StateStore) -> None:
    keys = [str(index) for index in range(7)]
    wins = race(21, lambda index: claim(states, [latch(key) for key in keys[index % 5 : index % 5 + 3]]))
    assert sorted(won.key for some in wins for won in some or ()) == keys
    assert {each.key for each in states.load(RUN).latches} == set(keys)


def test_exactly_one_of_8_connections_gets_a_latch(connect: Callable[[], StateStore]) -> None:
    opened = [connect() for _ in range(8)]
    wins = race(8, lambda index: claim(opened[index], [latch("a")]))
    assert sorted(map(len, filter(None, wins))) == [1]


def test_a_hold_and_an_opening_never_both_think_they_were_first(states: StateStore) -> None:
    for generation in range(1, 21):
        run = replace(RUN, generation=generation)

        def act(index: int, run: RunKey = run) -> bool:
            if index:
                return states.set_control(run, Control(version=1, hold=ACT))
            return claim(states, [latch("a", run=run)], run=run, version=0) is not None

        opened, held = race(2, act)
        assert held
        assert len(states.load(run).latches) == int(opened)
        assert claim(states, [latch("b", run=run)], run=run, version=0) is None  # held: nothing opens any more


def test_a_latch_under_its_lease_is_not_taken_up(states: StateStore) -> None:
    claim(states, [latch("a")])
    assert states.take_lapsed(NOW + timedelta(seconds=LEASE_S - 1), LEASE_S, 10) == ()


def test_a_lapsed_latch_is_taken_up_whole_and_held_for_the_new_lease(states: StateStore) -> None:
    carrying = latch("a", outcome=outcome(), starts=(start(),))
    claim(states, [carrying])
    later = NOW + timedelta(seconds=LEASE_S)
    assert states.take_lapsed(later, LEASE_S, 10) == (carrying,)
    assert states.take_lapsed(later, LEASE_S, 10) == ()
    assert states.take_lapsed(later + timedelta(seconds=LEASE_S), LEASE_S, 10) == (carrying,)


def test_a_lapsed_lease_is_taken_up_by_exactly_one_of_two(states: StateStore) -> None:
    claim(states, [latch(str(index)) for index in range(20)])
    later = NOW + timedelta(seconds=LEASE_S)
    taken = race(2, lambda _: [each.key for _ in range(20) for each in states.take_lapsed(later, LEASE_S, 1)])
    assert sorted(taken[0] + taken[1], key=int) == [str(index) for index in range(20)]


def test_a_lapsed_lease_is_taken_up_by_exactly_one_of_two_connections(connect: Callable[[], StateStore]) -> None:
    opened = [connect(), connect()]
    claim(opened[0], [latch(str(index)) for index in range(20)])
    later = NOW + timedelta(seconds=LEASE_S)
    taken = race(2, lambda index: [each.key for _ in range(20) for each in opened[index].take_lapsed(later, 30, 1)])
    assert sorted(taken[0] + taken[1], key=int) == [str(index) for index in range(20)]


def test_a_holder_whose_lease_lapsed_may_still_close_what_another_took_up(states: StateStore) -> None:
    claim(states, [latch("a")])
    assert states.take_lapsed(NOW + timedelta(seconds=LEASE_S), LEASE_S, 10) == (latch("a"),)
    states.close(RUN, ["a"])  # the first, late
    states.close(RUN, ["a"])
    assert states.take_lapsed(NOW + timedelta(days=1), LEASE_S, 10) == ()


def test_take_lapsed_keeps_to_its_limit(states: StateStore) -> None:
    claim(states, [latch(key) for key in "abc"])
    later = NOW + timedelta(seconds=LEASE_S)
    assert [len(states.take_lapsed(later, LEASE_S, 2)) for _ in range(3)] == [2, 1, 0]


def test_a_closed_latch_stays_in_the_record_and_is_never_taken_up(states: StateStore) -> None:
    claim(states, [latch("a"), latch("b")])
    states.close(RUN, ["a"])
    states.close(RUN, ["a", "unknown"])
    assert states.load(RUN).latches == (latch("a"), latch("b"))
    assert states.take_lapsed(NOW + timedelta(days=1), LEASE_S, 10) == (latch("b"),)


def test_closing_concerns_one_run_only(states: StateStore) -> None:
    claim(states, [latch("a")])
    claim(states, [latch("a", run=OTHER)], run=OTHER)
    states.close(RUN, ["a"])
    assert states.take_lapsed(NOW + timedelta(days=1), LEASE_S, 10) == (latch("a", run=OTHER),)


def test_a_closed_latch_cannot_be_claimed_again(states: StateStore) -> None:
    claim(states, [latch("a")])
    states.close(RUN, ["a"])
    assert claim(states, [latch("a")]) == ()


def test_control_is_replaced_only_by_the_next_version(states: StateStore) -> None:
    assert not states.set_control(RUN, Control(version=2, hold=ACT))
    assert states.set_control(RUN, Control(version=1, hold=ACT))
    assert not states.set_control(RUN, Control(version=1, cancel=ACT))
    assert states.load(RUN).control == Control(version=1, hold=ACT)
    assert states.set_control(RUN, Control(version=2))
    assert states.load(RUN).control == Control(version=2)


def test_exactly_one_of_8_racers_sets_control(states: StateStore) -> None:
    controls = [Control(version=1, hold=replace(ACT, actor=f"operator {index}")) for index in range(8)]
    wins = race(8, lambda index: states.set_control(RUN, controls[index]))
    assert wins.count(True) == 1
    assert states.load(RUN).control == controls[wins.index(True)]


def test_a_new_run_is_due_when_it_starts(states: StateStore) -> None:
    states.create_run(plan())
    assert states.load(RUN).due_at == NOW
    assert states.due_runs(NOW - timedelta(seconds=1), 10) == ()
    assert states.due_runs(NOW, 10) == (RUN,)


def test_a_run_with_nothing_more_to_look_at_is_never_due(states: StateStore) -> None:
    states.create_run(plan())
    claim(states, [], due_at=None)
    assert states.load(RUN).due_at is None
    assert states.due_runs(NOW + timedelta(days=365), 10) == ()


@pytest.mark.parametrize(
    ("due_at", "then"),
    [
        pytest.param(NOW + timedelta(hours=1), NOW + timedelta(seconds=LOOK_WITHIN_S), id="later: sooner now"),
        pytest.param(None, NOW + timedelta(seconds=LOOK_WITHIN_S), id="never: soon now"),
        pytest.param(NOW + timedelta(seconds=1), NOW + timedelta(seconds=1), id="sooner: as it was"),
    ],
)
def test_a_new_fact_makes_its_run_due_soon(states: StateStore, due_at: datetime | None, then: datetime) -> None:
    states.create_run(plan())
    claim(states, [], due_at=due_at)
    states.append(fact(1))
    assert states.load(RUN).due_at == then
    claim(states, [], due_at=due_at)
    states.append(fact(1))
    assert states.load(RUN).due_at == due_at, "a fact that is there already changes nothing"


def test_of_21_facts_at_once_the_earliest_look_stands(states: StateStore) -> None:
    states.create_run(plan())
    claim(states, [], due_at=None)
    race(21, lambda index: states.append(replace(fact(index), received_at=NOW + timedelta(seconds=abs(index - 10)))))
    assert states.load(RUN).due_at == NOW + timedelta(seconds=LOOK_WITHIN_S)


def test_every_load_shows_when_to_look_as_the_last_claim_said(states: StateStore) -> None:
    states.create_run(plan())
    for due_at in (NOW + timedelta(hours=1), NOW + timedelta(minutes=1), None, NOW):
        states.load(RUN)
        claim(states, [], due_at=due_at)
        assert states.load(RUN).due_at == due_at


def test_the_record_has_the_last_of_several_new_entries(states: StateStore) -> None:
    claim(states, [], entry=entry("wait"))
    states.load(RUN)
    claim(states, [], entry=entry("ask"))
    claim(states, [], entry=entry("open"))
    assert states.load(RUN).last_entry == entry("open")


def test_due_runs_come_longest_due_first_within_the_limit(states: StateStore) -> None:
    for generation, minutes in ((1, 5), (2, 1), (3, 9), (4, 3)):
        run = replace(RUN, generation=generation)
        states.create_run(plan(run))
        claim(states, [], run=run, due_at=NOW + timedelta(minutes=minutes))
    later = NOW + timedelta(minutes=5)
    assert [run.generation for run in states.due_runs(later, 10)] == [2, 4, 1]
    assert [run.generation for run in states.due_runs(later, 2)] == [2, 4]


def test_runs_come_by_date_start_and_generation_within_the_dates(states: StateStore) -> None:
    day = timedelta(days=1)
    made = [
        (RunKey("nba", date(2024, 1, 14), "overnight"), NOW - day),
        (RunKey("nba", date(2024, 1, 15), "same_day"), NOW - day),
        (RunKey("nba", date(2024, 1, 15), "overnight"), NOW),
        (RunKey("nba", date(2024, 1, 15), "overnight", 2), NOW),
        (RunKey("nba", date(2024, 1, 16), "overnight"), NOW - 2 * day),
    ]
    outside = [
        (RunKey("nba", date(2024, 1, 13), "overnight"), NOW),
        (RunKey("nba", date(2024, 1, 17), "overnight"), NOW),
        (RunKey("hoopstat", date(2024, 1, 15), "overnight"), NOW),
    ]
    for run, started_at in reversed(made + outside):
        states.create_run(replace(plan(run), started_at=started_at))
    assert states.runs("nba", date(2024, 1, 14), date(2024, 1, 16)) == tuple(run for run, _ in made)


def test_the_ledger_is_oldest_first_and_the_record_has_its_last_entry(states: StateStore) -> None:
    for decision in ("wait", "ask", "open"):
        claim(states, [], entry=entry(decision))
        assert states.load(RUN).last_entry == entry(decision)
    assert [each.decision for each in states.ledger(RUN)] == ["wait", "ask", "open"]
    assert states.ledger(OTHER) == ()


def test_a_quarantined_message_is_kept_once_as_it_came_first(states: StateStore) -> None:
    states.quarantine(item("m1"))
    states.quarantine(replace(item("m1"), reason="another"))
    assert states.quarantined(10) == (item("m1"),)


@pytest.mark.parametrize("key", ["1", ".", "..", "__a__", "a/b", "ä b%2F"])
def test_the_id_of_a_quarantined_message_may_be_any_text(states: StateStore, key: str) -> None:
    states.quarantine(item(key))
    assert states.quarantined(10) == (item(key),)


def test_quarantined_messages_come_newest_first_within_the_limit(states: StateStore) -> None:
    for index in range(4):
        states.quarantine(replace(item(f"m{index}"), at=NOW + timedelta(seconds=index)))
    assert [each.id for each in states.quarantined(3)] == ["m3", "m2", "m1"]


def test_a_quarantined_body_is_cut_and_any_bytes_and_reason_are_kept(states: StateStore) -> None:
    states.quarantine(replace(item("m1"), body=b"\xff\x00" * QUARANTINE_BODY_MAX, reason="no file \udcff"))
    (kept,) = states.quarantined(1)
    assert kept.body == (b"\xff\x00" * QUARANTINE_BODY_MAX)[:QUARANTINE_BODY_MAX]
    assert kept.reason.startswith("no file ")


@pytest.mark.parametrize(
    ("length", "told", "size", "whole"),
    [
        pytest.param(0, None, None, True, id="nothing"),
        pytest.param(QUARANTINE_BODY_MAX - 1, None, None, True, id="less than there is room for"),
        pytest.param(QUARANTINE_BODY_MAX, None, None, False, id="all the room, and nobody says what it was before"),
        pytest.param(QUARANTINE_BODY_MAX, QUARANTINE_BODY_MAX, QUARANTINE_BODY_MAX, True, id="just the room"),
        pytest.param(QUARANTINE_BODY_MAX, 2_000_000, 2_000_000, False, id="cut before"),
        pytest.param(QUARANTINE_BODY_MAX + 1, None, QUARANTINE_BODY_MAX + 1, False, id="cut here"),
        pytest.param(3, 3, 3, True, id="small and told"),
    ],
)
def test_a_quarantined_message_says_whether_its_body_is_all_there(
    states: StateStore, length: int, told: int | None, size: int | None, whole: bool
) -> None:
    states.quarantine(replace(item("m1"), body=b"x" * length, size=told))
    (kept,) = states.quarantined(1)
    assert (kept.size, kept.is_whole) == (size, whole)


def test_a_quarantined_message_keeps_the_attributes_that_fit(states: StateStore) -> None:
    small = {"run": str(RUN), "odd": "é\n\0𝄞\ud800", "": ""}
    states.quarantine(replace(item("m1"), attributes={"large": "x" * QUARANTINE_ATTRIBUTES_MAX, **small}))
    (kept,) = states.quarantined(1)
    assert kept.attributes == small


def test_what_a_person_has_dealt_with_is_forgotten_and_nothing_else(states: StateStore) -> None:
    for key in ("m1", "a/b", "m3"):
        states.quarantine(item(key))
    assert states.forget(["m3", "unknown", "a/b", "m3"]) == ("m3", "a/b")
    assert states.quarantined(10) == (item("m1"),)
    assert states.forget(["m3"]) == ()
    assert states.forget([]) == ()


def test_a_message_that_comes_back_after_it_was_forgotten_is_kept_anew(states: StateStore) -> None:
    states.quarantine(item("m1"))
    states.forget(["m1"])
    states.quarantine(replace(item("m1"), reason="still not JSON"))
    assert [each.reason for each in states.quarantined(10)] == ["still not JSON"]


def test_of_many_who_forget_at_once_one_gets_each(connect: Callable[[], StateStore]) -> None:
    opened = [connect() for _ in range(3)]
    keys = [f"m{number}" for number in range(5)]
    for key in keys:
        opened[0].quarantine(item(key))
    done = race(6, lambda index: opened[index % 3].forget(keys))
    assert sorted(key for each in done for key in each) == keys
    assert opened[0].quarantined(10) == ()


# --- what is about no run ------------------------------------------------------------------------------


def test_a_record_without_phases_holds_latches_and_is_due_while_it_is_said_to_be(states: StateStore) -> None:
    key, kept = record_of("nba"), record("nba", NOW)
    assert states.create_run(kept)
    assert not states.create_run(record("nba", NOW + timedelta(hours=1)))
    latch = raised(key, None, ailing("export_processor", "503", NOW), NOW)

    def claim(latches: Sequence[Latch], due_at: datetime | None) -> tuple[Latch, ...] | None:
        return states.claim(
            key, control_version=0, latches=latches, entry=None, due_at=due_at, now=NOW, lease_s=LEASE_S
        )

    assert claim([latch], NOW) == (latch,)
    assert claim([latch], NOW) == ()
    assert states.due_runs(NOW, 10) == (key,)
    assert states.load(key).latches == (latch,)
    assert states.plan(key) == kept
    assert claim([], None) == ()
    assert states.due_runs(NOW, 10) == ()
    assert states.runs("nba", date.min, date.max) == (), "it is no run"


# --- heartbeats -----------------------------------------------------------------------------------------


def test_nothing_has_beaten_before_the_first_beat(states: StateStore) -> None:
    assert states.beats() == {}


def test_the_last_beat_of_each_job_stands_whatever_time_it_names(states: StateStore) -> None:
    states.beat("self-heal", NOW)
    states.beat("a/job of any name", NOW)
    states.beat("self-heal", NOW + timedelta(minutes=1, microseconds=7))
    assert states.beats() == {"self-heal": NOW + timedelta(minutes=1, microseconds=7), "a/job of any name": NOW}
    states.beat("self-heal", NOW - timedelta(days=1))
    assert states.beats()["self-heal"] == NOW - timedelta(days=1)


def test_another_process_hears_a_beat(connect: Callable[[], StateStore]) -> None:
    connect().beat("self-heal", NOW)
    assert connect().beats() == {"self-heal": NOW}


# --- errands --------------------------------------------------------------------------------------------

ERRAND = "summary/2024-01-16T13:00:00.000000Z"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_an_errand_is_taken_once_and_is_done_for_good_once_it_has_ended(states: StateStore) -> None:
    assert states.take_errand(ERRAND, NOW, LEASE_S) is Errand.MINE
    assert states.take_errand(ERRAND, later(LEASE_S - 0.001), LEASE_S) is Errand.OTHERS
    assert states.take_errand("another", NOW, LEASE_S) is Errand.MINE
    states.end_errand(ERRAND)
    states.end_errand(ERRAND)
    assert states.take_errand(ERRAND, later(LEASE_S * 100), LEASE_S) is Errand.DONE
    assert states.take_errand("another", later(1), LEASE_S) is Errand.OTHERS


def test_an_errand_whose_lease_is_over_is_taken_up(states: StateStore) -> None:
    states.take_errand(ERRAND, NOW, LEASE_S)
    assert states.take_errand(ERRAND, later(LEASE_S), LEASE_S) is Errand.MINE
    assert states.take_errand(ERRAND, later(2 * LEASE_S - 1), LEASE_S) is Errand.OTHERS


def test_an_errand_that_nobody_took_can_end(states: StateStore) -> None:
    states.end_errand(ERRAND)
    assert states.take_errand(ERRAND, NOW, LEASE_S) is Errand.DONE


@pytest.mark.parametrize("taken_before", [False, True])
def test_of_those_who_take_an_errand_at_once_one_gets_it(connect: Callable[[], StateStore], taken_before: bool) -> None:
    opened = [connect() for _ in range(4)]
    if taken_before:
        opened[0].take_errand(ERRAND, NOW - timedelta(hours=1), LEASE_S)
    got = race(4, lambda index: opened[index].take_errand(ERRAND, NOW, LEASE_S))
    assert sorted(got) == [Errand.MINE, *[Errand.OTHERS] * 3]


def test_no_errand_is_a_latch_of_a_run(states: StateStore) -> None:
    states.take_errand(ERRAND, NOW, LEASE_S)
    assert states.take_lapsed(later(LEASE_S * 9), LEASE_S, 10) == ()


def test_an_act_reads_back_with_its_latch(states: StateStore) -> None:
    states.create_run(plan())
    repair = Repair(kind=RepairKind.REDRIVE, subject="m", reason="503", at=NOW)
    latch = Latch(key=f"{RUN}/repair/redrive/m/1", run=RUN, repair=repair)
    claimed = states.claim(RUN, control_version=0, latches=[latch], entry=None, due_at=NOW, now=NOW, lease_s=LEASE_S)
    assert claimed == (latch,)
    assert states.load(RUN).latches == (latch,)


# --- values -------------------------------------------------------------------------------------------

ACT = Act(actor="ada", reason="the feed is wrong", at=NOW)


def race(racers: int, act: Callable[[int], T]) -> list[T]:
    """All at the same moment, each in its own thread; their results in the order of their numbers."""
    barrier = threading.Barrier(racers)

    def run(index: int) -> T:
        barrier.wait(10)
        return act(index)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


def claim(
    states: StateStore,
    latches: list[Latch],
    *,
    run: RunKey = RUN,
    version: int = 0,
    entry: LedgerEntry | None = None,
    due_at: datetime | None = None,
) -> tuple[Latch, ...] | None:
    return states.claim(
        run, control_version=version, latches=latches, entry=entry, due_at=due_at, now=NOW, lease_s=LEASE_S
    )


def fact(report: int, *, run: RunKey = RUN, status: Status = Status.SUCCESS, **fields: object) -> Fact:
    completion = Completion(
        run=run, phase="analytics", processor="player_totals", attempt=1, report=report, status=status
    )
    return Fact(replace(completion, **fields), NOW)  # type: ignore[arg-type]  # the fields a test names


def start(attempt: int = 1) -> Start:
    return Start(
        run=RUN,
        phase="analytics",
        processor="player_totals",
        attempt=attempt,
        fence=10_001,
        partition=RUN.date,
        timeout_s=300,
        issued_at=NOW,
        units=("0022300561",),
        inputs={"games": "d1"},
        missing=(Missing(processor="team_totals", why="failed", units=("0022300561",)),),
    )


def outcome(kind: OutcomeKind = OutcomeKind.OPEN) -> Outcome:
    return Outcome(
        gate="analytics",
        attempt=1,
        kind=kind,
        grade="complete",
        reason="all there",
        completeness=1.0,
        missing=(),
        decided_at=NOW,
        left_round=1,
        saw={"games": "d1"},
        base={"player_totals": 1},
        expectations={"games": ("0022300561",)},
    )


def latch(key: str, *, run: RunKey = RUN, outcome: Outcome | None = None, starts: tuple[Start, ...] = ()) -> Latch:
    return Latch(key=key, run=run, outcome=outcome, starts=starts)


def entry(decision: str) -> LedgerEntry:
    return LedgerEntry(
        run=RUN,
        gate="analytics",
        attempt=1,
        at=NOW,
        decision=decision,
        reason="because",
        missing=(),
        completeness=1.0,
        next_look_at=None,
        facts=("raw/games/1/1",),
        latches=(),
        control=Control(),
    )


def item(key: str) -> Quarantined:
    return Quarantined(id=key, run=str(RUN), topic="nba-phase2-raw-complete", reason="not JSON", at=NOW, body=b"{")


def plan(run: RunKey = RUN) -> Plan:
    processor = PlannedProcessor(
        name="player_totals",
        critical=True,
        weight=1.0,
        timeout_s=300,
        grace_s=300,
        attempts_max=3,
        looks_max=36,
        retry_s=5,
        look_again_s=300,
        partition=run.date,
    )
    phase = PlannedPhase(
        name="analytics",
        start_topic="nba-analytics-start",
        completion_topic="nba-phase3-analytics-complete",
        processors=(processor,),
        quorum=0.8,
        deadline_at=NOW + timedelta(hours=1),
        deadline_from="derived",
        window_s=300,
        give_up_at=NOW + timedelta(hours=5),
    )
    return Plan(
        run=run,
        started_at=NOW,
        deadline_at=NOW + timedelta(hours=4),
        config_hash="0123456789ab",
        expects="games",
        phases=(phase,),
        labels={"source": "synthetic"},
    )
