"""What a page says at its top once a word was spoken: told from what is kept, so that no address puts words there."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration import speech
from orchestration.wording import moment
from shared.core.batch_status import BatchState, BatchStatus
from shared.core.fold import View
from shared.core.incident import open_incidents
from shared.core.model import Word

BATCH_ENDS = {"seal": BatchState.SEALED, "cancel": BatchState.CANCELLED}
NUMBER_MAX = 4  # digits


def of_run(view: View, said: str) -> str:
    """Of the word of this number among those said of a run, -1 for one that changed nothing; empty for any other."""
    if said == "-1":
        return f"{view.plan.run} was so already; nothing has changed."
    if said == "acknowledged":
        return _acknowledged(view)
    words = view.control.said
    if not (said.isascii() and said.isdecimal() and len(said) <= NUMBER_MAX and int(said) < len(words)):
        return ""
    return _told(view, words[int(said)])


def _acknowledged(view: View) -> str:
    taken = {alert.cause: alert.acknowledged for alert in open_incidents(view)}
    told = [f"{cause} by {act.actor}: {act.reason}" for cause, act in taken.items() if act]
    return f"Acknowledged, and open still: {'; '.join(told)}." if told else ""


def of_incidents(said: str) -> str:
    """Of what was taken beside the runs."""
    return "Acknowledged, and open still." if said == "acknowledged" else ""


def _told(view: View, word: Word) -> str:
    run, by = view.plan.run, f"by {word.act.actor}: {word.act.reason}"
    match word.verb:
        case "replay":
            return f"{run} does {view.plan.labels.get('replays', 'a run')} over from {word.about}, asked for {by}."
        case "look_again":
            return f"The sources of {run} look again, asked for {by}."
        case "recover":
            return f"What was under way of {word.about} was sent again, asked for {by}."
        case "retry":
            starts = [start for start in view.starts.get(word.about, ()) if start.by]
            if not starts:
                return f"{word.about} of {run} is to try again, asked for {by}."
            return speech.told(run, word, starts[-1], view.now, changed=True)
        case "redrive" | "purge":
            return f"{word.verb} of message {word.about}, asked for {by}."
    return speech.told(run, word, None, view.now, changed=True)


def of_batch(batch: BatchStatus, said: str) -> str:
    """Of the word that ended a batch, or sent its orders again."""
    head = batch.head
    if said == "recover" and head.sealed_at is None:
        return "Its orders that are under way were sent again, and whatever is due is done."
    if said in BATCH_ENDS and head.act and head.sealed_at:
        return f"It was ended {moment(head.sealed_at)} by {head.act.actor}: {head.act.reason}."
    return ""


def of_letters(asked: Mapping[str, str]) -> str:
    """Of how many messages were dealt with."""
    verb = {"redrive": "published again", "purge": "given up for good"}.get(asked.get("said", ""))
    done, left = _number(asked.get("done", "")), _number(asked.get("left", ""))
    if verb is None or done is None:
        return ""
    stayed = f"; {left} stayed, held by somebody else or not to be sent again" if left else ""
    return f"{done} message{'s were' if done != 1 else ' was'} {verb}{stayed}."


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= NUMBER_MAX else None
