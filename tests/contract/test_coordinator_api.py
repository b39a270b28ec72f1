"""What the coordinator answers over HTTP, under the real functions-framework, on embedded parts.

Past 400 lines because every answer is asked for on one world: a run whose gates are really passed, and its batches.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import functions_framework
import jsonschema_rs
import pytest
import schemathesis
from flask.testing import FlaskClient
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from werkzeug.test import TestResponse

from predictions.coordinator.api import Api
from predictions.coordinator.coordinator import Inputs
from predictions.coordinator.routes import ROUTES, Status
from predictions.coordinator.service import begin
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.firestore import Firestore
from shared.adapters.sqlite import Sqlite
from shared.config.functions import PREDICTION_READY_TOPIC, PREDICTION_START_TOPIC
from shared.config.nba import NBA
from shared.core.batch import batch_id
from shared.core.codec import encode, from_data
from shared.core.messages import read_ready, read_start, ready_message
from shared.core.model import Act, Completion, Control, RunKey, Start
from shared.core.model import Status as Ended
from shared.core.openapi import document, read_body
from shared.core.subscriptions import subscription_of
from shared.core.words import UNTIL_MAX
from shared.deployed import once
from shared.endpoint import EVERYONES, NOBODY, ROUTE_BYTES_MAX, Endpoint, Identity, Parts, who_asks
from shared.ports import BatchStore, Bus, Ports, StateStore
from shared.readings import readers
from shared.service import Service
from tests.flow.batches import DAY, NOW, UNITS, World, double, failed
from tests.flow.batches import Parts as BatchParts
from tests.house.tree import ROOT

RUN = RunKey("nba", DAY, "same_day")
BATCH = f"{RUN}/predictions/1"
[PHASE] = [phase for phase in NBA.phases if phase.name == "predictions"]
UPSTREAM = [phase.start_topic for phase in NBA.phases if phase.start_topic != PREDICTION_START_TOPIC]
WHO = {"service": "prediction_coordinator", "version": "0123abc", "config_hash": "c0ffee"}
FOUND = {"games": ("g1", "g2"), "next_games": ("g1", "g2"), "announced": ("g1", "g2"), "players": UNITS}
PERSON = {"actor": "ann", "reason": "the feed was mended"}
MAIN = """
import functions_framework
from tests.contract.test_coordinator_api import served

@functions_framework.http
def coordinator(request):
    return served[{key!r}](request)
"""

served: dict[str, Endpoint] = {}
"""What the framework's functions of this module call, by the folder that each was loaded from."""


SAID = document("coordinator", "0123abc", (*ROUTES, *EVERYONES))
"""The document, by which every answer of these tests is weighed."""


class Weighed(FlaskClient):
    """A client that takes no answer which its route does not declare."""

    def open(self, *arguments: Any, **named: Any) -> TestResponse:
        answer = super().open(*arguments, **named)
        paths: Any = SAID["paths"]
        operation = paths.get(answer.request.path.rstrip("/") or "/", {}).get(answer.request.method.lower())
        if operation:
            declared = operation["responses"].get(str(answer.status_code))
            assert declared, f"{answer.request.path} declares no {answer.status_code}"
            for told_ in declared.get("content", {}).values():
                schema = {**told_["schema"], "components": SAID["components"]}
                jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json)
        return answer


@dataclass
class Site:
    """The deployed coordinator's endpoint on embedded parts, a run whose gates are real, and workers who do as told."""

    states: StateStore
    bus: Bus
    world: World
    client: FlaskClient = field(init=False)
    away: bool = False  # the inputs
    found: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(FOUND))

    def __post_init__(self) -> None:
        self.ports = Ports(states=self.states, bus=self.bus, clock=self.world, readers=readers(self.states))
        self.service = Service(self.ports, {"nba": NBA}, starts_missing_runs=False)
        for topic in (*UPSTREAM, PREDICTION_START_TOPIC):
            self.bus.subscribe(f"{topic}-heard", topic)
        self.coordinator = replace(self.world.coordinator, gather=self.gather)

    def gather(self, start: Start) -> Inputs:
        if self.away:
            raise OSError("the warehouse is away")
        return self.world.gather(start)

    def parts(self) -> Parts:
        api = Api(coordinator=self.coordinator, service=self.service, states=self.states, spec=NBA, phase=PHASE)
        return Parts(
            ports=self.ports,
            handlers={
                PREDICTION_START_TOPIC: lambda body: begin(self.coordinator, PHASE, body),
                PREDICTION_READY_TOPIC: lambda body: self.coordinator.on_ready(read_ready(body)),
            },
            checks={"state": lambda: self.states.plan(RUN)},
            routes=api.responders(),
        )

    # --- a run -----------------------------------------------------------------------------------------

    def open(self, run: RunKey = RUN, until: str = "predictions") -> None:
        """Begin a run and do all that is ordered before this phase; the night before, which nobody ran, is not waited
        for."""
        self.service.start_run(run)
        self.world.pass_by(31 * 60)
        self.service.advance(run)
        before = [phase.start_topic for phase in NBA.phases[: [phase.name for phase in NBA.phases].index(until)]]
        while starts := self.starts(before):
            for start in starts:
                assert self.service.on_completion(self.done(start)) is None

    def starts(self, topics: Sequence[str]) -> list[Start]:
        names = [f"{topic}-heard" for topic in topics]
        pulled = self.bus.pull(names, limit=100, now=self.world.now(), lease_s=60)
        self.bus.ack(pulled)
        return [read_start(delivery.data) for delivery in pulled]

    def done(self, start: Start) -> Completion:
        [spec] = [spec for phase in NBA.phases for spec in phase.processors if spec.name == start.processor]
        units = None if start.units is None else len(start.units)
        return Completion(
            run=start.run,
            phase=start.phase,
            processor=start.processor,
            attempt=start.attempt,
            report=1,
            status=Ended.SUCCESS,
            units_expected=units,
            units_actual=units,
            digest="d",
            found={name: self.found[name] for name in spec.finds},
        )

    def finish(self) -> None:
        """All that the batch has ordered, done, and its completion heard by the gate."""
        self.world.work()
        for completion in self.world.completions():
            self.service.on_completion(completion)

    def say(self, **words: Act | None) -> None:
        """An operator's word on the run."""
        control = self.states.load(RUN).control
        assert self.states.set_control(RUN, Control(version=control.version + 1, **words))

    # --- who asks --------------------------------------------------------------------------------------

    def post(self, path: str, asked: object, **more: Any) -> TestResponse:
        return self.client.post(path, json=asked, **more)

    def status(self, batch: str = BATCH) -> Any:
        answer = self.client.get("/status", query_string={"batch": batch})
        assert answer.status_code == 200, answer.json
        return answer.json


@contextmanager
def site_on(states: StateStore, batches: BatchStore, folder: Path) -> Iterator[Site]:
    bus, warehouse, key = Sqlite(":memory:"), DuckDbWarehouse(":memory:"), str(folder)
    site = Site(states, bus.bus, World(double, parts=BatchParts(batches, bus.bus, warehouse, bus.close, 1)))
    served[key] = Endpoint(Identity(**WHO), once(site.parts), routes=ROUTES)
    (folder / "main.py").write_text(MAIN.format(key=key))
    app: Any = functions_framework.create_app("coordinator", str(folder / "main.py"), "http")  # type: ignore[no-untyped-call]
    app.test_client_class = Weighed
    site.client = app.test_client()
    yield site
    del served[key]
    bus.close()
    warehouse.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Sqlite(":memory:")
    with site_on(store.states, store.batches, tmp_path) as site:
        yield site
    store.close()


@pytest.fixture
def cloud_site(tmp_path: Path, firestore_emulator: str) -> Iterator[Site]:
    store = Firestore(f"t{uuid4().hex[:12]}", emulator=firestore_emulator)
    with site_on(store.states, store.batches, tmp_path) as site:
        yield site
    store.close()


def told(answer: TestResponse) -> tuple[int, dict[str, Any]]:
    assert isinstance(answer.json, dict), answer.data
    return answer.status_code, answer.json


def url(batch: str) -> str:
    return f"/status?batch={batch.replace('/', '%2F')}"


# --- start ----------------------------------------------------------------------------------------------


def test_a_start_whose_inputs_are_there_begins_the_batch(site: Site) -> None:
    site.open()
    answer = site.post("/start", {"run": str(RUN)})
    assert told(answer) == (202, {"batch": BATCH, "units": 120, "status_url": url(BATCH)})
    assert len(site.world.orders()) == 3
    assert site.client.get(url(BATCH)).status_code == 200


def test_a_date_and_a_mode_mean_the_newest_generation(site: Site) -> None:
    site.open()
    site.open(replace(RUN, generation=2))
    status, body = told(site.post("/start", {"date": "2024-01-15", "mode": "same_day"}))
    assert (status, body["batch"]) == (202, "nba.2024-01-15.same_day.2/predictions/1")


def test_a_batch_that_works_is_not_begun_again(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    for asked in ({"run": str(RUN)}, {"run": str(RUN), "force": True, **PERSON}):
        status, body = told(site.post("/start", asked))
        assert (status, body["batch"], body["error"]) == (409, BATCH, f"batch {BATCH} works already")
    assert site.world.gathered == 1


def test_a_batch_that_a_message_began_is_found(site: Site) -> None:
    site.open()
    [start] = site.starts([PREDICTION_START_TOPIC])
    site.coordinator.on_start(start)
    assert told(site.post("/start", {"run": str(RUN)}))[0] == 409


def test_a_batch_that_has_ended_is_told_with_how(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    status, body = told(site.post("/start", {"run": str(RUN)}))
    assert (status, body) == (
        200,
        {"state": "success", "reason": "", "batch": BATCH, "units": 120, "status_url": url(BATCH)},
    )


def test_where_nothing_is_expected_nothing_is_begun(site: Site) -> None:
    site.found |= {"games": (), "next_games": (), "announced": ()}
    site.open()
    status, body = told(site.post("/start", {"run": str(RUN)}))
    assert (status, body["state"]) == (200, "nothing_expected")
    assert site.world.gathered == 0


def test_games_without_a_unit_are_told_and_the_run_goes_on(site: Site) -> None:
    site.found |= {"players": ()}
    site.world.units = ()
    site.open()
    for _ in range(2):
        status, body = told(site.post("/start", {"run": str(RUN)}))
        assert (status, body) == (404, {"error": f"{RUN} expects 2 games and no units: {BATCH} is empty"})
    assert site.world.completions()[0].status is Ended.SKIPPED


@pytest.mark.parametrize("asked", [{"run": str(RUN)}, {"date": "2024-01-15", "mode": "same_day"}])
def test_a_run_that_has_not_begun_is_not_ready(site: Site, asked: object) -> None:
    answer = site.post("/start", asked)
    status, body = told(answer)
    assert (status, body["missing"]) == (503, [{"name": str(RUN), "why": "it has not begun"}])
    assert answer.headers["Retry-After"] == "60"


def test_a_run_of_a_day_to_come_is_looked_at_again_when_it_usually_begins(site: Site) -> None:
    status, body = told(site.post("/start", {"date": "2024-01-16", "mode": "same_day"}))
    assert (status, body["next_look_at"]) == (503, "2024-01-16T15:30:00.000000Z")


def test_inputs_that_are_not_there_are_named_with_when_to_ask_again(site: Site) -> None:
    site.open(until="precompute")
    answer = site.post("/start", {"run": str(RUN)})
    status, body = told(answer)
    assert status == 503
    assert {each["name"] for each in body["missing"]} >= {"player_daily_cache", "ml_feature_store"}
    assert all(each["why"] for each in body["missing"])
    wait_s = (datetime.fromisoformat(body["next_look_at"]) - site.world.now()).total_seconds()
    assert answer.headers["Retry-After"] == str(round(wait_s))
    assert site.world.gathered == 0


def test_a_replay_from_a_later_phase_has_no_batch(site: Site) -> None:
    site.open()
    plan = site.states.plan(RUN)
    assert plan is not None
    later = replace(plan, run=replace(RUN, generation=2), phases=plan.phases[-1:])
    assert site.states.create_run(later)
    status, body = told(site.post("/start", {"date": "2024-01-15", "mode": "same_day"}))
    assert (status, body["error"]) == (400, f"run: {later.run} does not plan predictions; it plans export")


def test_a_run_that_has_failed_is_not_to_be_asked_again(site: Site) -> None:
    site.open(until="precompute")
    for _ in range(200):
        site.world.pass_by(3_600)
        site.service.sweep()
    answer = site.post("/start", {"run": str(RUN)})
    status, body = told(answer)
    assert (status, "next_look_at" in body, "Retry-After" in answer.headers) == (503, False, False)


def test_a_run_that_has_failed_without_its_batch_does_not_get_one(site: Site) -> None:
    site.open()
    for _ in range(200):
        site.world.pass_by(3_600)
        site.service.sweep()
    answer = site.post("/start", {"run": str(RUN)})
    status, body = told(answer)
    assert (status, body["missing"][0]["name"], "Retry-After" in answer.headers) == (503, str(RUN), False)
    assert body["missing"][0]["why"].startswith("it has failed: ")
    assert site.world.gathered == 0


@pytest.mark.parametrize("word", ["hold", "cancel"])
def test_against_a_persons_word_nothing_is_begun(site: Site, word: str) -> None:
    site.open()
    act = Act(actor="bob", reason="the feed is wrong", at=NOW, until=site.world.now() + timedelta(minutes=5))
    site.say(**{word: act})
    answer = site.post("/start", {"run": str(RUN)})
    status, body = told(answer)
    assert (status, site.world.gathered) == (503, 0)
    assert "by bob: the feed is wrong" in body["missing"][0]["why"]
    assert answer.headers.get("Retry-After") == ("300" if word == "hold" else None)


def test_inputs_that_cannot_be_read_begin_nothing_and_report_nothing(site: Site) -> None:
    site.open()
    site.away = True
    answer = site.post("/start", {"run": str(RUN)})
    status, body = told(answer)
    assert (status, body["missing"]) == (503, [{"name": BATCH, "why": "OSError: the warehouse is away"}])
    assert site.world.completions() == []
    site.away = False
    assert site.post("/start", {"run": str(RUN)}).status_code == 202


class Mute:
    """A bus that takes nothing."""

    def publish(self, *_: object) -> None:
        raise OSError("the bus is away")


def test_a_batch_whose_orders_could_not_be_sent_has_begun_all_the_same(site: Site) -> None:
    site.open()
    mute: Any = Mute()
    whole, site.coordinator = site.coordinator, replace(site.coordinator, bus=mute)
    assert told(site.post("/start", {"run": str(RUN)}))[0] == 202
    site.world.pass_by(60)
    assert whole.due() == (BATCH,)


@pytest.mark.parametrize("where", ["site", "cloud_site"], ids=["embedded", "Firestore"])
def test_starts_at_once_begin_one_batch(where: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(where)
    site.open()
    together, answers = threading.Barrier(8), list[tuple[int, dict[str, Any]]]()

    def ask() -> None:
        client = site.client.application.test_client()
        together.wait()
        answers.append(told(client.post("/start", json={"run": str(RUN)})))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert {body["batch"] for _, body in answers} == {BATCH}
    assert {status for status, _ in answers} <= {202, 409}
    assert site.world.batches.latest("nba", 9) == (BATCH,)


# --- another attempt ------------------------------------------------------------------------------------


def test_force_does_all_of_a_batch_again_at_a_persons_word(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    status, body = told(site.post("/start", {"run": str(RUN), "force": True, **PERSON}))
    assert (status, body["batch"], body["units"]) == (202, f"{RUN}/predictions/2", 120)
    assert sum(len(order.units) for order in site.world.orders()) == 120
    [_, start] = site.starts([PREDICTION_START_TOPIC])
    assert start.by == Act(actor="ann", reason="the feed was mended", at=site.world.now())
    assert told(site.post("/start", {"run": str(RUN), "force": True, **PERSON}))[0] == 409


def test_forced_at_once_every_attempt_that_is_told_is_begun_once(cloud_site: Site) -> None:
    cloud_site.open()
    cloud_site.post("/start", {"run": str(RUN)})
    cloud_site.finish()
    together, answers = threading.Barrier(4), list[tuple[int, dict[str, Any]]]()

    def ask() -> None:
        client = cloud_site.client.application.test_client()
        together.wait()
        answers.append(told(client.post("/start", json={"run": str(RUN), "force": True, **PERSON})))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun = {body["batch"] for status, body in answers if status == 202}
    assert {status for status, _ in answers} <= {202, 409}
    assert begun
    assert set(cloud_site.world.batches.latest("nba", 9)) == {BATCH, *begun}
    assert cloud_site.world.gathered == 1 + len(begun)


def test_force_does_units_again_and_takes_over_the_others(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    asked = {"run": str(RUN), "force": True, "units": ["u007", "u008"], **PERSON}
    status, body = told(site.post("/start", asked))
    assert (status, body["units"]) == (202, 120)
    orders = site.world.orders()
    assert {"u007", "u008"} <= {unit.id for order in orders for unit in order.units}
    assert sum(len(order.units) for order in orders) == 50, "the chunk that they lie in"
    for order in orders:
        site.coordinator.on_ready(site.world.do(order))
    assert len(site.world.rows()) == 120


def test_force_names_the_first_unit_that_the_batch_does_not_have(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    status, body = told(site.post("/start", {"run": str(RUN), "force": True, "units": ["u007", "no\x00one"], **PERSON}))
    assert status == 400
    assert body["error"] == f"units: 'no\\x00one' is none of those of {BATCH}; name others"
    assert site.world.orders() == []


def test_force_begins_what_has_not_begun(site: Site) -> None:
    site.open()
    assert told(site.post("/start", {"run": str(RUN), "force": True, **PERSON}))[1]["batch"] == BATCH


def test_force_names_the_first_unit_that_nobody_wants_before_there_is_a_batch(site: Site) -> None:
    site.open()
    status, body = told(site.post("/start", {"run": str(RUN), "force": True, "units": ["u007", "nobody"], **PERSON}))
    assert (status, "'nobody' is none of those of" in body["error"]) == (400, True)
    assert site.world.gathered == 0


def test_units_that_could_not_be_done_anew_are_done_when_they_are_asked_for_again(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    asked = {"run": str(RUN), "force": True, "units": ["u007"], **PERSON}
    site.away = True
    assert told(site.post("/start", asked))[0] == 503
    site.away = False
    assert told(site.post("/start", asked))[1]["batch"] == f"{RUN}/predictions/2"
    assert sum(len(order.units) for order in site.world.orders()) == 50


def test_force_does_nothing_in_a_run_that_is_held(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    site.finish()
    site.say(hold=Act(actor="bob", reason="the feed is wrong", at=NOW))
    status, body = told(site.post("/start", {"run": str(RUN), "force": True, **PERSON}))
    assert (status, body["error"]) == (409, f"{RUN} is held by bob: the feed is wrong")


# --- what cannot be read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "it has nothing; send run, or date and mode"),
        ({"run": str(RUN), "date": "2024-01-15", "mode": "same_day"}, "send run, or date and mode"),
        ({"date": "2024-01-15"}, "it has date; send run, or date and mode"),
        ({"run": "nba.2024-01-15"}, "run: expected a run, got 'nba.2024-01-15'"),
        ({"run": "mlb.2024-01-15.same_day.1"}, "is no run of nba"),
        ({"run": "nba.2024-01-15.overnight.1"}, "'overnight' does not plan predictions; use same_day, tomorrow"),
        ({"date": "2024-01-15", "mode": "at_dawn"}, "mode: 'at_dawn' is no mode of nba"),
        ({"date": "20240115", "mode": "same_day"}, "date: expected a date YYYY-MM-DD, got '20240115'"),
        ({"run": str(RUN), "who": "ann"}, "key 'who' is not known; known are run, date"),
        ({"run": str(RUN), "force": "yes"}, "force: expected bool, got 'yes'"),
        ({"run": str(RUN), "force": True}, "reason: '' says nothing"),
        ({"run": str(RUN), "units": ["u001"]}, "units: only force does units anew"),
        ({"run": str(RUN), "force": True, "units": [], **PERSON}, "units: [] names none"),
        ({"run": str(RUN), "force": True, "units": ["x" * 41], **PERSON}, "has 41 characters"),
        ({"run": str(RUN), "actor": "ann\x1b[2J"}, "is not a line of at most 500 printable characters"),
        ({"run": str(RUN), "reason": "x" * 501}, "has 501 characters"),
        ([], "expected an object, got a list"),
        ("run", "expected an object, got 'run'"),
    ],
)
def test_what_cannot_be_read_names_key_value_and_remedy(site: Site, asked: object, why: str) -> None:
    status, body = told(site.post("/start", asked))
    assert status == 400
    assert why in body["error"]
    assert site.world.batches.latest("nba", 9) == ()


HOSTILE = {
    "deep": b'{"run":' * 20_000,
    "deep lists": b'{"run":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "half a surrogate": b'{"run": "\\ud800"}',
    "no number": b'{"run": NaN}',
    "a number without end": b'{"run": -Infinity}',
    "digits without end": b'{"run": ' + b"9" * 5_000 + b"}",
    "a key twice": json.dumps({"run": str(RUN)})[:-1].encode() + b', "run": "nba.2024-01-15.tomorrow.1"}',
    "no UTF-8": b'{"run": "\xff\xfe"}',
    "a null byte": b'{"run": "nba\\u0000"}',
    "no JSON": b"run=nba",
    "nothing": b"",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_refused_in_a_line(site: Site, body: bytes) -> None:
    site.open()
    answer = site.client.post("/start", data=body, content_type="application/json")
    status, told_ = told(answer)
    assert status == 413 if len(body) > ROUTE_BYTES_MAX else status == 400
    assert len(answer.data) < 500
    assert told_["error"].isprintable()
    assert site.world.batches.latest("nba", 9) == ()


def test_ten_megabytes_are_not_read(site: Site) -> None:
    answer = site.client.post("/start", data=b" " * 10_000_000, content_type="application/json")
    assert told(answer) == (413, {"error": f"10000000 bytes: a request has at most {ROUTE_BYTES_MAX}"})


def test_a_body_that_does_not_say_how_long_it_is_is_read_no_further_than_any_request(site: Site) -> None:
    body = io.BytesIO(b" " * 1_000_000)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": body, "wsgi.input_terminated": True}
    answer = site.client.post("/start", environ_overrides=chunked, content_type="application/json")
    assert told(answer) == (413, {"error": f"a request has at most {ROUTE_BYTES_MAX} bytes"})
    assert body.tell() <= 2 * ROUTE_BYTES_MAX


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json-seq", None])
def test_what_is_not_said_to_be_json_is_refused(site: Site, kind: str | None) -> None:
    answer = site.client.post("/start", data=json.dumps({"run": str(RUN)}), content_type=kind)
    status, body = told(answer)
    assert (status, body["error"].endswith("is not JSON; send application/json")) == (415, True)


@pytest.mark.parametrize(
    "batch",
    [
        "../../etc/passwd",
        f"{RUN}/predictions/1/../1",
        f"{RUN}/predictions/01",
        f"{RUN}/../1",
        "",
        f"{BATCH}\n",
        "a" * 9_999,
    ],
)
@pytest.mark.parametrize("path", ["/status", "/recover-stalled", "/seal", "/cancel"])
def test_what_can_be_no_batch_reaches_no_store(site: Site, batch: str, path: str) -> None:
    asked = {"batch": batch} if path in ("/status", "/recover-stalled") else {"batch": batch, **PERSON}
    answer = site.client.get(path, query_string=asked) if path == "/status" else site.post(path, asked)
    status, body = told(answer)
    assert status == 400
    assert body["error"].startswith("batch: ")


@pytest.mark.parametrize("query", ["", "batch=a&batch=b", f"batch={BATCH}&more=1", "run=nba"])
def test_a_query_is_read_as_strictly_as_a_body(site: Site, query: str) -> None:
    assert told(site.client.get("/status", query_string=query))[0] == 400


# --- how it stands, and how it ends ---------------------------------------------------------------------


def test_the_status_of_a_batch_tells_what_its_document_says(site: Site) -> None:
    site.open()
    site.world.predict = lambda unit: failed(unit, again=True) if unit.id < "u003" else double(unit)
    site.post("/start", {"run": str(RUN)})
    open_ = site.status()
    site.world.work()
    tried = site.status()
    assert from_data(Status, open_).state.value == from_data(Status, tried).state.value == "open"
    assert (open_["under_way"], tried["ended"], tried["to_try_again"]) == (120, 117, 3)
    assert tried["causes"][0]["units"] == ["u000", "u001", "u002"]
    site.post("/seal", {"batch": BATCH, **PERSON})
    ended = from_data(Status, site.status())
    assert (ended.state.value, ended.failed, ended.act) == ("sealed", 3, {**(ended.act or {}), **PERSON})


@pytest.mark.parametrize(
    "batch", ["nba.2024-01-15.same_day.7/predictions/1", "mlb.2024-01-15.same_day.1/predictions/1"]
)
def test_a_batch_that_is_not_known_is_told_so_everywhere(site: Site, batch: str) -> None:
    unknown = (404, {"error": f"batch {batch} is not known"})
    assert told(site.client.get("/status", query_string={"batch": batch})) == unknown
    assert told(site.post("/recover-stalled", {"batch": batch})) == unknown
    for path in ("/seal", "/cancel"):
        assert told(site.post(path, {"batch": batch, **PERSON})) == unknown


def test_stalled_batches_have_their_orders_again(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    assert len(site.world.orders()) == 3
    assert told(site.post("/recover-stalled", {})) == (200, {"recovered": []})
    site.world.pass_by(400)
    assert told(site.client.post("/recover-stalled")) == (200, {"recovered": [BATCH]})
    assert site.world.orders()


def test_a_batch_that_is_named_has_its_orders_again_at_once(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    first = site.world.orders()
    assert told(site.post("/recover-stalled", {"batch": BATCH})) == (200, {"recovered": [BATCH]})
    assert site.world.orders() == first


@pytest.mark.parametrize(("path", "state", "rows"), [("/seal", "sealed", 100), ("/cancel", "cancelled", 0)])
def test_a_person_ends_a_batch_once(site: Site, path: str, state: str, rows: int) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    for order in site.world.orders()[:2]:
        site.coordinator.on_ready(site.world.do(order))
    status, body = told(site.post(path, {"batch": BATCH, **PERSON}))
    assert (status, body["state"], body["kind"]) == (200, state, state)
    assert body["reason"] == f"{state} by ann: the feed was mended"
    assert len(site.world.rows()) == rows
    status, body = told(site.post("/cancel", {"batch": BATCH, "reason": "too late"}))
    assert (status, body["batch"]) == (409, BATCH)
    assert body["error"].startswith(f"batch {BATCH} has ended already: {state} by")


def test_ending_a_batch_needs_a_reason(site: Site) -> None:
    status, body = told(site.post("/seal", {"batch": BATCH, "actor": "ann", "reason": "  "}))
    assert (status, body["error"].startswith("reason: '  ' says nothing; send why")) == (400, True)
    assert told(site.post("/seal", {"batch": BATCH, "actor": "ann"}))[0] == 400


def test_poor_units_are_worked_on_at_a_persons_word_for_a_time(site: Site) -> None:
    site.open()
    until = (site.world.now() + timedelta(hours=1)).isoformat()
    status, body = told(site.post("/override", {"run": str(RUN), "until": until, **PERSON}))
    assert (status, body["actor"], body["reason"]) == (200, "ann", "the feed was mended")
    control = site.states.load(RUN).control
    assert control.allows_poor_at(site.world.now()) is not None
    assert control.allows_poor_at(site.world.now() + timedelta(hours=2)) is None


@pytest.mark.parametrize("ahead", [timedelta(0), UNTIL_MAX + timedelta(seconds=1), timedelta(days=-1)])
def test_a_word_that_does_not_end_by_itself_soon_is_refused(site: Site, ahead: timedelta) -> None:
    site.open()
    until = (site.world.now() + ahead).isoformat()
    status, body = told(site.post("/override", {"run": str(RUN), "until": until, **PERSON}))
    assert (status, "is not within the next 7 days" in body["error"]) == (400, True)


def test_of_a_run_that_is_not_known_nothing_is_overridden(site: Site) -> None:
    until = (site.world.now() + timedelta(hours=1)).isoformat()
    assert told(site.post("/override", {"run": str(RUN), "until": until, **PERSON}))[0] == 404
    other = {"run": "mlb.2024-01-15.same_day.1", "until": until, **PERSON}
    assert told(site.post("/override", other))[0] == 400


# --- who asks -------------------------------------------------------------------------------------------


def token(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"Bearer e30.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"


@pytest.mark.parametrize(
    ("headers", "who"),
    [
        ({}, NOBODY),
        ({"Authorization": token({"email": "ann@example.com"})}, "ann@example.com"),
        ({"authorization": token({"email": "ann@example.com"}).replace("Bearer", "bearer")}, "ann@example.com"),
        ({"Authorization": token({"sub": "7"})}, NOBODY),
        ({"Authorization": token({"email": 7})}, NOBODY),
        ({"Authorization": token({"email": "ann\x1b[2J"})}, NOBODY),
        ({"Authorization": token({"email": "   "})}, NOBODY),
        ({"Authorization": token(["email"])}, NOBODY),
        ({"Authorization": token({"email": "a" * 9_000})}, NOBODY),
        ({"Authorization": "Bearer e30.\xff\xfe.x"}, NOBODY),
        ({"Authorization": "Bearer a.b"}, NOBODY),
        ({"Authorization": "Basic YW5uOng="}, NOBODY),
        (
            {
                "Authorization": token({"email": "forged@example.com"}),
                "X-Serverless-Authorization": token({"email": "ann@example.com"}),
            },
            "ann@example.com",
        ),
    ],
)
def test_who_asks_is_who_the_verified_token_names(headers: dict[str, str], who: str) -> None:
    assert who_asks(headers) == who


def test_the_word_on_a_batch_keeps_who_gave_it_and_no_log_keeps_the_token(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    secret = token({"email": "ann@example.com"})
    with caplog.at_level("DEBUG"):
        asked = {"batch": BATCH, "reason": "enough", "actor": "the-ceo"}
        assert site.post("/seal", asked, headers={"Authorization": secret}).status_code == 200
    assert site.status()["act"]["actor"] == "ann@example.com"
    assert "POST /seal: 200" in caplog.text
    assert not [part for part in secret.split(".")[1:] if part in caplog.text]


# --- pushes, and everything else ------------------------------------------------------------------------


def pushed(data: bytes, topic: str) -> dict[str, Any]:
    subscription = subscription_of("prediction_coordinator", topic) if topic else "mine"
    message = {"data": base64.b64encode(data).decode(), "messageId": "7", "attributes": {}}
    return {"subscription": f"projects/p/subscriptions/{subscription}", "message": message}


@pytest.mark.parametrize(
    "topic", [PREDICTION_READY_TOPIC, ""], ids=["its subscription names the topic", "the path does"]
)
@pytest.mark.parametrize("path", ["/complete", "/"])
def test_a_worker_says_that_a_chunk_is_recorded(site: Site, topic: str, path: str) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    *others, last = [site.world.do(order) for order in site.world.orders()]
    for ready in others:
        site.coordinator.on_ready(ready)
    body = pushed(ready_message(last, "ready").data, topic)
    assert site.post(path, body).status_code == 204
    heard = bool(topic) or path == "/complete"
    assert (site.status()["state"] == "ended") == heard
    assert (site.states.quarantined(9) == ()) == heard


def test_what_is_no_message_is_told_so(site: Site) -> None:
    for path in ("/complete", "/"):
        assert told(site.post(path, {"message": {}}))[0] == 400


def test_a_start_comes_by_message_too_whatever_the_path(site: Site) -> None:
    site.open()
    [start] = site.starts([PREDICTION_START_TOPIC])
    body = pushed(encode(start), PREDICTION_START_TOPIC)
    assert site.post("/projects/p/topics/t", body).status_code == 204
    assert site.world.batches.latest("nba", 9) == (batch_id(start),)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/start", "POST, OPTIONS"),
        ("PUT", "/start", "POST, OPTIONS"),
        ("TRACE", "/start", "POST, OPTIONS"),
        ("POST", "/status", "GET, HEAD, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("DELETE", "/openapi.json", "GET, HEAD, OPTIONS"),
        ("GET", "/", "POST, OPTIONS"),
    ],
)
def test_at_a_known_path_another_method_is_told_which_there_are(site: Site, method: str, path: str, allow: str) -> None:
    answer = site.client.open(path, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)
    assert answer.json is not None
    assert answer.json["error"].startswith(f"{method}: use ")
    asked = site.client.options(path)
    assert (asked.status_code, asked.headers["Allow"], asked.data) == (204, allow, b"")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_told_which_there_are(site: Site, method: str) -> None:
    answer = site.client.open("/batches", method=method, json={})
    status, body = told(answer)
    assert (status, "/recover-stalled" in body["error"]) == (404, True)


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/ready", "/status"])
def test_a_head_is_a_get_without_its_body(site: Site, path: str) -> None:
    looked, asked = site.client.head(path), site.client.get(path)
    assert (looked.status_code, looked.data) == (asked.status_code, b"")
    assert looked.headers["Content-Type"] == "application/json"


def test_a_trailing_slash_changes_nothing(site: Site) -> None:
    assert site.post("/start/", {"run": str(RUN)}).status_code == 503


class Away:
    """A store that cannot be reached."""

    def load(self, _id: str) -> None:
        raise OSError("no route to 10.0.0.7")


def test_what_breaks_is_an_answer_without_its_cause_and_a_line_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    away: Any = Away()
    site.coordinator = replace(site.coordinator, batches=away)
    answer = site.client.get("/status", query_string={"batch": BATCH})
    assert told(answer) == (500, {"error": "not done; it may be asked again"})
    assert "GET /status: OSError: no route to 10.0.0.7" in caplog.text


# --- the document ---------------------------------------------------------------------------------------


def test_the_document_is_valid_and_names_every_route_and_answer(site: Site) -> None:
    said = site.client.get("/openapi.json").json
    assert said is not None
    assert said["openapi"] == "3.1.0"
    assert said["info"] == {"title": "prediction_coordinator", "version": "0123abc"}
    declared = {(route.method.lower(), route.path) for route in ROUTES}
    found = {(method, path) for path, methods in said["paths"].items() for method in methods}
    assert found == declared | {("get", path) for path in ("/health", "/ready", "/openapi.json")}
    assert set(said["paths"]["/start"]["post"]["responses"]) == {
        *("200", "202", "400", "404", "409", "413", "415", "500", "503"),
    }
    for schema in said["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({**schema, "components": said["components"]})


def test_every_route_each_of_its_answers_and_a_request_that_it_reads_is_documented() -> None:
    text = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    for route in ROUTES:
        [_, after] = re.split(rf"{route.method} {route.path}(?![a-z])", text, maxsplit=1)
        part = after.partition("\n## ")[0]
        assert not [status for status in route.answers if str(status) not in part], route.path
        bodies = re.findall(rf"ask \$URL{route.path} -d '(.*)'", part)
        for body in bodies:
            read_body(route, body.encode())
        assert bodies or route.method == "GET" or route.hears is not None, route.path


def test_every_route_of_the_document_is_done_by_someone(site: Site) -> None:
    done = site.parts().routes
    assert set(done) == {(route.method, route.path) for route in ROUTES if route.hears is None}


CHECKED: dict[str, Any] = {
    "seed": 7,
    "analysis": {"constants": {"enabled": False}},  # what is asked depends on the document alone
    "checks": {
        # inputs that are incomplete are no error of the server
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
        # what types cannot say: a run of another pipeline, a time that is over, a line that cannot be printed
        "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "409", "503"]},
        "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "409", "413", "415", "503"]},
    },
    "generation": {"max-examples": 25, "deterministic": True, "database": "none"},
}


def test_whatever_is_asked_the_answers_are_those_of_the_document(site: Site) -> None:
    site.open()
    site.post("/start", {"run": str(RUN)})
    config = SchemathesisConfig.from_dict(CHECKED)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", site.client.application, config=config)
    faults, asked = list[str](), 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            asked += len(event.recorder.cases)
            for checks in event.recorder.checks.values():
                failed_ = [check.failure_info.failure for check in checks if check.failure_info]
                faults += [f"{each.operation}: {each.title}: {each.message[:500]}" for each in failed_]
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(str(event))
    assert not faults, "\n".join(faults[:5])
    assert asked > 500
