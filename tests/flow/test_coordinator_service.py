"""What the deployed coordinator does with a start that is not for it or fails, and with a batch that cannot go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from predictions.coordinator.coordinator import Inputs
from predictions.coordinator.service import BatchUnfinished, begin, sweep
from shared.config.nba import NBA
from shared.core.batch import batch_id
from shared.core.codec import encode
from shared.core.messages import Nudge, read_completion
from shared.core.model import Start, Status
from tests.flow.test_coordinator import START, World, double

[PHASE] = [phase for phase in NBA.phases if phase.name == "predictions"]
SWEEP = encode(Nudge(pipeline="nba", mode="", date="", scheduled_at=START.issued_at, act="sweep"))


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
    world.store.close()
    world.warehouse.close()


def waiting(world: World, topic: str) -> list[bytes]:
    return [each.data for each in world.store.bus.pull([topic], limit=100, now=world.now(), lease_s=60)]


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
    assert len(waiting(world, "request")) == 3


def test_before_there_is_a_batch_a_failure_is_reported(world: World) -> None:
    def away(start: Start) -> Inputs:
        raise OSError("the warehouse is away")

    assert begin(replace(world.coordinator, gather=away), PHASE, encode(START)) is None
    [body] = waiting(world, "complete")
    report = read_completion(body)
    assert (report.processor, report.status, report.reason) == (
        "predictions",
        Status.FAILED,
        "OSError: the warehouse is away",
    )


def test_once_there_is_a_batch_a_failure_brings_the_start_again(world: World) -> None:
    begin(world.coordinator, PHASE, encode(START))
    failing = replace(world.coordinator, batches=Away(world.store.batches, batch_id(START)))
    with pytest.raises(BatchUnfinished, match="OSError: the store is away"):
        begin(failing, PHASE, encode(START))
    assert waiting(world, "complete") == []


def test_a_batch_that_cannot_go_on_is_told_of_and_keeps_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    starts = [replace(START, attempt=attempt) for attempt in (1, 2, 3)]
    for start in starts:
        begin(world.coordinator, PHASE, encode(start))
    world.pass_by(3_600)
    stuck = Away(world.store.batches, batch_id(starts[0]))
    with caplog.at_level(logging.WARNING, "tipoff.coordinator"):
        sweep(replace(world.coordinator, batches=stuck), SWEEP)
    assert set(stuck.asked) == {batch_id(start) for start in starts}
    assert [record.getMessage() for record in caplog.records] == [
        f"{batch_id(starts[0])} could not go on: OSError: the store is away"
    ]


def test_a_schedule_that_begins_runs_is_not_the_coordinators(world: World) -> None:
    word = Nudge(pipeline="nba", mode="overnight", date="TODAY", scheduled_at=START.issued_at)
    stuck = Away(world.store.batches)
    sweep(replace(world.coordinator, batches=stuck), encode(word))
    assert stuck.asked == []
