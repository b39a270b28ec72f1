"""Every word that the dashboard takes: what it is, what comes of it, and how it is spoken.

Each goes through the same doors as the command's: the service, the coordinator, the bus. A word is kept with the run
that it is about; said once more by the same form, it does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from orchestration.letters import HELD, Letter, purge, redrive
from orchestration.speech import service_of, speak
from predictions.coordinator.points import points_coordinator
from shared.config.orchestration_config import pipeline
from shared.core.batch import SealKind
from shared.core.incident import incident_named, why_not_open
from shared.core.line import one_line
from shared.core.messages import run_of
from shared.core.model import Act, RunKey, Word
from shared.ports import StateStore
from shared.service import Refusal
from shared.wiring import Home

log = logging.getLogger("tipoff.dashboard")


class Until(Enum):
    """Whether a word has an end."""

    NEVER = 0
    MAY = 1
    MUST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One of the words, as a person reads it before he says it."""

    name: str
    title: str
    does: str
    about: str = ""  # what it has to be told besides: a processor, a gate, a reading, a phase, an incident
    until: Until = Until.NEVER
    grave: bool = False  # nothing takes it back


RUN_VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            name="hold",
            title="Hold",
            does="No gate opens and nothing is ordered until the run is released, or until the time that you name. "
            "What is under way is finished, and counts.",
            until=Until.MAY,
        ),
        Verb(
            name="release",
            title="Release",
            does="The run goes on from where it stands: whatever has become due meanwhile is done at once.",
        ),
        Verb(
            name="retry",
            title="Retry",
            does="Another attempt of this processor is ordered now, though none be left to it. Of a result that is "
            "whole it is a look again, which counts only if it is whole too. A skip of it is taken back.",
            about="processor",
        ),
        Verb(
            name="skip",
            title="Skip",
            does="The run goes on without this optional processor: it is not started or waited for, what it should "
            "still bring does not count, and it is named as missing to the end.",
            about="processor",
        ),
        Verb(
            name="force",
            title="Force",
            does="The gate opens now with what is there, degraded, whatever is critical and whatever the readings say. "
            "What is missing is named to the end.",
            about="gate",
            grave=True,
        ),
        Verb(
            name="override",
            title="Override",
            does="Until the time that you name this reading only warns: its gate opens though it holds or blocks. Of "
            "quality: units of batches are worked on though their inputs are too poor.",
            about="reading",
            until=Until.MUST,
        ),
        Verb(
            name="look_again",
            title="Look again",
            does="The sources of the run look again. What was corrected since is published, once; where nothing was, "
            "nothing changes.",
        ),
        Verb(
            name="replay",
            title="Replay",
            does="A new generation does the run over from this phase on, and stands over this one, of which nothing is "
            "changed.",
            about="phase",
        ),
        Verb(
            name="acknowledge",
            title="Acknowledge",
            does="Whoever is called sees that you look into this incident, and into no other. It stays open until it "
            "is over, and is told to more people after two hours all the same.",
            about="incident",
        ),
        Verb(
            name="cancel",
            title="Cancel",
            does="The run ends for good, as it is. What it has published stays; only a replay does the rest.",
            grave=True,
        ),
    )
}
BATCH_VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            name="recover",
            title="Recover",
            does="Its orders that are under way are sent again, and whatever is due is done. Workers drop what they "
            "have done.",
        ),
        Verb(
            name="seal",
            title="Seal",
            does="The batch ends now with what there is: that is written and reported to its gate, the rest named.",
            grave=True,
        ),
        Verb(
            name="cancel",
            title="Cancel",
            does="The batch ends now without anything of it. Its run needs predictions: the gate behind them blocks.",
            grave=True,
        ),
    )
}
LETTER_VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            name="redrive",
            title="Redrive",
            does="Each is published again, with all its attempts. Whoever has done what it asks for drops it.",
        ),
        Verb(name="purge", title="Purge", does="Each is given up for good: its body is nowhere else.", grave=True),
    )
}

ENDS = {"seal": SealKind.SEALED, "cancel": SealKind.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What has come of a word on a run."""

    run: RunKey  # that it is kept with: of a replay the new one
    number: int  # of the word among those of the run; -1: it was so already, and none was kept
    changed: bool


def say(home: Home, run: RunKey, word: Word, asked_at: datetime) -> Done | Refusal:
    """Speak a word on a run. What the same form has said before is not said again."""
    states = home.ports.states
    if before := said_since(states, run, word, asked_at):
        return before
    answer: object
    service, kept = service_of(home, run), len(states.load(run).control.said)
    match word.verb:
        case "replay":
            answer = service.replay(run, word.about, word.act)
        case "look_again":
            answer = service.look_again(run, act=word.act)
        case _:
            answer = speak(service, run, word)
    if isinstance(answer, Refusal):
        return answer
    log.info("%s of %s by %s: %s", word.verb, run, word.act.actor, word.act.reason)
    if isinstance(answer, RunKey):
        return Done(run=answer, number=0, changed=True)
    said = len(states.load(run).control.said)
    return Done(run=run, number=said - 1 if said > kept else -1, changed=said > kept)


def acknowledge(home: Home, run: RunKey, named: str, act: Act) -> Refusal | None:
    """Take this occurrence of an incident, CAUSE/NUMBER, of a run, or of what is watched beside the runs. One that is
    taken stays whose it is."""
    which = incident_named(named)
    if which is None:
        none = why_not_open(run, home.ports.states.load(run).latches, None)
        return Refusal(none or f"Choose an incident of {run}: this names none.")
    answer = service_of(home, run).acknowledge(run, act, which)
    if isinstance(answer, Refusal):
        return answer
    log.info("acknowledge of %s of %s by %s: %s", named, run, act.actor, act.reason)
    return None


def said_since(states: StateStore, run: RunKey, word: Word, asked_at: datetime) -> Done | None:
    """What the same person said in the same words since then, also of a generation that replays the run."""
    there = states.runs(run.pipeline, run.date, run.date) if word.verb == "replay" else (run,)
    for key in there:
        if key.mode != run.mode or (word.verb == "replay" and key.generation <= run.generation):
            continue
        for number, other in enumerate(states.load(key).control.said):
            told = (other.verb, other.act.actor, other.act.reason)
            about = word.verb == "replay" or other.about == word.about
            if about and told == (word.verb, word.act.actor, word.act.reason) and other.act.at >= asked_at:
                return Done(run=key, number=number, changed=False)
    return None


def end_or_recover(home: Home, batch: str, verb: str, act: Act, asked_at: datetime) -> Refusal | None:
    """Speak a word on a batch. Ended at the same word before, it is as it was, and sent again by the same form too."""
    run = RunKey.parse(batch.partition("/")[0])
    if said_since(home.ports.states, run, Word(verb=verb, about=batch, act=act), asked_at):
        return None
    coordinator = points_coordinator(home, pipeline(run.pipeline))
    if kind := ENDS.get(verb):
        answer = coordinator.end_by(batch, kind, act)
        if isinstance(answer, Refusal):
            return answer
    else:
        if refused := _note(home, run, Word(verb=verb, about=batch, act=act)):
            return refused
        coordinator.recover(batch)
    log.info("%s of batch %s by %s: %s", verb, batch, act.actor, act.reason)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What has become of dead letters."""

    done: int
    left: Mapping[str, str]  # by id, why not


def deal(home: Home, letters: Sequence[Letter], verb: str, act: Act) -> Dealt:
    """Redrive or purge them: each is kept as a word on its run, where that is here, before anything is done."""
    left = {letter.id: letter.obstacle for letter in letters if verb == "redrive" and letter.obstacle}
    able = list[Letter]()
    for letter in letters:
        run = run_of({"run": letter.run})
        if letter.id in left:
            continue
        if run and home.ports.states.plan(run):
            refused = _note(home, run, Word(verb=verb, about=letter.id, act=act))
            if refused:
                left[letter.id] = refused.reason
                continue
        able.append(letter)
    act_on = redrive if verb == "redrive" else purge
    done = list(act_on(able, home.ports.states, home.ports.bus, home.clock.now()))
    left |= {letter.id: HELD for letter in able if letter not in done}
    for letter in done:
        log.info("%s of %s %s on %s by %s: %s", verb, letter.kind, letter.id, letter.topic, act.actor, act.reason)
    return Dealt(done=len(done), left=left)


def _note(home: Home, run: RunKey, word: Word) -> Refusal | None:
    answer = service_of(home, run).say(run, word)
    return answer if isinstance(answer, Refusal) else None


def as_kept(act: Act) -> Act:
    """As words keep it; batches keep an act as they are given it. Raises ValueError that says what is wrong."""
    said = replace(act, actor=one_line(act.actor), reason=one_line(act.reason))
    if not said.reason:
        raise ValueError("Say why, for those who read it later.")
    return said
