"""A run of the nba processors without bus and gates: each in the order of the plan, against a real warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone

from data_processors.nba.runner import REGISTRY, Work, bootstrap, create_tables, run_processor
from shared.adapters.duckdb import DuckDbWarehouse
from shared.adapters.objects import MemoryObjects
from shared.config.nba import NBA
from shared.config.nba_dates import as_of_date
from shared.core.model import Completion, RunKey, Start
from shared.core.plan import fence, planned
from shared.ports import Coverage, Feed

NOW = datetime(2031, 12, 1, 11, 0, tzinfo=timezone.utc)
Row = dict[str, object]
Edit = Callable[[Row], Row | None]


def unchanged(row: Row) -> Row:
    return row


@dataclass(frozen=True, kw_only=True)
class EditedFeed:
    """A feed whose rows pass through an edit each; None takes the row out."""

    feed: Feed
    game: Edit = unchanged
    player: Edit = unchanged
    team: Edit = unchanged

    def coverage(self) -> Coverage:
        return self.feed.coverage()

    def games(self, first: date, last: date) -> list[Row]:
        return _edited(self.game, self.feed.games(first, last))

    def player_lines(self, first: date, last: date) -> list[Row]:
        return _edited(self.player, self.feed.player_lines(first, last))

    def team_lines(self, first: date, last: date) -> list[Row]:
        return _edited(self.team, self.feed.team_lines(first, last))


def _edited(edit: Edit, rows: Iterable[Row]) -> list[Row]:
    return [kept for row in rows if (kept := edit(dict(row))) is not None]


def new_work(feed: Feed, before: date | None = None) -> Work:
    """An empty home, or one with the history before a date."""
    warehouse = DuckDbWarehouse(":memory:")
    create_tables(warehouse)
    work = Work(warehouse=warehouse, feed=feed, objects=MemoryObjects(), now=lambda: NOW, commit="abc1234")
    if before:
        bootstrap(work, before, lambda _: None)
    return work


@dataclass(kw_only=True)
class Night:
    """One run; processors are run one by one or all in order."""

    work: Work
    run: RunKey
    units: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, processor: str, attempt: int = 1, **changes: object) -> Completion:
        phase, spec = next((phase, spec) for phase in NBA.phases for spec in phase.processors if spec.name == processor)
        mode = next(mode for mode in NBA.modes if mode.name == self.run.mode)
        start = Start(
            run=self.run,
            phase=phase.name,
            processor=processor,
            attempt=attempt,
            fence=fence(mode.precedence[spec.partition], self.run.generation, attempt),
            partition=as_of_date(self.run) if spec.partition == "as_of" else self.run.date,
            timeout_s=spec.timeout_s,
            issued_at=NOW,
            units=self.units.get(spec.unit) if spec.unit else None,
            config_hash="0123456789ab",
        )
        start = replace(start, **changes)  # type: ignore[arg-type]
        completion = run_processor(start, spec, phase.name, self.work)
        self.units.update(completion.found)
        return completion

    def all(self, attempt: int = 1, without: tuple[str, ...] = ()) -> dict[str, Completion]:
        names = [spec.name for phase in NBA.phases for spec in planned(phase, self.run.mode)]
        return {name: self.one(name, attempt) for name in names if name in REGISTRY and name not in without}
