"""The whole of a pipeline on emulators, each function its own process: two runs with poison between, and their logs.

What happened is told once, as a Story; the tests ask of it.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests

from data_processors.nba.runner import Work, bootstrap, create_tables
from orchestration.emulators import BIGQUERY_VENV, KINDS, command_of
from orchestration.letters import letters_of
from orchestration.records import status_of
from orchestration.stack import STACK_FILE, STARTED, TIMER, Stack, Wanted, running_stack
from shared import wiring
from shared.config.functions import NUDGE_TOPIC, PREDICTION_START_TOPIC
from shared.config.nba import NBA
from shared.config.orchestration_config import pipeline
from shared.core.codec import encode
from shared.core.messages import Message, Nudge, start_message
from shared.core.model import Completion, LedgerEntry, RunKey, Start, Status
from shared.core.plan import config_hash
from shared.core.status import RunState, RunStatus
from shared.core.subscriptions import subscription_of
from shared.ports import Health, Quarantined
from tests.emulators import absent_is_said
from tests.flow.cli import command, environment
from tests.house.tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DAY = timedelta(days=1)
COMMIT = "0123abc"
PATIENCE_S = 180.0
LINE_MAX = 4_000  # characters: the message, and the labels around it
LABELS = "logging.googleapis.com/labels"
PHASES = {phase.name: phase for phase in NBA.phases}
HOSTILE = "x'); DROP TABLE runs;--\x1b[2J\x1b]0;owned\x07\r\n\u202eevil\u2066\x00"


@dataclass(frozen=True, kw_only=True)
class Poison:
    """A message that nobody can work with, who hears it, and why it is kept."""

    message: Message
    function: str
    why: str  # begins the reason


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was seen of a stack, from its start to after its end."""

    folder: Path
    health: Mapping[str, Health]
    runs: Mapping[RunKey, RunStatus]
    ledger: Mapping[RunKey, tuple[LedgerEntry, ...]]
    poison: Mapping[str, Poison]
    kept: tuple[Quarantined, ...]
    buried: int
    pages: Mapping[str, tuple[int, str]]  # of the dashboard, each with its status
    purged: tuple[str, str]  # a message given up there: its id, and where that has led
    logs: Mapping[str, list[str]]  # by function
    left: list[str]  # of its processes, after its end


def poisons(run: RunKey) -> dict[str, Poison]:
    """For a run that is known. Each says in its attributes which it is."""
    raw, topic = PHASES["raw"], PHASES["raw"].completion_topic
    unknown = RunKey("nba", run.date - 300 * DAY, run.mode)
    report = Completion(
        run=run, phase="raw", processor=raw.processors[0].name, attempt=1, report=7, status=Status.FAILED, reason="x"
    )
    scraper = PHASES["scrape"].processors[0]
    start = Start(
        run=run,
        phase="scrape",
        processor=scraper.name,
        attempt=1,
        fence=1,
        partition=run.date,
        timeout_s=60,
        issued_at=datetime(2031, 1, 1, tzinfo=timezone.utc),
    )
    later = Nudge(pipeline="nba", mode=run.mode, date="TODAY", scheduled_at=datetime(2999, 12, 31, tzinfo=timezone.utc))
    hostile = json.dumps({**json.loads(encode(report)), "processor": HOSTILE}).encode()

    def gate(data: bytes, why: str, **attributes: str) -> Poison:
        message = Message(topic=topic, data=data, attributes=attributes)
        return Poison(message=message, function="phase2_to_phase3", why=why)

    def service(start: Start, why: str, topic: str = raw.start_topic, function: str = "raw_processor") -> Poison:
        return Poison(message=start_message(start, topic), function=function, why=why)

    found = {
        "not JSON": gate(b"\xff\x00 not JSON", "malformed: Completion: not JSON"),
        "wrong schema": gate(b'{"status":"success","rows":"many"}', "malformed: rows: expected int, got 'many'"),
        "nine megabytes": gate(b"[" + b" " * 9_000_000 + b"]", "malformed: body: 9000002 bytes, at most 1000000"),
        "unknown run": gate(encode(replace(report, run=unknown)), f"run {unknown} is not known"),
        "unknown processor": gate(encode(replace(report, processor="nobody")), f"raw/nobody is not planned in {run}"),
        "an attempt that nobody ordered": gate(encode(replace(report, attempt=9)), f"{report.processor} attempt 9 was"),
        "a date in the future": gate(
            encode(replace(report, run=replace(run, date=date(2999, 12, 31)))), "run nba.2999-12-31.overnight.1 is not"
        ),
        "hostile text": gate(hostile, "malformed: processor: expected a name", run=HOSTILE.replace("\x00", "")),
        "half a character": gate(b'{"reason":"\\ud800"}', "malformed: Completion: not JSON"),
        "attributes alone": gate(b"", "malformed: Completion: not JSON", run=str(run)),
        "a start of another phase": service(start, f"scrape/{scraper.name} is not a processor of raw"),
        "a batch of another phase": service(
            start,
            f"scrape/{scraper.name} is not a processor of predictions",
            PREDICTION_START_TOPIC,
            "prediction_coordinator",
        ),
        "a schedule of a day to come": Poison(
            message=Message(topic=NUDGE_TOPIC, data=encode(later)),
            function="self_heal",
            why="scheduled at 2999-12-31 00:00:00+00:00, which is still to come",
        ),
        "a start of nobody": service(replace(start, phase="raw", processor="nobody"), "raw/nobody is not a processor"),
    }
    return {
        name: replace(each, message=replace(each.message, attributes={**each.message.attributes, "poison": name}))
        for name, each in found.items()
    }


@pytest.fixture(scope="module")
def story(season: Path, night: date, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("home")
    wanted = Wanted(home=home, data=str(season), commit=COMMIT, calendar=False)
    runs = (RunKey("nba", night, "overnight"), RunKey("nba", night + DAY, "same_day"))
    others = descendants(os.getpid())  # emulators that tests before these have started, and keep
    with ExitStack() as opened:
        with absent_is_said():
            stack = opened.enter_context(Stack(wanted))
        cloud = wiring.open_cloud(stack.settings)
        opened.callback(cloud.close)
        create_tables(cloud.warehouse)
        feed = wiring.open_feed(season)
        bootstrap(
            Work(warehouse=cloud.warehouse, feed=feed, objects=cloud.exports, now=cloud.clock.now, commit=COMMIT),
            night,
            lambda _: None,
        )
        health = stack.health(wiring.health_probe(stack.settings))
        first = go(stack, cloud, runs[0])
        poison = poisons(runs[0])
        cloud.bus.publish([each.message for each in poison.values()], cloud.clock.now())
        second = go(stack, cloud, runs[1])  # beside it
        states = cloud.ports.states
        until(lambda: len(states.quarantined(100)) >= len(poison))
        sleep(2.0)  # what is kept twice would be by then
        kept, buried = states.quarantined(100), len(cloud.bus.dead_letters(100))
        ledger = {run: states.ledger(run) for run in runs}
        dashboard = stack.processes["nba_admin_dashboard"].url
        pages = {path: looked_at(dashboard + path) for path in PAGES + tuple(f"/run/{run}" for run in runs)}
        purged = give_up(dashboard, letters_of(states, cloud.bus)[0].id)
        processes = {pid: birth for pid, birth in descendants(os.getpid()).items() if pid not in others}
        opened.close()
        until(lambda: not alive(processes))
        yield Story(
            folder=stack.folder,
            health=health,
            runs={runs[0]: first, runs[1]: second},
            ledger=ledger,
            poison=poison,
            kept=kept,
            buried=buried,
            pages=pages,
            purged=purged,
            logs={
                file.stem: file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
                for file in (stack.folder / "logs").glob("*.log")
            },
            left=alive(processes),
        )


PAGES = ("/", "/batches", "/incidents", "/letters", "/schedules", "/slos", "/summary")


def looked_at(url: str) -> tuple[int, str]:
    answer = requests.get(url, timeout=60)
    return answer.status_code, answer.text


def give_up(dashboard: str, letter: str) -> tuple[str, str]:
    """As a browser does it."""
    hidden = r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">'
    with requests.Session() as session:
        form = session.get(f"{dashboard}/letters/purge?id={letter}", timeout=60).text
        sent = {**dict(re.findall(hidden, form)), "reason": "it is poison"}
        headers = {"Origin": dashboard}
        told = session.post(f"{dashboard}/letters/purge", sent, headers=headers, allow_redirects=False, timeout=60)
        return letter, told.headers.get("Location", told.text)


def go(stack: Stack, cloud: wiring.CloudHome, run: RunKey) -> RunStatus:
    """Begun by a schedule's word, so that deployed functions alone decide; until it has ended."""
    noon = datetime(run.date.year, run.date.month, run.date.day, 18, tzinfo=timezone.utc)
    nudge = Nudge(pipeline=run.pipeline, mode=run.mode, date="TODAY", scheduled_at=noon)
    cloud.bus.publish([Message(topic=NUDGE_TOPIC, data=encode(nudge))], cloud.clock.now())
    states = cloud.ports.states
    until(lambda: states.plan(run) is not None)

    def has_ended() -> bool:
        stack.keep_alive()
        return status_of(states, run, cloud.clock.now()).next_look_at is None

    until(has_ended)
    return status_of(states, run, cloud.clock.now())


def until(true: Callable[[], bool]) -> None:
    """Returns in the end in any case: what is then not so, a test says."""
    end = monotonic() + PATIENCE_S
    while not true() and monotonic() < end:
        sleep(0.25)


# --- the processes of a machine -------------------------------------------------------------------------

Seen = dict[int, str]
"""Processes by id, each with the moment of its birth: an id may be given again."""


def born(pid: int) -> tuple[int, str] | None:
    """Its parent, and when it began; None for one that is gone, or only waits for its parent to take note."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), fields[19])


def descendants(pid: int) -> Seen:
    found = {int(name): stat for name in os.listdir("/proc") if name.isdigit() and (stat := born(int(name)))}
    below: Seen = {}
    ahead = [pid]
    while ahead:
        parent = ahead.pop()
        children = {child: began for child, (its_parent, began) in found.items() if its_parent == parent}
        below |= children
        ahead += children
    return below


def alive(processes: Seen) -> list[str]:
    """Command lines of those that still run."""
    still = [pid for pid, began in processes.items() if (stat := born(pid)) and stat[1] == began]
    return [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") for pid in still]


# --- how they are ---------------------------------------------------------------------------------------


def test_every_function_answers_as_itself_and_is_ready(story: Story) -> None:
    code = config_hash(pipeline("nba"))
    assert story.health == {
        spec.name: Health(alive=True, ready=True, service=spec.name, version=COMMIT, config_hash=code)
        for spec in STARTED
    }


def test_both_runs_are_published_by_deployed_functions_alone(story: Story) -> None:
    assert {str(run): (status.state, status.reason) for run, status in story.runs.items()} == {
        str(run): (RunState.PUBLISHED, status.reason) for run, status in story.runs.items()
    }
    for run in story.runs:
        assert list((story.folder / "exports" / "nba" / str(run.date)).glob("*.json"))


# --- poison ---------------------------------------------------------------------------------------------


def test_the_dashboard_shows_what_has_run_and_takes_a_word(story: Story) -> None:
    assert {path: status for path, (status, _) in story.pages.items()} == dict.fromkeys(story.pages, 200)
    for run in story.runs:
        assert "the end" in story.pages[f"/run/{run}"][1], "with every decision"
    batch = next(run for run in story.runs if run.mode == "same_day")
    assert f"{batch}/predictions/1" in story.pages["/batches"][1]
    letter, led_to = story.purged
    assert letter in story.pages["/letters"][1]
    assert led_to == "/letters?said=purge&done=1&left=0"


def test_each_poison_is_kept_once_with_its_reason(story: Story) -> None:
    def of(kept: Quarantined) -> str:
        return kept.id.partition(":")[0]

    expected = sorted(
        (subscription_of(each.function, each.message.topic), each.message.data[:100], each.why)
        for each in story.poison.values()
    )
    kept = sorted((of(each), each.body[:100], each.reason) for each in story.kept)
    assert [each[:2] for each in kept] == [each[:2] for each in expected]
    assert [reason[: len(why)] for (*_, reason), (*_, why) in zip(kept, expected, strict=True)] == [
        why for *_, why in expected
    ]


def test_poison_is_kept_in_bounds(story: Story) -> None:
    assert all(len(each.body) <= 4_096 and len(each.reason) <= 1_000 for each in story.kept)
    [large] = [each for each in story.kept if "9000002 bytes" in each.reason]
    assert len(large.body) == 4_096


def test_nothing_went_to_the_dead_letters(story: Story) -> None:
    assert story.buried == 0


# --- logs -----------------------------------------------------------------------------------------------


def lines(story: Story) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, log in story.logs.items():
        for line in log:
            yield name, json.loads(line)


def test_every_function_and_the_timer_has_a_log(story: Story) -> None:
    assert set(story.logs) == {TIMER, *(spec.name for spec in STARTED)}


def test_every_line_is_one_json_object_with_severity_time_and_message(story: Story) -> None:
    strange = []
    for name, log in story.logs.items():
        for line in log:
            try:
                told = json.loads(line)
            except ValueError:
                told = None
            if not isinstance(told, dict) or not {"severity", "time", "message", LABELS} <= told.keys():
                strange.append(f"{name}: {line[:300]}")
    assert strange == []


def test_every_line_names_its_function(story: Story) -> None:
    assert {
        (name, line[LABELS]["function"]) for name, line in lines(story) if line[LABELS]["function"] != name
    } == set()


def test_each_decision_of_the_ledger_has_exactly_one_line(story: Story) -> None:
    told = Counter(
        (labels["run"], labels["phase"], labels["attempt"], labels["decision"], line["message"])
        for _, line in lines(story)
        if line["logger"] == "tipoff.decision" and (labels := line[LABELS])
    )
    stands = Counter(
        (str(entry.run), entry.gate, str(entry.attempt), entry.decision, entry.reason)
        for entries in story.ledger.values()
        for entry in entries
    )
    assert told == stands
    assert stands.total() >= 10


def test_no_line_holds_a_payload_or_is_endless(story: Story) -> None:
    for name, log in story.logs.items():
        for line in log:
            assert len(line) <= LINE_MAX, f"{name}: {line[:300]}"
            message = json.loads(line)["message"]
            assert '{"' not in message, f"{name}: {line[:300]}"
            assert "eyJ" not in message, f"{name}: {line[:300]}"  # {" in base64


def test_no_line_lists_units(story: Story, season: Path) -> None:
    with open(season / "games.csv", encoding="utf-8", newline="") as file:
        units = {game["game_id"] for game in csv.DictReader(file)}
    with open(season / "player_box.csv", encoding="utf-8", newline="") as file:
        units |= {row["player_id"] for row in csv.DictReader(file)}
    assert len(units) > 100
    words = re.compile(r"[A-Za-z0-9_]+")
    for name, log in story.logs.items():
        for line in log:
            listed = units & set(words.findall(json.loads(line)["message"]))
            assert len(listed) < 2, f"{name}: {line[:300]}"


def test_hostile_text_is_written_harmlessly(story: Story) -> None:
    heard = [line for _, line in lines(story) if "DROP TABLE" in json.dumps(line)]
    assert heard, "nobody has said anything of it: the test proves nothing"
    for name, log in story.logs.items():
        for line in log:
            assert line.isascii(), f"{name}: {line[:300]!r}"
            assert line.isprintable(), f"{name}: {line[:300]!r}"


def test_no_line_holds_what_looks_like_a_secret(story: Story) -> None:
    secret = re.compile(r"(?i)password|secret|bearer |private key|api[_-]?key|ya29\.|AIza|authorization")
    assert [line[:300] for log in story.logs.values() for line in log if secret.search(line)] == []


# --- the end --------------------------------------------------------------------------------------------


def test_a_stack_ends_with_all_its_processes_and_its_note(story: Story) -> None:
    assert story.left == []
    assert not (story.folder / STACK_FILE).exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["kill", "kill -9"])
def test_tipoff_up_says_when_it_is_ready_and_leaves_nothing_behind(
    season: Path, tmp_path: Path, end: signal.Signals
) -> None:
    with absent_is_said():
        for kind in KINDS:
            command_of(kind, 0, bigquery_venv=BIGQUERY_VENV, path=None)  # raises where it could not be started
    with (tmp_path / "said").open("wb") as said:
        up = subprocess.Popen(
            command("up", "--data", season, "--json", "--home", tmp_path),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
    with up:
        try:
            told = read_json(up)
            processes = descendants(up.pid)
            there = running_stack(tmp_path)
            up.send_signal(end)
            code = up.wait(PATIENCE_S)
            until(lambda: not alive(processes))
        finally:
            up.kill()
    assert code == (-end if end is signal.SIGKILL else 0), (tmp_path / "said").read_text()
    assert {part["name"] for part in told["parts"]} == {TIMER, *(spec.name for spec in STARTED)}
    assert there == told["environment"]
    assert there["TIPOFF_DATA"] == str(season.resolve())
    assert len(processes) >= len(told["parts"])
    assert alive(processes) == []
    assert running_stack(tmp_path) == {}


def read_json(process: subprocess.Popen[str]) -> Any:
    """The JSON object that it prints, while it goes on."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            break
    return json.loads(text)
