"""State and bus in one SQLite file (or in memory), for wiring: the embedded adapter of StateStore and Bus.

Both ports stand here because they share file and transactions; hence the length. The file itself, its tables and its
errors are in sqlite_file, batches in sqlite_batches.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from shared.adapters.sqlite_batches import SqliteBatches
from shared.adapters.sqlite_file import BUSY_S, SqliteFile
from shared.adapters.stored import (
    SECOND,
    Recent,
    from_micros,
    size_of,
    storable,
    storable_attributes,
    to_micros,
)
from shared.core.codec import decode, encode
from shared.core.messages import Message
from shared.core.model import WATCH, Control, Fact, Latch, LedgerEntry, RunKey
from shared.core.plan import Plan
from shared.ports import LOOK_WITHIN_S, QUARANTINE_BODY_MAX, Delivery, Errand, Quarantined, RunRecord

VIEWS_MAX = 256  # runs whose decoded facts stay in memory, about 100 KB each
PLANS_MAX = 256


class Sqlite:
    """State and bus on one file. `durability` "process" survives kill -9 at any moment, "power" also a power cut.

    `read_only` reads the home of another process while that one writes; writing verbs then raise StoreUnavailable.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durability: Literal["process", "power"] = "process",
        read_only: bool = False,
        attempts_max: int = 10,
        backoff_s: float = 1.0,
        backoff_max_s: float = 60.0,
        busy_s: float = BUSY_S,
    ) -> None:
        self._file = SqliteFile(path, durability=durability, read_only=read_only, busy_s=busy_s)
        self.states = SqliteStates(self._file)
        self.batches = SqliteBatches(self._file)
        self.bus = SqliteBus(self._file, attempts_max=attempts_max, backoff_s=backoff_s, backoff_max_s=backoff_max_s)

    def release_leases(self, now: datetime) -> None:
        """End every lease: for a writer that knows that nobody else can hold one."""
        with self._file.writing() as connection:
            at = to_micros(now)
            connection.execute(
                "UPDATE deliveries SET available_at = ? WHERE available_at > ? AND error IS NULL", (at, at)
            )
            connection.execute("UPDATE latches SET leased_until = ? WHERE leased_until > ?", (at, at))
            connection.execute("UPDATE errands SET leased_until = ? WHERE leased_until > ?", (at, at))
            connection.execute("UPDATE batches SET leased_until = ?1, due_at = ?1 WHERE leased_until > ?1", (at,))

    def close(self) -> None:
        """Idempotent."""
        self._file.close()


# --- state --------------------------------------------------------------------------------------------


UNREAD = RunRecord(facts=(), latches=(), control=Control(), last_entry=None, due_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run as far as this process has read it."""

    fact: int = 0  # the highest ids in it
    latch: int = 0
    entry: int = 0
    due: int | None = None  # the record's due_at as it stands in the file
    record: RunRecord = UNREAD

    def extend(self, rows: list[tuple[str, int, bytes]]) -> Seen:
        """With the rows of NEWER, which have not been in it."""
        fact, latch, entry, due = self.fact, self.latch, self.entry, self.due
        facts, latches = list(self.record.facts), list(self.record.latches)
        control, last_entry = self.record.control, self.record.last_entry
        for kind, number, body in sorted(rows):  # by kind, then id: the order of receipt
            match kind:
                case "fact":
                    fact = number
                    facts.append(decode(Fact, body))
                case "latch":
                    latch = number
                    latches.append(decode(Latch, body))
                case "entry":
                    entry, last_entry = number, decode(LedgerEntry, body)
                case "control":
                    control = decode(Control, body)
                case _:
                    due = number
        record = RunRecord(
            facts=tuple(facts),
            latches=tuple(latches),
            control=control,
            last_entry=last_entry,
            due_at=None if due is None else from_micros(due),
        )
        return Seen(fact=fact, latch=latch, entry=entry, due=due, record=record)


NEWER = """
SELECT 'fact', id, body FROM facts WHERE run = :run AND id > :fact
UNION ALL SELECT 'latch', id, body FROM latches WHERE run = :run AND id > :latch
UNION ALL SELECT 'control', version, body FROM controls WHERE run = :run AND version > :version
UNION ALL SELECT * FROM (
    SELECT 'entry', id, body FROM ledger WHERE run = :run AND id > :entry ORDER BY id DESC LIMIT 1)
UNION ALL SELECT 'due', due_at, NULL FROM runs WHERE run = :run AND due_at IS NOT :due"""
"""What a Seen has not seen, in one statement, so from one committed state.

"id > the highest seen" misses nothing, whoever writes: a new row gets the highest id of its table plus one while its
transaction holds the file's only write lock, and rows are never deleted, so ids rise in the order of the commits. A row
with a lower id than one we have read was committed before it, and we have read it too.
"""


class SqliteStates:
    """The port StateStore."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._views: Recent[Seen] = Recent(VIEWS_MAX)
        self._plans: Recent[Plan] = Recent(PLANS_MAX)

    def create_run(self, plan: Plan) -> bool:
        run, started_at = plan.run, to_micros(plan.started_at)
        columns = (str(run), run.pipeline, run.date.isoformat(), run.mode, run.generation, started_at, started_at)
        with self._file.writing() as connection:
            created = connection.execute(
                "INSERT INTO runs (run, pipeline, date, mode, generation, started_at, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                columns,
            ).rowcount
            if created:
                connection.execute("INSERT INTO plans (run, body) VALUES (?, ?)", (str(run), encode(plan)))
        return bool(created)

    def plan(self, run: RunKey) -> Plan | None:
        key = str(run)
        with self._file.reading() as connection:
            plan = self._plans.get(key)
            if plan is None:
                row = connection.execute("SELECT body FROM plans WHERE run = ?", (key,)).fetchone()
                if row is not None:
                    plan = decode(Plan, row[0])
                    self._plans.put(key, plan)
            return plan

    def append(self, fact: Fact) -> bool:
        row = (str(fact.completion.run), fact.completion.id, encode(fact))
        with self._file.writing() as connection:
            written = connection.execute(
                "INSERT INTO facts (run, key, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row
            ).rowcount
            if written:
                soon = to_micros(fact.received_at) + LOOK_WITHIN_S * SECOND
                connection.execute(
                    "UPDATE runs SET due_at = ?1 WHERE run = ?2 AND (due_at IS NULL OR due_at > ?1)", (soon, row[0])
                )
        return bool(written)

    def load(self, run: RunKey) -> RunRecord:
        key = str(run)
        with self._file.reading() as connection:
            view = self._views.get(key) or Seen()
            seen = {
                "run": key,
                "fact": view.fact,
                "latch": view.latch,
                "entry": view.entry,
                "due": view.due,
                "version": view.record.control.version,
            }
            rows = connection.execute(NEWER, seen).fetchall()
            if rows:
                view = view.extend(rows)
                self._views.put(key, view)
            return view.record

    def claim(
        self,
        run: RunKey,
        *,
        control_version: int,
        latches: Sequence[Latch],
        entry: LedgerEntry | None,
        due_at: datetime | None,
        now: datetime,
        lease_s: int,
    ) -> tuple[Latch, ...] | None:
        key, leased_until, due = str(run), to_micros(now) + lease_s * SECOND, to_micros(due_at) if due_at else None
        bodies = [encode(latch) for latch in latches]
        created = []
        with self._file.writing() as connection:
            if version_of(connection, key) != control_version:
                return None
            for latch, body in zip(latches, bodies, strict=True):
                written = connection.execute(
                    "INSERT INTO latches (run, key, leased_until, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (key, latch.key, leased_until, body),
                ).rowcount
                if written:
                    created.append(latch)
                elif latch is latches[0] and latch.outcome is not None:
                    return None  # nothing has been written yet
            if entry is not None:
                connection.execute("INSERT INTO ledger (run, body) VALUES (?, ?)", (key, encode(entry)))
            connection.execute("UPDATE runs SET due_at = ? WHERE run = ? AND due_at IS NOT ?", (due, key, due))
        return tuple(created)

    def close(self, run: RunKey, keys: Sequence[str]) -> None:
        with self._file.writing() as connection:
            connection.executemany(
                "UPDATE latches SET leased_until = NULL WHERE run = ? AND key = ?", [(str(run), key) for key in keys]
            )

    def take_lapsed(self, now: datetime, lease_s: int, limit: int) -> tuple[Latch, ...]:
        at = to_micros(now)
        with self._file.writing() as connection:
            rows = connection.execute(
                "UPDATE latches SET leased_until = ? WHERE id IN"
                " (SELECT id FROM latches WHERE leased_until <= ? ORDER BY leased_until LIMIT ?) RETURNING id, body",
                (at + lease_s * SECOND, at, limit),
            ).fetchall()
            return tuple(decode(Latch, body) for _, body in sorted(rows))

    def set_control(self, run: RunKey, control: Control) -> bool:
        key = str(run)
        with self._file.writing() as connection:
            if version_of(connection, key) != control.version - 1:
                return False
            connection.execute(
                "INSERT OR REPLACE INTO controls (run, version, body) VALUES (?, ?, ?)",
                (key, control.version, encode(control)),
            )
        return True

    def due_runs(self, now: datetime, limit: int) -> tuple[RunKey, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT run FROM runs WHERE due_at <= ? ORDER BY due_at, run LIMIT ?", (to_micros(now), limit)
            ).fetchall()
        return tuple(RunKey.parse(run) for (run,) in rows)

    def runs(self, pipeline: str, first: date, last: date) -> tuple[RunKey, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT run FROM runs WHERE pipeline = ? AND date BETWEEN ? AND ?"
                " ORDER BY date, started_at, generation, run",
                (pipeline, first.isoformat(), last.isoformat()),
            ).fetchall()
        return tuple(key for (run,) in rows if (key := RunKey.parse(run)).mode != WATCH)

    def ledger(self, run: RunKey) -> tuple[LedgerEntry, ...]:
        with self._file.reading() as connection:
            rows = connection.execute("SELECT body FROM ledger WHERE run = ? ORDER BY id", (str(run),)).fetchall()
            return tuple(decode(LedgerEntry, body) for (body,) in rows)

    def quarantine(self, item: Quarantined) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO quarantine (message, run, topic, reason, at, body, size, attributes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    item.id,
                    item.run,
                    item.topic,
                    storable(item.reason),
                    to_micros(item.at),
                    item.body[:QUARANTINE_BODY_MAX],
                    size_of(item),
                    storable_attributes(item.attributes),
                ),
            )

    def quarantined(self, limit: int) -> tuple[Quarantined, ...]:
        with self._file.reading() as connection:
            # All columns: who only reads may meet a file that nobody has given the later ones yet.
            found = connection.execute("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", (limit,))
            names = [column[0] for column in found.description]
            return tuple(to_quarantined(dict(zip(names, row, strict=True))) for row in found)

    def forget(self, ids: Sequence[str]) -> tuple[str, ...]:
        with self._file.writing() as connection:
            gone = connection.execute(
                "DELETE FROM quarantine WHERE message IN (SELECT value FROM json_each(?)) RETURNING message",
                (json.dumps(list(ids)),),
            ).fetchall()
        return among(ids, {message for (message,) in gone})

    def beat(self, name: str, at: datetime) -> None:
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO beats (name, at) VALUES (?, ?)", (name, to_micros(at)))

    def beats(self) -> Mapping[str, datetime]:
        with self._file.reading() as connection:
            # Who only reads may meet a file that nobody has given this table yet.
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'beats'").fetchone():
                return {}
            rows = connection.execute("SELECT name, at FROM beats ORDER BY name").fetchall()
        return {name: from_micros(at) for name, at in rows}

    def take_errand(self, name: str, now: datetime, lease_s: int) -> Errand:
        at = to_micros(now)
        with self._file.writing() as connection:
            row = connection.execute("SELECT leased_until FROM errands WHERE name = ?", (name,)).fetchone()
            if row and row[0] is None:
                return Errand.DONE
            if row and row[0] > at:
                return Errand.OTHERS
            taken = (name, at + lease_s * SECOND)
            connection.execute("INSERT OR REPLACE INTO errands (name, leased_until) VALUES (?, ?)", taken)
        return Errand.MINE

    def end_errand(self, name: str) -> None:
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO errands (name, leased_until) VALUES (?, NULL)", (name,))


def version_of(connection: sqlite3.Connection, run: str) -> int:
    """Of the run's control, 0 where nobody has set any; a run may be held before it exists."""
    row = connection.execute("SELECT version FROM controls WHERE run = ?", (run,)).fetchone()
    return int(row[0]) if row else 0


def to_quarantined(row: Mapping[str, Any]) -> Quarantined:
    return Quarantined(
        id=row["message"],
        run=row["run"],
        topic=row["topic"],
        reason=row["reason"],
        at=from_micros(row["at"]),
        body=row["body"],
        size=row.get("size"),
        attributes=json.loads(row.get("attributes", "{}")),
    )


def among(ids: Sequence[str], done: Set[str]) -> tuple[str, ...]:
    """Those of the ids that were done, each once, in the order given."""
    return tuple(id for id in dict.fromkeys(ids) if id in done)


# --- bus ----------------------------------------------------------------------------------------------

DELIVERY = "subscription, attempt, published_at, topic, attributes, data"
Row = tuple[int, str, int, int, str, str, bytes]
"""An id and the columns of DELIVERY."""
WAITING = (
    "SELECT * FROM (SELECT id, available_at FROM deliveries"
    " WHERE subscription = ? AND available_at <= ? ORDER BY available_at, id LIMIT ?)"
)
LAPSED = "never acknowledged: its lease lapsed on every attempt"
BURIALS_MAX = 100  # rounds of one pull that find only messages to bury; the next pull goes on


FIRST = "SELECT 1 FROM deliveries WHERE subscription IN ({}) AND available_at <= ? LIMIT 1"


class SqliteBus:
    """The port Bus. A message lives as one row per subscription; acknowledged, the row goes."""

    def __init__(self, file: SqliteFile, *, attempts_max: int, backoff_s: float, backoff_max_s: float) -> None:
        self._file = file
        self._attempts_max = attempts_max
        self._backoff_s = backoff_s
        self._backoff_max_s = backoff_max_s

    def subscribe(self, subscription: str, topic: str) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO subscriptions (topic, subscription) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (topic, subscription),
            )

    def hears(self, subscription: str, topic: str) -> bool:
        with self._file.reading() as connection:
            asked = "SELECT 1 FROM subscriptions WHERE topic = ? AND subscription = ?"
            return connection.execute(asked, (topic, subscription)).fetchone() is not None

    def publish(self, messages: Sequence[Message], now: datetime) -> None:
        at = to_micros(now)
        rows = [(at, at, json.dumps(dict(message.attributes)), message.data, message.topic) for message in messages]
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT INTO deliveries (subscription, topic, available_at, published_at, attributes, data)"
                " SELECT subscription, topic, ?, ?, ?, ? FROM subscriptions WHERE topic = ?",
                rows,
            )

    def pull(self, subscriptions: Sequence[str], *, limit: int, now: datetime, lease_s: int) -> list[Delivery]:
        at, names = to_micros(now), list(dict.fromkeys(subscriptions))
        pulled: list[Delivery] = []
        with self._file.reading() as connection:  # mostly there is nothing: that is not worth the write lock
            first = connection.execute(FIRST.format(", ".join("?" * len(names))), (*names, at)).fetchone()
        if first is None:
            return pulled
        with self._file.writing() as connection:
            for _ in range(BURIALS_MAX if names else 0):
                wanted = limit - len(pulled)
                rows = lease(connection, names, limit=wanted, at=at, until=at + lease_s * SECOND)
                for row in sorted(rows):  # by id: the oldest first
                    delivery = to_delivery(row)
                    if delivery.attempt <= self._attempts_max:
                        pulled.append(delivery)
                    else:
                        bury(connection, row[0], attempt=delivery.attempt - 1)
                if len(rows) < wanted or len(pulled) == limit:
                    break
        return pulled

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM deliveries WHERE id = ?", [(int(each.id),) for each in deliveries])

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:
        pause_s = min(self._backoff_s * 2 ** min(delivery.attempt - 1, 32), self._backoff_max_s)
        with self._file.writing() as connection:
            # Only the last holder has a say: who comes after his lease was given to another is too late.
            held = connection.execute(
                "UPDATE deliveries SET available_at = ?, error = ? WHERE id = ? AND attempt = ?",
                (to_micros(now) + round(pause_s * SECOND), storable(error), int(delivery.id), delivery.attempt),
            ).rowcount
            buried = bool(held) and delivery.attempt >= self._attempts_max
            if buried:
                bury(connection, int(delivery.id), attempt=delivery.attempt)
        return buried

    def next_at(self) -> datetime | None:
        with self._file.reading() as connection:
            (at,) = connection.execute(
                "SELECT min((SELECT min(available_at) FROM deliveries"
                " WHERE deliveries.subscription = subscriptions.subscription)) FROM subscriptions"
            ).fetchone()
        return None if at is None else from_micros(at)

    def dead_letters(self, limit: int) -> list[tuple[Delivery, str]]:
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT error, delivery, {DELIVERY} FROM dead_letters ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [(to_delivery(row), error) for error, *row in rows]

    def redrive(self, ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """One step, to the subscription that it died in alone: the others of the topic have had it."""
        at, numbers = to_micros(now), numbers_of(ids)
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO deliveries (subscription, topic, available_at, published_at, attributes, data)"
                f" SELECT subscription, topic, ?1, ?1, attributes, data FROM dead_letters WHERE {THESE} ORDER BY id",
                (at, numbers),
            )
            return exhume(connection, ids)

    def purge(self, ids: Sequence[str]) -> tuple[str, ...]:
        with self._file.writing() as connection:
            return exhume(connection, ids)


def lease(connection: sqlite3.Connection, names: list[str], *, limit: int, at: int, until: int) -> list[Row]:
    """One walk into the index for each subscription: no scan, however many messages wait."""
    waiting = " UNION ALL ".join([WAITING] * len(names))
    values = [value for name in names for value in (name, at, limit)]
    rows: list[Row] = connection.execute(
        "UPDATE deliveries SET attempt = attempt + 1, available_at = ? WHERE id IN"
        f" (SELECT id FROM ({waiting}) ORDER BY available_at, id LIMIT ?) RETURNING id, {DELIVERY}",
        (until, *values, limit),
    ).fetchall()
    return rows


def bury(connection: sqlite3.Connection, delivery: int, *, attempt: int) -> None:
    """Move a message to the dead letters after this attempt, within the caller's transaction."""
    connection.execute(
        "INSERT INTO dead_letters (delivery, subscription, attempt, published_at, topic, attributes, error, data)"
        " SELECT id, subscription, ?, published_at, topic, attributes, coalesce(error, ?), data"
        " FROM deliveries WHERE id = ?",
        (attempt, LAPSED, delivery),
    )
    connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery,))


THESE = "delivery IN (SELECT value FROM json_each(?2))"


def exhume(connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[str, ...]:
    """Take these out of the dead letters, within the caller's transaction; the ids of those that were there."""
    rows = connection.execute(
        f"DELETE FROM dead_letters WHERE {THESE} RETURNING delivery", (None, numbers_of(ids))
    ).fetchall()
    return among(ids, {str(number) for (number,) in rows})


def numbers_of(ids: Sequence[str]) -> str:
    """As JSON, those that this bus can have given: any other text names nothing here."""
    digits = [id for id in ids if id.isascii() and id.isdecimal() and len(id) < len(str(2**63))]
    return json.dumps([int(id) for id in digits if id == str(int(id))])


def to_delivery(row: Sequence[Any]) -> Delivery:
    key, subscription, attempt, published_at, topic, attributes, data = row
    return Delivery(
        id=str(key),
        topic=topic,
        subscription=subscription,
        data=data,
        attributes=json.loads(attributes),
        attempt=attempt,
        published_at=from_micros(published_at),
    )
