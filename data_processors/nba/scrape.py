"""What the scrapers land: rows of the feed as they came, without what was not known on the run's morning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

from shared.config.nba_dates import DAY, as_of_date
from shared.core.model import RunKey
from shared.ports import Feed, FeedError

RESULT_COLUMNS = ("home_pts", "away_pts", "winner", "attendance", "player_rows")
"""What the schedule must not say of a game before it is played."""

Row = Mapping[str, object]


def schedule_rows(feed: Feed, run: RunKey) -> Sequence[Row]:
    """The games of the run's date and of the day after; results only of dates that are over.

    FeedError for a date the feed cannot answer for: silence is not a holiday.
    """
    coverage = feed.coverage()
    if not coverage.first <= run.date <= coverage.last:
        raise FeedError(
            f"{coverage.source}: {run.date} is outside {coverage.first}..{coverage.last}; silence is not a holiday: "
            "choose a date inside, or data that covers it"
        )
    games = feed.games(run.date, min(run.date + DAY, coverage.last))
    over = as_of_date(run) - DAY
    return [_schedule_row(game, run.date, with_result=game_date(game) <= over) for game in games]


def boxscore_rows(feed: Feed, run: RunKey) -> Sequence[Row]:
    return lines_between(feed, run.date, run.date)


def history_schedule_rows(feed: Feed, first: date, last: date) -> Sequence[Row]:
    """Each date's own games as the overnight run of that date would have seen them."""
    return [_schedule_row(game, game_date(game), with_result=True) for game in feed.games(first, last)]


def lines_between(feed: Feed, first: date, last: date) -> Sequence[Row]:
    """Every line of the games that are over, and the game itself beside them: score and number of lines."""
    final = {str(game["game_id"]): game for game in feed.games(first, last) if is_final(game)}
    lines = [("player", row) for row in feed.player_lines(first, last)]
    lines += [("team", row) for row in feed.team_lines(first, last)]
    landed = [(kind, row) for kind, row in lines if str(row["game_id"]) in final]
    landed += [("game", final[game_id]) for game_id in sorted({str(row["game_id"]) for _, row in landed})]
    return [
        {"game_date": game_date(row), "game_id": str(row["game_id"]), "line": kind, "payload": _payload(row)}
        for kind, row in landed
    ]


def game_date(row: Row) -> date:
    return date.fromisoformat(str(row["game_date"]))


def is_final(game: Row) -> bool:
    return game.get("home_pts") is not None and game.get("away_pts") is not None


def _schedule_row(game: Row, schedule_date: date, *, with_result: bool) -> Row:
    seen = game if with_result else {name: value for name, value in game.items() if name not in RESULT_COLUMNS}
    return {
        "schedule_date": schedule_date,
        "game_id": str(game["game_id"]),
        "game_date": game_date(game),
        "payload": _payload(seen),
    }


def _payload(row: Row) -> str:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
