"""Does the warehouse in memory merge as the port promises? The simulator's worlds stand on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from shared.ports import Partition, Stamp, WarehouseError
from simulation.warehouse import MemoryWarehouse, Row

DAY = date(2024, 1, 15)
TARGET = Partition(table="points.predictions", column="day", first=DAY, last=DAY)
FIRST, SECOND = Stamp(run="a", attempt=1, fence=1), Stamp(run="a", attempt=2, fence=2)


def rows(*units: str, value: int = 1) -> list[Row]:
    return [{"unit": unit, "value": value} for unit in units]


def merge(warehouse: MemoryWarehouse, made: list[Row], stamp: Stamp) -> tuple[tuple[str, ...], bool]:
    written = warehouse.merge(TARGET, made, ("unit",), stamp, "unit")
    return written.units, written.superseded


def test_a_newer_attempt_brings_its_rows_and_takes_the_older_ones_without_a_successor() -> None:
    warehouse = MemoryWarehouse()
    assert merge(warehouse, rows("x", "y"), FIRST) == (("x", "y"), False)
    assert merge(warehouse, rows("y", "z", value=2), SECOND) == (("y", "z"), False)
    stands = warehouse.read(TARGET, "a")
    assert stands is not None
    assert stands[0] == SECOND
    assert stands[1].rows == 2


def test_an_older_attempt_changes_nothing() -> None:
    warehouse = MemoryWarehouse()
    merge(warehouse, rows("x", value=2), SECOND)
    assert merge(warehouse, rows("x", "y"), FIRST) == (("x",), True)
    assert warehouse.standing(TARGET, FIRST) is None


def test_the_same_again_changes_nothing_and_says_the_same() -> None:
    warehouse = MemoryWarehouse()
    first = warehouse.merge(TARGET, rows("x"), ("unit",), FIRST, "unit")
    assert warehouse.merge(TARGET, rows("x"), ("unit",), FIRST, "unit") == first
    assert warehouse.standing(TARGET, FIRST, "unit") == first


def test_other_runs_keep_their_rows() -> None:
    warehouse, other = MemoryWarehouse(), Stamp(run="b", attempt=1, fence=9)
    merge(warehouse, rows("x"), other)
    merge(warehouse, rows("y"), FIRST)
    assert [warehouse.merge(TARGET, rows("y"), ("unit",), FIRST, "unit").units] == [("y",)]
    stands = warehouse.read(TARGET, "b")
    assert stands is not None
    assert stands[0] == other


@pytest.mark.parametrize(
    "made",
    [[], rows("x", "x"), [{"unit": None}]],
    ids=["no rows at all", "a key that comes twice", "a key that is null"],
)
def test_what_cannot_be_merged_replaces_nothing(made: list[Row]) -> None:
    warehouse = MemoryWarehouse()
    merge(warehouse, rows("x"), FIRST)
    with pytest.raises(WarehouseError):
        warehouse.merge(TARGET, made, ("unit",), SECOND, "unit")
    assert warehouse.standing(TARGET, FIRST, "unit") is not None


def test_contents_tell_what_each_stamp_has_there() -> None:
    warehouse = MemoryWarehouse()
    whole = Partition(table="nba.lines", column="day", first=date(2024, 1, 16), last=date(2024, 1, 16))
    warehouse.load(whole, [{"unit": "g1"}], Stamp(run="r", attempt=1, fence=1), "unit")
    warehouse.merge(TARGET, [{"key": "a"}], ("key",), Stamp(run="one", attempt=1, fence=1))
    warehouse.merge(TARGET, [{"key": "a"}, {"key": "b"}], ("key",), Stamp(run="two", attempt=1, fence=2))
    found = warehouse.contents([(whole, "unit"), (TARGET, "key"), (replace(whole, table="nba.empty"), "")])
    assert [[(each.stamp.run, each.rows, each.units) for each in stood] for stood in found] == [
        [("r", 1, ("g1",))],
        [("two", 2, ("a", "b")), ("one", 1, ("a",))],
        [],
    ]
