"""A Firestore adapter on the emulator whose calls are counted, and each query held against firestore.indexes.json."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import RunAggregationQueryRequest, RunQueryRequest, StructuredQuery

from shared.adapters.firestore import Firestore
from tests.house.tree import ROOT

INDEXES = json.loads((ROOT / "firestore.indexes.json").read_text(encoding="utf-8"))
COMPOSITES = [
    (
        each["collectionGroup"],
        each["queryScope"],
        tuple((of["fieldPath"], of["order"]) for of in each["fields"]),
    )
    for each in INDEXES["indexes"]
]


@dataclass(slots=True)
class Calls:
    """What went over the wire, and what of it is paid for. Any number of threads."""

    rpcs: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)  # names of the documents; a query that finds none costs one too
    written: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of each commit
    queries: list[tuple[str, StructuredQuery]] = field(default_factory=list)  # the parent's path, the query
    lose_next_answer: bool = False  # of a commit: it is done, and whoever asked for it does not hear so
    refuse_next: bool = False
    before_commit: Callable[[], object] | None = None  # done once, when the next commit is about to be sent
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        for each in (self.rpcs, self.read, self.written, self.sizes, self.queries):
            each.clear()


class Recorder(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        verb = details.method.rsplit("/", 1)[1]
        with self.calls.lock:
            self.calls.rpcs.append(verb)
            if verb == "Commit":
                self.calls.written += [short(name_of(write)) for write in request.writes]
                self.calls.sizes.append(type(request).pb(request).ByteSize())
        if verb == "Commit" and (act := self.calls.before_commit):
            self.calls.before_commit = None
            act()
        if self.calls.refuse_next:
            self.calls.refuse_next = False
            raise Failure(grpc.StatusCode.PERMISSION_DENIED)
        answer = continuation(details, request)
        if verb == "Commit" and self.calls.lose_next_answer:
            answer.result()
            self.calls.lose_next_answer = False
            raise Failure(grpc.StatusCode.UNAVAILABLE)
        return answer

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        verb = details.method.rsplit("/", 1)[1]
        with self.calls.lock:
            self.calls.rpcs.append(verb)
            if verb == "BatchGetDocuments":
                self.calls.read += [short(name) for name in request.documents]
            elif isinstance(request, RunQueryRequest):
                self.calls.queries.append((short(request.parent), request.structured_query))
            elif isinstance(request, RunAggregationQueryRequest):
                self.calls.read.append("count")
                query = request.structured_aggregation_query.structured_query
                self.calls.queries.append((short(request.parent), query))
        return self._told(continuation(details, request)) if verb == "RunQuery" else continuation(details, request)

    def _told(self, answers: Any) -> Iterator[Any]:
        found = 0
        for answer in answers:
            if answer.document.name:
                found += 1
                with self.calls.lock:
                    self.calls.read.append(short(answer.document.name))
            yield answer
        if not found:
            with self.calls.lock:
                self.calls.read.append("nothing")


class Failure(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """An error as gRPC tells it to the client library."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "so the test wants it"

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def result(self) -> None:
        raise self


def name_of(write: Any) -> str:
    return write.update.name or write.delete or write.transform.document


def short(name: str) -> str:
    """Below the database."""
    return name.partition("/documents")[2].strip("/")


def new_project() -> str:
    """An emulator keeps each project by itself."""
    return f"test-{uuid4().hex[:20]}"


@contextmanager
def opened(emulator: str, project: str, calls: Calls | None = None) -> Iterator[Firestore]:
    """Ends with the proof that no query needed an index that is not declared: the emulator runs them all."""
    calls = calls or Calls()
    store = Firestore(project, emulator=emulator)
    channel = grpc.intercept_channel(grpc.insecure_channel(emulator), Recorder(calls))
    transport = FirestoreGrpcTransport(host=emulator, channel=channel)
    store.database.client._firestore_api_internal = FirestoreClient(transport=transport)
    try:
        yield store
        missing = {index for parent, query in calls.queries if (index := needed_index(query))}
        assert not missing, f"firestore.indexes.json does not declare {missing}"
    finally:
        transport.close()
        store.close()


def needed_index(query: StructuredQuery) -> str:
    """In words, if neither the service makes it by itself nor firestore.indexes.json declares it."""
    source = query.from_[0]
    scope = "COLLECTION_GROUP" if source.all_descendants else "COLLECTION"
    asked = fields_of(query.where)
    sorted_by = [
        (order.field.field_path, StructuredQuery.Direction(order.direction).name)
        for order in query.order_by
        if order.field.field_path != "__name__"
    ]
    fields = asked | {name for name, _ in sorted_by}
    if len(fields) > 1:
        first = [(name, "ASCENDING") for name in sorted(asked - {name for name, _ in sorted_by})]
        index = (source.collection_id, scope, (*first, *sorted_by))
        return "" if index in COMPOSITES else f"{index}: a composite index"
    declared = {
        (each["collectionGroup"], each["fieldPath"]): {index["queryScope"] for index in each["indexes"]}
        for each in INDEXES["fieldOverrides"]
    }
    missing = [name for name in fields if scope not in declared.get((source.collection_id, name), {"COLLECTION"})]
    return f"{source.collection_id} by {missing[0]} in scope {scope}" if missing else ""


def fields_of(where: StructuredQuery.Filter) -> set[str]:
    if "composite_filter" in where:
        return set().union(*(fields_of(each) for each in where.composite_filter.filters))
    return {where.field_filter.field.field_path} if "field_filter" in where else set()
