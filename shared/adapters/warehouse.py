"""What every Warehouse refuses before it does anything, for the adapters: SQL, names, rows and keys that do not fit.

All SQL is BigQuery's dialect, and types go by BigQuery's names, wherever the rows lie in the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from shared.ports import Partition, Stamp, Stood, WarehouseError

WRITER = {"run": "STRING", "attempt": "INT64", "fence": "INT64"}
"""The columns that say who wrote a row."""

STAMPS = {**WRITER, "inputs_completeness": "FLOAT64", "inputs_missing": "STRING"}
"""The columns every table has beside its content: no part of any digest."""

TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "INT64": (int,),
    "FLOAT64": (float, int),
    "BOOL": (bool,),
    "DATE": (date, str),
    "TIMESTAMP": (datetime, str),
}


# --- SQL --------------------------------------------------------------------------------------------


def parse(sql: str) -> list[exp.Expr]:
    try:
        return [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except SqlglotError as error:
        said = re.sub(r"\x1b\[\d+m", "", str(error))  # sqlglot underlines for terminals
        raise WarehouseError(f"not BigQuery SQL: {said}: {sql[:200]}") from error


def parse_query(sql: str) -> exp.Query:
    """One read-only statement."""
    trees = parse(sql)
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise WarehouseError(f"expected one SELECT or WITH statement: {sql[:200]}")
    return trees[0]


def parse_ddl(ddl: str) -> list[exp.Create]:
    """CREATE statements that may run again without losing anything."""
    statements = []
    for tree in parse(ddl):
        again = isinstance(tree, exp.Create) and (tree.args.get("exists") or tree.args.get("replace"))
        if not again or tree.args["kind"].upper() not in ("SCHEMA", "TABLE", "VIEW"):
            raise WarehouseError(f"expected CREATE SCHEMA, TABLE or VIEW IF NOT EXISTS: {tree.sql('bigquery')[:200]}")
        if tree.args.get("replace") and tree.args["kind"].upper() != "VIEW":
            raise WarehouseError(f"CREATE OR REPLACE would drop data: {tree.sql('bigquery')[:200]}")
        assert isinstance(tree, exp.Create)
        statements.append(tree)
    return statements


def may_be_null(tables: Sequence[exp.Create]) -> dict[str, dict[str, str]]:
    """The columns of each table of a DDL that its older self may be given, with their types."""
    found: dict[str, dict[str, str]] = {}
    for tree in tables:
        if tree.args["kind"].upper() != "TABLE" or not isinstance(tree.this, exp.Schema):
            continue
        table = tree.this.this
        found[f"{table.db}.{table.name}"] = {
            column.name: column.args["kind"].sql("bigquery")
            for column in tree.this.find_all(exp.ColumnDef)
            if not column.args.get("constraints")  # NOT NULL, a default: rows that stand could not have them
        }
    return found


def stamps_of(stamp: Stamp) -> dict[str, object]:
    """The values of STAMPS. Null is nothing missing: what is asked for most often is `IS NOT NULL`."""
    return {
        "run": stamp.run,
        "attempt": stamp.attempt,
        "fence": stamp.fence,
        "inputs_completeness": float(stamp.completeness),
        "inputs_missing": stamp.missing or None,
    }


def check_stamps(table: str, columns: Mapping[str, str]) -> None:
    """The table has the columns of a stamp, with their types."""
    for name, kind in STAMPS.items():
        if columns.get(name) != kind:
            raise WarehouseError(
                f"table {table}: column {name} must be there with type {kind}: "
                "run create with its DDL, which adds what an older version did not have"
            )


def parameters_of(tree: exp.Expr) -> frozenset[str]:
    return frozenset(found.name for found in tree.find_all(exp.Parameter))


def check_given(sql: str, used: frozenset[str], given: Mapping[str, object]) -> None:
    if absent := sorted(used - given.keys()):
        raise WarehouseError(f"parameter @{absent[0]} is not given; given are {sorted(given)}: {sql[:200]}")


# --- names ------------------------------------------------------------------------------------------


def not_there(about: str, said: str) -> WarehouseError:
    return WarehouseError(f"{about}: {said}: run create with the DDL of that dataset and table first")


def check_table(table: str) -> None:
    if not TABLE_NAME.fullmatch(table):
        raise WarehouseError(f"table {table!r}: expected dataset.table")


def check_column(partition: Partition) -> None:
    if not COLUMN_NAME.fullmatch(partition.column):
        raise WarehouseError(f"{partition.table}: {partition.column!r} is not a column name")


def check_unit(table: str, unit: str, columns: Mapping[str, str]) -> None:
    if unit and unit not in columns:
        raise WarehouseError(f"{table}: unit column {unit!r} is not in it; it has {sorted(columns)}")


# --- what stands -----------------------------------------------------------------------------------


def stood(rows: Sequence[Mapping[str, object]], asked: int) -> tuple[tuple[Stood, ...], ...]:
    """Rows of asked, run, attempt, fence, rows, units (a list, or None) by the partition that they were asked for."""
    found: list[list[Stood]] = [[] for _ in range(asked)]
    for row in rows:
        units = row["units"]
        assert units is None or isinstance(units, list)
        stamp = Stamp(run=str(row["run"]), attempt=int(str(row["attempt"])), fence=int(str(row["fence"])))
        each = Stood(stamp=stamp, rows=int(str(row["rows"])), units=tuple(sorted(map(str, units or ()))))
        found[int(str(row["asked"]))].append(each)
    return tuple(tuple(sorted(each, key=_newest_first)) for each in found)


def _newest_first(each: Stood) -> tuple[int, str, int]:
    return -each.stamp.fence, each.stamp.run, each.stamp.attempt


# --- rows -------------------------------------------------------------------------------------------


def check_rows(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], table: str) -> None:
    """Every value of its column's type, never guessed or converted: '12' is no number, and 1.5 no integer."""
    for number, row in enumerate(rows, 1):
        if unknown := row.keys() - columns.keys():
            raise WarehouseError(f"{table}: row {number} has {min(unknown)!r}, which is not one of {sorted(columns)}")
        for name, value in row.items():
            if value is None:
                continue
            expected = PYTHON_TYPES.get(columns[name])
            if expected is None:
                raise WarehouseError(f"{table}: column {name} has type {columns[name]}; rows cannot be loaded into it")
            wrong = not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)
            naive = isinstance(value, datetime) and (value.tzinfo is None or datetime not in expected)
            if wrong or naive:
                kind = "naive datetime" if naive else type(value).__name__
                raise WarehouseError(f"{table}: row {number}: {name} is {columns[name]}, not {kind} {value!r:.80}")


def check_keys(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str], columns: Mapping[str, str], table: str, stamp: Stamp
) -> None:
    """There are rows, and each has the whole key."""
    if not rows:
        raise WarehouseError(
            f"{table}: {stamp.run} has no rows to merge; nothing was written: a batch without rows has failed, "
            "so report that and keep what its units gave"
        )
    if not keys or set(keys) - columns.keys():
        raise WarehouseError(f"{table}: merge keys {list(keys)}: expected one or more of {sorted(columns)}")
    for number, row in enumerate(rows, 1):
        if lacking := [key for key in keys if row.get(key) is None]:
            raise WarehouseError(
                f"{table}: row {number} has no {lacking[0]}, which is a merge key; nothing was written"
            )


def not_a_number(table: str) -> WarehouseError:
    return WarehouseError(f"{table}: a row holds nan or infinity, which no column takes; use None")


def stray_rows(partition: Partition, stray: int, rows: int) -> WarehouseError:
    return WarehouseError(
        f"{partition.table}: {stray} of {rows} rows have {partition.column} outside "
        f"{partition.first}..{partition.last} or null; nothing was written: filter by the partition"
    )


def miscounted(table: str, stamp: Stamp, *, staged: int, stamped: int, kept: str) -> WarehouseError:
    return WarehouseError(
        f"{table}: {staged} rows of {stamp.run} attempt {stamp.attempt} were staged, but the MERGE would have left "
        f"{stamped} with that stamp; nothing was written; {kept}: see who else writes under this stamp, "
        "then run a new attempt, whose newer fence takes the other's rows away"
    )


def same_key(table: str, stamp: Stamp, rows: int, keys: Sequence[str], values: Sequence[object]) -> WarehouseError:
    same = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
    return WarehouseError(
        f"{table}: {rows} rows of {stamp.run} have the key {same}; nothing was written: give each key once"
    )
