"""An in-memory stand-in for the Warehouse port, for simulated processors: fences and read-back as the port promises."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.ports import Partition, Stamp, Written

Row = Mapping[str, object]


class MemoryWarehouse:
    """Whole partitions, each with the stamp of who wrote it last."""

    def __init__(self) -> None:
        self._stands: dict[Partition, tuple[Stamp, Written]] = {}

    def load(self, partition: Partition, rows: Sequence[Row], stamp: Stamp, unit: str = "") -> Written:
        """Replace the partition, or refuse (superseded) where a newer fence stands."""
        there = self._stands.get(partition)
        if there and there[0].fence > stamp.fence:
            return replace(there[1], superseded=True)
        units = tuple(sorted({str(row[unit]) for row in rows})) if unit else ()
        written = Written(rows=len(rows), units=units, digest=digest(rows))
        self._stands[partition] = (stamp, written)
        return written

    def standing(self, partition: Partition, stamp: Stamp) -> Written | None:
        """What this very stamp has written there; None if it has not, or another has replaced it."""
        there = self._stands.get(partition)
        return there[1] if there and there[0] == stamp else None

    def read(self, partition: Partition) -> tuple[Stamp, Written] | None:
        return self._stands.get(partition)


def digest(rows: Sequence[Row]) -> str:
    """Equal content, equal digest, whatever the row order."""
    text = "\n".join(sorted(repr(sorted(row.items())) for row in rows))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
