"""Is each event of `tipoff slo` what its query's head says, and does the command tell what becomes of them?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestration import slo
from orchestration.cli.main import main
from orchestration.cli.slo import helps
from orchestration.report import sql
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.sqlite import Sqlite
from shared.core.model import RunKey
from shared.core.slo import Measured, Verdict
from tests.flow.cli import Said, Type, documented, form, on_a_terminal
from tests.flow.days import Days
from tests.flow.test_reliability_report import DAY, HOUR, NOON, about, put, run

NIGHT = RunKey("nba", date(2024, 1, 15), "overnight")
MORNING = datetime(2024, 1, 16, 11, tzinfo=timezone.utc)  # 06:00 in New York


@pytest.fixture
def ops() -> Iterator[DuckDbWarehouse]:
    warehouse = wiring.memory_warehouse()
    warehouse.create(sql("ops.sql"))
    yield warehouse
    warehouse.close()


def asked(ops: DuckDbWarehouse, measured: Measured, now: datetime = NOON + 40 * DAY) -> list[Any]:
    span = {"pipeline": "line", "first": date.min, "last": date.max}
    more = {"now": now} if measured is Measured.PUBLISHED else {}
    return list(ops.query(sql(slo.QUERIES[measured]), {**span, **more}))


def test_a_run_is_measured_from_its_deadline(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0), run(1, published_h=4), run(2, published_h=None, state="blocked"))
    rows = asked(ops, Measured.PUBLISHED, now=NOON + 2 * DAY + 5 * HOUR)
    assert [row["measured_s"] / 3600 for row in rows] == [-2, 1, 2]
    assert {row["phase"] for row in rows} == {""}


def test_holidays_cancelled_runs_and_those_not_due_yet_are_no_events(ops: DuckDbWarehouse) -> None:
    holiday = run(1, published_h=None, state="nothing_expected")
    put(ops, "runs", run(0), holiday, run(2, published_h=None, cancelled=True), run(39, published_h=None))
    assert len(asked(ops, Measured.PUBLISHED, now=NOON + 39 * DAY)) == 1


def test_a_replay_counts_once_for_its_date_and_is_the_one_that_is_named(ops: DuckDbWarehouse) -> None:
    again = run(0, published_h=5, generation=2, deadline_at=NOON + 9 * HOUR)
    put(ops, "runs", run(0, published_h=None, state="failed"), again)
    [row] = asked(ops, Measured.PUBLISHED)
    assert (row["run_id"], row["measured_s"]) == ("line.2024-01-01.overnight.2", 2 * 3600), "by the first's deadline"


def test_a_gate_is_measured_from_when_it_was_ready(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0))
    late = about(0, gate="p1", gate_attempt=1, kind="open", ready_at=NOON, decided_at=NOON + HOUR / 20)
    unnoted = about(0, gate="p0", gate_attempt=1, kind="open", decided_at=NOON)
    failed = about(0, gate="end", gate_attempt=1, kind="fail", ready_at=NOON, decided_at=NOON + HOUR)
    put(ops, "outcomes", late, unnoted, failed)
    [row] = asked(ops, Measured.READY)
    assert (row["phase"], row["measured_s"]) == ("p1", 180)


def test_a_transition_is_measured_beside_what_is_usual_but_of_holidays(ops: DuckDbWarehouse) -> None:
    put(ops, "runs", run(0), run(1, state="nothing_expected"))
    passed = {"phase": "p0", "opened_at": NOON, "passed_at": NOON + HOUR, "took_s": 3600.0, "usual_s": 900}
    put(ops, "transitions", about(0, **passed), about(1, **passed))
    [row] = asked(ops, Measured.DURATION)
    assert (row["phase"], row["measured_s"], row["usual_s"]) == ("p0", 3600, 900)


@pytest.mark.parametrize("file", slo.QUERIES.values())
def test_a_query_says_what_it_is_for_and_takes_values_as_parameters(file: str) -> None:
    head = " ".join(line for line in sql(file).splitlines() if line.startswith("--"))
    for name in set(re.findall(r"@\w+", sql(file))):
        assert name.removeprefix("@") in head.split("Input:")[0].split("Parameters:")[1]


# --- of runs as they were driven -------------------------------------------------------------------------------


@pytest.fixture(name="type_")
def type_in_this_process(capsys: pytest.CaptureFixture[str]) -> Type:
    def type_(*words: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as refused:  # what argparse cannot read
            code = int(str(refused.code))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return type_


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Two nights: one in time, though its analytics took an hour; of one nobody did the work."""
    store = Sqlite(tmp_path / wiring.STATE_FILE)
    days = Days(store)
    days.clock.time = MORNING - DAY
    before = RunKey("nba", NIGHT.date - DAY, "overnight")
    days.service.start_run(before)
    days.finish(before, up_to="analytics")
    days.pass_by(hours=1)
    days.finish(before)
    days.clock.time = MORNING
    days.service.start_run(NIGHT)
    days.pass_by(hours=4)
    store.close()
    return tmp_path


def judged(home: Path, now: datetime, **more: Any) -> dict[str, Any]:
    store = Sqlite(home / wiring.STATE_FILE, read_only=True)
    try:
        return {each.spec.name: each for each in slo.keeps(store.states, "nba", now, **more)}
    finally:
        store.close()


def test_what_is_folded_is_what_happened(nights: Path) -> None:
    kept = judged(nights, MORNING + 4 * HOUR)
    published = kept["published"]
    assert (published.events, published.bad, published.late_minutes) == (2, 1, 60), "3 hours from its start, now 4"
    assert published.offenders[0].event.run == str(NIGHT)
    slow = kept["transition-time"]
    assert [(offence.event.phase, offence.allowed_s, offence.event.measured_s) for offence in slow.offenders] == [
        ("analytics", 1200, 3600)
    ]
    assert kept["transition-time-analytics"].bad == 1
    assert kept["transition-time-raw"].bad == 0
    assert kept["ready-not-fired"].bad == 0
    assert kept["ready-not-fired"].events > 5


def test_windows_end_with_the_newest_run_or_where_one_says(nights: Path) -> None:
    assert judged(nights, MORNING + 4 * HOUR)["published"].last == NIGHT.date
    before = judged(nights, MORNING + 4 * HOUR, last=NIGHT.date - DAY)["published"]
    assert (before.events, before.verdict) == (1, Verdict.OK)
    assert judged(nights, MORNING + 4 * HOUR, days=1)["published"].events == 1


def test_where_runs_begin_by_themselves_one_that_nobody_has_begun_is_late(nights: Path) -> None:
    now = MORNING + 2 * DAY + 4 * HOUR  # past the deadlines of two nights more, and of the days between
    assert judged(nights, now)["published"].events == 2
    published = judged(nights, now, begins=True)["published"]
    missing = {each.event.run for each in published.offenders if not each.event.is_begun}
    assert "nba.2024-01-16.overnight.1" in missing
    assert published.last == date(2024, 1, 18), "that of the run for tomorrow, begun the evening before"
    of_one = next(each for each in published.offenders if each.event.run == "nba.2024-01-16.overnight.1")
    assert slo.said_of(Measured.PUBLISHED, of_one) == "nobody has begun it, 25 h after its deadline"
    assert helps(of_one.event, "").startswith("tipoff backfill nba --from 2024-01-16 --to 2024-01-16 --mode overnight")


def test_nothing_is_missing_from_before_the_first_run(tmp_path: Path) -> None:
    Sqlite(tmp_path / wiring.STATE_FILE).close()
    assert judged(tmp_path, MORNING, begins=True)["published"].verdict is Verdict.NO_DATA


def test_the_command_says_what_is_not_kept_and_which_command_explains_it(type_: Type, nights: Path) -> None:
    told = type_("slo", "nba", "--home", nights)
    assert told.code == 1
    first = told.out.splitlines()[0]
    assert first == "nba up to 2024-01-15: published exhausted, published-year exhausted"
    assert f"{NIGHT}: " in told.out
    assert f"tipoff explain {NIGHT} --home {nights}" in told.out
    assert "analytics took 60 min, 6.0 times the usual" in told.out
    assert "tipoff explain nba.2024-01-14.overnight.1 --phase analytics" in told.out


def test_its_json_has_the_form_that_is_documented(type_: Type, nights: Path) -> None:
    told = type_("slo", "nba", "--home", nights, "--json")
    assert told.code == 1
    assert form(told.json) == form(documented("tipoff slo"))
    published = told.json["slos"][0]
    assert (published["verdict"], published["bad"], published["bad_left"]) == ("exhausted", 1, 0)


def test_what_is_kept_is_a_zero(type_: Type, nights: Path) -> None:
    told = type_("slo", "nba", "--to", "2024-01-14", "--home", nights)
    assert told.code == 0
    assert "all objectives kept" in told.out


def test_days_without_a_run_are_no_data_and_no_fault(type_: Type, nights: Path) -> None:
    told = type_("slo", "nba", "--to", "2023-01-14", "--home", nights)
    assert told.code == 0
    assert "no run to judge" in told.out


@pytest.mark.parametrize("columns", [40, 80])
def test_no_figure_is_cut_however_narrow_the_terminal(nights: Path, columns: int) -> None:
    said = on_a_terminal("slo", "nba", "--home", nights, COLUMNS=str(columns), NO_COLOR="1")
    row = next(line for line in said.splitlines() if line.startswith("published-year"))
    assert row.split()[:5] == ["published-year", "364", "99.9%", "50.00%", "2"]
    assert row.split()[-1] == "exhausted"


def test_a_home_where_nothing_has_run_is_refused(type_: Type, tmp_path: Path) -> None:
    told = type_("slo", "nba", "--home", tmp_path / "home")
    assert (told.code, told.out) == (2, "")
    assert "nothing has run there yet" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--days", "0"), "not a number from 1 to 366"),
        (("--to", "yesterday"), "not a date YYYY-MM-DD"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(
    type_: Type, nights: Path, arguments: tuple[str, ...], said: str
) -> None:
    told = type_("slo", "nba", *arguments, "--home", nights)
    assert told.code == 2
    assert said in told.err


def test_a_pipeline_that_nobody_declared_is_refused(type_: Type, nights: Path) -> None:
    assert type_("slo", "nfl", "--home", nights).code == 2


def test_the_queries_are_those_behind_the_figures(type_: Type, tmp_path: Path) -> None:
    said = type_("slo", "nba", "--queries", "--home", tmp_path / "home")
    told = json.loads(type_("slo", "nba", "--queries", "--json", "--home", tmp_path / "home").out)["queries"]
    assert told == {str(name): sql(file) for name, file in slo.QUERIES.items()}
    for query in told.values():
        assert f"{query.strip()};" in said.out


def test_deadlines_pass_while_nobody_looks(nights: Path) -> None:
    assert judged(nights, MORNING + 4 * HOUR)["published"].late_minutes == 60
    assert judged(nights, MORNING + 5 * HOUR)["published"].late_minutes == 120
    assert judged(nights, MORNING + timedelta(days=900))["published"].late_minutes == 24 * 60
