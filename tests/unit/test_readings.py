"""What a reading means for its gate, and what there is to be read back: by tables."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.core.gate import Open, recompute
from shared.core.model import Act, Control, Missing, Reading, ReadingVerdict
from shared.core.readings import BAD_FOR, Answer, Claim, Finding, ReadBack, claims, overridden, settle, together, unread
from tests.unit.plans import T0, Day, critical, minute, optional, phase, plan, say

LATER = T0 + timedelta(seconds=10)
BAD = Finding(
    answer=Answer.BAD, note="2 of 3 are down", values={"a": "down"}, missing=(Missing(processor="a", why="x"),)
)


def first_bad(at: datetime = T0, *, closed: bool = False) -> Reading:
    return settle("health", BAD, None, at, closed=closed)


# --- settle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(
    ("answer", "before", "after", "verdict"),
    [
        pytest.param("well", False, 0, "pass", id="what is well passes"),
        pytest.param("well", True, 60, "pass", id="what is well again passes, whatever it was"),
        pytest.param("warned", False, 0, "warn", id="a warning is told at once"),
        pytest.param("bad", False, 0, "hold", id="the first bad answer holds"),
        pytest.param("bad", True, 59, "hold", id="a second within the minute holds still"),
    ],
)
def test_before_a_minute_is_over_failing_open_or_closed_is_the_same(
    answer: str, before: bool, after: float, verdict: str, closed: bool
) -> None:
    found = Finding(answer=Answer(answer), note="so it is")
    was = first_bad(closed=closed) if before else None
    assert settle("health", found, was, T0 + timedelta(seconds=after), closed=closed).verdict == verdict


@pytest.mark.parametrize(
    ("closed", "verdict", "note"),
    [
        (False, "warn", "2 of 3 are down; still so after 60 s, goes on all the same"),
        (True, "block", "2 of 3 are down; still so after 60 s, nothing opens before it is well"),
    ],
)
def test_what_is_bad_for_a_minute_goes_on_or_stays_shut(closed: bool, verdict: str, note: str) -> None:
    still = settle("health", BAD, first_bad(closed=closed), T0 + BAD_FOR, closed=closed)
    assert (still.verdict, still.note, still.since) == (verdict, note, T0)
    assert (still.values, still.missing) == (BAD.values, BAD.missing)


def test_since_when_it_is_bad_is_kept_however_often_it_is_asked() -> None:
    second = settle("health", BAD, first_bad(), LATER, closed=False)
    third = settle("health", BAD, second, T0 + timedelta(hours=1), closed=True)
    assert (second.since, third.since) == (T0, T0)
    assert second == first_bad()  # so the ledger holds it once


def test_what_flaps_is_bad_anew() -> None:
    well = settle("health", Finding(answer=Answer.WELL, note="all up"), first_bad(), LATER, closed=True)
    assert well.since is None
    again = settle("health", BAD, well, T0 + timedelta(minutes=2), closed=True)
    assert (again.verdict, again.since) == ("hold", T0 + timedelta(minutes=2))


def test_what_could_not_be_read_is_bad_and_named_to_the_end() -> None:
    found = unread("sanity", "no answer within 8 s")
    assert (found.answer, found.note) == ("bad", "could not be read: no answer within 8 s")
    assert found.missing == (Missing(processor="sanity", why=found.note),)


# --- together ---------------------------------------------------------------------------------------


def test_a_clock_put_back_makes_nobody_wait_until_it_has_caught_up() -> None:
    again = settle("health", BAD, first_bad(minute(120)), T0, closed=False)
    assert again.since == T0
    assert settle("health", BAD, again, minute(1), closed=False).verdict is ReadingVerdict.WARN


@pytest.mark.parametrize(
    ("answers", "answer", "note"),
    [
        pytest.param((), "well", "nothing to ask", id="of nothing it is well"),
        pytest.param(("well", "well"), "well", "nothing to ask", id="what is well needs no words"),
        pytest.param(("well", "warned"), "warned", "b is warned", id="one that warns"),
        pytest.param(("bad", "warned", "well"), "bad", "a is bad; b is warned", id="the worst decides, all are told"),
    ],
)
def test_several_are_as_bad_as_the_worst(answers: tuple[str, ...], answer: str, note: str) -> None:
    found = [
        Finding(answer=Answer(each), note=f"{name} is {each}", values={name: each})
        for name, each in zip("abc", answers, strict=False)
    ]
    one = together(found, "nothing to ask")
    assert (one.answer, one.note) == (answer, note)
    assert one.values == dict(zip("abc", answers, strict=False))


# --- an override ------------------------------------------------------------------------------------


ANN = Act(actor="ann", reason="the probe is wrong", at=T0, until=minute(30))


@pytest.mark.parametrize(
    ("verdict", "act", "about", "at", "counts"),
    [
        pytest.param("block", ANN, "health", 1, "warn", id="a block only warns"),
        pytest.param("hold", ANN, "health", 1, "warn", id="so does a hold"),
        pytest.param("block", ANN, "health", 30, "block", id="until it ends"),
        pytest.param("block", ANN, "sanity", 1, "block", id="another reading's is none"),
        pytest.param("pass", ANN, "health", 1, "pass", id="what passes needs none"),
        pytest.param(
            "block", Act(actor="ann", reason="x", at=T0), "health", 900, "warn", id="one without an end lasts"
        ),
    ],
)
def test_what_a_person_has_overridden_only_warns(verdict: str, act: Act, about: str, at: float, counts: str) -> None:
    reading = Reading(name="health", verdict=ReadingVerdict(verdict), note="down")
    assert overridden(reading, Control(overrides={about: act}), minute(at)).verdict == counts


def test_an_override_says_whose_it_is_why_and_until_when() -> None:
    counts = overridden(first_bad(), Control(overrides={"health": ANN}), LATER)
    assert counts.note == "2 of 3 are down; overridden by ann: the probe is wrong, until 2024-01-16 11:30 UTC"
    endless = overridden(first_bad(), Control(overrides={"health": Act(actor="bob", reason="known", at=T0)}), LATER)
    assert endless.note == "2 of 3 are down; overridden by bob: known"


# --- at the gate ------------------------------------------------------------------------------------

GAMES = "finds=games:g1|g2|g3|g4"
READ = plan(
    phase("scrape", critical("schedule")),
    phase("raw", critical("a", unit="games"), deadline=120),
    phase("out", critical("z", unit="games"), deadline=180, readings=("health", "fresh")),
)


def read(day: Day, name: str, verdict: str, *missing: Missing) -> None:
    day.refusals[name] = Reading(name=name, verdict=ReadingVerdict(verdict), note=f"says {verdict}", missing=missing)


def test_a_faulty_unit_is_not_asked_for_downstream_and_lowers_the_completeness() -> None:
    day = Day(READ)
    read(day, "fresh", "warn", Missing(processor="a", why="no rows", units=("g2",)))
    day.play(f"+1 schedule done {GAMES}; +5 a done has=4 of=4", until=6)
    (order,) = day.starts("z")
    assert order.units == ("g1", "g3", "g4")
    assert [(each.processor, each.units) for each in order.missing] == [("a", ("g2",))]
    assert order.completeness == 0.75
    assert day.ledger[-1].decision == "open"


def test_what_a_hold_would_be_without_stays_in_what_there_is_to_do() -> None:
    day = Day(READ)
    read(day, "fresh", "hold", Missing(processor="a", why="no rows", units=("g2",)))
    day.play(f"+1 schedule done {GAMES}; +5 a done has=4 of=4", until=5)
    assert say(day.decide(5)) == "wait out/1 until +6"


def test_a_unit_that_nobody_had_found_lowers_nothing_below_nothing() -> None:
    day = Day(READ)
    read(day, "fresh", "warn", Missing(processor="a", why="no rows", units=("g9",)))
    day.play("+1 schedule done; +5 a done", until=6)
    (order,) = day.starts("z")
    assert (order.units, order.completeness) == (None, 0.0)


def test_a_forced_gate_leaves_out_what_another_reading_has_found_faulty() -> None:
    day = Day(READ)
    read(day, "health", "block")
    read(day, "fresh", "warn", Missing(processor="a", why="no rows", units=("g2",)))
    day.play(f"+1 schedule done {GAMES}; +5 a done has=4 of=4", until=5.5)
    day.control = Control(version=1, forces={"out/1": Act(actor="ann", reason="now", at=minute(5.5))})
    day.play("+5.6 look", until=6)
    (order,) = day.starts("z")
    assert order.units == ("g1", "g3", "g4")
    assert [(each.processor, each.why) for each in order.missing] == [("health", "says block"), ("a", "no rows")]


def test_an_overridden_block_opens_with_its_missing_named_and_recomputes() -> None:
    day = Day(READ)
    read(day, "health", "block", Missing(processor="health", why="unread"))
    day.play(f"+1 schedule done {GAMES}; +5 a done has=4 of=4; +6 look", until=7)
    assert day.ledger[-1].decision == "block"
    day.control = Control(version=1, overrides={"health": ANN})
    day.play("+8 look", until=9)
    entry = next(entry for entry in day.ledger if entry.decision == "open" and entry.gate == "out")
    assert "; warned: health: says block; overridden by ann: the probe is wrong, until" in entry.reason
    assert [each.processor for each in entry.missing] == ["health"]
    again = recompute(day.plan, day.facts, day.latches.values(), entry).decision
    assert isinstance(again, Open)
    assert (again.reason, again.missing) == (entry.reason, entry.missing)


# --- what there is to be read back ------------------------------------------------------------------

CLAIMED = plan(
    phase("scrape", critical("schedule")),
    phase(
        "raw",
        critical("a", unit="games"),
        critical("b", unit="games", needs=("a",)),
        optional("c", after=("a",)),
        deadline=60,
    ),
    phase("out", critical("z"), deadline=120),
    phase("end_of_it", critical("y"), deadline=180),
)


def claimed(script: str, until: float, gate: str = "out", names: tuple[str, ...] | None = None) -> dict[str, Claim]:
    day = Day(CLAIMED).play(script, until=until)
    return {claim.processor.name: claim for claim in claims(day.view(minute(until)), gate, names)}


def test_only_what_counts_on_the_left_is_asked_for() -> None:
    found = claimed(f"+1 schedule done {GAMES}; +5 a done; +6 b failed; +6 c skipped reason=superseded", 7)
    assert set(found) == {"a", "c"}
    assert (found["a"].phase, found["a"].start and found["a"].start.attempt) == ("raw", 1)
    assert found["a"].expected == ("g1", "g2", "g3", "g4")
    assert (found["a"].superseded, found["c"].superseded) == (False, True)


def test_at_the_first_gate_nothing_is_this_runs() -> None:
    assert not claimed("", 1, "scrape")


def test_named_processors_are_asked_for_wherever_they_are_planned() -> None:
    script = f"+1 schedule done {GAMES}; +5 a done; +6 b done; +6 c done; +8 z done"
    found = claimed(script, 9, "end_of_it", ("a", "z", "stranger"))
    assert [(claim.phase, name) for name, claim in found.items()] == [("raw", "a"), ("out", "z")]


def test_what_a_gate_took_out_is_not_asked_for_behind_it() -> None:
    partial = "+5 a partial has=3 of=4 missing=g4; +6 c done; +60 look; +61 b done; +63 z done"
    found = claimed(f"+1 schedule done {GAMES}; {partial}", 64, "end_of_it", ("a",))
    assert found["a"].expected == ("g1", "g2", "g3")


def test_a_result_claims_what_it_does_not_lack_itself() -> None:
    found = claimed(f"+1 schedule done {GAMES}; +5 a partial has=3 of=4 missing=g4", 60)
    assert found["a"].units == ("g1", "g2", "g3")


def test_the_attempt_that_counts_is_the_one_asked_about() -> None:
    found = claimed(f"+1 schedule done {GAMES}; +5 a failed; +7 a done", 8)
    assert (found["a"].completion.attempt, found["a"].start and found["a"].start.attempt) == (2, 2)


def test_an_attempt_that_nobody_ordered_has_no_start() -> None:
    found = claimed(f"+1 schedule done {GAMES}; +5 a done attempt=3", 6)
    assert found["a"].start is None


def test_a_partial_result_that_was_made_before_its_input_changed_is_known_as_late() -> None:
    script = "+5 a done digest=one; +6 b partial has=3 of=4 missing=g4; +30 a done attempt=1 digest=two; +30 c done"
    found = claimed(f"+1 schedule done {GAMES}; {script}", 60)
    assert found["b"].late == ("a",)
    assert "c" not in found  # it runs again by itself


def test_what_a_phase_reads_is_what_its_planned_processors_are_made_of() -> None:
    told = ReadBack(reads={"z": ("a", "b"), "y": ("b", "c"), "stranger": ("d",)})
    assert told.read_by(phase("out", critical("z"), critical("y"))) == ("a", "b", "c")
    assert told.read_by(phase("raw", critical("a"))) is None
