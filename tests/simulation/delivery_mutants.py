"""Bugs of delivery, deploys and contracts that real systems had, planted one at a time as those of mutants.py are."""

from __future__ import annotations

from tests.simulation.mutants import CALENDAR, SERVICE, SQLITE, STANDING, Mutant

READINGS, CONTENTS = "shared/core/readings.py", "shared/contents.py"
EDGE, INCIDENT, HEAL = "shared/edge.py", "shared/core/incident.py", "shared/heal.py"
TOLD = "len(each) == len(told) for each in took.values()"
MALFORMED = '        refused = Refusal(f"malformed: {error}")\n'
NACK = "        return ports.bus.nack(delivery, ports.clock.now(), logs.describe(error))\n"

DELIVERY_MUTANTS = (
    Mutant(
        "a-run-goes-by-what-is-deployed-now",
        16,
        SERVICE,
        "        for turn in range(LOOKS_MAX):\n",
        "        plan = replace(self._plan(run, None), started_at=plan.started_at)\n"
        "        for turn in range(LOOKS_MAX):\n",
        "mid-day-threshold-change",
    ),
    Mutant(
        "poison-comes-again-and-again",
        29,
        EDGE,
        MALFORMED,
        "        return ports.bus.nack(delivery, ports.clock.now(), str(error))\n",
        "poison-event",
    ),
    Mutant("an-error-is-swallowed", 29, EDGE, NACK, "        return True\n", "swallowed-error"),
    Mutant(
        "acknowledged-before-it-is-done",
        30,
        EDGE,
        "    done = [delivery for delivery in deliveries if handle(",
        "    ports.bus.ack(deliveries)\n    done = [delivery for delivery in deliveries if handle(",
        "crash-after-mark",
    ),
    Mutant(
        "a-second-copy-overwrites-the-first",
        31,
        SQLITE,
        '"INSERT INTO facts (run, key, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row\n',
        '"INSERT OR REPLACE INTO facts (run, key, body) VALUES (?, ?, ?)", row\n',
        "slow-ack",
    ),
    Mutant(
        "an-order-that-was-lost-is-waited-for",
        32,
        STANDING,
        "    if view.now < mute:\n        why = result.why",
        "    if True:\n        why = result.why",
        "redeploy-gap",
    ),
    Mutant(
        "every-look-is-written-down",
        37,
        SERVICE,
        "        entry = None if verdict.stands or says_the_same(record.last_entry, asked.entry) else asked.entry\n",
        "        entry = None if verdict.stands else asked.entry\n",
        "hot-document",
    ),
    Mutant("other-words-are-dropped", 38, EDGE, MALFORMED, "        return True\n", "contract-break"),
    Mutant(
        "no-run-is-expected-that-is-older-than-three-days",
        48,
        CALENDAR,
        "    earliest = now - timedelta(days=look_back_days)\n",
        "    earliest = now - timedelta(days=min(look_back_days, 3))\n",
        "silent-gap",
    ),
    Mutant(
        "who-could-not-be-told-is-told-no-more",
        41,
        HEAL,
        f"        if all({TOLD}):\n",
        f"        if [{TOLD}]:\n",
        "alert-sink-down",
    ),
    Mutant(
        "an-end-is-told-to-nobody",
        42,
        INCIDENT,
        "        *(resolve_latch(view, cause, ended) for cause in sorted(over & open_now.keys())),\n",
        "",
        "alert-sink-down",
    ),
    Mutant(
        "a-watchdog-may-sleep-for-hours",
        43,
        "shared/core/heartbeat.py",
        "BEAT_MAX = timedelta(minutes=5)",
        "BEAT_MAX = timedelta(hours=5)",
        "paused-watchdog",
    ),
    Mutant(
        "a-sweep-leaves-no-heartbeat",
        43,
        SERVICE,
        "            self._ports.states.beat(SELF_HEAL, now)\n",
        "",
        "paused-watchdog",
    ),
    Mutant(
        "whoever-answers-is-who-was-asked",
        40,
        "shared/preflight.py",
        "    elif health.service != name:\n",
        "    elif False:\n",
        "wrong-image",
    ),
    Mutant(
        "the-first-bad-answer-counts",
        42,
        READINGS,
        "BAD_FOR = timedelta(seconds=60)",
        "BAD_FOR = timedelta(0)",
        "flapping-health",
    ),
    Mutant(
        "what-is-reported-is-not-read-back",
        11,
        CONTENTS,
        "    if gone:\n",
        "    if False:\n",
        "green-on-incomplete",
    ),
    Mutant(
        "any-rows-are-fresh",
        10,
        CONTENTS,
        "    elif (newest.stamp.run, newest.stamp.attempt) != (run, attempt):\n",
        "    elif False:\n",
        "backfill-looks-fresh",
    ),
)
