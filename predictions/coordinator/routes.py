"""What the coordinator may be asked over HTTP, beside the messages that it hears: requests, answers, and its routes.

The dataclasses are what is read, what is written, and what /openapi.json says. What is done stands in api.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from urllib.parse import quote

from shared.config.functions import PREDICTION_READY_TOPIC
from shared.core.batch import UNIT_ID_MAX, SealKind
from shared.core.batch_status import BatchState
from shared.core.model import NAME, RunKey
from shared.core.openapi import RUN, Answer, Bound, Refused, Route, bound

Day = date  # a field is called date, too
UNITS_NAMED = 1_000  # fit into a request; who wants more leaves them out, and has all

BATCH = bound(
    Bound(
        pattern=rf"{RUN}/{NAME.pattern}/[1-9][0-9]{{0,3}}",
        about="a batch like nba.2024-01-15.same_day.1/predictions/1",
    )
)
ACTOR = bound(Bound(is_line=True, about="who asks; else whom the token names"))
REASON = bound(Bound(is_line=True, least=1, about="why, for those who read it later"))


# --- what is asked ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """Begin the batch of a run: of this one, or of the newest generation of this date and mode."""

    run: RunKey | None = None
    date: Day | None = None
    mode: str | None = field(default=None, metadata=bound(Bound(pattern=NAME.pattern, about="a mode like same_day")))
    force: bool = False  # another attempt, where one has ended
    units: tuple[str, ...] | None = field(
        default=None, metadata=bound(Bound(least=1, most=UNIT_ID_MAX, items=UNITS_NAMED, about="a unit"))
    )  # with force: those to be done anew
    actor: str = field(default="", metadata=ACTOR)
    reason: str = field(default="", metadata=bound(Bound(is_line=True, about="why; with force it is needed")))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """A batch by its id."""

    batch: str = field(metadata=BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverRequest:
    """A batch to go on with; none: all that are stalled."""

    batch: str | None = field(default=None, metadata=BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRequest:
    """A person's word on a batch."""

    batch: str = field(metadata=BATCH)
    reason: str = field(metadata=REASON)
    actor: str = field(default="", metadata=ACTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRequest:
    """Until then, work on units of a run whose inputs are too poor."""

    run: RunKey
    until: datetime
    reason: str = field(metadata=REASON)
    actor: str = field(default="", metadata=ACTOR)


# --- what is answered -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A batch that works now."""

    batch: str
    units: int
    status_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToDo:
    """Why there is nothing to begin: nothing is expected, or the batch has ended."""

    state: str
    reason: str
    batch: str = ""
    units: int = 0
    status_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """What stands against it."""

    error: str
    batch: str
    units: int
    status_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """What a batch cannot begin without, and why it is not there."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """The inputs of a batch are not complete."""

    error: str
    missing: tuple[Lacking, ...]
    next_look_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The batches that go on."""

    recovered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A batch that was ended at a person's word."""

    batch: str
    state: BatchState  # consolidating: what its units gave is not yet where it belongs
    kind: SealKind
    reason: str
    at: datetime
    status_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overridden:
    """By whose word, and how long."""

    run: RunKey
    actor: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a batch stands; as `tipoff batch show --json` tells it. Fields are only ever added."""

    batch: str
    state: BatchState
    units: int
    ended: int
    done: int
    skipped: int
    failed: int
    expired: int
    under_way: int
    to_try_again: int
    never_ordered: int
    units_per_s: float
    ends_at: datetime | None
    created_at: datetime
    deadline_at: datetime
    deadline_from: str
    sealed_at: datetime | None
    ended_s: float | None
    next_look_at: datetime | None
    reason: str
    incident: str
    chunks: int
    chunks_ended: int
    quality_min: float
    healed: tuple[str, ...]
    act: Mapping[str, object] | None
    override: Mapping[str, object] | None
    completion: Mapping[str, object] | None
    causes: tuple[Mapping[str, object], ...]
    stragglers: tuple[Mapping[str, object], ...]
    orders: tuple[Mapping[str, object], ...]


UNKNOWN = Answer(why="The batch, or the run, is not known.", of=Refused)
PUSHED = {204: Answer(why="The message is done with: handled, or kept for a person.")}

ROUTES = (
    Route(
        method="POST",
        path="/start",
        does="Begin the batch of a run whose inputs are there; with force, another attempt of one that has ended.",
        asks=StartRequest,
        either=(("run",), ("date", "mode")),
        answers={
            200: Answer(why="Nothing is to do: nothing is expected, or the batch has ended.", of=NothingToDo),
            202: Answer(why="It works.", of=Begun),
            404: Answer(why="There are games, and no units.", of=Refused),
            409: Answer(why="The batch works already, or may not begin anew.", of=Conflict),
            503: Answer(
                why="Its inputs are not complete.", of=Incomplete, headers={"Retry-After": "Seconds to the next look."}
            ),
        },
    ),
    Route(
        method="GET",
        path="/status",
        does="Say how a batch stands.",
        asks=StatusRequest,
        answers={200: Answer(why="So it stands.", of=Status), 404: UNKNOWN},
    ),
    Route(
        method="POST",
        path="/recover-stalled",
        does="Send again what stalled batches, or this one, have ordered and nobody has reported.",
        asks=RecoverRequest,
        answers={200: Answer(why="These go on.", of=Recovered), 404: UNKNOWN},
    ),
    *(
        Route(
            method="POST",
            path=path,
            does=does,
            asks=EndRequest,
            answers={
                200: Answer(why="It has ended so.", of=Ended),
                404: UNKNOWN,
                409: Answer(why="It has ended already.", of=Conflict),
            },
        )
        for path, does in (("/seal", "End a batch with what there is."), ("/cancel", "End a batch without anything."))
    ),
    Route(
        method="POST",
        path="/override",
        does="Work on units of a run whose inputs are too poor, for a time.",
        asks=OverrideRequest,
        answers={
            200: Answer(why="So it is kept.", of=Overridden),
            404: UNKNOWN,
            409: Answer(why="Another word was quicker; ask again.", of=Refused),
        },
    ),
    Route(
        method="POST",
        path="/complete",
        does="Hear that a chunk has been recorded.",
        hears=PREDICTION_READY_TOPIC,
        answers=PUSHED,
    ),
    Route(
        method="POST", path="/", does="Hear a message of a topic that its subscription names.", hears="", answers=PUSHED
    ),
)


def status_url(batch: str) -> str:
    """Where to ask how it stands, below the address that was asked."""
    return f"/status?batch={quote(batch, safe='')}"
