"""What the timer makes good because a message, or whoever had it, did not: for the shell's sweep.

Each act goes through the same claim as a decision, is kept with its reason (core/repairs.py), and has a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from shared.core.fold import View, is_open, look
from shared.core.letters import LETTERS_KEPT, judge_letter, letter_name
from shared.core.measures import of_latches, of_letters, of_repair
from shared.core.messages import run_of
from shared.core.model import Fact, Latch, LedgerEntry, Repair, RepairKind, RunKey
from shared.core.repairs import repair_latch, repairs_kept, resend_of
from shared.core.standing import in_doubt
from shared.ports import Delivery, Ports, StateStore

LATCH_LEASE_S = 30
"""Longer than any publish takes; after it whoever sweeps sends what the dead one did not."""

DOUBTS_MAX = 10
"""Starts of a run that are looked for at one look: each may be a query. Another minute begins with others."""

LETTERS_MAX = 100
"""Dead letters that one sweep looks at, the newest; whoever has more has a person's problem."""

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
) -> tuple[Latch, ...] | None:
    """StateStore.claim on what a view says of a run, under the lease of whoever sends."""
    return states.claim(
        view.plan.run,
        control_version=view.control.version,
        latches=latches,
        entry=entry,
        due_at=due_at,
        now=view.now,
        lease_s=LATCH_LEASE_S,
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
        claimed = claim(self._ports.states, view, resends, due_at=view.now) or ()
        self._ports.meter.add(of_latches(claimed))
        self._send(claimed)
        return True

    def send_again(self, latch: Latch, now: datetime) -> None:
        """Send what was claimed and, as far as anybody knows, never sent; then keep that it was."""
        if latch.alert:
            self._tell_of(latch)
            return
        if latch.starts and all(start.issued_at + LATCH_KEPT <= now for start in latch.starts):
            latch = replace(latch, starts=())
        self._send([latch])
        if latch.starts:
            subject = latch.key.removeprefix(f"{latch.run}/")
            reason = f"claimed, and not said to be sent within {LATCH_LEASE_S} s"
            repair = Repair(kind=RepairKind.LATCH, subject=subject, reason=reason, at=now)
            self._keep(*self._look(latch.run, now), repair)

    def _tell_of(self, latch: Latch) -> None:
        """Tell people of an incident, then close. A sink that is down leaves the latch open: it comes again.

        A trigger that is told when its end is known already is told with it: the sink's last word is always the end.
        """
        record = self._ports.states.load(latch.run)
        ends = [each for each in record.latches if each.alert and each.alert.resolved]
        told = [latch, *(each for each in ends if each.key != latch.key and each.incident == latch.incident)]
        if all(self._ports.notifier.notify(each.run, each.incident, each.alert) for each in told if each.alert):
            self._ports.states.close(latch.run, [each.key for each in told])

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
        claimed = claim(self._ports.states, view, [latch], due_at=view.now)
        if claimed:
            self._ports.meter.add(of_latches(claimed))
            self._ports.states.close(run, [latch.key])
        return bool(claimed)

    def _look(self, run: RunKey, now: datetime) -> tuple[View, tuple[Latch, ...]]:
        plan, record = self._ports.states.plan(run), self._ports.states.load(run)
        assert plan is not None, f"{run} has no plan"
        return look(plan, record.facts, record.latches, record.control, now), record.latches
