"""The port BatchStore on the Firestore database that state is in, for wiring.

What ended is counted by its markers, one a chunk: no document is written by every report. Why so:
docs/08-projects/decisions/0008-firestore.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from google.api_core.exceptions import Aborted, AlreadyExists
from google.cloud.firestore import (
    DELETE_FIELD,
    DocumentReference,
    LastUpdateOption,
    Query,
    Transaction,
)
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.firestore_database import (
    CONTENDED,
    FirestoreDatabase,
    Found,
    body_of,
    explained,
    id_of,
    micros_of,
    text_of,
    value_of,
)
from shared.adapters.stored import SECOND, Recent, from_micros, to_micros
from shared.core.batch import Batch, BatchRecord, Chunk, ChunkReport, Ordered, Seal
from shared.ports import BEGUN_WITHIN_S

BATCHES_MAX = 16  # in memory: a model and the skipped units, some 100 KB each
COMMIT_MAX = 2_500_000  # bytes of chunks; a request holds 10 MiB, the emulator's 4, and the batch and its orders too


@dataclass(frozen=True, slots=True)
class Known:
    """What never changes of a batch."""

    batch: Batch
    chunks_of: str  # whose part its chunks are: of the batch itself, unless they were too large to go with it


class FirestoreBatches:
    """Keeps the promises of ports.BatchStore; any number of threads, processes and machines."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self.database = database
        self._client = database.client
        self._batches: Recent[Known] = Recent(BATCHES_MAX)

    @explained
    def create(self, batch: Batch, chunks: Sequence[Chunk], orders: Sequence[Ordered]) -> bool:
        """One commit. Chunks that are too large for it are written ahead, where nobody looks before the batch says so.

        Who is killed in between, or is not the first, leaves such chunks behind unread.
        """
        reference, at = self._batch(batch.id), to_micros(batch.created_at)
        bodies = {each.number: body_of(each, f"chunk {each.number} of {batch.id}") for each in chunks}
        fields: dict[str, object] = {
            "pipeline": batch.start.run.pipeline,
            "created_at": at,
            "due_at": at + BEGUN_WITHIN_S * SECOND,
            "body": body_of(batch, f"batch {batch.id}"),
        }
        if sum(map(len, bodies.values())) > COMMIT_MAX:
            if reference.get(["due_at"]).exists:
                return False
            fields["chunks_of"] = self._write_ahead(batch.id, bodies)
            bodies = {}
        writes = self._client.batch()
        writes.create(reference, fields)
        for number, body in bodies.items():
            writes.create(self._part(batch.id, "chunks", number), {"body": body})
        for each in orders:
            writes.create(self._part(batch.id, "orders", each.chunk, each.number), fields_of(each))
        return self.database.commit(writes)

    def _write_ahead(self, id: str, bodies: Mapping[int, bytes]) -> str:
        """As parts of a name that no other creator has: of two, each reads the chunks that go with the batch."""
        owner, writes, size = f"{id}/{uuid4().hex}", self._client.batch(), 0
        for number, body in bodies.items():
            if size + len(body) > COMMIT_MAX:
                self.database.commit(writes)  # if it finds them there, they are its own: an answer got lost
                writes, size = self._client.batch(), 0
            writes.create(self._part(owner, "chunks", number), {"body": body})
            size += len(body)
        self.database.commit(writes)
        return owner

    @explained
    def batch(self, id: str) -> Batch | None:
        known = self._known(id)
        return known.batch if known else None

    def _known(self, id: str) -> Known | None:
        known = self._batches.get(id)
        if known is None and (found := self._batch(id).get(["body", "chunks_of"])).exists:
            known = Known(value_of(Batch, found), (found.to_dict() or {}).get("chunks_of", id))
            self._batches.put(id, known)
        return known

    @explained
    def chunks(self, id: str, numbers: Sequence[int] | None = None) -> tuple[Chunk, ...]:
        known = self._known(id)
        if known is None:
            return ()
        if numbers is None:
            found = {each.id: each for each in self._batch(known.chunks_of).collection("chunks").stream()}
        else:
            found = self.database.there(self._part(known.chunks_of, "chunks", number) for number in numbers)
        return tuple(value_of(Chunk, found[name]) for name in sorted(found))

    # --- orders and reports -----------------------------------------------------------------------------

    @explained
    def ordered(self, id: str, chunk: int) -> tuple[Ordered, ...]:
        of_chunk = self._batch(id).collection("orders").where(filter=FieldFilter("chunk", "==", chunk))
        return in_order(of_chunk.stream())

    @explained
    def order(self, id: str, orders: Sequence[Ordered]) -> tuple[Ordered, ...]:
        free = {self._part(id, "orders", each.chunk, each.number).id: each for each in orders}
        while free:
            writes = self._client.batch()
            for each in free.values():
                writes.create(self._part(id, "orders", each.chunk, each.number), fields_of(each))
            if self.database.commit(writes):
                break
            taken = self.database.there(self._batch(id).collection("orders").document(name) for name in free)
            free = {name: each for name, each in free.items() if name not in taken}
        return tuple(free.values())

    @explained
    def record(self, report: ChunkReport, *, rest: Sequence[int], ended: bool, at: datetime) -> int | None:
        """A transaction reads the seal alone, which nobody writes before the end: reports never wait for each other.

        Whose marker is the newest of all is the last one, by the commits' own times: exactly one is.
        """
        known = self._known(report.batch)
        if known is None:
            return None
        chunks = known.batch.chunks
        body = body_of(report, f"report {report.number} of chunk {report.chunk} of {report.batch}")

        def step(transaction: Transaction) -> bool:
            if self._seal(report.batch).get(["batch"], transaction=transaction).exists:
                return False
            place = (report.chunk, report.number)
            transaction.create(self._part(report.batch, "reports", *place), {"body": body})
            reported = {"reported_at": to_micros(at), "rest": list(rest)}
            transaction.set(self._part(report.batch, "orders", *place), reported, merge=True)
            if ended:  # not created: another try may have ended the chunk before
                transaction.set(self._part(report.batch, "ended", report.chunk), {}, merge=True)
            return True

        try:
            if not self.database.transact(step):
                return None
        except AlreadyExists:
            return chunks - self._ended(report.batch)
        left = chunks - self._ended(report.batch)
        return left if left or not ended else self._left_behind(report)

    def _ended(self, id: str) -> int:
        return self.database.count(self._batch(id).collection("ended"))

    def _left_behind(self, report: ChunkReport) -> int:
        """How many chunks ended after this report's own."""
        found = self._batch(report.batch).collection("ended").stream()
        names = [each.id for each in sorted(found, key=lambda each: (each.create_time, each.id))]
        return len(names) - 1 - names.index(self._part(report.batch, "ended", report.chunk).id)

    @explained
    def reports(self, id: str) -> tuple[ChunkReport, ...]:
        found = sorted(self._batch(id).collection("reports").stream(), key=lambda each: each.id)
        return tuple(value_of(ChunkReport, each) for each in found)

    @explained
    def load(self, id: str) -> BatchRecord | None:
        known = self._known(id)
        if known is None:
            return None
        seal = self._seal(id).get(["body"])
        return BatchRecord(
            batch=known.batch,
            ordered=in_order(self._batch(id).collection("orders").stream()),
            seal=value_of(Seal, seal) if seal.exists else None,
        )

    # --- the seal ---------------------------------------------------------------------------------------

    @explained
    def seal(self, seal: Seal, now: datetime, lease_s: int) -> Seal | None:
        until, reference = to_micros(now) + lease_s * SECOND, self._seal(seal.batch)
        body = body_of(seal, f"seal of {seal.batch}")
        writes = self._client.batch()
        writes.create(reference, {"batch": seal.batch, "leased_until": until, "body": body})
        writes.update(self._batch(seal.batch), {"due_at": until, "sealed": True})
        if self.database.commit(writes):
            return seal
        found = reference.get()
        leased_until = micros_of(found, "leased_until") if found.exists else None
        if leased_until is None or leased_until > to_micros(now):
            return None
        writes = self._client.batch()
        writes.update(reference, {"leased_until": until}, option=LastUpdateOption(found.update_time))
        writes.update(self._batch(seal.batch), {"due_at": until})
        return value_of(Seal, found) if self.database.commit(writes) else None

    @explained
    def conclude(self, seal: Seal) -> Seal:
        """Written if unchanged since it was read: who takes the lease up writes the same document."""
        reference, body = self._seal(seal.batch), body_of(seal, f"seal of {seal.batch}")

        def attempt() -> Seal:
            found = reference.get()
            stands = value_of(Seal, found)
            if stands.completion:
                return stands
            writes = self._client.batch()
            writes.update(reference, {"body": body}, option=LastUpdateOption(found.update_time))
            if not self.database.commit(writes):
                raise Aborted(f"another wrote the seal of {seal.batch}")
            return seal

        return CONTENDED(attempt)()

    @explained
    def close(self, seal: Seal) -> None:
        """A document that is created once lets the first alone write, whoever has taken up the lease meanwhile.

        That document is also the batch's place in the history.
        """
        known = self._known(seal.batch)
        if known is None:
            return
        body = body_of(seal, f"seal of {seal.batch}")
        writes = self._client.batch()
        closed = took(known.batch, seal) if seal.is_usual else {}
        writes.create(self._client.collection("closed").document(id_of(seal.batch)), closed)
        writes.update(self._seal(seal.batch), {"leased_until": DELETE_FIELD, "body": body})
        writes.update(self._batch(seal.batch), {"due_at": DELETE_FIELD})
        self.database.commit(writes)

    # --- the timer --------------------------------------------------------------------------------------

    @explained
    def look_at(self, id: str, due_at: datetime, now: datetime) -> None:
        """Read, then written if unchanged: one or two at a time advance a batch, and no report writes its document.

        Who came between has sealed the batch or set a look of his own: then it is read again.
        """
        reference, wanted = self._batch(id), to_micros(due_at)

        def attempt() -> None:
            found = reference.get(["due_at", "sealed"])
            fields = found.to_dict() or {}
            if not fields or "sealed" in fields:
                return
            if fields["due_at"] == wanted or to_micros(now) < fields["due_at"] < wanted:
                return
            writes = self._client.batch()
            writes.update(reference, {"due_at": wanted}, option=LastUpdateOption(found.update_time))
            if not self.database.commit(writes):
                raise Aborted(f"another wrote when to look at {id}")

        CONTENDED(attempt)()

    @explained
    def due(self, now: datetime, limit: int) -> tuple[str, ...]:
        due = self._client.collection("batches").where(filter=FieldFilter("due_at", "<=", to_micros(now)))
        return tuple(text_of(each.id) for each in due.order_by("due_at").limit(limit).select([]).stream())

    @explained
    def next_at(self) -> datetime | None:
        first = self._client.collection("batches").order_by("due_at").limit(1).select(["due_at"]).stream()
        return next((from_micros(each.get("due_at")) for each in first), None)

    # --- looking back -----------------------------------------------------------------------------------

    @explained
    def history(self, like: str, limit: int) -> tuple[float, ...]:
        alike = self._client.collection("closed").where(filter=FieldFilter("like", "==", like))
        newest = alike.order_by("at", direction=Query.DESCENDING).limit(limit).select(["seconds"])
        return tuple(float(each.get("seconds")) for each in newest.stream())

    @explained
    def latest(self, pipeline: str, limit: int) -> tuple[str, ...]:
        of_it = self._client.collection("batches").where(filter=FieldFilter("pipeline", "==", pipeline))
        newest = of_it.order_by("created_at", direction=Query.DESCENDING).limit(limit).select([])
        return tuple(text_of(each.id) for each in newest.stream())

    # --- where it stands --------------------------------------------------------------------------------

    def _batch(self, id: str) -> DocumentReference:
        return self._client.collection("batches").document(id_of(id))

    def _seal(self, id: str) -> DocumentReference:
        return self._client.collection("seals").document(id_of(id))

    def _part(self, id: str, kind: str, *numbers: int) -> DocumentReference:
        """Ids sort as their numbers do."""
        name = ".".join(f"{number:06d}" for number in numbers)
        part: DocumentReference = self._batch(id).collection(kind).document(name)
        return part


def in_order(found: Iterable[Found]) -> tuple[Ordered, ...]:
    return tuple(
        to_ordered(each)
        for each in sorted(found, key=lambda each: each.id)
        if micros_of(each, "ordered_at") is not None
    )


def fields_of(order: Ordered) -> dict[str, object]:
    return {
        "chunk": order.chunk,
        "number": order.number,
        "tries": order.tries,
        "places": list(order.places),
        "ordered_at": to_micros(order.at),
    }


def took(batch: Batch, seal: Seal) -> dict[str, object]:
    """What the history keeps of it."""
    at = to_micros(seal.at)
    return {"like": batch.like, "at": at, "seconds": (at - to_micros(batch.created_at)) / SECOND}


def to_ordered(found: Found) -> Ordered:
    fields = found.to_dict() or {}
    reported_at = fields.get("reported_at")
    return Ordered(
        chunk=fields["chunk"],
        number=fields["number"],
        tries=fields["tries"],
        places=tuple(fields["places"]),
        at=from_micros(fields["ordered_at"]),
        reported_at=None if reported_at is None else from_micros(reported_at),
        rest=tuple(fields.get("rest", ())),
    )
