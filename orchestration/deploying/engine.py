"""Takes one function from what is live to what is wanted: gather, decide, apply, until it is done or cannot go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestration.deploying.tools import Ran, Tools
from shared.core.deployment import Await, Deploy, Did, Done, Failed, Pin, Promote, Step, Tag, Verify, decide
from shared.core.gcloud import command_of, explain, function_command, list_commands, service_command
from shared.core.revisions import Live, Wanted, read_function, read_service, read_traffic

STEPS_MAX = 12  # seven at most if nothing fails; more would be a circle
AWAIT_S = 10.0
AWAITS_MAX = 120  # twenty minutes: after that Google has given a deployment up

Say = Callable[[str], None]


class NotTold(Exception):
    """What is live cannot be found out: why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended for one function."""

    function: str
    result: str  # deployed, unchanged, failed
    revision: str | None = None  # that serves; empty: none that was verified; none: not looked at
    by_hand: bool = False  # somebody has sent the requests there, past the one that was verified last
    steps: tuple[str, ...] = ()
    why: str = ""


def deploy(wanted: Wanted, live: Live | None, tools: Tools, say: Say) -> Outcome:
    """Idempotent: a second run finds that nothing is to be done. May be cut anywhere, and run again."""
    did, steps, awaited = Did(), list[str](), 0
    try:
        live = live or gather(wanted, tools)
        while len(steps) < STEPS_MAX:
            step = decide(wanted, live, did)
            match step:
                case Done(revision):
                    return _ended(wanted, "deployed" if steps else "unchanged", steps, revision)
                case Failed(why, serving, by_hand):
                    return replace(_ended(wanted, "failed", steps, serving, why), by_hand=by_hand)
                case Await() if awaited >= AWAITS_MAX:
                    return _ended(wanted, "failed", steps, None, "another deployment does not end; look in the console")
                case Await():
                    awaited += 1
                    if awaited == 1:
                        say("another deployment is under way; waiting for it")
                    tools.pause(AWAIT_S)
                    live = gather(wanted, tools)
                case _:
                    say(told(step))
                    steps.append(type(step).__name__.lower())
                    live, did = _apply(step, wanted, live, did, tools)
    except NotTold as error:
        return _ended(wanted, "failed", steps, None, str(error))
    return _ended(wanted, "failed", steps, None, f"it goes round in circles: {', '.join(steps)}; look in the console")


def _ended(wanted: Wanted, result: str, steps: Sequence[str], revision: str | None, why: str = "") -> Outcome:
    return Outcome(function=wanted.function, result=result, revision=revision, steps=tuple(steps), why=why)


def told(step: Step) -> str:
    """For a person who waits."""
    match step:
        case Pin(revision):
            return f"pinning requests to {revision}"
        case Deploy(because, is_first):
            more = f", and {len(because) - 1} more" if len(because) > 1 else ""
            return f"deploying{' for the first time' if is_first else ''}, some minutes: {because[0]}{more}"
        case Tag(revision):
            return f"giving {revision} an address of its own"
        case Verify(revision=revision):
            return f"asking {revision} who it is and whether it is ready"
        case Promote(revision):
            return f"letting {revision} serve"
        case _:
            return ""


def _apply(step: Step, wanted: Wanted, live: Live, did: Did, tools: Tools) -> tuple[Live, Did]:
    """What is live afterwards, and what was done. What went well says itself what is live; else it is asked."""
    if isinstance(step, Verify):
        why = tools.look(step, wanted)
        if why:
            return live, replace(did, found_bad={**did.found_bad, step.revision: why})
        return live, replace(did, found_well=did.found_well | {step.revision})
    ran = tools.gcloud(command_of(step, wanted))
    failure = "" if ran.code == 0 else explain(ran.err, wanted)
    did = replace(did, failed=type(step) if failure else None, failure=failure)
    if isinstance(step, Deploy):
        did = replace(did, deployed=True)
        if failure:
            return gather(wanted, tools), did
        return Live(function=read_function(_read(ran, wanted)), service=_service(wanted, tools)), did
    if failure or live.service is None:
        return replace(live, service=_service(wanted, tools)), did
    return replace(live, service=replace(live.service, traffic=read_traffic(_read(ran, wanted, of=list)))), did


# --- what is live ---------------------------------------------------------------------------------------


def gather(wanted: Wanted, tools: Tools) -> Live:
    """Raises NotTold."""
    found = _read(tools.gcloud(function_command(wanted)), wanted)
    return Live(function=read_function(found), service=_service(wanted, tools)) if found else Live()


def gather_all(wanted: Sequence[Wanted], tools: Tools) -> dict[str, Live]:
    """By function: in two calls, however many there are. Raises NotTold."""
    functions, services = (
        {_name(each): each for each in _read(tools.gcloud(command), wanted[0], of=list) or ()}
        for command in list_commands(wanted[0].project, wanted[0].region)
    )
    return {
        each.function: Live(
            function=read_function(functions[each.service]) if each.service in functions else None,
            service=read_service(services[each.service]) if each.service in services else None,
        )
        for each in wanted
    }


def _service(wanted: Wanted, tools: Tools) -> Any:
    found = _read(tools.gcloud(service_command(wanted)), wanted)
    return read_service(found) if found else None


def _name(told: dict[str, Any]) -> str:
    """A function's is a path, a service's stands among its metadata."""
    return str(told.get("metadata", told).get("name", "")).rpartition("/")[2]


NOT_THERE = ("status=[404]", "Cannot find service", "was not found", "NOT_FOUND")


def _read(ran: Ran, wanted: Wanted, of: type = dict) -> Any:
    """What gcloud printed; nothing where there is no such thing. Raises NotTold."""
    if ran.code != 0:
        if of is dict and any(words in ran.err for words in NOT_THERE):
            return None
        raise NotTold(explain(ran.err, wanted))
    try:
        found = json.loads(ran.out)
    except ValueError:
        found = None
    if not isinstance(found, of):
        raise NotTold("gcloud printed no JSON; run `gcloud version`: it is made for 500 or newer")
    return found
