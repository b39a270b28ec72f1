"""Between the latch and the publish, and between the publish and the close: what breaks there the sweep repairs.

The shipped service and adapters, on the emulators; time is moved by hand.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from data_processors.nba.runner import create_tables
from data_processors.nba.service import handlers
from orchestration import emulators
from shared import wiring
from shared.adapters.pubsub import PubSub, PubSubError
from shared.config.functions import function
from shared.config.nba import NBA
from shared.config.settings import Settings, read_settings
from shared.core.messages import read_completion, read_start
from shared.core.model import Completion, RunKey
from shared.ports import Bus, StateStore
from shared.service import LATCH_LEASE_S, Service
from shared.wiring import CloudHome
from tests.flow.between import Wires, wired
from tests.flow.days import HandClock

SWEEP_S = 60  # the timer's pace
PATIENCE_S = 40.0  # for a message that must come
QUIET_S = 1.0  # for one that must not; those that come take a tenth of it
SCRAPE = next(phase for phase in NBA.phases if phase.name == "scrape")


class Died(BaseException):
    """The process is no more: nothing behind this happens, and nobody catches it."""


class DiesBeforeClosing:
    """The real store of a process that dies when it has published, and before it says so."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    def __getattr__(self, verb: str) -> Any:
        if verb == "close":
            raise Died
        return getattr(self._states, verb)


@dataclass
class World:
    """One project on the emulators, with the wires to them."""

    settings: Settings
    home: CloudHome  # past the wires
    clock: HandClock
    wires: Wires
    run: RunKey

    def service(self, *, bus: Bus | None = None, states: Any = None) -> Service:
        whole = self.home.ports
        ports = replace(whole, clock=self.clock, bus=bus or whole.bus, states=states or whole.states)
        return Service(ports, {"nba": NBA}, starts_missing_runs=False)

    def pulled(self, topic: str) -> list[bytes]:
        """All that comes to a topic until it is quiet, acknowledged."""
        bus, found = self.home.bus, list[bytes]()
        quiet_at = time.monotonic() + QUIET_S
        while time.monotonic() < quiet_at:
            if deliveries := bus.pull([f"{topic}-test"], limit=100, now=self.clock.now(), lease_s=60):
                bus.ack(deliveries)
                found += [delivery.data for delivery in deliveries]
                quiet_at = time.monotonic() + QUIET_S
        return found

    def started(self) -> list[str]:
        return [read_start(body).id for body in self.pulled(SCRAPE.start_topic)]

    def pass_by(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)


@pytest.fixture
def world(
    season: Path,
    night: date,
    tmp_path: Path,
    pubsub_emulator: str,
    firestore_emulator: str,
    bigquery_emulator: str,
) -> Iterator[World]:
    hosts = dict(
        zip(emulators.VARIABLES.values(), (pubsub_emulator, firestore_emulator, bigquery_emulator), strict=True)
    )
    world = uuid4().hex[:12]
    shutil.copytree(season, tmp_path / "season")
    settings = read_settings(
        {
            **hosts,
            "TIPOFF_TARGET": "emulators",
            "TIPOFF_HOME": str(tmp_path / "home"),
            "TIPOFF_DATA": str(tmp_path / "season"),
            "TIPOFF_COMMIT": "abc1234",
            "GOOGLE_CLOUD_PROJECT": f"repairs-{world}",
            "TIPOFF_DATASET_PREFIX": f"r{world}_",
        }
    )
    clock = HandClock()
    with ExitStack() as parts:
        wires = parts.enter_context(wired(hosts))
        home = replace(wiring.open_cloud(settings), clock=clock)
        parts.callback(home.close)
        for topic in (SCRAPE.start_topic, SCRAPE.completion_topic):
            home.bus.subscribe(f"{topic}-test", topic)
        yield World(settings, home, clock, wires, RunKey("nba", night, "overnight"))


@pytest.mark.parametrize("phase_s", [1, LATCH_LEASE_S - 1, LATCH_LEASE_S, SWEEP_S - 1])
def test_a_publish_that_fails_behind_its_latch_is_made_up_for_within_the_lease_and_a_sweep(
    world: World, phase_s: int
) -> None:
    """Wherever in its minute the timer stands."""
    world.wires.cut("PUBSUB_EMULATOR_HOST", refuse_s=PATIENCE_S)
    project = world.home.cloud.project
    bus = PubSub(project, emulator=world.wires.hosts["PUBSUB_EMULATOR_HOST"], call_s=1.0)
    with pytest.raises(PubSubError, match=SCRAPE.start_topic):
        world.service(bus=bus).start_run(world.run)
    bus.close()
    taken = [latch for latch in world.home.ports.states.load(world.run).latches if latch.starts]
    assert taken, "the latch stands"
    assert world.started() == [], "and nothing was sent"

    until, sent = world.clock.time + timedelta(seconds=LATCH_LEASE_S + SWEEP_S), list[str]()
    world.pass_by(phase_s)
    while world.clock.time <= until:
        world.service().sweep()
        sent += world.started()
        world.pass_by(SWEEP_S)
    assert sent == [start.id for latch in taken for start in latch.starts]
    world.clock.time = until
    world.service().sweep()
    assert world.started() == [], "once"


def test_before_its_lease_is_over_nobody_takes_a_latch_up(world: World) -> None:
    with pytest.raises(Died):
        world.service(states=DiesBeforeClosing(world.home.ports.states)).start_run(world.run)
    assert len(world.started()) == 1
    world.pass_by(LATCH_LEASE_S - 1)
    world.service().sweep()
    assert world.started() == []


def test_what_is_published_again_by_the_sweep_is_done_once(world: World) -> None:
    """The process dies between publish and close. What would be read at the source the second time is not the same:
    work that is done again would show."""
    create_tables(world.home.warehouse)
    with pytest.raises(Died):
        world.service(states=DiesBeforeClosing(world.home.ports.states)).start_run(world.run)
    [first] = world.pulled(SCRAPE.start_topic)
    said = do(world, first)
    before = rows(world)
    assert before

    move_the_games(Path(world.settings.data) / "games.csv", world.run.date)
    world.pass_by(LATCH_LEASE_S)
    world.service().sweep()
    [second] = world.pulled(SCRAPE.start_topic)
    assert read_start(second) == read_start(first), "the same order, as the latch keeps it"
    again = do(world, second)

    assert rows(world) == before
    assert len({(row["run"], row["attempt"], row["fence"]) for row in before}) == 1
    assert replace(again, duration_s=0.0) == replace(said, duration_s=0.0)
    service = world.service()
    for each in (said, again):
        assert service.on_completion(each) is None
    assert [fact.completion for fact in world.home.ports.states.load(world.run).facts] == [said]
    boxscores = world.started()
    assert [start.split("/")[-2:] for start in boxscores] == [["boxscores", "1"]]
    world.pass_by(LATCH_LEASE_S + SWEEP_S)
    world.service().sweep()
    assert world.started() == [], "closed: sent for good"


def do(world: World, body: bytes) -> Completion:
    """What the deployed service does with a start, in a process of its own; its one report."""
    heard = handlers(function("scraper_processor"), world.settings, world.home)
    assert heard[SCRAPE.start_topic](body) is None
    [report] = world.pulled(SCRAPE.completion_topic)
    return read_completion(report)


def rows(world: World) -> list[dict[str, object]]:
    return world.home.warehouse.query("SELECT * FROM nba_scrape.schedule ORDER BY game_id", {})


def move_the_games(file: Path, day: date) -> None:
    """All games of a date are off."""
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        games = [game for game in reader if game["game_date"] != str(day)]
        names = reader.fieldnames
    assert names
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, names)
        writer.writeheader()
        writer.writerows(games)
