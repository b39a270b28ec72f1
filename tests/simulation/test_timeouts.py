"""Weeks in one world: limits are learnt from runs that faults befell, and cut off work that is alive, to no harm."""

from __future__ import annotations

from simulation.dice import chance
from simulation.faults import Faults
from simulation.simulate import FIRST
from simulation.world import World

DAYS = 16  # twice the runs that a history needs


def test_limits_that_are_learnt_break_no_rule() -> None:
    slow = Faults(slow=0.05)  # one in twenty goes on beyond its limit, and writes when another has been ordered
    world = World(chance("weeks", slow), FIRST)
    world.forget_before()
    world.schedule(DAYS)
    world.go_on()
    assert not world.violations
    assert world.faults["slow"] > 10
    plans = [story.plan for run, story in world.stories.items() if run not in world.forgotten]
    limits = [processor.timeout_from for plan in plans for phase in plan.phases for processor in phase.processors]
    assert sum(each.startswith("history of") for each in limits) > 100, "after a week a limit is a learnt one"
