"""Box scores that the league corrects a day later reach results and grades, once; a look that fails harms nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from data_processors.nba.runner import Work
from shared import wiring
from shared.core.incident import open_incidents
from shared.core.model import Repair, RepairKind, RunKey, Start, Status
from shared.core.repairs import repairs
from shared.core.status import RunState
from shared.ports import Coverage, Feed
from shared.service import Refusal
from tests.flow import seasons
from tests.flow.cli import run_arguments, tipoff, tipoff_json
from tests.flow.days import ANN, Days, new_days
from tests.flow.nights import EditedFeed, Row, new_work


@dataclass
class Source:
    """A feed whose content changes while a home is open."""

    feed: Feed

    def coverage(self) -> Coverage:
        return self.feed.coverage()

    def games(self, first: date, last: date) -> list[Row]:
        return self.feed.games(first, last)

    def player_lines(self, first: date, last: date) -> list[Row]:
        return self.feed.player_lines(first, last)

    def team_lines(self, first: date, last: date) -> list[Row]:
        return self.feed.team_lines(first, last)


@pytest.fixture
def source(season: Path) -> Source:
    return Source(wiring.open_feed(season))


@pytest.fixture
def work(source: Source, night: date) -> Work:
    return new_work(source, night)


@pytest.fixture
def days(work: Work, night: date) -> Iterator[Days]:
    """A published night, and a day gone by."""
    with new_days(work, night) as days:
        days.service.start_run(RunKey("nba", night, "overnight"))
        days.finish(RunKey("nba", night, "overnight"))
        days.pass_by(hours=24)
        yield days


@pytest.fixture
def run(night: date) -> RunKey:
    return RunKey("nba", night, "overnight")


def one_assist_more(source: Source, night: date) -> None:
    first = min(str(row["game_id"]) for row in source.feed.games(night, night))
    line = next(row for row in source.feed.player_lines(night, night) if str(row["game_id"]) == first)

    def correct(row: Row) -> Row:
        same = (row["game_id"], row["player_id"]) == (line["game_id"], line["player_id"])
        return row | {"ast": int(str(row["ast"])) + 1} if same else row

    source.feed = EditedFeed(feed=source.feed, player=correct)


def assists(work: Work, night: date) -> int:
    document = json.loads(work.objects.get(f"nba/{night}/results.json") or b"")
    return sum(player["ast"] for game in document["games"] for player in game["players"])


def ordered(days: Days, run: RunKey) -> tuple[Start, ...]:
    starts = days.service.look_again(run)
    assert isinstance(starts, tuple), starts
    return starts


def test_a_correction_of_a_day_later_is_published_once(days: Days, run: RunKey, source: Source, work: Work) -> None:
    before = assists(work, run.date)
    one_assist_more(source, run.date)
    assert [start.id for start in ordered(days, run)] == [f"{run}/scrape/schedule/2", f"{run}/scrape/boxscores/2"]
    days.finish(run)
    assert assists(work, run.date) == before + 1
    assert days.orders(run, "export") == ["results/1", "status/1", "results/2", "status/2"]
    assert days.orders(run, "grading") == ["prediction_accuracy/1", "prediction_accuracy/2"]
    assert days.status(run).state is RunState.PUBLISHED
    ordered(days, run)
    days.finish(run)
    days.pass_by(hours=1)
    days.finish(run)
    assert days.orders(run, "export") == ["results/1", "status/1", "results/2", "status/2"]


def test_the_same_feed_makes_nobody_else_run(days: Days, run: RunKey) -> None:
    before = days.orders(run)
    ordered(days, run)
    days.finish(run)
    assert days.orders(run) == [*before, "schedule/2", "boxscores/2"]
    assert days.status(run).state is RunState.PUBLISHED
    assert [entry.decision for entry in days.told if entry.run == run].count("done") == 1


def test_any_number_who_ask_at_once_order_one_look(days: Days, run: RunKey) -> None:
    said: list[tuple[Start, ...] | Refusal] = []
    threads = [threading.Thread(target=lambda: said.append(days.service.look_again(run))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 4
    assert sum(len(starts) for starts in said if isinstance(starts, tuple)) == 2
    assert len([start for start in days.hear() if start.run == run]) == 2


def test_a_look_that_is_under_way_is_not_ordered_again(days: Days, run: RunKey) -> None:
    ordered(days, run)
    refused = days.service.look_again(run)
    assert refused == Refusal(
        "schedule is being looked at already, attempt 2; boxscores is being looked at already, attempt 2"
    )
    assert len([start for start in days.hear() if start.run == run]) == 2


def test_a_look_that_finds_less_keeps_what_stands(days: Days, run: RunKey, source: Source, work: Work) -> None:
    before = (work.objects.get(f"nba/{run.date}/results.json"), days.orders(run))
    first = min(str(row["game_id"]) for row in source.feed.games(run.date, run.date))
    lose = EditedFeed(feed=source.feed, player=lambda row: None if str(row["game_id"]) == first else row)
    source.feed = replace(lose, team=lambda row: None if str(row["game_id"]) == first else row)
    ordered(days, run)
    days.finish(run)
    days.pass_by(hours=1)
    assert (work.objects.get(f"nba/{run.date}/results.json"), days.orders(run)[:-2]) == before
    last = next(c for c in reversed(days.done) if c.processor == "boxscores")
    assert (last.status, last.reason) == (Status.NOT_READY, "looked again and found less; what stands is kept")
    rows = work.warehouse.query(
        "SELECT DISTINCT game_id FROM nba_scrape.boxscores WHERE game_date = @day", {"day": run.date}
    )
    assert first in [row["game_id"] for row in rows]
    status = days.status(run)
    assert (status.state, status.completeness) == (RunState.PUBLISHED, 1.0)
    assert "what stood stands" in status.phases[0].standings["boxscores"].why


def test_a_feed_that_has_lost_its_schedule_makes_no_holiday_of_a_published_night(
    days: Days, run: RunKey, source: Source
) -> None:
    source.feed = EditedFeed(feed=source.feed, game=lambda row: None)
    ordered(days, run)
    days.finish(run)
    assert days.status(run).state is RunState.PUBLISHED
    assert days.view(run).expectations["games"]


def test_a_look_that_nobody_answers_changes_nothing_and_is_ordered_again_until_it_is_told(
    days: Days, run: RunKey
) -> None:
    ordered(days, run)
    for _ in range(12):
        days.hear()
        days.pass_by(hours=1)
        assert days.status(run).state is RunState.PUBLISHED
    assert sorted(days.orders(run)[-6:]) == [f"{name}/{n}" for name in ("boxscores", "schedule") for n in (2, 3, 4)]
    assert [alert.cause for alert in open_incidents(days.view(run))] == ["unanswered"]
    assert days.store.states.load(run).due_at is None
    assert isinstance(days.service.replay(run, "", ANN), RunKey)
    assert not open_incidents(days.view(run)), "whoever replays it knows"


def test_a_look_whose_order_was_lost_is_made_good_and_what_it_finds_is_published(
    days: Days, run: RunKey, source: Source, work: Work
) -> None:
    before = assists(work, run.date)
    one_assist_more(source, run.date)
    assert days.service.look_again(run, ["boxscores"])
    days.hear().clear()  # lost
    days.pass_by(hours=1)
    days.finish(run)
    assert assists(work, run.date) == before + 1
    assert [name for name in days.orders(run, "scrape") if name.startswith("box")] == [
        "boxscores/1",
        "boxscores/2",
        "boxscores/3",
    ]
    assert [each.kind for each in kept(days, run) if each.kind is RepairKind.ATTEMPT] == [RepairKind.ATTEMPT]
    assert (days.status(run).state, days.store.states.load(run).due_at) == (RunState.PUBLISHED, None)


def test_nothing_is_made_good_of_a_run_that_a_newer_generation_does_over(days: Days, run: RunKey) -> None:
    ordered(days, run)
    days.hear().clear()  # lost
    again = days.service.replay(run, "", ANN)
    assert isinstance(again, RunKey)
    days.finish(again)
    before = days.orders(run)
    for _ in range(6):
        days.pass_by(hours=1)
    assert days.orders(run) == before
    assert not open_incidents(days.view(run))
    assert days.store.states.load(run).due_at is None


def test_after_the_time_for_corrections_a_look_is_refused(days: Days, run: RunKey) -> None:
    days.pass_by(hours=48)
    refused = days.service.look_again(run)
    assert isinstance(refused, Refusal)
    assert refused.reason.startswith("schedule may change until ")
    assert refused.reason.endswith(" UTC only; a replay takes in what came later")


def test_a_run_that_a_newer_generation_stands_over_is_refused_with_its_name(days: Days, run: RunKey) -> None:
    again = days.service.replay(run, "", ANN)
    assert isinstance(again, RunKey)
    days.finish(again)
    refused = days.service.look_again(run)
    assert refused == Refusal(f"{again} stands over {run}: what that finds would be refused; look again at {again}")
    assert len(ordered(days, again)) == 2


def test_an_unknown_run_is_refused(days: Days, run: RunKey) -> None:
    refused = days.service.look_again(replace(run, mode="same_day"))
    assert isinstance(refused, Refusal)
    assert "is not known here" in refused.reason


def kept(days: Days, run: RunKey) -> tuple[Repair, ...]:
    plan, record = days.store.states.plan(run), days.store.states.load(run)
    assert plan is not None
    return repairs(plan, record.facts, record.latches, days.store.states.ledger(run))


# --- the command ---------------------------------------------------------------------------------------


def test_the_command_publishes_a_correction_and_refuses_a_run_that_it_does_not_know(
    season: Path, night: date, tmp_path: Path
) -> None:
    folder = seasons.copy(season, tmp_path / "season")
    arguments = run_arguments(folder, night, tmp_path / "home")
    refused = tipoff(*arguments, "--look-again")
    assert refused.returncode == 2
    assert f"--look-again: run nba.{night}.overnight.1 is not known here" in refused.stderr
    assert tipoff(*arguments).returncode == 0
    path = tmp_path / "home" / "exports" / "nba" / str(night) / "results.json"
    first = json.loads(path.read_text())
    game = first["games"][0]["game_id"]
    seasons.change(folder, "player_box", lambda row: row | {"ast": "9"} if row["game_id"] == game else row)
    nobody = tipoff(*arguments, "--actor", "bob")
    assert (nobody.returncode, "--actor says who has the sources look again; add --look-again" in nobody.stderr) == (
        2,
        True,
    )
    looked = tipoff(*arguments, "--look-again", "--actor", "bob")
    assert looked.returncode == 0, looked.stderr
    second = json.loads(path.read_text())
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert {player["ast"] for player in second["games"][0]["players"]} == {9}
    explained = tipoff_json("explain", f"nba.{night}.overnight.1", "--home", tmp_path / "home")
    assert [(word["verb"], word["actor"]) for word in explained["words"]] == [("look_again", "bob")]
