"""Deployments under seeded faults, one after the other: what serves, and whether a person is needed.

`python -m tests.flow.deployments --count 500 --seed 1` is part of `make soak`: against gcloud in memory, in seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from orchestration.deploying.engine import Outcome, deploy
from orchestration.deploying.tools import Gcloud, Look, Ran, Tools
from orchestration.deploying.wanted import wanted_of
from shared.config.deployment import environment
from shared.config.functions import FUNCTIONS, FunctionSpec
from tests.cloud.fake import Cloud, Dropped, Fault, Refused, denied
from tests.cloud.functions import Functions, Mishap
from tests.cloud.memory import MemoryGcloud
from tests.cloud.run import CloudRun

RUNS_MAX = 5  # of the command: what does not end well by then needs a person, for every fault has passed
IN_A_ROW = 5  # deployments of one function, the first of them into nothing
CALLS = 8  # of gcloud, among which one is cut
CALLED = {"version": 1, "bindings": [{"role": "roles/run.invoker", "members": ["serviceAccount:pusher@example.com"]}]}
REQUESTS = (
    ("GET cloudfunctions.*/functions", Refused(503, "The service is currently unavailable.")),
    ("POST cloudfunctions.*/functions$", denied("cloudfunctions.functions.create", "projects/tipoff-dev")),
    ("PATCH cloudfunctions", Refused(409, "unable to queue the operation")),
    ("PATCH cloudfunctions", Dropped()),
    ("PUT run/", Refused(403, "Permission 'run.services.update' denied on resource 'x' (or it may not exist).")),
    ("PUT run/", Dropped()),
    ("GET run/", Refused(500, "An internal error has occurred")),
)


class Cut(Exception):
    """The process was killed: as a test does it that goes on afterwards."""


@dataclass(slots=True, kw_only=True)
class Planet:
    """Where it is deployed to, and by what."""

    gcloud: Gcloud
    look: Look
    cloud: Cloud
    run: CloudRun
    functions: Functions


@dataclass(slots=True)
class Told:
    """What came of it."""

    deployments: int = 0
    runs: int = 0
    needed: Counter[int] = field(default_factory=Counter)  # deployments that ended well, by how many runs they took
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)  # a revision that serves, is not sound, and was let or is invoked
    spared: list[str] = field(default_factory=list)  # a first one that had all requests, was not sound, and got none
    persons: list[str] = field(default_factory=list)  # deployments that did not end well by themselves

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        needed = ", ".join(f"{count} in {runs}" for runs, count in sorted(self.needed.items()))
        return (
            f"{self.deployments} deployments, {self.runs} runs of the command; faults: {faults}\n"
            f"ended well by how many runs of it, {RUNS_MAX} at most: {needed}\n"
            f"broken revisions that served: {len(self.broken)}; broken first ones, which nobody might invoke: "
            f"{len(self.spared)}; that needed a person: {len(self.persons)}"
        )


def memory() -> Planet:
    made = MemoryGcloud()
    return Planet(gcloud=made, look=made.look, cloud=made.cloud, run=made.run, functions=made.functions)


def endure(
    planet: Planet, spec: FunctionSpec, in_a_row: int, mishaps: Sequence[int], random: Random, source: Path
) -> Told:
    """One function so many times in a row, each time another commit, with faults."""
    told = Told()
    for number in range(1, in_a_row + 1):
        told.deployments += 1
        planted = random.choices(list(Mishap), k=random.choice(mishaps))
        _one(planet, spec, number, planted, random, source, told)
    return told


def _one(
    planet: Planet, spec: FunctionSpec, number: int, mishaps: list[Mishap], random: Random, source: Path, told: Told
) -> None:
    """One deployment, run as often as it takes; its faults are planted before the first run and used up by the runs."""
    commit = f"{number:040x}"
    wanted = wanted_of(spec, environment("dev"), commit, source)
    planet.functions.mishaps[wanted.service] = [*mishaps]
    told.faults.update(mishap.value for mishap in mishaps)
    if random.random() < 0.3:
        request, error = random.choice(REQUESTS)
        planet.cloud.faults = [Fault(request, error, is_done=random.random() < 0.5)]
        told.faults["refused or dropped request"] += 1
    cut_at = random.randrange(CALLS) if random.random() < 0.3 else None
    told.faults["cut"] += cut_at is not None
    if number > 1 and random.random() < 0.15:  # by hand: the latest, which is the one that was let, is to have all
        service = planet.run.services[wanted.service]
        tags = [entry for entry in service.traffic if entry.get("tag")]
        service.traffic = [{"latestRevision": True, "percent": 100}, *tags]
        told.faults["pin taken away"] += 1
    said: list[str] = []
    for run in range(RUNS_MAX):
        told.runs += 1
        gcloud = _watched(planet, wanted.service, told, cut_at if run == 0 else None, is_done=random.random() < 0.5)
        try:
            outcome = deploy(wanted, None, Tools(gcloud=gcloud, look=planet.look, pause=lambda _: None), said.append)
        except Cut:
            continue
        said.append(f"{outcome.result}: {outcome.why}")
        if _is_well(planet, wanted.service, outcome, commit):
            told.needed[run + 1] += 1
            planet.cloud.faults = []
            planet.run.policies[wanted.service] = CALLED  # as bin/deploy/iam does, which goes on only then (&&)
            return
    told.persons.append(f"{spec.name} {commit[-4:]} after {[each.value for each in mishaps]}: {' / '.join(said[-3:])}")


def _is_well(planet: Planet, service: str, outcome: Outcome, commit: str) -> bool:
    if outcome.result == "failed":
        return False
    serving = planet.run.services[service].serving()
    assert [revision.identity["version"] for revision in serving] == [commit], f"{outcome} is not true"
    return True


def _watched(planet: Planet, service: str, told: Told, cut_at: int | None, *, is_done: bool) -> Gcloud:
    """Looks after each command what serves; cuts before one of them, or after it."""
    calls = iter(range(sys.maxsize))

    def run(arguments: Sequence[str]) -> Ran:
        is_cut = next(calls) == cut_at
        if is_cut and not is_done:
            raise Cut
        ran = planet.gcloud(arguments)
        _look(planet, service, told)
        if is_cut:
            raise Cut
        return ran

    return run


def _look(planet: Planet, name: str, told: Told) -> None:
    """Whatever serves is sound once one was verified, so it is what a caller may be told of, and whenever anybody may
    call. The first has all requests from the start: of it both are still to come."""
    service = planet.run.services.get(name)
    if service is None:
        return
    is_verified = any(entry.get("tag") == "verified" for entry in service.traffic)
    is_called = bool(planet.run.policies.get(name, {}).get("bindings"))
    for revision in service.serving():
        if not revision.is_ready or revision.answers != 200 or revision.identity["version"] == "0" * 40:
            kept = told.broken if is_verified or is_called else told.spared
            kept += [revision.name] if revision.name not in kept else []


def rounds(
    count: int, seed: int, source: Path, planet: Callable[[], Planet] = memory, mishaps: Sequence[int] = (0, 1, 1, 1, 2)
) -> Told:
    """So many deployments, each five in a world of their own. `mishaps`: how many one may have, each as likely."""
    random, total = Random(seed), Told()
    while total.deployments < count:
        spec = FUNCTIONS[total.deployments // IN_A_ROW % len(FUNCTIONS)]
        told = endure(planet(), spec, min(IN_A_ROW, count - total.deployments), mishaps, random, source)
        total.deployments, total.runs = total.deployments + told.deployments, total.runs + told.runs
        total.faults += told.faults
        total.needed += told.needed
        total.spared += told.spared
        total.broken += told.broken
        total.persons += told.persons
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    told = rounds(arguments.count, arguments.seed, Path("staged"))
    print(told, *told.persons, *told.broken, sep="\n")  # noqa: T201
    return 1 if told.broken or len(told.persons) * 100 >= told.deployments else 0


if __name__ == "__main__":
    sys.exit(main())
