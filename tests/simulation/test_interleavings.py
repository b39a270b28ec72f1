"""Does the search try every order, and each only once?"""

from __future__ import annotations

from functools import partial

from simulation.interleavings import Choose, Meeting, Orders


def orders_of(verbs: tuple[tuple[str, ...], ...]) -> list[str]:
    """The distinct orders tried for handlers that make these calls, as text like 'a0 b0 a1'."""
    orders, tried = Orders(), []
    while orders.left:
        order = _meet(verbs, orders)
        if order is not None:
            tried.append(order)
        orders.turn()
    assert len(set(tried)) == len(tried)
    return tried


def _meet(verbs: tuple[tuple[str, ...], ...], choose: Choose) -> str | None:
    seen: list[str] = []

    def handle(name: str, calls: tuple[str, ...]) -> None:
        for number, verb in enumerate(calls):
            meeting.before_call(verb)
            seen.append(f"{name}{number}")

    names = "abc"[: len(verbs)]
    meeting = Meeting([partial(handle, name, calls) for name, calls in zip(names, verbs, strict=True)], choose)
    return " ".join(seen) if meeting.hold() else None


def test_calls_that_see_each_other_are_tried_in_every_order() -> None:
    assert len(orders_of((("claim", "claim"), ("claim", "claim")))) == 6
    assert len(orders_of((("claim",), ("claim",), ("claim",)))) == 6


def test_calls_that_cannot_see_each_other_are_tried_in_one_order() -> None:
    assert len(orders_of((("load", "load"), ("load", "load")))) == 1
    assert len(orders_of((("append",), ("append",)))) == 1


def test_a_read_before_and_after_a_write_are_two_orders() -> None:
    assert sorted(orders_of((("append",), ("load",)))) == ["a0 b0", "b0 a0"]
