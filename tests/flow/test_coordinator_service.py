"""What the deployed coordinator does with a start that is not for it or fails, and with a batch that cannot go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from predictions.coordinator.coordinator import Inputs
from predictions.coordinator.routes import ROUTES
from predictions.coordinator.service import BEGIN_WITHIN, BatchUnfinished, begin, handlers, nudged, responders, sweep
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.config.functions import function
from shared.config.nba import NBA
from shared.config.settings import read_settings
from shared.core.batch import STALLED_S, batch_id
from shared.core.codec import encode
from shared.core.messages import Nudge, read_completion
from shared.core.model import Start, Status
from shared.ports import Ports
from tests.flow.batches import START, World, double

[PHASE] = [phase for phase in NBA.phases if phase.name == "predictions"]
SWEEP, RECOVER = (
    encode(Nudge(pipeline="nba", mode="", date="", scheduled_at=START.issued_at, act=act))
    for act in ("sweep", "recover")
)


class Away:
    """A store of batches that cannot read one of them, or none."""

    def __init__(self, batches: Any, *ids: str) -> None:
        self.batches, self.ids, self.asked = batches, ids, list[str]()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.batches, verb)

    def load(self, id: str) -> Any:
        self.asked.append(id)
        if id in self.ids:
            raise OSError("the store is away")
        return self.batches.load(id)


@pytest.fixture
def world() -> Iterator[World]:
    world = World(double)
    yield world
    world.parts.close()


@pytest.mark.parametrize(
    "start",
    [
        replace(START, phase="raw"),
        replace(START, processor="nobody"),
        replace(START, phase="export", processor="tonight"),
    ],
    ids=["another phase", "another processor", "another service's"],
)
def test_a_start_that_is_not_for_the_coordinator_is_refused_and_begins_nothing(world: World, start: Start) -> None:
    refused = begin(world.coordinator, PHASE, encode(start))
    assert refused is not None
    assert refused.reason == f"{start.phase}/{start.processor} is not a processor of predictions"
    assert world.calls == 0


def test_a_start_begins_its_batch(world: World) -> None:
    assert begin(world.coordinator, PHASE, encode(START)) is None
    assert len(world.taken("request")) == 3


@pytest.mark.parametrize(
    ("raised", "waited"),
    [(ValueError("what is gathered"), timedelta(0)), (OSError("the warehouse is away"), BEGIN_WITHIN)],
    ids=["what lasts, at once", "what may pass, in the end"],
)
def test_before_there_is_a_batch_a_failure_is_reported(world: World, raised: Exception, waited: timedelta) -> None:
    def fail(start: Start) -> Inputs:
        raise raised

    world.pass_by(waited.total_seconds())
    assert begin(replace(world.coordinator, gather=fail), PHASE, encode(START)) is None
    [body] = world.taken("complete")
    report = read_completion(body)
    assert (report.processor, report.status) == ("predictions", Status.FAILED)
    assert report.reason == f"{type(raised).__name__}: {raised}"


def test_a_start_that_meets_what_may_pass_comes_again(world: World) -> None:
    """Else the three attempts of its gate are gone in two minutes, and the run with them."""

    def away(start: Start) -> Inputs:
        raise OSError("the warehouse is away")

    for _ in range(3):
        with pytest.raises(BatchUnfinished, match="the warehouse is away"):
            begin(replace(world.coordinator, gather=away), PHASE, encode(START))
        world.pass_by(60)
    assert begin(world.coordinator, PHASE, encode(START)) is None
    assert len(world.orders()) == 3
    assert world.completions() == []


def test_once_there_is_a_batch_a_failure_brings_the_start_again(world: World) -> None:
    begin(world.coordinator, PHASE, encode(START))
    failing = replace(world.coordinator, batches=Away(world.batches, batch_id(START)))
    with pytest.raises(BatchUnfinished, match="OSError: the store is away"):
        begin(failing, PHASE, encode(START))
    assert world.taken("complete") == []


def test_a_batch_that_cannot_go_on_is_told_of_and_keeps_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    starts = [replace(START, attempt=attempt) for attempt in (1, 2, 3)]
    for start in starts:
        begin(world.coordinator, PHASE, encode(start))
    world.pass_by(3_600)
    stuck = Away(world.batches, batch_id(starts[0]))
    sweep(replace(world.coordinator, batches=stuck), SWEEP)
    assert set(stuck.asked) == {batch_id(start) for start in starts}
    assert [record.getMessage() for record in caplog.records if record.name == "tipoff.edge"] == [
        "one part of a sweep failed, and comes again with the next: OSError: the store is away"
    ]


def test_the_stalled_batch_job_has_their_orders_sent_again_and_says_which(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    starts = [replace(START, attempt=attempt) for attempt in (1, 2)]
    begin(world.coordinator, PHASE, encode(starts[0]))
    first = world.orders()
    sweep(world.coordinator, RECOVER)
    assert world.orders() == [], "it has had no time"
    world.pass_by(STALLED_S - 1)
    begin(world.coordinator, PHASE, encode(starts[1]))
    world.orders()
    world.pass_by(1)
    with caplog.at_level(logging.WARNING, "tipoff.coordinator"):
        sweep(world.coordinator, RECOVER)
    assert {order.batch for order in world.orders()} == {order.batch for order in first}
    assert [record.getMessage() for record in caplog.records] == [
        f"{batch_id(starts[0])} is stalled: its orders are sent again"
    ]


def test_a_schedule_that_begins_runs_is_not_the_coordinators(world: World) -> None:
    word = Nudge(pipeline="nba", mode="overnight", date="TODAY", scheduled_at=START.issued_at)
    stuck = Away(world.batches)
    sweep(replace(world.coordinator, batches=stuck), encode(word))
    assert stuck.asked == []


def test_the_recovery_leaves_a_heartbeat_of_its_own_and_the_sweep_none(world: World) -> None:
    store = Sqlite(":memory:")
    clock = world.coordinator.clock
    ports, at = Ports(states=store.states, bus=store.bus, clock=clock), clock.now()
    for act, schedule in (("sweep", "self-heal"), ("recover", "stalled-batch-recovery"), ("recover", "")):
        word = Nudge(pipeline="nba", mode="", date="", scheduled_at=at, act=act, schedule=schedule)
        nudged(world.coordinator, ports, NBA, encode(word))
    assert store.states.beats() == {"stalled-batch-recovery": at}


def test_each_route_and_each_topic_of_the_deployed_coordinator_has_who_does_it(tmp_path: Path) -> None:
    spec, settings = function("prediction_coordinator"), read_settings({"TIPOFF_HOME": str(tmp_path)})
    with wiring.write_home(settings, command="test", wait_s=0.0, waiting=lambda _: None) as home:
        assert set(handlers(spec, settings, home)) == set(spec.listens)
        assert set(responders(spec, settings, home)) == {(each.method, each.path) for each in ROUTES if each.asks}
