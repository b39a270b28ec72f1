"""How long what was due stayed undone in a world, and how long what a fault struck took to be made good."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.core.messages import Message
from shared.core.model import Completion, RunKey, Start, Status

WHOLE = (Status.SUCCESS, Status.PARTIAL, Status.SKIPPED)


class Meter:
    def __init__(self) -> None:
        self.delays: list[float] = []  # of each effect: from when what is recorded allowed it until it was latched
        self.undisturbed: list[float] = []  # of these, where nothing had struck
        self.recoveries: list[tuple[str, float]] = []  # kind of fault, seconds until what it struck was achieved
        self._due: dict[tuple[RunKey, str], datetime] = {}
        self._struck: dict[str, tuple[str, datetime]] = {}  # by what it struck: the kind, and since when

    @property
    def unrecovered(self) -> list[tuple[str, str]]:
        """What was struck and never achieved, with the kind of fault."""
        return [(what, kind) for what, (kind, _) in self._struck.items()]

    # --- effects that are due -----------------------------------------------------------------------------

    def due(self, run: RunKey, effects: Iterable[str], since: datetime) -> None:
        for effect in effects:
            self._due.setdefault((run, effect), since)

    def not_due(self, run: RunKey, effects: Iterable[str]) -> None:
        """Nobody has done them, and what was recorded since has made them needless: if ever, they are due anew."""
        for effect in effects:
            self._due.pop((run, effect), None)

    def done(self, run: RunKey, effects: Iterable[str], now: datetime, settled_at: datetime) -> None:
        for effect in effects:
            since = self._due.pop((run, effect), now)
            self.delays.append(max(0.0, (now - since).total_seconds()))
            if settled_at < since:
                self.undisturbed.append(self.delays[-1])
            self._heal(f"{run}: {effect}", now)

    # --- faults, and what they struck -----------------------------------------------------------------------

    def strike_message(self, kind: str, message: Message, at: datetime) -> None:
        """An order that nobody got, or a report that nobody recorded; other messages are hints."""
        said = message.attributes
        if "processor" not in said or "chunk" in said:
            return
        name = f"{said['run']}/{said['phase']}/{said['processor']}"
        order = message.topic.endswith("-start")
        self._strike(kind, f"order {name}/{said['attempt']}" if order else f"report {name}", at)

    def strike_order(self, kind: str, start_id: str, at: datetime) -> None:
        self._strike(kind, f"order {start_id}", at)

    def strike_work(self, kind: str, start: Start, at: datetime) -> None:
        self._strike(kind, f"report {start.run}/{start.phase}/{start.processor}", at)

    def strike_effects(self, kind: str, run: RunKey, effects: Iterable[str], at: datetime) -> None:
        for effect in effects:
            self._strike(kind, f"{run}: {effect}", at)

    def received(self, start: Start, now: datetime) -> None:
        self._heal(f"order {start.id}", now)

    def recorded(self, completion: Completion, now: datetime) -> None:
        name = f"{completion.run}/{completion.phase}/{completion.processor}"
        self._heal(f"order {name}/{completion.attempt}", now)
        if completion.status in WHOLE:
            self._heal(f"report {name}", now)

    def _strike(self, kind: str, what: str, at: datetime) -> None:
        self._struck.setdefault(what, (kind, at))

    def _heal(self, what: str, now: datetime) -> None:
        if what in self._struck:
            kind, since = self._struck.pop(what)
            self.recoveries.append((kind, max(0.0, (now - since).total_seconds())))
