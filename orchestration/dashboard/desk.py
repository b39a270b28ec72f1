"""Where a word is asked for and taken: GET gives its form, POST speaks it, and nothing a person typed is lost.

A word is taken from a form of ours alone, from whom it was made for, while it is fresh. What is refused comes back in
its form, with what to do; what was done leads to the page that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from werkzeug.wrappers import Request

from orchestration.dashboard import guard, pages, sights, verbs
from orchestration.dashboard.asked import batch_asked, run_asked
from orchestration.dashboard.doors import Doors
from orchestration.dashboard.forms import (
    FORM_BYTES_MAX,
    FORM_TYPE,
    LETTERS_MAX,
    Form,
    Matter,
    choices,
    incident_choices,
    read_act,
    read_form,
    read_time,
)
from orchestration.dashboard.pages import Frame, path
from orchestration.dashboard.verbs import BATCH_VERBS, LETTER_VERBS, RUN_VERBS
from orchestration.letters import Letter
from shared import edge
from shared.core.codec import Malformed
from shared.core.fold import incidents_of
from shared.core.model import PipelineSpec, RunKey, Word
from shared.core.watch import record_of
from shared.endpoint import Answer
from shared.service import Refusal
from shared.wiring import ReadHome


class Stranger(Exception):
    """A form that no page of ours has sent: nothing is done, and nothing of it is shown."""


class TooLarge(Exception):
    """A form with more in it than any of ours has."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A word that was not taken: why, and with which status that is said."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Led:
    """A word that was taken: the address that shows what has come of it."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One for a process; any number of threads."""

    doors: Doors
    pipelines: Mapping[str, PipelineSpec]
    is_secure: bool  # whether it is asked over TLS, as a deployed one always is
    is_tunnelled: bool = False  # whether gcloud's proxy may stand before it

    def matter(self, segments: Sequence[str], ids: Sequence[str], home: ReadHome) -> Matter | None:
        """What the word of this address is about; None for an address that asks for no word."""
        match segments:
            case ["run", text, verb] if verb in RUN_VERBS:
                run = run_asked(text, self.pipelines)
                if run == record_of(run.pipeline) and verb == "acknowledge":
                    return _beside(run, home)
                sights.known_plan(home.states, run)
                seen = sights.see(home.states, run, self.doors.clock.now())
                assert seen is not None, f"{run} was just there"
                word = RUN_VERBS[verb]
                at = f"/run/{path(str(run))}"
                return Matter(
                    verb=word, subject=str(run), action=f"{at}/{verb}", back=at, run=run, choices=choices(word, seen)
                )
            case ["batch", text, phase, attempt, verb] if verb in BATCH_VERBS:
                batch = batch_asked(text, phase, attempt, self.pipelines)
                sights.batch(home, batch, self.doors.clock.now())
                at = f"/batch/{batch}"
                return Matter(verb=BATCH_VERBS[verb], subject=batch, action=f"{at}/{verb}", back=at, batch=batch)
            case ["letters", verb] if verb in LETTER_VERBS:
                letters = _chosen(home, ids)
                told = f"{len(letters)} message{'s' if len(letters) > 1 else ''}"
                return Matter(
                    verb=LETTER_VERBS[verb], subject=told, action=f"/letters/{verb}", back="/letters", letters=letters
                )
        return None

    # --- asked for ------------------------------------------------------------------------------------

    def ask(self, request: Request, matter: Matter, frame: Frame, typed: Mapping[str, str], error: str = "") -> Answer:
        """The form of a word, and the key of this browser where it has none."""
        key, headers = request.cookies.get(self._cookie, ""), {}
        if not guard.is_key(key):
            key = guard.new_key()
            headers["Set-Cookie"] = guard.set_cookie(key, secure=self.is_secure)
        token = guard.token(key, matter.action, frame.who, frame.now.isoformat())
        form = Form(matter=matter, asked_at=frame.now, token=token, typed=typed, error=error)
        return pages.render("say.html", frame, form=form), 200, headers

    # --- taken ----------------------------------------------------------------------------------------

    def take(self, request: Request, segments: Sequence[str], frame: Frame) -> Answer | None:
        """What a form says, spoken; None for an address that takes none. Raises Stranger, TooLarge, Malformed."""
        if why := guard.stranger(dict(request.headers), request.host, is_tunnelled=self.is_tunnelled):
            raise Stranger(f"Nothing was done: {why}.")
        fields = self._fields(request)
        typed = {name: texts[0] for name, texts in fields.items()}
        with self.doors.reading() as home:
            if home is None:
                raise sights.NotThere("Nothing has run here yet.")
            matter = self.matter(segments, fields.get("id", ()), home)
        if matter is None:
            return None
        outcome = self._speak(request, matter, frame, typed)
        if isinstance(outcome, Led):
            return "", 303, {"Location": outcome.to}
        page, _, headers = self.ask(request, matter, frame, typed, outcome.why)
        return page, outcome.status, headers

    def _fields(self, request: Request) -> dict[str, list[str]]:
        request.max_content_length = FORM_BYTES_MAX + 1
        if (request.content_length or 0) > FORM_BYTES_MAX:
            raise TooLarge(f"{request.content_length} bytes; a form has at most {FORM_BYTES_MAX}.")
        if request.mimetype != FORM_TYPE:
            raise Malformed(f"Content-Type: {request.mimetype[:60]!r} is not that of a form")
        body = edge.attempt(request.get_data)
        if isinstance(body, str) or len(body) > FORM_BYTES_MAX:
            raise Malformed("the form ends before it says, or is larger than it says")
        return read_form(body)

    def _speak(self, request: Request, matter: Matter, frame: Frame, typed: Mapping[str, str]) -> Led | Refused:
        """Where to go once it is done; or why it is not."""
        asked_at = read_time(typed.get("asked_at", ""))
        key, given = request.cookies.get(self._cookie, ""), typed.get("token", "")
        if not guard.is_made_with(key, matter.action, frame.who, typed["asked_at"], given):
            return Refused(403, "This form was not made for this browser and you. Look once more, then send it again.")
        if not guard.lasts(asked_at, frame.now):
            return Refused(403, "This form has been open for long. Look whether it is still right, then send it again.")
        try:
            act = read_act(matter.verb, typed, frame.who, frame.now, asked_at)
        except ValueError as error:
            return Refused(400, str(error))
        word = Word(verb=matter.verb.name, about=typed.get("about", ""), act=act)
        done = edge.attempt(lambda: self._done(matter, word, asked_at))
        if isinstance(done, str):
            again = "Sent again, this form does nothing twice."
            return Refused(503, f"Whether it was done is not certain: {done}. {again}")
        return done

    def _done(self, matter: Matter, word: Word, asked_at: datetime) -> Led | Refused:
        with ExitStack() as opened:
            try:
                home = opened.enter_context(self.doors.acting())
            except OSError as error:
                return Refused(503, f"Nothing was done: {error}")
            if matter.run and word.verb == "acknowledge":
                refused = verbs.acknowledge(home, matter.run, word.about, word.act)
                return Refused(409, refused.reason) if refused else Led(f"{matter.back}?said=acknowledged")
            if matter.run:
                said = verbs.say(home, matter.run, word, asked_at)
                if isinstance(said, Refusal):
                    return Refused(409, said.reason)
                return Led(f"/run/{path(str(said.run))}?said={said.number}")
            if matter.batch:
                refused = verbs.end_or_recover(home, matter.batch, word.verb, word.act, asked_at)
                return Refused(409, refused.reason) if refused else Led(f"{matter.back}?said={word.verb}")
            return _dealt(verbs.deal(home, matter.letters, word.verb, word.act), word.verb)

    @property
    def _cookie(self) -> str:
        return guard.COOKIE_SECURE if self.is_secure else guard.COOKIE


def _beside(run: RunKey, home: ReadHome) -> Matter:
    """Incidents of what is watched beside the runs, of which there is no page."""
    known = incidents_of(home.states.load(run).latches).values()
    return Matter(
        verb=RUN_VERBS["acknowledge"],
        subject="what is watched beside the runs",
        action=f"/run/{path(str(run))}/acknowledge",
        back="/incidents",
        run=run,
        choices=incident_choices([alert for alert in known if not alert.resolved]),
    )


def _dealt(dealt: verbs.Dealt, verb: str) -> Led | Refused:
    if dealt.left and not dealt.done:
        return Refused(409, "; ".join(f"{id}: {why}" for id, why in dealt.left.items()))
    return Led(f"/letters?said={verb}&done={dealt.done}&left={len(dealt.left)}")


def _chosen(home: ReadHome, ids: Sequence[str]) -> tuple[Letter, ...]:
    if not 0 < len(ids) <= LETTERS_MAX:
        raise Malformed(f"id: {len(ids)} messages are chosen; choose 1 to {LETTERS_MAX}")
    there = {letter.id: letter for letter in sights.letters(home)}
    gone = [id for id in ids if id not in there]
    if gone:
        known = f"No message that waits here has the id {gone[0][:40]!r}; somebody has dealt with it, or you have."
        raise sights.NotThere(known)
    return tuple(there[id] for id in dict.fromkeys(ids))
