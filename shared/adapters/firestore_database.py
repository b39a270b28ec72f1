"""One Firestore database, for the adapters of state and batches: connection, names, commits, errors in words.

A writing verb is one commit, so one that raises has written nothing, or the same call made again finds it done.
Contention is tried again here, with full jitter; what else passes by itself, the client library tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timezone
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from urllib.parse import quote, unquote

from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    GoogleAPICallError,
    InvalidArgument,
    NotFound,
    RetryError,
)
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import (
    Client,
    CollectionReference,
    DocumentReference,
    DocumentSnapshot,
    Query,
    Transaction,
    WriteBatch,
)

from shared.adapters.retry import FullJitter, is_one_of
from shared.core.codec import Malformed, decode, encode

T = TypeVar("T")
P = ParamSpec("P")
Found = DocumentSnapshot[DocumentReference]

BODY_MAX = 1_000_000  # bytes; a document holds 1 MiB, its name and other fields included
CONTENTION_S = 20.0  # a burst on one document is over in 2 s; a function has 60 s for its message
CONTENDED = FullJitter(passes=is_one_of(Aborted), first_s=0.05, most_s=2.0, total_s=CONTENTION_S)

NEWER_THAN_ALL = datetime(9999, 12, 31, tzinfo=timezone.utc)
"""The time `at` of a document that changes: no query for what is newer leaves it out."""


class FirestoreUnavailable(OSError):
    """The database did not do it: names it, why, and the remedy. Nothing has happened, or to call again finishes it."""


class FirestoreRecordError(Exception):
    """A record that cannot be read, or is too large to be written: names it, why, and the remedy."""


class FirestoreDatabase:
    """A connection, and what both adapters do with it. Any number of threads."""

    def __init__(self, project: str, *, database: str, emulator: str | None) -> None:
        self.name = f"{project}/{database}"
        credentials = AnonymousCredentials() if emulator else None
        self.client = Client(project=project, database=database, credentials=credentials)
        self.client._emulator_host = emulator  # the library would ask the environment, which only settings may

    def commit(self, batch: WriteBatch) -> bool:
        """All of it or nothing. False where a document was there, was not there, or had changed, against its terms."""
        try:
            CONTENDED(batch.commit)()
        except (AlreadyExists, NotFound, FailedPrecondition):
            return False
        return True

    def transact(self, step: Callable[[Transaction], T]) -> T:
        """Run a step that reads, then writes, as one; again from its beginning where another stood in its way.

        Raises AlreadyExists also where the step itself has created it: the answer to its commit got lost.
        The library's decorator is not used: behind any error it rolls back, and an error of that, which the service
        may give where the transaction has ended already, takes the place of the first.
        """

        def attempt() -> T:
            transaction = self.client.transaction()
            transaction._begin()
            try:
                result = step(transaction)
                transaction._commit()
            finally:
                if transaction.in_progress:
                    with suppress(GoogleAPICallError):  # it ends by itself, only later
                        transaction._rollback()
            return result

        try:
            return CONTENDED(attempt)()
        except InvalidArgument:  # what the library hears if it commits again after a lost answer: done, or not done
            return CONTENDED(attempt)()

    def there(self, references: Iterable[DocumentReference]) -> dict[str, Found]:
        """Those that exist, by their ids."""
        wanted = list(references)
        return {each.id: each for each in self.client.get_all(wanted) if each.exists} if wanted else {}

    def count(self, documents: Query | CollectionReference) -> int:
        counted: Any = documents.count()  # whose own type is wrong
        return int(counted.get()[0][0].value)


# --- names and values -----------------------------------------------------------------------------------


def id_of(text: str) -> str:
    """Any text but none, as a document's id: no slash, not "." or "..", not between double underscores."""
    name = quote(text, safe="", errors="backslashreplace")
    return f"%{ord(name[0]):02X}{name[1:]}" if name[0] in "._" else name


def text_of(id: str) -> str:
    """What id_of made an id of."""
    return unquote(id)


def body_of(value: object, what: str) -> bytes:
    """The value's JSON, if a document can hold it."""
    body = encode(value)
    if len(body) > BODY_MAX:
        raise FirestoreRecordError(
            f"{what}: has {len(body)} bytes, a Firestore document holds {BODY_MAX}. Make it of fewer or smaller parts."
        )
    return body


def value_of(cls: type[T], found: Found, field: str = "body") -> T:
    return decode(cls, bytes(found.get(field)))


def micros_of(found: Found, field: str) -> int | None:
    """A field that a document may lack."""
    value = (found.to_dict() or {}).get(field)
    return None if value is None else int(value)


# --- errors ---------------------------------------------------------------------------------------------


class Stored(Protocol):
    @property
    def database(self) -> FirestoreDatabase: ...


S = TypeVar("S", bound=Stored)


def explained(verb: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A port's verb whose errors come out in words."""

    @wraps(verb)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        where = f"Firestore {self.database.name}, {verb.__name__}"
        try:
            return verb(self, *args, **kwargs)
        except (GoogleAPICallError, RetryError) as error:
            raise FirestoreUnavailable(
                f"{where}: {type(error).__name__}: {str(error)[:200]}. Check that the database exists and is reached,"
                " what this identity may do with it, and the quota; the next call tries again."
            ) from error
        except Malformed as error:  # left as it is, the edge would blame the message in hand and quarantine that
            raise FirestoreRecordError(
                f"{where}: found a record that this Tipoff cannot read ({error})."
                " Use the version of Tipoff that wrote it, or a newer one."
            ) from error

    return call
