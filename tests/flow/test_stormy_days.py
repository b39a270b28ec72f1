"""Three days on the emulators while everything breaks: each publishes, and leaves what an undisturbed run leaves.

What the embedded runtime leaves undisturbed is the measure, to the last key of a document and the tenth digit of a row;
save times, attempts and commit may differ, and with the attempt the fence that is made of it. `make soak` does twenty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread

import pytest

from orchestration import emulators
from tests.flow.between import Diary, Postman, wired
from tests.flow.snapshot import KEYS
from tests.flow.storm import Day, Left, differences, undisturbed, weather

REAL_DAY = date(2024, 1, 15)


@pytest.fixture
def hosts(pubsub_emulator: str, firestore_emulator: str, bigquery_emulator: str) -> Mapping[str, str]:
    return dict(
        zip(emulators.VARIABLES.values(), (pubsub_emulator, firestore_emulator, bigquery_emulator), strict=True)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "mode"), [(1, "overnight"), (2, "same_day")])
def test_a_stormy_day_leaves_what_an_undisturbed_one_leaves(
    season: Path, night: date, hosts: Mapping[str, str], tmp_path: Path, seed: int, mode: str
) -> None:
    assert_it_is_weathered(Day(data=season, date=night, mode=mode), seed, hosts, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stormy_day_of_the_real_season_leaves_what_an_undisturbed_one_leaves(
    request: pytest.FixtureRequest, season: Path, night: date, hosts: Mapping[str, str], tmp_path: Path
) -> None:
    """Where the real season is not here, it is another day of the synthetic one."""
    day = Day(data=season, date=night, mode="same_day")
    with suppress(pytest.skip.Exception):
        day = Day(data=request.getfixturevalue("real_data"), date=REAL_DAY, mode="same_day")
    assert_it_is_weathered(day, 3, hosts, tmp_path)


def assert_it_is_weathered(day: Day, seed: int, hosts: Mapping[str, str], folder: Path) -> None:
    expected = undisturbed(day, folder / "undisturbed")
    weathered = weather(day, seed, hosts, folder)
    faults = [*weathered.faults, *differences(weathered.left, expected)]
    assert not faults, weathered.told(faults)


LEFT = Left(
    documents={"nba/2025-10-31/results.json": {"games": [1, 2]}},
    rows={table: [(("game_id", "g1"), ("points", 1.5))] for table in KEYS},
    counts=dict.fromkeys(KEYS, 10),
)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(
            replace(LEFT, documents={"nba/2025-10-31/results.json": {"games": [1, 3]}}), "results.json", id="a document"
        ),
        pytest.param(replace(LEFT, documents={}), "results.json", id="a document less"),
        pytest.param(
            replace(LEFT, documents={**LEFT.documents, "nba/2025-10-31/other.json": {}}), "other", id="one more"
        ),
        pytest.param(replace(LEFT, rows={**LEFT.rows, "nba_scrape.schedule": []}), "0 rows, not 1", id="a row less"),
        pytest.param(
            replace(LEFT, rows={**LEFT.rows, "nba_scrape.schedule": LEFT.rows["nba_scrape.schedule"] * 2}),
            "2 rows, not 1",
            id="a row twice",
        ),
        pytest.param(
            replace(LEFT, rows={**LEFT.rows, "nba_scrape.schedule": [(("game_id", "g1"), ("points", 1.6))]}),
            "1.6",
            id="a value",
        ),
        pytest.param(replace(LEFT, counts={**LEFT.counts, "nba_scrape.schedule": 11}), "11 rows in all", id="history"),
    ],
)
def test_a_difference_is_told(changed: Left, said: str) -> None:
    assert list(differences(LEFT, LEFT)) == []
    [told] = differences(changed, LEFT)
    assert said in told


def test_a_cut_wire_ends_its_connections_and_refuses_new_ones_for_a_while() -> None:
    with answering(200) as (host, _), wired({"HOST": f"http://{host}"}) as wires:
        connection = HTTPConnection(wires.hosts["HOST"].removeprefix("http://"), timeout=5)
        assert post(connection, b"") == 200
        assert wires.cut("HOST", refuse_s=60) == 1
        for _ in range(2):
            with pytest.raises(OSError, match=r"reset|closed"):
                post(connection, b"")
            connection.close()
        wires.cut("HOST", refuse_s=0)
        assert post(connection, b"") == 200
        connection.close()


def test_a_postman_delivers_to_whom_it_is_for_and_notes_what_has_not_come_to_a_good_end(tmp_path: Path) -> None:
    with answering(204) as (host, bodies):
        postman = Postman(project="storm-a", broken="raw", dice=Random(1), diary=Diary(tmp_path / "log"))
        for name in ("raw", "gone"):
            postman.through(name, f"http://{host if name == 'raw' else '127.0.0.1:9'}")
        assert postman.push("raw", {}, push("storm-a", "1")) == 204
        assert postman.push("raw", {}, push("storm-b", "2")) == 204, "so that it does not come again"
        assert bodies == [push("storm-a", "1")], "of another world: not delivered"
        assert postman.push("gone", {}, push("storm-a", "3")) == 502
        postman.is_calm = False
        assert postman.push("raw", {}, push("storm-a", "4")) == 500
        assert bodies == [push("storm-a", "1")], "its bad minute: not delivered"
        assert postman.unanswered == ["raw--topic 3: 502", "raw--topic 4: 500"]
        postman.is_calm = True
        assert postman.push("raw", {}, push("storm-a", "4")) == 204
        assert postman.unanswered == ["raw--topic 3: 502"]


def push(project: str, id: str) -> bytes:
    told = {"subscription": f"projects/{project}/subscriptions/raw--topic", "message": {"messageId": id}}
    return json.dumps(told).encode()


def post(connection: HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/", body)
    response = connection.getresponse()
    response.read()
    return response.status


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[bytes]]]:
    """A function that answers so: its host, and the bodies that it got."""
    bodies: list[bytes] = []

    class Function(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Of connections that were cut."""

    server = Quiet(("127.0.0.1", 0), Function)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
