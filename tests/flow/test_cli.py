"""The command as docs/cli.md promises it: help, JSON forms, exit codes, and what a person is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestration.cli import show, up
from orchestration.stack import Process, Stack, Wanted
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.batch import (
    Batch,
    ChunkReport,
    Ordered,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    chunked,
)
from shared.core.messages import completion_message
from shared.core.model import Completion, RunKey, Start, Status
from tests.flow import seasons
from tests.flow.cli import (
    command,
    documented,
    environment,
    form,
    on_a_terminal,
    run_arguments,
    started,
    tipoff,
    tipoff_json,
    until,
)
from tests.flow.days import ANN, NOON, Days, succeed
from tests.flow.snapshot import faults, snapshot
from tests.house.tree import ROOT

PROCESSOR: dict[str, Any] = {
    "processor": "str",
    "why": "str",
    "share": "float",
    "reported_at": "str",
    "missing_units": [],
    "timeout_s": "int",
    "timeout_from": "str",
}
PROCESSOR |= dict.fromkeys(("critical", "done", "whole", "ended"), "bool")
DECISION: dict[str, Any] = {"attempt": "int", "missing": [], "completeness": "float"}
DECISION |= dict.fromkeys(("at", "gate", "decision", "reason", "next_look_at"), "str")
COMMANDS = (
    *(
        "run",
        "backfill",
        "replay",
        "report",
        *("hold", "release", "cancel", "skip", "force", "override", "retry", "recompute"),
        "up",
        "demo",
        "dlq",
        "batch",
        "status",
        "explain",
        "simulate",
        "cost",
        "config",
    ),
    "bench",
)
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


@pytest.fixture(scope="module")
def published(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one published night; for readers."""
    home = tmp_path_factory.mktemp("published")
    ended = tipoff(*run_arguments(season, night, home))
    assert ended.returncode == 0, ended.stderr
    return home


@pytest.fixture(scope="module")
def unfinished(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The season before the night's games were over: its run has to wait."""
    folder = seasons.copy(season, tmp_path_factory.mktemp("unfinished"))
    seasons.take_results(folder, seasons.games_of(folder, night))
    return folder


# --- help and forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_a_person_can_type(name: str) -> None:
    helped = tipoff(name, "--help")
    assert helped.returncode == 0
    assert f"example:\n  tipoff {name}" in helped.stdout


def test_help_of_the_whole_names_every_command_and_every_exit_code() -> None:
    helped = tipoff("--help")
    assert helped.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^ +{name}(?: |$)", helped.stdout, re.MULTILINE)
    assert re.findall(r"^  ([0-9])  ", helped.stdout, re.MULTILINE) == ["0", "1", "2"]


def test_without_a_command_it_shows_its_help_and_exits_with_2() -> None:
    helped = tipoff()
    assert helped.returncode == 2
    assert "usage: tipoff" in helped.stdout


def test_the_json_of_status_has_the_documented_form(published: Path, night: date) -> None:
    status = tipoff_json("status", "nba", "--date", night, "--home", published)
    assert form(status) == form(documented("tipoff status"))
    [run] = status["runs"]
    assert run["run"] == f"nba.{night}.overnight.1"
    assert [phase["phase"] for phase in run["phases"]] == [
        *("scrape", "raw", "analytics", "precompute", "grading", "export")
    ]
    assert {form(phase["next_look_at"]) for phase in run["phases"]} == {"NoneType"}


def test_the_json_of_run_is_that_of_status_with_this_run_alone(season: Path, night: date, tmp_path: Path) -> None:
    told = tipoff_json(*run_arguments(season, night, tmp_path))
    assert told == tipoff_json("status", "nba", "--date", night, "--home", tmp_path)


def test_the_json_of_explain_has_the_documented_form(published: Path, night: date) -> None:
    told = tipoff_json("explain", f"nba.{night}.overnight.1", "--home", published)
    [run] = documented("tipoff status")["runs"]
    assert run.keys() | {"reason", "next_look_at", "decisions"} <= told.keys()
    assert run["phases"][0].keys() | {"processors"} <= told["phases"][0].keys()
    assert form(told["phases"][0]["processors"][0]).items() >= PROCESSOR.items()
    assert form(told["decisions"][0]).items() >= DECISION.items()
    assert told["decisions"][-1]["decision"] == "done"


def test_explain_of_one_phase_tells_of_that_phase_alone(published: Path, night: date) -> None:
    told = tipoff_json("explain", f"nba.{night}.overnight.1", "--phase", "raw", "--home", published)
    assert [phase["phase"] for phase in told["phases"]] == ["raw"]
    assert {decision["gate"] for decision in told["decisions"]} == {"raw", "analytics"}


def test_the_shipped_configuration_has_no_problem() -> None:
    checked = tipoff("config", "check", "--json")
    assert checked.returncode == 0
    told = json.loads(checked.stdout)
    assert told["problems"] == []
    assert re.fullmatch("[0-9a-f]{12}", told["config_hashes"]["nba"])
    assert tipoff("config", "check").returncode == 0


def test_the_same_seed_simulates_the_same_days() -> None:
    first, second = (tipoff("simulate", "--days", 1, "--seed", 3, "--json") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert {"days", "seed", "runs", "violations", "faults", "trace_digest"} <= json.loads(first.stdout).keys()


# --- terminals and pipes ----------------------------------------------------------------------------


def test_a_pipe_gets_no_escape_codes(published: Path, season: Path, night: date) -> None:
    for arguments in (
        ("status", "nba", "--date", night, "--home", published),
        ("explain", f"nba.{night}.overnight.1", "--home", published),
        run_arguments(season, night, published),
        ("config", "check"),
    ):
        ended = tipoff(*arguments)
        assert ended.stdout
        assert "\x1b" not in ended.stdout + ended.stderr


def test_a_terminal_gets_colour_unless_no_color_is_set(published: Path, night: date) -> None:
    arguments = ("status", "nba", "--date", night, "--home", published)
    assert COLOUR.search(on_a_terminal(*arguments))
    assert not COLOUR.search(on_a_terminal(*arguments, NO_COLOR="1"))


def test_a_reader_that_goes_away_causes_no_traceback(published: Path, night: date) -> None:
    process = subprocess.Popen(
        command("explain", f"nba.{night}.overnight.1", "--home", published),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in said
    assert "Exception ignored" not in said


# --- wrong usage ------------------------------------------------------------------------------------

RUN = ("--data", "nowhere", "--home", "unused")
WRONG = {
    "an unknown pipeline of a run": (("run", "nfl", "--date", "2025-10-31", "--mode", "overnight", *RUN), "nfl", "nba"),
    "an unknown pipeline of status": (("status", "nfl", "--date", "2025-10-31"), "nfl", "nba"),
    "an unknown pipeline of explain": (("explain", "nfl.2025-10-31.overnight.1"), "nfl", "nba"),
    "a date that is none": (("status", "nba", "--date", "31.10.2025"), "31.10.2025", "YYYY-MM-DD"),
    "a date in another form": (("status", "nba", "--date", "2024-W03-2"), "2024-W03-2", "YYYY-MM-DD"),
    "a home without a name": (("status", "nba", "--date", "2025-10-31", "--home", ""), "--home", "the current one"),
    "data without a name": (("backfill", "nba", "--from", "2025-10-31", "--data", " "), "--data", "the current one"),
    "a reason that moves the cursor": (
        ("replay", "nba.2025-10-31.overnight.1", "--reason", "a\x1b[2Jb"),
        *("--reason", "printable characters"),
    ),
    "a reason that is a story": (
        ("replay", "nba.2025-10-31.overnight.1", "--reason", "so " * 300),
        *("--reason", "at most 500"),
    ),
    "a measurement of data that are not there": (("bench", "night", "--data", "nowhere"), "nowhere", "point --data at"),
    "a run that is not written like one": (
        ("explain", "yesterday"),
        "yesterday",
        "pipeline.YYYY-MM-DD.mode.generation",
    ),
    "an unknown scenario": (("simulate", "--scenario", "meteor"), "meteor", "racing-join"),
    "an episode that these worlds do not have": (
        ("simulate", "--days", "60", "--world-days", "30", "--episode", "2"),
        *("--episode 2", "episodes 0 to 1"),
    ),
    "a generation that is none": (
        ("run", "nba", "--date", "2025-10-31", "--mode", "overnight", *RUN, "--generation", "0"),
        *("0", "1 to 9999"),
    ),
    "patience below zero": (
        ("run", "nba", "--date", "2025-10-31", "--mode", "overnight", *RUN, "--patience", "-1"),
        *("-1", "0 to 86400"),
    ),
    "an unknown log level": (("config", "check"), "LOUD", "INFO"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_refused_with_value_and_remedy(case: str, tmp_path: Path) -> None:
    arguments, value, remedy = WRONG[case]
    env = {"LOG_LEVEL": "LOUD"} if "log level" in case else {}
    ended = tipoff(*arguments, cwd=tmp_path, **env)
    assert ended.returncode == 2
    assert value in ended.stderr
    assert remedy in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir()), "nothing was done"


@pytest.mark.parametrize("mode", ["weekly", "", " overnight", "overnight,same_day"])
def test_an_unknown_mode_is_refused_and_the_known_ones_are_named(
    season: Path, night: date, tmp_path: Path, mode: str
) -> None:
    ended = tipoff(*run_arguments(season, night, tmp_path / "home", mode=mode))
    assert ended.returncode == 2
    assert f"--mode {mode!r}" in ended.stderr
    assert "overnight, same_day, tomorrow" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_an_unknown_run_is_refused_and_says_where_runs_are_listed(published: Path, night: date) -> None:
    ended = tipoff("explain", f"nba.{night}.overnight.7", "--home", published)
    assert ended.returncode == 2
    assert f"nba.{night}.overnight.7" in ended.stderr
    assert f"tipoff status nba --date {night}" in ended.stderr


def test_an_unknown_phase_is_refused_and_the_planned_ones_are_named(published: Path, night: date) -> None:
    ended = tipoff("explain", f"nba.{night}.overnight.1", "--phase", "cooking", "--home", published)
    assert ended.returncode == 2
    assert "--phase 'cooking'" in ended.stderr
    assert "scrape, raw, analytics" in ended.stderr


def test_a_date_without_runs_is_not_published(published: Path) -> None:
    ended = tipoff("status", "nba", "--date", "2025-10-22", "--home", published)
    assert ended.returncode == 1
    assert "No run of nba for 2025-10-22" in ended.stdout


def test_a_home_where_nothing_has_run_is_not_made_by_looking(tmp_path: Path) -> None:
    assert tipoff("status", "nba", "--date", "2025-10-22", "--home", tmp_path / "home").returncode == 1
    ended = tipoff("explain", "nba.2025-10-22.overnight.1", "--home", tmp_path / "home")
    assert ended.returncode == 2
    assert "nothing has run there yet" in ended.stderr
    assert not (tmp_path / "home").exists()


# --- runs -------------------------------------------------------------------------------------------


def without_slowest(text: str) -> list[str]:
    """A phase that takes under a second takes its own time on each machine."""
    return [re.sub(r"\w+ (under )?\d+ s \(usually \d+ min\)", "PHASE", line.rstrip()) for line in text.splitlines()]


def shown_in_docs(command: str, number: int) -> str:
    """What docs/cli.md shows of what a command prints."""
    section = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition(f"## {command}")[2]
    return section.split("```")[2 * number + 1].lstrip("\n")


def test_the_demo_predicts_grades_and_predicts_again_labelled_synthetic(tmp_path: Path) -> None:
    ended = tipoff("demo", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    first, graded, second = re.findall(r"^(nba\.\S+) is published \(synthetic\)", ended.stdout, re.MULTILINE)
    assert [RunKey.parse(run).mode for run in (first, graded, second)] == ["same_day", "overnight", "same_day"]
    assert RunKey.parse(first).date == RunKey.parse(graded).date < RunKey.parse(second).date
    grades = ended.stdout.split(f"What {first} predicted, as {graded} graded it:")[1]
    for system in ("moving average", "matchup adjusted", "ridge", "ensemble"):
        assert re.search(rf"^{system} +\d+ +\d+\.\d+", grades, re.MULTILINE)
    exports = tmp_path / ".tipoff" / "demo" / "exports"
    assert [len(list(exports.rglob(name))) for name in ("results.json", "tonight.json")] == [1, 2]
    for document in exports.rglob("*.json"):
        assert json.loads(document.read_text())["synthetic"] is True
        assert f"{document.relative_to(tmp_path)} (" in ended.stdout
    asked = next(line.split() for line in ended.stdout.splitlines() if line.strip().startswith("tipoff explain"))
    assert tipoff(*asked[1:], cwd=tmp_path).returncode == 0, "what it tells to type works"
    for number, day in enumerate(((), ("--date", "2025-12-03"))):
        told = tipoff("health", "--home", ".tipoff/demo", *day, cwd=tmp_path, COLUMNS="200")
        shown = told.stdout.replace(str(tmp_path), "/home/ann")
        assert without_slowest(shown) == without_slowest(shown_in_docs("tipoff health", number))
    again = tipoff("demo", "--json", cwd=tmp_path)
    assert [run["run"] for run in json.loads(again.stdout)["runs"]] == [first, graded, second]


def test_loading_the_history_counts_what_was_loaded(season: Path, night: date, tmp_path: Path) -> None:
    dates = {row["game_date"] for row in seasons.read(season, "games") if row["game_date"] < str(night)}
    ended = tipoff(*run_arguments(season, night, tmp_path))
    assert f"{len(dates)} dates with games" in ended.stdout


def test_a_published_night_run_again_changes_nothing(season: Path, night: date, tmp_path: Path) -> None:
    arguments, run = run_arguments(season, night, tmp_path), RunKey("nba", night, "overnight")
    assert tipoff(*arguments).returncode == 0
    before, files = snapshot(tmp_path, run), {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert tipoff(*arguments).returncode == 0
    assert list(faults(snapshot(tmp_path, run), before)) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == files


def test_a_new_generation_is_a_second_run_and_deletes_nothing(season: Path, night: date, tmp_path: Path) -> None:
    arguments = run_arguments(season, night, tmp_path)
    assert tipoff(*arguments).returncode == 0
    first = tipoff_json("explain", f"nba.{night}.overnight.1", "--home", tmp_path)
    tables = snapshot(tmp_path, RunKey("nba", night, "overnight"))["tables"]

    assert tipoff(*arguments, "--generation", 2).returncode == 0
    runs = tipoff_json("status", "nba", "--date", night, "--home", tmp_path)["runs"]
    assert [(run["run"], run["state"]) for run in runs] == [
        (f"nba.{night}.overnight.1", "published"),
        (f"nba.{night}.overnight.2", "published"),
    ]
    again = tipoff_json("explain", f"nba.{night}.overnight.1", "--home", tmp_path)
    assert again == {**first, "newest": f"nba.{night}.overnight.2"}
    assert snapshot(tmp_path, RunKey("nba", night, "overnight", 2))["tables"] == tables
    [results] = tmp_path.rglob("results.json")
    assert json.loads(results.read_text())["run"] == f"nba.{night}.overnight.2"

    assert tipoff_json(*arguments)["runs"][0]["run"] == f"nba.{night}.overnight.2", "the latest is gone on with"


def test_a_look_again_that_finds_nothing_says_so(published: Path, season: Path, night: date, tmp_path: Path) -> None:
    home = shutil.copytree(published, tmp_path / "home")
    looked = tipoff(*run_arguments(season, night, home), "--look-again")
    assert looked.returncode == 0
    assert "have looked again: nothing to publish anew" in looked.stdout
    assert "looked again" not in tipoff(*run_arguments(season, night, home)).stdout


def test_what_a_reason_says_is_one_line_and_its_json_is_read_in_any_locale(
    published: Path, night: date, tmp_path: Path
) -> None:
    home = shutil.copytree(published, tmp_path / "home")
    run = f"nba.{night}.overnight.1"
    assert tipoff("replay", run, "--from", "export", "--reason", "für\n  später", "--home", home).returncode == 0
    for arguments in (("status", "nba", "--date", night), ("explain", f"nba.{night}.overnight.2")):
        ended = tipoff(*arguments, "--home", home, "--json", PYTHONIOENCODING="ascii")
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert told.get("runs", [told])[-1]["labels"]["reason"] == "für später"
        assert tipoff(*arguments, "--home", home, PYTHONIOENCODING="ascii").returncode == 0


# --- one home, one kind of data ---------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "backfill", "replay"])
def test_real_data_are_refused_in_a_home_of_synthetic_runs(
    published: Path, season: Path, night: date, tmp_path: Path, command: str
) -> None:
    home, folder = shutil.copytree(published, tmp_path / "home"), seasons.copy(season, tmp_path / "season")
    (folder / "SYNTHETIC").unlink()
    said = {
        "run": ("nba", "--date", night),
        "backfill": ("nba", "--from", night, "--to", night),
        "replay": (f"nba.{night}.overnight.1", "--reason", "x"),
    }[command]
    before = tipoff_json("status", "nba", "--date", night, "--home", home)
    ended = tipoff(command, *said, "--data", folder, "--home", home)
    assert ended.returncode == 2
    assert f"--data {folder} is real" in ended.stderr
    assert f"synthetic data in {season}" in ended.stderr
    assert "use another --home" in ended.stderr
    assert tipoff_json("status", "nba", "--date", night, "--home", home) == before


def test_another_folder_of_the_same_kind_is_told_and_used(
    published: Path, season: Path, night: date, tmp_path: Path
) -> None:
    home, folder = shutil.copytree(published, tmp_path / "home"), seasons.copy(season, tmp_path / "season")
    ended = tipoff(*run_arguments(folder, night, home))
    assert ended.returncode == 0
    assert f"were made from {season}; this one reads {folder}." in ended.stdout
    assert "were made from" not in tipoff(*run_arguments(season, night, home)).stdout


# --- while a run is under way -----------------------------------------------------------------------


@pytest.fixture
def waiting(unfinished: Path, night: date, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that stands by for its games, and its home."""
    process = started(*run_arguments(unfinished, night, tmp_path), "--patience", 600)
    until(process, "OPEN")
    yield process, tmp_path
    process.kill()
    process.communicate()


def test_status_and_explain_answer_while_another_process_holds_the_home(
    waiting: tuple[subprocess.Popen[str], Path], night: date
) -> None:
    process, home = waiting
    told = tipoff("status", "nba", "--date", night, "--home", home, "--json")
    assert told.returncode == 1, "not published yet"
    assert json.loads(told.stdout)["runs"][0]["state"] == "running"
    explained = tipoff("explain", f"nba.{night}.overnight.1", "--home", home)
    assert explained.returncode == 0
    assert "boxscores" in explained.stdout
    assert "Nobody is at work" not in explained.stdout
    assert process.poll() is None, "and it has not been disturbed"


def test_of_a_killed_run_status_and_explain_say_what_goes_on_with_it(
    waiting: tuple[subprocess.Popen[str], Path], unfinished: Path, night: date
) -> None:
    process, home = waiting
    process.kill()
    process.communicate()
    for arguments in (("status", "nba", "--date", night), ("explain", f"nba.{night}.overnight.1")):
        said = tipoff(*arguments, "--home", home).stdout
        [command] = re.findall("Nobody is at work in this home; `tipoff (.*)` goes on with it", said)
        assert command == " ".join(map(str, run_arguments(unfinished, night, home)))
    assert tipoff(*command.split(), "--patience", 0).returncode == 1, "what it says to type can be typed"
    assert tipoff(*command.split(), "--patience", 0, "--generation", 2).returncode == 1
    first, second = re.findall("`tipoff (.*)` goes on", tipoff("status", "nba", "--date", night, "--home", home).stdout)
    assert ("--generation 1" in first, "--generation" in second) == (True, False), "the newest needs no number"


def test_a_document_of_another_run_is_listed_with_its_name(season: Path, night: date, tmp_path: Path) -> None:
    tipoff(*run_arguments(season, night, tmp_path))
    assert ", by " not in tipoff(*run_arguments(season, night, tmp_path)).stdout
    said = tipoff(*run_arguments(season, night, tmp_path, mode="same_day")).stdout
    assert re.search(rf"results.json \([0-9,]+ bytes, by nba.{night}.overnight.1\)", said)
    assert re.search(r"tonight.json \([0-9,]+ bytes\)", said)


def test_status_answers_at_any_moment_of_a_run(season: Path, night: date, tmp_path: Path) -> None:
    process = started(*run_arguments(season, night, tmp_path))
    codes = []
    while process.poll() is None:
        told = tipoff("status", "nba", "--date", night, "--home", tmp_path)
        assert told.stderr == ""
        codes.append(told.returncode)
    said = process.communicate()
    assert process.returncode == 0, said
    assert set(codes) <= {0, 1}


@pytest.mark.parametrize("after", ["home", "gate to raw", "gate to analytics", "gate to export"])
def test_control_c_loses_nothing_and_the_same_command_goes_on(
    season: Path, night: date, tmp_path: Path, after: str
) -> None:
    arguments = run_arguments(season, night, tmp_path)
    process = started(*arguments)
    until(process, after)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "nothing is lost" in said
    assert "Traceback" not in said
    assert tipoff(*arguments).returncode == 0
    assert tipoff_json("status", "nba", "--date", night, "--home", tmp_path)["runs"][0]["state"] == "published"


def test_control_c_ends_a_run_that_only_stands_by(waiting: tuple[subprocess.Popen[str], Path]) -> None:
    process, _ = waiting
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "nothing is lost" in said


def test_the_demo_refuses_a_home_that_is_not_its_own(season: Path, night: date, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    refused = tipoff("demo", "--home", home)
    assert refused.returncode == 2
    assert "is not the demo's own" in refused.stderr
    assert tipoff("status", "nba", "--date", night, "--home", home).returncode == 0


def test_a_run_says_which_data_it_was_given_and_where_they_are(published: Path, season: Path, night: date) -> None:
    told = tipoff_json("explain", f"nba.{night}.overnight.1", "--home", published)
    assert told["labels"] == {"data": "synthetic sample season", "synthetic": "yes", "folder": str(season.resolve())}


def test_what_is_synthetic_is_labelled_where_it_is_shown(season: Path, night: date, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    assert "(synthetic)" in tipoff("status", "nba", "--date", night, "--home", home).stdout
    assert "(synthetic)" in tipoff("explain", f"nba.{night}.overnight.1", "--home", home).stdout


def test_explain_shows_a_report_of_a_processor_that_nobody_planned(season: Path, night: date, tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = RunKey("nba", night, "overnight")
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    stranger = Completion(run=run, phase="raw", processor="stranger", attempt=1, report=1, status=Status.SUCCESS)
    store = Sqlite(home / "state.sqlite")
    store.bus.publish([completion_message(stranger, "nba-phase2-raw-complete")], datetime.now(timezone.utc))
    store.close()
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    told = tipoff_json("explain", run, "--home", home)
    assert [item["reason"] for item in told["quarantined"]] == [f"raw/stranger is not planned in {run}"]
    assert "raw/stranger is not planned" in tipoff("explain", run, "--home", home).stdout


# --- a batch under way ------------------------------------------------------------------------------

PREDICTED = RunKey("nba", date(2031, 11, 1), "same_day")
UNITS = [Unit(id=f"p{number:02}", inputs="{}") for number in range(70)]  # two chunks


@pytest.fixture
def fanned_out(tmp_path: Path) -> Iterator[tuple[Sqlite, Batch]]:
    """A run whose predictions are ordered, and a batch of two chunks whose first has been reported."""
    store = Sqlite(tmp_path / wiring.STATE_FILE)
    days = Days(store)
    days.service.start_run(PREDICTED)
    days.finish(PREDICTED, up_to="predictions")
    [start] = days.ordered
    chunks = chunked(UNITS)
    settled = (UnitResult(unit="new", state=UnitState.SKIPPED, reason="no_history"),)
    batch = Batch(
        start=start,
        created_at=NOON,
        deadline_at=NOON + timedelta(minutes=30),
        chunks=len(chunks),
        units=len(UNITS),
        shared="{}",
        settled=settled,
    )
    orders = [Ordered(chunk=c.number, number=1, tries=1, places=tuple(range(len(c.units))), at=NOON) for c in chunks]
    assert store.batches.create(batch, chunks, orders)
    passing = UnitResult(unit="p00", state=UnitState.FAILED, reason="out of memory", again=True)
    hopeless = UnitResult(unit="p01", state=UnitState.FAILED, reason="no [minutes]")
    done = [UnitResult(unit=unit.id, state=UnitState.DONE) for unit in chunks[0].units[2:]]
    report = ChunkReport(start=start, chunk=0, number=1, results=(passing, hopeless, *done))
    assert store.batches.record(report, rest=[0], ended=False, at=NOON) == 2
    yield store, batch
    store.close()


def test_explain_says_how_far_a_batch_is_and_why_units_are_not_done(
    fanned_out: tuple[Sqlite, Batch], tmp_path: Path
) -> None:
    _, batch = fanned_out
    arguments = ("explain", PREDICTED, "--phase", "predictions", "--home", tmp_path)
    said = tipoff(*arguments).stdout
    assert f"batch {batch.id} is open: 50 of 71 units have ended, " in said
    assert "48 done, 1 skipped, 1 failed; 0 of 2 chunks, deadline 2031-11-01 12:30:00 UTC (fallback), next look" in said
    assert "1 skipped: no_history (new)" in said
    assert "1 failed: no [minutes] (p01)" in said
    assert "1 to be tried again: out of memory (p00)" in said
    [phase] = tipoff_json(*arguments)["phases"]
    [told] = phase["batches"]
    counts = {"units": 71, "ended": 50, "done": 48, "skipped": 1, "failed": 1, "expired": 0}
    assert told.items() >= {"batch": batch.id, **counts, "chunks": 2, "chunks_ended": 0, "sealed_at": None}.items()
    assert {"state": "failed", "reason": "no [minutes]", "units": ["p01"]} in told["causes"]


def test_explain_of_a_batch_names_its_run(fanned_out: tuple[Sqlite, Batch], tmp_path: Path) -> None:
    _, batch = fanned_out
    said = tipoff("explain", batch.id, "--home", tmp_path)
    assert (said.returncode, f"{batch.id} is a batch; its run is {PREDICTED}" in said.stderr) == (2, True)


def test_up_tells_a_script_where_the_coordinator_is_and_what_to_kill(
    season: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack(Wanted(home=tmp_path, data=str(season), commit="c", calendar=False))
    name, url = "prediction_coordinator", "http://127.0.0.1:38111"
    stack.processes[name] = Process(name=name, command=[], environment={}, log=tmp_path / "log", url=url)
    stack.environment |= {"TIPOFF_HOME": str(tmp_path)}
    up.told(Console(width=160), stack, wiring.open_feed(season), NBA, begins=True)
    said = capsys.readouterr().out
    assert f"Coordinator: {url} (docs/http.md)." in said
    assert f"Ctrl-C or kill {os.getpid()} stops everything." in said


def test_status_says_how_far_the_batch_of_an_open_phase_is(fanned_out: tuple[Sqlite, Batch], tmp_path: Path) -> None:
    said = tipoff("status", "nba", "--date", PREDICTED.date, "--home", tmp_path).stdout
    assert re.search(
        r"^predictions +running +0 of 1 \(50 of 71 units, through at about \d\d:\d\d:\d\d UTC\)", said, re.MULTILINE
    )


def test_what_nobody_reported_has_expired_once_the_batch_is_sealed(
    fanned_out: tuple[Sqlite, Batch], tmp_path: Path
) -> None:
    store, batch = fanned_out
    seal = Seal(batch=batch.id, kind=SealKind.EXPIRED, reason="the deadline", at=NOON)
    assert store.batches.seal(seal, NOON, 60)
    said = tipoff("explain", PREDICTED, "--home", tmp_path).stdout
    assert f"batch {batch.id} is consolidating after 0.00 s: 49 of 71 units are there; the deadline" in said
    assert "48 done, 1 skipped, 2 failed, 20 expired; 2 of 2 chunks" in said
    assert "Ended 2031-11-01 12:00:00 UTC: the deadline." in said
    assert "20 expired: nobody reported it in time (p50, p51, p52, p53 and 16 more)" in said


def test_explain_shows_what_held_a_batch_up_and_what_somebody_has_to_look_into(
    fanned_out: tuple[Sqlite, Batch], tmp_path: Path
) -> None:
    store, batch = fanned_out
    again = Days(store).service.again(PREDICTED, "predictions", "predictions", ANN)
    assert isinstance(again, Start)
    silent = replace(batch, start=again, created_at=NOON - timedelta(days=9_000))  # the machine's clock is before NOON
    poor = UnitResult(unit="p99", state=UnitState.FAILED, reason="quality: 20% of its inputs are there, 50% are needed")
    order = Ordered(chunk=0, number=1, tries=1, places=tuple(range(50)), at=silent.created_at)
    assert store.batches.create(replace(silent, settled=(poor,)), chunked(UNITS), [order])
    seal = Seal(batch=batch.id, kind=SealKind.EXPIRED, reason="the deadline", at=NOON)
    assert store.batches.seal(seal, NOON, 60)
    store.batches.close(replace(seal, completion=succeed(batch.start), incident="batch is stalled"))
    said = tipoff("explain", PREDICTED, "--phase", "predictions", "--home", tmp_path).stdout
    assert f"batch {batch.id} has expired after 0.00 s" in said
    assert "INCIDENT: batch is stalled" in said
    assert "1 failed: quality: 20% of its inputs are there, 50% are needed (p99)" in said
    assert "straggler: order 1 of chunk 0, since" in said
    assert "(p00, p01, p02, p03, p04 and 45 more)" in said


def test_a_day_without_games_is_explained_without_a_gate_that_nobody_asked(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / wiring.STATE_FILE)
    days = Days(store, act=lambda start: succeed(start, found={"games": (), "next_games": ()}))
    days.service.start_run(PREDICTED)
    days.finish(PREDICTED)
    store.close()
    said = tipoff("explain", PREDICTED, "--home", tmp_path).stdout
    assert "is nothing_expected" in said
    assert ": , " not in said


def test_a_look_that_comes_soon_is_told_in_seconds() -> None:
    assert show.moment(NOON + timedelta(seconds=20), NOON).endswith("(in 20 s)")
    assert show.moment(NOON + timedelta(minutes=20), NOON).endswith("(in 20 min)")
    assert show.moment(NOON - timedelta(seconds=20), NOON).endswith("(now)")
    assert show.moment(NOON - timedelta(minutes=20), NOON).endswith("(due 20 min ago)")
