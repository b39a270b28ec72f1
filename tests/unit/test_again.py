"""What may be asked of a run that has been: which replays and looks again are refused, and what they bring."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.again import given_by, order_again, order_looks
from shared.core.gate import start_latch
from shared.core.model import Act, Missing, Start
from shared.core.plan import Given, Plan, PlannedRunBefore
from shared.core.standing import in_doubt
from shared.core.status import PhaseState, RunState, summarise
from tests.unit.plans import RUN, Day, critical, minute, optional, phase, plan

SOURCES = plan(
    phase("scrape", critical("s"), critical("x", unit="games", needs=("s",)), optional("news", refresh_until=None)),
    phase("raw", critical("a", unit="games"), deadline=90),
    phase("out", critical("z"), deadline=120),
)
SCRAPED = "+1 s done finds=games:g1|g2 digest=s; +1 news skipped reason=x; +2 x done has=2 digest=x"
PUBLISHED = f"{SCRAPED}; +3 a done has=2 digest=a; +4 z done digest=z"
ROUND_1 = ["open scrape/1 at +0", "open raw/1 at +2", "open out/1 at +3", "done end/1 at +4"]


def looks(of: Plan, script: str, at: float, *names: str) -> str:
    starts, refused = order_looks(Day(of).play(script, until=at).view(minute(at)), names)
    assert all(start.look for start in starts)
    return " ".join(f"{start.processor}/{start.attempt}" for start in starts) or "; ".join(refused)


def row(sentence: str, script: str, at: float, names: str, said: str, of: Plan = SOURCES) -> object:
    return pytest.param(of, script, at, names, said, id=sentence)


@pytest.mark.parametrize(
    ("of", "script", "at", "names", "said"),
    [
        row("every source of a published run", PUBLISHED, 200, "", "s/2 x/2"),
        row("the one that is named", PUBLISHED, 200, "x", "x/2"),
        row("at the last moment", PUBLISHED, 600, "", "s/2 x/2"),
        row("while the run is still on its way", SCRAPED, 3, "", "s/2 x/2"),
        row(
            "once more after it has brought the same",
            f"{PUBLISHED}; +200 again s; +201 s done digest=s",
            202,
            "s",
            "s/3",
        ),
        row(
            "once more when nobody has reported any of the looks before", f"{PUBLISHED}; +200 again s", 382, "s", "s/5"
        ),
        row(
            "after the time for corrections",
            PUBLISHED,
            601,
            "s",
            "s may change until 2024-01-16 21:00 UTC only; a replay takes in what came later",
        ),
        row(
            "a look that was ordered once more, as nobody reported it",
            f"{PUBLISHED}; +200 again s",
            261,
            "s",
            "s is being looked at already, attempt 3",
        ),
        row(
            "a look that is under way",
            f"{PUBLISHED}; +200 again s",
            260,
            "s",
            "s is being looked at already, attempt 2",
        ),
        row("before there is a result", "", 1, "s", "s has no whole result to look at again: it is running, attempt 1"),
        row("no source", PUBLISHED, 200, "a", "a is not a source; those of overnight are s, x"),
        row("a held run", f"{PUBLISHED}; +100 hold", 200, "", f"{RUN} is held by ann: storm"),
        row("a cancelled run", "+1 cancel", 2, "", f"{RUN} is cancelled by ann: wrong day"),
        row(
            "a failed run",
            "",
            130,
            "",
            f"{RUN} has failed: s, x not done by 2024-01-16 13:00 UTC, the time to give up",
        ),
        row(
            "a run without sources",
            "",
            1,
            "",
            f"{RUN} begins with raw: it has no sources; a replay of {RUN} takes in what was corrected",
            plan(phase("raw", critical("a", refresh_until=minute(60)))),
        ),
    ],
)
def test_a_look_again_at_sources(of: Plan, script: str, at: float, names: str, said: str) -> None:
    assert looks(of, script, at, *names.split()) == said


def test_a_run_that_has_not_begun_has_nothing_to_look_at() -> None:
    assert order_looks(Day(SOURCES).view(minute(0))) == ((), (f"{RUN} has not begun",))


def test_a_report_that_nobody_ordered_can_be_looked_at_again() -> None:
    """Its order may have been lost with the process that wrote it; the report counts all the same."""
    view = Day(SOURCES).play(SCRAPED, until=3).view(minute(3))
    starts, _ = order_looks(replace(view, starts={}), ["s"])
    assert [start.attempt for start in starts] == [2]


@pytest.mark.parametrize(
    ("script", "story"),
    [
        pytest.param("+201 s done digest=s; +202 x done has=2 digest=x", [], id="the same content changes nothing"),
        pytest.param(
            "+201 s done digest=s; +202 x done has=2 digest=new; +204 a done has=2 digest=new; +205 z done digest=new",
            ["open raw/2 at +202", "open out/2 at +204", "done end/2 at +205"],
            id="a correction is published once",
        ),
        pytest.param(
            "+201 x done has=2 digest=new; +202 s done finds=games:g1|g2 digest=new; +203 x done has=2 digest=new;"
            "+204 a done has=2 digest=new; +205 z done digest=new",
            ["open raw/2 at +203", "open out/2 at +204", "done end/2 at +205"],
            id="two corrections are published once, whichever comes first",
        ),
        pytest.param(
            "+201 x done has=2 digest=new; +262 a done has=2 digest=new; +263 z done digest=new",
            ["open raw/2 at +260.5", "open out/2 at +262", "done end/2 at +263"],
            id="a look that never reports holds up another's correction for its own time at most",
        ),
        pytest.param(
            "+262 x done has=2 digest=new; +263 a done has=2 digest=new; +264 z done digest=new",
            ["open raw/2 at +262", "open out/2 at +263", "done end/2 at +264"],
            id="nor longer when it is ordered once more",
        ),
        pytest.param("+201 s failed; +202 x failed", [], id="a look that fails changes nothing"),
        pytest.param("+201 s not_ready; +202 x partial has=1 digest=half", [], id="nor does one that is not whole"),
        pytest.param(
            "+201 s failed; +202 x done has=1 digest=half",
            [],
            id="nor one that calls itself a success and is not whole",
        ),
        pytest.param(
            "+201 s failed; +202 x skipped reason=no_source", [], id="nor one that was skipped for no good reason"
        ),
    ],
)
def test_what_a_look_again_brings(script: str, story: list[str]) -> None:
    day = Day(SOURCES).play(f"{PUBLISHED}; +200 again; {script}", until=400)
    assert day.story == ROUND_1 + story
    if not story:
        status = summarise(day.view(minute(400)))
        assert (status.state, status.completeness) == (RunState.DEGRADED, 0.8571)  # without news, as it was published
        assert [phase.state for phase in status.phases] == [
            PhaseState.DEGRADED,
            PhaseState.COMPLETE,
            PhaseState.COMPLETE,
        ]
        assert status.phases[0].missing == ("news",)
        assert day.orders()[-2:] == ["s/2 at +200", "x/2 at +200"]  # nothing is tried again by itself


def test_a_look_that_failed_is_told_beside_the_result_that_stands() -> None:
    day = Day(SOURCES).play(f"{PUBLISHED}; +200 again x; +201 x failed reason=network", until=202)
    standing = summarise(day.view(minute(202))).phases[0].standings["x"]
    assert (standing.whole, standing.mark) == (True, "x")
    assert standing.why == "looked at again, attempt 2 failed: network; what stood stands"


def test_a_failed_look_does_not_hold_up_what_another_source_has_brought() -> None:
    """Its reader runs again by itself, as the order that it answers is older than what it needs."""
    script = "+201 x failed; +202 s done finds=games:g1|g2 digest=new"
    day = Day(SOURCES).play(f"{PUBLISHED}; +200 again; {script}", until=203)
    assert day.orders()[-1] == "x/3 at +202"
    day.play("+204 x done has=2 digest=x; +205 a done has=2 digest=new; +206 z done digest=new", until=207)
    assert day.story[4:] == ["open raw/2 at +204", "open out/2 at +205", "done end/2 at +206"]


def test_a_published_run_stays_published_when_the_refresh_that_a_look_began_fails() -> None:
    script = "+201 x done has=2 digest=new; +203 a done has=2 digest=a"
    day = Day(SOURCES).play(f"{PUBLISHED}; +200 again x; {script}", until=400)
    assert day.story[4:] == ["open raw/2 at +201", "open out/2 at +203", "fail end/2 at +273"]
    status = summarise(day.view(minute(400)))
    assert (status.state, status.ended_at, status.missing) == (RunState.DEGRADED, minute(4), ("news",))
    assert status.reason == "z not done by 2024-01-16 15:33 UTC, the time to give up"
    assert status.phases[-1].state is PhaseState.FAILED  # the refresh, told where it failed


# --- a look, or another attempt, that nobody reports -----------------------------------------------------

LOST = f"{PUBLISHED}; +200 again x"
UNANSWERED = "raise unanswered/1 at +381.5"
HEARD = "has=2 digest=x"


def asked(script: str, at: float, name: str, until: float, then: str = "") -> Day:
    """A day in which somebody has a processor tried again at this minute."""
    day = Day(SOURCES).play(script, until=at)
    ordered = order_again(day.view(minute(at)), next(p.name for p in SOURCES.phases if name in p.by_name), name, BEN)
    assert isinstance(ordered, Start), ordered
    day.latches[start_latch(ordered).key] = start_latch(ordered)
    day.advance(minute(at))
    return day.play(then, until=until)


def test_a_look_that_nobody_reports_is_ordered_as_often_as_any_other_attempt_and_then_told_once() -> None:
    day = Day(SOURCES).play(LOST, until=400)
    assert day.orders()[-3:] == ["x/2 at +200", "x/3 at +260.5", "x/4 at +321"]
    assert all(start.look for start in day.starts("x")[1:])
    assert (day.story, day.told) == (ROUND_1, ["raise incomplete/1 at +2", "resolve incomplete/1 at +4", UNANSWERED])
    assert day.due_at is None, "and nobody comes again"
    standing = summarise(day.view(minute(400))).phases[0].standings["x"]
    assert (standing.done, standing.whole, standing.ended, standing.mark) == (True, True, True, "x")
    assert standing.why == "attempt 4 did not report in 3600 s, 3 of 3 attempts; what stood stands"


def test_while_a_look_is_under_way_the_timer_comes_again_and_the_earlier_result_counts() -> None:
    day = Day(SOURCES).play(LOST, until=201)
    status = summarise(day.view(minute(200.5)))
    assert (status.state, status.completeness, day.due_at) == (RunState.DEGRADED, 0.8571, minute(201))
    standing = status.phases[0].standings["x"]
    assert (standing.done, standing.whole, standing.ended) == (True, True, True)
    assert standing.why == "attempt 2 is under way until 2024-01-16 15:20 UTC; what stood stands"


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(f"+261 x done {HEARD}", id="by the one that was ordered once more"),
        pytest.param(f"+300 x done attempt=2 {HEARD}; +310 x done {HEARD}", id="late, and then by the other"),
        pytest.param("+261 x failed", id="though it has failed"),
    ],
)
def test_what_was_ordered_once_more_and_is_reported_is_over(then: str) -> None:
    day = Day(SOURCES).play(f"{LOST}; {then}", until=400)
    assert (day.starts("x")[-1].attempt, day.due_at, day.story) == (3, None, ROUND_1)
    assert not [told for told in day.told if "unanswered" in told]


def test_a_report_that_comes_after_all_ends_what_was_told() -> None:
    day = Day(SOURCES).play(f"{LOST}; +390 x done {HEARD}", until=400)
    assert day.told[-2:] == [UNANSWERED, "resolve unanswered/1 at +390"]
    day = Day(SOURCES).play(f"{LOST}; +390 again x; +391 x done {HEARD}", until=400)
    assert day.told[-2:] == [UNANSWERED, "resolve unanswered/1 at +390"]


def test_another_word_begins_another_budget() -> None:
    day = asked(PUBLISHED, 60, "z", 300)
    assert [start.attempt for start in day.starts("z")] == [1, 2, 3, 4]
    assert {(start.look, start.by) for start in day.starts("z")[1:]} == {(True, BEN)}
    later = order_again(day.view(minute(300)), "out", "z", replace(BEN, at=minute(300)))
    assert isinstance(later, Start)
    day.latches[start_latch(later).key] = start_latch(later)
    day.advance(minute(300))
    day.play("", until=600)
    assert [start.attempt for start in day.starts("z")] == [1, 2, 3, 4, 5, 6, 7]
    assert [told for told in day.told if "unanswered" in told] == [
        "raise unanswered/1 at +241.5",
        "resolve unanswered/1 at +300",
        "raise unanswered/2 at +481.5",
    ]


@pytest.mark.parametrize(
    ("script", "at", "name", "attempts"),
    [
        pytest.param(PUBLISHED, 700, "z", [1, 2, 3, 4], id="when the time for corrections is over"),
        pytest.param(PUBLISHED, 60, "news", [1, 2, 3, 4], id="of what the run ended without, where late is ignored"),
    ],
)
def test_another_attempt_is_looked_after_also_where_no_gate_would_make_use_of_it(
    script: str, at: float, name: str, attempts: list[int]
) -> None:
    day = asked(script, at, name, at + 500)
    assert [start.attempt for start in day.starts(name)] == attempts
    assert (day.story, day.due_at) == (ROUND_1, None)
    assert len([told for told in day.told if "unanswered" in told]) == 1


def test_another_attempt_of_what_is_not_whole_keeps_whose_it_is() -> None:
    day = asked(f"{SCRAPED}; +3 a partial has=1", 3.5, "a", 65)
    assert [(start.attempt, start.look, start.by) for start in day.starts("a")] == [
        (1, False, None),
        (2, False, BEN),
        (3, False, BEN),
    ]


def test_what_somebody_asked_for_is_looked_for_whatever_its_gate_makes_of_it() -> None:
    day = asked(PUBLISHED, 700, "z", 702)
    assert [start.id for start in in_doubt(day.view(minute(702)))] == [f"{RUN}/out/z/2"]


@pytest.mark.parametrize("said", ["+201 cancel", "+201 hold"])
def test_nothing_is_ordered_once_more_in_a_run_that_is_cancelled_or_held(said: str) -> None:
    day = Day(SOURCES).play(f"{LOST}; {said}", until=400)
    assert day.orders()[-1] == "x/2 at +200"


def test_an_attempt_that_healing_ordered_is_nobodys_wish_once_the_silent_one_has_reported() -> None:
    day = Day(SOURCES).play("+61 s done attempt=1 finds=games:g1|g2; +62 x done has=2", until=70)
    assert [start.attempt for start in day.starts("s")] == [1, 2]
    assert summarise(day.view(minute(70))).phases[0].standings["s"].asked is None


def test_what_a_look_brings_counts_from_then_on() -> None:
    script = "+201 x done has=2 digest=new; +203 a done has=2; +204 z done; +300 again x; +301 x failed"
    day = Day(SOURCES).play(f"{PUBLISHED}; +200 again x; {script}", until=400)
    assert len(day.story) == len(ROUND_1) + 3
    assert summarise(day.view(minute(400))).phases[0].standings["x"].mark == "new#1"


# --- another attempt -------------------------------------------------------------------------------------

BEN = Act(actor="ben", reason="the feed was wrong", at=minute(50))


def again(script: str, at: float, phase: str, processor: str, only: tuple[str, ...] | None = None) -> Start | str:
    return order_again(Day(SOURCES).play(script, until=at).view(minute(at)), phase, processor, BEN, only)


@pytest.mark.parametrize(
    ("script", "at", "phase", "processor", "said"),
    [
        pytest.param(PUBLISHED, 50, "nowhere", "a", f"nowhere/a is not planned in {RUN}", id="no phase"),
        pytest.param(PUBLISHED, 50, "raw", "z", f"raw/z is not planned in {RUN}", id="a processor of another phase"),
        pytest.param(SCRAPED, 2, "out", "z", f"{RUN} has not opened out", id="a phase that has not begun"),
        pytest.param(f"{PUBLISHED}; +40 hold", 50, "raw", "a", f"{RUN} is held by ann: storm", id="a held run"),
        pytest.param("+1 cancel", 2, "scrape", "s", f"{RUN} is cancelled by ann: wrong day", id="a cancelled run"),
        pytest.param(
            "",
            130,
            "scrape",
            "s",
            f"{RUN} has failed: s, x not done by 2024-01-16 13:00 UTC, the time to give up",
            id="a failed run",
        ),
        pytest.param(
            "",
            1,
            "scrape",
            "x",
            f"x needs s, which is running, attempt 1; it starts by itself as soon as that is done; or `tipoff force "
            f"{RUN} raw --reason TEXT` opens the gate behind it with what is there",
            id="one whose turn has not come",
        ),
        pytest.param(
            "+1 s failed; +4 s failed; +9 s failed",
            10,
            "scrape",
            "x",
            f"x needs s, which failed: no reason given (3 of 3 attempts, tried again every 5 min); `tipoff retry "
            f"{RUN} s --reason TEXT` has that try again; or `tipoff force {RUN} raw --reason TEXT` opens the gate "
            "behind it with what is there",
            id="one that needs what has failed",
        ),
    ],
)
def test_another_attempt_that_cannot_be_is_refused_and_says_why(
    script: str, at: float, phase: str, processor: str, said: str
) -> None:
    assert again(script, at, phase, processor) == said


@pytest.mark.parametrize(
    ("script", "at", "phase", "processor", "attempt", "look"),
    [
        pytest.param(PUBLISHED, 50, "raw", "a", 2, True, id="of a whole result: a look"),
        pytest.param(PUBLISHED, 700, "out", "z", 2, True, id="also when the time for corrections is over"),
        pytest.param(f"{SCRAPED}; +3 a failed", 3.5, "raw", "a", 2, False, id="of one that has failed"),
        pytest.param(f"{SCRAPED}; +3 a partial has=1", 3.5, "raw", "a", 2, False, id="of one that is not whole"),
        pytest.param(SCRAPED, 3, "raw", "a", 2, False, id="of one that is under way: whoever asks has looked"),
        pytest.param("+1 s done finds=games:g1", 1, "scrape", "x", 1, False, id="of one whose turn has just come"),
        pytest.param(f"{PUBLISHED}; +40 hold until=+45", 50, "raw", "a", 2, True, id="of a run that was held"),
    ],
)
def test_another_attempt_is_ordered_at_a_persons_word(
    script: str, at: float, phase: str, processor: str, attempt: int, look: bool
) -> None:
    start = again(script, at, phase, processor)
    assert isinstance(start, Start)
    assert (start.id, start.issued_at) == (f"{RUN}/{phase}/{processor}/{attempt}", minute(at))
    assert (start.look, start.by, start.only) == (look, BEN, None)


NEEDY = plan(
    phase("raw", critical("a"), critical("b", needs=("a",)), critical("c", needs=("b",)), optional("d", after=("b",))),
)


@pytest.mark.parametrize(
    ("script", "at", "processor", "said"),
    [
        pytest.param(
            "+1 a done; +2 b done; +3 c done; +4 again a; +5 a done digest=new",
            6,
            "c",
            "c needs b, which runs again: a is newer; ask again when that is done",
            id="what it needs is made again: it is not read until then",
        ),
        pytest.param(
            "+1 a done",
            2,
            "d",
            "d waits for b until its grace is over, at 2024-01-16 11:10:00 UTC; then it starts by itself",
            id="what it would rather have is under way: it is waited for as long as ever",
        ),
        pytest.param("+1 a done", 10, "d", "d/1", id="and no longer"),
        pytest.param("+1 a done; +2 b failed; +10.5 d failed", 10.6, "d", "d/2", id="nor once it has begun"),
        pytest.param("+0 skip d; +1 a done", 10, "d", "d/1", id="a skip is no reason"),
        pytest.param(
            "+0 skip d; +1 a done",
            2,
            "d",
            "d waits for b until its grace is over, at 2024-01-16 11:10:00 UTC; then it starts by itself",
            id="nor a way to be first",
        ),
    ],
)
def test_nobodys_word_has_a_processor_read_what_is_not_there(script: str, at: float, processor: str, said: str) -> None:
    day = Day(NEEDY).play(script, until=at)
    asked = order_again(day.view(minute(at)), "raw", processor, BEN)
    assert (f"{asked.processor}/{asked.attempt}" if isinstance(asked, Start) else asked) == said


def test_another_attempt_sees_what_the_first_one_saw_and_writes_over_it() -> None:
    day = Day(SOURCES).play(PUBLISHED, until=50)
    start = order_again(day.view(minute(50)), "raw", "a", BEN, ("g2",))
    assert isinstance(start, Start)
    (first,) = day.starts("a")
    assert start.only == ("g2",), "and works on these units alone"
    assert start.fence > first.fence
    same = replace(start, attempt=1, fence=first.fence, issued_at=first.issued_at, look=False, by=None, only=None)
    assert same == first


@pytest.mark.parametrize(
    ("script", "story"),
    [
        pytest.param(
            "+61 a done has=2 digest=new; +62 z done digest=new",
            ["open out/2 at +61", "done end/2 at +62"],
            id="what it changes goes on to the end",
        ),
        pytest.param("+61 a done has=2 digest=a", [], id="the same again changes nothing"),
        pytest.param("+61 a failed", [], id="where it fails, what stood stands"),
        pytest.param("+61 a partial has=1 digest=half", [], id="nor does less than what stood count"),
        pytest.param("", [], id="nor silence"),
    ],
)
def test_what_another_attempt_of_a_whole_result_brings(script: str, story: list[str]) -> None:
    day = Day(SOURCES).play(PUBLISHED, until=60)
    start = order_again(day.view(minute(60)), "raw", "a", BEN)
    assert isinstance(start, Start)
    latch = start_latch(start)
    day.latches[latch.key] = latch
    assert day.play(script, until=400).story == ROUND_1 + story


# --- replays ---------------------------------------------------------------------------------------------


def given(of: Plan, script: str, at: float, from_phase: str, reason: str = "bad zones") -> Given | str:
    return given_by(Day(of).play(script, until=at).view(minute(at)), from_phase, reason)


@pytest.mark.parametrize(
    ("script", "from_phase", "reason", "said"),
    [
        pytest.param(PUBLISHED, "raw", " ", "--reason is empty", id="no reason"),
        pytest.param(
            PUBLISHED,
            "x",
            "why",
            "--from 'x' is not planned in nba.2024-01-15.overnight.1; planned: scrape, raw, out",
            id="no phase",
        ),
        pytest.param(
            SCRAPED,
            "out",
            "why",
            "has never opened it; replay it from one that it opened: scrape, raw",
            id="never opened",
        ),
        pytest.param("+1 cancel", "raw", "why", "replay it from one that it opened: scrape", id="cancelled before"),
        pytest.param("+0 cancel", "", "why", "has never opened it; let it begin first", id="never begun"),
        pytest.param(
            "+1 s done finds=games:", "", "why", "no games are expected, so there is nothing to replay", id="a holiday"
        ),
    ],
)
def test_a_replay_that_cannot_be_is_refused_with_its_remedy(
    script: str, from_phase: str, reason: str, said: str
) -> None:
    refused = given(SOURCES, script, 20, from_phase, reason)
    assert isinstance(refused, str)
    assert said in refused


def test_a_replay_stands_on_what_the_gate_knew_when_it_opened() -> None:
    assert given(SOURCES, PUBLISHED, 20, "raw") == Given(
        run=RUN,
        phase="raw",
        reason="bad zones",
        completeness=0.8571,
        missing=(Missing(processor="news", why="skipped: x"),),
        expectations={"games": ("g1", "g2")},
    )


def test_a_replay_from_nowhere_in_particular_is_one_from_the_first_phase() -> None:
    assert given(SOURCES, PUBLISHED, 20, "") == Given(run=RUN, phase="scrape", reason="bad zones", completeness=1.0)


@pytest.mark.parametrize(("from_phase", "missing"), [("raw", ()), ("out", ("overnight of 2024-01-15",))])
def test_a_run_that_was_missing_is_asked_for_anew_where_the_replay_begins_with_that_gate(
    from_phase: str, missing: tuple[str, ...]
) -> None:
    before = PlannedRunBefore(mode="overnight", date=RUN.date, wait_until=minute(30))
    of = plan(
        phase("scrape", critical("s")),
        phase("raw", critical("a"), readings=("runs_before",), runs_before=(before,)),
        phase("out", critical("z"), deadline=120),
    )
    script = "+0 read runs_before=warn:overnight_of; +1 s done; +2 a done; +3 z done"
    day = Day(of)
    day.play("", until=1)
    late = Missing(processor=str(before), why="has not published")
    day.happen(minute(1), "read", "runs_before=warn")
    day.refusals["runs_before"] = replace(day.refusals["runs_before"], missing=(late,))
    day.play(script.partition("; ")[2], until=10)
    replayed = given_by(day.view(minute(10)), from_phase, "why")
    assert isinstance(replayed, Given)
    assert tuple(m.processor for m in replayed.missing) == missing
