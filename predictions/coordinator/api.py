"""What the coordinator does when it is asked over HTTP: each route of routes.py. For the deployed coordinator.

Every route may be asked twice: it then finds what the first has done.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial

from predictions.coordinator.coordinator import Coordinator
from predictions.coordinator.routes import (
    Begun,
    Conflict,
    Ended,
    EndRequest,
    Incomplete,
    Lacking,
    NothingToDo,
    Overridden,
    OverrideRequest,
    Recovered,
    RecoverRequest,
    StartRequest,
    StatusRequest,
    status_url,
)
from shared import edge
from shared.core import calendar
from shared.core.batch import UNIT_ID_MAX, Batch, BatchRecord, SealKind, batch_id
from shared.core.batch_status import BatchState, batch_status
from shared.core.fold import View, look
from shared.core.gate import decide
from shared.core.line import one_line
from shared.core.model import Act, OutcomeKind, PhaseSpec, PipelineSpec, RunKey, Start
from shared.core.openapi import Refused
from shared.core.status import RunState, summarise
from shared.core.words import UNTIL_MAX
from shared.endpoint import NOBODY, Reply, Responder
from shared.ports import StateStore
from shared.service import Refusal, Service

log = logging.getLogger("tipoff.coordinator")

RETRY_S = 60  # where nobody knows better: the sweep looks each minute
RETRY_S_MAX = 3_600
MISSING_MAX = 100  # named in an answer: a run plans fewer processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Safe to call from several threads: it keeps nothing but its parts."""

    coordinator: Coordinator
    service: Service
    states: StateStore
    spec: PipelineSpec
    phase: PhaseSpec

    def responders(self) -> Mapping[tuple[str, str], Responder]:
        return {
            ("POST", "/start"): self.start,
            ("GET", "/status"): self.status,
            ("POST", "/recover-stalled"): self.recover,
            ("POST", "/seal"): partial(self.end, SealKind.SEALED),
            ("POST", "/cancel"): partial(self.end, SealKind.CANCELLED),
            ("POST", "/override"): self.override,
        }

    # --- start --------------------------------------------------------------------------------------

    def start(self, asked: StartRequest, who: str) -> Reply:
        """Begin the batch that the run's start orders, whoever else is at it: the same attempt is begun once."""
        if refused := self._unusable(asked):
            return _refused(400, refused)
        run = asked.run or self._newest(asked.date, asked.mode)
        view = self._view(run)
        if view is None:
            return self._not_begun(run)
        if self.phase.name not in view.plan.phase_by_name:
            planned = ", ".join(view.plan.phase_by_name)
            return _refused(400, f"run: {run} does not plan {self.phase.name}; it plans {planned}")
        start = self._latched(view)
        if summarise(view).state is RunState.NOTHING_EXPECTED:
            reason = decide(view).decision.reason
            return Reply(status=200, value=NothingToDo(state=RunState.NOTHING_EXPECTED, reason=reason))
        if start is None:
            return self._closed(view)
        record = self.coordinator.batches.load(batch_id(start))
        if record is not None:
            return self._stands(view, record, asked, who)
        if refused := _foreign(asked.units, start.units or asked.units or (), start.id):
            return _refused(400, refused)
        return self._stopped(view) or self._begin(view, replace(start, only=asked.units))

    def _unusable(self, asked: StartRequest) -> str:
        """What can be said without looking at anything; empty where nothing is against it."""
        modes = [mode.name for mode in self.spec.modes]
        run = asked.run
        if run and run.pipeline != self.spec.name:
            return f"run: {str(run)[:80]!r} is no run of {self.spec.name}; ask that pipeline's coordinator"
        mode = run.mode if run else asked.mode or ""
        if mode not in modes:
            return f"{'run' if run else 'mode'}: {mode[:40]!r} is no mode of {self.spec.name}; use {', '.join(modes)}"
        if mode not in self._planned_in():
            planned = ", ".join(self._planned_in())
            return f"{'run' if run else 'mode'}: {mode!r} does not plan {self.phase.name}; use {planned}"
        if asked.units is not None and not asked.force:
            return "units: only force does units anew; send force too, or leave units out"
        if asked.units == ():
            return "units: [] names none; name those to be done anew, or leave units out for all"
        if asked.force and not one_line(asked.reason):
            return "reason: '' says nothing; say, for those who read it later, why the batch is done again"
        return ""

    def _planned_in(self) -> tuple[str, ...]:
        """The modes that plan the phase."""
        modes = (mode.name for mode in self.spec.modes)
        return tuple(m for m in modes if any(m in (*p.critical, *p.optional) for p in self.phase.processors))

    def _newest(self, day: date | None, mode: str | None) -> RunKey:
        """The newest generation of a run; the first, where none is known."""
        assert day, "a request names a run, or date and mode"
        assert mode, "a request names a run, or date and mode"
        runs = [run for run in self.states.runs(self.spec.name, day, day) if run.mode == mode]
        return max(runs, key=lambda run: run.generation, default=RunKey(self.spec.name, day, mode))

    def _view(self, run: RunKey) -> View | None:
        plan = self.states.plan(run)
        if plan is None:
            return None
        record = self.states.load(run)
        return look(plan, record.facts, record.latches, record.control, self.coordinator.clock.now())

    def _latched(self, view: View) -> Start | None:
        """The newest start that the gate into the phase, or whoever came after it, has ordered."""
        opened = view.outcomes.get(self.phase.name)
        if opened is None or opened.kind is not OutcomeKind.OPEN:
            return None
        starts = [start for spec in self.phase.processors for start in view.starts.get(spec.name, ())]
        return max(starts, key=lambda start: start.attempt, default=None)

    def _begin(self, view: View, start: Start) -> Reply:
        """What cannot be read now is said, and reported to nobody: who asks is told, and a message comes again."""
        failed = edge.attempt(lambda: self.coordinator.on_start(start))
        record = self.coordinator.batches.load(batch_id(start))
        if record is None:
            missing = Lacking(name=batch_id(start), why=failed or "it has not begun")
            return self._incomplete(f"{batch_id(start)} could not begin", (missing,), None, RETRY_S)
        if failed:  # it has begun all the same: the sweep goes on with it
            log.warning("%s began, and could not go on: %s", batch_id(start), failed)
        if record.seal:
            return self._over(view, record)
        batch = record.batch
        return Reply(status=202, value=Begun(batch=batch.id, units=batch.total, status_url=status_url(batch.id)))

    def _stands(self, view: View, record: BatchRecord, asked: StartRequest, who: str) -> Reply:
        """Of a batch that there is."""
        if record.seal is None or record.seal.completion is None:
            how = "works already" if record.seal is None else "is being consolidated"
            return _conflict(record.batch, f"batch {record.batch.id} {how}")
        if not asked.force:
            return self._over(view, record)
        if refused := _foreign(asked.units, self._units(record.batch) if asked.units else (), record.batch.id):
            return _refused(400, refused)
        act = self._act(asked.actor, who, asked.reason)
        again = self.service.again(view.plan.run, self.phase.name, record.batch.start.processor, act, asked.units)
        if isinstance(again, Refusal):
            return _conflict(record.batch, again.reason)
        return self._begin(view, again)

    def _units(self, batch: Batch) -> set[str]:
        found = {unit.id for chunk in self.coordinator.batches.chunks(batch.id) for unit in chunk.units}
        return found | {result.unit for result in batch.settled}

    def _over(self, view: View, record: BatchRecord) -> Reply:
        """Of a batch that has ended, or begun and ended at once."""
        batch, seal = record.batch, record.seal
        assert seal is not None, f"{batch.id} has ended"
        if not batch.total:
            games = len(view.expectations.get(self.spec.expects, ()))
            return _refused(
                404, f"{view.plan.run} expects {games} {self.spec.expects} and no units: {batch.id} is empty"
            )
        completion = seal.completion
        return Reply(
            status=200,
            value=NothingToDo(
                state=str(completion.status) if completion else str(BatchState.CONSOLIDATING),
                reason=completion.reason if completion else seal.reason,
                batch=batch.id,
                units=batch.total,
                status_url=status_url(batch.id),
            ),
        )

    # --- what is missing ----------------------------------------------------------------------------

    def _not_begun(self, run: RunKey) -> Reply:
        mode = next(mode for mode in self.spec.modes if mode.name == run.mode)
        usual = edge.attempt(lambda: calendar.usual_start(mode, run.date, self.spec.zone))  # the last day has no next
        ahead = usual if isinstance(usual, datetime) and usual > self.coordinator.clock.now() else None
        lacking = Lacking(name=str(run), why="it has not begun")
        return self._incomplete(f"run {run} has not begun", (lacking,), ahead, RETRY_S)

    def _closed(self, view: View) -> Reply:
        """The gate into the phase has not opened, or never will."""
        verdict = decide(view)
        decision = verdict.decision
        missing = tuple(Lacking(name=each.processor, why=each.why) for each in decision.missing[:MISSING_MAX])
        gate = Lacking(name=verdict.gate, why=decision.reason)
        why = f"{view.plan.run} has not opened {self.phase.name}: {decision.reason}"
        return self._incomplete(why, missing or (gate,), verdict.next_look_at, None if verdict.stands else RETRY_S)

    def _stopped(self, view: View) -> Reply | None:
        """Why nothing is begun in the run any more, or now: it has failed, or a person said so."""
        act, until = view.control.cancel, None
        if act is None and (act := view.control.held_at(view.now)):
            until = act.until
        failed = [each for each in view.outcomes.values() if each.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK)]
        if act:
            why = f"it is {'cancelled' if view.control.cancel else 'held'} by {act.actor}: {act.reason}"
        elif failed:
            why = f"it has failed: {failed[0].reason}"
        else:
            return None
        missing = (Lacking(name=str(view.plan.run), why=why),)
        return self._incomplete(f"{view.plan.run}: {why}", missing, until, None)

    def _incomplete(
        self, error: str, missing: tuple[Lacking, ...], next_look_at: datetime | None, retry_s: int | None
    ) -> Reply:
        """With when to ask again: at the next look, else after `retry_s`; None: nothing will change by itself."""
        if next_look_at:
            ahead_s = (next_look_at - self.coordinator.clock.now()).total_seconds()
            retry_s = min(max(1, round(ahead_s)), RETRY_S_MAX)
        value = Incomplete(error=error, missing=missing, next_look_at=next_look_at)
        return Reply(status=503, value=value, headers={"Retry-After": str(retry_s)} if retry_s else {})

    # --- the others -----------------------------------------------------------------------------------

    def status(self, asked: StatusRequest, _who: str) -> Reply:
        batches = self.coordinator.batches
        record = self._known(asked.batch)
        if record is None:
            return _unknown(asked.batch)
        now = self.coordinator.clock.now()
        told = batch_status(record, batches.chunks(asked.batch), batches.reports(asked.batch), now)
        return Reply(status=200, value=told.to_json())

    def recover(self, asked: RecoverRequest, _who: str) -> Reply:
        """One that fails keeps none of the others; named alone, it is told."""
        if asked.batch is not None and self._known(asked.batch) is None:
            return _unknown(asked.batch)
        if asked.batch is not None:
            self.coordinator.recover(asked.batch)
            return Reply(status=200, value=Recovered(recovered=(asked.batch,)))
        recover = self.coordinator.recover
        done = [batch for batch in self.coordinator.stalled() if edge.attempt(partial(recover, batch)) is True]
        return Reply(status=200, value=Recovered(recovered=tuple(done)))

    def end(self, kind: SealKind, asked: EndRequest, who: str) -> Reply:
        record = self._known(asked.batch)
        if record is None:
            return _unknown(asked.batch)
        seal = self.coordinator.end_by(asked.batch, kind, self._act(asked.actor, who, asked.reason))
        if isinstance(seal, Refusal):
            return _conflict(record.batch, seal.reason)
        ended = Ended(
            batch=asked.batch,
            state=BatchState(seal.kind) if seal.completion else BatchState.CONSOLIDATING,
            kind=seal.kind,
            reason=seal.reason,
            at=seal.at,
            status_url=status_url(asked.batch),
        )
        return Reply(status=200, value=ended)

    def override(self, asked: OverrideRequest, who: str) -> Reply:
        now = self.coordinator.clock.now()
        if asked.run.pipeline != self.spec.name:
            return _refused(400, f"run: {str(asked.run)[:80]!r} is no run of {self.spec.name}")
        if not now < asked.until <= now + UNTIL_MAX:
            return _refused(400, f"until: {asked.until.isoformat()} is not within the next {UNTIL_MAX.days} days")
        if self.states.plan(asked.run) is None:
            return _refused(404, f"run {asked.run} is not known")
        act = replace(self._act(asked.actor, who, asked.reason), until=asked.until)
        control = self.service.allow_poor(asked.run, act)
        if isinstance(control, Refusal):
            return _refused(409, control.reason)
        told = Overridden(run=asked.run, actor=act.actor, reason=act.reason, until=asked.until)
        return Reply(status=200, value=told)

    def _act(self, claimed: str, who: str, reason: str) -> Act:
        """Whom Cloud Run has verified is who it was, whatever the request says of it."""
        actor = who if who != NOBODY else claimed or NOBODY
        return Act(actor=one_line(actor), reason=one_line(reason), at=self.coordinator.clock.now())

    def _known(self, batch: str) -> BatchRecord | None:
        """A batch of this pipeline; of others their own coordinators know."""
        return self.coordinator.batches.load(batch) if self.coordinator.is_mine(batch) else None


def _foreign(asked: Collection[str] | None, expected: Collection[str], whose: str) -> str:
    """What is to be said of the first unit that is not expected; empty where each is."""
    unknown = next((unit for unit in asked or () if unit not in expected), None)
    return f"units: {unknown[:UNIT_ID_MAX]!r} is none of those of {whose}; name others" if unknown else ""


def _refused(status: int, error: str) -> Reply:
    return Reply(status=status, value=Refused(error=error))


def _unknown(batch: str) -> Reply:
    return _refused(404, f"batch {batch} is not known")


def _conflict(batch: Batch, error: str) -> Reply:
    value = Conflict(error=error, batch=batch.id, units=batch.total, status_url=status_url(batch.id))
    return Reply(status=409, value=value)
