"""Runs of many dates: their order on the wall clock, and which may go beside each other."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config.nba import NBA
from shared.core.model import RunKey
from shared.core.order import Turn, ready, turns

FIRST = date(2024, 1, 15)
MODES = {mode.name: mode for mode in NBA.modes}


def of(*modes: str, days: int = 3, first: date = FIRST) -> tuple[Turn, ...]:
    return turns(NBA, [MODES[name] for name in modes], first, first + timedelta(days=days - 1))


def names(found: tuple[Turn, ...]) -> list[str]:
    """Each as day of the month and mode."""
    return [f"{turn.run.date.day} {turn.run.mode}" for turn in found]


def test_runs_stand_in_the_order_in_which_they_start_on_the_wall_clock() -> None:
    assert names(of("overnight", "same_day", "tomorrow")) == [
        "15 tomorrow",  # on the 14th at 17:00
        "15 same_day",
        "16 tomorrow",
        "15 overnight",  # on the 16th at 06:00
        "16 same_day",
        "17 tomorrow",
        "16 overnight",
        "17 same_day",
        "17 overnight",
    ]


def test_the_order_in_which_modes_are_named_changes_nothing() -> None:
    assert of("tomorrow", "overnight", "same_day") == of("overnight", "same_day", "tomorrow")


def test_one_date_alone_has_one_run_of_each_mode() -> None:
    assert names(of("overnight", "same_day", days=1)) == ["15 same_day", "15 overnight"]


def test_the_order_holds_over_both_changes_of_the_clock() -> None:
    for sunday in (date(2024, 3, 10), date(2024, 11, 3)):
        found = names(of("overnight", "same_day", first=sunday - timedelta(days=1)))
        assert [name.split()[1] for name in found] == ["same_day", "overnight"] * 3


ALL = ("overnight", "same_day", "tomorrow")
CASES = {
    "ahead runs of different dates go together": (ALL, [], [], 4, ["15 tomorrow", "16 tomorrow"]),
    "of one date the later one waits": (("same_day", "tomorrow"), [], ["15 tomorrow"], 2, ["16 tomorrow"]),
    "of one date the later one starts when the earlier one has ended": (
        *(ALL, ["15 tomorrow"], [], 4),
        ["15 same_day", "16 tomorrow"],
    ),
    "what writes history waits for all before it": (ALL, ["15 tomorrow", "15 same_day"], ["16 tomorrow"], 4, []),
    "what writes history goes alone": (ALL, ["15 tomorrow", "15 same_day", "16 tomorrow"], [], 4, ["15 overnight"]),
    "all behind it wait for what writes history": (
        *(ALL, ["15 tomorrow", "15 same_day", "16 tomorrow"], ["15 overnight"], 4),
        [],
    ),
    "nights come one after the other": (("overnight",), ["15 overnight"], [], 4, ["16 overnight"]),
    "without nights all dates are independent": (
        ("same_day",),
        [],
        [],
        4,
        ["15 same_day", "16 same_day", "17 same_day"],
    ),
    "no more run than are allowed": (("same_day",), [], ["15 same_day"], 2, ["16 same_day"]),
    "nothing starts where as many run as are allowed": (("same_day",), [], ["15 same_day", "16 same_day"], 2, []),
    "nothing is left to start": (("same_day",), ["15 same_day", "16 same_day", "17 same_day"], [], 2, []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_start_now(case: str) -> None:
    modes, ended, running, at_most, expected = CASES[case]
    by_name = {name: turn for turn in of(*modes) for name in names((turn,))}
    pending = [turn for name, turn in by_name.items() if name not in (*ended, *running)]
    assert names(ready(pending, [by_name[name] for name in running], at_most)) == expected


def allowed(turn: Turn, others: set[Turn]) -> bool:
    """The rule itself, pair by pair."""
    earlier = [other for other in others if other < turn]
    return not any(turn.writes_history or other.writes_history or other.run.date == turn.run.date for other in earlier)


@given(st.data(), st.sets(st.sampled_from(ALL), min_size=1), st.integers(1, 5), st.integers(1, 4))
def test_in_any_order_of_ending_all_run_once_and_each_only_when_it_may(
    data: st.DataObject, modes: set[str], days: int, at_most: int
) -> None:
    pending, running, began = set(of(*modes, days=days)), set[Turn](), list[RunKey]()
    while pending or running:
        for turn in ready(pending, running, at_most):
            assert allowed(turn, pending | running)
            pending.remove(turn)
            running.add(turn)
            began.append(turn.run)
        assert 0 < len(running) <= at_most
        if len(running) < at_most:
            assert not any(allowed(turn, pending | running) for turn in pending), "it could have started"
        running.remove(data.draw(st.sampled_from(sorted(running))))
    assert len(began) == len(set(began)) == days * len(modes)
