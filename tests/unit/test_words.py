"""What may be said of a run, and what is answered where it may not: a word, when it is said, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.line import LINE_MAX
from shared.core.model import Act, Control, Word
from shared.core.words import UNTIL_MAX, VERBS, WORDS_MAX, speak
from tests.unit.plans import Day, critical, minute, optional, phase, plan

OF = plan(
    phase("raw", critical("a"), optional("c")),
    phase("out", critical("z", refresh_until=None), deadline=120, readings=("health",)),
)
RUN = str(OF.run)


def act(at: float = 5, actor: str = "bob", reason: str = "bad feed", until: float | None = None) -> Act:
    return Act(actor=actor, reason=reason, at=minute(at), until=None if until is None else minute(until))


def word(verb: str, about: str = "", **said: object) -> Word:
    return Word(verb=verb, about=about, act=act(**said))  # type: ignore[arg-type]


def said(script: str, what: Word) -> Control | str:
    """What is answered when this is said after those things happened."""
    at = what.act.at
    day = Day(OF).play(script, until=(at - minute(0)).total_seconds() / 60)
    return speak(day.view(at), what)


def test_a_time_without_its_zone_is_refused_with_its_remedy() -> None:
    bare = replace(act(), until=minute(60).replace(tzinfo=None))
    refused = said("", Word(verb="hold", about="", act=bare))
    assert refused == "until: 2024-01-16T12:00:00 names no time zone; add one, as in 2024-01-16T12:00:00Z"


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        pytest.param(word("hold"), {"hold": act()}, id="hold, until it is released"),
        pytest.param(word("hold", until=65), {"hold": act(until=65)}, id="hold, until a time"),
        pytest.param(word("cancel"), {"cancel": act()}, id="cancel"),
        pytest.param(word("skip", "c"), {"skips": {"c": act()}}, id="skip of an optional one"),
        pytest.param(word("force", "out"), {"forces": {"out/1": act()}}, id="force of the gate that it waits at"),
        pytest.param(word("override", "health", until=65), {"overrides": {"health": act(until=65)}}, id="override"),
        pytest.param(word("override", "quality", until=65), {"quality": act(until=65)}, id="override of poor units"),
        pytest.param(word("retry", "a"), {}, id="retry"),
        pytest.param(word("replay", "raw"), {}, id="replay"),
        pytest.param(word("look_again"), {}, id="look again"),
        pytest.param(word("recover", "nba.2024-01-15.same_day.1/predictions/1"), {}, id="recover a batch"),
        pytest.param(word("redrive", "3f9a2c1b"), {}, id="redrive a dead letter"),
        pytest.param(word("purge", "3f9a2c1b"), {}, id="purge a dead letter"),
    ],
)
def test_a_word_changes_control_and_is_kept(what: Word, changed: dict[str, object]) -> None:
    assert said("", what) == replace(Control(version=1, said=(what,)), **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        pytest.param(word("skip", "a"), f"a is critical in overnight.*`tipoff force {RUN} out --reason", id="critical"),
        pytest.param(word("skip", "z"), f"z is critical in overnight.*`tipoff retry {RUN} z --reason", id="last one"),
        pytest.param(word("skip", "q"), "processor 'q' is not planned in .*; planned: a, c, z", id="unknown processor"),
        pytest.param(word("force", "q"), "gate 'q' is not one of .*; its gates: raw, out", id="unknown gate"),
        pytest.param(word("force", "raw"), "gate raw opened at .*; the gate that .* waits at: out", id="opened gate"),
        pytest.param(word("force", "end"), "the end of .* is not forced", id="the end"),
        pytest.param(word("override", "health"), "until is empty; say when", id="override without end"),
        pytest.param(
            word("override", "mood", until=65),
            "reading 'mood' is asked for by no gate of .*; to be overridden: health, quality",
            id="unknown reading",
        ),
        pytest.param(word("hold", until=5), "until: 2024-01-16T11:05:00.* is not within the next 7 days", id="now"),
        pytest.param(word("hold", until=10_086), "is not within the next 7 days", id="too far"),
        pytest.param(word("hold", reason=" "), "reason is empty; say why", id="no reason"),
        pytest.param(word("hold", actor=""), "actor is empty; say who", id="nobody"),
        pytest.param(word("hold", reason="x" * 4_000_000), "'x{40}' is not a line of at most 500", id="four megabytes"),
        pytest.param(word("hold", reason="a\x1b[2Jb"), r"'a\\x1b\[2Jb' is not a line", id="a moved cursor"),
        pytest.param(word("skip", "\x1b[2J" * 99), r"processor '\\x1b\[2J", id="a processor of escapes"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_remedy(what: Word, told: str) -> None:
    answer = said("+1 look", what)
    assert isinstance(answer, str)
    assert re.search(told, answer), answer
    assert len(answer) < 400
    assert answer.isprintable()


@pytest.mark.parametrize(
    ("script", "what", "told"),
    [
        pytest.param("+1 force out", word("force", "raw"), "the one behind its last phase", id="force behind the last"),
        pytest.param("", word("force", "out", at=0), "gate out is not reached yet; .*: raw", id="too early"),
        pytest.param(
            "+5 hold", word("force", "out", at=6), "is held by ann: storm; release it first", id="force: held"
        ),
        pytest.param("+5 c done", word("skip", "c", at=6), "c is done, so there is nothing to skip", id="skip: done"),
    ],
)
def test_what_comes_too_late_or_too_early_is_refused(script: str, what: Word, told: str) -> None:
    answer = said(script, what)
    assert isinstance(answer, str)
    assert re.search(told, answer), answer


@pytest.mark.parametrize(
    "script", ["+5 cancel", "+5 a done; +6 c done; +7 z done", ""], ids=["cancelled", "done", "failed"]
)
@pytest.mark.parametrize(
    "what",
    [
        word("hold", at=300),
        word("cancel", at=300),
        word("skip", "c", at=300),
        word("force", "out", at=300),
        word("override", "health", at=300, until=310),
    ],
    ids=lambda what: what.verb,
)
def test_of_a_run_that_has_ended_nothing_is_said(script: str, what: Word) -> None:
    answer = said(script, what)
    assert isinstance(answer, str)
    assert "has ended" in answer or "has been cancelled by ann: wrong day" in answer or "c is done" in answer
    assert "tipoff replay" in answer or "has ended" not in answer


@pytest.mark.parametrize("script", ["+5 cancel", ""], ids=["cancelled", "failed"])
def test_poor_units_of_a_run_that_nothing_more_is_ordered_in_are_not_allowed(script: str) -> None:
    answer = said(script, word("override", "quality", at=300, until=310))
    assert isinstance(answer, str)
    assert "has ended" in answer
    assert "tipoff replay" in answer


def test_poor_units_of_a_run_that_has_published_are_allowed_for_the_attempt_that_a_person_orders() -> None:
    answer = said("+5 a done; +6 c done; +7 z done", word("override", "quality", at=300, until=310))
    assert isinstance(answer, Control)
    assert answer.quality


@pytest.mark.parametrize(
    "what",
    [
        word("hold"),
        word("hold", until=65),
        word("cancel"),
        word("skip", "c"),
        word("force", "out"),
        word("override", "health", until=65),
        word("override", "quality", until=65),
    ],
    ids=lambda what: f"{what.verb} {what.about}",
)
def test_the_same_word_again_changes_nothing(what: Word) -> None:
    day = Day(OF).play("+1 look", until=5)
    control = speak(day.view(minute(5)), what)
    assert isinstance(control, Control)
    assert speak(replace(day.view(minute(5)), control=control), what) is control
    day.control = control
    day.advance(minute(5))
    again = replace(what, act=replace(what.act, at=minute(6)))
    assert speak(day.view(minute(6)), again) is control
    if what.verb not in ("cancel", "force"):
        other = speak(day.view(minute(6)), replace(again, act=replace(again.act, actor="eve")))
        assert isinstance(other, Control)
        assert [each.act.actor for each in other.said] == ["bob", "eve"], "the last word stands, both are kept"


def test_a_release_ends_a_hold_and_there_is_none_without() -> None:
    day = Day(OF)
    assert speak(day.view(minute(1)), word("release", at=1)) is day.control
    held = speak(day.view(minute(1)), word("hold", at=1, until=60))
    assert isinstance(held, Control)
    released = speak(replace(day.view(minute(2)), control=held), word("release", at=2))
    assert isinstance(released, Control)
    assert released.held_at(minute(2)) is None
    assert released.held_until(minute(9)) == minute(2), "what was held counts its time from there"
    assert [each.verb for each in released.said] == ["hold", "release"]
    assert speak(replace(day.view(minute(61)), control=held), word("release", at=61)) is held, "it has ended by itself"


def test_a_retry_takes_a_skip_back() -> None:
    day = Day(OF).play("+1 skip c", until=2)
    control = speak(day.view(minute(2)), word("retry", "c", at=2))
    assert isinstance(control, Control)
    assert control.skips == {}


def test_a_published_run_can_be_held_as_long_as_something_may_still_come() -> None:
    """It has opened without c, which is tried again and refreshes it."""
    day = Day(OF).play("+5 a done; +6 c partial; +70 z done", until=71)
    assert isinstance(speak(day.view(minute(71)), word("hold", at=71)), Control)


def test_there_is_room_for_a_hundred_words_and_a_release() -> None:
    view = Day(OF).view(minute(1))
    for number in range(WORDS_MAX):
        control = speak(view, word("hold", at=1, reason=f"{number} " + "x" * (LINE_MAX - 4)))
        assert isinstance(control, Control)
        view = replace(view, control=control)
    refused = speak(view, word("hold", at=1))
    assert isinstance(refused, str)
    assert f"{WORDS_MAX} words have been said" in refused
    assert isinstance(speak(view, word("release", at=1)), Control)
    assert isinstance(speak(view, word("cancel", at=1)), Control)


def test_every_verb_has_a_row_here() -> None:
    assert set(VERBS) == {
        *("hold", "release", "cancel", "skip", "force", "override", "retry", "replay", "look_again"),
        *("recover", "redrive", "purge"),
    }
    assert timedelta(days=7) == UNTIL_MAX
