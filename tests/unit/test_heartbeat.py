"""Is the watchdog alive? A row: a sentence, the age of its last heartbeat, what is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.core.heartbeat import NEVER, beat_of, beats_again, dead_since
from shared.core.messages import Nudge
from shared.core.model import ScheduleSpec
from tests.unit.plans import T0, minute

NOON = T0


@pytest.mark.parametrize(
    ("last", "now", "said"),
    [
        pytest.param(0, 0, "", id="alive: it has just beaten"),
        pytest.param(0, 5, "", id="alive: five minutes are no more than a hiccup"),
        pytest.param(
            *(0, 5.1, "self-heal left its last heartbeat 5 minutes ago, at 2024-01-16 11:00 UTC;"),
            id="dead: more are",
        ),
        pytest.param(0, 300, "self-heal left its last heartbeat 5 hours ago, at 2024-01-16 11:00 UTC;", id="in hours"),
        pytest.param(9, 0, "", id="alive: another clock is ahead"),
        pytest.param(
            *(-10, 0, "self-heal left its last heartbeat 10 minutes ago, at 2024-01-16 10:50 UTC;"),
            id="dead: also for one who has just begun to look",
        ),
        pytest.param(None, 5, "", id="alive: nobody has waited long enough for its first"),
        pytest.param(None, 5.1, "self-heal has never left a heartbeat;", id="dead: its first never came"),
    ],
)
def test_the_watchdog(last: float | None, now: float, said: str) -> None:
    told = dead_since("self-heal", None if last is None else minute(last), minute(now), T0)
    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_for_whom_cannot_wait_one_that_has_never_beaten_is_dead() -> None:
    assert dead_since("self-heal", None, T0, NEVER)
    assert not dead_since("self-heal", T0, T0, NEVER)


@pytest.mark.parametrize(
    ("last_s", "beats"),
    [
        pytest.param(None, True, id="the first time"),
        pytest.param(59, False, id="not twice a minute"),
        pytest.param(60, True, id="once a minute"),
        pytest.param(-3600, True, id="also when the clock was put back"),
    ],
)
def test_a_job_that_has_come_through_beats(last_s: int | None, beats: bool) -> None:
    last = None if last_s is None else T0 - timedelta(seconds=last_s)
    assert beats_again(last, T0) is beats


NIGHTLY = ScheduleSpec(name="nightly", cron="0 6 * * *", zone="UTC", act="start", mode="overnight", date="YESTERDAY")
WORD = Nudge(pipeline="nba", mode="overnight", date="YESTERDAY", scheduled_at=NOON, act="start", schedule="nightly")


@pytest.mark.parametrize(
    ("word", "beat"),
    [
        pytest.param(WORD, ("nightly", NOON + timedelta(seconds=9)), id="a declared job leaves its own"),
        pytest.param(replace(WORD, schedule="mine"), None, id="a name that nobody declared leaves none"),
        pytest.param(replace(WORD, schedule=""), None, id="an older word, which names none, neither"),
        pytest.param(replace(WORD, act="nudge"), None, id="nor one that asks for something else"),
    ],
)
def test_a_job_that_has_come_through_leaves_a_heartbeat(word: Nudge, beat: tuple[str, datetime] | None) -> None:
    assert beat_of(word, [NIGHTLY], NOON + timedelta(seconds=9)) == beat


def test_a_clock_that_is_behind_does_not_make_a_job_late() -> None:
    assert beat_of(WORD, [NIGHTLY], NOON - timedelta(seconds=20)) == ("nightly", NOON)
