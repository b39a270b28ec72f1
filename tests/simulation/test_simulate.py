"""Does the shipped service keep its promises through published incidents and random faults, and is a seed a world?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.scenarios import SCENARIOS
from simulation.simulate import Report, run_scenario, simulate


def broken(report: Report) -> str:
    return "\n".join(f"{v.run} {v.rule}: {v.detail} at {v.at}" for v in report.violations)


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_incident_does_not_happen_here(name: str) -> None:
    assert not broken(run_scenario(name))


def test_thirty_days_of_random_faults_break_no_rule() -> None:
    report = simulate(30, 42)
    assert not broken(report)
    assert report.runs >= 90
    kinds = {"lost", "doubled", "late", "crash", "error", "stall", "fail", "hang", "mute", "die", "slow", "partial"}
    kinds |= {"silent", "killed", "passing", "unmentioned", "tardy", "poor"}  # of batches
    assert kinds <= set(report.faults), "a fault that never happens tests nothing"
    assert report.published > report.runs / 2
    assert report.nothing_expected


def test_the_same_seed_gives_the_same_world_whatever_the_hash_seed() -> None:
    code = "import json; from simulation.simulate import simulate; print(json.dumps(simulate(2, 5).to_json()))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert json.loads(said[0]) == simulate(2, 5).to_json()


def test_another_seed_gives_another_world() -> None:
    assert simulate(1, 1).digest != simulate(1, 2).digest


def test_the_number_of_processes_makes_no_difference() -> None:
    assert simulate(6, 3, processes=1) == simulate(6, 3, processes=2)


def test_a_report_says_in_json_what_broke_and_how_often_what_went_wrong() -> None:
    said = json.loads(json.dumps(simulate(1, 1).to_json()))
    assert {"days", "seed", "runs", "violations", "faults", "trace_digest"} <= said.keys()
