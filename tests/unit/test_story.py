"""A run's story: what its decisions saw, what is not whole and since when, and whether it would be decided so again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.fold import look_back
from shared.core.model import Control
from shared.core.story import lacks, recomputed, saw
from tests.unit.plans import Day, critical, minute, minutes, optional, phase, plan

OF = plan(
    phase("raw", critical("a"), critical("b"), optional("c", refresh_until=None)),
    phase("out", critical("z"), deadline=120, readings=("health",)),
)
PUBLISHED = "+5 a done; +6 b done; +20 z done"
DAY = Day(OF).play(f"+2 read health=hold; {PUBLISHED}; +19 read health=pass", until=30)


def test_a_decision_saw_what_was_there_then_and_not_what_came_later() -> None:
    seen = [
        f"{entry.decision} {entry.gate}: {told.done} of {told.planned}, {[r.name for r in told.against]}"
        for entry in DAY.ledger
        for told in [saw(DAY.plan, DAY.facts, list(DAY.latches.values()), entry)]
    ]
    assert seen == [
        "open raw: 0 of 0, []",  # it has nothing on its left
        "wait out: 2 of 3, ['health']",
        "open out: 2 of 3, []",
        "done end: 1 of 1, []",
    ]


@pytest.mark.parametrize(
    ("script", "at", "told"),
    [
        pytest.param("", 3, ["raw a +0", "raw b +0", "raw c +0"], id="ordered and not heard of"),
        pytest.param("+5 a failed", 5.5, ["raw a +5", "raw b +0", "raw c +0"], id="reported"),
        pytest.param(
            "+5 a failed; +6 look", 7, ["raw a +5", "raw b +0", "raw c +0"], id="tried again, since it failed"
        ),
        pytest.param("+5 a done; +6 b done; +7 skip c", 7.5, ["raw c +7", "out z +7"], id="skipped"),
        pytest.param("+4 force out; +5 z done", 6, ["raw a +0", "raw b +0", "raw c +0"], id="of a forced gate too"),
        pytest.param("+5 a done; +6 b done; +7 c done; +8 z done", 9, [], id="nothing"),
    ],
)
def test_what_is_not_whole_is_so_since_the_last_thing_that_happened_to_it(
    script: str, at: float, told: list[str]
) -> None:
    found = lacks(Day(OF).play(script, until=at).view(minute(at)))
    assert [f"{lack.phase} {lack.standing.processor.name} {minutes(lack.since)}" for lack in found] == told


def test_of_a_phase_that_waits_for_another_it_is_so_since_it_opened() -> None:
    of = plan(phase("raw", critical("a"), critical("b", needs=("a",))), phase("out", critical("z"), deadline=120))
    found = lacks(Day(of).play("", until=5).view(minute(5)))
    assert [(lack.standing.processor.name, lack.since) for lack in found] == [("a", minute(0)), ("b", minute(0))]


def test_every_decision_comes_out_as_it_was_and_a_changed_one_is_found() -> None:
    latches = list(DAY.latches.values())
    for entry in DAY.ledger:
        again = recomputed(DAY.plan, DAY.facts, latches, entry)
        assert (again.equal, again.differs, again.lost) == (True, (), ())
    forged = replace(DAY.ledger[2], reason="because", missing=())
    assert recomputed(DAY.plan, DAY.facts, latches, forged).differs == ("reason", "missing")


def test_a_decision_that_saw_what_nobody_has_any_more_is_not_equal() -> None:
    entry = DAY.ledger[-1]
    again = recomputed(DAY.plan, DAY.facts[1:], list(DAY.latches.values()), entry)
    assert again.lost == (DAY.facts[0].completion.id,)
    assert not again.equal


def test_a_decision_goes_by_what_had_been_said_then() -> None:
    day = Day(OF).play("+4 hold until=+50; +5 a done", until=20)
    held = next(entry for entry in day.ledger if entry.decision == "block")
    day.control = Control()
    assert recomputed(day.plan, day.facts, list(day.latches.values()), held).equal
    assert look_back(day.plan, day.facts, day.latches.values(), held).control.hold
