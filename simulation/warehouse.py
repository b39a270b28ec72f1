"""An in-memory stand-in for the Warehouse port, for simulated processors: fences and read-back as the port promises."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.ports import Partition, Stamp, Stood, WarehouseError, Written

Row = Mapping[str, object]
Key = tuple[object, ...]


class MemoryWarehouse:
    """Whole partitions, each with the stamp of who wrote it last; and those that many runs share, row by row."""

    def __init__(self) -> None:
        self._stands: dict[Partition, tuple[Stamp, Written]] = {}
        self._merged: dict[tuple[Partition, str], dict[Key, tuple[Stamp, Row]]] = {}  # by run

    def load(self, partition: Partition, rows: Sequence[Row], stamp: Stamp, unit: str = "") -> Written:
        """Replace the partition, or refuse (superseded) where a newer fence stands."""
        there = self._stands.get(partition)
        if there and there[0].fence > stamp.fence:
            return replace(there[1], superseded=True)
        written = _written(rows, unit)
        self._stands[partition] = (stamp, written)
        return written

    def merge(
        self, target: Partition, rows: Sequence[Row], keys: Sequence[str], stamp: Stamp, unit: str = ""
    ) -> Written:
        """Bring a batch of one run in beside other runs; its older rows without a successor go. As the port says."""
        there = self._merged.get((target, stamp.run), {})
        if any(stood.fence > stamp.fence for stood, _ in there.values()):
            return replace(_written([row for _, row in there.values()], unit), superseded=True)
        brought = {tuple(row[key] for key in keys): (stamp, row) for row in rows}
        if not rows or len(brought) < len(rows) or any(None in key for key in brought):
            raise WarehouseError(f"{len(rows)} rows with {len(brought)} keys into {target.table}: each once, or none")
        kept = {key: stood for key, stood in there.items() if stood[0].fence >= stamp.fence}
        self._merged[target, stamp.run] = kept | brought
        return _written([row for _, row in (kept | brought).values()], unit)

    def standing(self, partition: Partition, stamp: Stamp, unit: str = "") -> Written | None:
        """What this very stamp has written there; None if it has not, or another has replaced it."""
        merged = self._merged.get((partition, stamp.run), {}).values()
        if any(stood == stamp for stood, _ in merged):
            return _written([row for _, row in merged], unit)
        there = self._stands.get(partition)
        return there[1] if there and there[0] == stamp else None

    def contents(self, asked: Sequence[tuple[Partition, str]]) -> tuple[tuple[Stood, ...], ...]:
        """What stands in each of these, by its stamps. As the port says; of a whole partition, the unit it was written
        with."""
        return tuple(self._contents(partition, unit) for partition, unit in asked)

    def _contents(self, partition: Partition, unit: str) -> tuple[Stood, ...]:
        there = self._stands.get(partition)
        whole = [(there[0], there[1].rows, there[1].units)] if there and there[1].rows else []
        merged: dict[Stamp, list[Row]] = {}
        for (target, _), rows in self._merged.items():
            for stamp, row in rows.values() if target == partition else ():
                merged.setdefault(stamp, []).append(row)
        shared = [(stamp, len(rows), _written(rows, unit).units) for stamp, rows in merged.items()]
        found = (Stood(stamp=stamp, rows=rows, units=units if unit else ()) for stamp, rows, units in (*whole, *shared))
        return tuple(sorted(found, key=lambda each: -each.stamp.fence))

    def read(self, partition: Partition, run: str = "") -> tuple[Stamp, Written] | None:
        """What stands there: of what runs share, this run's own rows."""
        merged = self._merged.get((partition, run), {}).values()
        if merged:
            return max((stood for stood, _ in merged), key=lambda each: each.fence), _written([r for _, r in merged])
        return self._stands.get(partition)


def _written(rows: Sequence[Row], unit: str = "") -> Written:
    units = tuple(sorted({str(row[unit]) for row in rows})) if unit else ()
    return Written(rows=len(rows), units=units, digest=digest(rows))


def digest(rows: Sequence[Row]) -> str:
    """Equal content, equal digest, whatever the row order."""
    text = "\n".join(sorted(repr(sorted(row.items())) for row in rows))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
