"""A run is replayed: a new generation from one phase on, through the same gates; the old one stays as it is."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from shared import wiring
from shared.core.codec import encode
from shared.core.model import Completion, RunKey, Status
from shared.core.status import RunState
from shared.service import Refusal
from tests.flow import seasons
from tests.flow.cli import run_arguments, tipoff, tipoff_json
from tests.flow.days import ANN, Days, new_days
from tests.flow.nights import new_work


@pytest.fixture
def days(season: Path, night: date) -> Iterator[Days]:
    with new_days(new_work(wiring.open_feed(season), night), night) as days:
        yield days


def published(days: Days, night: date) -> RunKey:
    run = RunKey("nba", night, "overnight")
    days.service.start_run(run, {"data": "a season", "synthetic": "yes"})
    days.finish(run)
    assert days.status(run).state is RunState.PUBLISHED
    return run


def replayed(days: Days, run: RunKey, phase: str = "precompute") -> RunKey:
    again = days.service.replay(run, phase, ANN)
    assert isinstance(again, RunKey)
    return again


def everything(days: Days, run: RunKey) -> tuple[bytes, ...]:
    """All that is stored of a run."""
    states = days.store.states
    record, plan = states.load(run), states.plan(run)
    return tuple(map(encode, (plan, *record.facts, *record.latches, *states.ledger(run))))


def test_a_replay_does_its_phases_over_and_changes_nothing_of_the_original(days: Days, night: date) -> None:
    run = published(days, night)
    before = everything(days, run)
    first = {completion.processor: completion for completion in days.done}
    again = replayed(days, run)
    assert again == RunKey("nba", night, "overnight", 2)
    days.finish(again)
    assert days.status(again).state is RunState.PUBLISHED
    assert everything(days, run) == before
    second = {completion.processor: completion for completion in days.done if completion.run == again}
    assert {completion.phase for completion in second.values()} == {"precompute", "grading", "export"}
    for name, completion in second.items():
        assert completion.status is first[name].status, completion
        if completion.phase == "precompute":
            assert (completion.digest, completion.rows) == (first[name].digest, first[name].rows)


def test_what_a_replay_was_given_to_do_is_what_the_original_had_found(days: Days, night: date) -> None:
    run = published(days, night)
    again = replayed(days, run, "export")
    assert days.view(again).outcomes["export"].expectations == days.view(run).outcomes["export"].expectations
    (results,) = [start for start in days.hear() if start.processor == "results"]
    assert results.units
    assert results.units == days.view(run).expectations["games"]


def test_a_replay_says_who_and_why_and_what_it_is_a_replay_of(days: Days, night: date) -> None:
    run = published(days, night)
    again = replayed(days, run)
    assert days.status(again).labels == {
        "data": "a season",
        "synthetic": "yes",
        "replays": str(run),
        "from": "precompute",
        "reason": "bad zones",
        "actor": "ann",
    }
    assert days.decisions(again, "precompute") == [f"open: replays {run} from precompute: bad zones"]


def test_what_the_original_lacked_is_still_lacking_and_named(days: Days, night: date) -> None:
    run = RunKey("nba", night, "overnight")
    real = days.act

    def without_defense(start: object) -> Completion:
        done = real(start)  # type: ignore[arg-type]
        if done.processor != "team_defense_game_summary":
            return done
        return Completion(
            run=done.run, phase=done.phase, processor=done.processor, attempt=1, report=1,
            status=Status.SKIPPED, reason="broken",
        )  # fmt: skip

    days.act = without_defense
    days.service.start_run(run)
    days.finish(run)
    again = replayed(days, run, "grading")
    days.finish(again)
    first, second = days.status(run), days.status(again)
    assert second.state is first.state is RunState.DEGRADED
    assert second.missing == first.missing == ("team_defense_game_summary",)
    assert second.completeness == first.completeness < 1


def test_an_original_that_still_runs_gives_way_and_ends_well(days: Days, night: date) -> None:
    run = RunKey("nba", night, "overnight")
    days.service.start_run(run)
    days.finish(run, up_to="precompute")
    overtaken = list(days.hear())
    again = replayed(days, run)
    days.finish(again)
    assert days.status(again).state is RunState.PUBLISHED
    documents = {c.processor: c.digest for c in days.done if c.run == again}
    assert overtaken
    days.finish(run)
    late = [c for c in days.done if c.run == run and c.phase in ("precompute", "export")]
    assert {(c.status, c.reason) for c in late} == {(Status.SKIPPED, "superseded")}
    assert {c.processor: c.digest for c in late} == {c.processor: documents[c.processor] for c in late}
    assert days.status(run).state is RunState.PUBLISHED


def test_a_replay_can_be_replayed_from_what_it_has_planned(days: Days, night: date) -> None:
    again = replayed(days, published(days, night))
    days.finish(again)
    third = replayed(days, again, "")
    days.finish(third)
    assert third.generation == 3
    assert days.status(third).state is RunState.PUBLISHED
    refused = days.service.replay(again, "raw", ANN)
    assert refused == Refusal(f"--from 'raw' is not planned in {again}; planned: precompute, grading, export")


def test_two_replays_at_once_are_two_generations(days: Days, night: date) -> None:
    run = published(days, night)
    begun: list[RunKey | Refusal] = []
    threads = [threading.Thread(target=lambda: begun.append(days.service.replay(run, "export", ANN))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, begun)) == [str(RunKey("nba", night, "overnight", n)) for n in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("name", "phase", "said"),
    [
        ("nba.{night}.overnight.7", "", "is not known here; `tipoff status nba --date"),
        ("nba.{night}.overnight.1", "zones", "--from 'zones' is not planned in"),
        ("nba.{night}.overnight.1", "export", "has never opened it; replay it from one that it opened: scrape"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_and_nothing_begins(
    days: Days, night: date, name: str, phase: str, said: str
) -> None:
    days.service.start_run(RunKey("nba", night, "overnight"))
    refused = days.service.replay(RunKey.parse(name.format(night=night)), phase, ANN)
    assert isinstance(refused, Refusal)
    assert said in refused.reason
    assert len(days.store.states.runs("nba", night, night)) == 1


def test_the_documents_of_a_replay_carry_its_generation(season: Path, night: date) -> None:
    work = new_work(wiring.open_feed(season), night)
    with new_days(work, night) as days:
        again = replayed(days, published(days, night))
        days.finish(again)
        document = json.loads(work.objects.get(f"nba/{night}/results.json") or b"")
    assert document["run"] == str(again)
    assert document["games"]


# --- the command ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with one published night, and the folder that its data were in."""
    folder = seasons.copy(season, tmp_path_factory.mktemp("data") / "season")
    home = tmp_path_factory.mktemp("replayed")
    ended = tipoff(*run_arguments(folder, night, home))
    assert ended.returncode == 0, ended.stderr
    return home, folder


def test_the_command_replays_with_the_data_that_the_run_had_and_says_so(home: tuple[Path, Path], night: date) -> None:
    name = f"nba.{night}.overnight.1"
    said = ("--reason", "zones [corrected]", "--actor", "bob")
    ended = tipoff("replay", name, "--from", "precompute", *said, "--home", home[0])
    assert ended.returncode == 0, ended.stderr
    assert f"nba.{night}.overnight.2 replays {name}" in ended.stdout
    (first, second) = tipoff_json("status", "nba", "--date", night, "--home", home[0])["runs"]
    assert (first["run"], first["state"], "replays" in first["labels"]) == (name, "published", False)
    assert [second["labels"][label] for label in ("replays", "reason", "actor")] == [name, "zones [corrected]", "bob"]
    assert [phase["phase"] for phase in second["phases"]] == ["precompute", "grading", "export"]
    explained = tipoff("explain", second["run"], "--home", home[0]).stdout
    assert f"(replays {name} from precompute, bob: zones [corrected])" in explained
    assert re.search(rf"OPEN +replays {name} from precompute: zones \[corrected\]", explained)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nba.{night}.overnight.1", "--reason", " "), "--reason is empty; say"),
        (("nba.{night}.overnight.1", "--reason", "x", "--actor", " "), "says nothing; say why, or who"),
        (("nba.{night}.overnight.1", "--reason", "x", "--from", "zones"), "planned: scrape, raw, analytics"),
        (("nba.{night}.overnight.9", "--reason", "x"), "`tipoff status nba --date {night}` lists those"),
        (("nba.{night}.overnight", "--reason", "x"), "expected pipeline.YYYY-MM-DD.mode.generation"),
    ],
)
def test_the_command_refuses_what_cannot_be_replayed(
    home: tuple[Path, Path], night: date, arguments: tuple[str, ...], said: str
) -> None:
    before = len(tipoff_json("status", "nba", "--date", night, "--home", home[0])["runs"])
    refused = tipoff("replay", *(text.format(night=night) for text in arguments), "--home", home[0])
    assert refused.returncode == 2
    assert said.format(night=night) in refused.stderr
    assert len(tipoff_json("status", "nba", "--date", night, "--home", home[0])["runs"]) == before


def test_data_that_are_gone_are_asked_for_by_name(home: tuple[Path, Path], season: Path, night: date) -> None:
    replay = ("replay", f"nba.{night}.overnight.1", "--from", "export", "--reason", "x", "--home", home[0])
    shutil.move(home[1], home[1].parent / "elsewhere")
    try:
        refused = tipoff(*replay)
        assert refused.returncode == 2
        assert f"{home[1]}, where nba.{night}.overnight.1 had its data, is gone" in refused.stderr
        assert "--data" in refused.stderr
        assert tipoff(*replay, "--data", season).returncode == 0
    finally:
        shutil.move(home[1].parent / "elsewhere", home[1])
