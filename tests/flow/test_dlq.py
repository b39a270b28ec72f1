"""`tipoff dlq`: what nobody could work with is seen, sent again once in effect, or given up; and shown safely."""

from __future__ import annotations

import argparse
import base64
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestration.cli import dlq
from orchestration.cli.main import build_parser, main
from shared import edge, wiring
from shared.adapters.pubsub import PubSub
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.messages import Message, completion_message, read_completion
from shared.core.model import Completion, RunKey, Start, Status
from shared.ports import Delivery, Ports, Quarantined
from tests.contract.firestore_calls import new_project, opened
from tests.flow.cli import Said, Type, documented, form, on_a_terminal, run_arguments, tipoff
from tests.flow.days import NOON, Days, HandClock, succeed
from tests.house.tree import ROOT

RUN = RunKey("nba", date(2031, 10, 31), "overnight")
TOPIC, SUB = NBA.phases[0].completion_topic, "gate"
AWAY = "the warehouse is away"


@dataclass
class Home:
    """A home with a run that has begun, and the rim that hears its reports."""

    path: Path
    store: Sqlite

    def __post_init__(self) -> None:
        self.clock = HandClock()
        self.ports = Ports(states=self.store.states, bus=self.store.bus, clock=self.clock)
        self.days = Days(self.store, clock=self.clock)
        self.store.bus.subscribe(SUB, TOPIC)

    def start(self) -> Start:
        self.days.service.start_run(RUN)
        return self.days.hear()[0]

    def publish(self, data: bytes, **attributes: str) -> None:
        self.store.bus.publish([Message(topic=TOPIC, data=data, attributes=attributes)], self.clock.now())

    def hear(self, handler: edge.Handler | None = None) -> list[Delivery]:
        """Whatever waits, through the rim, to the service or to a handler that a test names."""
        found = self.store.bus.pull([SUB], limit=100, now=self.clock.now(), lease_s=60)
        to_service: edge.Handler = lambda body: self.days.service.on_completion(read_completion(body))  # noqa: E731
        edge.receive(found, lambda _: handler or to_service, self.ports)
        return found

    def poison(self, *bodies: bytes, **attributes: str) -> None:
        for body in bodies:
            self.publish(body, **attributes)
            self.hear()
            self.clock.time += timedelta(seconds=1)

    def bury(self, report: Completion) -> None:
        """Publish a report to a handler that always fails, until the bus gives it up."""
        message = completion_message(report, TOPIC)
        self.publish(message.data, **message.attributes)

        def fails(_: bytes) -> None:
            raise RuntimeError(AWAY)

        while self.hear(fails):
            self.clock.time += timedelta(minutes=2)

    def ids(self) -> list[str]:
        return [letter.id for letter in dlq.letters_of(self.store.states, self.store.bus)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    with closing(Sqlite(folder / wiring.STATE_FILE)) as store:
        yield Home(folder, store)


@pytest.fixture
def type_(home: Home, capsys: pytest.CaptureFixture[str]) -> Type:
    """`tipoff dlq` as a person types it, on the home, in this process."""

    def typed(*arguments: object, where: Path = home.path) -> Said:
        capsys.readouterr()
        try:
            code = main(["dlq", *map(str, arguments), "--home", str(where)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


# --- looking ----------------------------------------------------------------------------------------------


def test_where_nothing_waits_it_says_so_in_one_line(home: Home, type_: Type, tmp_path: Path) -> None:
    for where in (home.path, tmp_path / "never"):
        said = type_("list", where=where)
        assert (said.code, said.out.count("\n")) == (0, 1)
        assert said.out.startswith("No dead letter and nothing quarantined: home ")
        assert type_("list", "--json", where=where).json == {"letters": [], "more": 0}
    assert not (tmp_path / "never").exists()


def test_a_poison_message_and_one_whose_handler_always_fails_are_listed(home: Home, type_: Type) -> None:
    start = home.start()
    home.poison(b"not JSON")
    home.bury(succeed(start))
    said = type_("list")
    assert said.code == 0
    dead, poison = [line for line in said.out.splitlines() if TOPIC in line]
    assert re.match(rf"[0-9a-f]{{8}}  dead letter +{TOPIC} +{RUN} +10 +2031-11-01 12:00 .*{AWAY}", dead)
    assert re.match(rf"[0-9a-f]{{8}}  quarantined +{TOPIC} .* malformed: .*not JSON", poison)
    assert [dead[:8], poison[:8]] == [id[:8] for id in home.ids()]


def test_the_json_forms_are_the_documented_ones(home: Home, type_: Type) -> None:
    home.bury(succeed(home.start()))
    listed = type_("list", "--json").json
    assert form(listed) == form(documented("tipoff dlq"))
    shown = type_("show", home.ids()[0], "--json").json
    assert set(shown) == {*listed["letters"][0], "body", "body_base64"}
    purged = type_("purge", "--all", "--dry-run", "--json").json
    assert form(purged) == {"dry_run": "bool", "done": [form(shown)], "left": [], "goes_on": "str"}


def test_a_list_is_cut_to_its_limit_and_says_how_many_are_older(home: Home, type_: Type) -> None:
    home.poison(b"1", b"2", b"3")
    said = type_("list", "--limit", 1)
    assert said.out.count(TOPIC) == 1
    assert "2 older ones are not shown; --limit 3 shows more." in said.out
    told = type_("list", "--limit", 1, "--json").json
    assert ([letter["id"] for letter in told["letters"]], told["more"]) == (home.ids()[:1], 2)
    assert "older" not in type_("list", "--limit", 3).out


def test_a_list_of_more_than_is_looked_at_says_so(home: Home, type_: Type) -> None:
    for number in range(dlq.LETTERS_MAX):
        home.store.states.quarantine(item(str(number)))
    said = type_("list", "--json")
    assert (len(said.json["letters"]), said.json["more"]) == (100, dlq.LETTERS_MAX - 100)
    assert "Only the newest 1,000 of a kind were looked at" in said.err


def test_topic_and_run_narrow_the_list(home: Home, type_: Type) -> None:
    home.poison(b"mine", run=str(RUN))
    home.store.states.quarantine(item("elsewhere", topic="another-topic"))
    for filters, messages in (
        (("--topic", "another-topic"), ["elsewhere"]),
        (("--run", RUN), ["1"]),
        (("--run", RUN, "--topic", TOPIC), ["1"]),
        (("--run", RUN, "--topic", "another-topic"), []),
    ):
        told = type_("list", "--json", *filters).json
        assert [letter["message"] for letter in told["letters"]] == messages
    assert "nothing quarantined that you asked for" in type_("list", "--topic", "no-topic").out


def test_one_is_shown_by_the_beginning_of_its_id_and_by_the_id_that_the_log_has(home: Home, type_: Type) -> None:
    start = home.start()
    home.bury(succeed(start))
    (letter,) = dlq.letters_of(home.store.states, home.store.bus)
    for name in (letter.id, letter.id[:8], letter.id[:4].upper(), letter.message):
        said = type_("show", name)
        assert said.code == 0
        assert said.out.startswith(f"dead letter {letter.id}\n")
    for text in (f"topic         {TOPIC}", f"run           {RUN}", "attempt       10", f"RuntimeError: {AWAY}"):
        assert text in said.out
    assert f"attribute     processor = {start.processor}\n" in said.out
    assert f'\n  "processor": "{start.processor}",\n' in said.out
    assert f"tipoff dlq redrive {letter.id} --home {home.path}\n" in said.out


def test_the_json_of_one_has_its_very_bytes(home: Home, type_: Type) -> None:
    body = b'\xff\x00 {"a": "\xc3\xa9"}'
    home.poison(body)
    shown = type_("show", home.ids()[0], "--json").json
    assert base64.b64decode(shown["body_base64"]) == body
    assert (shown["body"], shown["bytes"], shown["whole"]) == ('\\xff\x00 {"a": "é"}', len(body), True)


HOSTILE = {
    "ANSI escapes": b"\x1b[2J\x1b[31mred\x1b]0;title\x07 \x9b2J \xc2\x9b2J",
    "text turned around": '{"name": "‮evil‬‏؜⁦x⁩"}'.encode(),
    "carriage returns and backspaces": b"good\rbad\x08\x08\x7f\x0b\x0c\x85\xe2\x80\xa8",
    "invalid UTF-8": b"\xff\xfe\xc3(\xed\xa0\x80\xf0\x9f",
    "a lone surrogate in JSON": b'{"a": "\\ud800", "b": "\\u001b[2J\\u202e"}',
    "a megabyte": b"[" + b'"\x1b[2J",' * 150_000 + b"1]",
    "a megabyte of JSON": json.dumps(["‮x" * 100] * 2_000).encode(),
    "nested beyond reason": b"[" * 200_000,
    "markup": b"[red]not red[/] [link=http://x]y[/link] :smile: \\[bold]",
    "nothing": b"",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_whatever_strangers_wrote_is_shown_without_moving_a_cursor(home: Home, type_: Type, body: bytes) -> None:
    text, name = body.decode(errors="surrogateescape")[:500], body.decode(errors="replace")[:500]
    attributes = {"run": str(RUN), text[:100]: text}
    home.store.states.quarantine(item("q", reason=text, body=body, attributes=attributes, topic=name, run=name))
    home.publish(body, **attributes)
    for _ in range(10):
        (delivery,) = home.store.bus.pull([SUB], limit=1, now=home.clock.now(), lease_s=60)
        home.store.bus.nack(delivery, home.clock.now(), text)
        home.clock.time += timedelta(minutes=2)
    dead, kept = home.ids()
    looks = [("list",), ("show", dead), ("show", kept), ("redrive", "--all"), ("purge", "--all")]
    for look in looks:
        in_json = type_(*look, "--json", *(["--dry-run"] if "--all" in look else []))
        assert in_json.out.isascii()
        assert in_json.json
        said = type_(*look)
        assert said.code == (1 if look[0] == "redrive" else 0)
        assert look[0] != "redrive" or len(body) > 4_096 or not name or "no function hears its topic" in said.out
        assert all(letter.isprintable() or letter == "\n" for letter in said.out)
        assert len(said.out) < 60_000
    assert home.ids() == []


def test_a_terminal_gets_no_escape_of_a_stranger(home: Home) -> None:
    home.poison(HOSTILE["ANSI escapes"])
    (id,) = home.ids()
    for verb in (["list"], ["show", id]):
        said = on_a_terminal("dlq", *verb, "--home", home.path)
        assert not [escape for escape in ("\x1b[2J", "\x1b[31m", "\x1b]0;", "\x07", "\x9b") if escape in said]
    assert "\\x1b[2J" in said


def test_a_long_body_is_cut_where_it_is_shown_and_says_so(home: Home, type_: Type) -> None:
    home.poison(b"x" * 4_000)
    assert "--json has all" not in type_("show", home.ids()[0]).out
    home.poison(json.dumps(["y" * 10] * 290).encode())
    said = type_("show", home.ids()[0]).out
    assert "... cut here; --json has all" in said
    assert 4_096 < len(said) < 6_000


# --- sending again ----------------------------------------------------------------------------------------


def test_a_redriven_report_counts_once_however_often_it_comes(home: Home, type_: Type) -> None:
    start = home.start()
    home.bury(succeed(start))
    assert home.store.states.load(RUN).facts == ()
    (id,) = home.ids()
    said = type_("redrive", id)
    assert said.code == 0
    assert f"redriven: {id} dead letter on {TOPIC}, " in said.out
    assert f", {RUN}\n" in said.out
    assert home.ids() == []
    message = completion_message(succeed(start), TOPIC)
    home.publish(message.data, **message.attributes)  # as if somebody had been killed between publishing and taking out
    assert [delivery.attempt for delivery in home.hear()] == [1, 1]
    assert [fact.completion for fact in home.store.states.load(RUN).facts] == [succeed(start)]
    assert (home.hear(), home.ids()) == ([], [])


def test_a_dry_run_says_what_would_be_done_and_does_nothing(home: Home, type_: Type) -> None:
    home.bury(succeed(home.start()))
    home.poison(b"poison")
    before = home.ids()
    for verb, told in (("redrive", "would be redriven"), ("purge", "would be purged")):
        said = type_(verb, "--all", "--dry-run")
        assert (said.code, said.out.count(f"{told}: ")) == (0, 2)
        assert all(id in said.out for id in before)
        assert [letter["id"] for letter in type_(verb, *before, "--dry-run", "--json").json["done"]] == before
    assert home.ids() == before
    assert home.hear() == []


def test_a_quarantined_message_is_sent_again_whole_and_ends_up_there_anew_if_it_is_still_hopeless(
    home: Home, type_: Type
) -> None:
    home.poison(b"still not JSON", run=str(RUN))
    (before,) = home.store.states.quarantined(9)
    said = type_("redrive", before.id)
    assert said.code == 0
    assert home.store.states.quarantined(9) == ()
    (delivery,) = home.hear()
    assert (delivery.data, delivery.attempt, dict(delivery.attributes)) == (b"still not JSON", 1, before.attributes)
    (after,) = home.store.states.quarantined(9)
    assert (after.body, after.reason, after.id != before.id) == (before.body, before.reason, True)


def test_what_is_quarantined_keeps_its_attributes_on_its_way_back(home: Home, type_: Type) -> None:
    home.store.states.quarantine(item("q", attributes={"run": str(RUN), "phase": "raw"}))
    type_("redrive", "q")
    assert [dict(delivery.attributes) for delivery in home.hear()] == [{"run": str(RUN), "phase": "raw"}]


def test_a_body_that_was_cut_is_not_sent_again_and_the_others_are(home: Home, type_: Type) -> None:
    home.poison(b"x" * 1_000_001, b"short")
    (long, short) = sorted(home.store.states.quarantined(9), key=lambda kept: kept.id)
    before = home.ids()
    said = type_("redrive", "--all")
    assert said.code == 1
    assert re.search(rf"^redriven: {before[0]} quarantined on {TOPIC}, 5 bytes$", said.out, re.MULTILINE)
    assert re.search(
        rf"^not redriven: {before[1]} .* the first 4,096 bytes of 1,000,001 were kept; have it sent again",
        said.out,
        re.MULTILINE,
    )
    assert home.store.states.quarantined(9) == (long,)
    assert [delivery.data for delivery in home.hear()] == [short.body]
    told = type_("redrive", before[1], "--dry-run", "--json")
    assert (told.code, told.json["done"], len(told.json["left"])) == (1, [], 1)
    assert "the first 4,096 were kept" in type_("show", before[1]).out
    assert type_("purge", before[1]).code == 0


def test_only_what_is_named_is_touched(home: Home, type_: Type) -> None:
    home.poison(b"1", b"2")
    home.poison(b"3", run=str(RUN))
    home.store.states.quarantine(item("elsewhere", topic="another-topic", at=NOON - timedelta(days=1)))
    three, two, one, elsewhere = home.ids()
    assert type_("redrive", one, two, one[:8]).out.count("redriven: ") == 2
    assert home.ids() == [three, elsewhere]
    assert type_("purge", "--all", "--topic", TOPIC, "--run", "nba.2024-01-15.overnight.1").code == 0
    assert home.ids() == [three, elsewhere]
    type_("purge", "--all", "--run", RUN)
    assert home.ids() == [elsewhere]
    type_("purge", "--all", "--topic", "another-topic")
    assert home.ids() == []
    assert "Nothing to be purged" in type_("purge", "--all").out


def test_after_a_redrive_the_command_that_delivers_it_is_named(home: Home, type_: Type) -> None:
    home.bury(succeed(home.start()))
    said = type_("redrive", "--all")
    day = f"nba --date {RUN.date} --mode overnight"
    assert f"`tipoff run {day} --data DIR --home {home.path}` delivers what was redriven." in said.out
    home.poison(b"of no run")
    assert f"The next `tipoff run` --home {home.path} on this home delivers" in type_("redrive", "--all").out


def test_the_named_command_delivers_what_was_redriven(season: Path, night: date, tmp_path: Path) -> None:
    home, run = tmp_path / "home", RunKey("nba", night, "overnight")
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    stranger = Completion(run=run, phase="raw", processor="stranger", attempt=1, report=1, status=Status.SUCCESS)
    with closing(Sqlite(home / wiring.STATE_FILE)) as store:
        store.bus.publish([completion_message(stranger, NBA.phases[1].completion_topic)], datetime.now(timezone.utc))
    assert tipoff(*run_arguments(season, night, home)).returncode == 0
    (before,) = json.loads(tipoff("dlq", "list", "--json", "--home", home).stdout)["letters"]
    said = json.loads(tipoff("dlq", "redrive", before["id"], "--json", "--home", home).stdout)
    assert json.loads(tipoff("dlq", "list", "--json", "--home", home).stdout)["letters"] == []
    command = re.findall("`tipoff (.*)`", said["goes_on"])[0]
    assert tipoff(*shlex.split(command)).returncode == 0
    (after,) = json.loads(tipoff("dlq", "list", "--json", "--home", home).stdout)["letters"]
    assert after["why"] == f"raw/stranger is not planned in {run}"
    assert after["message"] != before["message"]


# --- giving up --------------------------------------------------------------------------------------------


def test_what_is_purged_is_gone_and_was_told_with_its_size(home: Home, type_: Type) -> None:
    home.poison(b"poison")
    home.bury(succeed(home.start()))
    dead, poison = dlq.letters_of(home.store.states, home.store.bus)
    said = type_("purge", dead.id, poison.id)
    assert said.code == 0
    assert f"purged: {dead.id} dead letter on {TOPIC}, {dead.size:,} bytes, {RUN}\n" in said.out
    assert f"purged: {poison.id} quarantined on {TOPIC}, 6 bytes\n" in said.out
    assert home.ids() == []
    assert home.hear() == []


def test_the_json_of_a_purge_holds_what_is_nowhere_else_any_more(home: Home, type_: Type) -> None:
    home.poison(b"\xffpoison")
    (told,) = type_("purge", "--all", "--json").json["done"]
    assert base64.b64decode(told["body_base64"]) == b"\xffpoison"


def test_what_somebody_else_dealt_with_meanwhile_is_said_and_is_no_error_of_the_others(home: Home) -> None:
    home.poison(b"1", b"2")
    letters = dlq.letters_of(home.store.states, home.store.bus)
    assert home.store.states.forget([letters[0].message])
    assert list(dlq.purge(letters, home.store.states, home.store.bus, home.clock.now())) == letters[1:]


# --- wrong usage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["redrive", "purge"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param([], "name messages by their ids, or say --all", id="nothing"),
        pytest.param(["1", "--all"], "name messages by their ids, or say --all", id="ids and all"),
        pytest.param(["--topic", TOPIC], "name messages by their ids, or say --all", id="a filter without --all"),
        pytest.param(["1", "--run", "r"], "--topic and --run go with --all", id="an id and a filter"),
        pytest.param(["1", "0123456789ab"], "'0123456789ab' names no dead letter", id="one unknown of two"),
        pytest.param(["same"], "'same' names 2 messages: ", id="ambiguous"),
        pytest.param(["\x1b[2J"], r"'\x1b[2J' names no dead letter", id="hostile"),
        pytest.param([""], "'' names no dead letter", id="empty"),
    ],
)
def test_what_is_asked_wrongly_is_refused_and_nothing_is_done(
    home: Home, type_: Type, verb: str, arguments: list[str], told: str
) -> None:
    home.poison(b"poison")
    home.store.states.quarantine(item("same"))
    before = home.ids()
    if arguments == ["same"]:  # the message's own id of one is what the other's id begins with
        (other,) = [id for id in before if id != dlq.letters_of(home.store.states, home.store.bus)[0].id]
        home.store.states.quarantine(item(other[:8]))
        before, arguments, told = home.ids(), [other[:8]], f"'{other[:8]}' names 2 messages: "
    said = type_(verb, *arguments)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert home.ids() == before


def test_too_short_a_beginning_names_nothing(home: Home, type_: Type) -> None:
    home.store.states.quarantine(item("some-message"))
    (id,) = home.ids()
    assert type_("show", id[:3]).code == 2
    assert type_("show", id[:4]).code == 0


@pytest.mark.parametrize("arguments", [("show", "x"), ("redrive", "--all"), ("purge", "--all")], ids=lambda a: a[0])
def test_a_home_in_which_nothing_has_run_is_refused_and_not_made(
    type_: Type, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    said = type_(*arguments, where=tmp_path / "never")
    assert (said.code, "nothing has run there yet" in said.err) == (2, True)
    assert not (tmp_path / "never").exists()


def test_while_another_writes_the_home_it_is_looked_at_but_not_dealt_with(home: Home, type_: Type) -> None:
    home.poison(b"poison")
    before = home.ids()
    with wiring.alone_in(home.path, command="tipoff run nba"):
        assert type_("list").out.count(TOPIC) == 1
        assert type_("redrive", "--all", "--dry-run").code == 0
        said = type_("redrive", "--all", "--wait", 0)
    assert (said.code, "tipoff run nba" in said.err) == (2, True)
    assert home.ids() == before


def verbs() -> dict[str, argparse.ArgumentParser]:
    found = build_parser()
    for name in ("dlq", ""):
        action = next(a for a in found._actions if isinstance(a, argparse._SubParsersAction))
        if not name:
            break
        found = action.choices[name]
    return dict(action.choices)


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_shows_examples_and_has_its_options_in_the_docs(type_: Type, verb: str) -> None:
    assert "example:\n  tipoff dlq list" in type_(verb, "--help").out
    section = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").split("## tipoff dlq")[1].split("\n## ")[0]
    options = {name for action in verbs()[verb]._actions for name in action.option_strings if name.startswith("--")}
    assert not [name for name in options - {"--help", "--json", "--home", "--target"} if f"`{name}" not in section]
    assert verb in section


# --- on Google's parts ------------------------------------------------------------------------------------


def test_on_pubsub_and_firestore_they_are_worked_off_as_at_home(pubsub_emulator: str, firestore_emulator: str) -> None:
    now = datetime.now(timezone.utc)
    bus = PubSub(f"project-{uuid4().hex[:12]}", emulator=pubsub_emulator, attempts_max=5)
    with closing(bus), opened(firestore_emulator, new_project()) as firestore:
        states = firestore.states
        bus.subscribe(SUB, TOPIC)
        bus.publish([Message(topic=TOPIC, data=b"dead", attributes={"run": str(RUN)})], now)
        (delivery,) = bus.pull([SUB], limit=1, now=now, lease_s=60)
        assert bus.nack(replace(delivery, attempt=5), now, AWAY)
        states.quarantine(item("q", at=now - timedelta(hours=1)))
        dead, kept = dlq.letters_of(states, bus)
        assert [(each.kind, each.run, each.why) for each in (dead, kept)] == [
            (dlq.Kind.DEAD, str(RUN), AWAY),
            (dlq.Kind.QUARANTINED, "", "not JSON"),
        ]
        assert [each.id for each in dlq.letters_of(states, bus)] == [dead.id, kept.id]
        assert list(dlq.redrive([kept, dead], states, bus, now)) == [dead, kept]
        assert dlq.letters_of(states, bus) == []
        assert {each.data for each in bus.pull([SUB], limit=9, now=now, lease_s=60)} == {b"dead", b"poison"}
        states.quarantine(item("q"))
        (again,) = dlq.letters_of(states, bus)
        assert list(dlq.purge([again], states, bus, now)) == [again]
        assert dlq.letters_of(states, bus) == []


def item(id: str, **fields: Any) -> Quarantined:
    poison = Quarantined(id=id, topic=TOPIC, reason="not JSON", at=NOON - timedelta(hours=1), body=b"poison")
    return replace(poison, **fields)
