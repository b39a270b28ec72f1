"""What a person may ask of a run that has been: a replay, a look again at its sources, another attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.core.fold import View
from shared.core.gate import NOTHING_EXPECTED
from shared.core.model import END, Act, Outcome, OutcomeKind, Start
from shared.core.plan import Given, PlannedPhase
from shared.core.standing import Standing, next_attempt, order_start, stand, under_way_until


def given_by(view: View, phase: str, reason: str) -> Given | str:
    """What a replay from this phase ("": the first) stands on: the gate into it as this run opened it. Or why not."""
    plan = view.plan
    run, phase = plan.run, phase or plan.phases[0].name
    if not reason.strip():
        return "--reason is empty; say, for those who read it later, why the run is replayed"
    if phase not in plan.phase_by_name:
        return f"--from {phase!r} is not planned in {run}; planned: {', '.join(plan.phase_by_name)}"
    end = view.outcomes.get(END)
    if end and end.grade == NOTHING_EXPECTED:
        return f"{run}: {end.reason}, so there is nothing to replay; a run with a new --generation asks anew"
    opened = {gate: outcome for gate, outcome in view.outcomes.items() if outcome.kind is OutcomeKind.OPEN}
    if phase not in opened:
        remedy = f"replay it from one that it opened: {', '.join(opened)}" if opened else "let it begin first"
        return f"--from {phase}: {run} has never opened it; {remedy}"
    asked_anew = {str(before) for before in plan.phase_by_name[phase].runs_before}
    return Given(
        run=run,
        phase=phase,
        reason=reason.strip(),
        completeness=opened[phase].completeness,
        missing=tuple(missing for missing in opened[phase].missing if missing.processor not in asked_anew),
        expectations=opened[phase].expectations,
    )


def order_looks(view: View, names: Sequence[str] = ()) -> tuple[tuple[Start, ...], tuple[str, ...]]:
    """Another attempt of each source, or of those named, that has a result which may still change; and why not others.

    A source stands in the first phase and takes corrections after the run's deadline. What such a look brings, the
    gates weigh as they weigh everything that comes late; where it brings nothing whole, what stood stands.
    """
    plan, phase = view.plan, view.plan.phases[0]
    sources = [p.name for p in phase.processors if p.refresh_until and p.refresh_until > plan.deadline_at]
    if not sources:
        first = replace(plan.run, generation=1)
        why = f"{plan.run} begins with {phase.name}: it has no sources; a replay of {first} takes in what was corrected"
        return (), (why,)
    opened = view.outcomes.get(phase.name)
    if why := _stopped(view):
        return (), (why,)
    if opened is None:
        return (), (f"{plan.run} has not begun",)
    standings, starts, refused = stand(view, phase, opened), [], []
    for name in names or sources:
        if why := _why_not_look(view, name, sources, standings):
            refused.append(f"{name} {why}")
            continue
        due = {**standings, name: replace(standings[name], due=next_attempt(view, name), asked=None)}
        starts.append(replace(order_start(view, phase, opened, due, name), look=True))
    return tuple(starts), tuple(refused)


def order_again(view: View, phase: str, processor: str, act: Act, only: tuple[str, ...] | None = None) -> Start | str:
    """Another attempt of a processor of a phase that has opened, at a person's word; or why not.

    Nobody's word has it read what is not there yet: what it needs is waited for all the same. Of one whose result
    is whole it is a look: it counts only if it is whole too. `only`: see Start.
    """
    plan = view.plan
    planned = plan.phase_by_name.get(phase)
    if planned is None or processor not in planned.by_name:
        return f"{phase}/{processor} is not planned in {plan.run}"
    if why := _stopped(view):
        return why
    opened = view.outcomes.get(phase)
    if opened is None or opened.kind is not OutcomeKind.OPEN:
        return f"{plan.run} has not opened {phase}"
    if why := waits_for(view, planned, opened, processor):
        return why
    standings = stand(view, planned, opened)
    own = replace(standings[processor], due=next_attempt(view, processor), asked=None)
    start = order_start(view, planned, opened, {**standings, processor: own}, processor)
    return replace(start, look=standings[processor].whole, by=act, only=only)


def waits_for(view: View, phase: PlannedPhase, opened: Outcome, processor: str) -> str:
    """Why a processor of a phase that has opened cannot be started yet, and what helps; empty where it can.

    A skip of it counts for nothing: another attempt takes it back.
    """
    skips = {name: act for name, act in view.control.skips.items() if name != processor}
    standings = stand(replace(view, control=replace(view.control, skips=skips)), phase, opened)
    is_first = next_attempt(view, processor) == opened.base.get(processor, 1)
    then = "it starts by itself as soon as that is done" if is_first else "ask again when that is done"
    for need in (standings[name] for name in phase.by_name[processor].needs):
        if not need.done:
            name = need.processor.name
            helps = f"`tipoff retry {view.plan.run} {name} --reason TEXT` has that try again" if need.ended else then
            return f"{processor} needs {name}, which {need.why}; {helps}{_or_without(view, phase)}"
    own = standings[processor]
    if is_first and own.due is None and own.next_at:
        return f"{processor} {own.why}, at {own.next_at:%Y-%m-%d %H:%M:%S} UTC; then it starts by itself"
    return ""


def _or_without(view: View, phase: PlannedPhase) -> str:
    """How the run goes on without what is not done, where that can be."""
    gate = view.plan.gates[view.plan.gates.index(phase.name) + 1]
    if gate == END or gate in view.outcomes:
        return ""
    return f"; or `tipoff force {view.plan.run} {gate} --reason TEXT` opens the gate behind it with what is there"


def _stopped(view: View) -> str:
    """Why nothing may be ordered in a run any more, or now; empty where it may."""
    if act := view.control.cancel or view.control.held_at(view.now):
        return f"{view.plan.run} is {'cancelled' if view.control.cancel else 'held'} by {act.actor}: {act.reason}"
    ended = [o for o in view.outcomes.values() if o.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK)]
    return f"{view.plan.run} has failed: {ended[0].reason}" if ended else ""


def _why_not_look(view: View, name: str, sources: Sequence[str], standings: Mapping[str, Standing]) -> str:
    if name not in sources:
        return f"is not a source; those of {view.plan.run.mode} are {', '.join(sources)}"
    standing = standings[name]
    until = standing.processor.refresh_until
    assert until is not None
    if view.now > until:
        return f"may change until {until:%Y-%m-%d %H:%M} UTC only; a replay takes in what came later"
    if not standing.whole:
        return f"has no whole result to look at again: it {standing.why}"
    if under_way_until(view, standing.processor):
        return f"is being looked at already, attempt {view.starts[name][-1].attempt}"
    return ""
