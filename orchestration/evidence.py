"""What a pipeline's starts have left though nobody reported it: in its tables, its documents and its batches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from data_processors.nba.evidence import found
from predictions.coordinator.points import predictions_phase
from shared import edge
from shared.core.batch import batch_id
from shared.core.model import FOUND_REPORT, Completion, PipelineSpec, Start
from shared.wiring import Home

log = logging.getLogger("tipoff.evidence")


@dataclass(frozen=True, slots=True)
class PipelineEvidence:
    """The port Evidence, for one pipeline on embedded parts or those of a cloud; each is opened when it is asked."""

    home: Home
    spec: PipelineSpec

    def find(self, start: Start) -> Completion | None:
        looked = edge.attempt(lambda: self._find(start))
        if isinstance(looked, str):
            log.warning("%s: what it has left could not be read: %s", start.id, looked)
            return None
        return looked

    def _find(self, start: Start) -> Completion | None:
        phase = next((phase for phase in self.spec.phases if phase.name == start.phase), None)
        spec = next((each for each in phase.processors if each.name == start.processor), None) if phase else None
        if spec is None:
            return None
        if phase == predictions_phase(self.spec):
            return self._concluded(start)
        return found(start, spec, self.home.warehouse, self.home.exports)

    def _concluded(self, start: Start) -> Completion | None:
        """What its batch has come to. Without a digest, two reports of it would not look like the same content."""
        record = self.home.batches.load(batch_id(start))
        completion = record.seal.completion if record and record.seal else None
        return replace(completion, report=FOUND_REPORT) if completion and completion.digest else None
