"""One SQLite file (or :memory:) with its tables, for the adapters of state, bus and batches that share it.

Many processes may open the file; each shares one connection under one lock. Every writing verb is one transaction that
takes the write lock first (BEGIN IMMEDIATE), so writers come one after the other and a verb that raises has written
nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from shared.core.codec import Malformed

APPLICATION_ID = 0x7190FF01  # stands in the file's header and says: a Tipoff state file
VERSION = 3  # of the tables below; 2 added the batches, 3 orders by their places and the history of batches
BUSY_S = 5.0  # writers hold the lock for under a millisecond; who waits this long waits for a process that hangs
CHECKPOINT_PAGES = 4_000  # 16 MB; a checkpoint is the only fsync of durability "process", so let it come rarely
MEMORY = ":memory:"
CACHE_KB = 16_000  # the hot pages of a queue of 50,000 messages

SCHEMA = (
    """CREATE TABLE runs (
        run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, date TEXT NOT NULL, mode TEXT NOT NULL,
        generation INTEGER NOT NULL, started_at INTEGER NOT NULL, due_at INTEGER) WITHOUT ROWID""",
    "CREATE INDEX runs_by_date ON runs (pipeline, date, started_at, generation)",
    "CREATE INDEX runs_by_due ON runs (due_at) WHERE due_at IS NOT NULL",
    # Apart from runs, because an UPDATE rewrites the whole row and a plan takes several pages.
    "CREATE TABLE plans (run TEXT PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE controls (run TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL)",
    """CREATE TABLE facts (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (run, key))""",
    "CREATE INDEX facts_by_run ON facts (run)",  # every index ends in the id
    """CREATE TABLE latches (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, leased_until INTEGER, body BLOB NOT NULL,
        UNIQUE (run, key))""",
    "CREATE INDEX latches_by_run ON latches (run)",
    "CREATE INDEX latches_by_lease ON latches (leased_until) WHERE leased_until IS NOT NULL",
    "CREATE TABLE ledger (id INTEGER PRIMARY KEY, run TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX ledger_by_run ON ledger (run)",
    """CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, message TEXT NOT NULL UNIQUE, run TEXT NOT NULL, topic TEXT NOT NULL,
        reason TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, size INTEGER,
        attributes TEXT NOT NULL DEFAULT '{}')""",
    """CREATE TABLE subscriptions (
        topic TEXT NOT NULL, subscription TEXT NOT NULL, PRIMARY KEY (topic, subscription)) WITHOUT ROWID""",
    # AUTOINCREMENT: an acknowledged id must never be given again, or a late ack would take another message with it.
    """CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, available_at INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0, published_at INTEGER NOT NULL, topic TEXT NOT NULL,
        attributes TEXT NOT NULL, error TEXT, data BLOB NOT NULL)""",
    "CREATE INDEX deliveries_by_time ON deliveries (subscription, available_at)",
    """CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, subscription TEXT NOT NULL, attempt INTEGER NOT NULL,
        published_at INTEGER NOT NULL, topic TEXT NOT NULL, attributes TEXT NOT NULL, error TEXT NOT NULL,
        data BLOB NOT NULL)""",
)

BATCH_SCHEMA = (
    # Apart from their bodies, because an UPDATE rewrites the whole row and a model takes several pages.
    """CREATE TABLE batches (
        id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, likeness TEXT NOT NULL, chunks INTEGER NOT NULL,
        created_at INTEGER NOT NULL, due_at INTEGER, sealed INTEGER NOT NULL DEFAULT 0, leased_until INTEGER,
        ended_at INTEGER) WITHOUT ROWID""",
    "CREATE INDEX batches_by_due ON batches (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX batches_by_age ON batches (pipeline, created_at)",  # every index ends in the id
    "CREATE INDEX batches_by_likeness ON batches (likeness, ended_at) WHERE ended_at IS NOT NULL",  # the history
    "CREATE TABLE batch_bodies (batch TEXT PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE batch_seals (batch TEXT PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE batch_chunks (
        id INTEGER PRIMARY KEY, batch TEXT NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL,
        UNIQUE (batch, chunk))""",
    """CREATE TABLE batch_orders (
        batch TEXT NOT NULL, chunk INTEGER NOT NULL, number INTEGER NOT NULL, tries INTEGER NOT NULL,
        places TEXT NOT NULL, ordered_at INTEGER NOT NULL, reported_at INTEGER, rest TEXT NOT NULL DEFAULT '[]',
        ended INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (batch, chunk, number)) WITHOUT ROWID""",
    "CREATE INDEX batch_orders_ended ON batch_orders (batch, chunk) WHERE ended",  # counted at every report
    """CREATE TABLE batch_reports (
        id INTEGER PRIMARY KEY, batch TEXT NOT NULL, chunk INTEGER NOT NULL, number INTEGER NOT NULL,
        body BLOB NOT NULL, UNIQUE (batch, chunk, number))""",
)

BATCH_TABLES_OF_2 = ("batches", "batch_bodies", "batch_seals", "batch_chunks", "batch_orders", "batch_reports")

BEATS = "CREATE TABLE IF NOT EXISTS beats (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID"
"""Came later, under the same format number, as the columns below."""

ERRANDS = "CREATE TABLE IF NOT EXISTS errands (name TEXT PRIMARY KEY, leased_until INTEGER) WITHOUT ROWID"
"""The same. Without a lease it is done."""

QUARANTINE_COLUMNS = ("size INTEGER", "attributes TEXT NOT NULL DEFAULT '{}'")
"""Came later, under the same format number: a Tipoff that does not know them neither misses nor breaks them."""


class StateFileError(Exception):
    """The file is not a state file that this Tipoff can use: names it, what is wrong, and the remedy."""


class StoreUnavailable(OSError):
    """The state file cannot be reached or written now: names it, why, and the remedy. Nothing has happened."""


AWAY = "Restore it from a backup, or move it away together with its -wal and -shm files to begin anew."
DAMAGED = {
    sqlite3.SQLITE_CORRUPT: f"is damaged. {AWAY}",
    sqlite3.SQLITE_NOTADB: f"is not an SQLite database. Name another home, or: {AWAY}",
}
UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "disk is full. Free space on its file system; the next call then works.",
    sqlite3.SQLITE_IOERR: "disk I/O error. Check free space, file size limit and disk; the next call tries again.",
    sqlite3.SQLITE_READONLY: "is read-only here. Make the file and its folder writable, or write from the process "
    "that has it open for writing.",
    sqlite3.SQLITE_CANTOPEN: "unable to open. Check that its folder exists, is a folder, and may be written.",
    sqlite3.SQLITE_BUSY: "locked by another process for too long. Find the process that hangs and end it.",
}


def explain(path: str, error: sqlite3.Error | Malformed) -> Exception:
    """What the world did wrong, in words; the error itself where the bug is ours."""
    if isinstance(error, Malformed):  # left as it is, the edge would blame the message in hand and quarantine that
        return StateFileError(
            f"state file {path}: holds a record that this Tipoff cannot read ({error}). "
            "Use the version of Tipoff that wrote it, or a newer one."
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind
    name = getattr(error, "sqlite_errorname", "")
    if code in DAMAGED:
        return StateFileError(f"state file {path}: {DAMAGED[code]} ({name})")
    if code in UNAVAILABLE:
        return StoreUnavailable(f"state file {path}: {UNAVAILABLE[code]} ({name})")
    return error


class SqliteFile:
    """The one connection of this process, handed out under its lock; errors of the world come out explained."""

    def __init__(
        self, path: Path | str, *, durability: Literal["process", "power"], read_only: bool, busy_s: float
    ) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        if Path(path).is_dir():  # SQLite would open it to read, and fail later in other words
            raise StoreUnavailable(f"state file {path}: unable to open. It is a folder; name the file in it.")
        try:
            self._connection = self._connect(read_only, busy_s)
            try:
                self._prepare(durability, read_only, busy_s)
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def _connect(self, read_only: bool, busy_s: float) -> sqlite3.Connection:
        memory = self.path == MEMORY
        mode = "ro" if read_only else "rwc"
        return sqlite3.connect(
            self.path if memory else f"{Path(self.path).absolute().as_uri()}?mode={mode}",
            uri=not memory,
            timeout=busy_s,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self, durability: Literal["process", "power"], read_only: bool, busy_s: float) -> None:
        execute = self._connection.execute
        execute("PRAGMA temp_store = MEMORY")
        execute(f"PRAGMA cache_size = -{CACHE_KB}")
        if read_only:
            self._check_format()
            return
        with self.writing():  # two processes may be first at the same moment
            if self._is_new():
                for statement in (*SCHEMA, *BATCH_SCHEMA):
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {VERSION}")
            elif self._is_of_2():
                self._bring_up_from_2()
            self._check_format()
            execute(BEATS)
            execute(ERRANDS)
            if not self._number("SELECT count(*) FROM pragma_table_info('quarantine') WHERE name = 'size'"):
                for column in QUARANTINE_COLUMNS:
                    execute(f"ALTER TABLE quarantine ADD COLUMN {column}")
        if self.path != MEMORY and execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            self._change_to_wal(busy_s)
        # Under NORMAL a commit is with the kernel: kill -9 loses nothing; a power cut may lose the last commits but
        # never damages the file, as OFF would, which is only some microseconds a commit faster.
        execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        execute(f"PRAGMA fullfsync = {int(durability == 'power')}")  # macOS: fsync alone stops at the drive's cache
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def _change_to_wal(self, busy_s: float) -> None:
        """Once in the life of a file. May be done by several processes at once.

        The change needs the file alone, and finding another writer there, who may be changing it too, it fails at once
        whatever the time-out. A transaction does wait, so one takes the file, and keeps it beyond its end for the
        change. On a connection of its own: one that changes to WAL while it keeps the file could never share it again.
        """
        with closing(self._connect(read_only=False, busy_s=busy_s)) as alone:
            alone.execute("BEGIN EXCLUSIVE")
            alone.execute("PRAGMA locking_mode = EXCLUSIVE")  # before BEGIN, two who wait would wait for each other
            alone.execute("COMMIT")
            alone.execute("PRAGMA journal_mode = WAL")

    def _is_new(self) -> bool:
        return not self._number("PRAGMA application_id") and not self._number("SELECT count(*) FROM sqlite_master")

    def _is_of_2(self) -> bool:
        return self._number("PRAGMA application_id") == APPLICATION_ID and self._number("PRAGMA user_version") == 2

    def _bring_up_from_2(self) -> None:
        """Within the transaction that opens the file. Runs, facts, ledger and messages stay.

        The batches are dropped, not translated: a batch is working state, whose results are in the warehouse and whose
        end is a fact of its run. One that was under way never reports; then its gate orders it again.
        """
        for table in BATCH_TABLES_OF_2:
            self._connection.execute(f"DROP TABLE {table}")
        for statement in BATCH_SCHEMA:
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def _check_format(self) -> None:
        found, version = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
        if found != APPLICATION_ID:
            raise StateFileError(
                f"state file {self.path}: is a database, but not one of Tipoff (application_id {found:#x}). "
                "Name another home."
            )
        if version == 2:  # opened for writing, it would have been brought up
            raise StateFileError(
                f"state file {self.path}: has format 2, this Tipoff knows {VERSION}. "
                "Any command of this version that writes, such as `tipoff run`, brings it up to date."
            )
        if version != VERSION:
            raise StateFileError(
                f"state file {self.path}: has format {version}, this Tipoff knows {VERSION}. "
                "Use the version of Tipoff that wrote it, or a newer one."
            )

    def _number(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For one statement: it sees one committed state of the file, also while another process writes."""
        with self._lock:
            try:
                yield self._connection
            except (sqlite3.Error, Malformed) as error:
                raise explain(self.path, error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed when the block ends, rolled back when anything is raised."""
        with self._lock:
            try:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
                    self._connection.execute("COMMIT")
                finally:
                    if self._connection.in_transaction:  # SQLite itself has rolled back after some errors
                        self._connection.execute("ROLLBACK")
            except (sqlite3.Error, Malformed) as error:
                raise explain(self.path, error) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()
