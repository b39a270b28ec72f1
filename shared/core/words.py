"""What a person says of a run, kept for good: each word makes a new control, or is refused with its remedy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from shared.core.fold import View
from shared.core.gate import decide, key_of
from shared.core.line import one_line
from shared.core.model import END, Act, Control, OutcomeKind, Word
from shared.core.plan import Plan, PlannedPhase
from shared.core.standing import stand

WORDS_MAX = 100
"""Of one run: a word is two lines at most, and all of them stand in one document of a megabyte at most. Release and
cancel find room all the same, once each: a run that is held does not stay so because much has been said of it."""

UNTIL_MAX = timedelta(days=7)
"""Who needs it for longer changes what is declared; a longer one is rather a mistyped year."""

QUALITY = "quality"
"""What `override` is about where units of a batch are meant whose inputs are too poor."""


def speak(view: View, word: Word) -> Control | str:
    """The control once this has been said; the very same one where nothing changes by it. Or why it cannot be said."""
    said = checked(word, view.now)
    if isinstance(said, str):
        return said
    control = VERBS[said.verb](view, said.about, said.act)
    if isinstance(control, str) or control is view.control:
        return control
    if len(control.said) >= WORDS_MAX and said.verb not in ("release", "cancel"):
        return (
            f"{view.plan.run}: {WORDS_MAX} words have been said of it, and no more are kept; "
            f"`tipoff replay {view.plan.run} --reason TEXT` begins a new generation"
        )
    return replace(control, version=control.version + 1, said=(*control.said, said))


def checked(word: Word, now: datetime) -> Word | str:
    """The word as it is kept; or why it cannot be, whatever the run is."""
    try:
        act = replace(word.act, actor=one_line(word.act.actor), reason=one_line(word.act.reason))
    except ValueError as error:
        return str(error)
    if not act.actor or not act.reason:
        name, what = ("reason", "why") if act.actor else ("actor", "who says so")
        return f"{name} is empty; say {what}, for those who read it later"
    if act.until and act.until.tzinfo is None:
        return f"until: {act.until.isoformat()} names no time zone; add one, as in {act.until.isoformat()}Z"
    if act.until and not now < act.until <= now + UNTIL_MAX:
        return f"until: {act.until.isoformat()} is not within the next {UNTIL_MAX.days} days"
    return replace(word, act=act)


def same(one: Act | None, other: Act) -> bool:
    """Whether both say the same, whenever they were said."""
    return one is not None and (one.actor, one.reason, one.until) == (other.actor, other.reason, other.until)


def phase_of(plan: Plan, processor: str) -> PlannedPhase | str:
    """The phase that a processor is planned in; or that it is in none."""
    phase = next((phase for phase in plan.phases if processor in phase.by_name), None)
    if phase is None:
        known = ", ".join(each.name for phase in plan.phases for each in phase.processors)
        return f"processor {processor[:40]!r} is not planned in {plan.run}; planned: {known}"
    return phase


def _over(view: View) -> str:
    """Why nothing that is said changes this run any more; empty where it may."""
    verdict = decide(replace(view, control=replace(view.control, hold=None)))
    if not verdict.stands or verdict.starts or verdict.next_look_at:
        return ""
    run = view.plan.run
    return (
        f"{run} has ended: {verdict.decision.reason}; `tipoff replay {run} --reason TEXT` does it over, "
        "as a new generation"
    )


def _ordered_no_more(view: View) -> str:
    """Why no attempt of it is ordered any more; empty where one may be: what has published may be tried again."""
    stopped = any(outcome.kind in (OutcomeKind.FAIL, OutcomeKind.BLOCK) for outcome in view.outcomes.values())
    return _over(view) if stopped else ""


def _hold(view: View, _: str, act: Act) -> Control | str:
    if same(view.control.held_at(view.now), act):
        return view.control
    return _over(view) or replace(view.control, hold=act)


def _release(view: View, _: str, act: Act) -> Control | str:
    """It ends as this is said, and is kept: what was held counts its time from there."""
    hold = view.control.held_at(view.now)
    ended_at = min(act.at, view.now)  # by a clock that is ahead, it would go on for a while
    return replace(view.control, hold=replace(hold, until=ended_at)) if hold else view.control


def _cancel(view: View, _: str, act: Act) -> Control | str:
    if before := view.control.cancel:
        said = f"{view.plan.run} has been cancelled by {before.actor}: {before.reason}"
        return view.control if same(before, act) else said
    return _over(view) or replace(view.control, cancel=act)


def _skip(view: View, name: str, act: Act) -> Control | str:
    plan = view.plan
    phase = phase_of(plan, name)
    if isinstance(phase, str):
        return phase
    if phase.by_name[name].critical:
        behind = plan.gates[plan.gates.index(phase.name) + 1]
        remedy = f"`tipoff force {plan.run} {behind} --reason TEXT` opens the gate behind it with what is there"
        if behind == END:
            remedy = f"`tipoff retry {plan.run} {name} --reason TEXT` has it try again"
        return f"{name} is critical in {plan.run.mode}: the run does not go on without it; {remedy}"
    if same(view.control.skips.get(name), act):
        return view.control
    opened = view.outcomes.get(phase.name)
    if opened and opened.kind is OutcomeKind.OPEN and stand(view, phase, opened)[name].whole:
        return f"{name} is done, so there is nothing to skip"
    return _over(view) or replace(view.control, skips={**view.control.skips, name: act})


def _force(view: View, gate: str, act: Act) -> Control | str:
    plan, control = view.plan, view.control
    if gate not in plan.phase_by_name:
        if gate == END:
            return f"the end of {plan.run} is not forced: what it publishes has its critical processors behind it"
        return f"gate {gate[:40]!r} is not one of {plan.run}; its gates: {', '.join(plan.phase_by_name)}"
    outcome = view.outcomes.get(gate)
    if outcome and same(control.forces.get(f"{gate}/{outcome.attempt}"), act):
        return control
    if over := _over(view):
        return over
    if stopped := control.cancel or control.held_at(view.now):
        remedy = "a new generation begins anew" if control.cancel else "release it first"
        is_ = "cancelled" if control.cancel else "held"
        return f"{plan.run} is {is_} by {stopped.actor}: {stopped.reason}; {remedy}"
    verdict = decide(view)
    if verdict.gate != gate:
        how = f"opened at {outcome.decided_at:%Y-%m-%d %H:%M:%S} UTC" if outcome else "is not reached yet"
        waits = verdict.gate if verdict.gate != END else "the one behind its last phase, which is not forced"
        return f"gate {gate} {how}; the gate that {plan.run} waits at: {waits}"
    if same(control.forces.get(key_of(verdict)), act):
        return control
    return replace(control, forces={**control.forces, key_of(verdict): act})


def _override(view: View, reading: str, act: Act) -> Control | str:
    if act.until is None:
        return f"until is empty; say when the override ends, within {UNTIL_MAX.days} days"
    control = view.control
    if reading == QUALITY:
        if same(control.quality, act):
            return control
        return _ordered_no_more(view) or replace(control, quality=act)
    known = {name: phase.name for phase in view.plan.phases for name in phase.readings}
    if reading not in known:
        asked = ", ".join([*known, QUALITY])
        return f"reading {reading[:40]!r} is asked for by no gate of {view.plan.run}; to be overridden: {asked}"
    if same(control.overrides.get(reading), act):
        return control
    return _over(view) or replace(control, overrides={**control.overrides, reading: act})


def _retry(view: View, processor: str, _: Act) -> Control | str:
    """Another attempt is a start, which says whose it is; one that was skipped counts again."""
    skips = {name: act for name, act in view.control.skips.items() if name != processor}
    return replace(view.control, skips=skips)


def _note(view: View, _: str, __: Act) -> Control | str:
    """What is done elsewhere, and only kept here."""
    return replace(view.control)


VERBS: Mapping[str, Callable[[View, str, Act], Control | str]] = {
    "hold": _hold,
    "release": _release,
    "cancel": _cancel,
    "skip": _skip,
    "force": _force,
    "override": _override,
    "retry": _retry,
    "replay": _note,
    "look_again": _note,
    "recover": _note,
    "redrive": _note,
    "purge": _note,
}
"""Every word, and what becomes of control by it."""
