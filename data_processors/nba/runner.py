"""Runs one processor of the nba pipeline: gathers its rows, replaces exactly its own partition, reports the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files

from data_processors.nba import exports, scrape
from data_processors.nba.reasons import by_why, listed
from shared.config.nba_dates import DAY, as_of_date, season_first
from shared.config.nba_tables import UNIT_COLUMNS, table_of
from shared.core.codec import to_data
from shared.core.model import Completion, Missing, PipelineSpec, ProcessorSpec, RunKey, Start, Status
from shared.ports import Feed, ObjectStore, Partition, Stamp, Warehouse, Written

NO_HISTORY = "no history"
"""Why a unit cannot be there yet: then its absence is whole."""

BOOTSTRAP = Stamp(run="bootstrap", attempt=0, fence=0)
"""Stamp of history: any run outranks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that a processor touches."""

    warehouse: Warehouse
    feed: Feed
    objects: ObjectStore
    now: Callable[[], datetime]
    commit: str


class UnknownProcessor(LookupError):
    """No work is registered under this name; add it to REGISTRY in data_processors/nba/runner.py."""


# --- how each processor does its work ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Rows of the feed, landed as they came."""

    rows: Callable[[Feed, RunKey], Sequence[scrape.Row]]
    history: Callable[[Feed, date, date], Sequence[scrape.Row]]
    found: str = ""  # a query of what it found: expectation, unit
    why: str = ""
    absent: str = "no final box score yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One SQL file, named as the processor."""

    found: str = ""
    why: str = ""  # a query of why a unit is missing: unit, why
    absent: str = "not in its input"  # what to say where that query does not know
    empty: str = "no_input"  # why it is skipped when there is nothing and nobody knows what to expect
    names: str = ""  # a column whose values its report tells, where it has no units
    says: str = ""  # the word before them


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One document, made of what its SQL files answer."""

    content: Callable[..., dict[str, object]]  # of the rows of each query, in their order
    queries: tuple[str, ...]
    per_unit: bool = (
        False  # of the games that its start names and no other; one that announces takes back by leaving out
    )
    players_of: str = ""  # the processor whose missing units are players that must not stand in it


Table = Scrape | Select

REGISTRY: Mapping[str, Table | Export] = {
    "schedule": Scrape(rows=scrape.schedule_rows, history=scrape.history_schedule_rows, found="schedule.found.sql"),
    "boxscores": Scrape(rows=scrape.boxscore_rows, history=scrape.lines_between),
    "raw_schedule": Select(),
    "player_boxscores": Select(why="boxscores.why.sql", absent="no box score yet"),
    "team_boxscores": Select(why="boxscores.why.sql", absent="no box score yet"),
    "team_offense_game_summary": Select(),
    "team_defense_game_summary": Select(),
    "player_game_summary": Select(),
    "upcoming_player_game_context": Select(
        found="upcoming_player_game_context.found.sql", why="upcoming_player_game_context.why.sql"
    ),
    "upcoming_team_game_context": Select(),
    "team_defense_zone_analysis": Select(),
    "player_shot_zone_analysis": Select(),
    "player_daily_cache": Select(),
    "player_composite_factors": Select(),
    "ml_feature_store": Select(),
    "prediction_accuracy": Select(empty="no_predictions", names="graded_run", says="grades"),
    "results": Export(content=exports.results_content, queries=("results.sql", "results.grades.sql"), per_unit=True),
    "tonight": Export(content=exports.tonight_content, queries=("tonight.sql",), players_of="predictions"),
    "status": Export(content=exports.status_content, queries=("status.sql",)),
}

HISTORY = {
    "schedule": "scrape",
    "boxscores": "scrape",
    "raw_schedule": "raw",
    "player_boxscores": "raw",
    "team_boxscores": "raw",
    "team_offense_game_summary": "analytics",
    "team_defense_game_summary": "analytics",
    "player_game_summary": "analytics",
}
"""Tables of what happened and their phases, in the order of their inputs; a date in the last one is in all."""


@cache
def sql(name: str) -> str:
    """The text of a file of this folder, read once."""
    return (files("data_processors.nba") / name).read_text(encoding="utf-8")


def create_tables(warehouse: Warehouse) -> None:
    """Every table and view of the pipeline. Idempotent."""
    warehouse.create(sql("schema.sql"))


# --- one processor ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a processor says of its output."""

    status: Status
    reason: str = ""
    expected: int | None = None
    missing: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()  # of nobody's making: nothing is left to do
    rows: int = 0
    digest: str = ""
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def actual(self) -> int | None:
        """The expected units that are there."""
        return None if self.expected is None else self.expected - len(self.missing)


def run_processor(start: Start, spec: ProcessorSpec, phase: str, work: Work) -> Completion:
    """Do what the start orders and report it. May be called twice: what stands under its stamp is not written again.

    Raises what the ports raise; nothing is half written then.
    """
    began = time.monotonic()
    match REGISTRY.get(start.processor):
        case Export() as export:
            result = _publish(start, export, work)
        case Scrape() | Select() as table:
            result = _fill(start, spec, table_of(phase, start.processor), table, work)
        case None:
            raise UnknownProcessor(f"{start.processor}: no processor of nba; known are {', '.join(sorted(REGISTRY))}")
    again_at = work.now() + timedelta(seconds=spec.look_again_s) if result.status is Status.NOT_READY else None
    return Completion(
        run=start.run,
        phase=start.phase,
        processor=start.processor,
        attempt=start.attempt,
        report=1,
        status=result.status,
        reason=result.reason,
        units_expected=result.expected,
        units_actual=result.actual,
        missing=result.missing,
        excused=result.excused,
        rows=result.rows,
        duration_s=round(time.monotonic() - began, 3),
        digest=result.digest,
        found=result.found,
        retry_at=again_at,
    )


def _fill(start: Start, spec: ProcessorSpec, table: str, how: Table, work: Work) -> Result:
    partition = Partition(table=table, column=spec.partition, first=start.partition, last=start.partition)
    stamp = Stamp.of(start)
    unit = UNIT_COLUMNS[spec.unit] or (how.names if isinstance(how, Select) else "")
    parameters = _parameters(start)
    written = work.warehouse.standing(partition, stamp, unit)
    if written is None:
        match how:
            case Scrape():
                rows = how.rows(work.feed, start.run)
                if start.look and _is_less(start, rows, unit):
                    return Result(status=Status.NOT_READY, reason="looked again and found less; what stands is kept")
                written = work.warehouse.load(partition, rows, stamp, unit)
            case Select():
                written = work.warehouse.replace(partition, sql(f"{start.processor}.sql"), parameters, stamp, unit)
    whys = {}
    if how.why and set(start.units or ()).difference(written.units):
        whys = {str(row["unit"]): str(row["why"]) for row in work.warehouse.query(sql(how.why), parameters)}
    return judge(
        start.units,
        written,
        how,
        whys=whys,
        no_history=spec.partition == "as_of" and not written.rows and not _has_history(parameters, work),
        not_covered=spec.partition == "as_of" and start.partition > work.feed.coverage().last,
        found=_found(start, spec, how, work),
    )


def _is_less(start: Start, rows: Sequence[scrape.Row], unit: str) -> bool:
    """Whether these rows must not replace a result that stands: units of it are not in them, or nothing is."""
    return not rows or not {str(row[unit]) for row in rows if unit}.issuperset(start.units or ())


def _parameters(start: Start) -> dict[str, object]:
    as_of = as_of_date(start.run)
    return {
        "first": start.partition,
        "last": start.partition,
        "run": str(start.run),
        "run_date": start.run.date,
        "as_of": as_of,
        "season_first": season_first(as_of),
    }


def _has_history(parameters: Mapping[str, object], work: Work) -> bool:
    return bool(work.warehouse.query(sql("history.sql"), parameters)[0]["games"])


def _found(start: Start, spec: ProcessorSpec, how: Table, work: Work) -> dict[str, tuple[str, ...]]:
    """The expectations it reports, read back. What the feed cannot answer for stays unknown rather than empty."""
    if not how.found:
        return {}
    rows = work.warehouse.query(sql(how.found), _parameters(start))
    found = {name: tuple(str(row["unit"]) for row in rows if row["expectation"] == name) for name in spec.finds}
    if "next_games" in found and as_of_date(start.run) > work.feed.coverage().last:
        del found["next_games"]
    if "announced" in found and not found["games"]:
        found["announced"] = exports.announced(work.objects, start.run)
    return found


def judge(
    units: tuple[str, ...] | None,
    written: Written,
    how: Table,
    *,
    whys: Mapping[str, str],
    no_history: bool,
    not_covered: bool,
    found: Mapping[str, tuple[str, ...]],
) -> Result:
    """Compare what was read back with what there is to do. Of a unit without history nothing is left to do."""
    expected = None if units is None else set(units)
    excused = {unit for unit in units or () if whys.get(unit) == NO_HISTORY}
    missing = tuple(sorted(expected - set(written.units) - excused)) if expected else ()
    if written.superseded:
        status, reason = Status.SKIPPED, "superseded"
    elif no_history or (excused and excused == expected):
        status, reason, missing, expected = Status.SKIPPED, "no_history", (), None
    elif expected is None and not written.rows and isinstance(how, Select):
        status, reason = Status.SKIPPED, "not_covered" if not_covered else how.empty
    elif not missing:
        status, reason = Status.SUCCESS, remark(how, written, excused)
    else:
        nothing_yet = expected is not None and len(missing) == len(expected) and not whys
        status = Status.NOT_READY if nothing_yet else Status.PARTIAL
        reason = by_why({unit: whys.get(unit, how.absent) for unit in missing})
    return Result(
        status=status,
        reason=reason,
        expected=None if expected is None else len(expected),
        missing=missing,
        excused=tuple(sorted(excused)),
        rows=written.rows,
        digest=written.digest,
        found=found,
    )


def remark(how: Table, written: Written, excused: set[str]) -> str:
    """What a whole result has to tell all the same."""
    if isinstance(how, Select) and how.names:
        return listed(f"{how.says} {name}" for name in written.units)
    return by_why(dict.fromkeys(sorted(excused), NO_HISTORY))


def _own(processor: str, games: tuple[str, ...]) -> tuple[Missing, ...]:
    """What a document itself lacks of the games it was to hold."""
    return (Missing(processor=processor, why="not in its input", units=games),) if games else ()


def _players_missing(start: Start, processor: str) -> set[str]:
    """Those whose rows the gates have left out: whatever stands there of them is not published."""
    return {unit for each in start.missing if each.processor == processor for unit in each.units}


def _publish(start: Start, export: Export, work: Work) -> Result:
    parameters = _parameters(start)
    content = export.content(*(work.warehouse.query(sql(name), parameters) for name in export.queries))
    if export.per_unit:
        content = exports.only(content, start.units)
    content = exports.without(content, _players_missing(start, export.players_of))
    expected: set[str] | None = None
    missing: tuple[str, ...] = ()
    if "games" in content and start.units is not None:
        expected = set(start.units)
        missing = tuple(sorted(expected.difference(exports.game_ids(content))))
    document = {
        "run": str(start.run),
        "attempt": start.attempt,
        "fence": start.fence,
        "generated_at": start.issued_at.isoformat(),  # not the clock: a start done twice writes the same bytes
        "completeness": round(start.completeness, 4),
        "missing": to_data((*start.missing, *_own(start.processor, missing))),
        "config_hash": start.config_hash,
        "commit": work.commit,
        "synthetic": work.feed.coverage().synthetic,
        **content,
    }
    published = exports.publish(work.objects, exports.object_name(start.run.date, start.processor), document, start)
    if published.superseded:
        status, reason = Status.SKIPPED, "superseded"
    elif published.refused:
        status, reason = Status.FAILED, published.refused
    else:
        status = Status.PARTIAL if missing else Status.SUCCESS
        reason = by_why(dict.fromkeys(missing, "not in its input"))
    return Result(
        status=status,
        reason=reason,
        expected=None if expected is None else len(expected),
        missing=missing,
        rows=published.rows,
        digest=published.digest,
    )


# --- history ----------------------------------------------------------------------------------------


def history_before(run: RunKey, spec: PipelineSpec) -> date:
    """The date that a run's history ends before: its own, or, where it starts on an earlier day, that one.

    The games of the day on which `tomorrow` starts have not been played then.
    """
    mode = next(mode for mode in spec.modes if mode.name == run.mode)
    return min(run.date, run.date + mode.start_days * DAY)


def bootstrap(work: Work, before: date, progress: Callable[[str], None]) -> int:
    """Load what happened strictly before a date and is not there; the number of dates that were missing.

    Idempotent: dates that are there are left alone, and a call that was killed is finished by the next one.
    """
    first = work.feed.coverage().first
    played = sorted({scrape.game_date(game) for game in work.feed.games(first, before - DAY) if scrape.is_final(game)})
    span = {"first": first, "last": before - DAY}
    there = {scrape.game_date(row) for row in work.warehouse.query(sql("loaded.sql"), span)}
    for gap in _gaps(played, there):
        progress(f"history: loading {gap[0]} to {gap[-1]}, {len(gap)} dates with games")
        for processor in HISTORY:
            _load_history(processor, gap[0], gap[-1], work)
    return len(set(played) - there)


def _gaps(dates: Sequence[date], there: set[date]) -> list[list[date]]:
    """Longest stretches of missing dates, so that each is one load."""
    gaps: list[list[date]] = [[]]
    for day in dates:
        if day not in there:
            gaps[-1].append(day)
        elif gaps[-1]:
            gaps.append([])
    return [gap for gap in gaps if gap]


def _load_history(processor: str, first: date, last: date, work: Work) -> None:
    column = "schedule_date" if processor in ("schedule", "raw_schedule") else "game_date"
    partition = Partition(table=table_of(HISTORY[processor], processor), column=column, first=first, last=last)
    how = REGISTRY[processor]
    if isinstance(how, Scrape):
        written = work.warehouse.load(partition, how.history(work.feed, first, last), BOOTSTRAP)
    else:
        days = {"first": first, "last": last}
        written = work.warehouse.replace(partition, sql(f"{processor}.sql"), days, BOOTSTRAP)
    if written.superseded and first < last:  # a run has been at a date in between: go around it
        for number in range((last - first).days + 1):
            day = first + number * DAY
            _load_history(processor, day, day, work)
