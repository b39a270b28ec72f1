"""What is missing stays named: in every order, row and document behind it, until it has come or is declared ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from data_processors.nba.runner import create_tables, sql
from shared.adapters.duckdb import DuckDbWarehouse
from shared.config.functions import PREDICTION_READY_TOPIC, PREDICTION_REQUEST_TOPIC
from shared.config.nba import NBA
from shared.core.batch import batch_id
from shared.core.messages import named, read_order, read_ready, read_start
from shared.core.model import LatePolicy, PipelineSpec, RunKey, Start
from shared.core.status import RunState
from shared.wiring import open_feed
from tests.flow.days import Days, WholeDays, new_days, whole_days
from tests.flow.nights import EditedFeed, Row
from tests.flow.snapshot import KEYS

NIGHT = date(2023, 11, 8)  # fourteen games: without one of them it is less than nineteen of twenty
AFTER = NIGHT + timedelta(days=1)
RUN, SAME_DAY, NEXT = (
    RunKey("nba", day, mode) for day, mode in ((NIGHT, "overnight"), (NIGHT, "same_day"), (AFTER, "same_day"))
)
LATE = "team_defense_game_summary"  # optional, and read by two others behind its gate


@dataclass
class Withheld:
    """Games of which the feed does not know yet how they ended."""

    games: set[str] = field(default_factory=set)

    def game(self, row: Row) -> Row:
        unknown = dict.fromkeys(("home_pts", "away_pts", "winner", "attendance", "player_rows"))
        return row | unknown if row["game_id"] in self.games else row

    def line(self, row: Row) -> Row | None:
        return None if row["game_id"] in self.games else row


@contextmanager
def nights(home: Path, data: Path) -> Iterator[tuple[WholeDays, Withheld]]:
    held = Withheld()
    feed = EditedFeed(feed=open_feed(data), game=held.game, player=held.line, team=held.line)
    with whole_days(home, data, feed) as days:
        yield days, held


def starts_of(days: WholeDays, run: RunKey) -> list[Start]:
    return [start for latch in days.local.ports.states.load(run).latches for start in latch.starts]


def stamped(days: WholeDays, run: RunKey) -> dict[str, set[tuple[object, ...]]]:
    """By table, how whole its rows of a run say that what they were made from was. Of tables without any, nothing."""
    found = {
        table: set(
            days.rows(
                f"SELECT DISTINCT inputs_completeness, inputs_missing FROM {table} WHERE run = @run", run=str(run)
            )
        )
        for table in KEYS
    }
    return {table: rows for table, rows in found.items() if rows}


def test_one_game_that_does_not_come_is_named_in_all_behind_it_and_no_more_once_it_has(
    real_data: Path, tmp_path: Path
) -> None:
    with nights(tmp_path / "home", real_data) as (days, held):
        assert days.one(SAME_DAY).state is RunState.PUBLISHED  # predictions, so that there is something to grade
        game = min(str(row["game_id"]) for row in days.runs.work.feed.games(NIGHT, NIGHT))
        held.games.add(game)
        days.begin(RUN)
        status = days.go(RUN)[0]
        status = days.go_until(RUN, status.phases[0].deadline_at + timedelta(hours=1))
        assert (status.state, status.missing[0]) == (RunState.DEGRADED, "boxscores")

        ordered = starts_of(days, RUN)
        behind = [start for start in ordered if start.phase != "scrape"]
        assert {start.processor for start in behind} > {"player_boxscores", "prediction_accuracy", "results", "status"}
        for start in behind:
            assert (start.missing[0].processor, start.missing[0].units) == ("boxscores", (game,)), start.id
            assert 0 < start.completeness < 1, start.id
        assert all(start.missing == () for start in ordered if start.phase == "scrape" and not start.inputs)
        tables = stamped(days, RUN)
        assert len(tables) == len(KEYS) - 1, "all but the predictions, which the day before made"
        for table, rows in tables.items():
            [(share, missing)] = rows
            if table.startswith("nba_scrape."):
                assert (share, missing) == (1.0, None), table
                continue
            [start] = [start for start in behind if start.processor == written_by(table)]
            assert (share, missing) == (start.completeness, named(start.missing)), table
            assert str(missing).startswith(f"boxscores[{game}]"), table
        for name in ("results", "status"):
            document = days.document(NIGHT, name)
            assert (document["missing"][0]["processor"], document["missing"][0]["units"]) == ("boxscores", [game])
            assert 0 < document["completeness"] < 1
        assert stamped(days, SAME_DAY)["nba_predictions.predictions"] == {(1.0, None)}

        held.games.clear()
        days.clock.time += timedelta(minutes=5)
        status = days.go(RUN)[0]
        assert (status.state, status.completeness, status.missing) == (RunState.PUBLISHED, 1.0, ())
        again = Counter(start.processor for start in starts_of(days, RUN) if start.phase != "scrape")
        assert set(again.values()) == {2}, "downstream once more, and the documents with it"
        assert stamped(days, RUN) == {table: {(1.0, None)} for table in tables}
        for name in ("results", "status"):
            assert (days.document(NIGHT, name)["missing"], days.document(NIGHT, name)["completeness"]) == ([], 1.0)


def written_by(table: str) -> str:
    return "prediction_accuracy" if table == "nba_predictions.accuracy" else table.split(".")[1]


def test_what_a_day_goes_on_without_is_in_each_message_of_its_batch_and_in_its_predictions(
    real_data: Path, tmp_path: Path
) -> None:
    with nights(tmp_path / "home", real_data) as (days, held):
        held.games |= {str(row["game_id"]) for row in days.runs.work.feed.games(NIGHT, NIGHT)}
        days.begin(RUN)
        days.go(RUN)
        for topic in (PREDICTION_REQUEST_TOPIC, PREDICTION_READY_TOPIC, "nba-predictions-start"):
            days.local.ports.bus.subscribe(f"overheard-{topic}", topic)
        days.begin(NEXT)
        status = days.go_until(NEXT, days.clock.time + timedelta(hours=1))
        night = f"overnight of {NIGHT}"
        assert (status.state, status.missing) == (RunState.DEGRADED, (night,))

        [start] = [start for start in starts_of(days, NEXT) if start.phase == "predictions"]
        assert [missing.processor for missing in start.missing] == [night]
        heard = overheard(days)
        assert {name: len(found) > 0 for name, found in heard.items()} == dict.fromkeys(heard, True)
        batch = days.local.batches.batch(batch_id(start))
        assert batch is not None
        for carried in (batch.start, *(carried for found in heard.values() for carried in found)):
            assert (carried.id, carried.missing, carried.completeness) == (start.id, start.missing, start.completeness)
        tables = stamped(days, NEXT)
        assert tables["nba_raw.raw_schedule"] == {(1.0, None)}, "before the gate that asked for the night"
        for table in ("nba_analytics.upcoming_player_game_context", "nba_precompute.ml_feature_store"):
            assert tables[table] == {(1.0, night)}, table
        assert tables["nba_predictions.predictions"] == {(1.0, night)}
        current = "SELECT DISTINCT inputs_missing FROM nba_predictions.current WHERE game_date = @day"
        assert days.rows(current, day=AFTER) == [(night,)]
        for name in ("tonight", "status"):
            assert [missing["processor"] for missing in days.document(AFTER, name)["missing"]] == [night]


def overheard(days: WholeDays) -> dict[str, list[Start]]:
    """The start that each message of a batch carries, by topic."""
    bus, now = days.local.ports.bus, days.clock.now()
    read = {
        "nba-predictions-start": read_start,
        PREDICTION_REQUEST_TOPIC: lambda data: read_order(data).start,
        PREDICTION_READY_TOPIC: lambda data: read_ready(data).start,
    }
    return {
        topic: [how(delivery.data) for delivery in bus.pull([f"overheard-{topic}"], limit=100, now=now, lease_s=60)]
        for topic, how in read.items()
    }


# --- late, as declared --------------------------------------------------------------------------------


def declared(policy: LatePolicy) -> PipelineSpec:
    """The pipeline with this policy of the late one."""
    phases = []
    for phase in NBA.phases:
        specs = tuple(replace(spec, late=policy) if spec.name == LATE else spec for spec in phase.processors)
        phases.append(replace(phase, processors=specs))
    return replace(NBA, phases=tuple(phases))


def published_without(days: Days) -> RunKey:
    """A night that was published without the late one, whose orders nobody has done."""
    run = RunKey("nba", (days.clock.now() - timedelta(days=1)).date(), "overnight")
    days.service.start_run(run)
    do_all_but_late(days)
    days.pass_by(minutes=11)  # the grace of analytics
    do_all_but_late(days)
    assert (days.status(run).state, days.status(run).missing) == (RunState.DEGRADED, (LATE,))
    return run


def do_all_but_late(days: Days) -> None:
    while mine := [start for start in days.hear() if start.processor != LATE]:
        days.do(mine[0])


def told(days: Days, run: RunKey) -> tuple[tuple[str, ...], str]:
    """Who was ignored in the late one's phase, and what stands on its row."""
    [phase] = [phase for phase in days.status(run).phases if phase.phase == "analytics"]
    return phase.ignored, phase.standings[LATE].why


@pytest.mark.parametrize("times", [1, 3])
def test_a_late_result_that_refreshes_runs_all_behind_it_once_however_often_it_comes(times: int) -> None:
    with new_days(spec=declared(LatePolicy.REFRESH)) as days:
        run = published_without(days)
        came = days.act(days.hear()[-1])
        for _ in range(times):
            assert days.service.on_completion(came) is None
        do_all_but_late(days)
        orders = days.orders(run)
        behind = [order for phase in ("precompute", "grading", "export") for order in days.orders(run, phase)]
        assert set(Counter(order.split("/")[0] for order in behind).values()) == {2}
        before = [order for order in orders if order not in behind and not order.startswith(LATE)]
        assert {order.split("/")[1] for order in before} == {"1"}
        status = days.status(run)
        assert (status.state, status.completeness, status.missing) == (RunState.PUBLISHED, 1.0, ())
        assert told(days, run) == ((), "")
        for _ in range(times):
            assert days.service.on_completion(came) is None
        days.pass_by(minutes=5)
        assert days.orders(run) == orders


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("policy", "hours", "why"),
    [
        pytest.param(LatePolicy.IGNORE, 0.1, "late is ignored here", id="declared so"),
        pytest.param(LatePolicy.REFRESH, 4, "its time to refresh was over at 2031-11-01 13:00 UTC", id="or too late"),
    ],
)
def test_a_late_result_that_is_ignored_moves_nothing_and_is_told(
    policy: LatePolicy, hours: float, why: str, times: int
) -> None:
    with new_days(spec=declared(policy)) as days:
        run = published_without(days)
        days.pass_by(hours=hours)
        late = days.hear()[-1]
        before, ledger = days.store.states.load(run), days.store.states.ledger(run)
        at = f"{days.clock.now():%Y-%m-%d %H:%M} UTC"
        for _ in range(times):
            assert days.service.on_completion(days.act(late)) is None
            days.pass_by(minutes=5)
        after = days.store.states.load(run)
        assert (after.latches, days.store.states.ledger(run), len(after.facts)) == (
            before.latches,
            ledger,
            len(before.facts) + 1,
        )
        assert days.hear()[-1] == late
        assert (days.status(run).state, days.status(run).missing) == (RunState.DEGRADED, (LATE,))
        assert told(days, run) == ((LATE,), f"came at {at}, after the gate behind analytics; ignored: {why}")


# --- tables of an older version -----------------------------------------------------------------------


def test_the_tables_of_an_older_version_are_brought_up_to_date_with_their_rows() -> None:
    older = sql("schema.sql").replace(",\n  inputs_completeness FLOAT64, inputs_missing STRING\n", "\n")
    older = older.replace(",\n  inputs_completeness, inputs_missing\n", "\n")
    assert "inputs" not in older.split("CREATE SCHEMA", 1)[1]
    warehouse = DuckDbWarehouse(":memory:")
    warehouse.create(older)
    create_tables(warehouse)
    for table in (*KEYS, "nba_predictions.current"):
        assert list(warehouse.columns(table))[-2:] == ["inputs_completeness", "inputs_missing"], table
    warehouse.close()
