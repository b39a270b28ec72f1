"""Batches that stand still: how long after its deadline each is noticed, and its end told. For a benchmark."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from statistics import median

from shared.config.functions import PREDICTION_READY_TOPIC
from shared.core.batch import Batch, ChunkOrder, Seal, SealKind
from shared.core.messages import Message
from shared.core.model import Start
from shared.core.timeouts import BATCH_HISTORY_MIN
from simulation.batch_scenarios import COORDINATOR
from simulation.fate import TICK_S, Call, Fate
from simulation.scenario import DAY, SAME_DAY
from simulation.story import BatchStory
from simulation.work import Behaviour, Labour
from simulation.world import World, quiet

NOTICED_S, ENDED_S = 60, 300  # after its deadline, of virtual time
GAMES_MAX = 60  # two units each: fifteen chunks, of which two are under way at once
DEAD_S_MAX = 1_200
FIRST = f"{SAME_DAY}/predictions/1"
BACK_S = 60  # before the deadline: a coordinator that is dead then can notice nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """What goes wrong with one batch."""

    games: int
    silent: float  # share of the chunks that nobody ever reports
    gone_after_s: float | None  # from then on nobody reports anything
    words_lost: bool  # every word of a worker is
    dead_s: tuple[float, float] | None  # the coordinator dies at every call, from when, for how long
    usual_s: float | None  # how long batches like it have taken; None: nobody knows


def stalls(count: int, seed: int = 0) -> dict[str, float]:
    """So many batches that stand still, each in a world of its own. Equal arguments give equal figures.

    The medians are those of the batches that stood still until their deadline.
    """
    with quiet():
        ended = [_play(random.Random(f"{seed}/{index}")) for index in range(count)]
    noticed = [_after(world, story, story.seal.at if story.seal else None) for world, story in ended]
    told = [_after(world, story, story.published[0][0] if story.published else None) for world, story in ended]
    late = [index for index, each in enumerate(noticed) if each > 0]  # the others had used up every try before
    kinds = Counter(story.seal.kind for _, story in ended if story.seal)
    return {
        "stalls": count,
        "noticed_s_max": max(noticed),
        "noticed_s_p50": median([noticed[index] for index in late] or [0.0]),
        "noticed_in_time": sum(each <= NOTICED_S for each in noticed),
        "ended_s_max": max(told),
        "ended_s_p50": median([told[index] for index in late] or [0.0]),
        "ended_in_time": sum(each <= ENDED_S for each in told),
        "at_the_deadline": len(late),
        "expired": kinds[SealKind.EXPIRED],
        "violations": sum(len(world.violations) for world, _ in ended),
    }


def _after(world: World, story: BatchStory, at: datetime | None) -> float:
    """Seconds from its deadline; 0 for what ended before. What never came counts until its world ended."""
    return max(0.0, round(((at or world.now) - story.batch.deadline_at).total_seconds(), 3))


def _drawn(dice: random.Random) -> Stall:
    kind = dice.choice(("all", "some", "gone", "words", "dead"))
    dead_s = (dice.uniform(0, 600), dice.uniform(60, DEAD_S_MAX)) if kind == "dead" else None
    return Stall(
        games=dice.randint(10, GAMES_MAX),
        silent=1.0 if kind == "all" else 0.0 if kind == "gone" else dice.uniform(0.02, 1.0),
        gone_after_s=dice.uniform(0, 120) if kind == "gone" else None,
        words_lost=kind == "words",
        dead_s=dead_s,
        usual_s=dice.choice((None, dice.uniform(10, 1_500))),
    )


def _play(dice: random.Random) -> tuple[World, BatchStory]:
    """The first batch of a day's run, standing still as the dice have it; its successors are left alone."""
    stall = _drawn(dice)
    played = _Played(stall, dice)
    pace = random.Random(dice.random())
    fate = Fate(
        games=played.games,
        behave=lambda _plan, _start: Behaviour(after_s=pace.uniform(5, 60)),
        labour=played.labour,
        carry=played.carry,
        strike=played.strike,
        pause_s=lambda _: pace.random() * TICK_S,
    )
    world = played.world = World(fate, DAY)
    world.forget_before()
    if stall.usual_s is not None:
        world.at(world.begins_at, lambda: _remember(world, stall.usual_s or 0.0))
    world.schedule(1, modes=("same_day",))
    world.go_on()
    return world, world.batches.stories[FIRST]


class _Played:
    """A stall in its world."""

    def __init__(self, stall: Stall, dice: random.Random) -> None:
        self.world: World | None = None
        self._stall = stall
        numbers = range(GAMES_MAX)
        self._silent = {number for number in numbers if dice.random() < stall.silent} or {0}

    def games(self, day: date) -> tuple[str, ...]:
        return tuple(f"{day:%m%d}-g{number:02}" for number in range(self._stall.games))

    def labour(self, order: ChunkOrder) -> Labour:
        if order.start.run != SAME_DAY or order.start.attempt > 1:
            return Labour()
        gone_after_s = self._stall.gone_after_s
        if gone_after_s is None:
            return Labour(silent=order.chunk in self._silent)
        return Labour(silent=self._since_s >= gone_after_s)

    def carry(self, message: Message) -> tuple[float, ...]:
        return () if self._stall.words_lost and message.topic == PREDICTION_READY_TOPIC else (0.0,)

    def strike(self, call: Call) -> str:
        """A dead coordinator's calls; it is back before the deadline."""
        batch = self._batch
        if self._stall.dead_s is None or batch is None or call.topic not in COORDINATOR:
            return ""
        if not call.verb.startswith("batch_"):  # the gates hear the timer too, and live
            return ""
        begin_s, length_s = self._stall.dead_s
        allowed_s = (batch.deadline_at - batch.created_at).total_seconds()
        return "crash" if begin_s <= self._since_s < min(begin_s + length_s, allowed_s - BACK_S) else ""

    @property
    def _batch(self) -> Batch | None:
        story = self.world.batches.stories.get(FIRST) if self.world else None
        return story.batch if story else None

    @property
    def _since_s(self) -> float:
        return (self.world.now - self._batch.created_at).total_seconds() if self.world and self._batch else 0.0


def _remember(world: World, usual_s: float) -> None:
    """Batches of the days before, each ended after so long."""
    for days in range(1, BATCH_HISTORY_MIN + 1):
        at = world.begins_at - timedelta(days=days)
        start = Start(
            run=replace(SAME_DAY, date=SAME_DAY.date - timedelta(days=days)),
            phase="predictions",
            processor="predictions",
            attempt=1,
            fence=0,
            partition=SAME_DAY.date,
            timeout_s=2_400,
            issued_at=at,
        )
        batch = Batch(start=start, created_at=at, deadline_at=at, chunks=0, units=0, shared="")
        ended = Seal(batch=batch.id, kind=SealKind.ENDED, reason="as usual", at=at + timedelta(seconds=usual_s))
        store = world.sqlite.batches
        store.create(batch, (), ())
        store.seal(ended, ended.at, 1)
        store.close(ended)
