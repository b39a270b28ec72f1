"""Bugs that real systems had, planted one at a time: each must be caught by the scenario of its lesson."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SECONDS_MAX = 240
"""A planted bug may make every message die for days, which takes a loaded machine two minutes to live through."""


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    lesson: int
    file: str
    old: str  # occurs exactly once
    new: str
    caught_by: str  # a scenario, or "simulate DAYS SEED"


SERVICE, GATE, STANDING = "shared/service.py", "shared/core/gate.py", "shared/core/standing.py"
READINGS, AGAIN = "shared/readings.py", "shared/core/again.py"
PLAN, CALENDAR, SQLITE = "shared/core/plan.py", "shared/core/calendar.py", "shared/adapters/sqlite.py"

APPEND = "        self._ports.states.append(Fact(completion, self._ports.clock.now()))\n"
ADVANCE = "        self.advance(completion.run, Woke.COMPLETION)\n"
PUBLISH = """            if messages:
                publish(self._ports.bus, self._ports.trace, messages, self._ports.clock.now(), run=run)
"""
CLOSE = "            self._ports.states.close(run, [latch.key for latch in group])\n"

MUTANTS = (
    Mutant(
        "expects-all-processors-of-the-phase",
        1,
        PLAN,
        "if mode in spec.critical or mode in spec.optional}",
        "}",
        "same-day-one-of-five",
    ),
    Mutant(
        "all-of-the-phase-are-critical",
        1,
        PLAN,
        "critical=mode.name in spec.critical,",
        "critical=True,",
        "same-day-one-of-five",
    ),
    Mutant(
        "counts-completions-instead-of-naming-them",
        2,
        GATE,
        "    if all(standing.whole for standing in standings.values()):\n",
        "    if sum(s.whole for s in standings.values()) >= sum(s.processor.critical for s in standings.values()):\n",
        "unknown-names",
    ),
    Mutant(
        "unknown-names-accepted",
        2,
        SERVICE,
        "        if phase is None or completion.processor not in phase.by_name:",
        "        if phase is None:",
        "unknown-names",
    ),
    Mutant(
        "not-ready-looked-at-again-at-once",
        17,
        STANDING,
        "        again_at = latest.received_at + timedelta(seconds=processor.look_again_s)",
        "        again_at = latest.received_at",
        "not-yet",
    ),
    Mutant(
        "sweep-does-not-look-at-due-runs",
        14,
        SERVICE,
        "        due = self._ports.states.due_runs(now, SWEEP_MAX)\n",
        "        due = self._ports.states.due_runs(now, 0)\n",
        "not-yet",
    ),
    Mutant("latch-closed-before-publish", 4, SERVICE, PUBLISH + CLOSE, CLOSE + PUBLISH, "crash-after-commit"),
    Mutant(
        "sweep-does-not-take-up-lapsed-latches",
        4,
        SERVICE,
        "take_lapsed(now, LATCH_LEASE_S, SWEEP_MAX)",
        "take_lapsed(now, LATCH_LEASE_S, 0)",
        "crash-after-commit",
    ),
    Mutant(
        "close-forgets-to-close",
        4,
        SQLITE,
        '"UPDATE latches SET leased_until = NULL WHERE run = ? AND key = ?"',
        '"UPDATE latches SET leased_until = leased_until WHERE run = ? AND key = ?"',
        "crash-before-close",
    ),
    Mutant(
        "redelivered-completion-never-weighed",
        5,
        SERVICE,
        APPEND + ADVANCE,
        APPEND.replace("        self", "        if self").rstrip()[:-1] + "):\n    " + ADVANCE,
        "last-completion-redelivered",
    ),
    Mutant(
        "two-writers-take-each-other-for-a-duplicate",
        6,
        SQLITE,
        "row = (str(fact.completion.run), fact.completion.id, encode(fact))",
        "row = (str(fact.completion.run), fact.completion.phase, encode(fact))",
        "twin-writers",
    ),
    Mutant("appends-after-the-read", 7, SERVICE, APPEND + ADVANCE, ADVANCE + APPEND, "racing-join"),
    Mutant(
        "claim-ignores-a-taken-outcome",
        7,
        SQLITE,
        "                elif latch is latches[0] and latch.outcome is not None:\n",
        "                elif False:\n",
        "racing-join",
    ),
    Mutant(
        "sends-what-others-have-claimed",
        7,
        SERVICE,
        "        if claimed is None:\n            return True\n",
        "        if claimed is None:\n            claimed = asked.latches\n",
        "twin-pending",
    ),
    Mutant(
        "failed-counts-as-done",
        8,
        STANDING,
        """processor=processor, why=f"{word}: {completion.reason or 'no reason given'}", at=at)""",
        "processor=processor, done=True, whole=True, ended=True, share=1.0, mark=mark, at=at)",
        "killed-counts",
    ),
    Mutant(
        "late-input-ignored",
        9,
        GATE,
        "        if passed and outcome and left and _late(outcome, standings):",
        "        if False:",
        "late-after-quorum",
    ),
    Mutant(
        "partial-counts-as-success",
        13,
        STANDING,
        "            if share >= 1 and completion.status is Status.SUCCESS:\n",
        "            if share > 0:\n",
        "one-game-stuck",
    ),
    Mutant(
        "one-stuck-game-holds-the-rest",
        13,
        STANDING,
        "            counts = share > 0 and view.now >= counts_at",
        "            counts = share >= 1 and view.now >= counts_at",
        "one-game-stuck",
    ),
    Mutant(
        "sweep-starts-no-missing-runs",
        14,
        SERVICE,
        "                if self._ports.states.plan(run) is None:\n",
        "                if False:\n",
        "three-silent-days",
    ),
    Mutant(
        "starts-before-its-needs",
        27,
        STANDING,
        "    for name in processor.needs:\n",
        "    for name in ():\n",
        "phase-order",
    ),
    Mutant(
        "a-word-starts-before-its-needs",
        27,
        AGAIN,
        "    if why := waits_for(view, planned, opened, processor):\n        return why\n",
        "",
        "asked-too-early",
    ),
    Mutant(
        "fence-ignores-the-attempt",
        24,
        PLAN,
        "    return (rank * 10_000 + generation) * 10_000 + attempt",
        "    return (rank * 10_000 + generation) * 10_000",
        "zombie-writes",
    ),
    Mutant(
        "fence-not-looked-at", 24, "simulation/warehouse.py", "there[0].fence > stamp.fence", "False", "zombie-writes"
    ),
    Mutant(
        "retries-never-end",
        18,
        STANDING,
        "    failed = sum(status is Status.FAILED for status in reported.values())",
        "    failed = min(1, sum(status is Status.FAILED for status in reported.values()))",
        "endless-retry",
    ),
    Mutant(
        "a-day-does-not-wait-for-its-night",
        27,
        READINGS,
        "        if not ended and now < before.wait_until:\n",
        "        if False:\n",
        "late-night",
    ),
    Mutant(
        "a-day-waits-for-its-night-for-ever",
        27,
        READINGS,
        "        if not ended and now < before.wait_until:\n",
        "        if not ended:\n",
        "late-night",
    ),
    Mutant(
        "what-a-warning-names-is-forgotten",
        27,
        GATE,
        "        return replace(would, grade=grade, missing=missing, reason=",
        "        return replace(would, reason=",
        "late-night",
    ),
    Mutant(
        "fence-ignores-the-generation",
        24,
        PLAN,
        "    return (rank * 10_000 + generation) * 10_000 + attempt",
        "    return rank * 10_000 * 10_000 + attempt",
        "replay-in-flight",
    ),
    Mutant(
        "a-look-again-counts-like-any-attempt",
        9,
        STANDING,
        "    if len(starts) > 1 and any(start.look for start in starts):\n",
        "    if False:\n",
        "corrected-later",
    ),
    Mutant(
        "what-was-asked-for-of-a-result-that-stands-is-not-looked-after",
        32,
        STANDING,
        "                return _asked_for(view, processor, result, starts, last.attempt)\n",
        "                return result\n",
        "asked-and-lost",
    ),
    Mutant(
        "what-was-asked-for-hangs-and-nobody-is-told",
        32,
        GATE,
        "            if standing.asked and standing.due is None and standing.next_at is None:\n",
        "            if False:\n",
        "asked-and-lost",
    ),
    Mutant(
        "a-nudge-means-the-day-it-arrives",
        33,
        SERVICE,
        "calendar.resolve(nudge.date, nudge.scheduled_at, spec.zone)",
        "calendar.resolve(nudge.date, self._ports.clock.now(), spec.zone)",
        "from-the-future",
    ),
    Mutant(
        "times-without-daylight-saving",
        34,
        CALENDAR,
        "    local = datetime.combine(day, time.fromisoformat(clock_time), ZoneInfo(zone))",
        "    local = datetime.combine(day, time.fromisoformat(clock_time), timezone(timedelta(hours=-5)))",
        "skewed-dst",
    ),
    Mutant(
        "a-dead-schedule-is-a-holiday",
        12,
        GATE,
        "    return view.expectations.get(view.plan.expects) == ()",
        "    return not view.expectations.get(view.plan.expects)",
        "nothing-today",
    ),
    Mutant(
        "a-holiday-is-an-alarm",
        12,
        GATE,
        "    return view.expectations.get(view.plan.expects) == ()",
        "    return False",
        "nothing-today",
    ),
    Mutant(
        "control-not-read-again",
        46,
        SQLITE,
        "            if version_of(connection, key) != control_version:\n",
        "            if False:\n",
        "hold-in-flight",
    ),
    Mutant(
        "the-time-of-a-hold-counts",
        46,
        STANDING,
        "    if held_until and held_until > opened.decided_at:\n",
        "    if False:\n",
        "hold-past-giving-up",
    ),
    Mutant(
        "who-was-held-has-stood-still",
        46,
        "shared/core/incident.py",
        "    return left, max(opened.decided_at, view.control.held_until(view.now) or opened.decided_at)\n",
        "    return left, opened.decided_at\n",
        "hold-past-giving-up",
    ),
    Mutant(
        "fence-ignores-the-attempt-among-random-faults",
        24,
        PLAN,
        "    return (rank * 10_000 + generation) * 10_000 + attempt",
        "    return (rank * 10_000 + generation) * 10_000",
        "simulate 20 1",
    ),
    Mutant(
        "append-forgets-one-in-a-while",
        6,
        SQLITE,
        "row = (str(fact.completion.run), fact.completion.id, encode(fact))",
        'row = (str(fact.completion.run), fact.completion.id.removesuffix("/1/1"), encode(fact)); '
        'row = (*row[:1], row[1] if "zone" not in row[1] else "zone", row[2])',
        "simulate 1 1",
    ),
)

RUN = """
import json, sys
from simulation.simulate import run_scenario, simulate
words = sys.argv[1].split()
report = simulate(int(words[1]), int(words[2]), processes=1) if words[0] == "simulate" else run_scenario(words[0])
print(json.dumps(report.to_json()["violations"]))
"""


def copy_code(to: Path) -> Path:
    for package in ("shared", "predictions", "simulation"):
        shutil.copytree(REPOSITORY / package, to / package, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def plant(mutant: Mutant, copy: Path) -> None:
    file = copy / mutant.file
    text = file.read_text()
    occurs = text.count(mutant.old)
    assert occurs == 1, f"{mutant.name}: its text occurs {occurs} times in {mutant.file}, not once; write it anew"
    file.write_text(text.replace(mutant.old, mutant.new))


def play(what: str, copy: Path) -> str:
    """What a fresh process that sees only the copy says: its violations as JSON, or its last error."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, what],
        cwd=copy,
        env={"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return done.stdout.strip() or "error: " + done.stderr.strip()[-2000:]
