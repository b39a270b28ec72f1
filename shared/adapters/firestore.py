"""The port StateStore on Google's Firestore, for wiring: the service itself, or its emulator on this machine.

What a run appends stands in its subcollection `records`, a document each, created once; of these only a latch's lease
ever changes. Two documents that do change stand beside them, so that one query shows a run whole: `control`, which
operators alone write, and `look`, which is never read before it is written. No document is read to be rewritten by the
many. Why so, and what it costs: docs/08-projects/decisions/0008-firestore.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from google.api_core.exceptions import AlreadyExists
from google.cloud.firestore import (
    DELETE_FIELD,
    SERVER_TIMESTAMP,
    CollectionReference,
    DocumentReference,
    LastUpdateOption,
    Minimum,
    Query,
    Transaction,
)
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.firestore_batches import FirestoreBatches
from shared.adapters.firestore_database import (
    NEWER_THAN_ALL,
    FirestoreDatabase,
    Found,
    body_of,
    explained,
    id_of,
    micros_of,
    text_of,
    value_of,
)
from shared.adapters.stored import (
    SECOND,
    Recent,
    from_micros,
    size_of,
    storable,
    storable_attributes,
    to_micros,
)
from shared.core.model import WATCH, Control, Fact, Latch, LedgerEntry, RunKey
from shared.core.plan import Plan
from shared.ports import LOOK_WITHIN_S, QUARANTINE_BODY_MAX, BatchStore, Errand, Quarantined, RunRecord, StateStore

VIEWS_MAX = 64  # runs whose facts and latches stay in memory, about 100 KB each
PLANS_MAX = 64


class Firestore:
    """State and batches in one database. One for a process: it is one connection.

    `emulator` is its host:port; without it, the service, with the credentials of the environment.
    """

    def __init__(self, project: str, *, database: str = "(default)", emulator: str | None = None) -> None:
        self.database = FirestoreDatabase(project, database=database, emulator=emulator)
        self.states: StateStore = FirestoreStates(self.database)
        self.batches: BatchStore = FirestoreBatches(self.database)

    def close(self) -> None:
        """Idempotent."""
        self.database.client.close()


# --- what a load has read -------------------------------------------------------------------------------

CONTROL, LOOK = "control", "look"
FACT, LATCH = "fact.", "latch."  # before their keys, as ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A fact or latch, and its place among all."""

    place: tuple[datetime, int]
    value: Fact | Latch


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The facts and latches of a run that this process has read, by their documents' ids."""

    newest: datetime | None = None  # `at` of the newest; None where nothing has been read
    read: Mapping[str, Read] = field(default_factory=dict)

    def extend(self, found: Iterable[Found]) -> Seen:
        read, newest = dict(self.read), self.newest
        for each in found:
            value = value_of(Fact, each) if each.id.startswith(FACT) else value_of(Latch, each)
            read[each.id] = Read(place=in_place(each), value=value)
            newest = max(newest or each.get("at"), each.get("at"))
        return Seen(newest=newest, read=read)

    def record(self, control: Found | None, look: Found | None) -> RunRecord:
        values = [read.value for read in sorted(self.read.values(), key=lambda read: read.place)]
        due = micros_of(look, "due_at") if look else None
        decided = look is not None and "entry" in (look.to_dict() or {})
        return RunRecord(
            facts=tuple(value for value in values if isinstance(value, Fact)),
            latches=tuple(value for value in values if isinstance(value, Latch)),
            control=value_of(Control, control) if control else Control(),
            last_entry=value_of(LedgerEntry, look, "entry") if look and decided else None,
            due_at=None if due is None else from_micros(due),
        )


def in_place(found: Found) -> tuple[datetime, int]:
    """The time of the commit that created it, then its number in that commit."""
    assert found.create_time is not None, "what was read has been created"
    return found.create_time, found.get("number")


class FirestoreStates:
    """Keeps the promises of ports.StateStore; any number of threads, processes and machines."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self.database = database
        self._client = database.client
        self._views: Recent[Seen] = Recent(VIEWS_MAX)
        self._plans: Recent[Plan] = Recent(PLANS_MAX)

    # --- facts ------------------------------------------------------------------------------------------

    @explained
    def create_run(self, plan: Plan) -> bool:
        run, started_at = plan.run, to_micros(plan.started_at)
        place = f"{first_place(run.pipeline, run.date)}{started_at:020d}.{run.generation:04d}.{run.mode}"
        batch = self._client.batch()
        batch.create(self._run(run), {"place": place, "body": body_of(plan, f"plan of {run}")})
        batch.set(self._record(run, LOOK), {"at": NEWER_THAN_ALL, "due_at": started_at}, merge=True)
        return self.database.commit(batch)

    @explained
    def plan(self, run: RunKey) -> Plan | None:
        plan = self._plans.get(str(run))
        if plan is None and (found := self._run(run).get()).exists:
            plan = value_of(Plan, found)
            self._plans.put(str(run), plan)
        return plan

    @explained
    def append(self, fact: Fact) -> bool:
        run, key = fact.completion.run, fact.completion.id
        soon = to_micros(fact.received_at) + LOOK_WITHIN_S * SECOND
        body = body_of(fact, f"fact {key} of {run}")
        batch = self._client.batch()
        batch.create(self._record(run, FACT + id_of(key)), {"at": SERVER_TIMESTAMP, "number": 0, "body": body})
        batch.set(self._record(run, LOOK), {"at": NEWER_THAN_ALL, "due_at": Minimum(soon)}, merge=True)
        return self.database.commit(batch)

    @explained
    def load(self, run: RunKey) -> RunRecord:
        """What is newer than all that was read before, if together they are as many as there are; otherwise all.

        A server time is taken before its commit, so a document may appear behind a newer one. Facts and latches are
        never deleted: where the numbers agree, nothing is missing.
        """
        records, key = self._records(run), str(run)
        appended = records.where(filter=FieldFilter("at", "<", NEWER_THAN_ALL))
        seen = self._views.get(key) or Seen()
        while True:
            newer = records if seen.newest is None else records.where(filter=FieldFilter("at", ">", seen.newest))
            found = {each.id: each for each in newer.stream()}
            control, look = found.pop(CONTROL, None), found.pop(LOOK, None)
            all_read = seen.newest is None
            seen = seen.extend(found.values())
            if all_read or len(seen.read) == self.database.count(appended):
                self._views.put(key, seen)
                return seen.record(control, look)
            seen = Seen()

    # --- latches ----------------------------------------------------------------------------------------

    @explained
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
        """A transaction reads control and creates the rest without reading it: claimers never wait for each other.

        Who finds one taken looks which, and claims the others. The call's own mark tells whether it was itself: the
        answer to a commit may get lost.
        """
        mark, wanted = uuid4().hex, tuple(latches)
        free = {"mark": mark, "at": SERVER_TIMESTAMP, "leased_until": to_micros(now) + lease_s * SECOND}
        look: dict[str, object] = {
            "at": NEWER_THAN_ALL,
            "due_at": DELETE_FIELD if due_at is None else to_micros(due_at),
        }

        def step(transaction: Transaction) -> bool:
            control = self._record(run, CONTROL).get(["version"], transaction=transaction)
            if (control.get("version") if control.exists else 0) != control_version:
                return False
            for number, latch in enumerate(wanted):
                body = body_of(latch, f"latch {latch.key}")
                transaction.create(self._latch(run, latch.key), {**free, "number": number, "body": body})
            if entry is not None:
                body = look["entry"] = body_of(entry, f"ledger entry of {run}")
                transaction.create(self._run(run).collection("ledger").document(mark), {"number": 0, "body": body})
            transaction.set(self._record(run, LOOK), look, merge=True)
            return True

        while True:
            try:
                return wanted if self.database.transact(step) else None
            except AlreadyExists:
                taken = self._taken(run, wanted)
            if all(taken.get(latch.key) == mark for latch in wanted):
                return wanted
            if latches[0].key in taken and latches[0].outcome is not None:
                return None
            wanted = tuple(latch for latch in wanted if latch.key not in taken)

    def _taken(self, run: RunKey, latches: Sequence[Latch]) -> dict[str, str]:
        """The marks of those claims that took them, by their keys."""
        there = self.database.there(self._latch(run, latch.key) for latch in latches)
        return {text_of(id.removeprefix(LATCH)): found.get("mark") for id, found in there.items()}

    @explained
    def close(self, run: RunKey, keys: Sequence[str]) -> None:
        references = [self._latch(run, key) for key in keys]
        if references and not self._release(references):
            there = self.database.there(references)
            self._release([each for each in references if each.id in there])

    def _release(self, latches: Sequence[DocumentReference]) -> bool:
        batch = self._client.batch()
        for latch in latches:
            batch.update(latch, {"leased_until": DELETE_FIELD})
        return self.database.commit(batch)

    @explained
    def take_lapsed(self, now: datetime, lease_s: int, limit: int) -> tuple[Latch, ...]:
        at, taken = to_micros(now), list[Found]()
        lapsed = self._all_records().where(filter=FieldFilter("leased_until", "<=", at)).order_by("leased_until")
        while len(taken) < limit:
            asked = limit - len(taken)
            found = list(lapsed.limit(asked).stream())
            taken += [each for each in found if self._renew(each, at + lease_s * SECOND)]
            if len(found) < asked:  # otherwise others may have been quicker with some, and more wait behind them
                break
        return tuple(value_of(Latch, each) for each in sorted(taken, key=in_place))

    def _renew(self, leased: Found, leased_until: int) -> bool:
        """False if another has renewed or closed it since it was read."""
        batch = self._client.batch()
        batch.update(leased.reference, {"leased_until": leased_until}, option=LastUpdateOption(leased.update_time))
        return self.database.commit(batch)

    @explained
    def set_control(self, run: RunKey, control: Control) -> bool:
        reference = self._record(run, CONTROL)
        fields = {"at": NEWER_THAN_ALL, "version": control.version, "body": body_of(control, f"control of {run}")}
        batch = self._client.batch()
        if control.version == 1:
            batch.create(reference, fields)
        else:
            found = reference.get(["version"])
            if not found.exists or found.get("version") != control.version - 1:
                return False
            batch.update(reference, fields, option=LastUpdateOption(found.update_time))
        return self.database.commit(batch)

    # --- the timer, and people --------------------------------------------------------------------------

    @explained
    def due_runs(self, now: datetime, limit: int) -> tuple[RunKey, ...]:
        due = self._all_records().where(filter=FieldFilter("due_at", "<=", to_micros(now))).order_by("due_at")
        found = due.limit(limit).select([]).stream()
        return tuple(run_of(each.reference.parent.parent) for each in found)

    @explained
    def runs(self, pipeline: str, first: date, last: date) -> tuple[RunKey, ...]:
        within = (
            self._client.collection("runs")
            .where(filter=FieldFilter("place", ">=", first_place(pipeline, first)))
            .where(filter=FieldFilter("place", "<", first_place(pipeline, last) + "~"))  # behind all digits
            .order_by("place")
        )
        found = (run_of(each.reference) for each in within.select([]).stream())
        return tuple(run for run in found if run.mode != WATCH)

    @explained
    def ledger(self, run: RunKey) -> tuple[LedgerEntry, ...]:
        found = self._run(run).collection("ledger").stream()
        return tuple(value_of(LedgerEntry, each) for each in sorted(found, key=in_place))

    @explained
    def quarantine(self, item: Quarantined) -> None:
        batch = self._client.batch()
        batch.create(
            self._client.collection("quarantine").document(id_of(item.id)),
            {
                "run": item.run,
                "topic": item.topic,
                "reason": storable(item.reason),
                "at": to_micros(item.at),
                "body": item.body[:QUARANTINE_BODY_MAX],
                "size": size_of(item),
                "attributes": storable_attributes(item.attributes),  # a map would be indexed by each of its keys
            },
        )
        self.database.commit(batch)

    @explained
    def quarantined(self, limit: int) -> tuple[Quarantined, ...]:
        newest = self._client.collection("quarantine").order_by("at", direction=Query.DESCENDING).limit(limit)
        return tuple(to_quarantined(text_of(each.id), each.to_dict() or {}) for each in newest.stream())

    @explained
    def forget(self, ids: Sequence[str]) -> tuple[str, ...]:
        """One commit for each: in one for all, a single unknown id would keep the others in."""
        return tuple(id for id in dict.fromkeys(ids) if self._forget(id))

    def _forget(self, id: str) -> bool:
        batch = self._client.batch()
        there = self._client.write_option(exists=True)
        batch.delete(self._client.collection("quarantine").document(id_of(id)), option=there)
        return self.database.commit(batch)

    @explained
    def beat(self, name: str, at: datetime) -> None:
        self._client.collection("beats").document(id_of(name)).set({"at": to_micros(at)})

    @explained
    def beats(self) -> Mapping[str, datetime]:
        found = self._client.collection("beats").stream()
        return {text_of(each.id): from_micros(each.get("at")) for each in found}

    @explained
    def take_errand(self, name: str, now: datetime, lease_s: int) -> Errand:
        reference, until = self._errand(name), to_micros(now) + lease_s * SECOND
        batch = self._client.batch()
        batch.create(reference, {"leased_until": until})
        if self.database.commit(batch):
            return Errand.MINE
        found = reference.get()
        leased_until = micros_of(found, "leased_until")
        if leased_until is None:  # no document is ever taken away
            return Errand.DONE
        if leased_until > to_micros(now):
            return Errand.OTHERS
        return Errand.MINE if self._renew(found, until) else Errand.OTHERS

    @explained
    def end_errand(self, name: str) -> None:
        self._errand(name).set({"ended": True})

    def _errand(self, name: str) -> DocumentReference:
        return self._client.collection("errands").document(id_of(name))

    # --- where it stands --------------------------------------------------------------------------------

    def _run(self, run: RunKey) -> DocumentReference:
        return self._client.collection("runs").document(id_of(str(run)))

    def _records(self, run: RunKey) -> CollectionReference:
        records: CollectionReference = self._run(run).collection("records")
        return records

    def _record(self, run: RunKey, id: str) -> DocumentReference:
        return self._records(run).document(id)

    def _latch(self, run: RunKey, key: str) -> DocumentReference:
        return self._record(run, LATCH + id_of(key))

    def _all_records(self) -> Query:
        return self._client.collection_group("records")


def to_quarantined(id: str, fields: Mapping[str, Any]) -> Quarantined:
    return Quarantined(
        id=id,
        run=fields["run"],
        topic=fields["topic"],
        reason=fields["reason"],
        at=from_micros(fields["at"]),
        body=fields["body"],
        size=fields.get("size"),  # this and the attributes are not in what was kept before they were
        attributes=json.loads(fields.get("attributes", "{}")),
    )


def first_place(pipeline: str, day: date) -> str:
    """Places sort runs by date, start and generation, in a single field."""
    return f"{pipeline}.{day}."


def run_of(reference: DocumentReference) -> RunKey:
    return RunKey.parse(text_of(reference.id))
