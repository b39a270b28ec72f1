"""Is what breaks a rule made small, and can it be played again? With a bug planted in a copy of the code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.shrink import shrink
from simulation.simulate import episodes, simulate
from tests.simulation.mutants import Mutant, copy_code, plant
from tests.simulation.planted import PLANTED

SHRINK = """
import json, sys
from simulation.shrink import shrink
from simulation.simulate import episodes, simulate
days, seed = int(sys.argv[1]), int(sys.argv[2])
report = simulate(days, seed, processes=1)
again = simulate(days, seed, episode=report.broken[0], processes=1)
shrunk = shrink(episodes(days, seed)[report.broken[0]], tell=lambda _: None)
print(json.dumps([report.to_json(), again.to_json(), shrunk.to_json()]))
"""
SEED = 1  # both break a rule in its first days
BY_NAME = {mutant.name: mutant for mutant in PLANTED}


@pytest.mark.parametrize("name", ["fence-ignores-the-attempt", "an-error-is-swallowed"])
def test_a_failure_shrinks_to_the_few_faults_that_it_needs(name: str, tmp_path: Path) -> None:
    report, again, shrunk = played(BY_NAME[name], tmp_path)
    assert again["violations"] == [each for each in report["violations"] if each in again["violations"]] != []
    assert shrunk["nothing_more_can_go"]
    assert shrunk["days"] <= 2
    assert 1 <= len(shrunk["needs"]) <= 3 < shrunk["faults_at_first"] / 10
    assert any("VIOLATES" in line for line in shrunk["events"])
    assert all(shrunk["run"] in line for line in shrunk["events"])


def played(mutant: Mutant, folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    copy = copy_code(folder)
    plant(mutant, copy)
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHRINK, "5", str(SEED)],
        cwd=copy,
        env={"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    report, again, shrunk = json.loads(done.stdout)
    return report, again, shrunk


def test_what_breaks_nothing_has_nothing_to_shrink() -> None:
    assert shrink(episodes(1, 1)[0], tell=lambda _: None) is None


def test_an_episode_goes_the_same_way_by_itself() -> None:
    whole, part = simulate(11, 3, processes=1), simulate(11, 3, episode=2, processes=1)
    assert (part.days, part.runs) == (1, 3)
    assert part.trace == whole.trace
