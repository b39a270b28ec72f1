"""How one function gets from what is live to what is wanted: each next step decided from both, for bin/deploy/deploy.

A revision serves only after it was verified, and the traffic says which was: it is pinned by name to a revision with
the tag `verified`. So nothing needs to be remembered between two runs, and one that was cut goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.core.revisions import (
    ACTIVE,
    CANDIDATE,
    DEPLOYING,
    VERIFIED,
    Function,
    Live,
    Service,
    Share,
    Wanted,
    differences,
    settings_of,
)

FORESEEN_MAX = 10  # seven at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """What this run has done so far."""

    deployed: bool = False
    failed: type | None = None  # the step whose command failed last
    failure: str = ""  # and why
    found_well: frozenset[str] = frozenset()  # revisions
    found_bad: Mapping[str, str] = field(default_factory=dict)  # revision -> why


# --- what comes next ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep the requests where they go now, whatever is deployed."""

    revision: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """Build and make a revision. Minutes."""

    because: tuple[str, ...]  # what differs
    is_first: bool  # there is none that could go on serving


@dataclass(frozen=True, slots=True)
class Await:
    """Another deployment of it is under way."""


@dataclass(frozen=True, slots=True)
class Tag:
    """Give the new revision an address of its own."""

    revision: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the revision who it is, and whether it is ready."""

    revision: str
    url: str
    audience: str  # of the token: a service's address, not its tag's


@dataclass(frozen=True, slots=True)
class Promote:
    """Let it have all requests."""

    revision: str


@dataclass(frozen=True, slots=True)
class Done:
    revision: str


@dataclass(frozen=True, slots=True)
class Failed:
    """This run cannot go on. What serves is as it was."""

    why: str
    serving: str  # empty: nothing, or a first one that was never verified
    by_hand: bool = False  # somebody has sent the requests there, past the one that was verified last


Step = Pin | Deploy | Await | Tag | Verify | Promote | Done | Failed


def decide(wanted: Wanted, live: Live, did: Did) -> Step:
    """The next step; the same for the same live state, whoever made it. A run deploys a function once at most.

    A step that failed is not taken again, but what came of it is looked at first: it may have been done all the same.
    """
    step = _next(wanted, live, did)
    return _failed(live, did.failure) if did.failed is type(step) else step


def _next(wanted: Wanted, live: Live, did: Did) -> Step:
    if live.function and live.function.state == DEPLOYING:
        return Await()
    service = live.service
    differs = differences(wanted, live)
    if differs or service is None:
        return _make(differs, live, did)
    revision = service.ready
    if service.is_pinned and service.has_all(revision) and service.tagged(VERIFIED, revision):
        return Done(revision)
    if why := did.found_bad.get(revision, ""):  # one of an earlier run may be bad for a reason that has passed
        return _make((f"revision {revision} is not what it should be: {why}",), live, did)
    if revision in did.found_well:
        return Promote(revision)
    if service.has_all(revision):  # the first gets all requests from the start; nobody is told of it yet
        return Verify(revision, service.url, service.url)
    tagged = service.tagged(CANDIDATE, revision)
    return Verify(revision, tagged.url, service.url) if tagged else Tag(revision)


def _make(because: tuple[str, ...], live: Live, did: Did) -> Step:
    """A new revision, which gets no requests where there is one that does."""
    if did.deployed:
        return _failed(live, did.failure or "; ".join(because))
    service = live.service
    if service and service.serving and not service.is_pinned:
        return Pin(service.serving)
    return Deploy(because, is_first=not (service and service.serving))


def _failed(live: Live, why: str) -> Failed:
    """Whoever goes back by hand moves the requests and not the tag: what has them then is no less good for that."""
    service = live.service
    if service is None or not (service.serving and any(each.tag == VERIFIED for each in service.traffic)):
        return Failed(why, "")
    return Failed(why, service.serving, by_hand=not service.tagged(VERIFIED, service.serving))


# --- what would be done ---------------------------------------------------------------------------------


def foreseen(wanted: Wanted, live: Live) -> tuple[Step, ...]:
    """The steps that a run would take if all went well. A revision that is not made yet has no name: REVISION."""
    steps: list[Step] = []
    did = Did()
    while len(steps) < FORESEEN_MAX and not (steps and isinstance(steps[-1], (Done, Failed, Await))):
        steps.append(decide(wanted, live, did))
        live, did = _imagined(steps[-1], wanted, live, did)
    return tuple(steps)


def _imagined(step: Step, wanted: Wanted, live: Live, did: Did) -> tuple[Live, Did]:
    """The live state and the deeds after a step that went well."""
    service = live.service or Service(
        url="URL", created="", ready="", why="", commit="", settings={}, variables={}, secrets={}, traffic=()
    )
    named = Share(revision="", percent=0, tag="", url="", is_named=True)
    match step:
        case Pin(revision):
            kept = tuple(replace(each, percent=0) for each in service.traffic if each.tag)
            return replace(
                live, service=replace(service, traffic=(*kept, replace(named, revision=revision, percent=100)))
            ), did
        case Deploy(is_first=is_first):
            new = replace(
                service,
                created="REVISION",
                ready="REVISION",
                commit=wanted.commit,
                settings={},
                variables=wanted.variables,
                secrets=wanted.secrets,
            )
            if is_first:
                latest = replace(named, revision="REVISION", percent=100, is_named=False)
                new = replace(new, traffic=(latest,))
            function = Function(
                state=ACTIVE,
                settings=settings_of(wanted),
                labels=wanted.labels,
                variables=wanted.variables,
                secrets=wanted.secrets,
            )
            return Live(function=function, service=new), replace(did, deployed=True)
        case Tag(revision):
            tag = replace(named, revision=revision, tag=CANDIDATE, url=f"URL of the tag {CANDIDATE}")
            return replace(live, service=replace(service, traffic=(*service.traffic, tag))), did
        case Verify(revision=revision):
            return live, replace(did, found_well=did.found_well | {revision})
        case Promote(revision):
            serving = replace(named, revision=revision, percent=100, tag=VERIFIED)
            return replace(live, service=replace(service, traffic=(serving,))), did
        case _:
            return live, did
