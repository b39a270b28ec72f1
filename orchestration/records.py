"""What is there of runs and their batches, read: for every command that shows them and the dashboard."""

from __future__ import annotations

from datetime import date, datetime

from shared.core.batch import BatchRecord, batch_id
from shared.core.batch_status import BatchHead, BatchStatus, batch_head, batch_status
from shared.core.fold import incidents_of, look
from shared.core.model import Alert, RunKey
from shared.core.status import RunStatus, summarise
from shared.core.watch import record_of
from shared.ports import BatchStore, StateStore
from shared.wiring import ReadHome


def status_of(states: StateStore, run: RunKey, now: datetime) -> RunStatus:
    """The status of a run that is there."""
    plan, record = states.plan(run), states.load(run)
    assert plan is not None, f"{run} has no plan"
    view = look(plan, record.facts, record.latches, record.control, now)
    return summarise(view, record.last_entry)


def watched(states: StateStore, pipeline: str) -> tuple[Alert, ...]:
    """Incidents that are open and about no run: jobs that are late, services that are not well. The oldest first."""
    known = incidents_of(states.load(record_of(pipeline)).latches).values()
    return tuple(sorted((alert for alert in known if not alert.resolved), key=lambda alert: alert.at))


def newest(states: StateStore, pipeline: str, first: date, last: date) -> dict[tuple[date, str], RunKey]:
    """The newest generation of each date and mode that has one here."""
    runs = sorted(states.runs(pipeline, first, last), key=lambda run: run.generation)
    return {(run.date, run.mode): run for run in runs}


def heads_of(home: ReadHome, run: RunKey, now: datetime) -> list[BatchHead]:
    """Every batch of a run without its units, in the order in which its starts were ordered."""
    return [batch_head(record, now) for record in records_of(home, run)]


def batches_of(home: ReadHome, run: RunKey, now: datetime) -> list[BatchStatus]:
    """Every batch of a run, in the order in which its starts were ordered."""
    return [status_of_batch(home.batches, record, now) for record in records_of(home, run)]


def records_of(home: ReadHome, run: RunKey) -> list[BatchRecord]:
    starts = [start for latch in home.states.load(run).latches for start in latch.starts]
    return [record for start in starts if (record := home.batches.load(batch_id(start)))]


def status_of_batch(batches: BatchStore, record: BatchRecord, now: datetime) -> BatchStatus:
    id = record.batch.id  # the record was read first: what has been reported since is in the reports alone
    return batch_status(record, batches.chunks(id), batches.reports(id), now)
