"""What holds in every batch, however its workers behave: late, twice, in any order, in part, or never."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.batch import (
    TRIES_MAX,
    Batch,
    BatchRecord,
    ChunkReport,
    Ordered,
    Sealed,
    SealKind,
    UnitResult,
    UnitState,
    decide_batch,
    first_orders,
    follower,
    open_in,
    progress,
    rest_after,
    strange,
    under_way,
)
from shared.core.tally import so_far, tally
from tests.unit.batches import MUTE_S, T0, after, batch_of, chunks_of, failed, passing, report, result, skipped

EVERY_BATCH = settings(max_examples=80, deadline=None, database=None, derandomize=True)
WAKES_MAX = 5_000  # far above what a batch of forty units needs
DELAYS_S = (0, 1, 1, 3, 20, 149, 150, 151, 200, 400, 900, 3_000)

Key = tuple[int, int]  # chunk, number


@dataclass(frozen=True, kw_only=True)
class Luck:
    """How the workers of a batch are."""

    seed: int
    silent: float = 0.0  # share of the orders that nobody reports
    doubled: float = 0.0  # and that two workers do, each in its own way
    again: float = 0.0  # share of the units that fail for a passing reason, at each try
    ended: float = 0.0  # that fail, or are skipped, for good
    mute: float = 0.0  # that a report does not mention
    poison: frozenset[str] = frozenset()  # units that silence whatever order they are in
    delays_s: tuple[int, ...] = (1,)
    hints: float = 1.0  # share of the reports after which somebody looks
    follows: bool = False  # whether a chunk that has ended brings its follower at once


@dataclass
class World:
    """A batch in memory, driven as the coordinator and its workers drive it. Checks each step itself."""

    batch: Batch
    luck: Luck
    in_flight: int
    now: datetime = T0
    ordered: dict[Key, Ordered] = field(default_factory=dict)
    reports: list[ChunkReport] = field(default_factory=list)
    pending: list[tuple[datetime, int, ChunkReport]] = field(default_factory=list)
    seal: Sealed | None = None
    looks: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.luck.seed)
        self.chunks = chunks_of(self.batch)
        self.terminal: set[tuple[int, int]] = set()  # chunk and place of what some report has ended

    # --- one batch -------------------------------------------------------------------------------

    def live(self) -> World:
        """Until it is sealed, and what was still under way has come in."""
        first = first_orders(self.batch, self.in_flight)
        self.check_window(first)
        self.apply(first)
        look_at = self.look()
        for _ in range(WAKES_MAX):
            if self.seal:
                return self
            self.now = min([look_at, *(at for at, _, _ in self.pending)])
            looks = self.now == look_at
            for each in sorted(each for each in self.pending if each[0] <= self.now):
                self.pending.remove(each)
                looks |= self.hear(each[2])
            if looks:
                look_at = self.look()
        raise AssertionError(f"never ends: {self.ordered}")

    def look(self) -> datetime:
        seen = self.seen()
        decided = decide_batch(seen, self.now, self.in_flight)
        shuffled = list(seen.ordered)
        self.random.shuffle(shuffled)
        assert decide_batch(replace(seen, ordered=tuple(shuffled)), self.now, self.in_flight) == decided
        self.looks += 1
        self.count()
        if isinstance(decided, Sealed):
            self.seal = decided
            return self.now
        assert self.now < decided.next_look_at <= self.batch.deadline_at
        self.check_window(decided.orders)
        self.apply(decided.orders)
        return decided.next_look_at

    def seen(self) -> BatchRecord:
        return BatchRecord(batch=self.batch, ordered=tuple(self.ordered.values()), seal=None)

    def apply(self, orders: tuple[Ordered, ...]) -> None:
        for order in orders:
            self.check(order)
            self.ordered[order.chunk, order.number] = order
            self.pending += [
                (order.at + timedelta(seconds=delay_s), self.random.randrange(10**9), said)
                for delay_s, said in self.work(order)
            ]

    # --- its workers -----------------------------------------------------------------------------

    def work(self, order: Ordered) -> list[tuple[int, ChunkReport]]:
        units = [self.chunks[order.chunk].units[place].id for place in order.places]
        if self.luck.poison.intersection(units) or self.random.random() < self.luck.silent:
            return []
        times = 2 if self.random.random() < self.luck.doubled else 1
        return [(self.random.choice(self.luck.delays_s), self.say(order, units)) for _ in range(times)]

    def say(self, order: Ordered, units: list[str]) -> ChunkReport:
        results = [said for unit in units if (said := self.one(unit))]
        self.random.shuffle(results)
        return report(*results, chunk=order.chunk, number=order.number)

    def one(self, unit: str) -> UnitResult | None:
        chance = self.random.random()
        for share, said in ((self.luck.mute, None), (self.luck.again, passing(unit))):
            if chance < share:
                return said
            chance -= share
        if chance < self.luck.ended:
            return self.random.choice((failed(unit), skipped(unit)))
        return result(unit)

    def hear(self, said: ChunkReport) -> bool:
        """Record a report as a worker does: the first of an order stands. Whether somebody looks."""
        order, chunk = self.ordered[said.chunk, said.number], self.chunks[said.chunk]
        assert strange(said, chunk, order) == ""
        if order.reported_at is None:
            rest = rest_after(said, chunk, order)
            self.ordered[said.chunk, said.number] = replace(order, reported_at=self.now, rest=rest)
            self.terminal |= {(order.chunk, place) for place in order.places if place not in rest}
            self.reports.append(said)
        if self.luck.follows and not open_in(each for each in self.ordered.values() if each.chunk == said.chunk):
            behind = follower(self.batch, said.chunk, self.now, self.in_flight)
            if behind and (behind.chunk, behind.number) not in self.ordered:
                self.apply((behind,))
                window = max(self.in_flight, self.batch.chunk_units)
                assert self.flying() <= 2 * window + self.batch.chunk_units, "whoever follows has not seen the whole"
        return self.random.random() < self.luck.hints

    # --- what must hold at each step ---------------------------------------------------------------

    def check(self, order: Ordered) -> None:
        assert (order.chunk, order.number) not in self.ordered
        assert order.at == self.now
        assert order.places
        for place in order.places:
            before = [each for each in self.of(order.chunk) if place in each.places]
            assert order.tries == len(before) + 1 <= TRIES_MAX, "one more try of each unit, and never one too many"
            assert (order.chunk, place) not in self.terminal, "a unit that somebody has ended is ordered no more"
            if order.tries == TRIES_MAX and not before[-1].reported_at:
                assert order.places == (place,), "who may have silenced its neighbours is alone at the last try"
            for each in before:
                assert each.reported_at or each.at + timedelta(seconds=MUTE_S) <= self.now, "nobody is at it"

    def check_window(self, orders: tuple[Ordered, ...]) -> None:
        """More are ordered only while fewer are in flight than may be, the last order alone may exceed it; and no less
        while there is any."""
        flying = self.flying()
        for order in orders:
            assert flying < self.in_flight
            flying += len(order.places)
        known = {each.chunk for each in (*self.ordered.values(), *orders)}
        assert flying >= self.in_flight or known == set(range(self.batch.chunks))

    def flying(self) -> int:
        """Units that somebody is at, so far as anyone knows; counted place by place."""
        last = {(each.chunk, place): each for each in self.sorted() for place in each.places}
        fresh = self.now - timedelta(seconds=MUTE_S)
        return sum(
            each.reported_at is None and each.at > fresh for key, each in last.items() if key not in self.terminal
        )

    def count(self) -> None:
        found, seen = progress(self.seen(), self.now), self.seen()
        assert found.ended + found.under_way + found.to_try_again + found.never_ordered == self.batch.total
        assert found.ended >= len(self.terminal) + len(self.batch.settled)
        assert set(found.stragglers) <= set(under_way(seen))

    def of(self, chunk: int) -> list[Ordered]:
        return [each for each in self.sorted() if each.chunk == chunk]

    def sorted(self) -> list[Ordered]:
        return sorted(self.ordered.values(), key=lambda each: (each.chunk, each.number))

    # --- what came of it ---------------------------------------------------------------------------

    def states(self) -> dict[str, UnitState]:
        ended = tally(self.batch, self.chunks, self.reports).results
        return {unit: each.state for unit, each in ended.items()}

    def places(self) -> set[tuple[int, int]]:
        return {(chunk.number, place) for chunk in self.chunks for place in range(len(chunk.units))}


shapes = st.tuples(st.integers(0, 40), st.integers(1, 20))  # units, and of them in a chunk
shares = st.sampled_from((0.0, 0.1, 0.3, 0.6))


@st.composite
def worlds(draw: st.DrawFn, deadline_s: int | None = None, **certain: object) -> World:
    """Any workers, but for what is certain of them."""
    units, chunk_units = draw(shapes)
    some = {
        "silent": draw(st.sampled_from((0.0, 0.1, 0.3, 0.6, 1.0))),
        "doubled": draw(shares),
        "again": draw(shares),
        "ended": draw(st.sampled_from((0.0, 0.1, 0.3))),
        "mute": draw(st.sampled_from((0.0, 0.1))),
        "poison": frozenset(f"u{number}" for number in draw(st.sets(st.integers(0, 39), max_size=3)) if number < units),
        "delays_s": tuple(draw(st.lists(st.sampled_from(DELAYS_S), min_size=1, max_size=4))),
        "hints": draw(st.sampled_from((0.0, 0.5, 1.0))),
    }
    luck = Luck(seed=draw(st.integers(0, 2**32)), **{**some, **certain})  # type: ignore[arg-type]
    until_s = draw(st.sampled_from((1, 60, 600, 1_800))) if deadline_s is None else deadline_s
    batch = batch_of(units, chunk_units, deadline_at=after(until_s), settled=(skipped("x"),))
    return World(batch, luck, draw(st.integers(1, 50)))


PATIENT_S = 10_000_000  # no deadline: how the batch ends is its own doing


@EVERY_BATCH
@given(worlds().map(World.live))
def test_every_batch_ends_by_its_deadline_and_every_unit_in_one_state(world: World) -> None:
    """What is checked at each step on the way stands in the world itself."""
    assert world.seal
    assert world.now <= world.batch.deadline_at
    assert sorted(world.states()) == sorted([*(unit.id for chunk in world.chunks for unit in chunk.units), "x"])
    if world.seal.kind is SealKind.ENDED:
        assert {(each.chunk, place) for each in world.ordered.values() for place in each.places} == world.places()
        told = {
            (each.chunk, place)
            for each in world.ordered.values()
            for place in each.places
            if each.reported_at and each.tries == TRIES_MAX
        }
        assert world.terminal | told == world.places(), "each unit has ended, or its last try was reported"
    elif world.now < world.batch.deadline_at:
        assert world.seal.kind is SealKind.EXPIRED
        last = [each for each in world.ordered.values() if each.tries == TRIES_MAX and not each.reported_at]
        assert last, "somebody stayed silent at the last try"
        assert all(each.at + timedelta(seconds=MUTE_S) <= world.now for each in last if not_ended(world, each))


def not_ended(world: World, order: Ordered) -> bool:
    return any((order.chunk, place) not in world.terminal for place in order.places)


@EVERY_BATCH
@given(worlds().map(World.live), st.randoms(use_true_random=False))
def test_the_first_terminal_word_on_a_unit_stands(world: World, shuffle: random.Random) -> None:
    """By the number of its order, in whatever order the reports came in."""
    first: dict[str, UnitState] = {"x": UnitState.SKIPPED}
    failing: set[str] = set()
    for said in sorted(world.reports, key=lambda each: (each.chunk, each.number)):
        for each in said.results:
            if each.again:
                failing.add(each.unit)
            else:
                first.setdefault(each.unit, each.state)
    for unit, state in world.states().items():
        assert state == first.get(unit, UnitState.FAILED if unit in failing else UnitState.EXPIRED)
    shuffle.shuffle(world.reports)
    ended, again = so_far(world.batch, world.reports)
    assert {unit: each.state for unit, each in ended.items()} == first
    assert set(again) == failing - set(first)


@EVERY_BATCH
@given(worlds(PATIENT_S, silent=0.0, mute=0.0, again=0.0, poison=frozenset(), delays_s=(1, 20, 149)).map(World.live))
def test_where_every_order_is_reported_each_unit_is_ordered_once(world: World) -> None:
    assert world.seal == Sealed(kind=SealKind.ENDED, reason="every unit has ended")
    assert [each.number for each in world.sorted()] == [1] * len(world.chunks)
    assert len(world.terminal) == world.batch.units


@EVERY_BATCH
@given(worlds(PATIENT_S, silent=0.0, mute=0.0, again=0.0, ended=0.0, delays_s=(1, 20, 149)).map(World.live))
def test_only_the_units_that_kill_their_worker_are_lost(world: World) -> None:
    """And none of their neighbours, whatever chunk they share."""
    assert world.seal
    assert world.seal.kind is (SealKind.EXPIRED if world.luck.poison else SealKind.ENDED)
    lost = {unit for unit, state in world.states().items() if state is UnitState.EXPIRED}
    assert lost == world.luck.poison
    assert set(world.states().values()) <= {UnitState.DONE, UnitState.SKIPPED, UnitState.EXPIRED}


@EVERY_BATCH
@given(worlds(PATIENT_S, silent=1.0).map(World.live))
def test_a_batch_of_which_nothing_is_ever_heard_expires(world: World) -> None:
    """After three tries of each unit, and not as one that has ended."""
    assert world.seal
    units = world.batch.units
    assert world.seal.kind is (SealKind.EXPIRED if units else SealKind.ENDED)
    tries = Counter((each.chunk, place) for each in world.ordered.values() for place in each.places)
    assert tries == dict.fromkeys(world.places(), TRIES_MAX)


@EVERY_BATCH
@given(worlds(PATIENT_S, again=1.0, mute=0.0, silent=0.0, poison=frozenset(), delays_s=(1, 20)).map(World.live))
def test_what_fails_at_every_try_has_failed_after_the_last(world: World) -> None:
    """Together: three orders of each chunk, not one more."""
    assert world.seal
    assert world.seal.kind is SealKind.ENDED
    assert set(world.states().values()) <= {UnitState.FAILED, UnitState.SKIPPED}
    assert len(world.ordered) == TRIES_MAX * len(world.chunks)


@EVERY_BATCH
@given(worlds(follows=True).map(World.live))
def test_followers_change_nothing_but_the_pace(world: World) -> None:
    """Each step is checked; a follower is the first order that a look would have given."""
    assert world.seal
    assert world.now <= world.batch.deadline_at
    if world.seal.kind is SealKind.ENDED:
        assert {(each.chunk, place) for each in world.ordered.values() for place in each.places} == world.places()
