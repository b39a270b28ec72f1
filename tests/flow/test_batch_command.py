"""`tipoff batch`: batches are listed and shown as they stand, sent again, and ended at a person's word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from data_processors.nba.runner import create_tables
from orchestration.cli.batch import heads_table
from orchestration.cli.main import main
from shared import wiring
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.pubsub import PubSub
from shared.adapters.sqlite import Sqlite
from shared.config.functions import PREDICTION_REQUEST_TOPIC
from shared.config.nba import NBA
from shared.core.batch import (
    STALLED_S,
    Batch,
    ChunkReport,
    Ordered,
    Seal,
    SealKind,
    Unit,
    UnitResult,
    UnitState,
    chunked,
    open_in,
    rest_after,
)
from shared.core.batch_status import batch_head
from shared.core.messages import read_completion, read_order
from shared.core.model import Act, Completion, Control, RunKey, Start, Status
from shared.core.quality import too_poor
from shared.ports import BatchStore, StateStore
from tests.contract.firestore_calls import opened
from tests.flow.cli import Said, Type, documented, form, run_arguments, tipoff, tipoff_json
from tests.flow.days import Days, HandClock
from tests.house.tree import ROOT

RUN = RunKey("nba", date(2024, 1, 15), "same_day")
OTHER = RunKey("nba", date(2024, 1, 16), "same_day")
BATCH = f"{RUN}/predictions/1"
DOC = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
COMPLETE = next(phase.completion_topic for phase in NBA.phases if phase.name == "predictions")
UNITS = [Unit(id=f"p{number:02}", inputs="{}") for number in range(70)]  # two chunks
CHUNKS = chunked(UNITS)
ROOKIE = UnitResult(unit="new", state=UnitState.SKIPPED, reason="no_history")
PASSING = UnitResult(unit="p00", state=UnitState.FAILED, reason="out of \x1b[2J[memory]", again=True)


def predicted(unit: Unit) -> UnitResult:
    row = {
        "game_id": "g1",
        "player_id": unit.id,
        "system": "ridge",
        "value": 9.5,
        "low": 5,
        "high": 14,
        "completeness": 1,
    }
    return UnitResult(unit=unit.id, state=UnitState.DONE, output=json.dumps([row]))


def report(batches: BatchStore, start: Start, chunk: int, results: Sequence[UnitResult], at: datetime) -> None:
    """As a worker records it."""
    told = ChunkReport(start=start, chunk=chunk, number=1, results=tuple(results))
    [order] = batches.ordered(f"{start.run}/predictions/1", chunk)
    rest = rest_after(told, CHUNKS[chunk], order)
    ended = not open_in([replace(order, reported_at=at, rest=rest)])
    assert batches.record(told, rest=rest, ended=ended, at=at) is not None


def begin(batches: BatchStore, start: Start, created_at: datetime, **changes: Any) -> Batch:
    """A batch of 71 units in two chunks, both ordered."""
    batch = Batch(
        start=start,
        created_at=created_at,
        deadline_at=created_at + timedelta(minutes=30),
        chunks=len(CHUNKS),
        units=len(UNITS),
        shared="{}",
        settled=(ROOKIE,),
    )
    orders = [
        Ordered(chunk=c.number, number=1, tries=1, places=tuple(range(len(c.units))), at=created_at) for c in CHUNKS
    ]
    assert batches.create(replace(batch, **changes), CHUNKS, orders)
    return batch


@dataclass
class Home:
    """A home whose run's predictions were ordered a minute ago: of two chunks the first has been reported."""

    path: Path
    store: Sqlite

    def __post_init__(self) -> None:
        self.now = datetime.now(timezone.utc)  # the command goes by the machine's clock
        self.days = Days(self.store, clock=HandClock(self.now))
        for topic in (PREDICTION_REQUEST_TOPIC, COMPLETE):
            self.store.bus.subscribe(topic, topic)
        self.start = self.order(RUN)
        self.batch = begin(self.store.batches, self.start, self.ago(60))
        hopeless = UnitResult(unit="p01", state=UnitState.FAILED, reason="no [minutes]")
        results = (PASSING, hopeless, *map(predicted, CHUNKS[0].units[2:]))
        report(self.store.batches, self.start, 0, results, self.ago(55))

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def order(self, run: RunKey) -> Start:
        self.days.service.start_run(run)
        self.days.finish(run, up_to="predictions")
        return next(start for start in self.days.ordered if start.run == run)

    def heard(self, topic: str) -> list[bytes]:
        deliveries = self.store.bus.pull([topic], limit=100, now=datetime.now(timezone.utc), lease_s=60)
        self.store.bus.ack(deliveries)
        return [delivery.data for delivery in deliveries if delivery.topic == topic]

    def written(self) -> int:
        """Rows of predictions in the warehouse."""
        with closing(DuckDbWarehouse(self.path / wiring.WAREHOUSE_FILE)) as warehouse:
            return len(warehouse.query("SELECT player_id FROM nba_predictions.predictions", {}))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    with closing(DuckDbWarehouse(folder / wiring.WAREHOUSE_FILE)) as warehouse:
        create_tables(warehouse)
    with closing(Sqlite(folder / wiring.STATE_FILE)) as store:
        yield Home(folder, store)


@pytest.fixture
def type_(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """`tipoff batch` as a person types it, on the home, in this process."""

    def typed(*arguments: object, where: Path = tmp_path / "home") -> Said:
        capsys.readouterr()
        try:
            code = main(["batch", *map(str, arguments), "--home", str(where)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


# --- list -------------------------------------------------------------------------------------------------


def test_where_no_batch_is_it_says_so_and_what_would_make_one(type_: Type, tmp_path: Path) -> None:
    with closing(Sqlite(tmp_path / wiring.STATE_FILE)):
        pass
    for where in (tmp_path / "never", tmp_path):
        said = type_("list", "nba", "--date", "2024-01-15", where=where)
        assert (said.code, said.out.count("\n")) == (0, 1)
        assert said.out.startswith(f"No batch of nba for 2024-01-15: home {where}.")
        assert f"`tipoff run nba --date 2024-01-15 --mode same_day --data DIR --home {where}`" in said.out
        assert type_("list", "--json", where=where).json == {"batches": [], "more": False}
    assert not (tmp_path / "never").exists()


def test_batches_are_listed_the_newest_first(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(5))
    said = type_("list", "nba")
    assert said.code == 0
    assert re.findall(r"^(nba\S+/predictions/1)  open ", said.out, re.MULTILINE) == [f"{OTHER}/predictions/1", BATCH]
    assert re.search(rf"^{BATCH}  open   50 of 71  [0-9: -]+  \d+ s  ", said.out, re.MULTILINE)
    assert "tipoff batch show BATCH --home" in said.out


def test_of_many_batches_the_newest_are_listed_and_that_there_are_more_is_said(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(5))
    told = type_("list", "--limit", 1, "--json").json
    assert [batch["batch"] for batch in told["batches"]] == [f"{OTHER}/predictions/1"]
    assert told["more"] is True
    assert "Older ones are not shown" in type_("list", "--limit", 1).out
    assert type_("list", "--limit", 2, "--json").json["more"] is False


def test_the_batches_of_one_date_are_listed(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(5))
    told = type_("list", "nba", "--date", RUN.date, "--json").json
    assert [batch["batch"] for batch in told["batches"]] == [BATCH]
    assert told["more"] is False


def test_a_batch_that_somebody_has_to_look_into_is_marked(home: Home, type_: Type) -> None:
    end(home, SealKind.EXPIRED, Status.FAILED, "stalled at 70% of its units", incident="look at the workers")
    said = type_("list")
    assert re.search(rf"^{BATCH}  expired .*INCIDENT failed: stalled at 70% of its units", said.out, re.MULTILINE)
    assert "INCIDENT: look at the workers" in type_("show", BATCH).out


@pytest.mark.parametrize(
    ("kind", "status", "units"),
    [
        (SealKind.ENDED, Status.SUCCESS, "70 of 71"),
        (SealKind.SEALED, Status.PARTIAL, "70 of 71"),
        (SealKind.CANCELLED, Status.SKIPPED, "0 of 71"),
        (SealKind.EXPIRED, Status.FAILED, "0 of 71"),
    ],
)
def test_of_a_batch_that_reported_the_units_that_are_there_are_listed(
    home: Home, type_: Type, kind: SealKind, status: Status, units: str
) -> None:
    end(home, kind, status, "")
    assert re.search(rf"^{BATCH}  {kind} +{units}  ", type_("list").out, re.MULTILINE)


@pytest.mark.parametrize("width", [160, 100, 80, 60, 30])
def test_on_any_terminal_a_batch_and_its_state_are_listed_whole(home: Home, width: int) -> None:
    end(
        home,
        SealKind.CANCELLED,
        Status.SKIPPED,
        "cancelled by ann: wrong features in all of it, wrong again",
        incident="look",
    )
    record = home.store.batches.load(BATCH)
    assert record is not None
    out = StringIO()
    Console(file=out, width=width).print(heads_table([batch_head(record, home.now)], home.now, width), crop=False)
    names, row, *more = out.getvalue().splitlines()
    assert row.startswith(f"{BATCH}  cancelled")
    assert ("result" in names, "began" in names, "units" in names) == (width >= 100, width >= 160, width >= 60)
    assert all(len(line.rstrip()) <= max(width, len(f"{BATCH}  cancelled")) for line in (names, row, *more))
    assert "INCIDENT" in "".join((row, *more)), "and that somebody has to look into it"


def test_a_run_whose_batch_nobody_has_begun_is_listed_with_what_goes_on(home: Home, type_: Type) -> None:
    assert "is not there yet" not in type_("list").out
    home.order(OTHER)
    for dated in ((), ("nba", "--date", OTHER.date)):
        said = type_("list", *dated)
        assert f"{OTHER} has opened predictions, and its batch is not there yet; `tipoff run nba" in said.out
        assert re.search(rf"--date {OTHER.date} .*` goes on with it", said.out)
    assert "A run makes one" not in said.out
    failed = completion_of(Status.FAILED, "no features")
    home.days.do(home.start, replace(failed, run=OTHER))
    assert "is not there yet" not in type_("list").out, "its start has failed: none will come of it"


def test_a_run_or_a_batch_in_the_place_of_a_pipeline_is_refused_with_what_was_meant(home: Home, type_: Type) -> None:
    for id in (RUN, BATCH):
        said = type_("list", id)
        assert said.code == 2
        assert f"`tipoff batch show {id}` shows one batch" in said.err
        assert f"`tipoff batch list nba --date {RUN.date}`" in said.err


def test_the_json_of_list_and_show_has_the_documented_form(home: Home, type_: Type) -> None:
    [listed] = documented("tipoff batch")["batches"]
    shown = json.loads(DOC.split("## tipoff batch")[1].split("```json\n")[2].split("```")[0])
    [head] = type_("list", "--json").json["batches"]
    told = type_("show", BATCH, "--json").json
    assert list(head) == list(listed)
    assert list(told) == list(shown)
    assert {key: told[key] for key in head}.keys() == head.keys()
    for key in ("causes", "stragglers", "orders"):
        assert form(told[key][:1]) == form(shown[key][:1]), key


# --- show -------------------------------------------------------------------------------------------------


def test_an_open_batch_is_shown_as_a_person_would_say_it(home: Home, type_: Type) -> None:
    said = type_("show", BATCH)
    assert said.code == 0
    first, *_ = said.out.splitlines()
    assert re.fullmatch(
        rf"{BATCH} is open: 50 of 71 units have ended, [0-9.]+ a minute, "
        r"through at about \d\d:\d\d:\d\d UTC; 1 straggler",
        first,
    )
    assert re.search(r"^1 +failed +no \[minutes\] +p01", said.out, re.MULTILINE)
    assert re.search(r"^chunk 1 +1 +1 +20 +[0-9:]+ \(6\d s ago\) +p50, p51, p52, p53, p54 and 15 more", said.out, re.M)
    assert re.search(r"^1 +2 +1 +70 *$", said.out, re.MULTILINE), "two orders of a first try, one reported"
    assert re.search(r"^Next look .* UTC \(", said.out, re.MULTILINE)
    assert re.search(r"^Deadline .* \(in 29 min\), by fallback", said.out, re.MULTILINE)
    assert re.search(r"Nobody is at work in this home; `tipoff run nba --date 2024-01-15 .*` goes on", said.out)


def test_of_a_run_the_newest_batch_is_shown(home: Home, type_: Type) -> None:
    assert type_("show", RUN).out.startswith(f"{BATCH} is open")
    assert type_("show", RUN, "--json").json["batch"] == BATCH
    home.order(OTHER)
    assert f"run {OTHER} has no batch yet" in type_("show", OTHER).err
    assert "run nba.2024-01-17.same_day.1 is not there" in type_("show", "nba.2024-01-17.same_day.1").err


@pytest.mark.parametrize("verb", ["recover", "seal", "cancel"])
def test_what_writes_takes_no_run_for_a_batch_and_names_its_newest(home: Home, type_: Type, verb: str) -> None:
    said = type_(verb, RUN, *(("--reason", "x") if verb != "recover" else ()))
    assert said.code == 2
    assert f"{RUN} is a run; its newest batch is {BATCH}" in said.err


def test_what_units_need_is_told_where_one_had_less(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(5), quality_min=0.5)
    assert "of their inputs" not in type_("show", OTHER).out
    poor = UnitResult(unit="new", state=UnitState.FAILED, reason=too_poor({"new": 0.2}, 0.5)["new"])
    third = home.order(replace(OTHER, date=date(2024, 1, 17)))
    begin(home.store.batches, third, home.ago(5), quality_min=0.5, settled=(poor,))
    assert "Its units need 50% of their inputs." in type_("show", third.run).out


def test_the_counts_of_a_batch_are_all_of_its_units(home: Home, type_: Type) -> None:
    told = type_("show", BATCH, "--json").json
    assert told["units"] == 71
    counts = {name: told[name] for name in ("done", "skipped", "failed", "expired")}
    assert counts == {"done": 48, "skipped": 1, "failed": 1, "expired": 0}
    assert (told["under_way"], told["to_try_again"], told["never_ordered"]) == (20, 1, 0)


def test_what_strangers_wrote_moves_no_cursor(home: Home, type_: Type) -> None:
    said = type_("show", BATCH)
    assert "\x1b" not in said.out
    assert "out of \\x1b[2J[memory]" in said.out


def test_a_batch_at_its_end_says_that_the_next_look_ends_it(home: Home, type_: Type) -> None:
    late = home.order(OTHER)
    begin(home.store.batches, late, home.ago(4_000))
    said = type_("show", f"{OTHER}/predictions/1")
    assert "The next look ends it: its deadline is over." in said.out
    only = replace(late, attempt=2)
    begin(home.store.batches, only, home.ago(10))
    for chunk in CHUNKS:
        told = ChunkReport(start=only, chunk=chunk.number, number=1, results=tuple(map(predicted, chunk.units)))
        home.store.batches.record(told, rest=(), ended=True, at=home.ago(5))
    assert "The next look ends it: every unit has ended." in type_("show", f"{OTHER}/predictions/2").out


def test_a_rate_that_is_too_slow_for_the_deadline_is_called_so(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(5), deadline_at=home.now + timedelta(seconds=20))
    hurried = next(start for start in home.days.ordered if start.run == OTHER)
    assert "through" not in type_("show", f"{OTHER}/predictions/1").out, "nothing has ended: nothing is known"
    report(home.store.batches, hurried, 1, [predicted(CHUNKS[1].units[0])], home.ago(1))
    assert "too slow for its deadline at" in type_("show", f"{OTHER}/predictions/1").out


def test_who_allowed_poor_units_and_what_was_read_anew_is_shown(home: Home, type_: Type) -> None:
    ann = Act(actor="ann", reason="minutes are late", at=home.now, until=home.now + timedelta(hours=1))
    begin(home.store.batches, home.order(OTHER), home.ago(5), quality_min=0.5, override=ann, healed=("p01", "p02"))
    said = type_("show", f"{OTHER}/predictions/1")
    assert "Its units need 50% of their inputs." in said.out
    assert re.search("by the word of ann until .* UTC: minutes are late", said.out)
    assert "The inputs of 2 units were read anew: p01, p02." in said.out


UNKNOWN = {
    "what is not written like one": ("yesterday", "RUN/PHASE/ATTEMPT"),
    "a run that is not written like one": ("nba/predictions/1", "pipeline.YYYY-MM-DD.mode.generation"),
    "one of another pipeline": ("nfl.2024-01-15.same_day.1/predictions/1", "nfl"),
    "one that nobody began": (f"{RUN}/predictions/7", "`tipoff batch list --home"),
}


@pytest.mark.parametrize("verb", ["show", "recover", "seal", "cancel"])
@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_batch_is_refused_and_says_where_ids_are(home: Home, type_: Type, verb: str, case: str) -> None:
    id, told = UNKNOWN[case]
    said = type_(verb, id, *(("--reason", "x") if verb in ("seal", "cancel") else ()))
    assert said.code == 2
    assert told in said.err
    assert said.out == ""


def test_where_nothing_has_run_no_verb_makes_a_home(type_: Type, tmp_path: Path) -> None:
    for arguments in (
        ("show", BATCH),
        ("recover", BATCH),
        ("seal", BATCH, "--reason", "x"),
        ("override", RUN, "--reason", "x", "--until", "+1h"),
    ):
        assert type_(*arguments, where=tmp_path / "never").code == 2
    assert type_("recover", where=tmp_path / "never").code == 0
    assert not (tmp_path / "never").exists()


# --- recover ----------------------------------------------------------------------------------------------


def test_what_is_under_way_is_sent_again_and_told(home: Home, type_: Type) -> None:
    said = type_("recover", BATCH)
    assert said.code == 0
    assert f"{BATCH}: 1 orders sent again and 1 new, 21 units in all" in said.out
    assert "`tipoff run nba --date 2024-01-15 --mode same_day --data DIR" in said.out
    orders = [read_order(body) for body in home.heard(PREDICTION_REQUEST_TOPIC)]
    assert sorted((order.chunk, order.number, len(order.units)) for order in orders) == [(0, 2, 1), (1, 1, 20)]


def test_without_a_name_only_what_makes_no_progress_is_sent_again(home: Home, type_: Type) -> None:
    said = type_("recover")
    assert said.out.startswith("No open batch has been without a report for 5 minutes")
    assert type_("recover", "--json").json == {"recovered": [], "goes_on": ""}
    assert home.heard(PREDICTION_REQUEST_TOPIC) == []
    begin(home.store.batches, home.order(OTHER), home.ago(STALLED_S + 1))
    [told] = type_("recover", "--json").json["recovered"]
    assert told["batch"] == f"{OTHER}/predictions/1"
    assert home.heard(PREDICTION_REQUEST_TOPIC)


def test_a_batch_over_its_deadline_ends_when_it_is_recovered(home: Home, type_: Type) -> None:
    begin(home.store.batches, home.order(OTHER), home.ago(4_000))
    said = type_("recover", f"{OTHER}/predictions/1")
    assert f"{OTHER}/predictions/1: is expired" in said.out
    assert home.heard(COMPLETE)


def test_of_a_batch_that_had_ended_nothing_is_sent_again(home: Home, type_: Type) -> None:
    end(home, SealKind.ENDED, Status.SUCCESS, "")
    assert type_("recover", BATCH).out == f"{BATCH} had ended already; nothing was sent.\n"
    assert type_("recover", BATCH, "--json").json == {"recovered": [], "goes_on": ""}
    assert home.heard(COMPLETE) == home.heard(PREDICTION_REQUEST_TOPIC) == []


def test_a_batch_that_died_before_it_told_its_gate_tells_it_when_it_is_recovered(home: Home, type_: Type) -> None:
    long_ago = home.ago(3_000)
    seal = Seal(batch=BATCH, kind=SealKind.ENDED, reason="every unit has ended", at=long_ago)
    assert home.store.batches.seal(seal, long_ago, 60)
    home.store.batches.conclude(replace(seal, completion=completion_of(Status.SUCCESS, "")))
    assert f"{BATCH}: is ended" in type_("recover", BATCH).out
    assert home.heard(COMPLETE)


# --- seal and cancel --------------------------------------------------------------------------------------


def end(home: Home, kind: SealKind, status: Status, reason: str, **changes: Any) -> None:
    """The batch ended, as its coordinator would leave it."""
    seal = Seal(batch=BATCH, kind=kind, reason="the deadline", at=home.now)
    assert home.store.batches.seal(seal, home.now, 60)
    home.store.batches.close(replace(seal, completion=completion_of(status, reason), **changes))


def completion_of(status: Status, reason: str) -> Completion:
    return Completion(
        run=RUN,
        phase="predictions",
        processor="predictions",
        attempt=1,
        report=1,
        status=status,
        reason=reason,
        units_expected=71,
        units_actual=70,
    )


def test_a_sealed_batch_counts_with_what_there_is_and_says_whose_word_it_was(home: Home, type_: Type) -> None:
    said = type_("seal", BATCH, "--reason", "publish what there is", "--actor", "ann")
    assert said.code == 0, said.err
    assert re.search(rf"^{BATCH} was sealed after 6\d\.\d\d s: 49 of 71 units are there; reported partial", said.out)
    assert "sealed by ann: publish what there is." in said.out
    assert "With 69.0% of its units, under 95%, its gate waits, orders another attempt after 5 minutes" in said.out
    assert re.search("`tipoff run nba --date 2024-01-15 --mode same_day .*` goes on with it", said.out)
    assert home.written() == 48
    [body] = home.heard(COMPLETE)
    completion = read_completion(body)
    assert (completion.status, completion.rows) == (Status.PARTIAL, 48)
    record = home.store.batches.load(BATCH)
    assert record is not None
    assert record.seal is not None
    assert record.seal.act is not None
    assert (record.seal.kind, record.seal.act.actor) == (SealKind.SEALED, "ann")
    assert type_("show", BATCH, "--json").json["act"]["reason"] == "publish what there is"


def test_a_cancelled_batch_writes_nothing_and_says_what_follows(home: Home, type_: Type) -> None:
    said = type_("cancel", BATCH, "--reason", "wrong features")
    assert said.code == 0, said.err
    assert re.search(rf"^{BATCH} was cancelled after .* s; 49 of 71 units were there, and none of it counts", said.out)
    assert "The run needs its predictions: its gate blocks it, now or at its next look." in said.out
    assert f"Another attempt: `tipoff replay {RUN} --from predictions --reason TEXT --home" in said.out
    assert "POST /start" not in said.out, "in a home nobody answers it"
    assert re.search("`tipoff run nba .*` tells its gate", said.out)
    assert home.written() == 0
    [body] = home.heard(COMPLETE)
    assert read_completion(body).status is Status.SKIPPED
    told = type_("show", BATCH, "--json").json
    assert (told["state"], told["act"]["reason"]) == ("cancelled", "wrong features")
    assert told["act"]["actor"], "this machine's user"


@pytest.mark.parametrize("verb", ["seal", "cancel"])
def test_what_has_ended_is_not_ended_again(home: Home, type_: Type, verb: str) -> None:
    end(home, SealKind.ENDED, Status.SUCCESS, "")
    said = type_(verb, BATCH, "--reason", "x")
    assert said.code == 2
    assert f"batch {BATCH} has ended already: the deadline\n" in said.err
    assert home.heard(COMPLETE) == []


def test_a_batch_sealed_with_almost_all_goes_on_once_its_grace_is_over(home: Home, type_: Type) -> None:
    passing = [replace(PASSING, unit="p00", again=False), *map(predicted, CHUNKS[0].units[1:])]
    late = home.order(OTHER)
    begin(home.store.batches, late, home.ago(60))
    report(home.store.batches, late, 0, passing, home.ago(50))
    report(home.store.batches, late, 1, [*map(predicted, CHUNKS[1].units)], home.ago(50))
    said = type_("seal", f"{OTHER}/predictions/1", "--reason", "good enough")
    assert said.code == 0, said.err
    assert (
        "With 98.6% of its units, from 95% on, its gate orders another attempt after 5 minutes, and goes on" in said.out
    )


def test_what_could_not_be_written_yet_is_not_called_done(home: Home, type_: Type) -> None:
    (home.path / wiring.WAREHOUSE_FILE).unlink()
    said = type_("seal", BATCH, "--reason", "x", "--json")
    assert said.code == 1
    assert said.json["state"] == "consolidating"
    assert "is being written" in type_("show", BATCH).out


@pytest.mark.parametrize("verb", ["seal", "cancel"])
@pytest.mark.parametrize("reason", ["", "  ", "a\x1b[2Jb", None], ids=["empty", "blank", "a cursor", "none"])
def test_a_word_without_a_reason_is_refused(home: Home, type_: Type, verb: str, reason: str | None) -> None:
    said = type_(verb, BATCH, *(() if reason is None else ("--reason", reason)))
    assert said.code == 2
    assert "--reason" in said.err
    record = home.store.batches.load(BATCH)
    assert record is not None
    assert record.seal is None


# --- override ---------------------------------------------------------------------------------------------


def control_of(states: StateStore) -> Control:
    return states.load(RUN).control


@pytest.mark.parametrize(("until", "ahead_s"), [("+2h", 7_200), ("+30m", 1_800)])
def test_poor_units_are_allowed_until_a_time(home: Home, type_: Type, until: str, ahead_s: int) -> None:
    said = type_("override", RUN, "--reason", "minutes are late", "--until", until, "--actor", "ann")
    assert said.code == 0, said.err
    assert "(ann: minutes are late)" in said.out
    act = control_of(home.store.states).quality
    assert act is not None
    assert act.until == act.at + timedelta(seconds=ahead_s)
    assert control_of(home.store.states).allows_poor_at(act.at) == act


def test_poor_units_are_allowed_until_an_instant_in_any_zone(home: Home, type_: Type) -> None:
    until = (home.now + timedelta(hours=3)).replace(microsecond=0)
    there = until.astimezone(timezone(timedelta(hours=-5)))
    told = type_("override", RUN, "--reason", "x", "--until", there.isoformat(), "--json").json
    assert told["run"] == str(RUN)
    assert told["override"]["until"] == until.isoformat()
    assert told["override"].keys() == {"actor", "reason", "at", "until"}


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("2024-01-15T18:00:00", "with its offset"),
        ("tomorrow", "+2h"),
        ("+2w", "+2h"),
        ("0001-01-01T00:00:00+14:00", "with its offset"),
        ("2024-01-15T18:00:00+00:00", "is not within the next 7 days"),
        ("+169h", "is not within the next 7 days"),
        ("+0m", "is not within the next 7 days"),
    ],
)
def test_an_override_ends_within_a_week(home: Home, type_: Type, until: str, told: str) -> None:
    said = type_("override", RUN, "--reason", "x", "--until", until)
    assert said.code == 2
    assert "--until" in said.err
    assert told in said.err
    assert control_of(home.store.states).quality is None


def test_an_override_of_a_batch_names_its_run(home: Home, type_: Type) -> None:
    said = type_("override", BATCH, "--reason", "x", "--until", "+1h")
    assert (said.code, f"{BATCH} is a batch; its run is {RUN}" in said.err) == (2, True)


def test_an_override_of_an_unknown_run_is_refused(home: Home, type_: Type) -> None:
    said = type_("override", OTHER, "--reason", "x", "--until", "+1h")
    assert said.code == 2
    assert f"tipoff status nba --date {OTHER.date}" in said.err


# --- whole ------------------------------------------------------------------------------------------------


def test_a_batch_of_a_real_run_is_listed_and_shown(season: Path, night: date, tmp_path: Path) -> None:
    ended = tipoff(*run_arguments(season, night, tmp_path, mode="same_day"))
    assert ended.returncode == 0, ended.stderr
    [head] = tipoff_json("batch", "list", "nba", "--date", night, "--home", tmp_path)["batches"]
    assert (head["state"], head["ended"], head["incident"]) == ("ended", head["units"], "")
    shown = tipoff("batch", "show", head["batch"], "--home", tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"{head['batch']} has ended after " in shown.stdout
    assert "Nobody is at work" not in shown.stdout, "nothing is left to do"
    again = tipoff("batch", "cancel", head["batch"], "--reason", "x", "--home", tmp_path)
    assert (again.returncode, "has ended already" in again.stderr) == (2, True)


def test_on_services_a_word_is_delivered_by_itself(
    pubsub_emulator: str, firestore_emulator: str, tmp_path: Path
) -> None:
    project = f"t{uuid4().hex[:12]}"
    with closing(Sqlite(":memory:")) as store:
        days = Days(store)
        days.service.start_run(RUN)
        days.finish(RUN, up_to="predictions")
        [start] = days.ordered
    with closing(PubSub(project, emulator=pubsub_emulator)) as bus, opened(firestore_emulator, project) as firestore:
        bus.subscribe("heard", COMPLETE)
        begin(firestore.batches, start, datetime.now(timezone.utc))
        ended = tipoff(
            *("batch", "cancel", BATCH, "--reason", "wrong features", "--home", tmp_path, "--target", "emulators"),
            GOOGLE_CLOUD_PROJECT=project,
            PUBSUB_EMULATOR_HOST=pubsub_emulator,
            FIRESTORE_EMULATOR_HOST=firestore_emulator,
            BIGQUERY_EMULATOR_HOST="http://127.0.0.1:9",  # nothing of a cancelled batch is written
        )
        assert ended.returncode == 0, ended.stderr
        assert "What was published is delivered by itself." in ended.stdout
        assert "or POST /start with force" in ended.stdout
        record = firestore.batches.load(BATCH)
        assert record is not None
        assert record.seal is not None
        assert record.seal.kind is SealKind.CANCELLED
