"""Trying again: how long is waited, when it is given up, and with what. Under a clock that only sleeping moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.retry import FullJitter, is_one_of


class Passing(Exception):
    """`asks_s` is what its server wants waited."""

    def __init__(self, text: str = "", *, asks_s: float | None = None) -> None:
        super().__init__(text)
        self.asks_s = asks_s


class Hopeless(Exception):
    pass


class World:
    """Time that passes in sleeps and calls alone; jitter that always draws this share of what it may."""

    def __init__(self, share: float = 1.0, call_s: float = 0.0, wakes_late_s: float = 0.0) -> None:
        self.now = 1_000.0
        self.share = share
        self.call_s = call_s
        self.wakes_late_s = wakes_late_s
        self.slept: list[float] = []
        self.ceilings: list[float] = []
        self.begun: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.wakes_late_s

    def uniform(self, low: float, high: float) -> float:
        assert low == 0.0
        self.ceilings.append(high)
        return self.share * high

    def failing(self, *errors: Exception) -> Callable[[], str]:
        """Raises these in turn, and the last of them for ever."""
        left = list(errors)

        def call() -> str:
            self.begun.append(self.now)
            self.now += self.call_s
            raise left.pop(0) if len(left) > 1 else left[0]

        return call

    def passing_after(self, failures: int, *, asks_s: float | None = None) -> Callable[[], str]:
        left = iter(range(failures))

        def call() -> str:
            self.begun.append(self.now)
            self.now += self.call_s
            if next(left, None) is not None:
                raise Passing(asks_s=asks_s)
            return "done"

        return call


def again(world: World, **given: Any) -> FullJitter:
    usual: dict[str, Any] = {
        "passes": is_one_of(Passing),
        "first_s": 0.1,
        "most_s": 2.0,
        "total_s": 30.0,
        "hint_s": lambda error: error.asks_s,
        "hint_max_s": 5.0,
    }
    return FullJitter(**(usual | given), sleep=world.sleep, clock=lambda: world.now, uniform=world.uniform)


def test_a_call_that_works_is_made_once_and_not_waited_for() -> None:
    world = World()
    assert again(world)(world.passing_after(0))() == "done"
    assert (len(world.begun), world.slept) == (1, [])


def test_a_call_that_works_in_the_end_gives_its_result() -> None:
    world = World()
    assert again(world)(world.passing_after(3))() == "done"
    assert len(world.begun) == 4


def test_arguments_reach_the_call() -> None:
    assert again(World())(lambda a, *, b: (a, b))(1, b=2) == (1, 2)
    assert again(World())(partial(divmod, 7))(2) == (3, 1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_each_wait_is_drawn_from_nothing_up_to_twice_the_ceiling_before(share: float) -> None:
    world = World(share=share)
    again(world)(world.passing_after(8))()
    assert world.ceilings == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert world.slept == pytest.approx([share * ceiling for ceiling in world.ceilings])


def test_a_first_wait_longer_than_the_longest_is_cut() -> None:
    world = World()
    again(world, first_s=9.0)(world.passing_after(2))()
    assert world.ceilings == [2.0, 2.0]


def test_every_call_begins_with_the_first_wait_again() -> None:
    world = World()
    failures = iter([Passing(), Passing(), None, Passing(), None])

    def call() -> None:
        if error := next(failures):
            raise error

    wrapped = again(world)(call)
    wrapped()
    wrapped()
    assert world.ceilings == [0.1, 0.2, 0.1]


@pytest.mark.parametrize("call_s", [0.0, 0.7, 29.0, 31.0])
def test_it_gives_up_with_the_last_error_as_it_was_raised(call_s: float) -> None:
    world = World(call_s=call_s)
    last = Passing("the last")
    with pytest.raises(Passing) as caught:
        again(world)(world.failing(Passing("first"), last) if call_s < 29 else world.failing(last))()
    assert caught.value is last
    assert caught.value.__cause__ is None


@given(
    seed=st.integers(0, 2**32),
    total_s=st.floats(0.0, 60.0),
    call_s=st.floats(0.001, 5.0),
    asks_s=st.none() | st.floats(-10.0, 1e9),
    wakes_late_s=st.floats(0.0, 20.0),
)
def test_no_try_begins_beyond_its_total(
    seed: int, total_s: float, call_s: float, asks_s: float | None, wakes_late_s: float
) -> None:
    world = World(call_s=call_s, wakes_late_s=wakes_late_s)
    drawn = random.Random(seed)
    persistent = FullJitter(
        passes=is_one_of(Passing),
        first_s=0.1,
        most_s=2.0,
        total_s=total_s,
        hint_s=lambda error: getattr(error, "asks_s", None),
        sleep=world.sleep,
        clock=lambda: world.now,
        uniform=drawn.uniform,
    )
    with pytest.raises(Passing):
        persistent(world.failing(Passing(asks_s=asks_s)))()
    assert max(world.begun) <= 1_000.0 + total_s + 1e-6
    assert all(wait >= 0.0 for wait in world.slept)


def test_without_time_there_is_one_try() -> None:
    world = World()
    with pytest.raises(Passing):
        again(world, total_s=0.0)(world.failing(Passing()))()
    assert (len(world.begun), world.slept) == (1, [])


def test_what_does_not_pass_is_raised_at_once() -> None:
    world = World()
    with pytest.raises(Hopeless, match="no"):
        again(world)(world.failing(Hopeless("no")))()
    assert (len(world.begun), world.slept) == (1, [])


def test_what_does_not_pass_is_raised_also_after_tries() -> None:
    world = World()
    with pytest.raises(Hopeless):
        again(world)(world.failing(Passing(), Passing(), Hopeless()))()
    assert len(world.begun) == 3


def test_an_interrupt_is_never_tried_again() -> None:
    tries = []

    def interrupted() -> None:
        tries.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(World(), passes=lambda _: True)(interrupted)()
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("asks_s", "waits_s"),
    [
        pytest.param(3.0, 3.1, id="what a server asks for is waited beside the jitter, lest all come back at once"),
        pytest.param(5.0, 5.1, id="up to the limit"),
        pytest.param(3_600.0, 5.1, id="and no longer"),
        pytest.param(0.0, 0.1, id="nothing asked"),
        pytest.param(-7.0, 0.1, id="a past that is asked for is no time"),
        pytest.param(None, 0.1, id="no hint"),
    ],
)
def test_a_servers_hint(asks_s: float | None, waits_s: float) -> None:
    world = World()
    again(world)(world.passing_after(1, asks_s=asks_s))()
    assert world.slept == [pytest.approx(waits_s)]


def test_a_hint_beyond_the_total_is_not_waited_for() -> None:
    world = World()
    with pytest.raises(Passing):
        again(world, total_s=2.0)(world.failing(Passing(asks_s=3.0)))()
    assert world.slept == []
