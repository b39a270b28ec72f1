"""Where the dashboard reads and acts: a home of this machine, or Google's parts, kept open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from shared import wiring
from shared.config.settings import Settings, Target
from shared.ports import Clock, Warehouse
from shared.wiring import CloudHome, Home, ReadHome

WRITER_WAIT_S = 5.0  # for a command that writes; whoever pressed a button waits no longer


class Doors(Protocol):
    """Opened for each request; any number of threads."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    def reading(self) -> AbstractContextManager[ReadHome | None]:
        """What can be read whoever writes; None if nothing has run there yet."""

    def tables(self) -> AbstractContextManager[Warehouse | None]:
        """What was graded; None where nothing has been loaded yet. May raise what the world raises."""

    def acting(self) -> AbstractContextManager[Home]:
        """Where a word is spoken. Raises OSError where somebody else writes, and says who."""


@dataclass(frozen=True, slots=True)
class LocalDoors:
    """A home: anyone reads; a word is its only writer for that moment."""

    settings: Settings
    clock: Clock

    def reading(self) -> AbstractContextManager[ReadHome | None]:
        return wiring.read_home(self.settings)

    def tables(self) -> AbstractContextManager[Warehouse | None]:
        return wiring.read_warehouse(self.settings)

    def acting(self) -> AbstractContextManager[Home]:
        return wiring.write_home(
            self.settings, command="tipoff dashboard", wait_s=WRITER_WAIT_S, waiting=lambda _: None
        )


class WordBusy(OSError):
    """Another word is being spoken, and takes long; nothing was done, say it again."""


@dataclass(frozen=True, slots=True)
class CloudDoors:
    """Google's services or their emulators, connected once; whoever opened them closes them.

    One word at a time: of two presses of a button the second finds what the first has done.
    """

    settings: Settings
    home: CloudHome
    _lock: Lock = field(default_factory=Lock)

    @property
    def clock(self) -> Clock:
        return self.home.clock

    @contextmanager
    def reading(self) -> Iterator[ReadHome | None]:
        home = self.home
        yield ReadHome(states=home.ports.states, batches=home.batches, bus=home.bus, is_written=True)

    @contextmanager
    def tables(self) -> Iterator[Warehouse | None]:
        yield self.home.warehouse

    @contextmanager
    def acting(self) -> Iterator[Home]:
        if not self._lock.acquire(timeout=WRITER_WAIT_S):
            raise WordBusy("another word is being spoken, and takes long; nothing was done, say it again")
        try:
            yield self.home
        finally:
            self._lock.release()


def where(settings: Settings) -> str:
    """Whose runs these are, in words."""
    if settings.cloud is None:
        return f"home {settings.home}"
    return f"{settings.cloud.project}, on emulators" if settings.target is Target.EMULATORS else settings.cloud.project
