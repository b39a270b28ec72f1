"""What simulated processors have left in a world though nobody reported it: its port Evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.core.batch import batch_id
from shared.core.model import FOUND_REPORT, Completion, Start
from shared.core.repairs import report_found
from shared.ports import BatchStore
from simulation.fate import BATCHED
from simulation.warehouse import MemoryWarehouse
from simulation.work import partition_of, stamp_of

if TYPE_CHECKING:
    from simulation.world import World


@dataclass(frozen=True)
class WorldEvidence:
    """As orchestration/evidence.py, over a world's own warehouse and batches."""

    world: World
    finds: Mapping[str, tuple[str, ...]]  # by processor

    def find(self, start: Start) -> Completion | None:
        if start.processor == BATCHED:
            return _concluded(self.world.sqlite.batches, start)
        if self.finds[start.processor]:
            return None
        return self._found(self.world.warehouse, start)

    def _found(self, warehouse: MemoryWarehouse, start: Start) -> Completion | None:
        processor = self.world.processor_of(start)
        written = warehouse.standing(partition_of(processor), stamp_of(start), "unit" if processor.unit else "")
        if written is None or (processor.unit and not set(start.units or ("?",)).issubset(written.units)):
            return None
        return report_found(start, units=start.units, rows=written.rows, digest=written.digest)


def _concluded(batches: BatchStore, start: Start) -> Completion | None:
    record = batches.load(batch_id(start))
    completion = record.seal.completion if record and record.seal else None
    return replace(completion, report=FOUND_REPORT) if completion and completion.digest else None
