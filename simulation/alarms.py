"""Every alarm of SYSTEMS, section 1, with its fault injected: what reaches the endpoints of PagerDuty and Slack, and
how long after the threshold. The shipped adapters speak; what records is this world's. Part of SCENARIOS, and a
benchmark.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from shared.adapters.http import Answer, Http, HttpError
from shared.adapters.sinks import PagerDuty, SlackNotifier
from shared.adapters.slack import AGAIN, SlackWebhook
from shared.config.nba import NBA
from shared.core import calendar
from shared.core.incident import ESCALATED_AFTER, LATE, LATE_GATE, SLOW_FACTOR, STALLED_AFTER
from shared.core.model import Act, Alert, RunKey, Start
from shared.core.watch import BEAT_GRACE, TOGETHER, record_of
from shared.ports import Health
from shared.watch import DEEP_EVERY_MIN
from simulation.asked import VERSION
from simulation.fate import Call, Fate
from simulation.scenario import DAY, OVERNIGHT, SAME_DAY, Scenario, begins_at, calm
from simulation.spells import Spell, SpellKind
from simulation.work import Behaviour, Kind
from simulation.world import MINUTE, World

WITHIN = timedelta(minutes=2)
PAGERDUTY, SLACK = "https://events.pagerduty.example/v2/enqueue", "https://hooks.slack.example/services/T/B/x"


@dataclass(frozen=True, slots=True)
class Received:
    """What one of the endpoints took."""

    at: datetime
    by: str  # pagerduty, slack
    what: str  # trigger, escalate, acknowledge, resolve; of Slack warning, call, over
    about: str  # the incident


@dataclass(slots=True)
class Endpoints:
    """Both, as Http reaches them: they keep what they are sent, and may be down."""

    world: World
    took: list[Received] = field(default_factory=list)

    def ask(self, method: str, url: str, *, body: bytes, **_: object) -> Answer:
        if self.world.weather.has(SpellKind.SINK_DOWN):
            raise HttpError(f"{method} {url}: no whole answer", passes=True)
        said = json.loads(body)
        at = self.world.now
        self.took.append(_event(at, said) if url == PAGERDUTY else _post(at, said))
        return Answer(status=202, body=b"ok")


def _event(at: datetime, said: Mapping[str, Any]) -> Received:
    again = "escalated_at" in said.get("payload", {}).get("custom_details", {})
    return Received(at, "pagerduty", "escalate" if again else said["event_action"], said["dedup_key"])


def _post(at: datetime, said: Mapping[str, Any]) -> Received:
    what = "over" if "Over:" in said["text"] else "call" if "<!channel>" in said["text"] else "warning"
    return Received(at, "slack", what, said["blocks"][1]["elements"][0]["text"].rpartition(" · ")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One that was tried: what had to come, since when, and when it came."""

    name: str
    by: str
    what: str
    about: str  # the incident
    threshold_at: datetime
    received_at: datetime | None

    @property
    def seconds(self) -> float | None:
        return None if self.received_at is None else (self.received_at - self.threshold_at).total_seconds()


class Trial:
    """A watched world with a fault in it, its sinks, and the alarms that it has to raise."""

    def __init__(self, fate: Fate, instances: int = 1) -> None:
        """`instances`: of self_heal; each goes a round when it is its turn."""
        self.world = World(fate, DAY, watched=instances)
        self.endpoints = Endpoints(self.world)
        self.alarms: list[Alarm] = []
        http, now = cast(Http, self.endpoints), self.world.clock.now
        chat = SlackWebhook(http, SLACK, again=replace(AGAIN, total_s=0.0))
        self.world.notifiers["pagerduty"] = PagerDuty(http, "0" * 32, url=PAGERDUTY, now=now)
        self.world.notifiers["slack"] = SlackNotifier(chat, pages=False, now=now)

    def play(self, until: str) -> Trial:
        """With the timer's every round up to a time of the day; what is left goes on without."""
        world = self.world
        world.forget_before()
        world.schedule(1)
        minute, last = world.begins_at + MINUTE, calendar.at(DAY, until, NBA.zone)
        while minute < last:
            world.at(minute, self._round)
            minute += MINUTE
        world.go_on()
        return self

    def _round(self) -> None:
        if not self.world.weather.has(SpellKind.NO_SWEEP):
            self.world.sweep_now()

    def expects(self, name: str, by: str, what: str, incident: str, since: datetime | None) -> None:
        """That this is received within two minutes of its threshold, once."""
        world = self.world
        told = [each.at for each in self.endpoints.took if (each.by, each.what, each.about) == (by, what, incident)]
        world.expect(since is not None, f"{name}: its threshold was never reached")
        world.expect(len(told) == 1, f"{name}: {by} got {len(told)} of {what} {incident}")
        if since is None:
            return
        at = told[0] if told else None
        alarm = Alarm(name=name, by=by, what=what, about=incident, threshold_at=since, received_at=at)
        self.alarms.append(alarm)
        in_time = at is not None and timedelta() <= at - since <= WITHIN
        world.expect(in_time, f"{name}: {by} got {what} {alarm.seconds} s after its threshold")

    def expects_nothing_else(self) -> Trial:
        """What was not expected was not told, but for its end."""
        known = {(each.by, each.what, each.about) for each in self.alarms}
        ends = {("pagerduty", "resolve"), ("slack", "over")}
        more = [
            f"{each.by} {each.what} {each.about}"
            for each in self.endpoints.took
            if (each.by, each.what, each.about) not in known and (each.by, each.what) not in ends
        ]
        self.world.expect(not more, f"{len(more)} more were told: {', '.join(more[:3])}")
        return self


def _fate(
    seed: int,
    behave: Callable[[Start], Behaviour] = lambda _: Behaviour(),
    *,
    strike: Callable[[Call], str] = lambda _: "",
    health: Callable[[str, datetime], Health | None] = lambda _service, _now: None,
    spells: tuple[Spell, ...] = (),
) -> Fate:
    calmly = calm(seed, behave)
    return replace(calmly, strike=strike, health=health, spells=lambda day: spells if day == DAY else ())


def _incident(run: RunKey, cause: str) -> str:
    return f"{run}/incident/{cause}/1"


def _opened_at(world: World, run: RunKey, gate: str) -> datetime | None:
    """When a gate opened first."""
    outcomes = world.stories[run].outcomes if run in world.stories else []
    return next((outcome.decided_at for outcome in outcomes if outcome.gate == gate), None)


# --- the alarms of SYSTEMS ------------------------------------------------------------------------------


def quiet(seed: int) -> Trial:
    """A day on which nothing is wrong: nobody is told anything."""
    return Trial(_fate(seed)).play("23:00").expects_nothing_else()


def _ill(
    seed: int, ill_at: datetime, lasts: timedelta, found: Callable[[str], Health], who: str = "", instances: int = 1
) -> Trial:
    """A world in which one service, or each, answers so for a while."""

    def health(service: str, now: datetime) -> Health | None:
        return found(service) if who in ("", service) and ill_at <= now < ill_at + lasts else None

    trial = Trial(_fate(seed, health=health), instances)
    trial.world.at(ill_at, lambda: trial.world.fault("ill", who or "all services"))
    return trial


def _ends_once(trial: Trial, incident: str) -> None:
    ends = [each for each in trial.endpoints.took if (each.what, each.about) == ("resolve", incident)]
    trial.world.expect(len(ends) == 1, f"{len(ends)} ends of it were told")


def unwell(seed: int) -> Trial:
    """A service that no gate needs just now does not answer for twenty minutes."""
    ill_at = calendar.at(DAY, "13:00", NBA.zone) + timedelta(seconds=random.Random(seed).uniform(0, 60))
    dead = Health(alive=False, why="does not answer")
    trial = _ill(seed, ill_at, timedelta(minutes=20), lambda _: dead, "export_processor").play("14:00")
    incident = _incident(record_of(NBA.name), "health-export_processor")
    trial.expects("a health endpoint fails twice, 60 s apart", "pagerduty", "trigger", incident, ill_at + MINUTE)
    _ends_once(trial, incident)
    return trial.expects_nothing_else()


def unready(seed: int, instances: int = 1) -> Trial:
    """A service lives and could not work, for an hour: found when it is asked for more than whether it lives."""
    ill_at = calendar.at(DAY, "13:00", NBA.zone) + timedelta(minutes=random.Random(seed).uniform(1, DEEP_EVERY_MIN - 1))
    asked_at = calendar.at(DAY, "13:00", NBA.zone) + DEEP_EVERY_MIN * MINUTE

    def lives(service: str) -> Health:
        return Health(alive=True, service=service, version=VERSION, why="not ready: state: no answer")

    trial = _ill(seed, ill_at, timedelta(hours=1), lives, "export_processor", instances).play("15:00")
    incident = _incident(record_of(NBA.name), "health-export_processor")
    trial.expects("a service lives and could not work", "pagerduty", "trigger", incident, asked_at + MINUTE)
    _ends_once(trial, incident)
    return trial.expects_nothing_else()


def by_turns(seed: int) -> Trial:
    """The same, where each round is gone by another instance of self_heal than the two before it."""
    return unready(seed, instances=3)


def many_unwell(seed: int) -> Trial:
    """What all services need is out for a quarter of an hour, when no gate needs one: one incident for all of them."""
    ill_at = calendar.at(DAY, "13:00", NBA.zone) + timedelta(seconds=random.Random(seed).uniform(0, 60))
    dead = Health(alive=False, why="answered 500")
    trial = _ill(seed, ill_at, timedelta(minutes=15), lambda _: dead).play("14:00")
    incident = _incident(record_of(NBA.name), TOGETHER)
    trial.expects("many services are not well at once", "pagerduty", "trigger", incident, ill_at + MINUTE)
    return trial.expects_nothing_else()


def slow(seed: int) -> Trial:
    """Two attempts of a processor stay silent until their timeout, so that its phase takes too long."""

    def behave(start: Start) -> Behaviour:
        silent = start.run == OVERNIGHT and start.processor == "player_boxscores" and start.attempt < 3
        return Behaviour(kind=Kind.HANG, fault="hang") if silent else Behaviour()

    trial = Trial(_fate(seed, behave)).play("10:00")
    opened_at, story = _opened_at(trial.world, OVERNIGHT, "raw"), trial.world.stories[OVERNIGHT]
    usual = timedelta(seconds=story.plan.phase_by_name["raw"].usual_s or 0)
    since = opened_at + SLOW_FACTOR * usual if opened_at else None
    trial.expects("a transition takes twice its usual time", "slack", "warning", _incident(OVERNIGHT, "slow"), since)
    return trial.expects_nothing_else()


def stalled(seed: int) -> Trial:
    """A critical processor fails at every attempt, for three hours: its gate blocks, and people hear of it again."""
    failed: list[datetime] = []

    def behave(start: Start) -> Behaviour:
        now = trial.world.now
        if start.run != OVERNIGHT or start.processor != "player_boxscores" or now >= mended_at:
            return Behaviour()
        if start.attempt == 3:
            failed.append(now + timedelta(seconds=5))
        return Behaviour(kind=Kind.FAIL, after_s=5, hard=True, fault="broken")

    mended_at = begins_at(OVERNIGHT) + timedelta(hours=3)
    trial = Trial(_fate(seed, behave))
    trial.play("12:00")
    incident, since = _incident(OVERNIGHT, "stalled"), failed[0] if failed else None
    trial.expects("a pipeline stands still, blocked", "pagerduty", "trigger", incident, since)
    raised_at = next((alert.at for alert in _alerts(trial, OVERNIGHT) if alert.raises), None)
    longer = raised_at + ESCALATED_AFTER if raised_at else None
    trial.expects("it is unresolved after 2 h", "pagerduty", "escalate", incident, longer)
    trial.expects("the same, in the channel", "slack", "call", incident, longer)
    return trial.expects_nothing_else()


def waiting(seed: int) -> Trial:
    """A critical processor never gets all of its units, hours before the deadline at which its gate would block."""

    def behave(start: Start) -> Behaviour:
        if start.run != SAME_DAY or start.processor != "upcoming_player_game_context":
            return Behaviour()
        units = start.units or ()
        return Behaviour(kind=Kind.PARTIAL, lacks=units[: len(units) // 2], hard=True, fault="stuck")

    trial = Trial(_fate(seed, behave)).play("15:00")
    opened_at = _opened_at(trial.world, SAME_DAY, "analytics")
    usual_s = trial.world.stories[SAME_DAY].plan.phase_by_name["analytics"].usual_s or 0
    slow_at = opened_at + SLOW_FACTOR * timedelta(seconds=usual_s) if opened_at else None
    stalled_at = opened_at + STALLED_AFTER if opened_at else None
    incident = _incident(SAME_DAY, "stalled")
    trial.expects("a transition takes twice its usual time", "slack", "warning", _incident(SAME_DAY, "slow"), slow_at)
    trial.expects("a pipeline stands still for 2 h", "pagerduty", "trigger", incident, stalled_at)
    return trial


def replayed(seed: int) -> Trial:
    """The same, and a person replays the run while it waits: what was told of it is over at once, and nobody is told
    of it any more."""

    def behave(start: Start) -> Behaviour:
        stuck = start.run == SAME_DAY and start.processor == "upcoming_player_game_context"
        units = start.units or ()
        return Behaviour(kind=Kind.PARTIAL, lacks=units[: len(units) // 2], hard=True, fault="stuck") if stuck else live

    def replay() -> None:
        act = Act(actor="operator", reason="the schedule was wrong", at=trial.world.now)
        again = trial.world.service.replay(SAME_DAY, "", act)
        trial.world.expect(isinstance(again, RunKey), f"the replay is {again}", SAME_DAY)

    live, trial, replayed_at = Behaviour(), Trial(_fate(seed, behave)), calendar.at(DAY, "11:30", NBA.zone)
    trial.world.at(replayed_at, replay)
    trial.play("17:00")
    opened_at = _opened_at(trial.world, SAME_DAY, "analytics")
    usual_s = trial.world.stories[SAME_DAY].plan.phase_by_name["analytics"].usual_s or 0
    slow_at = opened_at + SLOW_FACTOR * timedelta(seconds=usual_s) if opened_at else None
    incident = _incident(SAME_DAY, "slow")
    trial.expects("a transition takes twice its usual time", "slack", "warning", incident, slow_at)
    trial.expects("it is over once its run is replayed", "slack", "over", incident, replayed_at)
    return trial.expects_nothing_else()


def incomplete(seed: int) -> Trial:
    """Two optional processors fail for good: the run goes on with less than 95 %."""
    lost = ("team_defense_game_summary", "upcoming_team_game_context")

    def behave(start: Start) -> Behaviour:
        gone = start.run == OVERNIGHT and start.processor in lost
        return Behaviour(kind=Kind.FAIL, after_s=5, hard=True, fault="broken") if gone else Behaviour()

    trial = Trial(_fate(seed, behave)).play("12:00")
    since = _opened_at(trial.world, OVERNIGHT, "precompute")
    trial.expects("completeness is below 0.95", "slack", "warning", _incident(OVERNIGHT, "incomplete"), since)
    return trial.expects_nothing_else()


def not_fired(seed: int) -> Trial:
    """The bus takes nothing for ten minutes: a gate has opened, and what it starts is not sent."""
    out_at = begins_at(OVERNIGHT) + timedelta(seconds=30)

    def strike(call: Call) -> str:
        is_out = call.verb == "publish" and out_at <= call.at < out_at + timedelta(minutes=10)
        return "error" if is_out else ""

    trial = Trial(_fate(seed, strike=strike)).play("10:00")
    latches = trial.world.stories[OVERNIGHT].latches.values()
    unsent = [start.issued_at for latch in latches for start in latch.starts if start.issued_at >= out_at]
    since, incident = min(unsent) + LATE if unsent else None, _incident(OVERNIGHT, "not-fired")
    trial.expects("a gate is ready, and has not fired for 2 min", "pagerduty", "trigger", incident, since)
    _ends_once(trial, incident)
    return trial


def late_gate(seed: int) -> Trial:
    """The timer is out for ten minutes, and who records a report dies before he looks: noticed once somebody does."""
    out_at = begins_at(OVERNIGHT) + timedelta(minutes=2)  # while the box scores are fetched
    out = Spell(kind=SpellKind.NO_SWEEP, begins_at=out_at, length_s=600)

    def strike(call: Call) -> str:
        looks = call.topic.endswith("-complete") and call.verb != "append"
        return "crash" if looks and out_at <= call.at < out.ends_at else ""

    def behave(start: Start) -> Behaviour:
        return Behaviour(after_s=300.0 if start.processor == "boxscores" else 30.0)

    trial = Trial(_fate(seed, behave, strike=strike, spells=(out,))).play("10:00")
    since = next((alert.at for alert in _alerts(trial, OVERNIGHT) if alert.cause == LATE_GATE), None)
    name = "a gate could have opened, and nobody had looked: since somebody has"
    trial.expects(name, "slack", "warning", _incident(OVERNIGHT, LATE_GATE), since)
    return trial


def late_job(seed: int) -> Trial:
    """A schedule is paused: its job does not come through."""
    paused = Spell(kind=SpellKind.NO_SCHEDULES, begins_at=calendar.at(DAY, "10:00", NBA.zone), length_s=3_600)
    trial = Trial(_fate(seed, spells=(paused,))).play("12:00")
    incident = _incident(record_of(NBA.name), "heartbeat-same-day")
    since = calendar.at(DAY, "10:30", NBA.zone) + BEAT_GRACE
    trial.expects("a scheduled job has not come through", "slack", "warning", incident, since)
    return trial.expects_nothing_else()


def _alerts(trial: Trial, run: RunKey) -> list[Alert]:
    return [latch.told for latch in trial.world.stories[run].latches.values() if latch.alert]


TRIALS: Mapping[str, Callable[[int], Trial]] = {
    "alarm-health": unwell,
    "alarm-unready": unready,
    "alarm-by-turns": by_turns,
    "alarm-many": many_unwell,
    "alarm-slow": slow,
    "alarm-stalled": stalled,
    "alarm-waiting": waiting,
    "alarm-replayed": replayed,
    "alarm-incomplete": incomplete,
    "alarm-not-fired": not_fired,
    "alarm-late-gate": late_gate,
    "alarm-heartbeat": late_job,
    "quiet-day": quiet,
}

SAYS = {
    "alarm-health": "a service that no gate needs now is missed all the same, and its incident ends",
    "alarm-unready": "a service that lives and could not work is found within twenty minutes, and told a minute later",
    "alarm-by-turns": "what one instance of self_heal saw, the next one goes on from: it is told once, and over once",
    "alarm-many": "what all services need is out, and nobody is called for each of them",
    "alarm-slow": "a phase that takes twice its usual time is told",
    "alarm-stalled": "who stands still is told once, and to more people after two hours",
    "alarm-waiting": "hours before a deadline, two hours in one phase are told",
    "alarm-replayed": "what was told of a run that waits is over once a person replays it",
    "alarm-incomplete": "going on with less than 95 % is told",
    "alarm-not-fired": "a gate that is open in the books alone is told while it is so",
    "alarm-late-gate": "a gate that nobody looked at is told once somebody does",
    "alarm-heartbeat": "a job that its schedule did not start is told",
    "quiet-day": "on a day on which nothing is wrong nobody is told anything",
}


def _scenario(name: str) -> Scenario:
    return Scenario(name, (41, 42), SAYS[name], lambda seed: TRIALS[name](seed).world)


ALARM_SCENARIOS = tuple(map(_scenario, TRIALS))


def delays(seed: int) -> dict[str, object]:
    """Of each alarm, the seconds of virtual time from its threshold until an endpoint had it; None: it never came.

    Equal seeds give equal figures.
    """
    tried = [(name, play(seed)) for name, play in TRIALS.items()]
    told = [(f"{name} {alarm.by} {alarm.what}", alarm.seconds) for name, trial in tried for alarm in trial.alarms]
    in_time = sum(seconds is not None and seconds <= WITHIN.total_seconds() for _, seconds in told)
    figures = {name: None if seconds is None else round(seconds, 1) for name, seconds in told}
    return {
        **figures,
        "alarms": len(told),
        "in_time": in_time,
        "violations": sum(len(trial.world.violations) for _, trial in tried),
    }
