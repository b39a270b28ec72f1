"""The documents that a run publishes: results.json and status.json of a date, labelled with what they are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.core.model import Start
from shared.ports import ObjectStore

LABELS = ("run", "attempt", "fence", "generated_at", "commit")
"""What says who made a document and when; the rest is its content."""

GAME = ("game_id", "home", "away", "home_pts", "away_pts")
"""The columns of results.sql that belong to the game; the others belong to the player."""

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What stands under the name after the export."""

    rows: int
    digest: str
    superseded: bool = False  # a newer fence was there and nothing was written
    refused: str = ""  # why nothing was written


def object_name(day: date, document: str) -> str:
    return f"nba/{day}/{document}.json"


def results_content(rows: Rows) -> dict[str, object]:
    """Rows of results.sql, which are ordered by game, as one entry per game with its players."""
    games: dict[object, dict[str, object]] = {}
    players: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        game_id = row["game_id"]
        games.setdefault(game_id, {name: row[name] for name in GAME})
        players.setdefault(game_id, []).append({name: value for name, value in row.items() if name not in GAME})
    return {"games": [{**game, "players": players[game_id]} for game_id, game in games.items()]}


def status_content(rows: Rows) -> dict[str, object]:
    """Rows of status.sql as one entry per table."""
    tables = [{**row, "partition_date": str(row["partition_date"])} for row in rows]
    return {"tables": tables}


def game_ids(document: Mapping[str, object]) -> tuple[str, ...]:
    """The games a document holds, sorted."""
    return tuple(sorted(str(game.get("game_id")) for game in _entries(document, "games")))


def publish(objects: ObjectStore, name: str, document: Mapping[str, object], start: Start) -> Published:
    """Put the document under its name, unless a newer fence stands there or it would empty what has games.

    Idempotent. Object stores cannot compare and set: of two writers in the same instant the later one stands, and its
    fence says so.
    """
    standing = _read(objects, name)
    fence = standing.get("fence")
    if isinstance(fence, int) and fence > start.fence:
        return Published(rows=_rows(standing), digest=_digest(standing), superseded=True)
    if "games" in document and not game_ids(document) and (start.units or game_ids(standing)):
        kept = f"; {name} keeps its {len(game_ids(standing))} games" if game_ids(standing) else ""
        return Published(rows=0, digest="", refused=f"no game to publish{kept}")
    objects.put(name, json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode())
    return Published(rows=_rows(document), digest=_digest(document))


def _read(objects: ObjectStore, name: str) -> Mapping[str, object]:
    """What stands there; an object that is not a document of ours counts as none, so that it can be replaced."""
    try:
        document = json.loads(objects.get(name) or b"{}")
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
