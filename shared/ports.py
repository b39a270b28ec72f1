"""What the shell asks of the world. Each verb says its promise; every adapter keeps it, the contract suite checks it.

All verbs may raise OSError or the adapter's own error when the world is out of order; then nothing has happened or the
same call made again finishes it. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from shared.core.batch import Batch, BatchRecord, Chunk, ChunkReport, Ordered, Seal
from shared.core.blocks import Card
from shared.core.drift import Kind, Resource
from shared.core.fold import View
from shared.core.measures import Measure
from shared.core.messages import Message, named
from shared.core.model import Alert, Completion, Control, Fact, Latch, LedgerEntry, Reading, RunKey, Start
from shared.core.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that is known of a run except its plan, which never changes and is read once."""

    facts: tuple[Fact, ...]  # in the order of their receipt
    latches: tuple[Latch, ...]  # in the order they were taken
    control: Control
    last_entry: LedgerEntry | None
    due_at: datetime | None  # when the timer wants to look


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A message that can never work: kept for a person, acknowledged on the bus."""

    id: str  # of the message: the same message is kept once
    topic: str
    reason: str
    at: datetime
    body: bytes  # cut at QUARANTINE_BODY_MAX
    run: str = ""  # that it says it is about; empty where it says nothing readable
    size: int | None = None  # of the body before it was cut, in bytes; None where nobody said
    attributes: Mapping[str, str] = field(default_factory=dict)  # those that fit QUARANTINE_ATTRIBUTES_MAX

    @property
    def is_whole(self) -> bool:
        """Whether its body is all there, so that it can be published again. One that fills the room exactly, and
        whose size nobody said, may have been cut."""
        return len(self.body) < QUARANTINE_BODY_MAX if self.size is None else len(self.body) == self.size


QUARANTINE_BODY_MAX = 4_096
QUARANTINE_ATTRIBUTES_MAX = 1_024  # bytes of their JSON: run, phase, processor, attempt and chunk fit, and a trace's


class Errand(StrEnum):
    """Whose turn it is with what shall be done once."""

    MINE = "mine"
    OTHERS = "others"  # somebody is at it; if he dies it has to be asked for again
    DONE = "done"


LOOK_WITHIN_S = 15
"""A sweep a minute later at most a fact is weighed, whatever becomes of the message that brought it: within two
minutes, with room for whoever is slow."""

BEGUN_WITHIN_S = 60
"""Within this a batch that was created has been begun; if not, whoever created it has died, and the timer looks."""


class StateStore(Protocol):
    """Facts, latches, control and ledger of every run. State is never deleted; a quarantined message is no state."""

    def create_run(self, plan: Plan) -> bool:
        """Write the plan once. False if the run exists; then the plan that is there stands."""

    def plan(self, run: RunKey) -> Plan | None:
        """The plan as it was written; None for an unknown run."""

    def append(self, fact: Fact) -> bool:
        """Record a fact under its run and Completion.id. False if it is there; the first stays as it was.

        In the same step the run becomes due LOOK_WITHIN_S after the fact was received, if it was not due earlier:
        whoever recorded it may die before looking, every time it is delivered.
        """

    def load(self, run: RunKey) -> RunRecord:
        """A view that holds every fact and latch whose append or claim returned before this call began."""

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
        """One atomic step: read control again, create the latches, write the ledger entry and when to look again.

        None, and nothing written, if control has another version than the decision saw, or if the first latch carries
        an outcome and is taken. Otherwise the latches that this call created, open under a lease; those already taken
        are left as they are. Of any number of concurrent callers exactly one creates a given key.
        """

    def close(self, run: RunKey, keys: Sequence[str]) -> None:
        """Say that all a latch sends has been published. Idempotent."""

    def take_lapsed(self, now: datetime, lease_s: int, limit: int) -> tuple[Latch, ...]:
        """Open latches whose lease is over, each taken up for a new lease; two callers never get the same one."""

    def set_control(self, run: RunKey, control: Control) -> bool:
        """Replace control if the stored version is control.version - 1, atomically. False: read again."""

    def due_runs(self, now: datetime, limit: int) -> tuple[RunKey, ...]:
        """Runs that want to be looked at by now, the longest due first."""

    def runs(self, pipeline: str, first: date, last: date) -> tuple[RunKey, ...]:
        """Runs of these dates in order of date, start and generation; the record of what is about no run is none."""

    def ledger(self, run: RunKey) -> tuple[LedgerEntry, ...]:
        """Every decision that changed, oldest first."""

    def quarantine(self, item: Quarantined) -> None:
        """Keep a hopeless message. Idempotent by its id.

        A body or reason that is too long is cut; attributes that do not fit are left out, in their order.
        """

    def quarantined(self, limit: int) -> tuple[Quarantined, ...]:
        """The newest first."""

    def forget(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Take these out of the quarantine for good, once a person has given them up or published them again.

        The ids of those that this call took out; unknown ones are left out, so it may be repeated. Of concurrent
        callers one gets each. What is quarantined afterwards under the same id is kept anew.
        """

    def beat(self, name: str, at: datetime) -> None:
        """Say that the job of this name has come through. The last call stands, whatever time it names."""

    def beats(self) -> Mapping[str, datetime]:
        """When each job that ever did came through the last time."""

    def take_errand(self, name: str, now: datetime, lease_s: int) -> Errand:
        """Take what is about no run and shall be done once, under a lease: of any number of callers exactly one gets
        MINE. A lease that is over is taken up, by one again: whoever had it may have done it, and died before it was
        said."""

    def end_errand(self, name: str) -> None:
        """It is done, for good. Idempotent."""


class BatchStore(Protocol):
    """Batches, their chunks, and what was reported of them. Nothing here is a document that many writers update."""

    def create(self, batch: Batch, chunks: Sequence[Chunk], orders: Sequence[Ordered]) -> bool:
        """Write a batch with its chunks and its first orders, in one step. False if it is there; it stands.

        The batch becomes due BEGUN_WITHIN_S after created_at: whoever created it may die before publishing anything.
        """

    def batch(self, id: str) -> Batch | None:
        """As it was created; None for an unknown one."""

    def chunks(self, id: str, numbers: Sequence[int] | None = None) -> tuple[Chunk, ...]:
        """These chunks, or all, in order; unknown numbers are left out."""

    def ordered(self, id: str, chunk: int) -> tuple[Ordered, ...]:
        """The orders of one chunk, by number."""

    def order(self, id: str, orders: Sequence[Ordered]) -> tuple[Ordered, ...]:
        """Record that these are ordered; the ones that this call recorded. Of concurrent callers one gets each."""

    def record(self, report: ChunkReport, *, rest: Sequence[int], ended: bool, at: datetime) -> int | None:
        """Keep a report once, under batch, chunk and number, and count: how many chunks have not ended.

        `rest`: the places that its order asked for and it has not ended; `ended`: whether its chunk has.
        None, and nothing written, once the batch is sealed. A report that is there stays as it was. Of concurrent
        callers exactly one, the last to be counted, gets 0; what the others get, more may have ended by then.
        """

    def reports(self, id: str) -> tuple[ChunkReport, ...]:
        """All of them, in order of chunk and number."""

    def load(self, id: str) -> BatchRecord | None:
        """What a decision sees; holds all that was written before the call began."""

    def seal(self, seal: Seal, now: datetime, lease_s: int) -> Seal | None:
        """Create the seal, under a lease; the first stands. Returns the seal to whoever now holds it.

        None if another holds it, or if it is closed. A lapsed lease is taken up, by exactly one of several callers. The
        batch becomes due when the lease lapses: who seals it may die before it is consolidated.
        """

    def conclude(self, seal: Seal) -> Seal:
        """Keep what the batch reports, with its seal, before anybody is told; the first stands, and is returned.

        The batch stays due until it is closed: whoever concludes it may die before telling.
        """

    def close(self, seal: Seal) -> None:
        """All that a concluded seal says has been told: for good, the first stands. The batch is due no more.

        In the same step the time from the batch's creation to its seal joins its history, if the seal is_usual.
        """

    def look_at(self, id: str, due_at: datetime, now: datetime) -> None:
        """When the timer is to look, unless an earlier look is still to come: a look too many costs little.

        Nothing for a sealed batch: its lease says when, and closed it is due no more.
        """

    def due(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Batches that want to be looked at, the longest due first. Each that is not closed will be, some time."""

    def next_at(self) -> datetime | None:
        """When the next batch wants to be looked at; None if none does."""

    def history(self, like: str, limit: int) -> tuple[float, ...]:
        """Seconds from creation to seal of the closed batches of this likeness (Batch.like), the newest first."""

    def latest(self, pipeline: str, limit: int) -> tuple[str, ...]:
        """Ids of a pipeline's batches, whatever became of them, the newest created first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try at one message. The same message may come again, also after an acknowledgement."""

    id: str  # of the message in its subscription
    topic: str
    subscription: str
    data: bytes
    attributes: Mapping[str, str]
    attempt: int  # 1 for the first delivery
    published_at: datetime
    receipt: str = ""  # the bus's own mark of this very try, where it needs one for ack and nack


class Bus(Protocol):
    """At-least-once, unordered delivery of a topic's messages to each of its subscriptions.

    An embedded bus goes by `now`; one that is a service goes by its own clock, and what is said here of a moment holds
    shortly after it. Attributes are Unicode: at most 90, a key up to 256 bytes, a value up to 1,024.
    """

    def subscribe(self, subscription: str, topic: str) -> None:
        """Every message published to the topic from now on reaches the subscription. Idempotent."""

    def hears(self, subscription: str, topic: str) -> bool:
        """Whether the subscription is there, and gets what is published to this topic."""

    def publish(self, messages: Sequence[Message], now: datetime) -> None:
        """Durable when it returns. One that raised may have published some; made again, duplicates are allowed.

        What can be no message raises before any is published; so may a topic that nobody ever subscribed to.
        """

    def pull(self, subscriptions: Sequence[str], *, limit: int, now: datetime, lease_s: int) -> list[Delivery]:
        """Up to `limit` messages nobody holds, each held for lease_s; unacknowledged by then, it comes again.

        Returns at once. A service may bring fewer than wait and, rarely, one that another holds; it refuses with
        ValueError a lease that is longer than it can hold (Pub/Sub: 600 s).
        """

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Done with these. Idempotent; late is allowed."""

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:
        """Failed: comes again after a backoff; after its last attempt it goes to the dead letters instead.

        Whether it went there by this call: then it is done with, and whoever answers a push says so. A delivery that
        was pushed has no receipt; the answer to the push hands it back, so before its last attempt nothing happens.
        """

    def next_at(self) -> datetime | None:
        """When the next message becomes available, if any waits; now or earlier: at once.

        Never too late; a bus that cannot know what waits says the past, always.
        """

    def dead_letters(self, limit: int) -> list[tuple[Delivery, str]]:
        """Messages that used up their attempts, each with its last error if the bus was told it, the newest first.

        They stay where they are, under the same ids however often they are looked at. An id names one dead letter in
        all subscriptions, and is never given again.
        """

    def redrive(self, ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """Publish these dead letters again, as they were, then take them out: their attempts begin anew.

        The ids of those done, in the order given. Unknown ones are left out, and so is, and stays, one whose
        subscription is gone or that somebody else holds just now. It comes to the subscription that it died in; a
        service publishes it to the topic, so that all others of the topic get it too, and who is killed in between
        leaves it in both places. Both are allowed: every consumer drops what it has done.
        """

    def purge(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Take these dead letters out for good. The ids of those done, as for redrive. Repeating it is harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who writes: every row carries it, and an older fence never replaces a newer one.

    Run, attempt and fence are the writer. That what it was made from was not whole says something of the rows, and
    nothing of who wrote them: stamps of one writer are equal, and find the same rows.
    """

    run: str
    attempt: int
    fence: int
    completeness: float = field(default=1.0, compare=False)  # of all that the rows were made from
    missing: str = field(default="", compare=False)  # what was not in it, named; empty where nothing was

    @classmethod
    def of(cls, start: Start) -> Stamp:
        """The stamp of all that a start writes."""
        return cls(
            run=str(start.run),
            attempt=start.attempt,
            fence=start.fence,
            completeness=start.completeness,
            missing=named(start.missing),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """The rows of a table whose `column` lies in first..last; a processor's own partition is a single day."""

    table: str  # dataset.table
    column: str
    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A partition as it is after the write, read back."""

    rows: int
    units: tuple[str, ...]  # distinct values of the unit column, sorted; empty where none was asked for
    digest: str  # of the content without stamps; equal content, equal digest, whatever the row order
    superseded: bool = False  # a newer fence was there and nothing was written; the rest describes what stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """The rows of a partition that carry one stamp."""

    stamp: Stamp
    rows: int
    units: tuple[str, ...]  # distinct values of the unit column, sorted; empty where none was asked for


class WarehouseError(Exception):
    """The warehouse cannot do what it was asked: says what, why, and the remedy."""


class WarehouseUnavailable(OSError):
    """The world under the warehouse is out of order: nothing has happened, or the same call made again finishes it."""


class Warehouse(Protocol):
    """Tables of rows. SQL is BigQuery's dialect with named @parameters; values are never pasted into it."""

    def create(self, ddl: str) -> None:
        """Run CREATE SCHEMA, TABLE and VIEW IF NOT EXISTS statements. Idempotent.

        A table that is there gets the columns that it lacks, at its end and null in the rows that stand, where they
        may be null: so an older version's tables are brought up to date. Nothing else of it is changed.
        """

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of dataset.table, stamps included, each with BigQuery's name of its type: STRING, INT64, ...

        Asked anew at each call, and writes that come after go by the answer. WarehouseError where no such table is.
        """

    def replace(
        self, partition: Partition, select: str, parameters: Mapping[str, object], stamp: Stamp, unit: str = ""
    ) -> Written:
        """Replace a partition with the rows of a query, and read it back, in one atomic step.

        Refused (superseded) where a row with a newer fence stands. The query gives every column but the stamp's.
        Readers see the old partition or the new one, never part of either.
        """

    def load(self, partition: Partition, rows: Sequence[Mapping[str, object]], stamp: Stamp, unit: str = "") -> Written:
        """As replace, from rows in memory (a load job)."""

    def merge(
        self,
        target: Partition,
        rows: Sequence[Mapping[str, object]],
        keys: Sequence[str],
        stamp: Stamp,
        unit: str = "",
    ) -> Written:
        """Bring a batch of one run into a partition that it shares with other runs, in one atomic step.

        Staged once, then one MERGE on run and keys: exact, never rounded, never null. A new key is inserted; a known
        one takes the new values and stamp; the run's rows with an older fence that the batch lacks are deleted. Rows
        of other runs and other partitions are untouched. Refused (superseded) where a row of this run with a newer
        fence stands. An error, and nothing written: a key that comes twice, or no rows at all. Written describes the
        run's rows alone. Repeating it is harmless, also after a call that died: staging is its own and goes with it.

        Counted in the same step: as many rows with this very stamp stand then as were staged. Where not, another
        writer uses the stamp: WarehouseError with both numbers, nothing written, staging kept where it outlives the
        call. So a second batch under one stamp holds all of the first.
        """

    def standing(self, partition: Partition, stamp: Stamp, unit: str = "") -> Written | None:
        """What this very stamp has written there, read back; None if it has not."""

    def contents(self, asked: Sequence[tuple[Partition, str]]) -> tuple[tuple[Stood, ...], ...]:
        """What stands in each of these partitions, whoever wrote it, by its stamps; each with its unit column or "".

        In the order asked, the newest fence first; nothing for a partition without rows. One query for all of them,
        which no write disturbs; it writes nothing.
        """

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Rows of a read-only query, in its order."""


class FeedError(Exception):
    """The league's data cannot be read: says which file, what is wrong, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The dates a feed can answer for. No games on a covered date is a fact; elsewhere it is ignorance."""

    first: date
    last: date
    source: str
    synthetic: bool = False
    folder: str = ""  # where to find it again; empty for a feed that is no folder


class Feed(Protocol):
    """The league's own data: schedule and box scores. Rows are JSON-able, in the columns of games.parquet,
    player_box.parquet and team_box.parquet; each verb is a plain read and raises FeedError."""

    def coverage(self) -> Coverage: ...

    def games(self, first: date, last: date) -> list[dict[str, object]]:
        """Games with game_date in first..last, scores null where not finished, ordered by date and id."""

    def player_lines(self, first: date, last: date) -> list[dict[str, object]]: ...

    def team_lines(self, first: date, last: date) -> list[dict[str, object]]: ...


class ObjectStore(Protocol):
    """Named bytes."""

    def put(self, name: str, body: bytes) -> None:
        """Replace the object whole: a reader sees the old bytes or the new, also after a crash."""

    def put_over(self, name: str, body: bytes, standing: bytes | None) -> bool:
        """As put, if exactly these bytes stand there (None: no object); whether it did. Of those that saw the same,
        one wins. False may also follow a put of one's own whose answer was lost: look again."""

    def get(self, name: str) -> bytes | None:
        """None where there is none."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC. May stand still or jump; nothing relies on it for order or uniqueness."""


class Reader(Protocol):
    """Answers one reading that `decide` asked for before a gate opens."""

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        """What is found for the gate into this phase; `before` is what it last was for the same gate attempt.

        An equal state of things gives an equal reading: the ledger holds every one that changed.
        """


class Evidence(Protocol):
    """Looks for what a start has left that nobody has reported."""

    def find(self, start: Start) -> Completion | None:
        """The report, under number 0, that its output under exactly its stamp is worth: equal to the processor's own
        in status, units and digest. None where nothing stands there, where what stands does not tell all of it, and
        where it could not be read. Reads only; never raises what the world raises."""


class Span(Protocol):
    """A piece of work while it goes on, as whoever watches will see it."""

    def note(self, **attributes: object) -> None:
        """What has become known of it: ids and short words, told by their str; never a payload."""


class Tracer(Protocol):
    """Spans of the work on one message, each inside the one around it in its thread.

    No verb raises, and none holds the work up for longer than its adapter says, whoever listens or does not.
    """

    def span(self, name: str, /, **attributes: object) -> AbstractContextManager[Span]:
        """A piece of work; what it raises goes on its way, and the span says which class of error it was."""

    def receiving(self, attributes: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The work on one message, with a trace of its own, linked to the span that its publisher carried here."""

    def carry(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        """The attributes of a message and the name of the span that it is published in; as they are, if there is none
        or if a bus would take no more of them. Of {} it is what names the current span."""


class NoTrace:
    """Nobody watches: the Tracer, and each of its spans, at the price of a call."""

    __slots__ = ()

    def span(self, name: str, /, **attributes: object) -> NoTrace:  # noqa: ARG002
        return self

    def receiving(self, attributes: Mapping[str, str]) -> NoTrace:  # noqa: ARG002
        return self

    def carry(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        return attributes

    def note(self, **attributes: object) -> None: ...

    def __enter__(self) -> NoTrace:
        return self

    def __exit__(self, *raised: object) -> None: ...


NO_TRACE = NoTrace()


class Meter(Protocol):
    """Numbers of the work, for whoever watches from outside.

    No verb raises, and none holds the work up for longer than its adapter says, whoever listens or does not.
    """

    def add(self, measures: Iterable[Measure]) -> None:
        """Keep these numbers. Nothing is sent, and nothing waits."""

    def send(self) -> None:
        """Send what has been added, at the end of the work on one message: afterwards nothing may go on by itself."""


class NoMeter:
    """Nobody watches: what is added is not even made."""

    __slots__ = ()

    def add(self, measures: Iterable[Measure]) -> None: ...

    def send(self) -> None: ...


NO_METER = NoMeter()


OWN, INSTALLATION = "revision", "installation"
"""Of what a check is: of what this revision needs, or of what is no better with another one. Who verifies a revision
asks for the first alone; who asks whether all is well, for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a service said of itself; texts are cut and printable. Who it should be, the asker compares."""

    alive: bool  # it answered, in the form that a service of ours answers in
    ready: bool = False  # and so do the things that it needs, and its installation is well
    blameless: bool = False  # it is not ready for that last alone: another revision of it would say the same
    service: str = ""
    version: str = ""  # its commit
    config_hash: str = ""
    why: str = ""  # it is not alive or not ready; empty where it is both


class CloudError(OSError):
    """Something could not be read or changed: names it, why, and what helps."""


class CloudDenied(CloudError):
    """The same, because whoever asks may not: names the role that helps."""


class Cloud(Protocol):
    """What is on Google Cloud for one environment, in the shape in which it is declared. Raises CloudError.

    Every change may be made again: one that was cut in the middle is finished by the next.
    """

    def read(self, kind: Kind, declared: Sequence[Resource]) -> tuple[Resource, ...]:
        """All of a kind that is there, whoever made it, and of nothing more than its settings. `declared` is everything
        that should be there: it says where to look for what is only found on other things."""

    def create(self, resources: Sequence[Resource]) -> None:
        """Make them, all of one kind. What is there already stays as it is; what stands on something that is not there
        is left out."""

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        """Give these fields of what is there the values that are declared."""

    def remove(self, resource: Resource) -> None:
        """What is not there any more is no error."""


class HealthProbe(Protocol):
    """Asks a service how it is."""

    def probe(self, url: str, *, within_s: float, deep: bool = True) -> Health:
        """Asked once, now. Never raises for a service that is unhealthy, absent, or another: that is the answer. Not
        `deep`, it is asked only who it is, which costs it nothing, and is taken to be ready."""


class Notifier(Protocol):
    """One sink that people hear of incidents from."""

    def notify(self, run: RunKey, incident: str, alert: Alert) -> bool:
        """Whether the sink has taken it, or need not hear of it; never raises for a sink that is down, nor for one that
        refuses. Where it has a key for what it takes, `incident` is that, and telling the same again, or the end of
        what it never heard of, changes nothing there; where it has none, it is told nothing again that it has taken,
        unless whoever told it died before he could keep that it had."""


@dataclass(frozen=True, slots=True)
class Taken:
    """It stands where people read it."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Perhaps later. Where no answer came it may have been shown all the same."""

    why: str
    after_s: float | None = None  # that the chat wants waited, if it said so


@dataclass(frozen=True, slots=True)
class Refused:
    """Never, as things are: a person has to mend what `why` names."""

    why: str


Posted = Taken | NotNow | Refused


class Chat(Protocol):
    """Where people read together."""

    def post(self, card: Card) -> Posted:
        """Shown once for each call, and cut to what the chat takes. Never raises what the world raises, and no `why`
        holds a secret. Whoever posts again what was not taken may be read twice: the chat knows no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them, as wiring built them."""

    states: StateStore
    bus: Bus
    clock: Clock
    readers: Mapping[str, Reader] = field(default_factory=dict)
    trace: Tracer = NO_TRACE
    meter: Meter = NO_METER
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)  # by name: each sink gets what is told
    evidence: Evidence | None = None  # None: nothing is looked for, and no start is sent again on suspicion
