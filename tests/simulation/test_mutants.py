"""Would the simulator notice? Every planted bug is caught, and the code as it is has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulation.scenarios import SCENARIOS
from tests.simulation.mutants import Mutant, copy_code, plant, play
from tests.simulation.planted import PLANTED


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    copy = copy_code(tmp_path)
    plant(mutant, copy)
    said = play(mutant.caught_by, copy)
    assert not said.startswith("error:"), said
    assert json.loads(said), f"{mutant.caught_by} did not notice"


def test_the_copy_without_a_bug_breaks_no_rule(tmp_path: Path) -> None:
    copy = copy_code(tmp_path)
    for scenario in ("crash-after-commit", "zombie-writes", "simulate 1 1"):
        assert play(scenario, copy) == "[]"


def test_every_scenario_has_a_bug_that_only_it_is_asked_to_catch() -> None:
    without = set(SCENARIOS) - {mutant.caught_by for mutant in PLANTED}
    assert not without
