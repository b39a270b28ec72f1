"""What a pipeline uses and pays on Google Cloud, for `tipoff cost`: counted from its declaration, then priced. Pure.

What one run does to its state follows from its plan exactly (tests hold the formula against a run that is counted);
the rest are assumptions, each a constant here with its reason, rather too dear than too cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from shared.core.batch import CHUNK_UNITS
from shared.core.letters import LETTERS_EVERY_MIN
from shared.core.model import ModeSpec, PipelineSpec, ProcessorSpec, ScheduleSpec
from shared.core.morning import LOOK_BACK_DAYS
from shared.core.plan import planned
from shared.core.timeouts import BATCH_HISTORY, HISTORY_DAYS, HISTORY_RUNS

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
MONTH_DAYS = 30
PRICES_KEEP = timedelta(days=365)


class Meter(StrEnum):
    """What a bill counts. A flow is what is used in a day, a level what stands there all month."""

    CPU = "CPU"  # vCPU-seconds
    MEMORY = "memory"  # GiB-seconds
    REQUESTS = "requests"
    MESSAGES = "messages"  # bytes, published and delivered
    READS = "documents read"
    WRITES = "documents written"
    SCANNED = "tables queried"
    OBJECT_WRITES = "objects written"
    OBJECT_READS = "objects read"
    LOGS = "logs"  # bytes
    SECRET_READS = "secrets read"  # noqa: S105 - how many
    JOBS = "schedules"  # level
    SECRETS = "secret versions"  # level
    DOCUMENTS = "documents kept"  # bytes, level, as all below
    TABLES = "tables kept"
    OBJECTS = "objects kept"
    IMAGES = "images kept"


LEVELS = frozenset({Meter.JOBS, Meter.SECRETS, Meter.DOCUMENTS, Meter.TABLES, Meter.OBJECTS, Meter.IMAGES})
BYTES = frozenset(
    {Meter.MESSAGES, Meter.SCANNED, Meter.LOGS, Meter.DOCUMENTS, Meter.TABLES, Meter.OBJECTS, Meter.IMAGES}
)

Amounts = Mapping[Meter, float]


class Free(StrEnum):
    """How often what is free begins anew."""

    DAILY = "a day"
    MONTHLY = "a month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One line of a price list: dollars for `per` units, a level's for a month; the first `free` units cost nothing."""

    meter: Meter
    service: str
    usd: float
    per: float
    unit: str  # what `per` is called: 100,000 documents, GiB
    free: float
    each: Free
    source: str  # the name of the official page
    as_of: date  # the last day on which it is known to have stood there
    unsure: str = ""  # what should be checked, and why


# --- what is assumed ------------------------------------------------------------------------------------

CPUS = 1.0  # of every function; less would throttle a start
MEMORY_GIB = 0.5  # a gate takes some 150 MiB, a processor is a client that waits
SWEEP_S = 0.3  # of both that hear it: three queries of some 30 ms, rounded up to 0.1 s, a cold start now and then
GATE_S = 0.5  # one look: some six round trips to the state, and a publish
PROCESSOR_S = 20.0  # waits for a script of six child jobs and two queries, some 2 s each
BEGIN_S = 20.0  # two queries of a batch, and the fit
END_S = 20.0  # one load, one MERGE
CHUNK_S = 5.0  # 50 units take 0.01 s on the machine of docs/benchmarks.md
COLD_S = 5.0  # container, 1 s of imports: each processor, chunk and gate of a run is charged one

MESSAGE_BYTES_MIN = 1_000  # charged for each publish and each delivery
MESSAGE_BYTES = 700  # of a start or completion beside its units; measured: 250 to 530 in a night of nba
UNIT_ID_BYTES = 12  # measured: 11 for each player in the starts of `tomorrow`
ORDER_UNIT_BYTES = 450  # measured: 431, the model included

SUMMARY_S = 20.0  # a month of runs read one after the other, a query, a post
SUMMARY_RUN_READS = 60  # of each run that it looks back at: its plan, facts and latches
SUMMARY_WRITES = 3  # taken, done, and a heartbeat
SWEEP_READS = 3  # lapsed latches, due runs, due batches: a query that finds nothing is paid as one
STARTS_A_DAY = 24  # new instances for the sweep; each asks once for the plans that the calendar expects
EXPECTED_DAYS = 3  # of which runs are expected then
NUDGE_READS = 3  # the run and what is new in it
SWEEP_LOOK_READS, SWEEP_LOOK_WRITES = 5, 2  # once for each completion: a fact asks the sweep to look soon after
BEAT_WRITES = 1  # of each sweep of the runs: its heartbeat, the only thing that a day at rest writes
WATCHED = 10  # services that each of these sweeps asks whether they live; a test counts them
READY_EVERY_MIN = 20  # and, this often, whether they could work; a test compares
ASKED_S = 0.1  # that a service takes to say that it lives: it is charged by tenths of a second
READY_S = 2.0  # and whether it could work: most ask BigQuery, whose shortest query takes about as long
UPTIME_PLACES = 3  # from which Cloud Monitoring asks each minute whether the watchdog is well; a test counts them
UPTIME_READS = 1  # of each such question, the plan that it tries to read
BEAT_READS = 8  # of a look at the heartbeats, which proves life for two minutes
BEATS_READ = 400  # a day: in the minutes in which a job may have been late
DOUBT_LOOKS = 3  # a batch takes minutes: it is looked for after one, two and four
LETTER_LOOKS = 24  # at the dead letters while a run is open, two hours every five minutes; at rest nobody looks
LETTER_S = 4.0  # of each: two waves of subscriptions, whose empty answer is not believed for 2 s
LETTER_PULLS = 60  # of each: some twenty subscriptions, asked three times in that time
RUN_BEFORE_READS = 40  # a run of the day before, read whole, where this one goes softly after it

CHARGED_BYTES_MIN = 10 * MIB  # for each table that a statement names; all of nba's are smaller for one season
STANDING_TABLES = 1  # whether the stamp stands already
SCRIPT_TABLES = 3  # beside its SELECT: the fence, the DELETE, the read-back; MERGE counts its two tables so too
QUERY_TABLES = 4  # in one SELECT; a test counts those of nba, 2.3 in the mean
READ_TABLES = 3  # that the gate behind it reads of each processor's: freshness, completeness, sanity
QUERIES = 1  # beside it: what was found, why units are missing, what a document shows

OBJECTS_WRITTEN = 2  # by a run: its documents
OBJECTS_READ = 4  # what stood there before, and what it had announced
LOG_BYTES = 2_000  # of a request: the platform's own line and ours

KEPT_DAYS = 365  # state, tables and objects after a year; nothing is deleted
DOCUMENT_BYTES = 2_500  # of a fact, latch or plan with its indexes; measured: bodies of 400 to 6,200 bytes
UNIT_BYTES = 1_200  # of a unit in its batch; measured: 1,115
TABLE_BYTES = 2 * MIB  # that a run adds to the warehouse; a date of nba with all its tables is some 0.7 MiB
OBJECT_BYTES = 200 * KIB  # that a run leaves; measured: 68 kB in a night
IMAGE_BYTES = 80 * MIB  # of a function; measured: its requirements, compressed, 54 MB without DuckDB's library
IMAGE_VERSIONS = 3  # the one that serves and two to go back to; a clean-up policy removes older ones
SECRETS = 2  # keys of a chat and of a pager, for when it pages

ASSUMPTIONS: tuple[str, ...] = (
    f"functions have {CPUS:g} vCPU and {MEMORY_GIB:g} GiB, one request at a time; a sweep takes {SWEEP_S:g} s, a gate "
    f"{GATE_S:g} s, a processor {PROCESSOR_S:g} s, a chunk {CHUNK_S:g} s, and each starts a container in {COLD_S:g} s",
    f"a sweep that finds nothing reads {SWEEP_READS} documents, writes its heartbeat and asks {WATCHED} services "
    f"whether they live ({ASKED_S:g} s), every {READY_EVERY_MIN} minutes also what they need ({READY_S:g} s); it is "
    f"itself asked each minute from {UPTIME_PLACES} places; a run's reads "
    "and writes follow from its plan (a night of nba was counted on the emulator: 99 reads, 78 "
    "writes), with one process for each gate",
    f"every message is published and delivered once, each at least {MESSAGE_BYTES_MIN:,} bytes; "
    f"a chunk has {CHUNK_UNITS} units of {ORDER_UNIT_BYTES} bytes, and a word back",
    f"a processor asks BigQuery {STANDING_TABLES + SCRIPT_TABLES + QUERY_TABLES * (1 + QUERIES)} times for a table, "
    f"the gate behind it {READ_TABLES}, each {CHARGED_BYTES_MIN // MIB} MiB, the smallest amount that is charged; "
    "loads are free",
    f"state, tables and documents are those of {KEPT_DAYS} days of every mode; images of {IMAGE_VERSIONS} versions",
    "free tiers belong to one billing account (Firestore's to one database of a project): what else runs there uses "
    "them too",
    "not counted: traffic out of the region, deployments, alert policies, retries, and who reads the tables",
)


# --- what a run does ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a mode's plan decides what its run costs."""

    phases: tuple[int, ...]  # processors of each
    later: tuple[int, ...]  # of these, how many are ordered inside their phase, each by a latch of its own
    with_units: int  # processors whose messages name units
    chunks: tuple[int, ...]  # of each batch
    units: int
    runs_before: int

    @property
    def processors(self) -> int:
        return sum(self.phases)

    @property
    def gates(self) -> int:
        return len(self.phases) + 1

    @property
    def latches(self) -> int:
        return self.gates + sum(self.later)


def shape_of(spec: PipelineSpec, mode: str, units: int, fan_outs: Collection[str]) -> Shape:
    """The shape of a run; fan_outs are the start topics behind which a coordinator makes a batch of the units.

    Raises ValueError for a mode that nobody declared.
    """
    declared = _mode(spec, mode)
    phases = [(phase, members) for phase in spec.phases if (members := planned(phase, mode))]
    fanned = [phase for phase, members in phases for _ in members if phase.start_topic in fan_outs]
    return Shape(
        phases=tuple(len(members) for _, members in phases),
        later=tuple(_later(members) for _, members in phases),
        with_units=sum(bool(member.unit) for _, members in phases for member in members),
        chunks=tuple(-(-units // CHUNK_UNITS) for _ in fanned),
        units=units,
        runs_before=len(declared.after),
    )


def _mode(spec: PipelineSpec, name: str) -> ModeSpec:
    for mode in spec.modes:
        if mode.name == name:
            return mode
    raise ValueError(f"mode {name!r} of {spec.name} is unknown; known: {', '.join(m.name for m in spec.modes)}")


def _later(members: Sequence[ProcessorSpec]) -> int:
    """How many wait for another of their phase."""
    names = {member.name for member in members}
    return sum(bool(names.intersection((*member.needs, *member.after))) for member in members)


def state_operations(shape: Shape) -> tuple[int, int]:
    """Documents read and written for a run that one warm process keeps, every processor succeeding at once.

    Of decision 0008: a look reads two documents and what is new; a claim reads control; whoever writes looks again.
    """
    later = sum(shape.later)
    looks = 1 + shape.processors + shape.latches
    reads = 2 * looks - 1 + shape.processors + 2 * shape.latches
    writes = 2 + 2 * shape.processors + 4 * shape.gates + 3 * later
    return reads, writes


def history_reads(shape: Shape, *, known: int, read: int) -> int:
    """Documents read before a run begins: whether it is there, which runs are known of its last weeks, and of those of
    its mode that are read all they have."""
    return 1 + max(1, known) + read * (1 + shape.processors + shape.latches)


def batch_operations(chunks: int) -> tuple[int, int]:
    """Documents read and written for one batch whose chunks each end at the first try. Of decision 0008."""
    begin, advance, report = 1 + (chunks + 1) + chunks, chunks + 2, 5
    end = chunks + (chunks + 1) + 2 * chunks  # who is the last, the batch, and its chunks with their reports
    writes = (1 + 2 * chunks) + 1 + 3 * chunks + 2 + 3  # created, looked at, reported, sealed, closed
    return begin + advance + report * chunks + end, writes


def _reads_of_processes(shape: Shape) -> int:
    """Each gate is a function of its own: it reads the plan, and what stood before its phase once more."""
    stood = extra = 0
    for processors, later in zip(shape.phases, shape.later, strict=True):
        stood += 1  # the latch that opened the phase
        extra += stood + 1
        stood += processors + later
    return extra + shape.runs_before * RUN_BEFORE_READS


def operations_of(spec: PipelineSpec, mode: str, units: int, fan_outs: Collection[str]) -> Amounts:
    """What one run uses, from the schedule's word to its end; `units` go through each of its batches."""
    shape = shape_of(spec, mode, units, fan_outs)
    work, batches, chunks = shape.processors - len(shape.chunks), len(shape.chunks), sum(shape.chunks)
    state, batch = state_operations(shape), [batch_operations(count) for count in shape.chunks]
    containers = work + shape.gates + batches + chunks
    seconds = (
        work * PROCESSOR_S
        + batches * (BEGIN_S + END_S)
        + chunks * (CHUNK_S + GATE_S)
        + shape.processors * 2 * GATE_S  # the gate hears it, the sweep looks soon after
        + LETTER_LOOKS * LETTER_S
        + containers * COLD_S
    )
    requests = 2 * shape.processors + 2 * chunks
    tables = STANDING_TABLES + SCRIPT_TABLES + (1 + QUERIES) * QUERY_TABLES + READ_TABLES
    before = history_reads(shape, known=(1 + HISTORY_DAYS) * len(spec.modes), read=HISTORY_RUNS)
    return _functions(seconds, requests) | {
        Meter.MESSAGES: 2 * _message_bytes(shape) + LETTER_LOOKS * LETTER_PULLS * MESSAGE_BYTES_MIN,
        Meter.READS: state[0]
        + before
        + _reads_of_processes(shape)
        + sum(reads + BATCH_HISTORY for reads, _ in batch)
        + shape.processors * SWEEP_LOOK_READS
        + sum(DOUBT_LOOKS * (SWEEP_LOOK_READS + 1 + count) for count in shape.chunks),
        Meter.WRITES: state[1]
        + sum(writes for _, writes in batch)
        + shape.processors * SWEEP_LOOK_WRITES
        + batches * DOUBT_LOOKS,
        Meter.SCANNED: shape.processors * tables * CHARGED_BYTES_MIN,
        Meter.OBJECT_WRITES: OBJECTS_WRITTEN,
        Meter.OBJECT_READS: OBJECTS_READ,
        Meter.SECRET_READS: containers,
    }


def _functions(seconds: float, requests: float) -> dict[Meter, float]:
    return {
        Meter.CPU: seconds * CPUS,
        Meter.MEMORY: seconds * MEMORY_GIB,
        Meter.REQUESTS: requests,
        Meter.LOGS: requests * LOG_BYTES,
    }


def _message_bytes(shape: Shape) -> float:
    """Of all messages of a run, once each: a start and a completion for each processor, two for each chunk."""
    plain = max(MESSAGE_BYTES_MIN, MESSAGE_BYTES)
    named = max(MESSAGE_BYTES_MIN, MESSAGE_BYTES + shape.units * UNIT_ID_BYTES)
    pairs = (shape.processors - shape.with_units) * plain + shape.with_units * named
    per_chunk = 2 * MESSAGE_BYTES_MIN + CHUNK_UNITS * ORDER_UNIT_BYTES
    return 2 * pairs + sum(shape.chunks) * per_chunk


# --- what a day uses, and what stands -------------------------------------------------------------------


def rest_of(spec: PipelineSpec) -> Amounts:
    """What a day uses on which no run has anything to do: the schedules speak, the sweep finds nothing."""
    nudges = sum(firings(schedule) for schedule in spec.schedules if schedule.mode)
    summaries = sum(firings(schedule) for schedule in spec.schedules if schedule.act == "summary")
    sweeps = sum(firings(schedule) for schedule in spec.schedules) - nudges - summaries
    beats = sum(firings(schedule) for schedule in spec.schedules if schedule.act == "sweep")
    plans = STARTS_A_DAY * EXPECTED_DAYS * len(spec.modes)
    calls = sum(firings(schedule) * len(schedule.wakes) for schedule in spec.schedules)  # by HTTP, no messages
    looks = summaries * LOOK_BACK_DAYS * len(spec.modes) * SUMMARY_RUN_READS
    ready = beats * WATCHED / READY_EVERY_MIN
    outside = beats * UPTIME_PLACES
    asked = beats * WATCHED + ready + outside
    answering = (asked - ready) * ASKED_S + ready * READY_S
    seconds = answering + sweeps * SWEEP_S + nudges * (GATE_S + COLD_S) + summaries * (SUMMARY_S + COLD_S)
    reads = sweeps * SWEEP_READS + nudges * NUDGE_READS + plans + beats / LETTERS_EVERY_MIN + looks
    return _functions(seconds, calls + asked) | {
        Meter.READS: float(reads + ready + BEATS_READ + outside * UPTIME_READS + beats / 2 * BEAT_READS),
        Meter.WRITES: float(beats * BEAT_WRITES + summaries * SUMMARY_WRITES),
        Meter.SCANNED: float(summaries * CHARGED_BYTES_MIN),
        Meter.SECRET_READS: float(STARTS_A_DAY),
    }


def firings(schedule: ScheduleSpec) -> int:
    """How often a schedule speaks in a day; one that does not every day is counted as if it did.

    Raises ValueError for minutes and hours that are neither `*`, `*/N` nor numbers with commas.
    """
    minutes, hours = schedule.cron.split()[:2]
    return _times(schedule, minutes, 60) * _times(schedule, hours, 24)


def _times(schedule: ScheduleSpec, field: str, span: int) -> int:
    every, _, step = field.partition("*/")
    if field == "*":
        return span
    if not every and step.isdecimal() and int(step):
        return -(-span // int(step))
    if all(part.isdecimal() for part in field.split(",")):
        return len(field.split(","))
    raise ValueError(f"schedule {schedule.name}: {schedule.cron!r} is not understood; use *, */N or numbers")


def day_of(spec: PipelineSpec, units: int, fan_outs: Collection[str]) -> Amounts:
    """What a day uses on which every mode runs once."""
    return day_with(spec, [(mode.name, units) for mode in spec.modes], fan_outs)


def day_with(spec: PipelineSpec, runs: Iterable[tuple[str, int]], fan_outs: Collection[str]) -> Amounts:
    """What a day uses on which these ran, each its mode and the units that went through its batches."""
    total = Counter(rest_of(spec))
    for mode, units in runs:
        total.update(operations_of(spec, mode, units, fan_outs))
    return total


def levels_of(spec: PipelineSpec, units: int, fan_outs: Collection[str], functions: int) -> Amounts:
    """What stands there after a year of every mode, run or not."""
    shapes = [shape_of(spec, mode.name, units, fan_outs) for mode in spec.modes]
    documents = sum(2 + shape.processors + shape.latches + shape.gates for shape in shapes)
    fanned = sum(units for shape in shapes for _ in shape.chunks)
    return {
        Meter.JOBS: sum(len(schedule.wakes) for schedule in spec.schedules),
        Meter.SECRETS: SECRETS,
        Meter.DOCUMENTS: KEPT_DAYS * (documents * DOCUMENT_BYTES + fanned * UNIT_BYTES),
        Meter.TABLES: KEPT_DAYS * len(shapes) * TABLE_BYTES,
        Meter.OBJECTS: KEPT_DAYS * len(shapes) * OBJECT_BYTES,
        Meter.IMAGES: functions * IMAGE_VERSIONS * IMAGE_BYTES,
    }


# --- what it costs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One part of a bill, in dollars."""

    price: Price
    amount: float  # in a day on which it runs; a level's as it stands
    day: float  # of such a day, without free tiers
    month: float  # without free tiers
    month_free: float  # with them


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A month of so many days with runs; the others are at rest."""

    lines: tuple[Line, ...]

    @property
    def day(self) -> float:
        return sum(line.day for line in self.lines)

    @property
    def month(self) -> float:
        return sum(line.month for line in self.lines)

    @property
    def month_free(self) -> float:
        return sum(line.month_free for line in self.lines)


def bill(prices: Sequence[Price], *, rest: Amounts, running: Amounts, levels: Amounts, days: int) -> Bill:
    """The bill of a month of MONTH_DAYS, of which `days` use `running` and the others `rest`.

    Every meter that is used must have a price: KeyError names the one that has none.
    """
    by_meter = {price.meter: price for price in prices}
    assert 0 <= days <= MONTH_DAYS
    used = [meter for meter in Meter if rest.get(meter) or (days and running.get(meter)) or levels.get(meter)]
    lines = []
    for meter in used:
        price = by_meter[meter]
        if meter in LEVELS:
            lines.append(_level_line(price, levels[meter]))
        else:
            lines.append(_flow_line(price, rest.get(meter, 0.0), running.get(meter, 0.0), days))
    return Bill(lines=tuple(lines))


def _level_line(price: Price, amount: float) -> Line:
    month = amount * price.usd / price.per
    above = max(0.0, amount - price.free) * price.usd / price.per
    return Line(price=price, amount=amount, day=month / MONTH_DAYS, month=month, month_free=above)


def _flow_line(price: Price, rest: float, running: float, days: int) -> Line:
    each = price.usd / price.per
    used = running * days + rest * (MONTH_DAYS - days)
    if price.each is Free.DAILY:
        above = max(0.0, running - price.free) * days + max(0.0, rest - price.free) * (MONTH_DAYS - days)
    else:
        above = max(0.0, used - price.free)
    amount = running if days else rest
    return Line(price=price, amount=amount, day=amount * each, month=used * each, month_free=above * each)


def outdated(prices: Sequence[Price], today: date) -> tuple[Price, ...]:
    """Those that are known from a day more than a year ago."""
    return tuple(price for price in prices if today - price.as_of > PRICES_KEEP)
