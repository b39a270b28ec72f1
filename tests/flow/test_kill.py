"""kill -9 at any moment, then the same command again: it goes on, publishes once in effect, and nothing is twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from shared.core.model import RunKey
from tests.flow.cli import command, environment, run_arguments, tipoff
from tests.flow.snapshot import Snapshot, faults, snapshot
from tests.house.tree import ROOT

CHUNKS = 8  # of the port calls: enough for two cores to end at about the same time
SEEDS = 10
KILLS = 5  # of each seed: 50 in all
KILLS_REAL = 3  # on the real season, where a run takes several times as long
START_S = 0.2  # before it, Python is still importing


def kill_in_turn(season: Path, night: date, part: str, chunk: int = 0, chunks: int = 1) -> dict[str, object]:
    arguments = [season, night, part, chunk, chunks]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.flow.killing", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    report: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return report


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("mode", ["overnight", "same_day"])
def test_a_run_killed_before_any_port_call_is_finished_by_the_same_command(
    season: Path, night: date, mode: str, chunk: int
) -> None:
    report = kill_in_turn(season, night, mode, chunk, CHUNKS)
    assert report["faults"] == []
    calls, tries = report["calls"], report["tries"]
    assert isinstance(calls, int)
    assert tries == len(range(1 + chunk, calls + 1, CHUNKS)) > 20, "all of them, and not a handful"
    met = report["met"]
    assert isinstance(met, list)
    assert {"batches.create", "batches.record", "batches.seal", "warehouse.merge"}.issubset(met) == (mode == "same_day")


@pytest.mark.slow
def test_loading_the_history_killed_before_any_port_call_is_finished_by_the_same_command(
    season: Path, night: date
) -> None:
    report = kill_in_turn(season, night, "history")
    assert report["faults"] == []
    assert report["verbs"] == ["warehouse.create", "warehouse.load", "warehouse.query", "warehouse.replace"]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: what it was asked, how long it took, what it left."""

    data: Path
    day: date
    took_s: float
    left: Snapshot

    @property
    def run(self) -> RunKey:
        return RunKey("nba", self.day, "overnight")

    def arguments(self, home: Path) -> tuple[object, ...]:
        return run_arguments(self.data, self.day, home)


def undisturbed_run(data: Path, day: date, home: Path) -> Undisturbed:
    one = Undisturbed(data, day, 0.0, {})
    began = time.monotonic()
    ended = tipoff(*one.arguments(home))
    took_s = time.monotonic() - began
    assert ended.returncode == 0, ended.stderr
    return Undisturbed(data, day, took_s, snapshot(home, one.run))


@pytest.fixture(scope="module")
def undisturbed(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed_run(season, night, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def undisturbed_real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed_run(real_data, date(2024, 1, 15), tmp_path_factory.mktemp("undisturbed"))


def killed(one: Undisturbed, home: Path, after_s: float) -> bool:
    """Run and kill -9 after so many seconds. False if it ended before."""
    process = subprocess.Popen(
        command(*one.arguments(home)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    try:
        _, said = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL
    assert process.returncode == 0, said.decode()
    return False


def kills_in_a_row(one: Undisturbed, folder: Path, dice: random.Random, kills: int) -> Iterator[Path]:
    """Homes whose runs were killed, this often in all, and then finished by the same command."""
    number = 0
    while kills:
        home = folder / str(number)
        number += 1
        while kills and killed(one, home, dice.uniform(START_S, one.took_s)):
            kills -= 1
        ended = tipoff(*one.arguments(home))
        assert ended.returncode == 0, ended.stderr
        yield home


def assert_nothing_is_lost_or_twice(one: Undisturbed, home: Path) -> None:
    assert list(faults(snapshot(home, one.run), one.left)) == []
    assert tipoff("status", "nba", "--date", one.day, "--home", home).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_command_killed_five_times_at_random_moments_ends_as_if_never_killed(
    undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    for home in kills_in_a_row(undisturbed, tmp_path, random.Random(seed), KILLS):
        assert_nothing_is_lost_or_twice(undisturbed, home)


@pytest.mark.slow
def test_a_command_killed_on_the_real_season_ends_as_if_never_killed(
    undisturbed_real: Undisturbed, tmp_path: Path
) -> None:
    for home in kills_in_a_row(undisturbed_real, tmp_path, random.Random(99), KILLS_REAL):
        assert_nothing_is_lost_or_twice(undisturbed_real, home)
