"""`tipoff health`: the last day at a glance, on homes of every kind, and where its figures come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from data_processors.nba.runner import create_tables
from orchestration.cli.main import main
from orchestration.report import WRITER
from orchestration.summary import GRADED_DAYS, GRADED_WITHIN, graded
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.calendar import usual_start
from shared.core.model import RunKey, Status
from shared.core.morning import Graded
from shared.ports import Partition
from tests.flow.cli import Said, Type, documented, form
from tests.flow.days import Days, HandClock, succeed

DAY = timedelta(days=1)
NIGHT = RunKey("nba", date(2024, 1, 15), "overnight")
EVENING = RunKey("nba", date(2024, 1, 15), "same_day")


def begins(run: RunKey) -> datetime:
    return usual_start(next(mode for mode in NBA.modes if mode.name == run.mode), run.date, NBA.zone)


@contextmanager
def days_in(home: Path) -> Iterator[Days]:
    with closing(Sqlite(home / wiring.STATE_FILE)) as store:
        yield Days(store, clock=HandClock(begins(EVENING)))


def ship(days: Days, run: RunKey) -> None:
    """A run that does all its work at the moment at which it is due."""
    days.clock.time = begins(run)
    days.act = succeed
    days.service.start_run(run)
    days.finish(run)


@pytest.fixture
def type_(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    def typed(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main(["health", *map(str, arguments), "--home", str(tmp_path)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


def fail(days: Days, run: RunKey, processor: str) -> None:
    """A run in which one processor fails for good, and whose sweeps go on until it has."""
    days.clock.time = begins(run)
    days.act = lambda start: (
        succeed(start, status=Status.FAILED, reason="feed is down", found={})
        if start.processor == processor
        else succeed(start)
    )
    days.service.start_run(run)
    for _ in range(20):
        days.finish(run)
        days.pass_by(minutes=30)


def test_a_day_on_which_all_is_well(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, EVENING)
        ship(days, NIGHT)
    said = type_()
    assert said.code == 0, said.err
    head, heads, night, evening, *rest = said.out.splitlines()
    assert head == "nba, Tue Jan 16: all 2 published"
    assert heads.split() == ["mode", "date", "state", "complete", "units", "healed", "slowest", "phase"]
    assert night.split()[:4] == ["overnight", "2024-01-15", "published", "100.0%"]
    assert evening.split()[:4] == ["same_day", "2024-01-15", "published", "100.0%"]
    assert rest[-1] == "Due between Jan 15 06:00 EST and Jan 16 06:00 EST."


def test_the_morning_of_a_date_has_what_was_due_in_the_day_before_it(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, EVENING)
        ship(days, NIGHT)
    said = type_("nba", "--date", "2024-01-16")
    assert said.code == 0
    assert said.out.startswith("nba, Tue Jan 16: all 2 published\n")
    assert "Due between Jan 15 08:00 EST and Jan 16 08:00 EST." in said.out


def test_a_run_that_should_be_there_and_is_not_is_a_row(type_: Type, tmp_path: Path) -> None:
    """Of a mode that somebody has been running here."""
    with days_in(tmp_path) as days:
        ship(days, EVENING)
        ship(days, NIGHT)
    said = type_("--date", "2024-01-17")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "nba, Wed Jan 17: all 2 missing"
    assert lines[2].split() == ["overnight", "2024-01-16", "missing", "-", "-", "-", "-"]
    why = "nobody has begun it; it was due at Jan 17 06:00 EST; the last that published: Jan 15"
    assert f"nba.2024-01-16.overnight.1: {why}" in lines
    at = lines.index("  next: nothing more happens by itself")
    assert lines[at + 1] == f"  helps: tipoff run nba --date 2024-01-16 --mode overnight --data DIR --home {tmp_path}"


def test_a_run_that_has_failed_says_why_what_helps_and_that_people_were_told(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        fail(days, NIGHT, "player_boxscores")
    said = type_()
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "nba, Tue Jan 16: failed"
    assert lines[2].split()[:4] == ["overnight", "2024-01-15", "failed", "-"]
    assert "  next: nothing more happens by itself" in lines
    assert f"  helps: tipoff replay {NIGHT} --from raw --reason TEXT --home {tmp_path}" in lines
    (incident,) = [line for line in lines if line.startswith("INCIDENT (page) since Jan 16 07:00 EST: ")]
    assert f"{NIGHT} is blocked at the gate analytics: player_boxscores failed: feed is down" in incident
    assert "1 open incident" in said.out


def test_a_home_where_nobody_is_at_work_names_the_command_that_goes_on(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        days.clock.time = datetime.now(timezone.utc)
        days.service.start_run(replace(NIGHT, date=days.clock.time.date() - DAY))
    assert "  next: nobody is at work in this home\n  helps: tipoff run nba --date" in type_().out


def test_a_home_at_rest_shows_its_last_day_and_one_at_work_the_day_until_now(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    assert type_("--json").json["until"] == "2024-01-16T11:00:00.000000Z"
    (tmp_path / "lock").write_text(json.dumps({"pid": os.getpid()}))
    said = type_()
    assert (said.code, said.out.splitlines()[0].partition(": ")[2]) == (0, "nothing was expected")
    assert "No run was due between " in said.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--date", "2099-01-01"), "--date 2099-01-01 is still to come; today is "),
        (("nhl",), "pipeline: 'nhl' is not declared"),
        (("--date", "yesterday"), "'yesterday' is not a date YYYY-MM-DD"),
    ],
)
def test_what_cannot_be_told_says_why(type_: Type, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    said = type_(*arguments)
    assert said.code == 2
    assert told in said.err


def test_a_home_where_nothing_has_run_says_what_to_do(type_: Type, tmp_path: Path) -> None:
    said = type_()
    assert (said.code, said.err) == (
        2,
        f"tipoff: nothing has run yet: home {tmp_path}; `tipoff run` or `tipoff demo` first\n",
    )


def test_its_json_has_the_documented_form(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    said, example = type_("--json").json, documented("tipoff health")
    assert form(said).keys() == form(example).keys()
    assert said["pipelines"][0].keys() == example["pipelines"][0].keys()
    (mode,), (shown,) = said["pipelines"][0]["modes"], example["pipelines"][0]["modes"]
    assert mode.keys() == shown.keys()
    assert mode["runs"][0].keys() == shown["runs"][0].keys()
    assert mode["runs"][0]["slowest"].keys() == shown["runs"][0]["slowest"].keys()
    assert said["pipelines"][0]["grading"].keys() == example["pipelines"][0]["grading"].keys()


# --- the grading error --------------------------------------------------------------------------------------


def errors_of(tables: DuckDbWarehouse, errors: dict[date, list[float]], system: str = "ensemble") -> None:
    rows: list[dict[str, object]] = [
        {
            "game_date": day,
            "game_id": f"g{day}",
            "player_id": f"p{number}",
            "system": system,
            "value": 10.0,
            "error": error,
        }
        for day, some in errors.items()
        for number, error in enumerate(some)
    ]
    table = Partition(table="nba_predictions.accuracy", column="game_date", first=min(errors), last=max(errors))
    tables.load(table, rows, WRITER)


def asked(tables: DuckDbWarehouse, day: date) -> Graded:
    @contextmanager
    def warehouse() -> Iterator[DuckDbWarehouse]:
        yield tables

    return graded(warehouse, [day])[day]


@pytest.fixture
def tables() -> Iterator[DuckDbWarehouse]:
    with closing(wiring.memory_warehouse()) as opened:
        create_tables(opened)
        yield opened


def test_the_error_of_a_date_stands_beside_the_mean_of_the_graded_days_before_it(tables: DuckDbWarehouse) -> None:
    today = date(2024, 1, 15)
    before = {today - 2 * number * DAY: [float(number), -float(number)] for number in range(1, 14)}
    errors_of(tables, {today: [3.0, -5.0, 1.0], **before, today + DAY: [99.0]})
    mean = sum(range(1, GRADED_DAYS + 1)) / GRADED_DAYS
    assert asked(tables, today) == Graded(graded=3, error=3.0, usual=mean, days=GRADED_DAYS)


def test_a_day_before_the_season_says_nothing_of_what_is_usual(tables: DuckDbWarehouse) -> None:
    today = date(2024, 10, 22)
    errors_of(tables, {today: [2.0], today - GRADED_WITHIN - DAY: [9.0]})
    assert asked(tables, today) == Graded(graded=1, error=2.0, usual=None, days=0)


def test_a_date_without_grades_has_none(tables: DuckDbWarehouse) -> None:
    today = date(2024, 1, 15)
    errors_of(tables, {today - DAY: [2.0]})
    assert asked(tables, today) == Graded(graded=0, error=None, usual=2.0, days=1)
    errors_of(tables, {today: [2.0]}, system="ridge")
    assert asked(tables, today).graded == 0


def test_a_home_without_tables_says_so(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    assert "error unknown (nothing has been loaded yet)" in type_().out


def test_tables_that_another_process_writes_are_told_as_unread(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    script = (
        "import sys; from pathlib import Path; from shared.adapters.duckdb import DuckDbWarehouse\n"
        "w = DuckDbWarehouse(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    file = tmp_path / wiring.WAREHOUSE_FILE
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        said = type_()
    finally:
        other.communicate("", timeout=30)
    assert said.code == 0
    assert "error unknown (WarehouseError: warehouse " in said.out
    assert "another process has it open" in said.out


def test_reading_a_home_changes_nothing_in_it(type_: Type, tmp_path: Path) -> None:
    with days_in(tmp_path) as days:
        ship(days, NIGHT)
    with closing(DuckDbWarehouse(tmp_path / wiring.WAREHOUSE_FILE)) as opened:
        create_tables(opened)
    files = [tmp_path / wiring.STATE_FILE, tmp_path / wiring.WAREHOUSE_FILE]
    before = [path.read_bytes() for path in files]
    assert type_().code == 0
    assert [path.read_bytes() for path in files] == before
