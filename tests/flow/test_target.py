"""Which parts a command works on, as a person types it; none of these tests starts any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest

from orchestration.cli.options import while_it_runs
from orchestration.stack import STACK_FILE, StackFailed, alone_in, running_stack
from shared.config.settings import emulator_home
from tests.flow.cli import tipoff

HOSTS = {
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9",
}


@contextmanager
def running(home: Path, content: str | None = None, *, data: str = "/data/nba") -> Iterator[None]:
    """As `tipoff up` in another process would be, once it is ready; or with this in its file."""
    folder = emulator_home(home)
    folder.mkdir(parents=True)
    with alone_in(folder):
        told = {"environment": {**HOSTS, "TIPOFF_TARGET": "emulators", "TIPOFF_DATA": data}}
        (folder / STACK_FILE).write_text(json.dumps(told) if content is None else content, encoding="utf-8")
        yield


def test_a_running_stack_is_found_by_its_home(tmp_path: Path) -> None:
    with running(tmp_path):
        assert running_stack(tmp_path)["PUBSUB_EMULATOR_HOST"] == "127.0.0.1:9"


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"environment": 3}'], ids=repr)
def test_a_stack_file_that_says_nothing_means_none_is_ready(tmp_path: Path, content: str) -> None:
    with running(tmp_path, content):
        assert running_stack(tmp_path) == {}


def test_a_stack_that_was_killed_does_not_run_and_the_next_one_may(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    assert (emulator_home(tmp_path) / STACK_FILE).exists()  # nobody took it away
    assert running_stack(tmp_path) == {}
    with alone_in(emulator_home(tmp_path)):
        assert running_stack(tmp_path) == {}


def test_two_stacks_in_a_home_cannot_be(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(StackFailed, match="another command runs a stack here; stop it"):
        alone_in(emulator_home(tmp_path)).__enter__()


def test_without_emulators_every_name_is_said_with_the_remedy(tmp_path: Path) -> None:
    ended = tipoff("status", "nba", "--date", "2024-01-15", "--home", str(tmp_path), "--target", "emulators")
    assert ended.returncode == 2
    assert (
        f"--target emulators: no `tipoff up` runs in {tmp_path}, and the environment names no emulators" in ended.stderr
    )
    assert ", ".join(HOSTS) in ended.stderr
    assert "start `tipoff up`, or `make emulators`" in ended.stderr


def test_on_google_cloud_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    ended = tipoff("explain", "nba.2024-01-15.overnight.1", "--home", str(tmp_path), "--target", "gcp")
    assert ended.returncode == 2
    assert "GOOGLE_CLOUD_PROJECT=''" in ended.stderr
    assert "TIPOFF_EXPORTS='' is not in a bucket" in ended.stderr


def test_a_stack_that_reads_other_data_is_not_asked_for_a_run(tmp_path: Path, season: Path) -> None:
    arguments = ("--date", "2025-10-25", "--mode", "overnight", "--data", str(season), "--home", str(tmp_path))
    with running(tmp_path):
        ended = tipoff("run", "nba", *arguments, "--target", "emulators")
    assert ended.returncode == 2
    assert f"--data {season}: the functions that `tipoff up` runs here read /data/nba" in ended.stderr


def test_a_command_whose_stack_ends_says_so_at_once(tmp_path: Path) -> None:
    """Its emulators' clients would try to reach them for minutes."""

    def work() -> None:
        with ExitStack() as stack:
            stack.enter_context(running(tmp_path))
            with while_it_runs(tmp_path):
                stack.close()
                Event().wait(60)
                raise AssertionError("nothing has woken it")

    with pytest.raises(StackFailed, match="has ended, and the state of its runs with it; start it"):
        work()


def test_a_person_who_interrupts_a_command_beside_a_stack_is_not_told_of_the_stack(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(KeyboardInterrupt), while_it_runs(tmp_path):
        raise KeyboardInterrupt


def test_a_second_stack_in_a_home_is_refused(tmp_path: Path, season: Path) -> None:
    with running(tmp_path):
        ended = tipoff("up", "--data", str(season), "--home", str(tmp_path))
    assert ended.returncode == 2
    assert f"--home {tmp_path}: `tipoff up` runs there already, with /data/nba; stop it" in ended.stderr


def test_without_java_a_stack_says_how_to_get_it(tmp_path: Path, season: Path) -> None:
    ended = tipoff("up", "--data", str(season), "--home", str(tmp_path), PATH=str(tmp_path))
    assert ended.returncode == 2
    assert "no java on PATH; install Java 17" in ended.stderr
