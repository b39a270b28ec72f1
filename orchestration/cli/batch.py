"""`tipoff batch`: the batches of a pipeline, for a person: list them, show one, get it going again, or end it.

Reading needs nobody's leave. What writes goes through the coordinator's own doors: in a home this command is its only
writer then, and what it publishes the next `tipoff run` delivers; on services they deliver it themselves. Past 400
lines because what is told of a batch is the same for all verbs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from orchestration.cli import show
from orchestration.cli.main import NOT_PUBLISHED, OK, UsageError
from orchestration.cli.options import (
    check_run,
    home_option,
    login_name,
    run_command,
    run_key_of,
    screen,
    settings_of,
    spec_of,
    where,
    working_home,
)
from orchestration.records import records_of, status_of_batch
from shared import edge, wiring
from shared.config import orchestration_config
from shared.config.functions import PREDICTION_START_TOPIC
from shared.config.settings import Settings, Target
from shared.core.batch import STALLED_S, BatchRecord, SealKind, batch_id, under_way
from shared.core.batch_status import BatchHead, BatchState, BatchStatus, batch_head
from shared.core.model import Act, PhaseSpec, PipelineSpec, RunKey, Start, Status
from shared.core.standing import PARTIAL_ENOUGH
from shared.core.tally import STALL_SHARE
from shared.core.words import UNTIL_MAX
from shared.ports import StateStore
from shared.service import Refusal, Service
from shared.wiring import Home, ReadHome

if TYPE_CHECKING:
    from predictions.coordinator.coordinator import Coordinator

WHY_SHOWN = 110  # characters in a table; `show` has all of it
RESULT_WIDTH = 24  # columns of a terminal below which a result says nothing
LEFT_OUT = ("began", "deadline", "result", "took", "units")  # where the terminal is too narrow, in this order
RUNS_LOOKED = 8  # the newest of a pipeline, for one whose batch is not there yet: each is read by itself


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if arguments.verb in ("recover", "seal", "cancel", "override"):
        return WRITING[arguments.verb](arguments, settings)
    with wiring.read_home(settings) as home:
        return READING[arguments.verb](arguments, settings, home)


# --- reading ----------------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace, settings: Settings, home: ReadHome | None) -> int:
    specs = [_listed(arguments.pipeline)] if arguments.pipeline else list(orchestration_config.PIPELINES.values())
    now, console = show.utc_now(), screen(arguments)
    found = [batch_head(record, now) for record in _found(arguments, specs, home)] if home else []
    found.sort(key=lambda head: (head.created_at, head.batch), reverse=True)
    shown, more = found[: arguments.limit], len(found) > arguments.limit
    if arguments.json:
        show.print_json({"batches": [head.to_json() for head in shown], "more": more})
        return OK
    to_come = list(_to_come(arguments, specs, home, settings)) if home else []
    if shown:
        console.print(heads_table(shown, now, console.width), crop=False)
        if more:
            console.print(f"Older ones are not shown; --limit {arguments.limit * 2} shows more.")
        console.print(Text(f"One of them whole: tipoff batch show BATCH{home_option(settings)}"), soft_wrap=True)
    else:
        console.print(Text(_nothing(arguments, settings, hint=not to_come)), soft_wrap=True)
    for line in to_come:
        console.print(Text(line), soft_wrap=True)
    return OK


def _listed(pipeline: str) -> PipelineSpec:
    """UsageError that helps who names a run or a batch where a pipeline belongs."""
    run = _run_in(pipeline)
    if run is None:
        return spec_of(pipeline)
    named = show.safe(pipeline)[:120]
    raise UsageError(
        f"{named} is no PIPELINE: `tipoff batch show {named}` shows one batch, `tipoff batch list {run.pipeline} "
        f"--date {run.date}` those of its date"
    )


def _to_come(
    arguments: argparse.Namespace, specs: Sequence[PipelineSpec], home: ReadHome, settings: Settings
) -> Iterator[str]:
    """Of each run that has ordered a batch which nobody has begun: that it has, and what begins it."""
    first, last = (arguments.date, arguments.date) if arguments.date else (date.min, date.max)
    for spec in specs:
        for run in home.states.runs(spec.name, first, last)[-RUNS_LOOKED:]:
            start = _unbegun(home, run)
            if start is None:
                continue
            said = f"{run} has opened {start.phase}, and its batch is not there yet"
            typed = settings.target is Target.LOCAL and not home.is_written
            yield f"{said}; {_goes_on(run, home.states, settings)}" if typed else f"{said}: its coordinator makes it."


def _unbegun(home: ReadHome, run: RunKey) -> Start | None:
    """The newest start of a fan-out, where it has neither a batch nor a report yet."""
    from orchestration.runs import PREDICTIONS

    record = home.states.load(run)
    starts = [start for latch in record.latches for start in latch.starts if start.processor == PREDICTIONS]
    if not starts or record.due_at is None or home.batches.load(batch_id(starts[-1])):
        return None
    heard = [fact.completion for fact in record.facts if fact.completion.processor == PREDICTIONS]
    return None if any(told.attempt >= starts[-1].attempt for told in heard) else starts[-1]


def _found(arguments: argparse.Namespace, specs: Sequence[PipelineSpec], home: ReadHome) -> Iterator[BatchRecord]:
    """One more than are to be shown, if there are: then more is said."""
    for spec in specs:
        if arguments.date:
            for run in home.states.runs(spec.name, arguments.date, arguments.date):
                yield from records_of(home, run)
        else:
            ids = home.batches.latest(spec.name, arguments.limit + 1)
            yield from (record for id in ids if (record := home.batches.load(id)))


def _nothing(arguments: argparse.Namespace, settings: Settings, *, hint: bool) -> str:
    about = f" of {arguments.pipeline}" if arguments.pipeline else ""
    day = f" for {arguments.date}" if arguments.date else ""
    example = f"tipoff run {arguments.pipeline or 'nba'} --date {arguments.date or 'D'} --mode same_day --data DIR"
    none = f"No batch{about}{day}: {where(settings)}."
    if not hint:
        return none
    return f"{none} A run makes one when its gate opens predictions: `{example}{home_option(settings)}`."


def heads_table(heads: Sequence[BatchHead], now: datetime, width: int) -> Group:
    """A line each, for a terminal of this width. What names a batch and how it is are never cut: columns give way."""
    cells = [_cells(head, now) for head in heads]
    least = {name: max(len(name), *(cell_len(row[name].plain) for row in cells)) for name in cells[0]}
    least["result"] = min(least["result"], RESULT_WIDTH)
    kept = list(least)
    for name in LEFT_OUT:
        if _wide(least, kept) > width:
            kept.remove(name)
    wider = _wide(least, kept) if _wide(least, kept) > width else None
    table = Table(box=None, pad_edge=False, header_style="dim", width=wider)
    for name in kept:
        table.add_column(name, no_wrap=name != "result", overflow="fold", min_width=least[name])
    for row in cells:
        table.add_row(*(row[name] for name in kept))
    marked = [head.batch for head in heads if head.incident and "result" not in kept]  # else their line says so
    return Group(table, *(Text(f"INCIDENT: {batch}", style=show.ALARM) for batch in marked))


def _wide(least: Mapping[str, int], names: Sequence[str]) -> int:
    """Columns of a terminal that these take: two between each and the next."""
    return sum(least[name] + 2 for name in names) - 2


def _cells(head: BatchHead, now: datetime) -> dict[str, Text]:
    open_for_s = (now - head.created_at).total_seconds()
    return {
        "batch": Text(head.batch),
        "state": Text(head.state, style=show.BATCH_STYLE[head.state]),
        "units": Text(f"{_there(head):,} of {head.units:,}"),
        "began": Text(f"{head.created_at:%Y-%m-%d %H:%M}"),
        "took": Text(show.span(open_for_s) if head.ended_s is None else show.spent(head.ended_s)),
        "deadline": Text(f"{head.deadline_at:%H:%M:%S}" if head.sealed_at is None else ""),
        "result": _result(head, now),
    }


def _there(head: BatchHead) -> int:
    """Units that have ended; once the batch has reported, those that it has: of a cancelled or failed one none."""
    told = head.completion
    if told is None:
        return head.ended
    return told.units_actual or 0 if told.status in (Status.SUCCESS, Status.PARTIAL) else 0


def _result(head: BatchHead, now: datetime) -> Text:
    """In short: how fast it is, or what it lacks."""
    if head.completion is None:
        return Text(", ".join(filter(None, (show.rate(head), show.through(head, now)))))
    why = show.safe(head.completion.reason)
    told = Text("INCIDENT " if head.incident else "", style=show.ALARM)
    told.append(f"{head.completion.status}", style="")
    return told.append(f": {why[:WHY_SHOWN]}{'...' if why[WHY_SHOWN:] else ''}" if why else "", style="")


def _show(arguments: argparse.Namespace, settings: Settings, home: ReadHome | None) -> int:
    record, now = _newest(arguments.batch, settings, home), show.utc_now()
    assert home is not None
    status = status_of_batch(home.batches, record, now)
    if arguments.json:
        show.print_json(status.to_json())
        return OK
    console = screen(arguments)
    console.print(show.batch_headline(status, now), soft_wrap=True)
    for table in _tables(status, now):
        console.print()
        console.print(table)
    console.print()
    for line in [*show.batch_notes(status), *_next_lines(status, now, settings)]:
        console.print(Text(line), soft_wrap=True)
    if status.head.completion is None and not home.is_written:
        console.print(
            Text(f"Nobody is at work in this home; {_goes_on(record.batch.start.run, home.states, settings)}"),
            soft_wrap=True,
        )
    return OK


def _run_in(text: str) -> RunKey | None:
    """The run that is named, or whose batch is; None for what is written like neither."""
    try:
        return RunKey.parse(text.partition("/")[0])
    except ValueError:
        return None


def run_asked(text: str) -> RunKey:
    """The RUN of a command; UsageError for a batch says which run it is of."""
    run = _run_in(text)
    if run and "/" in text:
        raise UsageError(f"{show.safe(text)[:120]} is a batch; its run is {run}")
    return run_key_of(text)


def _newest(id: str, settings: Settings, home: ReadHome | None) -> BatchRecord:
    """The batch of this id or, of a run, its newest."""
    run = _run_in(id)
    if home is None or run is None or "/" in id:
        return _record(id, settings, home)
    spec_of(run.pipeline)
    if home.states.plan(run) is None:
        raise UsageError(f"run {run} is not there ({where(settings)}); {_shown_by(settings)}")
    records = records_of(home, run)
    if not records:
        raise UsageError(f"run {run} has no batch yet ({where(settings)}); {_shown_by(settings)}")
    return records[-1]


def _shown_by(settings: Settings) -> str:
    return f"`tipoff batch list{home_option(settings)}` shows those that are"


def _record(id: str, settings: Settings, home: ReadHome | None) -> BatchRecord:
    """UsageError for what is no batch here; says where ids are to be found."""
    there = _shown_by(settings)
    if home is None:
        raise UsageError(f"--home {settings.home}: nothing has run there yet")
    run, *rest = id.split("/")
    if not rest and (key := _run_in(id)):
        records = records_of(home, key)
        newest = f"its newest batch is {records[-1].batch.id}" if records else f"it has no batch yet; {there}"
        raise UsageError(f"{key} is a run; {newest}")
    if len(rest) != 2:
        raise UsageError(f"{show.safe(id)[:80]!r} is not written like a batch, RUN/PHASE/ATTEMPT; {there}")
    run_key_of(run)
    record = home.batches.load(id)
    if record is None:
        raise UsageError(f"batch {show.safe(id)[:120]} is not there ({where(settings)}); {there}")
    return record


def _tables(status: BatchStatus, now: datetime) -> Iterator[Table]:
    counts = {**status.counts, "under way": status.under_way}
    counts |= {"to be tried again": status.to_try_again, "never ordered": status.never_ordered}
    yield _table(
        ("units", *counts, "chunks ended"),
        [(status.head.units, *counts.values(), f"{status.chunks_ended:,} of {status.chunks:,}")],
    )
    if status.causes:
        yield _table(
            ("how many", "state", "why", "which"),
            [
                (len(each.units), each.state, show.safe(each.reason), show.safe(show.shorten(each.units)))
                for each in status.causes
            ],
        )
    if status.stragglers:
        yield _table(
            ("straggler", "order", "try", "units", "since", "which"),
            [
                (
                    f"chunk {each.order.chunk}",
                    *(each.order.number, each.order.tries, len(each.order.places)),
                    f"{each.order.at:%H:%M:%S} ({show.age(each.order.at, now)})",
                    show.safe(show.named(each.units, len(each.order.places))),
                )
                for each in status.stragglers
            ],
        )
    if status.tries:
        yield _table(
            ("try", "orders", "reported", "units"),
            [(each.number, each.orders, each.reported, each.units) for each in status.tries],
        )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    return table


def _next_lines(status: BatchStatus, now: datetime, settings: Settings) -> Iterator[str]:
    """What happens next, and when."""
    head, run = status.head, status.head.batch.partition("/")[0]
    match head.state:
        case BatchState.OPEN:
            if status.next_look_at:
                yield f"Next look {show.moment(status.next_look_at, now)}."
            else:
                over = "its deadline is over" if now >= head.deadline_at else "every unit has ended"
                yield f"The next look ends it: {over}."
            yield (
                f"Deadline {show.moment(head.deadline_at, now)}, by {head.deadline_from}: then it ends as it is, and "
                f"from {STALL_SHARE:.0%} of its units on what there is counts."
            )
        case BatchState.CONSOLIDATING:
            yield "What its units gave is being written; if who does it has died, the timer goes on with it."
        case BatchState.CANCELLED:
            yield _after_cancel(run, settings)
        case _:
            yield f"What its gate makes of it: tipoff explain {run} --phase {head.phase}{home_option(settings)}"


def _after_cancel(run: str, settings: Settings) -> str:
    """Predictions are critical wherever they are planned, and a coordinator answers where there are services."""
    replay = f"tipoff replay {run} --from predictions --reason TEXT{home_option(settings)}"
    help_ = f"Another attempt: `{replay}`"
    if settings.target is not Target.LOCAL:
        help_ += ", or POST /start with force (docs/http.md)"
    return f"The run needs its predictions: its gate blocks it, now or at its next look. {help_}."


def _after_seal(status: BatchStatus, phase: PhaseSpec) -> Iterator[str]:
    """What the gate makes of a part."""
    head, [processor] = status.head, phase.processors
    told = head.completion
    if told is None or told.status is not Status.PARTIAL:
        return
    share, again = (
        (told.units_actual or 0) / head.units,
        f"another attempt after {processor.look_again_s // 60} minutes",
    )
    if share >= PARTIAL_ENOUGH:
        yield (
            f"With {share:.1%} of its units, from {PARTIAL_ENOUGH:.0%} on, its gate orders {again}, and goes on with "
            f"what there is once its grace of {processor.grace_s // 60} minutes is over."
        )
        return
    yield (
        f"With {share:.1%} of its units, under {PARTIAL_ENOUGH:.0%}, its gate waits, orders {again}, and at the "
        "phase's deadline publishes what is there."
    )


# --- writing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """What the verbs that end a batch or get it going work with."""

    home: Home
    coordinators: Mapping[str, Coordinator]  # by pipeline

    def of(self, batch: str) -> Coordinator:
        return self.coordinators[run_key_of(batch.partition("/")[0]).pipeline]

    def stalled(self) -> tuple[str, ...]:
        """Of every pipeline."""
        return tuple(id for coordinator in self.coordinators.values() for id in coordinator.stalled())

    def is_over(self, batch: str) -> bool:
        """Whether it has reported, and nothing of it is due: who told its gate may have died before he had."""
        record = self.home.batches.load(batch)
        return bool(record and record.seal and record.seal.completion) and batch not in self.of(batch).due()


@contextmanager
def _at_work(arguments: argparse.Namespace, settings: Settings, console: Console) -> Iterator[Works]:
    from predictions.coordinator.points import points_coordinator

    with working_home(settings, console, command=f"tipoff batch {arguments.verb}", wait_s=arguments.wait) as home:
        coordinators = {
            spec.name: points_coordinator(home, spec)
            for spec in orchestration_config.PIPELINES.values()
            if any(phase.start_topic == PREDICTION_START_TOPIC for phase in spec.phases)
        }
        yield Works(home=home, coordinators=coordinators)


def _act(arguments: argparse.Namespace, now: datetime, until: datetime | None = None) -> Act:
    return Act(actor=arguments.actor or login_name(), reason=arguments.reason, at=now, until=until)


def _recover(arguments: argparse.Namespace, settings: Settings) -> int:
    """The batch that is named, or every one without progress: its orders are sent again."""
    with wiring.read_home(settings) as reader:
        if arguments.batch:
            _record(arguments.batch, settings, reader)
        there = reader is not None
    console, told, goes_on, over = screen(arguments), list[dict[str, object]](), "", False
    if there:
        with _at_work(arguments, settings, console) as works:
            now = works.home.clock.now()
            over = bool(arguments.batch) and works.is_over(arguments.batch)
            asked = (arguments.batch,) if arguments.batch else works.stalled()
            for id in () if over else asked:
                works.of(id).recover(id)
                record = works.home.batches.load(id)
                assert record is not None, f"{id} was just there"
                told.append(_recovered(record, now))
                goes_on = _delivers(record.batch.start.run, works.home, settings)
    if arguments.json:
        show.print_json({"recovered": told, "goes_on": goes_on})
        return OK
    for each in told:
        sent = f"{each['sent_again']} orders sent again and {each['ordered']} new, {each['units']:,} units in all"
        line = sent if each["state"] == BatchState.OPEN else f"is {each['state']}"
        console.print(Text(f"{each['batch']}: {line}"), soft_wrap=True)
    if over:
        console.print(Text(f"{arguments.batch} had ended already; nothing was sent."), soft_wrap=True)
    elif not told:
        minutes = STALLED_S // 60
        console.print(
            Text(f"No open batch has been without a report for {minutes} minutes: {where(settings)}."), soft_wrap=True
        )
    if goes_on:
        console.print(Text(goes_on), soft_wrap=True)
    return OK


def _recovered(record: BatchRecord, began: datetime) -> dict[str, object]:
    """What stands of a batch that was recovered: all that is under way now was sent just now."""
    sent = () if record.seal else under_way(record)
    anew = sum(order.at >= began for order in sent)
    return {
        "batch": record.batch.id,
        "state": str(batch_head(record, began).state),
        "sent_again": len(sent) - anew,
        "ordered": anew,
        "units": sum(len(order.places) for order in sent),
    }


def _end(arguments: argparse.Namespace, settings: Settings, kind: SealKind) -> int:
    with wiring.read_home(settings) as reader:
        _record(arguments.batch, settings, reader)
    console = screen(arguments)
    with _at_work(arguments, settings, console) as works:
        act = _act(arguments, works.home.clock.now())
        seal = works.of(arguments.batch).end_by(arguments.batch, kind, act)
        record = works.home.batches.load(arguments.batch)
        assert record is not None
        if isinstance(seal, Refusal):
            why = record.seal.reason if record.seal else seal.reason
            raise UsageError(f"batch {arguments.batch} has ended already: {why}")
        now = show.utc_now()
        status = status_of_batch(works.home.batches, record, now)
        goes_on = _delivers(record.batch.start.run, works.home, settings, kind)
    if arguments.json:
        show.print_json({**status.to_json(), "goes_on": goes_on})
    else:
        console.print(show.batch_headline(status, now), soft_wrap=True)
        spec = spec_of(record.batch.start.run.pipeline)
        [phase] = [phase for phase in spec.phases if phase.name == status.head.phase]
        follows = [*_after_seal(status, phase), *_next_lines(status, now, settings)]
        for line in [*show.batch_notes(status), *follows, goes_on]:
            console.print(Text(line), soft_wrap=True)
    return OK if status.head.completion else NOT_PUBLISHED


def _override(arguments: argparse.Namespace, settings: Settings) -> int:
    """Until then, units of a run are worked on whose inputs are too poor."""
    key = run_asked(arguments.run)
    check_run(settings, key)
    console, spec = screen(arguments), spec_of(key.pipeline)
    command = f"tipoff batch {arguments.verb}"
    with working_home(settings, console, command=command, wait_s=arguments.wait) as home:
        now = home.clock.now()
        until = now + arguments.until if isinstance(arguments.until, timedelta) else arguments.until
        if not now < until <= now + UNTIL_MAX:
            raise UsageError(f"--until {show.moment(until)} is not within the next {UNTIL_MAX.days} days")
        act = _act(arguments, now, until)
        control = Service(home.ports, {spec.name: spec}, starts_missing_runs=False, attempt=edge.attempt).allow_poor(
            key, act
        )
    if isinstance(control, Refusal):
        raise UsageError(control.reason)
    if arguments.json:
        told = {"actor": act.actor, "reason": act.reason, "at": act.at.isoformat(), "until": until.isoformat()}
        show.print_json({"run": str(key), "override": told})
        return OK
    console.print(
        Text(
            f"{key}: until {show.moment(until, now)} its batches work on units whose inputs are too poor ({act.actor}: "
            f"{act.reason}). A batch that has begun keeps what it refused; another attempt takes those in."
        ),
        soft_wrap=True,
    )
    return OK


def _goes_on(run: RunKey, states: StateStore, settings: Settings) -> str:
    """What a person has to type for it to go on."""
    return f"`{_command(run, states, settings)}` goes on with it."


def _command(run: RunKey, states: StateStore, settings: Settings) -> str:
    plan = states.plan(run)
    return run_command(run, plan.labels if plan else {}, states, settings)


def _delivers(run: RunKey, home: Home, settings: Settings, kind: SealKind | None = None) -> str:
    """Who delivers what was published, of every run: in a home, a command that a person has to type."""
    if settings.target is not Target.LOCAL:
        return "What was published is delivered by itself."
    if kind is SealKind.CANCELLED:
        return f"`{_command(run, home.ports.states, settings)}` tells its gate."
    return _goes_on(run, home.ports.states, settings)


Read = Callable[[argparse.Namespace, Settings, ReadHome | None], int]
Write = Callable[[argparse.Namespace, Settings], int]

READING: dict[str, Read] = {"list": _list, "show": _show}
WRITING: dict[str, Write] = {
    "recover": _recover,
    "seal": lambda arguments, settings: _end(arguments, settings, SealKind.SEALED),
    "cancel": lambda arguments, settings: _end(arguments, settings, SealKind.CANCELLED),
    "override": _override,
}
