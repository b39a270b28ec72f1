"""The composition root: settings to ports, built at first use. The only importer of adapters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shared.config.settings import Settings
from shared.ports import BatchStore, Clock, Feed, ObjectStore, Ports, StateStore
from shared.readings import readers

if TYPE_CHECKING:
    from shared.adapters.duckdb import DuckDbWarehouse
    from shared.adapters.sqlite import Sqlite

STATE_FILE = "state.sqlite"
WAREHOUSE_FILE = "warehouse.duckdb"
EXPORTS = "exports"


@dataclass(frozen=True)
class LocalHome:
    """A home opened by its one writer: state and bus at once, warehouse and exports when somebody asks."""

    path: Path
    store: Sqlite
    clock: Clock

    @property
    def ports(self) -> Ports:
        states = self.store.states
        return Ports(states=states, bus=self.store.bus, clock=self.clock, readers=readers(states))

    @property
    def batches(self) -> BatchStore:
        return self.store.batches

    @cached_property
    def warehouse(self) -> DuckDbWarehouse:
        from shared.adapters.duckdb import DuckDbWarehouse

        return DuckDbWarehouse(self.path / WAREHOUSE_FILE)

    @cached_property
    def exports(self) -> ObjectStore:
        from shared.adapters.objects import FolderObjects

        return FolderObjects(self.path / EXPORTS)

    def close(self) -> None:
        self.store.close()
        if "warehouse" in self.__dict__:
            self.warehouse.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHome:
    """What can be read of a home whoever writes it."""

    states: StateStore
    batches: BatchStore
    is_written: bool  # whether a process may be at work in it


def memory_warehouse() -> DuckDbWarehouse:
    """An empty one, for figures that nobody keeps. Whoever opens it closes it."""
    from shared.adapters.duckdb import DuckDbWarehouse

    return DuckDbWarehouse(":memory:")


@contextmanager
def alone_in(home: Path, *, command: str) -> Iterator[None]:
    """The home without anything opened in it, and nobody else writing."""
    from shared.adapters.home import only_writer, open_home

    with only_writer(open_home(home), command, 0.0, lambda _: None):
        yield


@contextmanager
def write_home(
    settings: Settings, *, command: str, wait_s: float, waiting: Callable[[str], None], durability: str = "process"
) -> Iterator[LocalHome]:
    """The home, held by this process alone. What a killed writer had leased is let go: nobody else can hold it."""
    from shared.adapters.clock import SystemClock
    from shared.adapters.home import only_writer, open_home
    from shared.adapters.objects import remove_unfinished
    from shared.adapters.sqlite import Sqlite

    path = open_home(settings.home)
    clock = SystemClock()
    with only_writer(path, command, wait_s, waiting):
        remove_unfinished(path / EXPORTS)
        store = Sqlite(path / STATE_FILE, durability="power" if durability == "power" else "process")
        home = LocalHome(path, store, clock)
        try:
            store.release_leases(clock.now())
            yield home
        finally:
            home.close()


@contextmanager
def read_home(settings: Settings) -> Iterator[ReadHome | None]:
    """The state of a home and its batches, also while another process writes it. None if nothing has run there yet."""
    from shared.adapters.home import HomeError, is_written
    from shared.adapters.sqlite import Sqlite

    if settings.home.exists() and not settings.home.is_dir():
        raise HomeError(f"--home {settings.home}: is not a folder; name the one that the runs were given")
    if not (settings.home / STATE_FILE).exists():
        yield None
        return
    store = Sqlite(settings.home / STATE_FILE, read_only=True)
    try:
        yield ReadHome(states=store.states, batches=store.batches, is_written=is_written(settings.home))
    finally:
        store.close()


def open_feed(folder: Path) -> Feed:
    """Raises FeedError that says which file, what is wrong, and the remedy."""
    from shared.adapters.feed import FolderFeed

    return FolderFeed(folder)
