"""The Warehouse over BigQuery, for any number of processes; written for the service, not for its emulators.

Past 400 lines because a write is one text: the scripts, what they are given and what they answer stand together. Why
scripts, and what each call costs: docs/08-projects/decisions/0009-bigquery.md
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from functools import lru_cache, partial
from typing import Any, TypeVar

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter
from sqlglot import exp

from shared.adapters.retry import FullJitter
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

T = TypeVar("T")

STAGING = "tipoff_staging"
"""The dataset of staging tables; what a killed writer leaves there, the dataset itself lets expire."""

LOAD = "tipoff_load_"  # begins the names of load jobs and their tables
STAGING_DAYS = 1  # far longer than any write; the shortest that CREATE SCHEMA's option is usually given
CALL_S = 60.0  # one HTTP call; the longest waits 10 s on the server for the end of a job
RETRY_S = 120.0
"""All tries of one call, which names its request or its job, so that none is done twice; and all of one job's work,
whose transaction another cancelled or a quota refused, under one job after the other."""
JOB_S = 480.0  # one job; below the nine minutes that an event function lives
POOL = 16  # connections kept: a process has fewer threads that write
STATEMENTS_MAX = 1_000  # parsed statements kept; a pipeline has a few dozen
LOADS_MAX = 32  # job ids for one content, each used once: some ten are when calls for two minutes meet a full quota
EXACT_MAX = 2**53 - 1  # a larger integer in a load file must be text
INT64_MAX = 2**63 - 1
HALF = 2**32  # of a fingerprint
LABEL_MAX = 63

LEGACY_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""What the interface calls some types in answer to a question about a table."""

QUOTAS = frozenset({"rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded"})
UNAVAILABLE = QUOTAS | {"backendError", "internalError", "timeout"}
"""Reasons by which the service says: not now."""

QUOTA = re.compile(r"Too many DML statements outstanding against table|Exceeded rate limits: ", re.IGNORECASE)
"""Two quotas that have come under several reasons and codes, resourcesExceeded and 400 among them."""

PASSES: Callable[[Any], bool] = DEFAULT_RETRY._predicate
"""Which errors of one call pass by themselves: the client library knows, quotas aside. How to wait is decided here."""

CONFLICT = re.compile(r"due to concurrent update")
"""Transaction is aborted ..., Could not serialize access to table ...: reason invalidQuery, so only the text tells."""


# --- the client -------------------------------------------------------------------------------------


def connect(project: str, *, location: str, endpoint: str = "") -> bigquery.Client:
    """The one client of a process: connections are kept and shared by its threads. An endpoint is an emulator's."""
    credentials = AnonymousCredentials() if endpoint else None
    options = ClientOptions(api_endpoint=endpoint) if endpoint else None
    client = bigquery.Client(project, credentials=credentials, location=location, client_options=options)
    session = AuthorizedSession(client._credentials)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=POOL, pool_maxsize=POOL))
    client._http_internal = session  # what the client would make at its first call, with a larger pool
    return client


# --- SQL --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT as it was written but for its datasets' prefix, and the parameters it uses."""

    sql: str
    parameters: frozenset[str]


@lru_cache(maxsize=STATEMENTS_MAX)
def statement(sql: str, prefix: str) -> Statement:
    tree = parse_query(sql)
    return Statement(_prefixed(sql, [tree], prefix).rstrip().rstrip(";"), parameters_of(tree))


def _prefixed(sql: str, trees: Sequence[exp.Expr], prefix: str) -> str:
    """The text with the prefix before each dataset, and nothing else changed."""
    if not prefix:
        return sql
    datasets = [
        table.args["db"] for tree in trees for table in tree.find_all(exp.Table) if table.args.get("db") is not None
    ]
    starts = {found.meta["start"] + (1 if sql[found.meta["start"]] == "`" else 0) for found in datasets}
    for start in sorted(starts, reverse=True):
        sql = f"{sql[:start]}{prefix}{sql[start:]}"
    return sql


PYTHON_TO_BIGQUERY: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"),  # before int, which it is
    (int, "INT64"),
    (float, "FLOAT64"),
    (datetime, "TIMESTAMP"),  # before date, which it is
    (date, "DATE"),
    (str, "STRING"),
)


def parameter(name: str, value: object) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    """A query parameter typed by its value; an empty list and a null are text, as they have no type of their own."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        kind = _type_of(name, value)
        return bigquery.ScalarQueryParameter(name, kind, value)  # type: ignore[arg-type]  # _type_of has refused others
    items = list(value)
    kinds = {_type_of(name, item) for item in items} or {"STRING"}
    if len(kinds) > 1:
        raise WarehouseError(f"parameter @{name} mixes {', '.join(sorted(kinds))}; a list has one type")
    return bigquery.ArrayQueryParameter(name, kinds.pop(), items)


def _type_of(name: str, value: object) -> str:
    if value is None:
        return "STRING"
    for kind, said in PYTHON_TO_BIGQUERY:
        if isinstance(value, kind):
            return said
    raise WarehouseError(
        f"parameter @{name} is a {type(value).__name__}; give text, a number, a bool, a date or a time"
    )


REPLACE = """
DECLARE tipoff_superseded BOOL DEFAULT FALSE;
DECLARE tipoff_inserted INT64;
DECLARE tipoff_found STRING;
BEGIN TRANSACTION;
SET tipoff_superseded = (SELECT COALESCE(MAX(fence) > @tipoff_fence, FALSE) FROM {table} WHERE {inside});
IF NOT tipoff_superseded THEN
  DELETE FROM {table} WHERE {inside};
  INSERT INTO {table} ({columns}, {stamps})
  SELECT {columns}, {stamp} FROM (
{select}
  );
  SET tipoff_inserted = @@row_count;
END IF;
SET tipoff_found = ({read_back});
IF tipoff_inserted <> CAST(JSON_VALUE(tipoff_found, '$.rows') AS INT64) THEN
  ROLLBACK TRANSACTION;
ELSE
  COMMIT TRANSACTION;
END IF;
SELECT tipoff_superseded AS superseded, tipoff_inserted AS inserted, tipoff_found AS found;
"""
"""The DELETE comes also where nothing stands: two transactions that only insert would not be in each other's way."""

MERGE = """
DECLARE tipoff_superseded BOOL DEFAULT FALSE;
DECLARE tipoff_stamped INT64;
DECLARE tipoff_found STRING;
BEGIN TRANSACTION;
SET tipoff_superseded = (SELECT COALESCE(MAX(fence) > @tipoff_fence, FALSE) FROM {table} WHERE {inside});
IF NOT tipoff_superseded THEN
  MERGE INTO {table} AS target
  USING (
    SELECT {columns}, {stamp} FROM {staged}
  ) AS batch
  ON target.run = batch.run AND {same_key} AND {target_inside}
  WHEN MATCHED THEN UPDATE SET {updates}
  WHEN NOT MATCHED BY TARGET THEN INSERT ({columns}, {stamps}) VALUES ({values})
  WHEN NOT MATCHED BY SOURCE AND {target_inside} AND target.fence < @tipoff_fence THEN DELETE;
END IF;
SET tipoff_found = ({read_back});
SET tipoff_stamped = (SELECT COUNT(*) FROM {table} WHERE {stamped});
IF NOT tipoff_superseded AND tipoff_stamped <> @tipoff_staged THEN
  ROLLBACK TRANSACTION;
ELSE
  COMMIT TRANSACTION;
END IF;
SELECT tipoff_superseded AS superseded, tipoff_stamped AS stamped, tipoff_found AS found;
"""

INSIDE = "`{column}` BETWEEN @tipoff_first AND @tipoff_last"
NAMES = ", ".join(STAMPS)
STAMPING = ", ".join(f"@tipoff_{name} AS {name}" for name in STAMPS)
OWN = " AND run = @tipoff_run"
STAMPED = OWN + " AND attempt = @tipoff_attempt AND fence = @tipoff_fence"


# --- the warehouse ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What a table holds beside the stamps: its columns' types in order, and those that are never null."""

    columns: Mapping[str, str]
    required: frozenset[str]


@dataclass(slots=True)
class _Staging:
    """Rows in a table of their own, dropped behind the write unless the write says otherwise."""

    table: str
    is_kept: bool = False


class BigQueryWarehouse:
    """Keeps the promises of ports.Warehouse with transactions of BigQuery; any number of processes and threads."""

    def __init__(
        self,
        client: bigquery.Client,
        *,
        dataset_prefix: str = "",
        labels: Mapping[str, str] | None = None,
        maximum_bytes_billed: int | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        """maximum_bytes_billed refuses a statement that would read more, before it costs anything."""
        self._client = client
        self._prefix = dataset_prefix
        self._labels = dict(labels or {})
        self._maximum_bytes_billed = maximum_bytes_billed
        self._calls = FullJitter(passes=_passes, first_s=1.0, most_s=20.0, total_s=retry_s)
        self._retry: Any = self._calls  # the client's hints want its own class, its code only what wraps a call
        self._again = FullJitter(passes=_is_to_come_again, first_s=0.2, most_s=10.0, total_s=retry_s)
        self._tables: dict[str, _Table] = {}
        self._fitting: set[tuple[str, str, frozenset[str]]] = set()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._locks_guard = threading.Lock()

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        self._client.close()

    def create(self, ddl: str) -> None:
        staging = f"CREATE SCHEMA IF NOT EXISTS {STAGING} OPTIONS (default_table_expiration_days = {STAGING_DAYS})"
        statements = parse_ddl(ddl)
        self._add_columns(may_be_null(statements))  # first: a view may ask for what is added
        for text, trees in ((staging, parse_ddl(staging)), (ddl, statements)):
            self._run("create", _prefixed(text, trees, self._prefix), [])
        self._tables.clear()
        self._fitting.clear()

    def columns(self, table: str) -> dict[str, str]:
        columns = _types(self._schema(table))
        self._tables.pop(table, None)
        return columns

    def replace(
        self, partition: Partition, select: str, parameters: Mapping[str, object], stamp: Stamp, unit: str = ""
    ) -> Written:
        found = statement(select, self._prefix)
        check_given(found.sql, found.parameters, parameters)
        given = [parameter(name, parameters[name]) for name in sorted(found.parameters)]
        table = self._table(partition.table)
        self._check_columns(partition.table, table, found.sql, given)
        return self._replace(partition, found.sql, given, stamp, unit)

    def load(self, partition: Partition, rows: Sequence[Mapping[str, object]], stamp: Stamp, unit: str = "") -> Written:
        table = self._table(partition.table)
        check_unit(partition.table, unit, table.columns)
        typed = _typed(rows, table, partition)
        if not typed:  # an empty file is none
            nothing = f"SELECT {_named(table.columns)} FROM {self._name(partition.table)} WHERE FALSE"
            return self._replace(partition, nothing, [], stamp, unit)
        with self._staged(partition.table, table, typed, stamp) as staging:
            return self._replace(partition, f"SELECT * FROM {staging.table}", [], stamp, unit)

    def merge(
        self,
        target: Partition,
        rows: Sequence[Mapping[str, object]],
        keys: Sequence[str],
        stamp: Stamp,
        unit: str = "",
    ) -> Written:
        table = self._table(target.table)
        check_unit(target.table, unit, table.columns)
        check_keys(rows, keys, table.columns, target.table, stamp)
        typed = _typed(rows, table, target)
        _check_once(typed, keys, target.table, stamp)
        columns = [*table.columns, *STAMPS]
        given = [*_bound(target, stamp), *_stamping(stamp), parameter("tipoff_staged", len(typed))]
        with self._staged(target.table, table, typed, stamp) as staging:
            script = MERGE.format(
                table=self._name(target.table),
                staged=staging.table,
                inside=_inside(target) + OWN,
                stamped=_inside(target) + STAMPED,
                target_inside=f"target.{_inside(target)} AND target.run = @tipoff_run",
                same_key=" AND ".join(f"target.`{key}` = batch.`{key}`" for key in keys),
                columns=_named(table.columns),
                stamps=NAMES,
                stamp=STAMPING,
                updates=", ".join(f"`{name}` = batch.`{name}`" for name in columns),
                values=", ".join(f"batch.`{name}`" for name in columns),
                read_back=self._read_back(target, table, unit, OWN),
            )
            row = self._change(target.table, script, given, "merge", stamp)
            if row["stamped"] != len(typed) and not row["superseded"]:
                staging.is_kept = True
                kept = f"the staging table {staging.table} is kept for a day"
                raise miscounted(target.table, stamp, staged=len(typed), stamped=row["stamped"], kept=kept)
            return _written(row)

    def standing(self, partition: Partition, stamp: Stamp, unit: str = "") -> Written | None:
        table = self._table(partition.table)
        read_back = self._read_back(partition, table, unit, STAMPED)
        [row] = self._run("standing", read_back, _bound(partition, stamp))
        written = _written(row)
        return written if written.rows else None

    def contents(self, asked: Sequence[tuple[Partition, str]]) -> tuple[tuple[Stood, ...], ...]:
        if not asked:
            return ()
        selects, given = [], []
        for number, (partition, unit) in enumerate(asked):
            check_column(partition)
            check_unit(partition.table, unit, self._table(partition.table).columns)
            given += [parameter(f"first_{number}", partition.first), parameter(f"last_{number}", partition.last)]
            selects.append(
                f"SELECT {number} AS asked, run, attempt, fence, COUNT(*) AS `rows`, {_units(unit)} AS units "
                f"FROM {self._name(partition.table)} "
                f"WHERE `{partition.column}` BETWEEN @first_{number} AND @last_{number} GROUP BY run, attempt, fence"
            )
        found = self._run("contents", " UNION ALL ".join(selects), given)
        return stood([{**row, "units": json.loads(f"[{row['units'] or ''}]")} for row in found], len(asked))

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        found = statement(sql, self._prefix)
        check_given(found.sql, found.parameters, parameters)
        given = [parameter(name, parameters[name]) for name in sorted(found.parameters)]
        return self._run("query", found.sql, given)

    def _add_columns(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Give the tables that are there the columns that they lack."""
        for name, columns in tables.items():
            try:
                there = _types(self._schema(name))
            except WarehouseError:  # there is none, or none that can be asked: what creates it says so
                continue
            lacking = [f"ADD COLUMN IF NOT EXISTS `{c}` {kind}" for c, kind in columns.items() if c not in there]
            if lacking:
                self._run("create", f"ALTER TABLE {self._name(name)} {', '.join(lacking)}", [])

    # --- a write ---

    def _replace(self, partition: Partition, select: str, given: list[Any], stamp: Stamp, unit: str) -> Written:
        table = self._table(partition.table)
        script = REPLACE.format(
            table=self._name(partition.table),
            inside=_inside(partition),
            columns=_named(table.columns),
            stamps=NAMES,
            stamp=STAMPING,
            select=select,
            read_back=self._read_back(partition, table, unit, ""),
        )
        row = self._change(
            partition.table, script, [*given, *_bound(partition, stamp), *_stamping(stamp)], "replace", stamp
        )
        written = _written(row)
        inserted = row["inserted"]
        if inserted is not None and inserted != written.rows:  # the partition was empty before the insert
            raise stray_rows(partition, inserted - written.rows, inserted)
        return written

    def _change(self, table: str, script: str, given: list[Any], verb: str, stamp: Stamp) -> dict[str, Any]:
        """Run a transaction; one that was cancelled or refused has done nothing, and so may come again."""
        with self._locked(table):  # writers of one process need not find out from the service
            rows = self._told(table, partial(self._job, verb, script, given, table=table, run=stamp.run))
        assert len(rows) == 1, f"the last statement of a write is a SELECT of one row, not {rows!r:.200}"
        return rows[0]

    @contextmanager
    def _staged(
        self, name: str, table: _Table, rows: Sequence[Mapping[str, object]], stamp: Stamp
    ) -> Iterator[_Staging]:
        """The rows in a table of their own, loaded by one job, for as long as this lasts.

        The job's id is made of stamp, table and content: the same call made again while the first still runs, or after
        it died, finds that job. Its rows may be gone again by then, so an id that has been used up has a successor.
        Who fails is not held up by dropping the table: it expires, or the same call made again finds and drops it.
        """
        body = _ndjson(rows)
        said = (self._prefix, name, stamp.run, f"{stamp.attempt}", f"{stamp.fence}", "")
        content = hashlib.sha256("\0".join(said).encode() + body).hexdigest()[:32]
        jobs = iter([f"{LOAD}{content}_{number}" for number in range(LOADS_MAX)])
        staging = _Staging(self._told(name, partial(self._again(self._first_loaded), jobs, table, body, name, stamp)))
        is_done = False
        try:
            yield staging
            is_done = True
        finally:
            if not staging.is_kept:
                self._drop(name, staging, is_done)

    def _drop(self, name: str, staging: _Staging, is_done: bool) -> None:
        """At once or not at all behind a write that failed: what failed there says more."""
        retry: Any = self._retry if is_done else None
        drop = partial(self._client.delete_table, not_found_ok=True, retry=retry, timeout=CALL_S)
        with suppress(WarehouseUnavailable, *([] if is_done else [WarehouseError])):
            self._told(name, partial(drop, staging.table))

    def _first_loaded(self, jobs: Iterator[str], table: _Table, body: bytes, name: str, stamp: Stamp) -> str:
        """The table of the first of these jobs whose rows are there; called again, it goes on with those left."""
        for job in jobs:
            staged = f"{self._prefix}{STAGING}.{job}"
            if self._load(job, staged, table, body, name, stamp):
                return staged
        raise WarehouseUnavailable(
            f"{name}: {LOADS_MAX} load jobs for the same rows of {stamp.run} have come to nothing; "
            f"see their errors with `bq ls -j`, or try again with a new attempt"
        )

    def _load(self, job_id: str, staged: str, table: _Table, body: bytes, name: str, stamp: Stamp) -> bool:
        """Whether the rows are there now: done here, or by the same call made before."""
        schema = [
            bigquery.SchemaField(column, kind, "REQUIRED" if column in table.required else "NULLABLE")
            for column, kind in table.columns.items()
        ]
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=schema,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            labels=self._labelled("load", table=name, run=stamp.run),
        )
        # num_retries: an upload's own would be others than every other call's, and know no quota
        put = partial(self._client.load_table_from_file, rewind=True, num_retries=0, timeout=CALL_S)
        try:
            job = self._retry(put)(io.BytesIO(body), staged, job_id=job_id, job_config=config)
        except Conflict:
            return self._stands(job_id, staged)
        job.result(retry=self._retry, timeout=JOB_S)
        return True

    def _stands(self, job_id: str, staged: str) -> bool:
        """Whether the job that has this id already did it, and its rows are still there."""
        job: Any = self._client.get_job(job_id, retry=self._retry, timeout=CALL_S)
        try:
            job.result(retry=self._retry, timeout=JOB_S)
            self._client.get_table(staged, retry=self._retry, timeout=CALL_S)
        except NotFound:
            return False
        except GoogleAPICallError as error:
            if _is_unavailable(error):
                return False
            raise
        return True

    def _check_columns(self, name: str, table: _Table, select: str, given: list[Any]) -> None:
        """Ask the service which columns the query gives, once for each query and table."""
        fitting = (name, select, frozenset(table.columns))
        if fitting in self._fitting:
            return
        config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False, query_parameters=given)
        ask = partial(self._client.query, job_config=config, retry=self._retry, job_retry=None, timeout=CALL_S)
        tried = self._told(name, partial(ask, select))
        gives = {field.name for field in tried.schema or ()}
        if lacking := sorted(table.columns.keys() - gives):
            raise WarehouseError(f"{name}: the query lacks column {lacking[0]!r}: {select[:200]}")
        if unknown := sorted(gives - table.columns.keys()):
            raise WarehouseError(
                f"{name}: the query gives {unknown[0]!r}, which is not one of {sorted(table.columns)}: {select[:200]}"
            )
        self._fitting.add(fitting)

    # --- reading back ---

    def _read_back(self, partition: Partition, table: _Table, unit: str, condition: str) -> str:
        check_unit(partition.table, unit, table.columns)
        # ten digits of a float: sums differ in the last bits with the order in which they are added
        content = ", ".join(
            f"FORMAT('%.10g', `{name}` + 0.0) AS `{name}`" if table.columns[name] == "FLOAT64" else f"`{name}`"
            for name in sorted(table.columns)
        )
        hashed = f"FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({content})))"
        # a sum, not an exclusive or, in which a row that comes twice would vanish; in halves, which INT64 can add up
        halves = f"SUM(DIV({hashed}, {HALF})) AS high, SUM(MOD({hashed}, {HALF})) AS low"
        units = f", {_units(unit)} AS units" if unit else ""
        return (
            f"SELECT TO_JSON_STRING(STRUCT(COUNT(*) AS `rows`, {halves}{units})) AS found "
            f"FROM {self._name(partition.table)} WHERE {_inside(partition)}{condition}"
        )

    # --- the service ---

    def _name(self, table: str) -> str:
        dataset, name = table.split(".")
        return f"`{self._prefix}{dataset}`.`{name}`"

    def _table(self, name: str) -> _Table:
        """Columns as the service knows them, asked once. Tables are made before they are written."""
        if name not in self._tables:
            schema = self._schema(name)
            types = _types(schema)
            check_stamps(name, types)
            columns = {column: kind for column, kind in types.items() if column not in STAMPS}
            required = frozenset(field.name for field in schema if field.mode == "REQUIRED")
            self._tables[name] = _Table(columns=columns, required=required & columns.keys())
        return self._tables[name]

    def _schema(self, name: str) -> Sequence[bigquery.SchemaField]:
        check_table(name)
        ask = partial(self._client.get_table, retry=self._retry, timeout=CALL_S)
        found = self._told(name, partial(ask, f"{self._prefix}{name}"))
        return tuple(found.schema)

    def _run(self, verb: str, sql: str, given: list[Any]) -> list[dict[str, Any]]:
        return self._told(verb, partial(self._job, verb, sql, given))

    def _job(self, verb: str, sql: str, given: list[Any], **about: str) -> list[dict[str, Any]]:
        """The rows of a job whose work may be begun anew, until its time is over."""
        return self._again(self._job_once)(verb, sql, given, **about)

    def _job_once(self, verb: str, sql: str, given: list[Any], **about: str) -> list[dict[str, Any]]:
        config = bigquery.QueryJobConfig(
            query_parameters=given,
            labels=self._labelled(verb, **about),
            job_timeout_ms=int(JOB_S * 1_000),
        )
        if self._maximum_bytes_billed is not None:
            config.maximum_bytes_billed = self._maximum_bytes_billed
        # a job of a name of its own, not jobs.query: a repeated call finds it, however long after
        job: Any = self._client.query(sql, job_config=config, retry=self._retry, job_retry=None, timeout=CALL_S)

        def rows() -> list[dict[str, Any]]:
            return [dict(row.items()) for row in job.result(timeout=JOB_S, retry=None, job_retry=None)]

        # a call for results fails with its job's error, too: each try begins with the job's own state, so that a dead
        # one is not asked until the time is over
        passes_alive = replace(self._calls, passes=lambda error: _passes(error) and job.error_result is None)
        return passes_alive(rows)()

    def _labelled(self, verb: str, **about: str) -> dict[str, str]:
        """What a bill or a list of jobs can be grouped by."""
        said = {**self._labels, "application": "tipoff", "verb": verb, **about}
        return {key: re.sub(r"[^a-z0-9_-]", "-", value.lower())[:LABEL_MAX] for key, value in said.items()}

    def _told(self, about: str, act: Callable[[], T]) -> T:
        """What the service says, as one of the two errors of a Warehouse."""
        try:
            return act()
        except RetryError as error:
            raise explained(about, error.cause or error) from error
        except (GoogleAPICallError, GoogleAuthError, requests.RequestException, ConnectionError, TimeoutError) as error:
            raise explained(about, error) from error

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with self._locks_guard:
            lock = self._locks[name.lower()]
        with lock:
            yield


# --- what the service says --------------------------------------------------------------------------


def _reasons(error: GoogleAPICallError) -> set[str]:
    return {str(found.get("reason")) for found in error.errors or () if isinstance(found, Mapping)}


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, GoogleAPICallError) and bool(CONFLICT.search(error.message or ""))


def _is_quota(error: BaseException) -> bool:
    if not isinstance(error, GoogleAPICallError):
        return False
    return error.code == 429 or bool(_reasons(error) & QUOTAS) or bool(QUOTA.search(error.message or ""))


def _passes(error: BaseException) -> bool:
    """Whether a call that failed may be made again at once."""
    cause = error.__cause__ if isinstance(error, TimeoutError) else None  # so a job says that one call took too long
    return PASSES(cause or error) or _is_quota(error)


def _is_to_come_again(error: Exception) -> bool:
    """Whether a job has done nothing and another may. That a call had no success, its own retry has seen to."""
    is_of_job = getattr(error, "response", None) is None  # read from its state, not answered to a call
    return _is_conflict(error) or (_is_quota(error) and is_of_job)


def _is_unavailable(error: BaseException) -> bool:
    if not isinstance(error, GoogleAPICallError):
        return True
    code = error.code or 0
    passes = _is_conflict(error) or _is_quota(error) or bool(_reasons(error) & UNAVAILABLE)
    return code == 408 or code >= 500 or passes


def explained(about: str, error: BaseException) -> WarehouseError | WarehouseUnavailable:
    said = " ".join(str(getattr(error, "message", None) or error or type(error).__name__).split())[:500]
    if _is_unavailable(error):
        return WarehouseUnavailable(f"{about}: BigQuery cannot do it now; the same call may be made again ({said})")
    if isinstance(error, NotFound) and LOAD in said:
        return WarehouseUnavailable(f"{about}: the same call was made twice at once, and the other is done ({said})")
    if isinstance(error, NotFound):
        return not_there(about, said)
    if isinstance(error, GoogleAPICallError) and "bytesBilledLimitExceeded" in _reasons(error):
        return WarehouseError(f"{about}: {said}: filter by the partition, or raise maximum_bytes_billed")
    return WarehouseError(f"{about}: {said}")


# --- values -----------------------------------------------------------------------------------------


def _inside(partition: Partition) -> str:
    check_column(partition)
    return INSIDE.format(column=partition.column)


def _types(schema: Sequence[bigquery.SchemaField]) -> dict[str, str]:
    return {field.name: LEGACY_TYPES.get(field.field_type, field.field_type) for field in schema}


def _units(unit: str) -> str:
    """The distinct units of a group, without nulls, as the inside of a JSON list; null where none is asked for."""
    quoted = f"IF(`{unit}` IS NULL, NULL, TO_JSON_STRING(CAST(`{unit}` AS STRING)))"
    return f"STRING_AGG(DISTINCT {quoted}, ',')" if unit else "CAST(NULL AS STRING)"


def _named(columns: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


def _bound(partition: Partition, stamp: Stamp) -> list[Any]:
    """Partition and writer, under names that no query of ours uses."""
    writer = {f"tipoff_{name}": value for name, value in stamps_of(stamp).items() if name in WRITER}
    given = {"tipoff_first": partition.first, "tipoff_last": partition.last, **writer}
    return [parameter(name, value) for name, value in given.items()]


def _stamping(stamp: Stamp) -> list[Any]:
    """What STAMPING has beside the writer."""
    return [parameter(f"tipoff_{name}", value) for name, value in stamps_of(stamp).items() if name not in WRITER]


def _written(row: Mapping[str, Any]) -> Written:
    found = json.loads(row["found"])
    rows, total = int(found["rows"]), int(found["high"] or 0) * HALF + int(found["low"] or 0)
    return Written(
        rows=rows,
        units=tuple(sorted(json.loads(f"[{found.get('units') or ''}]"))),
        digest=f"{rows:x}-{total % 2**96:x}",  # never negative
        superseded=bool(row.get("superseded")),
    )


def _typed(rows: Sequence[Mapping[str, object]], table: _Table, partition: Partition) -> list[dict[str, object]]:
    """Rows as values of their columns' types, each column present. Whatever a load would refuse is refused here."""
    name = partition.table
    check_column(partition)
    check_rows(rows, table.columns, name)
    typed = []
    for number, row in enumerate(rows, 1):
        try:
            values = {column: _value(row.get(column), kind) for column, kind in table.columns.items()}
        except ValueError as error:
            raise WarehouseError(f"{name}: row {number}: {error}") from error
        if any(isinstance(value, float) and not math.isfinite(value) for value in values.values()):
            raise not_a_number(name)
        typed.append(values)
    column = partition.column
    stray = sum(not _is_inside(row[column], partition) for row in typed)
    if stray:
        raise stray_rows(partition, stray, len(typed))
    for number, row in enumerate(typed, 1):
        if lacking := sorted(column for column in table.required if row[column] is None):
            raise WarehouseError(f"{name}: row {number} has no {lacking[0]}, which is NOT NULL")
    return typed


def _is_inside(value: object, partition: Partition) -> bool:
    return isinstance(value, date) and partition.first <= value <= partition.last


def _value(value: object, kind: str) -> object:
    match value:
        case None:
            return None
        case int() if kind == "FLOAT64":
            return float(value)
        case bool():
            return value
        case int() if not -INT64_MAX - 1 <= value <= INT64_MAX:
            raise ValueError(f"{value} does not fit into INT64")
        case str() if kind == "DATE":
            return date.fromisoformat(value)
        case str() if kind == "TIMESTAMP":
            at = datetime.fromisoformat(value)
            return at.astimezone(timezone.utc) if at.tzinfo else at.replace(tzinfo=timezone.utc)
        case datetime():
            return value.astimezone(timezone.utc)
    return value


def _check_once(rows: Sequence[Mapping[str, object]], keys: Sequence[str], table: str, stamp: Stamp) -> None:
    """In the columns' own types: 20 and 20.0 are one number, a date and its text one day."""
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for row in rows:
        counts[tuple(row[key] for key in keys)] += 1
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise same_key(table, stamp, counts[twice[0]], keys, twice[0])


def _ndjson(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "\n".join(json.dumps({name: _in_file(value) for name, value in row.items()}) for row in rows).encode()


def _in_file(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT_MAX:
        return str(value)
    return value.isoformat() if isinstance(value, date) else value
