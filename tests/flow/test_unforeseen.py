"""What becomes of a run where a reading does what nobody foresaw, many starts are in doubt, or who said a word dies?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from shared import edge
from shared.adapters.sqlite import Sqlite
from shared.core.fold import View
from shared.core.model import Completion, Reading, RunKey, Start, Woke, Word
from shared.core.readings import settle, unread
from shared.core.status import RunState
from shared.service import Service
from tests.flow.days import ANN
from tests.flow.test_incidents import Told, new_world
from tests.flow.test_path_of_a_completion import RUN, HandClock, World, line


@dataclass
class Reads:
    """A reading that says what it is told to, by how often it was asked."""

    says: Callable[[View, Reading | None, int], Reading]
    asked: int = 0

    def read(self, view: View, _: str, before: Reading | None) -> Reading:
        self.asked += 1
        return self.says(view, before, self.asked)


def reading(reads: Reads, *, closed: bool = False) -> Told:
    """A world whose second gate asks for it."""
    spec = line()
    first, second, *rest = spec.phases
    second = replace(second, readings=("health",), fails_closed=("health",) if closed else ())
    spec = replace(spec, phases=(first, second, *rest))
    world = Told(Sqlite(":memory:"), HandClock(), spec)
    ports = replace(world.ports, notifiers={"sink": world.sink}, readers={"health": reads})
    tell = world.told.append
    world.service = Service(ports, {"line": spec}, tell, starts_missing_runs=False, attempt=edge.attempt)
    world.service.start_run(RUN)
    world.finish()
    return world


def breaks(_: View, __: Reading | None, asked: int) -> Reading:
    raise KeyError(f"column {asked}")


def test_a_reading_that_breaks_is_one_that_cannot_be_read_and_the_run_goes_on() -> None:
    world = reading(Reads(breaks))
    for _ in range(2):
        world.after(61)
    opened = [entry for entry in world.told if (entry.gate, entry.decision) == ("p1", "open")]
    assert ["could not be read: KeyError" in entry.reason for entry in opened] == [True]


def test_where_nothing_opens_without_it_a_person_is_told() -> None:
    world = reading(Reads(breaks), closed=True)
    for _ in range(4):
        world.after(61)
    assert world.sink.open == {f"{RUN}/incident/stalled/1"}


def test_a_reading_that_never_says_the_same_twice_is_asked_and_written_once_a_look() -> None:
    reads = Reads(lambda view, before, n: settle("health", unread("health", f"job {n}"), before, view.now, closed=True))
    world = reading(reads, closed=True)
    assert reads.asked == 1
    for looks in range(2, 5):
        world.after(61)
        assert reads.asked == looks
        assert len([entry for entry in world.told if entry.gate == "p1"]) == looks


# --- many starts in doubt ---------------------------------------------------------------------------


@dataclass
class FindsNothing:
    asked: list[str] = field(default_factory=list)

    def find(self, start: Start) -> Completion | None:
        self.asked.append(start.processor)
        return None


def test_all_starts_in_doubt_have_their_turn_however_many_there_are() -> None:
    evidence, spec = FindsNothing(), line(phases=1, processors=24)
    world = World(Sqlite(":memory:"), HandClock(), spec)
    ports = replace(world.ports, evidence=evidence)
    world.service = Service(ports, {"line": spec}, world.told.append, starts_missing_runs=False)
    world.service.start_run(RUN)
    for _ in range(20):
        world.clock.pass_by(seconds=60)
        world.service.sweep()
    assert len(set(evidence.asked)) == 25


# --- a person's process that dies -----------------------------------------------------------------------------


class Died(BaseException):
    """The process is no more."""


@contextmanager
def dying_before_a_look_at(run: RunKey, service: Service) -> Iterator[None]:
    advance = service.advance

    def dies(key: RunKey, woke: Woke = Woke.OPERATOR) -> None:
        if key == run:
            raise Died
        advance(key, woke)

    service.advance = dies  # type: ignore[method-assign]
    with pytest.raises(Died):
        yield
    service.advance = advance  # type: ignore[method-assign]


def test_a_replay_that_dies_once_it_has_begun_ends_the_incidents_of_the_run_it_replays() -> None:
    world = new_world()
    world.stall()
    world.clock.pass_by(hours=12)
    for _ in range(12):
        world.after(360)
    assert world.status().state is RunState.FAILED
    assert world.sink.open == {f"{RUN}/incident/stalled/1"}
    with dying_before_a_look_at(RUN, world.service):
        world.service.replay(RUN, "p0", replace(ANN, at=world.clock.now()))
    for _ in range(3):
        world.after(60)
    assert world.sink.open == set()


def test_a_word_that_is_kept_is_acted_upon_within_two_minutes_though_who_said_it_died() -> None:
    world = new_world()
    world.stall()
    assert world.status().state is RunState.BLOCKED
    with dying_before_a_look_at(RUN, world.service):
        world.service.say(RUN, Word(verb="force", about="p1", act=replace(ANN, at=world.clock.now())))
    for _ in range(2):
        world.after(60)
    assert {start.phase for start in world.starts()} == {"p1"}
