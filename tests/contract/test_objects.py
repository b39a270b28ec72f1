"""Does every ObjectStore keep the promises of shared/ports.py?"""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.adapters.objects import FolderObjects, MemoryObjects
from shared.ports import ObjectStore

NAME = "nba/2024-01-15/results.json"


@pytest.fixture(params=["folder", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    stores: dict[str, Callable[[], ObjectStore]] = {
        "folder": lambda: FolderObjects(tmp_path / "objects"),
        "memory": MemoryObjects,
    }
    return stores[request.param]()


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
