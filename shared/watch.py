"""What the timer watches beside its runs: whether each scheduled job comes through, and whether the services are well.

Its own heartbeat it cannot watch: who is paused does nothing. That is asked from outside, by /ready of self_heal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from shared.core.fold import incidents_of
from shared.core.heartbeat import SELF_HEAL
from shared.core.incident import Cause
from shared.core.measures import of_latches
from shared.core.model import Latch, RunKey, ScheduleSpec
from shared.core.watch import (
    BAD_FOR,
    BEAT_GRACE,
    FULL_FOR,
    HEALTH,
    HEARTBEAT,
    WELL_FOR,
    ailing,
    late,
    record,
    record_of,
    watch_latches,
)
from shared.gather import AtOnce
from shared.heal import LATCH_LEASE_S
from shared.ports import Ports, RunRecord

ASK_S = 8.0  # for all services together, side by side; each has seven seconds

LastDue = Callable[[ScheduleSpec, datetime], datetime | None]
"""When a schedule was due the last time before an instant; None if it never was."""

DEEP_EVERY_MIN = 20
"""A service is asked each minute whether it lives, and in every twentieth one, or once it is not well, whether it could
work now too: that asks what it depends on, and every five minutes it would cost more than all else at rest. A gate asks
it itself before it sends anything there."""

SEEN_FOR = timedelta(seconds=150)
"""Between two looks of one process, for it to go on from what it saw; else others went the rounds, and saw what it has
not. Two that take turns are two minutes apart, and some seconds."""

Ask = Callable[[str, bool], str]
"""Why a service of this name is not well; empty where it is, or where nobody has said where it answers. The flag asks
for more than whether it lives."""

AskAll = Callable[[Mapping[str, Callable[[], str]], float], Mapping[str, str]]


class Watch:
    """One for a process. What it has seen of services goes with it, which costs a minute; incidents do not."""

    def __init__(
        self,
        ports: Ports,
        pipeline: str,
        schedules: Sequence[ScheduleSpec],
        last_due: LastDue,
        services: Sequence[str] = (),
        ask: Ask = lambda _name, _deep: "",
        ask_all: AskAll | None = None,
        queue: Collection[str] = (),
    ) -> None:
        """`queue`: those of the services whose instances take one request each."""
        self.run: RunKey = record_of(pipeline)
        self._ports = ports
        self._schedules = [schedule for schedule in schedules if schedule.name != SELF_HEAL]
        self._last_due = last_due
        self._services = services
        self._ask = ask
        self._ask_all: AskAll = ask_all or AtOnce()
        self._bad_for = {name: FULL_FOR if name in queue else BAD_FOR for name in services}
        self._read_at: datetime | None = None  # the heartbeats, the last time
        self._asked_at: datetime | None = None  # the services, the last time
        self._bad_since: dict[str, datetime] = {}
        self._well_since: dict[str, datetime] = {}

    def look(self, now: datetime, *, is_open: bool) -> tuple[Latch, ...]:
        """Raise what is wrong, resolve what is over; what this call claimed, for whoever tells it. `is_open`: whether
        anything was: the store says so by having its record due."""
        found = [*self._late(now, is_open), *self._ailing(now)]
        if not found and not is_open:
            return ()
        self._ports.states.create_run(record(self.run.pipeline, now))
        kept = self._ports.states.load(self.run)
        latches = watch_latches(self.run, kept.latches, found, self._unsure(kept.latches, now), now)
        stays = _has_open((*kept.latches, *latches))
        claimed = self._claim(kept, latches, now if stays else None, now)
        if not stays and _has_open((again := self._ports.states.load(self.run)).latches):
            self._claim(again, (), now, now)  # another has raised one in between, and it would be looked at no more
        self._ports.meter.add(of_latches(claimed))
        return claimed

    def _claim(
        self, kept: RunRecord, latches: Sequence[Latch], due_at: datetime | None, now: datetime
    ) -> tuple[Latch, ...]:
        claimed = self._ports.states.claim(
            self.run,
            control_version=kept.control.version,
            latches=latches,
            entry=None,
            due_at=due_at,
            now=now,
            lease_s=LATCH_LEASE_S,
        )
        return claimed or ()

    def _unsure(self, latches: Sequence[Latch], now: datetime) -> list[str]:
        """Names of what this look has not shown to be over: services not well for long enough, heartbeats not read."""
        unread = [] if self._read_at == now else [name for name in incidents_of(latches) if name.startswith(HEARTBEAT)]
        return unread + [f"{HEALTH}-{name}" for name in self._services if not self._is_well(name, now)]

    def _late(self, now: datetime, is_open: bool) -> Iterator[Cause]:
        """A job that nobody has heard of yet has just been deployed: it gets its first heartbeat here.

        Nothing is read in a minute in which no job's grace has ended, as it is in nearly all.
        """
        due_at = {schedule.name: self._last_due(schedule, now - BEAT_GRACE) for schedule in self._schedules}
        newest = max((at for at in due_at.values() if at), default=None)
        if not is_open and self._read_at and (newest is None or newest < self._read_at - BEAT_GRACE):
            return
        beats, self._read_at = self._ports.states.beats(), now
        for name, at in due_at.items():
            if name not in beats:
                self._ports.states.beat(name, now)
            elif cause := late(name, beats[name], at):
                yield cause

    def _ailing(self, now: datetime) -> Iterator[Cause]:
        """Those that were not well at two rounds in a row, a minute apart; where requests queue, for longer."""
        if self._asked_at is None or now - self._asked_at > SEEN_FOR:
            self._bad_since.clear()
            self._well_since.clear()
        self._asked_at = now
        turn = now.minute % DEEP_EVERY_MIN == 0
        asks = {name: partial(self._ask, name, turn or name in self._bad_since) for name in self._services}
        answers = self._ask_all(asks, ASK_S) if asks else {}
        for name in self._services:
            why = answers.get(name, f"no answer within {ASK_S:g} s")
            if not why:
                self._bad_since.pop(name, None)
                self._well_since.setdefault(name, now)
                continue
            self._well_since.pop(name, None)
            since = self._bad_since.setdefault(name, now)
            if now - since >= self._bad_for[name]:
                yield ailing(name, why, since)

    def _is_well(self, name: str, now: datetime) -> bool:
        since = self._well_since.get(name)
        return since is not None and now - since >= WELL_FOR


def _has_open(latches: Iterable[Latch]) -> bool:
    return any(not alert.resolved for alert in incidents_of(latches).values())
