"""Published incidents of those who watch by name: alarms, the watchdog, and what nobody noticed. Part of SCENARIOS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

from shared.config.nba import NBA
from shared.core import calendar
from shared.core.gate import COMPLETE
from shared.core.incident import STALLED
from shared.core.model import Act, OutcomeKind, Start
from shared.service import Refusal
from simulation.fate import Call
from simulation.scenario import DAY, OVERNIGHT, Scenario, begins_at, calm, expect_end
from simulation.sink import Told
from simulation.spells import Spell, SpellKind
from simulation.work import Behaviour, Kind
from simulation.world import World

SOON = timedelta(minutes=2)  # within which a person is told, whoever is not there
DEAD_MAN = timedelta(minutes=10)  # and of a watchdog that is not there
SILENT_DAYS = 6


def alert_sink_down(seed: int) -> World:
    """A processor fails until a person comes. People hear of it once, and of its end; late where the sink is down."""
    world, blocked_at = _stalled(seed, sink_down_s=0)
    told = _told(world)
    if told and told.resolved_at:
        final = world.stories[OVERNIGHT].final
        world.expect(told.raised_at - blocked_at <= SOON, f"told {told.raised_at - blocked_at} late", OVERNIGHT)
        over_at = final.decided_at if final else world.now
        world.expect(told.resolved_at <= over_at + SOON, f"over at {told.resolved_at}", OVERNIGHT)
    down, blocked_at = _stalled(seed, sink_down_s=7_200)
    told = _told(down)
    if told:
        back_at = begins_at(OVERNIGHT) + timedelta(seconds=7_200)
        late = told.raised_at - back_at
        down.expect(timedelta() <= late <= SOON, f"told {late} after the sink was back", OVERNIGHT)
    world.violations.update(down.violations)
    return world


def _stalled(seed: int, sink_down_s: float) -> tuple[World, datetime]:
    """The world, and when its night stood still."""
    blocked: list[datetime] = []

    def behave(start: Start) -> Behaviour:
        if start.run != OVERNIGHT or start.processor != "player_boxscores" or start.attempt > 3:
            return Behaviour()
        if start.attempt == 3:
            blocked.append(world.now + timedelta(seconds=5))
            world.after(1_200, mend)
        return Behaviour(kind=Kind.FAIL, after_s=5, fault="broken")

    def mend() -> None:
        act = Act(actor="operator", reason="mended", at=world.now)
        ordered = world.service.again(OVERNIGHT, "raw", "player_boxscores", act)
        world.expect(not isinstance(ordered, Refusal), f"refused: {ordered}", OVERNIGHT)

    down = Spell(kind=SpellKind.SINK_DOWN, begins_at=begins_at(OVERNIGHT), length_s=sink_down_s)
    fate = calm(seed, behave)
    world = World(replace(fate, spells=on_first((down,)) if sink_down_s else fate.spells), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    return world, blocked[0] if blocked else world.begins_at


def on_first(spells: tuple[Spell, ...]) -> Callable[[date], tuple[Spell, ...]]:
    return lambda day: spells if day == DAY else ()


def _told(world: World) -> Told | None:
    told = [each for each in world.sink.told.values() if each.run == OVERNIGHT and each.alert.cause == STALLED]
    world.expect(len(told) == 1, f"{len(told)} incidents were told", OVERNIGHT)
    world.expect(bool(told) and told[0].resolved_at is not None, "nobody was told that it is over", OVERNIGHT)
    return told[0] if told else None


def paused_watchdog(seed: int) -> World:
    """The timer is out for an hour while gates die before they send: people hear of it from outside within minutes."""
    struck: set[str] = set()

    def strike(call: Call) -> str:
        if call.verb != "publish" or call.run != str(OVERNIGHT) or call.topic in struck:
            return ""
        struck.add(call.topic)
        return "crash"

    out = Spell(kind=SpellKind.NO_SWEEP, begins_at=begins_at(OVERNIGHT) + timedelta(minutes=2), length_s=3_600)
    world = World(replace(calm(seed), strike=strike, spells=on_first((out,))), DAY)
    world.forget_before()
    world.schedule(1)
    world.go_on()
    after = [timedelta(seconds=seconds) for seconds in world.weather.detections]
    told = len(after) == 1 and timedelta(minutes=4) < after[0] <= DEAD_MAN
    world.expect(told, f"the dead-man's switch told after {', '.join(map(str, after)) or 'the world had ended'}")
    expect_end(world, OVERNIGHT, OutcomeKind.DONE, COMPLETE)
    final = world.stories[OVERNIGHT].final
    world.expect(final is not None and final.decided_at > out.ends_at, "nothing waited for the timer", OVERNIGHT)
    return world


def silent_gap(seed: int) -> World:
    """For six days no schedule speaks, nothing sweeps: the last two are made up, each of the others is an absence."""
    begin, length_s = calendar.at(DAY, "00:01", NBA.zone), 86_400.0 * SILENT_DAYS - 60
    silence = tuple(
        Spell(kind=kind, begins_at=begin, length_s=length_s) for kind in (SpellKind.NO_SCHEDULES, SpellKind.NO_SWEEP)
    )
    world = World(replace(calm(seed), spells=on_first(silence)), DAY)
    back_at = calendar.at(DAY + timedelta(days=SILENT_DAYS), "00:00", NBA.zone)
    world.forget_before()
    world.schedule(SILENT_DAYS + 1)
    world.go_on()
    expected = set(calendar.expected_runs(NBA, back_at, SILENT_DAYS))
    world.expect(len(expected) == 3 * SILENT_DAYS, f"{len(expected)} runs are expected in {SILENT_DAYS} days")
    absent = expected - set(world.stories)
    lost = {run for run in expected if begins_at(run) < back_at - timedelta(days=2)}
    world.expect(absent == lost, f"absent are {sorted(map(str, absent ^ lost))} beside what no look back reaches")
    for run in expected - absent:
        world.expect(world.stories[run].final is not None, "was made up, and has no end", run)
    return world


WATCH_SCENARIOS = (
    Scenario("alert-sink-down", (41, 42), "people are told once, and late rather than never", alert_sink_down),
    Scenario("paused-watchdog", (43,), "who watches is watched from outside", paused_watchdog),
    Scenario("silent-gap", (48,), "what is expected and not there is told as absent", silent_gap),
)
