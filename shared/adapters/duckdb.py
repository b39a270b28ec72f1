"""The Warehouse over DuckDB, for one process: a file or :memory:, BigQuery's SQL transpiled statement by statement.

Past 400 lines because the dialect and the store stand together: nothing else needs the dialect.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import duckdb
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from shared.adapters.warehouse import (
    STAMPS,
    WRITER,
    check_column,
    check_given,
    check_keys,
    check_rows,
    check_stamps,
    check_table,
    check_unit,
    may_be_null,
    miscounted,
    not_a_number,
    not_there,
    parameters_of,
    parse_ddl,
    parse_query,
    same_key,
    stamps_of,
    stood,
    stray_rows,
)
from shared.ports import Partition, Stamp, Stood, WarehouseError, WarehouseUnavailable, Written

BIGQUERY_TYPES = {
    "VARCHAR": "STRING",
    "BIGINT": "INT64",
    "DOUBLE": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DATE": "DATE",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}
"""What a type that DuckDB reports was called when the table was made."""

DUCKDB_TYPES = {kind: name for name, kind in BIGQUERY_TYPES.items()}

STAMPING = ", ".join(f"CAST($tipoff_{name} AS {DUCKDB_TYPES[kind]}) AS {name}" for name, kind in STAMPS.items())
STAMPED = " ".join(f"AND {name} = ${name}" for name in WRITER)
STAGED = "tipoff_staged"
"""What a merge stages; temporary, so every session has its own and a killed one leaves nothing behind."""

THREADS = 1  # per statement: processors run side by side, and splitting their small statements costs a fifth more
STATEMENTS_MAX = 1_000  # transpiled statements kept; a pipeline has a few dozen
FULL = ("File too large", "No space left on device", "Disk quota exceeded")


# --- BigQuery's dialect -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as DuckDB runs it, and the parameters it uses."""

    sql: str
    parameters: frozenset[str]

    def bind(self, given: Mapping[str, object]) -> dict[str, object]:
        """The parameters this statement uses; DuckDB refuses any other."""
        check_given(self.sql, self.parameters, given)
        return {name: _bindable(given[name]) for name in self.parameters}


def _bindable(value: object) -> object:
    if isinstance(value, (list, tuple, set, frozenset)):
        items = list(value)
        # an empty list alone has no type, and DuckDB would compare text with integers
        return items if items else duckdb.Value([], duckdb.list_type(duckdb.sqltypes.VARCHAR))
    return value


def _emit(tree: exp.Expr) -> str:
    tree = tree.copy()
    for node in reversed(list(tree.walk())):  # the innermost first: a replaced node keeps what was done inside it
        translated = _translate(node)
        if translated is not node:
            node.replace(translated)
    try:
        return tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise WarehouseError(f"the local warehouse cannot run this: {error}: {tree.sql('bigquery')[:200]}") from error


def _translate(node: exp.Expr) -> exp.Expr:
    """Where sqlglot lets DuckDB answer differently from BigQuery without a word: say the same, or refuse."""
    match node:
        case exp.Extract():
            return _translate_extract(node)
        case exp.DateAdd() | exp.DateSub() | exp.DateTrunc():  # date plus interval is a TIMESTAMP in DuckDB
            return exp.cast(node.copy(), exp.DataType.Type.DATE)
        case exp.TimestampDiff():  # BigQuery counts whole intervals, date_diff counts boundaries
            unit = exp.Literal.string(str(node.args["unit"].name).lower())
            return exp.Anonymous(this="datesub", expressions=[unit, node.expression.copy(), node.this.copy()])
        case exp.Cast() if node.is_type(exp.DataType.Type.BIGINT) and not isinstance(node, exp.TryCast):
            return _translate_cast_to_integer(node)
        case exp.Format():  # DuckDB's format() wants {} and would return '%d' as it is
            return exp.Anonymous(this="printf", expressions=[node.this.copy(), *(e.copy() for e in node.expressions)])
        case exp.Literal() if node.is_number and "." in node.name and "e" not in node.name.lower():
            return exp.Literal.number(f"{node.name}e0")  # 0.5 is a FLOAT64 in BigQuery, a DECIMAL in DuckDB
        case exp.Div() if not isinstance(node.expression, exp.Literal):  # DuckDB answers infinity, BigQuery fails
            is_zero = exp.EQ(this=exp.paren(node.expression.copy()), expression=exp.Literal.number(0))
            failure = exp.Anonymous(this="error", expressions=[exp.Literal.string("division by zero")])
            checked = exp.Case(ifs=[exp.If(this=is_zero, true=failure)], default=node.expression.copy())
            node.set("expression", checked)
    return node


def _translate_cast_to_integer(node: exp.Cast) -> exp.Expr:
    """BigQuery rounds 2.5 to 3, DuckDB's cast of a DOUBLE to 2; the type is known only when DuckDB binds it."""
    if isinstance(node.this, exp.Literal):
        return node
    number = exp.Anonymous(
        this="round", expressions=[exp.TryCast(this=node.this.copy(), to=exp.DataType.build("DOUBLE"))]
    )
    is_double = exp.EQ(
        this=exp.Anonymous(this="typeof", expressions=[node.this.copy()]), expression=exp.Literal.string("DOUBLE")
    )
    rounded = exp.Cast(this=number, to=node.to.copy())
    return exp.Case(ifs=[exp.If(this=is_double, true=rounded)], default=node.copy())


def _translate_extract(node: exp.Extract) -> exp.Expr:
    part = node.this.sql("bigquery").upper()
    if part == "ISOWEEK":
        return exp.Extract(this=exp.var("WEEK"), expression=node.expression.copy())  # DuckDB's weeks are ISO weeks
    if part == "DAYOFWEEK" or part.startswith("WEEK"):
        raise WarehouseError(
            f"{node.sql('bigquery')}: DuckDB numbers days and weeks differently from BigQuery and would not say so; "
            "use DATE_DIFF from a known Sunday and MOD, EXTRACT(ISOWEEK ...) or DATE_TRUNC(..., WEEK)"
        )
    return node


@lru_cache(maxsize=STATEMENTS_MAX)
def transpile(sql: str) -> Statement:
    """One read-only statement in DuckDB's dialect; WarehouseError where it would not mean the same."""
    tree = parse_query(sql)
    return Statement(_emit(tree), parameters_of(tree))


@lru_cache(maxsize=STATEMENTS_MAX)
def transpile_ddl(ddl: str) -> tuple[str, ...]:
    """CREATE statements that may run again, without the properties DuckDB lacks."""
    statements = []
    for tree in parse_ddl(ddl):
        tree.set("properties", None)  # PARTITION BY, CLUSTER BY, OPTIONS
        statements.append(_emit(tree))
    return tuple(statements)


@lru_cache(maxsize=STATEMENTS_MAX)
def _may_be_null(ddl: str) -> Mapping[str, Mapping[str, str]]:
    return may_be_null(parse_ddl(ddl))


# --- the warehouse ----------------------------------------------------------------------------------


class _Session:
    """One thread's cursor while it works, so that a watchdog can find it."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.interrupted = False

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> Any:
        if self.interrupted:  # an interrupt between two statements must not be lost
            raise duckdb.InterruptException("interrupted")
        return self.cursor.execute(sql, parameters) if parameters else self.cursor.execute(sql)


class DuckDbWarehouse:
    """Keeps the promises of ports.Warehouse inside one process; any number of threads. The file is single-writer."""

    def __init__(self, path: Path | Literal[":memory:"], *, read_only: bool = False) -> None:
        """`read_only`: beside any number of others who only read; not beside a writer of another process."""
        self._path = str(path)
        self._connection: Any = _open(self._path, read_only=read_only)
        self._sessions: dict[int, _Session] = {}
        self._tables: dict[str, dict[str, str]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._locks_guard = threading.Lock()

    def close(self) -> None:
        """Checkpoint and give the file back. Idempotent."""
        self._connection.close()

    def create(self, ddl: str) -> None:
        statements = transpile_ddl(ddl)
        with self._locked("create"), self._session("create") as session:
            for addition in _lacking(session, ddl):  # before the statements: a view may ask for what is added
                session.run(addition)
            for statement in statements:
                session.run(statement)
            self._tables.clear()

    def columns(self, table: str) -> dict[str, str]:
        with self._session(table) as session:
            columns = _described(session, table)
        self._tables.pop(table, None)
        return {name: BIGQUERY_TYPES.get(kind, kind) for name, kind in columns.items()}

    def replace(
        self, partition: Partition, select: str, parameters: Mapping[str, object], stamp: Stamp, unit: str = ""
    ) -> Written:
        statement = transpile(select)
        return self._write(partition, statement.sql, statement.bind(parameters), stamp, unit)

    def load(self, partition: Partition, rows: Sequence[Mapping[str, object]], stamp: Stamp, unit: str = "") -> Written:
        with self._session(partition.table) as session:
            columns = self._content(session, partition.table)
        body = _encode(rows, columns, partition.table)
        return self._write(partition, _rows(columns), {"tipoff_rows": body}, stamp, unit)

    def merge(
        self,
        target: Partition,
        rows: Sequence[Mapping[str, object]],
        keys: Sequence[str],
        stamp: Stamp,
        unit: str = "",
    ) -> Written:
        table = target.table
        own: dict[str, object] = {"run": stamp.run, **_days(target)}
        # staged before the lock: writers of one table wait for each other's MERGE, not for each other's rows
        with self._session(table) as session:
            columns = self._content(session, table)
            _stage(session, target, columns, rows, keys, stamp)
            with self._locked(table):
                session.run("BEGIN")
                newest = session.run(f"SELECT max(fence) FROM {table} {_where(target)} AND run = $run", own)
                superseded = (newest.fetchone()[0] or 0) > stamp.fence
                if not superseded:
                    session.run(_merge_of_staged(target, keys), {**own, "fence": stamp.fence})
                    _check_counts(session, target, len(rows), stamp)
                written = _read_back(session, target, columns, unit, "AND run = $run", {"run": stamp.run})
                session.run("COMMIT")
        return replace(written, superseded=superseded)

    def standing(self, partition: Partition, stamp: Stamp, unit: str = "") -> Written | None:
        with self._session(partition.table) as session:
            columns = self._content(session, partition.table)
            values = {**_days(partition), **_stamped(stamp)}
            # asked first, because the usual answer is no, and reading nothing back costs twice as much
            any_row = session.run(f"SELECT 1 FROM {partition.table} {_where(partition)} {STAMPED} LIMIT 1", values)
            if any_row.fetchone() is None:
                return None
            return _read_back(session, partition, columns, unit, STAMPED, _stamped(stamp))

    def contents(self, asked: Sequence[tuple[Partition, str]]) -> tuple[tuple[Stood, ...], ...]:
        if not asked:
            return ()
        selects, days = [], dict[str, object]()
        with self._session(", ".join(partition.table for partition, _ in asked)) as session:
            for number, (partition, unit) in enumerate(asked):
                check_column(partition)
                check_unit(partition.table, unit, self._content(session, partition.table))
                days |= {f"first_{number}": partition.first, f"last_{number}": partition.last}
                units = f"list_distinct(list(CAST({_quoted(unit)} AS VARCHAR)))" if unit else "NULL"
                selects.append(
                    f"SELECT {number} AS asked, run, attempt, fence, count(*) AS rows, {units} AS units "
                    f"FROM {partition.table} "
                    f"WHERE {_quoted(partition.column)} BETWEEN $first_{number} AND $last_{number} "
                    "GROUP BY run, attempt, fence"
                )
            cursor = session.run(" UNION ALL ".join(selects), days)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return stood(rows, len(asked))

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        statement = transpile(sql)
        bound = statement.bind(parameters)
        with self._session("query") as session:
            cursor = session.run(statement.sql, bound)
            zoned = [column[0] for column in cursor.description if str(column[1]) == "TIMESTAMP WITH TIME ZONE"]
            if zoned:  # fetching these wants pytz: fetch microseconds instead
                micros = ", ".join(f"epoch_us({_quoted(name)}) AS {_quoted(name)}" for name in zoned)
                cursor = session.run(f"SELECT * REPLACE ({micros}) FROM ({statement.sql})", bound)
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for row in rows:
            for name in zoned:
                row[name] = _from_micros(row[name])
        return rows

    def interrupt(self, thread_ident: int) -> bool:
        """Stop what that thread is doing here: it gets duckdb.InterruptException. False if it does nothing here."""
        session = self._sessions.get(thread_ident)
        if session is None:
            return False
        session.interrupted = True
        with suppress(duckdb.ConnectionException):  # it ended this very moment
            session.cursor.interrupt()
        return True

    def _write(
        self, partition: Partition, source: str, bound: Mapping[str, object], stamp: Stamp, unit: str
    ) -> Written:
        where = _where(partition)
        days = _days(partition)
        # two replaces of one table would conflict in DuckDB; of different tables they run in parallel
        # (the session first, so that an interrupt also reaches a thread that waits here)
        with self._session(partition.table) as session, self._locked(partition.table):
            columns = self._content(session, partition.table)
            session.run("BEGIN")
            newest = session.run(f"SELECT max(fence) FROM {partition.table} {where}", days).fetchone()[0]
            if newest is not None and newest > stamp.fence:
                standing = _read_back(session, partition, columns, unit)
                session.cursor.execute("ROLLBACK")
                return Written(rows=standing.rows, units=standing.units, digest=standing.digest, superseded=True)
            if newest is not None:  # most partitions are written once, and a DELETE that finds nothing costs as much
                session.run(f"DELETE FROM {partition.table} {where}", days)
            # REPLACE names every column, so one that the query lacks is an error and not a NULL
            named = ", ".join(f"{_quoted(name)} AS {_quoted(name)}" for name in columns)
            inserted = session.run(
                f"INSERT INTO {partition.table} BY NAME SELECT * REPLACE ({named}), {STAMPING} FROM ({source})",
                {**bound, **_stamping(stamp)},
            ).fetchone()[0]
            written = _read_back(session, partition, columns, unit)
            if inserted != written.rows:  # the partition was empty before the insert
                raise stray_rows(partition, inserted - written.rows, inserted)
            session.run("COMMIT")
            return written

    def _content(self, session: _Session, table: str) -> dict[str, str]:
        """The table's columns and types without the stamps."""
        if table not in self._tables:
            columns = _described(session, table)
            check_stamps(table, {name: BIGQUERY_TYPES.get(kind, kind) for name, kind in columns.items()})
            self._tables[table] = {name: kind for name, kind in columns.items() if name not in STAMPS}
        return self._tables[table]

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with self._locks_guard:
            lock = self._locks[name.lower()]
        with lock:
            yield

    @contextmanager
    def _session(self, about: str) -> Iterator[_Session]:
        """A cursor of its own for this call: closing it rolls back what was not committed."""
        thread = threading.get_ident()
        session = _Session(_told(self._path, about, self._connection.cursor))
        self._sessions[thread] = session
        try:
            yield session
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise _explained(self._path, about, error) from error
        finally:
            del self._sessions[thread]
            session.cursor.close()


def _open(path: str, *, read_only: bool) -> Any:
    connection = _told(path, "open", lambda: duckdb.connect(path, read_only, config={"threads": THREADS}))
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def _told(path: str, about: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except duckdb.Error as error:
        raise _explained(path, about, error) from error


def _explained(path: str, about: str, error: duckdb.Error) -> WarehouseError | WarehouseUnavailable:
    said = str(error).strip()
    if any(text in said for text in FULL):
        return WarehouseUnavailable(
            f"warehouse {path}: the disk is full. Check free space and file size limit; then try again. ({said})"
        )
    if isinstance(error, duckdb.IOException):
        if "Conflicting lock" in said:
            why = "another process has it open, and DuckDB files have one writer: stop that process or ask it"
        elif "not a valid DuckDB" in said:
            why = "this is not a DuckDB file: point the setting elsewhere, or move the file away"
        else:
            why = "check that its folder exists, is writable, and the disk is not full"
        return WarehouseError(f"warehouse {path}: {why} ({said})")
    if isinstance(error, duckdb.FatalException):
        return WarehouseError(
            f"warehouse {path}: closed after a failed write: check the disk, then start again ({said})"
        )
    return WarehouseError(f"{about}: {said}")


def _where(partition: Partition) -> str:
    check_column(partition)
    return f"WHERE {_quoted(partition.column)} BETWEEN $first AND $last"


def _days(partition: Partition) -> dict[str, object]:
    return {"first": partition.first, "last": partition.last}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stamped(stamp: Stamp) -> dict[str, object]:
    return {"run": stamp.run, "attempt": stamp.attempt, "fence": stamp.fence}


def _stamping(stamp: Stamp) -> dict[str, object]:
    """The values of STAMPING, under names that no query of ours uses."""
    return {f"tipoff_{name}": value for name, value in stamps_of(stamp).items()}


def _rows(columns: Mapping[str, str]) -> str:
    """Reads $tipoff_rows by the table's own types, never guessed from the rows."""
    return f"SELECT unnest(from_json_strict($tipoff_rows, '{json.dumps([columns])}'), recursive := true)"


def _stage(
    session: _Session,
    target: Partition,
    columns: Mapping[str, str],
    rows: Sequence[Mapping[str, object]],
    keys: Sequence[str],
    stamp: Stamp,
) -> None:
    """The rows under their stamp in a table that only this session sees and that ends with it, checked as a whole."""
    table = target.table
    check_keys(rows, keys, columns, table, stamp)
    body = _encode(rows, columns, table)
    session.run(
        f"CREATE TEMP TABLE {STAGED} AS SELECT *, {STAMPING} FROM ({_rows(columns)})",
        {"tipoff_rows": body, **_stamping(stamp)},
    )
    inside = session.run(f"SELECT count(*) FROM {STAGED} {_where(target)}", _days(target)).fetchone()[0]
    if inside != len(rows):
        raise stray_rows(target, len(rows) - inside, len(rows))
    # asked in the columns' own types: 20 and 20.0 are one number, a date and its text one day
    named = ", ".join(_quoted(key) for key in keys)
    said = ", ".join(f"CAST({_quoted(key)} AS VARCHAR)" for key in keys)
    twice = session.run(
        f"SELECT count(*), {said} FROM {STAGED} GROUP BY {named} HAVING count(*) > 1 ORDER BY {named} LIMIT 1"
    ).fetchone()
    if twice:
        raise same_key(table, stamp, twice[0], keys, twice[1:])


def _lacking(session: _Session, ddl: str) -> list[str]:
    """What adds to the tables that are there the columns that they lack."""
    additions = []
    for table, columns in _may_be_null(ddl).items():
        try:
            there = _described(session, table)
        except WarehouseError:  # there is none: it will be created whole
            continue
        additions += [
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_quoted(name)} {DUCKDB_TYPES.get(kind, kind)}"
            for name, kind in columns.items()
            if name not in there
        ]
    return additions


def _described(session: _Session, table: str) -> dict[str, str]:
    """A table's columns with DuckDB's own names of their types, asked now."""
    check_table(table)
    try:
        described = session.run(f"SELECT * FROM {table} LIMIT 0").description
    except duckdb.CatalogException as error:
        raise not_there(table, str(error).splitlines()[0]) from error
    return {str(column[0]): str(column[1]) for column in described}


def _check_counts(session: _Session, target: Partition, staged: int, stamp: Stamp) -> None:
    """Inside the transaction, which an error rolls back."""
    stamped = session.run(
        f"SELECT count(*) FROM {target.table} {_where(target)} {STAMPED}", {**_days(target), **_stamped(stamp)}
    ).fetchone()[0]
    if stamped != staged:
        kept = "the staging, in memory, is gone"
        raise miscounted(target.table, stamp, staged=staged, stamped=stamped, kept=kept)


def _merge_of_staged(target: Partition, keys: Sequence[str]) -> str:
    """One statement for the run's rows in the partition; that none of them has a newer fence is known."""
    same = " AND ".join(f"target.{_quoted(key)} = {STAGED}.{_quoted(key)}" for key in keys)
    own = f"target.run = $run AND target.{_quoted(target.column)} BETWEEN $first AND $last"
    return f"""
        MERGE INTO {target.table} AS target USING {STAGED} ON {own} AND {same}
        WHEN MATCHED THEN UPDATE BY NAME
        WHEN NOT MATCHED BY TARGET THEN INSERT BY NAME
        WHEN NOT MATCHED BY SOURCE AND {own} AND target.fence < $fence THEN DELETE
    """


def _read_back(
    session: _Session,
    partition: Partition,
    columns: Mapping[str, str],
    unit: str,
    condition: str = "",
    values: Mapping[str, object] | None = None,
) -> Written:
    check_unit(partition.table, unit, columns)
    # ten digits of a float: sums differ in the last bits with the order in which threads add
    content = ", ".join(
        f"printf('%.10g', {_quoted(name)} + 0.0)" if columns[name] == "DOUBLE" else _quoted(name)
        for name in sorted(columns)
    )
    # nulls are not in it; faster than list(DISTINCT ...), which is an aggregation beside the other
    units = f"list_distinct(list(CAST({_quoted(unit)} AS VARCHAR)))" if unit else "NULL"
    rows, total, found = session.run(
        f"SELECT count(*), sum(hash({content})), {units} FROM {partition.table} {_where(partition)} {condition}",
        {**_days(partition), **(values or {})},
    ).fetchone()
    return Written(rows=rows, units=tuple(sorted(found or ())), digest=f"{rows:x}-{int(total or 0):x}")


def _encode(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], table: str) -> str:
    """Rows as JSON for DuckDB, every column present; a value of another type than its column's is an error."""
    check_rows(rows, {name: BIGQUERY_TYPES.get(kind, kind) for name, kind in columns.items()}, table)
    complete = [{name: row.get(name) for name in columns} for row in rows]
    try:
        return json.dumps(complete, default=_iso, allow_nan=False)
    except ValueError as error:
        raise not_a_number(table) from error


def _iso(value: object) -> str:
    assert isinstance(value, date), f"{value!r} passed the type check"
    return value.isoformat()


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _from_micros(value: object) -> datetime | None:
    return None if value is None else EPOCH + timedelta(microseconds=int(str(value)))
