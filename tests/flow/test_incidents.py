"""Is every incident told, once in effect, whatever becomes of the sink and of who tells it?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.adapters.http import Http
from shared.adapters.notify import LogNotifier
from shared.adapters.sinks import PagerDuty, SlackNotifier
from shared.adapters.slack import AGAIN, SlackWebhook
from shared.adapters.sqlite import Sqlite
from shared.core.model import Act, Alert, PipelineSpec, RunKey, Start, Status, Word
from shared.gather import one_by_one
from shared.service import LATCH_LEASE_S, Refusal, Service
from shared.watch import Watch
from tests.contract.recorder import Recorder, recording
from tests.flow.test_path_of_a_completion import RUN, HandClock, World, line

INCIDENT = f"{RUN}/incident/stalled/1"


@dataclass
class Sink:
    """What PagerDuty makes of what it is told: one incident for each dedup key."""

    is_up: bool = True
    heard: list[tuple[str, bool]] = field(default_factory=list)
    open: set[str] = field(default_factory=set)

    def notify(self, _: RunKey, incident: str, alert: Alert) -> bool:
        if not self.is_up:
            return False
        self.heard.append((incident, alert.resolved))
        if alert.resolved:
            self.open.discard(incident)
        else:
            self.open.add(incident)
        return True


@dataclass
class Told(World):
    sink: Sink = field(default_factory=Sink)

    def __post_init__(self) -> None:
        super().__post_init__()
        ports = replace(self.ports, notifiers={"sink": self.sink})
        self.service = Service(ports, {"line": self.spec}, self.told.append, starts_missing_runs=False)

    def after(self, seconds: float) -> None:
        self.clock.pass_by(seconds=seconds)
        self.service.sweep()

    def stall(self) -> None:
        """A critical processor fails as often as it may; then an operator orders it once more."""
        self.service.start_run(RUN)
        while starts := self.starts():
            for start in starts:
                self.report(start, Status.FAILED if start.processor == "p0_0" else Status.SUCCESS)
            self.after(61)


def new_world() -> Told:
    return Told(Sqlite(":memory:"), HandClock(), line())


@pytest.fixture
def world() -> Told:
    return new_world()


def test_an_incident_is_told_by_the_next_sweep_and_only_once(world: Told) -> None:
    world.stall()
    for _ in range(5):
        world.after(60)
    assert world.sink.heard == [(INCIDENT, False)]
    assert world.sink.open == {INCIDENT}


def test_a_sink_that_is_down_for_an_hour_loses_and_doubles_nothing(world: Told) -> None:
    world.sink.is_up = False
    world.stall()
    for _ in range(60):
        world.after(60)
    world.sink.is_up = True
    for _ in range(3):
        world.after(60)
    assert world.sink.heard == [(INCIDENT, False)]


def test_an_incident_that_was_over_before_its_sink_was_back_is_told_with_its_end(world: Told) -> None:
    world.sink.is_up = False
    world.stall()
    again(world)
    world.after(60)
    world.sink.is_up = True
    for seconds in (1, 20, 31, 60, 60):
        world.after(seconds)
    assert world.sink.heard[0] == (INCIDENT, False)
    assert world.sink.heard[-1] == (INCIDENT, True)
    assert not world.sink.open


def test_one_who_dies_between_telling_and_closing_tells_the_same_again(world: Told) -> None:
    world.stall()
    world.after(60)
    at = world.clock.now() + timedelta(seconds=LATCH_LEASE_S)
    again(world)  # its end is latched, and told by one that dies: the latch stays open
    lapsed = world.store.states.take_lapsed(at + timedelta(minutes=1), LATCH_LEASE_S, 10)
    assert [latch.incident for latch in lapsed if latch.alert] == [INCIDENT]
    world.after(200)
    assert world.sink.heard[-1] == (INCIDENT, True)
    assert not world.sink.open


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("seconds", [5, 25, 35, 70])
def test_a_sweep_that_takes_longer_than_its_lease_tells_what_no_other_has_told(
    world: Told, seconds: int, others: int
) -> None:
    world.sink.is_up = False
    world.stall()
    world.sink.is_up = True

    def slowly(_name: str, _deep: bool) -> str:
        world.clock.pass_by(seconds=seconds)
        for _ in range(others if seconds > LATCH_LEASE_S else 0):
            world.service.sweep()
        return ""

    ports = replace(world.ports, notifiers={"sink": world.sink})
    watch = Watch(ports, "line", [], lambda _schedule, _now: None, ["p0"], slowly, one_by_one)
    slow = Service(ports, {"line": world.spec}, starts_missing_runs=False, watch=watch)
    world.clock.pass_by(seconds=61)
    slow.sweep()
    assert world.sink.heard == [(INCIDENT, False)]


def test_what_was_said_a_moment_ago_is_told_however_old_its_incident_is(world: Told) -> None:
    world.stall()
    world.after(60)
    for _ in range(5):
        world.after(24 * 3600)
    said = len(world.sink.heard)
    world.sink.is_up = False
    world.service.acknowledge(RUN, Act(actor="ann", reason="on it", at=world.clock.now()))
    world.after(60)
    world.sink.is_up = True
    world.after(60)
    assert len(world.sink.heard) == said + 1


def test_a_replay_ends_what_was_told_of_the_run_that_it_replays(world: Told) -> None:
    world.stall()
    world.after(60)
    act = Act(actor="ann", reason="the disk is mended", at=world.clock.now())
    again = world.service.replay(RUN, "", act)
    assert again == replace(RUN, generation=2)
    world.after(60)
    assert world.sink.heard == [(INCIDENT, False), (INCIDENT, True)]
    for _ in range(10):  # the old one is still blocked, and still looked at
        world.after(400)
    assert not [incident for incident in world.sink.open if incident.startswith(str(RUN))]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("after_min", [1, 30, 150])
def test_a_run_that_waits_when_it_is_replayed_tells_nothing_more_and_what_was_told_of_it_is_over(
    after_min: int, held: bool
) -> None:
    world = Told(Sqlite(":memory:"), HandClock(), patient(line()))
    world.service.start_run(RUN)
    for start in world.starts():
        if start.processor != "p0_0":
            world.report(start)
    for _ in range(after_min):
        world.after(60)
    told, were_open = len(world.sink.heard), sorted(world.sink.open)
    assert were_open == {1: [], 30: [f"{RUN}/incident/slow/1"], 150: [INCIDENT]}[after_min]
    act = Act(actor="ann", reason="another schedule", at=world.clock.now())
    if held:
        world.service.say(RUN, Word(verb="hold", about="", act=act))
    again = world.service.replay(RUN, "", act)
    world.finish([start for start in world.starts() if start.run == again])
    for _ in range(400):
        world.after(60)
    assert world.sink.heard[told:] == [(incident, True) for incident in were_open]


@pytest.mark.parametrize("replayed", [False, True])
def test_what_cannot_be_sent_of_a_run_that_is_replayed_is_nobodys_to_look_into(world: Told, replayed: bool) -> None:
    world.service.start_run(RUN)
    first = world.starts()
    if replayed:
        world.service.replay(RUN, "", Act(actor="ann", reason="bad zones", at=world.clock.now()))

    def publish(*_: object) -> None:
        raise OSError("the bus is out")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.store.bus, "publish", publish)
        for start in first:
            with suppress(OSError):
                world.report(start)
        for _ in range(5):
            with suppress(OSError):
                world.after(60)
    assert [latch.told.cause for latch in world.latches() if latch.alert] == ([] if replayed else ["not-fired"])


def test_the_log_tells_what_a_person_must_act_on_as_an_error(world: Told, caplog: pytest.LogCaptureFixture) -> None:
    world.stall()
    (latch,) = [latch for latch in world.latches() if latch.alert]
    assert latch.alert is not None
    with caplog.at_level("INFO", logger="tipoff.incident"):
        assert LogNotifier().notify(RUN, INCIDENT, latch.alert)
        assert LogNotifier().notify(RUN, INCIDENT, replace(latch.alert, resolved=True))
    assert [(record.levelname, record.message.partition(":")[0]) for record in caplog.records] == [
        ("ERROR", "incident"),
        ("INFO", "incident over"),
    ]


# --- more than one sink, over the wire ------------------------------------------------------------------------


@dataclass
class Paged(Told):
    """PagerDuty and Slack as servers of this machine, told by what is shipped."""

    pager: Recorder = field(default_factory=Recorder)
    channel: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        super().__post_init__()
        http = Http()
        chat = SlackWebhook(http, self.channel.url, again=replace(AGAIN, total_s=0.0))
        sinks = {
            "pagerduty": PagerDuty(http, "0" * 32, url=self.pager.url, now=self.clock.now),
            "slack": SlackNotifier(chat, pages=True, now=self.clock.now),
        }
        ports = replace(self.ports, notifiers=sinks)
        self.service = Service(ports, {"line": self.spec}, self.told.append, starts_missing_runs=False)

    @property
    def posts(self) -> list[str]:
        return [post["text"].partition(" ")[0] for post in self.channel.took]


@pytest.fixture
def paged() -> Iterator[Paged]:
    with recording() as pager, recording() as channel:
        yield Paged(Sqlite(":memory:"), HandClock(), line(), pager=pager, channel=channel)


@pytest.mark.parametrize("down", [("pager",), ("channel",), ("pager", "channel")])
def test_whichever_sink_is_down_for_an_hour_each_is_told_once(paged: Paged, down: tuple[str, ...]) -> None:
    for name in down:
        getattr(paged, name).status = 503
    paged.stall()
    for _ in range(60):
        paged.after(60)
    for name in down:
        getattr(paged, name).status = 202
    for _ in range(3):
        paged.after(60)
    assert paged.pager.events == [f"trigger {INCIDENT}"]
    assert paged.posts == [":rotating_light:"]
    again(paged)
    for _ in range(3):
        paged.after(60)
    assert paged.pager.events == [f"trigger {INCIDENT}", f"resolve {INCIDENT}"]
    assert paged.posts == [":rotating_light:", ":white_check_mark:"]


def test_a_bad_key_keeps_nobody_else_and_what_it_kept_is_told_once_it_is_mended(paged: Paged) -> None:
    paged.pager.status = 400
    paged.stall()
    for _ in range(60):
        paged.after(60)
    assert paged.posts == [":rotating_light:"]
    assert 5 <= len(paged.pager.posted) <= 7, "once in ten minutes"
    paged.pager.status = 202
    for _ in range(11):
        paged.after(60)
    assert paged.pager.events == [f"trigger {INCIDENT}"]
    assert paged.posts == [":rotating_light:"]


def test_what_both_sinks_missed_is_told_in_order_with_its_end(paged: Paged) -> None:
    paged.pager.status = paged.channel.status = 503
    paged.stall()
    for _ in range(125):  # it is escalated meanwhile
        paged.after(60)
    again(paged)
    for _ in range(2):
        paged.after(60)
    paged.pager.status = paged.channel.status = 202
    for _ in range(4):
        paged.after(60)
    first = [event for event in paged.pager.events if event.endswith(INCIDENT)]  # it stands still again at its deadline
    assert first == [f"trigger {INCIDENT}", f"resolve {INCIDENT}"]
    assert paged.posts[:2] == [":rotating_light:", ":white_check_mark:"]


def test_what_stays_unresolved_is_told_to_more_people_once(paged: Paged) -> None:
    paged.stall()
    for _ in range(200):
        paged.after(60)
    assert paged.pager.events == [f"trigger {INCIDENT}"] * 2
    assert [("escalated_at" in event["payload"]["custom_details"]) for event in paged.pager.took] == [False, True]
    assert [("<!channel>" in post["text"]) for post in paged.channel.took] == [False, True]


def test_an_acknowledgement_reaches_who_calls_once_and_ends_nothing(paged: Paged) -> None:
    paged.stall()
    paged.after(60)
    act = Act(actor="ann", reason="on it", at=paged.clock.now())
    answer = paged.service.acknowledge(RUN, act)
    assert isinstance(answer, tuple)
    assert [(alert.cause, alert.acknowledged) for alert in answer] == [("stalled", act)]
    assert paged.service.acknowledge(RUN, act, ("stalled", 1)) == ()
    assert isinstance(paged.service.acknowledge(RUN, act, ("slow", 1)), Refusal)
    paged.after(1)
    assert paged.pager.events == [f"trigger {INCIDENT}", f"acknowledge {INCIDENT}"]
    for _ in range(130):
        paged.after(60)
    assert paged.pager.events[2:] == [f"trigger {INCIDENT}"], "escalated all the same"
    summary = paged.pager.took[-1]["payload"]["summary"]
    assert summary.startswith("unresolved for 2 hours, acknowledged by ann: ")
    again(paged)
    for _ in range(2):
        paged.after(60)
    assert f"resolve {INCIDENT}" in paged.pager.events
    assert ":white_check_mark:" in paged.posts, "its end is told, whoever has had it"
    assert isinstance(paged.service.acknowledge(replace(RUN, generation=9), act), Refusal)


def test_what_nobody_takes_for_days_is_given_up_aloud(paged: Paged, caplog: pytest.LogCaptureFixture) -> None:
    paged.pager.status = 400
    paged.stall()
    for _ in range(76):  # it is escalated after two, which is told for three days too
        paged.after(3_600)
    assert "told to nobody more, after 3 days" in caplog.text
    assert not paged.store.states.take_lapsed(paged.clock.now() + timedelta(days=1), LATCH_LEASE_S, 10)


def patient(spec: PipelineSpec) -> PipelineSpec:
    """The same, where no processor is given up within the day."""
    phases = (
        replace(phase, processors=tuple(replace(each, timeout_s=86_400) for each in phase.processors))
        for phase in spec.phases
    )
    return replace(spec, phases=tuple(phases))


def again(world: Told) -> None:
    act = Act(actor="ann", reason="the disk is mended", at=world.clock.now())
    start = world.service.again(RUN, "p0", "p0_0", act)
    world.starts()
    assert isinstance(start, Start)
    world.report(start)
