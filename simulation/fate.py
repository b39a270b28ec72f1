"""What befalls a simulated world: the league's days, messages, instances, processors. Calm unless said otherwise."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from shared.config.functions import PREDICTION_READY_TOPIC, PREDICTION_REQUEST_TOPIC, PREDICTION_START_TOPIC
from shared.config.orchestration_config import PIPELINES
from shared.core.batch import CHUNK_TIMEOUT_S, TRIES_MAX, ChunkOrder, batch_id
from shared.core.messages import Message
from shared.core.model import RunKey, Start
from shared.core.plan import Plan
from simulation.work import Behaviour, Ending, Games, Kind, Labour


@dataclass(frozen=True, slots=True)
class Call:
    """One port call that a handler is about to make."""

    verb: str
    topic: str  # of the message in hand
    run: str  # that it is about; empty for a timer's
    attempt: int  # of the delivery
    number: int  # within this handler, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    games: Games
    behave: Callable[[Plan, Start], Behaviour] = lambda _plan, _start: Behaviour()
    carry: Callable[[Message], tuple[float, ...]] = lambda _: (0.0,)
    """Seconds until each copy arrives; none: it is lost."""
    strike: Callable[[Call], str] = lambda _: ""
    """crash: the instance dies before this call. error: the port raises. Empty: it goes through."""
    pause_s: Callable[[Call], float] = lambda _: 0.01
    """How long the call takes to reach its port; others go on meanwhile."""
    hold_s: Callable[[RunKey], tuple[float, float] | None] = lambda _: None
    """An operator holds the run this long after it began, for so long."""
    labour: Callable[[ChunkOrder], Labour] = lambda _: Labour()
    """What becomes of an order of a batch in a worker's hands, each time it is delivered."""
    share: Callable[[Start, str, bool], float | None] = lambda _start, _unit, _healed: 1.0
    """Of its inputs that a unit has, as they are read first, and as they are healed; None where nobody can tell."""
    misfit: Callable[[], str] = lambda: ""
    """Why what units give could not be written now; empty where it could."""


def four_games(day: date) -> tuple[str, ...]:
    return tuple(f"{day:%m%d}-g{number}" for number in range(4))


CALM = Fate(games=four_games)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often each thing goes wrong. Far oftener than in life: a run should meet several at once, and heal."""

    # the league
    day_without_games: float = 0.12  # about one in eight, off-season aside
    games_max: int = 15  # every team plays
    # per message
    lost: float = 0.006  # a redeployed subscription's gap: rare, but nothing may depend on it
    doubled: float = 0.03  # at-least-once delivery
    late: float = 0.05  # by seconds to minutes; also what puts messages out of order
    late_s_max: float = 120.0
    doubled_schedule: float = 0.05  # two schedulers deployed side by side
    # per port call; a handler makes about ten
    crash: float = 0.004  # an instance is recycled or out of memory
    error: float = 0.002  # the store says no
    stall: float = 0.003  # garbage collection, a throttled CPU
    stall_s_max: float = 45.0  # beyond the latch's lease of 30 s
    # per start
    fail: float = 0.03
    hang: float = 0.006
    mute: float = 0.006
    die: float = 0.006
    slow: float = 0.006  # beyond its timeout: a zombie that writes when another has been ordered
    partial: float = 0.02
    not_ready: float = 0.02
    # per order of a batch, in a worker's hands
    silent: float = 0.04  # acknowledged, and never heard of again
    killed: float = 0.03  # its worker dies at one of the units; the order comes again
    passing: float = 0.05  # one unit fails for a reason that passes
    unmentioned: float = 0.04  # its report says nothing of one unit
    tardy: float = 0.04  # answers when it has been ordered anew, or when its batch is sealed
    # per batch
    poor: float = 0.1  # a unit's inputs are there only after healing
    # per run: what no retry heals
    dead_scraper: float = 0.02  # the schedule never answers: not a holiday
    doomed: float = 0.03  # one processor fails whatever is done
    stuck: float = 0.03  # one unit never comes
    poison: float = 0.004  # one unit kills its worker every time
    held: float = 0.03  # an operator holds it for minutes


SPOILS_PER_PROCESSOR = 2  # attempts that soft faults may take: one less than any processor has
SPOILS_PER_RUN = 5  # each costs up to a timeout; more than five can take a run past its deadline
SPOILS_PER_CHUNK = TRIES_MAX - 1  # orders of one chunk that soft faults may take: one less than any unit has

BATCHED = "predictions"  # the processor whose start is fanned out

ORDINARY_S = (5.0, 10.0, 20.0, 20.0, 30.0, 60.0)  # few values, so that completions meet
TICK_S = 0.02  # a port call's usual time


def chance(seed: str, faults: Faults) -> Fate:
    """A fate drawn from a seed: the same seed and the same questions give the same answers."""
    dice = _Dice(seed, faults)
    return Fate(
        games=dice.games,
        behave=dice.behave,
        carry=dice.carry,
        strike=dice.strike,
        pause_s=dice.pause_s,
        hold_s=dice.hold_s,
        labour=dice.labour,
        share=dice.share,
    )


class _Dice:
    def __init__(self, seed: str, faults: Faults) -> None:
        self._seed = seed
        self._faults = faults
        self._random = random.Random(seed)
        self._games: dict[date, tuple[str, ...]] = {}
        self._dead: dict[RunKey, str] = {}  # the processor that never succeeds in a run, or none
        self._stuck: dict[RunKey, str] = {}  # the processor that never gets its last unit, or none
        self._poison: dict[RunKey, str] = {}  # the unit that kills whoever works on it, or none
        self._spoilt_chunks: Counter[tuple[str, str, int]] = Counter()
        self._spoilt: Counter[tuple[str, str]] = Counter()
        self._spoilt_runs: Counter[str] = Counter()

    def games(self, day: date) -> tuple[str, ...]:
        if day not in self._games:
            own = random.Random(f"{self._seed}/{day}")  # nobody's question changes another day's answer
            count = 0 if own.random() < self._faults.day_without_games else own.randint(1, self._faults.games_max)
            self._games[day] = tuple(f"{day:%m%d}-g{number}" for number in range(count))
        return self._games[day]

    def behave(self, plan: Plan, start: Start) -> Behaviour:
        faults, roll = self._faults, self._random.random
        after_s = self._random.choice(ORDINARY_S)
        self._choose_dooms(plan)
        if start.processor == self._dead[start.run]:
            return Behaviour(kind=Kind.FAIL, after_s=after_s, hard=True, fault="doomed")
        units = start.units or ()
        if start.processor == self._stuck[start.run] and units:
            return Behaviour(kind=Kind.PARTIAL, after_s=after_s, lacks=units[-1:], hard=True, fault="stuck")
        soft = (
            (faults.fail, Kind.FAIL),
            (faults.hang, Kind.HANG),
            (faults.mute, Kind.MUTE),
            (faults.die, Kind.DIE),
            (faults.not_ready, Kind.NOT_READY),
            (faults.partial if units else 0.0, Kind.PARTIAL),
        )
        for likelihood, kind in soft:
            if roll() < likelihood and self._may_spoil(str(start.run), start.processor):
                lacks = tuple(self._random.sample(units, self._random.randint(1, len(units)))) if units else ()
                return Behaviour(
                    kind=kind, after_s=after_s, lacks=lacks if kind is Kind.PARTIAL else (), fault=kind.value
                )
        if roll() < faults.slow and self._may_spoil(str(start.run), start.processor):
            after_s = start.timeout_s * self._random.uniform(1.0, 2.5)
            return Behaviour(after_s=after_s, fault="slow")
        return Behaviour(after_s=after_s)

    def _choose_dooms(self, plan: Plan) -> None:
        run = plan.run
        if run in self._dead:
            return
        every = [processor for phase in plan.phases for processor in phase.processors]
        self._dead[run] = self._stuck[run] = ""
        if self._random.random() < self._faults.dead_scraper:
            self._dead[run] = plan.phases[0].processors[0].name
        elif self._random.random() < self._faults.doomed:
            self._dead[run] = self._random.choice(every).name
        if self._random.random() < self._faults.stuck:
            self._stuck[run] = self._random.choice([processor for processor in every if processor.unit]).name

    def carry(self, message: Message) -> tuple[float, ...]:
        faults, roll = self._faults, self._random.random
        processor = message.attributes.get("processor", "")
        if roll() < faults.lost and self._may_lose(message):
            return ()
        copies = [0.0]
        if roll() < (faults.doubled if processor else faults.doubled_schedule):
            copies.append(0.0 if roll() < 0.5 else self._late_s())
        return tuple(self._late_s() if roll() < faults.late else copy for copy in copies)

    def _may_lose(self, message: Message) -> bool:
        """What is a hint alone may always be lost; an order takes one of the tries that it is about."""
        said = message.attributes
        if message.topic == PREDICTION_REQUEST_TOPIC:
            return self._may_spoil_chunk(said["run"], said["attempt"], int(said["chunk"]))
        hint = "processor" not in said or message.topic == PREDICTION_READY_TOPIC
        return hint or self._may_spoil(said["run"], said["processor"])

    def _late_s(self) -> float:
        return round(math.pow(self._faults.late_s_max, self._random.random()), 3)  # seconds as likely as minutes

    def strike(self, call: Call) -> str:
        roll = self._random.random()
        if roll < self._faults.crash:
            return "crash"
        if roll >= self._faults.crash + self._faults.error:
            return ""
        fails = call.topic == PREDICTION_START_TOPIC  # where nothing has begun yet, an error is that of the attempt
        return "error" if not fails or self._may_spoil(call.run, BATCHED) else ""

    def pause_s(self, _: Call) -> float:
        if self._random.random() < self._faults.stall:
            return self._random.uniform(1.0, self._faults.stall_s_max)
        return self._random.random() * TICK_S

    def hold_s(self, _: RunKey) -> tuple[float, float] | None:
        if self._random.random() < self._faults.held:
            return self._random.uniform(1.0, 900.0), self._random.uniform(60.0, 1800.0)
        return None

    def labour(self, order: ChunkOrder) -> Labour:
        faults, dice = self._faults, self._random
        units = [unit.id for unit in order.units]
        run = order.start.run
        if run not in self._poison:
            self._poison[run] = dice.choice(units) if dice.random() < faults.poison else ""
        if self._poison[run] in units:
            return Labour(endings={self._poison[run]: Ending.KILLS}, hard=True, fault="poison")
        if dice.random() < faults.killed:
            return Labour(endings={dice.choice(units): Ending.KILLS}, fault="killed")
        for likelihood, fault in (
            (faults.silent, "silent"),
            (faults.passing, Ending.PASSING.value),
            (faults.unmentioned, Ending.UNMENTIONED.value),
            (faults.tardy, "tardy"),
        ):
            if dice.random() < likelihood:
                if not self._may_spoil_chunk(str(run), str(order.start.attempt), order.chunk):
                    break
                if fault == "silent":
                    return Labour(silent=True, fault=fault)
                if fault == "tardy":
                    return Labour(after_s=CHUNK_TIMEOUT_S * dice.uniform(1.0, 6.0), fault=fault)
                return Labour(endings={dice.choice(units): Ending(fault)}, fault=fault)
        return Labour()

    def share(self, start: Start, unit: str, healed: bool) -> float | None:
        own = random.Random(f"{self._seed}/{batch_id(start)}")
        if healed or not start.units or own.random() >= self._faults.poor:
            return 1.0
        return own.choice((None, 0.0)) if unit == own.choice(start.units) else 1.0

    def _may_spoil_chunk(self, run: str, attempt: str, chunk: int) -> bool:
        if self._spoilt_chunks[run, attempt, chunk] >= SPOILS_PER_CHUNK:
            return False
        self._spoilt_chunks[run, attempt, chunk] += 1
        return True

    def _may_spoil(self, run: str, processor: str) -> bool:
        if self._spoilt[run, processor] >= SPOILS_PER_PROCESSOR or self._spoilt_runs[run] >= SPOILS_PER_RUN:
            return False
        self._spoilt[run, processor] += 1
        self._spoilt_runs[run] += 1
        return True


def planned_in(start: Start) -> bool:
    """Whether the mode's own declaration has this processor in this phase."""
    phases = PIPELINES[start.run.pipeline].phases
    specs = [spec for phase in phases if phase.name == start.phase for spec in phase.processors]
    return any(spec.name == start.processor and start.run.mode in (*spec.critical, *spec.optional) for spec in specs)
