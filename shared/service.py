"""The shell around the core, for every function that hears a message or a timer: gather, decide, apply, in that order.

A message is a hint to look, not a command. Whoever looks first does what is due; whoever looks again finds it done. So
every verb here may be called twice, at once, late, or by the timer instead of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared import history
from shared.core import calendar
from shared.core.again import given_by, order_again, order_looks, waits_for
from shared.core.fold import View, incidents_of, look
from shared.core.gate import (
    Ask,
    Consequences,
    Verdict,
    consequences,
    decide,
    key_of,
    name_of,
    not_before,
    refused_before,
    says_the_same,
    start_latch,
)
from shared.core.heartbeat import SELF_HEAL, beat_of, beats_again
from shared.core.incident import acknowledged, alerts_due, next_alert_at, open_incidents, why_not_open
from shared.core.letters import looks_at_letters
from shared.core.measures import of_latches, of_repair, of_step, of_sweep
from shared.core.messages import Message, Nudge, start_message
from shared.core.model import (
    END,
    WATCH,
    Act,
    Alert,
    Completion,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    PipelineSpec,
    Reading,
    RepairKind,
    RunKey,
    Start,
    Woke,
    Word,
)
from shared.core.plan import Given, Plan, build_plan
from shared.core.readings import settle, unread
from shared.core.repairs import BEGUN_BY
from shared.core.standing import under_way_until
from shared.core.words import QUALITY, checked, phase_of, same, speak
from shared.gather import READINGS_S, Answers, Asks, AtOnce, Attempt
from shared.heal import LATCH_LEASE_S, SWEEP_MAX, Guard, Healer, claim
from shared.ports import LOOK_WITHIN_S, Bus, Ports, RunRecord, Tracer
from shared.watch import Watch

LOOKS_MAX = 20
"""Looks at one run per message: its phases, and as many races lost; the rest is the sweep's."""

NUDGE_AHEAD = timedelta(hours=1)
"""A schedule speaks when it is due; this much its clock may be ahead of ours."""

OPEN_WITHIN = timedelta(days=1)
"""Every open run wants to be looked at far earlier; where none does, no dead letter can help one."""

SAY_TRIES = 5
"""Words that may come between a word's look at a run and its being kept: more people than speak at once."""

BEGIN_GRACE = timedelta(minutes=1)
"""A schedule speaks at the very minute at which its run should be there; it is the first to do so."""

SWEEP_LOOK_BACK_DAYS = 2
"""How old a run may be that nobody started and the calendar says should exist."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A well-formed message that can never count. It is kept for a person; nothing has changed."""

    reason: str


class Service:
    """One per process. Safe to call from several threads: it keeps nothing but its ports, and when it last beat."""

    def __init__(
        self,
        ports: Ports,
        pipelines: Mapping[str, PipelineSpec],
        tell: Callable[[LedgerEntry], None] = lambda _: None,
        *,
        starts_missing_runs: bool = True,
        guard: Guard = lambda act: act(),
        attempt: Attempt = lambda ask: ask(),
        gather: Callable[[Asks, float], Answers] | None = None,
        readings_s: float = READINGS_S,
        watch: Watch | None = None,
    ) -> None:
        self._ports = ports
        self._pipelines = pipelines
        self._tell = tell  # hears every decision that changed, once it stands
        self._starts_missing_runs = starts_missing_runs  # no, where one run was asked for
        self._guard = guard  # does each part of a sweep; edge.apart keeps what one raises from the others
        self._watch = watch  # of what is about no run; None: nobody watches here
        self._healer = Healer(ports, self._send, guard)
        self._ask_all = gather or AtOnce(attempt)  # what one reading raises is bad news of it, and of nothing else
        self._readings_s = readings_s
        self._beaten_at: datetime | None = None

    # --- what wakes it ------------------------------------------------------------------------------

    def start_run(self, run: RunKey, labels: Mapping[str, str] | None = None, woke: Woke = Woke.OPERATOR) -> bool:
        """Write the plan of a run and open its first phase. False if the run exists; then it is looked at.

        Raises ValueError for a pipeline or mode that nobody declared.
        """
        # Who asks for a run that is there need not read how long those before it took.
        known = self._ports.states.plan(run) is not None
        created = not known and self._ports.states.create_run(self._plan(run, labels))
        if created and labels == BEGUN_BY:
            self._ports.meter.add([of_repair(run, RepairKind.RUN)])
        self.advance(run, woke)
        return created

    def on_completion(self, completion: Completion) -> Refusal | None:
        """Record what a processor reports, then look. Idempotent: the fact's key is its identity."""
        plan = self._ports.states.plan(completion.run)
        if plan is None:
            return Refusal(f"run {completion.run} is not known")
        refused = self._refuse(plan, completion)
        if refused:
            return refused
        self._ports.states.append(Fact(completion, self._ports.clock.now()))
        self.advance(completion.run, Woke.COMPLETION)
        return None

    def on_nudge(self, nudge: Nudge) -> Refusal | None:
        """A schedule's word. A late or doubled nudge means the day it was scheduled for, not the day it arrives."""
        if nudge.act == "sweep":
            self.sweep()
            return None
        if nudge.act in ("recover", "summary"):  # about batches, or what people are told: others hear that
            return None
        spec = self._pipelines.get(nudge.pipeline)
        if spec is None or nudge.mode not in [mode.name for mode in spec.modes]:
            return Refusal(f"no pipeline {nudge.pipeline!r} with a mode {nudge.mode!r}")
        if nudge.scheduled_at > self._ports.clock.now() + NUDGE_AHEAD:
            return Refusal(f"scheduled at {nudge.scheduled_at}, which is still to come: no run begins before its time")
        day = calendar.resolve(nudge.date, nudge.scheduled_at, spec.zone)
        self.start_run(RunKey(spec.name, day, nudge.mode), woke=Woke.NUDGE)
        if beat := beat_of(nudge, spec.schedules, self._ports.clock.now()):
            self._ports.states.beat(*beat)
        return None

    def sweep(self) -> None:
        """The timer's walk through the same door: unsent latches, dead letters, runs that are due, runs that should
        exist. Then people are told: a sink that hangs holds nothing else up. Who has come through leaves a heartbeat.
        """
        now = self._ports.clock.now()
        alerts = list[Latch]()
        for latch in self._ports.states.take_lapsed(now, LATCH_LEASE_S, SWEEP_MAX):
            if latch.alert:
                alerts.append(latch)
            else:
                self._guard(partial(self._healer.send_again, latch, now, alerts))
        if looks_at_letters(now) and self._ports.states.due_runs(now + OPEN_WITHIN, 1):
            self._guard(partial(self._healer.weigh_letters, now))
        due = self._ports.states.due_runs(now, SWEEP_MAX)
        for run in due:
            if run.mode != WATCH:
                self._guard(partial(self.advance, run, Woke.SWEEP, alerts))
        for spec in self._pipelines.values() if self._starts_missing_runs else ():
            for run in calendar.expected_runs(spec, now - BEGIN_GRACE, SWEEP_LOOK_BACK_DAYS):
                if self._ports.states.plan(run) is None:
                    self._guard(partial(self.start_run, run, BEGUN_BY, Woke.SWEEP))
        if watch := self._watch:
            self._guard(lambda: alerts.extend(watch.look(now, is_open=watch.run in due)))
        self._healer.tell(alerts, now)
        self._ports.meter.add(of_sweep(now, self._ports.clock.now(), self._beaten_at))
        if beats_again(self._beaten_at, now):
            self._ports.states.beat(SELF_HEAL, now)
            self._beaten_at = now

    # --- what an operator asks for --------------------------------------------------------------------

    def say(self, run: RunKey, word: Word) -> Control | Refusal:
        """Hold, release, cancel, skip, force or override: kept with who, why and until when, and then acted upon.

        Said again it changes nothing, and the run is looked at once more. The control as it stands then.
        """
        told = self._say(run, word)
        if isinstance(told, Refusal):
            return told
        self.advance(run)
        return told.control

    def replay(
        self, run: RunKey, from_phase: str, act: Act, labels: Mapping[str, str] | None = None
    ) -> RunKey | Refusal:
        """Begin a new generation that does the phases from this one on ("": all) over, given what the run then knew.

        Nothing of the old generation is changed; should it still run, its fence is older from now on. Two calls at once
        begin two generations, of which the newer one stands.
        """
        view = self._view(run)
        given = given_by(view, from_phase, act.reason) if view else _unknown(run)
        if view is None or isinstance(given, str):
            return Refusal(str(given))
        word = checked(Word(verb="replay", about=given.phase, act=act), view.now)
        if isinstance(word, str):
            return Refusal(word)
        labels = {name: text for name, text in view.plan.labels.items() if name not in BEGUN_BY} | dict(labels or {})
        said = {"replays": str(run), "from": given.phase, "reason": given.reason, "actor": act.actor}
        self._look_soon(view)  # who dies in between leaves its incidents to the timer: nobody waits for it any more
        again = replace(run, generation=self._newest(run).generation + 1)
        while not self._ports.states.create_run(self._plan(again, labels | said, given)):
            again = replace(again, generation=again.generation + 1)
        self._say(again, word)
        self.advance(again)
        self.advance(run)  # what people were told of it is over: nobody waits for it any more
        return again

    def look_again(
        self, run: RunKey, processors: Sequence[str] = (), act: Act | None = None
    ) -> tuple[Start, ...] | Refusal:
        """Order the sources of a run, or those named, to look again at what may have been corrected since.

        What they bring travels as everything does that comes late: the same content changes nothing, other content is
        published once. The starts that this call has ordered: none where another call was quicker.
        """
        view = self._view(run)
        if view is None:
            return Refusal(_unknown(run))
        newest = self._newest(run)
        if newest != run:
            return Refusal(f"{newest} stands over {run}: what that finds would be refused; look again at {newest}")
        starts, refused = order_looks(view, processors)
        if not starts:
            return Refusal("; ".join(refused))
        if act:
            told = self._say(run, Word(verb="look_again", about=", ".join(processors), act=act))
            if isinstance(told, Refusal):
                return told
            view, starts = told, tuple(replace(start, by=act) for start in starts)
        return self._order(view, starts)

    def again(
        self, run: RunKey, phase: str, processor: str, act: Act, only: tuple[str, ...] | None = None
    ) -> Start | Refusal:
        """Order another attempt of one processor of a phase that has opened, at a person's word; its start says whose.

        A refusal where another call was quicker: then that attempt is under way.
        """
        view = self._view(run)
        if view is None:
            return Refusal(_unknown(run))
        start = order_again(view, phase, processor, act, only)
        if isinstance(start, str):
            return Refusal(start)
        told = self._say(run, Word(verb="retry", about=processor, act=act))
        if isinstance(told, Refusal):
            return told
        start = order_again(told, phase, processor, act, only)  # it may have been skipped until it was said
        if isinstance(start, str):
            return Refusal(start)
        ordered = self._order(told, [start])
        return ordered[0] if ordered else Refusal(f"{run} has changed meanwhile; look at it, and ask again")

    def retry(self, run: RunKey, processor: str, act: Act) -> Start | Control | Refusal:
        """As again, of a processor wherever it is planned. What the same word has ordered, while it is under way.

        The control where it was skipped before its turn: then that is taken back, and it starts by itself.
        """
        view = self._view(run)
        if view is None:
            return Refusal(_unknown(run))
        phase = phase_of(view.plan, processor)
        if isinstance(phase, str):
            return Refusal(phase)
        last = view.starts.get(processor, ())[-1:]
        if last and same(last[0].by, act) and under_way_until(view, phase.by_name[processor]):
            return last[0]
        opened = view.outcomes.get(phase.name)
        if opened and processor in view.control.skips and waits_for(view, phase, opened, processor):
            return self.say(run, Word(verb="retry", about=processor, act=act))
        return self.again(run, phase.name, processor, act)

    def acknowledge(self, run: RunKey, act: Act, which: tuple[str, int] | None = None) -> tuple[Alert, ...] | Refusal:
        """Say that somebody has this occurrence of a cause, or all that is open of a run; the next sweep tells it.

        `run` may also be the record of what is about no run. Those that this call acknowledged: none where all were.
        """
        record, now = self._ports.states.load(run), self._ports.clock.now()
        if why := why_not_open(run, record.latches, which):
            return Refusal(why)
        known = [alert for alert in incidents_of(record.latches).values() if not alert.resolved]
        wanted = [alert for alert in known if which in (None, (alert.cause, alert.number))]
        latches = [acknowledged(run, alert, act) for alert in wanted if alert.acknowledged is None]
        if not latches:
            return ()
        claimed = self._ports.states.claim(
            run,
            control_version=record.control.version,
            latches=latches,
            entry=None,
            due_at=now,  # what it was due at may have moved since it was read
            now=now,
            lease_s=0,
        )
        if claimed is None:
            return Refusal(f"{run} has changed meanwhile; look at it, and say it again")
        return tuple(latch.told for latch in claimed)

    def allow_poor(self, run: RunKey, act: Act) -> Control | Refusal:
        """Until act.until, work on units of a run whose inputs are too poor. The last word stands; its batches keep
        whose it was."""
        return self.say(run, Word(verb="override", about=QUALITY, act=act))

    def _say(self, run: RunKey, word: Word) -> View | Refusal:
        """Keep a word; the run with it."""
        for _ in range(SAY_TRIES):
            view = self._view(run)
            if view is None:
                return Refusal(_unknown(run))
            control = speak(view, word)
            if isinstance(control, str):
                return Refusal(control)
            if control is view.control:
                return view
            self._look_soon(view)  # who dies in between has said it all the same
            if self._ports.states.set_control(run, control):
                return replace(view, control=control)
        return Refusal(f"{run} has changed meanwhile; look at it, and say it again")

    def _look_soon(self, view: View) -> None:
        """The timer looks whatever becomes of this process, as StateStore.append promises of a fact."""
        claim(self._ports.states, view, (), due_at=view.now + timedelta(seconds=LOOK_WITHIN_S))

    def _order(self, view: View, starts: Sequence[Start]) -> tuple[Start, ...]:
        """Claim and send starts beside those that decisions order; those that this call claimed."""
        run = view.plan.run
        latches = [start_latch(start) for start in starts]
        claimed = claim(self._ports.states, view, latches, due_at=view.now)
        self._ports.meter.add(of_latches(claimed or ()))
        self._send(claimed or ())
        self.advance(run)  # it writes when to look next
        return tuple(start for latch in claimed or () for start in latch.starts)

    def _view(self, run: RunKey) -> View | None:
        plan = self._ports.states.plan(run)
        if plan is None or run.mode == WATCH:
            return None
        record = self._ports.states.load(run)
        return look(plan, record.facts, record.latches, record.control, self._ports.clock.now())

    def _newest(self, run: RunKey) -> RunKey:
        return history.newest(self._ports.states, run)

    # --- the path of one look -----------------------------------------------------------------------

    def advance(self, run: RunKey, woke: Woke = Woke.OPERATOR, alerts: list[Latch] | None = None) -> None:
        """Do what is due in a run, exactly once in effect, whoever else is looking. Whom the timer woke also looks for
        what was done and never reported. `alerts` gets what is to be told, of whoever tells it before its lease is
        over; else a sweep does."""
        plan = self._ports.states.plan(run)
        assert plan is not None, f"{run} has no plan"
        answered: dict[tuple[str, tuple[str, ...]], Mapping[str, Reading]] = {}
        for turn in range(LOOKS_MAX):
            record = self._ports.states.load(run)
            view = look(plan, record.facts, record.latches, record.control, self._ports.clock.now())
            if woke is Woke.SWEEP and not turn and not self._has_given_way(view) and self._healer.find(view):
                continue
            refused = refused_before(record.last_entry, view.now)
            readings: Mapping[str, Reading] = {}
            verdict = self._decide(view, readings, refused)
            if isinstance(verdict.decision, Ask):
                about = key_of(verdict), view.fact_ids
                if about not in answered:  # what was read a moment ago, of the same facts, is not asked for again
                    with self._ports.trace.span("gather", run=run, phase=verdict.gate):
                        answered[about] = self._gather(view, verdict, verdict.decision.readings, record.last_entry)
                readings = answered[about]
                verdict = self._decide(view, readings, refused)
            goes_on = verdict.starts or verdict.unanswered or verdict.next_look_at
            if verdict.stands and goes_on and self._has_given_way(view):
                verdict = replace(verdict, starts=(), unanswered=(), next_look_at=None)
            put_off = not_before(record.last_entry, verdict, record.due_at, view.now)
            asked = consequences(view, verdict, readings, refused, put_off)
            asked = replace(asked, entry=replace(asked.entry, woke=woke))
            if not self._apply(view, record, verdict, asked, alerts):
                return

    def _has_given_way(self, view: View) -> bool:
        """Whether it has ended, and a newer generation does it over: whoever wants more of it has it of that one."""
        return END in view.outcomes and self._newest(view.plan.run) != view.plan.run

    def _decide(self, view: View, readings: Mapping[str, Reading], refused: str | None) -> Verdict:
        with self._ports.trace.span("decide", run=view.plan.run) as span:
            verdict = decide(view, readings, refused)
            span.note(phase=verdict.gate, decision=name_of(verdict.decision))
            return verdict

    def _gather(
        self, view: View, verdict: Verdict, names: Sequence[str], last: LedgerEntry | None
    ) -> dict[str, Reading]:
        """All readings under one budget; one that is not there by its end is bad, like any that cannot be had."""
        before = last.readings if last and key_of(last) == key_of(verdict) else {}
        readers = self._ports.readers
        asks = {
            name: partial(readers[name].read, view, verdict.gate, before.get(name)) for name in names if name in readers
        }
        answers = self._ask_all(asks, self._readings_s) if asks else {}
        late = f"no answer within {self._readings_s:g} s"
        closed = view.plan.phase_by_name[verdict.gate].fails_closed
        found: dict[str, Reading] = {}
        for name in names:
            answer = answers.get(name, late if name in readers else "nobody here reads it")
            if isinstance(answer, str):
                answer = settle(name, unread(name, answer), before.get(name), view.now, closed=name in closed)
            found[name] = answer
        return found

    def _apply(
        self, view: View, record: RunRecord, verdict: Verdict, asked: Consequences, alerts: list[Latch] | None
    ) -> bool:
        """Make a verdict true. True if anything was written: whoever writes looks once more.

        What it wrote may allow more, or may have put an older idea of the next look over that of someone quicker.
        """
        run = view.plan.run
        entry = None if verdict.stands or says_the_same(record.last_entry, asked.entry) else asked.entry
        outcome = next((latch.outcome for latch in asked.latches), None)
        raised = alerts_due(view, verdict, outcome, asked.entry.readings)
        if (raised or open_incidents(view)) and self._newest(run) != run:  # asked only where it makes a difference
            raised = alerts_due(view, verdict, outcome, asked.entry.readings, replayed=True)
        latches = (*asked.latches, *raised)
        due_at = min((at for at in (asked.due_at, next_alert_at(view, verdict, outcome)) if at), default=None)
        if not latches and entry is None and _in_time(record.due_at, due_at, view.now):
            return False
        with self._ports.trace.span("apply", run=run, phase=verdict.gate, decision=name_of(verdict.decision)):
            # what nobody here sends or tells need not wait until a lease is over: the next sweep tells it
            lease_s = LATCH_LEASE_S if asked.latches or alerts is not None else 0
            claimed = claim(self._ports.states, view, latches, due_at=due_at, entry=entry, lease_s=lease_s)
        if claimed is None:
            return True
        self._ports.meter.add(of_step(view.plan, record.facts, record.latches, claimed, entry))
        if claimed:  # people are told by the sweep: whatever the sink does, it holds no message up
            self._send(latch for latch in claimed if latch.alert is None)
            if alerts is not None:
                alerts.extend(latch for latch in claimed if latch.alert)
        if entry is not None:
            self._tell(entry)
        return True

    def _send(self, latches: Iterable[Latch]) -> None:
        """Publish, then close. Between the two anything may die: then the sweep publishes again."""
        by_run: dict[RunKey, list[Latch]] = {}
        for latch in latches:
            by_run.setdefault(latch.run, []).append(latch)
        for run, group in by_run.items():
            plan = self._ports.states.plan(run)
            assert plan is not None, f"{run} has no plan"
            messages = [message for latch in group for message in _messages(plan, latch)]
            if messages:
                publish(self._ports.bus, self._ports.trace, messages, self._ports.clock.now(), run=run)
            self._ports.states.close(run, [latch.key for latch in group])

    # --- what is asked of a message, and of a run -----------------------------------------------------

    def _refuse(self, plan: Plan, completion: Completion) -> Refusal | None:
        phase = plan.phase_by_name.get(completion.phase)
        if phase is None or completion.processor not in phase.by_name:
            return Refusal(f"{completion.phase}/{completion.processor} is not planned in {plan.run}")
        if completion.attempt > 1:
            latches = self._ports.states.load(plan.run).latches
            ordered = (s.attempt for latch in latches for s in latch.starts if s.processor == completion.processor)
            if completion.attempt > max(ordered, default=1):
                return Refusal(f"{completion.processor} attempt {completion.attempt} was never ordered in {plan.run}")
        return None

    def _plan(self, run: RunKey, labels: Mapping[str, str] | None, given: Given | None = None) -> Plan:
        spec = self._pipelines.get(run.pipeline)
        if spec is None:
            raise ValueError(f"pipeline {run.pipeline!r} is unknown; known: {', '.join(self._pipelines)}")
        mode = next((mode for mode in spec.modes if mode.name == run.mode), None)
        if mode is None:
            raise ValueError(f"mode {run.mode!r} is unknown; known: {', '.join(m.name for m in spec.modes)}")
        return build_plan(
            spec,
            run,
            started_at=self._ports.clock.now(),
            usual_start_at=calendar.usual_start(mode, run.date, spec.zone),
            deadline_at=calendar.deadline(mode, run.date, spec.zone),
            labels=labels,
            given=given,
            before=history.before(self._ports.states, run),
        )


def publish(bus: Bus, trace: Tracer, messages: Sequence[Message], now: datetime, *, run: RunKey) -> None:
    """Bus.publish inside a span that each message names: the work that it causes is linked to this."""
    with trace.span("publish", run=run, messages=len(messages)):
        bus.publish([_carrying(message, trace) for message in messages], now)


def _carrying(message: Message, trace: Tracer) -> Message:
    attributes = trace.carry(message.attributes)
    return message if attributes is message.attributes else replace(message, attributes=attributes)


def _unknown(run: RunKey) -> str:
    return f"run {run} is not known here; `tipoff status {run.pipeline} --date {run.date}` lists those that are"


def _in_time(due_at: datetime | None, wanted: datetime | None, now: datetime) -> bool:
    """Whether the timer's next look comes soon enough as it is: a look too many costs less than a write a message."""
    return due_at == wanted or (due_at is not None and wanted is not None and now < due_at <= wanted)


def _messages(plan: Plan, latch: Latch) -> list[Message]:
    return [start_message(start, plan.phase_by_name[start.phase].start_topic) for start in latch.starts]
