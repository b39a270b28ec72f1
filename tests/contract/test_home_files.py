"""What the state file survives, and what it says when it cannot: kill -9, full disks, wrong and damaged files."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from threading import Barrier

import pytest

from shared.adapters import sqlite_file
from shared.adapters.sqlite import Sqlite
from shared.adapters.sqlite_file import StateFileError, StoreUnavailable
from shared.core.batch import Batch, batch_id
from shared.core.messages import Message
from shared.core.model import Completion, Control, Fact, Latch, LedgerEntry, RunKey, Start, Status
from shared.ports import Quarantined

ROOT = Path(__file__).parents[2]
NOW = datetime(2024, 1, 16, 6, 0, tzinfo=timezone.utc)
RUN = RunKey("nba", date(2024, 1, 15), "overnight")
TOPIC, SUB = "nba-phase3-analytics-complete", "phase3-to-phase4"
LATCHES = 3  # of each claim

WRITER = """
import os, sys
from tests.contract.test_home_files import write
from shared.adapters.sqlite import Sqlite
store = Sqlite(sys.argv[1], durability=sys.argv[2])
for number in range(1, 1_000_000):
    write(store, number)
    os.write(1, b"%d\\n" % number)
"""

FULL_DISK = """
import resource, signal, sys
from tests.contract.test_home_files import RUN, fact, fill, write
from shared.adapters.sqlite import Sqlite
from shared.adapters.sqlite_file import StoreUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Sqlite(sys.argv[1])
write(store, 1)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
number, error = fill(store, first=2)
assert isinstance(error, StoreUnavailable), repr(error)
written = len(store.states.load(RUN).facts)
assert written in (number - 1, number), (written, number)
try:
    store.states.append(fact(999_999, "x" * 900))
    raise SystemExit("the disk was not full")
except StoreUnavailable:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
write(store, 1_000_000)
store.close()
print(number, error)
"""


def test_whatever_was_acknowledged_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    dice = random.Random(5)
    for repetition in range(6):
        path = tmp_path / f"{repetition}.sqlite"
        acknowledged = kill_writer(path, "process", after_s=dice.uniform(0.02, 0.3))
        assert acknowledged > 0
        assert_whole(path, acknowledged)


def test_with_durability_power_a_kill_loses_nothing_either(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    acknowledged = kill_writer(path, "power", after_s=0.1)
    assert_whole(path, acknowledged)


def test_a_reader_sees_the_home_of_a_writer_that_is_at_work_and_after_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with start_writer(path, "process") as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        reader = Sqlite(path, read_only=True)
        seen = [len(reader.states.load(RUN).facts)]
        while len(set(seen)) < 5:
            acknowledged = int(writer.stdout.readline())
            seen.append(len(reader.states.load(RUN).facts))
            assert seen[-1] >= acknowledged
        writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
    assert len(reader.states.load(RUN).facts) >= acknowledged
    late = Sqlite(path, read_only=True)
    assert late.states.load(RUN) == reader.states.load(RUN)
    late.close()
    reader.close()


def test_a_reader_may_not_write(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    writer = Sqlite(path)
    reader = Sqlite(path, read_only=True)
    with pytest.raises(StoreUnavailable, match=r"state\.sqlite: is read-only here\. Make the file"):
        reader.states.append(fact(1))
    writer.states.append(fact(1))
    assert reader.states.load(RUN).facts == (fact(1),)
    reader.close()
    writer.close()


def test_processes_that_open_a_new_home_at_the_same_moment_all_get_it(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"

    def open_and_write(number: int) -> None:
        store = Sqlite(path)
        write(store, number)
        store.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_write, range(1, 9)))
    store = Sqlite(path)
    assert len(store.states.load(RUN).facts) == 8
    store.close()


def test_two_who_change_the_journal_of_a_file_at_the_same_moment_both_get_it(tmp_path: Path) -> None:
    """To meet is rare: of a hundred times some seven."""
    path = home(tmp_path)
    together = Barrier(2)

    def open_at_once(_: int) -> None:
        together.wait(60)
        Sqlite(path).close()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(150):
            assert edit(path, "PRAGMA journal_mode = DELETE") == ("delete",)
            list(pool.map(open_at_once, range(2)))
            assert edit(path, "PRAGMA journal_mode") == ("wal",)


def test_who_changes_the_journal_waits_for_a_reader_and_shares_the_file_afterwards(tmp_path: Path) -> None:
    path = home(tmp_path)
    edit(path, "PRAGMA journal_mode = DELETE")
    reading = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM facts").fetchone()
    with pytest.raises(StoreUnavailable, match=r"state\.sqlite: locked by another process"):
        Sqlite(path, busy_s=0.05)
    threading.Timer(0.2, reading.close).start()
    one, other = Sqlite(path), Sqlite(path)
    write(one, 1_001)
    write(other, 1_002)
    assert len(one.states.load(RUN).facts) == len(other.states.load(RUN).facts) == 202
    one.close()
    other.close()


def test_a_name_with_odd_characters_is_just_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a ?mode=memory#%41 é.sqlite"
    store = Sqlite(path)
    store.states.append(fact(1))
    store.close()
    assert path.stat().st_size > 4_096


# --- files that are not ours ----------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"date,home,away\n" * 1_000)
    with pytest.raises(StateFileError, match=r"state\.sqlite: is not an SQLite database\. Name another home"):
        Sqlite(path, read_only=read_only)
    assert path.read_bytes() == b"date,home,away\n" * 1_000


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "state.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE runs (run TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StateFileError, match=r"state\.sqlite: is a database, but not one of Tipoff .*another home"):
        Sqlite(path, read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = home(tmp_path)
    edit(path, f"PRAGMA user_version = {sqlite_file.VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StateFileError, match=r"state\.sqlite: has format 4, this Tipoff knows 3\. Use the version"):
        Sqlite(path, read_only=read_only)
    assert path.read_bytes() == before


BATCH = "nba.2024-01-15.same_day.1/predictions/1"
BATCHES_OF_2 = f"""
DROP TABLE batches; DROP TABLE batch_bodies; DROP TABLE batch_seals; DROP TABLE batch_chunks; DROP TABLE batch_orders;
DROP TABLE batch_reports;
CREATE TABLE batches (
    id TEXT PRIMARY KEY, due_at INTEGER, sealed INTEGER NOT NULL DEFAULT 0, leased_until INTEGER) WITHOUT ROWID;
CREATE INDEX batches_by_due ON batches (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE batch_bodies (batch TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE batch_seals (batch TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE batch_chunks (
    id INTEGER PRIMARY KEY, batch TEXT NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (batch, chunk));
CREATE TABLE batch_orders (
    batch TEXT NOT NULL, chunk INTEGER NOT NULL, number INTEGER NOT NULL, ordered_at INTEGER NOT NULL,
    reported_at INTEGER, rest TEXT NOT NULL DEFAULT '[]', ended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, chunk, number)) WITHOUT ROWID;
CREATE TABLE batch_reports (
    id INTEGER PRIMARY KEY, batch TEXT NOT NULL, chunk INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (batch, chunk, number));
INSERT INTO batches (id, due_at) VALUES ('{BATCH}', 1);
INSERT INTO batch_bodies VALUES ('{BATCH}', '{{"written": "by 2"}}');
INSERT INTO batch_orders VALUES ('{BATCH}', 0, 1, 1, NULL, '["u1"]', 0);
PRAGMA user_version = 2;
"""


def begin(store: Sqlite, attempt: int) -> bool:
    """A batch of nothing."""
    start = Start(
        run=replace(RUN, mode="same_day"),
        phase="predictions",
        processor="predictions",
        attempt=attempt,
        fence=1,
        partition=RUN.date,
        timeout_s=60,
        issued_at=NOW,
    )
    assert attempt > 1 or batch_id(start) == BATCH
    batch = Batch(start=start, created_at=NOW, deadline_at=NOW, chunks=0, units=0, shared="{}")
    return store.batches.create(batch, (), ())


def home_of_2(tmp_path: Path) -> Path:
    """As the version before this one left it, with a batch under way."""
    path = home(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(BATCHES_OF_2)
    return path


def test_a_file_of_the_version_before_is_brought_up_to_date_and_loses_its_batches_alone(tmp_path: Path) -> None:
    path = home_of_2(tmp_path)
    for _ in range(2):
        with closing(Sqlite(path)) as store:
            assert len(store.states.load(RUN).facts) == 200
            assert len(store.states.ledger(RUN)) == 200
            assert len(store.states.load(RUN).latches) == 200 * LATCHES
            assert len(store.bus.pull([SUB], limit=1_000, now=NOW, lease_s=0)) == 400
            assert store.batches.next_at() is None
            assert store.batches.load(BATCH) is None
    with closing(Sqlite(path)) as store:
        assert begin(store, attempt=1)
        assert store.batches.latest("nba", 9) == (BATCH,)
    assert tables(path) == tables(home(tmp_path / "new"))


def test_a_reader_of_a_file_of_the_version_before_is_told_what_brings_it_up_to_date(tmp_path: Path) -> None:
    path = home_of_2(tmp_path)
    before = path.read_bytes()
    with pytest.raises(
        StateFileError, match=r"state\.sqlite: has format 2, this Tipoff knows 3\. Any command .* writes"
    ):
        Sqlite(path, read_only=True)
    assert path.read_bytes() == before
    Sqlite(path).close()
    with closing(Sqlite(path, read_only=True)) as reader:
        assert len(reader.states.load(RUN).facts) == 200


def test_of_those_who_bring_a_file_up_to_date_at_the_same_moment_all_get_it(tmp_path: Path) -> None:
    path = home_of_2(tmp_path)

    def open_and_begin(attempt: int) -> None:
        with closing(Sqlite(path)) as store:
            assert begin(store, attempt)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_begin, range(1, 9)))
    with closing(Sqlite(path)) as store:
        assert len(store.batches.latest("nba", 99)) == 8, "nobody dropped what another had begun"


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_file_from_before_there_were_batches_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = home(tmp_path)
    edit(path, "PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(StateFileError, match=r"state\.sqlite: has format 1, this Tipoff knows 3\. Use the version"):
        Sqlite(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_file_from_before_quarantined_messages_had_sizes_is_read_and_goes_on(tmp_path: Path) -> None:
    path = home(tmp_path)
    old = Quarantined(id="old", topic="t", reason="not JSON", at=NOW, body=b"{")
    new = replace(old, id="new", size=1, attributes={"run": "r"})
    with closing(Sqlite(path)) as store:
        store.states.quarantine(old)
    for column in ("size", "attributes"):
        edit(path, f"ALTER TABLE quarantine DROP COLUMN {column}")
    with closing(Sqlite(path, read_only=True)) as reader:
        assert reader.states.quarantined(9) == (old,)
    for _ in range(2):
        with closing(Sqlite(path)) as store:
            store.states.quarantine(new)
            assert store.states.quarantined(9) == (new, old)


def test_a_file_from_before_there_were_heartbeats_is_read_and_goes_on(tmp_path: Path) -> None:
    path = home(tmp_path)
    Sqlite(path).close()
    edit(path, "DROP TABLE beats")
    with closing(Sqlite(path, read_only=True)) as reader:
        assert reader.states.beats() == {}
    with closing(Sqlite(path)) as store:
        store.states.beat("self-heal", NOW)
        assert store.states.beats() == {"self-heal": NOW}


@pytest.mark.parametrize("size", [100, 4_096, 5_000, 40_000], ids=lambda size: f"to {size} bytes")
def test_a_truncated_file_is_named_as_damaged(tmp_path: Path, size: int) -> None:
    path = home(tmp_path)
    assert path.stat().st_size > size
    os.truncate(path, size)
    with pytest.raises(StateFileError, match=r"state\.sqlite: is .*Restore it|state\.sqlite: is .*move it away"):
        Sqlite(path).states.load(RUN)


def test_damage_found_later_is_named_too(tmp_path: Path) -> None:
    path = home(tmp_path)
    with sqlite3.connect(path) as connection:
        roots = [page for (page,) in connection.execute("SELECT rootpage FROM sqlite_master")]
    connection.close()
    body = bytearray(path.read_bytes())
    for page in roots:  # what names the tables stays whole
        body[(page - 1) * 4_096 : page * 4_096] = b"\xa5" * 4_096
    path.write_bytes(body)
    store = Sqlite(path)
    for verb in (lambda: store.states.load(RUN), lambda: store.states.append(fact(7_000)), store.bus.next_at):
        with pytest.raises(StateFileError, match=r"state\.sqlite: is damaged\. Restore it from a backup"):
            verb()
    store.close()


def test_a_record_that_cannot_be_read_blames_the_file_and_never_shows_its_content(tmp_path: Path) -> None:
    path = home(tmp_path)
    edit(path, 'UPDATE facts SET body = \'{"secret": "s3cret"}\'')
    store = Sqlite(path)
    with pytest.raises(StateFileError, match=r"holds a record that this Tipoff cannot read") as raised:
        store.states.load(RUN)
    assert "s3cret" not in str(raised.value)
    store.close()


# --- a world out of order -------------------------------------------------------------------------------


def parent_is_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "state.sqlite"


@pytest.mark.parametrize(
    "place",
    [
        lambda tmp_path: tmp_path,
        parent_is_a_file,
        lambda tmp_path: tmp_path / "no" / "such" / "folder" / "state.sqlite",
        lambda _: Path("/sys/state.sqlite"),  # not even root may write there
    ],
    ids=["is a folder", "has a file for a folder", "has no folder", "cannot be written"],
)
@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_opening_fails_in_words_where_the_path(tmp_path: Path, place: Callable[[Path], Path], read_only: bool) -> None:
    path = place(tmp_path)
    with pytest.raises(StoreUnavailable, match=r"unable to open\. (Check that its|It is a) folder") as raised:
        Sqlite(path, read_only=read_only)
    assert str(path) in str(raised.value)


def test_reading_a_home_that_is_not_there_does_not_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"unable to open"):
        Sqlite(tmp_path / "state.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written_and_the_next_call_works_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    number, error = ended.stdout.split(" ", 1)
    assert str(path) in error
    assert "next call" in error
    store = Sqlite(path)
    numbers = {each.completion.report for each in store.states.load(RUN).facts}
    assert set(range(1, int(number))) <= numbers
    assert 1_000_000 in numbers
    assert 999_999 not in numbers
    store.close()
    assert_whole(path, int(number) - 1)


def test_a_lock_that_is_never_given_back_is_named(tmp_path: Path) -> None:
    path = home(tmp_path)
    store = Sqlite(path, busy_s=0.05)
    hanging = sqlite3.connect(path, isolation_level=None)
    hanging.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"state\.sqlite: locked by another process"):
        store.states.append(fact(8_000))
    assert len(store.states.load(RUN).facts) == 200  # reading does not wait
    hanging.execute("ROLLBACK")
    assert store.states.append(fact(8_000))
    hanging.close()
    store.close()


def test_an_error_names_no_content(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "state.sqlite")
    reader = Sqlite(tmp_path / "state.sqlite", read_only=True)
    with pytest.raises(StoreUnavailable) as raised:
        reader.bus.publish([Message(topic=TOPIC, data=b"s3cret", attributes={"run": "s3cret"})], NOW)
    assert "s3cret" not in f"{raised.value!r} {raised.value.__cause__!r}"
    reader.close()
    store.close()


# --- what the children do -------------------------------------------------------------------------------


def write(store: Sqlite, number: int) -> None:
    """One of every kind of write: a fact, a claim of three latches with its entry, two messages."""
    if number == 1:
        store.bus.subscribe(SUB, TOPIC)
    assert store.states.append(fact(number))
    latches = [Latch(key=f"{number}.{index}", run=RUN) for index in range(LATCHES)]
    store.states.claim(RUN, control_version=0, latches=latches, entry=entry(number), due_at=None, now=NOW, lease_s=30)
    store.bus.publish([Message(topic=TOPIC, data=b"%d" % number)] * 2, NOW)


def fill(store: Sqlite, first: int) -> tuple[int, BaseException | None]:
    """Write until it fails: the number that did, and how."""
    for number in range(first, 100_000):
        try:
            write(store, number)
        except (OSError, sqlite3.Error) as error:
            return number, error
    return 0, None


def start_writer(path: Path, durability: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), durability], cwd=ROOT, stdout=subprocess.PIPE)


def kill_writer(path: Path, durability: str, *, after_s: float) -> int:
    """Let a writer work, kill -9 it; the last number that it acknowledged."""
    with start_writer(path, durability) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(after_s)
        writer.kill()
        lines += [line for line in writer.stdout if line.endswith(b"\n")]
    return int(lines[-1])


def assert_whole(path: Path, acknowledged: int) -> None:
    """All that was acknowledged is there, and no verb's work in part."""
    store = Sqlite(path)
    record, entries = store.states.load(RUN), store.states.ledger(RUN)
    numbers = {each.completion.report for each in record.facts}
    assert numbers >= set(range(1, acknowledged + 1))
    claimed = [each.attempt for each in entries]
    assert claimed[:acknowledged] == list(range(1, acknowledged + 1))
    assert [latch.key for latch in record.latches] == [
        f"{number}.{index}" for number in claimed for index in range(LATCHES)
    ]
    messages = store.bus.pull([SUB], limit=1_000_000, now=NOW, lease_s=1)
    published = [int(each.data) for each in messages]
    assert set(published) >= set(range(1, acknowledged + 1))
    assert all(published.count(number) == 2 for number in published[-4:])
    assert len(published) == 2 * len(set(published))
    store.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def home(tmp_path: Path) -> Path:
    """A state file with something in it, closed."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "state.sqlite"
    store = Sqlite(path)
    for number in range(1, 201):
        write(store, number)
    store.close()
    return path


def edit(path: Path, statement: str) -> object:
    """What it answers, if it does."""
    connection = sqlite3.connect(path)
    answer = connection.execute(statement).fetchone()
    connection.commit()
    connection.close()
    return answer


def tables(path: Path) -> dict[str, str]:
    """How each table and index was made."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())


def fact(number: int, digest: str = "") -> Fact:
    completion = Completion(
        run=RUN,
        phase="analytics",
        processor="player_totals",
        attempt=1,
        report=number,
        status=Status.SUCCESS,
        digest=digest,
    )
    return Fact(completion, NOW)


def entry(number: int) -> LedgerEntry:
    return LedgerEntry(
        run=RUN,
        gate="analytics",
        attempt=number,
        at=NOW,
        decision="wait",
        reason="because",
        missing=(),
        completeness=1.0,
        next_look_at=None,
        facts=(),
        latches=(),
        control=Control(),
    )


def test_a_new_writer_ends_the_leases_of_a_dead_one(tmp_path: Path) -> None:
    dead = Sqlite(tmp_path / "state.sqlite")
    dead.bus.subscribe("work", "topic")
    dead.bus.publish([Message(topic="topic", data=b"x")], NOW)
    assert dead.bus.pull(["work"], limit=1, now=NOW, lease_s=86_400)
    dead.close()
    heir = Sqlite(tmp_path / "state.sqlite")
    assert not heir.bus.pull(["work"], limit=1, now=NOW, lease_s=60)
    heir.release_leases(NOW)
    (again,) = heir.bus.pull(["work"], limit=1, now=NOW, lease_s=60)
    assert (again.data, again.attempt) == (b"x", 2)
    heir.close()
