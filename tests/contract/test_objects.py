"""Does every ObjectStore keep the promises of shared/ports.py?"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.adapters.objects import FolderObjects, open_objects
from shared.ports import ObjectStore
from tests.contract.gcs_server import BUCKET, Storage, storage

NAME = "nba/2024-01-15/results.json"


@pytest.fixture(scope="module")
def served() -> Iterator[Storage]:
    with storage() as service:
        yield service


@pytest.fixture
def bucket(served: Storage) -> Iterator[Storage]:
    served.objects.clear()
    served.calls.clear()
    yield served
    assert not served.refusals


def in_bucket(bucket: Storage) -> ObjectStore:
    return open_objects(f"gs://{BUCKET}/exports", endpoint=bucket.endpoint)


@pytest.fixture(params=["folder", "memory", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "folder":
            return open_objects(str(tmp_path / "objects"))
        case "memory":
            return open_objects("memory://")
    return in_bucket(request.getfixturevalue("bucket"))


def test_what_was_put_is_what_is_got(objects: ObjectStore) -> None:
    objects.put(NAME, b'{"a": "\x00\xff"}')
    assert objects.get(NAME) == b'{"a": "\x00\xff"}'


def test_an_empty_object_is_there_and_an_absent_one_is_none(objects: ObjectStore) -> None:
    objects.put(NAME, b"")
    assert objects.get(NAME) == b""
    assert objects.get("nba/2024-01-16/results.json") is None


def test_a_second_put_replaces_the_whole_object(objects: ObjectStore) -> None:
    objects.put(NAME, b"a long first body")
    objects.put(NAME, b"short")
    assert objects.get(NAME) == b"short"


def test_the_prefix_of_an_object_and_what_lies_under_one_are_no_objects(objects: ObjectStore) -> None:
    objects.put(NAME, b"x")
    assert objects.get("nba") is None
    assert objects.get(f"{NAME}/more") is None


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a\0b", "a\\..\\b", ".."],
)
def test_a_name_that_could_leave_the_store_is_refused(objects: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError, match="expected parts"):
        objects.put(name, b"x")
    with pytest.raises(ValueError, match="expected parts"):
        objects.get(name)


def test_a_reader_sees_the_old_bytes_or_the_new_while_writers_race(objects: ObjectStore) -> None:
    bodies = [bytes([65 + i]) * 200_000 for i in range(4)]
    objects.put(NAME, bodies[0])
    stop = threading.Event()

    def write(body: bytes) -> None:
        while not stop.is_set():
            objects.put(NAME, body)

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for writer in writers:
        writer.start()
    try:
        seen = [objects.get(NAME) for _ in range(200)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert all(body in bodies for body in seen)


@pytest.mark.parametrize("name", ["a b/ü#1?x=y.json", "a%2Fb", "{}/{0}", "a+b&c", "--==0==--"])
def test_a_name_may_hold_whatever_a_url_would_read_otherwise(objects: ObjectStore, name: str) -> None:
    objects.put(name, b"x")
    assert objects.get(name) == b"x"
    assert objects.put_over(name, b"y", b"x")
    assert objects.get(name) == b"y"


def test_what_stands_is_replaced_by_who_has_seen_it(objects: ObjectStore) -> None:
    assert objects.put_over(NAME, b"first", None)
    assert objects.put_over(NAME, b"second", b"first")
    assert objects.get(NAME) == b"second"


@pytest.mark.parametrize("standing", [None, b"", b"first", b"secon"])
def test_what_stands_is_kept_from_who_has_seen_something_else(objects: ObjectStore, standing: bytes | None) -> None:
    objects.put(NAME, b"first")
    objects.put(NAME, b"second")
    assert not objects.put_over(NAME, b"third", standing)
    assert objects.get(NAME) == b"second"


def test_what_is_not_there_is_not_replaced(objects: ObjectStore) -> None:
    assert not objects.put_over(NAME, b"new", b"old")
    assert objects.get(NAME) is None


@pytest.mark.parametrize("standing", [None, b"old"])
def test_of_those_who_saw_the_same_exactly_one_wins(objects: ObjectStore, standing: bytes | None) -> None:
    if standing is not None:
        objects.put(NAME, standing)
    bodies = [b"%d" % number for number in range(21)]
    start = threading.Barrier(len(bodies))

    def replace(body: bytes) -> bool:
        start.wait()
        return objects.put_over(NAME, body, standing)

    with ThreadPoolExecutor(len(bodies)) as pool:
        won = list(pool.map(replace, bodies))
    assert sum(won) == 1
    assert objects.get(NAME) == bodies[won.index(True)]


def test_counting_over_each_other_loses_nothing(objects: ObjectStore) -> None:
    objects.put(NAME, b"0")

    def count(_: int) -> None:
        for _ in range(5):
            while True:
                standing = objects.get(NAME)
                assert standing
                if objects.put_over(NAME, b"%d" % (int(standing) + 1), standing):
                    break

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert objects.get(NAME) == b"20"


# --- which store a url names ------------------------------------------------------------------------


def test_a_file_url_and_its_path_are_the_same_folder(tmp_path: Path) -> None:
    open_objects((tmp_path / "a b").as_uri()).put(NAME, b"x")
    assert open_objects(str(tmp_path / "a b")).get(NAME) == b"x"


def test_two_memories_know_nothing_of_each_other() -> None:
    open_objects("memory://").put(NAME, b"x")
    assert open_objects("memory://").get(NAME) is None


def test_prefixes_of_one_bucket_know_nothing_of_each_other(bucket: Storage) -> None:
    for number, prefix in enumerate(("", "/a", "/a/b/")):
        open_objects(f"gs://{BUCKET}{prefix}", endpoint=bucket.endpoint).put("x.json", b"%d" % number)
    assert {name: held[1] for name, held in bucket.objects.items()} == {
        "x.json": b"0",
        "a/x.json": b"1",
        "a/b/x.json": b"2",
    }


@pytest.mark.parametrize(
    "url", ["", "s3://bucket/x", "gs://", "gs:///x", "gs://Big_Bucket/x", "gs://bucket/../x", "file://host/x", "gs://b"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        open_objects(url)


# --- a bucket ---------------------------------------------------------------------------------------


def test_a_put_of_another_process_is_seen_at_once(bucket: Storage) -> None:
    objects, other = in_bucket(bucket), in_bucket(bucket)
    assert objects.get(NAME) is None
    other.put(NAME, b"old")
    assert objects.get(NAME) == b"old"
    bucket.put(f"exports/{NAME}", b"new")
    assert objects.get(NAME) == b"new"


def test_a_get_and_a_put_are_one_request_each(bucket: Storage) -> None:
    objects = in_bucket(bucket)
    objects.put(NAME, b"x")
    objects.get(NAME)
    assert [call.split()[0] for call in bucket.calls] == ["POST", "GET"]


def test_a_document_says_what_it_is(bucket: Storage) -> None:
    objects = in_bucket(bucket)
    objects.put(NAME, b"{}")
    objects.put("nba/noise", b"\x00")
    kinds = [kind for _, _, kind in bucket.objects.values()]
    assert kinds == ["application/json", "application/octet-stream"]


def test_a_body_of_megabytes_goes_whole(bucket: Storage) -> None:
    body = b"--==0==\n" * 400_000
    objects = in_bucket(bucket)
    objects.put(NAME, body)
    assert objects.get(NAME) == body


def test_a_put_whose_answer_was_lost_comes_again_and_stands(bucket: Storage) -> None:
    bucket.losses = 1
    in_bucket(bucket).put(NAME, b"x")
    assert in_bucket(bucket).get(NAME) == b"x"
    assert len(bucket.calls) == 3


def test_of_a_put_over_whose_answer_was_lost_nothing_is_claimed_but_it_stands(bucket: Storage) -> None:
    objects = in_bucket(bucket)
    bucket.losses = 1
    assert not objects.put_over(NAME, b"x", None)
    assert objects.get(NAME) == b"x"


@pytest.mark.parametrize(
    ("status", "said", "remedy"),
    [
        (
            403,
            "functions@p.iam does not have storage.objects.get access",
            "grant this account roles/storage.objectUser",
        ),
        (401, "Anonymous caller does not have access", "no valid credentials"),
        (400, "The name is too long", "correct the name"),
        (418, "out of tea", "call again later"),
    ],
)
def test_a_refusal_is_an_os_error_with_the_object_the_reason_and_the_remedy(
    bucket: Storage, status: int, said: str, remedy: str
) -> None:
    objects = in_bucket(bucket)
    for act in (lambda: objects.get(NAME), lambda: objects.put(NAME, b"the body")):
        bucket.refusals = [(status, said)]
        with pytest.raises(OSError, match=remedy) as caught:
            act()
        assert f"gs://{BUCKET}/exports/{NAME}" in str(caught.value)
        assert said in str(caught.value)
        assert "the body" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named_at_the_first_put(bucket: Storage) -> None:
    objects = open_objects("gs://nowhere-at-all/exports", endpoint=bucket.endpoint)
    assert objects.get(NAME) is None
    with pytest.raises(OSError, match=f"^gs://nowhere-at-all/exports/{NAME}: there is no bucket"):
        objects.put(NAME, b"x")


def test_missing_credentials_are_an_os_error_that_says_how_to_get_some(tmp_path: Path) -> None:
    opening = "from shared.adapters.objects import open_objects\nopen_objects('gs://bucket/exports')"
    environ = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    run = subprocess.run([sys.executable, "-c", opening], env=environ, capture_output=True, text=True, check=False)
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("OSError: gs://bucket/exports: no valid credentials; give the function a service account")


# --- a folder ---------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


WRITER = """
import sys
from pathlib import Path
from shared.adapters.objects import FolderObjects
objects = FolderObjects(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    objects.put("a/b", (b"%d" % (number % 10)) * 1_000_000)
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_object(tmp_path: Path) -> None:
    for pause_s in (0.0, 0.011, 0.023, 0.037):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
        time.sleep(pause_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        body = FolderObjects(tmp_path).get("a/b")
        assert body is not None
        assert len(body) == 1_000_000
        assert len(set(body)) == 1


def test_a_put_leaves_one_file_and_nothing_else(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    objects.put(NAME, b"x")
    objects.put(NAME, b"y")
    objects.put_over(NAME, b"z", b"y")
    objects.put_over(NAME, b"z", b"y")
    assert files(tmp_path) == ["results.json"]


def test_a_full_disk_is_an_os_error_with_the_path_and_the_old_object_stands(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    objects.put(NAME, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))  # writing more fails as on a full disk
    try:
        with pytest.raises(OSError, match="results") as caught:
            objects.put(NAME, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG
    assert objects.get(NAME) == b"old"
    assert files(tmp_path) == ["results.json"]


def test_a_root_that_is_a_file_is_an_os_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")
    with pytest.raises(OSError, match="root"):
        FolderObjects(tmp_path / "root").put(NAME, b"x")
