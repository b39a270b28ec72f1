"""The home when it is not one, cannot be written, is full, or is someone else's at the moment."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.core.model import RunKey
from tests.flow import seasons
from tests.flow.cli import command, environment, run_arguments, tipoff, tipoff_json
from tests.flow.snapshot import Snapshot, faults, snapshot
from tests.house.tree import ROOT

# --- not a home -------------------------------------------------------------------------------------


def refused(ended: subprocess.CompletedProcess[str], *said: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    for words in said:
        assert words in ended.stderr


def test_a_state_file_that_is_none_is_refused_and_left_alone(season: Path, night: date, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_text("minutes of a meeting\n" * 100)
    remedy = (str(path), "is not an SQLite database", "Name another home")
    refused(tipoff(*run_arguments(season, night, tmp_path)), *remedy)
    refused(tipoff("status", "nba", "--date", night, "--home", tmp_path), *remedy)
    refused(tipoff("explain", f"nba.{night}.overnight.1", "--home", tmp_path), *remedy)
    assert path.read_text().startswith("minutes of a meeting")


def test_a_warehouse_that_is_none_is_refused_and_left_alone(season: Path, night: date, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_text("minutes of a meeting\n" * 1000)
    refused(tipoff(*run_arguments(season, night, tmp_path)), str(path), "not a DuckDB file", "move the file away")
    assert path.read_text().startswith("minutes of a meeting")


def test_a_home_that_is_a_file_is_refused(season: Path, night: date, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    refused(tipoff(*run_arguments(season, night, home)), str(home), "name a folder")
    refused(tipoff("status", "nba", "--date", night, "--home", home), str(home), "not a folder")
    refused(tipoff("config", "check", TIPOFF_HOME=str(home)), "TIPOFF_HOME", str(home), "unset it")


@pytest.mark.parametrize("place", ["/proc/tipoff", "/sys/tipoff/home"])
def test_a_home_that_cannot_be_made_is_refused(season: Path, night: date, place: str) -> None:
    refused(tipoff(*run_arguments(season, night, Path(place))), place, "name a folder that you may write to")


# --- full -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eve(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has published the night before."""
    home = tmp_path_factory.mktemp("eve")
    before = max(row["game_date"] for row in seasons.read(season, "games") if row["game_date"] < str(night))
    ended = tipoff(*run_arguments(season, date.fromisoformat(before), home))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return home


@pytest.fixture(scope="module")
def undisturbed(season: Path, night: date, eve: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return finish(season, night, shutil.copytree(eve, tmp_path_factory.mktemp("undisturbed"), dirs_exist_ok=True))


def finish(season: Path, night: date, home: Path) -> Snapshot:
    """The same command once there is room: it publishes."""
    ended = tipoff(*run_arguments(season, night, home))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return without_attempts(snapshot(home, RunKey("nba", night, "overnight")))


def without_attempts(found: Snapshot) -> Snapshot:
    """A processor that could not write comes again, and says so."""
    documents: Mapping[str, Mapping[str, Any]] = found["documents"]
    counted = ("attempt", "fence")
    kept = {name: {k: v for k, v in body.items() if k not in counted} for name, body in documents.items()}
    return found | {"documents": kept}


def run_with_room_for(kilobytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """No file may grow beyond this; Python ignores the signal, so writers get an error, as from a full disk."""
    limited = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", *command(*arguments)]
    return subprocess.run(limited, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment())


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 150, 300, 450, 700])
def test_a_disk_that_fills_up_during_a_night_loses_nothing(
    season: Path, night: date, eve: Path, undisturbed: Snapshot, tmp_path: Path, kilobytes: int
) -> None:
    home = shutil.copytree(eve, tmp_path / "home")
    ended = run_with_room_for(kilobytes, *run_arguments(season, night, home), "--patience", 0)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    assert "Check free space" in said
    assert list(faults(finish(season, night, home), undisturbed)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [40, 200, 600])
def test_a_disk_that_fills_up_while_the_history_is_loaded_loses_nothing(
    season: Path, night: date, undisturbed: Snapshot, tmp_path: Path, kilobytes: int
) -> None:
    home = tmp_path / "home"
    ended = run_with_room_for(kilobytes, *run_arguments(season, night, home))
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Check free space" in ended.stderr
    found = finish(season, night, home)
    assert found["done_decisions"] == 1
    alone = {name: body for name, body in undisturbed["documents"].items() if str(night) in name}
    assert {name: body for name, body in found["documents"].items() if str(night) in name} == alone


@pytest.mark.slow
def test_exports_that_cannot_be_written_for_a_while_are_published_by_the_same_command(
    season: Path, night: date, eve: Path, undisturbed: Snapshot, tmp_path: Path
) -> None:
    home = shutil.copytree(eve, tmp_path / "home")
    exports, aside = home / "exports", home / "aside"
    exports.rename(aside)
    exports.write_text("")  # no folder can be made below it
    ended = tipoff(*run_arguments(season, night, home), "--patience", 0)
    assert ended.returncode == 1
    told = tipoff_json("explain", f"nba.{night}.overnight.1", "--phase", "export", "--home", home)
    assert {str(exports) in each["why"] for each in told["phases"][0]["processors"]} == {True}
    exports.unlink()
    aside.rename(exports)
    assert list(faults(finish(season, night, home), undisturbed)) == []


KILLED_WHILE_PUTTING = """
import resource, signal, sys
from pathlib import Path
from shared.adapters.objects import FolderObjects
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
FolderObjects(Path(sys.argv[1])).put("nba/2025-10-30/results.json", b"x" * 100_000)
"""


def test_what_a_writer_killed_while_putting_left_is_removed_by_the_next(
    season: Path, night: date, eve: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(eve, tmp_path / "home")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_PUTTING, home / "exports"], cwd=ROOT, env=environment(), capture_output=True
    )
    assert ended.returncode == -signal.SIGXFSZ, ended.stderr
    assert list(home.rglob("*.tmp"))
    assert finish(season, night, home)["temporaries"] == []


# --- someone else's ---------------------------------------------------------------------------------


def begun(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )


def test_of_two_runs_of_one_night_at_once_the_second_waits_and_finds_it_published(
    season: Path, night: date, eve: Path, undisturbed: Snapshot, tmp_path: Path
) -> None:
    home = shutil.copytree(eve, tmp_path / "home")
    both = [begun(*run_arguments(season, night, home), "--wait", 60) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("Waiting for process" in out for out, _ in said) == 1
    assert list(faults(finish(season, night, home), undisturbed)) == []


def test_who_does_not_wait_is_told_who_is_writing(season: Path, night: date, tmp_path: Path) -> None:
    home, late = tmp_path / "home", seasons.copy(season, tmp_path / "season")
    seasons.take_results(late, seasons.games_of(late, night))
    first = begun(*run_arguments(late, night, home), "--patience", 600)
    try:
        assert first.stdout is not None
        while "OPEN" not in first.stdout.readline():
            assert first.poll() is None
        second = tipoff(*run_arguments(late, night, home), "--wait", 0)
        assert second.returncode == 2
        assert f"process {first.pid} (tipoff run nba --date {night} --mode overnight" in second.stderr
        assert "--wait SECONDS" in second.stderr
    finally:
        first.kill()
        first.communicate()
