"""Does every alarm reach whom it is for within two minutes, of virtual time?"""

from __future__ import annotations

import pytest

from simulation.alarms import SAYS, TRIALS, WITHIN, delays

SEEDS = (1,)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name in TRIALS if name != "quiet-day"])
def test_an_injected_fault_reaches_the_endpoint_that_it_is_for_within_two_minutes(name: str, seed: int) -> None:
    trial = TRIALS[name](seed)
    assert trial.alarms
    assert not trial.world.violations
    assert all(alarm.seconds is not None and 0 <= alarm.seconds <= WITHIN.total_seconds() for alarm in trial.alarms)


def test_every_alarm_says_what_it_is_for() -> None:
    assert SAYS.keys() == TRIALS.keys()


def test_the_benchmark_counts_them() -> None:
    figures = delays(7)
    assert figures["violations"] == 0
    assert figures["alarms"] == figures["in_time"] == 16
