"""The port BatchStore on the SQLite file that state and bus share, for wiring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from shared.adapters.sqlite_file import SqliteFile
from shared.adapters.stored import SECOND, from_micros, to_micros
from shared.core.batch import Batch, BatchRecord, Chunk, ChunkReport, Ordered, Seal
from shared.core.codec import decode, encode
from shared.ports import BEGUN_WITHIN_S

ORDER = "chunk, number, tries, places, ordered_at, reported_at, rest"
NEW_ORDER = (
    "INSERT INTO batch_orders (batch, chunk, number, tries, places, ordered_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


class SqliteBatches:
    """Keeps the promises of ports.BatchStore; any number of threads and processes."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def create(self, batch: Batch, chunks: Sequence[Chunk], orders: Sequence[Ordered]) -> bool:
        at = to_micros(batch.created_at)
        bodies = [(batch.id, chunk.number, encode(chunk)) for chunk in chunks]
        with self._file.writing() as connection:
            created = connection.execute(
                "INSERT INTO batches (id, pipeline, likeness, chunks, created_at, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (batch.id, batch.start.run.pipeline, batch.like, batch.chunks, at, at + BEGUN_WITHIN_S * SECOND),
            ).rowcount
            if created:
                connection.execute("INSERT INTO batch_bodies (batch, body) VALUES (?, ?)", (batch.id, encode(batch)))
                connection.executemany("INSERT INTO batch_chunks (batch, chunk, body) VALUES (?, ?, ?)", bodies)
                connection.executemany(NEW_ORDER, [row_of(batch.id, each) for each in orders])
        return bool(created)

    def batch(self, id: str) -> Batch | None:
        with self._file.reading() as connection:
            row = connection.execute("SELECT body FROM batch_bodies WHERE batch = ?", (id,)).fetchone()
            return decode(Batch, row[0]) if row else None

    def chunks(self, id: str, numbers: Sequence[int] | None = None) -> tuple[Chunk, ...]:
        some = "" if numbers is None else "AND chunk IN (SELECT value FROM json_each(?))"
        values = (id,) if numbers is None else (id, json.dumps(list(numbers)))
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT body FROM batch_chunks WHERE batch = ? {some} ORDER BY chunk", values
            ).fetchall()
            return tuple(decode(Chunk, body) for (body,) in rows)

    def ordered(self, id: str, chunk: int) -> tuple[Ordered, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                f"SELECT {ORDER} FROM batch_orders WHERE batch = ? AND chunk = ? ORDER BY number", (id, chunk)
            ).fetchall()
        return tuple(to_ordered(row) for row in rows)

    def order(self, id: str, orders: Sequence[Ordered]) -> tuple[Ordered, ...]:
        with self._file.writing() as connection:
            return tuple(each for each in orders if connection.execute(NEW_ORDER, row_of(id, each)).rowcount)

    def record(self, report: ChunkReport, *, rest: Sequence[int], ended: bool, at: datetime) -> int | None:
        key = (report.batch, report.chunk, report.number)
        body = encode(report)
        with self._file.writing() as connection:
            row = connection.execute("SELECT sealed, chunks FROM batches WHERE id = ?", (report.batch,)).fetchone()
            if row is None or row[0]:
                return None
            new = connection.execute(
                "INSERT INTO batch_reports (batch, chunk, number, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*key, body),
            ).rowcount
            if new:
                connection.execute(
                    "UPDATE batch_orders SET reported_at = ?, rest = ?, ended = ?"
                    " WHERE batch = ? AND chunk = ? AND number = ?",
                    (to_micros(at), json.dumps(list(rest)), ended, *key),
                )
            (over,) = connection.execute(
                "SELECT count(DISTINCT chunk) FROM batch_orders WHERE batch = ? AND ended", (report.batch,)
            ).fetchone()
            return int(row[1]) - int(over)

    def reports(self, id: str) -> tuple[ChunkReport, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT body FROM batch_reports WHERE batch = ? ORDER BY chunk, number", (id,)
            ).fetchall()
            return tuple(decode(ChunkReport, body) for (body,) in rows)

    def load(self, id: str) -> BatchRecord | None:
        batch = self.batch(id)
        if batch is None:
            return None
        with self._file.reading() as connection:
            sealed = connection.execute("SELECT body FROM batch_seals WHERE batch = ?", (id,)).fetchone()
            orders = connection.execute(
                f"SELECT {ORDER} FROM batch_orders WHERE batch = ? ORDER BY chunk, number", (id,)
            ).fetchall()
            seal = decode(Seal, sealed[0]) if sealed else None
        return BatchRecord(batch=batch, ordered=tuple(to_ordered(row) for row in orders), seal=seal)

    def seal(self, seal: Seal, now: datetime, lease_s: int) -> Seal | None:
        at = to_micros(now)
        until = at + lease_s * SECOND
        with self._file.writing() as connection:
            created = connection.execute(
                "UPDATE batches SET sealed = 1, leased_until = ?1, due_at = ?1 WHERE id = ?2 AND NOT sealed",
                (until, seal.batch),
            ).rowcount
            if created:
                connection.execute("INSERT INTO batch_seals (batch, body) VALUES (?, ?)", (seal.batch, encode(seal)))
                return seal
            taken = connection.execute(
                "UPDATE batches SET leased_until = ?1, due_at = ?1 WHERE id = ?2 AND leased_until <= ?3",
                (until, seal.batch, at),
            ).rowcount
            if not taken:
                return None
            (body,) = connection.execute("SELECT body FROM batch_seals WHERE batch = ?", (seal.batch,)).fetchone()
            return decode(Seal, body)

    def conclude(self, seal: Seal) -> Seal:
        with self._file.writing() as connection:
            (body,) = connection.execute("SELECT body FROM batch_seals WHERE batch = ?", (seal.batch,)).fetchone()
            stands = decode(Seal, body)
            if stands.completion is None:
                connection.execute("UPDATE batch_seals SET body = ? WHERE batch = ?", (encode(seal), seal.batch))
                return seal
            return stands

    def close(self, seal: Seal) -> None:
        ended_at = to_micros(seal.at) if seal.is_usual else None
        with self._file.writing() as connection:
            closed = connection.execute(
                "UPDATE batches SET leased_until = NULL, due_at = NULL, ended_at = ?"
                " WHERE id = ? AND leased_until IS NOT NULL",
                (ended_at, seal.batch),
            ).rowcount
            if closed:
                connection.execute("UPDATE batch_seals SET body = ? WHERE batch = ?", (encode(seal), seal.batch))

    def look_at(self, id: str, due_at: datetime, now: datetime) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE batches SET due_at = ?1 WHERE id = ?2 AND NOT sealed AND (due_at <= ?3 OR due_at > ?1)",
                (to_micros(due_at), id, to_micros(now)),
            )

    def due(self, now: datetime, limit: int) -> tuple[str, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM batches WHERE due_at <= ? ORDER BY due_at, id LIMIT ?", (to_micros(now), limit)
            ).fetchall()
        return tuple(id for (id,) in rows)

    def next_at(self) -> datetime | None:
        with self._file.reading() as connection:
            (at,) = connection.execute("SELECT min(due_at) FROM batches WHERE due_at IS NOT NULL").fetchone()
        return None if at is None else from_micros(at)

    def history(self, like: str, limit: int) -> tuple[float, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT ended_at - created_at FROM batches WHERE likeness = ? AND ended_at IS NOT NULL"
                " ORDER BY ended_at DESC, id DESC LIMIT ?",
                (like, limit),
            ).fetchall()
        return tuple(took / SECOND for (took,) in rows)

    def latest(self, pipeline: str, limit: int) -> tuple[str, ...]:
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM batches WHERE pipeline = ? ORDER BY created_at DESC, id DESC LIMIT ?",
                (pipeline, limit),
            ).fetchall()
        return tuple(id for (id,) in rows)


def row_of(batch: str, order: Ordered) -> tuple[str, int, int, int, str, int]:
    """As NEW_ORDER takes it."""
    places = json.dumps(order.places, separators=(",", ":"))
    return (batch, order.chunk, order.number, order.tries, places, to_micros(order.at))


def to_ordered(row: Sequence[object]) -> Ordered:
    chunk, number, tries, places, ordered_at, reported_at, rest = row
    return Ordered(
        chunk=int(str(chunk)),
        number=int(str(number)),
        tries=int(str(tries)),
        places=tuple(json.loads(str(places))),
        at=from_micros(int(str(ordered_at))),
        reported_at=None if reported_at is None else from_micros(int(str(reported_at))),
        rest=tuple(json.loads(str(rest))),
    )
