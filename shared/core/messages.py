"""What travels on the bus, both directions, with its bounds: starts, completions, nudges, a batch's chunks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.core.batch import ChunkOrder, ChunkReady
from shared.core.codec import Malformed, decode, encode
from shared.core.model import NAME, Completion, Missing, RunKey, ScheduleSpec, Start, Status

BODY_BYTES_MAX = 1_000_000
"""A tenth of Pub/Sub's own limit; a completion of 15,000 unit ids fits."""

SCHEDULE = re.compile(r"[a-z][a-z0-9-]{0,62}")
TEXT_MAX = 1_000  # a reason; longer ones are cut by those who write them
UNITS_MAX = 20_000
UNITS_NAMED_MAX = 15  # of one processor, in a line about all that is missing: a full night of games
ATTEMPT_MAX = 9_999  # four digits of the fence
FENCE_MAX = 10**10 - 1  # two digits of rank, four of generation, four of attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A body on a topic; attributes name run, phase and attempt so that logs need not open the body."""

    topic: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudge:
    """A schedule's word: start a run, or look at one now. It orders nothing that the data does not allow."""

    pipeline: str
    mode: str
    date: str  # YESTERDAY, TODAY or TOMORROW
    scheduled_at: datetime
    act: str = "nudge"
    schedule: str = ""  # whose word it is; empty where nobody said, as before 0.6


def spoken(schedule: ScheduleSpec, pipeline: str) -> bytes:
    """What a schedule says, without the time: each firing has its own."""
    said = {"pipeline": pipeline, "mode": schedule.mode, "date": schedule.date, "act": schedule.act}
    said["schedule"] = schedule.name
    return json.dumps(said, separators=(",", ":")).encode()


def named(missing: Sequence[Missing]) -> str:
    """What is missing as one bounded line, `boxscores[0022300561]; team_boxscores`; empty where nothing is.

    What does not fit is counted: a line that was cut says so.
    """
    said: list[str] = []
    for each in missing:
        left = len(each.units) - UNITS_NAMED_MAX
        units = ", ".join(each.units[:UNITS_NAMED_MAX]) + (f" and {left} more" if left > 0 else "")
        said.append(f"{each.processor}[{units}]" if units else each.processor)
    line = "; ".join(said)
    for kept in range(len(said) - 1, -1, -1):
        if len(line) <= TEXT_MAX:
            break
        line = "; ".join([*said[:kept], f"and {len(said) - kept} more"])
    return line


def start_message(start: Start, topic: str) -> Message:
    return Message(topic=topic, data=encode(start), attributes=_attributes(start))


def completion_message(completion: Completion, topic: str) -> Message:
    return Message(topic=topic, data=encode(completion), attributes=_attributes(completion))


def order_message(order: ChunkOrder, topic: str) -> Message:
    return Message(topic=topic, data=encode(order), attributes=_chunk_attributes(order))


def ready_message(ready: ChunkReady, topic: str) -> Message:
    return Message(topic=topic, data=encode(ready), attributes=_chunk_attributes(ready))


def _chunk_attributes(body: ChunkOrder | ChunkReady) -> dict[str, str]:
    return {**_attributes(body.start), "chunk": str(body.chunk)}


def _attributes(body: Start | Completion) -> dict[str, str]:
    return {"run": str(body.run), "phase": body.phase, "processor": body.processor, "attempt": str(body.attempt)}


def read_start(body: bytes) -> Start:
    """Raises Malformed for what could never be a start."""
    _bound(body)
    start = decode(Start, body)
    _check_start(start)
    return start


def read_order(body: bytes) -> ChunkOrder:
    """Raises Malformed for what could never be an order of a chunk."""
    _bound(body)
    order = decode(ChunkOrder, body)
    _check_start(order.start)
    _between(
        chunk=(order.chunk, 0, UNITS_MAX), number=(order.number, 1, ATTEMPT_MAX), units=(len(order.units), 1, UNITS_MAX)
    )
    _short(**{f"units[{i}]": unit.id for i, unit in enumerate(order.units)})
    return order


def read_ready(body: bytes) -> ChunkReady:
    """Raises Malformed for what could never be a worker's word; whether its batch is known is the store's to say."""
    _bound(body)
    ready = decode(ChunkReady, body)
    _check_start(ready.start)
    _between(chunk=(ready.chunk, 0, UNITS_MAX), number=(ready.number, 1, ATTEMPT_MAX))
    return ready


def _check_start(start: Start) -> None:
    _names(phase=start.phase, processor=start.processor)
    _between(
        attempt=(start.attempt, 1, ATTEMPT_MAX),
        timeout_s=(start.timeout_s, 1, 86_400),
        fence=(start.fence, 0, FENCE_MAX),
    )


def read_completion(body: bytes) -> Completion:
    """Raises Malformed for what could never be a completion; whether its names are known is the plan's to say."""
    _bound(body)
    completion = decode(Completion, body)
    _names(phase=completion.phase, processor=completion.processor)
    _between(
        attempt=(completion.attempt, 1, ATTEMPT_MAX),
        report=(completion.report, 1, ATTEMPT_MAX),
        units_expected=(completion.units_expected or 0, 0, 10**9),
        units_actual=(completion.units_actual or 0, 0, 10**9),
        rows=(completion.rows or 0, 0, 10**12),
        duration_s=(completion.duration_s, 0, 10**7),
        missing=(len(completion.missing), 0, UNITS_MAX),
        excused=(len(completion.excused), 0, UNITS_MAX),
        found=(sum(map(len, completion.found.values())), 0, UNITS_MAX),
    )
    _short(reason=completion.reason, digest=completion.digest)
    _short(**{f"missing[{i}]": unit for i, unit in enumerate(completion.missing)})
    _short(**{f"excused[{i}]": unit for i, unit in enumerate(completion.excused)})
    if completion.status is Status.SKIPPED and not completion.reason:
        raise Malformed("reason: a skipped processor must say why, got ''")
    return completion


def read_nudge(body: bytes) -> Nudge:
    _bound(body)
    nudge = decode(Nudge, body)
    _names(pipeline=nudge.pipeline)
    _between(scheduled_at=(nudge.scheduled_at.year, 2000, 9000))  # years whose neighbours every time zone can tell
    _one_of("act", nudge.act, ("start", "nudge", "sweep", "recover", "summary"))
    if nudge.schedule and not SCHEDULE.fullmatch(nudge.schedule):
        raise Malformed(f"schedule: expected a name like 'yesterday-analytics', got {nudge.schedule[:40]!r}")
    if nudge.act in ("start", "nudge"):  # the others walk every run or batch, and name none
        _names(mode=nudge.mode)
        _one_of("date", nudge.date, ("YESTERDAY", "TODAY", "TOMORROW"))
    return nudge


def run_of(attributes: Mapping[str, str]) -> RunKey | None:
    """The run a message says it is about, for a log line; never for a decision."""
    try:
        return RunKey.parse(attributes.get("run", ""))
    except ValueError:
        return None


def _bound(body: bytes) -> None:
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"body: {len(body)} bytes, at most {BODY_BYTES_MAX}")


def _names(**names: str) -> None:
    for key, name in names.items():
        if not NAME.fullmatch(name):
            raise Malformed(f"{key}: expected a name like 'player_boxscores', got {name[:40]!r}")


def _between(**ranges: tuple[float, float, float]) -> None:
    for key, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise Malformed(f"{key}: expected {low:g} to {high:g}, got {str(value)[:40]}")  # may exceed any float


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Malformed(f"{key}: expected one of {', '.join(allowed)}, got {value[:40]!r}")


def _short(**texts: str) -> None:
    for key, text in texts.items():
        if len(text) > TEXT_MAX:
            raise Malformed(f"{key}: {len(text)} characters, at most {TEXT_MAX}")
