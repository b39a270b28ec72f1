"""The documents that a run publishes of a date: results, tonight and status, labelled with what they are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.config.nba_dates import as_of_date
from shared.core.model import RunKey, Start
from shared.ports import ObjectStore

WITHDRAWN = "withdrawn"
"""Of a document that announces: the games that stood in it before and are not on the schedule any more."""

LABELS = ("run", "attempt", "fence", "generated_at", "commit")
"""What says who made a document and when; the rest is its content."""

RESULT = ("game_id", "home", "away", "home_pts", "away_pts")
"""The columns of results.sql that belong to the game; the others belong to the player."""

GRADE = ("predicted", "low", "high", "error")
"""The columns of results.sql that only a player has who was predicted."""

MEETING = ("game_id", "home", "away", "tipoff_et")
"""The columns of tonight.sql that belong to the game."""

PREDICTION = ("value", "low", "high")
"""The columns of tonight.sql that belong to one system's prediction; the others belong to the player."""

GRADED = ("players", "mean_absolute_error", "inside_share")
"""The columns of results.grades.sql that say how good a system was."""

PUBLISH_TRIES = 8  # of one document; each is lost only to another run's document that came in between

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What stands under the name after the export."""

    rows: int
    digest: str
    superseded: bool = False  # a newer fence was there and nothing was written
    refused: str = ""  # why nothing was written
    games: tuple[str, ...] | None = None  # that a document found again holds; None where it is of something else


def object_name(day: date, document: str) -> str:
    return f"nba/{day}/{document}.json"


def results_content(players: Rows, grades: Rows) -> dict[str, object]:
    """Rows of results.sql, ordered by game, as one entry per game with its players; how well they were predicted."""
    return {"games": _by_game(players, RESULT, _results), "grades": _grades(grades)}


def tonight_content(rows: Rows) -> dict[str, object]:
    """Rows of tonight.sql, ordered by game and player, as one entry per game with what its players are expected to do.

    A game of which nobody can be predicted stands with no players. What is withdrawn is known when it is published.
    """
    return {"games": _by_game(rows, MEETING, _predicted), WITHDRAWN: []}


def status_content(rows: Rows) -> dict[str, object]:
    """Rows of status.sql as one entry per table."""
    tables = [{**row, "partition_date": str(row["partition_date"])} for row in rows]
    return {"tables": tables}


def _by_game(
    rows: Rows, columns: Sequence[str], players_of: Callable[[Rows], list[dict[str, object]]]
) -> list[dict[str, object]]:
    """One entry per game, in the order of the rows, with its players."""
    games: dict[object, list[Mapping[str, object]]] = {}
    for row in rows:
        games.setdefault(row["game_id"], []).append(row)
    return [{**{name: of[0][name] for name in columns}, "players": players_of(of)} for of in games.values()]


def _results(rows: Rows) -> list[dict[str, object]]:
    return [_result(row) for row in rows]


def _result(row: Mapping[str, object]) -> dict[str, object]:
    player = {name: value for name, value in row.items() if name not in (*RESULT, *GRADE)}
    if row["predicted"] is None:
        return player
    return {
        **player,
        "predicted": {"value": row["predicted"], "low": row["low"], "high": row["high"]},
        "error": row["error"],
    }


def _grades(rows: Rows) -> dict[str, object]:
    """Rows of results.grades.sql as one entry per system; empty where nothing was graded."""
    return {
        "graded_runs": sorted({str(run) for row in rows for run in str(row["graded_runs"]).split(",")}),
        "systems": {str(row["system"]): {name: row[name] for name in GRADED} for row in rows},
    }


def _predicted(rows: Rows) -> list[dict[str, object]]:
    players: dict[object, dict[str, object]] = {}
    systems: dict[object, dict[str, object]] = {}
    for row in rows:
        if row["player_id"] is None:
            continue
        own = {name: value for name, value in row.items() if name not in (*MEETING, *PREDICTION, "system")}
        players.setdefault(row["player_id"], own)
        systems.setdefault(row["player_id"], {})[str(row["system"])] = {name: row[name] for name in PREDICTION}
    return [{**own, "predictions": systems[player_id]} for player_id, own in players.items()]


def game_ids(document: Mapping[str, object]) -> tuple[str, ...]:
    """The games a document holds, sorted."""
    return tuple(sorted(str(game.get("game_id")) for game in _entries(document, "games")))


def only(content: dict[str, object], units: Sequence[str] | None) -> dict[str, object]:
    """The content without games that nobody wants in it: whatever stands there of them, a gate has left them out."""
    if units is None:
        return content
    return {**content, "games": [game for game in _entries(content, "games") if game.get("game_id") in units]}


def without(content: dict[str, object], players: Collection[str]) -> dict[str, object]:
    """The content without these players; their games stay in it."""
    if not players or "games" not in content:
        return content
    kept = [
        {**game, "players": [player for player in _entries(game, "players") if player.get("player_id") not in players]}
        for game in _entries(content, "games")
    ]
    return {**content, "games": kept}


def announced(objects: ObjectStore, run: RunKey) -> tuple[str, ...]:
    """The games that tonight holds, whoever published it: a run before them may have to take them back."""
    return game_ids(_parsed(objects.get(object_name(run.date, "tonight")))) if as_of_date(run) == run.date else ()


def published_by(objects: ObjectStore, name: str, start: Start) -> Published | None:
    """What exactly this start has published under a name; None where another, or nothing, stands there."""
    standing = _parsed(objects.get(name))
    stamp = (standing.get("run"), standing.get("attempt"), standing.get("fence"))
    if stamp != (str(start.run), start.attempt, start.fence):
        return None
    games = game_ids(standing) if "games" in standing else None
    return Published(rows=_rows(standing), digest=_digest(standing), games=games)


def publish(objects: ObjectStore, name: str, document: Mapping[str, object], start: Start) -> Published:
    """Put the document under its name, unless a newer fence stands there or it would empty what is full.

    One that announces may be empty if its run knows that there is nothing, and says what it withdraws. Idempotent.
    It replaces what it was compared with or nothing: overtaken by another writer, it is compared again.
    """
    for _ in range(PUBLISH_TRIES):
        found = objects.get(name)
        standing = _parsed(found)
        fence = standing.get("fence")
        if isinstance(fence, int) and fence > start.fence:
            return Published(rows=_rows(standing), digest=_digest(standing), superseded=True)
        ready = {**document, WITHDRAWN: _withdrawn(document, standing)} if WITHDRAWN in document else document
        if refused := _emptied(name, ready, standing, start.units):
            return Published(rows=0, digest="", refused=refused)
        body = json.dumps(ready, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()
        if objects.put_over(name, body, found):
            return Published(rows=_rows(ready), digest=_digest(ready))
    raise OSError(f"{name}: replaced by others {PUBLISH_TRIES} times while it was compared; publish it again")


def _withdrawn(document: Mapping[str, object], standing: Mapping[str, object]) -> list[str]:
    """The same however often it is published: what stands there withdrawn stays so until it is back."""
    before = standing.get(WITHDRAWN)
    gone = {*game_ids(standing), *(map(str, before) if isinstance(before, list) else ())}
    return sorted(gone.difference(game_ids(document)))


def _emptied(
    name: str, document: Mapping[str, object], standing: Mapping[str, object], units: Sequence[str] | None
) -> str:
    """Why a document would be an empty one in the place of one that is not; nothing, where it would not."""
    called_off = WITHDRAWN in document and units is not None and not units
    if "games" not in document or called_off:
        return ""
    games, before = game_ids(document), game_ids(standing)
    if not games and (units or before):
        return "no game to publish" + (_keeps(name, f"{len(before)} games") if before else "")
    # of a game that is not played any more nobody is expected: its players may go with it
    kept = [game for game in _entries(standing, "games") if game.get("game_id") in games]
    if _rows({"games": kept}) and not _rows(document):
        return "no player to publish" + _keeps(name, f"{_rows(standing)} players")
    return ""


def _keeps(name: str, what: str) -> str:
    return f"; {name} keeps its {what}: remove it first if it is to be replaced all the same"


def _parsed(found: bytes | None) -> Mapping[str, object]:
    """What stands there; an object that is not a document of ours counts as none, so that it can be replaced."""
    try:
        document = json.loads(found or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _entries(document: Mapping[str, object], key: str) -> list[dict[str, object]]:
    entries = document.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _rows(document: Mapping[str, object]) -> int:
    return sum(len(_entries(game, "players")) for game in _entries(document, "games")) + len(
        _entries(document, "tables")
    )


def _digest(document: Mapping[str, object]) -> str:
    content = {name: value for name, value in document.items() if name not in LABELS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
