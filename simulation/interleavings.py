"""Every order in which concurrent handlers may meet at the store, tried one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from greenlet import GreenletExit, getcurrent, greenlet

MEETING = ("append", "load", "claim")
"""Calls whose order can be seen. A plan never changes, a message that is published or acknowledged and a latch that is
closed are nobody else's: no order of these needs to be tried."""

COMMUTE = ({"append"}, {"load"}, {"append", "claim"})
"""Two loads see the same, two facts stand whichever came first, and a claim reads no facts: either order of such a pair
leads to the same, so one is enough (sleep sets, Godefroid 1996)."""

ORDERS_MAX = 5_000  # two handlers have a few hundred; beyond this the search itself is broken

Choose = Callable[[Mapping[int, str]], int | None]
"""Which handler goes on, of those alive with the call each is about to make; None: this order need not be finished."""


class Meeting:
    """Handlers that go on one at a time, each up to its next call that another could notice."""

    def __init__(self, handlers: Sequence[Callable[[], None]], choose: Choose) -> None:
        self._hub = getcurrent()
        self._alive = {number: greenlet(handler, parent=self._hub) for number, handler in enumerate(handlers)}
        self._next = dict.fromkeys(self._alive, "")
        self._choose = choose

    def before_call(self, verb: str) -> None:
        if verb in MEETING and getcurrent() is not self._hub:
            self._hub.switch(verb)

    def hold(self) -> bool:
        """Until every handler is through; False if the chooser gave this order up."""
        for number in list(self._alive):
            self._go_on(number)
        while self._alive:
            chosen = self._choose(self._next)
            if chosen is None:
                for one in self._alive.values():
                    one.throw(GreenletExit)
                return False
            self._go_on(chosen)
        return True

    def _go_on(self, number: int) -> None:
        verb = self._alive[number].switch()
        if self._alive[number].dead:
            del self._alive[number], self._next[number]
        else:
            self._next[number] = verb


@dataclass(slots=True)
class Fork:
    options: list[int]
    taken: int = 0  # index of the option that this order takes


class Orders:
    """A chooser that takes every path, depth first: the last fork with another option takes that one next time."""

    def __init__(self) -> None:
        self.taken = 0  # orders that are through or given up
        self.left = True
        self._path: list[Fork] = []
        self._begin()

    def _begin(self) -> None:
        self._depth = 0
        self._asleep: dict[int, str] = {}  # what a neighbouring order has tried here, until something touches it

    def __call__(self, options: Mapping[int, str]) -> int | None:
        awake = [number for number in options if number not in self._asleep]
        if not awake:
            return None
        if self._depth == len(self._path):
            self._path.append(Fork(awake))
        fork = self._path[self._depth]
        self._depth += 1
        number = fork.options[fork.taken]
        tried = {other: options[other] for other in fork.options[: fork.taken]}
        self._asleep = {
            other: verb for other, verb in {**self._asleep, **tried}.items() if {verb, options[number]} in COMMUTE
        }
        return number

    def turn(self) -> None:
        """To the next order."""
        self.taken += 1
        assert self.taken < ORDERS_MAX, f"{self.taken} orders"
        while self._path and self._path[-1].taken + 1 == len(self._path[-1].options):
            self._path.pop()
        self.left = bool(self._path)
        if self._path:
            self._path[-1].taken += 1
        self._begin()
