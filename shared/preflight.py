"""Are the services behind a gate well, and are they who they should be? A reader for gates, asked before work is sent.

A 200 says little: it may come from yesterday's image, or from another service. Each is asked who it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from shared.core.fold import View
from shared.core.model import Reading
from shared.core.readings import HEALTH, Answer, Finding, settle, together
from shared.ports import Health, HealthProbe

PROBE_S = 3.0
"""For one service; a phase has two at most, and all readings of a gate have eight seconds."""

KEPT_S = 20.0
"""How long an answer is good for: a night's runs ask the same services at the same time, and 60 s later comes anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks, and so who should answer: services of one installation are deployed together."""

    version: str
    config_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where services are, and how they are asked."""

    behind: Callable[[str], tuple[str, ...]]  # from a start topic to the names of those who work for it
    url_of: Callable[[str], str] | None  # empty: nobody has said; None: they work in this process
    probe: Callable[[], HealthProbe]  # built at the first use
    identity: Callable[[str], Identity]  # of the asking process, for a pipeline
    tick: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Preflight:
    """The reading `health`. One for a process; any number of threads."""

    services: Services
    _kept: dict[tuple[str, bool], tuple[float, Health]] = field(default_factory=dict)
    _probe: list[HealthProbe] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def read(self, view: View, gate: str, before: Reading | None) -> Reading:
        phase = view.plan.phase_by_name[gate]
        closed = HEALTH in phase.fails_closed
        if self.services.url_of is None:
            found = Finding(answer=Answer.WELL, note="in this process")
        else:
            identity = self.services.identity(view.plan.run.pipeline)
            names = self.services.behind(phase.start_topic)
            one_by_one = [
                self._one(name, self.services.url_of(name), view.plan.config_hash, identity) for name in names
            ]
            found = together(one_by_one, f"{', '.join(names)} ready" if names else "nobody to ask")
        return settle(HEALTH, found, before, view.now, closed=closed)

    def ailing(self, name: str, deep: bool, pipeline: str) -> str:
        """Why a service is not well, whoever needs it now; empty where it is, or where nobody has said where it is.
        Not `deep`, it is asked only whether it lives, and is who it should be."""
        url = self.services.url_of(name) if self.services.url_of else ""
        asking = self.services.identity(pipeline)
        found = self._one(name, url, "", asking, deep=deep)  # no run waits: it may be of any configuration
        return found.note if found.answer is Answer.BAD else ""

    def _one(self, name: str, url: str, planned: str, asking: Identity, *, deep: bool = True) -> Finding:
        if not url:
            note = f"nobody has said where {name} answers; set TIPOFF_SERVICES"
            return Finding(answer=Answer.WARNED, note=note, values={name: "not asked"})
        return judge(name, self._ask(url, deep=deep), planned, asking)

    def _ask(self, url: str, *, deep: bool) -> Health:
        with self._lock:
            if not self._probe:
                self._probe.append(self.services.probe())
            asked_at, health = self._kept.get((url, deep), (0.0, None))
        if health is not None and self.services.tick() - asked_at < KEPT_S:
            return health
        health = self._probe[0].probe(url, within_s=PROBE_S, deep=deep)
        with self._lock:
            self._kept[url, deep] = (self.services.tick(), health)
        return health


def judge(name: str, health: Health, planned: str, asking: Identity) -> Finding:
    """Ready, itself, and of the configuration that the run was planned by, or that its gates go by now.

    A deploy in the middle of a day leaves runs that were planned before it; a service that knows neither was missed.
    Where no run was planned (""), any will do: while services are deployed one by one they differ, and are well.
    """
    why = ""
    if not health.ready:
        why = health.why
    elif health.service != name:
        why = f"answers as {health.service}"
    elif planned and health.config_hash not in (planned, asking.config_hash):
        why = f"goes by configuration {health.config_hash}; the run was planned by {planned}"
    seen = f"{'ready' if health.ready else 'not ready'}, version {health.version or 'unknown'}"
    notes = [
        *([f"the gate is {asking.version}"] if health.version and health.version != asking.version else []),
        *([f"configuration {health.config_hash}, the run's is {planned}"] if _is_newer(health, planned) else []),
    ]
    values: Mapping[str, str] = {name: "; ".join([seen, *notes])}
    if why:
        return Finding(answer=Answer.BAD, note=f"{name} {why}", values=values)
    return Finding(answer=Answer.WELL, note="", values=values)


def _is_newer(health: Health, planned: str) -> bool:
    return bool(planned and health.config_hash) and health.config_hash != planned
