"""What a processor of the nba pipeline has done though nobody reported it, from its table or its document."""

from __future__ import annotations

from data_processors.nba import exports
from data_processors.nba.runner import REGISTRY, Export, Select, remark
from shared.config.nba_tables import UNIT_COLUMNS, table_of
from shared.core.model import FOUND_REASON, Completion, ProcessorSpec, Start
from shared.core.repairs import report_found
from shared.ports import ObjectStore, Partition, Stamp, Warehouse


def found(start: Start, spec: ProcessorSpec, warehouse: Warehouse, objects: ObjectStore) -> Completion | None:
    """The report that a start's output is worth, as Evidence promises; only a whole result tells all of itself.

    What was found on the way, why units are missing, and that there was nothing to do, the processor alone knows.
    """
    how = REGISTRY.get(start.processor)
    if how is None or spec.finds:
        return None
    reason, units = FOUND_REASON, start.units
    if isinstance(how, Export):
        document = exports.published_by(objects, exports.object_name(start.run.date, start.processor), start)
        if document is None:
            return None
        rows, digest, there = document.rows, document.digest, document.games
        units = units if there is not None else None
    else:
        partition = Partition(
            table=table_of(start.phase, start.processor),
            column=spec.partition,
            first=start.partition,
            last=start.partition,
        )
        stamp = Stamp.of(start)
        unit = UNIT_COLUMNS[spec.unit] or (how.names if isinstance(how, Select) else "")
        written = warehouse.standing(partition, stamp, unit)
        if written is None or not written.rows:
            return None
        rows, digest, there = written.rows, written.digest, written.units
        reason = remark(how, written, set()) or reason
    if set(units or ()).difference(there or ()):
        return None
    return report_found(start, units=units, rows=rows, digest=digest, reason=reason)
