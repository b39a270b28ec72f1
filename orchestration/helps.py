"""What a person can do about a run that stands still or waits: the commands, as they are typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from shared.core.fold import View
from shared.core.model import END, LedgerEntry, ReadingVerdict, Status
from shared.core.status import PhaseStatus, RunState, RunStatus

BAD = (ReadingVerdict.HOLD, ReadingVerdict.BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    what: str  # comes of it
    command: str


def helps(view: View, status: RunStatus, last: LedgerEntry | None, *, options: str, goes_on: str) -> tuple[Help, ...]:
    """Nothing for a run that ended well, or that only works. `options` lead to its state; `goes_on` runs it."""
    run, said = status.run, f"--reason TEXT{options}"
    if status.state.well:
        return ()
    if view.control.cancel or status.state is RunState.FAILED:
        stands = next((each.phase for each in status.phases if each.opened_at and not each.passed_at), "")
        at = f" --from {stands}" if stands else ""
        return (Help(what="do it over", command=f"tipoff replay {run}{at} {said}"),)
    if view.control.held_at(view.now):
        return (Help(what="let it go on", command=f"tipoff release {run} {said}"),)
    gates = [*(phase.phase for phase in status.phases), END]
    for phase, (_, gate) in zip(status.phases, pairwise(gates), strict=True):
        if phase.opened_at and not phase.passed_at:
            return tuple(_at_gate(view, phase, gate, last, said=f"{run} {{}} {said}", goes_on=goes_on))
    return ()


def _at_gate(
    view: View, phase: PhaseStatus, gate: str, last: LedgerEntry | None, *, said: str, goes_on: str
) -> Iterator[Help]:
    reported = [standing for standing in phase.standings.values() if standing.at and not standing.done]
    bad = [name for name, r in last.readings.items() if r.verdict in BAD] if last and last.gate == gate else []
    for standing in reported[:1]:
        command = f"tipoff retry {said.format(standing.processor.name)}"
        yield Help(what="another attempt now", command=command)
    latest = [view.facts[standing.processor.name][-1].completion for standing in reported]
    if any(completion.status is not Status.FAILED for completion in latest):
        yield Help(what="once its source is mended", command=f"{goes_on} --look-again")
    optional = [standing.processor.name for standing in reported if not standing.processor.critical]
    for name in optional[:1]:
        yield Help(what=f"go on without {name}", command=f"tipoff skip {said.format(name)}")
    overridden = set(view.plan.phase_by_name[gate].readings) if gate != END else set[str]()
    for name in bad:
        if name in overridden:
            yield Help(what=f"{name} only warns", command=f"tipoff override {said.format(name)} --until +1h")
    if gate != END and (bad or len(optional) < len(reported)):
        yield Help(what="go on with what is there, degraded", command=f"tipoff force {said.format(gate)}")
