"""What a home holds after a run, and what is wrong with it beside the home of a run that nobody disturbed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from shared.adapters.sqlite import Sqlite
from shared.core.model import Completion, RunKey, Status
from shared.core.plan import PlannedProcessor
from shared.wiring import EXPORTS, STATE_FILE, WAREHOUSE_FILE

KEYS = {
    "nba_scrape.schedule": "schedule_date, game_id",
    "nba_scrape.boxscores": "game_date, game_id, line, payload",
    "nba_raw.raw_schedule": "schedule_date, game_id",
    "nba_raw.player_boxscores": "game_date, game_id, player_id",
    "nba_raw.team_boxscores": "game_date, game_id, team",
    "nba_analytics.team_offense_game_summary": "game_date, game_id, team",
    "nba_analytics.team_defense_game_summary": "game_date, game_id, team",
    "nba_analytics.player_game_summary": "game_date, game_id, player_id",
    "nba_analytics.upcoming_player_game_context": "as_of, game_id, player_id",
    "nba_analytics.upcoming_team_game_context": "as_of, game_id, team",
    "nba_precompute.team_defense_zone_analysis": "as_of, team",
    "nba_precompute.player_shot_zone_analysis": "as_of, player_id",
    "nba_precompute.player_daily_cache": "as_of, player_id",
    "nba_precompute.player_composite_factors": "as_of, game_id, player_id",
    "nba_precompute.ml_feature_store": "as_of, game_id, player_id",
    "nba_predictions.predictions": "game_date, game_id, player_id, system, run",
    "nba_predictions.accuracy": "game_date, graded_run, game_id, player_id, system",
}
"""What makes a row one row, as schema.sql says of each table."""

CHANGES = ("generated_at", "commit")
"""What two equal runs may say differently in a document."""

Snapshot = dict[str, Any]


def snapshot(home: Path, run: RunKey) -> Snapshot:
    """All that must not depend on how often a run was killed. JSON-able; opens the home, which nobody may hold."""
    store = Sqlite(home / STATE_FILE, read_only=True)
    try:
        plan, record, ledger = store.states.plan(run), store.states.load(run), store.states.ledger(run)
    finally:
        store.close()
    assert plan is not None
    reported = {f.completion.processor: f.completion for f in record.facts}
    return {
        "documents": documents(home),
        "tables": tables(home),
        "done_decisions": sum(entry.decision == "done" for entry in ledger),
        "starts": [start.id for latch in record.latches if not latch.repair for start in latch.starts],
        "unsuccessful": [
            p.name
            for phase in plan.phases
            for p in phase.processors
            if p.name not in reported or not is_whole(reported[p.name], p)
        ],
        "temporaries": [str(path) for path in (home / EXPORTS).rglob("*") if path.is_file() and path.suffix != ".json"],
    }


def is_whole(completion: Completion, processor: PlannedProcessor) -> bool:
    """Success, or a skip that the plan calls as good: nothing was predicted, so nothing is graded."""
    if completion.status is Status.SKIPPED:
        return completion.reason in processor.whole_skips
    return completion.status is Status.SUCCESS


def documents(home: Path) -> dict[str, object]:
    found = {}
    for path in sorted((home / EXPORTS).rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[str(path.relative_to(home / EXPORTS))] = {
            name: value for name, value in document.items() if name not in CHANGES
        }
    return found


def tables(home: Path) -> dict[str, list[int]]:
    """Rows, distinct keys and a digest of the content without stamps, per table."""
    with duckdb.connect(str(home / WAREHOUSE_FILE), read_only=True, config={"threads": 1}) as connection:
        columns: dict[str, list[str]] = {}
        described = (
            "SELECT c.table_schema || '.' || c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE t.table_type = 'BASE TABLE' AND c.column_name NOT IN ('run', 'attempt', 'fence') ORDER BY ALL"
        )
        for table, column, kind in connection.execute(described).fetchall():
            # sums of floats differ in the last bits with the order in which threads add
            columns.setdefault(table, []).append(f"round({column}, 8)" if kind == "DOUBLE" else column)
        assert columns.keys() == KEYS.keys(), "tests/flow/snapshot.py: KEYS must name every table of schema.sql"
        counted = " UNION ALL ".join(
            f"SELECT '{table}', count(*), count(DISTINCT ({KEYS[table]})),"
            f" coalesce(sum(hash({', '.join(names)})), 0)::VARCHAR FROM {table}"
            for table, names in columns.items()
        )
        return {row[0]: [int(value) for value in row[1:]] for row in connection.execute(counted).fetchall()}


def faults(found: Snapshot, undisturbed: Snapshot) -> Iterator[str]:
    """Everything in which a home differs from one whose run was left in peace, or that no home may have."""
    for part in ("documents", "tables"):
        for name in sorted({*found[part], *undisturbed[part]}):
            if found[part].get(name) != undisturbed[part].get(name):
                yield f"{name}: {found[part].get(name)} instead of {undisturbed[part].get(name)}"
    for table, (rows, keys, _) in found["tables"].items():
        if rows != keys:
            yield f"{table}: {rows} rows, {keys} keys"
    if found["done_decisions"] != 1:
        yield f"{found['done_decisions']} done decisions"
    if twice := sorted({start for start in found["starts"] if found["starts"].count(start) > 1}):
        yield f"more than one latch: {twice}"
    if found["unsuccessful"]:
        yield f"no success: {found['unsuccessful']}"
    if found["temporaries"]:
        yield f"left in exports: {found['temporaries']}"
