"""`python -m tests.simulation.hunt --days 300`: which planted bugs random days catch, by which rule, within how many.

By hand: it takes minutes. The table is that of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.simulation.mutants import Mutant, copy_code, plant
from tests.simulation.planted import PLANTED

HUNT = """
import json, sys
from simulation.dice import drawn
from simulation.draws import Draws
from simulation.simulate import FAULTS, episodes, live
from simulation.world import World
days, seed = int(sys.argv[1]), int(sys.argv[2])
past = 0
for episode in episodes(days, seed):
    world = World(drawn(Draws(episode.seed), FAULTS), episode.first)
    live(world, episode)
    if world.violations:
        first = min(world.violations.values(), key=lambda each: each.at)
        within = min(max((first.at - world.begins_at).days + 1, 1), episode.days)
        print(json.dumps({"days": past + within, "rule": first.rule}))
        break
    past += episode.days
else:
    print("null")
"""
SECONDS_MAX = 1_800


@dataclass(frozen=True, slots=True)
class Caught:
    mutant: Mutant
    days: int | None  # until a rule was broken; None: only its scenario breaks one
    rule: str


def hunt(mutant: Mutant, days: int, seed: int) -> Caught:
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_code(Path(folder))
        plant(mutant, copy)
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", HUNT, str(days), str(seed)],
                cwd=copy,
                env={"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""},
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Caught(mutant, 1, "it never comes to an end")
    if done.returncode:
        return Caught(mutant, 1, "the world breaks: " + done.stderr.strip().splitlines()[-1][:60])
    said = json.loads(done.stdout)
    return Caught(mutant, said["days"], said["rule"]) if said else Caught(mutant, None, f"scenario {mutant.caught_by}")


def lines(caught: Iterator[Caught]) -> Iterator[str]:
    yield "| planted bug | lesson | file | caught by | within days |"
    yield "|---|---|---|---|---|"
    for each in caught:
        mutant = each.mutant
        yield f"| {mutant.name} | {mutant.lesson} | {mutant.file} | {each.rule} | {each.days or '-'} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--at-once", type=int, default=2)
    options.add_argument("names", nargs="*", help="of the planted bugs (all)")
    asked = options.parse_args()
    chosen = [mutant for mutant in PLANTED if not asked.names or mutant.name in asked.names]
    with ThreadPoolExecutor(asked.at_once) as pool:
        for line in lines(pool.map(partial(hunt, days=asked.days, seed=asked.seed), chosen)):
            print(line, flush=True)  # noqa: T201 - a command of its own


if __name__ == "__main__":
    main()
