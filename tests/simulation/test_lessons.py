"""Is every failure that LESSONS names played here, and caught where it is planted again?"""

from __future__ import annotations

import pytest

from simulation.scenarios import SCENARIOS
from tests.simulation.planted import PLANTED

LESSONS = {
    1: ["same-day-one-of-five"],
    2: ["unknown-names"],
    3: ["not-yet"],
    4: ["crash-after-commit", "crash-before-close"],
    5: ["last-completion-redelivered"],
    6: ["twin-writers"],
    7: ["racing-join", "twin-pending"],
    8: ["killed-counts"],
    9: ["late-after-quorum"],
    10: ["backfill-looks-fresh"],
    11: ["green-on-incomplete"],
    12: ["nothing-today"],
    13: ["one-game-stuck"],
    14: ["three-silent-days"],
    15: ["quality-gate-down"],
    16: ["mid-day-threshold-change"],
    17: ["not-yet"],
    18: ["endless-retry"],
    19: ["mute-units"],
    20: ["stuck-at-zero"],
    21: ["late-units"],
    22: ["shrinking-batch"],
    23: ["concurrent-consolidation"],
    24: ["zombie-writes"],
    25: ["coordinator-restart"],
    27: ["phase-order", "asked-too-early"],
    28: ["empty-export"],
    29: ["poison-event", "swallowed-error"],
    30: ["crash-after-mark"],
    31: ["slow-ack"],
    32: ["redeploy-gap", "asked-and-lost"],
    33: ["from-the-future"],
    34: ["skewed-dst"],
    35: ["quota-wall"],
    36: ["quota-wall"],
    37: ["hot-document"],
    38: ["contract-break"],
    40: ["wrong-image", "flapping-health"],
    41: ["alert-sink-down"],
    42: ["flapping-health"],
    43: ["paused-watchdog"],
    48: ["silent-gap"],
}
"""By row, the scenarios that it names."""


@pytest.mark.parametrize("row", LESSONS)
def test_a_lesson_has_its_scenarios_and_each_a_bug_that_it_catches(row: int) -> None:
    caught_by = {mutant.caught_by for mutant in PLANTED}
    for name in LESSONS[row]:
        assert name in SCENARIOS
        assert name in caught_by


def test_at_least_twenty_five_bugs_of_core_service_and_coordinator_are_planted() -> None:
    rooms = ("shared/core/", "shared/service.py", "predictions/coordinator/")
    assert sum(mutant.file.startswith(rooms) for mutant in PLANTED) >= 25
