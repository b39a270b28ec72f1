"""`tipoff explain` tells a run's whole story on one screen, and `tipoff recompute` makes its decisions again."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from orchestration.cli.explain import LINES_MAX
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.core.model import Act, Alert, Control, Latch, RunKey, Severity, Start, Status, Word
from shared.core.standing import mute_at
from tests.flow.cli import on_a_terminal, tipoff, tipoff_json
from tests.flow.days import Days, HandClock, succeed

RUN = RunKey("nba", date(2024, 1, 15), "overnight")
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
WHY = "its feed is wrong since the maintenance of last night, and nobody answers before noon"


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    """A run that began an hour ago, in a home; its sources have come."""
    with closing(Sqlite(tmp_path / wiring.STATE_FILE)) as store:
        days = Days(store, clock=HandClock(datetime.now(timezone.utc) - timedelta(hours=1)))
        days.service.start_run(RUN, {"data": "nba", "synthetic": "no"})
        days.finish(RUN, up_to="raw")
        yield days


def say(days: Days, verb: str, about: str = "", reason: str = WHY, actor: str = "ann") -> None:
    days.clock.time += timedelta(seconds=10)
    act = Act(actor=actor, reason=reason, at=days.clock.now())
    assert isinstance(days.service.say(RUN, Word(verb=verb, about=about, act=act)), Control)


def degraded(days: Days) -> None:
    """Held, released, one skipped, one failed for good: published without both."""
    say(days, "hold", reason="wait for corrections")
    say(days, "release", reason="corrections are in", actor="bob")
    say(days, "skip", "team_defense_game_summary")
    for _ in range(40):
        for start in days.hear()[:]:
            failed = succeed(start, status=Status.FAILED, reason="out of [memory]", digest="")
            days.do(start, failed if start.processor == "upcoming_team_game_context" else None)
        days.pass_by(seconds=30)


def test_another_attempt_that_was_asked_for_is_told_until_when_it_is_under_way(days: Days, tmp_path: Path) -> None:
    days.finish(RUN)
    assert "It is through; nothing is under way." in tipoff("explain", RUN, "--home", tmp_path).stdout
    days.clock.time = datetime.now(timezone.utc)
    started = days.service.retry(RUN, "results", Act(actor="ann", reason=WHY, at=days.clock.now()))
    assert isinstance(started, Start)
    days.hear().clear()  # lost
    until = mute_at(started, days.view(RUN).plan.phase_by_name["export"].by_name["results"])
    under_way = f"results: attempt 2 is under way until {until:%Y-%m-%d %H:%M} UTC; what stood stands. Next look "
    for command in (("explain", RUN), ("status", "nba", "--date", RUN.date)):
        said = tipoff(*command, "--home", tmp_path).stdout
        assert under_way in said
        assert "nothing is under way" not in said
        assert f"{RUN} is published" in said
    for _ in range(4):
        days.pass_by(hours=1)
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    assert "results: attempt 4 did not report in " in said
    assert "what stood stands." in said
    assert "nothing is under way" not in said


def test_a_degraded_run_is_told_on_one_screen(days: Days, tmp_path: Path) -> None:
    degraded(days)
    said = CODES.sub("", on_a_terminal("explain", RUN, "--home", tmp_path, COLUMNS="100", LINES="45"))
    lines = said.replace("\r", "").splitlines()
    assert len(lines) <= 45, said
    assert max(map(len, lines)) <= 100, said
    assert lines[0].startswith(f"{RUN} is degraded, completeness ")
    assert "It is through; nothing is under way." in said
    assert re.search(r"^analytics +degraded +3 of 5 ", said, re.MULTILINE)
    assert re.search(r"\nanalytics  team_defense_game_summary   optional  since \S+  was skipped by ann", said)
    assert re.search(r"upcoming_team_game_context  optional  since \S+  failed: out of \[memory\] \(3 of 3", said)
    told = lines[lines.index("Decisions, and what people said") + 2 :]
    story = [line.split()[1:3] for line in told if line[0] != " "]
    assert story[:7] == [
        ["scrape", "OPEN"],
        ["raw", "OPEN"],
        ["operator", "hold"],
        ["analytics", "BLOCK"],
        ["operator", "release"],
        ["analytics", "WAIT"],
        ["operator", "skip"],
    ], said
    assert story[-1] == ["the", "end"]


def test_a_pipe_gets_each_decision_and_word_on_a_line_of_its_own(days: Days, tmp_path: Path) -> None:
    degraded(days)
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    assert re.search(rf"  operator +skip +team_defense_game_summary, ann: {WHY}$", said, re.MULTILINE)
    assert re.search(r"  precompute  OPEN +3 of 5  3 of 5 processors of analytics are done, .*; without ", said)
    assert not [line for line in said.splitlines() if line != line.rstrip()]


def test_the_words_are_told_to_machines_too(days: Days, tmp_path: Path) -> None:
    degraded(days)
    told = tipoff_json("explain", RUN, "--home", tmp_path)
    assert [(word["verb"], word["about"], word["actor"]) for word in told["words"]] == [
        ("hold", "", "ann"),
        ("release", "", "bob"),
        ("skip", "team_defense_game_summary", "ann"),
    ]
    assert told["words"][2].keys() == {"verb", "about", "actor", "reason", "at", "until"}
    opened = next(each for each in told["decisions"] if (each["gate"], each["decision"]) == ("precompute", "open"))
    assert (opened["done"], opened["planned"], opened["woke"]) == (3, 5, "completion")
    assert [(each["name"], each["verdict"]) for each in opened["readings"]] == [
        ("health", "pass"),
        ("freshness", "pass"),
        ("completeness", "pass"),
    ]
    assert all(each["note"] == "there is nothing here to ask" for each in opened["readings"])
    before = next(each for each in told["decisions"] if (each["gate"], each["decision"]) == ("raw", "open"))
    assert before["readings"] == [], "which asks for none"
    [phase] = [phase for phase in told["phases"] if phase["phase"] == "analytics"]
    since = {each["processor"]: each["since"] for each in phase["processors"]}
    assert since["team_defense_game_summary"] == told["words"][2]["at"]
    assert since["player_game_summary"] is None
    assert (told["incidents"], told["newest"]) == ([], str(RUN))


def test_what_happens_next_and_when_stands_at_the_top(days: Days, tmp_path: Path) -> None:
    say(days, "hold", reason="a storm")
    days.clock.time = datetime.now(timezone.utc)
    said = tipoff("explain", RUN, "--home", tmp_path).stdout.splitlines()
    assert said[0] == f"{RUN} is blocked: held by ann: a storm"
    assert said[1].startswith("Next look ")
    assert said[2].startswith("Nobody is at work in this home; `tipoff run nba")


def test_an_open_incident_is_told_and_one_that_is_over_is_not(days: Days, tmp_path: Path) -> None:
    now = days.clock.now()
    for cause, resolved in (("stalled", False), ("late", False), ("late", True)):
        alert = Alert(
            cause=cause, number=1, severity=Severity.PAGE, summary=f"{cause} \x1b[2J", at=now, resolved=resolved
        )
        latch = Latch(key=f"{RUN}/incident/{cause}/1/{resolved}", run=RUN, alert=alert)
        assert days.store.states.claim(
            RUN, control_version=0, latches=[latch], entry=None, due_at=now, now=now, lease_s=30
        )
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    assert re.findall(r"^INCIDENT \(page\) since \S+ \S+ UTC: (.*)$", said, re.MULTILINE) == [r"stalled \x1b[2J"]
    assert [each["cause"] for each in tipoff_json("explain", RUN, "--home", tmp_path)["incidents"]] == ["stalled"]


def test_of_a_long_story_the_newest_is_told_and_how_much_more_there_is(days: Days, tmp_path: Path) -> None:
    for number in range(20):
        say(days, "hold", reason=f"storm {number}")
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    assert "storm 19" in said
    assert "storm 0" not in said
    told = said.splitlines()
    left_out = next(line for line in told if "earlier ones are not shown" in line)
    shown = len(told) - told.index(left_out) - 2
    assert shown == LINES_MAX
    assert "storm 0" in tipoff("explain", RUN, "--phase", "raw", "--home", tmp_path).stdout


def test_a_run_that_was_replayed_says_which_stands_over_it(days: Days, tmp_path: Path) -> None:
    days.finish(RUN)
    again = days.service.replay(RUN, "export", Act(actor="ann", reason="x", at=days.clock.now()))
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    assert f"{again} stands over it: tipoff explain {again} --home {tmp_path}" in said
    assert re.search(r"  operator +replay +export, ann: x$", tipoff("explain", again, "--home", tmp_path).stdout, re.M)


# --- recompute --------------------------------------------------------------------------------------------


def test_every_decision_of_a_run_comes_out_as_it_was(days: Days, tmp_path: Path) -> None:
    degraded(days)
    again = tipoff("recompute", RUN, "--home", tmp_path)
    assert again.returncode == 0, again.stdout
    count = len(days.store.states.ledger(RUN))
    assert f"{count} of {count} decisions of {RUN} come out as they were" in again.stdout
    told = tipoff_json("recompute", RUN, "--home", tmp_path)
    assert (told["equal"], told["of"]) == (count, count)
    assert all(each["equal"] and each["now"] == {} for each in told["decisions"])


def test_a_decision_that_comes_out_otherwise_is_shown_and_the_exit_code_says_so(days: Days, tmp_path: Path) -> None:
    degraded(days)
    with closing(sqlite3.connect(tmp_path / wiring.STATE_FILE)) as file, file:
        changed = file.execute("UPDATE ledger SET body = replace(body, 'all of scrape is done', 'it was noon')")
        assert changed.rowcount
    again = tipoff("recompute", RUN, "--home", tmp_path)
    assert again.returncode == 1
    assert re.search(r"raw +OPEN +DIFFERS +reason is all of scrape is done, was it was noon", again.stdout)
    assert "made again by the code of today, commit " in again.stdout
    told = tipoff_json("recompute", RUN, "--home", tmp_path)
    [other] = [each for each in told["decisions"] if not each["equal"]]
    assert (other["reason"], other["now"]) == ("it was noon", {"reason": "all of scrape is done"})


@pytest.mark.parametrize(
    ("run", "told"),
    [(f"{RUN.pipeline}.2024-01-15.overnight.7", "lists those"), ("yesterday", "expected pipeline.YYYY-MM-DD")],
)
def test_recompute_of_what_is_not_there_is_refused(days: Days, tmp_path: Path, run: str, told: str) -> None:
    again = tipoff("recompute", run, "--home", tmp_path)
    assert (again.returncode, told in again.stderr) == (2, True)


# --- what helps -------------------------------------------------------------------------------------------


def helps_of(days: Days, tmp_path: Path) -> list[str]:
    said = tipoff("explain", RUN, "--home", tmp_path).stdout
    told = said.partition("What helps:\n")[2].partition("\n\n")[0].splitlines()
    typed = [line.strip() for line in told]
    assert [
        f"{each['what']}: {each['command']}" for each in tipoff_json("explain", RUN, "--home", tmp_path)["helps"]
    ] == typed
    return typed


def test_a_run_that_works_or_has_ended_well_needs_no_help(days: Days, tmp_path: Path) -> None:
    assert helps_of(days, tmp_path) == []
    degraded(days)
    assert helps_of(days, tmp_path) == []


def test_what_helps_a_run_that_waits_is_a_command_to_type(days: Days, tmp_path: Path) -> None:
    [start] = [start for start in days.hear() if start.processor == "player_boxscores"]
    days.do(start, succeed(start, status=Status.NOT_READY, reason="no box score yet", digest=""))
    said, at = "--reason TEXT", f"--home {tmp_path}"
    assert helps_of(days, tmp_path) == [
        f"another attempt now: tipoff retry {RUN} player_boxscores {said} {at}",
        f"once its source is mended: tipoff run nba --date 2024-01-15 --mode overnight --data DIR {at} --look-again",
        f"go on with what is there, degraded: tipoff force {RUN} analytics {said} {at}",
    ]
    say(days, "hold")
    assert helps_of(days, tmp_path) == [f"let it go on: tipoff release {RUN} {said} {at}"]
    say(days, "release")
    say(days, "cancel")
    assert helps_of(days, tmp_path) == [f"do it over: tipoff replay {RUN} --from raw {said} {at}"]


def test_without_an_optional_one_a_run_goes_on_by_a_skip(days: Days, tmp_path: Path) -> None:
    for name in ("raw_schedule", "player_boxscores", "team_boxscores"):
        days.do(next(start for start in days.hear() if start.processor == name))
    [start] = [start for start in days.hear() if start.processor == "team_defense_game_summary"]
    days.do(start, succeed(start, status=Status.FAILED, reason="boom", digest=""))
    assert [line.partition(":")[0] for line in helps_of(days, tmp_path)] == [
        "another attempt now",
        "go on without team_defense_game_summary",
    ]
