"""Does a night of nba leave the same in BigQuery as in DuckDB: every table, view, report, export and feature?

On the emulator, so what is the same here has been said in a dialect that both understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import pytest

from data_processors.nba.runner import Work, bootstrap, create_tables, sql
from shared.adapters.bigquery import BigQueryWarehouse, connect
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.feed import FolderFeed
from shared.adapters.objects import MemoryObjects
from shared.core.model import Completion, RunKey
from shared.ports import Warehouse
from tests.flow.forecasts import predict
from tests.flow.nights import NOW, Night, Row
from tests.flow.test_prediction_inputs import select

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
TABLES = re.findall(r"^CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (\S+)", sql("schema.sql"), re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same work twice, and what was reported of it."""

    works: tuple[Work, Work]
    reports: tuple[list[Completion], list[Completion]]
    day: date  # of the last run


@pytest.fixture(scope="module")
def pair(season: Path, night: date, bigquery_emulator: str) -> Iterator[Pair]:
    """A night, the morning after it with its predictions, and the night that grades them."""
    client = connect("tipoff-test", location="US", endpoint=bigquery_emulator)
    warehouses = (DuckDbWarehouse(":memory:"), BigQueryWarehouse(client, dataset_prefix=f"n{uuid4().hex}_"))
    works = tuple(run_days(warehouse, season, night) for warehouse in warehouses)
    yield Pair(works=(works[0][0], works[1][0]), reports=(works[0][1], works[1][1]), day=night + DAY)
    for warehouse in warehouses:
        warehouse.close()


def run_days(warehouse: Warehouse, season: Path, night: date) -> tuple[Work, list[Completion]]:
    create_tables(warehouse)
    work = Work(
        warehouse=warehouse, feed=FolderFeed(season), objects=MemoryObjects(), now=lambda: NOW, commit="abc1234"
    )
    bootstrap(work, night, lambda _: None)
    reports = [*Night(work=work, run=RunKey("nba", night, "overnight")).all().values()]
    morning = Night(work=work, run=RunKey("nba", night + DAY, "same_day"))
    reports += morning.all(without=("tonight",)).values()
    predict(morning)
    reports.append(morning.one("tonight"))
    reports += Night(work=work, run=RunKey("nba", night + DAY, "overnight")).all().values()
    return work, reports


def exactly(row: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    """Ten digits of a float, as in a digest: sums differ in the last bits with the order in which they are added."""
    return tuple((key, float(f"{value:.10g}") if isinstance(value, float) else value) for key, value in row.items())


def rows(warehouse: Warehouse, table: str) -> list[tuple[tuple[str, object], ...]]:
    return sorted((exactly(row) for row in warehouse.query(f"SELECT * FROM {table}", {})), key=repr)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_holds_the_same_rows(pair: Pair, table: str) -> None:
    here, there = (rows(work.warehouse, table) for work in pair.works)
    assert here == there
    assert here


def test_every_processor_reports_the_same(pair: Pair) -> None:
    def said(reports: list[Completion]) -> list[Completion]:
        # how long it took is the machine's, and a digest is compared with those of its own warehouse alone
        return [replace(report, duration_s=0.0, digest="") for report in reports]

    assert said(pair.reports[0]) == said(pair.reports[1])


def test_every_export_is_the_same_to_the_byte(pair: Pair) -> None:
    here, there = (work.objects for work in pair.works)
    names = [
        f"nba/{day}/{name}.json" for day in (pair.day - DAY, pair.day) for name in ("results", "tonight", "status")
    ]
    assert [here.get(name) for name in names] == [there.get(name) for name in names]


@pytest.mark.parametrize("name", ["units", "training"])
def test_predictions_are_made_from_the_same(pair: Pair, name: str) -> None:
    def given(work: Work) -> list[Row]:
        return [dict(exactly(row)) for row in select(work, name, pair.day)]

    here, there = (given(work) for work in pair.works)
    assert here == there
    assert here


def test_the_accuracy_of_a_season_is_told_the_same(pair: Pair) -> None:
    asked = (files("orchestration") / "report.accuracy.sql").read_text(encoding="utf-8")
    span = {"first": pair.day - DAY, "last": pair.day}
    here, there = (work.warehouse.query(asked, span) for work in pair.works)
    assert here == there
    assert here


@pytest.mark.parametrize("name", ["boxscores.why.sql", "upcoming_player_game_context.why.sql", "history.sql"])
def test_a_reason_is_told_the_same(pair: Pair, name: str) -> None:
    """Also where all have one: asked of the first day of the season, before which nothing was played."""
    first = pair.works[0].feed.coverage().first
    for day in (first, pair.day):
        asked = {"first": day, "last": day, "run_date": pair.day, "as_of": pair.day, "season_first": day}
        here, there = (work.warehouse.query(sql(name), asked) for work in pair.works)
        assert here == there
