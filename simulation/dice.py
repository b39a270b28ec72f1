"""A fate drawn from a seed, in which each fault strikes as often as its rate says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from datetime import date, datetime, timedelta

from shared.config.functions import (
    PREDICTION_READY_TOPIC,
    PREDICTION_REQUEST_TOPIC,
    PREDICTION_START_TOPIC,
)
from shared.config.nba import MODES, NBA
from shared.core import calendar
from shared.core.batch import CHUNK_TIMEOUT_S, TRIES_MAX, ChunkOrder, batch_id
from shared.core.messages import Message, read_nudge
from shared.core.model import RunKey, Start
from shared.core.plan import Plan
from simulation.draws import Draws
from simulation.fate import BATCHED, ORDINARY_S, TICK_S, Call, Fate
from simulation.faults import BEFALLS, LENGTHS_S, OF_FUNCTIONS, OUTAGE_QUANTILES, Faults
from simulation.spells import Spell, SpellKind
from simulation.work import Behaviour, Ending, Kind, Labour

SPOILS_PER_PROCESSOR = 2  # attempts that soft faults may take: one less than any processor has
SPOILS_PER_RUN = 5  # each costs up to a timeout; more than five can take a run past its deadline
NEAR_S = (-300.0, 1_500.0)  # of the start of a run, within which a spell begins
SPOILS_PER_CHUNK = TRIES_MAX - 1  # orders of one chunk that soft faults may take: one less than any unit has


def chance(seed: str, faults: Faults, only: Collection[str] | None = None) -> Fate:
    """A fate drawn from a seed: the same seed and the same questions give the same answers."""
    return drawn(Draws(seed, only), faults)


def drawn(draws: Draws, faults: Faults) -> Fate:
    """As these draws have it; they know afterwards what has struck."""
    dice = _Dice(draws, faults)
    return Fate(
        games=dice.games,
        behave=dice.behave,
        carry=dice.carry,
        strike=dice.strike,
        pause_s=dice.pause_s,
        hold_s=dice.hold_s,
        labour=dice.labour,
        share=dice.share,
        spells=dice.spells,
        skew_s=dice.skew_s,
    )


class _Dice:
    def __init__(self, draws: Draws, faults: Faults) -> None:
        self._draws = draws
        self._faults = faults
        self._games: dict[date, tuple[str, ...]] = {}
        self._dead: dict[RunKey, str] = {}  # the processor that never succeeds in a run, or none
        self._stuck: dict[RunKey, str] = {}  # the processor that never gets its last unit, or none
        self._poison: dict[RunKey, str] = {}  # the unit that kills whoever works on it, or none
        self._skews: dict[tuple[str, int], float] = {}
        self._spoilt_chunks: Counter[tuple[str, str, int]] = Counter()
        self._spoilt: Counter[tuple[str, str]] = Counter()
        self._spoilt_runs: Counter[str] = Counter()

    def _strikes(self, kind: str, name: str, roll: float, likelihood: float) -> bool:
        if roll >= likelihood or not self._draws.may(kind, name):
            return False
        self._draws.strikes(kind, name)
        return True

    def games(self, day: date) -> tuple[str, ...]:
        if day not in self._games:
            own = self._draws.dice(f"games of {day}")
            count = 0 if own.random() < self._faults.day_without_games else own.randint(1, self._faults.games_max)
            self._games[day] = tuple(f"{day:%m%d}-g{number}" for number in range(count))
        return self._games[day]

    def behave(self, plan: Plan, start: Start) -> Behaviour:
        faults, name = self._faults, self._draws.named(start.id)
        first, *rolls = self._draws.numbers(name)
        after_s = ORDINARY_S[int(first * len(ORDINARY_S))]
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
        for (likelihood, kind), roll in zip(soft, rolls, strict=False):
            if self._spoils(kind.value, name, roll, likelihood, start):
                lacks: tuple[str, ...] = ()
                if kind is Kind.PARTIAL:
                    dice = self._draws.dice(f"lacks {name}")
                    lacks = tuple(dice.sample(units, dice.randint(1, len(units))))
                return Behaviour(kind=kind, after_s=after_s, lacks=lacks, fault=kind.value)
        if self._spoils("slow", name, rolls[-1], faults.slow, start):
            after_s = start.timeout_s * self._draws.dice(f"slow {name}").uniform(1.0, 2.5)
            return Behaviour(after_s=after_s, fault="slow")
        if faults.stretched:
            dice = self._draws.dice(f"stretched {name}")
            if self._strikes("stretched", name, dice.random(), faults.stretched):
                after_s *= 2 * math.pow(10.0, dice.random())
        return Behaviour(after_s=after_s)

    def _spoils(self, kind: str, name: str, roll: float, likelihood: float, start: Start) -> bool:
        if roll >= likelihood or not self._draws.may(kind, name):
            return False
        return self._may_spoil(str(start.run), start.processor) and self._strikes(kind, name, roll, likelihood)

    def _choose_dooms(self, plan: Plan) -> None:
        run = plan.run
        if run in self._dead:
            return
        faults, name = self._faults, str(run)
        dice = self._draws.dice(name)
        every = [processor for phase in plan.phases for processor in phase.processors]
        dead, doomed, stuck = dice.random(), dice.random(), dice.random()
        self._dead[run] = self._stuck[run] = ""
        if self._strikes("dead scraper", name, dead, faults.dead_scraper):
            self._dead[run] = plan.phases[0].processors[0].name
        elif self._strikes("doomed", name, doomed, faults.doomed):
            self._dead[run] = dice.choice(every).name
        if self._strikes("stuck", name, stuck, faults.stuck):
            self._stuck[run] = dice.choice([processor for processor in every if processor.unit]).name

    def carry(self, message: Message) -> tuple[float, ...]:
        faults, name = self._faults, self._draws.named(_name(message))
        lost, doubled, at_once, first, *late = self._draws.numbers(name)
        if lost < faults.lost and self._draws.may("lost", name) and self._may_lose(message):
            self._draws.strikes("lost", name)
            return ()
        copies = [0.0]
        twice = faults.doubled if "processor" in message.attributes else faults.doubled_schedule
        if self._strikes("doubled", name, doubled, twice):
            copies.append(0.0 if at_once < 0.5 else self._late_s(first))
        for index, (roll, how_long) in enumerate(((late[0], late[1]), (late[2], late[3]))[: len(copies)]):
            if self._strikes("late", f"{name} copy {index + 1}", roll, faults.late):
                copies[index] = self._late_s(how_long)
        return tuple(copies)

    def _may_lose(self, message: Message) -> bool:
        """What is a hint alone may always be lost; an order takes one of the tries that it is about."""
        said = message.attributes
        if message.topic == PREDICTION_REQUEST_TOPIC:
            return self._may_spoil_chunk(said["run"], said["attempt"], int(said["chunk"]))
        hint = "processor" not in said or message.topic == PREDICTION_READY_TOPIC
        return hint or self._may_spoil(said["run"], said["processor"])

    def _late_s(self, roll: float) -> float:
        return round(math.pow(self._faults.late_s_max, roll), 3)  # seconds as likely as minutes

    def strike(self, call: Call) -> str:
        faults, name = self._faults, self._draws.named(_name_of(call))
        roll, *_ = self._draws.numbers(name)
        if self._strikes("crash", name, roll, faults.crash):
            return "crash"
        if not faults.crash <= roll < faults.crash + faults.error or not self._draws.may("error", name):
            return ""
        fails = call.topic == PREDICTION_START_TOPIC  # where nothing has begun yet, an error is that of the attempt
        if fails and not self._may_spoil(call.run, BATCHED):
            return ""
        self._draws.strikes("error", name)
        return "error"

    def pause_s(self, call: Call) -> float:
        name = self._draws.named(f"pause at {_name_of(call)}")
        stalls, how_long, usual, *_ = self._draws.numbers(name)
        if self._strikes("stall", name, stalls, self._faults.stall):
            return 1.0 + how_long * (self._faults.stall_s_max - 1.0)
        return usual * TICK_S

    def hold_s(self, run: RunKey) -> tuple[float, float] | None:
        held, begin, length, *_ = self._draws.numbers(f"hold of {run}")
        if self._strikes("held", str(run), held, self._faults.held):
            return 1.0 + begin * 899.0, 60.0 + length * 1740.0
        return None

    def labour(self, order: ChunkOrder) -> Labour:
        faults, name = self._faults, self._draws.named(f"{order.batch}/{order.chunk}/{order.number}")
        dice = self._draws.dice(name)
        units = [unit.id for unit in order.units]
        run = order.start.run
        if run not in self._poison:
            own = self._draws.dice(f"poison of {run}")
            strikes = self._strikes("poison", str(run), own.random(), faults.poison)
            self._poison[run] = own.choice(units) if strikes else ""
        if self._poison[run] in units:
            return Labour(endings={self._poison[run]: Ending.KILLS}, hard=True, fault="poison")
        killed, unit, how_long, *rolls = (dice.random() for _ in range(7))
        if self._strikes("killed", name, killed, faults.killed):
            return Labour(endings={dice.choice(units): Ending.KILLS}, fault="killed")
        for (likelihood, fault), roll in zip(
            (
                (faults.silent, "silent"),
                (faults.passing, Ending.PASSING.value),
                (faults.unmentioned, Ending.UNMENTIONED.value),
                (faults.tardy, "tardy"),
            ),
            rolls,
            strict=True,
        ):
            if roll < likelihood and self._draws.may(fault, name):
                if not self._may_spoil_chunk(str(run), str(order.start.attempt), order.chunk):
                    break
                self._draws.strikes(fault, name)
                if fault == "silent":
                    return Labour(silent=True, fault=fault)
                if fault == "tardy":
                    return Labour(after_s=CHUNK_TIMEOUT_S * (1.0 + 5.0 * how_long), fault=fault)
                return Labour(endings={units[int(unit * len(units))]: Ending(fault)}, fault=fault)
        return Labour()

    def share(self, start: Start, unit: str, healed: bool) -> float | None:
        name = f"inputs of {batch_id(start)}"
        own = self._draws.dice(name)
        if healed or not start.units or not self._strikes("poor", name, own.random(), self._faults.poor):
            return 1.0
        return own.choice((None, 0.0)) if unit == own.choice(start.units) else 1.0

    def spells(self, day: date) -> tuple[Spell, ...]:
        faults = self._faults
        likelihoods = (
            (SpellKind.REDEPLOY, faults.redeploy),
            (SpellKind.PARTITION, faults.partition),
            (SpellKind.FLAPPING, faults.flapping),
            (SpellKind.BAD_GATE, faults.bad_gate),
            (SpellKind.BAD_SERVICE, faults.bad_service),
            (SpellKind.HUNG_SERVICE, faults.hung_service),
            (SpellKind.QUOTA, faults.quota),
            (SpellKind.STALE, faults.stale),
            (SpellKind.SLOW, faults.slow_service),
            (SpellKind.POISON, faults.garbage),
            (SpellKind.NO_SCHEDULES, faults.no_schedules),
            (SpellKind.NO_SWEEP, faults.no_sweep),
            (SpellKind.CONFIG, faults.config),
            (SpellKind.SINK_DOWN, faults.sink_down),
        )
        return tuple(
            spell for kind, likelihood in likelihoods if (spell := self._spell(kind, day, likelihood)) is not None
        )

    def _spell(self, kind: SpellKind, day: date, likelihood: float) -> Spell | None:
        dice = self._draws.dice(f"{kind} on {day}")
        if not self._strikes(kind.value, f"on {day}", dice.random(), likelihood):
            return None
        mode = dice.choice(MODES)
        near = calendar.at(day, mode.starts_at, NBA.zone)
        if kind is SpellKind.NO_SCHEDULES:
            near = calendar.at(day, "00:00", NBA.zone)
        length_s = self._length_s(kind, dice.random())
        return Spell(
            kind=kind,
            begins_at=near + timedelta(seconds=dice.uniform(*NEAR_S)),
            length_s=round(length_s, 3),
            function=dice.choice(BEFALLS.get(kind, ("",))),
            degree=dice.random(),
        )

    def _length_s(self, kind: SpellKind, roll: float) -> float:
        lengths = self._faults.outages_s
        if lengths and kind in OF_FUNCTIONS:
            index = max(index for index, quantile in enumerate(OUTAGE_QUANTILES[:-1]) if quantile <= roll)
            low, high = OUTAGE_QUANTILES[index : index + 2]
            return lengths[index] + (lengths[index + 1] - lengths[index]) * (roll - low) / (high - low)
        shortest, longest = LENGTHS_S[kind]
        return max(shortest, 1.0) * math.pow(longest / max(shortest, 1.0), roll) if longest else 0.0

    def skew_s(self, function: str, now: datetime) -> float:
        """Another one each hour: instances come and go."""
        key = (function, now.year * 10_000 + now.timetuple().tm_yday * 24 + now.hour)
        if key not in self._skews:
            first, *_ = self._draws.numbers(f"clock of {key}")
            self._skews[key] = (2 * first - 1) * self._faults.skew_s
        return self._skews[key]

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


def _name(message: Message) -> str:
    said = message.attributes
    if "processor" in said:
        chunk = f"/{said['chunk']}" if "chunk" in said else ""
        return f"{message.topic} {said['run']}/{said['phase']}/{said['processor']}/{said['attempt']}{chunk}"
    nudge = read_nudge(message.data)
    return f"{message.topic} {nudge.act} {nudge.mode or 'all'} of {nudge.scheduled_at:%Y-%m-%d %H:%M:%S}"


def _name_of(call: Call) -> str:
    about = f"{call.run} {call.processor}" if call.run else f"{call.at:%Y-%m-%d %H:%M}"
    return f"{call.verb} at {call.topic} for {about}"
