"""Is the view the same whatever order things come in, and does it hold no more than what counts?"""

from __future__ import annotations

import pytest

from shared.core.fold import look, with_outcome, with_starts
from shared.core.model import Control
from tests.unit.plans import T0, Day, critical, latch, left_of_out, minute, opened, phase, plan, start

FINDERS = plan(phase("scrape", critical("s"), critical("t")), phase("raw", critical("u"), deadline=120))


@pytest.mark.parametrize(
    ("script", "games"),
    [
        pytest.param("", None, id="nobody has found anything"),
        pytest.param("+1 s done", None, id="a success without findings finds nothing"),
        pytest.param("+1 s done finds=games:g1|g2", ("g1", "g2"), id="a success finds"),
        pytest.param("+1 s partial finds=games:g1", ("g1",), id="so does a partial"),
        pytest.param("+1 s done finds=games:", (), id="that there is nothing takes a success"),
        pytest.param("+1 s partial finds=games:", None, id="a partial does not know that there is nothing"),
        pytest.param("+1 s failed finds=games:g1", None, id="a failure finds nothing"),
        pytest.param("+1 s not_ready finds=games:g1", None, id="what is not ready finds nothing"),
        pytest.param("+1 s skipped finds=games:", None, id="what was skipped finds nothing"),
        pytest.param("+1 q done finds=games:g1", None, id="a processor nobody planned finds nothing"),
        pytest.param("+1 s done finds=games:g1; +2 s done finds=games:g2", ("g2",), id="the latest report is believed"),
        pytest.param(
            "+1 s done finds=games:g1; +2 s failed attempt=2", ("g1",), id="a later failure takes nothing back"
        ),
        pytest.param("+1 s done finds=games:g1; +2 s partial finds=games:", ("g1",), id="nor does an empty partial"),
        pytest.param(
            "+1 s done finds=games:g2 attempt=2; +2 s done finds=games:g1 attempt=1",
            ("g2",),
            id="the higher attempt is believed, whichever comes last",
        ),
        pytest.param(
            "+1 u done finds=games:g3; +2 s done finds=games:g1", ("g3",), id="later phases outrank earlier ones"
        ),
    ],
)
def test_what_is_expected(script: str, games: tuple[str, ...] | None) -> None:
    day = Day(FINDERS)
    day.due_at = None
    assert day.play(script, until=0).view(T0).expectations.get("games") == games


def test_facts_are_told_by_attempt_then_report() -> None:
    day = Day(FINDERS)
    day.due_at = None
    day.play("+1 s failed attempt=2; +2 s done attempt=1; +3 s failed attempt=1", until=0)
    seen = look(day.plan, reversed(day.facts), (), Control(), T0).facts["s"]
    assert [(fact.completion.attempt, fact.completion.report) for fact in seen] == [(1, 1), (1, 2), (2, 1)]


def test_of_each_gate_the_latest_attempt_is_seen_whatever_comes_first() -> None:
    latches = [latch(f"{attempt}", opened("raw", attempt)) for attempt in (2, 3, 1)]
    view = look(FINDERS, (), latches, Control(), T0)
    assert view.outcomes == {"raw": opened("raw", 3)}
    assert view.latch_keys == ("2", "3", "1")


def test_starts_are_told_by_attempt_wherever_they_were_ordered() -> None:
    latches = [latch("s/2", None, start("s", 2)), latch("gate", opened("raw"), start("s"), start("t"))]
    view = look(FINDERS, (), latches, Control(), T0)
    assert view.starts == {"s": (start("s"), start("s", 2)), "t": (start("t"),)}


def test_what_is_about_to_be_latched_can_be_looked_at_before() -> None:
    of = left_of_out(critical("a"))
    now = look(of, (), (), Control(), minute(1))
    then = with_starts(with_outcome(now, opened("raw")), [start("a"), start("a", 2)])
    latches = [latch("gate", opened("raw"), start("a")), latch("start", None, start("a", 2))]
    told = look(of, (), latches, Control(), minute(1))
    assert (then.outcomes, then.starts) == (told.outcomes, told.starts)
    assert (now.outcomes, now.starts) == ({}, {})
