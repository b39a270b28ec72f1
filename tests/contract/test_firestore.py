"""What Firestore's adapters do beside keeping their ports' promises: costs, lost answers, limits, errors in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import pytest

from shared.adapters.firestore import Firestore
from shared.adapters.firestore_batches import COMMIT_MAX
from shared.adapters.firestore_database import BODY_MAX, FirestoreRecordError, FirestoreUnavailable
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.batch import Unit, chunked, first_orders
from shared.core.messages import read_start
from shared.core.model import Completion, Control, Latch, LedgerEntry, Status
from shared.ports import Ports
from shared.readings import readers
from shared.service import Service
from tests.contract.firestore_calls import Calls, new_project, opened
from tests.contract.test_batch_store import BATCH, CHUNKS, LEASE_S, ORDERS, SEAL, begin, later, record, report
from tests.contract.test_state_store import ACT, NOW, RUN, claim, entry, fact, latch, outcome, plan
from tests.flow.test_path_of_a_completion import HandClock

WRITES_MAX = READS_MAX = 6  # paid for when a gate opens, beside the facts
UNHINDERED_S = 0.5  # far more than a commit takes; on a machine too slow for it a test sees less, and fails no more


@dataclass
class Watched:
    """A store on the emulator, and what goes over its wire."""

    store: Firestore
    calls: Calls

    def cost(self) -> tuple[int, int, int]:
        """Round trips, documents read and documents written since the last time."""
        cost = (len(self.calls.rpcs), len(self.calls.read), len(self.calls.written))
        self.calls.clear()
        return cost


@pytest.fixture
def project() -> str:
    return new_project()


@pytest.fixture
def watched(firestore_emulator: str, project: str) -> Iterator[Watched]:
    calls = Calls()
    with opened(firestore_emulator, project, calls) as store:
        yield Watched(store, calls)


@pytest.fixture
def other(firestore_emulator: str, project: str) -> Iterator[Firestore]:
    """Opens the same store once more, as another process would."""
    with opened(firestore_emulator, project) as store:
        yield store


# --- costs ----------------------------------------------------------------------------------------------


def test_a_gate_opens_within_its_budget_of_reads_writes_and_messages(watched: Watched) -> None:
    clock, told = HandClock(datetime(2024, 1, 16, 11, 0, tzinfo=timezone.utc)), list[LedgerEntry]()
    states = watched.store.states
    bus = Sqlite(":memory:").bus
    topics = [phase.start_topic for phase in NBA.phases]
    for topic in topics:
        bus.subscribe(topic, topic)
    ports = Ports(states=states, bus=bus, clock=clock, readers=readers(states))
    service = Service(ports, {"nba": NBA}, told.append, starts_missing_runs=False)
    service.start_run(RUN)
    planned = states.plan(RUN)
    assert planned is not None
    for phase in planned.phases:
        for processor in phase.processors:
            clock.pass_by(seconds=5)
            watched.calls.clear()
            said = Completion(
                run=RUN,
                phase=phase.name,
                processor=processor.name,
                attempt=1,
                report=1,
                status=Status.SUCCESS,
                found={"games": ("g1",), "players": ("p1",)} if processor.name == "schedule" else {},
            )
            assert service.on_completion(said) is None
            beside = [name for name in watched.calls.written if "/fact." not in name]
            assert len(beside) <= WRITES_MAX, beside
            beside = [name for name in watched.calls.read if "/fact." not in name]
            assert len(beside) <= READS_MAX, beside
    gates = [entry.gate for entry in told if entry.decision in ("open", "done")]
    assert gates == [*(phase.name for phase in planned.phases), "end"]
    sent = [read_start(each.data).id for each in bus.pull(topics, limit=1_000, now=clock.now(), lease_s=60)]
    ordered = [start.id for latch in states.load(RUN).latches for start in latch.starts]
    assert sorted(sent) == sorted(ordered), "one message per start"
    assert len(set(sent)) == sum(len(phase.processors) for phase in planned.phases)


def test_a_verb_of_state_costs_what_the_decision_record_says(watched: Watched) -> None:
    states, cost = watched.store.states, watched.cost
    states.create_run(plan())
    assert cost() == (1, 0, 2)
    states.plan(RUN)
    assert cost() == (1, 1, 0)
    states.plan(RUN)
    assert cost() == (0, 0, 0)
    states.append(fact(1))
    assert cost() == (1, 0, 2)
    states.load(RUN)
    assert cost() == (1, 2, 0), "the fact and the look"
    states.load(RUN)
    assert cost() == (2, 2, 0), "the look and the count, however many facts there are"
    claim(states, [latch("a", outcome=outcome())], entry=entry("open"))
    assert cost() == (3, 1, 3)
    claim(states, [latch("a", outcome=outcome())], entry=entry("open"))
    assert cost() == (5, 2, 3), "the writes that were refused are not paid for"
    states.close(RUN, ["a"])
    assert cost() == (1, 0, 1)
    states.set_control(RUN, Control(version=1, hold=ACT))
    assert cost() == (1, 0, 1)
    states.load(RUN)
    assert cost() == (2, 4, 0), "the new latch, the look, control and the count"
    states.take_lapsed(NOW, 30, 10)
    states.due_runs(NOW, 10)
    assert cost() == (2, 2, 0), "a sweep that finds nothing"


def test_a_verb_of_batches_costs_what_the_decision_record_says(watched: Watched) -> None:
    batches, cost = watched.store.batches, watched.cost
    begin(batches)
    assert cost() == (1, 0, 1 + len(CHUNKS) + len(ORDERS))
    batches.batch(BATCH.id)
    cost()
    batches.chunks(BATCH.id, [1])
    assert cost() == (1, 1, 0)
    batches.ordered(BATCH.id, 1)
    assert cost() == (1, 1, 0)
    record(batches, report(0))
    assert cost() == (4, 2, 3)
    record(batches, report(1))
    cost()
    record(batches, report(2))
    assert cost() == (5, 2 + len(CHUNKS), 3), "who may be the last looks at every marker"
    batches.load(BATCH.id)
    assert cost() == (2, 1 + len(CHUNKS), 0)
    batches.look_at(BATCH.id, later(50), later(0))
    assert cost() == (2, 1, 1)
    batches.look_at(BATCH.id, later(500), later(0))
    assert cost() == (1, 1, 0), "an earlier look is still to come"
    batches.seal(SEAL, later(9), LEASE_S)
    assert cost() == (1, 0, 2)
    batches.close(SEAL)
    assert cost() == (1, 0, 3)
    batches.history(BATCH.like, 20)
    assert cost() == (1, 1, 0)
    batches.latest("nba", 20)
    assert cost() == (1, 1, 0)


# --- an answer that gets lost ---------------------------------------------------------------------------


def test_a_claim_whose_answer_got_lost_still_knows_its_latches(watched: Watched) -> None:
    watched.calls.lose_next_answer = True
    latches = [latch("a", outcome=outcome()), latch("b")]
    assert claim(watched.store.states, latches, entry=entry("open")) == tuple(latches)
    assert watched.store.states.load(RUN).latches == tuple(latches)
    assert watched.store.states.ledger(RUN) == (entry("open"),)


def test_a_claim_of_nothing_whose_answer_got_lost_stands_once(watched: Watched) -> None:
    watched.calls.lose_next_answer = True
    assert claim(watched.store.states, [], entry=entry("wait")) == ()
    assert watched.store.states.ledger(RUN) == (entry("wait"),)


def test_a_fact_whose_answer_got_lost_is_there_once(watched: Watched) -> None:
    watched.calls.lose_next_answer = True
    assert not watched.store.states.append(fact(1)), "as if another had brought it"
    assert watched.store.states.load(RUN).facts == (fact(1),)


def test_the_last_report_whose_answer_got_lost_is_still_the_last(watched: Watched) -> None:
    begin(watched.store.batches)
    record(watched.store.batches, report(0))
    record(watched.store.batches, report(1))
    watched.calls.lose_next_answer = True
    assert record(watched.store.batches, report(2)) == 0


def test_a_seal_whose_answer_got_lost_is_taken_up_when_its_lease_lapses(watched: Watched) -> None:
    begin(watched.store.batches)
    watched.calls.lose_next_answer = True
    assert watched.store.batches.seal(SEAL, later(9), LEASE_S) is None
    assert watched.store.batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) == SEAL


def test_a_look_whose_answer_got_lost_is_set(watched: Watched) -> None:
    begin(watched.store.batches)
    watched.calls.lose_next_answer = True
    watched.store.batches.look_at(BATCH.id, later(50), later(0))
    assert watched.store.batches.next_at() == later(50)


def test_a_close_whose_answer_got_lost_stands(watched: Watched) -> None:
    begin(watched.store.batches)
    watched.store.batches.seal(SEAL, later(9), LEASE_S)
    watched.calls.lose_next_answer = True
    watched.store.batches.close(SEAL)
    assert watched.store.batches.next_at() is None
    assert watched.store.batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) is None


# --- who comes between --------------------------------------------------------------------------------


def test_a_hold_that_was_answered_before_a_claim_commits_wins(watched: Watched, other: Firestore) -> None:
    answered = meanwhile(watched, lambda: other.states.set_control(RUN, Control(version=1, hold=ACT)))
    claimed = claim(watched.store.states, [latch("a")])
    assert claimed is None or not answered.before
    assert answered.by.result(60), "the operator is heard in either case"
    assert len(watched.store.states.load(RUN).latches) == len(claimed or ())


def test_a_seal_that_was_answered_before_a_report_commits_wins(watched: Watched, other: Firestore) -> None:
    begin(watched.store.batches)
    answered = meanwhile(watched, lambda: other.batches.seal(SEAL, later(9), LEASE_S))
    left = record(watched.store.batches, report(0))
    assert left is None or not answered.before
    assert answered.by.result(60) == SEAL
    assert len(other.batches.reports(BATCH.id)) == int(left is not None)


def test_a_seal_that_comes_between_a_look_leaves_its_lease(watched: Watched, other: Firestore) -> None:
    begin(watched.store.batches)
    watched.calls.before_commit = lambda: other.batches.seal(SEAL, later(9), LEASE_S)
    watched.store.batches.look_at(BATCH.id, later(10), later(9))
    assert watched.store.batches.next_at() == later(9 + LEASE_S)


@pytest.mark.parametrize(("first_s", "second_s"), [(50, 40), (40, 50)])
def test_of_two_looks_that_meet_the_earlier_stands(
    watched: Watched, other: Firestore, first_s: int, second_s: int
) -> None:
    begin(watched.store.batches)
    watched.calls.before_commit = lambda: other.batches.look_at(BATCH.id, later(second_s), later(0))
    watched.store.batches.look_at(BATCH.id, later(first_s), later(0))
    assert watched.store.batches.next_at() == later(40)


def test_the_close_that_comes_between_stands_though_another_had_taken_up_the_lease(
    watched: Watched, other: Firestore
) -> None:
    begin(watched.store.batches)
    watched.store.batches.seal(SEAL, later(9), LEASE_S)
    assert other.batches.seal(SEAL, later(9 + LEASE_S), LEASE_S) == SEAL
    first = replace(SEAL, reason="the first")
    watched.calls.before_commit = lambda: other.batches.close(first)
    watched.store.batches.close(replace(SEAL, reason="the second"))
    seen = other.batches.load(BATCH.id)
    assert seen is not None
    assert seen.seal == first


def test_who_is_too_late_for_a_lapsed_latch_takes_the_next(watched: Watched, other: Firestore) -> None:
    claim(other.states, [latch("a"), latch("b")])
    lapsed, taken = NOW + timedelta(seconds=30), list[Latch]()
    watched.calls.before_commit = lambda: taken.extend(other.states.take_lapsed(lapsed, 30, 1))
    taken.extend(watched.store.states.take_lapsed(lapsed, 30, 1))
    assert sorted(each.key for each in taken) == ["a", "b"]


@dataclass
class Answer:
    """Of what another does meanwhile."""

    by: Future[object] = field(default_factory=Future)
    before: bool = False  # it came before the commit was sent


def meanwhile(watched: Watched, act: Callable[[], object]) -> Answer:
    """Another begins when the next commit is about to be sent, and gets the time to end unless he has to wait."""
    answer = Answer()

    def act_now() -> None:
        thread = threading.Thread(target=lambda: answer.by.set_result(act()))
        thread.start()
        thread.join(UNHINDERED_S)
        answer.before = answer.by.done()

    watched.calls.before_commit = act_now
    return answer


# --- what a load must not miss --------------------------------------------------------------------------


def test_a_fact_that_appears_behind_a_newer_one_is_not_missed(watched: Watched) -> None:
    states = watched.store.states
    states.append(fact(1))
    states.append(fact(2))
    assert len(states.load(RUN).facts) == 2
    states.append(fact(3))
    (newest,) = [
        each for each in watched.store.database.client.collection_group("records").stream() if each.id.endswith("3")
    ]
    newest.reference.update({"at": newest.get("at") - timedelta(minutes=5)})  # a slow commit's server time
    assert {each.completion.report for each in states.load(RUN).facts} == {1, 2, 3}


# --- limits and errors ----------------------------------------------------------------------------------


def test_what_no_document_can_hold_is_refused_in_words_and_nothing_is_written(watched: Watched) -> None:
    large = replace(BATCH, shared="x" * BODY_MAX)
    with pytest.raises(FirestoreRecordError, match=rf"batch {BATCH.id}: has \d+ bytes.*holds {BODY_MAX}"):
        begin(watched.store.batches, large)
    assert begin(watched.store.batches)


def test_the_largest_body_fits_into_a_document(watched: Watched) -> None:
    room = BODY_MAX - 1_000
    assert begin(watched.store.batches, replace(BATCH, shared="x" * room))


def test_a_batch_of_twenty_thousand_units_goes_out_in_commits_that_a_request_holds(watched: Watched) -> None:
    inputs = '{"points": [' + ", ".join(["20.5"] * 100) + "]}"
    chunks = chunked([Unit(id=f"u{number:05d}", inputs=inputs) for number in range(20_000)])
    great = replace(BATCH, chunks=400, units=20_000, chunk_units=50, shared="x" * 90_000)
    orders = first_orders(great)
    assert watched.store.batches.create(great, chunks, orders)
    assert sum(watched.calls.sizes) > 4 * COMMIT_MAX
    assert max(watched.calls.sizes) < 4 * 1024 * 1024
    assert len(set(watched.calls.written)) == 1 + 400 + 20
    assert watched.cost() == (8, 1, 1 + 400 + 20)
    assert watched.store.batches.chunks(BATCH.id) == chunks
    watched.calls.clear()
    assert not watched.store.batches.create(great, chunks, orders)
    assert watched.cost() == (1, 1, 0), "who finds it there writes no chunk ahead"


def test_chunks_written_ahead_stand_though_an_answer_got_lost(watched: Watched) -> None:
    chunks = chunked([Unit(id=f"u{number:03d}", inputs="x" * 8_000) for number in range(400)])
    watched.calls.lose_next_answer = True
    assert watched.store.batches.create(replace(BATCH, chunks=8, units=400, chunk_units=50), chunks, ())
    assert watched.store.batches.chunks(BATCH.id) == chunks


def test_a_record_of_another_version_is_named_and_blames_no_message(watched: Watched) -> None:
    states = watched.store.states
    states.append(fact(1))
    (found,) = [
        each
        for each in watched.store.database.client.collection_group("records").stream()
        if each.id.startswith("fact.")
    ]
    found.reference.update({"body": b'{"new": 1}'})
    with pytest.raises(FirestoreRecordError, match=r"load: found a record .*unknown key 'new'"):
        states.load(RUN)


def test_a_database_that_refuses_is_named_with_verb_and_remedy(watched: Watched) -> None:
    watched.calls.refuse_next = True
    with pytest.raises(FirestoreUnavailable, match=r"Firestore test-.*, append: PermissionDenied: .*Check that"):
        watched.store.states.append(fact(1))
    assert watched.store.states.append(fact(1)), "the next call tries again"
