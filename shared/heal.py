"""What the timer makes good because a message, or whoever had it, did not: for the shell's sweep.

Each act goes through the same claim as a decision, is kept with its reason (core/repairs.py), and has a budget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from shared.core.fold import View, is_open, look
from shared.core.incident import NOT_FIRED, not_fired, raise_latch, resolve_latch
from shared.core.letters import LETTERS_KEPT, judge_letter, letter_name
from shared.core.measures import of_latches, of_letters, of_repair
from shared.core.messages import run_of
from shared.core.model import Fact, Latch, LedgerEntry, Repair, RepairKind, RunKey
from shared.core.repairs import repair_latch, repairs_kept, resend_of
from shared.core.standing import in_doubt
from shared.history import newest
from shared.ports import Delivery, Ports, StateStore

log = logging.getLogger("tipoff.heal")

LATCH_LEASE_S = 30
"""Longer than any publish takes; after it whoever sweeps sends what the dead one did not."""

TELLING = timedelta(seconds=10)
"""What is left of a lease has to last for telling people."""

SWEEP_MAX = 500
"""Runs and latches taken up in one sweep; the next one goes on."""

DOUBTS_MAX = 10
"""Starts of a run that are looked for at one look: each may be a query. Another minute begins with others."""

LETTERS_MAX = 100
"""Dead letters that one sweep looks at, the newest; whoever has more has a person's problem."""

TOLD_WITHIN = timedelta(days=3)
"""A sink that took nothing for so long is not waited for: what it is to be told would keep starts from the sweep."""

KEEP_TRIES = 3
"""Words that may come between a look at a run and what is kept of it."""

LATCH_KEPT = timedelta(hours=6)
"""Starts claimed so long ago are not sent any more: each has been given up, and its run is over or a person's."""

Send = Callable[[Iterable[Latch]], None]
"""Publishes what latches carry, and closes them."""

Guard = Callable[[Callable[[], object]], object]
"""Does one of many things, and says what becomes of the others if it raises."""


def claim(
    states: StateStore,
    view: View,
    latches: Sequence[Latch],
    *,
    due_at: datetime | None,
    entry: LedgerEntry | None = None,
    lease_s: int = LATCH_LEASE_S,
) -> tuple[Latch, ...] | None:
    """StateStore.claim on what a view says of a run, under the lease of whoever sends."""
    return states.claim(
        view.plan.run,
        control_version=view.control.version,
        latches=latches,
        entry=entry,
        due_at=due_at,
        now=view.now,
        lease_s=lease_s,
    )


class Healer:
    """One per service, which gives it its ways to send and to keep one run's failure from the others."""

    def __init__(self, ports: Ports, send: Send, guard: Guard) -> None:
        self._ports = ports
        self._send = send
        self._guard = guard

    def find(self, view: View) -> bool:
        """Look for what was ordered and never reported: what stands is a fact, what left nothing is sent once more.

        Whether anything was written.
        """
        if self._ports.evidence is None:
            return False
        resends, found_any, doubts = list[Latch](), False, in_doubt(view)
        first = int(view.now.timestamp()) // 60 * DOUBTS_MAX % max(len(doubts), 1)
        for start in (doubts[first:] + doubts[:first])[:DOUBTS_MAX]:
            found = self._ports.evidence.find(start)
            if found is not None:
                if self._ports.states.append(Fact(found, self._ports.clock.now())):
                    self._ports.meter.add([of_repair(start.run, RepairKind.FOUND)])
                    found_any = True
            elif latch := resend_of(view, start):
                resends.append(latch)
        if not resends:
            return found_any
        self._send(self._claim(view, resends))
        return True

    def send_again(self, latch: Latch, now: datetime, alerts: list[Latch]) -> None:
        """Send what was claimed and, as far as anybody knows, never sent; then keep that it was. `alerts` gets what
        people are to be told of it."""
        if latch.starts and all(start.issued_at + LATCH_KEPT <= now for start in latch.starts):
            latch = replace(latch, starts=())
        if latch.starts:
            alerts.extend(self._raise_unless_sent(latch, now))
        self._send([latch])
        if latch.starts:
            alerts.extend(self._resolve_as_sent(latch, now))
            subject = latch.key.removeprefix(f"{latch.run}/")
            reason = f"claimed, and not said to be sent within {LATCH_LEASE_S} s"
            repair = Repair(kind=RepairKind.LATCH, subject=subject, reason=reason, at=now)
            self._keep(*self._look(latch.run, now), repair)

    def _raise_unless_sent(self, latch: Latch, now: datetime) -> tuple[Latch, ...]:
        """What could not be sent for so long may not be sent now either: people are told before that is tried."""
        start = min(latch.starts, key=lambda each: each.issued_at)
        cause = not_fired(latch.run, start.phase, start.issued_at, now)
        if cause is None:
            return ()
        view, _ = self._look(latch.run, now)
        known = view.incidents.get(NOT_FIRED)
        if view.control.cancel or view.control.held_at(now) or not is_open(view) or (known and not known.resolved):
            return ()
        if newest(self._ports.states, latch.run) != latch.run:
            return ()  # nobody waits for it any more
        return self._claim(view, [raise_latch(view, cause)])

    def _resolve_as_sent(self, latch: Latch, now: datetime) -> tuple[Latch, ...]:
        view, _ = self._look(latch.run, now)
        known = view.incidents.get(NOT_FIRED)
        if known is None or known.resolved:
            return ()
        ended = f"{latch.run}: what {latch.starts[0].phase} shall start has been sent"
        return self._claim(view, [resolve_latch(view, NOT_FIRED, ended)])

    def tell(self, latches: Iterable[Latch], now: datetime) -> None:
        """Tell people what these carry, claimed since `now`, incident by incident: what becomes of one keeps none of
        the others."""
        groups: dict[str, list[Latch]] = {}
        for latch in self._held(list(latches), now):
            groups.setdefault(latch.incident, []).append(latch)
        for group in groups.values():
            self._guard(partial(self._tell_of, group, now))

    def _held(self, latches: Sequence[Latch], since: datetime) -> Sequence[Latch]:
        """Those that nobody else tells by now. What was claimed a lease ago may be another's: it is taken anew, and
        what cannot be had is left to the next sweep."""
        now, over_at = self._ports.clock.now(), since + timedelta(seconds=LATCH_LEASE_S)
        if not latches or now + TELLING < over_at:
            return latches
        taken = self._ports.states.take_lapsed(max(now, over_at), LATCH_LEASE_S, SWEEP_MAX)
        return [latch for latch in taken if latch.alert]

    def _tell_of(self, group: Sequence[Latch], now: datetime) -> None:
        """Tell people of one incident, then close. A sink that is down leaves the latches open: they come again.

        A trigger that is told when its end is known already is told with it: the sink's last word is always the end.
        What a sink has taken while another has not is kept, so that only whoever dies in between tells it twice.
        """
        run, incident, latches = group[0].run, group[0].incident, self._ports.states.load(group[0].run).latches
        keys, mine = {each.key for each in latches}, {each.key for each in group}
        ends = [each for each in latches if each.alert and each.alert.resolved and each.incident == incident]
        in_order = [each for each in latches if each.key in mine]
        told = [each for each in in_order if each.told.raises] + ends if ends else in_order
        took = {name: self._takes(name, told, keys) for name in self._ports.notifiers}
        is_late = all(now - each.told.said_at > TOLD_WITHIN for each in group)
        if all(len(each) == len(told) for each in took.values()):
            self._ports.states.close(run, [*mine, *(each.key for each in ends)])
        elif is_late:
            log.error("%s: told to nobody more, after %d days", incident, TOLD_WITHIN.days)
            self._ports.states.close(run, [*mine])
        else:
            self._keep_told(run, [key for each in took.values() for key in each if key not in keys], now)

    def _takes(self, name: str, told: Sequence[Latch], keys: Collection[str]) -> list[str]:
        """Tell one sink, in order, what it has not taken; under what keys to keep what it has taken by now."""
        taken: list[str] = []
        for each in told:
            mark = f"{each.key}/told/{name}"
            if mark not in keys and not self._ports.notifiers[name].notify(each.run, each.incident, each.told):
                break
            taken.append(mark)
        return taken

    def _keep_told(self, run: RunKey, marks: Sequence[str], now: datetime) -> None:
        """Another may change control meanwhile. The run is looked at once more: what it was due at may have moved."""
        latches = [Latch(key=mark, run=run) for mark in marks]
        for _ in range(KEEP_TRIES if latches else 0):
            version = self._ports.states.load(run).control.version
            kept = self._ports.states.claim(
                run,
                control_version=version,
                latches=latches,
                entry=None,
                due_at=now,
                now=now,
                lease_s=LATCH_LEASE_S,
            )
            if kept is not None:
                self._ports.states.close(run, marks)
                return

    def weigh_letters(self, now: datetime) -> None:
        """Send dead letters of open runs again whose cause has passed, the oldest first, each within its budget."""
        letters: dict[RunKey, list[tuple[Delivery, str]]] = {}
        found = self._ports.bus.dead_letters(LETTERS_MAX)
        self._ports.meter.add([of_letters(len(found))])
        for delivery, error in reversed(found):
            run = run_of(delivery.attributes)
            if run and delivery.published_at > now - LETTERS_KEPT and self._ports.states.plan(run):
                letters.setdefault(run, []).append((delivery, error))
        for run, group in letters.items():
            self._guard(partial(self._redrive, run, group, now))

    def _redrive(self, run: RunKey, letters: Sequence[tuple[Delivery, str]], now: datetime) -> None:
        """Each is counted before it is sent, so that no death in between makes it one more."""
        view, latches = self._look(run, now)
        if not is_open(view):
            return
        named = {letter_name(each.subscription, each.data): (each, error) for each, error in letters}
        for name, (delivery, error) in named.items():
            repair = judge_letter(name, error, repairs_kept(latches), now)
            if repair and self._keep(view, latches, repair) and repair.kind is RepairKind.REDRIVE:
                self._ports.bus.redrive([delivery.id], now)

    def _keep(self, view: View, latches: Sequence[Latch], repair: Repair) -> bool:
        """Keep an act with its reason, and have the run looked at. False where another has been quicker."""
        run = view.plan.run
        latch = repair_latch(run, repair, latches)
        claimed = self._claim(view, [latch])
        if claimed:
            self._ports.states.close(run, [latch.key])
        return bool(claimed)

    def _claim(self, view: View, latches: Sequence[Latch]) -> tuple[Latch, ...]:
        """Those that this call has claimed, counted; the run is looked at once more."""
        claimed = claim(self._ports.states, view, latches, due_at=view.now) or ()
        self._ports.meter.add(of_latches(claimed))
        return claimed

    def _look(self, run: RunKey, now: datetime) -> tuple[View, tuple[Latch, ...]]:
        plan, record = self._ports.states.plan(run), self._ports.states.load(run)
        assert plan is not None, f"{run} has no plan"
        return look(plan, record.facts, record.latches, record.control, now), record.latches
