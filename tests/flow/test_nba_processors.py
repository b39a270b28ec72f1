"""Do the nba processors turn the league's data into right tables, name what is missing, and never look ahead?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from data_processors.nba.runner import UnknownProcessor, bootstrap, history_before
from data_processors.nba.sample_season import write_sample_season
from shared.adapters.feed import FolderFeed
from shared.config.nba import NBA
from shared.config.nba_tables import table_of
from shared.core.model import Completion, Missing, RunKey, Status
from shared.core.plan import planned
from shared.ports import Feed, FeedError, Partition, Stamp
from tests.flow.forecasts import predict
from tests.flow.nights import NOW, EditedFeed, Night, Row, new_work

DAY = timedelta(days=1)
REAL_NIGHT = date(2024, 1, 15)
FULL_NIGHT = date(2023, 11, 8)
AS_OF_TABLES = tuple(
    table_of(phase.name, spec.name) for phase in NBA.phases for spec in phase.processors if spec.partition == "as_of"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample_season(folder, days=16)
    return folder


@pytest.fixture(scope="module")
def feed(folder: Path) -> FolderFeed:
    return FolderFeed(folder)


@pytest.fixture(scope="module")
def day(feed: FolderFeed) -> date:
    """A late date with games enough, and with games on the date after."""
    coverage = feed.coverage()
    games = Counter(str(game["game_date"]) for game in feed.games(coverage.first, coverage.last))
    days = [coverage.last - number * DAY for number in range(1, 9)]
    return next(day for day in days if games[str(day)] >= 4 and games[str(day + DAY)] >= 2)


def night(feed: Feed, day: date, mode: str = "overnight", generation: int = 1) -> Night:
    return Night(work=new_work(feed, before=day), run=RunKey("nba", day, mode, generation))


def rows(night: Night, sql: str, **parameters: object) -> list[Row]:
    return night.work.warehouse.query(sql, parameters)


# --- whole runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["overnight", "same_day", "tomorrow"])
def test_every_planned_processor_succeeds_on_whole_data(feed: FolderFeed, day: date, mode: str) -> None:
    completions = night(feed, day, mode).all()
    failures = {name: (c.status, c.reason) for name, c in completions.items() if c.status is not Status.SUCCESS}
    assert failures in ({}, {"prediction_accuracy": (Status.SKIPPED, "no_predictions")})
    assert not [name for name, c in completions.items() if c.missing]


def test_the_real_night_has_eleven_games(real_data: Path) -> None:
    real = night(FolderFeed(real_data), REAL_NIGHT)
    completions = real.all()
    assert len(completions["schedule"].found["games"]) == 11
    assert len(completions["schedule"].found["next_games"]) == 3
    for name in ("boxscores", "player_boxscores", "team_boxscores", "player_game_summary", "results"):
        assert (completions[name].status, completions[name].units_actual) == (Status.SUCCESS, 11), name
    assert completions["player_boxscores"].rows == 229
    assert completions["team_offense_game_summary"].rows == 22
    published = json.loads(real.work.objects.get("nba/2024-01-15/results.json") or b"")
    assert len(published["games"]) == 11
    assert sum(len(game["players"]) for game in published["games"]) == 229


def test_identities_hold_over_the_whole_real_season(real_data: Path) -> None:
    feed = FolderFeed(real_data)
    last = feed.coverage().last
    season = Night(work=new_work(feed, before=last + DAY), run=RunKey("nba", last, "overnight"))
    (counts,) = rows(
        season,
        """SELECT COUNT(*) AS lines, COUNTIF(pts <> pts_2pt + pts_3pt + pts_ft) AS broken
           FROM nba_analytics.player_game_summary""",
    )
    assert counts == {"lines": 26_401, "broken": 0}
    (ratings,) = rows(
        season,
        """SELECT COUNT(*) AS lines, MIN(o.offensive_rating) AS low, MAX(o.offensive_rating) AS high,
             AVG(o.offensive_rating) AS mean, COUNTIF(ABS(o.offensive_rating - d.defensive_rating) > 1e-9) AS unequal
           FROM nba_analytics.team_offense_game_summary AS o
           JOIN nba_analytics.team_defense_game_summary AS d
             ON d.game_date = o.game_date AND d.game_id = o.game_id AND d.team = o.opponent""",
    )
    assert (ratings["lines"], ratings["unequal"]) == (2_460, 0)
    assert 70 < float(str(ratings["low"])) < 113 < float(str(ratings["mean"])) < 117 < float(str(ratings["high"])) < 160
    (shares,) = rows(  # by its definition a team's usage, weighted by minutes, is 100 a fifth of the time each
        season,
        """SELECT MIN(total) AS low, MAX(total) AS high FROM (
             SELECT SUM(p.usage_rate * p.minutes) / MIN(t.minutes / 5) AS total
             FROM nba_analytics.player_game_summary AS p
             JOIN nba_analytics.team_offense_game_summary AS t
               ON t.game_date = p.game_date AND t.game_id = p.game_id AND t.team = p.team
             GROUP BY p.game_id, p.team)""",
    )
    assert float(str(shares["low"])) > 95  # a player of 0 whole minutes has none
    assert float(str(shares["high"])) <= 100 + 1e-9


# --- no look-ahead ----------------------------------------------------------------------------------


def blurred(feed: Feed, as_of: date) -> EditedFeed:
    """The same past and the same meetings on as_of; every result from as_of on, and all that comes later, differ."""

    def game(row: Row) -> Row:
        if str(row["game_date"]) < str(as_of):
            return row
        changed: Row = {"home_pts": 7, "away_pts": 3, "winner": "NOBODY", "attendance": 1, "player_rows": 2}
        if str(row["game_date"]) > str(as_of):
            changed |= {"home_team": "AAA", "away_team": "BBB", "tipoff_et": "03:00"}
        return {**row, **changed}

    def line(row: Row) -> Row:
        return row if str(row["game_date"]) < str(as_of) else {**row, "pts": 99, "minutes": 1, "team": "AAA"}

    return EditedFeed(feed=feed, game=game, player=line, team=line)


@pytest.mark.parametrize(
    ("source", "mode"),
    [
        ("sample", "overnight"),
        ("sample", "same_day"),
        ("sample", "tomorrow"),
        ("real", "overnight"),
        ("real", "same_day"),
    ],
)
def test_no_table_knows_the_future(request: pytest.FixtureRequest, mode: str, source: str) -> None:
    if source == "real":
        feed, day = FolderFeed(request.getfixturevalue("real_data")), REAL_NIGHT
    else:
        feed, day = request.getfixturevalue("feed"), request.getfixturevalue("day")
    as_of = day + DAY if mode == "overnight" else day
    seen = night(feed, day, mode).all()
    blind = night(blurred(feed, as_of), day, mode).all()
    # a run before its games also lands who meets on the date after: that is known, and blurred here
    schedules = () if mode == "overnight" else ("schedule", "raw_schedule")
    differ = {name for name, completion in seen.items() if completion.digest != blind[name].digest}
    assert differ <= set(schedules)
    assert seen["ml_feature_store"].rows


def test_the_schedule_lands_no_result_of_a_date_that_is_not_over(feed: FolderFeed, day: date) -> None:
    for mode, finals in (("overnight", {str(day)}), ("same_day", set()), ("tomorrow", set())):
        run = night(feed, day, mode)
        run.one("schedule")
        run.one("raw_schedule")
        found = rows(
            run, "SELECT game_date, game_status, home_pts, attendance, player_rows, winner FROM nba_raw.raw_schedule"
        )
        final = {str(row["game_date"]) for row in found if row["game_status"] == "final"}
        assert final - {str(day - DAY * n) for n in range(1, 60)} == finals
        later = [row for row in found if str(row["game_date"]) not in final]
        assert later
        assert all(row[name] is None for row in later for name in ("home_pts", "attendance", "player_rows", "winner"))


# --- what is missing is named -----------------------------------------------------------------------


def broken(feed: Feed, game_id: str, **changes: object) -> EditedFeed:
    """One player line of a game carries other values."""
    done: list[object] = []

    def player(row: Row) -> Row:
        if row["game_id"] != game_id or (done and done[0] != row["player_id"]):
            return row
        done.append(row["player_id"])
        return {**row, **changes}

    return EditedFeed(feed=feed, player=player)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"pts": 99}, "pts identity broken for player {player} (99 <> "),
        ({"reb": 77}, "reb identity broken for player {player} (77 <> "),
        ({"ftm": 50, "pts": None}, "unreadable number for player {player}"),
        ({"stl": "many"}, "unreadable number for player {player}"),
        ({"ast": -1}, "negative number for player {player}"),
        ({"player_id": None}, "key missing in a line of player"),
        ({"team": "ZZZ"}, "player {player} is not on a side of this game"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(value),
)
def test_a_line_that_breaks_a_rule_takes_its_game_out_and_says_why(
    feed: FolderFeed, day: date, changes: dict[str, object], why: str
) -> None:
    game_id = str(feed.games(day, day)[1]["game_id"])
    player = next(line["player_id"] for line in feed.player_lines(day, day) if line["game_id"] == game_id)
    run = night(broken(feed, game_id, **changes), day)
    completions = run.all()
    games = len(run.units["games"])
    for name in ("player_boxscores", "team_boxscores"):
        completion = completions[name]
        assert (completion.status, completion.missing) == (Status.PARTIAL, (game_id,))
        assert (completion.units_actual, completion.units_expected) == (games - 1, games)
        assert completion.reason.startswith(f"{game_id}: {why.format(player=player)}")
    assert completions["boxscores"].status is Status.SUCCESS
    published = json.loads(run.work.objects.get(f"nba/{day}/results.json") or b"")
    assert [entry["units"] for entry in published["missing"]] == [[game_id]]
    assert len(published["games"]) == games - 1


def without_player(feed: Feed, game_id: str, *, count_known: bool) -> EditedFeed:
    gone = min(str(line["player_id"]) for line in feed.player_lines(*game_dates(feed)) if line["game_id"] == game_id)
    return EditedFeed(
        feed=feed,
        player=lambda row: None if (row["game_id"], str(row["player_id"])) == (game_id, gone) else row,
        game=lambda row: row if count_known else {**row, "player_rows": None},
    )


def game_dates(feed: Feed) -> tuple[date, date]:
    coverage = feed.coverage()
    return coverage.first, coverage.last


@pytest.mark.parametrize(
    ("count_known", "why"),
    [(True, "19 player lines, the schedule says 20"), (False, "points, the final score says")],
    ids=["by the schedule's count", "by the final score"],
)
def test_a_lost_player_line_is_noticed(feed: FolderFeed, day: date, count_known: bool, why: str) -> None:
    game_id = str(feed.games(day, day)[0]["game_id"])
    run = night(without_player(feed, game_id, count_known=count_known), day)
    completion = run.all()["player_boxscores"]
    assert completion.missing == (game_id,)
    assert why in completion.reason


def unfinished(feed: Feed, game_ids: set[str]) -> EditedFeed:
    """Games that are being played: no score yet, half the lines."""
    return EditedFeed(
        feed=feed,
        game=lambda row: {**row, "home_pts": None, "away_pts": None} if row["game_id"] in game_ids else row,
        player=lambda row: None if row["game_id"] in game_ids and int(str(row["player_id"])) % 2 else row,
    )


def test_one_unfinished_game_among_fourteen_does_not_hold_the_others(real_data: Path) -> None:
    feed = FolderFeed(real_data)
    late = str(feed.games(FULL_NIGHT, FULL_NIGHT)[-1]["game_id"])
    completions = night(unfinished(feed, {late}), FULL_NIGHT).all()
    for name in ("boxscores", "player_boxscores", "player_game_summary", "results"):
        completion = completions[name]
        assert (completion.status, completion.units_actual, completion.units_expected) == (Status.PARTIAL, 13, 14)
        assert completion.missing == (late,)
    assert completions["boxscores"].reason == f"{late}: no final box score yet"


def test_before_any_game_is_over_box_scores_are_not_ready(feed: FolderFeed, day: date) -> None:
    tonight = {str(game["game_id"]) for game in feed.games(day, day)}
    run = night(unfinished(feed, tonight), day)
    run.one("schedule")
    completion = run.one("boxscores")
    assert (completion.status, completion.units_actual, completion.rows) == (Status.NOT_READY, 0, 0)
    assert completion.retry_at
    assert completion.retry_at > NOW
    assert run.one("player_boxscores").status is Status.NOT_READY


def test_a_game_that_ends_later_is_whole_on_the_next_attempt(feed: FolderFeed, day: date) -> None:
    late = str(feed.games(day, day)[0]["game_id"])
    run = night(unfinished(feed, {late}), day)
    assert run.all()["player_boxscores"].status is Status.PARTIAL
    run.work = type(run.work)(
        warehouse=run.work.warehouse, feed=feed, objects=run.work.objects, now=run.work.now, commit="abc1234"
    )
    for name in ("boxscores", "player_boxscores", "team_boxscores", "team_offense_game_summary", "player_game_summary"):
        assert run.one(name, attempt=2).status is Status.SUCCESS, name
    assert run.one("results", attempt=2).missing == ()


def test_a_date_the_feed_cannot_answer_for_is_an_error_not_a_holiday(feed: FolderFeed) -> None:
    beyond = feed.coverage().last + DAY
    run = Night(work=new_work(feed), run=RunKey("nba", beyond, "overnight"))
    with pytest.raises(FeedError, match="silence is not a holiday"):
        run.one("schedule")


def test_the_day_after_the_last_covered_date_stays_unknown(feed: FolderFeed) -> None:
    last = feed.coverage().last
    run = Night(work=new_work(feed, last), run=RunKey("nba", last, "overnight"))
    assert set(run.one("schedule").found) == {"games", "announced"}
    run.one("raw_schedule")
    prepares = ("upcoming_player_game_context", "upcoming_team_game_context")
    for name in prepares:
        spec = next(spec for phase in NBA.phases for spec in phase.processors if spec.name == name)
        completion = run.one(name)
        assert (completion.status, completion.reason) == (Status.SKIPPED, "not_covered")
        assert completion.reason in spec.whole_skips


def test_a_covered_date_without_games_is_found_empty(feed: FolderFeed) -> None:
    first, last = game_dates(feed)
    played = {str(game["game_date"]) for game in feed.games(first, last)}
    empty = next(first + n * DAY for n in range((last - first).days) if str(first + n * DAY) not in played)
    run = Night(work=new_work(feed), run=RunKey("nba", empty, "overnight"))
    completion = run.one("schedule")
    assert (completion.status, completion.found["games"]) == (Status.SUCCESS, ())


def test_the_first_date_of_a_season_has_no_history(feed: FolderFeed) -> None:
    run = night(feed, feed.coverage().first, "same_day")
    completions = run.all()
    for name in ("upcoming_player_game_context", "player_daily_cache", "ml_feature_store"):
        assert (completions[name].status, completions[name].reason) == (Status.SKIPPED, "no_history")
        assert not completions[name].missing
    assert completions["upcoming_team_game_context"].status is Status.SUCCESS


def test_where_no_team_has_played_yet_there_is_no_history(feed: FolderFeed) -> None:
    second = feed.coverage().first + DAY
    completions = night(feed, second, "same_day").all()
    context = completions["upcoming_player_game_context"]
    assert (context.status, context.reason, context.missing) == (Status.SKIPPED, "no_history", ())
    assert context.found["players"] == ()
    assert (completions["player_daily_cache"].units_expected, completions["ml_feature_store"].rows) == (0, 0)


# --- once more --------------------------------------------------------------------------------------


def test_a_start_that_comes_again_is_reported_and_not_done_again(feed: FolderFeed, day: date) -> None:
    run = night(feed, day)
    first = run.all()
    run.work = type(run.work)(
        warehouse=run.work.warehouse,
        feed=EditedFeed(feed=feed, player=lambda _: None, game=lambda _: None),
        objects=run.work.objects,
        now=run.work.now,
        commit="abc1234",
    )
    for name in ("schedule", "boxscores", "player_boxscores", "upcoming_player_game_context", "player_daily_cache"):
        again = run.one(name)
        assert (again.status, again.digest, again.rows) == (first[name].status, first[name].digest, first[name].rows)
        assert (again.found, again.units_actual) == (first[name].found, first[name].units_actual)


def test_a_second_attempt_gives_equal_content_and_no_row_twice(feed: FolderFeed, day: date) -> None:
    run = night(feed, day)
    first, second = run.all(), run.all(attempt=2)
    assert {name: (c.digest, c.rows) for name, c in first.items() if name != "status"} == {
        name: (c.digest, c.rows) for name, c in second.items() if name != "status"
    }


def test_an_older_run_does_not_replace_a_newer_one(feed: FolderFeed, day: date) -> None:
    newer = night(feed, day, generation=2)
    newer.all()
    older = Night(work=newer.work, run=RunKey("nba", day, "overnight"))
    stood = newer.work.objects.get(f"nba/{day}/results.json")
    for completion in older.all(without=("prediction_accuracy",)).values():
        assert (completion.status, completion.reason) == (Status.SKIPPED, "superseded"), completion.processor
    assert newer.work.objects.get(f"nba/{day}/results.json") == stood
    assert older.units == newer.units


# --- who may write what -----------------------------------------------------------------------------


def owners(run: Night, as_of: date) -> dict[str, set[object]]:
    """Which runs the rows of each as_of partition are from."""
    return {
        table: {row["run"] for row in rows(run, f"SELECT DISTINCT run FROM {table} WHERE as_of = @day", day=as_of)}
        for table in AS_OF_TABLES
    }


def contents(run: Night, as_of: date) -> dict[str, list[str]]:
    """The rows of each as_of partition without their stamps."""
    query = "SELECT * EXCEPT (run, attempt, fence, inputs_completeness, inputs_missing) FROM {} WHERE as_of = @day"
    return {table: sorted(str(row) for row in rows(run, query.format(table), day=as_of)) for table in AS_OF_TABLES}


@pytest.mark.parametrize(
    "order", list(permutations(("tomorrow", "overnight", "same_day"))), ids=lambda order: ", ".join(order)
)
def test_as_of_tables_belong_to_the_run_that_comes_first_in_precedence(
    feed: FolderFeed, day: date, order: tuple[str, ...]
) -> None:
    work = new_work(feed, before=day - DAY)
    precedence = ("same_day", "overnight", "tomorrow")
    for number, mode in enumerate(order, 1):
        run = Night(work=work, run=RunKey("nba", day - DAY if mode == "overnight" else day, mode))
        run.all(without=("tonight", "status"))
        best = min(order[:number], key=precedence.index)
        stands = RunKey("nba", day - DAY if best == "overnight" else day, best)
        assert owners(run, day) == {table: {str(stands)} for table in AS_OF_TABLES}


Runner = Callable[[Night, Night], None]


def one_after_the_other(first: Night, second: Night) -> None:
    for run in (first, second):
        run.all(without=("tonight", "status"))


def in_turns(first: Night, second: Night) -> None:
    names = [spec.name for phase in NBA.phases for spec in planned(phase, "same_day")]
    for name in names:
        if name not in ("predictions", "tonight", "status"):
            first.one(name)
            second.one(name)


@pytest.mark.parametrize("how", [one_after_the_other, in_turns])
@pytest.mark.parametrize("first", ["tomorrow", "same_day"])
def test_tomorrow_and_same_day_at_once_leave_what_the_same_day_alone_would(
    feed: FolderFeed, day: date, how: Runner, first: str
) -> None:
    alone = night(feed, day, "same_day")
    alone.all(without=("tonight", "status"))
    work = new_work(feed, before=day)
    runs = {mode: Night(work=work, run=RunKey("nba", day, mode)) for mode in ("tomorrow", "same_day")}
    other = "same_day" if first == "tomorrow" else "tomorrow"
    how(runs[first], runs[other])
    assert contents(runs["same_day"], day) == contents(alone, day)
    assert owners(runs["same_day"], day) == owners(alone, day)
    for mode in (first, other):
        predict(runs[mode], more=5.0 * len(mode))
    counted = rows(runs["same_day"], "SELECT DISTINCT run FROM nba_predictions.current")
    assert counted == [{"run": str(runs["same_day"].run)}]


# --- the season's edges -----------------------------------------------------------------------------


def is_whole(completion: Completion) -> bool:
    return not completion.missing and (
        completion.status is Status.SUCCESS or (completion.status, completion.reason) == (Status.SKIPPED, "no_history")
    )


@pytest.mark.parametrize(
    ("mode", "day", "games", "players"),
    [
        ("same_day", date(2024, 1, 16), 3, 88),
        ("tomorrow", date(2024, 1, 17), 9, 245),
        ("same_day", date(2023, 10, 24), 2, 0),
        ("tomorrow", date(2023, 10, 24), 2, 0),
        ("same_day", date(2023, 10, 25), 12, 0),
        ("tomorrow", date(2023, 10, 25), 12, 0),
        ("same_day", date(2023, 10, 26), 2, 22),
        ("tomorrow", date(2023, 10, 26), 2, 22),
    ],
    ids=[
        "the middle of the season",
        "tomorrow in the middle of the season",
        "the first date",
        "tomorrow for the first date",
        "the second date, of teams that have not played",
        "tomorrow before the first game was played",
        "the third date, one game of which has history",
        "tomorrow on the second evening",
    ],
)
def test_runs_ahead_are_whole_wherever_the_season_stands(
    real_data: Path, mode: str, day: date, games: int, players: int
) -> None:
    feed, key = FolderFeed(real_data), RunKey("nba", day, mode)
    run = Night(work=new_work(feed, before=history_before(key, NBA)), run=key)
    completions = run.all()
    assert not [name for name, completion in completions.items() if not is_whole(completion)]
    assert (len(run.units["games"]), len(run.units["players"])) == (games, players)
    assert completions["ml_feature_store"].rows == players
    context = completions["upcoming_player_game_context"]
    if not players:
        assert (context.status, context.reason) == (Status.SKIPPED, "no_history")
    (known,) = rows(run, "SELECT MAX(game_date) AS last FROM nba_raw.team_boxscores")
    assert known["last"] is None or str(known["last"]) < str(history_before(key, NBA))


def test_a_game_without_history_is_named_and_not_missing(real_data: Path) -> None:
    context = night(FolderFeed(real_data), date(2023, 10, 26), "same_day").all()["upcoming_player_game_context"]
    assert (context.status, context.missing) == (Status.SUCCESS, ())
    assert (context.units_actual, context.units_expected) == (2, 2)
    assert context.reason == "0022300075: no history"  # Milwaukee and Philadelphia


def test_a_break_in_the_season_is_found_empty_and_whole(real_data: Path) -> None:
    work = new_work(FolderFeed(real_data), before=date(2024, 2, 16))
    for number in range(16, 22):
        run = Night(work=work, run=RunKey("nba", date(2024, 2, number), "same_day"))
        completions = run.all(without=("tonight",))
        assert completions["schedule"].found["games"] == ()
        assert not [name for name, completion in completions.items() if not is_whole(completion)]


# --- optional inputs, grading, export ---------------------------------------------------------------


def test_a_missing_optional_input_leaves_its_features_null_and_counted(feed: FolderFeed, day: date) -> None:
    whole, reduced = night(feed, day), night(feed, day)
    whole.all()
    completions = reduced.all(without=("team_defense_zone_analysis", "player_shot_zone_analysis"))
    assert completions["ml_feature_store"].status is Status.SUCCESS
    query = """SELECT COUNTIF(matchup_factor IS NULL) AS lacking, COUNT(*) AS players, MIN(features_present) AS low,
      MAX(features_present) AS high, MIN(features_total) AS total FROM nba_precompute.ml_feature_store"""
    (with_all,), (without,) = rows(whole, query), rows(reduced, query)
    assert (with_all["high"], with_all["total"]) == (16, 16)
    assert int(str(with_all["lacking"])) <= 3  # who has not scored yet has no shares
    assert without["lacking"] == without["players"]
    assert without["high"] == 14  # matchup_factor and share_pts_3pt


def test_grading_takes_the_run_that_counts_and_names_it(feed: FolderFeed, day: date) -> None:
    early, late = night(feed, day, "tomorrow"), RunKey("nba", day, "same_day")
    early.all(without=("tonight",))
    predict(early, more=9)
    expected = predict(Night(work=early.work, run=late), more=1.5)
    run = Night(work=early.work, run=RunKey("nba", day, "overnight"))
    completion = run.all()["prediction_accuracy"]
    assert (completion.status, completion.reason) == (Status.SUCCESS, f"grades {late}")
    graded = rows(
        run,
        """SELECT a.graded_run, a.player_id, p.pts = a.actual AND ABS(a.value - p.pts - a.error) < 1e-6 AS right_error
           FROM nba_predictions.accuracy AS a
           JOIN nba_analytics.player_game_summary AS p ON p.game_id = a.game_id AND p.player_id = a.player_id""",
    )
    assert len(graded) == completion.rows
    assert {(row["graded_run"], row["right_error"]) for row in graded} == {(str(late), True)}
    assert {row["player_id"] for row in graded} <= set(expected.units)


def test_the_export_carries_its_labels_and_is_the_same_but_for_the_time(feed: FolderFeed, day: date) -> None:
    documents = []
    for _ in range(2):
        run = night(feed, day)
        run.all()
        run.one("results", completeness=0.9, missing=(Missing(processor="team_defense_game_summary", why="failed"),))
        documents.append(run.work.objects.get(f"nba/{day}/results.json"))
    assert documents[0] == documents[1]
    published = json.loads(documents[0] or b"")
    assert published["synthetic"] is True
    missing = [entry["processor"] for entry in published["missing"]]
    assert (published["completeness"], missing) == (0.9, ["team_defense_game_summary"])
    assert (published["commit"], published["config_hash"]) == ("abc1234", "0123456789ab")
    assert published["generated_at"] == NOW.isoformat()
    status = json.loads(run.work.objects.get(f"nba/{day}/status.json") or b"")
    counts = {table["table_name"]: table["row_count"] for table in status["tables"]}
    assert counts["nba_raw.player_boxscores"] == sum(len(game["players"]) for game in published["games"])
    assert len(counts) == 17


def test_results_with_games_are_not_replaced_by_results_without(feed: FolderFeed, day: date) -> None:
    run = night(feed, day)
    run.all()
    stood = run.work.objects.get(f"nba/{day}/results.json")
    run.work.warehouse.load(
        Partition(table="nba_analytics.player_game_summary", column="game_date", first=day, last=day),
        [],
        Stamp(run="a mistake", attempt=1, fence=10**12),
    )
    completion = run.one("results", attempt=2)
    assert completion.status is Status.FAILED
    assert "keeps its" in completion.reason
    assert run.work.objects.get(f"nba/{day}/results.json") == stood


def test_an_unknown_processor_is_refused_by_name(feed: FolderFeed, day: date) -> None:
    with pytest.raises(UnknownProcessor, match="predictions: no processor of nba"):
        Night(work=new_work(feed), run=RunKey("nba", day, "same_day")).one("predictions")


# --- history ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "before"), [("overnight", REAL_NIGHT), ("same_day", REAL_NIGHT), ("tomorrow", REAL_NIGHT - DAY)]
)
def test_history_ends_before_the_day_on_which_the_run_starts(mode: str, before: date) -> None:
    assert history_before(RunKey("nba", REAL_NIGHT, mode), NBA) == before


def test_history_is_loaded_once_and_strictly_before_the_date(feed: FolderFeed, day: date) -> None:
    work = new_work(feed)
    said: list[str] = []
    loaded = bootstrap(work, day, said.append)
    assert loaded == len({game["game_date"] for game in feed.games(feed.coverage().first, day - DAY)})
    assert len(said) == 1
    (last,) = work.warehouse.query("SELECT MAX(game_date) AS day FROM nba_scrape.boxscores", {})
    assert str(last["day"]) < str(day)
    assert bootstrap(work, day, said.append) == 0
    assert len(said) == 1


def test_a_history_that_was_killed_is_finished_and_leaves_runs_alone(feed: FolderFeed, day: date) -> None:
    work = new_work(feed)
    mine = next(
        day - n * DAY for n in range(3, 10) if all(feed.games(day - m * DAY, day - m * DAY) for m in (n - 1, n, n + 1))
    )
    run = Night(work=work, run=RunKey("nba", mine, "overnight"))
    for name in ("schedule", "boxscores", "raw_schedule", "player_boxscores", "team_boxscores"):
        run.one(name)  # its summaries never came
    bootstrap(work, mine, lambda _: None)
    bootstrap(work, day, lambda _: None)
    owners = work.warehouse.query(
        "SELECT DISTINCT run FROM nba_raw.player_boxscores WHERE game_date = @day ORDER BY run", {"day": mine}
    )
    assert owners == [{"run": str(run.run)}]
    straight = new_work(feed, before=day)
    query = "SELECT COUNT(*) AS lines, SUM(pts) AS pts FROM nba_analytics.player_game_summary"
    assert work.warehouse.query(query, {}) == straight.warehouse.query(query, {})
