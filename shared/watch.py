"""What the timer watches beside its runs: whether each scheduled job comes through, and whether the services are well.

Its own heartbeat it cannot watch: who is paused does nothing. That is asked from outside, by /ready of self_heal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from shared.core.fold import incidents_of
from shared.core.heartbeat import SELF_HEAL
from shared.core.incident import Cause
from shared.core.measures import of_latches
from shared.core.model import Latch, LedgerEntry, Reading, RunKey, ScheduleSpec
from shared.core.watch import (
    BAD_FOR,
    BEAT_GRACE,
    FULL_FOR,
    HEALTH,
    HEARTBEAT,
    TOGETHER,
    late,
    noted,
    record,
    record_of,
    seen_before,
    sights,
    together,
    unwell,
    watch_latches,
)
from shared.gather import AtOnce
from shared.heal import LATCH_LEASE_S
from shared.ports import Ports, RunRecord

ASK_S = 8.0  # for all services together, side by side; each has seven seconds

LastDue = Callable[[ScheduleSpec, datetime], datetime | None]
"""When a schedule was due the last time before an instant; None if it never was."""

DEEP_EVERY_MIN = 20
"""A service is asked each minute whether it lives, and in every twentieth one, or once it is not well until that is
over, whether it could work now too: that asks what it depends on, and every five minutes it would cost more than all
else at rest. A gate asks it itself before it sends anything there."""

Ask = Callable[[str, bool], str]
"""Why a service of this name is not well; empty where it is, or where nobody has said where it answers. The flag asks
for more than whether it lives."""

AskAll = Callable[[Mapping[str, Callable[[], str]], float], Mapping[str, str]]


class Watch:
    """One for a process; others may go the next round. What was seen of a service that is not well is in the store,
    which is read and written only while there is any."""

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

    def look(self, now: datetime, *, is_open: bool) -> tuple[Latch, ...]:
        """Raise what is wrong, resolve what is over; what this call claimed, for whoever tells it. `is_open`: whether
        anything was, or a service was not well: the store says so by having its record due."""
        states = self._ports.states
        kept = states.load(self.run) if is_open else None
        late_jobs, deep = list(self._late(now, is_open)), self._asked_deeply(kept, now)
        answers = self._answers(deep)
        if kept is None:
            if not late_jobs and not any(answers.values()):
                return ()
            states.create_run(record(self.run.pipeline, now))
            kept = states.load(self.run)
        shallow, known = answers.keys() - deep, seen_before(kept.last_entry, kept.due_at, now)
        open_now = _open_in(kept.latches)
        seen = sights(answers, shallow, known, _ill(kept, open_now), now)
        found = [*late_jobs, *together(unwell(seen, answers, self._bad_for, now), open_now)]
        latches = watch_latches(self.run, kept.latches, found, self._unsure(kept.latches, seen, now), now)
        stays = bool(seen) or bool(_open_in((*kept.latches, *latches)))
        entry = noted(self.run, seen, kept.last_entry, now)
        claimed = self._claim(kept, latches, entry, now if stays else None, now)
        if not stays and _is_watched(again := states.load(self.run)):
            self._claim(again, (), None, now, now)  # another has found one in between, who would be asked no more
        self._ports.meter.add(of_latches(claimed))
        return claimed

    def _claim(
        self,
        kept: RunRecord,
        latches: Sequence[Latch],
        entry: LedgerEntry | None,
        due_at: datetime | None,
        now: datetime,
    ) -> tuple[Latch, ...]:
        claimed = self._ports.states.claim(
            self.run,
            control_version=kept.control.version,
            latches=latches,
            entry=entry,
            due_at=due_at,
            now=now,
            lease_s=LATCH_LEASE_S,
        )
        return claimed or ()

    def _unsure(self, latches: Sequence[Latch], seen: Mapping[str, Reading], now: datetime) -> list[str]:
        """Names of what this look has not shown to be over: services not well for long enough, heartbeats not read."""
        unread = [] if self._read_at == now else [name for name in incidents_of(latches) if name.startswith(HEARTBEAT)]
        return unread + [f"{HEALTH}-{name}" for name in seen] + ([TOGETHER] if seen else [])

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

    def _asked_deeply(self, kept: RunRecord | None, now: datetime) -> frozenset[str]:
        """All in its turn; else those that were not well, whoever saw it: that one lives does not make it well."""
        if now.minute % DEEP_EVERY_MIN == 0:
            return frozenset(self._services)
        if kept is None:
            return frozenset()
        noted_there = kept.last_entry.readings if kept.last_entry else {}
        return frozenset(self._services) & {*_ill(kept, _open_in(kept.latches)), *noted_there}

    def _answers(self, deep: Collection[str]) -> dict[str, str]:
        """Why each service is not well; empty where it is."""
        asks = {name: partial(self._ask, name, name in deep) for name in self._services}
        answers = self._ask_all(asks, ASK_S) if asks else {}
        return {name: answers.get(name, f"no answer within {ASK_S:g} s") for name in asks}


def _open_in(latches: Iterable[Latch]) -> set[str]:
    """Causes whose incidents are open."""
    return {name for name, alert in incidents_of(latches).items() if not alert.resolved}


def _ill(kept: RunRecord, open_now: Collection[str]) -> set[str]:
    """Services whose incident is open. Whose it is where many have one together, the last round has noted."""
    own = {name.removeprefix(f"{HEALTH}-") for name in open_now if name.startswith(HEALTH)}
    return own | set(kept.last_entry.readings if kept.last_entry and TOGETHER in open_now else ())


def _is_watched(kept: RunRecord) -> bool:
    return bool(_open_in(kept.latches)) or bool(kept.last_entry and kept.last_entry.readings)
